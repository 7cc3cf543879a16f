#include "core/retention.h"

#include "support/suite.h"

static const LogId LOG = {2, 77};

static Membership *three_members(void)
{
  const guint32 peers[] = {3, 1};
  g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_vals(list, peers, 2);
  return membership_new(2, list);
}

static Progress *durable_at(guint64 index)
{
  Progress *progress = progress_new();
  LogProgress *log = progress_put(progress, LOG);
  log->durable = index;
  log->received = index + 100; /* does not count */
  log->applied = index + 100;
  return progress;
}

START_TEST(inv6_smallest_of_store_and_members)
{
  g_autoptr(Membership) membership = three_members();
  g_autoptr(Progress) one = durable_at(40);
  g_autoptr(Progress) three = durable_at(60);
  const Progress *const known[] = {one, NULL, three}; /* of 1, 2 (self), 3 */
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, known), 40);
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 30, known), 30);
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 0, known), 0);
  const Progress *const other[] = {three, NULL, one};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, other), 40);
}
END_TEST

START_TEST(inv6_what_is_unknown_keeps_all)
{
  g_autoptr(Membership) membership = three_members();
  g_autoptr(Progress) one = durable_at(40);
  g_autoptr(Progress) nothing = progress_new();
  const Progress *const unknown[] = {one, NULL, NULL};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, unknown), 0);
  const Progress *const without_log[] = {nothing, NULL, one};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, without_log), 0);
  const LogId other_log = {2, 78};
  const Progress *const known[] = {one, NULL, one};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, known), 40);
  ck_assert_uint_eq(retention_safe_index(membership, other_log, 50, known), 0);
}
END_TEST

START_TEST(entry_of_self_is_ignored)
{
  g_autoptr(Membership) membership = three_members();
  g_autoptr(Progress) one = durable_at(40);
  g_autoptr(Progress) self = durable_at(5);
  const Progress *const known[] = {one, self, one};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, known), 40);
}
END_TEST

START_TEST(alone_the_store_decides)
{
  g_autoptr(GArray) nobody = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(Membership) membership = membership_new(2, nobody);
  const Progress *const known[] = {NULL};
  ck_assert_uint_eq(retention_safe_index(membership, LOG, 50, known), 50);
}
END_TEST

/* Beyond the limit of the WAL a majority is enough, self included. */
START_TEST(limit_wants_a_majority)
{
  g_autoptr(Membership) membership = three_members();
  g_autoptr(Progress) one = durable_at(40);
  g_autoptr(Progress) three = durable_at(60);
  const Progress *const known[] = {one, NULL, three};
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 50, known), 50);
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 45, known), 45);
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 90, known), 60);
  const Progress *const one_only[] = {one, NULL, NULL};
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 50, one_only), 40);
  /* What no other member has stays, whatever the limit says. */
  const Progress *const nobody[] = {NULL, NULL, NULL};
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 50, nobody), 0);
  /* Of two members both must have it; with one declared lost, one of three is no matter. */
  membership_raise(membership, 3, MEMBER_LOST, NULL);
  ck_assert_uint_eq(retention_limit_index(membership, LOG, 50, known), 40);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {limit_wants_a_majority, inv6_smallest_of_store_and_members,
                                inv6_what_is_unknown_keeps_all, entry_of_self_is_ignored,
                                alone_the_store_decides};
  return RUN_SUITE("retention", tests);
}
