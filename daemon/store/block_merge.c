#include "store/block_merge.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

typedef struct MergeRow {
  gint64 time;
  guint part, row;
} MergeRow;

/* One column of one part; the next one is `data_at` in it. */
typedef struct MergeColumn {
  Block block;
  guint cursor;
  gsize data_at;
  BlockColumn column;
} MergeColumn;

static guint8 *extend(GByteArray *bytes, gsize size)
{
  guint at = bytes->len;
  g_byte_array_set_size(bytes, (guint)(at + size));
  return bytes->data + at;
}

gboolean block_same_columns(const guint8 *a, const guint8 *b)
{
  if (a[2] != b[2] || a[3] != b[3])
    return FALSE;
  guint count = a[2] | (guint)a[3] << 8;
  const guint8 *x = a + BLOCK_HEAD_SIZE, *y = b + BLOCK_HEAD_SIZE;
  for (guint i = 0; i < count; i++, x += BLOCK_COLUMN_SIZE, y += BLOCK_COLUMN_SIZE)
    if (memcmp(x, y, 5) != 0) /* the name and the type */
      return FALSE;
  return TRUE;
}

static int compare_rows(gconstpointer a, gconstpointer b, gpointer parts)
{
  const MergeRow *x = a, *y = b;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  int order = version_compare(&((const MergePart *)parts)[x->part].version,
                              &((const MergePart *)parts)[y->part].version);
  if (order != 0)
    return order;
  return x->row < y->row ? -1 : x->row > y->row;
}

/* All rows in their order. */
static MergeRow *sort_rows(const MergePart *parts, const MergeColumn *columns, guint count,
                           guint rows)
{
  MergeRow *order = g_new(MergeRow, rows);
  gboolean sorted = TRUE;
  guint at = 0;
  for (guint part = 0; part < count; part++)
    for (guint row = 0; row < columns[part].block.rows; row++, at++) {
      order[at] = (MergeRow){block_time(&columns[part].block, row), part, row};
      sorted =
          sorted && (at == 0 || compare_rows(&order[at - 1], &order[at], (gpointer)parts) <= 0);
    }
  if (!sorted)
    g_qsort_with_data(order, (gint)rows, sizeof *order, compare_rows, (gpointer)parts);
  return order;
}

static void put_versions(GByteArray *bytes, const MergePart *parts, const MergeRow *order,
                         guint rows)
{
  Version before = {0};
  for (guint begin = 0; begin < rows;) {
    guint end = begin + 1;
    while (end < rows && order[end].part == order[begin].part)
      end++;
    const Version *version = &parts[order[begin].part].version;
    version_run_put(bytes, &before, version, end - begin);
    before = *version;
    begin = end;
  }
}

/* The null bitmap, if one is needed. */
static gboolean put_nulls(GByteArray *bytes, const MergeColumn *columns, guint count,
                          const MergeRow *order, guint rows)
{
  gboolean any = FALSE;
  for (guint part = 0; part < count && !any; part++)
    any = columns[part].column.nulls != NULL;
  if (!any)
    return FALSE;
  gsize size = ((gsize)rows + 7) / 8;
  guint8 *bitmap = extend(bytes, size);
  memset(bitmap, 0, size);
  for (guint i = 0; i < rows; i++)
    if (block_is_null(&columns[order[i].part].column, order[i].row))
      bitmap[i / 8] |= (guint8)(1u << (i % 8));
  return TRUE;
}

static void put_texts(GByteArray *bytes, const MergeColumn *columns, const MergeRow *order,
                      guint rows)
{
  gsize at = bytes->len;
  guint32 total = 0;
  store_le32(extend(bytes, ((gsize)rows + 1) * 4), 0);
  for (guint i = 0; i < rows; i++) {
    const MergeColumn *from = &columns[order[i].part];
    gsize size = 0;
    const guint8 *text = block_value(&from->block, &from->column, order[i].row, &size);
    g_byte_array_append(bytes, text, (guint)size);
    total += (guint32)size;
    store_le32(bytes->data + at + ((gsize)i + 1) * 4, total);
  }
}

static void put_values(GByteArray *bytes, const MergeColumn *columns, const MergeRow *order,
                       guint rows)
{
  if (columns[0].column.type == DATA_TEXT) {
    put_texts(bytes, columns, order, rows);
    return;
  }
  gsize width = data_type_size(columns[0].column.type);
  guint8 *out = extend(bytes, rows * width);
  if (width == 8)
    for (guint i = 0; i < rows; i++)
      memcpy(out + (gsize)i * 8, columns[order[i].part].column.values + (gsize)order[i].row * 8, 8);
  else
    for (guint i = 0; i < rows; i++)
      memcpy(out + i * width, columns[order[i].part].column.values + order[i].row * width, width);
}

static MergeColumn *open_parts(const MergePart *parts, guint count, guint *out_rows)
{
  MergeColumn *columns = g_new0(MergeColumn, count);
  *out_rows = 0;
  for (guint part = 0; part < count; part++) {
    gboolean opened = block_open(parts[part].bytes, parts[part].size, &columns[part].block, NULL);
    g_assert(opened && columns[part].block.versions == NULL);
    *out_rows += columns[part].block.rows;
  }
  return columns;
}

static void put_columns(GByteArray *bytes, MergeColumn *columns, guint count, const MergeRow *order,
                        guint rows)
{
  for (guint i = 0; i < columns[0].block.column_count; i++) {
    for (guint part = 0; part < count; part++) {
      MergeColumn *from = &columns[part];
      block_next_column(&from->block, &from->cursor, &from->data_at, &from->column);
    }
    gboolean nulls = put_nulls(bytes, columns, count, order, rows);
    gsize values_at = bytes->len;
    put_values(bytes, columns, order, rows);
    guint8 *entry = bytes->data + BLOCK_MIXED_HEAD_SIZE + (gsize)i * BLOCK_COLUMN_SIZE;
    store_le32(entry, columns[0].column.measurement);
    entry[4] = (guint8)columns[0].column.type;
    entry[5] = nulls;
    store_le32(entry + 6, (guint32)(bytes->len - values_at));
  }
}

static void put_head(GByteArray *bytes, guint column_count, guint rows)
{
  guint8 *head = extend(bytes, BLOCK_MIXED_HEAD_SIZE + (gsize)column_count * BLOCK_COLUMN_SIZE);
  head[0] = BLOCK_VERSION_MIXED;
  head[1] = 0;
  head[2] = (guint8)column_count;
  head[3] = (guint8)(column_count >> 8);
  store_le32(head + 4, rows);
}

void block_merge(const MergePart *parts, guint count, GByteArray *bytes, MergedBlock *out)
{
  guint rows;
  g_autofree MergeColumn *columns = open_parts(parts, count, &rows);
  const Block *first = &columns[0].block;
  if (count == 1) {
    *out = (MergedBlock){parts[0].version, block_time(first, 0), block_time(first, rows - 1),
                         parts[0].bytes, parts[0].size};
    return;
  }
  g_autofree MergeRow *order = sort_rows(parts, columns, count, rows);
  put_head(bytes, first->column_count, rows);
  guint8 *times = extend(bytes, (gsize)rows * 8);
  for (guint i = 0; i < rows; i++)
    store_le64(times + (gsize)i * 8, (guint64)order[i].time);
  gsize versions_at = bytes->len;
  put_versions(bytes, parts, order, rows);
  store_le32(bytes->data + 8, (guint32)(bytes->len - versions_at));
  put_columns(bytes, columns, count, order, rows);
  *out = (MergedBlock){.version = parts[0].version,
                       .min_time = order[0].time,
                       .max_time = order[rows - 1].time,
                       .bytes = bytes->data,
                       .size = bytes->len};
  for (guint part = 1; part < count; part++)
    if (version_compare(&parts[part].version, &out->version) > 0)
      out->version = parts[part].version;
}

/* --- plain rows ---------------------------------------------------------------------------------
 */

gsize block_plain_head(const guint8 *bytes, gsize size)
{
  gsize head = block_head_size(bytes);
  if (load_le32(bytes + 4) != 1)
    return 0;
  for (const guint8 *column = bytes + BLOCK_HEAD_SIZE; column < bytes + head;
       column += BLOCK_COLUMN_SIZE)
    if (column[4] == DATA_TEXT || column[5] != 0)
      return 0;
  g_assert(size > head);
  return head;
}

static gint64 plain_time(const PlainRow *row)
{
  return (gint64)load_le64(row->bytes);
}

static int compare_plain(const PlainRow *x, const PlainRow *y)
{
  gint64 a = plain_time(x), b = plain_time(y);
  if (a != b)
    return a < b ? -1 : 1;
  int order = version_compare(&x->version, &y->version);
  if (order != 0)
    return order;
  return x < y ? -1 : x > y;
}

static int compare_plain_places(const void *a, const void *b)
{
  return compare_plain(*(const PlainRow *const *)a, *(const PlainRow *const *)b);
}

static const PlainRow **sort_plain(const guint8 *rows, gsize stride, guint count)
{
  const PlainRow **order = g_new(const PlainRow *, count);
  gboolean sorted = TRUE;
  for (guint i = 0; i < count; i++) {
    order[i] = (const PlainRow *)(const void *)(rows + i * stride);
    sorted = sorted && (i == 0 || compare_plain(order[i - 1], order[i]) <= 0);
  }
  if (!sorted)
    qsort(order, count, sizeof *order, compare_plain_places);
  return order;
}

static void put_plain_versions(GByteArray *bytes, const PlainRow *const *order, guint count)
{
  Version before = {0};
  gsize at = bytes->len;
  guint8 *begin = extend(bytes, (gsize)count * VERSION_RUN_SIZE), *end = begin;
  for (guint i = 0; i < count; i++) {
    end = version_run_write(end, &before, &order[i]->version, 1);
    before = order[i]->version;
  }
  g_byte_array_set_size(bytes, (guint)(at + (gsize)(end - begin)));
  store_le32(bytes->data + 8, (guint32)(end - begin));
}

static void put_plain_columns(GByteArray *bytes, const guint8 *head, const PlainRow *const *order,
                              guint count)
{
  gsize value_at = 8, entry_at = BLOCK_MIXED_HEAD_SIZE;
  for (const guint8 *from = head + BLOCK_HEAD_SIZE; from < head + block_head_size(head);
       from += BLOCK_COLUMN_SIZE, entry_at += BLOCK_COLUMN_SIZE) {
    gsize width = load_le32(from + 6);
    guint8 *out = extend(bytes, count * width);
    for (guint row = 0; row < count; row++, out += width)
      if (width == 8)
        memcpy(out, order[row]->bytes + value_at, 8);
      else
        memcpy(out, order[row]->bytes + value_at, width);
    memcpy(bytes->data + entry_at, from, BLOCK_COLUMN_SIZE);
    store_le32(bytes->data + entry_at + 6, (guint32)(count * width));
    value_at += width;
  }
}

/* One row stays a block of one version. */
static void put_plain_row(GByteArray *bytes, const guint8 *head, const PlainRow *row)
{
  gsize head_size = block_head_size(head), size = 8;
  for (gsize at = BLOCK_HEAD_SIZE; at < head_size; at += BLOCK_COLUMN_SIZE)
    size += load_le32(head + at + 6);
  g_byte_array_append(bytes, head, (guint)head_size);
  g_byte_array_append(bytes, row->bytes, (guint)size);
}

void block_merge_plain(const guint8 *head, const guint8 *rows, gsize stride, guint count,
                       GByteArray *scratch, MergedBlock *out)
{
  g_autofree const PlainRow **order = sort_plain(rows, stride, count);
  *out = (MergedBlock){.version = order[0]->version,
                       .min_time = plain_time(order[0]),
                       .max_time = plain_time(order[count - 1])};
  for (guint i = 1; i < count; i++)
    if (version_compare(&order[i]->version, &out->version) > 0)
      out->version = order[i]->version;
  if (count == 1) {
    put_plain_row(scratch, head, order[0]);
  } else {
    put_head(scratch, head[2] | (guint)head[3] << 8, count);
    guint8 *times = extend(scratch, (gsize)count * 8);
    for (guint i = 0; i < count; i++)
      memcpy(times + (gsize)i * 8, order[i]->bytes, 8);
    put_plain_versions(scratch, order, count);
    put_plain_columns(scratch, head, order, count);
  }
  out->bytes = scratch->data;
  out->size = scratch->len;
}
