#include "store/rocks_private.h"

#include "base/failpoint.h"
#include "base/limits.h"

#include <errno.h>
#include <string.h>

enum {
  /* RocksDB writes a memtable out by itself only when it is this many times the size at which the
   * host is told to persist: the host must have synced its logs first. */
  MEMTABLE_BACKSTOP = 32,
  DELETION_WINDOW = 128, /* a file is compacted when of so many keys in a row … */
  DELETION_TRIGGER = 32, /* … so many are deletions */
  PERSISTED_TIER = 2,    /* ReadTier::kPersistedTier */
  L0_FILES = 8,          /* that are compacted together; 4 is RocksDB's default */
  FRESH_SIZE = 8 << 20,  /* bytes of blocks that are kept out of the memtable for a while */
};

static RocksStore *rocks_of(Store *store)
{
  return (RocksStore *)store;
}

gboolean rocks_fail(GError **error, char *message, const char *what)
{
  SynclogStatus code = SYNCLOG_INTERNAL;
  if (strstr(message, "No space left") != NULL || strstr(message, "NoSpace") != NULL)
    code = SYNCLOG_NO_SPACE;
  else if (g_str_has_prefix(message, "Corruption"))
    code = SYNCLOG_CORRUPT;
  fail(error, code, "store: %s: %s", what, message);
  rocksdb_free(message);
  return FALSE;
}

gboolean rocks_get(RocksStore *store, const rocksdb_readoptions_t *options, gconstpointer key,
                   gsize key_size, char **out_value, gsize *out_size, GError **error)
{
  char *message = NULL;
  rocksdb_readoptions_t *now = options == NULL ? rocksdb_readoptions_create() : NULL;
  *out_value =
      rocksdb_get(store->db, now != NULL ? now : options, key, key_size, out_size, &message);
  if (now != NULL)
    rocksdb_readoptions_destroy(now);
  return message == NULL || rocks_fail(error, message, "reading");
}

/* --- opening ------------------------------------------------------------------------------------
 */

/* The host says when to persist; closing must not, least of all on a full disk. The C API has no
 * function for this option. */
static rocksdb_options_t *without_flush_at_close(rocksdb_options_t *options)
{
  rocksdb_options_t *changed = rocksdb_options_create();
  char *message = NULL;
  rocksdb_get_options_from_string(options, "avoid_flush_during_shutdown=true", changed, &message);
  g_assert(message == NULL);
  rocksdb_options_destroy(options);
  return changed;
}

static rocksdb_options_t *make_options(RocksStore *store)
{
  rocksdb_options_t *options = rocksdb_options_create();
  store->env = rocksdb_create_default_env();
  rocksdb_env_lower_thread_pool_cpu_priority(store->env);
  rocksdb_options_set_env(options, store->env);
  rocksdb_options_set_create_if_missing(options, !store->options.read_only);
  rocksdb_options_set_paranoid_checks(options, 1);
  rocksdb_options_set_max_background_jobs(options, 2);
  rocksdb_options_set_write_buffer_size(options, store->options.memtable_size * MEMTABLE_BACKSTOP);
  rocksdb_options_set_max_write_buffer_number(options, 4);
  static const int compression[7] = {rocksdb_lz4_compression, rocksdb_lz4_compression,
                                     rocksdb_lz4_compression, rocksdb_lz4_compression,
                                     rocksdb_lz4_compression, rocksdb_lz4_compression,
                                     rocksdb_lz4_compression};
  rocksdb_options_set_compression_per_level(options, compression, G_N_ELEMENTS(compression));
  rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
  rocksdb_options_set_bottommost_compression_options(options, -14, 1, 0, 0, 1);
  rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
  /* A compaction reads and writes about all there is: half as often costs half of it. */
  rocksdb_options_set_level0_file_num_compaction_trigger(options, L0_FILES);
  rocksdb_options_set_target_file_size_base(options, 64 << 20);
  rocksdb_options_set_max_bytes_for_level_base(options, 256 << 20);
  /* A file in which many keys are deleted is compacted soon, so that maintenance frees space. */
  rocksdb_options_add_compact_on_deletion_collector_factory(options, DELETION_WINDOW,
                                                            DELETION_TRIGGER);
  guint files = store->options.max_open_files;
  rocksdb_options_set_max_open_files(
      options, (int)(files > 0 ? MIN(files, STORE_OPEN_FILES) : STORE_OPEN_FILES));
  rocksdb_options_set_bytes_per_sync(options, 1 << 20);
  rocksdb_options_set_keep_log_file_num(options, 4);
  rocksdb_options_set_max_log_file_size(options, 16 << 20);
  rocksdb_options_set_stats_dump_period_sec(options, 0);
  rocksdb_options_set_stats_persist_period_sec(options, 0);
  rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
  store->cache = rocksdb_cache_create_lru(store->options.block_cache_size);
  rocksdb_block_based_options_set_block_cache(table, store->cache);
  rocksdb_block_based_options_set_block_size(table, 32 << 10);
  rocksdb_block_based_options_set_format_version(table, 5);
  rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
  rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
  rocksdb_options_set_block_based_table_factory(options, table);
  rocksdb_block_based_options_destroy(table);
  return without_flush_at_close(options);
}

static gboolean load_tombstone(RocksStore *store, const guint8 *key, const guint8 *value,
                               gsize size)
{
  if (size < 16 || size % 4 != 0)
    return FALSE;
  Tombstone tombstone = {.version = key_read_version(key + 5),
                         .start_time = (gint64)load_be64(value),
                         .end_time = (gint64)load_be64(value + 8),
                         .measurement_count = (guint)((size - 16) / 4)};
  if (tombstone.measurement_count > 0)
    tombstone.measurements = g_new(guint32, tombstone.measurement_count);
  for (guint i = 0; i < tombstone.measurement_count; i++)
    tombstone.measurements[i] = load_be32(value + 16 + i * 4);
  tombstones_add(store->tombstones, load_be32(key + 1), &tombstone);
  pending_load_delete(store->checks, load_be32(key + 1), &tombstone.version, tombstone.start_time,
                      tombstone.end_time);
  return TRUE;
}

static gboolean load_writer(RocksStore *store, const guint8 *key, gsize key_size)
{
  if (key_size != WRITER_KEY_SIZE || schema_name(store->schema, load_be32(key + 1)) == NULL)
    return FALSE;
  pending_load_origin(store->checks, load_be32(key + 1), load_be32(key + 5));
  return TRUE;
}

static gboolean rocks_find_key(Store *store, const guint8 hash[WRITE_KEY_HASH_SIZE],
                               WriteKey *out_key)
{
  return write_keys_find(rocks_of(store)->keys, hash, out_key);
}

/* FALSE when the record is not as it was written. */
static gboolean load_record(RocksStore *store, const guint8 *key, gsize key_size,
                            const guint8 *value, gsize size)
{
  if (key[0] == KEY_NAME)
    return key_size == NAME_KEY_SIZE &&
           schema_load_name(store->schema, load_be32(key + 1), (const char *)value, size);
  if (key[0] == KEY_TOMBSTONE)
    return key_size == TOMBSTONE_KEY_SIZE && load_tombstone(store, key, value, size);
  if (key[0] == KEY_CHECK)
    return rocks_load_check(store, key, key_size, value, size);
  if (key[0] == KEY_WRITER)
    return load_writer(store, key, key_size);
  if (key[0] == KEY_WRITE_KEY)
    return rocks_load_write_key(store, key, key_size, value, size);
  if (size != 16)
    return FALSE;
  if (key[0] == KEY_SCHEMA) {
    Version version = key_read_version(value);
    if (key_size != SCHEMA_KEY_SIZE ||
        !schema_load_type(store->schema, load_be32(key + 1), load_be32(key + 5), (DataType)key[9],
                          &version))
      return FALSE;
    pending_load_device(store->checks, load_be32(key + 1));
    return TRUE;
  }
  if (key_size != APPLIED_KEY_SIZE)
    return FALSE;
  StoreProgress progress = {
      {load_be32(key + 1), load_be64(key + 5)}, load_be64(value), load_be64(value + 8)};
  g_array_append_val(store->progress, progress); /* keys come in the order of ids */
  return TRUE;
}

/* Reads all small records of one kind into memory. */
static gboolean load_kind(RocksStore *store, char kind, GError **error)
{
  char end = (char)(kind + 1);
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_iterate_upper_bound(options, &end, 1);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, options);
  gboolean sound = TRUE;
  for (rocksdb_iter_seek(iterator, &kind, 1); sound && rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t key_size, size;
    const char *key = rocksdb_iter_key(iterator, &key_size);
    const char *value = rocksdb_iter_value(iterator, &size);
    sound = load_record(store, (const guint8 *)key, key_size, (const guint8 *)value, size);
  }
  char *message = NULL;
  rocksdb_iter_get_error(iterator, &message);
  rocksdb_iter_destroy(iterator);
  rocksdb_readoptions_destroy(options);
  if (message != NULL)
    return rocks_fail(error, message, "reading");
  return sound || fail(error, SYNCLOG_CORRUPT, "%s: a record of kind '%c' is damaged",
                       store->options.directory, kind);
}

/* Reads a record of so many bytes. *out_found FALSE: there is none. */
static gboolean read_meta(RocksStore *store, char kind, guint8 *out, gsize wanted,
                          gboolean *out_found, GError **error)
{
  const char key[] = {KEY_META, kind};
  char *found;
  gsize size;
  if (!rocks_get(store, NULL, key, sizeof key, &found, &size, error))
    return FALSE;
  gboolean sound = found == NULL || size == wanted;
  *out_found = found != NULL && sound;
  if (*out_found)
    memcpy(out, found, wanted);
  rocksdb_free(found);
  return sound || fail(error, SYNCLOG_CORRUPT, "%s: the record of maintenance is damaged",
                       store->options.directory);
}

static gboolean load_maintained(RocksStore *store, GError **error)
{
  guint8 hlc[8], reblocked[8], counts[CHUNK_COUNTS_SIZE], beside[CHUNK_COUNTS_SIZE];
  gboolean any_hlc, any_reblocked, any_counts, any_beside;
  if (!read_meta(store, KEY_META_MAINTAINED, hlc, sizeof hlc, &any_hlc, error) ||
      !read_meta(store, KEY_META_REBLOCKED, reblocked, sizeof reblocked, &any_reblocked, error) ||
      !read_meta(store, KEY_META_CHUNKS, counts, sizeof counts, &any_counts, error) ||
      !read_meta(store, KEY_META_BESIDE, beside, sizeof beside, &any_beside, error))
    return FALSE;
  if (any_hlc)
    store->maintained_hlc = load_be64(hlc);
  if (any_counts)
    store->chunks = (ChunkCounts){load_be64(counts), load_be64(counts + 8), load_be64(counts + 16)};
  if (any_reblocked)
    store->reblocked_hlc = load_be64(reblocked);
  /* An older version that worked on the store meanwhile made chunks, and knows nothing of this. */
  gboolean same = any_counts && any_beside && memcmp(counts, beside, sizeof counts) == 0;
  store->reblocked_known = (any_reblocked && same) || store->chunks.chunks == 0;
  return TRUE;
}

static gboolean load(RocksStore *store, GError **error)
{
  /* Names before what refers to them. */
  static const char kinds[] = {KEY_NAME,    KEY_WRITER, KEY_SCHEMA,   KEY_TOMBSTONE,
                               KEY_APPLIED, KEY_CHECK,  KEY_WRITE_KEY};
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
    if (!load_kind(store, kinds[i], error))
      return FALSE;
  rocks_sort_write_keys(store);
  return load_maintained(store, error) && rocks_load_counts(store, error);
}

static void rocks_close(Store *parent)
{
  RocksStore *store = rocks_of(parent);
  g_clear_pointer(&store->cleaning, rocks_cleaning_free);
  g_clear_pointer(&store->look, rocks_look_free);
  g_clear_pointer(&store->reblock, rocks_reblock_free);
  rocks_damage_free(store->damage);
  last_cache_free(store->last);
  if (store->db != NULL)
    rocksdb_close(store->db);
  rocksdb_options_destroy(store->db_options);
  rocksdb_env_destroy(store->env);
  rocksdb_cache_destroy(store->cache);
  rocksdb_writeoptions_destroy(store->write_options);
  rocksdb_readoptions_destroy(store->persisted_options);
  schema_free(store->schema);
  write_keys_free(store->keys);
  g_clear_pointer(&store->loaded_keys, g_array_unref);
  tombstones_free(store->tombstones);
  pending_free(store->checks);
  fresh_free(store->fresh);
  g_array_unref(store->progress);
  g_array_unref(store->written_progress);
  fair_lock_clear(&store->publish_lock);
  g_clear_error(&store->failure);
  g_free((char *)store->options.directory);
  g_free(store);
}

/* --- writing ------------------------------------------------------------------------------------
 */

/* What one apply collects before it is published. */
typedef struct Batch {
  RocksStore *store;
  rocksdb_writebatch_t *writes;
  GArray *fresh;      /* FreshBlock, whose bytes are the entries' */
  GArray *large;      /* the same of blocks that are in `writes` */
  GByteArray *packed; /* scratch */
  GArray *progress;   /* StoreProgress: a copy of the store's, moved on */
  GArray *tombstones; /* Tombstone, with `devices` beside it */
  GArray *devices;    /* guint32 */
  gsize bytes;
  guint64 overflowed; /* checks that found no room */
} Batch;

static void put(Batch *batch, const void *key, gsize key_size, const void *value, gsize size)
{
  rocksdb_writebatch_put(batch->writes, key, key_size, value, size);
  batch->bytes += key_size + size;
}

static void put_name(gpointer ctx, guint32 id, const char *bytes, gsize size)
{
  Batch *batch = ctx;
  batch->bytes += rocks_put_name(batch->writes, id, bytes, size);
}

static void put_type(gpointer ctx, guint32 device, guint32 measurement, DataType type,
                     const Version *version)
{
  Batch *batch = ctx;
  batch->bytes += rocks_put_type(batch->writes, device, measurement, type, version);
}

static void put_noted(Batch *batch, const Noted *noted, guint32 device, guint32 origin)
{
  batch->bytes += rocks_put_noted(batch->writes, noted, device, origin);
  batch->overflowed += noted->overflowed ? 1 : 0;
}

static void put_further_type(gpointer ctx, guint32 device, guint32 measurement, DataType type)
{
  Batch *batch = ctx;
  Noted noted = pending_note_type(batch->store->checks, device, measurement, type);
  put_noted(batch, &noted, device, 0);
}

static void put_block(Batch *batch, const StoreEntry *entry, const DecodedBlock *block)
{
  Decoded *decoded = entry->decoded;
  guint8 *place = decoded->values->data + block->value_at + BLOCK_HEAD_SIZE;
  for (guint i = 0; i < block->column_count; i++, place += BLOCK_COLUMN_SIZE)
    store_le32(place, g_array_index(decoded->columns, DecodedColumn, block->first_column + i).id);
  Version version = {entry->hlc, entry->log.origin, block->ordinal};
  const guint8 *value = decoded->values->data + block->value_at;
  FreshBlock one = {
      block->device_id, block->partition, block->layout, {version, value, block->value_size}};
  if (block->value_size > FRESH_MAX_BLOCK_SIZE) {
    guint8 key[BLOCK_KEY_SIZE];
    key_block(key, block->device_id, block->partition, &version, block->min_time, block->max_time);
    batch->bytes +=
        rocks_put_block(batch->store, batch->writes, key, value, block->value_size, batch->packed);
    g_array_append_val(batch->large, one);
    rocks_reblock_note(batch->store->reblock, &(FreshNote){block->device_id, block->partition, 1,
                                                           load_le32(value + 4), version.hlc});
  } else {
    g_array_append_val(batch->fresh, one);
    /* Its head will be shared with others'. */
    batch->bytes += block->value_size - block->column_count * BLOCK_COLUMN_SIZE;
  }
  Noted noted = pending_note_block(batch->store->checks, block->device_id, block->partition,
                                   &version, block->min_time, block->max_time);
  put_noted(batch, &noted, block->device_id, version.origin);
}

static int compare_ids(gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *)a, y = *(const guint32 *)b;
  return x < y ? -1 : x > y;
}

static guint32 id_of(RocksStore *store, Slice name)
{
  g_autofree char *text = g_strndup(name.bytes, name.size);
  guint32 id = schema_find(store->schema, text);
  g_assert(id != 0); /* schema_apply noted it */
  return id;
}

static void put_delete(Batch *batch, const StoreEntry *entry, const DecodedDelete *delete)
{
  RocksStore *store = batch->store;
  Tombstone tombstone = {.version = {entry->hlc, entry->log.origin, delete->ordinal},
                         .start_time = delete->start_time,
                         .end_time = delete->end_time,
                         .measurement_count = delete->name_count};
  g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < delete->name_count; i++) {
    guint32 id = id_of(store, g_array_index(entry->decoded->names, Slice, delete->first_name + i));
    g_array_append_val(ids, id);
  }
  g_array_sort(ids, compare_ids);
  guint32 device = id_of(store, delete->device);
  guint8 key[TOMBSTONE_KEY_SIZE];
  key_tombstone(key, device, &tombstone.version);
  gsize size = 16 + (gsize)ids->len * 4;
  g_autofree guint8 *value = g_malloc(size);
  store_be64(value, (guint64) delete->start_time);
  store_be64(value + 8, (guint64) delete->end_time);
  for (guint i = 0; i < ids->len; i++)
    store_be32(value + 16 + i * 4, g_array_index(ids, guint32, i));
  put(batch, key, sizeof key, value, size);
  if (ids->len > 0)
    tombstone.measurements = g_memdup2(ids->data, (gsize)ids->len * 4);
  g_array_append_val(batch->tombstones, tombstone);
  g_array_append_val(batch->devices, device);
  gint64 first = partition_of(tombstone.start_time, store->options.partition_interval);
  Noted noted = pending_note_delete(store->checks, device, first, &tombstone.version,
                                    tombstone.start_time, tombstone.end_time);
  put_noted(batch, &noted, device, tombstone.version.origin);
}

/* The log's place in the sorted progress; a new one begins at 0. */
static StoreProgress *put_progress(GArray *all, LogId log)
{
  guint low = 0, high = all->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    int order = log_id_compare(&g_array_index(all, StoreProgress, middle).log, &log);
    if (order == 0)
      return &g_array_index(all, StoreProgress, middle);
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  StoreProgress fresh = {.log = log};
  g_array_insert_val(all, low, fresh);
  return &g_array_index(all, StoreProgress, low);
}

static void add_entry(Batch *batch, const StoreEntry *entry)
{
  StoreProgress *progress = put_progress(batch->progress, entry->log);
  if (entry->index <= progress->applied)
    return; /* P2: a duplicate changes nothing */
  g_assert(entry->index == progress->applied + 1);
  SchemaSink sink = {put_name, put_type, put_further_type, batch};
  schema_apply(batch->store->schema, entry->decoded, entry->hlc, entry->log.origin, &sink);
  const Decoded *decoded = entry->decoded;
  for (guint i = 0; i < decoded->deletes->len; i++)
    put_delete(batch, entry, &g_array_index(decoded->deletes, DecodedDelete, i));
  for (guint i = 0; i < decoded->blocks->len; i++)
    put_block(batch, entry, &g_array_index(decoded->blocks, DecodedBlock, i));
  if (decoded->has_key)
    batch->bytes += rocks_put_write_key(batch->store, batch->writes, entry);
  progress->applied = entry->index;
  progress->hlc = entry->hlc;
}

/*
 * After a batch was lost the schema in memory has names and types that are not on disk, and would
 * never write them: blocks would follow whose names nobody knows after a restart. So the failure
 * stays until the store is opened anew.
 */
gboolean rocks_check_usable(const RocksStore *store, GError **error)
{
  if (store->failure == NULL)
    return TRUE;
  if (error != NULL)
    *error = g_error_copy(store->failure);
  return FALSE;
}

gboolean rocks_lose(RocksStore *store, char *message, GError **error)
{
  rocks_fail(&store->failure, message, "writing");
  return rocks_check_usable(store, error);
}

static void put_overflowed(Batch *batch)
{
  ConflictCounts counts = batch->store->conflicts;
  counts.overflowed += batch->overflowed;
  batch->bytes += rocks_put_counts(batch->writes, &counts);
}

static void keep_last(const Batch *batch, const GArray *blocks)
{
  RocksStore *store = batch->store;
  for (guint i = 0; i < blocks->len; i++) {
    const FreshBlock *one = &g_array_index(blocks, FreshBlock, i);
    last_cache_add_block(store->last, one->device, &one->part.version, one->part.bytes,
                         one->part.size, store->tombstones);
  }
}

/* The last values that are known, as they are now. Caller holds publish_lock for writing. */
static void keep_all_last(const Batch *batch)
{
  keep_last(batch, batch->large);
  keep_last(batch, batch->fresh);
  for (guint i = 0; i < batch->tombstones->len; i++)
    last_cache_add_delete(batch->store->last, g_array_index(batch->devices, guint32, i),
                          &g_array_index(batch->tombstones, Tombstone, i));
}

/* Writes the batch and publishes what belongs to it in one step. */
static gboolean publish(Batch *batch, GError **error)
{
  RocksStore *store = batch->store;
  GError *failure = NULL;
  FAILPOINT("store_before_write");
  /* freed as a message of RocksDB's */
  char *message = FAILPOINT_FAILS("store_write") ? strdup(strerror(errno)) : NULL;
  fair_lock_write(&store->publish_lock);
  if (message == NULL && rocksdb_writebatch_count(batch->writes) > 0)
    rocksdb_write(store->db, store->write_options, batch->writes, &message);
  if (message == NULL) {
    fresh_add_all(store->fresh, (const FreshBlock *)(const void *)batch->fresh->data,
                  batch->fresh->len);
    rocks_settle_down_to(store, MIN(FRESH_SIZE, store->options.memtable_size / 4), &failure);
    keep_all_last(batch);
    for (guint i = 0; i < batch->tombstones->len; i++)
      tombstones_add(store->tombstones, g_array_index(batch->devices, guint32, i),
                     &g_array_index(batch->tombstones, Tombstone, i));
    GArray *before = store->progress;
    store->progress = g_array_ref(batch->progress);
    g_array_unref(before);
    store->conflicts.overflowed += batch->overflowed;
    store->conflicts.pending = pending_count(store->checks);
  }
  GArray *notes = fresh_take_notes(store->fresh, FALSE);
  fair_lock_release(&store->publish_lock);
  rocks_reblock_note_all(store->reblock, notes);
  FAILPOINT("store_after_write");
  if (message == NULL) {
    g_atomic_int_add(&store->unpersisted_kib, (gint)(batch->bytes / 1024) + 1);
    store->failure = failure;
    return rocks_check_usable(store, error);
  }
  for (guint i = 0; i < batch->tombstones->len; i++)
    g_free(g_array_index(batch->tombstones, Tombstone, i).measurements);
  return rocks_lose(store, message, error);
}

static gboolean rocks_apply(Store *parent, const StoreEntry *entries, guint count, GError **error)
{
  RocksStore *store = rocks_of(parent);
  if (!rocks_check_usable(store, error))
    return FALSE;
  Batch batch = {.store = store,
                 .writes = rocksdb_writebatch_create(),
                 .fresh = g_array_new(FALSE, FALSE, sizeof(FreshBlock)),
                 .large = g_array_new(FALSE, FALSE, sizeof(FreshBlock)),
                 .packed = g_byte_array_new(),
                 .progress = g_array_copy(store->progress),
                 .tombstones = g_array_new(FALSE, FALSE, sizeof(Tombstone)),
                 .devices = g_array_new(FALSE, FALSE, sizeof(guint32))};
  rocks_count_nothing();
  for (guint i = 0; i < count; i++)
    add_entry(&batch, &entries[i]);
  if (batch.overflowed > 0)
    put_overflowed(&batch);
  gboolean done = publish(&batch, error);
  rocksdb_writebatch_destroy(batch.writes);
  g_array_unref(batch.fresh);
  g_array_unref(batch.large);
  g_byte_array_unref(batch.packed);
  g_array_unref(batch.progress);
  g_array_unref(batch.tombstones);
  g_array_unref(batch.devices);
  return done;
}

static gboolean rocks_reserve(Store *store, const Decoded *decoded, GError **error)
{
  /* Only the ids in it are filled in, by whoever holds it now. */
  return schema_reserve(rocks_of(store)->schema, (Decoded *)decoded, error);
}

gboolean rocks_write_progress(RocksStore *store, GError **error)
{
  if (store->written_progress == store->progress)
    return TRUE;
  rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
  for (guint i = 0; i < store->progress->len; i++) {
    const StoreProgress *progress = &g_array_index(store->progress, StoreProgress, i);
    guint8 key[APPLIED_KEY_SIZE], value[16];
    key_applied(key, progress->log);
    store_be64(value, progress->applied);
    store_be64(value + 8, progress->hlc);
    rocksdb_writebatch_put(writes, (const char *)key, sizeof key, (const char *)value,
                           sizeof value);
  }
  char *message = NULL;
  rocksdb_write(store->db, store->write_options, writes, &message);
  rocksdb_writebatch_destroy(writes);
  if (message != NULL)
    return rocks_lose(store, message, error);
  g_array_unref(store->written_progress);
  store->written_progress = g_array_ref(store->progress);
  return TRUE;
}

static gboolean rocks_persist(Store *parent, gboolean wait, GError **error)
{
  RocksStore *store = rocks_of(parent);
  /* Blocks first: then the records stand for nothing that is not there. */
  if (!rocks_check_usable(store, error) || !rocks_settle(store, error) ||
      !rocks_write_progress(store, error))
    return FALSE;
  rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
  rocksdb_flushoptions_set_wait(options, wait);
  char *message = NULL;
  g_atomic_int_set(&store->unpersisted_kib, 0);
  FAILPOINT("store_before_flush");
  rocksdb_flush(store->db, options, &message);
  FAILPOINT("store_after_flush");
  rocksdb_flushoptions_destroy(options);
  return message == NULL || rocks_fail(error, message, "persisting");
}

/* --- what it holds ------------------------------------------------------------------------------
 */

static gboolean read_persisted(RocksStore *store, StoreProgress *progress, GError **error)
{
  guint8 key[APPLIED_KEY_SIZE];
  key_applied(key, progress->log);
  char *value;
  gsize size;
  if (!rocks_get(store, store->persisted_options, key, sizeof key, &value, &size, error))
    return FALSE;
  progress->applied = value != NULL && size == 16 ? load_be64(value) : 0;
  progress->hlc = value != NULL && size == 16 ? load_be64(value + 8) : 0;
  rocksdb_free(value);
  return TRUE;
}

static GArray *rocks_progress(Store *parent, gboolean durable, GError **error)
{
  RocksStore *store = rocks_of(parent);
  fair_lock_read(&store->publish_lock);
  g_autoptr(GArray) progress = g_array_copy(store->progress);
  fair_lock_release(&store->publish_lock);
  for (guint i = 0; durable && i < progress->len; i++)
    if (!read_persisted(store, &g_array_index(progress, StoreProgress, i), error))
      return NULL;
  return g_steal_pointer(&progress);
}

static GPtrArray *rocks_series(Store *store, const char *prefix, const char *after, guint limit,
                               gboolean *out_more, GError **error)
{
  (void)error;
  return schema_devices(rocks_of(store)->schema, prefix, after, limit, out_more);
}

static guint64 rocks_unpersisted(Store *parent)
{
  return (guint64)g_atomic_int_get(&rocks_of(parent)->unpersisted_kib) * 1024;
}

static void rocks_stats(Store *parent, StoreStats *out_stats)
{
  RocksStore *store = rocks_of(parent);
  *out_stats = (StoreStats){0};
  rocksdb_property_int(store->db, "rocksdb.total-sst-files-size", &out_stats->bytes_on_disk);
  out_stats->unpersisted_bytes = rocks_unpersisted(parent);
  out_stats->cache_bytes = rocksdb_cache_get_usage(store->cache);
  out_stats->raw_blocks = rocks_reblock_waiting(store->reblock);
  out_stats->damaged_buckets = rocks_damage_count(store);
  out_stats->format = (guint)g_atomic_int_get(&store->format);
  fair_lock_read(&store->publish_lock);
  out_stats->tombstones = tombstones_count(store->tombstones);
  out_stats->maintained_hlc = store->maintained_hlc;
  out_stats->conflicts = store->conflicts;
  out_stats->chunks = store->chunks;
  fair_lock_release(&store->publish_lock);
}

static gboolean open_database(RocksStore *store, GError **error)
{
  const char *directory = store->options.directory;
  char *message = NULL;
  if (store->options.read_only)
    store->db = rocksdb_open_for_read_only(store->db_options, directory, 0, &message);
  else if (g_mkdir_with_parents(directory, 0755) == 0)
    store->db = rocksdb_open(store->db_options, directory, &message);
  else
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", directory);
  return message == NULL || rocks_fail(error, message, "opening");
}

static const StoreOps rocks_ops = {.name = "rocksdb",
                                   .close = rocks_close,
                                   .reserve = rocks_reserve,
                                   .apply = rocks_apply,
                                   .progress = rocks_progress,
                                   .persist = rocks_persist,
                                   .query = rocks_query,
                                   .last = rocks_last,
                                   .aggregate = rocks_aggregate,
                                   .series = rocks_series,
                                   .digest = rocks_digest,
                                   .digest_devices = rocks_digest_devices,
                                   .digest_buckets = rocks_digest_buckets,
                                   .bucket = rocks_bucket,
                                   .mend = rocks_mend,
                                   .maintain = rocks_maintain,
                                   .carry_out = rocks_carry_out,
                                   .find_conflicts = rocks_find_conflicts,
                                   .conflicts = rocks_conflicts,
                                   .checkpoint = rocks_checkpoint,
                                   .find_key = rocks_find_key,
                                   .stats = rocks_stats,
                                   .unpersisted = rocks_unpersisted};

Store *store_rocks_new(const StoreOptions *options, GError **error)
{
  g_assert(options->partition_interval > 0);
  RocksStore *store = g_new0(RocksStore, 1);
  store->parent.ops = &rocks_ops;
  store->options = *options;
  store->options.directory = g_strdup(options->directory);
  store->options.journal_size = MAX(options->journal_size, (gsize)STORE_MIN_JOURNAL_SIZE);
  store->db_options = make_options(store);
  store->write_options = rocksdb_writeoptions_create();
  rocksdb_writeoptions_disable_WAL(store->write_options, 1);
  store->persisted_options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_read_tier(store->persisted_options, PERSISTED_TIER);
  store->schema = schema_new();
  store->keys = write_keys_new(LIMIT_WRITE_KEYS);
  store->tombstones = tombstones_new();
  store->checks = pending_new();
  store->fresh = fresh_new();
  store->damage = rocks_damage_new();
  store->last = last_cache_new(LAST_CACHE_BYTES);
  if (options->reblock_blocks > 0 && !options->read_only)
    store->reblock = rocks_reblock_new(options->reblock_blocks);
  store->progress = g_array_new(FALSE, FALSE, sizeof(StoreProgress));
  store->written_progress = g_array_ref(store->progress); /* what is loaded */
  fair_lock_init(&store->publish_lock);
  if (open_database(store, error) && rocks_check_format(store, error) && load(store, error))
    return &store->parent;
  rocks_close(&store->parent);
  return NULL;
}
