/* The methods by which snapshots are asked for, of both services. */
#include "rpc/convert.h"
#include "rpc/convert_snapshot.h"
#include "rpc/server_private.h"

void rpc_call_reply_snapshot(RpcCall *call, const GError *error, const Snapshot *snapshot)
{
  SlTSnapshotReply *out = g_object_new(SL_TYPE_T_SNAPSHOT_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  if (error == NULL) {
    convert_snapshot_to_thrift(snapshot, out->snapshot);
    out->__isset_snapshot = TRUE;
  }
  dispatch_finish(call, out);
}

void dispatch_snapshot(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_SNAPSHOT_REQ, &req))
    return;
  call->args = req; /* holds the texts until the call is answered */
  call->free_args = g_object_unref;
  g_autoptr(GError) error = NULL;
  SnapshotRequest request;
  if (!convert_snapshot_req_from_thrift(req, &request, &error)) {
    rpc_call_reply_snapshot(call, error, NULL);
    return;
  }
  request.of_peer = call->server->services == RPC_PEER_SERVICE;
  call->server->handlers.snapshot(call->server->ctx, call, &request);
}

void rpc_call_reply_fragment(RpcCall *call, const GError *error, const SnapshotFragment *fragment)
{
  SlTFragmentReply *out = g_object_new(SL_TYPE_T_FRAGMENT_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  if (error == NULL)
    convert_fragment_to_thrift(fragment, out);
  dispatch_finish(call, out);
}

void dispatch_fragment(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_FRAGMENT_REQ, &req))
    return;
  g_autoptr(GError) error = NULL;
  FragmentRequest request;
  gboolean ok = convert_fragment_req_from_thrift(req, &request, &error);
  g_object_unref(req);
  if (ok)
    call->server->handlers.fragment(call->server->ctx, call, &request);
  else
    rpc_call_reply_fragment(call, error, NULL);
}

void rpc_call_reply_snapshot_end(RpcCall *call, const GError *error)
{
  SlTSnapshotEndReply *out = g_object_new(SL_TYPE_T_SNAPSHOT_END_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  dispatch_finish(call, out);
}

void dispatch_snapshot_end(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_SNAPSHOT_END_REQ, &req))
    return;
  g_autoptr(GError) error = NULL;
  gint32 group = ((SlTSnapshotEndReq *)req)->consensusGroupId;
  gint64 id = ((SlTSnapshotEndReq *)req)->snapshotId;
  g_object_unref(req);
  if (group >= 0 && id > 0) {
    call->server->handlers.snapshot_end(call->server->ctx, call, (guint32)group, (guint64)id);
    return;
  }
  fail(&error, SYNCLOG_INVALID, "consensusGroupId or snapshotId is out of range");
  rpc_call_reply_snapshot_end(call, error);
}

void rpc_call_reply_reseed(RpcCall *call, const GError *error)
{
  SlTReseedReply *out = g_object_new(SL_TYPE_T_RESEED_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  dispatch_finish(call, out);
}

void dispatch_reseed(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_RESEED_REQ, &req))
    return;
  call->args = req;
  call->free_args = g_object_unref;
  g_autoptr(GError) error = NULL;
  ReseedRequest request;
  if (!convert_reseed_req_from_thrift(req, &request, &error)) {
    rpc_call_reply_reseed(call, error);
    return;
  }
  request.of_peer = call->server->services == RPC_PEER_SERVICE;
  call->server->handlers.reseed(call->server->ctx, call, &request);
}
