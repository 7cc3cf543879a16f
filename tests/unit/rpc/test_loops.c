/* A loop whose thread waits: another one runs it meanwhile. */
#include "rpc/loops_private.h"

typedef struct Rig {
  RpcLoops *loops;
  RpcLoop *loop;
  GMutex lock;
  GCond cond;
  guint waiting;        /* tasks that wait, or did */
  gboolean go_on;       /* they need wait no longer */
  guint done;           /* tasks that waited and are behind it */
  gboolean lost;        /* the last of them lost its loop */
  guint posted;         /* what they posted ran on the loop */
  guint refused;        /* tasks that might not wait */
  guint hooks, written; /* hooks that ran; of them by the time when the last task began */
} Rig;

static void on_hook(gpointer data)
{
  Rig *rig = data;
  rig->hooks++;
}

static void hook(gpointer data)
{
  Rig *rig = data;
  rpc_loop_add_hook(rig->loop, on_hook, rig);
}

static void unhook(gpointer data)
{
  Rig *rig = data;
  rpc_loop_remove_hook(rig->loop, on_hook, rig);
}

static void rig_open(Rig *rig)
{
  *rig = (Rig){.loops = rpc_loops_new(1, 1)};
  rig->loop = rpc_loops_get(rig->loops, 0);
  g_mutex_init(&rig->lock);
  g_cond_init(&rig->cond);
  rpc_loop_call(rig->loop, hook, rig);
}

static void rig_close(Rig *rig)
{
  rpc_loop_call(rig->loop, unhook, rig);
  rpc_loops_free(rig->loops);
  g_mutex_clear(&rig->lock);
  g_cond_clear(&rig->cond);
}

static void tell(Rig *rig, guint *count)
{
  g_mutex_lock(&rig->lock);
  (*count)++;
  g_cond_broadcast(&rig->cond);
  g_mutex_unlock(&rig->lock);
}

static void wait_for(Rig *rig, const guint *count, guint wanted)
{
  g_mutex_lock(&rig->lock);
  while (*count < wanted)
    g_cond_wait(&rig->cond, &rig->lock);
  g_mutex_unlock(&rig->lock);
}

static void set_going(Rig *rig, gboolean go_on)
{
  g_mutex_lock(&rig->lock);
  rig->go_on = go_on;
  g_cond_broadcast(&rig->cond);
  g_mutex_unlock(&rig->lock);
}

static void on_posted(gpointer data)
{
  Rig *rig = data;
  g_assert_true(rpc_loop_is_current(rig->loop));
  tell(rig, &rig->posted);
}

/* Waits until it is told to go on. */
static void wait_last(gpointer data)
{
  Rig *rig = data;
  rig->written = rig->hooks;
  rpc_loop_begin_wait();
  tell(rig, &rig->waiting);
  g_mutex_lock(&rig->lock);
  while (!rig->go_on)
    g_cond_wait(&rig->cond, &rig->lock);
  g_mutex_unlock(&rig->lock);
  rpc_loop_end_wait();
  rig->lost = !rpc_loop_is_current(rig->loop);
  rpc_loop_post(rig->loop, on_posted, rig);
  tell(rig, &rig->done);
}

static void ask(gpointer data)
{
  Rig *rig = data;
  rig->hooks = 0;
  /* Where nobody stands by, a moment later somebody does. */
  if (!rpc_loop_run_last(wait_last, rig))
    rpc_loop_post(rig->loop, ask, rig);
}

static void nothing(gpointer data)
{
  (void)data;
}

static void test_short(void)
{
  Rig rig;
  rig_open(&rig);
  g_assert_false(rpc_loop_run_last(wait_last, &rig)); /* not on a loop */
  rpc_loop_begin_wait();
  rpc_loop_end_wait();
  set_going(&rig, TRUE);
  for (guint i = 1; i <= 100; i++) {
    rpc_loop_post(rig.loop, ask, &rig);
    wait_for(&rig, &rig.posted, i);
    g_assert_cmpuint(rig.written, ==, 1); /* the iteration's hooks ran before */
  }
  rig_close(&rig);
}

static void on_after(gpointer data)
{
  Rig *rig = data;
  rig->written = rig->hooks;
  tell(rig, &rig->posted);
}

static void ask_after(gpointer data)
{
  Rig *rig = data;
  rig->hooks = 0;
  g_assert_true(rpc_loop_run_after(on_after, rig));
}

static void test_after(void)
{
  Rig rig;
  rig_open(&rig);
  g_assert_false(rpc_loop_run_after(on_after, &rig));
  for (guint i = 1; i <= 100; i++) {
    rpc_loop_post(rig.loop, ask_after, &rig);
    wait_for(&rig, &rig.posted, i);
    g_assert_cmpuint(rig.written, ==, 1);
  }
  rig_close(&rig);
}

static void test_long(void)
{
  Rig rig;
  rig_open(&rig);
  for (guint i = 1; i <= 5; i++) {
    set_going(&rig, FALSE);
    rpc_loop_post(rig.loop, ask, &rig);
    wait_for(&rig, &rig.waiting, i);
    rpc_loop_call(rig.loop, nothing, NULL); /* the loop turns although its thread hangs */
    rpc_loop_call(rig.loop, nothing, NULL);
    g_assert_cmpuint(rig.done, ==, i - 1);
    set_going(&rig, TRUE);
    wait_for(&rig, &rig.done, i);
    wait_for(&rig, &rig.posted, i);
    g_assert_true(rig.lost);
  }
  rig_close(&rig);
}

/* Waits so often that it takes too long, each time only for a moment. */
static void wait_often(gpointer data)
{
  Rig *rig = data;
  while (rpc_loop_is_current(rig->loop)) {
    rpc_loop_begin_wait();
    g_usleep(1000);
    rpc_loop_end_wait();
  }
  tell(rig, &rig->done);
}

static void ask_often(gpointer data)
{
  Rig *rig = data;
  while (!rpc_loop_run_last(wait_often, rig))
    g_thread_yield();
}

/* Patience is for all that the tasks of one iteration wait, not for each wait anew. */
static void test_often(void)
{
  Rig rig;
  rig_open(&rig);
  for (guint i = 1; i <= 3; i++) {
    rpc_loop_post(rig.loop, ask_often, &rig);
    wait_for(&rig, &rig.done, i);
    rpc_loop_call(rig.loop, nothing, NULL);
  }
  rig_close(&rig);
}

static void try_last(gpointer data)
{
  Rig *rig = data;
  if (rpc_loop_can_wait())
    wait_last(rig);
  else
    tell(rig, &rig->refused);
}

static void ask_twice(gpointer data)
{
  Rig *rig = data;
  while (!rpc_loop_run_last(try_last, rig))
    g_thread_yield();
  g_assert_true(rpc_loop_run_last(try_last, rig));
}

/* What was to run behind one that hangs runs all the same, and knows that it may not hang, too. */
static void test_behind(void)
{
  Rig rig;
  rig_open(&rig);
  rpc_loop_post(rig.loop, ask_twice, &rig);
  wait_for(&rig, &rig.refused, 1);
  g_assert_cmpuint(rig.waiting, ==, 1);
  g_assert_cmpuint(rig.done, ==, 0);
  set_going(&rig, TRUE);
  wait_for(&rig, &rig.posted, 1);
  rig_close(&rig);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/loops/short", test_short);
  g_test_add_func("/loops/after", test_after);
  g_test_add_func("/loops/long", test_long);
  g_test_add_func("/loops/often", test_often);
  g_test_add_func("/loops/behind", test_behind);
  return g_test_run();
}
