/*
 * Reading records out of one segment file. The caller says up to where the file may be believed;
 * nothing behind that is looked at, so a file that is being appended to can be read.
 * Any thread.
 */
#pragma once

#include "wal/segment.h"

/* What a Wal gives a reader of one segment: a snapshot taken under its lock. */
typedef struct ReadView {
  const WalIo *io;
  Segment *segment;
  guint64 last_index; /* last record that may be read */
  goffset end;        /* offset behind it */
} ReadView;

/*
 * Records from `from` on (first_index of the segment <= from <= view->last_index) of this segment
 * only: at least one, at most max_count, not more than max_bytes unless the first alone is larger;
 * fewer than asked for when that saves a second read of the file. CORRUPT names file and offset.
 */
EntryRun *reader_read(const ReadView *view, guint64 from, guint max_count, gsize max_bytes,
                      GError **error);

/* State of a log behind one of its records. */
typedef struct ReadMark {
  goffset offset; /* behind the record */
  guint64 chain;  /* running digest up to and including it */
  guint64 hlc;    /* of the record */
} ReadMark;

/* Walks from the beginning of the segment up to and including `index` (first_index - 1 gives the
 * beginning itself). */
gboolean reader_mark(const ReadView *view, guint64 index, ReadMark *out_mark, GError **error);
