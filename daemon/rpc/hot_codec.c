#include "rpc/hot_codec.h"

#include "base/limits.h"
#include "rpc/frame.h"
#include "rpc/wire.h"

static const char WRITE_NAME[] = "write";
static const char SYNC_NAME[] = "syncLog";

enum {
  /* More than a reply has besides its strings. */
  REPLY_FIXED_SIZE = 192,
};

static gboolean broken(GError **error, const char *what)
{
  return fail(error, SYNCLOG_INVALID, "malformed arguments: %s", what);
}

static HotVerdict refused(GError **error, const char *field)
{
  fail(error, SYNCLOG_INVALID, "%s is out of range", field);
  return HOT_REFUSED;
}

/* --- requests -----------------------------------------------------------------------------------
 */

/* Reads the arguments' struct: field 1, a struct that `read_request` takes, and nothing behind. */
static gboolean read_args(const guint8 *bytes, gsize size,
                          gboolean (*read_request)(ByteReader *r, gpointer out), gpointer out,
                          GError **error)
{
  ByteReader r = byte_reader(bytes, size);
  WireFields fields = {0};
  gboolean found = FALSE;
  while (wire_next_field(&r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_STRUCT)
      found = read_request(&r, out);
    else
      wire_skip(&r, fields.type, 1);
  }
  if (r.failed)
    return broken(error, "a value is cut off, repeated, nested too deeply or of no type");
  if (!found)
    return broken(error, "a required field is missing");
  if (byte_reader_left(&r) > 0)
    return broken(error, "bytes behind them");
  return TRUE;
}

typedef struct WriteFields {
  const guint8 *data;
  gsize size;
  gint32 group, ack, timeout_ms;
  gboolean has_timeout;
} WriteFields;

static gboolean read_write_request(ByteReader *r, gpointer out)
{
  WriteFields *write = out;
  WireFields fields = {0};
  gboolean has_group = FALSE;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_I32) {
      write->group = (gint32)byte_reader_be32(r);
      has_group = TRUE;
    } else if (fields.id == 2 && fields.type == WIRE_STRUCT) {
      gsize begin = r->at;
      wire_skip(r, WIRE_STRUCT, 2);
      write->data = r->bytes + begin;
      write->size = r->at - begin;
    } else if (fields.id == 3 && fields.type == WIRE_I32) {
      write->ack = (gint32)byte_reader_be32(r);
    } else if (fields.id == 4 && fields.type == WIRE_I32) {
      write->timeout_ms = (gint32)byte_reader_be32(r);
      write->has_timeout = TRUE;
    } else {
      wire_skip(r, fields.type, 2);
    }
  }
  return has_group && write->data != NULL;
}

HotVerdict hot_write_parse(const guint8 *bytes, gsize size, WriteRequest *out, GError **error)
{
  WriteFields write = {.ack = ACK_LOCAL};
  if (!read_args(bytes, size, read_write_request, &write, error))
    return HOT_BROKEN;
  if (write.group < 0 && (guint32)write.group != GROUP_BY_RULE)
    return refused(error, "consensusGroupId");
  if (write.ack < ACK_LOCAL || write.ack > ACK_ALL)
    return refused(error, "ack");
  if (write.has_timeout && write.timeout_ms < 0)
    return refused(error, "timeoutMs");
  if (write.size > LIMIT_ENTRY_SIZE) {
    fail(error, SYNCLOG_TOO_LARGE, "the write has %zu bytes, the limit is %d", write.size,
         LIMIT_ENTRY_SIZE);
    return HOT_REFUSED;
  }
  *out = (WriteRequest){.group = (guint32)write.group,
                        .data = write.data,
                        .size = write.size,
                        .ack = (AckLevel)write.ack,
                        .timeout_ms = write.has_timeout ? write.timeout_ms : -1};
  return HOT_VALID;
}

typedef struct SyncFields {
  gint32 group, origin;
  gint64 incarnation, first, last;
  gboolean sync_now, from_wal;
  guint64 chain_before;
  const guint8 *bytes;
  gsize size;
  guint32 count;
} SyncFields;

/* FALSE when a required field of the log id is missing. */
static gboolean read_log_id(ByteReader *r, SyncFields *sync)
{
  WireFields fields = {0};
  guint found = 0;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_I32) {
      sync->origin = (gint32)byte_reader_be32(r);
      found++;
    } else if (fields.id == 2 && fields.type == WIRE_I64) {
      sync->incarnation = (gint64)byte_reader_be64(r);
      found++;
    } else {
      wire_skip(r, fields.type, 3);
    }
  }
  return found == 2;
}

/* Walks over the records in place. */
static gboolean read_records(ByteReader *r, SyncFields *sync)
{
  guint8 type = byte_reader_u8(r);
  guint32 count = byte_reader_be32(r);
  if (type != WIRE_STRUCT || (guint64)count * (RECORD_OVERHEAD_SIZE + 1) > byte_reader_left(r)) {
    r->failed = TRUE;
    return FALSE;
  }
  gsize begin = r->at;
  for (guint32 i = 0; i < count; i++) {
    Record record;
    if (record_parse_trusted(r->bytes + r->at, r->size - r->at, &record) != RECORD_VALID) {
      r->failed = TRUE;
      return FALSE;
    }
    r->at += record.size;
  }
  sync->bytes = r->bytes + begin;
  sync->size = r->at - begin;
  sync->count = count;
  return TRUE;
}

/* One field of a TSyncLogReq; whether it was one that is required. */
static gboolean read_sync_field(ByteReader *r, const WireFields *field, SyncFields *sync)
{
  switch ((guint)(guint16)field->id << 8 | field->type) {
  case 1 << 8 | WIRE_I32:
    sync->group = (gint32)byte_reader_be32(r);
    return TRUE;
  case 2 << 8 | WIRE_STRUCT:
    return read_log_id(r, sync);
  case 3 << 8 | WIRE_I64:
    sync->first = (gint64)byte_reader_be64(r);
    return TRUE;
  case 4 << 8 | WIRE_I64:
    sync->last = (gint64)byte_reader_be64(r);
    return TRUE;
  case 5 << 8 | WIRE_BOOL:
    sync->sync_now = byte_reader_u8(r) != 0;
    return TRUE;
  case 6 << 8 | WIRE_BOOL:
    sync->from_wal = byte_reader_u8(r) != 0;
    return TRUE;
  case 7 << 8 | WIRE_LIST:
    return read_records(r, sync);
  case 8 << 8 | WIRE_I64:
    sync->chain_before = byte_reader_be64(r);
    return FALSE;
  }
  wire_skip(r, field->type, 2);
  return FALSE;
}

static gboolean read_sync_request(ByteReader *r, gpointer out)
{
  WireFields fields = {0};
  guint found = 0;
  while (wire_next_field(r, &fields))
    found += read_sync_field(r, &fields, out) ? 1 : 0;
  return found == 7;
}

HotVerdict hot_sync_parse(const guint8 *bytes, gsize size, SyncLogRequest *out, GError **error)
{
  SyncFields sync = {0};
  if (!read_args(bytes, size, read_sync_request, &sync, error))
    return HOT_BROKEN;
  if (sync.group < 0)
    return refused(error, "consensusGroupId");
  if (sync.origin < 1 || sync.origin > LIMIT_NODE_ID)
    return refused(error, "log.origin");
  if (sync.incarnation < 1)
    return refused(error, "log.incarnation");
  if (sync.first < 1 || sync.last < sync.first)
    return refused(error, "startSyncIndex or endSyncIndex");
  if (sync.count > LIMIT_BATCHES_PER_REQUEST) {
    fail(error, SYNCLOG_TOO_LARGE, "%u entries in one request, the limit is %d", sync.count,
         LIMIT_BATCHES_PER_REQUEST);
    return HOT_REFUSED;
  }
  if (sync.count == 0 || (guint64)(sync.last - sync.first) != sync.count - 1)
    return refused(error, "the number of batches");
  *out = (SyncLogRequest){.group = (guint32)sync.group,
                          .log = {(guint32)sync.origin, (guint64)sync.incarnation},
                          .first_index = (guint64)sync.first,
                          .last_index = (guint64)sync.last,
                          .sync_now = sync.sync_now,
                          .from_wal = sync.from_wal,
                          .chain_before = sync.chain_before,
                          .bytes = sync.bytes,
                          .size = sync.size,
                          .count = sync.count};
  return HOT_VALID;
}

/* --- replies ------------------------------------------------------------------------------------
 */

/* A message fit for the wire, or NULL: valid UTF-8 of bounded size. */
static char *message_for(SynclogStatus status, const char *message)
{
  if (status == SYNCLOG_OK)
    return NULL;
  if (message == NULL)
    message = synclog_status_text(status);
  gsize size = strnlen(message, LIMIT_MESSAGE_SIZE);
  return g_utf8_make_valid(message, (gssize)size);
}

/* retry_after_ms 0: what the status says. */
static void put_status(ByteWriter *w, guint16 id, SynclogStatus status, const char *message,
                       gint32 retry_after_ms)
{
  wire_put_field(w, WIRE_STRUCT, id);
  wire_put_i32(w, 1, status);
  if (message != NULL)
    wire_put_string(w, 2, message, strlen(message));
  wire_put_bool(w, 3, synclog_status_retryable(status));
  gint32 usual_ms = synclog_status_retry_after_ms(status);
  if (usual_ms > 0)
    wire_put_i32(w, 4, (guint32)(retry_after_ms > 0 ? retry_after_ms : usual_ms));
  byte_writer_u8(w, WIRE_STOP);
}

static void put_log_id(ByteWriter *w, guint16 id, LogId log)
{
  wire_put_field(w, WIRE_STRUCT, id);
  wire_put_i32(w, 1, log.origin);
  wire_put_i64(w, 2, log.incarnation);
  byte_writer_u8(w, WIRE_STOP);
}

static RpcReply *reply_begin(ByteWriter *w, gsize strings_size)
{
  RpcReply *reply = rpc_reply_new(REPLY_FIXED_SIZE + strings_size);
  *w = byte_writer(reply->bytes, reply->size);
  byte_writer_be32(w, 0);
  return reply;
}

static RpcReply *reply_end(RpcReply *reply, const ByteWriter *w)
{
  g_assert(!w->failed);
  store_be32(reply->bytes, (guint32)(w->at - FRAME_LENGTH_SIZE));
  reply->size = w->at;
  return reply;
}

/* Almost all replies to writes: the same bytes but for four numbers. */
static RpcReply *accepted_reply(gint32 seqid, const Token *token)
{
  enum { SEQID_AT = 17, ORIGIN_AT = 48, INCARNATION_AT = 55, INDEX_AT = 67, SIZE = 78 };
  static const guint8 bytes[SIZE] = {
      [3] = SIZE - FRAME_LENGTH_SIZE,
      [4] = 0x80,
      [5] = 0x01,
      [7] = THRIFT_REPLY,
      [11] = 5,
      [12] = 'w',
      [13] = 'r',
      [14] = 'i',
      [15] = 't',
      [16] = 'e',
      [21] = WIRE_STRUCT, /* field 0, the result */
      [24] = WIRE_STRUCT, /* field 1, the status */
      [26] = 1,
      [27] = WIRE_I32, /* its field 1, the code: 0 */
      [29] = 1,
      [34] = WIRE_BOOL, /* field 3, retryable: 0 */
      [36] = 3,
      [39] = WIRE_STRUCT, /* field 2, the token */
      [41] = 2,
      [42] = WIRE_STRUCT, /* its field 1, the log */
      [44] = 1,
      [45] = WIRE_I32,
      [47] = 1,
      [52] = WIRE_I64,
      [54] = 2,
      [64] = WIRE_I64, /* its field 2, the index */
      [66] = 2,
  };
  RpcReply *reply = rpc_reply_new(SIZE);
  memcpy(reply->bytes, bytes, SIZE);
  store_be32(reply->bytes + SEQID_AT, (guint32)seqid);
  store_be32(reply->bytes + ORIGIN_AT, token->log.origin);
  store_be64(reply->bytes + INCARNATION_AT, token->log.incarnation);
  store_be64(reply->bytes + INDEX_AT, token->index);
  return reply;
}

RpcReply *hot_write_reply(gint32 seqid, SynclogStatus status, const char *message,
                          gint32 retry_after_ms, const Token *token)
{
  if (status == SYNCLOG_OK && token != NULL && token->group == 0)
    return accepted_reply(seqid, token);
  g_autofree char *text = message_for(status, message);
  ByteWriter w;
  RpcReply *reply = reply_begin(&w, text != NULL ? strlen(text) : 0);
  wire_put_message(&w, THRIFT_REPLY, WRITE_NAME, strlen(WRITE_NAME), seqid);
  wire_put_field(&w, WIRE_STRUCT, 0);
  put_status(&w, 1, status, text, retry_after_ms);
  if (token != NULL) {
    wire_put_field(&w, WIRE_STRUCT, 2);
    put_log_id(&w, 1, token->log);
    wire_put_i64(&w, 2, token->index);
    if (token->group != 0)
      wire_put_i32(&w, 3, token->group);
    byte_writer_u8(&w, WIRE_STOP);
  }
  byte_writer_u8(&w, WIRE_STOP);
  byte_writer_u8(&w, WIRE_STOP);
  return reply_end(reply, &w);
}

RpcReply *hot_sync_reply(gint32 seqid, const SyncReply *sync)
{
  g_autofree char *text = message_for(sync->status, sync->message);
  ByteWriter w;
  RpcReply *reply = reply_begin(&w, text != NULL ? strlen(text) : 0);
  wire_put_message(&w, THRIFT_REPLY, SYNC_NAME, strlen(SYNC_NAME), seqid);
  wire_put_field(&w, WIRE_STRUCT, 0);
  put_status(&w, 1, sync->status, text, 0);
  wire_put_i64(&w, 2, sync->received);
  wire_put_i64(&w, 3, sync->durable);
  wire_put_i64(&w, 4, sync->applied);
  if (sync->expected_index != 0)
    wire_put_i64(&w, 5, sync->expected_index);
  byte_writer_u8(&w, WIRE_STOP);
  byte_writer_u8(&w, WIRE_STOP);
  return reply_end(reply, &w);
}

RpcReply *hot_exception_reply(const char *name, gsize name_size, gint32 seqid, int type,
                              const char *message)
{
  ByteWriter w;
  RpcReply *reply = reply_begin(&w, name_size + strlen(message));
  wire_put_message(&w, THRIFT_EXCEPTION, name, name_size, seqid);
  wire_put_string(&w, 1, message, strlen(message));
  wire_put_i32(&w, 2, (guint32)type);
  byte_writer_u8(&w, WIRE_STOP);
  return reply_end(reply, &w);
}

/* --- the sender's side --------------------------------------------------------------------------
 */

gsize hot_sync_request_suffix(guint8 *out, gsize room, const SyncBatch *batch)
{
  ByteWriter w = byte_writer(out, room);
  if (batch->chain_before != 0)
    wire_put_i64(&w, 8, batch->chain_before);
  byte_writer_u8(&w, WIRE_STOP); /* of the request */
  byte_writer_u8(&w, WIRE_STOP); /* of the arguments */
  g_assert(!w.failed);
  return w.at;
}

gsize hot_sync_request_prefix(guint8 *out, gsize room, gint32 seqid, const SyncBatch *batch)
{
  ByteWriter w = byte_writer(out, room);
  byte_writer_be32(&w, 0);
  wire_put_message(&w, THRIFT_CALL, SYNC_NAME, strlen(SYNC_NAME), seqid);
  wire_put_field(&w, WIRE_STRUCT, 1);
  wire_put_i32(&w, 1, batch->group);
  put_log_id(&w, 2, batch->log);
  wire_put_i64(&w, 3, batch->first_index);
  wire_put_i64(&w, 4, batch->last_index);
  wire_put_bool(&w, 5, batch->sync_now);
  wire_put_bool(&w, 6, batch->from_wal);
  wire_put_field(&w, WIRE_LIST, 7);
  byte_writer_u8(&w, WIRE_STRUCT);
  byte_writer_be32(&w, (guint32)(batch->last_index - batch->first_index + 1));
  g_assert(!w.failed);
  guint8 suffix[HOT_SYNC_SUFFIX_ROOM];
  gsize suffix_size = hot_sync_request_suffix(suffix, sizeof suffix, batch);
  store_be32(out, (guint32)(w.at - FRAME_LENGTH_SIZE + batch->bytes + suffix_size));
  return w.at;
}

static char *read_text(ByteReader *r)
{
  gsize size = byte_reader_be32(r);
  const guint8 *bytes = byte_reader_take(r, size);
  return bytes != NULL
             ? g_utf8_make_valid((const char *)bytes, (gssize)MIN(size, LIMIT_MESSAGE_SIZE))
             : NULL;
}

static void read_exception(ByteReader *r, GError **error)
{
  WireFields fields = {0};
  g_autofree char *message = NULL;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_STRING)
      message = read_text(r);
    else
      wire_skip(r, fields.type, 1);
  }
  fail(error, SYNCLOG_INTERNAL, "the peer refused the request: %s",
       message != NULL ? message : "no reason given");
}

/* FALSE when a required field is missing or the code is none. */
static gboolean read_status(ByteReader *r, SyncReply *out)
{
  WireFields fields = {0};
  gint32 code = -1;
  gboolean has_retryable = FALSE;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_I32) {
      code = (gint32)byte_reader_be32(r);
    } else if (fields.id == 2 && fields.type == WIRE_STRING) {
      out->message = read_text(r);
    } else {
      has_retryable |= fields.id == 3 && fields.type == WIRE_BOOL;
      wire_skip(r, fields.type, 3);
    }
  }
  out->status = (SynclogStatus)code;
  return has_retryable && code >= SYNCLOG_OK && code <= SYNCLOG_STATUS_LAST;
}

static gboolean read_sync_reply(ByteReader *r, SyncReply *out)
{
  WireFields fields = {0};
  guint found = 0;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 1 && fields.type == WIRE_STRUCT) {
      found += read_status(r, out) ? 1 : 0;
    } else if (fields.id >= 2 && fields.id <= 5 && fields.type == WIRE_I64) {
      guint64 value = byte_reader_be64(r);
      guint64 *to[] = {&out->received, &out->durable, &out->applied, &out->expected_index};
      *to[fields.id - 2] = value;
      found += fields.id <= 4 && value <= G_MAXINT64 ? 1 : 0;
    } else {
      wire_skip(r, fields.type, 2);
    }
  }
  return found == 4 && out->expected_index <= G_MAXINT64;
}

static gboolean read_result(ByteReader *r, SyncReply *out)
{
  WireFields fields = {0};
  gboolean found = FALSE;
  while (wire_next_field(r, &fields)) {
    if (fields.id == 0 && fields.type == WIRE_STRUCT)
      found = read_sync_reply(r, out);
    else
      wire_skip(r, fields.type, 1);
  }
  return found && !r->failed && byte_reader_left(r) == 0;
}

gboolean hot_sync_reply_parse(const guint8 *frame, gsize size, gint32 *out_seqid, SyncReply *out,
                              GError **error)
{
  ByteReader r = byte_reader(frame, size);
  guint32 head = byte_reader_be32(&r);
  gsize name_size = byte_reader_be32(&r);
  const guint8 *name = byte_reader_take(&r, name_size);
  *out_seqid = (gint32)byte_reader_be32(&r);
  if (!r.failed && head == (0x80010000u | THRIFT_EXCEPTION)) {
    read_exception(&r, error);
    return FALSE;
  }
  if (r.failed || head != (0x80010000u | THRIFT_REPLY) || name_size != strlen(SYNC_NAME) ||
      memcmp(name, SYNC_NAME, name_size) != 0)
    return fail(error, SYNCLOG_INVALID, "no reply to syncLog");
  *out = (SyncReply){.status = SYNCLOG_INTERNAL};
  if (read_result(&r, out))
    return TRUE;
  sync_reply_clear(out);
  return fail(error, SYNCLOG_INVALID, "malformed reply to syncLog");
}
