/* P3: what one has reaches all, and then all hold the same data. */
#include "sim/check.h"

#include <string.h>

/* Nobody can hand on what the node lacks, since a disk was damaged: it says so, and sees whose
 * store it would get. There are no snapshots here. */
gboolean check_is_out_of_reach(const SimNode *node)
{
  return node->sim->media_damage && node_is_up(node) && group_needs_seed(node->group) &&
         group_seeder(node->group, 0, NULL) != 0;
}

gboolean check_is_level(const SimNode *node, LogId log, guint64 most)
{
  guint64 applied = node_applied(node, log);
  if (applied == most && (most == 0 || node_kept(node, log) >= most))
    return TRUE;
  return check_is_out_of_reach(node);
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

/* The node's entries, in the order in which it applied them. */
static GArray *history(const SimNode *node)
{
  GArray *all = g_array_new(FALSE, FALSE, sizeof(Applied));
  for (guint i = 0; i < node->stored->len; i++) {
    const StoredLog *stored = node->stored->pdata[i];
    for (guint k = 0; k < stored->entries->len; k++) {
      Applied one = {g_array_index(stored->entries, StoredEntry, k).order, stored->log, k + 1};
      g_array_append_val(all, one);
    }
  }
  g_array_sort(all, compare_order);
  return all;
}

static StateDigest digest_of(SimNode *node)
{
  StoreOptions options = {.partition_interval = 1000};
  g_autoptr(Store) store = store_mem_new(&options);
  g_autoptr(GArray) all = history(node);
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

void check_converged(Sim *sim)
{
  StateDigest first = {0};
  guint compared = 0;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    if (!node_is_up(&sim->nodes[i]) || check_is_out_of_reach(&sim->nodes[i]))
      continue;
    StateDigest digest = digest_of(&sim->nodes[i]);
    if (compared++ == 0)
      first = digest;
    if (memcmp(&digest, &first, sizeof digest) != 0)
      sim_fail(sim, "P3", "node %u has other data than the nodes before it", i);
  }
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
