/* The client's side of what is spoken to the peers' port: snapshots, and a handshake. */
#include "rpc/client_private.h"
#include "rpc/convert.h"
#include "rpc/convert_snapshot.h"

gboolean rpc_client_handshake(RpcClient *client, const Handshake *handshake,
                              HandshakeReply *out_reply, GError **error)
{
  g_autoptr(GObject) req = g_object_new(SL_TYPE_T_HANDSHAKE_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_to_thrift(handshake, SL_T_HANDSHAKE_REQ(req));
  return client_call(client, "handshake", req, reply, error) &&
         convert_handshake_reply_from_thrift(SL_T_HANDSHAKE_REPLY(reply), out_reply, error);
}

Snapshot *rpc_client_snapshot(RpcClient *client, const SnapshotRequest *request, GError **error)
{
  g_autoptr(GObject) req = g_object_new(SL_TYPE_T_SNAPSHOT_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_SNAPSHOT_REPLY, NULL);
  SlTSnapshotReq *out = SL_T_SNAPSHOT_REQ(req);
  out->consensusGroupId = (gint32)request->group;
  out->requester = (gint64)request->requester;
  out->snapshotId = (gint64)request->id;
  out->__isset_snapshotId = request->id != 0;
  out->clusterId = g_strdup(request->cluster_id);
  out->__isset_clusterId = request->cluster_id != NULL;
  out->nodeId = (gint32)request->node_id;
  out->__isset_nodeId = request->node_id != 0;
  const SlTSnapshotReply *in = SL_T_SNAPSHOT_REPLY(reply);
  if (!client_call(client, "snapshot", req, reply, error) ||
      !convert_check_status(in->status, error))
    return NULL;
  if (in->__isset_snapshot)
    return convert_snapshot_from_thrift(in->snapshot, error);
  fail(error, SYNCLOG_CORRUPT, "the answer holds no snapshot");
  return NULL;
}

gboolean rpc_client_fragment(RpcClient *client, guint32 group, guint64 id, guint32 file,
                             guint64 offset, gsize size, SnapshotFragment *out_fragment,
                             GBytes **out_bytes, GError **error)
{
  g_autoptr(GObject) req = g_object_new(SL_TYPE_T_FRAGMENT_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_FRAGMENT_REPLY, NULL);
  SlTFragmentReq *out = SL_T_FRAGMENT_REQ(req);
  out->consensusGroupId = (gint32)group;
  out->snapshotId = (gint64)id;
  out->file = (gint32)file;
  out->offset = (gint64)offset;
  out->size = (gint32)size;
  return client_call(client, "fragment", req, reply, error) &&
         convert_check_status(SL_T_FRAGMENT_REPLY(reply)->status, error) &&
         convert_fragment_from_thrift(SL_T_FRAGMENT_REPLY(reply), out_fragment, out_bytes, error);
}

gboolean rpc_client_snapshot_end(RpcClient *client, guint32 group, guint64 id, GError **error)
{
  g_autoptr(GObject) req = g_object_new(SL_TYPE_T_SNAPSHOT_END_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_SNAPSHOT_END_REPLY, NULL);
  SL_T_SNAPSHOT_END_REQ(req)->consensusGroupId = (gint32)group;
  SL_T_SNAPSHOT_END_REQ(req)->snapshotId = (gint64)id;
  return client_call(client, "snapshotEnd", req, reply, error) &&
         convert_check_status(SL_T_SNAPSHOT_END_REPLY(reply)->status, error);
}

gboolean rpc_client_reseed(RpcClient *client, const ReseedRequest *request, GError **error)
{
  g_autoptr(GObject) req = g_object_new(SL_TYPE_T_RESEED_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_RESEED_REPLY, NULL);
  SlTReseedReq *out = SL_T_RESEED_REQ(req);
  out->consensusGroupId = (gint32)request->group;
  out->nodeId = (gint32)request->node_id;
  out->fromNodeId = (gint32)request->from_node_id;
  out->__isset_fromNodeId = request->from_node_id != 0;
  out->clusterId = g_strdup(request->cluster_id);
  out->__isset_clusterId = request->cluster_id != NULL;
  return client_call(client, "reseed", req, reply, error) &&
         convert_check_status(SL_T_RESEED_REPLY(reply)->status, error);
}
