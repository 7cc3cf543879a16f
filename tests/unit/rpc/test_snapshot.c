/* Snapshots over the wire: the same four methods at both services. */
#include "rig.h"

#include "rpc/client.h"

static RpcClient *client_of(Rig *rig)
{
  g_autofree char *address = g_strdup_printf("127.0.0.1:%u", rpc_server_port(rig->server));
  return rpc_client_new(address, 20000);
}

static void check_error(gboolean ok, GError **error, int code)
{
  ck_assert(!ok && *error != NULL);
  ck_assert_msg((*error)->code == code, "%s", (*error)->message);
  g_clear_error(error);
}

static void ask_all(RpcServices services)
{
  RpcServerOptions options = rig_options(services);
  Rig *rig = rig_new(&options, 1);
  RpcClient *client = client_of(rig);
  g_autoptr(GError) error = NULL;
  SnapshotRequest request = {.requester = G_MAXUINT64, .id = 9, .cluster_id = "rig", .node_id = 3};
  g_autoptr(Snapshot) snapshot = rpc_client_snapshot(client, &request, &error);
  ck_assert_msg(snapshot != NULL, "%s", error != NULL ? error->message : "");
  g_autofree char *saw = rig_text(rig);
  g_autofree char *wanted =
      g_strdup_printf("snapshot 0 18446744073709551615 9 rig 3 %d", services == RPC_PEER_SERVICE);
  ck_assert_str_eq(saw, wanted);
  ck_assert_uint_eq(snapshot->id, 77);
  ck_assert_uint_eq(snapshot->store_format, 4);
  ck_assert_uint_eq(snapshot->digest.low, 1);
  ck_assert_uint_eq(snapshot->digest.high, 2);
  ck_assert_uint_eq(snapshot_applied(snapshot, (LogId){2, 9}), 10);
  ck_assert_uint_eq(snapshot_find_log(snapshot, (LogId){2, 9})->digest, 0xFEDCBA9876543210);
  ck_assert_uint_eq(snapshot_find_log(snapshot, (LogId){3, 9})->digest, 0);
  ck_assert_ptr_null(snapshot_find_log(snapshot, (LogId){3, 8}));
  ck_assert_uint_eq(g_array_index(snapshot->files, SnapshotFile, 0).checksum, 0xfffffffe);
  request.group = 1;
  check_error(rpc_client_snapshot(client, &request, &error) != NULL, &error, SYNCLOG_NOT_READY);

  SnapshotFragment fragment = {0};
  g_autoptr(GBytes) bytes = NULL;
  ck_assert(rpc_client_fragment(client, 0, 77, 2, G_MAXINT64, 5, &fragment, &bytes, &error));
  ck_assert_uint_eq(fragment.offset, G_MAXINT64);
  ck_assert_uint_eq(fragment.size, 5);
  ck_assert_mem_eq(fragment.data, "bytes", 5);
  ck_assert_uint_eq(fragment.checksum, snapshot_fragment_checksum(&fragment));

  ck_assert(rpc_client_snapshot_end(client, 0, 77, &error));
  check_error(rpc_client_snapshot_end(client, 0, 13, &error), &error, SYNCLOG_INVALID);
  ck_assert(rpc_client_reseed(client, &(ReseedRequest){.node_id = 5, .from_node_id = 6}, &error));
  check_error(rpc_client_reseed(client, &(ReseedRequest){.node_id = 13}, &error), &error,
              SYNCLOG_NOT_READY);
  rpc_client_free(client);
  rig_free(rig);
}

START_TEST(both_services_have_them)
{
  ask_all(RPC_CLIENT_SERVICES);
  ask_all(RPC_PEER_SERVICE);
}
END_TEST

/* Numbers out of range never come to a handler. */
START_TEST(hostile_requests)
{
  RpcServerOptions options = rig_options(RPC_PEER_SERVICE);
  Rig *rig = rig_new(&options, 1);
  RpcClient *client = client_of(rig);
  g_autoptr(GError) error = NULL;
  SnapshotFragment fragment;
  g_autoptr(GBytes) bytes = NULL;
  const struct {
    guint64 id;
    guint32 file;
    guint64 offset;
    gsize size;
  } fragments[] = {{0, 0, 0, 1},           {G_MAXUINT64, 0, 0, 1},
                   {1, G_MAXUINT32, 0, 1}, {1, 0, G_MAXUINT64, 1},
                   {1, 0, 0, 0},           {1, 0, 0, SNAPSHOT_FRAGMENT_SIZE + 1}};
  for (guint i = 0; i < G_N_ELEMENTS(fragments); i++)
    check_error(rpc_client_fragment(client, 0, fragments[i].id, fragments[i].file,
                                    fragments[i].offset, fragments[i].size, &fragment, &bytes,
                                    &error),
                &error, SYNCLOG_INVALID);
  const SnapshotRequest requests[] = {{.requester = 0},
                                      {.requester = 1, .group = G_MAXUINT32},
                                      {.requester = 1, .id = G_MAXUINT64},
                                      {.requester = 1, .node_id = 65536}};
  for (guint i = 0; i < G_N_ELEMENTS(requests); i++)
    check_error(rpc_client_snapshot(client, &requests[i], &error) != NULL, &error, SYNCLOG_INVALID);
  check_error(rpc_client_snapshot_end(client, 0, 0, &error), &error, SYNCLOG_INVALID);
  check_error(rpc_client_reseed(client, &(ReseedRequest){.node_id = 0}, &error), &error,
              SYNCLOG_INVALID);
  g_autofree char *saw = rig_text(rig);
  ck_assert_str_eq(saw, "");
  rpc_client_free(client);
  rig_free(rig);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {both_services_have_them, hostile_requests};
  return RUN_SUITE("snapshots over rpc", tests);
}
