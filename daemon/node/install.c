#include "node/install.h"

#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

char *install_manifest_path(const char *group_directory)
{
  return g_build_filename(group_directory, SEED_MANIFEST, NULL);
}

char *install_copy_path(const char *group_directory)
{
  return g_build_filename(group_directory, SEED_COPY, NULL);
}

Snapshot *install_pending(const char *group_directory, gboolean *out_ready)
{
  g_autofree char *path = install_manifest_path(group_directory);
  g_autofree char *state = NULL;
  g_autoptr(GError) error = NULL;
  Snapshot *snapshot = snapshot_load(path, &state, &error);
  if (snapshot == NULL && !g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY))
    g_warning("%s: the snapshot is fetched again", error->message);
  *out_ready = snapshot != NULL && strcmp(state, SEED_READY) == 0;
  return snapshot;
}

gboolean install_discard(const char *group_directory, GError **error)
{
  g_autofree char *path = install_manifest_path(group_directory);
  g_autofree char *copy = install_copy_path(group_directory);
  if (unlink(path) != 0 && errno != ENOENT)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "unlink %s", path);
  return store_remove(copy, error);
}

/* Whether what is applied here of a log can be had from the snapshot and this node's WAL. */
static gboolean covers(const Snapshot *snapshot, Wal *wal, LogId log, guint64 applied)
{
  guint64 theirs = snapshot_applied(snapshot, log);
  gboolean holds = wal != NULL && wal_first_index(wal) <= wal_last_index(wal);
  if (holds && wal_first_index(wal) <= theirs + 1)
    theirs = MAX(theirs, wal_last_index(wal));
  return theirs >= applied;
}

/* Only a store that can be opened has something to lose. */
static gboolean would_lose(const Snapshot *snapshot, const StoreOptions *options, LogSet *logs)
{
  StoreOptions reading = *options;
  reading.read_only = TRUE;
  g_autoptr(GError) error = NULL;
  g_autoptr(Store) store = NULL;
  if (!g_file_test(options->directory, G_FILE_TEST_IS_DIR))
    return FALSE;
  store = store_rocks_new(&reading, &error);
  g_autoptr(GArray) progress = store != NULL ? store_progress(store, FALSE, &error) : NULL;
  if (progress == NULL) {
    g_warning("the store that is replaced can't be read: %s", error->message);
    return FALSE;
  }
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    if (covers(snapshot, log_set_find(logs, one->log), one->log, one->applied))
      continue;
    char text[LOG_ID_TEXT_SIZE];
    g_critical("the snapshot of node %u is not installed: it has log %s up to %" G_GUINT64_FORMAT
               ", the store here up to %" G_GUINT64_FORMAT
               ", and the WAL does not hold what is between",
               snapshot->node_id, log_id_format(one->log, text),
               snapshot_applied(snapshot, one->log), one->applied);
    return TRUE;
  }
  return FALSE;
}

/* A mirror with nothing in it goes on behind what the store has. */
static gboolean restart_mirror(Wal *wal, const SnapshotLog *held, GError **error)
{
  if (!wal_reset(wal, error))
    return FALSE;
  g_autoptr(GError) local = NULL;
  if (held == NULL || held->digest == 0 || held->applied >= G_MAXINT64 || /* no index is beyond */
      wal_begin(wal, held->applied, held->digest, &local))
    return TRUE;
  if (synclog_error_is_lack(local)) {
    /* It is empty: whoever sends the first entries tells the digest before them. */
    g_warning("%s", local->message);
    return TRUE;
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* Logs that the node has nothing of yet begin with the digest too; those that are to grow, as there
 * may be thousands of others. */
static gboolean begin_mirrors(const Snapshot *snapshot, LogSet *logs, LogId own, GError **error)
{
  for (guint i = 0; i < snapshot->logs->len; i++) {
    const SnapshotLog *one = &g_array_index(snapshot->logs, SnapshotLog, i);
    gboolean newest =
        i + 1 == snapshot->logs->len ||
        g_array_index(snapshot->logs, SnapshotLog, i + 1).log.origin != one->log.origin;
    if (!newest || one->log.origin == own.origin || one->applied == 0 ||
        one->applied >= G_MAXINT64 || one->digest == 0 || log_set_find(logs, one->log) != NULL)
      continue;
    Wal *wal = log_set_get(logs, one->log, error);
    if (wal == NULL || !restart_mirror(wal, one, error))
      return FALSE;
  }
  return TRUE;
}

/* Logs that end before what the store has go on behind it. */
static gboolean restart_mirrors(const Snapshot *snapshot, LogSet *logs, LogId own, GError **error)
{
  const GArray *found = log_set_found(logs);
  for (guint i = 0; i < found->len; i++) {
    const FoundLog *one = &g_array_index(found, FoundLog, i);
    gboolean is_cut = one->recovery.verdict == WAL_CORRUPT ||
                      (one->recovery.verdict == WAL_TORN_TAIL && one->log.origin == own.origin);
    if (log_id_equal(one->log, own) || is_cut || /* by the recovery */
        wal_last_index(one->wal) >= snapshot_applied(snapshot, one->log))
      continue;
    if (!restart_mirror(one->wal, snapshot_find_log(snapshot, one->log), error))
      return FALSE;
  }
  return begin_mirrors(snapshot, logs, own, error);
}

/* A restored backup may be any. */
static gboolean check_origin(const Snapshot *snapshot, const Identity *identity, GError **error)
{
  if (strcmp(snapshot->cluster_id, identity->cluster_id) != 0)
    return fail(error, SYNCLOG_INVALID,
                "%s was made ready for cluster \"%s\", the configuration says \"%s\"",
                SEED_MANIFEST, snapshot->cluster_id, identity->cluster_id);
  return strcmp(snapshot->time_precision, identity->time_precision) == 0 ||
         fail(error, SYNCLOG_INVALID, "%s has time precision %s, the configuration says %s",
              SEED_MANIFEST, snapshot->time_precision, identity->time_precision);
}

gboolean install_run(const char *group_directory, const StoreOptions *options, LogSet *logs,
                     const Identity *identity, GError **error)
{
  LogId own = {identity->node_id, identity->incarnation};
  gboolean ready = FALSE;
  g_autoptr(Snapshot) snapshot = install_pending(group_directory, &ready);
  g_autofree char *copy = install_copy_path(group_directory);
  if (snapshot == NULL)
    return store_take_back(options->directory, error) && install_discard(group_directory, error);
  if (!ready)
    return TRUE;
  if (!check_origin(snapshot, identity, error))
    return FALSE;
  if (g_file_test(copy, G_FILE_TEST_IS_DIR) && would_lose(snapshot, options, logs))
    return install_discard(group_directory, error);
  FAILPOINT("install_begin");
  if (!store_install(copy, options->directory, error))
    return FALSE;
  FAILPOINT("install_before_mirrors");
  if (!restart_mirrors(snapshot, logs, own, error))
    return FALSE;
  FAILPOINT("install_before_end");
  g_message("the store is that of node %u now, %" G_GUINT64_FORMAT " cells", snapshot->node_id,
            snapshot->digest.cells);
  return install_discard(group_directory, error);
}
