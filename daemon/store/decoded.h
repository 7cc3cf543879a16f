/*
 * A decoded write, ready to be applied: see store.h. The inside is shared by the parser and the
 * implementations of the store. Not changed after decoding but for the ids.
 */
#pragma once

#include "store/list.h"
#include "store/store.h"
#include "store/write_keys.h"

/* Bytes inside Decoded.copy. */
typedef struct Slice {
  const char *bytes;
  guint size;
} Slice;

typedef struct DecodedColumn {
  Slice measurement;
  DataType type;
  guint32 id; /* set by the store, see ids_of */
} DecodedColumn;

typedef struct DecodedBlock {
  Slice device;
  guint32 device_id; /* set by the store, see ids_of */
  guint32 ordinal;   /* of the part in the write */
  guint64 layout;    /* the same: of device and columns; 0: not known */
  gint64 partition;
  gint64 min_time, max_time;
  gsize value_at, value_size; /* the encoded block in Decoded.values; its name ids are still 0 */
  guint first_column, column_count;
} DecodedBlock;

typedef struct DecodedDelete {
  Slice device;
  guint32 ordinal;
  guint first_name, name_count; /* in Decoded.names; 0: all measurements */
  gint64 start_time, end_time;
} DecodedDelete;

/* Of most writes all is in one piece of memory. */
struct Decoded {
  guint8 *copy;  /* of the write's bytes: names point into it */
  List *values;  /* bytes */
  List *columns; /* DecodedColumn */
  List *blocks;  /* DecodedBlock */
  List *deletes; /* DecodedDelete */
  List *names;   /* Slice */
  guint64 points, rows;
  gboolean has_key; /* the write brings a key, of this hash */
  guint8 key_hash[WRITE_KEY_HASH_SIZE];
  guint64 ids_of; /* which opening of a store the ids are of; 0: not resolved */
  List lists[5];
};

/* An empty one, with a copy of the bytes and room for about as many of blocks. */
Decoded *decoded_new(const guint8 *bytes, gsize size);

/* Whether the bytes can be the name of a device or measurement: UTF-8 without control characters,
 * neither empty nor too long. */
gboolean decoded_is_name(const guint8 *bytes, gsize size);

/* Whether block i is of the same part of the write as the one before, and so shares its device and
 * its columns. */
static inline gboolean decoded_block_continues(const Decoded *decoded, guint i)
{
  const DecodedBlock *blocks = (const DecodedBlock *)(const void *)decoded->blocks->data;
  return i > 0 && blocks[i].first_column == blocks[i - 1].first_column;
}

/* floor(time / interval), also for negative times. */
static inline gint64 partition_of(gint64 time, guint64 interval)
{
  if (interval > G_MAXINT64)
    return time < 0 ? -1 : 0;
  gint64 length = (gint64)interval;
  gint64 quotient = time / length;
  return quotient - (time % length < 0 ? 1 : 0);
}

/* The first time of a partition. */
static inline gint64 partition_start(gint64 partition, guint64 interval)
{
  gint64 start;
  if (interval > G_MAXINT64)
    return partition < 0 ? G_MININT64 : 0;
  return __builtin_mul_overflow(partition, (gint64)interval, &start) ? G_MININT64 : start;
}
