/* Readers beside the writer. Meant to be run with SAN=thread, too. */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"

static const gsize segment_size = 64 * 1024;
static const gsize max_size = 1000;

typedef struct Shared {
  Wal *wal;
  guint64 last;  /* readers stop there */
  gint stop;     /* atomic */
  gint trims;    /* atomic: whether reads below the first index are to be expected */
  gboolean cuts; /* the log gets shorter between two questions */
  guint64 reads; /* by one reader */
  guint32 seed;
} Shared;

/* Follows the log like a peer's cursor. */
static gpointer follow(gpointer data)
{
  Shared *shared = data;
  for (guint64 at = 1; at <= shared->last;) {
    g_autoptr(GError) error = NULL;
    guint64 durable = wal_durable_index(shared->wal);
    g_autoptr(EntryRun) run = wal_read(shared->wal, at, 50, 30000, &error);
    if (run == NULL && error == NULL) {
      ck_assert_uint_lt(durable, at);
      g_thread_yield();
      continue;
    }
    if (g_atomic_int_get(&shared->trims) &&
        g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID)) {
      at = wal_first_index(shared->wal);
      continue;
    }
    ck_assert_no_error(error);
    test_check_run(run, at, max_size, 0);
    at = entry_run_last_index(run) + 1;
    shared->reads++;
  }
  return NULL;
}

/* Reads anywhere, and asks what can be asked. */
static gpointer wander(gpointer data)
{
  Shared *shared = data;
  GRand *random = g_rand_new_with_seed(shared->seed);
  while (!g_atomic_int_get(&shared->stop)) {
    guint64 first = wal_first_index(shared->wal), durable = wal_durable_index(shared->wal);
    WalStats stats;
    wal_stats(shared->wal, &stats);
    guint64 last = wal_last_index(shared->wal);
    ck_assert(shared->cuts || durable <= last);
    if (durable < first)
      continue;
    guint64 at = first + (guint64)g_rand_int_range(random, 0, (gint32)(durable - first + 1));
    g_autoptr(GError) error = NULL;
    g_autoptr(EntryRun) run = wal_read(shared->wal, at, 20, 10000, &error);
    if (run != NULL)
      test_check_run(run, at, max_size, 0);
    else
      ck_assert(error == NULL || g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
    g_autoptr(GError) second = NULL;
    guint64 chain;
    wal_chain_at(shared->wal, at, &chain, &second);
    ck_assert_no_error(second);
    shared->reads++;
  }
  g_rand_free(random);
  return NULL;
}

/* Beside the writer: takes away what is 500 records old. */
static gpointer trim_old(gpointer data)
{
  Shared *shared = data;
  while (!g_atomic_int_get(&shared->stop)) {
    guint64 last = wal_last_index(shared->wal);
    ck_assert(wal_trim(shared->wal, last - MIN(last, 500), NULL));
  }
  return NULL;
}

static void run_threads(gboolean trims)
{
  enum { READERS = 3 };
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  Shared shared[2 * READERS];
  GThread *threads[2 * READERS];
  for (int i = 0; i < 2 * READERS; i++) {
    shared[i] = (Shared){.wal = wal, .last = 4000, .trims = trims, .seed = (guint32)i};
    threads[i] = g_thread_new("reader", i < READERS ? follow : wander, &shared[i]);
  }
  Shared trimming = {.wal = wal};
  GThread *trimmer = trims ? g_thread_new("trim", trim_old, &trimming) : NULL;
  for (guint64 i = 1; i <= 4000; i += 10) {
    test_append(wal, i, 10, max_size);
    if (i % 3 == 0)
      test_sync(wal);
  }
  test_sync(wal);
  if (trims) {
    ck_assert(wal_trim(wal, 3500, NULL));
    g_atomic_int_set(&trimming.stop, TRUE);
    g_thread_join(trimmer);
  }
  for (int i = 0; i < READERS; i++)
    g_thread_join(threads[i]);
  for (int i = READERS; i < 2 * READERS; i++)
    g_atomic_int_set(&shared[i].stop, TRUE);
  for (int i = READERS; i < 2 * READERS; i++)
    g_thread_join(threads[i]);
  for (int i = 0; i < READERS; i++)
    ck_assert_uint_gt(shared[i].reads, 0);
  if (!trims)
    test_check_log(wal, 1, 4000, max_size);
  else
    ck_assert_uint_gt(wal_first_index(wal), 1);
  ck_assert_uint_eq(mem_disk_open_files(disk), 1);
}

START_TEST(d04_readers_during_append)
{
  run_threads(FALSE);
}
END_TEST

START_TEST(test_readers_during_trim)
{
  run_threads(TRUE);
}
END_TEST

/* Files change under the readers; they never see damage, nor what is not durable. */
START_TEST(test_readers_during_cut_and_reset)
{
  enum { READERS = 3 };
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 16384, WAL_CLEAN);
  Shared shared[READERS];
  GThread *threads[READERS];
  for (int i = 0; i < READERS; i++) {
    shared[i] = (Shared){.wal = wal, .cuts = TRUE, .seed = (guint32)i};
    threads[i] = g_thread_new("reader", wander, &shared[i]);
  }
  guint64 last = 0;
  for (int round = 0; round < 300; round++) {
    test_append(wal, last + 1, 30, max_size);
    last += 30;
    test_sync(wal);
    if (round % 3 == 2) {
      guint64 index = last > 40 ? last - 40 : 1;
      ck_assert(wal_cut(wal, index, NULL));
      last = index - 1;
    }
    if (round % 100 == 99) {
      ck_assert(wal_reset(wal, NULL));
      last = 0;
    }
  }
  for (int i = 0; i < READERS; i++) {
    g_atomic_int_set(&shared[i].stop, TRUE);
    g_thread_join(threads[i]);
  }
}
END_TEST

int main(void)
{
  /* What GLib sets up with the first error of a process, in code that is not instrumented, looks
   * like a race to the sanitizer when two threads come first. */
  g_error_free(g_error_new(SYNCLOG_ERROR, SYNCLOG_INVALID, "the first error"));
  Suite *suite = suite_create("wal threads");
  const TTest *tests[] = {
      d04_readers_during_append,
      test_readers_during_trim,
      test_readers_during_cut_and_reset,
  };
  test_add(suite, "threads", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
