/* GET /export: the rows of devices as CSV or JSON lines, piece by piece. */
#include "base/text.h"
#include "base/times.h"
#include "node/group_reads.h"
#include "node/http_data.h"

#include <math.h>
#include <string.h>

enum {
  PIECE_SIZE = 64 * 1024,
  DEVICES_PER_PAGE = 500,
  MOST_COLUMNS = 4096 + 62, /* of a table, as synclogctl reads them back */
};

/*
 * An export on its way: first it finds what there is (`begin_export`), then each call of `more`
 * makes the next piece on a worker. Only one thread at a time has it.
 */
typedef struct Export {
  Groups *groups;
  guint32 group;
  HttpRequest *request;
  gboolean csv, iso;
  LabelStyle labels;
  char *device, *prefix; /* one of them is NULL */
  GArray *without;       /* guint32: groups that could not be read, as the answer's head says, and
                            stay left out; NULL: none */
  GStrv measurements;    /* NULL: all */
  gint64 start_time, end_time, per_second, timeout_ms;
  guint page_rows;
  GArray *tokens;

  GHashTable *places; /* "name:TYPE" → place among the columns of the table + 1 */
  GPtrArray *keys;    /* borrowed from `places`, by place */
  gboolean head_sent, ended;
  GPtrArray *devices; /* Device* of the page of names */
  guint next_device;  /* in it */
  gboolean more_devices;
  Device *current; /* borrowed from devices; NULL: the next one is to be begun */
  Table *table;    /* of it */
  guint row;       /* the next one */
} Export;

static void export_free(Export *export)
{
  g_free(export->device);
  g_free(export->prefix);
  g_strfreev(export->measurements);
  g_clear_pointer(&export->tokens, g_array_unref);
  g_clear_pointer(&export->without, g_array_unref);
  g_clear_pointer(&export->places, g_hash_table_unref);
  g_clear_pointer(&export->keys, g_ptr_array_unref);
  g_clear_pointer(&export->devices, g_ptr_array_unref);
  g_clear_pointer(&export->table, table_free);
  g_free(export);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Export, export_free)

/* --- devices and columns ------------------------------------------------------------------------
 */

static gboolean is_wanted(const Export *export, const char *measurement)
{
  return export->measurements == NULL ||
         g_strv_contains((const char *const *)export->measurements, measurement);
}

/* The page of names behind `after`. */
static gboolean read_devices(Export *export, Store *store, const char *after, GError **error)
{
  GPtrArray *devices =
      export->device != NULL
          ? store_series(store, export->device, NULL, 1, &export->more_devices, error)
          : store_series(store, export->prefix, after, DEVICES_PER_PAGE, &export->more_devices,
                         error);
  if (devices == NULL)
    return FALSE;
  export->more_devices = export->more_devices && export->device == NULL;
  g_clear_pointer(&export->devices, g_ptr_array_unref);
  export->devices = devices;
  export->next_device = 0;
  return TRUE;
}

static gboolean read_next_devices(Export *export, Store *store, GError **error)
{
  const Device *last = g_ptr_array_index(export->devices, export->devices->len - 1);
  g_autofree char *after = g_strdup(last->name);
  return read_devices(export, store, after, error);
}

static guint place_of(const Export *export, const char *measurement, DataType type)
{
  g_autofree char *key = measurement_join(measurement, type, TRUE);
  return GPOINTER_TO_UINT(g_hash_table_lookup(export->places, key));
}

static void add_columns(Export *export, const Device *device)
{
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    if (!is_wanted(export, m->name) || place_of(export, m->name, m->type) != 0)
      continue;
    char *key = measurement_join(m->name, m->type, TRUE);
    g_ptr_array_add(export->keys, key);
    g_hash_table_insert(export->places, key, GUINT_TO_POINTER(export->keys->len));
  }
}

/* A table's head comes before its first row, so all columns are looked for first. */
static gboolean find_columns(Export *export, Store *store, GError **error)
{
  for (;;) {
    for (guint i = 0; i < export->devices->len; i++) {
      add_columns(export, g_ptr_array_index(export->devices, i));
      if (export->keys->len > MOST_COLUMNS)
        return fail(error, SYNCLOG_TOO_LARGE,
                    "more than %d columns together; format=jsonl has no such limit", MOST_COLUMNS);
    }
    if (!export->more_devices)
      break;
    if (!read_next_devices(export, store, error))
      return FALSE;
  }
  return read_devices(export, store, NULL, error);
}

static gboolean check_device(const Export *export, GError **error)
{
  const Device *device = export->devices->len > 0 ? g_ptr_array_index(export->devices, 0) : NULL;
  if (device == NULL || strcmp(device->name, export->device) != 0)
    return fail(error, SYNCLOG_INVALID, "there is no device \"%s\"", export->device);
  for (guint i = 0; export->measurements != NULL && export->measurements[i] != NULL; i++) {
    gboolean found = FALSE;
    for (guint k = 0; k < device->measurements->len && !found; k++)
      found = strcmp(g_array_index(device->measurements, Measurement, k).name,
                     export->measurements[i]) == 0;
    if (!found)
      return fail(error, SYNCLOG_INVALID, "device \"%s\" has no measurement \"%s\"", export->device,
                  export->measurements[i]);
  }
  return TRUE;
}

/* --- text ---------------------------------------------------------------------------------------
 */

static void put_time(const Export *export, GString *out, gint64 time, gboolean quoted)
{
  char text[TIME_TEXT_SIZE];
  if (export->iso)
    g_string_append_printf(out, quoted ? "\"%s\"" : "%s",
                           time_format(time, export->per_second, text));
  else
    g_string_append_printf(out, "%" G_GINT64_FORMAT, time);
}

static gboolean is_ambiguous(const Export *export, const char *name)
{
  guint types = 0;
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++)
    types += place_of(export, name, (DataType)type) != 0;
  return types > 1;
}

static void put_csv_head(const Export *export, GString *out)
{
  g_string_append(out, export->device == NULL ? "device,time" : "time");
  for (guint i = 0; i < export->keys->len; i++) {
    int type;
    g_autofree char *name = measurement_split(export->keys->pdata[i], &type);
    g_autofree char *label =
        column_label(name, (DataType)type, is_ambiguous(export, name), export->labels);
    g_string_append_c(out, ',');
    csv_append(out, ',', label, strlen(label), FALSE);
  }
  g_string_append_c(out, '\n');
}

static void put_csv_value(GString *out, const Value *value)
{
  if (value->type == DATA_TEXT)
    csv_append(out, ',', value->text.bytes, value->text.size, value->text.size == 0);
  else
    value_append_text(out, value);
}

/* `columns`: the table's column at each place, or NULL. */
static void put_csv_row(const Export *export, GString *out, const Column *const *columns)
{
  if (export->device == NULL) {
    csv_append(out, ',', export->current->name, strlen(export->current->name), FALSE);
    g_string_append_c(out, ',');
  }
  put_time(export, out, g_array_index(export->table->timestamps, gint64, export->row), FALSE);
  for (guint i = 0; i < export->keys->len; i++) {
    Value value;
    g_string_append_c(out, ',');
    if (columns[i] == NULL || !column_get(columns[i], export->row, &value))
      continue;
    put_csv_value(out, &value);
    value_clear(&value);
  }
  g_string_append_c(out, '\n');
}

static void put_json_value(GString *out, const Value *value)
{
  gboolean floating = value->type == DATA_FLOAT || value->type == DATA_DOUBLE;
  double number = value->type == DATA_FLOAT ? (double)value->float32 : value->float64;
  if (value->type == DATA_TEXT) {
    json_append_string(out, value->text.bytes, value->text.size);
    return;
  }
  gboolean quoted = floating && !isfinite(number); /* JSON has no such numbers */
  if (quoted)
    g_string_append_c(out, '"');
  value_append_text(out, value);
  if (quoted)
    g_string_append_c(out, '"');
}

/* "name", or "name:TYPE" where the table has two of that name. */
static char *json_key(const Table *table, const Column *column)
{
  guint count = 0;
  for (guint i = 0; i < table->columns->len; i++)
    count += strcmp(((Column *)table->columns->pdata[i])->measurement, column->measurement) == 0;
  return column_label(column->measurement, column->type, count > 1, LABELS_SHORT);
}

static void put_json_row(const Export *export, GString *out, const GPtrArray *keys)
{
  const Table *table = export->table;
  g_string_append(out, "{\"device\":");
  json_append_string(out, export->current->name, strlen(export->current->name));
  g_string_append(out, ",\"time\":");
  put_time(export, out, g_array_index(table->timestamps, gint64, export->row), TRUE);
  g_string_append(out, ",\"values\":{");
  gboolean some = FALSE;
  for (guint i = 0; i < table->columns->len; i++) {
    Value value;
    if (!column_get(table->columns->pdata[i], export->row, &value))
      continue;
    if (some)
      g_string_append_c(out, ',');
    some = TRUE;
    json_append_string(out, keys->pdata[i], strlen(keys->pdata[i]));
    g_string_append_c(out, ':');
    put_json_value(out, &value);
    value_clear(&value);
  }
  g_string_append(out, "}}\n");
}

/* --- pieces -------------------------------------------------------------------------------------
 */

static gboolean put_csv_rows(Export *export, GString *out, GError **error)
{
  g_autofree const Column **columns = g_new0(const Column *, export->keys->len + 1);
  for (guint i = 0; i < export->table->columns->len; i++) {
    const Column *column = g_ptr_array_index(export->table->columns, i);
    guint place = place_of(export, column->measurement, column->type);
    if (place == 0)
      return fail(error, SYNCLOG_INTERNAL, "the measurements of \"%s\" changed while it was read",
                  export->current->name);
    columns[place - 1] = column;
  }
  for (; export->row < export->table->timestamps->len && out->len < PIECE_SIZE; export->row++)
    put_csv_row(export, out, columns);
  return TRUE;
}

static void put_json_rows(Export *export, GString *out)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < export->table->columns->len; i++)
    g_ptr_array_add(keys, json_key(export->table, g_ptr_array_index(export->table->columns, i)));
  for (; export->row < export->table->timestamps->len && out->len < PIECE_SIZE; export->row++)
    put_json_row(export, out, keys);
}

/* What of a device is in the table: of a CSV only what its head has. NULL: nothing. */
static const char **wanted_names(const Export *export, const Device *device)
{
  GPtrArray *names = g_ptr_array_new();
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    gboolean again = names->len > 0 && strcmp(names->pdata[names->len - 1], m->name) == 0;
    if (!again && is_wanted(export, m->name))
      g_ptr_array_add(names, m->name);
  }
  g_ptr_array_add(names, NULL);
  return (const char **)g_ptr_array_free(names, FALSE);
}

static gboolean read_page(Export *export, Store *store, GError **error)
{
  g_autofree const char **names = wanted_names(export, export->current);
  Query query = {.device = export->current->name,
                 .measurements = names,
                 .start_time = export->start_time,
                 .end_time = export->end_time,
                 .limit = export->page_rows,
                 .page = export->table != NULL ? export->table->next_page : NULL};
  Table *table = names[0] != NULL ? store_query(store, &query, error) : table_new();
  if (table == NULL)
    return FALSE;
  g_clear_pointer(&export->table, table_free);
  export->table = table;
  export->row = 0;
  return TRUE;
}

/* Moves on to where rows may be. FALSE with an error; at the end `ended` is set. */
static gboolean move_on(Export *export, Store *store, GError **error)
{
  if (export->current != NULL && export->table->next_page != NULL)
    return read_page(export, store, error);
  g_clear_pointer(&export->table, table_free);
  export->current = NULL;
  while (export->next_device >= export->devices->len) {
    export->ended = !export->more_devices;
    if (export->ended)
      return TRUE;
    if (!read_next_devices(export, store, error))
      return FALSE;
  }
  export->current = g_ptr_array_index(export->devices, export->next_device++);
  return read_page(export, store, error);
}

static gboolean make_piece(Export *export, Store *store, GString *out, GError **error)
{
  if (export->csv && !export->head_sent)
    put_csv_head(export, out);
  export->head_sent = TRUE;
  while (out->len < PIECE_SIZE && !export->ended) {
    if (export->current == NULL || export->row >= export->table->timestamps->len) {
      if (!move_on(export, store, error))
        return FALSE;
    } else if (!export->csv) {
      put_json_rows(export, out);
    } else if (!put_csv_rows(export, out, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static void end_export(Export *export, gboolean complete)
{
  HttpRequest *request = export->request;
  export_free(export);
  http_read_end();
  http_stream_end(request, complete);
}

static gboolean is_left_out(const Export *export, guint32 group)
{
  for (guint i = 0; export->without != NULL && i < export->without->len; i++)
    if (g_array_index(export->without, guint32, i) == group)
      return TRUE;
  return FALSE;
}

/* What the head of the answer did not say can't be said any more. */
static gboolean check_whole(const Export *export, const Store *store, GError **error)
{
  const GArray *ids = group_reads_left_out_ids(store);
  for (guint i = 0; ids != NULL && i < ids->len; i++)
    if (!is_left_out(export, g_array_index(ids, guint32, i)))
      return fail(error, SYNCLOG_NOT_READY, "%s", group_reads_left_out(store));
  return TRUE;
}

static void give_piece(gpointer data, Store *store, const GError *error)
{
  Export *export = data;
  g_autoptr(GError) local = NULL;
  GString *piece = g_string_sized_new(PIECE_SIZE + 4096);
  if (store == NULL || !check_whole(export, store, &local) ||
      !make_piece(export, store, piece, &local)) {
    /* The answer has begun: all that can be done is to break it off. */
    g_warning("an export over HTTP was broken off: %s", (error != NULL ? error : local)->message);
    g_string_free(piece, TRUE);
    end_export(export, FALSE);
  } else if (piece->len == 0) {
    g_string_free(piece, TRUE);
    end_export(export, TRUE);
  } else {
    http_stream_send(export->request, piece);
  }
}

static void read_piece(gpointer data)
{
  Export *export = data;
  GroupRead what = {.group = export->group,
                    .device = export->device,
                    .timeout_ms = export->timeout_ms,
                    .partial = TRUE,
                    .without = export->without};
  group_reads_begin(export->groups, &what, give_piece, export);
}

/* On the server's thread. */
static void more(HttpRequest *request, gpointer data, gboolean gone)
{
  (void)request;
  Export *export = data;
  if (gone)
    end_export(export, FALSE);
  else
    groups_work(export->groups, read_piece, export);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static void refuse(HttpRequest *request, const GError *error)
{
  HttpAnswer answer = {http_status_of(error->code), "text/plain; charset=utf-8",
                       g_string_new(error->message), http_retry_header(error->code, 0)};
  g_string_append_c(answer.body, '\n');
  http_reply(request, &answer);
}

static gboolean find_all(Export *export, Store *store, GError **error)
{
  if (!read_devices(export, store, NULL, error) ||
      (export->device != NULL && !check_device(export, error)))
    return FALSE;
  return !export->csv || find_columns(export, store, error);
}

static void begin_export(gpointer data, Store *store, const GError *error)
{
  Export *export = data;
  HttpRequest *request = export->request;
  g_autoptr(GError) local = NULL;
  if (store == NULL || !find_all(export, store, &local)) {
    export_free(export);
    http_read_end();
    refuse(request, error != NULL ? error : local);
    return;
  }
  HttpAnswer answer = {.status = 200,
                       .type = export->csv ? "text/csv; charset=utf-8" : "application/x-ndjson"};
  const char *left_out = group_reads_left_out(store);
  if (left_out != NULL) {
    export->without = g_array_copy((GArray *)group_reads_left_out_ids(store));
    answer.headers = g_string_new(NULL);
    g_string_append_printf(answer.headers, "X-Synclog-Warning: %s\r\n", left_out);
  }
  http_stream_begin(request, &answer, more, export);
}

static void start_export(gpointer data)
{
  Export *export = data;
  GroupRead what = {.group = export->group,
                    .device = export->device,
                    .tokens = export->tokens,
                    .timeout_ms = export->timeout_ms,
                    .partial = TRUE};
  group_reads_begin(export->groups, &what, begin_export, export);
}

static gboolean read_choice(HttpRequest *request, const char *name, const char *no, const char *yes,
                            gboolean *out_yes, GError **error)
{
  const char *text = http_request_param(request, name);
  *out_yes = text != NULL && strcmp(text, yes) == 0;
  if (text == NULL || *out_yes || strcmp(text, no) == 0)
    return TRUE;
  return fail(error, SYNCLOG_INVALID, "%s: \"%.40s\" is neither %s nor %s", name, text, no, yes);
}

static gboolean read_time(HttpRequest *request, const char *name, gint64 per_second,
                          gint64 *in_out_time, GError **error)
{
  const char *text = http_request_param(request, name);
  gint64 now = (gint64)clock_wall_ms(clock_system()) * (per_second / 1000);
  return text == NULL || *text == '\0' || time_parse(text, per_second, now, in_out_time, error) ||
         fail_prefix(error, "%s: ", name);
}

static gboolean read_request(Export *export, HttpRequest *request, GError **error)
{
  gboolean jsonl, plain;
  export->device = g_strdup(http_request_param(request, "device"));
  export->prefix = g_strdup(http_request_param(request, "prefix"));
  if ((export->device == NULL) == (export->prefix == NULL))
    return fail(error, SYNCLOG_INVALID, "name either device= or prefix=");
  const char *names = http_request_param(request, "measurements");
  export->measurements = names != NULL && *names != '\0' ? g_strsplit(names, ",", -1) : NULL;
  if (!read_choice(request, "format", "csv", "jsonl", &jsonl, error) ||
      !read_choice(request, "time", "units", "iso", &export->iso, error) ||
      !read_choice(request, "names", "exact", "plain", &plain, error) ||
      !read_time(request, "start", export->per_second, &export->start_time, error) ||
      !read_time(request, "end", export->per_second, &export->end_time, error) ||
      !http_tokens(request, &export->tokens, error) || !http_group(request, &export->group, error))
    return FALSE;
  export->csv = !jsonl;
  export->labels = plain ? LABELS_SHORT : LABELS_EXACT;
  return TRUE;
}

void http_answer_export(gpointer ctx, HttpRequest *request)
{
  ServiceLimits limits;
  if (!http_data_begin(ctx, request, &limits))
    return;
  g_autoptr(GError) error = NULL;
  g_autoptr(Export) export = g_new0(Export, 1);
  export->groups = service_groups(ctx);
  export->request = request;
  export->per_second = limits.per_second;
  export->timeout_ms = limits.read_timeout_ms;
  export->page_rows = limits.page_rows;
  export->start_time = G_MININT64;
  export->end_time = G_MAXINT64;
  export->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  export->keys = g_ptr_array_new();
  if (!read_request(export, request, &error))
    refuse(request, error);
  else if (http_read_begin(request))
    groups_work(service_groups(ctx), start_export, g_steal_pointer(&export));
}
