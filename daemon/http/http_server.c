#include "http/http_private.h"

#include <errno.h>
#include <event2/listener.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  TICK_MS = 1000,
  DRAIN_TICK_MS = 50,
  ACCEPT_AGAIN_MS = 200,
  BACKLOG = 1024,
};

/* --- tasks of other threads ---------------------------------------------------------------------
 */

void http_server_run(HttpServer *server, void (*func)(gpointer data), gpointer data)
{
  if (g_thread_self() == server->thread) {
    func(data);
    return;
  }
  HttpTask task = {func, data};
  g_mutex_lock(&server->lock);
  if (server->inbox->len == 0) {
    /* Under the lock: http_server_free takes it once more before the descriptor goes. */
    guint64 one = 1;
    gssize written = write(server->wake_fd, &one, sizeof one);
    g_assert(written == (gssize)sizeof one);
  }
  g_array_append_val(server->inbox, task);
  g_mutex_unlock(&server->lock);
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
  (void)what;
  HttpServer *server = data;
  guint64 count;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
    ;
  g_mutex_lock(&server->lock);
  g_autoptr(GArray) tasks = server->inbox;
  server->inbox = g_array_new(FALSE, FALSE, sizeof(HttpTask));
  g_mutex_unlock(&server->lock);
  for (guint i = 0; i < tasks->len; i++) {
    const HttpTask *task = &g_array_index(tasks, HttpTask, i);
    task->func(task->data);
  }
}

/* --- accepting ----------------------------------------------------------------------------------
 */

static void turn_away(HttpServer *server, int fd)
{
  static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                               "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";
  (void)!send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
  g_atomic_pointer_add(&server->refused, 1);
}

static void pause_accepting(HttpServer *server, struct evconnlistener *listener, guint pause_ms)
{
  evconnlistener_disable(listener);
  event_add(server->accept_event, &(struct timeval){.tv_usec = pause_ms * 1000});
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *data)
{
  (void)address, (void)size;
  HttpServer *server = data;
  if (server->conns.length >= server->max_connections) {
    if (!http_conn_evict(server)) {
      turn_away(server, fd);
      return;
    }
    /* libevent closes its socket at the end of this iteration: no more are taken before. */
    pause_accepting(server, listener, 0);
  }
  http_conn_new(server, fd);
}

static void on_accept_again(evutil_socket_t fd, short what, void *data)
{
  (void)fd, (void)what;
  HttpServer *server = data;
  for (guint i = 0; i < server->listeners->len; i++)
    evconnlistener_enable(server->listeners->pdata[i]);
}

/* Without descriptors accepting would fail again and again at once. */
static void on_accept_error(struct evconnlistener *listener, void *data)
{
  HttpServer *server = data;
  pause_accepting(server, listener, ACCEPT_AGAIN_MS);
}

static void add_listener(HttpServer *server, int fd)
{
  struct evconnlistener *listener = evconnlistener_new(
      server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
  g_assert(listener != NULL);
  evconnlistener_set_error_cb(listener, on_accept_error);
  g_ptr_array_add(server->listeners, listener);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void on_tick(evutil_socket_t fd, short what, void *data)
{
  (void)fd, (void)what;
  HttpServer *server = data;
  guint interval_ms = server->draining ? DRAIN_TICK_MS : TICK_MS;
  struct timeval interval = {interval_ms / 1000, interval_ms % 1000 * 1000};
  event_add(server->tick_event, &interval);
  http_conns_check_time(server);
}

static gpointer serve(gpointer data)
{
  HttpServer *server = data;
  g_mutex_lock(&server->lock); /* `thread` is set */
  g_mutex_unlock(&server->lock);
  event_base_dispatch(server->base);
  return NULL;
}

static void free_listener(gpointer listener)
{
  evconnlistener_free(listener);
}

HttpServer *http_server_new(const GArray *sockets, const HttpRoute *routes, guint max_connections,
                            gpointer ctx)
{
  g_assert(max_connections > 0);
  HttpServer *server = g_new0(HttpServer, 1);
  server->routes = routes;
  server->ctx = ctx;
  server->max_connections = max_connections;
  server->base = event_base_new();
  server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  g_assert(server->base != NULL && server->wake_fd >= 0);
  server->listeners = g_ptr_array_new_with_free_func(free_listener);
  server->inbox = g_array_new(FALSE, FALSE, sizeof(HttpTask));
  g_mutex_init(&server->lock);
  server->wake_event =
      event_new(server->base, server->wake_fd, EV_READ | EV_PERSIST, on_wake, server);
  server->tick_event = evtimer_new(server->base, on_tick, server);
  server->accept_event = evtimer_new(server->base, on_accept_again, server);
  event_add(server->wake_event, NULL);
  event_add(server->tick_event, &(struct timeval){TICK_MS / 1000, 0});
  for (guint i = 0; i < sockets->len; i++)
    add_listener(server, g_array_index(sockets, int, i));
  g_mutex_lock(&server->lock);
  server->thread = g_thread_new("http", serve, server);
  g_mutex_unlock(&server->lock);
  return server;
}

guint http_server_connections(HttpServer *server)
{
  return (guint)g_atomic_int_get(&server->connections);
}

guint64 http_server_refused(HttpServer *server)
{
  return (gsize)g_atomic_pointer_get(&server->refused);
}

static void drain(gpointer data)
{
  HttpServer *server = data;
  server->draining = TRUE;
  g_ptr_array_set_size(server->listeners, 0);
  http_conns_drain(server);
  event_add(server->tick_event, &(struct timeval){0, DRAIN_TICK_MS * 1000});
}

void http_server_drain(HttpServer *server)
{
  http_server_run(server, drain, server);
}

void http_server_check_end(HttpServer *server)
{
  if (server->ending && server->requests == 0 && server->conns.length == 0)
    event_base_loopbreak(server->base);
}

static void end(gpointer data)
{
  HttpServer *server = data;
  drain(server);
  server->ending = TRUE;
  http_server_check_end(server);
}

void http_server_free(HttpServer *server)
{
  http_server_run(server, end, server);
  g_thread_join(server->thread);
  g_mutex_lock(&server->lock); /* who posted last has let go of it */
  g_assert(server->inbox->len == 0);
  g_mutex_unlock(&server->lock);
  event_free(server->wake_event);
  event_free(server->tick_event);
  event_free(server->accept_event);
  g_ptr_array_unref(server->listeners);
  event_base_free(server->base);
  close(server->wake_fd);
  g_array_unref(server->inbox);
  g_mutex_clear(&server->lock);
  g_free(server);
}
