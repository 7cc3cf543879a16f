/*
 * Who this node is: the data directory's lock and node.ini in it, which holds the node id, the
 * cluster id, the time precision and the incarnation. One thread.
 */
#pragma once

#include "base/error.h"
#include "base/log_id.h"

typedef struct Identity {
  char *directory;
  int lock_fd;
  guint32 node_id;
  char *cluster_id;
  char *time_precision;
  guint64 incarnation; /* 0: none was ever begun */
  gboolean clean;      /* the last stop was clean, or syncs every write */
} Identity;

/*
 * Creates the directory if absent, locks it against a second daemon, and reads node.ini. An
 * existing one must be of the same node, cluster and precision. Errors name the path: NOT_READY
 * when another process holds the lock, INVALID when it belongs to another node, CORRUPT when it
 * can't be read.
 */
Identity *identity_open(const char *directory, guint32 node_id, const char *cluster_id,
                        const char *time_precision, GError **error);

/* Releases the lock. */
void identity_free(Identity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Identity, identity_free)

/*
 * Begins a new incarnation, later than any before and not earlier than now_us (since 1970), and
 * writes it durably.
 */
gboolean identity_begin_incarnation(Identity *identity, guint64 now_us, GError **error);

/* Writes durably whether a crash from now on would lose nothing that was acknowledged. */
gboolean identity_set_clean(Identity *identity, gboolean clean, GError **error);
