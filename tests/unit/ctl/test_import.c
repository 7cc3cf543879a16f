/* The tool is no library, so the test takes its sources in. */
#include "base/times.c"
#include "ctl/csv.c"
#include "ctl/file_names.c"
#include "ctl/import_source.c"
#include "ctl/import_state.c"
#include "ctl/json.c"
#include "ctl/values.c"
#include "ctl/write_dump.c"

#include "rpc/write_builder.h"
#include "support/suite.h"

#include <glib/gstdio.h>

typedef struct Fixture {
  char *directory, *path;
  ImportOptions options;
  const char *server_type; /* "measurement=TYPE" of device "known"; NULL: nothing is known */
  guint lookups;
} Fixture;

/* The device "known" has one measurement. */
static Device *lookup(gpointer ctx, const char *device, GError **error)
{
  Fixture *f = ctx;
  f->lookups++;
  if (strcmp(device, "broken") == 0) {
    g_set_error_literal(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY, "no server");
    return NULL;
  }
  if (f->server_type == NULL || strcmp(device, "known") != 0)
    return NULL;
  Device *found = g_new0(Device, 1);
  found->name = g_strdup(device);
  found->measurements = g_array_new(FALSE, TRUE, sizeof(Measurement));
  const char *equals = strchr(f->server_type, '=');
  Measurement m = {.name = g_strndup(f->server_type, (gsize)(equals - f->server_type))};
  ck_assert(data_type_parse(equals + 1, &m.type));
  g_array_append_val(found->measurements, m);
  return found;
}

static void fixture_begin(Fixture *f, const char *text)
{
  *f = (Fixture){.directory = g_dir_make_tmp("synclog-import-XXXXXX", NULL)};
  f->path = g_build_filename(f->directory, "known.csv", NULL);
  ck_assert(g_file_set_contents(f->path, text, -1, NULL));
  f->options = (ImportOptions){.delimiter = ',',
                               .device = "known",
                               .times = {1000, 1000, FALSE},
                               .lookup = lookup,
                               .lookup_ctx = f};
}

static void fixture_end(Fixture *f)
{
  g_unlink(f->path);
  ck_assert_int_eq(g_rmdir(f->directory), 0);
  g_free(f->path);
  g_free(f->directory);
}

/* The write as JSON. Transfer full. */
static char *dump(const WriteBuilder *builder)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  JsonWriter *json = json_writer_new(out);
  WriteSummary summary;
  ck_assert(write_dump(bytes->data, bytes->len, json, NULL, &summary));
  json_writer_free(json);
  fclose(out);
  char *copy = g_strdup(g_strchomp(text));
  free(text);
  return copy;
}

/* Reads the file in batches of max_rows. The writes as JSON, a line each, or the error. */
static char *import(Fixture *f, guint max_rows)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ImportSource) source = import_source_open(f->path, &f->options, &error);
  if (source == NULL || !import_source_scan(source, NULL, NULL, &error))
    return g_strdup(error->message + strlen(f->path) + 2);
  GString *out = g_string_new(NULL);
  ImportBatch batch;
  for (;;) {
    g_autoptr(WriteBuilder) builder = write_builder_new();
    ck_assert(import_source_fill(source, max_rows, G_MAXSIZE, builder, &batch, NULL));
    if (batch.rows == 0)
      break;
    g_autofree char *text = dump(builder);
    g_string_append_printf(out, "%s%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT " %s",
                           out->len > 0 ? "\n" : "", batch.rows, batch.points, text);
  }
  ck_assert_uint_eq(import_source_offset(source), import_source_size(source));
  return g_string_free(out, FALSE);
}

static void check_with(Fixture *f, guint max_rows, const char *wanted)
{
  g_autofree char *got = import(f, max_rows);
  ck_assert_str_eq(got, wanted);
}

static void check(const char *text, const char *wanted)
{
  Fixture f;
  fixture_begin(&f, text);
  check_with(&f, 1000, wanted);
  fixture_end(&f);
}

#define TABLET(times, columns)                                                                     \
  "{\"tablets\": [{\"device\": \"known\", \"times\": [" times "], \"columns\": [" columns "]}]}"
#define COLUMN(name, type, values)                                                                 \
  "{\"measurement\": \"" name "\", \"type\": \"" type "\", \"values\": [" values "]}"

START_TEST(types_come_from_the_whole_file)
{
  check("time,b,i,d,t\n1,true,1,1,1\n2,false,2,2.5,x\n",
        "2/8 " TABLET(
            "1, 2",
            COLUMN("b", "BOOLEAN", "true, false") ", " COLUMN("i", "INT64", "1, 2") ", " COLUMN(
                "d", "DOUBLE", "1.0, 2.5") ", " COLUMN("t", "TEXT", "\"1\", \"x\"")));
}
END_TEST

START_TEST(empty_cells_are_missing)
{
  check("time,a,b\n1,,2\n2,3,\n3,,\n4,,5\n",
        "4/3 " TABLET("1, 2, 4", COLUMN("a", "INT64", "null, 3, null") ", " COLUMN("b", "INT64",
                                                                                   "2, null, 5")));
  /* A quoted empty cell is a text where the column is one, and nothing elsewhere. */
  check("time,t:TEXT,i\n1,\"\",\"\"\n2,,7\n",
        "2/2 " TABLET("1, 2",
                      COLUMN("t", "TEXT", "\"\", null") ", " COLUMN("i", "INT64", "null, 7")));
  check("time,a\n1,\n", "1/0 {}");
}
END_TEST

START_TEST(rows_keep_their_order_in_batches)
{
  Fixture f;
  fixture_begin(&f, "time,a\n5,1\n5,2\n1,3\n5,4\n5,5\n");
  check_with(&f, 2,
             "2/2 " TABLET("5, 5",
                           COLUMN("a", "INT64",
                                  "1, 2")) "\n"
                                           "2/2 " TABLET(
                                               "1, 5",
                                               COLUMN("a", "INT64",
                                                      "3, 4")) "\n"
                                                               "1/1 " TABLET(
                                                                   "5", COLUMN("a", "INT64", "5")));
  fixture_end(&f);
}
END_TEST

START_TEST(a_known_type_is_kept)
{
  Fixture f;
  fixture_begin(&f, "time,a,b\n1,1,1\n");
  f.server_type = "a=FLOAT";
  check_with(&f, 10,
             "1/2 " TABLET("1", COLUMN("a", "FLOAT", "1.0") ", " COLUMN("b", "INT64", "1")));
  f.server_type = "a=TEXT";
  check_with(&f, 10,
             "1/2 " TABLET("1", COLUMN("a", "TEXT", "\"1\"") ", " COLUMN("b", "INT64", "1")));
  fixture_end(&f);
  fixture_begin(&f, "time,a\n1,1\n2,1.5\n");
  f.server_type = "a=INT32";
  check_with(&f, 10, "line 3: a: \"1.5\" is no INT32");
  fixture_end(&f);
  fixture_begin(&f, "time,a:INT64\n1,1\n");
  f.server_type = "a=INT32";
  check_with(&f, 10, "line 2: known.a is INT32 on the server, not INT64");
  fixture_end(&f);
}
END_TEST

START_TEST(given_types)
{
  check("time,a:FLOAT,b:c\n1,1,2\n",
        "1/2 " TABLET("1", COLUMN("a", "FLOAT", "1.0") ", " COLUMN("b:c", "INT64", "2")));
  Fixture f;
  fixture_begin(&f, "time,a\n1,300\n");
  f.options.types = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(f.options.types, (char *)"a", GINT_TO_POINTER(DATA_INT32));
  check_with(&f, 10, "1/1 " TABLET("1", COLUMN("a", "INT32", "300")));
  g_hash_table_unref(f.options.types);
  fixture_end(&f);
}
END_TEST

START_TEST(time_columns)
{
  check("a,Timestamp\n7,2026-01-02 03:04:05.678\n",
        "1/1 " TABLET("1767323045678", COLUMN("a", "INT64", "7")));
  /* As other tools write their index. */
  check(",a\n-3,7\n", "1/1 " TABLET("-3", COLUMN("a", "INT64", "7")));
  check("when,a\n-3,7\n", "1/1 " TABLET("-3", COLUMN("a", "INT64", "7")));
  Fixture f;
  fixture_begin(&f, "time,when\n7,5\n");
  f.options.time_column = "when";
  check_with(&f, 10, "1/1 " TABLET("5", COLUMN("time", "INT64", "7")));
  f.options.time_column = "where";
  check_with(&f, 10, "--time-column: there is no column \"where\"");
  fixture_end(&f);
}
END_TEST

START_TEST(units_of_integers)
{
  Fixture f;
  fixture_begin(&f, "time,a\n-5,1\n");
  f.options.times.unit = 1;
  check_with(&f, 10, "1/1 " TABLET("-5000", COLUMN("a", "INT64", "1")));
  f.options.times.unit = 1000000;
  check_with(&f, 10, "line 2: time \"-5\" is finer than the cluster's precision");
  f.options.times.round = TRUE;
  check_with(&f, 10, "1/1 " TABLET("-1", COLUMN("a", "INT64", "1")));
  fixture_end(&f);
  fixture_begin(&f, "time,a\n9223372036854775807,1\n");
  f.options.times.unit = 1;
  check_with(&f, 10,
             "line 2: time \"9223372036854775807\" is beyond the range of the cluster's times");
  fixture_end(&f);
}
END_TEST

START_TEST(several_devices)
{
  Fixture f;
  fixture_begin(&f, "device,time,a\nx,1,1\ny,1,2\nx,2,3\n");
  f.options.device = NULL;
  f.options.device_column = "device";
  check_with(
      &f, 10,
      "3/3 {\"tablets\": [{\"device\": \"x\", \"times\": [1, 2], \"columns\": [" COLUMN(
          "a", "INT64",
          "1, 3") "]}, {\"device\": \"y\", \"times\": [1], \"columns\": [" COLUMN("a", "INT64",
                                                                                  "2") "]}]}");
  ck_assert_uint_eq(f.lookups, 2);
  fixture_end(&f);
  fixture_begin(&f, "device,time,a\n,1,1\n");
  f.options.device_column = "device";
  check_with(&f, 10,
             "line 2: the name of the device is empty, too long, not UTF-8 or has control "
             "characters in it");
  fixture_end(&f);
  fixture_begin(&f, "device,time,a\n\"a\nb\",1,1\n");
  f.options.device_column = "device";
  check_with(&f, 10,
             "line 2: the name of the device is empty, too long, not UTF-8 or has control "
             "characters in it");
  fixture_end(&f);
  fixture_begin(&f, "device,time,a\nbroken,1,1\n");
  f.options.device_column = "device";
  check_with(&f, 10, "line 2: no server");
  fixture_end(&f);
}
END_TEST

START_TEST(mistakes_are_found_before_anything_is_sent)
{
  check("", "no line with the names of the columns");
  check("time,\n", "column 2 has no name");
  check("time,a,a\n", "two columns of the measurement \"a\"; a measurement has one type");
  check("time,a\n1,2\n3\n", "line 3: 1 cells, the head has 2");
  check("time,a\n1,2\n3,4,5\n", "line 3: 3 cells, the head has 2");
  check("time,a\n1,2\nyesterday,4\n",
        "line 3: \"yesterday\" is no time (an integer, or as 2026-01-02T03:04:05.678Z)");
  check("time,a\n1,\"x\n", "line 2: a quote is opened and never closed");
  check("time,a\n1,\xff\n", "line 2: a: text that is not UTF-8");
  check("time,a:INT32\n1,2\n2,x\n", "line 3: a: \"x\" is no INT32");
  check("time,a:NUMBER\n1,2\n",
        "column \"a:NUMBER\" names a type that there is not; the types are BOOLEAN, INT32, INT64, "
        "FLOAT, DOUBLE, TEXT");
  check(",time\n1,2\n", "column 1 has no name");
  check("time,a,\"b\tc\"\n1,2,3\n",
        "the name of column 3 is too long or has control characters in it");
  check("time,b\xC2\x85\n1,2\n",
        "the name of column 2 is too long or has control characters in it");
  g_autofree char *long_name = g_strnfill(256, 'x');
  g_autofree char *text = g_strdup_printf("time,%s\n1,2\n", long_name);
  check(text, "the name of column 2 is too long or has control characters in it");
  check("time,a\n", "");
}
END_TEST

START_TEST(goes_on_where_it_was)
{
  Fixture f;
  fixture_begin(&f, "time,a\n1,1\n\n2,2\n3,3\n");
  guint64 offset, line;
  guint32 checksum, again;
  {
    g_autoptr(ImportSource) source = import_source_open(f.path, &f.options, NULL);
    g_autoptr(WriteBuilder) builder = write_builder_new();
    ImportBatch batch;
    ck_assert(import_source_scan(source, NULL, NULL, NULL));
    ck_assert(import_source_fill(source, 2, G_MAXSIZE, builder, &batch, NULL));
    offset = import_source_offset(source);
    line = import_source_line(source);
    ck_assert(import_source_checksum_before(source, offset, &checksum, NULL));
  }
  ck_assert_uint_eq(line, 5);
  {
    g_autoptr(ImportSource) source = import_source_open(f.path, &f.options, NULL);
    g_autoptr(WriteBuilder) builder = write_builder_new();
    ImportBatch batch;
    ck_assert(import_source_scan(source, NULL, NULL, NULL));
    ck_assert(import_source_checksum_before(source, offset, &again, NULL));
    ck_assert_uint_eq(again, checksum);
    ck_assert(!import_source_checksum_before(source, 1000, &again, NULL));
    ck_assert(import_source_seek(source, offset, line, NULL));
    ck_assert(import_source_fill(source, 100, G_MAXSIZE, builder, &batch, NULL));
    g_autofree char *text = dump(builder);
    ck_assert_str_eq(text, TABLET("3", COLUMN("a", "INT64", "3")));
  }
  fixture_end(&f);
}
END_TEST

START_TEST(batches_are_bounded_by_bytes)
{
  Fixture f;
  fixture_begin(&f, "time,a\n1,xxxxxxxxxxxxxxxxxxxx\n2,y\n3,z\n");
  g_autoptr(ImportSource) source = import_source_open(f.path, &f.options, NULL);
  g_autoptr(WriteBuilder) builder = write_builder_new();
  ImportBatch batch;
  ck_assert(import_source_scan(source, NULL, NULL, NULL));
  ck_assert(import_source_fill(source, 100, 20, builder, &batch, NULL));
  ck_assert_uint_eq(batch.rows, 1);
  ck_assert(import_source_fill(source, 100, 20, builder, &batch, NULL));
  ck_assert_uint_eq(batch.rows, 2);
  fixture_end(&f);
}
END_TEST

START_TEST(state_reads_back)
{
  g_autofree char *directory = g_dir_make_tmp("synclog-import-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(directory, "state", NULL);
  gboolean found = TRUE;
  g_auto(ImportState) state = {.cluster = g_strdup("c=1\n"),
                               .group = 7,
                               .device = g_strdup(" d[x] "),
                               .head_checksum = G_MAXUINT32,
                               .tail_checksum = 1,
                               .offset = (guint64)5 << 40,
                               .line = 9,
                               .rows = 8,
                               .points = 64};
  g_auto(ImportState) back = {0};
  ck_assert(import_state_load(path, &back, &found, NULL));
  ck_assert(!found);
  ck_assert(import_state_save(&state, path, NULL));
  ck_assert(import_state_load(path, &back, &found, NULL));
  ck_assert(found);
  ck_assert_str_eq(back.cluster, state.cluster);
  ck_assert_str_eq(back.device, state.device);
  ck_assert_uint_eq(back.group, 7);
  ck_assert_uint_eq(back.head_checksum, G_MAXUINT32);
  ck_assert_uint_eq(back.offset, state.offset);
  ck_assert_uint_eq(back.points, 64);

  static const char *const wrong[] = {"", "x", "[import]\ncluster=a\n",
                                      "[import]\ncluster=a\noffset=-1\n"};
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_auto(ImportState) none = {0};
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_set_contents(path, wrong[i], -1, NULL));
    ck_assert(!import_state_load(path, &none, &found, &error));
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  }
  g_unlink(path);
  ck_assert_int_eq(g_rmdir(directory), 0);
}
END_TEST

START_TEST(file_names)
{
  static const char *const devices[] = {"d1",    "root/site a/x", ".hidden", "100%",
                                        "a%2Fb", "é.csv",         "tab\tx",  "%"};
  for (guint i = 0; i < G_N_ELEMENTS(devices); i++) {
    g_autofree char *name = file_name_of_device(devices[i]);
    g_autofree char *path = g_build_filename("/some/where", name, NULL);
    g_autofree char *back = device_of_path(path);
    ck_assert_str_eq(back, devices[i]);
    ck_assert_ptr_null(strchr(name, '/'));
  }
  g_autofree char *upper = device_of_path("x/D.CSV");
  ck_assert_str_eq(upper, "D");
  g_autofree char *other = device_of_path("x/d.txt");
  ck_assert_str_eq(other, "d.txt");
  ck_assert_ptr_null(device_of_path("a%00b.csv"));
  ck_assert_ptr_null(device_of_path("a%FFb.csv"));
}
END_TEST

/* The part of an export that is being written is called so with ".partial" behind. */
static gsize size_of_partial(const char *device)
{
  g_autofree char *name = file_name_of_device(device);
  return strlen(name) + strlen(".partial");
}

START_TEST(names_too_long_for_a_file)
{
  g_autofree char *longest = g_strnfill(255, 'd');
  g_autofree char *other = g_strnfill(254, 'd');
  g_autofree char *escaped = g_strnfill(255, '/');
  const char *const devices[] = {longest, other, escaped};
  for (guint i = 0; i < G_N_ELEMENTS(devices); i++) {
    g_autofree char *name = file_name_of_device(devices[i]);
    ck_assert_uint_le(size_of_partial(devices[i]), NAME_MAX);
    ck_assert_ptr_null(device_of_path(name));
    for (guint k = 0; k < i; k++) {
      g_autofree char *former = file_name_of_device(devices[k]);
      ck_assert_str_ne(name, former);
    }
  }
  g_autofree char *fits = g_strnfill(NAME_MAX - strlen(".csv.partial"), 'd');
  g_autofree char *name = file_name_of_device(fits);
  g_autofree char *back = device_of_path(name);
  ck_assert_str_eq(back, fits);
  ck_assert_uint_eq(size_of_partial(fits), NAME_MAX);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {types_come_from_the_whole_file,
                                empty_cells_are_missing,
                                rows_keep_their_order_in_batches,
                                a_known_type_is_kept,
                                given_types,
                                time_columns,
                                units_of_integers,
                                several_devices,
                                mistakes_are_found_before_anything_is_sent,
                                goes_on_where_it_was,
                                batches_are_bounded_by_bytes,
                                state_reads_back,
                                file_names,
                                names_too_long_for_a_file};
  return RUN_SUITE("import", tests);
}
