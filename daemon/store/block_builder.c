#include "store/block_builder.h"

#include "base/bytes.h"
#include "store/block.h"

#include <stdlib.h>

static guint8 *extend(Decoded *decoded, gsize size)
{
  return list_extend(decoded->values, 1, size);
}

/* Notes the columns of a part, which all its blocks share. Gives the place of the first. */
static guint note_columns(Decoded *decoded, const BuilderColumn *columns, guint count)
{
  guint first = decoded->columns->len;
  DecodedColumn *noted = list_extend(decoded->columns, sizeof *noted, count);
  for (guint i = 0; i < count; i++)
    noted[i] = (DecodedColumn){.measurement = columns[i].measurement, .type = columns[i].type};
  return first;
}

static DecodedBlock *begin_block(Decoded *decoded, Slice device, guint32 ordinal, gint64 partition,
                                 guint rows, guint first_column, guint column_count)
{
  gsize value_at = decoded->values->len;
  guint8 *head = extend(decoded, BLOCK_HEAD_SIZE + column_count * BLOCK_COLUMN_SIZE);
  head[0] = BLOCK_VERSION;
  head[1] = 0;
  head[2] = (guint8)column_count;
  head[3] = (guint8)(column_count >> 8);
  store_le32(head + 4, rows);
  DecodedBlock *block = list_extend(decoded->blocks, sizeof *block, 1);
  *block = (DecodedBlock){.device = device,
                          .ordinal = ordinal,
                          .partition = partition,
                          .value_at = value_at,
                          .first_column = first_column,
                          .column_count = column_count};
  return block;
}

static void fill_column(Decoded *decoded, gsize block_at, guint i, const BuilderColumn *column,
                        gboolean has_nulls, gsize size)
{
  guint8 *entry = decoded->values->data + block_at + BLOCK_HEAD_SIZE + (gsize)i * BLOCK_COLUMN_SIZE;
  store_le32(entry, 0); /* the store's name id comes here */
  entry[4] = (guint8)column->type;
  entry[5] = has_nulls;
  store_le32(entry + 6, (guint32)size);
}

static gboolean has_text(const BuilderColumn *columns, guint count)
{
  for (guint i = 0; i < count; i++)
    if (columns[i].type == DATA_TEXT)
      return TRUE;
  return FALSE;
}

static void put_text(Decoded *decoded, const BuilderColumn *column)
{
  guint8 *offsets = extend(decoded, 8);
  store_le32(offsets, 0);
  store_le32(offsets + 4, (guint32)column->values_size);
  list_append(decoded->values, 1, column->values, column->values_size);
}

static void put_row_values(Decoded *decoded, gsize block_at, const BuilderColumn *columns,
                           guint count)
{
  for (guint i = 0; i < count; i++) {
    const BuilderColumn *column = &columns[i];
    gsize size = column->values_size;
    if (column->type == DATA_TEXT) {
      put_text(decoded, column);
      size += 8;
    } else {
      memcpy(extend(decoded, size), column->inline_value, size);
    }
    fill_column(decoded, block_at, i, column, FALSE, size);
  }
}

/* The same where all are numbers: their place is asked for once. */
static void put_row_numbers(Decoded *decoded, gsize block_at, const BuilderColumn *columns,
                            guint count)
{
  gsize size = 0;
  for (guint i = 0; i < count; i++)
    size += columns[i].values_size;
  guint8 *out = extend(decoded, size);
  for (guint i = 0; i < count; i++) {
    const BuilderColumn *column = &columns[i];
    if (column->values_size == 8)
      memcpy(out, column->inline_value, 8);
    else
      memcpy(out, column->inline_value, column->values_size);
    out += column->values_size;
    fill_column(decoded, block_at, i, column, FALSE, column->values_size);
  }
}

void builder_add_row(Decoded *decoded, Slice device, guint32 ordinal, gint64 time,
                     guint64 partition_interval, const BuilderColumn *columns, guint count)
{
  guint first_column = note_columns(decoded, columns, count);
  DecodedBlock *block = begin_block(decoded, device, ordinal,
                                    partition_of(time, partition_interval), 1, first_column, count);
  block->min_time = block->max_time = time;
  gsize block_at = block->value_at;
  store_le64(extend(decoded, 8), (guint64)time);
  if (has_text(columns, count))
    put_row_values(decoded, block_at, columns, count);
  else
    put_row_numbers(decoded, block_at, columns, count);
  block->value_size = decoded->values->len - block_at;
  decoded->points += count;
  decoded->rows++;
}

/* --- tablets ------------------------------------------------------------------------------------
 */

typedef struct RowOrder {
  gint64 time;
  guint row;
} RowOrder;

/* Rows of a tablet that go into one block, by time. */
typedef struct TabletRows {
  const guint8 *times;   /* of the tablet */
  const RowOrder *order; /* of the rows; NULL: they came so, and are one piece from `first` on */
  guint first, count;
  guint all; /* rows of the tablet */
} TabletRows;

static inline guint row_at(const TabletRows *rows, guint i)
{
  return rows->order != NULL ? rows->order[i].row : rows->first + i;
}

static inline gint64 time_at(const TabletRows *rows, guint i)
{
  return rows->order != NULL ? rows->order[i].time
                             : (gint64)load_le64(rows->times + (gsize)(rows->first + i) * 8);
}

static int compare_order(const void *a, const void *b)
{
  const RowOrder *x = a, *y = b;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

/* NULL: they are sorted already. */
static RowOrder *sort_rows(const guint8 *times, guint rows)
{
  guint sorted = 1;
  while (sorted < rows && (gint64)load_le64(times + (gsize)(sorted - 1) * 8) <=
                              (gint64)load_le64(times + (gsize)sorted * 8))
    sorted++;
  if (sorted >= rows)
    return NULL;
  RowOrder *order = g_new(RowOrder, rows);
  for (guint row = 0; row < rows; row++)
    order[row] = (RowOrder){(gint64)load_le64(times + (gsize)row * 8), row};
  qsort(order, rows, sizeof *order, compare_order);
  return order;
}

static gboolean is_null(const BuilderColumn *column, guint row)
{
  return column->nulls != NULL && (column->nulls[row / 8] & (1u << (row % 8))) != 0;
}

/* The null bitmap of the rows in order; FALSE, and nothing written, when none is missing. */
static gboolean put_nulls(Decoded *decoded, const BuilderColumn *column, const TabletRows *rows,
                          guint64 *out_present)
{
  guint missing = 0, count = rows->count;
  for (guint i = 0; column->nulls != NULL && i < count; i++)
    missing += is_null(column, row_at(rows, i));
  *out_present = count - missing;
  if (missing == 0)
    return FALSE;
  gsize size = ((gsize)count + 7) / 8;
  guint8 *bitmap = extend(decoded, size);
  memset(bitmap, 0, size);
  for (guint i = 0; i < count; i++)
    if (is_null(column, row_at(rows, i)))
      bitmap[i / 8] |= (guint8)(1u << (i % 8));
  return TRUE;
}

static gsize put_texts(Decoded *decoded, const BuilderColumn *column, const TabletRows *rows)
{
  const guint8 *bytes = column->values + ((gsize)rows->all + 1) * 4;
  gsize table = ((gsize)rows->count + 1) * 4, total = 0;
  gsize at = decoded->values->len;
  store_le32(extend(decoded, table), 0);
  for (guint i = 0; i < rows->count; i++) {
    guint row = row_at(rows, i);
    guint32 begin = load_le32(column->values + (gsize)row * 4);
    guint32 end = load_le32(column->values + ((gsize)row + 1) * 4);
    if (!is_null(column, row)) {
      list_append(decoded->values, 1, bytes + begin, end - begin);
      total += end - begin;
    }
    store_le32(decoded->values->data + at + ((gsize)i + 1) * 4, (guint32)total);
  }
  return table + total;
}

static gsize put_values(Decoded *decoded, const BuilderColumn *column, const TabletRows *rows)
{
  if (column->type == DATA_TEXT)
    return put_texts(decoded, column, rows);
  gsize width = data_type_size(column->type), size = rows->count * width;
  guint8 *out = extend(decoded, size);
  if (rows->order == NULL)
    memcpy(out, column->values + rows->first * width, size);
  for (guint i = 0; rows->order != NULL && i < rows->count; i++)
    memcpy(out + i * width, column->values + rows->order[i].row * width, width);
  return size;
}

/* One block of rows that lie in one partition. */
static void add_block(Decoded *decoded, Slice device, guint32 ordinal, gint64 partition,
                      const TabletRows *rows, const BuilderColumn *columns, guint first_column,
                      guint count)
{
  DecodedBlock *block =
      begin_block(decoded, device, ordinal, partition, rows->count, first_column, count);
  block->min_time = time_at(rows, 0);
  block->max_time = time_at(rows, rows->count - 1);
  gsize block_at = block->value_at;
  guint8 *times = extend(decoded, (gsize)rows->count * 8);
  for (guint i = 0; rows->order != NULL && i < rows->count; i++)
    store_le64(times + (gsize)i * 8, (guint64)rows->order[i].time);
  if (rows->order == NULL)
    memcpy(times, rows->times + (gsize)rows->first * 8, (gsize)rows->count * 8);
  for (guint i = 0; i < count; i++) {
    guint64 present;
    gboolean has_nulls = put_nulls(decoded, &columns[i], rows, &present);
    gsize size = put_values(decoded, &columns[i], rows);
    fill_column(decoded, block_at, i, &columns[i], has_nulls, size);
    decoded->points += present;
  }
  block->value_size = decoded->values->len - block_at;
  decoded->rows += rows->count;
}

/* How many of the rows are in the partition of the first one. */
static guint rows_of_partition(const TabletRows *rows, gint64 partition, guint64 interval)
{
  guint count = rows->count;
  if (partition_of(time_at(rows, count - 1), interval) == partition)
    return count;
  /* Not a division for each row: there is a next partition, and it has a first time. */
  gint64 next = partition_start(partition + 1, interval);
  guint inside = 1;
  while (time_at(rows, inside) < next)
    inside++;
  return inside;
}

void builder_add_tablet(Decoded *decoded, Slice device, guint32 ordinal, const guint8 *times,
                        guint rows, guint64 partition_interval, const BuilderColumn *columns,
                        guint count)
{
  g_autofree RowOrder *order = sort_rows(times, rows);
  guint first_column = note_columns(decoded, columns, count);
  for (guint begin = 0; begin < rows;) {
    TabletRows some = {times, order != NULL ? order + begin : NULL, begin, rows - begin, rows};
    gint64 partition = partition_of(time_at(&some, 0), partition_interval);
    some.count = rows_of_partition(&some, partition, partition_interval);
    add_block(decoded, device, ordinal, partition, &some, columns, first_column, count);
    begin += some.count;
  }
}

/* --- rows that go together ----------------------------------------------------------------------
 */

static gboolean same_slice(Slice a, Slice b)
{
  return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

gboolean row_run_takes(const RowRun *run, Slice device, const BuilderColumn *columns, guint count)
{
  if (run->rows == 0 || run->columns->len != count || !same_slice(run->device, device))
    return FALSE;
  for (guint i = 0; i < count; i++) {
    const BuilderColumn *column = &g_array_index(run->columns, BuilderColumn, i);
    if (column->type != columns[i].type || !same_slice(column->measurement, columns[i].measurement))
      return FALSE;
  }
  return TRUE;
}

static guint8 *extend_bytes(GByteArray *array, gsize size)
{
  gsize at = array->len;
  g_byte_array_set_size(array, (guint)(at + size));
  return array->data + at;
}

static void begin_run(RowRun *run, Slice device, guint32 ordinal, const BuilderColumn *columns,
                      guint count)
{
  if (run->columns == NULL) {
    run->columns = g_array_new(FALSE, FALSE, sizeof(BuilderColumn));
    run->times = g_byte_array_new();
    run->cells = g_byte_array_new();
  }
  g_array_set_size(run->columns, 0);
  g_byte_array_set_size(run->times, 0);
  g_byte_array_set_size(run->cells, 0);
  g_array_append_vals(run->columns, columns, count);
  run->device = device;
  run->ordinal = ordinal;
}

void row_run_add(RowRun *run, Decoded *decoded, Slice device, guint32 ordinal, gint64 time,
                 guint64 partition_interval, const BuilderColumn *columns, guint count)
{
  if (!row_run_takes(run, device, columns, count)) {
    row_run_flush(run, decoded, partition_interval);
    if (has_text(columns, count)) {
      builder_add_row(decoded, device, ordinal, time, partition_interval, columns, count);
      return;
    }
    begin_run(run, device, ordinal, columns, count);
  }
  store_le64(extend_bytes(run->times, 8), (guint64)time);
  guint8 *cells = extend_bytes(run->cells, (gsize)count * 8);
  for (guint i = 0; i < count; i++)
    memcpy(cells + (gsize)i * 8, columns[i].inline_value, 8);
  run->rows++;
}

void row_run_flush(RowRun *run, Decoded *decoded, guint64 partition_interval)
{
  guint rows = run->rows;
  if (rows == 0)
    return;
  guint count = run->columns->len;
  run->rows = 0;
  if (rows == 1) {
    builder_add_row(decoded, run->device, run->ordinal, (gint64)load_le64(run->times->data),
                    partition_interval, (const BuilderColumn *)(void *)run->columns->data, count);
    return;
  }
  g_autofree guint8 *packed = g_malloc((gsize)rows * count * 8);
  guint8 *out = packed;
  for (guint i = 0; i < count; i++) {
    BuilderColumn *column = &g_array_index(run->columns, BuilderColumn, i);
    gsize width = data_type_size(column->type);
    column->values = out;
    column->values_size = rows * width;
    const guint8 *cell = run->cells->data + (gsize)i * 8;
    for (guint row = 0; row < rows; row++, cell += (gsize)count * 8, out += width)
      memcpy(out, cell, width);
  }
  builder_add_tablet(decoded, run->device, run->ordinal, run->times->data, rows, partition_interval,
                     (const BuilderColumn *)(void *)run->columns->data, count);
}

void row_run_clear(RowRun *run)
{
  g_clear_pointer(&run->columns, g_array_unref);
  g_clear_pointer(&run->times, g_byte_array_unref);
  g_clear_pointer(&run->cells, g_byte_array_unref);
}
