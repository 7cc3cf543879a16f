"""Real measurements: all files of the Numenta Anomaly Benchmark in ../shared/data, imported through
three nodes at the same time, read back from every node exactly as the CSVs say."""

import calendar
import csv
import glob
import os
import subprocess
import threading
import time

from case import expect, expect_equal, test
from cluster import Failed, ROOT, sanitizer_environment

DATA = os.environ.get("SYNCLOG_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")


def load(path):
    """{milliseconds: value}; the last value of a timestamp holds."""
    values = {}
    with open(path, newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            moment = time.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S")
            values[calendar.timegm(moment) * 1000] = float(row["value"])
    return values


def device_of(path):
    folder, name = os.path.split(path)
    return "nab.%s.%s" % (os.path.basename(folder), name[:-len(".csv")])


def run_imports(case, node, paths, errors):
    """A third of the files, one after the other, through one node."""
    for path in paths:
        done = subprocess.run(
            [case.program("synclogctl"), "--server", node.address, "import", "--device",
             device_of(path), path], capture_output=True, text=True, check=False,
            env=sanitizer_environment(), timeout=case.patience(100))
        if done.returncode != 0:
            errors.append("%s through %s: exit code %d: %s" % (
                os.path.basename(path), node, done.returncode, done.stderr.strip()))


@test(timeout=120, plain=True)
def imported_through_three_nodes(case):
    paths = sorted(glob.glob(os.path.join(DATA, "nab", "*", "*.csv")))
    if not paths:
        case.skip("no data in %s" % os.path.join(DATA, "nab"))
    cluster = case.cluster()
    errors, begin = [], time.monotonic()
    imports = [threading.Thread(target=run_imports,
                                args=(case, node, paths[number::3], errors))
               for number, node in enumerate(cluster)]
    for each in imports:
        each.start()
    for each in imports:
        each.join()
    if errors:
        raise Failed("; ".join(errors))
    took = time.monotonic() - begin
    digest = cluster.converge(30)
    series = {device_of(path): load(path) for path in paths}
    total = sum(len(values) for values in series.values())
    expect_equal((digest.cells, digest.devices), (total, len(paths)), "cells and devices")
    for node in cluster:
        with node.client() as client:
            expect_equal([each.name for each in client.series(prefix="nab.")], sorted(series),
                         "%s: devices" % node)
            for device, values in series.items():
                check_series(client, node, device, values)
    case.note("%d files, %d values, imported in %.1f s, the same on 3 nodes" %
              (len(paths), total, took))
    # And from the disk.
    cluster.stop()
    cluster.start()
    expect_equal(cluster.converge()[:3], digest[:3], "digest after a restart")


def check_series(client, node, device, values):
    timestamps, columns = client.query_columns(device)
    expect_equal(list(columns), ["value"], "%s: measurements of %s" % (node, device))
    wanted = sorted(values)
    expect(timestamps == wanted, "%s: %s: %d timestamps, wanted %d", node, device, len(timestamps),
           len(wanted))
    for at, got in zip(timestamps, columns["value"]):
        # Integers too: a decimal that reads as one is exactly that number.
        if got != values[at]:
            raise Failed("%s: %s at %d is %r, wanted %r" % (node, device, at, got, values[at]))
    whole, = client.aggregate(device, "value", wanted[0], wanted[-1])
    expect_equal((whole.count, whole.min, whole.max, whole.first, whole.last),
                 (len(wanted), min(values.values()), max(values.values()), values[wanted[0]],
                  values[wanted[-1]]), "%s: aggregate of %s" % (node, device))
