/* Reads of the RocksDB store: partition by partition, merged by version. */
#include "store/answer.h"
#include "store/rocks_buckets.h"

#include "base/limits.h"

#include <string.h>

/* Caller holds publish_lock. */
static void take_snapshot(RocksStore *store, guint32 device, gint64 start_time, gint64 end_time,
                          RocksView *out_view, GPtrArray **out_tombstones)
{
  *out_view = (RocksView){.store = store, .snapshot = rocksdb_create_snapshot(store->db)};
  if (out_tombstones != NULL)
    *out_tombstones = tombstones_of(store->tombstones, device, start_time, end_time);
}

gboolean rocks_view_open(RocksStore *store, guint32 device, gint64 start_time, gint64 end_time,
                         RocksView *out_view, GPtrArray **out_tombstones, GError **error)
{
  gboolean settled = TRUE;
  rocks_count_nothing();
  fair_lock_read(&store->publish_lock);
  gboolean fresh = fresh_of_device(store->fresh, device) != NULL;
  if (!fresh)
    take_snapshot(store, device, start_time, end_time, out_view, out_tombstones);
  fair_lock_release(&store->publish_lock);
  if (fresh) {
    fair_lock_write(&store->publish_lock);
    settled = rocks_settle_device(store, device, error);
    if (settled)
      take_snapshot(store, device, start_time, end_time, out_view, out_tombstones);
    fair_lock_release(&store->publish_lock);
  }
  if (!settled)
    return FALSE;
  out_view->read_options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_snapshot(out_view->read_options, out_view->snapshot);
  return TRUE;
}

void rocks_view_close(RocksView *view)
{
  rocksdb_readoptions_destroy(view->read_options);
  rocksdb_release_snapshot(view->store->db, view->snapshot);
}

/*
 * A walk over the partitions of one device. Where there are only chunks of the wanted columns, it
 * goes through the partition slice by slice, so that a short page of a large partition is cheap:
 * in a slice there is at most one chunk of each column.
 */
typedef struct Walk {
  RocksView view;
  Buckets buckets;
  guint32 device;
  gint64 start_time, end_time;
  gint64 first_partition, last_partition;
  gboolean descending, begun, ended;
  gint64 partition_index;    /* of the partition loaded last */
  const GArray *columns;     /* SchemaColumn that are wanted; set after opening */
  gboolean sliced;           /* … the partition is, and further slices may follow */
  gboolean loaded;           /* … the slice is, into `partition` */
  gboolean here;             /* the first column's chunk of the slice is under the iterator */
  Chunk chunk;               /* … and this is it */
  gint64 from_time, to_time; /* what is read */
  Partition *partition;
  GPtrArray *tombstones; /* may be NULL */
  GArray *plain_values;  /* see partition_plain() */
  gint64 *times;         /* of a chunk; NULL until they are needed */
  guint8 *values;
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
  walk->plain_values = g_array_new(FALSE, FALSE, sizeof(const guint8 *));
  buckets_open(store, walk->view.snapshot, device, TRUE, &walk->buckets);
  return TRUE;
}

static void walk_close(Walk *walk)
{
  buckets_close(&walk->buckets);
  rocks_view_close(&walk->view);
  partition_free(walk->partition);
  g_array_unref(walk->plain_values);
  g_free(walk->times);
  g_free(walk->values);
  g_clear_pointer(&walk->tombstones, g_ptr_array_unref);
}

gboolean rocks_iterator_ok(rocksdb_iterator_t *iterator, GError **error)
{
  char *message = NULL;
  rocksdb_iter_get_error(iterator, &message);
  return message == NULL || rocks_fail(error, message, "reading");
}

/* To the next partition that has anything. */
static gboolean seek_next(Walk *walk, GError **error)
{
  if (walk->begun &&
      walk->partition_index == (walk->descending ? walk->first_partition : walk->last_partition))
    return FALSE;
  gint64 from = walk->descending ? walk->last_partition : walk->first_partition;
  if (walk->begun)
    from = walk->descending ? walk->partition_index - 1 : walk->partition_index + 1;
  if (!buckets_find(&walk->buckets, walk->device, from, walk->descending, &walk->partition_index,
                    error))
    return FALSE;
  buckets_seek_blocks(&walk->buckets, walk->device, walk->partition_index);
  return walk->partition_index >= walk->first_partition &&
         walk->partition_index <= walk->last_partition;
}

/* Moves to the next partition. FALSE at the end (*error not set) or on failure. */
static gboolean walk_move(Walk *walk, GError **error)
{
  if (walk->ended || walk->start_time > walk->end_time)
    return FALSE;
  if (!seek_next(walk, error)) {
    walk->ended = TRUE;
    return FALSE;
  }
  walk->begun = TRUE;
  return TRUE;
}

static BucketScope scope_of(const Walk *walk, gint64 from_time, gint64 to_time)
{
  return (BucketScope){.device = walk->device,
                       .partition = walk->partition_index,
                       .start_time = from_time,
                       .end_time = to_time,
                       .cut = G_MAXUINT64,
                       .columns = walk->columns};
}

/* Loads all of the partition that it is in. */
static gboolean walk_load(Walk *walk, GError **error)
{
  BucketScope scope = scope_of(walk, walk->start_time, walk->end_time);
  walk->sliced = walk->here = FALSE;
  walk->loaded = TRUE;
  walk->from_time = walk->start_time;
  walk->to_time = walk->end_time;
  buckets_seek_blocks(&walk->buckets, walk->device, walk->partition_index);
  return buckets_load(&walk->buckets, &scope, walk->partition, error);
}

/* The same where one column is read: from chunk to chunk. */
static gboolean end_single_slice(Walk *walk, GError **error)
{
  const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, 0);
  GError *local = NULL;
  gboolean found;
  if (walk->here) {
    rocksdb_iter_next(walk->buckets.chunks);
    found = buckets_chunk_here(&walk->buckets, walk->device, walk->partition_index,
                               column->measurement, column->type, &walk->chunk, &local);
  } else {
    found =
        buckets_find_chunk(&walk->buckets, walk->device, walk->partition_index, column->measurement,
                           column->type, walk->from_time, &walk->chunk, &local);
  }
  walk->here = local == NULL && found && walk->chunk.min_time <= walk->end_time;
  walk->to_time = walk->here ? MIN(walk->end_time, walk->chunk.max_time) : walk->end_time;
  if (local != NULL)
    g_propagate_error(error, local);
  return walk->here;
}

/* Where the slice that begins at from_time ends: with the first chunk that does. FALSE: nothing is
 * left, or (with an error) something is damaged. */
static gboolean end_slice(Walk *walk, GError **error)
{
  if (walk->columns->len == 1)
    return end_single_slice(walk, error);
  GError *local = NULL;
  gboolean any = FALSE;
  gint64 end = walk->end_time;
  for (guint i = 0; local == NULL && i < walk->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, i);
    Chunk chunk;
    if (buckets_find_chunk(&walk->buckets, walk->device, walk->partition_index, column->measurement,
                           column->type, walk->from_time, &chunk, &local) &&
        chunk.min_time <= walk->end_time) {
      any = TRUE;
      end = MIN(end, chunk.max_time);
    }
  }
  walk->to_time = end;
  if (local != NULL)
    g_propagate_error(error, local);
  return any && local == NULL;
}

/* The same from the other end. */
static gboolean begin_slice(Walk *walk, GError **error)
{
  GError *local = NULL;
  gboolean any = FALSE;
  gint64 begin = walk->start_time;
  for (guint i = 0; local == NULL && i < walk->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, i);
    Chunk chunk;
    if (buckets_find_chunk_back(&walk->buckets, walk->device, walk->partition_index,
                                column->measurement, column->type, walk->to_time, &chunk, &local) &&
        chunk.max_time >= walk->start_time) {
      any = TRUE;
      begin = MAX(begin, chunk.min_time);
    }
  }
  walk->from_time = begin;
  if (local != NULL)
    g_propagate_error(error, local);
  return any && local == NULL;
}

/* Finds the next slice; walk->sliced tells whether there was one. */
static gboolean find_slice(Walk *walk, GError **error)
{
  GError *local = NULL;
  walk->loaded = FALSE;
  walk->sliced = walk->descending ? begin_slice(walk, &local) : end_slice(walk, &local);
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

/* Loads it. */
static gboolean load_slice(Walk *walk, GError **error)
{
  if (walk->loaded)
    return TRUE;
  BucketScope scope = scope_of(walk, walk->from_time, walk->to_time);
  walk->here = FALSE;
  walk->loaded = TRUE;
  partition_clear(walk->partition);
  return buckets_load_chunks(&walk->buckets, &scope, walk->partition, error);
}

/* Goes on in the partition. */
static gboolean next_slice(Walk *walk, GError **error)
{
  gboolean is_last =
      walk->descending ? walk->from_time == walk->start_time : walk->to_time == walk->end_time;
  if (is_last) {
    walk->sliced = FALSE;
    return TRUE;
  }
  if (walk->descending)
    walk->to_time = walk->from_time - 1;
  else
    walk->from_time = walk->to_time + 1;
  return find_slice(walk, error);
}

/*
 * Goes to the next partition, which is loaded, or to the next slice of it, which is to be loaded:
 * what lies in [from_time, to_time]. FALSE at the end (*error not set) or on failure.
 */
static gboolean walk_next(Walk *walk, GError **error)
{
  if (walk->sliced && !next_slice(walk, error))
    return FALSE;
  while (!walk->sliced) {
    gboolean blocks;
    if (!walk_move(walk, error))
      return FALSE;
    BucketScope scope = scope_of(walk, walk->start_time, walk->end_time);
    if (!buckets_have_blocks(&walk->buckets, &scope, &blocks, error))
      return FALSE;
    if (blocks)
      return walk_load(walk, error);
    walk->from_time = walk->start_time;
    walk->to_time = walk->end_time;
    walk->here = FALSE;
    if (!find_slice(walk, error))
      return FALSE;
  }
  return TRUE;
}

/* --- query --------------------------------------------------------------------------------------
 */

/* The column's chunk of the slice. FALSE: there is none, or (with an error) it is damaged. */
static gboolean chunk_of_slice(Walk *walk, guint i, Chunk *out, GError **error)
{
  const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, i);
  if (walk->here) {
    *out = walk->chunk;
    return TRUE;
  }
  return buckets_find_chunk(&walk->buckets, walk->device, walk->partition_index,
                            column->measurement, column->type, walk->from_time, out, error) &&
         out->min_time <= walk->to_time;
}

/* Whether its cells can be taken as they stand. */
static gboolean is_plain(const Walk *walk, const Chunk *chunk)
{
  for (guint i = 0; walk->tombstones != NULL && i < walk->tombstones->len; i++)
    if (((const Tombstone *)walk->tombstones->pdata[i])->version.hlc > chunk->horizon)
      return FALSE;
  return chunk->type != DATA_TEXT;
}

/* Which of the ascending times are in the slice. */
static void rows_of_slice(const Walk *walk, const gint64 *times, guint rows, guint *out_first,
                          guint *out_count)
{
  guint first = 0, end = rows;
  while (first < end && times[first] < walk->from_time)
    first++;
  while (end > first && times[end - 1] > walk->to_time)
    end--;
  *out_first = first;
  *out_count = end - first;
}

/*
 * Decodes the chunks of the slice straight into the answer, where each column has one with the same
 * times and nothing in them is hidden. Else *out_taken is FALSE, and nothing is changed.
 */
static gboolean take_chunks(Walk *walk, Answer *answer, gboolean *out_taken, GError **error)
{
  GError *local = NULL;
  Chunk chunk;
  guint rows = 0, first = 0, count = 0;
  gboolean same = walk->columns->len > 0;
  gint64 *times = NULL;
  if (walk->times == NULL)
    walk->times = g_new(gint64, CHUNK_ROWS);
  for (guint i = 0; same && i < walk->columns->len; i++) {
    same = chunk_of_slice(walk, i, &chunk, &local) && is_plain(walk, &chunk) &&
           (i == 0 || chunk.rows == rows);
    if (same && i == 0) {
      rows = chunk.rows;
      times = answer_open_rows(answer, rows);
    }
    same = same && chunk_times(&chunk, i == 0 ? times : walk->times, &local) &&
           (i == 0 || memcmp(times, walk->times, rows * sizeof *times) == 0) &&
           chunk_values(&chunk, answer_open_values(answer, i), &local);
  }
  if (same)
    rows_of_slice(walk, times, rows, &first, &count);
  if (times != NULL)
    answer_close_rows(answer, first, count);
  *out_taken = same;
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

static gboolean has_text(const Walk *walk)
{
  for (guint i = 0; i < walk->columns->len; i++)
    if (g_array_index(walk->columns, SchemaColumn, i).type == DATA_TEXT)
      return TRUE;
  return FALSE;
}

/* Of what is loaded. */
static void take_loaded(Walk *walk, Answer *answer)
{
  PlainRows plain = {.values = walk->plain_values};
  if (!walk->descending && partition_plain(walk->partition, walk->columns, walk->from_time,
                                           walk->to_time, walk->tombstones, &plain)) {
    answer_take_plain(answer, &plain);
    return;
  }
  for (guint i = 0; i < walk->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, i);
    partition_cells(walk->partition, column->measurement, column->type, walk->from_time,
                    walk->to_time, walk->tombstones, answer_cells(answer, i));
  }
  answer_take_rows(answer);
}

static gboolean take_rows(Walk *walk, Answer *answer, GError **error)
{
  gboolean taken = FALSE;
  if (!walk->loaded && !walk->descending && !has_text(walk) &&
      !take_chunks(walk, answer, &taken, error))
    return FALSE;
  if (taken)
    return TRUE;
  if (!load_slice(walk, error))
    return FALSE;
  take_loaded(walk, answer);
  return TRUE;
}

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
  walk.columns = columns;
  g_autoptr(Answer) answer = answer_new(query, columns, table);
  GError *local = NULL;
  while (!answer_is_full(answer) && walk_next(&walk, &local) && take_rows(&walk, answer, &local))
    ;
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

/* The newest blocks (Newest) of the partition that the iterator is at; *out_reach: how far the
 * others reach, G_MININT64 when there are none. */
static GArray *find_newest(rocksdb_iterator_t *iterator, guint32 device, gint64 partition,
                           gint64 *out_reach)
{
  GArray *newest = g_array_new(FALSE, FALSE, sizeof(Newest));
  size_t size;
  guint8 prefix[BLOCK_PREFIX_SIZE];
  key_block_prefix(prefix, device, partition);
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

/* Of each column the last chunk of the partition; from[i]: since when nothing of it is missing. */
static gboolean add_last_chunks(Walk *walk, gint64 *from, GError **error)
{
  BucketScope scope = scope_of(walk, walk->start_time, walk->end_time);
  for (guint i = 0; i < walk->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, i);
    GError *local = NULL;
    Chunk chunk;
    from[i] = G_MININT64;
    if (buckets_find_chunk_back(&walk->buckets, walk->device, walk->partition_index,
                                column->measurement, column->type, G_MAXINT64, &chunk, &local) &&
        buckets_add_chunk(&chunk, column->measurement, &scope, walk->partition, &local))
      from[i] = chunk.min_time;
    if (local != NULL) {
      g_propagate_error(error, local);
      return FALSE;
    }
  }
  return TRUE;
}

/* Up to the time something may be missing, of any column. */
static void begin_behind(const Walk *walk, gint64 *from, gint64 time)
{
  for (guint i = 0; i < walk->columns->len && time > G_MININT64; i++)
    from[i] = MAX(from[i], time < G_MAXINT64 ? time + 1 : time);
}

/*
 * Loads what is newest of the next partition: of many blocks only those that reach furthest in
 * time, of the chunks the last ones. from[i] tells from when on nothing of the column is missing.
 */
static gboolean walk_next_newest(Walk *walk, gint64 *from, GError **error)
{
  gint64 reach;
  if (!walk_move(walk, error))
    return FALSE;
  g_autoptr(GArray) newest =
      find_newest(walk->buckets.blocks, walk->device, walk->partition_index, &reach);
  partition_clear(walk->partition);
  if (!buckets_ok(&walk->buckets, error) || !add_last_chunks(walk, from, error))
    return FALSE;
  begin_behind(walk, from, reach);
  if (reach == G_MAXINT64) {
    partition_clear(walk->partition); /* nothing can be said of so many */
    return TRUE;
  }
  g_array_sort(newest, compare_newest);
  gsize bytes = 0;
  for (guint i = 0; i < newest->len; i++) {
    const Newest *one = &g_array_index(newest, Newest, i);
    if (bytes > NEWEST_BYTES && one->max_time < G_MAXINT64) {
      begin_behind(walk, from, one->max_time);
      return TRUE;
    }
    rocksdb_iterator_t *iterator = walk->buckets.blocks;
    rocksdb_iter_seek(iterator, (const char *)one->key, sizeof one->key);
    if (!rocksdb_iter_valid(iterator))
      return rocks_iterator_ok(iterator, error) &&
             fail(error, SYNCLOG_CORRUPT, "store: a block is gone that was there");
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
    bytes += block_unpacked_size(value, size);
    Version version = key_read_version(one->key + BLOCK_PREFIX_SIZE);
    if (!partition_add(walk->partition, &version, value, size, NULL, NULL, error))
      return FALSE;
  }
  return TRUE;
}

/* The last values as far as they are found. */
typedef struct LastSearch {
  const GArray *columns; /* SchemaColumn */
  GArray *cells;         /* LastCell for each of them */
  guint missing;
} LastSearch;

/* Looks in what is loaded, from from[i] on (NULL: all of it). TRUE: before that may be more. */
static gboolean find_last(Walk *walk, const gint64 *from, LastSearch *search)
{
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  gboolean more = FALSE;
  for (guint i = 0; i < search->columns->len; i++) {
    const SchemaColumn *column = &g_array_index(search->columns, SchemaColumn, i);
    LastCell *last = &g_array_index(search->cells, LastCell, i);
    if (last->found)
      continue;
    gint64 begin = from != NULL ? from[i] : G_MININT64;
    partition_cells(walk->partition, column->measurement, column->type, begin, G_MAXINT64,
                    walk->tombstones, cells);
    if (cells->len == 0) {
      more = more || begin > G_MININT64;
      continue;
    }
    const Cell *cell = &g_array_index(cells, Cell, cells->len - 1);
    last_cell_set(last, column->type, cell->time, cell->version, cell->value, cell->size);
    search->missing--;
  }
  return more;
}

static GArray *cells_for(const GArray *columns)
{
  GArray *cells = g_array_new(FALSE, TRUE, sizeof(LastCell));
  g_array_set_clear_func(cells, (GDestroyNotify)last_cell_clear);
  g_array_set_size(cells, columns->len);
  return cells;
}

/* Looks for the last values in the files; *out_columns and *out_cells are what the device has. */
static gboolean look_for_last(RocksStore *store, guint32 device, const char *const *measurements,
                              GArray **out_columns, GArray **out_cells, GError **error)
{
  Walk walk;
  if (!walk_open(store, device, G_MININT64, G_MAXINT64, TRUE, &walk, error))
    return FALSE;
  g_autoptr(GArray) columns = schema_columns(store->schema, device, measurements);
  LastSearch search = {columns, cells_for(columns), columns->len};
  g_autofree gint64 *from = g_new(gint64, columns->len + 1);
  GError *local = NULL;
  walk.columns = columns;
  while (search.missing > 0 && walk_next_newest(&walk, from, &local)) {
    if (!find_last(&walk, from, &search))
      continue;
    if (!walk_load(&walk, &local))
      break;
    find_last(&walk, NULL, &search);
  }
  walk_close(&walk);
  *out_columns = g_steal_pointer(&columns);
  *out_cells = search.cells;
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

/* Those of `all` that the columns are; NULL when one is missing. */
static GArray *cells_of(const GArray *columns, const GArray *all, const GArray *cells)
{
  GArray *out = cells_for(columns);
  for (guint i = 0, k = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    for (; k < all->len; k++) {
      const SchemaColumn *other = &g_array_index(all, SchemaColumn, k);
      if (other->measurement == column->measurement && other->type == column->type)
        break;
    }
    if (k == all->len) {
      g_array_unref(out);
      return NULL;
    }
    LastCell *cell = &g_array_index(out, LastCell, i);
    *cell = g_array_index(cells, LastCell, k);
    if (cell->text != NULL)
      g_bytes_ref(cell->text);
  }
  return out;
}

static GPtrArray *last_values(const GArray *columns, const GArray *cells, GError **error)
{
  g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  gsize bytes = 0;
  for (guint i = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    const LastCell *cell = &g_array_index(cells, LastCell, i);
    if (!cell->found)
      continue;
    gsize size = data_type_size(column->type);
    const guint8 *packed =
        cell->text != NULL ? g_bytes_get_data(cell->text, &size) : (const guint8 *)cell->number;
    LastValue *last = g_new0(LastValue, 1);
    last->measurement = g_strdup(column->name);
    last->timestamp = cell->time;
    value_unpack(column->type, packed, size, &last->value);
    g_ptr_array_add(values, last);
    bytes += size + strlen(column->name);
  }
  if (bytes <= LIMIT_QUERY_BYTES)
    return g_steal_pointer(&values);
  fail(error, SYNCLOG_TOO_LARGE, "the last values have %zu bytes, at most %d are sent", bytes,
       LIMIT_QUERY_BYTES);
  return NULL;
}

GPtrArray *rocks_last(Store *parent, const char *device_name, const char *const *measurements,
                      GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  guint32 device = schema_find(store->schema, device_name);
  if (device == 0)
    return g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  /* Both under the lock, so that they are of one state. */
  fair_lock_read(&store->publish_lock);
  g_autoptr(GArray) columns = schema_columns(store->schema, device, measurements);
  g_autoptr(GArray) known = last_cache_get(store->last, device, columns);
  fair_lock_release(&store->publish_lock);
  if (known != NULL)
    return last_values(columns, known, error);
  guint64 begun = last_cache_begin(store->last, device, columns);
  g_autoptr(GArray) all = NULL, cells = NULL;
  if (!look_for_last(store, device, measurements, &all, &cells, error))
    return NULL;
  /* There may be further columns by now. */
  g_autoptr(GArray) found = cells_of(columns, all, cells);
  if (found != NULL)
    last_cache_end(store->last, device, begun, columns, found);
  return last_values(all, cells, error);
}

/* --- aggregate ----------------------------------------------------------------------------------
 */

/* A slice that is one chunk, without loading it. *out_taken as for take_chunks(). */
static gboolean add_chunk(Walk *walk, const AggregateQuery *query, Aggregate *aggregate,
                          gboolean *out_taken, GError **error)
{
  guint first, count;
  *out_taken = walk->here && is_plain(walk, &walk->chunk);
  if (!*out_taken)
    return TRUE;
  if (walk->times == NULL)
    walk->times = g_new(gint64, CHUNK_ROWS);
  if (walk->values == NULL)
    walk->values = g_malloc((gsize)CHUNK_ROWS * sizeof(gint64));
  if (!chunk_times(&walk->chunk, walk->times, error) ||
      !chunk_values(&walk->chunk, walk->values, error))
    return FALSE;
  rows_of_slice(walk, walk->times, walk->chunk.rows, &first, &count);
  answer_aggregate_packed(query, walk->times + first,
                          walk->values + first * data_type_size(aggregate->type), count, aggregate);
  return TRUE;
}

static gboolean add_cells(Walk *walk, const AggregateQuery *query, GArray *cells,
                          Aggregate *aggregate, GError **error)
{
  gboolean taken = FALSE;
  if (!walk->loaded && !add_chunk(walk, query, aggregate, &taken, error))
    return FALSE;
  if (taken)
    return TRUE;
  if (!load_slice(walk, error))
    return FALSE;
  const SchemaColumn *column = &g_array_index(walk->columns, SchemaColumn, 0);
  partition_cells(walk->partition, column->measurement, column->type, walk->from_time,
                  walk->to_time, walk->tombstones, cells);
  answer_aggregate(query, cells, aggregate);
  return TRUE;
}

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
  if (columns->len > 1)
    g_array_set_size(columns, 1); /* the conflicting ones are left out */
  walk.columns = columns;
  GError *local = NULL;
  while (column != NULL && !aggregate->more && walk_next(&walk, &local) &&
         add_cells(&walk, query, cells, aggregate, &local))
    ;
  walk_close(&walk);
  answer_aggregate_finish(aggregate);
  if (local == NULL)
    return g_steal_pointer(&aggregate);
  g_propagate_error(error, local);
  return NULL;
}
