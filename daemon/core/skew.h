/*
 * What a node makes of its peers' clocks. An offset is a peer's wall clock minus the own one, in
 * milliseconds. Pure functions.
 */
#pragma once

#include <glib.h>

/*
 * The cluster's time minus the own wall clock: the median over the own clock and those of `count`
 * peers. Of two clocks nobody can say which is wrong, so the own one counts then.
 */
gint64 skew_cluster_offset_ms(const gint64 *offsets_ms, guint count);

/*
 * Whether the own clock is ahead of more than half of `peers` other members by more than limit_ms;
 * the offsets of `count` of them are known.
 */
gboolean skew_is_ahead(const gint64 *offsets_ms, guint count, guint peers, gint64 limit_ms);
