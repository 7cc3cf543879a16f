#include "base/limits.h"
#include "ctl/ctl.h"

#include <string.h>

static gboolean parse_node(const char *text, guint32 *out_node, GError **error)
{
  guint64 node;
  if (!g_ascii_string_to_unsigned(text, 10, 1, LIMIT_NODE_ID, &node, NULL))
    return ctl_usage(error, "\"%s\" is no node id", text);
  *out_node = (guint32)node;
  return TRUE;
}

static void print_members(Grid *grid, const NodeStatus *status)
{
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "ADDRESS", "address", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  grid_uint(grid, status->node_id);
  grid_missing(grid);
  grid_text(grid, status->state);
  grid_text(grid, status->message);
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    grid_uint(grid, peer->node_id);
    grid_text(grid, peer->address);
    grid_text(grid, peer->state);
    grid_text(grid, peer->message);
  }
}

static gboolean list(Ctl *ctl, GError **error)
{
  g_autoptr(NodeStatus) status = rpc_client_status(ctl->client, ctl->group, error);
  if (status == NULL)
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  print_members(grid, status);
  return TRUE;
}

static gboolean forget(Ctl *ctl, const char *text, gboolean yes, GError **error)
{
  guint32 node = 0;
  if (!parse_node(text, &node, error))
    return FALSE;
  if (!yes)
    return ctl_usage(
        error, "node %u will never be let back into the cluster; say --yes to declare it lost",
        node);
  if (!rpc_client_forget(ctl->client, ctl->group, node, error))
    return FALSE;
  ctl_say(ctl, "node %u is declared lost for good\n", node);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "Declare the node lost without a further question",
       NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 1, 2, &argc, &argv, error))
    return FALSE;
  gboolean lists = strcmp(argv[1], "list") == 0;
  if (!lists && strcmp(argv[1], "forget") != 0)
    return ctl_usage(error, "\"%s\" is none of list, forget", argv[1]);
  if (argc != (lists ? 2 : 3))
    return ctl_usage(error, lists ? "list takes no argument" : "which node is to be forgotten?");
  if (!ctl_connect(ctl, error))
    return FALSE;
  return lists ? list(ctl, error) : forget(ctl, argv[2], yes, error);
}

const CtlCommand ctl_node = {
    .name = "node",
    .arguments = "list | forget ID",
    .summary = "List the members, or declare one lost for good",
    .details = "forget is for a node that will not come back. From then on nothing waits for it: "
               "neither --ack all nor\nthe deletion of old segments; and what the others hold of "
               "its writes spreads among them. One node is\ntold, the others learn it. A node that "
               "is declared lost may not come back but with a new id.",
    .run = run,
};
