/*
 * The store in plain memory: the reference that the one in RocksDB is compared with in tests. It is
 * written to be obviously right, not to be fast: one tree of cells per column, deletes as a list
 * that each read goes through, one lock around everything.
 */
#include "store/mem_private.h"

#include "store/block.h"
#include "store/decoded.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>

static MemStore *mem_of(Store *store)
{
  return (MemStore *)store;
}

static int compare_strings(gconstpointer a, gconstpointer b, gpointer data)
{
  (void)data;
  return strcmp(a, b);
}

static int compare_times(gconstpointer a, gconstpointer b, gpointer data)
{
  (void)data;
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
  return x < y ? -1 : x > y;
}

static void cell_free(gpointer data)
{
  MemCell *cell = data;
  g_bytes_unref(cell->value);
  g_free(cell);
}

static void column_clear(gpointer data)
{
  MemColumn *column = data;
  g_free(column->device);
  g_free(column->measurement);
  g_tree_unref(column->cells);
  g_free(column);
}

static void delete_clear(gpointer data)
{
  MemDelete *delete = data;
  g_free(delete->device);
  g_clear_pointer(&delete->measurements, g_ptr_array_unref);
}

/* Names have no control characters in them, so the keys sort as the names do. */
static char *column_key(const char *device, const char *measurement, int type)
{
  return g_strdup_printf("%s\001%s\001%d", device, measurement, type);
}

static char *slice_dup(Slice slice)
{
  return g_strndup(slice.bytes, slice.size);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static MemColumn *find_column(MemStore *store, const char *device, const char *measurement,
                              int type)
{
  g_autofree char *key = column_key(device, measurement, type);
  return g_tree_lookup(store->columns, key);
}

MemColumn *mem_put_column(MemStore *store, const char *device, const char *measurement,
                          DataType type, const Version *version)
{
  MemColumn *column = find_column(store, device, measurement, (int)type);
  if (column == NULL) {
    column = g_new0(MemColumn, 1);
    *column = (MemColumn){.device = g_strdup(device),
                          .measurement = g_strdup(measurement),
                          .type = type,
                          .oldest = *version,
                          .cells = g_tree_new_full(compare_times, NULL, NULL, cell_free)};
    g_tree_insert(store->columns, column_key(device, measurement, (int)type), column);
    mem_note_type(store, column);
  }
  if (version_compare(version, &column->oldest) < 0)
    column->oldest = *version;
  return column;
}

MemCell *mem_cell_new(gint64 time, const Version *version, const guint8 *value, gsize size)
{
  MemCell *cell = g_new0(MemCell, 1);
  *cell = (MemCell){.time = time, .version = *version, .value = g_bytes_new(value, size)};
  return cell;
}

static void put_cell(MemStore *store, MemColumn *column, gint64 time, const Version *version,
                     const guint8 *value, gsize size)
{
  MemCell *cell = mem_cell_new(time, version, value, size);
  mem_note_cell(store, column, cell);
  const MemCell *old = g_tree_lookup(column->cells, &time);
  if (old != NULL && version_compare(&old->version, version) > 0)
    cell_free(cell);
  else
    g_tree_replace(column->cells, &cell->time, cell);
}

/* Whether a later row of the block has a value of the same time: then that is the write's value. */
static gboolean is_overwritten(const Block *block, const BlockColumn *packed, guint row)
{
  for (guint later = row + 1;
       later < block->rows && block_time(block, later) == block_time(block, row); later++)
    if (!block_is_null(packed, later))
      return TRUE;
  return FALSE;
}

static void put_block(MemStore *store, const StoreEntry *entry, const DecodedBlock *from)
{
  const Decoded *decoded = entry->decoded;
  Version version = {entry->hlc, entry->log.origin, from->ordinal};
  g_autofree char *device = slice_dup(from->device);
  Block block;
  gboolean opened =
      block_open(decoded->values->data + from->value_at, from->value_size, &block, NULL);
  g_assert(opened);
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn packed;
  for (guint i = 0; block_next_column(&block, &cursor, &data_at, &packed); i++) {
    g_autofree char *measurement = slice_dup(
        g_array_index(decoded->columns, DecodedColumn, from->first_column + i).measurement);
    MemColumn *column = mem_put_column(store, device, measurement, packed.type, &version);
    for (guint row = 0; row < block.rows; row++) {
      gsize size;
      if (block_is_null(&packed, row) || is_overwritten(&block, &packed, row))
        continue;
      const guint8 *value = block_value(&block, &packed, row, &size);
      put_cell(store, column, block_time(&block, row), &version, value, size);
      store->unpersisted++;
    }
  }
}

static void put_delete(MemStore *store, const StoreEntry *entry, const DecodedDelete *from)
{
  MemDelete delete = {.device = slice_dup(from->device),
                      .start_time = from->start_time,
                      .end_time = from->end_time,
                      .version = {entry->hlc, entry->log.origin, from->ordinal}};
  if (from->name_count > 0)
    delete.measurements = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < from->name_count; i++)
    g_ptr_array_add(delete.measurements,
                    slice_dup(g_array_index(entry->decoded->names, Slice, from->first_name + i)));
  mem_note_delete(store, &delete);
  g_array_append_val(store->deletes, delete);
}

static int compare_progress(gconstpointer a, gconstpointer b)
{
  const StoreProgress *x = a, *y = b;
  return log_id_compare(&x->log, &y->log);
}

static StoreProgress *find_progress(MemStore *store, LogId log)
{
  for (guint i = 0; i < store->progress->len; i++)
    if (log_id_equal(g_array_index(store->progress, StoreProgress, i).log, log))
      return &g_array_index(store->progress, StoreProgress, i);
  StoreProgress fresh = {.log = log};
  g_array_append_val(store->progress, fresh);
  g_array_sort(store->progress, compare_progress);
  return find_progress(store, log);
}

static gboolean mem_apply(Store *parent, const StoreEntry *entries, guint count, GError **error)
{
  (void)error;
  MemStore *store = mem_of(parent);
  g_mutex_lock(&store->mutex);
  for (guint i = 0; i < count; i++) {
    const StoreEntry *entry = &entries[i];
    StoreProgress *progress = find_progress(store, entry->log);
    if (entry->index <= progress->applied)
      continue;
    g_assert(entry->index == progress->applied + 1);
    const Decoded *decoded = entry->decoded;
    for (guint k = 0; k < decoded->deletes->len; k++)
      put_delete(store, entry, &g_array_index(decoded->deletes, DecodedDelete, k));
    for (guint k = 0; k < decoded->blocks->len; k++)
      put_block(store, entry, &g_array_index(decoded->blocks, DecodedBlock, k));
    if (decoded->has_key) {
      WriteKey key = {.log = entry->log, .index = entry->index, .hlc = entry->hlc}, dropped;
      gboolean drops;
      memcpy(key.hash, decoded->key_hash, sizeof key.hash);
      write_keys_add(store->keys, &key, &dropped, &drops);
    }
    progress->applied = entry->index;
    progress->hlc = entry->hlc;
  }
  g_mutex_unlock(&store->mutex);
  return TRUE;
}

/* The measurement's type: that of its oldest column; 0 when there is none. */
static int valid_type(MemStore *store, const char *device, const char *measurement)
{
  const MemColumn *oldest = NULL;
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++) {
    const MemColumn *column = find_column(store, device, measurement, type);
    if (column != NULL && (oldest == NULL || version_compare(&column->oldest, &oldest->oldest) < 0))
      oldest = column;
  }
  return oldest != NULL ? (int)oldest->type : 0;
}

static gboolean mem_find_key(Store *store, const guint8 hash[WRITE_KEY_HASH_SIZE],
                             WriteKey *out_key)
{
  return write_keys_find(mem_of(store)->keys, hash, out_key);
}

static gboolean mem_reserve(Store *parent, const Decoded *decoded, GError **error)
{
  MemStore *store = mem_of(parent);
  g_autoptr(GHashTable) fresh = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  gboolean agrees = TRUE;
  g_mutex_lock(&store->mutex);
  for (guint i = 0; agrees && i < decoded->blocks->len; i++) {
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    g_autofree char *device = slice_dup(block->device);
    for (guint k = 0; agrees && k < block->column_count; k++) {
      const DecodedColumn *column =
          &g_array_index(decoded->columns, DecodedColumn, block->first_column + k);
      g_autofree char *measurement = slice_dup(column->measurement);
      g_autofree char *key = column_key(device, measurement, 0);
      int wanted = valid_type(store, device, measurement);
      if (wanted == 0)
        wanted = GPOINTER_TO_INT(g_hash_table_lookup(store->reserved, key));
      if (wanted == 0)
        wanted = GPOINTER_TO_INT(g_hash_table_lookup(fresh, key));
      if (wanted == 0)
        g_hash_table_insert(fresh, g_steal_pointer(&key), GINT_TO_POINTER((int)column->type));
      else if (wanted != (int)column->type)
        agrees =
            fail(error, SYNCLOG_TYPE_MISMATCH, "device \"%s\", measurement \"%s\" is %s, not %s",
                 device, measurement, data_type_name(wanted), data_type_name((int)column->type));
    }
  }
  GHashTableIter iter;
  gpointer key, type;
  g_hash_table_iter_init(&iter, fresh);
  while (agrees && g_hash_table_iter_next(&iter, &key, &type))
    g_hash_table_insert(store->reserved, g_strdup(key), type);
  g_mutex_unlock(&store->mutex);
  return agrees;
}

static gboolean mem_persist(Store *parent, gboolean wait, GError **error)
{
  (void)wait, (void)error;
  MemStore *store = mem_of(parent);
  g_mutex_lock(&store->mutex);
  g_array_unref(store->persisted);
  store->persisted = g_array_copy(store->progress);
  store->unpersisted = 0;
  g_mutex_unlock(&store->mutex);
  return TRUE;
}

/* --- reading ------------------------------------------------------------------------------------
 */

gboolean mem_deletes_measurement(const MemDelete *delete, const char *measurement)
{
  for (guint i = 0; delete->measurements != NULL && i < delete->measurements->len; i++)
    if (strcmp(delete->measurements->pdata[i], measurement) == 0)
      return TRUE;
  return delete->measurements == NULL;
}

const Version *mem_newest_delete(MemStore *store, const MemColumn *column, gint64 time)
{
  const Version *newest = NULL;
  for (guint i = 0; i < store->deletes->len; i++) {
    const MemDelete *delete = &g_array_index(store->deletes, MemDelete, i);
    if (delete->start_time <= time && time <= delete->end_time &&
        (newest == NULL || version_compare(&delete->version, newest) > 0) &&
        strcmp(delete->device, column->device) == 0 &&
        mem_deletes_measurement(delete, column->measurement))
      newest = &delete->version;
  }
  return newest;
}

static gboolean is_visible(MemStore *store, const MemColumn *column, const MemCell *cell)
{
  const Version *newest = mem_newest_delete(store, column, cell->time);
  return newest == NULL || version_compare(newest, &cell->version) <= 0;
}

/* The visible cells of a range, ascending. Borrowed from the column. */
GPtrArray *mem_visible_cells(MemStore *store, const MemColumn *column, gint64 start_time,
                             gint64 end_time)
{
  GPtrArray *cells = g_ptr_array_new();
  for (GTreeNode *node = g_tree_node_first(column->cells); node != NULL;
       node = g_tree_node_next(node)) {
    MemCell *cell = g_tree_node_value(node);
    if (start_time <= cell->time && cell->time <= end_time && is_visible(store, column, cell))
      g_ptr_array_add(cells, cell);
  }
  return cells;
}

static int compare_validity(gconstpointer a, gconstpointer b, gpointer data)
{
  MemStore *store = data;
  const MemColumn *x = *(MemColumn *const *)a, *y = *(MemColumn *const *)b;
  int order = strcmp(x->measurement, y->measurement);
  if (order != 0)
    return order;
  int valid = valid_type(store, x->device, x->measurement);
  if ((int)x->type == valid || (int)y->type == valid)
    return (int)x->type == valid ? -1 : 1;
  return (int)x->type - (int)y->type;
}

/* The device's columns (MemColumn) as readers see them. */
GPtrArray *mem_columns_of(MemStore *store, const char *device, const char *const *measurements)
{
  GPtrArray *columns = g_ptr_array_new();
  for (GTreeNode *node = g_tree_node_first(store->columns); node != NULL;
       node = g_tree_node_next(node)) {
    MemColumn *column = g_tree_node_value(node);
    if (strcmp(column->device, device) == 0 &&
        (measurements == NULL || g_strv_contains(measurements, column->measurement)))
      g_ptr_array_add(columns, column);
  }
  g_ptr_array_sort_with_data(columns, compare_validity, store);
  return columns;
}

/* All times at which any of the columns has a visible value, in the query's order. */
static GArray *times_of(MemStore *store, const GPtrArray *columns, const Query *query)
{
  g_autoptr(GTree) times = g_tree_new_full(compare_times, NULL, NULL, NULL);
  for (guint i = 0; i < columns->len; i++) {
    g_autoptr(GPtrArray) cells =
        mem_visible_cells(store, columns->pdata[i], query->start_time, query->end_time);
    for (guint k = 0; k < cells->len; k++)
      g_tree_insert(times, &((MemCell *)cells->pdata[k])->time, cells->pdata[k]);
  }
  GArray *sorted = g_array_new(FALSE, FALSE, sizeof(gint64));
  for (GTreeNode *node = query->descending ? g_tree_node_last(times) : g_tree_node_first(times);
       node != NULL; node = query->descending ? g_tree_node_previous(node) : g_tree_node_next(node))
    g_array_append_vals(sorted, g_tree_node_key(node), 1);
  return sorted;
}

/* How many of the times the page says were given already. */
static gboolean skip_page(const Query *query, const GArray *times, guint *out_skip, GError **error)
{
  *out_skip = 0;
  if (query->page == NULL)
    return TRUE;
  gsize size;
  const char *page = g_bytes_get_data(query->page, &size);
  if (size != 9 || page[0] != (query->descending ? 'd' : 'a'))
    return fail(error, SYNCLOG_INVALID, "page: not one that this query was given");
  gint64 last = (gint64)load_be64(page + 1);
  while (*out_skip < times->len) {
    gint64 time = g_array_index(times, gint64, *out_skip);
    if (query->descending ? time < last : time > last)
      break;
    (*out_skip)++;
  }
  return TRUE;
}

/* Appends the row; gives its bytes. */
static gsize append_row(MemStore *store, const GPtrArray *columns, gint64 time, Table *table)
{
  gsize bytes = sizeof time;
  g_array_append_val(table->timestamps, time);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    const MemCell *cell = g_tree_lookup(column->cells, &time);
    if (cell == NULL || !is_visible(store, column, cell)) {
      column_append_null(table->columns->pdata[i]);
      bytes += 8;
      continue;
    }
    gsize size;
    const void *value = g_bytes_get_data(cell->value, &size);
    column_append(table->columns->pdata[i], value, size);
    bytes += size + 4;
  }
  return bytes;
}

static void take_rows(MemStore *store, const Query *query, const GPtrArray *columns,
                      const GArray *times, guint skip, Table *table)
{
  gsize bytes = 0;
  for (guint i = skip; i < times->len; i++) {
    if (table->timestamps->len == query->limit || bytes >= LIMIT_QUERY_BYTES / 2) {
      guint8 page[9] = {query->descending ? 'd' : 'a'};
      store_be64(page + 1, (guint64)g_array_index(times, gint64, i - 1));
      table->next_page = g_bytes_new(page, sizeof page);
      return;
    }
    bytes += append_row(store, columns, g_array_index(times, gint64, i), table);
  }
}

static Table *mem_query(Store *parent, const Query *query, GError **error)
{
  MemStore *store = mem_of(parent);
  g_autoptr(Table) table = table_new();
  g_mutex_lock(&store->mutex);
  g_autoptr(GPtrArray) columns = mem_columns_of(store, query->device, query->measurements);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    g_ptr_array_add(table->columns, column_new(column->measurement, column->type));
  }
  g_autoptr(GArray) times = times_of(store, columns, query);
  guint skip;
  gboolean good = skip_page(query, times, &skip, error);
  if (good)
    take_rows(store, query, columns, times, skip, table);
  g_mutex_unlock(&store->mutex);
  for (guint i = 0; i < table->columns->len; i++)
    column_finish(table->columns->pdata[i]);
  return good ? g_steal_pointer(&table) : NULL;
}

static GPtrArray *mem_last(Store *parent, const char *device, const char *const *measurements,
                           GError **error)
{
  (void)error;
  MemStore *store = mem_of(parent);
  GPtrArray *values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  g_mutex_lock(&store->mutex);
  g_autoptr(GPtrArray) columns = mem_columns_of(store, device, measurements);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    g_autoptr(GPtrArray) cells = mem_visible_cells(store, column, G_MININT64, G_MAXINT64);
    if (cells->len == 0)
      continue;
    const MemCell *cell = cells->pdata[cells->len - 1];
    LastValue *last = g_new0(LastValue, 1);
    last->measurement = g_strdup(column->measurement);
    last->timestamp = cell->time;
    value_unpack(column->type, g_bytes_get_data(cell->value, NULL), g_bytes_get_size(cell->value),
                 &last->value);
    g_ptr_array_add(values, last);
  }
  g_mutex_unlock(&store->mutex);
  return values;
}

/* -1, 0, 1; 2 when they can't be ordered. */
static int compare_values(const Value *a, const Value *b)
{
  switch (a->type) {
  case DATA_BOOLEAN:
    return (a->boolean > b->boolean) - (a->boolean < b->boolean);
  case DATA_INT32:
    return (a->int32 > b->int32) - (a->int32 < b->int32);
  case DATA_INT64:
    return (a->int64 > b->int64) - (a->int64 < b->int64);
  case DATA_FLOAT:
    if (isnan(a->float32) || isnan(b->float32))
      return 2;
    return (a->float32 > b->float32) - (a->float32 < b->float32);
  case DATA_DOUBLE:
    if (isnan(a->float64) || isnan(b->float64))
      return 2;
    return (a->float64 > b->float64) - (a->float64 < b->float64);
  case DATA_TEXT:
    break;
  }
  return 2;
}

static double number_of(const Value *value)
{
  switch (value->type) {
  case DATA_BOOLEAN:
    return value->boolean;
  case DATA_INT32:
    return value->int32;
  case DATA_INT64:
    return (double)value->int64;
  case DATA_FLOAT:
    return (double)value->float32;
  case DATA_DOUBLE:
    return value->float64;
  case DATA_TEXT:
    break;
  }
  return 0;
}

/* A window over cells[begin .. end). */
static Window fold(const MemColumn *column, const GPtrArray *cells, guint begin, guint end)
{
  Window window = {.count = end - begin};
  Value least = {.type = DATA_BOOLEAN}, greatest = {.type = DATA_BOOLEAN};
  for (guint i = begin; i < end; i++) {
    const MemCell *cell = cells->pdata[i];
    Value value;
    value_unpack(column->type, g_bytes_get_data(cell->value, NULL), g_bytes_get_size(cell->value),
                 &value);
    if (i == begin) {
      window.first_time = cell->time;
      value_copy(&value, &window.first);
    }
    if (i + 1 == end) {
      window.last_time = cell->time;
      value_copy(&value, &window.last);
    }
    window.sum += number_of(&value);
    if (column->type != DATA_TEXT) {
      /* The first that can be ordered takes the place of those that can't. */
      if (i == begin ||
          (compare_values(&least, &least) != 0 && compare_values(&value, &value) == 0))
        least = greatest = value;
      if (compare_values(&value, &least) == -1)
        least = value;
      if (compare_values(&value, &greatest) == 1)
        greatest = value;
    }
    value_clear(&value);
  }
  window.min = least;
  window.max = greatest;
  window.avg = window.sum / (double)window.count;
  return window;
}

/* Which window a time is in, by arithmetic that can't overflow. */
static unsigned __int128 window_of(const AggregateQuery *query, gint64 time)
{
  return query->window == 0
             ? 0
             : (unsigned __int128)((__int128)time - query->start_time) / query->window;
}

static void fold_all(const AggregateQuery *query, const MemColumn *column, const GPtrArray *cells,
                     Aggregate *aggregate)
{
  for (guint begin = 0, end; begin < cells->len; begin = end) {
    unsigned __int128 number = window_of(query, ((MemCell *)cells->pdata[begin])->time);
    for (end = begin; end < cells->len; end++)
      if (window_of(query, ((MemCell *)cells->pdata[end])->time) != number)
        break;
    gint64 start_time = (gint64)(query->start_time + (__int128)(number * query->window));
    if (aggregate->windows->len == query->limit) {
      aggregate->more = TRUE;
      aggregate->next_start_time = start_time;
      return;
    }
    Window window = fold(column, cells, begin, end);
    window.start_time = start_time;
    g_array_append_val(aggregate->windows, window);
  }
}

static Aggregate *mem_aggregate(Store *parent, const AggregateQuery *query, GError **error)
{
  (void)error;
  MemStore *store = mem_of(parent);
  const char *const names[] = {query->measurement, NULL};
  Aggregate *aggregate = aggregate_new();
  aggregate->type = DATA_DOUBLE;
  g_mutex_lock(&store->mutex);
  g_autoptr(GPtrArray) columns = mem_columns_of(store, query->device, names);
  if (columns->len > 0) {
    const MemColumn *column = columns->pdata[0];
    aggregate->type = column->type;
    g_autoptr(GPtrArray) cells =
        mem_visible_cells(store, column, query->start_time, query->end_time);
    fold_all(query, column, cells, aggregate);
  }
  g_mutex_unlock(&store->mutex);
  return aggregate;
}

static Device *describe_device(MemStore *store, const char *name)
{
  Device *device = g_new0(Device, 1);
  device->name = g_strdup(name);
  device->measurements = g_array_new(FALSE, FALSE, sizeof(Measurement));
  g_autoptr(GPtrArray) columns = mem_columns_of(store, name, NULL);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    Measurement measurement = {g_strdup(column->measurement), column->type,
                               (int)column->type != valid_type(store, name, column->measurement)};
    g_array_append_val(device->measurements, measurement);
  }
  return device;
}

GPtrArray *mem_series(Store *parent, const char *prefix, const char *after, guint limit,
                      gboolean *out_more, GError **error)
{
  (void)error;
  MemStore *store = mem_of(parent);
  GPtrArray *devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  *out_more = FALSE;
  g_mutex_lock(&store->mutex);
  const char *before = NULL;
  for (GTreeNode *node = g_tree_node_first(store->columns); node != NULL;
       node = g_tree_node_next(node)) {
    const MemColumn *column = g_tree_node_value(node);
    if (g_strcmp0(column->device, before) == 0 ||
        (prefix != NULL && !g_str_has_prefix(column->device, prefix)) ||
        (after != NULL && strcmp(column->device, after) <= 0))
      continue;
    before = column->device;
    if (devices->len == limit) {
      *out_more = TRUE;
      break;
    }
    g_ptr_array_add(devices, describe_device(store, column->device));
  }
  g_mutex_unlock(&store->mutex);
  return devices;
}

static GArray *mem_progress(Store *parent, gboolean durable, GError **error)
{
  (void)error;
  MemStore *store = mem_of(parent);
  g_mutex_lock(&store->mutex);
  GArray *progress = g_array_copy(store->progress);
  for (guint i = 0; durable && i < progress->len; i++) {
    StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    one->applied = one->hlc = 0;
    for (guint k = 0; k < store->persisted->len; k++) {
      const StoreProgress *then = &g_array_index(store->persisted, StoreProgress, k);
      if (log_id_equal(then->log, one->log))
        *one = *then;
    }
  }
  g_mutex_unlock(&store->mutex);
  return progress;
}

static guint64 mem_unpersisted(Store *parent)
{
  MemStore *store = mem_of(parent);
  g_mutex_lock(&store->mutex);
  guint64 bytes = store->unpersisted * sizeof(MemCell);
  g_mutex_unlock(&store->mutex);
  return bytes;
}

static void mem_stats(Store *parent, StoreStats *out_stats)
{
  MemStore *store = mem_of(parent);
  g_mutex_lock(&store->mutex);
  *out_stats = (StoreStats){.unpersisted_bytes = store->unpersisted * sizeof(MemCell)};
  mem_conflict_counts(store, &out_stats->conflicts);
  g_mutex_unlock(&store->mutex);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void mem_close(Store *parent)
{
  MemStore *store = mem_of(parent);
  g_tree_unref(store->columns);
  g_hash_table_unref(store->reserved);
  g_array_unref(store->deletes);
  g_array_unref(store->progress);
  g_array_unref(store->persisted);
  write_keys_free(store->keys);
  g_ptr_array_unref(store->conflicts);
  g_mutex_clear(&store->mutex);
  g_free(store);
}

static gboolean mem_checkpoint(Store *store, const char *directory, GArray **out_progress,
                               GError **error)
{
  (void)store;
  (void)out_progress;
  return fail(error, SYNCLOG_INVALID, "%s: a store in memory has no files to copy", directory);
}

static const StoreOps mem_ops = {.name = "memory",
                                 .close = mem_close,
                                 .reserve = mem_reserve,
                                 .apply = mem_apply,
                                 .progress = mem_progress,
                                 .persist = mem_persist,
                                 .query = mem_query,
                                 .last = mem_last,
                                 .aggregate = mem_aggregate,
                                 .series = mem_series,
                                 .digest = mem_digest,
                                 .digest_devices = mem_digest_devices,
                                 .digest_buckets = mem_digest_buckets,
                                 .bucket = mem_bucket,
                                 .mend = mem_mend,
                                 .maintain = mem_maintain,
                                 .carry_out = mem_maintain,
                                 .find_conflicts = mem_find_conflicts,
                                 .conflicts = mem_conflicts,
                                 .checkpoint = mem_checkpoint,
                                 .find_key = mem_find_key,
                                 .stats = mem_stats,
                                 .unpersisted = mem_unpersisted};

Store *store_mem_new(const StoreOptions *options)
{
  MemStore *store = g_new0(MemStore, 1);
  store->partition_interval = options->partition_interval;
  store->parent.ops = &mem_ops;
  g_mutex_init(&store->mutex);
  store->columns = g_tree_new_full(compare_strings, NULL, g_free, column_clear);
  store->reserved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  store->deletes = g_array_new(FALSE, FALSE, sizeof(MemDelete));
  g_array_set_clear_func(store->deletes, delete_clear);
  store->progress = g_array_new(FALSE, FALSE, sizeof(StoreProgress));
  store->keys = write_keys_new(LIMIT_WRITE_KEYS);
  store->persisted = g_array_new(FALSE, FALSE, sizeof(StoreProgress));
  store->conflicts = g_ptr_array_new_with_free_func((GDestroyNotify)conflict_free);
  return &store->parent;
}
