/* Failing system calls: what the log promises when the disk does not keep its own. */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"
#include "wal/wal_private.h"

#include <errno.h>

static const gsize segment_size = 64 * 1024;
static const gsize max_size = 1000;

/* Every further write is refused and not one call of the kind is made; what was durable is
 * readable. */
static void check_broken(Wal *wal, MemDisk *disk, guint64 durable)
{
  ck_assert(wal_is_broken(wal));
  guint writes = mem_disk_calls(disk, MEM_PWRITE), syncs = mem_disk_calls(disk, MEM_FDATASYNC);
  for (int i = 0; i < 3; i++) {
    g_autoptr(GError) append = NULL;
    g_autoptr(GError) sync = NULL;
    g_autoptr(GError) cut = NULL;
    g_autoptr(GError) reset = NULL;
    g_autoptr(EntryRun) run = test_run(wal_last_index(wal) + 1, 1, max_size);
    ck_assert(!wal_append(wal, run, 0, &append));
    ck_assert_error(append, SYNCLOG_READ_ONLY);
    ck_assert(!wal_sync(wal, &sync));
    ck_assert_error(sync, SYNCLOG_READ_ONLY);
    ck_assert(!wal_cut(wal, 1, &cut));
    ck_assert_error(cut, SYNCLOG_READ_ONLY);
    ck_assert(!wal_reset(wal, &reset));
    ck_assert_error(reset, SYNCLOG_READ_ONLY);
  }
  ck_assert_uint_eq(mem_disk_calls(disk, MEM_PWRITE), writes);
  ck_assert_uint_eq(mem_disk_calls(disk, MEM_FDATASYNC), syncs);
  ck_assert_uint_eq(wal_durable_index(wal), durable);
  test_check_range(wal, 1, durable, 10, 10000, max_size, 0);
  ck_assert_ptr_null(wal_read(wal, durable + 1, 1, 1, NULL));
}

START_TEST(test_sync_fails)
{
  static const int errnos[] = {EIO, ENOSPC, EDQUOT, EINTR};
  for (gsize i = 0; i < G_N_ELEMENTS(errnos); i++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
    test_append(wal, 1, 5, max_size);
    test_sync(wal);
    test_append(wal, 6, 5, max_size);
    mem_disk_fail(disk, MEM_FDATASYNC, 0, errnos[i], 0);
    g_autoptr(GError) error = NULL;
    ck_assert(!wal_sync(wal, &error));
    ck_assert_error(error, SYNCLOG_READ_ONLY);
    ck_assert(mem_disk_failed(disk));
    check_broken(wal, disk, 5);
  }
}
END_TEST

/* The kernel takes pages for clean after a failed sync. What opening finds there must reach the
 * disk all the same. */
START_TEST(test_failed_sync_then_reopen)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_append(wal, 1, 5, max_size);
  test_sync(wal);
  test_append(wal, 6, 5, max_size);
  mem_disk_fail(disk, MEM_FDATASYNC, 0, EIO, 0);
  ck_assert(!wal_sync(wal, NULL));
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  guint64 durable = wal_durable_index(wal);
  ck_assert_uint_eq(durable, 10);
  wal_close(g_steal_pointer(&wal));
  mem_disk_crash(disk, MEM_LOSE_ALL);
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, 1, durable, max_size);
}
END_TEST

/* So much may be unsynced: all that the last segment holds. */
START_TEST(test_failed_sync_of_a_whole_segment)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  const gsize large = 64 << 20, record = 1 << 20;
  g_autoptr(Wal) wal = test_open_as(disk, large, WAL_CLEAN);
  for (guint64 first = 1; first < 41; first += 4)
    test_append(wal, first, 4, record);
  WalStats stats;
  wal_stats(wal, &stats);
  ck_assert_uint_eq(stats.segments, 1);
  ck_assert_uint_gt(stats.bytes, 12 << 20);
  mem_disk_fail(disk, MEM_FDATASYNC, 0, EIO, 0);
  ck_assert(!wal_sync(wal, NULL));
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, large, WAL_CLEAN);
  ck_assert_uint_eq(wal_durable_index(wal), 40);
  wal_close(g_steal_pointer(&wal));
  mem_disk_crash(disk, MEM_LOSE_ALL);
  wal = test_open_as(disk, large, WAL_CLEAN);
  test_check_log(wal, 1, 40, record);
}
END_TEST

START_TEST(test_write_fails)
{
  /* The first write of an append that finds its place is the run itself. */
  static const gsize partial[] = {0, 1, 500, 100000};
  for (gsize i = 0; i < G_N_ELEMENTS(partial); i++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
    test_append(wal, 1, 5, max_size);
    test_sync(wal);
    g_autoptr(EntryRun) run = test_run(6, 20, max_size);
    mem_disk_fail(disk, MEM_PWRITE, 0, EIO, MIN(partial[i], (gsize)5000));
    g_autoptr(GError) error = NULL;
    ck_assert(!wal_append(wal, run, 0, &error));
    ck_assert_error(error, SYNCLOG_READ_ONLY);
    check_broken(wal, disk, 5);
    wal_close(g_steal_pointer(&wal));
    WalRecovery recovery;
    wal = test_open(disk, segment_size, &recovery);
    ck_assert_int_ne(recovery.verdict, WAL_CORRUPT);
    wal_recovery_clear(&recovery);
    test_check_log(wal, 1, wal_last_index(wal), max_size);
    ck_assert_uint_ge(wal_last_index(wal), 5);
  }
}
END_TEST

/* A full disk in the middle of a run, as file systems show it that promise no space. */
START_TEST(test_no_space_within_run)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_append(wal, 1, 5, max_size);
  test_sync(wal);
  g_autoptr(EntryRun) run = test_run(6, 2, max_size);
  mem_disk_fail(disk, MEM_PWRITE, 0, ENOSPC, 0);
  g_autoptr(GError) error = NULL;
  ck_assert(!wal_append(wal, run, 0, &error));
  ck_assert_error(error, SYNCLOG_NO_SPACE);
  ck_assert(!wal_is_broken(wal));
  test_append(wal, 6, 2, max_size);
  g_autoptr(EntryRun) next = test_run(8, 2, max_size);
  mem_disk_fail(disk, MEM_PWRITE, 0, ENOSPC, 10);
  g_autoptr(GError) second = NULL;
  ck_assert(!wal_append(wal, next, 0, &second));
  ck_assert_error(second, SYNCLOG_READ_ONLY);
  check_broken(wal, disk, 5);
}
END_TEST

/* The disk is full again and again, and has `step` bytes more each time. */
static void fill_disk(gsize segment, gsize record, guint64 step, guint64 least_records)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment, WAL_CLEAN);
  guint64 index = 1;
  guint refused = 0;
  for (guint i = 0; i < 52; i++) {
    mem_disk_limit(disk, 1000 + i * step);
    g_autoptr(GError) error = NULL;
    for (; error == NULL; index++) {
      g_autoptr(EntryRun) run = test_run(index, 1, record);
      if (!wal_append(wal, run, 0, &error))
        break;
      test_sync(wal);
    }
    ck_assert_error(error, SYNCLOG_NO_SPACE);
    ck_assert(!wal_is_broken(wal));
    test_check_log(wal, 1, index - 1, record);
    ck_assert_uint_eq(test_count_files(disk, ".tmp"), 0);
    refused++;
    if (refused % 10 == 0) {
      wal_close(g_steal_pointer(&wal));
      wal = test_open_as(disk, segment, WAL_CLEAN);
    }
  }
  ck_assert_uint_gt(index, least_records);
  mem_disk_limit(disk, G_MAXUINT64);
  test_append(wal, index, 100, record);
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment, WAL_CLEAN);
  test_check_log(wal, 1, index + 99, record);
}

START_TEST(test_disk_full)
{
  fill_disk(segment_size, max_size, 7777, 100);
}
END_TEST

START_TEST(test_disk_full_with_large_appends)
{
  fill_disk(1024 * 1024, 200000, 177777, 50);
}
END_TEST

/* The space for a large append is asked for; where that is not to be had, zeros are written. */
START_TEST(test_large_appends)
{
  static const gsize large = 300000;
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 64 * 1024 * 1024, WAL_CLEAN);
  test_append(wal, 1, 3, large);
  guint before = mem_disk_calls(disk, MEM_PWRITE);
  test_append(wal, 4, 3, large);
  ck_assert_uint_le(mem_disk_calls(disk, MEM_PWRITE), before + 2);
  for (guint64 i = 7; i < 87; i += 16) {
    mem_disk_fail(disk, MEM_PWRITE, 0, EOPNOTSUPP, 0);
    before = mem_disk_calls(disk, MEM_PWRITE);
    test_append(wal, i, 16, large); /* more than there is room for */
    ck_assert_uint_ge(mem_disk_calls(disk, MEM_PWRITE), before + 2);
    test_sync(wal);
    mem_disk_crash(disk, MEM_LOSE_ALL);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, 64 * 1024 * 1024, WAL_CLEAN);
    test_check_log(wal, 1, i + 15, large);
  }
}
END_TEST

/* The log begins where it is told to, also when a first try found no room. */
START_TEST(test_disk_full_at_begin)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  mem_disk_limit(disk, 5000);
  static const guint64 begins[] = {1, 11, 1, 21};
  for (gsize i = 0; i < G_N_ELEMENTS(begins); i++) {
    g_autoptr(EntryRun) run = test_run(begins[i], 10, max_size);
    g_autoptr(GError) error = NULL;
    ck_assert(!wal_append(wal, run, i, &error));
    ck_assert_error(error, SYNCLOG_NO_SPACE);
    ck_assert_uint_eq(wal_last_index(wal), 0);
    ck_assert_uint_eq(wal_first_index(wal), 1);
    test_sync(wal);
  }
  mem_disk_limit(disk, G_MAXUINT64);
  g_autoptr(EntryRun) run = test_run(31, 10, max_size);
  ck_assert(wal_append(wal, run, 77, NULL));
  test_sync(wal);
  guint64 chain;
  ck_assert(wal_chain_at(wal, 30, &chain, NULL));
  ck_assert_uint_eq(chain, 77);
  ck_assert_uint_eq(test_count_files(disk, ""), 1);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, 31, 40, max_size);
}
END_TEST

/* … and without a descriptor the log stays where it would have begun. */
START_TEST(p8_a_log_that_begins_elsewhere_needs_a_descriptor)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  mem_disk_limit(disk, 5000);
  g_autoptr(EntryRun) run = test_run(1, 10, max_size);
  ck_assert(!wal_append(wal, run, 0, NULL));
  mem_disk_limit(disk, G_MAXUINT64);
  static const MemCall calls[] = {MEM_OPEN, MEM_UNLINK};
  for (gsize c = 0; c < G_N_ELEMENTS(calls); c++) {
    mem_disk_keep_failing(disk, calls[c], ENOMEM);
    g_autoptr(EntryRun) other = test_run(31, 10, max_size);
    g_autoptr(GError) error = NULL;
    ck_assert(!wal_append(wal, other, 77, &error));
    ck_assert_error(error, SYNCLOG_OVERLOADED);
    ck_assert(!wal_is_broken(wal));
    ck_assert_uint_eq(test_count_files(disk, ""), 1);
    mem_disk_keep_failing(disk, calls[c], 0);
  }
  g_autoptr(EntryRun) other = test_run(31, 10, max_size);
  ck_assert(wal_append(wal, other, 77, NULL));
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, 31, 40, max_size);
}
END_TEST

/* A log that is begun where there is no room stays empty, and takes what comes. */
START_TEST(test_begin_without_room)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  mem_disk_limit(disk, 5000);
  g_autoptr(EntryRun) none = test_run(1, 10, max_size);
  ck_assert(!wal_append(wal, none, 0, NULL)); /* leaves a segment for record 1 */
  mem_disk_limit(disk, 100);
  g_autoptr(GError) error = NULL;
  ck_assert(!wal_begin(wal, 30, 4711, &error));
  ck_assert_error(error, SYNCLOG_NO_SPACE);
  ck_assert_uint_eq(wal_last_index(wal), 0);
  ck_assert(!wal_is_broken(wal));
  mem_disk_limit(disk, G_MAXUINT64);
  g_autoptr(EntryRun) run = test_run(31, 10, max_size);
  ck_assert(wal_append(wal, run, 77, NULL));
  test_sync(wal);
  guint64 chain;
  ck_assert(wal_chain_at(wal, 30, &chain, NULL));
  ck_assert_uint_eq(chain, 77);
  ck_assert(wal_reset(wal, NULL));
  mem_disk_keep_failing(disk, MEM_FSYNC, EIO);
  ck_assert(!wal_begin(wal, 50, 4711, NULL));
  ck_assert(wal_is_broken(wal));
}
END_TEST

/* Each call that an append with a roll makes, failing once. */
START_TEST(test_roll_fails)
{
  static const MemCall calls[] = {MEM_OPEN, MEM_PWRITE, MEM_FSYNC, MEM_RENAME, MEM_FDATASYNC};
  static const int errnos[] = {EIO, ENOSPC, EMFILE, ENOMEM};
  guint lacks = 0;
  for (gsize c = 0; c < G_N_ELEMENTS(calls); c++)
    for (gsize e = 0; e < G_N_ELEMENTS(errnos); e++)
      for (guint after = 0; after < 4; after++) {
        g_autoptr(MemDisk) disk = mem_disk_new(1);
        g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
        test_append(wal, 1, 3, max_size);
        test_sync(wal);
        test_append(wal, 4, 2, max_size);
        mem_disk_fail(disk, calls[c], after, errnos[e], 0);
        g_autoptr(EntryRun) run = test_run(6, 7, max_size);
        g_autoptr(GError) error = NULL;
        gboolean done = wal_append(wal, run, 0, &error);
        ck_assert(done == !mem_disk_failed(disk) || (done && errnos[e] == ENOSPC));
        if (!done && calls[c] == MEM_OPEN && errnos[e] != EIO) /* nothing was done yet */
          ck_assert(!wal_is_broken(wal));
        if (!done && !wal_is_broken(wal)) {
          ck_assert_int_ne(errnos[e], EIO);
          ck_assert_error(error, errnos[e] == ENOSPC ? SYNCLOG_NO_SPACE : SYNCLOG_OVERLOADED);
          ck_assert_uint_eq(test_count_files(disk, ".tmp"), 0);
          lacks += errnos[e] != ENOSPC;
          test_append(wal, 6, 7, max_size);
          done = TRUE;
        }
        if (!done) {
          ck_assert_error(error, SYNCLOG_READ_ONLY);
          ck_assert(wal_is_broken(wal));
          guint64 durable = wal_durable_index(wal);
          mem_disk_crash(disk, MEM_LOSE_ALL);
          wal_close(g_steal_pointer(&wal));
          wal = test_open_as(disk, 8192, WAL_CLEAN);
          ck_assert_uint_ge(wal_last_index(wal), durable);
          test_check_log(wal, 1, wal_last_index(wal), max_size);
          continue;
        }
        mem_disk_fail(disk, calls[c], G_MAXUINT, 0, 0);
        test_sync(wal);
        test_check_log(wal, 1, 12, max_size);
      }
  ck_assert_uint_ge(lacks, 5);
}
END_TEST

/* The first append opens the file. */
START_TEST(p8_a_first_append_without_a_descriptor_may_be_tried_again)
{
  static const int errnos[] = {EMFILE, ENFILE, ENOMEM};
  for (gsize e = 0; e < G_N_ELEMENTS(errnos); e++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
    test_append(wal, 1, 5, max_size);
    test_sync(wal);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, segment_size, WAL_CLEAN);
    mem_disk_keep_failing(disk, MEM_OPEN, errnos[e]);
    for (int i = 0; i < 3; i++) {
      g_autoptr(EntryRun) run = test_run(6, 2, max_size);
      g_autoptr(GError) error = NULL;
      ck_assert(!wal_append(wal, run, 0, &error));
      ck_assert_error(error, SYNCLOG_OVERLOADED);
      ck_assert(!wal_is_broken(wal));
    }
    mem_disk_keep_failing(disk, MEM_OPEN, 0);
    test_append(wal, 6, 2, max_size);
    test_sync(wal);
    test_check_log(wal, 1, 7, max_size);
  }
}
END_TEST

/* The name of a new segment may be lost with the power until its directory was synced. A process
 * that died in between leaves that to the next one. */
START_TEST(test_died_before_directory_sync)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  g_autoptr(EntryRun) run = test_run(1, 1, max_size);
  mem_disk_fail(disk, MEM_FSYNC, 1, EIO, 0);
  ck_assert(!wal_append(wal, run, 0, NULL));
  ck_assert_uint_eq(test_count_files(disk, ".wal"), 1);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_append(wal, 1, 3, max_size);
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  mem_disk_crash(disk, MEM_LOSE_ALL);
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, 1, 3, max_size);
}
END_TEST

START_TEST(test_short_calls)
{
  g_autoptr(MemDisk) disk = mem_disk_new(3);
  mem_disk_short_calls(disk, TRUE);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  for (guint64 i = 1; i <= 400; i += 4) {
    test_append(wal, i, 4, max_size);
    test_sync(wal);
  }
  test_check_log(wal, 1, 400, max_size);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, 1, 400, max_size);
}
END_TEST

START_TEST(test_read_fails)
{
  g_autoptr(MemDisk) disk = mem_disk_new(3);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_append(wal, 1, 40, max_size);
  test_sync(wal);
  mem_disk_fail(disk, MEM_PREAD, 0, EIO, 0);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_read(wal, 1, 10, 10000, &error));
  ck_assert_error(error, SYNCLOG_INTERNAL);
  g_autoptr(GError) walking = NULL; /* on the way to the record */
  mem_disk_fail(disk, MEM_PREAD, 0, EIO, 0);
  ck_assert_ptr_null(wal_read(wal, 30, 10, 10000, &walking));
  ck_assert_error(walking, SYNCLOG_INTERNAL);
  g_autoptr(GError) opening = NULL;
  mem_disk_fail(disk, MEM_OPEN, 0, EIO, 0);
  ck_assert_ptr_null(wal_read(wal, 1, 10, 10000, &opening));
  ck_assert_error(opening, SYNCLOG_INTERNAL);
  g_autoptr(GError) memory = NULL; /* says nothing of the file */
  mem_disk_fail(disk, MEM_PREAD, 0, ENOMEM, 0);
  ck_assert_ptr_null(wal_read(wal, 30, 10, 10000, &memory));
  ck_assert_error(memory, SYNCLOG_OVERLOADED);
  mem_disk_fail(disk, MEM_OPEN, 0, EMFILE, 0);
  g_autoptr(GError) second = NULL;
  ck_assert_ptr_null(wal_read(wal, 1, 10, 10000, &second));
  ck_assert_error(second, SYNCLOG_OVERLOADED);
  ck_assert(!wal_is_broken(wal));
  test_check_log(wal, 1, 40, max_size);
  ck_assert_uint_eq(mem_disk_open_files(disk), 1);
}
END_TEST

/* The log is as it was. */
START_TEST(p8_a_cut_or_reset_without_descriptors_may_be_tried_again)
{
  static const int errnos[] = {EMFILE, ENFILE, ENOMEM};
  for (gsize e = 0; e < G_N_ELEMENTS(errnos); e++)
    for (guint after = 0; after < 4; after++)
      for (guint reset = 0; reset < 2; reset++) {
        g_autoptr(MemDisk) disk = mem_disk_new(1);
        g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
        for (guint64 i = 1; i <= 40; i++)
          test_append(wal, i, 1, max_size);
        test_sync(wal);
        gboolean done = FALSE;
        for (guint try = 0; !done && try < 4; try++) {
          mem_disk_fail(disk, MEM_OPEN, after, errnos[e], 0);
          g_autoptr(GError) error = NULL;
          done = reset ? wal_reset(wal, &error) : wal_cut(wal, 10, &error);
          ck_assert(done == !mem_disk_failed(disk));
          mem_disk_fail(disk, MEM_OPEN, G_MAXUINT, 0, 0);
          if (done)
            break;
          ck_assert_error(error, SYNCLOG_OVERLOADED);
          ck_assert(!wal_is_broken(wal));
          test_check_log(wal, 1, 40, max_size);
        }
        ck_assert(done || after < 3);
        if (!done && after % 2 == 0) /* what comes may be an append */
          test_append(wal, 41, 3, max_size);
        if (!done)
          ck_assert(reset ? wal_reset(wal, NULL) : wal_cut(wal, 10, NULL));
        guint64 first = reset ? 100 : 1, next = reset ? 100 : 10;
        test_append(wal, next, 5, max_size);
        test_sync(wal);
        test_check_log(wal, first, next + 4, max_size);
        mem_disk_crash(disk, MEM_LOSE_ALL);
        wal_close(g_steal_pointer(&wal));
        wal = test_open_as(disk, 8192, WAL_CLEAN);
        test_check_log(wal, first, next + 4, max_size);
      }
}
END_TEST

/* … also a log in which damage was met: each part of it is kept once. */
START_TEST(p8_a_cut_without_descriptors_keeps_what_is_damaged_once)
{
  guint lacks = 0;
  for (guint after = 0; after < 24; after++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
    for (guint64 i = 1; i <= 60; i++)
      test_append(wal, i, 1, max_size);
    test_sync(wal);
    g_atomic_int_set(&wal->read_damage, TRUE);
    guint files = test_count_files(disk, ".wal");
    mem_disk_fail(disk, MEM_OPEN, after, EMFILE, 0);
    g_autoptr(GError) error = NULL;
    gboolean done = wal_cut(wal, 12, &error);
    ck_assert(done == !mem_disk_failed(disk));
    mem_disk_fail(disk, MEM_OPEN, G_MAXUINT, 0, 0);
    if (!done) {
      lacks++;
      ck_assert_error(error, SYNCLOG_OVERLOADED);
      test_check_log(wal, 1, 60, max_size);
      ck_assert_uint_eq(test_count_files(disk, ".bad"), 0);
      ck_assert(wal_cut(wal, 12, NULL));
    }
    /* All but the first segment, of which nothing is cut. */
    ck_assert_uint_eq(test_count_files(disk, ".bad"), files - 1);
    ck_assert_uint_eq(test_count_files(disk, ".wal"), 2);
    test_append(wal, 12, 5, max_size);
    test_sync(wal);
    test_check_log(wal, 1, 16, max_size);
  }
  ck_assert_uint_ge(lacks, 5);
}
END_TEST

/* Each call that opening makes, failing once: an error, no half-open log, and the next try is good.
 */
START_TEST(test_open_fails)
{
  static const MemCall calls[] = {MEM_OPEN,  MEM_PREAD,     MEM_PWRITE, MEM_FDATASYNC,
                                  MEM_FSYNC, MEM_FTRUNCATE, MEM_UNLINK};
  guint failures = 0;
  for (gsize c = 0; c < G_N_ELEMENTS(calls); c++)
    for (guint after = 0; after < 12; after++) {
      g_autoptr(MemDisk) disk = mem_disk_new(3);
      g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
      for (guint64 i = 1; i <= 40; i++)
        test_append(wal, i, 1, max_size);
      test_sync(wal);
      mem_disk_set(disk, TEST_DIR "/x.tmp", "x", 1);
      wal_close(g_steal_pointer(&wal));
      mem_disk_fail(disk, calls[c], after, EIO, 0);
      WalOptions options = {TEST_DIR, test_log, 8192, mem_disk_io(disk), FALSE, FALSE};
      WalRecovery recovery;
      g_autoptr(GError) error = NULL;
      wal = wal_open(&options, &recovery, &error);
      ck_assert(mem_disk_failed(disk) == (wal == NULL));
      ck_assert((wal == NULL) == (error != NULL));
      if (wal != NULL) {
        wal_recovery_clear(&recovery);
        continue;
      }
      failures++;
      ck_assert_uint_eq(mem_disk_open_files(disk), 0);
      wal = test_open_as(disk, 8192, WAL_CLEAN);
      test_check_log(wal, 1, 40, max_size);
    }
  ck_assert_uint_ge(failures, 20);
}
END_TEST

/* Each call that a cut of a damaged log makes, failing once, and the power with it. */
START_TEST(test_cut_fails)
{
  guint failures = 0;
  for (MemCall call = 0; call < MEM_CALLS; call++)
    for (guint after = 0; after < 20; after++) {
      g_autoptr(MemDisk) disk = mem_disk_new(3 + after);
      g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
      for (guint64 i = 1; i <= 60; i++)
        test_append(wal, i, 1, max_size);
      test_sync(wal);
      mem_disk_fail(disk, call, after, EIO, 0);
      gboolean done = wal_cut(wal, 10, NULL);
      ck_assert(done == !mem_disk_failed(disk));
      if (done) {
        mem_disk_fail(disk, call, G_MAXUINT, 0, 0);
        test_check_log(wal, 1, 9, max_size);
        continue;
      }
      failures++;
      mem_disk_crash(disk, MEM_LOSE_SOME);
      wal_close(g_steal_pointer(&wal));
      WalRecovery recovery;
      wal = test_open(disk, 8192, &recovery);
      if (recovery.verdict == WAL_CORRUPT) {
        ck_assert_uint_ge(recovery.bad_index, 10);
        ck_assert(wal_cut(wal, 10, NULL));
      }
      wal_recovery_clear(&recovery);
      ck_assert_uint_ge(wal_last_index(wal), 9);
      test_check_log(wal, 1, wal_last_index(wal), max_size);
    }
  ck_assert_uint_ge(failures, 15);
}
END_TEST

/* A log of 20 segments or so, with all records durable. */
static Wal *open_long(MemDisk *disk)
{
  Wal *wal = test_open_as(disk, 8192, WAL_CLEAN);
  for (guint64 i = 1; i <= 200; i++)
    test_append(wal, i, 1, max_size);
  test_sync(wal);
  return wal;
}

/* A segment that can't be deleted stays the log's first one: deleting a later one would leave a
 * hole, and the next opening would take all behind it for damaged. */
START_TEST(p1_a_trim_deletes_nothing_behind_what_it_could_not_delete)
{
  static const int errnos[] = {EIO, ENOSPC, EPERM, EBUSY, ENOMEM};
  for (gsize e = 0; e < G_N_ELEMENTS(errnos); e++)
    for (guint after = 0; after < 3; after++) {
      g_autoptr(MemDisk) disk = mem_disk_new(3);
      g_autoptr(Wal) wal = open_long(disk);
      mem_disk_fail(disk, MEM_UNLINK, after, errnos[e], 0);
      g_autoptr(GError) error = NULL;
      ck_assert(!wal_trim(wal, 100, &error));
      ck_assert_ptr_nonnull(error);
      ck_assert(!wal_is_broken(wal));
      test_check_log(wal, wal_first_index(wal), 200, max_size);
      ck_assert((wal_first_index(wal) == 1) == (after == 0));
      g_autofree char *path = test_segment(wal_first_index(wal));
      ck_assert(mem_disk_exists(disk, path));
      mem_disk_keep_failing(disk, MEM_UNLINK, errnos[e]);
      guint64 first = wal_first_index(wal);
      for (guint64 index = 60; index <= 120; index += 20)
        ck_assert(!wal_trim(wal, index, NULL));
      ck_assert_uint_eq(wal_first_index(wal), first);
      mem_disk_keep_failing(disk, MEM_UNLINK, 0);
      if (after == 1) { /* the next opening finds it */
        wal_close(g_steal_pointer(&wal));
        wal = test_open_as(disk, 8192, WAL_CLEAN);
        test_check_log(wal, first, 200, max_size);
      }
      ck_assert(wal_trim(wal, 100, NULL));
      ck_assert_uint_gt(wal_first_index(wal), 80);
      ck_assert(!mem_disk_exists(disk, path));
      test_append(wal, 201, 20, max_size);
      test_sync(wal);
      wal_close(g_steal_pointer(&wal));
      wal = test_open_as(disk, 8192, WAL_CLEAN);
      test_check_log(wal, wal_first_index(wal), 220, max_size);
    }
}
END_TEST

/* The file is gone, but a power loss may bring it back: no later one goes before that is sure. */
START_TEST(p1_a_trim_goes_on_only_behind_what_is_durably_gone)
{
  for (guint32 seed = 1; seed <= 60; seed++) {
    g_autoptr(MemDisk) disk = mem_disk_new(seed);
    g_autoptr(Wal) wal = open_long(disk);
    mem_disk_keep_failing(disk, seed % 2 == 0 ? MEM_FSYNC : MEM_OPEN, EIO);
    for (guint64 index = 60; index <= 120; index += 20)
      ck_assert(!wal_trim(wal, index, NULL));
    ck_assert(!wal_is_broken(wal));
    guint64 first = wal_first_index(wal);
    mem_disk_keep_failing(disk, seed % 2 == 0 ? MEM_FSYNC : MEM_OPEN, 0);
    test_check_log(wal, first, 200, max_size);
    if (seed % 3 == 0) {
      ck_assert(wal_trim(wal, 100, NULL));
      ck_assert_uint_gt(wal_first_index(wal), 80);
    }
    mem_disk_crash(disk, MEM_LOSE_SOME);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, 8192, WAL_CLEAN);
    test_check_log(wal, wal_first_index(wal), 200, max_size);
  }
}
END_TEST

/* A cut that does not find its place changes nothing: the log goes on, and the next segment knows
 * the one before. */
START_TEST(p1_a_log_goes_on_behind_a_cut_that_did_not_begin)
{
  static const MemCall calls[] = {MEM_PREAD, MEM_OPEN};
  for (gsize c = 0; c < G_N_ELEMENTS(calls); c++) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    g_autoptr(Wal) wal = test_open_as(disk, 8192, WAL_CLEAN);
    for (guint64 i = 1; i <= 40; i++)
      test_append(wal, i, 1, max_size);
    test_sync(wal);
    /* A new segment is made, and there is no room for the record. */
    mem_disk_limit(disk, mem_disk_bytes(disk) + 5000);
    g_autoptr(EntryRun) run = test_run(41, 20, max_size);
    g_autoptr(GError) full = NULL;
    ck_assert(!wal_append(wal, run, 0, &full));
    ck_assert_error(full, SYNCLOG_NO_SPACE);
    mem_disk_limit(disk, G_MAXUINT64);
    mem_disk_fail(disk, calls[c], 0, EIO, 0);
    ck_assert(!wal_cut(wal, 30, NULL));
    ck_assert(!wal_is_broken(wal));
    test_append(wal, 41, 20, max_size);
    test_sync(wal);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, 8192, WAL_CLEAN);
    test_check_log(wal, 1, 60, max_size);
  }
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal faults");
  const TTest *tests[] = {
      test_sync_fails,
      test_failed_sync_then_reopen,
      test_write_fails,
      test_no_space_within_run,
      test_disk_full,
      test_disk_full_with_large_appends,
      test_large_appends,
      test_disk_full_at_begin,
      test_begin_without_room,
      test_roll_fails,
      p8_a_first_append_without_a_descriptor_may_be_tried_again,
      p8_a_log_that_begins_elsewhere_needs_a_descriptor,
      p8_a_cut_or_reset_without_descriptors_may_be_tried_again,
      p8_a_cut_without_descriptors_keeps_what_is_damaged_once,
      test_died_before_directory_sync,
      test_short_calls,
      test_read_fails,
      test_open_fails,
      test_cut_fails,
      p1_a_log_goes_on_behind_a_cut_that_did_not_begin,
      p1_a_trim_deletes_nothing_behind_what_it_could_not_delete,
      p1_a_trim_goes_on_only_behind_what_is_durably_gone,
      test_failed_sync_of_a_whole_segment,
  };
  test_add(suite, "faults", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
