/*
 * Who belongs to a group. The list is sorted and includes this node. Not thread-safe; in use it is
 * never changed.
 */
#pragma once

#include <glib.h>

typedef struct Membership {
  guint32 self;
  GArray *members; /* guint32, sorted, with self */
} Membership;

/* peers: guint32, any order, without self and without repetitions (asserted). */
Membership *membership_new(guint32 self, const GArray *peers);
void membership_free(Membership *membership);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Membership, membership_free)

gboolean membership_has(const Membership *membership, guint32 node);
guint membership_count(const Membership *membership);

/* Nodes that make more than half. */
guint membership_majority(const Membership *membership);
