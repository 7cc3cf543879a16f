#include "ctl/ctl.h"

#include "base/limits.h"

#include <string.h>

static gboolean set_paused(Ctl *ctl, const char *text, gboolean paused, GError **error)
{
  guint64 peer;
  if (!g_ascii_string_to_unsigned(text, 10, 1, LIMIT_NODE_ID, &peer, NULL))
    return ctl_usage(error, "\"%s\" is no node id", text);
  if (!rpc_client_pause(ctl->client, ctl->group, (guint32)peer, paused, error))
    return FALSE;
  ctl_say(ctl, "node %u %s node %u\n", ctl->info.node_id,
          paused ? "sends no logs to" : "sends its logs again to", (guint)peer);
  return TRUE;
}

static gboolean reseed(Ctl *ctl, const char *text, gint from, GError **error)
{
  guint64 node;
  if (!g_ascii_string_to_unsigned(text, 10, 1, LIMIT_NODE_ID, &node, NULL))
    return ctl_usage(error, "\"%s\" is no node id", text);
  if (from < 0 || from > LIMIT_NODE_ID)
    return ctl_usage(error, "--from: %d is no node id", from);
  ReseedRequest request = {
      .group = ctl->group, .node_id = (guint32)node, .from_node_id = (guint32)from};
  if (!rpc_client_reseed(ctl->client, &request, error))
    return FALSE;
  ctl_say(ctl, "node %u fetches a snapshot; \"status\" shows how far it is\n", request.node_id);
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gint from = 0;
  const GOptionEntry entries[] = {
      {"from", 0, 0, G_OPTION_ARG_INT, &from,
       "reseed: the node that gives the snapshot (default: the one that has most)", "ID"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 2, 2, &argc, &argv, error))
    return FALSE;
  gboolean pauses = strcmp(argv[1], "pause") == 0;
  if (strcmp(argv[1], "reseed") == 0)
    return ctl_connect(ctl, error) && reseed(ctl, argv[2], from, error);
  if (!pauses && strcmp(argv[1], "resume") != 0)
    return ctl_usage(error, "\"%s\" is none of pause, resume, reseed", argv[1]);
  if (from != 0)
    return ctl_usage(error, "--from belongs to reseed");
  return ctl_connect(ctl, error) && set_paused(ctl, argv[2], pauses, error);
}

const CtlCommand ctl_peer = {
    .name = "peer",
    .arguments = "pause ID | resume ID | reseed ID",
    .summary = "Stop a node from sending to a peer, let it go on, or give a node a snapshot",
    .details = "The node that is asked (--server) sends none of its logs to that peer any more; "
               "\"status\" shows the channel\nas paused. Heartbeats go on, and so does the way "
               "back. Meanwhile writes with --ack all are not confirmed, and\nold segments stay. "
               "A restart of the node forgets the pause.\n\n"
               "reseed has node ID, which may be the one that is asked, replace its store by a "
               "snapshot of another member. It\nis refused where that would lose something. A "
               "node that needs one gets it without being told.",
    .run = run,
};
