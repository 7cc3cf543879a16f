"""A member that lacks entries which are deleted elsewhere gets a snapshot, and goes on from it."""

import os
import re
import shutil
import time

from case import expect, expect_equal, expect_error, test
from load import Ledger, check_everywhere, check_ledger, join_writers, start_writers
from synclog_client import NotReady
from test_ctl import FAILED, USAGE, Ctl
from test_handover import id_of, log_of, put_back

SMALL = {"wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB",
         "replication.max_pending_bytes": "64KiB", "replication.max_retry_wait": "500ms"}
LIMIT = dict(SMALL, **{"wal.wal_retention_limit": "1MiB"})


def write_some(cluster, name, ledger=None, nodes=None, count=60, size=4000):
    more = join_writers(start_writers(nodes or cluster, name, per_node=2, payload="x" * size,
                                      count=count))
    if ledger is None:
        return more
    ledger.merge(more)
    return ledger


def write_until_trimmed(case, cluster, ledger):
    """Little by little, until the first entries of all nodes' logs are gone everywhere."""
    case.eventually("old segments are deleted", lambda: (
        write_some(cluster, "more%d" % ledger.writes, ledger, count=5) and
        all(each.progress.firstAvailable > 10 for node in cluster for each in node.status().logs)),
        timeout=30, pause=0.2)


def is_seeded(node, count=1):
    return node.log_text().count("the store is that of node") >= count


def wait_seeded(case, node, count=1):
    case.eventually("%s got a snapshot" % node, lambda: is_seeded(node, count), timeout=40)
    node.wait_ready()


@test(timeout=90)
def a_wiped_node_gets_a_snapshot(case):
    """Its logs begin anew behind it, and it writes a new incarnation."""
    cluster = case.cluster(3, SMALL)
    ledger = write_some(cluster, "load")
    write_until_trimmed(case, cluster, ledger)
    cluster.converge()
    before = cluster[3].own_log().progress.log.incarnation
    cluster[3].stop()
    shutil.rmtree(cluster[3].data_dir)
    write_some(cluster, "while-away", ledger, nodes=[cluster[1], cluster[2]])
    cluster[3].start()
    wait_seeded(case, cluster[3])
    write_some(cluster, "after", ledger)
    check_everywhere(cluster, ledger)
    expect(cluster[3].own_log().progress.log.incarnation > before, "no new incarnation")
    expect_equal(sorted(os.listdir(os.path.join(cluster[3].data_dir, "group-0"))),
                 ["snapshots", "store", "wal"], "what is beside the store")
    # It is as good as any other: also after a kill.
    for node in cluster:
        node.kill()
    cluster.start()
    check_everywhere(cluster, ledger)


def insert(node, device, count):
    with node.client() as client:
        for i in range(count):
            client.insert(device, i, {"v": i})


def check_fork(case, seeded_first):
    """Node 1 writes 40 entries, is put back to a copy that lacks them, and writes 60 others while it
    is cut off. Node 2, which alone can tell, got a snapshot before or behind the 40."""
    cluster = case.cluster(2, SMALL, proxied=True)
    node, mirror = cluster
    write_until_trimmed(case, cluster, write_some(cluster, "load"))
    cluster.converge()
    mirror.stop()
    shutil.rmtree(mirror.data_dir)
    if seeded_first:
        mirror.start()
        wait_seeded(case, mirror)
        insert(node, "first", 10)
        cluster.converge()
    node.stop()
    copy = node.data_dir + ".copy"
    shutil.copytree(node.data_dir, copy)
    node.start()
    insert(node, "original", 40)
    if not seeded_first:
        mirror.start()
        wait_seeded(case, mirror)
    cluster.converge()
    node.stop()
    put_back(node, copy)
    cluster.cut(1)
    node.start()
    insert(node, "other", 60)
    old = id_of(node.own_log())
    cluster.heal()
    case.eventually("a new log begins", lambda: id_of(node.own_log()) != old)
    case.eventually("the fork is told", lambda: log_of(node, old).state == "forked")
    insert(node, "new", 10)
    new = id_of(node.own_log())
    case.eventually("the new log spreads", lambda: (
        log_of(mirror, new) is not None and log_of(mirror, new).progress.applied == 10))
    with mirror.client() as client:
        expect_equal(len(list(client.query("original"))), 40, "rows of the original")
        expect_equal(len(list(client.query("other"))), 0, "rows of the fork")


@test(timeout=90)
def a_fork_is_found_behind_a_snapshot(case):
    """A mirror that begins in the middle of a log has its digest all the same."""
    check_fork(case, True)


@test(timeout=90)
def a_fork_is_found_where_only_a_snapshot_is(case):
    """… and before it has an entry."""
    check_fork(case, False)


@test(timeout=90, plain=True)
def s16_beyond_the_limit_a_member_is_given_up_and_seeded(case):
    """Writes are never refused, the logs stay small, the member is marked, and comes back."""
    cluster = case.cluster(3, LIMIT)
    ledger = write_some(cluster, "load", count=20)
    cluster.converge()
    own = cluster[3].own_log().progress.log
    cluster[3].kill()
    others = [cluster[1], cluster[2]]
    for round_number in range(6):
        write_some(cluster, "away%d" % round_number, ledger, nodes=others, count=80)
    case.eventually("node 3 is marked", lambda: all(
        node.peer_status(3).needsReseed for node in others))
    case.eventually("the WAL is within its limit", lambda: all(
        sum(each.walBytes for each in node.status().logs) < 2 << 20 for node in others))
    for node in others:
        expect_equal(node.status().state, "serving", "state of %s" % node)
        expect("further behind than wal_retention_limit" in node.log_text(), "no message")
    cluster[3].start()
    wait_seeded(case, cluster[3])
    write_some(cluster, "after", ledger, count=20)
    check_everywhere(cluster, ledger)
    expect_equal(cluster[3].own_log().progress.log, own, "the log that node 3 writes")
    case.eventually("the mark is gone", lambda: not any(
        node.peer_status(3).needsReseed for node in others))


@test(timeout=90, plain=True)
def what_it_wrote_alone_is_not_lost(case):
    """A member that wrote while it was cut off, and is given up meanwhile: what it acknowledged
    is applied on top of the snapshot from its own log (P1, P4)."""
    cluster = case.cluster(3, LIMIT, proxied=True)
    ledger = write_some(cluster, "load", count=20)
    cluster.converge()
    own = cluster[3].own_log().progress.log
    cluster.cut(3)
    write_some(cluster, "alone", ledger, nodes=[cluster[3]], count=30)
    others = [cluster[1], cluster[2]]
    for round_number in range(6):
        write_some(cluster, "away%d" % round_number, ledger, nodes=others, count=80)
    case.eventually("node 3 is marked", lambda: all(
        node.peer_status(3).needsReseed for node in others))
    cluster.heal()
    wait_seeded(case, cluster[3])
    check_everywhere(cluster, ledger)
    expect_equal(cluster[3].own_log().progress.log, own, "the log that node 3 writes")


@test(timeout=120, plain=True)
def the_giver_dies_and_stays_away(case):
    """With the one that it gives to; started again alone, that one is seeded by the third."""
    cluster = case.cluster(3, dict(SMALL, **{"replication.snapshot_rate": "1MiB"}))
    ledger = Ledger()
    for number in range(12):  # what does not compress: more than the rate lets pass at once
        noise = case.random.randbytes(50000).hex()
        ledger.merge(join_writers(start_writers(cluster, "noise%d" % number, per_node=1,
                                                payload=noise, count=5)))
    write_until_trimmed(case, cluster, ledger)
    cluster.converge()
    target = cluster[3]
    target.kill()
    shutil.rmtree(target.data_dir)
    target.launch()
    case.eventually("a snapshot is being fetched", lambda: re.search(
        r"fetching a snapshot of node \d+: \d+ bytes", target.log_text()), timeout=40, pause=0.02)
    with target.client() as client:
        error = expect_error(NotReady, "a write while it is seeded", client.insert, "d", 1, {"v": 1})
    expect(1000 <= error.retry_after_ms <= 30000, "the hint when to try again: %s", error.retry_after_ms)
    giver = cluster[int(re.findall(r"fetching a snapshot of node (\d+): ", target.log_text())[-1])]
    third = cluster[6 - target.id - giver.id]
    for node in (giver, target):
        node.kill()
    expect(not is_seeded(target), "it was seeded before it was killed")
    target.launch()
    case.eventually("the third node gave a snapshot", lambda: (
        "the store is that of node %d" % third.id in target.log_text()), timeout=60)
    target.wait_ready()
    giver.start()
    write_some(cluster, "after", ledger, count=5)
    check_everywhere(cluster, ledger)


@test(timeout=60, failpoints=True)
def who_can_make_no_snapshot_says_why_and_another_is_asked(case):
    """Node 1's store can't be made durable before a restart, since a sync of its copy of node 3's log failed."""
    cluster = case.cluster(3, start=False, config={"store.memtable_size": "256KiB",
                                                   "replication.mirror_sync_interval": "1s"})
    for each in cluster:
        each.arm("")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=5))
    cluster.converge()
    node = cluster[1]
    case.eventually("all is durable", lambda: all(
        log.progress.durable == log.progress.applied for log in node.status().logs))
    node.arm("wal_before_sync=EIO")
    write_some(cluster, "three", ledger, nodes=[cluster[3]], count=5)
    case.eventually("the sync failed", lambda: node.log_status(3).state == "read-only")
    write_some(cluster, "one", ledger, nodes=[node])
    case.eventually("it persists no more",
                    lambda: "made durable no more until a restart" in node.log_text())
    cluster.converge()

    def applied_by(peer):
        """As node 3 knows it: it asks first who has the most."""
        return sum(log.applied for log in cluster[3].peer_status(peer).progress.logs)
    case.eventually("node 3 knows that both have as much", lambda: applied_by(1) == applied_by(2))
    Ctl(case, cluster[3])("peer", "reseed", "3")
    wait_seeded(case, cluster[3])
    text = cluster[3].log_text()
    expect("no snapshot of node 1: the store can't be made durable before a restart" in text,
           "node 1 was not asked, or did not say why")
    expect("the store is that of node 2" in text, "it is not node 2's")
    node.arm("")
    node.stop()
    node.start()
    check_everywhere(cluster, ledger)


@test(timeout=60)
def an_operator_has_a_node_reseeded(case):
    """Under load, by way of another node; nothing is lost, and the node goes on with its log."""
    cluster = case.cluster(3, SMALL)
    ctl = Ctl(case, cluster[1])
    ledger = write_some(cluster, "load", count=30)
    cluster.converge()
    own = cluster[2].own_log().progress.log
    writers = start_writers([cluster[1], cluster[3]], "beside", per_node=1, count=200, pause=0.005)
    ctl("peer", "reseed", "2", "--from", "3")
    wait_seeded(case, cluster[2])
    ledger.merge(join_writers(writers))
    check_everywhere(cluster, ledger)
    expect("the store is that of node 3" in cluster[2].log_text(), "not from node 3")
    expect_equal(cluster[2].own_log().progress.log, own, "the log that node 2 writes")
    ctl("peer", "reseed", "1", "--from", "1", code=FAILED)
    ctl("peer", "reseed", "9", code=FAILED)
    ctl("peer", "reseed", "x", code=USAGE)


# --- kill -9 at each step -------------------------------------------------------------------------

TARGET_POINTS = ("seed_before_manifest", "seed_before_fragment", "seed_fragment",
                 "seed_file_before_sync", "seed_before_compare", "seed_before_ready", "seed_ready",
                 "install_begin", "install_before_old", "install_between", "install_moved",
                 "install_before_mirrors", "install_before_end")
SOURCE_POINTS = ("checkpoint_before", "checkpoint_made", "snapshot_before_describe",
                 "snapshot_read")


def wiped_with(case, points, on_source):
    """Node 3 is wiped once for each point, and something dies there; each time it comes back to
    the same data."""
    cluster = case.cluster(3, SMALL, start=False)
    for node in cluster:
        node.arm("")
    cluster.start()
    ledger = write_some(cluster, "load")
    write_until_trimmed(case, cluster, ledger)
    cluster.converge()
    target, sources = cluster[3], [cluster[1], cluster[2]]
    for point in points:
        target.kill()
        shutil.rmtree(target.data_dir)
        armed = sources if on_source else [target]
        for node in armed:
            node.expect_death()
            node.arm(point + "=kill")
        target.launch()
        case.eventually("one dies at %s" % point,
                        lambda: any(not node.running for node in armed), timeout=20)
        for node in armed:
            node.arm("")
            if not node.running:
                expect("failpoint %s kill" % point in node.log_text(), "%s died elsewhere", node)
                node.start()
            node.expect_life()
        case.eventually("%s was killed at %s and goes on" % (armed[0], point), lambda: (
            target.is_ready() and target.status().state == "serving" and
            target.applied(1) > 0), timeout=40, pause=0.1)
        write_some(cluster, "after-" + point, ledger, count=3)
        check_everywhere(cluster, ledger)
        expect_equal(sorted(os.listdir(os.path.join(target.data_dir, "group-0"))),
                     ["snapshots", "store", "wal"], "what is beside the store after " + point)


@test(timeout=90, failpoints=True)
def the_target_is_stopped_while_it_compares(case):
    """It does not wait for the end of it, keeps what it fetched, and goes on with that."""
    cluster = case.cluster(3, SMALL, start=False)
    target = cluster[3]
    target.arm("")
    cluster.start()
    ledger = write_some(cluster, "load")
    write_until_trimmed(case, cluster, ledger)
    cluster.converge()
    target.kill()
    shutil.rmtree(target.data_dir)
    target.arm("seed_comparing=delay:4000+")  # for each bucket: minutes in all
    target.launch()
    case.eventually("it compares", lambda: "failpoint seed_comparing" in target.log_text(),
                    timeout=40, pause=0.1)
    begin = time.monotonic()
    target.stop()
    case.note("stopped in %.1f s" % (time.monotonic() - begin))
    expect(not is_seeded(target), "it had compared everything")
    target.arm("")
    target.launch()
    wait_seeded(case, target)
    expect(re.search(r"fetching the snapshot of node \d goes on", target.log_text()), "begun anew")
    check_everywhere(cluster, ledger)


@test(timeout=400, failpoints=True)
def s34_the_target_is_killed_at_each_step(case):
    wiped_with(case, TARGET_POINTS, on_source=False)


@test(timeout=200, failpoints=True)
def the_source_is_killed_at_each_step(case):
    wiped_with(case, SOURCE_POINTS, on_source=True)


@test(timeout=60)
def between_two_stores_without_a_manifest(case):
    """The process ended when the old store was out of the way and the new one not in its place yet, and what tells of
    that has gone bad: the old one is taken back, not an empty one begun."""
    cluster = case.cluster(1)
    node = cluster[1]
    ledger = join_writers(start_writers(cluster, "before", count=20))
    node.stop()
    group = os.path.join(node.data_dir, "group-0")
    os.rename(os.path.join(group, "store"), os.path.join(group, "store.old"))
    os.mkdir(os.path.join(group, "store.new"))
    with open(os.path.join(group, "seed.ini"), "w", encoding="ascii") as file:
        file.write("[snapshot]\nstate=rea")
    # What the store had is deleted from the logs.
    for segment in node.segments(1):
        os.unlink(segment)
    node.start()
    check_ledger(node, ledger)
    expect_equal([name for name in ("store.old", "store.new", "seed.ini") if os.path.exists(os.path.join(group, name))],
                 [], "left beside the store")
