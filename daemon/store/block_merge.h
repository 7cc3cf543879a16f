/* Puts the rows of several blocks into one, each row with its version. Pure functions. */
#pragma once

#include "store/block.h"

/* A block of one version. */
typedef struct MergePart {
  Version version;
  const guint8 *bytes;
  gsize size;
} MergePart;

typedef struct MergedBlock {
  Version version; /* the greatest one: it goes into the key */
  gint64 min_time, max_time;
  const guint8 *bytes; /* of the part itself when there is only one; else in the scratch */
  gsize size;
} MergedBlock;

/* Whether both blocks (of one version, sound) have the same columns: names and types, in the same
 * order. */
gboolean block_same_columns(const guint8 *a, const guint8 *b);

/* All parts have the same columns, and are sound. `scratch` is empty. */
void block_merge(const MergePart *parts, guint count, GByteArray *scratch, MergedBlock *out);

/*
 * A plain row: a block of one row without TEXT and without a missing value. Those of one device
 * mostly differ only behind the head, so it is kept once for many.
 */
typedef struct PlainRow {
  Version version;
  guint8 bytes[]; /* the block behind its head: time, values */
} PlainRow;

/* The bytes of a plain row's head; 0: the block (sound) is none. */
gsize block_plain_head(const guint8 *bytes, gsize size);

/* The same as block_merge() of `count` plain rows, `stride` bytes from one to the next, which share
 * a head. The result is in the scratch. */
void block_merge_plain(const guint8 *head, const guint8 *rows, gsize stride, guint count,
                       GByteArray *scratch, MergedBlock *out);
