"""kill -9 at random moments under load."""

import threading

from case import expect, expect_equal, test
from load import check_everywhere, check_ledger, start_writers, stop_writers


@test(timeout=150, plain=True)
def each_node_at_random_moments(case):
    """20 rounds. Every acknowledged write is on all nodes, nothing else is, each applied once."""
    cluster = case.cluster(config={"wal.wal_segment_size": "1MiB"})
    writers = start_writers(cluster, "kill", per_node=2, rows=2, payload="x" * 200)
    offsets = {}
    rounds = 20
    for number in range(rounds):
        victim = cluster[number % 3 + 1]
        _let_run(case, 0.05, 0.35)
        victim.kill()
        if number % 4 == 3:
            # It misses a part of what the others take.
            _let_run(case, 0.1, 0.3)
        victim.start()
        offsets[victim] = victim.applied_offset()
        if number % 10 == 9:
            other = cluster[(number + 1) % 3 + 1]
            other.kill()
            other.start()
            offsets[other] = other.applied_offset()
    ledger = stop_writers(writers)
    digest = check_everywhere(cluster, ledger, timeout=30)
    points = sum(len(each) for each in ledger.acknowledged.values())
    unknown = sum(len(each) for each in ledger.unknown.values())
    expect(points <= digest.cells <= points + unknown, "%d cells for %d points (%d unknown)",
           digest.cells, points, unknown)
    for node, offset in offsets.items():
        expect_equal(node.applied_offset(), offset, "%s: progress that no applied entry explains" %
                     node)
    logs = {log for node in cluster for log in node.progress()}
    expect_equal(len(logs), 3, "logs: a kill must not begin a new one")
    case.note("%d writes acknowledged over %d rounds, %d points without an answer" %
              (ledger.writes, rounds, unknown))

    # Once more with all of them at the same moment.
    for node in cluster:
        node.kill()
    cluster.start()
    again = check_everywhere(cluster, ledger)
    expect_equal(again[:3], digest[:3], "digest after all were killed")


def _let_run(case, least, most):
    threading.Event().wait(case.random.uniform(least, most))


@test(timeout=60)
def all_at_once_under_load(case):
    cluster = case.cluster()
    writers = start_writers(cluster, "all", per_node=2)
    for _ in range(3):
        _let_run(case, 0.2, 0.4)
        for node in cluster:
            node.kill()
        cluster.start()
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger, timeout=30)


@test(timeout=60)
def killed_while_starting(case):
    """A node killed again and again before it is ready comes up whole in the end."""
    cluster = case.cluster(2)
    ledger = stop_writers(_until(case, start_writers(cluster, "start", payload="x" * 500), 40))
    cluster.converge()
    for _ in range(case.scaled(10, least=4)):
        cluster[2].kill()
        cluster[2].launch()
        threading.Event().wait(case.random.uniform(0.001, 0.08))
    cluster[2].wait_ready()
    check_everywhere(cluster, ledger)
    for node in cluster:
        check_ledger(node, ledger)


def _until(case, writers, count):
    case.eventually("%d writes each" % count,
                    lambda: all(writer.ledger.writes >= count for writer in writers))
    return writers
