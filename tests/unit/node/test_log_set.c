/* The logs of a group, found while one is made. */
#include "node/log_set.h"

#include "unit/wal/mem_io.c"

#include "support/suite.h"

static const LogId known_log = {1, 1000}, new_log = {2, 2000};

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

int main(void)
{
  const TTest *const tests[] = {p8_a_log_is_found_while_another_waits_for_the_disk};
  return RUN_SUITE("log_set", tests);
}
