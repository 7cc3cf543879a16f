/* What only the store on disk has: opening again, damage, limits of an answer's size. */
#include "store/keys.h"

#include "base/limits.h"
#include "tools.h"

#include <rocksdb/c.h>

static const LogId test_log = {1, 1000};

/* Runs with the store's database opened by itself. */
static rocksdb_t *open_database(const char *directory)
{
  char *message = NULL;
  rocksdb_options_t *options = rocksdb_options_create();
  rocksdb_t *db = rocksdb_open(options, directory, &message);
  ck_assert_msg(db != NULL, "%s", message);
  rocksdb_options_destroy(options);
  return db;
}

static void put_raw(const char *directory, const void *key, gsize key_size, const void *value,
                    gsize size)
{
  rocksdb_t *db = open_database(directory);
  char *message = NULL;
  rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
  rocksdb_put(db, options, key, key_size, value, size, &message);
  ck_assert_ptr_null(message);
  rocksdb_writeoptions_destroy(options);
  rocksdb_close(db);
}

static void check_open_fails(const char *directory, guint64 interval, SynclogStatus code,
                             const char *part)
{
  StoreOptions options = {.directory = directory,
                          .partition_interval = interval,
                          .memtable_size = 1 << 20,
                          .block_cache_size = 1 << 20};
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_rocks_new(&options, &error));
  ck_assert_msg(g_error_matches(error, SYNCLOG_ERROR, (int)code) &&
                    strstr(error->message, part) != NULL,
                "%d: %s", error->code, error->message);
}

static void put_some(Store *store, guint64 from, guint64 to)
{
  for (guint64 i = from; i <= to; i++) {
    TestWrite write = {0};
    tw_cell(&write, "d", (gint64)i, "m", TW_INT32((gint32)i));
    if (i % 5 == 0)
      tw_delete(&write, "d", NULL, (gint64)i - 3, (gint64)i - 3);
    apply_write(store, test_log, i, 100 + i, &write);
  }
}

START_TEST(closing_persists_nothing)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  put_some(store, 1, 10);
  persist(store);
  put_some(store, 11, 20);
  g_autofree char *all = device_text(store, "d");
  store_close(store);
  store = open_rocks(directory);
  ck_assert_uint_eq(applied_of(store, test_log, FALSE), 10);
  ck_assert_uint_eq(applied_of(store, test_log, TRUE), 10);
  check_device(store, "d", "1: m=1\n3: m=3\n4: m=4\n5: m=5\n6: m=6\n8: m=8\n9: m=9\n10: m=10\n");
  put_some(store, 11, 20);
  check_device(store, "d", all);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(types_outlive_a_restart)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  TestWrite write = {0};
  tw_cell(&write, "d", 1, "m", TW_TEXT("x"));
  apply_write(store, test_log, 1, 20, &write);
  tw_cell(&write, "d", 1, "m", TW_INT32(1)); /* the older one */
  apply_write(store, (LogId){2, 1}, 1, 10, &write);
  persist(store);
  store_close(store);
  store = open_rocks(directory);
  check_text(series_text(store, NULL, NULL, 9), "d: m/INT32 m/TEXT!\n");
  tw_cell(&write, "d", 2, "m", TW_TEXT("y"));
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  g_autoptr(GError) error = NULL;
  ck_assert(!store_reserve(store, decoded, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TYPE_MISMATCH));
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* One decoded write may meet a store that was opened anew, with other ids. */
START_TEST(decoded_writes_outlive_a_restart)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  TestWrite write = {0};
  tw_cell(&write, "unused", 1, "unused.m", TW_INT32(1));
  g_autoptr(GByteArray) unused_bytes = tw_end(&write);
  g_autoptr(Decoded) unused = decode(unused_bytes);
  tw_cell(&write, "d", 1, "m", TW_INT32(1));
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  ck_assert(store_reserve(store, unused, NULL));
  ck_assert(store_reserve(store, decoded, NULL));
  store_close(store);
  store = open_rocks(directory);
  StoreEntry entry = {test_log, 1, 10, decoded};
  ck_assert(store_apply(store, &entry, 1, NULL));
  persist(store);
  store_close(store);
  store = open_rocks(directory);
  check_device(store, "d", "1: m=1\n");
  check_text(series_text(store, NULL, NULL, 9), "d: m/INT32\n");
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* P4: the database must not get ahead of logs that are not synced. */
START_TEST(p4_writes_out_only_when_told)
{
  enum { MEMTABLE = 256 * 1024 };
  g_autofree char *directory = make_directory();
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = MEMTABLE,
                          .block_cache_size = 1 << 20};
  Store *store = store_rocks_new(&options, NULL);
  g_autofree char *text = g_strnfill(1000, 'x');
  StoreStats stats = {0};
  for (guint64 i = 1; stats.unpersisted_bytes < 16 * MEMTABLE; i++) {
    TestWrite write = {0};
    for (guint k = 0; k < 50; k++)
      tw_cell(&write, "d", (gint64)i * 50 + k, "m", TW_TEXT(text));
    apply_write(store, test_log, i, i, &write);
    ck_assert_uint_eq(applied_of(store, test_log, TRUE), 0);
    store_stats(store, &stats);
  }
  ck_assert_uint_eq(stats.bytes_on_disk, 0);
  persist(store);
  store_stats(store, &stats);
  ck_assert_uint_gt(stats.bytes_on_disk, 0);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(parameters_are_checked)
{
  g_autofree char *directory = make_directory();
  g_autofree char *deep = g_build_filename(directory, "a", "b", NULL);
  Store *store = open_rocks(deep);
  put_some(store, 1, 3);
  persist(store);
  store_close(store);
  check_open_fails(deep, INTERVAL + 1, SYNCLOG_INVALID, "partition_interval is 100 units");
  guint8 other[12] = {0, 0, 0, STORE_FORMAT + 1, 0, 0, 0, 0, 0, 0, 0, 100};
  put_raw(deep, "M", 1, other, sizeof other);
  check_open_fails(deep, INTERVAL, SYNCLOG_INVALID, "not written by this version");
  other[3] = 0;
  put_raw(deep, "M", 1, other, sizeof other);
  check_open_fails(deep, INTERVAL, SYNCLOG_INVALID, "not written by this version");
  other[3] = 1; /* an older one is read */
  put_raw(deep, "M", 1, other, sizeof other);
  store = open_rocks(deep);
  check_device(store, "d", "1: m=1\n2: m=2\n3: m=3\n");
  store_close(store);
  g_autofree char *file = g_build_filename(directory, "file", NULL);
  ck_assert(g_file_set_contents(file, "x", 1, NULL));
  check_open_fails(file, INTERVAL, SYNCLOG_INTERNAL, "file");
  remove_tree(directory);
}
END_TEST

static char *make_small_store(void)
{
  char *directory = make_directory();
  Store *store = open_rocks(directory);
  put_some(store, 1, 5);
  persist(store);
  store_close(store);
  return directory;
}

START_TEST(p8_damaged_records_are_reported)
{
  static const struct {
    const char *key;
    gsize key_size;
    const char *value;
    gsize size;
  } cases[] = {{"N\0\0\0\1", 5, "", 0},
               {"N\0\0\0", 4, "x", 1},
               {"N\0\0\0\0", 5, "x", 1},
               {"S\0\0\0\1\0\0\0\2\2", 10, "short", 5},
               {"S\0\0\0\1\0\0\0\2\7", 10, "0123456789abcdef", 16},
               {"S\0\0\0\1\0\0\1\0\2", 10, "0123456789abcdef", 16},
               {"T\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\1", 21, "0123456789abcdef01", 18},
               {"T\0", 2, "0123456789abcdef", 16},
               {"A\0\0\0\1\0\0\0\0\0\0\0\1", 13, "0123456789", 10}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *directory = make_small_store();
    put_raw(directory, cases[i].key, cases[i].key_size, cases[i].value, cases[i].size);
    check_open_fails(directory, INTERVAL, SYNCLOG_CORRUPT, "is damaged");
    remove_tree(directory);
  }
}
END_TEST

static void check_reads_fail(Store *store)
{
  Query query = {.device = "d", .start_time = 0, .end_time = 99, .limit = 10};
  AggregateQuery aggregate = {.device = "d", .measurement = "m", .end_time = 99, .limit = 9};
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_query(store, &query, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  g_clear_error(&error);
  ck_assert_ptr_null(store_last(store, "d", NULL, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  g_clear_error(&error);
  ck_assert_ptr_null(store_aggregate(store, &aggregate, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  g_clear_error(&error);
  StateDigest digest;
  g_autoptr(GArray) progress = NULL;
  ck_assert(!store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
}

/* Blocks that are cut, of another version, of no rows, or whose columns are longer than they. */
START_TEST(p8_damaged_blocks_are_reported)
{
  static const struct {
    const char *bytes;
    gsize size;
  } blocks[] = {{"", 0},
                {"\1\0\1\0\1\0\0", 7},
                {"\2\0\0\0\1\0\0\0", 8},
                {"\3\1\1\0\1\0\0\0", 8},
                {"\3\1\0\0\1\0\0\0\20\0\0\0\0\0\0\0\0\0\0\0", 20},
                {"\1\0\1\0\0\0\0\0\2\0\0\0\2\0\4\0\0\0", 18},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\2\0\4\0\0\0", 18},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\2\0\4\0\0\0tttttttt123", 29},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\2\0\3\0\0\0tttttttt123", 29},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\0\0\4\0\0\0tttttttt1234", 30},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\6\0\11\0\0\0tttttttt\0\0\0\0\2\0\0\0x", 35},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\6\0\11\0\0\0tttttttt\2\0\0\0\1\0\0\0x", 35},
                {"\1\0\1\0\1\0\0\0\2\0\0\0\6\0\4\0\0\0tttttttt\0\0\0\0", 30}};
  for (guint i = 0; i < G_N_ELEMENTS(blocks); i++) {
    g_autofree char *directory = make_small_store();
    guint8 key[BLOCK_KEY_SIZE];
    Version version = {1, 1, 1};
    key_block(key, 1, 0, &version, 1, 1);
    put_raw(directory, key, sizeof key, blocks[i].bytes, blocks[i].size);
    Store *store = open_rocks(directory);
    check_reads_fail(store);
    store_close(store);
    remove_tree(directory);
  }
}
END_TEST

/* P8: with the file, and where in it. */
START_TEST(p8_damaged_files_are_reported)
{
  g_autofree char *directory = make_small_store();
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  const char *name;
  guint files = 0;
  while ((name = g_dir_read_name(dir)) != NULL) {
    if (!g_str_has_suffix(name, ".sst"))
      continue;
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    ck_assert(g_file_get_contents(path, &bytes, &size, NULL));
    bytes[20] ^= 1;
    ck_assert(g_file_set_contents(path, bytes, (gssize)size, NULL));
    files++;
  }
  ck_assert_uint_eq(files, 1);
  check_open_fails(directory, INTERVAL, SYNCLOG_CORRUPT, ".sst offset 0");
  remove_tree(directory);
}
END_TEST

static gboolean apply_one(Store *store, guint64 index, GError **error)
{
  TestWrite write = {0};
  g_autofree char *name = g_strdup_printf("m%" G_GUINT64_FORMAT, index);
  tw_cell(&write, "d", (gint64)index, name, TW_INT32(1));
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  StoreEntry entry = {test_log, index, index, decoded};
  return store_apply(store, &entry, 1, error);
}

/* P8: the directory goes away under the store, so that nothing can be written out. */
START_TEST(p8_a_failure_stays)
{
  g_autofree char *directory = make_small_store();
  Store *store = open_rocks(directory);
  ck_assert(apply_one(store, 6, NULL));
  remove_tree(directory);
  g_autoptr(GError) error = NULL;
  ck_assert(!store_persist(store, TRUE, &error));
  ck_assert(strstr(error->message, "persisting") != NULL);
  g_clear_error(&error);
  ck_assert(!apply_one(store, 7, &error));
  ck_assert(strstr(error->message, "writing") != NULL);
  ck_assert_uint_eq(applied_of(store, test_log, FALSE), 6);
  g_autofree char *first = g_strdup(error->message);
  g_clear_error(&error);
  ck_assert(!apply_one(store, 7, &error));
  ck_assert_str_eq(error->message, first);
  g_clear_error(&error);
  ck_assert(!store_persist(store, FALSE, &error));
  ck_assert_str_eq(error->message, first);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- large answers ------------------------------------------------------------------------------
 */

/* A row with `count` texts of `size` bytes each at a time of its own. */
static void put_texts(Store *store, guint64 index, gint64 time, guint count, gsize size)
{
  g_autofree char *text = g_strnfill(size, 'x');
  for (guint i = 0; i < count; i += 4) { /* a write has room for a few */
    TestWrite write = {0};
    for (guint k = i; k < MIN(i + 4, count); k++) {
      g_autofree char *name = g_strdup_printf("m%02u", k);
      tw_cell(&write, "d", time, name, TW_TEXT(text));
    }
    apply_write(store, test_log, index, 100 + index, &write);
    index++;
  }
}

START_TEST(p7_pages_are_bounded_in_bytes)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  /* Three rows of 5 MiB: two fit into a page. */
  for (guint i = 0; i < 3; i++)
    put_texts(store, 1 + (guint64)i * 2, (gint64)i * 7, 5, LIMIT_TEXT_SIZE);
  Query query = {.device = "d", .start_time = 0, .end_time = 99, .limit = 100};
  g_autoptr(Table) first = store_query(store, &query, NULL);
  ck_assert_uint_eq(first->timestamps->len, 2);
  ck_assert_ptr_nonnull(first->next_page);
  query.page = first->next_page;
  g_autoptr(Table) second = store_query(store, &query, NULL);
  ck_assert_uint_eq(second->timestamps->len, 1);
  ck_assert_ptr_null(second->next_page);
  /* A row that fits into no page: fewer measurements do. */
  put_texts(store, 7, 20, 13, LIMIT_TEXT_SIZE);
  g_autoptr(GError) error = NULL;
  query.page = NULL;
  query.start_time = 20;
  ck_assert_ptr_null(store_query(store, &query, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  g_clear_error(&error);
  static const char *const few[] = {"m00", "m12", NULL};
  query.measurements = few;
  g_autoptr(Table) part = store_query(store, &query, &error);
  ck_assert_uint_eq(part->timestamps->len, 1);
  ck_assert_ptr_null(store_last(store, "d", NULL, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  g_autoptr(GPtrArray) last = store_last(store, "d", few, NULL);
  ck_assert_uint_eq(last->len, 2);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(p7_aggregates_are_bounded_in_bytes)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  for (guint i = 0; i < 20; i++)
    put_texts(store, 1 + i, i, 1, LIMIT_TEXT_SIZE);
  AggregateQuery query = {
      .device = "d", .measurement = "m00", .end_time = 99, .window = 1, .limit = 1000};
  guint windows = 0, pages = 0;
  for (gboolean more = TRUE; more; pages++) {
    g_autoptr(Aggregate) aggregate = store_aggregate(store, &query, NULL);
    ck_assert_uint_gt(aggregate->windows->len, 0);
    ck_assert_uint_le(aggregate->windows->len, 6); /* each has its first and its last */
    windows += aggregate->windows->len;
    more = aggregate->more;
    query.start_time = aggregate->next_start_time;
  }
  ck_assert_uint_eq(windows, 20);
  ck_assert_uint_eq(pages, 4);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(p7_series_are_bounded_in_bytes)
{
  enum { DEVICES = 240, MEASUREMENTS = 220 };
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  Value values[MEASUREMENTS];
  for (guint i = 0; i < MEASUREMENTS; i++) {
    g_ptr_array_add(names, g_strdup_printf("%0*u", LIMIT_NAME_SIZE, i));
    values[i] = TW_INT32(1);
  }
  for (guint i = 0; i < DEVICES; i++) {
    g_autofree char *device = g_strdup_printf("device %03u", i);
    TestWrite write = {0};
    tw_row(&write, device, 1, MEASUREMENTS, (const char *const *)names->pdata, values);
    apply_write(store, test_log, 1 + i, 1 + i, &write);
  }
  g_autofree char *after = NULL;
  guint devices = 0, pages = 0;
  for (gboolean more = TRUE; more; pages++) {
    g_autoptr(GPtrArray) page = store_series(store, NULL, after, 1000, &more, NULL);
    ck_assert_uint_gt(page->len, 0);
    devices += page->len;
    g_free(after);
    after = g_strdup(((Device *)page->pdata[page->len - 1])->name);
  }
  ck_assert_uint_eq(devices, DEVICES);
  ck_assert_uint_eq(pages, 2);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* A write whose rows are all in partitions of their own, in as many columns as fit. */
START_TEST(p7_scattered_tablets_stay_small)
{
  enum { ROWS = 4000, COLUMNS = 500 };
  static gint64 times[ROWS];
  Column *columns[COLUMNS];
  for (guint row = 0; row < ROWS; row++)
    times[row] = (gint64)row * INTERVAL * 3;
  for (guint i = 0; i < COLUMNS; i++) {
    g_autofree char *name = g_strdup_printf("m%u", i);
    columns[i] = column_new(name, DATA_BOOLEAN);
    for (guint row = 0; row < ROWS; row++)
      tw_append(columns[i], &TW_BOOLEAN(row % 2 == 0));
  }
  TestWrite write = {0};
  tw_tablet(&write, "d", times, ROWS, columns, COLUMNS);
  for (guint i = 0; i < COLUMNS; i++)
    column_free(columns[i]);
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  ck_assert_uint_eq(decoded->blocks->len, ROWS);
  ck_assert_uint_eq(decoded->columns->len, COLUMNS);
  ck_assert_uint_lt(decoded->values->len, 12 * bytes->len);
}
END_TEST

/* More blocks in one partition than are looked at first for the last values. */
static void put_crowded(Store *store, gboolean ascending)
{
  enum { WRITES = 1500 };
  for (guint64 i = 1; i <= WRITES; i++) {
    TestWrite write = {0};
    gint64 time = ascending ? (gint64)i * INTERVAL / (WRITES + 1) : (gint64)(i * 37 % INTERVAL);
    char name[8];
    g_snprintf(name, sizeof name, "m%u", (guint)(i % 7));
    tw_cell(&write, "d", time, i == 3 ? "rare" : name, TW_INT32((gint32)i));
    if (i == 1000)
      tw_delete(&write, "d", NULL, ascending ? 60 : 95, INTERVAL - 1);
    if (i == WRITES)
      tw_delete(&write, "d", NULL, INTERVAL - 3, INTERVAL - 1);
    apply_write(store, test_log, i, 100 + i, &write);
  }
}

START_TEST(last_values_of_a_crowded_partition)
{
  for (gboolean ascending = FALSE; ascending <= TRUE; ascending++) {
    g_autofree char *directory = make_directory();
    Store *rocks = open_rocks(directory), *mem = open_mem();
    put_crowded(rocks, ascending);
    put_crowded(mem, ascending);
    for (guint i = 0; i < 9; i++) {
      g_autofree char *one = g_strdup_printf("m%u", i);
      const char *const few[] = {one, i == 8 ? "rare" : NULL, NULL};
      g_autofree char *left = last_text(rocks, "d", i < 7 || i == 8 ? few : NULL);
      g_autofree char *right = last_text(mem, "d", i < 7 || i == 8 ? few : NULL);
      ck_assert_str_eq(left, right);
      ck_assert_str_ne(left, "");
    }
    store_close(rocks);
    store_close(mem);
    remove_tree(directory);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {closing_persists_nothing,
                                types_outlive_a_restart,
                                decoded_writes_outlive_a_restart,
                                p4_writes_out_only_when_told,
                                parameters_are_checked,
                                p8_damaged_records_are_reported,
                                p8_damaged_blocks_are_reported,
                                p8_damaged_files_are_reported,
                                p8_a_failure_stays,
                                p7_pages_are_bounded_in_bytes,
                                p7_aggregates_are_bounded_in_bytes,
                                p7_series_are_bounded_in_bytes,
                                p7_scattered_tablets_stay_small,
                                last_values_of_a_crowded_partition};
  return RUN_SUITE("store rocks", tests);
}
