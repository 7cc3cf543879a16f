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

/* A block that takes every codec of packed ones; times that are even (kind 0), quadratic (1) or
 * neither (2). */
static GByteArray *block_of_all(guint kind)
{
  enum { ROWS = 24, COLUMNS = 6 };
  static const guint8 types[COLUMNS] = {DATA_BOOLEAN, DATA_INT32,  DATA_INT64,
                                        DATA_FLOAT,   DATA_DOUBLE, DATA_TEXT};
  GByteArray *bytes = g_byte_array_new();
  put_le(bytes, BLOCK_VERSION, 2);
  put_le(bytes, COLUMNS, 2);
  put_le(bytes, ROWS, 4);
  g_byte_array_set_size(bytes, BLOCK_HEAD_SIZE + COLUMNS * BLOCK_COLUMN_SIZE);
  for (guint row = 0; row < ROWS; row++)
    put_le(bytes,
           kind == 0   ? row * 1000
           : kind == 1 ? row * row * 7
                       : row * 100 + row * 37 % 50,
           8);
  for (guint i = 0; i < COLUMNS; i++) {
    gboolean nulls = types[i] == DATA_FLOAT;
    if (nulls)
      put_le(bytes, 0x810204, 3);
    guint values_at = bytes->len;
    for (guint row = 0; row < ROWS; row++) {
      float narrow = (float)row / 4;
      double wide = row == 20 ? NAN : row / 10.0;
      if (types[i] == DATA_BOOLEAN)
        put_le(bytes, row % 3 == 0, 1);
      else if (types[i] == DATA_INT32)
        put_le(bytes, row * row, 4);
      else if (types[i] == DATA_INT64)
        put_le(bytes, row * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15), 8);
      else if (types[i] == DATA_FLOAT)
        g_byte_array_append(bytes, (const guint8 *)&narrow, 4);
      else if (types[i] == DATA_DOUBLE)
        g_byte_array_append(bytes, (const guint8 *)&wide, 8);
      else
        put_le(bytes, row, 4); /* where a text of one byte begins */
    }
    for (guint row = 0; types[i] == DATA_TEXT && row <= ROWS; row++)
      put_le(bytes, row == 0 ? ROWS : 'a' + row - 1, row == 0 ? 4 : 1);
    guint8 *entry = bytes->data + BLOCK_HEAD_SIZE + i * BLOCK_COLUMN_SIZE;
    store_le32(entry, i + 1);
    entry[4] = types[i];
    entry[5] = nulls;
    store_le32(entry + 6, bytes->len - values_at);
  }
  return bytes;
}

static void check_golden(const char *hex, const guint8 *bytes, gsize size)
{
  g_autoptr(GByteArray) golden = g_byte_array_new();
  for (const char *at = hex; *at != '\0'; at += 2)
    put_le(golden, (guint64)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1])), 1);
  gsize back_size;
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *back = block_unpack(golden->data, golden->len, &back_size, &error);
  ck_assert_msg(back != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq(back_size, size);
  ck_assert(memcmp(back, bytes, size) == 0);
}

/* As they were once written, by whatever rule: never make them anew. They are on disks. */
START_TEST(what_was_written_is_read)
{
  static const char *const golden[] = {
      "0301060018000000db030000000000000c00000001000000010004180000000300000002000000020001"
      "600000001300000003000000030001c00000001300000004000000040102600000000e00000005000000"
      "050002c00000001e000000060000000600007c0000007c00000001000000000000000000d00f49922402"
      "000000000000000001000000000000000004020000000000000000157c4a7fb979379e00000402810200"
      "0001000000000000000000320101001400000000000000f87f0100000000000000000200555555551516"
      "000000000100000002000000030000000400000005000000060000000700000008000000090000000a00"
      "00000b0000000c0000000d0000000e0000000f0000001000000011000000120000001300000014000000"
      "150000001600000017000000180000006162636465666768696a6b6c6d6e6f707172737475767778",
      "0301060018000000db030000000000001300000001000000010004180000000300000002000000020001"
      "600000001300000003000000030001c00000001300000004000000040102600000000e00000005000000"
      "050002c00000001e000000060000000600007c0000007c00000002000000000000000007000000000000"
      "00001c49922402000000000000000001000000000000000004020000000000000000157c4a7fb979379e"
      "000004028102000001000000000000000000320101001400000000000000f87f01000000000000000002"
      "005555555515160000000001000000020000000300000004000000050000000600000007000000080000"
      "00090000000a0000000b0000000c0000000d0000000e0000000f00000010000000110000001200000013"
      "00000014000000150000001600000017000000180000006162636465666768696a6b6c6d6e6f70717273"
      "7475767778",
      "0301060018000000db030000000000001e00000001000000010004180000000300000002000000020001"
      "600000001300000003000000030001c00000001300000004000000040102600000000e00000005000000"
      "050002c00000001e000000060000000600007c0000007c00000001000000000000000006ae013200c800"
      "00c80000c80000c80000c800000049922402000000000000000001000000000000000004020000000000"
      "000000157c4a7fb979379e000004028102000001000000000000000000320101001400000000000000f8"
      "7f0100000000000000000200555555551516000000000100000002000000030000000400000005000000"
      "060000000700000008000000090000000a0000000b0000000c0000000d0000000e0000000f0000001000"
      "000011000000120000001300000014000000150000001600000017000000180000006162636465666768"
      "696a6b6c6d6e6f707172737475767778"};
  static const char mixed[] =
      "030206003000000032080000c00000004600000001000000010004300000000600000002000000020001"
      "c00000003f00000003000000030000800100008001000004000000040102c00000002c00000005000000"
      "050002800100002e00000006000000060000f4000000f40000000100000000000000000a0000a00f00fa"
      "00a00f00fa00a00f00fa00a00f00fa00a00f00fa00a00f00fa00a00f00fa00a00f00fa00a00f00fa00a0"
      "0f00fa00a00f00fa00a00f0005c80101070e0201070d0100070e0201070d0100070e0201070d0100070e"
      "0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201"
      "070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d"
      "0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100"
      "070e0201070d0100070e0201070d0100070e0201070d0100070e0201070d0100070e0201c3300cc3300c"
      "000a00000010400004109040021040904106249010430c4000114514649091471e9040924a2ac410134e"
      "380001145248441195565a9041965b6ee49117618400000000000000000000000000000000157c4a7fb9"
      "79379e157c4a7fb979379e2af894fe72f36e3c2af894fe72f36e3c3f74df7d2c6da6da3f74df7d2c6da6"
      "da54f029fde5e6dd7854f029fde5e6dd78696c747c9f601517696c747c9f6015177ee8befb58da4cb57e"
      "e8befb58da4cb59364097b125484539364097b12548453a8e053facbcdbbf1a8e053facbcdbbf1bd5c9e"
      "798547f38fbd5c9e798547f38fd2d8e8f83ec12a2ed2d8e8f83ec12a2ee7543378f83a62cce7543378f8"
      "3a62ccfcd07df7b1b4996afcd07df7b1b4996a114dc8766b2ed108114dc8766b2ed10826c912f624a808"
      "a726c912f624a808a73b455d75de2140453b455d75de21404550c1a7f4979b77e350c1a7f4979b77e365"
      "3df2735115af81653df2735115af817ab93cf30a8fe61f7ab93cf30a8fe61f8f358772c4081ebe8f3587"
      "72c4081ebea4b1d1f17d82555ca4b1d1f17d82555cb92d1c7137fc8cfab92d1c7137fc8cfacea966f0f0"
      "75c498cea966f0f075c498e325b16faaeffb36e325b16faaeffb3630000c0003c0020000010000000000"
      "000000050020830c32c820830c32c820830c32c820830c32c820830c32c820830c320001020028000000"
      "00000000f87f2900000000000000f87f0100000000000000000200444444444444444444044804000000"
      "000100000002000000030000000400000005000000060000000700000008000000090000000a0000000b"
      "0000000c0000000d0000000e0000000f0000001000000011000000120000001300000014000000150000"
      "00160000001700000018000000190000001a0000001b0000001c0000001d0000001e0000001f00000020"
      "0000002100000022000000230000002400000025000000260000002700000028000000290000002a0000"
      "002b0000002c0000002d0000002e0000002f000000300000006161626263636464656566666767686869"
      "696a6a6b6b6c6c6d6d6e6e6f6f707071717272737374747575767677777878";
  for (guint kind = 0; kind < G_N_ELEMENTS(golden); kind++) {
    g_autoptr(GByteArray) bytes = block_of_all(kind);
    check_golden(golden[kind], bytes->data, bytes->len);
  }
  g_autoptr(GByteArray) part = block_of_all(0);
  g_autoptr(GByteArray) scratch = g_byte_array_new();
  MergePart parts[] = {{{100, 1, 0}, part->data, part->len}, {{107, 2, 1}, part->data, part->len}};
  MergedBlock merged;
  block_merge(parts, G_N_ELEMENTS(parts), scratch, &merged);
  check_golden(mixed, merged.bytes, merged.size);
}
END_TEST

/* P8: what is damaged is refused, or is a block that may be read. */
START_TEST(p8_damage_is_told)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(13);
  g_autoptr(GByteArray) packed = g_byte_array_new();
  guint refused = 0, passed = 0;
  for (guint round = 0; round < HISTORIES(40000); round++) {
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
  ck_assert_uint_gt(refused, HISTORIES(40000) / 20);
  ck_assert_uint_gt(passed, HISTORIES(40000) / 20);
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
  const TTest *const tests[] = {blocks_come_back,          few_rows_and_many_versions,
                                the_format_is_what_it_was, what_was_written_is_read,
                                p8_damage_is_told,         a_store_packs_tablets};
  return RUN_SUITE("packed blocks", tests);
}
