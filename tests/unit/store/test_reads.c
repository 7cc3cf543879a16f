/* What reads must answer, checked on both implementations. */
#include "tools.h"

#include <math.h>

static const LogId log_1 = {1, 1000};

static void fill(Store *store, guint rows)
{
  TestWrite write = {0};
  for (guint i = 0; i < rows; i++) {
    if (i % 2 == 0)
      tw_cell(&write, "d", (gint64)i * 10, "a", TW_INT32((gint32)i));
    if (i % 3 == 0)
      tw_cell(&write, "d", (gint64)i * 10, "b", TW_INT32((gint32)i));
  }
  apply_write(store, log_1, 1, 10, &write);
}

static void check_pages(Store *store)
{
  static const char *const only_b[] = {"b", NULL};
  fill(store, 100); /* 67 rows with a value, 50 of a, 34 of b */
  for (guint limit = 1; limit < 70; limit++) {
    for (guint descending = 0; descending < 2; descending++) {
      Query query = {.device = "d",
                     .start_time = -5,
                     .end_time = 2000,
                     .limit = 1000,
                     .descending = (gboolean)descending};
      g_autofree char *whole = query_text(store, &query);
      query.limit = limit;
      g_autofree char *paged = query_text(store, &query);
      ck_assert_str_eq(whole, paged);
      query.measurements = only_b;
      query.limit = 1000;
      g_autofree char *whole_b = query_text(store, &query);
      query.limit = limit;
      g_autofree char *paged_b = query_text(store, &query);
      ck_assert_str_eq(whole_b, paged_b);
    }
  }
  /* The last full page has nothing behind it. */
  Query query = {.device = "d", .end_time = 2000, .limit = 67};
  g_autoptr(Table) exact = store_query(store, &query, NULL);
  ck_assert_uint_eq(exact->timestamps->len, 67);
  ck_assert_ptr_null(exact->next_page);
  query.limit = 66;
  g_autoptr(Table) almost = store_query(store, &query, NULL);
  ck_assert_ptr_nonnull(almost->next_page);
}

START_TEST(pages_join_without_gaps)
{
  with_both(check_pages);
}
END_TEST

static void check_page_is_checked(Store *store)
{
  fill(store, 100);
  Query query = {.device = "d", .end_time = 2000, .limit = 5};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  gsize size;
  const guint8 *page = g_bytes_get_data(table->next_page, &size);
  for (gsize shorter = 0; shorter < size; shorter++) {
    g_autoptr(GBytes) cut = g_bytes_new(page, shorter);
    g_autoptr(GError) error = NULL;
    query.page = cut;
    ck_assert_ptr_null(store_query(store, &query, &error));
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  }
  query.page = table->next_page;
  query.descending = TRUE; /* not the query that it was given to */
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_query(store, &query, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
}

START_TEST(pages_are_checked)
{
  with_both(check_page_is_checked);
}
END_TEST

static void check_ranges(Store *store)
{
  fill(store, 40);
  static const char *const unknown[] = {"none", NULL};
  static const char *const some[] = {"a", "none", NULL};
  Query query = {.device = "d", .start_time = 20, .end_time = 40, .limit = 10};
  check_text(query_text(store, &query), "20: a=2\n30: b=3\n40: a=4\n");
  query.measurements = some;
  check_text(query_text(store, &query), "20: a=2\n40: a=4\n");
  query.measurements = unknown;
  check_text(query_text(store, &query), "");
  query.measurements = NULL;
  query.start_time = query.end_time = 60;
  check_text(query_text(store, &query), "60: a=6 b=6\n");
  query.start_time = 61;
  check_text(query_text(store, &query), "");
  query.device = "none";
  check_text(query_text(store, &query), "");
  check_text(last_text(store, "none", NULL), "");
  check_text(last_text(store, "d", some), "a INT32 380=38\n");
  AggregateQuery aggregate = {.device = "none", .measurement = "a", .end_time = 9, .limit = 9};
  check_text(aggregate_text(store, &aggregate), "DOUBLE\n");
  aggregate.device = "d";
  aggregate.measurement = "none";
  check_text(aggregate_text(store, &aggregate), "DOUBLE\n");
}

START_TEST(ranges_include_both_ends)
{
  with_both(check_ranges);
}
END_TEST

static void check_aggregates(Store *store)
{
  static const gint64 numbers[] = {G_MAXINT64, G_MAXINT64 - 1, G_MININT64 + 1, G_MININT64, 0};
  static const double doubles[] = {NAN, 3, -1, NAN, 0.5};
  TestWrite write = {0};
  for (guint i = 0; i < 5; i++) {
    tw_cell(&write, "d", i * 40, "int", TW_INT64(numbers[i]));
    tw_cell(&write, "d", i * 40, "float", TW_FLOAT64(doubles[i]));
    tw_cell(&write, "d", i * 40, "bool", TW_BOOLEAN(i % 2 == 0));
    tw_cell(&write, "d", i * 40, "text", TW_TEXT(i % 2 == 0 ? "x" : "y"));
  }
  apply_write(store, log_1, 1, 10, &write);
  AggregateQuery query = {
      .device = "d", .measurement = "int", .start_time = -10, .end_time = 1000, .limit = 100};
  check_text(aggregate_text(store, &query),
             "INT64\n-10: n=5 sum=0 avg=0 min=-9223372036854775808 max=9223372036854775807 "
             "first=0/9223372036854775807 last=160/0\n");
  query.window = 80; /* -10, 70, 150 */
  check_text(aggregate_text(store, &query),
             "INT64\n-10: n=2 sum=1.8446744073709552e+19 avg=9.2233720368547758e+18 "
             "min=9223372036854775806 max=9223372036854775807 first=0/9223372036854775807 "
             "last=40/9223372036854775806\n"
             "70: n=2 sum=-1.8446744073709552e+19 avg=-9.2233720368547758e+18 "
             "min=-9223372036854775808 max=-9223372036854775807 first=80/-9223372036854775807 "
             "last=120/-9223372036854775808\n"
             "150: n=1 sum=0 avg=0 min=0 max=0 first=160/0 last=160/0\n");
  query.measurement = "bool";
  query.limit = 2;
  check_text(aggregate_text(store, &query),
             "BOOLEAN\n-10: n=2 sum=1 avg=0.5 min=false max=true first=0/true last=40/false\n"
             "70: n=2 sum=1 avg=0.5 min=false max=true first=80/true last=120/false\n"
             "more from 150\n");
  query.start_time = 150;
  check_text(aggregate_text(store, &query),
             "BOOLEAN\n150: n=1 sum=1 avg=1 min=true max=true first=160/true last=160/true\n");
  query.measurement = "text";
  query.start_time = 0;
  query.window = 0;
  check_text(aggregate_text(store, &query), "TEXT\n0: n=5 first=0/'x' last=160/'x'\n");
  query.measurement = "float";
  query.window = 40;
  query.limit = 100;
  g_autoptr(Aggregate) floats = store_aggregate(store, &query, NULL);
  ck_assert_uint_eq(floats->windows->len, 5);
  const Window *alone = &g_array_index(floats->windows, Window, 0);
  ck_assert(isnan(alone->sum) && isnan(alone->min.float64) && isnan(alone->max.float64));
  query.window = 0;
  g_autoptr(Aggregate) all = store_aggregate(store, &query, NULL);
  const Window *window = &g_array_index(all->windows, Window, 0);
  ck_assert(isnan(window->sum) && isnan(window->avg) && isnan(window->first.float64));
  ck_assert(window->min.float64 == -1 && window->max.float64 == 3 && window->last.float64 == 0.5);
}

START_TEST(aggregates)
{
  with_both(check_aggregates);
}
END_TEST

/* Windows over the whole range of time, whose length no signed number holds. */
static void check_wide_windows(Store *store)
{
  TestWrite write = {0};
  tw_cell(&write, "d", G_MININT64, "m", TW_INT32(1));
  tw_cell(&write, "d", -1, "m", TW_INT32(2));
  tw_cell(&write, "d", 0, "m", TW_INT32(3));
  tw_cell(&write, "d", G_MAXINT64, "m", TW_INT32(4));
  apply_write(store, log_1, 1, 10, &write);
  AggregateQuery query = {.device = "d",
                          .measurement = "m",
                          .start_time = G_MININT64,
                          .end_time = G_MAXINT64,
                          .window = (guint64)1 << 63,
                          .limit = 9};
  check_text(aggregate_text(store, &query),
             "INT32\n-9223372036854775808: n=2 sum=3 avg=1.5 min=1 max=2 "
             "first=-9223372036854775808/1 last=-1/2\n"
             "0: n=2 sum=7 avg=3.5 min=3 max=4 first=0/3 last=9223372036854775807/4\n");
}

START_TEST(windows_over_the_whole_range)
{
  with_both(check_wide_windows);
}
END_TEST

static void check_series(Store *store)
{
  TestWrite write = {0};
  static const char *const devices[] = {"b", "a.2", "a", "a.1", "ab", "c"};
  for (guint i = 0; i < G_N_ELEMENTS(devices); i++) {
    tw_cell(&write, devices[i], 1, "z", TW_INT32(1));
    tw_cell(&write, devices[i], 1, "m", TW_TEXT(""));
  }
  apply_write(store, log_1, 1, 10, &write);
  tw_delete(&write, "c", NULL, 0, 9);
  apply_write(store, log_1, 2, 11, &write);
  check_text(series_text(store, NULL, NULL, 2), "a: m/TEXT z/INT32\na.1: m/TEXT z/INT32\nmore\n");
  check_text(series_text(store, NULL, "a.1", 2), "a.2: m/TEXT z/INT32\nab: m/TEXT z/INT32\nmore\n");
  check_text(series_text(store, NULL, "ab", 2), "b: m/TEXT z/INT32\nc: m/TEXT z/INT32\n");
  check_text(series_text(store, NULL, "c", 2), "");
  check_text(series_text(store, "a.", NULL, 2), "a.1: m/TEXT z/INT32\na.2: m/TEXT z/INT32\n");
  check_text(series_text(store, "a.", "a.1", 9), "a.2: m/TEXT z/INT32\n");
  check_text(series_text(store, "a.", "0", 9), "a.1: m/TEXT z/INT32\na.2: m/TEXT z/INT32\n");
  check_text(series_text(store, "x", NULL, 9), "");
}

START_TEST(series_are_sorted_and_paged)
{
  with_both(check_series);
}
END_TEST

/* --- out of chunks ------------------------------------------------------------------------------
 */

/* Rows in the middle of chunks, whatever GLib leaves in the memory that it gives back. */
static void check_middles(Store *store, Store *mem, guint limit)
{
  for (gint64 first = 0; first < 100; first += 7) {
    for (gint64 last = first; last < 100; last += 9) {
      Query query = {.device = "d", .start_time = first, .end_time = last, .limit = limit};
      g_autofree char *wanted = query_text(mem, &query);
      check_text(query_text(store, &query), wanted);
    }
  }
}

START_TEST(rows_in_the_middle_of_chunks)
{
  gboolean before = g_mem_gc_friendly;
  g_autofree char *directory = make_directory();
  Store *store = open_rocks_chunking(directory, 2), *mem = open_mem();
  guint64 index = 0;
  for (gint64 i = 0; i < 200; i++) {
    const char *const names[] = {"a", "b"};
    const Value values[] = {TW_INT64(i), TW_FLOAT64((double)i)};
    Store *const both[] = {store, mem};
    index++;
    for (guint k = 0; k < G_N_ELEMENTS(both); k++) {
      TestWrite write = {0};
      tw_row(&write, "d", i, 2, names, values);
      apply_write(both[k], log_1, index, 10 + index, &write);
    }
  }
  gboolean more = TRUE;
  while (more)
    fast_assert(store_find_conflicts(store, 1, 1 << 20, &more, NULL));
  for (more = TRUE; more;)
    fast_assert(store_maintain(store, 10 + index, 1 << 20, &more, NULL));
  ck_assert_uint_gt(stats_of(store).chunks.chunks, 0);
  check_middles(store, mem, 1000);
  g_mem_gc_friendly = TRUE; /* as G_DEBUG=gc-friendly */
  check_middles(store, mem, 1000);
  check_middles(store, mem, 5);
  g_mem_gc_friendly = before;
  store_close(store);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {pages_join_without_gaps,      pages_are_checked,
                                ranges_include_both_ends,     aggregates,
                                windows_over_the_whole_range, series_are_sorted_and_paged,
                                rows_in_the_middle_of_chunks};
  return RUN_SUITE("reads", tests);
}
