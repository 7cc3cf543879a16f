/*
 * Reads that find their group by the rule: that of a device, or all groups at once. Thread-safe.
 */
#pragma once

#include "node/groups.h"

/* What is borrowed is so for the call of group_reads_begin only. */
typedef struct GroupRead {
  guint32 group;        /* or GROUP_BY_RULE */
  const char *device;   /* by which the rule finds the group; NULL: all groups */
  const GArray *tokens; /* Token; NULL: none */
  gint64 timeout_ms;
  gboolean partial;      /* leaves out groups that can't be read; else that is an error */
  const GArray *without; /* guint32: groups that are left out in any case; NULL: none */
} GroupRead;

/*
 * As replica_read, of one group; with GROUP_BY_RULE of the group of the device, or, where that is
 * NULL, of all: the store that is read then answers query, last, aggregate and series as if it held
 * the devices of every group of this node, each where the rule has it. When one of them can't
 * be read, that is NOT_READY, or with `partial` left out. By the rule a token counts only in its
 * own group, which is never left out then: who has a token would miss what he knows of.
 */
void group_reads_begin(Groups *groups, const GroupRead *what, ReplicaRead read, gpointer data);

/* Of the store that a read got: which groups it lacks, and why, for people, in one line without
 * control characters; NULL: none. Lives as long as the store. */
const char *group_reads_left_out(const Store *store);

/* The same: their ids, guint32. */
const GArray *group_reads_left_out_ids(const Store *store);
