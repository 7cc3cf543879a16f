/*
 * The small files that a program writes for itself and reads at its next start: node.ini of a data
 * directory, and how far an import is. Anything may stand in them.
 */
#include "ctl/import_state.c"
#include "fuzz/fuzz.h"
#include "node/identity.h"

#include <glib/gstdio.h>
#include <stdlib.h>

static char *directory, *node_ini, *state_path;

static void remove_directory(void)
{
  g_autofree char *lock = g_build_filename(directory, "lock", NULL);
  g_unlink(lock);
  g_unlink(node_ini);
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
  g_assert(before >= 1 && before <= G_MAXINT64);
  gboolean clean = !identity->clean;
  g_assert(identity_set_clean(identity, clean, NULL));
  gboolean begun = identity_begin_incarnation(identity, 1700000000000000, &error);
  g_assert(begun == (error == NULL));
  guint64 after = identity->incarnation;
  g_assert(begun ? after > before && after >= 1700000000000000 : after == before);
  identity_free(identity);
  g_clear_error(&error);
  identity = identity_open(directory, 1, "synclog", "ms", &error);
  g_assert_no_error(error);
  g_assert(identity->incarnation == after && identity->clean == clean);
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

void fuzz_one(const guint8 *bytes, gsize size)
{
  if (directory == NULL)
    make_directory();
  FuzzInput in = {bytes, size};
  gboolean identity = fuzz_u8(&in) & 1;
  const char *path = identity ? node_ini : state_path;
  FILE *file = fopen(path, "we");
  g_assert(file != NULL);
  fwrite(in.left > 0 ? in.bytes : (const guint8 *)"", 1, in.left, file);
  fclose(file);
  if (identity)
    run_identity();
  else
    run_import_state();
}

void fuzz_seeds(void)
{
  static const char node[] = "1[node]\nid=1\ncluster=synclog\ntime_precision=ms\n"
                             "incarnation=1700000000000000\nclean=true\n";
  static const char last[] = "1[node]\nid=1\ncluster=synclog\ntime_precision=ms\n"
                             "incarnation=9223372036854775807\nclean=false\n";
  static const char state[] = "0[import]\ncluster=synclog\ngroup=0\ndevice=d\nhead_checksum=1\n"
                              "tail_checksum=2\noffset=3\nline=4\nrows=5\npoints=6\n";
  fuzz_seed("node", node, sizeof node - 1);
  fuzz_seed("last-incarnation", last, sizeof last - 1);
  fuzz_seed("import-state", state, sizeof state - 1);
}
