"""A TCP proxy between two nodes, for faults of the network: cut, black hole (in one direction or
both), delay, reset. One thread with a selector serves all links of a test."""

import collections
import selectors
import socket
import struct
import threading
import time

_CHUNK = 256 * 1024
_HELD_MAX = 4 * 1024 * 1024  # bytes held for one direction before its sender is no longer read

FORWARD, BACK = 0, 1  # from the node that connects, and towards it


class _Half:
    """One direction of one connection."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.held = collections.deque()  # (when it may go on, bytes)
        self.held_size = 0
        self.ended = False   # nothing more will come from `source`
        self.shut = False    # and `sink` was told so


class _Connection:
    def __init__(self, link, client, server):
        self.link = link
        self.sockets = (client, server)
        self.halves = (_Half(client, server), _Half(server, client))


class Link:
    """The way from one node to another. The setters may be called by any thread."""

    def __init__(self, proxy, port, target_port):
        self.address = "127.0.0.1:%d" % port
        self.target = ("127.0.0.1", target_port)
        self.proxy = proxy
        self.is_cut = False
        self.blocked = [False, False]
        self.delay_s = 0.0
        self.forwarded = [0, 0]  # bytes
        self.reset_left = [None, None]
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.setblocking(False)

    def cut(self):
        """Closes the connections; new ones are closed at once."""
        self.is_cut = True
        self.proxy.wake()

    def block(self, forward=True, back=True):
        """Connections stay open and new ones are taken, but nothing comes through."""
        self.blocked = [forward, back]
        self.proxy.wake()

    def delay(self, seconds):
        """In each direction, for what comes from now on."""
        self.delay_s = seconds

    def reset_after(self, size, direction=FORWARD):
        """Once: `size` bytes from now on one connection is reset, wherever in a frame that is."""
        self.reset_left[direction] = size

    def heal(self):
        self.is_cut = False
        self.blocked = [False, False]
        self.delay_s = 0.0
        self.reset_left = [None, None]
        self.proxy.wake()


class Proxy:
    def __init__(self):
        self._links = []
        self._connections = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, None)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def link(self, port, target_port):
        link = Link(self, port, target_port)
        with self._lock:
            self._links.append(link)
            self._selector.register(link.listener, selectors.EVENT_READ, link)
        self.wake()
        return link

    def wake(self):
        try:
            self._wake_in.send(b"x")
        except BlockingIOError:
            pass

    def close(self):
        self._closing = True
        self.wake()
        self._thread.join()

    # --- the thread ---

    def _run(self):
        while not self._closing:
            now = time.monotonic()
            wait = self._step(now)
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._wake_out:
                    self._drain_wake()
                elif isinstance(key.data, Link):
                    self._accept(key.data)
                else:
                    connection = key.data
                    for half in connection.halves:
                        if half.source is key.fileobj:
                            self._receive(connection, half)
        for connection in list(self._connections):
            self._drop(connection)
        for link in self._links:
            link.listener.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _drain_wake(self):
        try:
            while self._wake_out.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _accept(self, link):
        try:
            client, _ = link.listener.accept()
        except OSError:
            return
        if link.is_cut:
            client.close()
            return
        try:
            server = socket.create_connection(link.target, 2.0)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(_Connection(link, client, server))

    def _receive(self, connection, half):
        try:
            received = half.source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if not received:
            half.ended = True
            return
        half.held.append((time.monotonic() + connection.link.delay_s, received))
        half.held_size += len(received)

    def _step(self, now):
        """Sends what may go, sets what is listened for; returns how long nothing will change."""
        wait = None
        for connection in list(self._connections):
            if connection.link.is_cut:
                self._drop(connection)
                continue
            pause = self._send_held(connection, now)
            if connection in self._connections:
                self._listen(connection)
            if pause is not None and (wait is None or pause < wait):
                wait = pause
        return wait

    def _send_held(self, connection, now):
        pause = None
        for direction, half in enumerate(connection.halves):
            if connection.link.blocked[direction]:
                continue
            while half.held:
                due, chunk = half.held[0]
                if due > now:
                    pause = due - now if pause is None else min(pause, due - now)
                    break
                left = connection.link.reset_left[direction]
                try:
                    sent = half.sink.send(chunk if left is None else chunk[:left])
                except BlockingIOError:
                    pause = 0.002 if pause is None else min(pause, 0.002)
                    break
                except OSError:
                    self._drop(connection)
                    return None
                connection.link.forwarded[direction] += sent
                if left is not None and self._count_down(connection, direction, left - sent):
                    return None
                half.held_size -= sent
                half.held.popleft()
                if sent < len(chunk):
                    half.held.appendleft((due, chunk[sent:]))
            if half.ended and not half.held and not half.shut:
                half.shut = True
                try:
                    half.sink.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        if all(half.shut for half in connection.halves):
            self._drop(connection)
        return pause

    def _count_down(self, connection, direction, left):
        """Whether the connection was reset."""
        connection.link.reset_left[direction] = left if left > 0 else None
        if left > 0:
            return False
        for each in connection.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._drop(connection)
        return True

    def _listen(self, connection):
        for half in connection.halves:
            wanted = not half.ended and half.held_size < _HELD_MAX
            known = half.source in self._selector.get_map()
            if wanted and not known:
                self._selector.register(half.source, selectors.EVENT_READ, connection)
            elif known and not wanted:
                self._selector.unregister(half.source)

    def _drop(self, connection):
        self._connections.discard(connection)
        for each in connection.sockets:
            if each.fileno() >= 0:
                if each in self._selector.get_map():
                    self._selector.unregister(each)
                each.close()
