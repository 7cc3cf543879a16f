#include "core/sync_window.h"

#include "support/suite.h"

static void push_three(SyncWindow *window)
{
  sync_window_push(window, 10); /* 1 .. 10 */
  sync_window_push(window, 11); /* 11 */
  sync_window_push(window, 30); /* 12 .. 30 */
}

START_TEST(begins_behind_what_is_acked)
{
  g_autoptr(SyncWindow) window = sync_window_new(5, 41);
  ck_assert_uint_eq(sync_window_acked(window), 41);
  ck_assert_uint_eq(sync_window_next(window), 42);
  ck_assert_uint_eq(sync_window_in_flight(window), 0);
  ck_assert(sync_window_has_room(window));
}
END_TEST

START_TEST(acks_in_order)
{
  g_autoptr(SyncWindow) window = sync_window_new(5, 0);
  push_three(window);
  ck_assert_uint_eq(sync_window_next(window), 31);
  ck_assert(sync_window_ack(window, 1));
  ck_assert_uint_eq(sync_window_acked(window), 10);
  ck_assert(sync_window_ack(window, 11));
  ck_assert_uint_eq(sync_window_acked(window), 11);
  ck_assert(sync_window_ack(window, 12));
  ck_assert_uint_eq(sync_window_acked(window), 30);
  ck_assert_uint_eq(sync_window_in_flight(window), 0);
}
END_TEST

START_TEST(inv2_acks_in_reverse_wait_for_the_hole)
{
  g_autoptr(SyncWindow) window = sync_window_new(3, 0);
  push_three(window);
  ck_assert(sync_window_ack(window, 12));
  ck_assert(sync_window_ack(window, 11));
  ck_assert_uint_eq(sync_window_acked(window), 0);
  ck_assert_uint_eq(sync_window_in_flight(window), 3);
  ck_assert(!sync_window_has_room(window));
  ck_assert(sync_window_ack(window, 1));
  ck_assert_uint_eq(sync_window_acked(window), 30);
  ck_assert_uint_eq(sync_window_in_flight(window), 0);
}
END_TEST

START_TEST(inv2_hole_in_the_middle_holds)
{
  g_autoptr(SyncWindow) window = sync_window_new(5, 0);
  push_three(window);
  ck_assert(sync_window_ack(window, 1));
  ck_assert(sync_window_ack(window, 12));
  ck_assert_uint_eq(sync_window_acked(window), 10);
  ck_assert(sync_window_ack(window, 11));
  ck_assert_uint_eq(sync_window_acked(window), 30);
}
END_TEST

START_TEST(unknown_and_second_replies_are_told_apart)
{
  g_autoptr(SyncWindow) window = sync_window_new(5, 0);
  ck_assert(!sync_window_ack(window, 1));
  push_three(window);
  ck_assert(!sync_window_ack(window, 2));
  ck_assert(!sync_window_ack(window, 31));
  ck_assert(!sync_window_ack(window, 0));
  ck_assert(sync_window_ack(window, 11));
  ck_assert(!sync_window_ack(window, 11));
  ck_assert(sync_window_ack(window, 1));
  ck_assert(!sync_window_ack(window, 1));
  ck_assert_uint_eq(sync_window_acked(window), 11);
}
END_TEST

START_TEST(reset_forgets_what_is_in_flight)
{
  g_autoptr(SyncWindow) window = sync_window_new(3, 0);
  push_three(window);
  ck_assert(sync_window_ack(window, 11));
  sync_window_reset(window, 4);
  ck_assert_uint_eq(sync_window_acked(window), 4);
  ck_assert_uint_eq(sync_window_next(window), 5);
  ck_assert_uint_eq(sync_window_in_flight(window), 0);
  ck_assert(!sync_window_ack(window, 1));
  sync_window_push(window, 11);
  ck_assert(sync_window_ack(window, 5));
  ck_assert_uint_eq(sync_window_acked(window), 11);
}
END_TEST

START_TEST(window_of_one)
{
  g_autoptr(SyncWindow) window = sync_window_new(1, 0);
  for (guint64 i = 1; i < 100; i++) {
    sync_window_push(window, i);
    ck_assert(!sync_window_has_room(window));
    ck_assert(sync_window_ack(window, i));
    ck_assert_uint_eq(sync_window_acked(window), i);
  }
}
END_TEST

/* Every single entry on its own, without any cleverness. */
enum { MODEL_SIZE = 4096 };

typedef struct Model {
  guint64 acked, next;
  guint64 batch_of[MODEL_SIZE]; /* first index of the batch that an entry is in; 0: not sent */
  gboolean accepted[MODEL_SIZE];
  guint64 begun[64]; /* first indices of batches that hold a place, any order */
  guint count;
} Model;

static guint64 model_last_of(const Model *model, guint64 first)
{
  guint64 last = first;
  while (last + 1 < model->next && model->batch_of[last + 1] == first)
    last++;
  return last;
}

static void model_settle(Model *model)
{
  while (model->acked + 1 < model->next && model->accepted[model->acked + 1])
    model->acked++;
  for (guint i = 0; i < model->count;) {
    if (model->begun[i] <= model->acked)
      model->begun[i] = model->begun[--model->count];
    else
      i++;
  }
}

static gboolean model_ack(Model *model, guint64 first)
{
  gboolean known = FALSE;
  for (guint i = 0; i < model->count; i++)
    known = known || model->begun[i] == first;
  if (!known || model->accepted[first])
    return FALSE;
  for (guint64 i = first; i <= model_last_of(model, first); i++)
    model->accepted[i] = TRUE;
  model_settle(model);
  return TRUE;
}

static void model_reset(Model *model, guint64 acked)
{
  memset(model, 0, sizeof *model);
  model->acked = acked;
  model->next = acked + 1;
}

static void compare(const SyncWindow *window, const Model *model, guint capacity)
{
  fast_assert(sync_window_acked(window) == model->acked);
  fast_assert(sync_window_next(window) == model->next);
  fast_assert(sync_window_in_flight(window) == model->count);
  fast_assert(sync_window_has_room(window) == (model->count < capacity));
}

static void random_walk(guint32 seed, guint capacity)
{
  GRand *rand = g_rand_new_with_seed(seed);
  g_autofree Model *model = g_new0(Model, 1);
  model_reset(model, 0);
  g_autoptr(SyncWindow) window = sync_window_new(capacity, 0);
  for (guint step = 0; step < 4000; step++) {
    gint32 dice = g_rand_int_range(rand, 0, 100);
    if (dice < 45 && model->count < capacity && model->next < MODEL_SIZE - 20) {
      guint64 last = model->next + (guint64)g_rand_int_range(rand, 0, 10);
      sync_window_push(window, last);
      model->begun[model->count++] = model->next;
      for (guint64 i = model->next; i <= last; i++)
        model->batch_of[i] = model->next;
      model->next = last + 1;
    } else if (dice < 90 && model->count > 0) {
      guint64 first = model->begun[g_rand_int_range(rand, 0, (gint32)model->count)];
      fast_assert(sync_window_ack(window, first) == model_ack(model, first));
    } else if (dice < 99) {
      guint64 any = (guint64)g_rand_int_range(rand, 0, (gint32)model->next + 5);
      fast_assert(sync_window_ack(window, any) == model_ack(model, any));
    } else {
      guint64 acked = (guint64)g_rand_int_range(rand, 0, 100);
      sync_window_reset(window, acked);
      model_reset(model, acked);
    }
    compare(window, model, capacity);
  }
  g_rand_free(rand);
}

START_TEST(inv2_inv9_random_walks_agree_with_model)
{
  for (guint32 seed = 0; seed < 60; seed++)
    random_walk(seed, seed % 3 == 0 ? 1 : seed % 3 == 1 ? 5 : 64);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {begins_behind_what_is_acked,
                                acks_in_order,
                                inv2_acks_in_reverse_wait_for_the_hole,
                                inv2_hole_in_the_middle_holds,
                                unknown_and_second_replies_are_told_apart,
                                reset_forgets_what_is_in_flight,
                                window_of_one,
                                inv2_inv9_random_walks_agree_with_model};
  return RUN_SUITE("sync_window", tests);
}
