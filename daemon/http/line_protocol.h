/*
 * InfluxDB's line protocol, read line by line:
 *
 *     measurement[,tag=value…] field=value[,field=value…] [time]
 *
 * Measurement and tags become the name of a device (series_name.h), fields its measurements:
 * numbers DOUBLE, with an `i` or `u` behind them INT64, true and false BOOLEAN, what is in quotes
 * TEXT. What it accepts can be stored: names and texts are checked here as the store does, names by
 * LIMIT_NAME_SIZE. NaN and the infinities are no numbers of the protocol. Of a field that comes
 * twice in a line the last holds. Not thread-safe; nothing is allocated per line once the reader is
 * warm.
 */
#pragma once

#include "base/error.h"
#include "base/table.h"

typedef struct LineField {
  const char *name;
  Value value; /* TEXT: borrowed, not to be cleared */
} LineField;

typedef struct LinePoint {
  const char *device;
  const LineField *fields; /* by name, each once */
  guint field_count;       /* at least 1 */
  gboolean has_time;
  gint64 time; /* in the unit of whoever sent it */
} LinePoint;

typedef enum { LINE_POINT, LINE_END, LINE_BAD } LineResult;

typedef struct LineReader LineReader;

/* The text is borrowed. */
LineReader *line_reader_new(const char *text, gsize size);
void line_reader_free(LineReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineReader, line_reader_free)

/*
 * The next line that is neither empty nor a comment; the point is valid until the next call. With
 * LINE_BAD the error (INVALID) says why, in InfluxDB's words where it has some; reading goes on
 * with the line behind it.
 */
LineResult line_reader_next(LineReader *reader, LinePoint *out_point, GError **error);

/* The line that was read last, as it came, without its end. */
const char *line_reader_text(const LineReader *reader, gsize *out_size);

/* Bytes of the text up to the end of that line. */
gsize line_reader_offset(const LineReader *reader);

/* Nanoseconds of a unit's name: ns, n, us, u, µ, ms, s, m, h; 0 for any other. */
gint64 line_unit_ns(const char *name);

/* A time in other units, rounded down. FALSE when it does not fit. */
gboolean line_time_convert(gint64 time, gint64 unit_ns, gint64 per_second, gint64 *out_time);
