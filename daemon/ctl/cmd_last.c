#include "ctl/ctl.h"

static void add_rows(Ctl *ctl, Grid *grid, const char *device, const GPtrArray *values,
                     TimeStyle style)
{
  for (guint i = 0; i < values->len; i++) {
    const LastValue *last = g_ptr_array_index(values, i);
    grid_text(grid, device);
    grid_text(grid, last->measurement);
    grid_text(grid, data_type_name((int)last->value.type));
    ctl_grid_time(ctl, grid, last->timestamp, style);
    grid_value(grid, &last->value);
  }
}

static gboolean print(Ctl *ctl, char **devices, int count, TimeStyle style, const GArray *tokens,
                      GError **error)
{
  g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
  for (int i = 0; i < count; i++) {
    GPtrArray *values = ctl_last_values(ctl, devices[i], NULL, tokens, error);
    if (values == NULL)
      return fail_prefix(error, "%s: ", devices[i]);
    g_ptr_array_add(answers, values);
    if (values->len == 0 && !ctl->quiet)
      g_printerr("synclogctl: last: device \"%s\" has no values\n", devices[i]);
  }
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "DEVICE", "device", FALSE);
  grid_column(grid, "MEASUREMENT", "measurement", FALSE);
  grid_column(grid, "TYPE", "type", FALSE);
  grid_column(grid, "TIME", "time", FALSE);
  grid_column(grid, "VALUE", "value", FALSE);
  for (int i = 0; i < count; i++)
    add_rows(ctl, grid, devices[i], g_ptr_array_index(answers, (guint)i), style);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autofree char *time_format = NULL;
  g_auto(GStrv) token_texts = NULL;
  const GOptionEntry entries[] = {
      {"time-format", 0, 0, G_OPTION_ARG_STRING, &time_format,
       "iso or epoch (iso in text, epoch in JSON and CSV)", "FORMAT"},
      {"token", 0, 0, G_OPTION_ARG_STRING_ARRAY, &token_texts,
       "Wait until the node has applied this write", "TOKEN"},
      G_OPTION_ENTRY_NULL,
  };
  TimeStyle style;
  g_autoptr(GArray) tokens = NULL;
  return ctl_options(ctl, entries, 1, -1, &argc, &argv, error) &&
         ctl_time_style(time_format, &style, error) && ctl_tokens(token_texts, &tokens, error) &&
         ctl_connect(ctl, error) && print(ctl, argv + 1, argc - 1, style, tokens, error);
}

const CtlCommand ctl_last = {
    .name = "last",
    .arguments = "DEVICE…",
    .summary = "Print the newest value of each measurement",
    .run = run,
};
