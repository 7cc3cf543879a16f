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
