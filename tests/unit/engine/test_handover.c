/* Handing on (P6): logs reach nodes that their origin does not reach. */
#include "support/fake_cluster.c"
#include "support/suite.h"

#include "engine/group_private.h"

enum { LONG_US = 20 * G_USEC_PER_SEC };

static FakeCluster *ready_cluster(guint count, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(count, seed);
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  return cluster;
}

static void write_many(FakeCluster *cluster, guint node, guint count)
{
  for (guint i = 0; i < count; i++)
    fake_write(cluster, node, ACK_LOCAL, 0);
}

static void cut_both_ways(FakeCluster *cluster, guint a, guint b)
{
  fake_cut(cluster, a, b, TRUE);
  fake_cut(cluster, b, a, TRUE);
}

/* Entries sent by nodes other than their origin. */
static FakeVerdict count_handed_on(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                                   SyncReply *reply)
{
  (void)to;
  (void)reply;
  if (batch->log.origin != from)
    *(guint64 *)ctx += batch->last_index - batch->first_index + 1;
  return FAKE_DELIVER;
}

static guint64 duplicates(FakeCluster *cluster, guint node)
{
  g_autoptr(NodeStatus) status = fake_status(cluster, node);
  return status->entries_duplicate;
}

START_TEST(a_dead_link_is_bypassed)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
  cut_both_ways(cluster, 1, 3);
  write_many(cluster, 1, 300);
  write_many(cluster, 3, 200);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, fake_own_log(cluster, 1)), 300);
  ck_assert_uint_eq(fake_applied(cluster, 1, fake_own_log(cluster, 3)), 200);
}
END_TEST

/* Once the way is known, entries take it without a further question. */
START_TEST(what_comes_later_takes_the_bypass_at_once)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 2);
  cut_both_ways(cluster, 1, 3);
  write_many(cluster, 1, 1);
  fake_run_until_equal(cluster, LONG_US);
  gint64 slowest_us = 0;
  for (guint i = 0; i < 20; i++) {
    fake_run_for(cluster, 137000);
    write_many(cluster, 1, 1);
    slowest_us = MAX(slowest_us, fake_run_until_equal(cluster, LONG_US));
  }
  /* Two hops with a sync on each, and no heartbeat (500 ms) between. */
  ck_assert_int_lt(slowest_us, 300000);
}
END_TEST

START_TEST(d08_one_survivor_has_what_a_lost_leader_wrote)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(4, 3);
  cut_both_ways(cluster, 1, 3);
  cut_both_ways(cluster, 1, 4);
  cut_both_ways(cluster, 2, 3);
  cut_both_ways(cluster, 2, 4);
  write_many(cluster, 1, 100);
  fake_run_for(cluster, 1000000);
  LogId lost = fake_own_log(cluster, 1);
  ck_assert_uint_eq(fake_durable(cluster, 2, lost), 100);
  ck_assert_uint_eq(fake_durable(cluster, 3, lost), 0);
  fake_kill(cluster, 1);
  fake_heal(cluster);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, lost), 100);
  ck_assert_uint_eq(fake_applied(cluster, 4, lost), 100);
}
END_TEST

START_TEST(entries_pass_along_a_line)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(5, 4);
  for (guint a = 1; a <= 5; a++)
    for (guint b = a + 2; b <= 5; b++)
      cut_both_ways(cluster, a, b);
  for (guint node = 1; node <= 5; node++)
    write_many(cluster, node, 50);
  fake_run_until_equal(cluster, 2 * LONG_US);
}
END_TEST

START_TEST(nothing_is_handed_on_while_all_links_work)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(4, 5);
  guint64 handed_on = 0;
  cluster->filter = count_handed_on;
  cluster->filter_ctx = &handed_on;
  for (guint round = 0; round < 30; round++) {
    for (guint node = 1; node <= 4; node++)
      write_many(cluster, node, 10);
    fake_run_for(cluster, 400000);
  }
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(handed_on, 0);
}
END_TEST

/* One node hands on, not each that could, and nothing twice. */
START_TEST(one_supplier_serves)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(6, 6);
  cut_both_ways(cluster, 1, 6);
  guint64 handed_on = 0;
  cluster->filter = count_handed_on;
  cluster->filter_ctx = &handed_on;
  for (guint round = 0; round < 20; round++) {
    write_many(cluster, 1, 20);
    fake_run_for(cluster, 300000);
  }
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(handed_on, 400);
  ck_assert_uint_eq(duplicates(cluster, 6), 0);
}
END_TEST

START_TEST(a_supplier_that_dies_is_replaced)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(4, 7);
  cut_both_ways(cluster, 1, 4);
  write_many(cluster, 1, 10);
  fake_run_until_equal(cluster, LONG_US);
  fake_kill(cluster, 2);
  write_many(cluster, 1, 10);
  fake_run_until_equal(cluster, LONG_US);
  fake_kill(cluster, 3);
  fake_start(cluster, 2, FALSE);
  write_many(cluster, 1, 10);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 4, fake_own_log(cluster, 1)), 30);
}
END_TEST

START_TEST(the_origin_takes_over_again)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 8);
  cut_both_ways(cluster, 1, 3);
  write_many(cluster, 1, 10);
  fake_run_until_equal(cluster, LONG_US);
  fake_heal(cluster);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  guint64 handed_on = 0;
  cluster->filter = count_handed_on;
  cluster->filter_ctx = &handed_on;
  write_many(cluster, 1, 100);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(handed_on, 0);
}
END_TEST

/* A log that its origin closed and lost: alive as it is, it can't send it. */
START_TEST(a_former_log_is_handed_on_though_its_origin_lives)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 9);
  cut_both_ways(cluster, 1, 3);
  cut_both_ways(cluster, 2, 3);
  write_many(cluster, 1, 40);
  fake_run_for(cluster, 1000000);
  LogId former = fake_own_log(cluster, 1);
  fake_kill(cluster, 1);
  g_ptr_array_set_size(cluster->nodes[1].logs, 0);
  g_array_set_size(cluster->nodes[1].store, 0);
  fake_start(cluster, 1, TRUE);
  /* Before node 2 gives it back, node 3 hears of it. */
  cut_both_ways(cluster, 1, 2);
  fake_cut(cluster, 2, 3, FALSE);
  fake_cut(cluster, 3, 2, FALSE);
  fake_cut(cluster, 1, 3, FALSE);
  fake_cut(cluster, 3, 1, FALSE);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, former), 40);
  ck_assert_uint_eq(fake_applied(cluster, 1, former), 40);
}
END_TEST

/* Node 1 is alone with node 2 while it writes, and loses what it could give from memory. */
static FakeCluster *one_lags(guint32 seed, guint lag)
{
  FakeCluster *cluster = ready_cluster(3, seed);
  write_many(cluster, 1, 100);
  fake_run_until_equal(cluster, LONG_US);
  for (guint node = 1; node < lag; node++)
    cut_both_ways(cluster, node, 3);
  if (lag == 2)
    cut_both_ways(cluster, 1, 2);
  write_many(cluster, 1, 200);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_kill(cluster, 1);
  fake_start(cluster, 1, FALSE);
  fake_node(cluster, 1)->damaged = fake_own_log(cluster, 1);
  fake_node(cluster, 1)->damaged_index = 101;
  group_on_unreadable(fake_node(cluster, 1)->group, fake_own_log(cluster, 1), 101, 250);
  return cluster;
}

/* The origin is heard, and can't read its own log: who has more is asked. */
START_TEST(p6_what_is_damaged_at_the_origin_comes_from_others)
{
  g_autoptr(FakeCluster) cluster = one_lags(10, 3);
  LogId log = fake_own_log(cluster, 1);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 300);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 100);
  guint64 handed_on = 0;
  cluster->filter = count_handed_on;
  cluster->filter_ctx = &handed_on;
  fake_heal(cluster);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 300);
  ck_assert_uint_ge(handed_on, 149); /* up to what the origin can read again */
  ck_assert(
      fake_says(fake_node(cluster, 1)->notes->str, "entry 101 can't be read from the WAL here"));
  write_many(cluster, 1, 10); /* and it goes on sending what is new */
  fake_run_until_equal(cluster, LONG_US);
}
END_TEST

/* A disk that fails may work again, without a restart. Nobody else has the entries. */
START_TEST(p6_what_can_be_read_again_is_sent_again)
{
  g_autoptr(FakeCluster) cluster = one_lags(12, 2);
  LogId log = fake_own_log(cluster, 1);
  fake_heal(cluster);
  fake_run_for(cluster, LONG_US);
  ck_assert_uint_lt(fake_applied(cluster, 3, log), 300);
  {
    g_autoptr(NodeStatus) status = fake_status(cluster, 1);
    const LogStatus *told = fake_log_status(status, log);
    ck_assert_str_eq(told->state, "unreadable");
    ck_assert(fake_says(told->message, "entry 101 can't be read"));
    ck_assert_uint_eq(told->progress.first_available, 250);
  }
  fake_node(cluster, 1)->damaged_index = 0;
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 300);
  ck_assert(!group_needs_seed(fake_node(cluster, 3)->group));
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  const LogStatus *told = fake_log_status(status, log);
  ck_assert_str_eq(told->state, "ok");
  ck_assert_ptr_null(told->message);
  ck_assert_uint_eq(told->progress.first_available, 1);
}
END_TEST

/* Runs until the node reads again what it could not read, and has no answer yet. */
static Log *until_probed(FakeCluster *cluster, guint32 node, LogId id)
{
  Log *log = group_find_log(fake_node(cluster, node)->group, id);
  for (guint steps = 0; log->probed == 0; steps++) {
    fast_assert(steps < LONG_US / 10);
    fake_run_for(cluster, 10);
  }
  return log;
}

/* A read that fails takes seconds on some disks: meanwhile a peer's read meets another bad part. */
START_TEST(p6_a_probe_that_is_overtaken_is_not_the_last_one)
{
  g_autoptr(FakeCluster) cluster = one_lags(13, 2);
  LogId id = fake_own_log(cluster, 1);
  fake_heal(cluster);
  const Log *log = until_probed(cluster, 1, id);
  group_on_unreadable(fake_node(cluster, 1)->group, id, 260, 280);
  fake_node(cluster, 1)->damaged_index = 0;
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, id), 300);
  ck_assert_uint_eq(log->unreadable, 0);
}
END_TEST

/* Its answer is for no feed, and the next damage is probed all the same. */
START_TEST(p6_a_probe_of_what_was_trimmed_is_not_the_last_one)
{
  g_autoptr(FakeCluster) cluster = one_lags(14, 2);
  LogId id = fake_own_log(cluster, 1);
  fake_heal(cluster);
  const Log *log = until_probed(cluster, 1, id);
  Group *group = fake_node(cluster, 1)->group;
  group_on_trimmed(group, id, 251, TRUE);
  ck_assert_uint_eq(log->unreadable, 0);
  group_on_unreadable(group, id, 260, 280);
  fake_run_for(cluster, LONG_US);
  ck_assert_uint_eq(log->first_available, 251);
  ck_assert_uint_eq(log->unreadable, 0);
}
END_TEST

/* Nobody else has it: its store has. */
START_TEST(p6_what_only_a_damaged_log_has_is_in_a_snapshot)
{
  g_autoptr(FakeCluster) cluster = one_lags(11, 2);
  LogId log = fake_own_log(cluster, 1);
  fake_heal(cluster);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  for (guint node = 2; node <= 3; node++) {
    ck_assert_uint_eq(fake_applied(cluster, node, log), 100);
    ck_assert(group_needs_seed(fake_node(cluster, node)->group));
    ck_assert_uint_eq(group_seeder(fake_node(cluster, node)->group, 0, NULL), 1);
  }
}
END_TEST

/* A write comes again at a node that sends the log to nobody: whoever holds the entry counts. */
START_TEST(p1_a_repeat_counts_those_who_got_the_log_elsewhere)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(4, 30);
  cut_both_ways(cluster, 1, 4);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_until_equal(cluster, LONG_US);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  /* Node 4 has it from node 2, or 3; one of them sends nothing. */
  for (guint node = 2; node <= 3; node++)
    ck_assert(group_is_acked(fake_node(cluster, node)->group, &write->token, ACK_ALL));
}
END_TEST

/* Everybody has another end of the log: it is compared up to what a peer told, and known then. */
START_TEST(p1_a_repeat_is_compared_while_the_log_grows)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 31);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_until_equal(cluster, LONG_US);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  write_many(cluster, 1, 10);
  while (fake_durable(cluster, 2, write->token.log) < 11)
    fake_run_for(cluster, 1000);
  Group *group = fake_node(cluster, 2)->group;
  ck_assert(!group_is_acked(group, &write->token, ACK_ALL));
  fake_run_for(cluster, 50000);
  ck_assert(group_is_acked(group, &write->token, ACK_ALL));
}
END_TEST

START_TEST(p1_a_repeat_does_not_count_a_fork)
{
  for (guint more = 0; more < 2; more++) {
    g_autoptr(FakeCluster) cluster = ready_cluster(3, 32);
    FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
    fake_run_until_equal(cluster, LONG_US);
    GPtrArray *records = fake_find_log(cluster, 3, write->token.log)->records;
    g_bytes_unref(records->pdata[0]);
    records->pdata[0] = g_bytes_new_static("another one", 11);
    fake_run_for(cluster, 2 * G_USEC_PER_SEC);
    Group *group = fake_node(cluster, 2)->group;
    write_many(cluster, 1, 10 * more);
    while (fake_durable(cluster, 2, write->token.log) < 1 + 10 * more)
      fake_run_for(cluster, 1000);
    for (guint i = 0; i < 4; i++) {
      ck_assert(!group_is_acked(group, &write->token, ACK_ALL));
      fake_run_for(cluster, 50000);
    }
  }
}
END_TEST

/* The origin sends nothing to a node that it hears: what that has counts once it was compared. */
START_TEST(p1_a_repeat_counts_at_the_origin_who_got_the_log_elsewhere)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 33);
  fake_start_all(cluster);
  Group *group = fake_node(cluster, 1)->group;
  ck_assert(group_pause(group, 3, TRUE, cluster->now_us, NULL));
  cut_both_ways(cluster, 1, 3);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert(!group_is_acked(group, &write->token, ACK_ALL));
  fake_heal(cluster);
  fake_run_for(cluster, LONG_US);
  ck_assert(group_is_acked(group, &write->token, ACK_ALL));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_dead_link_is_bypassed,
                                what_comes_later_takes_the_bypass_at_once,
                                d08_one_survivor_has_what_a_lost_leader_wrote,
                                entries_pass_along_a_line,
                                nothing_is_handed_on_while_all_links_work,
                                one_supplier_serves,
                                a_supplier_that_dies_is_replaced,
                                the_origin_takes_over_again,
                                a_former_log_is_handed_on_though_its_origin_lives,
                                p6_what_is_damaged_at_the_origin_comes_from_others,
                                p6_what_can_be_read_again_is_sent_again,
                                p6_a_probe_that_is_overtaken_is_not_the_last_one,
                                p6_a_probe_of_what_was_trimmed_is_not_the_last_one,
                                p6_what_only_a_damaged_log_has_is_in_a_snapshot,
                                p1_a_repeat_counts_those_who_got_the_log_elsewhere,
                                p1_a_repeat_is_compared_while_the_log_grows,
                                p1_a_repeat_does_not_count_a_fork,
                                p1_a_repeat_counts_at_the_origin_who_got_the_log_elsewhere};
  return RUN_SUITE("handover", tests);
}
