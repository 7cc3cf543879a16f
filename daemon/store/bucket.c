#include "store/bucket.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "store/answer.h"
#include "store/block_builder.h"

#include <stdlib.h>
#include <string.h>

enum {
  CELL_BYTES = 16,   /* of a page beside the value itself */
  PART_BYTES = 64,   /* beside its cells */
  PAGE_PARTS = 8192, /* at most in one page */
};

typedef struct CellColumn {
  char *measurement;
  DataType type;
} CellColumn;

typedef struct Found {
  CellVersion version;
  gint64 time;
  guint column;
  gsize size;
  const guint8 *value;
} Found;

struct BucketCells {
  GArray *columns; /* CellColumn */
  GArray *found;   /* Found */
};

static void column_clear(gpointer data)
{
  g_free(((CellColumn *)data)->measurement);
}

BucketCells *bucket_cells_new(void)
{
  BucketCells *cells = g_new(BucketCells, 1);
  cells->columns = g_array_new(FALSE, FALSE, sizeof(CellColumn));
  g_array_set_clear_func(cells->columns, column_clear);
  cells->found = g_array_new(FALSE, FALSE, sizeof(Found));
  return cells;
}

void bucket_cells_free(BucketCells *cells)
{
  g_array_unref(cells->columns);
  g_array_unref(cells->found);
  g_free(cells);
}

void bucket_cells_add(BucketCells *cells, const char *measurement, DataType type,
                      const GArray *visible)
{
  if (visible->len == 0)
    return;
  CellColumn column = {g_strdup(measurement), type};
  g_array_append_val(cells->columns, column);
  for (guint i = 0; i < visible->len; i++) {
    const Cell *cell = &g_array_index(visible, Cell, i);
    Found found = {.version = {cell->version->hlc, cell->version->origin, cell->version->ordinal},
                   .time = cell->time,
                   .column = cells->columns->len - 1,
                   .size = cell->size,
                   .value = cell->value};
    g_array_append_val(cells->found, found);
  }
}

/* By version; inside one row by row. */
static int compare_found(const void *a, const void *b)
{
  const Found *x = a, *y = b;
  int order = cell_version_compare(&x->version, &y->version);
  if (order != 0)
    return order;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  return x->column < y->column ? -1 : x->column > y->column;
}

/* The columns that occur in found[0 .. count), in order. Gives each its place in the table, + 1. */
static GArray *make_columns(const BucketCells *cells, const Found *found, guint count, Table *table)
{
  GArray *places = g_array_new(FALSE, TRUE, sizeof(guint));
  g_array_set_size(places, cells->columns->len);
  for (guint i = 0; i < count; i++)
    g_array_index(places, guint, found[i].column) = 1;
  for (guint i = 0; i < places->len; i++) {
    if (g_array_index(places, guint, i) == 0)
      continue;
    const CellColumn *column = &g_array_index(cells->columns, CellColumn, i);
    g_ptr_array_add(table->columns, column_new(column->measurement, column->type));
    g_array_index(places, guint, i) = table->columns->len;
  }
  return places;
}

/* Brings all columns to as many rows as there are times. */
static void fill_up(Table *table)
{
  for (guint i = 0; i < table->columns->len; i++) {
    Column *column = table->columns->pdata[i];
    if (column->rows < table->timestamps->len)
      column_append_null(column);
  }
}

static Table *make_table(const BucketCells *cells, const Found *found, guint count)
{
  Table *table = table_new();
  g_autoptr(GArray) places = make_columns(cells, found, count, table);
  for (guint i = 0; i < count; i++) {
    if (i == 0 || found[i].time != found[i - 1].time) {
      fill_up(table);
      g_array_append_val(table->timestamps, found[i].time);
    }
    column_append(table->columns->pdata[g_array_index(places, guint, found[i].column) - 1],
                  found[i].value, found[i].size);
  }
  fill_up(table);
  for (guint i = 0; i < table->columns->len; i++)
    column_finish(table->columns->pdata[i]);
  return table;
}

BucketPage *bucket_cells_page(BucketCells *cells, const CellVersion *after, gsize max_bytes)
{
  BucketPage *page = bucket_page_new();
  const Found *found = (const Found *)(const void *)cells->found->data;
  guint count = cells->found->len, at = 0;
  gsize bytes = 0;
  if (count > 0)
    qsort(cells->found->data, count, sizeof *found, compare_found);
  while (at < count && cell_version_compare(&found[at].version, after) <= 0)
    at++;
  while (at < count) {
    if (page->parts->len == PAGE_PARTS || bytes > max_bytes) {
      page->more = TRUE;
      break;
    }
    guint end = at;
    for (; end < count && cell_version_compare(&found[end].version, &found[at].version) == 0; end++)
      bytes += found[end].size + CELL_BYTES;
    bytes += PART_BYTES;
    g_ptr_array_add(page->parts,
                    bucket_part_new(&found[at].version, make_table(cells, found + at, end - at)));
    at = end;
  }
  return page;
}

/* --- digests ------------------------------------------------------------------------------------
 */

gboolean store_bucket_digest(Store *store, const DigestScope *scope, const char *device,
                             gint64 time, StateDigest *out_digest, GError **error)
{
  BucketQuery query = {.device = device, .start_time = time, .cut = scope->cut};
  gboolean more = TRUE;
  *out_digest = (StateDigest){0};
  while (more) {
    g_autoptr(BucketPage) page = store_bucket(store, &query, G_MAXSIZE, error);
    if (page == NULL)
      return FALSE;
    store_parts_digest(device, page->parts, out_digest);
    more = page->more;
    if (more)
      query.after = ((const BucketPart *)page->parts->pdata[page->parts->len - 1])->version;
  }
  return TRUE;
}

/* The cells of one column. */
static void column_cells(const GArray *times, const Column *column, GArray *cells)
{
  const guint8 *values = column->values->data;
  gsize width = data_type_size(column->type);
  gsize texts_at = ((gsize)column->rows + 1) * 4;
  g_array_set_size(cells, 0);
  for (guint row = 0; row < column->rows; row++) {
    if (column->nulls != NULL && (column->nulls->data[row / 8] & (1u << (row % 8))) != 0)
      continue;
    Cell cell = {
        .time = g_array_index(times, gint64, row), .value = values + row * width, .size = width};
    if (column->type == DATA_TEXT) {
      guint32 begin = load_le32(values + (gsize)row * 4);
      cell.value = values + texts_at + begin;
      cell.size = load_le32(values + ((gsize)row + 1) * 4) - begin;
    }
    g_array_append_val(cells, cell);
  }
}

void store_parts_digest(const char *device, const GPtrArray *parts, StateDigest *digest)
{
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  for (guint i = 0; i < parts->len; i++) {
    const Table *table = ((const BucketPart *)parts->pdata[i])->table;
    for (guint k = 0; k < table->columns->len; k++) {
      const Column *column = table->columns->pdata[k];
      column_cells(table->timestamps, column, cells);
      answer_digest(device, column->measurement, column->type, cells, digest);
    }
  }
}

/* --- the way in ---------------------------------------------------------------------------------
 */

static gboolean check_shape(const BucketPart *part, GError **error)
{
  const Table *table = part->table;
  if (part->version.hlc == 0 || part->version.origin == 0 || part->version.origin > LIMIT_NODE_ID)
    return fail(error, SYNCLOG_INVALID, "a part of a bucket has no version");
  if (table->timestamps->len == 0 || table->timestamps->len > LIMIT_TABLET_ROWS ||
      table->columns->len == 0 || table->columns->len > LIMIT_TABLET_COLUMNS)
    return fail(error, SYNCLOG_INVALID, "a part of a bucket has %u rows and %u columns",
                table->timestamps->len, table->columns->len);
  return TRUE;
}

static gboolean check_columns(const BucketPart *part, GError **error)
{
  const GPtrArray *columns = part->table->columns;
  g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < columns->len; i++) {
    const Column *column = columns->pdata[i];
    const char *name = column->measurement;
    if (name == NULL || !decoded_is_name((const guint8 *)name, strlen(name)))
      return fail(error, SYNCLOG_INVALID, "a part of a bucket has a column without a proper name");
    if (!column_check(column, part->table->timestamps->len, error))
      return FALSE;
    /* One write may not give a measurement two types, so neither does one version. */
    if (!g_hash_table_add(names, column->measurement))
      return fail(error, SYNCLOG_INVALID, "measurement \"%s\" comes twice in a part of a bucket",
                  name);
  }
  return TRUE;
}

/* The times as the builder wants them. NULL: one lies outside. */
static guint8 *pack_times(const GArray *times, gint64 partition, guint64 interval, GError **error)
{
  g_autofree guint8 *packed = g_malloc((gsize)times->len * 8);
  for (guint i = 0; i < times->len; i++) {
    gint64 time = g_array_index(times, gint64, i);
    if (partition_of(time, interval) != partition) {
      fail(error, SYNCLOG_INVALID, "time %" G_GINT64_FORMAT " lies outside of the bucket", time);
      return NULL;
    }
    store_le64(packed + (gsize)i * 8, (guint64)time);
  }
  return g_steal_pointer(&packed);
}

Decoded *bucket_part_decode(const BucketPart *part, const char *device, gint64 partition,
                            guint64 partition_interval, GError **error)
{
  if (!check_shape(part, error) || !check_columns(part, error))
    return NULL;
  const GPtrArray *columns = part->table->columns;
  g_autofree guint8 *times =
      pack_times(part->table->timestamps, partition, partition_interval, error);
  if (times == NULL)
    return NULL;
  g_autofree BuilderColumn *packed = g_new0(BuilderColumn, columns->len);
  for (guint i = 0; i < columns->len; i++) {
    const Column *column = columns->pdata[i];
    packed[i] =
        (BuilderColumn){.measurement = {column->measurement, (guint)strlen(column->measurement)},
                        .type = column->type,
                        .values = column->values->data,
                        .values_size = column->values->len,
                        .nulls = column->nulls != NULL ? column->nulls->data : NULL,
                        .nulls_size = column->nulls != NULL ? column->nulls->len : 0};
  }
  Decoded *decoded = decoded_new(NULL, 0);
  builder_add_tablet(decoded, (Slice){device, (guint)strlen(device)}, part->version.ordinal, times,
                     part->table->timestamps->len, partition_interval, packed, columns->len);
  return decoded;
}
