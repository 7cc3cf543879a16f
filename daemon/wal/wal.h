/*
 * One log on disk: a directory of segments that hold records with consecutive indices. FORMAT.md
 * describes the bytes. This module knows bytes and indices, not replication.
 *
 * Threads: one writer at a time calls append, sync, cut, reset and begin; wal_trim, wal_read,
 * wal_chain_at, the getters and wal_stats may run on any thread at the same time. One lock inside
 * guards the list of segments, all indices and the digest; it is never held over a system call.
 * Another lets only one call at a time take files away. An EntryRun that was read stays valid after
 * its segment was deleted.
 *
 * Failure: after a failed write or sync the log is broken (wal_is_broken): every later append and
 * sync fails with READ_ONLY until the log is opened again; the failed call is never repeated (P8).
 * A log keeps one file open, from its first append on.
 * NO_SPACE, and OVERLOADED for want of memory or descriptors, break nothing while a segment is
 * opened or prepared: nothing was written of the run, and the same append may succeed later.
 */
#pragma once

#include "base/error.h"
#include "base/run.h"
#include "wal/io.h"

typedef struct Wal Wal;

typedef struct WalOptions {
  const char *directory; /* of this log; created if absent */
  LogId log;
  gsize segment_size; /* bytes of a new segment; a run larger than it gets a larger segment */
  const WalIo *io;    /* NULL: wal_io_system() */
  /* Opening does not cut a torn tail either, as it may be an entry that was durable and went bad:
   * the log reads, and takes records again after wal_cut(bad_index). */
  gboolean keep_tail;
  /* The last segment stays open from the start on, not only from the first append on. */
  gboolean keep_open;
} WalOptions;

typedef enum {
  WAL_CLEAN,     /* every byte accounted for */
  WAL_TORN_TAIL, /* something that is no record stands behind the last one; it is cut off */
  WAL_CORRUPT,   /* a bad record with valid ones behind it, a missing or damaged segment */
} WalVerdict;

/* What opening found. */
typedef struct WalRecovery {
  WalVerdict verdict;
  guint64 cut_bytes;  /* TORN_TAIL */
  guint64 bad_index;  /* TORN_TAIL, CORRUPT: first index that can't be read */
  char *bad_file;     /* CORRUPT: path */
  guint64 bad_offset; /* CORRUPT: in that file */
  char *message;      /* for people; NULL when clean */
} WalRecovery;

void wal_recovery_clear(WalRecovery *recovery);

/*
 * Opens or creates the log, scans what is there, and removes half-made files. All that the log
 * holds afterwards is durable. With CORRUPT the log opens for reading up to bad_index - 1, and
 * nothing on disk is changed; the writer must call wal_cut(bad_index) before it may append
 * (READ_ONLY until then). A power loss in the middle of a large append may also show as CORRUPT
 * (FORMAT.md says why); bad_index is never at or below an index that was durable. Only the last
 * segment is scanned: damage in others is met by wal_read. NULL with an error when the directory or
 * a file can't be used at all, WRONG_VERSION when another version wrote it.
 */
Wal *wal_open(const WalOptions *options, WalRecovery *out_recovery, GError **error);

/* Syncs nothing. */
void wal_close(Wal *wal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wal, wal_close)

/*
 * Writes a run behind the last record: first index = wal_last_index() + 1 (asserted). In an empty
 * log any first index is taken (a mirror may begin in the middle); then `chain_before` is the
 * running digest (base/record.h) up to that index - 1, 0 where unknown; otherwise it is ignored.
 * The records are durable, and can be read, after wal_sync. NO_SPACE or OVERLOADED: nothing was
 * written.
 */
gboolean wal_append(Wal *wal, EntryRun *run, guint64 chain_before, GError **error);

/* fdatasync of everything appended; moves wal_durable_index. No-op when all is durable. */
gboolean wal_sync(Wal *wal, GError **error);

gboolean wal_is_broken(Wal *wal);

LogId wal_log(Wal *wal);
/* First index held; wal_last_index() + 1 when there is none. */
guint64 wal_first_index(Wal *wal);
/* Last index written, 0 in a log that never held any. */
guint64 wal_last_index(Wal *wal);
guint64 wal_durable_index(Wal *wal);
/* Clock of the last record; 0 in an empty log. */
guint64 wal_last_hlc(Wal *wal);
/* The last index written and the running digest there; FALSE when it is not known. */
gboolean wal_end_chain(Wal *wal, guint64 *out_index, guint64 *out_chain);
/* The running digest at `index`, first - 1 <= index <= last. FALSE without an error where it can't
 * be known, with CORRUPT where a record can't be read. Reads a segment up to that point. */
gboolean wal_chain_at(Wal *wal, guint64 index, guint64 *out_chain, GError **error);

/*
 * Reads consecutive records from `from` on: at least one, at most max_count, not more than
 * max_bytes (unless the first alone is larger), up to the durable index. NULL without an error when
 * `from` is beyond the durable index; NULL with an error: CORRUPT (named file and offset) when it
 * is damaged, INTERNAL when the disk does not give it (EIO), OVERLOADED when there is no memory or
 * descriptor for it, INVALID when `from` is below the first index. Every checksum is verified.
 * Transfer full.
 */
EntryRun *wal_read(Wal *wal, guint64 from, guint max_count, gsize max_bytes, GError **error);

/* The first index behind the segment that holds `index`: where reading goes on when that record is
 * damaged. */
guint64 wal_behind_segment_of(Wal *wal, guint64 index);

/*
 * Deletes every segment whose records are all at or below `index`, except the last one. A file that
 * can't be deleted is an error, but breaks nothing: the log still has it, no later one is deleted,
 * and the next trim tries again. Large files can take a kernel long (64 MiB on ext4 that discards:
 * up to a quarter of a second); appends and syncs go on meanwhile, cut and reset wait.
 */
gboolean wal_trim(Wal *wal, guint64 index, GError **error);

/*
 * Drops every record from `index` on (first <= index <= last + 1, asserted), from disk too,
 * durably. In a log where damage was met (a torn tail is none), what is dropped is kept beside the
 * log under names ending in ".bad", for a person to look at. Afterwards appending goes on at
 * `index`, and nothing tells any more that the log was damaged: whoever must remember that writes
 * it down before. OVERLOADED: nothing was done, and it can be tried again.
 */
gboolean wal_cut(Wal *wal, guint64 index, GError **error);

/* Drops everything: the next append may begin at any index. For a mirror that must skip ahead of
 * what every member already has. OVERLOADED: nothing was done, and it can be tried again. */
gboolean wal_reset(Wal *wal, GError **error);

/* For a log that never held any record, or was reset: the next append goes on behind `index`, where
 * the running digest is `chain`, 0: unknown. Both are durable. NO_SPACE or OVERLOADED: nothing was
 * done. */
gboolean wal_begin(Wal *wal, guint64 index, guint64 chain, GError **error);

/* The last index of the oldest segments that together have `bytes` or more, but never of the last
 * segment; 0: there are none. */
guint64 wal_index_of_oldest(Wal *wal, guint64 bytes);

typedef struct WalStats {
  guint64 bytes; /* of all segments on disk */
  guint segments;
} WalStats;

void wal_stats(Wal *wal, WalStats *out_stats);
