"""A node played by the test on the replication channel: Peer connects to a daemon and sends it
batches as it likes; PeerServer takes a daemon's channel and answers as it likes."""

import itertools
import socket
import struct
import threading
import time

from cluster import Failed
from synclog_client import TWrite, make_row, split_address
from synclog.peer import TPeerService
from synclog.peer.ttypes import (THandshakeReply, THandshakeReq, THeartbeatReply, THeartbeatReq,
                                 TLogBatch, TSyncLogReply, TSyncLogReq)
from synclog.types.ttypes import TGroupProgress, TLogId, TLogProgress, TStatus
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException, TMessageType
from thrift.transport.TTransport import TMemoryBuffer

PROTOCOL_VERSION = 1


# --- records --------------------------------------------------------------------------------------

def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def hlc_now():
    return int(time.time() * 1000) << 16


def encode(struct_):
    """The binary encoding of a Thrift struct."""
    memory = TMemoryBuffer()
    struct_.write(TBinaryProtocolAccelerated(memory))
    return memory.getvalue()


def record(origin, incarnation, index, hlc, data):
    """A TLogBatch with a right checksum."""
    seed = struct.pack(">IQ", origin, incarnation)
    head = b"\x0a\x00\x01%s\x0a\x00\x02%s\x0b\x00\x03%s" % (
        struct.pack(">Q", index), struct.pack(">Q", hlc), struct.pack(">I", len(data)))
    checksum = crc32c(seed + head + data)
    return TLogBatch(index, hlc, data, struct.unpack(">i", struct.pack(">I", checksum))[0])


class Log:
    """A log of a node that the test plays: entry i writes one row at timestamp i."""

    def __init__(self, origin, incarnation=None, device="fake"):
        self.origin = origin
        self.incarnation = incarnation or int(time.time() * 1000000)
        self.device = device
        self.records = []
        self.first_hlc = hlc_now()

    @property
    def last(self):
        return len(self.records)

    def value(self, index):
        return index * 10

    def append(self, count=1, data=None):
        """`count` more entries; `data` instead of a write of a row."""
        for _ in range(count):
            index = self.last + 1
            content = data if data is not None else encode(TWrite(
                rows=[make_row(self.device, index, {"v": self.value(index)})]))
            self.records.append(record(self.origin, self.incarnation, index,
                                       self.first_hlc + index, content))

    def thrift_id(self):
        return TLogId(self.origin, self.incarnation)

    def progress(self):
        return TLogProgress(self.thrift_id(), self.last, self.last, self.last, 1,
                            self.first_hlc + self.last)

    def request(self, first, last, records=None, group=0, sync_now=False, from_wal=False):
        """The TSyncLogReq of entries first … last, or of other `records` under these indices."""
        if records is None:
            records = self.records[first - 1:last]
        return TSyncLogReq(group, self.thrift_id(), first, last, sync_now, from_wal, records)


# --- a channel to a daemon ------------------------------------------------------------------------

def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def encode_message(name, message_type, seqid, arguments):
    memory = TMemoryBuffer()
    protocol = TBinaryProtocolAccelerated(memory)
    protocol.writeMessageBegin(name, message_type, seqid)
    arguments.write(protocol)
    protocol.writeMessageEnd()
    return frame(memory.getvalue())


def read_exactly(connection, size):
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionResetError("closed by the other side")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(connection):
    size, = struct.unpack(">I", read_exactly(connection, 4))
    return read_exactly(connection, size)


class Peer:
    """A channel to a daemon's replication port. send() returns at once with a handle; wait(handle)
    gives the reply, or raises what the daemon answered; replies may come in any order."""

    def __init__(self, node, node_id, cluster_id="test"):
        self.node, self.node_id, self.cluster_id = node, node_id, cluster_id
        self.timeout = node.case.patience(10.0)
        self.connection = socket.create_connection(split_address(node.peer_address), self.timeout)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seqids = itertools.count(1)
        self._replies = {}
        self._arrived = threading.Condition()
        self._broken = None
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self.connection.settimeout(None)
        self._reader.start()

    def close(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._reader.join()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read_all(self):
        try:
            while True:
                self._take(read_frame(self.connection))
        except (OSError, EOFError) as error:
            with self._arrived:
                self._broken = error
                self._arrived.notify_all()

    def _take(self, payload):
        protocol = TBinaryProtocolAccelerated(TMemoryBuffer(payload))
        name, message_type, seqid = protocol.readMessageBegin()
        if message_type == TMessageType.EXCEPTION:
            reply = TApplicationException()
            reply.read(protocol)
        else:
            result = getattr(TPeerService, name + "_result")()
            result.read(protocol)
            reply = result.success
        with self._arrived:
            self._replies[seqid] = reply
            self._arrived.notify_all()

    def send(self, name, request):
        seqid = next(self._seqids)
        arguments = getattr(TPeerService, name + "_args")(request)
        self.connection.sendall(encode_message(name, TMessageType.CALL, seqid, arguments))
        return seqid

    def poll(self, seqid):
        with self._arrived:
            return self._replies.get(seqid)

    def wait(self, seqid, timeout=None):
        with self._arrived:
            self._arrived.wait_for(lambda: seqid in self._replies or self._broken,
                                   timeout or self.timeout)
            if seqid in self._replies:
                reply = self._replies.pop(seqid)
            elif self._broken:
                raise ConnectionResetError(str(self._broken))
            else:
                raise Failed("%s: no reply to request %d" % (self.node, seqid))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def call(self, name, request):
        return self.wait(self.send(name, request))

    def handshake_request(self, logs=(), **changes):
        request = THandshakeReq(
            protocolVersion=PROTOCOL_VERSION, clusterId=self.cluster_id, nodeId=self.node_id,
            targetNodeId=self.node.id, incarnation=logs[0].incarnation if logs else 1,
            timePrecision="ms", maxPendingBatch=5,
            progress=TGroupProgress(0, [log.progress() for log in logs]), hlc=hlc_now())
        for field, value in changes.items():
            setattr(request, field, value)
        return request

    def handshake(self, *logs, **changes):
        return self.call("handshake", self.handshake_request(logs, **changes))

    def sync(self, log, first, last, **options):
        return self.call("syncLog", log.request(first, last, **options))

    def send_sync(self, log, first, last, **options):
        return self.send("syncLog", log.request(first, last, **options))

    def heartbeat(self, *logs):
        return self.call("heartbeat", THeartbeatReq(
            self.node_id, TGroupProgress(0, [log.progress() for log in logs]), hlc_now()))


# --- a daemon's channel to us ---------------------------------------------------------------------

class Listener:
    """Listens on loopback (port 0: any) and runs `_serve(connection)` of the class for each connection, in a thread of
    its own."""

    def __init__(self, port):
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._connections = []
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        raise NotImplementedError


class PeerServer(Listener):
    """Listens as the peer of a daemon. `handshake`, `sync_log` and `heartbeat` are functions
    (request, answer); each calls answer(reply) when it likes, also later, or never. The ones here
    behave as a node that takes everything."""

    def __init__(self, port, node_id):
        self.node_id = node_id
        self.received = {}  # (origin, incarnation) → highest index taken
        self.entries = []   # (origin, incarnation, index) of every entry that came, in order
        self.handshakes = []
        self.handshake = self.welcome
        self.sync_log = self.take
        self.heartbeat = self.take_heartbeat
        super().__init__(port)

    def close(self):
        super().close()
        self.drop_connections()

    def drop_connections(self):
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._connections.clear()

    def progress(self):
        return TGroupProgress(0, [
            TLogProgress(TLogId(*log), last, last, last, 1, 0)
            for log, last in self.received.items()])

    def welcome(self, request, answer):
        self.handshakes.append(request)
        answer(THandshakeReply(TStatus(0, None, False), self.node_id, 1, self.progress(),
                               16 * 1024 * 1024, hlc_now()))

    def refuse(self, code, message):
        """A handshake function that answers with a status."""
        return lambda _request, answer: answer(THandshakeReply(TStatus(code, message, False)))

    def accept(self, request):
        """Takes the entries of a request that are in order; returns the reply."""
        log = (request.log.origin, request.log.incarnation)
        for batch in request.batches:
            self.entries.append(log + (batch.searchIndex,))
        if request.startSyncIndex <= self.received.get(log, 0) + 1:
            self.received[log] = max(self.received.get(log, 0), request.endSyncIndex)
        last = self.received.get(log, 0)
        return TSyncLogReply(TStatus(0, None, False), last, last, last)

    def take(self, request, answer):
        answer(self.accept(request))

    def take_heartbeat(self, _request, answer):
        answer(THeartbeatReply(TStatus(0, None, False), self.progress(), 0))

    def _serve(self, connection):
        functions = {"handshake": "handshake", "syncLog": "sync_log", "heartbeat": "heartbeat"}
        lock = threading.Lock()
        try:
            while True:
                protocol = TBinaryProtocolAccelerated(TMemoryBuffer(read_frame(connection)))
                name, _, seqid = protocol.readMessageBegin()
                arguments = getattr(TPeerService, name + "_args")()
                arguments.read(protocol)

                def answer(reply, name=name, seqid=seqid):
                    result = getattr(TPeerService, name + "_result")(success=reply)
                    with lock:
                        connection.sendall(encode_message(name, TMessageType.REPLY, seqid, result))

                getattr(self, functions[name])(arguments.req, answer)
        except OSError:
            pass
        finally:
            connection.close()
