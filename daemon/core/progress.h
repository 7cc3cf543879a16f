/*
 * Progress: for each log of a group, how far one node is. Plain values, sorted by log id, so that
 * every walk over them has one order. Not thread-safe.
 */
#pragma once

#include "base/log_id.h"

typedef struct LogProgress {
  LogId log;
  guint64 received;        /* highest index without a hole below it, in memory or on disk */
  guint64 durable;         /* … synced in the WAL */
  guint64 applied;         /* … visible in the store */
  guint64 first_available; /* first index that the WAL still holds; received + 1 when none */
  guint64 applied_hlc;     /* clock of the entry at `applied` */
  guint64 digest;          /* running digest up to `durable`, if has_digest */
  gboolean has_digest;
} LogProgress;

typedef struct Progress {
  GArray *logs; /* LogProgress, sorted by log */
} Progress;

Progress *progress_new(void);
void progress_free(Progress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Progress, progress_free)
Progress *progress_copy(const Progress *progress);

/* The log's entry or NULL. Borrowed until the next put. */
LogProgress *progress_find(const Progress *progress, LogId log);

/* The log's entry, made (all 0, first_available 1) when absent. Borrowed until the next call. */
LogProgress *progress_put(Progress *progress, LogId log);

/* Takes from `news` what is higher than in `progress`; values never go down. first_available,
 * digest and applied_hlc follow `news`. */
void progress_merge(Progress *progress, const Progress *news);
