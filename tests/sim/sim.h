/*
 * A cluster of the daemon's own core, engine, WAL, recovery and identity code in one thread, over
 * simulated time, network and disks. All is drawn from one seed: the same seed gives the same
 * history, event by event.
 *
 *   swarm.c     what a seed is: sizes, limits, which faults
 *   sim.c       time, events, the cluster, the phases of a run
 *   node.c      the glue: the group's ports, log thread, apply thread, starting and dying
 *   network.c   channels between nodes
 *   disk.c      the disk under the WAL and the identity, and its faults
 *   store.c     a store that remembers each apply, and loses what was not persisted
 *   truth.c     what each entry is
 *   faults.c    what goes wrong, and when
 *   clients.c   who writes
 *   check_*.c   one promise each; see check.h
 *
 * A broken promise ends the process (sim_fail). Nodes are numbered from 1.
 */
#pragma once

#include "engine/group.h"
#include "node/identity.h"
#include "node/log_set.h"
#include "store/store.h"

#include <stdio.h>

enum { SIM_NODES_MAX = 7 };

typedef struct Sim Sim;
typedef struct SimNode SimNode;
typedef struct SimDisk SimDisk;
typedef struct Truth Truth;

typedef enum {
  FAULT_KILL,      /* kill -9 */
  FAULT_POWER,     /* what was not synced is lost, or not, page by page */
  FAULT_POWER_IO,  /* … in the middle of the next calls to the disk; the last write is torn */
  FAULT_POWER_ALL, /* of all nodes at once */
  FAULT_PARTITION, /* two halves */
  FAULT_CUT,       /* one link */
  FAULT_CUT_ONE_WAY,
  FAULT_RESET, /* a channel */
  FAULT_SLOW_LINK,
  FAULT_LOSSY, /* for a while requests get lost and doubled */
  FAULT_EIO_WRITE,
  FAULT_EIO_SYNC,
  FAULT_EIO_READ,
  FAULT_NO_SPACE,
  FAULT_SHORT_CALLS,
  FAULT_SLOW_DISK,
  FAULT_SLOW_STORE,
  FAULT_CLOCK,   /* the wall clock is set */
  FAULT_FLIP,    /* a byte on a disk changes */
  FAULT_WIPE,    /* a disk is replaced by an empty one */
  FAULT_RESTORE, /* a disk is replaced by an old copy of itself */
  FAULT_KINDS,
} FaultKind;

/* What a seed stands for. */
typedef struct SimConfig {
  guint64 seed;
  guint nodes;
  gint64 duration_us;    /* of the phase with faults */
  gint64 write_every_us; /* mean, over all nodes */
  guint write_size_max;  /* bytes of padding */
  guint ack_percent[4];  /* by AckLevel */
  guint delete_percent;
  gsize segment_size;
  gsize memtable_size; /* bytes applied before the store persists; 0: never */
  GroupOptions group;
  gint64 delay_min_us, delay_max_us;
  gint64 request_timeout_us;
  gint64 disk_us, apply_us;
  guint lose_percent, duplicate_percent; /* while lossy */
  gint64 fault_every_us;                 /* mean; 0: none */
  guint weight[FAULT_KINDS];
  gint64 clock_jump_ms;  /* at most, either way */
  gint64 down_us;        /* how long a node stays down, at most */
  guint bad_disk;        /* the one node whose disk may be damaged */
  guint lost_node;       /* never comes back after the faults; 0: none */
  gboolean forget_lost;  /* and is declared lost */
  guint cut_for_good[2]; /* this link stays cut; 0: none */
} SimConfig;

/* As seed `seed` says. */
SimConfig swarm_config(guint64 seed);
void swarm_describe(const SimConfig *config, FILE *out);

/* --- events -------------------------------------------------------------------------------------
 */

/* Something that will happen. It is dropped when its node lives another life by then. */
typedef struct Event Event;
struct Event {
  gint64 at_us;
  guint64 seq;
  void (*run)(Sim *sim, Event *event);
  guint node;
  guint64 life; /* 0: any */
  guint peer;
  guint64 channel;
  guint64 cookie;
  gpointer message;
  GDestroyNotify free_message;
};

void sim_add_event(Sim *sim, gint64 delay_us, Event event);

/* --- what is in a cluster ----------------------------------------------------------------------
 */

typedef struct SimWrite {
  GroupWrite write; /* first */
  guint node;
  guint8 *data;
  guint64 number;
} SimWrite;

/* An answer that a client got. */
typedef struct SimAck {
  Token token;
  guint64 content;
  guint64 number;
  gboolean excused; /* its only copies were on a disk that was destroyed */
} SimAck;

/* What a node has told others, or clients, to be durable of a log. */
typedef struct Claim {
  LogId log;
  guint64 durable;
} Claim;

/* The disk work of one GroupWork, done and not yet told. */
typedef struct DoneWork {
  GroupWork work;
  EntryRun *own_run; /* NULL: there were no writes */
  GError *own_error;
  GArray *written;   /* guint, by mirror */
  GPtrArray *errors; /* GError or NULL, by mirror */
} DoneWork;

struct SimNode {
  Sim *sim;
  guint32 id;
  SimDisk *disk;
  GPtrArray *stored;      /* StoredLog: the store's disk and memory */
  GPtrArray *stored_copy; /* … as of the last copy of the disk, or NULL */
  gint64 wall_offset_ms;
  gint64 disk_us, apply_us;
  guint64 life;
  gboolean gone;    /* for good */
  gboolean damaged; /* its disk was damaged once, or replaced */
  gboolean dying;   /* nothing gets out of the process any more */
  gboolean restart_planned;
  guint64 horizon;                /* as told last in this life */
  guint64 told_horizon, promised; /* the greatest that it told in any life */
  guint64 applied_count;          /* in all lives */
  GArray *claims;                 /* Claim: what it told to be durable, in any life */

  /* This life; NULL and 0 while it is down. */
  Identity *identity;
  LogSet *logs;
  Wal *own_wal;
  Store *store;
  Membership *membership;
  Group *group;
  gboolean log_busy;
  DoneWork done;
  GQueue applies; /* EntryRun */
  gsize apply_bytes;
  gboolean applying, persisting, turn_planned;
  gboolean has_failed_log; /* a write or sync of this log failed in this life */
  LogId failed_log;
  guint64 channel[SIM_NODES_MAX + 1];  /* to that peer; 0: none */
  guint64 accepted[SIM_NODES_MAX + 1]; /* the peer's channel, once its handshake was accepted */
  GPtrArray *calls;                    /* syncLogs to be answered */
  GPtrArray *writes;                   /* SimWrite, taken and not answered */
};

struct Sim {
  SimConfig config;
  GRand *rand;
  gint64 now_us;
  guint64 next_seq, next_channel, next_write;
  GPtrArray *events; /* a heap */
  guint same_time_steps;
  guint64 steps;
  SimNode nodes[SIM_NODES_MAX + 1]; /* [0] unused */
  Truth *truth;
  GArray *acks; /* SimAck */
  GArray *held; /* Claim: what survivors had when the faults were over, see check_handover.c */
  gboolean cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* [from][to] */
  gint64 extra_delay_us[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
  gboolean lossy;
  gboolean calm;         /* no more faults, no more writes */
  gboolean media_damage; /* a disk was damaged or replaced in this run */
  gboolean clock_lost;   /* a node lost all that it had promised by, with its disk */
  FILE *trace;           /* NULL: none */
  guint64 faults[FAULT_KINDS];
  gint64 healed_us;
};

/* --- sim.c --------------------------------------------------------------------------------------
 */

Sim *sim_new(const SimConfig *config, FILE *trace);
void sim_free(Sim *sim);
/* The whole life of a cluster: faults, healing, convergence, and what must hold at the end. */
void sim_run(Sim *sim);
void sim_run_for(Sim *sim, gint64 us);
/* Until all running nodes hold and have applied the same; fails after limit_us. */
void sim_run_until_equal(Sim *sim, gint64 limit_us);
gboolean sim_is_equal(Sim *sim);
guint sim_random(Sim *sim, guint below);
gboolean sim_percent(Sim *sim, guint chance);
/* A random time with that mean, between a half and one and a half of it. */
gint64 sim_around_us(Sim *sim, gint64 mean_us);
void sim_trace(Sim *sim, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A promise is broken, in words: ends the process. */
void sim_fail(Sim *sim, const char *promise, const char *format, ...)
    G_GNUC_PRINTF(3, 4) G_GNUC_NORETURN;
/* "1-1700000000000000" shortened to what tells logs apart in a run. */
const char *sim_log_name(LogId log);

/* --- node.c -------------------------------------------------------------------------------------
 */

void node_init(Sim *sim, guint32 id);
void node_clear(SimNode *node);
gboolean node_is_up(const SimNode *node);
/* FALSE when it could not start; a later try may succeed. */
gboolean node_start(SimNode *node);
typedef enum { DIE_KILLED, DIE_POWER } NodeDeath;
void node_die(SimNode *node, NodeDeath death);
/* Dies now, and comes back within down_us. */
void node_crash(SimNode *node, NodeDeath death, gint64 down_us);
void node_plan_start(SimNode *node, gint64 delay_us);
void node_turn_log_thread(SimNode *node);
guint64 node_wall_ms(const SimNode *node);
guint64 node_applied(const SimNode *node, LogId log);
/* What a power loss would leave of a log: in the WAL, or in the store. */
guint64 node_kept(const SimNode *node, LogId log);
/* Whether a log can't be written on, or the node takes no writes: an operator restarts it. */
gboolean node_needs_restart(const SimNode *node);
void node_claim(SimNode *node, LogId log, guint64 durable);
void node_write(SimNode *node, SimWrite *write);

/* --- network.c ----------------------------------------------------------------------------------
 */

void port_connect(gpointer ctx, guint32 peer);
void port_disconnect(gpointer ctx, guint32 peer);
void port_send_handshake(gpointer ctx, guint32 peer, const Handshake *handshake);
void port_send_heartbeat(gpointer ctx, guint32 peer, const Heartbeat *heartbeat);
void port_send_sync(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch);
void port_sync_done(gpointer ctx, gpointer call, const SyncReply *reply);
void network_reset(SimNode *node, guint peer);
void network_die(SimNode *node);
void network_heal(Sim *sim);

/* --- disk.c -------------------------------------------------------------------------------------
 */

SimDisk *disk_new(guint32 seed);
void disk_free(SimDisk *disk);
const WalIo *disk_io(SimDisk *disk);
guint64 disk_inode(const SimDisk *disk);
/* After so many more calls nothing is done any more: the process is dead, the last write torn. */
void disk_stop_after(SimDisk *disk, guint calls);
gboolean disk_is_stopped(const SimDisk *disk);
/* The next call of that kind fails once, after `after` more. */
typedef enum { DISK_FAIL_WRITE, DISK_FAIL_SYNC, DISK_FAIL_READ } DiskFailure;
void disk_fail(SimDisk *disk, DiskFailure failure, guint after);
/* The path on which a write or sync failed since last asked, or NULL. Transfer full. */
char *disk_take_failed(SimDisk *disk);
void disk_set_full(SimDisk *disk, gboolean full);
void disk_set_short_calls(SimDisk *disk, gboolean on);
void disk_heal(SimDisk *disk);
/* The process is gone, or the power. All files are closed. */
void disk_die(SimDisk *disk, gboolean power);
/* While its node is down: changes a byte of a segment; FALSE when there is none. */
gboolean disk_flip(SimDisk *disk, guint32 node, GRand *rand, char **out_where);
void disk_wipe(SimDisk *disk);
/* Keeps a copy, puts the one that is kept in its place (as another directory). */
void disk_keep_copy(SimDisk *disk);
gboolean disk_has_copy(const SimDisk *disk);
void disk_restore_copy(SimDisk *disk);
guint disk_open_files(SimDisk *disk);
guint64 disk_bytes(SimDisk *disk);
guint64 disk_calls(SimDisk *disk);

/* --- store.c ------------------------------------------------------------------------------------
 */

typedef struct StoredEntry {
  guint64 content, hlc;
  guint64 order; /* of all that the node applied */
} StoredEntry;

typedef struct StoredLog {
  LogId log;
  GArray *entries; /* StoredEntry of 1, 2, 3, … */
  guint durable;   /* so many of them survive a crash */
} StoredLog;

Store *sim_store_new(SimNode *node);
/* The process is gone: what was not persisted goes. */
void sim_store_die(SimNode *node);
void sim_store_wipe(SimNode *node);
void sim_store_keep_copy(SimNode *node);
void sim_store_restore_copy(SimNode *node);
StoredLog *sim_stored(const SimNode *node, LogId log);
void stored_log_free(gpointer stored);
/* What stands for the content of a write. */
guint64 sim_content(const Decoded *decoded);

/* --- truth.c ------------------------------------------------------------------------------------
 */

typedef struct TrueEntry {
  guint64 hash;    /* of the record's bytes */
  guint64 content; /* sim_content */
  guint64 hlc;
  GBytes *data; /* the encoded TWrite */
} TrueEntry;

typedef struct TrueLog {
  LogId log;
  GArray *entries; /* TrueEntry of 1, 2, 3, … */
} TrueLog;

Truth *truth_new(void);
void truth_free(Truth *truth);
GPtrArray *truth_logs(const Truth *truth); /* TrueLog, sorted; borrowed */
TrueLog *truth_find(const Truth *truth, LogId log);
const TrueEntry *truth_entry(const Truth *truth, LogId log, guint64 index);
/* The origin has these durably: from now on this is what they are. Fails with P4 when they were
 * something else. */
void truth_tell(SimNode *origin, EntryRun *run);
/* A node holds these: they must be what the origin made. */
void truth_compare(SimNode *node, EntryRun *run);

/* --- faults.c, clients.c ------------------------------------------------------------------------
 */

void faults_start(Sim *sim);
void faults_heal(Sim *sim);
const char *fault_name(FaultKind kind);
void clients_start(Sim *sim);
SimWrite *clients_make_write(Sim *sim, guint node, AckLevel ack, gint64 timeout_us);
void write_free(SimWrite *write);
