/* The window of batches in flight as a sequence of operations, against a plain list. */
#include "core/sync_window.h"
#include "fuzz/fuzz.h"

enum { CAPACITY_MOST = 8 };

typedef struct Model {
  guint capacity, count;
  guint64 acked, next;
  struct {
    guint64 first, last;
    gboolean accepted;
  } batches[CAPACITY_MOST];
} Model;

static gboolean model_ack(Model *model, guint64 first)
{
  gboolean known = FALSE;
  for (guint i = 0; i < model->count; i++)
    if (model->batches[i].first == first && !model->batches[i].accepted)
      known = model->batches[i].accepted = TRUE;
  while (model->count > 0 && model->batches[0].accepted) {
    model->acked = model->batches[0].last;
    memmove(&model->batches[0], &model->batches[1], --model->count * sizeof model->batches[0]);
  }
  return known;
}

static void model_push(Model *model, guint64 last)
{
  model->batches[model->count].first = model->next;
  model->batches[model->count].last = last;
  model->batches[model->count++].accepted = FALSE;
  model->next = last + 1;
}

/* What is acknowledged is what was accepted from the begin on, nothing less and nothing more. */
static void compare(const SyncWindow *window, const Model *model)
{
  g_assert(sync_window_acked(window) == model->acked);
  g_assert(sync_window_next(window) == model->next);
  g_assert(sync_window_in_flight(window) == model->count);
  g_assert(sync_window_has_room(window) == (model->count < model->capacity));
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  Model model = {.capacity = 1 + fuzz_u8(&in) % CAPACITY_MOST, .acked = fuzz_u8(&in)};
  model.next = model.acked + 1;
  SyncWindow *window = sync_window_new(model.capacity, model.acked);
  while (in.left > 0) {
    guint op = fuzz_u8(&in);
    if (op < 112) {
      guint64 last = model.next + fuzz_u8(&in) % 16;
      if (sync_window_has_room(window)) {
        sync_window_push(window, last);
        model_push(&model, last);
      }
    } else if (op < 248) {
      guint64 first = model.acked + fuzz_u8(&in) % 64;
      guint which = op % (CAPACITY_MOST + 1);
      if (which < model.count)
        first = model.batches[which].first;
      g_assert(sync_window_ack(window, first) == model_ack(&model, first));
    } else {
      model.acked = fuzz_u8(&in);
      model.next = model.acked + 1;
      model.count = 0;
      sync_window_reset(window, model.acked);
    }
    compare(window, &model);
  }
  sync_window_free(window);
}

void fuzz_seeds(void)
{
  static const guint8 out_of_order[] = {4, 9, 0, 2, 0, 0, 0, 5, 119, 0, 118, 0, 117, 0, 0, 1};
  static const guint8 full[] = {1, 0, 0, 1, 0, 1, 120, 0, 250, 7, 0, 3, 200, 9};
  fuzz_seed("out-of-order", out_of_order, sizeof out_of_order);
  fuzz_seed("full", full, sizeof full);
}
