#include "base/latency.h"
#include "base/steps.h"
#include "support/suite.h"

START_TEST(buckets_grow_without_a_hole)
{
  guint last = 0;
  for (guint64 us = 0; us < 1 << 22; us++) {
    guint bucket = latency_bucket(us);
    fast_assert(bucket == last || bucket == last + 1);
    last = bucket;
  }
  ck_assert_uint_eq(latency_bucket(3), 3);
  ck_assert_uint_eq(latency_bucket(4), 4);
  ck_assert_uint_eq(latency_bucket(8), 8);
  ck_assert_uint_eq(latency_bucket(G_MAXUINT64), LATENCY_BUCKETS - 1);
  ck_assert_uint_eq(latency_bucket((1ULL << 27) - 1), LATENCY_BUCKETS - 1);
}
END_TEST

START_TEST(each_octave_holds_what_is_in_it)
{
  Latency latency = {0};
  LatencyView view;
  latency_add(&latency, -5);
  latency_add_alone(&latency, 0);
  for (guint power = 0; power < 40; power++)
    for (guint k = 0; k < power; k++)
      latency_add(&latency, (gint64)1 << power);
  latency_view(&latency, &view);
  ck_assert_uint_eq(view.octaves[0], 2);
  for (guint i = 1; i < LATENCY_OCTAVES - 1; i++)
    ck_assert_uint_eq(view.octaves[i], i - 1); /* 2^(i-1) is not less than 2^(i-1) */
  ck_assert_uint_eq(view.count, 2 + 39 * 40 / 2);
}
END_TEST

START_TEST(quantiles_are_near)
{
  Latency latency = {0};
  LatencyView view;
  latency_view(&latency, &view);
  ck_assert_double_eq(latency_quantile(&view, 0.99), 0);
  for (guint us = 1; us <= 100000; us++)
    latency_add(&latency, us);
  latency_view(&latency, &view);
  ck_assert_uint_eq(view.sum_us, 100000ULL * 100001 / 2);
  for (guint percent = 1; percent < 100; percent++) {
    double got = latency_quantile(&view, percent / 100.0), right = percent * 1000.0;
    ck_assert_msg(got > right * 0.7 && got < right * 1.4, "%u %%: %f", percent, got);
  }
}
END_TEST

START_TEST(each_step_has_a_name)
{
  for (guint i = 0; i < STEPS; i++)
    ck_assert(step_name(i)[0] != '\0' && step_help(i)[0] != '\0');
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {buckets_grow_without_a_hole, each_octave_holds_what_is_in_it,
                                quantiles_are_near, each_step_has_a_name};
  return RUN_SUITE("latency", tests);
}
