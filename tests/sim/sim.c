#include "sim/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
  SAME_TIME_STEPS_MAX = 20000,
  LOOK_EVERY_US = 20 * 1000,
  READ_BYTES = 1024 * 1024,
  SETTLE_LIMIT_US = 120 * G_USEC_PER_SEC,
};

/* --- events: a heap, the next one at the top ----------------------------------------------------
 */

static void event_free(gpointer data)
{
  Event *event = data;
  if (event->free_message != NULL)
    event->free_message(event->message);
  g_free(event);
}

static gboolean is_before(const Event *a, const Event *b)
{
  return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

void sim_add_event(Sim *sim, gint64 delay_us, Event event)
{
  Event *added = g_new(Event, 1);
  *added = event;
  added->at_us = sim->now_us + delay_us;
  added->seq = sim->next_seq++;
  g_ptr_array_add(sim->events, added);
  gpointer *heap = sim->events->pdata;
  guint at = sim->events->len - 1;
  for (; at > 0 && is_before(added, heap[(at - 1) / 2]); at = (at - 1) / 2)
    heap[at] = heap[(at - 1) / 2];
  heap[at] = added;
}

static Event *take_event(Sim *sim)
{
  gpointer *heap = sim->events->pdata;
  Event *first = heap[0];
  Event *last = g_ptr_array_remove_index(sim->events, sim->events->len - 1);
  guint len = sim->events->len, at = 0;
  while (len > 0) {
    guint child = 2 * at + 1;
    if (child + 1 < len && is_before(heap[child + 1], heap[child]))
      child++;
    if (child >= len || !is_before(heap[child], last)) {
      heap[at] = last;
      break;
    }
    heap[at] = heap[child];
    at = child;
  }
  return first;
}

guint sim_random(Sim *sim, guint below)
{
  return (guint)g_rand_int_range(sim->rand, 0, (gint32)below);
}

gboolean sim_percent(Sim *sim, guint chance)
{
  return chance > 0 && sim_random(sim, 100) < chance;
}

gint64 sim_around_us(Sim *sim, gint64 mean_us)
{
  return mean_us / 2 + g_rand_int_range(sim->rand, 0, (gint32)mean_us + 1);
}

/* --- telling ------------------------------------------------------------------------------------
 */

const char *sim_log_name(LogId log)
{
  /* Two may stand in one line. */
  static char names[4][LOG_ID_TEXT_SIZE];
  static guint next;
  char *name = names[next++ % 4];
  g_snprintf(name, LOG_ID_TEXT_SIZE, "%u-%lu", log.origin,
             (gulong)(log.incarnation % 1000000000000));
  return name;
}

void sim_trace(Sim *sim, const char *format, ...)
{
  if (sim->trace == NULL)
    return;
  va_list args;
  va_start(args, format);
  fprintf(sim->trace, "%10.3f ms  ", (double)sim->now_us / 1000.0);
  vfprintf(sim->trace, format, args);
  fputc('\n', sim->trace);
  va_end(args);
}

static void tell_state(Sim *sim, FILE *out)
{
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    fprintf(out, "  node %u is %s\n", i, node->gone ? "gone" : node_is_up(node) ? "up" : "down");
    if (!node_is_up(node))
      continue;
    NodeStatus *status = node_status_new();
    group_status(node->group, status, sim->now_us);
    for (guint k = 0; k < status->logs->len; k++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, k);
      fprintf(out, "    log %s: first %lu received %lu durable %lu applied %lu, %s%s%s\n",
              sim_log_name(log->progress.log), (gulong)log->progress.first_available,
              (gulong)log->progress.received, (gulong)log->progress.durable,
              (gulong)log->progress.applied, log->state, log->message != NULL ? ": " : "",
              log->message != NULL ? log->message : "");
    }
    for (guint k = 0; k < status->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      fprintf(out, "    peer %u: %s, %lu in flight%s%s\n", peer->node_id, peer->state,
              (gulong)peer->batches_in_flight, peer->message != NULL ? ": " : "",
              peer->message != NULL ? peer->message : "");
    }
    node_status_free(status);
  }
}

void sim_fail(Sim *sim, const char *promise, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  FILE *out = sim->trace != NULL ? sim->trace : stdout;
  fprintf(out, "FAIL seed %lu: %s: %s, at %.3f ms\n", (gulong)sim->config.seed, promise, text,
          (double)sim->now_us / 1000.0);
  if (sim->trace != NULL)
    tell_state(sim, sim->trace);
  fflush(NULL);
  _Exit(1);
}

/* --- time ---------------------------------------------------------------------------------------
 */

/* What looks at nodes after each thing that happened to them. */
static void after(Sim *sim, SimNode *node)
{
  if (!node_is_up(node))
    return;
  if (disk_is_stopped(node->disk)) {
    node_crash(node, sim_percent(sim, 60) ? DIE_POWER : DIE_KILLED, sim->config.down_us);
    return;
  }
  check_bounds(node);
}

static void run_event(Sim *sim)
{
  Event *event = take_event(sim);
  SimNode *node = &sim->nodes[event->node];
  if (event->life == 0 || (event->life == node->life && node_is_up(node)))
    event->run(sim, event);
  if (event->node != 0)
    after(sim, node);
  if (event->peer != 0)
    after(sim, &sim->nodes[event->peer]);
  event_free(event);
}

/* The node whose log thread wakes first by itself; NULL when none does before *until_us. */
static SimNode *next_to_wake(Sim *sim, gint64 *until_us)
{
  SimNode *next = NULL;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    if (!node_is_up(node) || node->log_busy)
      continue;
    gint64 deadline_us = group_deadline_us(node->group);
    if (deadline_us < *until_us) {
      *until_us = MAX(deadline_us, sim->now_us);
      next = node;
    }
  }
  return next;
}

/* The next thing that happens, not after until_us; FALSE when there is none. */
static gboolean step(Sim *sim, gint64 until_us)
{
  gint64 at_us = until_us + 1;
  if (sim->events->len > 0)
    at_us = MIN(at_us, ((Event *)sim->events->pdata[0])->at_us);
  gint64 wake_us = at_us;
  SimNode *node = next_to_wake(sim, &wake_us);
  if (node == NULL && at_us > until_us)
    return FALSE;
  gint64 now_us = node != NULL ? wake_us : at_us;
  sim->same_time_steps = now_us == sim->now_us ? sim->same_time_steps + 1 : 0;
  sim->steps++;
  if (sim->same_time_steps > SAME_TIME_STEPS_MAX)
    sim_fail(sim, "P9", "time stands still");
  sim->now_us = now_us;
  if (node != NULL) {
    node_turn_log_thread(node);
    after(sim, node);
  } else {
    run_event(sim);
  }
  return TRUE;
}

void sim_run_for(Sim *sim, gint64 us)
{
  gint64 until_us = sim->now_us + us;
  while (step(sim, until_us))
    continue;
  sim->now_us = until_us;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static gboolean is_settled(const SimNode *node)
{
  return !node->log_busy && !node->applying && node->applies.length == 0 && node->writes->len == 0;
}

/* Whether a running node has as much of a log as any other has, durable and applied. */
static gboolean log_is_equal(Sim *sim, LogId log)
{
  guint64 most = 0;
  for (guint i = 1; i <= sim->config.nodes; i++)
    if (node_is_up(&sim->nodes[i])) {
      Wal *wal = log_set_find(sim->nodes[i].logs, log);
      most = MAX(most, node_applied(&sim->nodes[i], log));
      most = wal != NULL ? MAX(most, wal_last_index(wal)) : most;
    }
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *node = &sim->nodes[i];
    if (node_is_up(node) && !check_is_level(node, log, most))
      return FALSE;
  }
  return TRUE;
}

gboolean sim_is_equal(Sim *sim)
{
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *node = &sim->nodes[i];
    if (!node->gone && (!node_is_up(node) || !is_settled(node)))
      return FALSE;
  }
  GPtrArray *logs = truth_logs(sim->truth);
  for (guint i = 0; i < logs->len; i++)
    if (!log_is_equal(sim, ((TrueLog *)logs->pdata[i])->log))
      return FALSE;
  return TRUE;
}

void sim_run_until_equal(Sim *sim, gint64 limit_us)
{
  gboolean handed_on = sim->config.lost_node != 0 || sim->config.cut_for_good[0] != 0;
  gint64 until_us = sim->now_us + limit_us;
  while (!sim_is_equal(sim)) {
    if (sim->now_us >= until_us)
      sim_fail(sim, handed_on ? "P6" : "P3",
               "the nodes are not equal %.1f s after all links healed", (double)limit_us / 1e6);
    sim_run_for(sim, LOOK_EVERY_US);
  }
}

/* No more faults: what is broken is restarted, as an operator does. */
static void heal(Sim *sim)
{
  sim_trace(sim, "-- no more faults --");
  sim->calm = TRUE;
  faults_heal(sim);
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    if (node->gone)
      continue;
    if (node_is_up(node) && (node_needs_restart(node) || disk_is_stopped(node->disk)))
      node_crash(node, DIE_KILLED, 1000);
  }
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    if (!node->gone && !node_is_up(node) && !node_start(node))
      sim_fail(sim, "P8", "node %u does not start on a disk that works", i);
  }
}

void sim_run(Sim *sim)
{
  const SimConfig *config = &sim->config;
  for (guint i = 1; i <= config->nodes; i++)
    node_plan_start(&sim->nodes[i], sim_random(sim, 20000));
  clients_start(sim);
  faults_start(sim);
  sim_run_for(sim, config->duration_us);
  heal(sim);
  check_survivors_hold(sim);
  sim->healed_us = sim->now_us;
  sim_run_until_equal(sim, SETTLE_LIMIT_US);
  check_healed(sim, sim->now_us - sim->healed_us);
  check_converged(sim);
  check_handed_on(sim);
  check_acks_survived(sim);
}

/* --- the cluster --------------------------------------------------------------------------------
 */

Sim *sim_new(const SimConfig *config, FILE *trace)
{
  Sim *sim = g_new0(Sim, 1);
  sim->config = *config;
  sim->trace = trace;
  sim->rand = g_rand_new_with_seed_array(
      (guint32[]){(guint32)config->seed, (guint32)(config->seed >> 32), 0x51}, 3);
  sim->now_us = G_USEC_PER_SEC;
  sim->events = g_ptr_array_new();
  sim->truth = truth_new();
  sim->acks = g_array_new(FALSE, FALSE, sizeof(SimAck));
  sim->held = g_array_new(FALSE, FALSE, sizeof(Claim));
  for (guint32 i = 1; i <= config->nodes; i++)
    node_init(sim, i);
  return sim;
}

void sim_free(Sim *sim)
{
  for (guint i = 1; i <= sim->config.nodes; i++)
    node_clear(&sim->nodes[i]);
  for (guint i = 0; i < sim->events->len; i++)
    event_free(sim->events->pdata[i]);
  g_ptr_array_unref(sim->events);
  g_array_unref(sim->acks);
  g_array_unref(sim->held);
  truth_free(sim->truth);
  g_rand_free(sim->rand);
  g_free(sim);
}
