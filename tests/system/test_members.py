"""Growing and shrinking a cluster while it serves."""

import socket
import subprocess
import threading
import time

from case import expect, expect_equal, expect_error, test
from load import check_everywhere, join_writers, start_writers, stop_writers
from synclog.types.ttypes import TMemberState
from synclog_client import Invalid, NotReady, Status, SynclogError

QUICK = {"replication.request_timeout": "1s", "replication.heartbeat_interval": "100ms",
         "replication.basic_retry_wait": "50ms", "replication.max_retry_wait": "500ms"}


class Killer(threading.Thread):
    """kill -9 of a node after a moment."""

    def __init__(self, node, wait_s):
        super().__init__(daemon=True)
        self.node, self.wait_s = node, wait_s

    def run(self):
        time.sleep(self.wait_s)
        self.node.kill()


def newcomer(case, cluster, node_id, known=1, config=None):
    """A node that knows one member; it is not started."""
    node = case.node(node_id=node_id, peers={known: cluster[known].peer_address},
                     config={**QUICK, "cluster.join": "yes", **(config or {})})
    return node


def state_at(node, member):
    """What a node takes a member for."""
    members = {each.nodeId: each.state for each in node.status().members or []}
    return members.get(member)


def add(case, cluster, node, at=1):
    """Adds a node that runs, and waits until all count it as active."""
    with cluster[at].client() as client:
        client.add_member(node.id, node.peer_address)
    await_state(case, cluster, node.id, TMemberState.ACTIVE)
    case.eventually("%s serves" % node, lambda: node.status().state == "serving")
    cluster.nodes.append(node)


def await_state(case, nodes, member, state):
    for each in nodes:
        if each.running and each.id != member:
            case.eventually("%s takes node %d for %s" % (each, member, state),
                            lambda each=each: state_at(each, member) == state, timeout=40)


@test(timeout=120, plain=True)
def grow_under_load(case):
    """Three nodes become five while all write with all levels; each newcomer gets everything, and
    takes writes itself."""
    cluster = case.cluster(config=QUICK)
    before = join_writers(start_writers(cluster, "before", count=50))
    writers = [each for ack in ("local", "majority", "all")
               for each in start_writers(cluster, "load." + ack, ack=ack, pause=0.005)]
    for node_id in (4, 5):
        node = newcomer(case, cluster, node_id, known=node_id - 3)
        node.start()
        with node.client() as client:
            expect_error(NotReady, "a write at a node that was not let in", client.insert, "x", 1,
                         {"v": 1})
        add(case, cluster, node, at=3)
        writers += start_writers([node], "newcomer", ack="all", pause=0.005)
    case.eventually("the newcomers write", lambda: all(
        each.ledger.writes > 20 for each in writers))
    ledger = stop_writers(writers)
    expect_equal(sum(each.pending for each in writers), 0, "writes that did not reach all in time")
    check_everywhere(cluster, before)
    check_everywhere(cluster, ledger)


@test(timeout=120)
def remove_under_load(case):
    """A node of four is removed while all write: what it was given is with the others, nothing
    waits for it any more, and it takes no writes."""
    cluster = case.cluster(4, config=QUICK)
    writers = [each for ack in ("local", "majority", "all")
               for each in start_writers(list(cluster)[:3], "load." + ack, ack=ack, pause=0.005)]
    leaving = start_writers([cluster[4]], "leaving", per_node=2)
    case.eventually("it writes", lambda: all(each.ledger.writes > 50 for each in leaving))
    node = cluster[4]
    with cluster[2].client() as client:
        client.remove_member(4)
    await_state(case, cluster, 4, TMemberState.REMOVED)
    for each in leaving:
        each.stop()
        each.join(30)
    own = [each.ledger for each in leaving]
    with node.client() as client:
        expect_error(SynclogError, "a write at the removed node", client.insert, "x", 1, {"v": 1})
    cluster.nodes.remove(node)
    for each in cluster:
        case.eventually("%s has closed it" % each, lambda each=each: (
            each.peer_status(4).state == "removed" and each.log_status(4).state == "closed"))
    with cluster[1].client() as client:
        status = client.insert("after", 1, {"v": 1}, ack="all", timeout_ms=10000)
        expect(not status.pending, "ack = all waits for a node that was removed")
    ledger = stop_writers(writers)
    check_everywhere(cluster, ledger)
    for each in own:
        check_everywhere(cluster, each)
    # It comes back: nobody listens.
    node.stop()
    node.start()
    cluster.stop()
    cluster.start()
    check_everywhere(cluster, ledger)
    expect_equal(cluster[3].peer_status(4).state, "removed", "state after a restart")
    with node.client() as client:
        expect_error(SynclogError, "a write at the removed node", client.insert, "x", 1, {"v": 1})


@test(timeout=120)
def the_tool_adds_and_puts_back(case):
    """synclogctl node add --wait lets one in, or puts all back: wrong cluster, or nobody there."""
    cluster = case.cluster(config=QUICK)
    ledger = join_writers(start_writers(cluster, "load", count=20))

    def node_command(*arguments, code=0):
        command = [case.program("synclogctl"), "--server", cluster[1].address, "node", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
        expect_equal(result.returncode, code, "exit code of node %s: %s%s" %
                     (" ".join(arguments), result.stdout, result.stderr))
        return result

    node = newcomer(case, cluster, 4).start()
    out = node_command("add", "4", node.peer_address, "--wait", "--json").stdout
    expect('"active"' in out, out)
    cluster.nodes.append(node)
    check_everywhere(cluster, ledger)
    listed = node_command("list").stdout
    expect(listed.count("active") == 4, listed)
    error = node_command("add", "4", node.peer_address, code=1).stderr
    expect("already" in error, error)
    error = node_command("add", "5", node.peer_address, code=1).stderr
    expect("address of node 4" in error, error)
    error = node_command("add", "5", "nowhere", code=1).stderr
    expect("port" in error, error)
    error = node_command("remove", "9", "--yes", code=1).stderr
    expect("no member" in error, error)
    error = node_command("remove", "4", code=2).stderr
    expect("--yes" in error, error)

    stranger = newcomer(case, cluster, 5, config={"cluster.id": "another"}).start()
    error = node_command("add", "5", stranger.peer_address, "--wait", code=1).stderr
    expect("was not added" in error and "other cluster" in error, error)
    stranger.stop()
    gone = newcomer(case, cluster, 5)
    error = node_command("add", "5", gone.peer_address, "--give-up", "2s", code=1).stderr
    expect("taken out again" in error, error)
    error = node_command("add", "5", gone.peer_address, code=1).stderr
    expect("never used again" in error, error)
    with cluster[2].client() as client:
        status = client.insert("after", 1, {"v": 1}, ack="all", timeout_ms=10000)
        expect(not status.pending, "ack = all waits for a node that was not let in")
    out = node_command("remove", "4", "--yes", "--wait").stdout
    expect("is removed" in out, out)
    cluster[2].peers.update({4: node.peer_address, 9: gone.peer_address})
    cluster[2].write_config()
    checked = subprocess.run([case.program("synclogd"), "-c", cluster[2].config_path,
                              "--check-config"], capture_output=True, text=True, check=True)
    expect("[peer.4] is not used: node 4 was removed" in checked.stderr, checked.stderr)
    expect("[peer.9] is not used" in checked.stderr, checked.stderr)
    cluster[2].stop()
    cluster[2].start()
    expect("[peer.9] is not used" in cluster[2].log_text(), cluster[2].log_text())
    cluster.nodes.remove(node)
    check_everywhere(cluster, ledger)


@test(timeout=90)
def an_address_that_is_wrong_uses_up_no_id(case):
    """What can be seen to be wrong is refused before the record is written; the same id is then added at its right address."""
    cluster = case.cluster(2, config=QUICK)
    node, other = newcomer(case, cluster, 3).start(), newcomer(case, cluster, 4).start()
    precise = newcomer(case, cluster, 5, config={"cluster.time_precision": "us"}).start()
    with cluster[1].client() as client:
        for address, why in (("nowhere.invalid:7671", "nowhere.invalid:7671"),
                             (other.peer_address, "this is node 4, not node 3"),
                             (cluster[1].peer_address, "this is node 1, not node 3"),
                             (precise.peer_address, "other time precision"),
                             (node.address, "is this where it listens for replication?")):
            error = expect_error(Invalid, address, client.add_member, 3, address)
            expect("node 3 was not added" in error.message and why in error.message, "%s", error)
            expect_equal(client.status().members, None, "members")
        for each in node, other:
            expect("is this node's own" not in each.log_text(), "it complains of the question: %s", each.log_text())
    precise.stop()
    add(case, cluster, node)


@test(timeout=60)
def an_address_that_does_not_answer_keeps_nobody_waiting(case):
    """While the node asks who is at an address its only worker has other requests to answer."""
    cluster = case.cluster(2, config=dict(QUICK, **{"threads.workers": "1"}))
    added = threading.Event()

    def add_silent(address):
        with cluster[1].client() as client:
            client.add_member(3, address)
        added.set()

    with socket.create_server(("127.0.0.1", 0)) as silent, cluster[1].client() as client:
        silent.settimeout(20)
        client.insert("d", 1, {"v": 1})
        adding = threading.Thread(target=add_silent, args=("127.0.0.1:%d" % silent.getsockname()[1],))
        adding.start()
        with silent.accept()[0]:
            expect_equal(client.last("d")["v"].value, 1, "the last value")
            expect(not added.is_set(), "the read was answered behind it")
            adding.join(30)
    expect(added.is_set(), "who does not answer is waited for, and was not added")
    expect_equal(state_at(cluster[1], 3), TMemberState.JOINING, "state")


@test(timeout=180, plain=True)
def the_coordinator_dies(case):
    """kill -9 of the node that was asked, at moments around the answer: a change is done or not, at
    all nodes alike, and nothing is lost."""
    cluster = case.cluster(config=QUICK)
    writers = start_writers(list(cluster)[1:], "load", ack="majority", pause=0.01)
    done = 0
    for round_ in range(case.scaled(6, least=3)):
        node_id = 4 + round_
        node = newcomer(case, cluster, node_id, known=2).start()
        killer = Killer(cluster[1], case.random.uniform(0.0, 0.02))
        with cluster[1].client() as client:
            killer.start()
            try:
                client.add_member(node.id, node.peer_address)
            except (OSError, SynclogError):
                pass
        killer.join()
        cluster[1].start()
        known = max((state_at(each, node_id) or 0) for each in cluster)
        if not known:  # it may be told it still
            with cluster[3].client() as client:
                client.add_member(node.id, node.peer_address)
        else:
            done += 1
        await_state(case, cluster, node_id, TMemberState.ACTIVE)
        case.eventually("%s serves" % node, lambda node=node: node.status().state == "serving")
        join_writers(start_writers([node], "own", count=5, first=1 + 10 * round_))
        killer = Killer(cluster[1], case.random.uniform(0.0, 0.02))
        with cluster[1].client() as client:
            killer.start()
            try:
                client.remove_member(node.id)
            except (OSError, SynclogError):
                pass
        killer.join()
        cluster[1].start()
        if max(state_at(each, node_id) for each in cluster) < TMemberState.REMOVING:
            with cluster[2].client() as client:
                client.remove_member(node.id)
        await_state(case, cluster, node_id, TMemberState.REMOVED)
        node.stop()
    case.note("%d of the changes were done" % done)
    check_everywhere(cluster, stop_writers(writers))


@test(timeout=120)
def cut_off_while_others_change(case):
    """A node is cut off while another one is added and one removed: it learns both when the link
    heals, and the newcomer writes only then."""
    cluster = case.cluster(4, config=QUICK, proxied=True)
    cluster.cut(3)
    ledger = join_writers(start_writers(cluster, "cut", count=20))
    node = newcomer(case, cluster, 5).start()
    with cluster[1].client() as client:
        client.add_member(5, node.peer_address)
        client.remove_member(4)
    case.eventually("the newcomer says whom it waits for",
                    lambda: "node 3 is not reached" in (node.status().message or ""))
    case.eventually("the other one waits", lambda: "node 3" in (cluster[4].status().message or ""))
    with node.client() as client:
        expect_error(NotReady, "a write before all know", client.insert, "x", 1, {"v": 1})
    with cluster[3].client() as client:
        client.insert("cut.off", 1, {"v": 1})
    cluster.heal()
    await_state(case, cluster, 4, TMemberState.REMOVED)
    await_state(case, list(cluster)[:3], 5, TMemberState.ACTIVE)
    cluster.nodes.remove(cluster[4])
    cluster.nodes.append(node)
    more = join_writers(start_writers(cluster, "more", count=20, ack="all"))
    check_everywhere(cluster, ledger)
    check_everywhere(cluster, more)


@test(timeout=60)
def what_can_not_join(case):
    """A join with data of its own, or without a node to ask, is refused at the start."""
    cluster = case.cluster(config=QUICK)
    join_writers(start_writers(cluster, "load", count=5))
    cluster.converge()
    node = cluster[3]
    node.stop()
    node.config["cluster.join"] = "yes"
    node.launch()
    node.expect_death()
    expect_equal(node.wait_exit(), 78, "exit code of a node that has data and would join")
    expect("wants an empty data_dir" in node.log_text(), node.log_text())
    alone = case.node(node_id=9, config={"cluster.join": "yes"})
    alone.launch()
    alone.expect_death()
    expect_equal(alone.wait_exit(), 78, "exit code of a node that knows nobody")
    expect("at least one node of the cluster" in alone.log_text(), alone.log_text())


@test(timeout=120)
def a_newcomer_gets_a_snapshot(case):
    """The members have deleted the beginning of their logs long ago: the newcomer begins with a
    member's store, goes on from the logs, and becomes a member like any other."""
    small = {**QUICK, "wal.wal_segment_size": "64KiB", "store.memtable_size": "64KiB"}
    cluster = case.cluster(config=small)
    # What comes at once, when a channel opens late, is one segment.
    cluster.wait_connected()
    before = join_writers(start_writers(cluster, "before", count=case.scaled(400, least=150),
                                        payload="x" * 1000))
    case.eventually("old segments are deleted", lambda: all(
        each.progress.firstAvailable > 1 for node in cluster for each in node.status().logs))
    writers = start_writers(cluster, "load", ack="majority", pause=0.005)
    node = newcomer(case, cluster, 4, known=2, config={
        key: value for key, value in small.items() if key not in QUICK}).start()
    add(case, cluster, node, at=2)
    writers += start_writers([node], "newcomer", ack="all", pause=0.005)
    case.eventually("the newcomer writes", lambda: writers[-1].ledger.writes > 20)
    ledger = stop_writers(writers)
    check_everywhere(cluster, before)
    check_everywhere(cluster, ledger)


@test(timeout=120)
def removed_while_it_joins(case):
    """A newcomer that never comes, and one that is held up by a member that is down: taken out again, nothing waits for it, and it can't come
    back under its id."""
    cluster = case.cluster(config=QUICK)
    ledger = join_writers(start_writers(cluster, "load", count=20))
    never = newcomer(case, cluster, 4)
    with cluster[1].client() as client:
        client.add_member(4, never.peer_address)
        await_state(case, cluster, 4, TMemberState.JOINING)
        error = expect_error(SynclogError, "told twice", client.add_member, 4, never.peer_address)
        expect("a member already (joining)" in error.message, "%s", error)
        client.remove_member(4)
    await_state(case, cluster, 4, TMemberState.REMOVED)
    never.start()
    case.eventually("it learns that it was removed", lambda: never.status().state != "serving" and
                    "node 4 was removed" in never.log_text())
    with never.client() as client:
        expect_error(SynclogError, "a write of who was removed", client.insert, "d", 1, {"v": 1})
    with cluster[2].client() as client:
        error = expect_error(SynclogError, "the id again", client.add_member, 4, never.peer_address)
        expect("never used again" in error.message, "%s", error)
    never.stop()
    # It has the data of two, and can't be a member before the third knows it.
    cluster[3].kill()
    held_up = newcomer(case, cluster, 5).start()
    with cluster[1].client() as client:
        client.add_member(5, held_up.peer_address)
        case.eventually("it says whom it waits for", lambda: "node 3" in (held_up.status().message or ""))
        expect(state_at(cluster[1], 5) in (TMemberState.JOINING, TMemberState.ENTERING), "it is %s", state_at(cluster[1], 5))
        client.remove_member(5)
    ledger.merge(join_writers(start_writers([cluster[1], cluster[2]], "meanwhile", count=20, ack="majority")))
    cluster[3].start()
    await_state(case, cluster, 5, TMemberState.REMOVED)
    ledger.merge(join_writers(start_writers(cluster, "after", count=20, ack="all")))
    check_everywhere(cluster, ledger)
    with held_up.client() as client:
        expect_error(SynclogError, "a write of who was removed", client.insert, "d", 1, {"v": 1})
    held_up.stop()


@test(timeout=120, plain=True)
def two_operators_at_once(case):
    """At two nodes at the same moment: the same node added twice, a node added and removed, two others added and removed. Each is told what
    became of it, and all nodes come to the same members; nothing is lost."""
    cluster = case.cluster(config=QUICK)
    writers = start_writers(cluster, "load", ack="majority", pause=0.01)
    four, five, six = (newcomer(case, cluster, node_id).start() for node_id in (4, 5, 6))

    def at_once(*changes):
        """[error or None] of (node, method, arguments), all begun at the same time."""
        results, barrier = {}, threading.Barrier(len(changes))

        def change(number, at, method, arguments):
            with cluster[at].client() as client:
                client.status()
                barrier.wait()
                try:
                    getattr(client, method)(*arguments)
                    results[number] = None
                except SynclogError as error:
                    results[number] = error
        threads = [threading.Thread(target=change, args=(i, *each)) for i, each in enumerate(changes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in results.values():
            expect(error is None or (error.message and error.code != Status.INTERNAL), "%s", error)
        return [results[i] for i in range(len(changes))]

    def same_members(node_id, states):
        """All members come to the same state of it, one of these."""
        case.eventually("all say the same of node %d" % node_id, lambda: len(
            {state_at(node, node_id) for node in cluster}) == 1 and state_at(cluster[1], node_id) in states, timeout=40)

    twice = at_once((1, "add_member", (4, four.peer_address)), (2, "add_member", (4, four.peer_address)),
                    (3, "add_member", (5, five.peer_address)))
    expect(twice[2] is None and None in twice[:2], "%s", twice)
    same_members(4, [TMemberState.ACTIVE])
    same_members(5, [TMemberState.ACTIVE])
    both = at_once((1, "remove_member", (5,)), (2, "remove_member", (5,)), (3, "add_member", (6, six.peer_address)),
                   (1, "remove_member", (4,)))
    expect(both[2] is None and both[3] is None and None in both[:2], "%s", both)
    for gone in (4, 5):
        same_members(gone, [TMemberState.REMOVED])
    same_members(6, [TMemberState.ACTIVE])
    at_once((1, "remove_member", (6,)), (2, "add_member", (6, six.peer_address)))
    same_members(6, [TMemberState.REMOVED, TMemberState.ACTIVE])
    if state_at(cluster[1], 6) == TMemberState.ACTIVE:
        cluster.nodes.append(six)
    check_everywhere(cluster, stop_writers(writers))
