/*
 * Bytes as a CSV file to import. What the first pass lets through the second one sends, row for
 * row, and the node takes every write that is made of it; what was sent can be shown as JSON.
 */
#include "base/times.c"
#include "ctl/csv.c"
#include "ctl/import_source.c"
#include "ctl/json.c"
#include "ctl/values.c"
#include "ctl/write_dump.c"

#include "fuzz/fuzz.h"
#include "rpc/write_builder.h"
#include "store/store.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BATCHES_MOST = 5000, MAX_BYTES = 64 * 1024 };

/* The device "known" has two measurements already. */
static Device *lookup(gpointer ctx, const char *name, GError **error)
{
  (void)ctx;
  if (strcmp(name, "broken") == 0) {
    fail(error, SYNCLOG_NOT_READY, "no server");
    return NULL;
  }
  if (strcmp(name, "known") != 0)
    return NULL;
  Device *device = g_new0(Device, 1);
  Measurement number = {g_strdup("i"), DATA_INT32, FALSE}, text = {g_strdup("t"), DATA_TEXT, FALSE};
  device->name = g_strdup(name);
  device->measurements = g_array_new(FALSE, FALSE, sizeof(Measurement));
  g_array_append_val(device->measurements, number);
  g_array_append_val(device->measurements, text);
  return device;
}

/* Lines that a person could be shown. */
static void check_error(const GError *error, const char *path)
{
  g_assert(error != NULL && error->domain == SYNCLOG_ERROR);
  g_assert(strstr(error->message, path) != NULL || error->code == SYNCLOG_NOT_READY);
}

static void check_json(const GByteArray *bytes, const ImportBatch *batch)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  JsonWriter *json = json_writer_new(out);
  WriteSummary summary;
  gboolean shown = write_dump(bytes->data, bytes->len, json, NULL, &summary);
  json_writer_free(json);
  fclose(out);
  g_assert(shown && summary.rows == 0 && summary.tablet_rows <= batch->rows);
  free(text);
}

static void check_write(const WriteBuilder *builder, const ImportBatch *batch)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  g_assert(batch->points == 0 || bytes->len == write_builder_size(builder));
  g_autoptr(GError) error = NULL;
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, 100, &error);
  if (batch->points == 0) {
    g_assert(decoded == NULL);
    return;
  }
  g_assert_no_error(error);
  g_assert(store_decoded_points(decoded) == batch->points);
  check_json(bytes, batch);
}

static void count_call(gpointer ctx)
{
  ++*(guint *)ctx;
}

static void run_source(ImportSource *source, guint max_rows, const char *path)
{
  g_autoptr(GError) error = NULL;
  guint calls = 0;
  if (!import_source_scan(source, count_call, &calls, &error)) {
    check_error(error, path);
    return;
  }
  ImportBatch batch = {0};
  for (guint batches = 0;; batches++) {
    g_assert(batches < BATCHES_MOST);
    g_autoptr(WriteBuilder) builder = write_builder_new();
    gboolean filled = import_source_fill(source, max_rows, MAX_BYTES, builder, &batch, &error);
    g_assert_no_error(error);
    g_assert(filled && batch.rows <= max_rows);
    if (batch.rows == 0)
      break;
    check_write(builder, &batch);
  }
  g_assert(import_source_offset(source) == import_source_size(source));
  for (guint i = 0; i < import_source_column_count(source); i++) {
    DataType type;
    g_assert(import_source_column(source, i, &type) != NULL && data_type_name((int)type) != NULL);
  }
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  static const gint64 units[] = {1, 1000, 1000000, 1000000000};
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in), numbers = fuzz_u8(&in);
  ImportOptions import = {.delimiter = options & 1 ? ';' : ',',
                          .device = options & 2 ? NULL : "known",
                          .device_column = options & 2 ? "device" : NULL,
                          .time_column = options & 4 ? "at" : NULL,
                          .times = {units[1 + numbers % 3], units[numbers / 4 % 4], options >> 7},
                          .lookup = lookup};
  int fd = memfd_create("csv", MFD_CLOEXEC);
  g_assert(fd >= 0 && write(fd, in.bytes, in.left) == (ssize_t)in.left);
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
  g_autoptr(GError) error = NULL;
  ImportSource *source = import_source_open(path, &import, &error);
  if (source != NULL)
    run_source(source, 1 + numbers / 16, path);
  else
    check_error(error, path);
  import_source_free(source);
  close(fd);
}

static void give_seed(const char *name, guint options, guint numbers, const char *text)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, options, 1);
  seed_number(out, numbers, 1);
  g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
  seed_end(name, out);
}

void fuzz_seeds(void)
{
  give_seed("types", 0, 4, "time,i,t,b,d,n:FLOAT\n1,2,x,true,2.5,1e3\n2,,\"\",false,NaN,\n");
  give_seed("devices", 2, 4, "device,time,a\nknown,1,2\nother,2,x\nknown,3,\n");
  give_seed("stamps", 4, 0, "at,a\n2026-01-02T03:04:05Z,1\n2026-01-02 03:04+01:30,2\n-5,3\n");
  give_seed("semicolons", 1, 37, "time;a\n5;1\n5;2\n1;3\n");
}
