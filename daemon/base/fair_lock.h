/*
 * A lock for many readers or one writer which lets a writer in before readers that come after it.
 * GRWLock lets readers in as long as any is there: with requests on all workers that is always, and
 * whoever wants to write waits for ever. A thread must not take it a second time for reading.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

typedef struct FairLock {
  pthread_rwlock_t lock;
} FairLock;

static inline void fair_lock_init(FairLock *fair)
{
  pthread_rwlockattr_t kind;
  pthread_rwlockattr_init(&kind);
  pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  int failed = pthread_rwlock_init(&fair->lock, &kind);
  g_assert(failed == 0);
  pthread_rwlockattr_destroy(&kind);
}

static inline void fair_lock_clear(FairLock *fair)
{
  pthread_rwlock_destroy(&fair->lock);
}

static inline void fair_lock_read(FairLock *fair)
{
  int failed = pthread_rwlock_rdlock(&fair->lock);
  g_assert(failed == 0);
}

static inline void fair_lock_write(FairLock *fair)
{
  int failed = pthread_rwlock_wrlock(&fair->lock);
  g_assert(failed == 0);
}

/* Of either. */
static inline void fair_lock_release(FairLock *fair)
{
  pthread_rwlock_unlock(&fair->lock);
}
