/* The tool is no library, so the test takes its sources in. */
#include "ctl/csv.c"

#include "support/suite.h"

/* Reads everything: cells joined by '|', quoted ones in <>, rows by ';'. An error gives its
 * message. */
static char *read_all(const char *text, gsize size, char delimiter)
{
  FILE *file = fmemopen((char *)text, size, "r");
  if (size == 0)
    file = tmpfile();
  g_autoptr(CsvReader) reader = csv_reader_new(file, delimiter);
  GString *out = g_string_new(NULL);
  CsvRow row;
  CsvResult result;
  g_autoptr(GError) error = NULL;
  while ((result = csv_reader_next(reader, &row, &error)) == CSV_ROW) {
    for (guint i = 0; i < row.count; i++) {
      ck_assert_uint_eq(strlen(row.cells[i].text), row.cells[i].size);
      g_string_append_printf(out, row.cells[i].quoted ? "%s<%s>" : "%s%s", i > 0 ? "|" : "",
                             row.cells[i].text);
    }
    g_string_append_c(out, ';');
  }
  if (result == CSV_ERROR)
    g_string_append(out, error->message);
  else
    ck_assert_uint_eq(csv_reader_offset(reader), size);
  fclose(file);
  return g_string_free(out, FALSE);
}

static void check(const char *text, const char *wanted)
{
  g_autofree char *got = read_all(text, strlen(text), ',');
  ck_assert_str_eq(got, wanted);
}

START_TEST(rows_and_line_ends)
{
  check("a,b\n1,2\n", "a|b;1|2;");
  check("a,b\r\n1,2\r\n", "a|b;1|2;");
  check("a,b\n1,2", "a|b;1|2;");
  check("a", "a;");
  check("", "");
  check("\n\r\n\n", "");
  check("a\n\n\r\nb\n", "a;b;");
  check("a,\n,\n", "a|;|;");
  check("a\rb\n", "a\rb;");
}
END_TEST

START_TEST(quotes)
{
  check("\"a,b\",\"c\"\"d\"\n", "<a,b>|<c\"d>;");
  check("\"two\nlines\"\r\nx", "<two\nlines>;x;");
  check("\"two\r\nlines\",1\n", "<two\r\nlines>|1;");
  check("\"\",x,\"\"", "<>|x|<>;");
  check("\"\"\"\"", "<\">;");
  check("a\"b,c\"\n", "a\"b|c\";");
}
END_TEST

START_TEST(byte_order_mark)
{
  check("\xEF\xBB\xBF"
        "time,x\n1,2\n",
        "time|x;1|2;");
  check("\xEF\xBB\xBF", "");
  check("\xEF\xBB", "\xEF\xBB;");
  check("\xEFx\n", "\xEFx;");
  /* Only at the very beginning. */
  check("a\n\xEF\xBB\xBF"
        "b\n",
        "a;\xEF\xBB\xBF"
        "b;");
}
END_TEST

START_TEST(mistakes_name_the_line)
{
  check("a\n\n\"b\nc", "a;line 3: a quote is opened and never closed");
  check("a\n\"b\"c\n", "a;line 2: text behind the closing quote");
  check("\"a\nb\" ,c\n", "line 2: text behind the closing quote");
  g_autofree char *nul = read_all("a\nb\0c\n", 6, ',');
  ck_assert_str_eq(nul, "a;line 2: a NUL byte");
}
END_TEST

START_TEST(bounds)
{
  g_autofree char *many = g_strnfill(CSV_MAX_CELLS, ',');
  g_autofree char *cells = read_all(many, strlen(many), ',');
  ck_assert_ptr_nonnull(strstr(cells, "line 1: more than"));
  g_autofree char *fits = g_strnfill(CSV_MAX_CELLS - 1, ',');
  g_autofree char *row = read_all(fits, strlen(fits), ',');
  ck_assert_ptr_null(strstr(row, "line"));
  g_autofree char *large = g_strnfill(LIMIT_ENTRY_SIZE + 2, 'x');
  g_autofree char *size = read_all(large, strlen(large), ',');
  ck_assert_ptr_nonnull(strstr(size, "line 1: a row of more than"));
}
END_TEST

START_TEST(other_delimiter)
{
  g_autofree char *got = read_all("a;b,c\n", 6, ';');
  ck_assert_str_eq(got, "a|b,c;");
}
END_TEST

START_TEST(goes_on_at_an_offset)
{
  const char text[] = "h,i\n1,\"a\nb\"\n2,c\n3,d\n";
  FILE *file = fmemopen((char *)text, strlen(text), "r");
  g_autoptr(CsvReader) reader = csv_reader_new(file, ',');
  CsvRow row;
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert_uint_eq(row.line, 2);
  guint64 offset = csv_reader_offset(reader), line = csv_reader_line(reader);
  ck_assert_uint_eq(offset, 12);
  ck_assert_uint_eq(line, 4);
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert(csv_reader_seek(reader, offset, line, NULL));
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert_str_eq(row.cells[0].text, "2");
  ck_assert_uint_eq(row.line, 4);
  fclose(file);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
  static const char *const cells[] = {"",     "plain", " edge", "edge ", "a,b",       "say \"x\"",
                                      "l\nf", "c\r",   "\"",    "é",     "tab\there", "-"};
  g_autoptr(GString) out = g_string_new(NULL);
  for (guint i = 0; i < G_N_ELEMENTS(cells); i++) {
    if (i > 0)
      g_string_append_c(out, ',');
    csv_append(out, ',', cells[i], strlen(cells[i]), FALSE);
  }
  FILE *file = fmemopen(out->str, out->len, "r");
  g_autoptr(CsvReader) reader = csv_reader_new(file, ',');
  CsvRow row;
  ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
  ck_assert_uint_eq(row.count, G_N_ELEMENTS(cells));
  for (guint i = 0; i < row.count; i++)
    ck_assert_str_eq(row.cells[i].text, cells[i]);
  fclose(file);

  g_string_truncate(out, 0);
  csv_append(out, ',', "", 0, TRUE);
  ck_assert_str_eq(out->str, "\"\"");

  /* It may come to stand at the start of a file. */
  g_string_truncate(out, 0);
  csv_append(out, ',', "\xEF\xBB\xBFtext", 7, FALSE);
  ck_assert_str_eq(out->str, "\"\xEF\xBB\xBFtext\"");
}
END_TEST

START_TEST(random_rows_read_back)
{
  static const char alphabet[] = "ab,\"\n\r 1;";
  g_autoptr(GRand) rand = g_rand_new_with_seed(7);
  for (guint round = 0; round < 2000; round++) {
    g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) text = g_string_new(NULL);
    guint count = (guint)g_rand_int_range(rand, 1, 6);
    for (guint i = 0; i < count; i++) {
      gsize size = (gsize)g_rand_int_range(rand, 0, 8);
      char *cell = g_malloc0(size + 1);
      for (gsize k = 0; k < size; k++)
        cell[k] = alphabet[g_rand_int_range(rand, 0, sizeof alphabet - 1)];
      g_ptr_array_add(cells, cell);
      if (i > 0)
        g_string_append_c(text, ',');
      csv_append(text, ',', cell, size, size == 0);
    }
    g_string_append_c(text, '\n');
    FILE *file = fmemopen(text->str, text->len, "r");
    g_autoptr(CsvReader) reader = csv_reader_new(file, ',');
    CsvRow row;
    ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_ROW);
    ck_assert_uint_eq(row.count, count);
    for (guint i = 0; i < count; i++)
      ck_assert_str_eq(row.cells[i].text, cells->pdata[i]);
    ck_assert_int_eq(csv_reader_next(reader, &row, NULL), CSV_END);
    fclose(file);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {rows_and_line_ends,
                                quotes,
                                byte_order_mark,
                                mistakes_name_the_line,
                                bounds,
                                other_delimiter,
                                goes_on_at_an_offset,
                                what_is_written_reads_back,
                                random_rows_read_back};
  return RUN_SUITE("csv", tests);
}
