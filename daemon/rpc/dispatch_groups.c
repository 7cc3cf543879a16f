/* The methods about the groups of a node. */
#include "base/limits.h"
#include "rpc/convert.h"
#include "rpc/server_private.h"

void rpc_call_reply_groups(RpcCall *call, const GPtrArray *groups)
{
  SlTGroupsReply *out = g_object_new(SL_TYPE_T_GROUPS_REPLY, NULL);
  convert_error_to_thrift(NULL, out->status);
  for (guint i = 0; i < groups->len; i++) {
    const GroupInfo *group = groups->pdata[i];
    SlTGroup *one = g_object_new(SL_TYPE_T_GROUP, NULL);
    one->consensusGroupId = (gint32)group->id;
    one->state = g_strdup(group->state);
    one->message = g_strdup(group->message);
    one->__isset_message = group->message != NULL;
    one->devices = g_strdup(group->devices);
    one->__isset_devices = group->devices != NULL;
    one->members = g_strdup(group->members);
    one->__isset_members = group->members != NULL;
    one->walBytes = (gint64)group->wal_bytes;
    one->storeBytes = (gint64)group->store_bytes;
    g_ptr_array_add(out->groups, one);
  }
  out->__isset_groups = TRUE;
  dispatch_finish(call, out);
}

void dispatch_groups(RpcCall *call)
{
  gpointer none;
  if (dispatch_decode(call, 0, &none))
    call->server->handlers.groups(call->server->ctx, call);
}

void rpc_call_reply_delete_group(RpcCall *call, const GError *error)
{
  SlTDeleteGroupReply *out = g_object_new(SL_TYPE_T_DELETE_GROUP_REPLY, NULL);
  convert_error_to_thrift(error, out->status);
  dispatch_finish(call, out);
}

void dispatch_delete_group(RpcCall *call)
{
  gpointer req = NULL;
  if (!dispatch_decode(call, SL_TYPE_T_DELETE_GROUP_REQ, &req))
    return;
  gint32 group = ((SlTDeleteGroupReq *)req)->consensusGroupId;
  g_object_unref(req);
  if (group >= 0 && group <= LIMIT_GROUP_ID) {
    call->server->handlers.delete_group(call->server->ctx, call, (guint32)group);
    return;
  }
  g_autoptr(GError) error = NULL;
  fail(&error, SYNCLOG_INVALID, "consensusGroupId is out of range");
  rpc_call_reply_delete_group(call, error);
}
