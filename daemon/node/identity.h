/*
 * Who this node is: the data directory's lock, and what must survive beside the logs: node id,
 * cluster id, time precision, incarnation, the bound of the clock, the record of members, and the
 * entries that an operator told this node to leave out. It stands twice, in node.ini and
 * node.ini.copy, each with a checksum; one good one of the two is enough, and none is no reason to
 * guess.
 *
 * Functions that write are thread-safe. The fields may be read without a lock: those of the first
 * part never change, incarnation is changed by one thread only, the others are read at the start.
 */
#pragma once

#include "base/error.h"
#include "base/log_id.h"
#include "base/token.h"
#include "core/member.h"
#include "wal/io.h"

typedef struct Identity {
  char *directory;
  const WalIo *io;
  int lock_fd; /* -1: not locked */
  guint32 node_id;
  char *cluster_id;
  char *time_precision;
  guint64 inode; /* of the directory */
  gboolean
      copied; /* the directory is not the one that was written last: it was restored or moved */

  guint64 incarnation; /* 0: none was ever begun */
  guint64 past;        /* the last one before the directory was deleted: the next is later */
  gboolean clean;      /* the last stop was clean, or syncs every write */
  guint64 clock_bound; /* hlc: the clock begins above it; what was promised is not */
  GArray *forgotten;   /* guint32: members that are lost, as versions without a record kept them */
  GPtrArray *members;  /* Member: the record of members; NULL: none */

  GMutex skip_mutex; /* guards skipped; held for moments only */
  GArray *skipped;   /* Token, in the order in which they were told; replaced, never changed */

  GMutex mutex; /* guards writing */
  guint64 sequence;
  guint64 members_changes; /* of the record that was kept last, since the start */
} Identity;

/*
 * Creates the directory if absent, locks it against a second daemon, and reads node.ini. An
 * existing one must be of the same node, cluster and precision. Errors name the path: NOT_READY
 * when another process holds the lock, INVALID when it belongs to another node, CORRUPT when
 * neither copy can be read.
 */
Identity *identity_open(const char *directory, guint32 node_id, const char *cluster_id,
                        const char *time_precision, GError **error);

/* The same on a file system of the caller's, which must outlive the identity. Nothing is locked,
 * and the caller says what the inode of the directory is. */
Identity *identity_open_on(const WalIo *io, guint64 inode, const char *directory, guint32 node_id,
                           const char *cluster_id, const char *time_precision, GError **error);

/*
 * The record of members that a directory holds, without touching it; also while a daemon runs
 * there. NULL without an error: there is none.
 */
GPtrArray *identity_peek_members(const char *directory, GError **error);

/* Why the configuration's section for a peer is not used, by the record of members; NULL: it is. */
char *identity_complain_of_peer(const GPtrArray *members, guint32 peer);

/* Releases the lock. */
void identity_free(Identity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Identity, identity_free)

/*
 * Begins a new incarnation, later than any before and not earlier than now_us (since 1970), and
 * writes it durably.
 */
gboolean identity_begin_incarnation(Identity *identity, guint64 now_us, GError **error);

/*
 * What must outlive a directory that is deleted on purpose, in a small file beside it: the last
 * incarnation and the bound of the clock, so that those who remember its logs never see a number
 * or a time again. Nobody may have the directory open; without node.ini there is nothing to keep.
 */
gboolean identity_keep_past(const char *directory, guint32 node_id, const char *cluster_id,
                            const char *time_precision, const char *path, GError **error);
/* Takes it over into one that was just opened and has no incarnation yet. No such file: nothing. */
gboolean identity_take_past(Identity *identity, const char *path, GError **error);

/* Writes durably whether a crash from now on would lose nothing that was acknowledged. */
gboolean identity_set_clean(Identity *identity, gboolean clean, GError **error);

/* Raises the bound of the clock, durably. */
gboolean identity_set_clock_bound(Identity *identity, guint64 hlc, GError **error);

/* Keeps the record of members, durably, unless a later one (of more changes) is kept already. */
gboolean identity_set_members(Identity *identity, GPtrArray *members, guint64 changes,
                              GError **error);

/* Adds an entry to those that this node leaves out, durably. TOO_LARGE: LIMIT_SKIPPED are. */
gboolean identity_skip(Identity *identity, const Token *entry, GError **error);
/* Whether it does. Any thread. */
gboolean identity_skips(Identity *identity, LogId log, guint64 index);
/* All of them (Token). Transfer full. */
GArray *identity_skipped(Identity *identity);
