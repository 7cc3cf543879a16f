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
  gboolean full;     /* there is at least one more row */
  gboolean reserved; /* the table has room for the whole page */
  guint opened;      /* rows, see answer_open_rows() */
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

/* Of rows without TEXT. */
static gsize plain_row_bytes(const Answer *answer)
{
  const GPtrArray *columns = answer->table->columns;
  gsize bytes = 8;
  for (guint i = 0; i < columns->len; i++)
    bytes += data_type_size(((const Column *)columns->pdata[i])->type) + 1;
  return bytes;
}

/* How many such rows still fit into the page behind the `taken` ones. */
static guint plain_room(const Answer *answer, guint taken)
{
  gsize room = LIMIT_QUERY_BYTES - MIN(answer->bytes, (gsize)LIMIT_QUERY_BYTES);
  guint rows = answer->query->limit - taken;
  return (guint)MIN(rows, room / plain_row_bytes(answer));
}

/* Once, where it seems to become a long answer: instead of growing, and copying, step by step. */
static void reserve(Answer *answer)
{
  Table *table = answer->table;
  guint before = table->timestamps->len, rows = plain_room(answer, before) + answer->opened;
  answer->reserved = TRUE;
  g_array_set_size(table->timestamps, before + rows);
  g_array_set_size(table->timestamps, before);
  for (guint i = 0; i < table->columns->len; i++) {
    column_open(table->columns->pdata[i], rows);
    column_close(table->columns->pdata[i], rows, 0, 0);
  }
}

gint64 *answer_open_rows(Answer *answer, guint rows)
{
  Table *table = answer->table;
  guint before = table->timestamps->len;
  answer->opened = rows;
  if (!answer->reserved && before > 0)
    reserve(answer);
  for (guint i = 0; i < table->columns->len; i++)
    column_open(table->columns->pdata[i], rows);
  g_array_set_size(table->timestamps, before + rows);
  return &g_array_index(table->timestamps, gint64, before);
}

guint8 *answer_open_values(Answer *answer, guint column)
{
  const Column *one = answer->table->columns->pdata[column];
  gsize width = data_type_size(one->type);
  return one->values->data + one->values->len - answer->opened * width;
}

void answer_close_rows(Answer *answer, guint first, guint count)
{
  Table *table = answer->table;
  guint before = table->timestamps->len - answer->opened;
  guint taken = MIN(count, plain_room(answer, before));
  answer->full = taken < count;
  answer->bytes += taken * plain_row_bytes(answer);
  /* They are moved while they are inside: what is behind the end need not stay as it is. */
  gint64 *times = &g_array_index(table->timestamps, gint64, before);
  if (first > 0 && taken > 0)
    memmove(times, times + first, taken * sizeof *times);
  g_array_set_size(table->timestamps, before + taken);
  for (guint i = 0; i < table->columns->len; i++)
    column_close(table->columns->pdata[i], answer->opened, first, taken);
}

void answer_take_plain(Answer *answer, const PlainRows *plain)
{
  const GPtrArray *columns = answer->table->columns;
  gsize bytes = plain_row_bytes(answer);
  guint before = answer->table->timestamps->len;
  guint rows = MIN(plain->rows, plain_room(answer, before));
  answer->full = rows < plain->rows;
  answer->bytes += rows * bytes;
  if (rows == 0)
    return; /* the arrays may have no memory yet */
  g_array_set_size(answer->table->timestamps, before + rows);
  gint64 *times = &g_array_index(answer->table->timestamps, gint64, before);
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

/* What is known while values are added one after the other. */
typedef struct Adding {
  const AggregateQuery *query;
  Aggregate *aggregate;
  gsize bytes; /* of the windows before the last */
} Adding;

static Adding begin_adding(const AggregateQuery *query, Aggregate *aggregate)
{
  g_assert(query->limit > 0);
  Adding adding = {query, aggregate, 0};
  for (guint i = 0; i + 1 < aggregate->windows->len; i++)
    adding.bytes += window_bytes(&g_array_index(aggregate->windows, Window, i));
  return adding;
}

/* The window of the time, which is the last one or a further one. NULL: that would be too many. */
static Window *window_for(Adding *adding, gint64 time)
{
  Aggregate *aggregate = adding->aggregate;
  gint64 start = window_start(adding->query, time);
  guint count = aggregate->windows->len;
  Window *window = count > 0 ? &g_array_index(aggregate->windows, Window, count - 1) : NULL;
  if (window != NULL && window->start_time == start)
    return window;
  if (window != NULL)
    adding->bytes += window_bytes(window);
  if (count == adding->query->limit || adding->bytes > LIMIT_QUERY_BYTES) {
    aggregate->more = TRUE;
    aggregate->next_start_time = start;
    return NULL;
  }
  Window fresh = {.start_time = start};
  fresh.min.type = fresh.max.type = fresh.first.type = fresh.last.type = DATA_BOOLEAN;
  g_array_append_val(aggregate->windows, fresh);
  return &g_array_index(aggregate->windows, Window, count);
}

void answer_aggregate(const AggregateQuery *query, const GArray *cells, Aggregate *aggregate)
{
  Adding adding = begin_adding(query, aggregate);
  for (guint i = 0; i < cells->len; i++) {
    const Cell *cell = &g_array_index(cells, Cell, i);
    Window *window = window_for(&adding, cell->time);
    if (window == NULL)
      return;
    Value value;
    value_unpack(aggregate->type, cell->value, cell->size, &value);
    add_to_window(window, cell->time, &value);
    value_clear(&value);
  }
}

/* Doubles of one window that has values. As add_to_window() does it. */
static void add_doubles(Window *window, const gint64 *times, const guint8 *values, guint rows)
{
  double sum = window->sum, min = window->min.float64, max = window->max.float64, value = 0;
  for (guint i = 0; i < rows; i++) {
    guint64 bits = load_le64(values + (gsize)i * 8);
    memcpy(&value, &bits, sizeof value);
    sum += value;
    min = value < min ? value : min;
    max = max < value ? value : max;
  }
  window->count += rows;
  window->sum = sum;
  window->min.float64 = min;
  window->max.float64 = max;
  window->last.float64 = value;
  window->last_time = times[rows - 1];
}

/* How many of the times are in the window of the first one. */
static guint rows_of_window(const Window *window, const AggregateQuery *query, const gint64 *times,
                            guint rows)
{
  guint low = 1, high = rows;
  if (query->window == 0)
    return rows;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if ((guint64)times[middle] - (guint64)window->start_time < query->window)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void answer_aggregate_packed(const AggregateQuery *query, const gint64 *times, const guint8 *values,
                             guint rows, Aggregate *aggregate)
{
  Adding adding = begin_adding(query, aggregate);
  gsize width = data_type_size(aggregate->type);
  for (guint row = 0; row < rows;) {
    Window *window = window_for(&adding, times[row]);
    if (window == NULL)
      return;
    guint end = row + rows_of_window(window, query, times + row, rows - row);
    for (; row < end; row++) {
      Value value;
      if (aggregate->type == DATA_DOUBLE && window->count > 0 && !isnan(window->min.float64)) {
        add_doubles(window, times + row, values + row * width, end - row);
        row = end;
        break;
      }
      value_unpack(aggregate->type, values + row * width, width, &value);
      add_to_window(window, times[row], &value);
    }
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
