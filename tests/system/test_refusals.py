"""What synclogctl makes of nodes that answer, but do not serve: what it says, and whom it asks then."""

from case import expect, expect_equal, test
from cluster import free_port
from refuser import Refuser
from synclog_client import Status
from test_ctl import FAILED, OK, UNREACHABLE, USAGE, Ctl
from test_members import newcomer

READS = (("query", "d"), ("last", "d"), ("agg", "d", "v"), ("devices",), ("export", "d"), ("node", "list"))
ELSEWHERE = (Status.NOT_READY, Status.OVERLOADED, Status.READ_ONLY, Status.NO_SPACE, Status.CLOCK_WRONG,
             Status.UNKNOWN_GROUP, Status.FORGOTTEN, Status.INTERNAL)


def ctl_of(case, *addresses):
    ctl = Ctl(case)
    ctl.servers = ",".join(addresses)
    return ctl


@test(timeout=60)
def a_node_that_is_not_ready_was_reached(case):
    """A newcomer that nobody has added is up and takes no writes: that is a refusal, with its reason."""
    cluster = case.cluster(1)
    node = newcomer(case, cluster, 2).start()
    said = Ctl(case, node)("insert", "d", "1", "v=1", code=FAILED).stderr
    expect("this node joins the cluster" in said and "not ready" in said and node.address in said, said)
    expect("the node is up" in said and "is synclogd running" not in said, said)
    nobody = "127.0.0.1:%d" % free_port(case)
    said = ctl_of(case, nobody)("insert", "d", "1", "v=1", code=UNREACHABLE).stderr
    expect("is synclogd running" in said, said)
    # Another node takes it.
    ctl_of(case, node.address, cluster[1].address)("insert", "d", "1", "v=1")
    shown = ctl_of(case, Refuser(case, Status.NOT_READY).address)("status", code=FAILED)
    expect("not ready" in shown.stdout and "as the test wants it" in shown.stdout + shown.stderr,
           "%s%s", shown.stdout, shown.stderr)
    refuser = Refuser(case, Status.NOT_READY)
    for groups in [0], [0, 1]:
        refuser.groups = groups
        shown = ctl_of(case, refuser.address)("top", "--batch", "-n", "1").stdout
        expect("%s answers, but is not ready: as the test wants it" % refuser.address in shown, shown)


@test(timeout=120)
def refusals_are_carried_to_the_next_server(case):
    """What another node can serve is asked of it; each is asked once, and the first reason is told."""
    node = case.cluster(1)[1]
    Ctl(case, node)("insert", "d", "1", "v=1")
    expected = {command: Ctl(case, node)(*command).stdout for command in READS}
    for code in ELSEWHERE + (Status.TIMEOUT, Status.UNKNOWN_LOG, Status.CORRUPT, None):
        first = Refuser(case, code)
        for command in READS:
            done = ctl_of(case, first.address, node.address)(*command)
            expect_equal(done.stdout, expected[command], "%s behind %s" % (command, code))
        expect(len(first.asked) >= len(READS), "%s: asked were %s", code, first.methods)
    first, second = Refuser(case, Status.OVERLOADED, message="the first"), Refuser(case, Status.NO_SPACE)
    said = ctl_of(case, first.address, second.address)("last", "d", code=FAILED).stderr
    expect("none of 2 servers" in said and first.address in said and "the first" in said, said)
    expect_equal((first.methods, second.methods), (["last"], ["last"]), "requests")
    # Another cluster's data is no answer.
    stranger = Refuser(case, Status.OVERLOADED, cluster_id="another")
    ctl_of(case, first.address, stranger.address)("last", "d", code=FAILED)
    expect_equal(stranger.methods, [], "requests to another cluster")
    # What is wrong with the request is wrong everywhere.
    for code in (Status.INVALID, Status.TYPE_MISMATCH, Status.TOO_LARGE):
        first, second = Refuser(case, code), Refuser(case, Status.OVERLOADED)
        ctl_of(case, first.address, second.address)("query", "d", code=FAILED)
        expect_equal(second.methods, [], "requests after %s" % code.name)


@test(timeout=60)
def writes_are_carried_with_a_key(case):
    """Of several servers the next one gets a write that one refused, or did not answer, with the same key."""
    node = case.cluster(1)[1]
    for i, code in enumerate(ELSEWHERE + (None,)):
        first = Refuser(case, code)
        ctl = ctl_of(case, first.address, node.address)
        ctl("delete", "d", "--start", "0", "--end", "0", "--yes")
        keys = {arguments.req.content.key for _, arguments in first.asked}
        expect(len(keys) == 1 and keys != {None}, "keys after %s: %s", code, keys)
        expect_equal(first.methods.count("write"), 2 if code is None else 1, "tries there after %s" % code)
        ctl("insert", "d", str(1 + i), "v=1")  # reads first
    expect_equal(len(Ctl(case, node).json("query", "d")["rows"]), len(ELSEWHERE) + 1, "rows")
    # One server: the write is sent as it is.
    only = Refuser(case, Status.READ_ONLY)
    ctl_of(case, only.address)("delete", "d", "--yes", code=FAILED)
    expect_equal([each.req.content.key for _, each in only.asked], [None], "key of the write to one server")


@test(timeout=60)
def changes_are_carried_when_nothing_was_changed(case):
    """What a node that may not decide about members refuses, another one may do."""
    cluster = case.cluster(2)
    node = newcomer(case, cluster, 3).start()
    said = Ctl(case, node)("node", "remove", "2", "--yes", code=FAILED).stderr
    expect("ask an active member" in said, said)
    for code, goes_on in ((Status.NOT_READY, True), (Status.OVERLOADED, True), (Status.READ_ONLY, False),
                          (Status.INTERNAL, False), (None, False)):
        first, second = Refuser(case, code), Refuser(case, Status.NOT_READY)
        ctl_of(case, first.address, second.address)(
            "node", "remove", "2", "--yes", code=UNREACHABLE if code is None else FAILED)
        expect_equal((first.methods, second.methods), (["removeMember"], ["removeMember"] if goes_on else []),
                     "requests after %s" % code)
    ctl_of(case, node.address, cluster[1].address)("node", "remove", "2", "--yes")


@test(timeout=60)
def arguments_that_are_wrong(case):
    """An address without a port, and a value that is none: wrong use, before anything is done."""
    node = case.cluster(1)[1]
    ctl = Ctl(case, node)
    for server in ("localhost", "localhost:", "127.0.0.1:0", node.address + ",localhost"):
        for command in (("status",), ("query", "d"), ("digest",), ("top", "--json")):
            said = ctl("--server", server, *command, code=USAGE).stderr
            expect("--server" in said and "expected HOST:PORT" in said, "%s: %s", server, said)
    said = ctl_of(case, "localhost")("status", code=USAGE).stderr
    expect("$SYNCLOG_SERVER" in said, said)
    for argument in ("a=", "a:TEXT=", "a:INT64="):
        said = ctl("insert", "d", "1", argument, code=USAGE).stderr
        expect('%s""' % argument in said, said)
    ctl("insert", "d", "1", 'a=""', code=OK)
    expect_equal(ctl.json("query", "d")["rows"], [{"time": 1, "a": ""}], "rows")
