/*
 * Finding out what a log's directory holds. recover_directory looks; it changes nothing but for
 * half-made files, which it removes. Used by wal_open only.
 */
#pragma once

#include "wal/segment.h"
#include "wal/wal.h"

typedef struct Recovered {
  GPtrArray *segments; /* Segment*, by index, what can be read; the last one is scanned */
  GPtrArray *beyond;   /* char*: names of segment files from the damage on, by index */
  guint64 last_index;
  guint64 last_hlc;
  gboolean chain_known;
  guint64 chain; /* up to last_index */
} Recovered;

void recovered_clear(Recovered *recovered);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Recovered, recovered_clear)

/* FALSE when something can't be read at all, or was written by another version. Both results are
 * untouched then. */
gboolean recover_directory(const WalOptions *options, const WalIo *io, Recovered *out_recovered,
                           WalRecovery *out_recovery, GError **error);
