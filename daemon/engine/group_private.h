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
  LOG_HELD,      /* the next entry's clock is too far ahead to be applied yet */
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
  guint64 tried;    /* end of a write or sync that failed: the next start may find it; 0: none */
  guint64 durable;
  guint64 applied, applied_hlc;
  guint64 given; /* last index given to the store */
  /* Entries behind `given` are not given as they come but read from the WAL, since some before them
   * were held back. */
  gboolean lagging;
  gboolean feeding;     /* … and a read of it is under way */
  gboolean feed_failed; /* the last one did */
  guint64 feed_behind;  /* … as the entry before this one can't be read, which is next; else 0 */
  guint64 held_hlc;     /* the clock of the next entry, when that is why; else 0 */
  GQueue kept;          /* EntryRun: the latest ones that came meanwhile, without a hole */
  gsize kept_bytes;
  guint64 store_durable;
  guint64 first_available;
  guint64 unreadable;  /* an entry that can't be read from the WAL here; 0: none is known */
  guint64 hidden_from; /* … first_available as it is without that */
  guint64 probed;      /* the entry that is being read again, to see whether it can be; 0: none */
  guint64 trim_asked;  /* trims up to here were given out */
  guint trim_failures; /* of the last trims */
  guint trim_pause;    /* so many more retention intervals until the next try */
  guint64 limit_index; /* the WAL's limit wants everything up to here to go */
  /* The first entry that can still be had, when those before it can't: a snapshot is needed that
   * reaches up to it. 0: none is needed. */
  guint64 seed_from;
  guint64 last_hlc;
  gboolean complete; /* it is closed, and nobody has more than is applied here (horizon.c) */

  Tail *tail; /* own log only */

  /* Follower side; unused in the own log. */
  Reorder *reorder;      /* of EntryRun */
  GPtrArray *to_write;   /* EntryRun, in order */
  gboolean reset_wanted; /* drop the WAL of this log before writing on … */
  gboolean reset_waits;  /* … with the next entries: something was short when it was tried */
  guint64 sync_index;    /* to be synced up to here without waiting for sync_due_us */
  gint64 sync_due_us;    /* G_MAXINT64: nothing unsynced */
  gint64 hole_since_us;  /* batches wait in the reorder queue since then; 0: none does */
  GQueue calls;          /* SyncCall */
  guint32 supplier;      /* the peer that is asked to hand this log on; 0: none */
  guint64 stopped_at;  /* the entry that does not decode, when that is why it is stopped; else 0 */
  guint64 stall_index; /* `written` at stall_since_us */
  gint64 stall_since_us; /* since then nothing comes though it should; 0: it does */
  gboolean stall_told;
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
  guint64 digest_index; /* where it is compared */
  guint64 digest_value; /* what the peer has there */
  /* Whether the peer's mirror must be told what digest it begins with. */
  enum {
    BEGIN_UNSURE,
    BEGIN_READING,
    BEGIN_SURE,
  } begin;
  guint64 begin_index;    /* the last one before what is sent first */
  guint64 begin_digest;   /* … there; 0: there is none to tell */
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
  gboolean own_is_ours; /* what it has of the own log was found to be the same as here, once */
  gboolean hailed;      /* it opened a channel to us since ours was begun: no wait if ours fails */
  Backoff backoff;
  gboolean refused; /* the last handshake was answered with a refusal */
  char *message;    /* why it is not READY, or why a log is not sent */
  guint64 incarnation;
  guint window;     /* batches in flight per log, as it said in its handshake */
  gboolean closing; /* disconnect was asked, group_on_closed has not come */
  gint64 heartbeat_at_us;
  gint64 answered_at_us;    /* G_MININT64: never */
  gint64 heartbeat_sent_us; /* of the one that is not answered; 0: none, less: more than one */
  gboolean introduced;      /* a handshake of it was accepted since our start */
  guint heartbeats_out;     /* not answered */
  guint answers_stale;      /* how many answers come that were given before its last handshake */
  gint64 clock_offset_ms;   /* its wall clock minus ours */
  gint64 clock_mark_ms;     /* … as it was measured at clock_mark_us */
  gint64 clock_mark_us;
  gint64 clock_before_ms; /* … and a heartbeat's interval before that, or earlier */
  gboolean has_clock_offset;
  MemberState member_state; /* as was acted upon */
  MemberState knows_self;   /* what it told of this node */
  gboolean unreachable;     /* its address is not known */
  gboolean forgotten;       /* removed or lost for good: nothing waits for it */
  gboolean given_up;        /* entries that it lacks were deleted by the WAL's limit */
  gboolean paused;          /* an operator's word: no logs are sent to it */
  guint64 compared_hlc;     /* the clock at which its data was compared with ours; 0: never */
  gboolean data_differs;    /* … and the outcome */
  LogId promise_log;        /* it stamps nothing in this log behind promise_index … */
  guint64 promise_index;    /* … */
  guint64 promise_hlc;      /* … at or below this clock */
  Token lost_end;     /* the end, here, of a log of which it said it has less; index 0: none */
  gint64 heard_at_us; /* its last handshake or heartbeat on its channel to us, or our start */
  guint64 rule_hash;  /* of its rule of groups; 0: it has told none */
  Progress *progress; /* as last told by the peer */
  GPtrArray *senders; /* Sender, sorted by log */
  GArray *in_flight;  /* InFlight, by cookie */
  GArray *proofs;     /* see proof.c */
  guint64 batches_sent, batches_retried, entries_from_tail, entries_from_wal;
} Peer;

typedef struct ReadWait {
  gpointer read;
  guint64 own_index;
  GArray *tokens; /* Token, may be NULL */
  gint64 deadline_us;
} ReadWait;

enum { CHECKS_KEPT = 32 };

struct Group {
  GroupOptions options;
  guint64 rule_hash; /* that peers are told and compared with; 0: none */
  GroupPorts ports;
  guint32 self;
  gboolean started, stopped;

  guint64 clock;           /* hlc: last stamped or seen */
  guint64 clock_at_commit; /* … before the commit that is under way */
  guint64 checked_hlc;     /* this node's data was digested as of this clock; 0: never */
  guint64 checked_digest;
  struct {
    guint64 hlc, digest;
  } checks[CHECKS_KEPT]; /* the latest ones, in any order */
  guint next_check;
  guint64 horizon;       /* the greatest that was told */
  guint64 clock_bound;   /* durable: no promise goes beyond it, and a later start begins above it */
  gboolean bound_wanted; /* the host is about to raise it */
  gint64 bound_at_us;    /* when it was raised last, or this node began */
  guint64 wall_ms;       /* as last told */
  gint64 wall_at_us;     /* when; 0: never */
  gboolean evicted;      /* this node was removed, or the peers declared it lost */
  gboolean clock_wrong;  /* too far ahead of the other members' clocks to stamp with */
  gboolean clock_ahead;  /* `clock` is beyond what others apply now, whatever the wall clock is */
  guint window;          /* batches that peers said to keep in flight, the greatest */

  MemberState self_state;                /* as was acted upon */
  gboolean unkept_step;                  /* … and became active, which is not kept yet */
  GPtrArray *told;                       /* Member: the record that is kept, and told; NULL: none */
  GPtrArray *keeping;                    /* … that is being kept; NULL: none */
  guint64 told_changes, keeping_changes; /* `changes` of the membership then */
  guint64 join_hlc;                      /* the clock when this node learned who the members are */
  gint64 members_at_us;                  /* when it is next looked whether a step can be taken */
  char *members_message;                 /* what the next step waits for, or NULL */

  Log *own;
  GPtrArray *logs;  /* Log, sorted by id */
  GPtrArray *peers; /* Peer, sorted by id */

  /* Leader side. */
  GPtrArray *queued; /* GroupWrite, not yet taken */
  gsize queued_bytes;
  gboolean committing;
  gint64 commit_pause_us; /* between commits, when writes are slowed; else 0 */
  gsize commit_size;      /* bytes of one commit */
  gint64 commit_at_us;    /* not before, when writes are slowed */
  guint64 next_index;
  gboolean incarnation_wanted; /* the own log lost its end: it must not be written on */
  Acks *acks;
  guint64 sync_now_index; /* highest index that waited for ack > local */
  SynclogStatus refuse;   /* OK, or why writes are refused */
  char *refuse_message;

  gsize apply_backlog; /* bytes at the store */
  gint64 retention_at_us;
  gint64 feed_at_us;       /* when it is next looked whether held entries may be applied */
  gint64 supply_at_us;     /* when it is next looked who is to hand on what */
  gint64 refusal_noted_us; /* when a refused handshake was last told */
  guint64 next_cookie;
  GPtrArray *reads;     /* ReadWait */
  GPtrArray *holds;     /* what group_hold said */
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
/* Read-only or forked: it takes nothing more and stays so, whatever becomes of reads (P8, P4). */
static inline gboolean log_is_over(const Log *log)
{
  return log->state == LOG_READ_ONLY || log->state == LOG_FORKED;
}
void group_apply(Group *group, Log *log, EntryRun *run); /* transfer full */
/* Moves the clock by one that was seen elsewhere, unless it is too far ahead to be true. */
void group_observe(Group *group, guint64 hlc);
/* … by that of an entry of the log. What this node stamped itself, in whatever life, counts without
 * that: it is applied here at once, and a later write must not be below it. */
void group_observe_log(Group *group, const Log *log, guint64 hlc);
Peer *group_find_peer(const Group *group, guint32 id);
Peer *group_add_peer(Group *group, guint32 id);
gboolean group_is_congested(const Group *group);

/* leader.c */
void leader_check_acks(Group *group);
void leader_tick(Group *group, gint64 now_us);
void leader_stop(Group *group);
/* Whether leader_take would do something. */
gboolean leader_has_work(const Group *group, gint64 now_us);
/* Moves queued writes into `work` and stamps them. */
void leader_take(Group *group, gint64 now_us, guint64 wall_ms, GPtrArray *writes);
gint64 leader_deadline_us(const Group *group);

/* dispatcher.c */
/* Whether what the peer has of the log was compared with what is here, and is no fork. */
gboolean dispatcher_compared(const Peer *peer, const Log *log);
void dispatcher_init_peer(Peer *peer);
void dispatcher_tick(Group *group, gint64 now_us);
gint64 dispatcher_deadline_us(const Group *group);
void dispatcher_pump_all(Group *group, gint64 now_us);
/* News of a peer's progress by any way. */
void dispatcher_learn(Group *group, Peer *peer, const Progress *progress);
/* It introduces itself again: nothing counts that it said before. */
void dispatcher_forget(Peer *peer);
/* The peer opened a channel to us: it is worth trying at once. */
void dispatcher_wake(Group *group, Peer *peer, gint64 now_us);
/* Closes the channel of a peer that was declared lost. */
void dispatcher_drop(Group *group, Peer *peer);
void dispatcher_reconnect(Group *group, const char *why);
void dispatcher_hail(Group *group, Peer *peer, gint64 now_us);
void dispatcher_stop(Group *group);

/* follower.c */
/* stall.c: looks whether logs stand still; at every heartbeat. */
void stall_watch(Group *group, gint64 now_us);
/* Of a log that does. Transfer full. */
char *stall_text(const Group *group, const Log *log, gint64 now_us);

void follower_init_log(Group *group, Log *log);
/* Says in `pending` what follower_take would give. */
void follower_look(const Group *group, gint64 now_us, GroupPending *pending);
void follower_take(Group *group, gint64 now_us, GArray *mirrors);
void follower_answer(Group *group, Log *log);
void follower_answer_all(Group *group);
/* Nobody keeps the log's entries between what is here and `first`: it goes on behind what the store
 * has, or a snapshot is needed. No-op for a log that takes nothing more, read-only or forked. */
void follower_meet_hole(Group *group, Log *log, guint64 first);
/* What comes next in the log can be had again, or is nowhere: it goes on, unless what is here can't
 * be read. */
void follower_end_hole(Group *group, Log *log);
void follower_stop(Group *group);
/*
 * The log gets no more from its origin, which is lost or writes another. What waits behind a hole
 * is dropped: whoever can fill the hole has it too. Otherwise this node would come to hold more
 * than it has told, after it has told that the log is closed (see horizon.c).
 */
void follower_close(Group *group, Log *log);
/* At every heartbeat: a hole of which the sender does not know is told to it. */
void follower_tick(Group *group, Log *log, gint64 now_us);
/* The last entry of the log that is in its WAL or on its way there, or may be there although a
 * write failed. */
guint64 follower_taken(const Log *log);
/* What the peer still has of its logs: a log that this node lost a part of, but has applied beyond
 * what the peer kept, goes on behind what is applied. */
void follower_realign(Group *group, const Peer *peer, const Progress *sender);

/* clocks.c */
#define CLOCK_WRONG_TEXT                                                                           \
  "this node's clock is ahead of the other members' by more than max_clock_skew"
#define CLOCK_AHEAD_TEXT                                                                           \
  "what this node stamped, with an earlier time of its clock, is ahead of the cluster's time by "  \
  "more than max_clock_skew, and so are its writes from now on: they are acknowledged and can be " \
  "read here, and other nodes apply them when that time has come"
void clocks_tell(Group *group, gint64 now_us, guint64 wall_ms);
/* A peer's answer to what was sent at sent_us (0: unknown) told its clock. */
void clocks_measure(Group *group, Peer *peer, const Progress *news, gint64 sent_us, gint64 now_us);
/* The greatest clock (hlc) that may be believed and applied now. */
guint64 clocks_limit_hlc(const Group *group);

/* feeder.c: logs that are applied from the WAL, since a part was held back. */
/* Gives the store what may be applied of a run that comes next in its log. Transfer full. */
void feeder_give(Group *group, Log *log, EntryRun *run);
/* A run came that is not the next one, of a log that lags. Transfer full. */
void feeder_keep(Log *log, EntryRun *run);
void feeder_forget(Log *log);
void feeder_feed(Group *group, Log *log);
void feeder_tick(Group *group, gint64 now_us);
/* An entry can't be read from the WAL here. If it is the next one, only a snapshot helps: it was
 * durable here, so peers may have deleted theirs as soon as their stores had it. */
void feeder_on_unreadable(Log *log, guint64 index);
void feeder_on_read(Group *group, LogId id, EntryRun *run, const char *error);
gint64 feeder_deadline_us(const Group *group);

/* unreadable.c: parts of logs that can't be read from the WAL here, and count as deleted. */
/* Tries to read again what could not be read; at every heartbeat. */
void unreadable_probe(Group *group);
/* The answer to that: `readable` or not. FALSE: nothing of that log was asked. */
gboolean unreadable_on_read(Group *group, LogId id, guint64 index, gboolean readable);
/* The WAL begins behind `first` - 1 now. */
void unreadable_trimmed(Log *log, guint64 first);
/* Of a log that has such a part; NULL otherwise. Transfer full. */
char *unreadable_text(const Log *log);

/* proof.c */
void proof_init_peer(Peer *peer);
/* What was found counts no more. */
void proof_forget(Peer *peer);
/* Whether the peer has the log durably up to `index`, and the same entries as this node. When that
 * is not known it is found out, so that it is when it is asked again. */
gboolean proof_holds(Group *group, Peer *peer, const Log *log, guint64 index);
void proof_on_digest(Peer *peer, LogId log, guint64 index, DigestVerdict verdict, guint64 digest);

/* check.c */
/* Compares the data, if the peer told its digest as of the same clock. */
void check_compare(Group *group, Peer *peer);

/* members.c */
#define EVICTED_TEXT "this node was removed from the cluster, or declared lost for good"
/* What a peer tells of the members. */
void members_learn(Group *group, Peer *peer, const Progress *news);
/* Whether the log's origin has its entries up to `index` durably: it said so, or writes this log
 * still and has lost nothing of what is here. */
gboolean members_origin_has(const Group *group, const Log *log, guint64 index);
/* The host is to know where the peer is, as soon as that is known. */
void members_meet(Group *group, Peer *peer);
/* Takes the steps that this node takes itself. */
void members_tick(Group *group, gint64 now_us);
/* Whether somebody is just joining. */
gboolean members_join_is_on(const Group *group);
/* Whether this node may write by what it is; FALSE with the reason. */
gboolean members_take_writes(const Group *group, SynclogStatus *out_status, const char **out_why);

/* horizon.c */
/* What this node may promise now: it stamps nothing behind its durable index at or below. */
guint64 horizon_promise(Group *group);
/* What is told as the horizon; of a node that joins, as far as it can be compared. */
guint64 horizon_told(Group *group);
/* Whether a restart is sure to stamp above `hlc`, which the clock here is not below; if not yet,
 * the clock is being kept now. */
gboolean horizon_remembers(Group *group, guint64 hlc);
/* Takes a peer's promise from its news. */
void horizon_learn(Peer *peer, const Progress *news);

/* handover.c */
void handover_start(Group *group, gint64 now_us);
/* Chooses again who is to hand on which log to this node. */
void handover_tick(Group *group, gint64 now_us);
/* Whether the peer's own channel to this node works. */
gboolean handover_hears(const Group *group, const Peer *peer, gint64 now_us);
/* Whether the log at this position of group->logs is the one that its origin writes, as far as is
 * known here: not closed. */
gboolean handover_is_newest(const Group *group, guint position);
/* Whether the peer asked for this log. */
gboolean handover_is_wanted(const Peer *peer, LogId log);
/* What this node tells to one peer: its progress and what it wants from it. Transfer full. */
Progress *handover_news(Group *group, guint32 peer);

/* retain.c */
void retain_init(Group *group);
/* What nobody needs any more, and what the WAL's limit wants to go. */
void retain_take(Group *group, gint64 now_us, GArray *trims);
/* Whether entries that the peer lacks are deleted here. */
gboolean retain_needs_reseed(const Group *group, const Peer *peer);

/* reads.c */
void reads_check(Group *group);
void reads_tick(Group *group, gint64 now_us);
gint64 reads_deadline_us(const Group *group);
void reads_stop(Group *group);
