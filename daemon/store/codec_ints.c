#include "store/codec_ints.h"

#include "base/bytes.h"

enum {
  GROUP = 128,
  MODES = 3,           /* how often differences are taken: 0, 1, 2 */
  VARINT_MAX = 10,     /* bytes */
  FAST_WIDTH = 64 - 7, /* a value of so many bits lies in 8 bytes, wherever it begins */
};

static guint64 zigzag(gint64 value)
{
  return (guint64)value << 1 ^ (value < 0 ? G_MAXUINT64 : 0);
}

static gint64 unzigzag(guint64 value)
{
  return (gint64)(value >> 1) ^ -(gint64)(value & 1);
}

static guint varint_size(guint64 value)
{
  guint size = 1;
  for (; value >= 0x80; value >>= 7)
    size++;
  return size;
}

static guint8 *put_varint(guint8 *to, guint64 value)
{
  for (; value >= 0x80; value >>= 7)
    *to++ = (guint8)(value | 0x80);
  *to++ = (guint8)value;
  return to;
}

static guint64 take_varint(ByteReader *reader)
{
  guint64 value = 0;
  for (guint shift = 0; shift < VARINT_MAX * 7; shift += 7) {
    guint8 byte = byte_reader_u8(reader);
    if (shift == 63 && byte > 1)
      break;
    value |= (guint64)(byte & 0x7F) << shift;
    if (byte < 0x80)
      return value;
  }
  reader->failed = TRUE;
  return 0;
}

/* What the i-th value is after `mode` times taking differences; i >= mode. */
static inline gint64 residual(const gint64 *values, guint i, guint mode)
{
  guint64 v = (guint64)values[i];
  if (mode > 0)
    v -= (guint64)values[i - 1];
  if (mode > 1)
    v -= (guint64)values[i - 1] - (guint64)values[i - 2];
  return (gint64)v;
}

typedef struct Group {
  gint64 base; /* the smallest */
  guint width; /* of what is above it */
} Group;

static Group measure(const gint64 *values, guint from, guint to, guint mode)
{
  gint64 least = residual(values, from, mode), most = least;
  for (guint i = from + 1; i < to; i++) {
    gint64 r = residual(values, i, mode);
    least = MIN(least, r);
    most = MAX(most, r);
  }
  guint64 span = (guint64)most - (guint64)least;
  return (Group){least, span == 0 ? 0 : 64 - (guint)__builtin_clzll(span)};
}

static gsize packed_size(guint count, guint width)
{
  return ((gsize)count * width + 7) / 8;
}

static gsize cost_of(const gint64 *values, guint count, guint mode)
{
  gsize bytes = (gsize)mode * 8;
  for (guint from = mode; from < count; from += GROUP) {
    guint to = MIN(from + GROUP, count);
    Group group = measure(values, from, to, mode);
    bytes += 1 + varint_size(zigzag(group.base)) + packed_size(to - from, group.width);
  }
  return bytes;
}

static void put_group(const gint64 *values, guint from, guint to, guint mode, guint8 **at)
{
  Group group = measure(values, from, to, mode);
  guint8 *bytes = *at;
  *bytes++ = (guint8)group.width;
  bytes = put_varint(bytes, zigzag(group.base));
  unsigned __int128 pending = 0;
  guint bits = 0;
  for (guint i = from; i < to && group.width > 0; i++) {
    guint64 above = (guint64)residual(values, i, mode) - (guint64)group.base;
    pending |= (unsigned __int128)above << bits;
    for (bits += group.width; bits >= 8; bits -= 8, pending >>= 8)
      *bytes++ = (guint8)pending;
  }
  if (bits > 0)
    *bytes++ = (guint8)pending;
  *at = bytes;
}

void ints_encode(const gint64 *values, guint count, GByteArray *out)
{
  g_assert(count > 0);
  guint mode = 0;
  gsize size = cost_of(values, count, 0);
  for (guint other = 1; other < MODES && other < count; other++) {
    gsize cost = cost_of(values, count, other);
    if (cost < size) {
      size = cost;
      mode = other;
    }
  }
  guint begin = out->len;
  g_byte_array_set_size(out, (guint)(begin + 1 + size));
  guint8 *at = out->data + begin;
  *at++ = (guint8)mode;
  if (mode > 0) {
    store_le64(at, (guint64)values[0]);
    at += 8;
  }
  if (mode > 1) {
    store_le64(at, (guint64)values[1] - (guint64)values[0]);
    at += 8;
  }
  for (guint from = mode; from < count; from += GROUP)
    put_group(values, from, MIN(from + GROUP, count), mode, &at);
  g_assert(at == out->data + out->len);
}

/* Adds the base to each; `packed` can be read 8 bytes beyond. */
static void unpack(const guint8 *packed, guint count, guint width, guint64 base, gint64 *out)
{
  guint64 mask = width == 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT(1) << width) - 1;
  if (width <= FAST_WIDTH) {
    for (guint i = 0, bit = 0; i < count; i++, bit += width)
      out[i] = (gint64)((load_le64(packed + bit / 8) >> bit % 8 & mask) + base);
    return;
  }
  for (guint i = 0, bit = 0; i < count; i++, bit += width) {
    unsigned __int128 wide = load_le64(packed + bit / 8);
    wide |= (unsigned __int128)packed[bit / 8 + 8] << 64;
    out[i] = (gint64)(((guint64)(wide >> bit % 8) & mask) + base);
  }
}

static void take_group(ByteReader *reader, guint count, gint64 *out)
{
  guint width = byte_reader_u8(reader);
  guint64 base = (guint64)unzigzag(take_varint(reader));
  if (width > 64)
    reader->failed = TRUE;
  gsize size = packed_size(count, width);
  const guint8 *packed = byte_reader_take(reader, size);
  if (packed == NULL)
    return;
  if (width == 0) {
    for (guint i = 0; i < count; i++)
      out[i] = (gint64)base;
    return;
  }
  guint8 room[GROUP * 8 + 8];
  if (reader->size - reader->at < 8) { /* the last one: what is behind it is not ours */
    memcpy(room, packed, size);
    memset(room + size, 0, 8);
    packed = room;
  }
  unpack(packed, count, width, base, out);
}

static void add_up(gint64 *values, guint count)
{
  guint64 sum = (guint64)values[0];
  for (guint i = 1; i < count; i++)
    values[i] = (gint64)(sum += (guint64)values[i]);
}

gboolean ints_decode(const guint8 *bytes, gsize size, guint count, gint64 *out)
{
  ByteReader reader = byte_reader(bytes, size);
  guint mode = byte_reader_u8(&reader);
  if (mode >= MODES || mode > count || count == 0)
    return FALSE;
  for (guint i = 0; i < mode; i++) {
    const guint8 *first = byte_reader_take(&reader, 8);
    out[i] = first != NULL ? (gint64)load_le64(first) : 0;
  }
  for (guint from = mode; from < count && !reader.failed; from += GROUP)
    take_group(&reader, MIN(GROUP, count - from), out + from);
  if (reader.failed || byte_reader_left(&reader) != 0)
    return FALSE;
  if (mode == 2)
    add_up(out + 1, count - 1);
  if (mode > 0)
    add_up(out, count);
  return TRUE;
}
