/* The table of keys of writes: what is remembered, what goes first, and what of two is kept. */
#include "store/write_keys.h"

#include "support/suite.h"

#include <string.h>

static WriteKey key_of(guint number, guint64 hlc, guint32 origin)
{
  WriteKey key = {.log = {origin, 7}, .index = number + 1, .hlc = hlc};
  write_keys_hash((const guint8 *)&number, sizeof number, key.hash);
  return key;
}

static gboolean add(WriteKeys *keys, WriteKey key, WriteKey *dropped)
{
  gboolean drops;
  gboolean added = write_keys_add(keys, &key, dropped, &drops);
  if (!drops)
    dropped->index = 0;
  return added;
}

START_TEST(hashes_are_of_all_bytes)
{
  guint8 a[16], b[16], c[16];
  write_keys_hash((const guint8 *)"ab", 2, a);
  write_keys_hash((const guint8 *)"ac", 2, b);
  write_keys_hash((const guint8 *)"ab", 1, c);
  ck_assert(memcmp(a, b, 16) != 0 && memcmp(a, c, 16) != 0);
}
END_TEST

START_TEST(the_oldest_goes_first)
{
  g_autoptr(WriteKeys) keys = write_keys_new(3);
  WriteKey dropped, found;
  for (guint i = 0; i < 3; i++) {
    ck_assert(add(keys, key_of(i, 100 + i, 1), &dropped));
    ck_assert_uint_eq(dropped.index, 0);
  }
  for (guint i = 3; i < 10; i++) {
    ck_assert(add(keys, key_of(i, 100 + i, 1), &dropped));
    ck_assert_uint_eq(dropped.index, i - 3 + 1);
    ck_assert(!write_keys_find(keys, dropped.hash, &found));
  }
  ck_assert_uint_eq(write_keys_count(keys), 3);
  for (guint i = 7; i < 10; i++) {
    WriteKey key = key_of(i, 0, 1);
    ck_assert(write_keys_find(keys, key.hash, &found));
    ck_assert_uint_eq(found.index, i + 1);
    ck_assert_uint_eq(found.hlc, 100 + i);
  }
}
END_TEST

START_TEST(of_two_the_older_version_is_kept)
{
  g_autoptr(WriteKeys) keys = write_keys_new(3);
  WriteKey dropped, found;
  ck_assert(add(keys, key_of(1, 50, 2), &dropped));
  ck_assert(!add(keys, key_of(1, 50, 2), &dropped));
  ck_assert(!add(keys, key_of(1, 50, 3), &dropped));
  ck_assert(!add(keys, key_of(1, 51, 1), &dropped));
  ck_assert(add(keys, key_of(1, 50, 1), &dropped));
  ck_assert(add(keys, key_of(1, 49, 9), &dropped));
  ck_assert_uint_eq(write_keys_count(keys), 1);
  WriteKey key = key_of(1, 0, 1);
  ck_assert(write_keys_find(keys, key.hash, &found));
  ck_assert_uint_eq(found.hlc, 49);
  ck_assert_uint_eq(found.log.origin, 9);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {hashes_are_of_all_bytes, the_oldest_goes_first,
                                of_two_the_older_version_is_kept};
  return RUN_SUITE("write keys", tests);
}
