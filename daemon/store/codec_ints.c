#include "store/codec_ints.h"

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
  GROUP = 128,
  MODES = 3,           /* how often differences are taken: 0, 1, 2 */
  VARINT_MAX = 10,     /* bytes */
  FAST_WIDTH = 64 - 7, /* a value of so many bits lies in 8 bytes, wherever it begins */
  SAMPLE = 24,         /* values by which the mode is chosen when it must be quick */
  STRIDE = 16,         /* values that are looked at between two questions */
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

static guint8 *put_all(guint8 *at, const gint64 *values, guint count, guint mode)
{
  *at++ = (guint8)mode;
  if (mode > 0) {
    store_le64(at, (guint64)values[0]);
    at += 8;
  }
  if (mode > 1) {
    store_le64(at, (guint64)values[1] - (guint64)values[0]);
    at += 8;
  }
  return mode == 0   ? put_groups(at, values, count, 0)
         : mode == 1 ? put_groups(at, values, count, 1)
                     : put_groups(at, values, count, 2);
}

void ints_encode(const gint64 *values, guint count, GByteArray *out)
{
  g_assert(count > 0);
  gsize size;
  guint begin = out->len, mode = cheapest_mode(values, count, &size);
  g_byte_array_set_size(out, (guint)(begin + 1 + size + BEYOND));
  guint8 *end = put_all(out->data + begin, values, count, mode);
  g_assert(end <= out->data + begin + 1 + size);
  g_byte_array_set_size(out, (guint)(end - out->data));
}

/* --- quickly ------------------------------------------------------------------------------------
 * What arrives is packed once by each node, so this is much of what a tablet costs. Integers are
 * held in doubles, which has all of it in two lanes of any processor: differences, the least and
 * the greatest. Up to 2^49 all of these are exact, and above the least they have 52 bits.
 */

typedef double Doubles __attribute__((vector_size(16)));
typedef gint64 Longs __attribute__((vector_size(16)));
enum { LANES = sizeof(Doubles) / sizeof(double) };

/* Of numbers only, and no zero is negative. */
static inline Doubles lesser(Doubles a, Doubles b)
{
#if defined(__SSE2__) && !defined(CODEC_INTS_GENERIC)
  return (Doubles)_mm_min_pd((__m128d)a, (__m128d)b);
#else
  Longs less = a < b;
  return (Doubles)((less & (Longs)a) | (~less & (Longs)b));
#endif
}

static inline Doubles greater(Doubles a, Doubles b)
{
#if defined(__SSE2__) && !defined(CODEC_INTS_GENERIC)
  return (Doubles)_mm_max_pd((__m128d)a, (__m128d)b);
#else
  Longs less = a < b;
  return (Doubles)((less & (Longs)b) | (~less & (Longs)a));
#endif
}

static inline Doubles doubles_at(const double *values, guint i)
{
  Doubles lanes;
  memcpy(&lanes, values + i, sizeof lanes);
  return lanes;
}

static inline __attribute__((always_inline)) Doubles residuals(const double *values, guint i,
                                                               guint mode)
{
  Doubles r = doubles_at(values, i);
  if (mode > 0)
    r -= doubles_at(values, i - 1);
  if (mode > 1)
    r -= doubles_at(values, i - 1) - doubles_at(values, i - 2);
  return r;
}

static inline double residual_of(const double *values, guint i, guint mode)
{
  double r = values[i];
  if (mode > 0)
    r -= values[i - 1];
  if (mode > 1)
    r -= values[i - 1] - values[i - 2];
  return r;
}

/* The least and the greatest of some residuals. */
typedef struct Range {
  double least, most;
} Range;

static inline void widen(Range *range, double r)
{
  range->least = MIN(range->least, r);
  range->most = MAX(range->most, r);
}

static Range range_of_few(const double *values, guint from, guint to, guint mode)
{
  Range range = {residual_of(values, from, mode), residual_of(values, from, mode)};
  for (guint i = from + 1; i < to; i++)
    widen(&range, residual_of(values, i, mode));
  return range;
}

static inline Range range_of_lanes(Doubles low, Doubles high)
{
  return (Range){MIN(low[0], low[1]), MAX(high[0], high[1])};
}

static inline __attribute__((always_inline)) Range measure_doubles(const double *values, guint from,
                                                                   guint to, guint mode)
{
  if (to - from < LANES)
    return range_of_few(values, from, to, mode);
  Doubles low = residuals(values, to - LANES, mode), high = low;
#pragma GCC unroll 4
  for (guint i = from; i + LANES <= to; i += LANES) {
    Doubles r = residuals(values, i, mode);
    low = lesser(low, r);
    high = greater(high, r);
  }
  return range_of_lanes(low, high);
}

static Range measure_in(const double *values, guint from, guint to, guint mode)
{
  return mode == 0   ? measure_doubles(values, from, to, 0)
         : mode == 1 ? measure_doubles(values, from, to, 1)
                     : measure_doubles(values, from, to, 2);
}

/* Of values [0 .. count) and of differences in one go; count > LANES. */
static void measure_both(const double *values, guint count, Range *out_values, Range *out_steps)
{
  Doubles low = residuals(values, 0, 0), high = low;
  Doubles low_step = residuals(values, count - LANES, 1), high_step = low_step;
  guint i = 1;
  for (; i + 2 * LANES <= count; i += 2 * LANES) {
    Doubles first = residuals(values, i, 0), second = residuals(values, i + LANES, 0);
    Doubles step = first - residuals(values, i - 1, 0);
    Doubles other = second - residuals(values, i + LANES - 1, 0);
    /* Not one behind the other: they take longer than there is to do beside. */
    low = lesser(low, lesser(first, second));
    high = greater(high, greater(first, second));
    low_step = lesser(low_step, lesser(step, other));
    high_step = greater(high_step, greater(step, other));
  }
  *out_values = range_of_lanes(low, high);
  *out_steps = range_of_lanes(low_step, high_step);
  for (; i < count; i++) {
    widen(out_values, values[i]);
    widen(out_steps, values[i] - values[i - 1]);
  }
}

static Group group_of(Range range)
{
  guint64 span = (guint64)(range.most - range.least);
  return (Group){(gint64)range.least, span == 0 ? 0 : 64 - (guint)__builtin_clzll(span)};
}

static gsize group_cost(Group group, guint count, guint mode)
{
  return (gsize)mode * 8 + varint_size(zigzag(group.base)) + packed_size(count, group.width);
}

/* The mode that takes least for the first values, which are *out_range then. */
static guint cheapest_of_doubles(const double *values, guint count, Range *out_range)
{
  Range other;
  if (count <= LANES) {
    *out_range = measure_in(values, 0, count, 0);
    return 0;
  }
  guint some = MIN(count, GROUP);
  measure_both(values, some, out_range, &other);
  gsize cost = group_cost(group_of(*out_range), some, 0);
  gsize by_steps = group_cost(group_of(other), some - 1, 1);
  if (by_steps >= cost) /* then differences of them gain nothing either */
    return 0;
  *out_range = other;
  other = measure_in(values, 2, some, 2);
  if (group_cost(group_of(other), some - 2, 2) >= by_steps)
    return 1;
  *out_range = other;
  return 2;
}

typedef struct BitWriter {
  guint8 *to;
  guint64 pending;
  guint bits; /* of pending, less than 8 */
} BitWriter;

/* Of up to 57 bits. Writes 8 bytes. */
static inline void write_bits(BitWriter *writer, guint64 value, guint width)
{
  guint64 pending = writer->pending | value << writer->bits;
  guint bits = writer->bits + width;
  store_le64(writer->to, pending);
  writer->to += bits / 8;
  writer->pending = pending >> (bits & ~7U);
  writer->bits = bits & 7;
}

/*
 * What each is above the base. Two or four of them are put together as long as they have up to 52
 * bits, which a double holds too: a shift is a product.
 */
static inline __attribute__((always_inline)) void put_above(guint8 *at, const double *values,
                                                            guint from, guint to, guint mode,
                                                            double base, guint width)
{
  BitWriter writer = {at, 0, 0};
  const double one = (double)(G_GUINT64_CONSTANT(1) << width), two = one * one;
  guint i = from;
  for (; width <= 13 && i + 2 * LANES <= to; i += 2 * LANES) {
    Doubles low = residuals(values, i, mode) - base, high = residuals(values, i + LANES, mode);
    low += (high - base) * two;
    write_bits(&writer, (guint64)(gint64)(low[0] + low[1] * one), 4 * width);
  }
  for (; width <= 26 && i + LANES <= to; i += LANES) {
    Doubles some = residuals(values, i, mode) - base;
    write_bits(&writer, (guint64)(gint64)(some[0] + some[1] * one), 2 * width);
  }
  for (; i < to; i++)
    write_bits(&writer, (guint64)(gint64)(residual_of(values, i, mode) - base), width);
}

static guint8 *put_range(guint8 *at, const double *values, guint from, guint to, guint mode,
                         Range range, gint64 offset)
{
  Group group = group_of(range);
  *at++ = (guint8)group.width;
  at = put_varint(at, zigzag((gint64)((guint64)group.base + (guint64)offset)));
  if (group.width == 0)
    return at;
  if (mode == 0)
    put_above(at, values, from, to, 0, range.least, group.width);
  else if (mode == 1)
    put_above(at, values, from, to, 1, range.least, group.width);
  else
    put_above(at, values, from, to, 2, range.least, group.width);
  return at + packed_size(to - from, group.width);
}

gsize ints_quick_room(guint count)
{
  return 1 + 16 + ((gsize)count / GROUP + 1) * (1 + VARINT_MAX) + (gsize)count * 8 + BEYOND;
}

guint8 *ints_encode_doubles(const double *values, guint count, gint64 offset, guint8 *to)
{
  Range range;
  guint mode = cheapest_of_doubles(values, count, &range);
  *to++ = (guint8)mode;
  if (mode > 0) {
    store_le64(to, (guint64)(gint64)values[0] + (guint64)offset);
    to += 8;
  }
  if (mode > 1) {
    store_le64(to, (guint64)(gint64)(values[1] - values[0]));
    to += 8;
  }
  for (guint from = mode; from < count; from += GROUP) {
    guint end = MIN(from + GROUP, count);
    if (end > GROUP) /* else it is what the mode was chosen by */
      range = measure_in(values, from, end, mode);
    to = put_range(to, values, from, end, mode, range, mode == 0 ? offset : 0);
  }
  return to;
}

/* Whether each is as much above the one before as the second is above the first. */
static gboolean is_regular(const gint64 *values, guint count)
{
  guint64 step = count > 1 ? (guint64)values[1] - (guint64)values[0] : 0;
  guint64 odd = 0;
  for (guint i = 1; i < count && odd == 0;)
    for (guint end = MIN(i + STRIDE, count); i < end; i++)
      odd |= ((guint64)values[i] - (guint64)values[i - 1]) ^ step;
  return odd == 0;
}

/* By differences, unless all are the same: groups of width 0. */
static guint8 *put_regular(const gint64 *values, guint count, guint8 *to)
{
  gint64 step = (gint64)((guint64)values[1] - (guint64)values[0]);
  guint mode = step != 0;
  *to++ = (guint8)mode;
  if (mode > 0) {
    store_le64(to, (guint64)values[0]);
    to += 8;
  }
  for (guint from = mode; from < count; from += GROUP) {
    *to++ = 0;
    to = put_varint(to, zigzag(mode == 0 ? values[0] : step));
  }
  return to;
}

/* As doubles, what each is above the first. FALSE: they are too far apart. */
static gboolean as_doubles(const gint64 *values, guint count, double *out)
{
  guint64 reach = 0;
  for (guint i = 0; i < count; i++) {
    guint64 above = (guint64)values[i] - (guint64)values[0];
    reach |= above + (guint64)INTS_DOUBLE_LIMIT;
    out[i] = (double)(gint64)above;
  }
  return reach < 2 * (guint64)INTS_DOUBLE_LIMIT;
}

guint8 *ints_encode_quickly(const gint64 *values, guint count, double *scratch, guint8 *to)
{
  g_assert(count > 0);
  if (count > 1 && is_regular(values, count))
    return put_regular(values, count, to);
  if (as_doubles(values, count, scratch))
    return ints_encode_doubles(scratch, count, values[0], to);
  gsize unused;
  return put_all(to, values, count, cheapest_mode(values, MIN(count, SAMPLE), &unused));
}

/* --- decoding -----------------------------------------------------------------------------------
 */

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
