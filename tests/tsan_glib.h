/*
 * Force-included in builds with SAN=thread. GLib's mutexes and queues are futexes in a library that
 * is not instrumented, so the sanitizer cannot see that they order memory accesses; these wrappers
 * tell it.
 */
#pragma once

#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

static inline void tsan_mutex_lock(GMutex *mutex)
{
  (g_mutex_lock)(mutex);
  __tsan_acquire(mutex);
}

static inline gboolean tsan_mutex_trylock(GMutex *mutex)
{
  gboolean locked = (g_mutex_trylock)(mutex);
  if (locked)
    __tsan_acquire(mutex);
  return locked;
}

static inline void tsan_mutex_unlock(GMutex *mutex)
{
  __tsan_release(mutex);
  (g_mutex_unlock)(mutex);
}

static inline void tsan_cond_wait(GCond *cond, GMutex *mutex)
{
  __tsan_release(mutex);
  (g_cond_wait)(cond, mutex);
  __tsan_acquire(mutex);
}

static inline gboolean tsan_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_us)
{
  __tsan_release(mutex);
  gboolean signalled = (g_cond_wait_until)(cond, mutex, end_us);
  __tsan_acquire(mutex);
  return signalled;
}

static inline void tsan_queue_push(GAsyncQueue *queue, gpointer data)
{
  __tsan_release(queue);
  (g_async_queue_push)(queue, data);
}

static inline gpointer tsan_queue_pop(GAsyncQueue *queue)
{
  gpointer data = (g_async_queue_pop)(queue);
  __tsan_acquire(queue);
  return data;
}

/* The pool's function must begin with POOL_TASK_BEGIN(data). */
static inline gboolean tsan_pool_push(GThreadPool *pool, gpointer data, GError **error)
{
  __tsan_release(data);
  return (g_thread_pool_push)(pool, data, error);
}

/* The header's own locker calls the library's functions. */
typedef struct TsanMutexLocker TsanMutexLocker;

static inline TsanMutexLocker *tsan_mutex_locker_new(GMutex *mutex)
{
  tsan_mutex_lock(mutex);
  return (TsanMutexLocker *)mutex;
}

static inline void tsan_mutex_locker_free(TsanMutexLocker *locker)
{
  tsan_mutex_unlock((GMutex *)locker);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TsanMutexLocker, tsan_mutex_locker_free)

/* Arrays that threads share: who frees one comes behind all that gave it back by this name. */
static inline void tsan_ptr_array_unref(GPtrArray *array)
{
  __tsan_release(array);
  __tsan_acquire(array);
  (g_ptr_array_unref)(array);
}

/* The library's own are functions that are not instrumented. */
#undef g_atomic_ref_count_init
#undef g_atomic_ref_count_inc
#undef g_atomic_ref_count_dec
#define g_atomic_ref_count_init(count) __atomic_store_n(count, 1, __ATOMIC_RELAXED)
#define g_atomic_ref_count_inc(count) ((void)__atomic_fetch_add(count, 1, __ATOMIC_RELAXED))
#define g_atomic_ref_count_dec(count) (__atomic_fetch_sub(count, 1, __ATOMIC_ACQ_REL) == 1)

/* Boxes with a reference count, for the same reason. The count stands in front, as wide as any
 * value's alignment. */
enum { TSAN_BOX_HEAD = 16 };

static inline gint *tsan_box_count(gpointer box)
{
  return (gint *)(gpointer)((char *)box - TSAN_BOX_HEAD);
}

static inline gpointer tsan_box_alloc(gsize size)
{
  gpointer box = (char *)g_malloc(TSAN_BOX_HEAD + size) + TSAN_BOX_HEAD;
  __atomic_store_n(tsan_box_count(box), 1, __ATOMIC_RELAXED);
  return box;
}

static inline gpointer tsan_box_alloc0(gsize size)
{
  gpointer box = tsan_box_alloc(size);
  __builtin_memset(box, 0, size);
  return box;
}

static inline gpointer tsan_box_acquire(gpointer box)
{
  __atomic_fetch_add(tsan_box_count(box), 1, __ATOMIC_RELAXED);
  return box;
}

static inline void tsan_box_release_full(gpointer box, GDestroyNotify clear)
{
  if (__atomic_fetch_sub(tsan_box_count(box), 1, __ATOMIC_ACQ_REL) != 1)
    return;
  clear(box);
  g_free(tsan_box_count(box));
}

#undef g_atomic_rc_box_acquire
#define g_atomic_rc_box_alloc tsan_box_alloc
#define g_atomic_rc_box_alloc0 tsan_box_alloc0
#define g_atomic_rc_box_acquire tsan_box_acquire
#define g_atomic_rc_box_release_full tsan_box_release_full

#define g_mutex_lock tsan_mutex_lock
#define g_mutex_trylock tsan_mutex_trylock
#define g_mutex_unlock tsan_mutex_unlock
#define g_cond_wait tsan_cond_wait
#define g_cond_wait_until tsan_cond_wait_until
#define g_async_queue_push tsan_queue_push
#define g_async_queue_pop tsan_queue_pop
#define g_thread_pool_push tsan_pool_push
#define GMutexLocker TsanMutexLocker
#define g_mutex_locker_new tsan_mutex_locker_new
#define g_mutex_locker_free tsan_mutex_locker_free
#define g_ptr_array_unref tsan_ptr_array_unref
#define POOL_TASK_BEGIN(data) __tsan_acquire(data)
