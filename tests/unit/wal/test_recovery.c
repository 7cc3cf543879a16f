/* One test per way that a log's directory can look when it is opened. */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"
#include "wal/file.h"

#include "base/crc32c.h"
#include "wal/format.h"

static const gsize big_segment = 256 * 1024;
static const gsize small_segment = 8192;

/* A log with records 1 .. last, some in each segment. */
static MemDisk *disk_with_log(guint64 last, gsize segment_size, gsize max_size)
{
  MemDisk *disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  for (guint64 i = 1; i <= last; i++)
    test_append(wal, i, 1, max_size);
  test_sync(wal);
  return disk;
}

/* Offsets of the records in the first segment of a log that disk_with_log made. */
static gsize record_offset(guint64 index, gsize max_size)
{
  gsize at = SEGMENT_HEADER_SIZE;
  for (guint64 i = 1; i < index; i++)
    at += test_data_size(i, max_size) + RECORD_OVERHEAD_SIZE;
  return at;
}

static void spoil(MemDisk *disk, const char *path, gsize offset, guint8 mask)
{
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  ck_assert_uint_lt(offset, bytes->len);
  bytes->data[offset] ^= mask;
  mem_disk_set(disk, path, bytes->data, bytes->len);
}

static void truncate_file(MemDisk *disk, const char *path, gsize size)
{
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  ck_assert_uint_le(size, bytes->len);
  mem_disk_set(disk, path, bytes->data, size);
}

static void remove_file(MemDisk *disk, const char *path)
{
  const WalIo *io = mem_disk_io(disk);
  ck_assert_int_eq(io->unlink(io->ctx, path), 0);
}

/* Opens a damaged log, checks what the report says, cuts, and goes on. */
static void check_corrupt(MemDisk *disk, gsize segment_size, guint64 bad_index,
                          const char *bad_file, guint64 bad_offset, gsize max_size, guint bad_files)
{
  WalRecovery recovery;
  g_autoptr(Wal) wal = test_open(disk, segment_size, &recovery);
  ck_assert_msg(recovery.verdict == WAL_CORRUPT, "verdict %d", (int)recovery.verdict);
  ck_assert_uint_eq(recovery.bad_index, bad_index);
  ck_assert_str_eq(recovery.bad_file, bad_file);
  ck_assert_uint_eq(recovery.bad_offset, bad_offset);
  ck_assert_ptr_nonnull(strstr(recovery.message, bad_file));
  wal_recovery_clear(&recovery);
  guint64 first = wal_first_index(wal);
  test_check_log(wal, first, bad_index - 1, max_size);

  g_autoptr(GError) error = NULL;
  g_autoptr(EntryRun) run = test_run(bad_index, 3, max_size);
  ck_assert(!wal_append(wal, run, 0, &error));
  ck_assert_error(error, SYNCLOG_READ_ONLY);
  ck_assert(!wal_is_broken(wal));

  /* Nothing was changed by opening: it is as damaged the second time. */
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CORRUPT);

  ck_assert(wal_cut(wal, bad_index, NULL));
  ck_assert_uint_eq(test_count_files(disk, ".bad"), bad_files);
  ck_assert_uint_eq(test_count_files(disk, ".tmp"), 0);
  test_append(wal, bad_index, 20, max_size);
  test_sync(wal);
  test_check_log(wal, first, bad_index + 19, max_size);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, segment_size, WAL_CLEAN);
  test_check_log(wal, first, bad_index + 19, max_size);
}

/* Opens a log with a torn tail, and goes on. */
static void check_torn(MemDisk *disk, guint64 last, guint64 cut_bytes, gsize max_size)
{
  WalRecovery recovery;
  g_autoptr(Wal) wal = test_open(disk, big_segment, &recovery);
  ck_assert_msg(recovery.verdict == WAL_TORN_TAIL, "verdict %d", (int)recovery.verdict);
  ck_assert_uint_eq(recovery.cut_bytes, cut_bytes);
  ck_assert_ptr_nonnull(recovery.message);
  wal_recovery_clear(&recovery);
  test_check_log(wal, 1, last, max_size);
  wal_close(g_steal_pointer(&wal));
  wal = test_open_as(disk, big_segment, WAL_CLEAN);
  test_append(wal, last + 1, 2, max_size);
  test_sync(wal);
  test_check_log(wal, 1, last + 2, max_size);
}

START_TEST(test_directory_is_made)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
  mem_disk_crash(disk, MEM_LOSE_ALL);
  ck_assert(mem_disk_exists(disk, TEST_DIR));
}
END_TEST

/* A process was killed between making the directory and making its name durable. */
START_TEST(test_directory_made_before_a_kill_is_made_durable)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autofree char *parent = g_path_get_dirname(TEST_DIR);
  const WalIo *io = mem_disk_io(disk);
  ck_assert(wal_directory_create(io, parent, NULL));
  ck_assert_int_eq(io->mkdir(io->ctx, TEST_DIR, 0750), 0);
  mem_disk_crash(disk, MEM_LOSE_NOTHING);
  {
    g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
    test_append(wal, 1, 3, 100);
    test_sync(wal);
    mem_disk_crash(disk, MEM_LOSE_ALL);
  }
  ck_assert(mem_disk_exists(disk, TEST_DIR));
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
  test_check_log(wal, 1, 3, 100);
}
END_TEST

START_TEST(test_half_made_files)
{
  g_autoptr(MemDisk) disk = disk_with_log(5, big_segment, 100);
  mem_disk_set(disk, TEST_DIR "/segment.tmp", "SYNCL", 5);
  mem_disk_set(disk, TEST_DIR "/other.tmp", "", 0);
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
  test_check_log(wal, 1, 5, 100);
  ck_assert_uint_eq(test_count_files(disk, ".tmp"), 0);
}
END_TEST

START_TEST(test_foreign_files)
{
  g_autoptr(MemDisk) disk = disk_with_log(5, big_segment, 100);
  const char *names[] = {"README",
                         "00000000000000000001.wal.1.bad",
                         "1.wal",
                         "00000000000000000000.wal",
                         "99999999999999999999.wal",
                         "0000000000000000000x.wal",
                         "00000000000000000003.wal~",
                         "+0000000000000000003.wal"};
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_build_filename(TEST_DIR, names[i], NULL);
    mem_disk_set(disk, path, "x", 1);
  }
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
  test_check_log(wal, 1, 5, 100);
  ck_assert_uint_eq(test_count_files(disk, ""), 1 + G_N_ELEMENTS(names));
}
END_TEST

/* The process died after making a segment, before the first record. */
START_TEST(test_header_only)
{
  g_autoptr(MemDisk) disk = disk_with_log(40, small_segment, 1000);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  guint64 chain = wal_chain(wal), index = 41;
  /* The write behind the segment's creation fails: the log breaks with a new, empty segment. */
  for (guint before = test_count_files(disk, ".wal");; index++) {
    g_autoptr(EntryRun) run = test_run(index, 1, 1000);
    mem_disk_fail(disk, MEM_FSYNC, 1, 5, 0); /* of the directory, after the rename */
    if (!wal_append(wal, run, 0, NULL)) {
      ck_assert_uint_eq(test_count_files(disk, ".wal"), before + 1);
      break;
    }
    chain = wal_chain(wal);
  }
  wal_close(g_steal_pointer(&wal));
  mem_disk_fail(disk, MEM_FSYNC, G_MAXUINT, 0, 0);
  wal = test_open_as(disk, small_segment, WAL_CLEAN);
  test_check_log(wal, 1, index - 1, 1000);
  ck_assert_uint_eq(wal_chain(wal), chain);
  ck_assert_uint_eq(wal_last_hlc(wal), test_hlc(index - 1));
  test_append(wal, index, 20, 1000);
  test_sync(wal);
  test_check_log(wal, 1, index + 19, 1000);
}
END_TEST

START_TEST(test_header_only_first)
{
  SegmentHeader header = {.log = test_log, .first_index = 1, .chain_known = TRUE};
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&header, bytes);
  g_autofree char *path = test_segment(1);
  for (guint64 begin = 1; begin <= 9; begin += 8) {
    g_autoptr(MemDisk) disk = mem_disk_new(1);
    wal_close(test_open_as(disk, big_segment, WAL_CLEAN));
    mem_disk_set(disk, path, bytes, sizeof bytes);
    g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
    ck_assert_uint_eq(wal_last_index(wal), 0);
    test_append(wal, begin, 4, 100);
    test_sync(wal);
    test_check_log(wal, begin, begin + 3, 100);
    wal_close(g_steal_pointer(&wal));
    wal = test_open_as(disk, big_segment, WAL_CLEAN);
    test_check_log(wal, begin, begin + 3, 100);
    ck_assert_uint_eq(test_count_files(disk, ".wal"), 1);
  }
}
END_TEST

/* The last record cut at every byte, the rest zeros or missing. */
START_TEST(s06_cut_at_every_byte)
{
  const gsize max_size = 150;
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) original = disk_with_log(10, big_segment, max_size);
  g_autoptr(GByteArray) bytes = mem_disk_get(original, path);
  gsize begin = record_offset(10, max_size), end = record_offset(11, max_size);
  for (gsize cut = begin; cut < end; cut++) {
    for (int zeros = 0; zeros < 2; zeros++) {
      if (zeros && cut == end - 1) /* the last byte of a record is 0: nothing is missing */
        continue;
      g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, max_size);
      g_autoptr(GByteArray) torn = g_byte_array_new();
      g_byte_array_append(torn, bytes->data, (guint)cut);
      if (zeros) {
        g_byte_array_set_size(torn, bytes->len);
        memset(torn->data + cut, 0, bytes->len - cut);
      }
      gsize dirty = cut;
      while (dirty > begin && bytes->data[dirty - 1] == 0)
        dirty--;
      mem_disk_set(disk, path, torn->data, torn->len);
      if (cut == begin)
        wal_close(test_open_as(disk, big_segment, WAL_CLEAN));
      else
        check_torn(disk, 9, dirty - begin, max_size);
    }
  }
}
END_TEST

/* Each byte of the last record, changed: never read as a record, never more than that is lost. */
START_TEST(test_flip_in_last_record)
{
  const gsize max_size = 150;
  g_autofree char *path = test_segment(1);
  gsize begin = record_offset(10, max_size), end = record_offset(11, max_size);
  g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, max_size);
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  for (gsize at = begin; at < end; at++) {
    mem_disk_set(disk, path, bytes->data, bytes->len);
    spoil(disk, path, at, (guint8)(1 << (at % 8)));
    WalRecovery recovery;
    g_autoptr(Wal) wal = test_open(disk, big_segment, &recovery);
    ck_assert_int_eq(recovery.verdict, WAL_TORN_TAIL);
    wal_recovery_clear(&recovery);
    test_check_log(wal, 1, 9, max_size);
  }
}
END_TEST

static Wal *open_keeping_the_tail(MemDisk *disk)
{
  WalRecovery recovery;
  g_autoptr(GError) error = NULL;
  WalOptions options = {TEST_DIR, test_log, big_segment, mem_disk_io(disk), TRUE, FALSE};
  Wal *wal = wal_open(&options, &recovery, &error);
  ck_assert_no_error(error);
  ck_assert_int_eq(recovery.verdict, WAL_TORN_TAIL);
  ck_assert_uint_eq(recovery.bad_index, 10);
  wal_recovery_clear(&recovery);
  return wal;
}

/* Who must write down that a tail was there finds it again as often as it opens the log, and takes
 * it away when that is done. */
START_TEST(test_a_tail_is_kept_until_it_is_cut)
{
  const gsize max_size = 150;
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, max_size);
  spoil(disk, path, record_offset(10, max_size) + 20, 1);
  g_autoptr(GByteArray) before = mem_disk_get(disk, path);
  wal_close(open_keeping_the_tail(disk));
  g_autoptr(GByteArray) after = mem_disk_get(disk, path);
  ck_assert_uint_eq(after->len, before->len);
  ck_assert_mem_eq(after->data, before->data, before->len);
  {
    g_autoptr(Wal) wal = open_keeping_the_tail(disk);
    test_check_log(wal, 1, 9, max_size);
    g_autoptr(GError) error = NULL;
    g_autoptr(EntryRun) run = test_run(10, 1, max_size);
    ck_assert(!wal_append(wal, run, 0, &error));
    ck_assert_error(error, SYNCLOG_READ_ONLY);
    g_clear_error(&error);
    ck_assert(wal_cut(wal, 10, &error));
    ck_assert_no_error(error);
    test_append(wal, 10, 2, max_size);
    test_sync(wal);
    test_check_log(wal, 1, 11, max_size);
  }
  ck_assert_uint_eq(test_count_files(disk, ".bad"),
                    0); /* a power loss leaves such a tail as well */
  g_autoptr(Wal) again = test_open_as(disk, big_segment, WAL_CLEAN);
  test_check_log(again, 1, 11, max_size);
}
END_TEST

/* Each byte of a record that others follow, changed: damage, not a torn tail. */
START_TEST(s08_flip_before_valid_record)
{
  const gsize max_size = 150;
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, max_size);
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  gsize begin = record_offset(4, max_size), end = record_offset(5, max_size);
  for (gsize at = begin; at < end; at++) {
    mem_disk_set(disk, path, bytes->data, bytes->len);
    spoil(disk, path, at, 0x81);
    WalRecovery recovery;
    g_autoptr(Wal) wal = test_open(disk, big_segment, &recovery);
    ck_assert_int_eq(recovery.verdict, WAL_CORRUPT);
    ck_assert_uint_eq(recovery.bad_index, 4);
    ck_assert_uint_eq(recovery.bad_offset, begin);
    wal_recovery_clear(&recovery);
    test_check_log(wal, 1, 3, max_size);
  }
  check_corrupt(disk, big_segment, 4, path, begin, max_size, 1);
}
END_TEST

/* A hole of zeros with valid records behind it: the same. */
START_TEST(test_zeros_before_valid_record)
{
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, 150);
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  gsize begin = record_offset(4, 150);
  memset(bytes->data + begin, 0, record_offset(6, 150) - begin);
  mem_disk_set(disk, path, bytes->data, bytes->len);
  check_corrupt(disk, big_segment, 4, path, begin, 150, 1);
}
END_TEST

/* Records larger than what a scan reads at once; the damage is found across its windows. */
START_TEST(test_large_records_behind_damage)
{
  const gsize max_size = 3 * 1024 * 1024;
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(4, 64 * 1024 * 1024, max_size);
  gsize begin = record_offset(2, max_size);
  spoil(disk, path, begin + 26, 0x40); /* the length: what it says can't be believed */
  check_corrupt(disk, 64 * 1024 * 1024, 2, path, begin, max_size, 1);
}
END_TEST

/* Stale bytes behind the end: older valid records and rubbish are no records of now. */
START_TEST(test_stale_bytes)
{
  const gsize max_size = 150;
  g_autofree char *path = test_segment(1);
  gsize end = record_offset(11, max_size);
  gsize first_size = record_offset(2, max_size) - SEGMENT_HEADER_SIZE;
  for (int gap = 0; gap < 100; gap += 33) {
    g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, max_size);
    g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
    memcpy(bytes->data + end + gap, bytes->data + SEGMENT_HEADER_SIZE, first_size);
    mem_disk_set(disk, path, bytes->data, bytes->len);
    check_torn(disk, 10, first_size + (gsize)gap - 1, max_size); /* its last byte is 0 */
  }
}
END_TEST

START_TEST(test_zero_length_last)
{
  g_autoptr(MemDisk) disk = disk_with_log(40, small_segment, 1000);
  g_autofree char *path = test_segment(41);
  mem_disk_set(disk, path, "", 0);
  check_corrupt(disk, small_segment, 41, path, 0, 1000, 1);
}
END_TEST

START_TEST(test_zero_length_only)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  wal_close(test_open_as(disk, small_segment, WAL_CLEAN));
  g_autofree char *path = test_segment(41);
  mem_disk_set(disk, path, "", 0);
  check_corrupt(disk, small_segment, 41, path, 0, 1000, 1);
}
END_TEST

/* First indices of a log's segments. */
static GArray *segment_firsts(MemDisk *disk, gsize segment_size)
{
  g_autoptr(Wal) wal = test_open_as(disk, segment_size, WAL_CLEAN);
  GArray *firsts = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint64 i = 1; i <= wal_last_index(wal); i++) {
    g_autofree char *path = test_segment(i);
    if (mem_disk_exists(disk, path))
      g_array_append_val(firsts, i);
  }
  ck_assert_uint_ge(firsts->len, 4);
  return firsts;
}

START_TEST(test_missing_segment)
{
  for (guint k = 1; k <= 2; k++) {
    g_autoptr(MemDisk) disk = disk_with_log(60, small_segment, 1000);
    g_autoptr(GArray) firsts = segment_firsts(disk, small_segment);
    guint64 missing = g_array_index(firsts, guint64, k);
    g_autofree char *path = test_segment(missing);
    g_autofree char *next = test_segment(g_array_index(firsts, guint64, k + 1));
    remove_file(disk, path);
    check_corrupt(disk, small_segment, missing, next, 0, 1000, firsts->len - k - 1);
  }
}
END_TEST

/* Any byte of a header, changed, in the first, a middle and the last segment. */
START_TEST(test_damaged_header)
{
  for (gsize at = 0; at < SEGMENT_HEADER_SIZE; at += at < 80 ? 1 : 509) {
    for (guint k = 0; k < 3; k++) {
      g_autoptr(MemDisk) disk = disk_with_log(30, small_segment, 1000);
      g_autoptr(GArray) firsts = segment_firsts(disk, small_segment);
      guint which = k == 2 ? firsts->len - 1 : k;
      guint64 bad = g_array_index(firsts, guint64, which);
      g_autofree char *path = test_segment(bad);
      spoil(disk, path, at, 0x10);
      check_corrupt(disk, small_segment, bad, path, 0, 1000, firsts->len - which);
    }
  }
}
END_TEST

START_TEST(test_other_version)
{
  g_autoptr(MemDisk) disk = disk_with_log(5, big_segment, 100);
  g_autofree char *path = test_segment(1);
  g_autoptr(GByteArray) bytes = mem_disk_get(disk, path);
  bytes->data[11] = 2;
  guint32 crc = GUINT32_TO_BE(crc32c(0, bytes->data, SEGMENT_HEADER_SIZE - 4));
  memcpy(bytes->data + SEGMENT_HEADER_SIZE - 4, &crc, 4);
  mem_disk_set(disk, path, bytes->data, bytes->len);
  WalOptions options = {TEST_DIR, test_log, big_segment, mem_disk_io(disk), FALSE, FALSE};
  WalRecovery recovery;
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_open(&options, &recovery, &error));
  ck_assert_error(error, SYNCLOG_WRONG_VERSION);
}
END_TEST

START_TEST(test_other_log)
{
  g_autoptr(MemDisk) disk = disk_with_log(5, big_segment, 100);
  LogId other = {test_log.origin, test_log.incarnation + 1};
  WalOptions options = {TEST_DIR, other, big_segment, mem_disk_io(disk), FALSE, FALSE};
  WalRecovery recovery;
  g_autoptr(Wal) wal = wal_open(&options, &recovery, NULL);
  ck_assert_ptr_nonnull(wal);
  ck_assert_int_eq(recovery.verdict, WAL_CORRUPT);
  ck_assert_uint_eq(recovery.bad_index, 1);
  wal_recovery_clear(&recovery);
}
END_TEST

/* A segment under the name of another. */
START_TEST(test_renamed_segment)
{
  g_autoptr(MemDisk) disk = disk_with_log(5, big_segment, 100);
  g_autofree char *from = test_segment(1);
  g_autofree char *to = test_segment(6);
  const WalIo *io = mem_disk_io(disk);
  ck_assert_int_eq(io->rename(io->ctx, from, to), 0);
  check_corrupt(disk, big_segment, 6, to, 0, 100, 1);
}
END_TEST

/* A closed segment is not scanned when the log is opened; reading finds what is bad in it. */
START_TEST(s07_damage_in_closed_segment)
{
  const gsize max_size = 1000;
  static const gsize offsets[] = {0, 1, 3, 10, 14, 22, 25, 28, 29, 40};
  for (gsize i = 0; i < G_N_ELEMENTS(offsets) + 3; i++) {
    g_autoptr(MemDisk) disk = disk_with_log(60, small_segment, max_size);
    g_autofree char *path = test_segment(1);
    gsize begin = record_offset(3, max_size);
    gsize end = record_offset(4, max_size);
    gsize at =
        i < G_N_ELEMENTS(offsets) ? begin + offsets[i] : end - 1 - 3 * (i - G_N_ELEMENTS(offsets));
    spoil(disk, path, at, 0x20);
    g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
    test_check_range(wal, 1, 2, 1, 10000, max_size, 0);
    g_autoptr(EntryRun) run = wal_read(wal, 1, 100, 100000, NULL);
    ck_assert_uint_eq(entry_run_last_index(run), 2);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(wal_read(wal, 3, 100, 100000, &error));
    ck_assert_error(error, SYNCLOG_CORRUPT);
    g_autofree char *offset = g_strdup_printf("offset %zu", begin);
    ck_assert_ptr_nonnull(strstr(error->message, path));
    ck_assert_ptr_nonnull(strstr(error->message, offset));
    g_autoptr(GError) second = NULL;
    ck_assert_ptr_null(wal_read(wal, 4, 100, 100000, &second));
    ck_assert_error(second, SYNCLOG_CORRUPT);
    guint64 chain;
    g_autoptr(GError) third = NULL;
    ck_assert(!wal_chain_at(wal, 4, &chain, &third));
    ck_assert_error(third, SYNCLOG_CORRUPT);
    /* Later segments are whole, and appending goes on. */
    guint64 behind = wal_behind_segment_of(wal, 3);
    ck_assert_uint_gt(behind, 4);
    ck_assert_uint_eq(wal_behind_segment_of(wal, behind - 1), behind);
    test_check_range(wal, behind, 60, 100, 100000, max_size, 0);
    g_autoptr(EntryRun) late = wal_read(wal, 50, 100, 100000, NULL);
    test_check_run(late, 50, max_size, 0);
    test_append(wal, 61, 5, max_size);
    guint before = test_count_files(disk, ".wal");
    ck_assert(wal_cut(wal, 3, NULL));
    ck_assert_uint_eq(test_count_files(disk, ".bad"), before);
    ck_assert_uint_eq(test_count_files(disk, ".wal"), 1);
    test_append(wal, 3, 60, max_size);
    test_sync(wal);
    test_check_log(wal, 1, 62, max_size);
  }
}
END_TEST

/* A closed segment that has become shorter is seen when the log is opened. */
START_TEST(test_short_closed_segment)
{
  const gsize max_size = 1000;
  g_autoptr(MemDisk) disk = disk_with_log(60, small_segment, max_size);
  g_autofree char *path = test_segment(1);
  gsize begin = record_offset(3, max_size);
  g_autoptr(GArray) firsts = segment_firsts(disk, small_segment);
  truncate_file(disk, path, begin + 10);
  check_corrupt(disk, small_segment, 3, path, begin, max_size, firsts->len);
}
END_TEST

/* The header of the second segment counts a record more than the first one has. */
START_TEST(test_fewer_records_than_the_next_header_says)
{
  g_autoptr(MemDisk) disk = disk_with_log(3, big_segment, 100);
  g_autofree char *first = test_segment(1), *second = test_segment(5);
  goffset end = (goffset)record_offset(4, 100);
  SegmentHeader header = {.log = test_log,
                          .first_index = 5,
                          .chain_known = TRUE,
                          .previous_first = 1,
                          .previous_end = end};
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&header, bytes);
  mem_disk_set(disk, second, bytes, sizeof bytes);
  truncate_file(disk, first, (gsize)end);
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CLEAN);
  ck_assert_uint_eq(wal_last_index(wal), 4);
  test_check_range(wal, 1, 3, 3, 1024 * 1024, 100, 0);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_read(wal, 4, 1, 1024, &error));
  ck_assert_error(error, SYNCLOG_CORRUPT);
}
END_TEST

START_TEST(test_cut_below_damage)
{
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(10, big_segment, 150);
  spoil(disk, path, record_offset(8, 150) + 5, 1);
  g_autoptr(Wal) wal = test_open_as(disk, big_segment, WAL_CORRUPT);
  ck_assert(wal_cut(wal, 3, NULL));
  test_check_log(wal, 1, 2, 150);
  ck_assert_uint_eq(test_count_files(disk, ".bad"), 1);
  /* A second damage does not overwrite what was kept of the first. */
  test_append(wal, 3, 8, 150);
  test_sync(wal);
  wal_close(g_steal_pointer(&wal));
  spoil(disk, path, record_offset(8, 150) + 5, 1);
  wal = test_open_as(disk, big_segment, WAL_CORRUPT);
  ck_assert(wal_cut(wal, 8, NULL));
  ck_assert_uint_eq(test_count_files(disk, ".bad"), 2);
}
END_TEST

START_TEST(test_reset_of_damaged)
{
  g_autofree char *path = test_segment(1);
  g_autoptr(MemDisk) disk = disk_with_log(60, small_segment, 1000);
  spoil(disk, path, 20, 1);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CORRUPT);
  ck_assert(wal_reset(wal, NULL));
  ck_assert_uint_eq(test_count_files(disk, ""), 0);
  test_append(wal, 100, 3, 100);
  test_sync(wal);
  test_check_log(wal, 100, 102, 100);
}
END_TEST

/* Opening many segments reads their headers only. */
START_TEST(test_open_is_cheap)
{
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  {
    g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
    for (guint64 i = 1; i <= 3000; i++)
      test_append(wal, i, 1, 1000);
    test_sync(wal);
  }
  guint segments = test_count_files(disk, ".wal");
  ck_assert_uint_gt(segments, 300);
  guint before = mem_disk_calls(disk, MEM_PREAD);
  g_autoptr(Wal) wal = test_open_as(disk, small_segment, WAL_CLEAN);
  ck_assert_uint_le(mem_disk_calls(disk, MEM_PREAD) - before, 2 * segments + 10);
  test_check_log(wal, 1, 3000, 1000);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal recovery");
  const TTest *tests[] = {
      test_directory_is_made,
      test_directory_made_before_a_kill_is_made_durable,
      test_half_made_files,
      test_foreign_files,
      test_header_only,
      test_header_only_first,
      s06_cut_at_every_byte,
      test_flip_in_last_record,
      test_a_tail_is_kept_until_it_is_cut,
      s08_flip_before_valid_record,
      test_zeros_before_valid_record,
      test_large_records_behind_damage,
      test_stale_bytes,
      test_zero_length_last,
      test_zero_length_only,
      test_missing_segment,
      test_damaged_header,
      test_other_version,
      test_other_log,
      test_renamed_segment,
      s07_damage_in_closed_segment,
      test_fewer_records_than_the_next_header_says,
      test_short_closed_segment,
      test_cut_below_damage,
      test_reset_of_damaged,
      test_open_is_cheap,
  };
  test_add(suite, "directory", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
