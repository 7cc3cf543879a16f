/*
 * For the tests of the channel: a channel whose callbacks are noted, and a peer that is a plain
 * socket and says what the test wants.
 */
#pragma once

#include "rpc/channel.h"
#include "rpc/convert.h"
#include "rpc/hot_codec.h"
#include "unit/rpc/generated.h"
#include "unit/rpc/rig.h"

static const LogId the_log = {2, 1234567};

typedef struct Seen {
  GMutex lock;
  GCond cond;
  guint connected, closed, handshakes, syncs, heartbeats;
  int closed_code; /* of the last on_closed */
  char *closed_why;
  HandshakeReply handshake; /* the last */
  GHashTable *received;     /* of syncs: cookie → received, each set once */
} Seen;

static inline void seen_connected(gpointer ctx)
{
  Seen *seen = ctx;
  g_mutex_lock(&seen->lock);
  seen->connected++;
  g_cond_broadcast(&seen->cond);
  g_mutex_unlock(&seen->lock);
}

static inline void seen_closed(gpointer ctx, const GError *error)
{
  Seen *seen = ctx;
  g_mutex_lock(&seen->lock);
  seen->closed++;
  seen->closed_code = error->domain == SYNCLOG_ERROR ? error->code : -1;
  g_free(seen->closed_why);
  seen->closed_why = g_strdup(error->message);
  g_cond_broadcast(&seen->cond);
  g_mutex_unlock(&seen->lock);
}

static inline void seen_handshake(gpointer ctx, const HandshakeReply *reply)
{
  Seen *seen = ctx;
  g_mutex_lock(&seen->lock);
  handshake_reply_clear(&seen->handshake);
  seen->handshake = *reply;
  seen->handshake.message = g_strdup(reply->message);
  seen->handshake.progress = NULL;
  seen->handshakes++;
  g_cond_broadcast(&seen->cond);
  g_mutex_unlock(&seen->lock);
}

static inline void seen_sync(gpointer ctx, guint64 cookie, const SyncReply *reply)
{
  Seen *seen = ctx;
  g_mutex_lock(&seen->lock);
  gboolean fresh = g_hash_table_insert(seen->received, GSIZE_TO_POINTER(cookie),
                                       GSIZE_TO_POINTER(reply->received));
  g_assert(fresh);
  seen->syncs++;
  g_cond_broadcast(&seen->cond);
  g_mutex_unlock(&seen->lock);
}

static inline void seen_heartbeat(gpointer ctx, const HeartbeatReply *reply)
{
  Seen *seen = ctx;
  g_mutex_lock(&seen->lock);
  g_assert(reply->status != SYNCLOG_OK || reply->progress != NULL);
  seen->heartbeats++;
  g_cond_broadcast(&seen->cond);
  g_mutex_unlock(&seen->lock);
}

static inline Seen *seen_new(void)
{
  Seen *seen = g_new0(Seen, 1);
  g_mutex_init(&seen->lock);
  g_cond_init(&seen->cond);
  seen->received = g_hash_table_new(NULL, NULL);
  return seen;
}

static inline void seen_free(Seen *seen)
{
  handshake_reply_clear(&seen->handshake);
  g_free(seen->closed_why);
  g_hash_table_unref(seen->received);
  g_cond_clear(&seen->cond);
  g_mutex_clear(&seen->lock);
  g_free(seen);
}

/* Waits until the counter, one of the Seen, is at least `least`. */
static inline void seen_wait(Seen *seen, const guint *counter, guint least)
{
  gint64 end = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
  g_mutex_lock(&seen->lock);
  while (*counter < least)
    fast_assert_msg(g_cond_wait_until(&seen->cond, &seen->lock, end),
                    "%u of %u callbacks came; closed %u times: %s", *counter, least, seen->closed,
                    seen->closed_why != NULL ? seen->closed_why : "-");
  g_mutex_unlock(&seen->lock);
}

static inline guint seen_count(Seen *seen, const guint *counter)
{
  g_mutex_lock(&seen->lock);
  guint count = *counter;
  g_mutex_unlock(&seen->lock);
  return count;
}

/* The end of a connection, with its reason. */
static inline void seen_wait_closed(Seen *seen, guint times, int code)
{
  seen_wait(seen, &seen->closed, times);
  g_mutex_lock(&seen->lock);
  fast_assert_msg(seen->closed_code == code, "closed with %d, not %d: %s", seen->closed_code, code,
                  seen->closed_why);
  g_mutex_unlock(&seen->lock);
}

/* --- the channel ---------------------------------------------------------------------------------
 */

typedef struct Line {
  RpcLoops *loops;
  Seen *seen;
  RpcChannel *channel;
  int listener; /* -1: none */
  guint16 port;
} Line;

/* A listening socket on the loopback. */
static inline int peer_listen(int backlog, guint16 *out_port)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  struct timeval timeout = {30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  fast_assert(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, backlog) == 0);
  fast_assert(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
  *out_port = ntohs(address.sin_port);
  return fd;
}

static inline int peer_accept(const Line *line)
{
  int fd = accept4(line->listener, NULL, NULL, SOCK_CLOEXEC);
  fast_assert_msg(fd >= 0, "nobody connects: %s", g_strerror(errno));
  struct timeval timeout = {30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  return fd;
}

static inline void line_open(Line *line, const char *host, gint64 connect_ms, gint64 request_ms)
{
  g_autofree char *address = g_strdup_printf("%s:%u", host, line->port);
  RpcChannelOptions options = {.address = address,
                               .max_frame_size = 1024 * 1024,
                               .connect_timeout_ms = connect_ms,
                               .request_timeout_ms = request_ms};
  static const RpcChannelCallbacks callbacks = {seen_connected, seen_closed, seen_handshake,
                                                seen_sync, seen_heartbeat};
  line->channel = rpc_channel_new(rpc_loops_get(line->loops, 0), &options, &callbacks, line->seen);
}

/* A channel to a peer of the test's own. */
static inline Line line_new(gint64 timeout_ms)
{
  Line line = {.loops = rpc_loops_new(1, 1), .seen = seen_new()};
  line.listener = peer_listen(128, &line.port);
  line_open(&line, "127.0.0.1", timeout_ms, timeout_ms);
  return line;
}

/* Connects; the peer's end. */
static inline int line_connect(Line *line)
{
  guint before = seen_count(line->seen, &line->seen->connected);
  rpc_channel_connect(line->channel);
  int fd = peer_accept(line);
  seen_wait(line->seen, &line->seen->connected, before + 1);
  return fd;
}

static inline void line_free(Line *line)
{
  rpc_channel_free(line->channel);
  rpc_loops_free(line->loops);
  seen_free(line->seen);
  if (line->listener >= 0)
    close(line->listener);
}

/* --- requests ------------------------------------------------------------------------------------
 */

static inline void count_release(gpointer data)
{
  g_atomic_int_inc((gint *)data);
}

typedef struct Bytes {
  guint8 *bytes;
  gint *released;
} Bytes;

static inline void bytes_release(gpointer data)
{
  Bytes *bytes = data;
  count_release(bytes->released);
  g_free(bytes->bytes);
  g_free(bytes);
}

/* A run of `count` records with data of `size` bytes; counts in *released when it is gone. */
static inline EntryRun *run_new(guint64 first, guint count, gsize size, gint *released)
{
  gsize each = size + RECORD_OVERHEAD_SIZE;
  g_autofree guint8 *data = g_malloc(size);
  for (gsize i = 0; i < size; i++)
    data[i] = (guint8)(first + i);
  Bytes *bytes = g_new(Bytes, 1);
  *bytes = (Bytes){g_malloc(each * count), released};
  for (guint i = 0; i < count; i++)
    record_write(record_seed(the_log), first + i, first + i, data, size, bytes->bytes + i * each);
  return entry_run_new(the_log, first, count, bytes->bytes, each * count, bytes, bytes_release);
}

static inline SyncBatch *batch_of(EntryRun *run, guint first, guint count)
{
  SyncBatch *batch = sync_batch_new(0, the_log);
  sync_batch_add(batch, run, first, count);
  return batch;
}

static inline void send_small_sync(Line *line, guint64 cookie, gint *released)
{
  EntryRun *run = run_new(cookie, 1, 50, released);
  rpc_channel_sync(line->channel, cookie, batch_of(run, 0, 1));
  entry_run_unref(run);
}

static inline Progress *some_progress(void)
{
  Progress *progress = progress_new();
  LogProgress *log = progress_put(progress, the_log);
  log->received = 9;
  log->durable = 8;
  log->applied = 7;
  log->first_available = 1;
  return progress;
}

static inline void send_handshake(Line *line)
{
  g_autoptr(Progress) progress = some_progress();
  Handshake handshake = {.protocol_version = PROTOCOL_VERSION,
                         .cluster_id = (char *)"c",
                         .node_id = 2,
                         .target_node_id = 3,
                         .incarnation = 55,
                         .time_precision = (char *)"ms",
                         .max_pending_batch = 5,
                         .progress = progress,
                         .hlc = 99};
  rpc_channel_handshake(line->channel, &handshake);
}

static inline void send_heartbeat(Line *line)
{
  g_autoptr(Progress) progress = some_progress();
  Heartbeat heartbeat = {.node_id = 2, .progress = progress, .hlc = 100};
  rpc_channel_heartbeat(line->channel, &heartbeat);
}

/* --- replies of the peer -------------------------------------------------------------------------
 */

static inline void peer_send_sync(int fd, gint32 seqid, guint64 received)
{
  SyncReply reply = {.status = SYNCLOG_OK, .received = received};
  g_autofree RpcReply *bytes = hot_sync_reply(seqid, &reply);
  fast_assert(client_send(fd, bytes->bytes, bytes->size));
}

/* Begins a reply: header, and field 0 of the result. */
static inline Message reply_begin(guint8 type, const char *method, gint32 seqid)
{
  Message m = message_new();
  byte_writer_be32(&m.w, 0);
  wire_put_message(&m.w, type, method, strlen(method), seqid);
  return m;
}

/* Ends the frame, sends and frees it. FALSE when the channel has closed. */
static inline gboolean reply_send(int fd, Message *m)
{
  message_end(m);
  gboolean ok = client_send(fd, m->bytes, m->w.at);
  message_free(m);
  return ok;
}

static inline Message handshake_reply(gint32 seqid, SynclogStatus status, gboolean has_progress)
{
  g_autoptr(Progress) progress = some_progress();
  HandshakeReply reply = {.status = status,
                          .node_id = 3,
                          .incarnation = 77,
                          .progress = has_progress ? progress : NULL,
                          .max_frame_size = 1000,
                          .hlc = 5};
  SlTHandshakeReply *object = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_reply_to_thrift(&reply, 0, object);
  Message m = reply_begin(THRIFT_REPLY, "handshake", seqid);
  put_struct(&m.w, 0, object);
  g_object_unref(object);
  put_stop(&m.w);
  return m;
}

static inline Message heartbeat_reply(gint32 seqid)
{
  g_autoptr(Progress) progress = some_progress();
  HeartbeatReply reply = {.status = SYNCLOG_OK, .progress = progress, .hlc = 5};
  SlTHeartbeatReply *object = g_object_new(SL_TYPE_T_HEARTBEAT_REPLY, NULL);
  convert_heartbeat_reply_to_thrift(&reply, 0, object);
  Message m = reply_begin(THRIFT_REPLY, "heartbeat", seqid);
  put_struct(&m.w, 0, object);
  g_object_unref(object);
  put_stop(&m.w);
  return m;
}
