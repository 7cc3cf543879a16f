"""The journal of conflicts: each node names what lost against another leader's write."""

import csv
import json
import os
import signal
import subprocess

from case import expect, expect_equal, test
from test_conflicts import put, remove
from test_ctl import USAGE, Ctl

PLAIN = "reads what conflicts.* makes"


def settled(case, node):
    """The node's counters, once nothing waits for being looked at."""
    ctl = Ctl(case, node)

    def look():
        counts = ctl.json("status", "--only", "conflicts")["conflicts"][0]
        return counts if counts["pending"] == 0 else None
    return case.eventually("%s has looked at everything" % node, look)


def journal(case, node, *arguments):
    settled(case, node)
    return [(row["kind"], row["device"], row.get("time"), row["cells"], row["winnerOrigin"],
             row.get("winnerValue", row["winnerType"]), row["loserOrigin"],
             row.get("loserValue", row["loserType"]))
            for row in Ctl(case, node).json("conflicts", "list", *arguments)]


def counts(case, node):
    found = settled(case, node)
    return tuple(found[key] for key in ("overwrites", "sameValues", "deletes", "types",
                                        "overflowed"))


@test(timeout=60)
def the_loser_is_named_on_every_node(case):
    cluster = case.cluster(proxied=True)
    one, two = cluster[1], cluster[2]
    put(one, "own", {1: "a", 2: "a"})
    put(one, "own", {1: "b", 2: "b"})
    remove(one, "own", 2, 2)
    cluster.converge()
    for node in cluster:
        expect_equal(counts(case, node), (0, 0, 0, 0, 0), "%s: one leader alone" % node)
    expect("OVERWRITTEN" not in Ctl(case, one)("status").stdout, "status has a table of nothing")
    cluster.cut(1)
    put(one, "d", {1: "one", 2: "one", 3: "same", 10: "gone", 11: "gone"})
    put(two, "d", {1: "two", 3: "same", 4: "alone"})
    put(two, "e", {2: "two"})
    put(one, "e", {2: "one"})
    remove(two, "d", 10, 20)
    with one.client() as client:
        client.insert("t", 1, {"m": 1})
    with two.client() as client:
        client.insert("t", 2, {"m": "text"})
    cluster.heal()
    cluster.converge()
    wanted = sorted([("overwrite", "d", 1, 1, 2, "two", 1, "one"),
                     ("overwrite", "e", 2, 1, 1, "one", 2, "two"),
                     ("delete", "d", 2, "delete", 1, "gone")])
    for node in cluster:
        found = journal(case, node)
        types = [row for row in found if row[0] == "type"]
        # One row or two, by what came first.
        deletes = [row for row in found if row[0] == "delete"]
        expect_equal(sum(row[3] for row in deletes), 2, "%s: cells deleted" % node)
        expect_equal(deletes[0][2], 10, "%s: the first of them" % node)
        expect_equal(sorted([row for row in found if row[0] == "overwrite"] +
                            list({row[:2] + row[4:] for row in deletes}), key=str),
                     sorted(wanted, key=str), "%s: journal" % node)
        expect_equal([row[4:] for row in types], [(1, "INT64", 2, "TEXT")], "%s: types" % node)
        expect_equal(counts(case, node), (2, 1, 2, 1, 0), "%s: counters" % node)
        expect_equal([row[1] for row in journal(case, node, "--device", "e")], ["e"], "one device")
        expect("OVERWRITTEN" in Ctl(case, node)("status").stdout, "status does not show them")
    # What a crash takes back is found again, once.
    for node in cluster:
        node.kill()
        node.start()
        expect_equal(sorted(row for row in journal(case, node) if row[0] == "overwrite"),
                     [row for row in wanted if row[0] == "overwrite"], "%s: after a kill" % node)
        expect_equal(counts(case, node), (2, 1, 2, 1, 0), "%s: counters after a kill" % node)
    # A stop and a crash: nothing is forgotten, and nothing told again.
    before = journal(case, one)
    cluster.stop()
    cluster[3].start()
    one.start()
    one.kill()
    one.start()
    expect_equal(journal(case, one), before, "journal after a restart")
    expect_equal(counts(case, one), (2, 1, 2, 1, 0), "counters after a restart")


@test(timeout=60)
def the_counters_are_those_of_a_model(case):
    """Two leaders, cut off from each other, write each cell once; who wrote when is known."""
    cluster = case.cluster(proxied=True)
    one, two = cluster[1], cluster[2]
    cluster.cut(1)
    written = {1: {}, 2: {}}
    for batch in range(case.scaled(20, least=6)):
        for node in (one, two):
            cells = {at: "%d" % case.random.randrange(3)
                     for at in case.random.sample(range(400), 20)
                     if at not in written[node.id]}
            if cells:
                put(node, "d", cells)
            written[node.id].update({at: (batch, node.id, value) for at, value in cells.items()})
    cluster.heal()
    cluster.converge()
    both = written[1].keys() & written[2].keys()
    same = [at for at in both if written[1][at][2] == written[2][at][2]]
    wanted = []
    for at in both - set(same):
        loser, winner = sorted((written[1][at], written[2][at]))
        wanted.append(("overwrite", "d", at, 1, winner[1], winner[2], loser[1], loser[2]))
    expect(wanted and same, "the dice made no conflict")
    for node in cluster:
        expect_equal(sorted(journal(case, node)), sorted(wanted), "%s: journal" % node)
        expect_equal(counts(case, node), (len(wanted), len(same), 0, 0, 0), "%s: counters" % node)


@test(timeout=60)
def following_and_exporting(case):
    cluster = case.cluster(2)
    one, two = cluster[1], cluster[2]
    ctl = Ctl(case, one)
    for at in range(5):
        put(one, "d", {at: "one"})
    cluster.converge()
    for at in range(5):
        put(two, "d", {at: "two"})
    cluster.converge()
    settled(case, one)
    command = [case.program("synclogctl"), "-s", one.address, "conflicts", "tail", "-n", "2",
               "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        try:
            lines = [tail.stdout.readline() for _ in range(3)]
            expect_equal([line.split(",")[0] for line in lines], ["sequence", "4", "5"], "tail")
            put(two, "e", {7: "first"})
            cluster.converge()
            put(one, "e", {7: "second"})
            expect("second" in tail.stdout.readline(), "tail does not follow")
        finally:
            tail.send_signal(signal.SIGTERM)
    path = os.path.join(case.dir, "conflicts.csv")
    ctl("conflicts", "export", path)
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expect_equal([(row["time"], row["loserValue"]) for row in rows],
                 [(str(at), "one") for at in range(5)] + [("7", "first")], "exported rows")
    ctl("conflicts", "export", path, "--json", "--device", "e")
    with open(path, encoding="utf-8") as file:
        expect_equal([row["winnerValue"] for row in json.load(file)], ["second"], "as JSON")
    expect_equal(ctl.json("conflicts", "list", "--since", "now+1h"), [], "of the future")
    expect_equal(len(ctl.json("conflicts", "list", "--since", "now-1h")), 6, "of the last hour")
    expect_equal(len(ctl.json("conflicts", "tail", "--for", "0s")), 6, "tail that ends")
    ctl("conflicts", code=USAGE)
    ctl("conflicts", "show", code=USAGE)
    ctl("conflicts", "export", code=USAGE)


@test(timeout=60, failpoints=True)
def what_is_found_does_not_gather_in_memory(case):
    """Looking through a large write gives a journal of many times what is collected in memory. It is written out on the
    way: else the database would do it by itself some time, whether or not the logs are synced."""
    cluster = case.cluster(2, start=False, config={"store.memtable_size": "64KiB"})
    one, two = cluster[1], cluster[2]
    for node in cluster:
        node.arm("conflicts_before_step=delay:0+ persist_before_store=delay:0+")
    cluster.start()
    times = range(50000)
    with one.client() as client:
        client.insert_tablet("d", times, {"v": [1] * len(times)})
    cluster.converge()
    since = len(one.log_text())
    with two.client() as client:
        client.insert_tablet("d", times, {"v": [2] * len(times)})
    cluster.converge()
    expect_equal(counts(case, one), (len(times), 0, 0, 0, 0), "conflicts")
    points = [line.split("failpoint ")[1].split()[0] for line in one.log_text()[since:].splitlines()
              if "failpoint " in line]
    steps = [at for at, point in enumerate(points) if point == "conflicts_before_step"]
    expect(len(steps) > 8, "so much is found in %d steps", len(steps))
    persisted = points[steps[0]:].count("persist_before_store")
    expect(persisted >= len(steps) // 2, "%d steps, and the store was made durable %d times", len(steps), persisted)
