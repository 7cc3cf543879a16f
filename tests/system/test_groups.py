"""Several groups in one daemon: each with its members, logs and store, devices given out by a rule."""

import os

from case import expect, expect_equal, expect_error, test
from synclog_client import Invalid, NotReady, Session, UnknownGroup, UnknownLog, make_row, TWrite

TWO = {"group.1.devices": "plant1.*", "group.2.devices": "plant2.*, special"}


def expect_refusal(error_class, text, function, *arguments, **options):
    error = expect_error(error_class, text, function, *arguments, **options)
    expect(text in error.message, "%r does not say %r", error.message, text)


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


assert NotReady
