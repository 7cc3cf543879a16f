#include "core/progress.h"

Progress *progress_new(void)
{
  Progress *progress = g_new0(Progress, 1);
  progress->logs = g_array_new(FALSE, TRUE, sizeof(LogProgress));
  return progress;
}

void progress_free(Progress *progress)
{
  g_array_unref(progress->logs);
  g_clear_pointer(&progress->wanted, g_array_unref);
  g_clear_pointer(&progress->forgotten, g_array_unref);
  g_clear_pointer(&progress->members, g_ptr_array_unref);
  g_free(progress);
}

static void replace_array(GArray **array, GArray *news)
{
  g_clear_pointer(array, g_array_unref);
  if (news != NULL)
    *array = g_array_copy(news);
}

static void take_general(Progress *progress, const Progress *news)
{
  progress->promised_hlc = news->promised_hlc;
  progress->wall_ms = news->wall_ms;
  progress->horizon = news->horizon;
  progress->checked_hlc = news->checked_hlc;
  progress->checked_digest = news->checked_digest;
  replace_array(&progress->wanted, news->wanted);
  replace_array(&progress->forgotten, news->forgotten);
  if (progress->members == news->members)
    return;
  g_clear_pointer(&progress->members, g_ptr_array_unref);
  if (news->members != NULL)
    progress->members = g_ptr_array_ref(news->members);
}

Progress *progress_copy(const Progress *progress)
{
  Progress *copy = g_new0(Progress, 1);
  copy->logs = g_array_copy(progress->logs);
  take_general(copy, progress);
  return copy;
}

/* Position of the first entry that is not below `log`. */
static guint lower_bound(const Progress *progress, LogId log)
{
  guint low = 0, high = progress->logs->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (log_id_compare(&g_array_index(progress->logs, LogProgress, middle).log, &log) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

LogProgress *progress_find(const Progress *progress, LogId log)
{
  guint at = lower_bound(progress, log);
  if (at == progress->logs->len)
    return NULL;
  LogProgress *found = &g_array_index(progress->logs, LogProgress, at);
  return log_id_equal(found->log, log) ? found : NULL;
}

LogProgress *progress_put(Progress *progress, LogId log)
{
  LogProgress *found = progress_find(progress, log);
  if (found != NULL)
    return found;
  guint at = lower_bound(progress, log);
  LogProgress fresh = {.log = log, .first_available = 1};
  g_array_insert_val(progress->logs, at, fresh);
  return &g_array_index(progress->logs, LogProgress, at);
}

void progress_merge(Progress *progress, const Progress *news)
{
  for (guint i = 0; i < news->logs->len; i++) {
    const LogProgress *n = &g_array_index(news->logs, LogProgress, i);
    LogProgress *p = progress_put(progress, n->log);
    p->received = MAX(p->received, n->received);
    p->durable = MAX(p->durable, n->durable);
    p->applied = MAX(p->applied, n->applied);
    p->applied_hlc = n->applied_hlc;
    p->first_available = n->first_available;
    p->digest = n->digest;
    p->digest_index = n->digest_index;
  }
  take_general(progress, news);
}
