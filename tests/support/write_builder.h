/*
 * Encodes a TWrite (thrift/types.thrift) for tests, piece by piece and without any check, so that
 * broken ones can be made too. The daemon's own encoder is not used: a mistake would be in both.
 */
#pragma once

#include "base/bytes.h"
#include "base/table.h"

enum {
  TW_STOP = 0,
  TW_BOOL = 2,
  TW_DOUBLE = 4,
  TW_I32 = 8,
  TW_I64 = 10,
  TW_STRING = 11,
  TW_STRUCT = 12,
  TW_LIST = 15,
};

/* --- pieces -------------------------------------------------------------------------------------
 */

static inline void tw_raw(GByteArray *out, const void *bytes, gsize size)
{
  g_byte_array_append(out, bytes, (guint)size);
}

static inline void tw_u8(GByteArray *out, guint8 value)
{
  tw_raw(out, &value, 1);
}

static inline void tw_be32(GByteArray *out, guint32 value)
{
  value = GUINT32_TO_BE(value);
  tw_raw(out, &value, sizeof value);
}

static inline void tw_be64(GByteArray *out, guint64 value)
{
  value = GUINT64_TO_BE(value);
  tw_raw(out, &value, sizeof value);
}

static inline void tw_field(GByteArray *out, guint8 type, guint16 id)
{
  tw_u8(out, type);
  tw_u8(out, (guint8)(id >> 8));
  tw_u8(out, (guint8)id);
}

static inline void tw_bytes(GByteArray *out, const void *bytes, gsize size)
{
  tw_be32(out, (guint32)size);
  tw_raw(out, bytes, size);
}

static inline void tw_text(GByteArray *out, const char *text)
{
  tw_bytes(out, text, strlen(text));
}

static inline void tw_text_field(GByteArray *out, guint16 id, const char *text)
{
  tw_field(out, TW_STRING, id);
  tw_text(out, text);
}

static inline void tw_i64_field(GByteArray *out, guint16 id, gint64 value)
{
  tw_field(out, TW_I64, id);
  tw_be64(out, (guint64)value);
}

static inline void tw_list_field(GByteArray *out, guint16 id, guint8 type, guint32 count)
{
  tw_field(out, TW_LIST, id);
  tw_u8(out, type);
  tw_be32(out, count);
}

/* One field of a TValue, without the end of the struct. */
static inline void tw_value_field(GByteArray *out, const Value *value)
{
  double wide = value->type == DATA_FLOAT ? (double)value->float32 : value->float64;
  guint64 bits;
  memcpy(&bits, &wide, sizeof bits);
  static const guint8 wire_types[] = {0, TW_BOOL, TW_I32, TW_I64, TW_DOUBLE, TW_DOUBLE, TW_STRING};
  tw_field(out, wire_types[value->type], (guint16)value->type);
  switch (value->type) {
  case DATA_BOOLEAN:
    tw_u8(out, (guint8)value->boolean);
    break;
  case DATA_INT32:
    tw_be32(out, (guint32)value->int32);
    break;
  case DATA_INT64:
    tw_be64(out, (guint64)value->int64);
    break;
  case DATA_FLOAT:
  case DATA_DOUBLE:
    tw_be64(out, bits);
    break;
  case DATA_TEXT:
    tw_bytes(out, value->text.bytes, value->text.size);
    break;
  }
}

/* Values by literal; a TEXT borrows its bytes: never value_clear() it. */
#define TW_BOOLEAN(x) ((Value){.type = DATA_BOOLEAN, .boolean = (x)})
#define TW_INT32(x) ((Value){.type = DATA_INT32, .int32 = (x)})
#define TW_INT64(x) ((Value){.type = DATA_INT64, .int64 = (x)})
#define TW_FLOAT32(x) ((Value){.type = DATA_FLOAT, .float32 = (x)})
#define TW_FLOAT64(x) ((Value){.type = DATA_DOUBLE, .float64 = (x)})
#define TW_TEXT(x) ((Value){.type = DATA_TEXT, .text = {(char *)(x), strlen(x)}})

/* --- whole writes -------------------------------------------------------------------------------
 */

/* Begins as {0}. tw_end() gives the bytes and begins again. */
typedef struct TestWrite {
  struct {
    GByteArray *bytes;
    guint32 count;
  } parts[3]; /* deletes, rows, tablets */
} TestWrite;

static inline GByteArray *tw_part(TestWrite *write, guint kind)
{
  if (write->parts[kind].bytes == NULL)
    write->parts[kind].bytes = g_byte_array_new();
  write->parts[kind].count++;
  return write->parts[kind].bytes;
}

/* measurements: NULL for all. */
static inline void tw_delete(TestWrite *write, const char *device, const char *const *measurements,
                             gint64 start_time, gint64 end_time)
{
  GByteArray *out = tw_part(write, 0);
  tw_text_field(out, 1, device);
  if (measurements != NULL)
    tw_list_field(out, 2, TW_STRING, g_strv_length((char **)measurements));
  for (guint i = 0; measurements != NULL && measurements[i] != NULL; i++)
    tw_text(out, measurements[i]);
  tw_i64_field(out, 3, start_time);
  tw_i64_field(out, 4, end_time);
  tw_u8(out, TW_STOP);
}

static inline void tw_row(TestWrite *write, const char *device, gint64 time, guint count,
                          const char *const *measurements, const Value *values)
{
  GByteArray *out = tw_part(write, 1);
  tw_text_field(out, 1, device);
  tw_i64_field(out, 2, time);
  tw_list_field(out, 3, TW_STRING, count);
  for (guint i = 0; i < count; i++)
    tw_text(out, measurements[i]);
  tw_list_field(out, 4, TW_STRUCT, count);
  for (guint i = 0; i < count; i++) {
    tw_value_field(out, &values[i]);
    tw_u8(out, TW_STOP);
  }
  tw_u8(out, TW_STOP);
}

/* A row of one value. */
static inline void tw_cell(TestWrite *write, const char *device, gint64 time,
                           const char *measurement, Value value)
{
  tw_row(write, device, time, 1, &measurement, &value);
}

/* columns: `count` finished ones of `rows` rows each. */
static inline void tw_tablet(TestWrite *write, const char *device, const gint64 *times, guint rows,
                             Column *const *columns, guint count)
{
  GByteArray *out = tw_part(write, 2);
  tw_text_field(out, 1, device);
  tw_field(out, TW_I32, 2);
  tw_be32(out, rows);
  tw_field(out, TW_STRING, 3);
  tw_be32(out, rows * 8);
  for (guint i = 0; i < rows; i++) {
    guint64 packed = GUINT64_TO_LE((guint64)times[i]);
    tw_raw(out, &packed, sizeof packed);
  }
  tw_list_field(out, 4, TW_STRUCT, count);
  for (guint i = 0; i < count; i++) {
    tw_text_field(out, 1, columns[i]->measurement);
    tw_field(out, TW_I32, 2);
    tw_be32(out, (guint32)columns[i]->type);
    tw_field(out, TW_STRING, 3);
    tw_bytes(out, columns[i]->values->data, columns[i]->values->len);
    if (columns[i]->nulls != NULL) {
      tw_field(out, TW_STRING, 4);
      tw_bytes(out, columns[i]->nulls->data, columns[i]->nulls->len);
    }
    tw_u8(out, TW_STOP);
  }
  tw_u8(out, TW_STOP);
}

/* Appends a value as it is packed in a column; NULL for a missing one. */
static inline void tw_append(Column *column, const Value *value)
{
  guint8 packed[8];
  if (value == NULL) {
    column_append_null(column);
    return;
  }
  g_assert(value->type == column->type);
  switch (value->type) {
  case DATA_BOOLEAN:
    packed[0] = value->boolean ? 1 : 0;
    break;
  case DATA_INT32:
    store_le32(packed, (guint32)value->int32);
    break;
  case DATA_INT64:
    store_le64(packed, (guint64)value->int64);
    break;
  case DATA_FLOAT: {
    guint32 bits;
    memcpy(&bits, &value->float32, sizeof bits);
    store_le32(packed, bits);
    break;
  }
  case DATA_DOUBLE: {
    guint64 bits;
    memcpy(&bits, &value->float64, sizeof bits);
    store_le64(packed, bits);
    break;
  }
  case DATA_TEXT:
    column_append(column, value->text.bytes, value->text.size);
    return;
  }
  column_append(column, packed, data_type_size(value->type));
}

/* Transfer full. */
static inline GByteArray *tw_end(TestWrite *write)
{
  GByteArray *out = g_byte_array_new();
  for (guint i = 0; i < 3; i++) {
    if (write->parts[i].bytes == NULL)
      continue;
    tw_list_field(out, (guint16)(i + 1), TW_STRUCT, write->parts[i].count);
    tw_raw(out, write->parts[i].bytes->data, write->parts[i].bytes->len);
    g_byte_array_unref(write->parts[i].bytes);
  }
  tw_u8(out, TW_STOP);
  *write = (TestWrite){0};
  return out;
}
