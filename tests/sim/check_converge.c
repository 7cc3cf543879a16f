/* P3: what one has reaches all, and then all hold the same data. */
#include "sim/check.h"

#include <string.h>

/* Nobody can hand on what the node lacks, since a disk was damaged: it says so, and sees whose
 * store it would get. There are no snapshots here. */
static gboolean is_out_of_reach(const SimNode *node)
{
  return node->sim->media_damage && node_is_up(node) && group_needs_seed(node->group) &&
         group_seeder(node->group, 0, NULL) != 0;
}

/* The node says of this very log that a snapshot is needed. */
static gboolean asks_for_snapshot(const SimNode *node, LogId log)
{
  gboolean asks = FALSE;
  NodeStatus *status = node_status_new();
  group_status(node->group, status, node->sim->now_us);
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *one = &g_array_index(status->logs, LogStatus, i);
    if (log_id_equal(one->progress.log, log) && strcmp(one->state, "stopped") == 0)
      asks = one->message != NULL && strstr(one->message, "a snapshot is needed") != NULL;
  }
  node_status_free(status);
  return asks;
}

static gboolean keeps(const SimNode *node, LogId log, guint64 index)
{
  Wal *wal = log_set_find(node->logs, log);
  return wal != NULL && wal_first_index(wal) <= index && index <= wal_last_index(wal);
}

/* Whether `node` lacks something of any log that the store of `other` has, and asks for it. */
static gboolean lacks_some_of(const SimNode *node, const SimNode *other)
{
  GPtrArray *logs = truth_logs(node->sim->truth);
  for (guint i = 0; i < logs->len; i++) {
    LogId log = ((TrueLog *)logs->pdata[i])->log;
    if (node_applied(node, log) < node_applied(other, log) && asks_for_snapshot(node, log))
      return TRUE;
  }
  return FALSE;
}

/*
 * The node lacks the end of the log, and so has to be without it: no log anywhere keeps what comes
 * next, and each node whose store has it asks itself for a snapshot with what this node alone of
 * the two has, so that the store of neither can replace the other's. One of the two is the node
 * with the bad disk. The node says of the log that it needs a snapshot.
 */
static gboolean is_torn_apart(const SimNode *node, LogId log)
{
  const Sim *sim = node->sim;
  guint64 applied = node_applied(node, log);
  if (!sim->media_damage || !node_is_up(node) || !asks_for_snapshot(node, log))
    return FALSE;
  guint have = 0;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *other = &sim->nodes[i];
    if (!node_is_up(other))
      continue;
    if (keeps(other, log, applied + 1))
      return FALSE;
    if (node_applied(other, log) <= applied)
      continue;
    if ((!node->damaged && !other->damaged) || !lacks_some_of(other, node))
      return FALSE;
    have++;
  }
  return have > 0;
}

gboolean check_is_excused(const SimNode *node, LogId log)
{
  return is_out_of_reach(node) || is_torn_apart(node, log);
}

gboolean check_is_level(const SimNode *node, LogId log, guint64 most)
{
  guint64 applied = node_applied(node, log);
  if (applied == most && (most == 0 || node_kept(node, log) >= most))
    return TRUE;
  return check_is_excused(node, log);
}

typedef struct Applied {
  guint64 order;
  LogId log;
  guint64 index;
} Applied;

static int compare_order(gconstpointer a, gconstpointer b)
{
  const Applied *x = a, *y = b;
  return x->order < y->order ? -1 : x->order > y->order;
}

/* How much of the log all running nodes have. */
static guint64 common(const Sim *sim, LogId log)
{
  guint64 least = G_MAXUINT64;
  for (guint i = 1; i <= sim->config.nodes; i++)
    if (node_is_up(&sim->nodes[i]))
      least = MIN(least, node_applied(&sim->nodes[i], log));
  return least;
}

/* The node's entries, or those that all have, in the order in which it applied them. */
static GArray *history(const SimNode *node, gboolean of_all)
{
  GArray *all = g_array_new(FALSE, FALSE, sizeof(Applied));
  for (guint i = 0; i < node->stored->len; i++) {
    const StoredLog *stored = node->stored->pdata[i];
    guint64 count = of_all ? common(node->sim, stored->log) : stored->entries->len;
    for (guint k = 0; k < count; k++) {
      Applied one = {g_array_index(stored->entries, StoredEntry, k).order, stored->log, k + 1};
      g_array_append_val(all, one);
    }
  }
  g_array_sort(all, compare_order);
  return all;
}

static StateDigest digest_of(SimNode *node, gboolean of_all)
{
  StoreOptions options = {.partition_interval = 1000};
  g_autoptr(Store) store = store_mem_new(&options);
  g_autoptr(GArray) all = history(node, of_all);
  for (guint i = 0; i < all->len; i++) {
    const Applied *one = &g_array_index(all, Applied, i);
    const TrueEntry *entry = truth_entry(node->sim->truth, one->log, one->index);
    gsize size;
    const guint8 *data = g_bytes_get_data(entry->data, &size);
    g_autoptr(Decoded) decoded = store_decode(data, size, 1000, NULL);
    StoreEntry applied = {one->log, one->index, entry->hlc, decoded};
    store_apply(store, &applied, 1, NULL);
  }
  StateDigest digest;
  g_autoptr(GArray) progress = NULL;
  store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, NULL);
  return digest;
}

static gboolean has_all(const SimNode *node)
{
  GPtrArray *logs = truth_logs(node->sim->truth);
  for (guint i = 0; i < logs->len; i++) {
    LogId log = ((TrueLog *)logs->pdata[i])->log;
    for (guint k = 1; k <= node->sim->config.nodes; k++) {
      const SimNode *other = &node->sim->nodes[k];
      if (node_is_up(other) && node_applied(node, log) < node_applied(other, log))
        return FALSE;
    }
  }
  return TRUE;
}

/* `of_all`: all nodes, in what all of them have; else those that have all, in everything. */
static void compare_data(Sim *sim, gboolean of_all)
{
  StateDigest first = {0};
  guint compared = 0;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    if (!node_is_up(&sim->nodes[i]) || (!of_all && !has_all(&sim->nodes[i])))
      continue;
    StateDigest digest = digest_of(&sim->nodes[i], of_all);
    if (compared++ == 0)
      first = digest;
    if (memcmp(&digest, &first, sizeof digest) != 0)
      sim_fail(sim, "P3", "node %u has other data than the nodes before it", i);
  }
}

void check_converged(Sim *sim)
{
  gboolean some_lack = FALSE;
  for (guint i = 1; i <= sim->config.nodes; i++)
    some_lack |= node_is_up(&sim->nodes[i]) && !has_all(&sim->nodes[i]);
  compare_data(sim, FALSE);
  if (some_lack)
    compare_data(sim, TRUE);
}

void check_clocks(SimNode *node, const Progress *told)
{
  if (told->horizon < node->horizon)
    sim_fail(node->sim, "P3", "the horizon of node %u goes back", node->id);
  if (node->sim->clock_lost)
    return;
  node->horizon = told->horizon;
  node->told_horizon = MAX(node->told_horizon, told->horizon);
  node->promised = MAX(node->promised, told->promised_hlc);
}

void check_stamp(const SimNode *origin, LogId log, guint64 index, guint64 hlc)
{
  Sim *sim = origin->sim;
  if (sim->clock_lost)
    return;
  if (hlc <= origin->promised)
    sim_fail(sim, "P3", "node %u stamps %s/%lu with %lu, it had promised to stay above %lu",
             origin->id, sim_log_name(log), (gulong)index, (gulong)hlc, (gulong)origin->promised);
  for (guint i = 1; i <= sim->config.nodes; i++)
    if (hlc <= sim->nodes[i].told_horizon)
      sim_fail(sim, "P3", "node %u stamps %s/%lu with %lu, the horizon of node %u was %lu",
               origin->id, sim_log_name(log), (gulong)index, (gulong)hlc, i,
               (gulong)sim->nodes[i].told_horizon);
}
