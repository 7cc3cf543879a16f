/*
 * Old segments are deleted by a thread that is there only then: the kernel may take a quarter of a
 * second for one of 64 MiB, and the log's work, on which every write waits, goes on meanwhile.
 */
#include "base/failpoint.h"
#include "node/replica_private.h"

static void trim(Replica *replica, const TrimWork *work)
{
  Wal *wal = log_set_find(replica->logs, work->log);
  if (wal == NULL)
    return;
  g_autoptr(GError) error = NULL;
  FAILPOINT("trim_begin");
  gboolean done = wal_trim(wal, work->index, &error);
  if (!done)
    g_warning("deleting old segments, which is tried again: %s", error->message);
  replica_lock(replica);
  group_on_trimmed(replica->group, work->log, wal_first_index(wal), done);
  replica_unlock(replica);
}

/* FALSE: nothing waits, and who comes next begins a thread. */
static gboolean take(Replica *replica, TrimWork *out_work)
{
  replica_lock(replica);
  gboolean any = replica->trims->len > 0;
  if (any) {
    *out_work = g_array_index(replica->trims, TrimWork, 0);
    g_array_remove_index(replica->trims, 0);
  }
  replica->trimming = any;
  replica_unlock(replica);
  return any;
}

static gpointer trim_thread(gpointer data)
{
  Replica *replica = data;
  log_set_group(replica->options.group.group);
  TrimWork work;
  while (take(replica, &work))
    trim(replica, &work);
  replica_job_end(replica);
  return NULL;
}

/* One for each log at most: a later one goes further. Caller holds `mutex`. */
static void put(GArray *trims, const TrimWork *work)
{
  for (guint i = 0; i < trims->len; i++) {
    TrimWork *waiting = &g_array_index(trims, TrimWork, i);
    if (log_id_equal(waiting->log, work->log)) {
      waiting->index = MAX(waiting->index, work->index);
      return;
    }
  }
  g_array_append_val(trims, *work);
}

void replica_trim(Replica *replica, const TrimWork *work)
{
  replica_lock(replica);
  put(replica->trims, work);
  gboolean begin = !replica->trimming;
  replica->trimming = TRUE;
  replica_unlock(replica);
  if (!begin)
    return;
  replica_job_begin(replica);
  g_autoptr(GThread) thread = g_thread_try_new("trim", trim_thread, replica, NULL);
  if (thread == NULL) /* no thread can be had: then the log's work waits */
    trim_thread(replica);
}
