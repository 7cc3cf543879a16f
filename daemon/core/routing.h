/*
 * Who sends which log to whom. Pure functions.
 */
#pragma once

#include "base/log_id.h"

/*
 * Whether node `self` offers `log` to `peer` unasked: its own logs, of any incarnation, and the
 * peer's own former logs, whose rest the peer may have lost. All other logs are handed on only to a
 * node that asks for them.
 */
gboolean routing_sends(guint32 self, guint32 peer, LogId log, guint64 peer_incarnation);

/* What one peer has of a log, as this node knows it. */
typedef struct SupplyOffer {
  guint32 node;
  gboolean heard; /* its channel to this node works */
  guint64 durable, first_available;
} SupplyOffer;

/*
 * Whom a node that has `received` entries of another node's log asks to hand it on (P6): 0 for
 * nobody, as long as the origin is heard and can give more itself, or nobody has more. `newest`: no
 * later log of that origin is known; then somebody is asked in advance, so that entries to come
 * pass on without a further question. There is one supplier at a time, and `current` stays it while
 * it serves: so an origin that works is never doubled, and nobody gets a log twice.
 */
guint32 routing_supplier(LogId log, gboolean newest, guint64 received, guint32 current,
                         const SupplyOffer *offers, guint count);
