"""How long things take after a peer's restart. Printed, not asserted: a time limit would test the
machine."""

import threading
import time

from case import test
from synclog_client import Session


def first_entry_after(case, cluster, restarted, what):
    """Writes on the other node as soon as the restarted one answers; prints when it is there."""
    writer, reader = cluster[3 - restarted], cluster[restarted]
    session = Session()
    with writer.client(session=session) as source, reader.client(session=session) as target:
        begin = time.monotonic()
        at = int(time.time() * 1000)
        source.insert("d", at, {"v": 1})
        written = time.monotonic()
        rows = list(target.query("d", start=at, timeout_ms=20000))
        seen = time.monotonic()
        back_at = at + 1
        target.insert("d", back_at, {"v": 2})
        back_written = time.monotonic()
        list(source.query("d", start=back_at, timeout_ms=20000))
        back = time.monotonic()
    assert [row.timestamp for row in rows] == [at]
    case.note("%s: write %.1f ms, seen on the restarted node after %.1f ms; the other way %.1f ms" %
              (what, (written - begin) * 1000, (seen - written) * 1000,
               (back - back_written) * 1000))


@test(timeout=60)
def first_entry_after_a_restart(case):
    cluster = case.cluster(2)
    cluster.converge()
    first_entry_after(case, cluster, 2, "no restart")
    cluster[2].stop()
    cluster[2].start()
    first_entry_after(case, cluster, 2, "after a stop")
    cluster[2].kill()
    cluster[2].start()
    first_entry_after(case, cluster, 2, "after a kill")
    cluster[2].kill()
    # The other one has tried in vain for a while; the pause between its tries has grown.
    threading.Event().wait(3.0)
    begin = time.monotonic()
    cluster[2].start()
    case.note("start of a node with data: %.0f ms until it answers" %
              ((time.monotonic() - begin) * 1000))
    first_entry_after(case, cluster, 2, "after 3 s away")
    threading.Event().wait(1.5)
    first_entry_after(case, cluster, 2, "after a quiet time")
