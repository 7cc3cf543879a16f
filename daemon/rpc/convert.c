/* What all services share, and the peer service. */
#include "rpc/convert.h"

#include "base/limits.h"

#include <string.h>

static gboolean bad(GError **error, const char *field)
{
  return fail(error, SYNCLOG_INVALID, "%s is out of range", field);
}

void convert_status_to_thrift(int code, const char *message, SlTStatus *out)
{
  out->code = (SlTStatusCode)code;
  out->retryable = synclog_status_retryable(code);
  out->retryAfterMs = synclog_status_retry_after_ms(code);
  out->__isset_retryAfterMs = out->retryAfterMs > 0;
  if (code == SYNCLOG_OK)
    return;
  out->message = g_strdup(message != NULL ? message : synclog_status_text(code));
  out->__isset_message = TRUE;
}

void convert_error_to_thrift(const GError *error, SlTStatus *out)
{
  if (error == NULL)
    convert_status_to_thrift(SYNCLOG_OK, NULL, out);
  else
    convert_status_to_thrift(error->domain == SYNCLOG_ERROR ? error->code : SYNCLOG_INTERNAL,
                             error->message, out);
}

/* Whoever answers at an address may say whatever he likes, but not at any length. What is cut may
 * be the middle of a character. */
static char *message_from(const SlTStatus *status)
{
  if (!status->__isset_message)
    return NULL;
  return g_utf8_make_valid(status->message, (gssize)strnlen(status->message, LIMIT_MESSAGE_SIZE));
}

gboolean convert_status_from_thrift(const SlTStatus *status, SynclogStatus *out_code,
                                    char **out_message, GError **error)
{
  if ((int)status->code < SYNCLOG_OK || (int)status->code > SYNCLOG_STATUS_LAST)
    return bad(error, "status.code");
  *out_code = (SynclogStatus)status->code;
  *out_message = message_from(status);
  return TRUE;
}

gboolean convert_check_status(const SlTStatus *status, GError **error)
{
  SynclogStatus code = SYNCLOG_OK;
  g_autofree char *message = NULL;
  if (!convert_status_from_thrift(status, &code, &message, error))
    return FALSE;
  if (code == SYNCLOG_OK)
    return TRUE;
  fail(error, code, "%s", message != NULL ? message : synclog_status_text(code));
  if (error != NULL)
    synclog_error_set_answered(*error);
  return FALSE;
}

static void log_id_to_thrift(LogId id, SlTLogId *out)
{
  out->origin = (gint32)id.origin;
  out->incarnation = (gint64)id.incarnation;
}

gboolean convert_log_id_from_thrift(const SlTLogId *id, LogId *out, GError **error)
{
  if (id->origin < 1 || id->origin > LIMIT_NODE_ID)
    return bad(error, "log.origin");
  if (id->incarnation < 1)
    return bad(error, "log.incarnation");
  *out = (LogId){(guint32)id->origin, (guint64)id->incarnation};
  return TRUE;
}

void convert_log_progress_to_thrift(const LogProgress *progress, SlTLogProgress *out)
{
  log_id_to_thrift(progress->log, out->log);
  out->received = (gint64)progress->received;
  out->durable = (gint64)progress->durable;
  out->applied = (gint64)progress->applied;
  out->firstAvailable = (gint64)progress->first_available;
  out->appliedHlc = (gint64)progress->applied_hlc;
  if (progress->digest_index > 0) {
    out->digest = (gint64)progress->digest;
    out->digestIndex = (gint64)progress->digest_index;
    out->__isset_digest = out->__isset_digestIndex = TRUE;
  }
}

gboolean convert_log_progress_from_thrift(const SlTLogProgress *in, LogProgress *out,
                                          GError **error)
{
  if (!convert_log_id_from_thrift(in->log, &out->log, error))
    return FALSE;
  if (in->received < 0 || in->durable < 0 || in->applied < 0 || in->firstAvailable < 0)
    return bad(error, "progress");
  out->received = (guint64)in->received;
  out->durable = (guint64)in->durable;
  out->applied = (guint64)in->applied;
  out->first_available = (guint64)in->firstAvailable;
  out->applied_hlc = (guint64)in->appliedHlc;
  if (in->__isset_digest && in->__isset_digestIndex && in->digestIndex > 0) {
    out->digest = (guint64)in->digest;
    out->digest_index = (guint64)in->digestIndex;
  }
  return TRUE;
}

void convert_progress_to_thrift(const Progress *progress, guint32 group, SlTGroupProgress *out)
{
  out->consensusGroupId = (gint32)group;
  for (guint i = 0; i < progress->logs->len; i++) {
    SlTLogProgress *log = g_object_new(SL_TYPE_T_LOG_PROGRESS, NULL);
    convert_log_progress_to_thrift(&g_array_index(progress->logs, LogProgress, i), log);
    g_ptr_array_add(out->logs, log);
  }
  out->promisedHlc = (gint64)progress->promised_hlc;
  out->__isset_promisedHlc = progress->promised_hlc != 0;
  out->wallMs = (gint64)progress->wall_ms;
  out->__isset_wallMs = progress->wall_ms != 0;
  out->horizon = (gint64)progress->horizon;
  out->__isset_horizon = progress->horizon != 0;
  out->checkedHlc = (gint64)progress->checked_hlc;
  out->checkedDigest = (gint64)progress->checked_digest;
  out->__isset_checkedHlc = out->__isset_checkedDigest = progress->checked_hlc != 0;
  out->__isset_wanted = progress->wanted != NULL;
  for (guint i = 0; progress->wanted != NULL && i < progress->wanted->len; i++) {
    SlTLogId *id = g_object_new(SL_TYPE_T_LOG_ID, NULL);
    log_id_to_thrift(g_array_index(progress->wanted, LogId, i), id);
    g_ptr_array_add(out->wanted, id);
  }
  out->__isset_forgotten = progress->forgotten != NULL;
  if (progress->forgotten != NULL)
    g_array_append_vals(out->forgotten, progress->forgotten->data, progress->forgotten->len);
  out->__isset_members = progress->members != NULL;
  if (progress->members != NULL)
    convert_members_to_thrift(progress->members, out->members);
}

void convert_members_to_thrift(const GPtrArray *members, GPtrArray *out)
{
  for (guint i = 0; i < members->len; i++) {
    const Member *member = members->pdata[i];
    SlTMember *one = g_object_new(SL_TYPE_T_MEMBER, NULL);
    one->nodeId = (gint32)member->id;
    one->state = (SlTMemberState)member->state;
    one->address = g_strdup(member->address);
    one->__isset_address = member->address != NULL;
    g_ptr_array_add(out, one);
  }
}

/* Some text without blanks: what a name server or the system makes of it is another question. */
static gboolean is_address(const char *text)
{
  gsize size = strlen(text);
  if (size == 0 || size > LIMIT_ADDRESS_SIZE || strchr(text, ':') == NULL)
    return FALSE;
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isgraph(text[i]) || text[i] == ';')
      return FALSE;
  return TRUE;
}

GPtrArray *convert_members_from_thrift(const GPtrArray *in, GError **error)
{
  if (in->len > LIMIT_KNOWN_MEMBERS) {
    bad(error, "number of members");
    return NULL;
  }
  g_autoptr(GPtrArray) members = member_list_new();
  gint32 last = 0;
  for (guint i = 0; i < in->len; i++) {
    const SlTMember *one = in->pdata[i];
    gboolean has_address = one->__isset_address && one->address != NULL;
    if (one->nodeId <= last || one->nodeId > LIMIT_NODE_ID ||
        one->state < SL_T_MEMBER_STATE_JOINING || one->state > SL_T_MEMBER_STATE_LOST ||
        (has_address && !is_address(one->address))) {
      bad(error, "member");
      return NULL;
    }
    last = one->nodeId;
    member_list_add(members, (guint32)one->nodeId, (MemberState)one->state,
                    has_address ? one->address : NULL);
  }
  return g_steal_pointer(&members);
}

/* What is not of one log. */
static gboolean general_from_thrift(const SlTGroupProgress *in, Progress *out, GError **error)
{
  out->promised_hlc = in->__isset_promisedHlc ? (guint64)in->promisedHlc : 0;
  out->wall_ms = in->__isset_wallMs ? (guint64)MAX(in->wallMs, 0) : 0;
  out->horizon = in->__isset_horizon ? (guint64)in->horizon : 0;
  if (in->__isset_checkedHlc && in->__isset_checkedDigest) {
    out->checked_hlc = (guint64)in->checkedHlc;
    out->checked_digest = (guint64)in->checkedDigest;
  }
  if (in->__isset_wanted) {
    if (in->wanted->len > LIMIT_LOGS)
      return bad(error, "number of wanted logs");
    out->wanted = g_array_new(FALSE, FALSE, sizeof(LogId));
    for (guint i = 0; i < in->wanted->len; i++) {
      LogId id;
      if (!convert_log_id_from_thrift(in->wanted->pdata[i], &id, error))
        return FALSE;
      g_array_append_val(out->wanted, id);
    }
  }
  if (in->__isset_forgotten) {
    if (in->forgotten->len > LIMIT_KNOWN_MEMBERS)
      return bad(error, "number of forgotten members");
    out->forgotten = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_array_append_vals(out->forgotten, in->forgotten->data, in->forgotten->len);
  }
  if (in->__isset_members) {
    out->members = convert_members_from_thrift(in->members, error);
    return out->members != NULL;
  }
  return TRUE;
}

Progress *convert_progress_from_thrift(const SlTGroupProgress *in, GError **error)
{
  if (in->logs->len > LIMIT_LOGS) {
    bad(error, "number of logs");
    return NULL;
  }
  g_autoptr(Progress) progress = progress_new();
  for (guint i = 0; i < in->logs->len; i++) {
    LogProgress log = {0};
    if (!convert_log_progress_from_thrift(in->logs->pdata[i], &log, error))
      return NULL;
    *progress_put(progress, log.log) = log;
  }
  if (!general_from_thrift(in, progress, error))
    return NULL;
  return g_steal_pointer(&progress);
}

gboolean convert_token_from_thrift(const SlTToken *in, Token *out, GError **error)
{
  Token token = {.index = (guint64)in->index};
  if (!convert_log_id_from_thrift(in->log, &token.log, error))
    return FALSE;
  if (in->index < 0)
    return bad(error, "token.index");
  if (in->__isset_consensusGroupId) {
    if (in->consensusGroupId < 0 || in->consensusGroupId > LIMIT_GROUP_ID)
      return bad(error, "token.consensusGroupId");
    token.group = (guint32)in->consensusGroupId;
  }
  *out = token;
  return TRUE;
}

gboolean convert_tokens_from_thrift(const GPtrArray *tokens, GArray **out, GError **error)
{
  *out = NULL;
  if (tokens == NULL || tokens->len == 0)
    return TRUE;
  if (tokens->len > LIMIT_TOKENS)
    return bad(error, "number of tokens");
  g_autoptr(GArray) result = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; i < tokens->len; i++) {
    const SlTToken *in = tokens->pdata[i];
    Token token;
    if (!convert_token_from_thrift(in, &token, error))
      return FALSE;
    g_array_append_val(result, token);
  }
  *out = g_steal_pointer(&result);
  return TRUE;
}

void convert_tokens_to_thrift(const GArray *tokens, GPtrArray *out)
{
  for (guint i = 0; tokens != NULL && i < tokens->len; i++) {
    const Token *token = &g_array_index(tokens, Token, i);
    SlTToken *one = g_object_new(SL_TYPE_T_TOKEN, NULL);
    log_id_to_thrift(token->log, one->log);
    one->index = (gint64)token->index;
    one->consensusGroupId = (gint32)token->group;
    one->__isset_consensusGroupId = token->group != 0;
    g_ptr_array_add(out, one);
  }
}

void convert_value_to_thrift(const Value *value, SlTValue *out)
{
  switch (value->type) {
  case DATA_BOOLEAN:
    out->booleanValue = value->boolean;
    out->__isset_booleanValue = TRUE;
    return;
  case DATA_INT32:
    out->int32Value = value->int32;
    out->__isset_int32Value = TRUE;
    return;
  case DATA_INT64:
    out->int64Value = value->int64;
    out->__isset_int64Value = TRUE;
    return;
  case DATA_FLOAT:
    out->floatValue = value->float32;
    out->__isset_floatValue = TRUE;
    return;
  case DATA_DOUBLE:
    out->doubleValue = value->float64;
    out->__isset_doubleValue = TRUE;
    return;
  case DATA_TEXT:
    out->textValue = g_strndup(value->text.bytes, value->text.size);
    out->__isset_textValue = TRUE;
    return;
  }
}

gboolean convert_value_from_thrift(const SlTValue *in, DataType type, Value *out, GError **error)
{
  *out = (Value){.type = type};
  switch (type) {
  case DATA_BOOLEAN:
    out->boolean = in->booleanValue;
    return in->__isset_booleanValue || bad(error, "value");
  case DATA_INT32:
    out->int32 = in->int32Value;
    return in->__isset_int32Value || bad(error, "value");
  case DATA_INT64:
    out->int64 = in->int64Value;
    return in->__isset_int64Value || bad(error, "value");
  case DATA_FLOAT:
    out->float32 = (float)in->floatValue;
    return in->__isset_floatValue || bad(error, "value");
  case DATA_DOUBLE:
    out->float64 = in->doubleValue;
    return in->__isset_doubleValue || bad(error, "value");
  case DATA_TEXT:
    if (!in->__isset_textValue || in->textValue == NULL)
      return bad(error, "value");
    out->text.bytes = g_strdup(in->textValue);
    out->text.size = strlen(in->textValue);
    return TRUE;
  }
  return bad(error, "type");
}

/* --- peer service -------------------------------------------------------------------------------
 */

static gboolean node_id_in_range(gint32 id)
{
  return id >= 1 && id <= LIMIT_NODE_ID;
}

void convert_handshake_to_thrift(const Handshake *handshake, SlTHandshakeReq *out)
{
  out->protocolVersion = (gint32)handshake->protocol_version;
  out->clusterId = g_strdup(handshake->cluster_id);
  out->nodeId = (gint32)handshake->node_id;
  out->targetNodeId = (gint32)handshake->target_node_id;
  out->incarnation = (gint64)handshake->incarnation;
  out->timePrecision = g_strdup(handshake->time_precision);
  out->maxPendingBatch = (gint32)handshake->max_pending_batch;
  convert_progress_to_thrift(handshake->progress, handshake->group, out->progress);
  out->hlc = (gint64)handshake->hlc;
  out->ruleHash = (gint64)handshake->rule_hash;
  out->__isset_ruleHash = handshake->rule_hash != 0;
}

gboolean convert_handshake_from_thrift(const SlTHandshakeReq *req, Handshake *out, GError **error)
{
  *out = (Handshake){0};
  if (!node_id_in_range(req->nodeId) || !node_id_in_range(req->targetNodeId))
    return bad(error, "nodeId");
  if (req->incarnation < 1)
    return bad(error, "incarnation");
  if (req->maxPendingBatch < 1)
    return bad(error, "maxPendingBatch");
  if (req->progress->consensusGroupId < 0)
    return bad(error, "consensusGroupId");
  out->progress = convert_progress_from_thrift(req->progress, error);
  if (out->progress == NULL)
    return FALSE;
  out->protocol_version = (guint32)req->protocolVersion;
  out->cluster_id = g_strdup(req->clusterId);
  out->node_id = (guint32)req->nodeId;
  out->target_node_id = (guint32)req->targetNodeId;
  out->incarnation = (guint64)req->incarnation;
  out->time_precision = g_strdup(req->timePrecision);
  out->max_pending_batch = (guint)req->maxPendingBatch;
  out->group = (guint32)req->progress->consensusGroupId;
  out->hlc = (guint64)req->hlc;
  out->rule_hash = req->__isset_ruleHash ? (guint64)req->ruleHash : 0;
  return TRUE;
}

void convert_handshake_reply_to_thrift(const HandshakeReply *reply, guint32 group,
                                       SlTHandshakeReply *out)
{
  convert_status_to_thrift(reply->status, reply->message, out->status);
  out->nodeId = (gint32)reply->node_id;
  out->__isset_nodeId = TRUE;
  out->incarnation = (gint64)reply->incarnation;
  out->__isset_incarnation = TRUE;
  if (reply->progress == NULL)
    return;
  convert_progress_to_thrift(reply->progress, group, out->progress);
  out->__isset_progress = TRUE;
  out->maxFrameSize = (gint32)MIN(reply->max_frame_size, G_MAXINT32);
  out->__isset_maxFrameSize = TRUE;
  out->hlc = (gint64)reply->hlc;
  out->__isset_hlc = TRUE;
}

gboolean convert_handshake_reply_from_thrift(const SlTHandshakeReply *reply, HandshakeReply *out,
                                             GError **error)
{
  *out = (HandshakeReply){0};
  if (!convert_status_from_thrift(reply->status, &out->status, &out->message, error))
    return FALSE;
  if (out->status != SYNCLOG_OK)
    return TRUE;
  if (!node_id_in_range(reply->nodeId) || reply->incarnation < 1 || reply->maxFrameSize < 1 ||
      !reply->__isset_progress)
    return bad(error, "handshake reply");
  out->progress = convert_progress_from_thrift(reply->progress, error);
  if (out->progress == NULL)
    return FALSE;
  out->node_id = (guint32)reply->nodeId;
  out->incarnation = (guint64)reply->incarnation;
  out->max_frame_size = (gsize)reply->maxFrameSize;
  out->hlc = (guint64)reply->hlc;
  return TRUE;
}

void convert_heartbeat_to_thrift(const Heartbeat *heartbeat, SlTHeartbeatReq *out)
{
  out->nodeId = (gint32)heartbeat->node_id;
  convert_progress_to_thrift(heartbeat->progress, heartbeat->group, out->progress);
  out->hlc = (gint64)heartbeat->hlc;
  out->ruleHash = (gint64)heartbeat->rule_hash;
  out->__isset_ruleHash = heartbeat->rule_hash != 0;
}

gboolean convert_heartbeat_from_thrift(const SlTHeartbeatReq *req, Heartbeat *out, GError **error)
{
  *out = (Heartbeat){0};
  if (!node_id_in_range(req->nodeId))
    return bad(error, "nodeId");
  if (req->progress->consensusGroupId < 0)
    return bad(error, "consensusGroupId");
  out->progress = convert_progress_from_thrift(req->progress, error);
  if (out->progress == NULL)
    return FALSE;
  out->group = (guint32)req->progress->consensusGroupId;
  out->node_id = (guint32)req->nodeId;
  out->hlc = (guint64)req->hlc;
  out->rule_hash = req->__isset_ruleHash ? (guint64)req->ruleHash : 0;
  return TRUE;
}

void convert_heartbeat_reply_to_thrift(const HeartbeatReply *reply, guint32 group,
                                       SlTHeartbeatReply *out)
{
  convert_status_to_thrift(reply->status, reply->message, out->status);
  if (reply->progress == NULL)
    return;
  convert_progress_to_thrift(reply->progress, group, out->progress);
  out->__isset_progress = TRUE;
  out->hlc = (gint64)reply->hlc;
  out->__isset_hlc = TRUE;
}

gboolean convert_heartbeat_reply_from_thrift(const SlTHeartbeatReply *reply, HeartbeatReply *out,
                                             GError **error)
{
  *out = (HeartbeatReply){0};
  if (!convert_status_from_thrift(reply->status, &out->status, &out->message, error))
    return FALSE;
  if (out->status != SYNCLOG_OK)
    return TRUE;
  out->progress = convert_progress_from_thrift(reply->progress, error);
  if (out->progress == NULL)
    return FALSE;
  out->hlc = (guint64)reply->hlc;
  return TRUE;
}
