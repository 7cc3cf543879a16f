"""A connection to a node: values, columns, errors, sessions, and the calls. The package's own page has more."""

import array
import socket
import struct
import sys
from enum import IntEnum
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import _generated

_generated.load()

# pylint: disable=wrong-import-position
from synclog.admin import TAdminService
from synclog.admin.ttypes import (TAddMemberReq, TDeleteGroupReq, TDigestReq, TForgetReq,
                                   TRemoveMemberReq, TStatusReq)
from synclog.client import TClientService
from synclog.client.ttypes import (TAck, TAggregateReq, TLastReq, TQueryReq, TSeriesReq,
                                   TTailReq, TWriteReq)
from synclog.types.ttypes import (TColumn, TDataType, TDelete, TLogId, TRow, TStatusCode, TTablet,
                                  TToken, TValue, TWrite)
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport, TMemoryBuffer, TTransportException

# Both enumerations as the IDL has them.

def _enumeration(name: str, members: Mapping[str, int]) -> Any:
    return IntEnum(name, members)  # type: ignore[misc]


Status = _enumeration("Status", TStatusCode._NAMES_TO_VALUES)
DataType = _enumeration("DataType", TDataType._NAMES_TO_VALUES)
BY_RULE = -1  # in place of a group
ACKS = {"local": TAck.LOCAL, "majority": TAck.MAJORITY, "all": TAck.ALL}

Value = Union[bool, int, float, str]
Types = Mapping[str, Union[str, int]]


class Row(NamedTuple):
    """A row of a query: the values that it has."""
    timestamp: int
    values: Dict[str, Value]


class LastValue(NamedTuple):
    """The newest value of a measurement."""
    measurement: str
    type: int
    timestamp: int
    value: Value


class Window(NamedTuple):
    """Aggregates of a window with at least one value; of TEXT there are count, first and last."""
    start: int
    count: int  # type: ignore[assignment]
    sum: Optional[float]
    avg: Optional[float]
    min: Optional[Value]
    max: Optional[Value]
    first: Value
    first_time: int
    last: Value
    last_time: int


class Measurement(NamedTuple):
    """A measurement of a device; conflicting: of a type that lost against another one."""
    name: str
    type: int
    conflicting: bool


class Device(NamedTuple):
    """A device with its measurements."""
    name: str
    measurements: List[Measurement]


class Info(NamedTuple):
    """What a node says of itself; groups: those that are open here, of those of its configuration."""
    node_id: int
    cluster_id: str
    version: str
    time_precision: str
    groups: List[int]
    configured_groups: List[int] = []


class Token(NamedTuple):
    """A point in a log; group: the log's, 0 also where nobody said."""
    origin: int
    incarnation: int
    index: int  # type: ignore[assignment]
    group: int = 0


class WriteResult(NamedTuple):
    """pending: durable on its node, and `ack` was not reached in time."""
    token: Token
    pending: bool
    message: Optional[str]


class Entry(NamedTuple):
    """An entry of a log, as `tail` tells it; write is a TWrite."""
    token: Token
    hlc: int
    write: Any


class Digest(NamedTuple):
    """Equal data has equal digests; progress: what of each log it covers."""
    digest: str
    cells: int
    devices: int
    progress: Dict[Tuple[int, int], int]


# What the caller can do, for the text of an error.
_ADVICE = {
    Status.UNKNOWN_GROUP: "ask a node that carries the group, or leave `group` to the rule",
    Status.UNKNOWN_LOG: "the token is of another cluster, or its log has not come to this node yet: try again, ask "
                        "another node, or read without it",
    Status.TYPE_MISMATCH: "series() tells the types",
    Status.TOO_LARGE: "split it",
    Status.OVERLOADED: "try again, or another node",
    Status.READ_ONLY: "another node can take it; this one when it is restarted",
    Status.NO_SPACE: "another node can take it; this one when its disk has room",
    Status.TIMEOUT: "allow more by timeout_ms, try again later, ask another node, or read without the token",
    Status.NOT_READY: "the node is up, but can't serve this now: try again, or another node",
    Status.CORRUPT: "ask another node; the log of this one names the place",
    Status.INTERNAL: "the log of the node has more; another node may do",
    Status.CLOCK_WRONG: "another node can take it; this one when its clock is set right",
    Status.FORGOTTEN: "use another node",
}


class SynclogError(Exception):
    """An answer other than success; `address` is that of the node which gave it."""

    code: Any = None
    first_available: Optional[int] = None  # of OutOfWindow from tail

    def __init__(self, status: Any, address: Optional[str] = None) -> None:
        try:
            code = Status(status.code)
            name = code.name
        except ValueError:
            code, name = status.code, "status %d" % status.code
        text = "%s: %s" % (name, status.message or "no message")
        if address is not None:
            text = "%s: %s" % (address, text)
        advice = _ADVICE.get(code)
        if advice is not None:
            text += "; " + advice
            if status.retryAfterMs:
                text += ", in %d ms" % status.retryAfterMs
        super().__init__(text)
        self.code = code
        self.address = address
        self.message = status.message or ""
        self.retryable = status.retryable
        self.retry_after_ms = status.retryAfterMs


class Unreachable(OSError):
    """The node can't be connected to, or the connection broke. What a write that was on its way
    did is unknown; repeating it is safe, since the same values give the same data."""


class Refused(OSError):
    """The node did not understand the request; it closed the connection or may have done so."""


def _error_class(code: Any) -> Any:
    name = "".join(part.capitalize() for part in code.name.split("_"))
    return type(name, (SynclogError,), {"code": code, "__module__": __name__})


# INVALID → Invalid, UNKNOWN_LOG → UnknownLog, …
ERRORS = {code: _error_class(code) for code in Status if code > Status.PENDING}
globals().update({error.__name__: error for error in ERRORS.values()})


def check_status(status: Any, address: Optional[str] = None) -> None:
    """Raises the error of a status, which the node at `address` gave, unless it is a success."""
    if status.code not in (Status.OK, Status.PENDING):
        raise ERRORS.get(status.code, SynclogError)(status, address)


# --- values and columns ---------------------------------------------------------------------------

_ARRAY = {DataType.BOOLEAN: "B", DataType.INT32: "i", DataType.INT64: "q", DataType.FLOAT: "f",
          DataType.DOUBLE: "d"}
_FIELD = {DataType.BOOLEAN: "booleanValue", DataType.INT32: "int32Value",
          DataType.INT64: "int64Value", DataType.FLOAT: "floatValue",
          DataType.DOUBLE: "doubleValue", DataType.TEXT: "textValue"}


def type_of(value: Value) -> Any:
    """The type that a Python value is written as when none is named."""
    for python_type, data_type in ((bool, DataType.BOOLEAN), (int, DataType.INT64),
                                   (float, DataType.DOUBLE), (str, DataType.TEXT)):
        if isinstance(value, python_type):
            return data_type
    raise TypeError("no data type for %r" % (value,))


def _data_type(name_or_type: Union[str, int]) -> Any:
    return DataType[name_or_type.upper()] if isinstance(name_or_type, str) else \
        DataType(name_or_type)


def value_to_thrift(value: Value, data_type: Union[str, int, None] = None) -> Any:
    data_type = type_of(value) if data_type is None else _data_type(data_type)
    if data_type in (DataType.FLOAT, DataType.DOUBLE):
        value = float(value)
    return TValue(**{_FIELD[data_type]: value})


def value_from_thrift(value: Any) -> Any:
    if value is None:
        return None
    for field in _FIELD.values():
        content = getattr(value, field)
        if content is not None:
            return content
    return None


def _to_little_endian(numbers: Any) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def pack_times(timestamps: Iterable[int]) -> bytes:
    return _to_little_endian(array.array("q", timestamps))


def unpack_times(packed: bytes) -> List[int]:
    return _unpack_numbers("q", packed)


def _unpack_numbers(code: str, packed: bytes) -> List[Any]:
    numbers: Any = array.array(code)
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def pack_column(measurement: str, values: Sequence[Optional[Value]],
                data_type: Union[str, int, None] = None) -> Any:
    """A TColumn of a list of values; None where a row has none."""
    present = [value for value in values if value is not None]
    if data_type is None:
        data_type = type_of(present[0]) if present else DataType.DOUBLE
    data_type = _data_type(data_type)
    nulls = None
    if len(present) < len(values):
        bits = bytearray((len(values) + 7) // 8)
        for i, value in enumerate(values):
            if value is None:
                bits[i // 8] |= 1 << (i % 8)
        nulls = bytes(bits)
    if data_type == DataType.TEXT:
        texts = [b"" if value is None else str(value).encode() for value in values]
        offsets = array.array("I", [0])
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        packed = _to_little_endian(offsets) + b"".join(texts)
    else:
        filled = [0 if value is None else value for value in values]
        packed = _to_little_endian(array.array(_ARRAY[data_type], filled))
    return TColumn(measurement, data_type, packed, nulls)


def unpack_column(column: Any, row_count: int) -> List[Any]:
    """The list of a column's values, None where a row has none."""
    data_type = DataType(column.type)
    if data_type == DataType.TEXT:
        size = 4 * (row_count + 1)
        offsets = struct.unpack("<%dI" % (row_count + 1), column.values[:size])
        texts = column.values[size:]
        values = [texts[offsets[i]:offsets[i + 1]].decode() for i in range(row_count)]
    else:
        values = _unpack_numbers(_ARRAY[data_type], column.values)
        if data_type == DataType.BOOLEAN:
            values = [bool(value) for value in values]
    if len(values) != row_count:
        raise ValueError("column %s: %d values for %d rows" %
                         (column.measurement, len(values), row_count))
    if column.nulls:
        for i in range(row_count):
            if column.nulls[i // 8] >> (i % 8) & 1:
                values[i] = None
    return values


def make_row(device: str, timestamp: int, values: Mapping[str, Optional[Value]],
             types: Optional[Types] = None) -> Any:
    """A TRow of a dict measurement → value."""
    types = types or {}
    present = {name: value for name, value in values.items() if value is not None}
    return TRow(device, timestamp, list(present),
                [value_to_thrift(value, types.get(name)) for name, value in present.items()])


def make_tablet(device: str, timestamps: Sequence[int], columns: Mapping[str, Sequence[Optional[Value]]],
                types: Optional[Types] = None) -> Any:
    """A TTablet of a dict measurement → list of values, one for each timestamp."""
    types = types or {}
    return TTablet(device, len(timestamps), pack_times(timestamps),
                   [pack_column(name, values, types.get(name)) for name, values in columns.items()])


# --- sessions -------------------------------------------------------------------------------------

class Session:
    """The newest token of each log. Share it between clients to read your own writes anywhere."""

    def __init__(self) -> None:
        self._newest: Dict[Tuple[int, int], Token] = {}

    def add(self, token: Token) -> None:
        key = (token.origin, token.incarnation)
        known = self._newest.get(key)
        if known is None or token.index > known.index:
            self._newest[key] = token

    def tokens(self) -> List[Token]:
        return sorted(self._newest.values())


def token_to_thrift(token: Token) -> Any:
    return TToken(TLogId(token.origin, token.incarnation), token.index, token.group or None)


def token_from_thrift(token: Any) -> Token:
    return Token(token.log.origin, token.log.incarnation, token.index, token.consensusGroupId or 0)


# --- the client -----------------------------------------------------------------------------------

def split_address(address: str) -> Tuple[str, int]:
    """("host", port) of "host:port" or "[v6]:port"."""
    host, _, port = address.rpartition(":")
    # The resolver would take the lower 16 bits of a greater number.
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError("%r is no address; expected HOST:PORT" % address)
    return host.strip("[]"), int(port)


# Refusals of a read that another node may serve.
_OF_THE_NODE = frozenset((Status.UNKNOWN_GROUP, Status.UNKNOWN_LOG, Status.OVERLOADED, Status.READ_ONLY, Status.NO_SPACE,
                          Status.TIMEOUT, Status.NOT_READY, Status.CORRUPT, Status.INTERNAL, Status.CLOCK_WRONG,
                          Status.FORGOTTEN))

# What is said when the connection breaks under a call that changes something.
_UNKNOWN_OUTCOME = dict({method: "whether it was done is not known: look before it is tried again"
                         for method in ("forget", "addMember", "removeMember", "deleteGroup")},
                        write="whether the write was taken is not known: send it again with the same key")


class Client:
    """A connection to one node, or to the first that answers of a list of nodes.

    With a list, a read is asked again of the next one when its node is gone, or refuses what another one may serve: it is
    not ready, overloaded, behind the token, without the group, and the like. A write never is: its caller gets the error
    and decides. Nor is what changes a node.

    group: the one that all requests are for. None: writes and reads go to the group that the rule of the nodes'
    configuration gives the device; what is asked about the node is asked about group 0.
    """

    def __init__(self, addresses: Union[str, Sequence[str]], session: Optional[Session] = None,
                 group: Optional[int] = None, timeout: float = 30.0) -> None:
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.session = session
        self.group = group
        self.timeout = timeout
        self._transport: Any = None
        self._client: Any = None
        self._admin: Any = None
        self._knows_rules = True  # the node takes BY_RULE, unless it has refused it

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def _routed(self) -> int:
        return BY_RULE if self.group is None else self.group

    @property
    def _named(self) -> int:
        return self.group or 0

    @property
    def address(self) -> str:
        """The node that the client talks to, or will try first."""
        return self.addresses[0]

    def connect(self) -> None:
        """Opens the connection now; otherwise the first request does."""
        if self._transport is not None:
            return
        trouble = []
        for _ in self.addresses:
            try:
                handle = socket.create_connection(split_address(self.address), self.timeout)
            except OSError as error:
                trouble.append("%s: can't connect: %s" % (self.address, error.strerror or error))
                self.addresses.append(self.addresses.pop(0))
                continue
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw = TSocket()
            raw.setHandle(handle)
            self._transport = TFramedTransport(raw)
            protocol = TBinaryProtocolAccelerated(self._transport, strictRead=True,
                                                  strictWrite=True)
            self._client = TClientService.Client(protocol)
            self._admin = TAdminService.Client(protocol)
            return
        raise Unreachable("; ".join(trouble) + "; is synclogd running there, with this as its [client] listen?")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = self._client = self._admin = None
        self._knows_rules = True

    def _call_once(self, service: str, method: str, *arguments: Any) -> Any:
        self.connect()
        by_rule = bool(arguments) and getattr(arguments[0], "consensusGroupId", None) == BY_RULE
        if not by_rule or self._knows_rules:
            reply = self._send(service, method, *arguments)
            refused = reply.status.code == Status.INVALID and \
                (reply.status.message or "").startswith("consensusGroupId")
            if not by_rule or not refused:
                return reply
        # A node from before there were groups: it holds all in group 0.
        self._knows_rules = False
        arguments[0].consensusGroupId = 0
        try:
            return self._send(service, method, *arguments)
        finally:
            arguments[0].consensusGroupId = BY_RULE

    def _send(self, service: str, method: str, *arguments: Any) -> Any:
        self.connect()
        try:
            return getattr(getattr(self, service), method)(*arguments)
        except TApplicationException as error:
            self.close()
            raise Refused("%s: %s: the node does not take the request: %s; is it of an older version?" % (
                self.address, method, error.message or "no reason given")) from error
        except (OSError, TTransportException) as error:
            self.close()
            raise Unreachable("%s: %s: %s; %s" % (self.address, method, self._trouble(error),
                                                  _UNKNOWN_OUTCOME.get(method, "try again, or another node"))) from error
        except TException as error:
            self.close()
            raise Refused("%s: %s: the answer can't be read: %s; is this the port of [client] listen?" % (
                self.address, method, error)) from error
        except BaseException:
            # Half of a request waits to be sent, or a reply to be read: the next request would go out behind the
            # one, or take the other for its own.
            self.close()
            raise

    def _trouble(self, error: Any) -> str:
        """How a connection ended, in words."""
        cause = getattr(error, "inner", None) or error
        if isinstance(cause, socket.timeout) or getattr(cause, "type", None) == TTransportException.TIMED_OUT:
            return "no answer within the timeout of %g s" % self.timeout
        if getattr(cause, "type", None) == TTransportException.END_OF_FILE:
            return "the node closed the connection"
        return str(getattr(cause, "strerror", None) or cause)

    def _read(self, service: str, method: str, *arguments: Any) -> Any:
        for _ in self.addresses[1:]:
            try:
                return self._checked(self._call_once(service, method, *arguments))
            except Unreachable:
                pass
            except SynclogError as error:
                if error.code not in _OF_THE_NODE:
                    raise
            self.close()
            self.addresses.append(self.addresses.pop(0))
        return self._checked(self._call_once(service, method, *arguments))

    def _checked(self, reply: Any) -> Any:
        check_status(reply.status, self.address)
        return reply

    def _tokens(self, tokens: Optional[Sequence[Token]]) -> Any:
        if tokens is None and self.session is not None:
            tokens = self.session.tokens()
        return [token_to_thrift(token) for token in tokens] if tokens else None

    # --- writing ---

    def write(self, write: Any, ack: Optional[str] = None, timeout_ms: Optional[int] = None,
              key: Optional[bytes] = None) -> WriteResult:
        """Writes a TWrite as one entry. `ack`: "local", "majority" or "all". `key`: 1 to 64 bytes; the same
        write sent again with it, to any node that has applied the first, is not applied again."""
        level = ACKS[ack] if ack is not None else None
        if key is not None:
            write.key = key
        reply = self._checked(self._call_once(
            "_client", "write", TWriteReq(self._routed, write, level, timeout_ms)))
        token = token_from_thrift(reply.token)
        if self.session is not None:
            self.session.add(token)
        return WriteResult(token, reply.status.code == Status.PENDING, reply.status.message)

    def insert(self, device: str, timestamp: int, values: Mapping[str, Optional[Value]],
               types: Optional[Types] = None, **options: Any) -> WriteResult:
        """One row: a dict measurement → value."""
        return self.write(TWrite(rows=[make_row(device, timestamp, values, types)]), **options)

    def insert_rows(self, device: str, rows: Iterable[Tuple[int, Mapping[str, Optional[Value]]]],
                    types: Optional[Types] = None, **options: Any) -> WriteResult:
        """Rows (timestamp, dict) as one entry: all of them or none."""
        return self.write(TWrite(rows=[make_row(device, timestamp, values, types)
                                       for timestamp, values in rows]), **options)

    def insert_tablet(self, device: str, timestamps: Sequence[int],
                      columns: Mapping[str, Sequence[Optional[Value]]], types: Optional[Types] = None,
                      **options: Any) -> WriteResult:
        """Many rows as columns: a dict measurement → list of values, None where there is none."""
        return self.write(TWrite(tablets=[make_tablet(device, timestamps, columns, types)]),
                          **options)

    def delete(self, device: str, start: int, end: int, measurements: Optional[Sequence[str]] = None,
               **options: Any) -> WriteResult:
        """Removes a range of time, both ends included."""
        return self.write(TWrite(deletes=[TDelete(device, measurements, start, end)]), **options)

    # --- reading ---

    def query_pages(self, device: str, measurements: Optional[Sequence[str]] = None, start: Optional[int] = None,
                    end: Optional[int] = None, limit: Optional[int] = None, descending: bool = False,
                    tokens: Optional[Sequence[Token]] = None, timeout_ms: Optional[int] = None) -> Iterator[Any]:
        """The replies (TQueryReply) of a query, page by page. `limit`: rows per page."""
        request = TQueryReq(self._routed, device, measurements, start, end, limit, None,
                            descending or None, self._tokens(tokens), timeout_ms)
        while True:
            reply = self._read("_client", "query", request)
            yield reply
            if not reply.nextPage:
                return
            request.page = reply.nextPage

    def query(self, device: str, measurements: Optional[Sequence[str]] = None, start: Optional[int] = None,
              end: Optional[int] = None, limit: Optional[int] = None, descending: bool = False,
              tokens: Optional[Sequence[Token]] = None, timeout_ms: Optional[int] = None) -> Iterator[Row]:
        """All rows of a range of time (both ends included) as Row(timestamp, {name: value}).
        `limit`: rows per page. Where a measurement has values of two types (see Device), a row's
        value is the one of the winning type, else the other."""
        for page in self.query_pages(device, measurements, start, end, limit, descending, tokens,
                                     timeout_ms):
            count = page.rowCount or 0
            columns = [(column.measurement, unpack_column(column, count))
                       for column in page.columns or []]
            for i, timestamp in enumerate(unpack_times(page.timestamps or b"")):
                values: Dict[str, Value] = {}
                for name, column in columns:
                    if column[i] is not None:
                        values.setdefault(name, column[i])
                yield Row(timestamp, values)

    def query_columns(self, device: str, measurements: Optional[Sequence[str]] = None,
                      **options: Any) -> Tuple[List[int], Dict[str, List[Any]]]:
        """The same as (timestamps, {name: values}), without an object for every row; faster."""
        timestamps: List[int] = []
        columns: Dict[str, List[Any]] = {}
        for page in self.query_pages(device, measurements, **options):
            count = page.rowCount or 0
            before = len(timestamps)
            timestamps += unpack_times(page.timestamps or b"")
            seen: set = set()
            for column in page.columns or []:
                name = column.measurement
                values = unpack_column(column, count)
                if name in seen:
                    kept = columns[name]
                    kept[before:] = [old if old is not None else new
                                     for old, new in zip(kept[before:], values)]
                    continue
                seen.add(name)
                columns.setdefault(name, [None] * before).extend(values)
            for name in columns.keys() - seen:
                columns[name] += [None] * count
        return timestamps, columns

    def last(self, device: str, measurements: Optional[Sequence[str]] = None,
             tokens: Optional[Sequence[Token]] = None, timeout_ms: Optional[int] = None) -> Dict[str, LastValue]:
        """The newest value of each measurement, as {name: LastValue}."""
        reply = self._read("_client", "last", TLastReq(self._routed, device, measurements,
                                                       self._tokens(tokens), timeout_ms))
        return {value.measurement: LastValue(value.measurement, DataType(value.type),
                                             value.timestamp, value_from_thrift(value.value))
                for value in reply.values or []}

    def aggregate(self, device: str, measurement: str, start: int, end: int, window: Optional[int] = None,
                  limit: Optional[int] = None, tokens: Optional[Sequence[Token]] = None,
                  timeout_ms: Optional[int] = None) -> List[Window]:
        """Windows of length `window` from `start` on; without it one window over all."""
        request = TAggregateReq(self._routed, device, measurement, start, end, window, limit,
                                self._tokens(tokens), timeout_ms)
        windows = []
        while True:
            reply = self._read("_client", "aggregate", request)
            for each in reply.windows or []:
                windows.append(Window(each.startTime, each.count, each.sum, each.avg,
                                      value_from_thrift(each.min), value_from_thrift(each.max),
                                      value_from_thrift(each.first), each.firstTime,
                                      value_from_thrift(each.last), each.lastTime))
            if reply.nextStartTime is None:
                return windows
            request.startTime = reply.nextStartTime

    def series(self, prefix: Optional[str] = None, limit: Optional[int] = None) -> List[Device]:
        """All devices with their measurements. `limit`: devices per request."""
        request = TSeriesReq(self._routed, prefix, limit)
        devices = []
        while True:
            reply = self._read("_client", "series", request)
            for device in reply.devices or []:
                devices.append(Device(device.device, [
                    Measurement(each.measurement, DataType(each.type), each.conflicting)
                    for each in device.measurements]))
            if reply.nextAfter is None:
                return devices
            request.after = reply.nextAfter

    def tail(self, origin: int, incarnation: int, index: int, wait_ms: int = 0,
             limit: Optional[int] = None) -> List[Entry]:
        """Entries of a log from `index` on that the node has applied, as Entry(token, hlc, write); none when
        none came within wait_ms. To follow a log, ask again for the index behind the last one. OutOfWindow:
        they were deleted; its .first_available tells where the log begins now."""
        reply = self._call_once("_client", "tail", TTailReq(self._named, TLogId(origin, incarnation), index, limit,
                                                            wait_ms))
        try:
            self._checked(reply)
        except SynclogError as error:
            error.first_available = reply.firstAvailable
            raise
        entries = []
        for each in reply.entries:
            write = TWrite()
            write.read(TBinaryProtocolAccelerated(TMemoryBuffer(each.data), strictRead=True))
            entries.append(Entry(Token(origin, incarnation, each.index, self._named), each.hlc, write))
        return entries

    # --- about the node ---

    def info(self) -> Info:
        reply = self._read("_client", "info")
        return Info(reply.nodeId, reply.clusterId, reply.version, reply.timePrecision,
                    reply.groups, reply.configuredGroups or reply.groups)

    def status(self) -> Any:
        """The TNodeStatus of thrift/admin.thrift."""
        return self._read("_admin", "status", TStatusReq(self._named)).node

    def digest(self, tokens: Optional[Sequence[Token]] = None, timeout_ms: Optional[int] = None) -> Digest:
        """Digest of the node's whole state; equal data gives equal digests."""
        reply = self._read("_admin", "digest", TDigestReq(self._named, self._tokens(tokens),
                                                          timeout_ms))
        progress = {(each.log.origin, each.log.incarnation): each.applied
                    for each in (reply.progress.logs if reply.progress else [])}
        return Digest(reply.digest.hex(), reply.cells, reply.devices, progress)

    def forget(self, node_id: int) -> Any:
        """Declares a member lost for good. Invalid while it is there."""
        self._read("_admin", "forget", TForgetReq(self._named, node_id))

    def add_member(self, node_id: int, address: str) -> Any:
        """Lets a new node, which listens for replication at `address`, into the cluster."""
        self._read("_admin", "addMember", TAddMemberReq(self._named, node_id, address))

    def remove_member(self, node_id: int) -> Any:
        """Takes a member out: it goes when the others have what it holds."""
        self._read("_admin", "removeMember", TRemoveMemberReq(self._named, node_id))

    def groups(self) -> Any:
        """The groups of the node (TGroup), with those of which only files are left."""
        return self._read("_admin", "groups").groups or []

    def delete_group(self, group: int) -> Any:
        """Deletes the node's files of a group that is not in its configuration any more."""
        self._checked(self._call_once("_admin", "deleteGroup", TDeleteGroupReq(group)))

    def config(self) -> Any:
        """The configuration in force, as {(section, key): TConfigEntry}."""
        reply = self._read("_admin", "config")
        return {(entry.section, entry.key): entry for entry in reply.entries or []}
