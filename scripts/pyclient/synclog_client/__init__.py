"""A client of synclogd for Python 3, over the code that Thrift generates.

    from synclog_client import Client, Cluster, Session

    with Client("127.0.0.1:7670") as node:
        node.insert("plant1.boiler", 1700000000000, {"temperature": 81.5, "open": True})
        for row in node.query("plant1.boiler", start=1700000000000):
            print(row.timestamp, row.values)

Types: bool is BOOLEAN, int INT64, float DOUBLE, str TEXT. The other two are asked for by name:
`types={"count": "INT32", "level": "FLOAT"}`. A row's value that is None is left out.

Sessions: writes return tokens. A Session keeps the newest token of every log that it saw; reads
made with it wait until the node that they ask has applied those writes. Give the same Session to
clients of different nodes, and what was written on one is seen on the other:

    session = Session()
    Client(node1, session=session).insert(...)
    Client(node2, session=session).query(...)

Clusters: a Cluster has several nodes and a Session. Reads and writes go to one of them; when it does not
answer, or can't take writes, they go on to the next. Each write has a key, so one that is sent again is
applied once:

    with Cluster(["10.0.0.1:7670", "10.0.0.2:7670", "10.0.0.3:7670"]) as cluster:
        cluster.insert("plant1.boiler", 1700000000000, {"temperature": 81.5})

Errors: every outcome but success is a SynclogError of the class that belongs to the status code
(TypeMismatch, Overloaded, …), with .code, .message, .address, .retryable and .retry_after_ms; its text also says
what to do. A write that is durable on its node but did not reach the asked-for ack in time is no error: it
returns a WriteResult whose `pending` is True. Unreachable is raised when the node can't be talked to.

Client and Cluster are one connection, opened when first needed and again after it broke. They are not
thread-safe: use one per thread.
"""

from typing import TYPE_CHECKING, Any

from . import client as _client
from .client import *  # noqa: F401,F403
from .client import ERRORS
from .cluster import Cluster

# The classes of errors are made from the codes; everything else that is public follows.
globals().update({error.__name__: error for error in ERRORS.values()})
__all__ = sorted({name for name in vars(_client) if not name.startswith("_")} | {"Cluster"})

if TYPE_CHECKING:
    def __getattr__(name: str) -> Any: ...
