"""Writers that remember what was acknowledged, and the check that every node holds just that."""

import threading
import time

from cluster import Failed
from synclog_client import Client, Refused, Session, SynclogError, TWrite, Unreachable, make_row


class Ledger:
    """What one writer sent: device → timestamp → value. A writer never writes a point twice with
    different values, and no two writers share a device."""

    def __init__(self):
        self.acknowledged = {}
        self.unknown = {}    # sent, but the answer never came
        self.writes = 0      # entries acknowledged
        self.tokens = []

    def merge(self, other):
        self.acknowledged.update(other.acknowledged)
        self.unknown.update(other.unknown)
        self.writes += other.writes
        self.tokens += other.tokens


class Writer(threading.Thread):
    """Writes rows of increasing timestamps to one node until stop() or `count` writes. Where the
    node is gone it tries again, with new timestamps."""

    def __init__(self, address, device, count=None, rows=1, payload="", ack=None, pause=0.0,
                 timeout=30.0, first=1):
        super().__init__(name="writer " + device, daemon=True)
        self.address, self.device = address, device
        self.count, self.rows, self.payload = count, rows, payload
        self.ack, self.pause, self.timeout = ack, pause, timeout
        self.ledger = Ledger()
        self.session = Session()
        self.error = None
        self.pending = 0
        self._next = first
        self._stop_asked = threading.Event()

    def stop(self):
        self._stop_asked.set()

    def value(self, timestamp):
        return "%s@%d%s" % (self.device, timestamp, self.payload)

    def run(self):
        try:
            self._write_all()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _write_all(self):
        client = Client(self.address, session=self.session, timeout=self.timeout)
        acknowledged = self.ledger.acknowledged.setdefault(self.device, {})
        unknown = self.ledger.unknown.setdefault(self.device, {})
        while not self._stop_asked.is_set():
            if self.count is not None and self.ledger.writes >= self.count:
                break
            points = {at: self.value(at) for at in range(self._next, self._next + self.rows)}
            self._next += self.rows
            write = TWrite(rows=[make_row(self.device, at, {"v": value})
                                 for at, value in points.items()])
            try:
                result = client.write(write, ack=self.ack)
            except (Unreachable, Refused):
                unknown.update(points)
                self._stop_asked.wait(0.02)
                continue
            except SynclogError as error:
                if not error.retryable:
                    raise
                self._stop_asked.wait((error.retry_after_ms or 20) / 1000)
                continue
            acknowledged.update(points)
            self.pending += result.pending
            self.ledger.writes += 1
            if self.pause:
                self._stop_asked.wait(self.pause)
        client.close()


def start_writers(nodes, prefix, per_node=1, **options):
    """Writers of `nodes`, started."""
    writers = [Writer(node.address, "%s.%s.%d" % (prefix, node.name, i), **options)
               for node in nodes for i in range(per_node)]
    for writer in writers:
        writer.start()
    return writers


def join_writers(writers, timeout=60.0):
    """Waits for writers and returns their common ledger; a writer's error is the test's."""
    deadline = time.monotonic() + timeout
    ledger = Ledger()
    for writer in writers:
        writer.join(max(0.1, deadline - time.monotonic()))
        if writer.is_alive():
            raise Failed("%s is stuck after %d writes" % (writer.name, writer.ledger.writes))
        if writer.error is not None:
            raise Failed("%s: %r" % (writer.name, writer.error))
        ledger.merge(writer.ledger)
    return ledger


def stop_writers(writers, timeout=60.0):
    for writer in writers:
        writer.stop()
    return join_writers(writers, timeout)


def check_ledger(node, ledger):
    """Every acknowledged point is on the node with its value, and nothing that nobody sent."""
    with node.client() as client:
        for device, points in ledger.acknowledged.items():
            timestamps, columns = client.query_columns(device, ["v"])
            found = dict(zip(timestamps, columns.get("v", [])))
            if len(found) != len(timestamps):
                raise Failed("%s: %s: a timestamp came twice" % (node, device))
            missing = sorted(at for at in points if at not in found)
            if missing:
                raise Failed("%s: %s: %d of %d acknowledged points are missing, from %d to %d" %
                             (node, device, len(missing), len(points), missing[0], missing[-1]))
            unknown = ledger.unknown.get(device, {})
            for at, value in found.items():
                wanted = points.get(at, unknown.get(at))
                if value != wanted:
                    raise Failed("%s: %s at %d is %.80r, wanted %.80r" %
                                 (node, device, at, value, wanted))


def check_everywhere(cluster, ledger, timeout=20.0):
    """Convergence, then the ledger on each running node. Returns the digest."""
    digest = cluster.converge(timeout)
    for node in cluster:
        if node.running:
            check_ledger(node, ledger)
    return digest
