/*
 * The encoded TWrite, by hand: strict binary Thrift, each size checked against what is left.
 * Unknown fields are refused, since a node that skipped a part would hold other data than its
 * peers.
 */
#include "store/block_builder.h"
#include "store/decoded.h"

#include "base/bytes.h"
#include "base/limits.h"

enum {
  WIRE_STOP = 0,
  WIRE_BOOL = 2,
  WIRE_DOUBLE = 4,
  WIRE_I32 = 8,
  WIRE_I64 = 10,
  WIRE_STRING = 11,
  WIRE_STRUCT = 12,
  WIRE_LIST = 15,

  FEW_COLUMNS = 8, /* as many as most writes have: arrays begin with that room */
  KNOWN_NAMES_SIZE = 256,
};

/*
 * The list of measurements of a row that was found valid, as it stood in its write. The next rows
 * mostly have the same one: comparing its bytes spares reading and checking it again.
 */
typedef struct KnownNames {
  guint size; /* 0: there is none */
  guint count;
  guint8 bytes[KNOWN_NAMES_SIZE];
  struct {
    guint16 at, size; /* in bytes */
  } names[FEW_COLUMNS];
} KnownNames;

static __thread KnownNames known_names;

typedef struct Parser {
  ByteReader in;
  Decoded *decoded;
  guint64 partition_interval;
  guint32 ordinal;
  guint part_count;          /* of the list under way */
  List row_values;           /* BuilderColumn of the row or tablet under way */
  gsize names_at, names_end; /* of the row under way: its list of measurements */
  gboolean names_known;      /* … and that it is valid */
  RowRun run;
} Parser;

static gboolean cut_short(const Parser *p, GError **error)
{
  return fail(error, SYNCLOG_INVALID, "malformed write at byte %zu of %zu", p->in.at, p->in.size);
}

/* Reads a field header. FALSE at STOP or on failure (*error set). `seen` refuses repetition. */
static gboolean next_field(Parser *p, guint *seen, guint8 *out_type, guint *out_id, GError **error)
{
  guint8 type = byte_reader_u8(&p->in);
  if (!p->in.failed && type == WIRE_STOP)
    return FALSE;
  guint id = byte_reader_be16(&p->in);
  if (p->in.failed || id == 0 || id > 31)
    return cut_short(p, error);
  if (*seen & (1u << id))
    return fail(error, SYNCLOG_INVALID, "field %u comes twice", id);
  *seen |= 1u << id;
  *out_type = type;
  *out_id = id;
  return TRUE;
}

static gboolean unknown_field(guint id, guint8 type, GError **error)
{
  return fail(error, SYNCLOG_INVALID, "field %u of type %u is not known here", id, type);
}

static gboolean read_list(Parser *p, guint8 element_type, guint least_size, guint limit,
                          guint *out_count, GError **error)
{
  guint8 type = byte_reader_u8(&p->in);
  guint32 count = byte_reader_be32(&p->in);
  if (p->in.failed || (type != element_type && count > 0) ||
      (guint64)count * least_size > byte_reader_left(&p->in))
    return cut_short(p, error);
  if (count > limit)
    return fail(error, SYNCLOG_TOO_LARGE, "%u elements, at most %u are taken", count, limit);
  *out_count = count;
  return TRUE;
}

static gboolean read_bytes(Parser *p, const guint8 **out, gsize *out_size, GError **error)
{
  *out_size = byte_reader_be32(&p->in);
  *out = byte_reader_take(&p->in, *out_size);
  return *out != NULL || cut_short(p, error);
}

/* In valid UTF-8: U+0000 to U+001F and U+007F to U+009F. */
static gboolean has_control(const guint8 *bytes, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (bytes[i] < 0x20 || bytes[i] == 0x7F || (bytes[i] == 0xC2 && bytes[i + 1] < 0xA0))
      return TRUE;
  return FALSE;
}

/* Almost all names are. Eight bytes at a time: none is 0x80 or more, or becomes so by adding 1, and
 * none loses the highest bit, given to it before, by taking 0x20 from it. */
static gboolean is_printable_ascii(const guint8 *bytes, gsize size)
{
  const guint64 ones = G_GUINT64_CONSTANT(0x0101010101010101), high = ones * 0x80;
  gsize i = 0;
  for (; i + 8 <= size; i += 8) {
    guint64 word = load_le64(bytes + i);
    if (((word | (word + ones)) & high) != 0 || (((word | high) - ones * 0x20) & high) != high)
      return FALSE;
  }
  for (; i < size; i++)
    if (bytes[i] < 0x20 || bytes[i] > 0x7E)
      return FALSE;
  return TRUE;
}

gboolean decoded_is_name(const guint8 *bytes, gsize size)
{
  return size > 0 && size <= LIMIT_NAME_SIZE &&
         (is_printable_ascii(bytes, size) ||
          (g_utf8_validate_len((const char *)bytes, size, NULL) && !has_control(bytes, size)));
}

static gboolean read_name(Parser *p, const char *what, Slice *out, GError **error)
{
  const guint8 *bytes;
  gsize size;
  if (!read_bytes(p, &bytes, &size, error))
    return FALSE;
  if (size == 0)
    return fail(error, SYNCLOG_INVALID, "%s: the name is empty", what);
  if (size > LIMIT_NAME_SIZE)
    return fail(error, SYNCLOG_TOO_LARGE, "%s: the name has %zu bytes, at most %d are taken", what,
                size, LIMIT_NAME_SIZE);
  if (!decoded_is_name(bytes, size))
    return fail(error, SYNCLOG_INVALID, "%s: the name is no UTF-8 or has control characters in it",
                what);
  *out = (Slice){(const char *)bytes, (guint)size};
  return TRUE;
}

static gboolean same(Slice a, Slice b)
{
  return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

/* Many columns: a hash instead of comparing each with each. */
static gboolean check_all_distinct(const Parser *p, GError **error)
{
  g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < p->row_values.len; i++) {
    Slice name = g_array_index(&p->row_values, BuilderColumn, i).measurement;
    if (!g_hash_table_add(names, g_strndup(name.bytes, name.size)))
      return fail(error, SYNCLOG_INVALID, "measurement \"%.*s\" comes twice", (int)name.size,
                  name.bytes);
  }
  return TRUE;
}

static gboolean check_names(const Parser *p, GError **error)
{
  enum { FEW = 16 };
  if (p->row_values.len > FEW)
    return check_all_distinct(p, error);
  const BuilderColumn *columns = (const BuilderColumn *)(void *)p->row_values.data;
  for (guint i = 1; i < p->row_values.len; i++)
    for (guint k = 0; k < i; k++)
      if (same(columns[i].measurement, columns[k].measurement))
        return fail(error, SYNCLOG_INVALID, "measurement \"%.*s\" comes twice",
                    (int)columns[i].measurement.size, columns[i].measurement.bytes);
  return TRUE;
}

static void set_columns(Parser *p, guint count)
{
  p->row_values.len = 0;
  memset(list_extend(&p->row_values, sizeof(BuilderColumn), count), 0,
         count * sizeof(BuilderColumn));
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static gboolean read_value_field(Parser *p, guint id, guint8 type, BuilderColumn *column,
                                 GError **error)
{
  static const guint8 wire_types[] = {0,           WIRE_BOOL,   WIRE_I32,   WIRE_I64,
                                      WIRE_DOUBLE, WIRE_DOUBLE, WIRE_STRING};
  if (id < DATA_BOOLEAN || id > DATA_TEXT || type != wire_types[id])
    return unknown_field(id, type, error);
  column->type = (DataType)id;
  guint8 *packed = column->inline_value;
  switch (column->type) {
  case DATA_BOOLEAN:
    packed[0] = byte_reader_u8(&p->in);
    if (packed[0] > 1)
      return fail(error, SYNCLOG_INVALID, "a boolean is neither 0 nor 1");
    break;
  case DATA_INT32:
    store_le32(packed, byte_reader_be32(&p->in));
    break;
  case DATA_INT64:
  case DATA_DOUBLE:
    store_le64(packed, byte_reader_be64(&p->in));
    break;
  case DATA_FLOAT: {
    guint64 bits = byte_reader_be64(&p->in);
    double wide;
    memcpy(&wide, &bits, sizeof wide);
    float narrow = (float)wide;
    guint32 narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow);
    store_le32(packed, narrow_bits);
    break;
  }
  case DATA_TEXT:
    if (!read_bytes(p, &column->values, &column->values_size, error))
      return FALSE;
    if (column->values_size > LIMIT_TEXT_SIZE)
      return fail(error, SYNCLOG_TOO_LARGE, "a text of %zu bytes, at most %d are taken",
                  column->values_size, LIMIT_TEXT_SIZE);
    if (!g_utf8_validate_len((const char *)column->values, column->values_size, NULL))
      return fail(error, SYNCLOG_INVALID, "a text is no UTF-8, or has a NUL in it");
    return TRUE;
  }
  column->values = NULL; /* it is in inline_value */
  column->values_size = data_type_size(column->type);
  return !p->in.failed || cut_short(p, error);
}

/* A number of 8 bytes, as almost all are: the field's header, the number, STOP. FALSE: it is
 * something else. */
static gboolean read_long_value(Parser *p, BuilderColumn *column)
{
  enum { HEAD = 3, SIZE = HEAD + 8 + 1 };
  const guint8 *at = p->in.bytes + p->in.at;
  if (byte_reader_left(&p->in) < SIZE || at[1] != 0 || at[SIZE - 1] != WIRE_STOP)
    return FALSE;
  if (!(at[0] == WIRE_DOUBLE && at[2] == DATA_DOUBLE) &&
      !(at[0] == WIRE_I64 && at[2] == DATA_INT64))
    return FALSE;
  column->type = (DataType)at[2];
  store_le64(column->inline_value, load_be64(at + HEAD));
  column->values = NULL;
  column->values_size = 8;
  p->in.at += SIZE;
  return TRUE;
}

static gboolean read_value(Parser *p, BuilderColumn *column, GError **error)
{
  if (read_long_value(p, column))
    return TRUE;
  guint seen = 0, id, fields = 0;
  guint8 type;
  GError *local = NULL;
  while (next_field(p, &seen, &type, &id, &local))
    if (++fields > 1 || !read_value_field(p, id, type, column, &local))
      break;
  if (local == NULL && fields != 1)
    fail(&local, SYNCLOG_INVALID, "a value must have exactly one field");
  if (local == NULL)
    return TRUE;
  fail_prefix(&local, "values: \"%.*s\": ", (int)column->measurement.size,
              column->measurement.bytes);
  g_propagate_error(error, local);
  return FALSE;
}

/* Steps over these bytes. FALSE: others stand there. */
static gboolean take_these(Parser *p, const guint8 *bytes, gsize size)
{
  if (byte_reader_left(&p->in) < size || memcmp(p->in.bytes + p->in.at, bytes, size) != 0)
    return FALSE;
  p->in.at += size;
  return TRUE;
}

/* FALSE: it is another list than the last one. */
static gboolean take_known_names(Parser *p)
{
  const KnownNames *known = &known_names;
  const guint8 *at = p->in.bytes + p->in.at;
  if (known->size == 0 || !take_these(p, known->bytes, known->size))
    return FALSE;
  set_columns(p, known->count);
  BuilderColumn *columns = (BuilderColumn *)(void *)p->row_values.data;
  for (guint i = 0; i < known->count; i++)
    columns[i].measurement = (Slice){(const char *)at + known->names[i].at, known->names[i].size};
  return TRUE;
}

static void keep_known_names(const Parser *p)
{
  KnownNames *known = &known_names;
  const guint8 *bytes = p->in.bytes + p->names_at;
  gsize size = p->names_end - p->names_at;
  if (size > KNOWN_NAMES_SIZE || p->row_values.len > FEW_COLUMNS)
    return;
  known->size = (guint)size;
  known->count = p->row_values.len;
  memcpy(known->bytes, bytes, size);
  for (guint i = 0; i < known->count; i++) {
    Slice name = g_array_index(&p->row_values, BuilderColumn, i).measurement;
    known->names[i].at = (guint16)((const guint8 *)name.bytes - bytes);
    known->names[i].size = (guint16)name.size;
  }
}

static gboolean read_row_names(Parser *p, GError **error)
{
  guint count;
  p->names_known = take_known_names(p);
  if (p->names_known)
    return TRUE;
  p->names_at = p->in.at;
  if (!read_list(p, WIRE_STRING, 4, LIMIT_TABLET_COLUMNS, &count, error))
    return fail_prefix(error, "measurements: ");
  set_columns(p, count);
  for (guint i = 0; i < count; i++) {
    BuilderColumn *column = &g_array_index(&p->row_values, BuilderColumn, i);
    if (!read_name(p, "measurements", &column->measurement, error))
      return FALSE;
  }
  p->names_end = p->in.at;
  return TRUE;
}

static gboolean read_row_values(Parser *p, gboolean have_names, GError **error)
{
  guint count;
  if (!have_names)
    return fail(error, SYNCLOG_INVALID, "measurements must come before values");
  if (!read_list(p, WIRE_STRUCT, 1, LIMIT_TABLET_COLUMNS, &count, error))
    return fail_prefix(error, "values: ");
  if (count != p->row_values.len)
    return fail(error, SYNCLOG_INVALID, "%u values for %u measurements", count, p->row_values.len);
  for (guint i = 0; i < count; i++)
    if (!read_value(p, &g_array_index(&p->row_values, BuilderColumn, i), error))
      return FALSE;
  return TRUE;
}

/* The field of the device and that of the time. */
static gboolean take_place(Parser *p, Slice *out_device, gint64 *out_time)
{
  static const guint8 device_head[] = {WIRE_STRING, 0, 1}, time_head[] = {WIRE_I64, 0, 2};
  enum { SIZE_BYTES = 4, TIME_BYTES = 8 };
  if (!take_these(p, device_head, sizeof device_head) || byte_reader_left(&p->in) < SIZE_BYTES)
    return FALSE;
  const guint8 *at = p->in.bytes + p->in.at;
  guint32 size = load_be32(at);
  p->in.at += SIZE_BYTES;
  if (size == 0 || size > LIMIT_NAME_SIZE || byte_reader_left(&p->in) < size ||
      !is_printable_ascii(at + SIZE_BYTES, size))
    return FALSE;
  *out_device = (Slice){(const char *)at + SIZE_BYTES, size};
  p->in.at += size;
  if (!take_these(p, time_head, sizeof time_head) || byte_reader_left(&p->in) < TIME_BYTES)
    return FALSE;
  *out_time = (gint64)load_be64(p->in.bytes + p->in.at);
  p->in.at += TIME_BYTES;
  return TRUE;
}

/* The fields of measurements, the same as before, and of as many numbers of 8 bytes; STOP. */
static gboolean take_numbers(Parser *p)
{
  static const guint8 names_head[] = {WIRE_LIST, 0, 3}, stop[] = {WIRE_STOP};
  if (!take_these(p, names_head, sizeof names_head) || !take_known_names(p))
    return FALSE;
  guint8 values_head[8] = {WIRE_LIST, 0, 4, WIRE_STRUCT};
  store_be32(values_head + 4, p->row_values.len);
  if (!take_these(p, values_head, sizeof values_head))
    return FALSE;
  BuilderColumn *columns = (BuilderColumn *)(void *)p->row_values.data;
  for (guint i = 0; i < p->row_values.len; i++)
    if (!read_long_value(p, &columns[i]))
      return FALSE;
  return take_these(p, stop, sizeof stop);
}

/*
 * A row as most come: fields in their order, the measurements of the row before, numbers of 8
 * bytes. FALSE, with nothing taken: it is another one, or wrong, which is for others to say.
 */
static gboolean read_plain_row(Parser *p, Slice *out_device, gint64 *out_time)
{
  gsize begin = p->in.at;
  p->names_known = take_place(p, out_device, out_time) && take_numbers(p);
  if (!p->names_known)
    p->in.at = begin;
  return p->names_known;
}

static void add_row(Parser *p, Slice device, gint64 time)
{
  guint32 ordinal = p->ordinal++;
  const BuilderColumn *columns = (const BuilderColumn *)(void *)p->row_values.data;
  guint count = p->row_values.len;
  if (p->part_count == 1)
    builder_add_row(p->decoded, device, ordinal, time, p->partition_interval, columns, count);
  else
    row_run_add(&p->run, p->decoded, device, ordinal, time, p->partition_interval, columns, count);
}

static gboolean read_row(Parser *p, GError **error)
{
  guint seen = 0, id;
  guint8 type;
  Slice device = {0};
  gint64 time = 0;
  GError *local = NULL;
  gboolean ok = TRUE;
  if (read_plain_row(p, &device, &time)) {
    add_row(p, device, time);
    return TRUE;
  }
  set_columns(p, 0);
  while (ok && next_field(p, &seen, &type, &id, &local)) {
    if (id == 1 && type == WIRE_STRING)
      ok = read_name(p, "device", &device, &local);
    else if (id == 2 && type == WIRE_I64)
      time = (gint64)byte_reader_be64(&p->in);
    else if (id == 3 && type == WIRE_LIST)
      ok = read_row_names(p, &local);
    else if (id == 4 && type == WIRE_LIST)
      ok = read_row_values(p, (seen & 1u << 3) != 0, &local);
    else
      ok = unknown_field(id, type, &local);
  }
  if (local == NULL && p->in.failed)
    cut_short(p, &local);
  if (local == NULL && seen != 0x1E)
    fail(&local, SYNCLOG_INVALID, "device, timestamp, measurements and values are required");
  if (local == NULL && p->row_values.len == 0)
    fail(&local, SYNCLOG_INVALID, "a row needs at least one value");
  const BuilderColumn *columns = (const BuilderColumn *)(void *)p->row_values.data;
  guint count = p->row_values.len;
  /* What goes with the row before has passed the check with it. */
  if (local == NULL && !p->names_known && !row_run_takes(&p->run, device, columns, count) &&
      check_names(p, &local))
    keep_known_names(p);
  if (local != NULL) {
    g_propagate_error(error, local);
    return FALSE;
  }
  add_row(p, device, time);
  return TRUE;
}

/* --- tablets ------------------------------------------------------------------------------------
 */

static gboolean read_column(Parser *p, guint rows, BuilderColumn *column, GError **error)
{
  guint seen = 0, id;
  guint8 type;
  GError *local = NULL;
  gboolean ok = TRUE;
  *column = (BuilderColumn){0};
  while (ok && next_field(p, &seen, &type, &id, &local)) {
    if (id == 1 && type == WIRE_STRING)
      ok = read_name(p, "measurement", &column->measurement, &local);
    else if (id == 2 && type == WIRE_I32)
      column->type = (DataType)byte_reader_be32(&p->in);
    else if (id == 3 && type == WIRE_STRING)
      ok = read_bytes(p, &column->values, &column->values_size, &local);
    else if (id == 4 && type == WIRE_STRING)
      ok = read_bytes(p, &column->nulls, &column->nulls_size, &local);
    else
      ok = unknown_field(id, type, &local);
  }
  if (local == NULL && p->in.failed)
    cut_short(p, &local);
  if (local == NULL && (seen & 0xE) != 0xE)
    fail(&local, SYNCLOG_INVALID, "measurement, type and values are required");
  if (local == NULL && data_type_name((int)column->type) == NULL)
    fail(&local, SYNCLOG_INVALID, "type: %d is none", (int)column->type);
  if (local == NULL && !column_check_packed(column->type, column->values, column->values_size,
                                            column->nulls, column->nulls_size, rows, &local))
    fail_prefix(&local, "\"%.*s\": ", (int)column->measurement.size, column->measurement.bytes);
  if (local == NULL)
    return TRUE;
  g_propagate_error(error, local);
  return FALSE;
}

static gboolean read_columns(Parser *p, guint rows, GError **error)
{
  guint count;
  if (rows == 0)
    return fail(error, SYNCLOG_INVALID, "rowCount must come before columns");
  if (!read_list(p, WIRE_STRUCT, 1, LIMIT_TABLET_COLUMNS, &count, error))
    return fail_prefix(error, "columns: ");
  if (count == 0)
    return fail(error, SYNCLOG_INVALID, "a tablet needs at least one column");
  set_columns(p, count);
  for (guint i = 0; i < count; i++)
    if (!read_column(p, rows, &g_array_index(&p->row_values, BuilderColumn, i), error))
      return fail_prefix(error, "columns[%u] ", i);
  return TRUE;
}

static gboolean check_row_count(guint32 rows, GError **error)
{
  if (rows == 0 || rows > G_MAXINT32)
    return fail(error, SYNCLOG_INVALID, "rowCount must be 1 or more");
  if (rows > LIMIT_TABLET_ROWS)
    return fail(error, SYNCLOG_TOO_LARGE, "%u rows, at most %d are taken", rows, LIMIT_TABLET_ROWS);
  return TRUE;
}

static gboolean read_tablet(Parser *p, GError **error)
{
  guint seen = 0, id;
  guint8 type;
  Slice device = {0};
  guint32 rows = 0;
  const guint8 *times = NULL;
  gsize times_size = 0;
  GError *local = NULL;
  gboolean ok = TRUE;
  while (ok && next_field(p, &seen, &type, &id, &local)) {
    if (id == 1 && type == WIRE_STRING) {
      ok = read_name(p, "device", &device, &local);
    } else if (id == 2 && type == WIRE_I32) {
      rows = byte_reader_be32(&p->in);
      ok = check_row_count(rows, &local);
    } else if (id == 3 && type == WIRE_STRING) {
      ok = read_bytes(p, &times, &times_size, &local);
    } else if (id == 4 && type == WIRE_LIST) {
      ok = read_columns(p, rows, &local);
    } else {
      ok = unknown_field(id, type, &local);
    }
  }
  if (local == NULL && p->in.failed)
    cut_short(p, &local);
  if (local == NULL && seen != 0x1E)
    fail(&local, SYNCLOG_INVALID, "device, rowCount, timestamps and columns are required");
  if (local == NULL && times_size != (gsize)rows * 8)
    fail(&local, SYNCLOG_INVALID, "timestamps: %zu bytes, %zu expected", times_size,
         (gsize)rows * 8);
  if (local != NULL || !check_names(p, &local)) {
    g_propagate_error(error, local);
    return FALSE;
  }
  builder_add_tablet(p->decoded, device, p->ordinal++, times, rows, p->partition_interval,
                     (BuilderColumn *)(void *)p->row_values.data, p->row_values.len);
  return TRUE;
}

/* --- deletes ------------------------------------------------------------------------------------
 */

static gboolean read_delete_names(Parser *p, DecodedDelete *delete, GError **error)
{
  guint count;
  if (!read_list(p, WIRE_STRING, 4, LIMIT_TABLET_COLUMNS, &count, error))
    return fail_prefix(error, "measurements: ");
  if (count == 0)
    return fail(error, SYNCLOG_INVALID, "measurements: leave the list out to delete all");
  delete->first_name = p->decoded->names->len;
  delete->name_count = count;
  for (guint i = 0; i < count; i++) {
    Slice name;
    if (!read_name(p, "measurements", &name, error))
      return FALSE;
    list_append(p->decoded->names, sizeof name, &name, 1);
  }
  return TRUE;
}

static gboolean read_delete(Parser *p, GError **error)
{
  guint seen = 0, id;
  guint8 type;
  DecodedDelete delete = {0};
  GError *local = NULL;
  gboolean ok = TRUE;
  while (ok && next_field(p, &seen, &type, &id, &local)) {
    if (id == 1 && type == WIRE_STRING)
      ok = read_name(p, "device", &delete.device, &local);
    else if (id == 2 && type == WIRE_LIST)
      ok = read_delete_names(p, &delete, &local);
    else if (id == 3 && type == WIRE_I64)
      delete.start_time = (gint64)byte_reader_be64(&p->in);
    else if (id == 4 && type == WIRE_I64)
      delete.end_time = (gint64)byte_reader_be64(&p->in);
    else
      ok = unknown_field(id, type, &local);
  }
  if (local == NULL && p->in.failed)
    cut_short(p, &local);
  if (local == NULL && (seen & 0x1A) != 0x1A)
    fail(&local, SYNCLOG_INVALID, "device, startTime and endTime are required");
  if (local == NULL && delete.start_time > delete.end_time)
    fail(&local, SYNCLOG_INVALID, "startTime is behind endTime");
  if (local != NULL) {
    g_propagate_error(error, local);
    return FALSE;
  }
  delete.ordinal = p->ordinal++;
  list_append(p->decoded->deletes, sizeof delete, &delete, 1);
  return TRUE;
}

/* --- the whole ----------------------------------------------------------------------------------
 */

static gboolean read_parts(Parser *p, const char *what, gboolean (*read_one)(Parser *, GError **),
                           GError **error)
{
  guint count;
  /* The limit is that of all parts of the write together. */
  if (!read_list(p, WIRE_STRUCT, 1, LIMIT_WRITE_PARTS - p->ordinal, &count, error))
    return fail_prefix(error, "%s: ", what);
  p->part_count = count;
  for (guint i = 0; i < count; i++)
    if (!read_one(p, error))
      return fail_prefix(error, "%s[%u].", what, i);
  row_run_flush(&p->run, p->decoded, p->partition_interval);
  return TRUE;
}

static gboolean read_key(Parser *p, GError **error)
{
  guint32 size = byte_reader_be32(&p->in);
  const guint8 *bytes = byte_reader_take(&p->in, size);
  if (bytes == NULL)
    return TRUE; /* the caller sees that it is cut short */
  if (size < 1 || size > LIMIT_KEY_SIZE)
    return fail(error, SYNCLOG_INVALID, "key: %u bytes, 1 to %d are taken", size, LIMIT_KEY_SIZE);
  write_keys_hash(bytes, size, p->decoded->key_hash);
  p->decoded->has_key = TRUE;
  return TRUE;
}

/*
 * The order of effect is deletes, rows, tablets, which is the order of the field ids. A writer that
 * sends the fields in another order is refused rather than sorted: no generated code does.
 */
static gboolean read_write(Parser *p, GError **error)
{
  guint seen = 0, id;
  guint8 type;
  GError *local = NULL;
  gboolean ok = TRUE;
  while (ok && next_field(p, &seen, &type, &id, &local)) {
    if ((guint64)seen >> (id + 1) != 0)
      ok = fail(&local, SYNCLOG_INVALID, "deletes, rows, tablets and key must come in this order");
    else if (id == 1 && type == WIRE_LIST)
      ok = read_parts(p, "deletes", read_delete, &local);
    else if (id == 2 && type == WIRE_LIST)
      ok = read_parts(p, "rows", read_row, &local);
    else if (id == 3 && type == WIRE_LIST)
      ok = read_parts(p, "tablets", read_tablet, &local);
    else if (id == 4 && type == WIRE_STRING)
      ok = read_key(p, &local);
    else
      ok = unknown_field(id, type, &local);
  }
  if (local == NULL && p->in.failed)
    cut_short(p, &local);
  if (local == NULL && p->in.at != p->in.size)
    fail(&local, SYNCLOG_INVALID, "%zu bytes behind the end of the write", p->in.size - p->in.at);
  if (local == NULL && p->ordinal == 0)
    fail(&local, SYNCLOG_INVALID, "the write is empty");
  if (local == NULL)
    return TRUE;
  g_propagate_error(error, local);
  return FALSE;
}

Decoded *decoded_new(const guint8 *bytes, gsize size)
{
  enum { COLUMNS_SIZE = FEW_COLUMNS * sizeof(DecodedColumn), SPARE = 64 };
  gsize head = sizeof(Decoded) + sizeof(DecodedBlock) + COLUMNS_SIZE;
  Decoded *decoded = g_malloc(head + size + size + SPARE);
  guint8 *block = (guint8 *)(decoded + 1), *columns = block + sizeof(DecodedBlock);
  memset(decoded, 0, sizeof *decoded);
  decoded->copy = (guint8 *)decoded + head;
  if (size > 0)
    memcpy(decoded->copy, bytes, size);
  decoded->lists[0] = list_in(decoded->copy + size, size + SPARE);
  decoded->lists[1] = list_in(columns, FEW_COLUMNS);
  decoded->lists[2] = list_in(block, 1);
  decoded->values = &decoded->lists[0];
  decoded->columns = &decoded->lists[1];
  decoded->blocks = &decoded->lists[2];
  decoded->deletes = &decoded->lists[3];
  decoded->names = &decoded->lists[4];
  return decoded;
}

Decoded *store_decode(const guint8 *data, gsize size, guint64 partition_interval, GError **error)
{
  if (size > LIMIT_ENTRY_SIZE) {
    fail(error, SYNCLOG_TOO_LARGE, "a write of %zu bytes, at most %d are taken", size,
         LIMIT_ENTRY_SIZE);
    return NULL;
  }
  g_autoptr(Decoded) decoded = decoded_new(data, size);
  BuilderColumn few[FEW_COLUMNS];
  Parser parser = {.in = byte_reader(decoded->copy, size),
                   .decoded = decoded,
                   .partition_interval = partition_interval,
                   .row_values = list_in(few, FEW_COLUMNS)};
  gboolean valid = read_write(&parser, error);
  row_run_clear(&parser.run);
  list_clear(&parser.row_values);
  if (!valid)
    return NULL;
  return g_steal_pointer(&decoded);
}

Decoded *store_decode_nothing(void)
{
  return decoded_new(NULL, 0);
}

void store_decoded_free(Decoded *decoded)
{
  for (guint i = 0; i < G_N_ELEMENTS(decoded->lists); i++)
    list_clear(&decoded->lists[i]);
  g_free(decoded);
}

guint64 store_decoded_points(const Decoded *decoded)
{
  return decoded->points;
}

guint64 store_decoded_rows(const Decoded *decoded)
{
  return decoded->rows;
}

const guint8 *store_decoded_key(const Decoded *decoded)
{
  return decoded->has_key ? decoded->key_hash : NULL;
}
