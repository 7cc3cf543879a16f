#include "rpc/client.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "rpc/client_private.h"
#include "rpc/convert.h"
#include "rpc/flat.h"
#include "rpc/frame.h"
#include "rpc/wire.h"
#include "rpc/write_builder.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  READ_SIZE = 64 * 1024,    /* a reply's buffer grows with what arrives, from this size on */
  LONGEST_RETRY_MS = 60000, /* that a server may ask for */
  WRITE_SLACK_MS = 2000,    /* the server's own timeout comes first */
  MESSAGE_TEXT_SIZE = 1024, /* bytes of a server's exception that are shown */
};

struct RpcClient {
  char *address;
  gint64 timeout_ms;
  gint32 retry_after_ms; /* what the last answer to a write said */
  int fd;                /* -1: not connected */
  gint32 seqid;
  FlatProtocol *flat;
  GByteArray *out; /* the frame under construction, its length included */
  GByteArray *in;  /* the last reply */
};

RpcClient *rpc_client_new(const char *address, gint64 timeout_ms)
{
  flat_register_types();
  RpcClient *client = g_new0(RpcClient, 1);
  client->address = g_strdup(address);
  client->timeout_ms = timeout_ms;
  client->fd = -1;
  client->flat = flat_protocol_new();
  client->out = g_byte_array_new();
  client->in = g_byte_array_new();
  return client;
}

static void disconnect(RpcClient *client)
{
  if (client->fd >= 0)
    close(client->fd);
  client->fd = -1;
}

void rpc_client_free(RpcClient *client)
{
  if (client == NULL)
    return;
  disconnect(client);
  g_object_unref(client->flat);
  g_byte_array_unref(client->out);
  g_byte_array_unref(client->in);
  g_free(client->address);
  g_free(client);
}

/* --- the connection -----------------------------------------------------------------------------
 */

/* Every failure below costs the connection: what it would carry next is unknown. */
static gboolean lose(RpcClient *client, GError **error, SynclogStatus code, const char *what)
{
  disconnect(client);
  return fail(error, code, "%s: %s", client->address, what);
}

static gboolean lose_errno(RpcClient *client, GError **error, const char *what)
{
  int number = errno;
  disconnect(client);
  return fail_errno(error, SYNCLOG_NOT_READY, number, "%s: %s", client->address, what);
}

/* Waits for an event of a descriptor: 1, 0 at the deadline, -1 with errno. */
static int wait_for(int fd, short events, gint64 deadline_us)
{
  for (;;) {
    gint64 left_ms = (deadline_us - g_get_monotonic_time() + 999) / 1000;
    struct pollfd entry = {.fd = fd, .events = events};
    int n = poll(&entry, 1, (int)CLAMP(left_ms, 0, G_MAXINT));
    if (n != 0 && !(n < 0 && errno == EINTR))
      return n;
    if (n == 0 && g_get_monotonic_time() >= deadline_us)
      return 0;
  }
}

/* "host:port" or "[v6]:port". The resolver would take the lower 16 bits of a greater number. */
static gboolean split_address(const char *address, char **out_host, char **out_port)
{
  const char *colon = strrchr(address, ':');
  if (colon == NULL || colon == address || colon[1] == '\0')
    return FALSE;
  gboolean bracketed = address[0] == '[' && colon[-1] == ']';
  if (!bracketed && memchr(address, ':', (gsize)(colon - address)) != NULL)
    return FALSE;
  if (!g_ascii_string_to_unsigned(colon + 1, 10, 1, G_MAXUINT16, NULL, NULL))
    return FALSE;
  *out_host = g_strndup(address + bracketed, (gsize)(colon - address) - 2 * (gsize)bracketed);
  *out_port = g_strdup(colon + 1);
  return TRUE;
}

gboolean rpc_client_is_address(const char *address)
{
  g_autofree char *host = NULL, *port = NULL;
  return split_address(address, &host, &port);
}

/* Tries one address of the host. 0, or an errno. */
static int connect_one(RpcClient *client, const struct addrinfo *info, gint64 deadline_us)
{
  int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  int number = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
  if (number == EINPROGRESS) {
    socklen_t size = sizeof number;
    int ready = wait_for(fd, POLLOUT, deadline_us);
    if (ready <= 0)
      number = ready == 0 ? ETIMEDOUT : errno;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
      number = errno;
  }
  if (number != 0)
    close(fd);
  else
    client->fd = fd;
  return number;
}

/* NULL with an error, else for freeaddrinfo. */
static struct addrinfo *look_up(const char *address, GError **error)
{
  g_autofree char *host = NULL, *port = NULL;
  if (!split_address(address, &host, &port)) {
    fail(error, SYNCLOG_INVALID, "\"%s\" is no address; expected HOST:PORT", address);
    return NULL;
  }
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *infos = NULL;
  int result = getaddrinfo(host, port, &hints, &infos);
  if (result == 0)
    return infos;
  fail(error, SYNCLOG_NOT_READY, "%s: %s", address, gai_strerror(result));
  return NULL;
}

gboolean rpc_client_resolves(const char *address, GError **error)
{
  struct addrinfo *infos = look_up(address, error);
  if (infos == NULL)
    return FALSE;
  freeaddrinfo(infos);
  return TRUE;
}

static gboolean connect_any(RpcClient *client, gint64 deadline_us, GError **error)
{
  struct addrinfo *infos = look_up(client->address, error);
  if (infos == NULL)
    return FALSE;
  guint left = 0;
  for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next)
    left++;
  int number = 0;
  for (const struct addrinfo *info = infos; info != NULL && client->fd < 0; info = info->ai_next) {
    /* One address that does not answer leaves time for the others. */
    gint64 now_us = g_get_monotonic_time();
    number = connect_one(client, info, now_us + MAX(deadline_us - now_us, 0) / left--);
  }
  freeaddrinfo(infos);
  if (client->fd >= 0)
    return TRUE;
  return fail_errno(error, number == ETIMEDOUT ? SYNCLOG_TIMEOUT : SYNCLOG_NOT_READY, number,
                    "%s: connect", client->address);
}

/* A connection that the server has closed meanwhile, or that carries what nobody asked for, is of
 * no use. */
static gboolean ensure_connected(RpcClient *client, gint64 deadline_us, GError **error)
{
  if (client->fd >= 0 && wait_for(client->fd, POLLIN, 0) != 0)
    disconnect(client);
  return client->fd >= 0 || connect_any(client, deadline_us, error);
}

static gboolean send_frame(RpcClient *client, gint64 deadline_us, GError **error)
{
  gsize sent = 0;
  while (sent < client->out->len) {
    ssize_t n = send(client->fd, client->out->data + sent, client->out->len - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += (gsize)n;
      continue;
    }
    if (errno == EINTR)
      continue;
    if (errno != EAGAIN)
      return lose_errno(client, error, "send");
    int ready = wait_for(client->fd, POLLOUT, deadline_us);
    if (ready == 0)
      return lose(client, error, SYNCLOG_TIMEOUT, "the server does not read the request");
    if (ready < 0)
      return lose_errno(client, error, "poll");
  }
  return TRUE;
}

/* Appends what arrives to client->in until it holds `size` bytes. */
static gboolean receive(RpcClient *client, gsize size, gint64 deadline_us, GError **error)
{
  while (client->in->len < size) {
    guint have = client->in->len;
    guint room = (guint)MIN(size - have, READ_SIZE);
    g_byte_array_set_size(client->in, have + room);
    ssize_t n = recv(client->fd, client->in->data + have, room, 0);
    int number = errno;
    g_byte_array_set_size(client->in, have + (guint)MAX(n, 0));
    if (n == 0)
      return lose(client, error, SYNCLOG_NOT_READY, "the server closed the connection");
    if (n > 0 || number == EINTR)
      continue;
    errno = number;
    if (number != EAGAIN)
      return lose_errno(client, error, "receive");
    int ready = wait_for(client->fd, POLLIN, deadline_us);
    if (ready == 0)
      return lose(client, error, SYNCLOG_TIMEOUT, "no answer in time");
    if (ready < 0)
      return lose_errno(client, error, "poll");
  }
  return TRUE;
}

/* Reads one frame; client->in holds its content. */
static gboolean receive_frame(RpcClient *client, gint64 deadline_us, GError **error)
{
  g_byte_array_set_size(client->in, 0);
  if (!receive(client, 4, deadline_us, error))
    return FALSE;
  guint32 size = load_be32(client->in->data);
  if (size == 0 || size > LIMIT_FRAME_SIZE)
    return lose(client, error, SYNCLOG_CORRUPT,
                "the answer is no Thrift frame; is this the port for clients?");
  g_byte_array_set_size(client->in, 0);
  return receive(client, size, deadline_us, error);
}

/* --- messages -----------------------------------------------------------------------------------
 */

/* Puts room for the length and the message's header into client->out. */
static void begin_request(RpcClient *client, const char *method)
{
  guint8 head[4 + 4 + 4 + LIMIT_METHOD_NAME_SIZE + 4];
  ByteWriter w = byte_writer(head, sizeof head);
  client->seqid = client->seqid == G_MAXINT32 ? 1 : client->seqid + 1;
  byte_writer_be32(&w, 0);
  wire_put_message(&w, THRIFT_CALL, method, strlen(method), client->seqid);
  g_assert(!w.failed);
  g_byte_array_set_size(client->out, 0);
  g_byte_array_append(client->out, head, (guint)w.at);
}

/* Sets the length, now that it is known. */
static gboolean end_request(RpcClient *client, GError **error)
{
  gsize size = client->out->len - 4;
  if (size > LIMIT_FRAME_SIZE)
    return fail(error, SYNCLOG_TOO_LARGE,
                "a request of %" G_GSIZE_FORMAT " bytes; at most %d can be sent", size,
                LIMIT_FRAME_SIZE);
  store_be32(client->out->data, (guint32)size);
  return TRUE;
}

/* A TApplicationException: the server did not get as far as the method. */
static gboolean fail_exception(RpcClient *client, ByteReader *r, GError **error)
{
  enum { UNKNOWN_METHOD = 1 };
  WireFields fields = {0};
  g_autofree char *message = NULL;
  guint32 type = 0;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_STRING && message == NULL) {
      guint32 size = byte_reader_be32(r);
      const guint8 *bytes = byte_reader_take(r, size);
      if (bytes != NULL)
        message = g_utf8_make_valid((const char *)bytes, (gssize)MIN(size, MESSAGE_TEXT_SIZE));
    } else if (fields.id == 2 && fields.type == WIRE_I32) {
      type = byte_reader_be32(r);
    } else {
      wire_skip(r, fields.type, 1);
    }
  }
  if (r->failed)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer can't be read");
  /* The server may close after an exception; whether it does makes no difference to the next call.
   */
  return fail(error, type == UNKNOWN_METHOD ? SYNCLOG_WRONG_VERSION : SYNCLOG_INVALID,
              "%s refused the request: %s", client->address,
              message != NULL && *message != '\0' ? message : "no reason given");
}

/* Judges the reply's header. *out_body is what stands behind it. */
static gboolean open_reply(RpcClient *client, const char *method, ByteReader *out_body,
                           GError **error)
{
  ByteReader r = byte_reader(client->in->data, client->in->len);
  guint32 version = byte_reader_be32(&r);
  guint32 name_size = byte_reader_be32(&r);
  const guint8 *name = byte_reader_take(&r, name_size);
  gint32 seqid = (gint32)byte_reader_be32(&r);
  if (r.failed || (version & 0xffffff00) != 0x80010000)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer is no Thrift message");
  if (seqid != client->seqid)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer belongs to another request");
  guint8 type = version & 0xff;
  if (type == THRIFT_EXCEPTION)
    return fail_exception(client, &r, error);
  if (type != THRIFT_REPLY || name_size != strlen(method) || memcmp(name, method, name_size) != 0)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer is that of another method");
  *out_body = r;
  return TRUE;
}

/* Decodes the result: a struct with the reply as its field 0. */
static gboolean read_reply(RpcClient *client, ByteReader *body, gpointer reply, GError **error)
{
  WireFields fields = {0};
  if (!wire_next_field(body, &fields) || fields.type != WIRE_STRUCT || fields.id != 0)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer holds no result");
  flat_begin_read(client->flat, body->bytes + body->at, byte_reader_left(body));
  g_autoptr(GError) local = NULL;
  if (thrift_struct_read(THRIFT_STRUCT(reply), THRIFT_PROTOCOL(client->flat), &local) < 0)
    return lose(client, error, SYNCLOG_CORRUPT, local != NULL ? local->message : "malformed");
  if (flat_left(client->flat) != 1 || client->in->data[client->in->len - 1] != WIRE_STOP)
    return lose(client, error, SYNCLOG_CORRUPT, "the answer does not end where it should");
  return TRUE;
}

/* Sends what stands in client->out and reads the reply. */
static gboolean exchange(RpcClient *client, const char *method, gint64 timeout_ms, gpointer reply,
                         GError **error)
{
  gint64 deadline_us = g_get_monotonic_time() + timeout_ms * 1000;
  ByteReader body;
  return end_request(client, error) && ensure_connected(client, deadline_us, error) &&
         send_frame(client, deadline_us, error) && receive_frame(client, deadline_us, error) &&
         open_reply(client, method, &body, error) && read_reply(client, &body, reply, error);
}

/* A call with a generated struct as its only argument, or without any. */
static gboolean call(RpcClient *client, const char *method, gpointer request, gpointer reply,
                     GError **error)
{
  begin_request(client, method);
  if (request != NULL) {
    static const guint8 field[] = {WIRE_STRUCT, 0, 1};
    g_byte_array_append(client->out, field, sizeof field);
    flat_begin_write(client->flat);
    g_autoptr(GError) local = NULL;
    if (thrift_struct_write(THRIFT_STRUCT(request), THRIFT_PROTOCOL(client->flat), &local) < 0)
      return fail(error, SYNCLOG_INVALID, "%s", local != NULL ? local->message : "malformed");
    gsize size;
    const guint8 *written = flat_written(client->flat, &size);
    g_byte_array_append(client->out, written, (guint)size);
  }
  static const guint8 stop[] = {WIRE_STOP};
  g_byte_array_append(client->out, stop, sizeof stop);
  return exchange(client, method, client->timeout_ms, reply, error);
}

gboolean client_call(RpcClient *client, const char *method, gpointer request, gpointer reply,
                     GError **error)
{
  return call(client, method, request, reply, error);
}

/* How long the server may wait for tokens, so that its own answer comes before our deadline. */
static gint32 token_timeout_ms(const RpcClient *client)
{
  return (gint32)CLAMP(client->timeout_ms - client->timeout_ms / 10, 1, G_MAXINT32);
}

/* --- methods ------------------------------------------------------------------------------------
 */

gint32 rpc_client_retry_after_ms(const RpcClient *client)
{
  return client->retry_after_ms;
}

static gboolean read_written(RpcClient *client, const SlTWriteReply *reply,
                             SynclogStatus *out_status, Token *out_token, GError **error)
{
  SynclogStatus code;
  g_autofree char *message = NULL;
  if (!convert_status_from_thrift(reply->status, &code, &message, error))
    return FALSE;
  if (reply->status->__isset_retryAfterMs)
    client->retry_after_ms = CLAMP(reply->status->retryAfterMs, 0, LONGEST_RETRY_MS);
  if (code != SYNCLOG_OK && code != SYNCLOG_PENDING)
    return convert_check_status(reply->status, error);
  Token token = {0};
  if (!reply->__isset_token || reply->token->index < 1)
    return fail(error, SYNCLOG_CORRUPT, "the answer to a write holds no token");
  if (!convert_token_from_thrift(reply->token, &token, error))
    return FALSE;
  *out_status = code;
  *out_token = token;
  return TRUE;
}

gboolean rpc_client_write(RpcClient *client, guint32 group, WriteBuilder *builder, AckLevel ack,
                          gint timeout_ms, SynclogStatus *out_status, Token *out_token,
                          GError **error)
{
  guint8 bytes[32];
  ByteWriter w = byte_writer(bytes, sizeof bytes);
  client->retry_after_ms = 0;
  wire_put_field(&w, WIRE_STRUCT, 1);
  wire_put_i32(&w, 1, group);
  wire_put_field(&w, WIRE_STRUCT, 2);
  begin_request(client, "write");
  g_byte_array_append(client->out, bytes, (guint)w.at);
  write_builder_encode(builder, client->out);
  w = byte_writer(bytes, sizeof bytes);
  wire_put_i32(&w, 3, (guint32)ack);
  if (timeout_ms > 0)
    wire_put_i32(&w, 4, (guint32)timeout_ms);
  byte_writer_u8(&w, WIRE_STOP);
  byte_writer_u8(&w, WIRE_STOP);
  g_byte_array_append(client->out, bytes, (guint)w.at);

  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
  gint64 wait_ms = MAX(client->timeout_ms, (gint64)timeout_ms + WRITE_SLACK_MS);
  if (!exchange(client, "write", wait_ms, reply, error) ||
      !read_written(client, SL_T_WRITE_REPLY(reply), out_status, out_token, error))
    return FALSE;
  write_builder_clear(builder);
  return TRUE;
}

Table *rpc_client_query(RpcClient *client, guint32 group, const Query *query, const GArray *tokens,
                        GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_QUERY_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_QUERY_REPLY, NULL);
  SlTQueryReq *req = SL_T_QUERY_REQ(request);
  convert_query_to_thrift(query, group, tokens, req);
  req->timeoutMs = token_timeout_ms(client);
  req->__isset_timeoutMs = TRUE;
  if (!call(client, "query", request, reply, error) ||
      !convert_check_status(SL_T_QUERY_REPLY(reply)->status, error))
    return NULL;
  return convert_table_from_thrift(SL_T_QUERY_REPLY(reply), error);
}

GPtrArray *rpc_client_last(RpcClient *client, guint32 group, const char *device,
                           const char *const *measurements, const GArray *tokens, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_LAST_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_LAST_REPLY, NULL);
  SlTLastReq *req = SL_T_LAST_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->device = g_strdup(device);
  for (guint i = 0; measurements != NULL && measurements[i] != NULL; i++)
    g_ptr_array_add(req->measurements, g_strdup(measurements[i]));
  req->__isset_measurements = measurements != NULL;
  convert_tokens_to_thrift(tokens, req->tokens);
  req->__isset_tokens = req->tokens->len > 0;
  req->timeoutMs = token_timeout_ms(client);
  req->__isset_timeoutMs = TRUE;
  if (!call(client, "last", request, reply, error) ||
      !convert_check_status(SL_T_LAST_REPLY(reply)->status, error))
    return NULL;
  return convert_last_from_thrift(SL_T_LAST_REPLY(reply), error);
}

Aggregate *rpc_client_aggregate(RpcClient *client, guint32 group, const AggregateQuery *query,
                                const GArray *tokens, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_AGGREGATE_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_AGGREGATE_REPLY, NULL);
  SlTAggregateReq *req = SL_T_AGGREGATE_REQ(request);
  convert_aggregate_query_to_thrift(query, group, tokens, req);
  req->timeoutMs = token_timeout_ms(client);
  req->__isset_timeoutMs = TRUE;
  if (!call(client, "aggregate", request, reply, error) ||
      !convert_check_status(SL_T_AGGREGATE_REPLY(reply)->status, error))
    return NULL;
  return convert_aggregate_from_reply(SL_T_AGGREGATE_REPLY(reply), error);
}

GPtrArray *rpc_client_series(RpcClient *client, guint32 group, const char *prefix,
                             const char *after, guint limit, char **out_next, GError **error)
{
  return rpc_client_series_partial(client, group, prefix, after, limit, out_next, NULL, error);
}

GPtrArray *rpc_client_series_partial(RpcClient *client, guint32 group, const char *prefix,
                                     const char *after, guint limit, char **out_next,
                                     char **out_left_out, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_SERIES_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_SERIES_REPLY, NULL);
  SlTSeriesReq *req = SL_T_SERIES_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->prefix = g_strdup(prefix);
  req->__isset_prefix = prefix != NULL;
  req->after = g_strdup(after);
  req->__isset_after = after != NULL;
  req->limit = (gint32)limit;
  req->__isset_limit = limit > 0;
  req->partial = req->__isset_partial = out_left_out != NULL;
  if (!call(client, "series", request, reply, error) ||
      !convert_check_status(SL_T_SERIES_REPLY(reply)->status, error))
    return NULL;
  const SlTSeriesReply *series = SL_T_SERIES_REPLY(reply);
  GPtrArray *devices = convert_series_from_thrift(series, error);
  if (devices != NULL)
    *out_next = series->__isset_nextAfter ? g_strdup(series->nextAfter) : NULL;
  if (devices != NULL && out_left_out != NULL)
    *out_left_out = series->__isset_leftOut ? g_strdup(series->leftOut) : NULL;
  return devices;
}

GArray *rpc_client_tail(RpcClient *client, guint32 group, LogId log, guint64 from, guint limit,
                        gint wait_ms, guint64 *out_first_available, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_TAIL_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_TAIL_REPLY, NULL);
  SlTTailReq *req = SL_T_TAIL_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->log->origin = (gint32)log.origin;
  req->log->incarnation = (gint64)log.incarnation;
  req->fromIndex = (gint64)from;
  req->limit = (gint32)limit;
  req->__isset_limit = limit > 0;
  req->waitMs = wait_ms;
  req->__isset_waitMs = TRUE;
  *out_first_available = 0;
  if (!call(client, "tail", request, reply, error))
    return NULL;
  const SlTTailReply *tail = SL_T_TAIL_REPLY(reply);
  if (tail->__isset_firstAvailable && tail->firstAvailable > 0)
    *out_first_available = (guint64)tail->firstAvailable;
  return convert_check_status(tail->status, error) ? convert_tail_from_thrift(tail, from, error)
                                                   : NULL;
}

gboolean rpc_client_info(RpcClient *client, NodeInfo *out_info, GError **error)
{
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  return call(client, "info", NULL, reply, error) &&
         convert_check_status(SL_T_INFO_REPLY(reply)->status, error) &&
         convert_info_from_thrift(SL_T_INFO_REPLY(reply), out_info, error);
}

NodeStatus *rpc_client_status(RpcClient *client, guint32 group, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_STATUS_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_STATUS_REPLY, NULL);
  SL_T_STATUS_REQ(request)->consensusGroupId = (gint32)group;
  const SlTStatusReply *status = SL_T_STATUS_REPLY(reply);
  if (!call(client, "status", request, reply, error) ||
      !convert_check_status(status->status, error))
    return NULL;
  if (!status->__isset_node) {
    fail(error, SYNCLOG_CORRUPT, "%s: the answer holds no status", client->address);
    return NULL;
  }
  return convert_node_status_from_thrift(status->node, error);
}

gboolean rpc_client_digest(RpcClient *client, guint32 group, const GArray *tokens,
                           StateDigest *out_digest, Progress **out_progress, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_DIGEST_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_DIGEST_REPLY, NULL);
  SlTDigestReq *req = SL_T_DIGEST_REQ(request);
  req->consensusGroupId = (gint32)group;
  convert_tokens_to_thrift(tokens, req->tokens);
  req->__isset_tokens = req->tokens->len > 0;
  req->timeoutMs = token_timeout_ms(client);
  req->__isset_timeoutMs = TRUE;
  return call(client, "digest", request, reply, error) &&
         convert_check_status(SL_T_DIGEST_REPLY(reply)->status, error) &&
         convert_digest_from_thrift(SL_T_DIGEST_REPLY(reply), out_digest, out_progress, error);
}

GPtrArray *rpc_client_config(RpcClient *client, GError **error)
{
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_CONFIG_REPLY, NULL);
  if (!call(client, "config", NULL, reply, error) ||
      !convert_check_status(SL_T_CONFIG_REPLY(reply)->status, error))
    return NULL;
  return convert_config_from_thrift(SL_T_CONFIG_REPLY(reply), error);
}

gboolean rpc_client_pause(RpcClient *client, guint32 group, guint32 node, gboolean paused,
                          GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_PAUSE_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_PAUSE_REPLY, NULL);
  SL_T_PAUSE_REQ(request)->consensusGroupId = (gint32)group;
  SL_T_PAUSE_REQ(request)->nodeId = (gint32)node;
  SL_T_PAUSE_REQ(request)->paused = paused;
  return call(client, "pause", request, reply, error) &&
         convert_check_status(SL_T_PAUSE_REPLY(reply)->status, error);
}

gboolean rpc_client_forget(RpcClient *client, guint32 group, guint32 node, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_FORGET_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_FORGET_REPLY, NULL);
  SL_T_FORGET_REQ(request)->consensusGroupId = (gint32)group;
  SL_T_FORGET_REQ(request)->nodeId = (gint32)node;
  return call(client, "forget", request, reply, error) &&
         convert_check_status(SL_T_FORGET_REPLY(reply)->status, error);
}

gboolean rpc_client_add_member(RpcClient *client, guint32 group, guint32 node, const char *address,
                               GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_ADD_MEMBER_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_ADD_MEMBER_REPLY, NULL);
  SL_T_ADD_MEMBER_REQ(request)->consensusGroupId = (gint32)group;
  SL_T_ADD_MEMBER_REQ(request)->nodeId = (gint32)node;
  SL_T_ADD_MEMBER_REQ(request)->address = g_strdup(address);
  return call(client, "addMember", request, reply, error) &&
         convert_check_status(SL_T_ADD_MEMBER_REPLY(reply)->status, error);
}

gboolean rpc_client_remove_member(RpcClient *client, guint32 group, guint32 node, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_REMOVE_MEMBER_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_REMOVE_MEMBER_REPLY, NULL);
  SL_T_REMOVE_MEMBER_REQ(request)->consensusGroupId = (gint32)group;
  SL_T_REMOVE_MEMBER_REQ(request)->nodeId = (gint32)node;
  return call(client, "removeMember", request, reply, error) &&
         convert_check_status(SL_T_REMOVE_MEMBER_REPLY(reply)->status, error);
}

GPtrArray *rpc_client_digest_parts(RpcClient *client, guint32 group, const DigestQuery *query,
                                   gboolean *out_more, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_DIGEST_PARTS_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_DIGEST_PARTS_REPLY, NULL);
  SlTDigestPartsReq *req = SL_T_DIGEST_PARTS_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->atHlc = (gint64)query->cut;
  req->__isset_atHlc = query->cut != G_MAXUINT64;
  req->device = g_strdup(query->device);
  req->__isset_device = query->device != NULL;
  req->after = g_strdup(query->after);
  req->__isset_after = query->after != NULL;
  req->fromTime = query->from;
  req->__isset_fromTime = TRUE;
  req->limit = (gint32)query->limit;
  req->__isset_limit = query->limit > 0;
  if (!call(client, "digestParts", request, reply, error) ||
      !convert_check_status(SL_T_DIGEST_PARTS_REPLY(reply)->status, error))
    return NULL;
  *out_more = SL_T_DIGEST_PARTS_REPLY(reply)->more;
  return convert_digest_parts_from_thrift(SL_T_DIGEST_PARTS_REPLY(reply), error);
}

ConflictPage *rpc_client_conflicts(RpcClient *client, guint32 group, const ConflictQuery *query,
                                   GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_CONFLICTS_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_CONFLICTS_REPLY, NULL);
  SlTConflictsReq *req = SL_T_CONFLICTS_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->afterSequence = (gint64)query->after;
  req->__isset_afterSequence = query->after > 0;
  req->limit = (gint32)query->limit;
  req->__isset_limit = query->limit > 0;
  req->device = g_strdup(query->device);
  req->__isset_device = query->device != NULL;
  if (!call(client, "conflicts", request, reply, error) ||
      !convert_check_status(SL_T_CONFLICTS_REPLY(reply)->status, error))
    return NULL;
  return convert_conflicts_from_thrift(SL_T_CONFLICTS_REPLY(reply), error);
}

gboolean rpc_client_skip(RpcClient *client, guint32 group, const Token *entry, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_SKIP_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_SKIP_REPLY, NULL);
  SlTSkipReq *req = SL_T_SKIP_REQ(request);
  req->consensusGroupId = (gint32)group;
  req->entry->log->origin = (gint32)entry->log.origin;
  req->entry->log->incarnation = (gint64)entry->log.incarnation;
  req->entry->index = (gint64)entry->index;
  return call(client, "skip", request, reply, error) &&
         convert_check_status(SL_T_SKIP_REPLY(reply)->status, error);
}

gboolean rpc_client_repair(RpcClient *client, guint32 group, const RepairQuery *query,
                           RepairResult *out_result, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_REPAIR_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_REPAIR_REPLY, NULL);
  convert_repair_to_thrift(query, group, SL_T_REPAIR_REQ(request));
  if (!call(client, "repair", request, reply, error) ||
      !convert_check_status(SL_T_REPAIR_REPLY(reply)->status, error))
    return FALSE;
  convert_repair_result_from_thrift(SL_T_REPAIR_REPLY(reply), out_result);
  return TRUE;
}

BucketPage *rpc_client_bucket(RpcClient *client, const BucketAsker *asker, const BucketQuery *query,
                              GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_BUCKET_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_BUCKET_REPLY, NULL);
  convert_bucket_query_to_thrift(query, asker, SL_T_BUCKET_REQ(request));
  if (!call(client, "bucket", request, reply, error) ||
      !convert_check_status(SL_T_BUCKET_REPLY(reply)->status, error))
    return NULL;
  return convert_bucket_from_thrift(SL_T_BUCKET_REPLY(reply), error);
}
