"""A cluster that grows and shrinks under load, while nodes are killed at each step of it."""

import os

from campaign import PROBE
from cluster import Failed
from synclog.types.ttypes import TMemberState
from synclog_client import SynclogError

# The points on the way of a change, and which node is killed there: the one that was asked, or any.
ADD = ("member_add_begin", "members_before_save", "members_saved", "member_change_kept",
       "member_add_reply")
REMOVE = ("member_remove_begin", "members_before_save", "members_saved", "member_change_kept",
          "member_remove_reply")
POINTS = tuple(sorted(set(ADD + REMOVE)))


def newcomer(round_, node_id):
    """A node that joins, running."""
    node = round_.case.node(
        node_id=node_id, peers={1: round_.cluster[1].peer_address},
        config={**{key: value for key, value in round_.cluster[1].config.items()
                   if key.split(".")[0] in ("replication", "wal", "store")
                   and not key.endswith("listen")}, "cluster.join": "yes"})
    node.arm("")
    node.start()
    round_.new_logs += 1
    return node


def state_at(node, member):
    members = {each.nodeId: each.state for each in node.status().members or []}
    return members.get(member, 0)


def change(round_, asked, victim, point, ask):
    """Asks for a change, and the victim dies at the point; everybody runs afterwards. Whether it died."""
    victim.expect_death()
    victim.arm("%s=kill" % point)
    try:
        with asked.client() as client:
            ask(client)
    except (OSError, SynclogError):
        pass
    died = round_.wait(lambda: not victim.running, 2)
    round_.disarm(victim)
    if died:
        round_.figures.faults["kill -9 at a failpoint"] += 1
        round_.note_fired(victim)
        round_.restart(victim)
    victim.expect_life()
    return died


def await_state(round_, nodes, member, state):
    for node in nodes:
        if not round_.wait(lambda node=node: state_at(node, member) >= state, 60):
            raise Failed("%s takes node %d for %d, not %d:\n%s" % (
                node, member, state_at(node, member), state, round_.cluster.describe()))


def grow_and_shrink(round_, node_id, add_point, remove_point):
    """One node comes and goes; the points that fired."""
    fired = []
    members = list(round_.cluster)
    asked = round_.random.choice(members)
    node = newcomer(round_, node_id)
    anywhere = add_point.startswith("members_")
    victim = round_.random.choice(members + [node]) if anywhere else asked
    if change(round_, asked, victim, add_point,
              lambda client: client.add_member(node_id, node.peer_address)):
        fired.append(add_point)
    # It is done or not; one word that was not kept is given again.
    if not any(state_at(each, node_id) for each in members):
        with round_.random.choice(members).client() as client:
            client.add_member(node_id, node.peer_address)
    await_state(round_, members + [node], node_id, TMemberState.ACTIVE)
    if not round_.wait(lambda: node.status().state == "serving", 30):
        raise Failed("%s does not serve: %s" % (node, node.status().message))
    with node.client() as client:
        client.insert(PROBE, node_id, {"v": "probe"}, ack="all")
    victim = round_.random.choice(members + [node]) if remove_point.startswith("members_") else asked
    if change(round_, asked, victim, remove_point, lambda client: client.remove_member(node_id)):
        fired.append(remove_point)
    if max(state_at(each, node_id) for each in members) < TMemberState.REMOVING:
        with round_.random.choice(members).client() as client:
            client.remove_member(node_id)
    await_state(round_, members, node_id, TMemberState.REMOVED)
    node.stop()
    return fired
