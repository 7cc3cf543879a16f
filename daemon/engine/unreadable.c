/*
 * Parts of logs that can't be read from the WAL here, as they are damaged or the disk does not give
 * them. They count as deleted at this node: peers ask others for them, or for a snapshot. A disk
 * that failed once may work again, so they are tried at every heartbeat, and come back by
 * themselves. The latest one is kept of each log; should one before it be still bad when that is
 * read again, the next reader meets it.
 */
#include "engine/group_private.h"

void group_on_unreadable(Group *group, LogId id, guint64 index, guint64 behind)
{
  Log *log = group_find_log(group, id);
  if (log == NULL)
    return;
  feeder_on_unreadable(log, index);
  /* What the store lacks nobody can get by a snapshot of it: the next start cuts the log there. */
  if (index < log->first_available || log->applied + 1 < behind)
    return;
  char text[LOG_ID_TEXT_SIZE];
  group_note(group, G_LOG_LEVEL_CRITICAL,
             "log %s: entry %" G_GUINT64_FORMAT
             " can't be read from the WAL here; who lacks entries "
             "before %" G_GUINT64_FORMAT " gets them from others, or a snapshot",
             log_id_format(id, text), index, behind);
  if (log->unreadable == 0)
    log->hidden_from = log->first_available;
  log->unreadable = index;
  log->first_available = behind;
}

void unreadable_probe(Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (log->unreadable == 0 || log->probed != 0)
      continue;
    log->probed = log->unreadable;
    group->ports.read_log(group->ports.ctx, group->self, log->id, log->unreadable, 1, 1);
  }
}

gboolean unreadable_on_read(Group *group, LogId id, guint64 index, gboolean readable)
{
  Log *log = group_find_log(group, id);
  if (log == NULL || log->probed == 0 || index != log->probed)
    return FALSE;
  log->probed = 0;
  /* Meanwhile another one may have been met, or what was asked for was trimmed. */
  if (!readable || index != log->unreadable)
    return TRUE;
  char text[LOG_ID_TEXT_SIZE];
  group_note(group, G_LOG_LEVEL_MESSAGE,
             "log %s: entry %" G_GUINT64_FORMAT " can be read from the WAL again",
             log_id_format(id, text), log->unreadable);
  log->first_available = log->hidden_from;
  log->unreadable = log->hidden_from = 0;
  return TRUE;
}

void unreadable_trimmed(Log *log, guint64 first)
{
  if (log->unreadable == 0)
    return;
  log->hidden_from = MAX(log->hidden_from, first);
  if (log->unreadable >= first)
    return;
  log->unreadable = log->hidden_from = 0;
}

char *unreadable_text(const Log *log)
{
  if (log->unreadable == 0)
    return NULL;
  return g_strdup_printf("entry %" G_GUINT64_FORMAT " can't be read from the WAL here: entries "
                         "before %" G_GUINT64_FORMAT " come from others, or with a snapshot",
                         log->unreadable, log->first_available);
}
