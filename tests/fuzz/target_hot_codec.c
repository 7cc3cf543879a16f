/*
 * The arguments of write and syncLog, and the reply to syncLog, in the hand-written codec. What it
 * accepts means the same to the generated code; what it takes over has been checked.
 */
#include "rpc/flat.h"
#include "rpc/hot_codec.h"

#include "base/limits.h"
#include "fuzz/fuzz.h"
#include "unit/rpc/messages.h"

#include "sl_client_types.h"
#include "sl_peer_types.h"

/* Reads arguments as generated code does. */
static gboolean read_generated(const guint8 *bytes, gsize size, gpointer req, GError **error)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  ThriftProtocol *in = (ThriftProtocol *)flat;
  char *name;
  gboolean found = FALSE;
  flat_begin_read(flat, bytes, size);
  if (thrift_protocol_read_struct_begin(in, &name, error) < 0)
    return FALSE;
  for (;;) {
    ThriftType type;
    gint16 id;
    if (thrift_protocol_read_field_begin(in, &name, &type, &id, error) < 0)
      return FALSE;
    if (type == T_STOP)
      return found && flat_left(flat) == 0;
    gboolean wanted = id == 1 && type == T_STRUCT;
    found |= wanted;
    if ((wanted ? thrift_struct_read(req, in, error) : thrift_protocol_skip(in, type, error)) < 0)
      return FALSE;
  }
}

/* Texts are left to whoever decodes the content. */
static void check_refusal(const GError *error)
{
  g_assert(error != NULL && strstr(error->message, "UTF-8") != NULL);
}

static void compare_records(const SlTSyncLogReq *req, const SyncLogRequest *out)
{
  gsize at = 0;
  g_assert(req->batches->len == out->count);
  for (guint i = 0; i < out->count; i++) {
    Record record;
    const SlTLogBatch *one = req->batches->pdata[i];
    g_assert(record_parse_trusted(out->bytes + at, out->size - at, &record) == RECORD_VALID);
    g_assert((guint64)one->searchIndex == record.index && (guint64)one->hlc == record.hlc);
    g_assert(one->data->len == record.data_size &&
             memcmp(one->data->data, record.data, record.data_size) == 0);
    at += record.size;
  }
  g_assert(at == out->size);
}

/* What entries that verify may be handed on as. */
static void check_run(const SyncLogRequest *out)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(EntryRun) run = entry_run_parse(out->log, out->bytes, out->size, NULL, NULL, &error);
  g_assert((run == NULL) == (error != NULL));
  if (run == NULL) {
    g_assert(error->code == SYNCLOG_CORRUPT);
    return;
  }
  g_assert(entry_run_count(run) == out->count);
  for (guint i = 0; i < out->count; i++)
    g_assert(entry_run_record(run, i).index == entry_run_first_index(run) + i);
}

static void run_sync(const guint8 *bytes, gsize size)
{
  SyncLogRequest out;
  g_autoptr(GError) error = NULL;
  HotVerdict verdict = hot_sync_parse(bytes, size, &out, &error);
  g_assert((verdict == HOT_VALID) == (error == NULL));
  if (verdict != HOT_VALID)
    return;
  g_assert(out.count >= 1 && out.count <= LIMIT_BATCHES_PER_REQUEST);
  g_assert(out.log.origin >= 1 && out.log.origin <= LIMIT_NODE_ID);
  g_assert(out.first_index >= 1 && out.last_index - out.first_index + 1 == out.count);
  check_run(&out);
  SlTSyncLogReq *req = g_object_new(SL_TYPE_T_SYNC_LOG_REQ, NULL);
  if (read_generated(bytes, size, req, &error)) {
    g_assert((guint32)req->consensusGroupId == out.group);
    g_assert((guint32)req->log->origin == out.log.origin);
    g_assert((guint64)req->log->incarnation == out.log.incarnation);
    g_assert((guint64)req->startSyncIndex == out.first_index);
    g_assert((guint64)req->endSyncIndex == out.last_index);
    g_assert(!req->syncNow == !out.sync_now && !req->fromWal == !out.from_wal);
    g_assert((guint64)(req->__isset_digestBefore ? req->digestBefore : 0) == out.chain_before);
    compare_records(req, &out);
  } else {
    check_refusal(error);
  }
  g_object_unref(req);
}

static GBytes *written(gpointer object)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_write(flat);
  g_assert(thrift_struct_write(object, (ThriftProtocol *)flat, NULL) >= 0);
  gsize size;
  const guint8 *bytes = flat_written(flat, &size);
  return g_bytes_new(bytes, size);
}

/* The content that is taken over, read alone, is the one that stands in the request. */
static void compare_content(const SlTWriteReq *req, const WriteRequest *out)
{
  SlTWrite *alone = g_object_new(SL_TYPE_T_WRITE, NULL);
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_read(flat, out->data, out->size);
  g_assert(thrift_struct_read((ThriftStruct *)alone, (ThriftProtocol *)flat, NULL) >= 0);
  g_assert(flat_left(flat) == 0);
  g_autoptr(GBytes) one = written(alone);
  g_autoptr(GBytes) other = written(req->content);
  g_assert(g_bytes_equal(one, other));
  g_object_unref(alone);
}

static void run_write(const guint8 *bytes, gsize size)
{
  WriteRequest out;
  g_autoptr(GError) error = NULL;
  HotVerdict verdict = hot_write_parse(bytes, size, &out, &error);
  g_assert((verdict == HOT_VALID) == (error == NULL));
  if (verdict != HOT_VALID)
    return;
  g_assert(out.data > bytes && out.data + out.size < bytes + size);
  g_assert(out.data[out.size - 1] == WIRE_STOP);
  g_assert(out.ack >= ACK_LOCAL && out.ack <= ACK_ALL && out.timeout_ms >= -1);
  SlTWriteReq *req = g_object_new(SL_TYPE_T_WRITE_REQ, NULL);
  /* The content may still be refused, for names and required fields inside it. */
  if (read_generated(bytes, size, req, NULL)) {
    g_assert((guint32)req->consensusGroupId == out.group);
    g_assert(!req->__isset_ack || (gint)req->ack == (gint)out.ack);
    g_assert((req->__isset_timeoutMs ? req->timeoutMs : -1) == out.timeout_ms);
    compare_content(req, &out);
  }
  g_object_unref(req);
}

static void run_reply(const guint8 *bytes, gsize size)
{
  SyncReply reply = {0};
  gint32 seqid;
  g_autoptr(GError) error = NULL;
  gboolean ok = hot_sync_reply_parse(bytes, size, &seqid, &reply, &error);
  g_assert(ok == (error == NULL));
  if (!ok)
    return;
  g_assert(synclog_status_text((int)reply.status) != NULL);
  g_assert(reply.message == NULL || g_utf8_validate(reply.message, -1, NULL));
  /* Written again and read again it is the same. */
  g_autofree RpcReply *again = hot_sync_reply(seqid, &reply);
  SyncReply second = {0};
  gint32 second_id;
  g_assert(hot_sync_reply_parse(again->bytes + FRAME_LENGTH_SIZE, again->size - FRAME_LENGTH_SIZE,
                                &second_id, &second, NULL));
  g_assert(second_id == seqid && second.status == reply.status);
  g_assert(second.received == reply.received && second.durable == reply.durable);
  g_assert(second.applied == reply.applied && second.expected_index == reply.expected_index);
  sync_reply_clear(&second);
  sync_reply_clear(&reply);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  flat_register_types();
  FuzzInput in = {bytes, size};
  guint kind = fuzz_u8(&in);
  g_autofree guint8 *exact = g_malloc(in.left + 1);
  memcpy(exact, in.bytes, in.left);
  if (kind % 3 == 0)
    run_sync(exact, in.left);
  else if (kind % 3 == 1)
    run_write(exact, in.left);
  else
    run_reply(exact, in.left);
}

static void seed_message(const char *name, guint kind, const void *bytes, gsize size)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, kind, 1);
  g_byte_array_append(out, bytes, (guint)size);
  seed_end(name, out);
}

void fuzz_seeds(void)
{
  Message sync = message_new();
  put_sync_args(&sync.w, (LogId){3, 1700000000000000}, 100, 4, 12);
  seed_message("sync", 0, sync.bytes, sync.w.at);
  message_free(&sync);
  Message digest = message_new();
  put_sync_args_with_digest(&digest.w, (LogId){3, 1700000000000000}, 100, 2, 12);
  seed_message("sync with a digest", 0, digest.bytes, digest.w.at);
  message_free(&digest);
  Message write = message_new();
  put_write_args(&write.w, 0, 1000, 9);
  seed_message("write", 1, write.bytes, write.w.at);
  message_free(&write);
  SyncReply reply = {
      .status = SYNCLOG_OUT_OF_WINDOW, .message = (char *)"window", .expected_index = 3};
  g_autofree RpcReply *good = hot_sync_reply(7, &reply);
  seed_message("reply", 2, good->bytes + FRAME_LENGTH_SIZE, good->size - FRAME_LENGTH_SIZE);
  g_autofree RpcReply *bad = hot_exception_reply("syncLog", 7, 1, 7, "because");
  seed_message("exception", 2, bad->bytes + FRAME_LENGTH_SIZE, bad->size - FRAME_LENGTH_SIZE);
}
