/* The tool is no library, so the test takes its sources in. */
#include "ctl/values.c"

#include "support/suite.h"

static void check_text(Value value, const char *wanted)
{
  g_autoptr(GString) text = g_string_new(NULL);
  value_append_text(text, &value);
  ck_assert_str_eq(text->str, wanted);
}

static Value of_double(double number)
{
  return (Value){.type = DATA_DOUBLE, .float64 = number};
}

static Value of_float(float number)
{
  return (Value){.type = DATA_FLOAT, .float32 = number};
}

START_TEST(numbers_are_short)
{
  check_text(of_double(0.1), "0.1");
  check_text(of_double(21.5), "21.5");
  check_text(of_double(1), "1.0");
  check_text(of_double(-0.0), "-0.0");
  check_text(of_double(1e22), "1e+22");
  check_text(of_double(1.0 / 3), "0.3333333333333333");
  check_text(of_double(5e-324), "5e-324");
  check_text(of_double(DBL_MAX), "1.7976931348623157e+308");
  check_text(of_double(NAN), "NaN");
  check_text(of_double(-INFINITY), "-Infinity");
  check_text(of_float(0.1f), "0.1");
  check_text(of_float(16777216.0f), "16777216.0");
  check_text(of_float(1e-45f), "1e-45");
  check_text((Value){.type = DATA_INT64, .int64 = G_MININT64}, "-9223372036854775808");
  check_text((Value){.type = DATA_INT32, .int32 = G_MAXINT32}, "2147483647");
  check_text((Value){.type = DATA_BOOLEAN, .boolean = TRUE}, "true");
}
END_TEST

static void check_double(double number)
{
  g_autoptr(GString) text = g_string_new(NULL);
  Value value = of_double(number), back;
  value_append_text(text, &value);
  fast_assert(value_parse(text->str, text->len, DATA_DOUBLE, &back, NULL));
  fast_assert_msg(memcmp(&back.float64, &number, sizeof number) == 0, "%s", text->str);
  fast_assert_msg(value_infer(text->str, text->len) == DATA_DOUBLE, "%s", text->str);
}

static void check_float(float number)
{
  g_autoptr(GString) text = g_string_new(NULL);
  Value value = of_float(number), back;
  value_append_text(text, &value);
  fast_assert(value_parse(text->str, text->len, DATA_FLOAT, &back, NULL));
  fast_assert_msg(memcmp(&back.float32, &number, sizeof number) == 0, "%s", text->str);
  fast_assert_msg(value_infer(text->str, text->len) == DATA_DOUBLE, "%s", text->str);
}

START_TEST(numbers_read_back_exactly)
{
  static const double doubles[] = {0,
                                   -0.0,
                                   0.1,
                                   1e15,
                                   1e16,
                                   123456789012345678.0,
                                   DBL_MIN,
                                   DBL_MAX,
                                   -DBL_MAX,
                                   5e-324,
                                   2.2250738585072011e-308,
                                   INFINITY,
                                   -INFINITY,
                                   DBL_EPSILON,
                                   9007199254740993.0,
                                   4.35,
                                   0.3};
  static const float floats[] = {0,      -0.0f,       0.1f,        FLT_MIN,  FLT_MAX,
                                 1e-45f, 16777217.0f, 3.14159274f, INFINITY, 8.5e-39f};
  for (guint i = 0; i < G_N_ELEMENTS(doubles); i++)
    check_double(doubles[i]);
  for (guint i = 0; i < G_N_ELEMENTS(floats); i++)
    check_float(floats[i]);
  g_autoptr(GRand) rand = g_rand_new_with_seed(11);
  for (guint i = 0; i < HISTORIES(100000); i++) {
    guint64 bits = (guint64)g_rand_int(rand) << 32 | g_rand_int(rand);
    double number;
    memcpy(&number, &bits, sizeof number);
    if (!isnan(number))
      check_double(number);
    guint32 short_bits = g_rand_int(rand);
    float small;
    memcpy(&small, &short_bits, sizeof small);
    if (!isnan(small))
      check_float(small);
    check_double((double)g_rand_int_range(rand, -1000000, 1000000) / 1000);
  }
  Value back;
  ck_assert(value_parse("NaN", 3, DATA_DOUBLE, &back, NULL));
  ck_assert(isnan(back.float64));
}
END_TEST

/* The value's text when `text` is one of the type, else NULL. Transfer full. */
static char *parsed(const char *text, DataType type)
{
  Value value;
  g_autoptr(GError) error = NULL;
  if (!value_parse(text, strlen(text), type, &value, &error)) {
    ck_assert_int_eq(error->domain, SYNCLOG_ERROR);
    return NULL;
  }
  GString *out = g_string_new(NULL);
  value_append_text(out, &value);
  value_clear(&value);
  return g_string_free(out, FALSE);
}

static void check_parse(const char *text, DataType type, const char *wanted)
{
  g_autofree char *got = parsed(text, type);
  ck_assert_msg(g_strcmp0(got, wanted) == 0, "%s as %s: %s", text, data_type_name((int)type), got);
}

START_TEST(values_of_each_type)
{
  check_parse("true", DATA_BOOLEAN, "true");
  check_parse("False", DATA_BOOLEAN, "false");
  check_parse("1", DATA_BOOLEAN, NULL);
  check_parse("yes", DATA_BOOLEAN, NULL);
  check_parse("2147483647", DATA_INT32, "2147483647");
  check_parse("2147483648", DATA_INT32, NULL);
  check_parse("-2147483648", DATA_INT32, "-2147483648");
  check_parse("+5", DATA_INT64, "5");
  check_parse("+-5", DATA_INT64, NULL);
  check_parse("9223372036854775808", DATA_INT64, NULL);
  check_parse("1.0", DATA_INT64, NULL);
  check_parse(" 1", DATA_INT64, NULL);
  check_parse("", DATA_INT64, NULL);
  check_parse("12", DATA_DOUBLE, "12.0");
  check_parse(".5", DATA_DOUBLE, "0.5");
  check_parse("5.", DATA_DOUBLE, "5.0");
  check_parse("1e3", DATA_DOUBLE, "1000.0");
  check_parse("1e", DATA_DOUBLE, NULL);
  check_parse("1e999", DATA_DOUBLE, NULL);
  check_parse("1e39", DATA_FLOAT, NULL);
  check_parse("1e-999", DATA_DOUBLE, "0.0");
  check_parse("0x10", DATA_DOUBLE, NULL);
  check_parse(" 1", DATA_DOUBLE, NULL);
  check_parse("1 ", DATA_DOUBLE, NULL);
  check_parse("1,5", DATA_DOUBLE, NULL);
  check_parse("nan(1)", DATA_DOUBLE, NULL);
  check_parse("inf", DATA_DOUBLE, "Infinity");
  check_parse("-INFINITY", DATA_FLOAT, "-Infinity");
  check_parse("", DATA_DOUBLE, NULL);
  check_parse(".", DATA_DOUBLE, NULL);
  check_parse("12", DATA_TEXT, "12");
  check_parse("", DATA_TEXT, "");
  check_parse("\xff", DATA_TEXT, NULL);
}
END_TEST

START_TEST(text_is_bounded)
{
  g_autofree char *text = g_strnfill(LIMIT_TEXT_SIZE + 1, 'x');
  Value value;
  g_autoptr(GError) error = NULL;
  ck_assert(!value_parse(text, LIMIT_TEXT_SIZE + 1, DATA_TEXT, &value, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  ck_assert(value_parse(text, LIMIT_TEXT_SIZE, DATA_TEXT, &value, NULL));
  value_clear(&value);
}
END_TEST

static DataType infer(const char *text)
{
  return value_infer(text, strlen(text));
}

START_TEST(inferred_types)
{
  ck_assert_int_eq(infer("1"), DATA_INT64);
  ck_assert_int_eq(infer("-9223372036854775808"), DATA_INT64);
  ck_assert_int_eq(infer("18446744073709551615"), DATA_DOUBLE);
  ck_assert_int_eq(infer("1.5"), DATA_DOUBLE);
  ck_assert_int_eq(infer("1e5"), DATA_DOUBLE);
  ck_assert_int_eq(infer("NaN"), DATA_DOUBLE);
  ck_assert_int_eq(infer("true"), DATA_BOOLEAN);
  ck_assert_int_eq(infer("hello"), DATA_TEXT);
  ck_assert_int_eq(infer("0x10"), DATA_TEXT);
  ck_assert_int_eq(infer(""), DATA_TEXT);
  ck_assert_int_eq(infer("1e999"), DATA_TEXT);

  ck_assert_int_eq(value_infer_both(0, DATA_INT64), DATA_INT64);
  ck_assert_int_eq(value_infer_both(DATA_INT64, DATA_DOUBLE), DATA_DOUBLE);
  ck_assert_int_eq(value_infer_both(DATA_DOUBLE, DATA_INT64), DATA_DOUBLE);
  ck_assert_int_eq(value_infer_both(DATA_BOOLEAN, DATA_INT64), DATA_TEXT);
  ck_assert_int_eq(value_infer_both(DATA_TEXT, DATA_INT64), DATA_TEXT);
}
END_TEST

static void check_split(const char *text, const char *name, int type)
{
  int got_type = -1;
  g_autofree char *got = measurement_split(text, &got_type);
  ck_assert_str_eq(got, name);
  ck_assert_int_eq(got_type, type);
}

START_TEST(names_with_types)
{
  check_split("level", "level", 0);
  check_split("level:FLOAT", "level", DATA_FLOAT);
  check_split("level:text", "level", DATA_TEXT);
  check_split("a:b", "a:b", 0);
  check_split("a:b:INT32", "a:b", DATA_INT32);
  check_split(":INT32", ":INT32", 0);
  static const char *const names[] = {"a", "a:b", "a:INT32", "a:INT32:TEXT", ":INT32"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++)
    for (gboolean typed = FALSE; typed <= TRUE; typed++) {
      int type;
      g_autofree char *joined = measurement_join(names[i], DATA_FLOAT, typed);
      g_autofree char *split = measurement_split(joined, &type);
      ck_assert_str_eq(split, names[i]);
      ck_assert(type == DATA_FLOAT || (type == 0 && !typed));
    }
}
END_TEST

START_TEST(tokens)
{
  char text[TOKEN_TEXT_SIZE];
  Token token = {.log = {3, 1767323045678901}, .index = 42}, back;
  ck_assert_str_eq(token_format(&token, text), "3-1767323045678901:42");
  ck_assert(token_parse(text, &back, NULL));
  ck_assert(log_id_equal(back.log, token.log));
  ck_assert_uint_eq(back.index, 42);
  Token largest = {.log = {65535, G_MAXINT64}, .index = G_MAXINT64};
  ck_assert(token_parse(token_format(&largest, text), &back, NULL));
  ck_assert_uint_eq(back.index, G_MAXINT64);
  ck_assert_uint_eq(back.group, 0);
  largest.group = LIMIT_GROUP_ID;
  ck_assert(token_parse(token_format(&largest, text), &back, NULL));
  ck_assert_uint_eq(back.index, G_MAXINT64);
  ck_assert_uint_eq(back.group, LIMIT_GROUP_ID);
  token.group = 7;
  ck_assert_str_eq(token_format(&token, text), "3-1767323045678901:42@7");
  static const char *const wrong[] = {"",
                                      ":",
                                      "3-5",
                                      "3-5:",
                                      "3:5",
                                      "3-5:-1",
                                      "3-5:x",
                                      "-5:1",
                                      "3-5:1@",
                                      "3-5:1@0",
                                      "3-5:1@-1",
                                      "3-5:1@x",
                                      "3-5:1@99999999",
                                      "3-5:9223372036854775808",
                                      "3-5@1",
                                      "3-5:@1",
                                      "3-5@1:1",
                                      "3-5:1:2"};
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++)
    ck_assert_msg(!token_parse(wrong[i], &back, NULL), "%s", wrong[i]);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {numbers_are_short,
                                numbers_read_back_exactly,
                                values_of_each_type,
                                text_is_bounded,
                                inferred_types,
                                names_with_types,
                                tokens};
  return RUN_SUITE("values", tests);
}
