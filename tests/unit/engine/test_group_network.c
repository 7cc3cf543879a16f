/* Loss, reordering, duplicates, resets, partitions: the dispatcher and the follower at work. */
#include "support/fake_cluster.c"
#include "support/suite.h"

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

/* What a filter saw and does. */
typedef struct Watch {
  guint64 lose_first;   /* the batch that begins here gets lost, `times` times */
  guint64 bounce_first; /* … is answered with OUT_OF_WINDOW and `expected` */
  guint64 expected;
  guint times;
  guint batches, from_wal;
  guint64 entries;
  guint64 firsts[1000];
} Watch;

static FakeVerdict watch(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                         SyncReply *reply)
{
  Watch *w = ctx;
  (void)from;
  (void)to;
  if (w->batches < G_N_ELEMENTS(w->firsts))
    w->firsts[w->batches] = batch->first_index;
  w->batches++;
  w->from_wal += batch->from_wal;
  w->entries += batch->last_index - batch->first_index + 1;
  if (w->times > 0 && batch->first_index == w->lose_first) {
    w->times--;
    return FAKE_LOSE;
  }
  if (w->times > 0 && batch->first_index == w->bounce_first) {
    w->times--;
    reply->status = SYNCLOG_OUT_OF_WINDOW;
    reply->expected_index = w->expected;
    return FAKE_ANSWER;
  }
  return FAKE_DELIVER;
}

static void set_watch(FakeCluster *cluster, Watch *w)
{
  cluster->filter = watch;
  cluster->filter_ctx = w;
}

static gboolean has_applied(FakeCluster *cluster, gpointer index)
{
  return fake_applied(cluster, 2, fake_own_log(cluster, 1)) >= *(guint64 *)index;
}

/* --- order --------------------------------------------------------------------------------------
 */

START_TEST(every_batch_comes_twice)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 1);
  cluster->duplicate_percent = 100;
  cluster->delay_max_us = 20000;
  for (guint i = 0; i < 50; i++) {
    write_many(cluster, 1, 10);
    fake_run_for(cluster, 5000);
  }
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 500);
  ck_assert_uint_gt(cluster->nodes[1].duplicates_sent, 10);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_uint_eq(status->entries_applied, 500); /* once each */
  ck_assert_uint_eq(status->entries_duplicate, 500);
}
END_TEST

START_TEST(batches_overtake_each_other)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 2);
  cluster->options.max_requests_per_batch = 2;
  cluster->delay_max_us = 50000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  Watch w = {0};
  set_watch(cluster, &w);
  write_many(cluster, 1, 200);
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
  guint overtaken = 0;
  for (guint i = 1; i < w.batches; i++)
    overtaken += w.firsts[i] < w.firsts[i - 1];
  ck_assert_uint_gt(overtaken, 10);
  ck_assert_uint_eq(w.entries, 200); /* none was sent again */
  ck_assert_uint_eq(cluster->nodes[2].out_of_window, 0);
}
END_TEST

START_TEST(lost_batch_holds_the_five_behind_it)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 3);
  cluster->options.max_requests_per_batch = 10;
  cluster->options.max_pending_batch = 6;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  Watch w = {.lose_first = 21, .times = 1};
  set_watch(cluster, &w);
  write_many(cluster, 1, 300);
  fake_run_for(cluster, G_USEC_PER_SEC);
  LogId log = fake_own_log(cluster, 1);
  /* 1 – 20 got through; 31 – 80 came and wait for 21 – 30. */
  ck_assert_uint_eq(fake_written(cluster, 2, log), 20);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 20);
  ck_assert_uint_eq(w.batches, 8);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_uint_eq(fake_peer_status(status, 2)->batches_in_flight, 6);
  /* The request is missed, the channel opened again, and all goes on behind what is there. */
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
  guint64 again_from = G_MAXUINT64;
  for (guint i = 8; i < 14; i++)
    again_from = MIN(again_from, w.firsts[i]);
  ck_assert_uint_eq(again_from, 21);
  ck_assert_uint_eq(w.entries, 300 + 60);
}
END_TEST

static const LogStatus *log_status(const NodeStatus *status, LogId log)
{
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *one = &g_array_index(status->logs, LogStatus, i);
    if (log_id_equal(one->progress.log, log))
      return one;
  }
  return NULL;
}

/* A batch that never gets through, channel after channel: after a while it is an alarm. */
START_TEST(gap_that_is_never_filled_is_told)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 3);
  cluster->options.max_requests_per_batch = 10;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  Watch w = {.lose_first = 21, .times = G_MAXUINT};
  set_watch(cluster, &w);
  write_many(cluster, 1, 100);
  LogId log = fake_own_log(cluster, 1);
  fake_run_for(cluster, 20 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) early = fake_status(cluster, 2);
  ck_assert_str_eq(log_status(early, log)->state, "ok");
  ck_assert_uint_gt(log_status(early, log)->stalled_ms, 10000);
  fake_run_for(cluster, 20 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) late = fake_status(cluster, 2);
  ck_assert_str_eq(log_status(late, log)->state, "stalled");
  ck_assert_uint_gt(log_status(late, log)->stalled_ms, 30000);
  ck_assert(fake_says(log_status(late, log)->message, "entry 21 does not come"));
  w.times = 0;
  fake_run_until_equal(cluster, 60 * G_USEC_PER_SEC);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) after = fake_status(cluster, 2);
  ck_assert_str_eq(log_status(after, log)->state, "ok");
  ck_assert_uint_eq(log_status(after, log)->stalled_ms, 0);
  ck_assert_ptr_null(log_status(after, log)->message);
}
END_TEST

/* A log that is busy is none that stands still. */
START_TEST(busy_log_is_not_stalled)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 4);
  LogId log = fake_own_log(cluster, 1);
  for (guint second = 0; second < 45; second++) {
    write_many(cluster, 1, 20);
    fake_run_for(cluster, G_USEC_PER_SEC);
    g_autoptr(NodeStatus) status = fake_status(cluster, 2);
    ck_assert_uint_lt(log_status(status, log)->stalled_ms, 2000);
    ck_assert_str_eq(log_status(status, log)->state, "ok");
  }
}
END_TEST

/* What waits from the channel that was lost does not push out what comes on the new one. */
START_TEST(leftovers_do_not_close_the_window)
{
  for (guint32 seed = 1; seed <= 30; seed++) {
    g_autoptr(FakeCluster) cluster = fake_cluster_new(2, seed);
    cluster->options.max_requests_per_batch = 10;
    cluster->delay_max_us = 5000;
    fake_start_all(cluster);
    fake_run_for(cluster, 500000);
    Watch w = {.lose_first = 1, .times = 1};
    set_watch(cluster, &w);
    /* The lost one is short, so the batches are cut elsewhere the second time. */
    write_many(cluster, 1, 1);
    fake_run_for(cluster, 3000);
    write_many(cluster, 1, 299);
    fake_run_for(cluster, 100000);
    fake_reset_channel(cluster, 1, 2);
    guint64 all = 300;
    gint64 took_us = fake_run_until(cluster, has_applied, &all, 10 * G_USEC_PER_SEC);
    ck_assert_uint_eq(cluster->nodes[2].out_of_window, 0);
    /* One wait before connecting, two round trips, then about six windows. */
    ck_assert_int_le(took_us, 100000 + 25 * 2 * cluster->delay_max_us);
  }
}
END_TEST

START_TEST(out_of_window_sets_the_cursor_back)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 4);
  cluster->options.max_requests_per_batch = 10;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  write_many(cluster, 1, 50);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  Watch w = {.bounce_first = 51, .expected = 51, .times = 1};
  set_watch(cluster, &w);
  write_many(cluster, 1, 10);
  guint64 all = 60;
  gint64 took_us = fake_run_until(cluster, has_applied, &all, G_USEC_PER_SEC);
  ck_assert_uint_eq(w.batches, 2);
  ck_assert_uint_eq(w.firsts[1], 51);
  ck_assert_int_ge(took_us, 50000); /* one first wait of 50 to 100 ms */
  ck_assert_int_le(took_us, 120000);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_uint_eq(fake_peer_status(status, 2)->batches_retried, 1);
}
END_TEST

START_TEST(out_of_window_goes_back_behind_what_was_acknowledged)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 5);
  cluster->options.max_requests_per_batch = 10;
  cluster->options.mirror_sync_interval_ms = 60000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 200000);
  Watch w = {.bounce_first = 51, .expected = 41, .times = 1};
  set_watch(cluster, &w);
  write_many(cluster, 1, 10);
  guint64 all = 60;
  fake_run_until(cluster, has_applied, &all, G_USEC_PER_SEC);
  ck_assert_uint_eq(MIN(w.firsts[1], w.firsts[2]), 41); /* one may overtake the other */
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_uint_eq(status->entries_applied, 60);
}
END_TEST

/* --- reconnecting -------------------------------------------------------------------------------
 */

START_TEST(restarted_peer_gets_the_first_entry_at_once)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 6);
  fake_kill(cluster, 2);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 10 * 60 * G_USEC_PER_SEC); /* the wait is at its longest by now */
  fake_start(cluster, 2, FALSE);
  guint64 all = 10;
  gint64 took_us = fake_run_until(cluster, has_applied, &all, 60 * G_USEC_PER_SEC);
  /* Their connect and handshake, ours, a read of the WAL at most, the batch: no wait at all. */
  ck_assert_int_le(took_us, 8 * cluster->delay_max_us + 3 * cluster->disk_us);
}
END_TEST

START_TEST(restarted_sender_goes_on_at_once)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 7);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 20000);
  fake_partition(cluster, 1U << 1, 1U << 2);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 20000);
  fake_kill(cluster, 1);
  fake_heal(cluster);
  fake_start(cluster, 1, FALSE);
  Watch w = {0};
  set_watch(cluster, &w);
  guint64 all = 20;
  gint64 took_us = fake_run_until(cluster, has_applied, &all, 60 * G_USEC_PER_SEC);
  ck_assert_int_le(took_us, 8 * cluster->delay_max_us + 3 * cluster->disk_us);
  ck_assert_uint_eq(w.firsts[0], 11); /* it knows what is there */
  ck_assert_uint_eq(w.entries, 10);
}
END_TEST

START_TEST(reset_channel_is_back_after_one_short_wait)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 8);
  for (guint i = 1; i <= 20; i++) {
    fake_reset_channel(cluster, 1, 2);
    write_many(cluster, 1, 1);
    guint64 all = i;
    /* Never more than the basic wait: each success makes the next wait short again. */
    ck_assert_int_le(fake_run_until(cluster, has_applied, &all, G_USEC_PER_SEC), 110000);
    fake_run_for(cluster, 10000);
  }
}
END_TEST

START_TEST(waits_grow_up_to_the_longest)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 9);
  cluster->options.max_retry_wait_ms = 3000;
  fake_start(cluster, 1, FALSE);
  guint64 before = cluster->next_channel;
  fake_run_for(cluster, 60 * G_USEC_PER_SEC);
  guint64 tries = cluster->next_channel - before;
  /* About 6 while the wait grows, then one each 1.5 to 3 s. */
  ck_assert_uint_ge(tries, 20);
  ck_assert_uint_le(tries, 6 + 40);
}
END_TEST

/* One peer that is gone stops nobody else. */
START_TEST(dead_peer_does_not_hold_up_the_others)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 10);
  fake_kill(cluster, 3);
  for (guint i = 1; i <= 200; i++) {
    write_many(cluster, 1, 10);
    guint64 all = 10 * i;
    ck_assert_int_le(fake_run_until(cluster, has_applied, &all, G_USEC_PER_SEC), 10000);
  }
  fake_start(cluster, 3, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(one_way_cut_is_survived)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 11);
  fake_cut(cluster, 2, 1, TRUE); /* answers of 2 get lost, requests arrive */
  write_many(cluster, 1, 100);
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  fake_heal(cluster);
  fake_run_until_equal(cluster, 60 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_uint_eq(status->entries_applied, 100);
}
END_TEST

/* --- the tail and the WAL -----------------------------------------------------------------------
 */

START_TEST(behind_the_tail_comes_from_the_wal)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 12);
  cluster->options.max_pending_requests = 50;
  fake_start(cluster, 1, FALSE);
  for (guint i = 0; i < 100; i++) {
    write_many(cluster, 1, 10);
    fake_run_for(cluster, 3000);
  }
  Watch w = {0};
  set_watch(cluster, &w);
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(w.entries, 1000);
  ck_assert_uint_gt(w.from_wal, 0);
  ck_assert_uint_lt(w.from_wal, w.batches); /* the end came from the tail */
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  const PeerStatus *peer = fake_peer_status(status, 2);
  ck_assert_uint_eq(peer->entries_from_wal + peer->entries_from_tail, 1000);
  ck_assert_uint_ge(peer->entries_from_tail, 30);
  ck_assert_uint_le(peer->entries_from_tail, 80);
  /* Caught up, nothing is read any more. */
  guint64 reads = cluster->nodes[1].reads;
  write_many(cluster, 1, 20);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(cluster->nodes[1].reads, reads);
}
END_TEST

START_TEST(tail_is_bounded_by_bytes_too)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 13);
  cluster->options.max_pending_bytes = 2000;
  fake_start(cluster, 1, FALSE);
  for (guint i = 0; i < 50; i++) {
    write_many(cluster, 1, 2);
    fake_run_for(cluster, 3000);
  }
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  /* Records of 54 to 130 bytes. */
  ck_assert_uint_le(fake_peer_status(status, 2)->entries_from_tail, 40);
  ck_assert_uint_ge(fake_peer_status(status, 2)->entries_from_wal, 60);
}
END_TEST

START_TEST(batches_are_bounded)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 14);
  cluster->options.max_size_per_batch = 300;
  fake_start(cluster, 1, FALSE);
  write_many(cluster, 1, 100);
  fake_run_for(cluster, 10000);
  Watch w = {0};
  set_watch(cluster, &w);
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_ge(w.batches, 100 / 5); /* at most five records of 54 bytes */
  ck_assert_uint_le(w.batches, 100);
}
END_TEST

/* Entries that are greater than a batch may be travel alone. */
START_TEST(no_batch_is_too_small_for_one_entry)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 15);
  cluster->options.max_size_per_batch = 1;
  cluster->options.max_pending_requests = 1;
  fake_start_all(cluster);
  write_many(cluster, 1, 30);
  fake_run_for(cluster, 10000);
  write_many(cluster, 1, 30);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 60);
}
END_TEST

START_TEST(unreadable_wal_is_told_and_tried_again)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 16);
  cluster->options.max_pending_requests = 1;
  fake_start(cluster, 1, FALSE);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 10000);
  fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 10000);
  cluster->nodes[1].reads_fail = TRUE;
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 10 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_written(cluster, 2, fake_own_log(cluster, 1)), 0);
  ck_assert_uint_ge(cluster->nodes[1].reads, 5);
  ck_assert_uint_le(cluster->nodes[1].reads, 20); /* with waits between */
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert(fake_says(fake_peer_status(status, 2)->message, "the disk says no"));
  cluster->nodes[1].reads_fail = FALSE;
  fake_run_until_equal(cluster, 30 * G_USEC_PER_SEC);
}
END_TEST

/* A read of the WAL may overtake the telling that its end is durable: that part is not sent yet. */
START_TEST(read_beyond_what_is_durable_is_cut)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 21);
  fake_start(cluster, 1, FALSE);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 10000);
  fake_kill(cluster, 1);
  fake_start(cluster, 1, FALSE); /* the tail is empty, the peer is served from the WAL */
  cluster->nodes[1].reads_run_ahead = TRUE;
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_ge(cluster->nodes[1].reads, 1);
  ck_assert_uint_eq(fake_written(cluster, 2, fake_own_log(cluster, 1)), 50);
}
END_TEST

/* With a wal_sync weaker than group, what is acknowledged may not be readable for a moment. */
START_TEST(empty_read_is_not_repeated_without_end)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 20);
  fake_start(cluster, 1, FALSE);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 10000);
  fake_kill(cluster, 1);
  fake_start(cluster, 1, FALSE);
  cluster->nodes[1].reads_find_nothing = TRUE;
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_ge(cluster->nodes[1].reads, 1);
  ck_assert_uint_le(cluster->nodes[1].reads, 100);
  cluster->nodes[1].reads_find_nothing = FALSE;
  fake_run_until_equal(cluster, 2 * G_USEC_PER_SEC);
}
END_TEST

/* --- convergence --------------------------------------------------------------------------------
 */

START_TEST(both_sides_of_a_partition_go_on)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 17);
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  for (guint i = 0; i < 100; i++) {
    for (guint node = 1; node <= 3; node++)
      fake_write(cluster, node, node == 1 ? ACK_LOCAL : ACK_MAJORITY, G_USEC_PER_SEC);
    fake_run_for(cluster, 50000);
  }
  FakeWriteCounts counts = fake_count_writes(cluster);
  ck_assert_uint_eq(counts.ok, 300);
  fake_heal(cluster);
  fake_run_until_equal(cluster, 25 * G_USEC_PER_SEC);
  for (guint of = 1; of <= 3; of++)
    ck_assert_uint_eq(fake_applied(cluster, 1, fake_own_log(cluster, of)), 100);
}
END_TEST

START_TEST(same_seed_same_history)
{
  gint64 ends_us[2];
  guint64 channels[2], steps[2];
  for (guint i = 0; i < 2; i++) {
    g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 18);
    cluster->lose_percent = 5;
    cluster->duplicate_percent = 10;
    cluster->delay_max_us = 30000;
    cluster->request_timeout_us = 100000;
    fake_start_all(cluster);
    for (guint k = 0; k < 100; k++) {
      write_many(cluster, 1 + k % 3, 5);
      fake_run_for(cluster, 20000);
    }
    cluster->lose_percent = 0;
    fake_run_until_equal(cluster, 60 * G_USEC_PER_SEC);
    ends_us[i] = cluster->now_us;
    channels[i] = cluster->next_channel;
    steps[i] = cluster->next_seq;
  }
  ck_assert_int_eq(ends_us[0], ends_us[1]);
  ck_assert_uint_eq(channels[0], channels[1]);
  ck_assert_uint_eq(steps[0], steps[1]);
}
END_TEST

/* A write that waits for others is synced there at once, also when its batch overtook an older one.
 */
START_TEST(overtaken_batch_does_not_delay_the_sync)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 19);
  cluster->options.mirror_sync_interval_ms = 10000;
  cluster->options.max_requests_per_batch = 1;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  for (guint round = 0; round < 30; round++) {
    cluster->delay_max_us = 30000;
    write_many(cluster, 1, 3);
    fake_run_for(cluster, 3000);
    FakeWrite *write = fake_write(cluster, 1, ACK_ALL, 5 * G_USEC_PER_SEC);
    fake_run_for(cluster, 2 * G_USEC_PER_SEC);
    ck_assert(write->answered);
    ck_assert_int_eq(write->status, SYNCLOG_OK);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {every_batch_comes_twice,
                                batches_overtake_each_other,
                                lost_batch_holds_the_five_behind_it,
                                gap_that_is_never_filled_is_told,
                                busy_log_is_not_stalled,
                                leftovers_do_not_close_the_window,
                                out_of_window_sets_the_cursor_back,
                                out_of_window_goes_back_behind_what_was_acknowledged,
                                restarted_peer_gets_the_first_entry_at_once,
                                restarted_sender_goes_on_at_once,
                                reset_channel_is_back_after_one_short_wait,
                                waits_grow_up_to_the_longest,
                                dead_peer_does_not_hold_up_the_others,
                                one_way_cut_is_survived,
                                behind_the_tail_comes_from_the_wal,
                                tail_is_bounded_by_bytes_too,
                                batches_are_bounded,
                                no_batch_is_too_small_for_one_entry,
                                read_beyond_what_is_durable_is_cut,
                                unreadable_wal_is_told_and_tried_again,
                                empty_read_is_not_repeated_without_end,
                                both_sides_of_a_partition_go_on,
                                same_seed_same_history,
                                overtaken_batch_does_not_delay_the_sync};
  return RUN_SUITE("group_network", tests);
}
