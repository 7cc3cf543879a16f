/*
 * Fetches the files of a snapshot into a directory, fragment by fragment, from whoever gives them:
 * a peer, a node that is backed up, a test. Blocking; memory for one fragment.
 */
#pragma once

#include "base/snapshot.h"

/*
 * Asks for a part of a file: `size` bytes at `offset`, exactly. *out_bytes (transfer full) backs
 * out_fragment->data. May wait for as long as the rate limit wants. What it returns is not
 * believed.
 */
typedef gboolean (*SnapshotGet)(gpointer ctx, guint64 id, guint32 file, guint64 offset, gsize size,
                                SnapshotFragment *out_fragment, GBytes **out_bytes, GError **error);

/* How far it is; FALSE ends the copying (NOT_READY). */
typedef gboolean (*SnapshotStep)(gpointer ctx, guint64 done, guint64 all);

typedef struct SnapshotCopy {
  const Snapshot *snapshot;
  const char *directory; /* created if absent */
  SnapshotGet get;
  SnapshotStep step; /* may be NULL */
  gpointer ctx;
} SnapshotCopy;

/*
 * Fetches what is missing: files that are there are gone on with where they end. Each is synced and
 * compared with its checksum; one that was begun earlier and turns out wrong is fetched once more
 * from its start. Files in the directory that the snapshot does not have are removed before
 * anything is fetched. CORRUPT for fragments that are not what was asked for (other snapshot, file,
 * offset, size, checksum): nothing of them is written.
 */
gboolean snapshot_copy(const SnapshotCopy *copy, GError **error);

/* Whether all files are there with their sizes and checksums; CORRUPT names the first that is not.
 */
gboolean snapshot_verify(const Snapshot *snapshot, const char *directory, SnapshotStep step,
                         gpointer ctx, GError **error);

/* Reads the size and the checksum of a file. CORRUPT when there is none. */
gboolean snapshot_measure(const char *path, SnapshotFile *out_file, GError **error);
