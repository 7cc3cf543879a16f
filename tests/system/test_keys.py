"""Writes with a key: what is sent again is applied once."""

import subprocess
import threading
import uuid

from case import expect, expect_equal, test
from cluster import sanitizer_environment
from synclog_client import ERRORS, Invalid, Status, TWrite, make_row


def write_of(value):
    return TWrite(rows=[make_row("plant.a", 1, {"value": value})])


def entries_of(node):
    """Entries in the node's own log."""
    return node.own_log().progress.durable


@test(timeout=60)
def the_same_key_gives_the_same_token(case):
    cluster = case.cluster()
    with cluster[1].client() as client:
        first = client.write(write_of(1.0), key=b"k1")
        again = client.write(write_of(1.0), key=b"k1")
        expect_equal(again.token, first.token, "token")
        expect(not again.pending, "it is durable here")
        expect(client.write(write_of(2.0), key=b"k2").token.index == first.token.index + 1, "another key is another write")
        # What would make a difference: the first value may not come back over the second.
        expect_equal(client.write(write_of(1.0), key=b"k1").token, first.token, "token after another write")
        expect_equal(client.last("plant.a")["value"].value, 2.0, "value")
        expect_equal(entries_of(cluster[1]), 2, "entries")
    cluster.converge()
    with cluster[3].client() as other:
        expect_equal(other.write(write_of(1.0), key=b"k1").token, first.token, "token from another node")
        expect(other.write(write_of(1.0), ack="all", key=b"k1").pending, "how far it is spread is not known there")
        expect_equal(entries_of(cluster[3]), 0, "entries of the other node")
        expect_equal(other.last("plant.a")["value"].value, 2.0, "value on another node")


@test(timeout=60)
def keys_are_known_after_a_kill(case):
    """Those in the store and those that recovery finds in the logs."""
    cluster = case.cluster(config={"store.memtable_size": "64KiB"})
    tokens = {}
    with cluster[1].client() as client:
        for i in range(case.scaled(300, 60)):
            key = b"key %d" % i
            tokens[key] = client.write(TWrite(rows=[make_row("plant.%d" % i, i, {"text": "x" * 1000})]), key=key).token
    cluster.converge()
    for node in (cluster[1], cluster[2]):
        node.kill()
        node.start()
        with node.client() as client:
            for key, token in tokens.items():
                expect_equal(client.write(write_of(0.5), key=key).token, token, "token on node %d" % node.id)
        expect_equal(entries_of(cluster[1]), len(tokens), "entries")
    expect_equal(entries_of(cluster[2]), 0, "entries of the other node")


@test(timeout=60)
def at_the_same_time_one_is_written(case):
    """All get its token, whoever was first, also when they wait for more than this node."""
    cluster = case.cluster()
    results, threads = {}, []

    def run(number, key, ack):
        with cluster[1].client() as client:
            results[number] = (key, client.write(write_of(1.0), key=key, ack=ack))
    keys = [uuid.uuid4().bytes for _ in range(case.scaled(20, 6))]
    for i, key in enumerate(keys):
        for j in range(6):
            threads.append(threading.Thread(target=run, args=((i, j), key, ("local", "majority", "all")[j % 3])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal(len(results), len(threads), "answers")
    for key in keys:
        expect_equal(len({result.token for one, result in results.values() if one == key}), 1, "tokens of a key")
    expect_equal(entries_of(cluster[1]), len(keys), "entries")


@test(timeout=60)
def refused_writes_leave_their_key(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        client.write(write_of(1.0), key=b"a")
        for _ in range(2):
            try:
                client.write(TWrite(rows=[make_row("plant.a", 1, {"value": "text"})]), key=b"b")
            except ERRORS[Status.TYPE_MISMATCH]:
                continue
            expect(False, "a text was taken for a number")
        expect_equal(client.write(write_of(3.0), key=b"b").token.index, 2, "the key is free for a write that can be taken")
        for bad in (b"", b"x" * 65):
            try:
                client.write(write_of(1.0), key=bad)
            except Invalid as error:
                expect("key" in str(error), "it does not name the key: %s", error)
                continue
            expect(False, "a key of %d bytes was taken", len(bad))
        client.write(write_of(1.0), key=b"x" * 64)


@test(timeout=60)
def the_tool_takes_a_key(case):
    cluster = case.cluster(2)

    def insert(node):
        return subprocess.run([case.program("synclogctl"), "-s", node.address, "insert", "d", "1", "v=1", "--key", "K-1"],
                              check=True, capture_output=True, text=True, env=sanitizer_environment()).stdout
    token = insert(cluster[1])
    expect_equal(insert(cluster[1]), token, "token")
    cluster.converge()
    expect_equal(insert(cluster[2]), token, "token of the other node")
