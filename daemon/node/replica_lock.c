/* Replica.mutex: see replica_lock. */
#include "node/replica_private.h"

void replica_lock(Replica *replica)
{
  g_mutex_lock(&replica->mutex);
  rpc_loops_hold();
}

static void wake_apply_thread(gpointer data)
{
  Replica *replica = data;
  g_cond_signal(&replica->apply_cond);
  replica_job_end(replica);
}

/* Hands over what was posted, and notes whom to wake. */
static void before_unlock(Replica *replica, gboolean *out_wake_log, gboolean *out_wake_apply)
{
  rpc_loops_release();
  if (replica->work_brought)
    replica_give_work(replica);
  *out_wake_log = replica->wake_log;
  *out_wake_apply = replica->wake_apply;
  /* A network thread writes first what somebody waits for. */
  if (replica->wake_apply && rpc_loop_run_after(wake_apply_thread, replica)) {
    replica_job_begin(replica);
    *out_wake_apply = FALSE;
  }
  replica->wake_log = replica->wake_apply = FALSE;
}

static void wake(Replica *replica, gboolean wake_log, gboolean wake_apply)
{
  if (wake_log)
    g_cond_signal(&replica->log_cond);
  if (wake_apply)
    g_cond_signal(&replica->apply_cond);
}

void replica_unlock(Replica *replica)
{
  gboolean wake_log, wake_apply;
  before_unlock(replica, &wake_log, &wake_apply);
  g_mutex_unlock(&replica->mutex);
  wake(replica, wake_log, wake_apply);
}

gboolean replica_wait_until(Replica *replica, GCond *cond, gint64 until_us)
{
  gboolean wake_log, wake_apply, in_time = TRUE;
  before_unlock(replica, &wake_log, &wake_apply);
  wake(replica, wake_log, wake_apply);
  if (until_us == G_MAXINT64)
    g_cond_wait(cond, &replica->mutex);
  else
    in_time = g_cond_wait_until(cond, &replica->mutex, until_us);
  rpc_loops_hold();
  return in_time;
}

void replica_wait_for_work(Replica *replica, gint64 until_us)
{
  /* It has just looked, or whoever does the log's work will when it is done. */
  replica->work_brought = FALSE;
  replica->log_waiting = TRUE;
  replica->log_until_us = until_us;
  replica_wait_until(replica, &replica->log_cond, until_us);
  replica->log_waiting = FALSE;
}

void replica_tell_progress(Replica *replica)
{
  /* Also without a waiter a broadcast is a system call. */
  if (replica->progress_waiters > 0)
    g_cond_broadcast(&replica->progress_cond);
}

gboolean replica_wait_progress(Replica *replica, gint64 until_us)
{
  replica->progress_waiters++;
  gboolean in_time = replica_wait_until(replica, &replica->progress_cond, until_us);
  replica->progress_waiters--;
  return in_time;
}
