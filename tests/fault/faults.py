"""Faults of disks, links, processes, clients and clocks, mixed at random, on daemons under load."""

import glob
import os
import signal
import subprocess

import menu
from case import Skip
from cluster import Failed
from power import put_on_disks
from runner import campaign_of
from synclog_client import SynclogError

CLOCKS = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
RSS_MIB, FILES = 400, 200


# --- all together ---------------------------------------------------------------------------------

class _Mix:
    """What is broken now: up to three faults at a time, at most one of them for each node itself."""

    def __init__(self, round_, busy_clients, on_disks):
        self.round = round_
        self.random = round_.random
        self.active = []      # (undo, node or None)
        self.menu = menu.LINKS + menu.NODES + menu.NODES
        if busy_clients:
            self.menu += menu.CLIENTS
        if on_disks:
            self.menu += (menu.power,) * 3

    def step(self):
        if self.active and (len(self.active) >= 3 or self.random.random() < 0.4):
            self.undo(self.active.pop(self.random.randrange(len(self.active))))
            return
        fault = self.random.choice(self.menu)
        taken = [node for _, node in self.active]
        node = None
        if fault not in menu.LINKS:
            free = [each for each in self.round.cluster if each not in taken]
            if not free:
                return
            node = self.random.choice(free)
        undo = fault(self.round, node)
        if undo is not None:
            self.active.append((undo, node))

    def undo(self, entry):
        undo, node = entry
        undo()
        if node is not None and node.running:
            node.expect_life()

    def undo_all(self):
        while self.active:
            self.undo(self.active.pop())


@campaign_of(short=2, weight=6, limit=180)
def mix(job):
    """All but clocks and memory; in every second round also power loss, where that can be."""
    many = menu.raise_file_limit()
    on_disks = os.getuid() == 0 and job.seed % 2 == 1
    with job.round(proxied=True, nodes=3 if job.short else None,
                   prepare=put_on_disks if on_disks else None) as round_:
        mixed = _Mix(round_, many, on_disks)
        for _ in range(16 if job.short else round_.random.randrange(20, 50)):
            mixed.step()
            round_.run_for(round_.random.uniform(0.05, 0.4))
        mixed.undo_all()
        round_.run_for(0.2)
        check_bounds(round_)
        round_.judge()


def check_bounds(round_):
    """P7, roughly: what no fault here may make grow."""
    for node in round_.cluster:
        if not round_.case.flavour.sanitized and node.rss_mib() > RSS_MIB:
            raise Failed("%s takes %.0f MiB" % (node, node.rss_mib()))
        if not round_.wait(lambda: node.open_files() < FILES, 20):
            raise Failed("%s has %d files open" % (node, node.open_files()))


# --- a disk that is full --------------------------------------------------------------------------

def _small_disks(round_):
    if os.getuid() != 0:
        raise Skip("only root may mount a small file system")
    for node in round_.cluster:
        folder = os.path.join(round_.case.dir, "small-%s-%d" % (node.name, os.getpid()))
        os.mkdir(folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder],
                                 capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            raise Skip("can't mount a tmpfs: %s" % mounted.stderr.strip())
        round_.case.at_end(subprocess.run, ["umount", "-l", folder])
        node.small_disk = folder
        node.data_dir = node.config["node.data_dir"] = os.path.join(folder, "data")


def _fill(folder, leave):
    path = os.path.join(folder, "filler")
    left = os.statvfs(folder)
    size = left.f_bavail * left.f_bsize - leave
    with open(path, "wb", buffering=0) as file:
        try:
            while size > 0:
                size -= file.write(bytes(min(size, 1 << 20)))
        except OSError:
            pass
    return path


def _start_if_ended(round_, node):
    """RocksDB as Debian packages it may abort when it meets the full disk by itself, between the look for room and its
    write. That is an end of the process, which the next start must survive; the judge looks whether anything is lost."""
    if node.running:
        node.expect_life()
        return
    code = node.process.poll()
    if code != -signal.SIGABRT or "writable_file_writer.h" not in node.log_text():
        raise Failed("%s ended by itself, and not in RocksDB's writer: %d" % (node, code))
    round_.figures.faults["RocksDB aborted on a full disk"] += 1
    round_.restart(node)


@campaign_of(short=1, weight=2, limit=180)
def full(job):
    """Real file systems of 64 MiB that fill up, wholly or but for some bytes, and get room again."""
    with job.round(prepare=_small_disks, nodes=2 if job.short else None, payload=1000) as round_:
        for each in round_.recorders:
            each.local_reads = False  # reads go on while the store is stuck: they may lag behind
        for _ in range(2 if job.short else round_.random.randrange(3, 7)):
            round_.run_for(round_.random.uniform(0.2, 0.6))
            node = round_.random.choice(list(round_.cluster))
            node.expect_death()
            path = _fill(node.small_disk, round_.random.choice((0, 0, 100000, 9 << 20)))
            round_.figures.faults["full file system"] += 1
            round_.run_for(round_.random.uniform(0.3, 1.2))
            if round_.random.random() < 0.3 and node.running:
                node.kill()
                os.unlink(path)
                round_.restart(node)
                round_.figures.faults["kill -9 with a full disk"] += 1
            else:
                os.unlink(path)
                _start_if_ended(round_, node)
            round_.stays_writable(node)
        round_.judge()


# --- clocks ---------------------------------------------------------------------------------------

def _fake_clocks(round_):
    if not os.path.exists(CLOCKS):
        raise Skip("libfaketime is not installed")
    if round_.case.flavour.sanitized:
        raise Skip("libfaketime does not go with sanitizers")
    round_.case.at_end(_remove_stale)
    for node in round_.cluster:
        node.clock_path = os.path.join(node.dir, "clock")
        _set_clock(node, "+0")
        node.environment.update(LD_PRELOAD=CLOCKS, FAKETIME_TIMESTAMP_FILE=node.clock_path,
                                FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1")


def _remove_stale():
    """The library leaves shared memory of its own behind a process that was killed."""
    for path in glob.glob("/dev/shm/*faketime_s*_*"):
        if not os.path.exists("/proc/%s" % path.rsplit("_", 1)[1]):
            try:
                os.unlink(path)
            except OSError:
                pass  # another round was quicker, or it is somebody else's


def _set_clock(node, offset):
    with open(node.clock_path + ".new", "w", encoding="utf-8") as file:
        file.write(offset + "\n")
    os.rename(node.clock_path + ".new", node.clock_path)


def _refuses(node):
    try:
        with node.client() as client:
            return client.status().state == "read-only"
    except SynclogError:
        return False


def _is_held_for_ahead(cluster, node):
    """Whether another node still goes by what it measured when this one's clock was days ahead: with a clock that is as
    far ahead it would believe that two of three agree."""
    for other in cluster:
        try:
            peer = None if other is node else other.peer_status(node.id)
        except SynclogError:
            return True
        if peer is not None and peer.clockOffsetMs is not None and peer.clockOffsetMs > 3600 * 1000:
            return True
    return False


@campaign_of(short=1, weight=2, limit=180)
def clocks(job):
    """Wall clocks that jump and are off, by seconds and by years, also across a restart."""
    with job.round(prepare=_fake_clocks, nodes=3) as round_:
        round_.trust_clocks = False
        for _ in range(4 if job.short else round_.random.randrange(6, 12)):
            node = round_.random.choice(list(round_.cluster))
            offset = round_.random.choice(("+20", "+50", "-20", "-1h", "-1d", "-10y", "+1d", "+100y"))
            far_ahead = offset in ("+1d", "+100y")
            if far_ahead:
                # What it stamps before it hears that it is wrong would have to wait for that day.
                round_.hold_clients()
            _set_clock(node, offset)
            round_.figures.faults["clock %s" % offset] += 1
            if far_ahead:
                if not round_.wait(lambda: _refuses(node), 20):
                    raise Failed("%s, %s ahead, does not refuse writes" % (node, offset))
                round_.release_clients()
            round_.run_for(round_.random.uniform(0.2, 0.5))
            if round_.random.random() < 0.3 and not far_ahead:
                node.kill()
                round_.figures.faults["kill -9"] += 1
                _set_clock(node, round_.random.choice(("+0", offset)))
                round_.restart(node)
            _set_clock(node, "+0")
            round_.run_for(0.1)
            if far_ahead and not round_.wait(lambda: not _is_held_for_ahead(round_.cluster, node), 20):
                raise Failed("%s was set right, and others still take it for far ahead" % node.name)
        for node in round_.cluster:
            round_.stays_writable(node)
        round_.judge()


# --- memory ---------------------------------------------------------------------------------------

CGROUPS = "/sys/fs/cgroup/memory"
LIMITED = {"limits.max_memory_in_flight": "64MiB", "wal.max_queued_bytes": "16MiB",
           "replication.max_pending_bytes": "16MiB", "store.memtable_size": "4MiB",
           "wal.max_commit_size": "1MiB", "wal.wal_segment_size": "4MiB"}


class _Cgroup:
    def __init__(self, case, mib):
        self.path = os.path.join(CGROUPS, "synclogd-test-%d" % os.getpid())
        try:
            os.mkdir(self.path)
        except OSError as error:
            raise Skip("no cgroup for memory can be made: %s" % error) from error
        case.at_end(os.rmdir, self.path)
        self._write("memory.limit_in_bytes", mib << 20)

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write("%d" % value)

    def add(self, pid):
        self._write("cgroup.procs", pid)

    def killed(self):
        with open(os.path.join(self.path, "memory.oom_control"), encoding="ascii") as file:
            return dict(line.split() for line in file).get("oom_kill", "0") != "0"


@campaign_of(short=0, weight=1, limit=180)
def memory(job):
    """A node with 256 MiB under clients that write large values and do not read: it slows down or
    refuses, and is not killed for its memory."""
    with job.round(nodes=2, config=LIMITED, payload=60000, clients=6, rate=60) as round_:
        if round_.case.flavour.sanitized:
            raise Skip("a sanitizer takes much more memory")
        node = round_.cluster[1]
        group = _Cgroup(round_.case, 256)
        group.add(node.pid)
        for _ in range(6):
            undo = round_.random.choice((menu.slow_readers, menu.slow_writers, menu.slow_disk))(
                round_, node)
            round_.run_for(round_.random.uniform(0.5, 1.5))
            undo()
        round_.figures.faults["memory limit"] += 1
        job.note("at most %.0f MiB of 256" % node.rss_mib(peak=True))
        if group.killed():
            raise Failed("%s was killed for its memory" % node)
        round_.judge()
