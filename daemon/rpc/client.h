/*
 * A blocking client for tools: synclogctl, the health check, the benchmark. One connection, one
 * request at a time, not thread-safe. Every call fails with the server's status as GError
 * (base/error.h), or with NOT_READY when the server can't be reached and TIMEOUT when it does not
 * answer in time; after those two the connection is closed and the next call connects again.
 */
#pragma once

#include "base/bucket.h"
#include "core/messages.h"
#include "core/snapshot_messages.h"
#include "rpc/write_builder.h"

typedef struct RpcClient RpcClient;

/* Whether it is "host:port" or "[v6]:port". */
gboolean rpc_client_is_address(const char *address);

/* Whether its host has an address now. It may take as long as the resolver does. */
gboolean rpc_client_resolves(const char *address, GError **error);

/* "host:port". Connects at the first call. */
RpcClient *rpc_client_new(const char *address, gint64 timeout_ms);
void rpc_client_free(RpcClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcClient, rpc_client_free)

/* When the server wants the last write, which it refused, to be tried again; 0: it did not say. */
gint32 rpc_client_retry_after_ms(const RpcClient *client);

/*
 * Sends the write. TRUE with *out_status OK or PENDING and *out_token set; the builder is empty and
 * can be used again. FALSE with the builder as it was.
 */
gboolean rpc_client_write(RpcClient *client, guint32 group, WriteBuilder *builder, AckLevel ack,
                          gint timeout_ms, SynclogStatus *out_status, Token *out_token,
                          GError **error);

/* tokens: GArray of Token or NULL. Results as of base/table.h, transfer full. */
Table *rpc_client_query(RpcClient *client, guint32 group, const Query *query, const GArray *tokens,
                        GError **error);
GPtrArray *rpc_client_last(RpcClient *client, guint32 group, const char *device,
                           const char *const *measurements, const GArray *tokens, GError **error);
Aggregate *rpc_client_aggregate(RpcClient *client, guint32 group, const AggregateQuery *query,
                                const GArray *tokens, GError **error);
/* *out_next: name to pass as `after` for the next page, or NULL. */
GPtrArray *rpc_client_series(RpcClient *client, guint32 group, const char *prefix,
                             const char *after, guint limit, char **out_next, GError **error);
/* The same of all groups of which the server can read: *out_left_out says for people which it
 * can't, and is NULL when there are none. Transfer full. */
GPtrArray *rpc_client_series_partial(RpcClient *client, guint32 group, const char *prefix,
                                     const char *after, guint limit, char **out_next,
                                     char **out_left_out, GError **error);
/*
 * Entries of a log from `from` on that the server has applied, TailEntry, at most `limit` (0: the
 * server's); none when none came within wait_ms. OUT_OF_WINDOW when they were deleted:
 * *out_first_available tells where the log begins now (0 when the server does not say).
 */
GArray *rpc_client_tail(RpcClient *client, guint32 group, LogId log, guint64 from, guint limit,
                        gint wait_ms, guint64 *out_first_available, GError **error);
gboolean rpc_client_info(RpcClient *client, NodeInfo *out_info, GError **error);
NodeStatus *rpc_client_status(RpcClient *client, guint32 group, GError **error);
gboolean rpc_client_digest(RpcClient *client, guint32 group, const GArray *tokens,
                           StateDigest *out_digest, Progress **out_progress, GError **error);
/* ConfigEntry* */
/* Digests of parts of the data, DigestPart. */
GPtrArray *rpc_client_digest_parts(RpcClient *client, guint32 group, const DigestQuery *query,
                                   gboolean *out_more, GError **error);

GPtrArray *rpc_client_config(RpcClient *client, GError **error);

/* One page of the journal of conflicts; a limit of 0 leaves its size to the server. */
ConflictPage *rpc_client_conflicts(RpcClient *client, guint32 group, const ConflictQuery *query,
                                   GError **error);

/* Declares a member lost for good. */
gboolean rpc_client_pause(RpcClient *client, guint32 group, guint32 node, gboolean paused,
                          GError **error);
/* GroupInfo; transfer full. */
GPtrArray *rpc_client_groups(RpcClient *client, GError **error);
gboolean rpc_client_delete_group(RpcClient *client, guint32 group, GError **error);
gboolean rpc_client_forget(RpcClient *client, guint32 group, guint32 node, GError **error);
gboolean rpc_client_add_member(RpcClient *client, guint32 group, guint32 node, const char *address,
                               GError **error);
gboolean rpc_client_remove_member(RpcClient *client, guint32 group, guint32 node, GError **error);

/* The node leaves out an entry at which a log is stopped there. */
gboolean rpc_client_skip(RpcClient *client, guint32 group, const Token *entry, GError **error);

/* Makes a bucket of that node like a peer's. */
gboolean rpc_client_repair(RpcClient *client, guint32 group, const RepairQuery *query,
                           RepairResult *out_result, GError **error);

/* Asks a node's peer service (its replication address) for one page of a bucket. */
BucketPage *rpc_client_bucket(RpcClient *client, const BucketAsker *asker, const BucketQuery *query,
                              GError **error);
/* Says who it is to a node's peer service. TRUE also when the node refuses: out_reply tells. */
gboolean rpc_client_handshake(RpcClient *client, const Handshake *handshake,
                              HandshakeReply *out_reply, GError **error);
/* --- snapshots; these may also be asked of the port for peers -----------------------------------
 */

/* NOT_READY while it is being prepared. Transfer full. */
Snapshot *rpc_client_snapshot(RpcClient *client, const SnapshotRequest *request, GError **error);
/* What comes is not compared with what was asked: snapshot_copy does. */
gboolean rpc_client_fragment(RpcClient *client, guint32 group, guint64 id, guint32 file,
                             guint64 offset, gsize size, SnapshotFragment *out_fragment,
                             GBytes **out_bytes, GError **error);
gboolean rpc_client_snapshot_end(RpcClient *client, guint32 group, guint64 id, GError **error);
gboolean rpc_client_reseed(RpcClient *client, const ReseedRequest *request, GError **error);
