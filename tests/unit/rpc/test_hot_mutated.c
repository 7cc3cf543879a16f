/* Mutated messages: the hand-written codec against the generated one, and against the sanitizers.
 */
#include "rpc/flat.h"
#include "rpc/hot_codec.h"
#include "support/suite.h"
#include "unit/rpc/generated.h"
#include "unit/rpc/messages.h"

static const LogId LOG = {3, 1700000000000000};

/* Reads arguments as the generated code would, with our protocol below it. */
static gboolean read_generated(const guint8 *bytes, gsize size, ThriftStruct *req, GError **error)
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

static void mutate(GRand *rand, GByteArray *bytes)
{
  static const guint8 telling[] = {0, 1, 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15, 0x7F, 0x80, 0xFF};
  guint times = (guint)g_rand_int_range(rand, 1, 4);
  for (guint i = 0; i < times && bytes->len > 1; i++) {
    guint at = (guint)g_rand_int_range(rand, 0, (gint32)bytes->len);
    guint n = (guint)g_rand_int_range(rand, 1, 12);
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
      bytes->data[at] = (guint8)g_rand_int(rand);
      break;
    case 1:
    case 2:
      bytes->data[at] = telling[g_rand_int_range(rand, 0, G_N_ELEMENTS(telling))];
      break;
    case 3:
      bytes->data[at] ^= (guint8)(1 << g_rand_int_range(rand, 0, 8));
      break;
    case 4:
      g_byte_array_remove_range(bytes, at, MIN(n, bytes->len - at));
      break;
    default: {
      g_autofree guint8 *copy = g_memdup2(bytes->data + at, MIN(n, bytes->len - at));
      g_byte_array_append(bytes, copy, MIN(n, bytes->len - at));
    }
    }
  }
}

/* Whether the generated code's refusal is for what the hand-written codec leaves to later. */
static gboolean is_about_text(const GError *error)
{
  return error != NULL && strstr(error->message, "UTF-8") != NULL;
}

START_TEST(mutated_syncs_mean_the_same_to_the_generated_code)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(20261123);
  Message m = message_new();
  put_sync_args_with_digest(&m.w, LOG, 100, 4, 12);
  guint agreed = 0;
  for (guint round = 0; round < HISTORIES(240000); round++) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, m.bytes, (guint)m.w.at);
    mutate(rand, bytes);
    g_autofree guint8 *exact = g_memdup2(bytes->data, bytes->len);
    SyncLogRequest out;
    HotVerdict verdict = hot_sync_parse(exact, bytes->len, &out, NULL);
    if (verdict != HOT_VALID)
      continue;
    g_autoptr(SlTSyncLogReq) req = g_object_new(SL_TYPE_T_SYNC_LOG_REQ, NULL);
    g_autoptr(GError) error = NULL;
    if (!read_generated(exact, bytes->len, (ThriftStruct *)req, &error)) {
      fast_assert_msg(is_about_text(error), "round %u: %s", round,
                      error != NULL ? error->message : "refused");
      continue;
    }
    agreed++;
    fast_assert((guint32)req->consensusGroupId == out.group);
    fast_assert((guint32)req->log->origin == out.log.origin);
    fast_assert((guint64)req->log->incarnation == out.log.incarnation);
    fast_assert((guint64)req->startSyncIndex == out.first_index);
    fast_assert((guint64)req->endSyncIndex == out.last_index);
    fast_assert(!req->syncNow == !out.sync_now && !req->fromWal == !out.from_wal);
    fast_assert((guint64)(req->__isset_digestBefore ? req->digestBefore : 0) == out.chain_before);
    fast_assert(req->batches->len == out.count);
    gsize at = 0;
    for (guint i = 0; i < out.count; i++) {
      Record record;
      SlTLogBatch *one = req->batches->pdata[i];
      fast_assert(record_parse_trusted(out.bytes + at, out.size - at, &record) == RECORD_VALID);
      fast_assert((guint64)one->searchIndex == record.index && (guint64)one->hlc == record.hlc);
      fast_assert(one->data->len == record.data_size &&
                  memcmp(one->data->data, record.data, record.data_size) == 0);
      at += record.size;
    }
    fast_assert(at == out.size);
  }
  ck_assert_uint_gt(agreed, HISTORIES(240000) / 12);
  message_free(&m);
}
END_TEST

START_TEST(mutated_writes_mean_the_same_to_the_generated_code)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(20261124);
  g_autoptr(SlTWriteReq) seed = generated_write(3, 2);
  seed->ack = SL_T_ACK_MAJORITY;
  seed->__isset_ack = seed->__isset_timeoutMs = TRUE;
  Message m = message_new();
  put_struct(&m.w, 1, seed);
  put_stop(&m.w);
  guint agreed = 0;
  for (guint round = 0; round < HISTORIES(240000); round++) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, m.bytes, (guint)m.w.at);
    mutate(rand, bytes);
    g_autofree guint8 *exact = g_memdup2(bytes->data, bytes->len);
    WriteRequest out;
    if (hot_write_parse(exact, bytes->len, &out, NULL) != HOT_VALID)
      continue;
    fast_assert(out.data > exact && out.data + out.size < exact + bytes->len);
    fast_assert(out.data[out.size - 1] == WIRE_STOP);
    g_autoptr(SlTWriteReq) req = g_object_new(SL_TYPE_T_WRITE_REQ, NULL);
    /* The content may still be refused, for names and required fields inside it. */
    if (!read_generated(exact, bytes->len, (ThriftStruct *)req, NULL))
      continue;
    agreed++;
    fast_assert((guint32)req->consensusGroupId == out.group);
    fast_assert(!req->__isset_ack || (gint)req->ack == (gint)out.ack);
    fast_assert((req->__isset_timeoutMs ? req->timeoutMs : -1) == out.timeout_ms);
    /* The range is the content: read alone it gives the same rows. */
    g_autoptr(SlTWrite) write = g_object_new(SL_TYPE_T_WRITE, NULL);
    FlatProtocol *flat = flat_protocol_of_thread();
    flat_begin_read(flat, out.data, out.size);
    fast_assert(thrift_struct_read((ThriftStruct *)write, (ThriftProtocol *)flat, NULL) >= 0);
    fast_assert(flat_left(flat) == 0);
    g_autoptr(GBytes) alone = generated_bytes(write);
    g_autoptr(GBytes) inside = generated_bytes(req->content);
    fast_assert(g_bytes_equal(alone, inside));
  }
  ck_assert_uint_gt(agreed, HISTORIES(240000) / 12);
  message_free(&m);
}
END_TEST

START_TEST(mutated_replies_do_no_harm)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(5);
  SyncReply reply = {
      .status = SYNCLOG_OUT_OF_WINDOW, .message = (char *)"window", .expected_index = 3};
  g_autofree RpcReply *good = hot_sync_reply(7, &reply);
  g_autofree RpcReply *refusal = hot_exception_reply("syncLog", 7, 1, 7, "because");
  guint accepted = 0;
  for (guint round = 0; round < HISTORIES(120000); round++) {
    RpcReply *from = round % 3 == 0 ? refusal : good;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, from->bytes + 4, (guint)from->size - 4);
    mutate(rand, bytes);
    g_autofree guint8 *exact = g_memdup2(bytes->data, bytes->len);
    SyncReply out;
    gint32 seqid;
    g_autoptr(GError) error = NULL;
    if (hot_sync_reply_parse(exact, bytes->len, &seqid, &out, &error)) {
      accepted++;
      fast_assert(out.message == NULL || g_utf8_validate(out.message, -1, NULL));
      sync_reply_clear(&out);
    } else {
      fast_assert(error != NULL);
    }
  }
  ck_assert_uint_gt(accepted, 1000);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      mutated_syncs_mean_the_same_to_the_generated_code,
      mutated_writes_mean_the_same_to_the_generated_code,
      mutated_replies_do_no_harm,
  };
  return RUN_SUITE("hot_mutated", tests);
}
