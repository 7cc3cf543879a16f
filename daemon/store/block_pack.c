#include "store/block_pack.h"

#include "base/bytes.h"
#include "base/error.h"
#include "store/codec_ints.h"
#include "store/codec_values.h"

enum {
  HEAD_SIZE = 20,
  COLUMN_SIZE = 15,
};

/* --- packing ------------------------------------------------------------------------------------
 */

static guint8 *put(guint8 *to, const guint8 *bytes, gsize size)
{
  if (size > 0)
    memcpy(to, bytes, size);
  return to + size;
}

static gsize nulls_size(const Block *block, const BlockColumn *column)
{
  return column->nulls != NULL ? ((gsize)block->rows + 7) / 8 : 0;
}

/* Gives the end. */
static guint8 *put_column(const Block *block, const BlockColumn *column, guint8 *entry,
                          CodecScratch *scratch, guint8 *to)
{
  ValueCodec codec;
  guint8 *values = put(to, column->nulls, nulls_size(block, column));
  guint8 *end = values_encode_quickly(column->type, column->values, column->size, block->rows,
                                      scratch, values, &codec);
  store_le32(entry, column->measurement);
  entry[4] = (guint8)column->type;
  entry[5] = column->nulls != NULL;
  entry[6] = (guint8)codec;
  store_le32(entry + 7, (guint32)column->size);
  store_le32(entry + 11, (guint32)(end - values));
  return end;
}

static void copy_times(const Block *block, gint64 *out)
{
  for (guint row = 0; row < block->rows; row++)
    out[row] = (gint64)load_le64(block->timestamps + (gsize)row * 8);
}

/* As much as is written for a moment. */
static gsize room_for(const Block *block)
{
  gsize room = HEAD_SIZE + ints_quick_room(block->rows) + block->versions_size, data_at = 0;
  guint cursor = 0;
  BlockColumn column;
  while (block_next_column(block, &cursor, &data_at, &column))
    room += COLUMN_SIZE + nulls_size(block, &column) + values_quick_room(column.size, block->rows);
  return room;
}

/* Gives the end. */
static guint8 *pack(const Block *block, const guint8 *bytes, gsize size, CodecScratch *scratch,
                    guint8 *head)
{
  guint8 *entry = head + HEAD_SIZE;
  guint8 *times = entry + (gsize)block->column_count * COLUMN_SIZE;
  copy_times(block, scratch->integers);
  guint8 *to = ints_encode_quickly(scratch->integers, block->rows, scratch->doubles, times);
  head[0] = BLOCK_VERSION_PACKED;
  memcpy(head + 1, bytes, 1); /* the version that it was */
  memcpy(head + 2, bytes + 2, 6);
  store_le32(head + 8, (guint32)size);
  store_le32(head + 12, (guint32)block->versions_size);
  store_le32(head + 16, (guint32)(to - times));
  to = put(to, block->versions, block->versions_size);
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn column;
  for (; block_next_column(block, &cursor, &data_at, &column); entry += COLUMN_SIZE)
    to = put_column(block, &column, entry, scratch, to);
  return to;
}

gboolean block_pack(const guint8 *bytes, gsize size, GByteArray *out)
{
  Block block;
  if (size > BLOCK_PACK_SIZE || load_le32(bytes + 4) < BLOCK_PACK_ROWS ||
      !block_open(bytes, size, &block, NULL)) {
    g_byte_array_set_size(out, 0);
    return FALSE;
  }
  gsize room = room_for(&block);
  if (out->len < room)
    g_byte_array_set_size(out, (guint)room);
  g_autofree gint64 *integers = g_new(gint64, block.rows);
  g_autofree double *doubles = g_new(double, block.rows + CODEC_SLACK);
  CodecScratch scratch = {integers, doubles, 0};
  guint8 *end = pack(&block, bytes, size, &scratch, out->data);
  g_assert(end <= out->data + room);
  out->len = (guint)(end - out->data);
  return out->len < size / 4 * 3;
}

/* --- unpacking ----------------------------------------------------------------------------------
 */

/* A packed block while it is taken apart. */
typedef struct Packed {
  guint8 version; /* of what it unpacks to */
  guint columns, rows;
  gsize versions_size, times_size;
  const guint8 *entries;
  ByteReader reader; /* of what is behind the entries */
  gint64 *scratch;   /* room for all rows */
} Packed;

static gboolean is_packed(const guint8 *bytes, gsize size)
{
  return size >= HEAD_SIZE && bytes[0] == BLOCK_VERSION_PACKED;
}

static gboolean damaged(GError **error)
{
  return fail(error, SYNCLOG_CORRUPT, "store: a packed block is damaged");
}

static gboolean open_packed(const guint8 *bytes, gsize size, gsize unpacked, Packed *out)
{
  *out = (Packed){.version = bytes[1],
                  .columns = bytes[2] | (guint)bytes[3] << 8,
                  .rows = load_le32(bytes + 4),
                  .versions_size = load_le32(bytes + 12),
                  .times_size = load_le32(bytes + 16),
                  .entries = bytes + HEAD_SIZE,
                  .reader = byte_reader(bytes, size)};
  byte_reader_take(&out->reader, HEAD_SIZE + (gsize)out->columns * COLUMN_SIZE);
  gboolean mixed = out->version == BLOCK_VERSION_MIXED;
  gsize least = (mixed ? BLOCK_MIXED_HEAD_SIZE : BLOCK_HEAD_SIZE) +
                (gsize)out->columns * BLOCK_COLUMN_SIZE + (gsize)out->rows * 8 + out->versions_size;
  return !out->reader.failed && out->rows > 0 && (mixed || out->version == BLOCK_VERSION) &&
         (mixed || out->versions_size == 0) && least <= unpacked;
}

/* Writes the times and row versions to `to`. NULL: they are not so; else the end. */
static guint8 *take_rows(Packed *packed, guint8 *to)
{
  const guint8 *times = byte_reader_take(&packed->reader, packed->times_size);
  const guint8 *versions = byte_reader_take(&packed->reader, packed->versions_size);
  if (times == NULL || versions == NULL ||
      !ints_decode(times, packed->times_size, packed->rows, packed->scratch))
    return NULL;
  for (guint row = 0; row < packed->rows; row++)
    store_le64(to + (gsize)row * 8, (guint64)packed->scratch[row]);
  to += (gsize)packed->rows * 8;
  memcpy(to, versions, packed->versions_size);
  return to + packed->versions_size;
}

/* Writes one column's entry and data, which end at `end` at most. NULL: they are not so. */
static guint8 *take_column(Packed *packed, const guint8 *entry, guint8 *to_entry, guint8 *to,
                           const guint8 *end)
{
  DataType type = (DataType)entry[4];
  gsize nulls_size = entry[5] != 0 ? ((gsize)packed->rows + 7) / 8 : 0;
  gsize size = load_le32(entry + 7), coded_size = load_le32(entry + 11);
  const guint8 *nulls = byte_reader_take(&packed->reader, nulls_size);
  const guint8 *coded = byte_reader_take(&packed->reader, coded_size);
  if (nulls == NULL || coded == NULL || nulls_size + size > (gsize)(end - to))
    return NULL;
  memcpy(to_entry, entry, 6);
  store_le32(to_entry + 6, (guint32)size);
  memcpy(to, nulls, nulls_size);
  to += nulls_size;
  if (type == DATA_TEXT) {
    if (entry[6] != CODEC_RAW || coded_size != size)
      return NULL;
    memcpy(to, coded, size);
    return to + size;
  }
  return data_type_name(entry[4]) != NULL &&
                 values_decode(type, (ValueCodec)entry[6], coded, coded_size, packed->rows,
                               packed->scratch, to, size)
             ? to + size
             : NULL;
}

static gboolean unpack_into(Packed *packed, guint8 *out, gsize size)
{
  gboolean mixed = packed->version == BLOCK_VERSION_MIXED;
  const guint8 *end = out + size;
  memset(out, 0, BLOCK_HEAD_SIZE);
  out[0] = packed->version;
  out[2] = (guint8)packed->columns;
  out[3] = (guint8)(packed->columns >> 8);
  store_le32(out + 4, packed->rows);
  if (mixed)
    store_le32(out + BLOCK_HEAD_SIZE, (guint32)packed->versions_size);
  guint8 *to_entry = out + (mixed ? BLOCK_MIXED_HEAD_SIZE : BLOCK_HEAD_SIZE);
  guint8 *to = take_rows(packed, to_entry + (gsize)packed->columns * BLOCK_COLUMN_SIZE);
  const guint8 *entry = packed->entries;
  for (guint i = 0; i < packed->columns && to != NULL; i++) {
    to = take_column(packed, entry, to_entry, to, end);
    entry += COLUMN_SIZE;
    to_entry += BLOCK_COLUMN_SIZE;
  }
  return to == end && byte_reader_left(&packed->reader) == 0;
}

guint8 *block_unpack(const guint8 *bytes, gsize size, gsize *out_size, GError **error)
{
  *out_size = block_unpacked_size(bytes, size);
  if (size > 0 && !is_packed(bytes, size))
    return g_memdup2(bytes, size);
  Packed packed;
  if (size > 0 && *out_size <= BLOCK_PACK_SIZE && open_packed(bytes, size, *out_size, &packed)) {
    g_autofree gint64 *scratch = g_new(gint64, packed.rows);
    g_autofree guint8 *unpacked = g_malloc(*out_size);
    packed.scratch = scratch;
    if (unpack_into(&packed, unpacked, *out_size))
      return g_steal_pointer(&unpacked);
  }
  damaged(error);
  return NULL;
}

gsize block_unpacked_size(const guint8 *bytes, gsize size)
{
  return is_packed(bytes, size) ? load_le32(bytes + 8) : size;
}

gboolean block_is_mixed(const guint8 *bytes, gsize size)
{
  return size > 1 && bytes[bytes[0] == BLOCK_VERSION_PACKED ? 1 : 0] == BLOCK_VERSION_MIXED;
}
