/* Reads, reserve and decode beside the thread that applies. */
#include "support/tsan_rocksdb.h"
#include "tools.h"

static const LogId test_log = {1, 1000};

/* --- types --------------------------------------------------------------------------------------
 */

enum { RACERS = 4, RACES = 300 };

typedef struct Racer {
  Store *store;
  DataType type;
  gint *arrived;
  gboolean won[RACES];
} Racer;

static Value value_of_type(DataType type)
{
  return type == DATA_INT32 ? TW_INT32(1) : type == DATA_INT64 ? TW_INT64(1) : TW_FLOAT64(1);
}

static gpointer race(gpointer data)
{
  Racer *racer = data;
  g_atomic_int_inc(racer->arrived);
  while (g_atomic_int_get(racer->arrived) < RACERS)
    g_thread_yield();
  for (guint i = 0; i < RACES; i++) {
    g_autofree char *name = g_strdup_printf("m%u", i);
    TestWrite write = {0};
    tw_cell(&write, "d", 1, "common", TW_BOOLEAN(TRUE));
    tw_cell(&write, "d", 1, name, value_of_type(racer->type));
    g_autoptr(GByteArray) bytes = tw_end(&write);
    g_autoptr(Decoded) decoded = decode(bytes);
    g_autoptr(GError) error = NULL;
    racer->won[i] = store_reserve(racer->store, decoded, &error);
    fast_assert(racer->won[i] || error->code == SYNCLOG_TYPE_MISMATCH);
  }
  return NULL;
}

static void check_races(Store *store)
{
  Racer racers[RACERS];
  GThread *threads[RACERS];
  gint arrived = 0;
  static const DataType types[RACERS] = {DATA_INT32, DATA_INT64, DATA_DOUBLE, DATA_DOUBLE};
  for (guint i = 0; i < RACERS; i++) {
    racers[i] = (Racer){.store = store, .type = types[i], .arrived = &arrived};
    threads[i] = g_thread_new("racer", race, &racers[i]);
  }
  for (guint i = 0; i < RACERS; i++)
    g_thread_join(threads[i]);
  for (guint i = 0; i < RACES; i++) {
    guint winners = (guint)(racers[0].won[i] + racers[1].won[i] + racers[2].won[i]);
    ck_assert_msg(winners == 1, "%u types were reserved for m%u", winners, i);
    ck_assert_int_eq(racers[2].won[i], racers[3].won[i]); /* of one type: no race */
  }
}

START_TEST(one_type_wins)
{
  with_both(check_races);
}
END_TEST

/* --- reads beside apply -------------------------------------------------------------------------
 */

enum { ENTRIES = 400, READERS = 3 };

typedef struct Shared {
  Store *store;
  gint stop;
  gint rounds; /* of the readers */
} Shared;

/*
 * Entry i sets `same` at two far times to i, adds a column of its own beside `mark`, and moves the
 * only cell of `single`: whoever reads sees all of it or nothing.
 */
static void apply_entry(Store *store, guint64 i)
{
  static const char *const single[] = {"single", NULL};
  g_autofree char *own = g_strdup_printf("own%" G_GUINT64_FORMAT, i);
  const char *const names[] = {"mark", own};
  const Value values[] = {TW_INT64((gint64)i), TW_INT64((gint64)i)};
  TestWrite write = {0};
  tw_cell(&write, "d", -1000, "same", TW_INT64((gint64)i));
  tw_cell(&write, "d", 100000, "same", TW_INT64((gint64)i));
  tw_row(&write, "e", (gint64)i, 2, names, values);
  tw_delete(&write, "d", single, G_MININT64, G_MAXINT64);
  tw_cell(&write, "d", (gint64)i * 50, "single", TW_INT64((gint64)i));
  apply_write(store, test_log, i, 100 + i, &write);
}

static void read_d(Store *store, guint64 at_least)
{
  static const char *const same[] = {"same", NULL}, *const single[] = {"single", NULL};
  Query query = {.device = "d",
                 .measurements = same,
                 .start_time = G_MININT64,
                 .end_time = G_MAXINT64,
                 .limit = 10};
  g_autoptr(Table) two = store_query(store, &query, NULL);
  Value first, second;
  fast_assert(two->timestamps->len == 2);
  fast_assert(column_get(two->columns->pdata[0], 0, &first) &&
              column_get(two->columns->pdata[0], 1, &second));
  fast_assert(first.int64 == second.int64 && (guint64)first.int64 >= at_least);
  query.measurements = single;
  g_autoptr(Table) one = store_query(store, &query, NULL);
  fast_assert_msg(one->timestamps->len == 1, "%u cells of the one", one->timestamps->len);
  g_autoptr(GPtrArray) last = store_last(store, "d", single, NULL);
  fast_assert(last->len == 1);
}

/* Whoever has its mark has its own column too. */
static void read_e(Store *store, guint64 at_least)
{
  Query query = {
      .device = "e", .start_time = (gint64)at_least - 3, .end_time = G_MAXINT64, .limit = ENTRIES};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  fast_assert(table->timestamps->len > 0);
  for (guint row = 0; row < table->timestamps->len; row++) {
    guint values = 0;
    for (guint i = 0; i < table->columns->len; i++) {
      Value value;
      values += column_get(table->columns->pdata[i], row, &value);
    }
    fast_assert_msg(values == 2, "a row of %u values", values);
  }
}

static void read_digest(Store *store, guint64 at_least)
{
  g_autoptr(GArray) progress = NULL;
  StateDigest digest;
  fast_assert(store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, NULL));
  guint64 applied = g_array_index(progress, StoreProgress, 0).applied;
  fast_assert(applied >= at_least);
  fast_assert(digest.cells == 3 + 2 * applied && digest.devices == 2);
}

static gpointer read_on(gpointer data)
{
  Shared *shared = data;
  while (!g_atomic_int_get(&shared->stop)) {
    guint64 applied = applied_of(shared->store, test_log, FALSE);
    read_d(shared->store, applied);
    read_e(shared->store, applied);
    read_digest(shared->store, applied);
    fast_assert(applied_of(shared->store, test_log, TRUE) <=
                applied_of(shared->store, test_log, FALSE));
    g_atomic_int_inc(&shared->rounds);
  }
  return NULL;
}

static void check_readers(Store *store)
{
  Shared shared = {.store = store};
  apply_entry(store, 1);
  GThread *threads[READERS];
  for (guint i = 0; i < READERS; i++)
    threads[i] = g_thread_new("reader", read_on, &shared);
  for (guint64 i = 2; i <= ENTRIES; i++) {
    apply_entry(store, i);
    if (i % 50 == 0)
      persist(store);
    /* Readers keep up, or nothing is read beside anything. */
    while (g_atomic_int_get(&shared.rounds) < (gint)i / 8)
      g_thread_yield();
  }
  g_atomic_int_set(&shared.stop, 1);
  for (guint i = 0; i < READERS; i++)
    g_thread_join(threads[i]);
  read_digest(store, ENTRIES);
}

START_TEST(readers_see_whole_entries)
{
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory);
  check_readers(rocks);
  store_close(rocks);
  remove_tree(directory);
}
END_TEST

/* --- last values beside mends -------------------------------------------------------------------
 */

enum { MENDED = 30, PARTS = 300 };

/* Asks for the last values of a device from before it is there. */
static gpointer ask_last(gpointer data)
{
  Shared *shared = data;
  while (!g_atomic_int_get(&shared->stop)) {
    g_autofree char *name = g_strdup_printf("new%d", g_atomic_int_get(&shared->rounds));
    g_autoptr(GPtrArray) values = store_last(shared->store, name, NULL, NULL);
    fast_assert(values != NULL);
  }
  return NULL;
}

/* Many versions of one row each. */
static GPtrArray *parts_of_device(Store *source, const char *device, guint64 *index)
{
  for (guint i = 0; i < PARTS; i++) {
    TestWrite write = {0};
    tw_cell(&write, device, (gint64)i % 100, "m", TW_INT64((gint64)i));
    ++*index;
    apply_write(source, test_log, *index, 100 + *index, &write);
  }
  BucketQuery query = {.device = device, .cut = G_MAXUINT64};
  g_autoptr(BucketPage) page = store_bucket(source, &query, 1 << 20, NULL);
  fast_assert(page != NULL && !page->more);
  return g_ptr_array_ref(page->parts);
}

START_TEST(last_values_of_a_new_device_beside_its_mend)
{
  g_autofree char *directory = make_directory();
  Store *source = open_mem(), *rocks = open_rocks(directory);
  Shared shared = {.store = rocks};
  guint64 index = 0;
  GThread *threads[2];
  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    threads[i] = g_thread_new("last", ask_last, &shared);
  for (gint i = 0; i < MENDED; i++) {
    g_autofree char *device = g_strdup_printf("new%d", i);
    g_autoptr(GPtrArray) parts = parts_of_device(source, device, &index);
    g_autoptr(GError) error = NULL;
    g_atomic_int_set(&shared.rounds, i);
    gboolean more = TRUE;
    while (more)
      fast_assert(store_find_conflicts(rocks, 1, 1 << 20, &more, NULL));
    fast_assert_msg(store_mend(rocks, &(BucketMend){device, 0, G_MAXUINT64, parts}, &error), "%s",
                    error != NULL ? error->message : "");
    check_text(last_text(rocks, device, NULL), "m INT64 99=299\n");
  }
  g_atomic_int_set(&shared.stop, 1);
  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    g_thread_join(threads[i]);
  store_close(source);
  store_close(rocks);
  remove_tree(directory);
}
END_TEST

/* --- readers that are always there --------------------------------------------------------------
 */

enum { WIDE = 1000, MANY_READERS = 8, SLIPPED_IN = 50 };

static gpointer read_wide(gpointer data)
{
  Shared *shared = data;
  while (!g_atomic_int_get(&shared->stop)) {
    g_autoptr(GPtrArray) last = store_last(shared->store, "wide", NULL, NULL);
    fast_assert(last->len == WIDE);
    g_atomic_int_inc(&shared->rounds);
  }
  return NULL;
}

/* Under the locks that entries need, and new names, some reader is at any time. */
START_TEST(p9_readers_that_overlap_keep_no_entry_out)
{
  g_autofree char *directory = make_directory();
  Shared shared = {.store = open_rocks(directory)};
  GThread *threads[MANY_READERS];
  TestWrite wide = {0};
  for (guint i = 0; i < WIDE; i++) {
    g_autofree char *name = g_strdup_printf("measurement %u", i);
    tw_cell(&wide, "wide", 1, name, TW_INT64((gint64)i));
  }
  apply_write(shared.store, test_log, 1, 100, &wide);
  for (guint i = 0; i < MANY_READERS; i++)
    threads[i] = g_thread_new("reader", read_wide, &shared);
  for (guint64 i = 2; i < 2 + SLIPPED_IN; i++) {
    gint rounds = g_atomic_int_get(&shared.rounds);
    while (g_atomic_int_get(&shared.rounds) == rounds)
      g_thread_yield();
    g_autofree char *device = g_strdup_printf("new %" G_GUINT64_FORMAT, i);
    TestWrite write = {0};
    tw_cell(&write, "wide", (gint64)i, "measurement 1", TW_INT64((gint64)i));
    tw_cell(&write, device, 1, "measurement 1", TW_INT64((gint64)i));
    apply_write(shared.store, test_log, i, 100 + i, &write);
  }
  g_atomic_int_set(&shared.stop, 1);
  for (guint i = 0; i < MANY_READERS; i++)
    g_thread_join(threads[i]);
  store_close(shared.store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {one_type_wins, readers_see_whole_entries,
                                last_values_of_a_new_device_beside_its_mend,
                                p9_readers_that_overlap_keep_no_entry_out};
  return RUN_SUITE("store threads", tests);
}
