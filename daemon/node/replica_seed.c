/*
 * This node gets a snapshot of another one: because entries that it lacks are deleted wherever it
 * could get them from, or because an operator says so. A thread fetches and checks it; then the
 * node opens its group anew, which installs it (node/install.h).
 */
#include "base/failpoint.h"
#include "base/snapshot_copy.h"
#include "node/install.h"
#include "node/replica_private.h"
#include "rpc/client.h"

#include <string.h>

enum {
  SURE_TICKS = 2,       /* so many seconds in a row it is needed before anything is done */
  LONGEST_WAIT_S = 60,  /* between attempts */
  THREAD_WAIT_S = 10,   /* when no thread could be had for one */
  POLL_US = 200 * 1000, /* while the snapshot is being prepared */
  PAUSE_US = 20 * 1000, /* when the rate limit wants one */
  PREPARE_S = 3600,     /* most for preparing it */
  LEAST_HINT_MS = 1000, /* told to clients meanwhile */
  MOST_HINT_MS = 30000,
  RESUME_TRIES = 5, /* seconds to wait, and attempts, for the node that had begun to give */
};

/* So often the giver is told that its snapshot is still wanted, also while nothing is fetched. */
#define RENEW_US (30 * G_USEC_PER_SEC)

/* What the thread works with. */
typedef struct Seeding {
  Replica *replica;
  guint32 from;
  RpcClient *client;
  guint64 requester;
  guint64 id; /* of the snapshot */
  gint64 renewed_us;
} Seeding;

static void say(Replica *replica, char *text)
{
  replica_lock(replica);
  g_free(replica->seed.text);
  replica->seed.text = text;
  replica_unlock(replica);
}

/* Waits; FALSE when the node stops. */
static gboolean pause_us(Replica *replica, gint64 wait_us)
{
  gint64 until_us = g_get_monotonic_time() + wait_us;
  replica_lock(replica);
  while (!replica->seed.stop && replica_wait_until(replica, &replica->seed.cond, until_us))
    ;
  gboolean go_on = !replica->seed.stop;
  replica_unlock(replica);
  return go_on;
}

static gboolean get_fragment(gpointer ctx, guint64 id, guint32 file, guint64 offset, gsize size,
                             SnapshotFragment *out_fragment, GBytes **out_bytes, GError **error)
{
  Seeding *seeding = ctx;
  for (;;) {
    g_autoptr(GError) local = NULL;
    FAILPOINT("seed_before_fragment");
    if (rpc_client_fragment(seeding->client, seeding->replica->options.group.group, id, file,
                            offset, size, out_fragment, out_bytes, &local))
      return TRUE;
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_OVERLOADED) ||
        !pause_us(seeding->replica, PAUSE_US)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
  }
}

/* --- one attempt --------------------------------------------------------------------------------
 */

static Snapshot *ask(Seeding *seeding, guint64 id, GError **error)
{
  Replica *replica = seeding->replica;
  SnapshotRequest request = {.group = replica->options.group.group,
                             .requester = seeding->requester,
                             .id = id,
                             .cluster_id = replica->identity->cluster_id,
                             .node_id = replica->identity->node_id};
  gint64 until_us = g_get_monotonic_time() + (gint64)PREPARE_S * G_USEC_PER_SEC;
  for (;;) {
    g_autoptr(GError) local = NULL;
    Snapshot *snapshot = rpc_client_snapshot(seeding->client, &request, &local);
    if (snapshot != NULL)
      return snapshot;
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NOT_READY) ||
        strstr(local->message, "prepared") == NULL || g_get_monotonic_time() > until_us ||
        !pause_us(replica, POLL_US)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
  }
}

/* Without it the giver would delete the snapshot and the logs behind it. */
static void renew(Seeding *seeding)
{
  gint64 now_us = g_get_monotonic_time();
  if (now_us - seeding->renewed_us < RENEW_US)
    return;
  g_autoptr(GError) error = NULL;
  g_autoptr(Snapshot) snapshot = ask(seeding, seeding->id, &error);
  if (snapshot == NULL)
    g_info("node %u does not keep its snapshot: %s", seeding->from, error->message);
  seeding->renewed_us = g_get_monotonic_time();
}

static gboolean step(gpointer ctx, guint64 done, guint64 all)
{
  Seeding *seeding = ctx;
  Replica *replica = seeding->replica;
  replica_lock(replica);
  gboolean go_on = !replica->seed.stop;
  replica->seed.done = done;
  replica->seed.all = all;
  replica_unlock(replica);
  if (go_on)
    renew(seeding);
  return go_on;
}

static gboolean compare_step(gpointer ctx)
{
  Seeding *seeding = ctx;
  FAILPOINT("seed_comparing");
  gboolean go_on = pause_us(seeding->replica, 0);
  if (go_on)
    renew(seeding);
  return go_on;
}

static guint64 applied_in(gpointer ctx, LogId log)
{
  return snapshot_applied(ctx, log);
}

/* Whether it fits this node and loses nothing. */
static gboolean judge(Replica *replica, const Snapshot *snapshot, guint32 from, GError **error)
{
  const Identity *identity = replica->identity;
  if (snapshot->node_id != from)
    return fail(error, SYNCLOG_INVALID, "it is one of node %u, asked was node %u",
                snapshot->node_id, from);
  if (strcmp(snapshot->cluster_id, identity->cluster_id) != 0)
    return fail(error, SYNCLOG_WRONG_CLUSTER, "it is one of cluster \"%s\"", snapshot->cluster_id);
  if (strcmp(snapshot->time_precision, identity->time_precision) != 0)
    return fail(error, SYNCLOG_WRONG_PRECISION, "its time precision is %s",
                snapshot->time_precision);
  if (snapshot->partition_interval != replica->options.partition_interval)
    return fail(error, SYNCLOG_INVALID,
                "its partition_interval is %" G_GUINT64_FORMAT
                " units of time, here it is %" G_GUINT64_FORMAT,
                snapshot->partition_interval, replica->options.partition_interval);
  if (!store_check_format(snapshot->store_format, error))
    return FALSE;
  g_autofree char *why = NULL;
  replica_lock(replica);
  gboolean covers = group_covers(replica->group, applied_in, (gpointer)snapshot, &why);
  replica_unlock(replica);
  if (!covers)
    return fail(error, SYNCLOG_INVALID, "it would lose entries: %s", why);
  return replica_has_room(replica, snapshot_bytes(snapshot), error);
}

/* The snapshot to fetch: the one that was begun, if its node still has it, or a new one. */
static Snapshot *choose(Seeding *seeding, GError **error)
{
  const char *directory = seeding->replica->options.directory;
  gboolean ready;
  g_autoptr(Snapshot) begun = install_pending(directory, &ready);
  g_autoptr(Snapshot) snapshot = NULL;
  if (begun != NULL && begun->node_id == seeding->from) {
    g_autoptr(GError) gone = NULL;
    snapshot = ask(seeding, begun->id, &gone);
    if (snapshot == NULL && !g_error_matches(gone, SYNCLOG_ERROR, SYNCLOG_INVALID)) {
      g_propagate_error(error, g_steal_pointer(&gone));
      return NULL;
    }
    if (snapshot != NULL)
      g_message("fetching the snapshot of node %u goes on", seeding->from);
  }
  if (snapshot == NULL && install_discard(directory, error))
    snapshot = ask(seeding, 0, error);
  if (snapshot == NULL)
    return NULL;
  if (!judge(seeding->replica, snapshot, seeding->from, error)) {
    fail_prefix(error, "the snapshot of node %u is of no use: ", seeding->from);
    return NULL;
  }
  return g_steal_pointer(&snapshot);
}

/* Opens what was fetched and compares it with what was told. */
static gboolean compare(Seeding *seeding, const Snapshot *snapshot, const char *copy,
                        GError **error)
{
  g_autofree char *unused = NULL;
  StoreOptions options = replica_store_options(seeding->replica, &unused);
  options.directory = copy;
  options.read_only = TRUE;
  options.digest_step = compare_step;
  options.digest_ctx = seeding;
  g_autoptr(Store) store = store_rocks_new(&options, error);
  g_autoptr(GArray) progress = NULL;
  StateDigest digest;
  if (store == NULL || !store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, error))
    return FALSE;
  const StateDigest *told = &snapshot->digest;
  if (digest.low != told->low || digest.high != told->high || digest.cells != told->cells)
    return fail(error, SYNCLOG_CORRUPT, "what was fetched has another digest than was told");
  gboolean same = progress->len == snapshot->logs->len;
  for (guint i = 0; same && i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    same = snapshot_applied(snapshot, one->log) == one->applied;
  }
  return same ||
         fail(error, SYNCLOG_CORRUPT, "what was fetched has another progress than was told");
}

static gboolean fetch(Seeding *seeding, GError **error)
{
  Replica *replica = seeding->replica;
  const char *directory = replica->options.directory;
  g_autoptr(Snapshot) snapshot = choose(seeding, error);
  if (snapshot == NULL)
    return FALSE;
  seeding->id = snapshot->id;
  seeding->renewed_us = g_get_monotonic_time();
  g_autofree char *manifest = install_manifest_path(directory);
  g_autofree char *copy = install_copy_path(directory);
  g_message("fetching a snapshot of node %u: %" G_GUINT64_FORMAT " bytes in %u files",
            seeding->from, snapshot_bytes(snapshot), snapshot->files->len);
  FAILPOINT("seed_before_manifest");
  SnapshotCopy job = {snapshot, copy, get_fragment, step, seeding};
  if (!snapshot_save(snapshot, SEED_FETCHING, manifest, error) || !snapshot_copy(&job, error))
    return FALSE;
  say(replica, g_strdup_printf("comparing the snapshot of node %u", seeding->from));
  FAILPOINT("seed_before_compare");
  if (!compare(seeding, snapshot, copy, error)) {
    if (pause_us(replica, 0)) /* unless the node stops, the next attempt begins anew */
      install_discard(directory, NULL);
    return FALSE;
  }
  FAILPOINT("seed_before_ready");
  if (!snapshot_save(snapshot, SEED_READY, manifest, error))
    return FALSE;
  FAILPOINT("seed_ready");
  rpc_client_snapshot_end(seeding->client, replica->options.group.group, snapshot->id, NULL);
  return TRUE;
}

/* --- the thread ---------------------------------------------------------------------------------
 */

static void seeding_free(Seeding *seeding)
{
  rpc_client_free(seeding->client);
  g_free(seeding);
}

static gpointer seed_thread(gpointer data)
{
  Seeding *seeding = data;
  Replica *replica = seeding->replica;
  g_autoptr(GError) error = NULL;
  log_set_group(replica->options.group.group);
  gboolean done = fetch(seeding, &error);
  replica_lock(replica);
  gboolean stopping = replica->seed.stop;
  replica->seed.running = FALSE;
  if (!done) /* whether it still loses nothing is looked at again with the next attempt */
    group_release(replica->group, SEED_HOLD);
  if (done) {
    replica->seed.ready = TRUE;
  } else if (!stopping) {
    gint64 wait_s = MIN((gint64)1 << MIN(replica->seed.failures, 10), LONGEST_WAIT_S);
    replica->seed.failures++;
    /* Who gave nothing may go on doing so; what was begun goes on where it was. */
    if (seeding->id == 0)
      g_array_append_val(replica->seed.tried, seeding->from);
    replica->seed.retry_us = clock_mono_us(replica->clock) + wait_s * G_USEC_PER_SEC;
    g_free(replica->seed.text);
    replica->seed.text =
        g_strdup_printf("no snapshot of node %u: %s", seeding->from, error->message);
    g_warning("no snapshot of node %u: %s", seeding->from, error->message);
  }
  replica_unlock(replica);
  seeding_free(seeding);
  return NULL;
}

/* What is applied here now is not deleted from the logs until the snapshot is in its place. Caller
 * holds `mutex`. */
static void hold_logs(Replica *replica)
{
  g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(LogPoint));
  g_autoptr(Progress) progress = group_progress(replica->group);
  for (guint i = 0; i < progress->logs->len; i++) {
    const LogProgress *log = &g_array_index(progress->logs, LogProgress, i);
    LogPoint point = {log->log, log->first_available - 1};
    g_array_append_val(points, point);
  }
  group_release(replica->group, SEED_HOLD);
  group_hold(replica->group, SEED_HOLD, points);
}

/* NULL also once the replica is stopped: the links are freed then, without the lock. Caller holds
 * `mutex`. */
static const char *address_of(Replica *replica, guint32 peer)
{
  for (guint i = 0; !replica->stopped && i < replica->links->len; i++)
    if (((Link *)replica->links->pdata[i])->peer == peer)
      return ((Link *)replica->links->pdata[i])->address;
  return NULL;
}

/* The node to ask now; 0: none. What was begun before the start is best gone on with where it was,
 * but the node that gave it may never come back. Caller holds `mutex`. */
static guint32 choose_giver(Replica *replica)
{
  ReplicaSeed *seed = &replica->seed;
  guint32 from = group_seeder(replica->group, seed->from, seed->tried);
  for (guint i = 0; i < seed->tried->len; i++)
    if (g_array_index(seed->tried, guint32, i) == from)
      g_array_set_size(seed->tried, 0); /* all were asked: the next round */
  if (!seed->resumed)
    return from;
  seed->unheard += from == 0;
  if (seed->unheard < RESUME_TRIES && seed->failures < RESUME_TRIES)
    return from;
  seed->from = 0;
  seed->resumed = FALSE;
  return group_seeder(replica->group, 0, seed->tried);
}

/* Caller holds `mutex`. */
static void start(Replica *replica, gint64 now_us)
{
  guint32 from = choose_giver(replica);
  const char *address = from != 0 ? address_of(replica, from) : NULL;
  g_free(replica->seed.text);
  if (address == NULL) {
    replica->seed.text = g_strdup("no connected peer can give a snapshot that loses nothing");
    replica->seed.retry_us = now_us + G_USEC_PER_SEC;
    return;
  }
  replica->seed.text = g_strdup_printf("fetching a snapshot from node %u", from);
  hold_logs(replica);
  Seeding *seeding = g_new0(Seeding, 1);
  seeding->replica = replica;
  seeding->from = from;
  seeding->client = rpc_client_new(address, replica->options.request_timeout_ms);
  seeding->requester = (guint64)g_random_int() << 16 | 1;
  replica->seed.begun_us = now_us;
  replica->seed.running = TRUE;
  replica->seed.done = replica->seed.all = 0;
  g_autoptr(GError) error = NULL;
  replica->seed.thread = g_thread_try_new("seed", seed_thread, seeding, &error);
  if (replica->seed.thread != NULL)
    return;
  g_free(replica->seed.text);
  replica->seed.text = g_strdup_printf("no snapshot is fetched: %s", error->message);
  g_warning("%s", replica->seed.text);
  replica->seed.running = FALSE;
  replica->seed.retry_us = now_us + THREAD_WAIT_S * G_USEC_PER_SEC;
  group_release(replica->group, SEED_HOLD);
  seeding_free(seeding);
}

static void set_lacking(Replica *replica)
{
  gboolean needs = group_needs_seed(replica->group);
  /* A node that is cut off serves what it has and takes writes, as any other. */
  gboolean lacking = needs && group_hears_anybody(replica->group);
  replica->seed.needed_ticks = needs ? replica->seed.needed_ticks + 1 : 0;
  if (lacking == replica->seed.lacking)
    return;
  replica->seed.lacking = lacking;
  replica_update_refusal(replica);
}

/* When the snapshot will be here, by how fast it came so far. */
static gint32 left_ms(const ReplicaSeed *seed, gint64 now_us)
{
  gdouble ms = LEAST_HINT_MS;
  if (seed->running && seed->done > 0 && seed->all > seed->done)
    ms = (gdouble)(now_us - seed->begun_us) / 1000 * (gdouble)(seed->all - seed->done) /
         (gdouble)seed->done;
  return (gint32)CLAMP(ms, LEAST_HINT_MS, MOST_HINT_MS);
}

void replica_seed_tick(Replica *replica)
{
  GThread *ended = NULL;
  gint64 now_us = clock_mono_us(replica->clock);
  replica_lock(replica);
  set_lacking(replica);
  g_atomic_int_set(&replica->not_ready_ms,
                   replica->seed.lacking ? left_ms(&replica->seed, now_us) : 0);
  if (!replica->seed.running)
    ended = g_steal_pointer(&replica->seed.thread);
  gboolean wanted = replica->seed.asked || replica->seed.needed_ticks >= SURE_TICKS;
  if (!wanted && ended == NULL && replica->seed.thread == NULL)
    g_clear_pointer(&replica->seed.text, g_free);
  if (wanted && replica->seed.thread == NULL && !replica->seed.ready && !replica->draining &&
      replica->fatal == NULL && now_us >= replica->seed.retry_us)
    start(replica, now_us);
  replica_unlock(replica);
  if (ended != NULL)
    g_thread_join(ended);
}

void replica_seed_stop(Replica *replica)
{
  replica_lock(replica);
  replica->seed.stop = TRUE;
  g_cond_broadcast(&replica->seed.cond);
  GThread *thread = g_steal_pointer(&replica->seed.thread);
  replica_unlock(replica);
  if (thread != NULL)
    g_thread_join(thread);
}

gboolean replica_wants_reopening(Replica *replica)
{
  replica_lock(replica);
  gboolean ready = replica->seed.ready;
  replica_unlock(replica);
  return ready;
}

void replica_seed_status(Replica *replica, NodeStatus *status)
{
  const ReplicaSeed *seed = &replica->seed;
  if (seed->lacking && !replica->draining)
    status->state = "seeding";
  if (seed->text == NULL)
    return;
  g_autofree char *before = g_steal_pointer(&status->message);
  status->message =
      seed->running && seed->all > 0
          ? g_strdup_printf("%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes", seed->text,
                            seed->done, seed->all)
          : g_strdup(seed->text);
}

/* --- an operator's word -------------------------------------------------------------------------
 */

static gboolean reseed_here(Replica *replica, guint32 from, GError **error)
{
  if (from == replica->identity->node_id)
    return fail(error, SYNCLOG_INVALID, "a node can't be given a snapshot of itself");
  replica_lock(replica);
  gboolean known = from == 0 || (membership_has(replica->membership, from) &&
                                 !membership_is_gone(replica->membership, from));
  gboolean possible = known && group_seeder(replica->group, from, NULL) != 0;
  if (possible) {
    replica->seed.asked = TRUE;
    replica->seed.from = from;
    replica->seed.resumed = FALSE;
    replica->seed.retry_us = 0;
  }
  replica_unlock(replica);
  if (!known)
    return fail(error, SYNCLOG_NOT_MEMBER, "node %u is not a member here", from);
  return possible ||
         fail(error, SYNCLOG_NOT_READY, "no connected peer can give a snapshot that loses nothing");
}

static gboolean pass_on(Replica *replica, const ReseedRequest *request, GError **error)
{
  replica_lock(replica);
  g_autofree char *address = g_strdup(address_of(replica, request->node_id));
  replica_unlock(replica);
  if (address == NULL)
    return fail(error, SYNCLOG_NOT_MEMBER, "node %u is not a member here", request->node_id);
  ReseedRequest passed = *request;
  passed.cluster_id = replica->identity->cluster_id;
  g_autoptr(RpcClient) client = rpc_client_new(address, replica->options.request_timeout_ms);
  return rpc_client_reseed(client, &passed, error);
}

gboolean replica_reseed(Replica *replica, const ReseedRequest *request, GError **error)
{
  if (request->of_peer && g_strcmp0(request->cluster_id, replica->identity->cluster_id) != 0)
    return fail(error, SYNCLOG_WRONG_CLUSTER, "this node belongs to cluster \"%s\"",
                replica->identity->cluster_id);
  if (request->node_id == replica->identity->node_id)
    return reseed_here(replica, request->from_node_id, error);
  /* Passed on once, not around in circles. */
  return request->of_peer
             ? fail(error, SYNCLOG_INVALID, "this is node %u", replica->identity->node_id)
             : pass_on(replica, request, error);
}

void replica_resume_seed(Replica *replica)
{
  gboolean ready = FALSE;
  g_autoptr(Snapshot) begun = install_pending(replica->options.directory, &ready);
  if (begun == NULL)
    return;
  replica->seed.asked = TRUE;
  replica->seed.from = begun->node_id;
  replica->seed.resumed = TRUE;
}
