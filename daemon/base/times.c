#include "base/times.h"

#include "base/error.h"

#include <string.h>

enum { SECONDS_PER_DAY = 86400, YEAR_DIGITS = 9 };

static gint64 floor_divide(gint64 a, gint64 b)
{
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

/* Days from 1970-01-01 to a date of the Gregorian calendar, extended to both sides. The year is
 * counted from March on, so that the leap day is its last. */
static gint64 days_from_date(gint64 year, int month, int day)
{
  year -= month <= 2;
  gint64 era = floor_divide(year, 400);
  gint64 year_of_era = year - era * 400;
  int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  gint64 day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

static void date_from_days(gint64 days, gint64 *out_year, int *out_month, int *out_day)
{
  days += 719468;
  gint64 era = floor_divide(days, 146097);
  int day_of_era = (int)(days - era * 146097);
  int year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int shifted = (5 * day_of_year + 2) / 153;
  *out_day = day_of_year - (153 * shifted + 2) / 5 + 1;
  *out_month = shifted < 10 ? shifted + 3 : shifted - 9;
  *out_year = year_of_era + era * 400 + (*out_month <= 2);
}

gboolean time_precision_parse(const char *name, gint64 *out_per_second)
{
  static const struct {
    const char *name;
    gint64 per_second;
  } table[] = {{"ms", 1000}, {"us", 1000000}, {"ns", 1000000000}};
  for (guint i = 0; i < G_N_ELEMENTS(table); i++)
    if (g_strcmp0(name, table[i].name) == 0) {
      *out_per_second = table[i].per_second;
      return TRUE;
    }
  return FALSE;
}

/* Exactly `count` digits at *at. */
static gboolean take_digits(const char **at, guint count, int *out_number)
{
  int number = 0;
  for (guint i = 0; i < count; i++) {
    if (!g_ascii_isdigit((*at)[i]))
      return FALSE;
    number = number * 10 + ((*at)[i] - '0');
  }
  *at += count;
  *out_number = number;
  return TRUE;
}

static gboolean take_char(const char **at, char c)
{
  if (**at != c)
    return FALSE;
  (*at)++;
  return TRUE;
}

static gboolean take_date(const char **at, gint64 *out_days)
{
  static const int days_of_month[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  gboolean negative = **at == '-';
  guint digits = 4;
  if (negative || **at == '+') {
    (*at)++;
    for (digits = 0; g_ascii_isdigit((*at)[digits]); digits++)
      ;
    if (digits < 4 || digits > YEAR_DIGITS)
      return FALSE;
  }
  int year, month, day;
  if (!take_digits(at, digits, &year) || !take_char(at, '-') || !take_digits(at, 2, &month) ||
      !take_char(at, '-') || !take_digits(at, 2, &day))
    return FALSE;
  if (negative)
    year = -year;
  if (month < 1 || month > 12 || day < 1)
    return FALSE;
  gboolean leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > days_of_month[month - 1] + (month == 2 && leap))
    return FALSE;
  *out_days = days_from_date(year, month, day);
  return TRUE;
}

/* Digits behind the point as a count of units. */
static gboolean take_fraction(const char **at, gint64 per_second, gboolean round, gint64 *out_units,
                              gboolean *out_finer)
{
  gint64 unit = per_second;
  guint digits = 0;
  *out_units = 0;
  for (; g_ascii_isdigit(**at); (*at)++, digits++) {
    int digit = **at - '0';
    unit /= 10;
    *out_units += digit * unit;
    *out_finer = *out_finer || (unit == 0 && digit != 0 && !round);
  }
  return digits > 0;
}

static gboolean take_clock(const char **at, gint64 per_second, gboolean round, int *out_seconds,
                           gint64 *out_units, gboolean *out_finer)
{
  int hour, minute, second = 0;
  if (!take_digits(at, 2, &hour) || !take_char(at, ':') || !take_digits(at, 2, &minute))
    return FALSE;
  if (take_char(at, ':')) {
    if (!take_digits(at, 2, &second))
      return FALSE;
    if ((take_char(at, '.') || take_char(at, ',')) &&
        !take_fraction(at, per_second, round, out_units, out_finer))
      return FALSE;
  }
  *out_seconds = (hour * 60 + minute) * 60 + second;
  return hour < 24 && minute < 60 && second < 60;
}

static gboolean take_zone(const char **at, int *out_seconds)
{
  *out_seconds = 0;
  if (**at == '\0' || take_char(at, 'Z') || take_char(at, 'z'))
    return TRUE;
  gboolean west = **at == '-';
  if (!west && **at != '+')
    return FALSE;
  (*at)++;
  int hour, minute = 0;
  if (!take_digits(at, 2, &hour))
    return FALSE;
  if (**at != '\0') {
    take_char(at, ':');
    if (!take_digits(at, 2, &minute))
      return FALSE;
  }
  *out_seconds = (hour * 60 + minute) * 60 * (west ? -1 : 1);
  return hour < 24 && minute < 60;
}

static gboolean parse_count(const char *text, gint64 *out_number)
{
  return g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, out_number, NULL);
}

static gboolean is_count(const char *text)
{
  text += *text == '-' || *text == '+';
  return *text != '\0' && strspn(text, "0123456789") == strlen(text);
}

static gboolean out_of_range(const char *text, GError **error)
{
  return fail(error, SYNCLOG_INVALID, "time \"%s\" is beyond the range of the cluster's times",
              text);
}

gboolean time_parse_stamp(const char *text, gint64 per_second, gboolean round, gint64 *out_time,
                          GError **error)
{
  if (is_count(text))
    return parse_count(text, out_time) ? TRUE : out_of_range(text, error);
  const char *at = text;
  gint64 days = 0, units = 0;
  int seconds = 0, zone = 0;
  gboolean finer = FALSE;
  gboolean valid = take_date(&at, &days);
  if (valid && (take_char(&at, 'T') || take_char(&at, 't') || take_char(&at, ' ')))
    valid = take_clock(&at, per_second, round, &seconds, &units, &finer) && take_zone(&at, &zone);
  if (!valid || *at != '\0')
    return fail(error, SYNCLOG_INVALID,
                "\"%s\" is no time (an integer, or as 2026-01-02T03:04:05.678Z)", text);
  if (finer)
    return fail(error, SYNCLOG_INVALID, "time \"%s\" is finer than the cluster's precision", text);
  __int128 total = ((__int128)days * SECONDS_PER_DAY + seconds - zone) * per_second + units;
  if (total < G_MININT64 || total > G_MAXINT64)
    return out_of_range(text, error);
  *out_time = (gint64)total;
  return TRUE;
}

gboolean time_parse(const char *text, gint64 per_second, gint64 now, gint64 *out_time,
                    GError **error)
{
  if (!g_str_has_prefix(text, "now"))
    return time_parse_stamp(text, per_second, FALSE, out_time, error);
  const char *rest = text + strlen("now");
  gint64 duration = 0, time;
  if (*rest != '\0') {
    if (*rest != '-' && *rest != '+')
      return fail(error, SYNCLOG_INVALID, "\"%s\" is no time (as in now-1h)", text);
    if (!duration_parse(rest + 1, per_second, &duration, error))
      return FALSE;
  }
  gboolean overflow = *rest == '-' ? __builtin_sub_overflow(now, duration, &time)
                                   : __builtin_add_overflow(now, duration, &time);
  if (overflow)
    return out_of_range(text, error);
  *out_time = time;
  return TRUE;
}

/* The length in nanoseconds of the unit at *at, 0 when there is none. */
static gint64 take_unit(const char **at)
{
  static const struct {
    const char *name;
    gint64 ns;
  } units[] = {
      {"ns", 1},
      {"us", 1000},
      {"µs", 1000},
      {"ms", 1000000},
      {"s", 1000000000},
      {"min", 60 * (gint64)1000000000},
      {"m", 60 * (gint64)1000000000},
      {"h", 3600 * (gint64)1000000000},
      {"d", 86400 * (gint64)1000000000},
      {"w", 7 * 86400 * (gint64)1000000000},
  };
  for (guint i = 0; i < G_N_ELEMENTS(units); i++)
    if (g_str_has_prefix(*at, units[i].name)) {
      *at += strlen(units[i].name);
      return units[i].ns;
    }
  return 0;
}

gboolean duration_parse(const char *text, gint64 per_second, gint64 *out_duration, GError **error)
{
  gint64 plain;
  if (is_count(text) && g_ascii_isdigit(*text)) {
    if (!parse_count(text, &plain))
      return fail(error, SYNCLOG_INVALID, "duration \"%s\" is too long", text);
    *out_duration = plain;
    return TRUE;
  }
  __int128 total_ns = 0;
  const char *at = text;
  do {
    char *end = NULL;
    guint64 number = g_ascii_isdigit(*at) ? g_ascii_strtoull(at, &end, 10) : 0;
    if (end == NULL || (gsize)(end - at) > 18)
      return fail(error, SYNCLOG_INVALID, "\"%s\" is no duration (as in 90s, 1h30m, 500ms)", text);
    at = end;
    gint64 unit_ns = take_unit(&at);
    if (unit_ns == 0)
      return fail(error, SYNCLOG_INVALID, "duration \"%s\": a number without its unit", text);
    total_ns += (__int128)number * unit_ns;
    if (total_ns / 1000000000 * per_second > G_MAXINT64)
      return fail(error, SYNCLOG_INVALID, "duration \"%s\" is too long", text);
  } while (*at != '\0');
  gint64 ns_per_unit = 1000000000 / per_second;
  if (total_ns % ns_per_unit != 0)
    return fail(error, SYNCLOG_INVALID, "duration \"%s\" is finer than the cluster's precision",
                text);
  if (total_ns / ns_per_unit > G_MAXINT64)
    return fail(error, SYNCLOG_INVALID, "duration \"%s\" is too long", text);
  *out_duration = (gint64)(total_ns / ns_per_unit);
  return TRUE;
}

char *time_format(gint64 time, gint64 per_second, char text[TIME_TEXT_SIZE])
{
  gint64 seconds = floor_divide(time, per_second);
  gint64 days = floor_divide(seconds, SECONDS_PER_DAY);
  gint64 units = (gint64)(time - (__int128)seconds * per_second);
  int second = (int)(seconds - days * SECONDS_PER_DAY);
  gint64 year;
  int month, day;
  date_from_days(days, &year, &month, &day);
  int digits = per_second == 1000 ? 3 : per_second == 1000000 ? 6 : 9;
  const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
  g_snprintf(text, TIME_TEXT_SIZE,
             "%s%04" G_GINT64_FORMAT "-%02d-%02dT%02d:%02d:%02d.%0*" G_GINT64_FORMAT "Z", sign,
             ABS(year), month, day, second / 3600, second / 60 % 60, second % 60, digits, units);
  return text;
}

char *duration_format_ms(gint64 duration_ms, char text[TIME_TEXT_SIZE])
{
  gint64 s = duration_ms / 1000;
  if (duration_ms < 1000)
    g_snprintf(text, TIME_TEXT_SIZE, "%" G_GINT64_FORMAT " ms", duration_ms);
  else if (s < 100)
    g_snprintf(text, TIME_TEXT_SIZE, "%" G_GINT64_FORMAT ".%d s", s,
               (int)(duration_ms % 1000 / 100));
  else if (s < 100 * 60)
    g_snprintf(text, TIME_TEXT_SIZE, "%" G_GINT64_FORMAT " min", s / 60);
  else if (s < 100 * 3600)
    g_snprintf(text, TIME_TEXT_SIZE, "%" G_GINT64_FORMAT " h", s / 3600);
  else
    g_snprintf(text, TIME_TEXT_SIZE, "%" G_GINT64_FORMAT " d", s / SECONDS_PER_DAY);
  return text;
}
