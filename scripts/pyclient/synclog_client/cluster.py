"""Several nodes as one: who does not answer is left for the next, and writes that are sent again apply once."""

import random
import time
import uuid
from typing import Any, List, Optional, Sequence, Set

from .client import ERRORS, Client, Session, Status, SynclogError, Unreachable, WriteResult

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class Cluster(Client):
    """A Client of several nodes that also sends writes again.

    Reads go on to the next node when one does not answer, or refuses what another may serve. Writes too, and when a node can't take them for now: the
    same node is tried once more first, since it may have taken the write before the connection broke and then
    knows its key; then the others, with growing pauses, until `patience` seconds have passed. When no node can take it, as long
    is waited as the one that wants it soonest says. A node that is no member of the group (UNKNOWN_GROUP), or of the cluster any
    more (FORGOTTEN), is left for the next one at once, by reads and writes; it is an error when none of the list is one.

    It always has a Session: what was written through it is seen by its reads, whichever node they ask.
    """

    def __init__(self, addresses: Sequence[str], session: Optional[Session] = None, group: Optional[int] = None,
                 timeout: float = 10.0, patience: float = 30.0) -> None:
        super().__init__(addresses, session or Session(), group, timeout)
        self.patience = patience

    def next_node(self) -> None:
        """Leaves the node that it talks to for the next one of the list."""
        self.close()
        self.addresses.append(self.addresses.pop(0))

    def write(self, write: Any, ack: Optional[str] = None, timeout_ms: Optional[int] = None,
              key: Optional[bytes] = None) -> WriteResult:
        """As Client.write. Without a `key` it gets a random one."""
        key = key or write.key or uuid.uuid4().bytes
        deadline = time.monotonic() + self.patience
        pause, again_here = FIRST_PAUSE_S, True
        asked = 0  # nodes, since all had been
        hints: List[float] = []  # of those that gave one: who can't be reached says nothing
        strangers: Set[str] = set()  # nodes that do not have the group, or were removed
        while True:
            try:
                return super().write(write, ack, timeout_ms, key)
            except Unreachable:
                if time.monotonic() >= deadline:
                    raise
                if again_here:
                    again_here = False
                    continue
            except (ERRORS[Status.UNKNOWN_GROUP], ERRORS[Status.FORGOTTEN]):
                strangers.add(self.address)
                if strangers.issuperset(self.addresses) or time.monotonic() >= deadline:
                    raise
            except SynclogError as error:
                if not error.retryable or time.monotonic() >= deadline:
                    raise
                if error.retry_after_ms:
                    hints.append(error.retry_after_ms / 1000)
            # Once every node has said no, the one that wants it soonest says when.
            wait = 0.0
            asked += 1
            at_once = self.address in strangers and asked < len(self.addresses)
            if asked >= len(self.addresses):
                wait = min(hints, default=0.0)
                asked, hints = 0, []
            self.next_node()
            again_here = True
            if at_once:
                continue
            time.sleep(min(max(wait, pause * random.uniform(0.5, 1.0)), max(0.0, deadline - time.monotonic())))
            pause = min(2 * pause, LONGEST_PAUSE_S)
