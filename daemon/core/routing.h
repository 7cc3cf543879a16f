/*
 * Who sends which log to whom. Pure functions.
 */
#pragma once

#include "base/log_id.h"

/*
 * Whether node `self` offers `log` to `peer`: its own logs, of any incarnation, and the peer's own
 * former logs, whose rest the peer may have lost.
 */
gboolean routing_sends(guint32 self, guint32 peer, LogId log, guint64 peer_incarnation);
