#include "store/block_filter.h"

#include "base/bytes.h"

#include <string.h>

/* Which cells stay: a bit for each row, for one column after the other. */
typedef struct Marks {
  const Version *version; /* of all rows, when there is no … */
  Version *versions;      /* … of each of them */
  guint8 *cells;          /* column × rows, 1: it stays */
  guint8 *rows;           /* 1: something of it stays */
  GArray *columns;        /* BlockColumn, of which something stays */
  GArray *origins;        /* guint: the position of each in the block */
  gboolean changed;
} Marks;

static void marks_clear(Marks *marks)
{
  g_free(marks->versions);
  g_free(marks->cells);
  g_free(marks->rows);
  g_array_unref(marks->columns);
  g_array_unref(marks->origins);
}

static const Version *version_of(const Marks *marks, guint row)
{
  return marks->versions != NULL ? &marks->versions[row] : marks->version;
}

static void mark(const Block *block, const Version *version, CellHidden hidden, gconstpointer ctx,
                 Marks *out)
{
  *out = (Marks){.version = version,
                 .versions = block_versions(block),
                 .cells = g_new0(guint8, (gsize)block->rows * block->column_count),
                 .rows = g_new0(guint8, block->rows),
                 .columns = g_array_new(FALSE, FALSE, sizeof(BlockColumn)),
                 .origins = g_array_new(FALSE, FALSE, sizeof(guint))};
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn column;
  for (guint i = 0; block_next_column(block, &cursor, &data_at, &column); i++) {
    gboolean any = FALSE;
    for (guint row = 0; row < block->rows; row++) {
      if (block_is_null(&column, row))
        continue;
      if (hidden(ctx, column.measurement, block_time(block, row), version_of(out, row))) {
        out->changed = TRUE;
        continue;
      }
      out->cells[(gsize)i * block->rows + row] = out->rows[row] = 1;
      any = TRUE;
    }
    if (!any)
      continue;
    g_array_append_val(out->columns, column);
    g_array_append_val(out->origins, i);
  }
}

static guint8 *extend(GByteArray *bytes, gsize size)
{
  guint at = bytes->len;
  g_byte_array_set_size(bytes, (guint)(at + size));
  memset(bytes->data + at, 0, size);
  return bytes->data + at;
}

/* The null bitmap, if one is needed, and the values of the rows that stay. */
static void append_values(const Block *block, const BlockColumn *column, const guint8 *cells,
                          const guint8 *rows, guint kept, guint8 **head, GByteArray *bytes)
{
  gsize head_at = (gsize)(*head - bytes->data), nulls_at = bytes->len;
  gboolean any_null = FALSE;
  for (guint row = 0; row < block->rows; row++)
    any_null = any_null || (rows[row] && !cells[row]);
  if (any_null)
    extend(bytes, ((gsize)kept + 7) / 8);
  gsize values_at = bytes->len;
  if (column->type == DATA_TEXT)
    extend(bytes, ((gsize)kept + 1) * 4);
  gsize texts_at = bytes->len;
  for (guint row = 0, to = 0; row < block->rows; row++) {
    if (!rows[row])
      continue;
    gsize size;
    const guint8 *value = block_value(block, column, row, &size);
    if (cells[row])
      g_byte_array_append(bytes, value, (guint)size);
    else if (column->type != DATA_TEXT)
      extend(bytes, size);
    if (!cells[row])
      bytes->data[nulls_at + to / 8] |= (guint8)(1u << (to % 8));
    to++;
    if (column->type == DATA_TEXT)
      store_le32(bytes->data + values_at + (gsize)to * 4, (guint32)(bytes->len - texts_at));
  }
  *head = bytes->data + head_at;
  store_le32(*head, column->measurement);
  (*head)[4] = (guint8)column->type;
  (*head)[5] = any_null;
  store_le32(*head + 6, (guint32)(bytes->len - values_at));
}

/* The times of the rows that stay, and their versions if the block has any. */
static void append_rows(const Block *block, const Marks *marks, GByteArray *bytes,
                        FilteredBlock *out)
{
  g_autoptr(GArray) versions = g_array_new(FALSE, FALSE, sizeof(Version));
  out->min_time = G_MAXINT64;
  out->max_time = G_MININT64;
  out->version = (Version){0};
  for (guint row = 0; row < block->rows; row++) {
    if (!marks->rows[row])
      continue;
    gint64 time = block_time(block, row);
    const Version *version = version_of(marks, row);
    g_byte_array_append(bytes, block->timestamps + (gsize)row * 8, 8);
    g_array_append_vals(versions, version, 1);
    out->min_time = MIN(out->min_time, time);
    out->max_time = MAX(out->max_time, time);
    if (version_compare(version, &out->version) > 0)
      out->version = *version;
  }
  if (block->versions == NULL)
    return;
  guint before = bytes->len;
  versions_put(bytes, (const Version *)(void *)versions->data, versions->len);
  store_le32(bytes->data + BLOCK_HEAD_SIZE, bytes->len - before);
}

static void rebuild(const Block *block, const Marks *marks, FilteredBlock *out)
{
  gboolean mixed = block->versions != NULL;
  gsize head_size = mixed ? BLOCK_MIXED_HEAD_SIZE : BLOCK_HEAD_SIZE;
  guint kept = 0;
  for (guint row = 0; row < block->rows; row++)
    kept += marks->rows[row];
  GByteArray *bytes = g_byte_array_new();
  guint8 *head = extend(bytes, head_size);
  head[0] = mixed ? BLOCK_VERSION_MIXED : BLOCK_VERSION;
  head[2] = (guint8)marks->columns->len;
  head[3] = (guint8)(marks->columns->len >> 8);
  store_le32(head + 4, kept);
  extend(bytes, (gsize)marks->columns->len * BLOCK_COLUMN_SIZE);
  append_rows(block, marks, bytes, out);
  for (guint i = 0; i < marks->columns->len; i++) {
    guint8 *entry = bytes->data + head_size + (gsize)i * BLOCK_COLUMN_SIZE;
    guint origin = g_array_index(marks->origins, guint, i);
    append_values(block, &g_array_index(marks->columns, BlockColumn, i),
                  marks->cells + (gsize)origin * block->rows, marks->rows, kept, &entry, bytes);
  }
  out->bytes = bytes;
}

void block_filter(const Block *block, const Version *version, CellHidden hidden, gconstpointer ctx,
                  FilteredBlock *out)
{
  *out = (FilteredBlock){0};
  Marks marks;
  mark(block, version, hidden, ctx, &marks);
  out->changed = marks.changed;
  if (marks.changed && marks.columns->len > 0)
    rebuild(block, &marks, out);
  marks_clear(&marks);
}

void filtered_block_clear(FilteredBlock *filtered)
{
  g_clear_pointer(&filtered->bytes, g_byte_array_unref);
}
