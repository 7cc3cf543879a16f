"""A node played by the test on the port for clients: it says who it is, and refuses all else as it is told."""

from peer import Listener, encode_message, read_frame
from synclog.admin import TAdminService
from synclog.client import TClientService
from synclog.client.ttypes import TInfoReply
from synclog.types.ttypes import TStatus
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer


class Refuser(Listener):
    """Answers every request but `info` with the status `code`. Is it None, the connection is closed instead.
    `asked`: the requests that came, (method, arguments)."""

    def __init__(self, case, code, cluster_id="test", message="as the test wants it", retry_after_ms=None):
        self.cluster_id = cluster_id
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.groups = [0]
        self.asked = []
        super().__init__(0)
        case.at_end(self.close)

    @property
    def methods(self):
        return [method for method, _ in self.asked]

    def _answer(self, method, service):
        if method == "info":
            return TInfoReply(TStatus(0, None, False), 99, self.cluster_id, "0", "ms", self.groups)
        result = getattr(service, method + "_result")
        reply = result.thrift_spec[0][3][0]
        return reply(status=TStatus(int(self.code), self.message, True, self.retry_after_ms))

    def _serve(self, connection):
        with connection:
            while True:
                try:
                    protocol = TBinaryProtocolAccelerated(TMemoryBuffer(read_frame(connection)))
                except OSError:
                    return
                method, _, seqid = protocol.readMessageBegin()
                service = TClientService if hasattr(TClientService, method + "_args") else TAdminService
                arguments = getattr(service, method + "_args")()
                arguments.read(protocol)
                if method != "info":
                    self.asked.append((method, arguments))
                    if self.code is None:
                        return
                result = getattr(service, method + "_result")(success=self._answer(method, service))
                connection.sendall(encode_message(method, TMessageType.REPLY, seqid, result))
