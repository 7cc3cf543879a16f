/* P8: a log that failed to write or sync is read-only, visibly, until its node is restarted; and
 * what could not be synced of it goes to no store. */
#include "sim/check.h"

#include <string.h>

void check_work_told(SimNode *node)
{
  if (!node->has_failed_log)
    return;
  NodeStatus *status = node_status_new();
  group_status(node->group, status, node->sim->now_us);
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *log = &g_array_index(status->logs, LogStatus, i);
    if (log_id_equal(log->progress.log, node->failed_log) && strcmp(log->state, "read-only") != 0)
      sim_fail(node->sim, "P8", "a write or sync of %s failed at node %u, the log's state is %s",
               sim_log_name(node->failed_log), node->id, log->state);
  }
  node_status_free(status);
}

void check_given(SimNode *node, EntryRun *run)
{
  /* While the log thread works the group may not know yet. */
  Wal *wal = node->log_busy ? NULL : log_set_find(node->logs, entry_run_log(run));
  if (wal == NULL || !wal_is_broken(wal) || entry_run_last_index(run) <= wal_durable_index(wal))
    return;
  sim_fail(node->sim, "P8",
           "node %u gives %s up to %lu to its store, which is broken and durable to %lu", node->id,
           sim_log_name(entry_run_log(run)), (gulong)entry_run_last_index(run),
           (gulong)wal_durable_index(wal));
}
