/* The inside of the RocksDB store, shared by rocks*.c. */
#pragma once

#include "base/fair_lock.h"

#include "store/block_pack.h"
#include "store/fresh.h"
#include "store/keys.h"
#include "store/last_cache.h"
#include "store/partition.h"
#include "store/pending.h"
#include "store/store.h"
#include "store/tombstones.h"
#include "store/write_keys.h"

#include <rocksdb/c.h>

typedef struct Cleaning Cleaning;
typedef struct Damage Damage;
typedef struct Look Look;
typedef struct Reblock Reblock;

typedef struct RocksStore {
  Store parent;
  StoreOptions options;
  rocksdb_t *db;
  rocksdb_options_t *db_options;
  rocksdb_cache_t *cache;
  rocksdb_env_t *env;
  rocksdb_writeoptions_t *write_options;
  rocksdb_readoptions_t *persisted_options; /* reads what survives a crash */
  Schema *schema;
  gint format;          /* atomic: as the record says */
  gint unpersisted_kib; /* atomic */
  GError *failure;      /* of a batch; NULL while there was none. The applying thread's */

  /* Guards what is published together with a batch: the memtable's new content, fresh blocks,
   * tombstones, progress. */
  FairLock publish_lock;
  /* Blocks that were applied and are not in the memtable yet. A progress record is written only
   * when there are none, so that none is ever on disk without what it stands for. */
  Fresh *fresh;
  GArray *written_progress; /* `progress` as it was when the records were written; persist's */
  Tombstones *tombstones;
  GArray *progress;         /* StoreProgress, sorted */
  WriteKeys *keys;          /* of applied writes */
  GArray *loaded_keys;      /* WriteKey, while the store is opened */
  guint64 maintained_hlc;   /* the greatest horizon that was worked with */
  guint64 reblocked_hlc;    /* no chunk has a greater horizon … */
  gboolean reblocked_known; /* … but in a store that had chunks before this was kept */
  ConflictCounts conflicts;
  ChunkCounts chunks;

  Pending *checks;    /* what may be a conflict; the applying thread's */
  Look *look;         /* at some of it, under way; the applying thread's */
  Cleaning *cleaning; /* of one device, under way; the applying thread's */
  Reblock *reblock;   /* NULL: blocks stay as they are; the applying thread's */
  LastCache *last;    /* changed under publish_lock, but for what readers find */
  Damage *damage;     /* what can't be read, as far as it was met */
} RocksStore;

/* A consistent state to read from. */
typedef struct RocksView {
  RocksStore *store;
  const rocksdb_snapshot_t *snapshot;
  rocksdb_readoptions_t *read_options;
} RocksView;

/*
 * Sees all blocks of the device (0: the fresh ones of none). out_tombstones: those of the device in
 * the range, NULL when there are none. Transfer full. With an error nothing is opened.
 */
gboolean rocks_view_open(RocksStore *store, guint32 device, gint64 start_time, gint64 end_time,
                         RocksView *out_view, GPtrArray **out_tombstones, GError **error);
void rocks_view_close(RocksView *view);

/* RocksDB counts each comparison of keys of a thread unless it is told not to; nobody asks for it.
 */
static inline void rocks_count_nothing(void)
{
  rocksdb_set_perf_level(rocksdb_disable);
}

/* Turns RocksDB's message into an error, frees it, returns FALSE. */
gboolean rocks_fail(GError **error, char *message, const char *what);

/*
 * Reads one record, for the caller to free by rocksdb_free; *out_value NULL: there is none.
 * `options` NULL: as it is now.
 */
gboolean rocks_get(RocksStore *store, const rocksdb_readoptions_t *options, gconstpointer key,
                   gsize key_size, char **out_value, gsize *out_size, GError **error);

/* FALSE with an error when the iterator met one. */
gboolean rocks_iterator_ok(rocksdb_iterator_t *iterator, GError **error);

/* FALSE after a batch was lost. */
gboolean rocks_check_usable(const RocksStore *store, GError **error);

/* Keeps a failed batch's message (freed) as the store's failure; returns FALSE with it. */
gboolean rocks_lose(RocksStore *store, char *message, GError **error);

/* Writes the records of all logs, unless nothing was applied since the last time. No block may be
 * fresh. */
gboolean rocks_write_progress(RocksStore *store, GError **error);

/* rocks_format.c: the store's own parameters, written when it is new, compared when it is not. */
gboolean rocks_check_format(RocksStore *store, GError **error);
/*
 * A block as it is to be kept: itself, or packed into `scratch`, with its size. Of the first packed
 * one the store is told before; where that fails the block stays as it is, and putting it fails as
 * well. Any thread.
 */
const guint8 *rocks_pack(RocksStore *store, const guint8 *value, gsize *size, GByteArray *scratch);
/* Puts it under an R key; bytes. `scratch` may be NULL. */
gsize rocks_put_block(RocksStore *store, rocksdb_writebatch_t *writes,
                      const guint8 key[BLOCK_KEY_SIZE], const guint8 *value, gsize size,
                      GByteArray *scratch);

/* rocks_fresh.c: moves fresh blocks into RocksDB, until at most so many bytes are left. The caller
 * of the first two has locked publish_lock for writing. On failure the blocks stay fresh. */
gboolean rocks_settle_down_to(RocksStore *store, gsize bytes, GError **error);
gboolean rocks_settle_device(RocksStore *store, guint32 device, GError **error);
/* All of them; by the applying thread. */
gboolean rocks_settle(RocksStore *store, GError **error);

/* rocks_read.c */
Table *rocks_query(Store *store, const Query *query, GError **error);
GPtrArray *rocks_last(Store *store, const char *device, const char *const *measurements,
                      GError **error);
Aggregate *rocks_aggregate(Store *store, const AggregateQuery *query, GError **error);

/* rocks_digest.c */
gboolean rocks_digest(Store *store, const DigestScope *scope, StateDigest *out_digest,
                      GArray **out_progress, GError **error);
GPtrArray *rocks_digest_devices(Store *store, const DigestScope *scope, const char *after,
                                guint limit, gboolean *out_more, GError **error);
GPtrArray *rocks_digest_buckets(Store *store, const DigestScope *scope, const char *device,
                                gint64 from, guint limit, gboolean *out_more, GError **error);

/* rocks_repair.c */
BucketPage *rocks_bucket(Store *store, const BucketQuery *query, gsize max_bytes, GError **error);
gboolean rocks_mend(Store *store, const BucketMend *mend, GError **error);

/* rocks_maintain.c */
gboolean rocks_maintain(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                        GError **error);
/* Deletes alone. */
gboolean rocks_carry_out(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                         GError **error);
void rocks_cleaning_free(Cleaning *cleaning);
/* Whether a delete waits for a damaged bucket that it touches. */
gboolean rocks_is_stuck(const RocksStore *store, guint32 device, const Tombstone *tombstone);
/* Put into a batch: states before the clock can't be told any more; the greatest horizon of a
 * chunk; what there is of chunks. */
void rocks_put_maintained(rocksdb_writebatch_t *writes, guint64 hlc);
void rocks_put_reblocked(rocksdb_writebatch_t *writes, guint64 hlc);
/* `reblocked_known`: that no chunk of these has a greater horizon than was put. */
void rocks_put_chunk_counts(rocksdb_writebatch_t *writes, const ChunkCounts *counts,
                            gboolean reblocked_known);

/* rocks_damage.c */
Damage *rocks_damage_new(void);
void rocks_damage_free(Damage *damage);
/* Whether the error is a damaged record that was met, and nothing that ends the store. */
gboolean rocks_is_damage(const RocksStore *store, const GError *error);
/* Tells it in the log, at most once a minute. */
void rocks_damage_tell(RocksStore *store, const char *what);
/* The same, and has the bucket left alone from now on. */
void rocks_damage_note(RocksStore *store, guint32 device, gint64 partition, const GError *error);
/* Whether any of the device's buckets from `first` to `last` is left alone. */
gboolean rocks_damage_between(const RocksStore *store, guint32 device, gint64 first, gint64 last);
void rocks_damage_mended(RocksStore *store, guint32 device, gint64 partition);
/* By any thread. */
guint rocks_damage_count(const RocksStore *store);

/* rocks_reblock.c. enough: blocks of a partition that are worth it. */
Reblock *rocks_reblock_new(guint enough);
void rocks_reblock_free(Reblock *reblock);
/* Blocks were applied. NULL takes no notice. */
void rocks_reblock_note(Reblock *reblock, const FreshNote *note);
/* The notes may be NULL. Transfer full. */
void rocks_reblock_note_all(Reblock *reblock, GArray *notes);
/* What was damaged there may be sound now. */
void rocks_reblock_mended(Reblock *reblock, guint32 device, gint64 partition);
/* Blocks that wait; NULL has none. By any thread. */
guint64 rocks_reblock_waiting(Reblock *reblock);
/* One step, see store_maintain(). A damaged block or chunk is told, and its partition left out. */
gboolean rocks_reblock(RocksStore *store, guint64 horizon, gsize budget, gboolean *out_more,
                       GError **error);

/* rocks_conflicts.c */
gboolean rocks_find_conflicts(Store *store, guint64 now_ms, gsize budget, gboolean *out_more,
                              GError **error);
void rocks_look_free(Look *look);

/* rocks_checkpoint.c */
gboolean rocks_checkpoint(Store *store, const char *directory, GArray **out_progress,
                          GError **error);

/* rocks_journal.c */
ConflictPage *rocks_conflicts(Store *store, const ConflictQuery *query, GError **error);
/* While opening: a waiting check, FALSE when it is damaged; then the counters. */
gboolean rocks_load_check(RocksStore *store, const guint8 *key, gsize key_size, const guint8 *value,
                          gsize size);
gboolean rocks_load_counts(RocksStore *store, GError **error);
/* While applying: what was noted goes to disk with the data. Return the bytes. */
gsize rocks_put_noted(rocksdb_writebatch_t *writes, const Noted *noted, guint32 device,
                      guint32 origin);
gsize rocks_put_check(rocksdb_writebatch_t *writes, const Check *check);
gsize rocks_put_counts(rocksdb_writebatch_t *writes, const ConflictCounts *counts);

/* rocks_keys.c: the records of a name and of a column's oldest version; bytes. */
gsize rocks_put_name(rocksdb_writebatch_t *writes, guint32 id, const char *bytes, gsize size);
gsize rocks_put_type(rocksdb_writebatch_t *writes, guint32 device, guint32 measurement,
                     DataType type, const Version *version);

/* rocks_keys.c: puts the record of an entry that has a key; bytes. Applying thread. */
gsize rocks_put_write_key(RocksStore *store, rocksdb_writebatch_t *writes, const StoreEntry *entry);
/* While opening: takes a record (FALSE: not as it was written); at the end puts them in their
 * order. */
gboolean rocks_load_write_key(RocksStore *store, const guint8 *key, gsize key_size,
                              const guint8 *value, gsize size);
void rocks_sort_write_keys(RocksStore *store);
