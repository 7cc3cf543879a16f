/* What goes wrong, and when. */
#include "sim/check.h"

enum { OPERATOR_US = 500 * 1000, FORGET_AGAIN_US = 200 * 1000 };

const char *fault_name(FaultKind kind)
{
  static const char *const names[FAULT_KINDS] = {
      "kill",        "power",     "power-io",   "power-all", "partition", "cut",      "cut-one-way",
      "reset",       "slow-link", "lossy",      "eio-write", "eio-sync",  "eio-read", "no-space",
      "short-calls", "slow-disk", "slow-store", "clock",     "flip",      "wipe",     "restore"};
  return names[kind];
}

static SimNode *any_node(Sim *sim)
{
  return &sim->nodes[1 + sim_random(sim, sim->config.nodes)];
}

static guint other_node(Sim *sim, guint node)
{
  guint other = 1 + sim_random(sim, sim->config.nodes - 1);
  return other >= node ? other + 1 : other;
}

/* How long a fault lasts. */
static gint64 a_while_us(Sim *sim)
{
  return sim_around_us(sim, MIN(sim->config.fault_every_us * 2, sim->config.duration_us / 3));
}

/* --- the network --------------------------------------------------------------------------------
 */

static void on_links_heal(Sim *sim, Event *event)
{
  (void)event;
  if (!sim->calm)
    network_heal(sim);
}

static void heal_links_later(Sim *sim)
{
  sim_add_event(sim, a_while_us(sim), (Event){.run = on_links_heal});
}

static void cut(Sim *sim, guint from, guint to, gboolean reset)
{
  sim->cut[from][to] = TRUE;
  if (reset && node_is_up(&sim->nodes[from]))
    network_reset(&sim->nodes[from], to);
}

static void partition(Sim *sim)
{
  guint set = sim_random(sim, 1 << sim->config.nodes);
  gboolean reset = sim_percent(sim, 50);
  for (guint a = 1; a <= sim->config.nodes; a++)
    for (guint b = 1; b <= sim->config.nodes; b++)
      if ((set >> (a - 1) & 1) != (set >> (b - 1) & 1))
        cut(sim, a, b, reset);
  heal_links_later(sim);
}

static void break_link(Sim *sim, FaultKind kind)
{
  guint from = 1 + sim_random(sim, sim->config.nodes), to = other_node(sim, from);
  sim_trace(sim, "   between n%u and n%u", from, to);
  switch (kind) {
  case FAULT_CUT:
    cut(sim, to, from, sim_percent(sim, 50));
    cut(sim, from, to, sim_percent(sim, 50));
    break;
  case FAULT_CUT_ONE_WAY:
    cut(sim, from, to, FALSE);
    break;
  case FAULT_RESET:
    if (node_is_up(&sim->nodes[from]))
      network_reset(&sim->nodes[from], to);
    return;
  default:
    sim->extra_delay_us[from][to] = 1000 + sim_random(sim, 200 * 1000);
    break;
  }
  heal_links_later(sim);
}

/* --- disks and stores ---------------------------------------------------------------------------
 */

static void on_disk_heals(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  disk_heal(node->disk);
  node->disk_us = sim->config.disk_us;
  node->apply_us = sim->config.apply_us;
}

static void trouble_disk(Sim *sim, FaultKind kind)
{
  SimNode *node = any_node(sim);
  sim_trace(sim, "   at n%u", node->id);
  switch (kind) {
  case FAULT_EIO_WRITE:
    disk_fail(node->disk, DISK_FAIL_WRITE, sim_random(sim, 8));
    return;
  case FAULT_EIO_SYNC:
    disk_fail(node->disk, DISK_FAIL_SYNC, sim_random(sim, 4));
    return;
  case FAULT_EIO_READ:
    disk_fail(node->disk, DISK_FAIL_READ, sim_random(sim, 8));
    return;
  case FAULT_NO_SPACE:
    disk_set_full(node->disk, TRUE);
    break;
  case FAULT_SHORT_CALLS:
    disk_set_short_calls(node->disk, TRUE);
    break;
  case FAULT_SLOW_DISK:
    node->disk_us = sim->config.disk_us * 30;
    break;
  default:
    node->apply_us = sim->config.apply_us * 200;
    break;
  }
  sim_add_event(sim, a_while_us(sim), (Event){.run = on_disk_heals, .node = node->id});
}

/* A disk is damaged while its node is down. */
static void damage_disk(Sim *sim, FaultKind kind)
{
  SimNode *node = &sim->nodes[sim->config.bad_disk];
  if (kind == FAULT_RESTORE && !disk_has_copy(node->disk))
    return;
  if (node_is_up(node))
    node_crash(node, DIE_KILLED, sim->config.down_us);
  check_disk_lost(node);
  g_autofree char *where = NULL;
  if (kind == FAULT_FLIP && !disk_flip(node->disk, node->id, sim->rand, &where))
    return;
  node->damaged = sim->media_damage = TRUE;
  sim_trace(sim, "   disk of n%u %s", node->id, where != NULL ? where : "");
  if (sim_percent(sim, 50)) /* and the start that finds it stops somewhere */
    disk_stop_after(node->disk, sim_random(sim, 30U << sim_random(sim, 4)));
  sim->clock_lost |= kind != FAULT_FLIP;
  if (kind == FAULT_WIPE) {
    disk_wipe(node->disk);
    sim_store_wipe(node);
  } else if (kind == FAULT_RESTORE) {
    disk_restore_copy(node->disk);
    sim_store_restore_copy(node);
    sim_store_keep_copy(node);
  }
}

/* --- nodes --------------------------------------------------------------------------------------
 */

static void crash_all(Sim *sim)
{
  for (guint i = 1; i <= sim->config.nodes; i++)
    if (node_is_up(&sim->nodes[i]))
      node_crash(&sim->nodes[i], DIE_POWER, sim->config.down_us);
}

static void crash_one(Sim *sim, FaultKind kind)
{
  SimNode *node = any_node(sim);
  if (kind == FAULT_POWER_IO)
    disk_stop_after(node->disk, sim_random(sim, 40)); /* it may also hit the next start */
  else if (node_is_up(node))
    node_crash(node, kind == FAULT_POWER ? DIE_POWER : DIE_KILLED, sim->config.down_us);
}

static void set_clock(Sim *sim)
{
  SimNode *node = any_node(sim);
  gint32 most = (gint32)sim->config.clock_jump_ms;
  node->wall_offset_ms = g_rand_int_range(sim->rand, -most, most + 1);
  sim_trace(sim, "   the clock of n%u is off by %ld ms", node->id, (glong)node->wall_offset_ms);
}

static void inject(Sim *sim, FaultKind kind)
{
  sim->faults[kind]++;
  sim_trace(sim, "-- fault: %s", fault_name(kind));
  switch (kind) {
  case FAULT_KILL:
  case FAULT_POWER:
  case FAULT_POWER_IO:
    crash_one(sim, kind);
    break;
  case FAULT_POWER_ALL:
    crash_all(sim);
    break;
  case FAULT_PARTITION:
    partition(sim);
    break;
  case FAULT_CUT:
  case FAULT_CUT_ONE_WAY:
  case FAULT_RESET:
  case FAULT_SLOW_LINK:
    break_link(sim, kind);
    break;
  case FAULT_LOSSY:
    sim->lossy = TRUE;
    heal_links_later(sim);
    break;
  case FAULT_CLOCK:
    set_clock(sim);
    break;
  case FAULT_FLIP:
  case FAULT_WIPE:
  case FAULT_RESTORE:
    damage_disk(sim, kind);
    break;
  default:
    trouble_disk(sim, kind);
    break;
  }
}

static void on_fault(Sim *sim, Event *event)
{
  (void)event;
  if (sim->calm)
    return;
  guint sum = 0;
  for (guint i = 0; i < FAULT_KINDS; i++)
    sum += sim->config.weight[i];
  guint at = sum > 0 ? sim_random(sim, sum) : 0;
  for (guint i = 0; i < FAULT_KINDS && sum > 0; i++) {
    if (at < sim->config.weight[i]) {
      inject(sim, (FaultKind)i);
      break;
    }
    at -= sim->config.weight[i];
  }
  sim_add_event(sim, sim_around_us(sim, sim->config.fault_every_us), (Event){.run = on_fault});
}

/* A log that is read-only stays so until its node is restarted: somebody does it now and then. */
static void on_operator(Sim *sim, Event *event)
{
  (void)event;
  SimNode *chosen = any_node(sim);
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    if ((sim->calm || node == chosen) && node_is_up(node) && node_needs_restart(node))
      node_crash(node, DIE_KILLED, sim->calm ? 1000 : sim->config.down_us);
  }
  sim_add_event(sim, OPERATOR_US, (Event){.run = on_operator});
}

void faults_start(Sim *sim)
{
  if (sim->config.fault_every_us == 0)
    return;
  /* What a node does for the first time deserves it most. */
  if (sim->config.weight[FAULT_POWER_IO] > 0)
    for (guint i = 1; i <= sim->config.nodes; i++)
      disk_stop_after(sim->nodes[i].disk, sim_random(sim, 150));
  sim_add_event(sim, sim_around_us(sim, sim->config.fault_every_us), (Event){.run = on_fault});
  sim_add_event(sim, OPERATOR_US, (Event){.run = on_operator});
}

/* Until one of the others takes it: the lost node must have been silent for a while. */
static void on_forget(Sim *sim, Event *event)
{
  gboolean done = FALSE;
  for (guint i = 1; i <= sim->config.nodes && !done; i++)
    if (node_is_up(&sim->nodes[i]))
      done = group_forget(sim->nodes[i].group, sim->config.lost_node, sim->now_us, NULL);
  if (!done)
    sim_add_event(sim, FORGET_AGAIN_US, (Event){.run = on_forget});
  (void)event;
}

void faults_heal(Sim *sim)
{
  network_heal(sim);
  for (guint i = 1; i <= sim->config.nodes; i++) {
    SimNode *node = &sim->nodes[i];
    disk_heal(node->disk);
    node->disk_us = sim->config.disk_us;
    node->apply_us = sim->config.apply_us;
    node->wall_offset_ms = 0;
  }
  guint lost = sim->config.lost_node;
  if (lost == 0)
    return;
  SimNode *node = &sim->nodes[lost];
  node->gone = TRUE;
  if (node_is_up(node))
    node_crash(node, DIE_POWER, sim->config.down_us);
  check_disk_lost(node);
  if (sim->config.forget_lost)
    sim_add_event(sim, FORGET_AGAIN_US, (Event){.run = on_forget});
}
