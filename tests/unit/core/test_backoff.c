#include "core/backoff.h"

#include "support/suite.h"

START_TEST(inv8_each_wait_is_within_its_bounds)
{
  for (guint64 seed = 0; seed < 200; seed++) {
    Backoff backoff;
    backoff_init(&backoff, 100, 20000, seed);
    guint64 full_ms = 100;
    for (guint n = 0; n < 100; n++) {
      guint64 wait_ms = backoff_next_ms(&backoff);
      fast_assert(wait_ms >= full_ms / 2);
      fast_assert(wait_ms <= full_ms);
      full_ms = MIN(full_ms * 2, 20000);
    }
  }
}
END_TEST

START_TEST(draws_the_whole_range_evenly)
{
  guint counts[51] = {0};
  Backoff backoff;
  backoff_init(&backoff, 100, 100, 7);
  for (guint i = 0; i < 51000; i++)
    counts[backoff_next_ms(&backoff) - 50]++;
  for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
    ck_assert_uint_gt(counts[i], 800);
    ck_assert_uint_lt(counts[i], 1200);
  }
}
END_TEST

START_TEST(inv8_success_begins_again)
{
  Backoff backoff;
  backoff_init(&backoff, 100, 20000, 1);
  for (guint i = 0; i < 10; i++)
    backoff_next_ms(&backoff);
  ck_assert_uint_ge(backoff_next_ms(&backoff), 10000);
  backoff_reset(&backoff);
  ck_assert_uint_le(backoff_next_ms(&backoff), 100);
}
END_TEST

START_TEST(same_seed_same_waits)
{
  Backoff a, b, c;
  backoff_init(&a, 100, 20000, 42);
  backoff_init(&b, 100, 20000, 42);
  backoff_init(&c, 100, 20000, 43);
  guint same = 0;
  for (guint i = 0; i < 50; i++) {
    guint64 wait_ms = backoff_next_ms(&a);
    fast_assert(wait_ms == backoff_next_ms(&b));
    same += wait_ms == backoff_next_ms(&c);
  }
  /* Neighbours do not wait in step: seeds are often counted up. */
  fast_assert(same < 10);
}
END_TEST

START_TEST(extreme_values_do_not_overflow)
{
  Backoff backoff;
  backoff_init(&backoff, 3, G_MAXINT64, 5);
  for (guint i = 0; i < 200; i++)
    ck_assert_uint_le(backoff_next_ms(&backoff), G_MAXINT64);
  ck_assert_uint_ge(backoff_next_ms(&backoff), G_MAXINT64 / 2);
  backoff.failures = G_MAXUINT;
  ck_assert_uint_ge(backoff_next_ms(&backoff), G_MAXINT64 / 2);
  ck_assert_uint_eq(backoff.failures, G_MAXUINT);

  backoff_init(&backoff, 0, 0, 5);
  ck_assert_uint_eq(backoff_next_ms(&backoff), 0);
  backoff_init(&backoff, 1, 1, 5);
  ck_assert_uint_le(backoff_next_ms(&backoff), 1);
  backoff_init(&backoff, 500, 100, 5); /* the greatest wait counts */
  ck_assert_uint_le(backoff_next_ms(&backoff), 100);
}
END_TEST

START_TEST(takes_new_bounds_while_failing)
{
  Backoff backoff;
  backoff_init(&backoff, 100, 20000, 9);
  for (guint i = 0; i < 12; i++)
    backoff_next_ms(&backoff);
  backoff.basic_wait_ms = 10;
  backoff.max_wait_ms = 50;
  ck_assert_uint_le(backoff_next_ms(&backoff), 50);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      inv8_each_wait_is_within_its_bounds, draws_the_whole_range_evenly,
      inv8_success_begins_again,           same_seed_same_waits,
      extreme_values_do_not_overflow,      takes_new_bounds_while_failing};
  return RUN_SUITE("backoff", tests);
}
