/*
 * The network threads (a libevent loop each) and the worker threads.
 *
 * A connection belongs to one loop for its life and only that loop touches it. Others hand work to
 * a loop by posting; a loop is woken once for all that was posted while it slept. Workers run jobs
 * that compute or block: decoding large requests, reads, status. Jobs of workers are bounded by the
 * requests that are in flight (rpc/server.h).
 */
#pragma once

#include <glib.h>

typedef struct RpcLoops RpcLoops;
typedef struct RpcLoop RpcLoop;

/* Starts `loop_count` network threads and `worker_count` workers (each ≥ 1). Registers the types of
 * the generated code before any thread runs. */
RpcLoops *rpc_loops_new(guint loop_count, guint worker_count);

/* Stops and joins all threads. Every server and channel must have been freed before. */
void rpc_loops_free(RpcLoops *loops);

guint rpc_loops_count(RpcLoops *loops);
RpcLoop *rpc_loops_get(RpcLoops *loops, guint i);

/* Runs func(data) on the loop's thread, in the order of the posts of one thread. Any thread. */
void rpc_loop_post(RpcLoop *loop, void (*func)(gpointer data), gpointer data);

/*
 * Between these two the posts of the calling thread are kept back, at most some hundreds, and then
 * handed over together, in their order: a loop is woken once for all of them. Not nested, and only
 * for as long as one computes. Any thread.
 */
void rpc_loops_hold(void);
void rpc_loops_release(void);

/*
 * A thread that runs a loop may wait for a short time, for a disk say, where that costs less than a
 * hand-over to a thread that waits. Each loop has a second thread that stands by: when what waits
 * in an iteration takes more than 50 to 100 ms in all, the second runs the loop from the wait that
 * goes on then, and the first stands by once it is done. So connections are served whatever the
 * disk does.
 *
 * run_last: on a thread that runs a loop, func(data) runs as the last of this iteration, when all
 * that is to be written is written; afterwards what it posted runs, and is written. FALSE on other
 * threads, and where nobody stands by.
 * can_wait: whether in there somebody still stands by: one that ran before may have used him up.
 * begin_wait, end_wait: around what waits, in there. In between only what any thread may do; nor
 * does the loop belong to the thread any more if it took too long: what it posts goes to the loop
 * all the same. On other threads they do nothing.
 */
gboolean rpc_loop_run_last(void (*func)(gpointer data), gpointer data);
gboolean rpc_loop_can_wait(void);
void rpc_loop_begin_wait(void);
void rpc_loop_end_wait(void);

/* On a thread that runs a loop: runs func(data), which may not wait, at the very end of this
 * iteration, behind all that is to be written. FALSE on other threads. */
gboolean rpc_loop_run_after(void (*func)(gpointer data), gpointer data);

/* Runs func(data) on a worker. Any thread. */
void rpc_loops_work(RpcLoops *loops, void (*func)(gpointer data), gpointer data);
