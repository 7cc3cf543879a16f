#include "node/replica_private.h"
#include "support/suite.h"

#include "core/hlc.h"

static gint64 zero(gpointer unused G_GNUC_UNUSED)
{
  return 0;
}

static const Clock STOPPED = {.mono_us = zero};

/* One that rests after a check, as of second 100. */
static Replica *resting(void)
{
  Replica *replica = g_new0(Replica, 1);
  g_mutex_init(&replica->mutex);
  replica->clock = &STOPPED;
  replica->checked_hlc = hlc_from_ms(100000);
  replica->check_ready_us = 1;
  return replica;
}

static void finish(Replica *replica)
{
  g_mutex_clear(&replica->mutex);
  g_free(replica);
}

/* Deletes that are carried out between two checks would leave no clock that can be compared. */
START_TEST(during_a_join_nothing_is_carried_out_beyond_the_last_check)
{
  Replica *replica = resting();
  guint64 now = hlc_from_ms(200000), checked = replica->checked_hlc;
  ck_assert_uint_eq(replica_check(replica, now, now, TRUE), checked);
  replica->check_ready_us = 0; /* it may check again, but the newcomer is no further */
  ck_assert_uint_eq(replica_check(replica, now, checked, TRUE), checked);
  ck_assert_uint_eq(replica_check(replica, hlc_from_ms(50000), checked, TRUE), hlc_from_ms(50000));
  finish(replica);
}
END_TEST

START_TEST(otherwise_all_up_to_the_horizon_is)
{
  Replica *replica = resting();
  guint64 now = hlc_from_ms(200000);
  ck_assert_uint_eq(replica_check(replica, now, now, FALSE), now);
  replica->options.check_interval_ms = 60000; /* the multiple before 100 s was checked already */
  ck_assert_uint_eq(replica_check(replica, now, hlc_from_ms(100001), FALSE), now);
  replica->options.check_interval_ms = 0;
  replica->checked_hlc = 0; /* nothing was ever checked */
  ck_assert_uint_eq(replica_check(replica, now, now, TRUE), now);
  finish(replica);
}
END_TEST

/* Of 16 groups no two are nearer to each other than a fortieth of the interval. */
START_TEST(groups_check_at_different_times)
{
  enum { INTERVAL = 600000, GROUPS = 16 };
  guint64 shifts[GROUPS];
  ck_assert_uint_eq(replica_check_cut(hlc_from_ms(INTERVAL * 5 + 17), INTERVAL, 0),
                    hlc_from_ms(INTERVAL * 5));
  ck_assert_uint_eq(replica_check_cut(hlc_from_ms(1), INTERVAL, 1), 0);
  for (guint32 group = 0; group < GROUPS; group++) {
    guint64 cut = replica_check_cut(hlc_from_ms(INTERVAL * 6 - 1), INTERVAL, group);
    /* Whoever looks within the same interval takes the same clock. */
    ck_assert_uint_eq(replica_check_cut(cut, INTERVAL, group), cut);
    ck_assert_uint_eq(replica_check_cut(cut + hlc_from_ms(INTERVAL) - 1, INTERVAL, group), cut);
    shifts[group] = hlc_ms(cut) % INTERVAL;
    for (guint32 other = 0; other < group; other++) {
      guint64 apart = shifts[group] > shifts[other] ? shifts[group] - shifts[other]
                                                    : shifts[other] - shifts[group];
      ck_assert_uint_gt(MIN(apart, INTERVAL - apart), INTERVAL / 40);
    }
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {during_a_join_nothing_is_carried_out_beyond_the_last_check,
                                otherwise_all_up_to_the_horizon_is,
                                groups_check_at_different_times};
  return RUN_SUITE("check", tests);
}
