#include "core/progress.h"

#include "support/suite.h"

START_TEST(find_in_nothing)
{
  g_autoptr(Progress) progress = progress_new();
  ck_assert_ptr_null(progress_find(progress, (LogId){1, 1}));
}
END_TEST

START_TEST(put_makes_once)
{
  g_autoptr(Progress) progress = progress_new();
  LogProgress *fresh = progress_put(progress, (LogId){3, 9});
  ck_assert_uint_eq(fresh->log.origin, 3);
  ck_assert_uint_eq(fresh->log.incarnation, 9);
  ck_assert_uint_eq(fresh->received, 0);
  ck_assert_uint_eq(fresh->durable, 0);
  ck_assert_uint_eq(fresh->applied, 0);
  ck_assert_uint_eq(fresh->first_available, 1);
  ck_assert_uint_eq(fresh->digest_index, 0);
  fresh->applied = 8;
  ck_assert_uint_eq(progress_put(progress, (LogId){3, 9})->applied, 8);
  ck_assert_uint_eq(progress->logs->len, 1);
}
END_TEST

START_TEST(inv4_stays_sorted_and_single)
{
  GRand *rand = g_rand_new_with_seed(11);
  g_autoptr(Progress) progress = progress_new();
  gboolean known[8][8] = {{FALSE}};
  for (guint i = 0; i < 500; i++) {
    LogId log = {(guint32)g_rand_int_range(rand, 0, 8), (guint64)g_rand_int_range(rand, 0, 8)};
    fast_assert((progress_find(progress, log) != NULL) == known[log.origin][log.incarnation]);
    if (i % 3 == 0) {
      progress_put(progress, log)->durable = log.origin * 100 + log.incarnation;
      known[log.origin][log.incarnation] = TRUE;
    }
    LogProgress *found = progress_find(progress, log);
    if (found != NULL)
      fast_assert(found->durable == log.origin * 100 + log.incarnation);
    for (guint k = 1; k < progress->logs->len; k++)
      fast_assert(log_id_compare(&g_array_index(progress->logs, LogProgress, k - 1).log,
                                 &g_array_index(progress->logs, LogProgress, k).log) < 0);
  }
  g_rand_free(rand);
}
END_TEST

START_TEST(copy_is_independent)
{
  g_autoptr(Progress) progress = progress_new();
  progress_put(progress, (LogId){1, 1})->applied = 5;
  g_autoptr(Progress) copy = progress_copy(progress);
  progress_put(progress, (LogId){1, 1})->applied = 6;
  progress_put(progress, (LogId){2, 1});
  ck_assert_uint_eq(copy->logs->len, 1);
  ck_assert_uint_eq(progress_find(copy, (LogId){1, 1})->applied, 5);
}
END_TEST

START_TEST(inv4_merge_never_goes_down)
{
  g_autoptr(Progress) progress = progress_new();
  *progress_put(progress, (LogId){1, 1}) = (LogProgress){
      .log = {1, 1}, .received = 10, .durable = 9, .applied = 8, .first_available = 3};
  g_autoptr(Progress) news = progress_new();
  *progress_put(news, (LogId){1, 1}) = (LogProgress){.log = {1, 1},
                                                     .received = 7,
                                                     .durable = 12,
                                                     .applied = 8,
                                                     .first_available = 5,
                                                     .applied_hlc = 99,
                                                     .digest = 1234,
                                                     .digest_index = 7};
  progress_put(news, (LogId){2, 1})->applied = 4;
  progress_merge(progress, news);
  const LogProgress *merged = progress_find(progress, (LogId){1, 1});
  ck_assert_uint_eq(merged->received, 10);
  ck_assert_uint_eq(merged->durable, 12);
  ck_assert_uint_eq(merged->applied, 8);
  ck_assert_uint_eq(merged->first_available, 5);
  ck_assert_uint_eq(merged->applied_hlc, 99);
  ck_assert_uint_eq(merged->digest_index, 7);
  ck_assert_uint_eq(merged->digest, 1234);
  ck_assert_uint_eq(progress_find(progress, (LogId){2, 1})->applied, 4);
  /* What the news does not mention stays. */
  g_autoptr(Progress) nothing = progress_new();
  progress_merge(progress, nothing);
  ck_assert_uint_eq(progress->logs->len, 2);
}
END_TEST

START_TEST(inv4_random_merges_agree_with_model)
{
  GRand *rand = g_rand_new_with_seed(12);
  g_autoptr(Progress) progress = progress_new();
  guint64 highest[4][4][3] = {{{0}}};
  for (guint i = 0; i < 2000; i++) {
    g_autoptr(Progress) news = progress_new();
    for (guint k = 0; k < 3; k++) {
      LogId log = {(guint32)g_rand_int_range(rand, 0, 4), (guint64)g_rand_int_range(rand, 0, 4)};
      LogProgress *one = progress_put(news, log);
      one->received = (guint64)g_rand_int_range(rand, 0, 1000);
      one->durable = (guint64)g_rand_int_range(rand, 0, 1000);
      one->applied = (guint64)g_rand_int_range(rand, 0, 1000);
    }
    for (guint k = 0; k < news->logs->len; k++) {
      const LogProgress *one = &g_array_index(news->logs, LogProgress, k);
      guint64 *model = highest[one->log.origin][one->log.incarnation];
      model[0] = MAX(model[0], one->received);
      model[1] = MAX(model[1], one->durable);
      model[2] = MAX(model[2], one->applied);
    }
    progress_merge(progress, news);
    for (guint k = 0; k < progress->logs->len; k++) {
      const LogProgress *one = &g_array_index(progress->logs, LogProgress, k);
      const guint64 *model = highest[one->log.origin][one->log.incarnation];
      fast_assert(one->received == model[0]);
      fast_assert(one->durable == model[1]);
      fast_assert(one->applied == model[2]);
    }
  }
  fast_assert(progress->logs->len == 16);
  g_rand_free(rand);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {find_in_nothing,
                                put_makes_once,
                                inv4_stays_sorted_and_single,
                                copy_is_independent,
                                inv4_merge_never_goes_down,
                                inv4_random_merges_agree_with_model};
  return RUN_SUITE("progress", tests);
}
