#include "wal/file.h"

#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>

enum {
  COPY_CHUNK_SIZE = 1024 * 1024,
  /* Of zeros. The kernel keeps what one call writes in one piece of its cache, and each sync of a
   * part of it looks at all of that piece. */
  ZEROS_CHUNK_SIZE = 64 * 1024,
};

void wal_file_close(WalFile *file)
{
  if (file->fd >= 0)
    file->io->close(file->io->ctx, file->fd);
  *file = WAL_FILE_NONE;
}

SynclogStatus wal_file_status(int errno_value)
{
  gboolean busy = errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOMEM;
  return busy ? SYNCLOG_OVERLOADED : SYNCLOG_INTERNAL;
}

gboolean wal_file_open(const WalIo *io, const char *path, int flags, WalFile *out_file,
                       GError **error)
{
  int fd;
  do
    fd = io->open(io->ctx, path, flags, 0640);
  while (fd < 0 && errno == EINTR);
  if (fd < 0)
    return fail_errno(error, errno == ENOENT ? SYNCLOG_INVALID : wal_file_status(errno), errno,
                      "open %s", path);
  *out_file = (WalFile){io, fd};
  return TRUE;
}

gssize wal_file_read(const WalFile *file, void *buffer, gsize size, goffset offset)
{
  gsize done = 0;
  while (done < size) {
    gssize n = file->io->pread(file->io->ctx, file->fd, (guint8 *)buffer + done, size - done,
                               offset + (goffset)done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    done += (gsize)n;
  }
  return (gssize)done;
}

gsize wal_file_write(const WalFile *file, const void *bytes, gsize size, goffset offset)
{
  gsize done = 0;
  while (done < size) {
    gssize n = file->io->pwrite(file->io->ctx, file->fd, (const guint8 *)bytes + done, size - done,
                                offset + (goffset)done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n == 0)
      errno = EIO; /* pwrite(2) knows no such answer; do not spin on it */
    if (n <= 0)
      break;
    done += (gsize)n;
  }
  return done;
}

gsize wal_file_write_zeros(const WalFile *file, gsize size, goffset offset)
{
  static const guint8 zeros[ZEROS_CHUNK_SIZE];
  gsize done = 0;
  while (done < size) {
    gsize n = MIN(sizeof zeros, size - done);
    gsize written = wal_file_write(file, zeros, n, offset + (goffset)done);
    done += written;
    if (written < n)
      break;
  }
  return done;
}

gboolean wal_directory_open(const WalIo *io, const char *directory, WalFile *out_file,
                            GError **error)
{
  return wal_file_open(io, directory, O_RDONLY | O_DIRECTORY, out_file, error);
}

gboolean wal_directory_sync_open(const WalFile *file, const char *directory, GError **error)
{
  if (FAILPOINT_FAILS("directory_sync") || file->io->fsync(file->io->ctx, file->fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", directory);
  return TRUE;
}

gboolean wal_directory_sync(const WalIo *io, const char *directory, GError **error)
{
  g_auto(WalFile) file = WAL_FILE_NONE;
  return wal_directory_open(io, directory, &file, error) &&
         wal_directory_sync_open(&file, directory, error);
}

/* As wal_directory_sync, but a directory that may not be opened is none that was written to. */
static gboolean sync_if_ours(const WalIo *io, const char *directory, GError **error)
{
  int fd = io->open(io->ctx, directory, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0 && (errno == EACCES || errno == EPERM))
    return TRUE;
  if (fd < 0)
    return fail_errno(error, wal_file_status(errno), errno, "open %s", directory);
  g_auto(WalFile) file = {io, fd};
  if (io->fsync(io->ctx, file.fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", directory);
  return TRUE;
}

gboolean wal_directory_create(const WalIo *io, const char *directory, GError **error)
{
  g_autofree char *parent = g_path_get_dirname(directory);
  int result = io->mkdir(io->ctx, directory, 0750);
  if (result < 0 && errno == ENOENT && g_strcmp0(parent, directory) != 0) {
    if (!wal_directory_create(io, parent, error))
      return FALSE;
    result = io->mkdir(io->ctx, directory, 0750);
  }
  /* A process before may have made it and been killed before its name was durable. */
  if (result < 0 && errno == EEXIST)
    return sync_if_ours(io, parent, error);
  if (result < 0)
    return fail_errno(error, wal_file_status(errno), errno, "mkdir %s", directory);
  FAILPOINT("directory_made");
  return wal_directory_sync(io, parent, error);
}

static gboolean copy_bytes(const WalFile *in, const WalFile *out, const char *from,
                           const char *temp, GError **error)
{
  g_autofree guint8 *buffer = g_malloc(COPY_CHUNK_SIZE);
  for (goffset at = 0;;) {
    gssize n = wal_file_read(in, buffer, COPY_CHUNK_SIZE, at);
    if (n < 0)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "read %s", from);
    if (n == 0)
      return TRUE;
    if (wal_file_write(out, buffer, (gsize)n, at) < (gsize)n)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "write %s", temp);
    at += n;
  }
}

gboolean wal_file_copy(const WalIo *io, const char *from, const char *temp, const char *to,
                       GError **error)
{
  g_auto(WalFile) in = WAL_FILE_NONE;
  g_auto(WalFile) out = WAL_FILE_NONE;
  if (!wal_file_open(io, from, O_RDONLY, &in, error) ||
      !wal_file_open(io, temp, O_RDWR | O_CREAT | O_TRUNC, &out, error))
    return FALSE;
  if (!copy_bytes(&in, &out, from, temp, error))
    return FALSE;
  if (io->fsync(io->ctx, out.fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", temp);
  if (io->rename(io->ctx, temp, to) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "rename %s to %s", temp, to);
  return TRUE;
}
