"""Comparing what nodes hold, and what is left of what was deleted."""

import json
import os
import subprocess
import threading
import time

from case import expect, expect_equal, test
from load import start_writers, stop_writers
from test_ctl import FAILED, Ctl

PLAIN = "stories of steps that repair.* has"

QUICK = {"replication.heartbeat_interval": "100ms"}


def store_size(node):
    directory = os.path.join(node.data_dir, "group-0", "store")
    return sum(entry.stat().st_size for entry in os.scandir(directory)
               if entry.name.endswith(".sst"))


@test(timeout=60)
def d09_while_writes_go_on(case):
    """The servers are never at the same point for long, and are compared all the same."""
    cluster = case.cluster(config=QUICK)
    ctl = Ctl(case, *cluster)
    writers = start_writers(cluster, "load")
    case.eventually("there is a common horizon",
                    lambda: all(node.status().horizon for node in cluster))
    for _ in range(3):
        ctl("digest", "--compare", "--timeout", "500ms")
    stop_writers(writers)
    cluster.converge()
    ctl("digest", "--compare")


@test(timeout=60)
def a_difference_is_found(case):
    """A store that lost a part: the devices and buckets are named."""
    cluster = case.cluster(2, {**QUICK, "store.partition_interval": "1h"})
    ctl = Ctl(case, *cluster)
    hour = 3600 * 1000
    with cluster[1].client() as client:
        for device in range(30):
            client.insert_rows("d%02d" % device, [(i * hour, {"v": i}) for i in range(10)])
    cluster.converge()
    ctl("digest", "--compare")
    # Node 2 alone gets a part more, as if node 1 had lost it: two single clusters with the same ids.
    for node in cluster:
        node.stop()
        node.peers_before, node.peers = node.peers, {}
    cluster[2].start()
    with cluster[2].client() as client:
        client.insert("d07", 3 * hour + 5, {"v": 77})
        client.insert("d11", 5 * hour, {"w": 9})
        client.delete("d20", 2 * hour, 3 * hour - 1)
    cluster[1].start()
    output = ctl("digest", "--compare", "--timeout", "500ms", "--json", code=FAILED)
    found = [(row["device"], row["leftCells"], row["rightCells"])
             for row in json.loads(output.stdout)]
    expect_equal(found, [("d07", 1, 2), ("d11", 1, 2), ("d20", 1, 0)], "buckets that differ")


@test(timeout=60)
def deletes_are_carried_out(case):
    """Below the horizon what was deleted goes for good, at every node, and nothing changes."""
    cluster = case.cluster(config={**QUICK, "store.memtable_size": "256KiB"})
    with cluster[1].client() as client:
        for i in range(300):
            client.insert("big", i, {"v": os.urandom(8000).hex()})
        client.insert("small", 1, {"v": 1})
    cluster.converge()
    case.eventually("it is on disk", lambda: all(store_size(node) > 1 << 20 for node in cluster))
    with cluster[2].client() as client:
        client.delete("big", 0, 1000)
    digest = cluster.converge().digest
    pause = threading.Event()
    with cluster[3].client() as client:
        def is_gone():
            pause.wait(0.2)
            client.insert("small", 1, {"v": 1})
            return all(store_size(node) < 1 << 19 for node in cluster)
        case.eventually("the space is free again", is_gone, timeout=40)
    expect_equal(cluster.converge().digest, digest, "digest")
    for node in cluster:
        node.kill()
        node.start()
    expect_equal(cluster.converge().digest, digest, "digest after a kill")
    case.eventually("the horizon is told", lambda: all(node.status().horizon for node in cluster))


@test(timeout=60)
def nodes_compare_by_themselves(case):
    """In the background, as of the same clocks; a difference is told by an alarm line and the status."""
    config = {**QUICK, "store.check_interval": "1s"}
    cluster = case.cluster(config=config)
    one, two, three = cluster
    with one.client() as client:
        client.insert("d", 1, {"v": 1})
    cluster.converge()
    case.eventually("they were compared", lambda: all(
        peer.comparedHlc and not peer.dataDiffers
        for node in cluster for peer in node.status().peers), timeout=40)
    # Node 1 gets writes that node 2 never hears of: from a node that is no member later.
    for node in cluster:
        node.stop()
    del one.peers[2], three.peers[2]
    one.start()
    three.start()
    with three.client() as client:
        client.insert("d", 2, {"v": 2})
    case.eventually("node 1 has it", lambda: one.applied(3) > 0)
    three.stop()
    one.stop()
    one.peers = {2: two.peer_address}
    del two.peers[3]
    one.start()
    two.start()
    case.eventually("the difference is told", lambda: (
        one.peer_status(2).dataDiffers and two.peer_status(1).dataDiffers), timeout=40)
    expect("holds other data" in one.log_text(), "no alarm line")
    Ctl(case, one, two)("status", "--check", code=FAILED)


def slow_digests(case, config):
    """Nodes with one worker each, for which a digest takes twenty seconds."""
    cluster = case.cluster(2, start=False, config=dict(QUICK, **{"threads.workers": "1"}, **config))
    for node in cluster:
        node.arm("digest_bucket=delay:200+")
    cluster.start()
    with cluster[1].client() as client:
        for device in range(100):
            client.insert("d%d" % device, 1, {"v": device})
    return cluster


def answers_and_stops(case, node):
    """While a digest is under way a read does not wait for it, nor does the node's end."""
    case.eventually("a digest is taken", lambda: "failpoint digest_bucket" in node.log_text())
    begin = time.monotonic()
    with node.client() as client:
        for device in range(3):
            expect_equal(client.last("d%d" % device)["v"].value, device, "the last value")
    took = time.monotonic() - begin
    expect(took < 3, "three reads took %.1f s", took)
    node.stop(timeout=8)


def asks(case, node, *arguments):
    """The same while synclogctl asks for something that wants a digest."""
    ctl = subprocess.Popen([case.program("synclogctl"), "-s", node.address, *arguments], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    case.at_end(ctl.wait)
    answers_and_stops(case, node)
    ctl.wait()


@test(timeout=60, failpoints=True)
def a_comparison_keeps_nobody_waiting(case):
    answers_and_stops(case, slow_digests(case, {"store.check_interval": "1s"})[1])


@test(timeout=60, failpoints=True)
def a_backup_keeps_nobody_waiting(case):
    node = slow_digests(case, {"store.check_interval": "0"})[1]
    asks(case, node, "backup", "create", os.path.join(case.dir, "backup"))


@test(timeout=60, failpoints=True)
def an_operators_digest_keeps_nobody_waiting(case):
    node = slow_digests(case, {"store.check_interval": "0"})[1]
    asks(case, node, "digest")
