#include "base/table.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

static const char *const type_names[] = {NULL,    "BOOLEAN", "INT32", "INT64",
                                         "FLOAT", "DOUBLE",  "TEXT"};

const char *data_type_name(int type)
{
  return type >= DATA_BOOLEAN && type <= DATA_TEXT ? type_names[type] : NULL;
}

gboolean data_type_parse(const char *name, DataType *out_type)
{
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++) {
    if (g_ascii_strcasecmp(name, type_names[type]) == 0) {
      *out_type = (DataType)type;
      return TRUE;
    }
  }
  return FALSE;
}

gsize data_type_size(DataType type)
{
  switch (type) {
  case DATA_BOOLEAN:
    return 1;
  case DATA_INT32:
  case DATA_FLOAT:
    return 4;
  case DATA_INT64:
  case DATA_DOUBLE:
    return 8;
  case DATA_TEXT:
    break;
  }
  return 0;
}

/* --- values -------------------------------------------------------------------------------------
 */

void value_clear(Value *value)
{
  if (value->type == DATA_TEXT)
    g_free(value->text.bytes);
  *value = (Value){.type = DATA_BOOLEAN};
}

/* Of no bytes too, where `bytes` may be NULL. */
static char *dup_text(const void *bytes, gsize size)
{
  char *text = g_malloc(size + 1);
  if (size > 0)
    memcpy(text, bytes, size);
  text[size] = '\0';
  return text;
}

double value_as_double(const Value *value)
{
  switch (value->type) {
  case DATA_BOOLEAN:
    return value->boolean ? 1 : 0;
  case DATA_INT32:
    return value->int32;
  case DATA_INT64:
    return (double)value->int64;
  case DATA_FLOAT:
    return (double)value->float32;
  case DATA_DOUBLE:
    return value->float64;
  case DATA_TEXT:
    break;
  }
  return 0;
}

void value_copy(const Value *value, Value *out_value)
{
  *out_value = *value;
  if (value->type == DATA_TEXT)
    out_value->text.bytes = dup_text(value->text.bytes, value->text.size);
}

void value_unpack(DataType type, const guint8 *packed, gsize size, Value *out_value)
{
  *out_value = (Value){.type = type};
  guint32 bits32;
  guint64 bits64;
  switch (type) {
  case DATA_BOOLEAN:
    out_value->boolean = packed[0] != 0;
    return;
  case DATA_INT32:
    out_value->int32 = (gint32)load_le32(packed);
    return;
  case DATA_INT64:
    out_value->int64 = (gint64)load_le64(packed);
    return;
  case DATA_FLOAT:
    bits32 = load_le32(packed);
    memcpy(&out_value->float32, &bits32, sizeof bits32);
    return;
  case DATA_DOUBLE:
    bits64 = load_le64(packed);
    memcpy(&out_value->float64, &bits64, sizeof bits64);
    return;
  case DATA_TEXT:
    out_value->text.bytes = dup_text(packed, size);
    out_value->text.size = size;
    return;
  }
}

/* --- columns ------------------------------------------------------------------------------------
 */

Column *column_new(const char *measurement, DataType type)
{
  Column *column = g_new0(Column, 1);
  column->measurement = g_strdup(measurement);
  column->type = type;
  column->values = g_byte_array_new();
  if (type == DATA_TEXT) {
    static const guint8 first_offset[4] = {0};
    column->text = g_byte_array_new();
    g_byte_array_append(column->values, first_offset, sizeof first_offset);
  }
  return column;
}

void column_free(Column *column)
{
  g_free(column->measurement);
  g_byte_array_unref(column->values);
  g_clear_pointer(&column->text, g_byte_array_unref);
  g_clear_pointer(&column->nulls, g_byte_array_unref);
  g_free(column);
}

static void grow_nulls(Column *column)
{
  if (column->nulls == NULL)
    return;
  guint8 zero = 0;
  while (column->nulls->len < (column->rows + 7) / 8)
    g_byte_array_append(column->nulls, &zero, 1);
}

static void append_offset(Column *column)
{
  guint8 offset[4];
  store_le32(offset, column->text->len);
  g_byte_array_append(column->values, offset, sizeof offset);
}

void column_append_packed(Column *column, const void *values, guint rows)
{
  g_assert(column->type != DATA_TEXT);
  g_byte_array_append(column->values, values, (guint)(rows * data_type_size(column->type)));
  column->rows += rows;
  grow_nulls(column);
}

guint8 *column_open(Column *column, guint rows)
{
  g_assert(column->type != DATA_TEXT);
  guint at = column->values->len;
  g_byte_array_set_size(column->values, at + (guint)(rows * data_type_size(column->type)));
  return column->values->data + at;
}

void column_close(Column *column, guint rows, guint first, guint count)
{
  g_assert(first + count <= rows);
  guint width = (guint)data_type_size(column->type);
  guint at = column->values->len - rows * width;
  if (first > 0 && count > 0)
    memmove(column->values->data + at, column->values->data + at + first * width,
            (gsize)count * width);
  g_byte_array_set_size(column->values, at + count * width);
  column->rows += count;
  grow_nulls(column);
}

void column_append(Column *column, const void *packed, gsize size)
{
  if (column->type == DATA_TEXT) {
    g_assert(column->text != NULL);
    g_byte_array_append(column->text, packed, (guint)size);
    append_offset(column);
  } else {
    g_byte_array_append(column->values, packed, (guint)data_type_size(column->type));
  }
  column->rows++;
  grow_nulls(column);
}

void column_append_null(Column *column)
{
  static const guint8 zeros[8] = {0};
  if (column->type == DATA_TEXT)
    append_offset(column);
  else
    g_byte_array_append(column->values, zeros, (guint)data_type_size(column->type));
  if (column->nulls == NULL)
    column->nulls = g_byte_array_new();
  guint row = column->rows++;
  grow_nulls(column);
  column->nulls->data[row / 8] |= (guint8)(1u << (row % 8));
}

void column_finish(Column *column)
{
  if (column->text == NULL)
    return;
  g_byte_array_append(column->values, column->text->data, column->text->len);
  g_clear_pointer(&column->text, g_byte_array_unref);
}

gboolean column_get(const Column *column, guint row, Value *out_value)
{
  g_assert(row < column->rows && column->text == NULL);
  if (column->nulls != NULL && column->nulls->data[row / 8] & (1u << (row % 8)))
    return FALSE;
  const guint8 *values = column->values->data;
  gsize size = data_type_size(column->type);
  if (column->type != DATA_TEXT) {
    value_unpack(column->type, values + row * size, size, out_value);
    return TRUE;
  }
  guint32 begin = load_le32(values + row * 4), end = load_le32(values + (row + 1) * 4);
  value_unpack(DATA_TEXT, values + (column->rows + 1) * 4 + begin, end - begin, out_value);
  return TRUE;
}

static gboolean check_texts(const guint8 *values, gsize size, guint rows, GError **error)
{
  gsize table = ((gsize)rows + 1) * 4;
  if (size < table)
    return fail(error, SYNCLOG_INVALID, "values: %zu bytes, at least %zu of offsets expected", size,
                table);
  if (load_le32(values) != 0)
    return fail(error, SYNCLOG_INVALID, "values: the first offset is not 0");
  for (guint row = 0; row < rows; row++) {
    guint32 begin = load_le32(values + row * 4), end = load_le32(values + (row + 1) * 4);
    if (end < begin || end > size - table)
      return fail(error, SYNCLOG_INVALID, "values: offset %u of row %u is out of order", end, row);
    if (end - begin > LIMIT_TEXT_SIZE)
      return fail(error, SYNCLOG_TOO_LARGE, "values: row %u has %u bytes, at most %d are taken",
                  row, end - begin, LIMIT_TEXT_SIZE);
    if (!g_utf8_validate_len((const char *)values + table + begin, end - begin, NULL))
      return fail(error, SYNCLOG_INVALID, "values: row %u is no UTF-8, or has a NUL in it", row);
  }
  if (load_le32(values + rows * 4) != size - table)
    return fail(error, SYNCLOG_INVALID, "values: %zu bytes of text, the last offset says %u",
                size - table, load_le32(values + rows * 4));
  return TRUE;
}

gboolean column_check_packed(DataType type, const guint8 *values, gsize size, const guint8 *nulls,
                             gsize nulls_size, guint rows, GError **error)
{
  if (nulls != NULL) {
    if (nulls_size != ((gsize)rows + 7) / 8)
      return fail(error, SYNCLOG_INVALID, "nulls: %zu bytes, %zu expected", nulls_size,
                  ((gsize)rows + 7) / 8);
    if (rows % 8 != 0 && nulls[nulls_size - 1] >> (rows % 8) != 0)
      return fail(error, SYNCLOG_INVALID, "nulls: bits behind the last row are set");
  }
  if (type == DATA_TEXT)
    return check_texts(values, size, rows, error);
  if (size != rows * data_type_size(type))
    return fail(error, SYNCLOG_INVALID, "values: %zu bytes, %zu expected", size,
                rows * data_type_size(type));
  if (type == DATA_BOOLEAN)
    for (guint row = 0; row < rows; row++)
      if (values[row] > 1)
        return fail(error, SYNCLOG_INVALID, "values: row %u is neither 0 nor 1", row);
  return TRUE;
}

gboolean column_check(const Column *column, guint rows, GError **error)
{
  if (data_type_name((int)column->type) == NULL)
    return fail(error, SYNCLOG_INVALID, "type: %d is none", (int)column->type);
  return column_check_packed(column->type, column->values->data, column->values->len,
                             column->nulls != NULL ? column->nulls->data : NULL,
                             column->nulls != NULL ? column->nulls->len : 0, rows, error);
}

/* --- answers ------------------------------------------------------------------------------------
 */

Table *table_new(void)
{
  Table *table = g_new0(Table, 1);
  table->timestamps = g_array_new(FALSE, FALSE, sizeof(gint64));
  table->columns = g_ptr_array_new_with_free_func((GDestroyNotify)column_free);
  return table;
}

void table_free(Table *table)
{
  g_array_unref(table->timestamps);
  g_ptr_array_unref(table->columns);
  g_clear_pointer(&table->next_page, g_bytes_unref);
  g_free(table);
}

void last_value_free(LastValue *last)
{
  g_free(last->measurement);
  value_clear(&last->value);
  g_free(last);
}

static void window_clear(gpointer data)
{
  Window *window = data;
  value_clear(&window->min);
  value_clear(&window->max);
  value_clear(&window->first);
  value_clear(&window->last);
}

Aggregate *aggregate_new(void)
{
  Aggregate *aggregate = g_new0(Aggregate, 1);
  aggregate->windows = g_array_new(FALSE, TRUE, sizeof(Window));
  g_array_set_clear_func(aggregate->windows, window_clear);
  return aggregate;
}

void aggregate_free(Aggregate *aggregate)
{
  g_array_unref(aggregate->windows);
  g_free(aggregate);
}

void device_free(Device *device)
{
  for (guint i = 0; i < device->measurements->len; i++)
    g_free(g_array_index(device->measurements, Measurement, i).name);
  g_array_unref(device->measurements);
  g_free(device->name);
  g_free(device);
}

void digest_part_free(DigestPart *part)
{
  g_free(part->device);
  g_free(part);
}
