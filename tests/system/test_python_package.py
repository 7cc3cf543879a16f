"""The Python package: clusters with failover, writes that apply once, and the package when it is installed."""

import os
import subprocess
import sys
import threading

from case import expect, expect_equal, test
from cluster import ROOT, free_port
from proxy import BACK
from synclog_client import Cluster, TypeMismatch, Unreachable

PLAIN = "the Python package"

PACKAGE = os.path.join(ROOT, "scripts", "pyclient")


def entries_of(cluster):
    return sum(node.own_log().progress.durable for node in cluster if node.running)


@test(timeout=60)
def an_answer_that_is_lost_is_no_second_write(case):
    """The connection breaks in the middle of answers; each row is one entry all the same."""
    node = case.cluster(1)[1]
    port = free_port(case)
    link = case.proxy().link(port, int(node.address.rpartition(":")[2]))
    count = case.scaled(40, 10)
    with Cluster([link.address]) as client:
        tokens = set()
        for i in range(count):
            link.reset_after(case.random.randrange(1, 40), BACK)
            tokens.add(client.insert("d", i, {"v": float(i)}).token)
        expect_equal(len(tokens), count, "tokens")
        expect_equal(sorted(row.timestamp for row in client.query("d")), list(range(count)), "rows")
    expect_equal(entries_of([node]), count, "entries")


@test(timeout=90)
def writes_go_on_when_nodes_go(case):
    """Each node is killed and started in turn under load; no write fails, none is applied twice."""
    cluster = case.cluster()
    addresses = [node.address for node in cluster]
    total, done = case.scaled(600, 150), []

    def write(first):
        with Cluster(addresses[first:] + addresses[:first], timeout=case.patience(5)) as client:
            for i in range(first * total, (first + 1) * total):
                client.insert("d%d" % first, i, {"v": i})
                done.append(i)
            seen = [row.timestamp for row in client.query("d%d" % first)]
            expect_equal(seen, list(range(first * total, (first + 1) * total)), "own writes, whoever is asked")
    problems = []

    def guarded(first):
        try:
            write(first)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)
    threads = [threading.Thread(target=guarded, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for node in cluster:
        before = len(done)
        case.eventually("writes go on", lambda: len(done) > before + 30 or len(done) == 3 * total)
        node.kill()
        node.start()
    for thread in threads:
        thread.join()
    expect_equal(problems, [], "what failed")
    cluster.converge()
    extra = entries_of(cluster) - 3 * total
    # A write that went on to another node before the first one's entry reached it is applied there again: one for each
    # writer and kill at most.
    expect(0 <= extra <= 9, "%d entries more than writes", extra)


@test(timeout=60)
def what_cannot_succeed_is_not_repeated(case):
    node = case.cluster(1)[1]
    with Cluster([node.address]) as client:
        client.insert("d", 1, {"v": 1.0})
        try:
            client.insert("d", 1, {"v": "text"})
        except TypeMismatch:
            pass
        else:
            expect(False, "a text was taken for a number")
    nobody = "127.0.0.1:%d" % free_port(case)
    with Cluster([nobody], timeout=1, patience=0.3) as client:
        try:
            client.insert("d", 1, {"v": 1.0})
        except Unreachable as error:
            expect(nobody in str(error), "it does not name the node: %s", error)
        else:
            expect(False, "nobody took a write")


@test(timeout=120, alone=True)
def it_can_be_installed(case):
    """Into an environment of its own, without a network; it works there away from the source tree."""
    if case.flavour.sanitized:
        case.skip("the build makes no difference")
    try:
        import setuptools  # noqa: F401  # pylint: disable=import-outside-toplevel,unused-import
        import venv  # noqa: F401  # pylint: disable=import-outside-toplevel,unused-import
        import ensurepip  # noqa: F401  # pylint: disable=import-outside-toplevel,unused-import
    except ImportError as error:
        case.skip("no %s" % error.name)
    source, home = os.path.join(case.dir, "source"), os.path.join(case.dir, "env")
    os.makedirs(source)
    subprocess.run(["cp", "-r", "--parents", "scripts/pyclient", "thrift", "VERSION", source], cwd=ROOT, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", home], check=True, capture_output=True)
    python = os.path.join(home, "bin", "python")
    done = subprocess.run([python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation",
                           "--disable-pip-version-check", os.path.join(source, "scripts", "pyclient")],
                          capture_output=True, text=True, check=False)
    expect_equal(done.returncode, 0, "pip\n%s%s" % (done.stdout, done.stderr))
    subprocess.run(["rm", "-rf", source], check=True)
    node = case.cluster(1)[1]
    program = """
import sys, importlib.metadata, synclog_client
assert synclog_client.__file__.startswith(sys.prefix), synclog_client.__file__
with synclog_client.Cluster([sys.argv[1]]) as cluster:
    cluster.insert("d", 7, {"v": 1.5})
    print(importlib.metadata.version("synclog-client"), [row for row in cluster.query("d")])
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SYNCLOG_GEN_PY")}
    told = subprocess.run([python, "-c", program, node.address], cwd=case.dir, env=environment, capture_output=True,
                          text=True, check=False)
    expect_equal(told.returncode, 0, told.stderr)
    with open(os.path.join(ROOT, "VERSION"), encoding="ascii") as version:
        expect_equal(told.stdout.strip(), "%s [Row(timestamp=7, values={'v': 1.5})]" % version.read().strip(), "output")
