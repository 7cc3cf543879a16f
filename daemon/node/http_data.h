/*
 * Data in and out over HTTP, where [http] data = yes: line protocol (http_write.c), export
 * (http_export.c), queries of Prometheus' kind (http_prom.c). Requests go through the replica as
 * those by RPC do: checked, bounded and ordered in the same way. Handlers run on the server's
 * thread and hand the work to workers.
 */
#pragma once

#include "http/http_server.h"
#include "node/service.h"

/* All that the node serves over HTTP, what it shows included; for http_server_new, with the service
 * as ctx. Lives as long as the process. */
const HttpRoute *http_data_routes(void);

/* --- shared by the handlers --------------------------------------------------------------------
 */

/* Reads and their answers in the making take memory, so there are so many at a time. */
enum { HTTP_MOST_READS = 8 };

/* FALSE when data may not go in or out now; the request is answered then. */
gboolean http_data_begin(Service *service, HttpRequest *request, ServiceLimits *out_limits);

/* A place among HTTP_MOST_READS; FALSE when all are taken (503, answered). */
gboolean http_read_begin(HttpRequest *request);
void http_read_end(void);

/* The status of an outcome: 400, 413, 429, 503, 500; and "Retry-After: …" where a retry can help,
 * else NULL (transfer full). */
guint http_status_of(int status);
GString *http_retry_header(int status, gint32 retry_after_ms);

/* token= of the request, several separated by commas: Token array, NULL when there is none. */
gboolean http_tokens(HttpRequest *request, GArray **out_tokens, GError **error);

/* group= of the request; GROUP_BY_RULE when there is none. */
gboolean http_group(HttpRequest *request, guint32 *out_group, GError **error);

/* A JSON document as the body of an answer. */
GString *http_json(gpointer json_object);

/* Handlers. */
void http_take_write(gpointer ctx, HttpRequest *request);
void http_take_write_v2(gpointer ctx, HttpRequest *request);
void http_answer_ping(gpointer ctx, HttpRequest *request);
void http_answer_health(gpointer ctx, HttpRequest *request);
void http_answer_export(gpointer ctx, HttpRequest *request);
void http_answer_query_range(gpointer ctx, HttpRequest *request);
void http_answer_query(gpointer ctx, HttpRequest *request);
void http_answer_labels(gpointer ctx, HttpRequest *request);
void http_answer_label_values(gpointer ctx, HttpRequest *request);
void http_answer_series(gpointer ctx, HttpRequest *request);

enum {
  HTTP_WRITE_SIZE = 16 * 1024 * 1024, /* bytes of a body of lines, unpacked too */
  HTTP_FORM_SIZE = 256 * 1024,        /* of the parameters of a query */
};
