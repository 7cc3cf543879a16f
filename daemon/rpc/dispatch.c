/*
 * From a frame to the handler of its method. write and syncLog go through the hand-written codec;
 * the other methods are decoded by generated code, those of workers on a worker.
 */
#include "base/limits.h"
#include "rpc/convert.h"
#include "rpc/flat.h"
#include "rpc/hot_codec.h"
#include "rpc/server_private.h"

/* Of one list of a request that generated code decodes: logs, tokens, names of measurements. */
enum { MAX_ELEMENTS = 65536 };

typedef struct Method {
  const char *name;
  RpcServices services;
  gboolean on_worker; /* and its reply may be large */
  void (*run)(RpcCall *call);
} Method;

/* Sets the status of a reply and counts it. */
static void put_status(RpcCall *call, const GError *error, SlTStatus *out)
{
  convert_error_to_thrift(error, out);
  call_count_status(call, error == NULL                    ? SYNCLOG_OK
                          : error->domain == SYNCLOG_ERROR ? (SynclogStatus)error->code
                                                           : SYNCLOG_INTERNAL);
}

/* --- decoding -----------------------------------------------------------------------------------
 */

static void refuse_args(RpcCall *call, const char *why)
{
  call_finish_exception(call, call->method->name, strlen(call->method->name),
                        EXCEPTION_PROTOCOL_ERROR, why);
}

/* Reads the struct of arguments, of which field 1 goes to `req` if that is not NULL. */
static gboolean read_args(ThriftProtocol *in, ThriftStruct *req, GError **error)
{
  char *name = NULL;
  gboolean found = FALSE;
  if (thrift_protocol_read_struct_begin(in, &name, error) < 0)
    return FALSE;
  for (;;) {
    ThriftType type;
    gint16 id;
    if (thrift_protocol_read_field_begin(in, &name, &type, &id, error) < 0)
      return FALSE;
    if (type == T_STOP)
      break;
    gboolean wanted = req != NULL && id == 1 && type == T_STRUCT;
    gint32 n = wanted ? thrift_struct_read(req, in, error) : thrift_protocol_skip(in, type, error);
    if (n < 0)
      return FALSE;
    found |= wanted;
  }
  if (thrift_protocol_read_struct_end(in, error) < 0)
    return FALSE;
  if (req != NULL && !found)
    return fail(error, SYNCLOG_INVALID, "malformed arguments: a required field is missing");
  return TRUE;
}

/*
 * Reads the arguments into a new object of `type` (0: the method has none). FALSE when the call was
 * answered with what is wrong with them. The frame is released.
 */
static gboolean decode(RpcCall *call, GType type, gpointer *out_req)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  gpointer req = type != 0 ? g_object_new(type, NULL) : NULL;
  g_autoptr(GError) error = NULL;
  flat_begin_read(flat, call->frame.bytes + call->args_at, call->frame.size - call->args_at);
  flat_limit_elements(flat, MAX_ELEMENTS);
  gboolean ok = read_args((ThriftProtocol *)flat, req, &error);
  if (ok && flat_left(flat) > 0)
    ok = fail(&error, SYNCLOG_INVALID, "malformed arguments: bytes behind them");
  frame_release(&call->frame);
  if (ok) {
    *out_req = req;
    return TRUE;
  }
  g_clear_object(&req);
  refuse_args(call, error != NULL ? error->message : "malformed arguments");
  return FALSE;
}

/* --- encoding -----------------------------------------------------------------------------------
 */

/* Writes the message with the reply as its result; takes the object. */
static void finish_with(RpcCall *call, gpointer object)
{
  const char *name = call->method->name;
  FlatProtocol *flat = flat_protocol_of_thread();
  ThriftProtocol *out = (ThriftProtocol *)flat;
  g_autoptr(GError) error = NULL;
  flat_begin_write(flat);
  gboolean ok = thrift_protocol_write_message_begin(out, name, T_REPLY, call->seqid, &error) >= 0 &&
                thrift_protocol_write_field_begin(out, "success", T_STRUCT, 0, &error) >= 0 &&
                thrift_struct_write(object, out, &error) >= 0 &&
                thrift_protocol_write_field_stop(out, &error) >= 0;
  g_object_unref(object);
  gsize size = 0;
  const guint8 *bytes = flat_written(flat, &size);
  if (!ok || size > LIMIT_FRAME_SIZE) {
    g_warning("no reply to %s: %s", name, ok ? "it is larger than a frame" : error->message);
    call_finish_exception(call, name, strlen(name), EXCEPTION_INTERNAL_ERROR,
                          ok ? "the reply is larger than a frame" : "the reply cannot be encoded");
    return;
  }
  RpcReply *reply = rpc_reply_new(FRAME_LENGTH_SIZE + size);
  guint32 length = GUINT32_TO_BE((guint32)size);
  memcpy(reply->bytes, &length, sizeof length);
  memcpy(reply->bytes + FRAME_LENGTH_SIZE, bytes, size);
  flat_end_write(flat);
  call_finish(call, reply);
}

gboolean dispatch_decode(RpcCall *call, GType type, gpointer *out_req)
{
  return decode(call, type, out_req);
}

void dispatch_finish(RpcCall *call, gpointer object)
{
  finish_with(call, object);
}

/* --- the peer service ----------------------------------------------------------------------------
 */

void rpc_call_reply_handshake(RpcCall *call, const HandshakeReply *reply)
{
  SlTHandshakeReply *out = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_reply_to_thrift(reply, call->group, out);
  finish_with(call, out);
}

static void run_handshake(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_HANDSHAKE_REQ, &req))
    return;
  Handshake handshake = {0};
  g_autoptr(GError) error = NULL;
  gboolean ok = convert_handshake_from_thrift(req, &handshake, &error);
  g_object_unref(req);
  if (!ok) {
    HandshakeReply reply = {.status = SYNCLOG_INVALID, .message = error->message};
    rpc_call_reply_handshake(call, &reply);
    return;
  }
  call->group = handshake.group;
  call->server->handlers.handshake(call->server->ctx, call, &handshake);
  handshake_clear(&handshake);
}

void rpc_call_reply_heartbeat(RpcCall *call, const HeartbeatReply *reply)
{
  SlTHeartbeatReply *out = g_object_new(SL_TYPE_T_HEARTBEAT_REPLY, NULL);
  convert_heartbeat_reply_to_thrift(reply, call->group, out);
  finish_with(call, out);
}

static void run_heartbeat(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_HEARTBEAT_REQ, &req))
    return;
  Heartbeat heartbeat = {0};
  g_autoptr(GError) error = NULL;
  gboolean ok = convert_heartbeat_from_thrift(req, &heartbeat, &error);
  g_object_unref(req);
  if (!ok) {
    HeartbeatReply reply = {.status = SYNCLOG_INVALID, .message = error->message};
    rpc_call_reply_heartbeat(call, &reply);
    return;
  }
  call->group = heartbeat.group;
  call->server->handlers.heartbeat(call->server->ctx, call, &heartbeat);
  heartbeat_clear(&heartbeat);
}

/* --- reads --------------------------------------------------------------------------------------
 */

/* The decoded arguments of a read; lives until the call is answered. */
typedef struct ReadArgs {
  GObject *req; /* holds the strings */
  ReadOptions options;
  const char **measurements;
  union {
    Query query;
    AggregateQuery aggregate;
    DigestQuery digest;
    ConflictQuery conflicts;
    TailQuery tail;
  };
  GBytes *page;
} ReadArgs;

static void read_args_free(gpointer data)
{
  ReadArgs *args = data;
  g_object_unref(args->req);
  g_clear_pointer(&args->options.tokens, g_array_unref);
  g_clear_pointer(&args->page, g_bytes_unref);
  g_free(args->measurements);
  g_free(args);
}

/* Decodes the request into new ReadArgs that the call owns. NULL when the call was answered. */
static ReadArgs *decode_read(RpcCall *call, GType type)
{
  gpointer req = NULL;
  if (!decode(call, type, &req))
    return NULL;
  ReadArgs *args = g_new0(ReadArgs, 1);
  args->req = req;
  call->args = args;
  call->free_args = read_args_free;
  return args;
}

static gboolean set_group(gint32 group, guint32 *out_group, GError **error)
{
  *out_group = (guint32)group;
  return group >= 0 || fail(error, SYNCLOG_INVALID, "consensusGroupId is out of range");
}

/* Where a device says which group is meant, -1 leaves that to the rule. */
static gboolean set_group_or_rule(gint32 group, guint32 *out_group, GError **error)
{
  *out_group = GROUP_BY_RULE;
  return (guint32)group == GROUP_BY_RULE || set_group(group, out_group, error);
}

/* What all reads have in common; the tokens and the timeout are optional fields. */
static gboolean set_options(ReadArgs *args, gint32 group, const GPtrArray *tokens,
                            gboolean has_timeout, gint32 timeout_ms, GError **error)
{
  args->options.timeout_ms = has_timeout ? timeout_ms : -1;
  if (has_timeout && timeout_ms < 0)
    return fail(error, SYNCLOG_INVALID, "timeoutMs is out of range");
  if (!set_group_or_rule(group, &args->options.group, error))
    return FALSE;
  return tokens == NULL || convert_tokens_from_thrift(tokens, &args->options.tokens, error);
}

void rpc_call_reply_query(RpcCall *call, const GError *error, const Table *table)
{
  RpcReply *reply = error == NULL ? hot_query_reply(call->seqid, table) : NULL;
  if (reply != NULL) {
    call_count_status(call, SYNCLOG_OK);
    call_finish(call, reply);
    return;
  }
  SlTQueryReply *out = g_object_new(SL_TYPE_T_QUERY_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_table_to_thrift(table, out);
  finish_with(call, out);
}

static void run_query(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_QUERY_REQ);
  if (args == NULL)
    return;
  const SlTQueryReq *req = (const SlTQueryReq *)args->req;
  g_autoptr(GError) error = NULL;
  gboolean ok = set_options(args, req->consensusGroupId, req->__isset_tokens ? req->tokens : NULL,
                            req->__isset_timeoutMs, req->timeoutMs, &error) &&
                convert_query_from_thrift(req, &args->query, &error);
  if (!ok) {
    rpc_call_reply_query(call, error, NULL);
    return;
  }
  args->measurements = (const char **)args->query.measurements;
  args->page = args->query.page;
  call->server->handlers.query(call->server->ctx, call, &args->options, &args->query);
}

void rpc_call_reply_last(RpcCall *call, const GError *error, const GPtrArray *values)
{
  SlTLastReply *out = g_object_new(SL_TYPE_T_LAST_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_last_to_thrift(values, out);
  finish_with(call, out);
}

static void run_last(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_LAST_REQ);
  if (args == NULL)
    return;
  const SlTLastReq *req = (const SlTLastReq *)args->req;
  g_autoptr(GError) error = NULL;
  if (!set_options(args, req->consensusGroupId, req->__isset_tokens ? req->tokens : NULL,
                   req->__isset_timeoutMs, req->timeoutMs, &error)) {
    rpc_call_reply_last(call, error, NULL);
    return;
  }
  args->measurements = convert_names_from_thrift(req->measurements, req->__isset_measurements);
  call->server->handlers.last(call->server->ctx, call, &args->options, req->device,
                              args->measurements);
}

void rpc_call_reply_aggregate(RpcCall *call, const GError *error, const Aggregate *aggregate)
{
  SlTAggregateReply *out = g_object_new(SL_TYPE_T_AGGREGATE_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_aggregate_to_thrift(aggregate, out);
  finish_with(call, out);
}

static void run_aggregate(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_AGGREGATE_REQ);
  if (args == NULL)
    return;
  const SlTAggregateReq *req = (const SlTAggregateReq *)args->req;
  g_autoptr(GError) error = NULL;
  gboolean ok = set_options(args, req->consensusGroupId, req->__isset_tokens ? req->tokens : NULL,
                            req->__isset_timeoutMs, req->timeoutMs, &error) &&
                convert_aggregate_from_thrift(req, &args->aggregate, &error);
  if (!ok) {
    rpc_call_reply_aggregate(call, error, NULL);
    return;
  }
  call->server->handlers.aggregate(call->server->ctx, call, &args->options, &args->aggregate);
}

void rpc_call_reply_series(RpcCall *call, const GError *error, const GPtrArray *devices,
                           gboolean more, const char *left_out)
{
  SlTSeriesReply *out = g_object_new(SL_TYPE_T_SERIES_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_series_to_thrift(devices, more, out);
  out->leftOut = g_strdup(left_out);
  out->__isset_leftOut = left_out != NULL;
  finish_with(call, out);
}

static void run_series(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_SERIES_REQ);
  if (args == NULL)
    return;
  const SlTSeriesReq *req = (const SlTSeriesReq *)args->req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gboolean ok = set_group_or_rule(req->consensusGroupId, &group, &error);
  if (ok && req->__isset_limit && req->limit < 1)
    ok = fail(&error, SYNCLOG_INVALID, "limit must be 1 or more");
  if (!ok) {
    rpc_call_reply_series(call, error, NULL, FALSE, NULL);
    return;
  }
  call->server->handlers.series(
      call->server->ctx, call, group, req->__isset_prefix ? req->prefix : NULL,
      req->__isset_after ? req->after : NULL, req->__isset_limit ? (guint)req->limit : 0,
      req->__isset_partial && req->partial);
}

void rpc_call_reply_tail(RpcCall *call, const GError *error, const EntryRun *run, guint64 from,
                         guint64 first_available)
{
  SlTTailReply *out = g_object_new(SL_TYPE_T_TAIL_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_tail_to_thrift(run, from, out);
  out->firstAvailable = (gint64)first_available;
  out->__isset_firstAvailable = first_available > 0;
  finish_with(call, out);
}

static void run_tail(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_TAIL_REQ);
  if (args == NULL)
    return;
  const SlTTailReq *req = (const SlTTailReq *)args->req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  if (!set_group(req->consensusGroupId, &group, &error) ||
      !convert_tail_query_from_thrift(req, &args->tail, &error)) {
    rpc_call_reply_tail(call, error, NULL, 0, 0);
    return;
  }
  call->server->handlers.tail(call->server->ctx, call, group, &args->tail);
}

void rpc_call_reply_info(RpcCall *call, const NodeInfo *info)
{
  SlTInfoReply *out = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  convert_error_to_thrift(NULL, out->status);
  convert_info_to_thrift(info, out);
  finish_with(call, out);
}

static void run_info(RpcCall *call)
{
  gpointer none;
  if (decode(call, 0, &none))
    call->server->handlers.info(call->server->ctx, call);
}

/* --- the admin service ---------------------------------------------------------------------------
 */

void rpc_call_reply_status(RpcCall *call, const GError *error, const NodeStatus *status)
{
  SlTStatusReply *out = g_object_new(SL_TYPE_T_STATUS_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL) {
    convert_node_status_to_thrift(status, out->node);
    out->__isset_node = TRUE;
  }
  finish_with(call, out);
}

static void run_status(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_STATUS_REQ, &req))
    return;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gboolean ok = set_group(((SlTStatusReq *)req)->consensusGroupId, &group, &error);
  g_object_unref(req);
  if (ok)
    call->server->handlers.status(call->server->ctx, call, group);
  else
    rpc_call_reply_status(call, error, NULL);
}

void rpc_call_reply_digest(RpcCall *call, const GError *error, const StateDigest *digest,
                           const Progress *progress)
{
  SlTDigestReply *out = g_object_new(SL_TYPE_T_DIGEST_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_digest_to_thrift(digest, progress, out);
  finish_with(call, out);
}

static void run_digest(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_DIGEST_REQ);
  if (args == NULL)
    return;
  const SlTDigestReq *req = (const SlTDigestReq *)args->req;
  g_autoptr(GError) error = NULL;
  guint32 group; /* no rule finds it: there is no device */
  if (!set_group(req->consensusGroupId, &group, &error) ||
      !set_options(args, req->consensusGroupId, req->__isset_tokens ? req->tokens : NULL,
                   req->__isset_timeoutMs, req->timeoutMs, &error)) {
    rpc_call_reply_digest(call, error, NULL, NULL);
    return;
  }
  call->server->handlers.digest(call->server->ctx, call, &args->options);
}

void rpc_call_reply_digest_parts(RpcCall *call, const GError *error, const GPtrArray *parts,
                                 gboolean more)
{
  SlTDigestPartsReply *out = g_object_new(SL_TYPE_T_DIGEST_PARTS_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_digest_parts_to_thrift(parts, more, out);
  finish_with(call, out);
}

static void run_digest_parts(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_DIGEST_PARTS_REQ);
  if (args == NULL)
    return;
  const SlTDigestPartsReq *req = (const SlTDigestPartsReq *)args->req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gboolean ok = set_group(req->consensusGroupId, &group, &error);
  if (ok && req->__isset_limit && req->limit < 1)
    ok = fail(&error, SYNCLOG_INVALID, "limit must be 1 or more");
  if (!ok) {
    rpc_call_reply_digest_parts(call, error, NULL, FALSE);
    return;
  }
  args->digest = (DigestQuery){.cut = req->__isset_atHlc ? (guint64)req->atHlc : G_MAXUINT64,
                               .device = req->__isset_device ? req->device : NULL,
                               .after = req->__isset_after ? req->after : NULL,
                               .from = req->__isset_fromTime ? req->fromTime : G_MININT64,
                               .limit = req->__isset_limit ? (guint)req->limit : 0};
  call->server->handlers.digest_parts(call->server->ctx, call, group, &args->digest);
}

void rpc_call_reply_conflicts(RpcCall *call, const GError *error, const ConflictPage *page)
{
  SlTConflictsReply *out = g_object_new(SL_TYPE_T_CONFLICTS_REPLY, NULL);
  put_status(call, error, out->status);
  if (error == NULL)
    convert_conflicts_to_thrift(page, out);
  finish_with(call, out);
}

static void run_conflicts(RpcCall *call)
{
  ReadArgs *args = decode_read(call, SL_TYPE_T_CONFLICTS_REQ);
  if (args == NULL)
    return;
  const SlTConflictsReq *req = (const SlTConflictsReq *)args->req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gboolean ok = set_group(req->consensusGroupId, &group, &error);
  if (ok && req->__isset_limit && req->limit < 1)
    ok = fail(&error, SYNCLOG_INVALID, "limit must be 1 or more");
  if (ok && req->__isset_afterSequence && req->afterSequence < 0)
    ok = fail(&error, SYNCLOG_INVALID, "afterSequence is out of range");
  if (!ok) {
    rpc_call_reply_conflicts(call, error, NULL);
    return;
  }
  args->conflicts =
      (ConflictQuery){.after = req->__isset_afterSequence ? (guint64)req->afterSequence : 0,
                      .limit = req->__isset_limit ? (guint)req->limit : 0,
                      .device = req->__isset_device ? req->device : NULL};
  call->server->handlers.conflicts(call->server->ctx, call, group, &args->conflicts);
}

void rpc_call_reply_config(RpcCall *call, const GPtrArray *entries)
{
  SlTConfigReply *out = g_object_new(SL_TYPE_T_CONFIG_REPLY, NULL);
  convert_error_to_thrift(NULL, out->status);
  convert_config_to_thrift(entries, out);
  finish_with(call, out);
}

static void run_config(RpcCall *call)
{
  gpointer none;
  if (decode(call, 0, &none))
    call->server->handlers.config(call->server->ctx, call);
}

void rpc_call_reply_forget(RpcCall *call, const GError *error)
{
  SlTForgetReply *out = g_object_new(SL_TYPE_T_FORGET_REPLY, NULL);
  put_status(call, error, out->status);
  finish_with(call, out);
}

static void run_forget(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_FORGET_REQ, &req))
    return;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gint32 node = ((SlTForgetReq *)req)->nodeId;
  gboolean ok = set_group(((SlTForgetReq *)req)->consensusGroupId, &group, &error);
  g_object_unref(req);
  if (ok && (node < 1 || node > LIMIT_NODE_ID))
    ok = fail(&error, SYNCLOG_INVALID, "nodeId is out of range");
  if (ok)
    call->server->handlers.forget(call->server->ctx, call, group, (guint32)node);
  else
    rpc_call_reply_forget(call, error);
}

void rpc_call_reply_add_member(RpcCall *call, const GError *error)
{
  SlTAddMemberReply *out = g_object_new(SL_TYPE_T_ADD_MEMBER_REPLY, NULL);
  put_status(call, error, out->status);
  finish_with(call, out);
}

/* The group and the node of a request about a member. */
static gboolean check_member(gint32 thrift_group, gint32 node, guint32 *out_group, GError **error)
{
  if (!set_group(thrift_group, out_group, error))
    return FALSE;
  return (node >= 1 && node <= LIMIT_NODE_ID) ||
         fail(error, SYNCLOG_INVALID, "nodeId is out of range");
}

static void run_add_member(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_ADD_MEMBER_REQ, &req))
    return;
  g_autoptr(GObject) owned = req;
  const SlTAddMemberReq *in = req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  gboolean ok = check_member(in->consensusGroupId, in->nodeId, &group, &error);
  if (ok && strlen(in->address) > LIMIT_ADDRESS_SIZE)
    ok = fail(&error, SYNCLOG_INVALID, "address is too long");
  if (ok)
    call->server->handlers.add_member(call->server->ctx, call, group, (guint32)in->nodeId,
                                      in->address);
  else
    rpc_call_reply_add_member(call, error);
}

void rpc_call_reply_remove_member(RpcCall *call, const GError *error)
{
  SlTRemoveMemberReply *out = g_object_new(SL_TYPE_T_REMOVE_MEMBER_REPLY, NULL);
  put_status(call, error, out->status);
  finish_with(call, out);
}

static void run_remove_member(RpcCall *call)
{
  gpointer req = NULL;
  if (!decode(call, SL_TYPE_T_REMOVE_MEMBER_REQ, &req))
    return;
  g_autoptr(GObject) owned = req;
  const SlTRemoveMemberReq *in = req;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  if (check_member(in->consensusGroupId, in->nodeId, &group, &error))
    call->server->handlers.remove_member(call->server->ctx, call, group, (guint32)in->nodeId);
  else
    rpc_call_reply_remove_member(call, error);
}

/* --- the way to a method -------------------------------------------------------------------------
 */

static void run_write(ServerLoop *part, RpcCall *call)
{
  WriteRequest request;
  g_autoptr(GError) error = NULL;
  switch (hot_write_parse(call->frame.bytes + call->args_at, call->frame.size - call->args_at,
                          &request, &error)) {
  case HOT_VALID:
    part->hot = TRUE;
    part->server->handlers.write(part->server->ctx, call, &request);
    break;
  case HOT_REFUSED:
    rpc_call_reply_write(call, (SynclogStatus)error->code, error->message, NULL);
    break;
  case HOT_BROKEN:
    call_finish_exception(call, "write", strlen("write"), EXCEPTION_PROTOCOL_ERROR, error->message);
    break;
  }
}

static void run_sync(ServerLoop *part, RpcCall *call)
{
  SyncLogRequest request;
  g_autoptr(GError) error = NULL;
  SyncReply reply = {0};
  switch (hot_sync_parse(call->frame.bytes + call->args_at, call->frame.size - call->args_at,
                         &request, &error)) {
  case HOT_VALID:
    part->hot = TRUE;
    part->server->handlers.sync_log(part->server->ctx, call, &request);
    break;
  case HOT_REFUSED:
    reply.status = (SynclogStatus)error->code;
    reply.message = error->message;
    rpc_call_reply_sync(call, &reply);
    break;
  case HOT_BROKEN:
    call_finish_exception(call, "syncLog", strlen("syncLog"), EXCEPTION_PROTOCOL_ERROR,
                          error->message);
    break;
  }
}

static const Method methods[] = {
    {"query", RPC_CLIENT_SERVICES, TRUE, run_query},
    {"last", RPC_CLIENT_SERVICES, TRUE, run_last},
    {"aggregate", RPC_CLIENT_SERVICES, TRUE, run_aggregate},
    {"series", RPC_CLIENT_SERVICES, TRUE, run_series},
    {"tail", RPC_CLIENT_SERVICES, TRUE, run_tail},
    {"info", RPC_CLIENT_SERVICES, FALSE, run_info},
    {"status", RPC_CLIENT_SERVICES, TRUE, run_status},
    {"digest", RPC_CLIENT_SERVICES, TRUE, run_digest},
    {"digestParts", RPC_CLIENT_SERVICES, TRUE, run_digest_parts},
    {"conflicts", RPC_CLIENT_SERVICES, TRUE, run_conflicts},
    {"config", RPC_CLIENT_SERVICES, TRUE, run_config},
    {"forget", RPC_CLIENT_SERVICES, TRUE, run_forget},
    {"skip", RPC_CLIENT_SERVICES, TRUE, dispatch_skip},
    {"repair", RPC_CLIENT_SERVICES, TRUE, dispatch_repair},
    {"bucket", RPC_PEER_SERVICE, TRUE, dispatch_bucket},
    {"addMember", RPC_CLIENT_SERVICES, TRUE, run_add_member},
    {"removeMember", RPC_CLIENT_SERVICES, TRUE, run_remove_member},
    {"snapshot", RPC_CLIENT_SERVICES, TRUE, dispatch_snapshot},
    {"fragment", RPC_CLIENT_SERVICES, TRUE, dispatch_fragment},
    {"snapshotEnd", RPC_CLIENT_SERVICES, TRUE, dispatch_snapshot_end},
    {"reseed", RPC_CLIENT_SERVICES, TRUE, dispatch_reseed},
    {"pause", RPC_CLIENT_SERVICES, TRUE, dispatch_pause},
    {"groups", RPC_CLIENT_SERVICES, TRUE, dispatch_groups},
    {"deleteGroup", RPC_CLIENT_SERVICES, TRUE, dispatch_delete_group},
    {"handshake", RPC_PEER_SERVICE, FALSE, run_handshake},
    {"heartbeat", RPC_PEER_SERVICE, FALSE, run_heartbeat},
    {"snapshot", RPC_PEER_SERVICE, TRUE, dispatch_snapshot},
    {"fragment", RPC_PEER_SERVICE, TRUE, dispatch_fragment},
    {"snapshotEnd", RPC_PEER_SERVICE, TRUE, dispatch_snapshot_end},
    {"reseed", RPC_PEER_SERVICE, TRUE, dispatch_reseed},
};

static const Method *find_method(RpcServices services, const FrameHeader *header)
{
  for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
    if (methods[i].services == services && frame_header_is(header, methods[i].name))
      return &methods[i];
  }
  return NULL;
}

/* What may be asked on the connections that are kept for operators. */
static gboolean is_for_operators(const FrameHeader *header)
{
  static const char *const names[] = {
      "info", "status", "digest",    "digestParts",  "conflicts", "config", "forget",
      "skip", "repair", "addMember", "removeMember", "reseed",    "groups"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++)
    if (frame_header_is(header, names[i]))
      return TRUE;
  return FALSE;
}

static void run_on_worker(gpointer data)
{
  RpcCall *call = data;
  call->method->run(call);
}

static void run_method(RpcCall *call, const FrameHeader *header)
{
  call->method = find_method(call->server->services, header);
  if (call->method == NULL) {
    call_finish_exception(call, header->name, header->name_size, EXCEPTION_UNKNOWN_METHOD,
                          "unknown method");
    return;
  }
  if (!call->method->on_worker) {
    call->method->run(call);
    return;
  }
  call->flags |= CONN_HEAVY;
  conn_add_heavy(call->conn);
  rpc_loops_work(call->server->loops, run_on_worker, call);
}

void dispatch_frame(ServerLoop *part, RpcConn *conn, guint64 number, Frame *frame)
{
  RpcCall *call = call_new(part, conn, number, frame);
  FrameHeader header;
  HeaderVerdict verdict = frame_header_parse(call->frame.bytes, call->frame.size, &header);
  if (verdict == HEADER_BROKEN) {
    conn_note_closing(conn, "no Thrift message");
    call->flags |= CONN_CLOSE;
    call_finish(call, NULL);
    return;
  }
  call->seqid = header.seqid;
  if (verdict == HEADER_REFUSED) {
    call_finish_exception(call, "", 0, EXCEPTION_PROTOCOL_ERROR, "no call of a method");
    return;
  }
  call->oneway = header.type == THRIFT_ONEWAY;
  call->args_at = header.size;
  if (conn_is_reserved(conn) && !is_for_operators(&header)) {
    conn_note_closing(conn, "max_connections are taken, the rest is for operators' requests");
    call->flags |= CONN_CLOSE;
    call_finish(call, NULL);
    return;
  }
  gboolean for_clients = part->server->services == RPC_CLIENT_SERVICES;
  if (for_clients && frame_header_is(&header, "write"))
    run_write(part, call);
  else if (!for_clients && frame_header_is(&header, "syncLog"))
    run_sync(part, call);
  else
    run_method(call, &header);
}
