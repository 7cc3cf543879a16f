#include "wal/format.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"

static const char magic[8] = {'S', 'Y', 'N', 'C', 'L', 'W', 'A', 'L'};

enum {
  FLAG_CHAIN_UNKNOWN = 1 << 0,
  FLAGS_ALL = FLAG_CHAIN_UNKNOWN,
  FIELDS_SIZE = 72, /* reserved zeros from here to the checksum */
  CHECKSUM_OFFSET = SEGMENT_HEADER_SIZE - 4,
};

void segment_header_encode(const SegmentHeader *header, guint8 out[SEGMENT_HEADER_SIZE])
{
  memset(out, 0, SEGMENT_HEADER_SIZE);
  ByteWriter w = byte_writer(out, SEGMENT_HEADER_SIZE);
  byte_writer_put(&w, magic, sizeof magic);
  byte_writer_be32(&w, SEGMENT_FORMAT_VERSION);
  byte_writer_be32(&w, SEGMENT_HEADER_SIZE);
  byte_writer_be32(&w, header->chain_known ? 0 : FLAG_CHAIN_UNKNOWN);
  byte_writer_be32(&w, header->log.origin);
  byte_writer_be64(&w, header->log.incarnation);
  byte_writer_be64(&w, header->first_index);
  byte_writer_be64(&w, header->chain_known ? header->chain : 0);
  byte_writer_be64(&w, header->hlc);
  byte_writer_be64(&w, header->previous_first);
  byte_writer_be64(&w, (guint64)header->previous_end);
  g_assert(!w.failed && w.at == FIELDS_SIZE);
  store_be32(out + CHECKSUM_OFFSET, crc32c(0, out, CHECKSUM_OFFSET));
}

/* The rules about values; the bytes themselves are known to be intact. */
static gboolean header_makes_sense(const SegmentHeader *h)
{
  if (h->log.origin == 0 || h->log.origin > LIMIT_NODE_ID)
    return FALSE;
  if (h->log.incarnation == 0 || h->log.incarnation > G_MAXINT64)
    return FALSE;
  if (h->first_index == 0 || h->first_index > G_MAXINT64)
    return FALSE;
  if (!h->chain_known && h->chain != 0)
    return FALSE;
  if (h->previous_first >= h->first_index)
    return FALSE;
  if (h->previous_first == 0)
    return h->previous_end == 0;
  return h->previous_end > SEGMENT_HEADER_SIZE;
}

HeaderVerdict segment_header_decode(const guint8 *bytes, gsize size, SegmentHeader *out_header)
{
  if (size < SEGMENT_HEADER_SIZE || memcmp(bytes, magic, sizeof magic) != 0)
    return HEADER_DAMAGED;
  if (crc32c(0, bytes, CHECKSUM_OFFSET) != load_be32(bytes + CHECKSUM_OFFSET))
    return HEADER_DAMAGED;
  ByteReader r = byte_reader(bytes + sizeof magic, SEGMENT_HEADER_SIZE - sizeof magic);
  if (byte_reader_be32(&r) != SEGMENT_FORMAT_VERSION)
    return HEADER_OTHER_VERSION;
  guint32 header_size = byte_reader_be32(&r);
  guint32 flags = byte_reader_be32(&r);
  if (header_size != SEGMENT_HEADER_SIZE || (flags & ~(guint32)FLAGS_ALL) != 0)
    return HEADER_DAMAGED;
  SegmentHeader h = {.chain_known = !(flags & FLAG_CHAIN_UNKNOWN)};
  h.log.origin = byte_reader_be32(&r);
  h.log.incarnation = byte_reader_be64(&r);
  h.first_index = byte_reader_be64(&r);
  h.chain = byte_reader_be64(&r);
  h.hlc = byte_reader_be64(&r);
  h.previous_first = byte_reader_be64(&r);
  h.previous_end = (goffset)byte_reader_be64(&r);
  for (gsize i = FIELDS_SIZE; i < CHECKSUM_OFFSET; i++)
    if (bytes[i] != 0)
      return HEADER_DAMAGED;
  if (!header_makes_sense(&h))
    return HEADER_DAMAGED;
  *out_header = h;
  return HEADER_VALID;
}

char *segment_name_format(guint64 first_index, char name[SEGMENT_NAME_SIZE])
{
  g_snprintf(name, SEGMENT_NAME_SIZE, "%020" G_GUINT64_FORMAT ".wal", first_index);
  return name;
}

gboolean segment_name_parse(const char *name, guint64 *out_first_index)
{
  if (strlen(name) != SEGMENT_NAME_SIZE - 1 || strcmp(name + 20, ".wal") != 0)
    return FALSE;
  guint64 index = 0;
  for (int i = 0; i < 20; i++) {
    if (!g_ascii_isdigit(name[i]))
      return FALSE;
    guint64 digit = (guint64)(name[i] - '0');
    if (index > (G_MAXINT64 - digit) / 10)
      return FALSE;
    index = index * 10 + digit;
  }
  if (index == 0)
    return FALSE;
  *out_first_index = index;
  return TRUE;
}
