/*
 * Snapshots of this node for others: a checkpoint of the store, made by the apply thread, described
 * by a thread of its own, and given away in fragments. While one is in use the logs behind it are
 * kept.
 */
#include "base/failpoint.h"
#include "base/snapshot_copy.h"
#include "node/replica_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
  MAX_SNAPSHOTS = 4, /* with files */
  MAX_HOLDS = 64,
  IDLE_US = 120 * G_USEC_PER_SEC, /* without a request; then it is given up */
  LEAST_BURST = 2 << 20,          /* bytes that a rate limit lets pass at once */
};

typedef enum { MAKING, MADE, FAILED, ENDED } MadeState;

/* Reference-counted; `snapshot` does not change once it is MADE. */
typedef struct Made {
  guint64 id, requester;
  char *directory;
  MadeState state;
  gboolean told;
  GError *error;
  Snapshot *snapshot;
  gint64 used_us;
} Made;

struct Snapshots {
  char *directory;
  GMutex mutex;    /* guards what follows; a leaf, but for apply_mutex */
  GPtrArray *made; /* Made */
  guint64 rate;    /* bytes per second; 0: no limit */
  gint64 credit;   /* bytes that may pass now */
  gint64 filled_us;
};

static void made_clear(gpointer data)
{
  Made *made = data;
  g_free(made->directory);
  g_clear_error(&made->error);
  g_clear_pointer(&made->snapshot, snapshot_free);
}

static void made_unref(gpointer made)
{
  g_atomic_rc_box_release_full(made, made_clear);
}

static void remove_tree(const char *directory)
{
  g_autoptr(GError) error = NULL;
  if (!store_remove(directory, &error))
    g_warning("%s", error->message);
}

/* What an earlier process left. */
static void remove_all(const char *directory)
{
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    remove_tree(path);
  }
}

Snapshots *snapshots_new(const char *group_directory, guint64 rate)
{
  Snapshots *snapshots = g_new0(Snapshots, 1);
  snapshots->directory = g_build_filename(group_directory, "snapshots", NULL);
  g_mutex_init(&snapshots->mutex);
  snapshots->made = g_ptr_array_new_with_free_func(made_unref);
  snapshots->rate = rate;
  remove_all(snapshots->directory);
  if (g_mkdir_with_parents(snapshots->directory, 0750) != 0)
    g_warning("%s: %s", snapshots->directory, g_strerror(errno));
  return snapshots;
}

void snapshots_free(Snapshots *snapshots)
{
  g_ptr_array_unref(snapshots->made);
  g_mutex_clear(&snapshots->mutex);
  remove_all(snapshots->directory);
  g_free(snapshots->directory);
  g_free(snapshots);
}

void snapshots_set_rate(Snapshots *snapshots, guint64 rate)
{
  g_mutex_lock(&snapshots->mutex);
  snapshots->rate = rate;
  g_mutex_unlock(&snapshots->mutex);
}

/* --- making -------------------------------------------------------------------------------------
 */

/* One thread works on it until this is called: `error` NULL when it is made. */
static void end_making(Replica *replica, Made *made, const GError *error)
{
  Snapshots *snapshots = replica->snapshots;
  if (error != NULL) {
    g_warning("making a snapshot: %s", error->message);
    remove_tree(made->directory);
    replica_lock(replica);
    group_release(replica->group, made->id);
    replica_unlock(replica);
  }
  g_mutex_lock(&snapshots->mutex);
  made->state = error == NULL ? MADE : FAILED;
  made->error = error != NULL ? g_error_copy(error) : NULL;
  made->used_us = clock_mono_us(replica->clock);
  g_mutex_unlock(&snapshots->mutex);
}

/* RocksDB's own messages, lock and identity belong to one directory alone. */
static gboolean is_shipped(const char *name)
{
  return strcmp(name, "LOCK") != 0 && strcmp(name, "IDENTITY") != 0 &&
         !g_str_has_prefix(name, "LOG");
}

static gboolean list_files(Replica *replica, const char *directory, GArray *files, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  if (dir == NULL)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", directory);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    SnapshotFile file = {0};
    g_autofree char *path = g_build_filename(directory, name, NULL);
    if (!is_shipped(name))
      continue;
    if (replica_is_ending(replica))
      return fail(error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
    if (g_strlcpy(file.name, name, sizeof file.name) >= sizeof file.name)
      return fail(error, SYNCLOG_INTERNAL, "%s: the name is too long", path);
    if (!snapshot_measure(path, &file, error))
      return FALSE;
    g_array_append_val(files, file);
  }
  return TRUE;
}

/* With it a mirror that begins behind the copy can be compared (P4); 0: it is not known here. The
 * log is held from there on (hold). */
static guint64 log_digest(Replica *replica, const StoreProgress *one)
{
  Wal *wal = log_set_find(replica->logs, one->log);
  guint64 digest = 0;
  g_autoptr(GError) error = NULL;
  if (wal == NULL || one->applied == 0 || !wal_chain_at(wal, one->applied, &digest, &error)) {
    if (error != NULL)
      g_warning("the digest of a log, for a snapshot: %s", error->message);
    return 0;
  }
  return digest;
}

/* What the copy holds, by opening it. */
static gboolean describe(Replica *replica, Made *made, GError **error)
{
  g_autofree char *unused = NULL;
  StoreOptions options = replica_store_options(replica, &unused);
  options.directory = made->directory;
  options.read_only = TRUE;
  Snapshot *snapshot = made->snapshot;
  g_autoptr(Store) store = store_rocks_new(&options, error);
  g_autoptr(GArray) progress = NULL;
  StoreStats stats;
  if (store == NULL ||
      !store_digest(store, &(DigestScope){G_MAXUINT64}, &snapshot->digest, &progress, error))
    return FALSE;
  store_stats(store, &stats);
  snapshot->store_format = stats.format;
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    SnapshotLog log = {one->log, one->applied, one->hlc, log_digest(replica, one)};
    g_array_append_val(snapshot->logs, log);
  }
  return list_files(replica, made->directory, snapshot->files, error) &&
         snapshot_check(snapshot, error);
}

typedef struct MakeJob {
  Replica *replica;
  Made *made;
} MakeJob;

static void describe_job(gpointer data)
{
  g_autofree MakeJob *job = data;
  g_autoptr(GError) error = NULL;
  FAILPOINT("snapshot_before_describe");
  describe(job->replica, job->made, &error);
  end_making(job->replica, job->made, error);
  made_unref(job->made);
}

/* Nothing behind the copy is deleted from now on. Until now nothing of it was: the store did not
 * have it durably, and this thread alone persists. */
static void hold(Replica *replica, const Made *made, const GArray *progress)
{
  g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(LogPoint));
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    LogPoint point = {one->log, one->applied};
    g_array_append_val(points, point);
  }
  replica_lock(replica);
  group_hold(replica->group, made->id, points);
  replica_unlock(replica);
}

static gboolean copy_store(Replica *replica, const Made *made, GError **error)
{
  StoreStats stats;
  g_autoptr(GArray) progress = NULL;
  if (replica->store_full)
    return fail(error, SYNCLOG_NO_SPACE, "the store's disk is full");
  store_stats(replica->store, &stats);
  if (!replica_has_room(replica, stats.unpersisted_bytes, error))
    return FALSE;
  if (!replica_sync_logs(replica))
    return replica_fail_unsynced(replica, "", error);
  g_rw_lock_reader_lock(&replica->store_lock);
  gboolean copied = store_checkpoint(replica->store, made->directory, &progress, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  if (copied)
    hold(replica, made, progress);
  return copied;
}

void replica_make_checkpoint(Replica *replica)
{
  g_mutex_lock(&replica->apply_mutex);
  Made *made = g_queue_pop_head(&replica->checkpoints);
  g_mutex_unlock(&replica->apply_mutex);
  if (made == NULL)
    return;
  g_autoptr(GError) error = NULL;
  if (!copy_store(replica, made, &error)) {
    end_making(replica, made, error);
    made_unref(made);
    return;
  }
  MakeJob *job = g_new(MakeJob, 1);
  *job = (MakeJob){replica, made};
  replica_work_apart(replica, "describe", describe_job, job);
}

void replica_drop_checkpoints(Replica *replica)
{
  g_queue_clear_full(&replica->checkpoints, made_unref);
}

/* Caller holds the snapshots' mutex. */
static Made *begin_making(Replica *replica, guint64 requester)
{
  Snapshots *snapshots = replica->snapshots;
  Made *made = g_atomic_rc_box_new0(Made);
  do
    made->id = ((guint64)g_random_int() << 32 | g_random_int()) & G_MAXINT64;
  while (made->id == 0);
  made->requester = requester;
  made->directory = g_strdup_printf("%s/%" G_GUINT64_FORMAT, snapshots->directory, made->id);
  made->snapshot = snapshot_new();
  made->snapshot->id = made->id;
  made->snapshot->node_id = replica->identity->node_id;
  made->snapshot->cluster_id = g_strdup(replica->identity->cluster_id);
  made->snapshot->time_precision = g_strdup(replica->identity->time_precision);
  made->snapshot->version = g_strdup(SYNCLOG_VERSION);
  made->snapshot->partition_interval = replica->options.partition_interval;
  made->snapshot->created_ms = clock_wall_ms(replica->clock);
  g_ptr_array_add(snapshots->made, made);
  g_mutex_lock(&replica->apply_mutex);
  g_queue_push_tail(&replica->checkpoints, g_atomic_rc_box_acquire(made));
  g_cond_signal(&replica->apply_cond);
  g_mutex_unlock(&replica->apply_mutex);
  return made;
}

/* --- asking -------------------------------------------------------------------------------------
 */

static Made *find_made(const Snapshots *snapshots, guint64 id)
{
  for (guint i = 0; i < snapshots->made->len; i++)
    if (((Made *)snapshots->made->pdata[i])->id == id)
      return snapshots->made->pdata[i];
  return NULL;
}

/* Those that are ended only hold the logs for a while. */
static gboolean is_crowded(const Snapshots *snapshots)
{
  guint in_use = 0;
  for (guint i = 0; i < snapshots->made->len; i++)
    in_use += ((const Made *)snapshots->made->pdata[i])->state != ENDED;
  return in_use >= MAX_SNAPSHOTS || snapshots->made->len >= MAX_HOLDS;
}

/* That of a requester which it was not told of yet. */
static Made *find_untold(const Snapshots *snapshots, guint64 requester)
{
  for (guint i = 0; i < snapshots->made->len; i++) {
    Made *made = snapshots->made->pdata[i];
    if (made->requester == requester && !made->told)
      return made;
  }
  return NULL;
}

static gboolean check_asker(Replica *replica, const SnapshotRequest *request, GError **error)
{
  if (request->of_peer && g_strcmp0(request->cluster_id, replica->identity->cluster_id) != 0)
    return fail(error, SYNCLOG_WRONG_CLUSTER, "this node belongs to cluster \"%s\"",
                replica->identity->cluster_id);
  g_autofree char *lacking = NULL;
  replica_lock(replica);
  gboolean member =
      !request->of_peer || (membership_has(replica->membership, request->node_id) &&
                            !membership_is_gone(replica->membership, request->node_id));
  gboolean stopped = replica->stopped || replica->draining;
  gboolean needy = group_needs_seed(replica->group);
  replica_unlock(replica);
  if (!member)
    return fail(error, SYNCLOG_NOT_MEMBER, "node %u is not a member here", request->node_id);
  if (stopped)
    return fail(error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  return !needy || fail(error, SYNCLOG_NOT_READY, "this node needs a snapshot itself");
}

/* Caller holds the mutex. A reference to what is made; NULL with an error otherwise. */
static Made *look_up(Replica *replica, const SnapshotRequest *request, GError **error)
{
  Snapshots *snapshots = replica->snapshots;
  Made *made = request->id != 0 ? find_made(snapshots, request->id)
                                : find_untold(snapshots, request->requester);
  if (request->id != 0 && (made == NULL || made->state != MADE)) {
    fail(error, SYNCLOG_INVALID, "there is no snapshot %" G_GUINT64_FORMAT " (any more)",
         request->id);
    return NULL;
  }
  if (made == NULL && is_crowded(snapshots)) {
    fail(error, SYNCLOG_OVERLOADED, "too many snapshots are in use");
    return NULL;
  }
  if (made == NULL)
    made = begin_making(replica, request->requester);
  made->used_us = clock_mono_us(replica->clock);
  if (made->state == MAKING) {
    fail(error, SYNCLOG_NOT_READY, "the snapshot is being prepared");
    return NULL;
  }
  made->told = TRUE;
  if (made->state == MADE)
    return g_atomic_rc_box_acquire(made);
  if (made->error != NULL)
    g_propagate_error(error, g_error_copy(made->error));
  else
    fail(error, SYNCLOG_INTERNAL, "the snapshot was given up");
  g_ptr_array_remove(snapshots->made, made);
  return NULL;
}

void replica_snapshot(Replica *replica, RpcCall *call, const SnapshotRequest *request)
{
  g_autoptr(GError) error = NULL;
  Made *made = NULL;
  if (check_asker(replica, request, &error)) {
    g_mutex_lock(&replica->snapshots->mutex);
    made = look_up(replica, request, &error);
    g_mutex_unlock(&replica->snapshots->mutex);
  }
  rpc_call_reply_snapshot(call, error, made != NULL ? made->snapshot : NULL);
  if (made != NULL)
    made_unref(made);
}

/* Whether the rate limit lets so many bytes pass now. */
static gboolean spend(Snapshots *snapshots, gsize bytes, gint64 now_us, GError **error)
{
  if (snapshots->rate == 0)
    return TRUE;
  gint64 most = MAX((gint64)MIN(snapshots->rate / 4, (guint64)G_MAXINT32), LEAST_BURST);
  gdouble more = (gdouble)snapshots->rate * (gdouble)(now_us - snapshots->filled_us) / 1e6;
  snapshots->credit = more >= (gdouble)most ? most : MIN(most, snapshots->credit + (gint64)more);
  snapshots->filled_us = now_us;
  if (snapshots->credit <= 0)
    return fail(error, SYNCLOG_OVERLOADED, "snapshot_rate wants a pause");
  snapshots->credit -= (gint64)bytes;
  return TRUE;
}

static Made *take_fragment(Replica *replica, const FragmentRequest *request, GError **error)
{
  Snapshots *snapshots = replica->snapshots;
  Made *made = find_made(snapshots, request->id);
  if (made == NULL || made->state != MADE) {
    fail(error, SYNCLOG_INVALID, "there is no snapshot %" G_GUINT64_FORMAT " (any more)",
         request->id);
    return NULL;
  }
  gint64 now_us = clock_mono_us(replica->clock);
  made->used_us = now_us;
  const GArray *files = made->snapshot->files;
  guint64 size =
      request->file < files->len ? g_array_index(files, SnapshotFile, request->file).size : 0;
  if (request->offset >= size || request->size > size - request->offset) {
    fail(error, SYNCLOG_INVALID, "the snapshot has no such bytes");
    return NULL;
  }
  return spend(snapshots, request->size, now_us, error) ? g_atomic_rc_box_acquire(made) : NULL;
}

static gboolean read_fragment(const Made *made, const FragmentRequest *request, guint8 *buffer,
                              GError **error)
{
  const SnapshotFile *file = &g_array_index(made->snapshot->files, SnapshotFile, request->file);
  g_autofree char *path = g_build_filename(made->directory, file->name, NULL);
  int fd = FAILPOINT_FAILS("snapshot_read") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", path);
  gsize at = 0;
  ssize_t n = 1;
  while (at < request->size && (n > 0 || (n < 0 && errno == EINTR))) {
    n = pread(fd, buffer + at, request->size - at, (off_t)(request->offset + at));
    at += n > 0 ? (gsize)n : 0;
  }
  int number = errno;
  close(fd);
  if (at == request->size)
    return TRUE;
  return n < 0 ? fail_errno(error, SYNCLOG_INTERNAL, number, "read %s", path)
               : fail(error, SYNCLOG_CORRUPT, "%s is shorter than it was", path);
}

void replica_fragment(Replica *replica, RpcCall *call, const FragmentRequest *request)
{
  g_autoptr(GError) error = NULL;
  g_mutex_lock(&replica->snapshots->mutex);
  Made *made = take_fragment(replica, request, &error);
  g_mutex_unlock(&replica->snapshots->mutex);
  g_autofree guint8 *buffer = made != NULL ? g_malloc(request->size) : NULL;
  SnapshotFragment fragment = {.id = request->id,
                               .file = request->file,
                               .offset = request->offset,
                               .data = buffer,
                               .size = request->size};
  if (made != NULL && read_fragment(made, request, buffer, &error))
    fragment.checksum = snapshot_fragment_checksum(&fragment);
  rpc_call_reply_fragment(call, error, &fragment);
  if (made != NULL)
    made_unref(made);
}

gboolean replica_snapshot_end(Replica *replica, guint64 id, GError **error)
{
  Snapshots *snapshots = replica->snapshots;
  g_mutex_lock(&snapshots->mutex);
  Made *made = find_made(snapshots, id);
  gboolean found = made != NULL && made->state == MADE;
  g_autofree char *directory = NULL;
  if (found) {
    /* The logs are held on for a while: whoever has it is just about to say how far it is. */
    made->state = ENDED;
    made->used_us = clock_mono_us(replica->clock);
    directory = g_strdup(made->directory);
  }
  g_mutex_unlock(&snapshots->mutex);
  if (found)
    remove_tree(directory);
  return found ||
         fail(error, SYNCLOG_INVALID, "there is no snapshot %" G_GUINT64_FORMAT " (any more)", id);
}

void replica_expire_snapshots(Replica *replica)
{
  Snapshots *snapshots = replica->snapshots;
  gint64 now_us = clock_mono_us(replica->clock);
  g_autoptr(GArray) released = g_array_new(FALSE, FALSE, sizeof(guint64));
  g_mutex_lock(&snapshots->mutex);
  for (guint i = snapshots->made->len; i > 0; i--) {
    const Made *made = snapshots->made->pdata[i - 1];
    if (made->state == MAKING || now_us - made->used_us < IDLE_US)
      continue;
    g_array_append_val(released, made->id);
    if (made->state == MADE)
      remove_tree(made->directory);
    g_ptr_array_remove_index(snapshots->made, i - 1);
  }
  g_mutex_unlock(&snapshots->mutex);
  replica_lock(replica);
  for (guint i = 0; i < released->len; i++)
    group_release(replica->group, g_array_index(released, guint64, i));
  replica_unlock(replica);
}
