/*
 * The bytes of a connection into the server: cutting frames, headers, dispatch, the arguments of
 * every method of the three services, and the replies. The connection itself is one in memory,
 * which hands over frames and takes replies; workers are this thread.
 *
 * Every frame is answered exactly once (a oneway message without bytes), each reply is one
 * well-formed message with the request's sequence id, and what handlers are given is in range.
 */
#include "base/limits.h"
#include "fuzz/fuzz.h"
#include "fuzz/rpc_values.h"
#include "rpc/convert.h"
#include "rpc/flat.h"
#include "rpc/loops_private.h"
#include "rpc/server_private.h"
#include "rpc/wire.h"

#include "sl_t_admin_service.h"
#include "sl_t_client_service.h"
#include "sl_t_peer_service.h"

enum { MAX_FRAME = 64 * 1024 };

/* --- the connection -----------------------------------------------------------------------------
 */

struct RpcConn {
  guint refs;
  guint32 peer;
  guint heavy;
  guint answers;
  gboolean closing;
  gint32 seqid; /* of the request that is being answered */
  gboolean oneway, has_header;
  guint kind; /* of what the handlers answer */
};

RpcConn *conn_ref(RpcConn *conn)
{
  conn->refs++;
  return conn;
}

void conn_unref(RpcConn *conn)
{
  g_assert(conn->refs-- > 1);
}

void conn_add_heavy(RpcConn *conn)
{
  conn->heavy++;
}

void conn_set_peer(RpcConn *conn, guint32 node_id, guint64 receiver)
{
  (void)receiver;
  conn->peer = node_id;
}

/* On reserved ones most methods do no more than close them. */
gboolean conn_is_reserved(const RpcConn *conn)
{
  (void)conn;
  return FALSE;
}

guint32 conn_peer(const RpcConn *conn, guint64 receiver)
{
  (void)receiver;
  return conn->peer;
}

const char *conn_address(const RpcConn *conn)
{
  (void)conn;
  return "memory:1";
}

void conn_note_closing(const RpcConn *conn, const char *why)
{
  (void)conn;
  g_assert(why != NULL && *why != '\0');
}

/* A reply is one frame, and in it one message whose result is one struct. */
static void check_reply(const RpcConn *conn, const RpcReply *reply)
{
  g_assert(conn->has_header && !conn->oneway);
  ByteReader r = byte_reader(reply->bytes, reply->size);
  g_assert(byte_reader_be32(&r) == reply->size - FRAME_LENGTH_SIZE);
  guint32 version = byte_reader_be32(&r);
  g_assert(version == (0x80010000u | THRIFT_REPLY) || version == (0x80010000u | THRIFT_EXCEPTION));
  byte_reader_take(&r, byte_reader_be32(&r));
  g_assert((gint32)byte_reader_be32(&r) == conn->seqid);
  wire_skip(&r, WIRE_STRUCT, 0);
  g_assert(!r.failed && byte_reader_left(&r) == 0);
}

void conn_answer(RpcConn *conn, guint64 number, RpcReply *reply, guint flags)
{
  g_assert(number == conn->answers++);
  if (reply != NULL)
    check_reply(conn, reply);
  if (flags & CONN_HEAVY)
    g_assert(conn->heavy-- > 0);
  conn->closing |= (flags & CONN_CLOSE) != 0;
  g_free(reply);
}

gboolean rpc_loop_is_current(RpcLoop *loop)
{
  (void)loop;
  return TRUE;
}

void rpc_loop_post(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  (void)loop;
  func(data);
}

void rpc_loops_work(RpcLoops *loops, void (*func)(gpointer data), gpointer data)
{
  (void)loops;
  func(data);
}

/* --- the handlers -------------------------------------------------------------------------------
 */

/* The connection that asks; answers go by its `kind`: an error, or values. */
static RpcConn *current;

static GError *error_to_answer(void)
{
  if (current->kind % 4 != 0)
    return NULL;
  int code = SYNCLOG_INVALID + (int)(current->kind / 4) % (SYNCLOG_FORGOTTEN - SYNCLOG_INVALID + 1);
  return g_error_new_literal(SYNCLOG_ERROR, code, "an error");
}

static void check_log(LogId log)
{
  g_assert(log.origin >= 1 && log.origin <= LIMIT_NODE_ID);
  g_assert(log.incarnation >= 1 && log.incarnation <= G_MAXINT64);
}

static void check_progress(const Progress *progress)
{
  g_assert(progress != NULL && progress->logs->len <= LIMIT_LOGS);
  for (guint i = 0; i < progress->logs->len; i++) {
    const LogProgress *log = &g_array_index(progress->logs, LogProgress, i);
    check_log(log->log);
    g_assert(log->received <= G_MAXINT64 && log->durable <= G_MAXINT64);
    g_assert(log->digest_index <= G_MAXINT64);
    if (i > 0)
      g_assert(log_id_compare(&log[-1].log, &log->log) < 0);
  }
  for (guint i = 0; progress->wanted != NULL && i < progress->wanted->len; i++)
    check_log(g_array_index(progress->wanted, LogId, i));
  g_assert(progress->forgotten == NULL || progress->forgotten->len <= LIMIT_KNOWN_MEMBERS);
  for (guint i = 0; progress->members != NULL && i < progress->members->len; i++) {
    const Member *member = progress->members->pdata[i];
    const Member *before = i > 0 ? progress->members->pdata[i - 1] : NULL;
    g_assert(member->id <= LIMIT_NODE_ID && member->id > (before != NULL ? before->id : 0));
    g_assert(member->state >= MEMBER_JOINING && member->state <= MEMBER_LOST);
  }
}

static void check_text(const char *text)
{
  g_assert(text != NULL && g_utf8_validate(text, -1, NULL));
}

static void check_options(const ReadOptions *options)
{
  g_assert(options->group <= G_MAXINT32 || options->group == GROUP_BY_RULE);
  g_assert(options->timeout_ms >= -1);
  g_assert(options->tokens == NULL || options->tokens->len <= LIMIT_TOKENS);
  for (guint i = 0; options->tokens != NULL && i < options->tokens->len; i++)
    check_log(g_array_index(options->tokens, Token, i).log);
}

static void check_names(const char *const *names)
{
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    check_text(names[i]);
}

static void on_write(gpointer ctx, RpcCall *call, const WriteRequest *request)
{
  (void)ctx;
  Token token = {.log = {1, 1700000000000000}, .index = 5};
  g_assert((request->group <= G_MAXINT32 || request->group == GROUP_BY_RULE) && request->size >= 1);
  /* What is kept stays readable beyond the answer. */
  gpointer frame = rpc_call_ref_frame(call);
  const guint8 *last = request->data + request->size - 1;
  SynclogStatus status = current->kind % 4 == 0 ? SYNCLOG_OVERLOADED : SYNCLOG_OK;
  rpc_call_reply_write(call, status, NULL, status == SYNCLOG_OK ? &token : NULL);
  g_assert(*last == WIRE_STOP);
  rpc_frame_unref(frame);
}

static void on_sync(gpointer ctx, RpcCall *call, const SyncLogRequest *request)
{
  (void)ctx;
  check_log(request->log);
  SyncReply reply = {.received = request->last_index, .durable = 3, .applied = 2};
  if (current->kind % 4 == 0)
    reply = (SyncReply){.status = SYNCLOG_OUT_OF_WINDOW, .expected_index = request->first_index};
  rpc_call_reply_sync(call, &reply);
}

static void on_handshake(gpointer ctx, RpcCall *call, const Handshake *handshake)
{
  (void)ctx;
  check_text(handshake->cluster_id);
  check_text(handshake->time_precision);
  check_progress(handshake->progress);
  g_assert(handshake->node_id >= 1 && handshake->node_id <= LIMIT_NODE_ID);
  g_assert(handshake->max_pending_batch >= 1);
  HandshakeReply reply = {.status = SYNCLOG_NOT_MEMBER, .message = (char *)"no"};
  if (current->kind % 4 != 0)
    reply = (HandshakeReply){SYNCLOG_OK, NULL, 1, 17, some_progress(), 1 << 20, 99};
  else
    rpc_call_set_peer(call, handshake->node_id, handshake->group + 1);
  rpc_call_reply_handshake(call, &reply);
  g_clear_pointer(&reply.progress, progress_free);
}

static void on_heartbeat(gpointer ctx, RpcCall *call, const Heartbeat *heartbeat)
{
  (void)ctx;
  check_progress(heartbeat->progress);
  HeartbeatReply reply = {.status = SYNCLOG_NOT_READY, .message = (char *)"no"};
  if (current->kind % 4 != 0)
    reply = (HeartbeatReply){SYNCLOG_OK, NULL, some_progress(), 99};
  rpc_call_reply_heartbeat(call, &reply);
  g_clear_pointer(&reply.progress, progress_free);
}

static void on_query(gpointer ctx, RpcCall *call, const ReadOptions *options, const Query *query)
{
  (void)ctx;
  check_options(options);
  check_text(query->device);
  check_names(query->measurements);
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(Table) table = some_table();
  rpc_call_reply_query(call, error, table);
}

static void on_last(gpointer ctx, RpcCall *call, const ReadOptions *options, const char *device,
                    const char *const *measurements)
{
  (void)ctx;
  check_options(options);
  check_text(device);
  check_names(measurements);
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(GPtrArray) values = some_last();
  rpc_call_reply_last(call, error, values);
}

static void on_aggregate(gpointer ctx, RpcCall *call, const ReadOptions *options,
                         const AggregateQuery *query)
{
  (void)ctx;
  check_options(options);
  check_text(query->device);
  check_text(query->measurement);
  g_assert(query->window <= G_MAXINT64);
  g_autoptr(GError) error = error_to_answer();
  DataType type = (DataType)(DATA_BOOLEAN + current->kind % DATA_TEXT);
  g_autoptr(Aggregate) aggregate = some_aggregate(type);
  rpc_call_reply_aggregate(call, error, aggregate);
}

static void on_series(gpointer ctx, RpcCall *call, guint32 group, const char *prefix,
                      const char *after, guint limit, gboolean partial)
{
  (void)ctx;
  g_assert((group <= G_MAXINT32 || group == GROUP_BY_RULE) && limit <= G_MAXINT32);
  g_assert(prefix == NULL || g_utf8_validate(prefix, -1, NULL));
  g_assert(after == NULL || g_utf8_validate(after, -1, NULL));
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(GPtrArray) devices = some_devices();
  rpc_call_reply_series(call, error, devices, (current->kind & 1) != 0, partial ? "x" : NULL);
}

static void on_info(gpointer ctx, RpcCall *call)
{
  (void)ctx;
  NodeInfo info = some_info();
  rpc_call_reply_info(call, &info);
  node_info_clear(&info);
}

static void on_status(gpointer ctx, RpcCall *call, guint32 group)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32);
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(NodeStatus) status = some_status();
  rpc_call_reply_status(call, error, status);
}

static void on_digest(gpointer ctx, RpcCall *call, const ReadOptions *options)
{
  (void)ctx;
  check_options(options);
  g_assert(options->group <= G_MAXINT32);
  StateDigest digest = {1, 2, 3, 4};
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(Progress) progress = some_progress();
  rpc_call_reply_digest(call, error, &digest, progress);
}

static void on_digest_parts(gpointer ctx, RpcCall *call, guint32 group, const DigestQuery *query)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && query->limit <= G_MAXINT32);
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  DigestPart *part = g_new(DigestPart, 1);
  *part = (DigestPart){g_strdup(query->device != NULL ? query->device : "d"), query->from, {0}};
  g_ptr_array_add(parts, part);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_digest_parts(call, error, parts, query->limit == 1);
}

static void on_config(gpointer ctx, RpcCall *call)
{
  (void)ctx;
  g_autoptr(GPtrArray) entries = some_config();
  rpc_call_reply_config(call, entries);
}

static void on_conflicts(gpointer ctx, RpcCall *call, guint32 group, const ConflictQuery *query)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && query->limit <= G_MAXINT32);
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(ConflictPage) page = conflict_page_new();
  rpc_call_reply_conflicts(call, error, page);
}

static void on_skip(gpointer ctx, RpcCall *call, guint32 group, const Token *entry)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && entry->index >= 1 && entry->log.origin >= 1);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_skip(call, error);
}

static void on_repair(gpointer ctx, RpcCall *call, guint32 group, const RepairQuery *query)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && query->device != NULL);
  g_assert(query->from_node >= 1 && query->from_node <= LIMIT_NODE_ID);
  g_autoptr(GError) error = error_to_answer();
  RepairResult result = {1, 2, query->dry_run};
  rpc_call_reply_repair(call, error, &result);
}

static void on_bucket(gpointer ctx, RpcCall *call, const BucketAsker *asker,
                      const BucketQuery *query)
{
  (void)ctx;
  g_assert(asker->group <= G_MAXINT32 && asker->cluster_id != NULL && query->device != NULL);
  g_assert(asker->node_id >= 1 && asker->node_id <= LIMIT_NODE_ID);
  g_assert(query->after.hlc == 0 || query->after.origin >= 1);
  g_autoptr(BucketPage) page = bucket_page_new();
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_bucket(call, error, page);
}

static void on_tail(gpointer ctx, RpcCall *call, guint32 group, const TailQuery *query)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && query->limit <= G_MAXINT32 && query->wait_ms >= 0);
  g_assert(query->from >= 1 && query->from <= G_MAXINT64 && query->log.origin >= 1);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_tail(call, error, NULL, query->from, 1);
}

static void on_pause(gpointer ctx, RpcCall *call, guint32 group, guint32 node, gboolean paused)
{
  (void)ctx, (void)group, (void)paused;
  g_assert(node >= 1 && node <= LIMIT_NODE_ID);
  rpc_call_reply_pause(call, NULL);
}

static void on_groups(gpointer ctx, RpcCall *call)
{
  (void)ctx;
  g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func((GDestroyNotify)group_info_free);
  GroupInfo *group = g_new0(GroupInfo, 1);
  group->id = 3;
  group->state = g_strdup("serving");
  group->devices = g_strdup("plant1.*");
  g_ptr_array_add(groups, group);
  rpc_call_reply_groups(call, groups);
}

static void on_delete_group(gpointer ctx, RpcCall *call, guint32 group)
{
  (void)ctx;
  g_assert(group <= LIMIT_GROUP_ID);
  rpc_call_reply_delete_group(call, NULL);
}

static void on_forget(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && node >= 1 && node <= LIMIT_NODE_ID);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_forget(call, error);
}

static void on_add_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node,
                          const char *address)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && node >= 1 && node <= LIMIT_NODE_ID);
  g_assert(strlen(address) <= LIMIT_ADDRESS_SIZE);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_add_member(call, error);
}

static void on_remove_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && node >= 1 && node <= LIMIT_NODE_ID);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_remove_member(call, error);
}

static void on_snapshot(gpointer ctx, RpcCall *call, const SnapshotRequest *request)
{
  (void)ctx;
  g_assert(request->group <= G_MAXINT32 && request->requester != 0 && request->id <= G_MAXINT64 &&
           request->node_id <= LIMIT_NODE_ID);
  g_autoptr(GError) error = error_to_answer();
  g_autoptr(Snapshot) snapshot = snapshot_new();
  rpc_call_reply_snapshot(call, error, snapshot);
}

static void on_fragment(gpointer ctx, RpcCall *call, const FragmentRequest *request)
{
  (void)ctx;
  g_assert(request->group <= G_MAXINT32 && request->id >= 1 && request->id <= G_MAXINT64 &&
           request->file <= G_MAXINT32 && request->offset <= G_MAXINT64 && request->size >= 1 &&
           request->size <= SNAPSHOT_FRAGMENT_SIZE);
  g_autoptr(GError) error = error_to_answer();
  SnapshotFragment fragment = {.id = request->id, .data = (const guint8 *)"x", .size = 1};
  rpc_call_reply_fragment(call, error, &fragment);
}

static void on_snapshot_end(gpointer ctx, RpcCall *call, guint32 group, guint64 id)
{
  (void)ctx;
  g_assert(group <= G_MAXINT32 && id >= 1 && id <= G_MAXINT64);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_snapshot_end(call, error);
}

static void on_reseed(gpointer ctx, RpcCall *call, const ReseedRequest *request)
{
  (void)ctx;
  g_assert(request->group <= G_MAXINT32 && request->node_id >= 1 &&
           request->node_id <= LIMIT_NODE_ID && request->from_node_id <= LIMIT_NODE_ID);
  g_autoptr(GError) error = error_to_answer();
  rpc_call_reply_reseed(call, error);
}

static const RpcHandlers handlers = {
    .write = on_write,
    .sync_log = on_sync,
    .handshake = on_handshake,
    .heartbeat = on_heartbeat,
    .query = on_query,
    .last = on_last,
    .aggregate = on_aggregate,
    .series = on_series,
    .info = on_info,
    .status = on_status,
    .digest = on_digest,
    .digest_parts = on_digest_parts,
    .config = on_config,
    .conflicts = on_conflicts,
    .tail = on_tail,
    .forget = on_forget,
    .skip = on_skip,
    .repair = on_repair,
    .bucket = on_bucket,
    .add_member = on_add_member,
    .remove_member = on_remove_member,
    .snapshot = on_snapshot,
    .fragment = on_fragment,
    .snapshot_end = on_snapshot_end,
    .reseed = on_reseed,
    .pause = on_pause,
    .groups = on_groups,
    .delete_group = on_delete_group,
};

/* --- the stream ---------------------------------------------------------------------------------
 */

/* The next frame by the plain rule: what frame_reader_next must say, however the bytes came. */
static FrameVerdict cut(const guint8 *stream, gsize arrived, gsize at, gsize *out_size)
{
  if (arrived - at < FRAME_LENGTH_SIZE)
    return FRAME_NONE;
  *out_size = load_be32(stream + at);
  if (*out_size == 0 || *out_size > MAX_FRAME)
    return FRAME_BAD;
  return arrived - at - FRAME_LENGTH_SIZE < *out_size ? FRAME_NONE : FRAME_READY;
}

/* Notes what the answer must carry, and hands the frame over. */
static void hand_over(ServerLoop *part, RpcConn *conn, guint64 number, Frame *frame)
{
  FrameHeader header = {0};
  HeaderVerdict verdict = frame_header_parse(frame->bytes, frame->size, &header);
  conn->has_header = verdict != HEADER_BROKEN;
  conn->oneway = verdict == HEADER_VALID && header.type == THRIFT_ONEWAY;
  conn->seqid = header.seqid;
  guint answers = conn->answers;
  dispatch_frame(part, conn, number, frame);
  g_assert(conn->answers == answers + 1 && conn->heavy == 0 && frame->chunk == NULL);
}

/* Puts up to `most` bytes where the reader wants them. */
static gsize fill(FrameReader *reader, FramePool *pool, const guint8 *bytes, gsize most)
{
  struct iovec room[2];
  guint pieces = frame_reader_room(reader, pool, room);
  gsize done = 0;
  for (guint i = 0; i < pieces && done < most; i++) {
    gsize n = MIN(room[i].iov_len, most - done);
    memcpy(room[i].iov_base, bytes + done, n);
    done += n;
  }
  frame_reader_filled(reader, pool, done);
  return done;
}

static void run_stream(ServerLoop *part, RpcConn *conn, const guint8 *stream, gsize size,
                       gsize piece)
{
  FramePool pool;
  FrameReader reader;
  FrameBudget *budget = part->server->budget;
  frame_pool_init(&pool, budget);
  frame_reader_init(&reader, MAX_FRAME);
  gsize arrived = 0, at = 0;
  FrameVerdict verdict = FRAME_NONE;
  for (guint64 number = 0; arrived < size && verdict != FRAME_BAD && !conn->closing;) {
    arrived += fill(&reader, &pool, stream + arrived, MIN(piece, size - arrived));
    Frame frame;
    while ((verdict = frame_reader_next(&reader, &pool, &frame)) == FRAME_READY) {
      gsize wanted = 0;
      g_assert(cut(stream, arrived, at, &wanted) == FRAME_READY && frame.size == wanted);
      g_assert(memcmp(frame.bytes, stream + at + FRAME_LENGTH_SIZE, wanted) == 0);
      at += FRAME_LENGTH_SIZE + wanted;
      hand_over(part, conn, number++, &frame);
    }
    gsize wanted = 0;
    g_assert(verdict == cut(stream, arrived, at, &wanted));
    /* Memory in use: what arrived, times what a buffer may grow ahead. */
    g_assert(frame_budget_used(budget) <= FRAME_CHUNK_SIZE + FRAME_GROWTH * (arrived - at + 4096));
  }
  frame_reader_clear(&reader);
  frame_pool_clear(&pool);
  g_assert(frame_budget_used(budget) == 0);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  flat_register_types();
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  gsize piece = options & 2 ? 1 + fuzz_u8(&in) : size + 1;
  g_autoptr(GByteArray) stream = g_byte_array_sized_new(64);
  /* Either the stream itself, or frames whose lengths are put right. */
  while (in.left > 0) {
    gsize part_size;
    if (options & 4) {
      const guint8 *rest = fuzz_take(&in, in.left, &part_size);
      g_byte_array_append(stream, rest, (guint)part_size);
    } else {
      g_autofree guint8 *part = fuzz_part(&in, &part_size);
      seed_number(stream, part_size, 4);
      g_byte_array_append(stream, part, (guint)part_size);
    }
  }
  RpcServer server = {.services = options & 1 ? RPC_PEER_SERVICE : RPC_CLIENT_SERVICES,
                      .handlers = handlers};
  server.budget = frame_budget_new();
  g_mutex_init(&server.lock);
  g_cond_init(&server.answered);
  ServerLoop part = {.server = &server};
  RpcConn conn = {.refs = 1, .kind = options >> 3};
  current = &conn;
  run_stream(&part, &conn, stream->data, stream->len, piece);
  g_assert(conn.refs == 1 && atomic_load(&server.calls) == 0);
  frame_budget_unref(server.budget);
  g_mutex_clear(&server.lock);
  g_cond_clear(&server.answered);
}

/* --- seeds --------------------------------------------------------------------------------------
 */

/* A request with the struct (may be NULL) as its argument; takes it. */
static void add_request(GByteArray *out, const char *method, gint32 seqid, gpointer req)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  ThriftProtocol *protocol = (ThriftProtocol *)flat;
  flat_begin_write(flat);
  thrift_protocol_write_message_begin(protocol, method, T_CALL, seqid, NULL);
  if (req != NULL) {
    thrift_protocol_write_field_begin(protocol, "req", T_STRUCT, 1, NULL);
    g_assert(thrift_struct_write(req, protocol, NULL) >= 0);
    g_object_unref(req);
  }
  thrift_protocol_write_field_stop(protocol, NULL);
  gsize size;
  const guint8 *bytes = flat_written(flat, &size);
  seed_part(out, bytes, size);
}

static GPtrArray *add_token(GPtrArray *tokens)
{
  SlTToken *token = g_object_new(SL_TYPE_T_TOKEN, NULL);
  token->log->origin = 1;
  token->log->incarnation = 17;
  token->index = 3;
  g_ptr_array_add(tokens, token);
  return tokens;
}

static void add_reads(GByteArray *out)
{
  Query query = {.device = "device",
                 .measurements = (const char *const[]){"m", NULL},
                 .end_time = 9,
                 .limit = 5,
                 .page = g_bytes_new_static("0123456789", 10)};
  SlTQueryReq *ranged = g_object_new(SL_TYPE_T_QUERY_REQ, NULL);
  convert_query_to_thrift(&query, 0, NULL, ranged);
  add_token(ranged->tokens);
  ranged->__isset_tokens = TRUE;
  add_request(out, "query", 1, ranged);
  g_bytes_unref(query.page);
  SlTLastReq *last = g_object_new(SL_TYPE_T_LAST_REQ, NULL);
  last->device = g_strdup("device");
  g_ptr_array_add(last->measurements, g_strdup("m"));
  last->__isset_measurements = TRUE;
  add_request(out, "last", 2, last);
  AggregateQuery aggregate = {"device", "m", 0, 100, 10, 7};
  SlTAggregateReq *windows = g_object_new(SL_TYPE_T_AGGREGATE_REQ, NULL);
  convert_aggregate_query_to_thrift(&aggregate, 0, NULL, windows);
  add_request(out, "aggregate", 3, windows);
  SlTSeriesReq *series = g_object_new(SL_TYPE_T_SERIES_REQ, NULL);
  series->prefix = g_strdup("d");
  series->__isset_prefix = TRUE;
  add_request(out, "series", 4, series);
}

static void add_peers(GByteArray *out)
{
  g_autoptr(Progress) progress = some_progress();
  Handshake handshake = {
      PROTOCOL_VERSION, (char *)"cluster", 2, 1, 17, (char *)"ms", 5, 0, progress, 77, 78};
  SlTHandshakeReq *first = g_object_new(SL_TYPE_T_HANDSHAKE_REQ, NULL);
  convert_handshake_to_thrift(&handshake, first);
  add_request(out, "handshake", 1, first);
  Heartbeat heartbeat = {0, 2, progress, 78, 79};
  SlTHeartbeatReq *second = g_object_new(SL_TYPE_T_HEARTBEAT_REQ, NULL);
  convert_heartbeat_to_thrift(&heartbeat, second);
  add_request(out, "heartbeat", 2, second);
}

static SlTWriteReq *some_write(void)
{
  SlTWriteReq *req = g_object_new(SL_TYPE_T_WRITE_REQ, NULL);
  SlTRow *row = g_object_new(SL_TYPE_T_ROW, NULL);
  SlTValue *value = g_object_new(SL_TYPE_T_VALUE, NULL);
  row->device = g_strdup("device");
  value->int32Value = 3;
  value->__isset_int32Value = TRUE;
  g_ptr_array_add(row->measurements, g_strdup("m"));
  g_ptr_array_add(row->values, value);
  g_ptr_array_add(req->content->rows, row);
  req->content->__isset_rows = TRUE;
  return req;
}

static SlTSyncLogReq *some_sync(void)
{
  SlTSyncLogReq *req = g_object_new(SL_TYPE_T_SYNC_LOG_REQ, NULL);
  SlTLogBatch *batch = g_object_new(SL_TYPE_T_LOG_BATCH, NULL);
  req->log->origin = 2;
  req->log->incarnation = 17;
  req->startSyncIndex = req->endSyncIndex = batch->searchIndex = 4;
  batch->data = g_byte_array_append(g_byte_array_new(), (const guint8 *)"data", 4);
  g_ptr_array_add(req->batches, batch);
  return req;
}

void fuzz_seeds(void)
{
  flat_register_types();
  GByteArray *client = g_byte_array_new();
  seed_number(client, 8, 1);
  add_reads(client);
  add_request(client, "write", 5, some_write());
  add_request(client, "info", 6, NULL);
  add_request(client, "unknown", 7, NULL);
  seed_end("client", client);
  GByteArray *admin = g_byte_array_new();
  seed_number(admin, 8, 1);
  add_request(admin, "status", 1, g_object_new(SL_TYPE_T_STATUS_REQ, NULL));
  SlTDigestReq *digest = g_object_new(SL_TYPE_T_DIGEST_REQ, NULL);
  add_token(digest->tokens);
  digest->__isset_tokens = TRUE;
  add_request(admin, "digest", 2, digest);
  add_request(admin, "config", 3, NULL);
  SlTForgetReq *forget = g_object_new(SL_TYPE_T_FORGET_REQ, NULL);
  forget->nodeId = 3;
  add_request(admin, "forget", 4, forget);
  SlTRepairReq *repair = g_object_new(SL_TYPE_T_REPAIR_REQ, NULL);
  repair->fromNode = 3;
  repair->device = g_strdup("device");
  add_request(admin, "repair", 5, repair);
  SlTAddMemberReq *added = g_object_new(SL_TYPE_T_ADD_MEMBER_REQ, NULL);
  added->nodeId = 4;
  added->address = g_strdup("node-4:7671");
  add_request(admin, "addMember", 6, added);
  SlTRemoveMemberReq *removed = g_object_new(SL_TYPE_T_REMOVE_MEMBER_REQ, NULL);
  removed->nodeId = 4;
  add_request(admin, "removeMember", 7, removed);
  SlTSnapshotReq *snapshot = g_object_new(SL_TYPE_T_SNAPSHOT_REQ, NULL);
  snapshot->requester = 5;
  snapshot->clusterId = g_strdup("fuzz");
  snapshot->nodeId = 2;
  snapshot->__isset_clusterId = snapshot->__isset_nodeId = TRUE;
  add_request(admin, "snapshot", 5, snapshot);
  SlTFragmentReq *fragment = g_object_new(SL_TYPE_T_FRAGMENT_REQ, NULL);
  fragment->snapshotId = 7;
  fragment->size = 4096;
  add_request(admin, "fragment", 6, fragment);
  SlTSnapshotEndReq *end = g_object_new(SL_TYPE_T_SNAPSHOT_END_REQ, NULL);
  end->snapshotId = 7;
  add_request(admin, "snapshotEnd", 7, end);
  SlTReseedReq *reseed = g_object_new(SL_TYPE_T_RESEED_REQ, NULL);
  reseed->nodeId = 3;
  add_request(admin, "reseed", 8, reseed);
  SlTSkipReq *skip = g_object_new(SL_TYPE_T_SKIP_REQ, NULL);
  skip->entry->log->origin = 2;
  skip->entry->log->incarnation = 17;
  skip->entry->index = 4;
  add_request(admin, "skip", 9, skip);
  SlTPauseReq *pause = g_object_new(SL_TYPE_T_PAUSE_REQ, NULL);
  pause->nodeId = 3;
  pause->paused = TRUE;
  add_request(admin, "pause", 4, pause);
  add_request(admin, "groups", 1, NULL);
  SlTDeleteGroupReq *gone = g_object_new(SL_TYPE_T_DELETE_GROUP_REQ, NULL);
  gone->consensusGroupId = 3;
  add_request(admin, "deleteGroup", 3, gone);
  seed_end("admin", admin);
  GByteArray *peer = g_byte_array_new();
  seed_number(peer, 9, 1);
  add_peers(peer);
  add_request(peer, "syncLog", 3, some_sync());
  SlTBucketReq *bucket = g_object_new(SL_TYPE_T_BUCKET_REQ, NULL);
  bucket->clusterId = g_strdup("cluster");
  bucket->nodeId = 2;
  bucket->device = g_strdup("device");
  bucket->after->hlc = 7;
  bucket->after->origin = 2;
  bucket->__isset_after = TRUE;
  add_request(peer, "bucket", 4, bucket);
  seed_end("peer", peer);
  GByteArray *pieces = g_byte_array_new();
  seed_number(pieces, 2, 1);
  seed_number(pieces, 6, 1);
  add_reads(pieces);
  seed_end("in-pieces", pieces);
  static const guint8 raw[] = "\4\0\0\0\31\200\1\0\1\0\0\0\4info\0\0\0\1\0";
  fuzz_seed("raw", raw, sizeof raw - 1);
}
