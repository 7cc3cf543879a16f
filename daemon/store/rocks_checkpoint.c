/* Copies of the whole store, and putting one in the place of another. */
#include "store/rocks_private.h"

#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD_SUFFIX ".old"

/* Reads the progress of a copy from its files: what it holds, whatever this process believes. */
static GArray *progress_of_copy(RocksStore *store, const char *directory, GError **error)
{
  StoreOptions options = store->options;
  options.directory = directory;
  options.read_only = TRUE;
  g_autoptr(Store) copy = store_rocks_new(&options, error);
  return copy != NULL ? store_progress(copy, FALSE, error) : NULL;
}

gboolean rocks_checkpoint(Store *parent, const char *directory, GArray **out_progress,
                          GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  if (!store_persist(parent, TRUE, error))
    return FALSE;
  FAILPOINT("checkpoint_before");
  char *message = NULL;
  rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(store->db, &message);
  if (message != NULL)
    return rocks_fail(error, message, "making a checkpoint");
  rocksdb_checkpoint_create(checkpoint, directory, 0, &message);
  rocksdb_checkpoint_object_destroy(checkpoint);
  if (message != NULL)
    return rocks_fail(error, message, "making a checkpoint");
  FAILPOINT("checkpoint_made");
  g_autoptr(GArray) progress = progress_of_copy(store, directory, error);
  if (progress == NULL)
    return FALSE;
  *out_progress = g_steal_pointer(&progress);
  return TRUE;
}

gboolean store_remove(const char *directory, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    if (unlink(path) != 0 && errno != ENOENT)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "unlink %s", path);
  }
  return rmdir(directory) == 0 || errno == ENOENT ||
         fail_errno(error, SYNCLOG_INTERNAL, errno, "rmdir %s", directory);
}

/* So that the names in `path` survive a power loss. */
static gboolean sync_directory(const char *path, GError **error)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean synced = fd >= 0 && fsync(fd) == 0;
  int number = errno;
  if (fd >= 0)
    close(fd);
  return synced || fail_errno(error, SYNCLOG_INTERNAL, number, "fsync %s", path);
}

static gboolean exists(const char *path)
{
  struct stat status;
  return stat(path, &status) == 0;
}

/* Moves `from` to `to`, durably; both are in `parent`. */
static gboolean move(const char *from, const char *to, const char *parent, GError **error)
{
  if (rename(from, to) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "rename %s to %s", from, to);
  return sync_directory(parent, error);
}

gboolean store_take_back(const char *directory, GError **error)
{
  g_autofree char *old = g_strconcat(directory, OLD_SUFFIX, NULL);
  g_autofree char *parent = g_path_get_dirname(directory);
  return exists(directory) || !exists(old) || move(old, directory, parent, error);
}

gboolean store_install(const char *copy, const char *directory, GError **error)
{
  g_autofree char *old = g_strconcat(directory, OLD_SUFFIX, NULL);
  g_autofree char *parent = g_path_get_dirname(directory);
  /* Without a copy it was installed before, and only the old one is left to be removed. */
  if (exists(copy)) {
    if (exists(directory)) {
      FAILPOINT("install_before_old");
      if (!store_remove(old, error) || !move(directory, old, parent, error))
        return FALSE;
    }
    FAILPOINT("install_between");
    if (!move(copy, directory, parent, error))
      return FALSE;
    FAILPOINT("install_moved");
  }
  return store_remove(old, error);
}
