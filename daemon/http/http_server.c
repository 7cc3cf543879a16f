#include "http/http_server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
  HTTP_TIMEOUT_S = 5,
  HEADERS_SIZE = 8 * 1024,
  BODY_SIZE = 1024, /* no path takes one */
  ACCEPT_AGAIN_MS = 200,
  BACKLOG = 64,
};

struct HttpServer {
  const HttpPath *paths;
  gpointer ctx;
  GThread *thread;
  struct event_base *base;
  struct evhttp *http;
  struct event *stop_event;
  int stop_fd;
};

static const HttpPath *find_path(const HttpServer *server, const char *wanted)
{
  for (const HttpPath *path = server->paths; path->path != NULL; path++)
    if (g_strcmp0(path->path, wanted) == 0)
      return path;
  return NULL;
}

static void on_request(struct evhttp_request *request, void *data)
{
  HttpServer *server = data;
  const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
  const HttpPath *path = uri != NULL ? find_path(server, evhttp_uri_get_path(uri)) : NULL;
  HttpAnswer answer = {.status = 200, .type = "text/plain; charset=utf-8"};
  answer.body = g_string_new(NULL);
  if (path != NULL) {
    path->answer(server->ctx, &answer);
  } else {
    answer.status = 404;
    g_string_append(answer.body, "there is nothing here\n");
  }
  struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
  evhttp_add_header(headers, "Content-Type", answer.type);
  evhttp_add_header(headers, "Cache-Control", "no-store");
  evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
  /* Each request has a connection of its own: none is kept that nobody needs. */
  evhttp_add_header(headers, "Connection", "close");
  struct evbuffer *body = evbuffer_new();
  evbuffer_add(body, answer.body->str, answer.body->len);
  g_string_free(answer.body, TRUE);
  evhttp_send_reply(request, (int)answer.status, NULL, body);
  evbuffer_free(body);
}

/* --- listening ----------------------------------------------------------------------------------
 */

static void on_accept_again(evutil_socket_t fd, short what, void *data)
{
  (void)fd, (void)what;
  evconnlistener_enable(data);
}

/* Without descriptors accepting would fail again and again at once. `data` is not ours:
 * evhttp_bind_listener has put its own there. */
static void on_accept_error(struct evconnlistener *listener, void *data)
{
  (void)data;
  struct timeval pause = {.tv_usec = ACCEPT_AGAIN_MS * 1000};
  evconnlistener_disable(listener);
  event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_accept_again, listener,
                  &pause);
}

static void add_listener(HttpServer *server, int fd)
{
  struct evconnlistener *listener = evconnlistener_new(
      server->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
  g_assert(listener != NULL);
  evhttp_bind_listener(server->http, listener);
  evconnlistener_set_error_cb(listener, on_accept_error);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void on_stop(evutil_socket_t fd, short what, void *data)
{
  (void)fd, (void)what;
  HttpServer *server = data;
  event_base_loopbreak(server->base);
}

static gpointer serve(gpointer data)
{
  HttpServer *server = data;
  event_base_dispatch(server->base);
  return NULL;
}

HttpServer *http_server_new(const GArray *sockets, const HttpPath *paths, gpointer ctx)
{
  HttpServer *server = g_new0(HttpServer, 1);
  *server = (HttpServer){.paths = paths, .ctx = ctx, .base = event_base_new()};
  server->http = evhttp_new(server->base);
  server->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  g_assert(server->base != NULL && server->http != NULL && server->stop_fd >= 0);
  evhttp_set_timeout(server->http, HTTP_TIMEOUT_S);
  evhttp_set_max_headers_size(server->http, HEADERS_SIZE);
  evhttp_set_max_body_size(server->http, BODY_SIZE);
  evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
  evhttp_set_gencb(server->http, on_request, server);
  server->stop_event = event_new(server->base, server->stop_fd, EV_READ, on_stop, server);
  event_add(server->stop_event, NULL);
  for (guint i = 0; i < sockets->len; i++)
    add_listener(server, g_array_index(sockets, int, i));
  server->thread = g_thread_new("http", serve, server);
  return server;
}

void http_server_free(HttpServer *server)
{
  guint64 one = 1;
  gssize written = write(server->stop_fd, &one, sizeof one);
  g_assert(written == (gssize)sizeof one);
  g_thread_join(server->thread);
  event_free(server->stop_event);
  evhttp_free(server->http);
  event_base_free(server->base);
  close(server->stop_fd);
  g_free(server);
}
