/*
 * What connections and channels need of their loop. Everything here is for the loop's own thread,
 * unless it says otherwise.
 */
#pragma once

#include "rpc/loops.h"

#include <event2/event.h>

/* The loop's event base. It has no locks: only the loop's thread may touch it and its events. */
struct event_base *rpc_loop_base(RpcLoop *loop);

/* Whether the caller runs on the loop's thread. Any thread. */
gboolean rpc_loop_is_current(RpcLoop *loop);

/*
 * A hook is called at the end of each iteration of the loop in which something was handled: once,
 * before the loop sleeps. Hooks are called in the order in which they were added. A hook may not
 * add or remove hooks.
 */
void rpc_loop_add_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data);
/* … before all that are there. */
void rpc_loop_add_first_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data);
void rpc_loop_remove_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data);

/* Runs func(data) on the loop's thread and returns when it has run. Not on that thread. */
void rpc_loop_call(RpcLoop *loop, void (*func)(gpointer data), gpointer data);
