/*
 * Reads that find their group by the rule: that of a device, or all groups at once. Thread-safe.
 */
#pragma once

#include "node/groups.h"

/*
 * As replica_read, of one group; with GROUP_BY_RULE of the group of `device`, or, where that is
 * NULL, of all: the store that is read then answers query, last, aggregate and series as if it held
 * the devices of every group of this node, each where the rule has it. When one of them can't
 * be read, that is NOT_READY, or with `partial` left out: group_reads_left_out tells. By the rule a
 * token counts only in its own group. tokens may be NULL; it and device are borrowed for the call
 * only.
 */
void group_reads_begin(Groups *groups, guint32 group, const char *device, gboolean partial,
                       const GArray *tokens, gint64 timeout_ms, ReplicaRead read, gpointer data);

/* Of the store that a read got: which groups it lacks, and why, for people, in one line; NULL:
 * none. Lives as long as the store. */
const char *group_reads_left_out(const Store *store);
