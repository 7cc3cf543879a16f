"""Nodes that do not belong together refuse each other, and say why where an operator looks."""

from case import expect, expect_equal, test
from cluster import free_port
from peer import Log, Peer, PeerServer
from synclog_client import Status

QUICK = {"replication.basic_retry_wait": "50ms", "replication.max_retry_wait": "500ms"}


def lone_node(case):
    return case.node(node_id=1, peers={2: "127.0.0.1:%d" % free_port(case)}, config=QUICK).start()


@test
def strangers_are_refused(case):
    node = lone_node(case)
    log = Log(origin=2)
    log.append(3)
    for what, code, words, changes in (
            ("another cluster", Status.WRONG_CLUSTER, ["elsewhere", "test"],
             {"clusterId": "elsewhere"}),
            ("another version", Status.WRONG_VERSION, ["99"], {"protocolVersion": 99}),
            ("another precision", Status.WRONG_PRECISION, ["ns", "ms"], {"timePrecision": "ns"}),
            ("this node's id", Status.DUPLICATE_NODE, ["1"], {"nodeId": 1}),
            ("no member", Status.NOT_MEMBER, ["77"], {"nodeId": 77}),
            ("meant for another", Status.NOT_MEMBER, ["2"], {"targetNodeId": 2}),
            ("an endless window", Status.INVALID, ["100000"], {"maxPendingBatch": 100000})):
        with Peer(node, 2) as peer:
            reply = peer.handshake(log, **changes)
            expect_equal(reply.status.code, code, what)
            for word in words:
                expect(word in (reply.status.message or ""), "%s: the message does not say %s: %r",
                       what, word, reply.status.message)
            # And it can't go on as if nothing had been said.
            try:
                reply = peer.sync(log, 1, 3)
                expect(reply.status.code != Status.OK, "%s: entries were taken", what)
            except OSError:
                pass
        expect("refused" in node.log_text(), "%s: the daemon's log says nothing", what)
    with Peer(node, 2) as peer:
        try:
            reply = peer.sync(log, 1, 3)
            expect(reply.status.code != Status.OK, "entries were taken without a handshake")
        except OSError:
            pass
    expect_equal(node.status().entriesApplied, 0, "entries applied")
    with Peer(node, 2) as peer:
        expect_equal(peer.handshake(log).status.code, Status.OK, "a right handshake")
        expect_equal(peer.sync(log, 1, 3).status.code, Status.OK, "entries after it")


@test
def only_the_latest_channel_of_a_peer_counts(case):
    """What is still read of an earlier one may come from a process that is gone, and has lost it (P3)."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(6)
    with Peer(node, 2) as stale, Peer(node, 2) as peer:
        expect_equal(stale.handshake(log).status.code, Status.OK, "the first handshake")
        expect_equal(stale.sync(log, 1, 2).status.code, Status.OK, "entries after it")
        expect_equal(peer.handshake(log).status.code, Status.OK, "the second handshake")
        expect_equal(stale.sync(log, 3, 4).status.code, Status.NOT_MEMBER, "entries on the first channel")
        expect_equal(stale.heartbeat(log).status.code, Status.NOT_MEMBER, "a heartbeat on it")
        expect_equal(node.status().entriesApplied, 2, "entries applied")
        expect_equal(peer.sync(log, 3, 4).status.code, Status.OK, "entries on the second channel")
        expect_equal(peer.heartbeat(log).status.code, Status.OK, "a heartbeat on it")
        # A refused handshake takes nothing away.
        expect(stale.handshake(log, clusterId="elsewhere").status.code != Status.OK, "another cluster: welcome")
        expect_equal(peer.sync(log, 5, 6).status.code, Status.OK, "entries after another's refusal")


@test
def names_that_are_none(case):
    """Fields of a handshake far out of range."""
    node = lone_node(case)
    for changes in ({"nodeId": 0}, {"nodeId": -1}, {"nodeId": 2 ** 31 - 1}, {"clusterId": ""},
                    {"clusterId": "x" * 100000}, {"incarnation": -1}, {"incarnation": 0},
                    {"timePrecision": "x" * 1000}, {"maxPendingBatch": -1},
                    {"targetNodeId": -5}, {"protocolVersion": -1}):
        with Peer(node, 2) as peer:
            try:
                reply = peer.handshake(**changes)
                expect(reply.status.code > Status.PENDING or "incarnation" in changes,
                       "%r: welcome", changes)
            except OSError:
                pass
    log = Log(origin=2)
    log.append(3)
    with Peer(node, 2) as peer:
        expect_equal(peer.handshake(log).status.code, Status.OK, "a right handshake")
        expect_equal(peer.sync(log, 1, 3).received, 3, "received")


def see_refusal(case, node, peer_id, *words):
    def refused():
        status = node.peer_status(peer_id)
        return status.state == "refused" and all(word in (status.message or "") for word in words)
    case.eventually("%s shows that node %d refuses it, with %r; it shows %s" %
                    (node, peer_id, words, node.peer_status(peer_id)), refused)
    expect(all(word in node.log_text() for word in words), "%s: its log does not say %r", node,
           words)


def two_nodes(case, first, second, second_id=2):
    """Two nodes that have each other's address but differ in their configuration."""
    one = case.node(node_id=1, config=dict(QUICK, **first))
    two = case.node(node_id=second_id, name="other", config=dict(QUICK, **second))
    one.peers[2] = two.peer_address
    two.peers[1 if second_id != 1 else 2] = one.peer_address
    one.start()
    two.start()
    return one, two


@test
def another_cluster_is_visible(case):
    one, two = two_nodes(case, {"cluster.id": "east"}, {"cluster.id": "west"})
    see_refusal(case, one, 2, "east", "west")
    see_refusal(case, two, 1, "east", "west")
    for node in (one, two):
        with node.client() as client:
            client.insert("d", 1, {"v": node.id})
    expect(one.digest().digest != two.digest().digest, "data went from one cluster to another")


@test
def another_precision_is_visible(case):
    one, two = two_nodes(case, {}, {"cluster.time_precision": "us"})
    see_refusal(case, one, 2, "ms", "us")
    see_refusal(case, two, 1, "ms", "us")


@test
def the_same_node_id_is_visible(case):
    one, two = two_nodes(case, {}, {}, second_id=1)
    see_refusal(case, one, 2, "1")
    see_refusal(case, two, 2, "1")


@test
def another_version_is_visible(case):
    port = free_port(case)
    server = PeerServer(port, node_id=2)
    case.at_end(server.close)
    server.handshake = server.refuse(Status.WRONG_VERSION, "protocol version 1, this is 2")
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port}, config=QUICK).start()
    see_refusal(case, node, 2, "version 1, this is 2")
    # When the peer was replaced by a right one, it goes on by itself.
    server.handshake = server.welcome
    case.eventually("the channel is open", lambda: node.peer_status(2).state == "connected")
    expect(not node.peer_status(2).message, "an old message: %r", node.peer_status(2).message)


@test
def a_wrong_address_is_visible(case):
    """At the address of node 2 answers node 3."""
    port = free_port(case)
    server = PeerServer(port, node_id=3)
    case.at_end(server.close)
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port}, config=QUICK).start()
    see_refusal(case, node, 2, "3")
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
    expect_equal(server.entries, [], "entries sent to the wrong node")


@test
def a_peer_that_talks_nonsense(case):
    """Replies are as little believed as requests."""
    port = free_port(case)
    server = PeerServer(port, node_id=2)
    case.at_end(server.close)
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % port}, config=QUICK).start()
    case.eventually("the channel is open", lambda: node.peer_status(2).state == "connected")

    def boast(_request, answer):
        reply = server.accept(_request)
        reply.received = reply.durable = reply.applied = 1 << 62
        answer(reply)

    server.sync_log = boast
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
        case.eventually("the node sent it", lambda: server.entries)
        for i in range(2, 5):
            client.insert("d", i, {"v": i})
        expect_equal(len(list(client.query("d"))), 4, "rows")
    server.drop_connections()
    for payload in (b"\x00" * 4, b"\xff" * 100, b"\x00\x00\x00\x20" + b"x" * 32,
                    b"\x7f\xff\xff\xff" + b"x" * 100):
        server.handshake = _raw(server, payload)
        count = len(server.handshakes)
        server.drop_connections()
        case.eventually("the node tries again",
                        lambda count=count: len(server.handshakes) > count)
    with node.client() as client:
        expect_equal(len(list(client.query("d"))), 4, "rows")


def _raw(server, payload):
    def answer_raw(request, _answer):
        server.handshakes.append(request)
        for connection in list(server._connections):  # pylint: disable=protected-access
            try:
                connection.sendall(payload)
            except OSError:
                pass
    return answer_raw
