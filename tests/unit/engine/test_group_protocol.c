/* What peers may say, and what they are answered. */
#include "support/fake_cluster.c"
#include "support/suite.h"

#include "engine/group_private.h"

static FakeCluster *ready_cluster(guint count, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(count, seed);
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  return cluster;
}

/* --- handshakes ---------------------------------------------------------------------------------
 */

static Handshake good_handshake(Progress *progress)
{
  return (Handshake){.protocol_version = PROTOCOL_VERSION,
                     .cluster_id = (char *)"test",
                     .node_id = 2,
                     .target_node_id = 1,
                     .incarnation = 5000,
                     .time_precision = (char *)"ms",
                     .max_pending_batch = 5,
                     .progress = progress};
}

static SynclogStatus say(FakeCluster *cluster, const Handshake *handshake, const char *part)
{
  HandshakeReply reply;
  group_on_handshake(cluster->nodes[1].group, handshake, &reply, cluster->now_us);
  ck_assert_int_eq(reply.progress != NULL, reply.status == SYNCLOG_OK);
  if (part != NULL)
    ck_assert(fake_says(reply.message, part));
  ck_assert_uint_eq(reply.node_id, 1);
  SynclogStatus status = reply.status;
  handshake_reply_clear(&reply);
  return status;
}

START_TEST(handshake_is_judged)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 1);
  fake_start(cluster, 1, FALSE);
  g_autoptr(Progress) progress = progress_new();
  Handshake h = good_handshake(progress);
  ck_assert_int_eq(say(cluster, &h, NULL), SYNCLOG_OK);
  h.protocol_version = PROTOCOL_VERSION + 1;
  ck_assert_int_eq(say(cluster, &h, "speaks 1"), SYNCLOG_WRONG_VERSION);
  h = good_handshake(progress);
  h.cluster_id = (char *)"other";
  ck_assert_int_eq(say(cluster, &h, "\"other\""), SYNCLOG_WRONG_CLUSTER);
  h.cluster_id = NULL;
  ck_assert_int_eq(say(cluster, &h, "cluster id"), SYNCLOG_WRONG_CLUSTER);
  h = good_handshake(progress);
  h.time_precision = (char *)"us";
  ck_assert_int_eq(say(cluster, &h, "\"us\""), SYNCLOG_WRONG_PRECISION);
  h = good_handshake(progress);
  h.node_id = 1;
  ck_assert_int_eq(say(cluster, &h, "node id 1"), SYNCLOG_DUPLICATE_NODE);
  h = good_handshake(progress);
  h.node_id = h.target_node_id = 1; /* a question, see peer.thrift */
  ck_assert_int_eq(say(cluster, &h, "node id 1"), SYNCLOG_DUPLICATE_NODE);
  h.node_id = h.target_node_id = 4;
  ck_assert_int_eq(say(cluster, &h, "this is node 1, not node 4"), SYNCLOG_NOT_MEMBER);
  h = good_handshake(progress);
  h.node_id = 7;
  ck_assert_int_eq(say(cluster, &h, "node 7"), SYNCLOG_NOT_MEMBER);
  h = good_handshake(progress);
  h.target_node_id = 3;
  ck_assert_int_eq(say(cluster, &h, "not node 3"), SYNCLOG_NOT_MEMBER);
  h = good_handshake(progress);
  h.group = 1;
  ck_assert_int_eq(say(cluster, &h, "group 1"), SYNCLOG_UNKNOWN_GROUP);
  h = good_handshake(progress);
  h.max_pending_batch = LIMIT_PENDING_BATCHES + 1;
  ck_assert_int_eq(say(cluster, &h, "max_pending_batch"), SYNCLOG_INVALID);
  h = good_handshake(progress);
  ck_assert_int_eq(say(cluster, &h, NULL), SYNCLOG_OK);
}
END_TEST

START_TEST(refused_peer_is_told_and_tried_again)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 2);
  fake_start(cluster, 1, FALSE);
  cluster->options.cluster_id = "other";
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  const PeerStatus *peer = fake_peer_status(status, 2);
  ck_assert_str_eq(peer->state, "refused");
  ck_assert(fake_says(peer->message, "other cluster"));
  ck_assert_uint_eq(peer->batches_sent, 0);
  fake_kill(cluster, 2);
  cluster->options.cluster_id = "test";
  fake_start(cluster, 2, FALSE);
  fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_until_equal(cluster, 20 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(heartbeat_of_a_stranger_is_refused)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 3);
  g_autoptr(Progress) progress = progress_new();
  Heartbeat heartbeat = {.node_id = 9, .progress = progress};
  HeartbeatReply reply;
  group_on_heartbeat(cluster->nodes[1].group, &heartbeat, &reply, cluster->now_us);
  ck_assert_int_eq(reply.status, SYNCLOG_NOT_MEMBER);
  ck_assert_ptr_null(reply.progress);
  heartbeat_reply_clear(&reply);
  heartbeat = (Heartbeat){.group = 1, .node_id = 2, .progress = progress};
  group_on_heartbeat(cluster->nodes[1].group, &heartbeat, &reply, cluster->now_us);
  ck_assert_int_ne(reply.status, SYNCLOG_OK);
  heartbeat_reply_clear(&reply);
}
END_TEST

START_TEST(rules_are_compared_where_both_are_known)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 3);
  for (guint step = 0; step < 5; step++) {
    /* This node's; the other's; whether it is told, and a difference. An older one tells none. */
    static const guint64 steps[][4] = {
        {0, 7, 0, 0}, {7, 7, 1, 0}, {8, 7, 1, 1}, {8, 0, 0, 0}, {8, 8, 1, 0}};
    group_set_rule_hash(cluster->nodes[1].group, steps[step][0]);
    group_set_rule_hash(cluster->nodes[2].group, steps[step][1]);
    fake_run_for(cluster, 5 * G_USEC_PER_SEC);
    g_autoptr(NodeStatus) status = fake_status(cluster, 1);
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, 0);
    ck_assert_int_eq(peer->rule_told, (int)steps[step][2]);
    ck_assert_int_eq(peer->rule_differs, (int)steps[step][3]);
    ck_assert((peer->message != NULL) == (steps[step][3] != 0));
  }
}
END_TEST

/* --- syncLog ------------------------------------------------------------------------------------
 */

START_TEST(own_log_is_not_taken_from_others)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 4);
  LogId own = fake_own_log(cluster, 1);
  fake_inject(cluster, 1, own, 1, fake_forge(cluster, own, 3), NULL, FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_DUPLICATE_NODE);
}
END_TEST

START_TEST(log_of_a_stranger_is_refused)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 5);
  LogId log = {9, 1};
  fake_inject(cluster, 1, log, 1, fake_forge(cluster, log, 3), NULL, FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_NOT_MEMBER);
}
END_TEST

#if !SANITIZED
START_TEST(number_of_logs_is_bounded)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(1, 6);
  for (guint i = 1; i <= LIMIT_LOGS + 10; i++) {
    LogId log = {1, 5000 + i};
    fake_inject(cluster, 1, log, 1, fake_forge(cluster, log, 1), NULL, FALSE);
    fake_run_for(cluster, 2000);
    if (i < LIMIT_LOGS - 1)
      fast_assert(cluster->nodes[1].last_reply == SYNCLOG_OK);
  }
  ck_assert_int_ne(cluster->nodes[1].last_reply, SYNCLOG_OK);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_uint_eq(status->logs->len, LIMIT_LOGS);
}
END_TEST
#endif

START_TEST(batches_beyond_the_window_are_answered_with_the_index_expected)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 7);
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, LIMIT_PENDING_BATCHES + 10));
  for (guint64 i = LIMIT_PENDING_BATCHES + 10; i >= 2; i--)
    fake_inject(cluster, 1, log, i, fake_true_run(cluster, log, i, i), NULL, FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_OUT_OF_WINDOW);
  ck_assert_uint_eq(cluster->nodes[1].last_expected, 1);
  /* The window that was agreed on fits, and far less than all. */
  guint64 accepted = LIMIT_PENDING_BATCHES + 9 - cluster->nodes[1].out_of_window;
  ck_assert_uint_ge(accepted, cluster->options.max_pending_batch);
  ck_assert_uint_le(accepted, LIMIT_PENDING_BATCHES);
  /* The one that is missing is always welcome. */
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 1), NULL, FALSE);
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_OK);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 1);
  for (guint64 i = 2; i <= LIMIT_PENDING_BATCHES + 10; i++)
    fake_inject(cluster, 1, log, i, fake_true_run(cluster, log, i, i), NULL, FALSE);
  fake_run_for(cluster, 50000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), LIMIT_PENDING_BATCHES + 10);
}
END_TEST

START_TEST(overlapping_batches_are_cut)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 8);
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 60));
  fake_inject(cluster, 1, log, 21, fake_true_run(cluster, log, 21, 40), NULL, FALSE);
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 30), NULL, FALSE);
  fake_inject(cluster, 1, log, 35, fake_true_run(cluster, log, 35, 50), NULL, FALSE);
  fake_run_for(cluster, 10000);
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 60), NULL, FALSE);
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 60);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_uint_eq(status->entries_applied, 60);
  ck_assert_uint_eq(status->entries_duplicate, 10 + 6 + 50);
}
END_TEST

START_TEST(undecodable_entry_stops_its_log_visibly)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 9);
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  /* 1 – 5 decode, 6 does not. */
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 5), "what is this", FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_CORRUPT);
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 5);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_str_eq(fake_log_status(status, log)->state, "stopped");
  ck_assert(fake_says(fake_log_status(status, log)->message, "entry 6"));
  /* What is behind is never let past it. */
  fake_inject(cluster, 1, log, 7, fake_true_run(cluster, log, 7, 20), NULL, FALSE);
  fake_inject(cluster, 1, log, 6, NULL, "what is this", FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_CORRUPT);
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 5);
  g_autoptr(NodeStatus) still = fake_status(cluster, 1);
  ck_assert_str_eq(fake_log_status(still, log)->state, "stopped");
  /* It decodes (after an upgrade, say): on it goes. */
  fake_inject(cluster, 1, log, 6, fake_true_run(cluster, log, 6, 20), NULL, FALSE);
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 20);
  g_autoptr(NodeStatus) again = fake_status(cluster, 1);
  ck_assert_str_eq(fake_log_status(again, log)->state, "ok");
}
END_TEST

START_TEST(undecodable_entry_behind_a_hole_stops_nothing_yet)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 10);
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  fake_inject(cluster, 1, log, 11, NULL, "what is this", FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_CORRUPT);
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 10), NULL, FALSE);
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), 10);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_str_eq(fake_log_status(status, log)->state, "ok");
}
END_TEST

/* A log whose entry the store refuses stays stopped, however many entries follow. */
START_TEST(log_that_the_store_refused_stays_stopped)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 11);
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 10), NULL, FALSE);
  fake_run_for(cluster, 10000);
  group_stop_log(cluster->nodes[1].group, log, "entry 10 can't be applied");
  fake_inject(cluster, 1, log, 11, fake_true_run(cluster, log, 11, 20), NULL, FALSE);
  fake_run_for(cluster, 10000);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_str_eq(fake_log_status(status, log)->state, "stopped");
}
END_TEST

START_TEST(answers_wait_for_the_disk)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 12);
  cluster->options.mirror_sync_interval_ms = 60000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  FakeNode *node = &cluster->nodes[1];
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 5), NULL, FALSE);
  ck_assert_uint_eq(node->calls->len, 1);
  fake_run_for(cluster, 5000);
  ck_assert_uint_eq(node->calls->len, 0); /* written, that is enough */
  ck_assert_uint_eq(fake_durable(cluster, 1, log), 0);
  fake_inject(cluster, 1, log, 6, fake_true_run(cluster, log, 6, 6), NULL, TRUE);
  fake_run_for(cluster, 500);
  ck_assert_uint_eq(node->calls->len, 1);
  fake_run_for(cluster, 5000);
  ck_assert_uint_eq(node->calls->len, 0);
  ck_assert_uint_eq(fake_durable(cluster, 1, log), 6);
}
END_TEST

/* A sync that is due does not hold up what waits to be written, unless that never ends. */
START_TEST(sync_comes_behind_writing)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 12);
  cluster->options.mirror_sync_interval_ms = 60000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  Group *group = cluster->nodes[1].group;
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 5), NULL, FALSE);
  fake_run_for(cluster, 5000);
  fake_inject(cluster, 1, log, 6, fake_true_run(cluster, log, 6, 6), NULL, FALSE);
  for (guint late_s = 60; late_s <= 90; late_s += 15) {
    gint64 now_us = cluster->now_us + (gint64)late_s * G_USEC_PER_SEC;
    gboolean alone = late_s == 75; /* nothing waits to be written */
    GroupPending pending;
    ck_assert(group_has_work(group, now_us, &pending));
    ck_assert_int_eq(pending.late, late_s > 60);
    GroupWork work;
    ck_assert(group_take_work(group, now_us, 0, GROUP_ALL_WORK, &work));
    const MirrorWork *mirror = &g_array_index(work.mirrors, MirrorWork, 0);
    ck_assert_uint_eq(mirror->runs->len, !alone);
    ck_assert_int_eq(mirror->sync, late_s > 60);
    if (alone) {
      fake_inject(cluster, 1, log, 7, fake_true_run(cluster, log, 7, 7), NULL, FALSE);
      group_work_clear(&work);
      continue; /* it is not done in time */
    }
    group_on_mirror_done(group, mirror, mirror->runs->len, NULL, now_us);
    group_work_clear(&work);
  }
}
END_TEST

/* A duplicate of what waits for the disk is not answered before it is there. */
START_TEST(duplicate_waits_like_the_first)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 13);
  FakeNode *node = &cluster->nodes[1];
  LogId log = {2, 1};
  entry_run_unref(fake_forge(cluster, log, 20));
  fake_inject(cluster, 1, log, 2, fake_true_run(cluster, log, 2, 5), NULL, FALSE);
  fake_inject(cluster, 1, log, 2, fake_true_run(cluster, log, 2, 5), NULL, TRUE);
  fake_run_for(cluster, 200000);
  ck_assert_uint_eq(node->calls->len, 2);
  fake_inject(cluster, 1, log, 1, fake_true_run(cluster, log, 1, 1), NULL, FALSE);
  fake_run_for(cluster, 5000);
  ck_assert_uint_eq(node->calls->len, 0);
  ck_assert_uint_eq(fake_durable(cluster, 1, log), 5);
  /* What is there long since is answered at once. */
  fake_inject(cluster, 1, log, 2, fake_true_run(cluster, log, 2, 5), NULL, TRUE);
  ck_assert_uint_eq(node->calls->len, 0);
  ck_assert_int_eq(node->last_reply, SYNCLOG_OK);
}
END_TEST

/* --- after the end ------------------------------------------------------------------------------
 */

START_TEST(stopped_group_refuses_all)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 14);
  Group *group = cluster->nodes[1].group;
  LogId log = {2, 1};
  group_stop(group);
  fake_inject(cluster, 1, log, 1, fake_forge(cluster, log, 3), NULL, FALSE);
  ck_assert_int_eq(cluster->nodes[1].last_reply, SYNCLOG_NOT_READY);
  g_autoptr(Progress) progress = progress_new();
  Handshake h = good_handshake(progress);
  ck_assert_int_eq(say(cluster, &h, NULL), SYNCLOG_NOT_READY);
}
END_TEST

START_TEST(stopped_group_takes_no_write_and_lets_no_read_wait)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 15);
  Group *group = cluster->nodes[1].group;
  group_stop(group);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  ck_assert(!write->taken);
  ck_assert_int_eq(write->status, SYNCLOG_NOT_READY);
  Token token = {.log = fake_own_log(cluster, 2), .index = 1};
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  g_array_append_val(tokens, token);
  int read = -1;
  if (!group_wait_applied(group, &read, tokens, cluster->now_us + 1000))
    group_tick(group, cluster->now_us + 2000);
  ck_assert_int_eq(read, SYNCLOG_NOT_READY);
}
END_TEST

static guint64 told_durable(FakeCluster *cluster, LogId log)
{
  const Peer *peer = group_find_peer(cluster->nodes[1].group, 2);
  const LogProgress *told = progress_find(peer->progress, log);
  return told != NULL ? told->durable : 0;
}

static void answer_heartbeat(FakeCluster *cluster, Progress *progress)
{
  HeartbeatReply reply = {.status = SYNCLOG_OK, .progress = progress};
  group_on_heartbeat_reply(cluster->nodes[1].group, 2, &reply, cluster->now_us);
}

/* A peer was killed and lost a part of its disk. What it had answered before is read only after the
 * handshake of its next life. */
START_TEST(p5_an_answer_of_a_former_life_does_not_count)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 40);
  LogId log = fake_own_log(cluster, 2);
  const Peer *peer = group_find_peer(cluster->nodes[1].group, 2);
  g_autoptr(Progress) before = progress_new();
  progress_put(before, log)->durable = 7;
  for (guint steps = 0; peer->heartbeats_out == 0; steps++) {
    fast_assert(steps < 1000000);
    fake_run_for(cluster, 10);
  }
  ck_assert_uint_eq(peer->heartbeats_out, 1);
  answer_heartbeat(cluster, before);
  ck_assert_uint_eq(told_durable(cluster, log), 7);
  for (guint steps = 0; peer->heartbeats_out == 0; steps++) {
    fast_assert(steps < 1000000);
    fake_run_for(cluster, 10);
  }
  g_autoptr(Progress) now = progress_new();
  progress_put(now, log)->durable = 4;
  Handshake handshake = good_handshake(now);
  ck_assert_int_eq(say(cluster, &handshake, NULL), SYNCLOG_OK);
  ck_assert_uint_eq(told_durable(cluster, log), 4);
  for (guint left = peer->answers_stale; left > 0; left--)
    answer_heartbeat(cluster, before);
  ck_assert_uint_eq(told_durable(cluster, log), 4);
  progress_put(now, log)->durable = 5;
  answer_heartbeat(cluster, now); /* it was asked after the handshake */
  ck_assert_uint_eq(told_durable(cluster, log), 5);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
    handshake_is_judged,
    refused_peer_is_told_and_tried_again,
    heartbeat_of_a_stranger_is_refused,
    rules_are_compared_where_both_are_known,
    own_log_is_not_taken_from_others,
    log_of_a_stranger_is_refused,
    batches_beyond_the_window_are_answered_with_the_index_expected,
    overlapping_batches_are_cut,
    undecodable_entry_stops_its_log_visibly,
    undecodable_entry_behind_a_hole_stops_nothing_yet,
    log_that_the_store_refused_stays_stopped,
    answers_wait_for_the_disk,
    sync_comes_behind_writing,
    duplicate_waits_like_the_first,
    stopped_group_refuses_all,
    p5_an_answer_of_a_former_life_does_not_count,
    stopped_group_takes_no_write_and_lets_no_read_wait,
#if !SANITIZED /* 4096 logs take long */
    number_of_logs_is_bounded,
#endif
  };
  return RUN_SUITE("group_protocol", tests);
}
