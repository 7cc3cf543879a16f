/* What the tests of the stores share: opening them, applying writes, reading answers as text. */
#pragma once

#include "store/store.h"
#include "support/suite.h"
#include "support/write_builder.h"

#include <glib/gstdio.h>

enum { INTERVAL = 100 }; /* units of time per partition: small, so that there are many */

static inline void remove_tree(const char *directory)
{
  g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    remove_tree(path);
  }
  g_remove(directory);
}

static inline char *make_directory(void)
{
  char *directory = g_dir_make_tmp("test-store-XXXXXX", NULL);
  ck_assert_ptr_nonnull(directory);
  return directory;
}

/* Blocks become chunks in store_maintain() from so many on; 0: they never do. */
static inline Store *open_rocks_chunking(const char *directory, guint reblock_blocks)
{
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 4 << 20,
                          .block_cache_size = 4 << 20,
                          .reblock_blocks = reblock_blocks};
  g_autoptr(GError) error = NULL;
  Store *store = store_rocks_new(&options, &error);
  fast_assert_msg(store != NULL, "%s", error != NULL ? error->message : "");
  return store;
}

static inline Store *open_rocks(const char *directory)
{
  return open_rocks_chunking(directory, 0);
}

static inline Store *open_mem(void)
{
  StoreOptions options = {.partition_interval = INTERVAL};
  return store_mem_new(&options);
}

/* Runs the test against both implementations. */
static inline void with_both(void (*test)(Store *store))
{
  Store *mem = open_mem();
  test(mem);
  store_close(mem);
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory);
  test(rocks);
  store_close(rocks);
  remove_tree(directory);
}

static inline Decoded *decode(const GByteArray *bytes)
{
  g_autoptr(GError) error = NULL;
  Decoded *decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
  fast_assert_msg(decoded != NULL, "%s", error != NULL ? error->message : "");
  return decoded;
}

static inline void apply_bytes(Store *store, LogId log, guint64 index, guint64 hlc,
                               const GByteArray *bytes)
{
  g_autoptr(Decoded) decoded = decode(bytes);
  StoreEntry entry = {log, index, hlc, decoded};
  g_autoptr(GError) error = NULL;
  fast_assert_msg(store_apply(store, &entry, 1, &error), "%s", error != NULL ? error->message : "");
}

static inline void apply_write(Store *store, LogId log, guint64 index, guint64 hlc,
                               TestWrite *write)
{
  g_autoptr(GByteArray) bytes = tw_end(write);
  apply_bytes(store, log, index, hlc, bytes);
}

/* --- answers as text ----------------------------------------------------------------------------
 */

/* Exact: floating point by its bits where the number does not show them. */
static inline void put_value(GString *out, const Value *value)
{
  switch (value->type) {
  case DATA_BOOLEAN:
    g_string_append(out, value->boolean ? "true" : "false");
    break;
  case DATA_INT32:
    g_string_append_printf(out, "%d", value->int32);
    break;
  case DATA_INT64:
    g_string_append_printf(out, "%" G_GINT64_FORMAT, value->int64);
    break;
  case DATA_FLOAT: {
    guint32 bits;
    memcpy(&bits, &value->float32, sizeof bits);
    g_string_append_printf(out, "%.9g/%08x", (double)value->float32, bits);
    break;
  }
  case DATA_DOUBLE: {
    guint64 bits;
    memcpy(&bits, &value->float64, sizeof bits);
    g_string_append_printf(out, "%.17g/%016" G_GINT64_MODIFIER "x", value->float64, bits);
    break;
  }
  case DATA_TEXT:
    g_string_append_printf(out, "'%s'", value->text.bytes);
    break;
  }
}

static inline void put_table(GString *out, const Table *table)
{
  for (guint row = 0; row < table->timestamps->len; row++) {
    g_string_append_printf(out, "%" G_GINT64_FORMAT ":",
                           g_array_index(table->timestamps, gint64, row));
    for (guint i = 0; i < table->columns->len; i++) {
      const Column *column = table->columns->pdata[i];
      Value value;
      fast_assert(column->rows == table->timestamps->len);
      if (!column_get(column, row, &value))
        continue;
      g_string_append_printf(out, " %s=", column->measurement);
      put_value(out, &value);
      value_clear(&value);
    }
    g_string_append_c(out, '\n');
  }
}

/* All pages of a query, one behind the other. */
static inline char *query_text(Store *store, const Query *asked)
{
  Query query = *asked;
  GString *out = g_string_new(NULL);
  g_autoptr(GBytes) page = NULL;
  do {
    g_autoptr(GError) error = NULL;
    query.page = page;
    g_autoptr(Table) table = store_query(store, &query, &error);
    fast_assert_msg(table != NULL, "%s", error != NULL ? error->message : "");
    fast_assert(table->timestamps->len <= query.limit);
    fast_assert(table->next_page == NULL || table->timestamps->len > 0);
    put_table(out, table);
    g_clear_pointer(&page, g_bytes_unref);
    page = g_steal_pointer(&table->next_page);
  } while (page != NULL);
  return g_string_free(out, FALSE);
}

/* Everything of a device, in one page. */
static inline char *device_text(Store *store, const char *device)
{
  Query query = {
      .device = device, .start_time = G_MININT64, .end_time = G_MAXINT64, .limit = 100000};
  return query_text(store, &query);
}

static inline void check_device(Store *store, const char *device, const char *expected)
{
  g_autofree char *text = device_text(store, device);
  ck_assert_msg(strcmp(text, expected) == 0, "%s: got\n%sexpected\n%s", store->ops->name, text,
                expected);
}

static inline char *aggregate_text(Store *store, const AggregateQuery *query)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Aggregate) aggregate = store_aggregate(store, query, &error);
  fast_assert_msg(aggregate != NULL, "%s", error != NULL ? error->message : "");
  GString *out = g_string_new(data_type_name((int)aggregate->type));
  g_string_append_c(out, '\n');
  for (guint i = 0; i < aggregate->windows->len; i++) {
    const Window *window = &g_array_index(aggregate->windows, Window, i);
    g_string_append_printf(out, "%" G_GINT64_FORMAT ": n=%" G_GUINT64_FORMAT, window->start_time,
                           window->count);
    if (aggregate->type != DATA_TEXT) {
      g_string_append_printf(out, " sum=%.17g avg=%.17g min=", window->sum, window->avg);
      put_value(out, &window->min);
      g_string_append(out, " max=");
      put_value(out, &window->max);
    }
    g_string_append_printf(out, " first=%" G_GINT64_FORMAT "/", window->first_time);
    put_value(out, &window->first);
    g_string_append_printf(out, " last=%" G_GINT64_FORMAT "/", window->last_time);
    put_value(out, &window->last);
    g_string_append_c(out, '\n');
  }
  if (aggregate->more)
    g_string_append_printf(out, "more from %" G_GINT64_FORMAT "\n", aggregate->next_start_time);
  return g_string_free(out, FALSE);
}

static inline char *last_text(Store *store, const char *device, const char *const *measurements)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) values = store_last(store, device, measurements, &error);
  fast_assert_msg(values != NULL, "%s", error != NULL ? error->message : "");
  GString *out = g_string_new(NULL);
  for (guint i = 0; i < values->len; i++) {
    const LastValue *last = values->pdata[i];
    g_string_append_printf(out, "%s %s %" G_GINT64_FORMAT "=", last->measurement,
                           data_type_name((int)last->value.type), last->timestamp);
    put_value(out, &last->value);
    g_string_append_c(out, '\n');
  }
  return g_string_free(out, FALSE);
}

static inline char *series_text(Store *store, const char *prefix, const char *after, guint limit)
{
  g_autoptr(GError) error = NULL;
  gboolean more;
  g_autoptr(GPtrArray) devices = store_series(store, prefix, after, limit, &more, &error);
  fast_assert(devices != NULL);
  GString *out = g_string_new(NULL);
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    g_string_append_printf(out, "%s:", device->name);
    for (guint k = 0; k < device->measurements->len; k++) {
      const Measurement *one = &g_array_index(device->measurements, Measurement, k);
      g_string_append_printf(out, " %s/%s%s", one->name, data_type_name((int)one->type),
                             one->conflicting ? "!" : "");
    }
    g_string_append_c(out, '\n');
  }
  if (more)
    g_string_append(out, "more\n");
  return g_string_free(out, FALSE);
}

static inline void check_text(char *got, const char *expected)
{
  ck_assert_msg(strcmp(got, expected) == 0, "got\n%sexpected\n%s", got, expected);
  g_free(got);
}

static inline StateDigest digest_of(Store *store)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) progress = NULL;
  StateDigest digest;
  fast_assert_msg(store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, &error),
                  "%s", error != NULL ? error->message : "");
  return digest;
}

static inline gboolean same_digest(StateDigest a, StateDigest b)
{
  return a.low == b.low && a.high == b.high && a.cells == b.cells && a.devices == b.devices;
}

static inline StoreStats stats_of(Store *store)
{
  StoreStats stats;
  store_stats(store, &stats);
  return stats;
}

/* One step, as a node does it, behind all that waits for a look; TRUE: there is more to do. */
static inline gboolean maintain(Store *store, guint64 horizon, gsize budget)
{
  g_autoptr(GError) error = NULL;
  gboolean more = TRUE;
  while (more)
    fast_assert(store_find_conflicts(store, 0, 1 << 20, &more, NULL));
  fast_assert_msg(store_maintain(store, horizon, budget, &more, &error), "%s",
                  error != NULL ? error->message : "");
  return more;
}

/* What the store says of one log. */
static inline guint64 applied_of(Store *store, LogId log, gboolean durable)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) progress = store_progress(store, durable, &error);
  fast_assert(progress != NULL);
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *one = &g_array_index(progress, StoreProgress, i);
    if (log_id_equal(one->log, log))
      return one->applied;
  }
  return 0;
}

static inline void persist(Store *store)
{
  g_autoptr(GError) error = NULL;
  fast_assert_msg(store_persist(store, TRUE, &error), "%s", error != NULL ? error->message : "");
}
