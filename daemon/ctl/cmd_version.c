#include "ctl/ctl.h"

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  if (!ctl_options(ctl, NULL, 0, 0, &argc, &argv, error))
    return FALSE;
  g_autoptr(GError) local = NULL;
  gboolean reached = ctl_connect(ctl, &local);
  {
    g_autoptr(Grid) grid = ctl_grid(ctl);
    grid_column(grid, "PROGRAM", "program", FALSE);
    grid_column(grid, "VERSION", "version", FALSE);
    grid_column(grid, "SERVER", "server", FALSE);
    grid_text(grid, "synclogctl");
    grid_text(grid, SYNCLOG_VERSION);
    grid_missing(grid);
    if (reached) {
      grid_text(grid, "synclogd");
      grid_text(grid, ctl->info.version);
      grid_text(grid, ctl->servers[ctl->server]);
    }
  }
  if (!reached)
    g_propagate_error(error, g_steal_pointer(&local));
  return reached;
}

const CtlCommand ctl_version = {
    .name = "version",
    .arguments = "",
    .summary = "Print the versions of this tool and of the node",
    .run = run,
};
