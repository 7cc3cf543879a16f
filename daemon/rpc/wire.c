#include "rpc/wire.h"

#include "base/limits.h"

/* The least that a value takes; 0: no such type. */
static inline guint least_size(guint8 type)
{
  static const guint8 sizes[16] = {
      [WIRE_BOOL] = 1, [WIRE_BYTE] = 1,   [WIRE_STRUCT] = 1, [WIRE_I16] = 2,
      [WIRE_I32] = 4,  [WIRE_STRING] = 4, [WIRE_LIST] = 5,   [WIRE_SET] = 5,
      [WIRE_MAP] = 6,  [WIRE_I64] = 8,    [WIRE_DOUBLE] = 8,
  };
  return type < G_N_ELEMENTS(sizes) ? sizes[type] : 0;
}

static inline gboolean is_nested(guint8 type)
{
  return type == WIRE_STRUCT || type == WIRE_MAP || type == WIRE_SET || type == WIRE_LIST;
}

static inline gboolean is_fixed(guint8 type)
{
  return type != WIRE_STRING && !is_nested(type);
}

static inline gboolean next_field(ByteReader *r, WireFields *fields)
{
  fields->type = byte_reader_u8(r);
  if (r->failed || fields->type == WIRE_STOP)
    return FALSE;
  fields->id = (gint16)byte_reader_be16(r);
  if (least_size(fields->type) == 0)
    r->failed = TRUE;
  if (fields->id >= 0 && fields->id < 64) {
    guint64 bit = G_GUINT64_CONSTANT(1) << fields->id;
    if (fields->seen & bit)
      r->failed = TRUE;
    fields->seen |= bit;
  }
  return !r->failed;
}

gboolean wire_next_field(ByteReader *r, WireFields *fields)
{
  return next_field(r, fields);
}

/* A value that holds no others; the type is known to be one. */
static inline void skip_plain(ByteReader *r, guint8 type)
{
  byte_reader_take(r, type == WIRE_STRING ? byte_reader_be32(r) : least_size(type));
}

/* As wire_skip; the type is known to be one. Most values are plain: they cost no call. */
static inline void skip_value(ByteReader *r, guint8 type, guint depth)
{
  if (is_nested(type))
    wire_skip(r, type, depth);
  else
    skip_plain(r, type);
}

static void skip_struct(ByteReader *r, guint depth)
{
  WireFields fields = {0};
  while (next_field(r, &fields))
    skip_value(r, fields.type, depth);
}

static void skip_elements(ByteReader *r, guint8 type, guint8 second_type, guint64 count,
                          guint depth)
{
  guint64 least = (guint64)least_size(type) + least_size(second_type);
  if (least_size(type) == 0 || count > G_MAXINT32 || count * least > byte_reader_left(r)) {
    r->failed = TRUE;
    return;
  }
  if (second_type == WIRE_STOP && is_fixed(type)) {
    byte_reader_take(r, count * least);
    return;
  }
  for (guint64 i = 0; i < count && !r->failed; i++) {
    skip_value(r, type, depth);
    if (second_type != WIRE_STOP)
      skip_value(r, second_type, depth);
  }
}

static void skip_map(ByteReader *r, guint depth)
{
  guint8 key = byte_reader_u8(r), value = byte_reader_u8(r);
  guint32 count = byte_reader_be32(r);
  if (r->failed || count == 0) /* an empty map may leave its types out */
    return;
  if (least_size(value) == 0)
    r->failed = TRUE;
  skip_elements(r, key, value, count, depth);
}

static void skip_list(ByteReader *r, guint depth)
{
  guint8 type = byte_reader_u8(r);
  guint32 count = byte_reader_be32(r);
  skip_elements(r, type, WIRE_STOP, count, depth);
}

void wire_skip(ByteReader *r, guint8 type, guint depth)
{
  if (r->failed)
    return;
  if (least_size(type) == 0 || (is_nested(type) && depth >= LIMIT_THRIFT_DEPTH)) {
    r->failed = TRUE;
    return;
  }
  switch (type) {
  case WIRE_STRUCT:
    skip_struct(r, depth + 1);
    break;
  case WIRE_MAP:
    skip_map(r, depth + 1);
    break;
  case WIRE_SET:
  case WIRE_LIST:
    skip_list(r, depth + 1);
    break;
  default:
    skip_plain(r, type);
  }
}

void wire_put_message(ByteWriter *w, guint8 type, const char *name, gsize name_size, gint32 seqid)
{
  byte_writer_be32(w, 0x80010000u | type);
  byte_writer_be32(w, (guint32)name_size);
  byte_writer_put(w, name, name_size);
  byte_writer_be32(w, (guint32)seqid);
}
