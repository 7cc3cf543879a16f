/*
 * Walking over buckets, the (device, partition) pairs that hold data: raw blocks under R keys, and
 * chunks under C keys. One thread.
 */
#pragma once

#include "store/chunk.h"
#include "store/rocks_private.h"

typedef struct Buckets {
  RocksStore *store;
  const rocksdb_snapshot_t *snapshot; /* NULL: what is there now */
  rocksdb_readoptions_t *options[2];
  rocksdb_iterator_t *blocks, *chunks;
  guint8 bounds[2][2][1 + 4]; /* which the options refer to */
} Buckets;

/* Of one device, or of all (0), in the snapshot or, NULL, in what is there now. *buckets stays
 * where it is until it is closed. fill_cache: what is read will be read again. */
void buckets_open(RocksStore *store, const rocksdb_snapshot_t *snapshot, guint32 device,
                  gboolean fill_cache, Buckets *buckets);
void buckets_close(Buckets *buckets);

/* FALSE with an error when reading failed. */
gboolean buckets_ok(const Buckets *buckets, GError **error);

/* To the first bucket at or behind this one. */
void buckets_seek(Buckets *buckets, guint32 device, gint64 partition);

/*
 * The device's first bucket at or behind `from` (back: its last one at or before). Neither this nor
 * the next call goes over the blocks that became chunks, which the database keeps as deleted ones
 * for a while. FALSE: there is none, or (with an error) reading failed.
 */
gboolean buckets_find(Buckets *buckets, guint32 device, gint64 from, gboolean back,
                      gint64 *out_partition, GError **error);
/* Puts `blocks` at the bucket's first block; `chunks` is anywhere then. */
void buckets_seek_blocks(Buckets *buckets, guint32 device, gint64 partition);

/* The bucket under it. FALSE: none is left, or reading failed. */
gboolean buckets_here(const Buckets *buckets, guint32 *out_device, gint64 *out_partition);

/* What of a bucket is wanted. */
typedef struct BucketScope {
  guint32 device;
  gint64 partition;
  gint64 start_time, end_time;
  guint64 cut;            /* clocks above it are left out */
  const GArray *columns;  /* SchemaColumn; NULL: all. Of blocks all are taken */
  gboolean with_versions; /* see chunk_to_block() */
} BucketScope;

/* Adds the bucket's chunks that touch the scope, then its blocks, and goes behind both. */
gboolean buckets_load(Buckets *buckets, const BucketScope *scope, Partition *partition,
                      GError **error);
/* One kind alone. */
gboolean buckets_load_chunks(Buckets *buckets, const BucketScope *scope, Partition *partition,
                             GError **error);
gboolean buckets_load_blocks(Buckets *buckets, const BucketScope *scope, Partition *partition,
                             GError **error);

/* Whether any block touches the scope; `blocks` is then somewhere in the bucket. FALSE: reading
 * failed. */
gboolean buckets_have_blocks(Buckets *buckets, const BucketScope *scope, gboolean *out_any,
                             GError **error);

/* Decodes a chunk into the partition. INVALID
 * when how it was at the cut can't be told any more. */
gboolean buckets_add_chunk(const Chunk *chunk, guint32 measurement, const BucketScope *scope,
                           Partition *partition, GError **error);

/* Puts `chunks` at the first chunk of the column that ends at or behind `time` and opens it in
 * place. FALSE: there is none, or (with an error) it is damaged. */
gboolean buckets_find_chunk(Buckets *buckets, guint32 device, gint64 partition, guint32 measurement,
                            DataType type, gint64 time, Chunk *out, GError **error);
/* The same for the last one that begins at or before `time`. */
gboolean buckets_find_chunk_back(Buckets *buckets, guint32 device, gint64 partition,
                                 guint32 measurement, DataType type, gint64 time, Chunk *out,
                                 GError **error);

/* Opens the chunk under `chunks` when it is of that column; to go on behind buckets_find_chunk. */
gboolean buckets_chunk_here(Buckets *buckets, guint32 device, gint64 partition, guint32 measurement,
                            DataType type, Chunk *out, GError **error);

/* Opens the chunk under `chunks` when it is of the bucket, of any column; its key and its size. */
gboolean buckets_any_chunk_here(Buckets *buckets, guint32 device, gint64 partition, Chunk *out,
                                const guint8 **out_key, gsize *out_size, GError **error);
