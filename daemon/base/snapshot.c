#include "base/snapshot.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"

#include <string.h>

#define GROUP "snapshot"
#define LOGS "logs"
#define DIGESTS "digests" /* of logs; former versions pass over it */
#define FILES "files"
#define CHECKSUM "checksum="

enum { FORMAT = 1, CHECKSUM_LINE_SIZE = sizeof CHECKSUM - 1 + 8 + 1, VERSION_SIZE = 64 };

/* Of all files together: a sum that can't overflow. */
#define MAX_BYTES (G_GUINT64_CONSTANT(1) << 60)

Snapshot *snapshot_new(void)
{
  Snapshot *snapshot = g_new0(Snapshot, 1);
  snapshot->group = SNAPSHOT_NO_GROUP;
  snapshot->logs = g_array_new(FALSE, TRUE, sizeof(SnapshotLog));
  snapshot->files = g_array_new(FALSE, TRUE, sizeof(SnapshotFile));
  return snapshot;
}

void snapshot_free(Snapshot *snapshot)
{
  g_free(snapshot->cluster_id);
  g_free(snapshot->time_precision);
  g_free(snapshot->version);
  g_array_unref(snapshot->logs);
  g_array_unref(snapshot->files);
  g_free(snapshot);
}

guint64 snapshot_bytes(const Snapshot *snapshot)
{
  guint64 bytes = 0;
  for (guint i = 0; i < snapshot->files->len; i++)
    bytes += g_array_index(snapshot->files, SnapshotFile, i).size;
  return bytes;
}

const SnapshotLog *snapshot_find_log(const Snapshot *snapshot, LogId log)
{
  for (guint i = 0; i < snapshot->logs->len; i++) {
    const SnapshotLog *one = &g_array_index(snapshot->logs, SnapshotLog, i);
    if (log_id_equal(one->log, log))
      return one;
  }
  return NULL;
}

guint64 snapshot_applied(const Snapshot *snapshot, LogId log)
{
  const SnapshotLog *found = snapshot_find_log(snapshot, log);
  return found != NULL ? found->applied : 0;
}

/* A name that can only be that of a file in the directory itself, and of no file that RocksDB keeps
 * for one directory alone. */
static gboolean is_plain_name(const char *name)
{
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
  gsize size = strlen(name);
  return size > 0 && size <= SNAPSHOT_NAME_SIZE && name[0] != '.' && strspn(name, allowed) == size;
}

static gboolean check_files(const GArray *files, GError **error)
{
  if (files->len == 0 || files->len > SNAPSHOT_FILES)
    return fail(error, SYNCLOG_INVALID, "the snapshot has %u files", files->len);
  g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
  guint64 left = MAX_BYTES;
  for (guint i = 0; i < files->len; i++) {
    const SnapshotFile *file = &g_array_index(files, SnapshotFile, i);
    if (!is_plain_name(file->name))
      return fail(error, SYNCLOG_INVALID, "file %u of the snapshot has no plain name", i);
    if (!g_hash_table_add(names, (gpointer)file->name))
      return fail(error, SYNCLOG_INVALID, "the snapshot has two files %s", file->name);
    if (file->size > left)
      return fail(error, SYNCLOG_INVALID, "the size of %s makes no sense", file->name);
    left -= file->size;
  }
  return TRUE;
}

static gboolean check_logs(const GArray *logs, GError **error)
{
  if (logs->len > LIMIT_LOGS)
    return fail(error, SYNCLOG_INVALID, "the snapshot has %u logs", logs->len);
  for (guint i = 0; i < logs->len; i++) {
    const SnapshotLog *one = &g_array_index(logs, SnapshotLog, i);
    if (one->log.origin < 1 || one->log.origin > LIMIT_NODE_ID ||
        one->log.incarnation > G_MAXINT64 || one->applied > G_MAXINT64 || one->hlc > G_MAXINT64)
      return fail(error, SYNCLOG_INVALID, "log %u of the snapshot makes no sense", i);
    if (i > 0 && log_id_compare(&g_array_index(logs, SnapshotLog, i - 1).log, &one->log) >= 0)
      return fail(error, SYNCLOG_INVALID, "the snapshot's logs are in no order");
  }
  return TRUE;
}

static gboolean check_text(const char *text, gsize most, const char *what, GError **error)
{
  return (text != NULL && *text != '\0' && strlen(text) <= most &&
          g_utf8_validate(text, -1, NULL)) ||
         fail(error, SYNCLOG_INVALID, "the snapshot's %s makes no sense", what);
}

gboolean snapshot_check(const Snapshot *snapshot, GError **error)
{
  if (snapshot->id == 0 || snapshot->id > G_MAXINT64)
    return fail(error, SYNCLOG_INVALID, "the snapshot's id makes no sense");
  if (snapshot->node_id < 1 || snapshot->node_id > LIMIT_NODE_ID)
    return fail(error, SYNCLOG_INVALID, "the snapshot's node id makes no sense");
  if (snapshot->partition_interval == 0 || snapshot->partition_interval > G_MAXINT64)
    return fail(error, SYNCLOG_INVALID, "the snapshot's partition interval makes no sense");
  if (snapshot->store_format > G_MAXINT32)
    return fail(error, SYNCLOG_INVALID, "the snapshot's format makes no sense");
  if (snapshot->group < SNAPSHOT_NO_GROUP || snapshot->group > LIMIT_GROUP_ID)
    return fail(error, SYNCLOG_INVALID, "the snapshot's group makes no sense");
  return check_text(snapshot->cluster_id, LIMIT_CLUSTER_ID_SIZE, "cluster id", error) &&
         check_text(snapshot->time_precision, 2, "time precision", error) &&
         check_text(snapshot->version, VERSION_SIZE, "version", error) &&
         check_logs(snapshot->logs, error) && check_files(snapshot->files, error);
}

/* --- as text ------------------------------------------------------------------------------------
 */

static void put_digests(const GArray *logs, GString *out)
{
  gboolean begun = FALSE;
  for (guint i = 0; i < logs->len; i++) {
    const SnapshotLog *one = &g_array_index(logs, SnapshotLog, i);
    char text[LOG_ID_TEXT_SIZE];
    if (one->digest == 0)
      continue;
    g_string_append_printf(out, "%s%s=%016" G_GINT64_MODIFIER "x\n",
                           begun ? "" : "\n[" DIGESTS "]\n", log_id_format(one->log, text),
                           one->digest);
    begun = TRUE;
  }
}

static void put_lists(const Snapshot *snapshot, GString *out)
{
  g_string_append(out, "\n[" LOGS "]\n");
  for (guint i = 0; i < snapshot->logs->len; i++) {
    const SnapshotLog *one = &g_array_index(snapshot->logs, SnapshotLog, i);
    char text[LOG_ID_TEXT_SIZE];
    g_string_append_printf(out, "%s=%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                           log_id_format(one->log, text), one->applied, one->hlc);
  }
  put_digests(snapshot->logs, out);
  g_string_append(out, "\n[" FILES "]\n");
  for (guint i = 0; i < snapshot->files->len; i++) {
    const SnapshotFile *file = &g_array_index(snapshot->files, SnapshotFile, i);
    g_string_append_printf(out, "%s=%" G_GUINT64_FORMAT " %08x\n", file->name, file->size,
                           file->checksum);
  }
}

char *snapshot_to_text(const Snapshot *snapshot, const char *state)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_key_file_set_comment(file, NULL, NULL, " Written by synclogd. Do not edit.", NULL);
  g_key_file_set_integer(file, GROUP, "format", FORMAT);
  g_key_file_set_string(file, GROUP, "state", state);
  g_key_file_set_uint64(file, GROUP, "id", snapshot->id);
  g_key_file_set_string(file, GROUP, "cluster", snapshot->cluster_id);
  g_key_file_set_uint64(file, GROUP, "node", snapshot->node_id);
  if (snapshot->group != SNAPSHOT_NO_GROUP)
    g_key_file_set_integer(file, GROUP, "group", snapshot->group);
  g_key_file_set_string(file, GROUP, "time_precision", snapshot->time_precision);
  g_key_file_set_string(file, GROUP, "version", snapshot->version);
  g_key_file_set_uint64(file, GROUP, "partition_interval", snapshot->partition_interval);
  if (snapshot->store_format > 0)
    g_key_file_set_uint64(file, GROUP, "store_format", snapshot->store_format);
  g_key_file_set_uint64(file, GROUP, "created_ms", snapshot->created_ms);
  g_autofree char *digest = g_strdup_printf("%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
                                            snapshot->digest.high, snapshot->digest.low);
  g_key_file_set_string(file, GROUP, "digest", digest);
  g_key_file_set_uint64(file, GROUP, "cells", snapshot->digest.cells);
  g_key_file_set_uint64(file, GROUP, "devices", snapshot->digest.devices);
  g_autofree char *head = g_key_file_to_data(file, NULL, NULL);
  GString *out = g_string_new(head);
  put_lists(snapshot, out);
  g_string_append_printf(out, CHECKSUM "%08x\n", crc32c(0, out->str, out->len));
  return g_string_free(out, FALSE);
}

/* Exactly two numbers with a space between. */
static gboolean parse_two(const char *text, guint second_base, guint64 *out_first,
                          guint64 *out_second)
{
  const char *space = text != NULL ? strchr(text, ' ') : NULL;
  if (space == NULL)
    return FALSE;
  g_autofree char *first = g_strndup(text, (gsize)(space - text));
  return g_ascii_string_to_unsigned(first, 10, 0, G_MAXUINT64, out_first, NULL) &&
         g_ascii_string_to_unsigned(space + 1, second_base, 0, G_MAXUINT64, out_second, NULL);
}

static gboolean parse_logs(GKeyFile *file, Snapshot *snapshot)
{
  g_auto(GStrv) keys = g_key_file_get_keys(file, LOGS, NULL, NULL);
  for (guint i = 0; keys != NULL && keys[i] != NULL; i++) {
    g_autofree char *value = g_key_file_get_value(file, LOGS, keys[i], NULL);
    SnapshotLog one = {0};
    if (!log_id_parse(keys[i], &one.log) || !parse_two(value, 10, &one.applied, &one.hlc))
      return FALSE;
    g_autofree char *digest = g_key_file_get_value(file, DIGESTS, keys[i], NULL);
    if (digest != NULL &&
        !g_ascii_string_to_unsigned(digest, 16, 0, G_MAXUINT64, &one.digest, NULL))
      return FALSE;
    g_array_append_val(snapshot->logs, one);
  }
  return TRUE;
}

static gboolean parse_files(GKeyFile *file, Snapshot *snapshot)
{
  g_auto(GStrv) keys = g_key_file_get_keys(file, FILES, NULL, NULL);
  for (guint i = 0; keys != NULL && keys[i] != NULL; i++) {
    g_autofree char *value = g_key_file_get_value(file, FILES, keys[i], NULL);
    SnapshotFile one = {0};
    guint64 checksum;
    if (g_strlcpy(one.name, keys[i], sizeof one.name) >= sizeof one.name ||
        !parse_two(value, 16, &one.size, &checksum) || checksum > G_MAXUINT32)
      return FALSE;
    one.checksum = (guint32)checksum;
    g_array_append_val(snapshot->files, one);
  }
  return TRUE;
}

static gboolean parse_digest(GKeyFile *file, StateDigest *out)
{
  g_autofree char *text = g_key_file_get_string(file, GROUP, "digest", NULL);
  if (text == NULL || strlen(text) != 32)
    return FALSE;
  g_autofree char *high = g_strndup(text, 16);
  return g_ascii_string_to_unsigned(high, 16, 0, G_MAXUINT64, &out->high, NULL) &&
         g_ascii_string_to_unsigned(text + 16, 16, 0, G_MAXUINT64, &out->low, NULL);
}

static gboolean parse_head(GKeyFile *file, Snapshot *snapshot)
{
  g_autoptr(GError) local = NULL;
  struct {
    const char *key;
    guint64 *value;
  } numbers[] = {{"id", &snapshot->id},
                 {"partition_interval", &snapshot->partition_interval},
                 {"created_ms", &snapshot->created_ms},
                 {"cells", &snapshot->digest.cells},
                 {"devices", &snapshot->digest.devices}};
  for (guint i = 0; local == NULL && i < G_N_ELEMENTS(numbers); i++)
    *numbers[i].value = g_key_file_get_uint64(file, GROUP, numbers[i].key, &local);
  guint64 node = local == NULL ? g_key_file_get_uint64(file, GROUP, "node", &local) : 0;
  snapshot->node_id = (guint32)MIN(node, G_MAXUINT32);
  /* Manifests of former versions have none. */
  if (local == NULL && g_key_file_has_key(file, GROUP, "group", NULL))
    snapshot->group = g_key_file_get_integer(file, GROUP, "group", &local);
  if (local == NULL && g_key_file_has_key(file, GROUP, "store_format", NULL))
    snapshot->store_format = g_key_file_get_uint64(file, GROUP, "store_format", &local);
  snapshot->cluster_id = g_key_file_get_string(file, GROUP, "cluster", NULL);
  snapshot->time_precision = g_key_file_get_string(file, GROUP, "time_precision", NULL);
  snapshot->version = g_key_file_get_string(file, GROUP, "version", NULL);
  return local == NULL && parse_digest(file, &snapshot->digest);
}

/* The last line is the checksum of all before it. */
static gboolean check_checksum(const char *text, gsize size)
{
  if (size < CHECKSUM_LINE_SIZE || memchr(text, '\0', size) != NULL)
    return FALSE;
  gsize before = size - CHECKSUM_LINE_SIZE;
  g_autofree char *wanted = g_strdup_printf(CHECKSUM "%08x\n", crc32c(0, text, before));
  return memcmp(text + before, wanted, CHECKSUM_LINE_SIZE) == 0;
}

Snapshot *snapshot_from_text(const char *text, gsize size, char **out_state, GError **error)
{
  g_autoptr(Snapshot) snapshot = snapshot_new();
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *state = NULL;
  if (!check_checksum(text, size)) {
    fail(error, SYNCLOG_CORRUPT, "the manifest's checksum is wrong");
    return NULL;
  }
  if (g_key_file_load_from_data(file, text, size - CHECKSUM_LINE_SIZE, G_KEY_FILE_NONE, NULL) &&
      g_key_file_get_integer(file, GROUP, "format", NULL) > FORMAT) {
    fail(error, SYNCLOG_WRONG_VERSION, "the manifest was written by a later version");
    return NULL;
  }
  state = g_key_file_get_string(file, GROUP, "state", NULL);
  if (g_key_file_get_integer(file, GROUP, "format", NULL) != FORMAT || state == NULL ||
      !parse_head(file, snapshot) || !parse_logs(file, snapshot) || !parse_files(file, snapshot)) {
    fail(error, SYNCLOG_CORRUPT, "the manifest is not as it was written");
    return NULL;
  }
  if (!snapshot_check(snapshot, error))
    return NULL;
  if (out_state != NULL)
    *out_state = g_steal_pointer(&state);
  return g_steal_pointer(&snapshot);
}

gboolean snapshot_save(const Snapshot *snapshot, const char *state, const char *path,
                       GError **error)
{
  g_autofree char *text = snapshot_to_text(snapshot, state);
  g_autoptr(GError) local = NULL;
  if (g_file_set_contents_full(path, text, -1,
                               G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0640,
                               &local))
    return TRUE;
  return fail(error,
              g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? SYNCLOG_NO_SPACE
                                                                       : SYNCLOG_INTERNAL,
              "%s", local->message);
}

Snapshot *snapshot_load(const char *path, char **out_state, GError **error)
{
  g_autoptr(GMappedFile) map = NULL;
  g_autoptr(GError) local = NULL;
  map = g_mapped_file_new(path, FALSE, &local);
  if (map == NULL) {
    fail(error,
         g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? SYNCLOG_NOT_READY
                                                                  : SYNCLOG_INTERNAL,
         "%s", local->message);
    return NULL;
  }
  gsize size = g_mapped_file_get_length(map);
  if (size > SNAPSHOT_TEXT_SIZE) {
    fail(error, SYNCLOG_CORRUPT, "%s: longer than any manifest", path);
    return NULL;
  }
  g_autofree char *text = g_malloc(size + 1);
  if (size > 0)
    memcpy(text, g_mapped_file_get_contents(map), size);
  text[size] = '\0';
  Snapshot *snapshot = snapshot_from_text(text, size, out_state, error);
  if (snapshot == NULL)
    fail_prefix(error, "%s: ", path);
  return snapshot;
}

guint32 snapshot_fragment_checksum(const SnapshotFragment *fragment)
{
  guint8 head[8 + 4 + 8];
  store_be64(head, fragment->id);
  store_be32(head + 8, fragment->file);
  store_be64(head + 12, fragment->offset);
  return crc32c(crc32c(0, head, sizeof head), fragment->data, fragment->size);
}
