/*
 * Encoded writes into the store's decoder. What it accepts means what generated code reads out of
 * the same bytes, cell by cell; its blocks are as their reader wants them; it can be applied; and
 * the state that results is the same in whatever order the logs come.
 */
#include "rpc/flat.h"

#include "base/limits.h"
#include "fuzz/fuzz.h"
#include "store/block.h"
#include "store/decoded.h"
#include "support/write_builder.h"

#include "sl_types_types.h"

enum { WRITES_MOST = 8, LOGS = 3, INTERVAL = 100 };

/* --- cells, from two sides ----------------------------------------------------------------------
 */

static int compare_cells(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names may hold any character, so their sizes stand before them. */
static void add_cell(GPtrArray *cells, const char *device, gsize device_size,
                     const char *measurement, gsize measurement_size, int type, gint64 time,
                     const guint8 *value, gsize size)
{
  GString *out = g_string_new(NULL);
  g_string_append_printf(out, "%zu:%.*s %zu:%.*s %d %" G_GINT64_FORMAT " ", device_size,
                         (int)device_size, device, measurement_size, (int)measurement_size,
                         measurement, type, time);
  for (gsize i = 0; i < size; i++)
    g_string_append_printf(out, "%02x", value[i]);
  g_ptr_array_add(cells, g_string_free(out, FALSE));
}

/* The i-th column of the block's part, which has the block's columns in the same order. */
static void add_block(GPtrArray *cells, const Decoded *decoded, guint i)
{
  const DecodedBlock *each = &g_array_index(decoded->blocks, DecodedBlock, i);
  g_autofree guint8 *exact = g_memdup2(decoded->values->data + each->value_at, each->value_size);
  Block block;
  g_assert(block_open(exact, each->value_size, &block, NULL));
  g_assert(block.column_count == each->column_count);
  g_assert(block_time(&block, 0) == each->min_time);
  g_assert(block_time(&block, block.rows - 1) == each->max_time);
  guint cursor = 0;
  gsize at = 0;
  BlockColumn column;
  for (guint k = 0; block_next_column(&block, &cursor, &at, &column); k++) {
    const DecodedColumn *name =
        &g_array_index(decoded->columns, DecodedColumn, each->first_column + k);
    g_assert(name->type == column.type);
    for (guint row = 0; row < block.rows; row++) {
      gint64 time = block_time(&block, row);
      g_assert(row == 0 || block_time(&block, row - 1) <= time);
      g_assert(partition_of(time, INTERVAL) == each->partition);
      if (block_is_null(&column, row))
        continue;
      gsize size;
      const guint8 *value = block_value(&block, &column, row, &size);
      add_cell(cells, each->device.bytes, each->device.size, name->measurement.bytes,
               name->measurement.size, (int)column.type, time, value, size);
    }
  }
}

static GPtrArray *cells_of_blocks(const Decoded *decoded)
{
  GPtrArray *cells = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < decoded->blocks->len; i++)
    add_block(cells, decoded, i);
  g_ptr_array_sort(cells, compare_cells);
  return cells;
}

static void add_thrift_value(GPtrArray *cells, const SlTRow *row, guint i)
{
  const SlTValue *value = row->values->pdata[i];
  guint8 packed[8] = {0};
  const guint8 *bytes = packed;
  int type = 0;
  gsize size = 0;
  if (value->__isset_booleanValue) {
    type = DATA_BOOLEAN;
    packed[0] = value->booleanValue ? 1 : 0;
  } else if (value->__isset_int32Value) {
    type = DATA_INT32;
    store_le32(packed, (guint32)value->int32Value);
  } else if (value->__isset_int64Value) {
    type = DATA_INT64;
    store_le64(packed, (guint64)value->int64Value);
  } else if (value->__isset_floatValue) {
    type = DATA_FLOAT;
    float narrow = (float)value->floatValue;
    memcpy(packed, &narrow, sizeof narrow);
  } else if (value->__isset_doubleValue) {
    type = DATA_DOUBLE;
    memcpy(packed, &value->doubleValue, 8);
  } else {
    type = DATA_TEXT;
    bytes = (const guint8 *)value->textValue;
    size = strlen(value->textValue);
  }
  const char *measurement = row->measurements->pdata[i];
  add_cell(cells, row->device, strlen(row->device), measurement, strlen(measurement), type,
           row->timestamp, bytes, type == DATA_TEXT ? size : data_type_size((DataType)type));
}

static void add_thrift_column(GPtrArray *cells, const SlTTablet *tablet, const SlTColumn *column)
{
  gsize rows = (gsize)tablet->rowCount;
  gsize width = data_type_size((DataType)column->type);
  const guint8 *values = column->values->data;
  for (gsize row = 0; row < rows; row++) {
    if (column->__isset_nulls && column->nulls->data[row / 8] & 1u << row % 8)
      continue;
    const guint8 *value = values + row * width;
    gsize size = width;
    if (column->type == DATA_TEXT) {
      guint32 begin = load_le32(values + row * 4);
      value = values + (rows + 1) * 4 + begin;
      size = load_le32(values + row * 4 + 4) - begin;
    }
    add_cell(cells, tablet->device, strlen(tablet->device), column->measurement,
             strlen(column->measurement), (int)column->type,
             (gint64)load_le64(tablet->timestamps->data + row * 8), value, size);
  }
}

static GPtrArray *cells_of_thrift(const SlTWrite *write)
{
  GPtrArray *cells = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; write->__isset_rows && i < write->rows->len; i++) {
    const SlTRow *row = write->rows->pdata[i];
    for (guint k = 0; k < row->values->len; k++)
      add_thrift_value(cells, row, k);
  }
  for (guint i = 0; write->__isset_tablets && i < write->tablets->len; i++) {
    const SlTTablet *tablet = write->tablets->pdata[i];
    for (guint k = 0; k < tablet->columns->len; k++)
      add_thrift_column(cells, tablet, tablet->columns->pdata[k]);
  }
  g_ptr_array_sort(cells, compare_cells);
  return cells;
}

/* What is accepted is read by generated code too, and is the same there. */
static void compare_with_generated(const Decoded *decoded, const guint8 *bytes, gsize size)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  SlTWrite *write = g_object_new(SL_TYPE_T_WRITE, NULL);
  flat_begin_read(flat, bytes, size);
  g_autoptr(GError) error = NULL;
  gint32 read = thrift_struct_read((ThriftStruct *)write, (ThriftProtocol *)flat, &error);
  g_assert_no_error(error);
  g_assert(read >= 0 && flat_left(flat) == 0);
  g_assert(decoded->deletes->len == (write->__isset_deletes ? write->deletes->len : 0));
  g_autoptr(GPtrArray) ours = cells_of_blocks(decoded);
  g_autoptr(GPtrArray) theirs = cells_of_thrift(write);
  g_assert(ours->len == theirs->len && store_decoded_points(decoded) == ours->len);
  for (guint i = 0; i < ours->len; i++)
    g_assert_cmpstr(ours->pdata[i], ==, theirs->pdata[i]);
  g_object_unref(write);
}

/* --- applying -----------------------------------------------------------------------------------
 */

typedef struct Write {
  StoreEntry entry;
  guint8 *bytes;
  gsize size;
} Write;

static void write_clear(gpointer data)
{
  Write *write = data;
  g_clear_pointer(&write->entry.decoded, store_decoded_free);
  g_free(write->bytes);
}

static Decoded *decode(const guint8 *bytes, gsize size)
{
  g_autoptr(GError) error = NULL;
  Decoded *decoded = store_decode(bytes, size, INTERVAL, &error);
  g_assert((decoded == NULL) == (error != NULL));
  if (decoded == NULL)
    g_assert(error->code == SYNCLOG_INVALID || error->code == SYNCLOG_TOO_LARGE);
  return decoded;
}

static void apply_one(Store *store, const Write *write)
{
  StoreEntry entry = write->entry;
  g_autoptr(Decoded) decoded = decode(write->bytes, write->size);
  entry.decoded = decoded;
  g_autoptr(GError) error = NULL;
  gboolean applied = store_apply(store, &entry, 1, &error);
  g_assert_no_error(error);
  g_assert(applied);
}

/* One log after the other, or all of them mixed, as they came. */
static Store *apply_all(const GArray *writes, gboolean mixed)
{
  StoreOptions options = {.partition_interval = INTERVAL};
  Store *store = store_mem_new(&options);
  for (guint log = LOGS; log > 0; log--)
    for (guint i = 0; i < writes->len; i++) {
      const Write *write = &g_array_index(writes, Write, i);
      if (mixed ? log == 1 : write->entry.log.origin == log)
        apply_one(store, write);
    }
  return store;
}

static void compare_stores(Store *a, Store *b)
{
  StateDigest digests[2];
  Store *stores[2] = {a, b};
  for (guint i = 0; i < 2; i++) {
    g_autoptr(GArray) progress = NULL;
    g_assert(store_digest(stores[i], &(DigestScope){G_MAXUINT64}, &digests[i], &progress, NULL));
  }
  g_assert(digests[0].low == digests[1].low && digests[0].high == digests[1].high);
  g_assert(digests[0].cells == digests[1].cells && digests[0].devices == digests[1].devices);
}

/* All rows of a device, page by page. */
static guint64 count_cells(Store *store, const char *device, guint limit, gboolean descending)
{
  Query query = {.device = device,
                 .start_time = G_MININT64,
                 .end_time = G_MAXINT64,
                 .limit = limit,
                 .descending = descending};
  guint64 count = 0;
  g_autoptr(GBytes) page = NULL;
  do {
    query.page = page;
    g_autoptr(GError) error = NULL;
    g_autoptr(Table) table = store_query(store, &query, &error);
    g_assert_no_error(error);
    g_assert(table->timestamps->len <= limit);
    g_assert(table->next_page == NULL || table->timestamps->len > 0);
    for (guint i = 0; i < table->columns->len; i++) {
      const Column *column = table->columns->pdata[i];
      g_assert(column_check(column, table->timestamps->len, NULL));
      for (guint row = 0; row < column->rows; row++) {
        Value value;
        if (!column_get(column, row, &value))
          continue;
        count++;
        value_clear(&value);
      }
    }
    g_clear_pointer(&page, g_bytes_unref);
    page = g_steal_pointer(&table->next_page);
  } while (page != NULL);
  return count;
}

/* Queries find what the digest counts, whatever the pages. */
static void check_queries(Store *store)
{
  StateDigest digest;
  g_autoptr(GArray) progress = NULL;
  gboolean more = FALSE;
  g_assert(store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, NULL));
  g_autoptr(GPtrArray) devices = store_series(store, NULL, NULL, 1000, &more, NULL);
  guint64 whole = 0, paged = 0;
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    whole += count_cells(store, device->name, 1000, FALSE);
    paged += count_cells(store, device->name, 3, TRUE);
    g_autoptr(GPtrArray) last = store_last(store, device->name, NULL, NULL);
    g_assert(last != NULL && last->len <= device->measurements->len);
  }
  g_assert(whole == digest.cells && paged == digest.cells);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  g_autoptr(GArray) writes = g_array_new(FALSE, TRUE, sizeof(Write));
  g_array_set_clear_func(writes, write_clear);
  guint64 indices[LOGS] = {0}, hlc = 0;
  for (guint i = 0; i < WRITES_MOST && in.left > 0; i++) {
    guint head = fuzz_u8(&in);
    Write write = {.entry.log = {1 + head % LOGS, 17}};
    write.bytes = fuzz_part(&in, &write.size);
    write.entry.decoded = decode(write.bytes, write.size);
    if (write.entry.decoded == NULL) {
      write_clear(&write);
      continue;
    }
    compare_with_generated(write.entry.decoded, write.bytes, write.size);
    write.entry.index = ++indices[head % LOGS];
    /* Clocks grow along a log; between logs they may be equal. */
    hlc += head / LOGS % 2 + (head % LOGS == 0);
    write.entry.hlc = hlc + write.entry.index;
    g_array_append_val(writes, write);
  }
  if (writes->len == 0)
    return;
  g_autoptr(Store) one = apply_all(writes, FALSE);
  g_autoptr(Store) other = apply_all(writes, TRUE);
  compare_stores(one, other);
  check_queries(one);
}

/* --- seeds --------------------------------------------------------------------------------------
 */

static void add_write(GByteArray *out, guint head, TestWrite *write)
{
  g_autoptr(GByteArray) bytes = tw_end(write);
  seed_number(out, head, 1);
  seed_part(out, bytes->data, bytes->len);
}

static void seed_tablet(TestWrite *write)
{
  const gint64 times[] = {250, -5, 250, 101};
  g_autoptr(Column) number = column_new("d", DATA_DOUBLE);
  g_autoptr(Column) text = column_new("t", DATA_TEXT);
  g_autoptr(Column) flag = column_new("b", DATA_BOOLEAN);
  for (guint i = 0; i < 4; i++) {
    tw_append(number, &TW_FLOAT64(i * 0.5));
    tw_append(text, i == 2 ? NULL : &TW_TEXT("text"));
    tw_append(flag, &TW_BOOLEAN(i & 1));
  }
  column_finish(text);
  Column *columns[] = {number, text, flag};
  tw_tablet(write, "device", times, 4, columns, 3);
}

/* Rows of several partitions, in no order, with holes. */
static void seed_wide_tablet(TestWrite *write)
{
  enum { ROWS = 21 };
  gint64 times[ROWS];
  g_autoptr(Column) number = column_new("d", DATA_INT64);
  g_autoptr(Column) text = column_new("t", DATA_TEXT);
  for (guint i = 0; i < ROWS; i++) {
    times[i] = (gint64)(i * 13 % ROWS) * 17 - 30;
    tw_append(number, i % 3 == 0 ? NULL : &TW_INT64(i));
    tw_append(text, i % 5 == 2 ? NULL : i % 2 ? &TW_TEXT("odd") : &TW_TEXT("even, and longer"));
  }
  column_finish(text);
  Column *columns[] = {number, text};
  tw_tablet(write, "wide", times, ROWS, columns, 2);
}

void fuzz_seeds(void)
{
  const char *names[] = {"i", "l", "f"};
  const Value values[] = {TW_INT32(-1), TW_INT64(1), TW_FLOAT32(0.5f)};
  TestWrite write = {0};
  GByteArray *out = g_byte_array_new();
  tw_row(&write, "device", 5, 3, names, values);
  tw_row(&write, "device", 305, 3, names, values);
  tw_cell(&write, "other", -1, "t", TW_TEXT("x"));
  add_write(out, 0, &write);
  tw_delete(&write, "device", (const char *const[]){"i", "f", NULL}, 0, 100);
  tw_cell(&write, "device", 5, "i", TW_INT32(7));
  add_write(out, 1, &write);
  tw_delete(&write, "other", NULL, G_MININT64, G_MAXINT64);
  add_write(out, 2, &write);
  seed_end("rows", out);
  out = g_byte_array_new();
  seed_tablet(&write);
  add_write(out, 0, &write);
  tw_cell(&write, "device", 250, "d", TW_FLOAT64(9));
  tw_cell(&write, "device", 250, "d", TW_TEXT("of another type"));
  seed_tablet(&write);
  add_write(out, 4, &write);
  seed_end("tablets", out);
  out = g_byte_array_new();
  seed_wide_tablet(&write);
  add_write(out, 0, &write);
  seed_end("wide-tablet", out);
}
