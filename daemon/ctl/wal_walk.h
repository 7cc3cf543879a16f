/*
 * Looking at logs on disk without changing anything, also while a node is writing them. One thread.
 */
#pragma once

#include "base/record.h"

/* A log's directory, or one segment file of it. */
typedef struct WalPlace {
  char *directory;
  char *only_file; /* name in the directory; NULL: all segments */
  LogId log;
} WalPlace;

void wal_place_free(WalPlace *place);

/*
 * Finds the logs at a path: a segment file, a log's directory, or any directory above (wal,
 * group-N, data_dir). Appends WalPlace* to `places`. INVALID when there is none.
 */
gboolean wal_places_find(const char *path, GPtrArray *places, GError **error);

typedef struct WalFindings {
  guint segments;
  guint64 records, bytes;          /* that are good; bytes of records */
  guint64 first_index, last_index; /* of them; 0 when there is none */
  GPtrArray *damage;               /* char*, each naming file and offset; NULL-free, may be empty */
  char *note; /* what stands behind the last record without being damage; or NULL */
} WalFindings;

void wal_findings_clear(WalFindings *findings);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WalFindings, wal_findings_clear)

/* FALSE ends the walk early, without an error. */
typedef gboolean (*WalVisit)(gpointer ctx, const char *path, goffset offset, const Record *record);

/*
 * Reads the place from the segment that holds `from` (0: from the first) on and calls `visit` (may
 * be NULL) for each good record with an index of `from` or more. Headers, checksums, indices, the
 * links from segment to segment and the running digest are checked; damage ends the part of the log
 * that is read. FALSE only when something can't be read at all.
 */
gboolean wal_walk(const WalPlace *place, guint64 from, WalVisit visit, gpointer ctx,
                  WalFindings *out_findings, GError **error);
