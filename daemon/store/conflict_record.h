/*
 * What the store keeps on disk for finding and telling conflicts: README.md has the bytes. Pure
 * functions.
 */
#pragma once

#include "store/pending.h"

#include "base/conflict.h"

/* One side of a conflict that was found; the packed value is borrowed. */
typedef struct FoundSide {
  Version version;
  gboolean is_delete;
  DataType type;
  const guint8 *value; /* NULL: none */
  gsize size;
} FoundSide;

typedef struct Found {
  ConflictKind kind;
  guint32 device, measurement;
  gint64 time;
  guint64 cells;
  FoundSide winner, loser;
} Found;

/* Appends the record of the journal. */
void found_encode(const Found *found, guint64 found_ms, GByteArray *out);

/*
 * Reads a record of the journal. NULL when it is none. Names are told by `name_of`, NULL for an id
 * that there is not.
 */
typedef const char *(*NameOf)(gpointer ctx, guint32 id);
Conflict *conflict_decode(guint64 sequence, const guint8 *bytes, gsize size, NameOf name_of,
                          gpointer ctx);

/* The device of a record, without the rest; 0 when it is none. */
guint32 conflict_device(const guint8 *bytes, gsize size);

enum { CHECK_RECORD_SIZE = 1 + 4 + 4 + 1 + 8 + 16 + 8 + 8 + 4 + 4, COUNTS_RECORD_SIZE = 8 * 8 };

void check_encode(const Check *check, guint8 out[CHECK_RECORD_SIZE]);
/* FALSE when it is none. */
gboolean check_decode(guint64 sequence, const guint8 *bytes, gsize size, Check *out);

/* All but `pending`, which the queue knows. */
void counts_encode(const ConflictCounts *counts, guint8 out[COUNTS_RECORD_SIZE]);
gboolean counts_decode(const guint8 *bytes, gsize size, ConflictCounts *out);
