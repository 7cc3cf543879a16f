/* The store alone, without daemons: bytes per point on disk, and how fast all is read, as data was
 * written and joined to chunks. */
#include "bench.h"

#include "base/error.h"
#include "store/store.h"
#include "support/write_builder.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
  STEP_MS = 1000, /* between two rows of a device */
  COLUMNS = 5,
  TABLET_ROWS = 100,
  PAGE_ROWS = 100000,
  BUDGET = 8 << 20, /* of a step of maintenance */
  REBLOCK_BLOCKS = 64,
  MEMTABLE_SIZE = 32 << 20,
  CACHE_SIZE = 64 << 20,
  FIRST_HLC = 1000,
};

static const gint64 FIRST_TIME = 1764000000000;

/* Spans of a partition: that of rows every second, and of measurements every five minutes. */
static const guint64 HOUR_MS = 3600 * 1000, MONTH_MS = G_GUINT64_CONSTANT(30) * 24 * 3600 * 1000;

/* A store that is filled. */
typedef struct Filling {
  Store *store;
  guint64 interval_ms;
  guint64 entries, points;
  GPtrArray *devices; /* names */
} Filling;

static gboolean take(Filling *filling, TestWrite *write, GError **error)
{
  g_autoptr(GByteArray) bytes = tw_end(write);
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, filling->interval_ms, error);
  if (decoded == NULL)
    return FALSE;
  filling->entries++;
  filling->points += store_decoded_points(decoded);
  StoreEntry entry = {{1, 1}, filling->entries, FIRST_HLC + filling->entries, decoded};
  return store_apply(filling->store, &entry, 1, error);
}

static gboolean take_tablet(Filling *filling, const char *device, const gint64 *times, guint rows,
                            Column *const *columns, guint count, GError **error)
{
  TestWrite write = {0};
  tw_tablet(&write, device, times, rows, columns, count);
  return take(filling, &write, error);
}

/* Three decimals around a mean, as from a sensor. */
static double sample(guint64 number, guint column)
{
  guint32 mixed = (guint32)(number + column * 7919) * 2654435761U;
  return 20.0 + column + (mixed >> 22) / 1000.0;
}

static void add_devices(Filling *filling, guint count)
{
  for (guint i = 0; i < count; i++)
    g_ptr_array_add(filling->devices, g_strdup_printf("device.%u", i));
}

static gboolean fill_rows(Filling *filling, const char *data, GError **error)
{
  enum { DEVICES = 100, ROWS = 4000 };
  static const char *const names[COLUMNS] = {"s0", "s1", "s2", "s3", "s4"};
  (void)data;
  add_devices(filling, DEVICES);
  for (guint row = 0; row < ROWS; row++)
    for (guint device = 0; device < DEVICES; device++) {
      Value values[COLUMNS];
      for (guint i = 0; i < COLUMNS; i++)
        values[i] = TW_FLOAT64(sample((guint64)row * DEVICES + device, i));
      TestWrite write = {0};
      tw_row(&write, filling->devices->pdata[device], FIRST_TIME + (gint64)row * STEP_MS, COLUMNS,
             names, values);
      if (!take(filling, &write, error))
        return FALSE;
    }
  return TRUE;
}

typedef double (*Sampler)(gpointer ctx, guint64 number, guint column);

static gboolean fill_with(Filling *filling, Sampler sampler, gpointer ctx, GError **error)
{
  enum { DEVICES = 10, TABLETS = 400 };
  add_devices(filling, DEVICES);
  for (guint tablet = 0; tablet < TABLETS; tablet++)
    for (guint device = 0; device < DEVICES; device++) {
      gint64 times[TABLET_ROWS];
      g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func((GDestroyNotify)column_free);
      for (guint row = 0; row < TABLET_ROWS; row++)
        times[row] = FIRST_TIME + (gint64)(tablet * TABLET_ROWS + row) * STEP_MS;
      for (guint i = 0; i < COLUMNS; i++) {
        g_autofree char *name = g_strdup_printf("s%u", i);
        Column *column = column_new(name, DATA_DOUBLE);
        for (guint row = 0; row < TABLET_ROWS; row++) {
          double value = sampler(ctx, (guint64)tablet * TABLET_ROWS + row + device * 31, i);
          column_append_packed(column, &value, 1);
        }
        g_ptr_array_add(columns, column);
      }
      if (!take_tablet(filling, filling->devices->pdata[device], times, TABLET_ROWS,
                       (Column *const *)columns->pdata, COLUMNS, error))
        return FALSE;
    }
  return TRUE;
}

static double sample_of(gpointer ctx, guint64 number, guint column)
{
  (void)ctx;
  return sample(number, column);
}

static gboolean fill_tablets(Filling *filling, const char *data, GError **error)
{
  (void)data;
  return fill_with(filling, sample_of, NULL, error);
}

static double random_of(gpointer ctx, guint64 number, guint column)
{
  (void)number, (void)column;
  return g_rand_double(ctx);
}

static gboolean fill_random(Filling *filling, const char *data, GError **error)
{
  (void)data;
  GRand *random = g_rand_new_with_seed(1);
  gboolean good = fill_with(filling, random_of, random, error);
  g_rand_free(random);
  return good;
}

/* --- measurements from files --------------------------------------------------------------------
 */

/* "2015-09-01 13:45:00,3.06" */
static gboolean parse_line(const char *line, gint64 *out_time, double *out_value)
{
  g_autofree char *stamp = g_strndup(line, 19);
  if (strlen(line) < 21 || line[19] != ',')
    return FALSE;
  g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
  g_autoptr(GDateTime) moment = g_date_time_new_from_iso8601(stamp, utc);
  if (moment == NULL)
    return FALSE;
  *out_time = g_date_time_to_unix(moment) * 1000;
  *out_value = g_ascii_strtod(line + 20, NULL);
  return TRUE;
}

/* One device for each file, tablets of TABLET_ROWS rows. */
static gboolean fill_file(Filling *filling, const char *path, GError **error)
{
  g_autofree char *text = NULL, *name = g_path_get_basename(path);
  if (!g_file_get_contents(path, &text, NULL, error))
    return FALSE;
  g_ptr_array_add(filling->devices, g_strdup(name));
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  gint64 times[TABLET_ROWS];
  guint rows = 0;
  g_autoptr(Column) column = column_new("value", DATA_DOUBLE);
  gboolean good = TRUE;
  for (guint i = 0; good && lines[i] != NULL; i++) {
    double value;
    if (parse_line(lines[i], &times[rows], &value)) {
      column_append_packed(column, &value, 1);
      rows++;
    }
    if (rows == 0 || (rows < TABLET_ROWS && lines[i + 1] != NULL))
      continue;
    good = take_tablet(filling, name, times, rows, &column, 1, error);
    g_byte_array_set_size(column->values, 0);
    column->rows = rows = 0;
  }
  return good;
}

static gboolean fill_folder(Filling *filling, const char *path, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open(path, 0, error);
  const char *name;
  gboolean good = dir != NULL;
  while (good && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *inner = g_build_filename(path, name, NULL);
    if (g_file_test(inner, G_FILE_TEST_IS_DIR))
      good = fill_folder(filling, inner, error);
    else if (g_str_has_suffix(name, ".csv"))
      good = fill_file(filling, inner, error);
  }
  return good;
}

/* --- measuring ----------------------------------------------------------------------------------
 */

static double cpu_s(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All pages of the device, in the order of time. Adds the points. */
static gboolean scan(Store *store, const char *device, guint64 *points, GError **error)
{
  g_autoptr(GBytes) page = NULL;
  do {
    Query query = {.device = device,
                   .start_time = G_MININT64,
                   .end_time = G_MAXINT64,
                   .limit = PAGE_ROWS,
                   .page = page};
    g_autoptr(Table) table = store_query(store, &query, error);
    if (table == NULL)
      return FALSE;
    *points += (guint64)table->timestamps->len * table->columns->len;
    g_clear_pointer(&page, g_bytes_unref);
    page = g_steal_pointer(&table->next_page);
  } while (page != NULL);
  return TRUE;
}

/* Points per second of CPU, over and over for a while. */
static gboolean scan_rate(const Filling *filling, double *out_rate, GError **error)
{
  guint64 points = 0;
  double begin = cpu_s();
  do {
    for (guint i = 0; i < filling->devices->len; i++)
      if (!scan(filling->store, filling->devices->pdata[i], &points, error))
        return FALSE;
  } while (cpu_s() - begin < 0.5);
  *out_rate = (double)points / (cpu_s() - begin);
  return TRUE;
}

static gboolean join(Store *store, GError **error)
{
  gboolean more = TRUE;
  while (more)
    if (!store_find_conflicts(store, 0, BUDGET, &more, error))
      return FALSE;
  for (more = TRUE; more;)
    if (!store_maintain(store, G_MAXUINT64 - 1, BUDGET, &more, error))
      return FALSE;
  return TRUE;
}

typedef gboolean Fill(Filling *filling, const char *data, GError **error);

/* One store; its figures go to `out`, their names with the prefix. */
static gboolean measure(const Options *options, Fill *fill, guint64 interval_ms, gboolean chunks,
                        json_t *out, GError **error)
{
  g_autofree char *dir = scratch_dir(options->dir, error);
  if (dir == NULL)
    return FALSE;
  StoreOptions store_options = {.directory = dir,
                                .partition_interval = interval_ms,
                                .memtable_size = MEMTABLE_SIZE,
                                .block_cache_size = CACHE_SIZE,
                                .reblock_blocks = REBLOCK_BLOCKS};
  Filling filling = {.store = store_rocks_new(&store_options, error),
                     .interval_ms = interval_ms,
                     .devices = g_ptr_array_new_with_free_func(g_free)};
  double rate = 0;
  gboolean good = filling.store != NULL && fill(&filling, options->data, error) &&
                  (!chunks || join(filling.store, error)) &&
                  store_persist(filling.store, TRUE, error) && scan_rate(&filling, &rate, error);
  if (good) {
    StoreStats stats;
    store_stats(filling.store, &stats);
    json_object_set_new(out, "points", json_integer((json_int_t)filling.points));
    json_object_set_new(out, chunks ? "chunk_bytes_per_point" : "raw_bytes_per_point",
                        json_real((double)stats.bytes_on_disk / (double)filling.points));
    json_object_set_new(out, chunks ? "chunk_points_per_cpu_s" : "raw_points_per_cpu_s",
                        json_real(rate));
  }
  if (filling.store != NULL)
    store_close(filling.store);
  g_ptr_array_unref(filling.devices);
  remove_dir(dir);
  return good;
}

json_t *bench_layout(Bench *bench, GError **error)
{
  static const struct {
    const char *name;
    Fill *fill;
    guint64 interval_ms;
  } shapes[] = {{"rows", fill_rows, HOUR_MS},
                {"tablets", fill_tablets, HOUR_MS},
                {"random doubles", fill_random, HOUR_MS},
                {"data", fill_folder, MONTH_MS}};
  const Options *options = bench->options;
  json_t *out = json_pack("{s:s, s:s}", "workload", options->workload, "target", "store");
  json_t *all = json_array();
  json_object_set_new(out, "shapes", all);
  for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
    if (shapes[i].fill == fill_folder &&
        (options->data == NULL || !g_file_test(options->data, G_FILE_TEST_IS_DIR)))
      continue;
    json_t *shape = json_pack("{s:s}", "name", shapes[i].name);
    json_array_append_new(all, shape);
    guint64 interval_ms = shapes[i].interval_ms;
    if (!measure(options, shapes[i].fill, interval_ms, FALSE, shape, error) ||
        !measure(options, shapes[i].fill, interval_ms, TRUE, shape, error)) {
      json_decref(out);
      return NULL;
    }
  }
  return out;
}
