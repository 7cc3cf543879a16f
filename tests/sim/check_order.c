/* P2: every node applies every log in order, without a hole, each entry once. */
#include "sim/check.h"

void check_applied(SimNode *node, const StoreEntry *entry, guint before, guint64 content)
{
  Sim *sim = node->sim;
  if (entry->index != (guint64)before + 1)
    sim_fail(sim, "P2", "node %u applies %s/%lu on top of %u entries", node->id,
             sim_log_name(entry->log), (gulong)entry->index, before);
  const TrueEntry *known = truth_entry(sim->truth, entry->log, entry->index);
  if (known == NULL)
    sim_fail(sim, "P2", "node %u applies %s/%lu, which nobody made durable", node->id,
             sim_log_name(entry->log), (gulong)entry->index);
  if (known->content != content || known->hlc != entry->hlc)
    sim_fail(sim, "P2", "node %u applies %s/%lu with another content than its origin's", node->id,
             sim_log_name(entry->log), (gulong)entry->index);
  if (entry->hlc <= node->horizon && !sim->clock_lost)
    sim_fail(sim, "P3", "node %u applies %s/%lu from below the horizon that it told", node->id,
             sim_log_name(entry->log), (gulong)entry->index);
}

void check_sent(SimNode *node, guint32 peer, const SyncBatch *batch)
{
  Sim *sim = node->sim;
  Wal *wal = log_set_find(node->logs, batch->log);
  if (wal == NULL || batch->last_index > wal_durable_index(wal))
    sim_fail(sim, "P2", "node %u sends %s/%lu to node %u, which is not durable there", node->id,
             sim_log_name(batch->log), (gulong)batch->last_index, peer);
}
