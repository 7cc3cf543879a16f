#include "ctl/backup.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 200, PAUSE_MS = 20, DRAW_US = 100 * 1000, BAR_WIDTH = 30, CACHE_SIZE = 16 << 20 };

/* --- the bar ------------------------------------------------------------------------------------
 */

BackupBar backup_bar(const Ctl *ctl, const char *what)
{
  return (BackupBar){.what = what, .draw = isatty(STDERR_FILENO) && !ctl->quiet};
}

static void draw(BackupBar *bar)
{
  guint part = bar->all > 0 ? (guint)(bar->done * BAR_WIDTH / bar->all) : BAR_WIDTH;
  g_autofree char *done = g_format_size(bar->done);
  g_autofree char *all = g_format_size(bar->all);
  fprintf(stderr, "\r%s [%.*s%*s] %s of %s \033[K", bar->what, (int)MIN(part, BAR_WIDTH),
          "##############################", (int)(BAR_WIDTH - MIN(part, BAR_WIDTH)), "", done, all);
}

gboolean backup_bar_step(gpointer ctx, guint64 done, guint64 all)
{
  BackupBar *bar = ctx;
  gint64 now_us = g_get_monotonic_time();
  bar->done = done;
  bar->all = all;
  if (bar->draw && now_us - bar->drawn_us >= DRAW_US) {
    bar->drawn_us = now_us;
    draw(bar);
  }
  return TRUE;
}

void backup_bar_end(BackupBar *bar)
{
  if (!bar->draw || bar->all == 0)
    return;
  draw(bar);
  fputc('\n', stderr);
}

/* --- create -------------------------------------------------------------------------------------
 */

typedef struct Create {
  Ctl *ctl;
  guint64 requester;
  BackupBar bar;
} Create;

static gboolean get_remote(gpointer ctx, guint64 id, guint32 file, guint64 offset, gsize size,
                           SnapshotFragment *out, GBytes **out_bytes, GError **error)
{
  Create *create = ctx;
  for (;;) {
    g_autoptr(GError) local = NULL;
    if (rpc_client_fragment(create->ctl->client, create->ctl->group, id, file, offset, size, out,
                            out_bytes, &local))
      return TRUE;
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_OVERLOADED)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_usleep(PAUSE_MS * 1000); /* the rate limit of the node */
  }
}

static gboolean step_remote(gpointer ctx, guint64 done, guint64 all)
{
  return backup_bar_step(&((Create *)ctx)->bar, done, all);
}

static Snapshot *ask(Create *create, guint64 id, GError **error)
{
  SnapshotRequest request = {.group = create->ctl->group, .requester = create->requester, .id = id};
  for (;;) {
    g_autoptr(GError) local = NULL;
    Snapshot *snapshot = rpc_client_snapshot(create->ctl->client, &request, &local);
    if (snapshot != NULL) {
      snapshot->group = (gint)create->ctl->group;
      return snapshot;
    }
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NOT_READY) ||
        strstr(local->message, "prepared") == NULL) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
    g_usleep(POLL_MS * 1000);
  }
}

/* What an interrupted run has begun is gone on with, if the node still has it. */
static Snapshot *choose(Create *create, const char *manifest, GError **error)
{
  g_autofree char *state = NULL;
  g_autoptr(GError) local = NULL;
  g_autoptr(Snapshot) begun = snapshot_load(manifest, &state, &local);
  if (begun != NULL && strcmp(state, BACKUP_COMPLETE) == 0) {
    fail(error, SYNCLOG_INVALID, "%s: there is a complete backup already", manifest);
    return NULL;
  }
  if (begun != NULL && begun->group != SNAPSHOT_NO_GROUP &&
      begun->group != (gint)create->ctl->group) {
    fail(error, SYNCLOG_INVALID, "%s: a backup of group %d was begun there, not of group %u",
         manifest, begun->group, create->ctl->group);
    return NULL;
  }
  if (begun != NULL && begun->node_id == create->ctl->info.node_id) {
    g_clear_error(&local);
    Snapshot *snapshot = ask(create, begun->id, &local);
    if (snapshot != NULL)
      return snapshot;
  }
  return ask(create, 0, error);
}

/* Only an empty directory, or what an interrupted run left. */
static gboolean check_target(const char *directory, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
    if (!g_str_has_prefix(name, BACKUP_MANIFEST) && strcmp(name, BACKUP_STORE) != 0)
      return fail(error, SYNCLOG_INVALID, "%s is not empty (%s)", directory, name);
  return g_mkdir_with_parents(directory, 0750) == 0 || ctl_fail_file(directory, error);
}

static void print_backup(Ctl *ctl, const char *directory, const Snapshot *snapshot)
{
  if (ctl->quiet)
    return;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "BACKUP", "directory", FALSE);
  grid_column(grid, "CLUSTER", "clusterId", FALSE);
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "GROUP", "group", TRUE);
  grid_column(grid, "LOG", "log", FALSE);
  grid_column(grid, "APPLIED", "applied", TRUE);
  grid_column(grid, "BYTES", "bytes", TRUE);
  grid_column(grid, "CELLS", "cells", TRUE);
  grid_column(grid, "DIGEST", "digest", FALSE);
  g_autofree char *digest = g_strdup_printf("%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
                                            snapshot->digest.high, snapshot->digest.low);
  for (guint i = 0; i < MAX(snapshot->logs->len, 1); i++) {
    char name[LOG_ID_TEXT_SIZE];
    grid_text(grid, directory);
    grid_text(grid, snapshot->cluster_id);
    grid_uint(grid, snapshot->node_id);
    if (snapshot->group != SNAPSHOT_NO_GROUP)
      grid_uint(grid, (guint)snapshot->group);
    else
      grid_missing(grid);
    if (i < snapshot->logs->len) {
      const SnapshotLog *log = &g_array_index(snapshot->logs, SnapshotLog, i);
      grid_text(grid, log_id_format(log->log, name));
      grid_uint(grid, log->applied);
    } else {
      grid_missing(grid);
      grid_missing(grid);
    }
    grid_uint(grid, snapshot_bytes(snapshot));
    grid_uint(grid, snapshot->digest.cells);
    grid_text(grid, digest);
  }
}

static gboolean create_backup(Ctl *ctl, const char *directory, GError **error)
{
  Create create = {ctl, (guint64)g_random_int() << 16 | 1, backup_bar(ctl, "backup")};
  g_autofree char *manifest = g_build_filename(directory, BACKUP_MANIFEST, NULL);
  g_autofree char *store = g_build_filename(directory, BACKUP_STORE, NULL);
  if (!check_target(directory, error))
    return FALSE;
  /* A read waits until what the node has acknowledged is applied: so the backup has it. */
  g_autofree char *next = NULL;
  g_autoptr(GPtrArray) devices =
      rpc_client_series(ctl->client, ctl->group, NULL, NULL, 1, &next, error);
  if (devices == NULL)
    return FALSE;
  g_autoptr(Snapshot) snapshot = choose(&create, manifest, error);
  if (snapshot == NULL || !snapshot_save(snapshot, BACKUP_FETCHING, manifest, error))
    return FALSE;
  SnapshotCopy copy = {snapshot, store, get_remote, step_remote, &create};
  gboolean copied = snapshot_copy(&copy, error);
  backup_bar_end(&create.bar);
  if (!copied || !snapshot_save(snapshot, BACKUP_COMPLETE, manifest, error))
    return FALSE;
  rpc_client_snapshot_end(ctl->client, ctl->group, snapshot->id, NULL);
  print_backup(ctl, directory, snapshot);
  return TRUE;
}

/* --- verify, restore ----------------------------------------------------------------------------
 */

Snapshot *backup_load(const char *directory, GError **error)
{
  g_autofree char *manifest = g_build_filename(directory, BACKUP_MANIFEST, NULL);
  g_autofree char *state = NULL;
  g_autoptr(GError) local = NULL;
  g_autoptr(Snapshot) snapshot = snapshot_load(manifest, &state, &local);
  if (snapshot == NULL) {
    /* That there is none is no matter of a server that could come back. */
    if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NOT_READY))
      fail(error, SYNCLOG_INVALID, "%s: no backup: %s", directory, local->message);
    else
      g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  if (strcmp(state, BACKUP_COMPLETE) == 0)
    return g_steal_pointer(&snapshot);
  fail(error, SYNCLOG_INVALID, "%s: the backup is not complete; \"backup create\" goes on with it",
       directory);
  return NULL;
}

/* Opens the store of the backup and compares what it holds with the manifest. */
static gboolean compare(const Snapshot *snapshot, const char *store_directory, GError **error)
{
  StoreOptions options = {.directory = store_directory,
                          .partition_interval = snapshot->partition_interval,
                          .memtable_size = 1 << 20,
                          .block_cache_size = CACHE_SIZE,
                          .read_only = TRUE};
  g_autoptr(Store) store = store_rocks_new(&options, error);
  g_autoptr(GArray) progress = NULL;
  StateDigest digest;
  if (store == NULL || !store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, error))
    return FALSE;
  gboolean same = digest.low == snapshot->digest.low && digest.high == snapshot->digest.high &&
                  digest.cells == snapshot->digest.cells && progress->len == snapshot->logs->len;
  for (guint i = 0; same && i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    same = snapshot_applied(snapshot, one->log) == one->applied;
  }
  return same || fail(error, SYNCLOG_CORRUPT, "%s holds other data than the manifest says",
                      store_directory);
}

static gboolean verify_backup(Ctl *ctl, const char *directory, GError **error)
{
  g_autoptr(Snapshot) snapshot = backup_load(directory, error);
  g_autofree char *store = g_build_filename(directory, BACKUP_STORE, NULL);
  if (snapshot == NULL)
    return FALSE;
  if (!store_check_format(snapshot->store_format, error)) {
    fail_prefix(error, "%s can't be verified: ", directory);
    return FALSE;
  }
  BackupBar bar = backup_bar(ctl, "verifying");
  gboolean sound = snapshot_verify(snapshot, store, backup_bar_step, &bar, error);
  backup_bar_end(&bar);
  if (!sound || !compare(snapshot, store, error))
    return FALSE;
  print_backup(ctl, directory, snapshot);
  return TRUE;
}

static gboolean restore(Ctl *ctl, const char *directory, const RestoreOptions *options,
                        GError **error)
{
  if (options->data_dir == NULL)
    return ctl_usage(error, "--data-dir: where to?");
  if ((options->until != NULL) != (options->wal != NULL))
    return ctl_usage(error, "--point-in-time and --wal belong together");
  if (!backup_restore(ctl, directory, options, error))
    return FALSE;
  ctl_say(ctl,
          "%s is ready: a node that is started there has the data of the backup, and begins a new "
          "incarnation\n",
          options->data_dir);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autofree char *data_dir = NULL, *cluster = NULL, *wal = NULL;
  gboolean other_group = FALSE;
  g_auto(GStrv) until = NULL;
  const GOptionEntry entries[] = {
      {"data-dir", 0, 0, G_OPTION_ARG_FILENAME, &data_dir,
       "restore: the empty data directory of the node to be", "DIR"},
      {"cluster", 0, 0, G_OPTION_ARG_STRING, &cluster,
       "restore: into a cluster of another id than the backup's", "ID"},
      {"wal", 0, 0, G_OPTION_ARG_FILENAME, &wal,
       "restore: a node's folder of logs (DATA_DIR/group-0/wal), or a copy of it", "DIR"},
      {"point-in-time", 0, 0, G_OPTION_ARG_STRING_ARRAY, &until,
       "restore: apply this log from --wal up to this index too; once for each log", "LOG:INDEX"},
      {"other-group", 0, 0, G_OPTION_ARG_NONE, &other_group,
       "restore: as --group N, which is not the backup's", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 2, 2, &argc, &argv, error))
    return FALSE;
  const char *action = argv[1], *directory = argv[2];
  gboolean restores = strcmp(action, "restore") == 0;
  if (!restores &&
      (data_dir != NULL || cluster != NULL || wal != NULL || until != NULL || other_group))
    return ctl_usage(error, "--data-dir, --cluster, --wal, --point-in-time and --other-group "
                            "belong to restore");
  if (restores)
    return restore(ctl, directory, &(RestoreOptions){data_dir, cluster, wal, until, other_group},
                   error);
  if (strcmp(action, "verify") == 0)
    return verify_backup(ctl, directory, error);
  if (strcmp(action, "create") == 0)
    return ctl_connect(ctl, error) && ctl_one_group(ctl, error) &&
           create_backup(ctl, directory, error);
  return ctl_usage(error, "\"%s\" is none of create, verify, restore", action);
}

const CtlCommand ctl_backup = {
    .name = "backup",
    .arguments = "create DIR | verify DIR | restore DIR --data-dir DIR",
    .summary = "Copy a running node's data, check a copy, make a node from it",
    .details =
        "create fetches a snapshot of the store from the server while it goes on; run again, it "
        "goes on where it was\ninterrupted. verify reads all of a backup and compares checksums, "
        "digest and progress. restore fills an empty\ndata directory; the node that is started "
        "there, with whatever id, begins a new incarnation and gets the rest from\nits peers. "
        "A backup is of one group (--group N), which it names; restore makes that group of it, all "
        "into one data\ndirectory, one after another. "
        "When the whole cluster is lost, restore ONE backup: on all nodes, or on one, and start "
        "the others\nempty: they are given a snapshot of it. One backup per node would leave "
        "nobody that serves.\n"
        "--point-in-time gives an exact point of some logs instead: such a node must not meet the "
        "old cluster, so\nname another one by --cluster. \"tar -c DIR\" makes one file of a "
        "backup.",
    .run = run,
};
