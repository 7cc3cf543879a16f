/*
 * A snapshot: a copy of a node's store, told by its files, with what it holds. It is what a node
 * that is too far behind is given, and what a backup consists of. Plain values, and their form as
 * text; no file is opened here but by snapshot_save and snapshot_load. Any thread.
 */
#pragma once

#include "base/error.h"
#include "base/log_id.h"
#include "base/table.h"

enum {
  SNAPSHOT_FILES = 65536,           /* files of one snapshot */
  SNAPSHOT_NAME_SIZE = 64,          /* bytes of a file's name */
  SNAPSHOT_FRAGMENT_SIZE = 1 << 20, /* most bytes of one fragment */
  SNAPSHOT_TEXT_SIZE = 16 << 20,    /* most bytes of a manifest */
};

/* Names in a group's folder while a snapshot takes the place of its store (node/install.h), and the
 * states of the manifest there. */
#define SEED_MANIFEST "seed.ini"
#define SEED_COPY "store.new"
#define SEED_FETCHING "fetching"
#define SEED_READY "ready"

enum { SNAPSHOT_NO_GROUP = -1 };

typedef struct SnapshotFile {
  char name[SNAPSHOT_NAME_SIZE + 1];
  guint64 size;
  guint32 checksum; /* CRC-32C of its bytes */
} SnapshotFile;

/* What a snapshot holds of one log. */
typedef struct SnapshotLog {
  LogId log;
  guint64 applied; /* index */
  guint64 hlc;     /* of the entry at `applied` */
  guint64 digest;  /* running digest of the log (base/record.h) there; 0: not told */
} SnapshotLog;

typedef struct Snapshot {
  guint64 id; /* at the node that made it; never 0 */
  char *cluster_id;
  guint32 node_id; /* that made it */
  gint group;      /* of which; SNAPSHOT_NO_GROUP: not told. In the text only, not on the wire */
  char *time_precision;
  char *version;              /* of the program that made it */
  guint64 partition_interval; /* of the store, in units of time */
  guint64 store_format;       /* of its files; 0: not told */
  guint64 created_ms;         /* wall clock */
  StateDigest digest;         /* of all that it holds */
  GArray *logs;               /* SnapshotLog, sorted */
  GArray *files;              /* SnapshotFile */
} Snapshot;

Snapshot *snapshot_new(void);
void snapshot_free(Snapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_free)

/* Bytes of all files. */
guint64 snapshot_bytes(const Snapshot *snapshot);

/* What it holds of a log; 0, NULL: nothing. */
guint64 snapshot_applied(const Snapshot *snapshot, LogId log);
const SnapshotLog *snapshot_find_log(const Snapshot *snapshot, LogId log);

/*
 * Whether what another node told can be one: names of files that are plain names and differ, sizes,
 * counts, logs in order, texts of a sensible length. INVALID names what is wrong.
 */
gboolean snapshot_check(const Snapshot *snapshot, GError **error);

/*
 * The manifest as text: key file with a checksum in its last line; `state` is a word of the
 * caller's that is kept with it. Reading checks all that snapshot_check does; CORRUPT when it was
 * not written like this.
 */
char *snapshot_to_text(const Snapshot *snapshot, const char *state);
Snapshot *snapshot_from_text(const char *text, gsize size, char **out_state, GError **error);

/* The same to and from a file; saved durably and as a whole, or not at all. Loading what is not
 * there is NOT_READY. */
gboolean snapshot_save(const Snapshot *snapshot, const char *state, const char *path,
                       GError **error);
Snapshot *snapshot_load(const char *path, char **out_state, GError **error);

/* A part of one file on its way. */
typedef struct SnapshotFragment {
  guint64 id; /* of the snapshot */
  guint32 file;
  guint64 offset;
  const guint8 *data; /* borrowed */
  gsize size;
  guint32 checksum; /* of all that stands above: a fragment from elsewhere does not verify */
} SnapshotFragment;

guint32 snapshot_fragment_checksum(const SnapshotFragment *fragment);
