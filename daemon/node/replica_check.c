/* Comparing data with the peers: the digest as of certain clocks. */
#include "node/replica_private.h"

#include "core/hlc.h"

typedef struct CheckJob {
  Replica *replica;
  guint64 cut;
} CheckJob;

static gboolean digest_at(Replica *replica, guint64 cut, StateDigest *digest, GError **error)
{
  g_autoptr(GArray) progress = NULL;
  g_rw_lock_reader_lock(&replica->store_lock);
  gboolean done = replica->store != NULL &&
                  store_digest(replica->store, &(DigestScope){cut}, digest, &progress, error);
  g_rw_lock_reader_unlock(&replica->store_lock);
  return done;
}

static void check_job(gpointer data)
{
  g_autofree CheckJob *job = data;
  Replica *replica = job->replica;
  StateDigest digest;
  g_autoptr(GError) error = NULL;
  if (digest_at(replica, job->cut, &digest, &error)) {
    g_mutex_lock(&replica->mutex);
    group_set_check(replica->group, job->cut, digest.low);
    g_mutex_unlock(&replica->mutex);
  } else if (error != NULL) {
    g_info("comparing data: %s", error->message);
  }
  g_atomic_int_set(&replica->checking, FALSE);
  replica_job_end(replica);
}

guint64 replica_check(Replica *replica, guint64 horizon)
{
  guint64 interval_ms = (guint64)replica->options.check_interval_ms;
  if (interval_ms == 0 || replica->options.peers->len == 0)
    return horizon;
  guint64 cut = hlc_from_ms(hlc_ms(horizon) / interval_ms * interval_ms);
  if (g_atomic_int_get(&replica->checking))
    return MIN(horizon, replica->checked_hlc);
  if (cut <= replica->checked_hlc)
    return horizon;
  replica->checked_hlc = cut;
  g_atomic_int_set(&replica->checking, TRUE);
  CheckJob *job = g_new(CheckJob, 1);
  *job = (CheckJob){replica, cut};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, check_job, job);
  return cut;
}
