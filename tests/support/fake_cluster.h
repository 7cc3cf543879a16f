/*
 * A cluster of groups in memory, for tests of engine/: simulated time, disks, stores and network,
 * all from one seed. The same calls with the same seed give the same history.
 *
 * A node has a disk that survives fake_kill (and, what was synced of it, fake_power_off), a log
 * thread that works on one piece of work at a time, an apply thread, and a channel to each peer as
 * in the daemon: requests on it may overtake each other on their way to the other node's decoders,
 * a request that gets lost makes the sender close the channel after request_timeout_us.
 *
 * The cluster checks while it runs:
 *   - each store gets every log in order, without a hole, each entry once, with its origin's bytes
 * (P2);
 *   - a pair (log, index) never gets a second content (P4);
 *   - what is answered OK is durable on as many nodes as was asked for (P1);
 *   - a group never asks to be called again at a time that has passed, with nothing to do then
 * (P9);
 *   - nothing is applied from below the horizon that a node has told;
 *   - a channel is closed once.
 * A violation aborts the test (Check's own assertions).
 *
 * Include support/fake_cluster.c in the test. Nodes are numbered from 1.
 */
#pragma once

#include "engine/group.h"

enum { FAKE_NODES_MAX = 7 };

typedef struct FakeCluster FakeCluster;
typedef struct FakeNode FakeNode;

/* One log on a node's disk. */
typedef struct FakeLog {
  LogId id;
  GPtrArray *records; /* GBytes of base + 1, base + 2, … */
  guint64 base;       /* highest index that is gone */
  guint64 durable;
  /* It began behind this index, with this digest, 0: nobody told one. Index 0: at entry 1, or the
   * test made it, and knows the truth. */
  guint64 begun_index, begun_digest;
} FakeLog;

/* What a node's store has of a log. */
typedef struct FakeApplied {
  LogId id;
  guint64 applied, applied_hlc;
  guint64 durable, durable_hlc; /* survives a power loss */
} FakeApplied;

typedef struct FakeWrite {
  GroupWrite write;
  guint node;
  guint members; /* that counted for acknowledgements */
  GBytes *data;
  gboolean taken, answered;
  SynclogStatus status;
  Token token;
  gint64 answered_at_us;
} FakeWrite;

struct FakeNode {
  FakeCluster *cluster;
  guint32 id;
  Group *group; /* NULL while it is down */
  guint64 incarnation;
  GPtrArray *logs; /* FakeLog: the disk */
  GArray *store;   /* FakeApplied */
  guint64 clock_bound;
  guint64 horizon;    /* as told last */
  GPtrArray *members; /* Member: what was kept; NULL: nothing */
  gboolean joins;     /* it starts as a newcomer that knows node 1 only */
  guint32 also_lists; /* … and this one; 0: nobody else */
  GArray *given;      /* FakeApplied: what was given to the apply thread (applied only) */

  /* This life. */
  guint64 life;
  gboolean log_busy;
  GroupWork work;
  gboolean has_work;
  GQueue applies; /* EntryRun: what the apply thread has to do */
  gboolean dying; /* nothing gets out of the process any more */
  Membership *membership;
  guint64 channel[FAKE_NODES_MAX + 1]; /* 0: none */
  GPtrArray *calls;                    /* FakeCall: to be answered by sync_done */
  gboolean persist_wanted;

  /* Faults. */
  gint64 wall_offset_ms;
  gboolean disk_full;   /* appends fail with NO_SPACE … */
  gboolean busy;        /* … with OVERLOADED: no descriptors */
  gboolean disk_broken; /* appends and syncs fail for good */
  gboolean sync_broken; /* … syncs only */
  gboolean reads_fail;
  gboolean deletes_fail;
  gboolean no_descriptors;  /* digests of logs can't be read now */
  gboolean tells_no_digest; /* with its batches: it is of an older version */
  LogId damaged;            /* this entry of that log can't be read … */
  guint64 damaged_index;    /* … 0: none */
  gboolean reads_find_nothing;
  gboolean reads_run_ahead; /* the WAL has a record more than the group was told of */
  gboolean apply_paused;

  LogId forked; /* what this node writes into that log is not the truth: it was restored from an
                   old copy */

  /* What happened. */
  guint64 trims, reads, commits, mirror_syncs, out_of_window, duplicates_sent;
  SynclogStatus last_reply; /* to the last syncLog that was answered */
  guint64 last_expected;
  GString *notes; /* all lines of note, warnings and worse */
};

typedef enum { FAKE_DELIVER, FAKE_LOSE, FAKE_ANSWER } FakeVerdict;

/* Decides about one syncLog on its way. With FAKE_ANSWER, *reply is delivered instead. */
typedef FakeVerdict (*FakeFilter)(gpointer ctx, guint from, guint to, const SyncBatch *batch,
                                  SyncReply *reply);

typedef struct FakeWriteCounts {
  guint ok, pending, refused, open;
} FakeWriteCounts;

struct FakeCluster {
  GRand *rand;
  gint64 now_us;
  guint count;
  guint founders; /* the members at first: nodes 1 … this; as many as there are nodes */
  FakeNode nodes[FAKE_NODES_MAX + 1]; /* [0] unused */
  GroupOptions options;               /* for nodes that start from now on */
  guint64 next_seq, next_channel;
  GPtrArray *events; /* sorted, the next one at the end */
  guint same_time_steps;
  GPtrArray *writes; /* FakeWrite */
  GPtrArray *truth;  /* FakeLog: each entry as its origin made it durable */

  /* The network. */
  gboolean cut[FAKE_NODES_MAX + 1][FAKE_NODES_MAX + 1]; /* [from][to] */
  gint64 delay_min_us, delay_max_us;
  gint64 request_timeout_us;
  gint64 disk_us, apply_us;
  guint lose_percent, duplicate_percent; /* of requests */
  gboolean over_limit;                   /* group_give_up was called: a majority is enough (P5) */
  FakeFilter filter;
  gpointer filter_ctx;
};

/* All nodes are down at first. The options may be changed before fake_start. */
FakeCluster *fake_cluster_new(guint count, guint32 seed);
void fake_cluster_free(FakeCluster *cluster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeCluster, fake_cluster_free)

/* A node starts with what its disk and its store hold; new_incarnation: with a new own log. */
void fake_start(FakeCluster *cluster, guint node, gboolean new_incarnation);
void fake_start_all(FakeCluster *cluster);

/* kill -9: what was written but not synced stays. */
void fake_kill(FakeCluster *cluster, guint node);
/* Of what was not synced a random part is gone, the store falls back to what it had durably. */
void fake_power_off(FakeCluster *cluster, guint node);

/* Cuts or heals the way from → to; channels over it are reset. */
void fake_cut(FakeCluster *cluster, guint from, guint to, gboolean cut);
/* Both ways, between all nodes of the two sets (bit n is node n). */
void fake_partition(FakeCluster *cluster, guint set_a, guint set_b);
void fake_heal(FakeCluster *cluster);
/* The channel from → to is reset. */
void fake_reset_channel(FakeCluster *cluster, guint from, guint to);

/* One write; lives until the cluster is freed. */
FakeWrite *fake_write(FakeCluster *cluster, guint node, AckLevel ack, gint64 timeout_us);
FakeWriteCounts fake_count_writes(const FakeCluster *cluster);

/* The store makes durable what it has, as soon as all its logs are synced. */
void fake_persist(FakeCluster *cluster, guint node);

/* A syncLog out of nowhere; its answer is in last_reply. run: transfer full, as in group_on_sync.
 */
void fake_inject(FakeCluster *cluster, guint node, LogId log, guint64 first_index, EntryRun *run,
                 const char *undecodable, gboolean sync_now);
/* Entries of a log whose origin need not exist; the next ones of that log for the cluster's checks.
 */
EntryRun *fake_forge(FakeCluster *cluster, LogId log, guint count);
/* Entries first .. last of a log, as their origin made them. */
EntryRun *fake_true_run(FakeCluster *cluster, LogId log, guint64 first, guint64 last);

/* Lets time pass. */
void fake_run_for(FakeCluster *cluster, gint64 us);

/* Lets time pass until the condition holds; aborts after limit_us. Returns how long it took. */
gint64 fake_run_until(FakeCluster *cluster, gboolean (*condition)(FakeCluster *, gpointer),
                      gpointer data, gint64 limit_us);

/* Until all running nodes have received, made durable and applied all logs up to the same index,
 * and nobody's own log is ahead. */
gint64 fake_run_until_equal(FakeCluster *cluster, gint64 limit_us);
gboolean fake_is_equal(FakeCluster *cluster, gpointer unused);

FakeNode *fake_node(FakeCluster *cluster, guint node);
LogId fake_own_log(FakeCluster *cluster, guint node);
/* As the node's disk and store have it; 0 when they know nothing of the log. */
guint64 fake_durable(FakeCluster *cluster, guint node, LogId log);
/* … what a power loss would leave, in the log or in the store. */
guint64 fake_kept(FakeCluster *cluster, guint node, LogId log);
guint64 fake_written(FakeCluster *cluster, guint node, LogId log);
guint64 fake_applied(FakeCluster *cluster, guint node, LogId log);
FakeLog *fake_find_log(FakeCluster *cluster, guint node, LogId log);
FakeApplied *fake_find_applied(FakeCluster *cluster, guint node, LogId log);
/* The status that the group itself tells; free it. */
NodeStatus *fake_status(FakeCluster *cluster, guint node);
/* A peer's or log's part of it. */
const PeerStatus *fake_peer_status(const NodeStatus *status, guint32 peer);
const LogStatus *fake_log_status(const NodeStatus *status, LogId log);
/* Whether there is a message and `part` is in it. */
gboolean fake_says(const char *message, const char *part);
