/*
 * A group: the replication of one set of data at this node. It takes writes into the own log, sends
 * logs to peers (the log dispatcher), and takes the logs of others (the follower). All decisions
 * stand here and in core/; files, sockets, threads and time are behind the ports.
 *
 * Not thread-safe: the caller holds one lock around every call. No function blocks. Times are
 * arguments: now_us of a clock that never goes back, wall_ms since 1970.
 *
 * The order of things, for the own log:
 *   group_write → group_take_work gives index and clock → (append, sync) → group_on_own_durable:
 *   the index moves, the tail is published, the run goes to the store, writes are answered, peers
 *   are sent to, all in that one call.
 * For the log of another node:
 *   group_on_sync → reorder queue → group_take_work → (append, sync when due) →
 * group_on_mirror_done: the run goes to the store, the sender is answered.
 */
#pragma once

#include "base/steps.h"
#include "core/membership.h"
#include "engine/ports.h"

typedef struct Group Group;

/* What a group that was stopped answers. */
#define GROUP_STOPPED_TEXT "the node stops, or this group is closed here"

typedef struct GroupOptions {
  guint32 group;
  const char *cluster_id;
  const char *time_precision;
  LogId own; /* node id and incarnation */
  /* Must live as long as the group, which alone uses it; with what keep_members kept. */
  Membership *membership;
  guint max_pending_batch;
  guint max_requests_per_batch;
  gsize max_size_per_batch;
  guint max_pending_requests; /* entries in the tail */
  gsize max_pending_bytes;    /* bytes in the tail */
  gsize max_queued_bytes;     /* writes that wait for the log */
  gsize max_commit_size;      /* bytes of one group commit */
  gsize max_apply_backlog; /* bytes given to the store and not yet applied; above, the log waits */
  guint64 basic_retry_wait_ms, max_retry_wait_ms;
  gint64 heartbeat_interval_ms;
  gint64 max_clock_skew_ms; /* entries and members that are further ahead are not believed */
  gint64 mirror_sync_interval_ms;
  gint64 clock_keep_interval_ms; /* of keep_clock_bound; 0: as the daemon does */
  gint64 retention_interval_ms;  /* how often it is looked what can be deleted */
  gsize max_frame_size;          /* told to peers */
  guint64 random_seed;
  guint64 wall_ms;     /* now; later values come with group_take_work */
  guint64 clock_bound; /* hlc: what was kept by keep_clock_bound last, in any incarnation */
  Steps *steps;        /* what the group measures by its times; may be NULL */
} GroupOptions;

/* One write of a client. The caller owns it; data must stay until write_done. */
typedef struct GroupWrite {
  const guint8 *data; /* encoded TWrite, 1 .. LIMIT_ENTRY_SIZE bytes */
  gsize size;
  gpointer
      decoded; /* goes to the run; owned by the run afterwards, freed by the caller otherwise */
  AckLevel ack;
  gint64 deadline_us; /* for ack > ACK_LOCAL */
  /* Set by group_take_work: */
  guint64 index;
  guint64 hlc;
} GroupWrite;

/* Runs to append to one log that is not the own one. */
typedef struct MirrorWork {
  LogId log;
  GPtrArray *runs; /* EntryRun*, may be empty */
  gboolean reset;  /* drop what the log holds first: it goes on at the first run's index */
  gboolean sync;   /* sync after appending */
} MirrorWork;

typedef struct TrimWork {
  LogId log;
  guint64 index; /* everything up to it may go */
} TrimWork;

/* What is to be done to the logs: own writes first, then mirrors, then trims. */
typedef struct GroupWork {
  GPtrArray *writes; /* GroupWrite*, borrowed; index and hlc are set and consecutive */
  GArray *mirrors;   /* MirrorWork */
  GArray *trims;     /* TrimWork */
} GroupWork;

void group_work_clear(GroupWork *work);

/* How a log stood when the daemon started. */
typedef struct GroupLog {
  LogId log;
  guint64 first_available; /* as in LogProgress */
  guint64 last;            /* in the WAL, all durable; the store's index where the WAL is empty */
  guint64 last_hlc;
  guint64 applied, applied_hlc;
  guint64 store_durable;
  const char *stopped; /* NULL, or why this log cannot go on */
} GroupLog;

Group *group_new(const GroupOptions *options, const GroupPorts *ports);
/* Everything given must have been answered before (group_stop answers it). */
void group_free(Group *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)

/* Before group_start, for every log on disk, the own one included if it exists. */
void group_add_log(Group *group, const GroupLog *log);

/* Begins to connect to the peers. */
void group_start(Group *group, gint64 now_us);

/* Takes no more writes (NOT_READY). What was taken goes on. */
void group_refuse_writes(Group *group, SynclogStatus status, const char *why);
/* Whether all writes that were taken are answered and every connected peer has received the own
 * log. */
gboolean group_is_drained(const Group *group);
/* Slows writes down (core/throttle.h): commits are further apart and smaller. 0: not. */
void group_slow_writes(Group *group, guint permille);
/* Takes writes again. */
void group_accept_writes(Group *group);
/* Answers everything that waits with NOT_READY (writes that are durable with PENDING) and closes
 * the channels. */
void group_stop(Group *group);

/* --- time --------------------------------------------------------------------------------------
 */

/* Earliest moment at which group_tick or group_take_work has something to do. */
gint64 group_deadline_us(const Group *group);
void group_tick(Group *group, gint64 now_us);

/* --- the own log -------------------------------------------------------------------------------
 */

/*
 * Queues a write; answered by write_done. FALSE when it was not taken and will not be answered:
 * OVERLOADED (queue full), READ_ONLY, NO_SPACE, NOT_READY.
 */
gboolean group_write(Group *group, GroupWrite *write, GError **error);

/* Whether an entry that is durable here is known to be so on as many nodes as `ack` asks for. */
gboolean group_is_acked(Group *group, const Token *token, AckLevel ack);

typedef enum {
  GROUP_ALL_WORK,
  GROUP_OWN_WORK,    /* the writes only */
  GROUP_MIRROR_WORK, /* what is to be done on others' logs, and no deletion */
} GroupPart;

/*
 * Gives the next work on the logs, or that part of it; FALSE when there is none. Between a call and
 * its group_on_own_durable (if there were writes) and group_on_mirror_done (for each mirror) no
 * other call may come.
 */
gboolean group_take_work(Group *group, gint64 now_us, guint64 wall_ms, GroupPart part,
                         GroupWork *out_work);

/* What group_take_work would give. */
typedef struct GroupPending {
  gsize bytes;        /* of writes that wait */
  gboolean mirrors;   /* there is something to do on others' logs: */
  gsize mirror_bytes; /* so much is to be written */
  gboolean sync;      /* one is to be synced, and somebody waits for it */
  gboolean late;      /* one is to be synced, as it is time */
} GroupPending;

/* Whether it would give writes, or something to do on others' logs. */
gboolean group_has_work(const Group *group, gint64 now_us, GroupPending *out_pending);

/* The writes of the work are durable as `run` (transfer none), which carries their decoded forms.
 */
void group_on_own_durable(Group *group, GPtrArray *writes, EntryRun *run, gint64 now_us);

/*
 * They could not be written. NO_SPACE or OVERLOADED: nothing was, the log is intact, the writes are
 * refused with that. Otherwise the own log is read-only from now on. The writes' decoded forms are
 * the caller's again.
 */
void group_on_own_failed(Group *group, GPtrArray *writes, const GError *error);

/*
 * Whether the own log turned out to lack its end (a peer holds more of it): it is read-only, and
 * the caller is to begin a new incarnation, durably, and tell it by group_begin_incarnation. No
 * work may be under way then. The new log must be none that the group has heard of (asserted).
 */
gboolean group_wants_incarnation(const Group *group);
void group_begin_incarnation(Group *group, LogId own);

/* --- what is kept beside the logs ---------------------------------------------------------------
 */

/* The clock's bound that keep_clock_bound gave is durable now (ok), or could not be written. */
void group_on_clock_bound(Group *group, guint64 hlc, gboolean ok);

/* The members that keep_members gave are durable now (ok), or could not be written. */
void group_on_members_kept(Group *group, gboolean ok);

/*
 * An operator's word: a node, reached at `address`, joins the group. INVALID when the id is or was
 * a member's, or the address is one's; NOT_READY when this node is no active member. From now on
 * this node keeps what the newcomer needs; the others learn it by themselves.
 */
gboolean group_add_member(Group *group, guint32 node, const char *address, GError **error);

/* Whether it would do so, by what is known here. */
gboolean group_may_add_member(const Group *group, guint32 node, const char *address,
                              GError **error);

/*
 * An operator's word: a member is to leave. It takes no more writes as soon as it knows, and is
 * removed once the others have what it holds. One that was only joining is removed at once.
 */
gboolean group_remove_member(Group *group, guint32 node, GError **error);

/*
 * An operator's word: a member is lost for good, nothing waits for it any more, what survivors hold
 * of its logs spreads among them, and it may not come back. INVALID when it is no other member, or
 * was heard just now. The others learn it by themselves.
 */
gboolean group_forget(Group *group, guint32 node, gint64 now_us, GError **error);

/* An operator's word: a peer is sent nothing more of the logs, or again. Heartbeats go on. INVALID
 * when it is no other member. */
gboolean group_pause(Group *group, guint32 node, gboolean paused, gint64 now_us, GError **error);

/*
 * The digest of this node's data as of a clock at or below its horizon. It is told to the peers;
 * whoever finds that a peer told another one as of the same clock says so loudly.
 */
void group_set_check(Group *group, guint64 hlc, guint64 digest);

/* No entry with a clock at or below this can still come to this node. 0: not known. */
guint64 group_horizon(Group *group);

/*
 * The clock up to which the data can be compared. TRUE: a node that came to join waits for being
 * compared as of a clock that is as late as possible.
 */
gboolean group_comparable(Group *group, guint64 *out_hlc);

/* --- the follower ------------------------------------------------------------------------------
 */

/* A peer opened a channel to this node and introduces itself. Fills *out_reply (caller clears). */
void group_on_handshake(Group *group, const Handshake *handshake, HandshakeReply *out_reply,
                        gint64 now_us);
void group_on_heartbeat(Group *group, const Heartbeat *heartbeat, HeartbeatReply *out_reply,
                        gint64 now_us);

/*
 * Verified and decoded entries of another log. `run` (transfer full) carries the decoded forms; it
 * is NULL when already its first entry does not decode. `undecodable`: why the entry behind the run
 * (or at first_index) could not be decoded, or NULL. Answered by sync_done with `call`.
 * `sender`: whose handshake was accepted on that connection. Of a member that is gone nothing is
 * taken: others were told that its log is closed here.
 */
void group_on_sync(Group *group, gpointer call, guint32 sender, LogId log, guint64 first_index,
                   EntryRun *run, const char *undecodable, gboolean sync_now, gint64 now_us);

/*
 * Whether a log is stopped at exactly this entry, because it does not decode: then the caller may
 * leave it out, durably, and give it to group_on_sync as decoded from then on. INVALID otherwise.
 */
gboolean group_is_stopped_at(const Group *group, LogId log, guint64 index, GError **error);

/* A log can't go on here (its WAL can't be read, an entry can't be applied): visible until it can.
 */
void group_stop_log(Group *group, LogId log, const char *why);

/*
 * The mirror work was done: its first written_runs runs are in the WAL; without an error these are
 * all, and synced if that was asked. NO_SPACE or OVERLOADED: the rest was not written and comes
 * again. Any other error makes the log read-only here, and nothing of this work goes to the store.
 */
void group_on_mirror_done(Group *group, const MirrorWork *work, guint written_runs,
                          const GError *error, gint64 now_us);

/* Entries up to `index` of a log are visible in the store. `bytes` of the run leave the backlog. */
void group_on_applied(Group *group, LogId log, guint64 index, guint64 hlc, gsize bytes);

/* What the store has durably. */
void group_on_store_durable(Group *group, LogId log, guint64 index);

/* First index that the WAL holds after a trim. Not done: it is given out again, after a while that
 * grows with every failure. */
void group_on_trimmed(Group *group, LogId log, guint64 first_available, gboolean done);

/*
 * The entry `index` of a log can't be read from the WAL here; from `behind` on entries may be read
 * again. Those before count as deleted here: peers that lack them ask others, or for a snapshot.
 * It is tried again with read_log for this node itself, and counts again once that works. If it is
 * what the store here is to be given next, this node needs a snapshot until then.
 */
void group_on_unreadable(Group *group, LogId log, guint64 index, guint64 behind);

/*
 * The WAL is over its limit: the entries of a log up to `index` are to go although members lack
 * them, as far as a majority has them (core/retention.h).
 */
void group_give_up(Group *group, LogId log, guint64 index);

/* While it is held, no entry behind these points is deleted, whatever else allows it; logs that are
 * not named are kept as a whole. Several holds may have one id. */
typedef struct LogPoint {
  LogId log;
  guint64 index;
} LogPoint;
void group_hold(Group *group, guint64 id, const GArray *logs);
void group_release(Group *group, guint64 id);

/* All that is written in mirrors is to be synced at the next work (before the store persists). */
void group_sync_mirrors(Group *group);
/* Whether every log is durable up to what was applied of it. */
gboolean group_mirrors_synced(const Group *group);
/* Why that will not come true before a restart: of a log whose write or sync failed more is applied
 * than is durable. NULL: nothing stands against it. Transfer full. */
char *group_why_unsyncable(const Group *group);

/* --- snapshots ----------------------------------------------------------------------------------
 */

/* Whether entries that this node lacks are deleted wherever it could get them from. */
gboolean group_needs_seed(const Group *group);
/* Whether any peer's channel works. */
gboolean group_hears_anybody(const Group *group);
/* A connected peer whose store would help and lose nothing that is here (`wanted`, if that is not
 * 0); 0: none now. One in `tried` (guint32, may be NULL) only when there is no other. */
guint32 group_seeder(const Group *group, guint32 wanted, const GArray *tried);
/* Whether a store that has applied so much of each log loses nothing: this node's logs hold all
 * behind it that was applied here. *out_why (transfer full, may be NULL): why not. */
gboolean group_covers(const Group *group, guint64 (*applied)(gpointer ctx, LogId log), gpointer ctx,
                      char **out_why);

/* --- the dispatcher ----------------------------------------------------------------------------
 */

void group_on_connected(Group *group, guint32 peer, gint64 now_us);
void group_on_closed(Group *group, guint32 peer, const char *why, gint64 now_us);
void group_on_handshake_reply(Group *group, guint32 peer, const HandshakeReply *reply,
                              gint64 now_us);
void group_on_heartbeat_reply(Group *group, guint32 peer, const HeartbeatReply *reply,
                              gint64 now_us);
void group_on_sync_reply(Group *group, guint32 peer, guint64 cookie, const SyncReply *reply,
                         gint64 now_us);
/* run: transfer full, or NULL with an error or when there is nothing at `from`. */
void group_on_read(Group *group, guint32 peer, LogId log, guint64 from, EntryRun *run,
                   const char *error, gint64 now_us);

typedef enum {
  DIGEST_KNOWN,
  DIGEST_UNKNOWN, /* the log is not held so far back, or what is held can't be read */
  DIGEST_LATER,   /* descriptors or memory are short: nothing is sent before it was read */
} DigestVerdict;

/* What read_digest found at the index; `digest` counts when it is KNOWN. Another one than the peer
 * told is a fork (P4): the log is not sent to that peer. */
void group_on_digest(Group *group, guint32 peer, LogId log, guint64 index, DigestVerdict verdict,
                     guint64 digest, gint64 now_us);

/* --- reads and status --------------------------------------------------------------------------
 */

/*
 * Calls read_done with OK as soon as the node has applied what it has acknowledged itself and the
 * tokens; UNKNOWN_LOG or TIMEOUT otherwise. TRUE: that is so already, read_done will not come.
 */
gboolean group_wait_applied(Group *group, gpointer read, const GArray *tokens, gint64 deadline_us);

/*
 * While the store is stuck (it can apply nothing, its disk being full) reads do not wait for what
 * this node has acknowledged itself: old values are better than none. Tokens are waited for.
 */
void group_set_store_stuck(Group *group, gboolean stuck);

/* This node's progress, transfer full. */
Progress *group_progress(const Group *group);

/* Fills logs (without WAL sizes), peers (without addresses), counters, hlc, state. */
void group_status(const Group *group, NodeStatus *status, gint64 now_us);

/* Changes what may change while running. */
void group_set_retry_waits(Group *group, guint64 basic_wait_ms, guint64 max_wait_ms);
/* Peers are told this hash of the node's rule of groups, and a status says whose is another. 0:
 * none, as at first. */
void group_set_rule_hash(Group *group, guint64 hash);
void group_set_heartbeat_interval(Group *group, gint64 interval_ms);
