"""Clocks that are wrong by far. libfaketime sets a daemon's wall clock; waits stay real."""

import os

from case import expect, expect_equal, expect_error, test
from load import check_everywhere, join_writers, start_writers
from synclog_client import ClockWrong

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
QUICK = {"replication.heartbeat_interval": "100ms", "replication.basic_retry_wait": "50ms",
         "replication.max_retry_wait": "500ms"}


def set_clock(case, node, offset):
    """The daemon's clock from its next start on, as "+1d"; it can be changed later by the file."""
    if not os.path.exists(LIBRARY):
        case.skip("libfaketime is not installed")
    if "address" in case.build or "thread" in case.build:
        case.skip("libfaketime does not go with sanitizers")
    node.clock_file = os.path.join(node.dir, "clock")
    node.environment.update(LD_PRELOAD=LIBRARY, FAKETIME_TIMESTAMP_FILE=node.clock_file,
                            FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1")
    change_clock(node, offset)


def change_clock(node, offset):
    with open(node.clock_file + ".new", "w", encoding="utf-8") as file:
        file.write(offset + "\n")
    os.rename(node.clock_file + ".new", node.clock_file)


@test(timeout=60)
def s24_years_ahead_while_running(case):
    """It takes no writes until its clock is right; the others go on, and nothing wins for ever."""
    cluster = case.cluster(config=QUICK, start=False)
    set_clock(case, cluster[1], "+0")
    cluster.start()
    before = join_writers(start_writers(cluster, "before", count=10))
    cluster.converge()
    change_clock(cluster[1], "+100y")
    with cluster[1].client() as client:
        case.eventually("it refuses writes", lambda: refuses(client))
        expect(cluster[1].status().state == "read-only", "the state does not tell")
    between = join_writers(start_writers([cluster[2], cluster[3]], "between", count=10))
    change_clock(cluster[1], "+0")
    with cluster[1].client() as client:
        case.eventually("it takes writes again", lambda: not refuses(client))
        client.insert("point", 1, {"v": 1})
    cluster.converge()
    with cluster[2].client() as client:
        client.insert("point", 1, {"v": 2})
    cluster.converge()
    with cluster[3].client() as client:
        expect_equal(client.last("point")["v"].value, 2, "the later write")
    for ledger in (before, between):
        check_everywhere(cluster, ledger)


def refuses(client):
    try:
        client.insert("try", 1, {"v": 1})
        return False
    except ClockWrong:
        return True


@test(timeout=60)
def ahead_before_anybody_is_heard(case):
    """What it stamped alone is kept by the others and waits; it moves nobody's clock."""
    cluster = case.cluster(config={**QUICK, "replication.max_clock_skew": "1s"}, proxied=True,
                           start=False)
    set_clock(case, cluster[1], "+4s")
    cluster.cut(1)
    cluster.start()
    with cluster[1].client() as client:
        for i in range(20):
            client.insert("early", i, {"v": i})
    cluster.heal()
    log = cluster[1].own_log().progress.log
    case.eventually("the others keep it", lambda: all(
        peer.log_status(1) is not None and peer.log_status(1).progress.durable >= 20
        for peer in (cluster[2], cluster[3])))
    state = cluster[2].log_status(1)
    expect(state.state == "held" or state.progress.applied >= 20,
           "log %s is neither held nor applied: %s", log, state.state)
    with cluster[1].client() as client:
        expect_error(ClockWrong, "a write to the node ahead", client.insert, "no", 1, {"v": 1})
    change_clock(cluster[1], "+0")
    cluster.converge()
    with cluster[3].client() as client:
        expect_equal(len(list(client.query("early"))), 20, "rows that had to wait")


@test(timeout=60)
def behind_and_backwards_over_a_restart(case):
    cluster = case.cluster(config=QUICK, start=False)
    set_clock(case, cluster[1], "+0")
    cluster.start()
    with cluster[1].client() as client:
        client.insert("point", 1, {"v": 1})
    cluster.converge()
    before = cluster[1].status().hlc
    cluster[1].kill()
    change_clock(cluster[1], "-1h")
    cluster[1].start()
    with cluster[1].client() as client:
        client.insert("point", 1, {"v": 2})
    cluster.converge()
    expect(cluster[1].status().hlc > before, "the clock went back")
    for node in cluster:
        with node.client() as client:
            expect_equal(client.last("point")["v"].value, 2, "the later write at %s" % node)
    check_everywhere(cluster, join_writers(start_writers(cluster, "on", count=20)))
