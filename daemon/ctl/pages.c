#include "ctl/pages.h"

#include "ctl/tries.h"
#include "ctl/values.h"

#include <string.h>

enum { SMALL_PAGE = 1000 }; /* asked for only where fewer rows are wanted than any server gives */

struct Pages {
  Ctl *ctl;
  const PageQuery *query;
  GArray *columns;      /* PageColumn */
  GPtrArray *by_column; /* const Column* of the page or NULL, as `columns` */
  Table *table;
  guint rows; /* of the page that are shown */
  guint64 shown;
  gboolean ended;
};

static void clear_column(gpointer data)
{
  PageColumn *column = data;
  g_free(column->measurement);
  g_free(column->label);
}

static gboolean is_wanted(const PageQuery *query, const char *measurement)
{
  return query->measurements == NULL || g_strv_contains(query->measurements, measurement);
}

static gboolean is_ambiguous(const Device *device, const Measurement *m)
{
  guint count = 0;
  for (guint i = 0; i < device->measurements->len; i++)
    count += strcmp(g_array_index(device->measurements, Measurement, i).name, m->name) == 0;
  return count > 1;
}

static void add_columns(Pages *pages, const Device *device)
{
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    if (!is_wanted(pages->query, m->name))
      continue;
    PageColumn column = {.measurement = g_strdup(m->name), .type = m->type};
    column.label = column_label(m->name, m->type, is_ambiguous(device, m), pages->query->labels);
    g_array_append_val(pages->columns, column);
  }
}

static gboolean check_names(const PageQuery *query, const Device *device, GError **error)
{
  for (guint i = 0; query->measurements != NULL && query->measurements[i] != NULL; i++)
    if (ctl_measurement_type(device, query->measurements[i]) == 0)
      return fail(error, SYNCLOG_INVALID, "device \"%s\" has no measurement \"%s\"", query->device,
                  query->measurements[i]);
  return TRUE;
}

/* The list of measurements takes no tokens, so another read waits for them first. */
static gboolean wait_for_tokens(Ctl *ctl, const PageQuery *query, GError **error)
{
  if (query->tokens == NULL)
    return TRUE;
  g_autoptr(GPtrArray) values =
      ctl_last_values(ctl, query->device, query->measurements, query->tokens, error);
  return values != NULL;
}

Pages *pages_open(Ctl *ctl, const PageQuery *query, GError **error)
{
  if (!wait_for_tokens(ctl, query, error))
    return NULL;
  g_autoptr(GError) local = NULL;
  g_autoptr(Device) device = ctl_device(ctl, query->device, &local);
  if (local != NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  if (device == NULL) {
    fail(error, SYNCLOG_INVALID, "there is no device \"%s\"", query->device);
    return NULL;
  }
  if (!check_names(query, device, error))
    return NULL;
  Pages *pages = g_new0(Pages, 1);
  pages->ctl = ctl;
  pages->query = query;
  pages->columns = g_array_new(FALSE, FALSE, sizeof(PageColumn));
  g_array_set_clear_func(pages->columns, clear_column);
  add_columns(pages, device);
  pages->by_column = g_ptr_array_new();
  g_ptr_array_set_size(pages->by_column, (gint)pages->columns->len);
  return pages;
}

void pages_free(Pages *pages)
{
  if (pages == NULL)
    return;
  g_array_unref(pages->columns);
  g_ptr_array_unref(pages->by_column);
  g_clear_pointer(&pages->table, table_free);
  g_free(pages);
}

guint pages_column_count(const Pages *pages)
{
  return pages->columns->len;
}

const PageColumn *pages_column(const Pages *pages, guint i)
{
  return &g_array_index(pages->columns, PageColumn, i);
}

/* Finds the place of every column of the page. */
static gboolean match_columns(Pages *pages, GError **error)
{
  for (guint i = 0; i < pages->columns->len; i++)
    pages->by_column->pdata[i] = NULL;
  for (guint k = 0; k < pages->table->columns->len; k++) {
    Column *column = g_ptr_array_index(pages->table->columns, k);
    guint i = 0;
    while (i < pages->columns->len &&
           (pages_column(pages, i)->type != column->type ||
            strcmp(pages_column(pages, i)->measurement, column->measurement) != 0))
      i++;
    if (i == pages->columns->len)
      return fail(error, SYNCLOG_INTERNAL,
                  "the measurements of \"%s\" changed while it was read; run it again",
                  pages->query->device);
    pages->by_column->pdata[i] = column;
  }
  return TRUE;
}

static gboolean read_page(Pages *pages, GError **error)
{
  guint64 left = pages->query->limit - pages->shown;
  gboolean bounded = pages->query->limit > 0;
  Query query = {
      .device = pages->query->device,
      .measurements = pages->query->measurements,
      .start_time = pages->query->start_time,
      .end_time = pages->query->end_time,
      .limit = bounded && left < SMALL_PAGE ? (guint)left : 0,
      .descending = pages->query->descending,
      .page = pages->table != NULL ? pages->table->next_page : NULL,
  };
  Ctl *ctl = pages->ctl;
  g_auto(Tries) tries = {.kind = TRIES_READ};
  Table *table = NULL;
  do
    table = rpc_client_query(ctl->client, ctl->routed, &query, pages->query->tokens, error);
  while (table == NULL && tries_next(&tries, ctl, error));
  if (table == NULL)
    return FALSE;
  g_clear_pointer(&pages->table, table_free);
  pages->table = table;
  pages->rows = table->timestamps->len;
  if (bounded && pages->rows >= left) {
    pages->rows = (guint)left;
    pages->ended = TRUE;
  }
  pages->ended = pages->ended || table->next_page == NULL;
  pages->shown += pages->rows;
  return match_columns(pages, error);
}

gboolean pages_next(Pages *pages, guint *out_rows, GError **error)
{
  pages->rows = 0;
  while (pages->rows == 0 && !pages->ended)
    if (!read_page(pages, error))
      return FALSE;
  *out_rows = pages->rows;
  return TRUE;
}

gint64 pages_time(const Pages *pages, guint row)
{
  return g_array_index(pages->table->timestamps, gint64, row);
}

gboolean pages_value(const Pages *pages, guint row, guint column, Value *out_value)
{
  const Column *found = pages->by_column->pdata[column];
  return found != NULL && column_get(found, row, out_value);
}
