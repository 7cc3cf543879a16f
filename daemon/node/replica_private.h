/*
 * The inside of a replica, shared by replica*.c.
 *
 * Lock order: `mutex` before `apply_mutex`; the WAL's and the log set's own locks are innermost.
 * The store's lock (store_lock) is taken with none of them held.
 */
#pragma once

#include "base/clock.h"
#include "base/limits.h"
#include "base/logging.h"
#include "core/lag.h"
#include "core/throttle.h"
#include "node/identity.h"
#include "node/log_set.h"
#include "node/replica.h"

typedef struct KeysInFlight KeysInFlight;

/* A write of a client on its way through the engine; lives in its call. */
typedef struct ClientWrite {
  GroupWrite base;  /* first: the engine hands back a pointer to it */
  RpcCall *call;    /* NULL: an OtherWrite */
  gboolean has_key; /* it has a key, of this hash, which it claimed */
  guint8 key_hash[WRITE_KEY_HASH_SIZE];
  gint64 queued_us;  /* when it was decoded */
  gint64 durable_us; /* 0: it is not yet */
} ClientWrite;

/* A write that came another way than by an RpcCall. */
typedef struct OtherWrite {
  ClientWrite base; /* first */
  GBytes *content;
  ReplicaWritten done;
  gpointer done_data;
} OtherWrite;

/* A peer's channel. */
typedef struct Link {
  Replica *replica;
  guint32 peer;
  char *address;
  RpcChannel *channel;
} Link;

/* The writes that the handlers on one loop collected since its last flush. */
typedef struct LoopWrites {
  RpcLoop *loop;
  GPtrArray *writes; /* ClientWrite; only that loop's thread touches it */
  gint64 begun_us;   /* when the first of them was about to be decoded */
} LoopWrites;

/* A bucket that the apply thread is to replace. */
typedef struct MendRequest {
  BucketMend mend;
  gboolean done; /* error: NULL when it is durable */
  GError *error;
} MendRequest;
/* A snapshot that this node fetches; guarded by `mutex`. */
typedef struct ReplicaSeed {
  gboolean lacking;   /* entries are missing here that nobody keeps: nothing is served */
  guint needed_ticks; /* so many seconds in a row */
  gboolean asked;     /* an operator wants it, or it was begun before the start */
  guint32 from;       /* … from this node; 0: any */
  gboolean resumed;   /* `from` is only the one that had begun: another will do */
  guint unheard;      /* attempts that a resumed one waited for `from` */
  GArray *tried;      /* guint32: nodes that were asked in this round and gave none */
  gboolean running, stop, ready;
  GThread *thread;
  GCond cond; /* the thread waits here */
  guint failures;
  gint64 retry_us;
  gint64 begun_us;   /* this attempt */
  guint64 done, all; /* bytes */
  char *text;        /* for people; NULL: nothing goes on */
} ReplicaSeed;

#define SEED_LACKING_TEXT                                                                          \
  "entries that this node lacks are deleted elsewhere: it is given a snapshot first"

enum { SEED_HOLD = 0 }; /* for group_hold; those of snapshots have other ids */

typedef struct Snapshots Snapshots;

/* What is watched of a peer once a second. */
typedef struct PeerWatch {
  guint32 peer;
  LagWatch lag;
  gint64 closed_us; /* when its channel was seen last not to send */
  gboolean stalled; /* and it was told */
} PeerWatch;

/* The connection of each peer that counts, by the serial that it was accepted with. Only ever added
 * to and changed with `mutex`; read without it too. */
typedef struct PeerChannels {
  _Atomic guint count;
  struct {
    guint32 node;
    _Atomic guint64 serial;
  } of[LIMIT_KNOWN_MEMBERS];
} PeerChannels;

struct Replica {
  ReplicaOptions options;
  Identity *identity;
  RpcLoops *loops;
  Membership *membership;
  LogSet *logs;
  Wal *own_wal;
  GPtrArray *links;    /* Link; guarded by mutex, only ever added to */
  GArray *loop_writes; /* LoopWrites, one per loop */
  const Clock *clock;
  Steps steps;
  gint64 started_us;

  PeerChannels channels;

  GMutex mutex; /* guards group and the fields up to the next comment; see replica_lock */
  Group *group;
  GCond log_cond; /* the log thread waits here */
  gboolean log_waiting;
  gint64 log_until_us;           /* … until then */
  gboolean work_brought;         /* since the last look: for whoever unlocks */
  gboolean wake_log, wake_apply; /* that thread is to be woken by whoever unlocks */
  gboolean log_taken;            /* somebody does the log's work, see replica_log.c */
  gboolean turn_asked;           /* a network thread is about to */
  gboolean turn_was_own;         /* the last turn of a network thread was a commit */
  gint64 sync_us;                /* how long syncs took lately; see replica_log.c */
  gint64 turns_from_us;          /* no turns of network threads before */
  gint64 incarnation_again_us;   /* when a new one is tried again, that could not begin; 0: none */
  gboolean log_stop;
  GArray *trims;            /* TrimWork that waits for the thread in replica_trim.c … */
  gboolean trimming;        /* … which is there */
  gboolean own_sync_wanted; /* a reader waits for unsynced entries (wal_sync other than group) */
  gint64 answers_us;        /* the time by which answers of writes are measured */
  gint64 log_turned_us;     /* when the log's work was last begun */
  gint64 log_unwanted_us;   /* when replica_is_alive last saw none */
  gint64 own_synced_us;     /* changed only by whoever has taken the log's work */
  GCond progress_cond;      /* replica_tell_progress; waited for by replica_wait_progress */
  guint progress_waiters;
  gboolean draining;
  gboolean stopped;
  char *fatal;              /* why the process must end, or NULL */
  char *own_broken;         /* why the own log can't be synced any more, or NULL */
  gboolean store_full;      /* the store's disk has no room to persist */
  gboolean persist_stopped; /* the apply thread's: a log can't be synced, and it was told */
  char *throttled;          /* why writes are refused: the logs are too large; or NULL */
  char *disk_low;           /* … the disk has too little room; or NULL */
  Throttle wal_throttle, disk_throttle;
  gint64 throttled_since_us, disk_low_since_us;
  gint overloaded_ms, no_space_ms, not_ready_ms; /* atomic: replica_retry_after_ms; 0: as usual */
  guint slowed;                                  /* permille */
  ReplicaSeed seed;
  gint64 throttled_us; /* so long in all */
  gint64 watched_us;   /* when replica_watch last ran */
  GArray *watches;     /* PeerWatch */

  Press press; /* of the housekeeping alone */

  GMutex apply_mutex; /* guards the apply queue */
  GCond apply_cond;
  gboolean apply_waiting; /* for apply_cond */
  GQueue apply_queue;     /* EntryRun */
  gboolean apply_stop;
  gboolean persist_wanted;  /* although nothing is to be applied, and however little waits */
  gboolean persist_pressed; /* … as the apply thread, which alone uses it, found it last */
  gboolean apply_ended;     /* nobody serves `mend` any more */
  MendRequest *mend;        /* of the repair thread, which waits for mend_cond; or NULL */
  GCond mend_cond;
  guint64 repair_cut;       /* not 0: the store is not maintained beyond this */
  guint64 maintain_horizon; /* the store is to be maintained with this horizon; 0: not now */
  GQueue checkpoints;       /* what replica_make_checkpoint is to make */

  KeysInFlight *keys; /* replica_keys.c */

  GRWLock store_lock; /* writers replace the store after a full disk; readers use it */
  Store *store;       /* NULL while it is opened again */
  gint store_leaves;  /* atomic: it is about to be taken away */

  guint64 checked_hlc;   /* of the last check that was begun; housekeeping only */
  gint64 check_ready_us; /* with `mutex`: before, no further one is begun for a node that joins */
  gint checking;         /* atomic: a check is under way */

  gint repairing;      /* atomic: a bucket is being mended */
  gint buckets_mended; /* atomic */
  Snapshots *snapshots;

  GThread *log_thread;
  GThread *apply_thread;
  _Atomic guint64 in_flight; /* bytes of requests that replica_admit let in */
  gint jobs;                 /* atomic: on their way to or at a worker */
  gint apart;                /* atomic: threads of replica_work_apart */
  gint ending;               /* atomic: replica_stop was called */
  gint holders;              /* atomic: see replica_hold; 1 is that of replica_open */
  GMutex hold_mutex;         /* guards unheld; a leaf */
  GCond hold_cond;
  gboolean unheld; /* the last holder has gone */
};

/*
 * replica_lock.c: `mutex`. What the engine posts to the loops while it is held goes there in one
 * piece before it is given up; then it is seen to who does what was brought to the log, and the
 * threads that are woken for it are woken when it has been given up, so that they need not wait for
 * it.
 */
void replica_lock(Replica *replica);
void replica_unlock(Replica *replica);

/* Waits for `cond` with `mutex`, which the caller holds; FALSE when it is too late. G_MAXINT64:
 * waits forever. */
gboolean replica_wait_until(Replica *replica, GCond *cond, gint64 until_us);

/* The log thread waits for work, or until then. Caller holds `mutex`. */
void replica_wait_for_work(Replica *replica, gint64 until_us);

/* Something became durable or was applied. Caller holds `mutex`. */
void replica_tell_progress(Replica *replica);
/* Waits for that as replica_wait_until does. */
gboolean replica_wait_progress(Replica *replica, gint64 until_us);

/* The time of a new incarnation: later than all that this process has begun, so that no two groups
 * of a node have logs of the same id. */
guint64 replica_new_incarnation(void);

/* replica.c: around all that a worker does for the replica; the replica lives until then. */
void replica_job_begin(Replica *replica);
void replica_job_end(Replica *replica);
/* Any thread. */
gboolean replica_is_ending(Replica *replica);

/* Notes how long a step took that began at `since_us`; returns now. Any thread. */
gint64 replica_note_step(Replica *replica, Step step, gint64 since_us);

/* replica_ports.c */
GroupPorts replica_ports(Replica *replica);
/* Caller holds `mutex`. */
void replica_open_link(Replica *replica, guint32 peer, const char *address);
void replica_free_links(Replica *replica);

/*
 * replica_keys.c: writes with a key. claim: TRUE when the write is the first with its key and goes
 * on; FALSE when it was answered, or will be together with the first. answered: by the first,
 * whatever became of it. applied: an entry is in the store.
 */
KeysInFlight *replica_keys_new(void);
void replica_keys_free(KeysInFlight *keys);
gboolean replica_claim_key(Replica *replica, const ClientWrite *write);
void replica_key_answered(Replica *replica, const guint8 hash[WRITE_KEY_HASH_SIZE],
                          SynclogStatus status, const char *message, const Token *token);
void replica_key_applied(Replica *replica, const Decoded *decoded);

/* replica_requests.c */
void replica_run_read(Replica *replica, gpointer read, SynclogStatus status, const char *message);

/* replica_channels.c */
/* The handshake of a member was accepted: its connection alone counts from now on, marked with the
 * serial that is returned, which no other in this process has. Caller holds `mutex`. */
guint64 replica_accept_channel(Replica *replica, guint32 node);
/* Whose connection the call came by, with its serial; 0: none that counts. On its network thread.
 */
guint32 replica_channel_peer(Replica *replica, RpcCall *call, guint64 *out_serial);
/* Whether it still is. Caller holds `mutex`. */
gboolean replica_channel_counts(const Replica *replica, guint32 node, guint64 serial);

/* replica_log.c */
gpointer replica_log_thread(gpointer data);
/* Work was brought: finds somebody who does it. Caller holds `mutex`. */
void replica_give_work(Replica *replica);

/* replica_trim.c: deletes what the engine says, soon and on another thread. Caller does not hold
 * `mutex`. */
void replica_trim(Replica *replica, const TrimWork *trim);

/* replica_check.c */
/* The clock at or below `comparable` as of which data is compared: one in each interval, the same
 * on all nodes, and for each group another, so that the groups of a node do not check at once. */
guint64 replica_check_cut(guint64 comparable, guint64 interval_ms, guint32 group);
/*
 * Digests the data on a worker whenever the horizon passes such a clock. While a node joins, more
 * often, as of clocks up to `comparable`. Returns the clock up to which the store may be maintained
 * meanwhile: during a join not beyond the last check, or a node that has much to digest might never
 * find a clock that can be compared.
 */
guint64 replica_check(Replica *replica, guint64 horizon, guint64 comparable, gboolean join_is_on);

/* replica_members.c */
/* Before the logs are opened: who the members are, by what was kept or else configured. */
void replica_link_members(Replica *replica);
/* A node that joins has no data from elsewhere. logs: GroupLog. */
gboolean replica_check_join(Replica *replica, const GArray *logs, GError **error);
/* Where a member is reached: by the configuration, or as was told (may be NULL). */
const char *replica_address_of(const Replica *replica, guint32 node, const char *told);
/* Caller holds `mutex`. */
void replica_fill_addresses(Replica *replica, NodeStatus *status);

/* replica_apply.c */
gpointer replica_apply_thread(gpointer data);
/* Whether the disk has room to persist so many bytes; NO_SPACE otherwise. The package's RocksDB
 * ends the process when a file can't be written, so it is not let try. */
gboolean replica_has_room(Replica *replica, guint64 bytes, GError **error);
StoreOptions replica_store_options(Replica *replica, char **out_directory);

/* All logs are durable up to what is applied; FALSE when the disk is too slow, or the node stops.
 */
gboolean replica_sync_logs(Replica *replica);
/* Whether nothing stands against that before a restart; READ_ONLY otherwise. */
gboolean replica_check_syncable(Replica *replica, GError **error);
/* Says why replica_sync_logs failed, behind `what`; FALSE. */
gboolean replica_fail_unsynced(Replica *replica, const char *what, GError **error);

/* replica_snapshot.c */
Snapshots *snapshots_new(const char *group_directory, guint64 rate);
void snapshots_free(Snapshots *snapshots);
void snapshots_set_rate(Snapshots *snapshots, guint64 rate);
/* By the apply thread, between batches: the next one that is asked for, if any. */
void replica_make_checkpoint(Replica *replica);
void replica_drop_checkpoints(Replica *replica);
void replica_expire_snapshots(Replica *replica);

/* replica_seed.c */
/* Once a second: whether a snapshot is needed, and how it goes. */
void replica_seed_tick(Replica *replica);
void replica_seed_stop(Replica *replica);
/* What is told of it: state and message. Caller holds `mutex`. */
void replica_seed_status(Replica *replica, NodeStatus *status);
/* When opening: goes on with what an earlier process began. */
void replica_resume_seed(Replica *replica);

/* replica_status.c: once a second, on any one thread. */
void replica_watch(Replica *replica);

/* Refuses or takes writes, by what the fields above say. Caller holds `mutex`. */
void replica_update_refusal(Replica *replica);

/* Records a failure that ends the process. Caller holds `mutex`. */
void replica_set_fatal(Replica *replica, const char *why);
/* Writes down, while it runs, whether a crash may lose what was acknowledged. */
gboolean replica_mark_clean(Replica *replica, GError **error);
