/*
 * Between the generated structs and the plain types of core/ and base/. Pure, any thread.
 *
 * _to_thrift fills a fresh generated struct. _from_thrift checks every number's range (ids,
 * indices, counts against base/limits.h) and fails with INVALID, naming the field; on failure its
 * output is empty. What is borrowed is said; all else is copied.
 */
#pragma once

#include "base/bucket.h"
#include "base/run.h"
#include "base/table.h"
#include "core/messages.h"

#include "sl_admin_types.h"
#include "sl_client_types.h"
#include "sl_peer_types.h"

/* --- shared -------------------------------------------------------------------------------------
 */

void convert_status_to_thrift(int code, const char *message, SlTStatus *out);
/* An error becomes its status; NULL becomes OK. */
void convert_error_to_thrift(const GError *error, SlTStatus *out);
/* Code and message; INVALID for an unknown code. */
gboolean convert_status_from_thrift(const SlTStatus *status, SynclogStatus *out_code,
                                    char **out_message, GError **error);
/* FALSE with the status as the error unless it is OK. */
gboolean convert_check_status(const SlTStatus *status, GError **error);

void convert_log_progress_to_thrift(const LogProgress *progress, SlTLogProgress *out);
gboolean convert_log_progress_from_thrift(const SlTLogProgress *in, LogProgress *out,
                                          GError **error);
void convert_progress_to_thrift(const Progress *progress, guint32 group, SlTGroupProgress *out);
/* Lists of TMember. */
void convert_members_to_thrift(const GPtrArray *members, GPtrArray *out);
GPtrArray *convert_members_from_thrift(const GPtrArray *in, GError **error);
Progress *convert_progress_from_thrift(const SlTGroupProgress *progress, GError **error);
gboolean convert_log_id_from_thrift(const SlTLogId *id, LogId *out, GError **error);
/* Token array, NULL when there is none. */
gboolean convert_token_from_thrift(const SlTToken *in, Token *out, GError **error);
gboolean convert_tokens_from_thrift(const GPtrArray *tokens, GArray **out, GError **error);
void convert_tokens_to_thrift(const GArray *tokens, GPtrArray *out);
void convert_value_to_thrift(const Value *value, SlTValue *out);
gboolean convert_value_from_thrift(const SlTValue *value, DataType type, Value *out,
                                   GError **error);

/* Borrows the packed bytes. Transfer full. */
SlTColumn *convert_column_to_thrift(const Column *column);
/* Checked as column_check() does; shares the packed bytes. */
Column *convert_column_from_thrift(const SlTColumn *in, guint rows, GError **error);

/* --- peer service -------------------------------------------------------------------------------
 */

void convert_handshake_to_thrift(const Handshake *handshake, SlTHandshakeReq *out);
gboolean convert_handshake_from_thrift(const SlTHandshakeReq *req, Handshake *out, GError **error);
void convert_handshake_reply_to_thrift(const HandshakeReply *reply, guint32 group,
                                       SlTHandshakeReply *out);
gboolean convert_handshake_reply_from_thrift(const SlTHandshakeReply *reply, HandshakeReply *out,
                                             GError **error);
void convert_heartbeat_to_thrift(const Heartbeat *heartbeat, SlTHeartbeatReq *out);
gboolean convert_heartbeat_from_thrift(const SlTHeartbeatReq *req, Heartbeat *out, GError **error);
void convert_heartbeat_reply_to_thrift(const HeartbeatReply *reply, guint32 group,
                                       SlTHeartbeatReply *out);
gboolean convert_heartbeat_reply_from_thrift(const SlTHeartbeatReply *reply, HeartbeatReply *out,
                                             GError **error);

/* --- buckets and their repair (convert_bucket.c) ------------------------------------------------
 */

void convert_bucket_query_to_thrift(const BucketQuery *query, const BucketAsker *asker,
                                    SlTBucketReq *out);
/* Strings of the results stay `req`'s. */
gboolean convert_bucket_query_from_thrift(const SlTBucketReq *req, BucketAsker *out_asker,
                                          BucketQuery *out, GError **error);
void convert_bucket_to_thrift(const BucketPage *page, SlTBucketReply *out);
BucketPage *convert_bucket_from_thrift(const SlTBucketReply *reply, GError **error);
void convert_repair_to_thrift(const RepairQuery *query, guint32 group, SlTRepairReq *out);
gboolean convert_repair_from_thrift(const SlTRepairReq *req, guint32 *out_group, RepairQuery *out,
                                    GError **error);
void convert_repair_result_to_thrift(const RepairResult *result, SlTRepairReply *out);
void convert_repair_result_from_thrift(const SlTRepairReply *reply, RepairResult *out);

/* --- client and admin service: the server's side -------------------------------------------------
 */

/* NULL-terminated array of the strings, which stay `names`'; NULL when absent. Free the array only.
 */
const char **convert_names_from_thrift(const GPtrArray *names, gboolean present);
/* device, measurements (freed by g_free) and page (owned) of the result borrow from `req`. */
gboolean convert_query_from_thrift(const SlTQueryReq *req, Query *out, GError **error);
gboolean convert_aggregate_from_thrift(const SlTAggregateReq *req, AggregateQuery *out,
                                       GError **error);
void convert_table_to_thrift(const Table *table, SlTQueryReply *out);
void convert_last_to_thrift(const GPtrArray *values, SlTLastReply *out);
void convert_aggregate_to_thrift(const Aggregate *aggregate, SlTAggregateReply *out);
gboolean convert_tail_query_from_thrift(const SlTTailReq *req, TailQuery *out, GError **error);
void convert_tail_to_thrift(const EntryRun *run, guint64 from, SlTTailReply *out);
void convert_series_to_thrift(const GPtrArray *devices, gboolean more, SlTSeriesReply *out);
void convert_info_to_thrift(const NodeInfo *info, SlTInfoReply *out);
void convert_node_status_to_thrift(const NodeStatus *status, SlTNodeStatus *out);
void convert_digest_to_thrift(const StateDigest *digest, const Progress *progress,
                              SlTDigestReply *out);
void convert_digest_parts_to_thrift(const GPtrArray *parts, gboolean more,
                                    SlTDigestPartsReply *out);
void convert_conflicts_to_thrift(const ConflictPage *page, SlTConflictsReply *out);
void convert_config_to_thrift(const GPtrArray *entries, SlTConfigReply *out);

/* --- client and admin service: the client's side -------------------------------------------------
 */

void convert_query_to_thrift(const Query *query, guint32 group, const GArray *tokens,
                             SlTQueryReq *out);
void convert_aggregate_query_to_thrift(const AggregateQuery *query, guint32 group,
                                       const GArray *tokens, SlTAggregateReq *out);
Table *convert_table_from_thrift(const SlTQueryReply *reply, GError **error);
GPtrArray *convert_last_from_thrift(const SlTLastReply *reply, GError **error);
Aggregate *convert_aggregate_from_reply(const SlTAggregateReply *reply, GError **error);
GPtrArray *convert_series_from_thrift(const SlTSeriesReply *reply, GError **error);
/* TailEntry; the rest of the page is the caller's. */
GArray *convert_tail_from_thrift(const SlTTailReply *reply, guint64 from, GError **error);
gboolean convert_info_from_thrift(const SlTInfoReply *reply, NodeInfo *out, GError **error);
NodeStatus *convert_node_status_from_thrift(const SlTNodeStatus *status, GError **error);
gboolean convert_digest_from_thrift(const SlTDigestReply *reply, StateDigest *out_digest,
                                    Progress **out_progress, GError **error);
GPtrArray *convert_digest_parts_from_thrift(const SlTDigestPartsReply *reply, GError **error);
ConflictPage *convert_conflicts_from_thrift(const SlTConflictsReply *reply, GError **error);
GPtrArray *convert_config_from_thrift(const SlTConfigReply *reply, GError **error);
