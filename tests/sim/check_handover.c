/* P6: what any survivor holds of a log reaches all, whether the log's origin is there or not. */
#include "sim/check.h"

void check_survivors_hold(Sim *sim)
{
  GPtrArray *logs = truth_logs(sim->truth);
  for (guint i = 0; i < logs->len; i++) {
    LogId log = ((TrueLog *)logs->pdata[i])->log;
    Claim held = {log, 0};
    for (guint k = 1; k <= sim->config.nodes; k++) {
      const SimNode *node = &sim->nodes[k];
      Wal *wal = node_is_up(node) && !node->damaged ? log_set_find(node->logs, log) : NULL;
      if (wal != NULL)
        held.durable = MAX(held.durable, wal_durable_index(wal));
    }
    g_array_append_val(sim->held, held);
  }
}

void check_handed_on(Sim *sim)
{
  for (guint i = 0; i < sim->held->len; i++) {
    const Claim *held = &g_array_index(sim->held, Claim, i);
    for (guint k = 1; k <= sim->config.nodes; k++) {
      const SimNode *node = &sim->nodes[k];
      if (node_is_up(node) && node_applied(node, held->log) < held->durable &&
          !check_is_excused(node, held->log))
        sim_fail(sim, "P6", "a survivor held %s up to %lu, node %u has no more than %lu",
                 sim_log_name(held->log), (gulong)held->durable, k,
                 (gulong)node_applied(node, held->log));
    }
  }
}
