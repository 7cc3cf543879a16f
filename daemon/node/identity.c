#include "node/identity.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_NAME "node.ini"
#define GROUP "node"

static gboolean lock_directory(Identity *identity, GError **error)
{
  g_autofree char *path = g_build_filename(identity->directory, "lock", NULL);
  identity->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (identity->lock_fd < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", path);
  if (flock(identity->lock_fd, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (errno == EWOULDBLOCK)
    return fail(error, SYNCLOG_NOT_READY, "%s: another synclogd runs on this data directory",
                identity->directory);
  return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", path);
}

static gboolean check_text(const char *path, const char *key, const char *found, const char *wanted,
                           GError **error)
{
  if (g_strcmp0(found, wanted) == 0)
    return TRUE;
  return fail(error, SYNCLOG_INVALID,
              "%s: the directory belongs to %s \"%s\", the configuration says \"%s\"", path, key,
              found, wanted);
}

static gboolean parse(Identity *identity, const char *path, GKeyFile *file, GError **error)
{
  g_autoptr(GError) local = NULL;
  gint id = g_key_file_get_integer(file, GROUP, "id", &local);
  g_autofree char *cluster =
      local == NULL ? g_key_file_get_string(file, GROUP, "cluster", &local) : NULL;
  g_autofree char *precision =
      local == NULL ? g_key_file_get_string(file, GROUP, "time_precision", &local) : NULL;
  guint64 incarnation =
      local == NULL ? g_key_file_get_uint64(file, GROUP, "incarnation", &local) : 0;
  gboolean clean = local == NULL && g_key_file_get_boolean(file, GROUP, "clean", &local);
  if (local != NULL)
    return fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  if (incarnation == 0 || incarnation > G_MAXINT64)
    return fail(error, SYNCLOG_CORRUPT, "%s: no valid incarnation", path);
  if ((guint32)id != identity->node_id)
    return fail(error, SYNCLOG_INVALID,
                "%s: the directory belongs to node %d, the configuration says node %u", path, id,
                identity->node_id);
  if (!check_text(path, "cluster", cluster, identity->cluster_id, error) ||
      !check_text(path, "time precision", precision, identity->time_precision, error))
    return FALSE;
  identity->incarnation = incarnation;
  identity->clean = clean;
  return TRUE;
}

static gboolean sync_directory(const char *directory, GError **error)
{
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    int saved = errno;
    if (fd >= 0)
      close(fd);
    return fail_errno(error, SYNCLOG_INTERNAL, saved, "%s", directory);
  }
  close(fd);
  return TRUE;
}

/* Written beside, synced, renamed, and the name synced: after a crash there is the old or the new.
 */
static gboolean save(const Identity *identity, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_key_file_set_comment(file, NULL, NULL, " Written by synclogd. Do not edit.", NULL);
  g_key_file_set_integer(file, GROUP, "id", (gint)identity->node_id);
  g_key_file_set_string(file, GROUP, "cluster", identity->cluster_id);
  g_key_file_set_string(file, GROUP, "time_precision", identity->time_precision);
  g_key_file_set_uint64(file, GROUP, "incarnation", identity->incarnation);
  g_key_file_set_boolean(file, GROUP, "clean", identity->clean);
  gsize size;
  g_autofree char *text = g_key_file_to_data(file, &size, NULL);
  g_autofree char *path = g_build_filename(identity->directory, FILE_NAME, NULL);
  g_autoptr(GError) local = NULL;
  if (!g_file_set_contents_full(path, text, (gssize)size,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0640,
                                &local))
    return fail(error, SYNCLOG_INTERNAL, "%s", local->message);
  return sync_directory(identity->directory, error);
}

Identity *identity_open(const char *directory, guint32 node_id, const char *cluster_id,
                        const char *time_precision, GError **error)
{
  g_autoptr(Identity) identity = g_new0(Identity, 1);
  identity->directory = g_strdup(directory);
  identity->lock_fd = -1;
  identity->node_id = node_id;
  identity->cluster_id = g_strdup(cluster_id);
  identity->time_precision = g_strdup(time_precision);
  identity->clean = TRUE;
  if (g_mkdir_with_parents(directory, 0750) != 0) {
    fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", directory);
    return NULL;
  }
  if (!lock_directory(identity, error))
    return NULL;
  g_autofree char *path = g_build_filename(directory, FILE_NAME, NULL);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) local = NULL;
  if (g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local)) {
    if (!parse(identity, path, file, error))
      return NULL;
  } else if (!g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
    return NULL;
  }
  return g_steal_pointer(&identity);
}

void identity_free(Identity *identity)
{
  if (identity->lock_fd >= 0)
    close(identity->lock_fd);
  g_free(identity->directory);
  g_free(identity->cluster_id);
  g_free(identity->time_precision);
  g_free(identity);
}

gboolean identity_begin_incarnation(Identity *identity, guint64 now_us, GError **error)
{
  guint64 before = identity->incarnation;
  if (before >= G_MAXINT64)
    return fail(error, SYNCLOG_CORRUPT, "%s/" FILE_NAME ": no incarnation can follow the last one",
                identity->directory);
  identity->incarnation = MAX(before + 1, now_us);
  if (save(identity, error))
    return TRUE;
  identity->incarnation = before;
  return FALSE;
}

gboolean identity_set_clean(Identity *identity, gboolean clean, GError **error)
{
  if (identity->clean == clean)
    return TRUE;
  identity->clean = clean;
  return save(identity, error);
}
