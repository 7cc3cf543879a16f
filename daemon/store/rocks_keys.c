/* Small records on disk: names, types, and the keys of writes that are remembered. */
#include "store/decoded.h"
#include "store/rocks_private.h"

#include <string.h>

gsize rocks_put_name(rocksdb_writebatch_t *writes, guint32 id, const char *bytes, gsize size)
{
  guint8 key[NAME_KEY_SIZE];
  key_name(key, id);
  rocksdb_writebatch_put(writes, (const char *)key, sizeof key, bytes, size);
  return sizeof key + size;
}

gsize rocks_put_type(rocksdb_writebatch_t *writes, guint32 device, guint32 measurement,
                     DataType type, const Version *version)
{
  guint8 key[SCHEMA_KEY_SIZE], value[16];
  key_schema(key, device, measurement, type);
  key_version(value, version);
  rocksdb_writebatch_put(writes, (const char *)key, sizeof key, (const char *)value, sizeof value);
  return sizeof key + sizeof value;
}

gsize rocks_put_write_key(RocksStore *store, rocksdb_writebatch_t *writes, const StoreEntry *entry)
{
  WriteKey added = {.log = entry->log, .index = entry->index, .hlc = entry->hlc}, dropped;
  memcpy(added.hash, entry->decoded->key_hash, sizeof added.hash);
  gboolean drops;
  if (!write_keys_add(store->keys, &added, &dropped, &drops))
    return 0;
  guint8 key[WRITE_KEY_KEY_SIZE] = {KEY_WRITE_KEY}, value[WRITE_KEY_VALUE_SIZE];
  if (drops) {
    memcpy(key + 1, dropped.hash, sizeof dropped.hash);
    rocksdb_writebatch_delete(writes, (const char *)key, sizeof key);
  }
  memcpy(key + 1, added.hash, sizeof added.hash);
  store_be32(value, added.log.origin);
  store_be64(value + 4, added.log.incarnation);
  store_be64(value + 12, added.index);
  store_be64(value + 20, added.hlc);
  rocksdb_writebatch_put(writes, (const char *)key, sizeof key, (const char *)value, sizeof value);
  return sizeof key + sizeof value;
}

gboolean rocks_load_write_key(RocksStore *store, const guint8 *key, gsize key_size,
                              const guint8 *value, gsize size)
{
  if (key_size != WRITE_KEY_KEY_SIZE || size != WRITE_KEY_VALUE_SIZE)
    return FALSE;
  WriteKey one = {.log = {load_be32(value), load_be64(value + 4)},
                  .index = load_be64(value + 12),
                  .hlc = load_be64(value + 20)};
  memcpy(one.hash, key + 1, sizeof one.hash);
  if (store->loaded_keys == NULL)
    store->loaded_keys = g_array_new(FALSE, FALSE, sizeof(WriteKey));
  g_array_append_val(store->loaded_keys, one);
  return TRUE;
}

static int compare_age(gconstpointer a, gconstpointer b)
{
  const WriteKey *x = a, *y = b;
  if (x->hlc != y->hlc)
    return x->hlc < y->hlc ? -1 : 1;
  return memcmp(x->hash, y->hash, sizeof x->hash);
}

/* On disk they stand by hash; the oldest are to go first. */
void rocks_sort_write_keys(RocksStore *store)
{
  if (store->loaded_keys == NULL)
    return;
  g_array_sort(store->loaded_keys, compare_age);
  for (guint i = 0; i < store->loaded_keys->len; i++) {
    WriteKey dropped;
    gboolean drops;
    write_keys_add(store->keys, &g_array_index(store->loaded_keys, WriteKey, i), &dropped, &drops);
  }
  g_clear_pointer(&store->loaded_keys, g_array_unref);
}
