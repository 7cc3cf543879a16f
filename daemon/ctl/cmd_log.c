#include "ctl/ctl.h"

#include "base/token.h"

#include <string.h>

static char *skipped_text(const GArray *skipped)
{
  if (skipped == NULL)
    return NULL;
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < skipped->len; i++)
    g_string_append_printf(text, "%s%" G_GUINT64_FORMAT, i > 0 ? "," : "",
                           g_array_index(skipped, guint64, i));
  return g_string_free(text, FALSE);
}

static gboolean list(Ctl *ctl, GError **error)
{
  g_autoptr(NodeStatus) status = rpc_client_status(ctl->client, ctl->group, error);
  if (status == NULL)
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "LOG", "log", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "APPLIED", "applied", TRUE);
  grid_column(grid, "STOPPED AT", "stoppedAt", FALSE);
  grid_column(grid, "SKIPPED", "skipped", FALSE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *log = &g_array_index(status->logs, LogStatus, i);
    char id[LOG_ID_TEXT_SIZE], entry[TOKEN_TEXT_SIZE];
    Token stopped = {.log = log->progress.log, .index = log->stopped_at};
    g_autofree char *skipped = skipped_text(log->skipped);
    grid_text(grid, log_id_format(log->progress.log, id));
    grid_text(grid, log->state);
    grid_uint(grid, log->progress.applied);
    grid_text(grid, log->stopped_at != 0 ? token_format(&stopped, entry) : NULL);
    grid_text(grid, skipped);
    grid_text(grid, log->message);
  }
  return TRUE;
}

static gboolean skip(Ctl *ctl, const char *text, gboolean yes, GError **error)
{
  Token entry;
  g_autoptr(GError) local = NULL;
  if (!token_parse(text, &entry, &local))
    return ctl_usage(error, "\"%s\" is no entry: %s", text, local->message);
  if (!yes)
    return ctl_usage(error,
                     "node %u will never apply entry %s, and lack what it writes; say --yes to "
                     "leave it out",
                     ctl->info.node_id, text);
  if (!rpc_client_skip(ctl->client, ctl->group, &entry, error))
    return FALSE;
  ctl_say(ctl, "node %u leaves out entry %s; the log goes on when its sender tries again\n",
          ctl->info.node_id, text);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "Leave the entry out without a further question",
       NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, 2, &argc, &argv, error))
    return FALSE;
  gboolean lists = strcmp(argv[1], "list") == 0;
  if (!lists && strcmp(argv[1], "skip") != 0)
    return ctl_usage(error, "\"%s\" is none of list, skip", argv[1]);
  if (argc != (lists ? 2 : 3))
    return ctl_usage(error, lists ? "list takes no argument" : "which entry is to be left out?");
  if (!ctl_connect(ctl, error))
    return FALSE;
  return lists ? list(ctl, error) : skip(ctl, argv[2], yes, error);
}

const CtlCommand ctl_log = {
    .name = "log",
    .arguments = "list | skip ENTRY",
    .summary = "Show where logs are stopped, or leave out an entry",
    .details =
        "A log whose next entry does not decode at a node stops there, and goes on by itself once "
        "it does\n(a newer version of the node, a mended sender). \"skip\" lets that node go on "
        "without the entry:\nits data then differs from the others' until \"repair\" brings the "
        "values. It is kept with the\nnode's data, told in its log and in \"log list\", and can "
        "not be taken back. ENTRY is LOG:INDEX,\nas STOPPED AT has it.",
    .run = run,
};
