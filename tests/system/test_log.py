"""An entry that a node can't apply: it goes on without it by an operator's word, for good. The test
plays node 2."""

import http.client

from case import expect, expect_equal, test
from cluster import free_port
from peer import Log, Peer
from synclog_client import Status
from test_ctl import FAILED, USAGE, Ctl

NO_WRITE = b"\x0f\x00\x02 this is no write"
QUICK = {"replication.max_retry_wait": "500ms", "replication.heartbeat_interval": "100ms"}


def lone_node(case, **config):
    """Node 1 of a cluster of 3 whose other nodes are not there."""
    return case.node(node_id=1, peers={2: "127.0.0.1:%d" % free_port(case),
                                       3: "127.0.0.1:%d" % free_port(case)}, config=config).start()


def is_applied(node, log, index):
    status = node.log_status(log.origin)
    return status is not None and status.progress.applied == index


def rows(node):
    with node.client() as client:
        return [row.timestamp for row in client.query("fake")]


def broken_log():
    """Entry 4 decodes nowhere."""
    log = Log(origin=2)
    log.append(3)
    log.append(1, data=NO_WRITE)
    log.append(4)
    return log


@test(timeout=60)
def an_entry_is_left_out(case):
    """P2's only exception: told, kept over a kill, and nothing but that entry."""
    node = lone_node(case)
    log, ctl = broken_log(), Ctl(case, node)
    entry = "2-%d:4" % log.incarnation
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 8).status.code, Status.CORRUPT, "status")
        case.eventually("it is stopped", lambda: (
            node.log_status(2).state == "stopped" and is_applied(node, log, 3)))
        row = [row for row in ctl.json("log", "list") if row["log"].startswith("2-")][0]
        expect_equal((row["state"], row["stoppedAt"], row["applied"]), ("stopped", entry, 3), "row")
        ctl("log", "skip", entry, code=USAGE)
        ctl("log", "skip", "nonsense", "--yes", code=USAGE)
        ctl("log", "skip", entry[:-1] + "5", "--yes", code=FAILED)
        ctl("log", "skip", "3-77:4", "--yes", code=FAILED)
        expect_equal(node.log_status(2).skipped, None, "skipped")
        ctl("log", "skip", entry, "--yes")
        ctl("log", "skip", entry, "--yes")
        expect_equal(peer.sync(log, 4, 8, sync_now=True).status.code, Status.OK, "status")
    case.eventually("all is applied", lambda: is_applied(node, log, 8))

    def check():
        status = node.log_status(2)
        expect_equal((status.state, status.skipped), ("ok", [4]), "state")
        expect_equal(rows(node), [1, 2, 3, 5, 6, 7, 8], "rows")
        expect("left out by an operator's word" in node.log_text(), "it is not told")

    check()
    node.kill()
    node.start()
    case.eventually("all is applied", lambda: is_applied(node, log, 8))
    check()
    # Sent again from the start it is a duplicate like the others.
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 8).status.code, Status.OK, "status")
    check()


@test(timeout=60)
def others_get_the_entry_as_it_is(case):
    """Who left it out hands it on (P6), and the next node stops at it in turn."""
    one, _, three = cluster = case.cluster(config=QUICK, start=False)
    one.start()
    log = broken_log()
    with Peer(one, 2) as peer:
        peer.handshake(log)
        peer.sync(log, 1, 8)
        case.eventually("it is stopped", lambda: one.log_status(2).state == "stopped")
        Ctl(case, one)("log", "skip", "2-%d:4" % log.incarnation, "--yes")
        expect_equal(peer.sync(log, 4, 8, sync_now=True).status.code, Status.OK, "status")
    three.start()
    case.eventually("it is stopped there", lambda: (
        three.log_status(2) is not None and three.log_status(2).stoppedAt == 4), timeout=40)
    case.eventually("it has what came before", lambda: rows(three) == [1, 2, 3])
    Ctl(case, three)("log", "skip", "2-%d:4" % log.incarnation, "--yes")
    case.eventually("it goes on", lambda: is_applied(three, log, 8), timeout=40)
    expect_equal(rows(three), rows(one), "rows")
    del cluster


def metric(node, address, name):
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = [line for line in text.splitlines() if line.startswith(name + "{") and
             'origin="2"' in line]
    return float(found[0].rsplit(" ", 1)[1]) if found else None


@test(timeout=60)
def a_stalled_log_is_told(case):
    """Scenario 21: what should come and does not has a clock of its own."""
    address = "127.0.0.1:%d" % free_port(case)
    node = lone_node(case, **{**QUICK, "http.listen": address})
    log = Log(origin=2)
    log.append(9)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 3).status.code, Status.OK, "status")
        peer.send_sync(log, 5, 9)
        case.eventually("the clock runs", lambda: (node.log_status(2).stalledMs or 0) > 1000)
        expect((metric(node, address, "synclogd_log_stalled_seconds") or 0) >= 1, "no metric")
        peer.sync(log, 4, 4)
        case.eventually("all is applied", lambda: is_applied(node, log, 9))
        case.eventually("the clock stops", lambda: not node.log_status(2).stalledMs)
        expect_equal(metric(node, address, "synclogd_log_stalled_seconds"), 0, "metric")
