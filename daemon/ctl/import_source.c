#include "ctl/import_source.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/times.h"
#include "ctl/csv.h"
#include "ctl/values.h"

#include <errno.h>
#include <string.h>

enum {
  PROGRESS_ROWS = 4096,
  CHECKSUM_SIZE = 4096,
  DEVICES_MAX = 100000, /* different devices in one file */
};

typedef enum { ROLE_TIME, ROLE_DEVICE, ROLE_VALUE } Role;

typedef struct ImportColumn {
  Role role;
  char *name;
  int given;    /* type from the head or the options, 0 for none */
  int inferred; /* from what was scanned, 0 while nothing was */
} ImportColumn;

/* One device of the file. */
typedef struct ImportDevice {
  char *name;
  int *types; /* of the measurements on the server, 0 where new; as the file's columns */
  /* The tablet under construction. */
  GArray *timestamps; /* gint64 */
  Column **columns;   /* NULL where it has no value yet */
} ImportDevice;

struct ImportSource {
  const ImportOptions *options;
  char *path;
  FILE *file;
  CsvReader *reader;
  GArray *columns; /* ImportColumn */
  guint time_index;
  gint device_index; /* -1: none */
  guint32 head_checksum;
  guint64 size, first_offset, first_line;
  GHashTable *devices; /* name → ImportDevice* */
  GPtrArray *filled;   /* ImportDevice* with rows in the batch, in order of appearance; borrowed */
};

static void column_clear(gpointer data)
{
  ImportColumn *column = data;
  g_free(column->name);
}

static void device_clear(gpointer data)
{
  ImportDevice *device = data;
  g_array_unref(device->timestamps);
  g_free(device->name);
  g_free(device->types);
  g_free(device->columns);
  g_free(device);
}

static const ImportColumn *column_at(const ImportSource *source, guint i)
{
  return &g_array_index(source->columns, ImportColumn, i);
}

static gboolean file_error(const ImportSource *source, guint64 line, GError **error)
{
  return line > 0 ? fail_prefix(error, "%s: line %" G_GUINT64_FORMAT ": ", source->path, line)
                  : fail_prefix(error, "%s: ", source->path);
}

/* Standard input can't be read twice. */
static FILE *copy_stdin(GError **error)
{
  FILE *file = tmpfile();
  if (file == NULL) {
    fail(error, SYNCLOG_INTERNAL, "temporary file: %s", g_strerror(errno));
    return NULL;
  }
  char buffer[64 * 1024];
  gsize n;
  while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0 && fwrite(buffer, 1, n, file) == n)
    ;
  if (ferror(stdin) || fflush(file) != 0 || ferror(file)) {
    fail(error, SYNCLOG_INTERNAL, "copying standard input: %s", g_strerror(errno));
    fclose(file);
    return NULL;
  }
  rewind(file);
  return file;
}

static gboolean open_file(ImportSource *source, GError **error)
{
  if (strcmp(source->path, "-") == 0)
    source->file = copy_stdin(error);
  else if ((source->file = fopen(source->path, "re")) == NULL)
    fail_errno(error, SYNCLOG_INVALID, errno, "%s", source->path);
  if (source->file == NULL)
    return FALSE;
  off_t size;
  if (fseeko(source->file, 0, SEEK_END) != 0 || (size = ftello(source->file)) < 0 ||
      fseeko(source->file, 0, SEEK_SET) != 0)
    return fail_errno(error, SYNCLOG_INVALID, errno, "%s", source->path);
  source->size = (guint64)size;
  return TRUE;
}

/* Whether the node takes it as the name of a device or a measurement; it would refuse the write
 * only after others were sent. */
static gboolean is_name(const char *text)
{
  gsize size = strlen(text);
  if (size == 0 || size > LIMIT_NAME_SIZE || !g_utf8_validate(text, (gssize)size, NULL))
    return FALSE;
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
    if (g_unichar_iscntrl(g_utf8_get_char(at)))
      return FALSE;
  return TRUE;
}

/* "level:NUMBER" is rather a slip than a measurement of that name. */
static gboolean has_foreign_type(const char *head)
{
  static const char *const names[] = {"BIGINT", "BOOL",   "CHAR",    "DECIMAL", "INT",
                                      "INT16",  "INT8",   "INTEGER", "LONG",    "NUMBER",
                                      "REAL",   "STRING", "VARCHAR", NULL};
  const char *colon = strrchr(head, ':');
  return colon != NULL && g_strv_contains(names, colon + 1);
}

static gboolean read_head(ImportSource *source, GError **error)
{
  CsvRow row;
  CsvResult result = csv_reader_next(source->reader, &row, error);
  if (result == CSV_END)
    return fail(error, SYNCLOG_INVALID, "no line with the names of the columns");
  if (result == CSV_ERROR)
    return FALSE;
  for (guint i = 0; i < row.count; i++) {
    const CsvCell *cell = &row.cells[i];
    ImportColumn column = {.role = ROLE_VALUE};
    if (!g_utf8_validate_len(cell->text, cell->size, NULL))
      return fail(error, SYNCLOG_INVALID, "the name of column %u is not UTF-8", i + 1);
    source->head_checksum = crc32c(source->head_checksum, cell->text, cell->size + 1);
    if (has_foreign_type(cell->text))
      return fail(
          error, SYNCLOG_INVALID,
          "column \"%s\" names a type that there is not; the types are BOOLEAN, INT32, INT64, "
          "FLOAT, DOUBLE, TEXT",
          cell->text);
    column.name = measurement_split(cell->text, &column.given);
    g_array_append_val(source->columns, column);
  }
  source->first_offset = csv_reader_offset(source->reader);
  source->first_line = csv_reader_line(source->reader);
  return TRUE;
}

static gint find_column(const ImportSource *source, const char *name)
{
  for (guint i = 0; i < source->columns->len; i++)
    if (column_at(source, i)->given == 0 && strcmp(column_at(source, i)->name, name) == 0)
      return (gint)i;
  return -1;
}

static gboolean find_named(const ImportSource *source, const char *option, const char *name,
                           gint *out_index, GError **error)
{
  *out_index = find_column(source, name);
  return *out_index >= 0
             ? TRUE
             : fail(error, SYNCLOG_INVALID, "%s: there is no column \"%s\"", option, name);
}

static gint find_time_column(const ImportSource *source)
{
  for (guint i = 0; i < source->columns->len; i++) {
    const ImportColumn *column = column_at(source, i);
    if (column->given == 0 && (g_ascii_strcasecmp(column->name, "time") == 0 ||
                               g_ascii_strcasecmp(column->name, "timestamp") == 0))
      return (gint)i;
  }
  return 0;
}

static gboolean check_twins(const ImportSource *source, GError **error)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < source->columns->len; i++) {
    const ImportColumn *column = column_at(source, i);
    /* One column for each type of a measurement is what an export gives of a conflict. */
    if (column->role == ROLE_VALUE && !g_hash_table_add(seen, column->name))
      return fail(error, SYNCLOG_INVALID,
                  "two columns of the measurement \"%s\"; a measurement has one type",
                  column->name);
  }
  return TRUE;
}

static gboolean assign_roles(ImportSource *source, GError **error)
{
  const ImportOptions *options = source->options;
  gint time_index = find_time_column(source);
  source->device_index = -1;
  if (options->time_column != NULL &&
      !find_named(source, "--time-column", options->time_column, &time_index, error))
    return FALSE;
  if (options->device_column != NULL &&
      !find_named(source, "--device-column", options->device_column, &source->device_index, error))
    return FALSE;
  if (time_index == source->device_index)
    return fail(error, SYNCLOG_INVALID, "the column \"%s\" can't be both time and device",
                options->device_column);
  source->time_index = (guint)time_index;
  for (guint i = 0; i < source->columns->len; i++) {
    ImportColumn *column = &g_array_index(source->columns, ImportColumn, i);
    if ((gint)i == time_index)
      column->role = ROLE_TIME;
    else if ((gint)i == source->device_index)
      column->role = ROLE_DEVICE;
    else if (*column->name == '\0')
      return fail(error, SYNCLOG_INVALID, "column %u has no name", i + 1);
    else if (!is_name(column->name))
      return fail(error, SYNCLOG_INVALID,
                  "the name of column %u is too long or has control characters in it", i + 1);
    gpointer type =
        options->types != NULL ? g_hash_table_lookup(options->types, column->name) : NULL;
    if (type != NULL && column->role == ROLE_VALUE)
      column->given = GPOINTER_TO_INT(type);
  }
  return check_twins(source, error);
}

ImportSource *import_source_open(const char *path, const ImportOptions *options, GError **error)
{
  g_autoptr(ImportSource) source = g_new0(ImportSource, 1);
  source->options = options;
  source->path = g_strdup(path);
  source->columns = g_array_new(FALSE, FALSE, sizeof(ImportColumn));
  g_array_set_clear_func(source->columns, column_clear);
  source->devices = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, device_clear);
  source->filled = g_ptr_array_new();
  if (!open_file(source, error))
    return NULL;
  source->reader = csv_reader_new(source->file, options->delimiter);
  if (!read_head(source, error) || !assign_roles(source, error)) {
    file_error(source, 0, error);
    return NULL;
  }
  return g_steal_pointer(&source);
}

/* Forgets the tablets under construction. */
static void drop_filled(ImportSource *source)
{
  for (guint i = 0; i < source->filled->len; i++) {
    ImportDevice *device = source->filled->pdata[i];
    for (guint k = 0; k < source->columns->len; k++)
      g_clear_pointer(&device->columns[k], column_free);
    g_array_set_size(device->timestamps, 0);
  }
  g_ptr_array_set_size(source->filled, 0);
}

void import_source_free(ImportSource *source)
{
  if (source == NULL)
    return;
  drop_filled(source);
  g_ptr_array_unref(source->filled);
  g_hash_table_unref(source->devices);
  g_array_unref(source->columns);
  g_clear_pointer(&source->reader, csv_reader_free);
  if (source->file != NULL)
    fclose(source->file);
  g_free(source->path);
  g_free(source);
}

guint32 import_source_head_checksum(const ImportSource *source)
{
  return source->head_checksum;
}

gboolean import_source_checksum_before(ImportSource *source, guint64 offset, guint32 *out_checksum,
                                       GError **error)
{
  char buffer[CHECKSUM_SIZE];
  gsize size = (gsize)MIN(offset, CHECKSUM_SIZE);
  off_t here = ftello(source->file);
  if (offset > source->size || here < 0 ||
      fseeko(source->file, (off_t)(offset - size), SEEK_SET) != 0 ||
      fread(buffer, 1, size, source->file) != size || fseeko(source->file, here, SEEK_SET) != 0)
    return fail(error, SYNCLOG_INVALID, "%s has fewer than %" G_GUINT64_FORMAT " bytes",
                source->path, offset);
  *out_checksum = crc32c(0, buffer, size);
  return TRUE;
}

guint64 import_source_size(const ImportSource *source)
{
  return source->size;
}

guint64 import_source_offset(const ImportSource *source)
{
  return csv_reader_offset(source->reader);
}

guint64 import_source_line(const ImportSource *source)
{
  return csv_reader_line(source->reader);
}

gboolean import_source_seek(ImportSource *source, guint64 offset, guint64 line, GError **error)
{
  return csv_reader_seek(source->reader, offset, line, error) || file_error(source, 0, error);
}

guint import_source_column_count(const ImportSource *source)
{
  return source->columns->len - 1 - (source->device_index >= 0);
}

/* The type that a measurement gets which the server does not know yet. A column without any value
 * never comes to that. */
static DataType new_type(const ImportColumn *column)
{
  if (column->given != 0)
    return (DataType)column->given;
  return column->inferred != 0 ? (DataType)column->inferred : DATA_DOUBLE;
}

const char *import_source_column(const ImportSource *source, guint i, DataType *out_type)
{
  for (guint k = 0; k < source->columns->len; k++) {
    const ImportColumn *column = column_at(source, k);
    if (column->role != ROLE_VALUE || i-- > 0)
      continue;
    *out_type = new_type(column);
    return column->name;
  }
  g_assert_not_reached();
}

static int type_on_server(const Device *device, const char *measurement)
{
  for (guint i = 0; device != NULL && i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    if (!m->conflicting && strcmp(m->name, measurement) == 0)
      return (int)m->type;
  }
  return 0;
}

/* A device seen for the first time: what does the server have of it? */
static ImportDevice *add_device(ImportSource *source, const char *name, GError **error)
{
  if (g_hash_table_size(source->devices) >= DEVICES_MAX) {
    fail(error, SYNCLOG_TOO_LARGE, "more than %d devices in one file", DEVICES_MAX);
    return NULL;
  }
  g_autoptr(GError) local = NULL;
  Device *known = source->options->lookup(source->options->lookup_ctx, name, &local);
  if (local != NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  ImportDevice *device = g_new0(ImportDevice, 1);
  device->name = g_strdup(name);
  device->timestamps = g_array_new(FALSE, FALSE, sizeof(gint64));
  device->types = g_new0(int, source->columns->len);
  device->columns = g_new0(Column *, source->columns->len);
  g_hash_table_insert(source->devices, device->name, device);
  gboolean valid = TRUE;
  for (guint i = 0; i < source->columns->len && valid; i++) {
    const ImportColumn *column = column_at(source, i);
    device->types[i] = type_on_server(known, column->name);
    if (device->types[i] != 0 && column->given != 0 && column->role == ROLE_VALUE &&
        column->given != device->types[i])
      valid = fail(error, SYNCLOG_TYPE_MISMATCH, "%s.%s is %s on the server, not %s", name,
                   column->name, data_type_name(device->types[i]), data_type_name(column->given));
  }
  if (known != NULL)
    device_free(known);
  return valid ? device : NULL;
}

static ImportDevice *device_of_row(ImportSource *source, const CsvRow *row, GError **error)
{
  const char *name = source->options->device;
  if (source->device_index >= 0) {
    const CsvCell *cell = &row->cells[source->device_index];
    if (!is_name(cell->text)) {
      fail(error, SYNCLOG_INVALID,
           "the name of the device is empty, too long, not UTF-8 or has control characters in it");
      return NULL;
    }
    name = cell->text;
  }
  ImportDevice *device = g_hash_table_lookup(source->devices, name);
  return device != NULL ? device : add_device(source, name, error);
}

/* Integers in the file's unit, everything else as the cluster's times. */
static gboolean parse_time(const ImportTimes *times, const char *text, gint64 *out_time,
                           GError **error)
{
  const char *digits = text + (*text == '-' || *text == '+');
  gboolean integer = *digits != '\0' && strspn(digits, "0123456789") == strlen(digits);
  if (!integer || times->unit == times->per_second)
    return time_parse_stamp(text, times->per_second, times->round, out_time, error);
  gint64 time;
  if (!time_parse_stamp(text, times->unit, FALSE, &time, error))
    return FALSE;
  if (times->unit < times->per_second) {
    if (__builtin_mul_overflow(time, times->per_second / times->unit, out_time))
      return fail(error, SYNCLOG_INVALID, "time \"%s\" is beyond the range of the cluster's times",
                  text);
    return TRUE;
  }
  gint64 divisor = times->unit / times->per_second;
  if (time % divisor != 0 && !times->round)
    return fail(error, SYNCLOG_INVALID, "time \"%s\" is finer than the cluster's precision", text);
  *out_time = time / divisor - (time % divisor < 0);
  return TRUE;
}

/* Reads a row and what every row has. CSV_ERROR with an error that names file and line. */
static CsvResult next_row(ImportSource *source, CsvRow *out_row, gint64 *out_time,
                          ImportDevice **out_device, GError **error)
{
  CsvResult result = csv_reader_next(source->reader, out_row, error);
  if (result == CSV_ERROR)
    file_error(source, 0, error);
  if (result != CSV_ROW)
    return result;
  gboolean valid = TRUE;
  if (out_row->count != source->columns->len)
    valid = fail(error, SYNCLOG_INVALID, "%u cells, the head has %u", out_row->count,
                 source->columns->len);
  valid = valid && parse_time(&source->options->times, out_row->cells[source->time_index].text,
                              out_time, error);
  valid = valid && (*out_device = device_of_row(source, out_row, error)) != NULL;
  if (valid)
    return CSV_ROW;
  file_error(source, out_row->line, error);
  return CSV_ERROR;
}

/* An empty cell is no value, unless it is "" in a column of texts. */
static gboolean is_missing(const CsvCell *cell, int type)
{
  return cell->size == 0 && !(cell->quoted && type == DATA_TEXT);
}

/* Checks a cell against its type, or lets it take part in finding one. */
static gboolean scan_cell(ImportColumn *column, int server_type, const CsvCell *cell,
                          GError **error)
{
  int type = server_type != 0 ? server_type : column->given;
  if (is_missing(cell, type))
    return TRUE;
  if (type == 0) {
    column->inferred = (int)value_infer_both(column->inferred, value_infer(cell->text, cell->size));
    if (column->inferred != DATA_TEXT)
      return TRUE;
    type = DATA_TEXT;
  }
  Value value;
  if (!value_parse(cell->text, cell->size, (DataType)type, &value, error))
    return fail_prefix(error, "%s: ", column->name);
  value_clear(&value);
  return TRUE;
}

static gboolean scan_row(ImportSource *source, const CsvRow *row, const ImportDevice *device,
                         GError **error)
{
  for (guint i = 0; i < row->count; i++) {
    ImportColumn *column = &g_array_index(source->columns, ImportColumn, i);
    if (column->role == ROLE_VALUE && !scan_cell(column, device->types[i], &row->cells[i], error))
      return file_error(source, row->line, error);
  }
  return TRUE;
}

gboolean import_source_scan(ImportSource *source, void (*progress)(gpointer ctx), gpointer ctx,
                            GError **error)
{
  if (!import_source_seek(source, source->first_offset, source->first_line, error))
    return FALSE;
  for (guint64 n = 1;; n++) {
    CsvRow row;
    gint64 time;
    ImportDevice *device = NULL;
    CsvResult result = next_row(source, &row, &time, &device, error);
    if (result == CSV_END)
      break;
    if (result == CSV_ERROR || !scan_row(source, &row, device, error))
      return FALSE;
    if (progress != NULL && n % PROGRESS_ROWS == 0)
      progress(ctx);
  }
  return import_source_seek(source, source->first_offset, source->first_line, error);
}

static void append_value(Column *column, const Value *value)
{
  guint8 bytes[8];
  switch (value->type) {
  case DATA_BOOLEAN:
    bytes[0] = value->boolean ? 1 : 0;
    break;
  case DATA_INT32:
    store_le32(bytes, (guint32)value->int32);
    break;
  case DATA_INT64:
    store_le64(bytes, (guint64)value->int64);
    break;
  case DATA_FLOAT: {
    guint32 bits;
    memcpy(&bits, &value->float32, sizeof bits);
    store_le32(bytes, bits);
    break;
  }
  case DATA_DOUBLE: {
    guint64 bits;
    memcpy(&bits, &value->float64, sizeof bits);
    store_le64(bytes, bits);
    break;
  }
  case DATA_TEXT:
    column_append(column, value->text.bytes, value->text.size);
    return;
  }
  column_append(column, bytes, data_type_size(value->type));
}

/* The tablet's column, made with the nulls of the rows before when it is the first value. */
static Column *column_for(ImportSource *source, ImportDevice *device, guint i)
{
  if (device->columns[i] != NULL)
    return device->columns[i];
  const ImportColumn *column = column_at(source, i);
  DataType type = device->types[i] != 0 ? (DataType)device->types[i] : new_type(column);
  device->columns[i] = column_new(column->name, type);
  return device->columns[i];
}

/* Brings the column to `rows` rows. */
static void fill_nulls(Column *column, guint rows)
{
  while (column->rows < rows)
    column_append_null(column);
}

static gboolean add_row(ImportSource *source, const CsvRow *row, gint64 time, ImportDevice *device,
                        gsize *out_bytes, guint64 *out_points, GError **error)
{
  guint before = device->timestamps->len;
  gboolean some = FALSE;
  for (guint i = 0; i < row->count; i++) {
    const ImportColumn *column = column_at(source, i);
    const CsvCell *cell = &row->cells[i];
    if (column->role != ROLE_VALUE)
      continue;
    DataType type = device->types[i] != 0 ? (DataType)device->types[i] : new_type(column);
    if (is_missing(cell, (int)type))
      continue;
    Value value;
    if (!value_parse(cell->text, cell->size, type, &value, error)) {
      fail_prefix(error, "%s: ", column->name);
      return file_error(source, row->line, error);
    }
    Column *packed = column_for(source, device, i);
    fill_nulls(packed, before);
    append_value(packed, &value);
    *out_bytes += 4 + (type == DATA_TEXT ? value.text.size : data_type_size(type));
    ++*out_points;
    some = TRUE;
    value_clear(&value);
  }
  if (!some)
    return TRUE;
  if (before == 0)
    g_ptr_array_add(source->filled, device);
  g_array_append_val(device->timestamps, time);
  *out_bytes += sizeof time;
  return TRUE;
}

static void give_tablets(ImportSource *source,
                         WriteBuilder *(*builder_for)(gpointer ctx, const char *device),
                         gpointer ctx)
{
  for (guint i = 0; i < source->filled->len; i++) {
    ImportDevice *device = source->filled->pdata[i];
    g_autoptr(GPtrArray) columns = g_ptr_array_new();
    for (guint k = 0; k < source->columns->len; k++) {
      Column *column = device->columns[k];
      if (column == NULL)
        continue;
      fill_nulls(column, device->timestamps->len);
      column_finish(column);
      g_ptr_array_add(columns, column);
    }
    write_builder_tablet(builder_for(ctx, device->name), device->name, device->timestamps, columns);
  }
  drop_filled(source);
}

gboolean import_source_fill_routed(ImportSource *source, guint max_rows, gsize max_bytes,
                                   WriteBuilder *(*builder_for)(gpointer ctx, const char *device),
                                   gpointer ctx, ImportBatch *out_batch, GError **error)
{
  ImportBatch batch = {0};
  gsize bytes = 0;
  while (batch.rows < max_rows && bytes < max_bytes) {
    CsvRow row;
    gint64 time = 0;
    ImportDevice *device = NULL;
    CsvResult result = next_row(source, &row, &time, &device, error);
    if (result == CSV_END)
      break;
    if (result == CSV_ERROR || !add_row(source, &row, time, device, &bytes, &batch.points, error)) {
      drop_filled(source);
      return FALSE;
    }
    batch.rows++;
  }
  give_tablets(source, builder_for, ctx);
  *out_batch = batch;
  return TRUE;
}

static WriteBuilder *the_only_one(gpointer ctx, const char *device)
{
  (void)device;
  return ctx;
}

gboolean import_source_fill(ImportSource *source, guint max_rows, gsize max_bytes,
                            WriteBuilder *builder, ImportBatch *out_batch, GError **error)
{
  return import_source_fill_routed(source, max_rows, max_bytes, the_only_one, builder, out_batch,
                                   error);
}
