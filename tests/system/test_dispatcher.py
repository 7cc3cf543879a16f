"""What a sender does with replies that come late, in another order, as failures or never. The test
plays node 2 and takes the channel of a real node 1."""

import threading
import time

from case import expect, expect_equal, test
from cluster import free_port
from load import Writer, join_writers
from peer import PeerServer, TSyncLogReply, TStatus
from synclog_client import Status

# One entry a batch, so that the order of batches is the order of entries.
SMALL = {"replication.max_requests_per_batch": 1, "replication.max_pending_batch": 5,
         "replication.basic_retry_wait": "20ms", "replication.max_retry_wait": "200ms"}


def node_and_server(case, config=None):
    port = free_port(case)
    server = PeerServer(port, node_id=2)
    case.at_end(server.close)
    options = dict(SMALL)
    options.update(config or {})
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port}, config=options).start()
    case.eventually("the channel is open", lambda: node.peer_status(2).state == "connected")
    return node, server


def write(node, count, **options):
    return join_writers([_started(Writer(node.address, "d", count=count, **options))])


def _started(writer):
    writer.start()
    return writer


def all_taken(case, node, server, count):
    log = node.own_log().progress.log
    case.eventually("the peer has all", lambda: (
        server.received.get((log.origin, log.incarnation)) == count))
    case.eventually("the node knows it", lambda: (
        node.peer_status(2).batchesInFlight == 0 and
        [each.durable for each in node.peer_status(2).progress.logs
         if each.log == log] == [count]))
    return [index for _, _, index in server.entries]


class Holder:
    """Keeps requests back and answers them in an order of its own, five at a time."""

    def __init__(self, server, order):
        self.server, self.order = server, order
        self.held, self.most = [], 0
        self.lock = threading.Lock()
        self.last_wanted = None
        server.sync_log = self.hold

    def hold(self, request, answer):
        with self.lock:
            reply = self.server.accept(request)
            self.held.append((reply, answer))
            self.most = max(self.most, len(self.held))
            if len(self.held) < 5 and reply.received != self.last_wanted:
                return
            held, self.held = self.held, []
        for reply, late_answer in self.order(held):
            late_answer(reply)


def replies_in(case, order):
    node, server = node_and_server(case)
    count = case.scaled(60, least=20)
    holder = Holder(server, order)
    holder.last_wanted = count
    # Concurrent writers fill the window; with five unanswered the node sends no more.
    writers = [_started(Writer(node.address, "d%d" % i, count=count // 10)) for i in range(10)]
    count = count // 10 * 10
    holder.last_wanted = count
    ledger = join_writers(writers)
    expect_equal(ledger.writes, count, "writes")
    entries = all_taken(case, node, server, count)
    expect_equal(entries, list(range(1, count + 1)), "entries, in the order in which they came")
    expect(holder.most <= 5, "%d batches in flight at once", holder.most)
    expect_equal(node.peer_status(2).batchesRetried, 0, "batches sent again")


@test
def replies_in_order(case):
    replies_in(case, lambda held: held)


@test
def replies_in_reverse(case):
    replies_in(case, lambda held: held[::-1])


@test
def replies_mixed(case):
    def mixed(held):
        held = list(held)
        case.random.shuffle(held)
        return held
    replies_in(case, mixed)


@test
def d06_a_refused_batch_is_sent_again_in_order(case):
    """Only an explicit success moves the index: each entry is refused once, by another status."""
    node, server = node_and_server(case)
    refused = set()
    codes = [Status.INTERNAL, Status.OVERLOADED, Status.NO_SPACE, Status.CORRUPT, Status.NOT_READY,
             Status.INVALID, Status.TIMEOUT, Status.READ_ONLY]

    def refuse_once(request, answer):
        first = request.startSyncIndex
        if first not in refused and first % 3 == 0:
            refused.add(first)
            answer(TSyncLogReply(TStatus(codes[first // 3 % len(codes)], "not this time", True),
                                 first - 1, first - 1, first - 1))
        elif first > server.received.get((request.log.origin, request.log.incarnation), 0) + 1:
            # Behind the one that was refused; a real node would wait, this one is strict.
            answer(TSyncLogReply(TStatus(Status.OUT_OF_WINDOW, "hole", True), 0, 0, 0,
                                 server.received.get((request.log.origin,
                                                      request.log.incarnation), 0) + 1))
        else:
            server.take(request, answer)

    server.sync_log = refuse_once
    write(node, 24)
    entries = all_taken(case, node, server, 24)
    expect_equal(sorted(set(entries)), list(range(1, 25)), "entries")
    expect_equal(entries, sorted(entries), "order of the entries that were taken")
    expect(node.peer_status(2).batchesRetried >= 8, "batches sent again: %d",
           node.peer_status(2).batchesRetried)


@test
def a_peer_that_never_answers(case):
    """The channel is given up after request_timeout and tried again; clients do not notice."""
    node, server = node_and_server(case, {"replication.request_timeout": "500ms",
                                          "replication.heartbeat_interval": "100ms"})
    server.sync_log = lambda request, answer: None
    begin = time.monotonic()
    write(node, 20)
    case.note("20 writes took %.0f ms while the peer was silent" %
              ((time.monotonic() - begin) * 1000))
    case.eventually("the node tries a new channel", lambda: len(server.handshakes) > 1)
    server.sync_log = server.take
    all_taken(case, node, server, 20)


@test
def a_lone_entry_is_sent_at_once(case):
    node, server = node_and_server(case, {"replication.heartbeat_interval": "10s"})
    waits = []
    for i in range(1, 11):
        write(node, 1, first=i)
        begin = time.monotonic()
        log = node.own_log().progress.log
        case.eventually("it arrives", lambda: (
            server.received.get((log.origin, log.incarnation)) == i), pause=0.0005)
        waits.append(time.monotonic() - begin)
    case.note("a lone entry is at the peer %.1f ms after its answer (median, asking included)" %
              (sorted(waits)[5] * 1000))


@test
def a_peer_that_lost_its_disk(case):
    """It says in the handshake that it has nothing: it gets everything again."""
    node, server = node_and_server(case)
    write(node, 30)
    all_taken(case, node, server, 30)
    server.received.clear()
    server.entries.clear()
    server.drop_connections()
    entries = all_taken(case, node, server, 30)
    expect_equal(entries, list(range(1, 31)), "entries")
