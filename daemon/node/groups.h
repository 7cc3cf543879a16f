/*
 * The groups of a node: which there are, whose replica serves each, and which group a device
 * belongs to. Group 0 is always there; the others come and go with the configuration while the node
 * runs: threads of their own open and close them, so that neither waits for the other, nor for
 * a recovery. A group that can't be opened, or can't go on, harms no other: it is told as such and
 * tried again.
 *
 * Thread-safe unless said otherwise.
 */
#pragma once

#include "base/group_rule.h"
#include "node/config.h"
#include "node/identity.h"
#include "node/replica.h"

typedef struct Groups Groups;

/*
 * Opens group 0 and those of the configuration, and finishes what was being deleted. Only group 0
 * may fail it. A group that takes long is not waited for: it is "opening" until it is there.
 * `identity` is the node's, and with `loops` must outlive the groups; store_files: that all stores
 * together keep open.
 */
Groups *groups_open(Identity *identity, RpcLoops *loops, const Config *config, guint store_files,
                    GError **error);

/* Begins to connect to the peers. */
void groups_start(Groups *groups);

/* Takes over a configuration that was read again. Main thread, as all up to groups_close. */
void groups_adopt(Groups *groups, const Config *running);

/* Once a second. */
void groups_housekeeping(Groups *groups);

/* As of the replica; of them all. drain waits timeout_ms at most, for all together. */
void groups_drain(Groups *groups, gint64 timeout_ms);
void groups_stop(Groups *groups);
/* Closes all and frees. */
void groups_close(Groups *groups);

/* --- use ----------------------------------------------------------------------------------------
 */

/* A group's replica, held: replica_release gives it back. NULL with UNKNOWN_GROUP when the group is
 * not on this node, NOT_READY when it is not open. */
Replica *groups_hold(Groups *groups, guint32 id, GError **error);

/* All that are open, by id: Replica, each held until the array is freed. */
GPtrArray *groups_hold_all(Groups *groups);

/*
 * The same for a read of all groups: with them, as of one moment, those that are to be here and are
 * not open, as groups_closed, and the rule. Transfer full.
 */
GPtrArray *groups_hold_view(Groups *groups, GPtrArray **out_closed, GroupRule **out_rule);

/* Whether the threads of all groups still turn, or of one at least: a group that stands still is no
 * reason to end the process, and the others with it. */
gboolean groups_are_alive(Groups *groups);
gboolean groups_is_one_alive(Groups *groups);

/* Runs func(data) on a worker; group 0 is closed only behind it. */
void groups_work(Groups *groups, void (*func)(gpointer data), gpointer data);

/* Whether there is group 0 only, so that nobody need ask for a device's. */
gboolean groups_are_one(Groups *groups);

/* Transfer full. */
GroupRule *groups_hold_rule(Groups *groups);

guint32 groups_of_device(Groups *groups, const char *device, gsize size);

/*
 * The group of an encoded write: `asked`, or with GROUP_BY_RULE that of its devices. INVALID
 * when one of them is another group's; deletes may name any group, and act in that one only.
 */
gboolean groups_of_write(Groups *groups, guint32 asked, const guint8 *data, gsize size,
                         guint32 *out_group, GError **error);

/* --- operators ----------------------------------------------------------------------------------
 */

/* What is known of each group, and of files that are left of others: GroupInfo, by id. */
GPtrArray *groups_list(Groups *groups);

/* Those that are to be here and are not open: GroupInfo, by id, without sizes. */
GPtrArray *groups_closed(Groups *groups);

/*
 * Deletes the files of a group that is not in the configuration any more, and then calls
 * deleted(data, error), on any thread: NULL, INVALID when the group is in use, UNKNOWN_GROUP when
 * there are no files.
 */
typedef void (*GroupsDeleted)(gpointer data, const GError *error);
void groups_delete(Groups *groups, guint32 id, GroupsDeleted deleted, gpointer data);
