/*
 * TWrite, encoded as it is built: each part goes behind those of its kind, and the lists get their
 * heads when the write is sent. Nothing is checked here; the server does, and names what is wrong.
 */
#include "rpc/write_builder.h"

#include "rpc/wire.h"

#include <string.h>

/* Fields of TWrite, in order. */
enum { PART_DELETES, PART_ROWS, PART_TABLETS, PART_COUNT };

enum { LIST_HEAD_SIZE = 3 + 1 + 4 };

struct WriteBuilder {
  struct {
    GByteArray *bytes; /* the structs, back to back */
    guint32 count;
  } parts[PART_COUNT];
  char *key; /* NULL: none */
};

WriteBuilder *write_builder_new(void)
{
  WriteBuilder *builder = g_new0(WriteBuilder, 1);
  for (guint i = 0; i < PART_COUNT; i++)
    builder->parts[i].bytes = g_byte_array_new();
  return builder;
}

void write_builder_free(WriteBuilder *builder)
{
  if (builder == NULL)
    return;
  for (guint i = 0; i < PART_COUNT; i++)
    g_byte_array_unref(builder->parts[i].bytes);
  g_free(builder->key);
  g_free(builder);
}

void write_builder_clear(WriteBuilder *builder)
{
  for (guint i = 0; i < PART_COUNT; i++) {
    g_byte_array_set_size(builder->parts[i].bytes, 0);
    builder->parts[i].count = 0;
  }
  g_clear_pointer(&builder->key, g_free);
}

void write_builder_key(WriteBuilder *builder, const char *key)
{
  g_free(builder->key);
  builder->key = g_strdup(key);
}

gsize write_builder_size(const WriteBuilder *builder)
{
  gsize size = 1;
  for (guint i = 0; i < PART_COUNT; i++)
    if (builder->parts[i].count > 0)
      size += LIST_HEAD_SIZE + builder->parts[i].bytes->len;
  if (builder->key != NULL)
    size += 3 + 4 + strlen(builder->key);
  return size;
}

/* --- pieces of the wire format ------------------------------------------------------------------
 */

static void put(GByteArray *out, const void *bytes, gsize size)
{
  g_byte_array_append(out, bytes, (guint)size);
}

static void put_u8(GByteArray *out, guint8 value)
{
  put(out, &value, 1);
}

static void put_be32(GByteArray *out, guint32 value)
{
  value = GUINT32_TO_BE(value);
  put(out, &value, sizeof value);
}

static void put_be64(GByteArray *out, guint64 value)
{
  value = GUINT64_TO_BE(value);
  put(out, &value, sizeof value);
}

static void put_field(GByteArray *out, guint8 type, guint8 id)
{
  const guint8 head[] = {type, 0, id};
  put(out, head, sizeof head);
}

static void put_bytes(GByteArray *out, const void *bytes, gsize size)
{
  put_be32(out, (guint32)size);
  put(out, bytes, size);
}

static void put_i32_field(GByteArray *out, guint8 id, guint32 value)
{
  put_field(out, WIRE_I32, id);
  put_be32(out, value);
}

static void put_i64_field(GByteArray *out, guint8 id, gint64 value)
{
  put_field(out, WIRE_I64, id);
  put_be64(out, (guint64)value);
}

static void put_string_field(GByteArray *out, guint8 id, const char *text)
{
  put_field(out, WIRE_STRING, id);
  put_bytes(out, text, strlen(text));
}

static void put_list_field(GByteArray *out, guint8 id, guint8 type, guint32 count)
{
  put_field(out, WIRE_LIST, id);
  put_u8(out, type);
  put_be32(out, count);
}

static void put_double(GByteArray *out, double value)
{
  guint64 bits;
  memcpy(&bits, &value, sizeof bits);
  put_be64(out, bits);
}

/* TValue: a struct with the one field whose id is the type. */
static void put_value(GByteArray *out, const Value *value)
{
  switch (value->type) {
  case DATA_BOOLEAN:
    put_field(out, WIRE_BOOL, DATA_BOOLEAN);
    put_u8(out, value->boolean ? 1 : 0);
    break;
  case DATA_INT32:
    put_field(out, WIRE_I32, DATA_INT32);
    put_be32(out, (guint32)value->int32);
    break;
  case DATA_INT64:
    put_field(out, WIRE_I64, DATA_INT64);
    put_be64(out, (guint64)value->int64);
    break;
  case DATA_FLOAT:
    put_field(out, WIRE_DOUBLE, DATA_FLOAT);
    put_double(out, (double)value->float32);
    break;
  case DATA_DOUBLE:
    put_field(out, WIRE_DOUBLE, DATA_DOUBLE);
    put_double(out, value->float64);
    break;
  case DATA_TEXT:
    put_field(out, WIRE_STRING, DATA_TEXT);
    put_bytes(out, value->text.bytes, value->text.size);
    break;
  }
  put_u8(out, WIRE_STOP);
}

/* --- parts --------------------------------------------------------------------------------------
 */

static GByteArray *begin_part(WriteBuilder *builder, guint part)
{
  builder->parts[part].count++;
  return builder->parts[part].bytes;
}

void write_builder_row(WriteBuilder *builder, const char *device, gint64 timestamp,
                       const char *const *measurements, const Value *values, guint count)
{
  GByteArray *out = begin_part(builder, PART_ROWS);
  put_string_field(out, 1, device);
  put_i64_field(out, 2, timestamp);
  put_list_field(out, 3, WIRE_STRING, count);
  for (guint i = 0; i < count; i++)
    put_bytes(out, measurements[i], strlen(measurements[i]));
  put_list_field(out, 4, WIRE_STRUCT, count);
  for (guint i = 0; i < count; i++)
    put_value(out, &values[i]);
  put_u8(out, WIRE_STOP);
}

static void put_timestamps(GByteArray *out, const GArray *timestamps)
{
  put_field(out, WIRE_STRING, 3);
  put_be32(out, timestamps->len * 8);
  for (guint i = 0; i < timestamps->len; i++) {
    guint8 packed[8];
    store_le64(packed, (guint64)g_array_index(timestamps, gint64, i));
    put(out, packed, sizeof packed);
  }
}

static void put_column(GByteArray *out, const Column *column)
{
  put_string_field(out, 1, column->measurement);
  put_i32_field(out, 2, (guint32)column->type);
  put_field(out, WIRE_STRING, 3);
  put_bytes(out, column->values->data, column->values->len);
  if (column->nulls != NULL) {
    put_field(out, WIRE_STRING, 4);
    put_bytes(out, column->nulls->data, column->nulls->len);
  }
  put_u8(out, WIRE_STOP);
}

void write_builder_tablet(WriteBuilder *builder, const char *device, const GArray *timestamps,
                          const GPtrArray *columns)
{
  GByteArray *out = begin_part(builder, PART_TABLETS);
  put_string_field(out, 1, device);
  put_i32_field(out, 2, timestamps->len);
  put_timestamps(out, timestamps);
  put_list_field(out, 4, WIRE_STRUCT, columns->len);
  for (guint i = 0; i < columns->len; i++) {
    const Column *column = g_ptr_array_index(columns, i);
    g_assert(column->text == NULL && column->rows == timestamps->len);
    put_column(out, column);
  }
  put_u8(out, WIRE_STOP);
}

void write_builder_delete(WriteBuilder *builder, const char *device,
                          const char *const *measurements, gint64 start_time, gint64 end_time)
{
  GByteArray *out = begin_part(builder, PART_DELETES);
  put_string_field(out, 1, device);
  if (measurements != NULL) {
    guint32 count = g_strv_length((char **)measurements);
    put_list_field(out, 2, WIRE_STRING, count);
    for (guint i = 0; i < count; i++)
      put_bytes(out, measurements[i], strlen(measurements[i]));
  }
  put_i64_field(out, 3, start_time);
  put_i64_field(out, 4, end_time);
  put_u8(out, WIRE_STOP);
}

void write_builder_encode(const WriteBuilder *builder, GByteArray *out)
{
  for (guint i = 0; i < PART_COUNT; i++) {
    if (builder->parts[i].count == 0)
      continue;
    put_list_field(out, (guint8)(i + 1), WIRE_STRUCT, builder->parts[i].count);
    put(out, builder->parts[i].bytes->data, builder->parts[i].bytes->len);
  }
  if (builder->key != NULL)
    put_string_field(out, PART_COUNT + 1, builder->key);
  put_u8(out, WIRE_STOP);
}
