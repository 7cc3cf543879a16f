#include "node/line_batch.h"
#include "store/store.h"
#include "support/suite.h"

#include <string.h>

static void add_lines(LineBatch *batch, const char *text)
{
  g_autoptr(LineReader) reader = line_reader_new(text, strlen(text));
  LinePoint point;
  while (line_reader_next(reader, &point, NULL) == LINE_POINT) {
    gsize size;
    const char *line = line_reader_text(reader, &size);
    line_batch_add(batch, &point, point.time, line, size);
  }
  line_batch_sort(batch);
}

static Store *store_of(const LineBatch *batch)
{
  g_autoptr(WriteBuilder) builder = write_builder_new();
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  g_autoptr(GError) error = NULL;
  ck_assert(line_batch_put(batch, builder));
  write_builder_encode(builder, bytes);
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, 1000, &error);
  ck_assert_msg(decoded != NULL, "%s", error != NULL ? error->message : "");
  Store *store = store_mem_new(&(StoreOptions){.partition_interval = 1000});
  StoreEntry entry = {.log = {1, 1}, .index = 1, .hlc = 1, .decoded = decoded};
  ck_assert(store_apply(store, &entry, 1, &error));
  return store;
}

static double value_at(Store *store, const char *device, const char *measurement, gint64 time)
{
  const char *names[] = {measurement, NULL};
  Query query = {
      .device = device, .measurements = names, .start_time = time, .end_time = time, .limit = 10};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  ck_assert_uint_eq(table->timestamps->len, 1);
  Value value;
  ck_assert(column_get(table->columns->pdata[0], 0, &value));
  ck_assert_int_eq(value.type, DATA_DOUBLE);
  return value.float64;
}

START_TEST(equal_lines_are_one_run)
{
  g_autoptr(LineBatch) batch = line_batch_new();
  add_lines(batch, "a f=1 1\nb f=1 1\na f=2 2\nb g=1 2\na f=1i 3\na f=3 4\nb g=2 3\n");
  ck_assert_uint_eq(line_batch_runs(batch), 5);
  guint lines[] = {2, 1, 1, 1, 2};
  for (guint i = 0; i < 5; i++)
    ck_assert_uint_eq(line_batch_run_lines(batch, i), lines[i]);
  gsize size;
  const char *line = line_batch_line(batch, 4, 1, &size);
  ck_assert(size == 7 && memcmp(line, "b g=2 3", 7) == 0);
}
END_TEST

START_TEST(the_later_line_holds)
{
  g_autoptr(LineBatch) batch = line_batch_new();
  add_lines(batch, "d f=1 5\ne f=9 5\nd f=2,g=7 5\nd f=3 5\nd g=8 6\nd f=4,g=9 6\n");
  g_autoptr(Store) store = store_of(batch);
  ck_assert(value_at(store, "d", "f", 5) == 3);
  ck_assert(value_at(store, "d", "g", 5) == 7);
  ck_assert(value_at(store, "d", "f", 6) == 4);
  ck_assert(value_at(store, "d", "g", 6) == 9);
  ck_assert(value_at(store, "e", "f", 5) == 9);
}
END_TEST

START_TEST(a_dropped_run_is_left_out)
{
  g_autoptr(LineBatch) batch = line_batch_new();
  add_lines(batch, "a f=1 1\nb f=2 1\n");
  line_batch_drop(batch, 0);
  g_autoptr(Store) store = store_of(batch);
  ck_assert(value_at(store, "b", "f", 1) == 2);
  gboolean more;
  g_autoptr(GPtrArray) devices = store_series(store, NULL, NULL, 10, &more, NULL);
  ck_assert_uint_eq(devices->len, 1);
  line_batch_drop(batch, 1);
  g_autoptr(WriteBuilder) builder = write_builder_new();
  ck_assert(!line_batch_put(batch, builder));
  line_batch_clear(batch);
  ck_assert_uint_eq(line_batch_size(batch), 0);
}
END_TEST

START_TEST(texts_and_truths)
{
  g_autoptr(LineBatch) batch = line_batch_new();
  add_lines(batch, "d s=\"x\",b=t,i=5i 1\nd s=\"\",b=f,i=-6i 2\n");
  g_autoptr(Store) store = store_of(batch);
  Query query = {.device = "d", .start_time = 1, .end_time = 2, .limit = 10};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  ck_assert_uint_eq(table->timestamps->len, 2);
  Value value;
  ck_assert(column_get(table->columns->pdata[0], 1, &value) && !value.boolean);
  ck_assert(column_get(table->columns->pdata[1], 1, &value) && value.int64 == -6);
  ck_assert(column_get(table->columns->pdata[2], 0, &value));
  ck_assert_str_eq(value.text.bytes, "x");
  value_clear(&value);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {equal_lines_are_one_run, the_later_line_holds,
                                a_dropped_run_is_left_out, texts_and_truths};
  return RUN_SUITE("line_batch", tests);
}
