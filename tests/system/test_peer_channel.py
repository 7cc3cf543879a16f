"""What a follower does with batches that come twice, late, too early, damaged or not at all. The
test plays node 2."""

from case import expect, expect_equal, test
from cluster import free_port
from peer import Log, Peer, hlc_now, record
from synclog_client import Status
from synclog.peer.ttypes import THeartbeatReq
from synclog.types.ttypes import TGroupProgress


def lone_node(case, **config):
    """Node 1 of a cluster of 3 whose other nodes are not there."""
    node = case.node(node_id=1, peers={2: "127.0.0.1:%d" % free_port(case),
                                       3: "127.0.0.1:%d" % free_port(case)}, config=config)
    return node.start()


def applied(case, node, log, index):
    """Waits until the node has applied the log up to `index`; checks what it holds."""
    def progress():
        status = node.log_status(log.origin)
        return status is not None and status.progress.applied >= index and status.progress
    at = case.eventually("entry %d is applied" % index, progress)
    expect_equal(at.applied, index, "applied")
    with node.client() as client:
        rows = [(row.timestamp, row.values["v"]) for row in client.query(log.device)]
    expect_equal(rows, [(i, log.value(i)) for i in range(1, index + 1)], "rows")
    return at


@test
def a_batch_twice_changes_nothing(case):
    node = lone_node(case)
    log = Log(origin=2)
    log.append(20)
    with Peer(node, 2) as peer:
        reply = peer.handshake(log)
        expect_equal(reply.status.code, Status.OK, "handshake")
        expect_equal(reply.nodeId, 1, "node id in the reply")
        for _ in range(3):
            reply = peer.sync(log, 1, 10)
            expect_equal((reply.status.code, reply.received), (Status.OK, 10), "reply")
        applied(case, node, log, 10)
        status = node.status()
        expect_equal(status.entriesApplied, 10, "entries applied")
        expect_equal(status.entriesDuplicate, 20, "entries that came twice")
        # One that overlaps, and one from long ago.
        expect_equal(peer.sync(log, 6, 15).received, 15, "received")
        expect_equal(peer.sync(log, 3, 4).received, 15, "received")
        applied(case, node, log, 15)
        status = node.status()
        expect_equal(status.entriesApplied, 15, "entries applied")
        expect_equal(status.entriesDuplicate, 27, "entries that came twice")
        before = node.digest()
    # The same after a restart, on a new channel.
    node.stop()
    node.start()
    with Peer(node, 2) as peer:
        reply = peer.handshake(log)
        progress = [each for each in reply.progress.logs if each.log.origin == 2]
        expect_equal([(each.received, each.applied) for each in progress], [(15, 15)],
                     "progress in the handshake")
        expect_equal(peer.sync(log, 1, 15).received, 15, "received")
        expect_equal(node.status().entriesApplied, 0, "entries applied after the restart")
        expect_equal(node.digest()[:3], before[:3], "digest")
        expect_equal(peer.sync(log, 16, 20).received, 20, "received")
        applied(case, node, log, 20)
        expect_equal(node.status().entriesApplied, 5, "entries applied after the restart")


@test
def a_batch_that_is_late(case):
    """Batch k is lost while k+1 … k+5 arrive, in reverse; then k comes."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(70)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 10).received, 10, "received")
        ahead = [peer.send_sync(log, first, first + 9) for first in (61, 51, 41, 31, 21)]
        # This one goes through after them on the same connection: they have been looked at.
        peer.heartbeat(log)
        for seqid in ahead:
            expect(peer.poll(seqid) is None, "a batch behind a hole was answered: %r",
                   peer.poll(seqid))
        expect_equal(node.log_status(2).progress.received, 10, "received with a hole")
        expect_equal(node.log_status(2).progress.applied, 10, "applied with a hole")
        expect(peer.sync(log, 11, 20).received >= 20, "batch k does not count")
        for seqid in ahead:
            expect_equal(peer.wait(seqid).status.code, Status.OK, "late reply")
        applied(case, node, log, 70)
        expect_equal(node.status().entriesApplied, 70, "entries applied")
        expect_equal(node.status().entriesDuplicate, 0, "entries that came twice")


@test
def batches_ahead_are_forgotten_with_the_node(case):
    """What waits behind a hole was never promised: after a restart it comes again."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(30)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        peer.send_sync(log, 11, 20)
        peer.send_sync(log, 21, 30)
        peer.heartbeat(log)
    node.kill()
    node.start()
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect(peer.sync(log, 1, 10).received >= 10, "received")
        expect(peer.sync(log, 11, 30).received == 30, "received")
    applied(case, node, log, 30)


@test
def a_batch_beyond_the_window(case):
    node = lone_node(case)
    log = Log(origin=2)
    log.append(400)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 3).received, 3, "received")
        # Batches of one entry behind a hole, until the node has no room to wait.
        sent, refused = {}, None
        for index in range(5, 401):
            sent[index] = peer.send_sync(log, index, index)
            peer.heartbeat(log)
            refused = next((reply for reply in map(peer.poll, sent.values()) if reply), None)
            if refused is not None:
                break
        expect(refused is not None, "the node keeps any number of batches behind a hole")
        expect_equal(refused.status.code, Status.OUT_OF_WINDOW, "status")
        expect_equal(refused.expectedIndex, 4, "expected index")
        expect(refused.status.retryable, "not said to be retryable")
        expect_equal(refused.received, 3, "received")
        applied(case, node, log, 3)
        case.note("up to %d batches wait behind a hole" % (len(sent) - 1))
        expect_equal(peer.sync(log, 4, 4).status.code, Status.OK, "status of the missing batch")
        again = []
        for index, seqid in sent.items():
            if peer.wait(seqid).status.code != Status.OK:
                again.append(index)
        for index in again:
            expect_equal(peer.sync(log, index, index).status.code, Status.OK, "sent again")
        applied(case, node, log, max(sent))


@test
def a_damaged_record_in_the_middle(case):
    """Nothing at or behind it is taken; the same range in good order is."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(30)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        expect_equal(peer.sync(log, 1, 10).received, 10, "received")
        damaged = log.records[10:20]
        bad = record(log.origin, log.incarnation, 15, log.first_hlc + 15, log.records[14].data)
        bad.data = bad.data[:-3] + bytes([bad.data[-3] ^ 1]) + bad.data[-2:]
        damaged[4] = bad
        reply = peer.sync(log, 11, 20, records=damaged)
        expect_equal(reply.status.code, Status.CORRUPT, "status")
        expect("15" in (reply.status.message or ""), "the message does not name the entry: %r",
               reply.status.message)
        expect(reply.received <= 14, "received %d over a damaged record", reply.received)
        expect(node.log_status(2).progress.applied <= 14, "a damaged record was applied")
        # A record of another log is damaged as well: its checksum begins with the log's id.
        other = Log(origin=3, incarnation=log.incarnation)
        other.append(20)
        expect_equal(peer.sync(log, 11, 20, records=other.records[10:20]).status.code,
                     Status.CORRUPT, "status of another log's records")
        expect_equal(peer.sync(log, 11, 20).status.code, Status.OK, "the same in good order")
        expect_equal(peer.sync(log, 21, 30).status.code, Status.OK, "what follows")
        applied(case, node, log, 30)


@test
def records_that_are_not_what_the_request_says(case):
    """Wrong indices, a count that does not fit, a hole inside, an empty batch, an unknown group."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(20)
    stranger = Log(origin=9)
    stranger.append(3)
    own = Log(origin=1, incarnation=node.own_log().progress.log.incarnation)
    own.append(3)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        records = log.records
        for what, request in (
                ("other indices", log.request(2, 11, records[0:10])),
                ("fewer than said", log.request(1, 10, records[0:9])),
                ("more than said", log.request(1, 10, records[0:11])),
                ("a hole inside", log.request(1, 10, records[0:5] + records[6:11])),
                ("two the same", log.request(1, 10, records[0:5] + records[4:9])),
                ("backwards", log.request(10, 1, records[0:10])),
                ("nothing", log.request(1, 0, [])),
                ("an unknown group", log.request(1, 10, group=7)),
                ("a stranger's log", stranger.request(1, 3)),
                ("the node's own log", own.request(1, 3))):
            try:
                reply = peer.call("syncLog", request)
                expect(reply.status.code > Status.PENDING, "%s: taken", what)
                expect(reply.status.message, "%s: no message", what)
            except OSError:
                # It cost the connection: as good, as long as nothing was taken.
                peer.close()
                peer.__init__(node, 2)
                peer.handshake(log)
        status = node.log_status(2)
        expect(status is None or status.progress.received == 0, "something was taken")
        expect_equal(node.status().entriesApplied, 0, "entries applied")
        expect_equal(peer.sync(log, 1, 20).status.code, Status.OK, "a right batch afterwards")
        applied(case, node, log, 20)


@test
def an_entry_that_does_not_decode(case):
    """Right checksum, but no TWrite: that log stops there, visibly; all else goes on."""
    node = lone_node(case)
    log, other = Log(origin=2, device="two"), Log(origin=3, device="three")
    log.append(10)
    log.append(1, data=b"\x0f\x00\x02 this is no write")
    log.append(5)
    other.append(20)
    with Peer(node, 2) as peer, Peer(node, 3) as third:
        peer.handshake(log)
        third.handshake(other)
        expect_equal(third.sync(other, 1, 10).status.code, Status.OK, "another log")
        reply = peer.sync(log, 1, 16)
        expect_equal(reply.status.code, Status.CORRUPT, "status")
        expect("11" in (reply.status.message or ""), "the message does not name the entry: %r",
               reply.status.message)
        applied(case, node, log, 10)
        stopped = case.eventually("the log is shown as stopped", lambda: (
            node.log_status(2).state == "stopped" and node.log_status(2)))
        expect("11" in (stopped.message or ""), "the state does not name the entry: %r",
               stopped.message)
        expect("11" in node.log_text(), "the daemon's log does not name the entry")
        # Not by trying again, nor by going round it.
        expect_equal(peer.sync(log, 11, 11).status.code, Status.CORRUPT, "the same again")
        skipping = peer.send_sync(log, 12, 16)
        peer.heartbeat(log)
        reply = peer.poll(skipping)
        expect(reply is None or reply.status.code != Status.OK, "it was skipped")
        expect_equal(node.log_status(2).progress.applied, 10, "applied")
        # The others.
        expect_equal(third.sync(other, 11, 20).status.code, Status.OK, "another log")
        applied(case, node, other, 20)
        with node.client() as client:
            client.insert("own", 1, {"v": 1})
            expect_equal(len(list(client.query("own"))), 1, "own rows")


@test
def clocks_that_go_wrong(case):
    """A clock that does not grow along the log, or is negative, is no reason to die or to stamp
    nonsense."""
    node = lone_node(case)
    log = Log(origin=2)
    log.append(5)
    log.records[2] = record(2, log.incarnation, 3, log.first_hlc - 1000000, log.records[2].data)
    with Peer(node, 2) as peer:
        peer.handshake(log)
        try:
            peer.sync(log, 1, 5)
        except OSError:
            pass
    far = hlc_now() + (1000 * 86400 * 1000 << 16)
    for hlc in (-1, -2 ** 63, 2 ** 63 - 1, far):
        with Peer(node, 3) as peer:
            try:
                peer.handshake(hlc=hlc)
                peer.call("heartbeat", THeartbeatReq(3, TGroupProgress(0, []), hlc))
            except OSError:
                pass
    with node.client() as client:
        for i in range(3):
            client.insert("own", i, {"v": i})
        expect_equal(len(list(client.query("own"))), 3, "own rows")
    ahead_ms = (node.status().hlc >> 16) - (hlc_now() >> 16)
    expect(-60000 < ahead_ms < 60000, "the node's clock is %d ms ahead", ahead_ms)
