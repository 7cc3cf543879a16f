/*
 * The glue between the daemon's code and the simulation, as node/replica*.c is between it and
 * threads and files: the ports, the log thread, the apply thread, starting and dying.
 */
#include "sim/check.h"

#include "core/hlc.h"
#include "node/log_work.h"
#include "node/recovery.h"

#include <string.h>

#define NODE_DIRECTORY "/node"
#define WAL_DIRECTORY "/node/group-0/wal"

enum {
  PARTITION_INTERVAL = 1000,
  APPLY_ENTRIES = 64, /* per store batch */
  HOUSEKEEPING_US = 200 * 1000,
  PERSIST_WAIT_US = 5 * G_USEC_PER_SEC,
  MAX_MEMTABLES = 8, /* that are filled while a log can't be synced */
  READ_ALL_BYTES = 1024 * 1024,
};

static const guint64 WALL_BASE_MS = 1700000000000;

guint64 node_wall_ms(const SimNode *node)
{
  return WALL_BASE_MS + (guint64)(node->sim->now_us / 1000 + node->wall_offset_ms);
}

gboolean node_is_up(const SimNode *node)
{
  return node->group != NULL;
}

void node_claim(SimNode *node, LogId log, guint64 durable)
{
  if (node->dying)
    return;
  for (guint i = 0; i < node->claims->len; i++) {
    Claim *claim = &g_array_index(node->claims, Claim, i);
    if (log_id_equal(claim->log, log)) {
      claim->durable = MAX(claim->durable, durable);
      return;
    }
  }
  Claim claim = {log, durable};
  g_array_append_val(node->claims, claim);
}

guint64 node_applied(const SimNode *node, LogId log)
{
  const StoredLog *stored = sim_stored(node, log);
  return stored != NULL ? stored->entries->len : 0;
}

guint64 node_kept(const SimNode *node, LogId log)
{
  const StoredLog *stored = sim_stored(node, log);
  guint64 kept = stored != NULL ? stored->durable : 0;
  Wal *wal = node->logs != NULL ? log_set_find(node->logs, log) : NULL;
  return wal != NULL ? MAX(kept, wal_durable_index(wal)) : kept;
}

/* --- the apply thread ---------------------------------------------------------------------------
 */

static void on_apply(Sim *sim, Event *event);

static void plan_apply(SimNode *node)
{
  if (node->applying || node->persisting || g_queue_is_empty(&node->applies))
    return;
  node->applying = TRUE;
  sim_add_event(node->sim, node->apply_us,
                (Event){.run = on_apply, .node = node->id, .life = node->life});
}

static void try_persist(SimNode *node)
{
  if (!node->persisting || !group_mirrors_synced(node->group))
    return;
  node->persisting = FALSE;
  store_persist(node->store, FALSE, NULL);
  sim_trace(node->sim, "n%u persists", node->id);
  plan_apply(node);
}

/* A log can't be synced any more: when too much has gathered in memory the process ends. */
static void on_full_memory(Sim *sim, Event *event)
{
  node_crash(&sim->nodes[event->node], DIE_KILLED, sim->config.down_us);
}

static gboolean can_persist(SimNode *node, guint64 unpersisted)
{
  g_autofree char *why = group_why_unsyncable(node->group);
  if (why != NULL && unpersisted >= node->sim->config.memtable_size * MAX_MEMTABLES) {
    sim_trace(node->sim, "n%u ends: %s", node->id, why);
    sim_add_event(node->sim, 0,
                  (Event){.run = on_full_memory, .node = node->id, .life = node->life});
  }
  return why == NULL;
}

/* The disk is too slow: at the next batch. */
static void on_persist_timeout(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  node->persisting = FALSE;
  plan_apply(node);
}

static void begin_persist(SimNode *node)
{
  StoreStats stats;
  store_stats(node->store, &stats);
  if (node->sim->config.memtable_size == 0 ||
      stats.unpersisted_bytes < node->sim->config.memtable_size || node->persisting ||
      !can_persist(node, stats.unpersisted_bytes))
    return;
  node->persisting = TRUE;
  sim_add_event(node->sim, PERSIST_WAIT_US,
                (Event){.run = on_persist_timeout, .node = node->id, .life = node->life});
  group_sync_mirrors(node->group);
  try_persist(node);
}

static void collect(EntryRun *run, GArray *entries)
{
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    Decoded *decoded = entry_run_take_decoded(run, i);
    if (decoded == NULL)
      decoded = store_decode(record.data, record.data_size, PARTITION_INTERVAL, NULL);
    g_assert(decoded != NULL);
    StoreEntry entry = {entry_run_log(run), record.index, record.hlc, decoded};
    g_array_append_val(entries, entry);
  }
}

static void apply_runs(SimNode *node, GPtrArray *runs)
{
  g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(StoreEntry));
  for (guint i = 0; i < runs->len; i++) {
    truth_compare(node, runs->pdata[i]);
    collect(runs->pdata[i], entries);
  }
  store_apply(node->store, (StoreEntry *)(void *)entries->data, entries->len, NULL);
  for (guint i = 0; i < entries->len; i++)
    store_decoded_free(g_array_index(entries, StoreEntry, i).decoded);
  for (guint i = 0; i < runs->len; i++) {
    EntryRun *run = runs->pdata[i];
    gsize size;
    entry_run_bytes(run, &size);
    Record last = entry_run_record(run, entry_run_count(run) - 1);
    node->apply_bytes -= size;
    sim_trace(node->sim, "n%u applies %s [%lu..%lu]", node->id, sim_log_name(entry_run_log(run)),
              (gulong)entry_run_first_index(run), (gulong)last.index);
    group_on_applied(node->group, entry_run_log(run), last.index, last.hlc, size);
  }
}

static void on_apply(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  node->applying = FALSE;
  if (node->persisting)
    return;
  g_autoptr(GPtrArray) runs = g_ptr_array_new_with_free_func((GDestroyNotify)entry_run_unref);
  guint entries = 0;
  while (!g_queue_is_empty(&node->applies) && entries < APPLY_ENTRIES) {
    EntryRun *run = g_queue_pop_head(&node->applies);
    entries += entry_run_count(run);
    g_ptr_array_add(runs, run);
  }
  apply_runs(node, runs);
  begin_persist(node);
  plan_apply(node);
}

static void port_apply(gpointer ctx, EntryRun *run)
{
  SimNode *node = ctx;
  gsize size;
  entry_run_bytes(run, &size);
  node->apply_bytes += size;
  check_given(node, run);
  g_queue_push_tail(&node->applies, run);
  plan_apply(node);
}

/* What the store has durably is asked now and then. */
static void on_housekeeping(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  g_autoptr(GArray) durable = store_progress(node->store, TRUE, NULL);
  for (guint i = 0; i < durable->len; i++) {
    const StoreProgress *one = &g_array_index(durable, StoreProgress, i);
    group_on_store_durable(node->group, one->log, one->applied);
  }
  sim_add_event(sim, HOUSEKEEPING_US,
                (Event){.run = on_housekeeping, .node = node->id, .life = node->life});
}

/* --- the log thread -----------------------------------------------------------------------------
 */

static void free_error(gpointer error)
{
  if (error != NULL)
    g_error_free(error);
}

static void clear_done(SimNode *node)
{
  group_work_clear(&node->done.work);
  g_clear_pointer(&node->done.own_run, entry_run_unref);
  g_clear_error(&node->done.own_error);
  g_clear_pointer(&node->done.written, g_array_unref);
  g_clear_pointer(&node->done.errors, g_ptr_array_unref);
}

/* A failed call belongs to the log in whose directory it was. */
static void note_failed(SimNode *node)
{
  g_autofree char *path = disk_take_failed(node->disk);
  if (path == NULL || !g_str_has_prefix(path, WAL_DIRECTORY "/"))
    return;
  g_autofree char *directory = g_path_get_dirname(path);
  g_autofree char *name = g_path_get_basename(directory);
  if (log_id_parse(name, &node->failed_log))
    node->has_failed_log = TRUE;
}

static void do_mirrors(SimNode *node)
{
  DoneWork *done = &node->done;
  done->written = g_array_new(FALSE, TRUE, sizeof(guint));
  done->errors = g_ptr_array_new_with_free_func(free_error);
  for (guint i = 0; i < done->work.mirrors->len; i++) {
    const MirrorWork *work = &g_array_index(done->work.mirrors, MirrorWork, i);
    for (guint k = 0; k < work->runs->len; k++)
      truth_compare(node, work->runs->pdata[k]);
    guint written = 0;
    GError *error = NULL;
    log_work_mirror(node->logs, work, &written, &error);
    g_array_append_val(done->written, written);
    g_ptr_array_add(done->errors, error);
  }
}

/* What the disk has to do is done at once; the group is told when it took its time. */
static void do_work(SimNode *node)
{
  DoneWork *done = &node->done;
  if (done->work.writes->len > 0) {
    done->own_run = log_work_encode(wal_log(node->own_wal), done->work.writes);
    if (log_work_append(node->own_wal, done->own_run, TRUE, &done->own_error) &&
        !disk_is_stopped(node->disk))
      truth_tell(node, done->own_run);
  }
  do_mirrors(node);
  note_failed(node);
}

static void tell_own(SimNode *node)
{
  DoneWork *done = &node->done;
  GPtrArray *writes = done->work.writes;
  for (guint i = 0; i < writes->len; i++)
    ((GroupWrite *)writes->pdata[i])->decoded = NULL; /* the run's */
  sim_trace(node->sim, "n%u %s [%lu..%lu]%s%s", node->id, sim_log_name(wal_log(node->own_wal)),
            (gulong)entry_run_first_index(done->own_run),
            (gulong)entry_run_last_index(done->own_run),
            done->own_error != NULL ? " not written: " : " durable",
            done->own_error != NULL ? done->own_error->message : "");
  if (done->own_error == NULL)
    group_on_own_durable(node->group, writes, done->own_run, node->sim->now_us);
  else
    group_on_own_failed(node->group, writes, done->own_error);
}

static void tell_mirrors(SimNode *node)
{
  DoneWork *done = &node->done;
  for (guint i = 0; i < done->work.mirrors->len; i++) {
    const MirrorWork *work = &g_array_index(done->work.mirrors, MirrorWork, i);
    const GError *error = done->errors->pdata[i];
    guint written = g_array_index(done->written, guint, i);
    sim_trace(node->sim, "n%u mirrors %s: %u of %u runs%s%s%s%s", node->id, sim_log_name(work->log),
              written, work->runs->len, work->reset ? ", anew" : "", work->sync ? ", synced" : "",
              error != NULL ? ": " : "", error != NULL ? error->message : "");
    group_on_mirror_done(node->group, work, written, error, node->sim->now_us);
  }
}

static void do_trims(SimNode *node)
{
  for (guint i = 0; i < node->done.work.trims->len; i++) {
    const TrimWork *trim = &g_array_index(node->done.work.trims, TrimWork, i);
    Wal *wal = log_set_find(node->logs, trim->log);
    if (wal == NULL)
      continue;
    guint64 before = wal_first_index(wal);
    gboolean done = wal_trim(wal, trim->index, NULL);
    if (wal_first_index(wal) != before) {
      sim_trace(node->sim, "n%u deletes %s up to %lu", node->id, sim_log_name(trim->log),
                (gulong)wal_first_index(wal) - 1);
      check_trimmed(node, trim->log, wal_first_index(wal));
    }
    group_on_trimmed(node->group, trim->log, wal_first_index(wal), done);
  }
}

static void on_work_done(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  if (node->done.own_run != NULL)
    tell_own(node);
  tell_mirrors(node);
  do_trims(node);
  clear_done(node);
  node->log_busy = FALSE;
  check_work_told(node);
  try_persist(node);
  node_turn_log_thread(node);
}

/* The own log lost its end. FALSE: the process can't go on. */
static gboolean begin_incarnation(SimNode *node)
{
  g_autoptr(Progress) progress = group_progress(node->group);
  guint64 durable = progress_find(progress, wal_log(node->own_wal))->durable;
  g_autoptr(GError) error = NULL;
  Wal *wal = log_work_begin_incarnation(node->identity, node->logs, node->own_wal, durable,
                                        node_wall_ms(node) * 1000, &error);
  sim_trace(node->sim, "n%u begins an incarnation while it runs%s%s", node->id,
            error != NULL ? ": " : "", error != NULL ? error->message : "");
  if (wal == NULL)
    return FALSE;
  node->own_wal = wal;
  group_begin_incarnation(node->group, wal_log(wal));
  return TRUE;
}

void node_turn_log_thread(SimNode *node)
{
  Sim *sim = node->sim;
  if (node->group == NULL || node->log_busy)
    return;
  if (group_deadline_us(node->group) <= sim->now_us)
    group_tick(node->group, sim->now_us);
  if (group_wants_incarnation(node->group) && !begin_incarnation(node)) {
    node_crash(node, DIE_KILLED, sim->config.down_us);
    return;
  }
  if (group_take_work(node->group, sim->now_us, node_wall_ms(node), GROUP_ALL_WORK,
                      &node->done.work)) {
    guint64 calls = disk_calls(node->disk);
    do_work(node);
    node->log_busy = TRUE;
    gint64 took_us = node->disk_us * (gint64)MIN(disk_calls(node->disk) - calls + 1, 20);
    sim_add_event(sim, took_us, (Event){.run = on_work_done, .node = node->id, .life = node->life});
    return;
  }
  try_persist(node);
  check_idle(node);
}

static void on_turn(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  node->turn_planned = FALSE;
  node_turn_log_thread(node);
}

static void port_work(gpointer ctx)
{
  SimNode *node = ctx;
  if (node->turn_planned)
    return;
  node->turn_planned = TRUE;
  sim_add_event(node->sim, 0, (Event){.run = on_turn, .node = node->id, .life = node->life});
}

/* --- reads of the WAL, and what is kept beside it -----------------------------------------------
 */

typedef struct ReadJob {
  LogId log;
  guint64 from;
  guint max_count;
  gsize max_bytes;
} ReadJob;

static void on_read(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  const ReadJob *job = event->message;
  g_autoptr(GError) error = NULL;
  EntryRun *run = NULL;
  guint64 behind = 0;
  Wal *wal = log_set_find(node->logs, job->log);
  if (wal == NULL)
    fail(&error, SYNCLOG_CORRUPT, "the log's directory is missing");
  else
    run = log_work_read(wal, job->from, job->max_count, job->max_bytes, &behind, &error);
  if (run != NULL)
    truth_compare(node, run);
  if (behind != 0)
    group_on_unreadable(node->group, job->log, job->from, behind);
  group_on_read(node->group, event->peer, job->log, job->from, run,
                error != NULL ? error->message : NULL, sim->now_us);
}

static void add_job(SimNode *node, void (*run)(Sim *, Event *), guint peer, ReadJob job)
{
  ReadJob *copy = g_new(ReadJob, 1);
  *copy = job;
  sim_add_event(node->sim, 1 + sim_around_us(node->sim, node->disk_us),
                (Event){.run = run,
                        .node = node->id,
                        .life = node->life,
                        .peer = peer,
                        .message = copy,
                        .free_message = g_free});
}

static void port_read_log(gpointer ctx, guint32 peer, LogId log, guint64 from, guint max_count,
                          gsize max_bytes)
{
  add_job(ctx, on_read, peer,
          (ReadJob){.log = log, .from = from, .max_count = max_count, .max_bytes = max_bytes});
}

static gboolean port_digest_at_end(gpointer ctx, LogId log, guint64 *out_index, guint64 *out_digest)
{
  SimNode *node = ctx;
  Wal *wal = log_set_find(node->logs, log);
  return wal != NULL && wal_end_chain(wal, out_index, out_digest);
}

static void on_digest(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  const ReadJob *job = event->message;
  Wal *wal = log_set_find(node->logs, job->log);
  guint64 digest = 0;
  DigestVerdict verdict = DIGEST_UNKNOWN;
  if (wal != NULL && wal_chain_at(wal, job->from, &digest, NULL))
    verdict = DIGEST_KNOWN;
  group_on_digest(node->group, event->peer, job->log, job->from, verdict, digest, sim->now_us);
}

static void port_read_digest(gpointer ctx, guint32 peer, LogId log, guint64 index)
{
  add_job(ctx, on_digest, peer, (ReadJob){.log = log, .from = index});
}

static void on_clock_bound(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  gboolean kept = identity_set_clock_bound(node->identity, event->cookie, NULL);
  g_free(disk_take_failed(node->disk));
  group_on_clock_bound(node->group, event->cookie, kept);
}

static void port_keep_clock_bound(gpointer ctx, guint64 hlc)
{
  SimNode *node = ctx;
  sim_add_event(
      node->sim, node->disk_us,
      (Event){.run = on_clock_bound, .node = node->id, .life = node->life, .cookie = hlc});
}

static void on_members(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  group_on_members_kept(node->group,
                        identity_set_members(node->identity, event->message, event->cookie, NULL));
}

static void port_keep_members(gpointer ctx, GPtrArray *members, guint64 changes)
{
  SimNode *node = ctx;
  sim_add_event(node->sim, node->disk_us,
                (Event){.run = on_members,
                        .node = node->id,
                        .life = node->life,
                        .cookie = changes,
                        .message = g_ptr_array_ref(members),
                        .free_message = (GDestroyNotify)g_ptr_array_unref});
}

static gboolean port_meet(gpointer ctx, guint32 peer, const char *address)
{
  (void)ctx;
  (void)peer;
  (void)address;
  return TRUE;
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void port_write_done(gpointer ctx, gpointer data, SynclogStatus status, const char *message,
                            const Token *token)
{
  SimNode *node = ctx;
  SimWrite *write = data;
  (void)message;
  gboolean known = g_ptr_array_remove_fast(node->writes, write);
  if (!known)
    sim_fail(node->sim, "P2", "node %u answered a write twice", node->id);
  if (!node->dying)
    check_answered(node, write, status, token);
  write_free(write);
}

void node_write(SimNode *node, SimWrite *write)
{
  g_autoptr(GError) error = NULL;
  write->write.decoded =
      store_decode(write->write.data, write->write.size, PARTITION_INTERVAL, &error);
  g_assert_no_error(error);
  g_ptr_array_add(node->writes, write);
  if (group_write(node->group, &write->write, &error))
    return;
  g_ptr_array_remove_fast(node->writes, write);
  write_free(write);
}

static void port_read_done(gpointer ctx, gpointer read, SynclogStatus status, const char *message)
{
  (void)ctx;
  (void)read;
  (void)status;
  (void)message;
}

static void port_note(gpointer ctx, GLogLevelFlags level, const char *text)
{
  SimNode *node = ctx;
  (void)level;
  if (!node->dying)
    sim_trace(node->sim, "n%u says: %s", node->id, text);
}

static const GroupPorts node_ports = {.work = port_work,
                                      .read_log = port_read_log,
                                      .digest_at_end = port_digest_at_end,
                                      .read_digest = port_read_digest,
                                      .apply = port_apply,
                                      .keep_clock_bound = port_keep_clock_bound,
                                      .keep_members = port_keep_members,
                                      .meet = port_meet,
                                      .connect = port_connect,
                                      .disconnect = port_disconnect,
                                      .send_handshake = port_send_handshake,
                                      .send_heartbeat = port_send_heartbeat,
                                      .send_sync = port_send_sync,
                                      .write_done = port_write_done,
                                      .sync_done = port_sync_done,
                                      .read_done = port_read_done,
                                      .note = port_note};

/* --- starting -----------------------------------------------------------------------------------
 */

static Membership *everybody(const Sim *sim, const SimNode *node)
{
  guint32 self = node->id;
  if (node->identity->members != NULL)
    return membership_new_kept(self, node->identity->members);
  g_autoptr(GArray) peers = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint32 i = 1; i <= sim->config.nodes; i++)
    if (i != self)
      g_array_append_val(peers, i);
  return membership_new(self, peers);
}

/* What opening a log left of it is durable, and what the origin made. */
static void look_at_log(SimNode *node, Wal *wal)
{
  guint64 index = wal_first_index(wal);
  for (;;) {
    g_autoptr(EntryRun) run = wal_read(wal, index, 1000, READ_ALL_BYTES, NULL);
    if (run == NULL) /* a read that fails once */
      run = wal_read(wal, index, 1000, READ_ALL_BYTES, NULL);
    if (run == NULL && index >= wal_last_index(wal))
      return;
    if (run == NULL) { /* a bad record: what is behind it counts too */
      index++;
      continue;
    }
    if (wal_log(wal).origin == node->id)
      truth_tell(node, run);
    else
      truth_compare(node, run);
    index = entry_run_last_index(run) + 1;
  }
}

static void make_group(SimNode *node, const GArray *found, LogId own)
{
  Sim *sim = node->sim;
  node->membership = everybody(sim, node);
  GroupOptions options = sim->config.group;
  options.own = own;
  options.membership = node->membership;
  options.random_seed = g_rand_int(sim->rand);
  options.wall_ms = node_wall_ms(node);
  options.clock_bound = node->identity->clock_bound;
  GroupPorts ports = node_ports;
  ports.ctx = node;
  node->group = group_new(&options, &ports);
  for (guint i = 0; i < found->len; i++)
    group_add_log(node->group, &g_array_index(found, GroupLog, i));
}

static gboolean open_disk(SimNode *node, GArray **out_found, LogId *out_own, GError **error)
{
  const SimConfig *config = &node->sim->config;
  const WalIo *io = disk_io(node->disk);
  node->identity =
      identity_open_on(io, disk_inode(node->disk), NODE_DIRECTORY, node->id, "sim", "ms", error);
  if (node->identity == NULL)
    return FALSE;
  node->logs = log_set_open(WAL_DIRECTORY, config->segment_size, node->id, io, error);
  if (node->logs == NULL)
    return FALSE;
  const GArray *logs = log_set_found(node->logs);
  for (guint i = 0; i < logs->len && !disk_is_stopped(node->disk); i++)
    look_at_log(node, g_array_index(logs, FoundLog, i).wal);
  node->store = sim_store_new(node);
  guint64 limit_ms = node_wall_ms(node) + (guint64)config->group.max_clock_skew_ms + 1;
  guint64 before = node->identity->incarnation;
  if (!recovery_run(node->identity, node->logs, node->store, PARTITION_INTERVAL,
                    node_wall_ms(node) * 1000, hlc_from_ms(limit_ms) - 1, out_found, out_own,
                    error))
    return FALSE;
  if (before != node->identity->incarnation)
    sim_trace(node->sim, "n%u begins incarnation %lu", node->id,
              (gulong)node->identity->incarnation);
  node->own_wal = log_set_find(node->logs, *out_own);
  if (!identity_set_clean(node->identity, TRUE, error))
    return FALSE;
  return !disk_is_stopped(node->disk) || fail(error, SYNCLOG_INTERNAL, "the power is gone");
}

static void close_disk(SimNode *node, NodeDeath death)
{
  g_clear_pointer(&node->store, store_close);
  g_clear_pointer(&node->logs, log_set_close);
  g_clear_pointer(&node->identity, identity_free);
  g_clear_pointer(&node->membership, membership_free);
  node->own_wal = NULL;
  sim_store_die(node);
  disk_die(node->disk, death == DIE_POWER);
}

/* A backup, of a moment at which nothing is under way. */
static void keep_copy(SimNode *node)
{
  Sim *sim = node->sim;
  if (sim->config.weight[FAULT_RESTORE] == 0 || node->id != sim->config.bad_disk ||
      !sim_percent(sim, 50))
    return;
  disk_keep_copy(node->disk);
  sim_store_keep_copy(node);
}

gboolean node_start(SimNode *node)
{
  Sim *sim = node->sim;
  g_assert(node->group == NULL);
  node->life++;
  node->horizon = 0;
  node->has_failed_log = FALSE;
  g_autoptr(GArray) found = NULL;
  g_autoptr(GError) error = NULL;
  LogId own;
  if (!open_disk(node, &found, &own, &error)) {
    sim_trace(sim, "n%u does not start: %s", node->id, error->message);
    close_disk(node, disk_is_stopped(node->disk) ? DIE_POWER : DIE_KILLED);
    return FALSE;
  }
  g_free(disk_take_failed(node->disk));
  for (guint i = 0; i < found->len; i++) {
    const GroupLog *log = &g_array_index(found, GroupLog, i);
    sim_trace(sim, "n%u starts: %s first %lu last %lu applied %lu%s%s", node->id,
              sim_log_name(log->log), (gulong)log->first_available, (gulong)log->last,
              (gulong)log->applied, log->stopped != NULL ? ", stopped: " : "",
              log->stopped != NULL ? log->stopped : "");
  }
  sim_trace(sim, "n%u is up, writes %s", node->id, sim_log_name(own));
  check_recovered(node);
  keep_copy(node);
  make_group(node, found, own);
  group_start(node->group, sim->now_us);
  sim_add_event(sim, HOUSEKEEPING_US,
                (Event){.run = on_housekeeping, .node = node->id, .life = node->life});
  node_turn_log_thread(node);
  return TRUE;
}

static void on_start(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  node->restart_planned = FALSE;
  if (node_is_up(node) || node->gone)
    return;
  if (!node_start(node))
    node_plan_start(node, sim->config.down_us);
}

void node_plan_start(SimNode *node, gint64 delay_us)
{
  if (node->restart_planned)
    return;
  node->restart_planned = TRUE;
  sim_add_event(node->sim, delay_us, (Event){.run = on_start, .node = node->id});
}

/* --- dying --------------------------------------------------------------------------------------
 */

void node_die(SimNode *node, NodeDeath death)
{
  g_assert(node->group != NULL);
  node->dying = TRUE;
  if (node->done.own_run != NULL) {
    g_autoptr(GError) error = NULL;
    fail(&error, SYNCLOG_INTERNAL, "the process is gone");
    for (guint i = 0; i < node->done.work.writes->len; i++)
      ((GroupWrite *)node->done.work.writes->pdata[i])->decoded = NULL;
    group_on_own_failed(node->group, node->done.work.writes, error);
  }
  clear_done(node);
  group_stop(node->group);
  g_clear_pointer(&node->group, group_free);
  EntryRun *run;
  while ((run = g_queue_pop_head(&node->applies)) != NULL)
    entry_run_unref(run);
  node->apply_bytes = 0;
  node->log_busy = node->applying = node->persisting = node->turn_planned = FALSE;
  node->life++;
  network_die(node);
  close_disk(node, death);
  node->dying = FALSE;
}

void node_crash(SimNode *node, NodeDeath death, gint64 down_us)
{
  sim_trace(node->sim, "n%u %s", node->id, death == DIE_POWER ? "loses power" : "is killed");
  node_die(node, death);
  node_plan_start(node, sim_around_us(node->sim, down_us));
}

gboolean node_needs_restart(const SimNode *node)
{
  NodeStatus *status = node_status_new();
  group_status(node->group, status, node->sim->now_us);
  gboolean needs = FALSE;
  for (guint i = 0; i < status->logs->len; i++)
    needs |= strcmp(g_array_index(status->logs, LogStatus, i).state, "read-only") == 0;
  node_status_free(status);
  return needs;
}

void node_init(Sim *sim, guint32 id)
{
  SimNode *node = &sim->nodes[id];
  node->sim = sim;
  node->id = id;
  node->disk = disk_new(g_rand_int(sim->rand));
  node->disk_us = sim->config.disk_us;
  node->apply_us = sim->config.apply_us;
  node->stored = g_ptr_array_new_with_free_func(stored_log_free);
  node->claims = g_array_new(FALSE, FALSE, sizeof(Claim));
  node->calls = g_ptr_array_new();
  node->writes = g_ptr_array_new();
  g_queue_init(&node->applies);
}

void node_clear(SimNode *node)
{
  if (node_is_up(node))
    node_die(node, DIE_KILLED);
  disk_free(node->disk);
  g_ptr_array_unref(node->stored);
  g_clear_pointer(&node->stored_copy, g_ptr_array_unref);
  g_array_unref(node->claims);
  g_ptr_array_unref(node->calls);
  g_ptr_array_unref(node->writes);
}
