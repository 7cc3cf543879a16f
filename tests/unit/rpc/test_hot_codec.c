#include "base/limits.h"
#include "rpc/convert.h"
#include "rpc/hot_codec.h"
#include "support/suite.h"
#include "unit/rpc/generated.h"
#include "unit/rpc/messages.h"

static const LogId LOG = {3, 1700000000000000};

/* --- write ---------------------------------------------------------------------------------------
 */

START_TEST(write_as_the_generated_code_sends_it)
{
  for (gint rows = 0; rows < 50; rows += 7) {
    g_autoptr(SlTWriteReq) req = generated_write(rows, rows);
    if (rows % 2 == 1) {
      req->ack = SL_T_ACK_ALL;
      req->__isset_ack = TRUE;
      req->timeoutMs = 250;
      req->__isset_timeoutMs = TRUE;
    }
    g_autoptr(GBytes) content = generated_bytes(req->content);
    Message m = message_new();
    put_struct(&m.w, 1, req);
    put_stop(&m.w);
    WriteRequest out;
    ck_assert_int_eq(hot_write_parse(m.bytes, m.w.at, &out, NULL), HOT_VALID);
    ck_assert_uint_eq(out.group, (guint)rows);
    ck_assert_int_eq(out.ack, rows % 2 == 1 ? ACK_ALL : ACK_LOCAL);
    ck_assert_int_eq(out.timeout_ms, rows % 2 == 1 ? 250 : -1);
    ck_assert_uint_eq(out.size, g_bytes_get_size(content));
    ck_assert_mem_eq(out.data, g_bytes_get_data(content, NULL), out.size);
    message_free(&m);
  }
}
END_TEST

typedef enum { GROUP, WRITE, ACK, TIMEOUT, UNKNOWN, WRONG_TYPE } Part;

static void put_part(ByteWriter *w, Part part)
{
  switch (part) {
  case GROUP:
    wire_put_i32(w, 1, 7);
    break;
  case WRITE:
    wire_put_field(w, WIRE_STRUCT, 2);
    put_row_write(w, "d", 5, 10);
    break;
  case ACK:
    wire_put_i32(w, 3, 2);
    break;
  case TIMEOUT:
    wire_put_i32(w, 4, 99);
    break;
  case UNKNOWN:
    wire_put_field(w, WIRE_MAP, 300);
    byte_writer_u8(w, WIRE_STRING);
    byte_writer_u8(w, WIRE_LIST);
    byte_writer_be32(w, 2);
    for (guint i = 0; i < 2; i++) {
      byte_writer_be32(w, 3);
      byte_writer_put(w, "\xFF\x00k", 3);
      byte_writer_u8(w, WIRE_I16);
      byte_writer_be32(w, 3);
      byte_writer_put(w, "abcdef", 6);
    }
    break;
  case WRONG_TYPE:
    wire_put_i64(w, 4, 1);
    break;
  }
}

static HotVerdict parse_parts(const Part *parts, guint count, WriteRequest *out, GError **error)
{
  static guint8 bytes[MESSAGE_ROOM];
  ByteWriter w = byte_writer(bytes, sizeof bytes);
  wire_put_field(&w, WIRE_STRUCT, 1);
  for (guint i = 0; i < count; i++)
    put_part(&w, parts[i]);
  put_stop(&w);
  put_stop(&w);
  return hot_write_parse(bytes, w.at, out, error);
}

START_TEST(fields_come_in_any_order)
{
  WriteRequest out;
  const Part orders[][5] = {{GROUP, WRITE, ACK, TIMEOUT, UNKNOWN},
                            {UNKNOWN, TIMEOUT, ACK, WRITE, GROUP},
                            {WRITE, UNKNOWN, GROUP, TIMEOUT, ACK},
                            {ACK, GROUP, UNKNOWN, WRITE, TIMEOUT}};
  for (guint i = 0; i < G_N_ELEMENTS(orders); i++) {
    ck_assert_int_eq(parse_parts(orders[i], 5, &out, NULL), HOT_VALID);
    ck_assert_uint_eq(out.group, 7);
    ck_assert_int_eq(out.ack, ACK_MAJORITY);
    ck_assert_int_eq(out.timeout_ms, 99);
    ck_assert_uint_eq(out.data[out.size - 1], WIRE_STOP);
    ck_assert_uint_eq(out.data[0], WIRE_LIST);
  }
  /* An optional field of another type is as good as absent. */
  ck_assert_int_eq(parse_parts((Part[]){GROUP, WRITE, WRONG_TYPE}, 3, &out, NULL), HOT_VALID);
  ck_assert_int_eq(out.timeout_ms, -1);
}
END_TEST

START_TEST(missing_and_repeated_fields_are_refused)
{
  WriteRequest out;
  ck_assert_int_eq(parse_parts((Part[]){GROUP}, 1, &out, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_parts((Part[]){WRITE}, 1, &out, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_parts(NULL, 0, &out, NULL), HOT_BROKEN);
  const Part all[] = {GROUP, WRITE, ACK, TIMEOUT};
  for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
    g_autoptr(GError) error = NULL;
    const Part parts[] = {GROUP, WRITE, ACK, TIMEOUT, all[i]};
    ck_assert_int_eq(parse_parts(parts, 5, &out, &error), HOT_BROKEN);
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  }
  guint8 nothing[] = {WIRE_STOP};
  ck_assert_int_eq(hot_write_parse(nothing, 1, &out, NULL), HOT_BROKEN);
  ck_assert_int_eq(hot_write_parse(nothing, 0, &out, NULL), HOT_BROKEN);
}
END_TEST

START_TEST(every_cut_and_every_tail_is_refused)
{
  Message m = message_new();
  put_write_args(&m.w, 1, 2, 20);
  WriteRequest out;
  ck_assert_int_eq(hot_write_parse(m.bytes, m.w.at, &out, NULL), HOT_VALID);
  for (gsize size = 0; size < m.w.at; size++) {
    g_autofree guint8 *exact = g_memdup2(m.bytes, size); /* so that ASan sees a step too far */
    fast_assert(hot_write_parse(exact, size, &out, NULL) == HOT_BROKEN);
  }
  byte_writer_u8(&m.w, 0);
  ck_assert_int_eq(hot_write_parse(m.bytes, m.w.at, &out, NULL), HOT_BROKEN);
  message_free(&m);
}
END_TEST

/* `depth` structs inside each other as field 9 of the request; the request's own are 2. */
static HotVerdict parse_nested(guint depth, guint8 type)
{
  Message m = message_new();
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  put_part(&m.w, GROUP);
  put_part(&m.w, WRITE);
  wire_put_field(&m.w, type, 9);
  for (guint i = 0; i + 1 < depth; i++) {
    if (type == WIRE_STRUCT) {
      wire_put_field(&m.w, WIRE_STRUCT, 1);
    } else {
      byte_writer_u8(&m.w, WIRE_LIST);
      byte_writer_be32(&m.w, 1);
    }
  }
  if (type == WIRE_LIST) {
    byte_writer_u8(&m.w, WIRE_BYTE);
    byte_writer_be32(&m.w, 0);
  }
  for (guint i = 0; type == WIRE_STRUCT && i < depth; i++)
    put_stop(&m.w);
  put_stop(&m.w);
  put_stop(&m.w);
  WriteRequest out;
  HotVerdict verdict = hot_write_parse(m.bytes, m.w.at, &out, NULL);
  message_free(&m);
  return verdict;
}

START_TEST(nesting_is_bounded)
{
  const guint8 types[] = {WIRE_STRUCT, WIRE_LIST};
  for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
    ck_assert_int_eq(parse_nested(1, types[i]), HOT_VALID);
    ck_assert_int_eq(parse_nested(LIMIT_THRIFT_DEPTH - 2, types[i]), HOT_VALID);
    ck_assert_int_eq(parse_nested(LIMIT_THRIFT_DEPTH - 1, types[i]), HOT_BROKEN);
    ck_assert_int_eq(parse_nested(40000, types[i]), HOT_BROKEN);
  }
}
END_TEST

/* Containers and strings that claim more than there is, in place of the write's content. */
START_TEST(sizes_are_checked_against_what_is_left)
{
  const struct {
    guint8 bytes[12];
    gsize size;
  } contents[] = {
      {{WIRE_STRING, 0, 1, 0x7F, 0xFF, 0xFF, 0xFF}, 7},
      {{WIRE_STRING, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF}, 7},
      {{WIRE_STRING, 0, 1, 0x80, 0, 0, 0}, 7},
      {{WIRE_LIST, 0, 1, WIRE_STRUCT, 0x7F, 0xFF, 0xFF, 0xFF}, 8},
      {{WIRE_LIST, 0, 1, WIRE_I64, 0x20, 0, 0, 1}, 8},
      {{WIRE_LIST, 0, 1, WIRE_I64, 0xFF, 0xFF, 0xFF, 0xFF}, 8},
      {{WIRE_LIST, 0, 1, 0x7F, 0, 0, 0, 1, 0}, 9},
      {{WIRE_SET, 0, 1, WIRE_BOOL, 0, 0, 0, 100}, 8},
      {{WIRE_MAP, 0, 1, WIRE_STRUCT, WIRE_STRUCT, 0x7F, 0xFF, 0xFF, 0xFF}, 9},
      {{WIRE_MAP, 0, 1, WIRE_I64, 0, 0, 0, 0, 1, 0}, 10},
      {{1, 0, 1}, 3},
      {{0x7F, 0, 1}, 3},
  };
  for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
    Message m = message_new();
    wire_put_field(&m.w, WIRE_STRUCT, 1);
    put_part(&m.w, GROUP);
    wire_put_field(&m.w, WIRE_STRUCT, 2);
    byte_writer_put(&m.w, contents[i].bytes, contents[i].size);
    for (guint k = 0; k < 20; k++)
      put_stop(&m.w);
    WriteRequest out;
    ck_assert_msg(hot_write_parse(m.bytes, m.w.at, &out, NULL) == HOT_BROKEN, "content %u", i);
    message_free(&m);
  }
}
END_TEST

START_TEST(numbers_out_of_range_get_a_status)
{
  const struct {
    gint32 group, ack, timeout_ms;
    const char *field;
  } cases[] = {{-2, 1, 0, "consensusGroupId"},
               {0, 0, 0, "ack"},
               {0, 4, 0, "ack"},
               {0, -1, 0, "ack"},
               {0, 1, -1, "timeoutMs"},
               {0, 1, G_MININT32, "timeoutMs"}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    Message m = message_new();
    wire_put_field(&m.w, WIRE_STRUCT, 1);
    wire_put_i32(&m.w, 1, (guint32)cases[i].group);
    put_part(&m.w, WRITE);
    wire_put_i32(&m.w, 3, (guint32)cases[i].ack);
    wire_put_i32(&m.w, 4, (guint32)cases[i].timeout_ms);
    put_stop(&m.w);
    put_stop(&m.w);
    WriteRequest out;
    g_autoptr(GError) error = NULL;
    ck_assert_int_eq(hot_write_parse(m.bytes, m.w.at, &out, &error), HOT_REFUSED);
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
    ck_assert_ptr_nonnull(strstr(error->message, cases[i].field));
    message_free(&m);
  }
}
END_TEST

START_TEST(an_entry_over_the_limit_is_too_large)
{
  /* A TWrite that is one unknown binary field: 3 + 4 + n + 1 bytes. */
  for (gint over = 0; over <= 1; over++) {
    gsize n = LIMIT_ENTRY_SIZE - 8 + (gsize)over;
    g_autofree guint8 *bytes = g_malloc0(n + 64);
    ByteWriter w = byte_writer(bytes, n + 64);
    g_autofree char *text = g_strnfill(n, 'x');
    wire_put_field(&w, WIRE_STRUCT, 1);
    put_part(&w, GROUP);
    wire_put_field(&w, WIRE_STRUCT, 2);
    wire_put_string(&w, 50, text, n);
    for (guint i = 0; i < 3; i++)
      put_stop(&w);
    WriteRequest out;
    g_autoptr(GError) error = NULL;
    ck_assert_int_eq(hot_write_parse(bytes, w.at, &out, &error), over ? HOT_REFUSED : HOT_VALID);
    if (over)
      ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
    else
      ck_assert_uint_eq(out.size, LIMIT_ENTRY_SIZE);
  }
}
END_TEST

/* --- syncLog -------------------------------------------------------------------------------------
 */

static EntryRun *make_run(guint64 first, guint count, gsize size)
{
  GByteArray *bytes = g_byte_array_new();
  g_autofree guint8 *data = g_malloc(size);
  g_autofree guint8 *record = g_malloc(size + RECORD_OVERHEAD_SIZE);
  for (guint i = 0; i < count; i++) {
    memset(data, (int)(first + i), size);
    gsize n = record_write(record_seed(LOG), first + i, 77 + i, data, size, record);
    g_byte_array_append(bytes, record, (guint)n);
  }
  return entry_run_new(LOG, first, count, bytes->data, bytes->len, bytes,
                       (GDestroyNotify)g_byte_array_unref);
}

/* The whole frame of a syncLog as a channel sends it. */
static GByteArray *sync_frame(SyncBatch *batch, gint32 seqid)
{
  GByteArray *frame = g_byte_array_new();
  guint8 prefix[HOT_SYNC_PREFIX_ROOM], suffix[HOT_SYNC_SUFFIX_ROOM];
  g_byte_array_append(frame, prefix,
                      (guint)hot_sync_request_prefix(prefix, sizeof prefix, seqid, batch));
  for (guint i = 0; i < batch->slices->len; i++) {
    RunSlice *slice = batch->slices->pdata[i];
    gsize begin = entry_run_offset(slice->run, slice->first);
    gsize end = entry_run_offset(slice->run, slice->first + slice->count), all;
    g_byte_array_append(frame, entry_run_bytes(slice->run, &all) + begin, (guint)(end - begin));
  }
  g_byte_array_append(frame, suffix, (guint)hot_sync_request_suffix(suffix, sizeof suffix, batch));
  return frame;
}

static SlTSyncLogReq *generated_sync(EntryRun *run, gboolean sync_now, gboolean from_wal)
{
  SlTSyncLogReq *req = g_object_new(SL_TYPE_T_SYNC_LOG_REQ, NULL);
  req->consensusGroupId = 4;
  req->log->origin = (gint32)LOG.origin;
  req->log->incarnation = (gint64)LOG.incarnation;
  req->startSyncIndex = (gint64)entry_run_first_index(run);
  req->endSyncIndex = (gint64)entry_run_last_index(run);
  req->syncNow = sync_now;
  req->fromWal = from_wal;
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    SlTLogBatch *one = g_object_new(SL_TYPE_T_LOG_BATCH, NULL);
    one->searchIndex = (gint64)record.index;
    one->hlc = (gint64)record.hlc;
    g_clear_pointer(&one->data, g_byte_array_unref);
    one->data = g_byte_array_new();
    g_byte_array_append(one->data, record.data, (guint)record.data_size);
    one->checksum = (gint32)load_be32(record.data + record.data_size + 3);
    g_ptr_array_add(req->batches, one);
  }
  return req;
}

START_TEST(sync_frame_is_the_generated_one)
{
  for (guint flags = 0; flags < 8; flags++) {
    g_autoptr(EntryRun) run = make_run(40 + flags, 9, 30 + flags);
    g_autoptr(SyncBatch) batch = sync_batch_new(4, LOG);
    sync_batch_add(batch, run, 0, 5);
    sync_batch_add(batch, run, 5, 4);
    batch->sync_now = (flags & 1) != 0;
    batch->from_wal = (flags & 2) != 0;
    batch->chain_before = (flags & 4) != 0 ? G_GUINT64_CONSTANT(0xFEDCBA9876543210) : 0;
    g_autoptr(GByteArray) frame = sync_frame(batch, 0x01020304);
    ck_assert_uint_eq(load_be32(frame->data), frame->len - FRAME_LENGTH_SIZE);

    g_autoptr(SlTSyncLogReq) req = generated_sync(run, batch->sync_now, batch->from_wal);
    req->digestBefore = (gint64)batch->chain_before;
    req->__isset_digestBefore = batch->chain_before != 0;
    Message m = message_call("syncLog", 0x01020304);
    put_struct(&m.w, 1, req);
    put_stop(&m.w);
    message_end(&m);
    ck_assert_uint_eq(frame->len, m.w.at);
    ck_assert_mem_eq(frame->data, m.bytes, m.w.at);
    message_free(&m);

    FrameHeader header;
    const guint8 *content = frame->data + FRAME_LENGTH_SIZE;
    gsize size = frame->len - FRAME_LENGTH_SIZE;
    ck_assert_int_eq(frame_header_parse(content, size, &header), HEADER_VALID);
    SyncLogRequest out;
    ck_assert_int_eq(hot_sync_parse(content + header.size, size - header.size, &out, NULL),
                     HOT_VALID);
    ck_assert_uint_eq(out.group, 4);
    ck_assert(log_id_equal(out.log, LOG));
    ck_assert_uint_eq(out.first_index, 40 + flags);
    ck_assert_uint_eq(out.last_index, 48 + flags);
    ck_assert_uint_eq(out.count, 9);
    ck_assert_int_eq(out.sync_now, batch->sync_now);
    ck_assert_int_eq(out.from_wal, batch->from_wal);
    ck_assert_uint_eq(out.chain_before, batch->chain_before);
    gsize run_size;
    const guint8 *run_bytes = entry_run_bytes(run, &run_size);
    ck_assert_uint_eq(out.size, run_size);
    ck_assert_mem_eq(out.bytes, run_bytes, run_size);
  }
}
END_TEST

/* Arguments of a syncLog with these numbers, and `count` of 3 real records announced. */
static HotVerdict parse_sync(gint32 group, gint32 origin, gint64 incarnation, gint64 first,
                             gint64 last, guint32 count, guint8 element_type, GError **error)
{
  g_autoptr(EntryRun) run = make_run(10, 3, 20);
  Message m = message_new();
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, (guint32)group);
  wire_put_field(&m.w, WIRE_STRUCT, 2);
  wire_put_i32(&m.w, 1, (guint32)origin);
  wire_put_i64(&m.w, 2, (guint64)incarnation);
  put_stop(&m.w);
  wire_put_i64(&m.w, 3, (guint64)first);
  wire_put_i64(&m.w, 4, (guint64)last);
  wire_put_bool(&m.w, 5, FALSE);
  wire_put_bool(&m.w, 6, FALSE);
  wire_put_field(&m.w, WIRE_LIST, 7);
  byte_writer_u8(&m.w, element_type);
  byte_writer_be32(&m.w, count);
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  if (count > 0)
    byte_writer_put(&m.w, bytes, size);
  put_stop(&m.w);
  put_stop(&m.w);
  SyncLogRequest out;
  HotVerdict verdict = hot_sync_parse(m.bytes, m.w.at, &out, error);
  message_free(&m);
  return verdict;
}

START_TEST(sync_numbers_are_checked)
{
  const gint64 now = 1700000000000000;
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 3, WIRE_STRUCT, NULL), HOT_VALID);
  ck_assert_int_eq(parse_sync(0, LIMIT_NODE_ID, 1, 10, 12, 3, WIRE_STRUCT, NULL), HOT_VALID);
  ck_assert_int_eq(parse_sync(-1, 1, now, 10, 12, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 0, now, 10, 12, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, -1, now, 10, 12, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, LIMIT_NODE_ID + 1, now, 10, 12, 3, WIRE_STRUCT, NULL),
                   HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, 0, 10, 12, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, -5, 10, 12, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 0, 2, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, -1, 1, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 9, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 13, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 1, G_MAXINT64, 3, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 0, WIRE_STRUCT, NULL), HOT_REFUSED);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 2, WIRE_STRUCT, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 4, WIRE_STRUCT, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 0x7FFFFFFF, WIRE_STRUCT, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 0xFFFFFFFF, WIRE_STRUCT, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 3, WIRE_I64, NULL), HOT_BROKEN);
  ck_assert_int_eq(parse_sync(0, 1, now, 10, 12, 0, WIRE_I64, NULL), HOT_BROKEN);
}
END_TEST

START_TEST(too_many_entries_are_refused)
{
  guint count = LIMIT_BATCHES_PER_REQUEST + 1;
  gsize room = count * (RECORD_OVERHEAD_SIZE + 1) + 256;
  g_autofree guint8 *bytes = g_malloc(room);
  for (guint over = 0; over <= 1; over++) {
    ByteWriter w = byte_writer(bytes, room);
    put_sync_args(&w, LOG, 1, count - 1 + over, 1);
    ck_assert(!w.failed);
    SyncLogRequest out;
    g_autoptr(GError) error = NULL;
    ck_assert_int_eq(hot_sync_parse(bytes, w.at, &out, &error), over ? HOT_REFUSED : HOT_VALID);
    if (over)
      ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  }
}
END_TEST

START_TEST(only_canonical_records_are_taken)
{
  Message m = message_new();
  put_sync_args(&m.w, LOG, 5, 2, 8);
  SyncLogRequest out;
  ck_assert_int_eq(hot_sync_parse(m.bytes, m.w.at, &out, NULL), HOT_VALID);
  guint8 *records = (guint8 *)out.bytes;
  /* Field types, ids and the stop byte, in both records; numbers and data may be anything. */
  const gsize fixed[] = {0, 1, 2, 11, 12, 13, 22, 23, 24, 37, 38, 39, 44};
  for (guint k = 0; k < 2; k++) {
    for (guint i = 0; i < G_N_ELEMENTS(fixed); i++) {
      guint8 *byte = records + k * (8 + RECORD_OVERHEAD_SIZE) + fixed[i];
      *byte ^= 1;
      fast_assert_msg(hot_sync_parse(m.bytes, m.w.at, &out, NULL) == HOT_BROKEN, "byte %zu",
                      fixed[i]);
      *byte ^= 1;
    }
  }
  for (gsize size = 0; size < m.w.at; size++) {
    g_autofree guint8 *exact = g_memdup2(m.bytes, size);
    fast_assert(hot_sync_parse(exact, size, &out, NULL) == HOT_BROKEN);
  }
  byte_writer_u8(&m.w, 1);
  ck_assert_int_eq(hot_sync_parse(m.bytes, m.w.at, &out, NULL), HOT_BROKEN);
  message_free(&m);
}
END_TEST

/* --- replies -------------------------------------------------------------------------------------
 */

/* The frame with `object` as the result of the method. */
static Message generated_reply(const char *method, gint32 seqid, gpointer object)
{
  Message m = message_new();
  byte_writer_be32(&m.w, 0);
  wire_put_message(&m.w, THRIFT_REPLY, method, strlen(method), seqid);
  put_struct(&m.w, 0, object);
  put_stop(&m.w);
  message_end(&m);
  return m;
}

static void check_same(RpcReply *reply, Message *m)
{
  ck_assert_uint_eq(reply->size, m->w.at);
  ck_assert_mem_eq(reply->bytes, m->bytes, reply->size);
  g_free(reply);
  message_free(m);
}

static const char *const texts[] = {NULL, "", "the log is full", "größer als erlaubt"};

static void compare_write_replies(guint32 group)
{
  for (int code = SYNCLOG_OK; code <= SYNCLOG_INTERNAL; code++) {
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
      Token token = {.log = LOG, .index = 1234567890123};
      g_autoptr(SlTWriteReply) object = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
      convert_status_to_thrift(code, texts[i], object->status);
      if (i % 2 == 0) {
        object->token->log->origin = (gint32)LOG.origin;
        object->token->log->incarnation = (gint64)LOG.incarnation;
        object->token->index = (gint64)token.index;
        object->__isset_token = TRUE;
        token.group = group;
        object->token->consensusGroupId = (gint32)group;
        object->token->__isset_consensusGroupId = group != 0;
      }
      Message m = generated_reply("write", -5, object);
      check_same(hot_write_reply(-5, (SynclogStatus)code, texts[i], 0, i % 2 == 0 ? &token : NULL),
                 &m);
    }
  }
}

START_TEST(write_replies_are_the_generated_ones)
{
  compare_write_replies(0);
  compare_write_replies(1);
  compare_write_replies(LIMIT_GROUP_ID);
}
END_TEST

START_TEST(a_hint_goes_with_what_can_be_tried_again)
{
  for (int code = SYNCLOG_OK; code <= SYNCLOG_INTERNAL; code++) {
    g_autoptr(SlTWriteReply) object = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
    convert_status_to_thrift(code, "m", object->status);
    if (object->status->__isset_retryAfterMs)
      object->status->retryAfterMs = 4711;
    Message m = generated_reply("write", 3, object);
    check_same(hot_write_reply(3, (SynclogStatus)code, "m", 4711, NULL), &m);
  }
}
END_TEST

START_TEST(sync_replies_are_the_generated_ones_and_read_back)
{
  for (int code = SYNCLOG_OK; code <= SYNCLOG_INTERNAL; code++) {
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
      SyncReply reply = {.status = (SynclogStatus)code,
                         .message = (char *)texts[i],
                         .received = G_MAXINT64,
                         .durable = 5,
                         .applied = 0,
                         .expected_index = i == 3 ? 17 : 0};
      g_autoptr(SlTSyncLogReply) object = g_object_new(SL_TYPE_T_SYNC_LOG_REPLY, NULL);
      convert_status_to_thrift(code, texts[i], object->status);
      object->received = G_MAXINT64;
      object->durable = 5;
      object->applied = 0;
      object->expectedIndex = (gint64)reply.expected_index;
      object->__isset_expectedIndex = reply.expected_index != 0;
      Message m = generated_reply("syncLog", 9, object);
      SyncReply back;
      gint32 seqid;
      ck_assert(hot_sync_reply_parse(m.bytes + 4, m.w.at - 4, &seqid, &back, NULL));
      ck_assert_int_eq(seqid, 9);
      ck_assert_int_eq(back.status, code);
      ck_assert_uint_eq(back.received, G_MAXINT64);
      ck_assert_uint_eq(back.durable, 5);
      ck_assert_uint_eq(back.applied, 0);
      ck_assert_uint_eq(back.expected_index, reply.expected_index);
      if (code == SYNCLOG_OK)
        ck_assert_ptr_null(back.message);
      else
        ck_assert_str_eq(back.message, texts[i] != NULL ? texts[i] : synclog_status_text(code));
      sync_reply_clear(&back);
      check_same(hot_sync_reply(9, &reply), &m);
    }
  }
}
END_TEST

/* Columns of all types, with missing values or without. */
static Table *table_of(guint rows, gboolean nulls, gboolean more)
{
  Table *table = table_new();
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++) {
    Column *column = column_new(type == DATA_TEXT ? "größe" : "m", (DataType)type);
    for (guint row = 0; row < rows; row++) {
      guint8 packed[8] = {(guint8)(row % 2), 3, 4, 5, 6, 7, 8, 9};
      if (nulls && row % 3 == 0)
        column_append_null(column);
      else
        column_append(column, packed, type == DATA_TEXT ? row % 5 : data_type_size((DataType)type));
    }
    column_finish(column);
    g_ptr_array_add(table->columns, column);
  }
  for (guint row = 0; row < rows; row++) {
    gint64 time = (gint64)row * 1000 - 5;
    g_array_append_val(table->timestamps, time);
  }
  if (more)
    table->next_page = g_bytes_new("page", 4);
  return table;
}

START_TEST(query_replies_are_the_generated_ones)
{
  static const guint counts[] = {0, 1, 7, 1000};
  for (guint i = 0; i < 4 * G_N_ELEMENTS(counts); i++) {
    g_autoptr(Table) table = table_of(counts[i / 4], i % 2 == 1, i / 2 % 2 == 1);
    if (i == 0)
      g_ptr_array_set_size(table->columns, 0);
    g_autoptr(SlTQueryReply) object = g_object_new(SL_TYPE_T_QUERY_REPLY, NULL);
    convert_status_to_thrift(SYNCLOG_OK, NULL, object->status);
    convert_table_to_thrift(table, object);
    Message m = generated_reply("query", -7, object);
    check_same(hot_query_reply(-7, table), &m);
  }
  g_autoptr(Table) large = table_new();
  g_array_set_size(large->timestamps, LIMIT_FRAME_SIZE / 8);
  ck_assert_ptr_null(hot_query_reply(1, large));
}
END_TEST

START_TEST(long_and_invalid_messages_are_made_fit)
{
  g_autofree char *text = g_strnfill(1000000, 'x');
  memcpy(text, "\xFF\xC3", 2);
  SyncReply reply = {.status = SYNCLOG_CORRUPT, .message = text}, back;
  g_autofree RpcReply *bytes = hot_sync_reply(1, &reply);
  ck_assert_uint_lt(bytes->size, 8192);
  gint32 seqid;
  ck_assert(hot_sync_reply_parse(bytes->bytes + 4, bytes->size - 4, &seqid, &back, NULL));
  ck_assert(g_utf8_validate(back.message, -1, NULL));
  sync_reply_clear(&back);
}
END_TEST

START_TEST(exceptions_are_errors_of_the_reply)
{
  g_autofree RpcReply *reply =
      hot_exception_reply("syncLog", 7, 42, EXCEPTION_PROTOCOL_ERROR, "no such thing");
  gint32 seqid;
  SyncReply out;
  g_autoptr(GError) error = NULL;
  ck_assert(!hot_sync_reply_parse(reply->bytes + 4, reply->size - 4, &seqid, &out, &error));
  ck_assert_int_eq(seqid, 42);
  ck_assert_ptr_nonnull(strstr(error->message, "no such thing"));
}
END_TEST

START_TEST(malformed_replies_are_refused)
{
  SyncReply reply = {.status = SYNCLOG_OUT_OF_WINDOW, .message = (char *)"m", .expected_index = 3};
  g_autofree RpcReply *good = hot_sync_reply(7, &reply);
  SyncReply out;
  gint32 seqid;
  for (gsize size = 0; size < good->size - 4; size++) {
    g_autofree guint8 *exact = g_memdup2(good->bytes + 4, size);
    fast_assert(!hot_sync_reply_parse(exact, size, &seqid, &out, NULL));
  }
  g_autofree RpcReply *other = hot_write_reply(7, SYNCLOG_OK, NULL, 0, NULL);
  ck_assert(!hot_sync_reply_parse(other->bytes + 4, other->size - 4, &seqid, &out, NULL));
  /* A status that is none, and a number below 0. */
  guint8 *code = good->bytes + 4 + 19 + 3 + 3 + 3 + 3;
  ck_assert_uint_eq(*code, SYNCLOG_OUT_OF_WINDOW);
  *code = SYNCLOG_STATUS_LAST + 1;
  ck_assert(!hot_sync_reply_parse(good->bytes + 4, good->size - 4, &seqid, &out, NULL));
  *code = SYNCLOG_OK;
  ck_assert(hot_sync_reply_parse(good->bytes + 4, good->size - 4, &seqid, &out, NULL));
  sync_reply_clear(&out);
  good->bytes[good->size - 2 - 8] = 0x80; /* the highest byte of expectedIndex */
  ck_assert(!hot_sync_reply_parse(good->bytes + 4, good->size - 4, &seqid, &out, NULL));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      write_as_the_generated_code_sends_it,
      fields_come_in_any_order,
      missing_and_repeated_fields_are_refused,
      every_cut_and_every_tail_is_refused,
      nesting_is_bounded,
      sizes_are_checked_against_what_is_left,
      numbers_out_of_range_get_a_status,
      an_entry_over_the_limit_is_too_large,
      sync_frame_is_the_generated_one,
      sync_numbers_are_checked,
      too_many_entries_are_refused,
      only_canonical_records_are_taken,
      write_replies_are_the_generated_ones,
      a_hint_goes_with_what_can_be_tried_again,
      sync_replies_are_the_generated_ones_and_read_back,
      query_replies_are_the_generated_ones,
      long_and_invalid_messages_are_made_fit,
      exceptions_are_errors_of_the_reply,
      malformed_replies_are_refused,
  };
  return RUN_SUITE("hot_codec", tests);
}
