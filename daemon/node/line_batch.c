#include "node/line_batch.h"

#include "base/bytes.h"

#include <string.h>

/* Texts stand in the arena, NUL-terminated, and are named by where they begin. */
typedef struct Field {
  guint name;
  guint text; /* TEXT: where it begins */
  Value value;
} Field;

typedef struct Point {
  guint device;
  guint first_field, field_count;
  guint order; /* in which the points came */
  gint64 time;
  const char *line;
  gsize line_size;
} Point;

typedef struct Run {
  guint first, count; /* of points */
  gboolean dropped;
} Run;

struct LineBatch {
  GByteArray *arena;
  GArray *points; /* Point */
  GArray *fields; /* Field */
  GArray *runs;   /* Run */
};

LineBatch *line_batch_new(void)
{
  LineBatch *batch = g_new0(LineBatch, 1);
  batch->arena = g_byte_array_new();
  batch->points = g_array_new(FALSE, FALSE, sizeof(Point));
  batch->fields = g_array_new(FALSE, FALSE, sizeof(Field));
  batch->runs = g_array_new(FALSE, FALSE, sizeof(Run));
  return batch;
}

void line_batch_free(LineBatch *batch)
{
  if (batch == NULL)
    return;
  g_byte_array_unref(batch->arena);
  g_array_unref(batch->points);
  g_array_unref(batch->fields);
  g_array_unref(batch->runs);
  g_free(batch);
}

void line_batch_clear(LineBatch *batch)
{
  g_byte_array_set_size(batch->arena, 0);
  g_array_set_size(batch->points, 0);
  g_array_set_size(batch->fields, 0);
  g_array_set_size(batch->runs, 0);
}

static guint keep(LineBatch *batch, const char *text, gsize size)
{
  guint at = batch->arena->len;
  g_byte_array_append(batch->arena, (const guint8 *)text, (guint)size);
  g_byte_array_append(batch->arena, (const guint8 *)"", 1);
  return at;
}

static const char *text_at(const LineBatch *batch, guint at)
{
  return (const char *)batch->arena->data + at;
}

static const Point *point_at(const LineBatch *batch, guint i)
{
  return &g_array_index(batch->points, Point, i);
}

static const Field *fields_of(const LineBatch *batch, const Point *point)
{
  return &g_array_index(batch->fields, Field, point->first_field);
}

void line_batch_add(LineBatch *batch, const LinePoint *point, gint64 time, const char *line,
                    gsize line_size)
{
  Point kept = {.device = keep(batch, point->device, strlen(point->device)),
                .first_field = batch->fields->len,
                .field_count = point->field_count,
                .order = batch->points->len,
                .time = time,
                .line = line,
                .line_size = line_size};
  for (guint i = 0; i < point->field_count; i++) {
    const LineField *from = &point->fields[i];
    Field field = {.name = keep(batch, from->name, strlen(from->name)), .value = from->value};
    if (from->value.type == DATA_TEXT)
      field.text = keep(batch, from->value.text.bytes, from->value.text.size);
    g_array_append_val(batch->fields, field);
  }
  g_array_append_val(batch->points, kept);
}

gsize line_batch_size(const LineBatch *batch)
{
  return batch->arena->len + batch->points->len * sizeof(Point) +
         batch->fields->len * sizeof(Field);
}

/* --- runs ---------------------------------------------------------------------------------------
 */

static int compare_points(gconstpointer a, gconstpointer b, gpointer data)
{
  const Point *x = a, *y = b;
  int order = strcmp(text_at(data, x->device), text_at(data, y->device));
  return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static gboolean same_shape(const LineBatch *batch, const Point *a, const Point *b)
{
  if (a->field_count != b->field_count ||
      strcmp(text_at(batch, a->device), text_at(batch, b->device)) != 0)
    return FALSE;
  const Field *x = fields_of(batch, a), *y = fields_of(batch, b);
  for (guint i = 0; i < a->field_count; i++)
    if (x[i].value.type != y[i].value.type ||
        strcmp(text_at(batch, x[i].name), text_at(batch, y[i].name)) != 0)
      return FALSE;
  return TRUE;
}

void line_batch_sort(LineBatch *batch)
{
  g_array_sort_with_data(batch->points, compare_points, batch);
  for (guint i = 0; i < batch->points->len; i++) {
    Run *last =
        batch->runs->len == 0 ? NULL : &g_array_index(batch->runs, Run, batch->runs->len - 1);
    if (last != NULL && same_shape(batch, point_at(batch, last->first), point_at(batch, i))) {
      last->count++;
      continue;
    }
    Run run = {.first = i, .count = 1};
    g_array_append_val(batch->runs, run);
  }
}

static const Run *run_at(const LineBatch *batch, guint i)
{
  return &g_array_index(batch->runs, Run, i);
}

guint line_batch_runs(const LineBatch *batch)
{
  return batch->runs->len;
}

guint line_batch_run_lines(const LineBatch *batch, guint run)
{
  return run_at(batch, run)->count;
}

const char *line_batch_line(const LineBatch *batch, guint run, guint i, gsize *out_size)
{
  const Point *point = point_at(batch, run_at(batch, run)->first + i);
  *out_size = point->line_size;
  return point->line;
}

void line_batch_drop(LineBatch *batch, guint run)
{
  g_array_index(batch->runs, Run, run).dropped = TRUE;
}

gboolean line_batch_is_dropped(const LineBatch *batch, guint run)
{
  return run_at(batch, run)->dropped;
}

/* --- the write ----------------------------------------------------------------------------------
 */

static void append_field(const LineBatch *batch, Column *column, const Field *field)
{
  guint8 packed[8];
  switch (field->value.type) {
  case DATA_BOOLEAN:
    packed[0] = field->value.boolean ? 1 : 0;
    break;
  case DATA_INT64:
    store_le64(packed, (guint64)field->value.int64);
    break;
  case DATA_DOUBLE: {
    guint64 bits;
    memcpy(&bits, &field->value.float64, sizeof bits);
    store_le64(packed, bits);
    break;
  }
  case DATA_TEXT:
    column_append(column, text_at(batch, field->text), field->value.text.size);
    return;
  default:
    g_assert_not_reached(); /* line protocol has no others */
  }
  column_append(column, packed, data_type_size(field->value.type));
}

void line_batch_put_run(const LineBatch *batch, guint run, WriteBuilder *builder)
{
  const Run *lines = run_at(batch, run);
  const Point *points = point_at(batch, lines->first);
  g_autoptr(GArray) times = g_array_sized_new(FALSE, FALSE, sizeof(gint64), lines->count);
  g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func((GDestroyNotify)column_free);
  for (guint i = 0; i < lines->count; i++)
    g_array_append_val(times, points[i].time);
  for (guint k = 0; k < points->field_count; k++) {
    const Field *first = fields_of(batch, points) + k;
    Column *column = column_new(text_at(batch, first->name), first->value.type);
    for (guint i = 0; i < lines->count; i++)
      append_field(batch, column, fields_of(batch, &points[i]) + k);
    column_finish(column);
    g_ptr_array_add(columns, column);
  }
  write_builder_tablet(builder, text_at(batch, points->device), times, columns);
}

gboolean line_batch_put(const LineBatch *batch, WriteBuilder *builder)
{
  gboolean some = FALSE;
  for (guint i = 0; i < batch->runs->len; i++) {
    if (run_at(batch, i)->dropped)
      continue;
    line_batch_put_run(batch, i, builder);
    some = TRUE;
  }
  return some;
}
