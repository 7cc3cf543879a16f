/*
 * Which connection of a peer counts: that of its latest handshake. What else is still read of an
 * earlier one was sent by a process that may be gone, with entries that it has lost since, and that
 * its next life has told not to have. This node would come to hold more than it has told of a
 * closed log, from below horizons (P3), or believe progress that is true no more (P1, P5).
 */
#include "node/replica_private.h"

guint64 replica_accept_channel(Replica *replica, guint32 node)
{
  static _Atomic guint64 serials;
  PeerChannels *channels = &replica->channels;
  guint count = channels->count, at = 0;
  while (at < count && channels->of[at].node != node)
    at++;
  g_assert(at < G_N_ELEMENTS(channels->of)); /* only members' handshakes are accepted */
  guint64 serial = ++serials;
  channels->of[at].node = node;
  channels->of[at].serial = serial;
  if (at == count)
    channels->count = count + 1; /* last: others read without a lock */
  return serial;
}

guint32 replica_channel_peer(Replica *replica, RpcCall *call, guint64 *out_serial)
{
  PeerChannels *channels = &replica->channels;
  guint count = channels->count;
  for (guint i = 0; i < count; i++) {
    *out_serial = channels->of[i].serial;
    guint32 node = rpc_call_peer(call, *out_serial);
    if (node != 0)
      return node;
  }
  *out_serial = 0;
  return 0;
}

gboolean replica_channel_counts(const Replica *replica, guint32 node, guint64 serial)
{
  const PeerChannels *channels = &replica->channels;
  for (guint i = 0; i < channels->count; i++)
    if (channels->of[i].node == node)
      return channels->of[i].serial == serial;
  return FALSE;
}
