/*
 * The hand-written codec of the two hot methods, write and syncLog, of the reply to a query, and of
 * the exceptions that a server answers by itself. Requests are read in place, without a copy and
 * without an allocation; what is written is byte for byte what the generated code writes. All else
 * is left to the generated code. Pure, any thread.
 *
 * `bytes` of a parser is what follows the message header (rpc/frame.h) up to the end of the frame.
 */
#pragma once

#include "rpc/reply.h"
#include "rpc/server.h"

typedef enum {
  HOT_VALID,
  HOT_REFUSED, /* well-formed, but answered by the status in the error */
  HOT_BROKEN,  /* a protocol error, in the error */
} HotVerdict;

/* The results borrow from `bytes`. A write's content is checked to be one well-formed Thrift
 * struct, no more; records of a syncLog are checked for their layout, not for checksum and index.
 */
HotVerdict hot_write_parse(const guint8 *bytes, gsize size, WriteRequest *out, GError **error);
HotVerdict hot_sync_parse(const guint8 *bytes, gsize size, SyncLogRequest *out, GError **error);

/* `message` may be NULL; then a status that is not OK gets its text. `token` may be NULL.
 * retry_after_ms goes with a status that has such a hint; 0: its usual one. */
RpcReply *hot_write_reply(gint32 seqid, SynclogStatus status, const char *message,
                          gint32 retry_after_ms, const Token *token);
RpcReply *hot_sync_reply(gint32 seqid, const SyncReply *reply);

/* The reply to a query that found something; NULL: it is larger than a frame, perhaps. */
RpcReply *hot_query_reply(gint32 seqid, const Table *table);

/* Types of a TApplicationException. */
enum {
  EXCEPTION_UNKNOWN_METHOD = 1,
  EXCEPTION_INVALID_MESSAGE_TYPE = 2,
  EXCEPTION_INTERNAL_ERROR = 6,
  EXCEPTION_PROTOCOL_ERROR = 7,
};

RpcReply *hot_exception_reply(const char *name, gsize name_size, gint32 seqid, int type,
                              const char *message);

/*
 * The sender's side. A syncLog frame is prefix, records, suffix; the length of the frame is the
 * prefix's first field. Both return the bytes written.
 */
enum { HOT_SYNC_PREFIX_ROOM = 128, HOT_SYNC_SUFFIX_ROOM = 16 };
gsize hot_sync_request_prefix(guint8 *out, gsize room, gint32 seqid, const SyncBatch *batch);
gsize hot_sync_request_suffix(guint8 *out, gsize room, const SyncBatch *batch);

/*
 * Reads the reply to a syncLog: the whole message, without the length of the frame. An exception of
 * the peer is an error too. *out_seqid is set whenever the message has one, else 0.
 */
gboolean hot_sync_reply_parse(const guint8 *frame, gsize size, gint32 *out_seqid, SyncReply *out,
                              GError **error);
