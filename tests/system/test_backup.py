"""Backups of running nodes: made under load, checked, and made a node again."""

import os
import re
import shutil
import signal
import subprocess
import time

from case import expect, expect_equal, test
from cluster import sanitizer_environment
from load import check_everywhere, check_ledger, join_writers, start_writers
from peer import crc32c
from test_ctl import FAILED, USAGE, Ctl

SMALL = {"wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB",
         "replication.max_retry_wait": "500ms"}


def newer_store(manifest):
    """As a later version would write it, of files that this one can't read."""
    with open(manifest, "r+b") as file:
        text, _, _ = file.read().rpartition(b"checksum=")
        text, changed = re.subn(rb"(?m)^store_format=[0-9]+$", b"store_format=999", text)
        expect_equal(changed, 1, "lines with the format")
        file.seek(0)
        file.write(text + b"checksum=%08x\n" % crc32c(text))


def write_some(nodes, name, ledger=None, count=60, size=2000):
    more = join_writers(start_writers(nodes, name, per_node=2, payload="x" * size, count=count))
    if ledger is None:
        return more
    ledger.merge(more)
    return ledger


@test(timeout=90, plain=True)
def s35_a_backup_under_load_holds_what_its_manifest_says(case):
    """Scenario 35: restored with the same id it begins a new incarnation and gets the rest."""
    cluster = case.cluster(3, SMALL)
    ctl = Ctl(case, cluster[2])
    ledger = write_some(cluster, "before")
    writers = start_writers(cluster, "beside", per_node=1, payload="x" * 500, count=300)
    backup = os.path.join(case.dir, "backup")
    rows = ctl.json("backup", "create", backup)
    ledger.merge(join_writers(writers))
    check_everywhere(cluster, ledger)
    expect_equal({row["nodeId"] for row in rows}, {2}, "nodes")
    verified = ctl.json("backup", "verify", backup)
    expect_equal([row["log"] for row in verified], [row["log"] for row in rows], "logs")
    ctl("backup", "create", backup, code=FAILED)  # it is complete
    # It is there alone first: exactly what the manifest says.
    cluster[2].stop()
    shutil.move(cluster[2].data_dir, cluster[2].data_dir + ".lost")
    ctl("backup", "restore", backup, "--data-dir", cluster[2].data_dir)
    for other in (cluster[1], cluster[3]):
        other.pause()
    old = int(verified[[row["log"][0] for row in verified].index("2")]["log"].split("-")[1])
    cluster[2].start()
    digest = cluster[2].digest()
    expect_equal(digest.digest, rows[0]["digest"], "digest")
    expect_equal({"%d-%d" % log: index for log, index in digest.progress.items() if index > 0},
                 {row["log"]: row["applied"] for row in rows}, "progress")
    for other in (cluster[1], cluster[3]):
        other.resume()
    write_some(cluster, "after", ledger)
    check_everywhere(cluster, ledger)
    expect(cluster[2].own_log().progress.log.incarnation > old, "no new incarnation")


@test(timeout=120, plain=True)
def the_whole_cluster_is_lost(case):
    """One backup restored on all nodes, or on one and the others are seeded: all serve it."""
    cluster = case.cluster(3, SMALL)
    ctl = Ctl(case, cluster[2])
    ledger = write_some(cluster, "before")
    cluster.converge()
    backup = os.path.join(case.dir, "backup")
    ctl("backup", "create", backup)
    write_some(cluster, "lost", count=10)
    for round_number, restored in enumerate(((1, 2, 3), (1,))):
        for node in cluster:
            node.kill()
            shutil.rmtree(node.data_dir)
            if node.id in restored:
                ctl("backup", "restore", backup, "--data-dir", node.data_dir)
        for node in cluster:
            node.launch()
        case.eventually("all have the backup", lambda: all(
            node.log_text().count("the store is that of node") > round_number
            for node in cluster), timeout=40)
        for node in cluster:
            node.wait_ready()
        after = write_some(cluster, "after%d" % round_number, count=5)
        after.merge(ledger)
        check_everywhere(cluster, after)


@test(timeout=60)
def restoring_where_it_must_not(case):
    cluster = case.cluster(2, SMALL)
    ctl = Ctl(case, cluster[1])
    ledger = write_some(cluster, "load", count=20)
    cluster.converge()
    backup = os.path.join(case.dir, "backup")
    ctl("backup", "create", backup)
    # Over live data.
    refused = ctl("backup", "restore", backup, "--data-dir", cluster[1].data_dir, code=FAILED)
    expect("not empty" in refused.stderr, "refusal: %s", refused.stderr)
    check_everywhere(cluster, ledger)
    ctl("backup", "restore", backup, code=USAGE)
    ctl("backup", "verify", os.path.join(case.dir, "nothing"), code=FAILED)
    # Into a node of another cluster: only when told.
    lone = case.node(node_id=7, cluster_id="other", config=SMALL)
    ctl("backup", "restore", backup, "--data-dir", lone.data_dir)
    lone.launch()
    expect(lone.wait_exit() != 0, "started with a backup of another cluster")
    lone.expect_death()
    expect("made ready for cluster \"test\"" in lone.log_text(), "message: %s", lone.log_text())
    shutil.rmtree(lone.data_dir)
    ctl("backup", "restore", backup, "--data-dir", lone.data_dir, "--cluster", "other")
    lone.start()
    check_ledger(lone, ledger)
    write_some([lone], "own", count=5)


@test(timeout=60)
def damage_is_found(case):
    cluster = case.cluster(1, SMALL)
    ctl = Ctl(case, cluster[1])
    write_some(cluster, "load", count=60)
    backup = os.path.join(case.dir, "backup")
    ctl("backup", "create", backup)
    store = os.path.join(backup, "store")
    files = sorted(name for name in os.listdir(store) if name.endswith(".sst"))
    expect(files, "no files")
    path = os.path.join(store, case.random.choice(files))
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        at = case.random.randrange(len(content))
        content[at] ^= 1
        file.seek(0)
        file.write(content)
    found = ctl("backup", "verify", backup, code=FAILED)
    expect(os.path.basename(path) in found.stderr, "message: %s", found.stderr)
    target = os.path.join(case.dir, "restored")
    ctl("backup", "restore", backup, "--data-dir", target, code=FAILED)
    expect(not os.path.exists(os.path.join(target, "group-0")), "a damaged backup was restored")
    content[at] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    ctl("backup", "verify", backup)
    ctl("backup", "restore", backup, "--data-dir", target)  # what was begun is gone on with
    manifest = os.path.join(backup, "backup.ini")
    newer_store(manifest)
    for again in ("verify", backup), ("restore", backup, "--data-dir", os.path.join(case.dir, "newer")):
        expect("its store has the format 999" in ctl("backup", *again, code=FAILED).stderr, "the format was believed")
    with open(manifest, "r+b") as file:
        file.seek(100)
        file.write(b"#")
    ctl("backup", "verify", backup, code=FAILED)


@test(timeout=60)
def interrupted_it_goes_on(case):
    """kill -9 of synclogctl in the middle, at a rate that leaves time for it."""
    cluster = case.cluster(1, dict(SMALL, **{"replication.snapshot_rate": "1MiB"}))
    ctl = Ctl(case, cluster[1])
    with cluster[1].client() as client:
        for at in range(100):  # what does not compress to nothing
            client.insert("big", at, {"v": case.random.randbytes(40000).hex()})
    backup = os.path.join(case.dir, "backup")
    environment = dict(sanitizer_environment(), SYNCLOG_SERVER=cluster[1].address)
    with subprocess.Popen([case.program("synclogctl"), "backup", "create", backup],
                          env=environment) as process:
        case.eventually("a part is there", lambda: os.path.isdir(os.path.join(backup, "store")) and
                        any(os.path.getsize(os.path.join(backup, "store", name)) > 0
                            for name in os.listdir(os.path.join(backup, "store"))), pause=0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    refused = ctl("backup", "verify", backup, code=FAILED)
    expect("not complete" in refused.stderr, "message: %s", refused.stderr)
    write_some(cluster, "later", count=10)  # not a part of it
    begin = time.monotonic()
    rows = ctl.json("backup", "create", backup)
    size = sum(os.path.getsize(os.path.join(backup, "store", name))
               for name in os.listdir(os.path.join(backup, "store")))
    case.note("%.1f MB in %.1f s after it was interrupted" % (size / 1e6,
                                                              time.monotonic() - begin))
    expect_equal(sum(row["applied"] for row in rows), 100, "entries")
    expect(size > 3e6, "only %d bytes", size)
    ctl("backup", "verify", backup)


@test(timeout=60)
def a_point_in_time(case):
    """A backup and the logs of the node that is gone give any index behind the backup."""
    cluster = case.cluster(1, dict(SMALL, **{"wal.wal_segment_size": "1MiB"}))
    node, ctl = cluster[1], Ctl(case, cluster[1])
    with node.client() as client:
        for at in range(1, 51):
            client.insert("d", at, {"v": float(at)})
    backup = os.path.join(case.dir, "backup")
    rows = ctl.json("backup", "create", backup)
    with node.client() as client:
        for at in range(51, 101):
            client.insert("d", at, {"v": float(at)})
    node.kill()
    log, wal = rows[0]["log"], os.path.join(node.data_dir, "group-0", "wal")
    before = {name: os.path.getmtime(os.path.join(wal, log, name))
              for name in os.listdir(os.path.join(wal, log))}
    for index in (50, 51, 77, 100):
        lone = case.node(node_id=5, name="at%d" % index, cluster_id="restored", config=SMALL)
        ctl("backup", "restore", backup, "--data-dir", lone.data_dir, "--cluster", "restored",
            "--wal", wal, "--point-in-time", "%s:%d" % (log, index))
        lone.start()
        with lone.client() as client:
            expect_equal(len(list(client.query("d"))), index, "rows at %d" % index)
        lone.stop()
    target = os.path.join(case.dir, "wrong")
    for point in ("%s:49" % log, "%s:101" % log, "9-5:60"):
        ctl("backup", "restore", backup, "--data-dir", target, "--wal", wal, "--point-in-time",
            point, code=FAILED)
    ctl("backup", "restore", backup, "--data-dir", target, "--wal", wal, "--point-in-time", "x",
        code=USAGE)
    after = {name: os.path.getmtime(os.path.join(wal, log, name))
             for name in os.listdir(os.path.join(wal, log))}
    expect_equal(after, before, "the logs that were read")
