/* What the replica tells of itself, and what it watches for that once a second. */
#include "node/replica_private.h"

#include <string.h>

enum {
  /* A peer that answers but confirms nothing for so long, although entries wait, is stalled. */
  STALLED_MS = 10000,
};

static const LogStatus *own_log(const NodeStatus *status)
{
  for (guint i = 0; i < status->logs->len; i++)
    if (g_array_index(status->logs, LogStatus, i).own)
      return &g_array_index(status->logs, LogStatus, i);
  g_assert_not_reached();
}

/* What the peer has durably of this node's log, as it said last. */
static guint64 confirmed_by(const PeerStatus *peer, const LogStatus *own)
{
  const LogProgress *theirs =
      peer->progress != NULL ? progress_find(peer->progress, own->progress.log) : NULL;
  return theirs != NULL ? theirs->durable : 0;
}

/* Caller holds `mutex`. */
static PeerWatch *watch_of(Replica *replica, guint32 peer)
{
  for (guint i = 0; i < replica->watches->len; i++) {
    PeerWatch *watch = &g_array_index(replica->watches, PeerWatch, i);
    if (watch->peer == peer)
      return watch;
  }
  PeerWatch fresh = {.peer = peer};
  g_array_append_val(replica->watches, fresh);
  return &g_array_index(replica->watches, PeerWatch, replica->watches->len - 1);
}

static gboolean is_connected(const PeerStatus *peer)
{
  return strcmp(peer->state, "connected") == 0;
}

/* It answers. One that was away for long has confirmed nothing all that time, and no fault of it
 * now. */
static gboolean is_stalled(const PeerStatus *peer, const PeerWatch *watch, gint64 now_us)
{
  return is_connected(peer) && peer->stuck_ms >= STALLED_MS && peer->silent_ms < STALLED_MS / 2 &&
         now_us - watch->closed_us >= STALLED_MS * (gint64)1000;
}

/* Caller holds `mutex`. */
static void add_lags(Replica *replica, NodeStatus *status, gint64 now_us)
{
  const LogStatus *own = own_log(status);
  for (guint i = 0; i < status->peers->len; i++) {
    PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    const PeerWatch *watch = watch_of(replica, peer->node_id);
    const LagWatch *lag = &watch->lag;
    guint64 confirmed = confirmed_by(peer, own);
    if (confirmed >= own->progress.durable)
      continue;
    peer->lag_entries = own->progress.durable - confirmed;
    peer->lag_ms = lag_watch_lag_us(lag, now_us) / 1000;
    peer->stuck_ms = lag_watch_stuck_us(lag, now_us) / 1000;
    if (!is_stalled(peer, watch, now_us))
      continue;
    peer->state = "stalled";
    if (peer->message == NULL)
      peer->message = g_strdup_printf("it answers, but has confirmed nothing for %" G_GINT64_FORMAT
                                      " s while %" G_GUINT64_FORMAT " entries wait",
                                      peer->stuck_ms / 1000, peer->lag_entries);
  }
}

void replica_watch(Replica *replica)
{
  g_autoptr(NodeStatus) status = node_status_new();
  gint64 now_us = clock_mono_us(replica->clock);
  replica_lock(replica);
  group_status(replica->group, status, now_us);
  if (replica->throttled != NULL && replica->watched_us != 0)
    replica->throttled_us += now_us - replica->watched_us;
  replica->watched_us = now_us;
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    const LogStatus *own = own_log(status);
    PeerWatch *watch = watch_of(replica, peer->node_id);
    lag_watch_update(&watch->lag, own->progress.durable, confirmed_by(peer, own), now_us);
    if (!is_connected(peer))
      watch->closed_us = now_us;
  }
  add_lags(replica, status, now_us);
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    PeerWatch *watch = watch_of(replica, peer->node_id);
    gboolean stalled = strcmp(peer->state, "stalled") == 0;
    if (stalled && !watch->stalled)
      g_warning("peer %u is stalled: %s", peer->node_id, peer->message);
    else if (!stalled && watch->stalled)
      g_message("peer %u is not stalled any more", peer->node_id);
    watch->stalled = stalled;
  }
  replica_unlock(replica);
}

/* --- the status ---------------------------------------------------------------------------------
 */

/* Those of the log, NULL when there are none. */
static GArray *skipped_of(const GArray *all, LogId log)
{
  GArray *indices = NULL;
  for (guint i = 0; i < all->len; i++) {
    const Token *entry = &g_array_index(all, Token, i);
    if (!log_id_equal(entry->log, log))
      continue;
    if (indices == NULL)
      indices = g_array_new(FALSE, FALSE, sizeof(guint64));
    g_array_append_val(indices, entry->index);
  }
  return indices;
}

static void add_wal(Replica *replica, NodeStatus *status)
{
  g_autoptr(GArray) skipped = identity_skipped(replica->identity);
  for (guint i = 0; i < status->logs->len; i++) {
    LogStatus *log = &g_array_index(status->logs, LogStatus, i);
    log->skipped = skipped_of(skipped, log->progress.log);
    Wal *wal = log_set_find(replica->logs, log->progress.log);
    if (wal == NULL)
      continue;
    WalStats stats;
    wal_stats(wal, &stats);
    log->wal_bytes = stats.bytes;
    log->wal_segments = stats.segments;
    guint64 entries =
        log->progress.durable + 1 - MIN(log->progress.first_available, log->progress.durable + 1);
    if (!log->own || entries == 0)
      continue;
    for (guint k = 0; k < status->peers->len; k++) {
      PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      peer->lag_bytes =
          (guint64)((double)peer->lag_entries * (double)stats.bytes / (double)entries);
    }
  }
}

static void add_store(Replica *replica, NodeStatus *status)
{
  StoreStats stats = {0};
  g_rw_lock_reader_lock(&replica->store_lock);
  if (replica->store != NULL)
    store_stats(replica->store, &stats);
  g_rw_lock_reader_unlock(&replica->store_lock);
  status->store_bytes = stats.bytes_on_disk;
  status->raw_blocks = stats.raw_blocks;
  status->damaged_buckets = stats.damaged_buckets;
  status->chunks = stats.chunks.chunks;
  status->chunk_cells = stats.chunks.cells;
  status->chunk_bytes = stats.chunks.bytes;
  status->conflicts = stats.conflicts;
  status->tombstones = stats.tombstones;
  named_count_add(status->memory, "memtable", stats.unpersisted_bytes);
  named_count_add(status->memory, "block_cache", stats.cache_bytes);
}

NodeStatus *replica_status(Replica *replica)
{
  NodeStatus *status = node_status_new();
  status->group = replica->options.group.group;
  gint64 now_us = clock_mono_us(replica->clock);
  replica_lock(replica);
  group_horizon(replica->group); /* the newest is told */
  group_status(replica->group, status, now_us);
  replica_fill_addresses(replica, status);
  replica_seed_status(replica, status);
  if (status->message == NULL && replica->slowed > 0)
    status->message = g_strdup("writes are slowed: the WAL or the disk fills up");
  add_lags(replica, status, now_us);
  status->throttled = replica->throttled != NULL;
  status->throttled_ms = replica->throttled_us / 1000;
  status->slowed_permille = replica->slowed;
  replica_unlock(replica);
  status->version = g_strdup(SYNCLOG_VERSION);
  status->uptime_ms = (now_us - replica->started_us) / 1000;
  status->buckets_mended = (guint64)g_atomic_int_get(&replica->buckets_mended);
  add_wal(replica, status);
  add_store(replica, status);
  for (guint i = 0; i < STEPS; i++) {
    StepStatus step = {.name = step_name(i)};
    latency_view(&replica->steps.step[i], &step.times);
    g_array_append_val(status->steps, step);
  }
  return status;
}

gboolean replica_pause_peer(Replica *replica, guint32 node, gboolean paused, GError **error)
{
  replica_lock(replica);
  gboolean done = group_pause(replica->group, node, paused, clock_mono_us(replica->clock), error);
  replica_unlock(replica);
  return done;
}
