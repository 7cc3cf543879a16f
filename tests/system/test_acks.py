"""How far a write is when it is acknowledged."""

import time

from case import expect, expect_equal, test
from cluster import Failed
from load import check_everywhere, check_ledger, join_writers, start_writers
from synclog_client import Session


def insert(node, at, **options):
    with node.client() as client:
        return client.insert("d", at, {"v": at}, **options)


def values(node, tokens=None):
    with node.client() as client:
        return [row.timestamp for row in client.query("d", tokens=tokens)]


@test(timeout=40)
def majority_and_all(case):
    cluster = case.cluster()
    for ack in ("local", "majority", "all"):
        ledger = join_writers(start_writers(cluster, ack, ack=ack, count=case.scaled(30, least=5)))
        check_everywhere(cluster, ledger)
    result = insert(cluster[1], 1, ack="all")
    expect(not result.pending, "pending with all nodes up: %s", result.message)
    # Durable on all means just that: no sync may be outstanding there.
    for node in cluster:
        progress = node.progress()[result.token.origin, result.token.incarnation]
        expect(progress.durable >= result.token.index, "%s: durable only up to %d", node,
               progress.durable)


@test(timeout=40)
def pending_while_peers_are_down(case):
    cluster = case.cluster()
    cluster.converge()
    cluster[3].stop()
    result = insert(cluster[1], 1, ack="majority", timeout_ms=20000)
    expect(not result.pending, "two of three are a majority: %s", result.message)
    begin = time.monotonic()
    result = insert(cluster[1], 2, ack="all", timeout_ms=300)
    took = time.monotonic() - begin
    expect(result.pending, "durable on all, with one node down")
    expect(result.message, "no message")
    expect(0.25 < took < case.patience(5), "the answer came after %.2f s of 0.3 s", took)
    expect_equal(values(cluster[1]), [1, 2], "rows where it was written")

    cluster[2].stop()
    result = insert(cluster[1], 3, ack="majority", timeout_ms=300)
    expect(result.pending, "a majority with two of three down")
    expect(not insert(cluster[1], 4).pending, "ack = local is pending")
    # Its token is good, and the write spreads as soon as it can.
    cluster[2].start()
    expect_equal(values(cluster[2], tokens=[result.token])[:3], [1, 2, 3], "rows with the token")
    cluster[3].start()
    result = insert(cluster[1], 5, ack="all", timeout_ms=20000)
    expect(not result.pending, "pending with all nodes back")
    cluster.converge()


@test(timeout=40)
def pending_turns_ok_when_a_peer_returns(case):
    """The write waits, the peer comes back, the answer is a plain success: no fixed wait."""
    cluster = case.cluster(2)
    cluster[2].stop()
    writer = start_writers([cluster[1]], "wait", ack="all", count=1)[0]
    case.eventually("the write is durable here", lambda: cluster[1].own_log().progress.durable == 1)
    expect(writer.is_alive(), "acknowledged while the peer is down: %r", writer.error)
    cluster[2].start()
    ledger = join_writers([writer])
    expect_equal(writer.pending, 0, "pending answers")
    check_ledger(cluster[2], ledger)


@test(timeout=60)
def majority_survives_the_loss_of_the_leader(case):
    """Whatever was acknowledged is on another node's disk, though all are killed at that moment."""
    cluster = case.cluster(config={"replication.mirror_sync_interval": "5s"})
    ledger = join_writers(start_writers([cluster[1]], "lost", per_node=2, ack="majority",
                                        count=case.scaled(40, least=10)))
    for node in cluster:
        node.kill()
    survivors = cluster.nodes[1:]
    for node in survivors:
        node.launch()
    for node in survivors:
        node.wait_ready()
    for device, points in ledger.acknowledged.items():
        found = {}
        for node in survivors:
            with node.client() as client:
                found.update((row.timestamp, row.values["v"]) for row in client.query(device))
        missing = sorted(at for at in points if found.get(at) != points[at])
        if missing:
            raise Failed("%s: acknowledged by a majority, on no survivor: %s" % (device, missing))
    cluster[1].start()
    check_everywhere(cluster, ledger)


@test(timeout=40)
def many_waits_at_once(case):
    """Writes of all kinds on many connections; each is answered by its own rule."""
    cluster = case.cluster(proxied=True)
    writers = []
    for ack in ("local", "majority", "all"):
        writers += start_writers(cluster, ack, per_node=2, ack=ack,
                                 count=case.scaled(20, least=5))
    for link in cluster.links.values():
        link.delay(0.02)
    ledger = join_writers(writers)
    expect_equal(sum(writer.pending for writer in writers), 0, "pending answers")
    check_everywhere(cluster, ledger)


@test(timeout=40)
def no_ack_is_promised_by_a_frozen_peer(case):
    cluster = case.cluster(2)
    cluster.converge()
    cluster[2].pause()
    result = insert(cluster[1], 1, ack="majority", timeout_ms=500)
    expect(result.pending, "two of two are a majority, one is frozen")
    cluster[2].resume()
    session = Session()
    session.add(result.token)
    with cluster[2].client(session=session) as client:
        expect_equal([row.timestamp for row in client.query("d")], [1], "rows")
