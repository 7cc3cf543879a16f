/* The inside of a Wal, for wal.c and wal_cut.c only. */
#pragma once

#include "wal/reader.h"
#include "wal/wal.h"

struct Wal {
  const WalIo *io;
  char *directory;
  LogId log;
  gsize segment_size;

  /* Only the writer uses these. */
  WalFile file;      /* of `open`, O_RDWR */
  Segment *open;     /* takes the next record; NULL when there is none, or before a cut */
  gboolean listed;   /* `open` is in `segments`; it comes there with its first record */
  goffset filled;    /* bytes of the file that were written, zeros included */
  GPtrArray *beyond; /* char*: names of segment files behind the damage that opening found */

  /* Held by who takes segments away, over system calls too: wal_trim goes on beside the writer,
   * wal_cut and wal_reset wait for it. Before `lock`. */
  GMutex removing;
  gboolean front_unsynced; /* a segment at the front is gone, but that is not durable */

  /* Guards everything below. Only the writer changes it, so the writer may read without the lock
   * (but for `segments`, where wal_trim takes the first ones away); all others lock. Held for a few
   * assignments, never over a system call; a segment's own lock is not taken inside. */
  GMutex lock;
  GPtrArray *segments; /* Segment*, by index */
  guint64 last_index;
  guint64 durable_index;
  goffset durable_end; /* in the last segment */
  guint64 last_hlc;
  gboolean chain_known;
  guint64 chain;
  gboolean broken;
  gboolean damaged; /* opening found damage, or kept a torn tail: reading only, until a cut */
  gboolean torn;    /* … the latter */
  guint generation; /* counts what may take files away from under a reader */

  gint read_damage; /* atomic: a read found damage, a cut keeps what it takes away */
};

/* No call that writes may go on: sets READ_ONLY. */
gboolean wal_check_writable(Wal *wal, GError **error);

/* Makes the log read-only for good; what is in *error becomes READ_ONLY, also if it was NO_SPACE or
 * OVERLOADED. Returns FALSE. */
gboolean wal_break(Wal *wal, GError **error);
/* A failure before anything has changed on the disk: for want of room, memory or descriptors the
 * same call may succeed later; otherwise the log breaks. Gives the failure on. */
gboolean wal_fail_clean(Wal *wal, GError *failure, GError **error);

/* Deletes the open segment when it got no record yet; no-op otherwise. NO_SPACE and OVERLOADED:
 * nothing was done. */
gboolean wal_discard_unused_segment(Wal *wal, GError **error);

/* Forgets the open segment; the file stays as it is. */
void wal_close_segment(Wal *wal);

/* The segment that holds `index`, or would: the last that begins at or below it; NULL when all
 * begin above. The caller holds the lock or is the writer. */
Segment *wal_find_segment(Wal *wal, guint64 index, guint *out_position);
