"""Faults of the network between nodes."""

import threading

from case import expect, test
from load import check_everywhere, start_writers, stop_writers

PLAIN = "links are cut between daemons that do what the other files have"


def pause(case, seconds):
    threading.Event().wait(case.patience(seconds))


QUICK = {"replication.request_timeout": "1s", "replication.heartbeat_interval": "100ms",
         "replication.basic_retry_wait": "50ms", "replication.max_retry_wait": "500ms"}


@test(timeout=60)
def cut_off_and_back_under_load(case):
    cluster = case.cluster(config=QUICK, proxied=True)
    writers = start_writers(cluster, "load")
    for node in cluster:
        cluster.cut(node.id)
        pause(case, 0.4)
        cluster.heal()
        pause(case, 0.2)
    check_everywhere(cluster, stop_writers(writers))


@test(timeout=60)
def s18_one_direction_only(case):
    """Half-open: what node 1 says arrives, what it is told does not, and the other way round."""
    cluster = case.cluster(2, QUICK, proxied=True)
    writers = start_writers(cluster, "load")
    for forward, back in ((True, False), (False, True), (True, True)):
        cluster.links[1, 2].block(forward, back)
        pause(case, 1.5)
        state = cluster[1].peer_status(2)
        expect(state.state != "connected" or state.silentMs < case.patience(3000),
               "node 1 takes a silent peer for connected: %s, silent for %s ms", state.state,
               state.silentMs)
        cluster.heal()
        pause(case, 0.2)
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger)


@test(timeout=60)
def s19_a_link_that_flaps(case):
    cluster = case.cluster(2, QUICK, proxied=True)
    writers = start_writers(cluster, "load", payload="x" * 200)
    before = [node.open_files() for node in cluster]
    at = [0, 0]
    for _ in range(case.scaled(20, least=8)):
        cluster.cut(1)
        pause(case, case.random.uniform(0.01, 0.1))
        cluster.heal()
        pause(case, case.random.uniform(0.01, 0.15))
        was, at = at, [cluster[1].applied(2), cluster[2].applied(1)]
        expect(at[0] >= was[0] and at[1] >= was[1], "progress went from %s to %s", was, at)
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger)
    after = [node.open_files() for node in cluster]
    expect(all(now <= then + 12 for now, then in zip(after, before)),
           "open files went from %s to %s", before, after)
    lines = max(len(node.log_text().splitlines()) for node in cluster)
    expect(lines < 2000, "%d lines of log for a link that flaps", lines)


@test(timeout=60)
def a_slow_link(case):
    """100 ms each way: the window keeps it busy, and the order holds."""
    cluster = case.cluster(2, {"replication.max_requests_per_batch": 64}, proxied=True)
    for link in cluster.links.values():
        link.delay(0.1)
    writers = start_writers(cluster, "slow", per_node=4)
    pause(case, 1.5)
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger, timeout=40)
    case.note("%d writes over a link of 200 ms round trip" % ledger.writes)
