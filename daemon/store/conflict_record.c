#include "store/conflict_record.h"

#include "store/keys.h"

#include "base/limits.h"

enum { RECORD_VERSION = 1, SIDE_DELETE = 1, SIDE_VALUE = 2 };

static void put_u8(GByteArray *out, guint8 value)
{
  g_byte_array_append(out, &value, 1);
}

static void put_be32(GByteArray *out, guint32 value)
{
  guint8 bytes[4];
  store_be32(bytes, value);
  g_byte_array_append(out, bytes, sizeof bytes);
}

static void put_be64(GByteArray *out, guint64 value)
{
  guint8 bytes[8];
  store_be64(bytes, value);
  g_byte_array_append(out, bytes, sizeof bytes);
}

/* How much of a value is kept: a text is cut at a character. */
static gsize kept_size(const FoundSide *side)
{
  gsize size = side->size;
  if (side->type != DATA_TEXT || size <= LIMIT_CONFLICT_TEXT)
    return size;
  size = LIMIT_CONFLICT_TEXT;
  while (size > 0 && (side->value[size] & 0xC0) == 0x80)
    size--;
  return size;
}

static void put_side(GByteArray *out, const FoundSide *side)
{
  gsize kept = side->value != NULL ? kept_size(side) : 0;
  put_be64(out, side->version.hlc);
  put_be32(out, side->version.origin);
  put_u8(out, (guint8)((side->is_delete ? SIDE_DELETE : 0) | (side->value ? SIDE_VALUE : 0)));
  put_u8(out, side->is_delete ? 0 : (guint8)side->type);
  put_be32(out, side->value != NULL ? (guint32)side->size : 0);
  put_be32(out, (guint32)kept);
  if (kept > 0)
    g_byte_array_append(out, side->value, (guint)kept);
}

void found_encode(const Found *found, guint64 found_ms, GByteArray *out)
{
  put_u8(out, RECORD_VERSION);
  put_u8(out, (guint8)found->kind);
  put_be32(out, found->device);
  put_be32(out, found->measurement);
  put_be64(out, (guint64)found->time);
  put_be64(out, found->cells);
  put_be64(out, found_ms);
  put_side(out, &found->winner);
  put_side(out, &found->loser);
}

static gboolean read_side(ByteReader *reader, ConflictSide *out)
{
  out->hlc = byte_reader_be64(reader);
  out->origin = byte_reader_be32(reader);
  guint8 flags = byte_reader_u8(reader), type = byte_reader_u8(reader);
  guint32 whole = byte_reader_be32(reader), kept = byte_reader_be32(reader);
  const guint8 *value = byte_reader_take(reader, kept);
  if (value == NULL || kept > LIMIT_CONFLICT_TEXT || kept > whole)
    return FALSE;
  out->is_delete = (flags & SIDE_DELETE) != 0;
  if (out->is_delete)
    return flags == SIDE_DELETE && type == 0 && kept == 0;
  if (data_type_name(type) == NULL)
    return FALSE;
  out->type = (DataType)type;
  if (!(flags & SIDE_VALUE))
    return kept == 0;
  if (out->type != DATA_TEXT && kept != data_type_size(out->type))
    return FALSE;
  value_unpack(out->type, value, kept, &out->value);
  out->has_value = TRUE;
  out->value_size = whole;
  return TRUE;
}

Conflict *conflict_decode(guint64 sequence, const guint8 *bytes, gsize size, NameOf name_of,
                          gpointer ctx)
{
  ByteReader reader = byte_reader(bytes, size);
  guint8 version = byte_reader_u8(&reader), kind = byte_reader_u8(&reader);
  const char *device = name_of(ctx, byte_reader_be32(&reader));
  const char *measurement = name_of(ctx, byte_reader_be32(&reader));
  if (version != RECORD_VERSION || conflict_kind_name(kind) == NULL || device == NULL ||
      measurement == NULL)
    return NULL;
  g_autoptr(Conflict) conflict = g_new0(Conflict, 1);
  conflict->sequence = sequence;
  conflict->kind = (ConflictKind)kind;
  conflict->device = g_strdup(device);
  conflict->measurement = g_strdup(measurement);
  conflict->time = (gint64)byte_reader_be64(&reader);
  conflict->cells = byte_reader_be64(&reader);
  conflict->found_ms = byte_reader_be64(&reader);
  if (!read_side(&reader, &conflict->winner) || !read_side(&reader, &conflict->loser) ||
      byte_reader_left(&reader) > 0)
    return NULL;
  return g_steal_pointer(&conflict);
}

guint32 conflict_device(const guint8 *bytes, gsize size)
{
  return size >= 6 && bytes[0] == RECORD_VERSION ? load_be32(bytes + 2) : 0;
}

void check_encode(const Check *check, guint8 out[CHECK_RECORD_SIZE])
{
  out[0] = (guint8)check->kind;
  store_be32(out + 1, check->device);
  store_be32(out + 5, check->measurement);
  out[9] = (guint8)check->type;
  store_be64(out + 10, (guint64)check->partition);
  key_version(out + 18, &check->version);
  store_be64(out + 34, (guint64)check->min_time);
  store_be64(out + 42, (guint64)check->max_time);
  store_be32(out + 50, check->column);
  store_be32(out + 54, check->row);
}

gboolean check_decode(guint64 sequence, const guint8 *bytes, gsize size, Check *out)
{
  if (size != CHECK_RECORD_SIZE || bytes[0] < CHECK_BLOCK || bytes[0] > CHECK_TYPE)
    return FALSE;
  *out = (Check){.sequence = sequence,
                 .kind = (CheckKind)bytes[0],
                 .device = load_be32(bytes + 1),
                 .measurement = load_be32(bytes + 5),
                 .type = (DataType)bytes[9],
                 .partition = (gint64)load_be64(bytes + 10),
                 .version = key_read_version(bytes + 18),
                 .min_time = (gint64)load_be64(bytes + 34),
                 .max_time = (gint64)load_be64(bytes + 42),
                 .column = load_be32(bytes + 50),
                 .row = load_be32(bytes + 54)};
  return out->device != 0 && (out->kind != CHECK_TYPE || data_type_name((int)out->type) != NULL);
}

void counts_encode(const ConflictCounts *counts, guint8 out[COUNTS_RECORD_SIZE])
{
  for (guint kind = 1; kind <= CONFLICT_KINDS; kind++)
    store_be64(out + (gsize)(kind - 1) * 8, counts->by_kind[kind]);
  store_be64(out + 32, counts->overflowed);
  store_be64(out + 40, counts->first_sequence);
  store_be64(out + 48, counts->last_sequence);
  store_be64(out + 56, counts->bytes);
}

gboolean counts_decode(const guint8 *bytes, gsize size, ConflictCounts *out)
{
  *out = (ConflictCounts){0};
  if (size != COUNTS_RECORD_SIZE)
    return FALSE;
  for (guint kind = 1; kind <= CONFLICT_KINDS; kind++)
    out->by_kind[kind] = load_be64(bytes + (gsize)(kind - 1) * 8);
  out->overflowed = load_be64(bytes + 32);
  out->first_sequence = load_be64(bytes + 40);
  out->last_sequence = load_be64(bytes + 48);
  out->bytes = load_be64(bytes + 56);
  return out->first_sequence > 0;
}
