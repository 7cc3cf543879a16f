#include "core/sync_window.h"

typedef struct Pending {
  guint64 first_index, last_index;
  gboolean accepted;
} Pending;

struct SyncWindow {
  guint capacity;
  guint head, count; /* ring */
  guint64 acked;     /* everything up to here is at the peer */
  guint64 next;      /* first index not sent yet */
  Pending ring[];
};

SyncWindow *sync_window_new(guint capacity, guint64 acked)
{
  g_assert(capacity >= 1);
  SyncWindow *window = g_malloc0(sizeof *window + capacity * sizeof window->ring[0]);
  window->capacity = capacity;
  sync_window_reset(window, acked);
  return window;
}

void sync_window_free(SyncWindow *window)
{
  g_free(window);
}

void sync_window_reset(SyncWindow *window, guint64 acked)
{
  window->head = window->count = 0;
  window->acked = acked;
  window->next = acked + 1;
}

gboolean sync_window_has_room(const SyncWindow *window)
{
  return window->count < window->capacity;
}

guint sync_window_in_flight(const SyncWindow *window)
{
  return window->count;
}

guint64 sync_window_next(const SyncWindow *window)
{
  return window->next;
}

guint64 sync_window_acked(const SyncWindow *window)
{
  return window->acked;
}

/* The i-th oldest batch. */
static Pending *pending_at(SyncWindow *window, guint i)
{
  return &window->ring[(window->head + i) % window->capacity];
}

void sync_window_push(SyncWindow *window, guint64 last_index)
{
  g_assert(sync_window_has_room(window)); /* INV-9 */
  g_assert(last_index >= window->next);
  *pending_at(window, window->count++) = (Pending){window->next, last_index, FALSE};
  window->next = last_index + 1;
}

static Pending *find_pending(SyncWindow *window, guint64 first_index)
{
  guint low = 0, high = window->count;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (pending_at(window, middle)->first_index < first_index)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == window->count)
    return NULL;
  Pending *found = pending_at(window, low);
  return found->first_index == first_index ? found : NULL;
}

gboolean sync_window_ack(SyncWindow *window, guint64 first_index)
{
  Pending *found = find_pending(window, first_index);
  if (found == NULL || found->accepted)
    return FALSE;
  found->accepted = TRUE;
  while (window->count > 0 && window->ring[window->head].accepted) {
    const Pending *oldest = &window->ring[window->head];
    g_assert(oldest->first_index == window->acked + 1); /* INV-2 */
    window->acked = oldest->last_index;
    window->head = (window->head + 1) % window->capacity;
    window->count--;
  }
  return TRUE;
}
