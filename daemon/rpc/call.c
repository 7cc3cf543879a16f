#include "rpc/hot_codec.h"
#include "rpc/loops_private.h"
#include "rpc/server_private.h"

RpcCall *call_new(ServerLoop *part, RpcConn *conn, guint64 number, Frame *frame)
{
  RpcCall *call = g_new0(RpcCall, 1);
  call->server = part->server;
  call->loop = part->loop;
  call->conn = conn_ref(conn);
  call->number = number;
  call->frame = *frame;
  *frame = (Frame){NULL, 0, NULL};
  atomic_fetch_add(&part->server->calls, 1);
  return call;
}

/* On the loop. */
static void deliver(gpointer data)
{
  RpcCall *call = data;
  RpcServer *server = call->server;
  frame_release(&call->frame);
  if (call->accepted && !call->oneway)
    call->reply = hot_write_reply(call->seqid, SYNCLOG_OK, NULL, 0, &call->token);
  conn_answer(call->conn, call->number, call->reply, call->flags);
  conn_unref(call->conn);
  g_free(call);
  /* Who waits has set `waiting` before it looked at `calls`; it frees the server only when this
   * loop has left here. Without a waiter a broadcast would still be a system call. */
  if (atomic_fetch_sub(&server->calls, 1) > 1 || !atomic_load(&server->waiting))
    return;
  g_mutex_lock(&server->lock);
  g_cond_broadcast(&server->answered);
  g_mutex_unlock(&server->lock);
}

void call_finish(RpcCall *call, RpcReply *reply)
{
  if (call->free_args != NULL)
    call->free_args(call->args);
  if (call->oneway)
    g_clear_pointer(&reply, g_free);
  call->reply = reply;
  if (rpc_loop_is_current(call->loop))
    deliver(call);
  else
    rpc_loop_post(call->loop, deliver, call);
}

void call_finish_exception(RpcCall *call, const char *name, gsize name_size, int type,
                           const char *message)
{
  RpcReply *reply = hot_exception_reply(name, name_size, call->seqid, type, message);
  if (type == EXCEPTION_PROTOCOL_ERROR) {
    conn_note_closing(call->conn, message);
    call->flags |= CONN_CLOSE;
  }
  call_finish(call, reply);
}

RpcLoop *rpc_call_loop(RpcCall *call)
{
  return call->loop;
}

const char *rpc_call_peer_address(RpcCall *call)
{
  return conn_address(call->conn);
}

void rpc_call_set_peer(RpcCall *call, guint32 node_id, guint64 receiver)
{
  conn_set_peer(call->conn, node_id, receiver);
}

guint32 rpc_call_peer(RpcCall *call, guint64 receiver)
{
  return conn_peer(call->conn, receiver);
}

gpointer rpc_call_room(RpcCall *call)
{
  return call->room;
}

gpointer rpc_call_ref_frame(RpcCall *call)
{
  g_assert(call->frame.chunk != NULL);
  return frame_chunk_ref(call->frame.chunk);
}

void rpc_frame_unref(gpointer frame)
{
  frame_chunk_unref(frame);
}

void rpc_call_charge(RpcCall *call, _Atomic guint64 *counter, gsize size)
{
  atomic_fetch_add_explicit(counter, size, memory_order_relaxed);
  call->charged = counter;
  call->charge = size;
}

static void discharge(RpcCall *call)
{
  if (call->charged != NULL)
    atomic_fetch_sub_explicit(call->charged, call->charge, memory_order_relaxed);
}

void rpc_call_hint_retry(RpcCall *call, gint32 retry_after_ms)
{
  call->retry_after_ms = retry_after_ms;
}

void rpc_call_reply_write(RpcCall *call, SynclogStatus status, const char *message,
                          const Token *token)
{
  call_count_status(call, status);
  discharge(call);
  if (status != SYNCLOG_OK || token == NULL) {
    call_finish(call, hot_write_reply(call->seqid, status, message, call->retry_after_ms, token));
    return;
  }
  call->accepted = TRUE;
  call->token = *token;
  call_finish(call, NULL);
}

void rpc_call_reply_sync(RpcCall *call, const SyncReply *reply)
{
  discharge(call);
  call_finish(call, hot_sync_reply(call->seqid, reply));
}
