/*
 * Walking over the records of a segment file from front to back, in bounded memory: a window of a
 * chunk, or of one record where that is larger. Not thread-safe; one scan belongs to one thread.
 * The file must stay open for as long as the scan is used.
 */
#pragma once

#include "base/record.h"
#include "wal/file.h"

typedef struct Scan {
  const WalFile *file;
  const char *path; /* for messages */
  guint32 seed;
  guint64 index;  /* which the next record must have */
  goffset offset; /* where it must stand */
  goffset limit;  /* no byte from here on is looked at */
  guint8 *buffer; /* the window: file bytes [start, start + size) */
  gsize room;
  gsize chunk; /* bytes of one read; scan_begin sets a default for a whole file */
  goffset start;
  gsize size;
} Scan;

typedef enum {
  SCAN_RECORD,
  SCAN_END,    /* zeros or the limit where the next record would begin */
  SCAN_BAD,    /* something else */
  SCAN_FAILED, /* the file could not be read; error is set */
} ScanResult;

void scan_begin(Scan *scan, const WalFile *file, const char *path, LogId log, guint64 index,
                goffset offset, goffset limit);
void scan_clear(Scan *scan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scan, scan_clear)

/* The next record, verified; its data is valid until the next call. Moves on only with SCAN_RECORD.
 */
ScanResult scan_next(Scan *scan, Record *out_record, GError **error);

/* What stands behind the point where a scan stopped. */
typedef struct ScanTail {
  goffset dirty_end;     /* behind the last byte that is not zero; scan->offset when all are */
  gboolean valid_behind; /* a valid record with scan->index or a greater one stands there */
  guint64 valid_index;   /* of the first of them */
} ScanTail;

gboolean scan_tail(Scan *scan, ScanTail *out_tail, GError **error);
