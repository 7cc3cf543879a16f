"""Clients that write, delete and read at random and remember all that they saw, for the checker."""

import random
import threading
import time

import checker
from cluster import Failed
from synclog_client import (Client, Refused, Session, Status, SynclogError, TDelete, TWrite,
                            Unreachable, make_row)

SHARED_DEVICES, SHARED_POINTS = 4, 40
# Answers after which a write has surely not entered the log. READ_ONLY is none: a record whose sync
# failed may be on the disk all the same.
NOT_WRITTEN = (Status.OVERLOADED, Status.NO_SPACE, Status.NOT_READY, Status.CLOCK_WRONG,
               Status.INVALID, Status.TOO_LARGE, Status.TYPE_MISMATCH)


class Recorder(threading.Thread):
    """One client. It has a home node, and now and then reads or writes at another one."""

    def __init__(self, name, nodes, home, seed, payload=40, rate=None, deletes=True, timeout=3.0):
        super().__init__(name="client " + name, daemon=True)
        self.label, self.nodes, self.home = name, nodes, home
        self.random = random.Random(seed)
        self.payload, self.deletes, self.timeout = payload, deletes, timeout
        self.pause = 1.0 / rate if rate else 0.0
        self.session = Session()
        self.operations = []
        self.error = None
        self.local_reads = True   # whether reads must see what their node acknowledged
        self._clients = {}
        self._number = 0          # of values sent: makes each unique
        self._next = 0            # next timestamp of the own device
        self._stop_asked = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._held = threading.Event()

    @property
    def device(self):
        return "own." + self.label

    def stop(self):
        self._stop_asked.set()
        self._go_on.set()

    def hold(self, timeout=10.0):
        """Waits until the client does nothing; release() lets it go on."""
        self._held.clear()
        self._go_on.clear()
        if not self._held.wait(timeout) and self.is_alive():
            raise Failed("%s is stuck" % self.name)

    def release(self):
        self._go_on.set()

    @property
    def acknowledged(self):
        return sum(1 for each in self.operations
                   if not isinstance(each, checker.Read) and each.outcome == checker.OK)

    def run(self):
        try:
            while not self._stop_asked.is_set():
                if not self._go_on.is_set():
                    self._held.set()
                    self._go_on.wait()
                self._step()
                if self.pause:
                    self._stop_asked.wait(self.pause)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        for client in self._clients.values():
            client.close()

    def _step(self):
        dice = self.random.random()
        if dice < 0.55:
            self._write_own()
        elif dice < 0.75:
            self._write_shared()
        elif dice < 0.78 and self.deletes:
            self._delete()
        elif dice < 0.90:
            first = max(0, self._next - self.random.randrange(1, 12))
            self._read(self.device, first, max(first, self._next - 1))
        else:
            self._read(self._shared(), 0, SHARED_POINTS - 1)

    # --- parts ---

    def _shared(self):
        return "shared.%d" % self.random.randrange(SHARED_DEVICES)

    def _node(self, elsewhere=0.15):
        if len(self.nodes) > 1 and self.random.random() < elsewhere:
            return self.random.choice(self.nodes)
        return self.home

    def _client(self, node):
        if node.id not in self._clients:
            self._clients[node.id] = Client(node.address, session=self.session,
                                            timeout=self.timeout)
        return self._clients[node.id]

    def _value(self):
        self._number += 1
        pad = self.random.randrange(self.payload + 1)
        return "%s/%d/%s" % (self.label, self._number, "x" * pad)

    def _write_own(self):
        rows = self.random.choice((1, 1, 1, 2, 5))
        cells = {(self.device, self._next + i): self._value() for i in range(rows)}
        self._next += rows
        self._write(cells)

    def _write_shared(self):
        device = self._shared()
        points = self.random.sample(range(SHARED_POINTS), self.random.choice((1, 1, 3)))
        self._write({(device, at): self._value() for at in points})

    def _ask(self, node, write):
        """((begin, end, outcome, token), whether it spread) of a write. What failed is not tried again
        at once."""
        ack = self.random.choice((None, None, None, None, "majority", "all"))
        client, begin = self._client(node), time.monotonic()
        token, outcome, spread = None, checker.OK, False
        try:
            client.connect()
        except OSError:
            self._stop_asked.wait(0.02)
            return (begin, time.monotonic(), checker.REFUSED, None), False  # nothing was sent
        try:
            result = client.write(write, ack=ack, timeout_ms=300)
            token, spread = tuple(result.token), ack is not None and not result.pending
        except (Unreachable, Refused):
            outcome = checker.UNKNOWN
        except SynclogError as error:
            outcome = checker.REFUSED if error.code in NOT_WRITTEN else checker.UNKNOWN
        end = time.monotonic()
        if outcome != checker.OK:
            self._stop_asked.wait(0.01)
        return (begin, end, outcome, token), spread

    def _write(self, cells):
        node = self._node(elsewhere=0.05)
        write = TWrite(rows=[make_row(device, at, {"v": value})
                             for (device, at), value in cells.items()])
        answer, spread = self._ask(node, write)
        self.operations.append(checker.Write(self.label, node.id, *answer, cells, spread))

    def _delete(self):
        if self.random.random() < 0.5:
            device, first = self.device, max(0, self._next - self.random.randrange(5, 40))
            last = first + self.random.randrange(4)
        else:
            device, first = self._shared(), self.random.randrange(SHARED_POINTS)
            last = min(SHARED_POINTS - 1, first + self.random.randrange(6))
        node = self._node(elsewhere=0.05)
        write = TWrite(deletes=[TDelete(device, ["v"], first, last)])
        answer, spread = self._ask(node, write)
        self.operations.append(checker.Delete(self.label, node.id, *answer, device, first, last,
                                              spread))

    def _read(self, device, first, last):
        node = self._node(elsewhere=0.5)
        tokens = {each[:2]: each[2] for each in self.session.tokens()}
        begin = time.monotonic()
        try:
            rows = self._client(node).query_columns(device, ["v"], start=first, end=last,
                                                    timeout_ms=500)
        except (Unreachable, Refused, SynclogError):
            self._stop_asked.wait(0.005)
            return
        timestamps, columns = rows
        found = dict(zip(timestamps, columns.get("v", [])))
        self.operations.append(checker.Read(self.label, node.id, begin, time.monotonic(), tokens,
                                            self.local_reads, device, first, last, found))


def join(recorders, timeout=30.0):
    """Stops the clients; returns all that they saw. A client's own error is a finding."""
    for each in recorders:
        each.stop()
    deadline = time.monotonic() + timeout
    operations = []
    for each in recorders:
        each.join(max(0.1, deadline - time.monotonic()))
        if each.is_alive():
            raise Failed("%s is stuck" % each.name)
        if each.error is not None:
            raise Failed("%s: %r" % (each.name, each.error)) from each.error
        operations += each.operations
    return operations


def export(node):
    """({(device, timestamp): value}, cells that came twice) of one node."""
    cells, repeated = {}, []
    with node.client() as client:
        for device in client.series():
            timestamps, columns = client.query_columns(device.name, ["v"])
            for at, value in zip(timestamps, columns.get("v", [])):
                if value is None:
                    continue
                if (device.name, at) in cells:
                    repeated.append((device.name, at))
                cells[device.name, at] = value
    return cells, repeated


