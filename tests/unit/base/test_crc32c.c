#include "base/crc32c.h"

#include "support/suite.h"

#include <check.h>
#include <string.h>

/* RFC 3720, B.4 */
START_TEST(test_vectors)
{
  /* clang-format off */
  static const guint8 read_command[48] = {
      0x01, 0xc0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
      0x14, 0, 0, 0, 0, 0, 4, 0,     0, 0, 0, 0x14, 0, 0, 0, 0x18,
      0x28, 0, 0, 0, 0, 0, 0, 0,     0x02, 0, 0, 0, 0, 0, 0, 0};
  /* clang-format on */
  guint8 bytes[32];
  ck_assert_uint_eq(crc32c(0, "", 0), 0);
  ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xE3069283);
  memset(bytes, 0, sizeof bytes);
  ck_assert_uint_eq(crc32c(0, bytes, 32), 0x8A9136AA);
  memset(bytes, 0xFF, sizeof bytes);
  ck_assert_uint_eq(crc32c(0, bytes, 32), 0x62A8AB43);
  for (guint8 i = 0; i < 32; i++)
    bytes[i] = i;
  ck_assert_uint_eq(crc32c(0, bytes, 32), 0x46DD794E);
  for (guint8 i = 0; i < 32; i++)
    bytes[i] = (guint8)(31 - i);
  ck_assert_uint_eq(crc32c(0, bytes, 32), 0x113FDB5C);
  ck_assert_uint_eq(crc32c(0, read_command, sizeof read_command), 0xD9963A56);
}
END_TEST

/* Bit by bit, as the definition says. */
static guint32 slow(guint32 crc, const guint8 *p, gsize size)
{
  crc = ~crc;
  for (; size > 0; p++, size--) {
    crc ^= *p;
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0);
  }
  return ~crc;
}

/* All ways give the same, at any size, alignment and starting value. */
START_TEST(test_ways_agree)
{
  enum { SIZE = 20000 };
  GRand *random = g_rand_new_with_seed(1);
  g_autofree guint8 *bytes = g_malloc(SIZE + 8);
  for (gsize i = 0; i < SIZE + 8; i++)
    bytes[i] = (guint8)g_rand_int(random);
  for (gsize size = 0; size < 3400; size += SANITIZED ? 7 : 1) {
    const guint8 *p = bytes + size % 8;
    guint32 start = g_rand_int(random);
    guint32 want = slow(start, p, size);
    fast_assert_msg(crc32c(start, p, size) == want, "%zu bytes", size);
    fast_assert_msg(crc32c_portable(start, p, size) == want, "%zu bytes", size);
  }
  for (guint i = 0; i < HISTORIES(20000); i++) {
    const guint8 *p = bytes + g_rand_int_range(random, 0, 8);
    gsize size = (gsize)g_rand_int_range(random, 0, SIZE + 1);
    guint32 start = g_rand_int(random);
    fast_assert_msg(crc32c(start, p, size) == crc32c_portable(start, p, size), "%zu bytes", size);
  }
  g_rand_free(random);
}
END_TEST

START_TEST(test_continues)
{
  guint8 bytes[5000];
  for (gsize i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8)(i * i + 7);
  guint32 whole = crc32c(0, bytes, sizeof bytes);
  for (gsize cut = 0; cut <= sizeof bytes; cut += 13)
    ck_assert_uint_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("crc32c");
  TCase *cases = tcase_create("crc32c");
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, test_vectors);
  tcase_add_test(cases, test_ways_agree);
  tcase_add_test(cases, test_continues);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
