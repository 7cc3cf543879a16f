/*
 * Writes of the own log that wait until they are durable on more nodes than this one.
 *
 * Not thread-safe. Writes are added in order of their indices. What a write is belongs to the
 * caller.
 */
#pragma once

#include <glib.h>

typedef struct Acks Acks;

Acks *acks_new(void);
/* There must be none waiting (asserted). */
void acks_free(Acks *acks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Acks, acks_free)

/* The write at `index` waits for `nodes` nodes (this one included) until deadline_us. */
void acks_add(Acks *acks, guint64 index, guint nodes, gint64 deadline_us, gpointer write);

/*
 * Given the durable index of the own log on each node (this one included, any order), takes out one
 * write that is durable on enough nodes; NULL when there is none. Call until NULL.
 */
gpointer acks_take_done(Acks *acks, const guint64 *durable, guint count);

/* Takes out one write whose deadline has passed at now_us; NULL when there is none. */
gpointer acks_take_late(Acks *acks, gint64 now_us);

/* Takes out any one, for shutting down. */
gpointer acks_take_any(Acks *acks);

/* There are only so many nodes now: writes that wait for more wait for these (at least 1). */
void acks_cap(Acks *acks, guint nodes);

/* Earliest deadline, G_MAXINT64 when nothing waits. */
gint64 acks_deadline_us(const Acks *acks);

guint acks_waiting(const Acks *acks);

/* The highest index that is durable on at least `nodes` of the given nodes; 0 when there are fewer.
 */
guint64 acks_quorum_index(const guint64 *durable, guint count, guint nodes);
