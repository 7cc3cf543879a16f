/*
 * Who belongs to a group. The list is sorted and includes this node. A member may be declared lost
 * for good: its logs still count, but nothing waits for it any more. Not thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct Membership {
  guint32 self;
  GArray *members; /* guint32, sorted, with self */
  GArray *lost;    /* guint32, sorted: those of the members that were declared lost */
} Membership;

/* peers: guint32, any order, without self and without repetitions (asserted). */
Membership *membership_new(guint32 self, const GArray *peers);
void membership_free(Membership *membership);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Membership, membership_free)

gboolean membership_has(const Membership *membership, guint32 node);

/* Declares a member other than self (asserted) lost. FALSE when it was already. */
gboolean membership_forget(Membership *membership, guint32 node);
gboolean membership_is_lost(const Membership *membership, guint32 node);

/* Members that are not lost, and how many of them make more than half. */
guint membership_count(const Membership *membership);
guint membership_majority(const Membership *membership);
