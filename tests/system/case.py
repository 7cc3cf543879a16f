"""What a test gets: its folder, its clusters, its share of load, and ways to wait and to fail.

A test is a function with the decorator @test in a file test_*.py; it takes one Case. It fails by
any exception, and is skipped by case.skip("why"). After it, every daemon that it left running must
stop cleanly, and no log may hold a sanitizer's report or a critical message.
"""

import os
import random
import shutil
import tempfile
import time

from cluster import Cluster, Failed, Node
from proxy import Proxy


class Skip(Exception):
    """Something that the test needs is not here."""


class Flavour:
    """How much load a build takes, and how much longer things take with it."""

    def __init__(self, build):
        self.name = os.path.basename(os.path.abspath(build))
        self.failpoints = self.name.startswith("failpoints")
        self.sanitized = self.name not in ("plain", "failpoints")
        if "thread" in self.name:
            self.load, self.patience = 0.15, 6.0
        elif self.sanitized:
            self.load, self.patience = 0.35, 3.0
        else:
            self.load, self.patience = 1.0, 1.0


def test(function=None, timeout=60, alone=False, failpoints=False, plain=False):
    """Marks a test. `timeout` in seconds for the plain build; `alone`: nothing runs beside it;
    `failpoints`: it needs a build with them, and is skipped with another; `plain`: what its daemons do, shorter tests
    have them do too, so only `make check-long` runs it with sanitizers. A file whose tests are all so says PLAIN = "why"."""
    def mark(marked):
        marked.is_test = True
        marked.timeout = timeout
        marked.alone = alone
        marked.failpoints = failpoints
        marked.plain = plain
        return marked
    return mark(function) if function is not None else mark


class Case:
    def __init__(self, name, build, seed):
        self.name = name
        self.build = os.path.abspath(build)
        self.flavour = Flavour(build)
        self.random = random.Random("%s %s" % (seed, name))
        self.dir = tempfile.mkdtemp(prefix="synclogd-test-")
        self.nodes = []
        self._proxies = []
        self._cleanups = []

    # --- daemons ---

    def program(self, name):
        return os.path.join(self.build, name)

    def node(self, **options):
        """One Node that is not started; see cluster.Node."""
        node = Node(self, **options)
        self.nodes.append(node)
        return node

    def cluster(self, count=3, config=None, proxied=False, start=True):
        """`count` nodes that know each other. `config`: {"section.key": value} for all of them."""
        cluster = Cluster(self, count, config or {}, proxied)
        if start:
            cluster.start()
        return cluster

    def proxy(self):
        proxy = Proxy()
        self._proxies.append(proxy)
        return proxy

    def at_end(self, function, *arguments):
        """Called after the daemons are gone, last one first."""
        self._cleanups.append((function, arguments))

    # --- measure ---

    def scaled(self, count, least=1):
        """A load for this flavour."""
        return max(least, int(count * self.flavour.load))

    def patience(self, seconds):
        """A time limit for this flavour. Limits only: nothing waits for its own sake."""
        return seconds * self.flavour.patience

    def eventually(self, what, predicate, timeout=20.0, pause=None):
        """Waits until predicate() is true and returns its value; `what` says so when it never is.
        OSError counts as not yet. `pause` is for what passes quickly: without it, what takes long is looked at
        less often, since a look may be a program's whole run."""
        begin = time.monotonic()
        deadline = begin + self.patience(timeout)
        trouble = None
        while True:
            try:
                value = predicate()
                trouble = None
                if value:
                    return value
            except OSError as error:
                trouble = error
            if time.monotonic() > deadline:
                raise Failed("not in %.0f s: %s%s" % (self.patience(timeout), what,
                                                      " (%s)" % trouble if trouble else ""))
            for node in self.nodes:
                node.check_alive()
            time.sleep(min(0.02 + (time.monotonic() - begin) / 8, 0.1) if pause is None else pause)

    # --- words ---

    @staticmethod
    def note(text):
        """A line for the report, also when the test passes."""
        print("# " + text, flush=True)

    @staticmethod
    def skip(why):
        raise Skip(why)

    # --- end ---

    def finish(self):
        """Stops what runs and checks how it ended."""
        for node in self.nodes:
            node.check_alive()
        running = [node for node in self.nodes if node.running]
        for node in running:
            node.signal_stop()
        for node in running:
            node.wait_stopped()
        for node in self.nodes:
            node.check_log()

    def clean_up(self, keep_logs_in=None):
        for node in self.nodes:
            node.kill_quietly()
        for proxy in self._proxies:
            proxy.close()
        if keep_logs_in is not None:
            shutil.rmtree(keep_logs_in, ignore_errors=True)
            os.makedirs(keep_logs_in)
            for node in self.nodes:
                for path in (node.log_path, node.config_path):
                    if os.path.exists(path):
                        shutil.copy(path, keep_logs_in)
        for function, arguments in reversed(self._cleanups):
            function(*arguments)
        shutil.rmtree(self.dir, ignore_errors=True)


def expect(condition, message, *arguments):
    """assert with a message that is always made; works under -O too."""
    if not condition:
        raise Failed(message % arguments if arguments else message)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise Failed("%s: got %r, wanted %r" % (what, got, wanted))


def expect_error(error_class, what, function, *arguments, **options):
    """Calls a function that must raise; returns the error."""
    try:
        value = function(*arguments, **options)
    except error_class as error:
        return error
    raise Failed("%s: no %s but %r" % (what, error_class.__name__, value))
