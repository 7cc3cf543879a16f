"""Metrics and health over HTTP: what is shown, and who can't be hurt by it."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

from case import expect, expect_equal, test
from cluster import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cluster_with_http(case, count=3, config=None):
    """A cluster whose node N has .http, the port it shows itself on."""
    cluster = case.cluster(count, config=config, start=False)
    for node in cluster:
        node.http = free_port(case)
        node.config["http.listen"] = "127.0.0.1:%d" % node.http
    cluster.start()
    return cluster


def get(case, node, path, method="GET"):
    """Status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=case.patience(10))
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read().decode()
    finally:
        connection.close()


def metrics(case, node):
    """Name with labels → value."""
    status, _, text = get(case, node, "/metrics")
    expect_equal(status, 200, "status of /metrics")
    return {name: float(value) for name, value in re.findall(
        r"^(synclogd_\w+(?:\{.*?\})?) (\S+)$", text, re.MULTILINE)}


@test
def metrics_follow_the_writes(case):
    cluster = cluster_with_http(case)
    with cluster[1].client() as client:
        for i in range(20):
            client.insert("d", i, {"v": i}, ack="all")
    cluster.converge()
    shown = metrics(case, cluster[1])
    expect_equal(shown["synclogd_writes_total"], 20, "writes")
    expect_equal(shown["synclogd_ready"], 1, "readiness")
    own = 'origin="1",incarnation="%d"' % cluster[1].own_log().progress.log.incarnation
    expect_equal(shown["synclogd_log_durable_index{%s}" % own], 20, "durable index")
    for peer in (2, 3):
        expect_equal(shown['synclogd_peer_connected{peer="%d"}' % peer], 1, "channel")
        case.eventually("no lag is left", lambda peer=peer: metrics(case, cluster[1])[
            'synclogd_peer_lag_entries{peer="%d"}' % peer] == 0)
    expect_equal(metrics(case, cluster[2])["synclogd_log_applied_index{%s}" % own], 20,
                 "applied index at a peer")
    cluster[3].stop()
    with cluster[1].client() as client:
        client.insert("d", 99, {"v": 1})
    case.eventually("the lag and the closed channel show", lambda: (
        metrics(case, cluster[1])['synclogd_peer_lag_entries{peer="3"}'] == 1
        and metrics(case, cluster[1])['synclogd_peer_connected{peer="3"}'] == 0))


@test
def metrics_are_well_formed(case):
    node = cluster_with_http(case)[1]
    status, headers, text = get(case, node, "/metrics")
    expect_equal((status, headers["Content-Type"]),
                 (200, "text/plain; version=0.0.4; charset=utf-8"), "answer")
    named = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            expect(line.split(" ", 3)[2] not in named, "twice: %s", line)
            named.add(line.split(" ", 3)[2])
        elif not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            expect(name in named or re.sub("_(bucket|sum|count)$", "", name) in named,
                   "without HELP: %s", line)
    if shutil.which("promtool") is None:
        case.note("promtool is not installed")
        return
    said = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect_equal((said.returncode, said.stdout), (0, ""), "promtool")


@test
def alert_rules_name_what_is_there(case):
    """Each metric of the shipped rules is one that a node shows."""
    cluster = cluster_with_http(case, 2)
    cluster.converge()
    rules = os.path.join(ROOT, "conf", "synclogd-alerts.yml")
    with open(rules, encoding="utf-8") as file:
        named = set(re.findall(r"(?:synclogd|process)_[a-z_]+", "".join(
            line for line in file if line.strip().startswith("expr:"))))
    expect(len(named) > 5, "no metrics in the rules")
    # The comparison of data and the clock's offset are shown once they are known.
    shown = re.findall(r"^# HELP (\S+)", get(case, cluster[1], "/metrics")[2], re.MULTILINE)
    expect_equal(named - set(shown), set(), "metrics that no node has")
    if shutil.which("promtool") is None:
        case.note("promtool is not installed")
        return
    for command in (["check", "rules", rules],
                    ["test", "rules", rules.replace("alerts.yml", "alerts-test.yml")]):
        said = subprocess.run(["promtool"] + command, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        expect(said.returncode == 0, "promtool %s: %s", command, said.stdout)


@test
def health_and_status(case):
    cluster = cluster_with_http(case, config={"wal.throttle_threshold": "1MiB",
                                              "wal.wal_segment_size": "64KiB"})
    node = cluster[1]
    expect_equal(get(case, node, "/healthz")[::2], (200, "alive\n"), "health")
    expect_equal(get(case, node, "/readyz")[::2], (200, "serving\n"), "readiness")
    status = json.loads(get(case, node, "/status.json")[2])
    told = node.status()
    expect_equal((status["nodeId"], status["clusterId"], status["state"], status["incarnation"]),
                 (1, "test", "serving", told.incarnation), "status")
    expect_equal(sorted(peer["nodeId"] for peer in status["peers"]), [2, 3], "peers")
    # A peer that is away keeps the log: at the threshold the node takes no more writes and says so.
    cluster[3].stop()
    with node.client() as client:
        def is_refused():
            try:
                client.insert("d", time.time_ns(), {"v": "x" * 50000})
            except Exception:  # pylint: disable=broad-except
                return True
            return False
        case.eventually("writes are refused", is_refused)
    code, _, text = get(case, node, "/readyz")
    expect(code == 503 and "thrott" in text, "not ready: %d, %s", code, text)
    expect_equal(get(case, node, "/healthz")[0], 200, "health of a node that is throttled")


@test
def it_listens_before_the_node_counts_as_ready(case):
    """Who finds the clients' port open finds HTTP too."""
    if shutil.which("strace") is None or case.flavour.sanitized:
        case.skip("needs strace, which the leak sanitizer can't have beside it")
    cluster = cluster_with_http(case, 1)
    node, trace = cluster[1], os.path.join(case.dir, "trace")
    node.stop()
    node.wrapper = ["strace", "-D", "-f", "-qq", "-e", "trace=bind", "-o", trace]
    node.start()
    node.stop()
    with open(trace, encoding="utf-8") as file:
        ports = [int(each) for each in re.findall(r"sin_port=htons\((\d+)\)", file.read())]
    expect(ports.index(node.http) < ports.index(node.client_port), "%s: HTTP is on %d, clients on %d", ports, node.http,
           node.client_port)


@test
def what_is_not_there(case):
    node = cluster_with_http(case, 1)[1]
    for path in ("/index.html", "/nothing", "/metrics/", "/../etc/passwd", "/%2e%2e/metrics", "//metrics"):
        expect_equal(get(case, node, path)[0], 404, path)
    expect_equal(get(case, node, "/metrics?x=1")[0], 200, "a query is no matter")
    status, _, text = get(case, node, "/healthz", "HEAD")
    expect_equal((status, text), (200, ""), "HEAD")
    for method in ("POST", "PUT", "DELETE"):
        expect(get(case, node, "/metrics", method)[0] in (405, 501), "%s is taken", method)
    for huge in (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100000,
                 b"POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n" +
                 b"x" * 100000):
        with socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(10)) as raw:
            raw.sendall(huge)
            expect(b" 200 " not in raw.recv(4096), "taken: %r", huge[:30])
    expect_equal(get(case, node, "/healthz")[0], 200, "health afterwards")


@test
def slow_and_many_readers(case):
    """Thousands of them hold up no write and no other reader, and none stays for long."""
    node = cluster_with_http(case, 1)[1]
    before = node.open_files()
    slow = []
    for i in range(3000):
        raw = socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(20))
        # Half a head; a whole request whose answer nobody reads; nothing at all.
        raw.sendall((b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", b"")[i % 3])
        slow.append(raw)
        if len(slow) > 700:  # no more files than the test itself may have
            slow.pop(0).close()
        expect(i % 100 > 0 or node.open_files() <= before + 260, "files: %d", node.open_files())
    with node.client() as client:
        for i in range(50):
            client.insert("d", i, {"v": i})
    expect_equal(metrics(case, node)["synclogd_writes_total"], 50, "writes")
    for raw in slow:
        raw.close()
    case.eventually("all are gone", lambda: node.open_files() <= before + 2)


@test(timeout=60)
def readers_leave_files_to_the_node(case):
    """More readers than the process may have files: logs, clients and the page go on."""
    node = cluster_with_http(case, 1, config={"wal.wal_segment_size": "64KiB"})[1]
    node.stop()
    node.nofile = 128
    node.start()
    many = []
    for _ in range(200):
        raw = socket.socket()
        raw.setblocking(False)
        raw.connect_ex(("127.0.0.1", node.http))
        many.append(raw)
    with node.client() as client:
        for i in range(20):
            client.insert("d", i, {"v": "x" * 20000})  # several new segments
    expect_equal(metrics(case, node)["synclogd_writes_total"], 20, "writes")
    expect(node.open_files() < 127, "files are left: %d", node.open_files())
    for raw in many:
        raw.close()
    expect("event_add" not in node.log_text(), "libevent complains:\n%s", node.log_text())
