/*
 * A chunk: the visible cells of one column of a device, for a stretch of time inside one partition,
 * compressed. The value under a C key; README.md has the bytes. Made in the background from raw
 * blocks that nothing older can join any more. Pure functions.
 *
 * All that was written up to the clock `horizon` is in it, and everything else in its partition is
 * newer. So a value that comes from a block hides one of a chunk, and a delete hides it exactly
 * when its clock is above the horizon.
 */
#pragma once

#include "base/table.h"

enum {
  CHUNK_VERSION = 1,
  CHUNK_ROWS = 4096,           /* at most */
  CHUNK_VALUE_BYTES = 1 << 20, /* packed; whoever builds chunks begins a new one beyond */
  CHUNK_MAX_VALUE_BYTES = 4 << 20,
};

/* Cells of one column, as they are encoded and decoded. */
typedef struct ChunkCells {
  guint rows;
  const gint64 *times;  /* ascending, each one once */
  const guint8 *values; /* packed as in TColumn, none missing */
  gsize values_size;
  guint64 horizon;
  /* By whom and when each was written; both NULL: all by `origin`, the newest at `newest`. */
  const guint32 *origins;
  const guint64 *hlcs;
  guint32 origin;
  guint64 newest;
} ChunkCells;

/* Appends the bytes of a chunk. rows: 1 .. CHUNK_ROWS. */
void chunk_encode(DataType type, const ChunkCells *cells, GByteArray *out);

/* A chunk in place. */
typedef struct Chunk {
  DataType type;
  guint rows;
  gint64 min_time, max_time;
  guint64 horizon;
  guint64 newest;        /* clock of its newest cell */
  guint32 origin;        /* of all cells, unless has_versions */
  gboolean has_versions; /* each cell has an origin and a clock of its own */
  gsize values_size;     /* decoded */
  int codec;
  const guint8 *times, *values, *versions; /* encoded */
  gsize times_size, coded_size, versions_size;
} Chunk;

/* Reads the head and checks the checksum. CORRUPT when it is none. */
gboolean chunk_open(const guint8 *bytes, gsize size, Chunk *out, GError **error);

/* Decode into out[0 .. rows), [0 .. values_size) bytes, [0 .. rows). CORRUPT when they can't be
 * right; then `out` holds anything. The last one is only for has_versions. */
gboolean chunk_times(const Chunk *chunk, gint64 *out, GError **error);
gboolean chunk_values(const Chunk *chunk, guint8 *out, GError **error);
gboolean chunk_versions(const Chunk *chunk, guint32 *out_origins, guint64 *out_hlcs,
                        GError **error);
