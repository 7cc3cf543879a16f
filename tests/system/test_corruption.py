"""Files of the WAL that were damaged while the node was down."""

import glob
import os
import struct

from case import expect, expect_equal, test
from load import check_everywhere, join_writers, start_writers
from peer import crc32c
from synclog_client import TWrite, make_row


def records_of(path, origin, incarnation):
    """(offset, size) of the valid records of a segment: 0A 0001 index, 0A 0002 hlc, 0B 0003 data,
    08 0004 checksum, 00; see daemon/base/record.h."""
    with open(path, "rb") as file:
        data = file.read()
    head = b"\x0a\x00\x01"
    at = 4096  # behind the header
    seed = struct.pack(">IQ", origin, incarnation)
    found = []
    while data[at:at + 3] == head:
        size, = struct.unpack(">I", data[at + 25:at + 29])
        end = at + 29 + size
        checksum, = struct.unpack(">I", data[end + 3:end + 7])
        if len(found) < 3:  # enough to know that this reads the right thing
            expect_equal(checksum, crc32c(seed + data[at:end]), "checksum in %s" % path)
        found.append((at, end + 8 - at))
        at = end + 8
    expect(len(found) > 4, "%s holds only %d records", path, len(found))
    return found


def log_of(node, origin):
    name = os.path.basename(node.wal_dir(origin))
    return int(name.split("-")[0]), int(name.split("-")[1])


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


def flip_in_the_middle(node, origin):
    """Flips a byte in the middle record of the last segment. Returns the segment's path."""
    path = node.segments(origin)[-1]
    offset, size = records_of(path, *log_of(node, origin))[-1 - len(records_of(
        path, *log_of(node, origin))) // 2]
    flip(path, offset + size // 2)
    return path


SMALL = {"wal.wal_segment_size": "64KiB"}


def filled(case, count=3, **config):
    cluster = case.cluster(count, config)
    ledger = join_writers(start_writers(cluster, "before", per_node=2,
                                        count=case.scaled(80, least=20), payload="x" * 300))
    check_everywhere(cluster, ledger)
    return cluster, ledger


def goes_on(case, cluster, ledger):
    """All nodes take writes, and everything is everywhere."""
    ledger.merge(join_writers(start_writers(cluster, "after", count=20)))
    return check_everywhere(cluster, ledger, timeout=30)


@test(timeout=60)
def d03_a_flipped_byte_in_a_mirror(case):
    cluster, ledger = filled(case)
    cluster[2].kill()
    path = flip_in_the_middle(cluster[2], 1)
    cluster[2].start()
    expect(os.path.basename(path) in cluster[2].log_text(),
           "the daemon's log does not name the damaged file")
    goes_on(case, cluster, ledger)
    status = cluster[2].log_status(1)
    expect_equal(status.state, "ok", "state of the mirror afterwards (%s)" % status.message)
    # What was refetched is really in the file: it stands another start, alone.
    cluster.stop()
    cluster[2].start()
    case.eventually("the mirror is whole",
                    lambda: cluster[2].log_status(1).progress.durable >= status.progress.durable)
    cluster.start()
    check_everywhere(cluster, ledger)


def damage_a_closed_segment(case, cluster, ledger, away):
    """Node 1 writes while some are away; then a record of that goes bad in the middle of its log."""
    for peer in away:
        cluster[peer].stop()
    ledger.merge(join_writers(start_writers([cluster[1]], "alone", count=100, payload="x" * 5000)))
    before = cluster[1].own_log().progress
    for peer in {2, 3} - set(away):
        case.eventually("node %d has all" % peer,
                        lambda peer=peer: cluster[peer].log_status(1).progress.durable >= before.durable)
    cluster[1].stop()  # and its store is durable
    path = cluster[1].segments(1)[-3]
    offset, size = records_of(path, *log_of(cluster[1], 1))[2]
    flip(path, offset + size // 2)
    cluster[1].start()
    for peer in away:
        cluster[peer].start()
    check_everywhere(cluster, ledger, timeout=30)
    expect_equal(cluster[1].own_log().progress.log.incarnation, before.log.incarnation, "incarnation")
    expect("can't be read from the WAL here" in cluster[1].log_text(), "the daemon's log does not tell")
    goes_on(case, cluster, ledger)


@test(timeout=60)
def a_bad_record_that_another_node_has(case):
    """The origin works and is heard, but can't read an old entry: the one that lacks it asks the other."""
    cluster, ledger = filled(case, **SMALL)
    damage_a_closed_segment(case, cluster, ledger, away=[3])


@test(timeout=60)
def a_bad_record_that_nobody_else_has(case):
    """It is in the origin's store, and the others get a snapshot of that."""
    cluster, ledger = filled(case, **SMALL)
    damage_a_closed_segment(case, cluster, ledger, away=[2, 3])


@test(timeout=60)
def a_log_that_lost_what_only_its_store_has(case):
    """The last segment of the origin goes bad, while its store is durable and nobody else has the entries: the
    others get a snapshot."""
    cluster, ledger = filled(case)
    for peer in (2, 3):
        cluster[peer].stop()
    ledger.merge(join_writers(start_writers([cluster[1]], "alone", count=100, payload="x" * 300)))
    before = cluster[1].own_log().progress
    cluster[1].stop()
    flip_in_the_middle(cluster[1], 1)
    cluster[1].start()
    expect(cluster[1].own_log().progress.log.incarnation > before.log.incarnation,
           "the node goes on in a log that it can't prove to hold")
    for peer in (2, 3):
        cluster[peer].start()
    check_everywhere(cluster, ledger, timeout=30)
    for peer in (2, 3):
        expect_equal(cluster[peer].progress()[before.log.origin, before.log.incarnation].applied, before.durable,
                     "node %d: applied" % peer)
    goes_on(case, cluster, ledger)


@test(timeout=60)
def a_mirror_that_lost_what_only_its_store_has(case):
    """The same in a mirror, whose origin is away: who has less gets a snapshot from where it is."""
    cluster, ledger = filled(case)
    cluster[3].stop()
    ledger.merge(join_writers(start_writers([cluster[1]], "alone", count=100, payload="x" * 300)))
    before = cluster[1].own_log().progress
    key = before.log.origin, before.log.incarnation
    case.eventually("node 2 has all", lambda: cluster[2].progress()[key].applied >= before.durable)
    cluster[1].stop()
    cluster[2].stop()
    flip_in_the_middle(cluster[2], 1)
    cluster[2].start()
    cluster[3].start()
    case.eventually("node 3 has all", lambda: cluster[3].progress()[key].applied >= before.durable, timeout=30)
    cluster[1].start()
    goes_on(case, cluster, ledger)


@test(timeout=60)
def a_flipped_byte_in_the_own_log(case):
    cluster, ledger = filled(case)
    before = cluster[1].own_log().progress.log
    cluster[1].kill()
    path = flip_in_the_middle(cluster[1], 1)
    cluster[1].start()
    expect(os.path.basename(path) in cluster[1].log_text(),
           "the daemon's log does not name the damaged file")
    now = cluster[1].own_log().progress.log
    expect(now.incarnation > before.incarnation,
           "the node goes on in a log that it can't prove to hold")
    goes_on(case, cluster, ledger)


@test(timeout=60)
def a_flipped_byte_with_all_nodes_down(case):
    cluster, ledger = filled(case)
    cluster.stop()
    flip_in_the_middle(cluster[1], 1)
    flip_in_the_middle(cluster[2], 3)
    flip_in_the_middle(cluster[3], 3)
    cluster.start()
    goes_on(case, cluster, ledger)


@test(timeout=60)
def s10_a_damaged_header(case):
    """The first bytes of the mirror's segment, and a segment that became empty."""
    cluster, ledger = filled(case)
    for damage in (lambda path: flip(path, 9), lambda path: os.truncate(path, 0), os.unlink):
        cluster[2].kill()
        damage(cluster[2].segments(1)[-1])
        cluster[2].start()
        goes_on(case, cluster, ledger)


@test(timeout=60)
def a_torn_record_behind_the_end(case):
    """A write that was cut by a power loss, never acknowledged. It goes; but it might be an entry that went bad, so
    its index is not used again."""
    cluster, ledger = filled(case)
    before = cluster[1].own_log().progress
    cluster[1].kill()
    path = cluster[1].segments(1)[-1]
    offset, size = records_of(path, *log_of(cluster[1], 1))[-1]
    with open(path, "r+b") as file:
        file.seek(offset)
        last = file.read(size)
        file.seek(offset + size)
        file.write(last[:size // 2])
    cluster[1].start()
    now = cluster[1].own_log().progress
    expect(now.log.incarnation > before.log.incarnation, "the node goes on in a log that it can't prove to hold")
    closed = cluster[1].progress()[before.log.origin, before.log.incarnation]
    expect_equal(closed.durable, before.durable, "durable")
    expect(not glob.glob(path + ".*"), "what was torn was kept")
    goes_on(case, cluster, ledger)


@test(timeout=60)
def the_last_entry_gone_bad(case):
    """It looks like a torn write. It is not given out a second time, and comes back from the peers."""
    cluster, ledger = filled(case)
    before = cluster[1].own_log().progress
    cluster[1].kill()
    path = cluster[1].segments(1)[-1]
    offset, size = records_of(path, *log_of(cluster[1], 1))[-1]
    flip(path, offset + size // 2)
    for peer in (2, 3):
        cluster[peer].kill()  # so that nobody tells it
    cluster[1].start()
    now = cluster[1].own_log().progress
    expect(now.log.incarnation > before.log.incarnation, "the node goes on in a log that it can't prove to hold")
    for peer in (2, 3):
        cluster[peer].start()
    goes_on(case, cluster, ledger)
    closed = cluster[1].progress()[before.log.origin, before.log.incarnation]
    expect_equal(closed.durable, before.durable, "durable")


@test(timeout=90)
def the_last_record_cut_anywhere(case):
    """The last entry that a node acknowledged is cut off its own log, at many lengths. Peers have
    it, so it comes back, and its index is never given to another entry."""
    cluster = case.cluster(2)
    with cluster[1].client() as client:
        for i in range(10):
            client.insert("cut", i, {"v": i})
    cluster.converge()
    points = 10
    for round_number in range(case.scaled(8, least=3)):
        with cluster[1].client() as client:
            client.insert("cut", points, {"v": points})
        points += 1
        cluster.converge()
        if round_number % 2:
            cluster[1].kill()
        else:
            cluster[1].stop()
        path = cluster[1].segments(1)[-1]
        found = _records_if_any(path, *log_of(cluster[1], 1))
        if found:
            offset, size = found[-1]
            keep = case.random.randrange(0, size)
            with open(path, "r+b") as file:
                file.seek(offset + keep)
                file.write(bytes(size - keep))
        cluster[1].start()
        # It may need to hear of it from its peer first, and then be started again.
        case.eventually("the node knows that its end is lost", lambda: (
            cluster[1].peer_status(2).state == "connected"))
        if cluster[1].status().state == "read-only":
            cluster[1].stop()
            cluster[1].start()
        with cluster[1].client() as client:
            client.insert("cut", points, {"v": points})
        points += 1
        cluster.converge()
        for node in cluster:
            with node.client() as client:
                expect_equal([(row.timestamp, row.values["v"]) for row in client.query("cut")],
                             [(i, i) for i in range(points)], "%s: rows" % node)


def _records_if_any(path, origin, incarnation):
    try:
        return records_of(path, origin, incarnation)
    except AssertionError:
        return None


@test(timeout=60)
def a_store_that_is_gone(case):
    """The store's folder was deleted: either it is built again from the logs and the peers, or the
    node says that it can't."""
    cluster, ledger = filled(case, 2)
    cluster[2].stop()
    store = os.path.join(cluster[2].data_dir, "group-0", "store")
    os.rename(store, store + ".gone")
    cluster[2].start()
    goes_on(case, cluster, ledger)


@test(timeout=40)
def s09_a_damaged_identity(case):
    """node.ini stands twice. One good copy mends the other; without any nobody knows which log the
    node wrote: no guess, a clear error."""
    node = case.cluster(1)[1]
    with node.client() as client:
        client.write(TWrite(rows=[make_row("d", 1, {"v": 1})]))
    node.stop()
    path = os.path.join(node.data_dir, "node.ini")
    with open(path, "rb") as file:
        content = file.read()
    for damaged in path, path + ".copy":
        with open(damaged, "wb") as file:
            file.write(content.replace(b"incarnation=1", b"incarnation=2"))
        node.start()
        expect("checksum is wrong" in node.log_text(), "the damage is not told")
        node.stop()
        with open(damaged, "rb") as file:
            expect(b"incarnation=1" in file.read(), "the bad copy was not mended")
    for damaged in path, path + ".copy":
        with open(damaged, "wb") as file:
            file.write(b"[node]\nid = many\n")
    node.launch()
    node.expect_death()
    expect(node.wait_exit() not in (0, None), "started with a damaged node.ini")
    expect("node.ini" in node.log_text().split("--- start")[-1], "the error does not name the file")
    with open(path, "wb") as file:
        file.write(content)
    node.start()
    with node.client() as client:
        expect_equal(len(list(client.query("d"))), 1, "rows")
