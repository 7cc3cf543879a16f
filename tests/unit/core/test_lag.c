#include "core/lag.h"
#include "support/suite.h"

enum { SECOND = 1000000 };

START_TEST(who_keeps_up_has_no_lag)
{
  LagWatch watch = {0};
  for (guint i = 1; i < 100; i++) {
    gint64 now = i * SECOND;
    lag_watch_update(&watch, i * 1000, i * 1000 - i % 2, now); /* now and then one is on its way */
    ck_assert_int_eq(lag_watch_lag_us(&watch, now), 0);
    ck_assert_int_eq(lag_watch_stuck_us(&watch, now), 0);
  }
}
END_TEST

START_TEST(who_confirms_nothing_is_stuck)
{
  LagWatch watch = {0};
  lag_watch_update(&watch, 10, 10, 1 * SECOND);
  for (guint i = 2; i < 60; i++) {
    lag_watch_update(&watch, 10 + i, 10, i * SECOND);
    ck_assert_int_eq(lag_watch_stuck_us(&watch, i * SECOND), (i - 2) * SECOND);
    ck_assert_int_eq(lag_watch_lag_us(&watch, i * SECOND), i < 3 ? 0 : (i - 2) * SECOND);
  }
  lag_watch_update(&watch, 70, 11, 60 * SECOND); /* a little */
  ck_assert_int_eq(lag_watch_stuck_us(&watch, 60 * SECOND), 0);
  ck_assert_int_eq(lag_watch_lag_us(&watch, 60 * SECOND), 58 * SECOND);
  lag_watch_update(&watch, 70, 70, 61 * SECOND);
  ck_assert_int_eq(lag_watch_lag_us(&watch, 90 * SECOND), 0);
  ck_assert_int_eq(lag_watch_stuck_us(&watch, 90 * SECOND), 0);
}
END_TEST

START_TEST(a_steady_lag_is_told)
{
  LagWatch watch = {0};
  for (guint i = 0; i < 100; i++) {
    gint64 now = i * SECOND;
    lag_watch_update(&watch, i * 100, i > 5 ? (i - 5) * 100 : 0, now); /* five seconds behind */
    ck_assert_int_le(lag_watch_lag_us(&watch, now), 6 * SECOND);
    if (i > 10)
      ck_assert_int_ge(lag_watch_lag_us(&watch, now), 4 * SECOND);
    ck_assert_int_le(lag_watch_stuck_us(&watch, now), 6 * SECOND);
  }
}
END_TEST

START_TEST(an_idle_hour_is_no_lag)
{
  LagWatch watch = {0};
  lag_watch_update(&watch, 5, 5, SECOND);
  lag_watch_update(&watch, 6, 5, 3600LL * SECOND);
  ck_assert_int_eq(lag_watch_lag_us(&watch, 3600LL * SECOND), 0);
  ck_assert_int_eq(lag_watch_stuck_us(&watch, 3600LL * SECOND), 0);
}
END_TEST

START_TEST(a_peer_that_lost_its_disk_is_behind_anew)
{
  LagWatch watch = {0};
  lag_watch_update(&watch, 100, 100, SECOND);
  lag_watch_update(&watch, 100, 0, 2 * SECOND);
  lag_watch_update(&watch, 100, 0, 12 * SECOND);
  ck_assert_int_eq(lag_watch_stuck_us(&watch, 12 * SECOND), 10 * SECOND);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {who_keeps_up_has_no_lag, who_confirms_nothing_is_stuck,
                                a_steady_lag_is_told, an_idle_hour_is_no_lag,
                                a_peer_that_lost_its_disk_is_behind_anew};
  return RUN_SUITE("lag", tests);
}
