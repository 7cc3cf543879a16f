/* Random faults from fixed seeds. What must hold all the time is checked by the fake cluster. */
#include "support/fake_cluster.c"
#include "support/suite.h"

typedef struct Chaos {
  guint nodes;
  guint steps;
  gboolean kills, power, incarnations, lost_mirrors;
} Chaos;

static AckLevel some_ack(FakeCluster *cluster)
{
  gint32 dice = g_rand_int_range(cluster->rand, 0, 10);
  return dice < 6 ? ACK_LOCAL : dice < 9 ? ACK_MAJORITY : ACK_ALL;
}

static void some_writes(FakeCluster *cluster)
{
  guint node = (guint)g_rand_int_range(cluster->rand, 1, (gint32)cluster->count + 1);
  if (cluster->nodes[node].group == NULL)
    return;
  gint32 count = g_rand_int_range(cluster->rand, 1, 40);
  for (gint32 i = 0; i < count; i++)
    fake_write(cluster, node, some_ack(cluster), g_rand_int_range(cluster->rand, 1000, 3000000));
}

/* A part of the WAL of another node's log is lost, of which the store has all durably. */
static void lose_mirrors(FakeCluster *cluster, guint node)
{
  GPtrArray *logs = cluster->nodes[node].logs;
  for (guint i = 0; i < logs->len; i++) {
    FakeLog *log = logs->pdata[i];
    const FakeApplied *applied = fake_find_applied(cluster, node, log->id);
    if (log->id.origin == node || applied == NULL || log->records->len == 0 ||
        applied->durable < log->base + log->records->len)
      continue;
    g_ptr_array_set_size(log->records,
                         g_rand_int_range(cluster->rand, 0, (gint32)log->records->len));
    log->durable = log->base + log->records->len;
  }
}

static void toggle_process(FakeCluster *cluster, const Chaos *chaos)
{
  guint node = (guint)g_rand_int_range(cluster->rand, 1, (gint32)cluster->count + 1);
  if (cluster->nodes[node].group == NULL)
    fake_start(cluster, node, chaos->incarnations && fake_percent(cluster, 20));
  else if (chaos->power && fake_percent(cluster, 50))
    fake_power_off(cluster, node);
  else
    fake_kill(cluster, node);
  if (chaos->lost_mirrors && cluster->nodes[node].group == NULL && fake_percent(cluster, 30))
    lose_mirrors(cluster, node);
}

static void some_fault(FakeCluster *cluster, const Chaos *chaos)
{
  gint32 nodes = (gint32)cluster->count + 1;
  guint a = (guint)g_rand_int_range(cluster->rand, 1, nodes);
  guint b = (guint)g_rand_int_range(cluster->rand, 1, nodes);
  FakeNode *node = &cluster->nodes[a];
  switch (g_rand_int_range(cluster->rand, 0, 9)) {
  case 0:
  case 1:
    if (a != b)
      fake_reset_channel(cluster, a, b);
    break;
  case 2:
    if (a != b)
      fake_cut(cluster, a, b, !cluster->cut[a][b]);
    break;
  case 3:
    fake_partition(cluster, 1U << a, ~(1U << a));
    break;
  case 4:
    fake_heal(cluster);
    break;
  case 5:
    if (chaos->kills)
      toggle_process(cluster, chaos);
    break;
  case 6:
    node->disk_full = !node->disk_full && fake_percent(cluster, 30);
    break;
  case 7:
    node->apply_paused = !node->apply_paused && fake_percent(cluster, 50);
    break;
  case 8:
    node->wall_offset_ms = g_rand_int_range(cluster->rand, -100000, 100000);
    if (node->group != NULL)
      fake_persist(cluster, a);
    break;
  }
}

static void end_faults(FakeCluster *cluster)
{
  fake_heal(cluster);
  cluster->lose_percent = cluster->duplicate_percent = 0;
  for (guint i = 1; i <= cluster->count; i++) {
    FakeNode *node = &cluster->nodes[i];
    node->disk_full = node->apply_paused = FALSE;
    node->wall_offset_ms = 0;
    if (node->group == NULL)
      fake_start(cluster, i, FALSE);
  }
}

/* Each entry that was promised is on every node. */
static void check_promises(FakeCluster *cluster)
{
  for (guint i = 0; i < cluster->writes->len; i++) {
    const FakeWrite *write = cluster->writes->pdata[i];
    if (!write->answered || (write->status != SYNCLOG_OK && write->status != SYNCLOG_PENDING))
      continue;
    for (guint node = 1; node <= cluster->count; node++)
      fast_assert(fake_applied(cluster, node, write->token.log) >= write->token.index);
  }
}

static void run_chaos(guint32 seed, const Chaos *chaos)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(chaos->nodes, seed);
  cluster->delay_max_us = g_rand_int_range(cluster->rand, 200, 20000);
  cluster->lose_percent = (guint)g_rand_int_range(cluster->rand, 0, 6);
  cluster->duplicate_percent = (guint)g_rand_int_range(cluster->rand, 0, 30);
  cluster->request_timeout_us = g_rand_int_range(cluster->rand, 30000, 2000000);
  cluster->options.max_pending_requests = (guint)g_rand_int_range(cluster->rand, 1, 200);
  cluster->options.max_pending_batch = (guint)g_rand_int_range(cluster->rand, 1, 8);
  cluster->options.max_requests_per_batch = (guint)g_rand_int_range(cluster->rand, 1, 40);
  cluster->options.max_apply_backlog = (gsize)g_rand_int_range(cluster->rand, 100, 50000);
  cluster->options.max_retry_wait_ms = 2000;
  cluster->options.retention_interval_ms = 500;
  fake_start_all(cluster);
  for (guint i = 0; i < chaos->steps; i++) {
    if (fake_percent(cluster, 60))
      some_writes(cluster);
    else
      some_fault(cluster, chaos);
    fake_run_for(cluster, g_rand_int_range(cluster->rand, 0, 200000));
  }
  end_faults(cluster);
  fake_run_until_equal(cluster, 120 * G_USEC_PER_SEC);
  check_promises(cluster);
}

static void run_seeds(guint32 first, guint32 count, Chaos chaos)
{
  count = HISTORIES(count);
  /* CHAOS_SEEDS: so many times more seeds. CHAOS_VERBOSE: tell which one runs. */
  const char *times = g_getenv("CHAOS_SEEDS");
  count *= times != NULL ? (guint32)g_ascii_strtoull(times, NULL, 10) : 1;
  for (guint32 seed = first; seed < first + count; seed++) {
    if (g_getenv("CHAOS_VERBOSE") != NULL)
      g_printerr("seed %u\n", seed);
    run_chaos(seed, &chaos);
  }
}

START_TEST(network_faults)
{
  run_seeds(100000, 40, (Chaos){.nodes = 3, .steps = 150});
}
END_TEST

START_TEST(network_and_kills)
{
  run_seeds(200000, 40, (Chaos){.nodes = 3, .steps = 150, .kills = TRUE});
}
END_TEST

START_TEST(power_losses)
{
  run_seeds(300000, 40, (Chaos){.nodes = 3, .steps = 150, .kills = TRUE, .power = TRUE});
}
END_TEST

START_TEST(new_incarnations)
{
  run_seeds(400000, 40,
            (Chaos){.nodes = 3, .steps = 150, .kills = TRUE, .power = TRUE, .incarnations = TRUE});
}
END_TEST

START_TEST(five_nodes)
{
  run_seeds(500000, 15,
            (Chaos){.nodes = 5, .steps = 200, .kills = TRUE, .power = TRUE, .incarnations = TRUE});
}
END_TEST

START_TEST(lost_mirrors)
{
  run_seeds(700000, 40,
            (Chaos){.nodes = 3, .steps = 150, .kills = TRUE, .power = TRUE, .lost_mirrors = TRUE});
}
END_TEST

START_TEST(two_nodes)
{
  run_seeds(600000, 30, (Chaos){.nodes = 2, .steps = 150, .kills = TRUE, .power = TRUE});
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {network_faults, network_and_kills, power_losses, new_incarnations,
                                five_nodes,     lost_mirrors,      two_nodes};
  return RUN_SUITE("group_chaos", tests);
}
