/* Between libFuzzer and a target. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static const char *seed_directory;

void fuzz_seed(const char *name, const void *bytes, gsize size)
{
  g_autofree char *path = g_build_filename(seed_directory, name, NULL);
  g_autoptr(GError) error = NULL;
  if (!g_file_set_contents(path, size > 0 ? bytes : "", (gssize)size, &error))
    g_error("%s", error->message);
}

/* What the code under test says of broken input is expected; a critical message is a mistake. */
static GLogWriterOutput judge_message(GLogLevelFlags level, const GLogField *fields, gsize count,
                                      gpointer data)
{
  if ((level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)) == 0)
    return G_LOG_WRITER_HANDLED;
  g_log_writer_standard_streams(level, fields, count, data);
  abort();
}

/* FUZZ_SEEDS=FOLDER: writes the seeds there and ends. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  g_log_set_writer_func(judge_message, NULL, NULL);
  seed_directory = g_getenv("FUZZ_SEEDS");
  if (seed_directory != NULL) {
    fuzz_seeds();
    exit(0);
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
  fuzz_one(bytes, size);
  return 0;
}
