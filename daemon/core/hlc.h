/*
 * Hybrid logical clock: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
 * Values compare as numbers. After Kulkarni et al., "Logical Physical Clocks" (2014). Pure
 * functions.
 */
#pragma once

#include <glib.h>

enum { HLC_COUNTER_BITS = 16 };

/* The smallest clock value of a millisecond; wall times beyond 48 bits count as the last one. */
guint64 hlc_from_ms(guint64 wall_ms);
guint64 hlc_ms(guint64 hlc);

/*
 * The next value to stamp: greater than `last`, and not below the wall time. A full counter carries
 * into the milliseconds, so this never repeats and never goes back when the wall clock does. `last`
 * must not be the very greatest value (asserted): whoever lets clocks of others in checks them with
 * hlc_is_ahead first.
 */
guint64 hlc_tick(guint64 last, guint64 wall_ms);

/* The clock after having seen `remote`. */
guint64 hlc_observe(guint64 last, guint64 remote);

/* Whether `remote` is more than max_skew_ms ahead of the wall time. */
gboolean hlc_is_ahead(guint64 remote, guint64 wall_ms, guint64 max_skew_ms);
