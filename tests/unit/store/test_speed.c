/*
 * What a single row costs from its bytes to the memtable, and a tablet from its bytes to the file.
 * The figures are printed, for a person to compare; what is checked is that all rows arrived.
 */
#include "tools.h"

#include <time.h>

#if SANITIZED
enum { ROWS = 8000, TABLETS = 300 }; /* the figures mean nothing then */
#else
enum { ROWS = 100000, TABLETS = 10000 };
#endif

enum { COLUMNS = 5, DEVICES = 20, ENTRIES_PER_APPLY = 64, START = 1000000 };

static double cpu_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Some writes that differ in device and time, each of one row. */
static GPtrArray *make_writes(void)
{
  static const char *const names[COLUMNS] = {"temperature", "humidity", "pressure", "voltage",
                                             "current"};
  GPtrArray *writes = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
  for (guint i = 0; i < ROWS; i++) {
    g_autofree char *device = g_strdup_printf("site.line.machine%u", i % DEVICES);
    Value values[COLUMNS];
    for (guint k = 0; k < COLUMNS; k++)
      values[k] = TW_FLOAT64(20 + (double)((i + k) % 1000) / 100);
    TestWrite write = {0};
    tw_row(&write, device, START + (gint64)(i / DEVICES), COLUMNS, names, values);
    g_ptr_array_add(writes, tw_end(&write));
  }
  return writes;
}

/* The steps of a node for its own writes, each timed over all entries of one apply. */
static void run(Store *store, const GPtrArray *writes, LogId log, double seconds[4])
{
  gboolean more;
  for (guint begin = 0; begin < writes->len; begin += ENTRIES_PER_APPLY) {
    StoreEntry entries[ENTRIES_PER_APPLY];
    guint count = MIN(ENTRIES_PER_APPLY, writes->len - begin);
    double at_0 = cpu_seconds();
    for (guint i = 0; i < count; i++)
      entries[i] = (StoreEntry){log, begin + i + 1, log.origin * ROWS + begin + i + 1,
                                decode(writes->pdata[begin + i])};
    double at_1 = cpu_seconds();
    for (guint i = 0; i < count; i++)
      fast_assert(store_reserve(store, entries[i].decoded, NULL));
    double at_2 = cpu_seconds();
    fast_assert(store_apply(store, entries, count, NULL));
    for (guint i = 0; i < count; i++)
      store_decoded_free(entries[i].decoded);
    seconds[0] += at_1 - at_0;
    seconds[1] += at_2 - at_1;
    double at_3 = cpu_seconds();
    seconds[2] += at_3 - at_2;
    fast_assert(store_find_conflicts(store, 1, 1 << 20, &more, NULL));
    seconds[3] += cpu_seconds() - at_3;
  }
}

static void print_figures(const char *what, const double seconds[4])
{
  double all = seconds[0] + seconds[1] + seconds[2] + seconds[3];
  printf("%s of %d doubles: %.0f rows per CPU second; us per row: decode %.2f, reserve %.2f, "
         "apply %.2f, conflicts %.2f\n",
         what, COLUMNS, ROWS / all, seconds[0] * 1e6 / ROWS, seconds[1] * 1e6 / ROWS,
         seconds[2] * 1e6 / ROWS, seconds[3] * 1e6 / ROWS);
}

START_TEST(single_rows)
{
  g_autofree char *directory = make_directory();
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 32 << 20,
                          .block_cache_size = 8 << 20};
  Store *store = store_rocks_new(&options, NULL);
  g_autoptr(GPtrArray) writes = make_writes();
  double seconds[4] = {0};
  run(store, writes, (LogId){1, 1}, seconds);
  print_figures("single rows", seconds);
  StateDigest digest = digest_of(store);
  ck_assert_uint_eq(digest.cells, ROWS * COLUMNS);
  ck_assert_uint_eq(digest.devices, DEVICES);
  /* The same cells by another leader: all are looked at. */
  double contested[4] = {0};
  run(store, writes, (LogId){2, 1}, contested);
  print_figures("contested rows", contested);
  gboolean more = TRUE;
  while (more)
    fast_assert(store_find_conflicts(store, 1, 1 << 20, &more, NULL));
  StoreStats stats;
  store_stats(store, &stats);
  const ConflictCounts *counts = &stats.conflicts;
  ck_assert_uint_eq(counts->by_kind[CONFLICT_SAME_VALUE] + counts->overflowed * COLUMNS,
                    ROWS * COLUMNS);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* --- tablets ------------------------------------------------------------------------------------
 */

enum {
  TABLET_ROWS = 100,
  TABLET_DEVICES = 1000,
  MEMTABLE_SIZE = 32 << 20,
  TABLET_INTERVAL = 3600 * 1000, /* rows of a device come every millisecond */
};

/* Three decimals around a mean, as from a sensor. */
static double sample(guint number, guint column)
{
  return 20.0 + column + ((number + column * 7919) * 2654435761U >> 22) / 1000.0;
}

/* One after the other goes to the next device. */
static Decoded *decode_tablet(guint number, double *seconds)
{
  static const char *const names[COLUMNS] = {"temperature", "humidity", "pressure", "voltage",
                                             "current"};
  gint64 times[TABLET_ROWS];
  Column *columns[COLUMNS];
  gint64 first = START + (gint64)(number / TABLET_DEVICES * TABLET_ROWS);
  for (guint row = 0; row < TABLET_ROWS; row++)
    times[row] = first + row;
  for (guint i = 0; i < COLUMNS; i++) {
    columns[i] = column_new(names[i], DATA_DOUBLE);
    for (guint row = 0; row < TABLET_ROWS; row++) {
      double value = sample(number * 31 + row, i);
      column_append_packed(columns[i], &value, 1);
    }
  }
  g_autofree char *device = g_strdup_printf("site.line.machine%u", number % TABLET_DEVICES);
  TestWrite write = {0};
  tw_tablet(&write, device, times, TABLET_ROWS, columns, COLUMNS);
  for (guint i = 0; i < COLUMNS; i++)
    column_free(columns[i]);
  g_autoptr(GByteArray) bytes = tw_end(&write);
  double begin = cpu_seconds();
  Decoded *decoded = store_decode(bytes->data, bytes->len, TABLET_INTERVAL, NULL);
  *seconds += cpu_seconds() - begin;
  fast_assert(decoded != NULL);
  return decoded;
}

/* Seconds: of decoding, of applying, of persisting; RocksDB's own threads count where they work. */
static void run_tablets(Store *store, double seconds[3])
{
  for (guint begin = 0; begin < TABLETS; begin += ENTRIES_PER_APPLY) {
    StoreEntry entries[ENTRIES_PER_APPLY];
    guint count = MIN(ENTRIES_PER_APPLY, TABLETS - begin);
    for (guint i = 0; i < count; i++)
      entries[i] = (StoreEntry){{1, 1}, begin + i + 1, begin + i + 1, NULL};
    for (guint i = 0; i < count; i++)
      entries[i].decoded = decode_tablet(begin + i, &seconds[0]);
    double at_0 = cpu_seconds();
    fast_assert(store_apply(store, entries, count, NULL));
    for (guint i = 0; i < count; i++)
      store_decoded_free(entries[i].decoded);
    double at_1 = cpu_seconds();
    seconds[1] += at_1 - at_0;
    if (store_unpersisted(store) < MEMTABLE_SIZE && begin + count < TABLETS)
      continue;
    fast_assert(store_persist(store, TRUE, NULL));
    seconds[2] += cpu_seconds() - at_1;
  }
}

START_TEST(tablets)
{
  g_autofree char *directory = make_directory();
  StoreOptions options = {.directory = directory,
                          .partition_interval = TABLET_INTERVAL,
                          .memtable_size = MEMTABLE_SIZE,
                          .block_cache_size = 8 << 20};
  Store *store = store_rocks_new(&options, NULL);
  double seconds[3] = {0};
  run_tablets(store, seconds);
  printf("tablets of %d rows of %d doubles, %d devices: us per tablet: decode %.2f, apply %.2f, "
         "persist %.2f\n",
         TABLET_ROWS, COLUMNS, TABLET_DEVICES, seconds[0] * 1e6 / TABLETS,
         seconds[1] * 1e6 / TABLETS, seconds[2] * 1e6 / TABLETS);
  StateDigest digest = digest_of(store);
  ck_assert_uint_eq(digest.cells, TABLETS * TABLET_ROWS * COLUMNS);
  store_close(store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {single_rows, tablets};
  return RUN_SUITE("store speed", tests);
}
