/* Comparing data with the peers: the digest as of certain clocks. */
#include "node/replica_private.h"

#include "core/hlc.h"

typedef struct CheckJob {
  Replica *replica;
  guint64 cut;
  gint64 begun_us;
} CheckJob;

#define SPREAD 2654435769u /* of multiplicative hashing: 2^32 by the golden ratio */

enum {
  JOIN_UNIT_MS = 1000,
  JOIN_SPAN = 64,       /* units back from what is comparable: an older clock says little */
  JOIN_REST_FACTOR = 3, /* a check is followed by a rest so much longer than itself */
};

static gboolean digest_at(Replica *replica, guint64 cut, StateDigest *digest, GError **error)
{
  g_autoptr(GArray) progress = NULL;
  Store *store = replica_begin_view(replica, error);
  if (store == NULL)
    return FALSE;
  gboolean done = store_digest(store, &(DigestScope){cut}, digest, &progress, error);
  replica_end_view(replica);
  return done;
}

static void check_job(gpointer data)
{
  g_autofree CheckJob *job = data;
  Replica *replica = job->replica;
  StateDigest digest;
  g_autoptr(GError) error = NULL;
  if (digest_at(replica, job->cut, &digest, &error)) {
    replica_lock(replica);
    group_set_check(replica->group, job->cut, digest.low);
    gint64 now_us = clock_mono_us(replica->clock);
    replica->check_ready_us = now_us + JOIN_REST_FACTOR * (now_us - job->begun_us);
    replica_unlock(replica);
  } else if (error != NULL) {
    g_info("comparing data: %s", error->message);
  }
  g_atomic_int_set(&replica->checking, FALSE);
}

/*
 * The clock to compare at, in (after, until]: the one that is a multiple of the greatest power of
 * two of the unit. So nodes that look at different moments choose the same, mostly.
 */
static guint64 common_cut(guint64 after, guint64 until)
{
  guint64 low = hlc_ms(after) / JOIN_UNIT_MS, high = hlc_ms(until) / JOIN_UNIT_MS;
  low = MAX(low, high > JOIN_SPAN ? high - JOIN_SPAN : 0);
  if (high <= low)
    return 0;
  guint shift = 0;
  while (high >> (shift + 1) > low >> (shift + 1))
    shift++;
  return hlc_from_ms((high >> shift << shift) * JOIN_UNIT_MS);
}

guint64 replica_check_cut(guint64 comparable, guint64 interval_ms, guint32 group)
{
  /* Parts of the interval that lie far from each other for groups of neighbouring numbers. */
  guint64 shift = (guint64)(guint32)(group * SPREAD) * interval_ms >> 32;
  guint64 ms = hlc_ms(comparable);
  return ms < shift ? 0 : hlc_from_ms((ms - shift) / interval_ms * interval_ms + shift);
}

guint64 replica_check(Replica *replica, guint64 horizon, guint64 comparable, gboolean join_is_on)
{
  guint64 interval_ms = (guint64)replica->options.check_interval_ms;
  if (interval_ms == 0 && !join_is_on)
    return horizon;
  if (g_atomic_int_get(&replica->checking))
    return MIN(horizon, replica->checked_hlc);
  guint64 cut;
  if (join_is_on) {
    replica_lock(replica);
    gboolean rests = clock_mono_us(replica->clock) < replica->check_ready_us;
    replica_unlock(replica);
    cut = rests ? 0 : common_cut(replica->checked_hlc, comparable);
  } else {
    cut = replica_check_cut(comparable, interval_ms, replica->options.group.group);
  }
  if (cut <= replica->checked_hlc) /* what is carried out now could not be compared later */
    return join_is_on && replica->checked_hlc > 0 ? MIN(horizon, replica->checked_hlc) : horizon;
  replica->checked_hlc = cut;
  g_atomic_int_set(&replica->checking, TRUE);
  CheckJob *job = g_new(CheckJob, 1);
  *job = (CheckJob){replica, cut, clock_mono_us(replica->clock)};
  replica_work_apart(replica, "check", check_job, job);
  return cut;
}
