/*
 * Progress: for each log of a group, how far one node is, and what else it tells of the group.
 * Plain values, sorted by log id, so that every walk over them has one order. Not thread-safe.
 */
#pragma once

#include "base/log_id.h"
#include "core/member.h"

typedef struct LogProgress {
  LogId log;
  guint64 received;        /* highest index without a hole below it, in memory or on disk */
  guint64 durable;         /* … synced in the WAL */
  guint64 applied;         /* … visible in the store */
  guint64 first_available; /* first index that the WAL still holds; received + 1 when none */
  guint64 applied_hlc;     /* clock of the entry at `applied` */
  guint64 digest;          /* running digest of the log up to digest_index */
  guint64 digest_index;    /* 0: no digest is known */
} LogProgress;

typedef struct Progress {
  GArray *logs;         /* LogProgress, sorted by log */
  guint64 promised_hlc; /* no own entry behind `durable` is stamped at or below; 0: no promise */
  guint64 wall_ms;      /* wall clock of the node; 0: not told */
  guint64 horizon;      /* nothing at or below this clock can still come to the node */
  guint64 checked_hlc;  /* the node's data was digested as of this clock; 0: never */
  guint64 checked_digest;
  GArray *wanted;     /* LogId: what the receiver is to hand on to the node; NULL: nothing */
  GArray *forgotten;  /* guint32: members that are gone, their logs closed; NULL: none */
  GPtrArray *members; /* Member: the record that the node has kept; NULL: none */
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
 * digest and applied_hlc follow `news`, and so does all that is not of one log. */
void progress_merge(Progress *progress, const Progress *news);
