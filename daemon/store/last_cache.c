#include "store/last_cache.h"

#include "store/block.h"

#include <string.h>

enum { DEVICE_SHARE = 4 }; /* of all memory that columns of one device have at most */

typedef struct Known {
  guint32 measurement;
  DataType type;
  gboolean known; /* FALSE: a reader looks; `cell` is what was applied since it began */
  LastCell cell;
} Known;

typedef struct Entry {
  guint32 device; /* the key */
  guint64 begun;  /* which entry it is: it never comes again */
  GArray *known;  /* Known, sorted by column */
  gsize bytes;
  GList link; /* in `order` */
} Entry;

struct LastCache {
  GMutex mutex;
  GHashTable *entries; /* Entry by its device */
  GQueue order;        /* Entry, the one that was asked for last first */
  gsize bytes, most;
  guint64 begun;
};

void last_cell_clear(LastCell *cell)
{
  g_clear_pointer(&cell->text, g_bytes_unref);
}

static void cell_clear(gpointer data)
{
  last_cell_clear(data);
}

void last_cell_set(LastCell *cell, DataType type, gint64 time, const Version *version,
                   const guint8 *value, gsize size)
{
  last_cell_clear(cell);
  *cell = (LastCell){.found = TRUE, .time = time, .version = *version};
  if (type == DATA_TEXT)
    cell->text = g_bytes_new(value, size);
  else
    memcpy(cell->number, value, size);
}

static void known_clear(gpointer data)
{
  last_cell_clear(&((Known *)data)->cell);
}

static void entry_free(gpointer data)
{
  Entry *entry = data;
  g_array_unref(entry->known);
  g_free(entry);
}

LastCache *last_cache_new(gsize bytes)
{
  LastCache *cache = g_new0(LastCache, 1);
  g_mutex_init(&cache->mutex);
  cache->entries = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, entry_free);
  cache->most = bytes;
  return cache;
}

void last_cache_free(LastCache *cache)
{
  g_hash_table_unref(cache->entries);
  g_mutex_clear(&cache->mutex);
  g_free(cache);
}

static Entry *find(const LastCache *cache, guint32 device)
{
  return g_hash_table_lookup(cache->entries, GUINT_TO_POINTER(device));
}

static void drop(LastCache *cache, Entry *entry)
{
  g_queue_unlink(&cache->order, &entry->link);
  cache->bytes -= entry->bytes;
  g_hash_table_remove(cache->entries, GUINT_TO_POINTER(entry->device));
}

/* After a change of the entry, which had `before` bytes, and may go by it. */
static void count(LastCache *cache, const Entry *entry, gsize before)
{
  cache->bytes += entry->bytes - before;
  while (cache->bytes > cache->most && cache->order.tail != NULL)
    drop(cache, cache->order.tail->data);
}

/* The column's place, or where it belongs. */
static guint place_of(const Entry *entry, guint32 measurement, DataType type)
{
  guint low = 0, high = entry->known->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const Known *one = &g_array_index(entry->known, Known, middle);
    if (one->measurement < measurement || (one->measurement == measurement && one->type < type))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static gsize text_bytes(const LastCell *cell)
{
  return cell->text != NULL ? g_bytes_get_size(cell->text) : 0;
}

static Known *known_of(const Entry *entry, guint32 measurement, DataType type)
{
  guint place = place_of(entry, measurement, type);
  if (place == entry->known->len)
    return NULL;
  Known *one = &g_array_index(entry->known, Known, place);
  return one->measurement == measurement && one->type == type ? one : NULL;
}

/* Whether a value of that time and version is later than the cell. */
static gboolean is_later(const LastCell *cell, gint64 time, const Version *version)
{
  return !cell->found || time > cell->time ||
         (time == cell->time && version_compare(version, &cell->version) > 0);
}

static void copy_cell(const LastCell *cell, LastCell *out)
{
  *out = *cell;
  if (cell->text != NULL)
    g_bytes_ref(cell->text);
}

/* --- readers ------------------------------------------------------------------------------------
 */

GArray *last_cache_get(LastCache *cache, guint32 device, const GArray *columns)
{
  GArray *cells = g_array_new(FALSE, TRUE, sizeof(LastCell));
  g_array_set_clear_func(cells, cell_clear);
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  gboolean all = entry != NULL;
  for (guint i = 0; all && i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    const Known *one = known_of(entry, column->measurement, column->type);
    all = one != NULL && one->known;
    if (!all)
      break;
    LastCell cell;
    copy_cell(&one->cell, &cell);
    g_array_append_val(cells, cell);
  }
  if (all) {
    g_queue_unlink(&cache->order, &entry->link);
    g_queue_push_head_link(&cache->order, &entry->link);
  }
  g_mutex_unlock(&cache->mutex);
  if (!all)
    g_clear_pointer(&cells, g_array_unref);
  return cells;
}

static int compare_known(gconstpointer a, gconstpointer b)
{
  const Known *x = a, *y = b;
  if (x->measurement != y->measurement)
    return x->measurement < y->measurement ? -1 : 1;
  return x->type < y->type ? -1 : x->type > y->type;
}

/* The columns that the entry (NULL: there is none) does not have yet, sorted; each is there once.
 */
static GArray *missing_columns(const Entry *entry, const GArray *columns)
{
  GArray *missing = g_array_new(FALSE, FALSE, sizeof(Known));
  for (guint i = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    if (entry != NULL && known_of(entry, column->measurement, column->type) != NULL)
      continue;
    Known fresh = {.measurement = column->measurement, .type = column->type};
    g_array_append_val(missing, fresh);
  }
  g_array_sort(missing, compare_known);
  guint kept = 0;
  for (guint i = 0; i < missing->len; i++) {
    const Known *one = &g_array_index(missing, Known, i);
    if (kept == 0 || compare_known(one, &g_array_index(missing, Known, kept - 1)) != 0)
      g_array_index(missing, Known, kept++) = *one;
  }
  g_array_set_size(missing, kept);
  return missing;
}

/* Joins two sorted lists, from behind, so that each column is moved once. */
static void add_missing(Entry *entry, const GArray *missing)
{
  guint old = entry->known->len, left = missing->len;
  g_array_set_size(entry->known, old + left);
  Known *known = (Known *)(void *)entry->known->data;
  while (left > 0) {
    const Known *last = &g_array_index(missing, Known, left - 1);
    guint to = old + left - 1;
    if (old > 0 && compare_known(&known[old - 1], last) > 0)
      known[to] = known[--old];
    else
      known[to] = *last, left--;
  }
  entry->bytes += missing->len * sizeof(Known);
}

static Entry *add_entry(LastCache *cache, guint32 device)
{
  Entry *entry = g_new0(Entry, 1);
  entry->device = device;
  entry->begun = ++cache->begun;
  entry->bytes = sizeof *entry;
  entry->known = g_array_new(FALSE, TRUE, sizeof(Known));
  g_array_set_clear_func(entry->known, known_clear);
  entry->link.data = entry;
  g_hash_table_insert(cache->entries, GUINT_TO_POINTER(device), entry);
  g_queue_push_head_link(&cache->order, &entry->link);
  cache->bytes += entry->bytes;
  return entry;
}

guint64 last_cache_begin(LastCache *cache, guint32 device, const GArray *columns)
{
  guint most = (guint)(cache->most / DEVICE_SHARE / sizeof(Known));
  if (columns->len > most)
    return 0;
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  g_autoptr(GArray) missing = missing_columns(entry, columns);
  guint64 begun = 0;
  if (missing->len + (entry != NULL ? entry->known->len : 0) <= most) {
    if (entry == NULL)
      entry = add_entry(cache, device);
    gsize before = entry->bytes;
    begun = entry->begun;
    add_missing(entry, missing);
    count(cache, entry, before);
  }
  g_mutex_unlock(&cache->mutex);
  return begun;
}

void last_cache_end(LastCache *cache, guint32 device, guint64 begun, const GArray *columns,
                    const GArray *cells)
{
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  if (entry != NULL && entry->begun == begun) {
    gsize before = entry->bytes;
    for (guint i = 0; i < columns->len; i++) {
      const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
      const LastCell *cell = &g_array_index(cells, LastCell, i);
      Known *one = known_of(entry, column->measurement, column->type);
      if (one == NULL)
        continue;
      one->known = TRUE;
      if (!cell->found || !is_later(&one->cell, cell->time, &cell->version))
        continue;
      entry->bytes += text_bytes(cell) - text_bytes(&one->cell);
      last_cell_clear(&one->cell);
      copy_cell(cell, &one->cell);
    }
    count(cache, entry, before);
  }
  g_mutex_unlock(&cache->mutex);
}

/* --- applying -----------------------------------------------------------------------------------
 */

/* Its last row that has a value. FALSE: there is none. */
static gboolean last_row(const Block *block, const BlockColumn *column, guint *out_row)
{
  for (guint row = block->rows; row-- > 0;) {
    *out_row = row;
    if (!block_is_null(column, row))
      return TRUE;
  }
  return FALSE;
}

/* FALSE: what became the last value is hidden by a delete, so it is not known any more which is. */
static gboolean add_column(Entry *entry, const Block *block, const BlockColumn *column,
                           const Version *version, const Tombstones *tombstones)
{
  guint row;
  Known *one = known_of(entry, column->measurement, column->type);
  if (one == NULL || !last_row(block, column, &row))
    return TRUE;
  gint64 time = block_time(block, row);
  if (!is_later(&one->cell, time, version))
    return TRUE;
  if (tombstones_hide(tombstones, entry->device, column->measurement, time, version))
    return FALSE;
  gsize size;
  const guint8 *value = block_value(block, column, row, &size);
  gsize text = text_bytes(&one->cell);
  last_cell_set(&one->cell, column->type, time, version, value, size);
  entry->bytes += text_bytes(&one->cell) - text;
  return TRUE;
}

void last_cache_add_block(LastCache *cache, guint32 device, const Version *version,
                          const guint8 *bytes, gsize size, const Tombstones *tombstones)
{
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  Block block;
  if (entry != NULL) {
    gboolean good = block_open(bytes, size, &block, NULL) && block.versions == NULL;
    guint cursor = 0;
    gsize data_at = 0, before = entry->bytes;
    BlockColumn column;
    while (good && block_next_column(&block, &cursor, &data_at, &column))
      good = add_column(entry, &block, &column, version, tombstones);
    count(cache, entry, before);
    entry = find(cache, device);
    if (!good && entry != NULL)
      drop(cache, entry);
  }
  g_mutex_unlock(&cache->mutex);
}

void last_cache_add_delete(LastCache *cache, guint32 device, const Tombstone *tombstone)
{
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  gboolean hides = FALSE;
  for (guint i = 0; entry != NULL && !hides && i < entry->known->len; i++) {
    const Known *one = &g_array_index(entry->known, Known, i);
    /* While a reader looks, it may have seen what is hidden now. */
    hides = tombstone_names(tombstone, one->measurement) &&
            (!one->known || (one->cell.found && tombstone->start_time <= one->cell.time &&
                             one->cell.time <= tombstone->end_time &&
                             version_compare(&tombstone->version, &one->cell.version) > 0));
  }
  if (hides)
    drop(cache, entry);
  g_mutex_unlock(&cache->mutex);
}

void last_cache_forget(LastCache *cache, guint32 device)
{
  g_mutex_lock(&cache->mutex);
  Entry *entry = find(cache, device);
  if (entry != NULL)
    drop(cache, entry);
  g_mutex_unlock(&cache->mutex);
}

gsize last_cache_bytes(LastCache *cache)
{
  g_mutex_lock(&cache->mutex);
  gsize bytes = cache->bytes;
  g_mutex_unlock(&cache->mutex);
  return bytes;
}
