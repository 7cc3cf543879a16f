/* A connection: one request at a time, from its head to the last byte of its answer. */
#include "http/http_private.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  INPUT_SIZE = 64 * 1024, /* read ahead of what is asked for */
  LINGER_S = 2,           /* for the other side to take an answer that it got before it was done */
  DRAIN_S = 1,            /* for the last answers when the server ends */
};

typedef enum {
  CONN_HEAD,    /* waits for a request */
  CONN_BODY,    /* and its body */
  CONN_HANDLER, /* a handler has it */
  CONN_SENDING, /* an answer, or a piece of one, leaves */
  CONN_LINGER,  /* all is said; what still comes is thrown away */
} ConnState;

struct HttpConn {
  HttpServer *server;
  GList link; /* in server->conns */
  struct bufferevent *bev;
  ConnState state;
  gint64 since_us;    /* in CONN_HEAD: since when */
  gint64 deadline_us; /* G_MAXINT64: none */
  const HttpRoute *route;
  HttpHead head; /* while the body comes */
  HttpChunks chunks;
  struct evbuffer *body;
  HttpRequest *request; /* with the handler, or sending a stream; else NULL */
  gboolean begun;       /* a head: some of it is here */
  gboolean close_after; /* the answer */
  gboolean body_unread; /* it was answered without its body */
};

static void set_state(HttpConn *conn, ConnState state, gint64 seconds)
{
  if (conn->server->draining && seconds > DRAIN_S)
    seconds = DRAIN_S;
  conn->state = state;
  conn->since_us = g_get_monotonic_time();
  conn->deadline_us = seconds > 0 ? conn->since_us + seconds * G_USEC_PER_SEC : G_MAXINT64;
}

static void drop_body(HttpConn *conn)
{
  gsize size = evbuffer_get_length(conn->body);
  conn->server->body_bytes -= size;
  evbuffer_drain(conn->body, size);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static void request_free(HttpRequest *request)
{
  HttpServer *server = request->server;
  server->body_bytes -= request->body_size;
  server->requests--;
  http_head_clear(&request->head);
  g_clear_pointer(&request->params, g_hash_table_unref);
  g_clear_pointer(&request->form, g_hash_table_unref);
  g_free(request->body);
  g_free(request);
  http_server_check_end(server);
}

static void conn_free(HttpConn *conn)
{
  HttpServer *server = conn->server;
  HttpRequest *request = conn->request;
  g_queue_unlink(&server->conns, &conn->link);
  g_atomic_int_add(&server->connections, -1);
  drop_body(conn);
  evbuffer_free(conn->body);
  http_head_clear(&conn->head);
  gboolean stream_waits = conn->state == CONN_SENDING;
  /* libevent frees it at the end of the loop's iteration; the descriptor would stay until then,
   * while many more are accepted. */
  evutil_socket_t fd = bufferevent_getfd(conn->bev);
  bufferevent_setfd(conn->bev, -1);
  bufferevent_free(conn->bev);
  close(fd);
  g_free(conn);
  if (request != NULL) {
    request->conn = NULL;
    if (stream_waits) /* else its handler is at work and hears of it afterwards */
      request->more(request, request->more_data, TRUE);
  }
  http_server_check_end(server);
}

static HttpRequest *request_new(HttpConn *conn)
{
  HttpRequest *request = g_new0(HttpRequest, 1);
  request->server = conn->server;
  request->conn = conn;
  request->head = conn->head;
  conn->head = (HttpHead){0};
  request->is_head = strcmp(request->head.method, "HEAD") == 0;
  request->method = strcmp(request->head.method, "POST") == 0 ? HTTP_POST : HTTP_GET;
  request->body_size = evbuffer_get_length(conn->body);
  request->body = g_malloc(request->body_size + 1);
  evbuffer_remove(conn->body, request->body, request->body_size);
  if (request->head.query != NULL)
    request->params = http_params(request->head.query, strlen(request->head.query));
  conn->server->requests++;
  return request;
}

static void dispatch(HttpConn *conn)
{
  set_state(conn, CONN_HANDLER, 0);
  bufferevent_disable(conn->bev, EV_READ);
  conn->request = request_new(conn);
  conn->route->handle(conn->server->ctx, conn->request);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static const char *reason(guint status)
{
  static const struct {
    guint status;
    const char *text;
  } reasons[] = {{200, "OK"},
                 {204, "No Content"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {413, "Content Too Large"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {422, "Unprocessable Content"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
  for (guint i = 0; i < G_N_ELEMENTS(reasons); i++)
    if (reasons[i].status == status)
      return reasons[i].text;
  return "Status";
}

/* `framing`: the header that says where the content ends. */
static void put_head(HttpConn *conn, const HttpAnswer *answer, const char *framing)
{
  struct evbuffer *out = bufferevent_get_output(conn->bev);
  evbuffer_add_printf(out, "HTTP/1.1 %u %s\r\n%s", answer->status, reason(answer->status), framing);
  if (answer->type != NULL)
    evbuffer_add_printf(out, "Content-Type: %s\r\n", answer->type);
  if (answer->headers != NULL)
    evbuffer_add(out, answer->headers->str, answer->headers->len);
  evbuffer_add_printf(out, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
                      conn->close_after ? "Connection: close\r\n" : "");
}

static void put_answer(HttpConn *conn, const HttpAnswer *answer, gboolean without_body)
{
  gsize size = answer->body != NULL ? answer->body->len : 0;
  g_autofree char *framing = answer->status == 204
                                 ? g_strdup("")
                                 : g_strdup_printf("Content-Length: %" G_GSIZE_FORMAT "\r\n", size);
  put_head(conn, answer, framing);
  if (size > 0 && !without_body && answer->status != 204)
    evbuffer_add(bufferevent_get_output(conn->bev), answer->body->str, size);
  set_state(conn, CONN_SENDING, HTTP_SEND_S);
}

static void answer_clear(HttpAnswer *answer)
{
  if (answer->body != NULL)
    g_string_free(g_steal_pointer(&answer->body), TRUE);
  if (answer->headers != NULL)
    g_string_free(g_steal_pointer(&answer->headers), TRUE);
}

/* Answers without a handler, and closes: what follows on the connection is not understood. */
static void refuse(HttpConn *conn, guint status, const char *headers)
{
  HttpAnswer answer = {status, "text/plain; charset=utf-8", g_string_new(NULL),
                       headers != NULL ? g_string_new(headers) : NULL};
  g_string_append_printf(answer.body, "%s\n",
                         status == 404 ? "there is nothing here" : reason(status));
  gboolean is_head = conn->head.method != NULL && strcmp(conn->head.method, "HEAD") == 0;
  conn->close_after = conn->body_unread = TRUE;
  bufferevent_disable(conn->bev, EV_READ);
  drop_body(conn);
  put_answer(conn, &answer, is_head);
  answer_clear(&answer);
}

typedef struct Reply {
  HttpRequest *request;
  HttpAnswer answer;
  HttpMore more;
  gpointer more_data;
} Reply;

static void do_reply(gpointer data)
{
  Reply *reply = data;
  HttpConn *conn = reply->request->conn;
  if (conn != NULL) {
    conn->request = NULL;
    put_answer(conn, &reply->answer, reply->request->is_head);
  }
  answer_clear(&reply->answer);
  request_free(reply->request);
  g_free(reply);
}

void http_reply(HttpRequest *request, const HttpAnswer *answer)
{
  Reply reply = {request, *answer, NULL, NULL};
  http_server_run(request->server, do_reply, g_memdup2(&reply, sizeof reply));
}

void http_reply_text(HttpRequest *request, guint status, const char *format, ...)
{
  HttpAnswer answer = {status, "text/plain; charset=utf-8", g_string_new(NULL), NULL};
  va_list args;
  va_start(args, format);
  g_string_vprintf(answer.body, format, args);
  va_end(args);
  g_string_append_c(answer.body, '\n');
  http_reply(request, &answer);
}

/* --- streams ------------------------------------------------------------------------------------
 */

static void do_begin(gpointer data)
{
  Reply *reply = data;
  HttpRequest *request = reply->request;
  HttpConn *conn = request->conn;
  request->more = reply->more;
  request->more_data = reply->more_data;
  if (conn != NULL) {
    request->chunked = !request->head.is_1_0;
    conn->close_after = conn->close_after || request->head.is_1_0;
    put_head(conn, &reply->answer, request->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    set_state(conn, CONN_SENDING, HTTP_SEND_S);
  }
  answer_clear(&reply->answer);
  g_free(reply);
  if (conn == NULL)
    request->more(request, request->more_data, TRUE);
}

void http_stream_begin(HttpRequest *request, const HttpAnswer *answer, HttpMore more, gpointer data)
{
  g_assert(answer->body == NULL);
  Reply reply = {request, *answer, more, data};
  http_server_run(request->server, do_begin, g_memdup2(&reply, sizeof reply));
}

static void do_send(gpointer data)
{
  Reply *reply = data;
  HttpRequest *request = reply->request;
  HttpConn *conn = request->conn;
  if (conn != NULL) {
    struct evbuffer *out = bufferevent_get_output(conn->bev);
    if (request->chunked)
      evbuffer_add_printf(out, "%" G_GSIZE_MODIFIER "x\r\n", reply->answer.body->len);
    evbuffer_add(out, reply->answer.body->str, reply->answer.body->len);
    if (request->chunked)
      evbuffer_add(out, "\r\n", 2);
    set_state(conn, CONN_SENDING, HTTP_SEND_S);
  }
  answer_clear(&reply->answer);
  g_free(reply);
  if (conn == NULL)
    request->more(request, request->more_data, TRUE);
}

void http_stream_send(HttpRequest *request, GString *piece)
{
  g_assert(piece->len > 0);
  Reply reply = {request, {.body = piece}, NULL, NULL};
  http_server_run(request->server, do_send, g_memdup2(&reply, sizeof reply));
}

static void do_end(gpointer data)
{
  HttpRequest *request = data;
  HttpConn *conn = request->conn;
  if (conn != NULL) {
    conn->request = NULL;
    if (request->chunked && !request->is_head)
      evbuffer_add(bufferevent_get_output(conn->bev), "0\r\n\r\n", 5);
    set_state(conn, CONN_SENDING, HTTP_SEND_S);
    if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
      bufferevent_trigger(conn->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
  }
  request_free(request);
}

static void do_break(gpointer data)
{
  HttpRequest *request = data;
  HttpConn *conn = request->conn;
  if (conn != NULL) {
    conn->request = NULL;
    conn_free(conn);
  }
  request_free(request);
}

void http_stream_end(HttpRequest *request, gboolean complete)
{
  http_server_run(request->server, complete ? do_end : do_break, request);
}

/* --- reading ------------------------------------------------------------------------------------
 */

static const HttpRoute *find_route(const HttpServer *server, const char *wanted)
{
  for (const HttpRoute *route = server->routes; route->path != NULL; route++) {
    gsize size = strlen(route->path);
    if (route->path[size - 1] == '*' ? strncmp(route->path, wanted, size - 1) == 0
                                     : strcmp(route->path, wanted) == 0)
      return route;
  }
  return NULL;
}

static gboolean is_allowed(const HttpRoute *route, const char *method)
{
  if (strcmp(method, "POST") == 0)
    return (route->methods & HTTP_POST) != 0;
  return (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) &&
         (route->methods & HTTP_GET) != 0;
}

static const char *allow_header(const HttpRoute *route)
{
  if ((route->methods & HTTP_POST) == 0)
    return "Allow: GET, HEAD\r\n";
  return (route->methods & HTTP_GET) != 0 ? "Allow: GET, HEAD, POST\r\n" : "Allow: POST\r\n";
}

static void on_body(HttpConn *conn)
{
  HttpServer *server = conn->server;
  struct evbuffer *in = bufferevent_get_input(conn->bev);
  gsize before = evbuffer_get_length(conn->body);
  ChunksVerdict verdict = CHUNKS_MORE;
  if (conn->head.chunked) {
    verdict = http_chunks_move(&conn->chunks, in, conn->body, conn->route->max_body);
  } else {
    evbuffer_remove_buffer(in, conn->body, conn->head.length - before);
    verdict = evbuffer_get_length(conn->body) == conn->head.length ? CHUNKS_DONE : CHUNKS_MORE;
  }
  server->body_bytes += evbuffer_get_length(conn->body) - before;
  if (verdict == CHUNKS_BAD)
    refuse(conn, 400, NULL);
  else if (verdict == CHUNKS_TOO_LARGE)
    refuse(conn, 413, NULL);
  else if (server->body_bytes > HTTP_BODIES_SIZE)
    refuse(conn, 503, "Retry-After: 1\r\n");
  else if (verdict == CHUNKS_DONE)
    dispatch(conn);
}

static void on_head(HttpConn *conn)
{
  HttpServer *server = conn->server;
  const HttpHead *head = &conn->head;
  conn->close_after = !head->keep_alive || server->draining;
  conn->body_unread = FALSE;
  conn->route = find_route(server, head->path);
  gboolean has_body = head->chunked || head->length > 0;
  if (conn->route == NULL)
    refuse(conn, 404, NULL);
  else if (!is_allowed(conn->route, head->method))
    refuse(conn, 405, allow_header(conn->route));
  else if (has_body && (conn->route->max_body == 0 || head->length > conn->route->max_body))
    refuse(conn, 413, NULL);
  else if (!has_body)
    dispatch(conn);
  else {
    conn->chunks = (HttpChunks){0};
    set_state(conn, CONN_BODY, HTTP_BODY_S);
    if (head->expects_continue)
      evbuffer_add_printf(bufferevent_get_output(conn->bev), "HTTP/1.1 100 Continue\r\n\r\n");
    on_body(conn);
  }
}

/* The time for a head counts from its first byte. */
static void on_head_bytes(HttpConn *conn)
{
  struct evbuffer *in = bufferevent_get_input(conn->bev);
  gsize held = MIN(evbuffer_get_length(in), HTTP_HEAD_SIZE);
  if (held == 0)
    return;
  const char *bytes = (const char *)evbuffer_pullup(in, (ssize_t)held);
  gsize size = http_head_size(bytes, held);
  if (size == 0) {
    if (held == HTTP_HEAD_SIZE)
      refuse(conn, 431, NULL);
    else if (!conn->begun)
      set_state(conn, CONN_HEAD, HTTP_HEAD_S);
    conn->begun = TRUE;
    return;
  }
  guint refused = http_head_parse(bytes, size, &conn->head);
  evbuffer_drain(in, size);
  if (refused != 0)
    refuse(conn, refused, NULL);
  else
    on_head(conn);
}

static void on_read(struct bufferevent *bev, void *data)
{
  HttpConn *conn = data;
  if (conn->state == CONN_HEAD)
    on_head_bytes(conn);
  else if (conn->state == CONN_BODY)
    on_body(conn);
  else if (conn->state == CONN_LINGER)
    evbuffer_drain(bufferevent_get_input(bev), G_MAXSIZE);
}

/* --- the end of an answer -----------------------------------------------------------------------
 */

static void await_request(HttpConn *conn)
{
  http_head_clear(&conn->head);
  conn->begun = FALSE;
  set_state(conn, CONN_HEAD, HTTP_IDLE_S);
  bufferevent_enable(conn->bev, EV_READ);
  on_head_bytes(conn); /* the next one may be here already */
}

/* A close with bytes unread would destroy the answer on its way. */
static void linger(HttpConn *conn)
{
  set_state(conn, CONN_LINGER, LINGER_S);
  shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
  evbuffer_drain(bufferevent_get_input(conn->bev), G_MAXSIZE);
  bufferevent_enable(conn->bev, EV_READ);
}

static void on_sent(struct bufferevent *bev, void *data)
{
  HttpConn *conn = data;
  HttpRequest *request = conn->request;
  if (conn->state != CONN_SENDING || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
    return;
  if (request != NULL) {
    set_state(conn, CONN_HANDLER, 0);
    request->more(request, request->more_data, request->is_head || conn->server->draining);
  } else if (!conn->close_after) {
    await_request(conn);
  } else if (conn->body_unread) {
    linger(conn);
  } else {
    conn_free(conn);
  }
}

static void on_event(struct bufferevent *bev, short what, void *data)
{
  (void)bev, (void)what;
  conn_free(data);
}

/* --- life ---------------------------------------------------------------------------------------
 */

void http_conn_new(HttpServer *server, int fd)
{
  HttpConn *conn = g_new0(HttpConn, 1);
  conn->server = server;
  conn->link.data = conn;
  conn->body = evbuffer_new();
  conn->bev = bufferevent_socket_new(server->base, fd, 0);
  g_assert(conn->bev != NULL && conn->body != NULL);
  bufferevent_setcb(conn->bev, on_read, on_sent, on_event, conn);
  bufferevent_setwatermark(conn->bev, EV_READ, 0, INPUT_SIZE);
  g_queue_push_tail_link(&server->conns, &conn->link);
  g_atomic_int_inc(&server->connections);
  set_state(conn, CONN_HEAD, HTTP_HEAD_S);
  bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

static void cut_off(HttpConn *conn)
{
  g_atomic_pointer_add(&conn->server->refused, 1);
  conn_free(conn);
}

/* Whether it may be closed for the sake of another one. */
static gboolean is_evictable(const HttpConn *conn, gint64 now_us)
{
  return conn->state == CONN_HEAD || conn->state == CONN_LINGER ||
         (conn->state == CONN_SENDING && now_us > conn->since_us + HTTP_HEAD_S * G_USEC_PER_SEC);
}

gboolean http_conn_evict(HttpServer *server)
{
  gint64 now_us = g_get_monotonic_time();
  HttpConn *oldest = NULL;
  for (GList *link = server->conns.head; link != NULL; link = link->next) {
    HttpConn *conn = link->data;
    if (is_evictable(conn, now_us) && (oldest == NULL || conn->since_us < oldest->since_us))
      oldest = conn;
  }
  if (oldest == NULL)
    return FALSE;
  cut_off(oldest);
  return TRUE;
}

void http_conns_check_time(HttpServer *server)
{
  gint64 now_us = g_get_monotonic_time();
  for (GList *link = server->conns.head, *next; link != NULL; link = next) {
    HttpConn *conn = link->data;
    next = link->next;
    if (now_us < conn->deadline_us)
      continue;
    if (conn->state == CONN_LINGER || (conn->state == CONN_HEAD && !conn->begun))
      conn_free(conn); /* nothing is wrong with it */
    else
      cut_off(conn);
  }
}

void http_conns_drain(HttpServer *server)
{
  gint64 until_us = g_get_monotonic_time() + DRAIN_S * G_USEC_PER_SEC;
  for (GList *link = server->conns.head, *next; link != NULL; link = next) {
    HttpConn *conn = link->data;
    next = link->next;
    conn->close_after = TRUE;
    conn->deadline_us = MIN(conn->deadline_us, until_us);
    if (conn->state != CONN_HANDLER && conn->state != CONN_SENDING)
      conn_free(conn);
  }
}

/* --- what a handler sees ------------------------------------------------------------------------
 */

HttpMethods http_request_method(const HttpRequest *request)
{
  return request->method;
}

const char *http_request_path(const HttpRequest *request)
{
  return request->head.path;
}

const char *http_request_param(const HttpRequest *request, const char *name)
{
  return request->params != NULL ? g_hash_table_lookup(request->params, name) : NULL;
}

/* Not before it is asked for: curl calls any body a form. */
const char *http_request_form(HttpRequest *request, const char *name)
{
  const char *type = http_head_find(&request->head, "Content-Type");
  if (request->form == NULL && type != NULL &&
      g_ascii_strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0)
    request->form = http_params((const char *)request->body, request->body_size);
  return request->form != NULL ? g_hash_table_lookup(request->form, name) : NULL;
}

const char *http_request_header(const HttpRequest *request, const char *name)
{
  return http_head_find(&request->head, name);
}

const guint8 *http_request_body(const HttpRequest *request, gsize *out_size)
{
  *out_size = request->body_size;
  return request->body;
}
