/* What kinds of blocks a closed store has on disk. */
#pragma once

#include "store/block_pack.h"
#include "store/keys.h"
#include "support/suite.h"

#include <rocksdb/c.h>

typedef struct RawBlocks {
  guint blocks, rows;
  guint packed;
  guint mixed;        /* blocks with versions */
  guint mixed_rows;   /* rows in these */
  guint many_leaders; /* of these: whose rows are of more than one leader */
  guint same_times;   /* of these: with rows of one time and several versions */
} RawBlocks;

static inline void count_mixed(const Block *block, const Version *key_version, RawBlocks *counts)
{
  g_autofree Version *versions = block_versions(block);
  gboolean many = FALSE, same = FALSE;
  Version greatest = versions[0];
  for (guint row = 1; row < block->rows; row++) {
    many = many || versions[row].origin != versions[0].origin;
    gboolean equal = block_time(block, row - 1) == block_time(block, row);
    int order = version_compare(&versions[row - 1], &versions[row]);
    fast_assert(block_time(block, row - 1) <= block_time(block, row) && (!equal || order <= 0));
    same = same || (equal && order < 0);
    if (version_compare(&versions[row], &greatest) > 0)
      greatest = versions[row];
  }
  fast_assert(version_compare(&greatest, key_version) == 0);
  counts->mixed++;
  counts->mixed_rows += block->rows;
  counts->many_leaders += many;
  counts->same_times += same;
}

static inline void count_block(const guint8 *key, const guint8 *value, gsize size,
                               RawBlocks *counts)
{
  Block block;
  gsize unpacked_size;
  g_autofree guint8 *unpacked = block_unpack(value, size, &unpacked_size, NULL);
  fast_assert(unpacked != NULL && block_open(unpacked, unpacked_size, &block, NULL));
  fast_assert(key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16)) == block_time(&block, 0) &&
              key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24)) ==
                  block_time(&block, block.rows - 1));
  counts->blocks++;
  counts->packed += value[0] == BLOCK_VERSION_PACKED;
  counts->rows += block.rows;
  Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
  if (block.versions != NULL)
    count_mixed(&block, &version, counts);
}

static inline RawBlocks raw_blocks(const char *directory)
{
  RawBlocks counts = {0};
  char *message = NULL;
  rocksdb_options_t *options = rocksdb_options_create();
  rocksdb_t *db = rocksdb_open(options, directory, &message);
  fast_assert(message == NULL);
  rocksdb_readoptions_t *read_options = rocksdb_readoptions_create();
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, read_options);
  for (rocksdb_iter_seek(iterator, "R", 1); rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t key_size, size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &key_size);
    const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
    if (key_size != BLOCK_KEY_SIZE || key[0] != KEY_BLOCK)
      break;
    count_block(key, value, size, &counts);
  }
  rocksdb_iter_destroy(iterator);
  rocksdb_readoptions_destroy(read_options);
  rocksdb_close(db);
  rocksdb_options_destroy(options);
  return counts;
}
