"""Reads that wait for writes."""

import time

from case import expect, expect_equal, expect_error, test
from synclog_client import Invalid, Session, Timeout, Token, UnknownGroup, UnknownLog


@test(timeout=40)
def d10_own_writes_on_another_node(case):
    cluster = case.cluster(proxied=True)
    for link in cluster.links.values():
        link.delay(0.03)
    session = Session()
    clients = [node.client(session=session) for node in cluster]
    for i in range(case.scaled(30, least=10)):
        clients[i % 3].insert("d", i, {"v": i})
        reader = clients[(i + 1) % 3]
        expect_equal([row.timestamp for row in reader.query("d", start=i)], [i], "rows")
        expect_equal(reader.last("d")["v"].value, i, "last value")
        expect_equal(reader.aggregate("d", "v", 0, i)[0].count, i + 1, "count")
    expect_equal(clients[0].digest().digest, clients[1].digest().digest, "digests")
    for client in clients:
        client.close()


@test(timeout=40)
def a_node_reads_its_own_writes(case):
    """Without any token."""
    node = case.cluster(1)[1]
    with node.client() as writer, node.client() as reader:
        for i in range(case.scaled(100)):
            writer.insert("d", i, {"v": i})
            expect_equal([row.timestamp for row in reader.query("d", start=i)], [i], "rows")


@test(timeout=40)
def tokens_that_lead_nowhere(case):
    cluster = case.cluster(2)
    with cluster[1].client() as client:
        token = client.insert("d", 1, {"v": 1}).token
        cluster.converge()
        reads = (
            lambda tokens: list(client.query("d", tokens=tokens, timeout_ms=200)),
            lambda tokens: client.last("d", tokens=tokens, timeout_ms=200),
            lambda tokens: client.aggregate("d", "v", 0, 9, tokens=tokens, timeout_ms=200),
            lambda tokens: client.digest(tokens, timeout_ms=200))
        for read in reads:
            read([token])
            for unknown in (Token(99, 1, 1), Token(1, 12345, 1), Token(2, 99, 5)):
                error = expect_error(UnknownLog, "token of an unknown log", read, [unknown])
                expect(error.message, "no message")
            for wrong in (Token(-1, 1, 1), Token(0, 1, 1), Token(1, -1, 1), Token(1 << 20, 1, 1)):
                expect_error((Invalid, UnknownLog), "token of no log at all", read, [wrong])
            begin = time.monotonic()
            error = expect_error(Timeout, "token beyond the end", read,
                                 [token, token._replace(index=token.index + 1000)])
            took = time.monotonic() - begin
            expect(0.15 < took < case.patience(5), "the answer came after %.2f s of 0.2 s", took)
            expect(error.retryable, "not said to be retryable")
        # Indices below any entry ask for nothing.
        reads[0]([token._replace(index=0)])
        # The connection is as good as before.
        expect_equal(len(list(client.query("d"))), 1, "rows")

        client.group = 5
        for read in reads[:3]:
            error = expect_error(UnknownGroup, "unknown group", read, None)
            expect("5" in error.message, "the message does not name the group: %s", error)
        expect_error(UnknownGroup, "unknown group", client.insert, "d", 1, {"v": 1})
        expect_error(UnknownGroup, "unknown group", client.series)
        expect_error(UnknownGroup, "unknown group", client.status)


@test(timeout=40)
def a_read_waits_for_a_peer_that_is_away(case):
    cluster = case.cluster(2, proxied=True)
    with cluster[1].client() as client:
        client.insert("d", 0, {"v": 0})
    cluster.converge()
    cluster.cut(1)
    with cluster[1].client() as client:
        token = client.insert("d", 1, {"v": 1}).token
    with cluster[2].client() as client:
        expect_error(Timeout, "token that can't arrive", lambda: list(
            client.query("d", tokens=[token], timeout_ms=300)))
        expect_equal(len(list(client.query("d"))), 1, "rows without the token")
        cluster.heal()
        expect_equal(len(list(client.query("d", tokens=[token], timeout_ms=20000))), 2,
                     "rows with the token")
