/* Moving the fresh blocks into RocksDB's memtable, where reads and persisting find them. */
#include "store/rocks_private.h"

enum {
  SETTLE_BYTES = 1 << 20, /* of fresh blocks at once, while others wait for publish_lock */
};

/* Which pile is next. */
typedef Pile *(*NextPile)(const RocksStore *store, guint32 device);

static Pile *oldest(const RocksStore *store, guint32 device)
{
  (void)device;
  return fresh_oldest(store->fresh);
}

static Pile *of_device(const RocksStore *store, guint32 device)
{
  return fresh_of_device(store->fresh, device);
}

typedef struct Scratch {
  GByteArray *block, *packed;
} Scratch;

/* Writes one pile. On failure it stays. */
static gboolean write_pile(RocksStore *store, Pile *pile, Scratch *scratch, GError **error)
{
  PileBlock block;
  char *message = NULL;
  pile_block(pile, scratch->block, &block);
  block.value = rocks_pack(store, block.value, &block.size, scratch->packed);
  rocksdb_put(store->db, store->write_options, (const char *)block.key, sizeof block.key,
              (const char *)block.value, block.size, &message);
  if (message != NULL)
    return rocks_fail(error, message, "writing");
  fresh_remove(store->fresh, pile);
  return TRUE;
}

/* Writes piles until there is none, or no more than so many bytes are left. */
static gboolean write_piles(RocksStore *store, NextPile next, guint32 device, gsize bytes,
                            GError **error)
{
  Scratch scratch = {g_byte_array_new(), g_byte_array_new()};
  gboolean ok = TRUE;
  Pile *pile;
  while (ok && fresh_bytes(store->fresh) > bytes && (pile = next(store, device)) != NULL)
    ok = write_pile(store, pile, &scratch, error);
  g_byte_array_unref(scratch.block);
  g_byte_array_unref(scratch.packed);
  return ok;
}

gboolean rocks_settle_down_to(RocksStore *store, gsize bytes, GError **error)
{
  return write_piles(store, oldest, 0, bytes, error);
}

gboolean rocks_settle_device(RocksStore *store, guint32 device, GError **error)
{
  return write_piles(store, of_device, device, 0, error);
}

gboolean rocks_settle(RocksStore *store, GError **error)
{
  gboolean ok = TRUE, more = TRUE;
  while (ok && more) {
    fair_lock_write(&store->publish_lock);
    gsize left = fresh_bytes(store->fresh);
    more = left > 0;
    ok = rocks_settle_down_to(store, left - MIN(left, (gsize)SETTLE_BYTES), error);
    fair_lock_release(&store->publish_lock);
  }
  return ok;
}
