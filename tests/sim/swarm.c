/*
 * What a seed is. Each kind of fault is on or off for a whole run, and sizes and limits are drawn
 * wide apart: runs that have little of everything find less than runs that have much of a few
 * things (Groce et al., "Swarm Testing", 2012).
 */
#include "sim/sim.h"

#include "base/limits.h"

static guint pick(GRand *rand, const guint *values, guint count)
{
  return values[g_rand_int_range(rand, 0, (gint32)count)];
}

#define PICK(rand, ...)                                                                            \
  pick(rand, (const guint[]){__VA_ARGS__}, sizeof((const guint[]){__VA_ARGS__}) / sizeof(guint))

static gboolean percent(GRand *rand, gint32 chance)
{
  return g_rand_int_range(rand, 0, 100) < chance;
}

static void choose_limits(SimConfig *config, GRand *rand)
{
  config->group = (GroupOptions){
      .cluster_id = "sim",
      .time_precision = "ms",
      .max_pending_batch = PICK(rand, 1, 2, 5, 5, 16),
      .max_requests_per_batch = PICK(rand, 1, 3, 10, 30),
      .max_size_per_batch = PICK(rand, 256, 2048, 16384),
      .max_pending_requests = PICK(rand, 2, 10, 100, 600),
      .max_pending_bytes = PICK(rand, 1024, 16384, 1048576),
      .max_queued_bytes = PICK(rand, 4096, 65536, 1048576),
      .max_commit_size = PICK(rand, 256, 4096, 65536),
      .max_apply_backlog = PICK(rand, 1024, 8192, 1048576),
      .basic_retry_wait_ms = PICK(rand, 5, 20, 100),
      .max_retry_wait_ms = PICK(rand, 200, 1000),
      .heartbeat_interval_ms = PICK(rand, 50, 100, 300),
      .max_clock_skew_ms = PICK(rand, 300, 1000, 5000),
      .mirror_sync_interval_ms = PICK(rand, 2, 20, 100),
      .retention_interval_ms = PICK(rand, 20, 100, 500),
      .max_frame_size = LIMIT_FRAME_SIZE,
  };
  /* Runs are short, and horizons are to move. */
  config->group.clock_keep_interval_ms = config->group.heartbeat_interval_ms;
  config->segment_size = PICK(rand, 2048, 4096, 8192, 32768);
  config->memtable_size = PICK(rand, 0, 500, 2000, 2000, 10000);
}

static void choose_faults(SimConfig *config, GRand *rand)
{
  config->fault_every_us = percent(rand, 5) ? 0 : config->duration_us / PICK(rand, 3, 8, 20, 40);
  for (guint i = 0; i < FAULT_FLIP; i++)
    config->weight[i] = percent(rand, 35) ? PICK(rand, 1, 1, 3) : 0;
  config->clock_jump_ms = config->group.max_clock_skew_ms * PICK(rand, 1, 2, 6) / 2;
  config->down_us = PICK(rand, 2000, 50000, 300000, 1000000);
  config->lose_percent = PICK(rand, 1, 5, 20);
  config->duplicate_percent = PICK(rand, 0, 5, 30);
  if (percent(rand, 30)) {
    config->bad_disk = 1 + (guint)g_rand_int_range(rand, 0, (gint32)config->nodes);
    config->weight[PICK(rand, FAULT_FLIP, FAULT_FLIP, FAULT_WIPE, FAULT_RESTORE)] = 3;
  }
  if (config->weight[FAULT_WIPE] + config->weight[FAULT_RESTORE] > 0) {
    /* What all had is deleted, and can't be given back; and who lost all his memory can't know
     * which clock he had. */
    config->memtable_size = 0;
    config->weight[FAULT_CLOCK] = 0;
  }
  if (config->nodes > 2 && percent(rand, 12)) {
    config->lost_node = config->bad_disk != 0
                            ? config->bad_disk
                            : 1 + (guint)g_rand_int_range(rand, 0, (gint32)config->nodes);
    config->forget_lost = percent(rand, 50);
  } else if (config->nodes > 2 && config->bad_disk == 0 && percent(rand, 12)) {
    config->cut_for_good[0] = 1;
    config->cut_for_good[1] = 2;
  }
}

SimConfig swarm_config(guint64 seed)
{
  GRand *rand = g_rand_new_with_seed_array((guint32[]){(guint32)seed, (guint32)(seed >> 32)}, 2);
  SimConfig config = {.seed = seed};
  config.nodes = PICK(rand, 2, 2, 3, 3, 3, 3, 4, 5, 7);
  config.duration_us = 1000 * (gint64)PICK(rand, 500, 1500, 1500, 4000);
  config.write_every_us = config.duration_us / PICK(rand, 30, 100, 200, 400);
  config.write_size_max = PICK(rand, 0, 40, 300, 2000);
  config.delete_percent = PICK(rand, 0, 10, 30);
  config.ack_percent[ACK_LOCAL] = PICK(rand, 0, 30, 60, 100);
  config.ack_percent[ACK_MAJORITY] = (100 - config.ack_percent[ACK_LOCAL]) / 2;
  config.delay_min_us = PICK(rand, 10, 100, 1000);
  config.delay_max_us = config.delay_min_us * PICK(rand, 1, 5, 30);
  config.request_timeout_us = 1000 * (gint64)PICK(rand, 150, 400, 1000);
  config.disk_us = PICK(rand, 20, 200, 2000);
  config.apply_us = PICK(rand, 10, 50, 2000);
  choose_limits(&config, rand);
  choose_faults(&config, rand);
  g_rand_free(rand);
  return config;
}

void swarm_describe(const SimConfig *config, FILE *out)
{
  fprintf(out, "seed %lu: %u nodes, %.1f s of faults,", (gulong)config->seed, config->nodes,
          (double)config->duration_us / 1e6);
  for (guint i = 0; i < FAULT_KINDS; i++)
    if (config->weight[i] > 0 && config->fault_every_us > 0)
      fprintf(out, " %s", fault_name((FaultKind)i));
  fprintf(out,
          "\n  segments %zu, memtable %zu, window %u, %u entries or %zu bytes a batch, tail %u\n",
          config->segment_size, config->memtable_size, config->group.max_pending_batch,
          config->group.max_requests_per_batch, config->group.max_size_per_batch,
          config->group.max_pending_requests);
  if (config->bad_disk != 0)
    fprintf(out, "  the disk of node %u is bad\n", config->bad_disk);
  if (config->lost_node != 0)
    fprintf(out, "  node %u is lost for good%s\n", config->lost_node,
            config->forget_lost ? ", and forgotten" : "");
  if (config->cut_for_good[0] != 0)
    fprintf(out, "  the link between nodes %u and %u stays cut\n", config->cut_for_good[0],
            config->cut_for_good[1]);
}
