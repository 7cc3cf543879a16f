#include "core/hlc.h"

#include "support/suite.h"

static const guint64 LAST_MS = (G_GUINT64_CONSTANT(1) << 48) - 1;

START_TEST(packs_milliseconds_above_counter)
{
  ck_assert_uint_eq(hlc_from_ms(0), 0);
  ck_assert_uint_eq(hlc_from_ms(1), 65536);
  ck_assert_uint_eq(hlc_ms(hlc_from_ms(1700000000123)), 1700000000123);
  ck_assert_uint_eq(hlc_ms(hlc_from_ms(1700000000123) + 65535), 1700000000123);
}
END_TEST

START_TEST(wall_beyond_48_bits_counts_as_last)
{
  ck_assert_uint_eq(hlc_ms(hlc_from_ms(LAST_MS)), LAST_MS);
  ck_assert_uint_eq(hlc_from_ms(LAST_MS + 1), hlc_from_ms(LAST_MS));
  ck_assert_uint_eq(hlc_from_ms(G_MAXUINT64), hlc_from_ms(LAST_MS));
  /* No bit of the time gets lost: a greater time never gives a smaller value. */
  ck_assert_uint_lt(hlc_from_ms(LAST_MS - 1), hlc_from_ms(LAST_MS + 1));
}
END_TEST

START_TEST(follows_the_wall_clock)
{
  ck_assert_uint_eq(hlc_tick(0, 1000), hlc_from_ms(1000));
  ck_assert_uint_eq(hlc_tick(hlc_from_ms(1000), 1000), hlc_from_ms(1000) + 1);
  ck_assert_uint_eq(hlc_tick(hlc_from_ms(1000) + 7, 1001), hlc_from_ms(1001));
}
END_TEST

START_TEST(inv1_wall_clock_goes_back)
{
  guint64 before = hlc_tick(0, 5000);
  ck_assert_uint_eq(hlc_tick(before, 4000), before + 1);
  ck_assert_uint_eq(hlc_tick(before + 1, 0), before + 2);
}
END_TEST

START_TEST(s25_inv1_full_counter_carries)
{
  guint64 full = hlc_from_ms(5000) + 65535;
  guint64 next = hlc_tick(full, 5000);
  ck_assert_uint_eq(next, hlc_from_ms(5001));
  /* The wall clock catching up with the carried millisecond is no reason to repeat. */
  ck_assert_uint_eq(hlc_tick(next, 5001), hlc_from_ms(5001) + 1);
}
END_TEST

START_TEST(inv1_grows_whatever_the_wall_does)
{
  GRand *rand = g_rand_new_with_seed(1);
  guint64 last = 0;
  for (guint i = 0; i < 200000; i++) {
    guint64 wall_ms = (guint64)g_rand_int_range(rand, 0, 2000);
    guint64 seen = last;
    if (g_rand_int_range(rand, 0, 10) == 0)
      seen = hlc_observe(last, hlc_from_ms(wall_ms) + (guint64)g_rand_int_range(rand, 0, 65536));
    fast_assert(seen >= last);
    guint64 next = hlc_tick(seen, wall_ms);
    fast_assert(next > seen);
    fast_assert(next >= hlc_from_ms(wall_ms));
    last = next;
  }
  /* The values stay near the times that went in: 200000 ticks are about three full counters. */
  fast_assert(hlc_ms(last) < 2000 + 5);
  g_rand_free(rand);
}
END_TEST

START_TEST(observe_takes_the_greater)
{
  ck_assert_uint_eq(hlc_observe(5, 9), 9);
  ck_assert_uint_eq(hlc_observe(9, 5), 9);
  ck_assert_uint_eq(hlc_observe(9, 9), 9);
}
END_TEST

START_TEST(ahead_counts_whole_milliseconds)
{
  guint64 wall_ms = 100000;
  ck_assert(!hlc_is_ahead(hlc_from_ms(wall_ms - 50), wall_ms, 0));
  ck_assert(!hlc_is_ahead(hlc_from_ms(wall_ms) + 65535, wall_ms, 0));
  ck_assert(hlc_is_ahead(hlc_from_ms(wall_ms + 1), wall_ms, 0));
  ck_assert(!hlc_is_ahead(hlc_from_ms(wall_ms + 500) + 65535, wall_ms, 500));
  ck_assert(hlc_is_ahead(hlc_from_ms(wall_ms + 501), wall_ms, 500));
  ck_assert(hlc_is_ahead(G_MAXUINT64, wall_ms, 500));
  ck_assert(!hlc_is_ahead(G_MAXUINT64, wall_ms, G_MAXUINT64));
  ck_assert(!hlc_is_ahead(hlc_from_ms(wall_ms), G_MAXUINT64, 0));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      packs_milliseconds_above_counter, wall_beyond_48_bits_counts_as_last,
      follows_the_wall_clock,           inv1_wall_clock_goes_back,
      s25_inv1_full_counter_carries,    inv1_grows_whatever_the_wall_does,
      observe_takes_the_greater,        ahead_counts_whole_milliseconds};
  return RUN_SUITE("hlc", tests);
}
