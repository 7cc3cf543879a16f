/*
 * The in-memory tail of the own log: the newest durable runs, shared by all peers. Each peer is a
 * cursor, an index; what fell out of the tail is read from the WAL. Bounded by entries and bytes,
 * but it always keeps the newest run. Not thread-safe.
 */
#pragma once

#include "core/messages.h"

typedef struct Tail Tail;

Tail *tail_new(guint max_entries, gsize max_bytes);
void tail_free(Tail *tail);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tail, tail_free)

/* Appends a run behind the last one (asserted). Transfer none. */
void tail_push(Tail *tail, EntryRun *run);

/* First index in the tail, 0 when it is empty. */
guint64 tail_first_index(const Tail *tail);

gsize tail_bytes(const Tail *tail);

/* Adds records from `from` on to an empty batch, at least one, within the bounds. FALSE when `from`
 * is not in the tail. */
gboolean tail_fill(const Tail *tail, guint64 from, guint max_entries, gsize max_bytes,
                   SyncBatch *batch);
