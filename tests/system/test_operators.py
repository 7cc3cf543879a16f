"""What operators see and do: no peer stops silently, a peer is paused and goes on."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.request

from case import expect, expect_equal, test
from cluster import free_port
from peer import PeerServer, TStatus, TSyncLogReply
from prometheus import Prometheus

PLAIN = "pages and tools around daemons that do what the other files have"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run_ctl(case, *arguments):
    """Exit code, stdout and stderr."""
    done = subprocess.run([case.program("synclogctl")] + list(arguments), capture_output=True,
                          text=True, timeout=case.patience(30), check=False)
    return done.returncode, done.stdout, done.stderr


def with_http(case, count, config=None):
    cluster = case.cluster(count, start=False, config=config)
    for node in cluster:
        node.http = free_port(case)
        node.config["http.listen"] = "127.0.0.1:%d" % node.http
    cluster.start()
    return cluster


def page(case, node, path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (node.http, path),
                                timeout=case.patience(10)) as reply:
        return reply.read().decode()


def peer_metric(case, node, name, peer):
    wanted = 'synclogd_%s{peer="%d"} ' % (name, peer)
    for line in page(case, node, "/metrics").splitlines():
        if line.startswith(wanted):
            return float(line[len(wanted):])
    return None


@test(timeout=90)
def a_peer_that_confirms_nothing_is_stalled(case):
    """It answers every heartbeat and every batch, but never has anything durable: that is no health."""
    port = free_port(case)
    server = PeerServer(port, node_id=2)
    case.at_end(server.close)
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port})
    node.http = free_port(case)
    node.config["http.listen"] = "127.0.0.1:%d" % node.http
    node.start()
    case.eventually("the channel is open", lambda: node.peer_status(2).state == "connected")
    take = server.sync_log
    # As a node whose disk does not get on: all is received, nothing is ever synced.
    server.sync_log = lambda request, answer: answer(
        TSyncLogReply(TStatus(0, None, False), request.endSyncIndex, 0, 0))
    with node.client() as client:
        for i in range(10):
            client.insert("d", i, {"v": i})
    expect_equal(run_ctl(case, "--server", node.address, "status", "--check")[0], 0,
                 "a peer is not stalled at once")
    case.eventually("the peer is stalled", lambda: node.peer_status(2).state == "stalled",
                    timeout=30)
    peer = node.peer_status(2)
    expect("has confirmed nothing" in peer.message and "10 entries" in peer.message, "%s",
           peer.message)
    expect(peer.silentMs < 5000, "it answers: silent for %d ms", peer.silentMs)
    expect_equal((peer.lagEntries, peer.lagMs >= 10000, peer.stuckMs >= 10000, peer.lagBytes > 0),
                 (10, True, True, True), "lag")
    code, _, said = run_ctl(case, "--server", node.address, "status", "--check")
    expect(code == 1 and "stalled" in said, "status --check: %d %s", code, said)
    expect_equal(peer_metric(case, node, "peer_stalled", 2), 1, "metric")
    case.eventually("the log says so", lambda: "peer 2 is stalled" in node.log_text())
    # The peer gets on: the batches that it took without keeping them come again on a new channel.
    server.sync_log = take
    server.received.clear()
    server.drop_connections()
    case.eventually("it is well again", lambda: node.peer_status(2).state == "connected" and
                    node.peer_status(2).stuckMs == 0)
    expect_equal(peer_metric(case, node, "peer_stalled", 2), 0, "metric")


@test(timeout=90)
def a_peer_that_was_away_is_not_stalled_at_once(case):
    """It confirmed nothing while it was away. That it comes back with much to fetch is no fault."""
    port = free_port(case)
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port})
    node.config["replication.max_retry_wait"] = "500ms"
    node.start()
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
    case.eventually("it is away for long", lambda: node.peer_status(2).stuckMs >= 12000, timeout=40)
    server = PeerServer(port, node_id=2)
    case.at_end(server.close)
    server.sync_log = lambda request, answer: answer(
        TSyncLogReply(TStatus(0, None, False), request.endSyncIndex, 0, 0))
    case.eventually("the channel is open",
                    lambda: node.peer_status(2).state in ("connected", "stalled"))
    opened = time.monotonic()
    while time.monotonic() < opened + 3:
        expect_equal(node.peer_status(2).state, "connected", "state of the peer that came back")
        time.sleep(0.1)
    expect("is stalled" not in node.log_text(), "the node complains of the peer: %s", node.log_text())
    case.eventually("it is stalled in the end", lambda: node.peer_status(2).state == "stalled",
                    timeout=30)


@test(timeout=60)
def a_peer_that_hangs_is_not_told_to_answer(case):
    """A process that stands still confirms nothing and answers nothing: its channel is given up, it is not "stalled"."""
    cluster = case.cluster(2)
    cluster.converge()
    cluster[2].pause()
    with cluster[1].client() as client:
        client.insert("d", 1, {"v": 1})
    # Until both times have passed: that of a peer that confirms nothing, and that of a request.
    while cluster[1].peer_status(2).stuckMs < 12000:
        expect(cluster[1].peer_status(2).state != "stalled", "it is told to answer")
        time.sleep(0.1)
    cluster[2].resume()
    cluster.converge()


@test
def a_peer_is_paused_and_goes_on(case):
    cluster = with_http(case, 3)
    cluster.wait_connected()
    one = cluster[1]
    server = ["--server", one.address]
    expect_equal(run_ctl(case, *server, "peer", "pause", "3")[:2],
                 (0, "node 1 sends no logs to node 3\n"), "pause")
    with one.client() as client:
        for i in range(20):
            client.insert("d", i, {"v": i}, ack="majority")
        status = client.insert("d", 99, {"v": 1}, ack="all", timeout_ms=300)
        expect(status.pending, "ack = all came true at a peer that is paused")
    expect_equal(one.peer_status(3).state, "paused", "state")
    case.eventually("the lag is told", lambda: one.peer_status(3).lagEntries == 21)
    expect_equal(peer_metric(case, one, "peer_paused", 3), 1, "metric")
    expect_equal(peer_metric(case, one, "peer_connected", 3), 1, "the channel")
    shown = json.loads(page(case, one, "/status.json"))
    expect_equal([each["state"] for each in shown["peers"] if each["nodeId"] == 3], ["paused"],
                 "state in status.json")
    expect_equal(run_ctl(case, *server, "status", "--check")[0], 1, "status --check")
    # The way back is open.
    with cluster[3].client() as client:
        client.insert("e", 1, {"v": 1}, ack="majority")
    expect_equal(run_ctl(case, *server, "peer", "resume", "3")[0], 0, "resume")
    cluster.converge()
    expect_equal(one.peer_status(3).state, "connected", "state afterwards")
    code, _, said = run_ctl(case, *server, "peer", "pause", "9")
    expect(code == 1 and "no other member" in said, "an unknown peer: %d %s", code, said)
    expect_equal(run_ctl(case, *server, "peer", "stop", "3")[0], 2, "an unknown word")
    expect_equal(run_ctl(case, *server, "peer", "pause", "x")[0], 2, "no id")
    # A restart forgets the pause, as the help says.
    run_ctl(case, *server, "peer", "pause", "3")
    one.stop()
    one.start()
    case.eventually("it is not paused", lambda: one.peer_status(3).state == "connected")


@test
def steps_are_measured(case):
    cluster = with_http(case, 3)
    with cluster[1].client() as client:
        for i in range(30):
            client.insert("d", i, {"v": i}, ack="all")
        client.insert("e", 100, {"v": "x" * 100000})  # decoded by a worker
    cluster.converge()
    steps = {step["name"]: step for step in json.loads(page(case, cluster[1], "/status.json"))["steps"]}
    counts = {name: sum(step["octaves"]) for name, step in steps.items()}
    expect_equal((counts["write"], counts["reply"]), (31, 30), "writes and their answers")
    for name in ("decode", "queue", "append", "sync", "apply", "batch_send", "batch_reply"):
        expect(1 <= counts[name] <= 100, "%s: %d", name, counts[name])
    # Each write was answered behind its sync.
    expect(steps["write"]["sumUs"] > steps["sync"]["sumUs"] / 2, "%s", steps)
    steps = {step["name"]: sum(step["octaves"])
             for step in json.loads(page(case, cluster[2], "/status.json"))["steps"]}
    for name in ("receive", "receive_decode", "mirror", "apply"):
        expect(steps[name] >= 1, "%s at a peer: %s", name, steps)


@test
def errors_are_counted(case):
    node = with_http(case, 1)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
        for _ in range(3):
            try:
                client.insert("d", 2, {"v": "text"})
            except Exception:  # pylint: disable=broad-except
                pass
    errors = json.loads(page(case, node, "/status.json"))["errors"]
    expect_equal(errors["TYPE_MISMATCH"], 3, "type mismatches")
    expect_equal(sum(errors.values()), 3, "errors")


def see(case, node, folder):
    """The page as a browser without a screen shows it."""
    profile = os.path.join(folder, "profile")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
               "--no-first-run", "--disable-background-networking", "--disable-component-update",
               "--disable-sync", "--user-data-dir=" + profile, "--virtual-time-budget=6000",
               "--dump-dom", "http://127.0.0.1:%d/" % node.http]
    done = subprocess.run(command, capture_output=True, text=True, timeout=case.patience(60),
                          check=False)
    return re.sub(r"<script>.*</script>|<style>.*</style>", "", done.stdout, flags=re.DOTALL)


@test
def the_page_is_whole(case):
    """It needs nothing from elsewhere, and its answer forbids it."""
    node = with_http(case, 1)[1]
    with urllib.request.urlopen("http://127.0.0.1:%d/" % node.http) as reply:
        text, headers = reply.read().decode(), reply.headers
    expect_equal(headers["Content-Type"], "text/html; charset=utf-8", "type")
    expect("default-src 'none'" in headers["Content-Security-Policy"], "policy")
    expect_equal(re.findall(r"(?:src|href)=\"(?!data:)[^\"]*", text), [], "what it refers to")
    expect_equal(re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), [], "addresses in it")


@test(timeout=120)
def the_page_tells_what_needs_a_person(case):
    if shutil.which("chromium") is None:
        case.note("chromium is not installed")
        return
    cluster = with_http(case, 3)
    with cluster[1].client() as client:
        for i in range(50):
            client.insert("d", i, {"v": i}, ack="all")
    cluster.converge()
    with tempfile.TemporaryDirectory() as folder:
        shown = see(case, cluster[1], folder)
        expect("Node 1 of test" in shown and "Nothing." in shown, "a healthy cluster: %s", shown)
        expect(len(re.findall(">connected<", shown)) == 2, "peers: %s", shown)
        expect(re.search(r"<polyline points=\"[0-9]", shown), "no plot: %s", shown)
        cluster[3].stop()
        run_ctl(case, "--server", cluster[1].address, "peer", "pause", "2")
        with cluster[1].client() as client:
            client.insert("d", 1000, {"v": 1})
        case.eventually("the channel is closed",
                        lambda: cluster[1].peer_status(3).state in ("backoff", "connecting"))
        shown = see(case, cluster[1], folder)
        expect("Node 3 is not reached" in shown, "a node that is down: %s", shown)
        expect("Node 2 is paused" in shown, "a peer that is paused: %s", shown)


@test(timeout=120)
def the_dashboard_asks_what_there_is(case):
    """Each query of it gives something from a real Prometheus that scrapes three nodes."""
    if not Prometheus.is_there():
        case.note("prometheus is not installed")
        return
    cluster = with_http(case, 3, {"group.1.devices": "g*"})
    with open(os.path.join(ROOT, "conf", "synclogd-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expect(len(queries) > 15, "queries: %d", len(queries))
    prometheus = Prometheus(case, cluster)
    with cluster[1].client() as client:
        def result_of(query):
            # Rates want counters that grow.
            client.insert("d", time.time_ns() // 1000000, {"v": 1}, ack="majority")
            return prometheus.ask(query.replace("$__rate_interval", "1m").replace("$instance", ".*")
                                  .replace("$group", result_of.group))

        result_of.group = ".*"
        case.eventually("all nodes are scraped",
                        lambda: len(result_of("sum_over_time(up[1m]) > 3")) == 3, timeout=30)
        for query in queries:
            case.eventually("it gives something: " + query, lambda query=query: result_of(query), timeout=20)
        # One group: what is a group's is told of it alone, and says so in its legend.
        result_of.group = "1"
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                if "$group" not in target["expr"] or "sum by (step)" in target["expr"]:
                    continue
                expect("{{group}}" in target["legendFormat"], "legend %s", target["legendFormat"])
                groups = {each["metric"].get("group") for each in result_of(target["expr"])}
                expect(groups <= {"1"}, "%s gives groups %s", target["expr"], groups)


@test
def a_support_bundle_tells_all_but_data(case):
    cluster = with_http(case, 3)
    cluster[3].config["client.page_rows"] = 77
    cluster[3].stop()
    cluster[3].start()
    with cluster[1].client() as client:
        client.insert("secret.device", 1, {"v": "secret value"}, ack="all")
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/bundle.tar"
        servers = "%s,127.0.0.1:%d,%s" % (cluster[1].address, free_port(case), cluster[3].address)
        arguments = ["--server", servers, "support-bundle", path, "--data-dir",
                     cluster[1].data_dir]
        expect_equal(run_ctl(case, *arguments)[:2], (0, path + "\n"), "support-bundle")
        with tarfile.open(path) as bundle:
            files = {os.path.basename(member.name): bundle.extractfile(member).read().decode()
                     for member in bundle}
        expect_equal(sorted(files), ["config-compared.txt", "config.txt", "groups.txt", "journal.txt", "members.txt", "metrics-1.txt",
                                     "metrics-2.txt", "metrics-3.txt", "status.json", "status.txt", "wal.txt"], "files")
        for i, node in ((1, cluster[1]), (3, cluster[3])):
            head, _, text = files["metrics-%d.txt" % i].partition("\n")
            expect_equal(head, "# %s at 127.0.0.1:%d" % (node.address, node.http), "head of the metrics")
            expect(text.startswith("# HELP synclogd_build_info ") and 'node="%d"' % node.id in text, "%s", text[:300])
        expect("connect" in files["metrics-2.txt"], "%s", files["metrics-2.txt"])
        compared = files["config-compared.txt"]
        expect(re.search(r"^client +page_rows +10000 \(default\) +- +77$", compared, re.MULTILINE), "%s", compared)
        expect(re.search(r"^node +id +1 +- +3$", compared, re.MULTILINE) and "max_retry_wait" not in compared, "%s", compared)
        expect('"serving"' in files["status.json"] and "unreachable" in files["status.txt"],
               "%s", files)
        expect("throttle_threshold" in files["config.txt"], "%s", files["config.txt"])
        expect("secret" not in "".join(files.values()), "data is in it")
        expect_equal(oct(os.stat(path).st_mode & 0o077), "0o0", "others may read it")
        expect_equal(run_ctl(case, *arguments)[0], 1, "a file is written over")
