#include "core/reorder.h"

#include <string.h>

typedef struct Waiting {
  guint64 first_index, last_index;
  gpointer item;
} Waiting;

/*
 * The items stand in `slots` from `head` on, sorted by first index. None lies within another, so
 * they are sorted by last index as well. There are twice as many slots as items can wait, so that
 * the common case, in at the end and out at the head, moves memory only now and then.
 */
struct Reorder {
  guint capacity;
  guint64 expected;
  GDestroyNotify free_item;
  guint head, count, slot_count;
  Waiting *slots;
};

static guint slots_for(guint capacity)
{
  return 2 * (capacity + 1);
}

Reorder *reorder_new(guint capacity, guint64 expected, GDestroyNotify free_item)
{
  g_assert(capacity >= 1 && expected >= 1);
  Reorder *reorder = g_new0(Reorder, 1);
  reorder->capacity = capacity;
  reorder->expected = expected;
  reorder->free_item = free_item;
  reorder->slot_count = slots_for(capacity);
  reorder->slots = g_new(Waiting, reorder->slot_count);
  return reorder;
}

void reorder_free(Reorder *reorder)
{
  reorder_reset(reorder, reorder->expected);
  g_free(reorder->slots);
  g_free(reorder);
}

static Waiting *waiting_at(const Reorder *reorder, guint i)
{
  return &reorder->slots[reorder->head + i];
}

void reorder_grow(Reorder *reorder, guint capacity)
{
  if (capacity <= reorder->capacity)
    return;
  reorder->capacity = capacity;
  reorder->slot_count = slots_for(capacity);
  reorder->slots = g_renew(Waiting, reorder->slots, reorder->slot_count);
}

guint64 reorder_expected(const Reorder *reorder)
{
  return reorder->expected;
}

guint reorder_waiting(const Reorder *reorder)
{
  return reorder->count;
}

static void free_items(Reorder *reorder, guint at, guint count)
{
  for (guint i = at; reorder->free_item != NULL && i < at + count; i++)
    reorder->free_item(waiting_at(reorder, i)->item);
}

void reorder_reset(Reorder *reorder, guint64 expected)
{
  g_assert(expected >= 1);
  free_items(reorder, 0, reorder->count);
  reorder->head = reorder->count = 0;
  reorder->expected = expected;
}

/* How many items begin below `index`. */
static guint count_below(const Reorder *reorder, guint64 index)
{
  guint low = 0, high = reorder->count;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (waiting_at(reorder, middle)->first_index < index)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Puts `item` in the place of `removed` items (maybe none) at position `at`. */
static void replace(Reorder *reorder, guint at, guint removed, Waiting item)
{
  free_items(reorder, at, removed);
  if (removed == 0 && reorder->head + reorder->count == reorder->slot_count) {
    memmove(reorder->slots, waiting_at(reorder, 0), reorder->count * sizeof item);
    reorder->head = 0;
  }
  memmove(waiting_at(reorder, at + 1), waiting_at(reorder, at + removed),
          (reorder->count - at - removed) * sizeof item);
  *waiting_at(reorder, at) = item;
  reorder->count = reorder->count + 1 - removed;
}

ReorderVerdict reorder_push(Reorder *reorder, guint64 first_index, guint64 last_index,
                            gpointer item)
{
  g_assert(first_index >= 1 && first_index <= last_index && last_index < G_MAXUINT64);
  g_assert(item != NULL);
  if (last_index < reorder->expected)
    return REORDER_DUPLICATE;
  /* What has left already does not count: it would make items look different that are not. */
  first_index = MAX(first_index, reorder->expected);
  guint at = first_index == reorder->expected ? 0 : count_below(reorder, first_index);
  if (at > 0 && waiting_at(reorder, at - 1)->last_index >= last_index)
    return REORDER_DUPLICATE;
  guint within = 0;
  while (at + within < reorder->count) {
    const Waiting *other = waiting_at(reorder, at + within);
    if (other->first_index <= first_index && other->last_index >= last_index)
      return REORDER_DUPLICATE;
    if (other->last_index > last_index)
      break;
    within++;
  }
  if (first_index > reorder->expected && reorder->count - within >= reorder->capacity)
    return REORDER_OUT_OF_WINDOW;
  replace(reorder, at, within, (Waiting){first_index, last_index, item});
  g_assert(reorder->count <= reorder->capacity + 1); /* INV-9 */
  return REORDER_ACCEPTED;
}

gpointer reorder_pop(Reorder *reorder)
{
  if (reorder->count == 0)
    return NULL;
  const Waiting *next = waiting_at(reorder, 0);
  if (next->first_index > reorder->expected)
    return NULL;
  g_assert(next->last_index >= reorder->expected); /* INV-3 */
  reorder->expected = next->last_index + 1;
  reorder->head++;
  reorder->count--;
  if (reorder->count == 0)
    reorder->head = 0;
  return next->item;
}
