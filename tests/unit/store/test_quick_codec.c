/* The codecs of what arrives: that all comes back, and that with and without SSE the bytes are the
 * same. */
#include "store/codec_values.h"

#include "support/suite.h"

#include <math.h>

#define CODEC_INTS_GENERIC
#define ints_encode generic_encode
#define ints_encode_quickly generic_encode_quickly
#define ints_encode_doubles generic_encode_doubles
#define ints_quick_room generic_quick_room
#define ints_decode generic_decode
gsize generic_quick_room(guint count);
guint8 *generic_encode_quickly(const gint64 *values, guint count, double *scratch, guint8 *to);
guint8 *generic_encode_doubles(const double *values, guint count, gint64 offset, guint8 *to);
void generic_encode(const gint64 *values, guint count, GByteArray *out);
gboolean generic_decode(const guint8 *bytes, gsize size, guint count, gint64 *out);
#include "store/codec_ints.c"
#undef ints_encode_quickly
#undef ints_quick_room
#undef ints_decode
gsize ints_quick_room(guint count);
guint8 *ints_encode_quickly(const gint64 *values, guint count, double *scratch, guint8 *to);
gboolean ints_decode(const guint8 *bytes, gsize size, guint count, gint64 *out);

static guint64 random_64(GRand *random)
{
  return (guint64)g_rand_int(random) << 32 | g_rand_int(random);
}

/* Integers whose `mode`-th differences have so many bits. */
static void fill(GRand *random, gint64 *values, guint count, guint width, guint mode)
{
  guint64 mask = width == 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT(1) << width) - 1;
  guint64 base = g_rand_boolean(random) ? random_64(random) : g_rand_int(random);
  for (guint i = 0; i < count; i++)
    values[i] = (gint64)((random_64(random) & mask) + (i % 3 == 0 ? 0 : base) * (mode == 0) + base);
  for (; mode > 0; mode--)
    for (guint i = 1; i < count; i++)
      values[i] = (gint64)((guint64)values[i] + (guint64)values[i - 1]);
}

/* What is packed comes back, and the other build packs the same. Gives how much it is. */
static gsize check_ints(const gint64 *values, guint count)
{
  g_autofree guint8 *bytes = g_malloc(ints_quick_room(count));
  g_autofree guint8 *other = g_malloc(ints_quick_room(count));
  g_autofree double *scratch = g_new(double, count);
  g_autofree gint64 *back = g_new(gint64, count);
  gsize size = (gsize)(ints_encode_quickly(values, count, scratch, bytes) - bytes);
  gsize other_size = (gsize)(generic_encode_quickly(values, count, scratch, other) - other);
  fast_assert(size == other_size && memcmp(bytes, other, size) == 0);
  g_autofree guint8 *exact = g_memdup2(bytes, size);
  fast_assert(ints_decode(exact, size, count, back));
  fast_assert(memcmp(back, values, count * sizeof *values) == 0);
  return size;
}

START_TEST(integers_come_back)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  gint64 values[400];
  for (guint width = 0; width <= 64; width++)
    for (guint mode = 0; mode < 3; mode++)
      for (guint round = 0; round < HISTORIES(40); round++) {
        guint count = (guint)g_rand_int_range(random, 1, G_N_ELEMENTS(values));
        count = round % 4 == 0 ? 1 + round / 4 : count;
        fill(random, values, count, width, mode);
        check_ints(values, count);
      }
}
END_TEST

/* Where differences wrap. */
START_TEST(integers_at_the_limits_come_back)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  gint64 values[300];
  for (guint round = 0; round < HISTORIES(2000); round++) {
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
      guint64 step = g_rand_int(random) % 2000;
      values[i] = (gint64)((guint64)(round % 2 ? G_MAXINT64 : G_MININT64) + step - 1000);
    }
    check_ints(values, G_N_ELEMENTS(values));
  }
}
END_TEST

START_TEST(clocks_are_small)
{
  gint64 values[400];
  static const gint64 steps[] = {0, 1, -1, 1000, G_MAXINT64, G_MININT64};
  static const gint64 firsts[] = {0, 1764000000000, -5, G_MAXINT64, G_MININT64};
  for (guint count = 1; count <= G_N_ELEMENTS(values); count++)
    for (guint i = 0; i < G_N_ELEMENTS(steps) * G_N_ELEMENTS(firsts); i++) {
      guint64 step = (guint64)steps[i % G_N_ELEMENTS(steps)];
      guint64 first = (guint64)firsts[i / G_N_ELEMENTS(steps)];
      for (guint row = 0; row < count; row++)
        values[row] = (gint64)(first + row * step);
      ck_assert_uint_le(check_ints(values, count), 1 + 8 + (count / 128 + 1) * 11);
    }
  /* One that is late, at each place. */
  for (guint late = 0; late < 300; late++) {
    for (guint row = 0; row < 300; row++)
      values[row] = 1764000000000 + row * 1000 + (row == late);
    check_ints(values, 300);
  }
}
END_TEST

/* --- floating point -----------------------------------------------------------------------------
 */

static const double odd[] = {-0.0,
                             NAN,
                             INFINITY,
                             -INFINITY,
                             5e-324,
                             -2.2250738585072014e-308,
                             1.7976931348623157e308,
                             0.1 + 0.2,
                             562949953421311.0,
                             562949953421312.0,
                             -562949953421312.0,
                             2251799813685249.0,
                             9007199254740993.0,
                             -6.8e15,
                             1764000000.123456,
                             1.0 / 3};

static double random_double(GRand *random, guint digits, guint bits, guint oddness)
{
  if (oddness > 0 && g_rand_int(random) % oddness == 0)
    return odd[g_rand_int(random) % G_N_ELEMENTS(odd)];
  gint64 number = (gint64)(random_64(random) >> (64 - bits));
  return (double)(g_rand_boolean(random) ? number : -number) / pow(10, digits);
}

static void check_values(DataType type, const guint8 *packed, gsize size, guint rows, guint *digits)
{
  g_autofree gint64 *integers = g_new(gint64, rows);
  g_autofree double *doubles = g_new(double, rows + CODEC_SLACK);
  g_autofree guint8 *bytes = g_malloc(values_quick_room(size, rows));
  CodecScratch scratch = {integers, doubles, *digits};
  ValueCodec codec;
  guint8 *end = values_encode_quickly(type, packed, size, rows, &scratch, bytes, &codec);
  gsize coded = (gsize)(end - bytes);
  *digits = scratch.digits;
  fast_assert(coded <= size);
  g_autofree guint8 *exact = g_memdup2(bytes, coded);
  g_autofree guint8 *back = g_malloc(size);
  fast_assert(values_decode(type, codec, exact, coded, rows, integers, back, size));
  fast_assert(memcmp(back, packed, size) == 0);
}

START_TEST(floating_point_comes_back)
{
  static const guint oddness[] = {0, 100, 30, 10, 1};
  g_autoptr(GRand) random = g_rand_new_with_seed(2);
  double wide[300];
  float narrow[300];
  guint digits = 0;
  for (guint round = 0; round < HISTORIES(20000); round++) {
    guint rows = (guint)g_rand_int_range(random, 1, G_N_ELEMENTS(wide));
    guint behind = g_rand_int(random) % 18, bits = 1 + g_rand_int(random) % 60;
    rows = round % 8 == 0 ? 1 + round / 8 % 20 : rows;
    for (guint row = 0; row < rows; row++) {
      wide[row] = random_double(random, behind, bits, oddness[round % G_N_ELEMENTS(oddness)]);
      narrow[row] = (float)wide[row];
    }
    check_values(DATA_DOUBLE, (const guint8 *)wide, rows * sizeof *wide, rows, &digits);
    check_values(DATA_FLOAT, (const guint8 *)narrow, rows * sizeof *narrow, rows, &digits);
  }
}
END_TEST

/* Whatever column was before it, a clock in microseconds is packed. */
START_TEST(a_guess_does_not_hold)
{
  double values[100];
  for (guint row = 0; row < G_N_ELEMENTS(values); row++)
    values[row] = 1.7e15 + row * 3 + row % 7;
  for (guint guess = 0; guess <= 15; guess++) {
    gint64 integers[G_N_ELEMENTS(values)];
    double doubles[G_N_ELEMENTS(values) + CODEC_SLACK];
    g_autofree guint8 *bytes = g_malloc(values_quick_room(sizeof values, G_N_ELEMENTS(values)));
    CodecScratch scratch = {integers, doubles, guess};
    ValueCodec codec;
    values_encode_quickly(DATA_DOUBLE, (const guint8 *)values, sizeof values, G_N_ELEMENTS(values),
                          &scratch, bytes, &codec);
    ck_assert_int_eq(codec, CODEC_DECIMAL);
    guint digits = guess;
    check_values(DATA_DOUBLE, (const guint8 *)values, sizeof values, G_N_ELEMENTS(values), &digits);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {integers_come_back, integers_at_the_limits_come_back,
                                clocks_are_small, floating_point_comes_back, a_guess_does_not_hold};
  return RUN_SUITE("quick codecs", tests);
}
