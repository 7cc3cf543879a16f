/*
 * What is done to the disk for one GroupWork, without the thread: so that the simulator
 * runs the same. Not thread-safe: whoever calls this is the one writer of all the WALs.
 */
#pragma once

#include "engine/group.h"
#include "node/identity.h"
#include "node/log_set.h"

/* Encodes stamped writes as one run of `log` that carries their decoded forms. Transfer full. */
EntryRun *log_work_encode(LogId log, const GPtrArray *writes);

/* Appends to the own log and syncs it, if asked to. */
gboolean log_work_append(Wal *own, EntryRun *run, gboolean sync, GError **error);

/* *out_written: how many of the runs are in the WAL, also on failure. */
gboolean log_work_mirror(LogSet *logs, const MirrorWork *work, guint *out_written, GError **error);

/*
 * wal_read with a second try: to send it, to apply it, or at the start. An entry that is damaged,
 * or that the disk does not give at either try, is told by *out_behind, the first one that may be
 * read again; 0 otherwise. The error says which: CORRUPT or INTERNAL. Any thread.
 */
EntryRun *log_work_read(Wal *wal, guint64 from, guint max_count, gsize max_bytes,
                        guint64 *out_behind, GError **error);

/*
 * The own log lost its end: cuts off what is behind `durable`, which no peer may ever see, syncs
 * the rest, begins an incarnation and makes its log. NULL with an error: nothing may be written any
 * more, and the next start begins an incarnation if something was cut off. What was short may be
 * there at the next call (synclog_error_is_lack), which goes on with the incarnation that this one
 * wrote down.
 */
Wal *log_work_begin_incarnation(Identity *identity, LogSet *logs, Wal *own, guint64 durable,
                                guint64 now_us, GError **error);
