/*
 * What a store has on disk: packed blocks and chunks. What can be unpacked and read packs and
 * unpacks to the same; of a chunk whose checksum is right all parts can be asked for.
 */
#include "base/crc32c.h"
#include "base/error.h"
#include "fuzz/fuzz.h"
#include "store/block_pack.h"
#include "store/chunk.h"

enum { CHUNK = 1, CHECKSUM_AT = 28, CHUNK_HEAD = 32 };

static void run_block(const guint8 *bytes, gsize size)
{
  gsize unpacked_size, again_size;
  Block block;
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *unpacked = block_unpack(bytes, size, &unpacked_size, &error);
  if (unpacked == NULL || !block_open(unpacked, unpacked_size, &block, &error)) {
    g_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
    return;
  }
  g_assert(block_is_mixed(bytes, size) == (block.versions != NULL));
  g_assert(block_unpacked_size(bytes, size) == unpacked_size);
  g_autofree Version *versions = block_versions(&block);
  g_assert((versions != NULL) == (block.versions != NULL));
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn column;
  for (; block_next_column(&block, &cursor, &data_at, &column);)
    for (guint row = 0; row < block.rows; row++)
      if (!block_is_null(&column, row)) {
        gsize value_size;
        const guint8 *value = block_value(&block, &column, row, &value_size);
        g_assert(value >= unpacked && value + value_size <= unpacked + unpacked_size);
      }
  g_autoptr(GByteArray) packed = g_byte_array_new();
  if (!block_pack(unpacked, unpacked_size, packed))
    return;
  g_autofree guint8 *again = block_unpack(packed->data, packed->len, &again_size, &error);
  g_assert_no_error(error);
  g_assert(again_size == unpacked_size);
  /* But for the byte that nobody reads, and what of a column says that it has nulls. */
  g_assert(block_open(again, again_size, &block, NULL));
}

static void run_chunk(guint8 *bytes, gsize size)
{
  if (size >= CHUNK_HEAD)
    store_le32(bytes + CHECKSUM_AT,
               crc32c(crc32c(0, bytes, CHECKSUM_AT), bytes + CHUNK_HEAD, size - CHUNK_HEAD));
  Chunk chunk;
  g_autoptr(GError) error = NULL;
  if (!chunk_open(bytes, size, &chunk, &error)) {
    g_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
    return;
  }
  g_autofree gint64 *times = g_new(gint64, chunk.rows);
  g_autofree guint8 *values = g_malloc(MAX(chunk.values_size, (gsize)1));
  g_autofree guint32 *origins = g_new(guint32, chunk.rows);
  g_autofree guint64 *hlcs = g_new(guint64, chunk.rows);
  g_autoptr(GError) of_times = NULL, of_values = NULL, of_versions = NULL;
  gboolean told = chunk_times(&chunk, times, &of_times);
  g_assert(told == (of_times == NULL));
  g_assert(chunk_values(&chunk, values, &of_values) == (of_values == NULL));
  if (chunk.has_versions)
    g_assert(chunk_versions(&chunk, origins, hlcs, &of_versions) == (of_versions == NULL));
  g_assert(!told || (times[0] == chunk.min_time && times[chunk.rows - 1] == chunk.max_time));
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  if (size == 0)
    return;
  g_autofree guint8 *copy = g_malloc(MAX(size - 1, (gsize)1));
  memcpy(copy, bytes + 1, size - 1);
  if (bytes[0] == CHUNK)
    run_chunk(copy, size - 1);
  else
    run_block(copy, size - 1);
}

static void seed(const char *name, guint8 kind, const GByteArray *bytes)
{
  GByteArray *out = g_byte_array_new();
  g_byte_array_append(out, &kind, 1);
  g_byte_array_append(out, bytes->data, bytes->len);
  seed_end(name, out);
}

static void put_le(GByteArray *bytes, guint64 number, guint size)
{
  guint8 eight[8];
  store_le64(eight, number);
  g_byte_array_append(bytes, eight, size);
}

/* 20 rows of one column. */
static void seed_block(const char *name, DataType type)
{
  guint width = (guint)data_type_size(type);
  g_autoptr(GByteArray) bytes = g_byte_array_new(), packed = g_byte_array_new();
  put_le(bytes, BLOCK_VERSION, 2);
  put_le(bytes, 1, 2);
  put_le(bytes, 20, 4);
  put_le(bytes, 7, 4);
  put_le(bytes, type, 2);
  put_le(bytes, (guint64)20 * width, 4);
  for (guint row = 0; row < 20; row++)
    put_le(bytes, row * 10, 8);
  for (guint row = 0; row < 20; row++)
    put_le(bytes, row % 2, width);
  g_assert(block_pack(bytes->data, bytes->len, packed));
  seed(name, 0, packed);
}

static void seed_chunk(const char *name, DataType type, gboolean versions)
{
  enum { ROWS = 20 };
  gint64 times[ROWS];
  guint32 origins[ROWS];
  guint64 hlcs[ROWS];
  g_autoptr(GByteArray) values = g_byte_array_new(), bytes = g_byte_array_new();
  for (guint row = 0; row < ROWS; row++) {
    times[row] = row * 10;
    origins[row] = 1 + row % 2;
    hlcs[row] = 100 + row;
    put_le(values, row % 2, (guint)data_type_size(type));
  }
  ChunkCells cells = {.times = times,
                      .rows = ROWS,
                      .values = values->data,
                      .values_size = values->len,
                      .horizon = 1000,
                      .origins = versions ? origins : NULL,
                      .hlcs = versions ? hlcs : NULL,
                      .origin = 1,
                      .newest = 119};
  chunk_encode(type, &cells, bytes);
  seed(name, CHUNK, bytes);
}

void fuzz_seeds(void)
{
  seed_block("block-boolean", DATA_BOOLEAN);
  seed_block("block-int32", DATA_INT32);
  seed_block("block-double", DATA_DOUBLE);
  seed_chunk("chunk-boolean", DATA_BOOLEAN, FALSE);
  seed_chunk("chunk-int64", DATA_INT64, TRUE);
  seed_chunk("chunk-double", DATA_DOUBLE, TRUE);
}
