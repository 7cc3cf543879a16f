/*
 * Thrift messages for the tests of rpc, put together by hand: well-formed ones, and with the same
 * pieces all kinds of others.
 */
#pragma once

#include "base/record.h"
#include "rpc/frame.h"
#include "rpc/wire.h"

enum { MESSAGE_ROOM = 256 * 1024 };

typedef struct Message {
  guint8 *bytes; /* MESSAGE_ROOM */
  ByteWriter w;
} Message;

static inline Message message_new(void)
{
  guint8 *bytes = g_malloc(MESSAGE_ROOM);
  return (Message){bytes, byte_writer(bytes, MESSAGE_ROOM)};
}

/* With room for the length of the frame and a header before what is written. */
static inline Message message_call(const char *method, gint32 seqid)
{
  Message m = message_new();
  byte_writer_be32(&m.w, 0);
  wire_put_message(&m.w, THRIFT_CALL, method, strlen(method), seqid);
  return m;
}

/* Sets the length of the frame. */
static inline void message_end(Message *m)
{
  g_assert(!m->w.failed);
  store_be32(m->bytes, (guint32)(m->w.at - FRAME_LENGTH_SIZE));
}

static inline void message_free(Message *m)
{
  g_free(m->bytes);
  m->bytes = NULL;
}

static inline void put_text(ByteWriter *w, guint16 id, const char *text)
{
  wire_put_string(w, id, text, strlen(text));
}

static inline void put_stop(ByteWriter *w)
{
  byte_writer_u8(w, WIRE_STOP);
}

/* A TWrite with one row of `size` bytes of text; returns where its content begins and ends. */
static inline void put_row_write(ByteWriter *w, const char *device, gint64 timestamp, gsize size)
{
  g_autofree char *text = g_strnfill(size, 'v');
  wire_put_field(w, WIRE_LIST, 2);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, 1);
  put_text(w, 1, device);
  wire_put_i64(w, 2, (guint64)timestamp);
  wire_put_field(w, WIRE_LIST, 3);
  byte_writer_u8(w, WIRE_STRING);
  byte_writer_be32(w, 1);
  byte_writer_be32(w, 1);
  byte_writer_put(w, "m", 1);
  wire_put_field(w, WIRE_LIST, 4);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, 1);
  put_text(w, 6, text);
  put_stop(w); /* value */
  put_stop(w); /* row */
  put_stop(w); /* write */
}

/* The arguments of a plain write. */
static inline void put_write_args(ByteWriter *w, gint32 group, gint64 timestamp, gsize size)
{
  wire_put_field(w, WIRE_STRUCT, 1);
  wire_put_i32(w, 1, (guint32)group);
  wire_put_field(w, WIRE_STRUCT, 2);
  put_row_write(w, "device", timestamp, size);
  put_stop(w);
  put_stop(w);
}

static inline void put_log(ByteWriter *w, guint16 id, LogId log)
{
  wire_put_field(w, WIRE_STRUCT, id);
  wire_put_i32(w, 1, log.origin);
  wire_put_i64(w, 2, log.incarnation);
  put_stop(w);
}

/* The arguments of a syncLog of entries first .. first + count - 1, each of `size` bytes. */
static inline void put_sync_args(ByteWriter *w, LogId log, guint64 first, guint count, gsize size)
{
  wire_put_field(w, WIRE_STRUCT, 1);
  wire_put_i32(w, 1, 0);
  put_log(w, 2, log);
  wire_put_i64(w, 3, first);
  wire_put_i64(w, 4, first + count - 1);
  wire_put_bool(w, 5, FALSE);
  wire_put_bool(w, 6, TRUE);
  wire_put_field(w, WIRE_LIST, 7);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, count);
  g_autofree guint8 *data = g_malloc0(size);
  g_autofree guint8 *record = g_malloc(size + RECORD_OVERHEAD_SIZE);
  for (guint i = 0; i < count; i++) {
    gsize n = record_write(record_seed(log), first + i, 1000 + first + i, data, size, record);
    byte_writer_put(w, record, n);
  }
  put_stop(w);
  put_stop(w);
}

/* … with the digest before the first of them. */
static inline void put_sync_args_with_digest(ByteWriter *w, LogId log, guint64 first, guint count,
                                             gsize size)
{
  put_sync_args(w, log, first, count, size);
  w->at -= 2;
  wire_put_i64(w, 8, G_GUINT64_CONSTANT(0xFEDCBA9876543210));
  put_stop(w);
  put_stop(w);
}
