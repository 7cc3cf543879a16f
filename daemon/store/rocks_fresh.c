/* Moving the fresh blocks into RocksDB's memtable, where reads and persisting find them. */
#include "store/rocks_private.h"

enum {
  SETTLE_BLOCKS = 1024, /* at once, while others wait for publish_lock */
};

/* Writes the blocks (transfer full) and frees them; on failure they are fresh again. */
static gboolean write_blocks(RocksStore *store, GPtrArray *blocks, GError **error)
{
  rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
  for (guint i = 0; i < blocks->len; i++) {
    const FreshBlock *block = blocks->pdata[i];
    rocksdb_writebatch_put(writes, (const char *)block->key, sizeof block->key,
                           (const char *)block->value, block->size);
  }
  char *message = NULL;
  rocksdb_write(store->db, store->write_options, writes, &message);
  rocksdb_writebatch_destroy(writes);
  for (guint i = 0; message != NULL && i < blocks->len; i++)
    fresh_add(store->fresh, g_steal_pointer(&blocks->pdata[i]));
  g_ptr_array_unref(blocks);
  return message == NULL || rocks_fail(error, message, "writing");
}

gboolean rocks_settle_down_to(RocksStore *store, gsize bytes, GError **error)
{
  while (fresh_bytes(store->fresh) > bytes)
    if (!write_blocks(store, fresh_take_oldest(store->fresh, SETTLE_BLOCKS), error))
      return FALSE;
  return TRUE;
}

gboolean rocks_settle_device(RocksStore *store, guint32 device, GError **error)
{
  return !fresh_holds(store->fresh, device) ||
         write_blocks(store, fresh_take_device(store->fresh, device), error);
}

gboolean rocks_settle(RocksStore *store, GError **error)
{
  g_rw_lock_writer_lock(&store->publish_lock);
  gboolean settled = rocks_settle_down_to(store, 0, error);
  g_rw_lock_writer_unlock(&store->publish_lock);
  return settled;
}
