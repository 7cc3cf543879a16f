#include "base/record.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"

#include <xxhash.h>

guint32 record_seed(LogId log)
{
  guint8 bytes[12];
  store_be32(bytes, log.origin);
  store_be64(bytes + 4, log.incarnation);
  return crc32c(0, bytes, sizeof bytes);
}

static gboolean head_is(const guint8 *p, guint8 type, guint8 field)
{
  return p[0] == type && p[1] == 0 && p[2] == field;
}

RecordVerdict record_parse_trusted(const guint8 *bytes, gsize size, Record *out_record)
{
  if (size == 0 || bytes[0] == 0)
    return RECORD_EMPTY;
  if (!(bytes[0] == 0x0A))
    return RECORD_BROKEN;
  if (size < RECORD_HEAD_SIZE)
    return RECORD_SHORT;
  if (!head_is(bytes, 0x0A, 1) || !head_is(bytes + 11, 0x0A, 2) || !head_is(bytes + 22, 0x0B, 3))
    return RECORD_BROKEN;
  gsize n = load_be32(bytes + 25);
  if (n == 0 || n > LIMIT_ENTRY_SIZE)
    return RECORD_BROKEN;
  if (size < n + RECORD_OVERHEAD_SIZE)
    return RECORD_SHORT;
  if (!head_is(bytes + RECORD_HEAD_SIZE + n, 0x08, 4) || bytes[n + RECORD_OVERHEAD_SIZE - 1] != 0)
    return RECORD_BROKEN;
  *out_record = (Record){.index = load_be64(bytes + 3),
                         .hlc = load_be64(bytes + 14),
                         .data = bytes + RECORD_HEAD_SIZE,
                         .data_size = n,
                         .size = n + RECORD_OVERHEAD_SIZE};
  return RECORD_VALID;
}

RecordVerdict record_parse(guint32 seed, const guint8 *bytes, gsize size, Record *out_record)
{
  Record record;
  RecordVerdict verdict = record_parse_trusted(bytes, size, &record);
  if (verdict != RECORD_VALID)
    return verdict;
  gsize covered = RECORD_HEAD_SIZE + record.data_size;
  if (crc32c(seed, bytes, covered) != load_be32(bytes + covered + 3))
    return RECORD_BROKEN;
  if (record.index == 0 || record.index > G_MAXINT64)
    return RECORD_BROKEN;
  *out_record = record;
  return RECORD_VALID;
}

gsize record_write(guint32 seed, guint64 index, guint64 hlc, const void *data, gsize data_size,
                   guint8 *out)
{
  g_assert(data_size > 0 && data_size <= LIMIT_ENTRY_SIZE);
  static const guint8 head[RECORD_HEAD_SIZE] = {
      [0] = 0x0A, [2] = 1, [11] = 0x0A, [13] = 2, [22] = 0x0B, [24] = 3};
  memcpy(out, head, sizeof head);
  store_be64(out + 3, index);
  store_be64(out + 14, hlc);
  store_be32(out + 25, (guint32)data_size);
  memcpy(out + RECORD_HEAD_SIZE, data, data_size);
  guint8 *tail = out + RECORD_HEAD_SIZE + data_size;
  tail[0] = 0x08;
  tail[1] = 0;
  tail[2] = 4;
  store_be32(tail + 3, crc32c(seed, out, RECORD_HEAD_SIZE + data_size));
  tail[7] = 0;
  return data_size + RECORD_OVERHEAD_SIZE;
}

guint64 record_chain(guint64 digest_before, const guint8 *record, gsize size)
{
  return XXH3_64bits_withSeed(record, size, digest_before);
}
