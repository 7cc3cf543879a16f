#include "base/times.h"
#include "ctl/ctl.h"
#include "ctl/wal_walk.h"
#include "ctl/write_dump.h"

#include <string.h>

typedef struct DumpState {
  Ctl *ctl;
  Grid *grid;       /* without --data */
  JsonWriter *json; /* with --data */
  char log[LOG_ID_TEXT_SIZE];
  guint64 left; /* records still to be printed */
} DumpState;

static const char *base_name(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

/* The upper 48 bits of a clock are milliseconds. */
static char *clock_time(guint64 hlc, char text[TIME_TEXT_SIZE])
{
  return time_format((gint64)(hlc >> 16), 1000, text);
}

static void print_summary(DumpState *state, const char *path, goffset offset, const Record *record)
{
  char time[TIME_TEXT_SIZE];
  WriteSummary summary;
  gboolean readable = write_dump(record->data, record->data_size, NULL, NULL, &summary);
  g_autofree char *content = g_strdup_printf("%u deletes, %u rows, %u tablets", summary.deletes,
                                             summary.rows, summary.tablets);
  grid_text(state->grid, state->log);
  grid_uint(state->grid, record->index);
  grid_text(state->grid, clock_time(record->hlc, time));
  grid_uint(state->grid, record->hlc);
  grid_uint(state->grid, record->data_size);
  grid_uint(state->grid, summary.values);
  grid_text(state->grid, readable ? content : "no write that this version can read");
  grid_text(state->grid, base_name(path));
  grid_int(state->grid, offset);
}

static void print_data(DumpState *state, const char *path, goffset offset, const Record *record)
{
  char time[TIME_TEXT_SIZE];
  WriteSummary summary;
  JsonWriter *json = state->json;
  json_begin_object(json, NULL, FALSE);
  json_put_string(json, "log", state->log);
  json_put_uint(json, "searchIndex", record->index);
  json_put_uint(json, "hlc", record->hlc);
  json_put_string(json, "time", clock_time(record->hlc, time));
  json_put_string(json, "file", base_name(path));
  json_put_int(json, "offset", offset);
  json_put_uint(json, "bytes", record->data_size);
  gboolean readable = write_dump(record->data, record->data_size, json, "data", &summary);
  json_put_bool(json, "readable", readable);
  json_end_object(json);
}

static gboolean visit(gpointer ctx, const char *path, goffset offset, const Record *record)
{
  DumpState *state = ctx;
  if (state->left == 0)
    return FALSE;
  state->left--;
  if (state->json != NULL)
    print_data(state, path, offset, record);
  else
    print_summary(state, path, offset, record);
  if (state->grid != NULL && record->index % 1000 == 0)
    grid_flush(state->grid);
  return state->left > 0;
}

static void print_findings(const WalFindings *findings)
{
  for (guint i = 0; i < findings->damage->len; i++)
    g_printerr("synclogctl: wal: %s\n", (char *)findings->damage->pdata[i]);
  if (findings->note != NULL)
    g_printerr("synclogctl: wal: note: %s\n", findings->note);
}

static Grid *dump_grid(Ctl *ctl)
{
  Grid *grid = ctl_grid(ctl);
  grid_column(grid, "LOG", "log", FALSE);
  grid_column(grid, "INDEX", "searchIndex", TRUE);
  grid_column(grid, "TIME", "time", FALSE);
  grid_column(grid, "HLC", "hlc", TRUE);
  grid_column(grid, "BYTES", "bytes", TRUE);
  grid_column(grid, "VALUES", "values", TRUE);
  grid_column(grid, "CONTENT", "content", FALSE);
  grid_column(grid, "FILE", "file", FALSE);
  grid_column(grid, "OFFSET", "offset", TRUE);
  return grid;
}

static gboolean dump_places(Ctl *ctl, const GPtrArray *places, guint64 from, guint64 count,
                            gboolean data, GError **error)
{
  g_autoptr(JsonWriter) json = data ? json_writer_new(stdout) : NULL;
  g_autoptr(Grid) grid = data ? NULL : dump_grid(ctl);
  DumpState state = {.ctl = ctl, .grid = grid, .json = json, .left = count};
  gboolean done = TRUE, damaged = FALSE;
  if (data)
    json_begin_array(json, NULL, FALSE);
  for (guint i = 0; i < places->len && done && state.left > 0; i++) {
    const WalPlace *place = places->pdata[i];
    log_id_format(place->log, state.log);
    g_auto(WalFindings) findings = {0};
    done = wal_walk(place, from, visit, &state, &findings, error);
    if (done) {
      damaged = damaged || findings.damage->len > 0;
      print_findings(&findings);
    }
  }
  if (data)
    json_end_array(json);
  if (!done)
    return FALSE;
  return damaged ? fail(error, SYNCLOG_CORRUPT, "damage was found; it is named above") : TRUE;
}

static gboolean find_places(char **paths, int count, GPtrArray **out_places, GError **error)
{
  g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func((GDestroyNotify)wal_place_free);
  for (int i = 0; i < count; i++)
    if (!wal_places_find(paths[i], places, error))
      return FALSE;
  *out_places = g_steal_pointer(&places);
  return TRUE;
}

static gboolean run_dump(Ctl *ctl, int argc, char **argv, GError **error)
{
  gint64 from = 0, count = -1;
  gboolean data = FALSE;
  const GOptionEntry entries[] = {
      {"from", 0, 0, G_OPTION_ARG_INT64, &from, "First index", "N"},
      {"count", 'n', 0, G_OPTION_ARG_INT64, &count, "At most so many entries", "N"},
      {"data", 0, 0, G_OPTION_ARG_NONE, &data, "All content, as a JSON document", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, -1, &argc, &argv, error))
    return FALSE;
  if (from < 0 || count < -1)
    return ctl_usage(error, "--from and --count take numbers from 0 on");
  if (data && ctl->format == FORMAT_CSV)
    return ctl_usage(error, "--data prints JSON, not CSV");
  g_autoptr(GPtrArray) places = NULL;
  return find_places(argv + 1, argc - 1, &places, error) &&
         dump_places(ctl, places, (guint64)from, count < 0 ? G_MAXUINT64 : (guint64)count, data,
                     error);
}

static const char *judgement(const WalFindings *findings)
{
  if (findings->damage->len > 0)
    return "damaged";
  return findings->note != NULL ? "torn tail" : "ok";
}

static gboolean verify_places(Ctl *ctl, const GPtrArray *places, guint *out_damaged, GError **error)
{
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "LOG", "log", FALSE);
  grid_column(grid, "SEGMENTS", "segments", TRUE);
  grid_column(grid, "FIRST", "firstIndex", TRUE);
  grid_column(grid, "LAST", "lastIndex", TRUE);
  grid_column(grid, "ENTRIES", "entries", TRUE);
  grid_column(grid, "BYTES", "bytes", TRUE);
  grid_column(grid, "RESULT", "result", FALSE);
  grid_column(grid, "DAMAGE", "damage", FALSE);
  grid_column(grid, "DIRECTORY", "directory", FALSE);
  for (guint i = 0; i < places->len; i++) {
    const WalPlace *place = places->pdata[i];
    char log[LOG_ID_TEXT_SIZE];
    g_auto(WalFindings) findings = {0};
    if (!wal_walk(place, 0, NULL, NULL, &findings, error))
      return FALSE;
    grid_text(grid, log_id_format(place->log, log));
    grid_uint(grid, findings.segments);
    grid_uint(grid, findings.first_index);
    grid_uint(grid, findings.last_index);
    grid_uint(grid, findings.records);
    grid_uint(grid, findings.bytes);
    grid_text(grid, judgement(&findings));
    grid_text(grid, findings.damage->len > 0 ? findings.damage->pdata[0] : NULL);
    grid_text(grid, place->directory);
    print_findings(&findings);
    *out_damaged += findings.damage->len > 0;
  }
  return TRUE;
}

static gboolean run_verify(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autoptr(GPtrArray) places = NULL;
  guint damaged = 0;
  if (!ctl_options(ctl, NULL, 1, -1, &argc, &argv, error) ||
      !find_places(argv + 1, argc - 1, &places, error) ||
      !verify_places(ctl, places, &damaged, error))
    return FALSE;
  if (damaged > 0)
    return fail(error, SYNCLOG_CORRUPT, "%u of %u logs %s damaged", damaged, places->len,
                damaged == 1 ? "is" : "are");
  return TRUE;
}

static const CtlCommand subcommands[] = {
    {.name = "wal dump",
     .arguments = "PATH…",
     .summary = "Print the entries of logs on disk",
     .details = "PATH is a segment file, a log's directory, or one above (wal, group-N, the data "
                "directory).",
     .run = run_dump},
    {.name = "wal verify",
     .arguments = "PATH…",
     .summary = "Check every record of logs on disk",
     .details = "Checks headers, checksums, indices, the links between segments and the running "
                "digest. Exit code 1 when\nsomething is damaged; file and offset are named.",
     .run = run_verify},
};

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  for (guint i = 0; argc > 1 && i < G_N_ELEMENTS(subcommands); i++)
    if (strcmp(argv[1], subcommands[i].name + strlen("wal ")) == 0) {
      ctl->command = &subcommands[i];
      return subcommands[i].run(ctl, argc - 1, argv + 1, error);
    }
  int left = argc;
  if (!ctl_options(ctl, NULL, 0, -1, &left, &argv, error))
    return FALSE;
  return ctl_usage(error, "expected \"wal dump\" or \"wal verify\"");
}

const CtlCommand ctl_wal = {
    .name = "wal",
    .arguments = "dump|verify PATH…",
    .summary = "Print or check logs on disk, read-only",
    .details = "\"wal dump PATH…\" prints entries, \"wal verify PATH…\" checks them. Nothing is "
               "changed; the node may "
               "be\nrunning.",
    .run = run,
};
