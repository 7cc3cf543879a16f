/* Members over real connections, and what a mad peer may say of them. */
#include "unit/rpc/rig.h"

#include "base/limits.h"
#include "rpc/client.h"
#include "rpc/convert.h"

#include <string.h>

START_TEST(members_come_and_go)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  g_autofree char *address = g_strdup_printf("127.0.0.1:%u", rpc_server_port(rig->server));
  RpcClient *client = rpc_client_new(address, 20000);
  g_autoptr(GError) error = NULL;
  ck_assert(rpc_client_add_member(client, 0, 4, "four:7671", &error));
  ck_assert(rpc_client_remove_member(client, 0, 4, &error));
  ck_assert_ptr_null(error);
  g_autoptr(GError) refused = NULL;
  ck_assert(!rpc_client_add_member(client, 0, 13, "four:7671", &refused));
  ck_assert(strstr(refused->message, "not let in at four:7671") != NULL);
  g_autoptr(GError) unknown = NULL;
  ck_assert(!rpc_client_remove_member(client, 0, 13, &unknown));
  ck_assert(g_error_matches(unknown, SYNCLOG_ERROR, SYNCLOG_INVALID));
  /* These do not reach the handler. */
  for (guint node = 0; node <= LIMIT_NODE_ID + 1; node += LIMIT_NODE_ID + 1) {
    ck_assert(!rpc_client_add_member(client, 0, node, "four:7671", NULL));
    ck_assert(!rpc_client_remove_member(client, 0, node, NULL));
  }
  g_autofree char *long_address = g_strnfill(LIMIT_ADDRESS_SIZE + 1, 'a');
  ck_assert(!rpc_client_add_member(client, 0, 4, long_address, NULL));
  rpc_client_free(client);
  rig_free(rig);
}
END_TEST

START_TEST(a_record_comes_back_as_it_was)
{
  g_autoptr(Progress) progress = progress_new();
  progress->members = member_list_new();
  member_list_add(progress->members, 1, MEMBER_ACTIVE, "[::1]:7671");
  member_list_add(progress->members, 2, MEMBER_ACTIVE, NULL);
  member_list_add(progress->members, LIMIT_NODE_ID, MEMBER_LOST, NULL);
  g_autoptr(GObject) thrift = g_object_new(SL_TYPE_T_GROUP_PROGRESS, NULL);
  convert_progress_to_thrift(progress, 0, SL_T_GROUP_PROGRESS(thrift));
  g_autoptr(Progress) back = convert_progress_from_thrift(SL_T_GROUP_PROGRESS(thrift), NULL);
  ck_assert_uint_eq(back->members->len, 3);
  for (guint i = 0; i < 3; i++) {
    const Member *one = progress->members->pdata[i], *other = back->members->pdata[i];
    ck_assert_uint_eq(one->id, other->id);
    ck_assert_int_eq(one->state, other->state);
    ck_assert_int_eq(g_strcmp0(one->address, other->address), 0);
  }
}
END_TEST

static void add(GPtrArray *list, gint32 id, gint32 state, const char *address)
{
  SlTMember *member = g_object_new(SL_TYPE_T_MEMBER, NULL);
  member->nodeId = id;
  member->state = (SlTMemberState)state;
  member->address = g_strdup(address);
  member->__isset_address = address != NULL;
  g_ptr_array_add(list, member);
}

static gboolean is_taken(gint32 first, gint32 second, gint32 state, const char *address)
{
  g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_object_unref);
  add(list, first, SL_T_MEMBER_STATE_ACTIVE, NULL);
  add(list, second, state, address);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) members = convert_members_from_thrift(list, &error);
  ck_assert((members == NULL) == g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  return members != NULL;
}

START_TEST(a_mad_record_is_not_taken)
{
  g_autofree char *longest = g_strnfill(LIMIT_ADDRESS_SIZE, 'a');
  longest[1] = ':';
  g_autofree char *too_long = g_strconcat(longest, "a", NULL);
  ck_assert(is_taken(1, 2, 1, longest));
  ck_assert(!is_taken(1, 2, 1, too_long));
  ck_assert(!is_taken(2, 2, 3, NULL)); /* twice */
  ck_assert(!is_taken(2, 1, 3, NULL)); /* out of order */
  ck_assert(!is_taken(0, 2, 3, NULL));
  ck_assert(!is_taken(-1, 2, 3, NULL));
  ck_assert(!is_taken(1, LIMIT_NODE_ID + 1, 3, NULL));
  ck_assert(!is_taken(1, 2, 0, NULL));
  ck_assert(!is_taken(1, 2, 7, NULL));
  ck_assert(!is_taken(1, 2, -1, NULL));
  /* What would end up in node.ini as something else. */
  static const char *const bad[] = {"", "host", "a b:1", "a;b:1", "a\n:1", "h\xC3\xA4:1"};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
    ck_assert(!is_taken(1, 2, 3, bad[i]));
  g_autoptr(GPtrArray) many = g_ptr_array_new_with_free_func(g_object_unref);
  for (gint32 i = 1; i <= LIMIT_KNOWN_MEMBERS + 1; i++)
    add(many, i, SL_T_MEMBER_STATE_REMOVED, NULL);
  ck_assert_ptr_null(convert_members_from_thrift(many, NULL));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {members_come_and_go, a_record_comes_back_as_it_was,
                                a_mad_record_is_not_taken};
  return RUN_SUITE("rpc_members", tests);
}
