/* P9: nothing waits for a fixed time. */
#include "sim/check.h"

enum {
  SPARE_ENTRIES = 20,
  CALLS = 20, /* of one work of the log thread, at most; see node.c */
  LOST_REQUESTS = 2,
  BACKOFFS = 2,
  HEARTBEATS = 8,
  OPERATOR_US = 500 * 1000, /* a log that failed just before the end is restarted then */
};

void check_idle(SimNode *node)
{
  gint64 deadline_us = group_deadline_us(node->group);
  if (deadline_us <= node->sim->now_us)
    sim_fail(node->sim, "P9", "node %u asks for a time that has passed and has nothing to do",
             node->id);
}

/*
 * A request that was lost just before is missed after its time; then a channel is opened again,
 * after a backoff; who is to hand on is found out over some heartbeats; and then every entry costs
 * a round trip and some calls to the disk at most, as if each went alone. Nothing else may take
 * time.
 */
static gint64 healing_limit_us(Sim *sim)
{
  const SimConfig *config = &sim->config;
  gint64 entries = SPARE_ENTRIES;
  GPtrArray *logs = truth_logs(sim->truth);
  for (guint i = 0; i < logs->len; i++)
    entries += ((TrueLog *)logs->pdata[i])->entries->len;
  gint64 round_trip_us = 2 * config->delay_max_us + config->apply_us + CALLS * config->disk_us;
  return LOST_REQUESTS * config->request_timeout_us +
         BACKOFFS * (gint64)config->group.max_retry_wait_ms * 1000 +
         HEARTBEATS * config->group.heartbeat_interval_ms * 1000 +
         config->group.mirror_sync_interval_ms * 1000 + OPERATOR_US + entries * round_trip_us;
}

void check_healed(Sim *sim, gint64 us)
{
  /* Entries from a clock that was ahead wait for their time. */
  if (sim->faults[FAULT_CLOCK] > 0)
    return;
  gint64 limit_us = healing_limit_us(sim);
  if (us > limit_us)
    sim_fail(sim, "P9", "it took %.1f s until all were equal, %.1f s were enough", (double)us / 1e6,
             (double)limit_us / 1e6);
}
