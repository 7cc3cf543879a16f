/*
 * The last values of devices that were asked for, so that they are not looked for again. Bounded:
 * the device that was not asked for the longest goes first.
 *
 * A column of a device is known from when a reader has found its last value, or that it has none.
 * From then on applying keeps it: of two values the later one holds, of one time that of the
 * greater version. A delete that hides it, and whatever else takes something away, forgets the
 * device. Turning blocks into chunks and carrying out deletes change nothing that is here.
 *
 * While a reader looks, what is applied meanwhile is gathered in the same way, and joined to what
 * it finds: the order of the two does not matter. Thread-safe; a leaf among locks. That a reader
 * sees whole applies is the store's care (publish_lock).
 */
#pragma once

#include "store/partition.h"
#include "store/tombstones.h"

enum { LAST_CACHE_BYTES = 4 << 20 };

typedef struct LastCache LastCache;

/* `bytes` of memory at most, about. */
LastCache *last_cache_new(gsize bytes);
void last_cache_free(LastCache *cache);

/* The last value of a column; text: NULL unless it is TEXT. */
typedef struct LastCell {
  gboolean found; /* FALSE: it has none */
  gint64 time;
  Version version;
  guint8 number[8]; /* packed */
  GBytes *text;
} LastCell;

void last_cell_clear(LastCell *cell);
void last_cell_set(LastCell *cell, DataType type, gint64 time, const Version *version,
                   const guint8 *value, gsize size);

/* LastCell for each of the columns (SchemaColumn); transfer full. NULL: not all are known. */
GArray *last_cache_get(LastCache *cache, guint32 device, const GArray *columns);

/* Before a reader takes its snapshot and looks for these columns: what it gives last_cache_end().
 * 0: they are too many to be kept; the others of the device stay. */
guint64 last_cache_begin(LastCache *cache, guint32 device, const GArray *columns);
/* What was found, a LastCell for each of the same columns. Of no use when the device was forgotten
 * meanwhile. */
void last_cache_end(LastCache *cache, guint32 device, guint64 begun, const GArray *columns,
                    const GArray *cells);

/* While applying: a block of one version, as it was put (sound); a delete, behind all blocks of the
 * same batch. `tombstones`: those of the store before. */
void last_cache_add_block(LastCache *cache, guint32 device, const Version *version,
                          const guint8 *bytes, gsize size, const Tombstones *tombstones);
void last_cache_add_delete(LastCache *cache, guint32 device, const Tombstone *tombstone);
void last_cache_forget(LastCache *cache, guint32 device);

gsize last_cache_bytes(LastCache *cache);
