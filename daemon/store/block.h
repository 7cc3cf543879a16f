/*
 * A raw block: the rows of one part of a write that fall into one partition of one device, as they
 * came, sorted by time. The value under an R key; README.md has the bytes. Pure functions.
 */
#pragma once

#include "base/table.h"

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
  const guint8 *data;
  gsize data_size;
} Block;

enum {
  BLOCK_VERSION = 1,
  BLOCK_HEAD_SIZE = 8,
  BLOCK_COLUMN_SIZE = 10,
};

/* Reads a block in place. FALSE with CORRUPT when it is none. */
gboolean block_open(const guint8 *bytes, gsize size, Block *out, GError **error);

/*
 * Walks over the columns: *cursor begins as 0. FALSE at the end. block_open has checked that all
 * columns lie inside.
 */
gboolean block_next_column(const Block *block, guint *cursor, gsize *data_at, BlockColumn *out);

static inline gboolean block_is_null(const BlockColumn *column, guint row)
{
  return column->nulls != NULL && (column->nulls[row / 8] & (1u << (row % 8))) != 0;
}

gint64 block_time(const Block *block, guint row);

/* The packed bytes of one value that is not missing. */
const guint8 *block_value(const Block *block, const BlockColumn *column, guint row,
                          gsize *out_size);
