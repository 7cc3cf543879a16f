/*
 * A server for tests with handlers that answer at once, at the end of a batch, or when the test
 * says so; and clients that are plain sockets.
 */
#pragma once

#include "rpc/server.h"
#include "support/suite.h"
#include "unit/rpc/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum {
  RIG_ANSWER,       /* each request at once, on its thread */
  RIG_AT_BATCH_END, /* on the loop, when all are handed over */
  RIG_HOLD,         /* kept until rig_take */
} RigMode;

typedef struct Rig {
  RpcLoops *loops;
  RpcServer *server;
  GMutex lock;
  GCond cond;
  RigMode mode;
  GPtrArray *held; /* RpcCall* */
  guint64 writes, syncs, batch_ends, most_held;
  guint64 bytes;    /* of writes and syncs */
  char *last_text;  /* what a handler saw */
  guint large_rows; /* of a query's answer */
} Rig;

static inline void rig_saw(Rig *rig, const char *format, ...) G_GNUC_PRINTF(2, 3);
static inline void rig_saw(Rig *rig, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_mutex_lock(&rig->lock);
  g_free(rig->last_text);
  rig->last_text = g_strdup_vprintf(format, args);
  g_cond_broadcast(&rig->cond);
  g_mutex_unlock(&rig->lock);
  va_end(args);
}

static inline RigMode rig_hold(Rig *rig, RpcCall *call, guint64 *counter, gsize size)
{
  g_mutex_lock(&rig->lock);
  RigMode mode = rig->mode;
  (*counter)++;
  rig->bytes += size;
  if (mode != RIG_ANSWER)
    g_ptr_array_add(rig->held, call);
  rig->most_held = MAX(rig->most_held, rig->held->len);
  g_cond_broadcast(&rig->cond);
  g_mutex_unlock(&rig->lock);
  return mode;
}

static inline void rig_answer_write(RpcCall *call)
{
  Token token = {.log = {1, 1000}, .index = 5};
  rpc_call_reply_write(call, SYNCLOG_OK, NULL, &token);
}

static inline void rig_answer_sync(RpcCall *call)
{
  SyncReply reply = {.status = SYNCLOG_OK, .received = 9, .durable = 8, .applied = 7};
  rpc_call_reply_sync(call, &reply);
}

static inline void rig_write(gpointer ctx, RpcCall *call, const WriteRequest *request)
{
  Rig *rig = ctx;
  /* Touch all of it, for the sanitizers. */
  guint8 sum = 0;
  for (gsize i = 0; i < request->size; i++)
    sum ^= request->data[i];
  (void)*(volatile guint8 *)&sum;
  if (rig_hold(rig, call, &rig->writes, request->size) == RIG_ANSWER)
    rig_answer_write(call);
}

static inline void rig_sync_log(gpointer ctx, RpcCall *call, const SyncLogRequest *request)
{
  Rig *rig = ctx;
  if (rig_hold(rig, call, &rig->syncs, request->size) == RIG_ANSWER)
    rig_answer_sync(call);
}

static inline void rig_handshake(gpointer ctx, RpcCall *call, const Handshake *handshake)
{
  rig_saw(ctx, "handshake %s %u→%u logs %u", handshake->cluster_id, handshake->node_id,
          handshake->target_node_id, handshake->progress->logs->len);
  HandshakeReply reply = {.status = SYNCLOG_OK,
                          .node_id = handshake->target_node_id,
                          .incarnation = 77,
                          .progress = handshake->progress,
                          .max_frame_size = 1000,
                          .hlc = handshake->hlc};
  rpc_call_reply_handshake(call, &reply);
}

static inline void rig_heartbeat(gpointer ctx, RpcCall *call, const Heartbeat *heartbeat)
{
  rig_saw(ctx, "heartbeat %u group %u", heartbeat->node_id, heartbeat->group);
  HeartbeatReply reply = {
      .status = SYNCLOG_OK, .progress = heartbeat->progress, .hlc = heartbeat->hlc};
  rpc_call_reply_heartbeat(call, &reply);
}

static inline char *rig_names(const char *const *names)
{
  return names != NULL ? g_strjoinv("+", (char **)names) : g_strdup("all");
}

static inline void rig_query(gpointer ctx, RpcCall *call, const ReadOptions *options,
                             const Query *query)
{
  Rig *rig = ctx;
  g_autofree char *names = rig_names(query->measurements);
  rig_saw(rig,
          "query %s %s [%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT "] limit %u %s page %zu tokens %u",
          query->device, names, query->start_time, query->end_time, query->limit,
          query->descending ? "down" : "up", query->page ? g_bytes_get_size(query->page) : 0,
          options->tokens != NULL ? options->tokens->len : 0);
  g_autoptr(Table) table = table_new();
  g_mutex_lock(&rig->lock);
  guint rows = rig->large_rows > 0 ? rig->large_rows : 3;
  g_mutex_unlock(&rig->lock);
  Column *column = column_new("m", DATA_INT64);
  for (gint64 i = 0; i < rows; i++) {
    g_array_append_val(table->timestamps, i);
    column_append(column, &i, sizeof i);
  }
  g_ptr_array_add(table->columns, column);
  rpc_call_reply_query(call, NULL, table);
}

static inline void rig_last(gpointer ctx, RpcCall *call, const ReadOptions *options,
                            const char *device, const char *const *measurements)
{
  g_autofree char *names = rig_names(measurements);
  rig_saw(ctx, "last %s %s group %u timeout %d", device, names, options->group,
          options->timeout_ms);
  g_autoptr(GPtrArray) values = g_ptr_array_new();
  rpc_call_reply_last(call, NULL, values);
}

static inline void rig_aggregate(gpointer ctx, RpcCall *call, const ReadOptions *options,
                                 const AggregateQuery *query)
{
  (void)options;
  rig_saw(ctx, "aggregate %s %s window %" G_GUINT64_FORMAT, query->device, query->measurement,
          query->window);
  g_autoptr(GError) error = g_error_new(SYNCLOG_ERROR, SYNCLOG_TIMEOUT, "not in time");
  rpc_call_reply_aggregate(call, error, NULL);
}

static inline void rig_series(gpointer ctx, RpcCall *call, guint32 group, const char *prefix,
                              const char *after, guint limit, gboolean partial)
{
  rig_saw(ctx, "series %u %s %s %u", group, prefix != NULL ? prefix : "-",
          after != NULL ? after : "-", limit);
  g_autoptr(GPtrArray) devices = g_ptr_array_new();
  rpc_call_reply_series(call, NULL, devices, FALSE, partial ? "some" : NULL);
}

static inline void rig_info(gpointer ctx, RpcCall *call)
{
  rig_saw(ctx, "info");
  NodeInfo info = {.node_id = 3,
                   .cluster_id = (char *)"c",
                   .version = (char *)"1",
                   .time_precision = (char *)"ms",
                   .groups = g_array_new(FALSE, FALSE, sizeof(guint32))};
  rpc_call_reply_info(call, &info);
  g_array_unref(info.groups);
}

static inline void rig_status(gpointer ctx, RpcCall *call, guint32 group)
{
  rig_saw(ctx, "status %u", group);
  g_autoptr(GError) error = g_error_new(SYNCLOG_ERROR, SYNCLOG_UNKNOWN_GROUP, "none");
  rpc_call_reply_status(call, error, NULL);
}

static inline void rig_digest(gpointer ctx, RpcCall *call, const ReadOptions *options)
{
  rig_saw(ctx, "digest tokens %u", options->tokens != NULL ? options->tokens->len : 0);
  StateDigest digest = {1, 2, 3, 4};
  g_autoptr(Progress) progress = progress_new();
  rpc_call_reply_digest(call, NULL, &digest, progress);
}

static inline void rig_digest_parts(gpointer ctx, RpcCall *call, guint32 group,
                                    const DigestQuery *query)
{
  rig_saw(ctx, "digestParts %u %s %u", group, query->device != NULL ? query->device : "-",
          query->limit);
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  rpc_call_reply_digest_parts(call, NULL, parts, FALSE);
}

/* Nothing comes in time, but log 13-1 begins at 7. */
static inline void rig_tail(gpointer ctx, RpcCall *call, guint32 group, const TailQuery *query)
{
  rig_saw(ctx, "tail %u %u-%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u %d", group,
          query->log.origin, query->log.incarnation, query->from, query->limit, query->wait_ms);
  g_autoptr(GError) error = NULL;
  if (query->log.origin == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_OUT_OF_WINDOW, "gone");
  rpc_call_reply_tail(call, error, NULL, query->from, query->log.origin == 13 ? 7 : 1);
}

static inline void rig_conflicts(gpointer ctx, RpcCall *call, guint32 group,
                                 const ConflictQuery *query)
{
  rig_saw(ctx, "conflicts %u %s %" G_GUINT64_FORMAT " %u", group,
          query->device != NULL ? query->device : "-", query->after, query->limit);
  g_autoptr(ConflictPage) page = conflict_page_new();
  rpc_call_reply_conflicts(call, NULL, page);
}

/* Node 13 can't be forgotten. */
static inline void rig_pause(gpointer ctx, RpcCall *call, guint32 group, guint32 node,
                             gboolean paused)
{
  rig_saw(ctx, "pause %u %u %d", group, node, paused);
  rpc_call_reply_pause(call, NULL);
}

static inline void rig_forget(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  (void)ctx;
  (void)group;
  g_autoptr(GError) error = NULL;
  if (node == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_INVALID, "node 13 is there");
  rpc_call_reply_forget(call, error);
}

static inline void rig_skip(gpointer ctx, RpcCall *call, guint32 group, const Token *entry)
{
  char text[TOKEN_TEXT_SIZE];
  rig_saw(ctx, "skip %u %s", group, token_format(entry, text));
  rpc_call_reply_skip(call, NULL);
}

/* Node 13 has nothing to give. */
static inline void rig_repair(gpointer ctx, RpcCall *call, guint32 group, const RepairQuery *query)
{
  rig_saw(ctx, "repair %u %u %s %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT "%s", group,
          query->from_node, query->device, query->start_time, query->cut,
          query->dry_run ? " dry" : "");
  g_autoptr(GError) error = NULL;
  if (query->from_node == 13)
    error = g_error_new_literal(SYNCLOG_ERROR, SYNCLOG_NOT_READY, "nothing");
  RepairResult result = {3, 5, query->dry_run};
  rpc_call_reply_repair(call, error, &result);
}

/* One part with one row. */
static inline void rig_bucket(gpointer ctx, RpcCall *call, const BucketAsker *asker,
                              const BucketQuery *query)
{
  rig_saw(ctx,
          "bucket %s %u %u %s %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
          "/%u/%u",
          asker->cluster_id, asker->group, asker->node_id, query->device, query->start_time,
          query->cut, query->after.hlc, query->after.origin, query->after.ordinal);
  g_autoptr(BucketPage) page = bucket_page_new();
  CellVersion version = {77, 2, 1};
  Table *table = table_new();
  Column *column = column_new("m", DATA_TEXT);
  column_append(column, "abc", 3);
  column_finish(column);
  g_array_append_val(table->timestamps, query->start_time);
  g_ptr_array_add(table->columns, column);
  g_ptr_array_add(page->parts, bucket_part_new(&version, table));
  page->more = query->after.hlc == 0;
  rpc_call_reply_bucket(call, NULL, page);
}

/* Node 13 can be neither added nor removed. */
static inline void rig_add_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node,
                                  const char *address)
{
  (void)ctx;
  (void)group;
  g_autoptr(GError) error = NULL;
  if (node == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_INVALID, "node 13 is not let in at %s", address);
  rpc_call_reply_add_member(call, error);
}

static inline void rig_remove_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  (void)ctx;
  (void)group;
  g_autoptr(GError) error = NULL;
  if (node == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_INVALID, "node 13 is no member");
  rpc_call_reply_remove_member(call, error);
}

/* Of group 0 there is one with a single file; ends and reseeds of node 13 fail. */
static inline void rig_snapshot(gpointer ctx, RpcCall *call, const SnapshotRequest *request)
{
  rig_saw(ctx, "snapshot %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s %u %d", request->group,
          request->requester, request->id, request->cluster_id != NULL ? request->cluster_id : "-",
          request->node_id, request->of_peer);
  g_autoptr(Snapshot) snapshot = snapshot_new();
  snapshot->id = 77;
  snapshot->node_id = 1;
  snapshot->cluster_id = g_strdup("rig");
  snapshot->time_precision = g_strdup("ms");
  snapshot->version = g_strdup("1");
  snapshot->partition_interval = 1000;
  snapshot->store_format = 4;
  snapshot->created_ms = 5;
  snapshot->digest = (StateDigest){1, 2, 3, 4};
  const SnapshotLog logs[] = {{{2, 9}, 10, 11, 0xFEDCBA9876543210}, {{3, 9}, 12, 13, 0}};
  g_array_append_vals(snapshot->logs, logs, G_N_ELEMENTS(logs));
  SnapshotFile file = {"CURRENT", 5, 0xfffffffe};
  g_array_append_val(snapshot->files, file);
  g_autoptr(GError) error = NULL;
  if (request->group != 0)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_NOT_READY, "it is being prepared");
  rpc_call_reply_snapshot(call, error, snapshot);
}

static inline void rig_fragment(gpointer ctx, RpcCall *call, const FragmentRequest *request)
{
  rig_saw(ctx, "fragment %" G_GUINT64_FORMAT " %u %" G_GUINT64_FORMAT " %" G_GSIZE_FORMAT,
          request->id, request->file, request->offset, request->size);
  SnapshotFragment fragment = {.id = request->id,
                               .file = request->file,
                               .offset = request->offset,
                               .data = (const guint8 *)"bytes",
                               .size = 5};
  fragment.checksum = snapshot_fragment_checksum(&fragment);
  rpc_call_reply_fragment(call, NULL, &fragment);
}

static inline void rig_snapshot_end(gpointer ctx, RpcCall *call, guint32 group, guint64 id)
{
  rig_saw(ctx, "snapshotEnd %u %" G_GUINT64_FORMAT, group, id);
  g_autoptr(GError) error = NULL;
  if (id == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_INVALID, "there is no snapshot 13");
  rpc_call_reply_snapshot_end(call, error);
}

static inline void rig_reseed(gpointer ctx, RpcCall *call, const ReseedRequest *request)
{
  rig_saw(ctx, "reseed %u %u %u %d", request->group, request->node_id, request->from_node_id,
          request->of_peer);
  g_autoptr(GError) error = NULL;
  if (request->node_id == 13)
    g_set_error(&error, SYNCLOG_ERROR, SYNCLOG_NOT_READY, "node 13 does not answer");
  rpc_call_reply_reseed(call, error);
}

static inline void rig_config(gpointer ctx, RpcCall *call)
{
  rig_saw(ctx, "config");
  g_autoptr(GPtrArray) entries = g_ptr_array_new();
  rpc_call_reply_config(call, entries);
}

static inline void rig_batch_end(gpointer ctx, RpcLoop *loop)
{
  Rig *rig = ctx;
  g_mutex_lock(&rig->lock);
  rig->batch_ends++;
  g_autoptr(GPtrArray) mine = g_ptr_array_new();
  for (guint i = 0; rig->mode == RIG_AT_BATCH_END && i < rig->held->len; i++) {
    if (rpc_call_loop(rig->held->pdata[i]) == loop)
      g_ptr_array_add(mine, g_ptr_array_steal_index(rig->held, i--));
  }
  g_mutex_unlock(&rig->lock);
  for (guint i = 0; i < mine->len; i++)
    rig_answer_write(mine->pdata[i]);
}

static inline RpcServerOptions rig_options(RpcServices services)
{
  return (RpcServerOptions){.listen = "127.0.0.1:0",
                            .services = services,
                            .max_connections = 100,
                            .max_requests_in_flight = 2000,
                            .max_frame_size = 1024 * 1024,
                            .max_memory_in_flight = 256 * 1024 * 1024};
}

static inline Rig *rig_new(const RpcServerOptions *options, guint loops)
{
  static const RpcHandlers handlers = {.write = rig_write,
                                       .sync_log = rig_sync_log,
                                       .handshake = rig_handshake,
                                       .heartbeat = rig_heartbeat,
                                       .query = rig_query,
                                       .last = rig_last,
                                       .aggregate = rig_aggregate,
                                       .series = rig_series,
                                       .info = rig_info,
                                       .status = rig_status,
                                       .digest = rig_digest,
                                       .digest_parts = rig_digest_parts,
                                       .config = rig_config,
                                       .conflicts = rig_conflicts,
                                       .tail = rig_tail,
                                       .forget = rig_forget,
                                       .skip = rig_skip,
                                       .repair = rig_repair,
                                       .bucket = rig_bucket,
                                       .add_member = rig_add_member,
                                       .remove_member = rig_remove_member,
                                       .snapshot = rig_snapshot,
                                       .fragment = rig_fragment,
                                       .snapshot_end = rig_snapshot_end,
                                       .reseed = rig_reseed,
                                       .pause = rig_pause,
                                       .batch_end = rig_batch_end};
  Rig *rig = g_new0(Rig, 1);
  g_mutex_init(&rig->lock);
  g_cond_init(&rig->cond);
  rig->held = g_ptr_array_new();
  rig->loops = rpc_loops_new(loops, 2);
  g_autoptr(GError) error = NULL;
  rig->server = rpc_server_new(rig->loops, options, &handlers, rig, &error);
  ck_assert_msg(rig->server != NULL, "%s", error != NULL ? error->message : "");
  return rig;
}

static inline void rig_set_mode(Rig *rig, RigMode mode)
{
  g_mutex_lock(&rig->lock);
  rig->mode = mode;
  g_mutex_unlock(&rig->lock);
}

/* Waits until `count` calls are held, or for as long as a broken server deserves. */
static inline void rig_wait_held(Rig *rig, guint count)
{
  gint64 end = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
  g_mutex_lock(&rig->lock);
  while (rig->held->len < count)
    fast_assert_msg(g_cond_wait_until(&rig->cond, &rig->lock, end), "%u of %u calls came",
                    rig->held->len, count);
  g_mutex_unlock(&rig->lock);
}

/* All held calls; the caller answers them. */
static inline GPtrArray *rig_take(Rig *rig)
{
  g_mutex_lock(&rig->lock);
  GPtrArray *held = rig->held;
  rig->held = g_ptr_array_new();
  g_mutex_unlock(&rig->lock);
  return held;
}

static inline void rig_answer_all_writes(Rig *rig)
{
  g_autoptr(GPtrArray) held = rig_take(rig);
  for (guint i = 0; i < held->len; i++)
    rig_answer_write(held->pdata[i]);
}

static inline char *rig_text(Rig *rig)
{
  g_mutex_lock(&rig->lock);
  char *text = g_strdup(rig->last_text != NULL ? rig->last_text : "");
  g_mutex_unlock(&rig->lock);
  return text;
}

static inline guint64 rig_count(Rig *rig, const guint64 *counter)
{
  g_mutex_lock(&rig->lock);
  guint64 value = *counter;
  g_mutex_unlock(&rig->lock);
  return value;
}

static inline void rig_free(Rig *rig)
{
  rpc_server_free(rig->server);
  rpc_loops_free(rig->loops);
  ck_assert_uint_eq(rig->held->len, 0);
  g_ptr_array_unref(rig->held);
  g_free(rig->last_text);
  g_cond_clear(&rig->cond);
  g_mutex_clear(&rig->lock);
  g_free(rig);
}

/* --- clients -------------------------------------------------------------------------------------
 */

static inline int client_connect_port(guint16 port)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct timeval timeout = {30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fast_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect: %s",
                  g_strerror(errno));
  return fd;
}

static inline int client_connect(Rig *rig)
{
  return client_connect_port(rpc_server_port(rig->server));
}

/* FALSE when the server has closed. */
static inline gboolean client_send(int fd, const void *bytes, gsize size)
{
  const guint8 *at = bytes;
  while (size > 0) {
    gssize n = send(fd, at, size, MSG_NOSIGNAL);
    if (n < 0)
      return FALSE;
    at += n;
    size -= (gsize)n;
  }
  return TRUE;
}

/* FALSE when the stream ends before `size` bytes; never returns when the server keeps silent. */
static inline gboolean client_read(int fd, void *bytes, gsize size)
{
  guint8 *at = bytes;
  while (size > 0) {
    gssize n = recv(fd, at, size, 0);
    fast_assert_msg(n >= 0 || errno == ECONNRESET, "no answer: %s", g_strerror(errno));
    if (n <= 0)
      return FALSE;
    at += n;
    size -= (gsize)n;
  }
  return TRUE;
}

typedef struct Answer {
  GBytes *frame; /* NULL: the connection was closed */
  guint type;
  gint32 seqid;
  char name[80];
  ByteReader body;
} Answer;

static inline void answer_clear(Answer *answer)
{
  g_clear_pointer(&answer->frame, g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answer, answer_clear)

static inline Answer client_answer(int fd)
{
  Answer answer = {0};
  guint8 length[4];
  if (!client_read(fd, length, 4))
    return answer;
  gsize size = load_be32(length);
  guint8 *bytes = g_malloc(size);
  fast_assert(client_read(fd, bytes, size));
  answer.frame = g_bytes_new_take(bytes, size);
  answer.body = byte_reader(bytes, size);
  answer.type = byte_reader_be32(&answer.body) & 0xFF;
  gsize name_size = byte_reader_be32(&answer.body);
  fast_assert(name_size < sizeof answer.name);
  memcpy(answer.name, byte_reader_take(&answer.body, name_size), name_size);
  answer.seqid = (gint32)byte_reader_be32(&answer.body);
  fast_assert(!answer.body.failed);
  return answer;
}

static inline gboolean client_is_closed(int fd)
{
  guint8 byte;
  return !client_read(fd, &byte, 1);
}

static inline void client_send_write(int fd, gint32 seqid, gsize size)
{
  Message m = message_call("write", seqid);
  put_write_args(&m.w, 0, seqid, size);
  message_end(&m);
  fast_assert(client_send(fd, m.bytes, m.w.at));
  message_free(&m);
}

/* A call of a method without arguments. */
static inline void client_send_plain(int fd, const char *method, gint32 seqid)
{
  Message m = message_call(method, seqid);
  put_stop(&m.w);
  message_end(&m);
  fast_assert(client_send(fd, m.bytes, m.w.at));
  message_free(&m);
}

/* The status code of an answer: field 1 of field 0. */
static inline gint answer_status(const Answer *answer)
{
  ByteReader r = answer->body;
  fast_assert(answer->frame != NULL && answer->type == THRIFT_REPLY);
  byte_reader_take(&r, 3 + 3 + 3);
  return (gint)byte_reader_be32(&r);
}

/* The type of an exception: field 2. */
static inline gint answer_exception(const Answer *answer)
{
  ByteReader r = answer->body;
  fast_assert(answer->frame != NULL && answer->type == THRIFT_EXCEPTION);
  byte_reader_take(&r, 3);
  byte_reader_take(&r, byte_reader_be32(&r));
  byte_reader_take(&r, 3);
  return (gint)byte_reader_be32(&r);
}

/* A new connection is served. */
static inline void check_serves(Rig *rig)
{
  int fd = client_connect(rig);
  client_send_write(fd, 1, 10);
  g_auto(Answer) answer = client_answer(fd);
  ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
  close(fd);
}

/* The fields that a query needs. */
#define GOOD_QUERY                                                                                 \
  "\x08\x00\x01\x00\x00\x00\x00"                                                                   \
  "\x0B\x00\x02\x00\x00\x00\x01"                                                                   \
  "d"
