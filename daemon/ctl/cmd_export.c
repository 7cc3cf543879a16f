#include "base/times.h"
#include "ctl/csv.h"
#include "ctl/ctl.h"
#include "ctl/file_names.h"
#include "ctl/pages.h"
#include "ctl/values.h"

#include <glib/gstdio.h>
#include <string.h>

enum { FLUSH_SIZE = 64 * 1024, DEVICES_PER_PAGE = 1000 };

typedef struct Export {
  Ctl *ctl;
  char *prefix, *directory, *start_text, *end_text;
  gboolean iso, plain;
  gint64 start_time, end_time;
  GPtrArray *devices; /* Device* */
  char *left_out;     /* groups that can't be read; NULL: none */
  guint64 rows, values;
} Export;

static void export_clear(Export *export)
{
  g_free(export->prefix);
  g_free(export->directory);
  g_free(export->start_text);
  g_free(export->end_text);
  g_free(export->left_out);
  g_clear_pointer(&export->devices, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Export, export_clear)

static LabelStyle label_style(const Export *export)
{
  return export->plain ? LABELS_SHORT : LABELS_EXACT;
}

static void flush_text(GString *text, FILE *out)
{
  fwrite(text->str, 1, text->len, out);
  g_string_truncate(text, 0);
}

static void append_value(Export *export, GString *text, const Value *value)
{
  export->values++;
  if (value->type == DATA_TEXT)
    csv_append(text, ',', value->text.bytes, value->text.size, value->text.size == 0);
  else
    value_append_text(text, value);
}

static void append_time(const Export *export, GString *text, gint64 time)
{
  char formatted[TIME_TEXT_SIZE];
  if (export->iso)
    g_string_append(text, time_format(time, export->ctl->per_second, formatted));
  else
    g_string_append_printf(text, "%" G_GINT64_FORMAT, time);
}

static Pages *open_pages(Export *export, PageQuery *query, const char *device, GError **error)
{
  *query = (PageQuery){.device = device,
                       .start_time = export->start_time,
                       .end_time = export->end_time,
                       .labels = label_style(export)};
  return pages_open(export->ctl, query, error);
}

/*
 * Writes all rows of a device. `places`, where it is given, has the place of each of the device's
 * columns among `width` ones, and rows begin with the device; else the columns stand as they are.
 */
static gboolean write_rows(Export *export, Pages *pages, const char *device, const guint *places,
                           guint width, FILE *out, GError **error)
{
  g_autoptr(GString) text = g_string_new(NULL);
  g_autofree int *columns = g_new(int, width + 1); /* the device's column at each place, or -1 */
  for (guint i = 0; i < width; i++)
    columns[i] = places == NULL ? (int)i : -1;
  for (guint i = 0; places != NULL && i < pages_column_count(pages); i++)
    columns[places[i]] = (int)i;
  for (guint rows = 1; rows > 0;) {
    if (!pages_next(pages, &rows, error))
      return FALSE;
    for (guint row = 0; row < rows; row++) {
      if (places != NULL) {
        csv_append(text, ',', device, strlen(device), FALSE);
        g_string_append_c(text, ',');
      }
      append_time(export, text, pages_time(pages, row));
      for (guint i = 0; i < width; i++) {
        Value value;
        g_string_append_c(text, ',');
        if (columns[i] < 0 || !pages_value(pages, row, (guint)columns[i], &value))
          continue;
        append_value(export, text, &value);
        value_clear(&value);
      }
      g_string_append_c(text, '\n');
      if (text->len >= FLUSH_SIZE)
        flush_text(text, out);
    }
    export->rows += rows;
  }
  flush_text(text, out);
  return TRUE;
}

/* One device, with its own head. */
static gboolean write_device(Export *export, const char *device, FILE *out, GError **error)
{
  PageQuery query;
  g_autoptr(Pages) pages = open_pages(export, &query, device, error);
  if (pages == NULL)
    return FALSE;
  g_autoptr(GString) head = g_string_new("time");
  for (guint i = 0; i < pages_column_count(pages); i++) {
    const char *label = pages_column(pages, i)->label;
    g_string_append_c(head, ',');
    csv_append(head, ',', label, strlen(label), FALSE);
  }
  g_string_append_c(head, '\n');
  flush_text(head, out);
  return write_rows(export, pages, device, NULL, pages_column_count(pages), out, error);
}

/* What the columns of several devices are together: "name:TYPE" to place, in order of appearance.
 */
typedef struct Union {
  GHashTable *places; /* "name:TYPE" → place + 1 */
  GHashTable *types;  /* name → number of types */
  GPtrArray *keys;    /* borrowed from `places` */
} Union;

static void union_clear(Union *all)
{
  g_clear_pointer(&all->places, g_hash_table_unref);
  g_clear_pointer(&all->types, g_hash_table_unref);
  g_clear_pointer(&all->keys, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Union, union_clear)

static void union_add(Union *all, const Measurement *m)
{
  char *key = measurement_join(m->name, m->type, TRUE);
  if (g_hash_table_contains(all->places, key)) {
    g_free(key);
    return;
  }
  g_ptr_array_add(all->keys, key);
  g_hash_table_insert(all->places, key, GUINT_TO_POINTER(all->keys->len));
  guint types = GPOINTER_TO_UINT(g_hash_table_lookup(all->types, m->name));
  g_hash_table_insert(all->types, g_strdup(m->name), GUINT_TO_POINTER(types + 1));
}

static void union_begin(Union *all, const GPtrArray *devices)
{
  all->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  all->types = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  all->keys = g_ptr_array_new();
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = g_ptr_array_index(devices, i);
    for (guint k = 0; k < device->measurements->len; k++)
      union_add(all, &g_array_index(device->measurements, Measurement, k));
  }
}

static void write_union_head(const Export *export, const Union *all, FILE *out)
{
  g_autoptr(GString) head = g_string_new("device,time");
  for (guint i = 0; i < all->keys->len; i++) {
    int type;
    g_autofree char *name = measurement_split(all->keys->pdata[i], &type);
    gboolean ambiguous = GPOINTER_TO_UINT(g_hash_table_lookup(all->types, name)) > 1;
    g_autofree char *label = column_label(name, (DataType)type, ambiguous, label_style(export));
    g_string_append_c(head, ',');
    csv_append(head, ',', label, strlen(label), FALSE);
  }
  g_string_append_c(head, '\n');
  flush_text(head, out);
}

/* Devices in one table with a column for their names. */
static gboolean write_union(Export *export, const GPtrArray *devices, FILE *out, GError **error)
{
  g_auto(Union) all = {0};
  union_begin(&all, devices);
  if (all.keys->len + 2 > CSV_MAX_CELLS)
    return fail(
        error, SYNCLOG_TOO_LARGE,
        "%u columns together, at most %d fit in one table; --output DIR writes a file for each "
        "device",
        all.keys->len + 2, CSV_MAX_CELLS);
  write_union_head(export, &all, out);
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = g_ptr_array_index(devices, i);
    PageQuery query;
    g_autoptr(Pages) pages = open_pages(export, &query, device->name, error);
    if (pages == NULL)
      return FALSE;
    guint count = pages_column_count(pages);
    g_autofree guint *places = g_new(guint, count + 1);
    for (guint k = 0; k < count; k++) {
      const PageColumn *column = pages_column(pages, k);
      g_autofree char *key = measurement_join(column->measurement, column->type, TRUE);
      guint place = GPOINTER_TO_UINT(g_hash_table_lookup(all.places, key));
      if (place == 0)
        return fail(error, SYNCLOG_INTERNAL,
                    "the measurements of \"%s\" changed while it was read; run it again",
                    device->name);
      places[k] = place - 1;
    }
    if (!write_rows(export, pages, device->name, places, all.keys->len, out, error))
      return FALSE;
  }
  return TRUE;
}

/* A file whose name does not tell the device has a column that does. */
static gboolean write_one(Export *export, const char *name, Device *device, FILE *out,
                          GError **error)
{
  g_autofree char *told = device_of_path(name);
  if (told != NULL)
    return write_device(export, device->name, out, error);
  g_autoptr(GPtrArray) alone = g_ptr_array_new();
  g_ptr_array_add(alone, device);
  return write_union(export, alone, out, error);
}

/* A file appears under its name only when it is complete. */
static gboolean write_file(Export *export, Device *device, GError **error)
{
  g_autofree char *name = file_name_of_device(device->name);
  g_autofree char *path = g_build_filename(export->directory, name, NULL);
  g_autofree char *partial = g_strconcat(path, ".partial", NULL);
  FILE *out = g_fopen(partial, "we");
  if (out == NULL)
    return ctl_fail_file(partial, error);
  gboolean written = write_one(export, name, device, out, error);
  gboolean failed = ferror(out) != 0;
  failed = fclose(out) != 0 || failed;
  if (written && failed)
    written = ctl_fail_file(partial, error);
  if (written && g_rename(partial, path) != 0)
    written = ctl_fail_file(path, error);
  if (!written)
    g_unlink(partial);
  return written;
}

static gboolean find_prefix(Export *export, GError **error)
{
  g_autofree char *after = NULL;
  do {
    g_autofree char *next = NULL, *left_out = NULL;
    g_autoptr(GPtrArray) page = ctl_series_page(export->ctl, export->prefix, after,
                                                DEVICES_PER_PAGE, &next, &left_out, error);
    if (page == NULL)
      return FALSE;
    if (left_out != NULL && export->left_out == NULL)
      export->left_out = g_steal_pointer(&left_out);
    while (page->len > 0)
      g_ptr_array_add(export->devices, g_ptr_array_steal_index(page, 0));
    g_free(after);
    after = g_steal_pointer(&next);
  } while (after != NULL);
  return TRUE;
}

static gboolean find_devices(Export *export, char **names, int count, GError **error)
{
  export->devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  if (export->prefix != NULL)
    return find_prefix(export, error);
  for (int i = 0; i < count; i++) {
    g_autoptr(GError) local = NULL;
    Device *device = ctl_device(export->ctl, names[i], &local);
    if (local != NULL) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (device == NULL)
      return fail(error, SYNCLOG_INVALID, "there is no device \"%s\"", names[i]);
    g_ptr_array_add(export->devices, device);
  }
  return TRUE;
}

static gboolean write_all(Export *export, gboolean one, GError **error)
{
  if (export->directory == NULL) {
    const Device *device = one ? g_ptr_array_index(export->devices, 0) : NULL;
    return one ? write_device(export, device->name, stdout, error)
               : write_union(export, export->devices, stdout, error);
  }
  if (g_mkdir_with_parents(export->directory, 0777) != 0)
    return ctl_fail_file(export->directory, error);
  for (guint i = 0; i < export->devices->len; i++)
    if (!write_file(export, g_ptr_array_index(export->devices, i), error))
      return FALSE;
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Export) export = {.ctl = ctl, .start_time = G_MININT64, .end_time = G_MAXINT64};
  const GOptionEntry entries[] = {
      {"prefix", 'p', 0, G_OPTION_ARG_STRING, &export.prefix,
       "All devices whose names begin so (\"\": all there are)", "PREFIX"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &export.directory,
       "A file for each device, in this directory", "DIR"},
      {"start", 0, 0, G_OPTION_ARG_STRING, &export.start_text, "First time, included", "TIME"},
      {"end", 0, 0, G_OPTION_ARG_STRING, &export.end_text, "Last time, included", "TIME"},
      {"iso", 0, 0, G_OPTION_ARG_NONE, &export.iso, "Times as ISO 8601, not as integers", NULL},
      {"plain-names", 0, 0, G_OPTION_ARG_NONE, &export.plain,
       "No types in the head but to tell columns apart", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, -1, &argc, &argv, error))
    return FALSE;
  if ((argc > 1) == (export.prefix != NULL))
    return ctl_usage(error, "name either devices or a --prefix");
  if (!ctl_connect(ctl, error) ||
      !ctl_time(ctl, "--start", export.start_text, &export.start_time, error) ||
      !ctl_time(ctl, "--end", export.end_text, &export.end_time, error) ||
      !find_devices(&export, argv + 1, argc - 1, error) || !write_all(&export, argc == 2, error) ||
      !ctl_finish_output(error))
    return FALSE;
  if (!ctl->quiet)
    g_printerr("exported %" G_GUINT64_FORMAT " rows, %" G_GUINT64_FORMAT " points of %u device%s\n",
               export.rows, export.values, export.devices->len,
               export.devices->len == 1 ? "" : "s");
  /* Who does not read what is said here learns it from the exit code. */
  return export.left_out == NULL ||
         fail(error, SYNCLOG_INVALID, "the export is not of all groups: %s", export.left_out);
}

const CtlCommand ctl_export = {
    .name = "export",
    .arguments = "DEVICE… | --prefix PREFIX",
    .summary = "Write devices as CSV",
    .details =
        "One device gives the columns time and its measurements; several, or a prefix, also "
        "a first "
        "column device.\nAn import reads it back exactly: numbers have as many digits as it "
        "takes, an "
        "empty text is \"\", a missing\nvalue is nothing, and heads name the types that "
        "can't be seen "
        "from the values (as in level:FLOAT).\nWith --output, names of files are those of "
        "the devices, "
        "with %XX for what can't stand in one. Where that is too long, the\nname is %~ and a hash, "
        "and the file has a column device too: import it with --device-column device.",
    .run = run,
};
