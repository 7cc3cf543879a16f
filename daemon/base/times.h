/*
 * Times and durations as people write them. A time is an int64 count of units since 1970-01-01 UTC;
 * how many units make a second is the cluster's precision (1000, 1000000 or 1000000000). All of
 * int64 can be written and read back. Pure functions.
 */
#pragma once

#include <glib.h>

enum { TIME_TEXT_SIZE = 48 };

/* "ms", "us" or "ns" to units per second. FALSE for anything else. */
gboolean time_precision_parse(const char *name, gint64 *out_per_second);

/*
 * A stamp in a file: an integer (units since 1970), or YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]]][zone]
 * with zone Z, +HH, +HHMM or +HH:MM; none is UTC. Years have four digits, or up to nine behind a
 * sign. Digits finer than the precision must be 0 unless `round` allows to drop them. INVALID says
 * what is wrong with the text.
 */
gboolean time_parse_stamp(const char *text, gint64 per_second, gboolean round, gint64 *out_time,
                          GError **error);

/* What a command takes: a stamp, "now", or "now" and a duration, as in "now-1h30m". */
gboolean time_parse(const char *text, gint64 per_second, gint64 now, gint64 *out_time,
                    GError **error);

/* "90", in units, or numbers with ns, us, ms, s, m, h, d or w, as in "1h30m". Never negative. */
gboolean duration_parse(const char *text, gint64 per_second, gint64 *out_duration, GError **error);

/* "2026-01-02T03:04:05.678Z", as many digits as the precision has; returns `text`. Years beyond
 * four digits get a sign. */
char *time_format(gint64 time, gint64 per_second, char text[TIME_TEXT_SIZE]);

/* "950 ms", "4.2 s", "3 min", "5 h", "2 d": for people. */
char *duration_format_ms(gint64 duration_ms, char text[TIME_TEXT_SIZE]);
