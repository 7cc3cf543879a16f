/*
 * A group at work: the engine bound to threads, files and channels.
 *
 * Threads: the log thread (timers of the engine; order of entries, WAL appends and syncs, which
 * network threads do as well, one at a time: replica_log.c) and the apply thread (store batches)
 * are the replica's; it is called by network threads and workers. One mutex guards the engine; it
 * is held for short computations only, never over I/O. All functions are thread-safe unless said
 * otherwise.
 */
#pragma once

#include "engine/group.h"
#include "rpc/channel.h"
#include "rpc/server.h"
#include "store/store.h"

typedef struct Replica Replica;

typedef enum { WAL_SYNC_GROUP, WAL_SYNC_INTERVAL, WAL_SYNC_NONE } WalSync;

/* Where a peer listens for replication. */
typedef struct ReplicaPeer {
  guint32 id;
  const char *address; /* "host:port"; as long as the array is there */
} ReplicaPeer;

typedef struct ReplicaOptions {
  const char *directory; /* of the group: wal/ and store/ below it */
  GroupOptions
      group;     /* own, cluster_id, time_precision and membership are filled in by the replica */
  GArray *peers; /* ReplicaPeer: the members, as long as there is no record of them */
  gboolean join; /* without a record: they are nodes of a cluster that this one is to join */
  WalSync wal_sync;
  gint64 wal_sync_interval_ms;
  gsize wal_segment_size;
  guint64 throttle_threshold; /* bytes of WAL */
  guint64 disk_reserve;       /* bytes of disk below which writes are refused; 0: none */
  guint64 retention_limit;    /* bytes of WAL above which members that are behind are given up; 0:
                                 never */
  guint64 snapshot_rate;      /* bytes per second of all snapshots that are given; 0: no limit */
  guint64 partition_interval;
  gsize memtable_size, block_cache_size;
  guint store_files; /* that the store keeps open */
  gsize conflict_journal_size;
  gint64 compact_after_ms;   /* 0: never */
  gint64 check_interval_ms;  /* 0: never */
  gint64 request_timeout_ms; /* of requests to peers */
} ReplicaOptions;

typedef struct Identity Identity;

/* Opens the logs and the store, recovers, and starts the threads; nothing goes over the network
 * until replica_start. `identity` and `loops` must outlive the replica. */
Replica *replica_open(Identity *identity, RpcLoops *loops, const ReplicaOptions *options,
                      GError **error);

/*
 * Whoever uses a replica that may be closed meanwhile holds it: replica_close waits for that, and
 * after replica_stop whatever it is asked is refused. replica_open leaves it held once, which
 * replica_close gives back.
 */
void replica_hold(Replica *replica);
void replica_release(Replica *replica);

guint32 replica_group(const Replica *replica);

/* Whether the replica has heard of a log. */
gboolean replica_knows_log(Replica *replica, LogId log);

/* Begins to connect to the peers. */
void replica_start(Replica *replica);

/* Takes no more writes; waits up to timeout_ms until those taken are durable and at the peers that
 * are connected. */
void replica_drain(Replica *replica, gint64 timeout_ms);

/* Stops the threads and answers all that waits; what is asked from now on is answered NOT_READY. */
void replica_stop(Replica *replica);

/* After replica_stop: waits until nobody holds it any more, makes the store durable and closes. */
void replica_close(Replica *replica);

/* --- requests; each answers `call`, now or later ------------------------------------------------
 */

/* Whether the replica takes a request of so many bytes although others are not answered yet: it
 * does up to `share` together, and one in any case. They count until they are answered. */
gboolean replica_admit(Replica *replica, RpcCall *call, gsize size, guint64 share);
/* The same of a part of a request that came another way than by an RpcCall, until replica_discharge
 * with the same size; `own`: what counts of the request's other parts, which do not stand in its
 * way: it is taken as a whole or not. The replica must be there for both. */
gboolean replica_admit_bytes(Replica *replica, gsize size, gsize own, guint64 share);
void replica_discharge(Replica *replica, gsize size);
void replica_write(Replica *replica, RpcCall *call, const WriteRequest *request, gint64 timeout_ms);
/*
 * A write that came another way than by an RpcCall. FALSE with an error when it is refused at once
 * (what store_decode and store_reserve say, OVERLOADED and the like), and then nothing is called;
 * else done(data, …) is called once, on any thread, maybe before this returns, and mostly under the
 * replica's lock. It must not block. A write with a key that comes again is told of the first one.
 */
typedef void (*ReplicaWritten)(gpointer data, SynclogStatus status, const char *message,
                               const Token *token);
gboolean replica_write_bytes(Replica *replica, GBytes *content, AckLevel ack, gint64 timeout_ms,
                             ReplicaWritten done, gpointer data, GError **error);
/* When a client that got this status from this replica should try again, by the state that it is
 * in; 0: such a status has no hint. */
gint32 replica_retry_after_ms(Replica *replica, SynclogStatus status);
/* Whether a write would be refused for what is in it; fixes the types of new measurements. */
gboolean replica_check_write(Replica *replica, const guint8 *content, gsize size, GError **error);
/* Hands over the writes that this loop's handlers collected. */
void replica_flush_writes(Replica *replica, RpcLoop *loop);
void replica_sync_log(Replica *replica, RpcCall *call, const SyncLogRequest *request);
void replica_handshake(Replica *replica, RpcCall *call, const Handshake *handshake);
void replica_heartbeat(Replica *replica, RpcCall *call, const Heartbeat *heartbeat);

/*
 * Runs read(data, store, error) on a worker once the replica has applied what it must: error is
 * NULL, or says why it can't be read (store is NULL then).
 */
typedef void (*ReplicaRead)(gpointer data, Store *store, const GError *error);
void replica_read(Replica *replica, const GArray *tokens, gint64 timeout_ms, ReplicaRead read,
                  gpointer data);

/* The store for a moment, without waiting for anything; NULL with an error. Any thread. With a
 * store replica_end_view must follow, on the same thread. */
Store *replica_begin_view(Replica *replica, GError **error);
void replica_end_view(Replica *replica);

/*
 * Entries of a log from `from` on that are applied here, at most max_count and max_bytes (one at
 * least); on a worker, from within a ReplicaRead that waited for (log, from). OUT_OF_WINDOW when
 * they were deleted. *out_first is the first index that the log's WAL still holds, 0 without a WAL.
 * NULL without an error: they are applied, but not synced yet.
 */
EntryRun *replica_read_log(Replica *replica, LogId log, guint64 from, guint max_count,
                           gsize max_bytes, guint64 *out_first, GError **error);

/* Runs func(data) on a worker; the replica is closed only behind it. */
void replica_work(Replica *replica, void (*func)(gpointer data), gpointer data);
/* The same for what takes long: on a thread of its own, since workers have requests to answer, and
 * there may be one alone. It is to end soon when the replica does. */
void replica_work_apart(Replica *replica, const char *name, void (*func)(gpointer data),
                        gpointer data);

/* --- status -------------------------------------------------------------------------------------
 */

NodeStatus *replica_status(Replica *replica);
Progress *replica_progress(Replica *replica);

/* Changes of the members, see engine/group.h; durable here when they return, the others learn
 * them. Wait for the disk. */
gboolean replica_forget(Replica *replica, guint32 node, GError **error);
gboolean replica_add_member(Replica *replica, guint32 node, const char *address, GError **error);
gboolean replica_remove_member(Replica *replica, guint32 node, GError **error);

/* Sends a peer no more of the logs, or again; a restart forgets it. INVALID: no other member. */
gboolean replica_pause_peer(Replica *replica, guint32 node, gboolean paused, GError **error);

/* Snapshots of this node for others; each answers the call. */
void replica_snapshot(Replica *replica, RpcCall *call, const SnapshotRequest *request);
void replica_fragment(Replica *replica, RpcCall *call, const FragmentRequest *request);
gboolean replica_snapshot_end(Replica *replica, guint64 id, GError **error);

/* Has this node, or another one that is asked by this one, fetch a snapshot. */
gboolean replica_reseed(Replica *replica, const ReseedRequest *request, GError **error);

/* A snapshot was fetched: the replica is to be closed and opened again, which installs it. */
gboolean replica_wants_reopening(Replica *replica);

/* Leaves out an entry at which a log is stopped, durably; the log goes on when it is sent again. */
gboolean replica_skip(Replica *replica, const Token *entry, GError **error);

/* No entry with a clock at or below this can still come. */
guint64 replica_horizon(Replica *replica);

/* --- repair -------------------------------------------------------------------------------------
 */

/* Makes a bucket like that of a peer, on a thread of its own; answers `call` when it is durable.
 * The query must stay until then. */
void replica_repair(Replica *replica, RpcCall *call, const RepairQuery *query);
/* The peer's side: one page of a bucket. */
void replica_bucket(Replica *replica, RpcCall *call, const BucketAsker *asker,
                    const BucketQuery *query);

/* Once a second, on any one thread: what the store has durably, throttling. */
void replica_housekeeping(Replica *replica);

/* Whether the log's work gets done: nothing of it has waited, or been at work, for a minute. Asked
 * more often than that. */
gboolean replica_is_alive(Replica *replica);

/* A failure after which the process must end (restart recovers): NULL while there is none. */
char *replica_fatal(Replica *replica);

void replica_set_retry_waits(Replica *replica, guint64 basic_wait_ms, guint64 max_wait_ms);
void replica_set_heartbeat_interval(Replica *replica, gint64 interval_ms);
/* What peers are told of the node's rule of groups; in group 0 only. */
void replica_set_rule_hash(Replica *replica, guint64 hash);
void replica_set_throttle_threshold(Replica *replica, guint64 bytes);
void replica_set_disk_reserve(Replica *replica, guint64 bytes);
void replica_set_retention_limit(Replica *replica, guint64 bytes);
void replica_set_snapshot_rate(Replica *replica, guint64 rate);
