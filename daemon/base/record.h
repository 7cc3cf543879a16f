/*
 * The record: one entry as it stands in the WAL and on the wire, byte for byte. It is the Thrift
 * binary encoding of TLogBatch (thrift/peer.thrift) with all fields in this order:
 *
 *   offset  bytes
 *        0  0A 0001  u64 index        search index, from 1
 *       11  0A 0002  u64 hlc
 *       22  0B 0003  u32 n            1 .. LIMIT_ENTRY_SIZE
 *       29  n bytes                   data: an encoded TWrite
 *     29+n  08 0004  u32 checksum     CRC-32C over the log id and bytes [0, 29+n)
 *     36+n  00
 *
 * All numbers big-endian; the checksum begins with the origin as u32 and the incarnation as u64, so
 * a record verifies only in its own log. The first byte is never 0: zero-filled space is no record.
 * Pure functions, any thread.
 */
#pragma once

#include "base/log_id.h"

enum {
  RECORD_HEAD_SIZE = 29, /* bytes before the data */
  RECORD_TAIL_SIZE = 8,  /* bytes behind it */
  RECORD_OVERHEAD_SIZE = RECORD_HEAD_SIZE + RECORD_TAIL_SIZE,
};

/*
 * No clock of a record that comes from outside is above this, in the year 6429; nor does any come
 * near to it, as wall clocks end in 2262 (64 bits of nanoseconds).
 */
#define RECORD_HLC_MAX ((guint64)G_MAXINT64)

typedef struct Record {
  guint64 index;
  guint64 hlc;
  const guint8 *data; /* borrowed from the bytes that were parsed */
  gsize data_size;
  gsize size; /* of the whole record */
} Record;

typedef enum {
  RECORD_VALID,
  RECORD_EMPTY,  /* the first byte is 0, or there are no bytes */
  RECORD_SHORT,  /* begins like a record and goes on beyond the end */
  RECORD_BROKEN, /* wrong structure or wrong checksum */
} RecordVerdict;

/* The checksum state from which every record of a log begins. */
guint32 record_seed(LogId log);

/*
 * Reads the record that begins at bytes[0]. `seed` is record_seed() of the log it should belong to.
 * *out_record is set only with RECORD_VALID. Never reads beyond `size`.
 */
RecordVerdict record_parse(guint32 seed, const guint8 *bytes, gsize size, Record *out_record);

/* As record_parse, without verifying the checksum: for bytes that were verified before. */
RecordVerdict record_parse_trusted(const guint8 *bytes, gsize size, Record *out_record);

/* Writes a record of data_size + RECORD_OVERHEAD_SIZE bytes to `out` and returns that size. */
gsize record_write(guint32 seed, guint64 index, guint64 hlc, const void *data, gsize data_size,
                   guint8 *out);

/*
 * The running digest of a log: digest(0) = 0, digest(i) = XXH3-64 of record i's bytes with
 * digest(i - 1) as its seed. Two logs with equal digests at an index are equal up to it.
 */
guint64 record_chain(guint64 digest_before, const guint8 *record, gsize size);
