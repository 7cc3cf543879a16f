#include "rpc/wire.h"

#include "base/bytes.h"
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

/*
 * Skipping: each request is walked over once, so this runs on two pointers instead of a ByteReader.
 * `p` is where to begin, never NULL; what follows the value is returned, NULL when it is malformed.
 */
static const guint8 *skip_nested(const guint8 *p, const guint8 *end, guint8 type, guint depth);

/* The type is known to be one. */
static inline const guint8 *skip_value(const guint8 *p, const guint8 *end, guint8 type, guint depth)
{
  gsize left = (gsize)(end - p), size = least_size(type);
  if (left < size)
    return NULL;
  if (is_fixed(type))
    return p + size;
  if (type != WIRE_STRING)
    return skip_nested(p, end, type, depth);
  gsize length = load_be32(p);
  return length <= left - size ? p + size + length : NULL;
}

static const guint8 *skip_struct(const guint8 *p, const guint8 *end, guint depth)
{
  guint64 seen = 0;
  while (p != NULL && p < end) {
    guint8 type = *p++;
    if (type == WIRE_STOP)
      return p;
    if (end - p < 2 || least_size(type) == 0)
      return NULL;
    guint id = (guint)p[0] << 8 | p[1];
    if (id < 64) {
      guint64 bit = G_GUINT64_CONSTANT(1) << id;
      if (seen & bit)
        return NULL;
      seen |= bit;
    }
    p = skip_value(p + 2, end, type, depth);
  }
  return NULL;
}

static const guint8 *skip_elements(const guint8 *p, const guint8 *end, guint8 type,
                                   guint8 second_type, guint64 count, guint depth)
{
  guint64 least = (guint64)least_size(type) + least_size(second_type);
  if (least_size(type) == 0 || count > G_MAXINT32 || count * least > (gsize)(end - p))
    return NULL;
  if (second_type == WIRE_STOP && is_fixed(type))
    return p + count * least;
  for (guint64 i = 0; i < count && p != NULL; i++) {
    p = skip_value(p, end, type, depth);
    if (second_type != WIRE_STOP && p != NULL)
      p = skip_value(p, end, second_type, depth);
  }
  return p;
}

static const guint8 *skip_map(const guint8 *p, const guint8 *end, guint depth)
{
  guint32 count = load_be32(p + 2);
  if (count == 0) /* an empty map may leave its types out */
    return p + 6;
  if (least_size(p[1]) == 0)
    return NULL;
  return skip_elements(p + 6, end, p[0], p[1], count, depth);
}

/* At least least_size(type) bytes are there. */
static const guint8 *skip_nested(const guint8 *p, const guint8 *end, guint8 type, guint depth)
{
  if (depth >= LIMIT_THRIFT_DEPTH)
    return NULL;
  if (type == WIRE_STRUCT)
    return skip_struct(p, end, depth + 1);
  if (type == WIRE_MAP)
    return skip_map(p, end, depth + 1);
  return skip_elements(p + 5, end, p[0], WIRE_STOP, load_be32(p + 1), depth + 1);
}

void wire_skip(ByteReader *r, guint8 type, guint depth)
{
  if (r->failed)
    return;
  const guint8 *end = r->bytes + r->size, *after = NULL;
  if (least_size(type) != 0)
    after = skip_value(r->bytes + r->at, end, type, depth);
  if (after == NULL)
    r->failed = TRUE;
  else
    r->at = (gsize)(after - r->bytes);
}

void wire_put_message(ByteWriter *w, guint8 type, const char *name, gsize name_size, gint32 seqid)
{
  byte_writer_be32(w, 0x80010000u | type);
  byte_writer_be32(w, (guint32)name_size);
  byte_writer_put(w, name, name_size);
  byte_writer_be32(w, (guint32)seqid);
}
