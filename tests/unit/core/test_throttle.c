#include "core/throttle.h"

#include "support/suite.h"

START_TEST(slow_then_refused_then_taken_again)
{
  Throttle throttle = {0};
  static const struct {
    guint64 used;
    guint permille;
    gboolean refusing;
  } steps[] = {{0, 0, FALSE},        {80000, 0, FALSE},   {85000, 250, FALSE},
               {90000, 500, FALSE},  {99999, 999, FALSE}, {100000, 1000, FALSE},
               {100001, 1000, TRUE}, {95000, 750, TRUE},  {90000, 500, TRUE},
               {89999, 499, FALSE},  {95000, 750, FALSE}, {500000, 1000, TRUE},
               {0, 0, FALSE}};
  for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
    throttle_update(&throttle, steps[i].used, 100000);
    ck_assert_msg(throttle.permille == steps[i].permille && throttle.refusing == steps[i].refusing,
                  "step %u: %u %d", i, throttle.permille, throttle.refusing);
  }
  throttle_update(&throttle, 200000, 100000);
  throttle_update(&throttle, 200000, 0); /* no limit any more */
  ck_assert(!throttle.refusing && throttle.permille == 0);
}
END_TEST

START_TEST(a_disk_that_fills)
{
  Throttle throttle = {0};
  static const struct {
    guint64 free_bytes;
    guint permille;
    gboolean refusing;
  } steps[] = {{G_MAXUINT64, 0, FALSE}, {2000, 0, FALSE}, {1500, 500, FALSE}, {1000, 1000, FALSE},
               {999, 1000, TRUE},       {0, 1000, TRUE},  {1499, 501, TRUE},  {1500, 500, FALSE},
               {999, 1000, TRUE},       {5000, 0, FALSE}};
  for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
    throttle_update_free(&throttle, steps[i].free_bytes, 1000);
    ck_assert_msg(throttle.permille == steps[i].permille && throttle.refusing == steps[i].refusing,
                  "step %u: %u %d", i, throttle.permille, throttle.refusing);
  }
  throttle_update_free(&throttle, 0, 1000);
  throttle_update_free(&throttle, 0, 0);
  ck_assert(!throttle.refusing && throttle.permille == 0);
}
END_TEST

START_TEST(another_try_comes_later_and_later)
{
  gint32 before_ms = 0;
  for (gint64 refused_ms = 0; refused_ms < 100000; refused_ms += 500) {
    gint32 ms = throttle_retry_after_ms(refused_ms);
    ck_assert_int_ge(ms, MAX(before_ms, 1000));
    ck_assert_int_le(ms, 10000);
    before_ms = ms;
  }
  ck_assert_int_eq(throttle_retry_after_ms(0), 1000);
  ck_assert_int_eq(throttle_retry_after_ms(20000), 5000);
  ck_assert_int_eq(throttle_retry_after_ms(G_MAXINT64), 10000);
}
END_TEST

START_TEST(it_grows_without_steps)
{
  gint64 pause_us = -1;
  gsize size = G_MAXSIZE;
  for (guint permille = 0; permille <= 1000; permille++) {
    ck_assert_int_ge(throttle_pause_us(permille), pause_us);
    ck_assert_uint_le(throttle_commit_size(permille, 4 << 20), size);
    pause_us = throttle_pause_us(permille);
    size = throttle_commit_size(permille, 4 << 20);
  }
  ck_assert_int_eq(throttle_pause_us(0), 0);
  ck_assert_int_eq(pause_us, 100000);
  ck_assert_uint_eq(throttle_commit_size(0, 4 << 20), 4 << 20);
  ck_assert_uint_eq(size, 64 << 10);
  ck_assert_uint_eq(throttle_commit_size(1000, 1000), 1000);
}
END_TEST

/* What lasts for a day is no reason for a file each second. */
START_TEST(a_store_that_is_pressed_persists_less_and_less_often)
{
  Press press = {0};
  guint times = 0;
  gint64 now_us = 1000;
  for (guint second = 0; second < 24 * 3600; second++, now_us += G_USEC_PER_SEC) {
    gboolean due = press_is_due(&press, TRUE, FALSE, now_us);
    ck_assert(due || second != 0);
    times += due;
  }
  ck_assert_uint_ge(times, 24 * 3600 / 32);
  ck_assert_uint_le(times, 24 * 3600 / 32 + 10);
  ck_assert(press_is_due(&press, TRUE, TRUE, now_us)); /* a log would be shortened */
  ck_assert(!press_is_due(&press, TRUE, FALSE, now_us + 1));
  ck_assert(!press_is_due(&press, FALSE, TRUE, now_us + 2));
  ck_assert(press_is_due(&press, TRUE, FALSE, now_us + 3)); /* it begins anew */
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {slow_then_refused_then_taken_again, a_disk_that_fills,
                                another_try_comes_later_and_later, it_grows_without_steps,
                                a_store_that_is_pressed_persists_less_and_less_often};
  return RUN_SUITE("throttle", tests);
}
