"""Writers on all nodes, and what a restart keeps."""

from case import expect, expect_equal, test
from load import check_everywhere, check_ledger, join_writers, start_writers

PLAIN = "stories of steps that kill.* and acks.* have"


@test(timeout=60)
def three_writers_then_full_restart(case):
    cluster = case.cluster()
    # Else an early entry of a node without a channel yet may come by way of the other, and by itself.
    cluster.wait_connected()
    ledger = join_writers(start_writers(cluster, "load", per_node=2, rows=3,
                                        count=case.scaled(200)))
    before = check_everywhere(cluster, ledger)
    expect_equal(before.cells, sum(len(points) for points in ledger.acknowledged.values()),
                 "cells in the digest")
    expect_equal(before.devices, 6, "devices in the digest")
    expect_equal(sum(before.progress.values()), ledger.writes, "entries in all logs")
    for node in cluster:
        status = node.status()
        expect_equal(status.entriesApplied, ledger.writes, "%s: entries applied" % node)
        expect_equal(status.entriesDuplicate, 0, "%s: entries that came twice" % node)
        expect_equal(status.writes, sum(status_writes(ledger, node)), "%s: writes" % node)

    cluster.stop()
    cluster.start()
    after = cluster.converge()
    expect_equal(after[:3], before[:3], "digest after the restart")
    expect_equal({log: index for log, index in after.progress.items() if index},
                 before.progress, "progress after the restart")
    for node in cluster:
        check_ledger(node, ledger)
        expect_equal(node.status().entriesDuplicate, 0, "%s: entries that came twice" % node)

    more = join_writers(start_writers(cluster, "more", count=20))
    check_everywhere(cluster, more)
    expect(len(cluster[1].status().logs) == 3, "a clean restart must not begin new logs:\n%s",
           cluster.describe())


def status_writes(ledger, node):
    """Entries that the writers of a node sent: three rows each."""
    return [len(points) // 3 for device, points in ledger.acknowledged.items()
            if ".%s." % node.name in device]


@test(timeout=40)
def single_node(case):
    """A cluster of one needs nobody."""
    node = case.cluster(1)[1]
    ledger = join_writers(start_writers([node], "alone", count=50, ack="all"))
    check_ledger(node, ledger)
    node.kill()
    node.start()
    check_ledger(node, ledger)
