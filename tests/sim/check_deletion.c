/* P5: a segment goes only when the own store and every member have durably what is in it. */
#include "sim/check.h"

static guint64 told(const SimNode *node, LogId log)
{
  for (guint i = 0; i < node->claims->len; i++) {
    const Claim *claim = &g_array_index(node->claims, Claim, i);
    if (log_id_equal(claim->log, log))
      return claim->durable;
  }
  return 0;
}

void check_trimmed(SimNode *node, LogId log, guint64 first)
{
  Sim *sim = node->sim;
  guint64 gone = first - 1;
  const StoredLog *stored = sim_stored(node, log);
  if (stored == NULL || stored->durable < gone)
    sim_fail(sim, "P5", "node %u deletes %s up to %lu, its store has %u durably", node->id,
             sim_log_name(log), (gulong)gone, stored != NULL ? stored->durable : 0);
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *other = &sim->nodes[i];
    if (membership_is_gone(node->membership, i) || other->damaged)
      continue;
    guint64 kept = node_is_up(other) ? node_kept(other, log) : told(other, log);
    if (kept < gone)
      sim_fail(sim, "P5", "node %u deletes %s up to %lu, node %u has %lu", node->id,
               sim_log_name(log), (gulong)gone, i, (gulong)kept);
  }
}
