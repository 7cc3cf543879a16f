/*
 * What a server answers, into the client of the tools: each method gets an answer or an error,
 * never both or none, and what comes out can be printed: columns are packed as they must be.
 */
#include "fuzz/rpc_messages.h"
#include "store/bucket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The client's source, over a socket in memory: what is sent goes nowhere. */
static FuzzInput socket_in;

static ssize_t memory_recv(void *bytes, gsize size)
{
  gsize got;
  const guint8 *from = fuzz_take(&socket_in, size, &got);
  memcpy(bytes, from, got);
  return (ssize_t)got;
}

#define recv(fd, bytes, size, flags) memory_recv(bytes, size)
#define send(fd, bytes, size, flags) ((ssize_t)(size))
#define poll(entries, count, timeout) ((void)(entries), 0)
#include "rpc/client.c"
#undef recv
#undef send
#undef poll

static void check_value(const Value *value)
{
  g_assert(data_type_name((int)value->type) != NULL);
  if (value->type == DATA_TEXT)
    g_assert(value->text.bytes[value->text.size] == '\0');
}

static void check_table(Table *table)
{
  for (guint i = 0; i < table->columns->len; i++) {
    const Column *column = table->columns->pdata[i];
    g_assert(column->rows == table->timestamps->len);
    g_assert(column_check(column, column->rows, NULL));
    for (guint row = 0; row < column->rows; row++) {
      Value value;
      if (!column_get(column, row, &value))
        continue;
      check_value(&value);
      value_clear(&value);
    }
  }
  table_free(table);
}

static void check_last(GPtrArray *values)
{
  for (guint i = 0; i < values->len; i++) {
    const LastValue *last = values->pdata[i];
    g_assert(g_utf8_validate(last->measurement, -1, NULL));
    check_value(&last->value);
  }
  g_ptr_array_unref(values);
}

static void check_aggregate(Aggregate *aggregate)
{
  for (guint i = 0; i < aggregate->windows->len; i++) {
    const Window *window = &g_array_index(aggregate->windows, Window, i);
    g_assert(window->first.type == aggregate->type && window->last.type == aggregate->type);
    check_value(&window->first);
    check_value(&window->last);
    if (aggregate->type != DATA_TEXT)
      g_assert(window->min.type == aggregate->type && window->max.type == aggregate->type);
  }
  aggregate_free(aggregate);
}

static gboolean run_query(RpcClient *client, GError **error)
{
  Query query = {.device = "device", .end_time = 9, .limit = 5};
  Table *table = rpc_client_query(client, 0, &query, NULL, error);
  if (table != NULL)
    check_table(table);
  return table != NULL;
}

static gboolean run_last(RpcClient *client, GError **error)
{
  GPtrArray *values = rpc_client_last(client, 0, "device", NULL, NULL, error);
  if (values != NULL)
    check_last(values);
  return values != NULL;
}

static gboolean run_aggregate(RpcClient *client, GError **error)
{
  AggregateQuery query = {"device", "m", 0, 9, 3, 7};
  Aggregate *aggregate = rpc_client_aggregate(client, 0, &query, NULL, error);
  if (aggregate != NULL)
    check_aggregate(aggregate);
  return aggregate != NULL;
}

static gboolean run_series(RpcClient *client, GError **error)
{
  g_autofree char *next = NULL;
  g_autoptr(GPtrArray) devices = rpc_client_series(client, 0, NULL, NULL, 5, &next, error);
  for (guint i = 0; devices != NULL && i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    g_assert(g_utf8_validate(device->name, -1, NULL));
    for (guint k = 0; k < device->measurements->len; k++)
      g_assert(data_type_name((int)g_array_index(device->measurements, Measurement, k).type));
  }
  return devices != NULL;
}

static gboolean run_info(RpcClient *client, GError **error)
{
  NodeInfo info = {0};
  if (!rpc_client_info(client, &info, error))
    return FALSE;
  g_assert(info.cluster_id != NULL && info.time_precision != NULL);
  node_info_clear(&info);
  return TRUE;
}

static gboolean run_status(RpcClient *client, GError **error)
{
  g_autoptr(NodeStatus) status = rpc_client_status(client, 0, error);
  if (status == NULL)
    return FALSE;
  g_assert(status->cluster_id != NULL && status->version != NULL && status->state != NULL);
  for (guint i = 0; i < status->logs->len; i++)
    g_assert(g_array_index(status->logs, LogStatus, i).state != NULL);
  for (guint i = 0; i < status->peers->len; i++)
    g_assert(g_array_index(status->peers, PeerStatus, i).address != NULL);
  return TRUE;
}

static gboolean run_digest(RpcClient *client, GError **error)
{
  StateDigest digest;
  g_autoptr(Progress) progress = NULL;
  return rpc_client_digest(client, 0, NULL, &digest, &progress, error);
}

static gboolean run_config(RpcClient *client, GError **error)
{
  g_autoptr(GPtrArray) entries = rpc_client_config(client, error);
  for (guint i = 0; entries != NULL && i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    g_assert(entry->section != NULL && entry->key != NULL && entry->value != NULL);
  }
  return entries != NULL;
}

static gboolean run_write(RpcClient *client, GError **error)
{
  g_autoptr(WriteBuilder) builder = write_builder_new();
  write_builder_delete(builder, "device", NULL, 0, 1);
  gsize size = write_builder_size(builder);
  SynclogStatus status;
  Token token;
  if (!rpc_client_write(client, 0, builder, ACK_LOCAL, 5, &status, &token, error)) {
    g_assert(write_builder_size(builder) == size);
    return FALSE;
  }
  g_assert(status == SYNCLOG_OK || status == SYNCLOG_PENDING);
  g_assert(token.log.origin >= 1 && token.index >= 1);
  return TRUE;
}

static gboolean run_forget(RpcClient *client, GError **error)
{
  return rpc_client_forget(client, 0, 3, error);
}

static gboolean run_skip(RpcClient *client, GError **error)
{
  Token entry = {.log = {2, 17}, .index = 5};
  return rpc_client_skip(client, 0, &entry, error);
}

static gboolean run_repair(RpcClient *client, GError **error)
{
  RepairQuery query = {3, "device", 5, 77, FALSE};
  RepairResult result;
  return rpc_client_repair(client, 0, &query, &result, error);
}

/* Whatever a peer says is a checked page: each column as long as its part, each time in place. */
static gboolean run_bucket(RpcClient *client, GError **error)
{
  BucketAsker asker = {"cluster", 0, 1};
  BucketQuery query = {.device = "device", .cut = 77};
  g_autoptr(BucketPage) page = rpc_client_bucket(client, &asker, &query, error);
  if (page == NULL)
    return FALSE;
  g_assert(!page->more || page->parts->len > 0);
  StateDigest digest = {0};
  store_parts_digest("device", page->parts, &digest);
  for (guint i = 0; i < page->parts->len; i++) {
    const BucketPart *part = page->parts->pdata[i];
    g_assert(part->version.hlc != 0 && part->version.origin >= 1);
    g_assert(part->table->timestamps->len >= 1);
    g_autoptr(Decoded) decoded = bucket_part_decode(part, "device", 0, 100, NULL);
  }
  return TRUE;
}

static gboolean run_add_member(RpcClient *client, GError **error)
{
  return rpc_client_add_member(client, 0, 4, "node-4:7671", error);
}

static gboolean run_remove_member(RpcClient *client, GError **error)
{
  return rpc_client_remove_member(client, 0, 4, error);
}

static gboolean (*const methods[])(RpcClient *, GError **) = {
    run_query,  run_last,   run_aggregate,  run_series,        run_info,
    run_status, run_digest, run_config,     run_write,         run_forget,
    run_repair, run_bucket, run_add_member, run_remove_member, run_skip,
};

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  /* Either the stream itself, or one frame whose length is put right. */
  g_autofree guint8 *stream = g_malloc(in.left + FRAME_LENGTH_SIZE);
  gsize before = options & 128 ? 0 : FRAME_LENGTH_SIZE;
  store_be32(stream, (guint32)in.left);
  memcpy(stream + before, in.bytes, in.left);
  socket_in = (FuzzInput){stream, in.left + before};
  RpcClient *client = rpc_client_new("no address", 1000);
  client->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  g_autoptr(GError) error = NULL;
  gboolean ok = methods[options % 128 % G_N_ELEMENTS(methods)](client, &error);
  g_assert(ok == (error == NULL));
  g_assert(error == NULL || (error->domain == SYNCLOG_ERROR && error->message != NULL));
  rpc_client_free(client);
}

/* --- seeds --------------------------------------------------------------------------------------
 */

static void give_seed(guint which, const char *method, gpointer reply)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, which, 1);
  g_autoptr(GByteArray) message = reply_message(method, 1, reply);
  g_byte_array_append(out, message->data, message->len);
  seed_end(method, out);
}

static void seed_reads(void)
{
  g_autoptr(Table) table = some_table();
  SlTQueryReply *rows = g_object_new(SL_TYPE_T_QUERY_REPLY, NULL);
  convert_table_to_thrift(table, rows);
  give_seed(0, "query", rows);
  g_autoptr(GPtrArray) values = some_last();
  SlTLastReply *last = g_object_new(SL_TYPE_T_LAST_REPLY, NULL);
  convert_last_to_thrift(values, last);
  give_seed(1, "last", last);
  g_autoptr(Aggregate) aggregate = some_aggregate(DATA_INT64);
  SlTAggregateReply *windows = g_object_new(SL_TYPE_T_AGGREGATE_REPLY, NULL);
  convert_aggregate_to_thrift(aggregate, windows);
  give_seed(2, "aggregate", windows);
  g_autoptr(GPtrArray) devices = some_devices();
  SlTSeriesReply *series = g_object_new(SL_TYPE_T_SERIES_REPLY, NULL);
  convert_series_to_thrift(devices, TRUE, series);
  give_seed(3, "series", series);
}

static SlTBucketReply *some_bucket(void)
{
  g_autoptr(BucketPage) page = bucket_page_new();
  CellVersion version = {77, 2, 1};
  Table *table = table_new();
  gint64 time = 5;
  g_array_append_val(table->timestamps, time);
  Column *column = column_new("m", DATA_TEXT);
  column_append(column, "abc", 3);
  column_finish(column);
  g_ptr_array_add(table->columns, column);
  g_ptr_array_add(page->parts, bucket_part_new(&version, table));
  SlTBucketReply *reply = g_object_new(SL_TYPE_T_BUCKET_REPLY, NULL);
  convert_bucket_to_thrift(page, reply);
  return reply;
}

void fuzz_seeds(void)
{
  flat_register_types();
  seed_reads();
  NodeInfo some = some_info();
  SlTInfoReply *info = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  convert_info_to_thrift(&some, info);
  node_info_clear(&some);
  give_seed(4, "info", info);
  g_autoptr(NodeStatus) node = some_status();
  SlTStatusReply *status = g_object_new(SL_TYPE_T_STATUS_REPLY, NULL);
  convert_node_status_to_thrift(node, status->node);
  status->__isset_node = TRUE;
  give_seed(5, "status", status);
  StateDigest sum = {1, 2, 3, 4};
  g_autoptr(Progress) progress = some_progress();
  SlTDigestReply *digest = g_object_new(SL_TYPE_T_DIGEST_REPLY, NULL);
  convert_digest_to_thrift(&sum, progress, digest);
  give_seed(6, "digest", digest);
  g_autoptr(GPtrArray) entries = some_config();
  SlTConfigReply *config = g_object_new(SL_TYPE_T_CONFIG_REPLY, NULL);
  convert_config_to_thrift(entries, config);
  give_seed(7, "config", config);
  SlTWriteReply *write = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
  write->token->log->origin = 1;
  write->token->log->incarnation = 17;
  write->token->index = 3;
  write->__isset_token = TRUE;
  give_seed(8, "write", write);
  give_seed(9, "forget", g_object_new(SL_TYPE_T_FORGET_REPLY, NULL));
  RepairResult result = {1, 2, FALSE};
  SlTRepairReply *repair = g_object_new(SL_TYPE_T_REPAIR_REPLY, NULL);
  convert_repair_result_to_thrift(&result, repair);
  give_seed(10, "repair", repair);
  give_seed(11, "bucket", some_bucket());
  give_seed(12, "addMember", g_object_new(SL_TYPE_T_ADD_MEMBER_REPLY, NULL));
  give_seed(13, "removeMember", g_object_new(SL_TYPE_T_REMOVE_MEMBER_REPLY, NULL));
  give_seed(14, "skip", g_object_new(SL_TYPE_T_SKIP_REPLY, NULL));
}
