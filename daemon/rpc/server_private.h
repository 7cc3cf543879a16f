/*
 * What the parts of the server share: server.c (life, accepting), call.c (a request from being cut
 * to being answered), dispatch.c (methods). Outside of rpc/ use rpc/server.h.
 */
#pragma once

#include "rpc/conn.h"
#include "rpc/server.h"

#include <event2/event.h>
#include <glib-object.h>
#include <stdatomic.h>

/* A server's part on one loop; for the loop's thread only. */
typedef struct ServerLoop {
  RpcServer *server;
  RpcLoop *loop;
  ConnSet *set;
  gboolean hot; /* a write or syncLog was handed over since the last batch_end */
} ServerLoop;

struct RpcServer {
  RpcLoops *loops;
  RpcServices services;
  ConnRules rules;
  guint max_connections;
  RpcHandlers handlers;
  gpointer ctx;
  FrameBudget *budget;
  ServerLoop *parts;
  guint part_count;
  guint reserved; /* of max_connections, kept for operators; the first loop has them all */
  atomic_uint connections;
  atomic_uint operators; /* connections on reserved places */
  atomic_uint calls;     /* not answered yet */
  atomic_bool waiting;   /* for calls to become 0 */
  GMutex lock;
  GCond answered; /* with lock: calls has become 0 */
  guint16 port;
  atomic_ullong
      errors[SYNCLOG_STATUS_LAST + 1]; /* answers by their status; not of OK and PENDING */

  /* Of the first loop. */
  GArray *sockets;            /* int */
  GPtrArray *accept_events;   /* struct event* */
  struct event *accept_again; /* runs while accepting is paused */
  guint next_part;
};

struct RpcCall {
  RpcServer *server;
  RpcLoop *loop;
  RpcConn *conn;
  guint64 number; /* of the request on its connection */
  gint32 seqid;
  gboolean oneway;
  guint flags;                 /* ConnAnswerFlags */
  Frame frame;                 /* without a chunk once it was decoded and is not needed any more */
  gsize args_at;               /* offset of the arguments in the frame */
  const struct Method *method; /* NULL for the hot ones */
  guint32 group;               /* of a handshake or heartbeat, for the reply */
  gpointer args;               /* what the decoded arguments own */
  GDestroyNotify free_args;
  RpcReply *reply;          /* on its way to the loop */
  _Atomic guint64 *charged; /* see rpc_call_charge; NULL: nothing is */
  gsize charge;
  gboolean accepted;     /* a write was, with `token`: the loop makes the reply */
  gint32 retry_after_ms; /* what an error says of it; 0: what its code says */
  Token token;
  guint64 room[RPC_CALL_ROOM / sizeof(guint64)]; /* see rpc_call_room */
};

/* A request of the connection; takes the frame. */
RpcCall *call_new(ServerLoop *part, RpcConn *conn, guint64 number, Frame *frame);

/* Ends the call: takes the reply, NULL for none. Any thread. */
void call_finish(RpcCall *call, RpcReply *reply);

/* Ends the call by an exception of Thrift; with PROTOCOL_ERROR also the connection. Any thread. */
void call_finish_exception(RpcCall *call, const char *name, gsize name_size, int type,
                           const char *message);

/* Counts an answer by its status. Any thread. */
static inline void call_count_status(RpcCall *call, SynclogStatus status)
{
  if (G_UNLIKELY((int)status > SYNCLOG_PENDING && (int)status <= SYNCLOG_STATUS_LAST))
    atomic_fetch_add_explicit(&call->server->errors[status], 1, memory_order_relaxed);
}

/* Takes one request apart and hands it over. */
void dispatch_frame(ServerLoop *part, RpcConn *conn, guint64 number, Frame *frame);

/* dispatch.c, for the methods that stand elsewhere. dispatch_decode: FALSE when the call was
 * answered with what is wrong with its arguments. dispatch_finish takes the object. */
gboolean dispatch_decode(RpcCall *call, GType type, gpointer *out_req);
void dispatch_finish(RpcCall *call, gpointer object);

/* dispatch_peer.c */
void dispatch_pause(RpcCall *call);

/* dispatch_groups.c */
void dispatch_groups(RpcCall *call);
void dispatch_delete_group(RpcCall *call);

/* dispatch_snapshot.c */
void dispatch_snapshot(RpcCall *call);
void dispatch_fragment(RpcCall *call);
void dispatch_snapshot_end(RpcCall *call);
void dispatch_reseed(RpcCall *call);

/* dispatch_repair.c */
void dispatch_skip(RpcCall *call);
void dispatch_repair(RpcCall *call);
void dispatch_bucket(RpcCall *call);
