"""What is written is read: all types, the ends of their ranges, absent values, pages, windows."""

import math
import struct

from case import expect, expect_equal, test
from synclog_client import DataType, TWrite, make_row, make_tablet

INT64_MIN, INT64_MAX = -2 ** 63, 2 ** 63 - 1
INT32_MIN, INT32_MAX = -2 ** 31, 2 ** 31 - 1


def bits(value):
    """A value that compares equal only when it is the same bit for bit."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def same(got, wanted, what):
    expect_equal([bits(each) for each in got], [bits(each) for each in wanted], what)


def written_both_ways(case, timestamps, values, data_type):
    """Writes values as rows and as a tablet and reads them back from both nodes of a cluster."""
    cluster = case.cluster(2)
    types = {"m": data_type}
    with cluster[1].client() as client:
        client.write(TWrite(rows=[make_row("rows", at, {"m": value}, types)
                                  for at, value in zip(timestamps, values)]))
        client.write(TWrite(tablets=[make_tablet("tablet", timestamps, {"m": values}, types)]))
    cluster.converge()
    wanted = sorted(zip(timestamps, values), key=lambda each: each[0])
    for node in cluster:
        with node.client() as client:
            for device in ("rows", "tablet"):
                got_times, columns = client.query_columns(device)
                expect_equal(got_times, [at for at, _ in wanted], "timestamps")
                same(columns["m"], [value for _, value in wanted], "%s: %s" % (node, device))
                last = client.last(device)["m"]
                expect_equal(last.type, data_type, "type")
                same([last.value], [wanted[-1][1]], "last value")
    return cluster


@test
def doubles(case):
    values = [0.0, -0.0, 1.5, -1e308, 5e-324, math.inf, -math.inf, math.nan, 0.1, 1e-17]
    cluster = written_both_ways(case, list(range(len(values))), values, DataType.DOUBLE)
    with cluster[2].client() as client:
        window, = client.aggregate("rows", "m", 2, 4)
        expect_equal((window.count, window.min, window.max), (3, -1e308, 1.5), "window")
        whole, = client.aggregate("rows", "m", 0, 100)
        expect_equal((whole.count, whole.first_time, whole.last_time), (10, 0, 9),
                     "window with NaN")


@test
def floats(case):
    values = [0.0, -0.0, 1.5, -2.0 ** 127, 2.0 ** -149, math.inf, -math.inf, math.nan, 0.25]
    written_both_ways(case, list(range(len(values))), values, DataType.FLOAT)


@test
def integers(case):
    written_both_ways(case, [5, 4, 3, 2, 1], [0, 1, -1, INT64_MIN, INT64_MAX], DataType.INT64)


@test
def small_integers_and_booleans(case):
    cluster = written_both_ways(case, [-5, 0, 5], [INT32_MIN, 0, INT32_MAX], DataType.INT32)
    with cluster[1].client() as client:
        client.insert_tablet("flags", [1, 2, 3, 4], {"on": [True, False, None, True]})
        expect_equal([row.values for row in client.query("flags")],
                     [{"on": True}, {"on": False}, {"on": True}], "booleans")
        window, = client.aggregate("flags", "on", 0, 10)
        expect_equal((window.count, window.sum), (3, 2.0), "booleans count as 0 and 1")


@test
def texts(case):
    values = ["", "a", "ünïcödé ✓ 𝄞", "x" * 100000, "line\nbreak\ttab", "0", " "]
    written_both_ways(case, list(range(len(values))), values, DataType.TEXT)


@test
def times_at_the_ends(case):
    cluster = written_both_ways(case, [INT64_MAX, 0, INT64_MIN, -1, INT64_MIN + 1, INT64_MAX - 1],
                                [1, 2, 3, 4, 5, 6], DataType.INT64)
    with cluster[2].client() as client:
        expect_equal([row.values["m"] for row in client.query("rows", start=INT64_MAX)], [1],
                     "the last moment")
        expect_equal([row.values["m"] for row in client.query("rows", end=INT64_MIN)], [3],
                     "the first moment")
        expect_equal([row.values["m"] for row in client.query("rows", descending=True, limit=1)],
                     [1, 6, 2, 4, 5, 3], "pages of one row, newest first")
        window, = client.aggregate("rows", "m", INT64_MIN, INT64_MAX)
        expect_equal(window.count, 6, "count over all time")
        windows = client.aggregate("rows", "m", INT64_MIN, INT64_MAX, window=2 ** 62)
        expect_equal(sum(each.count for each in windows), 6, "count in windows over all time")
        expect(len(windows) <= 4, "%d windows of a quarter of all time", len(windows))
        client.delete("rows", INT64_MIN, INT64_MAX)
        expect_equal(list(client.query("rows")), [], "rows after a delete of all time")
    expect_equal(cluster.converge().devices, 1, "devices left")


@test
def absent_values(case):
    cluster = case.cluster(2)
    timestamps = list(range(50))
    a = [at if at % 3 else None for at in timestamps]
    b = ["t%d" % at if at % 7 == 0 else None for at in timestamps]
    with cluster[1].client() as client:
        client.insert_tablet("d", timestamps, {"a": a, "b": b, "c": [None] * 49 + [1.0]})
    cluster.converge()
    with cluster[2].client() as client:
        wanted = [(at, {name: column[at] for name, column in
                        (("a", a), ("b", b), ("c", [None] * 49 + [1.0]))
                        if column[at] is not None}) for at in timestamps]
        wanted = [each for each in wanted if each[1]]
        expect_equal([(row.timestamp, row.values) for row in client.query("d")], wanted, "rows")
        expect_equal([row.timestamp for row in client.query("d", ["b"])],
                     [at for at in timestamps if at % 7 == 0], "rows of one measurement")
        expect_equal(client.last("d")["b"].timestamp, 49, "last of b")
        expect_equal(client.last("d", ["a"])["a"].timestamp, 49, "last of a")


@test
def later_values_hold(case):
    """Within a tablet, within an entry, and from entry to entry."""
    cluster = case.cluster(2)
    with cluster[1].client() as client:
        client.insert_tablet("d", [1, 2, 1, 3, 2, 2], {"v": [10, 20, 11, 30, 21, 22]})
        expect_equal([row.values["v"] for row in client.query("d")], [11, 22, 30], "in a tablet")
        client.write(TWrite(rows=[make_row("d", 1, {"v": 12}), make_row("d", 1, {"v": 13})],
                            tablets=[make_tablet("d", [2], {"v": [23]})]))
        expect_equal([row.values["v"] for row in client.query("d")], [13, 23, 30], "in an entry")
        # An absent value overwrites nothing.
        client.insert_tablet("d", [1, 3], {"v": [None, 31]})
        expect_equal([row.values["v"] for row in client.query("d")], [13, 23, 31], "absent value")
    cluster.converge()
    with cluster[2].client() as client:
        expect_equal([row.values["v"] for row in client.query("d")], [13, 23, 31], "on node 2")


@test
def pages(case):
    """Whatever the size of a page, the rows are the same; also while others write."""
    node = case.cluster(1)[1]
    count = case.scaled(2000, least=300)
    with node.client() as client, node.client() as writer:
        for start in range(0, count, 100):
            client.insert_tablet("d", list(range(start, start + 100)),
                                 {"a": list(range(start, start + 100)),
                                  "b": ["%d" % at if at % 2 else None
                                        for at in range(start, start + 100)]})
        whole = list(client.query("d"))
        expect_equal(len(whole), count, "rows")
        for limit in (1, 7, 100, 101, count, count + 1):
            if limit == 1 and count > 500:
                part = list(client.query("d", start=100, end=160, limit=1))
                expect_equal(part, whole[100:161], "pages of 1 row")
                continue
            expect_equal(list(client.query("d", limit=limit)), whole, "pages of %d rows" % limit)
            expect_equal(list(client.query("d", limit=limit, descending=True)), whole[::-1],
                         "pages of %d rows, newest first" % limit)
        sizes = [page.rowCount for page in client.query_pages("d", limit=100)]
        expect(max(sizes) <= 100, "a page of %d rows", max(sizes))
        expect_equal([row.timestamp for row in client.query("d", ["a"], start=5, end=9)],
                     [5, 6, 7, 8, 9], "both ends are included")
        expect_equal(list(client.query("d", start=10, end=9)), [], "a range that ends before it "
                     "begins")
        expect_equal(list(client.query("nobody")), [], "rows of a device that is not there")
        # A query that goes on over pages while rows come before and behind it.
        rows = []
        for number, row in enumerate(client.query("d", limit=50)):
            if number % 50 == 0:
                writer.insert("d", -1 - number, {"a": 0})
                writer.insert("d", count + number, {"a": 0})
            rows.append(row.timestamp)
        expect_equal(rows, sorted(set(rows)), "order of rows")
        expect_equal([at for at in rows if 0 <= at < count], list(range(count)), "rows")


@test
def windows(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        values = [float(at % 17) for at in range(1000)]
        client.insert_tablet("d", [at * 10 for at in range(1000)],
                             {"v": values, "t": ["%d" % at for at in range(1000)]})
        client.delete("d", 2000, 2990)
        for length in (100, 70, 10000, 3):
            got = client.aggregate("d", "v", 0, 9990, window=length, limit=37)
            wanted = {}
            for at, value in enumerate(values):
                if not 200 <= at < 300:
                    wanted.setdefault(at * 10 // length * length, []).append((at * 10, value))
            expect_equal([each.start for each in got], sorted(wanted), "windows of %d" % length)
            for each in got:
                points = wanted[each.start]
                expect_equal(
                    (each.count, each.min, each.max, each.first, each.first_time, each.last,
                     each.last_time),
                    (len(points), min(value for _, value in points),
                     max(value for _, value in points), points[0][1], points[0][0],
                     points[-1][1], points[-1][0]), "window at %d of %d" % (each.start, length))
                expect(abs(each.sum - sum(value for _, value in points)) < 1e-9, "sum")
                expect(abs(each.avg * each.count - each.sum) < 1e-9, "avg")
        text, = client.aggregate("d", "t", 0, 9990)
        expect_equal((text.count, text.first, text.last, text.sum, text.min),
                     (900, "0", "999", None, None), "window of texts")
        expect_equal(client.aggregate("d", "nothing", 0, 9990), [], "windows of nothing")
        expect_equal(client.aggregate("d", "v", 2000, 2990), [], "windows over what is deleted")


@test
def devices_and_measurements(case):
    cluster = case.cluster(2)
    with cluster[1].client() as client:
        for i in range(30):
            client.insert("plant%d.dev%02d" % (i % 2, i), 1,
                          {"f": 1.0, "n": i, "s": "x", "b": True},
                          types={"f": "FLOAT", "n": "INT32"})
    cluster.converge()
    with cluster[2].client() as client:
        devices = client.series(limit=7)
        expect_equal([each.name for each in devices],
                     sorted("plant%d.dev%02d" % (i % 2, i) for i in range(30)), "devices")
        expect_equal([(each.name, each.type, each.conflicting)
                      for each in devices[0].measurements],
                     [("b", DataType.BOOLEAN, False), ("f", DataType.FLOAT, False),
                      ("n", DataType.INT32, False), ("s", DataType.TEXT, False)], "measurements")
        expect_equal(len(client.series(prefix="plant1.")), 15, "devices of a prefix")
        expect_equal(client.series(prefix="plant9"), [], "devices of a prefix that is not there")
        info = client.info()
        expect_equal((info.node_id, info.cluster_id, info.time_precision, info.groups),
                     (2, "test", "ms", [0]), "info")
