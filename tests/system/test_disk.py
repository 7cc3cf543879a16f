"""Disks that are full or fail. These need root, and say so where they can't run."""

import base64
import errno
import os
import shutil
import subprocess
import threading

from case import expect, expect_equal, test
from cluster import Failed
from load import check_everywhere, check_ledger, join_writers, start_writers, stop_writers
from peer import hlc_now
from synclog_client import NoSpace, Overloaded, ReadOnly, SynclogError


def small_disk(case, mib):
    """A folder that is a file system of its own."""
    if os.getuid() != 0:
        case.skip("only root may mount a small file system")
    folder = os.path.join(case.dir, "disk")
    os.mkdir(folder)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % mib, "tmpfs", folder],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        case.skip("can't mount a tmpfs: %s" % mounted.stderr.strip())
    case.at_end(subprocess.run, ["umount", "-l", folder])
    return folder


def fill(folder, leave=0):
    """A file that takes all room but `leave` bytes; returns its path."""
    path = os.path.join(folder, "filler")
    left = os.statvfs(folder)
    size = left.f_bavail * left.f_bsize - leave
    with open(path, "wb", buffering=0) as file:
        chunk = bytes(1 << 16)
        try:
            while size > 0:
                size -= file.write(chunk[:min(size, len(chunk))])
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return path


SMALL = {"wal.wal_segment_size": "1MiB", "store.memtable_size": "1MiB",
         "replication.basic_retry_wait": "50ms", "replication.max_retry_wait": "500ms"}


@test(timeout=90)
def s11_a_full_disk_of_the_leader(case):
    folder = small_disk(case, 48)
    cluster = case.cluster(2, SMALL, start=False)
    node = cluster[1]
    node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=20, payload="x" * 1000))
    cluster.converge()
    filler = fill(folder)
    # What fits into the open segment is still taken; the next one has no room.
    written, refusal = {}, None
    with node.client() as client:
        for at in range(1, 20000):
            value = "%d" % at + "x" * 20000
            try:
                client.insert("full", at, {"v": value})
                written[at] = value
            except SynclogError as error:
                refusal = error
                break
        expect(isinstance(refusal, NoSpace), "the write on a full disk: %r after %d writes",
               refusal, len(written))
        expect(refusal.message and refusal.retryable, "the refusal: %r", refusal.message)
        for _ in range(20):
            try:
                client.insert("full", 0, {"v": "refused" * 3000})
                raise Failed("written although the disk is full")
            except NoSpace:
                pass
        # Reads go on, and so does what was already written, to the peer.
        check_ledger(node, ledger)
        expect_equal(len(list(client.query("full"))), len(written), "rows on the full node")
    ledger.acknowledged["full"] = written
    ledger.merge(join_writers(start_writers([cluster[2]], "peer", count=5)))
    case.eventually("the peer has all of the full node", lambda: (
        cluster[2].applied(1) == node.own_log().progress.durable))
    check_ledger(cluster[2], ledger)
    case.note("%d writes of 20 kB fitted in" % len(written))

    os.unlink(filler)

    def takes_writes():
        try:
            with node.client() as client:
                client.insert("again", 1, {"v": "1"})
            return True
        except (NoSpace, ReadOnly):
            return False
    case.eventually("writes are taken again without a restart", takes_writes)
    ledger.merge(join_writers(start_writers(cluster, "after", count=20, payload="x" * 1000)))
    before = check_everywhere(cluster, ledger)
    cluster.stop()
    cluster.start()
    expect_equal(check_everywhere(cluster, ledger)[:3], before[:3], "digest after a restart")


@test(timeout=90)
def a_full_disk_of_the_store(case):
    """The log has room in its segment, but the store can't write its files: reads go on, nothing is
    lost, and it goes on by itself when there is room."""
    folder = small_disk(case, 64)
    cluster = case.cluster(2, {"wal.wal_segment_size": "24MiB", "store.memtable_size": "64KiB"},
                           start=False)
    node = cluster[1]
    node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=20, payload="x" * 1000))
    # The segment's blocks are taken in steps: begin right behind a large one.
    segment, size = node.segments(1)[-1], 0
    with node.client() as client:
        for at in range(1, 1000):
            client.insert("room", at, {"v": "x" * 20000})
            was, size = size, os.path.getsize(segment)
            if was and size >= was + 900 * 1024:
                break
        else:
            raise Failed("the segment does not grow by steps")
    check_everywhere(cluster, ledger)
    filler = fill(folder)
    written, refusal = {}, None
    with node.client() as client:
        for at in range(1, 400):
            value = "%d" % at + "x" * 20000
            try:
                client.insert("full", at, {"v": value})
                written[at] = value
            except NoSpace as error:
                refusal = error
                break
        expect(refusal is not None, "%d writes of 20 kB without room for the store", len(written))
    expect("store" in refusal.message, "this is about the log, not the store: %s", refusal)
    case.note("%d writes of 20 kB until: %s" % (len(written), refusal.message))
    with node.client() as client:
        found = client.query_columns("before.node1.0", ["v"])[0]
        expect_equal(len(found), 20, "rows from before, read while the disk is full")
    # The peer gets all that was acknowledged, whatever the store here can do.
    ledger.acknowledged["full"] = written
    case.eventually("the peer has all of the full node", lambda: (
        cluster[2].applied(1) == node.own_log().progress.durable))
    os.unlink(filler)

    def takes_writes():
        try:
            with node.client() as client:
                client.insert("again", 1, {"v": "1"})
            return True
        except (NoSpace, ReadOnly):
            return False
    case.eventually("writes are taken again without a restart", takes_writes)
    before = check_everywhere(cluster, ledger)
    node.kill()
    node.start()
    expect_equal(check_everywhere(cluster, ledger)[:3], before[:3], "digest after a kill")


@test(timeout=60)
def a_start_on_a_full_disk(case):
    """It may come up and refuse writes, or end with a clear error, but it loses nothing."""
    folder = small_disk(case, 64)
    cluster = case.cluster(2, dict(SMALL, **{"store.memtable_size": "64KiB"}), start=False)
    node = cluster[1]
    node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=40, payload="x" * 5000))
    for kill in (True, False):
        if kill:
            node.kill()
        else:
            node.stop()
        filler = fill(folder)
        node.launch()
        node.expect_death()
        case.eventually("it answers or ends", lambda: not node.running or node.is_ready())
        if node.running:
            check_ledger(node, ledger)
            case.note("after a %s it came up" % ("kill" if kill else "stop"))
            os.unlink(filler)
        else:
            said = node.log_text().split("--- start")[-1].strip().splitlines()[-1]
            expect("No space left" in said, "it ended with: %s", said)
            case.note("after a %s it ended: %s" % ("kill" if kill else "stop", said[-150:]))
            os.unlink(filler)
            node.start()

        def takes_writes():
            try:
                with node.client() as client:
                    client.insert("again", 1, {"v": "1"})
                return True
            except (NoSpace, ReadOnly):
                return False
        case.eventually("writes are taken", takes_writes)
        check_everywhere(cluster, ledger)


@test(timeout=60)
def a_stop_with_too_little_room_for_the_store(case):
    """What waits in memory is not written out into a disk that has no room for it, as the database may end the process
    over that: it stops as ever, and the next start takes it from the logs."""
    folder = small_disk(case, 96)
    cluster = case.cluster(1, {"wal.wal_segment_size": "48MiB"}, start=False)
    node = cluster[1]
    node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")
    cluster.start()
    written = {}
    with node.client() as client:
        for at in range(1, 25):
            # Nothing that compresses.
            written[at] = base64.b64encode(case.random.randbytes(600000)).decode()
            client.insert("d", at, {"v": written[at]})
    filler = fill(folder, leave=10 << 20)
    node.stop()
    expect("stopping: " in node.log_text() and "the store needs" in node.log_text(),
           "the daemon's log does not say why the store was not written")
    os.unlink(filler)
    node.start()
    with node.client() as client:
        times, columns = client.query_columns("d", ["v"])
    expect_equal(dict(zip(times, columns["v"])), written, "rows")


@test(timeout=90)
def a_full_disk_of_a_follower(case):
    """The others take writes; the full node catches up by itself when there is room again."""
    folder = small_disk(case, 48)
    cluster = case.cluster(3, SMALL, start=False)
    node = cluster[3]
    node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=10))
    cluster.converge()
    filler = fill(folder)
    ledger.merge(join_writers(start_writers(cluster.nodes[:2], "while", count=case.scaled(
        200, least=80), payload="x" * 30000)))
    with cluster[1].client() as client:
        expect(not client.insert("d", 1, {"v": "1"}, ack="majority").pending,
               "two of three nodes are a majority")
    told = case.eventually("the full node is seen to lag", lambda: [
        each for each in (cluster[1].peer_status(3).message, cluster[3].status().message,
                          cluster[3].log_status(1).message) if each])
    case.note("status says: %s" % told[0])
    os.unlink(filler)
    check_everywhere(cluster, ledger, timeout=40)


def start_traceable(cluster):
    """The leak sanitizer traces as well, and only one can."""
    for node in cluster:
        node.environment = {"ASAN_OPTIONS": "detect_leaks=0:exitcode=99"}
    cluster.start()


def inject(case, node, *options):
    """strace on the running daemon; returns when it is attached."""
    if shutil.which("strace") is None:
        case.skip("strace is not installed")
    process = subprocess.Popen(["strace", "-f", "-p", str(node.pid), "-o", "/dev/null", *options],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    if "attached" not in line:
        process.kill()
        process.wait()
        case.skip("can't trace a process here: %s" % line.strip())
    # Let it drain, a line for each thread.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    case.at_end(_end, process)
    return process


def _end(process):
    if process.poll() is None:
        process.terminate()
        process.wait()


@test(timeout=60)
def s12_a_sync_that_fails(case):
    """EIO of one fdatasync of the own log: it takes no more writes until a restart, says so, and
    nothing that was acknowledged is lost. It is not tried again as if nothing had happened."""
    cluster = case.cluster(2, start=False)
    node = cluster[1]
    start_traceable(cluster)
    ledger = join_writers(start_writers([node], "before", count=20))
    tracer = inject(case, node, "-P", node.segments(1)[-1], "-e", "trace=fdatasync,fsync",
                    "-e", "inject=fdatasync,fsync:error=EIO:when=3")
    written, refusal = {}, None
    with node.client() as client:
        for at in range(1, 200):
            try:
                client.insert("eio", at, {"v": "%d" % at})
                written[at] = "%d" % at
            except SynclogError as error:
                refusal = error
                break
        expect(isinstance(refusal, ReadOnly), "the write whose sync failed: %r after %d writes",
               refusal, len(written))
        expect(refusal.message, "no message")
        # The disk is fine again, but the log stays as it is.
        for _ in range(5):
            try:
                client.insert("eio", 1000, {"v": "refused"})
                raise Failed("written to a log whose sync failed")
            except ReadOnly:
                pass
        ledger.acknowledged["eio"] = written
        check_ledger(node, ledger)
    status = node.status()
    expect_equal(status.state, "read-only", "state of the node")
    expect(status.message, "the status does not say why")
    expect_equal(node.own_log().state, "read-only", "state of the log")
    expect("rror" in node.log_text() or "I/O" in node.log_text(), "the daemon's log says nothing")
    # Others go on; it follows them.
    more = join_writers(start_writers([cluster[2]], "peer", count=10))
    case.eventually("the node still follows", lambda: node.applied(2) == 10)
    _end(tracer)
    node.kill()
    node.start()
    # The entry whose sync failed was not acknowledged: it may be there or not.
    ledger.unknown["eio"] = {len(written) + 1: "%d" % (len(written) + 1)}
    ledger.merge(more)
    ledger.merge(join_writers(start_writers(cluster, "after", count=10)))
    check_everywhere(cluster, ledger)


@test(timeout=60)
def a_mirror_sync_that_fails(case):
    """The same in the log of another node: visible, and the others do not wait."""
    cluster = case.cluster(3, start=False)
    start_traceable(cluster)
    ledger = join_writers(start_writers(cluster, "before", count=10))
    cluster.converge()
    node = cluster[3]
    tracer = inject(case, node, "-P", node.segments(1)[-1], "-e", "trace=fdatasync,fsync",
                    "-e", "inject=fdatasync,fsync:error=EIO:when=1")
    ledger.merge(join_writers(start_writers(cluster.nodes[:2], "while", count=20)))
    case.eventually("the log is shown as read-only",
                    lambda: node.log_status(1).state == "read-only")
    expect(node.log_status(1).message, "it does not say why")
    expect_equal(node.log_status(2).state, "ok", "state of the other mirror")
    with cluster[1].client() as client:
        expect(not client.insert("d", 1, {"v": "1"}, ack="majority").pending,
               "two of three nodes are a majority")
        expect(client.insert("d", 2, {"v": "2"}, ack="all", timeout_ms=500).pending,
               "durable on all although a log of node 3 is read-only")
    _end(tracer)
    node.kill()
    node.start()
    check_everywhere(cluster, ledger)


@test(timeout=60)
def a_store_behind_a_mirror_that_can_not_be_synced(case):
    """What was applied of a log and may be lost from it is not made durable by the store. Other logs go on until too
    much waits in memory; then the process ends, and the next start has everything."""
    cluster = case.cluster(3, start=False, config={"store.memtable_size": "64KiB",
                                                   "replication.mirror_sync_interval": "1s"})
    start_traceable(cluster)
    ledger = join_writers(start_writers(cluster, "before", count=5))
    cluster.converge()
    node = cluster[3]
    tracer = inject(case, node, "-P", node.segments(1)[-1], "-e", "trace=fdatasync,fsync",
                    "-e", "inject=fdatasync,fsync:error=EIO:when=1")
    ledger.merge(join_writers(start_writers([cluster[1]], "one", count=5)))
    case.eventually("it is applied, and the sync failed",
                    lambda: node.log_status(1).state == "read-only")
    log = node.log_status(1)
    expect(log.progress.durable < log.progress.applied, "nothing was applied before its sync")
    ledger.merge(join_writers(start_writers([cluster[2]], "two", count=100, payload="x" * 20000)))
    expect_equal(node.wait_exit(), 1, "exit code")
    for text in ("made durable no more until a restart", "can't be made durable"):
        expect(text in node.log_text(), "the daemon's log lacks «%s»", text)
    _end(tracer)
    node.start()
    check_everywhere(cluster, ledger)


def store_made_durable_no_more(case, config=None):
    """Two nodes; a sync of the second one's copy of the first one's log has failed, so its store persists no more,
    and little waits in its memory. Returns them and what was written."""
    cluster = case.cluster(2, start=False, config={"store.memtable_size": "256KiB",
                                                   "replication.mirror_sync_interval": "1s", **(config or {})})
    node = cluster[2]
    for each in cluster:
        each.arm("")
    cluster.start()
    ledger = join_writers(start_writers(cluster, "before", count=5))
    cluster.converge()
    # Behind the syncs of what was written until now.
    case.eventually("all is durable", lambda: all(
        log.progress.durable == log.progress.applied for log in node.status().logs))
    node.arm("wal_before_sync=EIO")
    ledger.merge(join_writers(start_writers([cluster[1]], "one", count=20, payload="x" * 20000)))
    case.eventually("the sync failed", lambda: node.log_status(1).state == "read-only")
    ledger.merge(join_writers(start_writers([node], "two", count=20, payload="x" * 20000)))
    case.eventually("it persists no more",
                    lambda: "made durable no more until a restart" in node.log_text())
    return cluster, ledger


@test(timeout=60, failpoints=True)
def a_full_disk_behind_a_mirror_that_can_not_be_synced(case):
    """A store that met a full disk takes nothing until it is opened again, and for that all logs must be synced.
    When one can't be, the process ends at once, however little waits; it does not stand still for ever."""
    cluster, ledger = store_made_durable_no_more(case)
    node = cluster[2]
    node.expect_death()
    node.arm("apply_before_store=ENOSPC")
    ledger.merge(join_writers(start_writers([cluster[1]], "full", count=5)))
    with node.client() as client:
        try:
            client.insert("full", 1, {"v": "1"})
        except (SynclogError, OSError):
            pass
    expect_equal(node.wait_exit(), 1, "exit code")
    expect("the store's disk was full: the store can't be made durable" in node.log_text(),
           "the daemon's log does not say why")
    node.arm("")
    node.start()
    ledger.unknown["full"] = {1: "1"}
    check_everywhere(cluster, ledger)


@test(timeout=60, failpoints=True)
def full_logs_behind_a_mirror_that_can_not_be_synced(case):
    """Writes are refused once the logs are at their limit, so too much never gathers in memory; and nothing makes the
    logs shorter while the store can't be made durable. The process ends instead of standing still for ever."""
    cluster, ledger = store_made_durable_no_more(case, {"wal.wal_segment_size": "64KiB",
                                                        "wal.throttle_threshold": "1536KiB"})
    node = cluster[2]
    node.expect_death()
    writers = start_writers([node], "three", count=60, payload="x" * 20000, pause=0.1)
    expect_equal(node.wait_exit(), 1, "exit code")
    expect("until the store is made durable, which it can't be" in node.log_text(),
           "the daemon's log does not say why")
    node.arm("")
    node.start()
    ledger.merge(join_writers(writers))
    check_everywhere(cluster, ledger)


def rows_of_store_that_failed(case, config=None):
    """A node whose store has met a full disk by itself, so that it must be opened again, and then gets from the log
    what was only in its memory. Returns it and what that was."""
    cluster = case.cluster(1, start=False, config=config)
    node = cluster[1]
    node.arm("")
    cluster.start()
    written = {at: "row %d" % at for at in range(1, 20)}
    with node.client() as client:
        for at, value in written.items():
            client.insert("d", at, {"v": value})
    return node, written


def fail_one_write(node, point):
    node.arm(point)
    with node.client() as client:
        client.insert("e", 1, {"v": "durable, and not applied"})


@test(timeout=60, failpoints=True)
def a_store_that_is_opened_again_shows_all_or_nothing(case):
    """As long as it lacks what was read before, it is not read."""
    node, written = rows_of_store_that_failed(case)
    fail_one_write(node, "store_write=ENOSPC+")
    seen = []
    while node.log_text().count("failpoint store_write") < 4:
        try:
            with node.client() as client:
                times, columns = client.query_columns("d", ["v"])
            seen.append(dict(zip(times, columns.get("v", []))))
        except SynclogError as error:
            expect(error.retryable, "a read: %s", error)
    expect(all(rows == written for rows in seen), "rows were gone: %r of %d",
           {len(rows) for rows in seen}, len(written))
    node.arm("")

    def is_well():
        try:
            with node.client() as client:
                client.insert("f", 1, {"v": "1"})
                return client.last("e")["v"].value
        except SynclogError as error:
            expect(error.retryable, "%s", error)
    expect_equal(case.eventually("it takes writes again", is_well), "durable, and not applied", "the row that failed")
    with node.client() as client:
        times, columns = client.query_columns("d", ["v"])
    expect_equal(dict(zip(times, columns["v"])), written, "rows")


@test(timeout=60, failpoints=True)
def a_store_that_is_opened_again_keeps_nobody_waiting(case):
    """Getting from the log what it lost may take long; the node answers meanwhile. A second loop would hide one that
    stands still."""
    node, _ = rows_of_store_that_failed(case, config={"threads.network": "1"})
    fail_one_write(node, "store_write=ENOSPC recovery_before_apply=delay:4000")
    case.eventually("the store is opened again", lambda: "failpoint recovery_before_apply" in node.log_text())
    begin = hlc_now() >> 16
    with node.client() as client:
        try:
            client.insert("e", 2, {"v": "too early"})
            raise Failed("written while the store was opened")
        except SynclogError as error:
            expect(error.retryable, "the write: %s", error)
        client.info()
        node.status()
    took = (hlc_now() >> 16) - begin
    expect(took < 2000, "three answers took %d ms while the store was opened", took)


@test(timeout=60, failpoints=True)
def a_store_is_opened_again_however_much_is_read(case):
    """Reads that overlap all the time do not keep it."""
    node, _ = rows_of_store_that_failed(case, config={"threads.workers": "4"})
    ended = threading.Event()

    def read():
        with node.client() as client:
            while not ended.is_set():
                try:
                    client.last("d")
                except SynclogError as error:
                    expect(error.retryable, "a read: %s", error)
    readers = [threading.Thread(target=read, daemon=True) for _ in range(12)]
    node.arm("run_read=delay:100+")
    for reader in readers:
        reader.start()
    case.eventually("reads overlap", lambda: node.log_text().count("failpoint run_read") > 10)
    fail_one_write(node, "run_read=delay:100+ store_write=ENOSPC")
    case.eventually("it takes writes again", lambda: "has room again" in node.log_text(), timeout=15)
    ended.set()
    for reader in readers:
        reader.join()


@test(timeout=60, failpoints=True)
def a_digest_does_not_keep_a_store_from_being_opened_again(case):
    """It takes twenty seconds here, and is given up: it can be asked for again."""
    node, _ = rows_of_store_that_failed(case)
    with node.client() as client:
        for device in range(100):
            client.insert("d%d" % device, 1, {"v": device})
    node.arm("digest_bucket=delay:200+")
    digest = subprocess.Popen([case.program("synclogctl"), "-s", node.address, "digest"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    case.at_end(digest.wait)
    case.eventually("a digest is taken", lambda: "failpoint digest_bucket" in node.log_text())
    fail_one_write(node, "digest_bucket=delay:200+ store_write=ENOSPC")
    case.eventually("it takes writes again", lambda: "has room again" in node.log_text(), timeout=10)
    node.arm("")


@test(timeout=60)
def full_logs_are_shortened_however_little_waits_in_memory(case):
    """The store is made durable when the logs are at their limit, though its memory has room: otherwise nothing could
    be deleted, and writes would be refused for ever."""
    cluster = case.cluster(1, config={"wal.wal_segment_size": "64KiB", "wal.throttle_threshold": "1MiB"})
    written = 0

    def takes_writes():
        nonlocal written
        with cluster[1].client() as client:
            try:
                client.insert("d", written + 1, {"v": "x" * 20000})
            except Overloaded:
                return False
        written += 1
        return True
    while takes_writes():
        expect(written < 10000, "nothing is refused")
    case.eventually("writes are taken again", takes_writes)


@test(timeout=60, failpoints=True)
def no_maintenance_while_nothing_is_persisted(case):
    """The memory that is left is for what is applied: maintenance would only fill it."""
    cluster, ledger = store_made_durable_no_more(case)
    node, other = cluster[2], cluster[1]
    began = len(node.log_text())

    def steps(of, since=0):
        return of.log_text()[since:].count("failpoint maintain_before_step")
    node.arm("maintain_before_step=delay:0+")
    other.arm("maintain_before_step=delay:0+")
    # Both look for work each second.
    case.eventually("the other one maintains its store", lambda: steps(other) >= 4)
    expect_equal(steps(node, began), 0, "steps of maintenance")
    node.kill()
    node.start()
    case.eventually("after a restart it does again", lambda: steps(node, began) > 0)
    check_everywhere(cluster, ledger)


@test(timeout=60)
def s14_a_slow_disk(case):
    """Syncs of 100 ms: writes that come meanwhile share the next one, and reads do not wait."""
    cluster = case.cluster(1, start=False)
    start_traceable(cluster)
    node = cluster[1]
    join_writers(start_writers([node], "before", count=5))
    tracer = inject(case, node, "-e", "trace=fdatasync", "-e",
                    "inject=fdatasync:delay_enter=100000")
    begin = hlc_now() >> 16
    writers = start_writers([node], "slow", per_node=16)
    with node.client() as client:
        for _ in range(20):
            client.series()
    threading.Event().wait(1.5)
    ledger = stop_writers(writers)
    took = ((hlc_now() >> 16) - begin) / 1000
    _end(tracer)
    expect(ledger.writes > 30, "%d writes in %.1f s: they do not share a sync", ledger.writes, took)
    case.note("%d writes of 16 writers in %.1f s with syncs of 0.1 s" % (ledger.writes, took))
    check_ledger(node, ledger)


@test(timeout=60)
def a_disk_that_hangs(case):
    """Syncs that do not end for three seconds: the node answers what needs no sync, keeps its peers,
    and a write that waited is there. A second loop would hide one that stands still."""
    cluster = case.cluster(3, start=False, config={"threads.network": "1"})
    start_traceable(cluster)
    node = cluster[1]
    join_writers(start_writers([node], "before", count=50))
    tracer = inject(case, node, "-e", "trace=fdatasync", "-e",
                    "inject=fdatasync:delay_enter=3000000")
    writers = start_writers([node], "slow", per_node=4)
    begin = hlc_now() >> 16
    with node.client() as client:
        while (hlc_now() >> 16) - begin < 4000:
            asked = hlc_now() >> 16
            client.series()
            took = (hlc_now() >> 16) - asked
            expect(took < 1500, "an answer took %d ms while the disk hung", took)
    for other in (2, 3):
        expect_equal(cluster[other].peer_status(1).state, "connected", "node 1 is not given up")
    _end(tracer)
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger, timeout=40)


@test(timeout=60)
def a_follower_whose_disk_is_slow(case):
    """A node that only follows learns, too, that its disk is slow: its network threads leave the
    syncs, which writes elsewhere wait for, to the log's thread."""
    cluster = case.cluster(2, start=False)
    start_traceable(cluster)
    node = cluster[2]
    join_writers(start_writers([cluster[1]], "before", count=20, ack="all"))
    traced = os.path.join(case.dir, "syncs")
    tracer = inject(case, node, "-o", traced, "-e", "trace=fdatasync", "-e",
                    "inject=fdatasync:delay_enter=40000")
    join_writers(start_writers([cluster[1]], "slow", count=60, ack="all"))
    names = {}
    for thread in os.listdir("/proc/%d/task" % node.pid):
        with open("/proc/%d/task/%s/comm" % (node.pid, thread)) as file:
            names[thread] = file.read().strip()
    _end(tracer)
    with open(traced) as file:
        by = [names.get(line.split()[0], "") for line in file if "fdatasync(" in line]
    expect(len(by) >= 60, "each write waits for a sync of the follower, there were %d", len(by))
    turns = sum(name.startswith("net-") for name in by)
    expect(turns <= len(by) // 3, "network threads waited for %d of %d syncs", turns, len(by))


@test(timeout=60)
def a_store_that_fails(case):
    """The store can't open its next file: the node ends with an error instead of going on without
    it, and nothing that it acknowledged is lost."""
    cluster = case.cluster(2, SMALL)
    node = cluster[1]
    store = os.path.join(node.data_dir, "group-0", "store")
    node.expect_death()
    os.rename(store, store + ".away")
    writer = start_writers([node], "load", payload="x" * 5000)[0]
    expect_equal(node.wait_exit(), 1, "exit code")
    writer.stop()
    writer.join(case.patience(20))
    said = node.log_text()
    expect("the process must be restarted" in said and "No such file" in said,
           "the log does not say why:\n%s", said)
    expect("Source ID" not in said, "a source was removed twice")
    os.rename(store + ".away", store)
    node.start()
    expect(writer.ledger.writes > 0, "it ended before the first write")
    check_everywhere(cluster, writer.ledger)
