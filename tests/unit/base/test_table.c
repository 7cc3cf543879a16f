#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/table.h"
#include "support/suite.h"
#include "support/write_builder.h"

START_TEST(test_types)
{
  static const struct {
    DataType type;
    const char *name;
    gsize size;
  } cases[] = {{DATA_BOOLEAN, "BOOLEAN", 1}, {DATA_INT32, "INT32", 4},   {DATA_INT64, "INT64", 8},
               {DATA_FLOAT, "FLOAT", 4},     {DATA_DOUBLE, "DOUBLE", 8}, {DATA_TEXT, "TEXT", 0}};
  DataType type;
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    ck_assert_str_eq(data_type_name((int)cases[i].type), cases[i].name);
    ck_assert_uint_eq(data_type_size(cases[i].type), cases[i].size);
    g_autofree char *lower = g_ascii_strdown(cases[i].name, -1);
    ck_assert(data_type_parse(lower, &type));
    ck_assert_int_eq((int)type, (int)cases[i].type);
  }
  ck_assert_ptr_null(data_type_name(0));
  ck_assert_ptr_null(data_type_name(7));
  ck_assert_ptr_null(data_type_name(-1));
  ck_assert(!data_type_parse("INT", &type));
  ck_assert(!data_type_parse("", &type));
}
END_TEST

static const Value samples[] = {
    {.type = DATA_BOOLEAN, .boolean = TRUE},
    {.type = DATA_INT32, .int32 = G_MININT32},
    {.type = DATA_INT64, .int64 = G_MAXINT64 - 1},
    {.type = DATA_FLOAT, .float32 = -0.0f},
    {.type = DATA_DOUBLE, .float64 = 1e-310},
    {.type = DATA_TEXT, .text = {(char *)"gr\xc3\xbcn", 5}},
};

static gboolean same_value(const Value *a, const Value *b)
{
  if (a->type != b->type)
    return FALSE;
  switch (a->type) {
  case DATA_BOOLEAN:
    return a->boolean == b->boolean;
  case DATA_INT32:
    return a->int32 == b->int32;
  case DATA_INT64:
    return a->int64 == b->int64;
  case DATA_FLOAT:
    return memcmp(&a->float32, &b->float32, sizeof a->float32) == 0;
  case DATA_DOUBLE:
    return memcmp(&a->float64, &b->float64, sizeof a->float64) == 0;
  case DATA_TEXT:
    return a->text.size == b->text.size &&
           memcmp(a->text.bytes, b->text.bytes, a->text.size) == 0 &&
           b->text.bytes[b->text.size] == '\0';
  }
  return FALSE;
}

/* Each type with values and gaps, over more rows than a byte of the bitmap has bits. */
START_TEST(test_columns)
{
  for (guint i = 0; i < G_N_ELEMENTS(samples); i++) {
    g_autoptr(Column) column = column_new("m", samples[i].type);
    for (guint row = 0; row < 21; row++)
      tw_append(column, row % 3 == 1 ? NULL : &samples[i]);
    column_finish(column);
    column_finish(column);
    ck_assert_uint_eq(column->rows, 21);
    ck_assert_uint_eq(column->nulls->len, 3);
    g_autoptr(GError) error = NULL;
    ck_assert_msg(column_check(column, 21, &error), "%s", error != NULL ? error->message : "");
    ck_assert(!column_check(column, 22, NULL));
    ck_assert(!column_check(column, 20, NULL));
    for (guint row = 0; row < 21; row++) {
      Value value, copy;
      ck_assert_int_eq(column_get(column, row, &value), row % 3 != 1);
      if (row % 3 == 1)
        continue;
      ck_assert(same_value(&samples[i], &value));
      value_copy(&value, &copy);
      value_clear(&value);
      ck_assert(same_value(&samples[i], &copy));
      value_clear(&copy);
      ck_assert_int_eq((int)copy.type, DATA_BOOLEAN);
    }
  }
}
END_TEST

START_TEST(test_packed)
{
  g_autoptr(Column) column = column_new("m", DATA_INT32);
  guint8 packed[8];
  store_le32(packed, 7);
  store_le32(packed + 4, (guint32)-8);
  column_append_packed(column, packed, 2);
  column_append_null(column);
  column_append_packed(column, packed, 2);
  ck_assert_uint_eq(column->rows, 5);
  Value value;
  ck_assert(column_get(column, 1, &value));
  ck_assert_int_eq(value.int32, -8);
  ck_assert(!column_get(column, 2, &value));
  ck_assert(column_get(column, 3, &value));
  ck_assert_int_eq(value.int32, 7);
  ck_assert(column_check(column, 5, NULL));
}
END_TEST

static void check_refused(DataType type, const char *bytes, gsize size, const char *nulls,
                          gsize nulls_size, guint rows, const char *message)
{
  g_autoptr(GError) error = NULL;
  /* Copies of the exact size, so that a read behind the end is noticed. */
  g_autofree guint8 *values = g_memdup2(bytes, size);
  g_autofree guint8 *bitmap = nulls != NULL ? g_memdup2(nulls, nulls_size) : NULL;
  ck_assert(!column_check_packed(type, values, size, bitmap, nulls_size, rows, &error));
  ck_assert_msg(strstr(error->message, message) != NULL, "%s: %s", message, error->message);
}

START_TEST(test_empty_text)
{
  Value value, copy;
  value_unpack(DATA_TEXT, NULL, 0, &value);
  ck_assert_str_eq(value.text.bytes, "");
  value_copy(&value, &copy);
  ck_assert_str_eq(copy.text.bytes, "");
  value_clear(&value);
  value_clear(&copy);
}
END_TEST

START_TEST(test_refused)
{
  check_refused(DATA_INT32, "1234567", 7, NULL, 0, 2, "values: 7 bytes, 8 expected");
  check_refused(DATA_DOUBLE, "12345678", 8, NULL, 0, 2, "values: 8 bytes, 16 expected");
  check_refused(DATA_BOOLEAN, "\0\1\2", 3, NULL, 0, 3, "row 2 is neither 0 nor 1");
  check_refused(DATA_BOOLEAN, "\0\1", 2, "\1\0", 2, 2, "nulls: 2 bytes, 1 expected");
  check_refused(DATA_BOOLEAN, "\0\1", 2, "\4", 1, 2, "nulls: bits behind the last row");
  check_refused(DATA_TEXT, "\0\0\0\0", 4, NULL, 0, 1, "at least 8 of offsets");
  check_refused(DATA_TEXT, "\1\0\0\0\1\0\0\0a", 9, NULL, 0, 1, "first offset is not 0");
  check_refused(DATA_TEXT, "\0\0\0\0\2\0\0\0a", 9, NULL, 0, 1, "offset 2 of row 0");
  check_refused(DATA_TEXT, "\0\0\0\0\1\0\0\0\0\0\0\0a", 13, NULL, 0, 2, "offset 0 of row 1");
  check_refused(DATA_TEXT, "\0\0\0\0\1\0\0\0ab", 10, NULL, 0, 1, "the last offset says 1");
  check_refused(DATA_TEXT, "\0\0\0\0\1\0\0\0\xff", 9, NULL, 0, 1, "row 0 is no UTF-8");
  check_refused(DATA_TEXT, "\0\0\0\0\1\0\0\0\0", 9, NULL, 0, 1, "has a NUL");
  gsize size = 8 + LIMIT_TEXT_SIZE + 1;
  g_autofree char *large = g_malloc(size);
  memset(large, 'x', size);
  store_le32(large, 0);
  store_le32(large + 4, LIMIT_TEXT_SIZE + 1);
  check_refused(DATA_TEXT, large, size, NULL, 0, 1, "1048577 bytes, at most");
  store_le32(large + 4, LIMIT_TEXT_SIZE);
  ck_assert(column_check_packed(DATA_TEXT, (guint8 *)large, size - 1, NULL, 0, 1, NULL));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {test_types, test_columns, test_packed, test_empty_text,
                                test_refused};
  return RUN_SUITE("table", tests);
}
