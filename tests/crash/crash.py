"""Crashes of real daemons under load: kill -9 at random moments and at each failpoint, power loss."""

import os
import shutil
import signal
import subprocess
import time

import checker
import members as membership
from campaign import Figures
from case import Skip
from cluster import Failed
from power import put_on_disks
from runner import campaign_of
from synclog_client import SynclogError

KILLED = -signal.SIGKILL

# Points that the load alone does not pass soon: what is done to get there. All others are waited
# for under load, and then tried at a start.
AT_START = ("start_", "recovery_begin", "recovery_end", "recovery_before_own_log", "wal_open_",
            "recovery_before_apply", "recovery_after_apply")
AT_STOP = ("stop_",)
AS_COPY = ("recovery_before_incarnation", "incarnation_before_save", "directory_made", "identity_")
TORN = ("wal_open_before_truncate",)
LAGGING = ("read_log",)
# Passed by a node that was restored or whose files are damaged: the campaign `restores`.
RESTORED = ("incarnation_after_cut", "incarnation_before_log", "incarnation_begun")
DAMAGED = ("recovery_before_cut", "wal_cut", "wal_cut_before_truncate")
EMPTIED = ("wal_reset",)
# Passed while a snapshot is made, fetched and installed: system tests kill there.
SEEDED = ("checkpoint_", "snapshot_", "seed_", "install_")
SLOW = {"keep_clock_bound": 11.0, "store_after_maintain": 5.0, "store_before_maintain": 5.0,
        "store_before_reblock": 6.0, "store_after_reblock": 6.0,
        "trim_begin": 4.0, "wal_before_unlink": 4.0, "wal_after_unlink": 4.0}
LIVE_S, START_S = 1.0, 6.0


def all_points(build):
    """{name: whether it can fail}"""
    environment = dict(os.environ, SYNCLOG_FAILPOINTS="list", ASAN_OPTIONS="detect_leaks=0")
    text = subprocess.run([os.path.join(build, "synclogd")], env=environment, check=True,
                          capture_output=True, text=True).stdout
    if not text.strip():
        raise Failed("%s has no failpoints: make FAILPOINTS=1" % build)
    return {line.split()[0]: line.endswith(" fails") for line in text.splitlines()}


# --- kill -9 at random moments --------------------------------------------------------------------

@campaign_of(short=1, weight=3)
def kills(job):
    """One node, some of them, all of them; short and long absences, kills while starting."""
    with job.round() as round_:
        for _ in range(6 if job.short else round_.random.randrange(8, 20)):
            round_.run_for(round_.random.uniform(0.05, 0.4))
            _random_kill(round_)
        round_.run_for(0.2)
        round_.judge()


def _random_kill(round_):
    dice, nodes = round_.random.random(), list(round_.cluster)
    if dice < 0.6:
        victims, kind = [round_.random.choice(nodes)], "kill -9"
    elif dice < 0.8:
        victims = round_.random.sample(nodes, len(nodes) // 2 + 1)
        kind = "kill -9 of a majority"
    else:
        victims, kind = nodes, "kill -9 of all"
    round_.figures.faults[kind] += 1
    for node in victims:
        node.kill()
    if round_.random.random() < 0.3:
        round_.run_for(round_.random.uniform(0.1, 0.6))
    while round_.random.random() < 0.3:
        # Again while it starts.
        node = round_.random.choice(victims)
        node.launch()
        time.sleep(round_.random.uniform(0.001, 0.08))
        node.kill()
        round_.figures.faults["kill -9 while starting"] += 1
    start_all(round_, victims)


# --- kill -9 at failpoints ------------------------------------------------------------------------

def _wait_dead(round_, node, seconds):
    round_.wait(lambda: not node.running, seconds)
    return not node.running


def _at_start(round_, node, name, change=None):
    """Kills the node and starts it with the point armed; whether it died there."""
    if node.running:
        node.kill()
    if change is not None:
        change(round_, node)
    node.arm("%s=kill" % name)
    node.launch()
    begin = time.monotonic()
    node.expect_death()
    round_.wait(lambda: not node.running or node.is_ready(), START_S)
    if not _wait_dead(round_, node, 0.1):
        try:
            round_.note_started(node, begin)
        except (OSError, SynclogError):
            # It came to the point while it was asked. A busy machine takes long to clear away what it held.
            if not _wait_dead(round_, node, 20):
                raise
    return not node.running


def _at_stop(round_, node, name):
    node.arm("%s=kill" % name)
    node.signal_stop()
    if not _wait_dead(round_, node, 20):
        raise Failed("%s does not stop" % node)
    return node.process.returncode == KILLED


def be_copied(round_, node):
    """The data directory becomes a copy of itself: a new incarnation, and nothing is lost."""
    shutil.copytree(node.data_dir, node.data_dir + ".copy", symlinks=True)
    shutil.rmtree(node.data_dir)
    os.rename(node.data_dir + ".copy", node.data_dir)
    # The first one that is begun may be killed before its log is there.
    round_.new_logs += 2


def be_torn(round_, node):
    """Garbage behind the last record of the own log, as a write leaves it that power loss
    interrupted."""
    segments = node.segments(node.id)
    if not segments:
        return  # a new log that nobody has written to
    with open(segments[-1], "r+b") as file:
        # A record may end with zero bytes, but not with so many.
        file.seek(len(file.read().rstrip(b"\0")) + 16)
        size = round_.random.randrange(1, 60)
        file.write(bytes(round_.random.randrange(1, 256) for _ in range(size)))


def _live(round_, node, name, seconds):
    """Whether the node died at the point under load."""
    count = round_.random.choice((1, 1, 2, 5)) if name not in SLOW else 1
    node.expect_death()
    node.arm("%s=kill@%d" % (name, count))
    if name in LAGGING:
        other = round_.random.choice([each for each in round_.cluster if each is not node])
        other.kill()
        round_.wait(lambda: not node.running, 0.4)
        round_.restart(other)
    return _wait_dead(round_, node, seconds)


def kill_at(round_, node, name, live_s=LIVE_S):
    """Whether the node died at that point. It is down or up afterwards."""
    if name.startswith(AT_STOP):
        fired = _at_stop(round_, node, name)
    elif name.startswith(AS_COPY):
        fired = _at_start(round_, node, name, be_copied)
    elif name.startswith(TORN):
        fired = _at_start(round_, node, name, be_torn)
    elif name.startswith(AT_START):
        fired = _at_start(round_, node, name)
    else:
        fired = _live(round_, node, name, live_s) or _at_start(round_, node, name)
    round_.disarm(node)
    if not fired and ("kill" in (action for _, action in round_.fired(node))):
        # It had come to the point when time was up. A busy machine takes long to clear away what it held.
        fired = _wait_dead(round_, node, 20)
    if fired:
        round_.expect_exit(node, KILLED)
        round_.note_fired(node)
    return fired


def _points_of(job, round_, shares):
    """This round's share of all points in the short run, else some of them."""
    if job.points:
        return job.points.split(",")
    names = [name for name in sorted(all_points(job.build))
             if name not in RESTORED + DAMAGED + EMPTIED + membership.POINTS
             and not name.startswith(SEEDED)
             and not (job.short and name == "keep_clock_bound")]
    if job.short:
        return names[job.number::shares]
    return round_.random.sample(names, 15)


SHARES = 2


@campaign_of(short=SHARES, weight=4, limit=180)
def failpoints(job):
    """At each point in turn, on any node, while others wait at theirs now and then."""
    with job.round(nodes=3, rate=200, payload=1000, config={
            "wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB",
            "replication.max_pending_requests": 50}) as round_:
        missed = []
        delays = [name for name in all_points(job.build) if name.startswith(
            ("wal_", "commit_", "mirror_", "apply_", "send_", "reply_"))]
        names = _points_of(job, round_, SHARES)
        for name in names:
            node, other = round_.random.sample(list(round_.cluster), 2)
            if round_.random.random() < 0.3:
                other.arm("%s=delay:%d@%d" % (round_.random.choice(delays), round_.random.choice((5, 50)),
                                              round_.random.randrange(1, 9)))
                round_.figures.faults["wait at a failpoint"] += 1
            live_s = SLOW.get(name, LIVE_S)
            if kill_at(round_, node, name, live_s):
                round_.figures.faults["kill -9 at a failpoint"] += 1
            else:
                missed.append(name)
            round_.disarm(node)
            round_.disarm(other)
            if not node.running:
                round_.restart(node)
            node.expect_life()
        round_.run_for(0.1)
        if missed:
            job.note("not passed: %s" % " ".join(missed))
        if len(missed) * 3 > len(names) and not job.points:
            raise Failed("%d of %d failpoints were not passed" % (len(missed), len(names)))
        round_.judge()


@campaign_of(short=1, weight=1, limit=240)
def members(job):
    """Nodes join and leave, and one is killed at each step of it; in the end nobody waits for them."""
    with job.round(nodes=3, rate=60) as round_:
        pairs = list(zip(membership.ADD, membership.REMOVE))
        round_.random.shuffle(pairs)
        missed = []
        for number, pair in enumerate(pairs[:3] if job.short else pairs):
            fired = membership.grow_and_shrink(round_, 4 + number, *pair)
            missed += [name for name in pair if name not in fired]
            round_.run_for(0.1)
        if missed:
            raise Failed("not passed: %s" % " ".join(missed))
        round_.judge()


# --- files that are old or damaged ----------------------------------------------------------------

def _children(folder):
    return [os.path.join(folder, name) for name in os.listdir(folder)]


def _copy_contents(source, target):
    for path in _children(source):
        copy = shutil.copytree if os.path.isdir(path) else shutil.copy2
        copy(path, os.path.join(target, os.path.basename(path)))


def _flip_a_byte(round_, path):
    """In the middle of the records, so that sound ones follow."""
    with open(path, "r+b") as file:
        content = file.read().rstrip(b"\0")
        at = round_.random.randrange(len(content) // 2, len(content) - len(content) // 8)
        file.seek(at)
        file.write(bytes((content[at] ^ (1 << round_.random.randrange(8)),)))


def _has_written(node):
    try:
        return node.own_log().progress.durable >= 10
    except (OSError, SynclogError):
        return False  # it may be opening again, to install a snapshot


def _come_to_rest(round_):
    """All nodes have written to the logs that they have now, all have everything, and clients wait."""
    for node in round_.cluster:
        if not round_.wait(lambda at=node: _has_written(at), 10):
            raise Failed("%s gets no writes:\n%s" % (node, round_.cluster.describe()))
    round_.hold_clients()
    round_.cluster.converge(40)
    round_.expect_local_reads(True)


def _has_begun(node, before):
    try:
        return node.own_log().progress.log.incarnation > before
    except (OSError, SynclogError):
        return False


def _restore(round_, node, name):
    """The node gets the files that it had before, in the same directory. Peers have what came later;
    it learns of that from them and begins a new log. Clients wait for that. Whether it died at the
    point."""
    _come_to_rest(round_)
    node.kill()
    old = node.data_dir + ".old"
    os.mkdir(old)
    _copy_contents(node.data_dir, old)
    round_.restart(node)
    before = node.own_log().progress.log.incarnation
    round_.release_clients()
    round_.run_for(0.3)
    _come_to_rest(round_)
    node.kill()
    for path in _children(node.data_dir):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    for path in _children(old):
        os.rename(path, os.path.join(node.data_dir, os.path.basename(path)))
    os.rmdir(old)
    round_.new_logs += 2
    round_.figures.faults["files restored from before"] += 1
    node.arm("%s=kill" % name)
    node.launch()
    node.expect_death()
    round_.wait(lambda: not node.running or _has_begun(node, before), 10)
    fired = _wait_dead(round_, node, 0.5)
    if fired:
        round_.expect_exit(node, KILLED)
        round_.note_fired(node)
        round_.disarm(node)
        round_.restart(node)
    else:
        round_.note_started(node, time.monotonic())
    if not round_.wait(lambda: _has_begun(node, before), 20):
        raise Failed("%s was restored and goes on in its old log:\n%s" % (
            node, round_.cluster.describe()))
    return fired


def _wipe(round_, node, name):
    """All files of the node are gone; it comes back with the same id and gets all from the others."""
    _come_to_rest(round_)
    round_.new_logs += 2
    round_.figures.faults["data directory wiped"] += 1
    fired = _at_start(round_, node, name, lambda *_: shutil.rmtree(node.data_dir))
    _go_on(round_, node, fired)
    return fired


def _empty(round_, node, name, own):
    """The segments of a log are gone, its directory is there."""
    _come_to_rest(round_)
    origin = node if own else round_.random.choice([each for each in round_.cluster
                                                    if each is not node])

    def change(*_):
        for path in node.segments(origin.id):
            os.unlink(path)
    fired = _at_start(round_, node, name, change)
    round_.new_logs += 2 * own
    round_.figures.faults["segments missing of %s log" % ("the own" if own else "a mirror")] += 1
    _go_on(round_, node, fired)
    return fired


def _go_on(round_, node, fired):
    if fired:
        round_.expect_exit(node, KILLED)
        round_.note_fired(node)
        round_.disarm(node)
        round_.restart(node)


def _damage(round_, node, name, own):
    """A byte of a log's last segment is another one, of the node's own log or of a mirror."""
    _come_to_rest(round_)
    origin = node if own else round_.random.choice([each for each in round_.cluster
                                                    if each is not node])
    path = node.segments(origin.id)[-1]
    fired = _at_start(round_, node, name, lambda *_: _flip_a_byte(round_, path))
    round_.new_logs += 2 * own
    round_.figures.faults["byte flipped in %s log" % ("the own" if own else "a mirror")] += 1
    _go_on(round_, node, fired)
    return fired


@campaign_of(short=1, weight=1, limit=180)
def restores(job):
    """Data directories that are old, wiped or damaged, with kill -9 on the way out of it. No segment
    is closed: peers have all that a node may need again."""
    with job.round(nodes=3, config={"wal.wal_segment_size": "64MiB"}) as round_:
        missed = []
        steps = [(_restore, name, {}) for name in RESTORED]
        steps += [(_damage, name, {"own": own}) for name in DAMAGED for own in (True, False)]
        steps += [(_empty, name, {"own": own}) for name in EMPTIED for own in (True, False)]
        steps += [(_wipe, name, {}) for name in ("recovery_end", "identity_saved", "take_sync")]
        round_.random.shuffle(steps)
        for step, name, options in steps[:3] if job.short else steps:
            round_.run_for(0.2)
            node = round_.random.choice(list(round_.cluster))
            if not step(round_, node, name, **options):
                missed.append(name)
            node.expect_life()
            round_.expect_local_reads(False)
            round_.release_clients()
        if missed:
            job.note("not passed: %s" % " ".join(missed))
        round_.run_for(0.1)
        round_.judge()


# --- power loss -----------------------------------------------------------------------------------

def lose_power(round_, nodes):
    """Power loss of nodes that run or stand still, at one moment as near as may be."""
    for node in nodes:
        node.signal(signal.SIGSTOP)
    for node in nodes:
        node.disk.shut_down()
    for node in nodes:
        node.expect_death()
        node.process.kill()
        node.process.wait()
    for node in nodes:
        node.disk.power_on()
        round_.disarm(node)
    round_.figures.faults["power loss"] += len(nodes)


def start_all(round_, nodes):
    begin = time.monotonic()
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_ready(60)
        round_.note_started(node, begin)


def _stand_still(round_, node, name):
    """Whether the node stands still at the point: before the call that it names."""
    node.arm("%s=stop@%d" % (name, round_.random.choice((1, 1, 2, 4))))
    return round_.wait(lambda: round_.stands_still(node), SLOW.get(name, 0.4))


def _power_points(build):
    """Where a file or a directory has changed and is not synced yet, or was just synced."""
    begins = ("wal_", "segment_", "identity_", "directory_", "commit_", "mirror_", "persist_",
              "store_", "apply_", "reply_", "send_sync")
    return [name for name in all_points(build)
            if name.startswith(begins) and name not in SLOW and name not in DAMAGED + EMPTIED]


@campaign_of(short=1, weight=4, limit=180)
def power(job):
    """The unsynced bytes of one node, or of all, are gone: at random moments and at failpoints."""
    points = job.points.split(",") if job.points else _power_points(job.build)
    with job.round(prepare=put_on_disks, nodes=3 if job.short else None, payload=1000) as round_:
        for _ in range(6 if job.short else round_.random.randrange(8, 16)):
            round_.run_for(round_.random.uniform(0.05, 0.4))
            nodes = [round_.random.choice(list(round_.cluster))]
            if round_.random.random() < 0.6:
                if _stand_still(round_, nodes[0], round_.random.choice(points)):
                    round_.figures.faults["stop at a failpoint"] += 1
                    round_.note_fired(nodes[0])
            if round_.random.random() < 0.3:
                nodes = list(round_.cluster)
            lose_power(round_, nodes)
            for node in nodes:
                if round_.random.random() < 0.4:
                    be_torn(round_, node)
            start_all(round_, nodes)
        round_.run_for(0.2)
        round_.judge()


@campaign_of(short=1, weight=0)
def power_without_sync(job):
    """The proof that `power` bites: with syncs that do nothing it must find lost writes. Someone
    else's sync(2) may save them, so there are some trials."""
    library = os.path.join(job.build, "tests", "crash", "no_sync.so")
    if not os.path.exists(library):
        raise Skip("%s is not built" % library)
    if "address" in job.build or "thread" in job.build:
        raise Skip("a library before the sanitizer's is refused by it")

    def prepare(round_):
        put_on_disks(round_)
        for node in round_.cluster:
            node.environment["LD_PRELOAD"] = library

    for trial in range(5):
        figures, job.figures = job.figures, Figures()
        with job.round(prepare=prepare, nodes=2) as round_:
            round_.run_for(0.7)
            nodes = list(round_.cluster)
            lose_power(round_, nodes)
            start_all(round_, nodes)
            operations, _digest = round_.rest()
            found = checker.check(operations, round_.finals())
        job.figures = figures
        lost = sum(1 for each in found if each.kind == checker.LOST)
        if lost:
            job.note("as it must be: %d writes lost in trial %d, without syncs" % (lost, trial + 1))
            return
    raise Failed("nothing was lost in 5 trials without a single sync")


@campaign_of(short=1, weight=1, limit=180)
def power_with_weak_sync(job):
    """With wal_sync = interval or none a node may lose the end of its log; then it begins another
    one, peers keep what they have of the old one, and no index is given twice."""
    config = {"wal.wal_sync": "none" if job.seed % 2 else "interval"}
    with job.round(prepare=put_on_disks, nodes=3, config=config) as round_:
        rounds = round_.random.randrange(3, 7)
        for _ in range(rounds):
            round_.run_for(round_.random.uniform(0.1, 0.5))
            node = round_.random.choice(list(round_.cluster))
            # The stop was not clean: it may begin a new log at the start, and another when a peer
            # turns out to hold more.
            round_.new_logs += 2
            lose_power(round_, [node])
            start_all(round_, [node])
        operations, digest = round_.rest()
        operations = round_.without_lost_tails(operations, keep_spread=False)
        round_.judge(operations, digest, again=False)


@campaign_of(short=1, weight=2, limit=180)
def power_and_a_lost_disk(job):
    """All lose their power, and one of them its disk: what a majority had acknowledged is there, and
    all that reached anybody is there everywhere. No segment is closed, as in `restores`."""
    with job.round(prepare=put_on_disks, nodes=3, clients=9,
                   config={"wal.wal_segment_size": "64MiB",
                           "replication.mirror_sync_interval": "200ms"}) as round_:
        for _ in range(2 if job.short else round_.random.randrange(3, 6)):
            round_.run_for(round_.random.uniform(0.2, 0.5))
            nodes = list(round_.cluster)
            node = round_.random.choice(nodes)
            round_.new_logs += 1
            round_.expect_local_reads(False)
            lose_power(round_, nodes)
            shutil.rmtree(node.data_dir)
            round_.figures.faults["disk lost"] += 1
            start_all(round_, nodes)
        round_.run_for(0.1)
        operations, digest = round_.rest()
        operations = round_.without_lost_tails(operations, keep_spread=True)
        round_.judge(operations, digest)
