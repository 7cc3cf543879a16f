#include "ctl/ctl.h"

#include <string.h>

static void print(Grid *grid, const GPtrArray *entries, gboolean changed_only)
{
  grid_column(grid, "SECTION", "section", FALSE);
  grid_column(grid, "KEY", "key", FALSE);
  grid_column(grid, "VALUE", "value", FALSE);
  grid_column(grid, "DEFAULT", "default", FALSE);
  grid_column(grid, "RELOADABLE", "reloadable", FALSE);
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = g_ptr_array_index(entries, i);
    if (changed_only && entry->is_default)
      continue;
    grid_text(grid, entry->section);
    grid_text(grid, entry->key);
    grid_text(grid, entry->value);
    grid_bool(grid, entry->is_default);
    grid_bool(grid, entry->reloadable);
  }
}

/* --- several nodes ------------------------------------------------------------------------------
 */

static const ConfigEntry *find(const GPtrArray *entries, const ConfigEntry *wanted)
{
  for (guint i = 0; entries != NULL && i < entries->len; i++) {
    const ConfigEntry *entry = g_ptr_array_index(entries, i);
    if (strcmp(entry->section, wanted->section) == 0 && strcmp(entry->key, wanted->key) == 0)
      return entry;
  }
  return NULL;
}

/* Whether it is the default, and the same, on all nodes that have answered. */
static gboolean is_usual(const GPtrArray *nodes, const ConfigEntry *wanted)
{
  for (guint i = 0; i < nodes->len; i++) {
    const ConfigEntry *entry = find(nodes->pdata[i], wanted);
    if (nodes->pdata[i] != NULL &&
        (entry == NULL || !entry->is_default || strcmp(entry->value, wanted->value) != 0))
      return FALSE;
  }
  return TRUE;
}

static void put_key(Grid *grid, const GPtrArray *nodes, const ConfigEntry *wanted)
{
  grid_text(grid, wanted->section);
  grid_text(grid, wanted->key);
  for (guint i = 0; i < nodes->len; i++) {
    const ConfigEntry *entry = find(nodes->pdata[i], wanted);
    g_autofree char *text =
        entry != NULL ? g_strconcat(entry->value, entry->is_default ? " (default)" : "", NULL)
                      : NULL;
    grid_text(grid, text);
  }
}

/* A column for each server: what differs from the default on any, or from one to another. */
static void print_comparison(const Ctl *ctl, const GPtrArray *nodes)
{
  g_autoptr(Grid) grid = ctl_grid(ctl);
  g_autoptr(GHashTable) done = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  grid_column(grid, "SECTION", "section", FALSE);
  grid_column(grid, "KEY", "key", FALSE);
  for (guint i = 0; i < nodes->len; i++)
    grid_column(grid, ctl->servers[i], ctl->servers[i], FALSE);
  for (guint i = 0; i < nodes->len; i++) {
    const GPtrArray *entries = nodes->pdata[i];
    for (guint k = 0; entries != NULL && k < entries->len; k++) {
      const ConfigEntry *entry = g_ptr_array_index(entries, k);
      /* Keys that only a later node has come behind its own. */
      if (g_hash_table_add(done, g_strdup_printf("%s.%s", entry->section, entry->key)) &&
          !is_usual(nodes, entry))
        put_key(grid, nodes, entry);
    }
  }
}

static void free_entries(gpointer entries)
{
  if (entries != NULL)
    g_ptr_array_unref(entries);
}

static gboolean compare(Ctl *ctl, GError **error)
{
  g_autoptr(GPtrArray) nodes = g_ptr_array_new_with_free_func(free_entries);
  guint answered = 0;
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    g_autoptr(GError) local = NULL;
    g_autoptr(RpcClient) client = rpc_client_new(ctl->servers[i], ctl->timeout_ms);
    GPtrArray *entries = rpc_client_config(client, &local);
    answered += entries != NULL;
    g_ptr_array_add(nodes, entries);
    if (entries != NULL)
      continue;
    g_printerr("synclogctl: config: %s\n", local->message);
    if (ctl->servers[i + 1] == NULL && answered == 0) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
  }
  print_comparison(ctl, nodes);
  return answered == nodes->len || fail(error, SYNCLOG_NOT_READY, "not all nodes have answered");
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean changed_only = FALSE, several = FALSE;
  const GOptionEntry entries[] = {
      {"changed", 0, 0, G_OPTION_ARG_NONE, &changed_only, "Only what differs from the default",
       NULL},
      {"compare", 0, 0, G_OPTION_ARG_NONE, &several,
       "Ask all servers: what is not the default, or not the same on all", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  if (several)
    return changed_only ? ctl_usage(error, "--compare and --changed do not go together")
                        : compare(ctl, error);
  if (!ctl_connect(ctl, error))
    return FALSE;
  g_autoptr(GPtrArray) config = rpc_client_config(ctl->client, error);
  if (config == NULL)
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  print(grid, config, changed_only);
  return TRUE;
}

const CtlCommand ctl_config = {
    .name = "config",
    .arguments = "",
    .summary = "Print the configuration that a node runs with",
    .details = "RELOADABLE keys take a new value on SIGHUP, the others at the next start.",
    .run = run,
};
