/*
 * The small files that a program writes for itself and reads at its next start: node.ini of a data
 * directory with its copy, and how far an import is. Anything may stand in them.
 */
#include "base/crc32c.h"
#include "ctl/import_state.c"
#include "fuzz/fuzz.h"
#include "node/identity.h"

#include <glib/gstdio.h>
#include <stdlib.h>

enum {
  IDENTITY = 1,     /* node.ini and its copy, else the state of an import */
  CHECKSUM_ONE = 2, /* put the right checksum behind node.ini */
  CHECKSUM_TWO = 4, /* … behind the copy */
  ONLY_ONE = 8,     /* there is no copy */
};

static char *directory, *node_ini, *copy_ini, *state_path;

static void remove_directory(void)
{
  g_autofree char *lock = g_build_filename(directory, "lock", NULL);
  g_unlink(lock);
  g_unlink(node_ini);
  g_unlink(copy_ini);
  g_unlink(state_path);
  g_rmdir(directory);
}

/* In memory where there is such a place: the files are synced. */
static void make_directory(void)
{
  directory = g_strdup("/dev/shm/fuzz-XXXXXX");
  if (g_mkdtemp(directory) == NULL) {
    g_free(directory);
    directory = g_dir_make_tmp("fuzz-XXXXXX", NULL);
  }
  g_assert(directory != NULL);
  node_ini = g_build_filename(directory, "node.ini", NULL);
  copy_ini = g_build_filename(directory, "node.ini.copy", NULL);
  state_path = g_build_filename(directory, "state", NULL);
  atexit(remove_directory);
}

/* Opened, it goes on where it was, also after it was opened again. */
static void run_identity(void)
{
  g_autoptr(GError) error = NULL;
  Identity *identity = identity_open(directory, 1, "synclog", "ms", &error);
  g_assert((identity == NULL) == (error != NULL));
  if (identity == NULL) {
    g_assert(error->code == SYNCLOG_CORRUPT || error->code == SYNCLOG_INVALID);
    return;
  }
  guint64 before = identity->incarnation;
  g_assert(before <= G_MAXINT64);
  gboolean clean = !identity->clean;
  g_assert(identity_set_clean(identity, clean, NULL));
  g_assert(identity_set_clock_bound(identity, 5, NULL));
  guint64 bound = identity->clock_bound;
  gboolean begun = identity_begin_incarnation(identity, 1700000000000000, &error);
  g_assert(begun == (error == NULL));
  guint64 after = identity->incarnation;
  g_assert(begun ? after > before && after >= 1700000000000000 : after == before);
  identity_free(identity);
  g_clear_error(&error);
  identity = identity_open(directory, 1, "synclog", "ms", &error);
  g_assert_no_error(error);
  g_assert(identity->incarnation == after && identity->clean == clean);
  g_assert(identity->clock_bound == bound && bound >= 5);
  identity_free(identity);
}

static void run_import_state(void)
{
  g_auto(ImportState) state = {0}, again = {0};
  gboolean found = FALSE;
  g_autoptr(GError) error = NULL;
  if (!import_state_load(state_path, &state, &found, &error)) {
    g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
    return;
  }
  g_assert(found && state.cluster != NULL && state.offset <= G_MAXINT64);
  g_assert(import_state_save(&state, state_path, NULL));
  g_assert(import_state_load(state_path, &again, &found, NULL) && found);
  g_assert_cmpstr(state.cluster, ==, again.cluster);
  g_assert_cmpstr(state.device, ==, again.device);
  g_assert(state.offset == again.offset && state.line == again.line && state.rows == again.rows);
  g_assert(state.head_checksum == again.head_checksum && state.group == again.group);
}

static void put_file(const char *path, const guint8 *bytes, gsize size, gboolean checksum)
{
  FILE *file = fopen(path, "we");
  g_assert(file != NULL);
  fwrite(bytes, 1, size, file);
  if (checksum)
    fprintf(file, "checksum=%08x\n", crc32c(0, bytes, size));
  fclose(file);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  if (directory == NULL)
    make_directory();
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  gsize part_size;
  g_autofree guint8 *part = fuzz_part(&in, &part_size);
  if (!(options & IDENTITY)) {
    put_file(state_path, part, part_size, FALSE);
    run_import_state();
    return;
  }
  put_file(node_ini, part, part_size, (options & CHECKSUM_ONE) != 0);
  if (options & ONLY_ONE)
    g_unlink(copy_ini);
  else
    put_file(copy_ini, in.left > 0 ? in.bytes : part, in.left, (options & CHECKSUM_TWO) != 0);
  run_identity();
}

static void give_seed(const char *name, guint options, const char *one, const char *two)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, options, 1);
  seed_part(out, one, strlen(one));
  g_byte_array_append(out, (const guint8 *)two, (guint)strlen(two));
  seed_end(name, out);
}

void fuzz_seeds(void)
{
#define NODE "[node]\nid=1\ncluster=synclog\ntime_precision=ms\n"
#define REST                                                                                       \
  "clean=true\nclock_bound=99\nforgotten=3;9\nmembers=1 active;2 joining host:7671;9 "             \
  "lost;\ninode=1\nsequence="
  give_seed("both-copies", IDENTITY | CHECKSUM_ONE | CHECKSUM_TWO,
            NODE "incarnation=1700000000000000\n" REST "5\n",
            NODE "incarnation=1700000000000001\n" REST "6\n");
  give_seed("one-good-copy", IDENTITY | CHECKSUM_TWO, "broken",
            NODE "incarnation=1700000000000001\n" REST "6\n");
  give_seed("last-incarnation", IDENTITY | CHECKSUM_ONE | ONLY_ONE,
            NODE "incarnation=9223372036854775807\n" REST "18446744073709551615\n", "");
  give_seed("import-state", 0,
            "[import]\ncluster=synclog\ngroup=0\ndevice=d\nhead_checksum=1\ntail_checksum=2\n"
            "offset=3\nline=4\nrows=5\npoints=6\n",
            "");
#undef NODE
#undef REST
}
