#include "core/membership.h"

#include "base/limits.h"

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
    ck_assert_uint_eq(((const Member *)membership->members->pdata[i])->id, expected[i]);
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

static Membership *founders(guint32 self)
{
  guint32 peers[2];
  guint count = 0;
  for (guint32 node = 1; node <= 3; node++)
    if (node != self)
      peers[count++] = node;
  return members(self, peers, count);
}

START_TEST(there_is_no_record_before_the_first_change)
{
  g_autoptr(Membership) membership = founders(1);
  ck_assert_ptr_null(membership_record(membership));
  ck_assert_uint_eq(membership_version(membership), 0);
  ck_assert(membership_raise(membership, 4, MEMBER_JOINING, "four:1"));
  g_autoptr(GPtrArray) record = membership_record(membership);
  ck_assert_uint_eq(record->len, 4);
  for (guint32 node = 1; node <= 4; node++)
    ck_assert_int_eq(member_list_find(record, node)->state,
                     node == 4 ? MEMBER_JOINING : MEMBER_ACTIVE);
  ck_assert_str_eq(member_list_find(record, 4)->address, "four:1");
  ck_assert_uint_eq(membership_version(membership), 3 * MEMBER_ACTIVE + MEMBER_JOINING);
}
END_TEST

/* What each state counts for: the table of membership.h. */
START_TEST(states_count_for_what_the_table_says)
{
  static const struct {
    MemberState state;
    gboolean counts, retains, stamps, gone;
  } table[] = {
      {MEMBER_JOINING, FALSE, TRUE, FALSE, FALSE}, {MEMBER_ENTERING, TRUE, TRUE, TRUE, FALSE},
      {MEMBER_ACTIVE, TRUE, TRUE, TRUE, FALSE},    {MEMBER_REMOVING, FALSE, FALSE, TRUE, FALSE},
      {MEMBER_REMOVED, FALSE, FALSE, FALSE, TRUE}, {MEMBER_LOST, FALSE, FALSE, FALSE, TRUE},
  };
  g_autoptr(Membership) membership = founders(1);
  for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
    ck_assert(membership_raise(membership, 4, table[i].state, NULL));
    ck_assert_int_eq(membership_counts(membership, 4), table[i].counts);
    ck_assert_int_eq(membership_retains(membership, 4), table[i].retains);
    ck_assert_int_eq(membership_stamps(membership, 4), table[i].stamps);
    ck_assert_int_eq(membership_is_gone(membership, 4), table[i].gone);
    ck_assert_uint_eq(membership_count(membership), 3 + table[i].counts);
    ck_assert_uint_eq(membership_majority(membership), table[i].counts ? 3 : 2);
  }
}
END_TEST

START_TEST(who_is_only_configured_counts_until_there_is_a_record)
{
  g_autoptr(GArray) listed = g_array_new(FALSE, FALSE, sizeof(guint32));
  const guint32 nodes[] = {1, 5};
  g_array_append_vals(listed, nodes, G_N_ELEMENTS(nodes));
  g_autoptr(Membership) newcomer = membership_new_joining(4, listed);
  ck_assert(membership_has(newcomer, 5));
  ck_assert(membership_retains(newcomer, 5));
  ck_assert(membership_stamps(newcomer, 5));
  g_autoptr(Membership) founder = founders(1);
  membership_raise(founder, 4, MEMBER_JOINING, "four:1");
  g_autoptr(GPtrArray) record = membership_record(founder);
  ck_assert(membership_merge(newcomer, record));
  ck_assert(membership_has(newcomer, 1));
  ck_assert(!membership_has(newcomer, 5));
  ck_assert(!membership_retains(newcomer, 5));
  ck_assert(!membership_stamps(newcomer, 5));
  membership_raise(newcomer, 5, MEMBER_JOINING, "five:1");
  ck_assert(membership_has(newcomer, 5));
  ck_assert(membership_retains(newcomer, 5));
}
END_TEST

START_TEST(a_state_never_goes_back)
{
  g_autoptr(Membership) membership = founders(1);
  membership_raise(membership, 3, MEMBER_REMOVED, NULL);
  ck_assert(!membership_raise(membership, 3, MEMBER_ACTIVE, "three:1"));
  g_autoptr(Membership) behind = founders(2);
  membership_raise(behind, 3, MEMBER_REMOVING, NULL);
  g_autoptr(GPtrArray) old = membership_record(behind);
  ck_assert(!membership_merge(membership, old));
  ck_assert_int_eq(membership_state(membership, 3), MEMBER_REMOVED);
  ck_assert_ptr_null(membership_address(membership, 3));
}
END_TEST

/* Random changes at three nodes, told in random order: all come to the same record. */
static void merge_in_random_order(guint32 seed)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  Membership *nodes[3] = {founders(1), founders(2), founders(3)};
  for (guint step = 0; step < 200; step++) {
    guint at = (guint)g_rand_int_range(rand, 0, 3);
    if (g_rand_int_range(rand, 0, 3) > 0) {
      guint64 before = membership_version(nodes[at]);
      g_autofree char *address = g_strdup_printf("host-%d:1", g_rand_int_range(rand, 0, 3));
      membership_raise(nodes[at], (guint32)g_rand_int_range(rand, 1, 12),
                       (MemberState)g_rand_int_range(rand, MEMBER_JOINING, MEMBER_LOST + 1),
                       address);
      ck_assert_uint_ge(membership_version(nodes[at]), before);
    } else {
      g_autoptr(GPtrArray) record = membership_record(nodes[at]);
      if (record != NULL)
        membership_merge(nodes[g_rand_int_range(rand, 0, 3)], record);
    }
  }
  for (guint round = 0; round < 6; round++) {
    g_autoptr(GPtrArray) record = membership_record(nodes[round % 3]);
    for (guint i = 0; record != NULL && i < 3; i++)
      membership_merge(nodes[i], record);
  }
  for (guint i = 1; i < 3; i++) {
    ck_assert_uint_eq(membership_version(nodes[i]), membership_version(nodes[0]));
    ck_assert_uint_eq(nodes[i]->members->len, nodes[0]->members->len);
    for (guint k = 0; k < nodes[0]->members->len; k++) {
      const Member *one = nodes[0]->members->pdata[k], *other = nodes[i]->members->pdata[k];
      ck_assert_uint_eq(one->id, other->id);
      ck_assert_int_eq(one->state, other->state);
      ck_assert_str_eq(one->address != NULL ? one->address : "-",
                       other->address != NULL ? other->address : "-");
    }
  }
  for (guint i = 0; i < 3; i++)
    membership_free(nodes[i]);
}

START_TEST(records_merge_in_any_order)
{
  for (guint32 seed = 0; seed < 100; seed++)
    merge_in_random_order(seed);
}
END_TEST

/* Two operators remove the last two from each other's side. */
START_TEST(the_last_active_member_stays)
{
  const guint32 peer = 2;
  g_autoptr(Membership) membership = members(1, &peer, 1);
  membership_raise(membership, 1, MEMBER_REMOVING, NULL);
  membership_raise(membership, 2, MEMBER_REMOVING, NULL);
  ck_assert_int_eq(membership_state(membership, 1), MEMBER_ACTIVE);
  ck_assert_int_eq(membership_state(membership, 2), MEMBER_REMOVING);
  ck_assert_uint_eq(membership_count(membership), 1);
  membership_raise(membership, 3, MEMBER_ACTIVE, "three:1");
  ck_assert_int_eq(membership_state(membership, 1), MEMBER_REMOVING);
}
END_TEST

START_TEST(a_joining_node_tells_nothing_of_what_it_was_configured)
{
  const guint32 seeds[] = {1, 9};
  g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_vals(list, seeds, 2);
  g_autoptr(Membership) membership = membership_new_joining(4, list);
  ck_assert(membership_has(membership, 9));
  ck_assert_uint_eq(membership_count(membership), 0);
  g_autoptr(Membership) other = founders(1);
  membership_raise(other, 4, MEMBER_JOINING, "four:1");
  g_autoptr(GPtrArray) told = membership_record(other);
  ck_assert(membership_merge(membership, told));
  g_autoptr(GPtrArray) record = membership_record(membership);
  ck_assert_uint_eq(record->len, 4);
  ck_assert_ptr_null(member_list_find(record, 9));
  g_autoptr(Membership) again = membership_new_kept(4, record);
  ck_assert_int_eq(membership_state(again, 4), MEMBER_JOINING);
  ck_assert_uint_eq(membership_count(again), 3);
}
END_TEST

START_TEST(the_record_is_bounded)
{
  g_autoptr(Membership) membership = founders(1);
  for (guint32 node = 4; node < LIMIT_KNOWN_MEMBERS + 10; node++)
    membership_raise(membership, node, MEMBER_REMOVED, NULL);
  ck_assert_uint_eq(membership->members->len, LIMIT_KNOWN_MEMBERS);
  ck_assert(!membership_has(membership, LIMIT_KNOWN_MEMBERS + 1));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {sorted_with_self,
                                knows_members_from_others,
                                majority_is_more_than_half,
                                there_is_no_record_before_the_first_change,
                                states_count_for_what_the_table_says,
                                who_is_only_configured_counts_until_there_is_a_record,
                                a_state_never_goes_back,
                                records_merge_in_any_order,
                                the_last_active_member_stays,
                                a_joining_node_tells_nothing_of_what_it_was_configured,
                                the_record_is_bounded};
  return RUN_SUITE("membership", tests);
}
