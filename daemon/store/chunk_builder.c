#include "store/chunk_builder.h"

#include "base/bytes.h"

struct ChunkBuilder {
  DataType type;
  guint64 horizon;
  gboolean with_versions;
  ChunkFunc func;
  gpointer ctx;
  Column *column; /* the values of the chunk under construction */
  gsize bytes;    /* of them */
  gint64 times[CHUNK_ROWS];
  guint32 origins[CHUNK_ROWS];
  guint64 hlcs[CHUNK_ROWS];
};

/* --- cells of a chunk ---------------------------------------------------------------------------
 */

gboolean open_chunk_decode(const Chunk *chunk, OpenChunk *out, GError **error)
{
  *out = (OpenChunk){
      .chunk = *chunk, .times = g_new(gint64, chunk->rows), .values = g_malloc(chunk->values_size)};
  if (chunk->has_versions) {
    out->origins = g_new(guint32, chunk->rows);
    out->hlcs = g_new(guint64, chunk->rows);
  }
  if (chunk_times(chunk, out->times, error) && chunk_values(chunk, out->values, error) &&
      (!chunk->has_versions || chunk_versions(chunk, out->origins, out->hlcs, error)))
    return TRUE;
  open_chunk_clear(out);
  return FALSE;
}

void open_chunk_clear(OpenChunk *open)
{
  g_clear_pointer(&open->times, g_free);
  g_clear_pointer(&open->values, g_free);
  g_clear_pointer(&open->origins, g_free);
  g_clear_pointer(&open->hlcs, g_free);
}

ChunkCell open_chunk_cell(const OpenChunk *open, guint row)
{
  const Chunk *chunk = &open->chunk;
  ChunkCell cell = {.time = open->times[row],
                    .origin = open->origins != NULL ? open->origins[row] : chunk->origin,
                    .hlc = open->hlcs != NULL ? open->hlcs[row] : chunk->newest};
  cell.size = data_type_size(chunk->type);
  cell.value = open->values + row * cell.size;
  if (chunk->type == DATA_TEXT) {
    guint32 begin = load_le32(open->values + (gsize)row * 4);
    cell.size = load_le32(open->values + (gsize)row * 4 + 4) - begin;
    cell.value = open->values + ((gsize)chunk->rows + 1) * 4 + begin;
  }
  return cell;
}

/* --- building -----------------------------------------------------------------------------------
 */

ChunkBuilder *chunk_builder_new(DataType type, guint64 horizon, gboolean with_versions,
                                ChunkFunc func, gpointer ctx)
{
  ChunkBuilder *builder = g_new(ChunkBuilder, 1);
  builder->type = type;
  builder->horizon = horizon;
  builder->with_versions = with_versions;
  builder->func = func;
  builder->ctx = ctx;
  builder->column = column_new(NULL, type);
  builder->bytes = 0;
  return builder;
}

void chunk_builder_free(ChunkBuilder *builder)
{
  column_free(builder->column);
  g_free(builder);
}

void chunk_builder_add(ChunkBuilder *builder, const ChunkCell *cell)
{
  guint row = builder->column->rows;
  g_assert(row == 0 || builder->times[row - 1] < cell->time);
  if (row == CHUNK_ROWS || builder->bytes >= CHUNK_VALUE_BYTES) {
    chunk_builder_end(builder);
    row = 0;
  }
  builder->times[row] = cell->time;
  builder->origins[row] = cell->origin;
  builder->hlcs[row] = cell->hlc;
  builder->bytes += cell->size;
  column_append(builder->column, cell->value, cell->size);
}

void chunk_builder_end(ChunkBuilder *builder)
{
  guint rows = builder->column->rows;
  if (rows == 0)
    return;
  column_finish(builder->column);
  ChunkCells cells = {.rows = rows,
                      .times = builder->times,
                      .values = builder->column->values->data,
                      .values_size = builder->column->values->len,
                      .horizon = builder->horizon,
                      .origin = builder->origins[0]};
  gboolean several = builder->with_versions;
  for (guint row = 0; row < rows; row++) {
    cells.newest = MAX(cells.newest, builder->hlcs[row]);
    several = several || builder->origins[row] != cells.origin;
  }
  if (several) {
    cells.origins = builder->origins;
    cells.hlcs = builder->hlcs;
  }
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  chunk_encode(builder->type, &cells, bytes);
  column_free(builder->column);
  builder->column = column_new(NULL, builder->type);
  builder->bytes = 0;
  builder->func(builder->ctx, builder->times[0], rows, bytes);
}
