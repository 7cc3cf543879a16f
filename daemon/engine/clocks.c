/* The wall clocks of the members: whether the own one can be right, and what may be believed. */
#include "engine/group_private.h"

#include "core/hlc.h"
#include "core/skew.h"

enum {
  STEP_MS = 1000, /* the wall clock was set, and did not merely drift */
  /* An answer that took longer says nothing of the clock that was put into it. */
  MAX_ROUND_TRIP_US = 5 * G_USEC_PER_SEC,
};

/* A wall clock in the range of the hybrid clock: no sum or difference of a few can overflow,
 * whatever a peer or the system told. */
static guint64 bounded_ms(guint64 wall_ms)
{
  return hlc_ms(hlc_from_ms(wall_ms));
}

/* steady: a peer is as far ahead only as it was at two measurements, see clocks_measure. */
static guint known_offsets(const Group *group, gboolean steady, gint64 *offsets_ms)
{
  guint count = 0;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->has_clock_offset && membership_counts(group->options.membership, peer->id) &&
        count < LIMIT_MEMBERS - 1)
      offsets_ms[count++] =
          steady ? MIN(peer->clock_offset_ms, peer->clock_before_ms) : peer->clock_offset_ms;
  }
  return count;
}

static guint other_members(const Group *group)
{
  const Membership *membership = group->options.membership;
  return membership_count(membership) - membership_counts(membership, group->self);
}

static guint64 own_wall_ms(const Group *group, gint64 now_us)
{
  gint64 since_us = group->wall_at_us != 0 ? MAX(now_us - group->wall_at_us, 0) : 0;
  return group->wall_ms + (guint64)since_us / 1000;
}

guint64 clocks_limit_hlc(const Group *group)
{
  gint64 offsets_ms[LIMIT_MEMBERS];
  guint count = known_offsets(group, TRUE, offsets_ms);
  gint64 cluster_ms = (gint64)group->wall_ms + skew_cluster_offset_ms(offsets_ms, count);
  guint64 limit_ms = (guint64)MAX(cluster_ms, 0) + (guint64)group->options.max_clock_skew_ms;
  return hlc_from_ms(limit_ms + 1) - 1;
}

/* Whether the own clock is too far ahead to stamp with. */
static void judge(Group *group)
{
  gint64 offsets_ms[LIMIT_MEMBERS];
  guint count = known_offsets(group, FALSE, offsets_ms);
  gboolean wrong =
      skew_is_ahead(offsets_ms, count, other_members(group), group->options.max_clock_skew_ms);
  if (wrong == group->clock_wrong)
    return;
  group->clock_wrong = wrong;
  if (wrong)
    group_note(group, G_LOG_LEVEL_CRITICAL, "%s: writes are refused until it is set right",
               CLOCK_WRONG_TEXT);
  else
    group_note(group, G_LOG_LEVEL_MESSAGE, "the clock agrees with the other members' again");
}

/* The wall clock was far ahead and was set right: stamps stay there (hlc_tick). */
static void look_ahead(Group *group)
{
  gboolean ahead = group->clock > clocks_limit_hlc(group);
  if (ahead == group->clock_ahead)
    return;
  group->clock_ahead = ahead;
  if (ahead)
    group_note(group, G_LOG_LEVEL_WARNING, CLOCK_AHEAD_TEXT);
  else
    group_note(group, G_LOG_LEVEL_MESSAGE, "other nodes apply what this node writes at once again");
}

void clocks_tell(Group *group, gint64 now_us, guint64 wall_ms)
{
  wall_ms = bounded_ms(wall_ms);
  gint64 step_ms = (gint64)wall_ms - (gint64)own_wall_ms(group, now_us);
  gboolean told = group->wall_at_us != 0;
  group->wall_ms = wall_ms;
  group->wall_at_us = now_us;
  if (!told || ABS(step_ms) < STEP_MS) {
    look_ahead(group);
    return;
  }
  group_note(group, G_LOG_LEVEL_WARNING, "the clock was set by %+" G_GINT64_FORMAT " ms", step_ms);
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    peer->clock_offset_ms -= step_ms;
    peer->clock_mark_ms -= step_ms;
    peer->clock_before_ms -= step_ms;
  }
  judge(group);
  look_ahead(group);
}

/*
 * That a peer's clock is ahead is believed when it was measured twice, a heartbeat's interval
 * apart: by then all others that are reached were measured, too. Else two peers would count as
 * ahead of which one was set right since it was measured, and what the other one stamps would be
 * taken for good. Behind a start, too: until the second one the peer counts as not ahead.
 */
void clocks_measure(Group *group, Peer *peer, const Progress *news, gint64 sent_us, gint64 now_us)
{
  if (sent_us <= 0 || news->wall_ms == 0 || now_us - sent_us > MAX_ROUND_TRIP_US)
    return;
  gint64 half_way_us = sent_us + (now_us - sent_us) / 2;
  gint64 offset_ms = (gint64)bounded_ms(news->wall_ms) - (gint64)own_wall_ms(group, half_way_us);
  if (!peer->has_clock_offset ||
      now_us - peer->clock_mark_us >= group->options.heartbeat_interval_ms * 1000) {
    peer->clock_before_ms = peer->has_clock_offset ? peer->clock_mark_ms : 0;
    peer->clock_mark_ms = offset_ms;
    peer->clock_mark_us = now_us;
  }
  peer->clock_offset_ms = offset_ms;
  peer->has_clock_offset = TRUE;
  judge(group);
  look_ahead(group);
}
