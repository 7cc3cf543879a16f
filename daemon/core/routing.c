#include "core/routing.h"

gboolean routing_sends(guint32 self, guint32 peer, LogId log, guint64 peer_incarnation)
{
  g_assert(self != peer);
  if (log.origin == self)
    return TRUE;
  /* Never the log that the peer itself writes now: INV-7. */
  return log.origin == peer && log.incarnation != peer_incarnation;
}
