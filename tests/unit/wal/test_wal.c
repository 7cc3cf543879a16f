/* The log as its users see it, without crashes. */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"

static const gsize small_segment = 64 * 1024;

START_TEST(test_empty)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  ck_assert_uint_eq(wal_first_index(wal), 1);
  ck_assert_uint_eq(wal_last_index(wal), 0);
  ck_assert_uint_eq(wal_last_hlc(wal), 0);
  ck_assert(!wal_is_broken(wal));
  ck_assert(log_id_equal(wal_log(wal), test_log));
  guint64 chain = 1;
  ck_assert(wal_chain_at(wal, 0, &chain, NULL));
  ck_assert_uint_eq(chain, 0);
  ck_assert_ptr_null(wal_read(wal, 1, 1, 1, NULL));
  test_sync(wal);
  ck_assert(wal_trim(wal, 100, NULL));
  WalStats stats;
  wal_stats(wal, &stats);
  ck_assert_uint_eq(stats.segments, 0);
}
END_TEST

START_TEST(test_durable_only_after_sync)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_append(wal, 1, 3, 100);
  ck_assert_uint_eq(wal_last_index(wal), 3);
  ck_assert_uint_eq(wal_durable_index(wal), 0);
  ck_assert_ptr_null(wal_read(wal, 1, 10, 1000, NULL));
  test_sync(wal);
  test_append(wal, 4, 2, 100);
  ck_assert_uint_eq(wal_durable_index(wal), 3);
  g_autoptr(EntryRun) run = wal_read(wal, 1, 10, 100000, NULL);
  ck_assert_uint_eq(entry_run_last_index(run), 3);
  guint syncs = mem_disk_calls(disk, MEM_FDATASYNC);
  test_sync(wal);
  test_sync(wal);
  ck_assert_uint_eq(mem_disk_calls(disk, MEM_FDATASYNC), syncs + 1);
  test_check_log(wal, 1, 5, 100);
  ck_assert_uint_eq(wal_last_hlc(wal), test_hlc(5));
}
END_TEST

START_TEST(test_rolls_and_reopens)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  {
    g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
    for (guint64 i = 1; i <= 1000; i += 5) {
      test_append(wal, i, 5, 1000);
      test_sync(wal);
    }
    test_check_log(wal, 1, 1000, 1000);
    WalStats stats;
    wal_stats(wal, &stats);
    ck_assert_uint_ge(stats.segments, 8);
    ck_assert_uint_le(stats.bytes, stats.segments * small_segment);
    ck_assert_uint_eq(mem_disk_open_files(disk), 1);
  }
  ck_assert_uint_eq(mem_disk_open_files(disk), 0);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_check_log(wal, 1, 1000, 1000);
  ck_assert_uint_eq(mem_disk_open_files(disk), 0); /* until something is written */
  test_append(wal, 1001, 20, 1000);
  ck_assert_uint_eq(mem_disk_open_files(disk), 1);
  test_sync(wal);
  test_check_log(wal, 1, 1020, 1000);
}
END_TEST

/* The digest is the same however it is come by: appending, opening, walking. */
START_TEST(test_chain)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  guint64 want[301] = {0};
  g_autoptr(EntryRun) all = test_run(1, 300, 1000);
  for (guint i = 0; i < 300; i++) {
    gsize size;
    const guint8 *bytes = entry_run_bytes(all, &size);
    gsize at = entry_run_offset(all, i);
    want[i + 1] = record_chain(want[i], bytes + at, entry_run_offset(all, i + 1) - at);
  }
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  for (guint64 i = 1; i <= 300; i += 10)
    test_append(wal, i, 10, 1000);
  for (int round = 0; round < 2; round++) {
    ck_assert_uint_eq(wal_chain(wal), want[300]);
    for (guint64 i = 0; i <= 300; i++) {
      guint64 chain = 0;
      ck_assert(wal_chain_at(wal, i, &chain, NULL));
      ck_assert_uint_eq(chain, want[i]);
    }
    guint64 chain;
    g_autoptr(GError) error = NULL;
    ck_assert(!wal_chain_at(wal, 301, &chain, &error));
    ck_assert_no_error(error);
    test_sync(wal);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, small_segment, WAL_CLEAN);
  }
}
END_TEST

START_TEST(test_begins_in_the_middle)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  g_autoptr(EntryRun) run = test_run(501, 3, 100);
  ck_assert(wal_append(wal, run, 0xABCDEF, NULL));
  test_sync(wal);
  test_check_log(wal, 501, 503, 100);
  guint64 chain, end = wal_chain(wal);
  ck_assert(wal_chain_at(wal, 500, &chain, NULL));
  ck_assert_uint_eq(chain, 0xABCDEF);
  ck_assert(!wal_chain_at(wal, 499, &chain, NULL));
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_read(wal, 500, 1, 100, &error));
  ck_assert_error(error, SYNCLOG_INVALID);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_check_log(wal, 501, 503, 100);
  ck_assert_uint_eq(wal_chain(wal), end);
}
END_TEST

START_TEST(test_chain_unknown)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 501; i < 541; i += 2)
    test_append(wal, i, 2, 1000);
  test_sync(wal);
  for (int round = 0; round < 2; round++) {
    guint64 chain;
    g_autoptr(GError) error = NULL;
    ck_assert_uint_eq(wal_chain(wal), 0);
    for (guint64 i = 500; i <= 540; i++)
      ck_assert(!wal_chain_at(wal, i, &chain, &error));
    ck_assert_no_error(error);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, 8192, WAL_CLEAN);
  }
  test_check_log(wal, 501, 540, 1000);
}
END_TEST

START_TEST(test_large_run)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_append(wal, 1, 2, 100);
  test_append(wal, 3, 5, 3 * 1024 * 1024);
  test_append(wal, 8, 2, 100);
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_check_range(wal, 1, 2, 10, 1000, 100, 0);
  test_check_range(wal, 3, 7, 10, 1000, 3 * 1024 * 1024, 0);
  test_check_range(wal, 8, 9, 10, 1000, 100, 0);
  g_autoptr(EntryRun) run = wal_read(wal, 1, 10, 1, NULL);
  ck_assert_uint_eq(entry_run_count(run), 1);
}
END_TEST

START_TEST(test_read_limits)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 1024 * 1024, WAL_CLEAN);
  test_append(wal, 1, 1000, 500);
  test_sync(wal);
  GRand *random = g_rand_new_with_seed(5);
  for (int i = 0; i < 500; i++) {
    guint64 from = (guint64)g_rand_int_range(random, 1, 1001);
    guint max_count = (guint)g_rand_int_range(random, 1, 50);
    gsize max_bytes = (gsize)g_rand_int_range(random, 0, 20000);
    g_autoptr(EntryRun) run = wal_read(wal, from, max_count, max_bytes, NULL);
    ck_assert_ptr_nonnull(run);
    test_check_run(run, from, 500, 0);
    gsize size;
    entry_run_bytes(run, &size);
    ck_assert_uint_le(entry_run_count(run), max_count);
    ck_assert(entry_run_count(run) == 1 || size <= max_bytes);
  }
  g_rand_free(random);
}
END_TEST

/* Whoever reads on where a read ended needs one pread for it. */
START_TEST(test_sequential_reads_are_cheap)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 1024 * 1024, WAL_CLEAN);
  for (guint64 i = 1; i <= 9000; i += 100)
    test_append(wal, i, 100, 500);
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, 1024 * 1024, WAL_CLEAN);
  guint before = mem_disk_calls(disk, MEM_PREAD), reads = 0;
  for (guint64 at = 1; at <= 9000; reads++) {
    g_autoptr(EntryRun) run = wal_read(wal, at, 100, 100000, NULL);
    at = entry_run_last_index(run) + 1;
  }
  ck_assert_uint_eq(mem_disk_calls(disk, MEM_PREAD) - before, reads);
  ck_assert_uint_le(reads, 110);
}
END_TEST

START_TEST(test_run_outlives_segment)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 100; i++)
    test_append(wal, i, 1, 1000);
  test_sync(wal);
  g_autoptr(EntryRun) run = wal_read(wal, 1, 5, 100000, NULL);
  ck_assert(wal_trim(wal, 90, NULL));
  wal_close(g_steal_pointer(&wal));
  test_check_run(run, 1, 1000, 0);
}
END_TEST

START_TEST(test_trim)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 100; i++)
    test_append(wal, i, 1, 1000);
  test_sync(wal);
  ck_assert(wal_trim(wal, 0, NULL));
  test_check_log(wal, 1, 100, 1000);
  guint64 chain50, chain;
  ck_assert(wal_chain_at(wal, 60, &chain50, NULL));
  guint64 before = 1;
  for (guint64 i = 1; i <= 50; i += 7) {
    ck_assert(wal_trim(wal, i, NULL));
    ck_assert_uint_le(wal_first_index(wal), i + 1);
    ck_assert_uint_ge(wal_first_index(wal), before);
    before = wal_first_index(wal);
    test_check_log(wal, before, 100, 1000);
  }
  ck_assert_uint_gt(before, 1);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_read(wal, before - 1, 1, 1, &error));
  ck_assert_error(error, SYNCLOG_INVALID);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, 8192, WAL_CLEAN);
  test_check_log(wal, before, 100, 1000);
  ck_assert(wal_chain_at(wal, 60, &chain, NULL));
  ck_assert_uint_eq(chain, chain50);
  ck_assert(wal_trim(wal, 100, NULL));
  WalStats stats;
  wal_stats(wal, &stats);
  ck_assert_uint_eq(stats.segments, 1);
  ck_assert_uint_eq(test_count_files(disk, ""), 1);
  ck_assert_uint_eq(wal_last_index(wal), 100);
}
END_TEST

START_TEST(test_cut)
{
  for (guint64 index = 1; index <= 61; index++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
    for (guint64 i = 1; i <= 60; i += 2)
      test_append(wal, i, 2, 1000);
    test_sync(wal);
    guint64 chain = 0;
    ck_assert(wal_chain_at(wal, index - 1, &chain, NULL));
    ck_assert(wal_cut(wal, index, NULL));
    test_check_log(wal, 1, index - 1, 1000);
    ck_assert_uint_eq(wal_chain(wal), chain);
    ck_assert_uint_eq(wal_last_hlc(wal), index == 1 ? 0 : test_hlc(index - 1));
    ck_assert_uint_eq(test_count_files(disk, ".bad"), 0);
    if (index % 3 == 0) {
      wal_close(g_steal_pointer(&wal));
      wal = test_open_as(disk, 8192, WAL_CLEAN);
      test_check_log(wal, 1, index - 1, 1000);
      ck_assert_uint_eq(wal_chain(wal), chain);
    }
    /* Others than before, so that a stale one would show. */
    test_append_salted(wal, index, 30, 1000, 9);
    test_sync(wal);
    for (int round = 0; round < 2; round++) {
      test_check_range(wal, 1, index - 1, 7, 10000, 1000, 0);
      test_check_range(wal, index, index + 29, 7, 10000, 1000, 9);
      wal_close(g_steal_pointer(&wal));
      wal = test_open_as(disk, 8192, WAL_CLEAN);
      ck_assert_uint_eq(wal_last_index(wal), index + 29);
    }
  }
}
END_TEST

/* A trimmed log that is cut to nothing remembers its place. */
START_TEST(test_cut_to_nothing)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 60; i++)
    test_append(wal, i, 1, 1000);
  test_sync(wal);
  ck_assert(wal_trim(wal, 30, NULL));
  guint64 first = wal_first_index(wal);
  guint64 chain;
  ck_assert(wal_chain_at(wal, first - 1, &chain, NULL));
  ck_assert(wal_cut(wal, first, NULL));
  for (int round = 0; round < 2; round++) {
    test_check_log(wal, first, first - 1, 1000);
    ck_assert_uint_eq(wal_chain(wal), chain);
    ck_assert_uint_eq(wal_last_hlc(wal), test_hlc(first - 1));
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, 8192, WAL_CLEAN);
  }
  test_append(wal, first, 10, 1000);
  test_sync(wal);
  test_check_log(wal, first, first + 9, 1000);
}
END_TEST

START_TEST(test_reset)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 60; i++)
    test_append(wal, i, 1, 1000);
  ck_assert(wal_reset(wal, NULL));
  ck_assert_uint_eq(wal_last_index(wal), 0);
  ck_assert_uint_eq(wal_durable_index(wal), 0);
  ck_assert_uint_eq(test_count_files(disk, ""), 0);
  test_append(wal, 1001, 20, 1000);
  test_sync(wal);
  test_check_log(wal, 1001, 1020, 1000);
  ck_assert(wal_reset(wal, NULL));
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, 8192, WAL_CLEAN);
  ck_assert_uint_eq(wal_last_index(wal), 0);
  test_append(wal, 5, 2, 1000);
  test_sync(wal);
  test_check_log(wal, 5, 6, 1000);
}
END_TEST

/* A log that holds nothing yet knows where it goes on, and with which digest. */
START_TEST(test_begin)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 60; i++)
    test_append(wal, i, 1, 1000);
  ck_assert(wal_reset(wal, NULL) && wal_begin(wal, 500, 0xABCDEF, NULL));
  for (guint round = 0; round < 3; round++) {
    guint64 index, chain = 0;
    ck_assert_uint_eq(wal_first_index(wal), 501);
    ck_assert_uint_eq(wal_last_index(wal), 500);
    ck_assert_uint_eq(wal_durable_index(wal), 500);
    ck_assert(wal_end_chain(wal, &index, &chain));
    ck_assert_uint_eq(index, 500);
    ck_assert_uint_eq(chain, 0xABCDEF);
    ck_assert(wal_chain_at(wal, 500, &chain, NULL));
    ck_assert_uint_eq(chain, 0xABCDEF);
    ck_assert(!wal_chain_at(wal, 499, &chain, NULL));
    ck_assert_ptr_null(wal_read(wal, 501, 1, 1000, NULL));
    ck_assert(wal_trim(wal, 500, NULL));
    if (round == 1) { /* again, where something was begun */
      ck_assert(wal_reset(wal, NULL) && wal_begin(wal, 500, 1, NULL));
      ck_assert(wal_reset(wal, NULL) && wal_begin(wal, 500, 0xABCDEF, NULL));
    }
    wal_close(g_steal_pointer(&wal));
    mem_disk_crash(disk, MEM_LOSE_ALL);
    wal = test_open_as(disk, 8192, WAL_CLEAN);
  }
  g_autoptr(EntryRun) run = test_run(501, 30, 1000);
  ck_assert(wal_append(wal, run, 4711, NULL)); /* what it began with counts */
  test_sync(wal);
  test_check_log(wal, 501, 530, 1000);
  guint64 chain;
  ck_assert(wal_chain_at(wal, 500, &chain, NULL));
  ck_assert_uint_eq(chain, 0xABCDEF);
  ck_assert(wal_reset(wal, NULL) && wal_begin(wal, 600, 0, NULL)); /* it is not known */
  ck_assert_uint_eq(wal_last_index(wal), 600);
  ck_assert(!wal_chain_at(wal, 600, &chain, NULL));
  test_append(wal, 601, 2, 1000);
  test_sync(wal);
  test_check_log(wal, 601, 602, 1000);
}
END_TEST

/* A small log costs little, and a large one syncs mostly into blocks that it has. */
START_TEST(test_fill_ahead)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  const gsize segment_size = 4 * 1024 * 1024;
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  WalStats stats;
  test_append(wal, 1, 1, 100);
  wal_stats(wal, &stats);
  ck_assert_uint_ge(stats.bytes, 64 * 1024);
  ck_assert_uint_le(stats.bytes, 128 * 1024);
  guint grown = 0;
  guint64 before = stats.bytes;
  guint64 index = 2;
  for (; stats.segments == 1; index++) {
    test_append(wal, index, 1, 5000);
    wal_stats(wal, &stats);
    grown += stats.bytes != before;
    before = stats.bytes;
    if (stats.segments == 1)
      ck_assert_uint_le(stats.bytes, segment_size);
  }
  ck_assert_uint_gt(index, 1000);
  ck_assert_uint_ge(grown, 4);
  ck_assert_uint_lt(grown, 12);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal");
  const TTest *tests[] = {
      test_empty,
      test_durable_only_after_sync,
      test_rolls_and_reopens,
      test_chain,
      test_begins_in_the_middle,
      test_chain_unknown,
      test_large_run,
      test_read_limits,
      test_sequential_reads_are_cheap,
      test_run_outlives_segment,
      test_trim,
      test_cut,
      test_cut_to_nothing,
      test_begin,
      test_reset,
      test_fill_ahead,
  };
  test_add(suite, "log", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
