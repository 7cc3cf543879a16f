/* Blocks that are kept out of the memtable for a while, and that nobody can tell. */
#include "store/fresh.h"

#include "tools.h"

#if SANITIZED
enum { DEVICES = 40, ENTRIES = 15000, KEPT_ENTRIES = 9000 };
#else
enum { DEVICES = 40, ENTRIES = 30000, KEPT_ENTRIES = 20000 };
#endif

static const LogId first_log = {1, 1000}, second_log = {2, 500};

/* A row of so many columns of one type. */
static void add(Fresh *fresh, guint32 device, gint64 partition, guint64 hlc, guint columns,
                DataType type)
{
  guint8 bytes[FRESH_MAX_BLOCK_SIZE] = {BLOCK_VERSION, 0, (guint8)columns, 0, 1};
  gsize size = BLOCK_HEAD_SIZE + columns * BLOCK_COLUMN_SIZE + 8;
  for (guint i = 0; i < columns; i++) {
    guint8 *entry = bytes + BLOCK_HEAD_SIZE + i * BLOCK_COLUMN_SIZE;
    entry[0] = (guint8)(i + 1);
    entry[4] = (guint8)type;
    entry[6] = (guint8)data_type_size(type);
    size += data_type_size(type);
  }
  FreshBlock block = {device, partition, 0, {{hlc, 1, 0}, bytes, size}};
  fresh_add(fresh, &block);
}

/* Takes the pile out: its rows and the version of its key. */
static guint take(Fresh *fresh, Pile *pile, guint64 *out_hlc)
{
  g_autoptr(GByteArray) scratch = g_byte_array_new();
  PileBlock taken;
  Block block;
  pile_block(pile, scratch, &taken);
  ck_assert(block_open(taken.value, taken.size, &block, NULL));
  *out_hlc = key_read_version(taken.key + BLOCK_PREFIX_SIZE).hlc;
  fresh_remove(fresh, pile);
  return block.rows;
}

START_TEST(like_blocks_leave_as_one)
{
  Fresh *fresh = fresh_new();
  guint64 hlc;
  ck_assert_ptr_null(fresh_oldest(fresh));
  add(fresh, 7, 0, 10, 2, DATA_DOUBLE);
  add(fresh, 800, 0, 11, 2, DATA_DOUBLE);
  add(fresh, 7, 0, 13, 2, DATA_DOUBLE);
  add(fresh, 7, 0, 12, 2, DATA_DOUBLE);
  add(fresh, 7, 1, 14, 2, DATA_DOUBLE); /* another partition, columns, type */
  add(fresh, 7, 0, 15, 3, DATA_DOUBLE);
  add(fresh, 7, 0, 16, 2, DATA_INT64);
  gsize all = fresh_bytes(fresh);
  ck_assert_ptr_nonnull(fresh_of_device(fresh, 800));
  ck_assert_ptr_null(fresh_of_device(fresh, 8));
  ck_assert_ptr_null(fresh_of_device(fresh, 100000));

  ck_assert_uint_eq(take(fresh, fresh_oldest(fresh), &hlc), 3);
  ck_assert_uint_eq(hlc, 13);
  ck_assert_uint_lt(fresh_bytes(fresh), all);
  guint rows = 0;
  for (Pile *pile; (pile = fresh_of_device(fresh, 7)) != NULL;)
    rows += take(fresh, pile, &hlc);
  ck_assert_uint_eq(rows, 3);
  ck_assert_uint_eq(take(fresh, fresh_oldest(fresh), &hlc), 1);
  ck_assert_uint_eq(hlc, 11);
  ck_assert_ptr_null(fresh_oldest(fresh));
  ck_assert_uint_eq(fresh_bytes(fresh), 0);
  add(fresh, 7, 0, 17, 2, DATA_DOUBLE); /* freed with the rest */
  fresh_free(fresh);
}
END_TEST

/* A pile that is full is followed by another one; memory is what it says. */
START_TEST(piles_are_bounded)
{
  enum { ROWS = 5000, ROW = 16 + 8 + 5 * 8 };
  Fresh *fresh = fresh_new();
  guint64 hlc;
  for (guint i = 0; i < ROWS; i++)
    add(fresh, 3, 0, i + 1, 5, DATA_DOUBLE);
  ck_assert_uint_gt(fresh_bytes(fresh), (gsize)ROWS * ROW);
  guint rows = 0, piles = 0;
  for (Pile *pile; (pile = fresh_oldest(fresh)) != NULL; piles++) {
    rows += take(fresh, pile, &hlc);
    ck_assert_uint_eq(hlc, rows);
  }
  ck_assert_uint_eq(rows, ROWS);
  ck_assert_uint_ge(piles, (guint)ROWS * ROW / PILE_SIZE);
  fresh_free(fresh);
}
END_TEST

/* A pile of plain rows takes nothing else; one that was begun by another block takes all. */
START_TEST(other_blocks_with_the_same_columns)
{
  enum { HEAD = BLOCK_HEAD_SIZE + BLOCK_COLUMN_SIZE };
  Fresh *fresh = fresh_new();
  guint64 hlc;
  guint8 missing[HEAD + 8 + 1 + 8] = {BLOCK_VERSION, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0,
                                      DATA_DOUBLE,   1, 8};
  guint8 two[HEAD + 16 + 16] = {BLOCK_VERSION, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, DATA_DOUBLE, 0, 16};
  missing[HEAD + 8] = 1;
  add(fresh, 7, 0, 10, 1, DATA_DOUBLE);
  for (guint round = 0; round < 2; round++) {
    FreshBlock with_null = {7, 0, 5, {{11 + round * 10, 1, 0}, missing, sizeof missing}};
    FreshBlock of_two = {7, 0, 5, {{12 + round * 10, 1, 0}, two, sizeof two}};
    fresh_add(fresh, &with_null);
    fresh_add(fresh, &of_two);
  }
  add(fresh, 7, 0, 30, 1, DATA_DOUBLE);
  ck_assert_uint_eq(take(fresh, fresh_oldest(fresh), &hlc), 1);
  ck_assert_uint_eq(hlc, 10);
  ck_assert_uint_eq(take(fresh, fresh_oldest(fresh), &hlc), 7);
  ck_assert_uint_eq(hlc, 30);
  ck_assert_ptr_null(fresh_oldest(fresh));
  fresh_free(fresh);
}
END_TEST

static void check_note(const GArray *notes, guint i, guint32 device, guint64 blocks, guint64 newest)
{
  const FreshNote *note = &g_array_index(notes, FreshNote, i);
  ck_assert_uint_eq(note->device, device);
  ck_assert_uint_eq(note->blocks, blocks);
  ck_assert_uint_eq(note->rows, blocks);
  ck_assert_uint_eq(note->newest, newest);
}

START_TEST(each_block_is_told_once)
{
  Fresh *fresh = fresh_new();
  guint64 hlc;
  ck_assert_ptr_null(fresh_take_notes(fresh, TRUE));
  add(fresh, 7, 0, 10, 1, DATA_DOUBLE);
  add(fresh, 7, 0, 12, 1, DATA_DOUBLE);
  add(fresh, 7, 0, 11, 1, DATA_DOUBLE);
  add(fresh, 8, 0, 13, 1, DATA_DOUBLE);
  ck_assert_ptr_null(fresh_take_notes(fresh, FALSE));
  ck_assert_uint_eq(fresh_untold(fresh), 4);
  take(fresh, fresh_of_device(fresh, 7), &hlc);
  GArray *notes = fresh_take_notes(fresh, FALSE);
  ck_assert_uint_eq(notes->len, 1);
  check_note(notes, 0, 7, 3, 12);
  ck_assert_uint_eq(fresh_untold(fresh), 1);
  g_array_unref(notes);

  add(fresh, 7, 0, 14, 1, DATA_DOUBLE);
  notes = fresh_take_notes(fresh, TRUE);
  ck_assert_uint_eq(notes->len, 2);
  check_note(notes, 0, 8, 1, 13);
  check_note(notes, 1, 7, 1, 14);
  g_array_unref(notes);

  add(fresh, 8, 0, 15, 1, DATA_DOUBLE); /* its pile was told before */
  take(fresh, fresh_of_device(fresh, 8), &hlc);
  take(fresh, fresh_of_device(fresh, 7), &hlc);
  notes = fresh_take_notes(fresh, TRUE);
  ck_assert_uint_eq(notes->len, 1);
  check_note(notes, 0, 8, 1, 15);
  ck_assert_uint_eq(fresh_untold(fresh), 0);
  g_array_unref(notes);
  add(fresh, 8, 0, 16, 1, DATA_DOUBLE); /* freed with the rest, as is what left */
  take(fresh, fresh_of_device(fresh, 8), &hlc);
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
  const TTest *const tests[] = {like_blocks_leave_as_one,
                                piles_are_bounded,
                                other_blocks_with_the_same_columns,
                                each_block_is_told_once,
                                reads_see_what_is_fresh,
                                p2_what_is_durable_is_an_exact_prefix,
                                p2_a_written_out_memtable_tells_no_progress};
  return RUN_SUITE("store fresh", tests);
}
