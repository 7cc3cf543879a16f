/*
 * A store whose process is killed: what it holds afterwards is an exact prefix of every log, the
 * one that it says, and nothing that it called durable is gone (P2).
 *
 * The killed process is this binary once more, started with the directory and a seed: RocksDB's
 * threads do not live through a fork. It runs outside of Check: fast_assert only.
 */
#include "history.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child says after each step. */
typedef struct Report {
  guint64 applied[LOGS], durable[LOGS];
} Report;

static void put_next(GRand *random, const History *history, Store *store, Report *report)
{
  guint log = (guint)g_rand_int_range(random, 0, LOGS);
  while (report->applied[log] == ENTRIES)
    log = (log + 1) % LOGS;
  guint64 at = report->applied[log];
  apply_bytes(store, logs[log], at + 1, history->hlcs[log][at], history->writes[log][at]);
  report->applied[log]++;
}

static gboolean is_complete(const Report *report)
{
  for (guint log = 0; log < LOGS; log++)
    if (report->applied[log] < ENTRIES)
      return FALSE;
  return TRUE;
}

/* The child: goes on where the store is, until it is killed or done. */
static int child(const char *directory, guint32 seed, guint32 run)
{
  g_autoptr(GRand) content = g_rand_new_with_seed(seed);
  g_autoptr(GRand) random = g_rand_new_with_seed(seed + run);
  History *history = history_new(content);
  Store *store = open_rocks_chunking(directory, 2);
  Report report = {0};
  for (guint log = 0; log < LOGS; log++)
    report.applied[log] = applied_of(store, logs[log], FALSE);
  while (!is_complete(&report)) {
    put_next(random, history, store, &report);
    if (g_rand_int_range(random, 0, 3) == 0)
      maintain(store, history_horizon(history, report.applied), 200);
    if (g_rand_int_range(random, 0, 6) == 0)
      fast_assert(store_persist(store, g_rand_boolean(random), NULL));
    for (guint log = 0; log < LOGS; log++)
      report.durable[log] = applied_of(store, logs[log], TRUE);
    if (write(STDOUT_FILENO, &report, sizeof report) != sizeof report)
      _exit(1);
  }
  persist(store);
  for (guint log = 0; log < LOGS; log++)
    report.durable[log] = applied_of(store, logs[log], TRUE);
  if (write(STDOUT_FILENO, &report, sizeof report) != sizeof report)
    _exit(1);
  pause(); /* the parent ends it */
  return 0;
}

static GPid start_child(const char *directory, guint32 seed, guint32 run, gint *out_pipe)
{
  g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
  g_autofree char *seed_text = g_strdup_printf("%u", seed), *run_text = g_strdup_printf("%u", run);
  char *arguments[] = {self, (char *)directory, seed_text, run_text, NULL};
  g_autoptr(GError) error = NULL;
  GPid pid;
  ck_assert_msg(g_spawn_async_with_pipes(NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                         NULL, &pid, NULL, out_pipe, NULL, &error),
                "%s", error != NULL ? error->message : "");
  return pid;
}

static gboolean read_report(gint fd, Report *out_report)
{
  Report report;
  gsize got = 0;
  while (got < sizeof report) {
    gssize n = read(fd, (guint8 *)&report + got, sizeof report - got);
    if (n <= 0)
      return FALSE;
    got += (gsize)n;
  }
  *out_report = report;
  return TRUE;
}

/* Kills the child after some reports, or when it is done; gives the last that it said. */
static Report run_child(GRand *random, const char *directory, guint32 seed, guint32 run)
{
  Report report = {0};
  gint fd;
  GPid pid = start_child(directory, seed, run, &fd);
  gint32 wanted = g_rand_int_range(random, 1, LOGS * ENTRIES / 3);
  for (gint32 i = 0; i < wanted && read_report(fd, &report); i++)
    if (is_complete(&report) && memcmp(report.applied, report.durable, sizeof report.applied) == 0)
      break;
  kill(pid, SIGKILL);
  while (read_report(fd, &report)) /* what it still said */
    ;
  close(fd);
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  return report;
}

/* The state of the first entries of each log, by the reference. */
static char *expected_text(const History *history, const guint64 applied[LOGS])
{
  Store *mem = open_mem();
  for (guint log = 0; log < LOGS; log++)
    for (guint64 i = 0; i < applied[log]; i++)
      apply_bytes(mem, logs[log], i + 1, history->hlcs[log][i], history->writes[log][i]);
  char *text = state_text(mem);
  store_close(mem);
  return text;
}

/* TRUE when all logs are complete. */
static gboolean check_recovered(const char *directory, const History *history, const Report *said)
{
  Report found = {0};
  Store *store = open_rocks(directory);
  for (guint log = 0; log < LOGS; log++) {
    found.applied[log] = applied_of(store, logs[log], FALSE);
    ck_assert_uint_eq(found.applied[log], applied_of(store, logs[log], TRUE));
    ck_assert_uint_ge(found.applied[log], said->durable[log]);
    ck_assert_uint_le(found.applied[log],
                      said->applied[log] + 1); /* it may not have said the last */
  }
  g_autofree char *expected = expected_text(history, found.applied);
  g_autofree char *got = state_text(store);
  check_same_text(expected, got);
  store_close(store);
  return is_complete(&found);
}

START_TEST(p2_kill_leaves_an_exact_prefix)
{
  guint32 seed = 20260301 + (guint32)_i;
  g_autoptr(GRand) content = g_rand_new_with_seed(seed);
  g_autoptr(GRand) random = g_rand_new_with_seed(seed + 1000);
  History *history = history_new(content);
  g_autofree char *directory = make_directory();
  guint kills = 0;
  for (gboolean complete = FALSE; !complete; kills++) {
    ck_assert_uint_lt(kills, 200);
    Report said = run_child(random, directory, seed, kills);
    complete = check_recovered(directory, history, &said);
  }
  ck_assert_uint_gt(kills, 2);
  remove_tree(directory);
  history_free(history);
}
END_TEST

int main(int argc, char **argv)
{
  if (argc == 4)
    return child(argv[1], (guint32)g_ascii_strtoull(argv[2], NULL, 10),
                 (guint32)g_ascii_strtoull(argv[3], NULL, 10));
  Suite *suite = suite_create("store crash");
  TCase *cases = tcase_create("store crash");
  tcase_set_timeout(cases, 120);
  tcase_add_loop_test(cases, p2_kill_leaves_an_exact_prefix, 0, HISTORIES(4));
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
