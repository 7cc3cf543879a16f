/*
 * Carries out deletes for good once nothing older can arrive: takes the hidden cells out of the
 * device's blocks, step by step, and at the end the tombstones. Blocks that arrive meanwhile are
 * newer than all of them.
 *
 * A bucket that can't be read is left as it is, and so are the deletes that touch it: they hide
 * what is in its other blocks.
 */
#include "base/failpoint.h"
#include "store/block_filter.h"
#include "store/chunk_builder.h"
#include "store/decoded.h"
#include "store/rocks_buckets.h"

#include <string.h>

struct Cleaning {
  guint32 device;
  guint64 horizon;
  GPtrArray *tombstones; /* of the device, at or below the horizon */
  gint64 next_partition;
};

void rocks_cleaning_free(Cleaning *cleaning)
{
  g_ptr_array_unref(cleaning->tombstones);
  g_free(cleaning);
}

gboolean rocks_is_stuck(const RocksStore *store, guint32 device, const Tombstone *tombstone)
{
  guint64 interval = store->options.partition_interval;
  return rocks_damage_between(store, device, partition_of(tombstone->start_time, interval),
                              partition_of(tombstone->end_time, interval));
}

static gboolean can_go(gconstpointer store, guint32 device, const Tombstone *tombstone)
{
  return !rocks_is_stuck(store, device, tombstone);
}

/* Begins with a device that has anything to clean; NULL: none has. */
static Cleaning *begin(RocksStore *store, guint64 horizon)
{
  guint64 interval = store->options.partition_interval;
  fair_lock_read(&store->publish_lock);
  guint32 device = tombstones_device_below(store->tombstones, horizon, can_go, store);
  GPtrArray *below = device != 0 ? tombstones_below(store->tombstones, device, horizon) : NULL;
  fair_lock_release(&store->publish_lock);
  if (below == NULL)
    return NULL;
  for (guint i = below->len; i-- > 0;)
    if (rocks_is_stuck(store, device, below->pdata[i]))
      g_ptr_array_remove_index_fast(below, i);
  Cleaning *cleaning = g_new(Cleaning, 1);
  *cleaning = (Cleaning){device, horizon, below, G_MAXINT64};
  for (guint i = 0; i < below->len; i++) {
    const Tombstone *one = below->pdata[i];
    cleaning->next_partition =
        MIN(cleaning->next_partition, partition_of(one->start_time, interval));
  }
  return cleaning;
}

static gboolean is_hidden(gconstpointer ctx, guint32 measurement, gint64 time,
                          const Version *version)
{
  const Cleaning *cleaning = ctx;
  for (guint i = 0; i < cleaning->tombstones->len; i++) {
    const Tombstone *one = cleaning->tombstones->pdata[i];
    if (one->start_time <= time && time <= one->end_time &&
        version_compare(&one->version, version) > 0 && tombstone_names(one, measurement))
      return TRUE;
  }
  return FALSE;
}

/* What of one step goes into its batch. */
typedef struct Step {
  RocksStore *store;
  rocksdb_writebatch_t *writes;
  ChunkCounts chunks;
  gsize read, written;
} Step;

/* By its key and whether it is of one version. */
static gboolean may_hide(const Cleaning *cleaning, const guint8 *key, gboolean mixed)
{
  gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
  gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
  Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
  for (guint i = 0; i < cleaning->tombstones->len; i++) {
    const Tombstone *one = cleaning->tombstones->pdata[i];
    if (one->start_time <= max_time && min_time <= one->end_time &&
        (mixed || version_compare(&one->version, &version) > 0))
      return TRUE;
  }
  return FALSE;
}

static void put_filtered(const Cleaning *cleaning, const guint8 *key, const FilteredBlock *filtered,
                         Step *step)
{
  guint8 new_key[BLOCK_KEY_SIZE];
  key_block(new_key, cleaning->device, key_unflip(load_be64(key + 5)), &filtered->version,
            filtered->min_time, filtered->max_time);
  step->written += rocks_put_block(step->store, step->writes, new_key, filtered->bytes->data,
                                   filtered->bytes->len, NULL);
}

/* Cleans the block under the iterator: it stays, goes, or is replaced by what is left of it. */
static gboolean clean_block(const Cleaning *cleaning, rocksdb_iterator_t *iterator,
                            const guint8 *key, Step *step, GError **error)
{
  size_t size;
  const guint8 *bytes = (const guint8 *)rocksdb_iter_value(iterator, &size);
  if (!may_hide(cleaning, key, block_is_mixed(bytes, size)))
    return TRUE;
  Block block;
  gsize unpacked_size;
  g_autofree guint8 *unpacked = block_unpack(bytes, size, &unpacked_size, error);
  if (unpacked == NULL || !block_open(unpacked, unpacked_size, &block, error))
    return FALSE;
  step->read += unpacked_size;
  Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
  FilteredBlock filtered;
  block_filter(&block, &version, is_hidden, cleaning, &filtered);
  if (!filtered.changed)
    return TRUE;
  rocksdb_writebatch_delete(step->writes, (const char *)key, BLOCK_KEY_SIZE);
  step->written += BLOCK_KEY_SIZE;
  if (filtered.bytes != NULL)
    put_filtered(cleaning, key, &filtered, step);
  filtered_block_clear(&filtered);
  return TRUE;
}

static gboolean clean_blocks(const Cleaning *cleaning, Buckets *buckets, gint64 partition,
                             Step *step, GError **error)
{
  rocksdb_iterator_t *iterator = buckets->blocks;
  guint8 prefix[BLOCK_PREFIX_SIZE];
  key_block_prefix(prefix, cleaning->device, partition);
  for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
    size_t size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    if (size != BLOCK_KEY_SIZE || memcmp(key, prefix, sizeof prefix) != 0)
      break;
    if (!clean_block(cleaning, iterator, key, step, error))
      return FALSE;
  }
  return rocks_iterator_ok(iterator, error);
}

/* --- chunks -------------------------------------------------------------------------------------
 */

/* Where the cells of a chunk go that stay. */
typedef struct Cleaned {
  Step *step;
  guint8 key[CHUNK_KEY_SIZE]; /* of the chunk that it was */
} Cleaned;

static void put_chunk(gpointer ctx, gint64 min_time, guint rows, const GByteArray *bytes)
{
  Cleaned *cleaned = ctx;
  Step *step = cleaned->step;
  store_be64(cleaned->key + CHUNK_KEY_TIME, key_flip(min_time));
  rocksdb_writebatch_put(step->writes, (const char *)cleaned->key, CHUNK_KEY_SIZE,
                         (const char *)bytes->data, bytes->len);
  step->written += CHUNK_KEY_SIZE + bytes->len;
  step->chunks.chunks++;
  step->chunks.cells += rows;
  step->chunks.bytes += bytes->len;
}

/* A delete hides a cell of a chunk exactly when it is above the chunk's horizon. */
static gboolean hides(const Tombstone *tombstone, const Chunk *chunk, guint32 measurement,
                      gint64 from, gint64 to)
{
  return tombstone->version.hlc > chunk->horizon && tombstone->start_time <= to &&
         from <= tombstone->end_time && tombstone_names(tombstone, measurement);
}

static gboolean any_hides(const Cleaning *cleaning, const Chunk *chunk, guint32 measurement,
                          gint64 from, gint64 to)
{
  for (guint i = 0; i < cleaning->tombstones->len; i++)
    if (hides(cleaning->tombstones->pdata[i], chunk, measurement, from, to))
      return TRUE;
  return FALSE;
}

/* Makes the chunk anew without the cells that are hidden. */
static gboolean clean_chunk(const Cleaning *cleaning, const Chunk *chunk, const guint8 *key,
                            gsize size, Step *step, GError **error)
{
  guint32 measurement = load_be32(key + CHUNK_KEY_MEASUREMENT);
  Cleaned cleaned = {.step = step};
  memcpy(cleaned.key, key, sizeof cleaned.key);
  OpenChunk open;
  if (!open_chunk_decode(chunk, &open, error))
    return FALSE;
  rocksdb_writebatch_delete(step->writes, (const char *)key, CHUNK_KEY_SIZE);
  step->chunks.chunks--;
  step->chunks.cells -= chunk->rows;
  step->chunks.bytes -= size;
  g_autoptr(ChunkBuilder) builder =
      chunk_builder_new(chunk->type, chunk->horizon, chunk->has_versions, put_chunk, &cleaned);
  for (guint row = 0; row < chunk->rows; row++) {
    ChunkCell cell = open_chunk_cell(&open, row);
    if (!any_hides(cleaning, chunk, measurement, cell.time, cell.time))
      chunk_builder_add(builder, &cell);
  }
  chunk_builder_end(builder);
  open_chunk_clear(&open);
  return TRUE;
}

static gboolean clean_chunks(const Cleaning *cleaning, Buckets *buckets, gint64 partition,
                             Step *step, GError **error)
{
  const guint8 *key;
  GError *local = NULL;
  Chunk chunk;
  gsize size;
  for (; buckets_any_chunk_here(buckets, cleaning->device, partition, &chunk, &key, &size, &local);
       rocksdb_iter_next(buckets->chunks)) {
    step->read += size;
    if (any_hides(cleaning, &chunk, load_be32(key + CHUNK_KEY_MEASUREMENT), chunk.min_time,
                  chunk.max_time) &&
        !clean_chunk(cleaning, &chunk, key, size, step, &local))
      break;
  }
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

/* --- steps --------------------------------------------------------------------------------------
 */

/* The first partition at or behind this one that any of the deletes touches; FALSE: none does. */
static gboolean find_touched(const Cleaning *cleaning, guint64 interval, gint64 partition,
                             gint64 *out)
{
  gboolean found = FALSE;
  for (guint i = 0; i < cleaning->tombstones->len; i++) {
    const Tombstone *one = cleaning->tombstones->pdata[i];
    gint64 first = MAX(partition_of(one->start_time, interval), partition);
    if (partition_of(one->end_time, interval) < first || (found && first >= *out))
      continue;
    found = TRUE;
    *out = first;
  }
  return found;
}

/* Cleans partitions until the budget is used up (*out_done FALSE) or the last one is done. A
 * partition is not left half done, so that the next step knows where to begin. next_partition is
 * always one that a delete touches: on an error, it is what can't be read. */
static gboolean clean_partitions(Cleaning *cleaning, gsize budget, Step *step, gboolean *out_done,
                                 GError **error)
{
  Buckets buckets;
  guint32 device;
  gint64 partition, touched = 0;
  gboolean ok = TRUE, begun = FALSE;
  *out_done = TRUE;
  buckets_open(step->store, NULL, cleaning->device, FALSE, &buckets);
  buckets_seek(&buckets, cleaning->device, cleaning->next_partition);
  while (ok && buckets_here(&buckets, &device, &partition) &&
         find_touched(cleaning, step->store->options.partition_interval, partition, &touched)) {
    cleaning->next_partition = touched;
    if (touched > partition) {
      buckets_seek(&buckets, cleaning->device, touched);
      continue;
    }
    if (begun && step->read > budget) {
      *out_done = FALSE;
      break;
    }
    begun = TRUE;
    ok = clean_blocks(cleaning, &buckets, partition, step, error) &&
         clean_chunks(cleaning, &buckets, partition, step, error);
  }
  ok = ok && buckets_ok(&buckets, error);
  buckets_close(&buckets);
  return ok;
}

static void delete_tombstones(const Cleaning *cleaning, Step *step)
{
  for (guint i = 0; i < cleaning->tombstones->len; i++) {
    const Tombstone *one = cleaning->tombstones->pdata[i];
    guint8 key[TOMBSTONE_KEY_SIZE];
    key_tombstone(key, cleaning->device, &one->version);
    rocksdb_writebatch_delete(step->writes, (const char *)key, sizeof key);
    step->written += sizeof key;
  }
}

/* The state before the newest of these deletes can't be told any more from the first step on. */
static guint64 newest_hlc(const Cleaning *cleaning)
{
  guint64 hlc = 0;
  for (guint i = 0; i < cleaning->tombstones->len; i++)
    hlc = MAX(hlc, ((const Tombstone *)cleaning->tombstones->pdata[i])->version.hlc);
  return hlc;
}

static void put_clock(rocksdb_writebatch_t *writes, char kind, guint64 hlc)
{
  const char key[] = {KEY_META, kind};
  guint8 value[8];
  store_be64(value, hlc);
  rocksdb_writebatch_put(writes, key, sizeof key, (const char *)value, sizeof value);
}

void rocks_put_maintained(rocksdb_writebatch_t *writes, guint64 hlc)
{
  put_clock(writes, KEY_META_MAINTAINED, hlc);
}

void rocks_put_reblocked(rocksdb_writebatch_t *writes, guint64 hlc)
{
  put_clock(writes, KEY_META_REBLOCKED, hlc);
}

void rocks_put_chunk_counts(rocksdb_writebatch_t *writes, const ChunkCounts *counts,
                            gboolean reblocked_known)
{
  static const char key[] = {KEY_META, KEY_META_CHUNKS}, beside[] = {KEY_META, KEY_META_BESIDE};
  guint8 value[CHUNK_COUNTS_SIZE];
  store_be64(value, counts->chunks);
  store_be64(value + 8, counts->cells);
  store_be64(value + 16, counts->bytes);
  rocksdb_writebatch_put(writes, key, sizeof key, (const char *)value, sizeof value);
  if (reblocked_known)
    rocksdb_writebatch_put(writes, beside, sizeof beside, (const char *)value, sizeof value);
}

/* Writes the step and publishes what goes with it. */
static gboolean publish(Cleaning *cleaning, Step *step, gboolean done, GError **error)
{
  RocksStore *store = step->store;
  guint64 hlc = MAX(store->maintained_hlc, newest_hlc(cleaning));
  if (hlc > store->maintained_hlc)
    rocks_put_maintained(step->writes, hlc);
  rocks_put_chunk_counts(step->writes, &step->chunks, store->reblocked_known);
  char *message = NULL;
  FAILPOINT("store_before_maintain");
  fair_lock_write(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, step->writes, &message);
  if (message == NULL) {
    store->maintained_hlc = hlc;
    store->chunks = step->chunks;
    if (done)
      tombstones_remove(store->tombstones, cleaning->device, cleaning->tombstones);
  }
  fair_lock_release(&store->publish_lock);
  FAILPOINT("store_after_maintain");
  g_atomic_int_add(&store->unpersisted_kib, (gint)(step->written / 1024) + 1);
  return message == NULL || rocks_lose(store, message, error);
}

/* What is done before the damage is lost with the step; the next one begins anew, without the
 * deletes that touch it. */
static gboolean leave_damaged(RocksStore *store, GError *damage, GError **error)
{
  if (!rocks_is_damage(store, damage)) {
    g_propagate_error(error, damage);
    return FALSE;
  }
  rocks_damage_note(store, store->cleaning->device, store->cleaning->next_partition, damage);
  g_error_free(damage);
  return TRUE;
}

static gboolean clean(RocksStore *store, gsize budget, GError **error)
{
  if (!rocks_settle(store, &store->failure))
    return rocks_check_usable(store, error);
  /* Whatever is taken out for good is never asked of the logs again. */
  if (!rocks_write_progress(store, error))
    return FALSE;
  Step step = {.store = store, .writes = rocksdb_writebatch_create(), .chunks = store->chunks};
  gboolean done = FALSE;
  GError *damage = NULL;
  gboolean clean = clean_partitions(store->cleaning, budget, &step, &done, &damage);
  if (clean && done)
    delete_tombstones(store->cleaning, &step);
  gboolean ok =
      clean ? publish(store->cleaning, &step, done, error) : leave_damaged(store, damage, error);
  rocksdb_writebatch_destroy(step.writes);
  if (!clean || !ok || done)
    g_clear_pointer(&store->cleaning, rocks_cleaning_free);
  return ok;
}

gboolean rocks_carry_out(Store *parent, guint64 horizon, gsize budget, gboolean *out_more,
                         GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  *out_more = FALSE;
  if (!rocks_check_usable(store, error))
    return FALSE;
  if (store->cleaning == NULL)
    store->cleaning = begin(store, horizon);
  if (store->cleaning == NULL)
    return TRUE;
  *out_more = clean(store, budget, error);
  return *out_more;
}

gboolean rocks_maintain(Store *parent, guint64 horizon, gsize budget, gboolean *out_more,
                        GError **error)
{
  if (!rocks_carry_out(parent, horizon, budget, out_more, error))
    return FALSE;
  return *out_more || rocks_reblock((RocksStore *)parent, horizon, budget, out_more, error);
}
