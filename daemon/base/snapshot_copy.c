#include "base/snapshot_copy.h"

#include "base/crc32c.h"
#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAGMENT = 256 << 10, BUFFER = 256 << 10 };

static void close_fd(int *fd)
{
  if (*fd >= 0)
    close(*fd);
}
typedef int Fd;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fd, close_fd)

static gboolean sync_path(const char *path, GError **error)
{
  g_auto(Fd) fd = open(path, O_RDONLY | O_CLOEXEC);
  return (fd >= 0 && fsync(fd) == 0) ||
         fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", path);
}

gboolean snapshot_measure(const char *path, SnapshotFile *out_file, GError **error)
{
  g_auto(Fd) fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fail_errno(error, errno == ENOENT ? SYNCLOG_CORRUPT : SYNCLOG_INTERNAL, errno, "%s",
                      path);
  g_autofree guint8 *buffer = g_malloc(BUFFER);
  out_file->size = 0;
  out_file->checksum = 0;
  for (;;) {
    ssize_t n = read(fd, buffer, BUFFER);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "read %s", path);
    if (n == 0)
      return TRUE;
    out_file->checksum = crc32c(out_file->checksum, buffer, (gsize)n);
    out_file->size += (guint64)n;
  }
}

static gboolean ended(SnapshotStep step, gpointer ctx, guint64 done, guint64 all, GError **error)
{
  if (step == NULL || step(ctx, done, all))
    return FALSE;
  fail(error, SYNCLOG_NOT_READY, "stopped");
  return TRUE;
}

gboolean snapshot_verify(const Snapshot *snapshot, const char *directory, SnapshotStep step,
                         gpointer ctx, GError **error)
{
  guint64 done = 0, all = snapshot_bytes(snapshot);
  for (guint i = 0; i < snapshot->files->len; i++) {
    const SnapshotFile *file = &g_array_index(snapshot->files, SnapshotFile, i);
    g_autofree char *path = g_build_filename(directory, file->name, NULL);
    SnapshotFile found;
    if (ended(step, ctx, done, all, error) || !snapshot_measure(path, &found, error))
      return FALSE;
    if (found.size != file->size || found.checksum != file->checksum)
      return fail(error, SYNCLOG_CORRUPT,
                  "%s: %" G_GUINT64_FORMAT " bytes with checksum %08x, expected %" G_GUINT64_FORMAT
                  " with %08x",
                  path, found.size, found.checksum, file->size, file->checksum);
    done += file->size;
  }
  return !ended(step, ctx, done, all, error);
}

static gboolean is_of(const Snapshot *snapshot, const char *name)
{
  for (guint i = 0; i < snapshot->files->len; i++)
    if (strcmp(g_array_index(snapshot->files, SnapshotFile, i).name, name) == 0)
      return TRUE;
  return FALSE;
}

/* What an earlier attempt at another snapshot left would be taken for a part of this one. */
static gboolean remove_others(const SnapshotCopy *copy, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GDir) dir = g_dir_open(copy->directory, 0, &local);
  if (dir == NULL)
    return fail(error, SYNCLOG_INTERNAL, "%s", local->message);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(copy->directory, name, NULL);
    if (!is_of(copy->snapshot, name) && unlink(path) != 0)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "unlink %s", path);
  }
  return TRUE;
}

static gboolean write_all(int fd, const char *path, const SnapshotFragment *fragment,
                          GError **error)
{
  gsize written = 0;
  while (written < fragment->size) {
    ssize_t n = pwrite(fd, fragment->data + written, fragment->size - written,
                       (off_t)(fragment->offset + written));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "write %s", path);
    written += (gsize)n;
  }
  return TRUE;
}

static gboolean check_fragment(const SnapshotFragment *asked, const SnapshotFragment *got,
                               GError **error)
{
  if (got->id != asked->id || got->file != asked->file || got->offset != asked->offset ||
      got->size != asked->size)
    return fail(error, SYNCLOG_CORRUPT,
                "a fragment of snapshot %" G_GUINT64_FORMAT ", file %u, offset %" G_GUINT64_FORMAT
                ", %" G_GSIZE_FORMAT " bytes instead of %" G_GUINT64_FORMAT
                ", %u, %" G_GUINT64_FORMAT ", %" G_GSIZE_FORMAT,
                got->id, got->file, got->offset, got->size, asked->id, asked->file, asked->offset,
                asked->size);
  return got->checksum == snapshot_fragment_checksum(got) ||
         fail(error, SYNCLOG_CORRUPT, "a fragment of file %u at %" G_GUINT64_FORMAT " is damaged",
              got->file, got->offset);
}

/* Fetches one file from `from` on. `*done` counts the bytes of all files. */
static gboolean fetch(const SnapshotCopy *copy, guint index, int fd, guint64 from, guint64 *done,
                      GError **error)
{
  const SnapshotFile *file = &g_array_index(copy->snapshot->files, SnapshotFile, index);
  guint64 all = snapshot_bytes(copy->snapshot);
  while (from < file->size) {
    SnapshotFragment asked = {.id = copy->snapshot->id,
                              .file = index,
                              .offset = from,
                              .size = (gsize)MIN(file->size - from, (guint64)FRAGMENT)};
    SnapshotFragment got = {0};
    g_autoptr(GBytes) bytes = NULL;
    if (ended(copy->step, copy->ctx, *done, all, error) ||
        !copy->get(copy->ctx, asked.id, index, from, asked.size, &got, &bytes, error) ||
        !check_fragment(&asked, &got, error) || !write_all(fd, file->name, &got, error))
      return FALSE;
    FAILPOINT("seed_fragment");
    from += asked.size;
    *done += asked.size;
  }
  return TRUE;
}

/* One file, from where it ends now; from its start when `anew`. */
static gboolean copy_file(const SnapshotCopy *copy, guint index, gboolean anew, guint64 *done,
                          GError **error)
{
  const SnapshotFile *file = &g_array_index(copy->snapshot->files, SnapshotFile, index);
  g_autofree char *path = g_build_filename(copy->directory, file->name, NULL);
  g_auto(Fd) fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0), 0640);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", path);
  guint64 from = (guint64)status.st_size;
  if (from > file->size) {
    if (ftruncate(fd, 0) != 0)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", path);
    from = 0;
  }
  gboolean resumed = from > 0;
  guint64 before = *done;
  *done += from;
  if (!fetch(copy, index, fd, from, done, error))
    return FALSE;
  FAILPOINT("seed_file_before_sync");
  if (fsync(fd) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", path);
  SnapshotFile found;
  if (!snapshot_measure(path, &found, error))
    return FALSE;
  if (found.size == file->size && found.checksum == file->checksum)
    return TRUE;
  if (!resumed)
    return fail(error, SYNCLOG_CORRUPT, "%s: the checksum is wrong", path);
  *done = before;
  return copy_file(copy, index, TRUE, done, error);
}

gboolean snapshot_copy(const SnapshotCopy *copy, GError **error)
{
  if (g_mkdir_with_parents(copy->directory, 0750) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", copy->directory);
  if (!remove_others(copy, error))
    return FALSE;
  guint64 done = 0;
  for (guint i = 0; i < copy->snapshot->files->len; i++)
    if (!copy_file(copy, i, FALSE, &done, error))
      return FALSE;
  if (ended(copy->step, copy->ctx, done, snapshot_bytes(copy->snapshot), error))
    return FALSE;
  return sync_path(copy->directory, error);
}
