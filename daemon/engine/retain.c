/* What stays in the logs, and for whom (P5). */
#include "engine/group_private.h"

#include "core/retention.h"

enum { TRIM_DOUBLINGS = 6 }; /* of the wait behind a trim that failed: 64 intervals at most */

typedef struct Hold {
  guint64 id;
  GArray *logs; /* LogPoint */
} Hold;

static void hold_free(gpointer data)
{
  Hold *hold = data;
  g_array_unref(hold->logs);
  g_free(hold);
}

void retain_init(Group *group)
{
  group->holds = g_ptr_array_new_with_free_func(hold_free);
}

void group_hold(Group *group, guint64 id, const GArray *logs)
{
  Hold *hold = g_new(Hold, 1);
  *hold = (Hold){id, g_array_copy((GArray *)logs)};
  g_ptr_array_add(group->holds, hold);
}

void group_release(Group *group, guint64 id)
{
  for (guint i = 0; i < group->holds->len; i++)
    if (((Hold *)group->holds->pdata[i])->id == id)
      g_ptr_array_remove_index_fast(group->holds, i--);
}

/* Up to where a log is not held; a log that a hold does not name is held from its start. */
static guint64 free_of_holds(const Group *group, LogId log)
{
  guint64 index = G_MAXUINT64;
  for (guint i = 0; i < group->holds->len; i++) {
    const Hold *hold = group->holds->pdata[i];
    guint64 held = 0;
    for (guint k = 0; k < hold->logs->len; k++)
      if (log_id_equal(g_array_index(hold->logs, LogPoint, k).log, log))
        held = g_array_index(hold->logs, LogPoint, k).index;
    index = MIN(index, held);
  }
  return index;
}

void group_give_up(Group *group, LogId id, guint64 index)
{
  Log *log = group_find_log(group, id);
  if (log != NULL)
    log->limit_index = MAX(log->limit_index, index);
}

/* Highest index of a log that the peer does not need, as far as it has told. */
static guint64 peer_has(const Peer *peer, LogId log)
{
  const LogProgress *theirs = progress_find(peer->progress, log);
  return theirs != NULL ? MAX(theirs->durable, theirs->applied) : 0;
}

static gboolean lacks(const Peer *peer, const Log *log)
{
  gboolean writes_it = log->id.origin == peer->id &&
                       (peer->incarnation == 0 || log->id.incarnation == peer->incarnation);
  return !writes_it && peer_has(peer, log->id) + 1 < log->first_available;
}

gboolean retain_needs_reseed(const Group *group, const Peer *peer)
{
  if (!membership_retains(group->options.membership, peer->id))
    return FALSE;
  if (peer->answered_at_us == G_MININT64)
    return peer->given_up; /* all that is known of it: what was deleted */
  for (guint i = 0; i < group->logs->len; i++)
    if (lacks(peer, group->logs->pdata[i]))
      return TRUE;
  return FALSE;
}

/* By the limit, entries go that these peers lack. */
static void mark_given_up(Group *group, const Log *log, guint64 index)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (!membership_retains(group->options.membership, peer->id) || peer->given_up ||
        peer->id == log->id.origin || peer_has(peer, log->id) >= index)
      continue;
    peer->given_up = TRUE;
    group_note(group, G_LOG_LEVEL_CRITICAL,
               "node %u is further behind than wal_retention_limit allows: entries that it lacks "
               "are deleted, and it gets a snapshot when it comes back",
               peer->id);
  }
}

/* Up to where the log may go now. */
static guint64 deletable(Group *group, Log *log, const Progress *const *known)
{
  const Membership *membership = group->options.membership;
  guint64 safe = retention_safe_index(membership, log->id, log->store_durable, known);
  guint64 limit =
      MIN(log->limit_index, retention_limit_index(membership, log->id, log->store_durable, known));
  limit = MIN(limit, free_of_holds(group, log->id));
  if (limit > safe && limit >= log->first_available)
    mark_given_up(group, log, limit);
  safe = MAX(safe, limit);
  return MIN(MIN(safe, log->durable), free_of_holds(group, log->id));
}

void group_on_trimmed(Group *group, LogId id, guint64 first_available, gboolean done)
{
  Log *log = group_find_log(group, id);
  if (log == NULL)
    return;
  unreadable_trimmed(log, first_available);
  log->first_available = MAX(log->first_available, first_available);
  log->trim_pause = done ? 0 : 1U << log->trim_failures;
  log->trim_failures = done ? 0 : MIN(log->trim_failures + 1, (guint)TRIM_DOUBLINGS);
  if (!done)
    log->trim_asked = 0;
}

void retain_take(Group *group, gint64 now_us, GArray *trims)
{
  if (now_us < group->retention_at_us || !group->started)
    return;
  group->retention_at_us = now_us + group->options.retention_interval_ms * 1000;
  const Membership *membership = group->options.membership;
  const Progress *known[LIMIT_KNOWN_MEMBERS];
  for (guint i = 0; i < membership->members->len; i++) {
    Peer *peer = group_find_peer(group, ((const Member *)membership->members->pdata[i])->id);
    known[i] = peer != NULL && peer->answered_at_us != G_MININT64 ? peer->progress : NULL;
    if (peer != NULL && known[i] != NULL && !retain_needs_reseed(group, peer))
      peer->given_up = FALSE;
  }
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    guint64 safe = deletable(group, log, known);
    if (log->trim_pause > 0) {
      log->trim_pause--;
      continue;
    }
    if (safe < log->first_available || safe <= log->trim_asked)
      continue;
    log->trim_asked = safe;
    TrimWork trim = {log->id, safe};
    g_array_append_val(trims, trim);
  }
}
