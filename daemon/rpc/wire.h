/*
 * The pieces of the Thrift binary protocol for code that is written by hand: field headers, and
 * skipping of what is not understood. Pure.
 */
#pragma once

#include "base/bytes.h"

enum {
  WIRE_STOP = 0,
  WIRE_BOOL = 2,
  WIRE_BYTE = 3,
  WIRE_DOUBLE = 4,
  WIRE_I16 = 6,
  WIRE_I32 = 8,
  WIRE_I64 = 10,
  WIRE_STRING = 11,
  WIRE_STRUCT = 12,
  WIRE_MAP = 13,
  WIRE_SET = 14,
  WIRE_LIST = 15,
};

/* The fields of one struct, as they are read. */
typedef struct WireFields {
  guint64 seen; /* ids below 64, a bit each */
  guint8 type;  /* of the current field */
  gint16 id;
} WireFields;

/*
 * Reads the next field header; FALSE at the end of the struct, and with r->failed set when the
 * bytes end, the type is none, or a field comes twice.
 */
gboolean wire_next_field(ByteReader *r, WireFields *fields);

/*
 * Skips a value. Fails when it does not end inside the bytes, holds an unknown type, a field twice,
 * or nests deeper than LIMIT_THRIFT_DEPTH, counting from `depth`: the number of structs and
 * containers around the value.
 */
void wire_skip(ByteReader *r, guint8 type, guint depth);

static inline void wire_put_field(ByteWriter *w, guint8 type, guint16 id)
{
  byte_writer_u8(w, type);
  byte_writer_be16(w, id);
}

static inline void wire_put_i32(ByteWriter *w, guint16 id, guint32 value)
{
  wire_put_field(w, WIRE_I32, id);
  byte_writer_be32(w, value);
}

static inline void wire_put_i64(ByteWriter *w, guint16 id, guint64 value)
{
  wire_put_field(w, WIRE_I64, id);
  byte_writer_be64(w, value);
}

static inline void wire_put_bool(ByteWriter *w, guint16 id, gboolean value)
{
  wire_put_field(w, WIRE_BOOL, id);
  byte_writer_u8(w, value ? 1 : 0);
}

static inline void wire_put_string(ByteWriter *w, guint16 id, const char *bytes, gsize size)
{
  wire_put_field(w, WIRE_STRING, id);
  byte_writer_be32(w, (guint32)size);
  byte_writer_put(w, bytes, size);
}

/* The header of a message. */
void wire_put_message(ByteWriter *w, guint8 type, const char *name, gsize name_size, gint32 seqid);
