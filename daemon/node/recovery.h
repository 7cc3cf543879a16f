/*
 * From what is on disk to a running state: damaged logs are cut, entries above the store's progress
 * are applied again, and it is decided whether this node may go on with its incarnation (P4).
 */
#pragma once

#include "engine/group.h"
#include "node/identity.h"
#include "node/log_set.h"
#include "store/store.h"

/*
 * Runs before anything else uses the logs or the store. Fills out_logs with a GroupLog per log (the
 * `stopped` texts belong to the array) and *out_own with the log that this node writes from now on,
 * for which there is a Wal. Entries of other nodes with a clock above limit_hlc are not applied
 * yet. Fails, and cuts nothing, when the disk does not give what stands in a log (EIO).
 */
gboolean recovery_run(Identity *identity, LogSet *logs, Store *store, guint64 partition_interval,
                      guint64 now_us, guint64 limit_hlc, GArray **out_logs, LogId *out_own,
                      GError **error);

/*
 * An entry's decoded form: nothing, when an operator told this node to leave it out (P2's one
 * exception); NULL with an error when it does not decode. Any thread.
 */
Decoded *recovery_decode(Identity *identity, LogId log, const Record *record,
                         guint64 partition_interval, GError **error);

/*
 * Applies what the log holds from `from` up to `to` (or its end), but nothing from the first entry
 * with a clock above limit_hlc on. *out_applied and *out_hlc move
 * with what was applied. FALSE with an error: CORRUPT when entry *out_applied + 1 is damaged or
 * does not decode, INTERNAL also when the disk does not give it, else the store's.
 */
gboolean recovery_replay(Identity *identity, Wal *wal, Store *store, guint64 partition_interval,
                         guint64 from, guint64 to, guint64 limit_hlc, guint64 *out_applied,
                         guint64 *out_hlc, GError **error);
