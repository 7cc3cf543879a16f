#include "load_private.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  EVENTS = 256,
  ANSWER_WAIT_S = 30, /* for requests that are in flight at the end */
};

gint64 clock_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (gint64)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double own_cpu_s(void)
{
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- connections --------------------------------------------------------------------------------
 */

int load_connect(const char *address, GError **error)
{
  const char *colon = strrchr(address, ':');
  if (colon == NULL) {
    fail(error, SYNCLOG_INVALID, "%s is not host:port", address);
    return -1;
  }
  g_autofree char *host = g_strndup(address, (gsize)(colon - address));
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  int code = getaddrinfo(host, colon + 1, &hints, &found);
  if (code != 0) {
    fail(error, SYNCLOG_NOT_READY, "%s: %s", address, gai_strerror(code));
    return -1;
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
    fail_errno(error, SYNCLOG_NOT_READY, errno, "connect to %s", address);
    if (fd >= 0)
      close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  if (fd < 0)
    return -1;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

gboolean conn_watch(Load *load, Conn *conn, gboolean write, gboolean add, GError **error)
{
  struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = conn};
  conn->wants_write = write;
  if (epoll_ctl(load->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, conn->fd, &event) == 0)
    return TRUE;
  return fail_errno(error, SYNCLOG_INTERNAL, errno, "epoll_ctl");
}

void conn_clear(Conn *conn)
{
  if (conn->fd >= 0)
    close(conn->fd);
  conn->fd = -1;
  g_clear_pointer(&conn->in, g_free);
  g_clear_pointer(&conn->out, g_free);
  g_clear_pointer(&conn->starts, g_free);
}

guint8 *conn_room(Conn *conn, gsize size)
{
  if (conn->out_at > 0 && conn->out_end + size > conn->out_room) {
    memmove(conn->out, conn->out + conn->out_at, conn->out_end - conn->out_at);
    conn->out_end -= conn->out_at;
    conn->out_at = 0;
  }
  if (conn->out_end + size > conn->out_room) {
    conn->out_room = MAX(conn->out_room * 2, conn->out_end + size);
    conn->out = g_realloc(conn->out, conn->out_room);
  }
  guint8 *room = conn->out + conn->out_end;
  conn->out_end += size;
  return room;
}

gboolean conn_flush(Load *load, Conn *conn, GError **error)
{
  while (conn->out_at < conn->out_end) {
    ssize_t n =
        send(conn->fd, conn->out + conn->out_at, conn->out_end - conn->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return conn->wants_write || conn_watch(load, conn, TRUE, FALSE, error);
    if (n < 0)
      return fail_errno(error, SYNCLOG_NOT_READY, errno, "send");
    conn->out_at += (gsize)n;
  }
  conn->out_at = conn->out_end = 0;
  return !conn->wants_write || conn_watch(load, conn, FALSE, FALSE, error);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static gboolean may_send(const Load *load, gint64 now)
{
  if (load->spec->requests > 0)
    return load->number < load->spec->requests;
  return now < load->measure_to;
}

static void add_request(Load *load, Conn *conn, gint64 start)
{
  const LoadSpec *spec = load->spec;
  guint8 *room = conn_room(conn, spec->payload->size);
  payload_write(spec->payload, room, conn->next_seqid++, load->number++);
  conn->starts[(conn->head + conn->in_flight++) % spec->depth] = (guint64)start;
}

/* Open loop: sends what is due, as long as a connection has a free place. */
static gboolean send_due(Load *load, gint64 now, GError **error)
{
  while (load->next_ns <= now && load->idle_at < load->idle->len && may_send(load, load->next_ns)) {
    Conn *conn = g_array_index(load->idle, Conn *, load->idle_at++);
    add_request(load, conn, load->next_ns);
    load->next_ns = load->start_ns + (gint64)((double)load->number * load->interval_ns);
    if (!conn_flush(load, conn, error))
      return FALSE;
  }
  if (load->idle_at > 4096 && load->idle_at * 2 > load->idle->len) {
    g_array_remove_range(load->idle, 0, load->idle_at);
    load->idle_at = 0;
  }
  return TRUE;
}

static void keep_token(Load *load, guint target, const Token *token)
{
  Token *kept = &g_array_index(load->result->tokens, Token, target);
  if (token->index > kept->index || token->log.incarnation != kept->log.incarnation)
    *kept = *token;
}

static gboolean take_reply(Load *load, Conn *conn, const Reply *reply, gint64 now, GError **error)
{
  LoadResult *result = load->result;
  const LoadSpec *spec = load->spec;
  guint64 start = conn->starts[conn->head];
  conn->head = (conn->head + 1) % spec->depth;
  conn->in_flight--;
  load->answered++;
  gboolean good = reply->status == SYNCLOG_OK || reply->status == SYNCLOG_PENDING;
  if (!good) {
    result->refused++;
    if (result->first_refusal == NULL)
      result->first_refusal = g_strdup(synclog_status_name((int)reply->status));
  } else {
    result->all_acked++;
    result->all_points += reply->points;
    result->pending += reply->status == SYNCLOG_PENDING;
    result->acked_after_begin += now >= load->measure_from;
    if (now >= load->measure_from && now < load->measure_to) {
      result->acked++;
      result->acked_points += reply->points;
    }
    if (reply->has_token)
      keep_token(load, conn->target, &reply->token);
  }
  /* In open loop what was due while measured counts, however late its answer comes. */
  gint64 counted = spec->rate > 0 ? (gint64)start : now;
  if (counted >= load->measure_from && counted < load->measure_to)
    histogram_add(result->latency, (guint64)(now - (gint64)start));
  if (good && reply->has_token && load->probes != NULL && now >= load->measure_from &&
      now < load->measure_to)
    return probes_on_ack(load, conn->target, &reply->token, now, error);
  return TRUE;
}

static gboolean take_replies(Load *load, Conn *conn, gint64 now, GError **error)
{
  gsize at = 0;
  for (;;) {
    Reply reply = {0};
    gsize size = 0;
    int found = reply_next(load, conn, conn->in + at, conn->in_have - at, &size, &reply, error);
    if (found < 0)
      return FALSE;
    if (found == 0)
      break;
    at += size;
    if (!take_reply(load, conn, &reply, now, error))
      return FALSE;
    if (load->spec->rate > 0)
      g_array_append_val(load->idle, conn);
    else if (may_send(load, now))
      add_request(load, conn, now);
  }
  memmove(conn->in, conn->in + at, conn->in_have - at);
  conn->in_have -= at;
  return conn_flush(load, conn, error);
}

static gboolean on_input(Load *load, Conn *conn, GError **error)
{
  if (conn->in_have == conn->in_room) {
    conn->in_room *= 2;
    conn->in = g_realloc(conn->in, conn->in_room);
  }
  ssize_t n = recv(conn->fd, conn->in + conn->in_have, conn->in_room - conn->in_have, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return TRUE;
  if (n < 0)
    return fail_errno(error, SYNCLOG_NOT_READY, errno, "recv");
  if (n == 0)
    return fail(error, SYNCLOG_NOT_READY, "the server closed the connection");
  conn->in_have += (gsize)n;
  gint64 now = clock_ns();
  return conn->probe != NULL ? probe_on_input(load, conn, now, error)
                             : take_replies(load, conn, now, error);
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static gboolean open_connections(Load *load, GError **error)
{
  const LoadSpec *spec = load->spec;
  for (guint i = 0; i < spec->connections; i++) {
    Conn *conn = &load->conns[i];
    conn->target = i % spec->targets;
    conn->in_room = READ_ROOM;
    conn->in = g_malloc(conn->in_room);
    conn->starts = g_new0(guint64, spec->depth);
    conn->fd = load_connect(g_ptr_array_index(spec->addresses, conn->target), error);
    if (conn->fd < 0 || !conn_watch(load, conn, FALSE, TRUE, error))
      return FALSE;
  }
  return !spec->probe_lag || probes_open(load, error);
}

static gboolean send_first(Load *load, GError **error)
{
  const LoadSpec *spec = load->spec;
  /* Place by place over all connections, so that the first requests are spread. */
  for (guint place = 0; place < spec->depth; place++) {
    for (guint i = 0; i < spec->connections; i++) {
      Conn *conn = &load->conns[i];
      if (spec->rate > 0)
        g_array_append_val(load->idle, conn);
      else if (may_send(load, load->start_ns))
        add_request(load, conn, load->start_ns);
    }
  }
  for (guint i = 0; i < spec->connections; i++) {
    if (!conn_flush(load, &load->conns[i], error))
      return FALSE;
  }
  return TRUE;
}

/* When the loop must wake without an answer. */
static gint64 next_wake(const Load *load)
{
  gint64 wake = load->measure_to + (gint64)ANSWER_WAIT_S * 1000000000;
  if (!load->began)
    wake = load->measure_from;
  else if (!load->ended)
    wake = load->measure_to;
  if (load->spec->rate > 0 && load->idle_at < load->idle->len && may_send(load, load->next_ns))
    wake = MIN(wake, load->next_ns);
  return wake;
}

static void end_measured(Load *load, gint64 now, double *cpu)
{
  LoadResult *result = load->result;
  load->ended = TRUE;
  load->measure_to = MIN(load->measure_to, now);
  result->end_ns = load->measure_to;
  result->seconds = (double)(load->measure_to - load->measure_from) / 1e9;
  result->client_cpu = (own_cpu_s() - *cpu) / MAX(result->seconds, 1e-9);
}

/* Tells the caller where the measured part begins and ends. */
static void mark_time(Load *load, gint64 now, double *cpu)
{
  LoadResult *result = load->result;
  if (!load->began && now >= load->measure_from) {
    load->began = TRUE;
    *cpu = own_cpu_s();
    result->begin_ns = load->measure_from;
    if (load->spec->on_begin != NULL)
      load->spec->on_begin(load->spec->data);
  }
  gboolean all = load->spec->requests > 0 && load->answered == load->spec->requests;
  if (load->began && !load->ended && (now >= load->measure_to || all))
    end_measured(load, now, cpu);
}

static gboolean turn(Load *load, GError **error)
{
  struct epoll_event events[EVENTS];
  gint64 wait = next_wake(load) - clock_ns();
  wait = MAX(wait, 0); /* the macro would read the clock twice */
  struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
  int n = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
  if (n < 0 && errno != EINTR)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "epoll_pwait2");
  for (int i = 0; i < n; i++) {
    Conn *conn = events[i].data.ptr;
    if ((events[i].events & EPOLLOUT) && !conn_flush(load, conn, error))
      return FALSE;
    if ((events[i].events & ~(guint32)EPOLLOUT) && !on_input(load, conn, error))
      return FALSE;
  }
  return load->spec->rate <= 0 || send_due(load, clock_ns(), error);
}

static gboolean run(Load *load, GError **error)
{
  const LoadSpec *spec = load->spec;
  double cpu = 0;
  load->start_ns = load->next_ns = clock_ns();
  load->interval_ns = spec->rate > 0 ? 1e9 / spec->rate : 0;
  load->measure_from = load->start_ns + (gint64)(spec->warmup_s * 1e9);
  load->measure_to = load->measure_from + (gint64)(spec->measure_s * 1e9);
  if (spec->requests > 0)
    load->measure_to = load->start_ns + (gint64)24 * 3600 * 1000000000;
  if (!send_first(load, error))
    return FALSE;
  for (;;) {
    gint64 now = clock_ns();
    mark_time(load, now, &cpu);
    gboolean all_sent = load->spec->rate <= 0 || !may_send(load, load->next_ns);
    if (load->ended && all_sent && load->answered == load->number)
      break;
    if (load->ended && now > load->measure_to + (gint64)ANSWER_WAIT_S * 1000000000)
      return fail(error, SYNCLOG_TIMEOUT,
                  "%" G_GUINT64_FORMAT " requests were not answered in %d s",
                  load->number - load->answered, ANSWER_WAIT_S);
    if (!turn(load, error))
      return FALSE;
  }
  load->result->tail_s = (double)(clock_ns() - load->measure_to) / 1e9;
  return TRUE;
}

LoadResult *load_run(const LoadSpec *spec, GError **error)
{
  g_assert(spec->connections > 0 && spec->depth > 0 && spec->targets > 0 &&
           spec->targets <= spec->addresses->len);
  LoadResult *result = g_new0(LoadResult, 1);
  result->latency = histogram_new();
  result->lag = histogram_new();
  result->tokens = g_array_new(FALSE, TRUE, sizeof(Token));
  g_array_set_size(result->tokens, spec->addresses->len);
  Load load = {.spec = spec,
               .epoll = epoll_create1(EPOLL_CLOEXEC),
               .conns = g_new0(Conn, spec->connections),
               .idle = g_array_new(FALSE, FALSE, sizeof(Conn *)),
               .result = result};
  g_assert(load.epoll >= 0);
  for (guint i = 0; i < spec->connections; i++)
    load.conns[i].fd = -1;
  gboolean good = open_connections(&load, error) && run(&load, error);
  for (guint i = 0; i < spec->connections; i++)
    conn_clear(&load.conns[i]);
  probes_close(&load);
  g_free(load.conns);
  g_array_free(load.idle, TRUE);
  close(load.epoll);
  if (good)
    return result;
  load_result_free(result);
  return NULL;
}

void load_result_free(LoadResult *result)
{
  if (result == NULL)
    return;
  histogram_free(result->latency);
  histogram_free(result->lag);
  g_array_free(result->tokens, TRUE);
  g_free(result->first_refusal);
  g_free(result);
}
