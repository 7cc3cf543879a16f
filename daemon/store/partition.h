/*
 * The blocks of one (device, partition), merged: for each column the cells that are visible, sorted
 * by time. One thread; it owns copies of the blocks' bytes.
 */
#pragma once

#include "store/block.h"
#include "store/tombstones.h"

typedef struct Partition Partition;

/* A visible value. */
typedef struct Cell {
  gint64 time;
  const guint8 *value; /* packed; inside the partition */
  gsize size;
  const Version *version; /* inside the partition; not of cells made elsewhere */
} Cell;

Partition *partition_new(void);
void partition_free(Partition *partition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Partition, partition_free)

/* Empties it for the next use. */
void partition_clear(Partition *partition);

/* Whether rows of a version are there for the reader. */
typedef gboolean (*VersionWanted)(gconstpointer ctx, const Version *version);

/* Adds a block (copied) with the version of its key. `wanted`: NULL for all rows. */
gboolean partition_add(Partition *partition, const Version *version, const guint8 *bytes,
                       gsize size, VersionWanted wanted, gconstpointer ctx, GError **error);

/* The same, and takes over the bytes. */
gboolean partition_take(Partition *partition, const Version *version, guint8 *bytes, gsize size,
                        GError **error);

/*
 * Puts the visible cells of a column within [start_time, end_time] into `cells` (Cell), which is
 * emptied first: of several values of one time that of the greatest version, unless a tombstone
 * hides it.
 */
void partition_cells(Partition *partition, guint32 measurement, DataType type, gint64 start_time,
                     gint64 end_time, const GPtrArray *tombstones, GArray *cells);

/* Rows that can be copied as they stand. */
typedef struct PlainRows {
  const guint8 *times; /* little-endian */
  guint rows;
  GArray *values; /* const guint8 *: of each column, packed */
} PlainRows;

/*
 * When the wanted columns (SchemaColumn) all lie in one block each, have the same times in
 * [start_time, end_time], each one once, and nothing is missing, deleted or TEXT: gives the rows
 * inside the partition. `values` is emptied first. FALSE: it takes merging.
 */
gboolean partition_plain(Partition *partition, const GArray *columns, gint64 start_time,
                         gint64 end_time, const GPtrArray *tombstones, PlainRows *out);

/* The distinct columns that occur, as measurement << 8 | type, sorted. Transfer full. */
GArray *partition_columns(Partition *partition);
