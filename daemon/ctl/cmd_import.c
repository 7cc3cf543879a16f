#include "base/group_rule.h"
#include "base/limits.h"
#include "base/times.h"
#include "ctl/ctl.h"
#include "ctl/file_names.h"
#include "ctl/import_source.h"
#include "ctl/import_state.h"
#include "ctl/values.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum {
  DEFAULT_BATCH_ROWS = 10000,
  BATCH_SIZE = 1024 * 1024,
  DEFAULT_RETRY_MS = 60 * 1000,
  FIRST_PAUSE_MS = 100,
  LAST_PAUSE_MS = 5000,
  DRAW_INTERVAL_US = 100 * 1000,
  BAR_WIDTH = 30,
  EMPTY_SIZE = 1, /* of a write without parts */
};

/* What is collected for one group. */
typedef struct GroupWrites {
  guint32 group;
  WriteBuilder *builder;
} GroupWrites;

/* As given. */
typedef struct Options {
  char *device, *device_column, *time_column, *time_format, *delimiter, *state, *ack, *retry;
  char **types;
  gint batch_rows;
  gboolean round, resume;
} Options;

typedef struct Import {
  Ctl *ctl;
  Options given;
  ImportOptions source_options;
  AckLevel ack;
  gint64 retry_ms;
  gboolean draw; /* a progress bar */
  gint64 drawn_us;
  const char *verb;
  ImportSource *source; /* of the current file */
  const char *path;
  guint64 rows, points;
  gboolean has_token;
  Token token;     /* of the last write */
  GArray *writes;  /* GroupWrites */
  GroupRule *rule; /* NULL: all devices are in one group */
} Import;

static void import_clear(Import *import)
{
  g_free(import->given.device);
  g_free(import->given.device_column);
  g_free(import->given.time_column);
  g_free(import->given.time_format);
  g_free(import->given.delimiter);
  g_free(import->given.state);
  g_free(import->given.ack);
  g_free(import->given.retry);
  g_strfreev(import->given.types);
  g_clear_pointer(&import->source_options.types, g_hash_table_unref);
  g_clear_pointer(&import->source, import_source_free);
  g_array_unref(import->writes);
  g_clear_pointer(&import->rule, group_rule_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Import, import_clear)

static void draw(gpointer ctx)
{
  Import *import = ctx;
  gint64 now_us = g_get_monotonic_time();
  if (!import->draw || now_us - import->drawn_us < DRAW_INTERVAL_US)
    return;
  import->drawn_us = now_us;
  guint64 size = MAX(import_source_size(import->source), 1);
  double part = MIN((double)import_source_offset(import->source) / (double)size, 1.0);
  char bar[BAR_WIDTH + 1];
  memset(bar, '.', BAR_WIDTH);
  memset(bar, '#', (gsize)(part * BAR_WIDTH));
  bar[BAR_WIDTH] = '\0';
  g_autofree char *name = text_printable(import->path, -1);
  g_printerr("\r%s %s [%s] %3.0f %%  %" G_GUINT64_FORMAT " rows\033[K", import->verb, name, bar,
             part * 100, import->rows);
}

static void erase(Import *import)
{
  if (import->draw && import->drawn_us != 0)
    g_printerr("\r\033[K");
  import->drawn_us = 0;
}

static Device *lookup(gpointer ctx, const char *device, GError **error)
{
  return ctl_device(((Import *)ctx)->ctl, device, error);
}

/* Connects again, perhaps to another node, which must be one of the same cluster. */
static gboolean reconnect(Import *import, const char *cluster, GError **error)
{
  Ctl *ctl = import->ctl;
  if (!ctl_connect_next(ctl, error))
    return FALSE;
  if (strcmp(ctl->info.cluster_id, cluster) != 0)
    return fail(error, SYNCLOG_WRONG_CLUSTER, "%s belongs to cluster %s, the import began with %s",
                ctl->servers[ctl->server], ctl->info.cluster_id, cluster);
  return TRUE;
}

static gboolean is_retryable(const GError *error)
{
  return error->domain == SYNCLOG_ERROR && synclog_status_retryable(error->code);
}

/*
 * Sends the batch, again and again if need be: the same values at the same points, so it does no
 * harm when a write whose answer was lost did take place.
 */
static gboolean send_batch(Import *import, WriteBuilder *builder, GError **error)
{
  Ctl *ctl = import->ctl;
  g_autofree char *cluster = g_strdup(ctl->info.cluster_id);
  gint64 give_up_us = g_get_monotonic_time() + import->retry_ms * 1000;
  gint64 pause_ms = FIRST_PAUSE_MS;
  /* When the one that wants it soonest wants another try, once all have been asked; who can't be
   * reached says nothing. */
  gint64 hint_ms = G_MAXINT64;
  guint asked = 0;
  for (;;) {
    g_autoptr(GError) local = NULL;
    SynclogStatus status;
    gboolean lost = ctl->client == NULL;
    if (lost)
      lost = !reconnect(import, cluster, &local);
    if (!lost && rpc_client_write(ctl->client, ctl->routed, builder, import->ack,
                                  (gint)ctl->timeout_ms, &status, &import->token, &local)) {
      import->has_token = TRUE;
      return TRUE;
    }
    if (!is_retryable(local) || g_get_monotonic_time() > give_up_us) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (!ctl->quiet) {
      erase(import);
      g_printerr("synclogctl: import: %s; trying again\n", local->message);
    }
    gint32 hint = lost ? 0 : rpc_client_retry_after_ms(ctl->client);
    if (hint > 0)
      hint_ms = MIN(hint_ms, hint);
    gboolean all = ++asked % g_strv_length(ctl->servers) == 0;
    /* Not a moment less than what is left, or the last millisecond would be full of tries. */
    gint64 left_us = MAX(give_up_us - g_get_monotonic_time(), 0) + 1;
    gboolean hinted = all && hint_ms != G_MAXINT64;
    g_usleep((gulong)MIN((hinted ? MAX(pause_ms, hint_ms) : pause_ms) * 1000, left_us));
    hint_ms = all ? G_MAXINT64 : hint_ms;
    pause_ms = MIN(pause_ms * 2, LAST_PAUSE_MS);
    /* Another node may take what this one can't. */
    if (g_strv_length(ctl->servers) > 1 || ctl_is_unreachable(local))
      g_clear_pointer(&ctl->client, rpc_client_free);
  }
}

/* A write is one group's. */
static WriteBuilder *builder_for(gpointer ctx, const char *device)
{
  Import *import = ctx;
  guint32 group = import->rule != NULL ? group_rule_find(import->rule, device, strlen(device)) : 0;
  for (guint i = 0; i < import->writes->len; i++) {
    const GroupWrites *one = &g_array_index(import->writes, GroupWrites, i);
    if (one->group == group)
      return one->builder;
  }
  GroupWrites one = {group, write_builder_new()};
  g_array_append_val(import->writes, one);
  return one.builder;
}

static gboolean send_writes(Import *import, GError **error)
{
  for (guint i = 0; i < import->writes->len; i++) {
    WriteBuilder *builder = g_array_index(import->writes, GroupWrites, i).builder;
    if (write_builder_size(builder) > EMPTY_SIZE && !send_batch(import, builder, error))
      return FALSE;
  }
  return TRUE;
}

static void writes_clear(gpointer data)
{
  write_builder_free(((GroupWrites *)data)->builder);
}

/* Which group each device is, as the node has it. */
static gboolean learn_rule(Import *import, GError **error)
{
  if (import->ctl->routed != GROUP_BY_RULE)
    return TRUE;
  g_autoptr(GPtrArray) groups = rpc_client_groups(import->ctl->client, error);
  if (groups == NULL)
    return FALSE;
  import->rule = group_rule_new();
  for (guint i = 0; i < groups->len; i++) {
    const GroupInfo *group = groups->pdata[i];
    if (group->devices != NULL && !group_rule_add(import->rule, group->id, group->devices, error))
      return FALSE;
  }
  return TRUE;
}

/* The file that keeps how far this one is; NULL: none. Transfer full. */
static char *state_path(const Import *import)
{
  if (import->given.state != NULL)
    return g_strdup(import->given.state);
  return import->given.resume ? g_strconcat(import->path, ".synclog-import", NULL) : NULL;
}

static gboolean resume(Import *import, const char *path, ImportState *state, GError **error)
{
  gboolean found;
  g_auto(ImportState) saved = {0};
  guint32 checksum;
  if (!import_state_load(path, &saved, &found, error))
    return FALSE;
  if (!found)
    return TRUE;
  gboolean fits = strcmp(saved.cluster, state->cluster) == 0 && saved.group == state->group &&
                  g_strcmp0(saved.device, state->device) == 0 &&
                  saved.head_checksum == state->head_checksum &&
                  import_source_checksum_before(import->source, saved.offset, &checksum, NULL) &&
                  checksum == saved.tail_checksum;
  if (!fits)
    return fail(error, SYNCLOG_INVALID,
                "%s is the state of another import or %s has changed; delete it to begin anew",
                path, import->path);
  state->offset = saved.offset;
  state->line = saved.line;
  state->rows = saved.rows;
  state->points = saved.points;
  if (!import->ctl->quiet)
    g_printerr("synclogctl: import: %s: going on at line %" G_GUINT64_FORMAT "\n", import->path,
               saved.line);
  return import_source_seek(import->source, saved.offset, saved.line, error);
}

static gboolean note_progress(Import *import, const char *path, ImportState *state,
                              const ImportBatch *batch, GError **error)
{
  import->rows += batch->rows;
  import->points += batch->points;
  state->rows += batch->rows;
  state->points += batch->points;
  state->offset = import_source_offset(import->source);
  state->line = import_source_line(import->source);
  return path == NULL || (import_source_checksum_before(import->source, state->offset,
                                                        &state->tail_checksum, error) &&
                          import_state_save(state, path, error));
}

/* All batches of the current file. Each is acknowledged before the next one goes out: of two rows
 * with the same time, the later one of the file holds. */
static gboolean send_file(Import *import, const char *state_file, ImportState *state,
                          GError **error)
{
  for (;;) {
    ImportBatch batch;
    guint64 line = import_source_line(import->source);
    if (!import_source_fill_routed(import->source, (guint)import->given.batch_rows, BATCH_SIZE,
                                   builder_for, import, &batch, error))
      return FALSE;
    if (batch.rows == 0)
      return TRUE;
    if (batch.points > 0 && !send_writes(import, error))
      return fail_prefix(error, "%s: from line %" G_GUINT64_FORMAT " on: ", import->path, line);
    if (!note_progress(import, state_file, state, &batch, error))
      return FALSE;
    draw(import);
  }
}

static gboolean import_file(Import *import, GError **error)
{
  g_autofree char *device = import->given.device_column != NULL ? NULL
                            : import->given.device != NULL      ? g_strdup(import->given.device)
                                                                : device_of_path(import->path);
  import->source_options.device = device;
  if (device == NULL && import->given.device_column == NULL)
    return fail(error, SYNCLOG_INVALID, "%s: which device? say --device or --device-column",
                import->path);
  g_clear_pointer(&import->source, import_source_free);
  import->source = import_source_open(import->path, &import->source_options, error);
  if (import->source == NULL)
    return FALSE;
  import->verb = "checking";
  if (!import_source_scan(import->source, draw, import, error))
    return FALSE;
  import->verb = "importing";
  g_auto(ImportState) state = {
      .cluster = g_strdup(import->ctl->info.cluster_id),
      .group = import->ctl->group,
      .device = g_strdup(device),
      .head_checksum = import_source_head_checksum(import->source),
  };
  g_autofree char *path = state_path(import);
  if (path != NULL && !resume(import, path, &state, error))
    return FALSE;
  if (!send_file(import, path, &state, error))
    return FALSE;
  /* A file that the user named is kept: it also lets a later import take only what was added since.
   */
  if (path != NULL && import->given.state == NULL)
    g_unlink(path);
  return TRUE;
}

static void report(Import *import, guint files, double seconds)
{
  Ctl *ctl = import->ctl;
  char token[TOKEN_TEXT_SIZE];
  if (import->has_token)
    token_format(&import->token, token);
  if (ctl->format == FORMAT_TEXT) {
    ctl_say(ctl,
            "imported %" G_GUINT64_FORMAT " rows, %" G_GUINT64_FORMAT
            " points of %u file%s in %.2f s (%.0f points/s)\n",
            import->rows, import->points, files, files == 1 ? "" : "s", seconds,
            (double)import->points / MAX(seconds, 1e-6));
    if (import->has_token)
      ctl_say(ctl, "last token: %s\n", token);
    return;
  }
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "FILES", "files", TRUE);
  grid_column(grid, "ROWS", "rows", TRUE);
  grid_column(grid, "POINTS", "points", TRUE);
  grid_column(grid, "SECONDS", "seconds", TRUE);
  grid_column(grid, "TOKEN", "token", FALSE);
  grid_uint(grid, files);
  grid_uint(grid, import->rows);
  grid_uint(grid, import->points);
  grid_value(grid, &(Value){.type = DATA_DOUBLE, .float64 = seconds});
  grid_text(grid, import->has_token ? token : NULL);
}

static gboolean parse_types(Import *import, GError **error)
{
  char **types = import->given.types;
  import->source_options.types = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; types != NULL && types[i] != NULL; i++) {
    g_auto(GStrv) parts = g_strsplit(types[i], ",", -1);
    for (guint k = 0; parts[k] != NULL; k++) {
      char *equals = strrchr(parts[k], '=');
      DataType type;
      if (equals == NULL || equals == parts[k] || !data_type_parse(equals + 1, &type))
        return ctl_usage(error, "--types: \"%s\" is not NAME=TYPE", parts[k]);
      g_hash_table_insert(import->source_options.types,
                          g_strndup(parts[k], (gsize)(equals - parts[k])), GINT_TO_POINTER(type));
    }
  }
  return TRUE;
}

static gboolean parse_time_format(Import *import, GError **error)
{
  const char *text = import->given.time_format;
  ImportTimes *times = &import->source_options.times;
  times->per_second = times->unit = import->ctl->per_second;
  times->round = import->given.round;
  if (text == NULL || strcmp(text, "auto") == 0)
    return TRUE;
  if (strcmp(text, "s") == 0)
    times->unit = 1;
  else if (!time_precision_parse(text, &times->unit))
    return ctl_usage(error, "--time-format: \"%s\" is none of auto, s, ms, us, ns", text);
  return TRUE;
}

static gboolean check_options(Import *import, int files, GError **error)
{
  Options *given = &import->given;
  if (given->device != NULL && given->device_column != NULL)
    return ctl_usage(error, "--device and --device-column exclude each other");
  if (given->state != NULL && files > 1)
    return ctl_usage(error, "--state is for one file; --resume keeps a state beside each");
  if (given->batch_rows < 1 || given->batch_rows > LIMIT_WRITE_PARTS)
    return ctl_usage(error, "--batch-rows: 1 to %d", LIMIT_WRITE_PARTS);
  const char *delimiter = given->delimiter != NULL ? given->delimiter : ",";
  if (strcmp(delimiter, "\\t") == 0 || strcmp(delimiter, "tab") == 0)
    delimiter = "\t";
  if (strlen(delimiter) != 1 || strchr("\"\r\n", *delimiter) != NULL)
    return ctl_usage(error, "--delimiter: one character, or tab");
  import->source_options.delimiter = *delimiter;
  import->source_options.device_column = given->device_column;
  import->source_options.time_column = given->time_column;
  import->source_options.lookup = lookup;
  import->source_options.lookup_ctx = import;
  import->retry_ms = DEFAULT_RETRY_MS;
  return (given->retry == NULL ||
          ctl_real_duration_ms("--retry-for", given->retry, &import->retry_ms, error)) &&
         ctl_ack(given->ack, &import->ack, error) && parse_types(import, error);
}

static gboolean check_stdin(Import *import, char **paths, int count, GError **error)
{
  for (int i = 0; i < count; i++) {
    if (strcmp(paths[i], "-") != 0)
      continue;
    if (count > 1 || import->given.resume || import->given.state != NULL)
      return ctl_usage(error, "standard input goes with no other file, --resume or --state");
    if (import->given.device == NULL && import->given.device_column == NULL)
      return ctl_usage(error, "standard input needs --device or --device-column");
  }
  return TRUE;
}

static gboolean import_files(Import *import, char **paths, int count, GError **error)
{
  gint64 began_us = g_get_monotonic_time();
  import->draw = isatty(STDERR_FILENO) && !import->ctl->quiet;
  for (int i = 0; i < count; i++) {
    import->path = paths[i];
    gboolean done = import_file(import, error);
    erase(import);
    if (done)
      continue;
    if (!import->ctl->quiet && import->rows > 0)
      g_printerr("synclogctl: import: %" G_GUINT64_FORMAT " rows were written before\n",
                 import->rows);
    return FALSE;
  }
  report(import, (guint)count, (double)(g_get_monotonic_time() - began_us) / 1e6);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Import) import = {.ctl = ctl, .given = {.batch_rows = DEFAULT_BATCH_ROWS}};
  Options *given = &import.given;
  import.writes = g_array_new(FALSE, FALSE, sizeof(GroupWrites));
  g_array_set_clear_func(import.writes, writes_clear);
  const GOptionEntry entries[] = {
      {"device", 'd', 0, G_OPTION_ARG_STRING, &given->device,
       "The device (else the name of the file without .csv)", "NAME"},
      {"device-column", 0, 0, G_OPTION_ARG_STRING, &given->device_column,
       "The column that names the device of each row", "COLUMN"},
      {"time-column", 0, 0, G_OPTION_ARG_STRING, &given->time_column,
       "The column with the times (else time or timestamp, else the first)", "COLUMN"},
      {"time-format", 0, 0, G_OPTION_ARG_STRING, &given->time_format,
       "What integers in it count: s, ms, us, ns (else the cluster's precision)", "FORMAT"},
      {"round-time", 0, 0, G_OPTION_ARG_NONE, &given->round,
       "Drop digits of times that are finer than the cluster's precision", NULL},
      {"types", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given->types, "Types of new measurements",
       "NAME=TYPE,…"},
      {"delimiter", 0, 0, G_OPTION_ARG_STRING, &given->delimiter,
       "What stands between cells (,); \"tab\" for a tabulator", "CHAR"},
      {"batch-rows", 0, 0, G_OPTION_ARG_INT, &given->batch_rows, "Rows of one write (10000)", "N"},
      {"ack", 0, 0, G_OPTION_ARG_STRING, &given->ack,
       "Where each write must be durable: local (default), majority, all", "LEVEL"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &given->resume,
       "Go on where an import of this file was interrupted", NULL},
      {"state", 0, 0, G_OPTION_ARG_FILENAME, &given->state,
       "Keep how far the import is in this file, and go on from it", "FILE"},
      {"retry-for", 0, 0, G_OPTION_ARG_STRING, &given->retry,
       "How long to go on trying when a write fails for the moment (60s)", "TIME"},
      G_OPTION_ENTRY_NULL,
  };
  return ctl_options(ctl, entries, 1, -1, &argc, &argv, error) &&
         check_options(&import, argc - 1, error) &&
         check_stdin(&import, argv + 1, argc - 1, error) && ctl_connect(ctl, error) &&
         learn_rule(&import, error) && parse_time_format(&import, error) &&
         import_files(&import, argv + 1, argc - 1, error);
}

const CtlCommand ctl_import = {
    .name = "import",
    .arguments = "FILE…",
    .summary = "Write CSV files",
    .details =
        "The first line names the columns. One holds the time: integers, 2026-01-02 03:04:05.678 "
        "or ISO "
        "8601, UTC\nunless a zone is given. The others are measurements. One that exists keeps its "
        "type; "
        "that of a new one is\nsaid by --types, by its head (NAME:TYPE), or seen from all its "
        "values: "
        "only true and false BOOLEAN, only\nintegers INT64, only numbers DOUBLE, else TEXT. An "
        "empty cell "
        "is no value (\"\" is an empty text). The whole\nfile is checked before the first row is "
        "sent.\n\n"
        "Rows are written in the order of the file: of two with the same time the later one holds. "
        "Writes "
        "that fail\nfor the moment are sent again, which is harmless. With --resume, how far it is "
        "stands "
        "in\nFILE.synclog-import until the import is complete. \"-\" is standard input.",
    .run = run,
};
