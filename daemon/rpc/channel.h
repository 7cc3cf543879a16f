/*
 * The client side of replication: one channel to one peer, over one TCP connection at a time,
 * pipelined. It keeps no policy: when to connect, what to send and what a failure means is the
 * engine's.
 *
 * All functions may be called on any thread. The callbacks run on the channel's loop, one at a
 * time, and may call every function but rpc_channel_free. Each request that was given gets exactly
 * one callback, unless the connection closes first: then on_closed alone tells that none of those
 * outstanding will be answered. on_closed comes once per rpc_channel_connect.
 */
#pragma once

#include "base/steps.h"
#include "core/messages.h"
#include "rpc/loops.h"

typedef struct RpcChannel RpcChannel;

typedef struct RpcChannelCallbacks {
  void (*on_connected)(gpointer ctx);
  void (*on_closed)(gpointer ctx, const GError *error);
  void (*on_handshake)(gpointer ctx, const HandshakeReply *reply);
  void (*on_sync)(gpointer ctx, guint64 cookie, const SyncReply *reply);
  void (*on_heartbeat)(gpointer ctx, const HeartbeatReply *reply);
} RpcChannelCallbacks;

typedef struct RpcChannelOptions {
  /* "host:port"; looked up at each connect, without blocking a loop. All addresses are tried, one
   * after the other; each has its share of connect_timeout_ms. */
  const char *address;
  gsize max_frame_size; /* of replies */
  gint64 connect_timeout_ms;
  gint64 request_timeout_ms; /* oldest unanswered request; then the connection is closed */
  Steps *steps;              /* takes BATCH_SEND and BATCH_REPLY; may be NULL */
} RpcChannelOptions;

RpcChannel *rpc_channel_new(RpcLoop *loop, const RpcChannelOptions *options,
                            const RpcChannelCallbacks *callbacks, gpointer ctx);

/* Closes and frees. No callback runs any more once this returns. Not on a loop's thread. */
void rpc_channel_free(RpcChannel *channel);

/* Begins to connect; ignored while connected or connecting. */
void rpc_channel_connect(RpcChannel *channel);

/* Closes the connection; on_closed follows if there was one. */
void rpc_channel_close(RpcChannel *channel);

/* Requests; dropped silently while not connected (on_closed has told). */
void rpc_channel_handshake(RpcChannel *channel, const Handshake *handshake);
void rpc_channel_heartbeat(RpcChannel *channel, const Heartbeat *heartbeat);
/* The records are sent from the runs without a copy where that is cheaper. Transfer full. What is
 * queued is bounded by whoever sends (the window); should it come to more than
 * LIMIT_PENDING_BATCHES entries of LIMIT_ENTRY_SIZE bytes, the connection is closed with
 * OVERLOADED. */
void rpc_channel_sync(RpcChannel *channel, guint64 cookie, SyncBatch *batch);
