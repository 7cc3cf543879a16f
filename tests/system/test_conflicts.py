"""Two leaders that can't see each other change the same data. All nodes choose the same outcome."""

import time

from case import expect, expect_equal, test
from synclog_client import DataType, TWrite, TypeMismatch, make_row


def rows(node, device, measurement="v"):
    with node.client() as client:
        return {row.timestamp: row.values[measurement] for row in client.query(device)
                if measurement in row.values}


def everywhere(cluster, device, wanted):
    cluster.converge()
    for node in cluster:
        expect_equal(rows(node, device), wanted, "%s: %s" % (node, device))


def next_millisecond():
    """Nodes that do not see each other order their writes by milliseconds: what a test calls later
    must be so by their clocks."""
    begin = int(time.time() * 1000)
    while int(time.time() * 1000) < begin + 2:
        pass


def put(node, device, values):
    """One entry with the rows {timestamp: value}."""
    next_millisecond()
    with node.client() as client:
        client.write(TWrite(rows=[make_row(device, at, {"v": value})
                                  for at, value in values.items()]))


def remove(node, device, start, end):
    next_millisecond()
    with node.client() as client:
        client.delete(device, start, end)


@test(timeout=40)
def d07_the_same_point_on_two_leaders(case):
    cluster = case.cluster(proxied=True)
    one, two = cluster[1], cluster[2]
    put(one, "d", {at: "common" for at in range(10)})
    cluster.converge()
    cluster.cut(1)
    # Each in an order of its own; the later write must win, whoever made it.
    put(one, "d", {0: "one", 1: "one"})
    put(two, "d", {0: "two", 2: "two"})
    put(one, "d", {2: "one", 3: "one"})
    put(two, "d", {3: "two", 4: "two"})
    put(one, "d", {4: "one"})
    # Each reads its own writes meanwhile.
    expect_equal([rows(one, "d")[at] for at in range(6)],
                 ["one", "one", "one", "one", "one", "common"], "rows on node 1 while cut off")
    expect_equal([rows(two, "d")[at] for at in range(6)],
                 ["two", "common", "two", "two", "two", "common"], "rows on node 2 while cut off")
    cluster.heal()
    wanted = {0: "two", 1: "one", 2: "one", 3: "two", 4: "one"}
    wanted.update({at: "common" for at in range(5, 10)})
    everywhere(cluster, "d", wanted)
    cluster.stop()
    cluster.start()
    everywhere(cluster, "d", wanted)


@test(timeout=40)
def the_same_point_while_a_node_is_frozen(case):
    """SIGSTOP instead of a cut: connections stay open, nothing is answered."""
    cluster = case.cluster(config={"replication.request_timeout": "1s"})
    put(cluster[1], "d", {1: "first", 2: "first"})
    cluster.converge()
    cluster[3].pause()
    put(cluster[1], "d", {1: "one", 2: "one"})
    put(cluster[2], "d", {2: "two", 3: "two"})
    cluster[3].resume()
    put(cluster[3], "d", {3: "three"})
    everywhere(cluster, "d", {1: "one", 2: "two", 3: "three"})


@test(timeout=60)
def s17_many_points_on_three_leaders(case):
    """All three write the same points at once, cut off from each other or not. Nobody says what
    must win, but it must be the same everywhere, and something that was written."""
    cluster = case.cluster(proxied=True)
    for round_number in range(3):
        if round_number == 1:
            for link in cluster.links.values():
                link.cut()
        for batch in range(case.scaled(30, least=10)):
            for node in cluster:
                put(node, "d", {case.random.randrange(200): "%s %d" % (node, batch)
                                for _ in range(10)})
                if case.random.random() < 0.2:
                    at = case.random.randrange(200)
                    remove(node, "d", at, at + case.random.randrange(20))
        if round_number == 1:
            cluster.heal()
        digest = cluster.converge()
        found = [rows(node, "d") for node in cluster]
        expect(all(each == found[0] for each in found), "rows differ with equal digests")
        expect_equal(digest.cells, len(found[0]), "cells in the digest")
        expect(found[0], "all rows are gone")


@test(timeout=40)
def s36_an_insert_races_a_delete(case):
    cluster = case.cluster(proxied=True)
    one, two = cluster[1], cluster[2]
    put(one, "d", {at: "old" for at in range(20)})
    cluster.converge()
    cluster.cut(1)
    # Older than the delete, but it arrives after it at the others.
    put(one, "d", {5: "before", 105: "before"})
    remove(two, "d", 5, 10)
    remove(two, "d", 100, 110)
    # Newer than the delete.
    put(one, "d", {8: "after", 108: "after"})
    expect_equal(sorted(rows(two, "d")), [0, 1, 2, 3, 4] + list(range(11, 20)),
                 "timestamps on node 2 while cut off")
    cluster.heal()
    wanted = {at: "old" for at in range(20) if not 5 <= at <= 10}
    wanted.update({8: "after", 108: "after"})
    everywhere(cluster, "d", wanted)
    # A restart and a late delete on the third node change nothing of the rule.
    cluster[3].kill()
    cluster[3].start()
    remove(cluster[3], "d", -2 ** 63, 2 ** 63 - 1)
    everywhere(cluster, "d", {})
    put(one, "d", {5: "again"})
    everywhere(cluster, "d", {5: "again"})


@test(timeout=40)
def deletes_of_some_measurements(case):
    cluster = case.cluster(2, proxied=True)
    with cluster[1].client() as client:
        client.insert_rows("d", [(at, {"a": at, "b": float(at)}) for at in range(10)])
    cluster.converge()
    cluster.cut(1)
    with cluster[2].client() as client:
        client.delete("d", 3, 6, measurements=["a"])
    next_millisecond()
    with cluster[1].client() as client:
        client.insert("d", 4, {"a": 44})
        client.delete("d", 5, 8, measurements=["b"])
    cluster.heal()
    cluster.converge()
    for node in cluster:
        expect_equal(rows(node, "d", "a"), {0: 0, 1: 1, 2: 2, 4: 44, 7: 7, 8: 8, 9: 9},
                     "%s: a" % node)
        expect_equal(sorted(rows(node, "d", "b")), [0, 1, 2, 3, 4, 9], "%s: b" % node)


@test(timeout=40)
def two_types_of_one_measurement(case):
    """Both leaders fix a type while cut off: the older write's type is the measurement's, the other
    one is shown as conflicting, its values stay readable, and nobody can add to them."""
    cluster = case.cluster(proxied=True)
    cluster.cut(1)
    with cluster[1].client() as client:
        client.insert_rows("d", [(at, {"m": at + 0.5}) for at in range(5)])
    next_millisecond()
    with cluster[2].client() as client:
        client.insert_rows("d", [(at, {"m": "text %d" % at}) for at in range(3, 8)])
    cluster.heal()
    cluster.converge()
    for node in cluster:
        with node.client() as client:
            device = [each for each in client.series() if each.name == "d"]
            expect_equal(len(device), 1, "%s: devices" % node)
            types = {(each.type, each.conflicting) for each in device[0].measurements}
            expect_equal(types, {(DataType.DOUBLE, False), (DataType.TEXT, True)},
                         "%s: types" % node)
            pages = list(client.query_pages("d"))
            columns = sorted((column.measurement, column.type)
                             for page in pages for column in page.columns)
            expect_equal(columns, [("m", DataType.DOUBLE), ("m", DataType.TEXT)],
                         "%s: columns" % node)
            values = {row.timestamp: row.values["m"] for row in client.query("d")}
            expect_equal(sorted(values), list(range(8)), "%s: timestamps" % node)
            expect_equal((values[0], values[7]), (0.5, "text 7"), "%s: values" % node)
            try:
                client.insert("d", 100 + node.id, {"m": "more text"})
                expect(False, "%s: took the type that lost", node)
            except TypeMismatch as error:
                expect("m" in error.message, "the message does not name the measurement: %s", error)
    for node in cluster:
        with node.client() as client:
            client.insert("d", 200 + node.id, {"m": 1.0})
    before = cluster.converge()
    cluster.stop()
    cluster.start()
    expect_equal(cluster.converge()[:3], before[:3], "digest after a restart")
    with cluster[3].client() as client:
        client.delete("d", -2 ** 63, 2 ** 63 - 1)
    expect_equal(cluster.converge().cells, 0, "cells after a delete of all")
