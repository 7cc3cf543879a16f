/* The part of Prometheus' HTTP API that a panel asks for: /api/v1/query_range and its like. */
#include "base/text.h"
#include "base/times.h"
#include "node/group_reads.h"
#include "node/http_data.h"
#include "node/prom_eval.h"

#include <math.h>
#include <string.h>

#define LABEL_VALUES "/values"
/* 64 bits of nanoseconds. */
#define LARGEST_TIME_S G_GINT64_CONSTANT(9223372036)

enum {
  MOST_NAMES = 100000, /* of an answer */
};

typedef enum { ASK_RANGE, ASK_INSTANT, ASK_LABELS, ASK_VALUES, ASK_SERIES } AskKind;

/* A question on its way. */
typedef struct Ask {
  AskKind kind;
  Groups *groups;
  guint32 group;
  HttpRequest *request;
  gint64 per_second, timeout_ms, started_us;
  GArray *tokens;
  PromExpr *expr;
  PromSteps steps;
  PromSelector *selector; /* NULL: all series */
  char *label;            /* whose values are asked for */
  guint limit;
  GHashTable *names; /* found so far: texts that stand in the answer */
  gboolean too_many;
} Ask;

static void ask_free(Ask *ask)
{
  g_clear_pointer(&ask->tokens, g_array_unref);
  prom_expr_free(ask->expr);
  prom_selector_free(ask->selector);
  g_free(ask->label);
  g_hash_table_unref(ask->names);
  g_free(ask);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ask, ask_free)

/* --- answers ------------------------------------------------------------------------------------
 */

static void reply_json(HttpRequest *request, guint status, GString *body, GString *headers)
{
  http_reply(request, &(HttpAnswer){status, "application/json", body, headers});
}

static void reply_error(HttpRequest *request, guint status, const char *type, const char *message,
                        GString *headers)
{
  GString *body = g_string_new("{\"status\":\"error\",\"errorType\":");
  json_append_string(body, type, strlen(type));
  g_string_append(body, ",\"error\":");
  g_autofree char *valid = g_utf8_make_valid(message, -1);
  json_append_string(body, valid, strlen(valid));
  g_string_append_c(body, '}');
  reply_json(request, status, body, headers);
}

static void reply_bad(HttpRequest *request, const GError *error)
{
  reply_error(request, 400, "bad_data", error->message, NULL);
}

/* What went wrong with a question that was one. */
static void reply_failure(HttpRequest *request, const GError *error)
{
  gboolean retry = synclog_status_retryable(error->code);
  const char *type = error->code == SYNCLOG_TIMEOUT   ? "timeout"
                     : error->code == SYNCLOG_CORRUPT ? "internal"
                     : retry                          ? "unavailable"
                                                      : "execution";
  guint status = error->code == SYNCLOG_CORRUPT ? 500 : retry ? 503 : 422;
  reply_error(request, status, type, error->message, http_retry_header(error->code, 0));
}

static void put_time(GString *out, gint64 ms)
{
  guint64 size = ms < 0 ? -(guint64)ms : (guint64)ms;
  g_string_append_printf(out, "%s%" G_GUINT64_FORMAT, ms < 0 ? "-" : "", size / 1000);
  if (size % 1000 != 0)
    g_string_append_printf(out, ".%03u", (guint)(size % 1000));
}

static void put_sample(GString *out, gint64 ms, double value)
{
  g_string_append_c(out, '[');
  put_time(out, ms);
  g_string_append(out, ",\"");
  prom_put_number(out, value);
  g_string_append(out, "\"]");
}

static void put_labels(GString *out, const PromLabels *labels)
{
  g_string_append_c(out, '{');
  for (guint i = 0; i < labels->len; i += 2) {
    const char *name = labels->pdata[i], *value = labels->pdata[i + 1];
    if (i > 0)
      g_string_append_c(out, ',');
    json_append_string(out, name, strlen(name));
    g_string_append_c(out, ':');
    json_append_string(out, value, strlen(value));
  }
  g_string_append_c(out, '}');
}

/* FALSE, and nothing is put, when the series has no value at any step. */
static gboolean put_values(GString *out, const PromSteps *steps, const double *values)
{
  gboolean some = FALSE;
  for (guint k = 0; k < prom_step_count(steps); k++) {
    if (prom_is_absent(values[k]))
      continue;
    g_string_append(out, some ? "," : ",\"values\":[");
    some = TRUE;
    put_sample(out, steps->start_ms + (gint64)k * steps->step_ms, values[k]);
  }
  if (some)
    g_string_append_c(out, ']');
  return some;
}

static void put_matrix(GString *out, const PromSteps *steps, const PromResult *result)
{
  gboolean some = FALSE;
  for (guint i = 0; i < result->series->len; i++) {
    const PromSeries *series = g_ptr_array_index(result->series, i);
    gsize before = out->len;
    g_string_append(out, some ? ",{\"metric\":" : "{\"metric\":");
    put_labels(out, series->labels);
    if (put_values(out, steps, series->values)) {
      g_string_append_c(out, '}');
      some = TRUE;
    } else {
      g_string_truncate(out, before);
    }
  }
}

static void put_vector(GString *out, gint64 ms, const PromResult *result)
{
  gboolean some = FALSE;
  for (guint i = 0; i < result->series->len; i++) {
    const PromSeries *series = g_ptr_array_index(result->series, i);
    if (prom_is_absent(series->values[0]))
      continue;
    g_string_append(out, some ? ",{\"metric\":" : "{\"metric\":");
    some = TRUE;
    put_labels(out, series->labels);
    g_string_append(out, ",\"value\":");
    put_sample(out, ms, series->values[0]);
    g_string_append_c(out, '}');
  }
}

static void put_result(GString *out, const Ask *ask, const PromResult *result)
{
  if (ask->kind == ASK_RANGE) {
    g_string_append(out, "{\"resultType\":\"matrix\",\"result\":[");
    if (result->scalar) {
      g_autofree double *values = g_new(double, prom_step_count(&ask->steps));
      for (guint k = 0; k < prom_step_count(&ask->steps); k++)
        values[k] = result->number;
      g_string_append(out, "{\"metric\":{}");
      put_values(out, &ask->steps, values);
      g_string_append_c(out, '}');
    } else {
      put_matrix(out, &ask->steps, result);
    }
    g_string_append(out, "]}");
  } else if (result->scalar) {
    g_string_append(out, "{\"resultType\":\"scalar\",\"result\":");
    put_sample(out, ask->steps.start_ms, result->number);
    g_string_append_c(out, '}');
  } else {
    g_string_append(out, "{\"resultType\":\"vector\",\"result\":[");
    put_vector(out, ask->steps.start_ms, result);
    g_string_append(out, "]}");
  }
}

/* --- names --------------------------------------------------------------------------------------
 */

static void add_text(Ask *ask, const char *text)
{
  if (!g_hash_table_contains(ask->names, text))
    g_hash_table_add(ask->names, g_strdup(text));
}

static gboolean add_names(gpointer data, const PromLabels *labels)
{
  Ask *ask = data;
  if (ask->kind == ASK_LABELS) {
    for (guint i = 0; i < labels->len; i += 2)
      add_text(ask, labels->pdata[i]);
  } else if (ask->kind == ASK_VALUES) {
    const char *value = prom_label(labels, ask->label);
    if (value != NULL)
      add_text(ask, value);
  } else {
    g_autoptr(GString) text = g_string_new(NULL);
    put_labels(text, labels);
    add_text(ask, text->str);
  }
  guint found = g_hash_table_size(ask->names);
  ask->too_many = found > MOST_NAMES;
  return !ask->too_many && (ask->limit == 0 || found < ask->limit);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_names(GString *out, const Ask *ask)
{
  guint count;
  g_autofree gpointer *names = g_hash_table_get_keys_as_array(ask->names, &count);
  qsort(names, count, sizeof *names, compare_texts);
  g_string_append_c(out, '[');
  for (guint i = 0; i < count; i++) {
    if (i > 0)
      g_string_append_c(out, ',');
    if (ask->kind == ASK_SERIES)
      g_string_append(out, names[i]); /* JSON already */
    else
      json_append_string(out, names[i], strlen(names[i]));
  }
  g_string_append_c(out, ']');
}

/* --- work ---------------------------------------------------------------------------------------
 */

static gboolean compute(Ask *ask, Store *store, GString *out, GError **error)
{
  PromContext context = {.store = store,
                         .per_second = ask->per_second,
                         .deadline_us = ask->started_us + ask->timeout_ms * 1000};
  if (ask->expr != NULL) {
    g_autoptr(PromResult) result = prom_eval(&context, ask->expr, &ask->steps, error);
    if (result != NULL)
      put_result(out, ask, result);
    return result != NULL;
  }
  if (!prom_find(&context, ask->selector, add_names, ask, error))
    return FALSE;
  if (ask->too_many)
    return fail(error, SYNCLOG_TOO_LARGE, "more than %d names: use match[] or limit", MOST_NAMES);
  put_names(out, ask);
  return TRUE;
}

/* As Prometheus says it when it asks several others. */
static void put_warning(GString *out, const char *left_out)
{
  if (left_out == NULL)
    return;
  g_string_append(out, ",\"warnings\":[");
  json_append_string(out, left_out, strlen(left_out));
  g_string_append_c(out, ']');
}

static void answer_ask(gpointer data, Store *store, const GError *error)
{
  g_autoptr(Ask) ask = data;
  g_autoptr(GError) local = NULL;
  GString *body = g_string_new("{\"status\":\"success\",\"data\":");
  gboolean good = store != NULL && compute(ask, store, body, &local);
  const char *left_out = good ? group_reads_left_out(store) : NULL;
  http_read_end();
  if (good) {
    put_warning(body, left_out);
    g_string_append_c(body, '}');
    reply_json(ask->request, 200, body, NULL);
    return;
  }
  g_string_free(body, TRUE);
  reply_failure(ask->request, error != NULL ? error : local);
}

static void start_ask(gpointer data)
{
  Ask *ask = data;
  GroupRead what = {
      .group = ask->group, .tokens = ask->tokens, .timeout_ms = ask->timeout_ms, .partial = TRUE};
  group_reads_begin(ask->groups, &what, answer_ask, ask);
}

/* --- parameters ---------------------------------------------------------------------------------
 */

static const char *param(HttpRequest *request, const char *name)
{
  const char *value = http_request_param(request, name);
  return value != NULL ? value : http_request_form(request, name);
}

/* Seconds as a decimal number, in ms. */
static gboolean parse_seconds(const char *text, gint64 *out_ms)
{
  char *end;
  double seconds = g_ascii_strtod(text, &end);
  if (end == text || *end != '\0' || g_ascii_isspace(*text) ||
      !(fabs(seconds) <= (double)LARGEST_TIME_S))
    return FALSE;
  *out_ms = (gint64)llround(seconds * 1000);
  return TRUE;
}

static gboolean parse_moment(const char *text, gint64 *out_ms)
{
  return parse_seconds(text, out_ms) ||
         (strchr(text, '-') != NULL && time_parse_stamp(text, 1000, TRUE, out_ms, NULL) &&
          ABS(*out_ms) <= LARGEST_TIME_S * 1000);
}

static gboolean read_moment(HttpRequest *request, const char *name, const gint64 *fallback,
                            gint64 *out_ms, GError **error)
{
  const char *text = param(request, name);
  if ((text == NULL || *text == '\0') && fallback != NULL) {
    *out_ms = *fallback;
    return TRUE;
  }
  return (text != NULL && parse_moment(text, out_ms)) ||
         fail(error, SYNCLOG_INVALID,
              "invalid parameter \"%s\": cannot parse \"%.60s\" to a valid timestamp", name,
              text != NULL ? text : "");
}

static gboolean read_span(HttpRequest *request, const char *name, gint64 *out_ms, GError **error)
{
  const char *text = param(request, name);
  if (text != NULL && (parse_seconds(text, out_ms) || prom_parse_duration(text, out_ms)))
    return TRUE;
  return fail(error, SYNCLOG_INVALID,
              "invalid parameter \"%s\": cannot parse \"%.60s\" to a valid duration", name,
              text != NULL ? text : "");
}

static gboolean read_steps(Ask *ask, HttpRequest *request, GError **error)
{
  gint64 now = (gint64)clock_wall_ms(clock_system());
  if (ask->kind == ASK_INSTANT) {
    gboolean good = read_moment(request, "time", &now, &ask->steps.start_ms, error);
    ask->steps.end_ms = ask->steps.start_ms;
    ask->steps.step_ms = 1;
    return good;
  }
  if (!read_moment(request, "start", NULL, &ask->steps.start_ms, error) ||
      !read_moment(request, "end", NULL, &ask->steps.end_ms, error) ||
      !read_span(request, "step", &ask->steps.step_ms, error))
    return FALSE;
  if (ask->steps.end_ms < ask->steps.start_ms)
    return fail(error, SYNCLOG_INVALID,
                "invalid parameter \"end\": end timestamp must not be before start time");
  if (ask->steps.step_ms <= 0)
    return fail(error, SYNCLOG_INVALID,
                "invalid parameter \"step\": zero or negative query resolution step widths are not "
                "accepted. Try a positive integer");
  if ((ask->steps.end_ms - ask->steps.start_ms) / ask->steps.step_ms >= PROM_MAX_STEPS)
    return fail(error, SYNCLOG_INVALID,
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
                "query resolution (?step=XX)");
  return TRUE;
}

static gboolean read_query(Ask *ask, HttpRequest *request, GError **error)
{
  const char *query = param(request, "query");
  if (!read_steps(ask, request, error))
    return FALSE;
  ask->expr = prom_parse(query != NULL ? query : "", error);
  return ask->expr != NULL || fail_prefix(error, "invalid parameter \"query\": ");
}

static gboolean read_match(Ask *ask, HttpRequest *request, GError **error)
{
  const char *match = param(request, "match[]"), *limit = param(request, "limit");
  guint64 number = 0;
  if (limit != NULL && !g_ascii_string_to_unsigned(limit, 10, 0, G_MAXUINT32, &number, NULL))
    return fail(error, SYNCLOG_INVALID, "invalid parameter \"limit\": \"%.40s\"", limit);
  ask->limit = (guint)number;
  if (match == NULL && ask->kind == ASK_SERIES)
    return fail(error, SYNCLOG_INVALID, "no match[] parameter provided");
  if (match == NULL)
    return TRUE;
  ask->selector = prom_parse_selector(match, error);
  return ask->selector != NULL || fail_prefix(error, "invalid parameter \"match[]\": ");
}

/* "/api/v1/label/NAME/values". */
static gboolean read_label(Ask *ask, HttpRequest *request, GError **error)
{
  const char *name = http_request_path(request) + strlen("/api/v1/label/");
  gsize size = strlen(name);
  if (!g_str_has_suffix(name, LABEL_VALUES))
    return fail(error, SYNCLOG_INVALID, "there is nothing here");
  ask->label = g_strndup(name, size - strlen(LABEL_VALUES));
  for (const char *c = ask->label; *c != '\0' || c == ask->label; c++)
    if (!g_ascii_isalpha(*c) && *c != '_' && (c == ask->label || !g_ascii_isdigit(*c)))
      return fail(error, SYNCLOG_INVALID, "invalid label name: \"%.60s\"", ask->label);
  return TRUE;
}

static gboolean read_request(Ask *ask, HttpRequest *request, GError **error)
{
  gint64 timeout_ms = ask->timeout_ms;
  if (param(request, "timeout") != NULL && !read_span(request, "timeout", &timeout_ms, error))
    return FALSE;
  ask->timeout_ms = CLAMP(timeout_ms, 0, ask->timeout_ms);
  if (!http_tokens(request, &ask->tokens, error) || !http_group(request, &ask->group, error))
    return FALSE;
  if (ask->kind == ASK_RANGE || ask->kind == ASK_INSTANT)
    return read_query(ask, request, error);
  return (ask->kind != ASK_VALUES || read_label(ask, request, error)) &&
         read_match(ask, request, error);
}

static void take_ask(gpointer ctx, HttpRequest *request, AskKind kind)
{
  ServiceLimits limits;
  if (!http_data_begin(ctx, request, &limits))
    return;
  g_autoptr(GError) error = NULL;
  g_autoptr(Ask) ask = g_new0(Ask, 1);
  ask->kind = kind;
  ask->groups = service_groups(ctx);
  ask->request = request;
  ask->per_second = limits.per_second;
  ask->timeout_ms = limits.read_timeout_ms;
  ask->started_us = clock_mono_us(clock_system());
  ask->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  if (!read_request(ask, request, &error))
    reply_bad(request, error);
  else if (http_read_begin(request))
    groups_work(service_groups(ctx), start_ask, g_steal_pointer(&ask));
}

void http_answer_query_range(gpointer ctx, HttpRequest *request)
{
  take_ask(ctx, request, ASK_RANGE);
}

void http_answer_query(gpointer ctx, HttpRequest *request)
{
  take_ask(ctx, request, ASK_INSTANT);
}

void http_answer_labels(gpointer ctx, HttpRequest *request)
{
  take_ask(ctx, request, ASK_LABELS);
}

void http_answer_label_values(gpointer ctx, HttpRequest *request)
{
  take_ask(ctx, request, ASK_VALUES);
}

void http_answer_series(gpointer ctx, HttpRequest *request)
{
  take_ask(ctx, request, ASK_SERIES);
}
