/* Formats of the store: older ones are read, and what raises one. */
#include "raw_blocks.h"
#include "tools.h"

enum { ROWS = 40, UNPACKED_FORMAT = 3 };

static const LogId one = {1, 1};

typedef struct Raw {
  rocksdb_options_t *options;
  rocksdb_readoptions_t *read_options;
  rocksdb_writeoptions_t *write_options;
  rocksdb_t *db;
} Raw;

/* The database of a closed store. */
static Raw raw_open(const char *directory)
{
  char *message = NULL;
  Raw raw = {rocksdb_options_create(), rocksdb_readoptions_create(), rocksdb_writeoptions_create(),
             NULL};
  raw.db = rocksdb_open(raw.options, directory, &message);
  ck_assert_msg(raw.db != NULL, "%s", message);
  return raw;
}

static void raw_close(Raw *raw)
{
  rocksdb_close(raw->db);
  rocksdb_options_destroy(raw->options);
  rocksdb_readoptions_destroy(raw->read_options);
  rocksdb_writeoptions_destroy(raw->write_options);
}

static void raw_put(Raw *raw, const void *key, gsize key_size, const void *value, gsize size)
{
  char *message = NULL;
  rocksdb_put(raw->db, raw->write_options, key, key_size, value, size, &message);
  ck_assert_ptr_null(message);
}

static guint32 format_on_disk(const char *directory)
{
  Raw raw = raw_open(directory);
  char *message = NULL;
  size_t size;
  char *value = rocksdb_get(raw.db, raw.read_options, "M", 1, &size, &message);
  ck_assert(value != NULL && size == 12);
  guint32 format = load_be32(value);
  rocksdb_free(value);
  raw_close(&raw);
  return format;
}

static void set_format(const char *directory, guint8 format)
{
  const guint8 value[12] = {0, 0, 0, format, 0, 0, 0, 0, 0, 0, 0, INTERVAL};
  Raw raw = raw_open(directory);
  raw_put(&raw, "M", 1, value, sizeof value);
  raw_close(&raw);
}

static void put_tablet(Store *store, const char *device, guint64 index, guint64 hlc)
{
  gint64 times[ROWS];
  g_autoptr(Column) column = column_new("m", DATA_INT64);
  for (gint64 row = 0; row < ROWS; row++) {
    times[row] = row;
    column_append(column, &row, sizeof row);
  }
  column_finish(column);
  TestWrite write = {0};
  tw_tablet(&write, device, times, ROWS, &column, 1);
  apply_write(store, one, index, hlc, &write);
}

static void put_row(Store *store, guint64 index, guint64 hlc, gint64 time)
{
  TestWrite write = {0};
  tw_cell(&write, "d", time, "m", TW_INT64(time));
  apply_write(store, one, index, hlc, &write);
}

/* "d" has m = time at these times. */
static void check_rows(Store *store, gint64 first, gint64 last, gint64 but)
{
  g_autoptr(GString) text = g_string_new(NULL);
  for (gint64 time = first; time <= last; time++)
    if (time != but)
      g_string_append_printf(text, "%" G_GINT64_FORMAT ": m=%" G_GINT64_FORMAT "\n", time, time);
  check_device(store, "d", text->str);
}

static void persist_and_close(Store *store)
{
  persist(store);
  store_close(store);
}

/* What the version before would still open stays so until there is something that it can't read. */
START_TEST(the_first_packed_block_raises_the_format)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  put_row(store, 1, 100, 0);
  ck_assert_uint_eq(stats_of(store).format, UNPACKED_FORMAT);
  persist_and_close(store);
  ck_assert_uint_eq(format_on_disk(directory), UNPACKED_FORMAT);
  persist_and_close(open_rocks(directory)); /* an upgrade that nothing is done with */
  ck_assert_uint_eq(raw_blocks(directory).packed, 0);
  ck_assert_uint_eq(format_on_disk(directory), UNPACKED_FORMAT);
  store = open_rocks(directory);
  put_tablet(store, "d", 2, 101);
  persist_and_close(store);
  ck_assert_uint_eq(raw_blocks(directory).packed, 1);
  ck_assert_uint_eq(format_on_disk(directory), STORE_FORMAT);
  store = open_rocks(directory);
  ck_assert_uint_eq(stats_of(store).format, STORE_FORMAT);
  check_rows(store, 0, ROWS - 1, -1);
  persist_and_close(store);
  ck_assert_uint_eq(format_on_disk(directory), STORE_FORMAT);
  remove_tree(directory);
}
END_TEST

/* By rows that were gathered, too. */
START_TEST(a_packed_pile_raises_the_format)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  for (gint64 time = 0; time < ROWS; time++)
    put_row(store, 1 + (guint64)time, 100 + (guint64)time, time);
  persist_and_close(store);
  ck_assert_uint_eq(raw_blocks(directory).packed, 1);
  ck_assert_uint_eq(format_on_disk(directory), STORE_FORMAT);
  remove_tree(directory);
}
END_TEST

static void put_le(GByteArray *bytes, guint64 number, guint size)
{
  for (guint i = 0; i < size; i++, number >>= 8) {
    guint8 byte = (guint8)number;
    g_byte_array_append(bytes, &byte, 1);
  }
}

/* A block as the version before wrote it: of name 2, INT64, m = time, not packed. */
static void put_old_block(Raw *raw, guint8 version, gint64 first, guint rows)
{
  /* version 2: all rows are of clock 50 of node 1; of that 100 is the zigzag. */
  const guint8 versions[] = {(guint8)(rows << 2 | 1), 100, 1};
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  put_le(bytes, version, 2);
  put_le(bytes, 1, 2);
  put_le(bytes, rows, 4);
  if (version == 2)
    put_le(bytes, sizeof versions, 4);
  const guint8 column[] = {2, 0, 0, 0, DATA_INT64, 0};
  g_byte_array_append(bytes, column, sizeof column);
  put_le(bytes, rows * 8, 4);
  for (guint i = 0; i < rows; i++)
    put_le(bytes, (guint64)first + i, 8);
  if (version == 2)
    g_byte_array_append(bytes, versions, sizeof versions);
  for (guint i = 0; i < rows; i++)
    put_le(bytes, (guint64)first + i, 8);
  guint8 key[BLOCK_KEY_SIZE];
  key_block(key, 1, 0, &(Version){50, 1, 0}, first, first + rows - 1);
  raw_put(raw, key, sizeof key, bytes->data, bytes->len);
}

/* A row at 0, then those of the old blocks; what is written anew is packed beside them. */
START_TEST(older_formats_are_read)
{
  for (guint8 format = 1; format <= UNPACKED_FORMAT; format++) {
    g_autofree char *directory = make_directory();
    Store *store = open_rocks(directory);
    put_row(store, 1, 40, 0);
    persist_and_close(store);
    Raw raw = raw_open(directory);
    put_old_block(&raw, 1, 1, 20);
    put_old_block(&raw, format == 1 ? 1 : 2, 21, 19);
    raw_close(&raw);
    set_format(directory, format);
    StoreOptions options = {.directory = directory,
                            .partition_interval = INTERVAL,
                            .memtable_size = 1 << 20,
                            .block_cache_size = 1 << 20,
                            .read_only = TRUE};
    store = store_rocks_new(&options, NULL);
    ck_assert_uint_eq(stats_of(store).format, format);
    check_rows(store, 0, 39, -1);
    store_close(store);
    ck_assert_uint_eq(format_on_disk(directory), format);
    persist_and_close(open_rocks(directory));
    ck_assert_uint_eq(format_on_disk(directory), UNPACKED_FORMAT);
    store = open_rocks(directory);
    put_tablet(store, "e", 2, 60);
    check_rows(store, 0, 39, -1);
    persist_and_close(store);
    RawBlocks blocks = raw_blocks(directory);
    ck_assert_uint_eq(blocks.blocks, 4);
    ck_assert_uint_eq(blocks.packed, 1);
    ck_assert_uint_eq(format_on_disk(directory), STORE_FORMAT);
    remove_tree(directory);
  }
}
END_TEST

START_TEST(newer_formats_are_refused)
{
  g_autofree char *directory = make_directory();
  g_autoptr(GError) error = NULL;
  store_close(open_rocks(directory));
  set_format(directory, STORE_FORMAT + 1);
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 1 << 20,
                          .block_cache_size = 1 << 20};
  ck_assert_ptr_null(store_rocks_new(&options, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  g_clear_error(&error);
  remove_tree(directory);
  ck_assert(store_check_format(0, NULL) && store_check_format(STORE_FORMAT, NULL));
  ck_assert(!store_check_format(STORE_FORMAT + 1, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  ck_assert_ptr_nonnull(strstr(error->message, "upgrade"));
}
END_TEST

/* --- all that writes blocks packs them ----------------------------------------------------------
 */

static void check_all_packed(const char *directory, guint rows)
{
  RawBlocks raw = raw_blocks(directory);
  ck_assert_uint_eq(raw.blocks, 1);
  ck_assert_uint_eq(raw.packed, 1);
  ck_assert_uint_eq(raw.rows, rows);
}

/* Until nothing waits. */
static void settle(Store *store, guint64 horizon)
{
  gboolean more = TRUE;
  while (more)
    ck_assert(store_find_conflicts(store, 1, 1 << 20, &more, NULL));
  for (more = TRUE; more;)
    ck_assert(store_maintain(store, horizon, 1 << 20, &more, NULL));
}

START_TEST(what_a_delete_leaves_is_packed)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  TestWrite write = {0};
  put_tablet(store, "d", 1, 100);
  tw_delete(&write, "d", NULL, 7, 7);
  apply_write(store, one, 2, 101, &write);
  settle(store, 200);
  check_rows(store, 0, ROWS - 1, 7);
  persist_and_close(store);
  check_all_packed(directory, ROWS - 1);
  remove_tree(directory);
}
END_TEST

static void mend(Store *store, Store *source, guint64 cut)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new();
  BucketQuery query = {.device = "d", .cut = G_MAXUINT64};
  g_autoptr(GError) error = NULL;
  g_autoptr(BucketPage) page =
      source != NULL ? store_bucket(source, &query, 1 << 20, &error) : NULL;
  ck_assert_msg(error == NULL, "%s", error != NULL ? error->message : "");
  BucketMend asked = {"d", 0, cut, page != NULL ? page->parts : parts};
  ck_assert_msg(store_mend(store, &asked, &error), "%s", error != NULL ? error->message : "");
}

START_TEST(what_is_mended_is_packed)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory), *source = open_mem();
  put_tablet(source, "d", 1, 100);
  put_row(store, 1, 100, 5);
  settle(store, 200);
  mend(store, source, 200);
  check_rows(store, 0, ROWS - 1, -1);
  persist_and_close(store);
  store_close(source);
  check_all_packed(directory, ROWS);
  ck_assert_uint_eq(format_on_disk(directory), STORE_FORMAT);
  remove_tree(directory);
}
END_TEST

/* Rows of one block, of which half are beyond the cut. */
START_TEST(what_a_mend_leaves_is_packed)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  for (gint64 time = 0; time < ROWS; time++)
    put_row(store, 1 + (guint64)time, 100 + (guint64)time, time);
  settle(store, 100 + ROWS / 2 - 1);
  mend(store, NULL, 100 + ROWS / 2 - 1);
  check_rows(store, ROWS / 2, ROWS - 1, -1);
  persist_and_close(store);
  check_all_packed(directory, ROWS / 2);
  remove_tree(directory);
}
END_TEST

/* --- damage -------------------------------------------------------------------------------------
 */

/* Behind what tells how many rows it has. */
static void damage_block(const char *directory)
{
  Raw raw = raw_open(directory);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(raw.db, raw.read_options);
  rocksdb_iter_seek(iterator, "R", 1);
  size_t key_size, size;
  const char *key = rocksdb_iter_key(iterator, &key_size);
  const char *value = rocksdb_iter_value(iterator, &size);
  ck_assert(key_size == BLOCK_KEY_SIZE && value[0] == BLOCK_VERSION_PACKED);
  raw_put(&raw, key, key_size, value, size - 1);
  rocksdb_iter_destroy(iterator);
  raw_close(&raw);
}

/* P8: without anybody reading it. */
START_TEST(p8_a_damaged_packed_block_is_found)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  put_tablet(store, "d", 1, 100);
  persist_and_close(store);
  damage_block(directory);
  g_log_set_always_fatal(G_LOG_FATAL_MASK);     /* the damage is told as critical */
  store = open_rocks_chunking(directory, 1000); /* it is not due */
  settle(store, 200);
  ck_assert_uint_eq(stats_of(store).damaged_buckets, 1);
  store_close(store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {the_first_packed_block_raises_the_format,
                                a_packed_pile_raises_the_format,
                                older_formats_are_read,
                                newer_formats_are_refused,
                                what_a_delete_leaves_is_packed,
                                what_is_mended_is_packed,
                                what_a_mend_leaves_is_packed,
                                p8_a_damaged_packed_block_is_found};
  return RUN_SUITE("formats of the store", tests);
}
