/* What the tests of the WAL share: records whose content follows from their index. */
#pragma once

#include "wal/wal.h"

#include "support/suite.h"
#include "unit/wal/mem_io.h"

#include <check.h>

/* The running digest at the end of the log; 0 when it is not known. */
static inline guint64 wal_chain(Wal *wal)
{
  guint64 index, chain;
  return wal_end_chain(wal, &index, &chain) ? chain : 0;
}

static const LogId test_log = {7, 1700000000000000};
#define TEST_DIR "/data/wal/7-1700000000000000"

/* Size of record `index`'s data: 1 .. max_size. */
static inline gsize test_data_size(guint64 index, gsize max_size)
{
  return 1 + (gsize)((index * 2654435761u) >> 7) % max_size;
}

static inline guint8 *test_data(guint64 index, guint salt, gsize size)
{
  guint8 *data = g_malloc(size);
  for (gsize i = 0; i < MIN(size, 256); i++)
    data[i] = (guint8)(index * 31 + salt * 7 + i * (i + 3));
  for (gsize i = 256; i < size; i += 256) /* and from the start again */
    memcpy(data + i, data, MIN(size - i, 256));
  return data;
}

static inline guint64 test_hlc(guint64 index)
{
  return 1000000 + index * 3;
}

/* `salt` makes records of one index differ. */
static inline EntryRun *test_run_salted(guint64 first, guint count, gsize max_size, guint salt)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  guint32 seed = record_seed(test_log);
  for (guint i = 0; i < count; i++) {
    guint64 index = first + i;
    gsize size = test_data_size(index, max_size);
    g_autofree guint8 *data = test_data(index, salt, size);
    guint at = bytes->len;
    g_byte_array_set_size(bytes, (guint)(at + size + RECORD_OVERHEAD_SIZE));
    record_write(seed, index, test_hlc(index), data, size, bytes->data + at);
  }
  gsize size = bytes->len;
  guint8 *owned = g_byte_array_free(g_steal_pointer(&bytes), FALSE);
  return entry_run_new(test_log, first, count, owned, size, owned, g_free);
}

static inline EntryRun *test_run(guint64 first, guint count, gsize max_size)
{
  return test_run_salted(first, count, max_size, 0);
}

#define ck_assert_no_error(error)                                                                  \
  ck_assert_msg((error) == NULL, "%s", (error) == NULL ? "" : (error)->message)
#define ck_assert_error(error, code_)                                                              \
  ck_assert_msg(g_error_matches((error), SYNCLOG_ERROR, (code_)), "%s",                            \
                (error) == NULL ? "no error" : (error)->message)

static inline void test_append_salted(Wal *wal, guint64 first, guint count, gsize max_size,
                                      guint salt)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(EntryRun) run = test_run_salted(first, count, max_size, salt);
  ck_assert(wal_append(wal, run, 0, &error) || error != NULL);
  ck_assert_no_error(error);
}

static inline void test_append(Wal *wal, guint64 first, guint count, gsize max_size)
{
  test_append_salted(wal, first, count, max_size, 0);
}

static inline void test_sync(Wal *wal)
{
  g_autoptr(GError) error = NULL;
  gboolean ok = wal_sync(wal, &error);
  ck_assert_no_error(error);
  ck_assert(ok);
}

static inline Wal *test_open(MemDisk *disk, gsize segment_size, WalRecovery *out_recovery)
{
  g_autoptr(GError) error = NULL;
  WalOptions options = {TEST_DIR, test_log, segment_size, mem_disk_io(disk), FALSE, FALSE};
  Wal *wal = wal_open(&options, out_recovery, &error);
  ck_assert_no_error(error);
  ck_assert_ptr_nonnull(wal);
  return wal;
}

/* Opens and expects the verdict; says why not. */
static inline Wal *test_open_as(MemDisk *disk, gsize segment_size, WalVerdict verdict)
{
  WalRecovery recovery;
  Wal *wal = test_open(disk, segment_size, &recovery);
  ck_assert_msg(recovery.verdict == verdict, "verdict %d: %s", (int)recovery.verdict,
                recovery.message == NULL ? "" : recovery.message);
  ck_assert((recovery.message == NULL) == (verdict == WAL_CLEAN));
  wal_recovery_clear(&recovery);
  return wal;
}

static inline void test_check_run(EntryRun *run, guint64 first, gsize max_size, guint salt)
{
  ck_assert_uint_eq(entry_run_first_index(run), first);
  ck_assert(log_id_equal(entry_run_log(run), test_log));
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    gsize size = test_data_size(first + i, max_size);
    g_autofree guint8 *data = test_data(first + i, salt, size);
    fast_assert_msg(record.index == first + i && record.hlc == test_hlc(first + i) &&
                        record.data_size == size && memcmp(record.data, data, size) == 0,
                    "record %" G_GUINT64_FORMAT " is another one", first + i);
  }
}

/* Reads records first .. last, `count` at a time. */
static inline void test_check_range(Wal *wal, guint64 first, guint64 last, guint count,
                                    gsize max_bytes, gsize max_size, guint salt)
{
  for (guint64 at = first; at <= last;) {
    g_autoptr(GError) error = NULL;
    g_autoptr(EntryRun) run = wal_read(wal, at, count, max_bytes, &error);
    ck_assert_no_error(error);
    ck_assert_msg(run != NULL, "nothing at %" G_GUINT64_FORMAT, at);
    ck_assert_uint_le(entry_run_count(run), count);
    test_check_run(run, at, max_size, salt);
    at = entry_run_last_index(run) + 1;
  }
}

/* The log holds first .. last, all durable, and nothing else. */
static inline void test_check_log(Wal *wal, guint64 first, guint64 last, gsize max_size)
{
  ck_assert_uint_eq(wal_first_index(wal), first);
  ck_assert_uint_eq(wal_last_index(wal), last);
  ck_assert_uint_eq(wal_durable_index(wal), last);
  test_check_range(wal, first, last, 100, 1024 * 1024, max_size, 0);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_read(wal, last + 1, 1, 1, &error));
  ck_assert_no_error(error);
}

/* Path of the segment whose first record is `first`; newly allocated. */
static inline char *test_segment(guint64 first)
{
  return g_strdup_printf(TEST_DIR "/%020" G_GUINT64_FORMAT ".wal", first);
}

static inline guint test_count_files(MemDisk *disk, const char *suffix)
{
  const WalIo *io = mem_disk_io(disk);
  g_autoptr(GPtrArray) names = io->list(io->ctx, TEST_DIR);
  guint count = 0;
  for (guint i = 0; i < names->len; i++)
    count += g_str_has_suffix(names->pdata[i], suffix);
  return count;
}

/* Adds the functions to a case of their own in `suite`. */
static inline void test_add(Suite *suite, const char *name, const TTest *const *tests, gsize count)
{
  TCase *cases = tcase_create(name);
  tcase_set_timeout(cases, 120);
  for (gsize i = 0; i < count; i++)
    tcase_add_test(cases, tests[i]);
  suite_add_tcase(suite, cases);
}

static inline int test_main(Suite *suite)
{
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
