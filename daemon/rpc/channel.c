#include "rpc/channel.h"

#include "base/bytes.h"
#include "base/failpoint.h"
#include "base/limits.h"
#include "rpc/convert.h"
#include "rpc/flat.h"
#include "rpc/frame.h"
#include "rpc/hot_codec.h"
#include "rpc/lookup.h"
#include "rpc/loops_private.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  REFERENCE_SIZE = 2048, /* below it a copy is cheaper than a reference */
  MAX_WRITE = 1 << 20,   /* bytes per system call */
  WRITE_PIECES = 64,     /* pieces of memory per system call */
  MIN_CHECK_MS = 20,     /* between looks at deadlines */
  MAX_CHECK_MS = 1000,
};

/* Bytes waiting to be sent. The engine's window keeps it far below this; see channel.h. */
static const gsize MAX_OUTPUT = (gsize)LIMIT_PENDING_BATCHES * LIMIT_ENTRY_SIZE;

typedef enum { IDLE, LOOKING_UP, CONNECTING, CONNECTED } State;
typedef enum { HANDSHAKE, HEARTBEAT, SYNC } Kind;

/* A request that is not answered yet. */
typedef struct Pending {
  gint32 seqid;
  Kind kind;
  guint64 cookie;
  gint64 sent_us;
} Pending;

/* Everything but `refs` belongs to the loop's thread once the channel is made. */
struct RpcChannel {
  gatomicrefcount refs;
  RpcLoop *loop;
  char *host, *port;
  gsize max_frame_size;
  gint64 connect_timeout_ms, request_timeout_ms;
  RpcChannelCallbacks callbacks;
  gpointer ctx;
  gboolean freed; /* rpc_channel_free has been called: no callbacks any more */

  State state;
  Lookup *lookup;                       /* may outlast the attempt that began it */
  struct addrinfo *addresses, *untried; /* while connecting: all, and those not tried yet */
  gint64 address_timeout_us;            /* for each of them */
  int fd;
  struct event *readable, *writable, *timer;
  struct evbuffer *out;
  FrameBudget *budget;
  Steps *steps; /* may be NULL */
  FramePool pool;
  FrameReader reader;
  gint64 begun_us; /* when looking up, or connecting to the current address, began */
  gint32 next_seqid;
  GArray *pending; /* Pending, oldest first */
};

/* --- life ---------------------------------------------------------------------------------------
 */

static void channel_unref(RpcChannel *channel)
{
  if (!g_atomic_ref_count_dec(&channel->refs))
    return;
  g_free(channel->host);
  g_free(channel->port);
  frame_budget_unref(channel->budget);
  g_array_unref(channel->pending);
  g_free(channel);
}

static void flush(gpointer data);

static void start(gpointer data)
{
  RpcChannel *channel = data;
  rpc_loop_add_hook(channel->loop, flush, channel);
  channel_unref(channel);
}

/* Splits "host:port" and "[v6]:port". The configuration has checked it. */
static void split_address(RpcChannel *channel, const char *address)
{
  const char *colon = strrchr(address, ':');
  g_assert(colon != NULL);
  channel->port = g_strdup(colon + 1);
  if (address[0] == '[' && colon > address + 1)
    channel->host = g_strndup(address + 1, (gsize)(colon - address) - 2);
  else
    channel->host = g_strndup(address, (gsize)(colon - address));
}

RpcChannel *rpc_channel_new(RpcLoop *loop, const RpcChannelOptions *options,
                            const RpcChannelCallbacks *callbacks, gpointer ctx)
{
  RpcChannel *channel = g_new0(RpcChannel, 1);
  g_atomic_ref_count_init(&channel->refs);
  channel->loop = loop;
  split_address(channel, options->address);
  channel->max_frame_size = options->max_frame_size;
  channel->steps = options->steps;
  channel->connect_timeout_ms = options->connect_timeout_ms;
  channel->request_timeout_ms = options->request_timeout_ms;
  channel->callbacks = *callbacks;
  channel->ctx = ctx;
  channel->fd = -1;
  channel->next_seqid = 1;
  channel->budget = frame_budget_new();
  channel->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
  g_atomic_ref_count_inc(&channel->refs);
  rpc_loop_post(loop, start, channel);
  return channel;
}

static void drop_socket(RpcChannel *channel)
{
  g_clear_pointer(&channel->readable, event_free);
  g_clear_pointer(&channel->writable, event_free);
  g_clear_pointer(&channel->out, evbuffer_free);
  if (channel->fd < 0)
    return;
  close(channel->fd);
  channel->fd = -1;
  frame_reader_clear(&channel->reader);
  frame_pool_clear(&channel->pool);
}

/* Ends the connection without telling. A lookup goes on: the next attempt takes its result. */
static void drop(RpcChannel *channel)
{
  drop_socket(channel);
  g_clear_pointer(&channel->timer, event_free);
  g_clear_pointer(&channel->addresses, freeaddrinfo);
  channel->untried = NULL;
  g_array_set_size(channel->pending, 0);
  channel->state = IDLE;
}

static void finish(gpointer data)
{
  RpcChannel *channel = data;
  channel->freed = TRUE;
  rpc_loop_remove_hook(channel->loop, flush, channel);
  drop(channel);
  g_clear_pointer(&channel->lookup, lookup_abandon);
}

void rpc_channel_free(RpcChannel *channel)
{
  rpc_loop_call(channel->loop, finish, channel);
  channel_unref(channel);
}

static void closed(RpcChannel *channel, const GError *error)
{
  if (channel->state == IDLE)
    return;
  drop(channel);
  if (!channel->freed)
    channel->callbacks.on_closed(channel->ctx, error);
}

static void closed_with(RpcChannel *channel, SynclogStatus code, const char *message)
{
  g_autoptr(GError) error =
      g_error_new(SYNCLOG_ERROR, code, "%s:%s: %s", channel->host, channel->port, message);
  closed(channel, error);
}

/* --- connecting ---------------------------------------------------------------------------------
 */

static void on_readable(evutil_socket_t fd, short what, void *data);
static void on_writable(evutil_socket_t fd, short what, void *data);

static void try_next_address(RpcChannel *channel, int failure);

static void on_timer(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  RpcChannel *channel = data;
  gint64 now_us = g_get_monotonic_time();
  switch (channel->state) {
  case IDLE:
    break;
  case LOOKING_UP:
    if (now_us - channel->begun_us > channel->connect_timeout_ms * 1000)
      closed_with(channel, SYNCLOG_TIMEOUT, "looking up the name timed out");
    break;
  case CONNECTING:
    if (now_us - channel->begun_us > channel->address_timeout_us)
      try_next_address(channel, ETIMEDOUT);
    break;
  case CONNECTED:
    if (channel->pending->len > 0 && now_us - g_array_index(channel->pending, Pending, 0).sent_us >
                                         channel->request_timeout_ms * 1000)
      closed_with(channel, SYNCLOG_TIMEOUT, "no answer in time");
    break;
  }
}

static void start_timer(RpcChannel *channel)
{
  gint64 least_ms = MIN(channel->connect_timeout_ms, channel->request_timeout_ms);
  gint64 every_ms = CLAMP(least_ms / 4, MIN_CHECK_MS, MAX_CHECK_MS);
  struct timeval every = {every_ms / 1000, every_ms % 1000 * 1000};
  channel->timer = event_new(rpc_loop_base(channel->loop), -1, EV_PERSIST, on_timer, channel);
  event_add(channel->timer, &every);
}

static void set_options(RpcChannel *channel)
{
  int on = 1;
  unsigned timeout_ms = (unsigned)channel->request_timeout_ms;
  setsockopt(channel->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(channel->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(channel->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

/* Begins to connect; FALSE with errno. */
static gboolean connect_to(RpcChannel *channel, const struct addrinfo *address)
{
  channel->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (channel->fd < 0)
    return FALSE;
  frame_pool_init(&channel->pool, channel->budget);
  frame_reader_init(&channel->reader, channel->max_frame_size);
  set_options(channel);
  FAILPOINT("channel_connect");
  if (connect(channel->fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS)
    return FALSE;
  struct event_base *base = rpc_loop_base(channel->loop);
  channel->readable = event_new(base, channel->fd, EV_READ | EV_PERSIST, on_readable, channel);
  channel->writable = event_new(base, channel->fd, EV_WRITE, on_writable, channel);
  channel->out = evbuffer_new();
  channel->begun_us = g_get_monotonic_time();
  event_add(channel->writable, NULL);
  return TRUE;
}

/* Goes on with the next address, or gives up with the errno of the last. */
static void try_next_address(RpcChannel *channel, int failure)
{
  drop_socket(channel);
  while (channel->untried != NULL) {
    const struct addrinfo *address = channel->untried;
    channel->untried = address->ai_next;
    if (connect_to(channel, address))
      return;
    failure = errno;
    drop_socket(channel);
  }
  if (failure == ETIMEDOUT)
    closed_with(channel, SYNCLOG_TIMEOUT, "connecting timed out");
  else
    closed_with(channel, SYNCLOG_NOT_READY, g_strerror(failure));
}

/* Takes the addresses. */
static void start_connecting(RpcChannel *channel, struct addrinfo *addresses)
{
  gint64 count = 0;
  for (const struct addrinfo *each = addresses; each != NULL; each = each->ai_next)
    count++;
  channel->state = CONNECTING;
  channel->addresses = addresses;
  channel->untried = addresses;
  channel->address_timeout_us = channel->connect_timeout_ms * 1000 / count;
  try_next_address(channel, 0);
}

static void on_looked_up(gpointer data, struct addrinfo *found, const char *why)
{
  RpcChannel *channel = data;
  channel->lookup = NULL;
  if (channel->state != LOOKING_UP)
    g_clear_pointer(&found, freeaddrinfo);
  else if (found != NULL)
    start_connecting(channel, found);
  else
    closed_with(channel, SYNCLOG_NOT_READY, why);
}

static void do_connect(gpointer data)
{
  RpcChannel *channel = data;
  if (!channel->freed && channel->state == IDLE) {
    channel->state = LOOKING_UP;
    channel->begun_us = g_get_monotonic_time();
    start_timer(channel);
    struct addrinfo *numeric = lookup_numeric(channel->host, channel->port);
    if (numeric != NULL)
      start_connecting(channel, numeric);
    else if (channel->lookup == NULL)
      channel->lookup =
          lookup_start(channel->loop, channel->host, channel->port, on_looked_up, channel);
  }
  channel_unref(channel);
}

void rpc_channel_connect(RpcChannel *channel)
{
  g_atomic_ref_count_inc(&channel->refs);
  rpc_loop_post(channel->loop, do_connect, channel);
}

static void do_close(gpointer data)
{
  RpcChannel *channel = data;
  closed_with(channel, SYNCLOG_NOT_READY, "closed");
  channel_unref(channel);
}

void rpc_channel_close(RpcChannel *channel)
{
  g_atomic_ref_count_inc(&channel->refs);
  rpc_loop_post(channel->loop, do_close, channel);
}

/* --- sending ------------------------------------------------------------------------------------
 */

/* As much as the socket takes at once; -1 with errno. Unlike evbuffer_write without a signal when
 * the peer is gone. */
static gssize write_some(RpcChannel *channel)
{
  struct evbuffer_iovec pieces[WRITE_PIECES];
  int count = evbuffer_peek(channel->out, MAX_WRITE, NULL, pieces, WRITE_PIECES);
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (gsize)MIN(count, WRITE_PIECES)};
  FAILPOINT("channel_before_write");
  gssize n = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
  if (n > 0)
    evbuffer_drain(channel->out, (gsize)n);
  return n;
}

static void flush(gpointer data)
{
  RpcChannel *channel = data;
  if (channel->state != CONNECTED || event_pending(channel->writable, EV_WRITE, NULL))
    return;
  while (evbuffer_get_length(channel->out) > 0) {
    if (write_some(channel) >= 0 || errno == EINTR)
      continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      event_add(channel->writable, NULL);
    else
      closed_with(channel, SYNCLOG_NOT_READY, g_strerror(errno));
    return;
  }
}

/* TCP connects a socket to itself when a local port that nobody listens on is tried from that very
 * port. It would also keep the peer from listening there. */
static gboolean is_connected_to_itself(int fd)
{
  struct sockaddr_storage here = {0}, there = {0};
  socklen_t here_size = sizeof here, there_size = sizeof there;
  return getsockname(fd, (struct sockaddr *)&here, &here_size) == 0 &&
         getpeername(fd, (struct sockaddr *)&there, &there_size) == 0 && here_size == there_size &&
         memcmp(&here, &there, here_size) == 0;
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
  (void)what;
  RpcChannel *channel = data;
  if (channel->state == CONNECTED)
    return; /* flush follows, at the end of the iteration */
  int failure = 0;
  socklen_t size = sizeof failure;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
    failure = errno;
  if (failure == 0 && is_connected_to_itself(fd))
    failure = ECONNREFUSED;
  if (failure != 0) {
    try_next_address(channel, failure);
    return;
  }
  channel->state = CONNECTED;
  g_clear_pointer(&channel->addresses, freeaddrinfo);
  channel->untried = NULL;
  event_add(channel->readable, NULL);
  channel->callbacks.on_connected(channel->ctx);
}

static void check_output(RpcChannel *channel)
{
  if (evbuffer_get_length(channel->out) > MAX_OUTPUT)
    closed_with(channel, SYNCLOG_OVERLOADED, "too many bytes wait to be sent");
}

static Pending note_pending(RpcChannel *channel, Kind kind, guint64 cookie)
{
  Pending pending = {channel->next_seqid, kind, cookie, g_get_monotonic_time()};
  channel->next_seqid = channel->next_seqid == G_MAXINT32 ? 1 : channel->next_seqid + 1;
  g_array_append_val(channel->pending, pending);
  return pending;
}

/* Sends a request of generated structs. */
static void send_struct(RpcChannel *channel, Kind kind, const char *method, ThriftStruct *arguments)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_write(flat);
  ThriftProtocol *protocol = THRIFT_PROTOCOL(flat);
  g_autoptr(GError) error = NULL;
  gint32 seqid = note_pending(channel, kind, 0).seqid;
  if (thrift_protocol_write_message_begin(protocol, method, T_CALL, seqid, &error) < 0 ||
      thrift_struct_write(arguments, protocol, &error) < 0) {
    closed_with(channel, SYNCLOG_INTERNAL, error != NULL ? error->message : "encoding");
    return;
  }
  gsize size;
  const guint8 *bytes = flat_written(flat, &size);
  guint8 length[FRAME_LENGTH_SIZE];
  store_be32(length, (guint32)size);
  evbuffer_add(channel->out, length, sizeof length);
  evbuffer_add(channel->out, bytes, size);
  check_output(channel);
}

/* What a posted request carries. */
typedef struct Request {
  RpcChannel *channel;
  ThriftStruct *arguments;
  SyncBatch *batch;
  guint64 cookie;
  gint64 posted_us; /* of a batch */
} Request;

static void request_free(Request *request)
{
  g_clear_object(&request->arguments);
  g_clear_pointer(&request->batch, sync_batch_free);
  channel_unref(request->channel);
  g_free(request);
}

static void post_request(RpcChannel *channel, void (*func)(gpointer), ThriftStruct *arguments,
                         SyncBatch *batch, guint64 cookie)
{
  Request *request = g_new(Request, 1);
  g_atomic_ref_count_inc(&channel->refs);
  *request = (Request){channel, arguments, batch, cookie, 0};
  if (batch != NULL)
    request->posted_us = g_get_monotonic_time();
  rpc_loop_post(channel->loop, func, request);
}

static void do_handshake(gpointer data)
{
  Request *request = data;
  if (request->channel->state == CONNECTED)
    send_struct(request->channel, HANDSHAKE, "handshake", request->arguments);
  request_free(request);
}

void rpc_channel_handshake(RpcChannel *channel, const Handshake *handshake)
{
  SlTPeerServiceHandshakeArgs *arguments =
      g_object_new(SL_TYPE_T_PEER_SERVICE_HANDSHAKE_ARGS, NULL);
  convert_handshake_to_thrift(handshake, arguments->req);
  arguments->__isset_req = TRUE;
  post_request(channel, do_handshake, THRIFT_STRUCT(arguments), NULL, 0);
}

static void do_heartbeat(gpointer data)
{
  Request *request = data;
  if (request->channel->state == CONNECTED)
    send_struct(request->channel, HEARTBEAT, "heartbeat", request->arguments);
  request_free(request);
}

void rpc_channel_heartbeat(RpcChannel *channel, const Heartbeat *heartbeat)
{
  SlTPeerServiceHeartbeatArgs *arguments =
      g_object_new(SL_TYPE_T_PEER_SERVICE_HEARTBEAT_ARGS, NULL);
  convert_heartbeat_to_thrift(heartbeat, arguments->req);
  arguments->__isset_req = TRUE;
  post_request(channel, do_heartbeat, THRIFT_STRUCT(arguments), NULL, 0);
}

static void unref_run(const void *bytes, size_t size, void *run)
{
  (void)bytes;
  (void)size;
  entry_run_unref(run);
}

static void add_slice(RpcChannel *channel, const RunSlice *slice)
{
  gsize all;
  const guint8 *bytes = entry_run_bytes(slice->run, &all);
  gsize begin = entry_run_offset(slice->run, slice->first);
  gsize size = entry_run_offset(slice->run, slice->first + slice->count) - begin;
  if (size < REFERENCE_SIZE)
    evbuffer_add(channel->out, bytes + begin, size);
  else
    evbuffer_add_reference(channel->out, bytes + begin, size, unref_run, entry_run_ref(slice->run));
}

static void do_sync(gpointer data)
{
  Request *request = data;
  RpcChannel *channel = request->channel;
  if (channel->state == CONNECTED) {
    guint8 around[HOT_SYNC_PREFIX_ROOM];
    Pending pending = note_pending(channel, SYNC, request->cookie);
    if (channel->steps != NULL)
      latency_add(&channel->steps->step[STEP_BATCH_SEND], pending.sent_us - request->posted_us);
    gsize size = hot_sync_request_prefix(around, sizeof around, pending.seqid, request->batch);
    evbuffer_add(channel->out, around, size);
    for (guint i = 0; i < request->batch->slices->len; i++)
      add_slice(channel, request->batch->slices->pdata[i]);
    size = hot_sync_request_suffix(around, sizeof around, request->batch);
    evbuffer_add(channel->out, around, size);
    check_output(channel);
  }
  request_free(request);
}

void rpc_channel_sync(RpcChannel *channel, guint64 cookie, SyncBatch *batch)
{
  post_request(channel, do_sync, NULL, batch, cookie);
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static gboolean take_pending(RpcChannel *channel, gint32 seqid, Pending *out)
{
  for (guint i = 0; i < channel->pending->len; i++) {
    *out = g_array_index(channel->pending, Pending, i);
    if (out->seqid != seqid)
      continue;
    g_array_remove_index(channel->pending, i);
    return TRUE;
  }
  return FALSE;
}

/* The sequence id of a reply, wherever its content is to be read by. */
static gboolean peek_seqid(const Frame *frame, gint32 *out)
{
  ByteReader reader = byte_reader(frame->bytes, frame->size);
  guint32 head = byte_reader_be32(&reader);
  byte_reader_take(&reader, byte_reader_be32(&reader));
  *out = (gint32)byte_reader_be32(&reader);
  return !reader.failed && head >> 16 == 0x8001;
}

/* Reads a reply of generated structs into `result`. */
static gboolean read_struct(const Frame *frame, const char *method, ThriftStruct *result,
                            GError **error)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_read(flat, frame->bytes, frame->size);
  ThriftProtocol *protocol = THRIFT_PROTOCOL(flat);
  g_autofree char *name = NULL;
  ThriftMessageType type;
  gint32 seqid;
  if (thrift_protocol_read_message_begin(protocol, &name, &type, &seqid, error) < 0)
    return FALSE;
  if (type == T_EXCEPTION)
    return fail(error, SYNCLOG_INVALID, "the peer answered %s with an exception", method);
  if (type != T_REPLY || strcmp(name, method) != 0)
    return fail(error, SYNCLOG_INVALID, "an answer to %s came for %s", name, method);
  if (thrift_struct_read(result, protocol, error) < 0)
    return FALSE;
  return flat_left(flat) == 0 || fail(error, SYNCLOG_INVALID, "bytes behind the answer");
}

static gboolean take_handshake(RpcChannel *channel, const Frame *frame, GError **error)
{
  SlTPeerServiceHandshakeResult *result =
      g_object_new(SL_TYPE_T_PEER_SERVICE_HANDSHAKE_RESULT, NULL);
  HandshakeReply reply = {0};
  gboolean ok = read_struct(frame, "handshake", THRIFT_STRUCT(result), error) &&
                convert_handshake_reply_from_thrift(result->success, &reply, error);
  if (ok)
    channel->callbacks.on_handshake(channel->ctx, &reply);
  handshake_reply_clear(&reply);
  g_object_unref(result);
  return ok;
}

static gboolean take_heartbeat(RpcChannel *channel, const Frame *frame, GError **error)
{
  SlTPeerServiceHeartbeatResult *result =
      g_object_new(SL_TYPE_T_PEER_SERVICE_HEARTBEAT_RESULT, NULL);
  HeartbeatReply reply = {0};
  gboolean ok = read_struct(frame, "heartbeat", THRIFT_STRUCT(result), error) &&
                convert_heartbeat_reply_from_thrift(result->success, &reply, error);
  if (ok)
    channel->callbacks.on_heartbeat(channel->ctx, &reply);
  heartbeat_reply_clear(&reply);
  g_object_unref(result);
  return ok;
}

static gboolean take_sync(RpcChannel *channel, const Pending *pending, const Frame *frame,
                          GError **error)
{
  if (channel->steps != NULL)
    latency_add(&channel->steps->step[STEP_BATCH_REPLY], g_get_monotonic_time() - pending->sent_us);
  SyncReply reply = {0};
  gint32 seqid;
  gboolean ok = hot_sync_reply_parse(frame->bytes, frame->size, &seqid, &reply, error);
  if (ok)
    channel->callbacks.on_sync(channel->ctx, pending->cookie, &reply);
  sync_reply_clear(&reply);
  return ok;
}

static gboolean take_reply(RpcChannel *channel, const Frame *frame, GError **error)
{
  gint32 seqid;
  Pending pending;
  if (!peek_seqid(frame, &seqid))
    return fail(error, SYNCLOG_INVALID, "an answer is no Thrift message");
  if (!take_pending(channel, seqid, &pending))
    return fail(error, SYNCLOG_INVALID, "an answer came to a request that was not made");
  switch (pending.kind) {
  case HANDSHAKE:
    return take_handshake(channel, frame, error);
  case HEARTBEAT:
    return take_heartbeat(channel, frame, error);
  case SYNC:
    return take_sync(channel, &pending, frame, error);
  }
  g_assert_not_reached();
}

/* Takes all complete frames. FALSE when the connection was closed over one. */
static gboolean take_frames(RpcChannel *channel)
{
  for (;;) {
    Frame frame;
    FrameVerdict verdict = frame_reader_next(&channel->reader, &channel->pool, &frame);
    if (verdict == FRAME_NONE)
      return TRUE;
    if (verdict == FRAME_BAD) {
      closed_with(channel, SYNCLOG_INVALID, "an answer has an impossible length");
      return FALSE;
    }
    g_autoptr(GError) error = NULL;
    gboolean ok = take_reply(channel, &frame, &error);
    frame_release(&frame);
    if (!ok) {
      closed(channel, error);
      return FALSE;
    }
  }
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
  (void)what;
  RpcChannel *channel = data;
  struct iovec room[2];
  guint pieces = frame_reader_room(&channel->reader, &channel->pool, room);
  ssize_t got = readv(fd, room, (int)pieces);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    frame_reader_filled(&channel->reader, &channel->pool, 0);
    return;
  }
  if (got <= 0) {
    closed_with(channel, SYNCLOG_NOT_READY, got == 0 ? "closed by the peer" : g_strerror(errno));
    return;
  }
  frame_reader_filled(&channel->reader, &channel->pool, (gsize)got);
  take_frames(channel);
}
