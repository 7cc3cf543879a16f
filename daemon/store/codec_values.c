#include "store/codec_values.h"

#include "base/bytes.h"
#include "store/codec_ints.h"

#include <math.h>

#ifdef __FAST_MATH__
#error "-ffast-math: what is added to a double and taken away again must round it"
#endif

enum {
  MAX_DIGITS = 15,      /* behind the decimal point */
  SAMPLE = 32,          /* values by which the number of digits is chosen */
  QUICK_SAMPLE = 8,     /* the same when it must be quick */
  STRIDE = CODEC_SLACK, /* values that are tried at once */
  EXCEPTION_SHARE = 32, /* of so many values one may be none with few digits */
  EXCEPTION_SIZE = 2 + 8,
  DECIMAL_HEAD = 1 + 2, /* digits, exceptions */
  DICTIONARY_SHARE = 4, /* of so many texts at most one may be a new one */
};

/* Up to this, adding and taking away the other gives the nearest integer. */
static const double NEAREST_LIMIT = 2251799813685248.0; /* 2^51 */
static const double NEAREST_SHIFT = 6755399441055744.0; /* 1.5 * 2^52 */

/* Exact as doubles. */
static const double powers[MAX_DIGITS + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                              1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

gsize values_packed_size(DataType type, guint rows, gsize text_size)
{
  return type == DATA_TEXT ? ((gsize)rows + 1) * 4 + text_size : rows * data_type_size(type);
}

/* --- numbers ------------------------------------------------------------------------------------
 */

static gint64 bits_at(const guint8 *packed, gsize width, guint row)
{
  return width == 8 ? (gint64)load_le64(packed + (gsize)row * 8)
                    : (gint32)load_le32(packed + (gsize)row * 4);
}

static void put_bits(guint8 *packed, gsize width, guint row, gint64 bits)
{
  if (width == 8)
    store_le64(packed + (gsize)row * 8, (guint64)bits);
  else
    store_le32(packed + (gsize)row * 4, (guint32)bits);
}

static inline gint64 bits_of_double(double value)
{
  gint64 bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline gint64 bits_of_float(float value)
{
  gint32 bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static double number_at(const guint8 *packed, DataType type, guint row)
{
  if (type == DATA_DOUBLE) {
    double value;
    memcpy(&value, packed + (gsize)row * 8, sizeof value);
    return value;
  }
  float value;
  memcpy(&value, packed + (gsize)row * 4, sizeof value);
  return value;
}

/* As rint(), which is a call without SSE 4.1: what is behind the point falls off the end of the
 * sum, by the rounding that is always on. */
static inline double nearest(double value)
{
  return fabs(value) < NEAREST_LIMIT ? value + NEAREST_SHIFT - NEAREST_SHIFT : rint(value);
}

/* The value as an integer of the last of `digits` decimal digits. FALSE: that is not the same. */
static inline gboolean as_decimal(const guint8 *packed, DataType type, guint row, guint digits,
                                  gint64 *out)
{
  double scaled = number_at(packed, type, row) * powers[digits];
  if (!(fabs(scaled) < 9007199254740992.0)) /* 2^53; NaN is not below it either */
    return FALSE;
  *out = (gint64)nearest(scaled);
  double back = (double)*out / powers[digits];
  return type == DATA_DOUBLE ? bits_of_double(back) == bits_at(packed, 8, row)
                             : bits_of_float((float)back) == bits_at(packed, 4, row);
}

/* The fewest digits, of `from` and more, that nearly all of a sample have; MAX_DIGITS + 1: too
 * many. */
static guint choose_digits(DataType type, const guint8 *packed, guint rows, guint sample,
                           guint from)
{
  guint step = MAX(rows / sample, 1), digits = from;
  for (; digits <= MAX_DIGITS; digits++) {
    guint misses = 0;
    gint64 unused;
    for (guint row = 0; row < rows && misses < 2; row += step)
      misses += !as_decimal(packed, type, row, digits, &unused);
    if (misses < 2)
      break;
  }
  return digits;
}

typedef double Doubles __attribute__((vector_size(16)));
typedef gint64 Longs __attribute__((vector_size(16)));
typedef guint64 Bits __attribute__((vector_size(16)));
enum { LANES = sizeof(Doubles) / sizeof(double) };

static inline Doubles doubles_at(const void *bytes)
{
  Doubles lanes;
  memcpy(&lanes, bytes, sizeof lanes);
  return lanes;
}

/*
 * Doubles that are taken for integers of the last of some digits. The sums are between 2^52 and
 * 2^53, where the bits of two numbers are as far apart as the numbers. So this holds below
 * INTS_DOUBLE_LIMIT: what is not leaves high bits in *reach. What differs then has bits in *odd.
 */
static inline Doubles scale(Doubles value, double power, Longs *odd, Longs *reach)
{
  const guint64 least = (guint64)bits_of_double(NEAREST_SHIFT - (double)INTS_DOUBLE_LIMIT);
  Doubles sum = value * power + NEAREST_SHIFT;
  Doubles number = sum - NEAREST_SHIFT;
  *odd = (Longs)(number / power) ^ (Longs)value;
  *reach |= (Longs)((Bits)sum - least);
  return number;
}

static inline gboolean in_reach(Longs reach)
{
  return (guint64)(reach[0] | reach[1]) < 2 * (guint64)INTS_DOUBLE_LIMIT;
}

/* How many of a sample are not the same with so many digits; 2: that or more. */
static inline guint misses_of(const double sample[QUICK_SAMPLE], guint digits, Longs *reach)
{
  const double power = powers[digits];
  guint misses = 0;
  for (guint i = 0; i < QUICK_SAMPLE && misses < 2; i += LANES) {
    Longs odd;
    scale(doubles_at(sample + i), power, &odd, reach);
    misses += (odd[0] != 0) + (odd[1] != 0);
  }
  return MIN(misses, 2);
}

/* The same for doubles, with fewer instructions; `guess` is tried first, if there is one. */
static guint choose_quickly(const guint8 *packed, guint rows, guint guess)
{
  double sample[QUICK_SAMPLE];
  Longs reach = {0};
  for (guint i = 0; i < QUICK_SAMPLE; i++)
    memcpy(&sample[i], packed + (gsize)(i * rows / QUICK_SAMPLE) * 8, 8);
  guint digits = guess > 0 && misses_of(sample, guess - 1, &reach) == 2 ? guess : 0;
  if (!in_reach(reach)) { /* then that says nothing */
    reach = (Longs){0};
    digits = 0;
  }
  for (; digits <= MAX_DIGITS; digits++) {
    guint misses = misses_of(sample, digits, &reach);
    if (!in_reach(reach))
      return choose_digits(DATA_DOUBLE, packed, rows, QUICK_SAMPLE, digits);
    if (misses < 2)
      return digits;
  }
  return MAX_DIGITS + 1;
}

/* digits:u8, exceptions:u16, each row:u16 and bits:u64; the integers come behind. */
typedef struct DecimalWriter {
  guint8 *begin, *to;
  guint exceptions, most;
} DecimalWriter;

/* Of which there is one more for each row of a stride. */
static guint most_exceptions(guint rows)
{
  return rows / EXCEPTION_SHARE + 1;
}

static gsize decimal_room(guint rows)
{
  return DECIMAL_HEAD + (gsize)(most_exceptions(rows) + STRIDE) * EXCEPTION_SIZE;
}

static DecimalWriter decimal_writer(guint8 *to, guint rows)
{
  return (DecimalWriter){to, to + DECIMAL_HEAD, 0, most_exceptions(rows)};
}

static void put_exception(DecimalWriter *writer, gint64 bits, guint row)
{
  writer->to[0] = (guint8)row;
  writer->to[1] = (guint8)(row >> 8);
  store_le64(writer->to + 2, (guint64)bits);
  writer->to += EXCEPTION_SIZE;
  writer->exceptions++;
}

/* Gives the end; NULL: there are too many exceptions. */
static guint8 *put_head(const DecimalWriter *writer, guint digits)
{
  writer->begin[0] = (guint8)digits;
  writer->begin[1] = (guint8)writer->exceptions;
  writer->begin[2] = (guint8)(writer->exceptions >> 8);
  return writer->exceptions <= writer->most ? writer->to : NULL;
}

static guint8 *put_decimals(DataType type, const guint8 *packed, guint rows, guint digits,
                            gint64 *numbers, guint8 *to)
{
  DecimalWriter writer = decimal_writer(to, rows);
  for (guint row = 0; row < rows && writer.exceptions <= writer.most; row++) {
    if (as_decimal(packed, type, row, digits, &numbers[row]))
      continue;
    numbers[row] = row > 0 ? numbers[row - 1] : 0; /* as small a step as there is */
    put_exception(&writer, bits_at(packed, data_type_size(type), row), row);
  }
  return put_head(&writer, digits);
}

/* Some rows of doubles, one by one. FALSE: one is not below INTS_DOUBLE_LIMIT. */
static gboolean put_slowly(DecimalWriter *writer, const guint8 *packed, guint row, guint end,
                           guint digits, double *numbers)
{
  for (; row < end; row++) {
    gint64 number;
    gboolean exact = as_decimal(packed, DATA_DOUBLE, row, digits, &number);
    if (exact && ABS(number) >= INTS_DOUBLE_LIMIT)
      return FALSE;
    numbers[row] = exact ? (double)number : row > 0 ? numbers[row - 1] : 0;
    if (!exact)
      put_exception(writer, bits_at(packed, 8, row), row);
  }
  return TRUE;
}

/* STRIDE rows of it. `odd` is 0 in all lanes that are the same. FALSE: one may not be in reach. */
static inline gboolean put_stride(const guint8 *packed, double power, double *numbers,
                                  Longs odd[STRIDE / LANES], gboolean *out_all)
{
  Longs any = {0}, reach = {0};
#pragma GCC unroll 4
  for (guint i = 0; i < STRIDE / LANES; i++) {
    Doubles lanes = scale(doubles_at(packed + i * sizeof lanes), power, &odd[i], &reach);
    memcpy(numbers + i * LANES, &lanes, sizeof lanes);
    any |= odd[i];
  }
  *out_all = (any[0] | any[1]) == 0;
  return in_reach(reach);
}

/* put_decimals() of doubles, with doubles for the integers. NULL also when one is not below
 * INTS_DOUBLE_LIMIT. */
static guint8 *put_doubles(const guint8 *packed, guint rows, guint digits, double *numbers,
                           guint8 *to)
{
  DecimalWriter writer = decimal_writer(to, rows);
  guint end;
  guint8 last[STRIDE * 8] = {0};
  for (guint row = 0; row < rows && writer.exceptions <= writer.most; row = end) {
    Longs odd[STRIDE / LANES];
    gboolean all;
    const guint8 *some = packed + (gsize)row * 8;
    end = MIN(row + STRIDE, rows);
    if (end < row + STRIDE) /* zeros are as they should be */
      some = memcpy(last, some, (gsize)(end - row) * 8);
    if (!put_stride(some, powers[digits], numbers + row, odd, &all)) {
      if (!put_slowly(&writer, packed, row, end, digits, numbers))
        return NULL;
      continue;
    }
    for (guint i = row; i < end && !all; i++)
      if (odd[(i - row) / LANES][(i - row) % LANES] != 0) {
        numbers[i] = i > 0 ? numbers[i - 1] : 0;
        put_exception(&writer, bits_at(packed, 8, i), i);
      }
  }
  return put_head(&writer, digits);
}

/* All but the integers, which come to scratch->doubles or, if not *out_doubles, ->integers. Gives
 * the end; NULL: it can't be done. */
static guint8 *put_scaled(DataType type, const guint8 *packed, guint rows, guint digits,
                          CodecScratch *scratch, gboolean *out_doubles, guint8 *to)
{
  if (digits > MAX_DIGITS || rows > G_MAXUINT16)
    return NULL;
  guint8 *end =
      type == DATA_DOUBLE ? put_doubles(packed, rows, digits, scratch->doubles, to) : NULL;
  *out_doubles = end != NULL;
  return end != NULL ? end : put_decimals(type, packed, rows, digits, scratch->integers, to);
}

/* NULL: it can't be done, and what is at `to` then is anything. */
static guint8 *encode_decimal_quickly(DataType type, const guint8 *packed, guint rows,
                                      CodecScratch *scratch, guint8 *to)
{
  gboolean doubles;
  guint digits = type == DATA_DOUBLE ? choose_quickly(packed, rows, scratch->digits)
                                     : choose_digits(type, packed, rows, QUICK_SAMPLE, 0);
  to = put_scaled(type, packed, rows, digits, scratch, &doubles, to);
  if (to == NULL)
    return NULL;
  scratch->digits = digits;
  return doubles ? ints_encode_doubles(scratch->doubles, rows, 0, to)
                 : ints_encode_quickly(scratch->integers, rows, scratch->doubles, to);
}

/* FALSE: it can't be done; `out` then has anything behind what it had. */
static gboolean encode_decimal(DataType type, const guint8 *packed, guint rows,
                               CodecScratch *scratch, GByteArray *out)
{
  guint begin = out->len, digits = choose_digits(type, packed, rows, SAMPLE, 0);
  gboolean doubles;
  g_byte_array_set_size(out, (guint)(begin + decimal_room(rows)));
  guint8 *end = put_scaled(type, packed, rows, digits, scratch, &doubles, out->data + begin);
  if (end == NULL)
    return FALSE;
  for (guint row = 0; doubles && row < rows; row++)
    scratch->integers[row] = (gint64)scratch->doubles[row];
  g_byte_array_set_size(out, (guint)(end - out->data));
  ints_encode(scratch->integers, rows, out);
  return TRUE;
}

static gboolean decode_decimal(DataType type, const guint8 *bytes, gsize size, guint rows,
                               gint64 *numbers, guint8 *out)
{
  ByteReader reader = byte_reader(bytes, size);
  guint digits = byte_reader_u8(&reader);
  guint exceptions = byte_reader_u8(&reader);
  exceptions |= (guint)byte_reader_u8(&reader) << 8;
  const guint8 *odd = byte_reader_take(&reader, (gsize)exceptions * EXCEPTION_SIZE);
  if (odd == NULL || digits > MAX_DIGITS ||
      !ints_decode(bytes + reader.at, byte_reader_left(&reader), rows, numbers))
    return FALSE;
  double power = powers[digits];
  for (guint row = 0; type == DATA_DOUBLE && row < rows; row++) {
    double value = (double)numbers[row] / power;
    memcpy(out + (gsize)row * 8, &value, sizeof value);
  }
  for (guint row = 0; type == DATA_FLOAT && row < rows; row++) {
    float value = (float)((double)numbers[row] / power);
    memcpy(out + (gsize)row * 4, &value, sizeof value);
  }
  for (guint i = 0; i < exceptions; i++, odd += EXCEPTION_SIZE) {
    guint row = odd[0] | (guint)odd[1] << 8;
    if (row >= rows)
      return FALSE;
    put_bits(out, data_type_size(type), row, (gint64)load_le64(odd + 2));
  }
  return TRUE;
}

static void encode_planes(const guint8 *packed, gsize width, guint rows, GByteArray *out)
{
  guint begin = out->len;
  g_byte_array_set_size(out, (guint)(begin + rows * width));
  guint8 *to = out->data + begin;
  for (gsize plane = 0; plane < width; plane++)
    for (guint row = 0; row < rows; row++)
      *to++ = packed[row * width + plane];
}

static void decode_planes(const guint8 *bytes, gsize width, guint rows, guint8 *out)
{
  for (guint row = 0; row < rows; row++)
    for (gsize plane = 0; plane < width; plane++)
      *out++ = bytes[plane * rows + row];
}

static ValueCodec encode_numbers(DataType type, const guint8 *packed, guint rows, GByteArray *out)
{
  gsize width = data_type_size(type), size = rows * width;
  guint begin = out->len;
  g_autofree gint64 *numbers = g_new(gint64, rows);
  if (type == DATA_DOUBLE || type == DATA_FLOAT) {
    g_autofree double *doubles = g_new(double, rows + CODEC_SLACK);
    CodecScratch scratch = {numbers, doubles, 0};
    if (encode_decimal(type, packed, rows, &scratch, out) && out->len - begin < size / 4 * 3)
      return CODEC_DECIMAL;
    g_byte_array_set_size(out, begin);
  }
  for (guint row = 0; row < rows; row++)
    numbers[row] = bits_at(packed, width, row);
  ints_encode(numbers, rows, out);
  if (out->len - begin < size / 4 * 3)
    return CODEC_INTS;
  g_byte_array_set_size(out, begin);
  encode_planes(packed, width, rows, out);
  return CODEC_PLANES;
}

/* --- booleans -----------------------------------------------------------------------------------
 */

/* Gives the end. */
static guint8 *encode_booleans(const guint8 *packed, guint rows, guint8 *to, ValueCodec *out_codec)
{
  *out_codec = CODEC_BITS;
  memset(to, 0, (rows + 7) / 8);
  for (guint row = 0; row < rows; row++) {
    if (packed[row] > 1) {
      *out_codec = CODEC_RAW;
      memcpy(to, packed, rows);
      return to + rows;
    }
    to[row / 8] |= (guint8)(packed[row] << row % 8);
  }
  return to + (rows + 7) / 8;
}

static gboolean decode_booleans(const guint8 *bytes, gsize size, guint rows, guint8 *out)
{
  if (size != ((gsize)rows + 7) / 8)
    return FALSE;
  for (guint row = 0; row < rows; row++)
    out[row] = bytes[row / 8] >> row % 8 & 1;
  return TRUE;
}

/* --- texts --------------------------------------------------------------------------------------
 */

/* Appends size:u32 and the integers. */
static void put_ints(const gint64 *numbers, guint count, GByteArray *out)
{
  guint begin = out->len;
  g_byte_array_set_size(out, begin + 4);
  ints_encode(numbers, count, out);
  store_le32(out->data + begin, out->len - begin - 4);
}

static gboolean take_ints(ByteReader *reader, guint count, gint64 *numbers)
{
  const guint8 *head = byte_reader_take(reader, 4);
  gsize size = head != NULL ? load_le32(head) : 0;
  const guint8 *bytes = byte_reader_take(reader, size);
  return bytes != NULL && ints_decode(bytes, size, count, numbers);
}

/* Texts by their bytes, and the number that each was given. */
typedef struct Dictionary {
  GHashTable *numbers; /* GBytes → number + 1 */
  GPtrArray *texts;    /* GBytes, borrowed */
} Dictionary;

/* The number of each row's text; FALSE: there are too many different ones. */
static gboolean number_texts(const guint8 *packed, guint rows, Dictionary *dictionary,
                             gint64 *numbers)
{
  const guint8 *texts = packed + ((gsize)rows + 1) * 4;
  for (guint row = 0; row < rows; row++) {
    guint32 begin = load_le32(packed + (gsize)row * 4), end = load_le32(packed + row * 4 + 4);
    GBytes *text = g_bytes_new_static(texts + begin, end - begin);
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(dictionary->numbers, text));
    if (number > 0) {
      g_bytes_unref(text);
    } else {
      g_ptr_array_add(dictionary->texts, text);
      number = dictionary->texts->len;
      g_hash_table_insert(dictionary->numbers, text, GUINT_TO_POINTER(number));
    }
    numbers[row] = (gint64)number - 1;
    if (dictionary->texts->len > rows / DICTIONARY_SHARE + 1)
      return FALSE;
  }
  return TRUE;
}

/* texts:u32, the lengths, the row's numbers, the bytes of the texts. */
static void put_dictionary(const Dictionary *dictionary, const gint64 *numbers, guint rows,
                           GByteArray *out)
{
  guint count = dictionary->texts->len;
  g_autofree gint64 *lengths = g_new(gint64, count);
  guint8 head[4];
  store_le32(head, count);
  g_byte_array_append(out, head, sizeof head);
  for (guint i = 0; i < count; i++)
    lengths[i] = (gint64)g_bytes_get_size(dictionary->texts->pdata[i]);
  put_ints(lengths, count, out);
  put_ints(numbers, rows, out);
  for (guint i = 0; i < count; i++) {
    gsize size;
    const guint8 *bytes = g_bytes_get_data(dictionary->texts->pdata[i], &size);
    g_byte_array_append(out, bytes, (guint)size);
  }
}

static ValueCodec encode_texts(const guint8 *packed, gsize size, guint rows, GByteArray *out)
{
  g_autofree gint64 *numbers = g_new(gint64, rows);
  Dictionary dictionary = {
      g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL),
      g_ptr_array_new()};
  gboolean few = number_texts(packed, rows, &dictionary, numbers);
  if (few)
    put_dictionary(&dictionary, numbers, rows, out);
  g_ptr_array_unref(dictionary.texts);
  g_hash_table_unref(dictionary.numbers);
  if (few)
    return CODEC_DICTIONARY;
  gsize table = ((gsize)rows + 1) * 4;
  for (guint row = 0; row < rows; row++)
    numbers[row] =
        (gint64)load_le32(packed + row * 4 + 4) - (gint64)load_le32(packed + (gsize)row * 4);
  put_ints(numbers, rows, out);
  g_byte_array_append(out, packed + table, (guint)(size - table));
  return CODEC_TEXTS;
}

/* Whether texts of these lengths have `size` bytes together. */
static gboolean lengths_give(const gint64 *lengths, guint count, gsize size)
{
  gsize sum = 0;
  for (guint i = 0; i < count; i++) {
    if (lengths[i] < 0 || (guint64)lengths[i] > size - sum)
      return FALSE;
    sum += (gsize)lengths[i];
  }
  return sum == size;
}

static gboolean decode_plain_texts(const guint8 *bytes, gsize size, guint rows, gint64 *lengths,
                                   guint8 *out, gsize out_size)
{
  ByteReader reader = byte_reader(bytes, size);
  gsize table = ((gsize)rows + 1) * 4;
  if (!take_ints(&reader, rows, lengths) || out_size < table ||
      byte_reader_left(&reader) != out_size - table ||
      !lengths_give(lengths, rows, out_size - table))
    return FALSE;
  guint32 at = 0;
  for (guint row = 0; row < rows; row++) {
    store_le32(out + (gsize)row * 4, at);
    at += (guint32)lengths[row];
  }
  store_le32(out + (gsize)rows * 4, at);
  memcpy(out + table, bytes + reader.at, out_size - table);
  return TRUE;
}

static gboolean decode_dictionary(const guint8 *bytes, gsize size, guint rows, gint64 *numbers,
                                  guint8 *out, gsize out_size)
{
  ByteReader reader = byte_reader(bytes, size);
  const guint8 *head = byte_reader_take(&reader, 4);
  guint count = head != NULL ? load_le32(head) : 0;
  gsize table = ((gsize)rows + 1) * 4;
  if (count == 0 || count > rows || out_size < table)
    return FALSE;
  g_autofree gint64 *lengths = g_new(gint64, count);
  g_autofree gsize *begins = g_new(gsize, count);
  if (!take_ints(&reader, count, lengths) || !take_ints(&reader, rows, numbers) ||
      !lengths_give(lengths, count, byte_reader_left(&reader)))
    return FALSE;
  const guint8 *texts = bytes + reader.at;
  gsize at = 0;
  for (guint i = 0; i < count; i++) {
    begins[i] = at;
    at += (gsize)lengths[i];
  }
  gsize written = 0;
  for (guint row = 0; row < rows; row++) {
    guint64 number = (guint64)numbers[row];
    if (number >= count || (gsize)lengths[number] > out_size - table - written)
      return FALSE;
    store_le32(out + (gsize)row * 4, (guint32)written);
    memcpy(out + table + written, texts + begins[number], (gsize)lengths[number]);
    written += (gsize)lengths[number];
  }
  store_le32(out + (gsize)rows * 4, (guint32)written);
  return written == out_size - table;
}

/* --- any ----------------------------------------------------------------------------------------
 */

ValueCodec values_encode(DataType type, const guint8 *packed, gsize size, guint rows,
                         GByteArray *out)
{
  g_assert(rows > 0);
  if (type == DATA_BOOLEAN) {
    ValueCodec codec;
    guint begin = out->len;
    g_byte_array_set_size(out, begin + rows);
    guint8 *end = encode_booleans(packed, rows, out->data + begin, &codec);
    g_byte_array_set_size(out, (guint)(end - out->data));
    return codec;
  }
  if (type == DATA_TEXT)
    return encode_texts(packed, size, rows, out);
  return encode_numbers(type, packed, rows, out);
}

gsize values_quick_room(gsize size, guint rows)
{
  return MAX(size, decimal_room(rows) + ints_quick_room(rows));
}

guint8 *values_encode_quickly(DataType type, const guint8 *packed, gsize size, guint rows,
                              CodecScratch *scratch, guint8 *to, ValueCodec *out_codec)
{
  g_assert(rows > 0);
  guint8 *end = NULL;
  if (type == DATA_BOOLEAN)
    return encode_booleans(packed, rows, to, out_codec);
  if (type == DATA_DOUBLE || type == DATA_FLOAT) {
    end = encode_decimal_quickly(type, packed, rows, scratch, to);
    *out_codec = CODEC_DECIMAL;
  } else if (type != DATA_TEXT) {
    for (guint row = 0; row < rows; row++)
      scratch->integers[row] = bits_at(packed, data_type_size(type), row);
    end = ints_encode_quickly(scratch->integers, rows, scratch->doubles, to);
    *out_codec = CODEC_INTS;
  }
  if (end != NULL && (gsize)(end - to) < size / 4 * 3)
    return end;
  *out_codec = CODEC_RAW;
  memcpy(to, packed, size);
  return to + size;
}

static gboolean decode_ints(DataType type, const guint8 *bytes, gsize size, guint rows,
                            gint64 *numbers, guint8 *out)
{
  if (!ints_decode(bytes, size, rows, numbers))
    return FALSE;
  gsize width = data_type_size(type);
  for (guint row = 0; row < rows; row++)
    put_bits(out, width, row, numbers[row]);
  return TRUE;
}

gboolean values_decode(DataType type, ValueCodec codec, const guint8 *bytes, gsize size, guint rows,
                       gint64 *scratch, guint8 *out, gsize out_size)
{
  gboolean is_number = type != DATA_TEXT && type != DATA_BOOLEAN;
  gsize width = data_type_size(type);
  if (type != DATA_TEXT && out_size != rows * width)
    return FALSE;
  switch (codec) {
  case CODEC_RAW:
    if (type == DATA_TEXT || size != out_size)
      return FALSE;
    memcpy(out, bytes, size);
    return TRUE;
  case CODEC_INTS:
    return is_number && decode_ints(type, bytes, size, rows, scratch, out);
  case CODEC_DECIMAL:
    return (type == DATA_DOUBLE || type == DATA_FLOAT) &&
           decode_decimal(type, bytes, size, rows, scratch, out);
  case CODEC_PLANES:
    if (!is_number || size != out_size)
      return FALSE;
    decode_planes(bytes, width, rows, out);
    return TRUE;
  case CODEC_BITS:
    return type == DATA_BOOLEAN && decode_booleans(bytes, size, rows, out);
  case CODEC_TEXTS:
    return type == DATA_TEXT && decode_plain_texts(bytes, size, rows, scratch, out, out_size);
  case CODEC_DICTIONARY:
    return type == DATA_TEXT && decode_dictionary(bytes, size, rows, scratch, out, out_size);
  }
  return FALSE;
}
