/* From a backup to a data directory. */
#include "ctl/backup.h"
#include "store/store.h"
#include "wal/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNFINISHED ".restoring" /* behind the group's folder, until all is there */

/* --- the store ----------------------------------------------------------------------------------
 */

typedef struct LocalFiles {
  const Snapshot *snapshot;
  char *directory;
  BackupBar *bar;
} LocalFiles;

static gboolean get_local(gpointer ctx, guint64 id, guint32 file, guint64 offset, gsize size,
                          SnapshotFragment *out, GBytes **out_bytes, GError **error)
{
  const LocalFiles *files = ctx;
  const char *name = g_array_index(files->snapshot->files, SnapshotFile, file).name;
  g_autofree char *path = g_build_filename(files->directory, name, NULL);
  g_autofree guint8 *buffer = g_malloc(size);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return ctl_fail_file(path, error);
  ssize_t n = pread(fd, buffer, size, (off_t)offset);
  close(fd);
  if (n < 0)
    return ctl_fail_file(path, error);
  if ((gsize)n != size)
    return fail(error, SYNCLOG_CORRUPT, "%s is shorter than the manifest says", path);
  *out = (SnapshotFragment){.id = id, .file = file, .offset = offset, .data = buffer, .size = size};
  out->checksum = snapshot_fragment_checksum(out);
  *out_bytes = g_bytes_new_take(g_steal_pointer(&buffer), size);
  return TRUE;
}

static gboolean step_local(gpointer ctx, guint64 done, guint64 all)
{
  return backup_bar_step(((LocalFiles *)ctx)->bar, done, all);
}

static gboolean copy_store(Ctl *ctl, const Snapshot *snapshot, const char *directory,
                           const char *target, GError **error)
{
  BackupBar bar = backup_bar(ctl, "restoring");
  LocalFiles files = {snapshot, g_build_filename(directory, BACKUP_STORE, NULL), &bar};
  SnapshotCopy copy = {snapshot, target, get_local, step_local, &files};
  gboolean copied = snapshot_copy(&copy, error);
  backup_bar_end(&bar);
  g_free(files.directory);
  return copied;
}

/* --- logs, up to a point ------------------------------------------------------------------------
 */

typedef struct Point {
  LogId log;
  guint64 index;
} Point;

static gboolean parse_point(const char *text, Point *out, GError **error)
{
  const char *colon = strrchr(text, ':');
  g_autofree char *log = colon != NULL ? g_strndup(text, (gsize)(colon - text)) : NULL;
  return (log != NULL && log_id_parse(log, &out->log) &&
          g_ascii_string_to_unsigned(colon + 1, 10, 1, G_MAXINT64, &out->index, NULL)) ||
         ctl_usage(error, "\"%s\" is no LOG:INDEX, as in 1-1790000000000000:250", text);
}

static gboolean copy_file(const char *from, const char *to, GError **error)
{
  g_autoptr(GMappedFile) map = g_mapped_file_new(from, FALSE, NULL);
  if (map == NULL)
    return ctl_fail_file(from, error);
  g_autoptr(GError) local = NULL;
  const char *bytes = g_mapped_file_get_contents(map);
  return g_file_set_contents_full(to, bytes != NULL ? bytes : "",
                                  (gssize)g_mapped_file_get_length(map),
                                  G_FILE_SET_CONTENTS_DURABLE, 0640, &local) ||
         fail(error, SYNCLOG_INTERNAL, "%s", local->message);
}

static gboolean copy_segments(const char *from, const char *to, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
  if (dir == NULL)
    return fail(error, SYNCLOG_INVALID, "%s: there is no such log", from);
  if (g_mkdir_with_parents(to, 0750) != 0)
    return ctl_fail_file(to, error);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *source = g_build_filename(from, name, NULL);
    g_autofree char *target = g_build_filename(to, name, NULL);
    if (g_str_has_suffix(name, ".wal") && !copy_file(source, target, error))
      return FALSE;
  }
  return TRUE;
}

/* The copied log, cut behind the point; it must go on where the backup ends. */
static gboolean cut_log(const char *path, const Point *point, guint64 applied, GError **error)
{
  WalOptions options = {.directory = path, .log = point->log, .segment_size = 1 << 20};
  WalRecovery recovery = {0};
  g_autoptr(Wal) wal = wal_open(&options, &recovery, error);
  g_autofree char *damage = g_strdup(recovery.message);
  gboolean corrupt = recovery.verdict == WAL_CORRUPT && recovery.bad_index <= point->index;
  wal_recovery_clear(&recovery);
  if (wal == NULL)
    return FALSE;
  if (corrupt)
    return fail(error, SYNCLOG_CORRUPT, "%s", damage);
  guint64 first = wal_first_index(wal), last = wal_last_index(wal);
  if (first > applied + 1 || last < point->index)
    return fail(error, SYNCLOG_INVALID,
                "%s holds entries %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                ", needed are %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                path, first, last, applied + 1, point->index);
  return last == point->index || wal_cut(wal, point->index + 1, error);
}

static gboolean take_log(const Snapshot *snapshot, const char *text, const char *wal,
                         const char *group, GError **error)
{
  Point point;
  char name[LOG_ID_TEXT_SIZE];
  if (!parse_point(text, &point, error))
    return FALSE;
  guint64 applied = snapshot_applied(snapshot, point.log);
  if (point.index < applied)
    return fail(error, SYNCLOG_INVALID,
                "the backup has log %s up to %" G_GUINT64_FORMAT
                " already: take an older one for %" G_GUINT64_FORMAT,
                log_id_format(point.log, name), applied, point.index);
  g_autofree char *from = g_build_filename(wal, log_id_format(point.log, name), NULL);
  g_autofree char *to = g_build_filename(group, "wal", name, NULL);
  return point.index == applied ||
         (copy_segments(from, to, error) && cut_log(to, &point, applied, error));
}

static gboolean take_logs(const Snapshot *snapshot, const RestoreOptions *options,
                          const char *group, GError **error)
{
  for (guint i = 0; options->until != NULL && options->until[i] != NULL; i++)
    if (!take_log(snapshot, options->until[i], options->wal, group, error))
      return FALSE;
  return TRUE;
}

/* --- the directory ------------------------------------------------------------------------------
 */

/* A backup is one group: others may be there already, and what is the node's beside group N. */
static gboolean may_be_there(const char *name, const char *group, const char *unfinished)
{
  if (strcmp(name, unfinished) == 0 || strcmp(name, "lost+found") == 0)
    return TRUE;
  if (g_str_has_prefix(name, "group-"))
    return strcmp(name, group) != 0;
  return strcmp(group, "group-0") != 0;
}

static gboolean check_empty(const char *data_dir, const char *group, const char *unfinished,
                            GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(data_dir, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
    if (!may_be_there(name, group, unfinished))
      return fail(error, SYNCLOG_INVALID,
                  "%s is not empty (%s): a backup is restored into an empty directory only",
                  data_dir, name);
  return TRUE;
}

static gboolean sync_directory(const char *path, GError **error)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  return synced || ctl_fail_file(path, error);
}

/* The group that it becomes. One that was given must be the backup's, or meant. */
static gboolean choose_group(const Ctl *ctl, const Snapshot *snapshot, gboolean other_group,
                             guint32 *out_group, GError **error)
{
  gboolean given = ctl->given.group >= 0, named = snapshot->group != SNAPSHOT_NO_GROUP;
  *out_group = given || !named ? ctl->group : (guint32)snapshot->group;
  return !named || (guint32)snapshot->group == *out_group || other_group ||
         fail(error, SYNCLOG_INVALID,
              "the backup is of group %d, not of group %u: leave --group out, or add --other-group",
              snapshot->group, *out_group);
}

gboolean backup_restore(Ctl *ctl, const char *directory, const RestoreOptions *options,
                        GError **error)
{
  g_autoptr(Snapshot) snapshot = backup_load(directory, error);
  guint32 id;
  if (snapshot == NULL || !choose_group(ctl, snapshot, options->other_group, &id, error))
    return FALSE;
  if (!store_check_format(snapshot->store_format, error)) {
    fail_prefix(error, "%s can't be restored: ", directory);
    return FALSE;
  }
  g_autofree char *name = g_strdup_printf("group-%u", id);
  g_autofree char *unfinished = g_strconcat(name, UNFINISHED, NULL);
  g_autofree char *building = g_build_filename(options->data_dir, unfinished, NULL);
  g_autofree char *group = g_build_filename(options->data_dir, name, NULL);
  g_autofree char *copy = g_build_filename(building, SEED_COPY, NULL);
  g_autofree char *manifest = g_build_filename(building, SEED_MANIFEST, NULL);
  if (!check_empty(options->data_dir, name, unfinished, error))
    return FALSE;
  if (g_mkdir_with_parents(building, 0750) != 0)
    return ctl_fail_file(building, error);
  if (!copy_store(ctl, snapshot, directory, copy, error) ||
      !take_logs(snapshot, options, building, error))
    return FALSE;
  if (options->cluster_id != NULL) {
    g_free(snapshot->cluster_id);
    snapshot->cluster_id = g_strdup(options->cluster_id);
  }
  if (!snapshot_save(snapshot, SEED_READY, manifest, error))
    return FALSE;
  /* Until now a node that is started here finds nothing. */
  if (rename(building, group) != 0)
    return ctl_fail_file(group, error);
  return sync_directory(options->data_dir, error);
}
