/*
 * What must hold, looked at while the cluster runs. Each check_*.c keeps one promise of
 * daemon/README.md; a promise that is broken ends the run with its name (sim_fail). The functions
 * are called where something happens; none changes anything.
 */
#pragma once

#include "sim/sim.h"

/* --- check_durable.c: P1, what was acknowledged or told to be durable survives ------------------
 */

/* A write was answered, with a token when it is durable. */
void check_answered(SimNode *node, const SimWrite *write, SynclogStatus status, const Token *token);
/* A node is up again: what it told to be durable must be there. */
void check_recovered(SimNode *node);
/* A node answers a syncLog. */
void check_replied(SimNode *node, const SyncReply *reply);
/* The store is about to make `stored` durable: the log on disk must not be shorter. */
void check_persisted(SimNode *node, const StoredLog *stored);
/* A disk is about to be damaged or replaced: what nobody else has is not asked for any more. */
void check_disk_lost(SimNode *node);
/* At the end, all being equal: every acknowledged write is there. */
void check_acks_survived(Sim *sim);

/* --- check_order.c: P2, every log in order, without a hole, each entry once ---------------------
 */

/* An entry is about to be applied on top of `before` others of its log. */
void check_applied(SimNode *node, const StoreEntry *entry, guint before, guint64 content);
/* A run goes on its way: it must end where the window does. */
void check_sent(SimNode *node, guint32 peer, const SyncBatch *batch);

/* --- check_fork.c: P4, an index never gets a second content -------------------------------------
 */

/* The origin has an entry durable that it had told before. */
void check_told_again(SimNode *origin, LogId log, guint64 index, gboolean same);
/* … one that it had not: the next of its log, and with a greater clock than all before. */
void check_told(SimNode *origin, LogId log, guint64 index, guint known, guint64 hlc,
                guint64 *latest);
/* A node holds an entry. `known`: what the origin made, NULL if nothing. */
void check_held(SimNode *node, LogId log, guint64 index, const TrueEntry *known, guint64 hash);

/* --- check_deletion.c: P5, nothing is deleted that somebody lacks -------------------------------
 */

/* The node's WAL begins at `first` now. */
void check_trimmed(SimNode *node, LogId log, guint64 first);

/* --- check_handover.c: P6, what any survivor holds reaches all ----------------------------------
 */

/* The faults are over, and who is lost for good is gone. */
void check_survivors_hold(Sim *sim);
/* At the end, all being equal. */
void check_handed_on(Sim *sim);

/* --- check_converge.c: P3 ----------------------------------------------------------------
 */

/* Whether a running node has `most` of a log, which is what all together have, applied and durable.
 */
gboolean check_is_level(const SimNode *node, LogId log, guint64 most);
/* Whether the node lacks what nobody can hand on since a disk was damaged, and says so: it sees who
 * can give it a snapshot, or nobody can give one that loses nothing, and it asks for this log. */
gboolean check_is_excused(const SimNode *node, LogId log);
/* All being equal, but for what is excused: equal sets of entries give equal data. */
void check_converged(Sim *sim);
/* A node tells its horizon, and the clock that it promises by: nobody stamps at or below. */
void check_clocks(SimNode *node, const Progress *told);
/* An entry is durable at its origin for the first time. */
void check_stamp(const SimNode *origin, LogId log, guint64 index, guint64 hlc);

/* --- check_bounds.c: P7, every queue has a limit ------------------------------------------------
 */

/* After something happened at a node. */
void check_bounds(SimNode *node);

/* --- check_faults.c: P8, no fault is silent -----------------------------------------------------
 */

/* Work of the log thread is done and told. */
void check_work_told(SimNode *node);
/* A run is on its way to the store: nothing that its log could not sync. */
void check_given(SimNode *node, EntryRun *run);

/* --- check_stall.c: P9, nothing waits for a fixed time ------------------------------------------
 */

/* The log thread has nothing to do: it must not be woken for a time that has passed. */
void check_idle(SimNode *node);
/* How long it took from the end of the faults until all were equal. */
void check_healed(Sim *sim, gint64 us);
