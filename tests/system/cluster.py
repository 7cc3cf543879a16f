"""Real daemons on loopback: a Node is one of them with its folder, ports, configuration and log; a
Cluster is a number of nodes that know each other."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "scripts", "pyclient"))

# pylint: disable=wrong-import-position
from synclog_client import Client, NotReady, SynclogError, Token, UnknownLog, Unreachable  # noqa: E402


class Failed(AssertionError):
    """A test's finding."""


# What no log of a daemon may hold.
_ALARMS = re.compile(r"ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer|"
                     r"ERROR: LeakSanitizer|ThreadSanitizer:DEADLYSIGNAL|GLib.*-CRITICAL|"
                     r"GLib-GObject.*-WARNING|\bassertion (failed|'.*' failed)|Bail out!")


# --- ports ----------------------------------------------------------------------------------------

_reserved = []


def free_port(case):
    """A TCP port below the range that the kernel gives to outgoing connections, so that a daemon
    can be restarted on it. A UDP socket on the same number tells other tests that it is taken."""
    while True:
        port = case.random.randrange(10000, 32000)
        guard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
        except OSError:
            guard.close()
            continue
        finally:
            probe.close()
        _reserved.append(guard)
        return port


# --- one daemon -----------------------------------------------------------------------------------

def sanitizer_environment():
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC")}
    environment.update({
        "G_SLICE": "always-malloc",
        "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0:handle_abort=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "exitcode=99:second_deadlock_stack=1:suppressions=" +
                        os.path.join(HERE, "tsan.supp"),
    })
    return environment


class Node:
    """A daemon. `peers`: {node id: address}. `config`: {"section.key": value}, over the defaults
    below; a value of None leaves the key out."""

    def __init__(self, case, node_id=1, peers=None, config=None, data_dir=None, name=None,
                 cluster_id="test"):
        self.case = case
        self.id = node_id
        self.name = name or "node%d" % node_id
        self.dir = os.path.join(case.dir, self.name)
        os.makedirs(self.dir, exist_ok=True)
        self.data_dir = data_dir or os.path.join(self.dir, "data")
        self.config_path = os.path.join(self.dir, self.name + ".ini")
        self.log_path = os.path.join(self.dir, self.name + ".log")
        self.client_port = free_port(case)
        self.peer_port = free_port(case)
        self.peers = dict(peers or {})
        self.config = {
            "node.id": node_id,
            "node.data_dir": self.data_dir,
            "cluster.id": cluster_id,
            "cluster.time_precision": "ms",
            "client.listen": "127.0.0.1:%d" % self.client_port,
            "replication.listen": "127.0.0.1:%d" % self.peer_port,
            "wal.wal_segment_size": "4MiB",
        }
        self.config.update(config or {})
        self.process = None
        self.wrapper = []
        self.build = case.build
        self.environment = {}
        self.nofile = None
        self._may_be_dead = True

    def __repr__(self):
        return self.name

    @property
    def address(self):
        return "127.0.0.1:%d" % self.client_port

    @property
    def peer_address(self):
        return "127.0.0.1:%d" % self.peer_port

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def write_config(self):
        sections = {}
        for name, value in self.config.items():
            if value is not None:
                section, key = name.rsplit(".", 1)
                sections.setdefault(section, []).append("%s = %s" % (key, value))
        for peer, address in sorted(self.peers.items()):
            sections["peer.%d" % peer] = ["address = %s" % address]
        with open(self.config_path, "w", encoding="utf-8") as file:
            for section, lines in sections.items():
                file.write("[%s]\n%s\n\n" % (section, "\n".join(lines)))

    # --- life ---

    def launch(self):
        """Starts the process and returns at once."""
        assert not self.running, "%s already runs" % self
        self.write_config()
        environment = sanitizer_environment()
        environment.update(self.environment)
        command = self.wrapper + [os.path.join(self.build, "synclogd"), "-c", self.config_path]

        def limit_files():
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))

        with open(self.log_path, "ab") as log:
            log.write(b"--- start: %s\n" % " ".join(command).encode())
            log.flush()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env=environment, preexec_fn=limit_files if self.nofile else None)
        self._may_be_dead = False

    def start(self, timeout=20.0):
        """Starts the daemon and waits until it answers."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def is_ready(self):
        try:
            with self.client(timeout=2.0 * self.case.flavour.patience) as client:
                client.info()
            return True
        except (OSError, NotReady):
            return False

    def wait_ready(self, timeout=20.0):
        self.case.eventually("%s answers" % self, self.is_ready, timeout, pause=0.01)

    def check_alive(self):
        if self._may_be_dead or self.process is None:
            return
        code = self.process.poll()
        if code is not None:
            self._may_be_dead = True
            raise Failed("%s died by itself: %s" % (self, describe_exit(code)))

    def expect_death(self):
        """From now on the daemon may end by itself."""
        self._may_be_dead = True

    def expect_life(self):
        """From now on it may not any more."""
        self._may_be_dead = False

    def signal(self, number):
        os.kill(self.pid, number)

    def signal_stop(self):
        self._may_be_dead = True
        self.signal(signal.SIGTERM)

    def wait_exit(self, timeout=20.0):
        try:
            return self.process.wait(self.case.patience(timeout))
        except subprocess.TimeoutExpired:
            self.kill_quietly()
            raise Failed("%s did not end in %.0f s" % (self, self.case.patience(timeout))) from None

    def wait_stopped(self, timeout=20.0):
        code = self.wait_exit(timeout)
        if code != 0:
            raise Failed("%s stopped with %s" % (self, describe_exit(code)))

    def stop(self, timeout=20.0):
        """SIGTERM, and it must end well."""
        self.signal_stop()
        self.wait_stopped(timeout)

    def kill(self):
        """kill -9. That it was still there is checked: a crash must not pass for this kill."""
        self.check_alive()
        self._may_be_dead = True
        self.process.kill()
        self.process.wait()

    def kill_quietly(self):
        if self.running:
            self._may_be_dead = True
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def arm(self, points):
        """Says what happens at failpoints from now on, "" for nothing: daemon/base/failpoint.h. The first time
        before the start, in a build that has them."""
        path = self.environment.setdefault("SYNCLOG_FAILPOINTS_FILE", os.path.join(self.dir, "points"))
        # Another file each time: one that was looked at between being emptied and written may keep its time, and is
        # not read again.
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(points)
        os.rename(path + ".new", path)

    def pause(self):
        """SIGSTOP, and waits until every thread has taken it."""
        self.signal(signal.SIGSTOP)
        self.case.eventually("%s stands still" % self, lambda: all(
            _thread_state(self.pid, thread) == "T"
            for thread in os.listdir("/proc/%d/task" % self.pid)), pause=0.001)

    def resume(self):
        self.signal(signal.SIGCONT)

    # --- talk ---

    def client(self, **options):
        options.setdefault("timeout", self.case.patience(30.0))
        return Client(self.address, **options)

    def status(self):
        with self.client() as client:
            return client.status()

    def digest(self, tokens=None, timeout_ms=None):
        with self.client() as client:
            return client.digest(tokens, timeout_ms)

    def progress(self):
        """{(origin, incarnation): TLogProgress}"""
        return {(each.progress.log.origin, each.progress.log.incarnation): each.progress
                for each in self.status().logs}

    def own_log(self):
        """The TLogStatus of the log that the node writes now."""
        own = [each for each in self.status().logs if each.own]
        if len(own) != 1:
            raise Failed("%s: %d own logs" % (self, len(own)))
        return own[0]

    def log_status(self, origin):
        """The TLogStatus of the newest log of a node, or None."""
        logs = [each for each in self.status().logs if each.progress.log.origin == origin]
        return max(logs, key=lambda each: each.progress.log.incarnation, default=None)

    def applied(self, origin):
        """How far the node has applied the newest log of a node that it knows; 0 before it knows one."""
        log = self.log_status(origin)
        return log.progress.applied if log is not None else 0

    def peer_status(self, peer):
        return next((each for each in self.status().peers if each.nodeId == peer), None)

    def applied_offset(self):
        """Progress in all logs minus entries applied: the same as long as the process lives, if
        every entry is applied exactly once."""
        status = self.status()
        return sum(each.progress.applied for each in status.logs) - status.entriesApplied

    # --- look ---

    def rss_mib(self, peak=False):
        key = "VmHWM:" if peak else "VmRSS:"
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def wal_dir(self, origin):
        """Folder of the newest log of a node in this node's WAL."""
        wal = os.path.join(self.data_dir, "group-0", "wal")
        folders = [name for name in os.listdir(wal) if re.fullmatch(r"%d-\d+" % origin, name)]
        if not folders:
            raise Failed("%s: no log of node %d in %s" % (self, origin, os.listdir(wal)))
        return os.path.join(wal, max(folders, key=lambda name: int(name.split("-")[1])))

    def segments(self, origin):
        folder = self.wal_dir(origin)
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
                if re.fullmatch(r"\d{20}\.wal", name)]

    def log_text(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def check_log(self):
        found = _ALARMS.search(self.log_text())
        if found:
            raise Failed("%s: its log says %r" % (self, found.group(0)))


def _thread_state(pid, thread):
    with open("/proc/%d/task/%s/stat" % (pid, thread), encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def describe_exit(code):
    if code >= 0:
        return "exit code %d" % code
    try:
        return signal.Signals(-code).name
    except ValueError:
        return "signal %d" % -code


# --- several --------------------------------------------------------------------------------------

class Cluster:
    """Nodes 1 … count, as cluster[1] … . With `proxied`, every channel between two nodes goes
    through cluster.links[from_node, to_node] (proxy.Link)."""

    def __init__(self, case, count, config, proxied):
        self.case = case
        self.nodes = [case.node(node_id=i + 1, config=config) for i in range(count)]
        self.links = {}
        proxy = case.proxy() if proxied else None
        for node in self.nodes:
            for peer in self.nodes:
                if peer is node:
                    continue
                address = peer.peer_address
                if proxied:
                    link = proxy.link(free_port(case), peer.peer_port)
                    self.links[node.id, peer.id] = link
                    address = link.address
                node.peers[peer.id] = address

    def __getitem__(self, node_id):
        return self.nodes[node_id - 1]

    def __iter__(self):
        return iter(self.nodes)

    def __len__(self):
        return len(self.nodes)

    def start(self):
        for node in self.nodes:
            if not node.running:
                node.launch()
        for node in self.nodes:
            node.wait_ready()

    def wait_connected(self, timeout=20.0):
        """Waits until each node that runs has a channel to each other one: a node is ready before."""
        running = [node for node in self.nodes if node.running]
        self.case.eventually("all are connected", lambda: all(
            node.peer_status(peer.id).state == "connected" for node in running for peer in running if peer is not node),
                             timeout)

    def stop(self):
        for node in self.nodes:
            node.signal_stop()
        for node in self.nodes:
            node.wait_stopped()

    def cut(self, *node_ids):
        """Cuts these nodes off from all others."""
        for (one, other), link in self.links.items():
            if (one in node_ids) != (other in node_ids):
                link.cut()

    def heal(self):
        for link in self.links.values():
            link.heal()

    def newest_points(self):
        """The last durable point of every log, over all nodes that run."""
        newest = {}
        for node in self.nodes:
            if node.running:
                for log, progress in node.progress().items():
                    newest[log] = max(newest.get(log, 0), progress.durable)
        return [Token(origin, incarnation, index)
                for (origin, incarnation), index in sorted(newest.items()) if index > 0]

    def converge(self, timeout=20.0):
        """Waits, after writers stopped, until all running nodes have applied the same points, and
        checks that their digests agree. Returns the common digest (synclog_client.Digest)."""
        deadline = time.monotonic() + self.case.patience(timeout)
        running = [node for node in self.nodes if node.running]
        while True:
            digests = {}
            try:
                points = self.newest_points()
                left_ms = max(1, int((deadline - time.monotonic()) * 1000))
                for node in running:
                    digests[node.name] = node.digest(points, timeout_ms=min(left_ms, 5000))
            except (UnknownLog, Unreachable):
                # A node that installs a snapshot takes no connections for a moment.
                for node in running:
                    node.check_alive()
            except SynclogError as error:
                if not error.retryable:
                    raise
            if len(digests) == len(running):
                progress = [{log: index for log, index in each.progress.items() if index > 0}
                            for each in digests.values()]
                if all(each == progress[0] for each in progress):
                    self._check_same(digests)
                    return next(iter(digests.values()))
            if time.monotonic() > deadline:
                raise Failed("the nodes did not get to the same point in %.0f s:\n%s" %
                             (self.case.patience(timeout), self.describe()))
            for node in self.nodes:
                node.check_alive()
            time.sleep(0.05)

    def _check_same(self, digests):
        values = {(each.digest, each.cells, each.devices) for each in digests.values()}
        if len(values) != 1:
            raise Failed("same progress but different data: %s\n%s" %
                         ({name: each[:3] for name, each in digests.items()}, self.describe()))

    def describe(self):
        lines = []
        for node in self.nodes:
            try:
                status = node.status()
            except (OSError, SynclogError) as error:
                lines.append("%s: %s" % (node, error))
                continue
            lines.append("%s: %s %s" % (node, status.state, status.message or ""))
            for each in status.logs:
                at = each.progress
                lines.append("  log %d-%d%s %s received %d durable %d applied %d first %d %s" %
                             (at.log.origin, at.log.incarnation, " (own)" if each.own else "",
                              each.state, at.received, at.durable, at.applied, at.firstAvailable,
                              each.message or ""))
            for each in status.peers:
                lines.append("  peer %d %s %s in flight %d sent %d retried %d" %
                             (each.nodeId, each.state, each.message or "", each.batchesInFlight,
                              each.batchesSent, each.batchesRetried))
        return "\n".join(lines)
