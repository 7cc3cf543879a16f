#include "base/times.h"
#include "ctl/ctl.h"

#include <glib/gstdio.h>
#include <string.h>

enum { FOLLOW_INTERVAL_MS = 1000, TAIL_LINES = 10 };

typedef struct Conflicts {
  Ctl *ctl;
  char *device, *since_text, *for_text;
  gint lines;
  guint64 since_ms;
  Grid *grid;
  guint64 after; /* told up to this one */
  guint64 told, unreadable;
  ConflictCounts counts;
} Conflicts;

static void conflicts_clear(Conflicts *conflicts)
{
  g_free(conflicts->device);
  g_free(conflicts->since_text);
  g_free(conflicts->for_text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Conflicts, conflicts_clear)

/* A table for people names the value; programs also get its type and clock. */
static void add_columns(const Conflicts *conflicts)
{
  Grid *grid = conflicts->grid;
  gboolean exact = conflicts->ctl->format != FORMAT_TEXT;
  grid_column(grid, "SEQUENCE", "sequence", TRUE);
  grid_column(grid, "FOUND", "foundMs", FALSE);
  grid_column(grid, "KIND", "kind", FALSE);
  grid_column(grid, "DEVICE", "device", FALSE);
  grid_column(grid, "MEASUREMENT", "measurement", FALSE);
  grid_column(grid, "TIME", "time", FALSE);
  grid_column(grid, "CELLS", "cells", TRUE);
  static const char *const titles[2][2] = {{"WINNER", "WITH"}, {"LOSER", "LOST"}};
  static const char *const keys[2][4] = {{"winnerOrigin", "winnerHlc", "winnerType", "winnerValue"},
                                         {"loserOrigin", "loserHlc", "loserType", "loserValue"}};
  for (guint i = 0; i < 2; i++) {
    grid_column(grid, titles[i][0], keys[i][0], TRUE);
    if (exact) {
      grid_column(grid, keys[i][1], keys[i][1], TRUE);
      grid_column(grid, keys[i][2], keys[i][2], FALSE);
    }
    grid_column(grid, titles[i][1], keys[i][3], FALSE);
  }
}

static const char *type_of(const ConflictSide *side)
{
  return side->is_delete ? "delete" : data_type_name((int)side->type);
}

static void print_value(Grid *grid, const ConflictSide *side, gboolean exact)
{
  if (!side->has_value) {
    grid_text(grid, exact ? NULL : type_of(side));
    return;
  }
  if (exact || side->type != DATA_TEXT || side->value.text.size == side->value_size) {
    grid_value(grid, &side->value);
    return;
  }
  g_autofree char *cut = g_strconcat(side->value.text.bytes, "…", NULL);
  grid_text(grid, cut);
}

static void print_side(Grid *grid, const ConflictSide *side, gboolean exact)
{
  grid_uint(grid, side->origin);
  if (exact) {
    grid_uint(grid, side->hlc);
    grid_text(grid, type_of(side));
  }
  print_value(grid, side, exact);
}

static void print_conflict(const Conflicts *conflicts, const Conflict *conflict)
{
  Grid *grid = conflicts->grid;
  gboolean exact = conflicts->ctl->format != FORMAT_TEXT;
  char found[TIME_TEXT_SIZE];
  grid_uint(grid, conflict->sequence);
  grid_int_as(grid, time_format((gint64)conflict->found_ms, 1000, found),
              (gint64)conflict->found_ms);
  grid_text(grid, conflict_kind_name((int)conflict->kind));
  grid_text(grid, conflict->device);
  grid_text(grid, conflict->measurement);
  if (conflict->kind == CONFLICT_TYPE)
    grid_missing(grid);
  else
    ctl_grid_time(conflicts->ctl, grid, conflict->time, TIMES_AUTO);
  grid_uint(grid, conflict->cells);
  print_side(grid, &conflict->winner, exact);
  print_side(grid, &conflict->loser, exact);
}

/* Prints what there is behind `after`. */
static gboolean print_pages(Conflicts *conflicts, GError **error)
{
  Ctl *ctl = conflicts->ctl;
  gboolean more = TRUE;
  while (more) {
    ConflictQuery query = {.after = conflicts->after, .device = conflicts->device};
    g_autoptr(ConflictPage) page = rpc_client_conflicts(ctl->client, ctl->group, &query, error);
    if (page == NULL)
      return FALSE;
    for (guint i = 0; i < page->conflicts->len; i++) {
      const Conflict *conflict = page->conflicts->pdata[i];
      if (conflict->found_ms < conflicts->since_ms)
        continue;
      print_conflict(conflicts, conflict);
      conflicts->told++;
    }
    grid_flush(conflicts->grid);
    conflicts->after = page->next_after;
    conflicts->unreadable += page->unreadable;
    conflicts->counts = page->counts;
    more = page->more;
  }
  return TRUE;
}

static gboolean check_readable(const Conflicts *conflicts, GError **error)
{
  return conflicts->unreadable == 0 ||
         fail(error, SYNCLOG_CORRUPT, "%" G_GUINT64_FORMAT " damaged entries were left out",
              conflicts->unreadable);
}

/* What the table itself does not say. */
static void print_counts(const Conflicts *conflicts)
{
  const ConflictCounts *counts = &conflicts->counts;
  ctl_say(conflicts->ctl,
          "%" G_GUINT64_FORMAT " overwritten, %" G_GUINT64_FORMAT
          " of the same value, %" G_GUINT64_FORMAT " hidden by deletes, %" G_GUINT64_FORMAT
          " of type since the store was created\n",
          counts->by_kind[CONFLICT_OVERWRITE], counts->by_kind[CONFLICT_SAME_VALUE],
          counts->by_kind[CONFLICT_DELETE], counts->by_kind[CONFLICT_TYPE]);
  if (counts->first_sequence > 1)
    ctl_say(conflicts->ctl, "%" G_GUINT64_FORMAT " older entries were dropped\n",
            counts->first_sequence - 1);
  if (counts->pending > 0)
    ctl_say(conflicts->ctl, "%" G_GUINT64_FORMAT " parts of writes are not looked at yet\n",
            counts->pending);
  if (counts->overflowed > 0)
    ctl_say(conflicts->ctl, "%" G_GUINT64_FORMAT " parts of writes were never looked at\n",
            counts->overflowed);
}

static gboolean list(Conflicts *conflicts, GError **error)
{
  {
    g_autoptr(Grid) grid = ctl_grid(conflicts->ctl);
    conflicts->grid = grid;
    add_columns(conflicts);
    if (!print_pages(conflicts, error))
      return FALSE;
  }
  if (conflicts->ctl->format == FORMAT_TEXT)
    print_counts(conflicts);
  return check_readable(conflicts, error);
}

/* Where the last lines begin. Of one device or since a time they may be anywhere. */
static gboolean find_tail(Conflicts *conflicts, GError **error)
{
  Ctl *ctl = conflicts->ctl;
  if (conflicts->device != NULL || conflicts->since_ms > 0)
    return TRUE;
  ConflictQuery query = {.after = G_MAXINT64, .limit = 1};
  g_autoptr(ConflictPage) page = rpc_client_conflicts(ctl->client, ctl->group, &query, error);
  if (page == NULL)
    return FALSE;
  guint64 lines = (guint64)conflicts->lines, last = page->counts.last_sequence;
  conflicts->after = last > lines ? last - lines : 0;
  return TRUE;
}

static gboolean tail(Conflicts *conflicts, GError **error)
{
  gint64 for_ms = G_MAXINT64 / 2000;
  if (conflicts->for_text != NULL &&
      !ctl_real_duration_ms("--for", conflicts->for_text, &for_ms, error))
    return FALSE;
  gint64 until_us = g_get_monotonic_time() + for_ms * 1000;
  if (!find_tail(conflicts, error))
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(conflicts->ctl);
  conflicts->grid = grid;
  add_columns(conflicts);
  for (;;) {
    if (!print_pages(conflicts, error))
      return FALSE;
    fflush(stdout);
    gint64 left_us = until_us - g_get_monotonic_time();
    if (left_us <= 0 || ferror(stdout))
      return check_readable(conflicts, error);
    g_usleep((gulong)MIN(left_us, FOLLOW_INTERVAL_MS * 1000));
  }
}

/* The file appears under its name only when it is complete. */
static gboolean export(Conflicts *conflicts, const char *path, GError **error)
{
  Ctl *ctl = conflicts->ctl;
  if (ctl->format == FORMAT_TEXT)
    ctl->format = FORMAT_CSV;
  g_autofree char *partial = g_strconcat(path, ".partial", NULL);
  FILE *out = g_fopen(partial, "we");
  if (out == NULL)
    return ctl_fail_file(partial, error);
  conflicts->grid = grid_new(ctl->format, out);
  add_columns(conflicts);
  gboolean written = print_pages(conflicts, error);
  grid_free(conflicts->grid);
  gboolean failed = ferror(out) != 0;
  failed = fclose(out) != 0 || failed;
  if (written && failed)
    written = ctl_fail_file(partial, error);
  if (written && g_rename(partial, path) != 0)
    written = ctl_fail_file(path, error);
  if (!written) {
    g_unlink(partial);
    return FALSE;
  }
  if (!ctl->quiet)
    g_printerr("exported %" G_GUINT64_FORMAT " conflicts\n", conflicts->told);
  return check_readable(conflicts, error);
}

static gboolean set_since(Conflicts *conflicts, GError **error)
{
  gint64 since = G_MININT64, per_ms = conflicts->ctl->per_second / 1000;
  if (!ctl_time(conflicts->ctl, "--since", conflicts->since_text, &since, error))
    return FALSE;
  conflicts->since_ms = since > 0 ? (guint64)(since / per_ms) : 0;
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Conflicts) conflicts = {.ctl = ctl, .lines = TAIL_LINES};
  const GOptionEntry entries[] = {
      {"device", 'd', 0, G_OPTION_ARG_STRING, &conflicts.device, "Only those of this device",
       "DEVICE"},
      {"since", 0, 0, G_OPTION_ARG_STRING, &conflicts.since_text,
       "Only those that were found at or after this time", "TIME"},
      {"lines", 'n', 0, G_OPTION_ARG_INT, &conflicts.lines,
       "tail: begin with so many of the last ones (default 10)", "N"},
      {"for", 0, 0, G_OPTION_ARG_STRING, &conflicts.for_text,
       "tail: end after this time, and not only when interrupted", "DURATION"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, 2, &argc, &argv, error))
    return FALSE;
  const char *verb = argv[1];
  gboolean exports = strcmp(verb, "export") == 0, tails = strcmp(verb, "tail") == 0;
  if (!exports && !tails && strcmp(verb, "list") != 0)
    return ctl_usage(error, "\"%s\" is none of list, tail, export", verb);
  if (argc != (exports ? 3 : 2))
    return exports ? ctl_usage(error, "export into which file?")
                   : ctl_usage(error, "%s takes no argument", verb);
  if (conflicts.lines < 0)
    return ctl_usage(error, "--lines is less than 0");
  if (!ctl_connect(ctl, error) || !set_since(&conflicts, error))
    return FALSE;
  if (exports)
    return export(&conflicts, argv[2], error);
  return tails ? tail(&conflicts, error) : list(&conflicts, error);
}

const CtlCommand ctl_conflicts = {
    .name = "conflicts",
    .arguments = "list | tail | export FILE",
    .summary = "Show which writes of one leader lost against another's",
    .details =
        "One node is asked: it tells what it has found itself, oldest first. The winner is the "
        "same on all nodes.\nKinds: overwrite, two leaders wrote different values to one cell; "
        "delete, a "
        "delete of one hides values of\nanother (CELLS of them, TIME and LOST of the first); type, "
        "two leaders began a measurement with different\ntypes. Equal values are counted only. "
        "tail "
        "goes on until it is interrupted. export writes CSV, or JSON\nwith --json.",
    .run = run,
};
