"""Several groups in one daemon: each with its members, logs and store, devices given out by a rule."""

import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

from case import expect, expect_equal, expect_error, test
from cluster import free_port
from peer import crc32c
from test_operators import run_ctl
from synclog_client import (Cluster, Invalid, NotReady, Overloaded, Session, SynclogError, TDelete, TWrite,
                            UnknownGroup, UnknownLog, make_row)

TWO = {"group.1.devices": "plant1.*", "group.2.devices": "plant2.*, special"}


def expect_refusal(error_class, text, function, *arguments, **options):
    error = expect_error(error_class, text, function, *arguments, **options)
    expect(text in error.message, "%r does not say %r", error.message, text)


def expect_ctl(case, node, code, text, *arguments):
    got, out, complaint = run_ctl(case, "-s", node.address, *arguments)
    expect(got == code and text in out + complaint, "synclogctl %s: %d, %s%s", " ".join(arguments),
           got, out, complaint)
    return out


def converge(case, cluster, group, timeout=30.0):
    """Waits until all nodes hold the same of a group; returns the common digest."""
    def same():
        found = []
        for node in cluster:
            with node.client(group=group) as client:
                found.append(client.digest())
        case.last_digests = found
        return all(each == found[0] for each in found)
    case.eventually("group %d is the same everywhere" % group, same, timeout, pause=0.1)
    return case.last_digests[0]


def write(node, device, first, count, **options):
    with node.client(**options) as client:
        for i in range(first, first + count):
            client.insert(device, i, {"v": i})


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def times(node, device, **options):
    with node.client(**options) as client:
        return [row.timestamp for row in client.query(device)]


@test(timeout=120)
def each_device_is_replicated_in_its_group(case):
    cluster = case.cluster(3, config=TWO)
    for node in cluster:
        for device in ("plant1.a", "plant2.a", "special", "other"):
            write(node, device, node.id * 100, 10)
    wanted = [i for node in cluster for i in range(node.id * 100, node.id * 100 + 10)]
    sizes = [converge(case, cluster, group).cells for group in (0, 1, 2)]
    expect_equal(sizes, [30, 30, 60], "the cells of the groups")
    for node in cluster:
        with node.client() as client:
            expect_equal(sorted(client.info().groups), [0, 1, 2], "the groups")
            expect_equal([each.name for each in client.series()],
                         ["other", "plant1.a", "plant2.a", "special"], "the devices")
        for group, device in ((0, "other"), (1, "plant1.a"), (2, "plant2.a"), (2, "special")):
            expect_equal(times(node, device), wanted, device)
            expect_equal(times(node, device, group=group), wanted, device)
            expect_equal(times(node, device, group=(group + 1) % 3), [], device)
    # A node that is killed catches up with every group.
    cluster[3].kill()
    for device in ("plant1.a", "plant2.a", "other"):
        write(cluster[1], device, 1000, 50)
    cluster[3].start()
    sizes = [converge(case, cluster, group).cells for group in (0, 1, 2)]
    expect_equal(sizes, [80, 80, 110], "the cells of the groups after the kill")
    for group in (1, 2):
        expect(os.path.isdir(os.path.join(cluster[1].data_dir, "group-%d" % group, "wal")),
               "group %d has no logs of its own", group)


@test
def a_write_goes_to_one_group(case):
    node = case.node(config=TWO)
    node.start()
    with node.client(group=1) as client:
        expect_refusal(Invalid, "belongs to group 2, not to group 1",
                     client.insert, "plant2.a", 1, {"v": 1})
    with node.client(group=7) as client:
        expect_refusal(UnknownGroup, "group 7 does not exist here",
                     client.insert, "plant2.a", 1, {"v": 1})
        expect_refusal(UnknownGroup, "group 7 does not exist here", client.digest)
        expect_refusal(UnknownGroup, "group 7 does not exist here", client.status)
    with node.client() as client:
        both = TWrite(rows=[make_row("plant1.a", 1, {"v": 1}), make_row("plant2.a", 1, {"v": 1})])
        expect_refusal(Invalid, "spans groups 1 and 2", client.write, both)
        expect_refusal(Invalid, "spans groups 2 and 0",
                     client.write, TWrite(rows=[make_row("special", 1, {"v": 1}),
                                                make_row("else", 1, {"v": 1})]))
    for group, device in ((0, "else"), (1, "plant1.a"), (2, "plant2.a")):
        expect_equal(times(node, device, group=group), [], device)


@test
def tokens_count_in_their_group(case):
    cluster = case.cluster(2, config=TWO)
    session = Session()
    with cluster[1].client(session=session) as one, cluster[2].client(session=session) as two:
        for i in range(20):
            for device in ("plant1.a", "plant2.a", "other"):
                one.insert(device, i, {"v": i})
            # All of them are in the session; each read waits for that of its own group.
            for device in ("other", "plant2.a", "plant1.a"):
                expect_equal(two.last(device)["v"].value, i, device)
        tokens = session.tokens()
        expect_equal(len({(token.origin, token.incarnation) for token in tokens}), 3, "the logs")
    with cluster[1].client(group=1) as client:
        token = client.insert("plant1.a", 100, {"v": 1}).token
    with cluster[1].client(group=2) as client:
        expect_refusal(UnknownLog, "", client.last, "plant2.a", tokens=[token], timeout_ms=100)


def reload(node, **changes):
    """Takes {"group.1.devices": …} over by SIGHUP; None takes a key out."""
    node.config.update(changes)
    node.write_config()
    node.signal(signal.SIGHUP)


def groups_of(node):
    """{id: state} as synclogctl shows them."""
    out = expect_ctl(node.case, node, 0, "", "--json", "group", "list")
    return {each["group"]: each["state"] for each in json.loads(out)}


@test(timeout=120)
def groups_come_and_go_while_the_node_runs(case):
    cluster = case.cluster(3, config={"group.1.devices": "plant1.*"})
    write(cluster[1], "plant2.a", 0, 5)
    write(cluster[1], "plant1.a", 0, 5)
    for node in cluster:
        reload(node, **{"group.2.devices": "plant2.*"})
    for node in cluster:
        case.eventually("group 2 is open", lambda node=node: groups_of(node).get(2) == "serving")
    write(cluster[2], "plant2.a", 100, 5)
    expect_equal(converge(case, cluster, 2).cells, 5, "cells of the new group")
    expect_equal(times(cluster[1], "plant2.a", group=0), list(range(5)), "what was there before")
    case.eventually("the new group is read everywhere",
                    lambda: times(cluster[3], "plant2.a") == list(range(100, 105)))
    # It goes, and its files stay; what was written comes back with it.
    for node in cluster:
        reload(node, **{"group.2.devices": None})
        case.eventually("group 2 is closed", lambda node=node: groups_of(node).get(2) == "files")
    with cluster[1].client(group=2) as client:
        expect_refusal(UnknownGroup, "group 2 does not exist here", client.series)
    expect_equal(times(cluster[1], "plant2.a"), list(range(5)), "by the rule, in group 0")
    for node in cluster:
        reload(node, **{"group.2.devices": "plant2.*", "group.1.devices": "plant1.*, else"})
        case.eventually("group 2 is back", lambda node=node: groups_of(node).get(2) == "serving")
    expect_equal(times(cluster[3], "plant2.a"), list(range(100, 105)), "the data of the group")
    write(cluster[3], "plant2.a", 200, 5)
    write(cluster[3], "else", 0, 5)
    expect_equal(converge(case, cluster, 2).cells, 10, "cells after it came back")
    expect_equal(converge(case, cluster, 1).cells, 10, "cells of the group whose rule changed")
    converge(case, cluster, 0)


@test
def a_reload_that_does_not_fit_with_what_runs_is_refused(case):
    """Files that are good by themselves; what only a restart changes stays as it was."""
    node = case.node(config={"wal.wal_segment_size": "64MiB"})
    node.start()

    def refused(text, group, **changes):
        before = node.log_text().count("the running configuration stays")
        reload(node, **changes)
        case.eventually("the reload is refused", lambda: node.log_text().count(
            "the running configuration stays") > before)
        expect(text in node.log_text(), "the log does not say %r", text)
        expect_equal(groups_of(node), {0: "serving"}, "groups")
        write(node, "plant1.a", group, 1)
    node.peers[2] = "127.0.0.1:%d" % free_port(case)
    refused("[group.1] members: node 2 is neither this one nor is there a [peer.2]", 1,
            **{"group.1.devices": "plant1.*", "group.1.members": "1, 2"})
    refused("throttle_threshold: must not be less than wal_segment_size", 2,
            **{"group.1.members": None, "wal.wal_segment_size": "8MiB",
               "wal.throttle_threshold": "32MiB"})
    # At the next start all of it counts.
    node.stop()
    node.config["group.1.members"] = "1, 2"
    node.write_config()
    node.start()
    case.eventually("group 1 is open", lambda: groups_of(node).get(1) == "serving")


@test(timeout=90)
def a_group_that_was_opened_anew_is_replicated_to(case):
    """Between two heartbeats, so that the peer does not see that it was away."""
    cluster = case.cluster(2, config=dict(TWO, **{"replication.heartbeat_interval": "5s"}))
    write(cluster[1], "plant2.a", 0, 20)
    expect_equal(converge(case, cluster, 2).cells, 20, "cells")
    reload(cluster[2], **{"group.2.devices": None})
    case.eventually("group 2 is closed", lambda: groups_of(cluster[2]).get(2) == "files")
    with cluster[2].client() as client:
        client.delete_group(2)
    reload(cluster[2], **{"group.2.devices": "plant2.*, special"})
    case.eventually("group 2 is back", lambda: groups_of(cluster[2]).get(2) == "serving")
    case.eventually("it has everything", lambda: times(cluster[2], "plant2.a") ==
                    list(range(20)), 40)


@test
def the_files_of_a_group_are_deleted_by_an_operators_word(case):
    node = case.node(config=TWO)
    node.start()
    write(node, "plant2.a", 0, 4)
    with node.client() as client:
        incarnation = client.insert("plant2.a", 4, {"v": 4}).token.incarnation
    expect_ctl(case, node, 1, "is in use", "group", "delete", "2", "--yes")
    expect_ctl(case, node, 1, "always there", "group", "delete", "0", "--yes")
    expect_ctl(case, node, 1, "no files of group 9", "group", "delete", "9", "--yes")
    expect_ctl(case, node, 2, "say --yes", "group", "delete", "2")
    reload(node, **{"group.2.devices": None})
    case.eventually("group 2 is closed", lambda: groups_of(node).get(2) == "files")
    with node.client() as client:
        expect_equal([(each.consensusGroupId, each.state) for each in client.groups()],
                     [(0, "serving"), (1, "serving"), (2, "files")], "groups as clients see them")
        expect_refusal(Invalid, "is in use", client.delete_group, 1)
    expect_ctl(case, node, 0, "are deleted", "group", "delete", "2", "--yes")
    expect_equal(groups_of(node), {0: "serving", 1: "serving"}, "groups")
    expect_equal([name for name in os.listdir(node.data_dir) if name.startswith("group-2")],
                 ["group-2.past"], "files that are left")
    # Others remember its logs: should it come again, it goes on behind them.
    past = os.path.join(node.data_dir, "group-2.past")
    with open(past, encoding="utf-8") as file:
        text = file.read()
    expect("incarnation=%d\n" % incarnation in text, "what is kept is %s", text)
    ahead = incarnation + 10 ** 12  # as after a clock that went back
    with open(past, "w", encoding="utf-8") as file:
        file.write(text.replace(str(incarnation), str(ahead)))
    # One that was interrupted is finished at the next start.
    node.stop()
    os.makedirs(os.path.join(node.data_dir, "group-5.deleted", "wal", "1-1"))
    node.start()
    expect(not os.path.exists(os.path.join(node.data_dir, "group-5.deleted")), "it is still there")
    reload(node, **{"group.2.devices": "plant2.*"})
    case.eventually("group 2 is open", lambda: groups_of(node).get(2) == "serving")
    expect_equal(times(node, "plant2.a"), [], "the data of a group that was deleted")
    with node.client() as client:
        expect_equal(client.insert("plant2.a", 1, {"v": 1}).token.incarnation, ahead + 1,
                     "the log that follows")


@test
def what_the_rule_left_behind_can_be_deleted(case):
    node = case.node()
    node.start()
    write(node, "plant1.a", 0, 5)
    reload(node, **{"group.1.devices": "plant1.*"})
    case.eventually("group 1 is open", lambda: groups_of(node).get(1) == "serving")
    write(node, "plant1.a", 100, 5)
    write(node, "plant2.a", 0, 1)
    # It is told, with what to do; not what is nothing but deleted.
    hint = "1 device here that the rule gives to another group (\"plant1.a\" to group 1)"

    def hints():
        return expect_ctl(case, node, 0, "", "group", "list")
    case.eventually("it is told", lambda: hint in hints())
    expect_ctl(case, node, 0, hint, "status", "--only", "groups")
    expect("to group 0" not in hints(), "also of group 1: %s", hints())
    expect_ctl(case, node, 0, "", "--group", "0", "delete", "--yes", "plant1.a")
    reload(node, **{"group.1.devices": "plant1.*, plant9.*"})
    case.eventually("the rule changed", lambda: "plant9" in hints())
    write(node, "plant2.b", 0, 1)
    reload(node, **{"group.1.devices": "plant1.*, plant2.b"})
    case.eventually("what is deleted is none", lambda: "(\"plant2.b\" to group 1)" in hints() and "1 device here" in hints())
    expect_equal(times(node, "plant1.a", group=0), [], "what was left")
    expect_equal(times(node, "plant1.a"), list(range(100, 105)), "what the group has")
    with node.client(group=0) as client:
        # Of many it is not told how many: each that is counted costs a read.
        for i in range(120):
            client.insert("plant3.%d" % i, 1, {"deleted": 1, "v": 1})
            client.delete("plant3.%d" % i, 0, 1, ["deleted"])
    reload(node, **{"group.1.devices": "plant1.*, plant2.b, plant3.*"})
    case.eventually("many are told", lambda: "100 or more devices here" in hints())
    with node.client(group=0) as client:
        both = TWrite(deletes=[TDelete("plant1.a", None, 0, 1)], rows=[make_row("plant1.a", 1, {"v": 1})])
        expect_refusal(Invalid, "belongs to group 1, not to group 0", client.write, both)


@test(timeout=90)
def a_node_that_is_no_member_keeps_nothing(case):
    cluster = case.cluster(3, config=dict(TWO, **{"group.1.members": "1, 2"}))
    write(cluster[1], "plant1.a", 0, 10)
    case.eventually("the other member has it",
                    lambda: times(cluster[2], "plant1.a") == list(range(10)))
    with cluster[3].client() as client:
        expect_refusal(UnknownGroup, "not on this node, but on nodes 1, 2",
                       client.insert, "plant1.a", 1, {"v": 1})
        expect_refusal(UnknownGroup, "not on this node", client.last, "plant1.a")
        expect_equal(sorted(client.info().groups), [0, 2], "groups")
    expect(not os.path.exists(os.path.join(cluster[3].data_dir, "group-1")), "it has files of it")
    # A session that has written there reads what is here, without waiting for what will never come.
    session = Session()
    for device, node in (("plant1.a", cluster[1]), ("plant2.a", cluster[3])):
        with node.client(session=session) as client:
            client.insert(device, 500, {"v": 500})
    with cluster[3].client(session=session) as client:
        expect_equal(client.last("plant2.a", timeout_ms=60000)["v"].value, 500, "by the session")
        expect("plant2.a" in [each.name for each in client.series()], "the device is not listed")
    expect_equal([token.group for token in session.tokens()], [1, 2], "groups of the tokens")
    code, token, _ = run_ctl(case, "-s", cluster[1].address, "insert", "plant1.a", "v=1")
    expect(code == 0 and token.strip().endswith("@1"), "insert printed %s", token)
    expect_ctl(case, cluster[3], 0, "500", "--timeout", "60s", "last", "--token", token.strip(), "plant2.a")
    # synclogctl: the rule holds where a group is elsewhere, and its members alone are compared.
    expect_ctl(case, cluster[3], 1, "not on this node", "query", "plant1.a")
    expect_ctl(case, cluster[3], 2, "say --group N", "backup", "create", os.path.join(case.dir, "copy"))
    converge(case, [cluster[1], cluster[2]], 1)
    code, out, complaint = run_ctl(case, "-s", ",".join(node.address for node in reversed(list(cluster))), "digest", "--compare")
    expect(code == 0 and "group 1\n" in out and out.count("equal") == 3, "digest: %d %s%s", code, out, complaint)
    with cluster[1].client(group=1) as client:
        expect_equal([each.nodeId for each in client.status().peers], [2], "peers")
    expect_equal(groups_of(cluster[3]), {0: "serving", 1: "elsewhere", 2: "serving"}, "groups")


@test(timeout=90)
def a_python_cluster_finds_a_member(case):
    """Whichever node it asks first: one that is no member of the group sends it on."""
    cluster = case.cluster(3, config=dict(TWO, **{"group.1.members": "1, 2", "group.2.members": "3"}))
    for first in range(3):
        addresses = [cluster[1 + (first + i) % 3].address for i in range(3)]
        with Cluster(addresses) as client:
            for device in ("plant1.a", "plant2.a", "other", "plant1.a"):
                client.insert(device, first, {"v": first})
                expect_equal(client.last(device)["v"].value, first, device)
        with Cluster(addresses, group=7, patience=30) as client:
            expect_refusal(UnknownGroup, "group 7 does not exist here", client.insert, "a", 1, {"v": 1})
            expect_refusal(UnknownGroup, "group 7 does not exist here", client.last, "a")
    # What one node was told to do is no other's business.
    with Cluster([cluster[2].address, cluster[3].address]) as client:
        expect_refusal(UnknownGroup, "no files of group 9", client.delete_group, 9)
        expect_equal(client.address, cluster[2].address, "the node that was asked")


@test(timeout=90)
def rules_that_differ_are_told(case):
    """Also where nobody asks for them: in the status of each node, and taken back when they are the same."""
    cluster = with_http(case, 2)

    def told(node):
        peers = json.loads(ask(node, "/status.json")[1])["peers"]
        metric = [line for line in ask(node, "/metrics")[1].split("\n") if line.startswith("synclogd_peer_rule_differs{")]
        expect(len(metric) <= 1 and (not metric or 'group="0"' in metric[0]), "metrics %s", metric)
        return peers[0].get("ruleDiffers"), metric[0][-1] if metric else None
    for node in cluster:
        case.eventually("the rules are known", lambda node=node: told(node) == (False, "0"))
    reload(cluster[2], **{"group.1.devices": "plant1.*, more*"})
    for node in cluster:
        case.eventually("the difference is told", lambda node=node: told(node) == (True, "1"))
        expect_ctl(case, node, 1, "nodes %d and %d have different rules" % (node.id, 3 - node.id), "status", "--check")
        expect_ctl(case, node, 0, "its rule of devices", "status", "--only", "channels")
        expect("another than this node's" in node.log_text(), "the log does not tell")
    reload(cluster[1], **{"group.1.devices": "more*,plant1.*"})
    for node in cluster:
        case.eventually("they are the same again", lambda node=node: told(node) == (False, "0"))
        expect("its rule of devices is this node's now" in node.log_text(), "the log does not tell it")
        expect_ctl(case, node, 0, "", "status", "--check")


@test(timeout=90)
def a_peer_without_the_group_is_told_and_tried_again(case):
    cluster = case.cluster(2, config={"group.1.devices": "plant1.*"}, start=False)
    cluster[2].config["group.1.devices"] = None
    cluster.start()
    write(cluster[1], "plant1.a", 0, 5)

    def message():
        with cluster[1].client(group=1) as client:
            return client.status().peers[0].message or ""
    case.eventually("it says why", lambda: "group 1 does not exist here" in message())
    code, out, complaint = run_ctl(case, "-s", "%s,%s" % (cluster[2].address, cluster[1].address),
                                   "status", "--check")
    expect(code == 1 and "group 1 has devices plant1.* at node 1, and none at node 2" in complaint,
           "status --check: %d %s%s", code, out, complaint)
    reload(cluster[2], **{"group.1.devices": "plant1.*"})
    case.eventually("it has got it", lambda: groups_of(cluster[2]).get(1) == "serving" and
                    times(cluster[2], "plant1.a") == list(range(5)))


def other_cluster(text, name):
    """A node.ini that says it is of another cluster."""
    body = "".join("cluster=%s\n" % name if line.startswith("cluster=") else line
                   for line in text.splitlines(True) if not line.startswith("checksum="))
    return "%schecksum=%08x\n" % (body, crc32c(body.encode()))


@test
def a_group_that_can_not_be_opened_harms_no_other(case):
    node = with_http(case, 1)[1]
    write(node, "plant1.a", 0, 4)
    tokens = [ask(node, "/write?precision=ms", line)[2]["X-Synclog-Token"]
              for line in (b"plant1.a v=4i 4\n", b"plant2.a v=4i 4\n")]
    node.stop()
    folder = os.path.join(node.data_dir, "group-1")
    kept = {}
    for name in ("node.ini", "node.ini.copy"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            kept[name] = file.read()
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(other_cluster(kept[name], "o\x1bth\x7fer"))
    node.start()
    expect_equal(groups_of(node), {0: "serving", 1: "failed", 2: "serving"}, "groups")
    write(node, "plant2.a", 0, 5)
    with node.client() as client:
        expect_refusal(NotReady, "group 1 can't be opened here",
                       client.insert, "plant1.a", 1, {"v": 1})
        expect_refusal(NotReady, "group 1 is not open here", client.series)
        expect_equal([row.timestamp for row in client.query("plant2.a")], list(range(5)), "rows")
    with node.client(group=2) as client:
        expect_equal([each.name for each in client.series()], ["plant2.a"], "devices of group 2")
    # No command leaves it out without a word, and none leaves the others unread for it.
    expect_ctl(case, node, 1, "group 1 can't be opened here", "query", "plant1.a")
    expect_ctl(case, node, 1, "group 1 can't be opened here", "insert", "plant1.a", "v=1")
    expect_ctl(case, node, 1, "group 1 can't be opened here", "digest")
    expect_ctl(case, node, 0, "4", "query", "plant2.a")
    expect_ctl(case, node, 0, "", "insert", "plant2.a", "1000", "v=1")
    code, out, said = run_ctl(case, "-s", node.address, "--csv", "devices")
    expect(code == 0 and "plant2.a" in out and "left out: group 1 (" in said, "devices: %d %s%s", code, out, said)
    code, out, said = run_ctl(case, "-s", node.address, "export", "--prefix", "")
    expect(code == 1 and out.count("\n") == 7 and "the export is not of all groups: left out: group 1 (" in said,
           "export: %d %s%s", code, out, said)
    status, text, headers = ask(node, "/export?prefix=")
    expect(status == 200 and text.count("\n") == 7 and headers.get("X-Synclog-Warning", "").startswith("left out: group 1 ("),
           "%d %s %s", status, text, headers)
    expect("cluster \"o th er\"" in headers["X-Synclog-Warning"], "the header has control characters: %s", headers)
    # Who has a token of the group is not answered without what he knows of.
    for path in ("/export?prefix=", "/api/v1/series?match[]=v"):
        for token, wanted in ((tokens[0], 503), (",".join(tokens), 503), (tokens[1], 200)):
            status, text, _ = ask(node, path + "&token=" + token)
            expect(status == wanted and (status == 200 or "group 1 is not open here" in text), "%s: %d %s", path, status, text)
    expect_equal(ask(node, "/export?device=plant1.a")[0], 503, "the export of a device of the group")
    status, text, headers = ask(node, "/export?device=plant2.a")
    expect(status == 200 and "X-Synclog-Warning" not in headers, "%d %s %s", status, text, headers)
    for path in ("query?query=v&time=0.004", "query_range?query=v&start=0&end=1&step=1", "series?match[]=v", "labels"):
        status, text, _ = ask(node, "/api/v1/" + path)
        reply = json.loads(text)
        expect(status == 200 and reply["data"] and len(reply["warnings"]) == 1 and "group 1 (" in reply["warnings"][0],
               "%s: %d %s", path, status, text)
    for name, text in kept.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    reload(node)
    case.eventually("it is tried again", lambda: groups_of(node).get(1) == "serving")
    expect_equal(times(node, "plant1.a"), list(range(5)), "its data")
    expect("warnings" not in json.loads(ask(node, "/api/v1/query?query=v&time=0.004")[1]), "a warning of nothing")


@test(timeout=90)
def an_export_goes_on_without_the_groups_it_began_without(case):
    node = with_http(case, 1)[1]
    write(node, "plant1.a", 0, 1)
    write(node, "plant2.a", 0, 1)
    with node.client() as client:
        for i in range(16):  # more than sockets hold
            client.insert("plant2.b", i, {"t": "x" * 1000000})
    node.stop()
    folder = os.path.join(node.data_dir, "group-1")
    kept = {name: read_file(os.path.join(folder, name)) for name in ("node.ini", "node.ini.copy")}

    def store(name, data):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)

    def message():
        with node.client() as client:
            return next(each.message for each in client.groups() if each.consensusGroupId == 1)
    for name in kept:
        store(name, b"damaged")
    node.start()
    with socket.socket() as connection:
        connection.settimeout(case.patience(30))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect(("127.0.0.1", node.http))
        connection.sendall(b"GET /export?prefix=&format=jsonl HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        expect("group 1 (" in reply.headers["X-Synclog-Warning"], "no warning: %s", reply.headers)
        for name in kept:
            store(name, b"x" * 1000000)
        reload(node)
        case.eventually("the reason is another one", lambda: "longer than" in (message() or ""))
        lines = [reply.readline() for _ in range(8)]
        for name, data in kept.items():
            store(name, data)
        reload(node)
        case.eventually("group 1 is open", lambda: groups_of(node).get(1) == "serving")
        lines += reply.read().splitlines()
    expect_equal([json.loads(line)["device"] for line in lines], ["plant2.a"] + ["plant2.b"] * 16, "rows")


@test(timeout=90)
def a_group_that_takes_long_to_be_opened_holds_up_nobody(case):
    node = with_http(case, 1)[1]
    write(node, "plant1.a", 0, 5)
    node.stop()
    record = os.path.join(node.data_dir, "group-1", "node.ini")
    os.rename(record, record + ".kept")
    os.mkfifo(record)  # who opens it waits for a writer
    node.start()
    expect_equal(groups_of(node), {0: "serving", 1: "opening", 2: "serving"}, "groups")
    expect("group 1 takes long to be opened" in node.log_text(), "the log does not tell")
    expect_equal(ask(node, "/readyz")[:2], (200, "group 0: serving\ngroup 2: serving\ngroup 1: opening\n"), "readyz")
    expect_equal(ask(node, "/readyz?group=1")[:2], (503, "group 1 is being opened\n"), "readyz of the group")
    write(node, "plant2.a", 0, 5)
    with node.client() as client:
        expect_refusal(NotReady, "group 1 is being opened", client.insert, "plant1.a", 1, {"v": 1})
    # Nor is another group that comes or goes meanwhile held up.
    reload(node, **{"group.3.devices": "plant3.*", "group.2.devices": None})
    case.eventually("group 3 is open", lambda: groups_of(node) == {0: "serving", 1: "opening", 2: "files", 3: "serving"})
    expect_ctl(case, node, 0, "are deleted", "group", "delete", "2", "--yes")
    os.rename(record, record + ".fifo")
    os.rename(record + ".kept", record)
    with open(record + ".fifo", "w", encoding="utf-8"):
        pass
    case.eventually("group 1 is open", lambda: groups_of(node).get(1) == "serving", 40)
    expect_equal(times(node, "plant1.a"), list(range(5)), "its data")


@test
def synclogctl_finds_the_group(case):
    node = case.node(config=TWO)
    node.start()
    for device in ("plant1.a", "plant2.a", "other"):
        expect_ctl(case, node, 0, "", "insert", device, "v=1")
        expect_ctl(case, node, 0, "1", "last", device)
    rows = os.path.join(case.dir, "rows.csv")
    with open(rows, "w", encoding="utf-8") as file:
        file.write("time,device,w\n" + "".join(
            "%d,%s,%d\n" % (i, ("plant1.b", "plant2.b", "another")[i % 3], i) for i in range(300)))
    expect_ctl(case, node, 0, "", "import", "--device-column", "device", rows)
    for group, device in ((1, "plant1.b"), (2, "plant2.b"), (0, "another")):
        expect_equal(len(times(node, device, group=group)), 100, device)
    shown = expect_ctl(case, node, 0, "", "--csv", "devices")
    for device in ("plant1.a", "plant2.b", "another"):
        expect(device in shown, "%s is not among\n%s", device, shown)
    expect_ctl(case, node, 1, "belongs to group 1", "--group", "2", "insert", "plant1.a", "v=1")
    expect_ctl(case, node, 0, "plant2.*, special", "status", "--only", "groups")
    expect_ctl(case, node, 0, "", "status", "--check")
    expect_ctl(case, node, 0, "group 2\n", "digest")
    expect_ctl(case, node, 2, "say --group N", "backup", "create", os.path.join(case.dir, "copy"))
    shown = expect_ctl(case, node, 0, "", "--csv", "export", "--prefix", "")
    expect_equal(shown.count("\n"), 1 + 3 + 300, "lines of the export")


# --- what is shown, and HTTP ----------------------------------------------------------------------

def with_http(case, count, config=None):
    cluster = case.cluster(count, start=False, config=dict(TWO, **(config or {})))
    for node in cluster:
        node.http = free_port(case)
        node.config.update({"http.listen": "127.0.0.1:%d" % node.http, "http.data": "yes"})
    cluster.start()
    return cluster


def ask(node, path, body=None):
    """(status, text, headers) of a request."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (node.http, path), data=body)
    try:
        with urllib.request.urlopen(request, timeout=node.case.patience(10)) as reply:
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


@test(timeout=90)
def line_protocol_export_and_queries_find_the_group(case):
    cluster = with_http(case, 2)
    lines = "".join("%s v=%d %d\n" % (device, i, i) for i in range(50)
                    for device in ("plant1.a", "plant2.a", "other"))
    status, text, headers = ask(cluster[1], "/write?precision=ms&consistency=all", lines.encode())
    expect_equal((status, text), (204, ""), "the answer of a write")
    tokens = headers["X-Synclog-Token"]
    expect_equal(len(tokens.split(",")), 3, "tokens in %s" % tokens)
    for group, device in ((1, "plant1.a"), (2, "plant2.a"), (0, "other")):
        expect_equal(len(times(cluster[1], device, group=group)), 50, device)
    status, text, _ = ask(cluster[2], "/export?prefix=&token=" + tokens)
    expect_equal((status, text.count("\n")), (200, 151), "lines of the export")
    status, text, _ = ask(cluster[2], "/export?device=plant2.a&format=jsonl&token=" + tokens)
    expect_equal((status, text.count("\n")), (200, 50), "lines of one device")
    status, text, _ = ask(cluster[2], "/export?device=plant2.a&group=0")
    expect_equal(status, 400, "the device in another group: " + text)
    status, text, _ = ask(cluster[2], "/api/v1/series?match[]=v")
    names = {each.get("device") for each in json.loads(text)["data"]}
    expect({"plant1.a", "plant2.a", "other"} <= names, "the series are %s", text)
    # A group that can't take them refuses its own lines only.
    status, text, _ = ask(cluster[1], "/write?precision=ms&group=1", b"plant1.a v=1 99\nother v=1 99\n")
    expect(status == 400 and "belongs to group 0" in text, "%d %s", status, text)
    expect_equal(len(times(cluster[1], "plant1.a")), 51, "the line of the group")
    expect_equal(ask(cluster[1], "/write?group=x", b"a v=1")[0], 400, "a bad group")


@test(timeout=90)
def each_group_is_shown(case):
    cluster = with_http(case, 2)
    write(cluster[1], "plant1.a", 0, 7)
    case.eventually("group 2 is connected", lambda: (
        'synclogd_peer_connected{group="2",peer="2"} 1' in ask(cluster[1], "/metrics")[1]))
    status, text, _ = ask(cluster[1], "/metrics")
    for line in ('synclogd_writes_total{group="0"} 0', 'synclogd_writes_total{group="1"} 7',
                 'synclogd_ready{group="2"} 1', 'synclogd_group_open{group="1"} 1'):
        expect(line in text.split("\n"), "%s is not in\n%s", line, text)
    expect('synclogd_peer_connected{group="2",peer="2"} 1' in text, "no peer of group 2")
    names = [line.split(" ")[2] for line in text.split("\n") if line.startswith("# TYPE")]
    expect_equal(len(names), len(set(names)), "families of metrics")
    samples = [line.split(" ")[0] for line in text.split("\n") if line and line[0] != "#"]
    expect_equal(len(samples), len(set(samples)), "samples")
    shown = json.loads(ask(cluster[1], "/status.json")[1])
    expect_equal([(each["group"], each["state"], each["writes"]) for each in shown["groups"]],
                 [(1, "serving", 7), (2, "serving", 0)], "groups in status.json")
    expect_equal(ask(cluster[1], "/readyz")[:2],
                 (200, "group 0: serving\ngroup 1: serving\ngroup 2: serving\n"), "readyz")
    expect_equal(ask(cluster[1], "/readyz?group=1")[:2], (200, "serving\n"), "readyz of one")
    expect_equal(ask(cluster[1], "/readyz?group=9")[0], 503, "readyz of one that is not there")


# --- one stuck group harms no other ----------------------------------------------------------------

def still_works(case, cluster, nodes, device, group, first):
    """Group `group` takes writes, confirms them on all of these nodes, and is read."""
    for node in nodes:
        with node.client(timeout=case.patience(10)) as client:
            for i in range(first, first + 20):
                result = client.insert(device, node.id * 1000000 + i, {"v": i}, ack="all")
                expect(not result.pending, "a write of group %d waits", group)
    for node in nodes:
        case.eventually("%s reads group %d" % (node, group), lambda node=node: all(
            other.id * 1000000 + first + 19 in times(node, device) for other in nodes))


@test(timeout=120)
def a_throttled_group_harms_no_other(case):
    cluster = case.cluster(3, config=dict(TWO, **{
        "group.1.members": "1, 3", "group.2.members": "1, 2", "group.1.throttle_threshold": "1MiB",
        "wal.wal_segment_size": "64KiB", "group.1.memtable_size": "64KiB"}))
    cluster[3].kill()
    text = "x" * 20000
    with cluster[1].client() as client:
        def full():
            for i in range(10):
                client.insert("plant1.a", full.next, {"t": text})
                full.next += 1
        full.next = 0

        def refused():
            try:
                full()
            except Overloaded as error:
                return "throttle_threshold" in error.message
            return False
        case.eventually("group 1 is throttled", refused, 40)
        still_works(case, cluster, [cluster[1], cluster[2]], "plant2.a", 2, 0)
        expect_refusal(Overloaded, "throttle_threshold", client.insert, "plant1.a", 1, {"t": text})
    with cluster[1].client(group=2) as client:
        expect(not client.status().throttled, "group 2 is throttled")
    cluster[3].start()
    case.eventually("group 1 takes writes again", lambda: takes(cluster[1], "plant1.a"), 60)


def takes(node, device):
    try:
        write(node, device, 10 ** 9, 1)
    except SynclogError as error:
        if not error.retryable:
            raise
        return False
    return True


@test(timeout=90)
def a_paused_peer_of_one_group_harms_no_other(case):
    cluster = case.cluster(2, config=TWO)
    expect_ctl(case, cluster[1], 0, "", "--group", "1", "peer", "pause", "2")
    write(cluster[1], "plant1.a", 0, 10)
    still_works(case, cluster, list(cluster), "plant2.a", 2, 0)
    still_works(case, cluster, list(cluster), "other", 0, 0)
    expect_equal(times(cluster[2], "plant1.a"), [], "what is paused")
    expect_ctl(case, cluster[1], 0, "", "--group", "1", "peer", "resume", "2")
    expect_equal(converge(case, cluster, 1).cells, 10, "cells of group 1")


@test(timeout=120)
def writes_that_wait_leave_room_for_other_groups(case):
    cluster = case.cluster(3, config=dict(TWO, **{
        "group.1.members": "1, 3", "group.2.members": "1, 2", "limits.max_memory_in_flight": "64MiB",
        "client.write_timeout": "30s"}))
    cluster[3].kill()
    outcomes = []

    def wait(number):
        # 4 MiB that wait for a member that is away.
        row = {"t%d" % i: "x" * 1000000 for i in range(4)}
        with cluster[1].client(timeout=case.patience(60)) as client:
            try:
                outcomes.append(client.insert("plant1.a", number, row, ack="all",
                                              timeout_ms=20000).pending)
            except Overloaded as error:
                outcomes.append(error.message)
    threads = [threading.Thread(target=wait, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    case.eventually("group 1 refuses some", lambda: any(
        isinstance(each, str) and "unanswered" in each for each in list(outcomes)))
    begin = time.monotonic()
    still_works(case, cluster, [cluster[1], cluster[2]], "plant2.a", 2, 0)
    case.note("40 writes of the other group: %.1f s" % (time.monotonic() - begin))
    expect(any(thread.is_alive() for thread in threads), "no write waits any more")
    for thread in threads:
        thread.join()
    expect(True in outcomes, "no write of group 1 was taken: %r", outcomes)
    with cluster[1].client(group=1) as client:
        client.insert("plant1.a", 1000, {"v": 1})


@test(timeout=120)
def http_writes_that_wait_leave_room_too(case):
    cluster = with_http(case, 3, {"group.1.members": "1, 3", "group.2.members": "1, 2",
                                  "limits.max_memory_in_flight": "48MiB", "client.write_timeout": "60s"})
    cluster[3].kill()
    body = "".join("plant1.a t%d=\"%s\" 1\n" % (i, "x" * 60000) for i in range(70)).encode()  # 4 MiB
    outcomes = []

    def wait():
        # Long enough that those that fill the share still wait when the last ones come.
        outcomes.append(ask(cluster[1], "/write?precision=ms&consistency=all&timeout_ms=%d" % (case.patience(8) * 1000), body))
    threads = [threading.Thread(target=wait) for _ in range(12)]
    for thread in threads:
        thread.start()
    case.eventually("group 1 refuses some", lambda: any(
        status == 429 and "group 1 holds as many unanswered" in text and "Retry-After" in headers
        for status, text, headers in list(outcomes)))
    # The group's share holds for both ways in.
    with cluster[1].client(timeout=case.patience(20)) as client:
        expect_refusal(Overloaded, "unanswered", client.insert, "plant1.b", 1,
                       {"t%d" % i: "x" * 1000000 for i in range(8)}, ack="all")
    still_works(case, cluster, [cluster[1], cluster[2]], "plant2.a", 2, 0)
    for thread in threads:
        thread.join()
    expect(any(status == 503 and "spreading" in text for status, text, _ in outcomes), "no write waited: %r", outcomes)
    # What was answered counts no more.
    cluster[3].start()
    case.eventually("group 1 takes all of it", lambda: ask(
        cluster[1], "/write?precision=ms&consistency=all", body)[0] == 204, 40)


@test(timeout=120)
def an_http_body_is_not_refused_for_its_own_parts(case):
    cluster = with_http(case, 2, {"limits.max_memory_in_flight": "48MiB", "client.write_timeout": "60s"})
    cluster[2].kill()
    # The share is 16 MiB. Each is less, and both together are more.
    body = "".join("plant1.a t%d=\"%s\" 1\n" % (i, "x" * 60000) for i in range(200)).encode()
    outcomes = []

    def wait():
        outcomes.append(ask(cluster[1], "/write?precision=ms&consistency=all&timeout_ms=6000", body))

    def held():
        return len(times(cluster[1], "plant1.a")) == 1
    first = threading.Thread(target=wait)
    first.start()
    case.eventually("the first is written", held)
    wait()
    first.join()
    expect(all(status == 503 and "spreading" in text for status, text, _ in outcomes), "%r", outcomes)
    cluster[2].start()
    case.eventually("what waited counts no more", lambda: ask(
        cluster[1], "/write?precision=ms&consistency=all", body)[0] == 204, 40)


@test(timeout=90)
def a_group_is_backed_up_and_restored(case):
    cluster = case.cluster(2, config=TWO)
    write(cluster[1], "plant1.a", 0, 30)
    write(cluster[1], "other", 0, 10)
    copies = {}
    for group in (0, 1):
        copies[group] = os.path.join(case.dir, "copy%d" % group)
        expect_ctl(case, cluster[1], 0, "", "--group", str(group), "backup", "create",
                   copies[group])
    cluster.stop()
    # A new node takes the place of both.
    node = case.node(node_id=7, config=TWO, name="restored")
    restore = ["backup", "restore", copies[1], "--data-dir", node.data_dir]
    expect_ctl(case, node, 1, "the backup is of group 1, not of group 0", "--group", "0", *restore)
    expect(not os.path.exists(node.data_dir) or not os.listdir(node.data_dir), "it was begun")
    # It becomes the group that it is of.
    for group in (0, 1):
        expect_ctl(case, node, 0, "", "backup", "restore", copies[group], "--data-dir", node.data_dir)
    other = os.path.join(case.dir, "other")
    expect_ctl(case, node, 0, "", "--group", "5", *restore[:-1], other, "--other-group")
    expect_equal(os.listdir(other), ["group-5"], "what was restored as another group")
    node.start()
    expect_equal(times(node, "plant1.a"), list(range(30)), "group 1")
    expect_equal(times(node, "other"), list(range(10)), "group 0")
    write(node, "plant1.a", 100, 1)
    write(node, "plant2.a", 100, 1)


@test(timeout=120)
def a_node_joins_each_group(case):
    cluster = case.cluster(2, config=TWO)
    for device in ("plant1.a", "plant2.a", "other"):
        write(cluster[1], device, 0, 20)
    joining = case.node(node_id=3, peers={node.id: node.peer_address for node in cluster},
                        config=dict(TWO, **{"cluster.join": "yes"}))
    joining.start()
    for group in ("0", "1", "2"):
        expect_ctl(case, cluster[1], 0, "", "--timeout", "60s", "--group", group, "node", "add",
                   "3", joining.peer_address)
    for device in ("plant1.a", "plant2.a", "other"):
        case.eventually("%s is on the new node" % device,
                        lambda device=device: times(joining, device) == list(range(20)), 40)
        case.eventually("it takes writes of %s" % device,
                        lambda device=device: takes(joining, device), 40)
    cluster.nodes.append(joining)
    for group in (0, 1, 2):
        converge(case, cluster, group)


@test(timeout=120)
def a_group_gets_a_snapshot_by_itself(case):
    """The group alone is opened anew; the others go on."""
    cluster = case.cluster(2, config=TWO)
    write(cluster[1], "plant1.a", 0, 30)
    write(cluster[1], "plant2.a", 0, 30)
    converge(case, cluster, 1)
    expect_ctl(case, cluster[2], 0, "", "--group", "1", "peer", "reseed", "2")
    case.eventually("the snapshot is installed",
                    lambda: "the store is that of node 1 now" in cluster[2].log_text(), 40)
    case.eventually("group 1 is back", lambda: groups_of(cluster[2]).get(1) == "serving")
    log = cluster[2].log_text()
    expect("group 1 is closed and opened again: a snapshot" in log, "the group was not reopened")
    expect("opening the node again" not in log, "the whole node was closed")
    write(cluster[2], "plant1.a", 100, 5)
    expect_equal(converge(case, cluster, 1).cells, 35, "cells")
    expect_equal(converge(case, cluster, 2).cells, 30, "cells of the other group")


@test(timeout=180, plain=True)
def a_group_goes_and_comes_under_load(case):
    """What it acknowledged is there in the end; the other groups never notice."""
    cluster = case.cluster(2, config=TWO)
    stop = threading.Event()
    written, others, wrong = {1: [], 2: []}, [], []

    def hammer(node):
        at = node.id * 10000000
        while not stop.is_set():
            at += 1
            try:
                with node.client(group=2) as client:
                    for at in range(at, at + 200):
                        client.insert("plant2.a", at, {"v": at})
                        written[node.id].append(at)
                        if stop.is_set():
                            return
            except (UnknownGroup, NotReady):
                stop.wait(0.01)
            except Exception as error:  # told below
                wrong.append(repr(error))
                return

    def steadily():
        with cluster[1].client() as client:
            while not stop.is_set():
                at = len(others)
                try:
                    client.insert("plant1.a", at, {"v": at}, ack="all")
                except Exception as error:  # told below
                    wrong.append(repr(error))
                    return
                others.append(at)

    def reading():
        while not stop.is_set():
            try:
                with cluster[2].client() as client:
                    client.series()
                    client.groups()
                    client.last("plant1.a")
            except (UnknownGroup, NotReady):
                stop.wait(0.01)
            except Exception as error:  # told below
                wrong.append(repr(error))
                return
    threads = [threading.Thread(target=hammer, args=(node,)) for node in cluster]
    threads += [threading.Thread(target=steadily), threading.Thread(target=reading)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        for node in cluster:
            before = len(written[node.id])
            case.eventually("%s writes" % node, lambda: len(written[node.id]) > before + 50, 40)
            reload(node, **{"group.2.devices": None})
            case.eventually("it is closed", lambda: groups_of(node).get(2) == "files", 40)
            reload(node, **{"group.2.devices": "plant2.*"})
            case.eventually("it is back", lambda: groups_of(node).get(2) == "serving", 40)
    stop.set()
    for thread in threads:
        thread.join()
    expect_equal(wrong, [], "what went wrong")
    digest = converge(case, cluster, 2)
    there = set(times(cluster[1], "plant2.a"))
    expect(there.issuperset(written[1] + written[2]), "acknowledged writes are lost: %r",
           sorted(set(written[1] + written[2]) - there)[:10])
    expect(digest.cells >= len(written[1]) + len(written[2]), "too few cells")
    expect_equal(converge(case, cluster, 1).cells, len(others), "cells of the steady group")
