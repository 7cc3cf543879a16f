#!/usr/bin/python3
"""Writes to one node of a synclogd cluster and reads from another.

    scripts/example-client.py [HOST:PORT [HOST:PORT]]

It needs Debian's python3-thrift, and thrift-compiler when the generated code is not there yet.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pyclient"))

from synclog_client import Client, Session, TypeMismatch, Unreachable  # noqa: E402


def write(node, device, start):
    # One row; the types follow the Python values.
    node.insert(device, start, {"temperature": 20.5, "count": 1, "on": True, "note": "first"})

    # Many rows as columns, in one entry; None where there is no value.
    node.insert_tablet(device, [start + i * 1000 for i in range(1, 61)], {
        "temperature": [20.5 + i % 7 for i in range(1, 61)],
        "on": [i % 2 == 0 if i % 5 else None for i in range(1, 61)],
    })

    # Durable on more than half of the nodes before it returns; pending tells if that took too long.
    result = node.insert(device, start + 61000, {"note": "last"}, ack="majority", timeout_ms=5000)
    print("last write: entry %d of node %d's log, %s" % (
        result.token.index, result.token.origin,
        "still spreading" if result.pending else "durable on a majority"))

    # What can't be is said by a class of its own.
    try:
        node.insert(device, start, {"count": "many"})
    except TypeMismatch as error:
        print("refused as it should be: %s" % error)

    node.delete(device, start + 30000, start + 39999)


def read(node, device, start):
    info = node.info()
    print("reading from node %d of cluster %s, version %s" % (info.node_id, info.cluster_id,
                                                             info.version))
    rows = list(node.query(device, start=start, limit=25))  # pages of 25 rows, all of them
    print("%d rows, the first: %s" % (len(rows), rows[0].values))
    for measurement, last in sorted(node.last(device).items()):
        print("last %-12s %-8s %s at +%d ms" % (measurement, last.type.name, last.value,
                                                last.timestamp - start))
    for window in node.aggregate(device, "temperature", start, start + 61000, window=20000):
        print("+%5d ms: %2d values, %.1f .. %.1f, average %.2f" % (
            window.start - start, window.count, window.min, window.max, window.avg))
    for each in node.series(prefix=device):
        print("%s has %s" % (each.name, ", ".join(
            "%s %s" % (measurement.name, measurement.type.name)
            for measurement in each.measurements)))
    return len(rows)


def main():
    addresses = sys.argv[1:3] or ["127.0.0.1:7670"]
    device = "example.%d" % os.getpid()
    start = int(time.time() * 1000)
    session = Session()  # shared: the second client sees what the first one wrote
    try:
        with Client(addresses[0], session=session) as writer, \
                Client(addresses[-1], session=session) as reader:
            write(writer, device, start)
            rows = read(reader, device, start)
    except Unreachable as error:
        print("no node there: %s" % error, file=sys.stderr)
        return 3
    if rows != 1 + 60 - 10 + 1:
        print("%d rows are not what was written" % rows, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
