/* Reads of the RocksDB store: partition by partition, merged by version. */
#include "store/answer.h"
#include "store/rocks_private.h"

#include "base/limits.h"

#include <string.h>

/* A walk over the partitions of one device. */
typedef struct Walk {
  RocksView view;
  rocksdb_iterator_t *iterator;
  guint32 device;
  gint64 start_time, end_time;
  gint64 first_partition, last_partition;
  gboolean descending, begun, ended;
  gint64 partition_index; /* of the partition loaded last */
  Partition *partition;
  GPtrArray *tombstones;             /* may be NULL */
  guint8 lower[1 + 4], upper[1 + 4]; /* bounds of the device's blocks */
} Walk;

/* *walk stays where it is until walk_close; with an error nothing is open. */
static gboolean walk_open(RocksStore *store, guint32 device, gint64 start_time, gint64 end_time,
                          gboolean descending, Walk *walk, GError **error)
{
  guint64 interval = store->options.partition_interval;
  *walk = (Walk){.device = device,
                 .start_time = start_time,
                 .end_time = end_time,
                 .first_partition = partition_of(start_time, interval),
                 .last_partition = partition_of(end_time, interval),
                 .descending = descending};
  if (!rocks_view_open(store, device, start_time, end_time, &walk->view, &walk->tombstones, error))
    return FALSE;
  walk->partition = partition_new();
  walk->lower[0] = walk->upper[0] = KEY_BLOCK;
  store_be32(walk->lower + 1, device);
  store_be32(walk->upper + 1, device + 1);
  rocksdb_readoptions_set_iterate_lower_bound(walk->view.read_options, (const char *)walk->lower,
                                              sizeof walk->lower);
  rocksdb_readoptions_set_iterate_upper_bound(walk->view.read_options, (const char *)walk->upper,
                                              sizeof walk->upper);
  walk->iterator = rocksdb_create_iterator(store->db, walk->view.read_options);
  return TRUE;
}

static void walk_close(Walk *walk)
{
  rocksdb_iter_destroy(walk->iterator);
  rocks_view_close(&walk->view);
  partition_free(walk->partition);
  g_clear_pointer(&walk->tombstones, g_ptr_array_unref);
}

gboolean rocks_iterator_ok(rocksdb_iterator_t *iterator, GError **error)
{
  char *message = NULL;
  rocksdb_iter_get_error(iterator, &message);
  return message == NULL || rocks_fail(error, message, "reading");
}

/* The partition of the block under the iterator, if it is one of the walk's. */
static gboolean partition_here(const Walk *walk, gint64 *out)
{
  if (!rocksdb_iter_valid(walk->iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(walk->iterator, &size);
  if (size != BLOCK_KEY_SIZE || key[0] != KEY_BLOCK || load_be32(key + 1) != walk->device)
    return FALSE;
  *out = key_unflip(load_be64(key + 5));
  return *out >= walk->first_partition && *out <= walk->last_partition;
}

static void seek_partition(Walk *walk, gint64 partition)
{
  guint8 key[BLOCK_PREFIX_SIZE];
  key_block_prefix(key, walk->device, partition);
  rocksdb_iter_seek(walk->iterator, (const char *)key, sizeof key);
}

/* Puts the iterator at the first block of the next partition that has any. */
static gboolean seek_next(Walk *walk, gint64 *out)
{
  if (!walk->descending) {
    gint64 from = walk->first_partition;
    if (walk->begun) {
      if (walk->partition_index >= walk->last_partition)
        return FALSE;
      from = walk->partition_index + 1;
    }
    seek_partition(walk, from);
    return partition_here(walk, out);
  }
  guint8 key[BLOCK_KEY_SIZE];
  key_block_prefix(key, walk->device, walk->begun ? walk->partition_index : walk->last_partition);
  /* Before this partition, or, at first, at the end of it. */
  memset(key + BLOCK_PREFIX_SIZE, walk->begun ? 0 : 0xFF, sizeof key - BLOCK_PREFIX_SIZE);
  rocksdb_iter_seek_for_prev(walk->iterator, (const char *)key, sizeof key);
  if (!partition_here(walk, out))
    return FALSE;
  seek_partition(walk, *out);
  return TRUE;
}

static gboolean is_below_cut(gconstpointer ctx, const Version *version)
{
  return version->hlc <= *(const guint64 *)ctx;
}

gboolean rocks_load_partition(rocksdb_iterator_t *iterator, gint64 start_time, gint64 end_time,
                              guint64 cut, Partition *partition, GError **error)
{
  guint8 prefix[BLOCK_PREFIX_SIZE];
  size_t size;
  memcpy(prefix, rocksdb_iter_key(iterator, &size), sizeof prefix);
  partition_clear(partition);
  for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    if (size != BLOCK_KEY_SIZE || memcmp(key, prefix, sizeof prefix) != 0)
      break;
    gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
    gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
    if (max_time < start_time || min_time > end_time)
      continue;
    /* The greatest one of the block: others of its rows may be below the cut all the same. */
    Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
    VersionWanted wanted = version.hlc > cut ? is_below_cut : NULL;
    size_t value_size;
    const char *value = rocksdb_iter_value(iterator, &value_size);
    if (!partition_add(partition, &version, (const guint8 *)value, value_size, wanted, &cut, error))
      return FALSE;
  }
  return rocks_iterator_ok(iterator, error);
}

/* Moves to the next partition. FALSE at the end (*error not set) or on failure. */
static gboolean walk_move(Walk *walk, GError **error)
{
  gint64 index;
  if (walk->ended || walk->start_time > walk->end_time)
    return FALSE;
  if (!seek_next(walk, &index)) {
    walk->ended = TRUE;
    rocks_iterator_ok(walk->iterator, error);
    return FALSE;
  }
  walk->begun = TRUE;
  walk->partition_index = index;
  return TRUE;
}

/* Loads the partition that the iterator stands before. */
static gboolean walk_load(Walk *walk, GError **error)
{
  return rocks_load_partition(walk->iterator, walk->start_time, walk->end_time, G_MAXUINT64,
                              walk->partition, error);
}

/* Loads the next partition; as walk_move. */
static gboolean walk_next(Walk *walk, GError **error)
{
  return walk_move(walk, error) && walk_load(walk, error);
}

/* --- query --------------------------------------------------------------------------------------
 */

Table *rocks_query(Store *parent, const Query *query, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  gint64 start_time = query->start_time, end_time = query->end_time;
  g_autoptr(Table) table = table_new();
  if (!answer_resume(query, &start_time, &end_time, error))
    return NULL;
  guint32 device = schema_find(store->schema, query->device);
  if (device == 0)
    return g_steal_pointer(&table);
  Walk walk;
  if (!walk_open(store, device, start_time, end_time, query->descending, &walk, error))
    return NULL;
  /* After the snapshot: what is in it has its columns in the schema. */
  g_autoptr(GArray) columns = schema_columns(store->schema, device, query->measurements);
  g_autoptr(Answer) answer = answer_new(query, columns, table);
  GError *local = NULL;
  while (!answer_is_full(answer) && walk_next(&walk, &local)) {
    for (guint i = 0; i < columns->len; i++) {
      const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
      partition_cells(walk.partition, column->measurement, column->type, start_time, end_time,
                      walk.tombstones, answer_cells(answer, i));
    }
    answer_take_rows(answer);
  }
  walk_close(&walk);
  if (local != NULL || !answer_finish(answer, &local)) {
    g_propagate_error(error, local);
    return NULL;
  }
  return g_steal_pointer(&table);
}

/* --- last ---------------------------------------------------------------------------------------
 */

enum { NEWEST_BLOCKS = 128, NEWEST_BYTES = 128 << 10 };

/* A block that reaches further in time than most others of its partition. */
typedef struct Newest {
  gint64 max_time;
  guint8 key[BLOCK_KEY_SIZE];
} Newest;

static int compare_newest(gconstpointer a, gconstpointer b)
{
  const Newest *x = a, *y = b;
  return x->max_time > y->max_time ? -1 : x->max_time < y->max_time;
}

/* Keeps the newest ones; gives how far the others reach. */
static gint64 drop_older(GArray *newest)
{
  g_array_sort(newest, compare_newest);
  gint64 reach = g_array_index(newest, Newest, NEWEST_BLOCKS).max_time;
  g_array_set_size(newest, NEWEST_BLOCKS);
  return reach;
}

/* The newest blocks (Newest) of the partition under the iterator; *out_reach: how far the others
 * reach, G_MININT64 when there are none. */
static GArray *find_newest(rocksdb_iterator_t *iterator, gint64 *out_reach)
{
  GArray *newest = g_array_new(FALSE, FALSE, sizeof(Newest));
  size_t size;
  guint8 prefix[BLOCK_PREFIX_SIZE];
  memcpy(prefix, rocksdb_iter_key(iterator, &size), sizeof prefix);
  *out_reach = G_MININT64;
  for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    if (size != BLOCK_KEY_SIZE || memcmp(key, prefix, sizeof prefix) != 0)
      break;
    Newest one = {.max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24))};
    memcpy(one.key, key, sizeof one.key);
    g_array_append_val(newest, one);
    if (newest->len == 2 * NEWEST_BLOCKS)
      *out_reach = MAX(*out_reach, drop_older(newest));
  }
  if (newest->len > NEWEST_BLOCKS)
    *out_reach = MAX(*out_reach, drop_older(newest));
  return newest;
}

/*
 * As walk_next, but of a partition with many blocks only those are loaded that reach furthest in
 * time: *out_from tells from when on nothing is missing.
 */
static gboolean walk_next_newest(Walk *walk, gint64 *out_from, GError **error)
{
  gint64 reach;
  if (!walk_move(walk, error))
    return FALSE;
  g_autoptr(GArray) newest = find_newest(walk->iterator, &reach);
  if (!rocks_iterator_ok(walk->iterator, error))
    return FALSE;
  *out_from = reach;
  partition_clear(walk->partition);
  if (reach == G_MAXINT64)
    return TRUE; /* nothing can be said of so many */
  if (reach > G_MININT64)
    *out_from = reach + 1;
  g_array_sort(newest, compare_newest);
  gsize bytes = 0;
  for (guint i = 0; i < newest->len; i++) {
    const Newest *one = &g_array_index(newest, Newest, i);
    if (bytes > NEWEST_BYTES && one->max_time < G_MAXINT64) {
      *out_from = one->max_time + 1;
      return TRUE;
    }
    rocksdb_iter_seek(walk->iterator, (const char *)one->key, sizeof one->key);
    if (!rocksdb_iter_valid(walk->iterator))
      return rocks_iterator_ok(walk->iterator, error) &&
             fail(error, SYNCLOG_CORRUPT, "store: a block is gone that was there");
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(walk->iterator, &size);
    bytes += size;
    Version version = key_read_version(one->key + BLOCK_PREFIX_SIZE);
    if (!partition_add(walk->partition, &version, value, size, NULL, NULL, error))
      return FALSE;
  }
  return TRUE;
}

/* Loads all of the partition that walk_next_newest came to. */
static gboolean walk_load_all(Walk *walk, GError **error)
{
  seek_partition(walk, walk->partition_index);
  return walk_load(walk, error);
}

/* The last values as far as they are found. */
typedef struct LastSearch {
  const GArray *columns; /* SchemaColumn */
  LastValue **found;     /* for each column; NULL: not yet */
  guint missing;
  gsize bytes;
} LastSearch;

/* Looks in the partition that is loaded, from `from` on. */
static void find_last(Walk *walk, gint64 from, LastSearch *search)
{
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  for (guint i = 0; i < search->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(search->columns, SchemaColumn, i);
    if (search->found[i] != NULL)
      continue;
    partition_cells(walk->partition, column->measurement, column->type, from, G_MAXINT64,
                    walk->tombstones, cells);
    if (cells->len == 0)
      continue;
    const Cell *cell = &g_array_index(cells, Cell, cells->len - 1);
    LastValue *last = search->found[i] = g_new0(LastValue, 1);
    last->measurement = g_strdup(column->name);
    last->timestamp = cell->time;
    value_unpack(column->type, cell->value, cell->size, &last->value);
    search->missing--;
    search->bytes += cell->size + strlen(column->name);
  }
}

GPtrArray *rocks_last(Store *parent, const char *device_name, const char *const *measurements,
                      GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  guint32 device = schema_find(store->schema, device_name);
  if (device == 0)
    return g_steal_pointer(&values);
  Walk walk;
  if (!walk_open(store, device, G_MININT64, G_MAXINT64, TRUE, &walk, error))
    return NULL;
  g_autoptr(GArray) columns = schema_columns(store->schema, device, measurements);
  g_autofree LastValue **found = g_new0(LastValue *, columns->len + 1);
  LastSearch search = {columns, found, columns->len, 0};
  gint64 from;
  GError *local = NULL;
  while (search.missing > 0 && walk_next_newest(&walk, &from, &local)) {
    find_last(&walk, from, &search);
    if (search.missing == 0 || from == G_MININT64)
      continue;
    if (!walk_load_all(&walk, &local))
      break;
    find_last(&walk, G_MININT64, &search);
  }
  walk_close(&walk);
  for (guint i = 0; i < columns->len; i++)
    if (found[i] != NULL)
      g_ptr_array_add(values, found[i]);
  if (local == NULL && search.bytes > LIMIT_QUERY_BYTES)
    fail(&local, SYNCLOG_TOO_LARGE, "the last values have %zu bytes, at most %d are sent",
         search.bytes, LIMIT_QUERY_BYTES);
  if (local == NULL)
    return g_steal_pointer(&values);
  g_propagate_error(error, local);
  return NULL;
}

/* --- aggregate ----------------------------------------------------------------------------------
 */

Aggregate *rocks_aggregate(Store *parent, const AggregateQuery *query, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  const char *const names[] = {query->measurement, NULL};
  g_autoptr(Aggregate) aggregate = aggregate_new();
  aggregate->type = DATA_DOUBLE;
  guint32 device = schema_find(store->schema, query->device);
  if (device == 0)
    return g_steal_pointer(&aggregate);
  Walk walk;
  if (!walk_open(store, device, query->start_time, query->end_time, FALSE, &walk, error))
    return NULL;
  g_autoptr(GArray) columns = schema_columns(store->schema, device, names);
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  const SchemaColumn *column = columns->len > 0 ? &g_array_index(columns, SchemaColumn, 0) : NULL;
  if (column != NULL)
    aggregate->type = column->type;
  GError *local = NULL;
  while (column != NULL && !aggregate->more && walk_next(&walk, &local)) {
    partition_cells(walk.partition, column->measurement, column->type, query->start_time,
                    query->end_time, walk.tombstones, cells);
    answer_aggregate(query, cells, aggregate);
  }
  walk_close(&walk);
  answer_aggregate_finish(aggregate);
  if (local == NULL)
    return g_steal_pointer(&aggregate);
  g_propagate_error(error, local);
  return NULL;
}
