/*
 * The WALs of one group: a directory for each log. Thread-safe; a Wal that was found lives until
 * the set is closed. Who may write to a Wal is not decided here (whoever does the log's work, see
 * node/replica.h).
 */
#pragma once

#include "wal/wal.h"

typedef struct LogSet LogSet;

/* A log that was on disk when the set was opened. */
typedef struct FoundLog {
  LogId log;
  Wal *wal; /* borrowed */
  WalRecovery recovery;
} FoundLog;

/* Opens every log under `directory`, which is created if absent. Names that are no log ids are
 * ignored. A torn tail is kept in the logs of node `own` (see WalOptions), and cut in others. `io`
 * must outlive the set; NULL: wal_io_system(). */
LogSet *log_set_open(const char *directory, gsize segment_size, guint32 own, const WalIo *io,
                     GError **error);

/* No thread may use any Wal of the set any more. */
void log_set_close(LogSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LogSet, log_set_close)

/* What opening found: FoundLog, sorted by log. Borrowed, never changes. */
const GArray *log_set_found(const LogSet *set);

/* Never waits for the disk. */
Wal *log_set_find(LogSet *set, LogId log);

/* Finds the log or makes an empty one. One thread at a time: whoever does the log's work. */
Wal *log_set_get(LogSet *set, LogId log, GError **error);

/* Bytes of all segments on disk. */
guint64 log_set_bytes(LogSet *set);
