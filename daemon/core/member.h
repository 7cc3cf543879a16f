/*
 * A member of a group, as nodes tell each other and keep it. A list of members never changes once
 * it was given away: it is shared by reference. What the states mean is in core/membership.h.
 */
#pragma once

#include <glib.h>

/* They only ever go forward: a member's state never becomes a smaller one. */
typedef enum {
  MEMBER_UNKNOWN,  /* named by the configuration of a node that joins; never told or kept */
  MEMBER_JOINING,  /* added: it is sent all logs, and what it needs is kept */
  MEMBER_ENTERING, /* it holds the data; it takes no writes until all others know it */
  MEMBER_ACTIVE,
  MEMBER_REMOVING, /* it takes no writes any more, the others fetch what it has */
  MEMBER_REMOVED,  /* nothing waits for it; it may not come back */
  MEMBER_LOST,     /* the same, by an operator's word that it will not come back */
} MemberState;

typedef struct Member {
  guint32 id;
  MemberState state;
  char *address; /* "host:port" for replication; NULL: not known */
} Member;

/* "joining", "entering", … Static. */
const char *member_state_name(MemberState state);

/* FALSE when there is no such name. */
gboolean member_state_parse(const char *name, MemberState *out_state);

/* An empty list of Member*, which it owns; to be filled in the order of ids. */
GPtrArray *member_list_new(void);
void member_list_add(GPtrArray *list, guint32 id, MemberState state, const char *address);

/* NULL when it is not in the list, which is sorted by id. */
const Member *member_list_find(const GPtrArray *list, guint32 id);
