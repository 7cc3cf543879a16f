#include "core/acks.h"

#include "support/suite.h"

static gpointer id(guint64 index)
{
  return GSIZE_TO_POINTER(index);
}

static guint64 take_done(Acks *acks, guint64 a, guint64 b, guint64 c)
{
  const guint64 durable[] = {a, b, c};
  return GPOINTER_TO_SIZE(acks_take_done(acks, durable, 3));
}

START_TEST(inv5_majority_of_three)
{
  g_autoptr(Acks) acks = acks_new();
  acks_add(acks, 5, 2, 100, id(5));
  acks_add(acks, 6, 2, 100, id(6));
  acks_add(acks, 9, 2, 100, id(9));
  ck_assert_uint_eq(take_done(acks, 9, 0, 4), 0);
  ck_assert_uint_eq(take_done(acks, 9, 0, 6), 5);
  ck_assert_uint_eq(take_done(acks, 9, 0, 6), 6);
  ck_assert_uint_eq(take_done(acks, 9, 0, 6), 0);
  ck_assert_uint_eq(acks_waiting(acks), 1);
  ck_assert_uint_eq(take_done(acks, 9, 9, 0), 9);
  ck_assert_uint_eq(acks_waiting(acks), 0);
}
END_TEST

START_TEST(inv5_not_without_own_durability)
{
  /* Two of three suffice, whoever they are; one of three does not, however far it is. */
  g_autoptr(Acks) acks = acks_new();
  acks_add(acks, 5, 2, 100, id(5));
  ck_assert_uint_eq(take_done(acks, 4, 4, 1000), 0);
  ck_assert_uint_eq(take_done(acks, 4, 5, 1000), 5);
}
END_TEST

START_TEST(inv5_all)
{
  g_autoptr(Acks) acks = acks_new();
  acks_add(acks, 5, 3, 100, id(5));
  ck_assert_uint_eq(take_done(acks, 7, 7, 4), 0);
  ck_assert_uint_eq(take_done(acks, 5, 5, 5), 5);
}
END_TEST

START_TEST(levels_overtake_each_other)
{
  g_autoptr(Acks) acks = acks_new();
  acks_add(acks, 1, 3, 100, id(1));
  acks_add(acks, 2, 2, 100, id(2));
  acks_add(acks, 3, 3, 100, id(3));
  acks_add(acks, 4, 1, 100, id(4));
  ck_assert_uint_eq(take_done(acks, 4, 2, 0), 2);
  ck_assert_uint_eq(take_done(acks, 4, 2, 0), 4);
  ck_assert_uint_eq(take_done(acks, 4, 2, 0), 0);
  ck_assert_uint_eq(take_done(acks, 4, 4, 4), 1);
  ck_assert_uint_eq(take_done(acks, 4, 4, 4), 3);
}
END_TEST

START_TEST(more_nodes_wanted_than_there_are)
{
  g_autoptr(Acks) acks = acks_new();
  acks_add(acks, 1, 4, 100, id(1));
  ck_assert_uint_eq(take_done(acks, 9, 9, 9), 0);
  ck_assert_ptr_eq(acks_take_late(acks, 100), id(1));
}
END_TEST

START_TEST(late_writes_leave_by_deadline)
{
  g_autoptr(Acks) acks = acks_new();
  ck_assert_int_eq(acks_deadline_us(acks), G_MAXINT64);
  acks_add(acks, 1, 2, 300, id(1));
  acks_add(acks, 2, 2, 100, id(2));
  acks_add(acks, 3, 3, 200, id(3));
  acks_add(acks, 4, 3, 100, id(4));
  ck_assert_int_eq(acks_deadline_us(acks), 100);
  ck_assert_ptr_null(acks_take_late(acks, 99));
  ck_assert_ptr_eq(acks_take_late(acks, 200), id(2));
  ck_assert_ptr_eq(acks_take_late(acks, 200), id(4));
  ck_assert_ptr_eq(acks_take_late(acks, 200), id(3));
  ck_assert_ptr_null(acks_take_late(acks, 200));
  ck_assert_int_eq(acks_deadline_us(acks), 300);
  ck_assert_uint_eq(take_done(acks, 1, 1, 0), 1);
  ck_assert_int_eq(acks_deadline_us(acks), G_MAXINT64);
}
END_TEST

START_TEST(take_any_empties)
{
  g_autoptr(Acks) acks = acks_new();
  for (guint64 i = 1; i <= 10; i++)
    acks_add(acks, i, 2 + i % 2, (gint64)(50 - i), id(i));
  guint taken = 0;
  while (acks_take_any(acks) != NULL)
    taken++;
  ck_assert_uint_eq(taken, 10);
  ck_assert_uint_eq(acks_waiting(acks), 0);
}
END_TEST

START_TEST(quorum_index_by_hand)
{
  const guint64 odd[] = {9, 3, 7};
  ck_assert_uint_eq(acks_quorum_index(odd, 3, 1), 9);
  ck_assert_uint_eq(acks_quorum_index(odd, 3, 2), 7);
  ck_assert_uint_eq(acks_quorum_index(odd, 3, 3), 3);
  ck_assert_uint_eq(acks_quorum_index(odd, 3, 4), 0);
  const guint64 even[] = {0, 8, 8, 2};
  ck_assert_uint_eq(acks_quorum_index(even, 4, 2), 8);
  ck_assert_uint_eq(acks_quorum_index(even, 4, 3), 2);
  ck_assert_uint_eq(acks_quorum_index(even, 4, 4), 0);
  ck_assert_uint_eq(acks_quorum_index(NULL, 0, 1), 0);
}
END_TEST

static gint compare_down(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return (x < y) - (x > y);
}

START_TEST(quorum_index_is_the_sorted_one)
{
  GRand *rand = g_rand_new_with_seed(3);
  for (guint round = 0; round < 20000; round++) {
    guint64 durable[7], sorted[7];
    guint count = (guint)g_rand_int_range(rand, 1, 8);
    for (guint i = 0; i < count; i++)
      durable[i] = sorted[i] = (guint64)g_rand_int_range(rand, 0, 6);
    qsort(sorted, count, sizeof sorted[0], compare_down);
    for (guint nodes = 1; nodes <= 8; nodes++)
      fast_assert(acks_quorum_index(durable, count, nodes) ==
                  (nodes <= count ? sorted[nodes - 1] : 0));
  }
  g_rand_free(rand);
}
END_TEST

/* The model: a list of all writes that wait, in order of indices. */
typedef struct Write {
  guint64 index;
  guint nodes;
  gint64 deadline_us;
} Write;

static gboolean model_is_done(const Write *write, const guint64 *durable, guint count)
{
  guint reached = 0;
  for (guint i = 0; i < count; i++)
    reached += durable[i] >= write->index;
  return reached >= write->nodes;
}

static guint64 model_take_done(GArray *model, const guint64 *durable, guint count)
{
  for (guint i = 0; i < model->len; i++) {
    Write write = g_array_index(model, Write, i);
    if (!model_is_done(&write, durable, count))
      continue;
    g_array_remove_index(model, i);
    return write.index;
  }
  return 0;
}

static guint model_earliest(const GArray *model)
{
  guint best = 0;
  for (guint i = 1; i < model->len; i++)
    if (g_array_index(model, Write, i).deadline_us < g_array_index(model, Write, best).deadline_us)
      best = i;
  return best;
}

static guint64 model_take_late(GArray *model, gint64 now_us)
{
  guint best = model_earliest(model);
  if (model->len == 0 || g_array_index(model, Write, best).deadline_us > now_us)
    return 0;
  guint64 index = g_array_index(model, Write, best).index;
  g_array_remove_index(model, best);
  return index;
}

typedef struct Walk {
  GRand *rand;
  Acks *acks;
  GArray *model;
  guint64 next_index;
  guint64 durable[6];
  guint nodes;
  gint64 now_us;
} Walk;

static void walk_step(Walk *walk)
{
  gint32 dice = g_rand_int_range(walk->rand, 0, 100);
  if (dice < 45) {
    walk->next_index += (guint64)g_rand_int_range(walk->rand, 1, 4);
    Write write = {walk->next_index,
                   (guint)g_rand_int_range(walk->rand, 1, (gint32)walk->nodes + 1),
                   walk->now_us + g_rand_int_range(walk->rand, 0, 300)};
    acks_add(walk->acks, write.index, write.nodes, write.deadline_us, id(write.index));
    g_array_append_val(walk->model, write);
  } else if (dice < 70) {
    guint64 *durable = &walk->durable[g_rand_int_range(walk->rand, 0, (gint32)walk->nodes)];
    *durable = MIN(walk->next_index, *durable + (guint64)g_rand_int_range(walk->rand, 0, 20));
  } else if (dice < 72) {
    guint most = (guint)g_rand_int_range(walk->rand, 1, 7);
    acks_cap(walk->acks, most);
    for (guint i = 0; i < walk->model->len; i++) {
      Write *write = &g_array_index(walk->model, Write, i);
      write->nodes = MIN(write->nodes, most);
    }
  } else if (dice < 90) {
    guint64 done;
    do {
      done = GPOINTER_TO_SIZE(acks_take_done(walk->acks, walk->durable, walk->nodes));
      fast_assert(done == model_take_done(walk->model, walk->durable, walk->nodes));
    } while (done != 0);
  } else {
    walk->now_us += g_rand_int_range(walk->rand, 0, 200);
    guint64 late;
    do {
      late = GPOINTER_TO_SIZE(acks_take_late(walk->acks, walk->now_us));
      fast_assert(late == model_take_late(walk->model, walk->now_us));
    } while (late != 0);
  }
}

START_TEST(inv5_random_walks_agree_with_model)
{
  for (guint32 seed = 0; seed < 60; seed++) {
    Walk walk = {.rand = g_rand_new_with_seed(seed),
                 .acks = acks_new(),
                 .model = g_array_new(FALSE, FALSE, sizeof(Write)),
                 .nodes = 1 + seed % 6};
    for (guint step = 0; step < 3000; step++) {
      walk_step(&walk);
      fast_assert(acks_waiting(walk.acks) == walk.model->len);
      gint64 deadline_us = G_MAXINT64;
      if (walk.model->len > 0)
        deadline_us = g_array_index(walk.model, Write, model_earliest(walk.model)).deadline_us;
      fast_assert(acks_deadline_us(walk.acks) == deadline_us);
    }
    while (acks_take_any(walk.acks) != NULL)
      continue;
    acks_free(walk.acks);
    g_array_unref(walk.model);
    g_rand_free(walk.rand);
  }
}
END_TEST

/* Many writes waiting must not make a look at them slow: this takes minutes if it is linear. */
START_TEST(many_waiting_writes_are_cheap)
{
  g_autoptr(Acks) acks = acks_new();
  enum { COUNT = 300000 };
  for (guint64 i = 1; i <= COUNT; i++) {
    acks_add(acks, i, 2 + i % 2, (gint64)(COUNT - i), id(i));
    fast_assert(take_done(acks, i, 0, 0) == 0);
  }
  guint taken = 0;
  while (take_done(acks, COUNT, COUNT, COUNT) != 0)
    taken++;
  fast_assert(taken == COUNT);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {inv5_majority_of_three,
                                inv5_not_without_own_durability,
                                inv5_all,
                                levels_overtake_each_other,
                                more_nodes_wanted_than_there_are,
                                late_writes_leave_by_deadline,
                                take_any_empties,
                                quorum_index_by_hand,
                                quorum_index_is_the_sorted_one,
                                inv5_random_walks_agree_with_model,
                                many_waiting_writes_are_cheap};
  return RUN_SUITE("acks", tests);
}
