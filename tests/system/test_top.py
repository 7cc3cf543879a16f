"""synclogctl top: on terminals of several sizes, which the test plays (python3-pyte), and without one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from case import expect, expect_equal, test
from cluster import free_port, sanitizer_environment

PLAIN = "a picture in a terminal; unit tests draw it with the sanitizer"

try:
    import pyte
except ImportError:
    pyte = None

LEFT, ENTERED = b"\x1b[?1049l", b"\x1b[?1049h"


class Terminal:
    """A terminal with `top` on it; .lines() is what a person sees."""

    def __init__(self, case, servers, rows=24, columns=80, arguments=("-i", "200ms"), environment=None):
        if pyte is None:
            case.skip("python3-pyte is not installed")
        self.case = case
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.said = b""
        self.ours, self.other = pty.openpty()
        self._set_size(rows, columns)
        self.before = termios.tcgetattr(self.other)
        variables = dict(sanitizer_environment(), TERM="xterm-256color", LC_ALL="C.UTF-8")
        variables.pop("NO_COLOR", None)
        for name in ("LINES", "COLUMNS"):
            variables.pop(name, None)
        variables.update(environment or {})
        self.process = subprocess.Popen(
            [case.program("synclogctl"), "-s", servers, "top", *arguments], stdin=self.other, stdout=self.other,
            stderr=self.other, env=variables, start_new_session=True)
        case.at_end(self.close)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.other)

    def _set_size(self, rows, columns):
        fcntl.ioctl(self.other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self._set_size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds=0.0):
        while select.select([self.ours], [], [], seconds)[0]:
            more = os.read(self.ours, 65536)
            self.said += more
            self.stream.feed(more)
            seconds = 0

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def until(self, what, condition):
        """Waits until condition(text of the screen); the text."""
        deadline = time.monotonic() + self.case.patience(20)
        while not condition(self.text()):
            expect(time.monotonic() < deadline, "%s; on the screen is\n%s", what, self.text())
            expect(self.process.poll() is None, "top ended by itself:\n%s", self.text())
            self.read(0.1)
        return self.text()

    def shows(self, pattern):
        return self.until("it does not show %s" % pattern, lambda text: re.search(pattern, text, re.MULTILINE))

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def wait_end(self, code=0):
        """It has ended, and left the terminal as it was."""
        deadline = time.monotonic() + self.case.patience(20)
        while self.process.poll() is None:
            expect(time.monotonic() < deadline, "it does not end")
            self.read(0.05)
        self.read()
        expect_equal(self.process.returncode, code, "exit code")
        expect(ENTERED in self.said and self.said.rindex(LEFT) > self.said.rindex(ENTERED), "the screen is not given back")
        expect_equal(termios.tcgetattr(self.other), self.before, "the terminal afterwards")

    def colours(self):
        return {cell.fg for row in self.screen.buffer.values() for cell in row.values()} - {"default"}

    def line_colour(self, words):
        row = next(i for i, line in enumerate(self.screen.display) if words in line)
        return self.screen.buffer[row][self.screen.display[row].index(words)].fg


def servers_of(cluster):
    return ",".join(node.address for node in cluster)


@test(timeout=90)
def on_a_usual_terminal(case):
    """80 × 24: nodes and links; a node that dies is named, in red, and the rest goes on."""
    cluster = case.cluster()
    cluster.converge()
    terminal = Terminal(case, servers_of(cluster))
    terminal.shows(r"3 of 3 serve +q: end")  # a picture may come in pieces: each line is waited for
    terminal.shows(r"^NODE +STATE +WRITES/s +REFUSED/s +APPLIED/s +WRITE ms +STORE +WAL")
    for link in ("1 → 2", "1 → 3", "2 → 1", "2 → 3", "3 → 1", "3 → 2"):
        terminal.shows("^%s +connected +0" % link)
    expect_equal(terminal.colours(), {"green"}, "colours of a cluster that is well")
    with cluster[1].client() as client:
        at = iter(range(1000000))

        def wrote(shown):
            client.insert("d", next(at), {"v": 1})
            return re.search(r"^ +1 +serving +[1-9]\d* +0 ", shown, re.MULTILINE)
        terminal.until("writes per second", wrote)
    cluster[3].kill()
    terminal.shows(r"2 of 3 serve")
    terminal.shows(r"^! %s does not answer" % re.escape(cluster[3].address))
    terminal.shows(r"^1 → 3 +(backoff|connecting)")
    expect_equal(terminal.line_colour("! " + cluster[3].address), "red", "colour of trouble")
    expect_equal(terminal.line_colour("serving"), "green", "colour of a node that serves")
    terminal.press("q")
    terminal.wait_end()


@test(timeout=60)
def on_a_narrow_terminal(case):
    """40 × 12, and smaller: the most important columns, and whole lines; every link is reached by keys."""
    cluster = case.cluster()
    cluster.converge()
    terminal = Terminal(case, servers_of(cluster), rows=12, columns=40)
    text = terminal.shows(r"^1 → 2 +connected")
    expect(re.search(r"^NODE +STATE +WRITES/s +APPLIED/s$", text, re.MULTILINE), "%s", text)
    expect(re.search(r"^LINK +STATE +LAG +TIME", text, re.MULTILINE), "%s", text)
    expect("3 → 2" not in text, "all links on so few lines:\n%s", text)
    terminal.press("\x1bOF")  # End
    terminal.shows(r"^3 → 2 +connected")
    terminal.press("\x1bOH")  # Home
    terminal.shows(r"^1 → 2 +connected")
    terminal.press("\x1bOB")  # Down
    terminal.until("one line down", lambda text: "2 → 1" in text and "1 → 2" not in text)
    for rows, columns in ((3, 10), (1, 1), (12, 20), (24, 200), (24, 80)):
        terminal.resize(rows, columns)
        if columns >= 40:
            terminal.shows(r"^3 → 2 +connected")
        elif columns == 20:
            terminal.shows(r"^NODE +STATE")
    terminal.shows(r"q: end")
    terminal.shows(r"^NODE.*WRITE ms")  # after it is wide again
    terminal.press("q")
    terminal.wait_end()


@test(timeout=60)
def sorting_and_help(case):
    cluster = case.cluster()
    cluster.converge()
    cluster[3].stop()
    with cluster[1].client() as client:
        for i in range(5):
            client.insert("d", i, {"v": i})
    terminal = Terminal(case, servers_of(cluster.nodes[:2]))
    terminal.shows(r"^1 → 3 +\w+ +5 ")

    def first_link(text):
        found = re.search(r"^LINK.*\n(\d → \d)", text, re.MULTILINE)
        return found and found[1]
    expect_equal(first_link(terminal.text()), "1 → 2", "the first link")
    terminal.press("ss")  # by LAG, the greatest first
    terminal.until("the greatest lag is first", lambda text: first_link(text) == "1 → 3")
    terminal.press("r")
    terminal.until("the greatest lag is last", lambda text: first_link(text) not in (None, "1 → 3"))
    terminal.press("SS")
    terminal.until("by link again", lambda text: first_link(text) == "1 → 2")
    terminal.press("h")
    terminal.until("help", lambda text: "sort the links" in text and "1 → 2" not in text)
    terminal.press("h")
    terminal.shows(r"^1 → 2")
    terminal.press("\x1b")
    terminal.wait_end()


@test(timeout=60)
def without_colours(case):
    """NO_COLOR, a terminal that has none, and one that knows only ASCII."""
    cluster = case.cluster(2)
    cluster.converge()
    servers = servers_of(cluster) + ",127.0.0.1:%d" % free_port(case)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "vt100"}):
        terminal = Terminal(case, servers, environment=variables)
        terminal.shows(r"^! 127.0.0.1:\d+ does not answer")
        expect_equal(terminal.colours(), set(), "colours with %s" % variables)
        expect(not re.search(rb"\x1b\[(?:\d+;)*3[0-7](?:;\d+)*m", terminal.said), "colours with %s: %r", variables, terminal.said)
        terminal.press("q")
        terminal.process.wait(case.patience(20))
    terminal = Terminal(case, servers, environment={"LC_ALL": "C"})
    terminal.shows(r"^1 -> 2 +connected")
    expect(max(terminal.said) < 128, "not ASCII: %r", terminal.said)
    terminal.press("q")
    terminal.wait_end()
    terminal = Terminal(case, servers, environment={"TERM": "nothing-of-that-name"})
    expect_equal(terminal.process.wait(case.patience(20)), 1, "exit code on an unknown terminal")
    terminal.read(0.5)
    expect("can't be drawn on" in terminal.text(), "%s", terminal.text())


@test(timeout=60)
def however_it_ends(case):
    """By signals, and after a number of looks, while a server does not answer: the terminal is as it was."""
    cluster = case.cluster(2)
    cluster.converge()
    for number in (signal.SIGTERM, signal.SIGINT):
        terminal = Terminal(case, servers_of(cluster))
        terminal.shows(r"^1 → 2")
        terminal.process.send_signal(number)
        terminal.wait_end()
    Terminal(case, servers_of(cluster), arguments=("-i", "100ms", "-n", "3")).wait_end()
    # Keys work while a node is asked that says nothing.
    cluster[2].pause()
    terminal = Terminal(case, servers_of(cluster), arguments=("-i", "10s"))
    terminal.press("h")
    terminal.shows(r"sort the links")
    cluster[2].resume()
    terminal.press("qq")
    terminal.wait_end()


@test(timeout=60)
def several_groups(case):
    """Sums of all groups, a line for each, and one of them by a key or --group."""
    cluster = case.cluster(2, config={"group.1.devices": "a*", "group.2.devices": "b*", "group.2.members": "2"})
    cluster.converge()
    with cluster[1].client() as client:
        for device in ("a", "c"):
            client.insert(device, 1, {"v": 1}, ack="all")
    terminal = Terminal(case, servers_of(cluster))
    terminal.shows(r"2 of 2 serve  all 3 groups +q: end")
    terminal.shows(r"^GROUP +SERVING +WRITES/s +REFUSED/s +APPLIED/s +LAG +STORE +WAL$")
    for line in (r"^ +0 +2 of 2 +0 ", r"^ +1 +2 of 2 +0 ", r"^ +2 +1 of 1 +0 ", r"^LINK +GROUP +STATE",
                 r"^1 → 2 +0 +connected", r"^1 → 2 +1 +connected", r"^2 → 1 +1 +connected"):
        terminal.shows(line)
    text = terminal.text()
    expect("! " not in text, "trouble:\n%s", text)
    with cluster[2].client() as client:
        at = iter(range(1000000))

        def wrote(shown):
            client.insert("b", next(at), {"v": 1})
            return re.search(r"^ +2 +1 of 1 +[1-9]\d* ", shown, re.MULTILINE) and \
                re.search(r"^ +2 +serving +[1-9]\d* ", shown, re.MULTILINE)
        terminal.until("writes per second of the group, and in the sum of the node", wrote)
    terminal.press("gg")
    terminal.shows(r"serve  group 1 ")
    terminal.until("one group", lambda shown: "GROUP" not in shown and "1 → 2" in shown)
    terminal.press("g")
    terminal.shows(r"1 of 2 serve  group 2 ")
    terminal.shows(r"^! %s does not have group 2$" % re.escape(cluster[1].address))
    terminal.press("G")
    terminal.shows(r"2 of 2 serve  group 1 ")
    terminal.press("ggg")
    terminal.shows(r"serve  group 0 ")
    terminal.press("G")
    terminal.shows(r"serve  all 3 groups ")
    terminal.press("q")
    terminal.wait_end()
    code, out, said = run_top(case, servers_of(cluster), "--once", "-i", "200ms")
    expect(code == 0 and "all 3 groups" in out and re.search(r"^ +2 +1 of 1 ", out, re.MULTILINE), "%d %s%s", code, out, said)
    code, out, said = run_top(case, servers_of(cluster), "--once", "-i", "200ms", "--group", "1")
    expect(code == 0 and "2 of 2 serve  group 1\n" in out and "SERVING" not in out, "%d %s%s", code, out, said)
    # One that can't be opened is told, and the rest is shown.
    cluster[1].stop()
    for name in ("node.ini", "node.ini.copy"):
        with open(os.path.join(cluster[1].data_dir, "group-1", name), "w", encoding="utf-8") as file:
            file.write("damaged")
    cluster[1].start()
    code, out, said = run_top(case, servers_of(cluster), "--once", "-i", "200ms")
    expect(code == 0 and "! node 1, group 1 is failed: " in out and re.search(r"^ +1 +1 of 2 ", out, re.MULTILINE),
           "%d %s%s", code, out, said)


def run_top(case, servers, *arguments):
    done = subprocess.run([case.program("synclogctl"), "--server", servers, "top", *arguments], capture_output=True,
                          text=True, timeout=case.patience(30), check=False, stdin=subprocess.DEVNULL,
                          env=dict(sanitizer_environment(), LC_ALL="C.UTF-8"))
    return done.returncode, done.stdout, done.stderr


@test
def for_scripts(case):
    """Plain lines without a terminal: no codes, one look with rates, or one below the other."""
    cluster = case.cluster(2)
    cluster.converge()
    servers = "%s,%s,127.0.0.1:%d" % (cluster[1].address, cluster[2].address, free_port(case))
    with cluster[1].client() as client:
        client.insert("d", 1, {"v": 1}, ack="all")
    code, out, said = run_top(case, servers, "--batch", "-n", "2", "-i", "300ms")
    expect_equal((code, said), (0, ""), "top")
    looks = out.split("synclogctl top ")[1:]
    expect_equal(len(looks), 2, "looks")
    for look in looks:
        expect("2 of 3 serve" in look and "does not answer" in look and "1 → 2" in look and "2 → 1" in look, "%s", look)
        expect(len(re.findall("serving", look)) == 2, "nodes: %s", look)
    # Rates need two looks.
    expect(re.search(r"1 +serving +- ", looks[0]) and re.search(r"1 +serving +0 ", looks[1]),
           "rates: %s", out)
    for arguments in ((), ("--once",)):
        code, out, said = run_top(case, servers, "-i", "200ms", *arguments)
        expect_equal((code, said, out.count("synclogctl top ")), (0, "", 1), "top %s" % (arguments,))
        expect("\x1b" not in out and re.search(r"1 +serving +0 ", out), "%r", out)
    for wrong in (["-n", "-1"], ["-i", "1ms"], ["x"], ["--json", "--batch"], ["--once", "-n", "2"]):
        expect_equal(run_top(case, servers, *wrong)[0], 2, " ".join(wrong))
