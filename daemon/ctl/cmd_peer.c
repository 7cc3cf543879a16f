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

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  if (!ctl_options(ctl, NULL, 2, 2, &argc, &argv, error))
    return FALSE;
  gboolean pauses = strcmp(argv[1], "pause") == 0;
  if (!pauses && strcmp(argv[1], "resume") != 0)
    return ctl_usage(error, "\"%s\" is none of pause, resume", argv[1]);
  return ctl_connect(ctl, error) && set_paused(ctl, argv[2], pauses, error);
}

const CtlCommand ctl_peer = {
    .name = "peer",
    .arguments = "pause ID | resume ID",
    .summary = "Stop a node from sending to a peer, or let it go on",
    .details = "The node that is asked (--server) sends none of its logs to that peer any more; "
               "\"status\" shows the channel\nas paused. Heartbeats go on, and so does the way "
               "back. Meanwhile writes with --ack all are not confirmed, and\nold segments stay. "
               "A restart of the node forgets the pause.",
    .run = run,
};
