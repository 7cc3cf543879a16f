"""README's commands do what stands there. scripts/readme-blocks says which test runs which block.

The commands run as they stand, in a folder in which build/plain and the source tree are linked; only addresses, and words that
stand for something (FILE, ALL,NODES), become those of the test. What stands under a command as its answer must come, but for what
differs by nature: times, indices of incarnations, digests, widths of columns.
"""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys

from case import expect, expect_equal, test
from cluster import ROOT, free_port, sanitizer_environment
from http_tools import data_cluster

PLAIN = "what README says"


def load_blocks():
    path = os.path.join(ROOT, "scripts", "readme-blocks")
    loader = importlib.machinery.SourceFileLoader("readme_blocks", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("readme_blocks", loader))
    loader.exec_module(module)
    return module.named()[0]


def commands(block):
    """[(command, answer's lines or None)] of a block: those behind `$ `, with their answers; without any, each line is one."""
    lines = block.text.split("\n")
    found = []
    if any(line.startswith("$ ") for line in lines):
        for line in lines:
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif not found[-1][1] and (line.startswith("> ") or found[-1][0].endswith("\\")):
                found[-1][0] += "\n" + (line[2:] if line.startswith("> ") else line)
            else:
                found[-1][1].append(line)
        return [(command, answer) for command, answer in found]
    head, _, answer = block.text.partition("\n\n")
    said = answer.split("\n") if answer else None
    lines = head.replace("\\\n", "\\\0").split("\n")
    return [(line.replace("\\\0", "\\\n"), said if line is lines[-1] else None) for line in lines]


# --- answers --------------------------------------------------------------------------------------

SHAPES = [(re.compile(pattern), shape) for pattern, shape in (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"), (r"\b\d+-\d{13,}", "<log>"), (r"\b[0-9a-f]{32}\b", "<digest>"),
    (r"process \d+", "process <n>"), (r"(?<![\w.])[+-]?\d+(\.\d+)? (us|ms|s|min)\b", "<duration>"))]


def shape(line, numbers=True):
    for pattern, name in SHAPES:
        line = pattern.sub(name, line)
    if not numbers:
        line = re.sub(r"(?<![\w.:<])\d+(?![\w.:>])", "#", line)
    return re.sub(r"  +", "  ", line.strip())


def check_answer(command, got, wanted, numbers=True):
    """`…` as a line stands for any lines, at the end of one for what follows in it."""
    got = [shape(line, numbers) for line in got.replace("\r", "").rstrip("\n").split("\n")]
    at, anywhere = 0, False
    for line in wanted:
        if line == "…":
            anywhere = True
            continue
        line = shape(line, numbers)
        prefix = line[:-1].rstrip() if line.endswith("…") else None

        def fits(candidate, line=line, prefix=prefix):
            return candidate == line if prefix is None else candidate.startswith(prefix)
        while anywhere and at < len(got) and not fits(got[at]):
            at += 1
        expect(at < len(got) and fits(got[at]), "%s\nhere it should say\n%s\nbut the answer is\n%s", command, line,
               "\n".join(got))
        at, anywhere = at + 1, False
    expect(anywhere or at == len(got), "%s\nsays more than the README:\n%s", command, "\n".join(got))


# --- running --------------------------------------------------------------------------------------

class Reader:
    """Somebody who follows the README: a folder, an environment, and what stands for what."""

    def __init__(self, case, name, words=()):
        self.case, self.words, self.used = case, list(words), 0
        self.blocks = [block for block in load_blocks() if block.runner == "readme." + name]
        expect(self.blocks, "no blocks for %s", name)
        self.folder = os.path.join(case.dir, "reader")
        os.makedirs(os.path.join(self.folder, "build"))
        os.symlink(case.build, os.path.join(self.folder, "build", "plain"))
        for entry in ("scripts", "conf", "thrift"):
            os.symlink(os.path.join(ROOT, entry), os.path.join(self.folder, entry))
        self.environment = dict(sanitizer_environment(), LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1",
                                PATH="%s:%s" % (case.build, os.environ["PATH"]))
        # Of the make that runs the tests.
        for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            self.environment.pop(variable, None)

    def translated(self, text):
        for pattern, replacement in self.words:
            text = re.sub(pattern, replacement, text)
        return text

    def back(self, text, ports):
        """An output with the README's addresses."""
        for ours, theirs in ports.items():
            text = text.replace("127.0.0.1:%d" % ours, "127.0.0.1:%d" % theirs)
        return text

    def execute(self, command, timeout=60, shell="bash"):
        arguments = ["bash", "-c", command] if shell == "bash" else [sys.executable, "-c", command]
        return subprocess.run(arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              check=False, stdin=subprocess.DEVNULL, timeout=self.case.patience(timeout))

    def succeeds(self, command):
        """Whether it does now: a write at one node takes a moment to the others."""
        return self.execute(self.translated(command)).returncode == 0

    def run(self, command, code=0, timeout=60, shell="bash"):
        translated = self.translated(command)
        done = self.execute(translated, timeout, shell)
        expect_equal(done.returncode, code, "exit code of %s\n%s\n%s\n" % (translated, done.stdout[-3000:], done.stderr[-3000:]))
        self.used += 1
        return done.stdout

    def set(self, command):
        """`export NAME=VALUE`"""
        name, _, value = self.translated(command)[len("export "):].partition("=")
        self.environment[name] = value

    def block(self, begin):
        found = [block for block in self.blocks if block.first.startswith(begin)]
        expect_equal(len(found), 1, "blocks that begin with %s" % begin)
        return found[0]


# --- a cluster by hand, as a newcomer does --------------------------------------------------------

@test(timeout=180)
def the_way_of_a_newcomer(case):
    base = next(base for base in iter(lambda: free_port(case) // 10 * 10, None) if base < 30000)
    # README's are those of --base-port 7700.
    ports = {base + i: 7700 + i for i in list(range(2, 8)) + [801, 802, 803]}
    cluster = os.path.join(case.dir, "cluster")
    options = "--dir %s --base-port %d --build build/plain" % (cluster, base)
    reader = Reader(case, "the_way_of_a_newcomer", [
        (r"^make -j2$", "make -j2 -C %s" % ROOT), (r"scripts/local-cluster", "scripts/local-cluster " + options), (r"build/cluster", cluster),
        (r"127\.0\.0\.1:(77\d\d|85\d\d)", lambda found: "127.0.0.1:%d" % (int(found[1]) - 7700 + base))])
    stop = "scripts/local-cluster remove"
    case.at_end(lambda: subprocess.run(["bash", "-c", reader.translated(stop)], cwd=reader.folder, check=False,
                                       env=reader.environment, stdout=subprocess.DEVNULL))
    with open(os.path.join(reader.folder, "FILE.csv"), "w", encoding="utf-8") as file:
        file.write("time,temperature\n1700000000000,20.5\n1700000001000,21.5\n")
    for block in reader.blocks:
        if block.language == "python":
            continue
        for command, answer in commands(block):
            if command.startswith("export "):
                reader.set(command)
                answer = None
            else:
                if " query " in command:
                    case.eventually("there is something", lambda command=command: reader.succeeds(command))
                said = reader.back(reader.run(command), ports)
            if answer and command.startswith("scripts/local-cluster start"):
                answer = answer + ["…"]  # it says more, what to try
            if answer:
                check_answer(command, said, answer, numbers=not command.endswith(" status"))
    # One after the other in one interpreter, as a reader has it.
    everything = load_blocks()
    python = [i for i, block in enumerate(everything) if block.language == "python"]
    check_answer("From Python", reader.run("\n".join(everything[i].text for i in python), shell="python"),
                 [line for i in python for line in everything[i + 1].text.split("\n")])
    reader.run("scripts/local-cluster stop")
    files = os.listdir(os.path.join(reader.folder, "DIR"))
    expect(any("plant2.boiler" in name for name in files), "files of the export: %s", files)


@test(timeout=180)
def the_demonstration(case):
    only_plain(case)
    reader = Reader(case, "the_demonstration", [(r"^scripts/", ROOT + "/scripts/")])
    for command, _ in commands(reader.blocks[0]):
        said = reader.run(command, timeout=150)
        expect("all three digests agree" in said, "%s", said)


@test(timeout=180)
def installing_from_the_source(case):
    """Into a folder instead of the whole system."""
    only_plain(case)
    root = os.path.join(case.dir, "root")
    reader = Reader(case, "installing_from_the_source", [
        (r"^make -j2$", "make -j2 -C %s" % ROOT), (r"^sudo make install", "make -C %s install DESTDIR=%s" % (ROOT, root))])
    for command, _ in commands(reader.blocks[0]):
        reader.run(command, timeout=150)
    for name in ("bin/synclogd", "bin/synclogctl", "bin/synclog-bench", "share/synclogd/thrift/client.thrift",
                 "lib/systemd/system/synclogd.service", "share/man/man8/synclogd.8", "share/man/man1/synclogctl.1",
                 "share/bash-completion/completions/synclogctl"):
        expect(os.path.exists(os.path.join(root, "usr", name)), "/usr/%s is not there", name)
    expect(os.path.exists(os.path.join(root, "etc/synclogd/synclogd.ini")), "the configuration is not there")
    done = subprocess.run([os.path.join(root, "usr/bin/synclogctl"), "--version"], check=False, stdout=subprocess.DEVNULL)
    expect_equal(done.returncode, 0, "synclogctl --version")


def only_plain(case):
    if case.flavour.name != "plain":
        case.skip("it builds and uses build/plain, whatever is tested")


# --- data over HTTP -------------------------------------------------------------------------------

@test
def data_over_http(case):
    node = data_cluster(case, 3)[1]
    reader = Reader(case, "data_over_http", [(r"127\.0\.0\.1:7672", "127.0.0.1:%d" % node.http)])
    reader.environment["SYNCLOG_SERVER"] = node.address
    for block in reader.blocks:
        for command, answer in commands(block):
            if command.startswith("export "):
                reader.set(command)
                continue
            check_answer(command, reader.run(command), answer or [""])


# --- operating ------------------------------------------------------------------------------------

@test
def configurations(case):
    """Those that stand there are right, with an id and peers where they are a part only."""
    found = [block for block in load_blocks() if block.runner == "a configuration"]
    expect(len(found) >= 4, "configurations: %d", len(found))
    for block in found:
        path = os.path.join(case.dir, "synclogd.ini")
        text = block.text if "[node]" in block.text else "[node]\nid = 1\n\n" + block.text
        # Members of a group are peers, which stand elsewhere in the file.
        for peer in {int(each) for members in re.findall(r"^members = (.*)$", text, re.MULTILINE) for each in members.split(",")} - {1}:
            if "[peer.%d]" % peer not in text:
                text += "\n\n[peer.%d]\naddress = 10.0.0.%d:7671\n" % (peer, peer)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("[node]\n", "[node]\ndata_dir = %s/data\n" % case.dir, 1))
        done = subprocess.run([case.program("synclogd"), "--check-config", "-c", path], capture_output=True, text=True,
                              check=False, env=sanitizer_environment())
        expect_equal((done.returncode, done.stdout), (0, "ok\n"), "%s\n%s" % (text, done.stderr))


def follow(case, reader, command, words, nudge):
    """Runs what does not end by itself until its output has the words; nudge() is called meanwhile."""
    path = os.path.join(case.dir, "followed")
    with open(path, "wb") as output:
        process = subprocess.Popen(["bash", "-c", "exec " + reader.translated(command)], cwd=reader.folder,
                                   env=reader.environment, stdout=output, stderr=subprocess.STDOUT)

    def is_said():
        expect(process.poll() is None, "%s ended by itself", command)
        nudge()
        with open(path, encoding="utf-8") as file:
            return words in file.read()
    try:
        case.eventually("%s says %s" % (command, words), is_said, pause=0.1)
    finally:
        process.terminate()
        process.wait(case.patience(10))


@test(timeout=120)
def what_operators_ask(case):
    cluster = case.cluster()
    one, two = cluster[1], cluster[2]
    with one.client() as client:
        client.insert("plant1.boiler", 1700000000000, {"temperature": 1.5}, ack="all")
    with two.client() as client:
        client.insert("plant1.boiler", 1700000000000, {"temperature": 2.5}, ack="all")
    cluster.converge()
    reader = Reader(case, "what_operators_ask", [
        (r"-c FILE", "-c " + one.config_path), (r"ALL,NODES", ",".join(node.address for node in cluster)),
        (r"MENDED,SOUND", "%s,%s" % (one.address, two.address)), (r"MENDED", one.address), (r"--from ID", "--from 2"),
        (r"NAME --time TIME", "plant1.boiler --time 1700000000000"), (r"DATA_DIR", one.data_dir),
        (r"1-1795424207319385 --from 4711", "1-%d --from 1" % one.own_log().progress.log.incarnation)])
    reader.environment["SYNCLOG_SERVER"] = one.address
    case.eventually("the conflict is in the journal", lambda: "overwrite" in reader.run("synclogctl conflicts list"))
    written = iter(range(1700000001000, 1800000000000, 1000))

    def write():
        with one.client() as client:
            client.insert("plant1.boiler", next(written), {"temperature": 3.5})
    for block in reader.blocks:
        for command, _ in commands(block):
            if re.match(r"synclogctl (conflicts )?tail", command):
                follow(case, reader, command, "overwrite" if "conflicts" in command else '"temperature"', write)
            else:
                reader.run(command)
    cluster.converge()


@test(timeout=90)
def a_node_that_is_lost(case):
    cluster = case.cluster()
    cluster.wait_connected()
    cluster[3].kill()
    case.eventually("node 3 is missed", lambda: cluster[1].peer_status(3).silentMs > 2000)
    reader = Reader(case, "a_node_that_is_lost")
    reader.environment["SYNCLOG_SERVER"] = cluster[1].address
    for command, _ in commands(reader.blocks[0]):
        reader.run(command)
    case.eventually("node 2 knows it", lambda: re.search(
        r"^ *3 +\S+ +lost", reader.run("synclogctl -s %s node list" % cluster[2].address), re.MULTILINE))


@test(timeout=120)
def growing_and_shrinking(case):
    cluster = case.cluster()
    cluster.converge()
    fourth = case.node(node_id=4, peers={1: cluster[1].peer_address}, config={"cluster.join": "yes"})
    fourth.launch()
    reader = Reader(case, "growing_and_shrinking", [(r"10\.0\.0\.4:7671", fourth.peer_address)])
    reader.environment["SYNCLOG_SERVER"] = cluster[1].address
    for command, _ in commands(reader.blocks[0]):
        reader.run(command, timeout=90)
    shown = reader.run("synclogctl node list")
    expect(re.search(r"^ *4 +\S+ +active", shown, re.MULTILINE) and re.search(r"^ *2 +\S+ +removed", shown, re.MULTILINE), "%s", shown)


@test(timeout=120)
def backups(case):
    cluster = case.cluster()

    def write(values):
        for node in (cluster[1], cluster[2]):
            with node.client() as client:
                for value in values:
                    client.insert("plant%d.boiler" % node.id, value, {"v": value}, ack="all")
    write(range(5))
    cluster.converge()
    logs = {node.id: "%d-%d" % (node.id, node.own_log().progress.log.incarnation) for node in cluster}
    reader = Reader(case, "backups", [
        (r"(?<!\S)/(backup/monday|var/lib/synclogd|srv/lone)", r"%s/\1" % case.dir),
        (r"/old/group-0/wal", os.path.join(cluster[1].data_dir, "group-0", "wal")),
        (r"1-1790000000000000:4711", logs[1] + ":7"), (r"2-1790000000000001:88", logs[2] + ":8")])
    reader.environment["SYNCLOG_SERVER"] = cluster[1].address
    first, second = reader.blocks
    for command, _ in commands(first):
        reader.run(command)
    write(range(5, 10))
    for command, _ in commands(second):
        reader.run(command)
    lone = case.node(node_id=9, cluster_id="lone", data_dir=os.path.join(case.dir, "srv", "lone"))
    lone.start()
    with lone.client() as client:
        expect_equal([len(list(client.query("plant%d.boiler" % number))) for number in (1, 2)], [7, 8], "rows as of that time")
    again = case.node(node_id=8, data_dir=os.path.join(case.dir, "var", "lib", "synclogd"))
    again.start()
    with again.client() as client:
        expect_equal(len(list(client.query("plant1.boiler"))), 5, "rows of the backup")
