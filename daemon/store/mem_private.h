/* The inside of the reference store, shared by mem*.c. */
#pragma once

#include "store/answer.h"
#include "store/store.h"

typedef struct MemCell {
  gint64 time;
  Version version;
  GBytes *value; /* packed */
} MemCell;

typedef struct MemColumn {
  char *device, *measurement;
  DataType type;
  Version oldest;
  GTree *cells; /* gint64* (inside MemCell) → MemCell */
} MemColumn;

typedef struct MemDelete {
  char *device;
  GPtrArray *measurements; /* char*; NULL: all */
  gint64 start_time, end_time;
  Version version;
} MemDelete;

typedef struct MemStore {
  Store parent;
  guint64 partition_interval;
  GMutex mutex;         /* guards all below */
  GTree *columns;       /* column_key() → MemColumn */
  GHashTable *reserved; /* column_key() of type 0 → GINT type */
  GArray *deletes;      /* MemDelete */
  GArray *progress;     /* StoreProgress, sorted */
  GArray *persisted;    /* as of the last persist */
  WriteKeys *keys;
  guint64 unpersisted;  /* values since then */
  GPtrArray *conflicts; /* Conflict; the journal */
  ConflictCounts conflict_counts;
} MemStore;

/* Under the mutex: the visible cells (MemCell) of a range, ascending; borrowed from the column. */
GPtrArray *mem_visible_cells(MemStore *store, const MemColumn *column, gint64 start_time,
                             gint64 end_time);
/* … the device's columns (MemColumn) as readers see them. */
GPtrArray *mem_columns_of(MemStore *store, const char *device, const char *const *measurements);

/* … a column, made if it is not there; its oldest version is noted. */
MemColumn *mem_put_column(MemStore *store, const char *device, const char *measurement,
                          DataType type, const Version *version);
/* … a cell of its own. */
MemCell *mem_cell_new(gint64 time, const Version *version, const guint8 *value, gsize size);

GPtrArray *mem_series(Store *store, const char *prefix, const char *after, guint limit,
                      gboolean *out_more, GError **error);

/* mem_digest.c */
gboolean mem_digest(Store *store, const DigestScope *scope, StateDigest *out_digest,
                    GArray **out_progress, GError **error);
GPtrArray *mem_digest_devices(Store *store, const DigestScope *scope, const char *after,
                              guint limit, gboolean *out_more, GError **error);
GPtrArray *mem_digest_buckets(Store *store, const DigestScope *scope, const char *device,
                              gint64 from, guint limit, gboolean *out_more, GError **error);
gboolean mem_maintain(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                      GError **error);

/* mem_repair.c */
BucketPage *mem_bucket(Store *store, const BucketQuery *query, gsize max_bytes, GError **error);
gboolean mem_mend(Store *store, const BucketMend *mend, GError **error);

/* Under the mutex: the version of the newest delete that covers a cell; NULL: none does. */
const Version *mem_newest_delete(MemStore *store, const MemColumn *column, gint64 time);
gboolean mem_deletes_measurement(const MemDelete *delete, const char *measurement);

/* mem_conflicts.c; under the mutex, before a cell or delete is put, behind a new column. */
void mem_note_cell(MemStore *store, const MemColumn *column, const MemCell *cell);
void mem_note_delete(MemStore *store, const MemDelete *delete);
void mem_note_type(MemStore *store, const MemColumn *column);
void mem_conflict_counts(const MemStore *store, ConflictCounts *out_counts);
gboolean mem_find_conflicts(Store *store, guint64 now_ms, gsize budget, gboolean *out_more,
                            GError **error);
ConflictPage *mem_conflicts(Store *store, const ConflictQuery *query, GError **error);
