/* Chunks and their codecs: what comes back is what went in, and hostile bytes are refused. */
#include "store/chunk.h"
#include "store/codec_ints.h"
#include "store/codec_values.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "support/suite.h"

#include <math.h>

/* --- integers -----------------------------------------------------------------------------------
 */

/* Encodes, compares, and gives the bytes that it took. */
static guint check_ints(const gint64 *values, guint count)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  g_autofree gint64 *back = g_new(gint64, count);
  ints_encode(values, count, bytes);
  /* An exact copy, so that a sanitizer sees what is read behind it. */
  g_autofree guint8 *copy = g_memdup2(bytes->data, bytes->len);
  fast_assert(ints_decode(copy, bytes->len, count, back));
  fast_assert(memcmp(values, back, (gsize)count * 8) == 0);
  fast_assert(!ints_decode(copy, bytes->len - 1, count, back));
  fast_assert(count == 1 || !ints_decode(copy, bytes->len, 0, back));
  return bytes->len;
}

START_TEST(integers_come_back)
{
  GRand *random = g_rand_new_with_seed(1);
  gint64 values[1000];
  for (guint round = 0; round < 2000; round++) {
    guint count = (guint)g_rand_int_range(random, 1, round % 10 == 0 ? 1000 : 20);
    gint64 value = 0;
    guint width = (guint)g_rand_int_range(random, 0, 65);
    for (guint i = 0; i < count; i++) {
      guint64 bits = (guint64)g_rand_int(random) << 32 | g_rand_int(random);
      bits = width == 0 ? 7 : bits >> (64 - width);
      value = (gint64)(round % 2 == 0 ? bits : (guint64)value + bits);
      values[i] = value;
    }
    check_ints(values, count);
  }
  for (guint i = 0; i < 1000; i++)
    values[i] = i % 2 == 0 ? G_MININT64 : G_MAXINT64;
  check_ints(values, 1000);
  g_rand_free(random);
}
END_TEST

START_TEST(a_regular_clock_costs_nothing)
{
  gint64 times[CHUNK_ROWS];
  for (guint i = 0; i < CHUNK_ROWS; i++)
    times[i] = G_GINT64_CONSTANT(1700000000000) + i * 1000;
  ck_assert_uint_lt(check_ints(times, CHUNK_ROWS), CHUNK_ROWS / 40);
  for (guint i = 1; i < CHUNK_ROWS; i += 2)
    times[i] += 3; /* jitter */
  ck_assert_uint_lt(check_ints(times, CHUNK_ROWS), CHUNK_ROWS);
}
END_TEST

/* --- values -------------------------------------------------------------------------------------
 */

typedef struct Packed {
  DataType type;
  guint rows;
  GByteArray *bytes;
} Packed;

/* Encodes, compares, tells the codec and gives the bytes that it took. */
static guint check_values(const Packed *packed, ValueCodec *out_codec)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  g_autofree guint8 *back = g_malloc(packed->bytes->len);
  gint64 scratch[CHUNK_ROWS];
  *out_codec =
      values_encode(packed->type, packed->bytes->data, packed->bytes->len, packed->rows, bytes);
  g_autofree guint8 *copy = g_memdup2(bytes->data, bytes->len);
  fast_assert(values_decode(packed->type, *out_codec, copy, bytes->len, packed->rows, scratch, back,
                            packed->bytes->len));
  fast_assert(memcmp(packed->bytes->data, back, packed->bytes->len) == 0);
  fast_assert(bytes->len == 0 || !values_decode(packed->type, *out_codec, copy, bytes->len - 1,
                                                packed->rows, scratch, back, packed->bytes->len));
  return bytes->len;
}

static Packed pack_doubles(guint rows, double (*value)(guint row, GRand *random))
{
  Packed packed = {DATA_DOUBLE, rows, g_byte_array_new()};
  GRand *random = g_rand_new_with_seed(rows);
  for (guint row = 0; row < rows; row++) {
    double one = value(row, random);
    g_byte_array_append(packed.bytes, (const guint8 *)&one, sizeof one);
  }
  g_rand_free(random);
  return packed;
}

static double walk(guint row, GRand *random)
{
  return rint(sin(row / 200.0) * 1000 + g_rand_int_range(random, -5, 6)) / 100;
}

static double full(guint row, GRand *random)
{
  (void)row;
  return g_rand_double(random);
}

static double constant(guint row, GRand *random)
{
  (void)row, (void)random;
  return 1.0 / 3;
}

/* Two digits, but for what has none. */
static double odd(guint row, GRand *random)
{
  static const double odds[] = {-0.0, NAN, INFINITY, -INFINITY, 1e300, 5e-324, 1.0 / 3};
  return row % 97 == 5 ? odds[row / 97 % G_N_ELEMENTS(odds)] : walk(row, random);
}

START_TEST(doubles_come_back_to_the_bit)
{
  static const struct {
    double (*value)(guint row, GRand *random);
    ValueCodec codec;
    guint percent; /* of the packed bytes, at most */
  } cases[] = {{walk, CODEC_DECIMAL, 13},
               {odd, CODEC_DECIMAL, 25},
               {full, CODEC_PLANES, 100},
               {constant, CODEC_INTS, 2}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    Packed packed = pack_doubles(CHUNK_ROWS, cases[i].value);
    ValueCodec codec;
    guint size = check_values(&packed, &codec);
    ck_assert_uint_eq(codec, cases[i].codec);
    ck_assert_uint_le(size * 100, packed.bytes->len * cases[i].percent);
    g_byte_array_unref(packed.bytes);
    for (guint rows = 1; rows < 40; rows++) {
      packed = pack_doubles(rows, cases[i].value);
      check_values(&packed, &codec);
      g_byte_array_unref(packed.bytes);
    }
  }
}
END_TEST

static void put_random(GRand *random, Packed *packed)
{
  guint8 bytes[8];
  for (guint i = 0; i < 8; i++)
    bytes[i] = (guint8)g_rand_int(random);
  if (packed->type == DATA_FLOAT && g_rand_boolean(random)) {
    float value = (float)g_rand_int_range(random, -1000, 1000) / 10.0f;
    memcpy(bytes, &value, sizeof value);
  }
  if (packed->type == DATA_BOOLEAN)
    bytes[0] &= 1;
  g_byte_array_append(packed->bytes, bytes, (guint)data_type_size(packed->type));
}

static Packed pack_texts(GRand *random, guint rows, guint different)
{
  Column *column = column_new("t", DATA_TEXT);
  for (guint row = 0; row < rows; row++) {
    g_autofree char *text = g_strdup_printf("%d", g_rand_int_range(random, 0, (gint32)different));
    column_append(column, text, row % 5 == 0 ? 0 : strlen(text));
  }
  column_finish(column);
  Packed packed = {DATA_TEXT, rows, g_byte_array_ref(column->values)};
  column_free(column);
  return packed;
}

START_TEST(values_of_all_types_come_back)
{
  GRand *random = g_rand_new_with_seed(3);
  guint seen = 0;
  for (guint round = 0; round < 400; round++) {
    guint rows = (guint)g_rand_int_range(random, 1, 300);
    DataType type = (DataType)(DATA_BOOLEAN + round % DATA_TEXT);
    Packed packed = {type, rows, NULL};
    if (type == DATA_TEXT) {
      packed = pack_texts(random, rows, round / DATA_TEXT % 2 == 0 ? 3 : 100000);
    } else {
      packed.bytes = g_byte_array_new();
      for (guint row = 0; row < rows; row++)
        put_random(random, &packed);
    }
    ValueCodec codec;
    check_values(&packed, &codec);
    seen |= 1u << codec;
    g_byte_array_unref(packed.bytes);
  }
  ck_assert(seen & 1u << CODEC_BITS && seen & 1u << CODEC_TEXTS && seen & 1u << CODEC_DICTIONARY &&
            seen & 1u << CODEC_PLANES);
  g_rand_free(random);
}
END_TEST

/* --- chunks -------------------------------------------------------------------------------------
 */

static GByteArray *make_chunk(DataType type, const Packed *packed, gboolean versions)
{
  g_autofree gint64 *times = g_new(gint64, packed->rows);
  g_autofree guint32 *origins = g_new(guint32, packed->rows);
  g_autofree guint64 *hlcs = g_new(guint64, packed->rows);
  for (guint i = 0; i < packed->rows; i++) {
    times[i] = -5 + (gint64)i * 10;
    origins[i] = 1 + i % 2;
    hlcs[i] = 1000 + i;
  }
  ChunkCells cells = {.rows = packed->rows,
                      .times = times,
                      .values = packed->bytes->data,
                      .values_size = packed->bytes->len,
                      .horizon = 10000,
                      .newest = 1000 + packed->rows - 1,
                      .origin = 3,
                      .origins = versions ? origins : NULL,
                      .hlcs = versions ? hlcs : NULL};
  GByteArray *bytes = g_byte_array_new();
  chunk_encode(type, &cells, bytes);
  return bytes;
}

/* Opens and decodes all that there is. */
static gboolean decode_all(const guint8 *bytes, gsize size, GError **error)
{
  Chunk chunk;
  if (!chunk_open(bytes, size, &chunk, error))
    return FALSE;
  g_autofree gint64 *times = g_new(gint64, chunk.rows);
  g_autofree guint8 *values = g_malloc(chunk.values_size);
  g_autofree guint32 *origins = g_new(guint32, chunk.rows);
  g_autofree guint64 *hlcs = g_new(guint64, chunk.rows);
  return chunk_times(&chunk, times, error) && chunk_values(&chunk, values, error) &&
         (!chunk.has_versions || chunk_versions(&chunk, origins, hlcs, error));
}

START_TEST(a_chunk_comes_back)
{
  Packed packed = pack_doubles(500, walk);
  for (guint versions = 0; versions < 2; versions++) {
    g_autoptr(GByteArray) bytes = make_chunk(DATA_DOUBLE, &packed, versions);
    Chunk chunk;
    ck_assert(chunk_open(bytes->data, bytes->len, &chunk, NULL));
    ck_assert_uint_eq(chunk.rows, 500);
    ck_assert_int_eq(chunk.type, DATA_DOUBLE);
    ck_assert_int_eq(chunk.min_time, -5);
    ck_assert_int_eq(chunk.max_time, -5 + 4990);
    ck_assert_uint_eq(chunk.horizon, 10000);
    ck_assert_uint_eq(chunk.newest, 1499);
    ck_assert_uint_eq(chunk.has_versions, versions);
    ck_assert_uint_eq(chunk.origin, versions ? 0 : 3);
    gint64 times[500];
    guint8 values[4000];
    ck_assert_uint_eq(chunk.values_size, sizeof values);
    ck_assert(chunk_times(&chunk, times, NULL) && chunk_values(&chunk, values, NULL));
    ck_assert_int_eq(times[499], 4985);
    ck_assert(memcmp(values, packed.bytes->data, sizeof values) == 0);
    if (!versions)
      continue;
    guint32 origins[500];
    guint64 hlcs[500];
    ck_assert(chunk_versions(&chunk, origins, hlcs, NULL));
    ck_assert_uint_eq(origins[7], 2);
    ck_assert_uint_eq(hlcs[499], 1499);
  }
  g_byte_array_unref(packed.bytes);
}
END_TEST

/* The bytes on disk: a change of them needs a new version. */
START_TEST(the_format_is_what_it_was)
{
  static const guint8 golden[] = {
      /* version, type, codec, versions of cells, 4 rows, origin, 32 bytes decoded */
      1, 5, 2, 1, 4, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0,
      /* bytes of times, values, versions; checksum */
      6, 0, 0, 0, 9, 0, 0, 0, 13, 0, 0, 0, 195, 176, 72, 155,
      /* from -5 to 25, horizon 10000, newest 1003 */
      251, 255, 255, 255, 255, 255, 255, 255, 25, 0, 0, 0, 0, 0, 0, 0, 16, 39, 0, 0, 0, 0, 0, 0,
      235, 3, 0, 0, 0, 0, 0, 0,
      /* times as they are: 5 bits, least -5, 0 10 20 30 */
      0, 5, 9, 64, 81, 15,
      /* one digit, no exceptions; 4 bits, least 150, 0 5 4 15 */
      1, 0, 0, 0, 4, 172, 2, 80, 244,
      /* 4 bytes of origins: 1 bit, least 1; clocks: 2 bits, least 1000 */
      4, 0, 0, 0, 0, 1, 2, 10, 0, 2, 208, 15, 228};
  static const double values[] = {15.0, 15.5, 15.4, 16.5};
  Packed packed = {DATA_DOUBLE, 4, g_byte_array_new()};
  g_byte_array_append(packed.bytes, (const guint8 *)values, sizeof values);
  g_autoptr(GByteArray) bytes = make_chunk(DATA_DOUBLE, &packed, TRUE);
  g_byte_array_unref(packed.bytes);
  ck_assert_uint_eq(bytes->len, sizeof golden);
  ck_assert(memcmp(bytes->data, golden, sizeof golden) == 0);
}
END_TEST

static void set_checksum(guint8 *bytes, gsize size)
{
  guint32 crc = crc32c(0, bytes, 28);
  store_le32(bytes + 28, crc32c(crc, bytes + 32, size - 32));
}

static Packed pack_any(GRand *random, DataType type, guint round)
{
  guint rows = (guint)g_rand_int_range(random, 1, 40);
  if (type == DATA_TEXT)
    return pack_texts(random, rows, round / DATA_TEXT % 2 == 0 ? 3 : 1000);
  if (type == DATA_DOUBLE)
    return pack_doubles(rows, round % 4 == 0 ? odd : walk);
  Packed packed = {type, rows, g_byte_array_new()};
  for (guint row = 0; row < rows; row++)
    put_random(random, &packed);
  return packed;
}

/* A copy with some bytes changed, perhaps cut short. */
static guint8 *damage(GRand *random, const GByteArray *bytes, gsize *out_size)
{
  gint32 less =
      g_rand_int_range(random, 0, 8) == 0 ? g_rand_int_range(random, 0, (gint32)bytes->len) : 0;
  *out_size = bytes->len - (gsize)less;
  guint8 *copy = g_memdup2(bytes->data, *out_size);
  for (gint32 n = g_rand_int_range(random, 1, 4); n > 0; n--)
    copy[g_rand_int_range(random, 0, (gint32)*out_size)] ^=
        (guint8)g_rand_int_range(random, 1, 256);
  return copy;
}

/* Every change is found by the checksum; and with a right one nothing is read or written beyond. */
START_TEST(hostile_bytes_are_refused)
{
  GRand *random = g_rand_new_with_seed(4);
  guint refused = 0;
  for (guint round = 0; round < HISTORIES(60000); round++) {
    DataType type = (DataType)(DATA_BOOLEAN + round % DATA_TEXT);
    Packed packed = pack_any(random, type, round);
    g_autoptr(GByteArray) bytes = make_chunk(type, &packed, round % 5 == 0);
    g_byte_array_unref(packed.bytes);
    fast_assert(decode_all(bytes->data, bytes->len, NULL));
    gsize size;
    g_autofree guint8 *copy = damage(random, bytes, &size);
    g_autoptr(GError) error = NULL;
    Chunk chunk;
    fast_assert(!chunk_open(copy, size, &chunk, NULL) || memcmp(copy, bytes->data, size) == 0);
    if (size >= 64)
      set_checksum(copy, size);
    if (!decode_all(copy, size, &error)) {
      fast_assert(error->code == SYNCLOG_CORRUPT);
      refused++;
    }
  }
  ck_assert_uint_gt(refused, HISTORIES(60000) / 6);
  g_rand_free(random);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {integers_come_back,           a_regular_clock_costs_nothing,
                                doubles_come_back_to_the_bit, values_of_all_types_come_back,
                                a_chunk_comes_back,           the_format_is_what_it_was,
                                hostile_bytes_are_refused};
  return RUN_SUITE("chunk", tests);
}
