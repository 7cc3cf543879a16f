#include "core/hlc.h"

static const guint64 GREATEST_MS = (G_GUINT64_CONSTANT(1) << (64 - HLC_COUNTER_BITS)) - 1;

guint64 hlc_from_ms(guint64 wall_ms)
{
  return MIN(wall_ms, GREATEST_MS) << HLC_COUNTER_BITS;
}

guint64 hlc_ms(guint64 hlc)
{
  return hlc >> HLC_COUNTER_BITS;
}

guint64 hlc_tick(guint64 last, guint64 wall_ms)
{
  g_assert(last < G_MAXUINT64);
  guint64 next = MAX(last + 1, hlc_from_ms(wall_ms));
  g_assert(next > last); /* INV-1 */
  return next;
}

guint64 hlc_observe(guint64 last, guint64 remote)
{
  return MAX(last, remote);
}

gboolean hlc_is_ahead(guint64 remote, guint64 wall_ms, guint64 max_skew_ms)
{
  guint64 remote_ms = hlc_ms(remote);
  return remote_ms > wall_ms && remote_ms - wall_ms > max_skew_ms;
}
