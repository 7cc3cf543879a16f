/* Mending: leaving out an entry, repairing a bucket, giving one out. */
#include "rpc/convert.h"
#include "rpc/server_private.h"

/* The decoded arguments; they live until the call is answered. */
typedef struct RepairArgs {
  GObject *req; /* holds the strings */
  union {
    RepairQuery repair;
    BucketQuery bucket;
  };
} RepairArgs;

static void args_free(gpointer data)
{
  RepairArgs *args = data;
  g_object_unref(args->req);
  g_free(args);
}

/* NULL when the call was answered. */
static RepairArgs *decode_args(RpcCall *call, GType type)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, type, &req))
    return NULL;
  RepairArgs *args = g_new0(RepairArgs, 1);
  args->req = req;
  call->args = args;
  call->free_args = args_free;
  return args;
}

void rpc_call_reply_skip(RpcCall *call, const GError *error)
{
  SlTSkipReply *out = g_object_new(SL_TYPE_T_SKIP_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  dispatch_finish(call, out);
}

void dispatch_skip(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_SKIP_REQ, &req))
    return;
  const SlTToken *entry = ((SlTSkipReq *)req)->entry;
  g_autoptr(GError) error = NULL;
  gint32 group = ((SlTSkipReq *)req)->consensusGroupId;
  Token token = {.index = (guint64)entry->index};
  gboolean ok = convert_log_id_from_thrift(entry->log, &token.log, &error);
  if (ok && group < 0)
    ok = fail(&error, SYNCLOG_INVALID, "consensusGroupId is out of range");
  if (ok && entry->index < 1)
    ok = fail(&error, SYNCLOG_INVALID, "index is out of range");
  g_object_unref(req);
  if (ok)
    call->server->handlers.skip(call->server->ctx, call, (guint32)group, &token);
  else
    rpc_call_reply_skip(call, error);
}

void rpc_call_reply_repair(RpcCall *call, const GError *error, const RepairResult *result)
{
  SlTRepairReply *out = g_object_new(SL_TYPE_T_REPAIR_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  if (error == NULL)
    convert_repair_result_to_thrift(result, out);
  dispatch_finish(call, out);
}

void dispatch_repair(RpcCall *call)
{
  RepairArgs *args = decode_args(call, SL_TYPE_T_REPAIR_REQ);
  if (args == NULL)
    return;
  g_autoptr(GError) error = NULL;
  guint32 group = 0;
  if (convert_repair_from_thrift((SlTRepairReq *)args->req, &group, &args->repair, &error))
    call->server->handlers.repair(call->server->ctx, call, group, &args->repair);
  else
    rpc_call_reply_repair(call, error, NULL);
}

void rpc_call_reply_bucket(RpcCall *call, const GError *error, const BucketPage *page)
{
  SlTBucketReply *out = g_object_new(SL_TYPE_T_BUCKET_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  if (error == NULL)
    convert_bucket_to_thrift(page, out);
  dispatch_finish(call, out);
}

void dispatch_bucket(RpcCall *call)
{
  RepairArgs *args = decode_args(call, SL_TYPE_T_BUCKET_REQ);
  if (args == NULL)
    return;
  g_autoptr(GError) error = NULL;
  BucketAsker asker;
  if (convert_bucket_query_from_thrift((SlTBucketReq *)args->req, &asker, &args->bucket, &error))
    call->server->handlers.bucket(call->server->ctx, call, &asker, &args->bucket);
  else
    rpc_call_reply_bucket(call, error, NULL);
}
