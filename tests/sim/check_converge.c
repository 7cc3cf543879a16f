/* P3: what one has reaches all, and then all hold the same data. */
#include "sim/check.h"

#include <string.h>

/* Whether anybody could still give the node the next entry of a log. */
static gboolean can_be_had(const SimNode *node, LogId log)
{
  Wal *own = log_set_find(node->logs, log);
  guint64 next = (own != NULL ? wal_last_index(own) : 0) + 1;
  for (guint i = 1; i <= node->sim->config.nodes; i++) {
    const SimNode *other = &node->sim->nodes[i];
    gboolean there = node_is_up(other) && !node->sim->cut[i][node->id];
    Wal *wal = there ? log_set_find(other->logs, log) : NULL;
    if (wal != NULL && wal_first_index(wal) <= next && wal_last_index(wal) >= next)
      return TRUE;
  }
  return FALSE;
}

gboolean check_is_out_of_reach(const SimNode *node, LogId log)
{
  return node->damaged && !can_be_had(node, log);
}

gboolean check_is_level(const SimNode *node, LogId log, guint64 most)
{
  guint64 applied = node_applied(node, log);
  if (applied == most && (most == 0 || node_kept(node, log) >= most))
    return TRUE;
  /* A disk that was damaged may have kept more in its store than it can hand on, and may lack what
   * all others have deleted since it had told that it has it. */
  return (node->damaged && applied > most) || check_is_out_of_reach(node, log);
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

/* *out_entries tells sets of entries apart. */
static StateDigest digest_of(SimNode *node, guint64 *out_entries)
{
  StoreOptions options = {.partition_interval = 1000};
  g_autoptr(Store) store = store_mem_new(&options);
  g_autoptr(GArray) all = history(node);
  *out_entries = all->len;
  for (guint i = 0; i < node->stored->len; i++) {
    const StoredLog *stored = node->stored->pdata[i];
    guint64 where = stored->log.origin * G_GUINT64_CONSTANT(1000003) + stored->log.incarnation;
    *out_entries += where * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) * stored->entries->len;
  }
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
  guint64 first_entries = 0, entries;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    if (!node_is_up(&sim->nodes[i]) || sim->nodes[i].damaged)
      continue;
    StateDigest digest = digest_of(&sim->nodes[i], &entries);
    if (compared++ == 0) {
      first = digest;
      first_entries = entries;
    }
    if (sim->media_damage && entries != first_entries)
      continue; /* something is out of reach, see sim.c */
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
