/* Members that are lost for good. */
#include "engine/group_private.h"

void members_forget(Group *group, guint32 node)
{
  if (!membership_forget(group->options.membership, node))
    return;
  Peer *peer = group_find_peer(group, node);
  peer->forgotten = TRUE;
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (log->id.origin == node)
      follower_close(group, log);
  }
  dispatcher_drop(group, peer);
}

static void take_over(Group *group, guint32 node)
{
  group_note(group, G_LOG_LEVEL_MESSAGE,
             "node %u is declared lost for good: nothing waits for it any more", node);
  members_forget(group, node);
  group->ports.keep_forgotten(group->ports.ctx, node);
  leader_check_acks(group);
}

void members_learn(Group *group, const Progress *news)
{
  for (guint i = 0; news->forgotten != NULL && i < news->forgotten->len; i++) {
    guint32 node = g_array_index(news->forgotten, guint32, i);
    if (node != group->self && membership_has(group->options.membership, node) &&
        !membership_is_lost(group->options.membership, node))
      take_over(group, node);
  }
}

gboolean group_forget(Group *group, guint32 node, gint64 now_us, GError **error)
{
  const Peer *peer = group_find_peer(group, node);
  if (peer == NULL)
    return fail(error, SYNCLOG_INVALID, "node %u is no other member", node);
  if (peer->forgotten)
    return TRUE;
  if (peer->state == PEER_READY || handover_hears(group, peer, now_us))
    return fail(error, SYNCLOG_INVALID,
                "node %u is there: only a node that is gone can be declared lost", node);
  take_over(group, node);
  for (guint i = 0; i < group->peers->len; i++)
    ((Peer *)group->peers->pdata[i])->heartbeat_at_us = now_us; /* all are to know it soon */
  group->ports.work(group->ports.ctx);
  return TRUE;
}
