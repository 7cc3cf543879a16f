/*
 * Makes chunks from the cells of one column, one cell after the other, and gives the cells of a
 * chunk. One thread.
 */
#pragma once

#include "store/chunk.h"

/* A chunk's cells, decoded. */
typedef struct OpenChunk {
  Chunk chunk;
  gint64 *times;
  guint8 *values;
  guint32 *origins; /* NULL: all as the chunk says */
  guint64 *hlcs;
} OpenChunk;

/* CORRUPT when it is damaged; nothing is to be cleared then. */
gboolean open_chunk_decode(const Chunk *chunk, OpenChunk *out, GError **error);
void open_chunk_clear(OpenChunk *open);

/* A cell as it goes into a chunk. */
typedef struct ChunkCell {
  gint64 time;
  const guint8 *value; /* packed */
  gsize size;
  guint32 origin; /* who wrote it … */
  guint64 hlc;    /* … and when; of a chunk that does not tell, the clock of its newest cell */
} ChunkCell;

ChunkCell open_chunk_cell(const OpenChunk *open, guint row);

/* Told of each chunk: its first time and its bytes. */
typedef void (*ChunkFunc)(gpointer ctx, gint64 min_time, guint rows, const GByteArray *bytes);

typedef struct ChunkBuilder ChunkBuilder;

/* with_versions: each cell keeps its leader and clock even where there is only one leader. */
ChunkBuilder *chunk_builder_new(DataType type, guint64 horizon, gboolean with_versions,
                                ChunkFunc func, gpointer ctx);
void chunk_builder_free(ChunkBuilder *builder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ChunkBuilder, chunk_builder_free)

/* Cells come in ascending order of times, each time once. The value is copied. */
void chunk_builder_add(ChunkBuilder *builder, const ChunkCell *cell);

/* Ends the chunk under construction, if it has any cell. */
void chunk_builder_end(ChunkBuilder *builder);
