/* What stays in the logs for whom, and who needs a snapshot. */
#include "support/fake_cluster.c"
#include "support/suite.h"

/* In ROUND_US it is looked twice what can be deleted. */
enum { LONG_US = 20 * G_USEC_PER_SEC, ROUND_US = 25 * G_USEC_PER_SEC };

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

static void persist_all(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++)
    if (cluster->nodes[i].group != NULL)
      fake_persist(cluster, i);
  fake_run_for(cluster, ROUND_US);
}

static guint64 first_kept(FakeCluster *cluster, guint node, LogId log)
{
  g_autoptr(Progress) progress = group_progress(fake_node(cluster, node)->group);
  return progress_find(progress, log)->first_available;
}

static void give_up(FakeCluster *cluster, guint node, LogId log, guint64 index)
{
  cluster->over_limit = TRUE;
  group_give_up(fake_node(cluster, node)->group, log, index);
  fake_run_for(cluster, ROUND_US);
}

static gboolean needs_reseed(FakeCluster *cluster, guint node, guint32 peer)
{
  g_autoptr(NodeStatus) status = fake_status(cluster, node);
  return fake_peer_status(status, peer)->needs_reseed;
}

/* A member that is away holds the logs, until the limit gives it up. */
START_TEST(the_limit_gives_a_member_up)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 1);
  LogId log = fake_own_log(cluster, 1);
  write_many(cluster, 1, 50);
  fake_run_until_equal(cluster, LONG_US);
  fake_kill(cluster, 3);
  write_many(cluster, 1, 200);
  fake_run_until_equal(cluster, LONG_US);
  persist_all(cluster);
  ck_assert_uint_le(first_kept(cluster, 1, log), 51);
  ck_assert(!needs_reseed(cluster, 1, 3));
  give_up(cluster, 1, log, 120);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 121);
  ck_assert(needs_reseed(cluster, 1, 3));
  ck_assert(!needs_reseed(cluster, 1, 2));
  ck_assert_ptr_nonnull(strstr(fake_node(cluster, 1)->notes->str, "node 3 is further behind"));
  ck_assert(!group_needs_seed(fake_node(cluster, 1)->group));
  /* Node 2 keeps its mirror: who comes back gets the rest from there, and needs no snapshot. */
  fake_start(cluster, 3, FALSE);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 250);
  ck_assert(!group_needs_seed(fake_node(cluster, 3)->group));
  fake_run_for(cluster, 5 * G_USEC_PER_SEC); /* a heartbeat tells it */
  ck_assert(!needs_reseed(cluster, 1, 3));
}
END_TEST

START_TEST(who_lacks_what_all_deleted_needs_a_snapshot)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 2);
  LogId log = fake_own_log(cluster, 1);
  fake_kill(cluster, 3);
  write_many(cluster, 1, 200);
  fake_run_until_equal(cluster, LONG_US);
  persist_all(cluster);
  give_up(cluster, 1, log, 120);
  give_up(cluster, 2, log, 150);
  fake_start(cluster, 3, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  Group *group = fake_node(cluster, 3)->group;
  ck_assert(group_needs_seed(group));
  ck_assert(group_hears_anybody(group));
  ck_assert_uint_ne(group_seeder(group, 0, NULL), 0);
  ck_assert_uint_eq(group_seeder(group, 2, NULL), 2);
  /* Who was asked and gave nothing is asked again only when there is nobody else. */
  g_autoptr(GArray) tried = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint32 first = group_seeder(group, 0, tried);
  g_array_append_val(tried, first);
  guint32 second = group_seeder(group, 0, tried);
  ck_assert_uint_eq(first + second, 3);
  ck_assert_uint_eq(group_seeder(group, first, tried), first);
  g_array_append_val(tried, second);
  ck_assert_uint_eq(group_seeder(group, 0, tried), first);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 0); /* nothing behind the hole (P2) */
  /* Who can't be reached gives nothing. */
  fake_kill(cluster, 1);
  fake_kill(cluster, 2);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(group_seeder(group, 0, NULL), 0);
  ck_assert(!group_hears_anybody(group));
}
END_TEST

/* All who had what is missing are declared lost: the survivors go on with what they have. */
START_TEST(no_snapshot_is_needed_when_nobody_has_more)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(5, 6);
  LogId log = fake_own_log(cluster, 1);
  fake_kill(cluster, 4);
  fake_kill(cluster, 5);
  write_many(cluster, 1, 200);
  fake_run_until_equal(cluster, LONG_US);
  persist_all(cluster);
  for (guint node = 1; node <= 3; node++)
    give_up(cluster, node, log, 120);
  fake_start(cluster, 4, FALSE);
  fake_start(cluster, 5, FALSE);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  for (guint node = 1; node <= 3; node++)
    fake_kill(cluster, node);
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  Group *group = fake_node(cluster, 4)->group;
  for (guint32 node = 1; node <= 3; node++) {
    ck_assert(group_needs_seed(group));
    ck_assert(group_needs_seed(fake_node(cluster, 5)->group));
    ck_assert(group_forget(group, node, cluster->now_us, NULL));
    fake_run_for(cluster, 2 * G_USEC_PER_SEC);
  }
  ck_assert(!group_needs_seed(group));
  ck_assert(!group_needs_seed(fake_node(cluster, 5)->group));
  g_autoptr(NodeStatus) status = fake_status(cluster, 5);
  ck_assert_str_eq(fake_log_status(status, log)->state, "closed");
  FakeWrite *write = fake_write(cluster, 4, ACK_ALL, LONG_US);
  fake_run_until_equal(cluster, LONG_US);
  fake_run_for(cluster, G_USEC_PER_SEC);
  ck_assert(write->answered && write->status == SYNCLOG_OK);
}
END_TEST

/* What its writer alone has is kept, whatever the limit says: two members, or a part without a
 * majority. */
START_TEST(the_limit_needs_a_majority)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(2, 3);
  LogId log = fake_own_log(cluster, 1);
  fake_kill(cluster, 2);
  write_many(cluster, 1, 100);
  fake_run_for(cluster, G_USEC_PER_SEC);
  persist_all(cluster);
  give_up(cluster, 1, log, 90);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 1);
  ck_assert(!needs_reseed(cluster, 1, 2));

  g_autoptr(FakeCluster) parted = ready_cluster(3, 4);
  LogId alone = fake_own_log(parted, 3), together = fake_own_log(parted, 1);
  fake_partition(parted, 1 << 3, 1 << 1 | 1 << 2);
  write_many(parted, 3, 100);
  write_many(parted, 1, 100);
  fake_run_for(parted, 5 * G_USEC_PER_SEC);
  persist_all(parted);
  give_up(parted, 3, alone, 90);
  give_up(parted, 1, together, 90);
  ck_assert_uint_eq(first_kept(parted, 3, alone), 1);
  ck_assert_uint_eq(first_kept(parted, 1, together), 91);
}
END_TEST

START_TEST(a_hold_keeps_what_nobody_needs)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 5);
  LogId log = fake_own_log(cluster, 1), other = fake_own_log(cluster, 2);
  write_many(cluster, 1, 50);
  write_many(cluster, 2, 50);
  fake_run_until_equal(cluster, LONG_US);
  Group *group = fake_node(cluster, 1)->group;
  g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(LogPoint));
  LogPoint point = {log, 30};
  g_array_append_val(points, point);
  group_hold(group, 7, points);
  for (guint i = 0; i < 3; i++)
    persist_all(cluster);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 31);
  ck_assert_uint_eq(first_kept(cluster, 1, other), 1); /* not named: kept as a whole */
  give_up(cluster, 1, log, 50);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 31);
  group_release(group, 8);
  fake_run_for(cluster, ROUND_US);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 31);
  group_release(group, 7);
  fake_run_for(cluster, ROUND_US);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 51);
  ck_assert_uint_eq(first_kept(cluster, 1, other), 51);
}
END_TEST

static guint64 nothing_applied(gpointer ctx, LogId log)
{
  (void)ctx;
  (void)log;
  return 0;
}

static guint64 so_much_applied(gpointer ctx, LogId log)
{
  (void)log;
  return *(const guint64 *)ctx;
}

/* A store takes the place of this one only where nothing is lost by it. */
START_TEST(a_snapshot_must_cover_what_is_here)
{
  g_autoptr(FakeCluster) cluster = ready_cluster(3, 6);
  LogId log = fake_own_log(cluster, 1);
  write_many(cluster, 1, 60);
  fake_run_until_equal(cluster, LONG_US);
  Group *group = fake_node(cluster, 1)->group;
  g_autofree char *why = NULL;
  ck_assert(group_covers(group, nothing_applied, NULL, &why)); /* its log still has all */
  for (guint i = 0; i < 3; i++)
    persist_all(cluster);
  write_many(cluster, 1, 40);
  fake_run_until_equal(cluster, LONG_US);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 61);
  ck_assert(!group_covers(group, nothing_applied, NULL, &why));
  ck_assert_ptr_nonnull(strstr(why, "up to 0, this node has applied 100"));
  guint64 applied = 59;
  ck_assert(!group_covers(group, so_much_applied, &applied, NULL));
  applied = 60;
  ck_assert(group_covers(group, so_much_applied, &applied, NULL));
  applied = 500;
  ck_assert(group_covers(group, so_much_applied, &applied, NULL));
}
END_TEST

static const char *state_of(const NodeStatus *status, LogId log)
{
  return fake_log_status(status, log)->state;
}

/* What node 1 wrote with a clock that is far ahead waits at the others, and all have it durably. */
static FakeCluster *held_cluster(guint32 seed, guint count)
{
  FakeCluster *cluster = fake_cluster_new(3, seed);
  fake_node(cluster, 1)->wall_offset_ms = 200 * 1000;
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  fake_start_all(cluster);
  write_many(cluster, 1, count);
  fake_run_for(cluster, G_USEC_PER_SEC);
  fake_node(cluster, 1)->wall_offset_ms = 0;
  fake_heal(cluster);
  fake_run_for(cluster, LONG_US);
  LogId log = fake_own_log(cluster, 1);
  for (guint node = 2; node <= 3; node++) {
    ck_assert_uint_eq(fake_durable(cluster, node, log), count);
    ck_assert_uint_eq(fake_applied(cluster, node, log), 0);
  }
  return cluster;
}

static void damage(FakeCluster *cluster, guint node, LogId log, guint64 index)
{
  fake_node(cluster, node)->damaged = log;
  fake_node(cluster, node)->damaged_index = index;
}

static guint count_lines(const char *notes, const char *part)
{
  guint count = 0;
  while ((notes = strstr(notes, part)) != NULL) {
    count++;
    notes++;
  }
  return count;
}

/*
 * An entry that waits for its clock is deleted wherever it is in a store, as this node has it
 * durably, and nowhere else. When it goes bad here before its time, a store is what gives it.
 */
START_TEST(p3_what_goes_bad_while_it_is_held_is_in_a_snapshot)
{
  g_autoptr(FakeCluster) cluster = held_cluster(7, 50);
  LogId log = fake_own_log(cluster, 1);
  persist_all(cluster);
  ck_assert_uint_eq(first_kept(cluster, 1, log), 51);
  ck_assert_uint_eq(first_kept(cluster, 2, log), 1); /* its store does not have them (P5) */
  damage(cluster, 3, log, 20);
  Group *group = fake_node(cluster, 3)->group;
  fake_run_for(cluster, LONG_US);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 0);
  ck_assert(!group_needs_seed(group)); /* nobody has met it yet */
  fake_run_for(cluster, 100 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 50);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 19);
  ck_assert(group_needs_seed(group));
  ck_assert_uint_ne(group_seeder(group, 0, NULL), 0);
  /* What comes behind it fills nothing, and it is told once. */
  for (guint i = 0; i < 10; i++) {
    write_many(cluster, 1, 1);
    fake_run_for(cluster, G_USEC_PER_SEC / 3);
    g_autoptr(NodeStatus) status = fake_status(cluster, 3);
    ck_assert_str_eq(state_of(status, log), "stopped");
    ck_assert(fake_says(fake_log_status(status, log)->message, "a snapshot is needed"));
    ck_assert(group_needs_seed(group));
  }
  ck_assert_uint_eq(fake_written(cluster, 3, log), 60);
  ck_assert_uint_eq(count_lines(fake_node(cluster, 3)->notes->str, "a snapshot is needed"), 1);
  ck_assert_uint_eq(fake_applied(cluster, 3, log), 19); /* P2 */
}
END_TEST

/* A disk that failed works again. */
START_TEST(p9_no_snapshot_is_needed_once_it_can_be_read)
{
  g_autoptr(FakeCluster) cluster = held_cluster(8, 50);
  LogId log = fake_own_log(cluster, 1);
  damage(cluster, 3, log, 20);
  Group *group = fake_node(cluster, 3)->group;
  fake_run_for(cluster, 150 * G_USEC_PER_SEC);
  ck_assert(group_needs_seed(group));
  fake_node(cluster, 3)->damaged_index = 0;
  fake_run_until_equal(cluster, 2 * G_USEC_PER_SEC);
  ck_assert(!group_needs_seed(group));
  g_autoptr(NodeStatus) status = fake_status(cluster, 3);
  ck_assert_str_eq(state_of(status, log), "ok");
}
END_TEST

/* Only a store helps that has the entry: here nobody's does yet, as its writer is gone for good. */
START_TEST(p3_who_holds_it_himself_gives_it_when_its_time_has_come)
{
  g_autoptr(FakeCluster) cluster = held_cluster(9, 50);
  LogId log = fake_own_log(cluster, 1);
  fake_kill(cluster, 1);
  persist_all(cluster);
  ck_assert_uint_eq(first_kept(cluster, 2, log), 1);
  damage(cluster, 3, log, 20);
  fake_node(cluster, 2)->apply_paused = TRUE;
  fake_run_for(cluster, 150 * G_USEC_PER_SEC);
  Group *group = fake_node(cluster, 3)->group;
  ck_assert(group_needs_seed(group));
  ck_assert_uint_eq(group_seeder(group, 0, NULL), 0);
  fake_node(cluster, 2)->apply_paused = FALSE;
  write_many(cluster, 2, 1); /* the store goes on */
  fake_run_for(cluster, 5 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_applied(cluster, 2, log), 50);
  ck_assert_uint_eq(group_seeder(group, 0, NULL), 2);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {the_limit_gives_a_member_up,
                                who_lacks_what_all_deleted_needs_a_snapshot,
                                no_snapshot_is_needed_when_nobody_has_more,
                                the_limit_needs_a_majority,
                                a_hold_keeps_what_nobody_needs,
                                a_snapshot_must_cover_what_is_here,
                                p3_what_goes_bad_while_it_is_held_is_in_a_snapshot,
                                p9_no_snapshot_is_needed_once_it_can_be_read,
                                p3_who_holds_it_himself_gives_it_when_its_time_has_come};
  return RUN_SUITE("seed", tests);
}
