"""An hour without a node, in short: a write for each second of it, at limits that are as small as the hour is short."""

import json
import signal

from case import expect, expect_equal, test
from http_tools import ask, data_cluster
from load import Ledger, check_everywhere
from prometheus import Prometheus, alert_expressions
from synclog_client import Overloaded
from test_ctl import FAILED, Ctl
from test_http import metrics

PLAIN = "a story of steps that the other files have"

HOUR = 3600
BEGIN = 1700000000000
SMALL = {"wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB", "replication.max_pending_bytes": "64KiB",
         "replication.max_retry_wait": "500ms", "wal.throttle_threshold": "2MiB"}


class Hour:
    """The writer: one write for each second of the hour, to the nodes in turn. What is refused is tried again."""

    def __init__(self, case, cluster):
        self.case, self.cluster = case, cluster
        # With sanitizers fewer seconds are written, but enough to pass every limit.
        self.seconds = case.scaled(HOUR, least=1200)
        self.at, self.size, self.ledger = 0, 4000, Ledger()
        self.clients = {node.id: node.client() for node in cluster}

    def write(self, node):
        """Of the next second; raises Overloaded where it is refused."""
        value = "%d" % self.at + "x" * self.size
        self.clients[node.id].insert("hour", BEGIN + self.at * 1000, {"v": value})
        self.ledger.acknowledged.setdefault("hour", {})[BEGIN + self.at * 1000] = value
        self.ledger.writes += 1
        self.at += 1

    def until(self, what, condition, nodes):
        """Writes on until condition() is true, which must come before the hour is over."""
        while not condition():
            expect(self.at < self.seconds, "the hour is over: %s", what)
            for node in nodes:
                self.write(node)


class Alerts:
    """Which of the shipped rules' expressions hold, by a real Prometheus; all unknown where there is none."""

    def __init__(self, case, cluster):
        self.case, self.expressions = case, alert_expressions()
        self.prometheus = Prometheus(case, cluster) if Prometheus.is_there() else None
        if self.prometheus is None:
            case.note("prometheus is not installed: alerts are not looked at")
        else:
            self.prometheus.wait_scraped(len(cluster))

    def expect(self, alert, holds=True):
        if self.prometheus is not None:
            self.case.eventually("%s %s" % (alert, "holds" if holds else "is over"), lambda: bool(
                self.prometheus.ask(self.expressions[alert])) == holds, pause=0.1)


def refusal(hour, node):
    try:
        hour.write(node)
    except Overloaded as error:
        return error
    return None


def set_limit(nodes, limit):
    for node in nodes:
        node.config["wal.wal_retention_limit"] = limit
        node.write_config()
        node.signal(signal.SIGHUP)


def wal_bytes(node):
    return sum(each.walBytes for each in node.status().logs)


@test(timeout=180)
def an_hour_without_a_node(case):
    """P1, P3, P5, P7: what README, metrics and alerts say of each state comes true, in its order."""
    cluster = data_cluster(case, 3, SMALL)
    cluster.converge()
    one, two, three = cluster
    others = [one, two]
    alerts, hour = Alerts(case, cluster), Hour(case, cluster)
    status_check = Ctl(case, one)
    status_check("status", "--check")

    # Minute 0: node 3 goes. Its absence is told, and the others go on.
    own = three.own_log().progress.log
    three.kill()
    alerts.expect("SynclogdPeerAway")
    status_check("status", "--check", code=FAILED)
    for _ in range(20):
        hour.write(one)
    expect_equal(metrics(case, one)['synclogd_peer_lag_entries{peer="3"}'], 20, "lag")

    # First, writes are slowed, and still taken.
    hour.until("80 % of the threshold", lambda: wal_bytes(one) > 27 << 16, others)
    case.eventually("writes are slowed", lambda: "slowed" in (one.status().message or ""))
    expect_equal((one.status().state, ask(case, one, "GET", "/readyz")[0]), ("serving", 200), "while slowed")
    alerts.expect("SynclogdWritesAreSlowed")
    case.note("slowed from second %d on, refused from …" % hour.at)

    # Then they are refused, with a hint; reads go on, and every place says why.
    error = case.eventually("writes are refused", lambda: refusal(hour, one), timeout=60, pause=0)
    expect(error.retryable and error.retry_after_ms and "throttle_threshold" in error.message, "the refusal: %s", error)
    case.note("… second %d on" % hour.at)
    expect_equal(one.status().state, "read-only", "state")
    code, _, text = ask(case, one, "GET", "/readyz")
    expect(code == 503 and b"throttle_threshold" in text, "/readyz: %d %s", code, text)
    code, headers, text = ask(case, one, "POST", "/write", b"refused v=1")
    expect(code == 429 and int(headers["Retry-After"]) >= 1 and b"throttle_threshold" in text, "HTTP: %d %s", code, text)
    shown = metrics(case, one)
    expect_equal((shown["synclogd_throttled"], shown["synclogd_ready"], shown["synclogd_slowed_ratio"]), (1, 0, 1), "metrics")
    expect(shown["synclogd_writes_refused_total"] >= 1, "no refused writes are counted")
    alerts.expect("SynclogdTakesNoWrites")
    with one.client() as client:
        case.eventually("reads go on while writes are refused", lambda: len(list(client.query("hour"))) == hour.at)
    expect_equal(one.own_log().progress.firstAvailable, 1, "the first entry that is kept, without a limit")

    # The operator sets wal_retention_limit: node 3 is given up, marked, and writes are taken.
    set_limit(others, "1MiB")
    case.eventually("writes are taken again", lambda: refusal(hour, one) is None, timeout=40, pause=0.1)
    alerts.expect("SynclogdPeerNeedsReseed")
    shown = json.loads(ask(case, one, "GET", "/status.json")[2])
    expect([each["needsReseed"] for each in shown["peers"] if each["nodeId"] == 3] == [True], "the mark in status.json")
    expect("needs reseed" in status_check("status").stdout, "the mark in synclogctl status")
    expect("further behind than wal_retention_limit" in one.log_text(), "no message in the node's log")
    alerts.expect("SynclogdTakesNoWrites", holds=False)
    case.eventually("they are not slowed", lambda: metrics(case, one)["synclogd_slowed_ratio"] == 0)

    # The rest of the hour, with less data a second: the logs stay small.
    hour.size = 1000
    while hour.at < hour.seconds:
        for node in others:
            case.eventually("the write of second %d is taken" % hour.at, lambda node=node: refusal(hour, node) is None, pause=0.1)
    case.eventually("the logs are within their limit", lambda: all(wal_bytes(node) < 3 << 19 for node in others))

    # It comes back, and is seeded without anybody's help.
    three.start()
    case.eventually("node 3 got a snapshot", lambda: "the store is that of node" in three.log_text(), timeout=60)
    three.wait_ready()
    digest = check_everywhere(cluster, hour.ledger, timeout=40)
    case.note("%d writes, %d values on each node" % (hour.at, digest.cells))
    expect_equal(three.own_log().progress.log, own, "the log that node 3 writes")
    for alert in ("SynclogdPeerAway", "SynclogdPeerNeedsReseed", "SynclogdTakesNoWrites", "SynclogdWritesAreSlowed",
                  "SynclogdDataDiffers", "SynclogdLogInTrouble"):
        alerts.expect(alert, holds=False)
    alerts.expect("SynclogdPeerStalled", holds=False)
    status_check("status", "--check")
    with three.client() as client:
        client.insert("after", 1, {"v": 1}, ack="all")
