/*
 * Questions to a store whose content is fixed: ranges, page tokens that a client made up,
 * aggregates, names. Rows come in order and lie in the range that was asked for; pages, one after
 * the other, give the same as one page; windows count what rows show.
 */
#include "fuzz/fuzz.h"
#include "store/store.h"
#include "support/write_builder.h"

enum { INTERVAL = 100, PAGES_MOST = 400 };

static const char *const devices[] = {"device", "device.2", "text", "none", ""};
static const char *const measurements[] = {"i", "d", "t", "none", NULL};

/* Cells here and there, around the ends of partitions and of time, some of them deleted again. */
static Store *fill_store(void)
{
  static const gint64 times[] = {
      G_MININT64, G_MININT64 + 1, -101,      -100, -1, 0, 1, 99, 100, 250,
      251,        G_MAXINT64 - 1, G_MAXINT64};
  StoreOptions options = {.partition_interval = INTERVAL};
  Store *store = store_mem_new(&options);
  TestWrite write = {0};
  for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
    tw_cell(&write, "device", times[i], "i", TW_INT32((gint32)i));
    if (i % 2 == 0)
      tw_cell(&write, "device", times[i], "d", TW_FLOAT64(i / 3.0));
    if (i % 3 == 0)
      tw_cell(&write, "device", times[i], "t", TW_TEXT("some text"));
    tw_cell(&write, "text", times[i], "t", TW_TEXT("more"));
    tw_cell(&write, "device.2", times[i], "i", TW_INT64(G_MAXINT64 - i));
  }
  for (guint64 index = 1; index <= 2; index++) {
    g_autoptr(GByteArray) bytes = tw_end(&write);
    g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, NULL);
    g_assert(decoded != NULL);
    StoreEntry entry = {{1, 17}, index, index, decoded};
    g_assert(store_apply(store, &entry, 1, NULL));
    tw_delete(&write, "device", (const char *const[]){"i", NULL}, 99, 250);
    tw_cell(&write, "device", 100, "i", TW_INT32(-7));
    tw_cell(&write, "device", 100, "i", TW_TEXT("of another type"));
  }
  g_autoptr(GByteArray) unused = tw_end(&write);
  return store;
}

/* What a table is worth: its rows as one text. */
static void put_rows(GString *out, const Table *table)
{
  for (guint row = 0; row < table->timestamps->len; row++) {
    g_string_append_printf(out, "%" G_GINT64_FORMAT, g_array_index(table->timestamps, gint64, row));
    for (guint i = 0; i < table->columns->len; i++) {
      const Column *column = table->columns->pdata[i];
      Value value;
      if (!column_get(column, row, &value))
        continue;
      g_string_append_printf(out, " %s/%d", column->measurement, (int)column->type);
      if (value.type == DATA_TEXT)
        g_string_append_printf(out, "=%s", value.text.bytes);
      else if (value.type == DATA_INT32)
        g_string_append_printf(out, "=%d", value.int32);
      value_clear(&value);
    }
    g_string_append_c(out, '\n');
  }
}

static void check_order(const Query *query, const Table *table, guint limit)
{
  g_assert(table->timestamps->len <= limit);
  for (guint row = 0; row < table->timestamps->len; row++) {
    const gint64 *time = &g_array_index(table->timestamps, gint64, row);
    g_assert(*time >= query->start_time && *time <= query->end_time);
    if (row > 0)
      g_assert(query->descending ? time[-1] > *time : time[-1] < *time);
  }
  for (guint i = 0; i < table->columns->len; i++)
    g_assert(column_check(table->columns->pdata[i], table->timestamps->len, NULL));
}

/* All rows from the query's page on. NULL when it is refused. */
static char *read_rows(Store *store, const Query *asked, guint limit)
{
  Query query = *asked;
  query.limit = limit;
  GString *out = g_string_new(NULL);
  g_autoptr(GBytes) page = asked->page != NULL ? g_bytes_ref(asked->page) : NULL;
  for (guint pages = 0;; pages++) {
    g_assert(pages < PAGES_MOST);
    g_autoptr(GError) error = NULL;
    query.page = page;
    g_autoptr(Table) table = store_query(store, &query, &error);
    if (table == NULL) {
      /* Only the page that came from outside may be none. */
      g_assert(pages == 0 && asked->page != NULL);
      g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
      g_string_free(out, TRUE);
      return NULL;
    }
    check_order(asked, table, limit);
    put_rows(out, table);
    g_clear_pointer(&page, g_bytes_unref);
    page = g_steal_pointer(&table->next_page);
    if (page == NULL)
      return g_string_free(out, FALSE);
  }
}

static void run_query(Store *store, FuzzInput *in, guint options)
{
  const char *some[] = {measurements[options % 4], measurements[options / 4 % 4], NULL};
  Query query = {.device = devices[fuzz_u8(in) % G_N_ELEMENTS(devices)],
                 .measurements = options & 64 ? some : NULL,
                 .descending = (options & 128) != 0};
  guint limit = 1 + fuzz_u8(in) % 8;
  query.start_time = (gint64)fuzz_u64(in);
  query.end_time = (gint64)fuzz_u64(in);
  g_autoptr(GBytes) page = in->left > 0 ? g_bytes_new(in->bytes, in->left) : NULL;
  query.page = page;
  g_autofree char *whole = read_rows(store, &query, 1000);
  g_autofree char *paged = read_rows(store, &query, limit);
  g_assert_cmpstr(whole, ==, paged);
}

/* Cells of one column in a range. FALSE when there is more than one of that name. */
static guint64 count_column(Store *store, const AggregateQuery *asked, DataType type)
{
  const char *const names[] = {asked->measurement, NULL};
  Query query = {.device = asked->device,
                 .measurements = names,
                 .start_time = asked->start_time,
                 .end_time = asked->end_time,
                 .limit = 1000};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  guint64 count = 0;
  for (guint i = 0; i < table->columns->len; i++) {
    const Column *column = table->columns->pdata[i];
    for (guint row = 0; column->type == type && row < column->rows; row++) {
      Value value;
      if (!column_get(column, row, &value))
        continue;
      count++;
      value_clear(&value);
    }
  }
  return count;
}

static guint64 add_windows(const AggregateQuery *query, const Aggregate *aggregate)
{
  guint64 count = 0;
  g_assert(aggregate->windows->len <= query->limit);
  for (guint i = 0; i < aggregate->windows->len; i++) {
    const Window *window = &g_array_index(aggregate->windows, Window, i);
    g_assert(window->count >= 1 && window->first.type == aggregate->type);
    g_assert(window->first_time >= window->start_time);
    g_assert(window->first_time <= window->last_time && window->last_time <= query->end_time);
    g_assert(i == 0 || window[-1].last_time < window->start_time || query->window == 0);
    count += window->count;
  }
  return count;
}

static void run_aggregate(Store *store, FuzzInput *in, guint options)
{
  AggregateQuery query = {.device = devices[fuzz_u8(in) % G_N_ELEMENTS(devices)],
                          .measurement = measurements[options % 4],
                          .limit = 1 + options / 4 % 16};
  query.start_time = (gint64)fuzz_u64(in);
  query.end_time = (gint64)fuzz_u64(in);
  query.window = fuzz_u64(in) & G_MAXINT64;
  AggregateQuery whole = query;
  guint64 count = 0;
  DataType type = DATA_BOOLEAN;
  for (guint pages = 0; pages < PAGES_MOST; pages++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Aggregate) aggregate = store_aggregate(store, &query, &error);
    if (aggregate == NULL) {
      g_assert(error->code == SYNCLOG_INVALID);
      return;
    }
    type = aggregate->type;
    count += add_windows(&query, aggregate);
    if (!aggregate->more)
      break;
    g_assert(aggregate->next_start_time > query.start_time);
    query.start_time = aggregate->next_start_time;
  }
  g_assert(count == count_column(store, &whole, type));
}

static void run_series(Store *store, FuzzInput *in)
{
  gsize size;
  g_autofree guint8 *bytes = fuzz_part(in, &size);
  g_autofree char *prefix = g_strndup((const char *)bytes, size);
  g_autofree char *after = g_strndup((const char *)in->bytes, in->left);
  gboolean more = FALSE;
  g_autoptr(GPtrArray) found = store_series(store, prefix, after, 2, &more, NULL);
  g_assert(found != NULL && found->len <= 2);
  for (guint i = 0; i < found->len; i++) {
    const Device *device = found->pdata[i];
    g_assert(g_str_has_prefix(device->name, prefix) && strcmp(device->name, after) > 0);
  }
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  static Store *store;
  if (store == NULL)
    store = fill_store();
  FuzzInput in = {bytes, size};
  guint kind = fuzz_u8(&in), options = fuzz_u8(&in);
  if (kind % 3 == 0)
    run_query(store, &in, options);
  else if (kind % 3 == 1)
    run_aggregate(store, &in, options);
  else
    run_series(store, &in);
}

static GByteArray *begin_seed(guint kind, guint options, guint device)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, kind, 1);
  seed_number(out, options, 1);
  seed_number(out, device, 1);
  return out;
}

void fuzz_seeds(void)
{
  for (guint descending = 0; descending < 2; descending++) {
    GByteArray *out = begin_seed(0, descending * 128, 0);
    seed_number(out, 2, 1);
    seed_number(out, (guint64)G_MININT64, 8);
    seed_number(out, G_MAXINT64, 8);
    seed_end(descending ? "descending" : "ascending", out);
    out = begin_seed(0, descending * 128 + 64, 1);
    seed_number(out, 1, 1);
    seed_number(out, (guint64)-200, 8);
    seed_number(out, 300, 8);
    seed_number(out, 1, 1);
    seed_number(out, descending, 1);
    seed_number(out, 100, 8);
    seed_end(descending ? "page-descending" : "page-ascending", out);
  }
  GByteArray *out = begin_seed(1, 4, 0);
  seed_number(out, (guint64)-300, 8);
  seed_number(out, 300, 8);
  seed_number(out, 50, 8);
  seed_end("windows", out);
  static const guint8 series[] = "\2\0\0\6devicedevice";
  fuzz_seed("series", series, sizeof series - 1);
}
