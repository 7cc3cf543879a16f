/* synclogctl: the tool for operators. It picks the command, and turns its outcome into an exit
 * code. */
#include "ctl/ctl.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const CtlCommand *const commands[] = {
    &ctl_status, &ctl_insert, &ctl_query,          &ctl_last,   &ctl_agg,     &ctl_devices,
    &ctl_delete, &ctl_import, &ctl_export,         &ctl_digest, &ctl_repair,  &ctl_conflicts,
    &ctl_backup, &ctl_tail,   &ctl_support_bundle, &ctl_top,    &ctl_node,    &ctl_peer,
    &ctl_group,  &ctl_log,    &ctl_config,         &ctl_wal,    &ctl_version,
};

static const CtlCommand *find_command(const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
    if (strcmp(commands[i]->name, name) == 0)
      return commands[i];
  return NULL;
}

/* The list of commands, for the help. Transfer full. */
static char *list_commands(void)
{
  GString *text = g_string_new("Commands:\n");
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
    g_string_append_printf(text, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
  g_string_append(text,
                  "\n\"synclogctl COMMAND --help\" tells more about one of them.\n\n"
                  "Times are integers in the cluster's precision, ISO 8601 (UTC unless it "
                  "says otherwise),\n\"now\", or \"now-1h30m\". Exit codes: 0 done, 1 refused "
                  "or a check failed, 2 wrong use,\n3 no server reached or no answer in "
                  "time.\n");
  return g_string_free(text, FALSE);
}

static const char *hint_for(const GError *error)
{
  if (error->domain != SYNCLOG_ERROR)
    return NULL;
  if (g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY) && synclog_error_is_answer(error))
    return "the node is up, but can't serve this now: try again a little later, or name further "
           "nodes by --server A,B,C; \"synclogctl status\" shows what it waits for";
  switch (error->code) {
  case SYNCLOG_NOT_READY:
    return "is synclogd running there? choose the node by --server HOST:PORT or $SYNCLOG_SERVER";
  case SYNCLOG_TIMEOUT:
    return "a longer --timeout may help; \"synclogctl status\" shows how far the nodes are";
  case SYNCLOG_TYPE_MISMATCH:
    return "\"synclogctl devices\" shows the types";
  case SYNCLOG_UNKNOWN_GROUP:
    return "\"synclogctl group list\" shows which groups there are, and at which nodes";
  case SYNCLOG_OVERLOADED:
    return "try again a little later";
  case SYNCLOG_READ_ONLY:
  case SYNCLOG_NO_SPACE:
    return "\"synclogctl status\" and the node's log say why; other nodes still take writes";
  default:
    return NULL;
  }
}

static int report(const Ctl *ctl, const GError *error)
{
  g_autofree char *message = text_printable(error->message, -1);
  const char *name = ctl->command != NULL ? ctl->command->name : NULL;
  fprintf(stderr, "synclogctl: %s%s%s\n", name != NULL ? name : "", name != NULL ? ": " : "",
          message);
  const char *hint = hint_for(error);
  if (hint != NULL && !ctl->quiet)
    fprintf(stderr, "synclogctl: hint: %s\n", hint);
  if (error->domain != G_OPTION_ERROR)
    return ctl_is_unreachable(error) ? CTL_UNREACHABLE : CTL_FAILED;
  fprintf(stderr, "synclogctl: hint: see \"synclogctl %s%s--help\"\n", name != NULL ? name : "",
          name != NULL ? " " : "");
  return CTL_USAGE;
}

/* Parses what stands before the command's name; argv[1] is then that name. */
static gboolean parse_head(Ctl *ctl, int *argc, char ***argv, gboolean *out_version, GError **error)
{
  const GOptionEntry entries[] = {
      {"version", 0, 0, G_OPTION_ARG_NONE, out_version, "Print the version of this tool", NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT…]");
  g_option_context_set_strict_posix(context, TRUE);
  g_option_context_set_summary(context, "Talks to synclogd nodes and reads their logs.");
  g_autofree char *list = list_commands();
  g_option_context_set_description(context, list);
  GOptionGroup *group = ctl_global_options(ctl);
  g_option_group_add_entries(group, entries);
  g_option_context_set_main_group(context, group);
  if (!g_option_context_parse(context, argc, argv, error))
    return FALSE;
  if (*out_version)
    return TRUE;
  if (*argc < 2)
    return ctl_usage(error, "which command?");
  const CtlCommand *command = find_command((*argv)[1]);
  if (command == NULL)
    return ctl_usage(error, "there is no command \"%s\"", (*argv)[1]);
  ctl->command = command;
  return TRUE;
}

static int run(Ctl *ctl, int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  gboolean version = FALSE;
  if (!parse_head(ctl, &argc, &argv, &version, &error))
    return report(ctl, error);
  if (version) {
    printf("synclogctl %s\n", SYNCLOG_VERSION);
    return CTL_OK;
  }
  if (ctl->command->run(ctl, argc - 1, argv + 1, &error) && ctl_finish_output(&error))
    return CTL_OK;
  fflush(stdout);
  return report(ctl, error);
}

int main(int argc, char **argv)
{
  setlocale(LC_ALL, "");
  g_set_prgname("synclogctl");
  g_auto(GStrv) arguments = g_new0(char *, (gsize)argc + 1);
  for (int i = 0; i < argc; i++)
    arguments[i] = g_strdup(argv[i]);
  /* GOption takes arguments out of the array it is given, so it gets a copy that does not own. */
  g_autofree char **parsed = g_memdup2(arguments, sizeof(char *) * ((gsize)argc + 1));
  Ctl ctl;
  ctl_init(&ctl);
  int code = run(&ctl, argc, parsed);
  ctl_clear(&ctl);
  return code;
}
