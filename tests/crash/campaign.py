"""A campaign: clusters of real daemons under recorded load, faults from a seed, and the judgement.

A round is a fresh cluster with dice of its own: Round(...) starts it and the clients, the campaign
does its faults, and round.judge() lets the cluster come to rest, reads all that the nodes hold and
asks the checker. Figures gathers what is printed at the end.
"""

import collections
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import checker  # noqa: E402
import history  # noqa: E402
from case import Case  # noqa: E402
from cluster import Failed, describe_exit, free_port  # noqa: E402
from synclog_client import SynclogError  # noqa: E402

# Where a client finds a node.
Place = collections.namedtuple("Place", "id address")

# In quick motion, so that seconds hold what hours do: rolls, persisting, trimming, comparing.
QUICK = {"replication.heartbeat_interval": "100ms", "replication.basic_retry_wait": "20ms",
         "replication.max_retry_wait": "300ms", "replication.request_timeout": "5s",
         "store.check_interval": "1s", "store.compact_after": "1s", "client.write_timeout": "2s",
         "client.read_timeout": "2s"}
# A device that the checker does not look at.
PROBE = "probe"
# What the daemon says when the background comparison found that data differs.
ALARM = "holds other data"
# … and why it begins a new incarnation after a write that was cut short.
TORN = "a new incarnation begins: the end of the own log is no entry"


class Figures:
    """Sums over the rounds of a campaign."""

    def __init__(self):
        self.rounds = 0
        self.faults = collections.Counter()
        self.operations = collections.Counter()
        self.points = collections.Counter()    # failpoints: how often each fired
        self.restarts = 0
        self.violations = []
        self.slowest_start_s = self.slowest_rest_s = 0.0

    def add(self, other):
        self.rounds += other.rounds
        self.faults += other.faults
        self.operations += other.operations
        self.points += other.points
        self.restarts += other.restarts
        self.violations += other.violations
        self.slowest_start_s = max(self.slowest_start_s, other.slowest_start_s)
        self.slowest_rest_s = max(self.slowest_rest_s, other.slowest_rest_s)

    def count(self, kind):
        return sum(1 for each in self.violations if each.kind == kind)

    def lines(self):
        told = self.operations
        faults = ", ".join("%d %s" % (count, kind) for kind, count in self.faults.most_common())
        yield "%d rounds, %d faults: %s" % (self.rounds, sum(self.faults.values()),
                                            faults or "none")
        yield "%d writes acknowledged, %d lost, %d duplicated" % (
            told["acknowledged"], self.count(checker.LOST), self.count(checker.DUPLICATED))
        yield "%d writes without an answer, %d refused; %d reads" % (
            told["unanswered"], told["refused"], told["reads"])
        yield "%d restarts, the slowest in %.1f s; all the same %.1f s after the last fault at most" % (
            self.restarts, self.slowest_start_s, self.slowest_rest_s)


class Round:
    """One cluster. `expect_new_logs`: whether a node may begin a new incarnation."""

    def __init__(self, title, build, seed, figures, nodes=None, config=None, proxied=False,
                 clients=None, rate=150, payload=None, prepare=None, start=True, deletes=True):
        self.case = Case(title, build, seed)
        self.random = random.Random("faults %s %s" % (seed, title))
        self.figures = figures
        self.figures.rounds += 1
        self.trust_clocks = True
        self.new_logs = 0          # new incarnations that a fault accounts for
        self.at_rest = False
        self._offsets = {}
        self.recorders = []
        self.client_links = {}     # node id → proxy.Link, when clients are proxied too
        settings = dict(QUICK)
        settings["wal.wal_segment_size"] = self.random.choice(("64KiB", "128KiB", "1MiB"))
        settings["store.memtable_size"] = self.random.choice(("64KiB", "64KiB", "512KiB"))
        settings["replication.mirror_sync_interval"] = self.random.choice(("0ms", "20ms", "20ms"))
        settings["replication.max_pending_requests"] = self.random.choice((50, 60000))
        settings.update(config or {})
        count = nodes or self.random.choice((3, 3, 3, 2, 4))
        self.cluster = self.case.cluster(count, settings, proxied=proxied, start=False)
        for node in self.cluster:
            node.arm("")
        if prepare:
            prepare(self)
        if proxied:
            proxy = self.case.proxy()
            for node in self.cluster:
                self.client_links[node.id] = proxy.link(free_port(self.case), node.client_port)
        if start:
            self.start(clients, rate, payload, deletes)

    def start(self, clients=None, rate=150, payload=None, deletes=True):
        self.cluster.start()
        for node in self.cluster:
            self._offsets[node] = node.applied_offset()
        places = [Place(node.id, self.client_links[node.id].address
                        if self.client_links else node.address) for node in self.cluster]
        for number in range(clients or 2 * len(self.cluster)):
            self.recorders.append(history.Recorder(
                "%d" % number, places, places[number % len(places)], self.random.random(),
                payload=payload or self.random.choice((20, 200, 1000)), rate=rate, deletes=deletes))
        for each in self.recorders:
            each.start()

    # --- time ---

    def run_for(self, seconds):
        """Lets the load go on; a client that broke or a node that died ends it."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            for each in self.recorders:
                if each.error is not None:
                    raise Failed("%s: %r" % (each.name, each.error)) from each.error
            for node in self.cluster:
                node.check_alive()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def hold_clients(self):
        for each in self.recorders:
            each.hold()

    def release_clients(self):
        for each in self.recorders:
            each.release()

    def expect_local_reads(self, expected):
        """Whether reads must see what their node has acknowledged. A node that lost its disk, or a part of it, lacks that
        until peers have given it back; what a read's tokens name it waits for all the same."""
        for each in self.recorders:
            each.local_reads = expected

    def wait(self, predicate, seconds):
        """Whether it became true in time; nothing follows from that it did not."""
        until = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    # --- nodes ---

    def disarm(self, node):
        node.arm("")

    @staticmethod
    def said(node):
        """The lines of the node's log since its last start."""
        return node.log_text().split("--- start")[-1].splitlines()

    def fired(self, node):
        """[(name, action)] that happened since the node's last start."""
        return [tuple(line.split()[1:3]) for line in self.said(node) if line.startswith("failpoint ")]

    def miscounted(self, node):
        """Entries applied since the start beyond one for each index. Those in a snapshot were not applied here."""
        if any("to install a snapshot" in line for line in self.said(node)):
            return 0
        return self._offsets[node] - node.applied_offset()

    def note_fired(self, node):
        for name, _action in self.fired(node):
            self.figures.points[name] += 1

    def restart(self, node):
        """Starts a node that is down, and waits until it answers."""
        begin = time.monotonic()
        node.start(timeout=60)
        self.note_started(node, begin)

    def note_started(self, node, begin):
        self.figures.slowest_start_s = max(self.figures.slowest_start_s, time.monotonic() - begin)
        self.figures.restarts += 1
        self._offsets[node] = node.applied_offset()

    @staticmethod
    def stands_still(node):
        """Whether the node was stopped by SIGSTOP."""
        try:
            with open("/proc/%d/stat" % node.pid, encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        except OSError:
            return False

    @staticmethod
    def expect_exit(node, *allowed):
        """A node that was allowed to end: it must have ended in one of these ways."""
        code = node.process.wait()
        if code not in allowed:
            raise Failed("%s ended with %s" % (node, describe_exit(code)))
        return code

    def stays_writable(self, node, timeout=20.0):
        """The node takes writes again, without a restart. The point written is not judged."""
        def takes_writes():
            try:
                with node.client() as client:
                    client.insert(PROBE, int(time.monotonic() * 1000), {"v": "probe"})
                return True
            except SynclogError as error:
                if not error.retryable:
                    raise
                return False
        if not self.wait(takes_writes, timeout):
            raise Failed("%s does not take writes again:\n%s" % (node, self.cluster.describe()))

    # --- the end ---

    def rest(self, timeout=40.0):
        """Clients stop, all nodes run, links are whole: waits until all have the same."""
        self.cluster.heal()
        for link in self.client_links.values():
            link.heal()
        operations = history.join(self.recorders)
        self.recorders = []
        begin = time.monotonic()
        for node in self.cluster:
            self.disarm(node)
            if not node.running:
                self.restart(node)
        digest = self.cluster.converge(timeout)
        self.figures.slowest_rest_s = max(self.figures.slowest_rest_s, time.monotonic() - begin)
        return operations, digest

    def finals(self):
        result = []
        for node in self.cluster:
            cells, repeated = history.export(node)
            probes = sum(1 for device, _ in cells if device == PROBE)
            cells = {cell: value for cell, value in cells.items() if cell[0] != PROBE}
            digest = node.digest()
            result.append(checker.Final(node.id, cells, repeated, digest.digest,
                                        digest.cells - probes, self.miscounted(node)))
        return result

    def judge(self, operations=None, digest=None, again=True):
        """Comes to rest, asks the checker, kills all nodes and compares once more."""
        if operations is None:
            operations, digest = self.rest()
        self.figures.operations += checker.figures(operations)
        found = checker.check(operations, self.finals(), self.trust_clocks)
        self._check_logs(found)
        self.figures.violations += found
        if found:
            raise Failed("%d promises broken:\n%s" % (len(found), "\n".join(
                "  %s: %s" % each for each in found[:20])))
        if again:
            for node in self.cluster:
                node.kill()
            self.cluster.start()
            after = self.cluster.converge(40)
            if after[:3] != digest[:3]:
                raise Failed("after all were killed: %s, before: %s" % (after[:3], digest[:3]))

    def without_lost_tails(self, operations, keep_spread):
        """For a weaker wal_sync than group, and for nodes that are lost: what was acknowledged behind
        the end that a log has now counts as not answered; with `keep_spread` only what was
        acknowledged by its node alone."""
        ends = {(token.origin, token.incarnation): token.index
                for token in self.cluster.newest_points()}
        result = []
        for each in operations:
            if not isinstance(each, checker.Read) and each.token is not None and \
                    each.token[2] > ends.get(each.token[:2], 0) and \
                    not (keep_spread and each.spread):
                each = each._replace(outcome=checker.UNKNOWN, token=None)
            result.append(each)
        return result

    def _check_logs(self, found):
        logs = {log for node in self.cluster for log in node.progress()}
        # Each of these follows a write that was cut short by a kill or a power loss.
        torn = sum(node.log_text().count(TORN) for node in self.cluster)
        if len(logs) > len(self.cluster) + self.new_logs + torn:
            found.append(checker.Violation(
                checker.NEW_LOG, "%d nodes wrote %d logs, %d new ones are accounted for" % (
                    len(self.cluster), len(logs), self.new_logs + torn)))
        for node in self.cluster:
            if ALARM in node.log_text():
                found.append(checker.Violation(
                    checker.DIVERGED, "%s: the background comparison found a difference" % node))

    def close(self, failed):
        """Ends the cluster. (Where logs of a failed round are kept, what the end showed); None, None
        when all is well."""
        for each in self.recorders:
            each.stop()
        trouble = None
        if not failed:
            try:
                self.case.finish()
            except Failed as error:
                trouble = error
        kept = None
        if failed or trouble is not None:
            kept = os.path.join(self.case.build, "campaign-logs",
                                "%s-%s" % (self.case.name, os.path.basename(self.case.dir)))
        self.case.clean_up(keep_logs_in=kept)
        return kept, trouble
