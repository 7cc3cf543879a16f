#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/record.h"
#include "golden/golden.h"

#include <check.h>

static const LogId test_log = {7, 1700000000000000};

START_TEST(test_golden)
{
  g_autoptr(GByteArray) golden = golden_load("record-v1.hex");
  guint32 seed = record_seed(test_log);
  Record record;
  ck_assert_int_eq(record_parse(seed, golden->data, golden->len, &record), RECORD_VALID);
  ck_assert_uint_eq(record.index, 5);
  ck_assert_uint_eq(record.hlc, 0x0102030405060708);
  ck_assert_uint_eq(record.data_size, 1);
  ck_assert_int_eq(record.data[0], 'a');
  ck_assert_uint_eq(record.size, golden->len);
  guint8 bytes[RECORD_OVERHEAD_SIZE + 1];
  ck_assert_uint_eq(golden->len, sizeof bytes);
  ck_assert_uint_eq(record_write(seed, 5, 0x0102030405060708, "a", 1, bytes), sizeof bytes);
  ck_assert_mem_eq(bytes, golden->data, sizeof bytes);
}
END_TEST

START_TEST(test_only_in_its_log)
{
  guint8 bytes[100];
  Record record;
  gsize size = record_write(record_seed(test_log), 1, 2, "data", 4, bytes);
  LogId other = {test_log.origin, test_log.incarnation + 1};
  LogId another = {test_log.origin + 1, test_log.incarnation};
  ck_assert_int_eq(record_parse(record_seed(other), bytes, size, &record), RECORD_BROKEN);
  ck_assert_int_eq(record_parse(record_seed(another), bytes, size, &record), RECORD_BROKEN);
  ck_assert_int_eq(record_parse(record_seed(test_log), bytes, size, &record), RECORD_VALID);
}
END_TEST

/* Any change of any byte is noticed, and *out_record stays as it was. */
START_TEST(test_every_bit)
{
  guint8 bytes[100];
  guint32 seed = record_seed(test_log);
  gsize size = record_write(seed, 77, 99, "some data of an entry", 21, bytes);
  for (gsize i = 0; i < size * 8; i++) {
    Record record = {.index = 42};
    bytes[i / 8] ^= (guint8)(1 << (i % 8));
    ck_assert_int_ne(record_parse(seed, bytes, size, &record), RECORD_VALID);
    ck_assert_uint_eq(record.index, 42);
    bytes[i / 8] ^= (guint8)(1 << (i % 8));
  }
}
END_TEST

START_TEST(test_every_length)
{
  guint32 seed = record_seed(test_log);
  guint8 bytes[100];
  gsize size = record_write(seed, 77, 99, "some data of an entry", 21, bytes);
  for (gsize n = 0; n < size; n++) {
    Record record;
    g_autofree guint8 *exact = g_memdup2(bytes, n); /* the sanitizer sees what is read beyond */
    RecordVerdict want = n == 0 ? RECORD_EMPTY : RECORD_SHORT;
    ck_assert_int_eq(record_parse(seed, exact, n, &record), want);
    ck_assert_int_eq(record_parse_trusted(exact, n, &record), want);
  }
  Record record;
  ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_VALID);
  ck_assert_uint_eq(record.size, size);
}
END_TEST

START_TEST(test_verdicts)
{
  guint32 seed = record_seed(test_log);
  guint8 bytes[100] = {0};
  Record record;
  ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_EMPTY);
  bytes[0] = 1;
  ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_BROKEN);
  bytes[0] = 0x0A;
  ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_BROKEN);

  /* Lengths that can't be, and one that goes on beyond the end. */
  static const guint32 lengths[] = {0, LIMIT_ENTRY_SIZE + 1, 0x80000000, 0xFFFFFFFF};
  record_write(seed, 1, 1, "x", 1, bytes);
  for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
    store_be32(bytes + 25, lengths[i]);
    ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_BROKEN);
  }
  store_be32(bytes + 25, LIMIT_ENTRY_SIZE);
  ck_assert_int_eq(record_parse(seed, bytes, sizeof bytes, &record), RECORD_SHORT);
}
END_TEST

/* An index that can't be, under a right checksum. */
START_TEST(test_index_range)
{
  guint32 seed = record_seed(test_log);
  guint8 bytes[100];
  Record record;
  static const guint64 wrong[] = {0, 1ull << 63, G_MAXUINT64};
  for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
    gsize size = record_write(seed, wrong[i], 1, "x", 1, bytes);
    ck_assert_int_eq(record_parse(seed, bytes, size, &record), RECORD_BROKEN);
  }
  gsize size = record_write(seed, G_MAXINT64, 1, "x", 1, bytes);
  ck_assert_int_eq(record_parse(seed, bytes, size, &record), RECORD_VALID);
}
END_TEST

START_TEST(test_largest)
{
  guint32 seed = record_seed(test_log);
  g_autofree guint8 *data = g_malloc0(LIMIT_ENTRY_SIZE);
  g_autofree guint8 *bytes = g_malloc(LIMIT_ENTRY_SIZE + RECORD_OVERHEAD_SIZE);
  memset(data, 0x0A, LIMIT_ENTRY_SIZE);
  gsize size = record_write(seed, 1, 1, data, LIMIT_ENTRY_SIZE, bytes);
  Record record;
  ck_assert_int_eq(record_parse(seed, bytes, size, &record), RECORD_VALID);
  ck_assert_uint_eq(record.data_size, LIMIT_ENTRY_SIZE);
}
END_TEST

/* XXH3's own vectors, and that order and content count. */
START_TEST(test_chain)
{
  ck_assert_uint_eq(record_chain(0, (const guint8 *)"", 0), 0x2D06800538D394C2);
  ck_assert_uint_eq(record_chain(0x9E3779B185EBCA8D, (const guint8 *)"", 0), 0xA8A6B918B2F0364A);
  guint32 seed = record_seed(test_log);
  guint8 a[64], b[64];
  gsize a_size = record_write(seed, 1, 5, "a", 1, a);
  gsize b_size = record_write(seed, 2, 6, "b", 1, b);
  guint64 ab = record_chain(record_chain(0, a, a_size), b, b_size);
  guint64 ba = record_chain(record_chain(0, b, b_size), a, a_size);
  ck_assert_uint_ne(ab, ba);
  ck_assert_uint_ne(ab, record_chain(0, b, b_size));
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("record");
  TCase *cases = tcase_create("record");
  tcase_add_test(cases, test_golden);
  tcase_add_test(cases, test_only_in_its_log);
  tcase_add_test(cases, test_every_bit);
  tcase_add_test(cases, test_every_length);
  tcase_add_test(cases, test_verdicts);
  tcase_add_test(cases, test_index_range);
  tcase_add_test(cases, test_largest);
  tcase_add_test(cases, test_chain);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
