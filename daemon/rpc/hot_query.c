/* The reply to a query, which may be some megabytes: packed once, from the table into the frame. */
#include "rpc/hot_codec.h"

#include "base/limits.h"
#include "rpc/frame.h"
#include "rpc/wire.h"

static const char QUERY_NAME[] = "query";

enum {
  FIELD_SIZE = 3, /* of a field's head */
  /* More than a reply has besides what is counted below. */
  FIXED_SIZE = 128,
};

static gsize binary_size(const GByteArray *bytes)
{
  return bytes != NULL ? FIELD_SIZE + 4 + bytes->len : 0;
}

static gsize column_size(const Column *column)
{
  gsize name = FIELD_SIZE + 4 + strlen(column->measurement);
  return name + FIELD_SIZE + 4 + binary_size(column->values) + binary_size(column->nulls) + 1;
}

static gsize reply_room(const Table *table)
{
  gsize room = FIXED_SIZE + (gsize)table->timestamps->len * sizeof(gint64);
  for (guint i = 0; i < table->columns->len; i++)
    room += column_size(table->columns->pdata[i]);
  return room + (table->next_page != NULL ? g_bytes_get_size(table->next_page) : 0);
}

static void put_binary(ByteWriter *w, guint16 id, const void *bytes, gsize size)
{
  wire_put_string(w, id, bytes, size);
}

/* The wire has little-endian numbers, as most machines do. */
static void put_times(ByteWriter *w, guint16 id, const GArray *times)
{
  gsize size = (gsize)times->len * sizeof(gint64);
#if G_BYTE_ORDER == G_LITTLE_ENDIAN
  put_binary(w, id, times->data, size);
#else
  wire_put_field(w, WIRE_STRING, id);
  byte_writer_be32(w, (guint32)size);
  for (guint i = 0; i < times->len; i++) {
    guint8 bytes[8];
    store_le64(bytes, (guint64)g_array_index(times, gint64, i));
    byte_writer_put(w, bytes, sizeof bytes);
  }
#endif
}

static void put_column(ByteWriter *w, const Column *column)
{
  wire_put_string(w, 1, column->measurement, strlen(column->measurement));
  wire_put_i32(w, 2, (guint32)column->type);
  put_binary(w, 3, column->values->data, column->values->len);
  if (column->nulls != NULL)
    put_binary(w, 4, column->nulls->data, column->nulls->len);
  byte_writer_u8(w, WIRE_STOP);
}

static void put_table(ByteWriter *w, const Table *table)
{
  wire_put_i32(w, 2, table->timestamps->len);
  put_times(w, 3, table->timestamps);
  wire_put_field(w, WIRE_LIST, 4);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, table->columns->len);
  for (guint i = 0; i < table->columns->len; i++)
    put_column(w, table->columns->pdata[i]);
  if (table->next_page == NULL)
    return;
  gsize size;
  const void *page = g_bytes_get_data(table->next_page, &size);
  put_binary(w, 5, page, size);
}

RpcReply *hot_query_reply(gint32 seqid, const Table *table)
{
  gsize room = reply_room(table);
  if (room > LIMIT_FRAME_SIZE)
    return NULL;
  RpcReply *reply = rpc_reply_new(room);
  ByteWriter w = byte_writer(reply->bytes, room);
  byte_writer_be32(&w, 0);
  wire_put_message(&w, THRIFT_REPLY, QUERY_NAME, strlen(QUERY_NAME), seqid);
  wire_put_field(&w, WIRE_STRUCT, 0);
  wire_put_field(&w, WIRE_STRUCT, 1); /* the status */
  wire_put_i32(&w, 1, SYNCLOG_OK);
  wire_put_bool(&w, 3, FALSE);
  byte_writer_u8(&w, WIRE_STOP);
  put_table(&w, table);
  byte_writer_u8(&w, WIRE_STOP);
  byte_writer_u8(&w, WIRE_STOP);
  g_assert(!w.failed);
  reply->size = w.at;
  store_be32(reply->bytes, (guint32)(w.at - FRAME_LENGTH_SIZE));
  return reply;
}
