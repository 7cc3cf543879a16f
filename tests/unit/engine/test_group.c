/* Writes, acknowledgements, time: what a group promises when nothing breaks, or little. */
#include "support/fake_cluster.c"
#include "support/suite.h"

static gboolean is_answered(FakeCluster *cluster, gpointer write)
{
  (void)cluster;
  return ((FakeWrite *)write)->answered;
}

static gint64 answer(FakeCluster *cluster, FakeWrite *write)
{
  return fake_run_until(cluster, is_answered, write, 60 * G_USEC_PER_SEC);
}

/* A cluster whose channels are all ready. */
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

START_TEST(writes_of_all_nodes_reach_all)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
  for (guint round = 0; round < 50; round++) {
    for (guint node = 1; node <= 3; node++)
      write_many(cluster, node, round % 7);
    fake_run_for(cluster, 3000);
  }
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  for (guint of = 1; of <= 3; of++)
    for (guint at = 1; at <= 3; at++)
      ck_assert_uint_eq(fake_applied(cluster, at, fake_own_log(cluster, of)), 147);
  FakeWriteCounts counts = fake_count_writes(cluster);
  ck_assert_uint_eq(counts.ok, 3 * 147);
  ck_assert_uint_eq(cluster->nodes[1].reads, 0); /* the tail was enough */
  ck_assert_str_eq(cluster->nodes[1].notes->str, "");
}
END_TEST

START_TEST(indices_and_clocks_are_in_order_of_writes)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 2);
  guint64 last_hlc = 0;
  for (guint i = 1; i <= 100; i++) {
    FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
    if (i % 10 == 0)
      cluster->nodes[1].wall_offset_ms -= 5000; /* the wall clock goes back */
    answer(cluster, write);
    ck_assert_uint_eq(write->token.index, i);
    ck_assert_uint_eq(write->write.index, i);
    ck_assert_uint_gt(write->write.hlc, last_hlc);
    last_hlc = write->write.hlc;
  }
}
END_TEST

START_TEST(clock_is_beyond_all_that_was_seen)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 3);
  cluster->nodes[1].wall_offset_ms = 30000;
  FakeWrite *ahead = fake_write(cluster, 1, ACK_ALL, G_USEC_PER_SEC);
  answer(cluster, ahead);
  FakeWrite *behind = fake_write(cluster, 2, ACK_LOCAL, 0);
  answer(cluster, behind);
  ck_assert_uint_gt(behind->write.hlc, ahead->write.hlc);
  /* Also after a restart, from what is on disk. */
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  FakeWrite *again = fake_write(cluster, 2, ACK_LOCAL, 0);
  answer(cluster, again);
  ck_assert_uint_gt(again->write.hlc, behind->write.hlc);
}
END_TEST

/* A clock that is too far ahead to be true is not followed, from wherever it comes. */
START_TEST(absurd_clocks_are_not_followed)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 24);
  cluster->nodes[1].wall_offset_ms = 100LL * 365 * 24 * 3600 * 1000;
  FakeWrite *absurd = fake_write(cluster, 1, ACK_ALL, G_USEC_PER_SEC);
  answer(cluster, absurd);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC); /* heartbeats */
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE); /* handshakes, and what is on disk */
  fake_run_for(cluster, G_USEC_PER_SEC);
  FakeWrite *sane = fake_write(cluster, 2, ACK_LOCAL, 0);
  answer(cluster, sane);
  ck_assert_uint_lt(sane->write.hlc >> 16, fake_wall_ms(&cluster->nodes[2]) + 1000);
  Progress *progress = progress_new();
  Handshake greatest = {.protocol_version = PROTOCOL_VERSION,
                        .cluster_id = (char *)"test",
                        .node_id = 1,
                        .target_node_id = 2,
                        .incarnation = cluster->nodes[1].incarnation,
                        .time_precision = (char *)"ms",
                        .max_pending_batch = 5,
                        .progress = progress,
                        .hlc = G_MAXUINT64};
  HandshakeReply reply;
  group_on_handshake(cluster->nodes[2].group, &greatest, &reply, cluster->now_us);
  handshake_reply_clear(&reply);
  progress_free(progress);
  FakeWrite *still_sane = fake_write(cluster, 2, ACK_LOCAL, 0);
  answer(cluster, still_sane);
  ck_assert_uint_lt(still_sane->write.hlc >> 16, fake_wall_ms(&cluster->nodes[2]) + 1000);
}
END_TEST

START_TEST(writes_that_came_meanwhile_share_a_commit)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 4);
  FakeWrite *first = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 10); /* the commit has begun */
  write_many(cluster, 1, 100);
  FakeWrite *last = fake_write(cluster, 1, ACK_LOCAL, 0);
  answer(cluster, first);
  ck_assert_uint_eq(cluster->nodes[1].commits, 1);
  gint64 took_us = answer(cluster, last);
  ck_assert_uint_eq(cluster->nodes[1].commits, 2);
  ck_assert_int_le(took_us, cluster->disk_us);
}
END_TEST

START_TEST(commit_size_is_bounded)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(1, 5);
  cluster->options.max_commit_size = 300;
  fake_start_all(cluster);
  write_many(cluster, 1, 100);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 1, fake_own_log(cluster, 1)), 100);
  /* 100 writes of 17 to 90 bytes. */
  ck_assert_uint_ge(cluster->nodes[1].commits, 6);
}
END_TEST

START_TEST(local_ack_needs_nobody)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 6);
  fake_start(cluster, 1, FALSE);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  gint64 took_us = answer(cluster, write);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert_int_eq(took_us, cluster->disk_us); /* no timer delays a lone write */
}
END_TEST

START_TEST(a_node_alone_is_its_majority)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(1, 7);
  fake_start_all(cluster);
  FakeWrite *majority = fake_write(cluster, 1, ACK_MAJORITY, G_USEC_PER_SEC);
  FakeWrite *all = fake_write(cluster, 1, ACK_ALL, G_USEC_PER_SEC);
  answer(cluster, all);
  ck_assert_int_eq(majority->status, SYNCLOG_OK);
  ck_assert_int_eq(all->status, SYNCLOG_OK);
}
END_TEST

/* The fake cluster checks at each answer that the entry is durable on enough disks. */
START_TEST(majority_and_all_come_with_one_round_trip)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 8);
  for (guint i = 0; i < 20; i++) {
    FakeWrite *write = fake_write(cluster, 1, i % 2 == 0 ? ACK_MAJORITY : ACK_ALL, G_USEC_PER_SEC);
    gint64 took_us = answer(cluster, write);
    ck_assert_int_eq(write->status, SYNCLOG_OK);
    /* Own disk, there, their disk (which may just be at work), and back; never a sync interval. */
    ck_assert_int_le(took_us, 3 * cluster->disk_us + 2 * cluster->delay_max_us + 1000);
  }
}
END_TEST

START_TEST(local_writes_are_synced_by_the_others_in_a_while)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 9);
  LogId log = fake_own_log(cluster, 1);
  guint64 syncs = cluster->nodes[2].mirror_syncs;
  for (guint i = 0; i < 40; i++) {
    fake_write(cluster, 1, ACK_LOCAL, 0);
    fake_run_for(cluster, 5000);
  }
  /* 200 ms of writes with a sync each 100 ms. */
  ck_assert_uint_le(cluster->nodes[2].mirror_syncs - syncs, 3);
  fake_run_for(cluster, 110000);
  ck_assert_uint_eq(fake_durable(cluster, 2, log), 40);
}
END_TEST

START_TEST(majority_goes_on_without_one)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 10);
  fake_kill(cluster, 3);
  FakeWrite *majority = fake_write(cluster, 1, ACK_MAJORITY, 2 * G_USEC_PER_SEC);
  FakeWrite *all = fake_write(cluster, 1, ACK_ALL, 2 * G_USEC_PER_SEC);
  ck_assert_int_lt(answer(cluster, majority), 10000);
  ck_assert_int_eq(majority->status, SYNCLOG_OK);
  ck_assert(!all->answered);
  ck_assert_int_eq(answer(cluster, all) + 0, all->answered_at_us - majority->answered_at_us);
  ck_assert_int_eq(all->status, SYNCLOG_PENDING);
  ck_assert_uint_eq(all->token.index, 2);
}
END_TEST

START_TEST(half_of_four_is_no_majority)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(4, 11);
  fake_kill(cluster, 3);
  fake_kill(cluster, 4);
  FakeWrite *write = fake_write(cluster, 1, ACK_MAJORITY, 500000);
  answer(cluster, write);
  ck_assert_int_eq(write->status, SYNCLOG_PENDING);
  FakeWrite *waits = fake_write(cluster, 1, ACK_MAJORITY, 60 * G_USEC_PER_SEC);
  fake_run_for(cluster, 100000);
  ck_assert(!waits->answered);
  fake_start(cluster, 4, FALSE);
  answer(cluster, waits);
  ck_assert_int_eq(waits->status, SYNCLOG_OK);
}
END_TEST

START_TEST(pending_comes_at_the_deadline)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 12);
  fake_start(cluster, 1, FALSE);
  gint64 begun_us = cluster->now_us;
  const gint64 timeouts_us[] = {700000, 100000, 400000};
  FakeWrite *writes[3];
  for (guint i = 0; i < 3; i++)
    writes[i] = fake_write(cluster, 1, ACK_ALL, timeouts_us[i]);
  fake_run_for(cluster, G_USEC_PER_SEC);
  for (guint i = 0; i < 3; i++) {
    ck_assert_int_eq(writes[i]->status, SYNCLOG_PENDING);
    ck_assert_int_eq(writes[i]->answered_at_us - begun_us, timeouts_us[i]);
    ck_assert_uint_eq(writes[i]->token.index, i + 1);
  }
  /* PENDING says that it spreads, and so it does. */
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 3);
}
END_TEST

/* A write that is there, but not synced there, does not count. */
START_TEST(received_is_not_durable)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 13);
  cluster->options.mirror_sync_interval_ms = 10000;
  fake_start_all(cluster);
  fake_run_for(cluster, 100000);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 100000);
  LogId log = fake_own_log(cluster, 1);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 10);
  ck_assert_uint_eq(fake_durable(cluster, 2, log), 0);
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, G_USEC_PER_SEC);
  ck_assert_int_lt(answer(cluster, write), 10000);
  ck_assert_uint_eq(fake_durable(cluster, 2, log), 11);
}
END_TEST

START_TEST(overload_is_refused_at_once)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(1, 14);
  cluster->options.max_queued_bytes = 1000;
  fake_start_all(cluster);
  write_many(cluster, 1, 100);
  FakeWriteCounts counts = fake_count_writes(cluster);
  ck_assert_uint_gt(counts.open, 10);
  ck_assert_uint_eq(counts.open + counts.refused, 100);
  const FakeWrite *last = cluster->writes->pdata[99];
  ck_assert_int_eq(last->status, SYNCLOG_OVERLOADED);
  fake_run_for(cluster, 100000);
  FakeWrite *later = fake_write(cluster, 1, ACK_LOCAL, 0);
  answer(cluster, later);
  ck_assert_int_eq(later->status, SYNCLOG_OK);
  ck_assert_uint_eq(later->token.index, counts.open + 1); /* no index was lost to refused ones */
}
END_TEST

START_TEST(refused_while_asked_to)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 15);
  FakeWrite *before = fake_write(cluster, 1, ACK_LOCAL, 0);
  group_refuse_writes(cluster->nodes[1].group, SYNCLOG_OVERLOADED, "the disk fills");
  FakeWrite *refused = fake_write(cluster, 1, ACK_LOCAL, 0);
  ck_assert(!refused->taken);
  ck_assert_int_eq(refused->status, SYNCLOG_OVERLOADED);
  answer(cluster, before); /* what was taken goes on */
  ck_assert_int_eq(before->status, SYNCLOG_OK);
  group_accept_writes(cluster->nodes[1].group);
  ck_assert(fake_write(cluster, 1, ACK_LOCAL, 0)->taken);
}
END_TEST

/* A store that is far behind slows writers down, here and at the sender, and loses nothing. */
START_TEST(slow_store_holds_writers_back)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 16);
  cluster->options.max_apply_backlog = 5000;
  cluster->options.max_queued_bytes = 5000;
  cluster->options.max_requests_per_batch = 5;
  fake_start_all(cluster);
  fake_run_for(cluster, 100000);
  cluster->nodes[2].apply_paused = TRUE;
  for (guint i = 0; i < 200; i++) {
    write_many(cluster, 1, 5);
    fake_run_for(cluster, 10000);
  }
  LogId log = fake_own_log(cluster, 1);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 1000);
  /* Backlog, the batch that went beyond it, and a window of five batches of five. */
  ck_assert_uint_lt(fake_written(cluster, 2, log), 200);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 0);
  cluster->nodes[1].apply_paused = TRUE;
  for (guint i = 0; i < 200; i++) {
    write_many(cluster, 1, 5);
    fake_run_for(cluster, 10000);
  }
  ck_assert_uint_gt(fake_count_writes(cluster).refused, 500);
  cluster->nodes[1].apply_paused = cluster->nodes[2].apply_paused = FALSE;
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_count_writes(cluster).open, 0);
}
END_TEST

START_TEST(heartbeats_tell_progress_when_idle)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 17);
  fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 1200000); /* a heartbeat and a little */
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  const PeerStatus *peer = fake_peer_status(status, 2);
  const LogProgress *known = progress_find(peer->progress, fake_own_log(cluster, 1));
  ck_assert_uint_eq(known->received, 1);
  ck_assert_uint_eq(known->durable, 1);
  ck_assert_uint_eq(known->applied, 1);
  ck_assert_int_ge(peer->silent_ms, 0);
  ck_assert_int_le(peer->silent_ms, 1000);
  ck_assert_str_eq(peer->state, "connected");
}
END_TEST

START_TEST(status_counts)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 18);
  write_many(cluster, 1, 70);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_uint_eq(status->writes, 70);
  ck_assert_uint_eq(status->entries_applied, 70);
  ck_assert_str_eq(status->state, "serving");
  ck_assert_uint_eq(fake_peer_status(status, 2)->entries_from_tail, 70);
  ck_assert_uint_eq(fake_peer_status(status, 2)->entries_from_wal, 0);
  ck_assert_uint_eq(fake_peer_status(status, 2)->batches_sent, 3); /* 70 in batches of 30 */
  ck_assert_uint_eq(fake_peer_status(status, 2)->batches_in_flight, 0);
  const LogStatus *own = fake_log_status(status, fake_own_log(cluster, 1));
  ck_assert(own->own);
  ck_assert_uint_eq(own->progress.applied, 70);
  g_autoptr(NodeStatus) other = fake_status(cluster, 2);
  ck_assert_uint_eq(other->writes, 0);
  ck_assert_uint_eq(other->entries_applied, 70);
  ck_assert_uint_eq(other->entries_duplicate, 0);
  ck_assert(!fake_log_status(other, fake_own_log(cluster, 1))->own);
}
END_TEST

/* --- reads --------------------------------------------------------------------------------------
 */

enum { NO_ANSWER = -1 };

static GArray *tokens(LogId log, guint64 index)
{
  GArray *list = g_array_new(FALSE, FALSE, sizeof(Token));
  Token token = {.log = log, .index = index};
  g_array_append_val(list, token);
  return list;
}

START_TEST(read_waits_for_own_writes)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 19);
  Group *group = cluster->nodes[1].group;
  int read = NO_ANSWER;
  ck_assert(group_wait_applied(group, &read, NULL, cluster->now_us + 1000));
  cluster->nodes[1].apply_paused = TRUE;
  answer(cluster, fake_write(cluster, 1, ACK_LOCAL, 0));
  ck_assert(!group_wait_applied(group, &read, NULL, cluster->now_us + G_USEC_PER_SEC));
  fake_run_for(cluster, 100000);
  ck_assert_int_eq(read, NO_ANSWER);
  cluster->nodes[1].apply_paused = FALSE;
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(read, SYNCLOG_OK);
}
END_TEST

START_TEST(read_gives_up_at_its_deadline)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 20);
  Group *group = cluster->nodes[1].group;
  cluster->nodes[1].apply_paused = TRUE;
  answer(cluster, fake_write(cluster, 1, ACK_LOCAL, 0));
  int read = NO_ANSWER;
  ck_assert(!group_wait_applied(group, &read, NULL, cluster->now_us + 50000));
  fake_run_for(cluster, 49000);
  ck_assert_int_eq(read, NO_ANSWER);
  fake_run_for(cluster, 1000);
  ck_assert_int_eq(read, SYNCLOG_TIMEOUT);
}
END_TEST

START_TEST(read_of_a_stuck_store_waits_for_tokens_only)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 22);
  Group *group = cluster->nodes[1].group;
  cluster->nodes[1].apply_paused = TRUE;
  answer(cluster, fake_write(cluster, 1, ACK_LOCAL, 0));
  int waiting = NO_ANSWER, read = NO_ANSWER, with_token = NO_ANSWER;
  g_autoptr(GArray) own = tokens(fake_own_log(cluster, 1), 1);
  gint64 deadline_us = cluster->now_us + G_USEC_PER_SEC;
  ck_assert(!group_wait_applied(group, &waiting, NULL, deadline_us));
  group_set_store_stuck(group, TRUE);
  ck_assert_int_eq(waiting, SYNCLOG_OK);
  ck_assert(group_wait_applied(group, &read, NULL, deadline_us));
  ck_assert(!group_wait_applied(group, &with_token, own, deadline_us));
  group_set_store_stuck(group, FALSE);
  ck_assert(!group_wait_applied(group, &read, NULL, deadline_us));
  cluster->nodes[1].apply_paused = FALSE;
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(read, SYNCLOG_OK);
  ck_assert_int_eq(with_token, SYNCLOG_OK);
}
END_TEST

START_TEST(read_waits_for_a_token_of_another_node)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 21);
  Group *group = cluster->nodes[2].group;
  int read = NO_ANSWER, late = NO_ANSWER;
  LogId log = fake_own_log(cluster, 1);
  g_autoptr(GArray) next = tokens(log, 1);
  g_autoptr(GArray) beyond = tokens(log, 2);
  ck_assert(!group_wait_applied(group, &read, next, cluster->now_us + G_USEC_PER_SEC));
  ck_assert(!group_wait_applied(group, &late, beyond, cluster->now_us + G_USEC_PER_SEC));
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  answer(cluster, write);
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(read, SYNCLOG_OK);
  ck_assert_int_eq(late, NO_ANSWER);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_int_eq(late, SYNCLOG_TIMEOUT);
  read = NO_ANSWER;
  ck_assert(group_wait_applied(group, &read, next, cluster->now_us));
}
END_TEST

START_TEST(read_with_a_hopeless_token_is_told_at_once)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 22);
  Group *group = cluster->nodes[2].group;
  int stranger = NO_ANSWER, former = NO_ANSWER;
  g_autoptr(GArray) of_stranger = tokens((LogId){9, 1}, 1);
  g_autoptr(GArray) of_former_self = tokens((LogId){2, 1}, 1);
  gint64 deadline_us = cluster->now_us + 10 * G_USEC_PER_SEC;
  ck_assert(!group_wait_applied(group, &stranger, of_stranger, deadline_us));
  ck_assert(!group_wait_applied(group, &former, of_former_self, deadline_us));
  fake_run_for(cluster, 2000);
  ck_assert_int_eq(stranger, SYNCLOG_UNKNOWN_LOG);
  ck_assert_int_eq(former, SYNCLOG_UNKNOWN_LOG);
}
END_TEST

/* --- stopping -----------------------------------------------------------------------------------
 */

START_TEST(stop_answers_everything)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 23);
  fake_partition(cluster, 1U << 1, 1U << 2);
  Group *group = cluster->nodes[1].group;
  FakeWrite *waiting = fake_write(cluster, 1, ACK_ALL, 10 * G_USEC_PER_SEC);
  fake_run_for(cluster, 10000);
  FakeWrite *queued = fake_write(cluster, 1, ACK_LOCAL, 0);
  int read = NO_ANSWER;
  g_autoptr(GArray) next = tokens(fake_own_log(cluster, 2), 1);
  ck_assert(!group_wait_applied(group, &read, next, cluster->now_us + G_USEC_PER_SEC));
  group_stop(group);
  ck_assert_int_eq(waiting->status, SYNCLOG_PENDING);
  ck_assert_int_eq(queued->status, SYNCLOG_NOT_READY);
  ck_assert_int_eq(read, SYNCLOG_NOT_READY);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {writes_of_all_nodes_reach_all,
                                indices_and_clocks_are_in_order_of_writes,
                                clock_is_beyond_all_that_was_seen,
                                absurd_clocks_are_not_followed,
                                writes_that_came_meanwhile_share_a_commit,
                                commit_size_is_bounded,
                                local_ack_needs_nobody,
                                a_node_alone_is_its_majority,
                                majority_and_all_come_with_one_round_trip,
                                local_writes_are_synced_by_the_others_in_a_while,
                                majority_goes_on_without_one,
                                half_of_four_is_no_majority,
                                pending_comes_at_the_deadline,
                                received_is_not_durable,
                                overload_is_refused_at_once,
                                refused_while_asked_to,
                                slow_store_holds_writers_back,
                                heartbeats_tell_progress_when_idle,
                                status_counts,
                                read_waits_for_own_writes,
                                read_gives_up_at_its_deadline,
                                read_of_a_stuck_store_waits_for_tokens_only,
                                read_waits_for_a_token_of_another_node,
                                read_with_a_hopeless_token_is_told_at_once,
                                stop_answers_everything};
  return RUN_SUITE("group", tests);
}
