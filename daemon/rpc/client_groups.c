/* The client's side of the methods about groups. */
#include "base/limits.h"
#include "rpc/client_private.h"
#include "rpc/convert.h"

GPtrArray *rpc_client_groups(RpcClient *client, GError **error)
{
  g_autoptr(GObject) object = g_object_new(SL_TYPE_T_GROUPS_REPLY, NULL);
  const SlTGroupsReply *reply = SL_T_GROUPS_REPLY(object);
  if (!client_call(client, "groups", NULL, object, error) ||
      !convert_check_status(reply->status, error))
    return NULL;
  g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func((GDestroyNotify)group_info_free);
  for (guint i = 0; reply->groups != NULL && i < reply->groups->len; i++) {
    const SlTGroup *in = reply->groups->pdata[i];
    GroupInfo *group = g_new0(GroupInfo, 1);
    *group = (GroupInfo){.id = (guint32)in->consensusGroupId,
                         .devices = in->__isset_devices ? g_strdup(in->devices) : NULL,
                         .members = in->__isset_members ? g_strdup(in->members) : NULL,
                         .state = g_strdup(in->state),
                         .message = in->__isset_message ? g_strdup(in->message) : NULL,
                         .wal_bytes = (guint64)in->walBytes,
                         .store_bytes = (guint64)in->storeBytes};
    g_ptr_array_add(groups, group);
    if (in->consensusGroupId < 0 || in->consensusGroupId > LIMIT_GROUP_ID || in->state == NULL) {
      fail(error, SYNCLOG_CORRUPT, "the answer holds a group that is none");
      return NULL;
    }
  }
  return g_steal_pointer(&groups);
}

gboolean rpc_client_delete_group(RpcClient *client, guint32 group, GError **error)
{
  g_autoptr(GObject) request = g_object_new(SL_TYPE_T_DELETE_GROUP_REQ, NULL);
  g_autoptr(GObject) reply = g_object_new(SL_TYPE_T_DELETE_GROUP_REPLY, NULL);
  SL_T_DELETE_GROUP_REQ(request)->consensusGroupId = (gint32)group;
  return client_call(client, "deleteGroup", request, reply, error) &&
         convert_check_status(SL_T_DELETE_GROUP_REPLY(reply)->status, error);
}
