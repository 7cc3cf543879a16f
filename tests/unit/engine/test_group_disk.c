/* Restarts, power losses, full and broken disks, deletion of what nobody needs, lost parts of logs.
 */
#include "support/fake_cluster.c"

#include "engine/group_private.h"
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

/* Writes that are on all nodes, one after the other. */
static void write_through(FakeCluster *cluster, guint node, guint count)
{
  write_many(cluster, node, count);
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
}

static void persist_all(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++)
    if (cluster->nodes[i].group != NULL)
      fake_persist(cluster, i);
}

/* Drops what a node that is down has of a log above `index`, from its WAL only. */
static void cut_log(FakeCluster *cluster, guint node, LogId id, guint64 index)
{
  FakeLog *log = fake_find_log(cluster, node, id);
  g_assert(cluster->nodes[node].group == NULL && index >= log->base);
  g_ptr_array_set_size(log->records, (gint)(index - log->base));
  log->durable = MIN(log->durable, index);
}

static FakeVerdict count_filter(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                                SyncReply *reply)
{
  (void)from;
  (void)to;
  (void)reply;
  *(guint64 *)ctx += batch->last_index - batch->first_index + 1;
  return FAKE_DELIVER;
}

/* --- restarts -----------------------------------------------------------------------------------
 */

START_TEST(restart_goes_on_where_it_was)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
  write_through(cluster, 1, 100);
  guint64 sent = 0;
  cluster->filter = count_filter;
  cluster->filter_ctx = &sent;
  for (guint i = 0; i < 6; i++) {
    guint node = 1 + i % 3;
    fake_kill(cluster, node);
    fake_run_for(cluster, 100000);
    fake_start(cluster, node, FALSE);
    write_through(cluster, 1 + (i + 1) % 3, 10);
  }
  /* Each of the 60 new ones went to two nodes, and no old one again. */
  ck_assert_uint_eq(sent, 120);
  ck_assert_uint_eq(fake_applied(cluster, 3, fake_own_log(cluster, 1)), 100 + 20);
}
END_TEST

START_TEST(d01_acknowledged_writes_survive_power_losses)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 2);
  for (guint i = 0; i < 60; i++) {
    guint node = 1 + i % 3;
    for (guint k = 0; k < 20; k++)
      fake_write(cluster, node, k % 2 == 0 ? ACK_LOCAL : ACK_MAJORITY, G_USEC_PER_SEC);
    if (i % 4 == 0)
      persist_all(cluster);
    fake_run_for(cluster, g_rand_int_range(cluster->rand, 0, 20000));
    fake_power_off(cluster, node);
    fake_run_for(cluster, g_rand_int_range(cluster->rand, 0, 300000));
    fake_start(cluster, node, FALSE);
  }
  fake_run_until_equal(cluster, 30 * G_USEC_PER_SEC);
  guint answered = 0;
  for (guint i = 0; i < cluster->writes->len; i++) {
    const FakeWrite *write = cluster->writes->pdata[i];
    if (!write->answered)
      continue;
    answered++;
    for (guint node = 1; node <= 3; node++)
      ck_assert_uint_ge(fake_applied(cluster, node, write->token.log), write->token.index);
  }
  ck_assert_uint_gt(answered, 300);
}
END_TEST

START_TEST(store_becomes_durable_after_its_logs)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(2, 3);
  cluster->options.mirror_sync_interval_ms = 60000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 50000);
  LogId log = fake_own_log(cluster, 1);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 50);
  ck_assert_uint_eq(fake_durable(cluster, 2, log), 0);
  ck_assert(!group_mirrors_synced(cluster->nodes[2].group));
  fake_persist(cluster, 2); /* the fake checks that the log is synced first */
  fake_run_for(cluster, 10000);
  ck_assert_uint_eq(fake_find_log(cluster, 2, log)->durable, 50);
  ck_assert_uint_eq(fake_find_applied(cluster, 2, log)->durable, 50);
}
END_TEST

/* --- full and broken disks ----------------------------------------------------------------------
 */

static void refuse_and_go_on_later(gboolean busy)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 4);
  write_through(cluster, 1, 5);
  cluster->nodes[1].disk_full = TRUE;
  cluster->nodes[1].busy = busy;
  FakeWrite *refused = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(refused->status, busy ? SYNCLOG_OVERLOADED : SYNCLOG_NO_SPACE);
  ck_assert(refused->answered);
  cluster->nodes[1].disk_full = FALSE;
  FakeWrite *taken = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  ck_assert_int_eq(taken->status, SYNCLOG_OK);
  ck_assert_uint_eq(taken->token.index, 6);
  ck_assert_uint_gt(taken->write.hlc, refused->write.hlc);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 6);
}

START_TEST(full_disk_refuses_and_goes_on_later)
{
  refuse_and_go_on_later(FALSE);
}
END_TEST

/* Nothing was written, as on a full disk, and nobody restarts a node for that. */
START_TEST(p8_a_lack_of_descriptors_refuses_and_goes_on_later)
{
  refuse_and_go_on_later(TRUE);
}
END_TEST

START_TEST(broken_disk_makes_the_own_log_read_only)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 5);
  write_through(cluster, 1, 5);
  cluster->nodes[1].disk_broken = TRUE;
  FakeWrite *failed = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 500); /* it is being written */
  FakeWrite *queued = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 10000);
  ck_assert_int_eq(failed->status, SYNCLOG_READ_ONLY);
  ck_assert_int_eq(queued->status, SYNCLOG_READ_ONLY);
  cluster->nodes[1].disk_broken = FALSE; /* never tried again as if nothing had happened */
  FakeWrite *later = fake_write(cluster, 1, ACK_LOCAL, 0);
  ck_assert(!later->taken);
  ck_assert_int_eq(later->status, SYNCLOG_READ_ONLY);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert_str_eq(status->state, "read-only");
  ck_assert_str_eq(fake_log_status(status, fake_own_log(cluster, 1))->state, "read-only");
  ck_assert(fake_says(cluster->nodes[1].notes->str, "the disk says no"));
  /* The others still write, and it still receives. */
  write_through(cluster, 2, 5);
}
END_TEST

static void hold_a_follower(gboolean busy)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 6);
  LogId log = fake_own_log(cluster, 1);
  cluster->nodes[2].disk_full = TRUE;
  cluster->nodes[2].busy = busy;
  for (guint i = 0; i < 50; i++) {
    fake_write(cluster, 1, ACK_MAJORITY, G_USEC_PER_SEC);
    write_many(cluster, 1, 40);
    fake_run_for(cluster, 20000);
  }
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 50 * 41);
  ck_assert_uint_lt(fake_applied(cluster, 2, log), 50 * 41);
  g_autoptr(NodeStatus) status = fake_status(cluster, 1);
  ck_assert(fake_says(fake_peer_status(status, 2)->message, busy ? "overloaded" : "no space"));
  cluster->nodes[2].disk_full = FALSE;
  fake_run_until_equal(cluster, 30 * G_USEC_PER_SEC);
}

START_TEST(full_disk_of_a_follower_holds_only_it)
{
  hold_a_follower(FALSE);
}
END_TEST

START_TEST(p8_a_follower_without_descriptors_goes_on_later)
{
  hold_a_follower(TRUE);
}
END_TEST

/*
 * Node 1's disk becomes full while runs of node 3's log are on their way to it, and that log is
 * closed at the same moment: node 1 has told to have received them, and does not have them.
 */
static void check_closed_log(guint32 seed)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, seed);
  cluster->delay_min_us = 1000;
  cluster->delay_max_us = 20000;
  cluster->disk_us = 30000;
  fake_partition(cluster, 1U << 1, 1U << 3);
  fake_run_for(cluster, 8 * G_USEC_PER_SEC); /* node 2 hands on */
  LogId id = fake_own_log(cluster, 3);
  write_many(cluster, 3, 3000);
  const Log *log = group_find_log(fake_node(cluster, 1)->group, id);
  for (guint i = 0; reorder_waiting(log->reorder) == 0 || log->to_write->len == 0 ||
                    reorder_expected(log->reorder) <= log->written + 1;
       i++) {
    ck_assert_uint_lt(i, 20000);
    fake_run_for(cluster, 500);
  }
  fake_node(cluster, 1)->disk_full = TRUE;
  fake_kill(cluster, 3);
  fake_heal(cluster);
  fake_start(cluster, 3, TRUE);
  for (guint i = 0; i < 3000 && fake_node(cluster, 1)->last_reply != SYNCLOG_OUT_OF_WINDOW; i++)
    fake_run_for(cluster, 1000);
  fake_run_for(cluster, 60000);
  fake_node(cluster, 1)->disk_full = FALSE;
  fake_run_until_equal(cluster, 30 * G_USEC_PER_SEC);
  ck_assert(strstr(fake_node(cluster, 1)->notes->str, "does not come") == NULL);
}

START_TEST(a_closed_log_goes_on_after_a_full_disk)
{
  for (guint32 seed = 1; seed <= HISTORIES(48); seed++)
    check_closed_log(seed);
}
END_TEST

START_TEST(a_hole_that_the_sender_does_not_know_of_is_told)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 1);
  write_through(cluster, 1, 20);
  LogId log = fake_own_log(cluster, 1);
  fake_partition(cluster, 1U << 1, 1U << 2);
  write_many(cluster, 1, 20);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_inject(cluster, 2, log, 31, fake_true_run(cluster, log, 31, 40), NULL, FALSE);
  fake_run_for(cluster, 4 * G_USEC_PER_SEC);
  ck_assert_int_ne(fake_node(cluster, 2)->last_reply, SYNCLOG_OUT_OF_WINDOW);
  fake_run_for(cluster, 3 * G_USEC_PER_SEC);
  ck_assert_int_eq(fake_node(cluster, 2)->last_reply, SYNCLOG_OUT_OF_WINDOW);
  ck_assert_uint_eq(fake_node(cluster, 2)->last_expected, 21);
  fake_heal(cluster);
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(broken_mirror_is_read_only_and_told)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 7);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 5);
  cluster->nodes[2].disk_broken = TRUE;
  write_many(cluster, 1, 5);
  fake_run_for(cluster, G_USEC_PER_SEC);
  cluster->nodes[2].disk_broken = FALSE;
  fake_run_for(cluster, 30 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 10);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 5);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(fake_log_status(status, log)->state, "read-only");
  g_autoptr(NodeStatus) sender = fake_status(cluster, 1);
  ck_assert(fake_says(fake_peer_status(sender, 2)->message, "read-only"));
  /* Its other logs go on; a restart brings this one back. */
  FakeWrite *write = fake_write(cluster, 2, ACK_ALL, G_USEC_PER_SEC);
  fake_run_for(cluster, 20000);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert(write->answered);
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
}
END_TEST

/* --- deletion -----------------------------------------------------------------------------------
 */

/* The fake checks at each trim that all disks and this node's store have it durably (P5). */
/* What a power loss may take from the log, and from its origin too, is not for the store to keep.
 */
START_TEST(p3_the_store_waits_behind_a_mirror_that_can_not_be_synced)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 17);
  cluster->options.mirror_sync_interval_ms = 60000;
  fake_start_all(cluster);
  fake_run_for(cluster, 500000);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 50000);
  LogId log = fake_own_log(cluster, 1);
  FakeNode *node = fake_node(cluster, 2);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 50);
  ck_assert_ptr_null(group_why_unsyncable(node->group));
  node->disk_broken = TRUE;
  fake_persist(cluster, 2);
  fake_run_for(cluster, 10000);
  node->disk_broken = FALSE;
  g_autofree char *why = group_why_unsyncable(node->group);
  ck_assert_ptr_nonnull(why);
  ck_assert(strstr(why, "durable up to 0 and applied up to 50") != NULL);
  ck_assert(!group_mirrors_synced(node->group));
  write_many(cluster, 3, 5); /* other logs go on */
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 3)), 5);
  ck_assert_uint_eq(fake_find_applied(cluster, 2, log)->durable, 0);
  fake_power_off(cluster, 2);
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_persist(cluster, 2);
  fake_run_until_equal(cluster, 100 * G_USEC_PER_SEC); /* the others sync once a minute */
  ck_assert_uint_eq(fake_find_applied(cluster, 2, log)->durable, 50);
}
END_TEST

/* Entries that are synced as they come are not applied when that fails: the store has no reason to
 * wait. */
START_TEST(p3_what_could_not_be_synced_is_not_applied)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 18);
  write_through(cluster, 1, 5);
  FakeNode *node = fake_node(cluster, 2);
  fake_persist(cluster, 2);
  fake_run_for(cluster, 10000);
  LogId log = fake_own_log(cluster, 1);
  node->sync_broken = TRUE;
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, 500000);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert_int_eq(write->status, SYNCLOG_PENDING);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 5);
  ck_assert_ptr_null(group_why_unsyncable(node->group));
  ck_assert(group_mirrors_synced(node->group));
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(fake_log_status(status, log)->state, "read-only");
  node->sync_broken = FALSE;
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(what_all_have_is_deleted)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 8);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 0); /* no store has it durably */
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  for (guint i = 1; i <= 3; i++)
    ck_assert_uint_eq(fake_find_log(cluster, i, log)->base, 100);
  write_through(cluster, 1, 10);
  fake_kill(cluster, 2);
  fake_start(cluster, 2, FALSE);
  write_through(cluster, 1, 10);
}
END_TEST

/* Of a log that nobody writes to any more. It is tried ever more rarely, and at once again after a
 * success. */
START_TEST(a_deletion_that_failed_is_tried_again)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 8);
  cluster->nodes[1].deletes_fail = TRUE;
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 1000 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 0);
  ck_assert_uint_eq(fake_find_log(cluster, 2, log)->base, 100);
  guint64 tries = cluster->nodes[1].trims; /* 100 retention intervals */
  ck_assert_uint_ge(tries, 5);
  ck_assert_uint_le(tries, 8);
  fake_run_for(cluster, 2000 * G_USEC_PER_SEC); /* the wait is 65 at most */
  ck_assert_uint_ge(cluster->nodes[1].trims, tries + 2);
  cluster->nodes[1].deletes_fail = FALSE;
  fake_run_for(cluster, 700 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 100);
  tries = cluster->nodes[1].trims;
  fake_run_for(cluster, 700 * G_USEC_PER_SEC);
  ck_assert_uint_eq(cluster->nodes[1].trims, tries);
  write_through(cluster, 1, 10);
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 110);
}
END_TEST

/* A mirror that goes on behind what the store has, while there is no descriptor for that. */
START_TEST(p8_a_mirror_that_could_not_begin_anew_does_so_later)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 34);
  LogId log = fake_own_log(cluster, 1);
  FakeNode *node = fake_node(cluster, 2);
  node->deletes_fail = TRUE;
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 100);
  fake_kill(cluster, 2);
  cut_log(cluster, 2, log, 50);
  const FakeLog *mirror = fake_find_log(cluster, 2, log);
  node->disk_full = node->busy = TRUE;
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  ck_assert_uint_eq(mirror->records->len, 50);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 100);
  node->disk_full = node->busy = FALSE;
  fake_run_until_equal(cluster, 10 * G_USEC_PER_SEC);
  ck_assert_uint_eq(mirror->base, 100);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 110);
}
END_TEST

START_TEST(what_one_lacks_is_kept)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 9);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC); /* a heartbeat tells what node 3 has */
  fake_kill(cluster, 3);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 60 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 100);
  ck_assert_uint_eq(fake_find_log(cluster, 2, log)->base, 100);
  fake_start(cluster, 3, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(nothing_is_deleted_for_a_member_never_seen)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(3, 10);
  fake_start(cluster, 1, FALSE);
  fake_start(cluster, 2, FALSE);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 60 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, fake_own_log(cluster, 1))->base, 0);
  fake_start(cluster, 3, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
}
END_TEST

typedef struct Refuse {
  gboolean on;
} Refuse;

static FakeVerdict refuse_all(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                              SyncReply *reply)
{
  (void)from;
  (void)to;
  (void)batch;
  if (!((Refuse *)ctx)->on)
    return FAKE_DELIVER;
  reply->status = SYNCLOG_NO_SPACE;
  return FAKE_ANSWER;
}

/*
 * The answer to a batch is a refusal, but its entries got there all the same, and the peer's
 * progress says so. When they are deleted here, the cursor must not look for them.
 */
START_TEST(cursor_does_not_look_for_what_was_deleted)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 11);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 10);
  Refuse refuse = {TRUE};
  cluster->filter = refuse_all;
  cluster->filter_ctx = &refuse;
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 10000);
  /* They come by another way: what counts is that node 2 has them. */
  FakeLog *from = fake_find_log(cluster, 1, log);
  fake_inject(cluster, 2, log, 11, fake_true_run(cluster, log, 11, 20), NULL, FALSE);
  fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  ck_assert_uint_eq(from->base, 20);
  refuse.on = FALSE;
  write_many(cluster, 1, 10);
  fake_run_until_equal(cluster, 40 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 30);
}
END_TEST

/* --- lost parts of logs -------------------------------------------------------------------------
 */

START_TEST(s04_lost_tail_of_the_own_log_comes_back_under_a_new_one)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 12);
  LogId former = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_kill(cluster, 1);
  cut_log(cluster, 1, former, 60);
  fake_start(cluster, 1, TRUE);
  write_many(cluster, 1, 10);
  gint64 took_us = fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 1, former), 100);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 10);
  ck_assert_int_le(took_us, 200000); /* at once, but for the sync interval of mirrors */
}
END_TEST

/* The same, but only one peer has the rest: it reaches the other one by way of its origin. */
START_TEST(lost_tail_spreads_from_its_origin)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 13);
  LogId former = fake_own_log(cluster, 1);
  write_through(cluster, 1, 50);
  fake_kill(cluster, 3);
  write_many(cluster, 1, 50);
  fake_run_for(cluster, 200000);
  ck_assert_uint_eq(fake_durable(cluster, 2, former), 100);
  fake_kill(cluster, 1);
  cut_log(cluster, 1, former, 40);
  fake_start(cluster, 1, TRUE);
  fake_start(cluster, 3, FALSE);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 3, former), 100);
}
END_TEST

/* P4: it must not give the lost indices to other entries. It finds out when a peer speaks. */
START_TEST(s05_lost_tail_that_was_not_noticed_begins_a_new_incarnation)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 14);
  LogId former = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_kill(cluster, 1);
  cut_log(cluster, 1, former, 60);
  fake_start(cluster, 1, FALSE);
  fake_run_for(cluster, 100000);
  ck_assert(fake_says(cluster->nodes[1].notes->str, "its end was lost here"));
  LogId own = fake_own_log(cluster, 1);
  ck_assert_uint_ne(own.incarnation, former.incarnation);
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, 5 * G_USEC_PER_SEC);
  ck_assert(write->taken);
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert(log_id_equal(write->token.log, own));
  ck_assert_uint_eq(write->token.index, 1);
  ck_assert_uint_eq(fake_applied(cluster, 1, former), 100);
  ck_assert_uint_eq(fake_applied(cluster, 2, own), 1);
}
END_TEST

/* A token of a former own log is asked for again: the node counts once, not also as its origin. */
START_TEST(p1_an_entry_of_a_former_own_log_is_not_counted_twice)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 22);
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  fake_run_for(cluster, 100000);
  ck_assert(write->answered);
  fake_kill(cluster, 1);
  fake_start(cluster, 1, TRUE);
  fake_run_for(cluster, 100000);
  ck_assert(!log_id_equal(write->token.log, fake_own_log(cluster, 1)));
  Group *group = fake_node(cluster, 1)->group;
  ck_assert(group_is_acked(group, &write->token, ACK_LOCAL));
  ck_assert(!group_is_acked(group, &write->token, ACK_MAJORITY));
  ck_assert(!group_is_acked(group, &write->token, ACK_ALL));
  fake_cut(cluster, 1, 2, FALSE);
  fake_cut(cluster, 2, 1, FALSE);
  fake_run_for(cluster, 20 * G_USEC_PER_SEC);
  ck_assert_uint_ge(fake_durable(cluster, 2, write->token.log), write->token.index);
  ck_assert(group_is_acked(group, &write->token, ACK_MAJORITY));
  fake_heal(cluster);
  fake_run_for(cluster, 20 * G_USEC_PER_SEC);
  ck_assert(group_is_acked(group, &write->token, ACK_ALL));
}
END_TEST

static FakeVerdict lose_from_3_to_1(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                                    SyncReply *reply)
{
  (void)ctx;
  (void)batch;
  (void)reply;
  return from == 3 && to == 1 ? FAKE_LOSE : FAKE_DELIVER;
}

/* An origin counts before it has told that it has an entry, and no more once it lost that. */
START_TEST(p1_an_origin_that_lost_an_entry_is_not_counted)
{
  for (guint32 seed = 23; seed < 33; seed++) {
    g_autoptr(FakeCluster) cluster = ready_cluster(3, seed);
    fake_partition(cluster, 1U << 2, 1U << 1 | 1U << 3);
    FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
    while (!write->answered)
      fake_run_for(cluster, 1000);
    Group *group = fake_node(cluster, 3)->group;
    LogId log = write->token.log;
    while (fake_durable(cluster, 3, log) < write->token.index)
      fake_run_for(cluster, 1000);
    fake_run_for(cluster, 5000);
    ck_assert(group_is_acked(group, &write->token, ACK_MAJORITY));
    fake_kill(cluster, 1);
    cut_log(cluster, 1, log, write->token.index - 1);
    cluster->filter = lose_from_3_to_1;
    fake_start(cluster, 1, seed % 2 == 0); /* else it finds out itself */
    fake_run_for(cluster, 500000);
    for (guint step = 0; step < 100; step++) {
      fake_run_for(cluster, 50000);
      ck_assert_uint_eq(fake_durable(cluster, 1, log), 0);
      ck_assert(!group_is_acked(group, &write->token, ACK_MAJORITY));
    }
    cluster->filter = NULL;
    fake_run_for(cluster, 20 * G_USEC_PER_SEC);
    ck_assert_uint_eq(fake_durable(cluster, 1, log), write->token.index);
    ck_assert(group_is_acked(group, &write->token, ACK_MAJORITY));
  }
}
END_TEST

/* The same with writes that wait while it finds out: none may get an index of the lost part. */
START_TEST(writes_that_wait_go_into_the_new_incarnation)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 21);
  LogId former = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_kill(cluster, 1);
  cut_log(cluster, 1, former, 60);
  cluster->nodes[1].apply_paused = TRUE;
  cluster->options.max_apply_backlog = 0;
  fake_start(cluster, 1, FALSE);
  fake_run_for(cluster, 100000);
  write_many(cluster, 1, 20);
  cluster->nodes[1].apply_paused = FALSE;
  fake_run_until_equal(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, former), 100);
  ck_assert_uint_eq(fake_applied(cluster, 2, fake_own_log(cluster, 1)), 20);
}
END_TEST

START_TEST(lost_mirror_is_fetched_again)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 15);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 100000);
  fake_kill(cluster, 2);
  cut_log(cluster, 2, log, 30); /* the store still has all */
  fake_start(cluster, 2, FALSE);
  fake_run_until_equal(cluster, G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_written(cluster, 2, log), 100);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_uint_eq(status->entries_applied, 0); /* into the WAL only */
}
END_TEST

START_TEST(lost_mirror_goes_on_behind_the_store_when_the_sender_deleted_it)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 16);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_find_log(cluster, 1, log)->base, 100);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  mirror->base = mirror->durable = 30; /* as if an old copy of the directory had come back */
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 100000);
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 110);
  ck_assert_uint_eq(fake_written(cluster, 2, log), 110);
}
END_TEST

START_TEST(deleted_part_that_is_needed_is_told)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 17);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  persist_all(cluster);
  fake_run_for(cluster, 25 * G_USEC_PER_SEC);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  g_ptr_array_set_size(mirror->records, 0);
  mirror->base = mirror->durable = 0; /* WAL and store are gone */
  g_array_set_size(cluster->nodes[2].store, 0);
  fake_start(cluster, 2, FALSE);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 0); /* never with a hole */
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(fake_log_status(status, log)->state, "stopped");
  ck_assert(fake_says(fake_log_status(status, log)->message, "snapshot"));
  /* The rest of the cluster is not hurt. */
  FakeWrite *write = fake_write(cluster, 2, ACK_ALL, G_USEC_PER_SEC);
  fake_run_for(cluster, 20000);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert(write->answered);
}
END_TEST

/* The store lost what the WAL had deleted already: nothing may be applied behind the hole. */
START_TEST(store_without_its_past_stops_a_mirror)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 19);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_kill(cluster, 2);
  FakeLog *mirror = fake_find_log(cluster, 2, log);
  g_ptr_array_remove_range(mirror->records, 0, 50);
  mirror->base = 50;
  fake_start(cluster, 2, FALSE);
  write_many(cluster, 1, 10);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 0);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  ck_assert_str_eq(fake_log_status(status, log)->state, "stopped");
  ck_assert(fake_says(fake_log_status(status, log)->message, "neither"));
  FakeWrite *write = fake_write(cluster, 2, ACK_ALL, G_USEC_PER_SEC);
  fake_run_for(cluster, 20000);
  ck_assert_int_eq(write->status, SYNCLOG_OK);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 110);
}
END_TEST

START_TEST(store_without_its_past_stops_the_own_log)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 20);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 100);
  fake_kill(cluster, 1);
  FakeLog *own = fake_find_log(cluster, 1, log);
  g_ptr_array_remove_range(own->records, 0, 50);
  own->base = 50;
  fake_start(cluster, 1, FALSE);
  fake_run_for(cluster, 100000);
  FakeWrite *write = fake_write(cluster, 1, ACK_LOCAL, 0);
  ck_assert(!write->taken);
  ck_assert_int_eq(write->status, SYNCLOG_READ_ONLY);
  /* It still takes the logs of others. */
  write_many(cluster, 2, 10);
  fake_run_for(cluster, 100000);
  ck_assert_uint_eq(fake_applied(cluster, 1, fake_own_log(cluster, 2)), 10);
}
END_TEST

/* Only what the sender of a log deleted is gone; a third node may have less of it. */
START_TEST(third_nodes_mirror_is_no_alarm)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 18);
  LogId log = fake_own_log(cluster, 1);
  write_through(cluster, 1, 5);
  fake_kill(cluster, 2);
  write_through(cluster, 1, 100);
  fake_persist(cluster, 3);
  fake_run_for(cluster, 100000);
  fake_kill(cluster, 1);
  fake_kill(cluster, 3);
  FakeLog *mirror = fake_find_log(cluster, 3, log);
  g_ptr_array_set_size(mirror->records, 0); /* the WAL directory of the mirror was lost */
  mirror->base = 0;
  fake_start(cluster, 2, FALSE);
  fake_run_for(cluster, 10000);
  write_many(cluster, 2, 1);
  fake_start(cluster, 3, FALSE);
  fake_run_for(cluster, G_USEC_PER_SEC);
  g_autoptr(NodeStatus) status = fake_status(cluster, 2);
  for (guint i = 0; i < status->logs->len; i++)
    ck_assert_str_eq(g_array_index(status->logs, LogStatus, i).state, "ok");
  fake_start(cluster, 1, FALSE);
  fake_run_until_equal(cluster, 60 * G_USEC_PER_SEC);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {restart_goes_on_where_it_was,
                                d01_acknowledged_writes_survive_power_losses,
                                store_becomes_durable_after_its_logs,
                                full_disk_refuses_and_goes_on_later,
                                p8_a_lack_of_descriptors_refuses_and_goes_on_later,
                                broken_disk_makes_the_own_log_read_only,
                                full_disk_of_a_follower_holds_only_it,
                                p8_a_follower_without_descriptors_goes_on_later,
                                a_closed_log_goes_on_after_a_full_disk,
                                a_hole_that_the_sender_does_not_know_of_is_told,
                                broken_mirror_is_read_only_and_told,
                                p3_the_store_waits_behind_a_mirror_that_can_not_be_synced,
                                p3_what_could_not_be_synced_is_not_applied,
                                what_all_have_is_deleted,
                                a_deletion_that_failed_is_tried_again,
                                p8_a_mirror_that_could_not_begin_anew_does_so_later,
                                what_one_lacks_is_kept,
                                nothing_is_deleted_for_a_member_never_seen,
                                cursor_does_not_look_for_what_was_deleted,
                                s04_lost_tail_of_the_own_log_comes_back_under_a_new_one,
                                lost_tail_spreads_from_its_origin,
                                s05_lost_tail_that_was_not_noticed_begins_a_new_incarnation,
                                p1_an_entry_of_a_former_own_log_is_not_counted_twice,
                                p1_an_origin_that_lost_an_entry_is_not_counted,
                                writes_that_wait_go_into_the_new_incarnation,
                                lost_mirror_is_fetched_again,
                                lost_mirror_goes_on_behind_the_store_when_the_sender_deleted_it,
                                deleted_part_that_is_needed_is_told,
                                store_without_its_past_stops_a_mirror,
                                store_without_its_past_stops_the_own_log,
                                third_nodes_mirror_is_no_alarm};
  return RUN_SUITE("group_disk", tests);
}
