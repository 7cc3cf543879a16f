/* P9: nothing waits for a fixed time. */
#include "sim/check.h"

void check_idle(SimNode *node)
{
  gint64 deadline_us = group_deadline_us(node->group);
  if (deadline_us <= node->sim->now_us)
    sim_fail(node->sim, "P9", "node %u asks for a time that has passed and has nothing to do",
             node->id);
}

void check_healed(Sim *sim, gint64 us)
{
  (void)sim;
  (void)us;
}
