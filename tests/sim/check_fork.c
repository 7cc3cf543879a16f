/* P4: a pair (log, index) never has two contents. */
#include "sim/check.h"

void check_told_again(SimNode *origin, LogId log, guint64 index, gboolean same)
{
  if (!same)
    sim_fail(origin->sim, "P4", "node %u uses %s/%lu for a second content", origin->id,
             sim_log_name(log), (gulong)index);
}

void check_told(SimNode *origin, LogId log, guint64 index, guint known, guint64 hlc,
                guint64 *latest)
{
  Sim *sim = origin->sim;
  if (index != (guint64)known + 1)
    sim_fail(sim, "P2", "node %u writes %s/%lu behind %u", origin->id, sim_log_name(log),
             (gulong)index, known);
  /* Two entries with one version would look different at different nodes. Who lost its disk does
   * not know its clock. */
  if (hlc <= *latest && !origin->damaged)
    sim_fail(sim, "P3", "node %u stamps %s/%lu with %lu, not above %lu", origin->id,
             sim_log_name(log), (gulong)index, (gulong)hlc, (gulong)*latest);
  check_stamp(origin, log, index, hlc);
  *latest = MAX(*latest, hlc);
}

void check_held(SimNode *node, LogId log, guint64 index, const TrueEntry *known, guint64 hash)
{
  if (known == NULL)
    sim_fail(node->sim, "P4", "node %u holds %s/%lu, which nobody made durable", node->id,
             sim_log_name(log), (gulong)index);
  if (known->hash != hash)
    sim_fail(node->sim, "P4", "node %u holds %s/%lu with another content than its origin's",
             node->id, sim_log_name(log), (gulong)index);
}
