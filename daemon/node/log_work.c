#include "node/log_work.h"

#include "base/failpoint.h"
#include "store/store.h"

EntryRun *log_work_encode(LogId log, const GPtrArray *writes)
{
  guint32 seed = record_seed(log);
  gsize size = 0;
  for (guint i = 0; i < writes->len; i++)
    size += ((GroupWrite *)writes->pdata[i])->size + RECORD_OVERHEAD_SIZE;
  guint8 *bytes = g_malloc(size);
  gpointer *decoded = g_new(gpointer, writes->len);
  gsize at = 0;
  for (guint i = 0; i < writes->len; i++) {
    GroupWrite *write = writes->pdata[i];
    at += record_write(seed, write->index, write->hlc, write->data, write->size, bytes + at);
    decoded[i] = write->decoded;
  }
  guint64 first_index = ((GroupWrite *)writes->pdata[0])->index;
  EntryRun *run = entry_run_new(log, first_index, writes->len, bytes, size, bytes, g_free);
  entry_run_set_decoded(run, decoded, (GDestroyNotify)store_decoded_free);
  return run;
}

gboolean log_work_append(Wal *own, EntryRun *run, gboolean sync, GError **error)
{
  return wal_append(own, run, 0, error) && (!sync || wal_sync(own, error));
}

gboolean log_work_mirror(LogSet *logs, const MirrorWork *work, guint *out_written, GError **error)
{
  *out_written = 0;
  Wal *wal = log_set_get(logs, work->log, error);
  if (wal == NULL)
    return FALSE;
  if (work->reset && !wal_reset(wal, error))
    return FALSE;
  FAILPOINT("mirror_before_append");
  for (guint i = 0; i < work->runs->len; i++) {
    EntryRun *run = work->runs->pdata[i];
    if (!wal_append(wal, run, entry_run_chain_before(run), error))
      return FALSE;
    *out_written = i + 1;
  }
  FAILPOINT("mirror_after_append");
  return !work->sync || wal_sync(wal, error);
}

EntryRun *log_work_read(Wal *wal, guint64 from, guint max_count, gsize max_bytes,
                        guint64 *out_behind, GError **error)
{
  g_autoptr(GError) first = NULL;
  *out_behind = 0;
  EntryRun *run = wal_read(wal, from, max_count, max_bytes, &first);
  if (first == NULL)
    return run;
  /* A disk may fail to read once. */
  g_autoptr(GError) second = NULL;
  run = wal_read(wal, from, 1, max_bytes, &second);
  if (second == NULL)
    return run;
  if (g_error_matches(second, SYNCLOG_ERROR, SYNCLOG_CORRUPT) ||
      g_error_matches(second, SYNCLOG_ERROR, SYNCLOG_INTERNAL))
    *out_behind = wal_behind_segment_of(wal, from);
  g_propagate_error(error, g_steal_pointer(&second));
  return NULL;
}

Wal *log_work_begin_incarnation(Identity *identity, LogSet *logs, Wal *own, guint64 durable,
                                guint64 now_us, GError **error)
{
  gboolean clean = identity->clean;
  /* A log that was cut looks sound. Should this process end before the new incarnation is begun,
   * the next start must not write on in it (P4): it begins one behind a stop that was not clean. */
  if (wal_last_index(own) > durable &&
      (!identity_set_clean(identity, FALSE, error) || !wal_cut(own, durable + 1, error)))
    return NULL;
  FAILPOINT("incarnation_after_cut");
  /* With a weaker wal_sync what was acknowledged is told and sent already. Nothing syncs this log
   * any more once another one is the own; its end would be lost and nobody would notice. */
  if (!wal_sync(own, error))
    return NULL;
  /* One that a try before wrote down has no log that anybody saw: it is taken, as each further one
   * could leave a folder. */
  gboolean begun = identity->incarnation > wal_log(own).incarnation;
  if ((!begun && !identity_begin_incarnation(identity, now_us, error)) ||
      !identity_set_clean(identity, clean, error))
    return NULL;
  FAILPOINT("incarnation_before_log");
  LogId log = {identity->node_id, identity->incarnation};
  return log_set_get(logs, log, error);
}
