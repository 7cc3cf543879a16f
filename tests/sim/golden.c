#include "sim/golden.h"

#include "base/limits.h"
#include "sim/check.h"

#include <stdlib.h>
#include <string.h>

enum { MS = 1000, LIMIT_US = 20 * G_USEC_PER_SEC };

/* Nothing is left to chance but what the seed fixes, and nothing goes wrong by itself. */
static SimConfig calm_config(void)
{
  SimConfig config = {.seed = 1,
                      .nodes = 3,
                      .segment_size = 8192,
                      .delay_min_us = 500,
                      .delay_max_us = 500,
                      .request_timeout_us = 200 * MS,
                      .disk_us = 100,
                      .apply_us = 50,
                      .down_us = 10 * MS};
  config.group = (GroupOptions){.cluster_id = "sim",
                                .time_precision = "ms",
                                .max_pending_batch = 2,
                                .max_requests_per_batch = 3,
                                .max_size_per_batch = 16384,
                                .max_pending_requests = 4,
                                .max_pending_bytes = 65536,
                                .max_queued_bytes = 65536,
                                .max_commit_size = 4096,
                                .max_apply_backlog = 65536,
                                .basic_retry_wait_ms = 10,
                                .max_retry_wait_ms = 100,
                                .heartbeat_interval_ms = 5000,
                                .max_clock_skew_ms = 1000,
                                .mirror_sync_interval_ms = 20,
                                .retention_interval_ms = 60000,
                                .max_frame_size = LIMIT_FRAME_SIZE};
  return config;
}

static void write_some(Sim *sim, guint node, guint count, AckLevel ack)
{
  for (guint i = 0; i < count; i++) {
    sim_trace(sim, "a client writes to n%u", node);
    node_write(&sim->nodes[node], clients_make_write(sim, node, ack, G_USEC_PER_SEC));
    sim_run_for(sim, 1);
  }
}

static void start_all(Sim *sim)
{
  for (guint i = 1; i <= sim->config.nodes; i++)
    node_start(&sim->nodes[i]);
  sim_run_for(sim, 100 * MS);
  sim_trace(sim, "-- all are up --");
}

static void cut(Sim *sim, guint from, guint to, gboolean is_cut)
{
  sim->cut[from][to] = is_cut;
  sim_trace(sim, "-- n%u %s n%u --", from, is_cut ? "does not reach" : "reaches", to);
}

static void finish(Sim *sim)
{
  sim_run_until_equal(sim, LIMIT_US);
  check_converged(sim);
  check_acks_survived(sim);
  sim_trace(sim, "-- all are equal --");
}

static void majority(Sim *sim)
{
  start_all(sim);
  write_some(sim, 1, 1, ACK_MAJORITY);
  finish(sim);
}

static void catch_up(Sim *sim)
{
  start_all(sim);
  node_die(&sim->nodes[2], DIE_KILLED);
  sim_trace(sim, "-- n2 is down --");
  write_some(sim, 1, 8, ACK_LOCAL);
  sim_run_for(sim, 50 * MS);
  node_start(&sim->nodes[2]);
  finish(sim);
}

static void retry_after_loss(Sim *sim)
{
  start_all(sim);
  cut(sim, 1, 2, TRUE);
  write_some(sim, 1, 2, ACK_LOCAL);
  sim_run_for(sim, 50 * MS);
  cut(sim, 1, 2, FALSE);
  finish(sim);
}

static void new_incarnation(Sim *sim)
{
  start_all(sim);
  write_some(sim, 2, 3, ACK_ALL);
  sim_run_for(sim, 50 * MS);
  node_die(&sim->nodes[2], DIE_POWER);
  sim_trace(sim, "-- n2 gets an empty disk --");
  check_disk_lost(&sim->nodes[2]);
  sim->nodes[2].damaged = sim->media_damage = TRUE;
  disk_wipe(sim->nodes[2].disk);
  sim_store_wipe(&sim->nodes[2]);
  node_start(&sim->nodes[2]);
  sim_run_for(sim, 50 * MS);
  write_some(sim, 2, 1, ACK_ALL);
  finish(sim);
}

static void answer_lost(Sim *sim)
{
  start_all(sim);
  cut(sim, 2, 1, TRUE);
  write_some(sim, 1, 2, ACK_LOCAL);
  sim_run_for(sim, 50 * MS);
  cut(sim, 2, 1, FALSE);
  write_some(sim, 1, 1, ACK_LOCAL);
  sim_run_for(sim, 300 * MS);
  finish(sim);
}

static void duplicate_after_restart(Sim *sim)
{
  start_all(sim);
  sim->lossy = TRUE; /* every batch comes twice */
  sim->config.duplicate_percent = 100;
  write_some(sim, 1, 2, ACK_LOCAL);
  sim_run_for(sim, 50 * MS);
  node_die(&sim->nodes[2], DIE_POWER);
  sim_trace(sim, "-- n2 lost power --");
  node_start(&sim->nodes[2]);
  sim_run_for(sim, 50 * MS);
  write_some(sim, 1, 1, ACK_LOCAL);
  sim_run_for(sim, 50 * MS);
  finish(sim);
}

static void partition_and_heal(Sim *sim)
{
  start_all(sim);
  for (guint i = 2; i <= 3; i++) {
    cut(sim, 1, i, TRUE);
    cut(sim, i, 1, TRUE);
  }
  write_some(sim, 1, 1, ACK_LOCAL);
  write_some(sim, 2, 1, ACK_MAJORITY);
  sim_run_for(sim, 400 * MS);
  for (guint i = 2; i <= 3; i++) {
    cut(sim, 1, i, FALSE);
    cut(sim, i, 1, FALSE);
  }
  finish(sim);
}

static const struct {
  const char *name;
  void (*tell)(Sim *sim);
} stories[] = {{"majority", majority},
               {"catch-up", catch_up},
               {"retry-after-loss", retry_after_loss},
               {"new-incarnation", new_incarnation},
               {"answer-lost", answer_lost},
               {"duplicate-after-restart", duplicate_after_restart},
               {"partition-and-heal", partition_and_heal}};

static char *trace_of(void (*tell)(Sim *sim))
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  g_assert(out != NULL);
  SimConfig config = calm_config();
  Sim *sim = sim_new(&config, out);
  sim->calm = TRUE;
  tell(sim);
  sim_free(sim);
  fclose(out);
  char *copy = g_strndup(text, size);
  free(text);
  return copy;
}

static void show_difference(const char *name, const char *was, const char *is)
{
  g_auto(GStrv) before = g_strsplit(was, "\n", -1);
  g_auto(GStrv) now = g_strsplit(is, "\n", -1);
  guint i = 0;
  while (before[i] != NULL && now[i] != NULL && strcmp(before[i], now[i]) == 0)
    i++;
  printf("FAIL %s.txt, line %u\n  was %s\n  is  %s\n", name, i + 1,
         before[i] != NULL ? before[i] : "the end", now[i] != NULL ? now[i] : "the end");
}

guint golden_run(const char *directory, gboolean update)
{
  guint failed = 0;
  for (guint i = 0; i < G_N_ELEMENTS(stories); i++) {
    g_autofree char *file = g_strdup_printf("%s/%s.txt", directory, stories[i].name);
    g_autofree char *is = trace_of(stories[i].tell);
    g_autofree char *was = NULL;
    if (update && !g_file_set_contents(file, is, -1, NULL))
      failed++;
    if (!update && !g_file_get_contents(file, &was, NULL, NULL))
      was = g_strdup("");
    if (update || strcmp(was, is) == 0)
      continue;
    show_difference(stories[i].name, was, is);
    failed++;
  }
  printf("%u passed, %u failed\n", (guint)G_N_ELEMENTS(stories) - failed, failed);
  return failed;
}
