#include "node/http_data.h"

#include "base/limits.h"
#include "node/monitor.h"

#include <jansson.h>
#include <string.h>

static gint reads; /* atomic: under way */

gboolean http_data_begin(Service *service, HttpRequest *request, ServiceLimits *out_limits)
{
  *out_limits = service_limits(service);
  if (!out_limits->http_data) {
    http_reply_text(request, 403, "data over HTTP is switched off here: [http] data = yes");
    return FALSE;
  }
  /* A page in somebody's browser could send requests to where the browser reaches. No tool that
   * writes or reads data says where it comes from. */
  if (http_request_header(request, "Origin") != NULL) {
    http_reply_text(request, 403, "requests of web pages are not taken");
    return FALSE;
  }
  return TRUE;
}

gboolean http_read_begin(HttpRequest *request)
{
  if (g_atomic_int_add(&reads, 1) < HTTP_MOST_READS)
    return TRUE;
  g_atomic_int_add(&reads, -1);
  HttpAnswer answer = {503, "text/plain; charset=utf-8", g_string_new("too many reads at a time\n"),
                       g_string_new("Retry-After: 1\r\n")};
  http_reply(request, &answer);
  return FALSE;
}

void http_read_end(void)
{
  g_atomic_int_add(&reads, -1);
}

guint http_status_of(int status)
{
  switch (status) {
  case SYNCLOG_OK:
    return 200;
  case SYNCLOG_INVALID:
  case SYNCLOG_TYPE_MISMATCH:
  case SYNCLOG_UNKNOWN_LOG:
  case SYNCLOG_UNKNOWN_GROUP:
    return 400;
  case SYNCLOG_TOO_LARGE:
    return 413;
  case SYNCLOG_OVERLOADED:
    return 429;
  case SYNCLOG_PENDING:
    return 503;
  default:
    return synclog_status_retryable(status) ? 503 : 500;
  }
}

GString *http_retry_header(int status, gint32 retry_after_ms)
{
  guint code = http_status_of(status);
  if (code != 429 && code != 503)
    return NULL;
  gint32 ms = retry_after_ms > 0 ? retry_after_ms : synclog_status_retry_after_ms(status);
  GString *header = g_string_new(NULL);
  g_string_append_printf(header, "Retry-After: %d\r\n", MAX(1, (ms + 999) / 1000));
  return header;
}

gboolean http_tokens(HttpRequest *request, GArray **out_tokens, GError **error)
{
  *out_tokens = NULL;
  const char *text = http_request_param(request, "token");
  if (text == NULL)
    text = http_request_form(request, "token");
  if (text == NULL)
    return TRUE;
  g_auto(GStrv) parts = g_strsplit(text, ",", LIMIT_TOKENS + 1);
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; parts[i] != NULL; i++) {
    Token token;
    if (i >= LIMIT_TOKENS)
      return fail(error, SYNCLOG_INVALID, "more than %d tokens", LIMIT_TOKENS);
    if (!token_parse(parts[i], &token, error))
      return FALSE;
    g_array_append_val(tokens, token);
  }
  *out_tokens = g_steal_pointer(&tokens);
  return TRUE;
}

gboolean http_group(HttpRequest *request, guint32 *out_group, GError **error)
{
  const char *text = http_request_param(request, "group");
  guint64 group = GROUP_BY_RULE;
  if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 0, LIMIT_GROUP_ID, &group, NULL))
    return fail(error, SYNCLOG_INVALID, "invalid group \"%.40s\"", text);
  *out_group = (guint32)group;
  return TRUE;
}

GString *http_json(gpointer json_object)
{
  char *text = json_dumps(json_object, JSON_COMPACT);
  GString *body = g_string_new(text);
  free(text);
  g_string_append_c(body, '\n');
  return body;
}

const HttpRoute *http_data_routes(void)
{
  static const HttpRoute data[] = {
      {"/write", HTTP_POST, HTTP_WRITE_SIZE, http_take_write},
      {"/api/v2/write", HTTP_POST, HTTP_WRITE_SIZE, http_take_write_v2},
      {"/ping", HTTP_GET, 0, http_answer_ping},
      {"/health", HTTP_GET, 0, http_answer_health},
      {"/export", HTTP_GET, 0, http_answer_export},
      {"/api/v1/query_range", HTTP_GET | HTTP_POST, HTTP_FORM_SIZE, http_answer_query_range},
      {"/api/v1/query", HTTP_GET | HTTP_POST, HTTP_FORM_SIZE, http_answer_query},
      {"/api/v1/labels", HTTP_GET | HTTP_POST, HTTP_FORM_SIZE, http_answer_labels},
      {"/api/v1/label/*", HTTP_GET, 0, http_answer_label_values},
      {"/api/v1/series", HTTP_GET | HTTP_POST, HTTP_FORM_SIZE, http_answer_series},
  };
  static GArray *all;
  if (all != NULL)
    return (const HttpRoute *)(void *)all->data;
  all = g_array_new(TRUE, FALSE, sizeof(HttpRoute)); /* ends with a NULL path */
  for (const HttpRoute *route = monitor_routes(); route->path != NULL; route++)
    g_array_append_vals(all, route, 1);
  g_array_append_vals(all, data, G_N_ELEMENTS(data));
  return (const HttpRoute *)(void *)all->data;
}
