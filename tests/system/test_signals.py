"""SIGTERM, a second one, SIGHUP, SIGSTOP."""

import os
import signal
import threading
import time

from case import expect, expect_equal, test
from load import check_everywhere, check_ledger, start_writers, stop_writers


@test(timeout=60)
def s31_a_stop_under_load(case):
    """Everything that was acknowledged is there afterwards, and the next start is a clean one."""
    cluster = case.cluster()
    writers = start_writers(cluster, "load", per_node=3, payload="x" * 500)
    for node in cluster:
        threading.Event().wait(0.3)
        begin = time.monotonic()
        node.stop(timeout=15)
        took = time.monotonic() - begin
        before = len(node.log_text())
        node.start()
        told = node.log_text()[before:]
        expect("torn" not in told and "corrupt" not in told,
               "%s: a stop left something to repair:\n%s", node, told)
        case.note("%s stopped in %.0f ms under load" % (node, took * 1000))
    ledger = stop_writers(writers)
    digest = check_everywhere(cluster, ledger)
    expect_equal(len(digest.progress), 3, "logs")


@test
def a_stop_with_writes_that_wait(case):
    """A write that waits for an ack that can't come is answered before the node goes."""
    cluster = case.cluster(2)
    cluster[2].stop()
    writer = start_writers([cluster[1]], "wait", ack="all", count=1)[0]
    case.eventually("the write is durable", lambda: cluster[1].own_log().progress.durable == 1)
    begin = time.monotonic()
    cluster[1].stop()
    expect(time.monotonic() - begin < case.patience(5), "the stop waited for the ack")
    writer.join(case.patience(5))
    expect_equal((writer.error, writer.ledger.writes, writer.pending), (None, 1, 1),
                 "error, writes, pending answers")
    cluster.start()
    check_everywhere(cluster, writer.ledger)


@test
def a_second_signal_is_quick(case):
    cluster = case.cluster(2)
    writers = start_writers(cluster, "load", per_node=2)
    threading.Event().wait(0.3)
    node = cluster[1]
    node.signal_stop()
    begin = time.monotonic()
    try:
        node.signal(signal.SIGTERM)
    except ProcessLookupError:
        pass
    code = node.wait_exit(10)
    case.note("gone %.0f ms after the second signal, with code %d" %
              ((time.monotonic() - begin) * 1000, code))
    expect(code >= -signal.SIGTERM and code != -signal.SIGABRT, "exit code %d", code)
    node.start()
    check_everywhere(cluster, stop_writers(writers))


@test
def sigint_stops_too(case):
    node = case.cluster(1)[1]
    node.expect_death()
    node.signal(signal.SIGINT)
    node.wait_stopped()


@test
def a_stop_while_starting(case):
    node = case.node(node_id=1)
    for pause in (0.0, 0.01, 0.03, 0.1):
        node.launch()
        threading.Event().wait(pause)
        node.expect_death()
        node.signal(signal.SIGTERM)
        code = node.wait_exit()
        expect(code in (0, -signal.SIGTERM), "exit code %d", code)
    node.start()


@test
def a_reload_right_after_the_start(case):
    """From the moment on that it answers, no SIGHUP kills it, and a SIGTERM is a clean stop."""
    node = case.node(node_id=1)
    for number in range(case.scaled(10, least=5)):
        node.launch()
        case.eventually("it answers", node.is_ready, pause=0.0005)
        if number % 2:
            node.signal(signal.SIGHUP)
            with node.client() as client:
                client.insert("d", number, {"v": number})
        node.stop()


@test
def sighup_reloads(case):
    node = case.cluster(1, {"log.level": "info"})[1]

    def value(section, key):
        with node.client() as client:
            return client.config()[section, key].value

    def reload(**changes):
        for name, new in changes.items():
            node.config[name.replace("__", ".")] = new
        node.write_config()
        node.signal(signal.SIGHUP)

    expect_equal(value("log", "level"), "info", "level")
    reload(log__level="debug", client__page_rows=7, wal__wal_segment_size="8MiB")
    case.eventually("the level is debug", lambda: value("log", "level") == "debug")
    expect_equal(value("client", "page_rows"), "7", "page_rows")
    expect_equal(value("wal", "wal_segment_size"), "4MiB", "what needs a restart")
    expect("wal_segment_size" in node.log_text(), "the log does not say what needs a restart")
    with node.client() as client:
        client.insert_tablet("d", list(range(20)), {"v": list(range(20))})
        expect_equal([page.rowCount for page in client.query_pages("d")], [7, 7, 6], "pages")
        expect(not client.config()["log", "level"].isDefault, "debug is said to be the default")
        expect(client.config()["log", "level"].reloadable, "level is said not to be reloadable")

    # A broken file changes nothing, and is complained of.
    with open(node.config_path, "a", encoding="utf-8") as file:
        file.write("\n[log]\nlevle = error\n")
    before = len(node.log_text())
    node.signal(signal.SIGHUP)
    case.eventually("the log names the wrong key", lambda: "levle" in node.log_text()[before:])
    expect_equal(value("log", "level"), "debug", "level after a broken file")
    os.unlink(node.config_path)
    node.signal(signal.SIGHUP)
    case.eventually("the log names the missing file",
                    lambda: node.log_text()[before:].count(node.config_path) >= 1)
    expect_equal(value("log", "level"), "debug", "level without a file")
    reload(log__level="info")
    case.eventually("the level is info", lambda: value("log", "level") == "info")


@test(timeout=60)
def a_frozen_node(case):
    """SIGSTOP for a while under load: the others go on, it catches up."""
    cluster = case.cluster(config={"replication.request_timeout": "1s"})
    writers = start_writers(cluster.nodes[:2], "load")
    cluster[3].pause()
    count = [writer.ledger.writes for writer in writers]
    threading.Event().wait(case.patience(1.5))
    for writer, before in zip(writers, count):
        expect(writer.ledger.writes > before + 3, "%s stands still beside a frozen node",
               writer.name)
    cluster[3].resume()
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger)
    for node in cluster:
        check_ledger(node, ledger)
