"""synclogctl against real nodes: what it prints, and its exit codes."""

import csv
import io
import json
import os
import subprocess

from case import expect, expect_equal, test
from cluster import free_port, sanitizer_environment

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


class Ctl:
    def __init__(self, case, *nodes):
        self.case = case
        self.servers = ",".join(node.address for node in nodes)

    def __call__(self, *arguments, code=OK, stdin=None):
        """Runs synclogctl; it must end with this exit code."""
        command = [self.case.program("synclogctl"), *arguments]
        environment = dict(sanitizer_environment(), SYNCLOG_SERVER=self.servers)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, input=stdin,
                              timeout=self.case.patience(60), check=False)
        expect_equal(done.returncode, code, "exit code of %s\n%s%s" % (
            " ".join(arguments), done.stdout[-2000:], done.stderr[-2000:]))
        if code != OK:
            expect(done.stderr.startswith("synclogctl: "), "%s: no error but %r", arguments,
                   done.stderr)
        return done

    def json(self, *arguments, **options):
        output = self(*arguments, "--json", **options).stdout
        try:
            return json.loads(output)
        except ValueError:
            raise AssertionError("%s --json does not parse:\n%s" % (arguments, output)) from None

    def csv(self, *arguments, **options):
        return list(csv.DictReader(io.StringIO(self(*arguments, "--csv", **options).stdout)))


@test(timeout=60)
def writing_and_reading(case):
    cluster = case.cluster()
    ctl = Ctl(case, *cluster)
    ctl("insert", "plant.boiler", "1700000000000", "temperature=81.5", "open=true", "count=3",
        "note=two words", "level:FLOAT=0.1", "small:INT32=7")
    for i in range(1, 10):
        ctl("insert", "plant.boiler", str(1700000000000 + i * 1000), "temperature=%s" % (81.5 + i))
    cluster.converge()
    reader = Ctl(case, cluster[2])
    document = reader.json("query", "plant.boiler")
    expect_equal(document["device"], "plant.boiler", "device")
    rows = document["rows"]
    expect_equal(len(rows), 10, "rows")
    first = rows[0]
    expect_equal((first["time"], first["temperature"], first["open"], first["count"],
                  first["note"]), (1700000000000, 81.5, True, 3, "two words"), "first row")
    expect("open" not in rows[1], "an absent value is printed: %r", rows[1])
    expect_equal([row["temperature"] for row in rows], [81.5 + i for i in range(10)], "values")
    table = reader.csv("query", "plant.boiler", "temperature", "--limit", "3", "--desc")
    expect_equal([float(row["temperature"]) for row in table], [90.5, 89.5, 88.5], "newest three")
    table = reader.csv("query", "plant.boiler", "--start", "2023-11-14T22:13:21Z",
                       "--end", "1700000002000")
    expect_equal(len(table), 2, "rows of a range")
    text = reader("query", "plant.boiler").stdout
    expect("2023-11-14" in text and "two words" in text and "10 rows" in text, "text:\n%s", text)

    last = {row["measurement"]: row for row in reader.json("last", "plant.boiler")}
    expect_equal((last["temperature"]["value"], last["temperature"]["type"]), (90.5, "DOUBLE"),
                 "last temperature")
    expect_equal(last["small"]["type"], "INT32", "type of small")
    windows = reader.json("agg", "plant.boiler", "temperature", "--window", "5s")
    expect_equal([(each["count"], each["min"], each["max"]) for each in windows],
                 [(5, 81.5, 85.5), (5, 86.5, 90.5)], "windows")
    devices = reader.json("devices")
    expect_equal({(each["measurement"], each["type"]) for each in devices},
                 {("temperature", "DOUBLE"), ("open", "BOOLEAN"), ("count", "INT64"),
                  ("note", "TEXT"), ("level", "FLOAT"), ("small", "INT32")}, "measurements")
    expect_equal(reader.json("devices", "nothing."), [], "devices of an unused prefix")

    # A token makes another node wait for the write.
    token = ctl.json("insert", "plant.boiler", "1700000100000", "temperature=1.5")
    text = json.dumps(token)
    expect("token" in text, "no token: %s", text)
    token = token["token"] if isinstance(token, dict) else token[0]["token"]
    rows = reader.json("query", "plant.boiler", "--start", "1700000100000", "--token", token)
    expect_equal(len(rows["rows"]), 1, "rows with the token")

    ctl("delete", "plant.boiler", "--start", "1700000000000", "--end", "1700000004000", "--yes")
    cluster.converge()
    expect_equal(len(reader.json("query", "plant.boiler")["rows"]), 6, "rows after a delete")
    ctl("delete", "plant.boiler", "--start", "5", "--end", "4", "--yes", code=USAGE)
    ctl("delete", "plant.boiler", code=USAGE, stdin="")


@test(timeout=60)
def errors_and_exit_codes(case):
    cluster = case.cluster(2)
    ctl = Ctl(case, cluster[1])
    ctl("insert", "d", "1", "v=1.5")
    for arguments in ((), ("nonsense",), ("query",), ("insert", "d"), ("insert", "d", "1"),
                      ("insert", "d", "1", "novalue"), ("query", "d", "--limit", "-1"),
                      ("query", "d", "--no-such-option"), ("insert", "d", "yesterday-ish", "v=1"),
                      ("agg", "d", "v", "--window", "0"), ("digest", "--compare"),
                      ("insert", "d", "v=1", "--ack", "some"), ("wal",), ("wal", "dump"),
                      ("status", "--only", "everything")):
        ctl(*arguments, code=USAGE)
    for arguments in (("insert", "d", "2", "v:TEXT=x"), ("insert", "d", "2", "v=text"),
                      ("query", "nobody"), ("query", "d", "nothing"),
                      ("query", "d", "--group", "7"), ("wal", "verify", "/nowhere"),
                      ("wal", "dump", case.dir)):
        ctl(*arguments, code=FAILED)
    dead = Ctl(case)
    dead.servers = "127.0.0.1:%d" % free_port(case)
    for arguments in (("status",), ("query", "d"), ("insert", "d", "1", "v=1"), ("digest",),
                      ("config",)):
        error = dead(*arguments, "--timeout", "2s", code=UNREACHABLE).stderr
        expect(dead.servers in error, "the error does not name the server: %s", error)
    # The second of a list answers where the first does not.
    both = Ctl(case)
    both.servers = "%s,%s" % (dead.servers, cluster[1].address)
    expect_equal(len(both.json("query", "d")["rows"]), 1, "rows from the second server")
    for arguments in (("--help",), ("--version",), ("query", "--help"), ("wal", "--help"),
                      ("version",)):
        expect(ctl(*arguments).stdout, "%s prints nothing", arguments)
    # ack = all with a node down is durable here, but not what was asked for.
    cluster[2].stop()
    done = ctl("insert", "d", "3", "v=3.5", "--ack", "all", "--timeout", "500ms")
    said = done.stdout + done.stderr
    expect("spread" in said or "pending" in said.lower(),
           "it does not say that the write is still spreading: %s", said)


@test(timeout=60)
def status_and_digest(case):
    cluster = case.cluster()
    ctl = Ctl(case, *cluster)
    for node in cluster:
        Ctl(case, node)("insert", "d", str(node.id), "v=%d" % node.id)
    digest = cluster.converge()
    ctl("digest", "--compare")
    shown = ctl.json("digest", "--compare")
    expect(digest.digest in json.dumps(shown), "the digest is not that of the API: %s", shown)
    status = ctl.json("status")
    expect_equal([(each["nodeId"], each["state"]) for each in status["nodes"]],
                 [(1, "serving"), (2, "serving"), (3, "serving")], "nodes")
    expect_equal(len(status["logs"]), 9, "logs of all nodes")
    expect(all(each["applied"] == 1 and each["lagEntries"] == 0 for each in status["logs"]),
           "logs: %s", status["logs"])
    expect_equal({(each["nodeId"], each["peerId"]) for each in status["channels"]},
                 {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}, "channels")
    expect_equal(len(ctl.csv("status")), 9, "rows of CSV")
    case.eventually("all is well", lambda: all(
        each.state == "connected" for node in cluster for each in node.status().peers))
    ctl("status", "--check")

    cluster[3].kill()
    two = Ctl(case, cluster[1], cluster[2])
    for i in range(10):
        two("insert", "d", str(100 + i), "v=1")
    case.eventually("the lost channel shows",
                    lambda: cluster[1].peer_status(3).state != "connected")
    two("status", "--check", code=FAILED)
    ctl("status", "--timeout", "2s", code=UNREACHABLE)
    ctl("digest", "--compare", "--timeout", "2s", code=UNREACHABLE)
    lagging = [each for each in two.json("status")["logs"] if each["nodeId"] == 3]
    expect(lagging and any(each["lagEntries"] > 0 for each in lagging),
           "what is known of the dead node shows no lag: %s", lagging)
    cluster[3].start()
    ctl("digest", "--compare", "--timeout", "20s")


@test(timeout=60)
def configuration(case):
    node = case.cluster(1, {"replication.max_pending_batch": 7})[1]
    ctl = Ctl(case, node)
    entries = {(each["section"], each["key"]): each for each in ctl.json("config")}
    expect_equal((entries["replication", "max_pending_batch"]["value"],
                  entries["replication", "max_pending_batch"]["default"]), ("7", False),
                 "max_pending_batch")
    expect_equal((entries["replication", "max_retry_wait"]["value"],
                  entries["replication", "max_retry_wait"]["default"]), ("20s", True),
                 "max_retry_wait")
    changed = {(each["section"], each["key"]) for each in ctl.json("config", "--changed")}
    expect(("replication", "max_pending_batch") in changed and
           ("replication", "max_retry_wait") not in changed, "changed: %s", changed)


@test(timeout=60)
def logs_on_disk(case):
    cluster = case.cluster(2, {"wal.wal_segment_size": "1MiB"})
    ctl = Ctl(case, cluster[1])
    with cluster[1].client() as client:
        for i in range(40):
            client.insert("d", i, {"v": "x" * 100 + "%d" % i})
    cluster.converge()
    # While the daemon writes, and after it was stopped.
    expect_equal(len(ctl.csv("wal", "dump", cluster[1].wal_dir(1))), 40, "entries dumped live")
    cluster.stop()
    for node in cluster:
        entries = ctl.json("wal", "dump", node.wal_dir(1))
        expect_equal([each["searchIndex"] for each in entries], list(range(1, 41)), "indices")
        verified = ctl.json("wal", "verify", node.data_dir)
        expect(all(each["result"] == "ok" for each in verified), "verify: %s", verified)
        expect(any(each["entries"] == 40 for each in verified), "verify: %s", verified)
    part = ctl.json("wal", "dump", cluster[2].data_dir, "--from", "10", "--count", "2", "--data")
    expect_equal([each["searchIndex"] for each in part], [10, 11], "indices")
    expect("x" * 100 + "9" in json.dumps(part[0]), "the content is not shown: %s", part[0])

    path = cluster[2].segments(1)[-1]
    with open(path, "r+b") as file:
        file.seek(4096 + 1000)
        byte = file.read(1)
        file.seek(4096 + 1000)
        file.write(bytes([byte[0] ^ 1]))
    error = ctl("wal", "verify", cluster[2].data_dir, code=FAILED)
    expect(os.path.basename(path) in error.stderr + error.stdout,
           "the damaged file is not named: %s", error.stderr)
    ctl("wal", "verify", cluster[1].data_dir)
    error = ctl("wal", "dump", path, code=FAILED)
    expect(0 < len(error.stdout.splitlines()) < 42, "the good part is not printed")


@test(timeout=60)
def export_and_import(case):
    """What is exported from one cluster and imported into another is the same, bit for bit."""
    source, target = case.cluster(1)[1], case.node(node_id=1, name="target").start()
    with source.client() as client:
        client.insert_tablet("plant.a", list(range(1, 301)), {
            "d": [i / 7 if i % 3 else None for i in range(300)],
            "f": [i / 7 for i in range(300)], "i": list(range(300)),
            "s": ["t,\"%d\"\n" % i if i % 2 else "" for i in range(300)],
            "b": [i % 2 == 0 for i in range(300)]}, types={"f": "FLOAT", "i": "INT32"})
        client.insert_tablet("plant.b", [1, 2, 3, 4], {
            "inf": [float("inf"), float("-inf"), 1e-300, -0.0],
            "n": [1, None, -2 ** 63, 2 ** 63 - 1]})
        before = client.digest()
    folder = os.path.join(case.dir, "export")
    Ctl(case, source)("export", "--prefix", "plant.", "--output", folder)
    files = sorted(os.listdir(folder))
    expect_equal(len(files), 2, "files")
    for name in files:
        Ctl(case, target)("import", os.path.join(folder, name))
    expect_equal(target.digest()[:3], before[:3], "digest of the copy")
    one = Ctl(case, source)("export", "plant.a").stdout
    expect_equal(len(list(csv.reader(io.StringIO(one)))), 301, "rows on stdout")


@test(timeout=60)
def export_of_names_too_long_for_a_file(case):
    """A device's name may be longer than a file's. Its file has a column that tells it, and import
    does not take another name for it."""
    source, target = case.cluster(1)[1], case.node(node_id=1, name="target").start()
    devices = ["d" * 255, "/" * 100, "short"]
    with source.client() as client:
        for i, device in enumerate(devices):
            client.insert(device, 5, {"v": i, "t": "x"})
        before = client.digest()
    folder = os.path.join(case.dir, "export")
    Ctl(case, source)("export", "--prefix", "", "--output", folder)
    files = sorted(os.listdir(folder))
    expect_equal((len(files), files[2]), (3, "short.csv"), "files")
    for name in files[:2]:
        result = Ctl(case, target)("import", os.path.join(folder, name), code=1)
        expect("--device-column" in result.stderr, "what import says of %s: %s", name, result.stderr)
        Ctl(case, target)("import", "--device-column", "device", os.path.join(folder, name))
    Ctl(case, target)("import", os.path.join(folder, files[2]))
    expect_equal(target.digest()[:3], before[:3], "digest of the copy")


def write_csv(case, name, rows):
    path = os.path.join(case.dir, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("time,a,b\n")
        for at in range(rows):
            file.write("%d,%d,%r\n" % (at, at, at / 7))
    return path


@test(timeout=60, plain=True)
def an_import_that_is_interrupted(case):
    """The node is killed in the middle. With --retry-for the import waits for it; with --resume a
    later one goes on."""
    node = case.cluster(1)[1]
    ctl = Ctl(case, node)
    rows = 20000
    path = write_csv(case, "resumed.csv", rows)
    options = ["import", path, "--batch-rows", "50", "--resume"]
    command = [case.program("synclogctl"), "--server", node.address, *options]
    process = subprocess.Popen(command + ["--retry-for", "0s"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=sanitizer_environment())
    case.eventually("the import is under way", lambda: node.status().writes >= 20)
    node.kill()
    _, errors = process.communicate(timeout=case.patience(30))
    expect_equal(process.returncode, UNREACHABLE, "exit code of the interrupted import\n" + errors)
    expect("resumed.csv" in errors, "the error does not name the file: %s", errors)
    node.start()
    before = node.own_log().progress.applied
    ctl(*options)
    writes = node.own_log().progress.applied - before
    expect(writes < rows // 50 - 10, "resumed, it wrote %d of %d batches again", writes, rows // 50)

    path = write_csv(case, "patient.csv", rows)
    process = subprocess.Popen([case.program("synclogctl"), "--server", node.address, "import",
                                path, "--batch-rows", "50"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=sanitizer_environment())
    was = node.status().writes
    case.eventually("the import is under way", lambda: node.status().writes >= was + 20)
    node.kill()
    node.start()
    _, errors = process.communicate(timeout=case.patience(40))
    expect_equal(process.returncode, OK, "exit code of the import that waits\n" + errors)
    with node.client() as client:
        for device in ("resumed", "patient"):
            timestamps, columns = client.query_columns(device)
            expect(timestamps == list(range(rows)), "%s: %d rows", device, len(timestamps))
            expect(columns["a"] == list(range(rows)) and
                   columns["b"] == [at / 7 for at in range(rows)], "%s: values", device)


@test(timeout=60)
def imports_that_are_refused(case):
    """The whole file is checked before the first row is sent."""
    node = case.cluster(1)[1]
    ctl = Ctl(case, node)
    for name, content, word in (
            ("empty.csv", "", "empty.csv"),
            ("short.csv", "time,v\n1,1\n2\n", "3"),
            ("long.csv", "time,v\n1,1\n2,2,2\n", "3"),
            ("time.csv", "time,v\n1,1\nyesterday,2\n", "3"),
            ("quote.csv", "time,v\n1,\"x\n", "2"),
            ("type.csv", "time,v:INT32\n1,1\n2,3000000000\n", "3"),
            ("kind.csv", "time,v:NUMBER\n1,1\n", "NUMBER"),
            ("twice.csv", "time,v,v\n1,1,1\n", "v")):
        path = os.path.join(case.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        error = ctl("import", path, code=FAILED).stderr
        expect(name in error and word in error, "%s: the error does not name %r: %s", name, word,
               error)
    ctl("import", os.path.join(case.dir, "absent.csv"), code=FAILED)
    ctl("import", code=USAGE)
    expect_equal(node.digest().cells, 0, "cells")
