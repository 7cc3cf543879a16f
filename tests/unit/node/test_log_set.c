/* The logs of a group, found while one is made. pthread_create() is replaced here, to let it fail.
 */
#include "node/log_set.h"

#include "unit/wal/mem_io.c"

#include "support/suite.h"
#include "unit/store/tools.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

static const LogId known_log = {1, 1000}, new_log = {2, 2000};

static gint threads_left = G_MAXINT; /* atomic: so many can be had */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (g_atomic_int_add(&threads_left, -1) <= 0)
    return EAGAIN;
  if (real == NULL)
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, start, argument);
}

static LogSet *making; /* a log is made in it */
static guint finds;

static gpointer find(gpointer unused)
{
  (void)unused;
  ck_assert_ptr_nonnull(log_set_find(making, known_log));
  ck_assert_ptr_null(log_set_find(making, new_log));
  finds++;
  return NULL;
}

/* The disk answers only when somebody else has found what he looks for. */
static int mkdir_that_waits(gpointer ctx, const char *path, mode_t mode)
{
  if (making != NULL)
    g_thread_join(g_thread_new("find", find, NULL));
  return mem_disk_io(ctx)->mkdir(ctx, path, mode);
}

/* Those who look hold the engine's lock. */
START_TEST(p8_a_log_is_found_while_another_waits_for_the_disk)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  mem_disk_set_directory(disk, "/data");
  WalIo io = *mem_disk_io(disk);
  io.mkdir = mkdir_that_waits;
  g_autoptr(LogSet) set = log_set_open("/data/wal", 64 * 1024, 1, &io, NULL);
  ck_assert_ptr_nonnull(set);
  ck_assert_ptr_nonnull(log_set_get(set, known_log, NULL));
  making = set;
  Wal *made = log_set_get(set, new_log, NULL);
  making = NULL;
  ck_assert_ptr_nonnull(made);
  ck_assert_uint_eq(finds, 1);
  ck_assert_ptr_eq(log_set_find(set, new_log), made);
  ck_assert_ptr_eq(log_set_get(set, new_log, NULL), made);
}
END_TEST

/* Also when there are none. */
START_TEST(logs_are_opened_with_the_threads_that_can_be_had)
{
  enum { LOGS = 40 };
  g_autofree char *directory = make_directory();
  LogSet *set = log_set_open(directory, 64 * 1024, 1, NULL, NULL);
  ck_assert_ptr_nonnull(set);
  for (guint i = 0; i < LOGS; i++)
    ck_assert_ptr_nonnull(log_set_get(set, (LogId){1 + i, 1000}, NULL));
  log_set_close(set);
  for (gint threads = 0; threads <= 16; threads += 4) {
    g_atomic_int_set(&threads_left, threads);
    set = log_set_open(directory, 64 * 1024, 1, NULL, NULL);
    ck_assert_ptr_nonnull(set);
    ck_assert_uint_eq(log_set_found(set)->len, LOGS);
    log_set_close(set);
  }
  g_atomic_int_set(&threads_left, G_MAXINT);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {p8_a_log_is_found_while_another_waits_for_the_disk,
                                logs_are_opened_with_the_threads_that_can_be_had};
  return RUN_SUITE("log_set", tests);
}
