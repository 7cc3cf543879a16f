"""What the scripts of this folder share: running synclog-bench, and redis-server with two replicas."""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import plot

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REDIS = shutil.which("redis-server")
RUN_TIMEOUT_S = 300


class Trouble(Exception):
    """For the person at the terminal."""


def die_with_parent():
    """In a child: PR_SET_PDEATHSIG, so that no server outlives an interrupted run."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """synclog-bench of one build; temporary folders go to `folder`."""

    def __init__(self, build, folder):
        self.build, self.program, self.folder = build, os.path.join(build, "synclog-bench"), folder
        if not os.access(self.program, os.X_OK):
            raise Trouble("%s is not there; run make" % self.program)

    def run(self, *arguments):
        command = [self.program, "--json", "--dir", str(self.folder)] + [str(each) for each in arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S,
                              check=False, preexec_fn=die_with_parent)
        if done.returncode != 0:
            raise Trouble("%s\n%s" % (" ".join(command), done.stderr.strip()))
        return json.loads(done.stdout)

    def synclog(self, *arguments):
        return self.run("--start", self.build, *arguments)

    def floor(self, *arguments):
        return self.run("floor", *arguments)

    def redis(self, mode, *arguments):
        """mode: always, everysec or wait (everysec, with WAIT 1 behind each SET)."""
        with Redis("always" if mode == "always" else "everysec", self.folder) as servers:
            more = ["--wait", 1] if mode == "wait" else []
            for process in servers.processes:
                more += ["--pid", process.pid]
            result = self.run("redis", "--connect", servers.address, *more, *arguments)
        result["mode"] = mode
        return result


class Redis:
    """A redis-server with two replicas, all three with an append-only file."""

    def __init__(self, fsync, folder):
        self.fsync, self.processes = fsync, []
        self.ports = [free_port() for _ in range(3)]
        self.address = "127.0.0.1:%d" % self.ports[0]
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="redis-", dir=folder)

    def __enter__(self):
        try:
            for number, port in enumerate(self.ports):
                self.launch(number, port)
                self.wait_for(port, "loading:0")
            self.wait_for(self.ports[0], "connected_slaves:2", "slave0:", "slave1:",
                          count=("state=online", 2))
            return self
        except BaseException:
            self.__exit__()
            raise

    def launch(self, number, port):
        folder = os.path.join(self.dir, str(number))
        os.mkdir(folder)
        command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
                   "--appendonly", "yes", "--appendfsync", self.fsync, "--auto-aof-rewrite-percentage", "0",
                   "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
                   # A replica that falls behind must not be thrown out: then nothing would be compared.
                   "--client-output-buffer-limit", "replica 0 0 0", "--maxclients", "5000"]
        if number > 0:
            command += ["--replicaof", "127.0.0.1", str(self.ports[0])]
        with open(os.path.join(folder, "log"), "wb") as log:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log, preexec_fn=die_with_parent))

    def info(self, port):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"INFO\r\n")
                file = connection.makefile("rb")
                head = file.readline()
                return file.read(int(head[1:])).decode() if head[:1] == b"$" else ""
        except OSError:
            return ""

    def wait_for(self, port, *wanted, count=("", 0), seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            info = self.info(port)
            if all(each in info for each in wanted) and info.count(count[0]) >= count[1]:
                return
            if time.monotonic() > deadline or any(each.poll() is not None for each in self.processes):
                raise Trouble("redis-server does not come up; see %s" % self.dir)
            time.sleep(0.01)

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def ratio(numerators, denominators):
    """Median of the ratios round by round: what disturbs one round disturbs both sides of it."""
    pairs = [a / b for a, b in zip(numerators, denominators) if a is not None and b]
    return statistics.median(pairs) if pairs else None


# --- reports ----------------------------------------------------------------------------------------

COLUMNS = [("requests/s", "requests_per_s", "%.0f"), ("with drain", "sustained_requests_per_s", "%.0f"),
           ("points/s", "points_per_s", "%.0f"), ("p50 ms", "p50_ms", "%.2f"), ("p99 ms", "p99_ms", "%.2f"),
           ("p99.9 ms", "p999_ms", "%.2f"), ("CPU s / million rows", "server_cpu_s_per_mrow", "%.2f"),
           ("written / byte", "written_per_byte", "%.1f"), ("peak MiB", "peak_rss_mib", "%.0f")]


def name_of(result):
    """What a line of the plot is called."""
    if result["target"] == "synclog":
        return "synclogd" + (", ack=" + result["ack"] if result["ack"] != "local" else "")
    if result["target"] == "redis":
        return {"always": "redis, appendfsync always", "everysec": "redis, appendfsync everysec",
                "wait": "redis, everysec, WAIT 1"}[result["mode"]]
    return "floor"


def report_of(results):
    """(table in Markdown, plot in SVG) of runs that differ in workload, contestant and connections."""
    groups = {}
    for result in results:
        key = (result["workload"], name_of(result), result["connections"])
        groups.setdefault(key, []).append(result)

    def median(key, figure):
        values = [each[figure] for each in groups[key] if each.get(figure) is not None]
        return statistics.median(values) if values else None

    lines = ["| workload | connections | | %s |" % " | ".join(title for title, _, _ in COLUMNS),
             "|---|---|---|" + "---|" * len(COLUMNS)]
    names = list(dict.fromkeys(name for _, name, _ in groups))
    workloads = list(dict.fromkeys(workload for workload, _, _ in groups))
    for workload, name, connections in sorted(
            groups, key=lambda key: (workloads.index(key[0]), key[2], names.index(key[1]))):
        cells = []
        for _, figure, form in COLUMNS:
            value = median((workload, name, connections), figure)
            cells.append("–" if value is None else form % value)
        lines.append("| %s | %d | %s | %s |" % (workload, connections, name, " | ".join(cells)))
    rows = []
    for workload in workloads:
        panels = []
        for title, figure in (("requests/s, drain counted in", "sustained_requests_per_s"),
                              ("latency p50, ms", "p50_ms"), ("latency p99, ms", "p99_ms")):
            found = {name: [(key[2], median(key, figure)) for key in groups if key[:2] == (workload, name)]
                     for name in names if any(key[:2] == (workload, name) for key in groups)}
            panels.append(plot.Panel("%s: %s" % (workload, title), found))
        rows.append(panels)
    return "\n".join(lines) + "\n", plot.plot(rows, names)
