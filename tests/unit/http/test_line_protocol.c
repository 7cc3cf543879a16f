#include "base/limits.h"
#include "base/text.h"
#include "http/line_protocol.h"
#include "support/suite.h"

#include <string.h>

static void put_field(GString *out, const LineField *field)
{
  static const char kinds[] = "?b?i?d\"";
  g_string_append_printf(out, " %s=%c", field->name, kinds[field->value.type]);
  value_append_text(out, &field->value);
}

/* All lines as "device field=KINDvalue … @time|", errors as "!reason|". */
static char *read_all(const char *text, gsize size)
{
  g_autofree char *exact = g_memdup2(text, MAX(size, (gsize)1));
  g_autoptr(LineReader) reader = line_reader_new(exact, size);
  GString *out = g_string_new(NULL);
  for (;;) {
    g_autoptr(GError) error = NULL;
    LinePoint point;
    LineResult result = line_reader_next(reader, &point, &error);
    ck_assert((result == LINE_BAD) == (error != NULL));
    if (result == LINE_END)
      return g_string_free(out, FALSE);
    if (result == LINE_BAD) {
      g_string_append_printf(out, "!%s|", error->message);
      continue;
    }
    g_string_append(out, point.device);
    for (guint i = 0; i < point.field_count; i++)
      put_field(out, &point.fields[i]);
    if (point.has_time)
      g_string_append_printf(out, " @%" G_GINT64_FORMAT, point.time);
    g_string_append_c(out, '|');
  }
}

static void check_lines(const char *text, const char *wanted)
{
  g_autofree char *found = read_all(text, strlen(text));
  ck_assert_str_eq(found, wanted);
}

START_TEST(plain_lines)
{
  check_lines("cpu,host=a value=1.5 1700000000000000000\n",
              "cpu,host=a value=d1.5 @1700000000000000000|");
  check_lines("m f=1", "m f=d1.0|");
  check_lines("m f=1i,g=-2i,h=3u,i=t,j=\"x y\"", "m f=i1 g=i-2 h=i3 i=btrue j=\"x y|");
  check_lines("m f=1 -5", "m f=d1.0 @-5|");
  check_lines("m f=.5,g=5.,h=-1e3,i=1E-2", "m f=d0.5 g=d5.0 h=d-1000.0 i=d0.01|");
  check_lines(
      "m a=t,b=T,c=true,d=True,e=TRUE,f=f,g=F,h=false,i=False,j=FALSE",
      "m a=btrue b=btrue c=btrue d=btrue e=btrue f=bfalse g=bfalse h=bfalse i=bfalse j=bfalse|");
  check_lines("m f=9223372036854775807i,g=-9223372036854775808i,h=9223372036854775807u",
              "m f=i9223372036854775807 g=i-9223372036854775808 h=i9223372036854775807|");
}
END_TEST

START_TEST(lines_and_blanks)
{
  check_lines("", "");
  check_lines("\n\n \t\n\r\n", "");
  check_lines("# a comment\n  # \"another\nm f=1\n#", "m f=d1.0|");
  check_lines("m f=1\r\nm f=2\r\n", "m f=d1.0|m f=d2.0|");
  check_lines("  m   f=1   7   \nm f=2", "m f=d1.0 @7|m f=d2.0|");
  check_lines("m\tf=1\t7", "m f=d1.0 @7|");
  check_lines("m f=\"a\nb\" 1\nm f=2", "m f=\"a\nb @1|m f=d2.0|");
}
END_TEST

START_TEST(tags_are_sorted_and_escaped)
{
  check_lines("m,b=2,a=1 f=1", "m,a=1,b=2 f=d1.0|");
  check_lines("my\\ m,a\\ b=c\\ d f\\ g=1", "my m,a b=c d f g=d1.0|");
  check_lines("m\\,x,t=a\\,b\\=c f=1", "m\\,x,t=a\\,b\\=c f=d1.0|");
  check_lines("m,t=C:\\dir f=1", "m,t=C:\\dir f=d1.0|");
  check_lines("m,a=1,a=2 f=1", "!duplicate tags|");
  check_lines("m f\\,g=1,f\\=h=2,\"q=3", "m \"q=d3.0 f,g=d1.0 f=h=d2.0|");
  check_lines("m,ort=K\xC3\xB6ln f=1", "m,ort=K\xC3\xB6ln f=d1.0|");
}
END_TEST

START_TEST(texts)
{
  check_lines("m f=\"\"", "m f=\"|");
  check_lines("m f=\"a\\\"b\\\\c\\d\",g=1", "m f=\"a\"b\\c\\d g=d1.0|");
  check_lines("m f=\"a,b=c d#\" 3", "m f=\"a,b=c d# @3|");
  check_lines("m f=\"a\\\\\" 3\nm f=1", "m f=\"a\\ @3|m f=d1.0|");
  check_lines("m f=\"open\nm f=1", "!unbalanced quotes|");
  check_lines("m f=\"a\"b", "!invalid field format|");
  check_lines("m f=\"\xFF\"\nm f=1", "!invalid UTF-8 in a string|m f=d1.0|");
}
END_TEST

START_TEST(the_last_of_equal_fields_holds)
{
  check_lines("m f=1,g=2,f=3i", "m f=i3 g=d2.0|");
  check_lines("m z=1,a=2,z=3,a=4,z=\"5\"", "m a=d4.0 z=\"5|");
}
END_TEST

START_TEST(what_is_wrong)
{
  check_lines(",t=1 f=1", "!missing measurement|");
  check_lines("m", "!missing fields|");
  check_lines("m ", "!missing fields|");
  check_lines("m,t=1", "!missing fields|");
  check_lines("m,=1 f=1", "!missing tag key|");
  check_lines("m,t f=1", "!missing tag value|");
  check_lines("m,t= f=1", "!missing tag value|");
  check_lines("m,t=a=b f=1", "!invalid tag format|");
  check_lines("m, f=1", "!missing tag key|");
  check_lines("m f", "!invalid field format|");
  check_lines("m f=", "!missing field value|");
  check_lines("m =1", "!missing field key|");
  check_lines("m f=1,", "!missing field key|");
  check_lines("m f=1,,g=2", "!missing field key|");
  check_lines("m f=abc", "!invalid boolean|");
  check_lines("m f=NaN", "!invalid number|");
  check_lines("m f=-Inf", "!invalid number|");
  check_lines("m f=1.2.3", "!invalid number|");
  check_lines("m f=0x10", "!invalid number|");
  check_lines("m f=1e", "!invalid number|");
  check_lines("m f=--1i", "!invalid number|");
  check_lines("m f=i", "!invalid boolean|");
  check_lines("m f=-i", "!invalid number|");
  check_lines("m f=-1u", "!invalid number|");
  check_lines("m f=1e999", "!value out of range|");
  check_lines("m f=9223372036854775808i", "!value out of range|");
  check_lines("m f=9223372036854775808u",
              "!unsigned integer 9223372036854775808 does not fit into 63 bits|");
  check_lines("m f=1 abc", "!bad timestamp|");
  check_lines("m f=1 1.5", "!bad timestamp|");
  check_lines("m f=1 1 2", "!bad timestamp|");
  check_lines("m f=1 99999999999999999999", "!bad timestamp|");
  check_lines("m\x01 f=1", "!a control character in the key|");
  check_lines("m f\xC2\x85=1", "!a control character in the field key|");
  check_lines("m,t=\xC3 f=1", "!invalid UTF-8 in the key|");
}
END_TEST

START_TEST(a_bad_line_costs_itself_only)
{
  static const char text[] = "a f=1\nb f=\0x\nc f=2\nd\ne f=3";
  g_autofree char *found = read_all(text, sizeof text - 1);
  ck_assert_str_eq(found, "a f=d1.0|!a NUL byte|c f=d2.0|!missing fields|e f=d3.0|");
}
END_TEST

START_TEST(half_a_line)
{
  static const char line[] = "cpu,host=a,dc=b usage=12.5,name=\"x,\\\" y\",n=5i 1700000000";
  for (gsize size = 0; size < sizeof line; size++) {
    g_autofree char *found = read_all(line, size);
    ck_assert(*found == '\0' || strchr(found, '|') == found + strlen(found) - 1);
  }
}
END_TEST

START_TEST(sizes)
{
  g_autofree char *name = g_strnfill(LIMIT_NAME_SIZE, 'n');
  g_autofree char *fits = g_strdup_printf("%s %s=1", name, name);
  g_autofree char *wanted = g_strdup_printf("%s %s=d1.0|", name, name);
  check_lines(fits, wanted);
  g_autofree char *long_key = g_strdup_printf("%sn f=1", name);
  check_lines(long_key, "!max key length exceeded: 256 > 255|");
  g_autofree char *long_field = g_strdup_printf("m %sn=1", name);
  check_lines(long_field, "!max field key length exceeded: 256 > 255|");
  GString *many = g_string_new("m f0=1");
  for (int i = 1; i < LIMIT_TABLET_COLUMNS + 1; i++)
    g_string_append_printf(many, ",f%d=1", i);
  check_lines(many->str, "!more than 4096 fields|");
  g_string_free(many, TRUE);
  GString *tags = g_string_new("m");
  for (int i = 0; i < 100000; i++)
    g_string_append_printf(tags, ",t%d=1", i);
  g_string_append(tags, " f=1");
  g_autofree char *found = read_all(tags->str, tags->len);
  ck_assert(g_str_has_prefix(found, "!max key length exceeded"));
  g_string_free(tags, TRUE);
}
END_TEST

START_TEST(the_line_can_be_told)
{
  static const char text[] = "#\n  m f=x  \r\nm f=1\n";
  g_autoptr(LineReader) reader = line_reader_new(text, sizeof text - 1);
  g_autoptr(GError) error = NULL;
  LinePoint point;
  ck_assert_int_eq(line_reader_next(reader, &point, &error), LINE_BAD);
  gsize size;
  const char *line = line_reader_text(reader, &size);
  ck_assert(size == 5 && memcmp(line, "m f=x", 5) == 0);
  ck_assert_int_eq(line_reader_next(reader, &point, NULL), LINE_POINT);
  ck_assert_uint_eq(line_reader_offset(reader), sizeof text - 1);
}
END_TEST

START_TEST(times)
{
  gint64 time;
  ck_assert(line_time_convert(1700000000123456789, line_unit_ns("ns"), 1000, &time));
  ck_assert_int_eq(time, 1700000000123);
  ck_assert(line_time_convert(-1, line_unit_ns("n"), 1000, &time));
  ck_assert_int_eq(time, -1);
  ck_assert(line_time_convert(-1000000, line_unit_ns("ns"), 1000, &time));
  ck_assert_int_eq(time, -1);
  ck_assert(line_time_convert(2, line_unit_ns("h"), 1000000000, &time));
  ck_assert_int_eq(time, G_GINT64_CONSTANT(7200000000000));
  ck_assert(line_time_convert(5, line_unit_ns("us"), 1000000, &time));
  ck_assert_int_eq(time, 5);
  ck_assert(!line_time_convert(G_MAXINT64, line_unit_ns("s"), 1000, &time));
  ck_assert(!line_time_convert(G_MININT64, line_unit_ns("ms"), 1000000000, &time));
  ck_assert(line_time_convert(G_MININT64, line_unit_ns("ns"), 1000000000, &time));
  ck_assert_int_eq(time, G_MININT64);
  ck_assert(line_unit_ns("d") == 0 && line_unit_ns("") == 0 && line_unit_ns("S") == 0);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {plain_lines,
                                lines_and_blanks,
                                tags_are_sorted_and_escaped,
                                texts,
                                the_last_of_equal_fields_holds,
                                what_is_wrong,
                                a_bad_line_costs_itself_only,
                                half_a_line,
                                sizes,
                                the_line_can_be_told,
                                times};
  return RUN_SUITE("line_protocol", tests);
}
