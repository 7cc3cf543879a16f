/* The reorder queue as a sequence of operations, against a list that is searched from end to end.
 */
#include "core/reorder.h"
#include "fuzz/fuzz.h"

typedef struct Item {
  guint64 first, last;
} Item;

typedef struct Model {
  guint capacity;
  guint64 expected;
  GPtrArray *waiting; /* Item* */
  guint freed;
} Model;

static guint freed;

static void free_item(gpointer data)
{
  freed++;
  g_free(data);
}

/* What has left already does not count. */
static gboolean lies_within(const Model *model, const Item *item, guint64 first, guint64 last)
{
  return MAX(item->first, model->expected) >= first && item->last <= last;
}

/* What reorder.h says of a push, and the model after it. */
static ReorderVerdict push(Model *model, Item *item)
{
  guint64 first = MAX(item->first, model->expected);
  if (item->last < model->expected)
    return REORDER_DUPLICATE;
  guint within = 0;
  for (guint i = 0; i < model->waiting->len; i++) {
    const Item *other = model->waiting->pdata[i];
    if (MAX(other->first, model->expected) <= first && other->last >= item->last)
      return REORDER_DUPLICATE;
    within += lies_within(model, other, first, item->last);
  }
  if (first > model->expected && model->waiting->len - within >= model->capacity)
    return REORDER_OUT_OF_WINDOW;
  for (guint i = model->waiting->len; i > 0; i--)
    if (lies_within(model, model->waiting->pdata[i - 1], first, item->last)) {
      g_ptr_array_remove_index_fast(model->waiting, i - 1);
      model->freed++;
    }
  g_ptr_array_add(model->waiting, item);
  return REORDER_ACCEPTED;
}

/* The item that leaves next: of those that begin early enough the one that ends first. */
static Item *pop(Model *model)
{
  Item *next = NULL;
  for (guint i = 0; i < model->waiting->len; i++) {
    Item *item = model->waiting->pdata[i];
    if (item->first <= model->expected && (next == NULL || item->last < next->last))
      next = item;
  }
  if (next != NULL) {
    g_ptr_array_remove_fast(model->waiting, next);
    model->expected = next->last + 1;
  }
  return next;
}

static void run_push(Reorder *reorder, Model *model, FuzzInput *in)
{
  guint64 base = model->expected;
  guint64 first = base + fuzz_u8(in) % 32;
  first = first > 8 ? first - 8 : 1;
  Item *item = g_new(Item, 1);
  *item = (Item){.first = first, .last = first + fuzz_u8(in) % 12};
  ReorderVerdict wanted = push(model, item); /* before: the queue frees what it drops */
  ReorderVerdict verdict = reorder_push(reorder, item->first, item->last, item);
  g_assert(verdict == wanted);
  if (verdict != REORDER_ACCEPTED)
    g_free(item);
}

static void run_pop(Reorder *reorder, Model *model)
{
  Item *wanted = pop(model);
  Item *item = reorder_pop(reorder);
  g_assert(item == wanted);
  g_free(item);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  freed = 0;
  Model model = {.capacity = 1 + fuzz_u8(&in) % 6, .expected = 1 + fuzz_u8(&in) % 16};
  model.waiting = g_ptr_array_new();
  g_autoptr(Reorder) reorder = reorder_new(model.capacity, model.expected, free_item);
  while (in.left > 0) {
    guint op = fuzz_u8(&in);
    if (op < 144) {
      run_push(reorder, &model, &in);
    } else if (op < 240) {
      run_pop(reorder, &model);
    } else if (op < 248) {
      guint capacity = 1 + fuzz_u8(&in) % 12;
      reorder_grow(reorder, capacity);
      model.capacity = MAX(model.capacity, capacity);
    } else {
      model.expected = 1 + fuzz_u8(&in);
      model.freed += model.waiting->len;
      g_ptr_array_set_size(model.waiting, 0);
      reorder_reset(reorder, model.expected);
    }
    g_assert(reorder_expected(reorder) == model.expected);
    g_assert(reorder_waiting(reorder) == model.waiting->len);
    g_assert(model.waiting->len <= model.capacity + 1);
    g_assert(freed == model.freed);
  }
  g_ptr_array_unref(model.waiting);
}

void fuzz_seeds(void)
{
  static const guint8 in_order[] = {4, 0, 0, 8, 3, 0, 12, 3, 200, 200};
  static const guint8 overlaps[] = {2, 3,  0,  20,  5,   0,   18, 9,   0, 12, 3,
                                    0, 11, 11, 200, 0,   24,  1,  245, 9, 0,  30,
                                    2, 0,  28, 2,   200, 250, 7,  0,   8, 0,  200};
  fuzz_seed("in-order", in_order, sizeof in_order);
  fuzz_seed("overlaps", overlaps, sizeof overlaps);
}
