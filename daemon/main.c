/* synclogd: arguments → configuration → run. */
#include "base/logging.h"
#include "node/config.h"
#include "node/identity.h"
#include "node/node.h"

#include <locale.h>
#include <stdio.h>

#define DEFAULT_CONFIG "/etc/synclogd/synclogd.ini"

enum {
  EXIT_OK = 0,
  EXIT_FAILED = 1, /* something at run time; another start can help */
  EXIT_USAGE = 2,
  EXIT_CONFIG = 78, /* EX_CONFIG: no start can help before someone changes the configuration */
};

typedef struct Arguments {
  char *config_path;
  gboolean check_config, print_config, print_template, print_markdown, healthcheck, version;
} Arguments;

static void complain(const GError *error)
{
  fprintf(stderr, "synclogd: %s\n", error->message);
}

static gboolean parse_arguments(int *argc, char ***argv, Arguments *arguments, GError **error)
{
  const GOptionEntry entries[] = {
      {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path,
       "Configuration file (" DEFAULT_CONFIG ")", "FILE"},
      {"check-config", 0, 0, G_OPTION_ARG_NONE, &arguments->check_config,
       "Check the configuration and exit: 0 or 78", NULL},
      {"print-config", 0, 0, G_OPTION_ARG_NONE, &arguments->print_config,
       "Print the configuration with all defaults and exit", NULL},
      {"healthcheck", 0, 0, G_OPTION_ARG_NONE, &arguments->healthcheck,
       "Ask the running daemon of this configuration and exit: 0 or 1", NULL},
      {"version", 'V', 0, G_OPTION_ARG_NONE, &arguments->version, "Print the version and exit",
       NULL},
      {"print-config-template", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE,
       &arguments->print_template, "Print conf/synclogd.ini", NULL},
      {"print-config-markdown", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE,
       &arguments->print_markdown, "Print the configuration reference of README.md", NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autoptr(GOptionContext) context = g_option_context_new(NULL);
  g_option_context_set_summary(context,
                               "A multi-leader replication daemon for time-series writes.");
  g_option_context_set_description(
      context, "Signals: TERM and INT stop the daemon, HUP reads the configuration again.\n"
               "Exit codes: 0 stopped or done, 1 failed, 2 bad arguments, 78 bad configuration.\n");
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, argc, argv, error))
    return FALSE;
  if (*argc > 1)
    return fail(error, SYNCLOG_INVALID, "unexpected argument '%s'", (*argv)[1]);
  return TRUE;
}

/* What needs no configuration. */
static gboolean print_static(const Arguments *arguments)
{
  g_autofree char *text = NULL;
  if (arguments->version)
    text = g_strdup("synclogd " SYNCLOG_VERSION "\n");
  else if (arguments->print_template)
    text = config_template();
  else if (arguments->print_markdown)
    text = config_markdown();
  if (text != NULL)
    fputs(text, stdout);
  return text != NULL;
}

static int print_config(const Config *config)
{
  g_autofree char *text = config_print(config);
  fputs(text, stdout);
  return EXIT_OK;
}

/* What the configuration says and the directory's record of members does not. */
static int check_config(const Config *config)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) members = identity_peek_members(config->data_dir, &error);
  if (error != NULL) {
    complain(error);
    puts("the file is right; whether it fits what is in data_dir could not be looked at");
    return EXIT_FAILED;
  }
  for (guint i = 0; members != NULL && i < config->peers->len; i++) {
    g_autofree char *complaint =
        identity_complain_of_peer(members, g_array_index(config->peers, ConfigPeer, i).node_id);
    if (complaint != NULL)
      fprintf(stderr, "synclogd: %s\n", complaint);
  }
  puts("ok");
  return EXIT_OK;
}

static int check_health(const Config *config)
{
  g_autoptr(GError) error = NULL;
  if (node_healthcheck(config, &error)) {
    puts("ok");
    return EXIT_OK;
  }
  complain(error);
  return EXIT_FAILED;
}

static int run(const Config *config, const char *config_path)
{
  log_start((LogFormat)config->log_format, (LogLevel)config->log_level);
  g_autoptr(GError) error = NULL;
  if (node_run(config, config_path, &error))
    return EXIT_OK;
  g_critical("%s", error->message);
  return g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID) ? EXIT_CONFIG : EXIT_FAILED;
}

int main(int argc, char **argv)
{
  setlocale(LC_CTYPE, "");
  g_autoptr(GError) error = NULL;
  Arguments arguments = {0};
  if (!parse_arguments(&argc, &argv, &arguments, &error)) {
    complain(error);
    fputs("Try: synclogd --help\n", stderr);
    g_free(arguments.config_path);
    return EXIT_USAGE;
  }
  g_autofree char *given_path = arguments.config_path;
  if (print_static(&arguments))
    return EXIT_OK;

  const char *config_path = given_path == NULL ? DEFAULT_CONFIG : given_path;
  g_autoptr(Config) config = config_load(config_path, &error);
  if (config == NULL) {
    complain(error);
    return EXIT_CONFIG;
  }
  if (arguments.check_config)
    return check_config(config);
  if (arguments.print_config)
    return print_config(config);
  if (arguments.healthcheck)
    return check_health(config);
  return run(config, config_path);
}
