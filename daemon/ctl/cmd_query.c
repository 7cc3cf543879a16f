#include "ctl/ctl.h"
#include "ctl/pages.h"

typedef struct Options {
  char *start, *end, *time_format;
  char **tokens;
  gint64 limit;
  gboolean descending;
} Options;

static void options_clear(Options *options)
{
  g_free(options->start);
  g_free(options->end);
  g_free(options->time_format);
  g_strfreev(options->tokens);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean is_number(DataType type)
{
  return type != DATA_TEXT && type != DATA_BOOLEAN;
}

static gboolean print_rows(Ctl *ctl, Pages *pages, Grid *grid, TimeStyle style, guint64 *out_rows,
                           GError **error)
{
  grid_column(grid, "TIME", "time", FALSE);
  for (guint i = 0; i < pages_column_count(pages); i++) {
    const PageColumn *column = pages_column(pages, i);
    grid_column(grid, column->label, column->label, is_number(column->type));
  }
  *out_rows = 0;
  for (guint rows = 1; rows > 0;) {
    if (!pages_next(pages, &rows, error))
      return FALSE;
    for (guint row = 0; row < rows; row++) {
      ctl_grid_time(ctl, grid, pages_time(pages, row), style);
      for (guint i = 0; i < pages_column_count(pages); i++) {
        Value value;
        if (!pages_value(pages, row, i, &value)) {
          grid_missing(grid);
          continue;
        }
        grid_value(grid, &value);
        value_clear(&value);
      }
    }
    grid_flush(grid);
    *out_rows += rows;
  }
  return TRUE;
}

static gboolean print(Ctl *ctl, Pages *pages, const char *device, TimeStyle style, GError **error)
{
  guint64 rows = 0;
  if (ctl->format != FORMAT_JSON) {
    g_autoptr(Grid) grid = ctl_grid(ctl);
    if (!print_rows(ctl, pages, grid, style, &rows, error))
      return FALSE;
    if (ctl->format == FORMAT_TEXT)
      ctl_say(ctl, "(%" G_GUINT64_FORMAT " row%s)\n", rows, rows == 1 ? "" : "s");
    return TRUE;
  }
  g_autoptr(JsonWriter) json = json_writer_new(stdout);
  json_begin_object(json, NULL, FALSE);
  json_put_string(json, "device", device);
  json_put_string(json, "timePrecision", ctl->info.time_precision);
  g_autoptr(Grid) grid = grid_new_json(json, "rows");
  gboolean done = print_rows(ctl, pages, grid, style, &rows, error);
  g_clear_pointer(&grid, grid_free);
  json_end_object(json);
  return done;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Options) options = {0};
  const GOptionEntry entries[] = {
      {"start", 0, 0, G_OPTION_ARG_STRING, &options.start, "First time, included", "TIME"},
      {"end", 0, 0, G_OPTION_ARG_STRING, &options.end, "Last time, included", "TIME"},
      {"limit", 'n', 0, G_OPTION_ARG_INT64, &options.limit, "At most so many rows", "N"},
      {"desc", 0, 0, G_OPTION_ARG_NONE, &options.descending, "Newest first", NULL},
      {"time-format", 0, 0, G_OPTION_ARG_STRING, &options.time_format,
       "iso or epoch (iso in text, epoch in JSON and CSV)", "FORMAT"},
      {"token", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.tokens,
       "Wait until the node has applied this write", "TOKEN"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, -1, &argc, &argv, error))
    return FALSE;
  if (options.limit < 0)
    return ctl_usage(error, "--limit: less than 0");
  PageQuery query = {.device = argv[1],
                     .measurements = argc > 2 ? (const char *const *)argv + 2 : NULL,
                     .start_time = G_MININT64,
                     .end_time = G_MAXINT64,
                     .limit = (guint64)options.limit,
                     .descending = options.descending};
  TimeStyle style;
  g_autoptr(GArray) tokens = NULL;
  if (!ctl_time_style(options.time_format, &style, error) ||
      !ctl_tokens(options.tokens, &tokens, error) || !ctl_connect(ctl, error) ||
      !ctl_time(ctl, "--start", options.start, &query.start_time, error) ||
      !ctl_time(ctl, "--end", options.end, &query.end_time, error))
    return FALSE;
  query.tokens = tokens;
  g_autoptr(Pages) pages = pages_open(ctl, &query, error);
  return pages != NULL && print(ctl, pages, argv[1], style, error);
}

const CtlCommand ctl_query = {
    .name = "query",
    .arguments = "DEVICE [MEASUREMENT…]",
    .summary = "Print a device's rows in order of time",
    .details = "All pages are fetched. A measurement that two nodes gave different types at once "
               "has a column\nfor each, headed NAME:TYPE.",
    .run = run,
};
