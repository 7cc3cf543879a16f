"""The Python client: its example, its errors, its way around a node that is gone."""

import os
import socket
import subprocess
import sys

from case import expect, expect_equal, expect_error, test
from cluster import ROOT, free_port
from refuser import Refuser
from synclog_client import (ERRORS, Client, Cluster, DataType, Overloaded, Session, Status, SynclogError, Timeout, TWrite,
                            TypeMismatch, Unreachable, make_row, pack_column, unpack_column)
from synclog.admin import ttypes as admin_types
from synclog.client import TClientService, ttypes as client_types
from synclog.client.ttypes import TQueryReq, TWriteReq
from synclog.peer import ttypes as peer_types
from synclog.types import ttypes as shared_types
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport

PLAIN = "the Python client"


@test
def the_example(case):
    cluster = case.cluster()
    done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "example-client.py"),
                           cluster[1].address, cluster[3].address], capture_output=True, text=True,
                          check=False, timeout=case.patience(30))
    expect_equal(done.returncode, 0, "exit code of the example\n%s%s" % (done.stdout, done.stderr))
    for words in ("durable on a majority", "TYPE_MISMATCH", "reading from node 3", "52 rows"):
        expect(words in done.stdout, "the example does not print %r:\n%s", words, done.stdout)
    nobody = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "example-client.py"),
                             "127.0.0.1:%d" % free_port(case)], capture_output=True, text=True,
                            check=False, timeout=case.patience(30))
    expect_equal(nobody.returncode, 3, "exit code without a node\n%s" % nobody.stderr)


@test
def columns(_case):
    """Packing and unpacking, without a node."""
    for values, data_type in (([True, False, None], DataType.BOOLEAN),
                              ([1, None, -2 ** 31], DataType.INT32),
                              ([2 ** 63 - 1, -2 ** 63], DataType.INT64),
                              ([0.5, None, -1.25], DataType.FLOAT), ([0.1, None], DataType.DOUBLE),
                              (["", None, "ünï", "x"], DataType.TEXT),
                              ([None] * 9 + [1.5], DataType.DOUBLE)):
        column = pack_column("m", values, data_type)
        expect_equal(unpack_column(column, len(values)), values, "values of %s" % data_type.name)
        expect_equal(column.nulls is None, None not in values, "nulls of %s" % data_type.name)
    expect_equal(pack_column("m", ["a", None, "bc"]).values,
                 bytes.fromhex("00000000 01000000 01000000 03000000") + b"abc", "packed text")


@test
def the_generated_code_works_without_its_accelerator(case):
    """A field must not be named as a method of the generated class: read, write, validate."""
    node = case.cluster(1)[1]
    raw = TSocket("127.0.0.1", node.client_port)
    transport = TFramedTransport(raw)
    client = TClientService.Client(TBinaryProtocol(transport))
    transport.open()
    request = TWriteReq(0, TWrite(rows=[make_row("plain", 1, {"v": 1.5})]))
    expect_equal(client.write(request).status.code, Status.OK, "status of a write")
    reply = client.query(TQueryReq(0, "plain"))
    expect_equal((reply.status.code, reply.rowCount), (Status.OK, 1), "reply to a query")
    transport.close()
    for module in (client_types, peer_types, admin_types, shared_types):
        for name, value in vars(module).items():
            for field in getattr(value, "thrift_spec", ()) or ():
                expect(field is None or field[2] not in ("read", "write", "validate"),
                       "%s.%s hides the method of that name", name, field and field[2])


@test
def failover(case):
    """A read goes to the next node of the list; a write tells its caller."""
    cluster = case.cluster(3)
    session = Session()
    with Client([node.address for node in cluster], session=session) as client:
        client.insert("d", 1, {"v": 1}, ack="all")
        cluster[1].kill()
        expect_equal([row.values for row in client.query("d")], [{"v": 1}], "rows from node 2")
        expect_equal(client.info().node_id, 2, "node that answers")
        cluster[2].kill()
        expect_error(Unreachable, "a write to a node that is gone", client.insert, "d", 2, {"v": 2})
        client.insert("d", 2, {"v": 2})
        expect_equal(client.info().node_id, 3, "node that took the write")
        cluster[3].kill()
        error = expect_error(Unreachable, "no node left", lambda: list(client.query("d")))
        for node in cluster:
            expect(node.address in str(error) or "127.0.0.1" in str(error), "error: %s", error)
        cluster.start()
        # The session knows the writes of all nodes; node 1 is asked and must wait for them.
        client.addresses = [cluster[1].address]
        client.close()
        expect_equal([row.values["v"] for row in client.query("d", timeout_ms=10000)], [1, 2],
                     "rows with the session")


@test
def a_request_that_is_broken_off_leaves_nothing_behind(case):
    """What can't be sent is not sent in part with the next request, and nobody gets another one's reply."""
    node = case.cluster(1)[1]
    with node.client() as client:
        for wrong, kind in ((2 ** 63, OverflowError), ("\ud800", UnicodeEncodeError)):
            client.insert("d", 1, {"v": 1})
            expect_error(kind, "%r" % wrong, client.insert, "d", 2, {"v": 2, "w": wrong})
            client.insert("d", 3, {"v": 3})
        token = client.insert("d", 4, {"v": 4}).token

        def interrupted():
            raise KeyboardInterrupt

        client._client.recv_write = interrupted  # as Ctrl-C while it waits for the reply
        expect_error(KeyboardInterrupt, "an interruption", client.insert, "d", 5, {"v": 5})
        index = client.insert("d", 6, {"v": 6}).token.index
        expect(index > token.index + 1, "the reply of entry %d is of the write before", index)
        expect_equal([row.timestamp for row in client.query("d")], [1, 3, 4, 5, 6], "rows")


@test
def addresses(case):
    for wrong in ("127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:0"):
        error = expect_error(ValueError, wrong, Client(wrong).connect)
        expect(repr(wrong) in str(error), "%s: %s", wrong, error)
    for right in ("127.0.0.1", "[::1]"):
        expect_error(Unreachable, right, Client("%s:%d" % (right, free_port(case))).connect)


@test
def typed_errors(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": 1.5})
        error = expect_error(TypeMismatch, "another type", client.insert, "d", 2, {"v": "x"})
        expect_equal((error.code.name, error.retryable), ("TYPE_MISMATCH", False), "error")
        expect("v" in error.message and "TYPE_MISMATCH" in str(error), "error: %s", error)
        # The connection goes on.
        client.insert("d", 2, {"v": 2.5})
        client.timeout = 0.5
        client.close()
        node.pause()
        expect_error(Unreachable, "a node that is frozen", lambda: list(client.query("d")))
        node.resume()
        client.timeout = case.patience(30)
        expect_equal(len(list(client.query("d"))), 2, "rows afterwards")


@test
def errors_say_who_what_and_what_to_do(case):
    """The text of an exception is enough to act on: the node, the code or what happened, and what can be done."""

    def text_of(kind, function, *arguments, **options):
        return str(expect_error(kind, function.__name__, function, *arguments, **options))

    def says(text, *words):
        for word in words:
            expect(word in text, "%r is not in: %s", word, text)
        for word in ("TTransportException", "TStatus", "Errno", "<", "read 0 bytes"):
            expect(word not in text, "%r is in: %s", word, text)

    nobody = "127.0.0.1:%d" % free_port(case)
    says(text_of(Unreachable, Client(nobody).info), nobody, "Connection refused", "is synclogd running there")
    says(text_of(Unreachable, Client("nobody.invalid:1").info), "nobody.invalid:1", "is synclogd running there")
    node = case.cluster(1)[1]
    with node.client() as client:
        token = client.insert("d", 1, {"v": 1.5}).token
        says(text_of(TypeMismatch, client.insert, "d", 1, {"v": "x"}), node.address, "TYPE_MISMATCH", "series()")
        later = token._replace(index=token.index + 7)
        says(text_of(Timeout, client.last, "d", tokens=[later], timeout_ms=1), node.address, "TIMEOUT", "timeout_ms",
             "another node", "without the token")
    with Client(Refuser(case, Status.OVERLOADED, message="a queue is full", retry_after_ms=100).address) as client:
        text = text_of(Overloaded, client.insert, "d", 1, {"v": 1})
        says(text, client.address, "OVERLOADED", "a queue is full", "another node, in 100 ms")
    with Client(Refuser(case, None).address) as client:
        says(text_of(Unreachable, client.last, "d"), client.address, "last", "closed the connection", "another node")
        says(text_of(Unreachable, client.insert, "d", 1, {"v": 1}), "write", "same key")
    with socket.create_server(("127.0.0.1", 0)) as silent, \
            Client("127.0.0.1:%d" % silent.getsockname()[1], timeout=0.05) as client:
        says(text_of(Unreachable, client.info), client.address, "info", "no answer within the timeout of 0.05 s")
    for code, kind in ERRORS.items():
        with Client(Refuser(case, code).address) as client:
            says(text_of(kind, client.last, "d"), client.address, code.name, "as the test wants it")


@test
def refusals_are_carried_to_the_next_node(case):
    """A read is asked of the next node where that can help; a write is by a Cluster, also after FORGOTTEN."""
    node = case.cluster(1)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
    elsewhere = {Status.UNKNOWN_GROUP, Status.UNKNOWN_LOG, Status.OVERLOADED, Status.READ_ONLY, Status.NO_SPACE, Status.TIMEOUT,
                 Status.NOT_READY, Status.CORRUPT, Status.INTERNAL, Status.CLOCK_WRONG, Status.FORGOTTEN}
    for code in ERRORS:
        first = Refuser(case, code)
        with Client([first.address, node.address]) as client:
            if code in elsewhere:
                expect_equal(client.last("d")["v"].value, 1, "value behind %s" % code.name)
            else:
                expect_error(ERRORS[code], code.name, client.last, "d")
            client.addresses = [first.address, node.address]
            client.close()
            expect_error(ERRORS[code], "a write behind %s" % code.name, client.insert, "d", 1, {"v": 1})
        expect_equal(first.methods, ["last", "write"], "requests after %s" % code.name)
    first = Refuser(case, Status.FORGOTTEN)
    with Cluster([first.address, node.address]) as client:
        client.insert("d", 2, {"v": 2})
        expect_equal(client.last("d")["v"].value, 2, "value")
    with Cluster([first.address]) as client:
        expect_error(SynclogError, "no other node", client.insert, "d", 3, {"v": 3})
