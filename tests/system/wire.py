"""Frames made by hand, for what the generated code would never send."""

import socket
import struct

from cluster import Failed
from peer import frame, read_frame
from synclog_client import split_address
from synclog.client import TClientService
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport.TTransport import TMemoryBuffer

VERSION_1 = 0x80010000


def header(name, message_type=TMessageType.CALL, seqid=1):
    name = name.encode() if isinstance(name, str) else name
    return struct.pack(">II", VERSION_1 | message_type, len(name)) + name + struct.pack(">i", seqid)


def field(field_type, field_id, content):
    return struct.pack(">Bh", field_type, field_id) + content


def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def string(content):
    content = content.encode() if isinstance(content, str) else content
    return i32(len(content)) + content


def list_of(element_type, elements, count=None):
    return struct.pack(">Bi", element_type, len(elements) if count is None else count) + \
        b"".join(elements)


def struct_of(*fields):
    return b"".join(fields) + b"\x00"


def call(name, request, seqid=1):
    """A frame that calls a method of one argument `req`, given as an encoded struct."""
    return frame(header(name, seqid=seqid) + struct_of(field(TType.STRUCT, 1, request)))


def value_of(**fields):
    """An encoded TValue."""
    ids = {"boolean": (TType.BOOL, 1), "int32": (TType.I32, 2), "int64": (TType.I64, 3),
           "float32": (TType.DOUBLE, 4), "double": (TType.DOUBLE, 5), "text": (TType.STRING, 6)}
    parts = []
    for name, content in fields.items():
        field_type, field_id = ids[name]
        parts.append(field(field_type, field_id, content))
    return struct_of(*parts)


def row(device="d", timestamp=1, measurements=("v",), values=None, extra=b""):
    """An encoded TRow."""
    values = values if values is not None else [value_of(int64=i64(1))]
    return struct_of(field(TType.STRING, 1, string(device)), field(TType.I64, 2, i64(timestamp)),
                     field(TType.LIST, 3, list_of(TType.STRING, [string(m) for m in measurements])),
                     field(TType.LIST, 4, list_of(TType.STRUCT, values)), extra)


def write_of(*fields, ack=None, group=0, extra=b""):
    """A frame that calls write with a TWrite of these encoded fields."""
    parts = [field(TType.I32, 1, i32(group)), field(TType.STRUCT, 2, struct_of(*fields))]
    if ack is not None:
        parts.append(field(TType.I32, 3, i32(ack)))
    return call("write", struct_of(*parts, extra))


def rows_field(*rows):
    return field(TType.LIST, 2, list_of(TType.STRUCT, list(rows)))


class Raw:
    """A plain connection to the client port."""

    def __init__(self, address, timeout=10.0):
        self.connection = socket.create_connection(split_address(address), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, content):
        """Sends; the node may close meanwhile."""
        try:
            self.connection.sendall(content)
        except OSError:
            pass

    def reply(self):
        """(message type, seqid, result struct or exception) of the next reply; None when the node
        closed the connection."""
        try:
            payload = read_frame(self.connection)
        except socket.timeout:
            raise Failed("the node neither answers nor closes") from None
        except OSError:
            return None
        version, size = struct.unpack(">II", payload[:8])
        message_type = version & 0xff
        seqid, = struct.unpack(">i", payload[8 + size:12 + size])
        protocol = TBinaryProtocolAccelerated(TMemoryBuffer(payload[12 + size:]))
        if message_type == TMessageType.EXCEPTION:
            # It echoes the name that it was sent, which may be anything.
            result = TApplicationException()
        else:
            result = getattr(TClientService, payload[8:8 + size].decode() + "_result")()
        result.read(protocol)
        return message_type, seqid, result
