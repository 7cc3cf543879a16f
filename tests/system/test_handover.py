"""Logs whose origin does not reach a node, or is lost for good."""

import os
import shutil

from case import expect, expect_equal, expect_error, test
from load import check_everywhere, join_writers, start_writers, stop_writers
from synclog_client import Forgotten, Invalid

QUICK = {"replication.request_timeout": "1s", "replication.heartbeat_interval": "100ms",
         "replication.basic_retry_wait": "50ms", "replication.max_retry_wait": "500ms"}


def cut_between(cluster, one, other):
    cluster.links[one, other].cut()
    cluster.links[other, one].cut()


def log_of(node, log):
    """What the node says of one log, or None."""
    for status in node.status().logs:
        if (status.progress.log.origin, status.progress.log.incarnation) == log:
            return status
    return None


def id_of(status):
    return status.progress.log.origin, status.progress.log.incarnation


@test(timeout=60)
def around_a_dead_link(case):
    """1–2 and 2–3 are up, 1–3 is down: all converge under load, and node 2 sends no entry twice."""
    cluster = case.cluster(config=QUICK, proxied=True)
    cut_between(cluster, 1, 3)
    writers = start_writers(cluster, "load")
    log = id_of(cluster[1].own_log())
    case.eventually("node 3 says who hands on", lambda: getattr(log_of(cluster[3], log), "handedOnBy", None) == 2)
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger)
    cluster.heal()
    case.eventually("the origin sends again by itself",
                    lambda: log_of(cluster[3], log).handedOnBy is None)
    check_everywhere(cluster, join_writers(start_writers(cluster, "later", count=20)))


@test(timeout=60)
def s22_what_one_survivor_has(case):
    """The last writes of a lost node reached one survivor only. They spread, and an operator's word
    ends all waiting for it."""
    cluster = case.cluster(config=QUICK, proxied=True)
    case.eventually("all have met", lambda: all(
        each.state == "connected" for node in cluster for each in node.status().peers))
    cut_between(cluster, 1, 3)
    cut_between(cluster, 2, 3)
    with cluster[3].client() as client:
        for i in range(50):
            client.insert("lost", i, {"v": i})
    log = id_of(cluster[3].own_log())
    expect_equal(log_of(cluster[1], log).progress.received, 0, "entries at node 1 so far")
    cluster.links[3, 2].heal()
    case.eventually("node 2 has it", lambda: log_of(cluster[2], log).progress.durable == 50)
    cluster.links[2, 1].cut()
    cluster[3].kill()
    cluster.links[2, 1].heal()
    case.eventually("node 1 has it", lambda: log_of(cluster[1], log).progress.applied == 50)
    with cluster[1].client() as client:
        expect_equal(len(list(client.query("lost"))), 50, "rows of the lost node")
        expect_error(Invalid, "forgetting a node that is there", client.forget, 2)
        case.eventually("it is taken as gone", lambda: cluster[1].peer_status(3).silentMs > 500)
        client.forget(3)
        status = client.insert("after", 1, {"v": 1}, ack="all", timeout_ms=10000)
        expect(not status.pending, "ack = all waits for a node that was declared lost")
    for node in (cluster[1], cluster[2]):
        case.eventually("all know", lambda node=node: (
            node.peer_status(3).state == "forgotten" and log_of(node, log).state == "closed"))
    cluster[2].stop()
    cluster[2].start()
    expect_equal(cluster[2].peer_status(3).state, "forgotten", "state after a restart")
    # It comes back: nobody listens, and it takes no writes that would stay with it.
    cluster[3].start()

    def takes_no_writes():
        with cluster[3].client() as client:
            try:
                client.insert("alone", 1, {"v": 1})
            except Forgotten:
                return True
        return False
    case.eventually("the lost node takes no writes", takes_no_writes)


@test(timeout=60)
def s23_a_restored_copy(case):
    """A data directory is put back to an old copy: the node notices, goes on in a new log, and gets
    back what it had written since."""
    cluster = case.cluster(config=QUICK)
    first = join_writers(start_writers(cluster, "before", count=30))
    cluster.converge()
    node = cluster[1]
    node.stop()
    copy = node.data_dir + ".copy"
    shutil.copytree(node.data_dir, copy)
    node.start()
    old = id_of(node.own_log())
    second = join_writers(start_writers(cluster, "after", count=30))
    cluster.converge()
    node.stop()
    shutil.rmtree(node.data_dir)
    os.rename(copy, node.data_dir)
    node.start()
    expect(id_of(node.own_log()) != old, "a restored copy goes on in its old log")
    third = join_writers(start_writers(cluster, "again", count=10))
    for ledger in (first, second, third):
        check_everywhere(cluster, ledger)
    expect("is a copy" in node.log_text(), "nothing is said of the copy")


def put_back(node, copy):
    """The old copy stands in place of the data directory, which keeps its inode: nothing shows it."""
    for name in os.listdir(node.data_dir):
        path = os.path.join(node.data_dir, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    shutil.copytree(copy, node.data_dir, dirs_exist_ok=True)


@test(timeout=60)
def a_restored_disk(case):
    """The same when the directory itself does not show it (a disk's snapshot), and the node has
    written other entries before it hears of its peers: the fork is found, told, and not followed."""
    cluster = case.cluster(config=QUICK, proxied=True)
    join_writers(start_writers(cluster, "before", count=20))
    cluster.converge()
    node = cluster[1]
    old = id_of(node.own_log())
    node.stop()
    copy = node.data_dir + ".copy"
    shutil.copytree(node.data_dir, copy)
    node.start()
    with node.client() as client:
        for i in range(40):
            client.insert("original", i, {"v": i})
    cluster.converge()
    node.stop()
    put_back(node, copy)
    cluster.cut(1)
    node.start()
    with node.client() as client:
        for i in range(60):
            client.insert("other", i, {"v": i})
    expect_equal(id_of(node.own_log()), old, "the log, as nothing shows that it is an old one")
    cluster.heal()
    case.eventually("a new log begins", lambda: id_of(node.own_log()) != old)
    case.eventually("the fork is told", lambda: log_of(node, old).state == "forked")
    with node.client() as client:
        for i in range(10):
            client.insert("new", i, {"v": i})
    new = id_of(node.own_log())
    for peer in (cluster[2], cluster[3]):
        case.eventually("the new log spreads", lambda peer=peer: (
            log_of(peer, new) is not None and log_of(peer, new).progress.applied == 10))
        with peer.client() as client:
            expect_equal(len(list(client.query("original"))), 40, "rows of the original")
            expect_equal(len(list(client.query("other"))), 0, "rows of the fork")
