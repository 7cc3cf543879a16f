"""What comes with the programs: man pages, and completion for bash."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from case import expect, expect_equal, test
from cluster import sanitizer_environment

PLAIN = "scripts and manuals"

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMPLETION_LIBRARY = "/usr/share/bash-completion/bash_completion"


def said_by(case, program, *arguments):
    environment = dict(sanitizer_environment(), LC_ALL="C.UTF-8")
    return subprocess.run([case.program(program), *arguments], env=environment, check=True, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout


def commands_of(case):
    listed = said_by(case, "synclogctl", "--help").partition("\nCommands:\n")[2].split("\n\n")[0]
    return [line.split()[0] for line in listed.split("\n")]


def man_pages(case):
    """{page: its text}, as a reader sees it."""
    pages = {}
    folder = pathlib.Path(case.dir, "man")
    subprocess.run([ROOT / "scripts" / "make-man", case.build, folder], check=True)
    for path in sorted(folder.iterdir()):
        # -ww: all that groff complains of; it must not complain.
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=400n", "-K", "utf8", str(path)],
                              capture_output=True, text=True, check=True)
        expect_equal(done.stderr, "", path.name)
        pages[path.name] = re.sub(r"[‐−]", "-", " ".join(done.stdout.split()))
    return pages


@test(timeout=60)
def man_pages_say_what_the_programs_say(case):
    if shutil.which("groff") is None:
        case.skip("no groff")
    pages = man_pages(case)
    expect_equal(sorted(pages), ["synclog-bench.1", "synclogctl.1", "synclogd.8", "synclogd.ini.5"], "pages")
    for option in re.findall(r"--[a-z][a-z-]+", said_by(case, "synclog-bench", "--help")):
        expect(option in pages["synclog-bench.1"], "synclog-bench(1) lacks %s", option)
    for option in re.findall(r"--[a-z][a-z-]+", said_by(case, "synclogd", "--help")):
        expect(option in pages["synclogd.8"], "synclogd(8) lacks %s", option)
    for command in commands_of(case):
        told = said_by(case, "synclogctl", command, "--help")
        summary = told.split("\n\n")[1].strip()
        expect(summary in pages["synclogctl.1"], "synclogctl(1) lacks the summary of %s", command)
        for option in re.findall(r"--[a-z][a-z-]+", told):
            expect(option in pages["synclogctl.1"], "synclogctl(1) lacks %s of %s", option, command)
    keys = re.findall(r"^\| (\S+) \| `(\w+)`", said_by(case, "synclogd", "--print-config-markdown"), re.M)
    expect(len(keys) > 30, "%d keys", len(keys))
    for section, key in keys:
        expect("[%s]" % section in pages["synclogd.ini.5"], "no section %s", section)
        expect(key + " (" in pages["synclogd.ini.5"], "no key %s", key)


def completions(case, line, servers=""):
    """What bash offers behind `line`."""
    script = """
      . %s; . conf/synclogctl.bash-completion
      COMP_LINE=$1 COMP_POINT=${#1}
      eval "COMP_WORDS=($1)"
      [[ $1 == *' ' ]] && COMP_WORDS+=('')
      COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      compopt() { :; }
      _synclogctl 2>/dev/null
      printf '%%s\\n' "${COMPREPLY[@]}"
    """ % COMPLETION_LIBRARY
    environment = dict(sanitizer_environment(), LC_ALL="C.UTF-8", SYNCLOG_SERVER=servers)
    done = subprocess.run(["bash", "-c", script, "bash", case.program("synclogctl") + " " + line], cwd=ROOT,
                          env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout.split()


@test(timeout=60)
def completion_knows_commands_options_and_devices(case):
    if not os.path.exists(COMPLETION_LIBRARY):
        case.skip("no bash-completion")
    node = case.cluster(1)[1]
    with node.client() as client:
        client.insert("plant1.boiler", 1000, {"t": 1.5})
        client.insert("plant1.pump", 1000, {"t": 1.5})
    expect_equal(sorted(completions(case, "")), sorted(commands_of(case)), "commands")
    expect("status" in completions(case, "sta"), "status is not offered")
    expect("--compare" in completions(case, "digest --c"), "an option of a command")
    expect("list" in completions(case, "node "), "a verb")
    expect_equal(completions(case, "insert a b=1 --ack m"), ["majority"], "levels")
    expect_equal(completions(case, "query plant1.", node.address), ["plant1.boiler", "plant1.pump"],
                 "devices of the node in the environment")
    expect_equal(completions(case, "-s %s query plant1.b" % node.address), ["plant1.boiler"],
                 "devices of the node that is named")


@test(timeout=60)
def a_step_that_does_not_run_is_no_success(case):
    """Of scripts/check-all, where there is no program that it needs."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "check-all", "unit", "fuzz"], text=True, check=False,
                          env={"PATH": case.dir}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect_equal((done.returncode, done.stdout.split("\n")[-2]), (1, "0 passed, 2 failed, 0 skipped"), "what it says")
