"""Writes much larger than the memory that the daemon may use for requests."""

import threading

from case import expect, expect_equal, test
from cluster import Failed
from synclog_client import Client, Overloaded, TooLarge, Unreachable
from synclog.client.ttypes import TQueryReq


@test(timeout=90, plain=True)
def s28_large_tablets_and_little_memory(case):
    cluster = case.cluster(2, {"limits.max_memory_in_flight": "16MiB",
                               "replication.max_pending_bytes": "4MiB",
                               "replication.max_size_per_batch": "2MiB",
                               "wal.max_queued_bytes": "8MiB",
                               "store.memtable_size": "8MiB"})
    per_writer, writers, rows = case.scaled(6, least=2), 12, 1000
    texts = ["%d" % i + "x" * 2000 for i in range(rows)]
    refused, errors = [], []

    def write_all(number):
        try:
            client = cluster[1 + number % 2].client()
            for i in range(per_writer):
                while True:
                    try:
                        client.insert_tablet("large.%d" % number,
                                             [i * rows + k for k in range(rows)], {"v": texts})
                        break
                    except Overloaded as error:
                        refused.append(error)
                        threading.Event().wait((error.retry_after_ms or 50) / 1000)
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=write_all, args=(i,)) for i in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise Failed("a writer: %r" % errors[0])
    digest = cluster.converge(30)
    expect_equal(digest.cells, writers * per_writer * rows, "cells")
    for node in cluster:
        with node.client() as client:
            for number in range(writers):
                timestamps, columns = client.query_columns("large.%d" % number)
                expect_equal(timestamps, list(range(per_writer * rows)), "timestamps")
                expect(columns["v"] == texts * per_writer, "%s: values of large.%d", node, number)
    peak = [node.rss_mib(peak=True) for node in cluster]
    case.note("%d MB written, %d times refused, peak RSS %s MiB" %
              (writers * per_writer * rows * 2 // 1000, len(refused),
               " and ".join("%.0f" % each for each in peak)))
    if not case.flavour.sanitized:
        expect(max(peak) < 320, "RSS up to %.0f MiB", max(peak))


@test(timeout=60)
def what_is_too_large_is_said(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": "x" * 1000000})
        for what, write in (
                ("a text", lambda: client.insert("d", 2, {"v": "x" * 1100000})),
                ("an entry", lambda: client.insert_tablet(
                    "d", list(range(9)), {"v": ["x" * 1000000] * 9}))):
            try:
                write()
            except TooLarge as error:
                expect(error.message, "%s: no message", what)
            except Unreachable:
                raise Failed("%s over the limit cost the connection" % what) from None
            else:
                raise Failed("%s over the limit was taken" % what)
        expect_equal([row.timestamp for row in client.query("d")], [1], "rows")


@test(timeout=60)
def a_reader_that_does_not_read(case):
    """Replies that nobody takes must not fill the memory."""
    node = case.cluster(1, {"limits.max_memory_in_flight": "16MiB"})[1]
    with node.client() as client:
        for i in range(10):
            client.insert_tablet("d", list(range(i * 1000, i * 1000 + 1000)),
                                 {"v": ["x" * 1000] * 1000})
    before = node.rss_mib()
    lazy = []
    for _ in range(20):
        client = Client(node.address)
        client.connect()
        for _ in range(20):
            client._client.send_query(TQueryReq(0, "d"))  # pylint: disable=protected-access
        lazy.append(client)
    with node.client() as client:
        for i in range(50):
            client.insert("other", i, {"v": i})
        expect_equal(len(list(client.query("other"))), 50, "rows")
    grown = node.rss_mib(peak=True) - before
    case.note("20 connections that do not read 200 MB each: %.0f MiB more" % grown)
    if not case.flavour.sanitized:
        expect(grown < 600, "RSS grew by %.0f MiB", grown)
    for client in lazy:
        client.close()
