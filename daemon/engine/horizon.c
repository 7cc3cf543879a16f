/*
 * The horizon (DESIGN 8): the clock at or below which nothing can still arrive. It is the smallest
 * of what each log allows:
 *   - the own log: what this node promises itself, once all that was stamped is applied;
 *   - the log that a peer writes now: what the peer promised, once all is applied that it had
 * stamped when it promised; before, the clock of the last applied entry, if that is less. An entry
 * that is applied here says nothing beyond the promise: it can be the end that its origin loses;
 *   - a closed log (its origin writes a later one, or is lost): nothing, once every member has
 * said, knowing that it is closed and who is gone, how much it has taken of it, and all that is
 * applied here.
 */
#include "engine/group_private.h"

#include "core/hlc.h"

enum {
  BOUND_INTERVAL_MS = 10 * 1000, /* how often the clock is kept beside the logs */
  JOIN_INTERVAL_MS = 1000,       /* … while a node that came to join waits for the horizon */
};

/* The clock is kept now and then, as it can be promised then. It is never kept ahead of itself: a
 * node that starts often would run away. */
static void keep_clock(Group *group, guint64 clock)
{
  gint64 interval_ms = members_join_is_on(group) ? JOIN_INTERVAL_MS : BOUND_INTERVAL_MS;
  if (group->options.clock_keep_interval_ms > 0)
    interval_ms = group->options.clock_keep_interval_ms;
  /* The clock stands where the wall clock was set back, though entries are stamped. */
  gboolean late = hlc_ms(clock) >= hlc_ms(group->clock_bound) + (guint64)interval_ms ||
                  group->wall_at_us >= group->bound_at_us + interval_ms * 1000;
  if (group->bound_wanted || group->peers->len == 0 || clock <= group->clock_bound || !late)
    return;
  group->bound_wanted = TRUE;
  group->ports.keep_clock_bound(group->ports.ctx, clock);
}

void group_on_clock_bound(Group *group, guint64 hlc, gboolean ok)
{
  group->bound_wanted = FALSE;
  if (!ok)
    return;
  group->clock_bound = MAX(group->clock_bound, hlc);
  group->bound_at_us = group->wall_at_us;
  if (group->self_state != MEMBER_ENTERING)
    return;
  group->members_at_us = group->wall_at_us; /* it may have waited for that */
  group->ports.work(group->ports.ctx);
}

/* Time goes on for a node that writes nothing, too. */
static void advance_clock(Group *group)
{
  if (!group->committing && !group->clock_wrong)
    group->clock = MAX(group->clock, hlc_from_ms(group->wall_ms));
}

/*
 * The clock at or below which nothing is stamped any more. What a failed commit stamped may be on
 * the disk all the same, and come back with the next start.
 */
static guint64 settled_clock(const Group *group)
{
  gboolean unsettled = group->committing || group->own->state == LOG_READ_ONLY;
  return unsettled ? group->clock_at_commit : group->clock;
}

gboolean horizon_remembers(Group *group, guint64 hlc)
{
  if (group->clock_bound >= hlc)
    return TRUE;
  guint64 clock = settled_clock(group);
  if (!group->bound_wanted && clock >= hlc) {
    group->bound_wanted = TRUE;
    group->ports.keep_clock_bound(group->ports.ctx, clock);
  }
  return FALSE;
}

/*
 * Only what a restart is sure to remember can be promised, and that is what is kept beside the
 * logs: the end of the own log can go bad, and then nothing tells the clock of its last entry.
 */
static guint64 sure_clock(const Group *group)
{
  return MIN(settled_clock(group), group->clock_bound);
}

guint64 horizon_promise(Group *group)
{
  advance_clock(group);
  keep_clock(group, settled_clock(group));
  return sure_clock(group);
}

void horizon_learn(Peer *peer, const Progress *news)
{
  const LogProgress *newest = NULL;
  for (guint i = 0; i < news->logs->len; i++) {
    const LogProgress *one = &g_array_index(news->logs, LogProgress, i);
    if (one->log.origin == peer->id)
      newest = one; /* they are sorted */
  }
  if (newest == NULL || news->promised_hlc == 0)
    return;
  if (log_id_equal(newest->log, peer->promise_log) && news->promised_hlc <= peer->promise_hlc)
    return;
  peer->promise_log = newest->log;
  peer->promise_index = newest->durable;
  peer->promise_hlc = news->promised_hlc;
}

/*
 * Whether the peer takes nothing from a member that is gone any more, after a crash neither: what
 * it lists as gone may not be kept yet. A node of a version without a record kept what it lists.
 */
static gboolean knows_gone(const Peer *peer, guint32 node)
{
  if (peer->progress->members != NULL) {
    const Member *member = member_list_find(peer->progress->members, node);
    return member != NULL && member->state >= MEMBER_REMOVED;
  }
  const GArray *forgotten = peer->progress->forgotten;
  for (guint i = 0; forgotten != NULL && i < forgotten->len; i++)
    if (g_array_index(forgotten, guint32, i) == node)
      return TRUE;
  return FALSE;
}

static gboolean knows_closed(const Peer *peer, LogId log)
{
  const GArray *logs = peer->progress->logs;
  for (guint i = 0; i < logs->len; i++) {
    LogId other = g_array_index(logs, LogProgress, i).log;
    if (other.origin == log.origin && other.incarnation > log.incarnation)
      return TRUE;
  }
  return knows_gone(peer, log.origin);
}

/* What a member that is gone had of any log can still come by way of a peer that takes it from
 * there. */
static gboolean knows_all_gone(const Group *group, const Peer *peer)
{
  const Membership *membership = group->options.membership;
  for (guint i = 0; i < group->peers->len; i++) {
    guint32 node = ((const Peer *)group->peers->pdata[i])->id;
    if (membership_is_gone(membership, node) && !knows_gone(peer, node))
      return FALSE;
  }
  return TRUE;
}

/*
 * Who is no member yet and was never heard has nothing. Who is joining may have got the end of a
 * log that its origin lost, as the only one, also before this node was started. For a node that
 * joins itself another one does not count: its horizon says only as of when data is compared.
 */
static gboolean holds_anything(const Group *group, const Peer *peer)
{
  const Membership *membership = group->options.membership;
  gboolean joins = membership_state(membership, peer->id) == MEMBER_JOINING;
  return (membership_has(membership, peer->id) && (!joins || group->self_state >= MEMBER_ACTIVE)) ||
         peer->progress->logs->len > 0;
}

/* Whether no member can have more of a closed log than is applied here. Once that is so it stays
 * so, whoever comes. */
static gboolean is_complete(const Group *group, Log *log)
{
  if (log->complete)
    return TRUE;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->forgotten || !holds_anything(group, peer))
      continue;
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    if (!knows_closed(peer, log->id) || !knows_all_gone(group, peer) ||
        (theirs != NULL && theirs->received > log->applied))
      return FALSE;
  }
  /* What came before it was known to be closed may be on its way to the disk here. */
  gboolean complete = log->applied >= follower_taken(log);
  log->complete = complete && group->self_state >= MEMBER_ACTIVE;
  return complete;
}

static guint64 allowed_by(const Group *group, Log *log)
{
  if (log == group->own) {
    /* A node that is alone keeps no clock, and tells nobody. */
    guint64 sure = group->peers->len > 0 ? sure_clock(group) : settled_clock(group);
    return log->applied == log->durable ? sure : MIN(sure, log->applied_hlc);
  }
  if (!membership_has(group->options.membership, log->id.origin))
    return G_MAXUINT64; /* nothing of it is taken any more */
  if (membership_state(group->options.membership, log->id.origin) == MEMBER_JOINING)
    return G_MAXUINT64; /* it stamps nothing before this node counts it */
  const Peer *peer = group_find_peer(group, log->id.origin);
  if (peer != NULL && !peer->forgotten && log_id_equal(peer->promise_log, log->id))
    return log->applied >= peer->promise_index ? peer->promise_hlc
                                               : MIN(log->applied_hlc, peer->promise_hlc);
  return is_complete(group, log) ? G_MAXUINT64 : log->applied_hlc;
}

static guint64 find_horizon(Group *group)
{
  advance_clock(group);
  guint64 horizon = G_MAXUINT64;
  for (guint i = 0; i < group->logs->len; i++)
    horizon = MIN(horizon, allowed_by(group, group->logs->pdata[i]));
  /* A member of which nothing was heard yet can have stamped anything. */
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (membership_stamps(group->options.membership, peer->id) &&
        group_find_log(group, peer->promise_log) == NULL)
      horizon = 0;
  }
  return horizon;
}

guint64 group_horizon(Group *group)
{
  /* A node that enters may not know of another one that does so too: it learns of all that count
   * before it is active. */
  if (group->self_state >= MEMBER_ACTIVE)
    group->horizon = MAX(group->horizon, find_horizon(group));
  return group->horizon;
}

guint64 horizon_told(Group *group)
{
  if (group->self_state >= MEMBER_ACTIVE)
    return group_horizon(group);
  return group->options.membership->begun ? find_horizon(group) : 0;
}

gboolean group_comparable(Group *group, guint64 *out_hlc)
{
  *out_hlc = horizon_told(group);
  if (!members_join_is_on(group))
    return FALSE;
  /* The others compare as far as the newcomer can. */
  guint64 limit = 0;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (membership_state(group->options.membership, peer->id) == MEMBER_JOINING)
      limit = MAX(limit, peer->progress->horizon);
  }
  if (group->self_state != MEMBER_JOINING)
    *out_hlc = MIN(*out_hlc, limit);
  return *out_hlc > 0;
}
