#include "core/membership.h"

#include "support/suite.h"

static Membership *members(guint32 self, const guint32 *peers, guint count)
{
  g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_vals(list, peers, count);
  return membership_new(self, list);
}

START_TEST(sorted_with_self)
{
  const guint32 peers[] = {65535, 1, 9};
  g_autoptr(Membership) membership = members(4, peers, 3);
  const guint32 expected[] = {1, 4, 9, 65535};
  ck_assert_uint_eq(membership->self, 4);
  ck_assert_uint_eq(membership_count(membership), 4);
  for (guint i = 0; i < 4; i++)
    ck_assert_uint_eq(g_array_index(membership->members, guint32, i), expected[i]);
}
END_TEST

START_TEST(knows_members_from_others)
{
  const guint32 peers[] = {7, 2};
  g_autoptr(Membership) membership = members(5, peers, 2);
  ck_assert(membership_has(membership, 2));
  ck_assert(membership_has(membership, 5));
  ck_assert(membership_has(membership, 7));
  ck_assert(!membership_has(membership, 0));
  ck_assert(!membership_has(membership, 3));
  ck_assert(!membership_has(membership, 8));
}
END_TEST

START_TEST(majority_is_more_than_half)
{
  guint32 peers[9];
  for (guint i = 0; i < G_N_ELEMENTS(peers); i++)
    peers[i] = i + 2;
  for (guint n = 0; n <= G_N_ELEMENTS(peers); n++) {
    g_autoptr(Membership) membership = members(1, peers, n);
    guint majority = membership_majority(membership);
    ck_assert_uint_gt(2 * majority, n + 1);
    ck_assert_uint_le(2 * (majority - 1), n + 1);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {sorted_with_self, knows_members_from_others,
                                majority_is_more_than_half};
  return RUN_SUITE("membership", tests);
}
