/*
 * The bytes of a segment header and the names of files: FORMAT.md as code. Pure functions, any
 * thread. Records are base/record.h.
 */
#pragma once

#include "base/log_id.h"

enum {
  SEGMENT_HEADER_SIZE = 4096, /* a block of its own: no later write touches it */
  SEGMENT_FORMAT_VERSION = 1,
  SEGMENT_NAME_SIZE = 25, /* 20 digits, ".wal", NUL */
};

typedef struct SegmentHeader {
  LogId log;
  guint64 first_index;    /* of the first record, also when there is none yet; 1 .. 2^63 - 1 */
  gboolean chain_known;   /* FALSE: the log began in the middle and nobody knew the digest */
  guint64 chain;          /* running digest up to first_index - 1; 0 when unknown */
  guint64 hlc;            /* clock of record first_index - 1; 0 when there was none in this log */
  guint64 previous_first; /* first index of the segment before, 0 for none */
  goffset previous_end;   /* offset behind the last record of that segment, 0 for none */
} SegmentHeader;

typedef enum {
  HEADER_VALID,
  HEADER_DAMAGED,
  HEADER_OTHER_VERSION, /* intact, but of a version that this build does not know */
} HeaderVerdict;

void segment_header_encode(const SegmentHeader *header, guint8 out[SEGMENT_HEADER_SIZE]);

/* *out_header is set only with HEADER_VALID. `size` may be smaller than a header: damaged. */
HeaderVerdict segment_header_decode(const guint8 *bytes, gsize size, SegmentHeader *out_header);

/* "<first index, 20 digits>.wal"; returns `name`. */
char *segment_name_format(guint64 first_index, char name[SEGMENT_NAME_SIZE]);

/* Parses exactly what segment_name_format writes; FALSE for any other name and for index 0. */
gboolean segment_name_parse(const char *name, guint64 *out_first_index);
