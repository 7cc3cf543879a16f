/*
 * A store that was fetched from another node takes the place of this node's own. Beside the store
 * (group-N/store) stand, while that is under way:
 *
 *   store.new/   the files of the snapshot, as far as they are here
 *   seed.ini     its manifest (base/snapshot.h), with state "fetching", or "ready" once all files
 *                are here, synced, and were opened and compared with it
 *   store.old/   the store before, until it is removed
 *
 * What is ready is installed when the group is opened, before anything uses the store. A crash at
 * any point leaves the old store or the new one, and the next start goes on. Should the manifest
 * have gone bad just then, the old store counts.
 */
#pragma once

#include "base/snapshot.h"
#include "node/identity.h"
#include "node/log_set.h"
#include "store/store.h"

/* Paths of the two; transfer full. */
char *install_manifest_path(const char *group_directory);
char *install_copy_path(const char *group_directory);

/* The manifest of a snapshot that is being fetched, or NULL: there is none, or it is not as it was
 * written. *out_ready: it only has to be installed. */
Snapshot *install_pending(const char *group_directory, gboolean *out_ready);

/* Removes all that stands beside the store. */
gboolean install_discard(const char *group_directory, GError **error);

/*
 * Installs what is ready, if anything is; the logs are open, the store (options->directory) is not.
 * A snapshot that would lose entries which only this node has is discarded, loudly; one of another
 * cluster (a restored backup) is INVALID and stays. Logs other than the last own one that end
 * before what the new store has are emptied: they go on behind it. What that one has more than the
 * store is applied by recovery; what it has less makes a new incarnation (P4).
 */
gboolean install_run(const char *group_directory, const StoreOptions *options, LogSet *logs,
                     const Identity *identity, GError **error);
