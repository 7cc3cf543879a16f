/*
 * A raw block: rows that fall into one partition of one device, sorted by time. The value under an
 * R key; README.md has the bytes. Pure functions.
 *
 * Either the rows of one part of a write, all of the version in the key, or those of several parts,
 * each row with its own version. Then the key has the greatest one, and rows of one time are sorted
 * by version.
 */
#pragma once

#include "base/table.h"
#include "store/block_versions.h"

typedef struct BlockColumn {
  guint32 measurement; /* local name id */
  DataType type;
  const guint8 *nulls;  /* NULL: none is missing */
  const guint8 *values; /* packed as in TColumn */
  gsize size;           /* of values */
} BlockColumn;

typedef struct Block {
  guint rows;
  guint column_count;
  const guint8 *timestamps; /* rows × int64, little-endian, ascending */
  const guint8 *columns;    /* for block_column() */
  const guint8 *versions;   /* for block_version_runs(); NULL: all rows have that of the key */
  gsize versions_size;
  const guint8 *data;
  gsize data_size;
} Block;

enum {
  BLOCK_VERSION = 1,       /* of one part */
  BLOCK_VERSION_MIXED = 2, /* of several parts */
  BLOCK_HEAD_SIZE = 8,
  BLOCK_MIXED_HEAD_SIZE = 12,
  BLOCK_COLUMN_SIZE = 10,
};

/* Bytes of the head of a block of one version: what is in front of the times. */
static inline gsize block_head_size(const guint8 *bytes)
{
  return BLOCK_HEAD_SIZE + BLOCK_COLUMN_SIZE * (bytes[2] | (gsize)bytes[3] << 8);
}

/* Reads a block in place. FALSE with CORRUPT when it is none. */
gboolean block_open(const guint8 *bytes, gsize size, Block *out, GError **error);

/*
 * Walks over the columns: *cursor begins as 0. FALSE at the end. block_open has checked that all
 * columns lie inside.
 */
gboolean block_next_column(const Block *block, guint *cursor, gsize *data_at, BlockColumn *out);

/* The runs of a block with versions. block_open has checked that they are sound and cover all rows.
 */
static inline VersionRuns block_version_runs(const Block *block)
{
  return version_runs(block->versions, block->versions_size);
}

/* The version of each row, to be freed by g_free; NULL: all have that of the key. */
Version *block_versions(const Block *block);

static inline gboolean block_is_null(const BlockColumn *column, guint row)
{
  return column->nulls != NULL && (column->nulls[row / 8] & (1u << (row % 8))) != 0;
}

gint64 block_time(const Block *block, guint row);

/* The packed bytes of one value that is not missing. */
const guint8 *block_value(const Block *block, const BlockColumn *column, guint row,
                          gsize *out_size);
