/*
 * Sync status: the batches of one log that are in flight to one peer.
 *
 * Batches are pushed in order of their indices, without a hole between them; replies come in any
 * order. The acknowledged index moves over the contiguous prefix of answered batches only, so it
 * never passes an entry that the peer may lack. A batch that was answered before an older one keeps
 * its place in the window until the older one is answered too: otherwise the window could run ahead
 * of a hole without end. Not thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct SyncWindow SyncWindow;

/* capacity: batches in flight, ≥ 1. Everything up to `acked` is at the peer already. */
SyncWindow *sync_window_new(guint capacity, guint64 acked);
void sync_window_free(SyncWindow *window);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SyncWindow, sync_window_free)

/* Forgets all batches in flight and begins again behind `acked`. */
void sync_window_reset(SyncWindow *window, guint64 acked);

gboolean sync_window_has_room(const SyncWindow *window);
/* Batches that hold a place in the window. */
guint sync_window_in_flight(const SyncWindow *window);

/* First index of the batch to send next. */
guint64 sync_window_next(const SyncWindow *window);

/* Highest index that is acknowledged without a hole. */
guint64 sync_window_acked(const SyncWindow *window);

/* A batch next .. last_index was sent. There must be room (asserted). */
void sync_window_push(SyncWindow *window, guint64 last_index);

/* The batch that began at first_index was accepted. FALSE when no such batch waits for its answer
 * (a reply to one that was forgotten, or a second reply). */
gboolean sync_window_ack(SyncWindow *window, guint64 first_index);
