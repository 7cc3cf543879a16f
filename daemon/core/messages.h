/*
 * The messages that nodes exchange, as plain values: what rpc carries and the engine decides on.
 * Field by field they are those of thrift/peer.thrift. Whoever holds a message owns it.
 */
#pragma once

#include "base/conflict.h"
#include "base/error.h"
#include "base/latency.h"
#include "base/run.h"
#include "base/token.h"
#include "core/progress.h"

enum { PROTOCOL_VERSION = 1 };

typedef struct Handshake {
  guint32 protocol_version;
  char *cluster_id;
  guint32 node_id;
  guint32 target_node_id;
  guint64 incarnation;
  char *time_precision;
  guint max_pending_batch;
  guint32 group;
  Progress *progress;
  guint64 hlc;
  guint64 rule_hash; /* of the sender's rule of groups (base/group_rule.h); 0: not told */
} Handshake;

void handshake_clear(Handshake *handshake);

typedef struct HandshakeReply {
  SynclogStatus status;
  char *message;
  guint32 node_id;
  guint64 incarnation;
  Progress *progress; /* NULL unless OK */
  gsize max_frame_size;
  guint64 hlc;
} HandshakeReply;

void handshake_reply_clear(HandshakeReply *reply);

/* Entries on their way to one peer. */
typedef struct SyncBatch {
  guint32 group;
  LogId log;
  guint64 first_index, last_index;
  gboolean sync_now;
  gboolean from_wal;
  guint64 chain_before; /* the log's running digest before first_index; 0: not told */
  GPtrArray *slices;    /* RunSlice*, in order, together first_index .. last_index */
  gsize bytes;          /* of all records */
} SyncBatch;

/* Records [first, first + count) of a run, by position in the run. */
typedef struct RunSlice {
  EntryRun *run; /* owned reference */
  guint first, count;
} RunSlice;

SyncBatch *sync_batch_new(guint32 group, LogId log);
void sync_batch_free(SyncBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SyncBatch, sync_batch_free)
/* Appends records of `run` (its reference is counted up). The first must follow last_index. */
void sync_batch_add(SyncBatch *batch, EntryRun *run, guint first, guint count);

typedef struct SyncReply {
  SynclogStatus status;
  char *message; /* owned, may be NULL */
  guint64 received, durable, applied;
  guint64 expected_index; /* with OUT_OF_WINDOW, else 0 */
} SyncReply;

void sync_reply_clear(SyncReply *reply);

typedef struct Heartbeat {
  guint32 group;
  guint32 node_id;
  Progress *progress;
  guint64 hlc;
  guint64 rule_hash; /* as in the handshake */
} Heartbeat;

void heartbeat_clear(Heartbeat *heartbeat);

typedef struct HeartbeatReply {
  SynclogStatus status;
  char *message;
  Progress *progress; /* NULL unless OK */
  guint64 hlc;
} HeartbeatReply;

void heartbeat_reply_clear(HeartbeatReply *reply);

typedef enum { ACK_LOCAL = 1, ACK_MAJORITY = 2, ACK_ALL = 3 } AckLevel;

/* What the admin service tells; see TNodeStatus in thrift/admin.thrift. */
typedef struct LogStatus {
  LogProgress progress;
  gboolean own;
  const char *state; /* static string */
  char *message;     /* owned, may be NULL */
  guint64 wal_bytes;
  guint wal_segments;
  guint32 handed_on_by; /* 0: nobody */
  guint64 stopped_at;   /* the entry that does not decode here; 0: none */
  guint64 stalled_ms;   /* for so long nothing came though it should; 0: it goes on */
  GArray *skipped;      /* guint64: entries left out by an operator's word; NULL: none. Owned */
} LogStatus;

typedef struct PeerStatus {
  guint32 node_id;
  char *address;
  const char *state;  /* static string */
  char *message;      /* owned, may be NULL */
  gint64 silent_ms;   /* -1: never answered */
  Progress *progress; /* may be NULL */
  guint64 batches_in_flight, batches_sent, batches_retried, entries_from_tail, entries_from_wal;
  gboolean has_clock_offset;
  gint64 clock_offset_ms; /* its wall clock minus the node's */
  gboolean paused;        /* an operator's word: nothing is sent to it */
  guint window;           /* batches of one log that may be in flight */
  /* Of the node's own log, what the peer has not confirmed to be durable there. */
  guint64 lag_entries, lag_bytes; /* the bytes by the size of entries at present */
  gint64 lag_ms;
  gint64 stuck_ms;      /* for so long it has confirmed nothing although entries wait; 0: none do */
  guint64 compared_hlc; /* clock at which its data was compared with the node's; 0: never */
  gboolean data_differs;            /* … the outcome */
  gboolean needs_reseed;            /* entries that it lacks are deleted */
  gboolean rule_told, rule_differs; /* its rule of groups is known; … is not the node's */
} PeerStatus;

/* A number with a name, both the node's. */
typedef struct NamedCount {
  const char *name; /* static string */
  guint64 count;
} NamedCount;

typedef struct StepStatus {
  const char *name; /* static string */
  LatencyView times;
} StepStatus;

typedef struct NodeStatus {
  guint32 group;
  guint32 node_id;
  char *cluster_id;
  char *version;
  guint64 incarnation;
  gint64 uptime_ms;
  const char *state; /* static string */
  char *message;
  GArray *logs;  /* LogStatus */
  GArray *peers; /* PeerStatus */
  guint64 writes, writes_refused, connections, hlc, entries_applied, entries_duplicate, store_bytes;
  guint64 horizon;
  ConflictCounts conflicts;
  guint64 buckets_mended;
  GPtrArray *members; /* Member: the record; NULL: the members are those of the configuration */
  guint64 members_version; /* grows with every change; 0: no record */
  guint64 tombstones;
  gboolean throttled;    /* writes are refused until the WAL is smaller */
  gint64 throttled_ms;   /* so long in all */
  guint slowed_permille; /* how much writes are slowed, or 1000: the limit is reached */
  guint64 http_refused;  /* connections of HTTP that were turned away or cut off */
  GArray *steps;         /* StepStatus */
  GArray *errors;        /* NamedCount: answers to clients by their code */
  GArray *memory;        /* NamedCount: bytes by what holds them */
  guint64 raw_blocks, chunks, chunk_cells, chunk_bytes;
  guint64 damaged_buckets; /* with a part that can't be read */
} NodeStatus;

/* `name` is a static string. */
void named_count_add(GArray *counts, const char *name, guint64 count);

NodeStatus *node_status_new(void);
void node_status_free(NodeStatus *status);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NodeStatus, node_status_free)

typedef struct NodeInfo {
  guint32 node_id;
  char *cluster_id;
  char *version;
  char *time_precision;
  GArray *groups;     /* guint32: those that are open */
  GArray *configured; /* guint32: all of the configuration; empty or NULL: nobody told */
} NodeInfo;

void node_info_clear(NodeInfo *info);

/* In place of a group: that to which the rule of the groups gives the device. Only in writes and in
 * reads of devices; −1 on the wire. */
#define GROUP_BY_RULE G_MAXUINT32

/* One group of a node, for operators. */
typedef struct GroupInfo {
  guint32 id;
  char *devices, *members; /* as in the configuration; NULL: group 0, or files only */
  char *state;             /* "serving" and the like, "opening", "failed", "elsewhere", "files" */
  char *message;           /* for people, or NULL */
  guint64 wal_bytes, store_bytes;
} GroupInfo;

void group_info_free(GroupInfo *info);

typedef struct ConfigEntry {
  char *section, *key, *value;
  gboolean is_default, reloadable;
} ConfigEntry;

void config_entry_free(ConfigEntry *entry);

/* --- following a log ----------------------------------------------------------------------------
 */

/* Which entries of a log to tell. */
typedef struct TailQuery {
  LogId log;
  guint64 from; /* index, at least 1 */
  guint limit;  /* entries; 0: not given */
  gint wait_ms; /* for the first of them */
} TailQuery;

/* An entry of a log, as it was accepted. */
typedef struct TailEntry {
  guint64 index, hlc;
  GBytes *data; /* an encoded TWrite */
} TailEntry;
