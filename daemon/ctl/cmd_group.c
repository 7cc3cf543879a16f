#include "ctl/ctl.h"

#include "base/limits.h"

#include <string.h>

static void print(Grid *grid, const GPtrArray *groups)
{
  grid_column(grid, "GROUP", "group", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "DEVICES", "devices", FALSE);
  grid_column(grid, "MEMBERS", "members", FALSE);
  grid_column(grid, "LOG BYTES", "walBytes", TRUE);
  grid_column(grid, "STORE BYTES", "storeBytes", TRUE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < groups->len; i++) {
    const GroupInfo *group = g_ptr_array_index(groups, i);
    gboolean known = group->devices != NULL || group->id == 0;
    const char *members = group->members != NULL ? group->members : "";
    grid_int(grid, group->id);
    grid_text(grid, group->state);
    grid_text(grid, group->devices != NULL ? group->devices : group->id == 0 ? "the rest" : "");
    grid_text(grid, *members != '\0' ? members : known ? "all" : "");
    grid_int(grid, (gint64)group->wal_bytes);
    grid_int(grid, (gint64)group->store_bytes);
    grid_text(grid, group->message);
  }
}

static gboolean list(Ctl *ctl, GError **error)
{
  if (!ctl_connect(ctl, error))
    return FALSE;
  g_autoptr(GPtrArray) groups = rpc_client_groups(ctl->client, error);
  if (groups == NULL)
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  print(grid, groups);
  return TRUE;
}

static gboolean delete (Ctl *ctl, const char *text, gboolean yes, GError **error)
{
  guint64 group;
  if (!g_ascii_string_to_unsigned(text, 10, 0, LIMIT_GROUP_ID, &group, NULL))
    return ctl_usage(error, "\"%s\" is no group", text);
  if (!yes)
    return ctl_usage(error, "this deletes what the node holds of group %s for good: say --yes",
                     text);
  if (!ctl_connect(ctl, error) || !rpc_client_delete_group(ctl->client, (guint32)group, error))
    return FALSE;
  ctl_say(ctl, "the files of group %u at node %u are deleted\n", (guint)group, ctl->info.node_id);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "delete: really", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, 2, &argc, &argv, error))
    return FALSE;
  if (strcmp(argv[1], "list") == 0 && argc == 2)
    return yes ? ctl_usage(error, "--yes belongs to delete") : list(ctl, error);
  if (strcmp(argv[1], "delete") == 0 && argc == 3)
    return delete (ctl, argv[2], yes, error);
  return ctl_usage(error, "expected: list | delete N");
}

const CtlCommand ctl_group = {
    .name = "group",
    .arguments = "list | delete N",
    .summary = "Show a node's groups, or delete the files of one that is not configured any more",
    .details =
        "Groups come and go with the sections [group.N] of the configuration (SIGHUP). One "
        "whose section is gone is closed,\nand its files stay until \"delete\" is asked "
        "of that node (--server). Other nodes keep theirs: where the group goes on, have this "
        "one removed from it first\n(--group N node remove), for a member that has lost "
        "its files is not the same any more.\n\n"
        "States: as in \"status\"; opening; failed, with the reason (it is tried again); "
        "elsewhere: this node is not\namong the members; files: not configured, only its "
        "files are here.",
    .run = run,
};
