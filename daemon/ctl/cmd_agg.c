#include "ctl/ctl.h"
#include "ctl/pages.h"
#include "ctl/tries.h"

typedef struct Options {
  char *start, *end, *window, *time_format;
  char **tokens;
} Options;

static void options_clear(Options *options)
{
  g_free(options->start);
  g_free(options->end);
  g_free(options->window);
  g_free(options->time_format);
  g_strfreev(options->tokens);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static void print_windows(Ctl *ctl, Grid *grid, const Aggregate *aggregate, TimeStyle style,
                          gboolean whole)
{
  gboolean numeric = aggregate->type != DATA_TEXT;
  for (guint i = 0; i < aggregate->windows->len; i++) {
    const Window *window = &g_array_index(aggregate->windows, Window, i);
    Value sum = {.type = DATA_DOUBLE, .float64 = window->sum};
    Value avg = {.type = DATA_DOUBLE, .float64 = window->avg};
    /* All of time has no beginning worth telling. */
    if (whole && window->start_time == G_MININT64)
      grid_missing(grid);
    else
      ctl_grid_time(ctl, grid, window->start_time, style);
    grid_uint(grid, window->count);
    grid_value(grid, numeric ? &window->min : NULL);
    grid_value(grid, numeric ? &avg : NULL);
    grid_value(grid, numeric ? &window->max : NULL);
    grid_value(grid, numeric ? &sum : NULL);
    grid_value(grid, &window->first);
    ctl_grid_time(ctl, grid, window->first_time, style);
    grid_value(grid, &window->last);
    ctl_grid_time(ctl, grid, window->last_time, style);
  }
}

static void add_columns(Grid *grid)
{
  grid_column(grid, "START", "startTime", FALSE);
  grid_column(grid, "COUNT", "count", TRUE);
  grid_column(grid, "MIN", "min", TRUE);
  grid_column(grid, "AVG", "avg", TRUE);
  grid_column(grid, "MAX", "max", TRUE);
  grid_column(grid, "SUM", "sum", TRUE);
  grid_column(grid, "FIRST", "first", TRUE);
  grid_column(grid, "FIRST TIME", "firstTime", FALSE);
  grid_column(grid, "LAST", "last", TRUE);
  grid_column(grid, "LAST TIME", "lastTime", FALSE);
}

static gboolean print(Ctl *ctl, AggregateQuery *query, const GArray *tokens, TimeStyle style,
                      GError **error)
{
  g_autoptr(Grid) grid = ctl_grid(ctl);
  add_columns(grid);
  for (gboolean more = TRUE; more;) {
    g_autoptr(Aggregate) aggregate = NULL;
    g_auto(Tries) tries = {.kind = TRIES_READ};
    do
      aggregate = rpc_client_aggregate(ctl->client, ctl->routed, query, tokens, error);
    while (aggregate == NULL && tries_next(&tries, ctl, error));
    if (aggregate == NULL)
      return FALSE;
    print_windows(ctl, grid, aggregate, style, query->window == 0);
    grid_flush(grid);
    more = aggregate->more;
    if (more && aggregate->next_start_time <= query->start_time)
      return fail(error, SYNCLOG_INTERNAL, "the server's pages do not go on");
    query->start_time = aggregate->next_start_time;
  }
  return TRUE;
}

/* The largest multiple of the window at or below the time. */
static gint64 align(gint64 time, guint64 window)
{
  __int128 rest = (__int128)time % (__int128)window;
  __int128 start = (__int128)time - (rest < 0 ? rest + (__int128)window : rest);
  return start < G_MININT64 ? time : (gint64)start;
}

/* Without --start, windows begin where the data does. FALSE without an error: no values. */
static gboolean find_start(Ctl *ctl, AggregateQuery *query, const GArray *tokens, GError **error)
{
  const char *const names[] = {query->measurement, NULL};
  PageQuery page_query = {.device = query->device,
                          .measurements = names,
                          .start_time = G_MININT64,
                          .end_time = query->end_time,
                          .limit = 1,
                          .tokens = tokens};
  g_autoptr(Pages) pages = pages_open(ctl, &page_query, error);
  guint rows = 0;
  if (pages == NULL || !pages_next(pages, &rows, error) || rows == 0)
    return FALSE;
  query->start_time = align(pages_time(pages, 0), query->window);
  return TRUE;
}

static gboolean aggregate(Ctl *ctl, const Options *options, AggregateQuery *query, GError **error)
{
  TimeStyle style;
  g_autoptr(GArray) tokens = NULL;
  gint64 window = 0;
  if (!ctl_time_style(options->time_format, &style, error) ||
      !ctl_tokens(options->tokens, &tokens, error) || !ctl_connect(ctl, error) ||
      !ctl_time(ctl, "--start", options->start, &query->start_time, error) ||
      !ctl_time(ctl, "--end", options->end, &query->end_time, error) ||
      !ctl_duration(ctl, "--window", options->window, &window, error))
    return FALSE;
  if (options->window != NULL && window == 0)
    return ctl_usage(error, "--window: must be longer than 0");
  query->window = (guint64)window;
  if (window > 0 && options->start == NULL) {
    g_autoptr(GError) local = NULL;
    if (!find_start(ctl, query, tokens, &local)) {
      if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
      }
      query->end_time = query->start_time; /* nothing there: an empty answer */
    }
  }
  return print(ctl, query, tokens, style, error);
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Options) options = {0};
  const GOptionEntry entries[] = {
      {"start", 0, 0, G_OPTION_ARG_STRING, &options.start, "First time, included", "TIME"},
      {"end", 0, 0, G_OPTION_ARG_STRING, &options.end, "Last time, included", "TIME"},
      {"window", 'w', 0, G_OPTION_ARG_STRING, &options.window,
       "Length of a window, as in 1h; without it all is one window", "DURATION"},
      {"time-format", 0, 0, G_OPTION_ARG_STRING, &options.time_format,
       "iso or epoch (iso in text, epoch in JSON and CSV)", "FORMAT"},
      {"token", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.tokens,
       "Wait until the node has applied this write", "TOKEN"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 2, 2, &argc, &argv, error))
    return FALSE;
  AggregateQuery query = {
      .device = argv[1], .measurement = argv[2], .start_time = G_MININT64, .end_time = G_MAXINT64};
  return aggregate(ctl, &options, &query, error);
}

const CtlCommand ctl_agg = {
    .name = "agg",
    .arguments = "DEVICE MEASUREMENT",
    .summary = "Count, minimum, average, maximum, sum, first and last, per window of time",
    .details =
        "Windows begin at --start, or at a multiple of the window before the first value. Windows "
        "without\nvalues are left out.",
    .run = run,
};
