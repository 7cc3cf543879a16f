/*
 * Conflicts between leaders: which are found, that each is told exactly once whatever was broken
 * off in between, and that the journal keeps its bounds.
 */
#include "history.h"
#include "raw_blocks.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "store/pending.h"

enum { ALL = 1 << 30 };

static const LogId first = {1, 1}, second = {2, 1}, third = {3, 1};

static Store *open_chunking(const char *directory, gsize journal_size, guint reblock_blocks)
{
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 4 << 20,
                          .block_cache_size = 4 << 20,
                          .journal_size = journal_size,
                          .reblock_blocks = reblock_blocks};
  g_autoptr(GError) error = NULL;
  Store *store = store_rocks_new(&options, &error);
  fast_assert_msg(store != NULL, "%s", error != NULL ? error->message : "");
  return store;
}

static Store *open_at(const char *directory, gsize journal_size)
{
  return open_chunking(directory, journal_size, 0);
}

static gboolean find_some(Store *store, gsize budget)
{
  g_autoptr(GError) error = NULL;
  gboolean more;
  fast_assert_msg(store_find_conflicts(store, 777, budget, &more, &error), "%s",
                  error != NULL ? error->message : "");
  return more;
}

static void find_all(Store *store)
{
  while (find_some(store, ALL))
    ;
}

static ConflictCounts counts_of(Store *store)
{
  StoreStats stats;
  store_stats(store, &stats);
  return stats.conflicts;
}

static void put_side(GString *out, const ConflictSide *side, gboolean exact)
{
  g_string_append_printf(out, " %u@%" G_GUINT64_FORMAT, side->origin, exact ? side->hlc : 0);
  if (side->is_delete)
    g_string_append(out, ":delete");
  else
    g_string_append_printf(out, ":%s", data_type_name((int)side->type));
  if (side->has_value && exact) {
    g_string_append_c(out, '=');
    put_value(out, &side->value);
  }
}

static char *conflict_text(const Conflict *conflict, gboolean exact)
{
  GString *out = g_string_new(conflict_kind_name((int)conflict->kind));
  g_string_append_printf(out, " %s.%s", conflict->device, conflict->measurement);
  if (exact)
    g_string_append_printf(out, " at %" G_GINT64_FORMAT, conflict->time);
  put_side(out, &conflict->winner, exact || conflict->kind == CONFLICT_DELETE);
  put_side(out, &conflict->loser, exact);
  return g_string_free(out, FALSE);
}

/* Calls for each entry, over pages of so many. */
static void for_each(Store *store, guint limit, const char *device,
                     void (*visit)(gpointer ctx, const Conflict *conflict), gpointer ctx)
{
  ConflictQuery query = {.limit = limit, .device = device};
  gboolean more = TRUE;
  guint64 before = 0;
  while (more) {
    g_autoptr(GError) error = NULL;
    g_autoptr(ConflictPage) page = store_conflicts(store, &query, &error);
    fast_assert_msg(page != NULL, "%s", error != NULL ? error->message : "");
    fast_assert(page->conflicts->len <= limit);
    for (guint i = 0; i < page->conflicts->len; i++) {
      const Conflict *conflict = page->conflicts->pdata[i];
      fast_assert(conflict->sequence > before && conflict->found_ms == 777);
      before = conflict->sequence;
      visit(ctx, conflict);
    }
    query.after = page->next_after;
    more = page->more;
  }
}

static void put_line(gpointer ctx, const Conflict *conflict)
{
  g_autofree char *text = conflict_text(conflict, TRUE);
  g_string_append_printf(ctx, "%s", text);
  if (conflict->cells > 1)
    g_string_append_printf(ctx, " ×%" G_GUINT64_FORMAT, conflict->cells);
  g_string_append_c(ctx, '\n');
}

static void check_journal(Store *store, const char *expected)
{
  find_all(store);
  g_autoptr(GString) text = g_string_new(NULL);
  for_each(store, 2, NULL, put_line, text);
  ck_assert_msg(strcmp(text->str, expected) == 0, "%s: got\n%sexpected\n%s", store->ops->name,
                text->str, expected);
}

static void cell(Store *store, LogId log, guint64 index, guint64 hlc, gint64 time, Value value)
{
  TestWrite write = {0};
  tw_cell(&write, "d", time, "m", value);
  apply_write(store, log, index, hlc, &write);
}

static void erase(Store *store, LogId log, guint64 index, guint64 hlc, gint64 from, gint64 to)
{
  TestWrite write = {0};
  tw_delete(&write, "d", NULL, from, to);
  apply_write(store, log, index, hlc, &write);
}

/* --- what is one --------------------------------------------------------------------------------
 */

static void two_leaders(Store *store)
{
  cell(store, first, 1, 10, 5, TW_INT32(1));
  cell(store, second, 1, 20, 5, TW_INT32(2)); /* the later one wins … */
  cell(store, second, 2, 21, 6, TW_INT32(3));
  cell(store, first, 2, 15, 6, TW_INT32(4)); /* … also when it was there first */
  cell(store, first, 3, 30, 7, TW_INT32(9));
  cell(store, second, 3, 31, 7, TW_INT32(9));
  cell(store, second, 4, 40, 8, TW_INT32(9));
  check_journal(store, "overwrite d.m at 5 2@20:INT32=2 1@10:INT32=1\n"
                       "overwrite d.m at 6 2@21:INT32=3 1@15:INT32=4\n");
  ck_assert_uint_eq(counts_of(store).by_kind[CONFLICT_OVERWRITE], 2);
  ck_assert_uint_eq(counts_of(store).by_kind[CONFLICT_SAME_VALUE], 1);
  ck_assert_uint_eq(conflict_counts_total(&(ConflictCounts){.by_kind = {0, 1, 2, 3, 4}}), 10);
  /* At equal clocks the greater node id wins. */
  cell(store, third, 1, 40, 8, TW_INT32(7));
  /* Three leaders: each is compared with the one that held. */
  cell(store, first, 4, 35, 8, TW_INT32(6));
  check_journal(store, "overwrite d.m at 5 2@20:INT32=2 1@10:INT32=1\n"
                       "overwrite d.m at 6 2@21:INT32=3 1@15:INT32=4\n"
                       "overwrite d.m at 8 3@40:INT32=7 2@40:INT32=9\n"
                       "overwrite d.m at 8 3@40:INT32=7 1@35:INT32=6\n");
}

START_TEST(a_value_of_another_leader_is_one)
{
  with_both(two_leaders);
}
END_TEST

static void one_leader(Store *store)
{
  for (guint i = 0; i < 20; i++)
    cell(store, first, i + 1, 10 + i, i % 3, TW_INT32((gint32)i));
  erase(store, first, 21, 50, 0, 2);
  cell(store, (LogId){1, 2}, 1, 60, 1, TW_INT32(1)); /* a later incarnation */
  cell(store, second, 1, 45, 7, TW_INT32(1));        /* another cell of the same block's range */
  erase(store, second, 2, 70, 7, 9);
  check_journal(store, "");
  ConflictCounts counts = counts_of(store);
  ck_assert_uint_eq(conflict_counts_total(&counts), 0);
  ck_assert_uint_eq(counts.overflowed, 0);
  ck_assert_uint_eq(counts.pending, 0);
}

START_TEST(what_one_leader_overwrites_of_its_own_is_none)
{
  with_both(one_leader);
}
END_TEST

static void deletes(Store *store)
{
  cell(store, first, 1, 10, 5, TW_INT32(1));
  cell(store, first, 2, 11, 150, TW_INT32(2));
  cell(store, second, 1, 12, 6, TW_INT32(3));
  erase(store, second, 2, 20, 0, 200);       /* hides two of the other's, one of its own */
  cell(store, first, 3, 15, 7, TW_INT32(4)); /* comes late */
  cell(store, first, 4, 30, 8, TW_INT32(5)); /* written behind the delete: nothing lost */
  cell(store, first, 5, 31, 5, TW_INT32(6)); /* nor of what is gone already */
  erase(store, third, 1, 25, 0, 100);        /* older than what is there but for nothing */
  check_journal(store, "delete d.m at 5 2@20:delete 1@10:INT32=1\n"
                       "delete d.m at 150 2@20:delete 1@11:INT32=2\n"
                       "delete d.m at 7 2@20:delete 1@15:INT32=4\n");
  ck_assert_uint_eq(counts_of(store).by_kind[CONFLICT_DELETE], 3);
}

START_TEST(a_delete_that_hides_anothers_value_is_one)
{
  with_both(deletes);
}
END_TEST

static void types(Store *store)
{
  cell(store, first, 1, 10, 5, TW_INT32(1));
  cell(store, second, 1, 8, 5, TW_FLOAT64(1));
  cell(store, second, 2, 9, 6, TW_FLOAT64(1));
  check_journal(store, "type d.m at 0 2@8:DOUBLE 1@10:INT32\n");
  ck_assert_uint_eq(counts_of(store).by_kind[CONFLICT_TYPE], 1);
}

START_TEST(two_types_of_one_measurement_are_one)
{
  with_both(types);
}
END_TEST

/* --- each exactly once --------------------------------------------------------------------------
 */

typedef struct Run {
  const History *history;
  GRand *random;
  char *directory;
  Store *rocks, *mem;
  GArray *order; /* guint: which log each entry came from */
  guint64 next[LOGS];
  guint reblock_blocks; /* 0: blocks stay as they are */
  guint mixed;          /* blocks of several leaders that were met */
} Run;

static void apply_to(Store *store, const History *history, guint log, guint64 at)
{
  apply_bytes(store, logs[log], at + 1, history->hlcs[log][at], history->writes[log][at]);
}

/* A crash: what was not persisted comes again, in the same order. */
static void crash(Run *run, gboolean promptly)
{
  store_close(run->rocks);
  run->mixed += raw_blocks(run->directory).many_leaders;
  run->rocks = open_chunking(run->directory, 0, run->reblock_blocks);
  guint64 next[LOGS] = {0};
  for (guint i = 0; i < run->order->len; i++) {
    guint log = g_array_index(run->order, guint, i);
    apply_to(run->rocks, run->history, log, next[log]++);
    if (promptly)
      find_all(run->rocks);
  }
}

static guint64 horizon_of(const Run *run)
{
  guint64 horizon = G_MAXUINT64 - 1;
  for (guint log = 0; log < LOGS; log++)
    if (run->next[log] < ENTRIES)
      horizon = MIN(horizon, run->next[log] > 0 ? run->history->hlcs[log][run->next[log] - 1] : 0);
  return horizon;
}

static void step(Run *run, gboolean promptly)
{
  GRand *random = run->random;
  guint log = (guint)g_rand_int_range(random, 0, LOGS);
  gboolean more;
  if (run->next[log] < ENTRIES) {
    apply_to(run->rocks, run->history, log, run->next[log]);
    apply_to(run->mem, run->history, log, run->next[log]);
    run->next[log]++;
    g_array_append_val(run->order, log);
  }
  if (promptly)
    find_all(run->rocks);
  switch (g_rand_int_range(random, 0, 10)) {
  case 0:
  case 1:
    find_some(run->rocks, (gsize)g_rand_int_range(random, 1, 400));
    break;
  case 2:
    persist(run->rocks);
    break;
  case 3:
    if (g_rand_int_range(random, 0, 3) == 0)
      crash(run, promptly);
    break;
  case 4: /* as a node does: behind all that waits */
    find_all(run->rocks);
    more = TRUE;
    for (guint i = 0; more && i < 20; i++)
      store_maintain(run->rocks, horizon_of(run), 200, &more, NULL);
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

typedef struct Sums {
  GHashTable *cells; /* text → guint64 */
  gboolean with_types;
} Sums;

static void add_to_sums(gpointer ctx, const Conflict *conflict)
{
  Sums *sums = ctx;
  if (conflict->kind == CONFLICT_TYPE && !sums->with_types)
    return; /* which of three types holds is told as of the look */
  char *text = conflict_text(conflict, conflict->kind == CONFLICT_OVERWRITE);
  guint64 *sum = g_hash_table_lookup(sums->cells, text);
  guint64 before = sum != NULL ? *sum : 0;
  sum = g_new(guint64, 1);
  *sum = before + conflict->cells;
  g_hash_table_replace(sums->cells, text, sum);
}

static Sums sums_of(Store *store, guint limit, gboolean with_types)
{
  Sums sums = {g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free), with_types};
  find_all(store);
  for_each(store, limit, NULL, add_to_sums, &sums);
  return sums;
}

static void check_same_conflicts(Run *run, gboolean promptly)
{
  Sums rocks = sums_of(run->rocks, (guint)g_rand_int_range(run->random, 1, 9), promptly);
  Sums mem = sums_of(run->mem, 1000, promptly);
  GHashTableIter iter;
  gpointer text, sum;
  g_hash_table_iter_init(&iter, mem.cells);
  while (g_hash_table_iter_next(&iter, &text, &sum)) {
    const guint64 *found = g_hash_table_lookup(rocks.cells, text);
    fast_assert_msg(found != NULL && *found == *(guint64 *)sum,
                    "%s: %" G_GUINT64_FORMAT " expected, got %" G_GUINT64_FORMAT, (char *)text,
                    *(guint64 *)sum, found != NULL ? *found : 0);
  }
  g_hash_table_iter_init(&iter, rocks.cells);
  while (g_hash_table_iter_next(&iter, &text, NULL))
    fast_assert_msg(g_hash_table_contains(mem.cells, text), "not expected: %s", (char *)text);
  ck_assert_uint_eq(g_hash_table_size(rocks.cells), g_hash_table_size(mem.cells));
  ck_assert_uint_gt(g_hash_table_size(mem.cells), 10);
  ConflictCounts a = counts_of(run->rocks), b = counts_of(run->mem);
  for (guint kind = 1; kind < CONFLICT_TYPE; kind++)
    ck_assert_uint_eq(a.by_kind[kind], b.by_kind[kind]);
  ck_assert_uint_eq(a.overflowed, 0);
  g_hash_table_unref(rocks.cells);
  g_hash_table_unref(mem.cells);
}

static void compare_histories(gboolean promptly)
{
  guint64 chunks = 0;
  for (guint32 seed = 1; seed <= HISTORIES(16); seed++) {
    GRand *random = g_rand_new_with_seed(seed);
    History *history = history_new(random);
    Run run = {.history = history,
               .random = random,
               .directory = make_directory(),
               .reblock_blocks = seed % 2 == 0 ? 2 : 0,
               .order = g_array_new(FALSE, FALSE, sizeof(guint))};
    run.rocks = open_chunking(run.directory, 0, run.reblock_blocks);
    run.mem = open_mem();
    while (!is_at_end(&run))
      step(&run, promptly);
    check_same_conflicts(&run, promptly);
    persist(run.rocks);
    crash(&run, promptly);
    ck_assert(promptly || run.mixed > 0 || run.reblock_blocks > 0);
    chunks += stats_of(run.rocks).chunks.chunks;
    check_same_conflicts(&run, promptly);
    store_close(run.rocks);
    store_close(run.mem);
    remove_tree(run.directory);
    g_free(run.directory);
    g_array_unref(run.order);
    history_free(history);
    g_rand_free(random);
  }
  ck_assert_uint_gt(chunks, 0);
}

START_TEST(both_stores_find_the_same_at_once)
{
  compare_histories(TRUE);
}
END_TEST

START_TEST(both_stores_find_the_same_later_and_across_crashes)
{
  compare_histories(FALSE);
}
END_TEST

static void apply_tablet(Store *store, LogId log, guint64 index, guint64 hlc, guint rows,
                         gint32 value)
{
  g_autofree gint64 *row_times = g_new(gint64, rows);
  Column *column = column_new("m", DATA_INT32);
  for (guint row = 0; row < rows; row++) {
    row_times[row] = row;
    tw_append(column, &TW_INT32(value + (gint32)row));
  }
  column_finish(column);
  TestWrite write = {0};
  tw_tablet(&write, "d", row_times, rows, &column, 1);
  apply_write(store, log, index, hlc, &write);
  column_free(column);
}

/* More than one step can write: each goes on where the last one ended. */
START_TEST(a_large_block_is_told_in_parts)
{
  enum { ROWS = 40000 };
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 64 << 20);
  apply_tablet(store, first, 1, 10, ROWS, 0);
  apply_tablet(store, second, 1, 20, ROWS, 1);
  guint steps = 0;
  while (find_some(store, ALL))
    steps++;
  ck_assert_uint_gt(steps, 2);
  ConflictCounts counts = counts_of(store);
  ck_assert_uint_eq(counts.by_kind[CONFLICT_OVERWRITE], ROWS);
  ck_assert_uint_eq(counts.last_sequence, ROWS);
  ck_assert_uint_eq(counts.first_sequence, 1);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- bounds -------------------------------------------------------------------------------------
 */

static void count_entry(gpointer ctx, const Conflict *conflict)
{
  (void)conflict;
  (*(guint *)ctx)++;
}

START_TEST(the_oldest_entries_are_dropped_first)
{
  enum { ROWS = 40000 };
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, STORE_MIN_JOURNAL_SIZE);
  apply_tablet(store, first, 1, 10, ROWS, 0);
  apply_tablet(store, second, 1, 20, ROWS, 1);
  find_all(store);
  ConflictCounts counts = counts_of(store);
  ck_assert_uint_eq(counts.by_kind[CONFLICT_OVERWRITE], ROWS); /* counted all the same */
  ck_assert_uint_eq(counts.last_sequence, ROWS);
  ck_assert_uint_gt(counts.first_sequence, 1);
  ck_assert_uint_le(counts.bytes, STORE_MIN_JOURNAL_SIZE);
  ck_assert_uint_gt(counts.bytes, STORE_MIN_JOURNAL_SIZE / 2);
  guint entries = 0;
  for_each(store, 5000, NULL, count_entry, &entries);
  ck_assert_uint_eq(entries, counts.last_sequence - counts.first_sequence + 1);
  entries = 0;
  for_each(store, 5000, "another", count_entry, &entries);
  ck_assert_uint_eq(entries, 0);
  persist(store);
  store_close(store);
  store = open_at(directory, STORE_MIN_JOURNAL_SIZE);
  ConflictCounts again = counts_of(store);
  ck_assert(memcmp(&again, &counts, sizeof counts) == 0);
  cell(store, third, 1, 99, 1, TW_INT32(-1));
  find_all(store);
  ck_assert_uint_eq(counts_of(store).last_sequence, ROWS + 1);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(a_long_text_is_cut_at_a_character)
{
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 0);
  g_autoptr(GString) text = g_string_new("x");
  while (text->len < 1000)
    g_string_append(text, "\xc3\xbc");
  cell(store, first, 1, 10, 5, TW_TEXT(text->str));
  cell(store, second, 1, 20, 5, TW_TEXT("short"));
  find_all(store);
  ConflictQuery query = {.limit = 10};
  g_autoptr(ConflictPage) page = store_conflicts(store, &query, NULL);
  ck_assert_uint_eq(page->conflicts->len, 1);
  const Conflict *conflict = page->conflicts->pdata[0];
  ck_assert_uint_eq(conflict->loser.value_size, 1001);
  ck_assert_uint_eq(conflict->loser.value.text.size, LIMIT_CONFLICT_TEXT - 1);
  ck_assert(g_utf8_validate(conflict->loser.value.text.bytes, -1, NULL));
  ck_assert_str_eq(conflict->winner.value.text.bytes, "short");
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* Many blocks of one cell each, in entries of so many. */
static void apply_blocks(Store *store, LogId log, guint64 hlc, guint entries, guint per_entry)
{
  for (guint i = 0; i < entries; i++) {
    TestWrite write = {0};
    for (guint k = 0; k < per_entry; k++)
      tw_cell(&write, "d", (gint64)i * per_entry + k, "m", TW_TEXT(log.origin == 1 ? "a" : "b"));
    apply_write(store, log, i + 1, hlc + i, &write);
  }
}

START_TEST(what_finds_no_room_is_counted)
{
  enum { ENTRIES_EACH = 68, PER_ENTRY = 1000 };
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 64 << 20);
  apply_blocks(store, first, 10, ENTRIES_EACH, PER_ENTRY);
  ck_assert_uint_eq(counts_of(store).pending, 0);
  apply_blocks(store, second, 1000, ENTRIES_EACH, PER_ENTRY);
  ConflictCounts counts = counts_of(store);
  ck_assert_uint_eq(counts.pending, PENDING_CHECKS);
  ck_assert_uint_eq(counts.overflowed, ENTRIES_EACH * PER_ENTRY - PENDING_CHECKS);
  persist(store);
  store_close(store);
  store = open_at(directory, 64 << 20); /* what waits is kept too */
  ConflictCounts again = counts_of(store);
  ck_assert_uint_eq(again.pending, PENDING_CHECKS);
  ck_assert_uint_eq(again.overflowed, counts.overflowed);
  find_all(store);
  ck_assert_uint_eq(counts_of(store).by_kind[CONFLICT_OVERWRITE], PENDING_CHECKS);
  ck_assert_uint_eq(counts_of(store).pending, 0);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* However many blocks there are, a step is short; what is applied meanwhile is told too. */
START_TEST(a_large_partition_is_read_in_steps)
{
  enum { BLOCKS = 3000, BUDGET = 2000 };
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 0);
  Query elsewhere = {.device = "d", .start_time = -2, .end_time = -1, .limit = 1};
  for (guint i = 0; i < BLOCKS; i++) {
    cell(store, first, i + 1, 10 + i, i % INTERVAL, TW_INT32((gint32)i));
    /* A reader in between: the row becomes a block of its own. */
    g_autoptr(Table) nothing = store_query(store, &elsewhere, NULL);
    fast_assert(nothing != NULL);
  }
  cell(store, second, 1, 9, 5, TW_INT32(-1));
  guint steps = 0;
  while (find_some(store, BUDGET)) {
    if (steps++ == 3)
      cell(store, third, 1, 100000, 5, TW_INT32(-2));
  }
  ck_assert_uint_gt(steps, BLOCKS * 45 / BUDGET);
  check_journal(store, "overwrite d.m at 5 1@2915:INT32=2905 2@9:INT32=-1\n"
                       "overwrite d.m at 5 3@100000:INT32=-2 1@2915:INT32=2905\n");
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* Memory is bounded: what touches too much is not told, and counted. */
START_TEST(what_is_too_large_to_compare_is_counted)
{
  enum { TEXTS = 70 };
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 0);
  g_autofree char *text = g_strnfill(LIMIT_TEXT_SIZE, 'x');
  for (guint i = 0; i < TEXTS; i++) {
    TestWrite write = {0};
    tw_cell(&write, "d", i, "large", TW_TEXT(text));
    apply_write(store, first, i + 1, 10 + i, &write);
  }
  apply_tablet(store, second, 1, 200, TEXTS, 1);
  find_all(store);
  ck_assert_uint_eq(counts_of(store).overflowed, 1);
  erase(store, second, 2, 300, 0, TEXTS);
  find_all(store);
  ck_assert_uint_eq(counts_of(store).overflowed, 2);
  ck_assert_uint_eq(counts_of(store).pending, 0);
  check_journal(store, "");
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- damage -------------------------------------------------------------------------------------
 */

/* Puts bytes into the closed store's database, or takes a record out. */
static void tamper(const char *directory, const void *key, gsize key_size, const char *value)
{
  char *message = NULL;
  rocksdb_options_t *options = rocksdb_options_create();
  rocksdb_t *db = rocksdb_open(options, directory, &message);
  ck_assert_ptr_null(message);
  rocksdb_writeoptions_t *write_options = rocksdb_writeoptions_create();
  if (value != NULL)
    rocksdb_put(db, write_options, key, key_size, value, strlen(value), &message);
  else
    rocksdb_delete(db, write_options, key, key_size, &message);
  ck_assert_ptr_null(message);
  rocksdb_writeoptions_destroy(write_options);
  rocksdb_close(db);
  rocksdb_options_destroy(options);
}

static char *store_with_conflicts(void)
{
  char *directory = make_directory();
  Store *store = open_at(directory, 0);
  for (guint i = 0; i < 3; i++) {
    cell(store, first, i + 1, 10 + i, i, TW_INT32(1));
    cell(store, second, i + 1, 20 + i, i, TW_INT32(2));
  }
  find_all(store);
  persist(store);
  store_close(store);
  return directory;
}

START_TEST(a_damaged_entry_is_left_out_and_told)
{
  g_autofree char *directory = store_with_conflicts();
  guint8 key[9] = {'J'};
  store_be64(key + 1, 2);
  tamper(directory, key, sizeof key, "\x01\x01garbage");
  Store *store = open_at(directory, 0);
  ConflictQuery query = {.limit = 10};
  g_autoptr(ConflictPage) page = store_conflicts(store, &query, NULL);
  ck_assert_ptr_nonnull(page);
  ck_assert_uint_eq(page->conflicts->len, 2);
  ck_assert_uint_eq(page->unreadable, 1);
  ck_assert_uint_eq(page->next_after, 3);
  cell(store, third, 1, 99, 1, TW_INT32(-1));
  find_all(store);
  ck_assert_uint_eq(counts_of(store).last_sequence, 4);
  store_close(store);
  remove_tree(directory);
}
END_TEST

START_TEST(a_damaged_record_of_the_counters_is_reported)
{
  g_autofree char *directory = store_with_conflicts();
  tamper(directory, "MJ", 2, "x");
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 4 << 20,
                          .block_cache_size = 4 << 20};
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_rocks_new(&options, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  ck_assert_ptr_nonnull(strstr(error->message, directory));
  remove_tree(directory);
}
END_TEST

/* A store that was written before there was a journal does not know who wrote to its devices. */
START_TEST(devices_of_an_older_store_are_looked_at)
{
  g_autofree char *directory = make_directory();
  Store *store = open_at(directory, 0);
  cell(store, first, 1, 10, 5, TW_INT32(1));
  persist(store);
  store_close(store);
  guint8 key[9] = {'O', 0, 0, 0, 1, 0, 0, 0, 1};
  tamper(directory, key, sizeof key, NULL);
  store = open_at(directory, 0);
  cell(store, second, 1, 20, 5, TW_INT32(2));
  check_journal(store, "overwrite d.m at 5 2@20:INT32=2 1@10:INT32=1\n");
  store_close(store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_value_of_another_leader_is_one,
                                what_one_leader_overwrites_of_its_own_is_none,
                                a_delete_that_hides_anothers_value_is_one,
                                two_types_of_one_measurement_are_one,
                                both_stores_find_the_same_at_once,
                                both_stores_find_the_same_later_and_across_crashes,
                                a_large_block_is_told_in_parts,
                                the_oldest_entries_are_dropped_first,
                                a_long_text_is_cut_at_a_character,
                                what_finds_no_room_is_counted,
                                a_large_partition_is_read_in_steps,
                                what_is_too_large_to_compare_is_counted,
                                a_damaged_entry_is_left_out_and_told,
                                a_damaged_record_of_the_counters_is_reported,
                                devices_of_an_older_store_are_looked_at};
  return RUN_SUITE("conflicts", tests);
}
