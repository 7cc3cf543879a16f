/*
 * Blocks that were applied and are not in RocksDB's memtable yet, in piles: those of one device,
 * partition and set of columns, which leave as one block.
 *
 * A single row as a block of its own is mostly key and head, and most of its cost is the memtable's
 * search for a place far from the one before. Here it costs a copy; the rest is shared by all rows
 * of the pile.
 *
 * Not thread-safe: the store guards it.
 */
#pragma once

#include "store/block_merge.h"
#include "store/keys.h"

enum {
  /* Larger blocks are not worth collecting: a copy costs as much as the search. */
  FRESH_MAX_BLOCK_SIZE = 1024,
  PILE_SIZE = 64 << 10, /* bytes of blocks that leave as one, at most */
};

/* A block of one version, as it came. */
typedef struct FreshBlock {
  guint32 device;
  gint64 partition;
  guint64 layout; /* blocks with the same one, not 0, have the same columns */
  MergePart part; /* of FRESH_MAX_BLOCK_SIZE at most */
} FreshBlock;

typedef struct Fresh Fresh;
typedef struct Pile Pile;

Fresh *fresh_new(void);
void fresh_free(Fresh *fresh);

/* Copies the block. */
void fresh_add(Fresh *fresh, const FreshBlock *block);

/* Copies all of them. */
void fresh_add_all(Fresh *fresh, const FreshBlock *blocks, guint count);

/* Bytes of memory. */
gsize fresh_bytes(const Fresh *fresh);

/* The pile that was begun first, of all or of the device; NULL: there is none. */
Pile *fresh_oldest(const Fresh *fresh);
Pile *fresh_of_device(const Fresh *fresh, guint32 device);

/* Takes the pile out and frees it. */
void fresh_remove(Fresh *fresh, Pile *pile);

/* What came to one partition. */
typedef struct FreshNote {
  guint32 device;
  gint64 partition;
  guint64 blocks, rows; /* as they came */
  guint64 newest;       /* greatest clock */
} FreshNote;

/*
 * Each block is told once, by one of these calls: that of a pile which left by the next one, others
 * when all are asked for. Transfer full; NULL: there is nothing to tell.
 */
GArray *fresh_take_notes(Fresh *fresh, gboolean all);

/* Blocks that are not told yet. */
guint64 fresh_untold(const Fresh *fresh);

/*
 * What is put into RocksDB for the pile: the key and the value, which is in `scratch` (emptied
 * before) or in the pile.
 */
typedef struct PileBlock {
  guint8 key[BLOCK_KEY_SIZE];
  const guint8 *value;
  gsize size;
} PileBlock;

void pile_block(const Pile *pile, GByteArray *scratch, PileBlock *out);
