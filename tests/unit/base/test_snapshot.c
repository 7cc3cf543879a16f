/* Manifests, and fetching files from a source that may be slow, broken or hostile. */
#include "base/crc32c.h"
#include "base/snapshot_copy.h"

#include "support/suite.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_SIZE = 600000, FRAGMENTS = 3 }; /* of 256 KiB */

/* --- manifests ----------------------------------------------------------------------------------
 */

static Snapshot *some_snapshot(void)
{
  Snapshot *snapshot = snapshot_new();
  snapshot->id = 4711;
  snapshot->cluster_id = g_strdup("a = [b] \"c\"");
  snapshot->node_id = 3;
  snapshot->time_precision = g_strdup("ms");
  snapshot->version = g_strdup("1.2");
  snapshot->partition_interval = 3600000;
  snapshot->store_format = 4;
  snapshot->created_ms = G_GUINT64_CONSTANT(1790000000000);
  snapshot->digest = (StateDigest){G_MAXUINT64, 7, 8, 9};
  const SnapshotLog logs[] = {
      {{1, 100}, 5, 6, G_MAXUINT64}, {{1, 200}, 0, 0, 0}, {{9, 1}, G_MAXINT64, 77, 0xab}};
  g_array_append_vals(snapshot->logs, logs, G_N_ELEMENTS(logs));
  const SnapshotFile files[] = {{"CURRENT", 16, 0xffffffff}, {"000012.sst", 0, 0}};
  g_array_append_vals(snapshot->files, files, G_N_ELEMENTS(files));
  return snapshot;
}

START_TEST(a_manifest_comes_back)
{
  g_autoptr(Snapshot) snapshot = some_snapshot();
  g_autofree char *text = snapshot_to_text(snapshot, "half");
  g_autofree char *state = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(Snapshot) again = snapshot_from_text(text, strlen(text), &state, &error);
  ck_assert_msg(again != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_str_eq(state, "half");
  g_autofree char *text_again = snapshot_to_text(again, state);
  ck_assert_str_eq(text, text_again);
  ck_assert_uint_eq(again->digest.low, G_MAXUINT64);
  ck_assert_uint_eq(snapshot_bytes(again), 16);
  ck_assert_int_eq(again->group, SNAPSHOT_NO_GROUP);
  ck_assert_uint_eq(again->store_format, 4);
  ck_assert_uint_eq(snapshot_find_log(again, (LogId){1, 100})->digest, G_MAXUINT64);
  ck_assert_uint_eq(snapshot_find_log(again, (LogId){1, 200})->digest, 0);
  ck_assert_uint_eq(snapshot_find_log(again, (LogId){9, 1})->digest, 0xab);
  snapshot->group = 7;
  g_autofree char *named = snapshot_to_text(snapshot, "half");
  g_autoptr(Snapshot) of_group = snapshot_from_text(named, strlen(named), NULL, &error);
  ck_assert_int_eq(of_group->group, 7);
  snapshot->store_format = 0; /* manifests of former versions have none */
  g_autofree char *untold = snapshot_to_text(snapshot, "half");
  ck_assert_ptr_null(strstr(untold, "store_format"));
  g_autoptr(Snapshot) former = snapshot_from_text(untold, strlen(untold), NULL, &error);
  ck_assert_uint_eq(former->store_format, 0);
  for (guint i = 0; i < snapshot->logs->len; i++)
    g_array_index(snapshot->logs, SnapshotLog, i).digest = 0; /* nor these */
  g_autofree char *undigested = snapshot_to_text(snapshot, "half");
  ck_assert_ptr_null(strstr(undigested, "[digests]"));
  g_autoptr(Snapshot) older = snapshot_from_text(undigested, strlen(undigested), NULL, &error);
  ck_assert_uint_eq(snapshot_find_log(older, (LogId){9, 1})->digest, 0);
  snapshot->group = 65536;
  g_autofree char *wrong = snapshot_to_text(snapshot, "half");
  ck_assert_ptr_null(snapshot_from_text(wrong, strlen(wrong), NULL, NULL));
  ck_assert_uint_eq(snapshot_applied(again, (LogId){9, 1}), G_MAXINT64);
  ck_assert_uint_eq(snapshot_applied(again, (LogId){9, 2}), 0);
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
  g_autoptr(Snapshot) snapshot = some_snapshot();
  g_autofree char *text = snapshot_to_text(snapshot, "ready");
  gsize size = strlen(text);
  for (gsize i = 0; i < size; i++) {
    g_autofree char *changed = g_strdup(text);
    changed[i] ^= 1;
    g_autoptr(Snapshot) read = snapshot_from_text(changed, size, NULL, NULL);
    fast_assert_msg(read == NULL, "byte %u", (guint)i);
    g_autoptr(Snapshot) cut = snapshot_from_text(text, i, NULL, NULL);
    fast_assert_msg(cut == NULL, "cut at %u", (guint)i);
  }
}
END_TEST

static void set_name(Snapshot *snapshot, const char *name)
{
  g_strlcpy(g_array_index(snapshot->files, SnapshotFile, 0).name, name, SNAPSHOT_NAME_SIZE + 1);
}

START_TEST(what_makes_no_sense_is_refused)
{
  static const char *const names[] = {"../node.ini", "..",  ".",        "",      "a/b",
                                      "a b",         "a=b", "\303\244", ".LOCK", "000012.sst"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(Snapshot) snapshot = some_snapshot();
    g_autoptr(GError) error = NULL;
    set_name(snapshot, names[i]);
    ck_assert_msg(!snapshot_check(snapshot, &error), "the name \"%s\"", names[i]);
    ck_assert_int_eq(error->code, SYNCLOG_INVALID);
  }
  g_autoptr(Snapshot) snapshot = some_snapshot();
  ck_assert(snapshot_check(snapshot, NULL));
  g_array_index(snapshot->files, SnapshotFile, 0).size = G_MAXUINT64;
  ck_assert(!snapshot_check(snapshot, NULL)); /* sums must not overflow */
  g_array_index(snapshot->files, SnapshotFile, 0).size = 5;
  g_array_index(snapshot->logs, SnapshotLog, 0).log.incarnation = 300; /* out of order */
  ck_assert(!snapshot_check(snapshot, NULL));
  g_array_index(snapshot->logs, SnapshotLog, 0).log.incarnation = 100;
  snapshot->id = 0;
  ck_assert(!snapshot_check(snapshot, NULL));
  snapshot->id = 1;
  snapshot->node_id = 70000;
  ck_assert(!snapshot_check(snapshot, NULL));
  snapshot->node_id = 1;
  g_array_set_size(snapshot->files, 0);
  ck_assert(!snapshot_check(snapshot, NULL));
}
END_TEST

/* --- fetching -----------------------------------------------------------------------------------
 */

/* What the source does with the fragment that is asked for the `at`-th time. */
typedef enum {
  HONEST,
  BREAKS,     /* fails */
  OTHER_ID,   /* of another snapshot, well checksummed */
  OTHER_FILE, /* of another file */
  REPEATS,    /* the fragment before, once more */
  RUNS_AHEAD, /* the fragment behind */
  TOO_SHORT,
  TOO_LONG,
  FLIPS_A_BIT,
  LIES, /* other bytes with a right checksum: the file's own finds it */
  TRICKS,
} Trick;

typedef struct Source {
  guint8 *bytes[2];
  Trick trick;
  guint at, asked, steps, steps_left;
} Source;

static gboolean get(gpointer ctx, guint64 id, guint32 file, guint64 offset, gsize size,
                    SnapshotFragment *out, GBytes **out_bytes, GError **error)
{
  Source *source = ctx;
  Trick trick = source->asked++ == source->at ? source->trick : HONEST;
  if (trick == BREAKS) {
    g_set_error(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY, "the line broke");
    return FALSE;
  }
  *out = (SnapshotFragment){.id = id, .file = file, .offset = offset, .size = size};
  out->id += trick == OTHER_ID;
  out->file = trick == OTHER_FILE ? 1 - file : file;
  if (trick == REPEATS)
    out->offset = 0;
  if (trick == RUNS_AHEAD)
    out->offset = FILE_SIZE - 1000;
  if (trick == RUNS_AHEAD || trick == TOO_SHORT)
    out->size = 1000;
  out->size += trick == TOO_LONG;
  gsize have = MIN(out->size, (gsize)(FILE_SIZE - out->offset));
  guint8 *copy = g_malloc0(out->size);
  memcpy(copy, source->bytes[out->file] + out->offset, have);
  if (trick == LIES)
    copy[10] ^= 1;
  out->data = copy;
  out->checksum = snapshot_fragment_checksum(out);
  if (trick == FLIPS_A_BIT)
    copy[11] ^= 1;
  *out_bytes = g_bytes_new_take(copy, out->size);
  return TRUE;
}

static gboolean count_step(gpointer ctx, guint64 done, guint64 all)
{
  Source *source = ctx;
  source->steps++;
  ck_assert_uint_le(done, all);
  return source->steps_left == 0 || --source->steps_left > 0;
}

typedef struct Rig {
  Source source;
  Snapshot *snapshot;
  char *directory;
} Rig;

static void rig_begin(Rig *rig)
{
  *rig =
      (Rig){.snapshot = some_snapshot(), .directory = g_dir_make_tmp("test-snapshot-XXXXXX", NULL)};
  for (guint i = 0; i < 2; i++) {
    rig->source.bytes[i] = g_malloc(FILE_SIZE);
    for (gsize k = 0; k < FILE_SIZE; k++)
      rig->source.bytes[i][k] = (guint8)(k * (i + 7) + (k >> 12));
    SnapshotFile *file = &g_array_index(rig->snapshot->files, SnapshotFile, i);
    file->size = FILE_SIZE;
    file->checksum = crc32c(0, rig->source.bytes[i], FILE_SIZE);
  }
}

static void rig_end(Rig *rig)
{
  g_autoptr(GDir) dir = g_dir_open(rig->directory, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(rig->directory, name, NULL);
    ck_assert_int_eq(g_unlink(path), 0);
  }
  ck_assert_int_eq(g_rmdir(rig->directory), 0);
  snapshot_free(rig->snapshot);
  g_free(rig->directory);
  g_free(rig->source.bytes[0]);
  g_free(rig->source.bytes[1]);
}

static gboolean rig_copy(Rig *rig, GError **error)
{
  rig->source.asked = 0;
  SnapshotCopy copy = {rig->snapshot, rig->directory, get, count_step, &rig->source};
  return snapshot_copy(&copy, error);
}

static goffset size_of(Rig *rig, guint file)
{
  g_autofree char *path = g_build_filename(
      rig->directory, g_array_index(rig->snapshot->files, SnapshotFile, file).name, NULL);
  GStatBuf status;
  return g_stat(path, &status) == 0 ? status.st_size : -1;
}

START_TEST(files_are_fetched_and_verified)
{
  Rig rig;
  rig_begin(&rig);
  g_autofree char *stranger = g_build_filename(rig.directory, "stranger", NULL);
  ck_assert(g_file_set_contents(stranger, "x", 1, NULL));
  g_autoptr(GError) error = NULL;
  ck_assert_msg(rig_copy(&rig, &error), "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq(rig.source.asked, 2 * FRAGMENTS);
  ck_assert(!g_file_test(stranger, G_FILE_TEST_EXISTS));
  ck_assert(snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, &error));
  /* Once more: nothing is fetched again. */
  ck_assert(rig_copy(&rig, &error));
  ck_assert_uint_eq(rig.source.asked, 0);
  rig_end(&rig);
}
END_TEST

/* Whatever comes in the place of a fragment, nothing of it is taken; the next attempt goes on. */
START_TEST(hostile_fragments)
{
  for (guint trick = BREAKS; trick < TRICKS; trick++) {
    Rig rig;
    rig_begin(&rig);
    rig.source.trick = (Trick)trick;
    rig.source.at = 1;
    g_autoptr(GError) error = NULL;
    ck_assert_msg(!rig_copy(&rig, &error), "trick %u", trick);
    ck_assert_int_eq(error->code, trick == BREAKS ? SYNCLOG_NOT_READY : SYNCLOG_CORRUPT);
    ck_assert_int_eq(size_of(&rig, 0), trick == LIES ? FILE_SIZE : 256 << 10);
    ck_assert_int_eq(size_of(&rig, 1), -1);
    g_clear_error(&error);
    rig.source.trick = HONEST;
    ck_assert_msg(rig_copy(&rig, &error), "after trick %u: %s", trick,
                  error != NULL ? error->message : "");
    /* A file that was wrong as a whole comes again, else only what was missing. */
    ck_assert_uint_eq(rig.source.asked, 2 * FRAGMENTS - (trick == LIES ? 0 : 1));
    ck_assert(snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, NULL));
    rig_end(&rig);
  }
}
END_TEST

/* What a crash left of a file may be shorter, longer or other than what was written. */
START_TEST(leftovers_of_a_crash)
{
  static const gsize sizes[] = {1, 5000, FILE_SIZE - 1, FILE_SIZE, FILE_SIZE + 1};
  for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
    Rig rig;
    rig_begin(&rig);
    g_autofree char *path = g_build_filename(rig.directory, "CURRENT", NULL);
    g_autofree char *zeros = g_malloc0(sizes[i]);
    ck_assert(g_file_set_contents(path, zeros, (gssize)sizes[i], NULL));
    g_autoptr(GError) error = NULL;
    ck_assert_msg(rig_copy(&rig, &error), "%s", error != NULL ? error->message : "");
    ck_assert(snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, NULL));
    rig_end(&rig);
  }
}
END_TEST

START_TEST(it_can_be_ended_and_gone_on_with)
{
  Rig rig;
  rig_begin(&rig);
  g_autoptr(GError) error = NULL;
  guint rounds = 0;
  do {
    g_clear_error(&error);
    rig.source.steps_left = 2;
    rounds++;
  } while (!rig_copy(&rig, &error));
  ck_assert_uint_eq(rounds, 2 * FRAGMENTS + 1);
  ck_assert(snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, NULL));
  rig_end(&rig);
}
END_TEST

START_TEST(verifying_names_what_is_wrong)
{
  Rig rig;
  rig_begin(&rig);
  ck_assert(rig_copy(&rig, NULL));
  g_autofree char *path = g_build_filename(rig.directory, "000012.sst", NULL);
  rig.source.bytes[1][FILE_SIZE / 2] ^= 4;
  ck_assert(g_file_set_contents(path, (char *)rig.source.bytes[1], FILE_SIZE, NULL));
  g_autoptr(GError) error = NULL;
  ck_assert(!snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, &error));
  ck_assert_int_eq(error->code, SYNCLOG_CORRUPT);
  ck_assert_ptr_nonnull(strstr(error->message, "000012.sst"));
  g_clear_error(&error);
  ck_assert_int_eq(g_unlink(path), 0);
  ck_assert(!snapshot_verify(rig.snapshot, rig.directory, NULL, NULL, &error));
  ck_assert_int_eq(error->code, SYNCLOG_CORRUPT);
  rig_end(&rig);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_manifest_comes_back,
                                every_changed_byte_is_noticed,
                                what_makes_no_sense_is_refused,
                                files_are_fetched_and_verified,
                                hostile_fragments,
                                leftovers_of_a_crash,
                                it_can_be_ended_and_gone_on_with,
                                verifying_names_what_is_wrong};
  return RUN_SUITE("snapshots", tests);
}
