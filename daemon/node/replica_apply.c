/* The apply thread: it alone writes to the store. */
#include "base/failpoint.h"
#include "node/recovery.h"
#include "node/replica_private.h"

#include <errno.h>
#include <sys/statvfs.h>

enum {
  APPLY_ENTRIES = 8192,            /* per store batch */
  FULL_DISK_RETRY_US = 500 * 1000, /* between tries while the disk is full */
  MAINTAIN_BYTES = 4 << 20,        /* of blocks per step of maintenance */
  CHUNK_MEMTABLE_SHARE = 8,        /* of the memtable, after which chunks are written out */
  REBLOCK_BLOCKS = 64,             /* of a partition that are worth being made chunks */
  CONFLICT_BYTES = 256 << 10,      /* of blocks per step of looking for conflicts */
  PERSIST_WAIT_US = 5 * G_USEC_PER_SEC,
  SPARE_ROOM = 8 << 20, /* bytes of disk that persisting leaves free */
  /* With a full disk so many memtables are filled before applying waits. */
  MAX_MEMTABLES = 8,
};

/* Of a digest, which may take minutes: nobody waits for it who ends the replica, or takes the store
 * away to open it again. */
static gboolean may_go_on(gpointer data)
{
  Replica *replica = data;
  return !replica_is_ending(replica) && !g_atomic_int_get(&replica->store_leaves);
}

StoreOptions replica_store_options(Replica *replica, char **out_directory)
{
  *out_directory = g_build_filename(replica->options.directory, "store", NULL);
  return (StoreOptions){.directory = *out_directory,
                        .partition_interval = replica->options.partition_interval,
                        .memtable_size = replica->options.memtable_size,
                        .block_cache_size = replica->options.block_cache_size,
                        .max_open_files = replica->options.store_files,
                        .journal_size = replica->options.conflict_journal_size,
                        .reblock_blocks =
                            replica->options.compact_after_ms > 0 ? REBLOCK_BLOCKS : 0,
                        .reblock_delay_ms = (guint64)replica->options.compact_after_ms,
                        .digest_step = may_go_on,
                        .digest_ctx = replica};
}

gboolean replica_has_room(Replica *replica, guint64 bytes, GError **error)
{
  struct statvfs disk;
  if (statvfs(replica->options.directory, &disk) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", replica->options.directory);
  guint64 room = (guint64)disk.f_bavail * disk.f_frsize;
  guint64 needed = bytes * 2 + SPARE_ROOM;
  if (room >= needed)
    return TRUE;
  return fail_errno(error, SYNCLOG_NO_SPACE, ENOSPC,
                    "%s: the store needs %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
                    " are free",
                    replica->options.directory, needed, room);
}

/*
 * Waits for runs and takes as many as make one batch: none when it is only to persist. FALSE when
 * it is time to stop and none are left.
 */
static gboolean take_runs(Replica *replica, GPtrArray **out_runs)
{
  GPtrArray *runs = g_ptr_array_new_with_free_func((GDestroyNotify)entry_run_unref);
  guint entries = 0;
  g_mutex_lock(&replica->apply_mutex);
  while (g_queue_is_empty(&replica->apply_queue) && !replica->apply_stop &&
         !replica->persist_wanted && replica->maintain_horizon == 0 && replica->mend == NULL &&
         g_queue_is_empty(&replica->checkpoints)) {
    replica->apply_waiting = TRUE;
    g_cond_wait(&replica->apply_cond, &replica->apply_mutex);
    replica->apply_waiting = FALSE;
  }
  gboolean go_on = !g_queue_is_empty(&replica->apply_queue) || !replica->apply_stop;
  replica->persist_pressed = replica->persist_wanted;
  replica->persist_wanted = FALSE;
  while (!g_queue_is_empty(&replica->apply_queue) && entries < APPLY_ENTRIES) {
    EntryRun *run = g_queue_pop_head(&replica->apply_queue);
    entries += entry_run_count(run);
    g_ptr_array_add(runs, run);
  }
  g_mutex_unlock(&replica->apply_mutex);
  *out_runs = runs;
  return go_on;
}

/* Adds the entries of the runs with their decoded forms, which the caller frees. */
static gboolean collect(Replica *replica, GPtrArray *runs, GArray *entries, GError **error)
{
  for (guint i = 0; i < runs->len; i++) {
    EntryRun *run = runs->pdata[i];
    for (guint k = 0; k < entry_run_count(run); k++) {
      Record record = entry_run_record(run, k);
      Decoded *decoded = entry_run_take_decoded(run, k);
      if (decoded == NULL)
        decoded = recovery_decode(replica->identity, entry_run_log(run), &record,
                                  replica->options.partition_interval, error);
      if (decoded == NULL)
        return FALSE; /* it was decoded before it was taken: the process ends */
      StoreEntry entry = {entry_run_log(run), record.index, record.hlc, decoded};
      g_array_append_val(entries, entry);
    }
  }
  return TRUE;
}

static void free_decoded(GArray *entries)
{
  for (guint i = 0; i < entries->len; i++)
    store_decoded_free(g_array_index(entries, StoreEntry, i).decoded);
  g_array_unref(entries);
}

/* Applies again what the store lost of one log. */
static gboolean catch_up(Replica *replica, Store *store, const StoreProgress *was, GError **error)
{
  g_autoptr(GArray) now = store_progress(store, FALSE, error);
  if (now == NULL)
    return FALSE;
  guint64 applied = 0, hlc = 0;
  for (guint i = 0; i < now->len; i++)
    if (log_id_equal(g_array_index(now, StoreProgress, i).log, was->log))
      applied = g_array_index(now, StoreProgress, i).applied;
  if (applied >= was->applied)
    return TRUE;
  Wal *wal = log_set_find(replica->logs, was->log);
  if (wal == NULL)
    return fail(error, SYNCLOG_CORRUPT, "a log is missing");
  return recovery_replay(replica->identity, wal, store, replica->options.partition_interval,
                         applied + 1, was->applied, G_MAXUINT64, &applied, &hlc, error);
}

/* Puts another one in the place of the store; whoever asks while it is NULL is told to wait. */
static void exchange_store(Replica *replica, Store *store)
{
  g_atomic_int_set(&replica->store_leaves, TRUE);
  g_rw_lock_writer_lock(&replica->store_lock);
  Store *before = replica->store;
  replica->store = store;
  g_atomic_int_set(&replica->store_leaves, FALSE);
  g_rw_lock_writer_unlock(&replica->store_lock);
  g_clear_pointer(&before, store_close);
}

/*
 * After a full disk the store's database refuses everything until it is opened again. What it lost
 * since it was last durable comes from the logs, which may take long. Nobody is kept waiting for
 * that, and nobody sees a store that lacks what was seen before: until then there is none.
 */
static gboolean reopen_store(Replica *replica, const GArray *before, GError **error)
{
  g_autofree char *directory = NULL;
  StoreOptions options = replica_store_options(replica, &directory);
  exchange_store(replica, NULL);
  g_autoptr(Store) store = store_rocks_new(&options, error);
  if (store == NULL)
    return FALSE;
  for (guint i = 0; i < before->len; i++)
    if (!catch_up(replica, store, &g_array_index(before, StoreProgress, i), error))
      return FALSE;
  exchange_store(replica, g_steal_pointer(&store));
  return store_persist(replica->store, TRUE, error);
}

/* Waits a while; FALSE when the node stops. */
static gboolean pause_unless_stopping(Replica *replica, gint64 pause_us)
{
  gint64 until_us = g_get_monotonic_time() + pause_us;
  g_mutex_lock(&replica->apply_mutex);
  while (!replica->apply_stop &&
         g_cond_wait_until(&replica->apply_cond, &replica->apply_mutex, until_us))
    ;
  gboolean stopping = replica->apply_stop;
  g_mutex_unlock(&replica->apply_mutex);
  return !stopping;
}

static void set_store_full(Replica *replica, gboolean full)
{
  replica_lock(replica);
  if (replica->store_full != full) {
    replica->store_full = full;
    if (full)
      g_critical("the store's disk is full: writes are refused");
    else
      g_message("the store's disk has room again");
    replica_update_refusal(replica);
  }
  replica_unlock(replica);
}

static void set_store_stuck(Replica *replica, gboolean stuck)
{
  replica_lock(replica);
  group_set_store_stuck(replica->group, stuck);
  replica_unlock(replica);
}

static gboolean persist_now(Replica *replica, GError **error)
{
  FAILPOINT("persist_before_store");
  g_rw_lock_reader_lock(&replica->store_lock);
  gboolean persisted = store_persist(replica->store, FALSE, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  return persisted;
}

/* Why the logs can't be synced before a restart; NULL: they can. Caller holds `mutex`. */
static char *why_unsyncable(Replica *replica)
{
  if (replica->own_broken != NULL)
    return g_strdup(replica->own_broken);
  return group_why_unsyncable(replica->group);
}

/*
 * Before the store writes to disk, all logs are synced: a log is never shorter than the store, or
 * the store would have what nobody can get from this node, and others may not have (P3, P6).
 */
gboolean replica_sync_logs(Replica *replica)
{
  gint64 until_us = g_get_monotonic_time() + PERSIST_WAIT_US;
  replica_lock(replica);
  FAILPOINT("persist_before_sync");
  group_sync_mirrors(replica->group);
  /* With another wal_sync than group the own log is synced later than it is applied. */
  Wal *own = replica->options.wal_sync != WAL_SYNC_GROUP ? replica->own_wal : NULL;
  guint64 own_last = own != NULL ? wal_last_index(own) : 0;
  replica->own_sync_wanted |= own != NULL;
  gboolean synced;
  for (;;) {
    g_autofree char *why = why_unsyncable(replica);
    synced = group_mirrors_synced(replica->group) &&
             (own != replica->own_wal || wal_durable_index(own) >= own_last) && why == NULL;
    if (synced || why != NULL || replica->log_stop || !replica_wait_progress(replica, until_us))
      break;
  }
  replica_unlock(replica);
  return synced;
}

/* What refuses writes until the store has been made durable: the logs, or the disk, have no room,
 * and nothing can be deleted before. NULL: nothing does. Caller holds `mutex`. */
static const char *what_waits_for_persisting(const Replica *replica)
{
  if (replica->store_full)
    return "the store's disk was full";
  return replica->throttled != NULL ? replica->throttled : replica->disk_low;
}

/*
 * The logs were not synced, so the store was not made durable: at the next batch, perhaps. If it
 * can't be before a restart, applying goes on as long as memory allows, and until writes are
 * refused for something that only persisting would end. Then the process ends: nothing else frees
 * that, and the next start takes from the logs what the disk really has.
 */
static gboolean go_on_unpersisted(Replica *replica, GError **error)
{
  replica_lock(replica);
  g_autofree char *why = why_unsyncable(replica);
  g_autofree char *refused = g_strdup(what_waits_for_persisting(replica));
  replica_unlock(replica);
  if (why == NULL)
    return TRUE;
  if (!replica->persist_stopped)
    g_critical("the store is made durable no more until a restart: %s", why);
  replica->persist_stopped = TRUE;
  if (refused != NULL)
    return fail(error, SYNCLOG_READ_ONLY,
                "writes are refused (%s) until the store is made durable, which it can't be: %s",
                refused, why);
  StoreStats stats = {0};
  if (replica->store != NULL)
    store_stats(replica->store, &stats);
  return stats.unpersisted_bytes < replica->options.memtable_size * MAX_MEMTABLES ||
         fail(error, SYNCLOG_READ_ONLY,
              "%" G_GUINT64_FORMAT " bytes of the store can't be made durable: %s",
              stats.unpersisted_bytes, why);
}

gboolean replica_check_syncable(Replica *replica, GError **error)
{
  replica_lock(replica);
  g_autofree char *why = why_unsyncable(replica);
  replica_unlock(replica);
  return why == NULL || fail(error, SYNCLOG_READ_ONLY,
                             "the store can't be made durable before a restart: %s", why);
}

gboolean replica_fail_unsynced(Replica *replica, const char *what, GError **error)
{
  return replica_check_syncable(replica, error) &&
         fail(error, SYNCLOG_TIMEOUT, "%sthe logs could not be synced in time", what);
}

/*
 * Waits until the disk has room and persists. FALSE: another error, or the node stops. Should the
 * database refuse all since it met the full disk itself, it is opened again. A log that can't be
 * synced before a restart ends it: nothing is applied in here, and only persisting leads out.
 */
static gboolean persist_when_there_is_space(Replica *replica, GError **error)
{
  g_autoptr(GArray) before = store_progress(replica->store, FALSE, error);
  if (before == NULL)
    return FALSE;
  for (;;) {
    if (!pause_unless_stopping(replica, FULL_DISK_RETRY_US))
      return fail(error, SYNCLOG_NO_SPACE, "the disk is full");
    StoreStats stats = {0};
    if (replica->store != NULL)
      store_stats(replica->store, &stats);
    if (!replica_has_room(replica, stats.unpersisted_bytes, NULL))
      continue;
    if (!replica_sync_logs(replica)) {
      if (!replica_check_syncable(replica, error))
        return fail_prefix(error, "the store's disk was full: ");
      continue;
    }
    if (replica->store != NULL && persist_now(replica, NULL))
      break;
    g_autoptr(GError) local = NULL;
    if (reopen_store(replica, before, &local))
      break;
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NO_SPACE)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean wait_for_space(Replica *replica, GError **error)
{
  set_store_full(replica, TRUE);
  set_store_stuck(replica, TRUE);
  if (!persist_when_there_is_space(replica, error))
    return FALSE;
  set_store_stuck(replica, FALSE);
  set_store_full(replica, FALSE);
  return TRUE;
}

static gboolean apply_entries(Replica *replica, GArray *entries, GError **error)
{
  for (;;) {
    g_autoptr(GError) local = NULL;
    g_rw_lock_reader_lock(&replica->store_lock);
    gboolean applied = FAILPOINT_FAILS("apply_before_store")
                           ? fail_errno(&local, SYNCLOG_NO_SPACE, errno, "apply")
                           : store_apply(replica->store, (StoreEntry *)(void *)entries->data,
                                         entries->len, &local);
    g_rw_lock_reader_unlock(&replica->store_lock);
    for (guint i = 0; applied && i < entries->len; i++)
      replica_key_applied(replica, g_array_index(entries, StoreEntry, i).decoded);
    if (applied)
      return TRUE;
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NO_SPACE)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (!wait_for_space(replica, error))
      return FALSE;
  }
}

static void publish_applied(Replica *replica, GPtrArray *runs)
{
  replica_lock(replica);
  for (guint i = 0; i < runs->len; i++) {
    EntryRun *run = runs->pdata[i];
    gsize size;
    entry_run_bytes(run, &size);
    Record last = entry_run_record(run, entry_run_count(run) - 1);
    group_on_applied(replica->group, entry_run_log(run), last.index, last.hlc, size);
  }
  replica_tell_progress(replica);
  replica_unlock(replica);
}

static gboolean persist_all(Replica *replica, GError **error)
{
  StoreStats stats;
  store_stats(replica->store, &stats);
  if (!replica_has_room(replica, stats.unpersisted_bytes, NULL)) {
    /* What was acknowledged is applied all the same, as far as memory allows. */
    set_store_full(replica, TRUE);
    return stats.unpersisted_bytes < replica->options.memtable_size * MAX_MEMTABLES ||
           wait_for_space(replica, error);
  }
  if (!replica_sync_logs(replica))
    return go_on_unpersisted(replica, error);
  g_autoptr(GError) local = NULL;
  if (persist_now(replica, &local)) {
    set_store_full(replica, FALSE);
    return TRUE;
  }
  if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NO_SPACE))
    return wait_for_space(replica, error);
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* Persists when enough has gathered; when the logs or the disk are full anything is: no log is
 * shortened before. */
static gboolean persist(Replica *replica, GError **error)
{
  guint64 bytes = store_unpersisted(replica->store);
  gboolean pressed = replica->persist_pressed && bytes > 0;
  if (bytes < replica->options.memtable_size && !pressed && !replica->store_full)
    return TRUE;
  return persist_all(replica, error);
}

static gboolean apply_runs(Replica *replica, GPtrArray *runs, GError **error)
{
  if (runs->len == 0)
    return persist(replica, error);
  GArray *entries = g_array_new(FALSE, FALSE, sizeof(StoreEntry));
  gint64 begun_us = clock_mono_us(replica->clock);
  gboolean applied =
      collect(replica, runs, entries, error) && apply_entries(replica, entries, error);
  free_decoded(entries);
  if (!applied)
    return FALSE;
  FAILPOINT("apply_before_publish");
  publish_applied(replica, runs);
  replica_note_step(replica, STEP_APPLY, begun_us);
  FAILPOINT("apply_published");
  return persist(replica, error);
}

static gboolean is_quiet(Replica *replica)
{
  g_mutex_lock(&replica->apply_mutex);
  gboolean quiet = g_queue_is_empty(&replica->apply_queue) && !replica->apply_stop;
  g_mutex_unlock(&replica->apply_mutex);
  return quiet;
}

/*
 * Between two steps of work on the store behind one another. What they write must not gather until
 * the database writes it out by itself, behind logs that are not synced (P4): FALSE in *out_roomy
 * when it can't be persisted now, as the disk is full or a log is not synced. Then the rest waits.
 */
static gboolean persist_gathered(Replica *replica, guint64 enough, gboolean *out_roomy,
                                 GError **error)
{
  StoreStats stats;
  *out_roomy = TRUE;
  store_stats(replica->store, &stats);
  if (stats.unpersisted_bytes < enough)
    return TRUE;
  if (!persist_all(replica, error))
    return FALSE;
  store_stats(replica->store, &stats);
  *out_roomy = !replica->store_full && stats.unpersisted_bytes < replica->options.memtable_size;
  return TRUE;
}

/*
 * Looks for conflicts in what was applied: one small step behind each batch, and in quiet moments
 * until all is looked at (*out_all). With a full disk it waits, and what has no room in the queue
 * meanwhile is counted.
 */
static gboolean find_conflicts(Replica *replica, gboolean *out_all, GError **error)
{
  gboolean more = TRUE, roomy = TRUE;
  *out_all = FALSE;
  if (replica->store_full)
    return TRUE;
  do {
    FAILPOINT("conflicts_before_step");
    g_autoptr(GError) local = NULL;
    g_rw_lock_reader_lock(&replica->store_lock);
    gboolean done = store_find_conflicts(replica->store, clock_wall_ms(replica->clock),
                                         CONFLICT_BYTES, &more, &local);
    g_rw_lock_reader_unlock(&replica->store_lock);
    if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NO_SPACE))
      return wait_for_space(replica, error);
    if (!done) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (more && is_quiet(replica) &&
        !persist_gathered(replica, replica->options.memtable_size, &roomy, error))
      return FALSE;
  } while (more && roomy && is_quiet(replica));
  *out_all = !more;
  return TRUE;
}

/* The horizon to work with, as long as nothing is to be applied or mended; 0: there is no time now.
 */
static guint64 take_horizon(Replica *replica)
{
  g_mutex_lock(&replica->apply_mutex);
  guint64 horizon = 0;
  if (g_queue_is_empty(&replica->apply_queue) && !replica->apply_stop && replica->mend == NULL)
    horizon = replica->maintain_horizon;
  g_mutex_unlock(&replica->apply_mutex);
  return horizon;
}

static void end_maintenance(Replica *replica)
{
  g_mutex_lock(&replica->apply_mutex);
  replica->maintain_horizon = 0;
  g_mutex_unlock(&replica->apply_mutex);
}

/* The space comes back only when what was taken out is on disk. Of what was joined to chunks some
 * is let gather. */
static gboolean persist_maintained(Replica *replica, guint64 tombstones, GError **error)
{
  StoreStats stats;
  store_stats(replica->store, &stats);
  if (stats.tombstones >= tombstones &&
      stats.unpersisted_bytes < replica->options.memtable_size / CHUNK_MEMTABLE_SHARE)
    return TRUE;
  return persist_all(replica, error);
}

/* In quiet moments, step by step: deletes below the horizon are carried out for good, and what was
 * written longer ago is joined to chunks. */
static gboolean maintain(Replica *replica, GError **error)
{
  guint64 horizon = take_horizon(replica);
  if (horizon == 0)
    return TRUE;
  StoreStats before;
  store_stats(replica->store, &before);
  gboolean more = TRUE, worked = FALSE, roomy = TRUE;
  for (; more && roomy && horizon != 0; horizon = take_horizon(replica)) {
    FAILPOINT("maintain_before_step");
    g_autoptr(GError) local = NULL;
    g_rw_lock_reader_lock(&replica->store_lock);
    gboolean done = store_maintain(replica->store, horizon, MAINTAIN_BYTES, &more, &local);
    g_rw_lock_reader_unlock(&replica->store_lock);
    if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NO_SPACE))
      return wait_for_space(replica, error);
    if (!done) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    worked = worked || more;
    guint64 enough = replica->options.memtable_size / CHUNK_MEMTABLE_SHARE;
    if (more && !persist_gathered(replica, enough, &roomy, error))
      return FALSE;
  }
  if (!more || !roomy)
    end_maintenance(replica);
  if (more || !worked)
    return TRUE;
  return persist_maintained(replica, before.tombstones, error);
}

/* What is not looked at yet must not be carried out: it would not be found any more. And as long as
 * nothing can be persisted, the memory that is left is for what is applied. */
static gboolean find_and_maintain(Replica *replica, GError **error)
{
  gboolean all;
  if (!find_conflicts(replica, &all, error))
    return FALSE;
  if (all && !replica->persist_stopped)
    return maintain(replica, error);
  end_maintenance(replica);
  return TRUE;
}

/* --- mending ------------------------------------------------------------------------------------
 */

/* Persists, when the disk has room for it and the logs can be synced. */
static gboolean persist_mended(Replica *replica, gboolean wait, GError **error)
{
  StoreStats stats;
  store_stats(replica->store, &stats);
  if (!replica_has_room(replica, stats.unpersisted_bytes, error))
    return FALSE;
  if (!replica_sync_logs(replica))
    return replica_fail_unsynced(replica, "", error);
  g_rw_lock_reader_lock(&replica->store_lock);
  gboolean done = store_persist(replica->store, wait, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  return done;
}

static gboolean check_running(Replica *replica, GError **error)
{
  g_mutex_lock(&replica->apply_mutex);
  gboolean stopping = replica->apply_stop;
  g_mutex_unlock(&replica->apply_mutex);
  return !stopping || fail(error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
}

/* Until no conflict and no delete up to the cut waits, or the node stops. */
static gboolean settle_store(Replica *replica, guint64 cut, GError **error)
{
  gboolean finding = TRUE, more = TRUE;
  while (finding || more) {
    if (!check_running(replica, error))
      return FALSE;
    g_rw_lock_reader_lock(&replica->store_lock);
    gboolean done = finding ? store_find_conflicts(replica->store, clock_wall_ms(replica->clock),
                                                   CONFLICT_BYTES, &finding, error)
                            : store_carry_out(replica->store, cut, MAINTAIN_BYTES, &more, error);
    g_rw_lock_reader_unlock(&replica->store_lock);
    if (!done)
      return FALSE;
    StoreStats stats;
    store_stats(replica->store, &stats);
    if (stats.unpersisted_bytes >= replica->options.memtable_size &&
        !persist_mended(replica, FALSE, error))
      return FALSE;
  }
  return TRUE;
}

static gsize mend_bytes(const BucketMend *mend)
{
  gsize bytes = 0;
  for (guint i = 0; i < mend->parts->len; i++) {
    const Table *table = ((const BucketPart *)mend->parts->pdata[i])->table;
    for (guint k = 0; k < table->columns->len; k++)
      bytes += ((const Column *)table->columns->pdata[k])->values->len;
  }
  return bytes;
}

/* Replaces the bucket and makes that durable, with all that was applied before (P2). */
static gboolean mend_bucket(Replica *replica, const BucketMend *mend, GError **error)
{
  StoreStats stats;
  store_stats(replica->store, &stats);
  if (!replica_has_room(replica, stats.unpersisted_bytes + 4 * mend_bytes(mend), error))
    return FALSE;
  if (!settle_store(replica, mend->cut, error))
    return FALSE;
  g_rw_lock_reader_lock(&replica->store_lock);
  gboolean done = store_mend(replica->store, mend, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  if (!done)
    return FALSE;
  FAILPOINT("mend_before_persist");
  if (!replica_sync_logs(replica))
    return replica_fail_unsynced(replica, "the bucket is mended, but not durably yet: ", error);
  g_rw_lock_reader_lock(&replica->store_lock);
  done = store_persist(replica->store, TRUE, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  FAILPOINT("mend_persisted");
  return done;
}

static MendRequest *peek_mend(Replica *replica)
{
  g_mutex_lock(&replica->apply_mutex);
  MendRequest *request = replica->mend;
  g_mutex_unlock(&replica->apply_mutex);
  return request;
}

static void end_mend(Replica *replica, gboolean ended)
{
  g_mutex_lock(&replica->apply_mutex);
  replica->apply_ended = ended;
  if (replica->mend != NULL) {
    if (ended)
      fail(&replica->mend->error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
    replica->mend->done = TRUE;
    replica->mend = NULL;
    g_cond_broadcast(&replica->mend_cond);
  }
  g_mutex_unlock(&replica->apply_mutex);
}

/* Serves who waits for it. FALSE only when the store can't be used any more. */
static gboolean serve_mend(Replica *replica, GError **error)
{
  MendRequest *request = peek_mend(replica);
  if (request == NULL)
    return TRUE;
  mend_bucket(replica, &request->mend, &request->error);
  gboolean full = g_error_matches(request->error, SYNCLOG_ERROR, SYNCLOG_NO_SPACE);
  end_mend(replica, FALSE);
  return !full || wait_for_space(replica, error);
}

static void run_apply(Replica *replica, GError **error)
{
  for (;;) {
    g_autoptr(GPtrArray) runs = NULL;
    if (!take_runs(replica, &runs) || !apply_runs(replica, runs, error) ||
        !find_and_maintain(replica, error) || !serve_mend(replica, error))
      return;
    replica_make_checkpoint(replica);
  }
}

gpointer replica_apply_thread(gpointer data)
{
  Replica *replica = data;
  log_set_group(replica->options.group.group);
  g_autoptr(GError) error = NULL;
  run_apply(replica, &error);
  end_mend(replica, TRUE);
  if (error == NULL)
    return NULL;
  replica_lock(replica);
  replica_set_fatal(replica, error->message);
  replica_unlock(replica);
  return NULL;
}
