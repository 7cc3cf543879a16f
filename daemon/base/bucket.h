/*
 * The cells of one bucket (a device in one partition of time) with their versions, as plain data:
 * the store gives and takes them, rpc carries them from a peer to the node whose bucket is mended.
 * Not thread-safe; whoever holds one owns it.
 */
#pragma once

#include "base/table.h"

/* The version of a cell; see store/README.md. */
typedef struct CellVersion {
  guint64 hlc; /* 0: none */
  guint32 origin;
  guint32 ordinal;
} CellVersion;

int cell_version_compare(const CellVersion *a, const CellVersion *b);

/* The cells of one version that are visible: rows in order of time, each time once. */
typedef struct BucketPart {
  CellVersion version;
  Table *table; /* without next_page */
} BucketPart;

/* Takes over the table. */
BucketPart *bucket_part_new(const CellVersion *version, Table *table);
void bucket_part_free(BucketPart *part);

typedef struct BucketQuery {
  const char *device;
  gint64 start_time; /* any time in the bucket */
  guint64 cut;       /* only entries with a clock at or below this; G_MAXUINT64: all */
  CellVersion after; /* parts behind this version; hlc 0: from the first */
} BucketQuery;

typedef struct BucketPage {
  GPtrArray *parts; /* BucketPart, in order of versions */
  gboolean more;    /* behind the last part's version */
} BucketPage;

BucketPage *bucket_page_new(void);
void bucket_page_free(BucketPage *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BucketPage, bucket_page_free)

/* Who asks a peer for a bucket. */
typedef struct BucketAsker {
  const char *cluster_id;
  guint32 group;
  guint32 node_id;
} BucketAsker;

/* A bucket that is to be made like a peer's. */
typedef struct RepairQuery {
  guint32 from_node;
  const char *device;
  gint64 start_time; /* any time in the bucket */
  guint64 cut;       /* of the clocks of entries; at or below the horizons of both nodes */
  gboolean dry_run;  /* only say what would be done */
} RepairQuery;

/* What was done. */
typedef struct RepairResult {
  guint64 cells_before, cells_after; /* visible as of the cut */
  gboolean was_equal;                /* nothing was to be done */
} RepairResult;
