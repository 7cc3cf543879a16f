#include "base/clock.h"
#include "base/logging.h"
#include "rpc/listen.h"
#include "rpc/loops_private.h"
#include "rpc/server_private.h"

#include <errno.h>
#include <unistd.h>

enum {
  ACCEPTS_AT_ONCE = 64,
  MAX_RESERVED = 8, /* connections for operators */
  FEW_ANSWERS = 4,
  UNFINISHED_REST = 8,   /* half frames that leave less than such a part of memory are too many */
  ACCEPT_PAUSE_MS = 100, /* when the process is out of descriptors or memory */
};

static void on_frame(gpointer ctx, RpcConn *conn, guint64 number, Frame *frame)
{
  dispatch_frame(ctx, conn, number, frame);
}

static void on_closed(gpointer ctx, gboolean reserved)
{
  ServerLoop *part = ctx;
  if (reserved)
    atomic_fetch_sub(&part->server->operators, 1);
  atomic_fetch_sub(&part->server->connections, 1);
}

static gboolean is_busy(gpointer ctx)
{
  const RpcServer *server = ((ServerLoop *)ctx)->server;
  guint64 most = server->rules.max_memory_in_flight;
  return atomic_load(&server->calls) > 0 &&
         frame_budget_unfinished(server->budget) <= most - most / UNFINISHED_REST;
}

static const ConnSetCallbacks conn_callbacks = {on_frame, on_closed, is_busy};

/* --- the end of an iteration ---------------------------------------------------------------------
 */

static void feed_task(gpointer data)
{
  ServerLoop *part = data;
  conn_set_feed(part->set);
}

/* Lets connections that waited for memory go on, on all loops. */
static void feed_parts(ServerLoop *self)
{
  RpcServer *server = self->server;
  if (frame_budget_used(server->budget) > server->rules.max_memory_in_flight)
    return;
  for (guint i = 0; i < server->part_count; i++) {
    ServerLoop *part = &server->parts[i];
    if (conn_set_is_starved(part->set))
      rpc_loop_post(part->loop, feed_task, part);
  }
}

static void end_iteration(gpointer data)
{
  ServerLoop *part = data;
  RpcServer *server = part->server;
  gboolean more = TRUE;
  while (more) {
    if (part->hot && server->handlers.batch_end != NULL)
      server->handlers.batch_end(server->ctx, part->loop);
    part->hot = FALSE;
    more = conn_set_flush(part->set);
  }
  feed_parts(part);
}

/*
 * A few answers go out before the requests to peers, as whoever waits for one waits for nothing
 * else. Of many, the peers can work on theirs while these are written.
 */
static void write_few(gpointer data)
{
  ServerLoop *part = data;
  conn_set_flush_few(part->set, FEW_ANSWERS);
}

/* --- accepting ----------------------------------------------------------------------------------
 */

typedef struct Adoption {
  ServerLoop *part;
  int fd;
  char *address;
} Adoption;

static void adopt_task(gpointer data)
{
  Adoption *adoption = data;
  conn_set_adopt(adoption->part->set, adoption->fd, adoption->address, FALSE);
  g_free(adoption->address);
  g_free(adoption);
}

static void place_connection(RpcServer *server, int fd, char *address)
{
  ServerLoop *part = &server->parts[server->next_part];
  server->next_part = (server->next_part + 1) % server->part_count;
  atomic_fetch_add(&server->connections, 1);
  Adoption *adoption = g_new(Adoption, 1);
  *adoption = (Adoption){part, fd, address};
  if (rpc_loop_is_current(part->loop))
    adopt_task(adoption);
  else
    rpc_loop_post(part->loop, adopt_task, adoption);
}

static gboolean is_local(const char *address)
{
  return g_str_has_prefix(address, "127.") || g_str_has_prefix(address, "[::1]") ||
         g_str_has_prefix(address, "[::ffff:127.");
}

/* Whether one of the places for operators can be had: half of them only from this machine, so that
 * whoever sits there gets through whatever others do. */
static gboolean has_reserved_place(RpcServer *server, const char *address)
{
  guint limit = is_local(address) ? server->reserved : server->reserved / 2;
  return atomic_load(&server->operators) < limit ||
         (limit > 0 && conn_set_evict(server->parts[0].set));
}

/* Places the connection, and takes the address, unless all places are taken. */
static gboolean take_connection(RpcServer *server, int fd, char *address)
{
  guint ordinary = atomic_load(&server->connections) - atomic_load(&server->operators);
  if (ordinary < server->max_connections - server->reserved) {
    place_connection(server, fd, address);
    return TRUE;
  }
  if (!has_reserved_place(server, address))
    return FALSE;
  atomic_fetch_add(&server->connections, 1);
  atomic_fetch_add(&server->operators, 1);
  conn_set_adopt(server->parts[0].set, fd, address, TRUE);
  g_free(address);
  return TRUE;
}

static void warn_seldom(LogLimit *limit, const char *what)
{
  guint64 suppressed = 0;
  if (log_limit_pass(limit, clock_mono_us(clock_system()), &suppressed))
    g_warning("%s (%" G_GUINT64_FORMAT " times before this message)", what, suppressed);
}

static void pause_accepting(RpcServer *server)
{
  for (guint i = 0; i < server->accept_events->len; i++)
    event_del(server->accept_events->pdata[i]);
  event_add(server->accept_again, &(struct timeval){0, ACCEPT_PAUSE_MS * 1000});
}

static void on_accept_again(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  RpcServer *server = data;
  for (guint i = 0; i < server->accept_events->len; i++)
    event_add(server->accept_events->pdata[i], NULL);
}

static gboolean is_of_one_connection(int errno_value)
{
  return errno_value == ECONNABORTED || errno_value == EINTR || errno_value == EPROTO ||
         errno_value == EPERM || errno_value == EHOSTUNREACH || errno_value == ENETUNREACH ||
         errno_value == ENETDOWN;
}

static void on_acceptable(evutil_socket_t fd, short what, void *data)
{
  (void)what;
  static LogLimit full = {.interval_us = 10 * G_USEC_PER_SEC};
  static LogLimit failed = {.interval_us = 10 * G_USEC_PER_SEC};
  RpcServer *server = data;
  for (guint i = 0; i < ACCEPTS_AT_ONCE; i++) {
    char *address = NULL;
    int conn = rpc_listen_accept(fd, &address);
    if (conn < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return;
    if (conn < 0 && is_of_one_connection(errno))
      continue;
    if (conn < 0) {
      g_autofree char *text = g_strdup_printf("cannot accept connections: %s", g_strerror(errno));
      warn_seldom(&failed, text);
      pause_accepting(server);
      return;
    }
    if (take_connection(server, conn, address))
      continue;
    g_autofree char *text = g_strdup_printf("refused a connection of %s: max_connections is %u",
                                            address, server->max_connections);
    warn_seldom(&full, text);
    close(conn);
    g_free(address);
  }
}

/* On the first loop. */
static void start_accepting(gpointer data)
{
  RpcServer *server = data;
  struct event_base *base = rpc_loop_base(server->parts[0].loop);
  server->accept_again = evtimer_new(base, on_accept_again, server);
  for (guint i = 0; i < server->sockets->len; i++) {
    struct event *event = event_new(base, g_array_index(server->sockets, int, i),
                                    EV_READ | EV_PERSIST, on_acceptable, server);
    event_add(event, NULL);
    g_ptr_array_add(server->accept_events, event);
  }
}

/* On the first loop; more than once does no harm. */
static void stop_accepting(gpointer data)
{
  RpcServer *server = data;
  for (guint i = 0; i < server->accept_events->len; i++)
    event_free(server->accept_events->pdata[i]);
  g_ptr_array_set_size(server->accept_events, 0);
  if (server->accept_again != NULL)
    event_free(server->accept_again);
  server->accept_again = NULL;
  g_clear_pointer(&server->sockets, rpc_listen_close);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void start_part(gpointer data)
{
  ServerLoop *part = data;
  part->set =
      conn_set_new(part->loop, &part->server->rules, part->server->budget, &conn_callbacks, part);
}

static void hook_part(gpointer data)
{
  ServerLoop *part = data;
  rpc_loop_add_first_hook(part->loop, write_few, part);
  rpc_loop_add_hook(part->loop, end_iteration, part);
}

static void unhook_part(gpointer data)
{
  ServerLoop *part = data;
  end_iteration(part); /* what was answered in this iteration is still written */
  rpc_loop_remove_hook(part->loop, write_few, part);
  rpc_loop_remove_hook(part->loop, end_iteration, part);
}

static void drain_part(gpointer data)
{
  ServerLoop *part = data;
  conn_set_drain(part->set);
}

static void end_part(gpointer data)
{
  ServerLoop *part = data;
  conn_set_free(part->set);
}

static void call_parts(RpcServer *server, void (*func)(gpointer part))
{
  for (guint i = 0; i < server->part_count; i++)
    rpc_loop_call(server->parts[i].loop, func, &server->parts[i]);
}

RpcServer *rpc_server_new(RpcLoops *loops, const RpcServerOptions *options,
                          const RpcHandlers *handlers, gpointer ctx, GError **error)
{
  GArray *sockets = rpc_listen(options->listen, error);
  if (sockets == NULL)
    return NULL;
  RpcServer *server = g_new0(RpcServer, 1);
  server->loops = loops;
  server->services = options->services;
  server->rules =
      (ConnRules){.ordered = options->services == RPC_CLIENT_SERVICES,
                  .max_requests_in_flight = MAX(options->max_requests_in_flight, 1u),
                  .max_frame_size = options->max_frame_size,
                  /* Less than a frame and its chunk could never be read. */
                  .max_memory_in_flight = MAX(options->max_memory_in_flight,
                                              options->max_frame_size + 4 * FRAME_CHUNK_SIZE),
                  .idle_timeout_ms = options->idle_timeout_ms,
                  .header_timeout_ms = options->header_timeout_ms};
  server->max_connections = options->max_connections;
  if (options->services == RPC_CLIENT_SERVICES)
    server->reserved = MIN(MAX_RESERVED, options->max_connections / 10);
  server->handlers = *handlers;
  server->ctx = ctx;
  g_mutex_init(&server->lock);
  g_cond_init(&server->answered);
  server->budget = frame_budget_new();
  server->sockets = sockets;
  server->port = rpc_listen_port(g_array_index(sockets, int, 0));
  server->accept_events = g_ptr_array_new();
  server->part_count = rpc_loops_count(loops);
  server->parts = g_new0(ServerLoop, server->part_count);
  for (guint i = 0; i < server->part_count; i++)
    server->parts[i] = (ServerLoop){.server = server, .loop = rpc_loops_get(loops, i)};
  /* A hook looks at all parts, so they must all be there before the first. */
  call_parts(server, start_part);
  call_parts(server, hook_part);
  rpc_loop_call(server->parts[0].loop, start_accepting, server);
  return server;
}

guint16 rpc_server_port(RpcServer *server)
{
  return server->port;
}

guint64 rpc_server_errors(RpcServer *server, SynclogStatus status)
{
  return atomic_load_explicit(&server->errors[status], memory_order_relaxed);
}

guint64 rpc_server_memory(RpcServer *server)
{
  return frame_budget_used(server->budget);
}

guint rpc_server_connections(RpcServer *server)
{
  return atomic_load(&server->connections);
}

void rpc_server_drain(RpcServer *server)
{
  rpc_loop_call(server->parts[0].loop, stop_accepting, server);
  call_parts(server, drain_part);
}

guint rpc_server_calls(RpcServer *server)
{
  return atomic_load(&server->calls);
}

void rpc_server_free(RpcServer *server)
{
  rpc_server_drain(server);
  atomic_store(&server->waiting, TRUE);
  g_mutex_lock(&server->lock);
  while (atomic_load(&server->calls) > 0)
    g_cond_wait(&server->answered, &server->lock);
  g_mutex_unlock(&server->lock);
  call_parts(server, unhook_part);
  call_parts(server, end_part);
  g_ptr_array_unref(server->accept_events);
  frame_budget_unref(server->budget);
  g_cond_clear(&server->answered);
  g_mutex_clear(&server->lock);
  g_free(server->parts);
  g_free(server);
}
