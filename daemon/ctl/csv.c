#include "ctl/csv.h"

#include "base/error.h"
#include "base/limits.h"

#include <errno.h>
#include <string.h>

static const guchar utf8_mark[] = {0xEF, 0xBB, 0xBF};

struct CsvReader {
  FILE *file;
  char delimiter;
  GString *text; /* cells of the row, each with a NUL behind it */
  GArray *cells; /* CsvCell; `text` holds the offset until the row is complete */
  guint64 offset, line;
};

CsvReader *csv_reader_new(FILE *file, char delimiter)
{
  CsvReader *reader = g_new0(CsvReader, 1);
  reader->file = file;
  reader->delimiter = delimiter;
  reader->text = g_string_sized_new(256);
  reader->cells = g_array_new(FALSE, FALSE, sizeof(CsvCell));
  reader->line = 1;
  return reader;
}

void csv_reader_free(CsvReader *reader)
{
  if (reader == NULL)
    return;
  g_string_free(reader->text, TRUE);
  g_array_unref(reader->cells);
  g_free(reader);
}

guint64 csv_reader_offset(const CsvReader *reader)
{
  return reader->offset;
}

guint64 csv_reader_line(const CsvReader *reader)
{
  return reader->line;
}

gboolean csv_reader_seek(CsvReader *reader, guint64 offset, guint64 line, GError **error)
{
  if (offset > G_MAXINT64 || fseeko(reader->file, (off_t)offset, SEEK_SET) != 0)
    return fail_errno(error, SYNCLOG_INVALID, errno, "seek");
  reader->offset = offset;
  reader->line = line;
  return TRUE;
}

static int next_byte(CsvReader *reader)
{
  int c = getc_unlocked(reader->file);
  if (c != EOF)
    reader->offset++;
  if (c == '\n')
    reader->line++;
  return c;
}

/* Takes the byte if it is the one that is wanted. */
static gboolean take_byte(CsvReader *reader, int wanted)
{
  int c = getc_unlocked(reader->file);
  if (c != wanted) {
    if (c != EOF)
      ungetc(c, reader->file);
    return FALSE;
  }
  reader->offset++;
  if (c == '\n')
    reader->line++;
  return TRUE;
}

static void skip_mark(CsvReader *reader)
{
  int c[3];
  guint n = 0;
  while (n < 3 && (c[n] = getc_unlocked(reader->file)) == utf8_mark[n])
    n++;
  if (n == 3) {
    reader->offset += 3;
    return;
  }
  /* Not a mark: back to where the file stood. Of a pipe only one byte can be given back for sure,
   * but glibc takes back what it has just given out of its buffer. */
  if (c[n] != EOF)
    ungetc(c[n], reader->file);
  while (n > 0)
    ungetc(c[--n], reader->file);
}

static gboolean add_byte(CsvReader *reader, int c, GError **error)
{
  if (c == 0)
    return fail(error, SYNCLOG_INVALID, "line %" G_GUINT64_FORMAT ": a NUL byte", reader->line);
  if (reader->text->len >= LIMIT_ENTRY_SIZE)
    return fail(error, SYNCLOG_TOO_LARGE,
                "line %" G_GUINT64_FORMAT
                ": a row of more than %d bytes (a quote without its end?)",
                reader->line, LIMIT_ENTRY_SIZE);
  g_string_append_c(reader->text, (char)c);
  return TRUE;
}

/* The inside of a quoted cell, the opening quote being read. */
static gboolean read_quoted(CsvReader *reader, GError **error)
{
  guint64 line = reader->line;
  for (;;) {
    int c = next_byte(reader);
    if (c == EOF)
      return fail(error, SYNCLOG_INVALID,
                  "line %" G_GUINT64_FORMAT ": a quote is opened and never closed", line);
    if (c == '"' && !take_byte(reader, '"'))
      return TRUE;
    if (!add_byte(reader, c, error))
      return FALSE;
  }
}

typedef enum { CELL_MORE, CELL_LAST, CELL_ERROR } CellEnd;

/* Judges what stands behind a cell. */
static CellEnd read_cell_end(CsvReader *reader, GError **error)
{
  int c = next_byte(reader);
  if (c == EOF || c == '\n' || (c == '\r' && take_byte(reader, '\n')))
    return CELL_LAST;
  if (c == reader->delimiter)
    return CELL_MORE;
  fail(error, SYNCLOG_INVALID, "line %" G_GUINT64_FORMAT ": text behind the closing quote",
       reader->line);
  return CELL_ERROR;
}

static CellEnd read_plain(CsvReader *reader, GError **error)
{
  for (;;) {
    int c = next_byte(reader);
    if (c == EOF || c == '\n' || (c == '\r' && take_byte(reader, '\n')))
      return CELL_LAST;
    if (c == reader->delimiter)
      return CELL_MORE;
    if (!add_byte(reader, c, error))
      return CELL_ERROR;
  }
}

static CellEnd read_cell(CsvReader *reader, GError **error)
{
  if (reader->cells->len >= CSV_MAX_CELLS) {
    fail(error, SYNCLOG_TOO_LARGE, "line %" G_GUINT64_FORMAT ": more than %d cells", reader->line,
         CSV_MAX_CELLS);
    return CELL_ERROR;
  }
  CsvCell cell = {.text = GSIZE_TO_POINTER(reader->text->len), .quoted = take_byte(reader, '"')};
  gsize begin = reader->text->len;
  CellEnd end;
  if (!cell.quoted)
    end = read_plain(reader, error);
  else
    end = read_quoted(reader, error) ? read_cell_end(reader, error) : CELL_ERROR;
  cell.size = reader->text->len - begin;
  g_string_append_c(reader->text, '\0');
  g_array_append_val(reader->cells, cell);
  return end;
}

static gboolean skip_empty_lines(CsvReader *reader)
{
  for (;;) {
    int c = getc_unlocked(reader->file);
    if (c == EOF)
      return FALSE;
    if (c == '\r') {
      int next = getc_unlocked(reader->file);
      if (next != EOF)
        ungetc(next, reader->file);
      if (next == '\n') {
        reader->offset++;
        continue;
      }
    }
    if (c != '\n') {
      ungetc(c, reader->file);
      return TRUE;
    }
    reader->offset++;
    reader->line++;
  }
}

CsvResult csv_reader_next(CsvReader *reader, CsvRow *out_row, GError **error)
{
  if (reader->offset == 0)
    skip_mark(reader);
  g_string_truncate(reader->text, 0);
  g_array_set_size(reader->cells, 0);
  CellEnd end = CELL_LAST;
  gboolean some = skip_empty_lines(reader);
  guint64 line = reader->line;
  if (some)
    do {
      end = read_cell(reader, error);
    } while (end == CELL_MORE);
  if (end == CELL_ERROR)
    return CSV_ERROR;
  if (ferror(reader->file)) {
    fail_errno(error, SYNCLOG_INTERNAL, errno, "line %" G_GUINT64_FORMAT, line);
    return CSV_ERROR;
  }
  if (!some)
    return CSV_END;
  for (guint i = 0; i < reader->cells->len; i++) {
    CsvCell *cell = &g_array_index(reader->cells, CsvCell, i);
    cell->text = reader->text->str + GPOINTER_TO_SIZE(cell->text);
  }
  *out_row = (CsvRow){(const CsvCell *)(void *)reader->cells->data, reader->cells->len, line};
  return CSV_ROW;
}
