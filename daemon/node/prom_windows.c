#include "node/prom_private.h"

#include <math.h>
#include <string.h>

enum { PAGE_ROWS = 10000 };

typedef struct Sample {
  gint64 time;
  double value;
} Sample;

/* The values of a column in order of time. */
typedef struct Stream {
  const PromWindows *windows;
  gint64 next_time, end_time; /* what the next page is to have */
  Table *table;
  const Column *column; /* of the table; NULL: it has none */
  guint row;
  gboolean ended;
} Stream;

static gboolean read_page(Stream *stream, GError **error)
{
  const PromWindows *w = stream->windows;
  const char *names[] = {w->measurement, NULL};
  Query query = {.device = w->device,
                 .measurements = names,
                 .start_time = stream->next_time,
                 .end_time = stream->end_time,
                 .limit = PAGE_ROWS};
  g_clear_pointer(&stream->table, table_free);
  stream->table = store_query(w->context->store, &query, error);
  if (stream->table == NULL)
    return FALSE;
  if (clock_mono_us(clock_system()) > w->context->deadline_us)
    return fail(error, SYNCLOG_TIMEOUT, "the query took too long");
  stream->row = 0;
  stream->column = NULL;
  for (guint i = 0; i < stream->table->columns->len; i++) {
    const Column *column = stream->table->columns->pdata[i];
    if (column->type == w->type)
      stream->column = column;
  }
  guint rows = stream->table->timestamps->len;
  gint64 last = rows > 0 ? g_array_index(stream->table->timestamps, gint64, rows - 1) : 0;
  stream->ended = rows == 0 || stream->table->next_page == NULL || last >= stream->end_time;
  if (!stream->ended)
    stream->next_time = last + 1;
  return TRUE;
}

/* The next value at or after `from`; *out_some is FALSE behind the last. */
static gboolean next_sample(Stream *stream, gint64 from, Sample *out_sample, gboolean *out_some,
                            GError **error)
{
  *out_some = FALSE;
  for (;;) {
    guint rows = stream->table != NULL ? stream->table->timestamps->len : 0;
    for (; stream->row < rows; stream->row++) {
      gint64 time = g_array_index(stream->table->timestamps, gint64, stream->row);
      Value value;
      if (time < from || stream->column == NULL || !column_get(stream->column, stream->row, &value))
        continue;
      stream->row++;
      g_assert(value.type != DATA_TEXT); /* such columns are not read */
      *out_sample = (Sample){time, value_as_double(&value)};
      *out_some = TRUE;
      return TRUE;
    }
    if (stream->ended)
      return TRUE;
    /* What lies between the windows of far steps is not even read. */
    stream->next_time = MAX(stream->next_time, from);
    if (stream->next_time > stream->end_time) {
      stream->ended = TRUE;
      return TRUE;
    }
    if (!read_page(stream, error))
      return FALSE;
  }
}

/* --- windows ------------------------------------------------------------------------------------
 */

static double apply_function(PromFunction function, const Sample *samples, guint count)
{
  double sum = 0, least = NAN, most = NAN;
  switch (function) {
  case PROM_LAST:
    return samples[count - 1].value;
  case PROM_COUNT:
    return count;
  default:
    break;
  }
  for (guint i = 0; i < count; i++) {
    double value = samples[i].value;
    sum += value;
    if (isnan(least) || value < least)
      least = value;
    if (isnan(most) || value > most)
      most = value;
  }
  switch (function) {
  case PROM_MIN:
    return least;
  case PROM_MAX:
    return most;
  case PROM_AVG:
    return sum / count;
  default:
    return sum;
  }
}

/* The values that the window of a step holds, and the one behind it. */
typedef struct Frame {
  GArray *samples; /* Sample */
  guint first;     /* those before it are out of the window */
  Sample ahead;
  gboolean has_ahead, ended;
} Frame;

static void forget_old(Frame *frame, gint64 from)
{
  while (frame->first < frame->samples->len &&
         g_array_index(frame->samples, Sample, frame->first).time < from)
    frame->first++;
  /* Moved down now and then only, so that it costs nothing in the end. */
  if (frame->first > 0 && 2 * frame->first >= frame->samples->len) {
    g_array_remove_range(frame->samples, 0, frame->first);
    frame->first = 0;
  }
}

/* Moves on to the window [from, to]. */
static gboolean move_window(Frame *frame, Stream *stream, gint64 from, gint64 to, guint64 *budget,
                            GError **error)
{
  forget_old(frame, from);
  for (;;) {
    if (!frame->has_ahead && !frame->ended) {
      if (!next_sample(stream, from, &frame->ahead, &frame->has_ahead, error))
        return FALSE;
      frame->ended = !frame->has_ahead;
    }
    if (!frame->has_ahead || frame->ahead.time > to)
      return TRUE;
    if (frame->ahead.time >= from) {
      if (stream->windows->function == PROM_LAST)
        g_array_set_size(frame->samples, frame->first = 0);
      g_array_append_val(frame->samples, frame->ahead);
    }
    frame->has_ahead = FALSE;
    if ((*budget)-- == 0) {
      *budget = 0;
      return fail(error, SYNCLOG_TOO_LARGE, "the query looks at more than %d values",
                  PROM_MOST_VALUES);
    }
  }
}

/* In units of the store's time, at the ends of its range where it does not fit. */
static gint64 to_units(const PromWindows *w, __int128 ms)
{
  __int128 units = ms * (w->context->per_second / 1000);
  return units > G_MAXINT64 ? G_MAXINT64 : units < G_MININT64 ? G_MININT64 : (gint64)units;
}

/* The first and last moment that count for a step. */
static void bounds_of_step(const PromWindows *w, guint k, gint64 *out_from, gint64 *out_to)
{
  __int128 to_ms = (__int128)w->steps->start_ms + (__int128)k * w->steps->step_ms - w->offset_ms;
  gint64 before = to_units(w, to_ms - w->range_ms);
  *out_to = to_units(w, to_ms);
  *out_from = before < G_MAXINT64 ? before + 1 : before;
}

static gboolean read_windows(Stream *stream, Frame *frame, guint64 *budget, double *out_values,
                             GError **error)
{
  const PromWindows *w = stream->windows;
  for (guint k = 0; k < w->count; k++) {
    gint64 from, to;
    bounds_of_step(w, k, &from, &to);
    if (!move_window(frame, stream, from, to, budget, error))
      return FALSE;
    guint count = frame->samples->len - frame->first;
    if (count == 0)
      continue;
    guint64 cost = w->function == PROM_LAST || w->function == PROM_COUNT ? 1 : count;
    if (cost > *budget)
      return fail(error, SYNCLOG_TOO_LARGE, "the query looks at more than %d values",
                  PROM_MOST_VALUES);
    *budget -= cost;
    out_values[k] =
        apply_function(w->function, &g_array_index(frame->samples, Sample, frame->first), count);
  }
  return TRUE;
}

gboolean prom_read_windows(const PromWindows *windows, guint64 *budget, double *out_values,
                           GError **error)
{
  Stream stream = {.windows = windows};
  gint64 ignored;
  bounds_of_step(windows, 0, &stream.next_time, &ignored);
  bounds_of_step(windows, windows->count - 1, &ignored, &stream.end_time);
  Frame frame = {.samples = g_array_new(FALSE, FALSE, sizeof(Sample))};
  gboolean good = read_windows(&stream, &frame, budget, out_values, error);
  g_array_unref(frame.samples);
  g_clear_pointer(&stream.table, table_free);
  return good;
}
