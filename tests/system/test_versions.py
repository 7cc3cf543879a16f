"""Nodes of this and of a next version in one cluster. `make NEXT=1` builds the latter: a higher number, and fields in
handshakes, heartbeats, progress, queries and status that this version does not know and does not send."""

import os

from case import expect, expect_equal, test
from cluster import ROOT
from load import check_everywhere, join_writers, start_writers

NEXT = os.path.join(ROOT, "build", "next")


def need_next(case):
    if not os.path.exists(os.path.join(NEXT, "synclogd")):
        case.skip("no build of a next version (make NEXT=1)")


def restart(node, build):
    node.stop()
    node.build = build
    node.start()


def version_of(node):
    with node.client() as client:
        return client.info().version


@test(timeout=90)
def versions_live_together(case):
    """The new one writes, hears, catches up from the old ones and hands on to them."""
    need_next(case)
    cluster = case.cluster(3, start=False, proxied=True)
    cluster[2].build = NEXT
    cluster.start()
    cluster.converge()
    expect_equal(version_of(cluster[2]), version_of(cluster[1]) + "+next", "version")
    ledger = join_writers(start_writers(cluster, "a", per_node=1, count=case.scaled(100, least=30), ack="majority"))
    # Nodes 1 and 3 meet only through the new one.
    cluster.links[1, 3].cut()
    cluster.links[3, 1].cut()
    ledger.merge(join_writers(start_writers(cluster, "b", per_node=1, count=case.scaled(60, least=20))))
    check_everywhere(cluster, ledger)
    cluster.links[1, 3].heal()
    cluster.links[3, 1].heal()
    cluster[2].kill()
    ledger.merge(join_writers(start_writers([cluster[1], cluster[3]], "c", per_node=1, count=case.scaled(60, least=20))))
    cluster[2].start()
    check_everywhere(cluster, ledger)


@test(timeout=120)
def upgrade_and_back_under_load(case):
    """Node by node to the next version and, before any of its features is used, back. No write fails. Both have one format
    of the store: what becomes of that is unit/store/test_format's."""
    need_next(case)
    cluster = case.cluster()
    cluster.converge()
    ledger = None
    for build in (NEXT, case.build):
        for node in cluster:
            others = [other for other in cluster if other is not node]
            writers = start_writers(others, "u%s%d" % (os.path.basename(build), node.id), per_node=1,
                                    count=case.scaled(60, least=20), ack="majority")
            restart(node, build)
            written = join_writers(writers)
            if ledger is None:
                ledger = written
            else:
                ledger.merge(written)
        check_everywhere(cluster, ledger)
    expect("+next" not in version_of(cluster[1]), "it is not back")
