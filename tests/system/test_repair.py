"""A store that lost or altered cells although the logs agree: it is mended from a peer."""

import os
import subprocess

from case import expect, expect_equal, test
from load import start_writers, stop_writers
from test_ctl import FAILED, UNREACHABLE, USAGE, Ctl

QUICK = {"replication.heartbeat_interval": "100ms", "store.partition_interval": "1h"}
HOUR = 3600 * 1000


def damage(case, node, device, kinds="RC", partition="all", each=1):
    """Takes records of a device out of the files of a node that is down."""
    program = os.path.join(case.build, "tests", "system", "damage_store")
    done = subprocess.run(
        [program, os.path.join(node.data_dir, "group-0", "store"), device, kinds, str(partition),
         str(each)], capture_output=True, text=True, check=False)
    expect_equal(done.returncode, 0, "damage_store %s: %s%s" % (device, done.stdout, done.stderr))


def fill(cluster, devices=5, hours=4):
    for number, node in enumerate(cluster):
        with node.client() as client:
            for device in range(devices):
                client.insert_rows("d%d" % device, [
                    (hour * HOUR + i * 1000 + number, {"v": i, "text": "t%d" % i})
                    for hour in range(hours) for i in range(3)])
    with cluster[2].client() as client:
        client.delete("d4", HOUR, 2 * HOUR - 1)
        client.insert("d4", HOUR + 5, {"v": 7})
    cluster.converge()
    # Every node says that it is past all that.
    for node in cluster:
        with node.client() as client:
            client.insert("tick", 0, {"v": node.id})
    last = max(log.progress.appliedHlc for log in cluster[2].status().logs)
    for node in cluster:
        with node.client() as client:
            client.insert("tick", 0, {"v": node.id})
    cluster.converge()
    return last


def past(node, clock):
    return (node.status().horizon or 0) >= clock


def damaged_cluster(case):
    """Node 1 has lost some of d1, of one hour of d3, and the whole of d2."""
    cluster = case.cluster(config=QUICK)
    last = fill(cluster)
    case.eventually("the horizon is past it", lambda: all(past(node, last) for node in cluster),
                    timeout=40)
    one = cluster[1]
    one.stop()
    damage(case, one, "d1", each=2)
    damage(case, one, "d2")
    damage(case, one, "d3", partition=2)
    one.start()
    case.eventually("the horizon is past it", lambda: past(one, last), timeout=40)
    return cluster


def states(rows):
    return sorted({(row["device"], row["bucket"] // HOUR, row["state"]) for row in rows})


def is_equal(cluster, ctl):
    cluster.converge()
    ctl("digest", "--compare")


@test(timeout=90, plain=True)
def what_a_store_lost_comes_back(case):
    """P3: buckets that differ are found and made like the peer's, for good."""
    cluster = damaged_cluster(case)
    one, two, _ = cluster
    both, every = Ctl(case, one, two), Ctl(case, *cluster)
    every("digest", "--compare", "--timeout", "1s", code=FAILED)
    rows = both.json("repair", "--from", "2", "--dry-run", code=FAILED)
    lost = {("d2", hour) for hour in range(4)} | {("d3", 2)}
    found = {(device, hour) for device, hour, state in states(rows)}
    expect(found >= lost and all(d in ("d1", "d2", "d3") for d, _ in found), "found %s", found)
    expect({state for _, _, state in states(rows)} == {"differs"}, "states: %s", rows)
    every("digest", "--compare", "--timeout", "1s", code=FAILED)
    rows = both.json("repair", "--from", "2", "--yes")
    expect_equal({(d, h) for d, h, s in states(rows) if s == "mended"}, found, "mended")
    expect_equal(one.status().bucketsMended, len(found), "buckets mended")
    expect("repair: device" in one.log_text(), "it is not told")
    is_equal(cluster, every)
    expect_equal(both.json("repair", "--from", "2", "--yes"), [], "a second time")
    one.kill()
    one.start()
    is_equal(cluster, every)
    # What comes later meets the same everywhere.
    fill(cluster)
    is_equal(cluster, every)


@test(timeout=90)
def what_was_deleted_and_came_back(case):
    """A store that lost a delete shows more than the others."""
    cluster = case.cluster(config={**QUICK, "replication.heartbeat_interval": "2s"})
    with cluster[2].client() as client:
        client.insert_rows("d", [(i, {"v": i}) for i in range(10)])
        client.delete("d", 3, 6)
    cluster.converge()
    one = cluster[1]
    one.stop()
    damage(case, one, "d", kinds="T")
    one.start()
    ctl = Ctl(case, one, cluster[2])
    case.eventually("it differs and is mended", lambda: [
        row["cellsBefore"] - row["cellsAfter"]
        for row in ctl.json("repair", "--from", "2", "--yes")] == [4], timeout=40)
    is_equal(cluster, Ctl(case, *cluster))


@test(timeout=90)
def one_bucket_by_name(case):
    """Without the peer's client address, and while writes go on."""
    cluster = damaged_cluster(case)
    ctl = Ctl(case, cluster[1])
    writers = start_writers(cluster, "load")
    rows = ctl.json("repair", "--from", "3", "--device", "d3", "--time", str(2 * HOUR + 17), "--yes")
    expect_equal([(row["cellsBefore"], row["cellsAfter"], row["state"]) for row in rows],
                 [(0, 18, "mended")], "the bucket")
    rows = ctl.json("repair", "--from", "3", "--device", "d3", "--time", str(HOUR), "--yes")
    expect_equal([row["state"] for row in rows], ["equal"], "a sound bucket")
    both = Ctl(case, cluster[1], cluster[3])
    rows = both.json("repair", "--from", "3", "--device", "d2", "--yes")
    expect_equal(states(rows), [("d2", hour, "mended") for hour in range(4)], "a device")
    both("repair", "--from", "3", "--yes")
    stop_writers(writers)
    is_equal(cluster, Ctl(case, *cluster))


@test(timeout=60, plain=True)
def what_can_not_be_mended(case):
    cluster = damaged_cluster(case)
    ctl = Ctl(case, cluster[1], cluster[2])
    for wrong in (["repair", "--yes"], ["repair", "--from", "2"], ["repair", "--from", "1", "--yes"],
                  ["repair", "--from", "2", "--yes", "--time", "5"],
                  ["repair", "--from", "70000", "--yes"]):
        ctl(*wrong, code=USAGE)
    ctl("repair", "--from", "3", "--yes", code=UNREACHABLE)
    place = ["--device", "d2", "--time", "0", "--yes"]
    ctl("repair", "--from", "9", *place, code=FAILED)
    cluster[2].stop()
    ctl("repair", "--from", "2", *place, code=FAILED)
    expect_equal(cluster[1].status().bucketsMended, 0, "buckets mended")
    cluster[2].start()
    case.eventually("it is back", lambda: cluster[2].status().horizon, timeout=40)
    rows = ctl.json("repair", "--from", "2", *place)
    expect_equal(states(rows), [("d2", 0, "mended")], "the bucket")
