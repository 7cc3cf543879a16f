#include "core/reorder.h"

#include "support/suite.h"

/* Items are heap copies of their range; the counter finds leaks and double frees. */
typedef struct Item {
  guint64 first, last;
} Item;

static guint alive;

static Item *item_new(guint64 first, guint64 last)
{
  Item *item = g_new(Item, 1);
  *item = (Item){first, last};
  alive++;
  return item;
}

static void item_free(gpointer item)
{
  alive--;
  g_free(item);
}

static ReorderVerdict push(Reorder *queue, guint64 first, guint64 last)
{
  Item *item = item_new(first, last);
  ReorderVerdict verdict = reorder_push(queue, first, last, item);
  if (verdict != REORDER_ACCEPTED)
    item_free(item);
  return verdict;
}

static void assert_pop(Reorder *queue, guint64 first, guint64 last)
{
  Item *item = reorder_pop(queue);
  ck_assert_ptr_nonnull(item);
  ck_assert_uint_eq(item->first, first);
  ck_assert_uint_eq(item->last, last);
  ck_assert_uint_eq(reorder_expected(queue), last + 1);
  item_free(item);
}

START_TEST(inv3_any_order_in_one_order_out)
{
  Reorder *queue = reorder_new(8, 1, item_free);
  ck_assert_int_eq(push(queue, 7, 9), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 4, 6), REORDER_ACCEPTED);
  ck_assert_ptr_null(reorder_pop(queue));
  ck_assert_int_eq(push(queue, 1, 3), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 3);
  assert_pop(queue, 1, 3);
  assert_pop(queue, 4, 6);
  assert_pop(queue, 7, 9);
  ck_assert_ptr_null(reorder_pop(queue));
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(duplicates)
{
  Reorder *queue = reorder_new(8, 10, item_free);
  ck_assert_int_eq(push(queue, 1, 9), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 12, 15), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 12, 15), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 13, 14), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 12, 14), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 13, 15), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 13, 16), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 2);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(greater_item_replaces_those_within)
{
  Reorder *queue = reorder_new(8, 1, item_free);
  ck_assert_int_eq(push(queue, 3, 4), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 6, 8), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 8, 10), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 2, 8), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 2);
  ck_assert_uint_eq(alive, 2);
  ck_assert_int_eq(push(queue, 1, 1), REORDER_ACCEPTED);
  assert_pop(queue, 1, 1);
  assert_pop(queue, 2, 8);
  assert_pop(queue, 8, 10);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(overlaps_leave_as_they_came)
{
  Reorder *queue = reorder_new(8, 5, item_free);
  ck_assert_int_eq(push(queue, 7, 12), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 3, 8), REORDER_ACCEPTED);
  assert_pop(queue, 3, 8);
  assert_pop(queue, 7, 12);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(inv9_full_queue_refuses_what_leaves_a_hole)
{
  Reorder *queue = reorder_new(2, 1, item_free);
  ck_assert_int_eq(push(queue, 5, 5), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 4, 4), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 6, 6), REORDER_OUT_OF_WINDOW);
  ck_assert_int_eq(push(queue, 2, 2), REORDER_OUT_OF_WINDOW);
  /* No room is needed for what stands already or takes the place of others. */
  ck_assert_int_eq(push(queue, 5, 5), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 4, 6), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 1);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(inv9_full_queue_takes_the_next_item)
{
  Reorder *queue = reorder_new(2, 1, item_free);
  ck_assert_int_eq(push(queue, 2, 2), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 3, 3), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 1, 1), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 3);
  /* A second one of that kind adds nothing, or takes the place of the first. */
  ck_assert_int_eq(push(queue, 1, 1), REORDER_DUPLICATE);
  ck_assert_int_eq(push(queue, 1, 2), REORDER_ACCEPTED);
  ck_assert_uint_eq(reorder_waiting(queue), 2);
  assert_pop(queue, 1, 2);
  assert_pop(queue, 3, 3);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(inv9_an_overlapping_next_item_is_taken_too)
{
  Reorder *queue = reorder_new(1, 5, item_free);
  ck_assert_int_eq(push(queue, 8, 9), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 2, 7), REORDER_ACCEPTED);
  assert_pop(queue, 2, 7);
  assert_pop(queue, 8, 9);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(reset_drops_what_waits)
{
  Reorder *queue = reorder_new(4, 1, item_free);
  ck_assert_int_eq(push(queue, 3, 4), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 5, 6), REORDER_ACCEPTED);
  reorder_reset(queue, 3);
  ck_assert_uint_eq(alive, 0);
  ck_assert_uint_eq(reorder_waiting(queue), 0);
  ck_assert_uint_eq(reorder_expected(queue), 3);
  ck_assert_int_eq(push(queue, 3, 4), REORDER_ACCEPTED);
  assert_pop(queue, 3, 4);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(inv9_grows_with_the_senders_window)
{
  Reorder *queue = reorder_new(2, 1, item_free);
  for (guint64 i = 1; i <= 20; i++) { /* moves the head along the slots */
    ck_assert_int_eq(push(queue, i, i), REORDER_ACCEPTED);
    if (i > 1)
      assert_pop(queue, i - 1, i - 1);
  }
  ck_assert_int_eq(push(queue, 22, 22), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 23, 23), REORDER_OUT_OF_WINDOW);
  reorder_grow(queue, 1); /* never less than before */
  ck_assert_int_eq(push(queue, 23, 23), REORDER_OUT_OF_WINDOW);
  reorder_grow(queue, 50);
  for (guint64 i = 70; i >= 23; i--)
    ck_assert_int_eq(push(queue, i, i), REORDER_ACCEPTED);
  ck_assert_int_eq(push(queue, 71, 71), REORDER_OUT_OF_WINDOW);
  assert_pop(queue, 20, 20);
  ck_assert_int_eq(push(queue, 21, 21), REORDER_ACCEPTED);
  for (guint64 i = 21; i <= 70; i++)
    assert_pop(queue, i, i);
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(items_need_no_free_function)
{
  int item;
  Reorder *queue = reorder_new(1, 1, NULL);
  ck_assert_int_eq(reorder_push(queue, 2, 2, &item), REORDER_ACCEPTED);
  ck_assert_int_eq(reorder_push(queue, 2, 3, &item), REORDER_ACCEPTED);
  reorder_free(queue);
}
END_TEST

START_TEST(in_order_stream_wraps_around_the_slots)
{
  Reorder *queue = reorder_new(3, 1, item_free);
  for (guint64 i = 1; i < 1000; i += 2) {
    ck_assert_int_eq(push(queue, i + 1, i + 1), REORDER_ACCEPTED);
    ck_assert_int_eq(push(queue, i, i), REORDER_ACCEPTED);
    assert_pop(queue, i, i);
    if (i % 3 == 0) {
      ck_assert_int_eq(push(queue, i + 2, i + 2), REORDER_ACCEPTED);
      assert_pop(queue, i + 1, i + 1);
      assert_pop(queue, i + 2, i + 2);
      i++;
    } else {
      assert_pop(queue, i + 1, i + 1);
    }
  }
  reorder_free(queue);
  ck_assert_uint_eq(alive, 0);
}
END_TEST

/* The model: an unsorted list, looked through from end to end. */
typedef struct Model {
  GArray *items; /* Item */
  guint64 expected;
  guint capacity;
} Model;

static gboolean model_covers(const Item *outer, guint64 first, guint64 last, guint64 expected)
{
  return MAX(outer->first, expected) <= MAX(first, expected) && outer->last >= last;
}

static ReorderVerdict model_push(Model *model, guint64 first, guint64 last)
{
  if (last < model->expected)
    return REORDER_DUPLICATE;
  Item fresh = {first, last};
  guint within = 0;
  for (guint i = 0; i < model->items->len; i++) {
    const Item *other = &g_array_index(model->items, Item, i);
    if (model_covers(other, first, last, model->expected))
      return REORDER_DUPLICATE;
    within += model_covers(&fresh, other->first, other->last, model->expected);
  }
  if (first > model->expected && model->items->len - within >= model->capacity)
    return REORDER_OUT_OF_WINDOW;
  for (guint i = 0; i < model->items->len;) {
    const Item *other = &g_array_index(model->items, Item, i);
    if (model_covers(&fresh, other->first, other->last, model->expected))
      g_array_remove_index_fast(model->items, i);
    else
      i++;
  }
  g_array_append_val(model->items, fresh);
  return REORDER_ACCEPTED;
}

/* Of those that can leave, the one that ends first. */
static gboolean model_pop(Model *model, Item *out_item)
{
  guint best = G_MAXUINT;
  for (guint i = 0; i < model->items->len; i++) {
    const Item *item = &g_array_index(model->items, Item, i);
    if (item->first <= model->expected &&
        (best == G_MAXUINT || item->last < g_array_index(model->items, Item, best).last))
      best = i;
  }
  if (best == G_MAXUINT)
    return FALSE;
  *out_item = g_array_index(model->items, Item, best);
  g_array_remove_index_fast(model->items, best);
  model->expected = out_item->last + 1;
  return TRUE;
}

static void pop_both(Reorder *queue, Model *model, guint8 *left)
{
  Item expected_item;
  guint64 before = model->expected;
  g_autofree Item *item = reorder_pop(queue);
  if (!model_pop(model, &expected_item)) {
    fast_assert(item == NULL);
    return;
  }
  fast_assert(item != NULL);
  alive--;
  fast_assert(item->first == expected_item.first);
  fast_assert(item->last == expected_item.last);
  for (guint64 i = before; i <= item->last; i++)
    fast_assert(left[i]++ == 0); /* each index once */
}

static void random_walk(guint32 seed, guint capacity)
{
  GRand *rand = g_rand_new_with_seed(seed);
  Model model = {g_array_new(FALSE, FALSE, sizeof(Item)), 1, capacity};
  Reorder *queue = reorder_new(capacity, 1, item_free);
  g_autofree guint8 *left = g_new0(guint8, 40000);
  for (guint step = 0; step < 3000; step++) {
    if (g_rand_int_range(rand, 0, 100) < 65) {
      gint64 first = (gint64)model.expected + g_rand_int_range(rand, -8, 2 * (gint32)capacity + 4);
      first = MAX(first, 1);
      guint64 last = (guint64)first + (guint64)g_rand_int_range(rand, 0, 9);
      fast_assert(push(queue, (guint64)first, last) == model_push(&model, (guint64)first, last));
    } else {
      pop_both(queue, &model, left);
    }
    if (step % 500 == 499) {
      capacity += 2;
      model.capacity = capacity;
      reorder_grow(queue, capacity);
    }
    fast_assert(reorder_expected(queue) == model.expected);
    fast_assert(reorder_waiting(queue) == model.items->len);
    fast_assert(reorder_waiting(queue) <= capacity + 1);
    fast_assert(alive == model.items->len);
  }
  for (guint64 i = 1; i < model.expected; i++)
    fast_assert(left[i] == 1); /* no hole */
  reorder_free(queue);
  fast_assert(alive == 0);
  g_array_unref(model.items);
  g_rand_free(rand);
}

START_TEST(inv3_inv9_random_walks_agree_with_model)
{
  for (guint32 seed = 0; seed < 120; seed++)
    random_walk(seed, 1 + seed % 7);
}
END_TEST

/* A sender that repeats what it has no answer for always gets through, however small the queue. */
START_TEST(inv9_never_stuck)
{
  for (guint32 seed = 0; seed < 50; seed++) {
    GRand *rand = g_rand_new_with_seed(seed);
    Reorder *queue = reorder_new(1 + seed % 3, 1, item_free);
    guint rounds = 0;
    while (reorder_expected(queue) <= 500) {
      guint64 from = reorder_expected(queue);
      guint64 batches[8];
      for (guint i = 0; i < G_N_ELEMENTS(batches); i++)
        batches[i] = from + 3 * i;
      for (guint i = G_N_ELEMENTS(batches) - 1; i > 0; i--) {
        guint other = (guint)g_rand_int_range(rand, 0, (gint32)i + 1);
        guint64 swapped = batches[i];
        batches[i] = batches[other];
        batches[other] = swapped;
      }
      for (guint i = 0; i < G_N_ELEMENTS(batches); i++)
        push(queue, batches[i], batches[i] + 2);
      gpointer item;
      while ((item = reorder_pop(queue)) != NULL)
        item_free(item);
      fast_assert(reorder_expected(queue) > from);
      fast_assert(++rounds < 500);
    }
    reorder_free(queue);
    fast_assert(alive == 0);
    g_rand_free(rand);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {inv3_any_order_in_one_order_out,
                                duplicates,
                                greater_item_replaces_those_within,
                                overlaps_leave_as_they_came,
                                inv9_full_queue_refuses_what_leaves_a_hole,
                                inv9_full_queue_takes_the_next_item,
                                inv9_an_overlapping_next_item_is_taken_too,
                                reset_drops_what_waits,
                                inv9_grows_with_the_senders_window,
                                items_need_no_free_function,
                                in_order_stream_wraps_around_the_slots,
                                inv3_inv9_random_walks_agree_with_model,
                                inv9_never_stuck};
  return RUN_SUITE("reorder", tests);
}
