#include "store/chunk.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "store/codec_ints.h"
#include "store/codec_values.h"

/* Where the fields of the head are; README.md. */
enum {
  AT_TYPE = 1,
  AT_CODEC = 2,
  AT_VERSIONS = 3,
  AT_ROWS = 4,
  AT_ORIGIN = 8,
  AT_VALUES_SIZE = 12,
  AT_TIMES_CODED = 16,
  AT_VALUES_CODED = 20,
  AT_VERSIONS_CODED = 24,
  AT_CHECKSUM = 28,
  AT_MIN_TIME = 32,
  AT_MAX_TIME = 40,
  AT_HORIZON = 48,
  AT_NEWEST = 56,
  HEAD_SIZE = 64,
};

/* Of all but itself. */
static guint32 checksum(const guint8 *bytes, gsize size)
{
  guint32 crc = crc32c(0, bytes, AT_CHECKSUM);
  return crc32c(crc, bytes + AT_CHECKSUM + 4, size - AT_CHECKSUM - 4);
}

/* size:u32 and the integers of the origins, then those of the clocks. */
static void put_versions(const ChunkCells *cells, GByteArray *out)
{
  g_autofree gint64 *numbers = g_new(gint64, cells->rows);
  guint begin = out->len;
  for (guint i = 0; i < cells->rows; i++)
    numbers[i] = cells->origins[i];
  g_byte_array_set_size(out, begin + 4);
  ints_encode(numbers, cells->rows, out);
  store_le32(out->data + begin, out->len - begin - 4);
  for (guint i = 0; i < cells->rows; i++)
    numbers[i] = (gint64)cells->hlcs[i];
  ints_encode(numbers, cells->rows, out);
}

void chunk_encode(DataType type, const ChunkCells *cells, GByteArray *out)
{
  g_assert(cells->rows > 0 && cells->rows <= CHUNK_ROWS);
  g_assert(cells->values_size <= CHUNK_MAX_VALUE_BYTES);
  guint begin = out->len;
  g_byte_array_set_size(out, begin + HEAD_SIZE);
  memset(out->data + begin, 0, HEAD_SIZE);
  ints_encode(cells->times, cells->rows, out);
  guint times_end = out->len;
  ValueCodec codec = values_encode(type, cells->values, cells->values_size, cells->rows, out);
  guint values_end = out->len;
  if (cells->origins != NULL)
    put_versions(cells, out);
  guint8 *head = out->data + begin;
  head[0] = CHUNK_VERSION;
  head[AT_TYPE] = (guint8)type;
  head[AT_CODEC] = (guint8)codec;
  head[AT_VERSIONS] = cells->origins != NULL;
  store_le32(head + AT_ROWS, cells->rows);
  store_le32(head + AT_ORIGIN, cells->origins != NULL ? 0 : cells->origin);
  store_le32(head + AT_VALUES_SIZE, (guint32)cells->values_size);
  store_le32(head + AT_TIMES_CODED, times_end - begin - HEAD_SIZE);
  store_le32(head + AT_VALUES_CODED, values_end - times_end);
  store_le32(head + AT_VERSIONS_CODED, out->len - values_end);
  store_le64(head + AT_MIN_TIME, (guint64)cells->times[0]);
  store_le64(head + AT_MAX_TIME, (guint64)cells->times[cells->rows - 1]);
  store_le64(head + AT_HORIZON, cells->horizon);
  store_le64(head + AT_NEWEST, cells->newest);
  store_le32(head + AT_CHECKSUM, checksum(head, out->len - begin));
}

static void read_head(const guint8 *head, Chunk *out)
{
  *out = (Chunk){.type = (DataType)head[AT_TYPE],
                 .codec = head[AT_CODEC],
                 .has_versions = head[AT_VERSIONS] == 1,
                 .rows = load_le32(head + AT_ROWS),
                 .origin = load_le32(head + AT_ORIGIN),
                 .values_size = load_le32(head + AT_VALUES_SIZE),
                 .times_size = load_le32(head + AT_TIMES_CODED),
                 .coded_size = load_le32(head + AT_VALUES_CODED),
                 .versions_size = load_le32(head + AT_VERSIONS_CODED),
                 .min_time = (gint64)load_le64(head + AT_MIN_TIME),
                 .max_time = (gint64)load_le64(head + AT_MAX_TIME),
                 .horizon = load_le64(head + AT_HORIZON),
                 .newest = load_le64(head + AT_NEWEST)};
}

gboolean chunk_open(const guint8 *bytes, gsize size, Chunk *out, GError **error)
{
  if (size < HEAD_SIZE || bytes[0] != CHUNK_VERSION)
    return fail(error, SYNCLOG_CORRUPT, "store: no chunk of version %d", CHUNK_VERSION);
  if (load_le32(bytes + AT_CHECKSUM) != checksum(bytes, size))
    return fail(error, SYNCLOG_CORRUPT, "store: a chunk of %zu bytes has a wrong checksum", size);
  read_head(bytes, out);
  out->times = bytes + HEAD_SIZE;
  out->values = out->times + out->times_size;
  out->versions = out->values + out->coded_size;
  gboolean sound = data_type_name((int)out->type) != NULL && bytes[AT_VERSIONS] <= 1 &&
                   out->rows > 0 && out->rows <= CHUNK_ROWS &&
                   out->values_size <= CHUNK_MAX_VALUE_BYTES &&
                   out->times_size + out->coded_size + out->versions_size == size - HEAD_SIZE &&
                   (out->has_versions || out->versions_size == 0) &&
                   out->min_time <= out->max_time && out->newest <= out->horizon;
  return sound || fail(error, SYNCLOG_CORRUPT, "store: the head of a chunk is damaged");
}

gboolean chunk_times(const Chunk *chunk, gint64 *out, GError **error)
{
  gboolean sound = ints_decode(chunk->times, chunk->times_size, chunk->rows, out) &&
                   out[0] == chunk->min_time && out[chunk->rows - 1] == chunk->max_time;
  for (guint i = 1; sound && i < chunk->rows; i++)
    sound = out[i - 1] < out[i];
  return sound || fail(error, SYNCLOG_CORRUPT, "store: the times of a chunk are damaged");
}

gboolean chunk_values(const Chunk *chunk, guint8 *out, GError **error)
{
  gint64 scratch[CHUNK_ROWS];
  return values_decode(chunk->type, (ValueCodec)chunk->codec, chunk->values, chunk->coded_size,
                       chunk->rows, scratch, out, chunk->values_size) ||
         fail(error, SYNCLOG_CORRUPT, "store: the values of a chunk are damaged");
}

gboolean chunk_versions(const Chunk *chunk, guint32 *out_origins, guint64 *out_hlcs, GError **error)
{
  g_assert(chunk->has_versions);
  gint64 numbers[CHUNK_ROWS];
  ByteReader reader = byte_reader(chunk->versions, chunk->versions_size);
  const guint8 *head = byte_reader_take(&reader, 4);
  gsize size = head != NULL ? load_le32(head) : 0;
  const guint8 *origins = byte_reader_take(&reader, size);
  gboolean sound = origins != NULL && ints_decode(origins, size, chunk->rows, numbers);
  for (guint i = 0; sound && i < chunk->rows; i++) {
    out_origins[i] = (guint32)numbers[i];
    sound = numbers[i] >= 0 && numbers[i] <= G_MAXUINT32;
  }
  sound = sound &&
          ints_decode(chunk->versions + reader.at, byte_reader_left(&reader), chunk->rows, numbers);
  for (guint i = 0; sound && i < chunk->rows; i++) {
    out_hlcs[i] = (guint64)numbers[i];
    sound = out_hlcs[i] <= chunk->newest;
  }
  return sound || fail(error, SYNCLOG_CORRUPT, "store: the versions of a chunk are damaged");
}
