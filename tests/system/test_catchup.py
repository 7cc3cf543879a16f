"""A node that was away gets what it missed, from the tail in memory or from the WAL."""

from case import expect, expect_equal, test
from load import check_everywhere, join_writers, start_writers, stop_writers

PLAIN = "stories of steps that kill.* and retention.* have"


def miss_and_catch_up(case, config, kill):
    cluster = case.cluster(config=config)
    ledger = join_writers(start_writers(cluster, "before", count=case.scaled(50)))
    cluster.converge()
    if kill:
        cluster[3].kill()
    else:
        cluster[3].stop()
    ledger.merge(join_writers(start_writers(cluster.nodes[:2], "while", per_node=2,
                                            count=case.scaled(250), payload="x" * 2000)))
    # More comes in while it catches up.
    writers = start_writers(cluster.nodes[:2], "during", payload="y" * 500)
    cluster[3].start()
    points = cluster.newest_points()
    cluster[3].digest(points, timeout_ms=int(case.patience(20) * 1000))
    ledger.merge(stop_writers(writers))
    check_everywhere(cluster, ledger)
    return cluster


@test(timeout=60)
def after_a_stop(case):
    cluster = miss_and_catch_up(case, {}, kill=False)
    expect_equal(cluster[3].status().entriesDuplicate, 0, "entries that came twice")


@test(timeout=60)
def after_a_kill_with_a_tiny_tail(case):
    cluster = miss_and_catch_up(case, {"replication.max_pending_requests": 10,
                                       "replication.max_pending_bytes": "64KiB",
                                       "wal.wal_segment_size": "1MiB"}, kill=True)
    for leader in cluster.nodes[:2]:
        peer = leader.peer_status(3)
        expect(peer.entriesFromWal >= case.scaled(250),
               "%s sent only %d entries from its WAL", leader, peer.entriesFromWal)
        expect(leader.log_status(leader.id).walSegments >= 1, "no segments")


@test(timeout=60)
def d05_tail_overrun_on_an_open_channel(case):
    """The channel stays open while the peer takes nothing, and the tail moves on without it."""
    cluster = case.cluster(2, {"replication.max_pending_requests": 10,
                               "replication.max_size_per_batch": "16KiB",
                               "replication.request_timeout": "60s"}, proxied=True)
    ledger = join_writers(start_writers([cluster[1]], "before", count=10))
    cluster.converge()
    cluster.links[1, 2].block()
    ledger.merge(join_writers(start_writers([cluster[1]], "while", per_node=2,
                                            count=case.scaled(150, least=30), payload="x" * 1000)))
    expect(cluster[2].log_status(1).progress.received < ledger.writes, "the channel is not blocked")
    cluster.heal()
    check_everywhere(cluster, ledger)
    peer = cluster[1].peer_status(2)
    expect(peer.entriesFromWal > 0, "nothing came from the WAL:\n%s", cluster.describe())
    expect_equal(cluster[2].status().entriesDuplicate, 0, "entries that came twice")


@test(timeout=60)
def d02_nothing_is_sent_again_after_a_restart(case):
    """Progress is kept by the store: a restarted follower is sent what it lacks and no more."""
    cluster = case.cluster(2)
    ledger = join_writers(start_writers([cluster[1]], "before", count=case.scaled(100)))
    cluster.converge()
    cluster[2].stop()
    cluster[2].start()
    ledger.merge(join_writers(start_writers([cluster[1]], "after", count=20)))
    check_everywhere(cluster, ledger)
    status = cluster[2].status()
    expect_equal(status.entriesDuplicate, 0, "entries that came twice after a stop")
    expect_equal(status.entriesApplied, 20, "entries applied after a stop")

    cluster[1].stop()
    cluster[1].start()
    ledger.merge(join_writers(start_writers([cluster[1]], "again", count=20)))
    check_everywhere(cluster, ledger)
    status = cluster[2].status()
    expect_equal(status.entriesDuplicate, 0, "entries that came twice after the sender's stop")
    expect_equal(status.entriesApplied, 40, "entries applied after the sender's stop")
    expect_equal(len(status.logs), 2, "logs")


@test(timeout=60)
def no_entry_is_applied_twice_after_a_kill(case):
    cluster = case.cluster(2)
    ledger = join_writers(start_writers([cluster[1]], "before", count=case.scaled(100)))
    writers = start_writers([cluster[1]], "during", per_node=2)
    for _ in range(3):
        was = cluster[2].applied(1)
        case.eventually("node2 gets on", lambda: cluster[2].applied(1) > was + 5)
        cluster[2].kill()
        cluster[2].start()
        offset = cluster[2].applied_offset()
    ledger.merge(stop_writers(writers))
    check_everywhere(cluster, ledger)
    expect_equal(cluster[2].applied_offset(), offset, "progress that no applied entry explains")
