#include "store/block.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

/* Whether the values' bytes are as many as they must be, and each text lies inside. */
static gboolean is_sound(DataType type, const guint8 *values, gsize size, guint rows)
{
  if (type != DATA_TEXT)
    return size == rows * data_type_size(type);
  gsize table = ((gsize)rows + 1) * 4;
  if (size < table || load_le32(values) != 0 || load_le32(values + (gsize)rows * 4) != size - table)
    return FALSE;
  for (guint row = 0; row < rows; row++)
    if (load_le32(values + (gsize)row * 4) > load_le32(values + ((gsize)row + 1) * 4))
      return FALSE;
  return TRUE;
}

static gboolean are_sound_versions(const Block *block)
{
  VersionRuns runs = block_version_runs(block);
  guint64 rows = 0;
  for (guint more; (more = version_runs_next(&runs)) > 0 && rows <= block->rows;)
    rows += more;
  return !runs.damaged && rows == block->rows;
}

static gboolean are_sound_columns(const Block *block, GError **error)
{
  gsize at = 0;
  for (guint i = 0; i < block->column_count; i++) {
    const guint8 *entry = block->columns + (gsize)i * BLOCK_COLUMN_SIZE;
    gsize nulls = entry[5] != 0 ? ((gsize)block->rows + 7) / 8 : 0;
    gsize values = load_le32(entry + 6);
    if (data_type_name(entry[4]) == NULL || nulls + values > block->data_size - at ||
        !is_sound((DataType)entry[4], block->data + at + nulls, values, block->rows))
      return fail(error, SYNCLOG_CORRUPT, "store: column %u of a block is damaged", i);
    at += nulls + values;
  }
  return at == block->data_size ||
         fail(error, SYNCLOG_CORRUPT, "store: %zu bytes too many in a block",
              block->data_size - at);
}

gboolean block_open(const guint8 *bytes, gsize size, Block *out, GError **error)
{
  if (size < BLOCK_HEAD_SIZE || (bytes[0] != BLOCK_VERSION && bytes[0] != BLOCK_VERSION_MIXED))
    return fail(error, SYNCLOG_CORRUPT, "store: no block of version %d or %d", BLOCK_VERSION,
                BLOCK_VERSION_MIXED);
  gboolean mixed = bytes[0] == BLOCK_VERSION_MIXED;
  guint column_count = bytes[2] | (guint)bytes[3] << 8;
  guint rows = load_le32(bytes + 4);
  gsize head = mixed ? BLOCK_MIXED_HEAD_SIZE : BLOCK_HEAD_SIZE;
  gsize versions = mixed && size >= head ? load_le32(bytes + 8) : 0;
  gsize times = head + (gsize)column_count * BLOCK_COLUMN_SIZE;
  gsize data = times + (gsize)rows * 8 + versions;
  if (rows == 0 || rows > LIMIT_TABLET_ROWS || size < data)
    return fail(error, SYNCLOG_CORRUPT, "store: a block of %zu bytes is cut short", size);
  *out = (Block){.rows = rows,
                 .column_count = column_count,
                 .columns = bytes + head,
                 .timestamps = bytes + times,
                 .versions = mixed ? bytes + data - versions : NULL,
                 .versions_size = versions,
                 .data = bytes + data,
                 .data_size = size - data};
  if (mixed && !are_sound_versions(out))
    return fail(error, SYNCLOG_CORRUPT, "store: the versions of a block are damaged");
  return are_sound_columns(out, error);
}

Version *block_versions(const Block *block)
{
  if (block->versions == NULL)
    return NULL;
  Version *versions = g_new(Version, block->rows);
  VersionRuns runs = block_version_runs(block);
  guint row = 0;
  for (guint more; (more = version_runs_next(&runs)) > 0;)
    for (; more > 0; more--)
      versions[row++] = runs.last;
  return versions;
}

gboolean block_next_column(const Block *block, guint *cursor, gsize *data_at, BlockColumn *out)
{
  if (*cursor == block->column_count)
    return FALSE;
  const guint8 *entry = block->columns + (gsize)(*cursor)++ * BLOCK_COLUMN_SIZE;
  gsize nulls = entry[5] != 0 ? ((gsize)block->rows + 7) / 8 : 0;
  gsize size = load_le32(entry + 6);
  *out = (BlockColumn){.measurement = load_le32(entry),
                       .type = (DataType)entry[4],
                       .nulls = nulls > 0 ? block->data + *data_at : NULL,
                       .values = block->data + *data_at + nulls,
                       .size = size};
  *data_at += nulls + size;
  return TRUE;
}

gint64 block_time(const Block *block, guint row)
{
  return (gint64)load_le64(block->timestamps + (gsize)row * 8);
}

const guint8 *block_value(const Block *block, const BlockColumn *column, guint row, gsize *out_size)
{
  if (column->type != DATA_TEXT) {
    *out_size = data_type_size(column->type);
    return column->values + row * *out_size;
  }
  guint32 begin = load_le32(column->values + (gsize)row * 4);
  guint32 end = load_le32(column->values + ((gsize)row + 1) * 4);
  *out_size = end - begin;
  return column->values + ((gsize)block->rows + 1) * 4 + begin;
}
