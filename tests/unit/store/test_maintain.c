/*
 * Digests of parts and at a cut, the carrying out of deletes, and chunks: nothing that a reader
 * sees changes by it, in whatever order entries came and wherever it was broken off (P3).
 */
#include "history.h"
#include "raw_blocks.h"
#include "store/reblock_queue.h"
#include "support/damage_store.h"

#include <math.h>

enum { CHUNKING = 2 };

typedef struct Run {
  const History *history;
  GRand *random;
  char *directory;
  Store *rocks, *mem;
  guint64 next[LOGS]; /* entries applied */
  guint mixed;        /* blocks of several leaders that were met */
  guint64 horizon;    /* that was maintained with */
} Run;

static void apply_to(Store *store, const History *history, guint log, guint64 at)
{
  g_autoptr(Decoded) decoded = decode(history->writes[log][at]);
  StoreEntry entry = {logs[log], at + 1, history->hlcs[log][at], decoded};
  g_autoptr(GError) error = NULL;
  fast_assert_msg(store_apply(store, &entry, 1, &error), "%s", error != NULL ? error->message : "");
}

/* The digest at a cut is that of a store which never got anything above it. */
static void check_cut(const Run *run, guint64 cut)
{
  DigestScope scope = {cut};
  StateDigest digest;
  g_autoptr(GArray) progress = NULL;
  g_autoptr(GError) error = NULL;
  gboolean known = store_digest(run->rocks, &scope, &digest, &progress, &error);
  if (!known || cut < stats_of(run->rocks).maintained_hlc) {
    fast_assert(!known && g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
    fast_assert(cut < run->horizon);
    return;
  }
  fast_assert_msg(known, "%s", error != NULL ? error->message : "");
  Store *below = open_mem();
  for (guint log = 0; log < LOGS; log++)
    for (guint64 at = 0; at < run->next[log] && run->history->hlcs[log][at] <= cut; at++)
      apply_to(below, run->history, log, at);
  fast_assert(same_digest(digest, digest_of(below)));
  store_close(below);
}

static void add_digest(StateDigest *sum, const StateDigest *part)
{
  unsigned __int128 a = (unsigned __int128)sum->high << 64 | sum->low;
  unsigned __int128 b = (unsigned __int128)part->high << 64 | part->low;
  a += b;
  sum->low = (guint64)a;
  sum->high = (guint64)(a >> 64);
  sum->cells += part->cells;
  sum->devices += part->devices;
}

static StateDigest sum_of_buckets(Store *store, const char *device, guint limit)
{
  DigestScope all = {G_MAXUINT64};
  StateDigest sum = {0};
  gboolean more = TRUE;
  gint64 from = G_MININT64;
  while (more) {
    g_autoptr(GPtrArray) parts =
        store_digest_buckets(store, &all, device, from, limit, &more, NULL);
    fast_assert(parts != NULL && parts->len <= limit);
    for (guint i = 0; i < parts->len; i++) {
      const DigestPart *part = parts->pdata[i];
      fast_assert(part->start_time >= from && part->digest.cells > 0);
      add_digest(&sum, &part->digest);
      if (part->start_time <= G_MAXINT64 - INTERVAL)
        from = part->start_time + INTERVAL;
      else
        more = FALSE;
    }
  }
  sum.devices = sum.cells > 0;
  return sum;
}

/* Devices and buckets add up to the whole, in pages of any size. */
static void check_parts(Store *store, guint limit)
{
  DigestScope all = {G_MAXUINT64};
  StateDigest sum = {0};
  gboolean more = TRUE;
  g_autofree char *after = NULL;
  while (more) {
    g_autoptr(GPtrArray) parts = store_digest_devices(store, &all, after, limit, &more, NULL);
    fast_assert(parts != NULL && parts->len <= limit && (parts->len > 0 || !more));
    for (guint i = 0; i < parts->len; i++) {
      const DigestPart *part = parts->pdata[i];
      fast_assert(after == NULL || strcmp(after, part->device) < 0);
      g_free(after);
      after = g_strdup(part->device);
      add_digest(&sum, &part->digest);
      fast_assert(same_digest(part->digest, sum_of_buckets(store, part->device, limit)));
    }
  }
  fast_assert(same_digest(sum, digest_of(store)));
}

static void reopen(Run *run)
{
  store_close(run->rocks);
  run->mixed += raw_blocks(run->directory).many_leaders;
  run->rocks = open_rocks_chunking(run->directory, CHUNKING);
  /* What was not persisted comes again. */
  for (guint log = 0; log < LOGS; log++)
    for (guint64 at = applied_of(run->rocks, logs[log], FALSE); at < run->next[log]; at++)
      apply_to(run->rocks, run->history, log, at);
}

static void step(Run *run)
{
  GRand *random = run->random;
  for (gint32 entries = g_rand_int_range(random, 1, 7); entries > 0; entries--) {
    guint log = (guint)g_rand_int_range(random, 0, LOGS);
    if (run->next[log] == ENTRIES)
      continue;
    apply_to(run->rocks, run->history, log, run->next[log]);
    apply_to(run->mem, run->history, log, run->next[log]);
    run->next[log]++;
  }
  switch (g_rand_int_range(random, 0, 12)) {
  case 0:
  case 1:
  case 2:
    run->horizon = history_horizon(run->history, run->next);
    maintain(run->rocks, run->horizon, (gsize)g_rand_int_range(random, 1, 400));
    break;
  case 3:
    store_persist(run->rocks, TRUE, NULL);
    break;
  case 4:
    if (g_rand_int_range(random, 0, 4) == 0)
      reopen(run);
    break;
  case 5:
    check_cut(run, (guint64)g_rand_int_range(random, 900, 1000 + 8 * ENTRIES));
    break;
  case 6:
    check_same(run->rocks, run->mem);
    break;
  default:
    break;
  }
}

static gboolean is_at_end(const Run *run)
{
  for (guint log = 0; log < LOGS; log++)
    if (run->next[log] < ENTRIES)
      return FALSE;
  return TRUE;
}

/* No deletes and no blocks are left, and each visible cell is in one chunk. */
static void check_all_chunks(Store *store)
{
  StoreStats stats = stats_of(store);
  ck_assert_uint_eq(stats.tombstones, 0);
  ck_assert_uint_eq(stats.raw_blocks, 0);
  ck_assert_uint_gt(stats.chunks.chunks, 0);
  ck_assert_uint_eq(stats.chunks.cells, digest_of(store).cells);
}

START_TEST(nothing_is_seen_of_maintenance)
{
  guint mixed = 0;
  for (guint32 seed = 1; seed <= HISTORIES(24); seed++) {
    GRand *random = g_rand_new_with_seed(seed);
    History *history = history_new(random);
    Run run = {.history = history, .random = random, .directory = make_directory()};
    run.rocks = open_rocks_chunking(run.directory, CHUNKING);
    run.mem = open_mem();
    while (!is_at_end(&run))
      step(&run);
    check_same(run.rocks, run.mem);
    check_parts(run.rocks, (guint)g_rand_int_range(random, 1, 6));
    check_parts(run.mem, (guint)g_rand_int_range(random, 1, 6));
    persist(run.rocks);
    reopen(&run);
    mixed += run.mixed;
    while (maintain(run.rocks, G_MAXUINT64 - 1, (gsize)g_rand_int_range(random, 1, 400)))
      ;
    check_all_chunks(run.rocks);
    check_same(run.rocks, run.mem);
    store_persist(run.rocks, TRUE, NULL);
    reopen(&run);
    check_all_chunks(run.rocks);
    check_same(run.rocks, run.mem);
    check_parts(run.rocks, 3);
    store_close(run.rocks);
    store_close(run.mem);
    remove_tree(run.directory);
    g_free(run.directory);
    history_free(history);
    g_rand_free(random);
  }
  ck_assert_uint_gt(mixed, 0);
}
END_TEST

/* Tombstones above the horizon stay, to the last one: an older value may still come. */
START_TEST(a_delete_above_the_horizon_stays)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  TestWrite delete = {0};
  tw_delete(&delete, "d", NULL, 0, 1000);
  apply_write(store, (LogId){1, 1}, 1, 500, &delete);
  ck_assert(!maintain(store, 499, 1000));
  ck_assert_uint_eq(stats_of(store).tombstones, 1);
  TestWrite late = {0};
  tw_cell(&late, "d", 5, "m", TW_INT32(1));
  apply_write(store, (LogId){2, 1}, 1, 400, &late);
  ck_assert_uint_eq(digest_of(store).cells, 0);
  while (maintain(store, 500, 1000))
    ;
  ck_assert_uint_eq(stats_of(store).tombstones, 0);
  ck_assert_uint_eq(stats_of(store).maintained_hlc, 500);
  ck_assert_uint_eq(digest_of(store).cells, 0);
  store_close(store);
  remove_tree(directory);
}
END_TEST

static void write_blocks(Store *store, guint first, guint count)
{
  for (guint i = first; i < first + count; i++) {
    TestWrite write = {0};
    g_autofree char *text = g_malloc0(20001);
    GRand *random = g_rand_new_with_seed(i);
    for (guint k = 0; k < 20000; k++)
      text[k] = (char)g_rand_int_range(random, 'a', 'z');
    g_rand_free(random);
    tw_cell(&write, "d", i, "m", TW_TEXT(text));
    apply_write(store, (LogId){1, 1}, i + 1, 1000 + i, &write);
  }
}

START_TEST(the_space_comes_back)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  write_blocks(store, 0, 300);
  ck_assert(store_persist(store, TRUE, NULL));
  guint64 full = stats_of(store).bytes_on_disk;
  ck_assert_uint_gt(full, 2 << 20);
  TestWrite delete = {0};
  tw_delete(&delete, "d", NULL, 0, 1000);
  apply_write(store, (LogId){1, 1}, 301, 5000, &delete);
  while (maintain(store, 5000, 1 << 20))
    ;
  ck_assert(store_persist(store, TRUE, NULL));
  ck_assert(!maintain(store, 5000, 1));
  /* RocksDB compacts in the background. */
  gint64 until_us = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
  while (stats_of(store).bytes_on_disk > full / 10 && g_get_monotonic_time() < until_us)
    g_usleep(10000);
  ck_assert_uint_lt(stats_of(store).bytes_on_disk, full / 10);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- damage and bounds ---------------------------------------------------------------------------
 */

static void write_partitions(Store *store, const char *device, guint64 *index, guint partitions)
{
  for (guint i = 0; i < partitions * 8; i++) {
    TestWrite write = {0};
    tw_cell(&write, device, (gint64)i % partitions * INTERVAL + i / partitions, "m", TW_INT64(i));
    ++*index;
    apply_write(store, (LogId){1, 1}, *index, 1000 + *index, &write);
  }
}

static gboolean can_query(Store *store, const char *device, gint64 start, gint64 end)
{
  Query query = {.device = device, .start_time = start, .end_time = end, .limit = 1000};
  g_autoptr(GError) error = NULL;
  g_autoptr(Table) table = store_query(store, &query, &error);
  ck_assert(table != NULL || g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  return table != NULL;
}

/* A block that can't be read fails its own reads: all others become chunks around it. */
START_TEST(a_damaged_block_is_left_out)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  g_autofree char *directory = make_directory();
  guint64 index = 0;
  Store *store = open_rocks_chunking(directory, CHUNKING);
  write_partitions(store, "d", &index, 5);
  write_partitions(store, "e", &index, 3);
  persist(store);
  store_close(store);
  ck_assert_int_gt(halve_records(directory, "d", "R", 2, 1), 0);
  for (guint round = 0; round < 3; round++) {
    store = open_rocks_chunking(directory, CHUNKING);
    while (maintain(store, G_MAXUINT64 - 1, 100))
      ;
    StoreStats stats = stats_of(store);
    ck_assert_uint_eq(stats.chunks.chunks, 4 + 3);
    ck_assert_uint_eq(stats.chunks.cells, (4 + 3) * 8);
    ck_assert(can_query(store, "d", 0, 2 * INTERVAL - 1));
    ck_assert(!can_query(store, "d", 2 * INTERVAL, 3 * INTERVAL - 1));
    ck_assert(can_query(store, "d", 3 * INTERVAL, 5 * INTERVAL));
    persist(store);
    store_close(store);
  }
  /* What comes to the place later is taken, and stays beside it. */
  store = open_rocks_chunking(directory, CHUNKING);
  write_partitions(store, "d", &index, 5);
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  ck_assert_uint_eq(stats_of(store).chunks.chunks, 4 + 3);
  ck_assert_uint_gt(stats_of(store).raw_blocks, 0);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(a_damaged_chunk_is_left_out)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  g_autofree char *directory = make_directory();
  guint64 index = 0;
  Store *store = open_rocks_chunking(directory, CHUNKING);
  write_partitions(store, "d", &index, 3);
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  persist(store);
  store_close(store);
  ck_assert_int_eq(halve_records(directory, "d", "C", 1, 1), 1);
  store = open_rocks_chunking(directory, CHUNKING);
  write_partitions(store, "d", &index, 4);
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  ck_assert_uint_eq(stats_of(store).chunks.chunks, 4);
  ck_assert(can_query(store, "d", 0, INTERVAL - 1));
  ck_assert(!can_query(store, "d", INTERVAL, 2 * INTERVAL - 1));
  ck_assert(can_query(store, "d", 2 * INTERVAL, 5 * INTERVAL));
  store_close(store);
  remove_tree(directory);
}
END_TEST

static void write_delete(Store *store, const char *device, gint64 first, gint64 last,
                         guint64 *index)
{
  TestWrite write = {0};
  tw_delete(&write, device, NULL, first, last);
  ++*index;
  apply_write(store, (LogId){1, 1}, *index, 1000 + *index, &write);
}

/* Five partitions, of which the third has something that can't be read, and three deletes: one
 * touches it. Carried out is what can be. */
static void check_stuck_deletes(const char *kinds, guint chunking)
{
  g_autofree char *directory = make_directory();
  guint64 index = 0;
  Store *store = open_rocks_chunking(directory, chunking);
  write_partitions(store, "d", &index, 5);
  write_partitions(store, "e", &index, 3);
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  persist(store);
  store_close(store);
  ck_assert_int_gt(damage_records(directory, "d", kinds, 2, 1, TRUE), 0);
  store = open_rocks_chunking(directory, chunking);
  write_delete(store, "d", 0, 3, &index);
  write_delete(store, "d", INTERVAL + 2, 3 * INTERVAL + 1, &index);
  write_delete(store, "d", 4 * INTERVAL, 5 * INTERVAL, &index);
  write_delete(store, "e", 0, 2 * INTERVAL, &index);
  for (guint round = 0; round < 2; round++) {
    while (maintain(store, G_MAXUINT64 - 1, 100))
      ;
    ck_assert_uint_eq(stats_of(store).tombstones, 1);
    ck_assert_uint_eq(stats_of(store).damaged_buckets, 1);
    Query query = {.device = "d", .start_time = 0, .end_time = 2 * INTERVAL - 1, .limit = 100};
    check_text(query_text(store, &query),
               "4: m=20\n5: m=25\n6: m=30\n7: m=35\n100: m=1\n101: m=6\n");
    query.start_time = 3 * INTERVAL;
    query.end_time = 9 * INTERVAL;
    check_text(query_text(store, &query),
               "302: m=13\n303: m=18\n304: m=23\n305: m=28\n306: m=33\n307: m=38\n");
    ck_assert(!can_query(store, "d", 2 * INTERVAL + 2, 3 * INTERVAL - 1));
    persist(store);
    store_close(store);
    store = open_rocks_chunking(directory, chunking);
  }
  /* Mended as of a moment behind the deletes; then the last one goes too. */
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  g_autoptr(GPtrArray) nothing = g_ptr_array_new();
  BucketMend mend = {"d", 2 * INTERVAL, G_MAXUINT64 - 1, nothing};
  g_autoptr(GError) error = NULL;
  ck_assert_msg(store_mend(store, &mend, &error), "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq(stats_of(store).damaged_buckets, 0);
  while (maintain(store, G_MAXUINT64 - 1, 100))
    ;
  ck_assert_uint_eq(stats_of(store).tombstones, 0);
  check_device(store, "d",
               "4: m=20\n5: m=25\n6: m=30\n7: m=35\n100: m=1\n101: m=6\n302: m=13\n303: "
               "m=18\n304: m=23\n305: m=28\n306: m=33\n307: m=38\n");
  store_close(store);
  remove_tree(directory);
}

/* Deletes that touch a damaged bucket wait, and hide what they hide; nothing else does (P8). */
START_TEST(p8_deletes_wait_for_a_damaged_block)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  check_stuck_deletes("R", 0);
}
END_TEST

START_TEST(p8_deletes_wait_for_a_damaged_chunk)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  check_stuck_deletes("C", CHUNKING);
}
END_TEST

/* What another leader writes over a damaged block can't be compared with it: that is counted. */
START_TEST(p8_a_look_for_conflicts_passes_by_damage)
{
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* the damage is told as critical */
  g_autofree char *directory = make_directory();
  guint64 index = 0;
  Store *store = open_rocks(directory);
  write_partitions(store, "d", &index, 3);
  persist(store);
  store_close(store);
  ck_assert_int_gt(damage_records(directory, "d", "R", 1, 1, TRUE), 0);
  store = open_rocks(directory);
  for (guint i = 0; i < 3; i++) {
    TestWrite write = {0};
    tw_cell(&write, "d", (gint64)i * INTERVAL, "m", TW_INT64(-1));
    if (i == 2)
      tw_delete(&write, "d", NULL, 0, 3 * INTERVAL);
    apply_write(store, (LogId){2, 1}, i + 1, 5000 + i, &write);
  }
  while (maintain(store, 0, 100))
    ;
  StoreStats stats = stats_of(store);
  ck_assert_uint_eq(stats.conflicts.pending, 0);
  ck_assert_uint_eq(stats.conflicts.overflowed, 2); /* the value, the delete in that bucket */
  ck_assert_uint_gt(stats.conflicts.by_kind[CONFLICT_OVERWRITE], 0);
  ck_assert_uint_eq(stats.damaged_buckets, 1);
  store_close(store);
  remove_tree(directory);
}
END_TEST

enum { COLUMNS = 5, ROWS_OF_ALL = 1000 };

/* Rows of a device whose columns begin and end together, but for the last one, which is missing
 * here and there, and one of TEXT. */
static void write_columns(Store *store)
{
  static const char *const names[COLUMNS] = {"a", "b", "c", "d", "e"};
  for (guint i = 0; i < ROWS_OF_ALL; i++) {
    TestWrite write = {0};
    Value values[COLUMNS] = {TW_FLOAT64((i * 7919) % 1000 / 8.0), TW_INT64((gint64)i << 40),
                             TW_FLOAT32((float)i / 4), TW_TEXT("text"), TW_BOOLEAN(i % 3 == 0)};
    if (i % 50 == 7)
      values[0].float64 = i % 100 == 7 ? NAN : -0.0;
    guint count = i % 5 == 0 ? COLUMNS - 1 : COLUMNS;
    tw_row(&write, "d", (gint64)i * 2 - 700, count, names, values);
    apply_write(store, (LogId){1, 1}, i + 1, 1000 + i, &write);
  }
}

static void check_reads(GRand *random, Store *store, Store *mem)
{
  static const char *const sets[][4] = {{"a"},      {"a", "b"}, {"b", "c", "a"}, {"d"},
                                        {"a", "e"}, {"e"},      {"a", "d", "b"}, {"x"}};
  gint64 from = g_rand_int_range(random, -750, 1350);
  gint64 to = from + g_rand_int_range(random, 0, g_rand_boolean(random) ? 2000 : 90);
  const char *const *names = sets[g_rand_int_range(random, 0, G_N_ELEMENTS(sets))];
  Query query = {.device = "d",
                 .measurements = names,
                 .start_time = from,
                 .end_time = to,
                 .limit = (guint)g_rand_int_range(random, 1, 300),
                 .descending = g_rand_int_range(random, 0, 4) == 0};
  g_autofree char *x = query_text(store, &query), *y = query_text(mem, &query);
  check_same_text(x, y);
  AggregateQuery aggregate = {.device = "d",
                              .measurement = names[0],
                              .start_time = from,
                              .end_time = to,
                              .window = (guint64)g_rand_int_range(random, 0, 300),
                              .limit = (guint)g_rand_int_range(random, 1, 20)};
  g_autofree char *v = aggregate_text(store, &aggregate), *w = aggregate_text(mem, &aggregate);
  check_same_text(v, w);
}

/* Where there is nothing else, chunks are read straight into the answers. */
START_TEST(chunks_alone_are_read_as_what_they_were)
{
  g_autofree char *directory = make_directory();
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  Store *store = open_rocks_chunking(directory, CHUNKING), *mem = open_mem();
  write_columns(store);
  write_columns(mem);
  while (maintain(store, 1000 + ROWS_OF_ALL, 10000))
    ;
  ck_assert_uint_eq(stats_of(store).raw_blocks, 0);
  for (guint i = 0; i < HISTORIES(400); i++)
    check_reads(random, store, mem);
  /* Deletes that are not carried out yet. */
  for (guint i = 0; i < 3; i++) {
    TestWrite to_store = {0}, to_mem = {0};
    const char *const names[] = {"a", NULL};
    gint64 first = (gint64)i * 500 - 600;
    tw_delete(&to_store, "d", i == 1 ? names : NULL, first, first + 120);
    tw_delete(&to_mem, "d", i == 1 ? names : NULL, first, first + 120);
    apply_write(store, (LogId){1, 1}, ROWS_OF_ALL + 1 + i, 1000 + ROWS_OF_ALL + i, &to_store);
    apply_write(mem, (LogId){1, 1}, ROWS_OF_ALL + 1 + i, 1000 + ROWS_OF_ALL + i, &to_mem);
  }
  for (guint i = 0; i < HISTORIES(400); i++)
    check_reads(random, store, mem);
  check_same(store, mem);
  store_close(store);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

/* Two sets of columns in turn: the blocks of either have clocks between those of the other. */
static void write_in_turn(Store *store, guint rows)
{
  for (guint i = 0; i < rows; i++) {
    TestWrite write = {0};
    tw_cell(&write, "d", i % 97, i % 2 == 0 ? "a" : "b", TW_INT64(i));
    if (i % 512 == 511)
      tw_delete(&write, "d", NULL, i % 90, i % 90 + 5);
    apply_write(store, (LogId){1, 1}, i + 1, 1000 + i, &write);
  }
}

/* A step takes a bounded part of a partition, also where no block is older than the others. */
START_TEST(blocks_are_split_where_clocks_overlap)
{
  enum { ROWS = 2000, BUDGET = 2000, END = 1000 + ROWS };
  g_autofree char *directory = make_directory();
  Store *store = open_rocks_chunking(directory, CHUNKING), *mem = open_mem();
  write_in_turn(store, ROWS);
  write_in_turn(mem, ROWS);
  guint steps = 0;
  guint64 persisted = 0;
  for (gboolean more = TRUE; more; steps++) {
    more = maintain(store, END, BUDGET);
    if (!SANITIZED || steps % 8 == 0)
      check_same(store, mem);
    if (steps % 3 == 0) {
      persist(store);
      persisted++;
      store_close(store);
      store = open_rocks_chunking(directory, CHUNKING);
    }
  }
  ck_assert_uint_gt(steps, 20); /* one, if it took all that overlaps */
  ck_assert_uint_gt(persisted, 1);
  ck_assert_uint_eq(stats_of(store).raw_blocks, 0);
  ck_assert_uint_eq(stats_of(store).chunks.cells, digest_of(store).cells);
  check_same(store, mem);
  store_close(store);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

/* All that is due is taken; how many that were. */
static guint take_due(ReblockQueue *queue, guint64 stable, guint8 *taken)
{
  guint count = 0;
  guint32 device;
  gint64 partition;
  while (reblock_queue_next(queue, stable, &device, &partition)) {
    reblock_queue_left(queue, device, partition, &(Backlog){0}, TRUE);
    fast_assert(!taken[partition]);
    taken[partition] = 1;
    count++;
  }
  return count;
}

/* Partitions that are closed and too small to be worth it: they make room for others. */
START_TEST(small_partitions_do_not_fill_the_queue)
{
  enum { SMALL = REBLOCK_PLACES + 1000 };
  ReblockQueue *queue = reblock_queue_new(64);
  g_autofree guint8 *taken = g_new0(guint8, SMALL + 1);
  for (guint i = 0; i < 100; i++)
    reblock_queue_add(queue, 1, i, &(Backlog){1, 1, 1000});
  ck_assert_uint_eq(take_due(queue, 2000, taken), 0);
  for (guint i = 100; i < SMALL; i++)
    reblock_queue_add(queue, 1, i, &(Backlog){1, 1, 1000});
  ck_assert(!reblock_queue_take_lost(queue));
  ck_assert_uint_eq(take_due(queue, 2000, taken), REBLOCK_PLACES);
  ck_assert_uint_eq(reblock_queue_blocks(queue), 0);
  /* The rest had no room, and is found again. A new one finds room. */
  ck_assert(reblock_queue_take_lost(queue));
  ck_assert(!reblock_queue_take_lost(queue));
  reblock_queue_add(queue, 1, SMALL, &(Backlog){64, 64, 3000});
  ck_assert_uint_eq(take_due(queue, 3000, taken), 1);
  ck_assert(taken[SMALL]);
  reblock_queue_free(queue);
}
END_TEST

/* Where nothing could be taken, nothing is looked at. */
START_TEST(half_of_what_is_enough_must_be_stable)
{
  ReblockQueue *queue = reblock_queue_new(64);
  guint32 device;
  gint64 partition;
  for (guint i = 1; i <= 100; i++) {
    reblock_queue_add(queue, 1, 1, &(Backlog){1, 100, i * 10});
    ck_assert(!reblock_queue_next(queue, MIN(i * 10 - 1, 319), &device, &partition));
  }
  ck_assert(reblock_queue_next(queue, 320, &device, &partition));
  reblock_queue_left(queue, device, partition, &(Backlog){68, 6800, 1000}, FALSE);
  ck_assert(!reblock_queue_next(queue, 999, &device, &partition));
  ck_assert(reblock_queue_next(queue, 1000, &device, &partition));
  reblock_queue_left(queue, device, partition, &(Backlog){66, 6600, 1000}, TRUE);
  ck_assert(reblock_queue_next(queue, 1000, &device, &partition));
  reblock_queue_left(queue, device, partition, &(Backlog){0}, FALSE);
  ck_assert_uint_eq(reblock_queue_blocks(queue), 0);
  reblock_queue_free(queue);
}
END_TEST

START_TEST(what_is_left_out_is_not_due)
{
  ReblockQueue *queue = reblock_queue_new(64);
  guint32 device;
  gint64 partition;
  guint left_out = 0;
  for (guint i = 0; i < REBLOCK_LEFT_OUT + 10; i++)
    reblock_queue_add(queue, 1, i, &(Backlog){64, 64, 1000});
  while (reblock_queue_next(queue, 1000, &device, &partition)) {
    reblock_queue_leave_out(queue, device, partition);
    left_out++;
  }
  ck_assert_uint_eq(left_out, REBLOCK_LEFT_OUT + 10);
  ck_assert_uint_eq(reblock_queue_blocks(queue), REBLOCK_LEFT_OUT * 64);
  for (guint i = 0; i < REBLOCK_LEFT_OUT + 10; i++)
    reblock_queue_add(queue, 1, i, &(Backlog){64, 64, 2000});
  guint again = 0;
  while (reblock_queue_next(queue, 2000, &device, &partition)) {
    reblock_queue_take_back(queue, device, partition); /* does nothing */
    reblock_queue_left(queue, device, partition, &(Backlog){0}, TRUE);
    again++;
  }
  ck_assert_uint_eq(again, 10);
  for (guint i = 0; i < REBLOCK_LEFT_OUT + 10; i++)
    reblock_queue_take_back(queue, 1, i);
  for (again = 0; reblock_queue_next(queue, 2000, &device, &partition); again++)
    reblock_queue_left(queue, device, partition, &(Backlog){0}, TRUE);
  ck_assert_uint_eq(again, REBLOCK_LEFT_OUT);
  ck_assert_uint_eq(reblock_queue_blocks(queue), 0);
  reblock_queue_free(queue);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {nothing_is_seen_of_maintenance,
                                a_delete_above_the_horizon_stays,
                                the_space_comes_back,
                                blocks_are_split_where_clocks_overlap,
                                chunks_alone_are_read_as_what_they_were,
                                a_damaged_block_is_left_out,
                                a_damaged_chunk_is_left_out,
                                p8_deletes_wait_for_a_damaged_block,
                                p8_deletes_wait_for_a_damaged_chunk,
                                p8_a_look_for_conflicts_passes_by_damage,
                                small_partitions_do_not_fill_the_queue,
                                half_of_what_is_enough_must_be_stable,
                                what_is_left_out_is_not_due};
  return RUN_SUITE("maintain", tests);
}
