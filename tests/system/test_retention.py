"""Which logs stay on disk, and what happens when too much does."""

import os
import signal

from case import expect, expect_equal, test
from http_tools import ask, data_cluster
from load import check_everywhere, check_ledger, join_writers, start_writers
from synclog_client import Cluster as Several
from synclog_client import NoSpace, Overloaded
from synclog_client import cluster as cluster_module
from test_ctl import FAILED, Ctl

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
            if at == 350:  # 1.75 of 2.1 MB
                case.eventually("writes are slowed",
                                lambda: "slowed" in (node.status().message or ""))
                expect_equal(node.status().state, "serving", "state while slowed")
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
        expect(refusal.retry_after_ms, "no hint when to try again")
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


def waits_of_the_package(addresses, count):
    """How long it sleeps, the first times, while no node takes a write."""
    waits, real = [], cluster_module.time

    class Clock:
        monotonic = staticmethod(real.monotonic)

        @staticmethod
        def sleep(seconds):
            waits.append(seconds)
            if len(waits) == count:
                raise KeyboardInterrupt  # enough was seen
    cluster_module.time = Clock
    try:
        with Several(addresses) as client:
            client.insert("d", 1, {"v": 1})
    except KeyboardInterrupt:
        return waits
    finally:
        cluster_module.time = real
    return []


@test(timeout=120)
def the_hint_follows_how_long_it_lasts(case):
    """And who honours it: the Python package once all nodes have said no, and an import."""
    cluster = data_cluster(case, 3, dict(SMALL, **{"wal.throttle_threshold": "1MiB"}))
    cluster.converge()
    cluster[3].stop()
    node, others = cluster[1], [cluster[1], cluster[2]]

    def refusal(of):
        try:
            with of.client() as client:
                client.insert("full", case.random.randrange(1 << 40), {"v": "x" * 20000})
        except Overloaded as error:
            return error
        return None
    for each in others:
        first = case.eventually("%s refuses writes" % each, lambda each=each: refusal(each), timeout=40)
        expect(1000 <= first.retry_after_ms < 3000, "the first hint: %s", first.retry_after_ms)
    later = case.eventually("the hint grows", lambda: next(
        (error for error in [refusal(node)] if error.retry_after_ms >= 1500), None), timeout=30, pause=0.1)
    status, headers, _ = ask(case, node, "POST", "/write", b"full2 v=1")
    expect_equal(status, 429, "status over HTTP")
    expect(int(headers["Retry-After"]) * 1000 >= later.retry_after_ms, "Retry-After: %s", headers["Retry-After"])
    # The package asks all, then waits as long as the one says that wants it soonest; one that is down says nothing.
    for addresses, pattern in (([each.address for each in others], [False, True] * 2),
                               ([each.address for each in cluster], [False, False, True] * 2)):
        waits = waits_of_the_package(addresses, len(pattern))
        expect_equal([wait >= 1.0 for wait in waits], pattern, "waits: %s" % waits)
    # An import tries as often as it is told to, not as it likes: not six times in four seconds.
    path = os.path.join(case.dir, "data.csv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("time,v\n1,1.5\n")
    said = Ctl(case, node)("import", "--device", "imported", "--retry-for", "4s", path, code=FAILED).stderr
    expect(1 <= said.count("trying again") <= 4, "tries: %s", said)
    # When it is over the hint is as at the begin, and the import goes through.
    cluster[3].start()
    case.eventually("writes are taken again", lambda: refusal(node) is None, timeout=40, pause=0.1)
    Ctl(case, node)("import", "--device", "imported", "--retry-for", "30s", path)
    cluster.converge()


@test(timeout=60)
def writes_are_refused_below_the_reserve(case):
    """Less of the disk is free than disk_reserve: no writes, reads go on, and it ends by itself."""
    disk = os.statvfs(case.dir)
    if disk.f_bavail * disk.f_frsize > 1 << 40:
        case.skip("more is free than a reserve can be")
    node = case.node(config=SMALL).start()
    with node.client() as client:
        client.insert("d", 1, {"v": 1.0})
        node.config["wal.disk_reserve"] = "1TiB"
        node.write_config()
        node.signal(signal.SIGHUP)

        def refused():
            try:
                client.insert("d", 2, {"v": 2.0})
                return None
            except NoSpace as error:
                return error
        error = case.eventually("writes are refused", refused)
        expect(error.retryable and error.retry_after_ms and "disk_reserve" in error.message,
               "the refusal: %s", error)
        expect_equal(node.status().state, "read-only", "state")
        expect(list(client.query("d")), "no rows")
        node.config["wal.disk_reserve"] = "0"
        node.write_config()
        node.signal(signal.SIGHUP)
        case.eventually("writes are taken again", lambda: refused() is None)
