/*
 * Reading all rows of a device, page by page. What the columns are is settled before the first row,
 * so that a table, a CSV head or a tablet can be begun at once; should a column turn up later that
 * is none of them, reading fails rather than leave it out. One thread.
 */
#pragma once

#include "base/text.h"
#include "ctl/ctl.h"

typedef struct PageColumn {
  char *measurement;
  DataType type;
  /* Name of the measurement; with ":TYPE" behind it where that is needed to tell columns apart. */
  char *label;
} PageColumn;

typedef struct PageQuery {
  const char *device;
  const char *const *measurements; /* NULL-terminated, or NULL: all */
  gint64 start_time, end_time;
  guint64 limit; /* rows altogether; 0: all */
  gboolean descending;
  LabelStyle labels;
  const GArray *tokens; /* Token, or NULL */
} PageQuery;

typedef struct Pages Pages;

/* `query` and what it points to must live as long as the Pages. INVALID when the device or a
 * measurement is unknown. */
Pages *pages_open(Ctl *ctl, const PageQuery *query, GError **error);
void pages_free(Pages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pages, pages_free)

guint pages_column_count(const Pages *pages);
const PageColumn *pages_column(const Pages *pages, guint i);

/* The next page, FALSE with an error. *out_rows is 0 behind the last row. */
gboolean pages_next(Pages *pages, guint *out_rows, GError **error);

/* Of the page: the time of a row, and the value of a column in it, FALSE when there is none. */
gint64 pages_time(const Pages *pages, guint row);
gboolean pages_value(const Pages *pages, guint row, guint column, Value *out_value);
