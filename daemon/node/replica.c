#include "base/failpoint.h"
#include "core/hlc.h"
#include "node/install.h"
#include "node/recovery.h"
#include "node/replica_private.h"

#include <sys/statvfs.h>

enum {
  ALIVE_LIMIT_US = 60 * G_USEC_PER_SEC,
  MOST_APART = 8, /* threads of replica_work_apart; with more, workers do the rest */
};

/* With a weaker wal_sync than group a crash may lose acknowledged writes: it must be known
 * afterwards. What the life before may have lost is dealt with by the start. */
gboolean replica_mark_clean(Replica *replica, GError **error)
{
  return identity_set_clean(replica->identity, replica->options.wal_sync == WAL_SYNC_GROUP, error);
}

static void tell_skipped(Replica *replica)
{
  g_autoptr(GArray) skipped = identity_skipped(replica->identity);
  for (guint i = 0; i < skipped->len; i++) {
    char text[TOKEN_TEXT_SIZE];
    g_warning("entry %s is left out by an operator's word",
              token_format(&g_array_index(skipped, Token, i), text));
  }
}

static gboolean open_disk(Replica *replica, GArray **out_logs, LogId *out_own, GError **error)
{
  g_autofree char *wal_directory = g_build_filename(replica->options.directory, "wal", NULL);
  if (g_mkdir_with_parents(replica->options.directory, 0750) != 0)
    return fail(error, SYNCLOG_INTERNAL, "%s: can't be created", replica->options.directory);
  replica->logs = log_set_open(wal_directory, replica->options.wal_segment_size,
                               replica->identity->node_id, NULL, error);
  if (replica->logs == NULL)
    return FALSE;
  FAILPOINT("start_logs_open");
  if (!replica_has_room(replica, 0, error))
    return FALSE;
  g_autofree char *store_directory = NULL;
  StoreOptions options = replica_store_options(replica, &store_directory);
  if (!install_run(replica->options.directory, &options, replica->logs, replica->identity, error))
    return FALSE;
  replica->store = store_rocks_new(&options, error);
  if (replica->store == NULL)
    return FALSE;
  FAILPOINT("start_store_open");
  guint64 skew_ms = (guint64)replica->options.group.max_clock_skew_ms;
  if (!recovery_run(replica->identity, replica->logs, replica->store,
                    replica->options.partition_interval, replica_new_incarnation(),
                    hlc_from_ms(clock_wall_ms(replica->clock) + skew_ms + 1) - 1, out_logs, out_own,
                    error))
    return FALSE;
  replica->own_wal = log_set_find(replica->logs, *out_own);
  return replica_mark_clean(replica, error);
}

guint64 replica_new_incarnation(void)
{
  static GMutex mutex;
  static guint64 last;
  g_mutex_lock(&mutex);
  last = MAX(last + 1, (guint64)g_get_real_time());
  guint64 now = last;
  g_mutex_unlock(&mutex);
  return now;
}

static void make_group(Replica *replica, const GArray *logs, LogId own)
{
  GroupOptions options = replica->options.group;
  options.own = own;
  options.cluster_id = replica->identity->cluster_id;
  options.time_precision = replica->identity->time_precision;
  options.membership = replica->membership;
  options.wall_ms = clock_wall_ms(replica->clock);
  options.clock_bound = replica->identity->clock_bound;
  options.steps = &replica->steps;
  GroupPorts ports = replica_ports(replica);
  replica->group = group_new(&options, &ports);
  for (guint i = 0; i < logs->len; i++)
    group_add_log(replica->group, &g_array_index(logs, GroupLog, i));
}

static void free_disk(Replica *replica)
{
  g_clear_pointer(&replica->group, group_free);
  g_clear_pointer(&replica->store, store_close);
  g_clear_pointer(&replica->logs, log_set_close);
  g_clear_pointer(&replica->membership, membership_free);
  g_array_unref(replica->loop_writes);
  g_ptr_array_unref(replica->links);
  g_array_unref(replica->watches);
  g_array_unref(replica->trims);
  g_array_unref(replica->options.peers);
  g_free((char *)replica->options.directory);
  g_free(replica->fatal);
  g_free(replica->own_broken);
  g_free(replica->throttled);
  g_free(replica->disk_low);
  replica_drop_checkpoints(replica);
  g_clear_pointer(&replica->snapshots, snapshots_free);
  g_free(replica->seed.text);
  g_array_unref(replica->seed.tried);
  g_cond_clear(&replica->seed.cond);
  g_rw_lock_clear(&replica->store_lock);
  g_mutex_clear(&replica->mutex);
  g_mutex_clear(&replica->hold_mutex);
  g_cond_clear(&replica->hold_cond);
  g_mutex_clear(&replica->apply_mutex);
  g_cond_clear(&replica->log_cond);
  g_cond_clear(&replica->progress_cond);
  g_cond_clear(&replica->apply_cond);
  replica_keys_free(replica->keys);
  g_cond_clear(&replica->mend_cond);
  g_free(replica);
}

static GThread *start_thread(Replica *replica, const char *name, GThreadFunc func)
{
  guint32 group = replica->options.group.group;
  g_autofree char *full = group == 0 ? g_strdup(name) : g_strdup_printf("%s-%u", name, group);
  return g_thread_new(full, func, replica);
}

static void loop_writes_clear(gpointer data)
{
  g_ptr_array_unref(((LoopWrites *)data)->writes);
}

Replica *replica_open(Identity *identity, RpcLoops *loops, const ReplicaOptions *options,
                      GError **error)
{
  Replica *replica = g_new0(Replica, 1);
  replica->options = *options;
  replica->options.directory = g_strdup(options->directory);
  g_array_ref(options->peers);
  replica->identity = identity;
  replica->loops = loops;
  replica->holders = 1;
  replica->clock = clock_system();
  replica->started_us = clock_mono_us(replica->clock);
  replica->links = g_ptr_array_new();
  replica->watches = g_array_new(FALSE, TRUE, sizeof(PeerWatch));
  replica->trims = g_array_new(FALSE, FALSE, sizeof(TrimWork));
  replica->loop_writes = g_array_new(FALSE, FALSE, sizeof(LoopWrites));
  g_array_set_clear_func(replica->loop_writes, loop_writes_clear);
  for (guint i = 0; i < rpc_loops_count(loops); i++) {
    LoopWrites writes = {rpc_loops_get(loops, i), g_ptr_array_new(), 0};
    g_array_append_val(replica->loop_writes, writes);
  }
  g_mutex_init(&replica->mutex);
  g_mutex_init(&replica->hold_mutex);
  g_cond_init(&replica->hold_cond);
  g_mutex_init(&replica->apply_mutex);
  g_cond_init(&replica->log_cond);
  g_cond_init(&replica->progress_cond);
  g_cond_init(&replica->apply_cond);
  replica->keys = replica_keys_new();
  g_cond_init(&replica->mend_cond);
  g_cond_init(&replica->seed.cond);
  replica->seed.tried = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_rw_lock_init(&replica->store_lock);
  g_queue_init(&replica->apply_queue);
  g_queue_init(&replica->checkpoints);
  replica_link_members(replica);
  g_autoptr(GArray) logs = NULL;
  LogId own;
  if (!open_disk(replica, &logs, &own, error) || !replica_check_join(replica, logs, error)) {
    free_disk(replica);
    return NULL;
  }
  tell_skipped(replica);
  make_group(replica, logs, own);
  replica->snapshots = snapshots_new(replica->options.directory, options->snapshot_rate);
  replica_resume_seed(replica);
  replica->log_thread = start_thread(replica, "log", replica_log_thread);
  replica->apply_thread = start_thread(replica, "apply", replica_apply_thread);
  return replica;
}

void replica_start(Replica *replica)
{
  replica_lock(replica);
  group_start(replica->group, clock_mono_us(replica->clock));
  replica->log_waiting = FALSE;
  g_cond_signal(&replica->log_cond);
  replica_unlock(replica);
}

void replica_drain(Replica *replica, gint64 timeout_ms)
{
  gint64 until_us = clock_mono_us(replica->clock) + timeout_ms * 1000;
  replica_lock(replica);
  replica->draining = TRUE;
  group_slow_writes(replica->group, 0);
  replica_update_refusal(replica);
  while (!group_is_drained(replica->group))
    if (!replica_wait_progress(replica, until_us))
      break;
  replica_unlock(replica);
}

static void stop_threads(Replica *replica)
{
  replica_lock(replica);
  replica->log_stop = TRUE;
  g_cond_signal(&replica->log_cond);
  replica_tell_progress(replica);
  replica_unlock(replica);
  g_thread_join(replica->log_thread);
  g_mutex_lock(&replica->apply_mutex);
  replica->apply_stop = TRUE;
  g_cond_signal(&replica->apply_cond);
  g_mutex_unlock(&replica->apply_mutex);
  g_thread_join(replica->apply_thread);
}

/* All logs, then the store. A log that is to be given up, which could not be done so far, is left
 * unclean: the next start gives it up. */
static void make_durable(Replica *replica)
{
  g_autoptr(GError) error = NULL;
  FAILPOINT("stop_before_sync");
  gboolean given_up = replica->incarnation_again_us != 0;
  if (given_up && !identity_set_clean(replica->identity, FALSE, &error)) {
    g_warning("stopping: %s", error->message);
    return;
  }
  g_autoptr(Progress) progress = replica_progress(replica);
  for (guint i = 0; i < progress->logs->len; i++) {
    Wal *wal = log_set_find(replica->logs, g_array_index(progress->logs, LogProgress, i).log);
    /* Behind a log that can't be synced the store is left as it is: the logs have the rest. */
    if (wal != NULL && !wal_sync(wal, &error)) {
      g_warning("stopping: %s", error->message);
      return;
    }
  }
  FAILPOINT("stop_before_persist");
  if (replica->store == NULL ||
      !replica_has_room(replica, store_unpersisted(replica->store), &error) ||
      !store_persist(replica->store, TRUE, &error) ||
      !identity_set_clean(replica->identity, !given_up, &error))
    g_warning("stopping: %s", error != NULL ? error->message : "the store is not open");
}

void replica_stop(Replica *replica)
{
  g_atomic_int_set(&replica->ending, TRUE);
  replica_seed_stop(replica);
  stop_threads(replica);
  replica_lock(replica);
  replica->stopped = TRUE;
  group_stop(replica->group);
  replica_unlock(replica);
  replica_free_links(replica);
}

gboolean replica_is_ending(Replica *replica)
{
  return g_atomic_int_get(&replica->ending);
}

void replica_job_begin(Replica *replica)
{
  g_atomic_int_inc(&replica->jobs);
}

void replica_job_end(Replica *replica)
{
  /* Under the lock, so that whoever waits for the last one may free the replica right after. */
  replica_lock(replica);
  if (g_atomic_int_dec_and_test(&replica->jobs))
    replica_tell_progress(replica);
  replica_unlock(replica);
}

typedef struct Work {
  Replica *replica;
  void (*func)(gpointer data);
  gpointer data;
} Work;

static void run_work(gpointer data)
{
  g_autofree Work *work = data;
  work->func(work->data);
  replica_job_end(work->replica);
}

void replica_work(Replica *replica, void (*func)(gpointer data), gpointer data)
{
  Work *work = g_new(Work, 1);
  *work = (Work){replica, func, data};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, run_work, work);
}

static gpointer run_apart(gpointer data)
{
  g_autofree Work *work = data;
  log_set_group(work->replica->options.group.group);
  work->func(work->data);
  g_atomic_int_add(&work->replica->apart, -1);
  replica_job_end(work->replica);
  return NULL;
}

void replica_work_apart(Replica *replica, const char *name, void (*func)(gpointer data),
                        gpointer data)
{
  Work *work = g_new(Work, 1);
  *work = (Work){replica, func, data};
  replica_job_begin(replica);
  GThread *thread = g_atomic_int_add(&replica->apart, 1) < MOST_APART
                        ? g_thread_try_new(name, run_apart, work, NULL)
                        : NULL;
  if (thread != NULL) {
    g_thread_unref(thread);
    return;
  }
  g_atomic_int_add(&replica->apart, -1);
  rpc_loops_work(replica->loops, run_work, work);
}

void replica_hold(Replica *replica)
{
  g_atomic_int_inc(&replica->holders);
}

void replica_release(Replica *replica)
{
  if (!g_atomic_int_dec_and_test(&replica->holders))
    return;
  g_mutex_lock(&replica->hold_mutex);
  replica->unheld = TRUE;
  g_cond_signal(&replica->hold_cond);
  g_mutex_unlock(&replica->hold_mutex);
}

guint32 replica_group(const Replica *replica)
{
  return replica->options.group.group;
}

/* Waits for whoever holds this replica, and for the jobs that workers still do for it. */
static void wait_for_users(Replica *replica)
{
  replica_release(replica);
  g_mutex_lock(&replica->hold_mutex);
  while (!replica->unheld)
    g_cond_wait(&replica->hold_cond, &replica->hold_mutex);
  g_mutex_unlock(&replica->hold_mutex);
  replica_lock(replica);
  while (g_atomic_int_get(&replica->jobs) > 0)
    replica_wait_progress(replica, G_MAXINT64);
  replica_unlock(replica);
}

void replica_close(Replica *replica)
{
  wait_for_users(replica);
  if (replica->fatal == NULL) /* otherwise perhaps over a log that was cut and not given up */
    make_durable(replica);
  EntryRun *run;
  while ((run = g_queue_pop_head(&replica->apply_queue)) != NULL)
    entry_run_unref(run);
  free_disk(replica);
}

Progress *replica_progress(Replica *replica)
{
  replica_lock(replica);
  Progress *progress = group_progress(replica->group);
  replica_unlock(replica);
  return progress;
}

gboolean replica_knows_log(Replica *replica, LogId log)
{
  g_autoptr(Progress) progress = replica_progress(replica);
  return progress_find(progress, log) != NULL;
}

gboolean replica_skip(Replica *replica, const Token *entry, GError **error)
{
  replica_lock(replica);
  gboolean stopped = identity_skips(replica->identity, entry->log, entry->index) ||
                     group_is_stopped_at(replica->group, entry->log, entry->index, error);
  replica_unlock(replica);
  if (!stopped || !identity_skip(replica->identity, entry, error))
    return FALSE;
  char text[TOKEN_TEXT_SIZE];
  g_critical("entry %s is left out by an operator's word: this node lacks what it writes",
             token_format(entry, text));
  return TRUE;
}

guint64 replica_horizon(Replica *replica)
{
  replica_lock(replica);
  guint64 horizon = group_horizon(replica->group);
  replica_unlock(replica);
  return horizon;
}

/* Bytes that are free for the data directory; a disk that can't be asked is none that is full. */
static guint64 free_bytes(const Replica *replica)
{
  struct statvfs disk;
  if (statvfs(replica->options.directory, &disk) != 0)
    return G_MAXUINT64;
  return (guint64)disk.f_bavail * disk.f_frsize;
}

static void note_refusal(char **why, gboolean refusing, char *text)
{
  g_autofree char *reason = text;
  if (refusing == (*why != NULL))
    return;
  if (refusing) {
    g_critical("%s: writes are refused", reason);
    *why = g_steal_pointer(&reason);
  } else {
    g_message("writes are taken again: what refused them (%s) is over", *why);
    g_clear_pointer(why, g_free);
  }
}

/* Since when it has been refused, and what is said of another try. */
static void update_hint(gboolean refusing, gint64 now_us, gint64 *since_us, gint *hint_ms)
{
  if (!refusing)
    *since_us = now_us;
  g_atomic_int_set(hint_ms, refusing ? throttle_retry_after_ms((now_us - *since_us) / 1000) : 0);
}

gint32 replica_retry_after_ms(Replica *replica, SynclogStatus status)
{
  gint32 ms = 0;
  if (status == SYNCLOG_OVERLOADED)
    ms = g_atomic_int_get(&replica->overloaded_ms);
  else if (status == SYNCLOG_NO_SPACE)
    ms = g_atomic_int_get(&replica->no_space_ms);
  else if (status == SYNCLOG_NOT_READY)
    ms = g_atomic_int_get(&replica->not_ready_ms);
  return ms > 0 ? ms : synclog_status_retry_after_ms((int)status);
}

/* First slowing, then refusing. Caller holds `mutex`. */
static void update_throttle(Replica *replica, guint64 bytes, guint64 free_on_disk)
{
  guint64 threshold = replica->options.throttle_threshold;
  guint64 reserve = replica->options.disk_reserve;
  throttle_update(&replica->wal_throttle, bytes, threshold);
  throttle_update_free(&replica->disk_throttle, free_on_disk, reserve);
  guint permille = MAX(replica->wal_throttle.permille, replica->disk_throttle.permille);
  if ((permille > 0) != (replica->slowed > 0))
    g_message(permille > 0 ? "writes are slowed: the WAL or the disk fills up"
                           : "writes are not slowed any more");
  note_refusal(&replica->throttled, replica->wal_throttle.refusing,
               g_strdup_printf("the WAL holds %" G_GUINT64_FORMAT
                               " bytes, throttle_threshold is %" G_GUINT64_FORMAT,
                               bytes, threshold));
  note_refusal(&replica->disk_low, replica->disk_throttle.refusing,
               g_strdup_printf("the disk has %" G_GUINT64_FORMAT
                               " bytes left, disk_reserve is %" G_GUINT64_FORMAT,
                               free_on_disk, reserve));
  gint64 now_us = clock_mono_us(replica->clock);
  update_hint(replica->throttled != NULL, now_us, &replica->throttled_since_us,
              &replica->overloaded_ms);
  update_hint(replica->disk_low != NULL, now_us, &replica->disk_low_since_us,
              &replica->no_space_ms);
  replica->slowed = permille;
  group_slow_writes(replica->group, replica->draining ? 0 : permille);
  replica_update_refusal(replica);
}

/*
 * The log that holds most gives up its oldest segments until the WAL is within its limit, as far as
 * the engine lets them go. Caller holds `mutex`.
 */
static void enforce_limit(Replica *replica, guint64 bytes)
{
  guint64 limit = replica->options.retention_limit;
  if (limit == 0 || bytes <= limit)
    return;
  g_autoptr(Progress) progress = group_progress(replica->group);
  for (guint i = 0; i < progress->logs->len; i++) {
    LogId log = g_array_index(progress->logs, LogProgress, i).log;
    Wal *wal = log_set_find(replica->logs, log);
    WalStats stats = {0};
    if (wal != NULL)
      wal_stats(wal, &stats);
    /* Each by its share, so that no log loses all for the sake of another. */
    guint64 share = (guint64)((gdouble)(bytes - limit) * (gdouble)stats.bytes / (gdouble)bytes) + 1;
    guint64 index = wal != NULL ? wal_index_of_oldest(wal, share) : 0;
    if (index > 0)
      group_give_up(replica->group, log, index);
  }
}

gint64 replica_note_step(Replica *replica, Step step, gint64 since_us)
{
  gint64 now_us = clock_mono_us(replica->clock);
  latency_add(&replica->steps.step[step], now_us - since_us);
  return now_us;
}

void replica_housekeeping(Replica *replica)
{
  replica_expire_snapshots(replica);
  replica_seed_tick(replica);
  replica_watch(replica);
  guint64 bytes = log_set_bytes(replica->logs), free_on_disk = free_bytes(replica);
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) durable = NULL;
  g_rw_lock_reader_lock(&replica->store_lock);
  guint64 unpersisted = 0;
  if (replica->store != NULL) {
    durable = store_progress(replica->store, TRUE, &error);
    unpersisted = store_unpersisted(replica->store);
  }
  g_rw_lock_reader_unlock(&replica->store_lock);
  if (error != NULL)
    g_warning("asking the store what is durable: %s", error->message);
  replica_lock(replica);
  for (guint i = 0; durable != NULL && i < durable->len; i++) {
    const StoreProgress *p = &g_array_index(durable, StoreProgress, i);
    group_on_store_durable(replica->group, p->log, p->applied);
  }
  enforce_limit(replica, bytes);
  update_throttle(replica, bytes, free_on_disk);
  gboolean store_full = replica->store_full;
  gboolean pressed = replica->throttled != NULL || replica->disk_low != NULL;
  guint64 horizon = group_horizon(replica->group), comparable;
  gboolean join_is_on = group_comparable(replica->group, &comparable);
  replica_unlock(replica);
  horizon = MIN(horizon, replica_check(replica, horizon, comparable, join_is_on));
  gboolean due =
      press_is_due(&replica->press, pressed, unpersisted >= replica->options.wal_segment_size / 2,
                   clock_mono_us(replica->clock));
  /* The apply thread looks whether there is room again, or whether deletes can be carried out. */
  g_mutex_lock(&replica->apply_mutex);
  replica->persist_wanted = store_full || due || (pressed && replica->persist_wanted);
  if (replica->repair_cut != 0)
    horizon = MIN(horizon, replica->repair_cut);
  replica->maintain_horizon = store_full ? 0 : horizon;
  g_cond_signal(&replica->apply_cond);
  g_mutex_unlock(&replica->apply_mutex);
}

gboolean replica_is_alive(Replica *replica)
{
  replica_lock(replica);
  gint64 now_us = clock_mono_us(replica->clock);
  GroupPending pending;
  gboolean wanted = replica->log_taken || group_has_work(replica->group, now_us, &pending);
  if (!wanted)
    replica->log_unwanted_us = now_us;
  gint64 since_us = MAX(replica->log_turned_us, replica->log_unwanted_us);
  gboolean alive = !wanted || now_us - since_us < ALIVE_LIMIT_US;
  replica_unlock(replica);
  return alive;
}

void replica_set_fatal(Replica *replica, const char *why)
{
  if (replica->fatal != NULL)
    return;
  replica->fatal = g_strdup(why);
  g_critical("the node can't go on, the process must be restarted: %s", why);
  replica_update_refusal(replica);
}

void replica_update_refusal(Replica *replica)
{
  if (replica->fatal != NULL)
    group_refuse_writes(replica->group, SYNCLOG_READ_ONLY, replica->fatal);
  else if (replica->draining)
    group_refuse_writes(replica->group, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  else if (replica->own_broken != NULL)
    group_refuse_writes(replica->group, SYNCLOG_READ_ONLY, replica->own_broken);
  else if (replica->seed.lacking)
    group_refuse_writes(replica->group, SYNCLOG_NOT_READY, SEED_LACKING_TEXT);
  else if (replica->store_full)
    group_refuse_writes(replica->group, SYNCLOG_NO_SPACE, "the store's disk is full");
  else if (replica->disk_low != NULL)
    group_refuse_writes(replica->group, SYNCLOG_NO_SPACE, replica->disk_low);
  else if (replica->throttled != NULL)
    group_refuse_writes(replica->group, SYNCLOG_OVERLOADED, replica->throttled);
  else
    group_accept_writes(replica->group);
}

char *replica_fatal(Replica *replica)
{
  replica_lock(replica);
  char *why = g_strdup(replica->fatal);
  replica_unlock(replica);
  return why;
}

void replica_set_retry_waits(Replica *replica, guint64 basic_wait_ms, guint64 max_wait_ms)
{
  replica_lock(replica);
  group_set_retry_waits(replica->group, basic_wait_ms, max_wait_ms);
  replica_unlock(replica);
}

void replica_set_heartbeat_interval(Replica *replica, gint64 interval_ms)
{
  replica_lock(replica);
  group_set_heartbeat_interval(replica->group, interval_ms);
  replica_unlock(replica);
}

void replica_set_rule_hash(Replica *replica, guint64 hash)
{
  replica_lock(replica);
  group_set_rule_hash(replica->group, hash);
  replica_unlock(replica);
}

void replica_set_disk_reserve(Replica *replica, guint64 bytes)
{
  replica_lock(replica);
  replica->options.disk_reserve = bytes;
  replica_unlock(replica);
}

void replica_set_retention_limit(Replica *replica, guint64 bytes)
{
  replica_lock(replica);
  replica->options.retention_limit = bytes;
  replica_unlock(replica);
}

void replica_set_snapshot_rate(Replica *replica, guint64 rate)
{
  snapshots_set_rate(replica->snapshots, rate);
}

void replica_set_throttle_threshold(Replica *replica, guint64 bytes)
{
  replica_lock(replica);
  replica->options.throttle_threshold = bytes;
  replica_unlock(replica);
}
