/*
 * The reorder queue of one log at the receiver: batches come in any order, leave in order.
 *
 * It knows indices only; what a batch is belongs to the caller. Overlaps are allowed (after a
 * reconnect the sender may cut its batches elsewhere): an item that leaves may begin below the
 * index that was expected, and the caller drops the part that it has. Of two items of which one
 * lies within the other only the greater is kept.
 *
 * Bounded: not more than `capacity` items wait, and one more for the item that is next. That one is
 * taken even when all room is used up, otherwise the queue could never move again. Not thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct Reorder Reorder;

typedef enum {
  REORDER_ACCEPTED,
  REORDER_DUPLICATE,     /* everything in it has left already, or waits already in one item */
  REORDER_OUT_OF_WINDOW, /* would leave a hole and there is no room to wait */
} ReorderVerdict;

/* capacity ≥ 1. expected: first index that has not left yet. free_item (may be NULL): for items
 * that never leave. */
Reorder *reorder_new(guint capacity, guint64 expected, GDestroyNotify free_item);
void reorder_free(Reorder *reorder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reorder, reorder_free)

/* Lets up to `capacity` items wait; never less than before. */
void reorder_grow(Reorder *reorder, guint capacity);

guint64 reorder_expected(const Reorder *reorder);
guint reorder_waiting(const Reorder *reorder);

/* Drops all that waits and expects `expected` next. */
void reorder_reset(Reorder *reorder, guint64 expected);

/*
 * Takes the item (transfer full) only with REORDER_ACCEPTED. Items that lie within it are freed. An
 * item that begins at or below `expected` is never out of window.
 */
ReorderVerdict reorder_push(Reorder *reorder, guint64 first_index, guint64 last_index,
                            gpointer item);

/* The next item in order, transfer full, and moves `expected` behind it; NULL when it is missing.
 */
gpointer reorder_pop(Reorder *reorder);
