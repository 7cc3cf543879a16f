#include "base/bytes.h"

#include <check.h>

START_TEST(test_reads)
{
  static const guint8 bytes[] = {1, 0x02, 0x03, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  ByteReader r = byte_reader(bytes, sizeof bytes);
  ck_assert_uint_eq(byte_reader_u8(&r), 1);
  ck_assert_uint_eq(byte_reader_be16(&r), 0x0203);
  ck_assert_uint_eq(byte_reader_be32(&r), 0x04050607);
  ck_assert_uint_eq(byte_reader_be64(&r), 0x08090A0B0C0D0E0Full);
  ck_assert_uint_eq(byte_reader_left(&r), 1);
  ck_assert_ptr_eq(byte_reader_take(&r, 1), bytes + 15);
  ck_assert_ptr_nonnull(byte_reader_take(&r, 0));
  ck_assert(!r.failed);
}
END_TEST

/* The first read that goes too far spoils all that follow. */
START_TEST(test_read_error_is_sticky)
{
  static const guint8 bytes[] = {1, 2, 3};
  ByteReader r = byte_reader(bytes, sizeof bytes);
  ck_assert_uint_eq(byte_reader_be32(&r), 0);
  ck_assert(r.failed);
  ck_assert_uint_eq(byte_reader_u8(&r), 0);
  ck_assert_uint_eq(byte_reader_be16(&r), 0);
  ck_assert_uint_eq(byte_reader_be64(&r), 0);
  ck_assert_ptr_null(byte_reader_take(&r, 0));
  ck_assert_uint_eq(byte_reader_left(&r), 0);
}
END_TEST

START_TEST(test_no_overflow)
{
  static const guint8 bytes[] = {1, 2, 3};
  ByteReader r = byte_reader(bytes, sizeof bytes);
  byte_reader_u8(&r);
  ck_assert_ptr_null(byte_reader_take(&r, G_MAXSIZE));
  guint8 room[4];
  ByteWriter w = byte_writer(room, sizeof room);
  byte_writer_u8(&w, 1);
  byte_writer_put(&w, bytes, G_MAXSIZE);
  ck_assert(w.failed);
  ck_assert_uint_eq(w.at, 1);
}
END_TEST

START_TEST(test_writes)
{
  guint8 room[16];
  ByteWriter w = byte_writer(room, 15);
  byte_writer_u8(&w, 1);
  byte_writer_be16(&w, 0x0203);
  byte_writer_be32(&w, 0x04050607);
  byte_writer_be64(&w, 0x08090A0B0C0D0E0Full);
  byte_writer_put(&w, NULL, 0);
  ck_assert(!w.failed);
  ck_assert_uint_eq(w.at, 15);
  for (guint8 i = 0; i < 15; i++)
    ck_assert_uint_eq(room[i], i + 1);
  room[15] = 0xEE;
  byte_writer_u8(&w, 1);
  ck_assert(w.failed);
  byte_writer_put(&w, room, 0);
  ck_assert(w.failed);
  ck_assert_uint_eq(room[15], 0xEE);
}
END_TEST

START_TEST(test_loads_and_stores)
{
  guint8 room[9] = {0};
  guint8 *p = room + 1; /* not aligned */
  store_be32(p, 0x01020304);
  ck_assert_mem_eq(p, "\1\2\3\4", 4);
  ck_assert_uint_eq(load_be32(p), 0x01020304);
  ck_assert_uint_eq(load_le32(p), 0x04030201);
  store_be64(p, 0x0102030405060708ull);
  ck_assert_mem_eq(p, "\1\2\3\4\5\6\7\10", 8);
  ck_assert_uint_eq(load_be64(p), 0x0102030405060708ull);
  ck_assert_uint_eq(load_le64(p), 0x0807060504030201ull);
  store_le32(p, 0x01020304);
  ck_assert_mem_eq(p, "\4\3\2\1", 4);
  store_le64(p, 0x0102030405060708ull);
  ck_assert_mem_eq(p, "\10\7\6\5\4\3\2\1", 8);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("bytes");
  TCase *cases = tcase_create("bytes");
  tcase_add_test(cases, test_reads);
  tcase_add_test(cases, test_read_error_is_sticky);
  tcase_add_test(cases, test_no_overflow);
  tcase_add_test(cases, test_writes);
  tcase_add_test(cases, test_loads_and_stores);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
