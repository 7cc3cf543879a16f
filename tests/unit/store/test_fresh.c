/* Blocks that are kept out of the memtable for a while, and that nobody can tell. */
#include "store/fresh.h"

#include "tools.h"

enum { DEVICES = 40, ENTRIES = 30000, KEPT_ENTRIES = 20000 };

static const LogId first_log = {1, 1000}, second_log = {2, 500};

static FreshBlock *block_of(guint32 device, guint64 hlc, gsize size)
{
  static const guint8 value[FRESH_MAX_BLOCK_SIZE];
  guint8 key[BLOCK_KEY_SIZE];
  key_block(key, device, 0, &(Version){hlc, 1, 0}, 0, 0);
  return fresh_block_new(key, value, size);
}

static guint64 hlc_at(const GPtrArray *blocks, guint i)
{
  const FreshBlock *block = blocks->pdata[i];
  return key_read_version(block->key + BLOCK_PREFIX_SIZE).hlc;
}

START_TEST(blocks_leave_by_device_and_sorted)
{
  Fresh *fresh = fresh_new();
  fresh_add(fresh, block_of(7, 10, 1));
  fresh_add(fresh, block_of(8, 11, FRESH_MAX_BLOCK_SIZE));
  fresh_add(fresh, block_of(7, 13, 3));
  fresh_add(fresh, block_of(7, 12, 5));
  ck_assert_uint_eq(fresh_bytes(fresh), 4 * BLOCK_KEY_SIZE + FRESH_MAX_BLOCK_SIZE + 9);
  ck_assert(fresh_holds(fresh, 7) && fresh_holds(fresh, 8) && !fresh_holds(fresh, 9));

  g_autoptr(GPtrArray) oldest = fresh_take_oldest(fresh, 2);
  ck_assert_uint_eq(oldest->len, 2);
  ck_assert_uint_eq(hlc_at(oldest, 0), 10);
  ck_assert_uint_eq(hlc_at(oldest, 1), 13);
  for (guint i = 0; i < oldest->len; i++) /* as after a failure */
    fresh_add(fresh, g_steal_pointer(&oldest->pdata[i]));
  g_autoptr(GPtrArray) device = fresh_take_device(fresh, 7);
  ck_assert_uint_eq(device->len, 3);
  static const guint64 sorted[] = {10, 12, 13};
  for (guint i = 0; i < 3; i++)
    ck_assert_uint_eq(hlc_at(device, i), sorted[i]);
  ck_assert(!fresh_holds(fresh, 7));
  g_autoptr(GPtrArray) none = fresh_take_device(fresh, 7);
  ck_assert_uint_eq(none->len, 0);
  g_autoptr(GPtrArray) rest = fresh_take_oldest(fresh, 100);
  ck_assert_uint_eq(rest->len, 1);
  ck_assert_uint_eq(fresh_bytes(fresh), 0);
  g_autoptr(GPtrArray) empty = fresh_take_oldest(fresh, 100);
  ck_assert_uint_eq(empty->len, 0);
  fresh_free(fresh);
}
END_TEST

/* One row of each device in turn, by two leaders; now and then a delete. */
static void put_rows(Store *store, guint64 from, guint64 to)
{
  for (guint64 i = from; i <= to; i++) {
    TestWrite write = {0};
    char device[16];
    g_snprintf(device, sizeof device, "d%u", (guint)(i * 7 % DEVICES));
    tw_cell(&write, device, (gint64)(i * 31 % 5000), "m", TW_INT32((gint32)i));
    if (i % 97 == 0)
      tw_delete(&write, device, NULL, (gint64)(i % 5000), (gint64)(i % 5000) + 40);
    apply_write(store, i % 3 == 0 ? second_log : first_log, i % 3 == 0 ? i / 3 : i - i / 3,
                1000 + i, &write);
  }
}

static void check_same(Store *a, Store *b)
{
  StateDigest left, right;
  g_autoptr(GArray) left_progress = NULL, right_progress = NULL;
  ck_assert(store_digest(a, &(DigestScope){G_MAXUINT64}, &left, &left_progress, NULL));
  ck_assert(store_digest(b, &(DigestScope){G_MAXUINT64}, &right, &right_progress, NULL));
  ck_assert_uint_eq(left.low, right.low);
  ck_assert_uint_eq(left.high, right.high);
  ck_assert_uint_eq(left.cells, right.cells);
}

static void check_device_same(Store *a, Store *b, const char *device)
{
  g_autofree char *left = device_text(a, device), *right = device_text(b, device);
  ck_assert_str_eq(left, right);
}

START_TEST(reads_see_what_is_fresh)
{
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory), *mem = open_mem();
  guint64 at = 0;
  for (guint step = 1; at < ENTRIES; step++) {
    guint64 to = MIN(at + 37 * step, ENTRIES);
    put_rows(rocks, at + 1, to);
    put_rows(mem, at + 1, to);
    at = to;
    char device[16];
    g_snprintf(device, sizeof device, "d%u", step % DEVICES);
    check_device_same(rocks, mem, device);
    check_device_same(rocks, mem, device); /* once more, now that it is fresh no longer */
  }
  check_same(rocks, mem);
  store_close(rocks);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

START_TEST(p2_what_is_durable_is_an_exact_prefix)
{
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory), *mem = open_mem();
  put_rows(rocks, 1, KEPT_ENTRIES);
  put_rows(mem, 1, KEPT_ENTRIES);
  persist(rocks);
  put_rows(rocks, KEPT_ENTRIES + 1, ENTRIES);
  g_autofree char *seen = device_text(rocks, "d3"); /* moves them on */
  store_close(rocks);

  rocks = open_rocks(directory);
  ck_assert_uint_eq(applied_of(rocks, second_log, TRUE), KEPT_ENTRIES / 3);
  ck_assert_uint_eq(applied_of(rocks, first_log, TRUE), KEPT_ENTRIES - KEPT_ENTRIES / 3);
  check_same(rocks, mem);
  put_rows(rocks, KEPT_ENTRIES + 1, ENTRIES);
  put_rows(mem, KEPT_ENTRIES + 1, ENTRIES);
  check_same(rocks, mem);
  check_device_same(rocks, mem, "d3");
  store_close(rocks);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

/* A host that never persists: RocksDB writes its memtable out by itself one day. */
START_TEST(p2_a_written_out_memtable_tells_no_progress)
{
  g_autofree char *directory = make_directory();
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 64 << 10,
                          .block_cache_size = 1 << 20};
  Store *rocks = store_rocks_new(&options, NULL), *mem = open_mem();
  put_rows(rocks, 1, ENTRIES);
  put_rows(mem, 1, ENTRIES);
  StoreStats stats;
  store_stats(rocks, &stats);
  ck_assert_uint_gt(stats.bytes_on_disk, 0); /* it did */
  store_close(rocks);

  rocks = store_rocks_new(&options, NULL);
  ck_assert_uint_eq(applied_of(rocks, first_log, FALSE), 0);
  put_rows(rocks, 1, ENTRIES);
  check_same(rocks, mem);
  store_close(rocks);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {blocks_leave_by_device_and_sorted, reads_see_what_is_fresh,
                                p2_what_is_durable_is_an_exact_prefix,
                                p2_a_written_out_memtable_tells_no_progress};
  return RUN_SUITE("store fresh", tests);
}
