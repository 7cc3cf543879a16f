#include "rpc/loops_private.h"

#include "rpc/flat.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* So long, or twice as long, the tasks that may wait keep a loop; then another thread goes on with
 * it. */
static const gint64 PATIENCE_US = 50 * 1000;

typedef struct Task {
  void (*func)(gpointer data);
  gpointer data;
} Task;

struct RpcLoop {
  GThread *threads[2]; /* one runs it, the other stands by */
  struct event_base *base;
  struct event *wake_event;
  int wake_fd;
  GArray *hooks;   /* Task */
  GArray *running; /* Task; taken from the inbox, being run */
  GArray *last;    /* Task; see rpc_loop_run_last */
  GArray *after;   /* Task; see rpc_loop_run_after */
  gboolean stop;   /* set by a task on the loop itself */

  GMutex lock;
  GArray *inbox;   /* Task; under lock */
  gboolean asleep; /* whoever posts must wake it; under lock */

  /* Odd while the thread that runs the loop waits. Whoever makes it even again runs the loop from
   * then on: that thread, or the one that stands by. */
  _Atomic guint64 waits;
  _Atomic guint64 round;   /* of tasks that may wait; for patience all waits of one are one */
  atomic_bool watched;     /* the one that stands by looks at `waits` now and then */
  atomic_bool standing_by; /* it is there */
  GMutex seat_lock;
  GCond seat_cond; /* the one that stands by waits here */
  gboolean ended;  /* under seat_lock */
};

/* The loop that the thread runs, or NULL. */
static __thread RpcLoop *current_loop;
static __thread gboolean may_wait;   /* what rpc_loop_run_last was given runs */
static __thread guint64 wait_number; /* between begin_wait and end_wait: what `waits` was made */

/* Posts of the thread that wait for rpc_loops_release. */
typedef struct HeldPost {
  RpcLoop *loop;
  Task task;
} HeldPost;

static __thread gboolean holding;
static __thread guint held_count;
static __thread HeldPost held_posts[256];

typedef struct Job {
  struct Job *next;
  Task task; /* without a function it ends the worker that takes it */
} Job;

struct RpcLoops {
  RpcLoop *loops;
  guint loop_count;
  GThread **workers;
  guint worker_count;

  GMutex lock;
  GCond cond; /* jobs came */
  Job *first; /* under lock */
  Job **end;  /* where the next is hung on; under lock */
};

/* Edge-triggered: each write wakes the loop, and nobody reads the counter. */
static void on_wake(evutil_socket_t fd, short what, void *data)
{
  (void)fd;
  (void)what;
  (void)data;
}

static void run_inbox(RpcLoop *loop)
{
  g_mutex_lock(&loop->lock);
  GArray *tasks = loop->inbox;
  loop->inbox = loop->running;
  loop->running = tasks;
  loop->asleep = FALSE;
  g_mutex_unlock(&loop->lock);
  for (guint i = 0; i < tasks->len; i++) {
    Task *task = &g_array_index(tasks, Task, i);
    task->func(task->data);
  }
  g_array_set_size(tasks, 0);
}

/* Whether nothing was posted since the inbox was emptied; from then on a post wakes the loop. */
static gboolean go_to_sleep(RpcLoop *loop)
{
  g_mutex_lock(&loop->lock);
  gboolean asleep = loop->inbox->len == 0;
  loop->asleep = asleep;
  g_mutex_unlock(&loop->lock);
  return asleep;
}

static void run_hooks(RpcLoop *loop)
{
  for (guint i = 0; i < loop->hooks->len; i++) {
    Task *hook = &g_array_index(loop->hooks, Task, i);
    hook->func(hook->data);
  }
}

static void run_after(RpcLoop *loop)
{
  for (guint i = 0; i < loop->after->len; i++) {
    Task task = g_array_index(loop->after, Task, i);
    task.func(task.data);
  }
  g_array_set_size(loop->after, 0);
}

/* FALSE when the loop was lost. */
static gboolean run_last(RpcLoop *loop)
{
  atomic_fetch_add(&loop->round, 1);
  for (guint count = loop->last->len; count > 0; count--) {
    Task task = g_array_index(loop->last, Task, 0);
    g_array_remove_index(loop->last, 0);
    may_wait = TRUE;
    task.func(task.data);
    may_wait = FALSE;
    if (current_loop != loop)
      return FALSE;
  }
  return TRUE;
}

/* Runs the loop until it is stopped; FALSE when another thread does so now. */
static gboolean run(RpcLoop *loop)
{
  current_loop = loop;
  while (!loop->stop) {
    gboolean sleep = loop->last->len + loop->after->len == 0 && go_to_sleep(loop);
    event_base_loop(loop->base, sleep ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    run_inbox(loop);
    run_hooks(loop);
    if (loop->last->len > 0) {
      if (!run_last(loop))
        return FALSE;
      run_inbox(loop);
      run_hooks(loop);
    }
    run_after(loop);
  }
  current_loop = NULL;
  return TRUE;
}

/*
 * Waits until the thread that runs the loop has waited for too long, or is at it for too long with
 * many waits; the caller runs it then. FALSE
 * when the loop has ended. While nobody waits at all this sleeps.
 */
static gboolean stand_by(RpcLoop *loop)
{
  gboolean taken = FALSE;
  guint64 seen = 0, seen_round = 0;
  g_mutex_lock(&loop->seat_lock);
  atomic_store(&loop->standing_by, TRUE);
  while (!loop->ended && !taken) {
    guint64 waits = atomic_load(&loop->waits);
    guint64 round = atomic_load(&loop->round);
    if (waits % 2 == 1 && round == seen_round) {
      taken = atomic_compare_exchange_strong(&loop->waits, &waits, waits + 1);
      continue;
    }
    if (waits == seen) {
      /* Whoever waits from here on finds that nobody watches, or is found by the next look. */
      atomic_store(&loop->watched, FALSE);
      if (atomic_load(&loop->waits) == waits)
        g_cond_wait(&loop->seat_cond, &loop->seat_lock);
      atomic_store(&loop->watched, TRUE);
    }
    seen = atomic_load(&loop->waits);
    seen_round = atomic_load(&loop->round);
    gint64 until_us = g_get_monotonic_time() + PATIENCE_US;
    while (!loop->ended && g_cond_wait_until(&loop->seat_cond, &loop->seat_lock, until_us))
      ;
  }
  if (taken)
    atomic_store(&loop->standing_by, FALSE);
  g_mutex_unlock(&loop->seat_lock);
  return taken;
}

static void end_seats(RpcLoop *loop)
{
  g_mutex_lock(&loop->seat_lock);
  loop->ended = TRUE;
  g_cond_signal(&loop->seat_cond);
  g_mutex_unlock(&loop->seat_lock);
}

/* The two threads of a loop. Whoever loses it stands by once it has done what it was at. */
static gpointer first_main(gpointer data)
{
  RpcLoop *loop = data;
  do {
    if (run(loop)) {
      end_seats(loop);
      return NULL;
    }
  } while (stand_by(loop));
  return NULL;
}

static gpointer second_main(gpointer data)
{
  RpcLoop *loop = data;
  return stand_by(loop) ? first_main(loop) : NULL;
}

static void loop_start(RpcLoop *loop, guint number)
{
  struct event_config *config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  loop->base = event_base_new_with_config(config);
  event_config_free(config);
  loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (loop->base == NULL || loop->wake_fd < 0)
    g_error("cannot make a network loop: %s", g_strerror(errno));
  loop->wake_event =
      event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, NULL);
  event_add(loop->wake_event, NULL);
  g_mutex_init(&loop->lock);
  loop->inbox = g_array_new(FALSE, FALSE, sizeof(Task));
  loop->running = g_array_new(FALSE, FALSE, sizeof(Task));
  loop->hooks = g_array_new(FALSE, FALSE, sizeof(Task));
  loop->last = g_array_new(FALSE, FALSE, sizeof(Task));
  loop->after = g_array_new(FALSE, FALSE, sizeof(Task));
  g_mutex_init(&loop->seat_lock);
  g_cond_init(&loop->seat_cond);
  g_autofree char *name = g_strdup_printf("net-%u", number);
  g_autofree char *second = g_strdup_printf("net-%u-b", number);
  loop->threads[0] = g_thread_new(name, first_main, loop);
  loop->threads[1] = g_thread_new(second, second_main, loop);
}

static void stop_task(gpointer data)
{
  RpcLoop *loop = data;
  loop->stop = TRUE;
}

static void loop_finish(RpcLoop *loop)
{
  rpc_loop_post(loop, stop_task, loop);
  for (guint i = 0; i < G_N_ELEMENTS(loop->threads); i++)
    g_thread_join(loop->threads[i]);
  g_assert(loop->hooks->len == 0 && loop->inbox->len == 0 && loop->last->len == 0);
  event_free(loop->wake_event);
  event_base_free(loop->base);
  close(loop->wake_fd);
  g_array_unref(loop->inbox);
  g_array_unref(loop->running);
  g_array_unref(loop->hooks);
  g_array_unref(loop->last);
  g_array_unref(loop->after);
  g_mutex_clear(&loop->lock);
  g_mutex_clear(&loop->seat_lock);
  g_cond_clear(&loop->seat_cond);
}

static Job *next_job(RpcLoops *loops)
{
  g_mutex_lock(&loops->lock);
  while (loops->first == NULL)
    g_cond_wait(&loops->cond, &loops->lock);
  Job *job = loops->first;
  loops->first = job->next;
  if (loops->first == NULL)
    loops->end = &loops->first;
  g_mutex_unlock(&loops->lock);
  return job;
}

static gpointer worker_main(gpointer data)
{
  RpcLoops *loops = data;
  for (;;) {
    g_autofree Job *job = next_job(loops);
    if (job->task.func == NULL)
      return NULL;
    job->task.func(job->task.data);
  }
}

RpcLoops *rpc_loops_new(guint loop_count, guint worker_count)
{
  g_assert(loop_count > 0 && worker_count > 0);
  flat_register_types();
  RpcLoops *loops = g_new0(RpcLoops, 1);
  g_mutex_init(&loops->lock);
  g_cond_init(&loops->cond);
  loops->end = &loops->first;
  loops->worker_count = worker_count;
  loops->workers = g_new0(GThread *, worker_count);
  for (guint i = 0; i < worker_count; i++) {
    g_autofree char *name = g_strdup_printf("work-%u", i);
    loops->workers[i] = g_thread_new(name, worker_main, loops);
  }
  loops->loop_count = loop_count;
  loops->loops = g_new0(RpcLoop, loop_count);
  for (guint i = 0; i < loop_count; i++)
    loop_start(&loops->loops[i], i);
  return loops;
}

void rpc_loops_free(RpcLoops *loops)
{
  /* Workers first: what they still have to do may post to the loops. */
  for (guint i = 0; i < loops->worker_count; i++)
    rpc_loops_work(loops, NULL, NULL);
  for (guint i = 0; i < loops->worker_count; i++)
    g_thread_join(loops->workers[i]);
  for (guint i = 0; i < loops->loop_count; i++)
    loop_finish(&loops->loops[i]);
  g_cond_clear(&loops->cond);
  g_mutex_clear(&loops->lock);
  g_free(loops->workers);
  g_free(loops->loops);
  g_free(loops);
}

guint rpc_loops_count(RpcLoops *loops)
{
  return loops->loop_count;
}

RpcLoop *rpc_loops_get(RpcLoops *loops, guint i)
{
  g_assert(i < loops->loop_count);
  return &loops->loops[i];
}

static void wake(RpcLoop *loop)
{
  guint64 one = 1;
  while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    ;
}

/* Posts several tasks of one loop. */
static void post(RpcLoop *loop, const HeldPost *posts, guint count)
{
  g_mutex_lock(&loop->lock);
  for (guint i = 0; i < count; i++)
    g_array_append_val(loop->inbox, posts[i].task);
  /* What the loop posts to itself it finds before it sleeps. */
  gboolean was_asleep = loop->asleep && loop != current_loop;
  if (was_asleep)
    loop->asleep = FALSE;
  g_mutex_unlock(&loop->lock);
  if (was_asleep)
    wake(loop);
}

static void post_held(void)
{
  for (guint begin = 0, end; begin < held_count; begin = end) {
    end = begin + 1;
    while (end < held_count && held_posts[end].loop == held_posts[begin].loop)
      end++;
    post(held_posts[begin].loop, held_posts + begin, end - begin);
  }
  held_count = 0;
}

void rpc_loop_post(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  HeldPost held = {loop, {func, data}};
  if (!holding) {
    post(loop, &held, 1);
    return;
  }
  if (held_count == G_N_ELEMENTS(held_posts))
    post_held();
  held_posts[held_count++] = held;
}

void rpc_loops_hold(void)
{
  g_assert(!holding);
  holding = TRUE;
}

void rpc_loops_release(void)
{
  g_assert(holding);
  post_held();
  holding = FALSE;
}

gboolean rpc_loop_run_last(void (*func)(gpointer data), gpointer data)
{
  RpcLoop *loop = current_loop;
  if (loop == NULL || !atomic_load(&loop->standing_by))
    return FALSE;
  Task task = {func, data};
  g_array_append_val(loop->last, task);
  return TRUE;
}

gboolean rpc_loop_run_after(void (*func)(gpointer data), gpointer data)
{
  if (current_loop == NULL)
    return FALSE;
  Task task = {func, data};
  g_array_append_val(current_loop->after, task);
  return TRUE;
}

gboolean rpc_loop_can_wait(void)
{
  return may_wait && current_loop != NULL && atomic_load(&current_loop->standing_by);
}

void rpc_loop_begin_wait(void)
{
  RpcLoop *loop = current_loop;
  if (loop == NULL)
    return;
  g_assert(may_wait && !holding);
  wait_number = atomic_fetch_add(&loop->waits, 1) + 1;
  if (atomic_load(&loop->watched))
    return;
  g_mutex_lock(&loop->seat_lock);
  g_cond_signal(&loop->seat_cond);
  g_mutex_unlock(&loop->seat_lock);
}

void rpc_loop_end_wait(void)
{
  RpcLoop *loop = current_loop;
  if (loop == NULL)
    return;
  guint64 number = wait_number;
  if (!atomic_compare_exchange_strong(&loop->waits, &number, number + 1))
    current_loop = NULL;
}

void rpc_loops_work(RpcLoops *loops, void (*func)(gpointer data), gpointer data)
{
  Job *job = g_new(Job, 1);
  *job = (Job){NULL, {func, data}};
  g_mutex_lock(&loops->lock);
  *loops->end = job;
  loops->end = &job->next;
  g_cond_signal(&loops->cond);
  g_mutex_unlock(&loops->lock);
}

struct event_base *rpc_loop_base(RpcLoop *loop)
{
  return loop->base;
}

gboolean rpc_loop_is_current(RpcLoop *loop)
{
  return loop == current_loop;
}

void rpc_loop_add_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  Task hook = {func, data};
  g_array_append_val(loop->hooks, hook);
}

void rpc_loop_add_first_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  Task hook = {func, data};
  g_array_prepend_val(loop->hooks, hook);
}

void rpc_loop_remove_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  for (guint i = 0; i < loop->hooks->len; i++) {
    Task *hook = &g_array_index(loop->hooks, Task, i);
    if (hook->func == func && hook->data == data) {
      g_array_remove_index(loop->hooks, i);
      return;
    }
  }
  g_assert_not_reached();
}

typedef struct Call {
  void (*func)(gpointer data);
  gpointer data;
  GMutex lock;
  GCond cond;
  gboolean done;
} Call;

static void run_call(gpointer data)
{
  Call *call = data;
  call->func(call->data);
  g_mutex_lock(&call->lock);
  call->done = TRUE;
  g_cond_signal(&call->cond);
  g_mutex_unlock(&call->lock);
}

void rpc_loop_call(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  g_assert(!rpc_loop_is_current(loop) && !holding);
  Call call = {.func = func, .data = data};
  g_mutex_init(&call.lock);
  g_cond_init(&call.cond);
  rpc_loop_post(loop, run_call, &call);
  g_mutex_lock(&call.lock);
  while (!call.done)
    g_cond_wait(&call.cond, &call.lock);
  g_mutex_unlock(&call.lock);
  g_cond_clear(&call.cond);
  g_mutex_clear(&call.lock);
}
