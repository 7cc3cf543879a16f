"""What no honest client sends. Each costs at most its own connection or request; everybody else
goes on, and nothing that is not whole gets in."""

import random
import struct
import time

from case import expect, expect_equal, expect_error, test
from cluster import Failed
from peer import encode, frame
from synclog_client import (ERRORS, Refused, Status, SynclogError, TColumn, TDelete, TRow, TTablet,
                            Token, TValue, TWrite, TypeMismatch, pack_column, pack_times)
from synclog.client.ttypes import TQueryReq, TWriteReq
from thrift.Thrift import TApplicationException, TMessageType, TType
from wire import (Raw, VERSION_1, call, field, header, i32, i64, list_of, row, rows_field, string,
                  struct_of, value_of, write_of)


class Bystander:
    """Another client, connected before the attack; it must not notice anything."""

    def __init__(self, node):
        self.node = node
        self.client = node.client()
        self.client.insert("bystander", 0, {"v": 0})
        self.count = 1
        self.before = node.digest()[:3]

    def check(self, what):
        self.node.check_alive()
        expect_equal(self.node.digest()[:3], self.before, "data after " + what)

    def goes_on(self):
        self.client.insert("bystander", self.count, {"v": self.count})
        self.count += 1
        expect_equal(len(list(self.client.query("bystander"))), self.count, "bystander's rows")


def frames(case):
    """(what, bytes, may the connection go on). Where it may not, since nobody knows where the next
    frame begins or what else is wrong, an exception or a plain close is the answer."""
    good_row = row()
    deep = b"\x0c\x00\x01" * 100000
    deep_lists = b"\x0f\x00\x01" + b"\x0f\x00\x00\x00\x01" * 100000
    return [
        ("random bytes", b"\xa5" + bytes(case.random.randrange(256) for _ in range(999)), False),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
        ("a TLS hello", bytes.fromhex("16030100a5010000a10303") + b"\x00" * 160, False),
        ("an empty frame", b"\x00" * 4, False),
        ("empty frames", b"\x00" * 400, False),
        ("a frame of negative size", b"\xff\xff\xff\xff" + b"x" * 100, False),
        ("a frame of 1 GiB", b"\x40\x00\x00\x00" + b"x" * 1000, False),
        ("a frame just over the limit", struct.pack(">I", 16 * 1024 * 1024 + 1), False),
        ("a cut header", frame(header("info")[:10]), False),
        ("another version", frame(b"\x80\x02\x00\x01" + header("info")[4:] + b"\x00"), False),
        ("the header of old clients", frame(string("info") + b"\x01" + i32(1) + b"\x00"), False),
        ("a name of 2 GiB", frame(struct.pack(">Ii", VERSION_1 | 1, 2 ** 31 - 1)), False),
        ("a name of negative size", frame(struct.pack(">Ii", VERSION_1 | 1, -1)), False),
        ("a long name", frame(header("x" * 60000) + b"\x00"), True),
        ("an unknown method", frame(header("drop") + b"\x00"), True),
        ("a reply", frame(header("info", TMessageType.REPLY) + b"\x00"), True),
        ("an unknown kind of message", frame(header("info", 99) + b"\x00"), True),
        ("no argument", frame(header("write") + b"\x00"), True),
        ("an argument of another type",
         frame(header("write") + field(TType.STRING, 1, string("x")) + b"\x00"), True),
        ("a struct without an end", frame(header("write") + b"\x0c\x00\x01"), False),
        ("garbage behind the message", frame(header("info") + b"\x00" + b"garbage"), False),
        ("structs 100,000 deep", frame(header("query") + deep), False),
        ("structs 100,000 deep in a write", frame(header("write") + deep), False),
        ("lists 100,000 deep", frame(header("query") + deep_lists), False),
        ("a list of 2 billion strings",
         call("query", struct_of(field(TType.I32, 1, i32(0)), field(TType.STRING, 2, string("d")),
                                 field(TType.LIST, 3, list_of(TType.STRING, [], 2 ** 31 - 1)))),
         False),
        ("a list of negative size",
         call("query", struct_of(field(TType.I32, 1, i32(0)), field(TType.STRING, 2, string("d")),
                                 field(TType.LIST, 3, list_of(TType.STRING, [], -1)))), False),
        ("a list of an unknown type",
         call("query", struct_of(field(TType.I32, 1, i32(0)), field(TType.STRING, 2, string("d")),
                                 field(TType.LIST, 3, list_of(0x7f, [], 3)))), False),
        ("a string of 2 GiB",
         call("query", struct_of(field(TType.I32, 1, i32(0)),
                                 field(TType.STRING, 2, i32(2 ** 31 - 1)))), False),
        ("a string of negative size",
         call("query", struct_of(field(TType.I32, 1, i32(0)), field(TType.STRING, 2, i32(-1)))),
         False),
        ("a page token twice",
         call("query", struct_of(field(TType.I32, 1, i32(0)), field(TType.STRING, 2, string("d")),
                                 field(TType.STRING, 7, string("a")),
                                 field(TType.STRING, 7, string("b")))), False),
        ("rows without an end", write_of(field(TType.LIST, 2, list_of(TType.STRUCT, [good_row],
                                                                      2000000000))), True),
        ("rows of negative number", write_of(field(TType.LIST, 2, list_of(TType.STRUCT, [], -5))),
         True),
        ("rows that are numbers", write_of(field(TType.LIST, 2, list_of(TType.I64, [i64(1)]))),
         True),
        ("an unknown field in a write", write_of(rows_field(good_row),
                                                 field(TType.I32, 99, i32(1))), True),
        ("an unknown field in a row", write_of(rows_field(row(extra=field(TType.I32, 9, i32(1))))),
         True),
        ("rows twice", write_of(rows_field(good_row), rows_field(good_row)), True),
        ("a row without values", write_of(rows_field(struct_of(
            field(TType.STRING, 1, string("d")), field(TType.I64, 2, i64(1))))), True),
        ("a row without a device", write_of(rows_field(struct_of(
            field(TType.I64, 2, i64(1)),
            field(TType.LIST, 3, list_of(TType.STRING, [string("v")])),
            field(TType.LIST, 4, list_of(TType.STRUCT, [value_of(int64=i64(1))]))))), True),
        ("a value that is none", write_of(rows_field(row(values=[value_of()]))), True),
        ("a value that is two", write_of(rows_field(row(values=[
            value_of(int64=i64(1), text=string("x"))]))), True),
        ("a boolean of 2", write_of(rows_field(row(values=[value_of(boolean=b"\x02")]))), True),
        ("a name that is not UTF-8", write_of(rows_field(row(device=b"\xff\xfe"))), True),
        ("a name with a NUL", write_of(rows_field(row(device=b"a\x00b"))), True),
        ("a measurement that is not UTF-8", write_of(rows_field(row(measurements=[b"\xc3"]))),
         True),
        ("a text that is not UTF-8", write_of(rows_field(row(values=[
            value_of(text=string(b"\xed\xa0\x80"))]))), True),
        ("a text with a NUL", write_of(rows_field(row(values=[value_of(text=string(b"a\x00"))]))),
         True),
    ]


@test(timeout=90)
def malformed_frames(case):
    node = case.cluster(1)[1]
    bystander = Bystander(node)
    for what, content, may_go_on in frames(case):
        with Raw(node.address, case.patience(10)) as raw:
            raw.send(content)
            reply = raw.reply()
            if reply is not None:
                message_type, _, result = reply
                if message_type == TMessageType.REPLY:
                    status = result.success.status
                    expect(status.code > Status.PENDING, "%s: was taken", what)
                    expect(status.message, "%s: no message with %s", what, status)
                    expect(may_go_on, "%s: answered as if it had been read: %s", what, status)
                else:
                    expect(isinstance(result, TApplicationException), "%s: %r", what, result)
                if may_go_on:
                    # The request was refused, the connection may be used.
                    raw.send(frame(header("info", seqid=7) + b"\x00"))
                    again = raw.reply()
                    expect(again is None or again[1] == 7, "%s: the next reply is %r", what, again)
                else:
                    expect(raw.reply() is None, "%s: the connection goes on", what)
        bystander.check(what)
    bystander.goes_on()


@test
def the_right_exceptions(case):
    """An unknown method is told apart from a malformed message, and carries the sequence id."""
    node = case.cluster(1)[1]
    with Raw(node.address) as raw:
        raw.send(frame(header("drop", seqid=4711) + b"\x00"))
        message_type, seqid, result = raw.reply()
        expect_equal((message_type, seqid, result.type),
                     (TMessageType.EXCEPTION, 4711, TApplicationException.UNKNOWN_METHOD),
                     "reply to an unknown method")
        raw.send(frame(header("info", seqid=4712) + b"\x00"))
        message_type, seqid, result = raw.reply()
        expect_equal((message_type, seqid, result.success.status.code),
                     (TMessageType.REPLY, 4712, Status.OK), "reply to the request behind it")
        # Peers' methods are not for clients.
        raw.send(frame(header("syncLog", seqid=4713) + b"\x00"))
        reply = raw.reply()
        expect(reply is None or reply[0] == TMessageType.EXCEPTION, "reply to syncLog: %r", reply)


@test
def truncated_frames(case):
    """A client that goes away in the middle of a request, at every length."""
    node = case.cluster(1, {"client.max_connections": 2000})[1]
    bystander = Bystander(node)
    whole = write_of(rows_field(row(device="never")))
    for length in range(len(whole)):
        with Raw(node.address) as raw:
            raw.send(whole[:length])
    bystander.check("truncated frames")
    bystander.goes_on()
    case.eventually("the connections are gone", lambda: node.status().connections < 10)


@test
def a_frame_in_small_pieces(case):
    node = case.cluster(1)[1]
    whole = write_of(rows_field(row(device="pieces")))
    with Raw(node.address) as raw:
        for i in range(0, len(whole), 3):
            raw.send(whole[i:i + 3])
            time.sleep(0.0005)
        _, _, result = raw.reply()
        expect_equal(result.success.status.code, Status.OK, "status")
        # Two in one piece, and the begin of a third.
        raw.send(whole + whole + whole[:10])
        for _ in range(2):
            expect_equal(raw.reply()[2].success.status.code, Status.OK, "status")
        raw.send(whole[10:])
        expect_equal(raw.reply()[2].success.status.code, Status.OK, "status")


@test(timeout=90)
def s26_mutated_frames(case):
    """Bytes of right requests changed at random. Whatever comes of it, the node lives, and what it
    answers is well-formed."""
    node = case.cluster(1)[1]
    dice = random.Random(case.random.random())
    tablet = TTablet("fuzz", 3, pack_times([1, 2, 3]),
                     [pack_column("a", [1, None, 3]), pack_column("t", ["x", "yy", ""])])
    requests = [
        write_of(rows_field(row(device="fuzz"))),
        call("write", encode(TWriteReq(0, TWrite(
            deletes=[TDelete("fuzz", ["a"], 1, 2)], tablets=[tablet]), 1, 1000))),
        call("query", encode(TQueryReq(0, "fuzz", ["a", "t"], 0, 100, 10, b"page", True, [], 100))),
        frame(header("info") + b"\x00"),
    ]
    taken = 0
    raw = Raw(node.address, case.patience(10))
    for _ in range(case.scaled(20000, least=1000)):
        content = bytearray(dice.choice(requests))
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            content[dice.randrange(4, len(content))] = dice.choice(
                (0, 1, 0x7f, 0x80, 0xff, dice.randrange(256)))
        if content[7] == TMessageType.ONEWAY:
            content[7] = TMessageType.CALL  # to a oneway message there is no answer to wait for
        raw.send(bytes(content))
        reply = raw.reply()
        if reply is None or reply[0] == TMessageType.EXCEPTION:
            raw.connection.close()
            raw = Raw(node.address, case.patience(10))
        else:
            taken += 1
    raw.connection.close()
    lines = len(node.log_text().splitlines())
    expect(lines < 2000, "one client made the node write %d lines into its log", lines)
    case.note("%d mutated requests were still requests; %d lines of log" % (taken, lines))
    with node.client() as client:
        client.insert("fine", 1, {"v": 1})
        expect_equal(len(list(client.query("fine"))), 1, "rows")
    before = node.digest()[:3]
    # What got in is sound: it stands a restart.
    node.kill()
    node.start()
    expect_equal(node.digest()[:3], before, "digest after a restart")


def tablets():
    """(what, TTablet) that do not hold together."""
    times = pack_times([1, 2, 3])
    good = pack_column("v", [1, 2, 3])
    text = pack_column("t", ["a", "bb", "ccc"])

    def offsets(*values, rest=b"abbccc"):
        return TColumn("t", text.type, struct.pack("<%dI" % len(values), *values) + rest)

    return [
        ("no rows", TTablet("d", 0, b"", [pack_column("v", [], "INT64")])),
        ("rows of negative number", TTablet("d", -1, times, [good])),
        ("fewer timestamps", TTablet("d", 3, times[:16], [good])),
        ("more timestamps", TTablet("d", 3, times + times, [good])),
        ("half a timestamp", TTablet("d", 3, times[:-4], [good])),
        ("more rows than there are", TTablet("d", 2 ** 31 - 1, times, [good])),
        ("rows times 8 over 32 bits", TTablet("d", 2 ** 29, b"", [good])),
        ("fewer values", TTablet("d", 3, times, [TColumn("v", good.type, good.values[:16])])),
        ("more values", TTablet("d", 3, times, [TColumn("v", good.type, good.values + b"x" * 8)])),
        ("no values", TTablet("d", 3, times, [TColumn("v", good.type, b"")])),
        ("no columns", TTablet("d", 3, times, [])),
        ("a column twice", TTablet("d", 3, times, [good, good])),
        ("a column of type 0", TTablet("d", 3, times, [TColumn("v", 0, good.values)])),
        ("a column of type 99", TTablet("d", 3, times, [TColumn("v", 99, good.values)])),
        ("nulls too short", TTablet("d", 3, times, [TColumn("v", good.type, good.values, b"")])),
        ("nulls too long", TTablet("d", 3, times, [TColumn("v", good.type, good.values,
                                                           b"\x00\x00")])),
        ("a boolean of 2", TTablet("d", 3, times, [TColumn("b", 1, b"\x00\x01\x02")])),
        ("text without offsets", TTablet("d", 3, times, [TColumn("t", text.type, b"abc")])),
        ("text offsets that go back", TTablet("d", 3, times, [offsets(0, 3, 1, 6)])),
        ("text offsets beyond the end", TTablet("d", 3, times, [offsets(0, 1, 3, 600)])),
        ("text offsets that begin late", TTablet("d", 3, times, [offsets(1, 1, 3, 6)])),
        ("text behind the last offset", TTablet("d", 3, times, [offsets(0, 1, 3, 5)])),
        ("text cut inside a character",
         TTablet("d", 3, times, [offsets(0, 1, 2, 4, rest="üü".encode())])),
        ("an empty name", TTablet("", 3, times, [good])),
        ("an empty measurement", TTablet("d", 3, times, [pack_column("", [1, 2, 3])])),
        ("a long name", TTablet("d" * 256, 3, times, [good])),
    ]


def writes():
    """(what, TWrite) that can never succeed."""
    one = [TValue(int64Value=1)]
    cases = [(what, TWrite(tablets=[tablet])) for what, tablet in tablets()]
    return cases + [
        ("an empty write", TWrite()),
        ("empty lists", TWrite([], [], [])),
        ("an empty name", TWrite(rows=[TRow("", 1, ["v"], one)])),
        ("a name of 256 bytes", TWrite(rows=[TRow("d" * 256, 1, ["v"], one)])),
        ("a name of 256 bytes in fewer characters", TWrite(rows=[TRow("ü" * 128, 1, ["v"], one)])),
        ("a name of 1 MB", TWrite(rows=[TRow("d" * 1000000, 1, ["v"], one)])),
        ("an empty measurement", TWrite(rows=[TRow("d", 1, [""], one)])),
        ("a measurement of 256 bytes", TWrite(rows=[TRow("d", 1, ["m" * 256], one)])),
        ("no measurements", TWrite(rows=[TRow("d", 1, [], [])])),
        ("fewer values than measurements", TWrite(rows=[TRow("d", 1, ["a", "b"], one)])),
        ("more values than measurements", TWrite(rows=[TRow("d", 1, ["a"], one * 2)])),
        ("a measurement twice", TWrite(rows=[TRow("d", 1, ["a", "a"], one * 2)])),
        ("5000 measurements", TWrite(rows=[TRow("d", 1, ["m%d" % i for i in range(5000)],
                                                one * 5000)])),
        ("a delete that ends before it begins", TWrite(deletes=[TDelete("d", None, 2, 1)])),
        ("a delete of no measurement", TWrite(deletes=[TDelete("d", [], 1, 2)])),
        ("a delete of an empty name", TWrite(deletes=[TDelete("", None, 1, 2)])),
        ("a delete of an empty measurement", TWrite(deletes=[TDelete("d", [""], 1, 2)])),
        ("a good row and a bad one", TWrite(rows=[TRow("bystander", 1, ["v"], one),
                                                  TRow("", 1, ["v"], one)])),
        ("two types of a measurement in one write",
         TWrite(rows=[TRow("d", 1, ["v"], one), TRow("d", 2, ["v"], [TValue(textValue="x")])])),
    ]


@test(timeout=60)
def writes_that_make_no_sense(case):
    node = case.cluster(1)[1]
    bystander = Bystander(node)
    with node.client() as client:
        for what, write in writes():
            try:
                result = client.write(write)
                raise Failed("%s: taken as %s" % (what, result))
            except (ERRORS[Status.INVALID], ERRORS[Status.TOO_LARGE], TypeMismatch) as error:
                expect(error.message, "%s: no message", what)
                expect(not error.retryable, "%s: said to be retryable", what)
            bystander.check(what)
    bystander.goes_on()


@test
def names_at_the_limit(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        names = ("d" * 255, "ü" * 127, " ", "a/b\\c", "..", "root.sg.*", "#", "%s", "\u202e", "𝄞")
        for device in names:
            client.insert(device, 1, {"m" * 255: 1})
            expect_equal(len(list(client.query(device))), 1, "rows of %r" % device)
        expect_equal(len(client.series()), len(names), "devices")
        for device in ("d\n", "\t", "\x7f", "a\x1bb"):
            expect_error(ERRORS[Status.INVALID], "a control character", client.insert, device, 1,
                         {"m": 1})
        client.insert("wide", 1, {"m%d" % i: i for i in range(4096)})
        expect_equal(len(next(client.query("wide")).values), 4096, "values")


@test
def another_type(case):
    node = case.cluster(1)[1]
    values = {"BOOLEAN": True, "INT32": 1, "INT64": 1, "FLOAT": 1.0, "DOUBLE": 1.0, "TEXT": "1"}
    with node.client() as client:
        for name, value in values.items():
            client.insert("d", 1, {name: value}, types={name: name})
        before = node.digest()[:3]
        for fixed in values:
            for name, value in values.items():
                if name == fixed:
                    continue
                error = expect_error(TypeMismatch, "%s into %s" % (name, fixed), client.insert,
                                     "d", 2, {fixed: value, "x": 1}, types={fixed: name})
                expect(fixed in error.message, "the message does not name it: %s", error)
                expect_error(TypeMismatch, "%s into %s" % (name, fixed), client.insert_tablet,
                             "d", [2], {fixed: [value]}, types={fixed: name})
        expect_equal(node.digest()[:3], before, "digest")
        # A measurement that only a refused write had is still free.
        client.insert("d", 3, {"x": "text"})
        # Deleting all values does not free the type.
        client.delete("d", -10, 10)
        expect_error(TypeMismatch, "after a delete", client.insert, "d", 2, {"INT64": "text"})


@test
def reads_that_make_no_sense(case):
    node = case.cluster(1)[1]
    bystander = Bystander(node)
    invalid = (ERRORS[Status.INVALID], ERRORS[Status.TOO_LARGE])
    with node.client() as client:
        client.insert_tablet("d", list(range(100)), {"v": list(range(100))})
        bystander.before = node.digest()[:3]
        page = next(client.query_pages("d", limit=10)).nextPage
        expect(page, "no token of the next page")

        def query(**changes):
            request = TQueryReq(0, "d")
            for name, value in changes.items():
                setattr(request, name, value)
            client.connect()
            reply = client._client.query(request)  # pylint: disable=protected-access
            client._checked(reply)                 # pylint: disable=protected-access
            return reply

        for changes in ({"page": b""}, {"page": b"x"}, {"page": page + b"x"}, {"page": page[:-1]},
                        {"page": bytes(len(page))}, {"page": b"\xff" * len(page)},
                        {"page": b"x" * 100000}, {"limit": 0}, {"limit": -1},
                        {"limit": -2 ** 31}, {"device": ""}, {"device": "d" * 256},
                        {"measurements": [""]}, {"measurements": ["m" * 256]},
                        {"measurements": ["m"] * 5000}, {"timeoutMs": -1},
                        {"page": page, "descending": True}):
            try:
                reply = query(**changes)
                # Not every one of these must be refused, but no rows may be made up.
                expect((reply.rowCount or 0) <= 100, "%r: %d rows", changes, reply.rowCount or 0)
            except invalid as error:
                expect(error.message, "%r: no message", changes)
        expect_error(invalid, "a page that is none", query, page=b"nonsense")
        expect((query(limit=2 ** 31 - 1).rowCount or 0) == 100, "rows with a huge limit")
        for window in (-1, 0, -2 ** 63):
            try:
                expect(len(client.aggregate("d", "v", 0, 99, window=window)) <= 1,
                       "a window of %d", window)
            except invalid:
                pass
        expect_equal(client.aggregate("d", "v", 99, 0), [], "windows of an empty range")
        expect(len(client.aggregate("d", "v", -2 ** 63, 2 ** 63 - 1, window=1)) == 100,
               "windows of one over all time")
        expect_equal(client.last("nobody"), {}, "last values of nobody")
        many = [(1, 1, 1)] * 300
        expect_error(SynclogError, "300 tokens", lambda: list(
            client.query("d", tokens=[Token(*each) for each in many])))
    bystander.check("reads that make no sense")
    bystander.goes_on()


@test
def acks_and_times_that_are_none(case):
    node = case.cluster(1)[1]
    for ack in (0, 4, -1, 2 ** 31 - 1):
        with Raw(node.address) as raw:
            raw.send(write_of(rows_field(row(device="ack")), ack=ack))
            reply = raw.reply()
            expect(reply is None or reply[0] == TMessageType.EXCEPTION or
                   reply[2].success.status.code == Status.INVALID, "ack %d: %r", ack, reply)
    with node.client() as client:
        for timeout_ms in (-1, 0, 2 ** 31 - 1, -2 ** 31):
            try:
                client.insert("timeout", 1, {"v": 1}, ack="all", timeout_ms=timeout_ms)
            except (ERRORS[Status.INVALID], Refused):
                pass
        expect_equal(list(client.query("ack")), [], "rows")


@test
def fields_of_the_future(case):
    """A newer client may send fields that this node does not know, but not inside a write."""
    node = case.cluster(1)[1]
    unknown = field(TType.STRUCT, 77, struct_of(field(TType.LIST, 1, list_of(
        TType.STRING, [string("x"), string("y")])), field(TType.BOOL, 2, b"\x01")))
    with Raw(node.address) as raw:
        raw.send(call("query", struct_of(field(TType.I32, 1, i32(0)),
                                         field(TType.STRING, 2, string("d")), unknown)))
        message_type, _, result = raw.reply()
        expect_equal(message_type, TMessageType.REPLY, "kind of reply")
        expect_equal(result.success.status.code, Status.OK, "status of a query")
        raw.send(write_of(rows_field(row()), extra=unknown))
        reply = raw.reply()
        expect(reply is not None and reply[0] == TMessageType.REPLY, "reply to a write: %r", reply)
        expect_equal(reply[2].success.status.code, Status.OK, "status of a write")
