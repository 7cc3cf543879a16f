/*
 * Who belongs to a group, and what each member counts for. Not thread-safe.
 *
 * The record of members is a state and an address for each id. States only go forward, and two
 * records are merged by taking the greater state of each id; so all nodes come to the same record
 * in whatever order they hear of changes, also of those that two operators make at once, and
 * nothing has to be agreed upon. An id that was removed stays removed: it is never used again.
 *
 *   joining → entering → active → removing → removed, lost
 *
 *   | counts for                        | joining | entering | active | removing | removed, lost |
 *   | acknowledgements, who can compare |         | yes      | yes    |          |               |
 *   | retention (what is kept for it)   | yes     | yes      | yes    |          |               |
 *   | horizon (it may stamp entries)    |         | yes      | yes    | yes      |               |
 *   | takes writes                      |         |          | yes    |          |               |
 *   | has channels                      | yes     | yes      | yes    | yes      |               |
 *
 * As long as no operator changed anything there is no record: the members are those of the
 * configuration, all active. The first change begins the record, with them in it.
 *
 * The last active member can't go: while no member is active, the removing one with the smallest id
 * still counts as active, on all nodes alike.
 */
#pragma once

#include "core/member.h"

typedef struct Membership {
  guint32 self;
  gboolean begun;     /* there is a record, to be kept and told */
  GPtrArray *members; /* Member*, sorted by id, with self */
  guint32 stays;      /* the removing member that counts as active; 0: none */
  guint64 changes;    /* of the record, in this object's life */
} Membership;

/* All active. peers: guint32, any order, without self and without repetitions (asserted). */
Membership *membership_new(guint32 self, const GArray *peers);
/* A node that is to join a cluster of which it knows some nodes. */
Membership *membership_new_joining(guint32 self, const GArray *peers);
/* With what was kept. A record that does not name this node makes it one that joins. */
Membership *membership_new_kept(guint32 self, const GPtrArray *record);
void membership_free(Membership *membership);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Membership, membership_free)

/* Known, in whatever state; who is only configured is known until there is a record. */
gboolean membership_has(const Membership *membership, guint32 node);

/* By the rule for the last one; MEMBER_UNKNOWN for who is no member. */
MemberState membership_state(const Membership *membership, guint32 node);
const char *membership_address(const Membership *membership, guint32 node);

/* What the table says. Who is only configured may be anything until there is a record, and is
 * nothing from then on. */
gboolean membership_is_gone(const Membership *membership, guint32 node);
gboolean membership_counts(const Membership *membership, guint32 node);
gboolean membership_retains(const Membership *membership, guint32 node);
gboolean membership_stamps(const Membership *membership, guint32 node);

/* Members that count for acknowledgements, and how many of them make more than half. */
guint membership_count(const Membership *membership);
guint membership_majority(const Membership *membership);

/* Grows with every change of a state, and is the same for equal records. 0: no record. */
guint64 membership_version(const Membership *membership);

/* Where a member listens, as the configuration says; it stays when the record has one. */
void membership_set_address(Membership *membership, guint32 node, const char *address);

/* Brings a member, which may be new, to a state, and begins the record. FALSE when it has that
 * state or a later one already. */
gboolean membership_raise(Membership *membership, guint32 node, MemberState state,
                          const char *address);

/* Takes over what another node tells or this one has kept. FALSE when it changed nothing. */
gboolean membership_merge(Membership *membership, const GPtrArray *record);

/* The record as it is now, transfer full; NULL: there is none. */
GPtrArray *membership_record(const Membership *membership);
