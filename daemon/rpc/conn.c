#include "rpc/conn.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/logging.h"
#include "rpc/loops_private.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  WRITE_PIECES = 64, /* replies of one writev */
  MIN_TICK_MS = 10,
  MAX_TICK_MS = 1000,
  SILENT_US = 100 * 1000, /* a reserved connection that asks nothing for so long gives way */
};

struct ConnSet {
  struct event_base *base;
  const ConnRules *rules;
  const ConnSetCallbacks *callbacks;
  gpointer ctx;
  FramePool pool;
  GPtrArray *conns; /* RpcConn*, each knows its index */
  GPtrArray *dirty; /* RpcConn*, a reference each: to be looked at by the next flush */
  GPtrArray *spare; /* the list that was flushed last */
  struct event *tick;
  gint64 now_us; /* as of this iteration of the loop; 0: not looked at yet */
  gboolean draining;
  gboolean cut_any; /* since the last flush */
  atomic_bool starved;
};

struct RpcConn {
  ConnSet *set; /* NULL when closed */
  guint refs;
  guint index; /* in set->conns */
  int fd;
  char *address;
  guint32 peer;          /* node id after its handshake, else 0 */
  guint64 peer_receiver; /* to whom it introduced itself */
  gboolean reserved;
  struct event read_event, write_event;
  FrameReader reader;
  gboolean dirty;
  gboolean reading;   /* read_event is added */
  gboolean uncut;     /* the reader may hold another complete frame */
  gboolean at_end;    /* the other side sends no more */
  gboolean finishing; /* cuts no more; closed when all is answered and written */
  gboolean lingering; /* all is written: waits for the other side to take it */

  guint64 next_number; /* of the next request */
  guint in_flight;     /* requests whose replies are not in `out` yet */
  guint heavy;
  RpcReply **ring; /* ordered: replies that wait for earlier ones, by number modulo ring_size */
  guint ring_size; /* power of two */

  GPtrArray *out;     /* RpcReply* to be written, in order */
  gsize out_written;  /* bytes of out[0] that are written */
  gsize output;       /* bytes of all replies held, less those written; counted in the budget */
  gint64 begin_us;    /* when the frame under way began, 0: none */
  gint64 active_us;   /* last request or answer */
  gint64 progress_us; /* last byte of output taken, or since there is output */
};

/* Stands in the ring for a reply without output. */
static RpcReply silent;

static void conn_close(RpcConn *conn);
static void conn_update(RpcConn *conn);
static gboolean conn_write(RpcConn *conn);
static void on_tick(evutil_socket_t fd, short what, void *data);

/* Once per iteration: the clock is read for limits of many milliseconds. */
static gint64 now_us(ConnSet *set)
{
  if (set->now_us == 0)
    set->now_us = clock_mono_us(clock_system());
  return set->now_us;
}

/* --- the set ------------------------------------------------------------------------------------
 */

static gint64 tick_ms(const ConnRules *rules)
{
  gint64 ms = MAX_TICK_MS;
  if (rules->idle_timeout_ms > 0)
    ms = MIN(ms, rules->idle_timeout_ms / 4);
  if (rules->header_timeout_ms > 0)
    ms = MIN(ms, rules->header_timeout_ms / 4);
  return MAX(ms, MIN_TICK_MS);
}

ConnSet *conn_set_new(RpcLoop *loop, const ConnRules *rules, FrameBudget *budget,
                      const ConnSetCallbacks *callbacks, gpointer ctx)
{
  ConnSet *set = g_new0(ConnSet, 1);
  set->base = rpc_loop_base(loop);
  set->rules = rules;
  set->callbacks = callbacks;
  set->ctx = ctx;
  frame_pool_init(&set->pool, budget);
  set->conns = g_ptr_array_new();
  set->dirty = g_ptr_array_new();
  set->spare = g_ptr_array_new();
  set->tick = event_new(set->base, -1, EV_PERSIST, on_tick, set);
  return set;
}

void conn_set_free(ConnSet *set)
{
  while (set->conns->len > 0)
    conn_close(set->conns->pdata[set->conns->len - 1]);
  for (guint i = 0; i < set->dirty->len; i++)
    conn_unref(set->dirty->pdata[i]);
  event_free(set->tick);
  g_ptr_array_unref(set->conns);
  g_ptr_array_unref(set->dirty);
  g_ptr_array_unref(set->spare);
  frame_pool_clear(&set->pool);
  g_free(set);
}

static void mark(RpcConn *conn)
{
  if (conn->dirty || conn->set == NULL)
    return;
  conn->dirty = TRUE;
  g_ptr_array_add(conn->set->dirty, conn_ref(conn));
}

gboolean conn_set_flush(ConnSet *set)
{
  GPtrArray *conns = set->dirty;
  set->dirty = set->spare;
  set->spare = conns;
  for (guint i = 0; i < conns->len; i++) {
    RpcConn *conn = conns->pdata[i];
    conn->dirty = FALSE;
    if (conn->set != NULL)
      conn_update(conn);
    conn_unref(conn);
  }
  g_ptr_array_set_size(conns, 0);
  gboolean cut_any = set->cut_any;
  set->cut_any = FALSE;
  set->now_us = 0;
  return cut_any || set->dirty->len > 0;
}

void conn_set_flush_few(ConnSet *set, guint limit)
{
  if (set->dirty->len > limit)
    return;
  /* Only what is to be written: all else is the flush's. */
  for (guint i = 0; i < set->dirty->len; i++) {
    RpcConn *conn = set->dirty->pdata[i];
    if (conn->set != NULL && !conn->lingering && conn->out->len > 0)
      conn_write(conn);
  }
}

static gboolean has_memory(const ConnSet *set)
{
  return frame_budget_used(set->pool.budget) <= set->rules->max_memory_in_flight;
}

gboolean conn_set_is_starved(ConnSet *set)
{
  return atomic_load(&set->starved);
}

void conn_set_feed(ConnSet *set)
{
  if (!atomic_load(&set->starved) || !has_memory(set))
    return;
  atomic_store(&set->starved, FALSE);
  for (guint i = 0; i < set->conns->len; i++)
    mark(set->conns->pdata[i]);
}

void conn_set_drain(ConnSet *set)
{
  set->draining = TRUE;
  for (guint i = 0; i < set->conns->len; i++) {
    RpcConn *conn = set->conns->pdata[i];
    conn->finishing = TRUE;
    mark(conn);
  }
}

/* Frees memory where nothing else will: closes the connection that holds the most. */
static void close_largest(ConnSet *set)
{
  RpcConn *largest = NULL;
  gsize most = 0;
  for (guint i = 0; i < set->conns->len; i++) {
    RpcConn *conn = set->conns->pdata[i];
    gsize held = frame_reader_own_size(&conn->reader) + conn->output;
    if (held > most) {
      largest = conn;
      most = held;
    }
  }
  if (largest == NULL)
    return;
  g_warning("closing the connection of %s: it holds %zu bytes and max_memory_in_flight is used up",
            largest->address, most);
  conn_close(largest);
}

static gboolean is_overdue(gint64 since_us, gint64 limit_ms, gint64 now)
{
  return limit_ms > 0 && since_us > 0 && now - since_us > limit_ms * 1000;
}

static gboolean conn_is_late(const RpcConn *conn, gint64 now)
{
  const ConnRules *rules = conn->set->rules;
  if (conn->lingering)
    return is_overdue(conn->progress_us, CONN_LINGER_MS, now);
  if (conn->out->len > 0 && is_overdue(conn->progress_us, rules->header_timeout_ms, now))
    return TRUE;
  if (!conn->reading)
    return FALSE;
  if (conn->begin_us > 0)
    return is_overdue(conn->begin_us, rules->header_timeout_ms, now);
  gboolean idle = conn->in_flight == 0 && conn->out->len == 0;
  if (idle && conn->reserved && is_overdue(conn->active_us, CONN_RESERVED_IDLE_MS, now))
    return TRUE;
  return idle && is_overdue(conn->active_us, rules->idle_timeout_ms, now);
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  ConnSet *set = data;
  gint64 now = now_us(set);
  for (guint i = set->conns->len; i > 0; i--) {
    RpcConn *conn = set->conns->pdata[i - 1];
    if (conn_is_late(conn, now)) {
      conn_note_closing(conn, "it took too long");
      conn_close(conn); /* the last one of the array takes its place, and was looked at */
    }
  }
  if (atomic_load(&set->starved) && !has_memory(set) && !set->callbacks->is_busy(set->ctx))
    close_largest(set);
}

gboolean conn_set_evict(ConnSet *set)
{
  RpcConn *silent_longest = NULL;
  for (guint i = 0; i < set->conns->len; i++) {
    RpcConn *conn = set->conns->pdata[i];
    if (conn->reserved && conn->next_number == 0 &&
        (silent_longest == NULL || conn->active_us < silent_longest->active_us))
      silent_longest = conn;
  }
  if (silent_longest == NULL || now_us(set) - silent_longest->active_us < SILENT_US)
    return FALSE;
  conn_note_closing(silent_longest, "it asks nothing, and all connections are taken");
  conn_close(silent_longest);
  return TRUE;
}

/* --- replies ------------------------------------------------------------------------------------
 */

static void enqueue(RpcConn *conn, RpcReply *reply)
{
  g_assert(conn->in_flight > 0);
  conn->in_flight--;
  if (reply == &silent)
    return;
  if (conn->out->len == 0)
    conn->progress_us = now_us(conn->set);
  g_ptr_array_add(conn->out, reply);
}

/* Makes the ring large enough for all requests in flight. */
static void ring_grow(RpcConn *conn)
{
  guint size = MAX(conn->ring_size * 2, 16u);
  RpcReply **ring = g_new0(RpcReply *, size);
  for (guint64 n = conn->next_number - conn->ring_size; n < conn->next_number; n++)
    ring[n % size] = conn->ring[n % conn->ring_size];
  g_free(conn->ring);
  conn->ring = ring;
  conn->ring_size = size;
}

static void enqueue_in_order(RpcConn *conn, guint64 number, RpcReply *reply)
{
  guint mask = conn->ring_size - 1;
  g_assert(conn->ring[number & mask] == NULL);
  conn->ring[number & mask] = reply;
  while (conn->in_flight > 0) {
    guint64 first = conn->next_number - conn->in_flight;
    RpcReply *ready = g_steal_pointer(&conn->ring[first & mask]);
    if (ready == NULL)
      return;
    enqueue(conn, ready);
  }
}

void conn_answer(RpcConn *conn, guint64 number, RpcReply *reply, guint flags)
{
  ConnSet *set = conn->set;
  if (set == NULL) {
    g_free(reply);
    return;
  }
  if (reply == NULL) {
    reply = &silent;
  } else {
    conn->output += reply->size;
    frame_budget_add(set->pool.budget, reply->size);
  }
  if (flags & CONN_HEAVY)
    conn->heavy--;
  if (flags & CONN_CLOSE)
    conn->finishing = TRUE;
  conn->active_us = now_us(set);
  if (set->rules->ordered)
    enqueue_in_order(conn, number, reply);
  else
    enqueue(conn, reply);
  mark(conn);
}

void conn_add_heavy(RpcConn *conn)
{
  conn->heavy++;
}

/* Takes `size` written bytes off the output. */
static void output_written(RpcConn *conn, gsize size)
{
  conn->output -= size;
  frame_budget_sub(conn->set->pool.budget, size);
  conn->progress_us = now_us(conn->set);
  size += conn->out_written;
  guint done = 0;
  while (done < conn->out->len) {
    RpcReply *reply = conn->out->pdata[done];
    if (size < reply->size)
      break;
    size -= reply->size;
    g_free(reply);
    done++;
  }
  conn->out_written = size;
  if (done > 0)
    g_ptr_array_remove_range(conn->out, 0, done);
}

static guint output_pieces(const RpcConn *conn, struct iovec pieces[WRITE_PIECES])
{
  guint count = MIN(conn->out->len, (guint)WRITE_PIECES);
  gsize skip = conn->out_written;
  for (guint i = 0; i < count; i++) {
    RpcReply *reply = conn->out->pdata[i];
    pieces[i] = (struct iovec){reply->bytes + skip, reply->size - skip};
    skip = 0;
  }
  return count;
}

/* FALSE when the connection was closed. */
static gboolean conn_write(RpcConn *conn)
{
  while (conn->out->len > 0) {
    struct iovec pieces[WRITE_PIECES];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = output_pieces(conn, pieces)};
    FAILPOINT("conn_before_write");
    /* One piece is the rule where requests come one by one, and costs the kernel less so. */
    gssize n = message.msg_iovlen == 1
                   ? send(conn->fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                   : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (n >= 0) {
      output_written(conn, (gsize)n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      event_add(&conn->write_event, NULL);
      return TRUE;
    } else if (errno != EINTR) {
      g_debug("connection of %s: %s", conn->address, g_strerror(errno));
      conn_close(conn);
      return FALSE;
    }
  }
  return TRUE;
}

/* --- one connection ------------------------------------------------------------------------------
 */

static gboolean may_cut(const RpcConn *conn)
{
  return conn->set != NULL && !conn->finishing &&
         conn->in_flight < conn->set->rules->max_requests_in_flight &&
         conn->heavy < CONN_MAX_HEAVY && conn->output <= CONN_MAX_OUTPUT;
}

static void take_frame(RpcConn *conn, Frame *frame)
{
  conn->begin_us = 0;
  conn->active_us = now_us(conn->set);
  if (conn->set->rules->ordered && conn->in_flight == conn->ring_size)
    ring_grow(conn);
  conn->in_flight++;
  conn->set->cut_any = TRUE;
  conn->set->callbacks->on_frame(conn->set->ctx, conn, conn->next_number++, frame);
}

static void conn_cut(RpcConn *conn)
{
  while (may_cut(conn)) {
    Frame frame;
    FrameVerdict verdict = frame_reader_next(&conn->reader, &conn->set->pool, &frame);
    if (verdict == FRAME_READY) {
      take_frame(conn, &frame);
      continue;
    }
    conn->uncut = FALSE;
    if (verdict == FRAME_BAD) {
      conn_note_closing(conn, "a frame of no valid length");
      conn->finishing = TRUE;
    } else if (!frame_reader_is_midway(&conn->reader)) {
      conn->begin_us = 0;
    } else if (conn->begin_us == 0) {
      conn->begin_us = now_us(conn->set);
    }
    return;
  }
}

static void set_reading(RpcConn *conn, gboolean reading)
{
  if (conn->reading == reading)
    return;
  conn->reading = reading;
  if (!reading) {
    event_del(&conn->read_event);
    return;
  }
  event_add(&conn->read_event, NULL);
  /* The time that we did not read is not the other side's. */
  if (conn->begin_us != 0)
    conn->begin_us = now_us(conn->set);
  conn->active_us = now_us(conn->set);
}

static void begin_linger(RpcConn *conn)
{
  /* Closing with unread input would reset the connection and may take the last reply with it. */
  if (conn->at_end || shutdown(conn->fd, SHUT_WR) != 0) {
    conn_close(conn);
    return;
  }
  conn->lingering = TRUE;
  conn->progress_us = now_us(conn->set);
  frame_reader_clear(&conn->reader);
  set_reading(conn, TRUE);
}

/* After anything has changed: writes, cuts what is there, and decides what to wait for. */
static void conn_update(RpcConn *conn)
{
  if (conn->lingering || !conn_write(conn))
    return;
  if (conn->uncut)
    conn_cut(conn);
  if (conn->finishing) {
    set_reading(conn, FALSE);
    if (conn->in_flight == 0 && conn->out->len == 0)
      begin_linger(conn);
    return;
  }
  gboolean wanted = may_cut(conn) && !conn->uncut;
  if (wanted && !has_memory(conn->set)) {
    atomic_store(&conn->set->starved, TRUE);
    wanted = FALSE;
  }
  set_reading(conn, wanted);
}

static void discard_input(RpcConn *conn)
{
  guint8 bytes[4096];
  gssize n = recv(conn->fd, bytes, sizeof bytes, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    conn_close(conn);
}

/* Reads once; FALSE when there is no more to read now, or not by us. */
static gboolean read_once(RpcConn *conn, gsize *total)
{
  struct iovec room[2];
  guint pieces = frame_reader_room(&conn->reader, &conn->set->pool, room);
  gsize size = room[0].iov_len + (pieces > 1 ? room[1].iov_len : 0);
  gssize n = pieces == 1 ? recv(conn->fd, room[0].iov_base, room[0].iov_len, 0)
                         : readv(conn->fd, room, (int)pieces);
  if (n < 0 && errno == EINTR)
    return TRUE;
  if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
    g_debug("connection of %s: %s", conn->address, g_strerror(errno));
    conn_close(conn);
    return FALSE;
  }
  if (n < 0)
    return FALSE;
  if (n == 0) {
    conn->at_end = TRUE;
    conn->finishing = TRUE;
    return FALSE;
  }
  frame_reader_filled(&conn->reader, &conn->set->pool, (gsize)n);
  conn->uncut = TRUE;
  conn_cut(conn);
  *total += (gsize)n;
  return (gsize)n == size && *total < CONN_MAX_READ && may_cut(conn) && !conn->uncut &&
         has_memory(conn->set);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  RpcConn *conn = data;
  if (conn->lingering) {
    discard_input(conn);
    return;
  }
  mark(conn);
  gsize total = 0;
  if (may_cut(conn) && !conn->uncut && has_memory(conn->set)) {
    while (read_once(conn, &total))
      ;
  }
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  mark(data);
}

void conn_set_adopt(ConnSet *set, int fd, const char *address, gboolean reserved)
{
  RpcConn *conn = g_new0(RpcConn, 1);
  conn->set = set;
  conn->refs = 1;
  conn->fd = fd;
  conn->address = g_strdup(address);
  conn->reserved = reserved;
  conn->out = g_ptr_array_new();
  conn->finishing = set->draining;
  conn->active_us = now_us(conn->set);
  frame_reader_init(&conn->reader, set->rules->max_frame_size);
  event_assign(&conn->read_event, set->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
  event_assign(&conn->write_event, set->base, fd, EV_WRITE, on_writable, conn);
  if (set->conns->len == 0) {
    gint64 ms = tick_ms(set->rules);
    event_add(set->tick, &(struct timeval){ms / 1000, ms % 1000 * 1000});
  }
  conn->index = set->conns->len;
  g_ptr_array_add(set->conns, conn);
  mark(conn);
}

static void conn_close(RpcConn *conn)
{
  ConnSet *set = conn->set;
  event_del(&conn->read_event);
  event_del(&conn->write_event);
  close(conn->fd);
  frame_reader_clear(&conn->reader);
  frame_budget_sub(set->pool.budget, conn->output);
  for (guint i = 0; i < conn->out->len; i++)
    g_free(conn->out->pdata[i]);
  g_ptr_array_set_size(conn->out, 0);
  for (guint i = 0; i < conn->ring_size; i++) {
    if (conn->ring[i] != &silent)
      g_free(conn->ring[i]);
  }
  g_clear_pointer(&conn->ring, g_free);
  conn->ring_size = 0;
  g_ptr_array_remove_index_fast(set->conns, conn->index);
  if (conn->index < set->conns->len)
    ((RpcConn *)set->conns->pdata[conn->index])->index = conn->index;
  if (set->conns->len == 0)
    event_del(set->tick);
  conn->set = NULL;
  set->callbacks->on_closed(set->ctx, conn->reserved);
  conn_unref(conn);
}

const char *conn_address(const RpcConn *conn)
{
  return conn->address;
}

void conn_note_closing(const RpcConn *conn, const char *why)
{
  static LogLimit limit = {.interval_us = 100 * 1000};
  guint64 left_out;
  if (log_limit_pass(&limit, clock_mono_us(clock_system()), &left_out))
    g_info("closing the connection of %s: %s (%" G_GUINT64_FORMAT " such lines left out)",
           conn->address, why, left_out);
}

gboolean conn_is_reserved(const RpcConn *conn)
{
  return conn->reserved;
}

void conn_set_peer(RpcConn *conn, guint32 node_id, guint64 receiver)
{
  conn->peer = node_id;
  conn->peer_receiver = receiver;
}

guint32 conn_peer(const RpcConn *conn, guint64 receiver)
{
  return conn->peer_receiver == receiver ? conn->peer : 0;
}

RpcConn *conn_ref(RpcConn *conn)
{
  conn->refs++;
  return conn;
}

void conn_unref(RpcConn *conn)
{
  if (--conn->refs > 0)
    return;
  g_assert(conn->set == NULL);
  g_ptr_array_unref(conn->out);
  g_free(conn->address);
  g_free(conn);
}
