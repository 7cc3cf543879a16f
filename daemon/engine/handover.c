/* Handing on (P6): who is asked for the logs whose origin does not reach this node. */
#include "engine/group_private.h"

#include "core/routing.h"

enum { SILENT_HEARTBEATS = 3 }; /* so many missing ones mean that a peer does not reach us */

static gint64 interval_us(const Group *group)
{
  return group->options.heartbeat_interval_ms * 1000;
}

void handover_start(Group *group, gint64 now_us)
{
  group->supply_at_us = now_us + SILENT_HEARTBEATS * interval_us(group);
  for (guint i = 0; i < group->peers->len; i++)
    ((Peer *)group->peers->pdata[i])->heard_at_us = now_us;
}

gboolean handover_hears(const Group *group, const Peer *peer, gint64 now_us)
{
  return now_us - peer->heard_at_us <= SILENT_HEARTBEATS * interval_us(group);
}

gboolean handover_is_wanted(const Peer *peer, LogId log)
{
  const GArray *wanted = peer->progress->wanted;
  for (guint i = 0; wanted != NULL && i < wanted->len; i++)
    if (log_id_equal(g_array_index(wanted, LogId, i), log))
      return TRUE;
  return FALSE;
}

gboolean handover_is_newest(const Group *group, guint position)
{
  const Log *log = group->logs->pdata[position];
  if (membership_is_gone(group->options.membership, log->id.origin))
    return FALSE;
  const Log *next = position + 1 < group->logs->len ? group->logs->pdata[position + 1] : NULL;
  return next == NULL || next->id.origin != log->id.origin;
}

static guint32 choose(const Group *group, guint position, gint64 now_us)
{
  const Log *log = group->logs->pdata[position];
  SupplyOffer offers[LIMIT_MEMBERS];
  guint count = 0;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->forgotten || count == LIMIT_MEMBERS)
      continue;
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    offers[count++] =
        (SupplyOffer){.node = peer->id,
                      .heard = handover_hears(group, peer, now_us),
                      .durable = theirs != NULL ? theirs->durable : 0,
                      .first_available = theirs != NULL ? theirs->first_available : 1};
  }
  return routing_supplier(log->id, handover_is_newest(group, position), log->written, log->supplier,
                          offers, count);
}

/*
 * The first entry that anybody who is heard keeps of what comes next in the log; 0 when that is the
 * next one, or nobody has more. An origin that is heard tells it by itself.
 */
static guint64 hole_before(const Group *group, const Log *log, gint64 now_us)
{
  guint64 first = 0;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    if (peer->forgotten || theirs == NULL || theirs->durable <= log->written ||
        !handover_hears(group, peer, now_us))
      continue;
    if (theirs->first_available <= log->written + 1)
      return 0;
    first = first == 0 ? theirs->first_available : MIN(first, theirs->first_available);
  }
  return first;
}

/* The hole of a log is the end of it once nobody is left who has more. */
static void leave_hole(Group *group, Log *log)
{
  if (log->seed_from == 0 || log->state != LOG_STOPPED || log->blocked || log->stopped_at != 0)
    return;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    if (!peer->forgotten && theirs != NULL && theirs->received > log->written)
      return;
  }
  follower_end_hole(group, log);
}

/* The peer is to learn soon what is wanted of it, or no more. */
static void tell_soon(Group *group, guint32 id, gint64 now_us)
{
  Peer *peer = id != 0 ? group_find_peer(group, id) : NULL;
  if (peer != NULL && peer->state == PEER_READY)
    peer->heartbeat_at_us = now_us;
}

void handover_tick(Group *group, gint64 now_us)
{
  if (now_us < group->supply_at_us)
    return;
  group->supply_at_us = now_us + interval_us(group);
  stall_watch(group, now_us);
  unreadable_probe(group);
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (log->id.origin == group->self)
      continue; /* the peers send what they have of it unasked */
    follower_tick(group, log, now_us);
    guint32 supplier = choose(group, i, now_us);
    guint64 hole_end = supplier == 0 ? hole_before(group, log, now_us) : 0;
    if (hole_end != 0)
      follower_meet_hole(group, log, hole_end);
    leave_hole(group, log);
    if (supplier == log->supplier)
      continue;
    char text[LOG_ID_TEXT_SIZE];
    if (supplier != 0)
      group_note(group, G_LOG_LEVEL_MESSAGE,
                 "log %s does not come from its origin: node %u hands it on",
                 log_id_format(log->id, text), supplier);
    tell_soon(group, log->supplier, now_us);
    tell_soon(group, supplier, now_us);
    log->supplier = supplier;
  }
}

/* The members that are gone: their logs are closed here. */
static GArray *closed_members(const Group *group)
{
  const GPtrArray *members = group->options.membership->members;
  GArray *closed = NULL;
  for (guint i = 0; i < members->len; i++) {
    guint32 node = ((const Member *)members->pdata[i])->id;
    if (!membership_is_gone(group->options.membership, node))
      continue;
    if (closed == NULL)
      closed = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_array_append_val(closed, node);
  }
  return closed;
}

/* Who hears that a log is closed here counts on what is said of it: also what was taken before, and
 * is on its way to the disk (see horizon.c). */
static void tell_closed_logs(const Group *group, Progress *progress)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (!handover_is_newest(group, i))
      progress_put(progress, log->id)->received = follower_taken(log);
  }
}

Progress *handover_news(Group *group, guint32 peer)
{
  Progress *progress = group_progress(group);
  tell_closed_logs(group, progress);
  progress->promised_hlc = horizon_promise(group);
  progress->wall_ms = group->wall_ms;
  progress->horizon = horizon_told(group);
  progress->checked_hlc = group->checked_hlc;
  progress->checked_digest = group->checked_digest;
  progress->forgotten = closed_members(group);
  progress->members = group->told != NULL ? g_ptr_array_ref(group->told) : NULL;
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (log->supplier != peer)
      continue;
    if (progress->wanted == NULL)
      progress->wanted = g_array_new(FALSE, FALSE, sizeof(LogId));
    g_array_append_val(progress->wanted, log->id);
  }
  return progress;
}
