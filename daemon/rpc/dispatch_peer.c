/* The methods by which operators handle the channel to a peer. */
#include "base/limits.h"
#include "rpc/convert.h"
#include "rpc/server_private.h"

void rpc_call_reply_pause(RpcCall *call, const GError *error)
{
  SlTPauseReply *out = g_object_new(SL_TYPE_T_PAUSE_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  dispatch_finish(call, out);
}

void dispatch_pause(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_PAUSE_REQ, &req))
    return;
  g_autoptr(GError) error = NULL;
  gint32 node = ((SlTPauseReq *)req)->nodeId;
  gboolean paused = ((SlTPauseReq *)req)->paused;
  gint32 group = ((SlTPauseReq *)req)->consensusGroupId;
  g_object_unref(req);
  if (group >= 0 && node >= 1 && node <= LIMIT_NODE_ID) {
    call->server->handlers.pause(call->server->ctx, call, (guint32)group, (guint32)node, paused);
    return;
  }
  fail(&error, SYNCLOG_INVALID, "consensusGroupId or nodeId is out of range");
  rpc_call_reply_pause(call, error);
}
