#include "http/promql.h"
#include "support/suite.h"

#include <math.h>
#include <string.h>

static void put_selector(GString *out, const PromSelector *selector)
{
  static const char *const signs[] = {"=", "!=", "=~", "!~"};
  g_string_append_c(out, '{');
  for (guint i = 0; i < selector->matchers->len; i++) {
    const PromMatcher *m = &g_array_index(selector->matchers, PromMatcher, i);
    g_string_append_printf(out, "%s%s%s<%s>", i > 0 ? "," : "", m->label, signs[m->kind], m->value);
  }
  g_string_append_c(out, '}');
}

static void put_expr(GString *out, const PromExpr *expr)
{
  static const char *const functions[] = {"avg", "min", "max", "sum", "count", "last"};
  switch (expr->kind) {
  case PROM_NUMBER:
    g_string_append_printf(out, "%g", expr->number);
    return;
  case PROM_SELECT:
    put_selector(out, expr->selector);
    break;
  case PROM_OVER_TIME:
    g_string_append_printf(out, "%s_over_time(", functions[expr->function]);
    put_selector(out, expr->selector);
    g_string_append_printf(out, "[%" G_GINT64_FORMAT "])", expr->range_ms);
    break;
  case PROM_AGGREGATE: {
    g_autofree char *labels = expr->labels != NULL ? g_strjoinv(",", expr->labels) : NULL;
    g_string_append_printf(out, "%s %s(%s) (", functions[expr->function],
                           labels == NULL  ? "all"
                           : expr->without ? "without"
                                           : "by",
                           labels != NULL ? labels : "");
    put_expr(out, expr->left);
    g_string_append_c(out, ')');
    return;
  }
  case PROM_BINARY:
    g_string_append_c(out, '(');
    put_expr(out, expr->left);
    g_string_append_printf(out, " %c ", expr->sign);
    put_expr(out, expr->right);
    g_string_append_c(out, ')');
    return;
  }
  if (expr->offset_ms != 0)
    g_string_append_printf(out, "@%" G_GINT64_FORMAT, -expr->offset_ms);
}

static void check_query(const char *text, const char *wanted)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PromExpr) expr = prom_parse(text, &error);
  ck_assert_msg(expr != NULL, "%s: %s", text, error != NULL ? error->message : "");
  g_autoptr(GString) out = g_string_new(NULL);
  put_expr(out, expr);
  ck_assert_str_eq(out->str, wanted);
}

static void check_wrong(const char *text, const char *wanted)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PromExpr) expr = prom_parse(text, &error);
  ck_assert_msg(expr == NULL, "%s", text);
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  ck_assert_str_eq(error->message, wanted);
}

START_TEST(selectors)
{
  check_query("temperature", "{__name__=<temperature>}");
  check_query("temperature{device=\"plant1.boiler\"}",
              "{__name__=<temperature>,device=<plant1.boiler>}");
  check_query("{device='a',x!=`b\\`, y=~\"c.*\",z!~\"d\",}",
              "{device=<a>,x!=<b\\>,y=~<c.*>,z!~<d>}");
  check_query("{\"a b\"}", "{__name__=<a b>}");
  check_query("{__name__=\"a\\\"b\\n\"}", "{__name__=<a\"b\n>}");
  check_query(" a:b_1 # comment\n{ }", "{__name__=<a:b_1>}");
  check_query("m offset 1h", "{__name__=<m>}@-3600000");
  check_query("m offset -5m", "{__name__=<m>}@300000");
  check_query("sum{a=\"b\"}", "{__name__=<sum>,a=<b>}");
  check_query("by", "{__name__=<by>}");
}
END_TEST

START_TEST(functions)
{
  check_query("avg_over_time(t{d=\"a\"}[5m])", "avg_over_time({__name__=<t>,d=<a>}[300000])");
  check_query("last_over_time({d=\"a\"}[1h30m] offset 1d)",
              "last_over_time({d=<a>}[5400000])@-86400000");
  check_query("sum(m)", "sum all() ({__name__=<m>})");
  check_query("sum by (device, x) (count_over_time(m[1m]))",
              "sum by(device,x) (count_over_time({__name__=<m>}[60000]))");
  check_query("max(m) without (device)", "max without(device) ({__name__=<m>})");
  check_query("AVG by () (m)", "avg by() ({__name__=<m>})");
  check_query("avg(min by (a) (m))", "avg all() (min by(a) ({__name__=<m>}))");
}
END_TEST

START_TEST(numbers_and_operators)
{
  check_query("1+1", "2");
  check_query("1 + 2 * 3 - 4 / 2", "5");
  check_query("-(2)", "-2");
  check_query("1e3", "1000");
  check_query(".5", "0.5");
  check_query("Inf", "inf");
  check_query("m * 1.8 + 32", "(({__name__=<m>} * 1.8) + 32)");
  check_query("-m", "(-1 * {__name__=<m>})");
  check_query("100 - sum(m)", "(100 - sum all() ({__name__=<m>}))");
}
END_TEST

START_TEST(what_is_wrong)
{
  check_wrong("", "1:1: parse error: no expression found in input");
  check_wrong("m{", "1:3: parse error: expected the name of a label");
  check_wrong("m{a}", "1:4: parse error: expected =, !=, =~ or !~");
  check_wrong("m{a=b}", "1:5: parse error: expected a string");
  check_wrong("m{a=\"b}", "1:8: parse error: unterminated quoted string");
  check_wrong("m{a=\"\\q\"}", "1:7: parse error: unknown escape sequence");
  check_wrong("m{a=\"b\"", "1:8: parse error: unexpected end of input, expected \"}\"");
  check_wrong("m{a=~\"(\"}", "1:9: parse error: bad regular expression \"(\"");
  check_wrong("m{a=~\"a)|(b\"}", "1:13: parse error: bad regular expression \"a)|(b\"");
  check_wrong("{}",
              "1:3: parse error: vector selector must contain at least one non-empty matcher");
  check_wrong("{a=~\".*\"}",
              "1:10: parse error: vector selector must contain at least one non-empty matcher");
  check_wrong("m[5m]", "1:2: parse error: a range stands only in a function over time, such as "
                       "avg_over_time");
  check_wrong("rate(m[5m])", "1:1: parse error: the function \"rate\" is not supported here");
  check_wrong("avg_over_time(m)", "1:16: parse error: unexpected character, expected \"[\"");
  check_wrong("avg_over_time(m[5x])", "1:17: parse error: not a valid duration");
  check_wrong("m + m", "1:6: parse error: operators between two vectors are not supported here");
  check_wrong("m == 1",
              "1:3: parse error: unexpected character, or something that is not supported here");
  check_wrong("sum(1)",
              "1:7: parse error: expected an instant vector in an aggregation, got a scalar");
  check_wrong("sum by (a) (m) by (b)", "1:18: parse error: a second grouping");
  check_wrong("m\n$", "2:1: parse error: unexpected character, or something that is not supported "
                      "here");
  check_wrong("5m", "1:2: parse error: bad number or duration");
  check_wrong("m{a=\"\xFF\"}", "1:1: parse error: invalid UTF-8");
}
END_TEST

START_TEST(nesting_is_bounded)
{
  g_autofree char *deep = g_strnfill(60000, '(');
  check_wrong(deep, "1:33: parse error: nested deeper than 32 levels");
  g_autofree char *minus = g_strnfill(60000, '-');
  check_wrong(minus, "1:33: parse error: nested deeper than 32 levels");
  GString *chain = g_string_new("m");
  for (int i = 0; i < 1000; i++)
    g_string_append(chain, "+1");
  check_wrong(chain->str, "1:67: parse error: more than 32 operators in a row");
  g_string_free(chain, TRUE);
  g_autofree char *huge = g_strnfill(PROM_QUERY_SIZE + 1, 'm');
  check_wrong(huge, "1:1: parse error: a query of more than 65536 bytes");
}
END_TEST

START_TEST(matching)
{
  g_autoptr(PromSelector) selector =
      prom_parse_selector("{a=\"x\",b!=\"x\",c=~\"x.|y\",d!~\"x.|y\"}", NULL);
  static const struct {
    guint matcher;
    const char *value;
    gboolean wanted;
  } cases[] = {{0, "x", TRUE},    {0, "xx", FALSE}, {0, "", FALSE},   {1, "x", FALSE},
               {1, "", TRUE},     {2, "xa", TRUE},  {2, "y", TRUE},   {2, "x", FALSE},
               {2, "xab", FALSE}, {2, "yx", FALSE}, {2, "x\n", TRUE}, {2, "y\n", FALSE},
               {3, "y", FALSE},   {3, "z", TRUE}};
  gboolean failed = FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    ck_assert_msg(prom_matches(&g_array_index(selector->matchers, PromMatcher, cases[i].matcher),
                               cases[i].value, &failed) == cases[i].wanted,
                  "case %u", i);
  ck_assert(!failed);
}
END_TEST

START_TEST(an_endless_regex_gives_up)
{
  g_autoptr(PromSelector) selector = prom_parse_selector("{a=~\"(x+x+)+[yz]\"}", NULL);
  g_autofree char *text = g_strnfill(60, 'x');
  gboolean failed = FALSE;
  ck_assert(!prom_matches(&g_array_index(selector->matchers, PromMatcher, 0), text, &failed));
  ck_assert(failed);
}
END_TEST

START_TEST(durations)
{
  gint64 ms = 7;
  ck_assert(prom_parse_duration("1h30m", &ms) && ms == 5400000);
  ck_assert(prom_parse_duration("1y", &ms) && ms == G_GINT64_CONSTANT(31536000000));
  ck_assert(prom_parse_duration("5ms", &ms) && ms == 5);
  static const char *const bad[] = {"",
                                    "5",
                                    "m",
                                    "0s",
                                    "5 m",
                                    "-5m",
                                    "1h30",
                                    "5mm",
                                    "99999999999999999999s",
                                    "9223372036854775807w"};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
    ck_assert_msg(!prom_parse_duration(bad[i], &ms) && ms == 5, "%s", bad[i]);
}
END_TEST

START_TEST(numbers_as_text)
{
  static const struct {
    double number;
    const char *text;
  } cases[] = {{21.5, "21.5"},
               {1, "1"},
               {0, "0"},
               {-0.0, "-0"},
               {1e21, "1000000000000000000000"},
               {-1.5e17, "-150000000000000000"},
               {1.25e-7, "0.000000125"},
               {123456.789, "123456.789"},
               {0.1, "0.1"},
               {1e16, "10000000000000000"},
               {-INFINITY, "-Inf"},
               {INFINITY, "+Inf"},
               {NAN, "NaN"},
               {9007199254740993.0, "9007199254740992"}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GString) out = g_string_new(NULL);
    prom_put_number(out, cases[i].number);
    ck_assert_str_eq(out->str, cases[i].text);
  }
  for (double number = 5e-324; number < 1e308; number *= 7.7) {
    g_autoptr(GString) out = g_string_new(NULL);
    prom_put_number(out, number);
    fast_assert(g_ascii_strtod(out->str, NULL) == number && strchr(out->str, 'e') == NULL);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      selectors,          functions, numbers_and_operators,     what_is_wrong,
      nesting_is_bounded, matching,  an_endless_regex_gives_up, durations,
      numbers_as_text};
  return RUN_SUITE("promql", tests);
}
