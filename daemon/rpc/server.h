/*
 * The server side: framed Thrift over libevent.
 *
 * It cuts frames, checks everything that RPC safety asks for before a byte is believed, decodes
 * the request into plain values, and calls the handler of the method. The handler answers by
 * exactly one rpc_call_reply_… on any thread, now or later; that ends the RpcCall. The two hot
 * methods, write and syncLog, are parsed by hand in place, without copies and without GObjects; the
 * others by generated code.
 *
 * Order: on client connections replies go out in the order of the requests, whatever the order in
 * which they are given; on peer connections as they are given, matched by sequence id.
 *
 * Back-pressure: a connection with max_requests_in_flight unanswered requests, or with an output of
 * more than a few MiB unread by the other side, is not read. When the requests of all connections
 * together hold more than max_memory_in_flight bytes, reading stops until it is less. Nothing is
 * allocated on the word of an unchecked size. A malformed frame gets a Thrift exception where one
 * can be addressed and costs its connection.
 */
#pragma once

#include "base/bucket.h"
#include "base/run.h"
#include "base/table.h"
#include "core/messages.h"
#include "core/snapshot_messages.h"
#include "rpc/loops.h"

typedef struct RpcServer RpcServer;
typedef struct RpcCall RpcCall;

typedef struct WriteRequest {
  guint32 group;      /* or GROUP_BY_RULE */
  const guint8 *data; /* an encoded TWrite, not yet looked into; valid until the call is answered */
  gsize size;
  AckLevel ack;
  gint timeout_ms; /* -1: not given */
} WriteRequest;

typedef struct SyncLogRequest {
  guint32 group;
  LogId log;
  guint64 first_index, last_index;
  gboolean sync_now, from_wal;
  guint64 chain_before; /* 0: not told */
  const guint8 *bytes;  /* the records, back to back; not yet verified; see rpc_call_ref_frame */
  gsize size;
  guint count; /* of list elements announced */
} SyncLogRequest;

/* What a read waits for. */
typedef struct ReadOptions {
  guint32 group;   /* or GROUP_BY_RULE, where a device is read */
  GArray *tokens;  /* Token, may be NULL */
  gint timeout_ms; /* -1: not given */
} ReadOptions;

/*
 * The handlers. Those marked N run on the connection's network thread and must not block; those
 * marked W run on a worker. Arguments are borrowed for the call unless said otherwise; the Query
 * and so on with all strings stay valid until the RpcCall is answered. A handler may be called by
 * several threads at once. Limits, times and page sizes come as the client gave them (0 or -1: not
 * given).
 */
typedef struct RpcHandlers {
  void (*write)(gpointer ctx, RpcCall *call, const WriteRequest *request);      /* N */
  void (*sync_log)(gpointer ctx, RpcCall *call, const SyncLogRequest *request); /* N */
  void (*handshake)(gpointer ctx, RpcCall *call, const Handshake *handshake);   /* N */
  void (*heartbeat)(gpointer ctx, RpcCall *call, const Heartbeat *heartbeat);   /* N */
  void (*query)(gpointer ctx, RpcCall *call, const ReadOptions *options,
                const Query *query); /* W */
  void (*last)(gpointer ctx, RpcCall *call, const ReadOptions *options, const char *device,
               const char *const *measurements); /* W */
  void (*aggregate)(gpointer ctx, RpcCall *call, const ReadOptions *options,
                    const AggregateQuery *query); /* W */
  void (*series)(gpointer ctx, RpcCall *call, guint32 group, const char *prefix, const char *after,
                 guint limit, gboolean partial);                                    /* W */
  void (*tail)(gpointer ctx, RpcCall *call, guint32 group, const TailQuery *query); /* W */
  void (*info)(gpointer ctx, RpcCall *call);                                        /* N */
  void (*status)(gpointer ctx, RpcCall *call, guint32 group);                       /* W */
  void (*digest)(gpointer ctx, RpcCall *call, const ReadOptions *options);          /* W */
  void (*digest_parts)(gpointer ctx, RpcCall *call, guint32 group,
                       const DigestQuery *query);                                            /* W */
  void (*conflicts)(gpointer ctx, RpcCall *call, guint32 group, const ConflictQuery *query); /* W */
  void (*config)(gpointer ctx, RpcCall *call);                                               /* W */
  void (*forget)(gpointer ctx, RpcCall *call, guint32 group, guint32 node);                  /* W */
  void (*skip)(gpointer ctx, RpcCall *call, guint32 group, const Token *entry);              /* W */
  void (*repair)(gpointer ctx, RpcCall *call, guint32 group, const RepairQuery *query);      /* W */
  void (*bucket)(gpointer ctx, RpcCall *call, const BucketAsker *asker,
                 const BucketQuery *query); /* W */
  /* address: not checked, of at most LIMIT_ADDRESS_SIZE bytes; borrowed for the call only. */
  void (*add_member)(gpointer ctx, RpcCall *call, guint32 group, guint32 node,
                     const char *address);                                                  /* W */
  void (*remove_member)(gpointer ctx, RpcCall *call, guint32 group, guint32 node);          /* W */
  void (*snapshot)(gpointer ctx, RpcCall *call, const SnapshotRequest *request);            /* W */
  void (*fragment)(gpointer ctx, RpcCall *call, const FragmentRequest *request);            /* W */
  void (*snapshot_end)(gpointer ctx, RpcCall *call, guint32 group, guint64 id);             /* W */
  void (*reseed)(gpointer ctx, RpcCall *call, const ReseedRequest *request);                /* W */
  void (*pause)(gpointer ctx, RpcCall *call, guint32 group, guint32 node, gboolean paused); /* W */
  void (*groups)(gpointer ctx, RpcCall *call);                                              /* W */
  void (*delete_group)(gpointer ctx, RpcCall *call, guint32 group);                         /* W */
  /* N: the loop has handed over all requests that it had read; before it sleeps. May be NULL. */
  void (*batch_end)(gpointer ctx, RpcLoop *loop);
} RpcHandlers;

typedef enum {
  RPC_CLIENT_SERVICES, /* TClientService and TAdminService */
  RPC_PEER_SERVICE,    /* TPeerService */
} RpcServices;

typedef struct RpcServerOptions {
  const char *listen; /* "host:port", several separated by commas; "[v6]:port"; port 0: any */
  RpcServices services;
  guint max_connections; /* of clients a tenth, at most eight, is kept for operators' requests */
  guint max_requests_in_flight; /* per connection */
  gsize max_frame_size;
  guint64 max_memory_in_flight;
  gint64 idle_timeout_ms;   /* without a request or an unanswered one; 0: none */
  gint64 header_timeout_ms; /* to complete a frame once begun; 0: none */
} RpcServerOptions;

/* Listens and serves. NULL with an error that names the address. `ctx` goes to every handler. */
RpcServer *rpc_server_new(RpcLoops *loops, const RpcServerOptions *options,
                          const RpcHandlers *handlers, gpointer ctx, GError **error);

/* The port of the first address. */
guint16 rpc_server_port(RpcServer *server);

guint rpc_server_connections(RpcServer *server);

/* Answers with this status since the start; not counted: OK and PENDING. */
guint64 rpc_server_errors(RpcServer *server, SynclogStatus status);

/* Bytes of the requests that are not answered yet. */
guint64 rpc_server_memory(RpcServer *server);

/* Requests that are not answered yet. Any thread. */
guint rpc_server_calls(RpcServer *server);

/* Accepts no more connections and reads no more requests; those in flight are still answered. */
void rpc_server_drain(RpcServer *server);

/* Drains, waits until every RpcCall is answered, closes all connections and frees the server. Not
 * on a loop's thread. */
void rpc_server_free(RpcServer *server);

/* The loop of the call's connection. */
RpcLoop *rpc_call_loop(RpcCall *call);

/* "host:port" of the other side, for log lines; valid until the call is answered. */
const char *rpc_call_peer_address(RpcCall *call);

/*
 * Marks the call's connection as that of a peer whose handshake was accepted, for all later calls
 * on it; 0 while it is not. `receiver` is the serial of who accepted it, for whom alone it counts:
 * no other in this process has it, nor has the same group when it is opened again, or accepts
 * another one. On the connection's network thread.
 */
void rpc_call_set_peer(RpcCall *call, guint32 node_id, guint64 receiver);
guint32 rpc_call_peer(RpcCall *call, guint64 receiver);

/* Of a write or syncLog: its bytes count in *counter until it is answered. */
void rpc_call_charge(RpcCall *call, _Atomic guint64 *counter, gsize size);

/* RPC_CALL_ROOM bytes of zeros for whoever answers the call, valid until then. */
enum { RPC_CALL_ROOM = 112 };
gpointer rpc_call_room(RpcCall *call);

/* Keeps the request's bytes beyond the answer; give back by rpc_frame_unref (any thread). */
gpointer rpc_call_ref_frame(RpcCall *call);
void rpc_frame_unref(gpointer frame);

/* Answers, by any thread; the call is gone afterwards. `error`, where there is one and it is not
 * NULL, becomes the status (code, message, retryable); the other arguments are then ignored. */
/* Before a reply that may be an error to try again: when. 0: what the code of the error says. */
void rpc_call_hint_retry(RpcCall *call, gint32 retry_after_ms);

void rpc_call_reply_write(RpcCall *call, SynclogStatus status, const char *message,
                          const Token *token);
void rpc_call_reply_sync(RpcCall *call, const SyncReply *reply);
void rpc_call_reply_handshake(RpcCall *call, const HandshakeReply *reply);
void rpc_call_reply_heartbeat(RpcCall *call, const HeartbeatReply *reply);
void rpc_call_reply_query(RpcCall *call, const GError *error, const Table *table);
void rpc_call_reply_last(RpcCall *call, const GError *error, const GPtrArray *values);
void rpc_call_reply_aggregate(RpcCall *call, const GError *error, const Aggregate *aggregate);
void rpc_call_reply_series(RpcCall *call, const GError *error, const GPtrArray *devices,
                           gboolean more, const char *left_out);
/* run: consecutive entries from `from` on, NULL for none. first_available: what the node still
 * holds, told with an error too; 0: not known. */
void rpc_call_reply_tail(RpcCall *call, const GError *error, const EntryRun *run, guint64 from,
                         guint64 first_available);
void rpc_call_reply_info(RpcCall *call, const NodeInfo *info);
void rpc_call_reply_status(RpcCall *call, const GError *error, const NodeStatus *status);
void rpc_call_reply_digest(RpcCall *call, const GError *error, const StateDigest *digest,
                           const Progress *progress);
/* parts: DigestPart, NULL with an error. */
void rpc_call_reply_digest_parts(RpcCall *call, const GError *error, const GPtrArray *parts,
                                 gboolean more);
/* page: NULL with an error. */
void rpc_call_reply_conflicts(RpcCall *call, const GError *error, const ConflictPage *page);
void rpc_call_reply_forget(RpcCall *call, const GError *error);
void rpc_call_reply_skip(RpcCall *call, const GError *error);
/* result, page: NULL with an error. */
void rpc_call_reply_repair(RpcCall *call, const GError *error, const RepairResult *result);
void rpc_call_reply_bucket(RpcCall *call, const GError *error, const BucketPage *page);
void rpc_call_reply_add_member(RpcCall *call, const GError *error);
void rpc_call_reply_remove_member(RpcCall *call, const GError *error);
void rpc_call_reply_snapshot(RpcCall *call, const GError *error, const Snapshot *snapshot);
void rpc_call_reply_fragment(RpcCall *call, const GError *error, const SnapshotFragment *fragment);
void rpc_call_reply_snapshot_end(RpcCall *call, const GError *error);
void rpc_call_reply_reseed(RpcCall *call, const GError *error);
/* groups: GroupInfo. */
void rpc_call_reply_groups(RpcCall *call, const GPtrArray *groups);
void rpc_call_reply_delete_group(RpcCall *call, const GError *error);
void rpc_call_reply_pause(RpcCall *call, const GError *error);
void rpc_call_reply_config(RpcCall *call, const GPtrArray *entries);
