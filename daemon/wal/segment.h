/*
 * One segment: what is known of a segment file, and a sparse index into it.
 *
 * A Segment holds no open file. Readers open the file by its name for each read, so the number of
 * segments costs no descriptors; and a file that is deleted meanwhile stays readable to whoever has
 * it open.
 *
 * Threads: references are counted atomically; path and header never change; the sparse index has
 * its own lock. last_index, end and file_size belong to the Wal and are guarded by its lock.
 */
#pragma once

#include "base/run.h"
#include "wal/file.h"
#include "wal/format.h"

/* A place where a record begins. */
typedef struct SegmentPoint {
  guint64 index;
  goffset offset;
} SegmentPoint;

enum {
  /* Bytes between two entries of the sparse index: at most so much is read in vain to find a
     record. */
  SEGMENT_POINT_DISTANCE = 64 * 1024,
  SEGMENT_ENDS = 8, /* readers of one segment that find their place without looking for it */
};

typedef struct Segment {
  gint refs; /* atomic */
  char *path;
  SegmentHeader header;

  guint64 last_index; /* header.first_index - 1 while there is no record */
  goffset end;        /* offset behind the last record */
  goffset file_size;

  GMutex lock;                     /* guards what follows */
  GArray *points;                  /* SegmentPoint, one about every SEGMENT_POINT_DISTANCE bytes */
  SegmentPoint next;               /* where the part that `points` covers ends */
  SegmentPoint ends[SEGMENT_ENDS]; /* where the latest reads ended: the next ones begin there */
  guint next_end;                  /* the one to be replaced next */
} Segment;

/* An empty segment in memory: nothing is read or created. */
Segment *segment_new(const char *directory, const SegmentHeader *header);
Segment *segment_ref(Segment *segment);
void segment_unref(Segment *segment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Segment, segment_unref)

/*
 * Creates the file: header only, durable under its final name, replacing a file of that name. Gives
 * the open file (O_RDWR). On failure *out_clean says that the directory is as it was before, but
 * perhaps for a temporary file: then the same call may be tried again.
 */
Segment *segment_create(const WalIo *io, const char *directory, const SegmentHeader *header,
                        WalFile *out_file, gboolean *out_clean, GError **error);

/* Adds records to the sparse index if they follow what it covers; no-op otherwise. */
void segment_cover(Segment *segment, guint64 index, goffset offset, gsize size);
void segment_cover_run(Segment *segment, const EntryRun *run, goffset offset);

/* Remembers where a read ended. */
void segment_note_end(Segment *segment, guint64 next_index, goffset next_offset);

/* The place known nearest to `index`, at or before it. */
SegmentPoint segment_nearest(Segment *segment, guint64 index);

/* Path of the file that segments (and copies) are written to before they get their name. */
char *segment_temp_path(const char *directory);
