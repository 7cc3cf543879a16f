#include "ctl/write_dump.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <string.h>

/* Types of the Thrift binary protocol. */
enum {
  T_STOP = 0,
  T_BOOL = 2,
  T_DOUBLE = 4,
  T_I32 = 8,
  T_I64 = 10,
  T_STRING = 11,
  T_STRUCT = 12,
  T_LIST = 15,
};

typedef struct Dump {
  ByteReader in;
  JsonWriter *json; /* NULL: only count */
  WriteSummary summary;
  const char *wanted; /* a device to look for, NULL: none */
  gboolean touched;   /* it was found */
} Dump;

typedef struct Bytes {
  const guint8 *at;
  gsize size;
} Bytes;

static void set_failed(Dump *dump)
{
  dump->in.failed = TRUE;
}

/* Reads a field's head; FALSE at the end of the struct or after a failure. */
static gboolean next_field(Dump *dump, guint8 *out_type, guint16 *out_id)
{
  *out_type = byte_reader_u8(&dump->in);
  if (dump->in.failed || *out_type == T_STOP)
    return FALSE;
  *out_id = byte_reader_be16(&dump->in);
  return !dump->in.failed;
}

static gboolean is_field(guint8 type, guint16 id, guint8 wanted_type, guint16 wanted_id)
{
  return type == wanted_type && id == wanted_id;
}

static Bytes take_bytes(Dump *dump)
{
  guint32 size = byte_reader_be32(&dump->in);
  const guint8 *at = byte_reader_take(&dump->in, size);
  return at != NULL ? (Bytes){at, size} : (Bytes){(const guint8 *)"", 0};
}

/* Number of elements of a list of `type`; each takes at least a byte. */
static guint32 take_list(Dump *dump, guint8 type)
{
  guint8 found = byte_reader_u8(&dump->in);
  guint32 count = byte_reader_be32(&dump->in);
  if (found != type || count > byte_reader_left(&dump->in)) {
    set_failed(dump);
    return 0;
  }
  return count;
}

/* Transfer full. */
static char *to_text(Bytes bytes)
{
  return g_utf8_make_valid((const char *)bytes.at, (gssize)bytes.size);
}

static void put_text(Dump *dump, const char *key, Bytes bytes)
{
  if (dump->json == NULL)
    return;
  g_autofree char *text = to_text(bytes);
  json_put_string(dump->json, key, text);
}

/* Text of which every character can be shown. */
static gboolean is_plain(Bytes bytes)
{
  const char *text = (const char *)bytes.at;
  if (!g_utf8_validate_len(text, bytes.size, NULL))
    return FALSE;
  for (const char *at = text; at < text + bytes.size; at = g_utf8_next_char(at))
    if (!g_unichar_isprint(g_utf8_get_char(at)))
      return FALSE;
  return TRUE;
}

/* "key" is the key itself; of any other one "keyHex" has the bytes. */
static void take_key(Dump *dump)
{
  Bytes key = take_bytes(dump);
  if (is_plain(key) || dump->json == NULL) {
    put_text(dump, "key", key);
    return;
  }
  g_autoptr(GString) hex = g_string_new(NULL);
  for (gsize i = 0; i < key.size; i++)
    g_string_append_printf(hex, "%02x", key.at[i]);
  json_put_string(dump->json, "keyHex", hex->str);
}

static void take_device(Dump *dump)
{
  Bytes name = take_bytes(dump);
  put_text(dump, "device", name);
  if (dump->wanted != NULL && strlen(dump->wanted) == name.size &&
      memcmp(dump->wanted, name.at, name.size) == 0)
    dump->touched = TRUE;
}

static void put_time(Dump *dump, const char *key, guint64 time)
{
  if (dump->json != NULL)
    json_put_int(dump->json, key, (gint64)time);
}

static void begin_object(Dump *dump, const char *key, gboolean flat)
{
  if (dump->json != NULL)
    json_begin_object(dump->json, key, flat);
}

static void end_object(Dump *dump)
{
  if (dump->json != NULL)
    json_end_object(dump->json);
}

static void begin_array(Dump *dump, const char *key)
{
  if (dump->json != NULL)
    json_begin_array(dump->json, key, TRUE);
}

static void end_array(Dump *dump)
{
  if (dump->json != NULL)
    json_end_array(dump->json);
}

static void dump_names(Dump *dump)
{
  begin_array(dump, "measurements");
  guint32 count = take_list(dump, T_STRING);
  for (guint32 i = 0; i < count && !dump->in.failed; i++)
    put_text(dump, NULL, take_bytes(dump));
  end_array(dump);
}

static void dump_delete(Dump *dump)
{
  guint8 type;
  guint16 id;
  dump->summary.deletes++;
  begin_object(dump, NULL, TRUE);
  while (next_field(dump, &type, &id)) {
    if (is_field(type, id, T_STRING, 1))
      take_device(dump);
    else if (is_field(type, id, T_LIST, 2))
      dump_names(dump);
    else if (is_field(type, id, T_I64, 3))
      put_time(dump, "startTime", byte_reader_be64(&dump->in));
    else if (is_field(type, id, T_I64, 4))
      put_time(dump, "endTime", byte_reader_be64(&dump->in));
    else
      set_failed(dump);
  }
  end_object(dump);
}

/* A TValue: one field and the end of the struct. */
static void dump_value(Dump *dump)
{
  guint8 type;
  guint16 id = 0;
  Value value = {0};
  g_autofree char *text = NULL;
  if (!next_field(dump, &type, &id)) {
    set_failed(dump);
    return;
  }
  if (is_field(type, id, T_BOOL, 1)) {
    value = (Value){.type = DATA_BOOLEAN, .boolean = byte_reader_u8(&dump->in) != 0};
  } else if (is_field(type, id, T_I32, 2)) {
    value = (Value){.type = DATA_INT32, .int32 = (gint32)byte_reader_be32(&dump->in)};
  } else if (is_field(type, id, T_I64, 3)) {
    value = (Value){.type = DATA_INT64, .int64 = (gint64)byte_reader_be64(&dump->in)};
  } else if (is_field(type, id, T_DOUBLE, 4) || is_field(type, id, T_DOUBLE, 5)) {
    guint64 bits = byte_reader_be64(&dump->in);
    double number;
    memcpy(&number, &bits, sizeof number);
    value = id == 4 ? (Value){.type = DATA_FLOAT, .float32 = (float)number}
                    : (Value){.type = DATA_DOUBLE, .float64 = number};
  } else if (is_field(type, id, T_STRING, 6)) {
    text = to_text(take_bytes(dump));
    value.type = DATA_TEXT;
    value.text.bytes = text;
    value.text.size = strlen(text);
  } else {
    set_failed(dump);
  }
  if (byte_reader_u8(&dump->in) != T_STOP)
    set_failed(dump);
  dump->summary.values++;
  if (dump->json != NULL && !dump->in.failed)
    json_put_value(dump->json, NULL, &value);
}

static void dump_row(Dump *dump)
{
  guint8 type;
  guint16 id;
  dump->summary.rows++;
  begin_object(dump, NULL, TRUE);
  while (next_field(dump, &type, &id)) {
    if (is_field(type, id, T_STRING, 1)) {
      take_device(dump);
    } else if (is_field(type, id, T_I64, 2)) {
      put_time(dump, "time", byte_reader_be64(&dump->in));
    } else if (is_field(type, id, T_LIST, 3)) {
      dump_names(dump);
    } else if (is_field(type, id, T_LIST, 4)) {
      begin_array(dump, "values");
      guint32 count = take_list(dump, T_STRUCT);
      for (guint32 i = 0; i < count && !dump->in.failed; i++)
        dump_value(dump);
      end_array(dump);
    } else {
      set_failed(dump);
    }
  }
  end_object(dump);
}

/* The packed bytes of a column as values. */
static void dump_packed(Dump *dump, int type, Bytes values, Bytes nulls, guint32 rows)
{
  g_autoptr(Column) column = column_new("", (DataType)type);
  column_finish(column);
  column->rows = rows;
  g_byte_array_set_size(column->values, 0);
  g_byte_array_append(column->values, values.at, (guint)values.size);
  if (nulls.at != NULL) {
    column->nulls = g_byte_array_new();
    g_byte_array_append(column->nulls, nulls.at, (guint)nulls.size);
  }
  if (!column_check(column, rows, NULL)) {
    set_failed(dump);
    return;
  }
  for (guint32 i = 0; i < rows; i++) {
    Value value;
    if (!column_get(column, i, &value)) {
      json_put_null(dump->json, NULL);
      continue;
    }
    json_put_value(dump->json, NULL, &value);
    value_clear(&value);
  }
}

static void dump_column(Dump *dump, guint32 rows)
{
  guint8 type;
  guint16 id;
  guint32 data_type = 0;
  Bytes values = {NULL, 0}, nulls = {NULL, 0};
  begin_object(dump, NULL, TRUE);
  while (next_field(dump, &type, &id)) {
    if (is_field(type, id, T_STRING, 1))
      put_text(dump, "measurement", take_bytes(dump));
    else if (is_field(type, id, T_I32, 2))
      data_type = byte_reader_be32(&dump->in);
    else if (is_field(type, id, T_STRING, 3))
      values = take_bytes(dump);
    else if (is_field(type, id, T_STRING, 4))
      nulls = take_bytes(dump);
    else
      set_failed(dump);
  }
  const char *name = data_type_name((int)data_type);
  if (name == NULL || values.at == NULL)
    set_failed(dump);
  if (dump->json != NULL && !dump->in.failed) {
    json_put_string(dump->json, "type", name);
    begin_array(dump, "values");
    dump_packed(dump, (int)data_type, values, nulls, rows);
    end_array(dump);
  }
  dump->summary.values += rows;
  end_object(dump);
}

static void dump_timestamps(Dump *dump, guint32 rows)
{
  Bytes times = take_bytes(dump);
  if (times.size != (gsize)rows * 8) {
    set_failed(dump);
    return;
  }
  begin_array(dump, "times");
  for (guint32 i = 0; i < rows && dump->json != NULL; i++)
    json_put_int(dump->json, NULL, (gint64)load_le64(times.at + i * 8));
  end_array(dump);
}

static void dump_tablet(Dump *dump)
{
  guint8 type;
  guint16 id;
  guint32 rows = 0;
  dump->summary.tablets++;
  begin_object(dump, NULL, TRUE);
  while (next_field(dump, &type, &id)) {
    if (is_field(type, id, T_STRING, 1)) {
      take_device(dump);
    } else if (is_field(type, id, T_I32, 2)) {
      rows = byte_reader_be32(&dump->in);
      dump->summary.tablet_rows += rows;
      if (rows > LIMIT_TABLET_ROWS)
        set_failed(dump);
    } else if (is_field(type, id, T_STRING, 3)) {
      dump_timestamps(dump, rows);
    } else if (is_field(type, id, T_LIST, 4)) {
      begin_array(dump, "columns");
      guint32 count = take_list(dump, T_STRUCT);
      for (guint32 i = 0; i < count && !dump->in.failed; i++)
        dump_column(dump, rows);
      end_array(dump);
    } else {
      set_failed(dump);
    }
  }
  end_object(dump);
}

static gboolean dump_write(Dump *dump, const char *key)
{
  static const struct {
    const char *name;
    void (*dump)(Dump *dump);
  } parts[] = {{"deletes", dump_delete}, {"rows", dump_row}, {"tablets", dump_tablet}};
  guint8 type;
  guint16 id;
  begin_object(dump, key, TRUE);
  while (next_field(dump, &type, &id)) {
    if (is_field(type, id, T_STRING, 4)) {
      take_key(dump);
      continue;
    }
    if (type != T_LIST || id < 1 || id > G_N_ELEMENTS(parts)) {
      set_failed(dump);
      break;
    }
    begin_array(dump, parts[id - 1].name);
    guint32 count = take_list(dump, T_STRUCT);
    for (guint32 i = 0; i < count && !dump->in.failed; i++)
      parts[id - 1].dump(dump);
    end_array(dump);
  }
  end_object(dump);
  return !dump->in.failed && dump->in.at == dump->in.size;
}

gboolean write_dump(const guint8 *data, gsize size, JsonWriter *json, const char *key,
                    WriteSummary *out_summary)
{
  Dump dump = {.in = byte_reader(data, size), .json = json};
  gboolean good = dump_write(&dump, key);
  *out_summary = dump.summary;
  return good;
}

gboolean write_touches(const guint8 *data, gsize size, const char *device)
{
  Dump dump = {.in = byte_reader(data, size), .wanted = device};
  return dump_write(&dump, NULL) && dump.touched;
}
