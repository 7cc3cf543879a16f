/* The version of the store's format, and what raises it: the first packed block. */
#include "store/rocks_private.h"

enum {
  OLDEST_FORMAT = 1, /* that is read */
  UNPACKED_FORMAT =
      3, /* without packed blocks: what a new store has, and an older one from now on */
};

static gboolean put_format(RocksStore *store, guint32 format, char **message)
{
  static const char key[] = {KEY_META};
  guint8 value[12];
  store_be32(value, format);
  store_be64(value + 4, store->options.partition_interval);
  rocksdb_put(store->db, store->write_options, key, sizeof key, (const char *)value, sizeof value,
              message);
  if (*message == NULL)
    g_atomic_int_set(&store->format, (gint)format);
  return *message == NULL;
}

static gboolean begin_format(RocksStore *store, GError **error)
{
  char *message = NULL;
  return put_format(store, UNPACKED_FORMAT, &message) || rocks_fail(error, message, "writing");
}

gboolean rocks_check_format(RocksStore *store, GError **error)
{
  static const char key[] = {KEY_META};
  char *found;
  gsize size;
  if (!rocks_get(store, NULL, key, sizeof key, &found, &size, error))
    return FALSE;
  if (found == NULL && store->options.read_only)
    return fail(error, SYNCLOG_CORRUPT, "%s: no store", store->options.directory);
  if (found == NULL)
    return begin_format(store, error);
  guint32 format = size == 12 ? load_be32(found) : 0;
  guint64 interval = size == 12 ? load_be64(found + 4) : 0;
  rocksdb_free(found);
  if (format < OLDEST_FORMAT || format > STORE_FORMAT)
    return fail(error, SYNCLOG_INVALID, "%s: not written by this version of the store",
                store->options.directory);
  if (interval != store->options.partition_interval)
    return fail(error, SYNCLOG_INVALID,
                "%s: partition_interval is %" G_GUINT64_FORMAT
                " units of time in the store, the configuration says %" G_GUINT64_FORMAT
                "; it can't be changed",
                store->options.directory, interval, store->options.partition_interval);
  g_atomic_int_set(&store->format, (gint)format);
  return format >= UNPACKED_FORMAT || store->options.read_only || begin_format(store, error);
}

gboolean store_check_format(guint64 format, GError **error)
{
  return format <= STORE_FORMAT || fail(error, SYNCLOG_INVALID,
                                        "its store has the format %" G_GUINT64_FORMAT
                                        ", this version knows those up to %d: upgrade first",
                                        format, STORE_FORMAT);
}

/* What is written first is never lost without what follows: no packed block is on disk but behind
 * the record that tells of it. So a version that knows none still opens a store without any. */
static gboolean tell_of_packed(RocksStore *store)
{
  char *message = NULL;
  if (g_atomic_int_get(&store->format) >= STORE_FORMAT || put_format(store, STORE_FORMAT, &message))
    return TRUE;
  rocksdb_free(message);
  return FALSE;
}

const guint8 *rocks_pack(RocksStore *store, const guint8 *value, gsize *size, GByteArray *scratch)
{
  if (!block_pack(value, *size, scratch) || !tell_of_packed(store))
    return value;
  *size = scratch->len;
  return scratch->data;
}

gsize rocks_put_block(RocksStore *store, rocksdb_writebatch_t *writes,
                      const guint8 key[BLOCK_KEY_SIZE], const guint8 *value, gsize size,
                      GByteArray *scratch)
{
  g_autoptr(GByteArray) own = scratch == NULL ? g_byte_array_new() : NULL;
  const guint8 *kept = rocks_pack(store, value, &size, scratch != NULL ? scratch : own);
  rocksdb_writebatch_put(writes, (const char *)key, BLOCK_KEY_SIZE, (const char *)kept, size);
  return BLOCK_KEY_SIZE + size;
}
