/* Packed blocks: the bytes, that all comes back, and that damage is told. */
#include "store/block_merge.h"
#include "store/block_pack.h"

#include "raw_blocks.h"
#include "tools.h"

#include <math.h>

static void put_le(GByteArray *bytes, guint64 number, guint size)
{
  for (guint i = 0; i < size; i++, number >>= 8) {
    guint8 byte = (guint8)number;
    g_byte_array_append(bytes, &byte, 1);
  }
}

static double random_double(GRand *random, guint kind)
{
  static const double odds[] = {-0.0,
                                NAN,
                                INFINITY,
                                -INFINITY,
                                1e300,
                                5e-324,
                                2251799813685249.0,
                                -4503599627370497.0,
                                9007199254740993.0,
                                1.0 / 3};
  if (kind == 2 && g_rand_int_range(random, 0, 40) == 0)
    return odds[g_rand_int_range(random, 0, G_N_ELEMENTS(odds))];
  if (kind == 3)
    return g_rand_double(random);
  if (kind == 4) /* about the limit up to which rounding is quick */
    return ldexp(1, 51) + g_rand_int_range(random, -9, 9);
  return g_rand_int_range(random, -2000, 2000) / 100.0;
}

static void put_number(GByteArray *bytes, GRand *random, DataType type, guint kind)
{
  if (type == DATA_DOUBLE) {
    double value = random_double(random, kind);
    g_byte_array_append(bytes, (const guint8 *)&value, 8);
  } else if (type == DATA_FLOAT) {
    float value = (float)random_double(random, kind);
    g_byte_array_append(bytes, (const guint8 *)&value, 4);
  } else if (type == DATA_BOOLEAN) {
    put_le(bytes, g_rand_int(random) & 1, 1);
  } else {
    guint32 low = g_rand_int(random);
    put_le(bytes, kind == 3 ? (guint64)g_rand_int(random) << 32 | low : low % 50,
           (guint)data_type_size(type));
  }
}

static void put_texts(GByteArray *bytes, GRand *random, guint rows)
{
  guint at = 0, size = (guint)g_rand_int_range(random, 0, 5);
  for (guint row = 0; row <= rows; row++, at += size)
    put_le(bytes, at, 4);
  for (guint i = 0; i < rows * size; i++)
    put_le(bytes, 'a' + i % 7, 1);
}

/* A block of version 1 with columns of any types. */
static GByteArray *random_block(GRand *random, guint rows)
{
  GByteArray *bytes = g_byte_array_new();
  guint columns = (guint)g_rand_int_range(random, 1, 6);
  put_le(bytes, BLOCK_VERSION, 2);
  put_le(bytes, columns, 2);
  put_le(bytes, rows, 4);
  g_byte_array_set_size(bytes, BLOCK_HEAD_SIZE + columns * BLOCK_COLUMN_SIZE);
  gint64 time = g_rand_int_range(random, -1000000, 1000000), step = g_rand_int(random) % 3;
  for (guint row = 0; row < rows; row++) {
    put_le(bytes, (guint64)time, 8);
    time += step == 2 ? (gint64)(g_rand_int(random) % 100) : step * 1000;
  }
  for (guint i = 0; i < columns; i++) {
    DataType type = (DataType)g_rand_int_range(random, DATA_BOOLEAN, DATA_TEXT + 1);
    gboolean nulls = g_rand_int(random) % 3 == 0;
    guint kind = (guint)g_rand_int_range(random, 0, 5);
    for (guint k = 0; nulls && k < (rows + 7) / 8; k++)
      put_le(bytes, k + 1 < (rows + 7) / 8 ? g_rand_int(random) : 0, 1);
    guint values_at = bytes->len;
    for (guint row = 0; type != DATA_TEXT && row < rows; row++)
      put_number(bytes, random, type, kind);
    if (type == DATA_TEXT)
      put_texts(bytes, random, rows);
    guint8 *entry = bytes->data + BLOCK_HEAD_SIZE + i * BLOCK_COLUMN_SIZE;
    store_le32(entry, i + 5);
    entry[4] = (guint8)type;
    entry[5] = nulls;
    store_le32(entry + 6, bytes->len - values_at);
  }
  Block block;
  fast_assert(block_open(bytes->data, bytes->len, &block, NULL));
  return bytes;
}

/* Packs, and compares what comes back. FALSE: it is not smaller. */
static gboolean check_block(const guint8 *bytes, gsize size, GByteArray *packed)
{
  gsize back_size;
  gboolean smaller = block_pack(bytes, size, packed);
  if (packed->len > 0) {
    g_autofree guint8 *copy = g_memdup2(packed->data, packed->len);
    g_autofree guint8 *back = block_unpack(copy, packed->len, &back_size, NULL);
    fast_assert(back != NULL && back_size == size && memcmp(back, bytes, size) == 0);
    fast_assert(block_unpacked_size(copy, packed->len) == size);
    fast_assert(block_is_mixed(copy, packed->len) == block_is_mixed(bytes, size));
  }
  return smaller;
}

START_TEST(blocks_come_back)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  g_autoptr(GByteArray) packed = g_byte_array_new();
  guint smaller = 0;
  for (guint round = 0; round < 3000; round++) {
    g_autoptr(GByteArray) bytes = random_block(random, (guint)g_rand_int_range(random, 1, 400));
    smaller += check_block(bytes->data, bytes->len, packed);
  }
  ck_assert_uint_gt(smaller, 1000);
}
END_TEST

/* A small one and one of several parts. */
START_TEST(few_rows_and_many_versions)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(12);
  g_autoptr(GByteArray) packed = g_byte_array_new();
  g_autoptr(GByteArray) few = random_block(random, BLOCK_PACK_ROWS - 1);
  ck_assert(!block_pack(few->data, few->len, packed));
  ck_assert_uint_eq(packed->len, 0);
  for (guint round = 0; round < 300; round++) {
    g_autoptr(GByteArray) bytes = random_block(random, (guint)g_rand_int_range(random, 20, 60));
    MergePart parts[3];
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
      parts[i] = (MergePart){{100 + i * 7, 1 + i % 2, i}, bytes->data, bytes->len};
    MergedBlock merged;
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    block_merge(parts, G_N_ELEMENTS(parts), scratch, &merged);
    ck_assert(block_is_mixed(merged.bytes, merged.size));
    check_block(merged.bytes, merged.size, packed);
  }
}
END_TEST

/* The bytes on disk: a change of them needs a new version. */
START_TEST(the_format_is_what_it_was)
{
  static const guint8 golden[] = {/* version 3 of one of version 1, 2 columns, 16 rows, 350 bytes,
                                     none of versions, 11 of times */
                                  3, 1, 2, 0, 16, 0, 0, 0, 94, 1, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0,
                                  /* name 7, DOUBLE without nulls, decimal: 128 bytes in 15 */
                                  7, 0, 0, 0, 5, 0, 2, 128, 0, 0, 0, 15, 0, 0, 0,
                                  /* name 8, INT32 with nulls, integers: 64 bytes in 7 */
                                  8, 0, 0, 0, 2, 1, 1, 64, 0, 0, 0, 7, 0, 0, 0,
                                  /* times by differences: from 1000 on, each 10 more */
                                  1, 232, 3, 0, 0, 0, 0, 0, 0, 0, 20,
                                  /* one digit, no exceptions; 4 bits, least 150 */
                                  1, 0, 0, 0, 4, 172, 2, 112, 94, 60, 26, 248, 214, 180, 146,
                                  /* nulls; 2 bits, least 0 */
                                  1, 2, 0, 2, 0, 0, 85, 170, 255};
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  put_le(bytes, BLOCK_VERSION, 2);
  put_le(bytes, 2, 2);
  put_le(bytes, 16, 4);
  const guint8 entries[] = {7, 0, 0, 0, DATA_DOUBLE, 0, 128, 0, 0, 0,
                            8, 0, 0, 0, DATA_INT32,  1, 64,  0, 0, 0};
  g_byte_array_append(bytes, entries, sizeof entries);
  for (guint row = 0; row < 16; row++)
    put_le(bytes, 1000 + row * 10, 8);
  for (guint row = 0; row < 16; row++) {
    double value = 15 + (row * 7 % 16) / 10.0;
    g_byte_array_append(bytes, (const guint8 *)&value, 8);
  }
  put_le(bytes, 0x0201, 2);
  for (guint row = 0; row < 16; row++)
    put_le(bytes, row / 4, 4);
  g_autoptr(GByteArray) packed = g_byte_array_new();
  ck_assert(check_block(bytes->data, bytes->len, packed));
  ck_assert_uint_eq(packed->len, sizeof golden);
  ck_assert(memcmp(packed->data, golden, sizeof golden) == 0);
}
END_TEST

/* P8: what is damaged is refused, or is a block that may be read. */
START_TEST(p8_damage_is_told)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(13);
  g_autoptr(GByteArray) packed = g_byte_array_new();
  guint refused = 0, passed = 0;
  for (guint round = 0; round < 20000; round++) {
    g_autoptr(GByteArray) bytes = random_block(random, (guint)g_rand_int_range(random, 16, 40));
    block_pack(bytes->data, bytes->len, packed);
    gsize size = packed->len - (gsize)(round % 4 == 0 ? g_rand_int_range(random, 0, 9) : 0);
    g_autofree guint8 *copy = g_memdup2(packed->data, size);
    for (guint i = round % 3; i < 3; i++)
      copy[g_rand_int_range(random, 0, i == 2 ? 35 : (gint32)size)] ^=
          (guint8)(1u << g_rand_int_range(random, 0, 8));
    gsize back_size;
    Block block;
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *back = block_unpack(copy, size, &back_size, &error);
    gboolean good = back != NULL && block_open(back, back_size, &block, &error);
    fast_assert(good || g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
    passed += good;
    refused += !good;
  }
  ck_assert_uint_gt(refused, 1000);
  ck_assert_uint_gt(passed, 1000);
}
END_TEST

/* What a store has on disk of a tablet, and what is read of it. */
START_TEST(a_store_packs_tablets)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  g_autoptr(GString) expected = g_string_new(NULL);
  gint64 times[50];
  g_autoptr(Column) column = column_new("m", DATA_INT64);
  for (guint row = 0; row < G_N_ELEMENTS(times); row++) {
    gint64 value = row * 3;
    times[row] = row;
    column_append(column, &value, sizeof value);
    g_string_append_printf(expected, "%u: m=%" G_GINT64_FORMAT "\n", row, value);
  }
  column_finish(column);
  TestWrite write = {0};
  tw_tablet(&write, "d", times, G_N_ELEMENTS(times), &column, 1);
  apply_write(store, (LogId){1, 1}, 1, 100, &write);
  persist(store);
  store_close(store);
  RawBlocks raw = raw_blocks(directory);
  ck_assert_uint_eq(raw.blocks, 1);
  ck_assert_uint_eq(raw.packed, 1);
  store = open_rocks(directory);
  check_device(store, "d", expected->str);
  store_close(store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {blocks_come_back, few_rows_and_many_versions,
                                the_format_is_what_it_was, p8_damage_is_told,
                                a_store_packs_tablets};
  return RUN_SUITE("packed blocks", tests);
}
