/* Writes that are slowed down, as the WAL or the disk fills up. */
#include "support/fake_cluster.c"
#include "support/suite.h"

enum { WRITES = 200 };

static gboolean all_answered(FakeCluster *cluster, gpointer unused)
{
  (void)unused;
  return fake_count_writes(cluster).open == 0;
}

static void write_many(FakeCluster *cluster)
{
  for (guint i = 0; i < WRITES; i++)
    fake_write(cluster, 1, ACK_LOCAL, 0);
}

/* Commits are as far apart as asked, no write is lost or refused, and it ends at once. */
START_TEST(commits_are_further_apart_and_smaller)
{
  g_autoptr(FakeCluster) cluster = fake_cluster_new(1, 1);
  cluster->options.max_commit_size = 1 << 20;
  fake_start_all(cluster);
  fake_run_for(cluster, 100000);
  FakeNode *node = fake_node(cluster, 1);
  group_slow_writes(node->group, 1000);
  guint64 before = node->commits;
  for (guint i = 0; i < 10; i++) {
    write_many(cluster);
    fake_run_for(cluster, 50000);
  }
  ck_assert_uint_ge(node->commits - before, 4);
  ck_assert_uint_le(node->commits - before, 6);
  fake_run_until(cluster, all_answered, NULL, 10 * G_USEC_PER_SEC);
  ck_assert_uint_eq(fake_count_writes(cluster).ok, 10 * WRITES);
  /* What waits goes when it is over, not when the pause would be. */
  write_many(cluster);
  fake_run_for(cluster, 1000);
  write_many(cluster);
  group_slow_writes(node->group, 0);
  gint64 took_us = fake_run_until(cluster, all_answered, NULL, G_USEC_PER_SEC);
  ck_assert_int_lt(took_us, 50000);
  ck_assert_uint_eq(fake_count_writes(cluster).ok, 12 * WRITES);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {commits_are_further_apart_and_smaller};
  return RUN_SUITE("slow", tests);
}
