"""The faults that are mixed. Each is a function that makes one and returns what undoes it, or None
when nothing is to be undone; it counts itself in round_.figures.faults. A fault of a node is given one
that has none of its own already; those of links choose for themselves."""

import os
import signal
import socket
import struct
import threading

import crash
from peer import frame
from wire import header

INFO = frame(header("info") + b"\x00")


def _told(round_, kind):
    round_.figures.faults[kind] += 1


def _random_link(round_):
    return round_.cluster.links[round_.random.choice(sorted(round_.cluster.links))]


# --- links ----------------------------------------------------------------------------------------

def _cut(round_, what, links):
    for link in links:
        link.cut()
    _told(round_, what)
    return lambda: [link.heal() for link in links]


def cut_a_node(round_, _node):
    node = round_.random.choice(list(round_.cluster))
    return _cut(round_, "node cut off", [
        link for ends, link in round_.cluster.links.items() if node.id in ends])


def cut_a_pair(round_, _node):
    one, other = round_.random.sample([node.id for node in round_.cluster], 2)
    return _cut(round_, "link cut", [
        round_.cluster.links[one, other], round_.cluster.links[other, one]])


def one_way(round_, _node):
    """Everything from one node to another vanishes, connections of both stay open."""
    one, other = round_.random.sample([node.id for node in round_.cluster], 2)
    there, back = round_.cluster.links[one, other], round_.cluster.links[other, one]
    there.block(forward=True, back=False)
    back.block(forward=False, back=True)
    _told(round_, "one-way cut")
    return lambda: (there.heal(), back.heal())


def flapping(round_, _node):
    link, over = _random_link(round_), threading.Event()
    pause = round_.random.choice((0.02, 0.1))

    def flap():
        while not over.wait(pause):
            link.cut()
            over.wait(pause)
            link.heal()
    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    _told(round_, "flapping link")

    def undo():
        over.set()
        thread.join()
        link.heal()
    return undo


def slow_link(round_, _node):
    link = _random_link(round_)
    link.delay(round_.random.choice((0.005, 0.05, 0.3)))
    _told(round_, "slow link")
    return link.heal


def resets(round_, _node):
    """Connections between nodes and of clients end within a frame."""
    links = round_.random.sample(sorted(round_.cluster.links), 2)
    for ends in links:
        round_.cluster.links[ends].reset_after(round_.random.randrange(1, 3000),
                                               round_.random.randrange(2))
    for link in round_.client_links.values():
        link.reset_after(round_.random.randrange(1, 3000), round_.random.randrange(2))
    round_.figures.faults["reset within a frame"] += len(links) + len(round_.client_links)


# --- processes ------------------------------------------------------------------------------------

def stand_still(round_, node):
    node.signal(signal.SIGSTOP)
    _told(round_, "SIGSTOP")
    return node.resume


def kill(round_, node):
    node.kill()
    _told(round_, "kill -9")
    return lambda: round_.restart(node)


def stop(round_, node):
    node.signal_stop()
    _told(round_, "SIGTERM")

    def undo():
        node.wait_stopped(40)
        round_.restart(node)
    return undo


def power(round_, node):
    """Only where each node has a disk of its own."""
    crash.lose_power(round_, [node])
    return lambda: crash.start_all(round_, [node])


# --- disks ----------------------------------------------------------------------------------------

def slow_disk(round_, node):
    points = ("wal_before_sync", "wal_fill", "store_before_write", "store_before_flush")
    node.arm("%s=delay:%d+" % (round_.random.choice(points), round_.random.choice((3, 30))))
    _told(round_, "slow disk")
    return lambda: (round_.note_fired(node), round_.disarm(node))


def failing_sync(round_, node):
    """EIO: the log is read-only until a restart. A node that needs the file to go on may end."""
    points = ("wal_before_sync", "wal_before_sync", "wal_append", "wal_fill", "segment_header_sync",
              "segment_header_write", "segment_rename", "directory_sync", "identity_sync",
              "identity_write", "identity_rename")
    node.expect_death()
    node.arm("%s=EIO@%d" % (round_.random.choice(points), round_.random.randrange(1, 6)))
    _told(round_, "EIO")

    def undo():
        round_.disarm(node)
        round_.note_fired(node)
        if node.running:
            node.kill_quietly()
        else:
            round_.expect_exit(node, 1)
        round_.restart(node)
    return undo


def full_disk(round_, node):
    """ENOSPC for some time: writes are refused, and taken again without a restart."""
    points = ("wal_fill", "wal_append", "segment_header_write", "segment_rename", "identity_write")
    node.arm("%s=ENOSPC@%d+" % (round_.random.choice(points), round_.random.randrange(1, 4)))
    _told(round_, "ENOSPC")

    def undo():
        round_.note_fired(node)
        round_.disarm(node)
        round_.stays_writable(node)
    return undo


# --- clients --------------------------------------------------------------------------------------

def _open(address, count):
    host, port = address.rsplit(":", 1)
    found = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)), 5.0)
        connection.settimeout(5.0)
        found.append(connection)
    return found


def _close(connections):
    for each in connections:
        # Half of them with a reset.
        if each.fileno() % 2:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()


def idle_connections(round_, node, count=2000):
    connections = _open(node.address, count) + _open(node.peer_address, 50)
    round_.figures.faults["idle connections (%d)" % count] += 1
    return lambda: _close(connections)


def slow_readers(round_, node):
    """They ask and ask, and never read."""
    connections = _open(node.address, 8)
    for each in connections:
        each.setblocking(False)
        try:
            while each.send(INFO * 200):
                pass
        except BlockingIOError:
            pass
    _told(round_, "clients that do not read")
    return lambda: _close(connections)


def slow_writers(round_, node):
    """Frames that come byte by byte, and never end."""
    connections, over = _open(node.address, 8) + _open(node.peer_address, 2), threading.Event()

    def drip():
        at = 0
        while not over.wait(0.01):
            for each in connections:
                try:
                    each.send(INFO[at % len(INFO):at % len(INFO) + 1])
                except OSError:
                    return
            at += 1
    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    _told(round_, "clients that write slowly")

    def undo():
        over.set()
        thread.join()
        _close(connections)
    return undo


def garbage(round_, node):
    """Frames that are cut off or are none, at both ports."""
    for address in (node.address, node.peer_address):
        for each in _open(address, 4):
            size = round_.random.randrange(1, 200)
            try:
                each.send(round_.random.choice((b"", INFO, INFO[:9])) +
                          bytes(round_.random.randrange(256) for _ in range(size)))
            except OSError:
                pass
            _close([each])
    _told(round_, "garbage")


LINKS = (cut_a_node, cut_a_pair, one_way, flapping, slow_link, resets)
NODES = (stand_still, kill, stop, slow_disk, failing_sync, full_disk)
CLIENTS = (idle_connections, slow_readers, slow_writers, garbage)


def raise_file_limit(least=8000):
    import resource  # pylint: disable=import-outside-toplevel
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < least <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    return os.sysconf("SC_OPEN_MAX") >= least
