/* Bytes as a CSV file: what was read, written again, is read as the same; a reader can go on at
 * every row that it has told of. */
#include "ctl/csv.c"
#include "fuzz/fuzz.h"

static const char delimiters[] = ",;\t|";

/* A file over the bytes. */
static FILE *open_bytes(const void *bytes, gsize size)
{
  FILE *file = size > 0 ? fmemopen((void *)bytes, size, "r") : tmpfile();
  g_assert(file != NULL);
  return file;
}

static void put_rest(CsvReader *reader, GPtrArray *rows, char delimiter, GArray *offsets)
{
  CsvRow row;
  for (;;) {
    g_autoptr(GError) error = NULL;
    guint64 point[2] = {csv_reader_offset(reader), csv_reader_line(reader)};
    CsvResult result = csv_reader_next(reader, &row, &error);
    g_assert((result == CSV_ERROR) == (error != NULL));
    if (result != CSV_ROW)
      return;
    g_assert(row.count >= 1 && row.count <= CSV_MAX_CELLS && row.line >= point[1]);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < row.count; i++) {
      const CsvCell *cell = &row.cells[i];
      g_assert(strlen(cell->text) == cell->size);
      if (i > 0)
        g_string_append_c(text, delimiter);
      csv_append(text, delimiter, cell->text, cell->size, cell->quoted);
    }
    g_string_append_c(text, '\n');
    g_ptr_array_add(rows, g_string_free(text, FALSE));
    if (offsets != NULL)
      g_array_append_val(offsets, point);
  }
}

static GPtrArray *read_rows(const void *bytes, gsize size, char delimiter, GArray *offsets)
{
  GPtrArray *rows = g_ptr_array_new_with_free_func(g_free);
  FILE *file = open_bytes(bytes, size);
  CsvReader *reader = csv_reader_new(file, delimiter);
  put_rest(reader, rows, delimiter, offsets);
  csv_reader_free(reader);
  fclose(file);
  return rows;
}

static void compare(const GPtrArray *rows, guint from, const GPtrArray *others)
{
  g_assert(rows->len - from == others->len);
  for (guint i = 0; i < others->len; i++)
    g_assert_cmpstr(rows->pdata[from + i], ==, others->pdata[i]);
}

/* From the begin of one row on, without having read what is before it. */
static void read_from(const guint8 *bytes, gsize size, char delimiter, const GPtrArray *rows,
                      const GArray *offsets, guint from)
{
  const guint64 *point = &((const guint64 *)(void *)offsets->data)[2 * (gsize)from];
  FILE *file = open_bytes(bytes, size);
  CsvReader *reader = csv_reader_new(file, delimiter);
  g_assert(csv_reader_seek(reader, point[0], point[1], NULL));
  g_autoptr(GPtrArray) rest = g_ptr_array_new_with_free_func(g_free);
  put_rest(reader, rest, delimiter, NULL);
  compare(rows, from, rest);
  csv_reader_free(reader);
  fclose(file);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  char delimiter = delimiters[options % 4];
  g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, 2 * sizeof(guint64));
  g_autoptr(GPtrArray) rows = read_rows(in.bytes, in.left, delimiter, offsets);
  if (rows->len == 0)
    return;
  read_from(in.bytes, in.left, delimiter, rows, offsets, options / 4 % rows->len);
  GString *whole = g_string_new(NULL);
  for (guint i = 0; i < rows->len; i++)
    g_string_append(whole, rows->pdata[i]);
  g_autoptr(GPtrArray) again = read_rows(whole->str, whole->len, delimiter, NULL);
  compare(rows, 0, again);
  g_string_free(whole, TRUE);
}

void fuzz_seeds(void)
{
  static const char plain[] = "0time,a,b\n1,2,3\n2,,\"x\"\"y\"\n\n3,\"a\nb\", c \n";
  static const char crlf[] = "4\xEF\xBB\xBFtime,a\r\n1,\"\r\n\"\r\n2,b";
  static const char open_quote[] = "0time,a\n1,\"never ended\n2,3\n";
  fuzz_seed("plain", plain, sizeof plain - 1);
  fuzz_seed("crlf", crlf, sizeof crlf - 1);
  fuzz_seed("open-quote", open_quote, sizeof open_quote - 1);
}
