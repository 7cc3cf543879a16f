#include "ctl/ctl.h"

enum { DEVICES_PER_PAGE = 1000 };

static void add_rows(Grid *grid, const Device *device)
{
  for (guint i = 0; i < device->measurements->len; i++) {
    const Measurement *m = &g_array_index(device->measurements, Measurement, i);
    grid_text(grid, device->name);
    grid_text(grid, m->name);
    grid_text(grid, data_type_name((int)m->type));
    grid_bool(grid, m->conflicting);
  }
}

static gboolean print_pages(Ctl *ctl, const char *prefix, Grid *grid, GError **error)
{
  gboolean told = FALSE;
  g_autofree char *after = NULL;
  do {
    g_autofree char *next = NULL, *left_out = NULL;
    g_autoptr(GPtrArray) devices =
        ctl_series_page(ctl, prefix, after, DEVICES_PER_PAGE, &next, &left_out, error);
    if (devices == NULL)
      return FALSE;
    if (left_out != NULL && !told)
      g_printerr("synclogctl: some groups can't be read here and are %s\n", left_out);
    told |= left_out != NULL;
    for (guint i = 0; i < devices->len; i++)
      add_rows(grid, g_ptr_array_index(devices, i));
    grid_flush(grid);
    g_free(after);
    after = g_steal_pointer(&next);
  } while (after != NULL);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  if (!ctl_options(ctl, NULL, 0, 1, &argc, &argv, error) || !ctl_connect(ctl, error))
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "DEVICE", "device", FALSE);
  grid_column(grid, "MEASUREMENT", "measurement", FALSE);
  grid_column(grid, "TYPE", "type", FALSE);
  grid_column(grid, "CONFLICTING", "conflicting", FALSE);
  return print_pages(ctl, argc > 1 ? argv[1] : NULL, grid, error);
}

const CtlCommand ctl_devices = {
    .name = "devices",
    .arguments = "[PREFIX]",
    .summary = "List devices with their measurements and types",
    .details =
        "CONFLICTING: two nodes gave the measurement different types at once, and this is the "
        "younger one;\nits values are kept and read as a column of their own.",
    .run = run,
};
