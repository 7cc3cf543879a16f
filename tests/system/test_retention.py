"""Which logs stay on disk, and what happens when too much does."""

from case import expect, expect_equal, test
from load import check_everywhere, check_ledger, join_writers, start_writers
from synclog_client import Overloaded

SMALL = {"wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB",
         "replication.max_pending_bytes": "64KiB"}


@test(timeout=60)
def segments_go_when_nobody_needs_them(case):
    cluster = case.cluster(2, SMALL)
    ledger = join_writers(start_writers(cluster, "load", per_node=2, payload="x" * 2000,
                                        count=case.scaled(200, least=100)))
    check_everywhere(cluster, ledger)
    # Some more, little by little: what is needed is only known after the store wrote to disk.
    case.eventually("old segments are deleted", lambda: (
        ledger.merge(join_writers(start_writers(cluster, "more%d" % ledger.writes, count=5,
                                                payload="x" * 5000))) or
        all(each.walSegments <= 5 and each.progress.firstAvailable > 50
            for node in cluster for each in node.status().logs)), timeout=30, pause=0.2)
    for node in cluster:
        for origin in (1, 2):
            expect(len(node.segments(origin)) <= 6, "%s: %d segments of log %d", node,
                   len(node.segments(origin)), origin)
    digest = check_everywhere(cluster, ledger)
    for node in cluster:
        node.kill()
    cluster.start()
    expect_equal(check_everywhere(cluster, ledger)[:3], digest[:3], "digest after a kill")


@test(timeout=60)
def nothing_goes_that_a_peer_needs(case):
    """Restarts and a small store change nothing of it."""
    cluster = case.cluster(2, SMALL)
    cluster.converge()
    cluster[2].stop()
    ledger = join_writers(start_writers([cluster[1]], "load", per_node=2, payload="x" * 2000,
                                        count=case.scaled(150, least=60)))
    cluster[1].kill()
    cluster[1].start()
    ledger.merge(join_writers(start_writers([cluster[1]], "more", payload="x" * 2000, count=30)))
    own = cluster[1].own_log()
    expect(own.walSegments > 3, "%d segments for %d entries", own.walSegments, own.progress.durable)
    expect_equal(own.progress.firstAvailable, 1, "first index that is kept")
    cluster[2].start()
    check_everywhere(cluster, ledger)


@test(timeout=60)
def writes_are_refused_at_the_threshold(case):
    """A peer that stays away holds the log; above throttle_threshold writes are refused with a
    clear error, reads go on, and the peer's return ends it."""
    cluster = case.cluster(2, dict(SMALL, **{"wal.throttle_threshold": "2MiB"}))
    cluster.converge()
    cluster[2].stop()
    node, written, refusal = cluster[1], {}, None
    with node.client() as client:
        for at in range(1, 5000):
            value = "%d" % at + "x" * 5000
            try:
                client.insert("full", at, {"v": value})
                written[at] = value
            except Overloaded as error:
                refusal = error
                break
        expect(refusal is not None, "%d writes of 5 kB over a threshold of 2 MiB", len(written))
        expect(refusal.retryable and "throttle_threshold" in refusal.message, "the refusal: %s",
               refusal)
        expect_equal(len(list(client.query("full"))), len(written), "rows")
        case.note("%.1f MB written until writes were refused" % (len(written) * 5000 / 1e6))
        cluster[2].start()

        def taken():
            try:
                client.insert("again", 1, {"v": "1"})
                return True
            except Overloaded:
                return False
        case.eventually("writes are taken again", taken, timeout=40, pause=0.1)
    ledger = join_writers(start_writers([node], "after", count=5))
    ledger.acknowledged["full"] = written
    check_everywhere(cluster, ledger)
    check_ledger(node, ledger)
