/*
 * Last values from memory: whatever is applied in whatever order, they are those of the reference;
 * memory is bounded; a fill that something was taken away from is of no use.
 */
#include "history.h"
#include "store/last_cache.h"

static void check_last(GRand *random, Store *store, Store *mem)
{
  const char *device = devices[g_rand_int_range(random, 0, DEVICES)];
  const char *names[] = {measurements[g_rand_int_range(random, 0, MEASUREMENTS)],
                         measurements[g_rand_int_range(random, 0, MEASUREMENTS)], NULL};
  const char *const *asked = g_rand_boolean(random) ? names : NULL;
  g_autofree char *x = last_text(store, device, asked), *y = last_text(mem, device, asked);
  check_same_text(x, y);
}

/* After each entry, of logs in any order, with chunks and deletes carried out in between. */
START_TEST(p3_they_are_those_of_the_reference)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(4711 + (guint32)_i);
  History *history = history_new(random);
  g_autofree char *directory = make_directory();
  Store *store = open_rocks_chunking(directory, _i % 2 == 0 ? 2 : 0), *mem = open_mem();
  guint64 next[LOGS] = {0};
  for (guint left = LOGS * ENTRIES; left > 0;) {
    guint log = (guint)g_rand_int_range(random, 0, LOGS);
    if (next[log] == ENTRIES)
      continue;
    guint64 at = next[log]++;
    left--;
    apply_bytes(store, logs[log], at + 1, history->hlcs[log][at], history->writes[log][at]);
    apply_bytes(mem, logs[log], at + 1, history->hlcs[log][at], history->writes[log][at]);
    if (g_rand_int_range(random, 0, 10) == 0)
      maintain(store, history_horizon(history, next), 1000);
    for (gint32 n = g_rand_int_range(random, 0, 4); n > 0; n--)
      check_last(random, store, mem);
  }
  store_close(store);
  store_close(mem);
  remove_tree(directory);
  history_free(history);
}
END_TEST

/* --- the cache alone ----------------------------------------------------------------------------
 */

static GArray *columns_of(guint count, DataType type)
{
  GArray *columns = g_array_new(FALSE, FALSE, sizeof(SchemaColumn));
  for (guint i = 0; i < count; i++) {
    SchemaColumn column = {.measurement = i + 1, .type = type, .name = "m"};
    g_array_append_val(columns, column);
  }
  return columns;
}

static void cell_clear(gpointer cell)
{
  last_cell_clear(cell);
}

/* What a reader found: the number at that time in all columns. */
static void end_fill(LastCache *cache, guint32 device, guint64 begun, const GArray *columns,
                     gint64 time, guint64 hlc)
{
  g_autoptr(GArray) cells = g_array_new(FALSE, TRUE, sizeof(LastCell));
  g_array_set_clear_func(cells, cell_clear);
  g_array_set_size(cells, columns->len);
  guint8 packed[8];
  store_le64(packed, hlc);
  for (guint i = 0; i < columns->len; i++)
    last_cell_set(&g_array_index(cells, LastCell, i), DATA_INT64, time, &(Version){hlc, 1, 0},
                  packed, sizeof packed);
  last_cache_end(cache, device, begun, columns, cells);
}

static void fill(LastCache *cache, guint32 device, const GArray *columns)
{
  end_fill(cache, device, last_cache_begin(cache, device, columns), columns, 10, 100);
}

/* The time of the first column's last value; -1: it is not known. */
static gint64 time_of(LastCache *cache, guint32 device, const GArray *columns)
{
  g_autoptr(GArray) cells = last_cache_get(cache, device, columns);
  return cells != NULL ? g_array_index(cells, LastCell, 0).time : -1;
}

START_TEST(memory_is_bounded)
{
  enum { BYTES = 20000, MANY = 1000 };
  LastCache *cache = last_cache_new(BYTES);
  g_autoptr(GArray) columns = columns_of(5, DATA_INT64), wide = columns_of(1000, DATA_INT64);
  for (guint32 device = 1; device <= MANY; device++) {
    fill(cache, device, columns);
    ck_assert_int_eq(time_of(cache, 1, columns), 10); /* it is asked for all the time */
    ck_assert_uint_le(last_cache_bytes(cache), BYTES);
  }
  ck_assert_uint_gt(last_cache_bytes(cache), BYTES / 2);
  ck_assert_int_eq(time_of(cache, 2, columns), -1);
  ck_assert_int_eq(time_of(cache, MANY, columns), 10);
  fill(cache, 1, wide); /* more than there is room for */
  ck_assert_uint_le(last_cache_bytes(cache), BYTES);
  ck_assert_int_eq(time_of(cache, 1, wide), -1);
  last_cache_free(cache);
}
END_TEST

static void shuffle(GRand *random, GArray *columns)
{
  for (guint i = columns->len; i > 1; i--) {
    guint k = (guint)g_rand_int_range(random, 0, (gint32)i);
    SchemaColumn *a = &g_array_index(columns, SchemaColumn, i - 1),
                 *b = &g_array_index(columns, SchemaColumn, k), other = *a;
    *a = *b;
    *b = other;
  }
}

START_TEST(a_device_of_too_many_columns_takes_no_room)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  LastCache *cache = last_cache_new(LAST_CACHE_BYTES);
  g_autoptr(GArray) columns = columns_of(5, DATA_INT64), most = columns_of(5000, DATA_INT64),
                    wide = columns_of(LAST_CACHE_BYTES / 100, DATA_INT64);
  shuffle(random, most);
  shuffle(random, wide);
  fill(cache, 1, columns);
  fill(cache, 2, columns);
  gsize bytes = last_cache_bytes(cache);
  ck_assert_uint_eq(last_cache_begin(cache, 2, wide), 0);
  ck_assert_uint_eq(last_cache_begin(cache, 3, wide), 0);
  ck_assert_uint_eq(last_cache_bytes(cache), bytes);
  ck_assert_int_eq(time_of(cache, 1, columns), 10); /* nobody had to go for it */
  ck_assert_int_eq(time_of(cache, 2, columns), 10);
  fill(cache, 2, most); /* what is there already counts too, once */
  ck_assert_int_eq(time_of(cache, 2, most), 10);
  ck_assert_int_eq(time_of(cache, 2, columns), 10);
  last_cache_forget(cache, 2);
  last_cache_forget(cache, 1);
  ck_assert_uint_eq(last_cache_bytes(cache), 0);
  last_cache_free(cache);
}
END_TEST

/* Each column has its own value, in whatever order and however often they are asked for. */
START_TEST(columns_come_in_any_order)
{
  enum { COLUMNS = 300 };
  g_autoptr(GRand) random = g_rand_new_with_seed(12);
  LastCache *cache = last_cache_new(LAST_CACHE_BYTES);
  g_autoptr(GArray) all = columns_of(COLUMNS, DATA_INT64);
  for (guint tries = 0; tries < 50; tries++) {
    g_autoptr(GArray) some = g_array_new(FALSE, FALSE, sizeof(SchemaColumn));
    g_autoptr(GArray) cells = g_array_new(FALSE, TRUE, sizeof(LastCell));
    shuffle(random, all);
    g_array_append_vals(some, all->data, 1 + tries);
    g_array_append_vals(some, all->data, 1); /* twice */
    guint64 begun = last_cache_begin(cache, 1, some);
    g_array_set_size(cells, some->len);
    for (guint i = 0; i < some->len; i++) {
      gint64 time = g_array_index(some, SchemaColumn, i).measurement;
      last_cell_set(&g_array_index(cells, LastCell, i), DATA_INT64, time, &(Version){1, 1, 0},
                    (const guint8[8]){0}, 8);
    }
    last_cache_end(cache, 1, begun, some, cells);
    g_autoptr(GArray) found = last_cache_get(cache, 1, some);
    ck_assert_ptr_nonnull(found);
    for (guint i = 0; i < some->len; i++)
      ck_assert_int_eq(g_array_index(found, LastCell, i).time,
                       g_array_index(some, SchemaColumn, i).measurement);
  }
  last_cache_free(cache);
}
END_TEST

static void set_text(LastCache *cache, const GArray *columns, gint64 time, gsize size)
{
  g_autofree guint8 *text = g_malloc0(size);
  LastCell cell = {0};
  last_cell_set(&cell, DATA_TEXT, time, &(Version){1, 1, 0}, text, size);
  g_autoptr(GArray) cells = g_array_new(FALSE, TRUE, sizeof(LastCell));
  g_array_set_clear_func(cells, cell_clear);
  g_array_append_val(cells, cell);
  last_cache_end(cache, 1, last_cache_begin(cache, 1, columns), columns, cells);
}

START_TEST(texts_count_as_long_as_they_are_there)
{
  LastCache *cache = last_cache_new(LAST_CACHE_BYTES);
  g_autoptr(GArray) columns = columns_of(1, DATA_TEXT);
  set_text(cache, columns, 1, 10);
  gsize bytes = last_cache_bytes(cache);
  set_text(cache, columns, 2, 100000);
  ck_assert_uint_eq(last_cache_bytes(cache), bytes + 100000 - 10);
  set_text(cache, columns, 1, 500); /* older: it is not taken */
  ck_assert_uint_eq(last_cache_bytes(cache), bytes + 100000 - 10);
  set_text(cache, columns, 3, 10);
  ck_assert_uint_eq(last_cache_bytes(cache), bytes);
  last_cache_forget(cache, 1);
  ck_assert_uint_eq(last_cache_bytes(cache), 0);
  last_cache_free(cache);
}
END_TEST

static Tombstone delete_of(gint64 from, gint64 to, guint64 hlc)
{
  return (Tombstone){.version = {hlc, 1, 0}, .start_time = from, .end_time = to};
}

START_TEST(a_delete_forgets_what_it_hides)
{
  LastCache *cache = last_cache_new(LAST_CACHE_BYTES);
  g_autoptr(GArray) columns = columns_of(2, DATA_INT64);
  fill(cache, 1, columns);
  Tombstone older = delete_of(0, 50, 99), beside = delete_of(11, 50, 200),
            hides = delete_of(10, 10, 200);
  last_cache_add_delete(cache, 1, &older);
  last_cache_add_delete(cache, 1, &beside);
  ck_assert_int_eq(time_of(cache, 1, columns), 10);
  last_cache_add_delete(cache, 1, &hides);
  ck_assert_int_eq(time_of(cache, 1, columns), -1);
  /* While a reader looks, it may have seen anything. */
  guint64 begun = last_cache_begin(cache, 1, columns);
  last_cache_add_delete(cache, 1, &beside);
  end_fill(cache, 1, begun, columns, 20, 150);
  ck_assert_int_eq(time_of(cache, 1, columns), -1);
  /* Another reader has begun since. */
  begun = last_cache_begin(cache, 1, columns);
  last_cache_forget(cache, 1);
  guint64 again = last_cache_begin(cache, 1, columns);
  end_fill(cache, 1, begun, columns, 20, 150);
  ck_assert_int_eq(time_of(cache, 1, columns), -1);
  end_fill(cache, 1, again, columns, 10, 160);
  ck_assert_int_eq(time_of(cache, 1, columns), 10);
  last_cache_free(cache);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("last cache");
  TCase *cases = tcase_create("last cache");
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, memory_is_bounded);
  tcase_add_test(cases, a_device_of_too_many_columns_takes_no_room);
  tcase_add_test(cases, columns_come_in_any_order);
  tcase_add_test(cases, texts_count_as_long_as_they_are_there);
  tcase_add_test(cases, a_delete_forgets_what_it_hides);
  tcase_add_loop_test(cases, p3_they_are_those_of_the_reference, 0, HISTORIES(8));
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
