#include "ctl/ctl.h"

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

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean changed_only = FALSE;
  const GOptionEntry entries[] = {
      {"changed", 0, 0, G_OPTION_ARG_NONE, &changed_only, "Only what differs from the default",
       NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error) || !ctl_connect(ctl, error))
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
