/* Nodes that join and leave while the others write. */
#include "support/fake_cluster.c"
#include "support/suite.h"

#include "engine/group_private.h"

enum { LONG_US = 60 * G_USEC_PER_SEC };

/* The daemon's digests, as its housekeeping takes them: here the data is what was applied, and two
 * nodes at the same clock hold the same when their stores got the same. */
static void take_digests(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++) {
    FakeNode *node = fake_node(cluster, i);
    guint64 until;
    if (node->group == NULL || !group_comparable(node->group, &until))
      continue;
    guint64 cut = hlc_from_ms(hlc_ms(until) / 1000 * 1000);
    group_set_check(node->group, cut, 4711);
  }
}

static MemberState state_at(FakeCluster *cluster, guint node, guint32 member)
{
  return membership_state(fake_node(cluster, node)->membership, member);
}

static gboolean all_say(FakeCluster *cluster, guint32 member, MemberState state)
{
  for (guint i = 1; i <= cluster->count; i++)
    if (fake_node(cluster, i)->group != NULL && i != member &&
        !membership_is_gone(fake_node(cluster, i)->membership, i) &&
        fake_node(cluster, i)->membership->begun && state_at(cluster, i, member) != state)
      return FALSE;
  return TRUE;
}

/* Lets time pass, with digests, writes here and there, and a look at what must never be. */
static void live(FakeCluster *cluster, gint64 us, guint writers)
{
  gint64 until_us = cluster->now_us + us;
  while (cluster->now_us < until_us) {
    take_digests(cluster);
    for (guint node = 1; node <= writers; node++)
      if (fake_node(cluster, node)->group != NULL)
        fake_write(cluster, node, (AckLevel)(1 + (guint)(cluster->now_us / 1000) % 3),
                   5 * G_USEC_PER_SEC);
    fake_run_for(cluster, 250 * 1000);
  }
}

static void live_until(FakeCluster *cluster, guint32 member, MemberState state, guint writers)
{
  for (guint i = 0; i < 400; i++) {
    if (all_say(cluster, member, state) &&
        (fake_node(cluster, member)->group == NULL || state > MEMBER_ACTIVE ||
         state_at(cluster, member, member) == state))
      return;
    live(cluster, 250 * 1000, writers);
  }
  print_state(cluster);
  ck_abort_msg("node %u does not become %s", member, member_state_name(state));
}

/* `founders` of `count` nodes run; the others are newcomers that are down. */
static FakeCluster *grown_from(guint founders, guint count, guint32 seed)
{
  FakeCluster *cluster = fake_cluster_new(count, seed);
  cluster->founders = founders;
  for (guint i = 1; i <= count; i++) {
    fake_node(cluster, i)->joins = i > founders;
    if (i <= founders)
      fake_start(cluster, i, FALSE);
  }
  live(cluster, 3 * G_USEC_PER_SEC, founders);
  return cluster;
}

static void add(FakeCluster *cluster, guint at, guint32 node)
{
  g_autofree char *address = g_strdup_printf("node-%u:1", node);
  ck_assert(group_add_member(fake_node(cluster, at)->group, node, address, NULL));
}

static void settle(FakeCluster *cluster)
{
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  fake_run_until_equal(cluster, LONG_US);
}

START_TEST(a_newcomer_gets_everything_and_writes)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 1);
  add(cluster, 2, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 3);
  fake_start(cluster, 4, FALSE);
  FakeWrite *early = fake_write(cluster, 4, ACK_LOCAL, 0);
  ck_assert(!early->taken);
  ck_assert_int_eq(early->status, SYNCLOG_NOT_READY);
  live_until(cluster, 4, MEMBER_ACTIVE, 3);
  live(cluster, 3 * G_USEC_PER_SEC, 4);
  FakeWrite *own = fake_write(cluster, 4, ACK_ALL, 3600LL * G_USEC_PER_SEC);
  settle(cluster);
  ck_assert(own->answered && own->status == SYNCLOG_OK);
  ck_assert_uint_eq(membership_count(fake_node(cluster, 1)->membership), 4);
  ck_assert_uint_gt(group_horizon(fake_node(cluster, 4)->group), 0);
}
END_TEST

/* P3: others told horizons before they counted the newcomer, whose clock is behind. Once it may
 * write, a crash must not make it forget them. */
START_TEST(p3_a_newcomer_keeps_its_clock_before_it_writes)
{
  for (guint32 seed = 1; seed <= 20; seed++) {
    g_autoptr(FakeCluster) cluster = grown_from(3, 4, seed);
    FakeNode *newcomer = fake_node(cluster, 4);
    newcomer->wall_offset_ms = -20 * 1000;
    add(cluster, 1, 4);
    live(cluster, 2 * G_USEC_PER_SEC, 3);
    fake_start(cluster, 4, FALSE);
    for (guint i = 0; state_at(cluster, 4, 4) != MEMBER_ACTIVE; i++) {
      ck_assert_uint_lt(i, 20000);
      take_digests(cluster);
      if (i % 100 == 0)
        fake_write(cluster, 1 + i / 100 % 3, ACK_LOCAL, 0);
      fake_run_for(cluster, 5000);
    }
    fake_partition(cluster, 1U << 1 | 1U << 2 | 1U << 3, 1U << 4);
    for (guint i = 1; i <= 3; i++)
      ck_assert_uint_ge(newcomer->clock_bound, fake_node(cluster, i)->horizon);
    fake_run_for(cluster, 20000);
    fake_power_off(cluster, 4);
    fake_start(cluster, 4, FALSE);
    for (guint i = 0; i < 10; i++)
      fake_write(cluster, 4, ACK_LOCAL, 0);
    fake_run_for(cluster, 100000);
    fake_heal(cluster);
    settle(cluster); /* the fake looks at what is applied below a horizon */
  }
}
END_TEST

/* It was added and never came: what it would need is kept, and nothing else waits for it. */
START_TEST(one_that_never_comes_stops_nothing_but_deletion)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 2);
  cluster->options.retention_interval_ms = 1000;
  fake_kill(cluster, 3);
  fake_start(cluster, 3, TRUE); /* there is a closed log, of which it can have nothing */
  settle(cluster);
  add(cluster, 1, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  guint64 horizon = group_horizon(fake_node(cluster, 2)->group), until;
  ck_assert(!group_comparable(fake_node(cluster, 2)->group, &until));
  ck_assert_uint_eq(until, horizon);
  /* The clock is kept as seldom as ever. */
  guint kept = 0;
  for (guint second = 0; second < 8; second++) {
    guint64 bound = fake_node(cluster, 2)->clock_bound;
    live(cluster, G_USEC_PER_SEC, 0);
    kept += fake_node(cluster, 2)->clock_bound != bound;
  }
  ck_assert_uint_le(kept, 1);
  FakeLog *log = fake_find_log(cluster, 1, fake_own_log(cluster, 1));
  guint64 base = log->base;
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, 3600LL * G_USEC_PER_SEC);
  live(cluster, 40 * G_USEC_PER_SEC, 3);
  for (guint node = 1; node <= 3; node++)
    fake_persist(cluster, node);
  live(cluster, 20 * G_USEC_PER_SEC, 0);
  ck_assert(write->answered && write->status == SYNCLOG_OK);
  ck_assert_uint_gt(hlc_ms(group_horizon(fake_node(cluster, 2)->group)),
                    hlc_ms(horizon) + 20 * 1000);
  ck_assert_uint_eq(log->base, base);
  /* Taken back: what was kept for it goes. */
  ck_assert(group_remove_member(fake_node(cluster, 3)->group, 4, NULL));
  live_until(cluster, 4, MEMBER_REMOVED, 0);
  live(cluster, 20 * G_USEC_PER_SEC, 0);
  ck_assert_uint_gt(log->base, base);
}
END_TEST

START_TEST(what_was_asked_wrongly_changes_nothing)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 3);
  Group *group = fake_node(cluster, 1)->group;
  ck_assert(!group_add_member(group, 1, "x:1", NULL));
  ck_assert(!group_add_member(group, 3, "x:1", NULL));
  ck_assert(!group_remove_member(group, 4, NULL));
  add(cluster, 1, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  g_autoptr(GError) twice = NULL;
  ck_assert(!group_add_member(fake_node(cluster, 2)->group, 4, "y:1", &twice));
  ck_assert(fake_says(twice->message, "already"));
  g_autoptr(GError) taken = NULL;
  ck_assert(!group_add_member(group, 5, "node-4:1", &taken));
  ck_assert(fake_says(taken->message, "address of node 4"));
  ck_assert(group_remove_member(group, 4, NULL));
  g_autoptr(GError) again = NULL;
  ck_assert(!group_add_member(group, 4, "node-4:1", &again));
  ck_assert(fake_says(again->message, "never used again"));
  ck_assert(!group_remove_member(group, 4, NULL));
  settle(cluster);
}
END_TEST

START_TEST(one_is_removed_while_it_joins)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 4);
  add(cluster, 1, 4);
  fake_start(cluster, 4, FALSE);
  live(cluster, 500 * 1000, 3);
  ck_assert_int_eq(state_at(cluster, 4, 4), MEMBER_JOINING);
  ck_assert(group_remove_member(fake_node(cluster, 3)->group, 4, NULL));
  live_until(cluster, 4, MEMBER_REMOVED, 3);
  live(cluster, 3 * G_USEC_PER_SEC, 3);
  FakeWrite *write = fake_write(cluster, 4, ACK_LOCAL, 0);
  ck_assert(!write->taken);
  ck_assert_int_eq(write->status, SYNCLOG_FORGOTTEN);
  fake_kill(cluster, 4);
  settle(cluster);
}
END_TEST

START_TEST(one_that_leaves_hands_over_what_it_holds)
{
  g_autoptr(FakeCluster) cluster = grown_from(4, 4, 5);
  /* Its last entries are with nobody. */
  fake_partition(cluster, 1U << 4, 1U << 1 | 1U << 2 | 1U << 3);
  for (guint i = 0; i < 100; i++)
    fake_write(cluster, 4, ACK_LOCAL, 0);
  live(cluster, 2 * G_USEC_PER_SEC, 3);
  LogId log = fake_own_log(cluster, 4);
  guint64 last = fake_written(cluster, 4, log);
  ck_assert_uint_lt(fake_written(cluster, 1, log), last);
  ck_assert(group_remove_member(fake_node(cluster, 1)->group, 4, NULL));
  FakeWrite *for_all = fake_write(cluster, 1, ACK_ALL, 3600LL * G_USEC_PER_SEC);
  live(cluster, 5 * G_USEC_PER_SEC, 3);
  ck_assert(for_all->answered && for_all->status == SYNCLOG_OK);
  ck_assert_int_eq(state_at(cluster, 1, 4), MEMBER_REMOVING);
  fake_heal(cluster);
  live_until(cluster, 4, MEMBER_REMOVED, 3);
  ck_assert(!fake_write(cluster, 4, ACK_LOCAL, 0)->taken);
  fake_kill(cluster, 4);
  settle(cluster);
  for (guint node = 1; node <= 3; node++)
    ck_assert_uint_eq(fake_applied(cluster, node, log), last);
  /* And nothing waits for it: neither the horizon nor deletion. */
  live(cluster, 30 * G_USEC_PER_SEC, 3);
  guint64 now_ms = fake_wall_ms(fake_node(cluster, 1));
  ck_assert_uint_gt(hlc_ms(group_horizon(fake_node(cluster, 1)->group)), now_ms - 15 * 1000);
  ck_assert(strstr(fake_node(cluster, 1)->notes->str, "node 4: connection") == NULL);
}
END_TEST

START_TEST(two_operators_at_once)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 5, 6);
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 3);
  add(cluster, 1, 4);
  add(cluster, 2, 5);
  live(cluster, 3 * G_USEC_PER_SEC, 3);
  ck_assert(!membership_has(fake_node(cluster, 1)->membership, 5));
  fake_heal(cluster);
  fake_start(cluster, 4, FALSE);
  fake_start(cluster, 5, FALSE);
  live_until(cluster, 4, MEMBER_ACTIVE, 3);
  live_until(cluster, 5, MEMBER_ACTIVE, 4);
  live(cluster, 3 * G_USEC_PER_SEC, 5);
  settle(cluster);
  /* One removes what the other does, too. */
  ck_assert(group_remove_member(fake_node(cluster, 1)->group, 5, NULL));
  ck_assert(group_remove_member(fake_node(cluster, 2)->group, 5, NULL));
  live_until(cluster, 5, MEMBER_REMOVED, 4);
  fake_kill(cluster, 5);
  settle(cluster);
}
END_TEST

/* A node that was away when another one came and a third one went learns both. */
START_TEST(one_that_was_away_learns_it)
{
  g_autoptr(FakeCluster) cluster = grown_from(4, 5, 7);
  fake_kill(cluster, 3);
  add(cluster, 1, 5);
  fake_start(cluster, 5, FALSE);
  ck_assert(group_remove_member(fake_node(cluster, 1)->group, 4, NULL));
  live(cluster, 20 * G_USEC_PER_SEC, 2);
  /* Its word is needed before the newcomer may write, and what it lacks before the other goes. */
  ck_assert_int_lt(state_at(cluster, 5, 5), MEMBER_ACTIVE);
  ck_assert_int_eq(state_at(cluster, 4, 4), MEMBER_REMOVING);
  fake_start(cluster, 3, FALSE);
  live_until(cluster, 5, MEMBER_ACTIVE, 3);
  live_until(cluster, 4, MEMBER_REMOVED, 3);
  fake_kill(cluster, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 3);
  settle(cluster);
}
END_TEST

/* Kills, lost messages and cuts while a cluster of three becomes five and then loses two. */
static void grow_and_shrink(guint32 seed)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 5, seed);
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  cluster->lose_percent = 2;
  cluster->request_timeout_us = G_USEC_PER_SEC;
  add(cluster, 1 + seed % 3, 4);
  fake_start(cluster, 4, FALSE);
  for (guint step = 0; step < 40; step++) {
    live(cluster, g_rand_int_range(rand, 1, 4) * 100 * 1000, 3);
    guint node = (guint)g_rand_int_range(rand, 1, 5);
    if (fake_node(cluster, node)->group == NULL)
      continue;
    if (g_rand_boolean(rand))
      fake_kill(cluster, node);
    else
      fake_power_off(cluster, node);
    live(cluster, g_rand_int_range(rand, 1, 10) * 50 * 1000, 3);
    fake_start(cluster, node, FALSE);
    if (step == 10) {
      /* Whoever just started may have to be told what it was told before. */
      g_autoptr(GError) error = NULL;
      ck_assert(group_add_member(fake_node(cluster, 1 + node % 3)->group, 5, "node-5:1", &error));
      fake_start(cluster, 5, FALSE);
    }
    guint one = (guint)g_rand_int_range(rand, 1, 6), other = (guint)g_rand_int_range(rand, 1, 6);
    if (one != other)
      fake_cut(cluster, one, other, step % 2 == 0);
  }
  fake_heal(cluster);
  live_until(cluster, 4, MEMBER_ACTIVE, 3);
  live_until(cluster, 5, MEMBER_ACTIVE, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 5);
  ck_assert(group_remove_member(fake_node(cluster, 4)->group, 1, NULL));
  fake_kill(cluster, 4);
  live(cluster, 200 * 1000, 3);
  fake_start(cluster, 4, FALSE);
  cluster->lose_percent = 0;
  live(cluster, 10 * G_USEC_PER_SEC, 5);
  if (state_at(cluster, 4, 1) < MEMBER_REMOVING) /* the word was not kept: it is given again */
    ck_assert(group_remove_member(fake_node(cluster, 4)->group, 1, NULL));
  live_until(cluster, 1, MEMBER_REMOVED, 5);
  fake_kill(cluster, 1);
  settle(cluster);
}

START_TEST(grows_and_shrinks_under_faults)
{
  for (guint32 seed = 100; seed < 100 + HISTORIES(30); seed++)
    grow_and_shrink(seed);
}
END_TEST

/* Two operators remove one node each while these two don't hear each other. */
START_TEST(the_last_one_stays)
{
  g_autoptr(FakeCluster) cluster = grown_from(2, 2, 10);
  settle(cluster);
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  fake_partition(cluster, 1U << 1, 1U << 2);
  ck_assert(group_remove_member(fake_node(cluster, 1)->group, 1, NULL));
  ck_assert(group_remove_member(fake_node(cluster, 2)->group, 2, NULL));
  live(cluster, 10 * G_USEC_PER_SEC, 0);
  ck_assert_int_eq(state_at(cluster, 1, 1), MEMBER_REMOVING);
  ck_assert_int_eq(state_at(cluster, 2, 2), MEMBER_REMOVING);
  fake_heal(cluster);
  live_until(cluster, 2, MEMBER_REMOVED, 0);
  live(cluster, 3 * G_USEC_PER_SEC, 0);
  ck_assert_int_eq(state_at(cluster, 1, 1), MEMBER_ACTIVE);
  FakeWrite *write = fake_write(cluster, 1, ACK_ALL, LONG_US);
  ck_assert(!fake_write(cluster, 2, ACK_LOCAL, 0)->taken);
  live(cluster, G_USEC_PER_SEC, 0);
  ck_assert(write->answered && write->status == SYNCLOG_OK);
}
END_TEST

/* A heartbeat that names a new member comes while the node stops. */
START_TEST(who_stops_meets_nobody)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 11);
  Group *group = fake_node(cluster, 1)->group;
  g_autoptr(Membership) theirs = membership_new_kept(2, fake_node(cluster, 2)->membership->members);
  membership_raise(theirs, 4, MEMBER_JOINING, "node-4:1");
  g_autoptr(Progress) progress = progress_new();
  progress->members = membership_record(theirs);
  const Heartbeat heartbeat = {.group = cluster->options.group, .node_id = 2, .progress = progress};
  HeartbeatReply reply;
  group_stop(group);
  group_on_heartbeat(group, &heartbeat, &reply, cluster->now_us);
  ck_assert_int_eq(reply.status, SYNCLOG_NOT_READY);
  heartbeat_reply_clear(&reply);
  ck_assert(!membership_has(fake_node(cluster, 1)->membership, 4));
}
END_TEST

/* Its configuration lists a node that is added later. */
START_TEST(who_is_only_listed_holds_up_nothing)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 5, 9);
  cluster->options.retention_interval_ms = 1000;
  fake_node(cluster, 4)->also_lists = 5;
  add(cluster, 1, 4);
  fake_start(cluster, 4, FALSE);
  live_until(cluster, 4, MEMBER_ACTIVE, 3);
  live(cluster, 3 * G_USEC_PER_SEC, 4);
  ck_assert_uint_gt(group_horizon(fake_node(cluster, 4)->group), 0);
  ck_assert(!membership_has(fake_node(cluster, 4)->membership, 5));
  /* Added there, where it was listed. */
  add(cluster, 4, 5);
  fake_start(cluster, 5, FALSE);
  live_until(cluster, 5, MEMBER_ACTIVE, 4);
  settle(cluster);
}
END_TEST

/* What a lost node sent before it knew comes after the others were told that its log is closed. */
START_TEST(what_a_lost_node_sends_late_is_not_taken)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 3, 8);
  live(cluster, G_USEC_PER_SEC, 3);
  fake_partition(cluster, 1U << 1, 1U << 3);
  live(cluster, 3 * G_USEC_PER_SEC, 0);
  LogId log = fake_own_log(cluster, 3);
  guint64 before = fake_written(cluster, 2, log);
  gint64 delay_min_us = cluster->delay_min_us, delay_max_us = cluster->delay_max_us;
  cluster->delay_min_us = cluster->delay_max_us = 20 * G_USEC_PER_SEC;
  for (guint i = 0; i < 10; i++)
    fake_write(cluster, 3, ACK_LOCAL, 0);
  fake_run_for(cluster, 50 * 1000);
  guint64 hlc = fake_find_applied(cluster, 3, log)->applied_hlc;
  cluster->delay_min_us = delay_min_us;
  cluster->delay_max_us = delay_max_us;
  ck_assert_uint_eq(fake_written(cluster, 3, log), before + 10);
  g_autoptr(GError) error = NULL;
  ck_assert(group_forget(fake_node(cluster, 1)->group, 3, cluster->now_us, &error));
  live(cluster, 15 * G_USEC_PER_SEC, 0);
  ck_assert_int_eq(state_at(cluster, 2, 3), MEMBER_LOST);
  ck_assert_uint_eq(fake_written(cluster, 2, log), before);
  ck_assert_uint_gt(group_horizon(fake_node(cluster, 1)->group), hlc);
  live(cluster, 10 * G_USEC_PER_SEC, 0);
  ck_assert_int_eq(fake_node(cluster, 2)->last_reply, SYNCLOG_FORGOTTEN);
  ck_assert_uint_eq(fake_written(cluster, 2, log), before);
  fake_kill(cluster, 3);
  settle(cluster);
  ck_assert_uint_eq(fake_applied(cluster, 1, log), before);
}
END_TEST

/* The disk of a node that is down is replaced: it comes back empty. */
static void lose_disk(FakeCluster *cluster, guint node)
{
  g_ptr_array_set_size(fake_node(cluster, node)->logs, 0);
  g_array_set_size(fake_node(cluster, node)->store, 0);
  fake_node(cluster, node)->horizon = 0;
}

/* The logs of node 1 are not handed on by node 3. */
static FakeVerdict lose_handed_on(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                                  SyncReply *reply)
{
  (void)ctx;
  (void)to;
  (void)reply;
  return from == 3 && batch->log.origin == 1 ? FAKE_LOSE : FAKE_DELIVER;
}

/* Nodes 1 and 3 hold what was acknowledged by a majority, node 2 does not. Node 3 is to
 * go, which all know; node 1 dies and loses its disk, or what node 2 lacks. What
 * node 3 hands on is lost for now. Returns the end of the log. */
static guint64 only_one_is_left(FakeCluster *cluster, gboolean whole_disk)
{
  fake_partition(cluster, 1U << 2, 1U << 1 | 1U << 3);
  FakeWrite *last = NULL;
  for (guint i = 0; i < 20; i++)
    last = fake_write(cluster, 1, ACK_MAJORITY, LONG_US);
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  ck_assert(last->answered && last->status == SYNCLOG_OK);
  ck_assert(group_remove_member(fake_node(cluster, 3)->group, 3, NULL));
  live(cluster, 3 * G_USEC_PER_SEC, 0);
  LogId log = last->token.log;
  fake_kill(cluster, 1);
  if (whole_disk) {
    lose_disk(cluster, 1);
  } else {
    FakeLog *kept = fake_find_log(cluster, 1, log);
    kept->durable = fake_durable(cluster, 2, log);
    g_ptr_array_set_size(kept->records, (gint)(kept->durable - kept->base));
    FakeApplied *applied = fake_find_applied(cluster, 1, log);
    applied->applied = applied->durable = kept->durable;
    fake_node(cluster, 1)->horizon = 0;
  }
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  cluster->filter = lose_handed_on;
  fake_heal(cluster);
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  return last->token.index;
}

static void check_goes_when_all_have_it(FakeCluster *cluster, LogId log, guint64 end)
{
  for (guint i = 0; i < 1000; i++) {
    fake_run_for(cluster, 5000);
    ck_assert_int_eq(state_at(cluster, 3, 3), MEMBER_REMOVING);
  }
  cluster->filter = NULL;
  fake_heal(cluster);
  for (guint i = 0; state_at(cluster, 3, 3) != MEMBER_REMOVED; i++) {
    ck_assert_uint_lt(i, 10000);
    fake_run_for(cluster, 5000);
  }
  fake_kill(cluster, 3);
  settle(cluster);
  for (guint node = 1; node <= 2; node++)
    ck_assert_uint_eq(fake_applied(cluster, node, log), end);
}

/* P1, P6: the origin is there again and stays, but it serves nothing of its former log. */
START_TEST(p1_one_that_leaves_waits_though_the_origin_is_there)
{
  for (guint32 seed = 21; seed < 26; seed++) {
    g_autoptr(FakeCluster) cluster = grown_from(3, 3, seed);
    LogId log = fake_own_log(cluster, 1);
    guint64 end = only_one_is_left(cluster, TRUE);
    fake_start(cluster, 1, TRUE);
    check_goes_when_all_have_it(cluster, log, end);
  }
}
END_TEST

/* … and does not know yet that the end of its log is lost. */
START_TEST(p1_one_that_leaves_waits_though_the_origin_writes_on)
{
  for (guint32 seed = 31; seed < 51; seed++) {
    g_autoptr(FakeCluster) cluster = grown_from(3, 3, seed);
    LogId log = fake_own_log(cluster, 1);
    guint64 end = only_one_is_left(cluster, FALSE);
    fake_partition(cluster, 1U << 1, 1U << 2);
    cluster->delay_min_us = 200 * 1000;
    cluster->delay_max_us = 600 * 1000;
    fake_start(cluster, 1, FALSE);
    check_goes_when_all_have_it(cluster, log, end);
  }
}
END_TEST

/* P9: the others are always a little behind an origin that writes without a pause. */
START_TEST(one_leaves_while_the_others_write_without_a_pause)
{
  g_autoptr(FakeCluster) cluster = grown_from(4, 4, 6);
  ck_assert(group_remove_member(fake_node(cluster, 1)->group, 4, NULL));
  for (guint i = 0; state_at(cluster, 4, 4) != MEMBER_REMOVED; i++) {
    ck_assert_uint_lt(i, 10000);
    for (guint node = 1; node <= 3; node++)
      fake_write(cluster, node, ACK_LOCAL, 0);
    fake_run_for(cluster, 1000);
  }
  fake_kill(cluster, 4);
  settle(cluster);
}
END_TEST

/*
 * P3: node 3 alone got the last entries of a former log of node 4, and hands them on to node 2 when
 * nodes 1 and 2 don't hear each other any more. Node 1 is told that node 3 is lost: what node 2 had
 * said of that log, before it knew, says nothing.
 */
START_TEST(p3_what_a_lost_node_handed_on_is_waited_for)
{
  g_autoptr(FakeCluster) cluster = grown_from(4, 4, 22);
  live(cluster, G_USEC_PER_SEC, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  LogId former = fake_own_log(cluster, 4);
  guint64 before = fake_written(cluster, 1, former);
  fake_partition(cluster, 1U << 4, 1U << 1 | 1U << 2);
  for (guint i = 0; i < 10; i++)
    fake_write(cluster, 4, ACK_LOCAL, 0);
  fake_run_for(cluster, 200 * 1000);
  fake_write(cluster, 3, ACK_LOCAL, 0);
  fake_run_for(cluster, 200 * 1000);
  guint64 hlc = fake_find_applied(cluster, 3, former)->applied_hlc;
  ck_assert_uint_eq(fake_written(cluster, 3, former), before + 10);
  fake_kill(cluster, 4);
  lose_disk(cluster, 4);
  fake_heal(cluster);
  fake_partition(cluster, 1U << 3, 1U << 1 | 1U << 2 | 1U << 4);
  fake_start(cluster, 4, TRUE);
  live(cluster, 25 * G_USEC_PER_SEC, 0);
  ck_assert_uint_eq(fake_written(cluster, 2, former), before);
  fake_partition(cluster, 1U << 1, 1U << 2 | 1U << 4);
  fake_cut(cluster, 2, 3, FALSE);
  fake_cut(cluster, 3, 2, FALSE);
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  ck_assert_uint_eq(fake_written(cluster, 2, former), before + 10);
  fake_kill(cluster, 3);
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  g_autoptr(GError) error = NULL;
  ck_assert(group_forget(fake_node(cluster, 1)->group, 3, cluster->now_us, &error));
  live(cluster, 5 * G_USEC_PER_SEC, 0);
  ck_assert_uint_lt(group_horizon(fake_node(cluster, 1)->group), hlc);
  fake_heal(cluster);
  live(cluster, 20 * G_USEC_PER_SEC, 3); /* the fake looks at what is applied below a horizon */
  ck_assert_uint_eq(fake_applied(cluster, 1, former), before + 10);
  ck_assert_uint_gt(group_horizon(fake_node(cluster, 1)->group), hlc);
}
END_TEST

/*
 * P3: node 4, which joins, alone got the last entries of node 1, which is lost then. Nodes 2 and 3
 * know that it joins and have not heard it since they were started.
 */
START_TEST(p3_what_only_a_newcomer_got_of_a_lost_node_is_waited_for)
{
  for (guint restart = 0; restart < 2; restart++) {
    g_autoptr(FakeCluster) cluster = grown_from(3, 4, 23 + restart);
    add(cluster, 1, 4);
    live(cluster, 2 * G_USEC_PER_SEC, 3);
    if (!restart)
      fake_partition(cluster, 1U << 4, 1U << 2 | 1U << 3);
    fake_start(cluster, 4, FALSE);
    live(cluster, G_USEC_PER_SEC, 3);
    fake_partition(cluster, 1U << 4 | 1U << 1, 1U << 2 | 1U << 3);
    LogId log = fake_own_log(cluster, 1);
    for (guint i = 0; i < 10; i++)
      fake_write(cluster, 1, ACK_LOCAL, 0);
    live(cluster, 5 * G_USEC_PER_SEC, 0);
    guint64 last = fake_written(cluster, 1, log);
    ck_assert_uint_eq(fake_applied(cluster, 4, log), last);
    ck_assert_uint_lt(fake_written(cluster, 2, log), last);
    ck_assert_int_eq(state_at(cluster, 2, 4), MEMBER_JOINING);
    guint64 hlc = fake_find_applied(cluster, 4, log)->applied_hlc;
    fake_kill(cluster, 1);
    for (guint node = 2; restart && node <= 3; node++) {
      fake_kill(cluster, node);
      fake_start(cluster, node, FALSE);
    }
    live(cluster, 5 * G_USEC_PER_SEC, 0);
    g_autoptr(GError) error = NULL;
    ck_assert(group_forget(fake_node(cluster, 2)->group, 1, cluster->now_us, &error));
    live(cluster, 25 * G_USEC_PER_SEC, 0);
    for (guint node = 2; node <= 3; node++)
      ck_assert_uint_lt(group_horizon(fake_node(cluster, node)->group), hlc);
    fake_heal(cluster);
    live(cluster, 20 * G_USEC_PER_SEC, 0); /* the fake looks at what is applied below a horizon */
    for (guint node = 2; node <= 3; node++) {
      ck_assert_uint_eq(fake_applied(cluster, node, log), last);
      ck_assert_uint_gt(group_horizon(fake_node(cluster, node)->group), hlc);
    }
  }
}
END_TEST

/* … but once the members were started again it may hold the end of a closed log for all they know.
 * The next newcomer, which is compared with them, says for whom it waits. */
START_TEST(the_next_newcomer_names_the_one_that_never_comes)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 5, 40);
  fake_kill(cluster, 3);
  fake_start(cluster, 3, TRUE); /* there is a closed log */
  settle(cluster);
  add(cluster, 1, 4);
  live(cluster, 2 * G_USEC_PER_SEC, 0);
  for (guint node = 1; node <= 3; node++) {
    fake_kill(cluster, node);
    fake_start(cluster, node, FALSE);
    live(cluster, 2 * G_USEC_PER_SEC, 0);
  }
  add(cluster, 1, 5);
  fake_start(cluster, 5, FALSE);
  live(cluster, 20 * G_USEC_PER_SEC, 3);
  ck_assert_int_eq(state_at(cluster, 1, 5), MEMBER_JOINING);
  const char *missing = fake_node(cluster, 5)->group->members_message;
  ck_assert(strstr(missing, "node 4: it joins, too") != NULL);
  ck_assert(group_remove_member(fake_node(cluster, 3)->group, 4, NULL));
  live_until(cluster, 5, MEMBER_ACTIVE, 3);
}
END_TEST

/* A change that is still under way when the group is stopped counts, and opens no channel. */
START_TEST(p7_a_group_that_is_stopped_meets_nobody)
{
  g_autoptr(FakeCluster) cluster = grown_from(3, 4, 41);
  Group *group = fake_node(cluster, 1)->group;
  group_stop(group);
  add(cluster, 1, 4);
  ck_assert_int_eq(state_at(cluster, 1, 4), MEMBER_JOINING);
  ck_assert(group_find_peer(group, 4)->unreachable);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_newcomer_gets_everything_and_writes,
                                p3_a_newcomer_keeps_its_clock_before_it_writes,
                                one_that_never_comes_stops_nothing_but_deletion,
                                what_was_asked_wrongly_changes_nothing,
                                one_is_removed_while_it_joins,
                                one_that_leaves_hands_over_what_it_holds,
                                two_operators_at_once,
                                one_that_was_away_learns_it,
                                the_last_one_stays,
                                who_stops_meets_nobody,
                                who_is_only_listed_holds_up_nothing,
                                what_a_lost_node_sends_late_is_not_taken,
                                p1_one_that_leaves_waits_though_the_origin_is_there,
                                p1_one_that_leaves_waits_though_the_origin_writes_on,
                                one_leaves_while_the_others_write_without_a_pause,
                                p3_what_a_lost_node_handed_on_is_waited_for,
                                p3_what_only_a_newcomer_got_of_a_lost_node_is_waited_for,
                                the_next_newcomer_names_the_one_that_never_comes,
                                p7_a_group_that_is_stopped_meets_nobody,
                                grows_and_shrinks_under_faults};
  return RUN_SUITE("group_members", tests);
}
