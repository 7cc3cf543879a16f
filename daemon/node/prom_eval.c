#include "node/prom_eval.h"

#include "http/series_name.h"
#include "node/prom_private.h"

#include <math.h>
#include <string.h>

enum {
  MOST_SERIES = 10000,
  MOST_CELLS = 1000000, /* series times steps: 8 MB */
};

/* --- results ------------------------------------------------------------------------------------
 */

static const guint64 absent_bits = G_GUINT64_CONSTANT(0x7ff0000000000002);

double prom_absent(void)
{
  double value;
  memcpy(&value, &absent_bits, sizeof value);
  return value;
}

gboolean prom_is_absent(double value)
{
  return memcmp(&value, &absent_bits, sizeof value) == 0;
}

guint prom_step_count(const PromSteps *steps)
{
  return (guint)((steps->end_ms - steps->start_ms) / steps->step_ms) + 1;
}

static void series_free(gpointer data)
{
  PromSeries *series = data;
  g_ptr_array_unref(series->labels);
  g_free(series->values);
  g_free(series);
}

static PromSeries *series_new(PromLabels *labels, guint steps)
{
  PromSeries *series = g_new0(PromSeries, 1);
  series->labels = labels;
  series->values = g_new(double, steps);
  for (guint i = 0; i < steps; i++)
    series->values[i] = prom_absent();
  return series;
}

static PromResult *result_new(void)
{
  PromResult *result = g_new0(PromResult, 1);
  result->series = g_ptr_array_new_with_free_func(series_free);
  return result;
}

void prom_result_free(PromResult *result)
{
  if (result == NULL)
    return;
  g_ptr_array_unref(result->series);
  g_free(result);
}

static int compare_labels(gconstpointer a, gconstpointer b)
{
  const PromLabels *x = (*(PromSeries *const *)a)->labels, *y = (*(PromSeries *const *)b)->labels;
  for (guint i = 0; i < x->len && i < y->len; i++) {
    int order = strcmp(x->pdata[i], y->pdata[i]);
    if (order != 0)
      return order;
  }
  return (x->len > y->len) - (x->len < y->len);
}

/* Two series with the same labels could not be told apart. */
static gboolean sort_result(PromResult *result, GError **error)
{
  g_ptr_array_sort(result->series, compare_labels);
  for (guint i = 1; i < result->series->len; i++)
    if (compare_labels(&result->series->pdata[i - 1], &result->series->pdata[i]) == 0)
      return fail(error, SYNCLOG_INVALID,
                  "vector cannot contain metrics with the same labelset: name the measurement, or "
                  "aggregate");
  return TRUE;
}

/* --- labels -------------------------------------------------------------------------------------
 */

const char *prom_label(const PromLabels *labels, const char *name)
{
  for (guint i = 0; i < labels->len; i += 2)
    if (strcmp(labels->pdata[i], name) == 0)
      return labels->pdata[i + 1];
  return NULL;
}

/* Takes both over; of two labels with one name the first holds. */
static void add_label(PromLabels *labels, char *name, char *value)
{
  guint i = 0;
  while (i < labels->len && strcmp(labels->pdata[i], name) < 0)
    i += 2;
  if (i < labels->len && strcmp(labels->pdata[i], name) == 0) {
    g_free(name);
    g_free(value);
    return;
  }
  g_ptr_array_insert(labels, (gint)i, name);
  g_ptr_array_insert(labels, (gint)i + 1, value);
}

static char *label_of_tag(const char *key)
{
  gboolean taken = strcmp(key, "device") == 0 || strcmp(key, PROM_NAME) == 0;
  GString *name = g_string_new(taken ? "exported_" : NULL);
  for (const char *c = key; *c != '\0'; c++) {
    gboolean digit_first = name->len == 0 && g_ascii_isdigit(*c);
    if (digit_first)
      g_string_append_c(name, '_');
    g_string_append_c(name, g_ascii_isalnum(*c) || *c == '_' ? *c : '_');
  }
  return g_string_free(name, FALSE);
}

/* The labels that all measurements of a device have. */
static PromLabels *labels_of_device(const char *device)
{
  PromLabels *labels = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) tags = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *head = series_name_split(device, tags);
  add_label(labels, g_strdup("device"), g_strdup(device));
  for (guint i = 0; i < tags->len; i += 2)
    add_label(labels, label_of_tag(tags->pdata[i]), g_strdup(tags->pdata[i + 1]));
  return labels;
}

static PromLabels *labels_copy(const PromLabels *labels)
{
  PromLabels *copy = g_ptr_array_new_full(labels->len + 2, g_free);
  for (guint i = 0; i < labels->len; i++)
    g_ptr_array_add(copy, g_strdup(labels->pdata[i]));
  return copy;
}

static void drop_label(PromLabels *labels, const char *name)
{
  for (guint i = 0; i < labels->len; i += 2)
    if (strcmp(labels->pdata[i], name) == 0) {
      g_ptr_array_remove_range(labels, i, 2);
      return;
    }
}

/* --- finding series -----------------------------------------------------------------------------
 */

typedef struct Found {
  PromLabels *labels;
  char *device, *measurement;
  DataType type;
} Found;

static void clear_found(gpointer data)
{
  Found *found = data;
  g_ptr_array_unref(found->labels);
  g_free(found->device);
  g_free(found->measurement);
}

static gboolean in_time(const PromContext *context, GError **error)
{
  return clock_mono_us(clock_system()) <= context->deadline_us ||
         fail(error, SYNCLOG_TIMEOUT, "the query took too long");
}

static gboolean is_of_name(const PromMatcher *matcher)
{
  return strcmp(matcher->label, PROM_NAME) == 0;
}

static gboolean fits_device(const PromSelector *selector, const PromLabels *labels,
                            gboolean *out_failed)
{
  for (guint i = 0; selector != NULL && i < selector->matchers->len; i++) {
    const PromMatcher *matcher = &g_array_index(selector->matchers, PromMatcher, i);
    const char *value = prom_label(labels, matcher->label);
    if (!is_of_name(matcher) && !prom_matches(matcher, value != NULL ? value : "", out_failed))
      return FALSE;
  }
  return TRUE;
}

static gboolean fits_name(const PromSelector *selector, const char *name, gboolean *out_failed)
{
  for (guint i = 0; selector != NULL && i < selector->matchers->len; i++) {
    const PromMatcher *matcher = &g_array_index(selector->matchers, PromMatcher, i);
    if (is_of_name(matcher) && !prom_matches(matcher, name, out_failed))
      return FALSE;
  }
  return TRUE;
}

/* The device that must be; NULL when it is not said. */
static const char *device_of(const PromSelector *selector)
{
  for (guint i = 0; selector != NULL && i < selector->matchers->len; i++) {
    const PromMatcher *matcher = &g_array_index(selector->matchers, PromMatcher, i);
    if (matcher->kind == PROM_EQUAL && strcmp(matcher->label, "device") == 0)
      return matcher->value;
  }
  return NULL;
}

/* FALSE ends the search. */
typedef gboolean (*EachFound)(gpointer data, const Found *found, GError **error);

static gboolean find_in_device(const PromSelector *selector, const Device *device, EachFound each,
                               gpointer data, gboolean *out_failed, GError **error)
{
  g_autoptr(GPtrArray) labels = labels_of_device(device->name);
  if (!fits_device(selector, labels, out_failed))
    return TRUE;
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    if (m->type == DATA_TEXT || m->conflicting || !fits_name(selector, m->name, out_failed))
      continue;
    g_autoptr(GPtrArray) all = labels_copy(labels);
    add_label(all, g_strdup(PROM_NAME), g_strdup(m->name));
    Found found = {all, device->name, m->name, m->type};
    if (!each(data, &found, error))
      return FALSE;
  }
  return TRUE;
}

/* `each` ends the search by FALSE, with or without an error. */
static gboolean find(const PromContext *context, const PromSelector *selector, EachFound each,
                     gpointer data, GError **error)
{
  enum { PAGE = 500 };
  const char *exact = device_of(selector);
  g_autofree char *after = NULL;
  gboolean more = TRUE, regex_failed = FALSE;
  while (more) {
    g_autoptr(GPtrArray) devices =
        store_series(context->store, exact, after, exact != NULL ? 1 : PAGE, &more, error);
    if (devices == NULL || !in_time(context, error))
      return FALSE;
    for (guint i = 0; i < devices->len; i++)
      if (!find_in_device(selector, devices->pdata[i], each, data, &regex_failed, error))
        return error == NULL || *error == NULL;
    if (regex_failed)
      return fail(error, SYNCLOG_INVALID, "a regular expression took too long");
    if (exact != NULL || devices->len == 0)
      return TRUE;
    g_free(after);
    after = g_strdup(((Device *)devices->pdata[devices->len - 1])->name);
  }
  return TRUE;
}

typedef struct EachLabels {
  PromEach each;
  gpointer data;
} EachLabels;

static gboolean give_labels(gpointer data, const Found *found, GError **error)
{
  (void)error;
  const EachLabels *each = data;
  return each->each(each->data, found->labels);
}

gboolean prom_find(const PromContext *context, const PromSelector *selector, PromEach each,
                   gpointer data, GError **error)
{
  g_autoptr(GError) local = NULL;
  EachLabels call = {each, data};
  if (find(context, selector, give_labels, &call, &local))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

static gboolean keep_found(gpointer data, const Found *found, GError **error)
{
  GArray *all = data;
  if (all->len >= MOST_SERIES)
    return fail(error, SYNCLOG_TOO_LARGE, "the selector finds more than %d series", MOST_SERIES);
  Found copy = {g_ptr_array_ref(found->labels), g_strdup(found->device),
                g_strdup(found->measurement), found->type};
  g_array_append_val(all, copy);
  return TRUE;
}

/* --- evaluation ---------------------------------------------------------------------------------
 */

typedef struct Eval {
  const PromContext *context;
  const PromSteps *steps;
  guint count;
  guint64 budget; /* values that may still be looked at */
} Eval;

static PromResult *eval(Eval *e, const PromExpr *expr, GError **error);

static gboolean check_cells(const Eval *e, guint series, GError **error)
{
  return (guint64)series * e->count <= MOST_CELLS ||
         fail(error, SYNCLOG_TOO_LARGE,
              "%u series of %u steps, at most %d values are given: use a "
              "longer step or a narrower selector",
              series, e->count, MOST_CELLS);
}

/* The leaf of a query: a selector, alone or under a function over time. */
static PromResult *eval_leaf(Eval *e, const PromExpr *expr, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(Found));
  g_array_set_clear_func(found, clear_found);
  if (!find(e->context, expr->selector, keep_found, found, &local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  if (!check_cells(e, found->len, error))
    return NULL;
  g_autoptr(PromResult) result = result_new();
  for (guint i = 0; i < found->len; i++) {
    const Found *series = &g_array_index(found, Found, i);
    PromSeries *out = series_new(labels_copy(series->labels), e->count);
    g_ptr_array_add(result->series, out);
    if (expr->kind == PROM_OVER_TIME && expr->function != PROM_LAST)
      drop_label(out->labels, PROM_NAME);
    PromWindows windows = {.context = e->context,
                           .device = series->device,
                           .measurement = series->measurement,
                           .type = series->type,
                           .steps = e->steps,
                           .count = e->count,
                           .offset_ms = expr->offset_ms,
                           .range_ms =
                               expr->kind == PROM_OVER_TIME ? expr->range_ms : PROM_LOOKBACK_MS,
                           .function = expr->kind == PROM_OVER_TIME ? expr->function : PROM_LAST};
    if (!prom_read_windows(&windows, &e->budget, out->values, error) || !in_time(e->context, error))
      return NULL;
  }
  return g_steal_pointer(&result);
}

static PromResult *eval_binary(Eval *e, const PromExpr *expr, GError **error)
{
  gboolean number_left = expr->left->kind == PROM_NUMBER;
  double number = number_left ? expr->left->number : expr->right->number;
  PromResult *result = eval(e, number_left ? expr->right : expr->left, error);
  for (guint i = 0; result != NULL && i < result->series->len; i++) {
    PromSeries *series = result->series->pdata[i];
    drop_label(series->labels, PROM_NAME);
    for (guint k = 0; k < e->count; k++) {
      double value = series->values[k];
      if (!prom_is_absent(value))
        series->values[k] = number_left ? prom_compute(expr->sign, number, value)
                                        : prom_compute(expr->sign, value, number);
    }
  }
  return result;
}

/* --- aggregation over series --------------------------------------------------------------------
 */

static PromLabels *group_labels(const PromExpr *expr, const PromLabels *labels)
{
  PromLabels *group = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < labels->len; i += 2) {
    gboolean named = expr->labels != NULL &&
                     g_strv_contains((const char *const *)expr->labels, labels->pdata[i]);
    gboolean kept = expr->without ? !named && strcmp(labels->pdata[i], PROM_NAME) != 0 : named;
    if (!kept)
      continue;
    g_ptr_array_add(group, g_strdup(labels->pdata[i]));
    g_ptr_array_add(group, g_strdup(labels->pdata[i + 1]));
  }
  return group;
}

/* No control character is in a name, so this is one text for each set of labels. */
static char *text_of_labels(const PromLabels *labels)
{
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < labels->len; i++) {
    g_string_append(text, labels->pdata[i]);
    g_string_append_c(text, '\n');
  }
  return g_string_free(text, FALSE);
}

static double take_in(PromFunction function, double so_far, double value)
{
  switch (function) {
  case PROM_MIN:
    return isnan(so_far) || value < so_far ? value : so_far;
  case PROM_MAX:
    return isnan(so_far) || value > so_far ? value : so_far;
  case PROM_COUNT:
    return so_far;
  default:
    return so_far + value;
  }
}

static void take_series(PromFunction function, PromSeries *group, guint *counts,
                        const PromSeries *series, guint steps)
{
  for (guint k = 0; k < steps; k++) {
    double value = series->values[k];
    if (prom_is_absent(value))
      continue;
    group->values[k] = counts[k] == 0 ? value : take_in(function, group->values[k], value);
    counts[k]++;
  }
}

static void finish_group(PromFunction function, PromSeries *group, const guint *counts, guint steps)
{
  for (guint k = 0; k < steps; k++) {
    if (counts[k] > 0 && function == PROM_AVG)
      group->values[k] /= counts[k];
    if (counts[k] > 0 && function == PROM_COUNT)
      group->values[k] = counts[k];
  }
}

static PromResult *eval_aggregate(Eval *e, const PromExpr *expr, GError **error)
{
  g_autoptr(PromResult) from = eval(e, expr->left, error);
  if (from == NULL)
    return NULL;
  PromResult *result = result_new();
  g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GPtrArray) counts = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < from->series->len; i++) {
    const PromSeries *series = from->series->pdata[i];
    PromLabels *labels = group_labels(expr, series->labels);
    char *text = text_of_labels(labels);
    guint place = GPOINTER_TO_UINT(g_hash_table_lookup(places, text));
    if (place == 0) {
      g_ptr_array_add(result->series, series_new(labels, e->count));
      g_ptr_array_add(counts, g_new0(guint, e->count));
      place = result->series->len;
      g_hash_table_insert(places, text, GUINT_TO_POINTER(place));
    } else {
      g_ptr_array_unref(labels);
      g_free(text);
    }
    take_series(expr->function, result->series->pdata[place - 1], counts->pdata[place - 1], series,
                e->count);
  }
  for (guint i = 0; i < result->series->len; i++)
    finish_group(expr->function, result->series->pdata[i], counts->pdata[i], e->count);
  return result;
}

static PromResult *eval(Eval *e, const PromExpr *expr, GError **error)
{
  g_autoptr(PromResult) result = NULL;
  switch (expr->kind) {
  case PROM_NUMBER:
    result = result_new();
    result->scalar = TRUE;
    result->number = expr->number;
    break;
  case PROM_SELECT:
  case PROM_OVER_TIME:
    result = eval_leaf(e, expr, error);
    break;
  case PROM_AGGREGATE:
    result = eval_aggregate(e, expr, error);
    break;
  case PROM_BINARY:
    result = eval_binary(e, expr, error);
    break;
  }
  return result != NULL && sort_result(result, error) ? g_steal_pointer(&result) : NULL;
}

PromResult *prom_eval(const PromContext *context, const PromExpr *expr, const PromSteps *steps,
                      GError **error)
{
  Eval e = {context, steps, prom_step_count(steps), PROM_MOST_VALUES};
  g_assert(e.count <= PROM_MAX_STEPS);
  return eval(&e, expr, error);
}
