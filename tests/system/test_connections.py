"""Many connections, idle ones, slow ones, and requests in a row on one of them."""

import os
import socket
import subprocess
import time

from case import expect, expect_equal, test
from load import check_ledger, start_writers, stop_writers
from peer import frame
from synclog_client import Status, split_address
from test_ctl import Ctl
from thrift.Thrift import TMessageType
from wire import Raw, header, row, rows_field, value_of, i64, write_of


def threads(node):
    return len(os.listdir("/proc/%d/task" % node.pid))


@test
def two_hundred_idle_connections(case):
    node = case.cluster(1)[1]
    before_threads, before_rss = threads(node), node.rss_mib()
    idle = [Raw(node.address, case.patience(10)) for _ in range(200)]
    begin = time.monotonic()
    writers = start_writers([node], "busy", per_node=4)
    with node.client() as client:
        case.eventually("all connections are counted",
                        lambda: client.status().connections >= 200)
        for i in range(50):
            client.insert("d", i, {"v": i})
    took = time.monotonic() - begin
    check_ledger(node, stop_writers(writers))
    expect_equal(threads(node), before_threads, "threads")
    grown = node.rss_mib() - before_rss
    case.note("50 writes beside 200 idle connections took %.0f ms; %.1f MiB more" %
              (took * 1000, grown))
    # Each of them still works.
    for raw in idle:
        raw.send(frame(header("info") + b"\x00"))
    for raw in idle:
        expect_equal(raw.reply()[2].success.status.code, Status.OK, "status on an idle connection")
        raw.connection.close()
    with node.client() as client:
        case.eventually("they are gone", lambda: client.status().connections <= 5)


def is_closed(raw, timeout):
    raw.connection.settimeout(timeout)
    try:
        return raw.connection.recv(1) == b""
    except ConnectionError:
        return True
    except socket.timeout:
        return False


@test
def more_connections_than_allowed(case):
    node = case.cluster(1, {"client.max_connections": 20})[1]
    counting = node.client()
    case.eventually("nobody else is connected", lambda: counting.status().connections == 1)
    taken = [Raw(node.address, case.patience(10)) for _ in range(19)]
    for raw in taken:
        raw.send(frame(header("info") + b"\x00"))
        expect(raw.reply() is not None, "a connection within the limit is closed")
    with Raw(node.address) as further:
        further.send(frame(header("info") + b"\x00"))
        expect(is_closed(further, case.patience(10)), "the 21st connection is served")
    for raw in taken:
        raw.send(frame(header("info") + b"\x00"))
        expect(raw.reply() is not None, "a connection within the limit was closed for another")
    for raw in taken[:5]:
        raw.connection.close()

    def served():
        with Raw(node.address) as raw:
            raw.send(frame(header("info") + b"\x00"))
            return raw.reply() is not None
    case.eventually("there is room again", served)
    for raw in taken[5:]:
        raw.connection.close()
    counting.close()


@test(timeout=60)
def operators_get_in(case):
    """Scenario 27: idle clients that take all connections lock out clients, not synclogctl."""
    node = case.cluster(1, {"client.max_connections": 100})[1]
    ctl = Ctl(case, node)
    idle = []
    for _ in range(300):
        try:
            idle.append(Raw(node.address, case.patience(10)))
        except OSError:
            pass
    case.eventually("they are turned away", lambda: "refused a connection" in node.log_text())
    # Those that came last are given a tenth of a second to say something.
    command = [case.program("synclogctl"), "-s", node.address, "status"]
    case.eventually("an operator gets in", lambda: subprocess.run(
        command, capture_output=True, check=False).returncode == 0)
    for _ in range(3):
        rows = ctl.json("status", "--only", "nodes")["nodes"]
        expect_equal([row["state"] for row in rows], ["serving"], "status")
    ctl("digest")
    ctl("log", "list")
    ctl("config")
    with Raw(node.address, case.patience(10)) as writer:
        writer.send(frame(header("series") + b"\x00"))
        expect(is_closed(writer, case.patience(10)), "a client took an operator's place")
    for raw in idle:
        raw.connection.close()
    case.eventually("clients are served again", node.is_ready)


@test
def idle_connections_are_closed(case):
    node = case.cluster(1, {"client.idle_timeout": "500ms"})[1]
    with Raw(node.address) as idle:
        begin = time.monotonic()
        expect(is_closed(idle, case.patience(10)), "an idle connection stays open")
        took = time.monotonic() - begin
        expect(took > 0.3, "closed after %.2f s of 0.5 s", took)
    with Raw(node.address, case.patience(10)) as busy:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            busy.send(frame(header("info") + b"\x00"))
            expect(busy.reply() is not None, "a busy connection was closed")
            time.sleep(0.05)


def cpu_seconds(node):
    with open("/proc/%d/stat" % node.pid, encoding="ascii") as file:
        ticks = file.read().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@test
def out_of_files(case):
    """More connections than the process may have files: it stays up, and serves those it has."""
    node = case.node(node_id=1)
    node.nofile = 128
    node.start()
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
        many = []
        for _ in range(300):
            try:
                many.append(socket.create_connection(split_address(node.address), 2.0))
            except OSError:
                break
        begin, used = time.monotonic(), cpu_seconds(node)
        for i in range(2, 10):
            client.insert("d", i, {"v": i})
        time.sleep(0.5)
        busy = (cpu_seconds(node) - used) / (time.monotonic() - begin)
        if not case.flavour.sanitized:
            expect(busy < 0.5, "%.0f %% of a core while out of files", busy * 100)
        for each in many:
            each.close()
        expect_equal(len(list(client.query("d"))), 9, "rows")
    case.eventually("new connections are served again", node.is_ready)
    node.stop()


def pipelined(count, first=1):
    return b"".join(write_of(rows_field(row(
        device="pipe", timestamp=at, values=[value_of(int64=i64(at))])))
        for at in range(first, first + count))


@test
def requests_in_a_row(case):
    """Many requests are sent before the first reply is read: all are answered, in order."""
    node = case.cluster(1)[1]
    count = case.scaled(500, least=200)
    with Raw(node.address, case.patience(20)) as raw:
        begin = time.monotonic()
        raw.send(pipelined(count))
        indices = []
        for _ in range(count):
            message_type, _, result = raw.reply()
            expect_equal(message_type, TMessageType.REPLY, "kind of reply")
            expect_equal(result.success.status.code, Status.OK, "status")
            indices.append(result.success.token.index)
        case.note("%d writes in a row on one connection took %.0f ms" %
                  (count, (time.monotonic() - begin) * 1000))
        expect_equal(indices, list(range(indices[0], indices[0] + count)), "order of the entries")
        # Reads and writes mixed keep the order too, though they take different ways.
        raw.send(pipelined(1, 10001) + frame(header("info", seqid=2) + b"\x00") +
                 pipelined(1, 10002) + frame(header("info", seqid=4) + b"\x00"))
        kinds = [type(raw.reply()[2]).__name__ for _ in range(4)]
        expect_equal(kinds, ["write_result", "info_result"] * 2, "order of the replies")
    with node.client() as client:
        expect_equal(len(list(client.query("pipe"))), count + 2, "rows")


@test
def a_client_that_leaves_early(case):
    """It sends writes and is gone before the answers: nothing breaks, whole writes count."""
    node = case.cluster(1)[1]
    for i in range(case.scaled(50, least=20)):
        with Raw(node.address) as raw:
            raw.send(pipelined(20, i * 20))
            if i % 2:
                raw.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          b"\x01\x00\x00\x00\x00\x00\x00\x00")
    with node.client() as client:
        case.eventually("the connections are gone", lambda: client.status().connections <= 2)
        rows = [(each.timestamp, each.values["v"]) for each in client.query("pipe")]
        expect(all(at == value for at, value in rows), "a row that nobody wrote")
        expect_equal(node.own_log().progress.applied, client.status().writes, "entries")
