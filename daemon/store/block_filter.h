/*
 * Takes cells out of a block. Pure functions.
 */
#pragma once

#include "store/block.h"

/* Whether the cell of a measurement (local name id) and a time is to go, of that version. */
typedef gboolean (*CellHidden)(gconstpointer ctx, guint32 measurement, gint64 time,
                               const Version *version);

typedef struct FilteredBlock {
  GByteArray *bytes;         /* a block with what is left; NULL: nothing is, or all is */
  gboolean changed;          /* FALSE: nothing was to go */
  gint64 min_time, max_time; /* of what is left */
  Version version;           /* the greatest of what is left */
} FilteredBlock;

void filtered_block_clear(FilteredBlock *filtered);

/* version: that of the key. A missing value counts as gone: rows and columns of which nothing is
 * left are left out. */
void block_filter(const Block *block, const Version *version, CellHidden hidden, gconstpointer ctx,
                  FilteredBlock *out);
