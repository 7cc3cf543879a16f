"""Scenarios of tests/README.md that no other file plays with real daemons. A test's name begins with
the row's number."""

import os
import resource
import socket
import threading
import time

from case import expect, expect_equal, expect_error, test
from load import Writer, check_everywhere, check_ledger, join_writers, start_writers, stop_writers
from peer import Log, Peer, encode
from synclog_client import Status, TWrite, Timeout, Token, make_row, split_address
from test_connections import cpu_seconds
from test_disk import _end, inject, start_traceable
from test_peer_channel import applied, lone_node

PLAIN = "stories of steps that the other files have"

QUICK = {"replication.heartbeat_interval": "100ms", "replication.basic_retry_wait": "50ms",
         "replication.max_retry_wait": "500ms"}
# Little fits into memory: a peer that is away for a moment is served from the WAL.
FROM_WAL = {"wal.wal_segment_size": "64KiB", "replication.max_pending_requests": 10,
            "replication.max_pending_bytes": "64KiB"}


# --- 1, 2: killed around a sync ---

def killed_at(case, point):
    """Node 1 is killed there while a client writes, and comes back. Returns the cluster, and the
    timestamp of the write that was on its way."""
    cluster = case.cluster(3, QUICK, start=False)
    node = cluster[1]
    node.arm("")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=20))
    cluster.converge()
    writer = Writer(node.address, "during")
    writer.start()
    case.eventually("it writes", lambda: writer.ledger.writes > 10)
    node.expect_death()
    node.arm(point + "=kill")
    case.eventually("it dies", lambda: not node.running)
    expect("failpoint %s kill" % point in node.log_text(), "it died elsewhere")
    case.eventually("the client has seen it", lambda: writer.ledger.unknown["during"])
    on_its_way = min(writer.ledger.unknown["during"])
    node.arm("")
    node.start()
    node.expect_life()
    acknowledged = writer.ledger.writes
    case.eventually("it writes again", lambda: writer.ledger.writes > acknowledged + 10)
    ledger.merge(stop_writers([writer]))
    check_everywhere(cluster, ledger)
    return cluster, on_its_way


@test(failpoints=True)
def s01_killed_before_a_sync(case):
    """Nobody was told of the write. It may be there or not, but at all nodes alike, and what comes after it
    takes no index a second time."""
    killed_at(case, "wal_before_sync")


@test(failpoints=True)
def s02_killed_after_a_sync(case):
    """The write is durable, though its client never heard so and no peer has it: it is there, everywhere."""
    cluster, on_its_way = killed_at(case, "wal_after_sync")
    for node in cluster:
        with node.client() as client:
            timestamps, _ = client.query_columns("during", ["v"])
        expect(on_its_way in timestamps, "%s lacks the write that was synced", node)


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


@test(timeout=60)
def s27_two_thousand_idle_connections(case):
    """They cost little memory and no time, and whoever works is served beside them."""
    node = case.cluster(1)[1]
    memory = node.rss_mib()
    many = connect_many(case, node.address, 2000)
    with node.client() as client:
        case.eventually("all are connected", lambda: client.status().connections > len(many),
                        pause=0.1)
        # The sockets' own part of the test is over: what is measured is the daemon at rest.
        begin, used = time.monotonic(), cpu_seconds(node)
        threading.Event().wait(1.0)
        busy = (cpu_seconds(node) - used) / (time.monotonic() - begin)
        grown = node.rss_mib() - memory
        case.note("2000 idle connections: %.1f %% of a core, %.1f MiB" % (busy * 100, grown))
        if not case.flavour.sanitized:
            expect(busy < 0.2, "%.0f %% of a core for connections that do nothing", busy * 100)
            expect(grown < 32, "%.0f MiB for connections that do nothing", grown)
        check_ledger(node, join_writers(start_writers([node], "beside", count=50)))
        for each in many:
            each.close()
        case.eventually("they are gone", lambda: client.status().connections <= 5)


# --- 13: an old segment can't be read ---

@test(timeout=60)
def s13_an_old_segment_that_can_not_be_read(case):
    """EIO on each read of a segment that one peer needs: told, not skipped; the other peer and the
    clients notice nothing, and it goes on where it stopped once the disk reads again."""
    cluster = case.cluster(3, {**QUICK, **FROM_WAL}, start=False)
    start_traceable(cluster)
    cluster.converge()
    node = cluster[1]
    cluster[3].stop()
    ledger = join_writers(start_writers([node], "before", payload="x" * 4000, count=150))
    case.eventually("node 2 has it", lambda: (
        cluster[2].applied(1) == node.own_log().progress.durable))
    segments = node.segments(1)
    expect(len(segments) > 5, "%d segments", len(segments))
    bad = segments[len(segments) // 2]
    tracer = inject(case, node, "-P", bad, "-e", "trace=pread64,read,preadv",
                    "-e", "inject=pread64,read,preadv:error=EIO")
    cluster[3].start()
    told = case.eventually("it is told", lambda: [
        line for line in node.log_text().splitlines() if os.path.basename(bad) in line])
    case.note("the log says: %s" % told[0].split("Z ", 1)[1].replace(case.dir, ""))
    ledger.merge(join_writers(start_writers([node, cluster[2]], "while", count=30)))
    case.eventually("node 2 follows", lambda: (
        cluster[2].applied(1) == node.own_log().progress.durable))
    at = cluster[3].log_status(1).progress.applied
    expect(at < int(segments[len(segments) // 2 + 1].rsplit("/", 1)[1].split(".")[0]),
           "node 3 has applied %d, behind the segment that can't be read", at)
    _end(tracer)
    check_everywhere(cluster, ledger)


# --- 15: a peer that takes nothing ---

@test(timeout=60)
def s15_a_peer_that_accepts_and_never_reads(case):
    """What is kept for it is bounded and the rest comes from disk later; the other peer has
    everything at once, and majorities are found without it."""
    cluster = case.cluster(3, {**QUICK, **FROM_WAL, "replication.max_size_per_batch": "64KiB",
                               "replication.request_timeout": "50s",
                               "wal.wal_segment_size": "1MiB",
                               "store.memtable_size": "1MiB"}, proxied=True)
    node = cluster[1]
    ledger = join_writers(start_writers([node], "before", payload="x" * 20000, per_node=4,
                                        count=case.scaled(100, least=30)))
    cluster.converge()
    memory = node.rss_mib()
    for (one, other), link in cluster.links.items():
        if 3 in (one, other):
            link.block()
    count = case.scaled(400, least=60)
    ledger.merge(join_writers(start_writers([node], "while", payload="x" * 20000, per_node=4,
                                            count=count)))
    grown = node.rss_mib() - memory
    case.eventually("node 2 has all", lambda: (
        cluster[2].applied(1) == node.own_log().progress.durable))
    peer = node.peer_status(3)
    expect(peer.batchesInFlight <= 5 * len(node.status().logs), "%d batches in flight",
           peer.batchesInFlight)
    if not case.flavour.sanitized:
        expect(grown < 24, "%.0f MiB more with %d MB that a peer does not take", grown,
               4 * count * 20000 / 1e6)
    case.note("%d MB beside a peer that takes nothing: %.1f MiB more" %
              (4 * count * 20000 / 1e6, grown))
    with node.client() as client:
        expect(not client.insert("d", 1, {"v": 1}, ack="majority").pending,
               "two of three nodes are a majority")
    cluster.heal()
    check_everywhere(cluster, ledger)


# --- 20, 21: batches from long ago, batches that never come ---

def replay(case, peer, log, times):
    """Sends random parts of the log again; returns the entries sent."""
    sent = 0
    for _ in range(times):
        first = case.random.randint(1, log.last)
        last = case.random.randint(first, min(log.last, first + 40))
        reply = peer.sync(log, first, last)
        expect_equal((reply.status.code, reply.received), (Status.OK, log.last), "reply")
        sent += last - first + 1
    return sent


@test
def s20_batches_from_hours_ago(case):
    """All that an old log holds comes again and again, in any order, on several channels, also after
    its node began a new log: each is answered by where the node is, and changes nothing."""
    node = lone_node(case)
    old = Log(origin=2, device="d")
    old.first_hlc -= 3 * 3600 * 1000 << 16
    old.append(100)
    new = Log(origin=2, incarnation=old.incarnation + 1, device="e")
    new.append(50)
    with Peer(node, 2) as peer:
        peer.handshake(old)
        expect_equal(peer.sync(old, 1, 100).received, 100, "received")
        applied(case, node, old, 100)
    with node.client() as client:
        client.insert("d", 7, {"v": -7})
        client.delete("d", 20, 29)
    with Peer(node, 2) as peer:
        peer.handshake(new, old)
        expect_equal(peer.sync(new, 1, 50).received, 50, "received")
        applied(case, node, new, 50)
    before, sent = node.digest(), 0
    for _ in range(2):
        with Peer(node, 2) as peer:
            peer.handshake(new, old)
            sent += replay(case, peer, old, 50) + replay(case, peer, new, 10)
    status = node.status()
    expect_equal(status.entriesDuplicate, sent, "entries that came twice")
    expect_equal(node.digest()[:3], before[:3], "digest")
    with node.client() as client:
        rows = {row.timestamp: row.values["v"] for row in client.query("d")}
    expect_equal(rows, {at: -7 if at == 7 else old.value(at) for at in range(1, 101)
                        if not 20 <= at <= 29}, "rows")


def _answered(peer, seqids, least):
    """The replies that are there, if there are so many."""
    replies = [reply for reply in map(peer.poll, seqids) if reply is not None]
    return replies if len(replies) >= least else None


@test
def s21_a_gap_that_is_never_filled(case):
    """Batches of 128 KiB wait behind it up to a limit, on each new channel again. It is told what is
    needed; nothing behind the gap is applied, and the others go on."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(3)
    log.append(40, data=encode(TWrite(rows=[make_row("large", 1, {"v": "x" * 128 * 1024})])))
    memory, waiting = [node.rss_mib()], []
    for _ in range(5):
        with Peer(node, 2) as peer:
            peer.handshake(log)
            expect_equal(peer.sync(log, 1, 3).received, 3, "received")
            ahead = [peer.send_sync(log, index, index) for index in range(5, 44)]
            # Twice the window of five may wait.
            refused = case.eventually("all but ten are refused", lambda: _answered(
                peer, ahead, len(ahead) - 10))
            for reply in refused:
                expect_equal((reply.status.code, reply.expectedIndex), (Status.OUT_OF_WINDOW, 4),
                             "answer to a batch that can't wait")
            waiting.append(len(ahead) - len(refused))
        memory.append(node.rss_mib())
    case.note("of %d batches of 128 KiB %s wait; %.0f MiB before, then %s" %
              (len(ahead), waiting, memory[0], ["%.0f" % each for each in memory[1:]]))
    if not case.flavour.sanitized:
        expect(memory[-1] < memory[0] + 24, "from %.0f to %.0f MiB", memory[0], memory[-1])
    at = node.log_status(2).progress
    expect_equal((at.received, at.applied), (3, 3), "received and applied")
    with node.client() as client:
        client.insert("own", 1, {"v": 1})
        expect_error(Timeout, "a read of what is behind the gap", list, client.query(
            "large", tokens=[Token(2, log.incarnation, 5)], timeout_ms=200))
