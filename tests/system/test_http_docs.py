"""The commands of README's section on data over HTTP do what stands under them."""

import os
import re
import subprocess

from case import expect, expect_equal, test
from cluster import ROOT, sanitizer_environment
from http_tools import data_cluster


def blocks():
    """[(command, answer)] of the section, in order."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = re.search(r"\n## Data over HTTP\n(.*?)\n## ", file.read(), re.DOTALL).group(1)
    found = []
    for line in section.split("\n"):
        if line.startswith("    $ "):
            found.append([line[6:], []])
        elif line.startswith("    > ") and found and not found[-1][1]:
            found[-1][0] += "\n" + line[6:]
        elif line.startswith("    ") and found:
            found[-1][1].append(line[4:])
        elif found and line == "" and found[-1][1]:
            found[-1][1].append(None)  # what follows belongs to no command
    return [(command, answer[:answer.index(None)] if None in answer else answer)
            for command, answer in found]


def check_answer(command, got, wanted):
    got = [line.rstrip("\r") for line in got.rstrip("\n").split("\n")]
    if "…" in wanted:
        place = wanted.index("…")
        expect_equal(got[:place], wanted[:place], command)
        tail = wanted[place + 1:]
        expect_equal(got[len(got) - len(tail):], tail, command)
    else:
        expect_equal(got, wanted or [""], command)


@test
def the_readme(case):
    node = data_cluster(case, 3)[1]
    tool = os.path.dirname(case.program("synclogctl"))
    environment = dict(sanitizer_environment(), SYNCLOG_SERVER=node.address,
                       PATH=tool + ":" + os.environ["PATH"])
    commands = blocks()
    expect(len(commands) >= 4, "only %d commands", len(commands))
    for command, wanted in commands:
        if command.startswith("export "):
            name, _, value = command[7:].partition("=")
            expect_equal(value, "http://127.0.0.1:7672", "the address in the README")
            environment[name] = "http://127.0.0.1:%d" % node.http
            continue
        done = subprocess.run(["bash", "-c", command.replace("build/plain/", "")], env=environment,
                              capture_output=True, text=True, check=False,
                              timeout=case.patience(30))
        expect_equal(done.returncode, 0, "%s: %s" % (command, done.stderr))
        check_answer(command, done.stdout, wanted)
