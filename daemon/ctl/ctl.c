#include "ctl/ctl.h"

#include "base/limits.h"
#include "base/times.h"
#include "ctl/tries.h"
#include "ctl/values.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_SERVER "127.0.0.1:7670"
enum { DEFAULT_TIMEOUT_MS = 10000, NO_GROUP = -1 };

void ctl_init(Ctl *ctl)
{
  *ctl = (Ctl){.timeout_ms = DEFAULT_TIMEOUT_MS, .given.group = NO_GROUP};
}

static void disconnect(Ctl *ctl)
{
  g_clear_pointer(&ctl->client, rpc_client_free);
  node_info_clear(&ctl->info);
  ctl->info = (NodeInfo){0};
}

void ctl_clear(Ctl *ctl)
{
  disconnect(ctl);
  g_strfreev(ctl->servers);
  g_free(ctl->given.server);
  g_free(ctl->given.timeout);
}

GOptionGroup *ctl_global_options(Ctl *ctl)
{
  const GOptionEntry entries[] = {
      {"server", 's', 0, G_OPTION_ARG_STRING, &ctl->given.server,
       "The node; of several, separated by commas, the first that answers and can serve "
       "(" DEFAULT_SERVER ", or $SYNCLOG_SERVER)",
       "HOST:PORT"},
      {"servers", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &ctl->given.server, NULL, NULL},
      {"group", 'g', 0, G_OPTION_ARG_INT, &ctl->given.group,
       "The group (data: that of the device; all else: 0)", "N"},
      {"timeout", 't', 0, G_OPTION_ARG_STRING, &ctl->given.timeout,
       "How long to wait for an answer (10s)", "TIME"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &ctl->given.json, "Print one JSON document", NULL},
      {"csv", 0, 0, G_OPTION_ARG_NONE, &ctl->given.csv, "Print CSV", NULL},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &ctl->given.quiet, "Print results and errors only",
       NULL},
      G_OPTION_ENTRY_NULL,
  };
  GOptionGroup *group = g_option_group_new("global", NULL, NULL, NULL, NULL);
  g_option_group_add_entries(group, entries);
  return group;
}

/* GOption leaves the "--" where an argument behind it looks like an option. */
static void drop_separator(int *argc, char **argv)
{
  for (int i = 1; i < *argc; i++)
    if (strcmp(argv[i], "--") == 0) {
      memmove(&argv[i], &argv[i + 1], (gsize)(*argc - i) * sizeof(char *));
      (*argc)--;
      return;
    }
}

gboolean ctl_options(Ctl *ctl, const GOptionEntry *entries, int min_args, int max_args, int *argc,
                     char ***argv, GError **error)
{
  g_autoptr(GOptionContext) context = g_option_context_new(ctl->command->arguments);
  g_option_context_set_summary(context, ctl->command->summary);
  g_option_context_set_description(context, ctl->command->details);
  g_autofree char *name = g_strdup_printf("synclogctl %s", ctl->command->name);
  g_set_prgname(name);
  GOptionGroup *group = ctl_global_options(ctl);
  g_option_group_add_entries(group, entries != NULL ? entries
                                                    : (const GOptionEntry[]){G_OPTION_ENTRY_NULL});
  g_option_context_set_main_group(context, group);
  if (!g_option_context_parse(context, argc, argv, error))
    return FALSE;
  drop_separator(argc, *argv);
  int count = *argc - 1;
  if (count < min_args)
    return ctl_usage(error, "an argument is missing; expected: %s", ctl->command->arguments);
  if (max_args >= 0 && count > max_args)
    return ctl_usage(error, "\"%s\" is one argument too many", (*argv)[max_args + 1]);
  return ctl_apply_options(ctl, error);
}

static gboolean split_servers(Ctl *ctl, GError **error)
{
  const char *text = ctl->given.server, *from = "--server";
  if (text == NULL) {
    text = g_getenv("SYNCLOG_SERVER");
    from = "$SYNCLOG_SERVER";
  }
  if (text == NULL || *text == '\0')
    text = DEFAULT_SERVER;
  g_strfreev(ctl->servers);
  ctl->servers = g_strsplit(text, ",", -1);
  if (g_strv_length(ctl->servers) > LIMIT_MEMBERS)
    return ctl_usage(error, "%s: more than %d servers", from, LIMIT_MEMBERS);
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    const char *server = g_strstrip(ctl->servers[i]);
    if (*server == '\0')
      return ctl_usage(error, "%s: \"%s\" holds an empty address", from, text);
    if (!rpc_client_is_address(server))
      return ctl_usage(error, "%s: \"%s\" is no address; expected HOST:PORT", from, server);
  }
  return TRUE;
}

gboolean ctl_apply_options(Ctl *ctl, GError **error)
{
  if (ctl->given.json && ctl->given.csv)
    return ctl_usage(error, "--json and --csv exclude each other");
  if (ctl->given.group < NO_GROUP || ctl->given.group > LIMIT_GROUP_ID)
    return ctl_usage(error, "--group: %d is no group", ctl->given.group);
  ctl->format = ctl->given.json ? FORMAT_JSON : ctl->given.csv ? FORMAT_CSV : FORMAT_TEXT;
  ctl->group = (guint32)MAX(ctl->given.group, 0);
  ctl->quiet = ctl->given.quiet;
  if (ctl->given.timeout != NULL) {
    if (!ctl_real_duration_ms("--timeout", ctl->given.timeout, &ctl->timeout_ms, error))
      return FALSE;
    if (ctl->timeout_ms < 1 || ctl->timeout_ms > G_MAXINT / 2)
      return ctl_usage(error, "--timeout: %s is out of range", ctl->given.timeout);
  }
  return split_servers(ctl, error);
}

gboolean ctl_is_unreachable(const GError *error)
{
  /* A node that is up and not ready says so. */
  return (g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY) &&
          !synclog_error_is_answer(error)) ||
         g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TIMEOUT);
}

gboolean ctl_connect_here(Ctl *ctl, GError **error)
{
  disconnect(ctl);
  ctl->client = rpc_client_new(ctl->servers[ctl->server], ctl->timeout_ms);
  if (!rpc_client_info(ctl->client, &ctl->info, error))
    return FALSE;
  /* A node without further groups may be one that does not know of them. One that has them has
   * the rule, whether they are open here or not. */
  gboolean by_rule = ctl->given.group == NO_GROUP && ctl->info.configured->len > 1;
  ctl->routed = by_rule ? GROUP_BY_RULE : ctl->group;
  if (!time_precision_parse(ctl->info.time_precision, &ctl->per_second))
    return fail(error, SYNCLOG_WRONG_VERSION, "%s: unknown time precision \"%s\"",
                ctl->servers[ctl->server], ctl->info.time_precision);
  return TRUE;
}

/* Tries every server once, beginning with `ctl->server`. */
static gboolean connect_any(Ctl *ctl, GError **error)
{
  guint count = g_strv_length(ctl->servers);
  g_autoptr(GError) first = NULL;
  for (guint i = 0; i < count; i++) {
    g_autoptr(GError) local = NULL;
    if (ctl_connect_here(ctl, &local))
      return TRUE;
    if (!tries_may_go_on(TRIES_READ, local)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (first == NULL)
      first = g_steal_pointer(&local);
    ctl->server = (ctl->server + 1) % count;
  }
  if (count > 1)
    g_prefix_error(&first, "none of %u servers answers; the first: ", count);
  g_propagate_error(error, g_steal_pointer(&first));
  return FALSE;
}

gboolean ctl_connect(Ctl *ctl, GError **error)
{
  ctl->server = 0;
  return connect_any(ctl, error);
}

gboolean ctl_one_group(const Ctl *ctl, GError **error)
{
  return ctl->routed != GROUP_BY_RULE ||
         ctl_usage(error, "the node has %u groups, and this is of one: say --group N",
                   ctl->info.configured->len);
}

gboolean ctl_connect_next(Ctl *ctl, GError **error)
{
  ctl->server = (ctl->server + 1) % g_strv_length(ctl->servers);
  return connect_any(ctl, error);
}

gboolean ctl_usage(GError **error, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  if (error != NULL)
    *error = g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, args);
  va_end(args);
  return FALSE;
}

/* What the user typed is wrong use, not a refused request. */
static gboolean bad_option(const char *option, GError *cause, GError **error)
{
  ctl_usage(error, "%s: %s", option, cause->message);
  g_error_free(cause);
  return FALSE;
}

gboolean ctl_time(const Ctl *ctl, const char *option, const char *text, gint64 *out_time,
                  GError **error)
{
  if (text == NULL)
    return TRUE;
  gint64 now_us = g_get_real_time();
  gint64 now = ctl->per_second <= G_USEC_PER_SEC ? now_us / (G_USEC_PER_SEC / ctl->per_second)
                                                 : now_us * (ctl->per_second / G_USEC_PER_SEC);
  GError *cause = NULL;
  if (time_parse(text, ctl->per_second, now, out_time, &cause))
    return TRUE;
  return bad_option(option, cause, error);
}

gboolean ctl_duration(const Ctl *ctl, const char *option, const char *text, gint64 *out_duration,
                      GError **error)
{
  GError *cause = NULL;
  if (text == NULL || duration_parse(text, ctl->per_second, out_duration, &cause))
    return TRUE;
  return bad_option(option, cause, error);
}

gboolean ctl_real_duration_ms(const char *option, const char *text, gint64 *out_ms, GError **error)
{
  gboolean plain = *text != '\0' && strspn(text, "0123456789") == strlen(text);
  g_autofree char *with_unit = g_strdup_printf("%s%s", text, plain ? "s" : "");
  GError *cause = NULL;
  if (duration_parse(with_unit, 1000, out_ms, &cause))
    return TRUE;
  return bad_option(option, cause, error);
}

gboolean ctl_tokens(char **texts, GArray **out_tokens, GError **error)
{
  *out_tokens = NULL;
  if (texts == NULL)
    return TRUE;
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; texts[i] != NULL; i++) {
    g_auto(GStrv) parts = g_strsplit(texts[i], ",", -1);
    for (guint k = 0; parts[k] != NULL; k++) {
      Token token;
      GError *cause = NULL;
      if (!token_parse(parts[k], &token, &cause))
        return bad_option("--token", cause, error);
      if (tokens->len == LIMIT_TOKENS)
        return ctl_usage(error, "--token: more than %d tokens", LIMIT_TOKENS);
      g_array_append_val(tokens, token);
    }
  }
  *out_tokens = g_steal_pointer(&tokens);
  return TRUE;
}

gboolean ctl_ack(const char *text, AckLevel *out_ack, GError **error)
{
  static const char *const names[] = {
      [ACK_LOCAL] = "local", [ACK_MAJORITY] = "majority", [ACK_ALL] = "all"};
  *out_ack = ACK_LOCAL;
  if (text == NULL)
    return TRUE;
  for (guint i = ACK_LOCAL; i <= ACK_ALL; i++)
    if (strcmp(text, names[i]) == 0) {
      *out_ack = (AckLevel)i;
      return TRUE;
    }
  return ctl_usage(error, "--ack: \"%s\" is none of local, majority, all", text);
}

GPtrArray *ctl_series_page(Ctl *ctl, const char *prefix, const char *after, guint limit,
                           char **out_next, char **out_left_out, GError **error)
{
  g_auto(Tries) tries = {.kind = TRIES_READ};
  GPtrArray *devices = NULL;
  do
    devices = rpc_client_series_partial(ctl->client, ctl->routed, prefix, after, limit, out_next,
                                        out_left_out, error);
  while (devices == NULL && tries_next(&tries, ctl, error));
  return devices;
}

GPtrArray *ctl_last_values(Ctl *ctl, const char *device, const char *const *measurements,
                           const GArray *tokens, GError **error)
{
  g_auto(Tries) tries = {.kind = TRIES_READ};
  GPtrArray *values = NULL;
  do
    values = rpc_client_last(ctl->client, ctl->routed, device, measurements, tokens, error);
  while (values == NULL && tries_next(&tries, ctl, error));
  return values;
}

Device *ctl_device(Ctl *ctl, const char *name, GError **error)
{
  /* Of all names that begin with this one, it is the first. */
  g_autofree char *next = NULL, *left_out = NULL;
  g_autoptr(GPtrArray) devices = ctl_series_page(ctl, name, NULL, 1, &next, &left_out, error);
  if (devices == NULL)
    return NULL;
  if (devices->len > 0 && strcmp(((Device *)devices->pdata[0])->name, name) == 0)
    return g_ptr_array_steal_index(devices, 0);
  /* The list is of the groups that are on the node. Whether the device's is one of them is said by
   * a read of the device. */
  if (ctl->routed == GROUP_BY_RULE) {
    g_autoptr(GPtrArray) values = ctl_last_values(ctl, name, NULL, NULL, error);
  }
  return NULL;
}

int ctl_measurement_type(const Device *device, const char *measurement)
{
  if (device == NULL)
    return 0;
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    if (!m->conflicting && strcmp(m->name, measurement) == 0)
      return (int)m->type;
  }
  return 0;
}

Grid *ctl_grid(const Ctl *ctl)
{
  return grid_new(ctl->format, stdout);
}

gboolean ctl_time_style(const char *text, TimeStyle *out_style, GError **error)
{
  *out_style = TIMES_AUTO;
  if (text == NULL)
    return TRUE;
  if (strcmp(text, "iso") == 0)
    *out_style = TIMES_ISO;
  else if (strcmp(text, "epoch") == 0)
    *out_style = TIMES_EPOCH;
  else
    return ctl_usage(error, "--time-format: \"%s\" is neither iso nor epoch", text);
  return TRUE;
}

void ctl_grid_time(const Ctl *ctl, Grid *grid, gint64 time, TimeStyle style)
{
  char text[TIME_TEXT_SIZE];
  if (style == TIMES_AUTO)
    style = ctl->format == FORMAT_TEXT ? TIMES_ISO : TIMES_EPOCH;
  if (style == TIMES_ISO)
    grid_text(grid, time_format(time, ctl->per_second, text));
  else
    grid_int(grid, time);
}

/* TRUE. */
static gboolean print_written(const Ctl *ctl, SynclogStatus status, const Token *token)
{
  char text[TOKEN_TEXT_SIZE];
  token_format(token, text);
  if (status == SYNCLOG_PENDING && !ctl->quiet)
    g_printerr(
        "synclogctl: %s: durable on this node, still spreading to as many as --ack asks for\n",
        ctl->command->name);
  if (ctl->format == FORMAT_TEXT) {
    printf("%s\n", text);
    return TRUE;
  }
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "STATUS", "status", FALSE);
  grid_column(grid, "TOKEN", "token", FALSE);
  grid_text(grid, synclog_status_name((int)status));
  grid_text(grid, text);
  return TRUE;
}

gboolean ctl_write(Ctl *ctl, WriteBuilder *builder, const char *key, AckLevel ack, GError **error)
{
  g_autofree char *made = key == NULL && ctl->servers[1] != NULL ? g_uuid_string_random() : NULL;
  write_builder_key(builder, key != NULL ? key : made);
  g_auto(Tries) tries = {.kind = key != NULL || made != NULL ? TRIES_KEYED_WRITE : TRIES_WRITE};
  SynclogStatus status;
  Token token;
  gboolean done;
  do
    done = rpc_client_write(ctl->client, ctl->routed, builder, ack, (gint)ctl->timeout_ms, &status,
                            &token, error);
  while (!done && tries_next(&tries, ctl, error));
  return done && print_written(ctl, status, &token);
}

gboolean ctl_fail_file(const char *path, GError **error)
{
  return fail(error, SYNCLOG_INTERNAL, "%s: %s", path, g_strerror(errno));
}

gboolean ctl_finish_output(GError **error)
{
  if (fflush(stdout) == 0 && !ferror(stdout))
    return TRUE;
  return ctl_fail_file("standard output", error);
}

void ctl_say(const Ctl *ctl, const char *format, ...)
{
  if (ctl->quiet)
    return;
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
}
