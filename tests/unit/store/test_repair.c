/*
 * A bucket that is given out with its versions and put into another store: whatever that one had
 * lost or altered, it shows the same afterwards, for good (P3).
 */
#include "history.h"
#include "store/decoded.h"

#include "support/damage_store.h"

static const LogId one = {1, 100}, two = {2, 100};

/* All parts of a bucket, page by page. */
static GPtrArray *parts_of(Store *store, const char *device, gint64 time, guint64 cut,
                           gsize page_bytes)
{
  GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)bucket_part_free);
  BucketQuery query = {.device = device, .start_time = time, .cut = cut};
  gboolean more = TRUE;
  while (more) {
    g_autoptr(GError) error = NULL;
    g_autoptr(BucketPage) page = store_bucket(store, &query, page_bytes, &error);
    fast_assert_msg(page != NULL, "%s", error != NULL ? error->message : "");
    more = page->more;
    fast_assert(!more || page->parts->len > 0);
    while (page->parts->len > 0)
      g_ptr_array_add(all, g_ptr_array_steal_index(page->parts, 0));
    if (more)
      query.after = ((BucketPart *)all->pdata[all->len - 1])->version;
  }
  return all;
}

static char *parts_text(const GPtrArray *parts)
{
  GString *out = g_string_new(NULL);
  for (guint i = 0; i < parts->len; i++) {
    const BucketPart *part = parts->pdata[i];
    g_string_append_printf(out, "%" G_GUINT64_FORMAT "/%u/%u\n", part->version.hlc,
                           part->version.origin, part->version.ordinal);
    put_table(out, part->table);
  }
  return g_string_free(out, FALSE);
}

static void mend(Store *store, const char *device, gint64 time, guint64 cut, const GPtrArray *parts)
{
  BucketMend asked = {device, time, cut, parts};
  g_autoptr(GError) error = NULL;
  fast_assert_msg(store_mend(store, &asked, &error), "%s", error != NULL ? error->message : "");
}

static void put(Store *store, LogId log, guint64 index, guint64 hlc, gint64 time, gint64 value)
{
  TestWrite write = {0};
  tw_cell(&write, "d", time, "m", TW_INT64(value));
  apply_write(store, log, index, hlc, &write);
}

/* Until nothing waits: what mending asks for. */
static void settle(Store *store, guint64 horizon)
{
  gboolean more = TRUE;
  while (more)
    fast_assert(store_find_conflicts(store, 1, 1 << 20, &more, NULL));
  for (more = TRUE; more;)
    fast_assert(store_maintain(store, horizon, 1 << 20, &more, NULL));
}

static void check_versions(Store *store)
{
  put(store, one, 1, 1000, 5, 1);
  put(store, two, 1, 1001, 6, 2);
  put(store, two, 2, 1002, 5, 3);
  put(store, one, 2, 1003, 101, 9); /* in the next bucket */
  g_autoptr(GPtrArray) parts = parts_of(store, "d", 50, G_MAXUINT64, 1 << 20);
  check_text(parts_text(parts), "1001/2/0\n6: m=2\n1002/2/0\n5: m=3\n");
  g_autoptr(GPtrArray) single = parts_of(store, "d", 50, G_MAXUINT64, 0);
  check_text(parts_text(single), "1001/2/0\n6: m=2\n1002/2/0\n5: m=3\n");
  g_autoptr(GPtrArray) none = parts_of(store, "nobody", 50, G_MAXUINT64, 1 << 20);
  ck_assert_uint_eq(none->len, 0);
}

START_TEST(a_bucket_is_given_out_with_its_versions)
{
  with_both(check_versions);
}
END_TEST

static void check_replaced(Store *store)
{
  g_autoptr(GPtrArray) nothing = g_ptr_array_new();
  Store *source = open_mem();
  put(source, one, 1, 1000, 5, 1);
  put(source, two, 1, 1001, 6, 2);
  put(store, one, 1, 1000, 5, 77);  /* altered */
  put(store, two, 1, 1001, 7, 78);  /* made up */
  put(store, one, 2, 1003, 101, 9); /* of another bucket */
  settle(store, 1);
  g_autoptr(GPtrArray) parts = parts_of(source, "d", 0, G_MAXUINT64, 1 << 20);
  mend(store, "d", 99, G_MAXUINT64, parts);
  check_device(store, "d", "5: m=1\n6: m=2\n101: m=9\n");
  g_autoptr(GPtrArray) again = parts_of(store, "d", 0, G_MAXUINT64, 1 << 20);
  check_text(parts_text(again), "1000/1/0\n5: m=1\n1001/2/0\n6: m=2\n");
  /* A bucket that the other one does not have. */
  mend(store, "d", 101, G_MAXUINT64, nothing);
  check_device(store, "d", "5: m=1\n6: m=2\n");
  /* A device and a measurement that were not known. */
  TestWrite write = {0};
  tw_cell(&write, "new", 3, "name", TW_TEXT("x"));
  apply_write(source, one, 2, 1005, &write);
  g_autoptr(GPtrArray) unknown = parts_of(source, "new", 0, G_MAXUINT64, 1 << 20);
  mend(store, "new", 0, G_MAXUINT64, unknown);
  check_device(store, "new", "3: name='x'\n");
  store_close(source);
}

START_TEST(what_differs_is_replaced)
{
  with_both(check_replaced);
}
END_TEST

START_TEST(what_is_newer_than_the_cut_stays)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory), *source = open_mem();
  put(source, one, 1, 1000, 5, 1);
  put(store, one, 1, 1000, 5, 77);
  put(store, one, 2, 2000, 6, 2);
  settle(store, 1500);
  g_autoptr(GPtrArray) parts = parts_of(source, "d", 0, G_MAXUINT64, 1 << 20);
  mend(store, "d", 0, 1500, parts);
  check_device(store, "d", "5: m=1\n6: m=2\n");
  put(store, two, 1, 1700, 5, 3);
  check_device(store, "d", "5: m=3\n6: m=2\n");
  store_close(source);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* Nothing of it may be lost by a restart, once it was persisted; and nothing before. */
START_TEST(a_mend_survives_a_restart)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory), *source = open_mem();
  put(source, one, 1, 1000, 5, 1);
  TestWrite write = {0};
  tw_cell(&write, "d", 6, "unknown", TW_TEXT("x"));
  apply_write(source, two, 1, 1001, &write);
  put(store, one, 1, 1000, 5, 77);
  persist(store);
  g_autoptr(GPtrArray) parts = parts_of(source, "d", 0, G_MAXUINT64, 1 << 20);
  settle(store, 1500);
  mend(store, "d", 0, 1500, parts);
  store_close(store);
  store = open_rocks(directory);
  check_device(store, "d", "5: m=77\n");
  mend(store, "d", 0, 1500, parts);
  persist(store);
  store_close(store);
  store = open_rocks(directory);
  check_device(store, "d", "5: m=1\n6: unknown='x'\n");
  ck_assert_uint_eq(applied_of(store, one, TRUE), 1);
  StoreStats stats;
  store_stats(store, &stats);
  ck_assert_uint_eq(stats.maintained_hlc, 1500);
  store_close(source);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* RocksDB writes its memtable out by itself one day, and the mended bucket with it: what was in it
 * before must not come again on top. */
START_TEST(p2_no_entry_comes_again_on_a_mended_bucket)
{
  g_autofree char *directory = make_directory();
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 64 << 10,
                          .block_cache_size = 1 << 20};
  Store *store = store_rocks_new(&options, NULL), *source = open_mem();
  g_autofree char *text = g_strnfill(50000, 'x');
  put(source, one, 1, 1000, 5, 1);
  put(store, one, 1, 1000, 6, 77); /* as a defect would have it */
  settle(store, 1500);
  g_autoptr(GPtrArray) parts = parts_of(source, "d", 0, G_MAXUINT64, 1 << 20);
  mend(store, "d", 0, 1500, parts);
  for (guint64 i = 2; stats_of(store).bytes_on_disk == 0; i++) {
    TestWrite write = {0};
    fast_assert(i < 10000);
    tw_cell(&write, "other", (gint64)i, "m", TW_TEXT(text));
    apply_write(store, one, i, 2000 + i, &write);
  }
  store_close(store);
  store = store_rocks_new(&options, NULL);
  check_device(store, "d", "5: m=1\n"); /* it was written out */
  ck_assert_uint_ge(applied_of(store, one, TRUE), 1);
  store_close(source);
  store_close(store);
  remove_tree(directory);
}
END_TEST

static void refuse(Store *store, const BucketMend *asked, int code)
{
  g_autoptr(GError) error = NULL;
  ck_assert(!store_mend(store, asked, &error));
  ck_assert_msg(g_error_matches(error, SYNCLOG_ERROR, code), "%d: %s", error->code, error->message);
}

START_TEST(not_while_deletes_or_conflicts_wait)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  g_autoptr(GPtrArray) nothing = g_ptr_array_new();
  BucketMend asked = {"d", 0, 1500, nothing};
  put(store, one, 1, 1000, 5, 1);
  TestWrite first = {0}, second = {0};
  tw_delete(&first, "d", NULL, 5, 5);
  apply_write(store, one, 2, 1100, &first);
  refuse(store, &asked, SYNCLOG_NOT_READY);
  settle(store, 1500);
  /* Of two leaders: it is looked at first. */
  put(store, one, 3, 1200, 6, 1);
  put(store, two, 1, 1201, 6, 2);
  refuse(store, &asked, SYNCLOG_NOT_READY);
  settle(store, 1500);
  /* A delete beyond the cut was carried out: what it hid must not come back. */
  tw_delete(&second, "d", NULL, 0, 10);
  apply_write(store, one, 4, 1600, &second);
  settle(store, 1700);
  refuse(store, &asked, SYNCLOG_INVALID);
  BucketQuery query = {.device = "d", .cut = 1500};
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_bucket(store, &query, 1, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* A part with one INT64 in one row. */
static BucketPart *part_of(guint64 hlc, guint32 origin, gint64 time, const char *measurement)
{
  CellVersion version = {hlc, origin, 0};
  Table *table = table_new();
  Column *column = column_new(measurement, DATA_INT64);
  gint64 value = 7;
  g_array_append_val(table->timestamps, time);
  column_append(column, &value, sizeof value);
  g_ptr_array_add(table->columns, column);
  return bucket_part_new(&version, table);
}

static void refuse_part(Store *store, BucketPart *part, const char *device)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)bucket_part_free);
  g_ptr_array_add(parts, part_of(1000, 1, 4, "sound"));
  g_ptr_array_add(parts, part);
  BucketMend asked = {device, 0, G_MAXUINT64, parts};
  refuse(store, &asked, SYNCLOG_INVALID);
  check_device(store, "d", "5: m=1\n");
  check_text(series_text(store, NULL, NULL, 10), "d: m/INT64\n");
}

static void check_hostile(Store *store)
{
  put(store, one, 1, 1000, 5, 1);
  refuse_part(store, part_of(0, 1, 5, "m"), "d");
  refuse_part(store, part_of(1000, 0, 5, "m"), "d");
  refuse_part(store, part_of(1000, 1 << 20, 5, "m"), "d");
  refuse_part(store, part_of(1000, 1, 100, "m"), "d");
  refuse_part(store, part_of(1000, 1, -1, "m"), "d");
  refuse_part(store, part_of(1000, 1, 5, ""), "d");
  refuse_part(store, part_of(1000, 1, 5, "\n"), "d");
  refuse_part(store, part_of(1000, 1, 5, "\xff"), "d");
  BucketPart *part = part_of(1000, 1, 5, "m");
  g_ptr_array_set_size(part->table->columns, 0);
  refuse_part(store, part, "d");
  part = part_of(1000, 1, 5, "m");
  g_array_set_size(part->table->timestamps, 0);
  refuse_part(store, part, "d");
  part = part_of(1000, 1, 5, "m");
  g_byte_array_set_size(((Column *)part->table->columns->pdata[0])->values, 7);
  refuse_part(store, part, "d");
  part = part_of(1000, 1, 5, "m");
  BucketPart *other = part_of(1000, 1, 5, "m");
  g_ptr_array_add(part->table->columns, g_ptr_array_steal_index(other->table->columns, 0));
  bucket_part_free(other);
  refuse_part(store, part, "d");
  part = part_of(1000, 1, 5, "m");
  ((Column *)part->table->columns->pdata[0])->type = (DataType)9;
  refuse_part(store, part, "d");
}

/* The other node may be mad: what it says is checked as a client's write is, as a whole. */
START_TEST(what_is_no_bucket_is_refused)
{
  with_both(check_hostile);
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  put(store, one, 1, 1000, 5, 1);
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)bucket_part_free);
  g_ptr_array_add(parts, part_of(1501, 1, 5, "m"));
  refuse(store, &(BucketMend){"d", 0, 1500, parts}, SYNCLOG_INVALID);
  refuse(store, &(BucketMend){"", 0, 2000, parts}, SYNCLOG_INVALID);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- damaged chunks -----------------------------------------------------------------------------
 */

enum { BESIDE = 40 };

/* The record MR as it is on disk; 0 when there is none. */
static guint64 reblocked_record(const char *directory)
{
  char *message = NULL;
  rocksdb_options_t *options = rocksdb_options_create();
  rocksdb_t *db = rocksdb_open_for_read_only(options, directory, 0, &message);
  fast_assert(message == NULL);
  rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
  size_t size = 0;
  char *value = rocksdb_get(db, reading, "MR", 2, &size, &message);
  fast_assert(message == NULL && (value == NULL || size == 8));
  guint64 hlc = value != NULL ? load_be64(value) : 0;
  rocksdb_free(value);
  rocksdb_readoptions_destroy(reading);
  rocksdb_close(db);
  rocksdb_options_destroy(options);
  return hlc;
}

/* As after a version that does not keep the record: it never did, or it does not know it and made
 * another chunk (`later`). */
static void forget_reblocked(const char *directory, gboolean later)
{
  char *message = NULL;
  rocksdb_options_t *options = rocksdb_options_create();
  rocksdb_t *db = rocksdb_open(options, directory, &message);
  rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
  if (later) {
    guint8 counts[24] = {0};
    store_be64(counts, 7);
    rocksdb_put(db, writing, "MC", 2, (const char *)counts, sizeof counts, &message);
  } else {
    rocksdb_delete(db, writing, "MR", 2, &message);
  }
  fast_assert(message == NULL);
  rocksdb_writeoptions_destroy(writing);
  rocksdb_close(db);
  rocksdb_options_destroy(options);
}

/* A store with chunks up to the clock 1039, one of which was damaged. */
static Store *open_with_damaged_chunk(const char *directory)
{
  Store *store = open_rocks_chunking(directory, 2);
  for (guint i = 0; i < BESIDE; i++)
    put(store, one, i + 1, 1000 + i, i % 2 == 0 ? i : 100 + i, i);
  settle(store, 1000 + BESIDE);
  persist(store);
  ck_assert_uint_eq(stats_of(store).chunks.chunks, 2);
  store_close(store);
  ck_assert_int_eq(halve_records(directory, "d", "C", 0, 1), 1);
  return open_rocks_chunking(directory, 2);
}

/* A chunk that can't be read is replaced when the cut is not below what any chunk stands for. */
START_TEST(p8_a_damaged_chunk_is_mended)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  g_autofree char *directory = make_directory();
  Store *store = open_with_damaged_chunk(directory), *source = open_mem();
  for (guint i = 0; i < BESIDE; i++)
    put(source, one, i + 1, 1000 + i, i % 2 == 0 ? i : 100 + i, i);
  put(store, one, BESIDE + 1, 2000, 50, -1);
  g_autoptr(GPtrArray) parts = parts_of(source, "d", 0, G_MAXUINT64, 1 << 20);
  g_autoptr(GPtrArray) none = g_ptr_array_new();
  refuse(store, &(BucketMend){"d", 0, 1038, none}, SYNCLOG_CORRUPT);
  mend(store, "d", 0, 1500, parts);
  put(source, one, BESIDE + 1, 2000, 50, -1);
  for (guint round = 0; round < 2; round++) {
    fast_assert(same_digest(digest_of(store), digest_of(source)));
    settle(store, 3000);
    fast_assert(same_digest(digest_of(store), digest_of(source)));
    persist(store);
    store_close(store);
    ck_assert_uint_eq(reblocked_record(directory), 2000);
    store = open_rocks_chunking(directory, 2);
  }
  store_close(store);
  store_close(source);
  remove_tree(directory);
}
END_TEST

static void check_unknown_clock(gboolean later)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  g_autofree char *directory = make_directory();
  store_close(open_with_damaged_chunk(directory));
  ck_assert_uint_eq(reblocked_record(directory), 1000 + BESIDE - 1);
  forget_reblocked(directory, later);
  Store *store = open_rocks_chunking(directory, 2);
  for (guint i = 0; i < BESIDE; i++)
    put(store, one, BESIDE + i + 1, 2000 + i, 200 + i, i);
  settle(store, 3000);
  g_autoptr(GPtrArray) none = g_ptr_array_new();
  refuse(store, &(BucketMend){"d", 0, 5000, none}, SYNCLOG_CORRUPT);
  persist(store);
  store_close(store);
  ck_assert_uint_eq(reblocked_record(directory), later ? 1000 + BESIDE - 1 : 0);
  remove_tree(directory);
}

/* A store of an older version has chunks, but not the record. */
START_TEST(a_chunk_of_an_unknown_clock_is_not_mended)
{
  check_unknown_clock(FALSE);
}
END_TEST

/* It has the record, but an older version worked on it since. */
START_TEST(nor_one_of_a_clock_that_is_out_of_date)
{
  check_unknown_clock(TRUE);
}
END_TEST

/* --- random damage ------------------------------------------------------------------------------
 */

static void apply_from(Store *store, const History *history, guint log, guint64 begin, guint64 end)
{
  for (guint64 at = begin; at < end; at++)
    apply_bytes(store, logs[log], at + 1, history->hlcs[log][at], history->writes[log][at]);
}

static StateDigest bucket_digest(Store *store, const char *device, gint64 time, guint64 cut)
{
  gboolean more;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) parts =
      store_digest_buckets(store, &(DigestScope){cut}, device, time, 1, &more, &error);
  fast_assert_msg(parts != NULL, "%s", error != NULL ? error->message : "");
  const DigestPart *part = parts->len > 0 ? parts->pdata[0] : NULL;
  gint64 interval = INTERVAL;
  gboolean same = part != NULL && partition_of(part->start_time, (guint64)interval) ==
                                      partition_of(time, (guint64)interval);
  return same ? part->digest : (StateDigest){0};
}

/* Mends what differs from the sound store, and says how many buckets that were. */
static guint mend_all(Store *sound, Store *damaged, guint64 cut)
{
  guint mended = 0;
  for (guint d = 0; d < DEVICES; d++)
    for (guint t = 0; t < G_N_ELEMENTS(times); t++) {
      if (same_digest(bucket_digest(sound, devices[d], times[t], cut),
                      bucket_digest(damaged, devices[d], times[t], cut)))
        continue;
      g_autoptr(GPtrArray) parts = parts_of(sound, devices[d], times[t], cut, mended % 3 * 100);
      mend(damaged, devices[d], times[t], cut, parts);
      fast_assert(same_digest(bucket_digest(sound, devices[d], times[t], cut),
                              bucket_digest(damaged, devices[d], times[t], cut)));
      mended++;
    }
  return mended;
}

static void compare_at(Store *a, Store *b, guint64 cut)
{
  StateDigest x, y;
  g_autoptr(GArray) p = NULL, q = NULL;
  fast_assert(store_digest(a, &(DigestScope){cut}, &x, &p, NULL) &&
              store_digest(b, &(DigestScope){cut}, &y, &q, NULL));
  fast_assert(same_digest(x, y));
}

/* A sound store, and one from whose files records are taken out. */
static guint damage_and_mend(guint32 seed)
{
  GRand *random = g_rand_new_with_seed(seed);
  History *history = history_new(random);
  g_autofree char *here = make_directory(), *there = make_directory();
  Store *sound = open_rocks(here), *damaged = open_rocks(there);
  guint64 cut = 1000 + (guint64)g_rand_int_range(random, 20, 200);
  for (guint log = 0; log < LOGS; log++) {
    guint64 below = 0;
    while (below < ENTRIES && history->hlcs[log][below] <= cut)
      below++;
    apply_from(sound, history, log, 0, below);
    apply_from(damaged, history, log, 0, below);
  }
  settle(sound, g_rand_boolean(random) ? cut : 1);
  persist(damaged);
  store_close(damaged);
  for (guint i = 0; i < DEVICES; i++)
    fast_assert(damage_store(there, devices[i], g_rand_boolean(random) ? "R" : "RT", G_MININT64,
                             (guint)g_rand_int_range(random, 1, 6)) >= 0);
  damaged = open_rocks(there);
  settle(damaged, cut);
  guint mended = mend_all(sound, damaged, cut);
  compare_at(sound, damaged, cut);
  if (g_rand_boolean(random)) {
    persist(damaged);
    store_close(damaged);
    damaged = open_rocks(there);
  }
  /* What comes later meets the same. */
  for (guint log = 0; log < LOGS; log++) {
    apply_from(sound, history, log, applied_of(sound, logs[log], FALSE), ENTRIES);
    apply_from(damaged, history, log, applied_of(damaged, logs[log], FALSE), ENTRIES);
  }
  fast_assert(same_digest(digest_of(sound), digest_of(damaged)));
  settle(sound, G_MAXUINT64 - 1);
  settle(damaged, G_MAXUINT64 - 1);
  fast_assert(same_digest(digest_of(sound), digest_of(damaged)));
  store_close(sound);
  store_close(damaged);
  remove_tree(here);
  remove_tree(there);
  history_free(history);
  g_rand_free(random);
  return mended;
}

START_TEST(p3_any_damage_is_mended)
{
  guint mended = 0;
  for (guint32 seed = 1; seed <= HISTORIES(25); seed++)
    mended += damage_and_mend(seed);
  ck_assert_uint_gt(mended, HISTORIES(60)); /* it did damage something */
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_bucket_is_given_out_with_its_versions,
                                what_differs_is_replaced,
                                what_is_newer_than_the_cut_stays,
                                a_mend_survives_a_restart,
                                p2_no_entry_comes_again_on_a_mended_bucket,
                                not_while_deletes_or_conflicts_wait,
                                what_is_no_bucket_is_refused,
                                p8_a_damaged_chunk_is_mended,
                                a_chunk_of_an_unknown_clock_is_not_mended,
                                nor_one_of_a_clock_that_is_out_of_date,
                                p3_any_damage_is_mended};
  return RUN_SUITE("repair", tests);
}
