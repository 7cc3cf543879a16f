"""Following logs: the RPC with long polling, and synclogctl tail."""

import json
import subprocess
import threading
import time

from case import expect, expect_equal, test
from cluster import sanitizer_environment

from synclog_client import ERRORS, Status


def own_log(node):
    with node.client() as client:
        status = client.status()
    log = next(each.progress.log for each in status.logs if each.own)
    return log.origin, log.incarnation


def write_rows(node, first, count):
    with node.client() as client:
        for i in range(first, first + count):
            client.insert("plant.%d" % (i % 3), i, {"value": float(i)})


def times_of(entries):
    return [row.timestamp for entry in entries for row in entry.write.rows]


@test(timeout=60)
def every_entry_comes_once_in_order(case):
    """On the node that wrote it and on another one, also while it is written; pages go on at the next index."""
    cluster = case.cluster()
    origin, incarnation = own_log(cluster[1])
    total = case.scaled(600, 100)
    writer = threading.Thread(target=write_rows, args=(cluster[1], 1, total))
    writer.start()
    for node in (cluster[1], cluster[3]):
        with node.client() as client:
            seen, index = [], 1

            def take(client=client, seen=seen):
                nonlocal index
                try:
                    entries = client.tail(origin, incarnation, index, wait_ms=200, limit=7)
                except ERRORS[Status.UNKNOWN_LOG]:
                    return False  # the first entry has not come there yet
                expect(len(entries) <= 7, "%d entries for a limit of 7", len(entries))
                expect_equal([entry.token.index for entry in entries],
                             list(range(index, index + len(entries))), "indices")
                index += len(entries)
                seen += entries
                return len(seen) == total
            case.eventually("all entries are told", take, timeout=40)
            expect_equal(times_of(seen), list(range(1, total + 1)), "times on node %d" % node.id)
            clocks = [entry.hlc for entry in seen]
            expect(clocks == sorted(set(clocks)), "the clocks do not grow")
    writer.join()


@test(timeout=60)
def it_waits_for_what_is_not_there_yet(case):
    node = case.cluster(1)[1]
    origin, incarnation = own_log(node)
    with node.client() as follower:
        begin = time.monotonic()
        expect_equal(follower.tail(origin, incarnation, 1, wait_ms=300), [], "entries of an empty log")
        expect(time.monotonic() - begin >= 0.29, "it did not wait")
        expect_equal(follower.tail(origin, incarnation, 1), [], "entries without waiting")
        found = []
        thread = threading.Thread(
            target=lambda: found.extend(follower.tail(origin, incarnation, 1, wait_ms=9000)))
        thread.start()
        write_rows(node, 5, 1)
        thread.join(case.patience(8))
        expect(not thread.is_alive(), "it waits although the entry is there")
        expect_equal(times_of(found), [5], "what came")


@test(timeout=60)
def bad_questions_have_clear_answers(case):
    node = case.cluster(1)[1]
    origin, incarnation = own_log(node)
    write_rows(node, 1, 3)
    with node.client() as client:
        for code, arguments in ((Status.INVALID, (origin, incarnation, 0)),
                                (Status.INVALID, (origin, incarnation, -1)),
                                (Status.INVALID, (0, incarnation, 1)),
                                (Status.INVALID, (origin, -5, 1)),
                                (Status.INVALID, (origin, incarnation, 1, -1)),
                                (Status.INVALID, (origin, incarnation, 1, 0, 0)),
                                (Status.UNKNOWN_LOG, (origin, incarnation + 1, 1)),
                                (Status.UNKNOWN_LOG, (77, incarnation, 1))):
            try:
                client.tail(*arguments)
            except ERRORS[code]:
                continue
            expect(False, "%s was answered", arguments)
        expect_equal(client.tail(origin, incarnation, 2**62), [], "far behind the end")
        expect_equal(times_of(client.tail(origin, incarnation, 2)), [2, 3], "it still serves")


@test(timeout=60)
def deleted_entries_are_told_as_such(case):
    """A follower that comes too late hears where the log begins now, not silence and not other entries."""
    node = case.cluster(1, {"wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB"})[1]
    origin, incarnation = own_log(node)
    gone = ERRORS[Status.OUT_OF_WINDOW]
    with node.client() as client:
        def first_is_gone():
            client.insert_rows("plant.a", [(i, {"text": "x" * 200}) for i in range(100)])
            try:
                client.tail(origin, incarnation, 1, limit=1)
            except gone as error:
                return error.first_available
            return None
        first = case.eventually("the first segment is deleted", first_is_gone, timeout=40)
        expect(first > 1, "the log begins at %r", first)

        def entries_from_there():
            nonlocal first
            try:
                return client.tail(origin, incarnation, first, limit=3)
            except gone as error:  # more was deleted meanwhile
                expect(error.first_available > first, "the log begins at %r, not behind %d", error.first_available, first)
                first = error.first_available
                return None
        entries = case.eventually("it goes on from where the log begins", entries_from_there)
        expect_equal([each.token.index for each in entries], list(range(first, first + len(entries))),
                     "indices from where it begins")


def lines_of(case, node, *arguments):
    command = [case.program("synclogctl"), "-s", node.address, "tail", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=sanitizer_environment(),
                          timeout=case.patience(30), check=False)
    expect_equal((done.returncode, done.stderr), (0, ""), " ".join(arguments))
    return [json.loads(line) for line in done.stdout.splitlines()]


@test(timeout=90)
def the_tool_prints_lines_of_json(case):
    cluster = case.cluster()
    write_rows(cluster[1], 1, 30)
    write_rows(cluster[2], 101, 10)
    cluster.converge()
    log = "%d-%d" % own_log(cluster[1])
    everything = lines_of(case, cluster[3], "--all", "--no-follow")
    expect_equal(sorted(line["data"]["rows"][0]["time"] for line in everything),
                 list(range(1, 31)) + list(range(101, 111)), "times")
    expect_equal([line["searchIndex"] for line in lines_of(case, cluster[3], log, "--from", "28", "--no-follow")],
                 [28, 29, 30], "from an index")
    expect_equal([line["data"]["rows"][0]["time"] for line in lines_of(case, cluster[2], log, "-n", "2", "--no-follow")],
                 [29, 30], "the last ones")
    touched = lines_of(case, cluster[3], "--all", "--no-follow", "--device", "plant.2")
    expect_equal({line["data"]["rows"][0]["device"] for line in touched}, {"plant.2"}, "of one device")
    # What is written while it follows, also on another node.
    command = [case.program("synclogctl"), "-s", cluster[3].address, "tail", "--for", "20s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=sanitizer_environment()) as tail:
        stop = threading.Event()

        def write_on():
            i = 1000
            while not stop.is_set():
                write_rows(cluster[1], i, 1)
                i += 1
        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            line = json.loads(tail.stdout.readline())
        finally:
            stop.set()
            writer.join()
            tail.terminate()
        expect(line["data"]["rows"][0]["time"] >= 1000 and line["log"] == log, "it told %r", line)
