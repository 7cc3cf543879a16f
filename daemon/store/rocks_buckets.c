#include "store/rocks_buckets.h"

#include "store/chunk_block.h"

#include <string.h>

static rocksdb_readoptions_t *make_options(Buckets *buckets, guint which, guint8 kind,
                                           const rocksdb_snapshot_t *snapshot, guint32 device,
                                           gboolean fill_cache)
{
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  guint8 *lower = buckets->bounds[which][0], *upper = buckets->bounds[which][1];
  gsize size = device != 0 ? 5 : 1;
  lower[0] = kind;
  upper[0] = (guint8)(device != 0 ? kind : kind + 1);
  store_be32(lower + 1, device);
  store_be32(upper + 1, device + 1);
  if (snapshot != NULL)
    rocksdb_readoptions_set_snapshot(options, snapshot);
  rocksdb_readoptions_set_fill_cache(options, fill_cache);
  rocksdb_readoptions_set_iterate_lower_bound(options, (const char *)lower, size);
  rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)upper, size);
  return options;
}

void buckets_open(RocksStore *store, const rocksdb_snapshot_t *snapshot, guint32 device,
                  gboolean fill_cache, Buckets *buckets)
{
  buckets->store = store;
  buckets->snapshot = snapshot;
  buckets->options[0] = make_options(buckets, 0, KEY_BLOCK, snapshot, device, fill_cache);
  buckets->options[1] = make_options(buckets, 1, KEY_CHUNK, snapshot, device, fill_cache);
  buckets->blocks = rocksdb_create_iterator(store->db, buckets->options[0]);
  buckets->chunks = rocksdb_create_iterator(store->db, buckets->options[1]);
}

void buckets_close(Buckets *buckets)
{
  rocksdb_iter_destroy(buckets->blocks);
  rocksdb_iter_destroy(buckets->chunks);
  rocksdb_readoptions_destroy(buckets->options[0]);
  rocksdb_readoptions_destroy(buckets->options[1]);
}

gboolean buckets_ok(const Buckets *buckets, GError **error)
{
  return rocks_iterator_ok(buckets->blocks, error) && rocks_iterator_ok(buckets->chunks, error);
}

/* --- places -------------------------------------------------------------------------------------
 */

static void put_prefix(guint8 *key, guint8 kind, guint32 device, gint64 partition)
{
  key_block_prefix(key, device, partition);
  key[0] = kind;
}

static void seek(rocksdb_iterator_t *iterator, guint8 kind, guint32 device, gint64 partition)
{
  guint8 key[BLOCK_PREFIX_SIZE];
  put_prefix(key, kind, device, partition);
  rocksdb_iter_seek(iterator, (const char *)key, sizeof key);
}

void buckets_seek(Buckets *buckets, guint32 device, gint64 partition)
{
  seek(buckets->blocks, KEY_BLOCK, device, partition);
  seek(buckets->chunks, KEY_CHUNK, device, partition);
}

static gboolean place_of(rocksdb_iterator_t *iterator, guint8 kind, guint32 *out_device,
                         gint64 *out_partition)
{
  if (!rocksdb_iter_valid(iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
  if (size < BLOCK_PREFIX_SIZE || key[0] != kind)
    return FALSE;
  *out_device = load_be32(key + 1);
  *out_partition = key_unflip(load_be64(key + 5));
  return TRUE;
}

/* Looks for a block of the device's partitions [first, end) alone, or up to its last one; the first
 * or, back, the last. */
static gboolean find_between(const Buckets *buckets, guint32 device, gint64 first, gint64 end,
                             gboolean has_end, gboolean back, gint64 *out, GError **error)
{
  guint8 lower[BLOCK_PREFIX_SIZE], upper[BLOCK_PREFIX_SIZE];
  guint32 unused;
  key_block_prefix(lower, device, first);
  key_block_prefix(upper, has_end ? device : device + 1, has_end ? end : G_MININT64);
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  if (buckets->snapshot != NULL)
    rocksdb_readoptions_set_snapshot(options, buckets->snapshot);
  rocksdb_readoptions_set_iterate_lower_bound(options, (const char *)lower, sizeof lower);
  rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)upper, sizeof upper);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(buckets->store->db, options);
  if (back)
    rocksdb_iter_seek_to_last(iterator);
  else
    rocksdb_iter_seek_to_first(iterator);
  gboolean found = place_of(iterator, KEY_BLOCK, &unused, out);
  found = rocks_iterator_ok(iterator, error) && found;
  rocksdb_iter_destroy(iterator);
  rocksdb_readoptions_destroy(options);
  return found;
}

gboolean buckets_find(Buckets *buckets, guint32 device, gint64 from, gboolean back,
                      gint64 *out_partition, GError **error)
{
  guint32 unused;
  gint64 at = 0;
  if (back) {
    guint8 key[CHUNK_KEY_SIZE];
    memset(key, 0xFF, sizeof key);
    put_prefix(key, KEY_CHUNK, device, from);
    rocksdb_iter_seek_for_prev(buckets->chunks, (const char *)key, sizeof key);
  } else {
    seek(buckets->chunks, KEY_CHUNK, device, from);
  }
  gboolean chunks = place_of(buckets->chunks, KEY_CHUNK, &unused, &at);
  if (!rocks_iterator_ok(buckets->chunks, error))
    return FALSE;
  *out_partition = at;
  if (chunks && at == from)
    return TRUE;
  GError *local = NULL;
  gint64 block_at;
  gboolean blocks = back
                        ? find_between(buckets, device, chunks ? at + 1 : G_MININT64,
                                       from < G_MAXINT64 ? from + 1 : 0, from < G_MAXINT64, TRUE,
                                       &block_at, &local)
                        : find_between(buckets, device, from, at, chunks, FALSE, &block_at, &local);
  if (blocks)
    *out_partition = block_at;
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL && (blocks || chunks);
}

static guint64 horizon_here(const Buckets *buckets, guint32 device, gint64 partition);

void buckets_seek_blocks(Buckets *buckets, guint32 device, gint64 partition)
{
  guint8 key[CHUNK_KEY_SIZE];
  memset(key, 0xFF, sizeof key);
  put_prefix(key, KEY_CHUNK, device, partition);
  rocksdb_iter_seek_for_prev(buckets->chunks, (const char *)key, sizeof key);
  /* All blocks up to a chunk's horizon are in chunks. */
  guint64 horizon = horizon_here(buckets, device, partition);
  put_prefix(key, KEY_BLOCK, device, partition);
  store_be64(key + BLOCK_PREFIX_SIZE, horizon < G_MAXUINT64 ? horizon + 1 : horizon);
  rocksdb_iter_seek(buckets->blocks, (const char *)key,
                    horizon > 0 ? BLOCK_PREFIX_SIZE + 8 : BLOCK_PREFIX_SIZE);
}

gboolean buckets_here(const Buckets *buckets, guint32 *out_device, gint64 *out_partition)
{
  guint32 device;
  gint64 partition;
  gboolean blocks = place_of(buckets->blocks, KEY_BLOCK, out_device, out_partition);
  if (!place_of(buckets->chunks, KEY_CHUNK, &device, &partition))
    return blocks;
  if (!blocks || device < *out_device || (device == *out_device && partition < *out_partition)) {
    *out_device = device;
    *out_partition = partition;
  }
  return TRUE;
}

/* --- blocks -------------------------------------------------------------------------------------
 */

/* Goes on to the next block that touches the scope, this one included. FALSE: behind the last. */
static gboolean find_block(rocksdb_iterator_t *iterator, const BucketScope *scope,
                           const guint8 **out_key)
{
  guint8 prefix[BLOCK_PREFIX_SIZE];
  put_prefix(prefix, KEY_BLOCK, scope->device, scope->partition);
  for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
    size_t size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    if (size != BLOCK_KEY_SIZE || memcmp(key, prefix, sizeof prefix) != 0)
      break;
    gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
    gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
    *out_key = key;
    if (max_time >= scope->start_time && min_time <= scope->end_time)
      return TRUE;
  }
  return FALSE;
}

static gboolean is_below_cut(gconstpointer ctx, const Version *version)
{
  return version->hlc <= *(const guint64 *)ctx;
}

gboolean buckets_load_blocks(Buckets *buckets, const BucketScope *scope, Partition *partition,
                             GError **error)
{
  const guint8 *key;
  for (; find_block(buckets->blocks, scope, &key); rocksdb_iter_next(buckets->blocks)) {
    /* The greatest one of the block: others of its rows may be below the cut all the same. */
    Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
    VersionWanted wanted = version.hlc > scope->cut ? is_below_cut : NULL;
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(buckets->blocks, &size);
    if (!partition_add(partition, &version, value, size, wanted, &scope->cut, error))
      return FALSE;
  }
  return rocks_iterator_ok(buckets->blocks, error);
}

gboolean buckets_have_blocks(Buckets *buckets, const BucketScope *scope, gboolean *out_any,
                             GError **error)
{
  const guint8 *key;
  *out_any = find_block(buckets->blocks, scope, &key);
  return rocks_iterator_ok(buckets->blocks, error);
}

/* --- chunks -------------------------------------------------------------------------------------
 */

static gboolean damaged(GError **error)
{
  return fail(error, SYNCLOG_CORRUPT, "store: a chunk is not the one that its key says");
}

/* Opens the chunk under the iterator, whose key is given. */
static gboolean open_chunk(rocksdb_iterator_t *iterator, const guint8 *key, Chunk *out,
                           GError **error)
{
  size_t size;
  const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
  if (!chunk_open(value, size, out, error))
    return FALSE;
  return (out->type == (DataType)key[CHUNK_KEY_TYPE] &&
          out->min_time == key_unflip(load_be64(key + CHUNK_KEY_TIME))) ||
         damaged(error);
}

/* The key under the iterator, if it is a chunk's of the bucket. */
static const guint8 *key_here(rocksdb_iterator_t *iterator, guint32 device, gint64 partition)
{
  guint8 prefix[BLOCK_PREFIX_SIZE];
  put_prefix(prefix, KEY_CHUNK, device, partition);
  if (!rocksdb_iter_valid(iterator))
    return NULL;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
  return size == CHUNK_KEY_SIZE && memcmp(key, prefix, sizeof prefix) == 0 ? key : NULL;
}

/* Of the chunk under the iterator, if it is one of the bucket; 0: there is none that can be read.
 */
static guint64 horizon_here(const Buckets *buckets, guint32 device, gint64 partition)
{
  Chunk chunk;
  const guint8 *key = key_here(buckets->chunks, device, partition);
  return key != NULL && open_chunk(buckets->chunks, key, &chunk, NULL) ? chunk.horizon : 0;
}

gboolean buckets_add_chunk(const Chunk *chunk, guint32 measurement, const BucketScope *scope,
                           Partition *partition, GError **error)
{
  if (chunk->horizon > scope->cut)
    return fail(error, SYNCLOG_INVALID,
                "the state at clock %" G_GUINT64_FORMAT
                " is not known any more: what was written up to %" G_GUINT64_FORMAT " was joined",
                scope->cut, chunk->horizon);
  Version version;
  gsize size;
  guint8 *bytes = chunk_to_block(chunk, measurement, scope->with_versions, &version, &size, error);
  return bytes != NULL && partition_take(partition, &version, bytes, size, error);
}

gboolean buckets_any_chunk_here(Buckets *buckets, guint32 device, gint64 partition, Chunk *out,
                                const guint8 **out_key, gsize *out_size, GError **error)
{
  const guint8 *key = key_here(buckets->chunks, device, partition);
  if (key == NULL) {
    rocks_iterator_ok(buckets->chunks, error);
    return FALSE;
  }
  *out_key = key;
  rocksdb_iter_value(buckets->chunks, out_size);
  return open_chunk(buckets->chunks, key, out, error);
}

/* The whole bucket, with all of its columns. */
static gboolean load_all_columns(Buckets *buckets, const BucketScope *scope, Partition *partition,
                                 GError **error)
{
  rocksdb_iterator_t *iterator = buckets->chunks;
  const guint8 *key;
  while ((key = key_here(iterator, scope->device, scope->partition)) != NULL) {
    Chunk chunk;
    if (!open_chunk(iterator, key, &chunk, error))
      return FALSE;
    if (chunk.max_time >= scope->start_time && chunk.min_time <= scope->end_time &&
        !buckets_add_chunk(&chunk, load_be32(key + CHUNK_KEY_MEASUREMENT), scope, partition, error))
      return FALSE;
    rocksdb_iter_next(iterator);
  }
  return rocks_iterator_ok(iterator, error);
}

gboolean buckets_chunk_here(Buckets *buckets, guint32 device, gint64 partition, guint32 measurement,
                            DataType type, Chunk *out, GError **error)
{
  const guint8 *key = key_here(buckets->chunks, device, partition);
  if (key == NULL) {
    rocks_iterator_ok(buckets->chunks, error);
    return FALSE;
  }
  return load_be32(key + CHUNK_KEY_MEASUREMENT) == measurement &&
         key[CHUNK_KEY_TYPE] == (guint8)type && open_chunk(buckets->chunks, key, out, error);
}

gboolean buckets_find_chunk_back(Buckets *buckets, guint32 device, gint64 partition,
                                 guint32 measurement, DataType type, gint64 time, Chunk *out,
                                 GError **error)
{
  guint8 wanted[CHUNK_KEY_SIZE];
  key_chunk(wanted, device, partition, measurement, type, time);
  rocksdb_iter_seek_for_prev(buckets->chunks, (const char *)wanted, sizeof wanted);
  return buckets_chunk_here(buckets, device, partition, measurement, type, out, error);
}

gboolean buckets_find_chunk(Buckets *buckets, guint32 device, gint64 partition, guint32 measurement,
                            DataType type, gint64 time, Chunk *out, GError **error)
{
  GError *local = NULL;
  gboolean before =
      buckets_find_chunk_back(buckets, device, partition, measurement, type, time, out, &local);
  if (local == NULL && !before) {
    guint8 wanted[CHUNK_KEY_SIZE];
    key_chunk(wanted, device, partition, measurement, type, time);
    rocksdb_iter_seek(buckets->chunks, (const char *)wanted, sizeof wanted);
  } else if (local == NULL && out->max_time < time) {
    rocksdb_iter_next(buckets->chunks);
  } else {
    if (local != NULL)
      g_propagate_error(error, local);
    return local == NULL;
  }
  return buckets_chunk_here(buckets, device, partition, measurement, type, out, error);
}

static gboolean load_column(Buckets *buckets, const BucketScope *scope, const SchemaColumn *column,
                            Partition *partition, GError **error)
{
  GError *local = NULL;
  Chunk chunk;
  gboolean any = buckets_find_chunk(buckets, scope->device, scope->partition, column->measurement,
                                    column->type, scope->start_time, &chunk, &local);
  while (any && chunk.min_time <= scope->end_time &&
         buckets_add_chunk(&chunk, column->measurement, scope, partition, &local)) {
    rocksdb_iter_next(buckets->chunks);
    any = buckets_chunk_here(buckets, scope->device, scope->partition, column->measurement,
                             column->type, &chunk, &local);
  }
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

gboolean buckets_load_chunks(Buckets *buckets, const BucketScope *scope, Partition *partition,
                             GError **error)
{
  if (scope->columns == NULL)
    return load_all_columns(buckets, scope, partition, error);
  for (guint i = 0; i < scope->columns->len; i++)
    if (!load_column(buckets, scope, &g_array_index(scope->columns, SchemaColumn, i), partition,
                     error))
      return FALSE;
  return TRUE;
}

gboolean buckets_load(Buckets *buckets, const BucketScope *scope, Partition *partition,
                      GError **error)
{
  partition_clear(partition);
  return buckets_load_chunks(buckets, scope, partition, error) &&
         buckets_load_blocks(buckets, scope, partition, error);
}
