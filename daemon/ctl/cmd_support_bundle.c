#include "ctl/ctl.h"
#include "ctl/http_get.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { TAR_BLOCK = 512, OUTPUT_LIMIT = 16 << 20 };

/* What is asked, and the name of the file that holds the answer. No command of these tells data. */
static const struct {
  const char *name;
  const char *words[6];
} parts[] = {
    {"status.json", {"status", "--json"}},
    {"status.txt", {"status"}},
    {"config.txt", {"config"}},
    {"config-compared.txt", {"config", "--compare"}},
    {"members.txt", {"node", "list"}},
    {"groups.txt", {"group", "list"}},
};

/* --- tar (POSIX ustar) --------------------------------------------------------------------------
 */

static void put_octal(char *field, gsize size, guint64 number)
{
  g_snprintf(field, size, "%0*" G_GINT64_MODIFIER "o", (int)size - 1, number);
}

static gboolean put_file(FILE *out, const char *folder, const char *name, const char *bytes,
                         gsize size)
{
  char head[TAR_BLOCK] = {0};
  g_snprintf(head, 100, "%s/%s", folder, name);
  put_octal(head + 100, 8, 0600);
  put_octal(head + 108, 8, 0);
  put_octal(head + 116, 8, 0);
  put_octal(head + 124, 12, size);
  put_octal(head + 136, 12, (guint64)g_get_real_time() / G_USEC_PER_SEC);
  memset(head + 148, ' ', 8); /* the checksum counts as spaces */
  head[156] = '0';
  memcpy(head + 257, "ustar\00000", 8);
  guint sum = 0;
  for (gsize i = 0; i < TAR_BLOCK; i++)
    sum += (guchar)head[i];
  g_snprintf(head + 148, 8, "%06o", sum);
  static const char padding[TAR_BLOCK];
  gsize rest = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
  return fwrite(head, 1, TAR_BLOCK, out) == TAR_BLOCK && fwrite(bytes, 1, size, out) == size &&
         fwrite(padding, 1, rest, out) == rest;
}

static gboolean put_end(FILE *out)
{
  static const char zeros[2 * TAR_BLOCK];
  return fwrite(zeros, 1, sizeof zeros, out) == sizeof zeros;
}

/* --- what goes into it --------------------------------------------------------------------------
 */

/* What a program says, its errors included: a node that does not answer is worth knowing too. */
static GString *output_of(char **argv)
{
  g_autofree char *out = NULL, *errors = NULL;
  g_autoptr(GError) error = NULL;
  GString *text = g_string_new(NULL);
  if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &errors, NULL,
                    &error)) {
    g_string_append_printf(text, "%s\n", error->message);
    return text;
  }
  g_string_append_printf(text, "%s%s", out, errors);
  if (text->len > OUTPUT_LIMIT)
    g_string_truncate(text, OUTPUT_LIMIT);
  return text;
}

static gboolean put_output(FILE *out, const char *folder, const char *name, char **argv)
{
  GString *text = output_of(argv);
  gboolean done = put_file(out, folder, name, text->str, text->len);
  g_string_free(text, TRUE);
  return done;
}

/* Where the node of a server shows metrics, as seen from here; NULL with an error: nowhere. */
static char *metrics_address(const Ctl *ctl, const char *server, GError **error)
{
  g_autoptr(RpcClient) client = rpc_client_new(server, ctl->timeout_ms);
  g_autoptr(GPtrArray) entries = rpc_client_config(client, error);
  if (entries == NULL)
    return NULL;
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = g_ptr_array_index(entries, i);
    if (strcmp(entry->section, "http") != 0 || strcmp(entry->key, "listen") != 0 ||
        *entry->value == '\0')
      continue;
    g_auto(GStrv) addresses = g_strsplit(entry->value, ",", 2);
    const char *port = strrchr(addresses[0], ':');
    gboolean any =
        g_str_has_prefix(addresses[0], "0.0.0.0:") || g_str_has_prefix(addresses[0], "[::]:");
    if (!any || port == NULL)
      return g_strstrip(g_steal_pointer(&addresses[0]));
    g_autofree char *host = g_strndup(server, (gsize)(strrchr(server, ':') - server));
    return g_strstrip(g_strconcat(host, port, NULL));
  }
  fail(error, SYNCLOG_NOT_READY, "the node has no [http] listen");
  return NULL;
}

static gboolean put_metrics(const Ctl *ctl, FILE *out, const char *folder, guint server)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *name = g_strdup_printf("metrics-%u.txt", server + 1);
  g_autofree char *address = metrics_address(ctl, ctl->servers[server], &error);
  GString *text =
      address != NULL ? http_get(address, "/metrics", ctl->timeout_ms, OUTPUT_LIMIT, &error) : NULL;
  if (text == NULL)
    text = g_string_new(error->message);
  g_autofree char *head =
      g_strdup_printf("# %s at %s\n", ctl->servers[server], address != NULL ? address : "-");
  g_string_prepend(text, head);
  gboolean done = put_file(out, folder, name, text->str, text->len);
  g_string_free(text, TRUE);
  return done;
}

static gboolean put_parts(const Ctl *ctl, FILE *out, const char *folder, const char *data_dir)
{
  g_autofree char *servers = g_strjoinv(",", ctl->servers);
  g_autofree char *timeout = g_strdup_printf("%" G_GINT64_FORMAT "ms", ctl->timeout_ms);
  g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
  for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *head[] = {program, "--server", servers, "--timeout", timeout};
    for (guint k = 0; k < G_N_ELEMENTS(head); k++)
      g_ptr_array_add(argv, (gpointer)head[k]);
    for (guint k = 0; parts[i].words[k] != NULL; k++)
      g_ptr_array_add(argv, (gpointer)parts[i].words[k]);
    g_ptr_array_add(argv, NULL);
    if (!put_output(out, folder, parts[i].name, (char **)argv->pdata))
      return FALSE;
  }
  for (guint i = 0; ctl->servers[i] != NULL; i++)
    if (!put_metrics(ctl, out, folder, i))
      return FALSE;
  char *wal[] = {program, (char *)"wal", (char *)"verify", (char *)data_dir, NULL};
  char *journal[] = {(char *)"journalctl", (char *)"--unit=synclogd",    (char *)"--lines=2000",
                     (char *)"--no-pager", (char *)"--output=short-iso", NULL};
  return (data_dir == NULL || put_output(out, folder, "wal.txt", wal)) &&
         put_output(out, folder, "journal.txt", journal);
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autofree char *data_dir = NULL;
  const GOptionEntry entries[] = {
      {"data-dir", 0, 0, G_OPTION_ARG_FILENAME, &data_dir,
       "Also check the logs of a node on this machine", "DATA_DIR"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, 1, &argc, &argv, error))
    return FALSE;
  g_autoptr(GDateTime) now = g_date_time_new_now_utc();
  g_autofree char *folder = g_date_time_format(now, "synclog-%Y%m%d-%H%M%S");
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (out == NULL)
    return ctl_fail_file(argv[1], error);
  gboolean done = put_parts(ctl, out, folder, data_dir) && put_end(out);
  if (fclose(out) != 0 || !done)
    return ctl_fail_file(argv[1], error);
  ctl_say(ctl, "%s\n", argv[1]);
  return TRUE;
}

const CtlCommand ctl_support_bundle = {
    .name = "support-bundle",
    .arguments = "FILE",
    .summary = "Put what others need to help into a tar file",
    .details =
        "Status, configuration and metrics of the servers, where their configurations differ, the "
        "members, the groups, the end of the\nunit's journal where there is one; with --data-dir "
        "the state of "
        "the logs on disk. Nothing is read "
        "from the store. FILE must not exist.",
    .run = run,
};
