/* The tool is no library, so the test takes its sources in. */
#include "base/times.c"

#include "support/suite.h"

enum { MS = 1000, US = 1000000, NS = 1000000000 };

static gint64 stamp(const char *text, gint64 per_second)
{
  gint64 time = -77;
  g_autoptr(GError) error = NULL;
  fast_assert_msg(time_parse_stamp(text, per_second, FALSE, &time, &error), "%s: %s", text,
                  error != NULL ? error->message : "");
  return time;
}

static void refused(const char *text, gint64 per_second, const char *why)
{
  gint64 time = -77;
  g_autoptr(GError) error = NULL;
  ck_assert_msg(!time_parse_stamp(text, per_second, FALSE, &time, &error), "%s", text);
  ck_assert_int_eq(time, -77);
  ck_assert_msg(strstr(error->message, why) != NULL, "%s: %s", text, error->message);
}

START_TEST(integers)
{
  ck_assert_int_eq(stamp("0", MS), 0);
  ck_assert_int_eq(stamp("-5", MS), -5);
  ck_assert_int_eq(stamp("1767323045678", NS), 1767323045678);
  ck_assert_int_eq(stamp("9223372036854775807", MS), G_MAXINT64);
  ck_assert_int_eq(stamp("-9223372036854775808", NS), G_MININT64);
  refused("9223372036854775808", MS, "range");
  refused("-9223372036854775809", MS, "range");
}
END_TEST

START_TEST(iso)
{
  ck_assert_int_eq(stamp("1970-01-01", MS), 0);
  ck_assert_int_eq(stamp("1970-01-01T00:00:00Z", MS), 0);
  ck_assert_int_eq(stamp("1969-12-31T23:59:59.999Z", MS), -1);
  ck_assert_int_eq(stamp("2026-01-02T03:04:05.678Z", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-02 03:04:05.678", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-02 03:04:05,678", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-02T03:04", MS), 1767323040000);
  ck_assert_int_eq(stamp("2026-01-02T03:04:05.6", US), 1767323045600000);
  ck_assert_int_eq(stamp("2026-01-02T03:04:05.000000001", NS), 1767323045000000001);
  ck_assert_int_eq(stamp("2026-01-02T03:04:05.67800", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-02T05:04:05.678+02:00", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-02T05:04:05.678+0200", MS), 1767323045678);
  ck_assert_int_eq(stamp("2026-01-01T22:34:05.678-04:30", MS), 1767323045678);
  ck_assert_int_eq(stamp("2024-02-29", MS), 1709164800000);
  ck_assert_int_eq(stamp("2000-02-29", MS), 951782400000);
  ck_assert_int_eq(stamp("0000-01-01", MS), -62167219200000);
  ck_assert_int_eq(stamp("-0001-12-31", MS), -62167219200000 - 86400000);
}
END_TEST

START_TEST(what_is_no_time)
{
  static const char *const texts[] = {
      "",
      "now",
      "2026",
      "2026-13-01",
      "2026-00-01",
      "2026-02-29",
      "1900-02-29",
      "2026-01-32",
      "2026-01-00",
      "12:00",
      "2026-1-2",
      "26-01-02",
      "2026-01-02T",
      "2026-01-02T3:04",
      "2026-01-02T24:00",
      "2026-01-02T03:60",
      "2026-01-02T03:04:60",
      "2026-01-02T03:04:05.",
      "2026-01-02T03:04:05x",
      "2026-01-02T03:04:05Zx",
      "2026-01-02T03:04+",
      "2026-01-02T03:04+25",
      "+12345678901-01-01",
      " 2026-01-02",
      "2026-01-02 ",
      "0x10",
      "1.5",
      "1e3",
      "--5",
      "+",
      "-",
  };
  for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
    gint64 time = -77;
    g_autoptr(GError) error = NULL;
    gboolean integer = strcmp(texts[i], "2026") == 0; /* is one: an integer */
    ck_assert_msg(time_parse_stamp(texts[i], MS, FALSE, &time, &error) == integer, "%s", texts[i]);
  }
}
END_TEST

START_TEST(finer_than_the_precision)
{
  gint64 time;
  refused("2026-01-02T03:04:05.6781", MS, "finer");
  refused("2026-01-02T03:04:05.0000001", US, "finer");
  ck_assert(time_parse_stamp("2026-01-02T03:04:05.6789", MS, TRUE, &time, NULL));
  ck_assert_int_eq(time, 1767323045678);
  /* Towards the past on both sides of 1970. */
  ck_assert(time_parse_stamp("1969-12-31T23:59:59.9999", MS, TRUE, &time, NULL));
  ck_assert_int_eq(time, -1);
}
END_TEST

static void check_round_trip(gint64 time, gint64 per_second)
{
  char text[TIME_TEXT_SIZE];
  time_format(time, per_second, text);
  fast_assert_msg(stamp(text, per_second) == time, "%s", text);
}

START_TEST(formats)
{
  char text[TIME_TEXT_SIZE];
  ck_assert_str_eq(time_format(0, MS, text), "1970-01-01T00:00:00.000Z");
  ck_assert_str_eq(time_format(-1, MS, text), "1969-12-31T23:59:59.999Z");
  ck_assert_str_eq(time_format(-1, NS, text), "1969-12-31T23:59:59.999999999Z");
  ck_assert_str_eq(time_format(1767323045678, MS, text), "2026-01-02T03:04:05.678Z");
  ck_assert_str_eq(time_format(G_MAXINT64, MS, text), "+292278994-08-17T07:12:55.807Z");
  ck_assert_str_eq(time_format(G_MININT64, MS, text), "-292275055-05-16T16:47:04.192Z");
  ck_assert_str_eq(time_format(G_MAXINT64, NS, text), "2262-04-11T23:47:16.854775807Z");
  ck_assert_str_eq(time_format(G_MININT64, NS, text), "1677-09-21T00:12:43.145224192Z");
  ck_assert_str_eq(time_format(253402300800000, MS, text), "+10000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(every_time_reads_back)
{
  static const gint64 units[] = {MS, US, NS};
  static const gint64 times[] = {G_MININT64, G_MININT64 + 1, -1, 0, 1, G_MAXINT64 - 1, G_MAXINT64};
  g_autoptr(GRand) rand = g_rand_new_with_seed(3);
  for (guint u = 0; u < G_N_ELEMENTS(units); u++) {
    for (guint i = 0; i < G_N_ELEMENTS(times); i++)
      check_round_trip(times[i], units[u]);
    for (guint i = 0; i < 20000; i++) {
      gint64 time = (gint64)((guint64)g_rand_int(rand) << 32 | g_rand_int(rand));
      check_round_trip(time >> (i % 60), units[u]);
    }
  }
  refused("+292278994-08-17T07:12:55.808Z", MS, "range");
  refused("-292275055-05-16T16:47:04.191Z", MS, "range");
  refused("2262-04-11T23:47:16.854775808Z", NS, "range");
}
END_TEST

START_TEST(every_day_of_four_centuries)
{
  /* Counted day by day, by the rules everyone learns at school. */
  static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  gint64 days = 0;
  for (int year = 1970; year < 2370; year++)
    for (int month = 1; month <= 12; month++) {
      gboolean leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
      int length = lengths[month - 1] + (month == 2 && leap);
      for (int day = 1; day <= length; day++, days++) {
        gint64 y;
        int m, d;
        date_from_days(days, &y, &m, &d);
        fast_assert(y == year && m == month && d == day);
        fast_assert(days_from_date(year, month, day) == days);
      }
    }
}
END_TEST

static gint64 duration(const char *text, gint64 per_second)
{
  gint64 length = -77;
  g_autoptr(GError) error = NULL;
  return duration_parse(text, per_second, &length, &error) ? length : -1;
}

START_TEST(durations)
{
  ck_assert_int_eq(duration("90", MS), 90);
  ck_assert_int_eq(duration("0", MS), 0);
  ck_assert_int_eq(duration("90s", MS), 90000);
  ck_assert_int_eq(duration("1h30m", MS), 5400000);
  ck_assert_int_eq(duration("500ms", US), 500000);
  ck_assert_int_eq(duration("500us", US), 500);
  ck_assert_int_eq(duration("5min", MS), 300000);
  ck_assert_int_eq(duration("2d", NS), 172800000000000);
  ck_assert_int_eq(duration("1w", MS), 604800000);
  ck_assert_int_eq(duration("9223372036854775807", MS), G_MAXINT64);
  ck_assert_int_eq(duration("9223372036854775808", MS), -1);
  ck_assert_int_eq(duration("999999999999999999w", MS), -1);
  ck_assert_int_eq(duration("106752d", NS), -1);
  ck_assert_int_eq(duration("106751d", NS), 106751 * (gint64)86400 * NS);
  ck_assert_int_eq(duration("500us", MS), -1);
  ck_assert_int_eq(duration("", MS), -1);
  ck_assert_int_eq(duration("h", MS), -1);
  ck_assert_int_eq(duration("-1h", MS), -1);
  ck_assert_int_eq(duration("+1h", MS), -1);
  ck_assert_int_eq(duration("1h30", MS), -1);
  ck_assert_int_eq(duration("1 h", MS), -1);
}
END_TEST

static gint64 relative(const char *text, gint64 now)
{
  gint64 time = -77;
  return time_parse(text, MS, now, &time, NULL) ? time : -77;
}

START_TEST(relative_times)
{
  ck_assert_int_eq(relative("now", 5000), 5000);
  ck_assert_int_eq(relative("now-1s", 5000), 4000);
  ck_assert_int_eq(relative("now+1m", 5000), 65000);
  ck_assert_int_eq(relative("now-7", 5000), 4993);
  ck_assert_int_eq(relative("1970-01-01", 5000), 0);
  ck_assert_int_eq(relative("now-", 5000), -77);
  ck_assert_int_eq(relative("now1h", 5000), -77);
  ck_assert_int_eq(relative("nowhere", 5000), -77);
  ck_assert_int_eq(relative("now+1", G_MAXINT64), -77);
  ck_assert_int_eq(relative("now-2", G_MININT64 + 1), -77);
}
END_TEST

START_TEST(precisions)
{
  gint64 per_second = 0;
  ck_assert(time_precision_parse("us", &per_second));
  ck_assert_int_eq(per_second, US);
  ck_assert(!time_precision_parse("s", &per_second));
  ck_assert(!time_precision_parse(NULL, &per_second));
}
END_TEST

START_TEST(durations_for_people)
{
  char text[TIME_TEXT_SIZE];
  ck_assert_str_eq(duration_format_ms(0, text), "0 ms");
  ck_assert_str_eq(duration_format_ms(999, text), "999 ms");
  ck_assert_str_eq(duration_format_ms(4250, text), "4.2 s");
  ck_assert_str_eq(duration_format_ms(180000, text), "3 min");
  ck_assert_str_eq(duration_format_ms(7200000, text), "2 h");
  ck_assert_str_eq(duration_format_ms(G_MAXINT64, text), "106751991167 d");
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {integers,
                                iso,
                                what_is_no_time,
                                finer_than_the_precision,
                                formats,
                                every_time_reads_back,
                                every_day_of_four_centuries,
                                durations,
                                relative_times,
                                precisions,
                                durations_for_people};
  return RUN_SUITE("times", tests);
}
