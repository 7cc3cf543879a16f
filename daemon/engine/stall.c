/*
 * What should come and does not: a log of which a peer that is heard has more, or of which later
 * batches wait here behind a hole, and that does not move for a while all the same. Nothing is done
 * about it but to say so: what could be done is done by others already.
 */
#include "engine/group_private.h"

enum { STALL_ALARM_US = 30 * G_USEC_PER_SEC };

/* A peer that is heard and has what comes next of the log; 0: none has. */
static guint32 who_has_next(const Group *group, const Log *log, gint64 now_us)
{
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    if (!peer->forgotten && theirs != NULL && theirs->durable > log->written &&
        handover_hears(group, peer, now_us))
      return peer->id;
  }
  return 0;
}

char *stall_text(const Group *group, const Log *log, gint64 now_us)
{
  guint32 node = who_has_next(group, log, now_us);
  g_autofree char *who = node != 0 ? g_strdup_printf("node %u has it", node)
                                   : g_strdup("what comes behind it waits here");
  return g_strdup_printf("entry %" G_GUINT64_FORMAT " does not come for %" G_GINT64_FORMAT
                         " s, though %s",
                         log->written + 1, (now_us - log->stall_since_us) / G_USEC_PER_SEC, who);
}

static void end_stall(Group *group, Log *log)
{
  char text[LOG_ID_TEXT_SIZE];
  if (log->stall_told)
    group_note(group, G_LOG_LEVEL_MESSAGE, "log %s is not stalled any more",
               log_id_format(log->id, text));
  log->stall_since_us = 0;
  log->stall_told = FALSE;
}

static void watch(Group *group, Log *log, gint64 now_us)
{
  gboolean missing = log->state == LOG_OK &&
                     (reorder_waiting(log->reorder) > 0 || who_has_next(group, log, now_us) != 0);
  if (!missing || log->stall_index != log->written) {
    end_stall(group, log);
    log->stall_index = log->written;
    log->stall_since_us = missing ? now_us : 0;
    return;
  }
  if (log->stall_since_us == 0)
    log->stall_since_us = now_us;
  if (log->stall_told || now_us - log->stall_since_us < STALL_ALARM_US)
    return;
  log->stall_told = TRUE;
  char text[LOG_ID_TEXT_SIZE];
  g_autofree char *why = stall_text(group, log, now_us);
  group_note(group, G_LOG_LEVEL_CRITICAL, "log %s is stalled: %s", log_id_format(log->id, text),
             why);
}

void stall_watch(Group *group, gint64 now_us)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (!log->own)
      watch(group, log, now_us);
  }
}
