/* Buckets and their repair over real connections, and what a mad peer may say. */
#include "unit/rpc/rig.h"

#include "base/limits.h"
#include "rpc/client.h"
#include "rpc/convert.h"
#include "rpc/flat.h"

static RpcClient *client_of_rig(Rig *rig)
{
  g_autofree char *address = g_strdup_printf("127.0.0.1:%u", rpc_server_port(rig->server));
  return rpc_client_new(address, 20000);
}

static void check_seen(Rig *rig, const char *expected)
{
  g_autofree char *text = rig_text(rig);
  ck_assert_str_eq(text, expected);
}

START_TEST(a_bucket_in_pages)
{
  RpcServerOptions options = rig_options(RPC_PEER_SERVICE);
  Rig *rig = rig_new(&options, 1);
  RpcClient *client = client_of_rig(rig);
  BucketAsker asker = {"cluster", 0, 7};
  BucketQuery query = {.device = "d", .start_time = -5, .cut = G_MAXUINT64};
  g_autoptr(GError) error = NULL;
  g_autoptr(BucketPage) page = rpc_client_bucket(client, &asker, &query, &error);
  ck_assert_msg(page != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq(page->parts->len, 1);
  ck_assert(page->more);
  const BucketPart *part = page->parts->pdata[0];
  ck_assert(cell_version_compare(&part->version, &(CellVersion){77, 2, 1}) == 0);
  ck_assert_int_eq(g_array_index(part->table->timestamps, gint64, 0), -5);
  Value value;
  ck_assert(column_get(part->table->columns->pdata[0], 0, &value));
  ck_assert_str_eq(value.text.bytes, "abc");
  value_clear(&value);
  check_seen(rig, "bucket cluster 0 7 d -5 18446744073709551615 0/0/0");
  query.after = (CellVersion){77, 2, G_MAXUINT32};
  g_autoptr(BucketPage) next = rpc_client_bucket(client, &asker, &query, &error);
  ck_assert(next != NULL && !next->more);
  check_seen(rig, "bucket cluster 0 7 d -5 18446744073709551615 77/2/4294967295");
  asker.node_id = 0;
  ck_assert_ptr_null(rpc_client_bucket(client, &asker, &query, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  rpc_client_free(client);
  rig_free(rig);
}
END_TEST

START_TEST(a_repair)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  RpcClient *client = client_of_rig(rig);
  RepairQuery query = {3, "d", G_MININT64, 99, FALSE};
  RepairResult result;
  g_autoptr(GError) error = NULL;
  ck_assert(rpc_client_repair(client, 0, &query, &result, &error));
  ck_assert_uint_eq(result.cells_before, 3);
  ck_assert_uint_eq(result.cells_after, 5);
  ck_assert(!result.was_equal);
  query.dry_run = TRUE;
  ck_assert(rpc_client_repair(client, 0, &query, &result, &error) && result.was_equal);
  check_seen(rig, "repair 0 3 d -9223372036854775808 99 dry");
  query.from_node = 13;
  ck_assert(!rpc_client_repair(client, 0, &query, &result, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY));
  g_clear_error(&error);
  query.from_node = 70000;
  ck_assert(!rpc_client_repair(client, 0, &query, &result, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  Token entry = {.log = {2, 17}, .index = 5};
  g_clear_error(&error);
  ck_assert(rpc_client_skip(client, 0, &entry, &error));
  check_seen(rig, "skip 0 2-17:5");
  entry.index = 0;
  ck_assert(!rpc_client_skip(client, 0, &entry, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  /* Only peers are asked for buckets, and only by their own port. */
  BucketAsker asker = {"cluster", 0, 7};
  BucketQuery bucket = {.device = "d"};
  ck_assert_ptr_null(rpc_client_bucket(client, &asker, &bucket, NULL));
  rpc_client_free(client);
  rig_free(rig);
}
END_TEST

/* A reply with one part of one DOUBLE. */
static SlTBucketReply *reply_new(SlTBucketPart **out_part)
{
  SlTBucketReply *reply = g_object_new(SL_TYPE_T_BUCKET_REPLY, NULL);
  SlTBucketPart *part = g_object_new(SL_TYPE_T_BUCKET_PART, NULL);
  SlTColumn *column = g_object_new(SL_TYPE_T_COLUMN, NULL);
  part->version->hlc = 1;
  part->version->origin = 1;
  part->rowCount = 1;
  part->timestamps = g_byte_array_new();
  g_byte_array_set_size(part->timestamps, 8);
  column->measurement = g_strdup("m");
  column->type = SL_T_DATA_TYPE_DOUBLE;
  column->values = g_byte_array_new();
  g_byte_array_set_size(column->values, 8);
  memset(part->timestamps->data, 0, 8);
  memset(column->values->data, 0, 8);
  g_ptr_array_add(part->columns, column);
  g_ptr_array_add(reply->parts, part);
  reply->__isset_parts = TRUE;
  *out_part = part;
  return reply;
}

static void refuse(SlTBucketReply *reply)
{
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(convert_bucket_from_thrift(reply, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  g_object_unref(reply);
}

START_TEST(what_is_no_page)
{
  flat_register_types();
  SlTBucketPart *part;
  SlTBucketReply *reply = reply_new(&part);
  g_autoptr(BucketPage) sound = convert_bucket_from_thrift(reply, NULL);
  ck_assert(sound != NULL && sound->parts->len == 1);
  part->rowCount = 0;
  refuse(reply);
  reply = reply_new(&part);
  part->rowCount = -1;
  refuse(reply);
  reply = reply_new(&part);
  part->rowCount = 2;
  refuse(reply);
  reply = reply_new(&part);
  part->rowCount = LIMIT_TABLET_ROWS + 1;
  refuse(reply);
  reply = reply_new(&part);
  part->version->hlc = 0;
  refuse(reply);
  reply = reply_new(&part);
  part->version->origin = 65536;
  refuse(reply);
  reply = reply_new(&part);
  g_byte_array_set_size(((SlTColumn *)part->columns->pdata[0])->values, 7);
  refuse(reply);
  reply = reply_new(&part);
  ((SlTColumn *)part->columns->pdata[0])->type = (SlTDataType)0;
  refuse(reply);
  /* Such a page would be asked for again and again. */
  reply = g_object_new(SL_TYPE_T_BUCKET_REPLY, NULL);
  reply->more = reply->__isset_more = TRUE;
  refuse(reply);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_bucket_in_pages, a_repair, what_is_no_page};
  return RUN_SUITE("bucket", tests);
}
