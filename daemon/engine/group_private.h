/*
 * The inside of a group, shared by the files of engine/. See group.h for the rules of use.
 */
#pragma once

#include "base/limits.h"
#include "core/acks.h"
#include "core/backoff.h"
#include "core/reorder.h"
#include "core/sync_window.h"
#include "engine/group.h"
#include "engine/tail.h"

typedef enum {
  LOG_OK,
  LOG_READ_ONLY, /* its WAL failed to write or sync */
  LOG_STOPPED,   /* an entry can't be decoded, or a part is missing */
  LOG_FORKED,    /* a peer has other entries at the same indices */
} LogState;

/* A syncLog that waits to be answered. */
typedef struct SyncCall {
  gpointer call;
  guint64 last_index; /* answered when written up to here */
  gboolean sync_now;  /* … or durable */
} SyncCall;

typedef struct Log {
  LogId id;
  gboolean own; /* the log that this node writes now */
  LogState state;
  char *message;
  gboolean blocked; /* nothing can be applied: a part is missing, or the store refused it */
  guint64 written;  /* `received` of LogProgress: in the WAL file */
  guint64 durable;
  guint64 applied, applied_hlc;
  guint64 given; /* last index given to the store */
  guint64 store_durable;
  guint64 first_available;
  guint64 trim_asked; /* trims up to here were given to the log thread */
  guint64 last_hlc;

  Tail *tail; /* own log only */

  /* Follower side; unused in the own log. */
  Reorder *reorder;      /* of EntryRun */
  GPtrArray *to_write;   /* EntryRun, in order */
  gboolean reset_wanted; /* drop the WAL of this log before writing on */
  guint64 sync_index;    /* to be synced up to here without waiting for sync_due_us */
  gint64 sync_due_us;    /* G_MAXINT64: nothing unsynced */
  GQueue calls;          /* SyncCall */
  guint32 supplier;      /* the peer that is asked to hand this log on; 0: none */
} Log;

/* A log on its way to one peer. */
typedef struct Sender {
  Log *log;
  SyncWindow *window;
  gboolean reading; /* a read_log is under way */
  enum {
    DIGEST_UNCHECKED,
    DIGEST_CHECKING,
    DIGEST_CHECKED,
    DIGEST_FORKED, /* nothing is sent */
  } digest;
  guint64 digest_index;   /* where it is compared */
  gint64 paused_until_us; /* 0: not paused */
  guint64 trouble_until;  /* the last failure is overcome when this index is acknowledged */
  Backoff backoff;
} Sender;

/* A batch on the channel. */
typedef struct InFlight {
  guint64 cookie;
  LogId log;
  guint64 first_index;
} InFlight;

typedef enum {
  PEER_BACKOFF, /* waits for retry_at_us */
  PEER_CONNECTING,
  PEER_HANDSHAKING,
  PEER_READY,
} PeerState;

typedef struct Peer {
  guint32 id;
  PeerState state;
  gint64 retry_at_us;
  gint64 connecting_since_us;
  gboolean hailed; /* it opened a channel to us since ours was begun: no wait if ours fails */
  Backoff backoff;
  gboolean refused; /* the last handshake was answered with a refusal */
  char *message;    /* why it is not READY, or why a log is not sent */
  guint64 incarnation;
  guint window;     /* batches in flight per log, as it said in its handshake */
  gboolean closing; /* disconnect was asked, group_on_closed has not come */
  gint64 heartbeat_at_us;
  gint64 answered_at_us; /* G_MININT64: never */
  gint64 heard_at_us;    /* its last handshake or heartbeat on its channel to us, or our start */
  Progress *progress;    /* as last told by the peer */
  GPtrArray *senders;    /* Sender, sorted by log */
  GArray *in_flight;     /* InFlight, by cookie */
  guint64 batches_sent, batches_retried, entries_from_tail, entries_from_wal;
} Peer;

typedef struct ReadWait {
  gpointer read;
  guint64 own_index;
  GArray *tokens; /* Token, may be NULL */
  gint64 deadline_us;
} ReadWait;

struct Group {
  GroupOptions options;
  GroupPorts ports;
  guint32 self;
  gboolean started, stopped;

  guint64 clock;   /* hlc: last stamped or seen */
  guint64 wall_ms; /* as last told */
  guint window;    /* batches that peers said to keep in flight, the greatest */
  Log *own;
  GPtrArray *logs;  /* Log, sorted by id */
  GPtrArray *peers; /* Peer, sorted by id */

  /* Leader side. */
  GPtrArray *queued; /* GroupWrite, not yet taken */
  gsize queued_bytes;
  gboolean committing;
  guint64 next_index;
  gboolean incarnation_wanted; /* the own log lost its end: it must not be written on */
  Acks *acks;
  guint64 sync_now_index; /* highest index that waited for ack > local */
  SynclogStatus refuse;   /* OK, or why writes are refused */
  char *refuse_message;

  gsize apply_backlog; /* bytes at the store */
  gint64 retention_at_us;
  gint64 supply_at_us;     /* when it is next looked who is to hand on what */
  gint64 refusal_noted_us; /* when a refused handshake was last told */
  guint64 next_cookie;
  GPtrArray *reads;     /* ReadWait */
  gboolean store_stuck; /* reads do not wait for own entries */

  guint64 writes, writes_refused, entries_applied, entries_duplicate;
};

/* group.c */
Log *group_find_log(const Group *group, LogId id);
Log *group_insert_log(Group *group, LogId id);
/* Finds or makes the log; NULL when its origin is no member or there are too many logs. */
Log *group_put_log(Group *group, LogId id);
void group_note(Group *group, GLogLevelFlags level, const char *format, ...) G_GNUC_PRINTF(3, 4);
void log_set_state(Group *group, Log *log, LogState state, const char *message);
void group_apply(Group *group, Log *log, EntryRun *run); /* transfer full */
/* Moves the clock by one that was seen elsewhere, unless it is too far ahead to be true. */
void group_observe(Group *group, guint64 hlc);
Peer *group_find_peer(const Group *group, guint32 id);
gboolean group_is_congested(const Group *group);

/* leader.c */
void leader_check_acks(Group *group);
void leader_tick(Group *group, gint64 now_us);
void leader_stop(Group *group);
/* Moves queued writes into `work` and stamps them. */
void leader_take(Group *group, guint64 wall_ms, GPtrArray *writes);

/* dispatcher.c */
void dispatcher_init_peer(Peer *peer);
void dispatcher_tick(Group *group, gint64 now_us);
gint64 dispatcher_deadline_us(const Group *group);
void dispatcher_pump_all(Group *group, gint64 now_us);
/* News of a peer's progress by any way. */
void dispatcher_learn(Group *group, Peer *peer, const Progress *progress);
/* The peer opened a channel to us: it is worth trying at once. */
void dispatcher_wake(Group *group, Peer *peer, gint64 now_us);
void dispatcher_reconnect(Group *group, const char *why);
void dispatcher_hail(Group *group, Peer *peer, gint64 now_us);
void dispatcher_stop(Group *group);

/* follower.c */
void follower_init_log(Group *group, Log *log);
void follower_take(Group *group, gint64 now_us, GArray *mirrors);
void follower_answer(Group *group, Log *log);
void follower_answer_all(Group *group);
void follower_stop(Group *group);
/* What the peer still has of its logs: a log that this node lost a part of, but has applied beyond
 * what the peer kept, goes on behind what is applied. */
void follower_realign(Group *group, const Peer *peer, const Progress *sender);

/* handover.c */
void handover_start(Group *group, gint64 now_us);
/* Chooses again who is to hand on which log to this node. */
void handover_tick(Group *group, gint64 now_us);
/* Whether the peer's own channel to this node works. */
gboolean handover_hears(const Group *group, const Peer *peer, gint64 now_us);
/* Whether the peer asked for this log. */
gboolean handover_is_wanted(const Peer *peer, LogId log);
/* What this node tells to one peer: its progress and what it wants from it. Transfer full. */
Progress *handover_news(const Group *group, guint32 peer);

/* reads.c */
void reads_check(Group *group);
void reads_tick(Group *group, gint64 now_us);
gint64 reads_deadline_us(const Group *group);
void reads_stop(Group *group);
