#include "node/identity.h"

#include "base/crc32c.h"
#include "base/failpoint.h"
#include "base/limits.h"
#include "wal/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "node.ini"
#define COPY_SUFFIX ".copy"
#define GROUP "node"
#define CHECKSUM "checksum="

enum { FILE_SIZE_MAX = 512 * 1024 };

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

static void parse_forgotten(Identity *identity, GKeyFile *file, GError **error)
{
  gsize count = 0;
  if (!g_key_file_has_key(file, GROUP, "forgotten", NULL))
    return;
  g_autofree gint *nodes = g_key_file_get_integer_list(file, GROUP, "forgotten", &count, error);
  for (gsize i = 0; nodes != NULL && i < count; i++) {
    guint32 node = (guint32)nodes[i];
    g_array_append_val(identity->forgotten, node);
  }
}

/* "ID STATE [ADDRESS]" */
static gboolean parse_member(GPtrArray *members, const char *text, GError **error)
{
  g_auto(GStrv) words = g_strsplit(text, " ", 3);
  guint count = g_strv_length(words);
  guint64 id = 0;
  MemberState state;
  const Member *last = members->len > 0 ? members->pdata[members->len - 1] : NULL;
  if (count < 2 || !g_ascii_string_to_unsigned(words[0], 10, 1, LIMIT_NODE_ID, &id, NULL) ||
      !member_state_parse(words[1], &state) || (last != NULL && last->id >= id) ||
      members->len >= LIMIT_KNOWN_MEMBERS)
    return fail(error, SYNCLOG_CORRUPT, "\"%s\" is no member", text);
  member_list_add(members, (guint32)id, state, words[2]);
  return TRUE;
}

static void parse_members(Identity *identity, GKeyFile *file, GError **error)
{
  g_clear_pointer(&identity->members, g_ptr_array_unref);
  if (!g_key_file_has_key(file, GROUP, "members", NULL))
    return;
  g_auto(GStrv) texts = g_key_file_get_string_list(file, GROUP, "members", NULL, error);
  g_autoptr(GPtrArray) members = member_list_new();
  for (guint i = 0; texts != NULL && texts[i] != NULL; i++)
    if (!parse_member(members, texts[i], error))
      return;
  if (texts != NULL)
    identity->members = g_steal_pointer(&members);
}

static void save_members(const GPtrArray *members, GKeyFile *file)
{
  g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < members->len; i++) {
    const Member *member = members->pdata[i];
    g_ptr_array_add(texts,
                    g_strdup_printf("%u %s%s%s", member->id, member_state_name(member->state),
                                    member->address != NULL ? " " : "",
                                    member->address != NULL ? member->address : ""));
  }
  g_key_file_set_string_list(file, GROUP, "members", (const char *const *)texts->pdata, texts->len);
}

static void parse_skipped(Identity *identity, GKeyFile *file, GError **error)
{
  if (!g_key_file_has_key(file, GROUP, "skipped", NULL))
    return;
  g_auto(GStrv) texts = g_key_file_get_string_list(file, GROUP, "skipped", NULL, error);
  for (guint i = 0; texts != NULL && texts[i] != NULL; i++) {
    Token entry;
    if (!token_parse(texts[i], &entry, error))
      return;
    g_array_append_val(identity->skipped, entry);
  }
}

/* Fills what changes; `local` is checked once at the end. */
static gboolean parse_state(Identity *identity, const char *path, GKeyFile *file, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_array_set_size(identity->forgotten, 0);
  g_array_set_size(identity->skipped, 0);
  identity->incarnation = g_key_file_get_uint64(file, GROUP, "incarnation", &local);
  if (local == NULL)
    identity->clean = g_key_file_get_boolean(file, GROUP, "clean", &local);
  if (local == NULL)
    identity->clock_bound = g_key_file_get_uint64(file, GROUP, "clock_bound", &local);
  if (local == NULL)
    identity->sequence = g_key_file_get_uint64(file, GROUP, "sequence", &local);
  if (local == NULL)
    identity->copied = g_key_file_get_uint64(file, GROUP, "inode", &local) != identity->inode;
  if (local == NULL)
    parse_forgotten(identity, file, &local);
  if (local == NULL)
    parse_members(identity, file, &local);
  if (local == NULL)
    parse_skipped(identity, file, &local);
  if (local != NULL)
    return fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  if (identity->incarnation == 0 || identity->incarnation > G_MAXINT64)
    return fail(error, SYNCLOG_CORRUPT, "%s: no valid incarnation", path);
  return TRUE;
}

static gboolean parse(Identity *identity, const char *path, GKeyFile *file, GError **error)
{
  g_autoptr(GError) local = NULL;
  gint id = g_key_file_get_integer(file, GROUP, "id", &local);
  g_autofree char *cluster =
      local == NULL ? g_key_file_get_string(file, GROUP, "cluster", &local) : NULL;
  g_autofree char *precision =
      local == NULL ? g_key_file_get_string(file, GROUP, "time_precision", &local) : NULL;
  if (local != NULL)
    return fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  if ((guint32)id != identity->node_id)
    return fail(error, SYNCLOG_INVALID,
                "%s: the directory belongs to node %d, the configuration says node %u", path, id,
                identity->node_id);
  return check_text(path, "cluster", cluster, identity->cluster_id, error) &&
         check_text(path, "time precision", precision, identity->time_precision, error) &&
         parse_state(identity, path, file, error);
}

/* The whole of a file; INVALID when there is none. */
static gboolean read_text(const WalIo *io, const char *path, char **out_text, gsize *out_size,
                          GError **error)
{
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!wal_file_open(io, path, O_RDONLY, &file, error))
    return FALSE;
  g_autofree char *text = g_malloc(FILE_SIZE_MAX + 1);
  gssize size = wal_file_read(&file, text, FILE_SIZE_MAX + 1, 0);
  if (size < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "read %s", path);
  if (size > FILE_SIZE_MAX)
    return fail(error, SYNCLOG_CORRUPT, "%s: longer than any that was written", path);
  text[size] = '\0';
  *out_text = g_steal_pointer(&text);
  *out_size = (gsize)size;
  return TRUE;
}

/*
 * Reads one copy. Valid if and only if its last line is "checksum=" and the CRC-32C of all bytes
 * before that line as eight hexadecimal digits. NULL without an error: there is no such file.
 */
static GKeyFile *load_copy(const WalIo *io, const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize size = 0;
  g_autoptr(GError) local = NULL;
  if (!read_text(io, path, &text, &size, &local)) {
    if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_INVALID))
      fail(error, SYNCLOG_CORRUPT, "%s", local->message);
    return NULL;
  }
  char *line = g_strrstr_len(text, (gssize)size, CHECKSUM);
  gsize before = line != NULL ? (gsize)(line - text) : 0;
  g_autofree char *wanted = g_strdup_printf(CHECKSUM "%08x\n", crc32c(0, text, before));
  g_autoptr(GKeyFile) file = g_key_file_new();
  if (line == NULL || g_strcmp0(line, wanted) != 0)
    fail(error, SYNCLOG_CORRUPT, "%s: the checksum is wrong", path);
  else if (!g_key_file_load_from_data(file, text, size, G_KEY_FILE_NONE, &local))
    fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  else
    return g_steal_pointer(&file);
  return NULL;
}

static guint64 sequence_of(GKeyFile *file)
{
  return file != NULL ? g_key_file_get_uint64(file, GROUP, "sequence", NULL) : 0;
}

static void put_skipped(const Identity *identity, GKeyFile *file)
{
  g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < identity->skipped->len; i++) {
    char text[TOKEN_TEXT_SIZE];
    g_ptr_array_add(texts,
                    g_strdup(token_format(&g_array_index(identity->skipped, Token, i), text)));
  }
  if (texts->len > 0)
    g_key_file_set_string_list(file, GROUP, "skipped", (const gchar *const *)texts->pdata,
                               texts->len);
}

/* Written beside, synced, renamed: after a crash there is the old or the new. */
static gboolean save_copy(const WalIo *io, const char *path, const char *text, gsize size,
                          GError **error)
{
  g_autofree char *temp = g_strconcat(path, ".new", NULL);
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!wal_file_open(io, temp, O_RDWR | O_CREAT | O_TRUNC, &file, error))
    return FALSE;
  if (FAILPOINT_FAILS("identity_write") || wal_file_write(&file, text, size, 0) < size)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "write %s", temp);
  if (FAILPOINT_FAILS("identity_sync") || io->fsync(io->ctx, file.fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", temp);
  if (FAILPOINT_FAILS("identity_rename") || io->rename(io->ctx, temp, path) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "rename %s to %s", temp, path);
  FAILPOINT("identity_after_rename");
  return TRUE;
}

static gboolean save(Identity *identity, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_key_file_set_comment(file, NULL, NULL, " Written by synclogd. Do not edit.", NULL);
  g_key_file_set_integer(file, GROUP, "id", (gint)identity->node_id);
  g_key_file_set_string(file, GROUP, "cluster", identity->cluster_id);
  g_key_file_set_string(file, GROUP, "time_precision", identity->time_precision);
  g_key_file_set_uint64(file, GROUP, "incarnation", identity->incarnation);
  g_key_file_set_boolean(file, GROUP, "clean", identity->clean);
  g_key_file_set_uint64(file, GROUP, "clock_bound", identity->clock_bound);
  if (identity->forgotten->len > 0)
    g_key_file_set_integer_list(file, GROUP, "forgotten", (gint *)(void *)identity->forgotten->data,
                                identity->forgotten->len);
  if (identity->members != NULL)
    save_members(identity->members, file);
  put_skipped(identity, file);
  /* That it was copied is known until an incarnation began because of it. */
  g_key_file_set_uint64(file, GROUP, "inode", identity->copied ? 0 : identity->inode);
  g_key_file_set_uint64(file, GROUP, "sequence", identity->sequence + 1);
  gsize size;
  g_autofree char *state = g_key_file_to_data(file, &size, NULL);
  g_autofree char *text = g_strdup_printf("%s" CHECKSUM "%08x\n", state, crc32c(0, state, size));
  size = strlen(text);
  g_autofree char *path = g_build_filename(identity->directory, FILE_NAME, NULL);
  g_autofree char *copy_path = g_strconcat(path, COPY_SUFFIX, NULL);
  const WalIo *io = identity->io;
  if (!save_copy(io, path, text, size, error) || !save_copy(io, copy_path, text, size, error) ||
      !wal_directory_sync(io, identity->directory, error))
    return FALSE;
  FAILPOINT("identity_saved");
  identity->sequence++;
  return TRUE;
}

/* Takes the newer of the good copies, and mends the other. */
static gboolean load(Identity *identity, GError **error)
{
  g_autofree char *path = g_build_filename(identity->directory, FILE_NAME, NULL);
  g_autofree char *copy_path = g_strconcat(path, COPY_SUFFIX, NULL);
  g_autoptr(GError) damage = NULL;
  g_autoptr(GError) copy_damage = NULL;
  g_autoptr(GKeyFile) file = load_copy(identity->io, path, &damage);
  g_autoptr(GKeyFile) copy = load_copy(identity->io, copy_path, &copy_damage);
  if (file == NULL && copy == NULL) {
    if (damage == NULL && copy_damage == NULL)
      return TRUE; /* a new node */
    GError **first = damage != NULL ? &damage : &copy_damage;
    g_propagate_error(error, g_steal_pointer(first));
    return FALSE;
  }
  gboolean use_copy = file == NULL || sequence_of(copy) > sequence_of(file);
  if (!parse(identity, use_copy ? copy_path : path, use_copy ? copy : file, error))
    return FALSE;
  if (damage == NULL && copy_damage == NULL)
    return TRUE;
  g_warning("%s; the other copy is used", (damage != NULL ? damage : copy_damage)->message);
  return save(identity, error);
}

GPtrArray *identity_peek_members(const char *directory, GError **error)
{
  g_autofree char *path = g_build_filename(directory, FILE_NAME, NULL);
  g_autofree char *copy_path = g_strconcat(path, COPY_SUFFIX, NULL);
  g_autoptr(GError) damage = NULL;
  g_autoptr(GKeyFile) file = load_copy(wal_io_system(), path, &damage);
  g_autoptr(GKeyFile) copy = load_copy(wal_io_system(), copy_path, damage == NULL ? &damage : NULL);
  if (file == NULL && copy == NULL) {
    if (damage != NULL)
      g_propagate_error(error, g_steal_pointer(&damage));
    return NULL;
  }
  Identity found = {0};
  g_autoptr(GError) local = NULL;
  parse_members(&found, file == NULL || sequence_of(copy) > sequence_of(file) ? copy : file,
                &local);
  if (local != NULL)
    fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  return found.members;
}

char *identity_complain_of_peer(const GPtrArray *members, guint32 peer)
{
  const Member *member = member_list_find(members, peer);
  if (member == NULL)
    return g_strdup_printf("[peer.%u] is not used: the cluster has a record of its members, and "
                           "node %u is none (synclogctl node add)",
                           peer, peer);
  if (member->state < MEMBER_REMOVED)
    return NULL;
  return g_strdup_printf("[peer.%u] is not used: node %u was %s", peer, peer,
                         member->state == MEMBER_LOST ? "declared lost for good" : "removed");
}

/* A copied directory has another inode: that is how a restored backup shows. */
static gboolean read_inode(Identity *identity, GError **error)
{
  struct stat status;
  if (stat(identity->directory, &status) != 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", identity->directory);
  identity->inode = status.st_ino;
  return TRUE;
}

static Identity *identity_new(const WalIo *io, const char *directory, guint32 node_id,
                              const char *cluster_id, const char *time_precision)
{
  Identity *identity = g_new0(Identity, 1);
  identity->directory = g_strdup(directory);
  identity->io = io;
  identity->lock_fd = -1;
  identity->node_id = node_id;
  identity->cluster_id = g_strdup(cluster_id);
  identity->time_precision = g_strdup(time_precision);
  identity->clean = TRUE;
  identity->forgotten = g_array_new(FALSE, FALSE, sizeof(guint32));
  identity->skipped = g_array_new(FALSE, FALSE, sizeof(Token));
  g_mutex_init(&identity->skip_mutex);
  g_mutex_init(&identity->mutex);
  return identity;
}

Identity *identity_open(const char *directory, guint32 node_id, const char *cluster_id,
                        const char *time_precision, GError **error)
{
  g_autoptr(Identity) identity =
      identity_new(wal_io_system(), directory, node_id, cluster_id, time_precision);
  if (!wal_directory_create(identity->io, directory, error))
    return NULL;
  if (!lock_directory(identity, error) || !read_inode(identity, error) || !load(identity, error))
    return NULL;
  return g_steal_pointer(&identity);
}

Identity *identity_open_on(const WalIo *io, guint64 inode, const char *directory, guint32 node_id,
                           const char *cluster_id, const char *time_precision, GError **error)
{
  g_autoptr(Identity) identity = identity_new(io, directory, node_id, cluster_id, time_precision);
  identity->inode = inode;
  if (!wal_directory_create(io, directory, error) || !load(identity, error))
    return NULL;
  return g_steal_pointer(&identity);
}

void identity_free(Identity *identity)
{
  if (identity->lock_fd >= 0)
    close(identity->lock_fd);
  g_mutex_clear(&identity->mutex);
  g_mutex_clear(&identity->skip_mutex);
  g_array_unref(identity->forgotten);
  g_clear_pointer(&identity->members, g_ptr_array_unref);
  g_array_unref(identity->skipped);
  g_free(identity->directory);
  g_free(identity->cluster_id);
  g_free(identity->time_precision);
  g_free(identity);
}

gboolean identity_begin_incarnation(Identity *identity, guint64 now_us, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->mutex);
  guint64 before = identity->incarnation;
  guint64 last = MAX(before, identity->past);
  if (last >= G_MAXINT64)
    return fail(error, SYNCLOG_CORRUPT, "%s/" FILE_NAME ": no incarnation can follow the last one",
                identity->directory);
  gboolean copied = identity->copied;
  FAILPOINT("incarnation_before_save");
  identity->incarnation = MAX(last + 1, now_us);
  identity->copied = FALSE;
  if (save(identity, error))
    return TRUE;
  identity->incarnation = before;
  identity->copied = copied;
  return FALSE;
}

gboolean identity_take_past(Identity *identity, const char *path, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) local = NULL;
  if (identity->incarnation != 0 || !g_file_test(path, G_FILE_TEST_EXISTS))
    return TRUE;
  guint64 past = 0, clock_bound = 0;
  if (g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local))
    past = g_key_file_get_uint64(file, GROUP, "incarnation", &local);
  if (local == NULL)
    clock_bound = g_key_file_get_uint64(file, GROUP, "clock_bound", &local);
  if (local != NULL)
    return fail(error, SYNCLOG_CORRUPT, "%s: %s", path, local->message);
  identity->past = MAX(identity->past, past);
  identity->clock_bound = MAX(identity->clock_bound, clock_bound);
  return TRUE;
}

gboolean identity_keep_past(const char *directory, guint32 node_id, const char *cluster_id,
                            const char *time_precision, const char *path, GError **error)
{
  g_autoptr(Identity) identity =
      identity_open(directory, node_id, cluster_id, time_precision, error);
  if (identity == NULL || !identity_take_past(identity, path, error))
    return FALSE;
  guint64 past = MAX(identity->incarnation, identity->past);
  if (past == 0)
    return TRUE;
  g_autofree char *text =
      g_strdup_printf("# Written by synclogd, of what was deleted. Do not edit.\n[" GROUP "]\n"
                      "incarnation=%" G_GUINT64_FORMAT "\nclock_bound=%" G_GUINT64_FORMAT "\n",
                      past, identity->clock_bound);
  g_autoptr(GError) local = NULL;
  return g_file_set_contents_full(path, text, -1,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                  0640, &local) ||
         fail(error, SYNCLOG_INTERNAL, "%s", local->message);
}

gboolean identity_set_clean(Identity *identity, gboolean clean, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->mutex);
  if (identity->clean == clean)
    return TRUE;
  identity->clean = clean;
  if (save(identity, error))
    return TRUE;
  identity->clean = !clean; /* the next call tries again */
  return FALSE;
}

gboolean identity_set_clock_bound(Identity *identity, guint64 hlc, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->mutex);
  guint64 before = identity->clock_bound;
  identity->clock_bound = MAX(before, hlc);
  if (identity->clock_bound == before || save(identity, error))
    return TRUE;
  identity->clock_bound = before;
  return FALSE;
}

gboolean identity_set_members(Identity *identity, GPtrArray *members, guint64 changes,
                              GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->mutex);
  if (changes <= identity->members_changes)
    return TRUE;
  g_autoptr(GPtrArray) before = identity->members;
  identity->members = g_ptr_array_ref(members);
  FAILPOINT("members_before_save");
  if (!save(identity, error)) {
    g_ptr_array_unref(identity->members);
    identity->members = g_steal_pointer(&before);
    return FALSE;
  }
  identity->members_changes = changes;
  FAILPOINT("members_saved");
  return TRUE;
}

GArray *identity_skipped(Identity *identity)
{
  g_mutex_lock(&identity->skip_mutex);
  GArray *skipped = g_array_ref(identity->skipped);
  g_mutex_unlock(&identity->skip_mutex);
  return skipped;
}

static gboolean has_entry(const GArray *entries, LogId log, guint64 index)
{
  for (guint i = 0; i < entries->len; i++) {
    const Token *entry = &g_array_index(entries, Token, i);
    if (entry->index == index && log_id_equal(entry->log, log))
      return TRUE;
  }
  return FALSE;
}

gboolean identity_skips(Identity *identity, LogId log, guint64 index)
{
  g_autoptr(GArray) skipped = identity_skipped(identity);
  return has_entry(skipped, log, index);
}

/* Returns what was there. */
static GArray *set_skipped(Identity *identity, GArray *skipped)
{
  g_mutex_lock(&identity->skip_mutex);
  GArray *before = identity->skipped;
  identity->skipped = skipped;
  g_mutex_unlock(&identity->skip_mutex);
  return before;
}

gboolean identity_skip(Identity *identity, const Token *entry, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->mutex);
  if (has_entry(identity->skipped, entry->log, entry->index))
    return TRUE;
  if (identity->skipped->len >= LIMIT_SKIPPED)
    return fail(error, SYNCLOG_TOO_LARGE, "%d entries are left out already, no more can be",
                LIMIT_SKIPPED);
  GArray *longer = g_array_copy(identity->skipped);
  g_array_append_vals(longer, entry, 1);
  GArray *before = set_skipped(identity, longer);
  if (save(identity, error)) {
    g_array_unref(before);
    return TRUE;
  }
  g_array_unref(set_skipped(identity, before));
  return FALSE;
}
