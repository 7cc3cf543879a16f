/*
 * A run: consecutive records of one log in one piece of memory. It is what is appended to the WAL,
 * shared by the tail and all peers, received, and applied. The records are immutable once the run
 * is made; references are counted atomically, so a run may be held by any number of threads.
 *
 * A run may tell the running digest (base/record.h) of the log before its first record, as the
 * sender of a batch told it.
 *
 * A run may carry the decoded form of its entries. That is not shared: it belongs to whoever takes
 * it (entry_run_take_decoded), once.
 */
#pragma once

#include "base/record.h"

typedef struct EntryRun EntryRun;

/*
 * Makes a run over bytes[0 .. size), which must hold exactly `count` well-formed records of `log`
 * with consecutive indices from `first_index` (asserted by structure, checksums are not verified
 * again). `release(owner)` is called when the last reference goes; the bytes must live until then.
 */
EntryRun *entry_run_new(LogId log, guint64 first_index, guint count, const guint8 *bytes,
                        gsize size, gpointer owner, GDestroyNotify release);

/*
 * Parses and verifies bytes that come from outside: every byte must belong to valid records of
 * `log` with consecutive indices. On success as entry_run_new. On failure NULL with CORRUPT, naming
 * the index or offset, and `owner` is not released.
 */
EntryRun *entry_run_parse(LogId log, const guint8 *bytes, gsize size, gpointer owner,
                          GDestroyNotify release, GError **error);

/*
 * Records [first, first + count) of `run`, by position, as a run of their own that keeps `run`
 * alive. Decoded entries of that range move over; take them from one or the other, on one thread.
 */
EntryRun *entry_run_slice(EntryRun *run, guint first, guint count);

EntryRun *entry_run_ref(EntryRun *run);
void entry_run_unref(EntryRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EntryRun, entry_run_unref)

LogId entry_run_log(const EntryRun *run);
guint64 entry_run_first_index(const EntryRun *run);
guint64 entry_run_last_index(const EntryRun *run);
guint entry_run_count(const EntryRun *run);

/* All bytes of the run. */
const guint8 *entry_run_bytes(const EntryRun *run, gsize *out_size);

/* Offset in bytes of the i-th record; i = count gives the size. */
gsize entry_run_offset(const EntryRun *run, guint i);

/* The i-th record, i < count. */
Record entry_run_record(const EntryRun *run, guint i);

/* The running digest before the first record; 0: not told. Set before the run is shared. A slice
 * goes on from that of its run. */
void entry_run_set_chain_before(EntryRun *run, guint64 chain);
guint64 entry_run_chain_before(const EntryRun *run);

/* Gives the run the decoded entries: an array of `count` pointers, each freed by `free_one` unless
 * taken before (transfer full). At most once per run, before it is shared. */
void entry_run_set_decoded(EntryRun *run, gpointer *decoded, GDestroyNotify free_one);

/* Takes the i-th decoded entry away (transfer full), NULL when there is none or it was taken. One
 * thread at a time. */
gpointer entry_run_take_decoded(EntryRun *run, guint i);
