#include "store/codec_ints.h"

#include "base/bytes.h"

enum {
  GROUP = 128,
  MODES = 3,           /* how often differences are taken: 0, 1, 2 */
  VARINT_MAX = 10,     /* bytes */
  FAST_WIDTH = 64 - 7, /* a value of so many bits lies in 8 bytes, wherever it begins */
  SAMPLE = 24,         /* values by which the mode is chosen when it must be quick */
  BEYOND = 8,          /* bytes that may be written behind the end for a moment */
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

/* The loops over values are inlined with a constant mode: they are what a store of tablets does for
 * each value that it takes. */
static inline __attribute__((always_inline)) Group measure(const gint64 *values, guint from,
                                                           guint to, guint mode)
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

static inline __attribute__((always_inline)) gsize cost_in(const gint64 *values, guint count,
                                                           guint mode)
{
  gsize bytes = (gsize)mode * 8;
  for (guint from = mode; from < count; from += GROUP) {
    guint to = MIN(from + GROUP, count);
    Group group = measure(values, from, to, mode);
    bytes += 1 + varint_size(zigzag(group.base)) + packed_size(to - from, group.width);
  }
  return bytes;
}

static gsize cost_of(const gint64 *values, guint count, guint mode)
{
  return mode == 0   ? cost_in(values, count, 0)
         : mode == 1 ? cost_in(values, count, 1)
                     : cost_in(values, count, 2);
}

/* Packs them from the lowest bit on; writes up to 8 bytes beyond the end. */
static inline __attribute__((always_inline)) guint8 *
put_packed(guint8 *to, const gint64 *values, guint from, guint end, guint mode, Group group)
{
  guint64 pending = 0;
  guint bits = 0;
  for (guint i = from; i < end; i++) {
    guint64 above = (guint64)residual(values, i, mode) - (guint64)group.base;
    pending |= above << bits;
    bits += group.width;
    if (bits >= 64) {
      store_le64(to, pending);
      to += 8;
      bits -= 64;
      pending = bits > 0 ? above >> (group.width - bits) : 0;
    }
  }
  store_le64(to, pending);
  return to + (bits + 7) / 8;
}

static inline __attribute__((always_inline)) guint8 *put_groups(guint8 *at, const gint64 *values,
                                                                guint count, guint mode)
{
  for (guint from = mode; from < count; from += GROUP) {
    guint to = MIN(from + GROUP, count);
    Group group = measure(values, from, to, mode);
    *at++ = (guint8)group.width;
    at = put_varint(at, zigzag(group.base));
    if (group.width > 0)
      at = put_packed(at, values, from, to, mode, group);
  }
  return at;
}

/* The mode that takes least for the first `sample` of the values; *out_size: how much. */
static guint cheapest_mode(const gint64 *values, guint sample, gsize *out_size)
{
  guint mode = 0;
  *out_size = cost_of(values, sample, 0);
  for (guint other = 1; other < MODES && other < sample; other++) {
    gsize cost = cost_of(values, sample, other);
    if (cost < *out_size) {
      *out_size = cost;
      mode = other;
    }
  }
  return mode;
}

/* Appends them; `room` is as much as they take, or more. */
static void put_all(const gint64 *values, guint count, guint mode, gsize room, GByteArray *out)
{
  guint begin = out->len;
  g_byte_array_set_size(out, (guint)(begin + 1 + room + BEYOND));
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
  at = mode == 0   ? put_groups(at, values, count, 0)
       : mode == 1 ? put_groups(at, values, count, 1)
                   : put_groups(at, values, count, 2);
  g_assert(at <= out->data + begin + 1 + room);
  g_byte_array_set_size(out, (guint)(at - out->data));
}

void ints_encode(const gint64 *values, guint count, GByteArray *out)
{
  g_assert(count > 0);
  gsize size;
  guint mode = cheapest_mode(values, count, &size);
  put_all(values, count, mode, size, out);
}

void ints_encode_quickly(const gint64 *values, guint count, GByteArray *out)
{
  g_assert(count > 0);
  gsize unused;
  guint mode = cheapest_mode(values, MIN(count, SAMPLE), &unused);
  gsize groups = (gsize)count / GROUP + 1;
  put_all(values, count, mode, 16 + groups * (1 + VARINT_MAX) + (gsize)count * 8, out);
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
