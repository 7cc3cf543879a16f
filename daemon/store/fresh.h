/*
 * Blocks that were applied and are not in RocksDB's memtable yet, by device in the order in which
 * they came.
 *
 * Many devices that write one row each in turn are the worst case of the memtable's skip list: each
 * key lies far from the one before, and its place is searched from the top. Collected here and put
 * in by device, most keys follow the one before, and the search is over at once: applying such rows
 * takes half the time.
 *
 * Not thread-safe: the store guards it.
 */
#pragma once

#include "store/keys.h"

enum {
  /* Larger blocks are not worth collecting: copying them costs as much as the search. */
  FRESH_MAX_BLOCK_SIZE = 1024,
};

typedef struct FreshBlock {
  guint32 size;
  guint8 key[BLOCK_KEY_SIZE];
  guint8 value[];
} FreshBlock;

/* A copy of the block, to be freed by g_free. */
FreshBlock *fresh_block_new(const guint8 key[BLOCK_KEY_SIZE], const guint8 *value, gsize size);

typedef struct Fresh Fresh;

Fresh *fresh_new(void);
void fresh_free(Fresh *fresh);

/* Takes over the block. */
void fresh_add(Fresh *fresh, FreshBlock *block);

/* Bytes of keys and values. */
gsize fresh_bytes(const Fresh *fresh);

/* Whether it holds blocks of the device. */
gboolean fresh_holds(const Fresh *fresh, guint32 device);

/*
 * Takes out blocks, sorted by key: all of the device; or at most `limit`, the oldest ones of the
 * device that came first. FreshBlock*, transfer full; whoever fails to write them adds them again.
 */
GPtrArray *fresh_take_device(Fresh *fresh, guint32 device);
GPtrArray *fresh_take_oldest(Fresh *fresh, guint limit);
