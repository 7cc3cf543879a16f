/*
 * Carries out deletes for good once nothing older can arrive: takes the hidden cells out of the
 * device's blocks, step by step, and at the end the tombstones. Blocks that arrive meanwhile are
 * newer than all of them.
 */
#include "base/failpoint.h"
#include "store/block_filter.h"
#include "store/decoded.h"
#include "store/rocks_private.h"

#include <string.h>

struct Cleaning {
  guint32 device;
  guint64 horizon;
  GPtrArray *tombstones; /* of the device, at or below the horizon */
  gint64 next_partition, last_partition;
};

void rocks_cleaning_free(Cleaning *cleaning)
{
  g_ptr_array_unref(cleaning->tombstones);
  g_free(cleaning);
}

/* Begins with a device that has anything to clean; NULL: none has. */
static Cleaning *begin(RocksStore *store, guint64 horizon)
{
  guint64 interval = store->options.partition_interval;
  g_rw_lock_reader_lock(&store->publish_lock);
  guint32 device = tombstones_device_below(store->tombstones, horizon);
  GPtrArray *below = device != 0 ? tombstones_below(store->tombstones, device, horizon) : NULL;
  g_rw_lock_reader_unlock(&store->publish_lock);
  if (below == NULL)
    return NULL;
  Cleaning *cleaning = g_new(Cleaning, 1);
  *cleaning = (Cleaning){device, horizon, below, G_MAXINT64, G_MININT64};
  for (guint i = 0; i < below->len; i++) {
    const Tombstone *one = below->pdata[i];
    cleaning->next_partition =
        MIN(cleaning->next_partition, partition_of(one->start_time, interval));
    cleaning->last_partition = MAX(cleaning->last_partition, partition_of(one->end_time, interval));
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
  rocksdb_writebatch_put(step->writes, (const char *)new_key, sizeof new_key,
                         (const char *)filtered->bytes->data, filtered->bytes->len);
  step->written += sizeof new_key + filtered->bytes->len;
}

/* Cleans the block under the iterator: it stays, goes, or is replaced by what is left of it. */
static gboolean clean_block(const Cleaning *cleaning, rocksdb_iterator_t *iterator,
                            const guint8 *key, Step *step, GError **error)
{
  size_t size;
  const guint8 *bytes = (const guint8 *)rocksdb_iter_value(iterator, &size);
  if (!may_hide(cleaning, key, size > 0 && bytes[0] == BLOCK_VERSION_MIXED))
    return TRUE;
  step->read += size;
  Block block;
  if (!block_open(bytes, size, &block, error))
    return FALSE;
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

/* The partition of the block under the iterator, if it is one to be cleaned. */
static gboolean partition_here(const Cleaning *cleaning, rocksdb_iterator_t *iterator,
                               const guint8 **out_key, gint64 *out_partition)
{
  if (!rocksdb_iter_valid(iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
  if (size != BLOCK_KEY_SIZE || key[0] != KEY_BLOCK || load_be32(key + 1) != cleaning->device)
    return FALSE;
  *out_key = key;
  *out_partition = key_unflip(load_be64(key + 5));
  return *out_partition <= cleaning->last_partition;
}

/* Cleans partitions until the budget is used up (*out_done FALSE) or the last one is done. A
 * partition is not left half done, so that the next step knows where to begin. */
static gboolean clean_partitions(Cleaning *cleaning, gsize budget, Step *step, gboolean *out_done,
                                 GError **error)
{
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_fill_cache(options, 0);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(step->store->db, options);
  guint8 prefix[BLOCK_PREFIX_SIZE];
  const guint8 *key;
  gint64 partition;
  gboolean ok = TRUE;
  *out_done = TRUE;
  key_block_prefix(prefix, cleaning->device, cleaning->next_partition);
  rocksdb_iter_seek(iterator, (const char *)prefix, sizeof prefix);
  while (ok && partition_here(cleaning, iterator, &key, &partition)) {
    gboolean next = partition != cleaning->next_partition;
    cleaning->next_partition = partition;
    if (next && step->read > budget) {
      *out_done = FALSE;
      break;
    }
    ok = clean_block(cleaning, iterator, key, step, error);
    if (ok)
      rocksdb_iter_next(iterator);
  }
  ok = ok && rocks_iterator_ok(iterator, error);
  rocksdb_iter_destroy(iterator);
  rocksdb_readoptions_destroy(options);
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

/* Writes the step and publishes what goes with it. */
static gboolean publish(Cleaning *cleaning, Step *step, gboolean done, GError **error)
{
  static const char key[] = {KEY_META, KEY_META_MAINTAINED};
  RocksStore *store = step->store;
  guint64 hlc = MAX(store->maintained_hlc, newest_hlc(cleaning));
  guint8 value[8];
  store_be64(value, hlc);
  if (hlc > store->maintained_hlc)
    rocksdb_writebatch_put(step->writes, key, sizeof key, (const char *)value, sizeof value);
  char *message = NULL;
  FAILPOINT("store_before_maintain");
  g_rw_lock_writer_lock(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, step->writes, &message);
  if (message == NULL) {
    store->maintained_hlc = hlc;
    if (done)
      tombstones_remove(store->tombstones, cleaning->device, cleaning->tombstones);
  }
  g_rw_lock_writer_unlock(&store->publish_lock);
  FAILPOINT("store_after_maintain");
  g_atomic_int_add(&store->unpersisted_kib, (gint)(step->written / 1024) + 1);
  return message == NULL || rocks_lose(store, message, error);
}

gboolean rocks_maintain(Store *parent, guint64 horizon, gsize budget, gboolean *out_more,
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
  if (!rocks_settle(store, &store->failure))
    return rocks_check_usable(store, error);
  Step step = {.store = store, .writes = rocksdb_writebatch_create()};
  gboolean done = FALSE;
  gboolean ok = clean_partitions(store->cleaning, budget, &step, &done, error);
  if (ok && done)
    delete_tombstones(store->cleaning, &step);
  ok = ok && publish(store->cleaning, &step, done, error);
  rocksdb_writebatch_destroy(step.writes);
  if (!ok || done)
    g_clear_pointer(&store->cleaning, rocks_cleaning_free);
  *out_more = ok;
  return ok;
}
