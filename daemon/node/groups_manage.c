/* Opening, closing and deleting groups, and the threads that do so while the node runs. */
#include "base/limits.h"
#include "base/logging.h"
#include "node/config_table.h"
#include "node/groups_private.h"
#include "wal/file.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_PREFIX "group-"
#define PAST_SUFFIX ".past"       /* what is kept of a group that was deleted */
#define DELETED_SUFFIX ".deleted" /* behind the folder's name, until all of it is gone */

enum {
  DRAIN_MS = 3000,                /* to send the last entries of a group before it is closed */
  RETRY_US = 10 * G_USEC_PER_SEC, /* until a group that could not be opened is tried again */
  RETENTION_INTERVAL_MS = 1000,
  MAX_APPLY_BACKLOG = 16 << 20, /* the decoded forms take as much again, and more */
  AT_ONCE = 8,                  /* groups that are opened, closed or deleted beside each other */
  LEAST_STORE_FILES = 16,
  OPEN_FOLDERS = 16, /* while a tree is removed */
};

char *groups_directory(Groups *groups, guint32 id)
{
  return g_strdup_printf("%s/" FOLDER_PREFIX "%u", groups->data_dir, id);
}

GroupEntry *group_entry_new(guint32 id)
{
  GroupEntry *entry = g_new0(GroupEntry, 1);
  entry->id = id;
  return entry;
}

void group_entry_free(GroupEntry *entry)
{
  g_assert(entry->replica == NULL);
  g_clear_pointer(&entry->identity, identity_free);
  g_free(entry->failure);
  group_look_clear(&entry->look);
  g_free(entry);
}

/* --- opening ------------------------------------------------------------------------------------
 */

static void clear_peer(gpointer peer)
{
  g_free((char *)((ReplicaPeer *)peer)->address);
}

/* The replica keeps the array. */
static GArray *peers_of(const Config *config, const ConfigGroup *group)
{
  GArray *peers = g_array_new(FALSE, FALSE, sizeof(ReplicaPeer));
  g_array_set_clear_func(peers, clear_peer);
  for (guint i = 0; i < config->peers->len; i++) {
    const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
    if (group != NULL && !config_group_has(group, peer->node_id))
      continue;
    ReplicaPeer one = {peer->node_id, g_strdup(peer->address)};
    g_array_append_val(peers, one);
  }
  return peers;
}

static GroupOptions group_options(const Config *config, const ConfigGroup *own)
{
  return (GroupOptions){.group = own->id,
                        .max_pending_batch = config->max_pending_batch,
                        .max_requests_per_batch = config->max_requests_per_batch,
                        .max_size_per_batch = config->max_size_per_batch,
                        .max_pending_requests = config->max_pending_requests,
                        .max_pending_bytes = own->max_pending_bytes,
                        .max_queued_bytes = own->max_queued_bytes,
                        .max_commit_size = config->max_commit_size,
                        .max_apply_backlog = MAX_APPLY_BACKLOG,
                        .basic_retry_wait_ms = (guint64)config->basic_retry_wait_ms,
                        .max_retry_wait_ms = (guint64)config->max_retry_wait_ms,
                        .heartbeat_interval_ms = config->heartbeat_interval_ms,
                        .max_clock_skew_ms = config->max_clock_skew_ms,
                        .mirror_sync_interval_ms = config->mirror_sync_interval_ms,
                        .retention_interval_ms = RETENTION_INTERVAL_MS,
                        .max_frame_size = config->max_frame_size,
                        .random_seed = (guint64)g_get_real_time() ^ config->node_id};
}

static Replica *open_replica(Groups *groups, Identity *identity, const Config *config,
                             const ConfigGroup *group, GError **error)
{
  static const WalSync wal_sync[] = {[CONFIG_WAL_SYNC_GROUP] = WAL_SYNC_GROUP,
                                     [CONFIG_WAL_SYNC_INTERVAL] = WAL_SYNC_INTERVAL,
                                     [CONFIG_WAL_SYNC_NONE] = WAL_SYNC_NONE};
  const ConfigGroup own = config_group_values(config, group);
  g_autofree char *directory = groups_directory(groups, own.id);
  g_autoptr(GArray) peers = peers_of(config, group);
  guint share = groups->store_files / (config->groups->len + 1);
  ReplicaOptions options = {.directory = directory,
                            .group = group_options(config, &own),
                            .peers = peers,
                            .join = own.join == CONFIG_JOIN_YES,
                            .wal_sync = wal_sync[config->wal_sync],
                            .wal_sync_interval_ms = config->wal_sync_interval_ms,
                            .wal_segment_size = config->wal_segment_size,
                            .throttle_threshold = own.throttle_threshold,
                            .disk_reserve = own.disk_reserve,
                            .retention_limit = own.wal_retention_limit,
                            .snapshot_rate = own.snapshot_rate,
                            .partition_interval = config_partition_units(config),
                            .check_interval_ms = config->check_interval_ms,
                            .memtable_size = own.memtable_size,
                            .block_cache_size = own.block_cache_size,
                            .store_files = MAX(share, (guint)LEAST_STORE_FILES),
                            .conflict_journal_size = config->conflict_journal_size,
                            .compact_after_ms = config->compact_after_ms,
                            .request_timeout_ms = config->request_timeout_ms};
  if (config->groups->len == 0)
    options.store_files = groups->store_files;
  return replica_open(identity, groups->loops, &options, error);
}

/* A group but the first has an identity of its own, in its folder. */
static Identity *open_identity(Groups *groups, const Config *config, guint32 id, GError **error)
{
  g_autofree char *directory = groups_directory(groups, id);
  g_autofree char *past = g_strconcat(directory, PAST_SUFFIX, NULL);
  g_autoptr(Identity) identity = identity_open(directory, config->node_id, config->cluster_id,
                                               config_time_precision_name(config), error);
  return identity != NULL && identity_take_past(identity, past, error) ? g_steal_pointer(&identity)
                                                                       : NULL;
}

static Config *hold_config(Groups *groups)
{
  g_rw_lock_reader_lock(&groups->lock);
  Config *config = config_dup(groups->config);
  g_rw_lock_reader_unlock(&groups->lock);
  return config;
}

static void note_failure(Groups *groups, GroupEntry *entry, const char *why)
{
  g_rw_lock_writer_lock(&groups->lock);
  gboolean known = g_strcmp0(entry->failure, why) == 0;
  g_free(entry->failure);
  entry->failure = g_strdup(why);
  entry->retry_us = g_get_monotonic_time() + RETRY_US;
  g_rw_lock_writer_unlock(&groups->lock);
  if (!known)
    g_critical("group %u can't be opened, and is tried again: %s", entry->id, why);
}

static gboolean open_entry(Groups *groups, GroupEntry *entry, GError **error)
{
  g_autoptr(Config) config = hold_config(groups);
  g_autoptr(GError) local = NULL;
  const ConfigGroup *group = config_find_group(config, entry->id);
  if (entry->id != 0 && group == NULL)
    return TRUE; /* it has gone meanwhile, and is about to be closed */
  if (entry->identity == NULL)
    entry->identity = open_identity(groups, config, entry->id, &local);
  Replica *replica =
      entry->identity != NULL ? open_replica(groups, entry->identity, config, group, &local) : NULL;
  if (replica == NULL) {
    if (entry->id != 0) {
      g_clear_pointer(&entry->identity, identity_free);
      note_failure(groups, entry, local->message);
    }
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  g_rw_lock_writer_lock(&groups->lock);
  g_clear_pointer(&entry->failure, g_free);
  entry->replica = replica;
  gboolean start = groups->started;
  g_rw_lock_writer_unlock(&groups->lock);
  if (start)
    replica_start(replica);
  if (entry->id != 0)
    g_message("group %u is open: devices %s", entry->id, group->devices);
  return TRUE;
}

gboolean groups_open_entry(Groups *groups, GroupEntry *entry, GError **error)
{
  log_set_group(entry->id);
  gboolean open = open_entry(groups, entry, error);
  log_set_group(0);
  return open;
}

/* --- closing ------------------------------------------------------------------------------------
 */

/* Whoever asks for the group from here on is told that it is not open. */
static void close_entry(Groups *groups, GroupEntry *entry)
{
  g_rw_lock_writer_lock(&groups->lock);
  Replica *replica = g_steal_pointer(&entry->replica);
  g_rw_lock_writer_unlock(&groups->lock);
  log_set_group(entry->id);
  if (replica != NULL) {
    replica_drain(replica, DRAIN_MS);
    replica_stop(replica);
    replica_close(replica);
  }
  log_set_group(0);
  g_clear_pointer(&entry->identity, identity_free);
}

static void drop_entry(Groups *groups, GroupEntry *entry)
{
  gboolean here = entry->here;
  guint32 id = entry->id;
  close_entry(groups, entry);
  group_entry_free(entry);
  g_autofree char *directory = groups_directory(groups, id);
  if (here)
    g_message("group %u is closed; its files stay in %s until synclogctl group delete %u", id,
              directory, id);
}

static void reopen_entry(Groups *groups, GroupEntry *entry)
{
  g_autofree char *fatal = replica_fatal(entry->replica);
  g_message("group %u is closed and opened again: %s", entry->id,
            fatal != NULL ? fatal : "a snapshot is to be installed");
  close_entry(groups, entry);
  if (fatal != NULL) /* not in a circle without a pause */
    note_failure(groups, entry, fatal);
  else
    groups_open_entry(groups, entry, NULL);
}

/* --- deleting -----------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
  (void)status;
  (void)kind;
  (void)where;
  return remove(path);
}

static gboolean remove_tree(const char *directory, GError **error)
{
  return nftw(directory, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT ||
         fail_errno(error, SYNCLOG_INTERNAL, errno, "removing %s", directory);
}

/* A group of that number may come again, and others remember this one. What can't be read any more
 * is no reason to keep the files. */
static void keep_past(Groups *groups, const char *directory)
{
  g_autoptr(Config) config = hold_config(groups);
  g_autofree char *past = g_strconcat(directory, PAST_SUFFIX, NULL);
  g_autoptr(GError) error = NULL;
  if (!identity_keep_past(directory, config->node_id, config->cluster_id,
                          config_time_precision_name(config), past, &error))
    g_warning("nothing is kept of what is deleted: %s", error->message);
}

/* The folder gets another name first, so a group is there wholly or not at all. */
static gboolean delete_files(Groups *groups, guint32 id, GError **error)
{
  g_autofree char *directory = groups_directory(groups, id);
  g_autofree char *deleted = g_strconcat(directory, DELETED_SUFFIX, NULL);
  g_rw_lock_reader_lock(&groups->lock);
  gboolean used = groups_find(groups, id) != NULL;
  g_rw_lock_reader_unlock(&groups->lock);
  if (used)
    return fail(error, SYNCLOG_INVALID,
                "group %u is in use: take [group.%u] out of the configuration first", id, id);
  if (!remove_tree(deleted, error))
    return FALSE;
  if (g_file_test(directory, G_FILE_TEST_IS_DIR))
    keep_past(groups, directory);
  if (rename(directory, deleted) != 0)
    return errno == ENOENT
               ? fail(error, SYNCLOG_UNKNOWN_GROUP, "there are no files of group %u here", id)
               : fail_errno(error, SYNCLOG_INTERNAL, errno, "rename %s", directory);
  if (!wal_directory_sync(wal_io_system(), groups->data_dir, error))
    return FALSE;
  g_message("the files of group %u are deleted", id);
  return remove_tree(deleted, error);
}

/* The group of a folder's name, with `suffix` behind it; 0: it is none. */
static guint32 group_of_folder(const char *name, const char *suffix)
{
  if (!g_str_has_prefix(name, FOLDER_PREFIX) || !g_str_has_suffix(name, suffix))
    return 0;
  const char *digits = name + strlen(FOLDER_PREFIX);
  g_autofree char *number = g_strndup(digits, strlen(digits) - strlen(suffix));
  guint64 id = 0;
  return g_ascii_string_to_unsigned(number, 10, 1, LIMIT_GROUP_ID, &id, NULL) ? (guint32)id : 0;
}

static GArray *list_folders(Groups *groups, const char *suffix)
{
  GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GDir) folder = g_dir_open(groups->data_dir, 0, NULL);
  const char *name;
  while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
    guint32 id = group_of_folder(name, suffix);
    if (id != 0)
      g_array_append_val(ids, id);
  }
  return ids;
}

GArray *groups_on_disk(Groups *groups)
{
  return list_folders(groups, "");
}

void groups_finish_deleting(Groups *groups)
{
  g_autoptr(GArray) ids = list_folders(groups, DELETED_SUFFIX);
  for (guint i = 0; i < ids->len; i++) {
    g_autofree char *directory = groups_directory(groups, g_array_index(ids, guint32, i));
    g_autofree char *deleted = g_strconcat(directory, DELETED_SUFFIX, NULL);
    g_autoptr(GError) error = NULL;
    if (!remove_tree(deleted, &error))
      g_warning("%s", error->message);
  }
}

/* --- jobs ---------------------------------------------------------------------------------
 */

static void manage(Groups *groups, ManageJob *job);

/* The lane's jobs, until there are none. Caller holds jobs_mutex. */
static void run_lane(Groups *groups, ManageLane *lane)
{
  while (!g_queue_is_empty(&lane->jobs)) {
    ManageJob *job = g_queue_peek_head(&lane->jobs);
    g_mutex_unlock(&groups->jobs_mutex);
    manage(groups, job);
    g_mutex_lock(&groups->jobs_mutex);
    g_free(g_queue_pop_head(&lane->jobs));
  }
  g_hash_table_remove(groups->lanes, GUINT_TO_POINTER(lane->id));
  g_cond_broadcast(&groups->jobs_cond);
  g_free(lane);
}

static gpointer jobs_thread(gpointer data)
{
  Groups *groups = data;
  g_mutex_lock(&groups->jobs_mutex);
  for (;;) {
    ManageLane *lane = g_queue_pop_head(&groups->waiting);
    if (lane != NULL) {
      run_lane(groups, lane);
      continue;
    }
    if (groups->jobs_ended)
      break;
    groups->idle++;
    g_cond_wait(&groups->jobs_cond, &groups->jobs_mutex);
    groups->idle--;
  }
  g_mutex_unlock(&groups->jobs_mutex);
  return NULL;
}

static void push(Groups *groups, const ManageJob *job)
{
  g_mutex_lock(&groups->jobs_mutex);
  ManageLane *lane = g_hash_table_lookup(groups->lanes, GUINT_TO_POINTER(job->id));
  if (lane == NULL) {
    lane = g_new0(ManageLane, 1);
    lane->id = job->id;
    g_hash_table_insert(groups->lanes, GUINT_TO_POINTER(job->id), lane);
    g_queue_push_tail(&groups->waiting, lane);
    if (groups->waiting.length > groups->idle && groups->threads->len < AT_ONCE)
      g_ptr_array_add(groups->threads, g_thread_new("groups", jobs_thread, groups));
    g_cond_broadcast(&groups->jobs_cond);
  }
  g_queue_push_tail(&lane->jobs, g_memdup2(job, sizeof *job));
  g_mutex_unlock(&groups->jobs_mutex);
}

void groups_begin_jobs(Groups *groups)
{
  g_queue_init(&groups->waiting);
  groups->lanes = g_hash_table_new(NULL, NULL);
  groups->threads = g_ptr_array_new();
}

void groups_end_jobs(Groups *groups)
{
  if (groups->lanes == NULL)
    return;
  g_mutex_lock(&groups->jobs_mutex);
  groups->jobs_ended = TRUE;
  g_cond_broadcast(&groups->jobs_cond);
  g_mutex_unlock(&groups->jobs_mutex);
  for (guint i = 0; i < groups->threads->len; i++)
    g_thread_join(groups->threads->pdata[i]);
  g_clear_pointer(&groups->threads, g_ptr_array_unref);
  g_clear_pointer(&groups->lanes, g_hash_table_unref);
}

void groups_wait_for_jobs(Groups *groups, gint64 us)
{
  gint64 until_us = g_get_monotonic_time() + us;
  g_mutex_lock(&groups->jobs_mutex);
  while (g_hash_table_size(groups->lanes) > 0 &&
         g_cond_wait_until(&groups->jobs_cond, &groups->jobs_mutex, until_us))
    ;
  g_mutex_unlock(&groups->jobs_mutex);
}

void groups_post(Groups *groups, ManageKind kind, GroupEntry *entry)
{
  entry->busy = TRUE;
  push(groups, &(ManageJob){.kind = kind, .entry = entry, .id = entry->id});
}

static void clear_busy(Groups *groups, GroupEntry *entry)
{
  g_rw_lock_writer_lock(&groups->lock);
  entry->busy = FALSE;
  g_rw_lock_writer_unlock(&groups->lock);
}

static void finish_delete(Groups *groups, ManageJob *job)
{
  g_autoptr(GError) error = NULL;
  delete_files(groups, job->id, &error);
  job->deleted(job->data, error);
}

static void manage(Groups *groups, ManageJob *job)
{
  if (job->kind == MANAGE_DELETE) {
    finish_delete(groups, job);
    return;
  }
  g_rw_lock_reader_lock(&groups->lock);
  gboolean stopped = groups->stopped;
  g_rw_lock_reader_unlock(&groups->lock);
  if (job->kind == MANAGE_CLOSE)
    drop_entry(groups, job->entry);
  else if (job->kind == MANAGE_OPEN && !stopped)
    groups_open_entry(groups, job->entry, NULL);
  else if (job->kind == MANAGE_REOPEN && !stopped)
    reopen_entry(groups, job->entry);
  if (job->kind != MANAGE_CLOSE)
    clear_busy(groups, job->entry);
}

void groups_delete(Groups *groups, guint32 id, GroupsDeleted deleted, gpointer data)
{
  g_autoptr(GError) error = NULL;
  ManageJob job = {.kind = MANAGE_DELETE, .id = id, .deleted = deleted, .data = data};
  g_rw_lock_reader_lock(&groups->lock);
  if (id == 0)
    fail(&error, SYNCLOG_INVALID, "group 0 is always there and can't be deleted");
  else if (groups->stopped)
    fail(&error, SYNCLOG_NOT_READY, "the node stops");
  else
    push(groups, &job);
  g_rw_lock_reader_unlock(&groups->lock);
  if (error != NULL)
    deleted(data, error);
}
