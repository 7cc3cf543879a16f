#include "payload.h"

#include "rpc/frame.h"
#include "rpc/wire.h"

enum {
  REDIS_KEYS = 10000, /* SETs go around over so many keys, so that its memory stays bounded */
  DEVICE_DIGITS = 5,
  KEY_DIGITS = 8,
};

static char *device_name(guint32 run, guint number)
{
  return g_strdup_printf("bench.%08x.d%0*u", run, DEVICE_DIGITS, number);
}

/* Three decimals around a mean, as from a sensor. Cheap, for it is computed for every row. */
static double sample(guint64 number, guint column)
{
  guint32 mixed = (guint32)(number + column * 7919) * 2654435761U;
  return 20.0 + column + (mixed >> 22) / 1000.0;
}

static void put_device(Payload *payload, ByteWriter *w, guint16 id)
{
  g_autofree char *device = device_name(payload->spec.run, 0);
  gsize size = strlen(device);
  wire_put_string(w, id, device, size);
  payload->device_at = w->at - DEVICE_DIGITS;
}

static void put_row(Payload *payload, ByteWriter *w)
{
  guint columns = payload->spec.columns;
  wire_put_field(w, WIRE_LIST, 2);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, 1);
  put_device(payload, w, 1);
  wire_put_field(w, WIRE_I64, 2);
  payload->times_at = w->at;
  byte_writer_be64(w, 0);
  wire_put_field(w, WIRE_LIST, 3);
  byte_writer_u8(w, WIRE_STRING);
  byte_writer_be32(w, columns);
  for (guint i = 0; i < columns; i++) {
    g_autofree char *name = g_strdup_printf("s%u", i);
    byte_writer_be32(w, (guint32)strlen(name));
    byte_writer_put(w, name, strlen(name));
  }
  wire_put_field(w, WIRE_LIST, 4);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, columns);
  for (guint i = 0; i < columns; i++) {
    wire_put_field(w, WIRE_DOUBLE, 5);
    payload->values_at[i] = w->at;
    byte_writer_be64(w, 0);
    byte_writer_u8(w, WIRE_STOP);
  }
  byte_writer_u8(w, WIRE_STOP);
}

static void put_tablet(Payload *payload, ByteWriter *w)
{
  guint rows = payload->spec.rows, columns = payload->spec.columns;
  wire_put_field(w, WIRE_LIST, 3);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, 1);
  put_device(payload, w, 1);
  wire_put_i32(w, 2, rows);
  wire_put_field(w, WIRE_STRING, 3);
  byte_writer_be32(w, rows * 8);
  payload->times_at = w->at;
  for (guint row = 0; row < rows; row++)
    byte_writer_be64(w, 0);
  wire_put_field(w, WIRE_LIST, 4);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, columns);
  for (guint i = 0; i < columns; i++) {
    g_autofree char *name = g_strdup_printf("s%u", i);
    wire_put_string(w, 1, name, strlen(name));
    wire_put_i32(w, 2, 5 /* DOUBLE */);
    wire_put_field(w, WIRE_STRING, 3);
    byte_writer_be32(w, rows * 8);
    payload->values_at[i] = w->at;
    for (guint row = 0; row < rows; row++) {
      double value = sample(row, i);
      byte_writer_put(w, &value, sizeof value);
    }
    byte_writer_u8(w, WIRE_STOP);
  }
  byte_writer_u8(w, WIRE_STOP);
}

/* What stands between the fields of a read that all have. */
static void put_read(Payload *payload, ByteWriter *w)
{
  const PayloadSpec *spec = &payload->spec;
  put_device(payload, w, 2);
  if (spec->op == OP_LAST)
    return;
  if (spec->op == OP_RANGE) {
    wire_put_field(w, WIRE_LIST, 3);
    byte_writer_u8(w, WIRE_STRING);
    byte_writer_be32(w, 1);
    byte_writer_be32(w, 2);
    byte_writer_put(w, "s0", 2);
  } else {
    wire_put_string(w, 3, "s0", 2);
  }
  wire_put_i64(w, 4, (guint64)payload->first_time);
  payload->times_at = w->at - 8;
  wire_put_i64(w, 5, (guint64)payload->first_time + spec->total_rows - 1);
  payload->end_at = w->at - 8;
  if (spec->op == OP_RANGE)
    wire_put_i32(w, 6, spec->range_rows);
}

static void put_write(Payload *payload, ByteWriter *w)
{
  wire_put_field(w, WIRE_STRUCT, 2);
  if (payload->spec.rows == 0)
    put_row(payload, w);
  else
    put_tablet(payload, w);
  byte_writer_u8(w, WIRE_STOP);
  wire_put_i32(w, 3, payload->spec.ack);
}

/* The frame of one request, its length included. */
static void put_frame(Payload *payload, ByteWriter *w)
{
  static const char *const methods[] = {"write", "query", "last", "aggregate"};
  const char *method = methods[payload->spec.op];
  gsize begin = w->at;
  byte_writer_be32(w, 0);
  wire_put_message(w, THRIFT_CALL, method, strlen(method), 0);
  payload->seqid_at = w->at - 4;
  wire_put_field(w, WIRE_STRUCT, 1);
  wire_put_i32(w, 1, 0);
  if (payload->spec.op == OP_WRITE)
    put_write(payload, w);
  else
    put_read(payload, w);
  byte_writer_u8(w, WIRE_STOP);
  byte_writer_u8(w, WIRE_STOP);
  payload->content_size = w->at - begin;
  /* Header, then the fields for success, status and code. */
  payload->status_at = payload->seqid_at - begin + 4 + 3 * 3;
  store_be32(w->bytes + begin, (guint32)(payload->content_size - 4));
}

static void put_text(ByteWriter *w, const char *text)
{
  byte_writer_put(w, text, strlen(text));
}

static void put_redis(Payload *payload, ByteWriter *w, gsize frame_size)
{
  g_autofree char *head = g_strdup_printf("*3\r\n$3\r\nSET\r\n$%d\r\n%0*d\r\n$%zu\r\n", KEY_DIGITS,
                                          KEY_DIGITS, 0, frame_size);
  put_text(w, head);
  payload->key_at = (gsize)(strstr(head, "\r\n00000000") - head) + 2;
  put_frame(payload, w);
  put_text(w, "\r\n");
  if (payload->spec.redis_wait > 0) {
    g_autofree char *wait = g_strdup_printf("*3\r\n$4\r\nWAIT\r\n$1\r\n%d\r\n$5\r\n10000\r\n",
                                            payload->spec.redis_wait);
    put_text(w, wait);
  }
}

Payload *payload_new(const PayloadSpec *spec)
{
  g_assert(spec->devices > 0 && spec->devices < 100000 && spec->redis_wait < 10);
  Payload *payload = g_new0(Payload, 1);
  payload->spec = *spec;
  payload->points = (guint64)MAX(spec->rows, 1) * spec->columns;
  payload->first_time = spec->first_time != 0 ? spec->first_time : g_get_real_time() / 1000;
  payload->values_at = g_new0(gsize, spec->columns);
  gsize room = 1024 + (gsize)spec->columns * 64 + (gsize)spec->rows * (spec->columns + 1) * 8;
  payload->bytes = g_malloc0(room);
  ByteWriter w = byte_writer(payload->bytes, room);
  put_frame(payload, &w);
  if (spec->target == TARGET_REDIS) {
    gsize frame_size = w.at;
    w = byte_writer(payload->bytes, room);
    put_redis(payload, &w, frame_size);
  }
  g_assert(!w.failed);
  payload->size = w.at;
  return payload;
}

void payload_free(Payload *payload)
{
  if (payload == NULL)
    return;
  g_free(payload->bytes);
  g_free(payload->values_at);
  g_free(payload);
}

static void put_digits(guint8 *out, guint digits, guint64 value)
{
  for (guint i = digits; i-- > 0; value /= 10)
    out[i] = (guint8)('0' + value % 10);
}

void payload_write(const Payload *payload, guint8 *out, guint32 seqid, guint64 number)
{
  const PayloadSpec *spec = &payload->spec;
  memcpy(out, payload->bytes, payload->size);
  store_be32(out + payload->seqid_at, seqid);
  put_digits(out + payload->device_at, DEVICE_DIGITS, number % spec->devices);
  if (spec->target == TARGET_REDIS)
    put_digits(out + payload->key_at, KEY_DIGITS, number % REDIS_KEYS);
  if (spec->op == OP_RANGE) {
    guint64 places = MAX(spec->total_rows / spec->range_rows, 1);
    guint64 first = (guint64)payload->first_time + number % places * spec->range_rows;
    store_be64(out + payload->times_at, first);
    store_be64(out + payload->end_at, first + spec->range_rows - 1);
  }
  if (spec->op != OP_WRITE)
    return;
  guint64 round = number / spec->devices;
  if (spec->rows == 0) {
    store_be64(out + payload->times_at, (guint64)payload->first_time + round);
    for (guint i = 0; i < spec->columns; i++) {
      double value = sample(number, i);
      guint64 bits;
      memcpy(&bits, &value, sizeof bits);
      store_be64(out + payload->values_at[i], bits);
    }
    return;
  }
  guint64 time = (guint64)payload->first_time + round * spec->rows;
  for (guint row = 0; row < spec->rows; row++)
    store_le64(out + payload->times_at + (gsize)row * 8, time + row);
  /* Equal columns in all tablets would flatter whatever compresses. */
  for (guint i = 0; i < spec->columns; i++) {
    double value = (double)(number % 1000003) / 1000.0;
    memcpy(out + payload->values_at[i], &value, sizeof value);
  }
}

char *payload_device(const Payload *payload, guint64 number)
{
  return device_name(payload->spec.run, (guint)(number % payload->spec.devices));
}
