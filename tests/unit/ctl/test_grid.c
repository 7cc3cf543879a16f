/* The tool is no library, so the test takes its sources in. */
#include "ctl/csv.c"
#include "ctl/grid.c"
#include "ctl/json.c"
#include "ctl/values.c"

#include "support/suite.h"

#include <jansson.h>

typedef struct Output {
  char *text;
  size_t size;
  FILE *file;
} Output;

static void output_begin(Output *output)
{
  *output = (Output){0};
  output->file = open_memstream(&output->text, &output->size);
}

/* Transfer full, by free(). */
static char *output_end(Output *output)
{
  fclose(output->file);
  return output->text;
}

static void fill(Grid *grid)
{
  grid_column(grid, "NAME", "name", FALSE);
  grid_column(grid, "COUNT", "count", TRUE);
  grid_column(grid, "NOTE", "note", FALSE);
  grid_text(grid, "a");
  grid_int(grid, -5);
  grid_text(grid, "x,\"y\"");
  grid_text(grid, "länger\n");
  grid_uint(grid, G_MAXUINT64);
  grid_missing(grid);
}

static char *printed(OutputFormat format, void (*func)(Grid *grid))
{
  Output output;
  output_begin(&output);
  Grid *grid = grid_new(format, output.file);
  func(grid);
  grid_free(grid);
  return output_end(&output);
}

START_TEST(text_is_aligned)
{
  char *text = printed(FORMAT_TEXT, fill);
  ck_assert_str_eq(text, "NAME                     COUNT  NOTE\n"
                         "a                           -5  x,\"y\"\n"
                         "länger\\n  18446744073709551615  -\n");
  free(text);
}
END_TEST

START_TEST(csv_has_keys_and_quotes)
{
  char *text = printed(FORMAT_CSV, fill);
  ck_assert_str_eq(text, "name,count,note\n"
                         "a,-5,\"x,\"\"y\"\"\"\n"
                         "\"länger\n\",18446744073709551615,\n");
  free(text);
}
END_TEST

START_TEST(json_is_json)
{
  char *text = printed(FORMAT_JSON, fill);
  /* Unsigned 64 bits are beyond what this parser takes as an integer, and right so. */
  json_error_t why;
  json_t *root = json_loads(text, JSON_DECODE_INT_AS_REAL, &why);
  ck_assert_msg(root != NULL, "%s in %s", why.text, text);
  ck_assert_uint_eq(json_array_size(root), 2);
  json_t *first = json_array_get(root, 0);
  ck_assert_str_eq(json_string_value(json_object_get(first, "name")), "a");
  ck_assert(json_real_value(json_object_get(first, "count")) == -5);
  ck_assert_ptr_null(json_object_get(json_array_get(root, 1), "note"));
  ck_assert_ptr_nonnull(strstr(text, "18446744073709551615"));
  json_decref(root);
  free(text);
}
END_TEST

static void fill_nothing(Grid *grid)
{
  grid_column(grid, "NAME", "name", FALSE);
}

START_TEST(empty_grids)
{
  char *text = printed(FORMAT_TEXT, fill_nothing);
  ck_assert_str_eq(text, "NAME\n");
  free(text);
  text = printed(FORMAT_CSV, fill_nothing);
  ck_assert_str_eq(text, "name\n");
  free(text);
  text = printed(FORMAT_JSON, fill_nothing);
  ck_assert_str_eq(text, "[]\n");
  free(text);
}
END_TEST

static void fill_in_parts(Grid *grid)
{
  grid_column(grid, "V", "v", TRUE);
  grid_column(grid, "W", "w", TRUE);
  for (gint64 i = 1; i <= 1000; i *= 10) {
    grid_int(grid, i);
    grid_bool(grid, i == 1);
    grid_flush(grid);
  }
}

START_TEST(flushed_in_parts)
{
  char *text = printed(FORMAT_TEXT, fill_in_parts);
  ck_assert_str_eq(text, "V    W\n"
                         "1  yes\n"
                         "10   no\n"
                         "100   no\n"
                         "1000   no\n");
  free(text);
  text = printed(FORMAT_CSV, fill_in_parts);
  ck_assert_str_eq(text, "v,w\n1,true\n10,false\n100,false\n1000,false\n");
  free(text);
  text = printed(FORMAT_JSON, fill_in_parts);
  ck_assert_str_eq(text, "[\n  {\"v\": 1, \"w\": true},\n  {\"v\": 10, \"w\": false},\n"
                         "  {\"v\": 100, \"w\": false},\n  {\"v\": 1000, \"w\": false}\n]\n");
  free(text);
}
END_TEST

START_TEST(terminals_are_safe)
{
  const char evil[] = "\033[31mred\a\x7f\xc2\x9b\xff\ttab";
  g_autofree char *shown = text_printable(evil, -1);
  ck_assert_str_eq(shown, "\\x1b[31mred\\x07\\x7f\\x9b\xef\xbf\xbd\\ttab");
}
END_TEST

START_TEST(widths)
{
  ck_assert_uint_eq(text_width(""), 0);
  ck_assert_uint_eq(text_width("äö"), 2);
  ck_assert_uint_eq(text_width("温度"), 4);
  ck_assert_uint_eq(text_width("e\xcc\x81"), 1);
}
END_TEST

static void add_value(JsonWriter *json, const char *key, Value value)
{
  json_put_value(json, key, &value);
}

START_TEST(documents)
{
  Output output;
  output_begin(&output);
  JsonWriter *json = json_writer_new(output.file);
  Value text = {.type = DATA_TEXT};
  text.text.bytes = (char *)"q\"\\\n\x01é";
  text.text.size = strlen(text.text.bytes);
  json_begin_object(json, NULL, FALSE);
  json_put_int(json, "min", G_MININT64);
  json_put_null(json, "nothing");
  json_put_string(json, "none", NULL);
  json_begin_array(json, "empty", FALSE);
  json_end_array(json);
  json_begin_object(json, "inner", FALSE);
  json_put_bool(json, "yes", TRUE);
  json_put_double(json, "tenth", 0.1);
  json_end_object(json);
  json_begin_array(json, "values", TRUE);
  add_value(json, NULL, (Value){.type = DATA_DOUBLE, .float64 = NAN});
  add_value(json, NULL, (Value){.type = DATA_FLOAT, .float32 = 0.1f});
  add_value(json, NULL, (Value){.type = DATA_DOUBLE, .float64 = 1e300});
  add_value(json, NULL, text);
  json_end_array(json);
  json_end_object(json);
  json_writer_free(json);
  char *document = output_end(&output);
  ck_assert_str_eq(document, "{\n"
                             "  \"min\": -9223372036854775808,\n"
                             "  \"nothing\": null,\n"
                             "  \"none\": null,\n"
                             "  \"empty\": [],\n"
                             "  \"inner\": {\n"
                             "    \"yes\": true,\n"
                             "    \"tenth\": 0.1\n"
                             "  },\n"
                             "  \"values\": [\"NaN\", 0.1, 1e+300, \"q\\\"\\\\\\n\\u0001é\"]\n"
                             "}\n");
  json_t *root = json_loads(document, 0, NULL);
  ck_assert_ptr_nonnull(root);
  ck_assert(json_integer_value(json_object_get(root, "min")) == G_MININT64);
  ck_assert_str_eq(json_string_value(json_array_get(json_object_get(root, "values"), 3)),
                   text.text.bytes);
  json_decref(root);
  free(document);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      text_is_aligned,  csv_has_keys_and_quotes, json_is_json, empty_grids,
      flushed_in_parts, terminals_are_safe,      widths,       documents};
  return RUN_SUITE("grid", tests);
}
