/*
 * Connections of one server on one loop: reading and cutting frames, the order of replies, writing,
 * back-pressure and time limits. It knows nothing of methods. All functions run on the loop's
 * thread.
 *
 * A connection that stays behind is bounded: with max_requests_in_flight unanswered requests, or
 * CONN_MAX_HEAVY heavy ones, or more than CONN_MAX_OUTPUT bytes of replies, it is not read. Replies
 * to be written are counted in the budget like requests; over the limit nothing is read at all.
 * Should the limit be reached without anything in flight whose end would help, the connection that
 * holds the most is closed.
 *
 * A reserved connection is one of those that are kept for operators: it may be idle for a short
 * time only, and as long as it has asked nothing it gives way to a newer one.
 */
#pragma once

#include "rpc/frame.h"
#include "rpc/loops.h"
#include "rpc/reply.h"

enum {
  CONN_MAX_OUTPUT = 4 * 1024 * 1024, /* bytes of replies, beyond which no request is read */
  CONN_MAX_HEAVY = 1,                /* unanswered requests with replies that may be large */
  CONN_MAX_READ = 256 * 1024,        /* bytes read from one connection before others have a turn */
  CONN_RESERVED_IDLE_MS = 5000,      /* of a reserved connection */
  CONN_LINGER_MS = 1000,             /* to take the last reply before the connection is closed */
};

typedef struct RpcConn RpcConn;
typedef struct ConnSet ConnSet;

typedef struct ConnRules {
  gboolean ordered; /* replies go out in the order of the requests */
  guint max_requests_in_flight;
  gsize max_frame_size;
  guint64 max_memory_in_flight;
  gint64 idle_timeout_ms;   /* nothing asked and nothing to answer; 0: none */
  gint64 header_timeout_ms; /* to complete a frame, to take a part of a reply; 0: none */
} ConnRules;

typedef struct ConnSetCallbacks {
  /* A request; the callee takes the frame, and answers once by conn_answer, now or later. */
  void (*on_frame)(gpointer ctx, RpcConn *conn, guint64 number, Frame *frame);
  void (*on_closed)(gpointer ctx, gboolean reserved);
  /* Whether requests are in flight anywhere in the server whose answers may make room. They do not
   * where frames that have not come wholly fill the memory by themselves: nobody reads on in them.
   */
  gboolean (*is_busy)(gpointer ctx);
} ConnSetCallbacks;

/* `rules` and `callbacks` are borrowed. */
ConnSet *conn_set_new(RpcLoop *loop, const ConnRules *rules, FrameBudget *budget,
                      const ConnSetCallbacks *callbacks, gpointer ctx);

/* Closes all connections. */
void conn_set_free(ConnSet *set);

/* Takes over a connected socket. */
void conn_set_adopt(ConnSet *set, int fd, const char *address, gboolean reserved);

/* Closes the reserved connection that has been silent longest, if one has been for a moment and has
 * asked nothing yet. */
gboolean conn_set_evict(ConnSet *set);
gboolean conn_is_reserved(const RpcConn *conn);

/* Writes what was answered and goes on with connections that can be read again. To be called at the
 * end of each iteration of the loop, until it returns FALSE: TRUE means that requests were cut. */
gboolean conn_set_flush(ConnSet *set);
/* Writes now what conn_set_flush would write, if these are not more than `limit` connections. */
void conn_set_flush_few(ConnSet *set, guint limit);

/* Whether some connection is not read because of max_memory_in_flight. Any thread. */
gboolean conn_set_is_starved(ConnSet *set);

/* Reads again, if there is memory. */
void conn_set_feed(ConnSet *set);

/* Cuts no more requests; connections are closed when all they asked is answered and written. */
void conn_set_drain(ConnSet *set);

typedef enum {
  CONN_CLOSE = 1, /* close once all is answered and written; read no more */
  CONN_HEAVY = 2, /* the request was announced by conn_add_heavy */
} ConnAnswerFlags;

/*
 * Answers the request of that number; NULL: without output. Takes the reply. To a connection that
 * is closed already the reply is dropped.
 */
void conn_answer(RpcConn *conn, guint64 number, RpcReply *reply, guint flags);

/* The request just given to on_frame may have a large reply. */
void conn_add_heavy(RpcConn *conn);

/* The peer that has introduced itself on this connection, to the receiver of that serial; 0: none.
 */
void conn_set_peer(RpcConn *conn, guint32 node_id, guint64 receiver);
guint32 conn_peer(const RpcConn *conn, guint64 receiver);

/* "host:port" of the other side. Any thread, while a reference is held. */
const char *conn_address(const RpcConn *conn);

/* Tells the log why the connection is closed. Anybody can cause such lines: a few a second are
 * written, of the others the number. */
void conn_note_closing(const RpcConn *conn, const char *why);

RpcConn *conn_ref(RpcConn *conn);
void conn_unref(RpcConn *conn);
