/*
 * The cells of a bucket on their way out of a store and into another one (store_bucket,
 * store_mend). One thread.
 */
#pragma once

#include "store/decoded.h"
#include "store/partition.h"

/* Visible cells that are collected column by column and given out by version. */
typedef struct BucketCells BucketCells;

BucketCells *bucket_cells_new(void);
void bucket_cells_free(BucketCells *cells);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BucketCells, bucket_cells_free)

/* Cell with versions; the values are borrowed. */
void bucket_cells_add(BucketCells *cells, const char *measurement, DataType type,
                      const GArray *visible);

/* The parts behind the version `after`, about max_bytes of them, at least one. */
BucketPage *bucket_cells_page(BucketCells *cells, const CellVersion *after, gsize max_bytes);

/*
 * Checks a part that came from outside as strictly as a write, and makes of it what can be applied
 * (with the part's ordinal). INVALID also when a cell lies in another partition. The part must live
 * as long as the result.
 */
Decoded *bucket_part_decode(const BucketPart *part, const char *device, gint64 partition,
                            guint64 partition_interval, GError **error);
