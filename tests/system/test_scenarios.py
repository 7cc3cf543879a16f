"""Scenarios of tests/README.md that no other file plays with real daemons. A test's name begins with
the row's number."""

import os
import resource
import socket
import threading
import time

from case import expect, expect_equal, test
from cluster import free_port
from load import Writer, check_everywhere, check_ledger, join_writers, start_writers, stop_writers
from peer import Log, Peer, frame
from synclog_client import Status, split_address
from test_connections import cpu_seconds
from test_disk import _end, inject, start_traceable
from test_peer_channel import applied, lone_node
from thrift.Thrift import TMessageType
from wire import Raw, header

QUICK = {"replication.heartbeat_interval": "100ms", "replication.basic_retry_wait": "50ms",
         "replication.max_retry_wait": "500ms"}
# Little fits into memory: a peer that is away for a moment is served from the WAL.
FROM_WAL = {"wal.wal_segment_size": "64KiB", "replication.max_pending_requests": 10,
            "replication.max_pending_bytes": "64KiB"}


# --- 27: connections ---

def connect_many(case, address, count):
    """Connections that send the begin of a frame and no more; as many as can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200 and hard >= count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, hard))
    many = []
    for _ in range(count):
        each = socket.socket()
        each.setblocking(False)
        each.connect_ex(split_address(address))
        many.append(each)
    case.at_end(lambda: [each.close() for each in many])
    return many


@test(timeout=60)
def s27_no_files_left_under_load(case):
    """Connections that never finish a frame take all files that a node may have, on both ports. It
    still writes new segments and store files, its peer gets all, and it does not spin."""
    cluster = case.cluster(2, {**QUICK, "wal.wal_segment_size": "64KiB",
                               "store.memtable_size": "64KiB"}, start=False)
    node = cluster[1]
    node.nofile = 256
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=10))
    cluster.converge()
    writer = Writer(node.address, "during", payload="x" * 2000, pause=0.002)
    writer.start()
    case.eventually("the writer is connected", lambda: writer.ledger.writes > 0)
    many = connect_many(case, node.address, 200) + connect_many(case, node.peer_address, 200)
    for each in many:
        try:
            each.send(b"\x00\x00\x10\x00half")
        except OSError:
            pass
    case.eventually("connections are turned away", lambda: "accept" in node.log_text() or
                    "refused a connection" in node.log_text())
    segment = node.segments(1)[-1]
    was, begin, used = writer.ledger.writes, time.monotonic(), cpu_seconds(node)
    case.eventually("writes go on", lambda: writer.error or
                    writer.ledger.writes >= was + case.scaled(300, least=100))
    busy = (cpu_seconds(node) - used) / (time.monotonic() - begin)
    case.note("%d writes beside 400 half frames, %d open files, %.0f %% of a core" %
              (writer.ledger.writes - was, node.open_files(), busy * 100))
    for each in many:
        each.close()
    ledger.merge(stop_writers([writer]))
    case.eventually("new connections are served again", node.is_ready)
    expect_equal(node.status().state, "serving", "state of the node (%s)" % node.status().message)
    expect(node.segments(1)[-1] != segment, "no new segment was needed")
    check_everywhere(cluster, ledger)
