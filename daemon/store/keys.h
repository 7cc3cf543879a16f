/*
 * The keys of the RocksDB store: README.md lists them. All numbers big-endian; signed ones with the
 * sign bit flipped, so that bytes sort as numbers do. Pure functions.
 */
#pragma once

#include "store/schema.h"
#include "store/write_keys.h"

#include "base/bytes.h"
#include "base/log_id.h"

enum {
  KEY_BLOCK = 'R',
  KEY_TOMBSTONE = 'T',
  KEY_APPLIED = 'A',
  KEY_NAME = 'N',
  KEY_SCHEMA = 'S',
  KEY_META = 'M',
  KEY_META_MAINTAINED = 'H', /* behind 'M' */
  KEY_META_CONFLICTS = 'J',  /* behind 'M' */
  KEY_META_CHUNKS = 'C',     /* behind 'M' */
  KEY_META_REBLOCKED = 'R',  /* behind 'M' */
  KEY_META_BESIDE = 'B',     /* behind 'M' */
  KEY_JOURNAL = 'J',
  KEY_WRITER = 'O',
  KEY_CHECK = 'Q',
  KEY_WRITE_KEY = 'K',
  KEY_CHUNK = 'C',

  BLOCK_PREFIX_SIZE = 1 + 4 + 8,                          /* R, device, partition */
  BLOCK_KEY_SIZE = BLOCK_PREFIX_SIZE + 8 + 4 + 4 + 8 + 8, /* hlc, origin, ordinal, min, max */
  CHUNK_KEY_MEASUREMENT = BLOCK_PREFIX_SIZE,              /* where it is */
  CHUNK_KEY_TYPE = CHUNK_KEY_MEASUREMENT + 4,
  CHUNK_KEY_TIME = CHUNK_KEY_TYPE + 1, /* the first one */
  CHUNK_KEY_SIZE = CHUNK_KEY_TIME + 8,
  TOMBSTONE_KEY_SIZE = 1 + 4 + 8 + 4 + 4,
  APPLIED_KEY_SIZE = 1 + 4 + 8,
  NAME_KEY_SIZE = 1 + 4,
  SCHEMA_KEY_SIZE = 1 + 4 + 4 + 1,
  WRITER_KEY_SIZE = 1 + 4 + 4,
  SEQUENCE_KEY_SIZE = 1 + 8, /* of the journal and of checks */
  WRITE_KEY_KEY_SIZE = 1 + WRITE_KEY_HASH_SIZE,
  WRITE_KEY_VALUE_SIZE = 4 + 8 + 8 + 8, /* origin, incarnation, index, hlc */
  CHUNK_COUNTS_SIZE = 3 * 8,            /* of the record */
};

static inline guint64 key_flip(gint64 value)
{
  return (guint64)value ^ (G_GUINT64_CONSTANT(1) << 63);
}

static inline gint64 key_unflip(guint64 value)
{
  return (gint64)(value ^ (G_GUINT64_CONSTANT(1) << 63));
}

static inline void key_block_prefix(guint8 key[BLOCK_PREFIX_SIZE], guint32 device, gint64 partition)
{
  key[0] = KEY_BLOCK;
  store_be32(key + 1, device);
  store_be64(key + 5, key_flip(partition));
}

static inline void key_version(guint8 *out, const Version *version)
{
  store_be64(out, version->hlc);
  store_be32(out + 8, version->origin);
  store_be32(out + 12, version->ordinal);
}

static inline Version key_read_version(const guint8 *in)
{
  return (Version){load_be64(in), load_be32(in + 8), load_be32(in + 12)};
}

static inline void key_block(guint8 key[BLOCK_KEY_SIZE], guint32 device, gint64 partition,
                             const Version *version, gint64 min_time, gint64 max_time)
{
  key_block_prefix(key, device, partition);
  key_version(key + BLOCK_PREFIX_SIZE, version);
  store_be64(key + BLOCK_PREFIX_SIZE + 16, key_flip(min_time));
  store_be64(key + BLOCK_PREFIX_SIZE + 24, key_flip(max_time));
}

static inline void key_chunk(guint8 key[CHUNK_KEY_SIZE], guint32 device, gint64 partition,
                             guint32 measurement, DataType type, gint64 min_time)
{
  key_block_prefix(key, device, partition);
  key[0] = KEY_CHUNK;
  store_be32(key + CHUNK_KEY_MEASUREMENT, measurement);
  key[CHUNK_KEY_TYPE] = (guint8)type;
  store_be64(key + CHUNK_KEY_TIME, key_flip(min_time));
}

static inline void key_tombstone(guint8 key[TOMBSTONE_KEY_SIZE], guint32 device,
                                 const Version *version)
{
  key[0] = KEY_TOMBSTONE;
  store_be32(key + 1, device);
  key_version(key + 5, version);
}

static inline void key_applied(guint8 key[APPLIED_KEY_SIZE], LogId log)
{
  key[0] = KEY_APPLIED;
  store_be32(key + 1, log.origin);
  store_be64(key + 5, log.incarnation);
}

static inline void key_name(guint8 key[NAME_KEY_SIZE], guint32 id)
{
  key[0] = KEY_NAME;
  store_be32(key + 1, id);
}

static inline void key_schema(guint8 key[SCHEMA_KEY_SIZE], guint32 device, guint32 measurement,
                              DataType type)
{
  key[0] = KEY_SCHEMA;
  store_be32(key + 1, device);
  store_be32(key + 5, measurement);
  key[9] = (guint8)type;
}

static inline void key_writer(guint8 key[WRITER_KEY_SIZE], guint32 device, guint32 origin)
{
  key[0] = KEY_WRITER;
  store_be32(key + 1, device);
  store_be32(key + 5, origin);
}

static inline void key_sequence(guint8 key[SEQUENCE_KEY_SIZE], char kind, guint64 sequence)
{
  key[0] = (guint8)kind;
  store_be64(key + 1, sequence);
}
