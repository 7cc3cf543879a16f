#include "store/answer.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* --- rows ---------------------------------------------------------------------------------------
 */

enum {
  PAGE_VERSION = 1,
  PAGE_SIZE = 10,    /* version, direction, time of the last row */
  COLUMN_BYTES = 64, /* of a column without values, on the wire */
};

struct Answer {
  const Query *query;
  Table *table;
  GPtrArray *cells; /* GArray of Cell per column */
  guint *at;        /* position in each */
  gsize bytes;
  gboolean full; /* there is at least one more row */
};

gboolean answer_resume(const Query *query, gint64 *start_time, gint64 *end_time, GError **error)
{
  if (query->page == NULL)
    return TRUE;
  gsize size;
  const guint8 *page = g_bytes_get_data(query->page, &size);
  if (size != PAGE_SIZE || page[0] != PAGE_VERSION || page[1] != (query->descending ? 1 : 0))
    return fail(error, SYNCLOG_INVALID, "page: not one that this query was given");
  gint64 last = (gint64)load_be64(page + 2);
  if (query->descending) {
    if (last == G_MININT64)
      *end_time = G_MININT64, *start_time = G_MAXINT64;
    else
      *end_time = MIN(*end_time, last - 1);
  } else if (last == G_MAXINT64) {
    *end_time = G_MININT64, *start_time = G_MAXINT64;
  } else {
    *start_time = MAX(*start_time, last + 1);
  }
  return TRUE;
}

Answer *answer_new(const Query *query, const GArray *columns, Table *table)
{
  g_assert(query->limit > 0);
  Answer *answer = g_new0(Answer, 1);
  answer->query = query;
  answer->table = table;
  answer->at = g_new0(guint, columns->len + 1);
  answer->cells = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
  for (guint i = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    g_ptr_array_add(table->columns, column_new(column->name, column->type));
    answer->bytes += COLUMN_BYTES + strlen(column->name);
    g_ptr_array_add(answer->cells, g_array_new(FALSE, FALSE, sizeof(Cell)));
  }
  return answer;
}

void answer_free(Answer *answer)
{
  g_ptr_array_unref(answer->cells);
  g_free(answer->at);
  g_free(answer);
}

gboolean answer_is_full(const Answer *answer)
{
  return answer->full;
}

GArray *answer_cells(Answer *answer, guint i)
{
  return answer->cells->pdata[i];
}

/* The column's next cell in the query's direction; NULL at its end. */
static const Cell *peek(const Answer *answer, guint column)
{
  const GArray *cells = answer->cells->pdata[column];
  guint at = answer->at[column];
  if (at == cells->len)
    return NULL;
  return &g_array_index(cells, Cell, answer->query->descending ? cells->len - 1 - at : at);
}

/* The next time at which any column has a value. */
static gboolean next_time(const Answer *answer, gint64 *out)
{
  gboolean found = FALSE;
  for (guint i = 0; i < answer->cells->len; i++) {
    const Cell *cell = peek(answer, i);
    if (cell == NULL)
      continue;
    if (!found || (answer->query->descending ? cell->time > *out : cell->time < *out))
      *out = cell->time;
    found = TRUE;
  }
  return found;
}

/* On the wire, with the bits for missing values rounded up. */
static gsize row_bytes(const Answer *answer, gint64 time)
{
  gsize bytes = sizeof time;
  for (guint i = 0; i < answer->cells->len; i++) {
    const Column *column = answer->table->columns->pdata[i];
    const Cell *cell = peek(answer, i);
    gsize size = data_type_size(column->type);
    if (column->type == DATA_TEXT)
      size = 4 + (cell != NULL && cell->time == time ? cell->size : 0);
    bytes += size + 1;
  }
  return bytes;
}

static void take_row(Answer *answer, gint64 time)
{
  g_array_append_val(answer->table->timestamps, time);
  for (guint i = 0; i < answer->cells->len; i++) {
    Column *column = answer->table->columns->pdata[i];
    const Cell *cell = peek(answer, i);
    if (cell == NULL || cell->time != time) {
      column_append_null(column);
      continue;
    }
    column_append(column, cell->value, cell->size);
    answer->at[i]++;
  }
}

void answer_take_rows(Answer *answer)
{
  memset(answer->at, 0, answer->cells->len * sizeof answer->at[0]);
  gint64 time = 0;
  while (next_time(answer, &time)) {
    gsize bytes = row_bytes(answer, time);
    if (answer->table->timestamps->len >= answer->query->limit ||
        answer->bytes + bytes > LIMIT_QUERY_BYTES) {
      answer->full = TRUE;
      return;
    }
    answer->bytes += bytes;
    take_row(answer, time);
  }
}

void answer_take_plain(Answer *answer, const PlainRows *plain)
{
  const GPtrArray *columns = answer->table->columns;
  gsize bytes = 8, room = LIMIT_QUERY_BYTES - MIN(answer->bytes, (gsize)LIMIT_QUERY_BYTES);
  for (guint i = 0; i < columns->len; i++)
    bytes += data_type_size(((const Column *)columns->pdata[i])->type) + 1;
  guint rows = MIN(plain->rows, answer->query->limit - answer->table->timestamps->len);
  rows = (guint)MIN(rows, room / bytes);
  answer->full = rows < plain->rows;
  answer->bytes += rows * bytes;
  gint64 *times = NULL;
  guint before = answer->table->timestamps->len;
  g_array_set_size(answer->table->timestamps, before + rows);
  times = &g_array_index(answer->table->timestamps, gint64, before);
  for (guint row = 0; row < rows; row++)
    times[row] = (gint64)load_le64(plain->times + (gsize)row * 8);
  for (guint i = 0; i < columns->len; i++)
    column_append_packed(columns->pdata[i], g_array_index(plain->values, const guint8 *, i), rows);
}

gboolean answer_finish(Answer *answer, GError **error)
{
  Table *table = answer->table;
  if (answer->bytes > LIMIT_QUERY_BYTES || (answer->full && table->timestamps->len == 0))
    return fail(error, SYNCLOG_TOO_LARGE,
                "one row has more than the %d bytes that are sent: ask for fewer measurements",
                LIMIT_QUERY_BYTES);
  for (guint i = 0; i < table->columns->len; i++)
    column_finish(table->columns->pdata[i]);
  if (!answer->full)
    return TRUE;
  guint8 page[PAGE_SIZE] = {PAGE_VERSION, answer->query->descending ? 1 : 0};
  store_be64(page + 2,
             (guint64)g_array_index(table->timestamps, gint64, table->timestamps->len - 1));
  table->next_page = g_bytes_new(page, sizeof page);
  return TRUE;
}

/* --- aggregates ---------------------------------------------------------------------------------
 */

/* Exact for INT64, where doubles are not. NaN is neither less nor greater. */
static gboolean is_less(const Value *a, const Value *b)
{
  if (a->type == DATA_INT64)
    return a->int64 < b->int64;
  return value_as_double(a) < value_as_double(b);
}

static gboolean is_nan(const Value *value)
{
  return (value->type == DATA_FLOAT || value->type == DATA_DOUBLE) && isnan(value_as_double(value));
}

static void replace(Value *target, const Value *value)
{
  value_clear(target);
  value_copy(value, target);
}

static void add_to_window(Window *window, gint64 time, const Value *value)
{
  gboolean is_first = window->count++ == 0;
  if (is_first) {
    value_copy(value, &window->first);
    window->first_time = time;
  }
  replace(&window->last, value);
  window->last_time = time;
  if (value->type == DATA_TEXT)
    return;
  window->sum += value_as_double(value);
  if (is_first || is_nan(&window->min) || is_less(value, &window->min))
    if (is_first || !is_nan(value))
      replace(&window->min, value);
  if (is_first || is_nan(&window->max) || is_less(&window->max, value))
    if (is_first || !is_nan(value))
      replace(&window->max, value);
}

/* Start of the window that `time` falls into. */
static gint64 window_start(const AggregateQuery *query, gint64 time)
{
  if (query->window == 0)
    return query->start_time;
  guint64 distance = (guint64)time - (guint64)query->start_time;
  return (gint64)((guint64)query->start_time + distance / query->window * query->window);
}

/* On the wire, about. */
static gsize window_bytes(const Window *window)
{
  enum { WINDOW_BYTES = 200 };
  gsize bytes = WINDOW_BYTES;
  if (window->first.type == DATA_TEXT)
    bytes += window->first.text.size + window->last.text.size;
  return bytes;
}

void answer_aggregate(const AggregateQuery *query, const GArray *cells, Aggregate *aggregate)
{
  g_assert(query->limit > 0);
  gsize bytes = 0; /* of the windows before the last */
  for (guint i = 0; i + 1 < aggregate->windows->len; i++)
    bytes += window_bytes(&g_array_index(aggregate->windows, Window, i));
  for (guint i = 0; i < cells->len; i++) {
    const Cell *cell = &g_array_index(cells, Cell, i);
    gint64 start = window_start(query, cell->time);
    guint count = aggregate->windows->len;
    Window *window = count > 0 ? &g_array_index(aggregate->windows, Window, count - 1) : NULL;
    if (window == NULL || window->start_time != start) {
      if (window != NULL)
        bytes += window_bytes(window);
      if (count == query->limit || bytes > LIMIT_QUERY_BYTES) {
        aggregate->more = TRUE;
        aggregate->next_start_time = start;
        return;
      }
      Window fresh = {.start_time = start};
      fresh.min.type = fresh.max.type = fresh.first.type = fresh.last.type = DATA_BOOLEAN;
      g_array_append_val(aggregate->windows, fresh);
      window = &g_array_index(aggregate->windows, Window, count);
    }
    Value value;
    value_unpack(aggregate->type, cell->value, cell->size, &value);
    add_to_window(window, cell->time, &value);
    value_clear(&value);
  }
}

void answer_aggregate_finish(Aggregate *aggregate)
{
  for (guint i = 0; i < aggregate->windows->len; i++) {
    Window *window = &g_array_index(aggregate->windows, Window, i);
    window->avg = window->sum / (double)window->count;
  }
}

/* --- digest -------------------------------------------------------------------------------------
 */

static guint64 column_seed(const char *device, const char *measurement, DataType type)
{
  XXH64_hash_t seed = XXH3_64bits(device, strlen(device) + 1);
  seed = XXH3_64bits_withSeed(measurement, strlen(measurement) + 1, seed);
  guint8 byte = (guint8)type;
  return XXH3_64bits_withSeed(&byte, 1, seed);
}

void answer_digest(const char *device, const char *measurement, DataType type, const GArray *cells,
                   StateDigest *digest)
{
  guint64 seed = column_seed(device, measurement, type);
  for (guint i = 0; i < cells->len; i++) {
    const Cell *cell = &g_array_index(cells, Cell, i);
    guint8 time[8];
    store_le64(time, (guint64)cell->time);
    XXH128_hash_t hash =
        XXH3_128bits_withSeed(cell->value, cell->size, XXH3_64bits_withSeed(time, 8, seed));
    guint64 low = digest->low;
    digest->low += hash.low64;
    digest->high += hash.high64 + (digest->low < low ? 1 : 0);
    digest->cells++;
  }
}
