/* The bytes of segments, and their names. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "golden/golden.h"
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"
#include "wal/format.h"

static const SegmentHeader golden_header = {
    .log = {7, 1700000000000000},
    .first_index = 5,
    .chain_known = TRUE,
    .chain = 0x1122334455667788,
    .hlc = 0x0102030405060701,
    .previous_first = 1,
    .previous_end = 4999,
};

static void check_equal(const SegmentHeader *a, const SegmentHeader *b)
{
  ck_assert(log_id_equal(a->log, b->log));
  ck_assert_uint_eq(a->first_index, b->first_index);
  ck_assert_int_eq(a->chain_known, b->chain_known);
  ck_assert_uint_eq(a->chain, b->chain);
  ck_assert_uint_eq(a->hlc, b->hlc);
  ck_assert_uint_eq(a->previous_first, b->previous_first);
  ck_assert_int_eq(a->previous_end, b->previous_end);
}

START_TEST(test_golden_header)
{
  g_autoptr(GByteArray) golden = golden_load("wal-v1.hex");
  SegmentHeader header;
  ck_assert_int_eq(segment_header_decode(golden->data, golden->len, &header), HEADER_VALID);
  check_equal(&header, &golden_header);
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&header, bytes);
  ck_assert_mem_eq(bytes, golden->data, sizeof bytes);
}
END_TEST

/* What was written once is read by this build, and this build writes the same. */
START_TEST(test_golden_segment)
{
  g_autoptr(GByteArray) golden = golden_load("wal-v1.hex");
  g_autofree char *path = test_segment(5);
  g_autoptr(MemDisk) disk = mem_disk_new(1);
  g_autoptr(Wal) wal = test_open_as(disk, 65536, WAL_CLEAN);
  wal_close(g_steal_pointer(&wal));
  mem_disk_set(disk, path, golden->data, golden->len);
  wal = test_open_as(disk, 65536, WAL_CLEAN);
  ck_assert_uint_eq(wal_first_index(wal), 5);
  ck_assert_uint_eq(wal_last_index(wal), 7);
  ck_assert_uint_eq(wal_last_hlc(wal), 0x010203040506070a);
  guint64 chain;
  ck_assert(wal_chain_at(wal, 4, &chain, NULL));
  ck_assert_uint_eq(chain, golden_header.chain);

  g_autoptr(EntryRun) run = wal_read(wal, 5, 10, 10000, NULL);
  ck_assert_uint_eq(entry_run_count(run), 3);
  ck_assert_uint_eq(entry_run_record(run, 0).data_size, 1);
  ck_assert_int_eq(entry_run_record(run, 0).data[0], 'a');
  for (guint8 i = 0; i < 20; i++)
    ck_assert_uint_eq(entry_run_record(run, 1).data[i], i);
  ck_assert_uint_eq(entry_run_record(run, 2).data_size, 300);

  g_autoptr(GByteArray) again = g_byte_array_new();
  g_byte_array_set_size(again, golden->len);
  memset(again->data, 0, again->len);
  segment_header_encode(&golden_header, again->data);
  gsize at = SEGMENT_HEADER_SIZE;
  for (guint i = 0; i < 3; i++) {
    Record r = entry_run_record(run, i);
    at +=
        record_write(record_seed(test_log), r.index, r.hlc, r.data, r.data_size, again->data + at);
  }
  ck_assert_mem_eq(again->data, golden->data, golden->len);

  /* And through the log itself, from the same place on. */
  g_autoptr(EntryRun) more = test_run(8, 1, 100);
  ck_assert(wal_append(wal, more, 0, NULL));
  g_autoptr(GByteArray) file = mem_disk_get(disk, path);
  ck_assert_mem_eq(file->data, golden->data, at);
}
END_TEST

START_TEST(test_header_round_trip)
{
  SegmentHeader headers[] = {
      {.log = {1, 1}, .first_index = 1, .chain_known = TRUE},
      {.log = {65535, G_MAXINT64},
       .first_index = G_MAXINT64,
       .chain_known = TRUE,
       .chain = G_MAXUINT64,
       .hlc = G_MAXUINT64,
       .previous_first = G_MAXINT64 - 1,
       .previous_end = G_MAXINT64},
      {.log = {1, 2}, .first_index = 9, .chain_known = FALSE, .hlc = 3},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(headers); i++) {
    guint8 bytes[SEGMENT_HEADER_SIZE];
    SegmentHeader decoded;
    segment_header_encode(&headers[i], bytes);
    ck_assert_int_eq(segment_header_decode(bytes, sizeof bytes, &decoded), HEADER_VALID);
    check_equal(&decoded, &headers[i]);
    ck_assert_int_eq(segment_header_decode(bytes, sizeof bytes - 1, &decoded), HEADER_DAMAGED);
    ck_assert_int_eq(segment_header_decode(bytes, 0, &decoded), HEADER_DAMAGED);
  }
}
END_TEST

static HeaderVerdict verdict_of(guint8 *bytes)
{
  SegmentHeader decoded = {.first_index = 77};
  HeaderVerdict verdict = segment_header_decode(bytes, SEGMENT_HEADER_SIZE, &decoded);
  if (verdict != HEADER_VALID)
    ck_assert_uint_eq(decoded.first_index, 77);
  return verdict;
}

START_TEST(test_every_byte_counts)
{
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&golden_header, bytes);
  for (gsize i = 0; i < sizeof bytes; i++) {
    bytes[i] ^= 0x04;
    ck_assert_int_eq(verdict_of(bytes), HEADER_DAMAGED);
    bytes[i] ^= 0x04;
  }
  ck_assert_int_eq(verdict_of(bytes), HEADER_VALID);
}
END_TEST

/* Each rule about values, broken in a header whose checksum is right. */
START_TEST(test_rules)
{
  const struct {
    gsize offset;
    gsize size;
    guint64 value;
    HeaderVerdict verdict;
  } rules[] = {
      {8, 4, 2, HEADER_OTHER_VERSION},
      {8, 4, 0, HEADER_OTHER_VERSION},
      {12, 4, 4095, HEADER_DAMAGED},
      {16, 4, 2, HEADER_DAMAGED},
      {16, 4, 1, HEADER_DAMAGED}, /* unknown, yet a digest */
      {20, 4, 0, HEADER_DAMAGED},
      {20, 4, 65536, HEADER_DAMAGED},
      {24, 8, 0, HEADER_DAMAGED},
      {24, 8, 1ull << 63, HEADER_DAMAGED},
      {32, 8, 0, HEADER_DAMAGED},
      {32, 8, 1ull << 63, HEADER_DAMAGED},
      {56, 8, 5, HEADER_DAMAGED},
      {56, 8, 0, HEADER_DAMAGED},
      {64, 8, 0, HEADER_DAMAGED},
      {64, 8, 4096, HEADER_DAMAGED},
      {64, 8, 1ull << 63, HEADER_DAMAGED},
      {72, 4, 1, HEADER_DAMAGED},
      {4088, 4, 1, HEADER_DAMAGED},
      {64, 8, 4097, HEADER_VALID},
      {40, 8, 0, HEADER_VALID},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
    guint8 bytes[SEGMENT_HEADER_SIZE];
    segment_header_encode(&golden_header, bytes);
    if (rules[i].size == 8)
      store_be64(bytes + rules[i].offset, rules[i].value);
    else
      store_be32(bytes + rules[i].offset, (guint32)rules[i].value);
    store_be32(bytes + SEGMENT_HEADER_SIZE - 4, crc32c(0, bytes, SEGMENT_HEADER_SIZE - 4));
    ck_assert_msg(verdict_of(bytes) == rules[i].verdict, "rule %zu", i);
  }
}
END_TEST

START_TEST(test_names)
{
  static const guint64 indices[] = {1, 42, 12345678901234567890ull >> 1, G_MAXINT64};
  for (gsize i = 0; i < G_N_ELEMENTS(indices); i++) {
    char name[SEGMENT_NAME_SIZE];
    guint64 index = 0;
    segment_name_format(indices[i], name);
    ck_assert_uint_eq(strlen(name), SEGMENT_NAME_SIZE - 1);
    ck_assert(segment_name_parse(name, &index));
    ck_assert_uint_eq(index, indices[i]);
  }
  char name[SEGMENT_NAME_SIZE];
  ck_assert_str_eq(segment_name_format(42, name), "00000000000000000042.wal");
  static const char *const wrong[] = {
      "",
      ".wal",
      "42.wal",
      "00000000000000000000.wal",
      "09223372036854775808.wal",
      "18446744073709551617.wal",
      "0000000000000000042.wal",
      "000000000000000000042.wal",
      "00000000000000000042.wa",
      "00000000000000000042.wal.1.bad",
      "00000000000000000042.WAL",
      "-0000000000000000042.wal",
      "0000000000000000 042.wal",
      "0000000000000000004x.wal",
  };
  for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
    guint64 index = 77;
    ck_assert_msg(!segment_name_parse(wrong[i], &index), "%s", wrong[i]);
    ck_assert_uint_eq(index, 77);
  }
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal format");
  const TTest *tests[] = {
      test_golden_header,     test_golden_segment, test_header_round_trip,
      test_every_byte_counts, test_rules,          test_names,
  };
  test_add(suite, "format", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
