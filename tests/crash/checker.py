"""Says whether what clients saw and what the nodes hold in the end keeps the promises.

Pure: no clocks, no network. A history is a list of Write, Delete and Read, in any order, and the
final state of each node. check() returns a list of Violation; empty: nothing was broken.

What may be known of the order of two operations on one cell: of two entries of one log the index
decides. Else, where clocks are trusted, one that was asked for after the other was answered (plus
MARGIN_S for the clocks) has the higher version. What was never answered may have happened at any
time after it was sent, or not at all. What was refused must never have happened.
"""

from collections import Counter, namedtuple

OK, UNKNOWN, REFUSED = "ok", "unknown", "refused"
MARGIN_S = 0.25

# begin, end: seconds of one clock for all. token: (origin, incarnation, index) or None.
# cells: {(device, timestamp): value}; no value is ever sent twice. spread: it was told to be durable on
# a majority.
Write = namedtuple("Write", "client node begin end outcome token cells spread", defaults=(False,))
Delete = namedtuple("Delete", "client node begin end outcome token device first last spread",
                    defaults=(False,))
# tokens: {(origin, incarnation): index} that the read waited for. found: {timestamp: value} of the
# timestamps first … last, ends included. local: it must also see what its node has acknowledged.
Read = namedtuple("Read", "client node begin end tokens local device first last found")
# cells as in Write; repeated: cells that came twice in the export; digest: any comparable value;
# count: the cells that the node itself counts; miscounted: entries applied beyond one per index.
Final = namedtuple("Final", "node cells repeated digest count miscounted")
Violation = namedtuple("Violation", "kind text")

# The kinds of violation. Lost and duplicated have figures of their own in a campaign's summary.
LOST, PHANTOM, DUPLICATED, DIVERGED = "lost", "phantom", "duplicated", "diverged"
STALE, RESURRECTED, UNSEEN, FORKED, NEW_LOG = "stale", "resurrected", "unseen", "forked", "new log"


class Checker:
    def __init__(self, operations, trust_clocks=True):
        self.trust_clocks = trust_clocks
        self.violations = []
        self.writes = [each for each in operations if isinstance(each, Write)]
        self.deletes = [each for each in operations if isinstance(each, Delete)]
        self.reads = [each for each in operations if isinstance(each, Read)]
        self.by_cell = {}     # (device, timestamp) → [Write]
        for write in self.writes:
            for cell in write.cells:
                self.by_cell.setdefault(cell, []).append(write)
        self.by_device = {}   # device → [Delete] that may have happened
        for delete in self.deletes:
            if delete.outcome != REFUSED:
                self.by_device.setdefault(delete.device, []).append(delete)

    def broken(self, kind, text, *arguments):
        self.violations.append(Violation(kind, text % arguments))

    # --- order ---

    def is_after(self, later, earlier):
        """Whether `later` surely has the higher version."""
        if earlier.outcome != OK or later.outcome != OK:
            return False
        if earlier.token and later.token and earlier.token[:2] == later.token[:2]:
            return later.token[2] > earlier.token[2]
        return self.trust_clocks and earlier.end + MARGIN_S < later.begin

    def deletes_of(self, device, timestamp):
        return [each for each in self.by_device.get(device, ())
                if each.first <= timestamp <= each.last]

    def judge_cell(self, where, device, timestamp, value, required):
        """`required`: the operations on the cell, all answered, that must have been seen."""
        writes = self.by_cell.get((device, timestamp), ())
        if value is not None:
            self._judge_value(where, device, timestamp, value, writes, required)
            return
        lost = [each for each in required if isinstance(each, Write)]
        if not lost:
            return
        for delete in self.deletes_of(device, timestamp):
            if not any(self.is_after(each, delete) for each in lost):
                return
        self.broken(LOST if where.startswith("final") else UNSEEN,
                    "%s: %s at %d is not there, acknowledged as %s", where, device, timestamp,
                    lost[-1].token)

    def _judge_value(self, where, device, timestamp, value, writes, required):
        source = next((each for each in writes
                       if each.cells[device, timestamp] == value), None)
        if source is None:
            self.broken(PHANTOM, "%s: %s at %d is %.60r, which nobody sent", where, device,
                        timestamp, value)
            return
        if source.outcome == REFUSED:
            self.broken(PHANTOM, "%s: %s at %d is %.60r, which was refused", where, device,
                        timestamp, value)
            return
        for each in required:
            if each is not source and self.is_after(each, source):
                self.broken(STALE if isinstance(each, Write) else RESURRECTED,
                            "%s: %s at %d is %.60r of %s, but %s %s came after it", where, device,
                            timestamp, value, source.token, type(each).__name__.lower(), each.token)
                return

    # --- what clients were told ---

    def check_tokens(self):
        """P4 and P2: an index belongs to one entry, and grows along its log."""
        logs, seen = {}, {}
        for each in self.writes + self.deletes:
            if each.outcome != OK or each.token is None:
                continue
            if each.token in seen:
                self.broken(DUPLICATED, "the token %s was given twice", each.token)
            seen[each.token] = each
            if each.token[0] != each.node:
                self.broken(FORKED, "node %s gave a token of node %s", each.node, each.token[0])
            logs.setdefault(each.token[:2], []).append(each)
        for log, entries in logs.items():
            entries.sort(key=lambda each: each.token[2])
            latest = None  # the greatest begin so far must not lie behind a later entry's end
            for each in entries:
                if latest is not None and each.end < latest.begin:
                    self.broken(FORKED, "log %s: %d was answered before %d was sent", log,
                                each.token[2], latest.token[2])
                if latest is None or each.begin > latest.begin:
                    latest = each

    def check_reads(self):
        """Sessions: a read sees what its tokens name; and what its own node has acknowledged."""
        for read in self.reads:
            where = "read of client %s at node %s" % (read.client, read.node)
            touched = {at for at in read.found}
            touched.update(at for at in range(read.first, read.last + 1)
                           if (read.device, at) in self.by_cell)
            for at in touched:
                if not read.first <= at <= read.last:
                    self.broken(PHANTOM, "%s: %s at %d was not asked for", where, read.device, at)
                    continue
                candidates = list(self.by_cell.get((read.device, at), ()))
                candidates += self.deletes_of(read.device, at)
                required = [each for each in candidates if self._must_be_seen(read, each)]
                self.judge_cell(where, read.device, at, read.found.get(at), required)
                self._check_not_from_the_future(where, read, at)

    def _check_not_from_the_future(self, where, read, at):
        value = read.found.get(at)
        for write in self.by_cell.get((read.device, at), ()):
            if write.cells[read.device, at] == value and write.begin > read.end:
                self.broken(PHANTOM, "%s: %s at %d was seen before it was sent", where, read.device,
                            at)

    @staticmethod
    def _must_be_seen(read, operation):
        if operation.outcome != OK or operation.token is None:
            return False
        if read.tokens.get(operation.token[:2], 0) >= operation.token[2]:
            return True
        return read.local and operation.node == read.node and operation.end < read.begin

    # --- the end ---

    def check_final(self, finals):
        """P1 and P3: all acknowledged is there, on every node, and the same everywhere."""
        if not finals:
            return
        first = finals[0]
        for final in finals:
            if final.repeated:
                self.broken(DUPLICATED, "node %s: %d cells came twice, such as %s", final.node,
                            len(final.repeated), final.repeated[0])
            if final.miscounted:
                self.broken(DUPLICATED, "node %s applied %+d entries beyond one for each index",
                            final.node, final.miscounted)
            if final.count != len(final.cells):
                self.broken(DIVERGED, "node %s counts %d cells and exports %d", final.node,
                            final.count, len(final.cells))
            if final.digest != first.digest:
                self.broken(DIVERGED, "digests of nodes %s and %s differ", first.node, final.node)
            if final.cells != first.cells:
                self._tell_difference(first, final)
        for cell in set(self.by_cell) | set(first.cells):
            required = [each for each in self.by_cell.get(cell, ()) if each.outcome == OK]
            required += [each for each in self.deletes_of(*cell) if each.outcome == OK]
            for final in finals:
                if final is first or final.cells.get(cell) != first.cells.get(cell):
                    self.judge_cell("final of node %s" % final.node, cell[0], cell[1],
                                    final.cells.get(cell), required)

    def _tell_difference(self, one, other):
        different = [cell for cell in set(one.cells) | set(other.cells)
                     if one.cells.get(cell) != other.cells.get(cell)]
        cell = min(different)
        self.broken(DIVERGED, "nodes %s and %s differ in %d cells; %s at %d: %.60r, %.60r",
                    one.node, other.node, len(different), cell[0], cell[1], one.cells.get(cell),
                    other.cells.get(cell))


def check(operations, finals, trust_clocks=True):
    """All violations. `finals` may be empty: then only what clients saw is judged."""
    checker = Checker(operations, trust_clocks)
    checker.check_tokens()
    checker.check_reads()
    checker.check_final(finals)
    return checker.violations


def figures(operations):
    """Counter: acknowledged, unanswered and refused writes (deletes included), and reads."""
    counts = Counter()
    for each in operations:
        if isinstance(each, Read):
            counts["reads"] += 1
        else:
            names = {OK: "acknowledged", UNKNOWN: "unanswered", REFUSED: "refused"}
            counts[names[each.outcome]] += 1
    return counts
