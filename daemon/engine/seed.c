/* Whether this node needs a snapshot, and who can give it one. */
#include "engine/group_private.h"

/* What a log would have if the store were that of a node which applied it up to `theirs`. */
static guint64 reach(const Log *log, guint64 theirs)
{
  gboolean goes_on = log->written >= log->first_available && log->first_available <= theirs + 1;
  return goes_on ? MAX(theirs, log->written) : theirs;
}

gboolean group_covers(const Group *group, guint64 (*applied)(gpointer ctx, LogId log), gpointer ctx,
                      char **out_why)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    guint64 theirs = applied(ctx, log->id);
    gboolean own_hole =
        log->own && log->written >= log->first_available && log->first_available > theirs + 1;
    if (reach(log, theirs) >= log->applied && !own_hole)
      continue;
    char text[LOG_ID_TEXT_SIZE];
    if (out_why != NULL)
      *out_why = g_strdup_printf(
          "it has log %s up to %" G_GUINT64_FORMAT ", this node has applied %" G_GUINT64_FORMAT
          " and keeps entries from %" G_GUINT64_FORMAT,
          log_id_format(log->id, text), theirs, log->applied, log->first_available);
    return FALSE;
  }
  return TRUE;
}

static guint64 peer_applied(gpointer ctx, LogId log)
{
  const LogProgress *theirs = progress_find(((const Peer *)ctx)->progress, log);
  return theirs != NULL ? theirs->applied : 0;
}

/* A store helps that has the log up to the entry before this one. 0: the log lacks nothing. */
static guint64 needed_up_to(const Log *log)
{
  return MAX(log->seed_from, log->feed_behind);
}

/* Whether the peer's store has what the logs here lack. */
static gboolean helps(const Group *group, const Peer *peer)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (peer_applied((gpointer)peer, log->id) + 1 < needed_up_to(log))
      return FALSE;
  }
  return TRUE;
}

gboolean group_needs_seed(const Group *group)
{
  for (guint i = 0; i < group->logs->len; i++)
    if (needed_up_to(group->logs->pdata[i]) != 0)
      return TRUE;
  return FALSE;
}

gboolean group_hears_anybody(const Group *group)
{
  for (guint i = 0; i < group->peers->len; i++)
    if (((const Peer *)group->peers->pdata[i])->state == PEER_READY)
      return TRUE;
  return FALSE;
}

static gboolean is_in(const GArray *nodes, guint32 node)
{
  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    if (g_array_index(nodes, guint32, i) == node)
      return TRUE;
  return FALSE;
}

guint32 group_seeder(const Group *group, guint32 wanted, const GArray *tried)
{
  guint32 best = 0;
  guint64 most = 0;
  gboolean best_was_tried = TRUE;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->state != PEER_READY || !membership_counts(group->options.membership, peer->id) ||
        (wanted != 0 && peer->id != wanted) || !helps(group, peer) ||
        !group_covers(group, peer_applied, (gpointer)peer, NULL))
      continue;
    guint64 sum = 1;
    for (guint k = 0; k < peer->progress->logs->len; k++)
      sum += g_array_index(peer->progress->logs, LogProgress, k).applied;
    gboolean was_tried = is_in(tried, peer->id);
    if (was_tried > best_was_tried || (was_tried == best_was_tried && sum <= most))
      continue;
    best = peer->id;
    most = sum;
    best_was_tried = was_tried;
  }
  return best;
}
