/* A node whose disk was restored from an old copy: forks are found and never applied over (P4). */
#include "support/fake_cluster.c"

#include "engine/group_private.h"
#include "support/suite.h"

enum { LONG_US = 20 * G_USEC_PER_SEC, COPIED = 50, REPLICATED = 100 };

static void write_many(FakeCluster *cluster, guint node, guint count, AckLevel ack)
{
  for (guint i = 0; i < count; i++)
    fake_write(cluster, node, ack, ack == ACK_LOCAL ? 0 : LONG_US);
}

/*
 * Node 1 wrote REPLICATED entries, which all have, is put back to COPIED of them, and then writes
 * `rewritten` others while nobody hears it.
 */
static FakeCluster *cut_off(guint rewritten, AckLevel ack, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(3, seed);
  fake_start_all(cluster);
  write_many(cluster, 1, REPLICATED, ACK_LOCAL);
  fake_run_until_equal(cluster, LONG_US);
  LogId log = fake_own_log(cluster, 1);
  fake_kill(cluster, 1);
  FakeNode *node = fake_node(cluster, 1);
  g_ptr_array_set_size(fake_find_log(cluster, 1, log)->records, COPIED);
  fake_find_log(cluster, 1, log)->durable = COPIED;
  FakeApplied *applied = fake_find_applied(cluster, 1, log);
  *applied = (FakeApplied){.id = log};
  node->forked = log;
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  fake_start(cluster, 1, FALSE);
  write_many(cluster, 1, rewritten, ack);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_durable(cluster, 1, log), COPIED + rewritten);
  return cluster;
}

/* … and is heard again. */
static FakeCluster *restored(guint rewritten, AckLevel ack, guint32 seed)
{
  FakeCluster *cluster = cut_off(rewritten, ack, seed);
  fake_heal(cluster);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  return cluster;
}

static void check_outcome(FakeCluster *cluster, guint rewritten)
{
  LogId log = fake_node(cluster, 1)->forked;
  /* What was restored is a log of its own from now on, which all take. */
  ck_assert_uint_gt(fake_own_log(cluster, 1).incarnation, log.incarnation);
  write_many(cluster, 1, 30, ACK_LOCAL);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  for (guint node = 2; node <= 3; node++) {
    ck_assert_uint_eq(fake_applied(cluster, node, fake_own_log(cluster, 1)), 30);
    ck_assert_uint_eq(fake_applied(cluster, node, log), REPLICATED);
  }
  ck_assert_uint_eq(fake_applied(cluster, 1, log), COPIED + rewritten);
}

static gboolean is_told_forked(FakeCluster *cluster, guint node, LogId log)
{
  g_autoptr(NodeStatus) status = fake_status(cluster, node);
  return g_str_equal(fake_log_status(status, log)->state, "forked");
}

START_TEST(a_fork_that_is_longer_than_the_original)
{
  g_autoptr(FakeCluster) cluster = restored(REPLICATED - COPIED + 17, ACK_LOCAL, 1);
  check_outcome(cluster, REPLICATED - COPIED + 17);
  ck_assert(is_told_forked(cluster, 1, fake_node(cluster, 1)->forked));
  ck_assert(strstr(fake_node(cluster, 1)->notes->str, "a fork") != NULL);
}
END_TEST

START_TEST(a_fork_of_the_same_length)
{
  g_autoptr(FakeCluster) cluster = restored(REPLICATED - COPIED, ACK_LOCAL, 2);
  check_outcome(cluster, REPLICATED - COPIED);
}
END_TEST

START_TEST(a_fork_that_is_shorter_than_the_original)
{
  g_autoptr(FakeCluster) cluster = restored(20, ACK_LOCAL, 3);
  check_outcome(cluster, 20);
  LogId log = fake_node(cluster, 1)->forked;
  ck_assert(is_told_forked(cluster, 2, log) || is_told_forked(cluster, 3, log));
}
END_TEST

START_TEST(a_copy_that_wrote_nothing_gets_its_rest_back)
{
  g_autoptr(FakeCluster) cluster = restored(0, ACK_LOCAL, 4);
  LogId log = fake_node(cluster, 1)->forked;
  ck_assert_uint_gt(fake_own_log(cluster, 1).incarnation, log.incarnation);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), REPLICATED);
}
END_TEST

/* What peers have at the indices of a fork is no majority for it. Writes that wait are answered
 * when their log ends, and the indices of the next log, which begin at 1 again, can be waited for.
 */
static void check_waiting(guint rewritten, guint32 seed)
{
  g_autoptr(FakeCluster) cluster = restored(rewritten, ACK_MAJORITY, seed);
  for (guint i = REPLICATED; i < cluster->writes->len; i++) {
    const FakeWrite *waited = cluster->writes->pdata[i];
    ck_assert(waited->answered);
    ck_assert_int_eq(waited->status, SYNCLOG_PENDING);
  }
  FakeWrite *write = fake_write(cluster, 1, ACK_MAJORITY, LONG_US);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert(write->answered);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert_uint_eq(write->token.index, 1);
}

START_TEST(writes_that_wait_for_a_majority_in_a_short_fork)
{
  check_waiting(20, 5);
}
END_TEST

START_TEST(writes_that_wait_for_a_majority_in_a_long_fork)
{
  check_waiting(REPLICATED - COPIED + 17, 6);
}
END_TEST

/* Where the logs can't be compared for now, nothing is put on top of the fork meanwhile. */
START_TEST(without_descriptors_nothing_is_sent)
{
  guint rewritten = REPLICATED - COPIED + 17;
  g_autoptr(FakeCluster) cluster = cut_off(rewritten, ACK_LOCAL, 7);
  LogId log = fake_node(cluster, 1)->forked;
  for (guint node = 1; node <= 3; node++)
    fake_node(cluster, node)->no_descriptors = TRUE;
  fake_heal(cluster);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  for (guint node = 2; node <= 3; node++)
    ck_assert_uint_eq(fake_written(cluster, node, log), REPLICATED);
  for (guint node = 1; node <= 3; node++)
    fake_node(cluster, node)->no_descriptors = FALSE;
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  check_outcome(cluster, rewritten);
  ck_assert(is_told_forked(cluster, 1, log));
}
END_TEST

/* Two nodes that have 20 entries of the first one. */
static FakeCluster *pair(guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(2, seed);
  fake_start_all(cluster);
  write_many(cluster, 1, 20, ACK_LOCAL);
  fake_run_until_equal(cluster, LONG_US);
  return cluster;
}

/* What was read for a channel before, where the peer had told a digest at another index. */
START_TEST(an_answer_on_another_index_counts_for_nothing)
{
  g_autoptr(FakeCluster) cluster = pair(8);
  LogId log = fake_own_log(cluster, 1);
  FakeNode *node = fake_node(cluster, 1);
  fake_reset_channel(cluster, 1, 2);
  write_many(cluster, 1, 20, ACK_LOCAL);
  gboolean asked = FALSE;
  for (guint i = 0; i < 20000 && fake_written(cluster, 2, log) < 40; i++) {
    const Peer *peer = group_find_peer(node->group, 2);
    for (guint k = 0; k < peer->senders->len; k++) {
      const Sender *sender = peer->senders->pdata[k];
      if (sender->digest != DIGEST_CHECKING)
        continue;
      asked = TRUE;
      group_on_digest(node->group, 2, log, sender->digest_index - 1, DIGEST_KNOWN,
                      sender->digest_value + 1, cluster->now_us);
    }
    fake_run_for(cluster, 100);
  }
  ck_assert(asked);
  ck_assert_uint_eq(fake_written(cluster, 2, log), 40);
  ck_assert(!is_told_forked(cluster, 1, log));
}
END_TEST

/* --- mirrors that begin in the middle -----------------------------------------------------------
 */

enum { BEGUN = 100, MIRRORED = 150, PUT_BACK = 120 };

/*
 * Node 2 loses its WAL, not its store, which has BEGUN entries of node 1's log: the mirror begins
 * behind them, and is at MIRRORED when node 1 is put back to PUT_BACK of its entries.
 */
static FakeCluster *mirror_begun_in_the_middle(gboolean told, gboolean first_idle, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(2, seed);
  fake_node(cluster, 1)->tells_no_digest = !told;
  fake_start_all(cluster);
  write_many(cluster, 1, BEGUN, ACK_LOCAL);
  fake_run_until_equal(cluster, LONG_US);
  LogId log = fake_own_log(cluster, 1);
  fake_persist(cluster, 2);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  g_ptr_array_set_size(mirror->records, 0);
  mirror->base = mirror->durable = 0;
  fake_start(cluster, 2, FALSE);
  if (first_idle) /* it is there and up to date before there is something to send */
    fake_run_for(cluster, G_USEC_PER_SEC);
  write_many(cluster, 1, MIRRORED - BEGUN, ACK_LOCAL);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(mirror->begun_index, BEGUN);
  ck_assert_int_eq(mirror->begun_digest != 0, told);
  fake_kill(cluster, 1);
  g_ptr_array_set_size(fake_find_log(cluster, 1, log)->records, PUT_BACK);
  fake_find_log(cluster, 1, log)->durable = PUT_BACK;
  *fake_find_applied(cluster, 1, log) = (FakeApplied){.id = log};
  fake_node(cluster, 1)->forked = log;
  fake_partition(cluster, 1U << 1, 1U << 2);
  fake_start(cluster, 1, FALSE);
  return cluster;
}

START_TEST(a_fork_is_found_in_a_mirror_that_began_in_the_middle)
{
  for (guint i = 0; i < 4; i++) {
    guint more = i & 1;
    g_autoptr(FakeCluster) cluster = mirror_begun_in_the_middle(TRUE, i >= 2, 20 + i);
    LogId log = fake_node(cluster, 1)->forked;
    write_many(cluster, 1, MIRRORED - PUT_BACK + more, ACK_LOCAL);
    fake_run_for(cluster, G_USEC_PER_SEC);
    fake_heal(cluster);
    fake_run_for(cluster, 10 * G_USEC_PER_SEC);
    ck_assert(is_told_forked(cluster, 1, log));
    ck_assert_uint_gt(fake_own_log(cluster, 1).incarnation, log.incarnation);
    ck_assert_uint_eq(fake_written(cluster, 2, log), MIRRORED);
    write_many(cluster, 1, 5, ACK_LOCAL);
    fake_run_for(cluster, 2 * G_USEC_PER_SEC);
    ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 5);
  }
}
END_TEST

/* Nodes of former versions tell none: all goes on as it did. */
START_TEST(without_a_digest_to_begin_with_nothing_is_compared)
{
  g_autoptr(FakeCluster) cluster = mirror_begun_in_the_middle(FALSE, FALSE, 22);
  LogId log = fake_node(cluster, 1)->forked;
  write_many(cluster, 1, MIRRORED - PUT_BACK, ACK_LOCAL);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_heal(cluster);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  ck_assert(!is_told_forked(cluster, 1, log));
}
END_TEST

/* A peer that tells a wrong one makes a fork be told, where there is none; nothing is lost. */
START_TEST(a_wrong_digest_to_begin_with_is_a_fork_at_worst)
{
  g_autoptr(FakeCluster) cluster = pair(23);
  LogId log = fake_own_log(cluster, 1);
  fake_persist(cluster, 2);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  g_ptr_array_set_size(mirror->records, 0);
  mirror->base = mirror->durable = 0;
  fake_partition(cluster, 1U << 1, 1U << 2);
  fake_start(cluster, 2, FALSE);
  write_many(cluster, 1, 2, ACK_LOCAL);
  fake_run_for(cluster, G_USEC_PER_SEC);
  EntryRun *run = fake_true_run(cluster, log, 21, 22);
  entry_run_set_chain_before(run, 4711);
  fake_inject(cluster, 2, log, 21, run, NULL, TRUE);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(mirror->begun_digest, 4711);
  fake_heal(cluster);
  write_many(cluster, 1, 8, ACK_LOCAL);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  ck_assert(is_told_forked(cluster, 1, log));
  for (guint node = 1; node <= 2; node++)
    ck_assert_uint_ge(fake_applied(cluster, node, log), 22);
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, LONG_US);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_int_eq(write->status, SYNCLOG_OK); /* in a new log */
}
END_TEST

/* While descriptors are short it is not sent without. */
START_TEST(the_digest_to_begin_with_is_waited_for)
{
  g_autoptr(FakeCluster) cluster = pair(24);
  LogId log = fake_own_log(cluster, 1);
  fake_persist(cluster, 2);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  g_ptr_array_set_size(mirror->records, 0);
  mirror->base = mirror->durable = 0;
  fake_node(cluster, 1)->no_descriptors = TRUE;
  fake_start(cluster, 2, FALSE);
  write_many(cluster, 1, 5, ACK_LOCAL);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_written(cluster, 2, log), 20);
  fake_node(cluster, 1)->no_descriptors = FALSE;
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_written(cluster, 2, log), 25);
  ck_assert_uint_ne(mirror->begun_digest, 0);
}
END_TEST

/* A fork stays one, also where parts of the log are gone at others. */
START_TEST(a_fork_is_not_taken_for_a_hole)
{
  g_autoptr(FakeCluster) cluster = pair(9);
  LogId log = fake_own_log(cluster, 1);
  Group *group = fake_node(cluster, 2)->group;
  log_set_state(group, group_find_log(group, log), LOG_FORKED, "a fork");
  for (guint i = 0; i < 1000; i++) {
    LogProgress *theirs = progress_put(group_find_peer(group, 1)->progress, log);
    theirs->durable = 200;
    theirs->first_available = 150;
    fake_run_for(cluster, 10000);
  }
  ck_assert(is_told_forked(cluster, 2, log));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_fork_that_is_longer_than_the_original,
                                a_fork_of_the_same_length,
                                a_fork_that_is_shorter_than_the_original,
                                a_copy_that_wrote_nothing_gets_its_rest_back,
                                writes_that_wait_for_a_majority_in_a_short_fork,
                                writes_that_wait_for_a_majority_in_a_long_fork,
                                without_descriptors_nothing_is_sent,
                                an_answer_on_another_index_counts_for_nothing,
                                a_fork_is_found_in_a_mirror_that_began_in_the_middle,
                                without_a_digest_to_begin_with_nothing_is_compared,
                                a_wrong_digest_to_begin_with_is_a_fork_at_worst,
                                the_digest_to_begin_with_is_waited_for,
                                a_fork_is_not_taken_for_a_hole};
  return RUN_SUITE("group_fork", tests);
}
