#include "ctl/ctl.h"
#include "ctl/top.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { SHORTEST_MS = 100, LONGEST_MS = 3600 * 1000 };

static void print_table(const TopTable *table)
{
  g_autoptr(Grid) grid = grid_new(FORMAT_TEXT, stdout);
  for (guint i = 0; i < table->n_columns; i++)
    grid_column(grid, table->columns[i].title, table->columns[i].title, table->columns[i].right);
  for (guint row = 0; row < top_table_rows(table); row++)
    for (guint i = 0; i < table->n_columns; i++)
      grid_text(grid, top_table_cell(table, row, i)->text);
}

/* As lines of text, for files, pipes and scripts. */
static gboolean print_look(const TopLook *look, GError **error)
{
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *clock = g_date_time_format(now, "%H:%M:%S");
  g_autofree char *groups = top_look_groups(look);
  printf("synclogctl top  %s  %u of %u serve%s\n\n", clock, look->serving, look->servers, groups);
  for (guint i = 0; i < look->trouble->len; i++)
    printf("! %s\n", g_array_index(look->trouble, TopCell, i).text);
  print_table(&look->nodes);
  putchar('\n');
  if (top_table_rows(&look->groups) > 0) {
    print_table(&look->groups);
    putchar('\n');
  }
  print_table(&look->links);
  putchar('\n');
  return ctl_finish_output(error);
}

/* `silent` looks come first and are not printed: rates need one before. */
static gboolean print_looks(TopWatch *watch, gint64 interval_ms, gint silent, gint rounds,
                            GError **error)
{
  for (gint round = 0; rounds == 0 || round < silent + rounds; round++) {
    if (round > 0)
      g_usleep((gulong)interval_ms * 1000);
    g_autoptr(TopLook) look = top_watch_look(watch);
    if (round >= silent && !print_look(look, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean batch = FALSE, once = FALSE;
  gint rounds = 0;
  gint64 interval_ms = 2000;
  g_autofree char *interval = NULL;
  const GOptionEntry entries[] = {
      {"batch", 'b', 0, G_OPTION_ARG_NONE, &batch, "Print one look below the other", NULL},
      {"once", '1', 0, G_OPTION_ARG_NONE, &once,
       "Print one look, with the rates of one interval before it", NULL},
      {"rounds", 'n', 0, G_OPTION_ARG_INT, &rounds, "Look so many times, then end", "N"},
      {"interval", 'i', 0, G_OPTION_ARG_STRING, &interval, "Time between looks (2s)", "DURATION"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  if (interval != NULL && !ctl_real_duration_ms("--interval", interval, &interval_ms, error))
    return FALSE;
  if (interval_ms < SHORTEST_MS || interval_ms > LONGEST_MS || rounds < 0)
    return ctl_usage(error, "--interval is 100ms to 1h, --rounds is not negative");
  if (once && (batch || rounds > 0))
    return ctl_usage(error, "--once is one look: --batch and --rounds mean nothing with it");
  if (ctl->format != FORMAT_TEXT)
    return ctl_usage(error, "top has no --json and --csv; \"status\" has");
  g_autoptr(TopWatch) watch = top_watch_new(ctl->servers, MAX(ctl->given.group, TOP_ALL_GROUPS),
                                            MIN(ctl->timeout_ms, interval_ms));
  gboolean terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  if (once || (!batch && !terminal && rounds == 0))
    return print_looks(watch, interval_ms, 1, 1, error);
  if (batch || !terminal)
    return print_looks(watch, interval_ms, 0, rounds, error);
  return top_screen_run(watch, interval_ms, rounds, error);
}

const CtlCommand ctl_top = {
    .name = "top",
    .arguments = "",
    .summary = "Watch the servers live in a terminal",
    .details = "Of each server (--server A,B,C): writes, what 99 of 100 writes, syncs and applied "
               "batches took, sizes; and its\nlinks with what the peer lacks. Keys: q ends it, s "
               "sorts the links by the next column, r turns the order round,\narrows and page keys "
               "move through the links, space looks at once, h has help. A narrow terminal shows "
               "the\nmost important columns. Without a terminal one look is printed, as by --once. "
               "Colours are off where NO_COLOR is\nset or the terminal has none.",
    .run = run,
};
