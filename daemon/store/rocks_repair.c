/*
 * Giving out a bucket with its versions, and replacing one: how a store that lost or altered cells
 * is made like another one.
 */
#include "base/failpoint.h"
#include "store/block_filter.h"
#include "store/bucket.h"
#include "store/rocks_buckets.h"

#include <string.h>

/* Whether the iterator stands in that bucket. */
static gboolean is_inside(rocksdb_iterator_t *iterator, const guint8 prefix[BLOCK_PREFIX_SIZE])
{
  size_t size;
  if (!rocksdb_iter_valid(iterator))
    return FALSE;
  const char *key = rocksdb_iter_key(iterator, &size);
  return size == BLOCK_KEY_SIZE && memcmp(key, prefix, BLOCK_PREFIX_SIZE) == 0;
}

static guint64 maintained_of(RocksStore *store)
{
  fair_lock_read(&store->publish_lock);
  guint64 hlc = store->maintained_hlc;
  fair_lock_release(&store->publish_lock);
  return hlc;
}

static gboolean check_cut(RocksStore *store, guint64 cut, GError **error)
{
  guint64 maintained = maintained_of(store);
  return cut >= maintained ||
         fail(error, SYNCLOG_INVALID,
              "the state at clock %" G_GUINT64_FORMAT
              " is not known any more: deletes up to %" G_GUINT64_FORMAT " were carried out",
              cut, maintained);
}

/* Those of the list up to the cut; borrowed. */
static GPtrArray *up_to_cut(const GPtrArray *tombstones, guint64 cut)
{
  GPtrArray *below = g_ptr_array_new();
  for (guint i = 0; tombstones != NULL && i < tombstones->len; i++)
    if (((const Tombstone *)tombstones->pdata[i])->version.hlc <= cut)
      g_ptr_array_add(below, tombstones->pdata[i]);
  return below;
}

static gboolean collect(RocksStore *store, Partition *partition, const GPtrArray *hiding,
                        BucketCells *cells, GError **error)
{
  g_autoptr(GArray) columns = partition_columns(partition);
  g_autoptr(GArray) visible = g_array_new(FALSE, FALSE, sizeof(Cell));
  for (guint i = 0; i < columns->len; i++) {
    guint64 id = g_array_index(columns, guint64, i);
    const char *name = schema_name(store->schema, (guint32)(id >> 8));
    if (name == NULL)
      return fail(error, SYNCLOG_CORRUPT, "store: a block has a name id that there is not");
    DataType type = (DataType)(id & 0xFF);
    partition_cells(partition, (guint32)(id >> 8), type, G_MININT64, G_MAXINT64, hiding, visible);
    bucket_cells_add(cells, name, type, visible);
  }
  return TRUE;
}

BucketPage *rocks_bucket(Store *parent, const BucketQuery *query, gsize max_bytes, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  guint32 device = schema_find(store->schema, query->device);
  g_autoptr(BucketCells) cells = bucket_cells_new();
  if (device == 0)
    return bucket_cells_page(cells, &query->after, max_bytes);
  RocksView view;
  g_autoptr(GPtrArray) tombstones = NULL;
  if (!rocks_view_open(store, device, G_MININT64, G_MAXINT64, &view, &tombstones, error))
    return NULL;
  BucketScope scope = {.device = device,
                       .partition =
                           partition_of(query->start_time, store->options.partition_interval),
                       .start_time = G_MININT64,
                       .end_time = G_MAXINT64,
                       .cut = query->cut,
                       .with_versions = TRUE};
  Buckets buckets;
  buckets_open(store, view.snapshot, device, FALSE, &buckets);
  buckets_seek(&buckets, device, scope.partition);
  g_autoptr(Partition) partition = partition_new();
  g_autoptr(GPtrArray) hiding = up_to_cut(tombstones, query->cut);
  /* Looked at behind the snapshot: what it does not show any more is seen here. */
  gboolean ok = check_cut(store, query->cut, error) &&
                buckets_load(&buckets, &scope, partition, error) &&
                collect(store, partition, hiding, cells, error);
  BucketPage *page = ok ? bucket_cells_page(cells, &query->after, max_bytes) : NULL;
  buckets_close(&buckets);
  rocks_view_close(&view);
  return page;
}

/* --- replacing one ------------------------------------------------------------------------------
 */

typedef struct Mend {
  RocksStore *store;
  const BucketMend *asked;
  gint64 partition;
  GPtrArray *decoded; /* Decoded, one for each part */
  rocksdb_writebatch_t *writes;
  ChunkCounts chunks;
  gsize bytes;
} Mend;

static void put_name(gpointer ctx, guint32 id, const char *bytes, gsize size)
{
  Mend *mend = ctx;
  mend->bytes += rocks_put_name(mend->writes, id, bytes, size);
}

static void put_type(gpointer ctx, guint32 device, guint32 measurement, DataType type,
                     const Version *version)
{
  Mend *mend = ctx;
  mend->bytes += rocks_put_type(mend->writes, device, measurement, type, version);
}

/* The node that the parts come from has told it, or will, if it is a conflict. */
static void ignore_further_type(gpointer ctx, guint32 device, guint32 measurement, DataType type)
{
  (void)ctx, (void)device, (void)measurement, (void)type;
}

static void put_block(Mend *mend, const BucketPart *part, Decoded *decoded,
                      const DecodedBlock *block)
{
  RocksStore *store = mend->store;
  guint8 *value = decoded->values->data + block->value_at;
  guint8 *place = value + BLOCK_HEAD_SIZE;
  for (guint i = 0; i < block->column_count; i++, place += BLOCK_COLUMN_SIZE)
    store_le32(place, g_array_index(decoded->columns, DecodedColumn, block->first_column + i).id);
  Version version = {part->version.hlc, part->version.origin, part->version.ordinal};
  guint8 key[BLOCK_KEY_SIZE];
  key_block(key, block->device_id, block->partition, &version, block->min_time, block->max_time);
  mend->bytes += rocks_put_block(store, mend->writes, key, value, block->value_size, NULL);
  Noted noted = pending_note_mended(store->checks, block->device_id, block->partition,
                                    version.origin, block->min_time, block->max_time);
  mend->bytes += rocks_put_noted(mend->writes, &noted, block->device_id, version.origin);
  rocks_reblock_note(store->reblock, &(FreshNote){block->device_id, block->partition, 1,
                                                  load_le32(value + 4), version.hlc});
}

/* All parts are checked before anything is changed: names get ids that must reach the disk. */
static gboolean decode_parts(Mend *mend, GError **error)
{
  const BucketMend *asked = mend->asked;
  if (!decoded_is_name((const guint8 *)asked->device, strlen(asked->device)))
    return fail(error, SYNCLOG_INVALID, "the device has no proper name");
  for (guint i = 0; i < asked->parts->len; i++) {
    const BucketPart *part = asked->parts->pdata[i];
    if (part->version.hlc > asked->cut)
      return fail(error, SYNCLOG_INVALID, "a part of a bucket is newer than what was asked for");
    Decoded *decoded = bucket_part_decode(part, asked->device, mend->partition,
                                          mend->store->options.partition_interval, error);
    if (decoded == NULL)
      return FALSE;
    g_ptr_array_add(mend->decoded, decoded);
  }
  return TRUE;
}

/* Deletes that wait for a bucket that can't be read are no hindrance: what is put in its place has
 * nothing that they hide. */
static gboolean check_quiet(Mend *mend, guint32 device, GError **error)
{
  RocksStore *store = mend->store;
  gboolean waits = FALSE;
  fair_lock_read(&store->publish_lock);
  g_autoptr(GPtrArray) below = tombstones_below(store->tombstones, device, mend->asked->cut);
  fair_lock_release(&store->publish_lock);
  for (guint i = 0; i < below->len; i++)
    waits = waits || !rocks_is_stuck(store, device, below->pdata[i]);
  if (store->cleaning == NULL && store->look == NULL && pending_count(store->checks) == 0 && !waits)
    return TRUE;
  return fail(error, SYNCLOG_NOT_READY, "deletes or conflicts of the device wait");
}

static gboolean is_up_to_cut(gconstpointer ctx, guint32 measurement, gint64 time,
                             const Version *version)
{
  (void)measurement, (void)time;
  return version->hlc <= *(const guint64 *)ctx;
}

/* Of a block with rows beyond the cut these stay. */
static gboolean delete_rows(Mend *mend, guint32 device, const guint8 *key, const guint8 *bytes,
                            gsize size, GError **error)
{
  Block block;
  gsize unpacked_size;
  g_autofree guint8 *unpacked = block_unpack(bytes, size, &unpacked_size, error);
  if (unpacked == NULL || !block_open(unpacked, unpacked_size, &block, error))
    return FALSE;
  if (block.versions == NULL)
    return TRUE;
  Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
  FilteredBlock filtered;
  block_filter(&block, &version, is_up_to_cut, &mend->asked->cut, &filtered);
  if (filtered.changed) {
    rocksdb_writebatch_delete(mend->writes, (const char *)key, BLOCK_KEY_SIZE);
    mend->bytes += BLOCK_KEY_SIZE;
  }
  if (filtered.bytes != NULL) {
    guint8 new_key[BLOCK_KEY_SIZE];
    key_block(new_key, device, mend->partition, &filtered.version, filtered.min_time,
              filtered.max_time);
    mend->bytes += rocks_put_block(mend->store, mend->writes, new_key, filtered.bytes->data,
                                   filtered.bytes->len, NULL);
  }
  filtered_block_clear(&filtered);
  return TRUE;
}

/* What is there up to the cut goes. */
static gboolean delete_blocks(Mend *mend, guint32 device, GError **error)
{
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_fill_cache(options, 0);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(mend->store->db, options);
  guint8 prefix[BLOCK_PREFIX_SIZE];
  gboolean ok = TRUE;
  key_block_prefix(prefix, device, mend->partition);
  for (rocksdb_iter_seek(iterator, (const char *)prefix, sizeof prefix);
       ok && is_inside(iterator, prefix); rocksdb_iter_next(iterator)) {
    size_t key_size, size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &key_size);
    if (key_read_version(key + BLOCK_PREFIX_SIZE).hlc > mend->asked->cut) {
      const guint8 *bytes = (const guint8 *)rocksdb_iter_value(iterator, &size);
      ok = delete_rows(mend, device, key, bytes, size, error);
      continue;
    }
    rocksdb_writebatch_delete(mend->writes, (const char *)key, key_size);
    mend->bytes += key_size;
  }
  ok = ok && rocks_iterator_ok(iterator, error);
  rocksdb_iter_destroy(iterator);
  rocksdb_readoptions_destroy(options);
  return ok;
}

static void delete_chunk(Mend *mend, const guint8 *key, gsize size, guint64 cells)
{
  rocksdb_writebatch_delete(mend->writes, (const char *)key, CHUNK_KEY_SIZE);
  mend->bytes += CHUNK_KEY_SIZE;
  mend->chunks.chunks -= MIN(mend->chunks.chunks, 1);
  mend->chunks.cells -= MIN(mend->chunks.cells, cells);
  mend->chunks.bytes -= MIN(mend->chunks.bytes, size);
}

/* Whether a chunk that can't be read is of what is up to the cut all the same. */
static gboolean is_old_damage(const Mend *mend, const guint8 *key, const GError *error)
{
  const RocksStore *store = mend->store;
  return key != NULL && rocks_is_damage(store, error) && store->reblocked_known &&
         store->reblocked_hlc <= mend->asked->cut;
}

/* All chunks of the bucket are of what is up to the cut, or nothing can be said of it. Of one that
 * can't be read it is known by the greatest horizon of any. */
static gboolean delete_chunks(Mend *mend, guint32 device, GError **error)
{
  Buckets buckets;
  GError *local = NULL;
  buckets_open(mend->store, NULL, device, FALSE, &buckets);
  for (buckets_seek(&buckets, device, mend->partition);; rocksdb_iter_next(buckets.chunks)) {
    Chunk chunk = {0};
    const guint8 *key = NULL;
    gsize size = 0;
    gboolean any =
        buckets_any_chunk_here(&buckets, device, mend->partition, &chunk, &key, &size, &local);
    if (!any && local != NULL && is_old_damage(mend, key, local)) {
      g_clear_error(&local);
      chunk.rows = 0; /* how many they are can't be told */
    } else if (!any) {
      break;
    } else if (chunk.horizon > mend->asked->cut) {
      fail(&local, SYNCLOG_INVALID,
           "what was written up to the clock %" G_GUINT64_FORMAT
           " was joined, and can't be told apart any more",
           chunk.horizon);
      break;
    }
    delete_chunk(mend, key, size, chunk.rows);
  }
  buckets_close(&buckets);
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

static gboolean publish(Mend *mend, guint32 device, GError **error)
{
  RocksStore *store = mend->store;
  guint64 hlc = MAX(store->maintained_hlc, mend->asked->cut);
  /* Versions below the cut that nobody saw are gone: how it was before can't be told any more. */
  rocks_put_maintained(mend->writes, hlc);
  rocks_put_chunk_counts(mend->writes, &mend->chunks, store->reblocked_known);
  char *message = NULL;
  FAILPOINT("store_before_mend");
  fair_lock_write(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, mend->writes, &message);
  if (message == NULL) {
    store->maintained_hlc = hlc;
    store->chunks = mend->chunks;
    if (store->reblock != NULL && device != 0)
      rocks_reblock_mended(store->reblock, device, mend->partition);
    rocks_damage_mended(store, device, mend->partition);
    last_cache_forget(store->last, device);
  }
  fair_lock_release(&store->publish_lock);
  FAILPOINT("store_after_mend");
  g_atomic_int_add(&store->unpersisted_kib, (gint)(mend->bytes / 1024) + 1);
  return message == NULL || rocks_lose(store, message, error);
}

static gboolean replace(Mend *mend, GError **error)
{
  const BucketMend *asked = mend->asked;
  guint32 device = schema_find(mend->store->schema, asked->device);
  if (!decode_parts(mend, error) || (device != 0 && !check_quiet(mend, device, error)) ||
      !check_cut(mend->store, asked->cut, error))
    return FALSE;
  if (!rocks_settle(mend->store, &mend->store->failure))
    return rocks_check_usable(mend->store, error);
  /* No entry that the bucket stands for may come again on top of it. */
  if (!rocks_write_progress(mend->store, error))
    return FALSE;
  if (device != 0 && (!delete_blocks(mend, device, error) || !delete_chunks(mend, device, error)))
    return FALSE;
  SchemaSink sink = {put_name, put_type, ignore_further_type, mend};
  for (guint i = 0; i < mend->decoded->len; i++) {
    const BucketPart *part = asked->parts->pdata[i];
    Decoded *decoded = mend->decoded->pdata[i];
    schema_apply(mend->store->schema, decoded, part->version.hlc, part->version.origin, &sink);
    for (guint k = 0; k < decoded->blocks->len; k++)
      put_block(mend, part, decoded, &g_array_index(decoded->blocks, DecodedBlock, k));
  }
  /* One that was not known has an id by now, and readers may have looked for its values. */
  return publish(mend, schema_find(mend->store->schema, asked->device), error);
}

gboolean rocks_mend(Store *parent, const BucketMend *asked, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  if (!rocks_check_usable(store, error))
    return FALSE;
  Mend mend = {.store = store,
               .asked = asked,
               .partition = partition_of(asked->start_time, store->options.partition_interval),
               .decoded = g_ptr_array_new_with_free_func((GDestroyNotify)store_decoded_free),
               .writes = rocksdb_writebatch_create(),
               .chunks = store->chunks};
  gboolean done = replace(&mend, error);
  rocksdb_writebatch_destroy(mend.writes);
  g_ptr_array_unref(mend.decoded);
  return done;
}
