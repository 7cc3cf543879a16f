"""`make demo` in short: it must end well by itself and leave nothing behind."""

import glob
import os
import subprocess
import sys

from case import expect, expect_equal, test
from cluster import ROOT, sanitizer_environment

PLAIN = "the demonstration"


def run_demo(case, *options, encoding="utf-8"):
    environment = dict(sanitizer_environment(), TMPDIR=case.dir, PYTHONIOENCODING=encoding)
    done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "run-demo"), "--build",
                           case.build, *options], capture_output=True, check=False, cwd=case.dir,
                          timeout=case.patience(50), env=environment)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@test(timeout=60)
def the_demonstration(case):
    code, output, errors = run_demo(case, "--seconds", "5")
    expect_equal(code, 0, "exit code of the demo\n%s%s" % (output, errors))
    for words in ("kill -9 of node 2", "all three digests agree", "digest of all data", "--keep"):
        expect(words in output, "the demo does not say %r:\n%s", words, output)
    expect(any(0x2801 <= ord(character) <= 0x28ff for character in output), "no plot:\n%s", output)
    expect_equal(glob.glob(os.path.join(case.dir, "synclogd-demo-*")), [], "left behind")


def is_running(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@test(timeout=60)
def kept_running(case):
    """--keep: the commands that it prints work."""
    code, output, errors = run_demo(case, "--seconds", "3", "--keep", encoding="ascii")
    expect_equal(code, 0, "exit code of the demo\n%s%s" % (output, errors))
    expect("*" in output, "no plot of plain characters:\n%s", output)
    kill = next((line for line in output.splitlines() if line.strip().startswith("kill ")), None)
    expect(kill is not None, "it does not say how to stop the nodes:\n%s", output)
    lines = [line.strip() for line in output.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("export SYNCLOG_SERVER="))
    script = "set -e\n" + "\n".join(
        line for line in lines[begin:] if line and not line.startswith(("Stop ", "kill ", "rm ")))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False,
                          cwd=case.dir, timeout=case.patience(30), env=sanitizer_environment())
    stopped = subprocess.run(["sh", "-c", kill], capture_output=True, text=True, check=False)
    expect_equal(done.returncode, 0, "exit code of what it says\n%s\n%s%s" % (
        script, done.stdout[-2000:], done.stderr))
    for pid in kill.split()[1:]:
        case.eventually("node %s is gone" % pid, lambda pid=pid: not is_running(int(pid)))
    expect_equal(stopped.returncode, 0, "exit code of %s\n%s" % (kill.strip(), stopped.stderr))
    expect("equal" in done.stdout, "no comparison of digests:\n%s", done.stdout)
