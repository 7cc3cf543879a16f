"""What was written a while ago becomes chunks; nothing that is shown changes by it."""

import threading

from case import expect, expect_equal, test
from load import start_writers, stop_writers
from test_ctl import Ctl

QUICK = {"replication.heartbeat_interval": "100ms", "store.partition_interval": "10s"}
CHUNKING = {**QUICK, "store.compact_after": "300ms", "store.memtable_size": "256KiB"}
NEVER = {**QUICK, "store.compact_after": "0s"}

DEVICES = ("one", "two")


def write_all(cluster):
    """Rows of all leaders over several partitions, some over others, and a delete."""
    for number, node in enumerate(cluster):
        with node.client() as client:
            for device in DEVICES:
                for start in range(0, 60000, 6000):
                    client.insert_rows(device, [
                        (start + i * 100, {"a": (start + i) / 10, "b": i, "c": "text %d" % (i % 3),
                                           "d%d" % number: i % 2 == 0})
                        for i in range(60)])
                client.delete(device, 3000 + number, 4000 + number)


def rows_of(node, device):
    with node.client() as client:
        return list(client.query(device))


def wait_for_chunks(case, nodes):
    """Until no more than the rows that are not worth it are left as they came."""
    pause = threading.Event()

    def are_done():
        pause.wait(0.1)
        return all(node.status().chunks > 0 and node.status().rawBlocks < 64 for node in nodes)
    case.eventually("there are chunks", are_done, timeout=40)


@test(timeout=90)
def on_some_nodes_only(case):
    """Two of three nodes make chunks: all show the same, before and after kill -9."""
    cluster = case.cluster(config=CHUNKING)
    cluster[3].stop()
    cluster[3].config.update(NEVER)
    cluster[3].start()
    ctl = Ctl(case, *cluster)
    write_all(cluster)
    digest = cluster.converge().digest
    rows = rows_of(cluster[3], "one")
    wait_for_chunks(case, (cluster[1], cluster[2]))
    expect_equal(cluster[3].status().chunks, 0, "chunks of the node that makes none")
    expect_equal(cluster.converge().digest, digest, "digest")
    ctl("digest", "--compare")
    for node in cluster:
        expect_equal(rows_of(node, "one"), rows, "rows of %s" % node.name)
    for node in cluster:
        node.kill()
        node.start()
    expect_equal(cluster.converge().digest, digest, "digest after a kill")
    expect_equal(rows_of(cluster[1], "one"), rows, "rows after a kill")


@test(timeout=120, plain=True)
def killed_while_chunks_are_made(case):
    """Writes go on, chunks are made all the time, and the nodes are killed in turn."""
    cluster = case.cluster(config=CHUNKING)
    ctl = Ctl(case, *cluster)
    write_all(cluster)
    writers = start_writers(cluster, "load")
    for node in list(cluster) * 2:
        # While writes go on there are always some that wait.
        case.eventually("there are chunks", lambda node=node: node.status().chunks > 0, timeout=40)
        node.kill()
        node.start()
    stop_writers(writers)
    cluster.converge()
    wait_for_chunks(case, cluster)
    ctl("digest", "--compare")
    expect(all(node.status().chunkBytes > 0 for node in cluster), "no bytes of chunks are told")
