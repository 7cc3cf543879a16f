/* Wrong clocks, the horizon, and members that are lost for good. */
#include "support/fake_cluster.c"
#include "support/suite.h"

#include "engine/group_private.h"

enum { LONG_US = 20 * G_USEC_PER_SEC };

static const gint64 CENTURY_MS = 100LL * 365 * 24 * 3600 * 1000;

static FakeCluster *ready_cluster(guint count, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(count, seed);
  fake_start_all(cluster);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  return cluster;
}

static SynclogStatus write_one(FakeCluster *cluster, guint node)
{
  FakeWrite *write = fake_write(cluster, node, ACK_LOCAL, 0);
  fake_run_for(cluster, 200000);
  return write->answered ? write->status : write->taken ? SYNCLOG_PENDING : SYNCLOG_INTERNAL;
}

static const char *state_of(NodeStatus *status, LogId log)
{
  return fake_log_status(status, log)->state;
}

/* --- clocks -------------------------------------------------------------------------------------
 */

START_TEST(a_node_far_ahead_takes_no_writes)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
  fake_node(cluster, 1)->wall_offset_ms = CENTURY_MS;
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  ck_assert_int_ne(write_one(cluster, 1), SYNCLOG_OK);
  ck_assert_int_eq(write_one(cluster, 2), SYNCLOG_OK);
  ck_assert_int_eq(write_one(cluster, 3), SYNCLOG_OK);
  ck_assert(strstr(fake_node(cluster, 1)->notes->str, "ahead of the other members'") != NULL);
  fake_run_until_equal(cluster, LONG_US);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_OK);
  fake_run_until_equal(cluster, LONG_US);
}
END_TEST

/* Whatever peers tell of their clocks, they are ahead and nothing overflows. */
START_TEST(p8_made_up_wall_clocks_are_far_ahead)
{
  static const guint64 told[] = {G_MAXINT64, G_MAXUINT64, (guint64)G_MAXINT64 + 1};
  for (guint i = 0; i < G_N_ELEMENTS(told); i++) {
    g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
    FakeNode *node = fake_node(cluster, 1);
    g_autoptr(Progress) news = progress_new();
    news->wall_ms = told[i];
    for (guint k = 0; k < node->group->peers->len; k++) {
      Peer *peer = node->group->peers->pdata[k];
      clocks_measure(node->group, peer, news, cluster->now_us - 1000, cluster->now_us);
      ck_assert_int_gt(peer->clock_offset_ms, CENTURY_MS);
    }
    guint64 wall_ms = fake_wall_ms(node) + 10000;
    clocks_tell(node->group, cluster->now_us, wall_ms);
    ck_assert_uint_gt(clocks_limit_hlc(node->group), hlc_from_ms(wall_ms));
    ck_assert(!node->group->clock_wrong);
  }
}
END_TEST

/* The clock was set just before the write: nothing is stamped with it. */
START_TEST(a_step_is_noticed_with_the_next_write)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 2);
  fake_node(cluster, 1)->wall_offset_ms = CENTURY_MS;
  ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_CLOCK_WRONG);
}
END_TEST

/* … and what is refused then does not hold up the sync of a mirror that is due: who did the log's
 * work would find nothing to do, and be told to come at once. */
START_TEST(p9_writes_that_are_refused_hold_up_no_sync)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 17);
  cluster->options.mirror_sync_interval_ms = 1000;
  fake_start_all(cluster);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  ck_assert_int_eq(write_one(cluster, 2), SYNCLOG_OK);
  LogId log = fake_own_log(cluster, 2);
  ck_assert_uint_eq(fake_written(cluster, 1, log), 1);
  FakeNode *node = fake_node(cluster, 1);
  fake_write(cluster, 1, ACK_LOCAL, 0);
  GroupWork work;
  ck_assert(group_take_work(node->group, cluster->now_us + G_USEC_PER_SEC,
                            fake_wall_ms(node) + (guint64)CENTURY_MS, GROUP_ALL_WORK, &work));
  ck_assert_uint_eq(work.writes->len, 0);
  ck_assert_uint_eq(work.mirrors->len, 1);
  ck_assert(g_array_index(work.mirrors, MirrorWork, 0).sync);
  group_work_clear(&work);
}
END_TEST

/* It started with a wrong clock and wrote before it heard of anybody. */
START_TEST(entries_far_ahead_wait_where_they_come)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 3);
  fake_node(cluster, 1)->wall_offset_ms = 100 * 1000; /* 40 s more than is believed */
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  fake_start_all(cluster);
  for (guint i = 0; i < 50; i++)
    ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_OK);
  LogId log = fake_own_log(cluster, 1);
  fake_heal(cluster);
  fake_run_for(cluster, 20 * G_USEC_PER_SEC);
  /* Kept, but neither applied nor followed. */
  ck_assert_uint_eq(fake_durable(cluster, 2, log), 50);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 0);
  {
    g_autoptr(NodeStatus) status = fake_status(cluster, 2);
    ck_assert_str_eq(state_of(status, log), "held");
    ck_assert_uint_lt(hlc_ms(status->hlc), fake_wall_ms(fake_node(cluster, 2)) + 1000);
  }
  ck_assert_int_ne(write_one(cluster, 1), SYNCLOG_OK);
  ck_assert_int_eq(write_one(cluster, 2), SYNCLOG_OK);
  /* A restart changes nothing of it. */
  fake_kill(cluster, 3);
  fake_start(cluster, 3, FALSE);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 0);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  {
    /* It takes writes again, and says what becomes of them. */
    g_autoptr(NodeStatus) status = fake_status(cluster, 1);
    ck_assert_str_eq(state_of(status, log), "held");
    ck_assert_ptr_nonnull(strstr(fake_log_status(status, log)->message, "when that time has come"));
  }
  fake_run_for(cluster, 57 * G_USEC_PER_SEC);
  ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_OK);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 51);
  {
    g_autoptr(NodeStatus) status = fake_status(cluster, 1);
    ck_assert_str_eq(state_of(status, log), "ok");
    ck_assert_ptr_null(fake_log_status(status, log)->message);
  }
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(state_of(status, log), "ok");
}
END_TEST

/* A node stamps above all that it stamped before, also in an incarnation before, and also what is
 * too far ahead to be believed of others: a write over its own would be lost, and a read after it
 * would show the old value. */
START_TEST(p3_stamps_grow_over_incarnations_with_an_earlier_time)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 6);
  fake_node(cluster, 1)->wall_offset_ms = 3600 * 1000;
  fake_partition(cluster, 1U << 1, 1U << 2);
  fake_start_all(cluster);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  FakeWrite *before = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 200000);
  ck_assert_int_eq(before->status, SYNCLOG_OK);
  ck_assert_uint_lt(fake_node(cluster, 1)->clock_bound, before->write.hlc);
  fake_kill(cluster, 1);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_start(cluster, 1, TRUE);
  FakeWrite *after = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 200000);
  ck_assert_int_eq(after->status, SYNCLOG_OK);
  ck_assert_uint_gt(after->write.hlc, before->write.hlc);
}
END_TEST

/* … but not to the end of all clocks, which only somebody else can have made up: it goes on. */
START_TEST(p8_a_made_up_clock_leaves_clocks_to_stamp_with)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 8);
  Group *group = fake_node(cluster, 1)->group;
  group_observe_log(group, group->own, G_MAXUINT64);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 200000);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert_uint_lt(write->write.hlc, RECORD_HLC_MAX); /* others take it, too */
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_durable(cluster, 2, fake_own_log(cluster, 1)), write->token.index);
}
END_TEST

/* … and of what it had lost, once others have given it back. */
START_TEST(p3_stamps_grow_over_what_comes_back)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 7);
  fake_start_all(cluster);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_OK);
  fake_run_until_equal(cluster, LONG_US);
  LogId former = fake_own_log(cluster, 1);
  fake_kill(cluster, 2);
  fake_kill(cluster, 1);
  fake_node(cluster, 1)->wall_offset_ms = 3600 * 1000;
  fake_start(cluster, 1, FALSE);
  FakeWrite *before = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 20000);
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC); /* it is at node 2, which does not apply it */
  ck_assert_uint_eq(fake_durable(cluster, 2, former), before->token.index);
  fake_kill(cluster, 1);
  FakeLog *log = fake_find_log(cluster, 1, former);
  g_ptr_array_set_size(log->records, 0);
  log->base = log->durable = 0;
  g_array_set_size(fake_node(cluster, 1)->store, 0);
  fake_node(cluster, 1)->clock_bound = 0;
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_start(cluster, 1, TRUE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 1, former), before->token.index);
  FakeWrite *after = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 200000);
  ck_assert_int_eq(after->status, SYNCLOG_OK);
  ck_assert_uint_gt(after->write.hlc, before->write.hlc);
}
END_TEST

/* What comes while others are read back from the WAL is neither lost nor applied before them. */
START_TEST(held_entries_are_caught_up_under_load)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 4);
  fake_node(cluster, 1)->wall_offset_ms = 62 * 1000;
  fake_partition(cluster, 1U << 1, 1U << 2);
  fake_start_all(cluster);
  for (guint i = 0; i < 500; i++)
    fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 500000);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_heal(cluster);
  for (guint i = 0; i < 3000; i++) {
    fake_write(cluster, 1, ACK_LOCAL, 0);
    fake_run_for(cluster, 2000);
  }
  ck_assert_uint_gt(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 3000);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 3500);
}
END_TEST

static guint64 held_bytes(FakeCluster *cluster, guint node)
{
  g_autoptr(NodeStatus) status = fake_status(cluster, node);
  for (guint i = 0; i < status->memory->len; i++)
    if (strcmp(g_array_index(status->memory, NamedCount, i).name, "held_entries") == 0)
      return g_array_index(status->memory, NamedCount, i).count;
  ck_abort_msg("no such memory");
}

/* Node 2 has entries of node 1 in memory that came while those before them are read back from the
 * WAL, as they had been held; they are written, and not synced. */
static FakeCluster *catching_up(guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(2, seed);
  cluster->options.mirror_sync_interval_ms = 600000;
  fake_node(cluster, 1)->wall_offset_ms = 62 * 1000;
  fake_partition(cluster, 1U << 1, 1U << 2);
  fake_start_all(cluster);
  for (guint i = 0; i < 5000; i++)
    fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 500000);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_heal(cluster);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_written(cluster, 2, fake_own_log(cluster, 1)), 5000);
  FakeNode *node = fake_node(cluster, 2);
  group_sync_mirrors(node->group);
  node->reads_fail = TRUE;
  for (guint i = 0; held_bytes(cluster, 2) == 0; i++) {
    ck_assert_uint_lt(i, 10000);
    fake_write(cluster, 1, ACK_LOCAL, 0);
    fake_run_for(cluster, 1000);
  }
  group_sync_mirrors(node->group); /* all that is to be read */
  fake_run_for(cluster, 100000);
  for (guint i = 0; i < 100; i++)
    fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 100000);
  ck_assert_uint_lt(fake_durable(cluster, 2, fake_own_log(cluster, 1)),
                    fake_written(cluster, 2, fake_own_log(cluster, 1)));
  return cluster;
}

/* P8, P3: what could not be synced is not applied later either, from memory, though it was written
 * before: the store could not be made durable any more. */
START_TEST(what_is_caught_up_ends_with_a_mirror_that_fails)
{
  g_autoptr(FakeCluster) cluster = catching_up(41);
  LogId log = fake_own_log(cluster, 1);
  FakeNode *node = fake_node(cluster, 2);
  node->sync_broken = TRUE;
  group_sync_mirrors(node->group);
  fake_run_for(cluster, 100000);
  node->reads_fail = FALSE;
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(state_of(status, log), "read-only");
  ck_assert_uint_gt(fake_written(cluster, 2, log), fake_durable(cluster, 2, log));
  ck_assert_uint_eq(fake_applied(cluster, 2, log), fake_durable(cluster, 2, log));
  ck_assert_uint_eq(held_bytes(cluster, 2), 0);
  ck_assert_ptr_null(group_why_unsyncable(node->group));
  node->sync_broken = FALSE;
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  group_sync_mirrors(node->group);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), fake_applied(cluster, 1, log));
}
END_TEST

/* P8: reads that fail, and work again, say nothing of a log that can't be written. */
START_TEST(a_read_does_not_hide_that_a_log_is_read_only)
{
  g_autoptr(FakeCluster) cluster = catching_up(42);
  FakeNode *node = fake_node(cluster, 2);
  node->sync_broken = TRUE;
  group_sync_mirrors(node->group);
  fake_run_for(cluster, 100000);
  g_string_set_size(node->notes, 0);
  for (guint i = 0; i < 10; i++) {
    node->reads_fail = i % 2 == 0;
    fake_run_for(cluster, G_USEC_PER_SEC);
    g_autoptr(NodeStatus) status = fake_status(cluster, 2);
    ck_assert_str_eq(state_of(status, fake_own_log(cluster, 1)), "read-only");
  }
  ck_assert_str_eq(node->notes->str, ""); /* and it was never called otherwise */
}
END_TEST

/* Two of three agree: it is the third one's clock that is wrong. */
START_TEST(a_node_far_behind_goes_on)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 5);
  fake_node(cluster, 3)->wall_offset_ms = -3600 * 1000;
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  for (guint node = 1; node <= 3; node++)
    ck_assert_int_eq(write_one(cluster, node), SYNCLOG_OK);
  fake_run_until_equal(cluster, LONG_US);
}
END_TEST

/* Never two of three are ahead, but node 3 has yet to measure the one that was set right. */
START_TEST(p3_a_clock_that_was_set_right_makes_no_majority)
{
  for (guint32 seed = 1; seed <= 20; seed++) {
    g_autoptr(FakeCluster) cluster = ready_cluster(3, seed);
    fake_node(cluster, 1)->wall_offset_ms = CENTURY_MS;
    fake_run_for(cluster, 5 * G_USEC_PER_SEC + seed * 50000);
    fake_node(cluster, 1)->wall_offset_ms = 0;
    fake_node(cluster, 2)->wall_offset_ms = CENTURY_MS;
    for (guint i = 0; i < 200; i++) {
      fake_write(cluster, 2, ACK_LOCAL, 0);
      fake_run_for(cluster, 20000);
    }
    LogId log = fake_own_log(cluster, 2);
    const Group *group = fake_node(cluster, 3)->group;
    ck_assert_uint_eq(fake_applied(cluster, 3, log), 0);
    ck_assert_uint_lt(hlc_ms(group->clock), fake_wall_ms(fake_node(cluster, 3)) + 60000);
    ck_assert_int_eq(write_one(cluster, 3), SYNCLOG_OK);
    fake_run_for(cluster, 2 * G_USEC_PER_SEC);
    ck_assert_uint_eq(fake_applied(cluster, 1, fake_own_log(cluster, 3)), 1);
  }
}
END_TEST

/* The same behind a start, when nothing was measured before. */
START_TEST(p3_the_first_look_at_a_clock_makes_no_majority)
{
  for (guint32 seed = 1; seed <= 20; seed++) {
    g_autoptr(FakeCluster) cluster = ready_cluster(3, seed);
    fake_node(cluster, 1)->wall_offset_ms = CENTURY_MS;
    fake_kill(cluster, 2);
    fake_kill(cluster, 3);
    fake_start(cluster, 3, FALSE);
    fake_run_for(cluster, 50000 + seed * 20000);
    fake_node(cluster, 1)->wall_offset_ms = 0;
    fake_node(cluster, 2)->wall_offset_ms = CENTURY_MS;
    fake_start(cluster, 2, FALSE);
    for (guint i = 0; i < 100; i++) {
      fake_write(cluster, 2, ACK_LOCAL, 0);
      fake_run_for(cluster, 20000);
    }
    ck_assert_uint_eq(fake_applied(cluster, 3, fake_own_log(cluster, 2)), 0);
    const FakeNode *node = fake_node(cluster, 3);
    ck_assert_uint_lt(hlc_ms(node->group->clock), fake_wall_ms(node) + 60000);
  }
}
END_TEST

/* … while a majority that is ahead is believed with the second heartbeat. */
START_TEST(two_of_three_that_go_ahead_are_followed)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 6);
  fake_node(cluster, 1)->wall_offset_ms = fake_node(cluster, 2)->wall_offset_ms = 3600 * 1000;
  fake_run_for(cluster, 4 * G_USEC_PER_SEC);
  for (guint node = 1; node <= 3; node++)
    ck_assert_int_eq(write_one(cluster, node), SYNCLOG_OK);
  fake_run_until_equal(cluster, LONG_US);
}
END_TEST

START_TEST(the_clock_grows_over_a_restart_with_an_earlier_time)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 6);
  FakeWrite *before = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  guint64 promised = fake_node(cluster, 1)->clock_bound;
  ck_assert_uint_gt(promised, before->write.hlc); /* it was told without a write */
  fake_kill(cluster, 1);
  fake_node(cluster, 1)->wall_offset_ms = -50 * 1000;
  fake_start(cluster, 1, FALSE);
  FakeWrite *after = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 500000);
  ck_assert_uint_gt(after->write.hlc, promised);
  fake_run_until_equal(cluster, LONG_US);
}
END_TEST

/* --- horizon ------------------------------------------------------------------------------------
 */

static guint64 horizon_age_ms(FakeCluster *cluster, guint node)
{
  return fake_wall_ms(fake_node(cluster, node)) -
         hlc_ms(group_horizon(fake_node(cluster, node)->group));
}

START_TEST(the_horizon_follows_the_clocks_of_idle_members)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 7);
  for (guint i = 0; i < 60; i++) {
    fake_write(cluster, 1, ACK_LOCAL, 0);
    fake_run_for(cluster, G_USEC_PER_SEC);
  }
  for (guint node = 1; node <= 3; node++)
    ck_assert_uint_lt(horizon_age_ms(cluster, node), 15 * 1000);
}
END_TEST

START_TEST(the_horizon_waits_for_a_member_that_is_away)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 8);
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  fake_kill(cluster, 3);
  fake_run_for(cluster, 60 * G_USEC_PER_SEC);
  ck_assert_uint_gt(horizon_age_ms(cluster, 1), 55 * 1000);
  fake_start(cluster, 3, FALSE);
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  ck_assert_uint_lt(horizon_age_ms(cluster, 1), 15 * 1000);
}
END_TEST

/* The log of an incarnation that ended holds the horizon back only until all have told of it. */
START_TEST(a_closed_log_lets_the_horizon_go)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 9);
  write_one(cluster, 3);
  fake_kill(cluster, 3);
  fake_start(cluster, 3, TRUE);
  write_one(cluster, 3);
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  for (guint node = 1; node <= 3; node++)
    ck_assert_uint_lt(horizon_age_ms(cluster, node), 15 * 1000);
}
END_TEST

/* What a failed commit stamped may be on the disk, and come back with the next start. */
START_TEST(nothing_is_promised_above_a_commit_that_failed)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 12);
  write_one(cluster, 1);
  fake_node(cluster, 1)->disk_broken = TRUE;
  FakeWrite *failed = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 60 * G_USEC_PER_SEC);
  ck_assert_int_eq(failed->status, SYNCLOG_READ_ONLY);
  for (guint node = 1; node <= 2; node++)
    ck_assert_uint_lt(group_horizon(fake_node(cluster, node)->group), failed->write.hlc);
}
END_TEST

/* The log may lose its end with the disk, and the clock be set back then. */
START_TEST(p3_nothing_is_promised_that_only_the_log_remembers)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 13);
  for (guint i = 0; i < 100; i++) {
    for (guint node = 1; node <= 2; node++) {
      ck_assert_int_eq(write_one(cluster, node), SYNCLOG_OK);
      g_autoptr(NodeStatus) status = fake_status(cluster, 3 - node);
      guint64 promised = fake_peer_status(status, node)->progress->promised_hlc;
      ck_assert_uint_gt(promised, 0);
      ck_assert_uint_le(promised, fake_node(cluster, node)->clock_bound);
      ck_assert_uint_le(group_horizon(fake_node(cluster, node)->group),
                        fake_node(cluster, node)->clock_bound);
    }
  }
}
END_TEST

/* … not by what is applied of it at a peer either, which keeps its own clock at other times. */
START_TEST(p3_no_horizon_is_above_what_the_origin_remembers)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 15);
  fake_start(cluster, 1, FALSE);
  fake_run_for(cluster, 4 * G_USEC_PER_SEC);
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  for (guint i = 0; i < 200; i++) {
    ck_assert_int_eq(write_one(cluster, 1), SYNCLOG_OK);
    ck_assert_uint_le(group_horizon(fake_node(cluster, 2)->group),
                      fake_node(cluster, 1)->clock_bound);
  }
  ck_assert_uint_gt(group_horizon(fake_node(cluster, 2)->group), 0);
  ck_assert_uint_lt(horizon_age_ms(cluster, 2), 15 * 1000);
}
END_TEST

/* What a mirror could not write may be on the disk all the same, and come with the next start: of a
 * log that is closed all must wait for it. */
START_TEST(p3_a_failed_write_of_a_closed_log_counts_as_taken)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 16);
  write_one(cluster, 2);
  LogId closed = fake_own_log(cluster, 2);
  fake_node(cluster, 1)->disk_broken = TRUE;
  write_one(cluster, 2);
  ck_assert_uint_eq(fake_written(cluster, 1, closed), 1);
  fake_kill(cluster, 2);
  fake_start(cluster, 2, TRUE);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  const Progress *told = fake_peer_status(status, 1)->progress;
  ck_assert_uint_eq(progress_find(told, closed)->received, 2);
}
END_TEST

/* The wall clock was set back, as far as entries from before are still believed: the clock only
 * counts for a while. */
START_TEST(p3_the_horizon_goes_on_while_the_clock_stands)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 14);
  for (guint node = 1; node <= 2; node++)
    fake_node(cluster, node)->wall_offset_ms = -50 * 1000;
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  for (guint i = 0; i < 100; i++)
    for (guint node = 1; node <= 2; node++)
      ck_assert_int_eq(write_one(cluster, node), SYNCLOG_OK);
  for (guint node = 1; node <= 2; node++)
    ck_assert_uint_gt(group_horizon(fake_node(cluster, node)->group), write->write.hlc);
}
END_TEST

/* --- members that are lost ----------------------------------------------------------------------
 */

START_TEST(nothing_waits_for_a_lost_member)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 10);
  /* Node 2 alone has what node 3 wrote last. */
  fake_cut(cluster, 1, 3, TRUE);
  fake_cut(cluster, 3, 1, TRUE);
  fake_cut(cluster, 1, 2, TRUE);
  fake_cut(cluster, 2, 1, TRUE);
  write_one(cluster, 3);
  LogId lost = fake_own_log(cluster, 3);
  fake_kill(cluster, 3);
  fake_heal(cluster);
  FakeWrite *for_all = fake_write(cluster, 1, ACK_ALL, 3600LL * G_USEC_PER_SEC);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  ck_assert(!for_all->answered);
  g_autoptr(GError) error = NULL;
  ck_assert(group_forget(fake_node(cluster, 1)->group, 3, cluster->now_us, &error));
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  ck_assert(for_all->answered);
  ck_assert_int_eq(for_all->status, SYNCLOG_OK);
  ck_assert_uint_eq(fake_applied(cluster, 1, lost), 1);
  for (guint node = 1; node <= 2; node++) {
    ck_assert_uint_lt(horizon_age_ms(cluster, node), 15 * 1000);
    const Member *kept = member_list_find(fake_node(cluster, node)->members, 3);
    ck_assert_int_eq(kept->state, MEMBER_LOST); /* it spread, and was kept */
    g_autoptr(NodeStatus) status = fake_status(cluster, node);
    ck_assert_str_eq(fake_peer_status(status, 3)->state, "forgotten");
    ck_assert_str_eq(state_of(status, lost), "closed");
    ck_assert_uint_eq(fake_log_status(status, lost)->progress.applied, 1);
  }
  /* Also after a restart. */
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  FakeWrite *again = fake_write(cluster, 2, ACK_ALL, 3600LL * G_USEC_PER_SEC);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert(again->answered);
  ck_assert_int_eq(again->status, SYNCLOG_OK);
}
END_TEST

START_TEST(a_lost_member_may_not_come_back)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 11);
  fake_kill(cluster, 3);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  g_autoptr(GError) error = NULL;
  ck_assert(group_forget(fake_node(cluster, 1)->group, 3, cluster->now_us, &error));
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  fake_start(cluster, 3, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  FakeWrite *write = fake_write(cluster, 3, ACK_LOCAL, 0);
  ck_assert(!write->taken);
  ck_assert(strstr(fake_node(cluster, 3)->notes->str, "declared lost") != NULL);
}
END_TEST

START_TEST(a_member_that_is_there_can_not_be_declared_lost)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 12);
  g_autoptr(GError) error = NULL;
  Group *group = fake_node(cluster, 1)->group;
  ck_assert(!group_forget(group, 3, cluster->now_us, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  ck_assert(!group_forget(group, 1, cluster->now_us, NULL));
  ck_assert(!group_forget(group, 9, cluster->now_us, NULL));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_node_far_ahead_takes_no_writes,
                                p8_made_up_wall_clocks_are_far_ahead,
                                a_step_is_noticed_with_the_next_write,
                                p9_writes_that_are_refused_hold_up_no_sync,
                                entries_far_ahead_wait_where_they_come,
                                p3_stamps_grow_over_incarnations_with_an_earlier_time,
                                p8_a_made_up_clock_leaves_clocks_to_stamp_with,
                                p3_stamps_grow_over_what_comes_back,
                                held_entries_are_caught_up_under_load,
                                what_is_caught_up_ends_with_a_mirror_that_fails,
                                a_read_does_not_hide_that_a_log_is_read_only,
                                a_node_far_behind_goes_on,
                                p3_a_clock_that_was_set_right_makes_no_majority,
                                p3_the_first_look_at_a_clock_makes_no_majority,
                                two_of_three_that_go_ahead_are_followed,
                                the_clock_grows_over_a_restart_with_an_earlier_time,
                                the_horizon_follows_the_clocks_of_idle_members,
                                the_horizon_waits_for_a_member_that_is_away,
                                a_closed_log_lets_the_horizon_go,
                                nothing_is_promised_above_a_commit_that_failed,
                                p3_nothing_is_promised_that_only_the_log_remembers,
                                p3_no_horizon_is_above_what_the_origin_remembers,
                                p3_a_failed_write_of_a_closed_log_counts_as_taken,
                                p3_the_horizon_goes_on_while_the_clock_stands,
                                nothing_waits_for_a_lost_member,
                                a_lost_member_may_not_come_back,
                                a_member_that_is_there_can_not_be_declared_lost};
  return RUN_SUITE("group_clocks", tests);
}
