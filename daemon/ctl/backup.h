/*
 * A backup: a directory with a snapshot of a node.
 *
 *   backup.ini   the manifest (base/snapshot.h), with state "fetching" or "complete"
 *   store/       the files of the store
 */
#pragma once

#include "base/snapshot_copy.h"
#include "ctl/ctl.h"

#define BACKUP_MANIFEST "backup.ini"
#define BACKUP_STORE "store"
#define BACKUP_FETCHING "fetching"
#define BACKUP_COMPLETE "complete"

/* The bar for what goes on, on stderr if that is a terminal; a SnapshotStep with a BackupBar. */
typedef struct BackupBar {
  const char *what;
  gboolean draw;
  guint64 done, all;
  gint64 drawn_us;
} BackupBar;

BackupBar backup_bar(const Ctl *ctl, const char *what);
gboolean backup_bar_step(gpointer bar, guint64 done, guint64 all);
void backup_bar_end(BackupBar *bar);

/* The manifest of a backup that is complete; INVALID when it is not. */
Snapshot *backup_load(const char *directory, GError **error);

typedef struct RestoreOptions {
  const char *data_dir;
  const char *cluster_id; /* NULL: that of the backup */
  const char *wal;        /* folder of logs to go on from, or NULL */
  char **until;           /* LOG:INDEX; NULL: none */
  gboolean other_group;   /* --group may name another one than the backup does */
} RestoreOptions;

/* Makes `data_dir`, which must be empty, one that a node starts from with the backup's data, as the
 * group that the backup names unless --group names one. */
gboolean backup_restore(Ctl *ctl, const char *directory, const RestoreOptions *options,
                        GError **error);
