#include "wal/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_open(gpointer ctx G_GNUC_UNUSED, const char *path, int flags, mode_t mode)
{
  return open(path, flags | O_CLOEXEC, mode);
}

static int system_close(gpointer ctx G_GNUC_UNUSED, int fd)
{
  return close(fd);
}

static ssize_t system_pread(gpointer ctx G_GNUC_UNUSED, int fd, void *buffer, gsize size,
                            goffset offset)
{
  return pread(fd, buffer, size, offset);
}

static ssize_t system_pwrite(gpointer ctx G_GNUC_UNUSED, int fd, const void *buffer, gsize size,
                             goffset offset)
{
  return pwrite(fd, buffer, size, offset);
}

static int system_fdatasync(gpointer ctx G_GNUC_UNUSED, int fd)
{
  return fdatasync(fd);
}

static int system_fsync(gpointer ctx G_GNUC_UNUSED, int fd)
{
  return fsync(fd);
}

static int system_ftruncate(gpointer ctx G_GNUC_UNUSED, int fd, goffset size)
{
  return ftruncate(fd, size);
}

static int system_allocate(gpointer ctx G_GNUC_UNUSED, int fd, goffset offset, goffset size)
{
  return fallocate(fd, 0, offset, size);
}

static goffset system_size(gpointer ctx G_GNUC_UNUSED, int fd)
{
  struct stat info;
  return fstat(fd, &info) < 0 ? -1 : info.st_size;
}

static int system_rename(gpointer ctx G_GNUC_UNUSED, const char *from, const char *to)
{
  return rename(from, to);
}

static int system_unlink(gpointer ctx G_GNUC_UNUSED, const char *path)
{
  return unlink(path);
}

static int system_mkdir(gpointer ctx G_GNUC_UNUSED, const char *path, mode_t mode)
{
  return mkdir(path, mode);
}

static GPtrArray *system_list(gpointer ctx G_GNUC_UNUSED, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
  if (dir == NULL) {
    /* GDir keeps errno to itself. */
    errno = g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)    ? ENOENT
            : g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES)  ? EACCES
            : g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR) ? ENOTDIR
                                                                        : EIO;
    return NULL;
  }
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  for (const char *name; (errno = 0, name = g_dir_read_name(dir)) != NULL;)
    g_ptr_array_add(names, g_strdup(name));
  if (errno != 0)
    return NULL;
  return g_steal_pointer(&names);
}

static const WalIo system_io = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwrite = system_pwrite,
    .fdatasync = system_fdatasync,
    .fsync = system_fsync,
    .ftruncate = system_ftruncate,
    .allocate = system_allocate,
    .size = system_size,
    .rename = system_rename,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .list = system_list,
};

const WalIo *wal_io_system(void)
{
  return &system_io;
}
