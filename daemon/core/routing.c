#include "core/routing.h"

gboolean routing_sends(guint32 self, guint32 peer, LogId log, guint64 peer_incarnation)
{
  g_assert(self != peer);
  if (log.origin == self)
    return TRUE;
  /* Never the log that the peer itself writes now: INV-7. */
  return log.origin == peer && log.incarnation != peer_incarnation;
}

static const SupplyOffer *find_offer(guint32 node, const SupplyOffer *offers, guint count)
{
  for (guint i = 0; i < count; i++)
    if (offers[i].node == node)
      return &offers[i];
  return NULL;
}

static gboolean can_supply(const SupplyOffer *offer, guint64 received)
{
  return offer->heard && offer->durable >= received && offer->first_available <= received + 1;
}

guint32 routing_supplier(LogId log, gboolean newest, guint64 received, guint32 current,
                         const SupplyOffer *offers, guint count)
{
  const SupplyOffer *origin = find_offer(log.origin, offers, count);
  if (origin != NULL && origin->heard && origin->first_available <= received + 1 &&
      (newest || origin->durable > received))
    return 0;
  const SupplyOffer *best = NULL;
  for (guint i = 0; i < count; i++)
    if (offers[i].node != log.origin && can_supply(&offers[i], received) &&
        (best == NULL || offers[i].durable > best->durable))
      best = &offers[i];
  if (best == NULL || (best->durable <= received && !newest))
    return 0;
  const SupplyOffer *serving = find_offer(current, offers, count);
  if (serving != NULL && serving->node != log.origin && can_supply(serving, received) &&
      (serving->durable > received || best->durable <= received))
    return current;
  return best->node;
}
