/*
 * Reading and writing of CSV as in RFC 4180. Not thread-safe.
 *
 * The reader takes rows ended by LF or CRLF, a missing line end behind the last row, a byte order
 * mark at the start, and skips empty lines. A quote that does not stand at the beginning of a cell
 * is an ordinary character. A row is bounded by LIMIT_ENTRY_SIZE bytes and CSV_MAX_CELLS cells.
 */
#pragma once

#include "base/text.h"
#include <glib.h>

#include <stdio.h>

enum { CSV_MAX_CELLS = 4096 + 64 };

typedef struct CsvCell {
  const char *text; /* NUL-terminated, may not hold NUL itself */
  gsize size;
  gboolean quoted;
} CsvCell;

typedef struct CsvRow {
  const CsvCell *cells;
  guint count;
  guint64 line; /* line of the file, from 1, in which the row begins */
} CsvRow;

typedef enum { CSV_ROW, CSV_END, CSV_ERROR } CsvResult;

typedef struct CsvReader CsvReader;

/* Reads from where `file` stands; the caller keeps and closes it. */
CsvReader *csv_reader_new(FILE *file, char delimiter);
void csv_reader_free(CsvReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CsvReader, csv_reader_free)

/* The next row, valid until the next call. INVALID and TOO_LARGE name the line. */
CsvResult csv_reader_next(CsvReader *reader, CsvRow *out_row, GError **error);

/* Bytes of the file up to the end of the last row, and the line that follows. */
guint64 csv_reader_offset(const CsvReader *reader);
guint64 csv_reader_line(const CsvReader *reader);

/* Goes on at a row's begin, as told by the two functions above. Needs a file that can seek. */
gboolean csv_reader_seek(CsvReader *reader, guint64 offset, guint64 line, GError **error);
