/*
 * Runs seeds, each in the process of a child, so that one that fails, or aborts in an assertion of
 * the product, does not end the others.
 */
#include "sim/golden.h"
#include "sim/sim.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRACE_LINES = 60 };

static gint64 option_seed = -1;
static gint64 option_first = 1;
static gint option_seeds = 300;
static gdouble option_minutes = 0;
static gboolean option_trace = FALSE;
static gboolean option_stop = FALSE;
static char *option_list = NULL;
static char *option_golden = NULL;
static gboolean option_update = FALSE;

static const GOptionEntry options[] = {
    {"seed", 0, 0, G_OPTION_ARG_INT64, &option_seed, "Run this one only", "N"},
    {"trace", 0, 0, G_OPTION_ARG_NONE, &option_trace, "… and tell what happens", NULL},
    {"first", 0, 0, G_OPTION_ARG_INT64, &option_first, "The first seed", "N"},
    {"seeds", 0, 0, G_OPTION_ARG_INT, &option_seeds, "How many", "N"},
    {"minutes", 0, 0, G_OPTION_ARG_DOUBLE, &option_minutes, "Until so much time has passed", "M"},
    {"list", 0, 0, G_OPTION_ARG_FILENAME, &option_list, "The seeds of this file before", "FILE"},
    {"stop", 0, 0, G_OPTION_ARG_NONE, &option_stop, "Stop at the first that fails", NULL},
    {"golden", 0, 0, G_OPTION_ARG_FILENAME, &option_golden, "Compare the stories of golden.c",
     "DIR"},
    {"update", 0, 0, G_OPTION_ARG_NONE, &option_update, "… or write them anew", NULL},
    G_OPTION_ENTRY_NULL};

/* What the children leave behind. */
typedef struct Shared {
  volatile guint64 current, done;
  guint64 steps, acks, simulated_us, longest_heal_us, faults[FAULT_KINDS];
} Shared;

static Shared *shared;

static GLogWriterOutput drop_message(GLogLevelFlags level, const GLogField *fields, gsize count,
                                     gpointer data)
{
  (void)data;
  if ((level & (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL)) != 0)
    return g_log_writer_standard_streams(level, fields, count, NULL);
  return G_LOG_WRITER_HANDLED;
}

static void on_abort(int signal_number)
{
  (void)signal_number;
  char text[100];
  int size = g_snprintf(text, sizeof text, "FAIL seed %lu: an assertion or a crash\n",
                        (gulong)shared->current);
  if (write(STDOUT_FILENO, text, (size_t)size) < 0)
    _Exit(3);
  _Exit(2);
}

static void run_seed(guint64 seed, FILE *trace)
{
  shared->current = seed;
  SimConfig config = swarm_config(seed);
  if (trace != NULL)
    swarm_describe(&config, trace);
  Sim *sim = sim_new(&config, trace);
  sim_run(sim);
  shared->steps += sim->steps;
  shared->acks += sim->acks->len;
  shared->simulated_us += (guint64)sim->now_us;
  shared->longest_heal_us = MAX(shared->longest_heal_us, (guint64)(sim->now_us - sim->healed_us));
  for (guint i = 0; i < FAULT_KINDS; i++)
    shared->faults[i] += sim->faults[i];
  if (trace != NULL)
    fprintf(trace, "seed %lu passed: %lu steps, %u acknowledged, equal after %.0f ms\n",
            (gulong)seed, (gulong)sim->steps, sim->acks->len,
            (double)(sim->now_us - sim->healed_us) / 1000.0);
  sim_free(sim);
}

/* In a child: seeds[shared->done .. count). TRUE when all passed. */
static gboolean run_child(const guint64 *seeds, guint64 count)
{
  fflush(NULL);
  pid_t child = fork();
  g_assert(child >= 0);
  if (child == 0) {
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    while (shared->done < count) {
      run_seed(seeds[shared->done], NULL);
      shared->done++;
    }
    exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The end of what happened in a seed that fails. */
static void show_trace(guint64 seed)
{
  g_autofree char *path = g_strdup_printf("%s/seed-%lu.trace", g_get_tmp_dir(), (gulong)seed);
  fflush(NULL);
  pid_t child = fork();
  g_assert(child >= 0);
  if (child == 0) {
    FILE *trace = fopen(path, "w");
    g_assert(trace != NULL);
    setvbuf(trace, NULL, _IOLBF, 0);
    run_seed(seed, trace);
    exit(0);
  }
  waitpid(child, NULL, 0);
  g_autofree char *text = NULL;
  if (!g_file_get_contents(path, &text, NULL, NULL))
    return;
  unlink(path);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  guint count = g_strv_length(lines);
  for (guint i = count > TRACE_LINES ? count - TRACE_LINES : 0; i < count; i++)
    printf("  %s\n", lines[i]);
}

/* How many failed. */
static guint run_all(const guint64 *seeds, guint64 count)
{
  guint failed = 0;
  shared->done = 0;
  while (shared->done < count) {
    if (run_child(seeds, count))
      break;
    guint64 seed = seeds[shared->done];
    failed++;
    if (failed <= 3)
      show_trace(seed);
    printf("  replay: build/plain/tests/sim/sim --seed %lu --trace\n", (gulong)seed);
    shared->done++;
    if (option_stop)
      break;
  }
  return failed;
}

static GArray *read_list(const char *path)
{
  GArray *seeds = g_array_new(FALSE, FALSE, sizeof(guint64));
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  if (path != NULL && !g_file_get_contents(path, &text, NULL, &error))
    g_error("%s", error->message);
  g_auto(GStrv) lines = text != NULL ? g_strsplit(text, "\n", -1) : NULL;
  for (guint i = 0; lines != NULL && lines[i] != NULL; i++) {
    guint64 seed = g_ascii_strtoull(lines[i], NULL, 10);
    if (g_ascii_isdigit(lines[i][0]))
      g_array_append_val(seeds, seed);
  }
  return seeds;
}

static void tell_sums(guint64 seeds, gint64 took_us)
{
  printf(
      "%lu seeds in %.1f s (%.0f a minute): %lu steps, %.0f s simulated, %lu writes acknowledged,"
      " longest healing %.1f s\nfaults:",
      (gulong)seeds, (double)took_us / 1e6, (double)seeds * 60e6 / (double)took_us,
      (gulong)shared->steps, (double)shared->simulated_us / 1e6, (gulong)shared->acks,
      (double)shared->longest_heal_us / 1e6);
  for (guint i = 0; i < FAULT_KINDS; i++)
    printf(" %s %lu", fault_name((FaultKind)i), (gulong)shared->faults[i]);
  printf("\n");
}

int main(int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new("- a cluster under simulated faults");
  g_option_context_add_main_entries(context, options, NULL);
  g_autoptr(GError) error = NULL;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    fprintf(stderr, "%s\n", error->message);
    return 2;
  }
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert(shared != MAP_FAILED);
  g_log_set_writer_func(drop_message, NULL, NULL);
  if (option_golden != NULL)
    return golden_run(option_golden, option_update) == 0 ? 0 : 1;
  if (option_seed >= 0) {
    run_seed((guint64)option_seed, option_trace ? stdout : NULL);
    return 0;
  }
  gint64 begun_us = g_get_monotonic_time();
  g_autoptr(GArray) seeds = read_list(option_list);
  guint64 passed = 0, failed = 0, next = (guint64)option_first;
  do {
    for (gint i = 0; i < option_seeds; i++, next++)
      g_array_append_val(seeds, next);
    guint bad = run_all((guint64 *)(void *)seeds->data, seeds->len);
    failed += bad;
    passed += shared->done - bad;
    g_array_set_size(seeds, 0);
  } while ((gdouble)(g_get_monotonic_time() - begun_us) < option_minutes * 60e6 &&
           !(option_stop && failed > 0));
  tell_sums(passed + failed, g_get_monotonic_time() - begun_us);
  printf("%lu passed, %lu failed\n", (gulong)passed, (gulong)failed);
  return failed == 0 ? 0 : 1;
}
