/* What each entry is: said once, by its origin, at the moment when it is durable there. */
#include "sim/check.h"

#include <xxhash.h>

struct Truth {
  GPtrArray *logs;                  /* TrueLog, sorted */
  guint64 clock[SIM_NODES_MAX + 1]; /* of the latest entry that each node stamped */
};

static void true_entry_clear(gpointer data)
{
  g_bytes_unref(((TrueEntry *)data)->data);
}

static void true_log_free(gpointer data)
{
  TrueLog *log = data;
  g_array_unref(log->entries);
  g_free(log);
}

Truth *truth_new(void)
{
  Truth *truth = g_new0(Truth, 1);
  truth->logs = g_ptr_array_new_with_free_func(true_log_free);
  return truth;
}

void truth_free(Truth *truth)
{
  g_ptr_array_unref(truth->logs);
  g_free(truth);
}

GPtrArray *truth_logs(const Truth *truth)
{
  return truth->logs;
}

TrueLog *truth_find(const Truth *truth, LogId id)
{
  for (guint i = 0; i < truth->logs->len; i++)
    if (log_id_equal(((TrueLog *)truth->logs->pdata[i])->log, id))
      return truth->logs->pdata[i];
  return NULL;
}

static TrueLog *put_log(Truth *truth, LogId id)
{
  TrueLog *log = truth_find(truth, id);
  if (log != NULL)
    return log;
  log = g_new0(TrueLog, 1);
  log->log = id;
  log->entries = g_array_new(FALSE, FALSE, sizeof(TrueEntry));
  g_array_set_clear_func(log->entries, true_entry_clear);
  guint at = 0;
  while (at < truth->logs->len &&
         log_id_compare(&((TrueLog *)truth->logs->pdata[at])->log, &id) < 0)
    at++;
  g_ptr_array_insert(truth->logs, (gint)at, log);
  return log;
}

const TrueEntry *truth_entry(const Truth *truth, LogId id, guint64 index)
{
  const TrueLog *log = truth_find(truth, id);
  if (log == NULL || index == 0 || index > log->entries->len)
    return NULL;
  return &g_array_index(log->entries, TrueEntry, index - 1);
}

static guint64 hash_of(EntryRun *run, guint i)
{
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  gsize begin = entry_run_offset(run, i);
  return XXH3_64bits(bytes + begin, entry_run_offset(run, i + 1) - begin);
}

void truth_tell(SimNode *origin, EntryRun *run)
{
  Sim *sim = origin->sim;
  TrueLog *log = put_log(sim->truth, entry_run_log(run));
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    guint64 hash = hash_of(run, i);
    const TrueEntry *known = truth_entry(sim->truth, log->log, record.index);
    if (known != NULL) {
      check_told_again(origin, log->log, record.index, known->hash == hash);
      continue;
    }
    g_autoptr(Decoded) decoded = store_decode(record.data, record.data_size, 1000, NULL);
    TrueEntry entry = {hash, decoded != NULL ? sim_content(decoded) : 0, record.hlc,
                       g_bytes_new(record.data, record.data_size)};
    check_told(origin, log->log, record.index, log->entries->len, record.hlc,
               &sim->truth->clock[origin->id]);
    g_array_append_val(log->entries, entry);
  }
}

void truth_compare(SimNode *node, EntryRun *run)
{
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    const TrueEntry *known = truth_entry(node->sim->truth, entry_run_log(run), record.index);
    check_held(node, entry_run_log(run), record.index, known, hash_of(run, i));
  }
}
