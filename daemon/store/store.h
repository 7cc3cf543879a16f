/*
 * The state machine behind the logs: what entries are applied to and reads are answered from.
 *
 * An entry's data is an encoded TWrite. decode() turns it into a Decoded once, on any thread;
 * apply() takes the decoded entries of one log in order and makes them visible atomically with the
 * log's new applied index. The state that results depends only on the set of applied entries, not
 * on how the logs were interleaved: each cell (device, measurement, type, timestamp) shows the
 * value with the greatest version (hlc, origin, position in the entry) unless a delete that covers
 * it has a greater one.
 *
 * A measurement's type is that of its oldest write (smallest version). Cells of another type are
 * kept and shown as a column of their own, marked as conflicting; see TQueryReply.
 *
 * Threads: one thread applies and persists. decode, reserve, reads and digest may run on any number
 * of threads at the same time as apply. After an error of apply or persist the store must be
 * closed; after NO_SPACE a new one can be opened when there is room. Nothing is ever skipped.
 *
 * Implementations: store_rocks_new (RocksDB), store_mem_new (plain memory, the reference in tests).
 */
#pragma once

#include "base/bucket.h"
#include "base/clock.h"
#include "base/conflict.h"
#include "base/error.h"
#include "base/log_id.h"
#include "base/table.h"
#include "store/write_keys.h"

typedef struct Store Store;
typedef struct Decoded Decoded;

enum { STORE_FORMAT = 4 }; /* the newest that is read: since blocks may be packed */

typedef struct StoreEntry {
  LogId log;
  guint64 index;
  guint64 hlc;
  Decoded *decoded; /* borrowed during apply */
} StoreEntry;

/* What the store holds of one log. */
typedef struct StoreProgress {
  LogId log;
  guint64 applied; /* index */
  guint64 hlc;     /* of the entry at `applied` */
} StoreProgress;

/* Columns of old data that were compressed: see store_maintain(). */
typedef struct ChunkCounts {
  guint64 chunks, cells, bytes;
} ChunkCounts;

typedef struct StoreStats {
  guint64 bytes_on_disk;
  guint64 unpersisted_bytes; /* applied and not yet persisted, approximately */
  guint64 cache_bytes;       /* of blocks that were read */
  guint64 tombstones;
  guint64 maintained_hlc; /* of the newest delete that was carried out */
  ConflictCounts conflicts;
  ChunkCounts chunks;
  guint64 raw_blocks;    /* that wait for becoming chunks, about */
  guint damaged_buckets; /* with a part that can't be read, as far as maintenance has met them */
  guint format;          /* of what is on disk, README.md has them; 0: nothing is */
} StoreStats;

/* What of the state a digest covers. */
typedef struct DigestScope {
  /*
   * Only entries with a clock at or below this; G_MAXUINT64: all. A store that was maintained
   * beyond it can't tell any more (INVALID). Two stores can be compared at a cut at or below both
   * horizons: they have the same entries below it, also while others are applied.
   */
  guint64 cut;
} DigestScope;

/* A bucket that is to be made like that of another store. */
typedef struct BucketMend {
  const char *device;
  gint64 start_time;      /* any time in the bucket */
  guint64 cut;            /* only what is at or below this clock is replaced */
  const GPtrArray *parts; /* BucketPart: all that store_bucket gives there at that cut */
} BucketMend;

typedef struct StoreOps {
  const char *name;
  void (*close)(Store *store);
  gboolean (*reserve)(Store *store, const Decoded *decoded, GError **error);
  gboolean (*apply)(Store *store, const StoreEntry *entries, guint count, GError **error);
  GArray *(*progress)(Store *store, gboolean durable, GError **error);
  gboolean (*persist)(Store *store, gboolean wait, GError **error);
  Table *(*query)(Store *store, const Query *query, GError **error);
  GPtrArray *(*last)(Store *store, const char *device, const char *const *measurements,
                     GError **error);
  Aggregate *(*aggregate)(Store *store, const AggregateQuery *query, GError **error);
  GPtrArray *(*series)(Store *store, const char *prefix, const char *after, guint limit,
                       gboolean *out_more, GError **error);
  gboolean (*digest)(Store *store, const DigestScope *scope, StateDigest *out_digest,
                     GArray **out_progress, GError **error);
  GPtrArray *(*digest_devices)(Store *store, const DigestScope *scope, const char *after,
                               guint limit, gboolean *out_more, GError **error);
  GPtrArray *(*digest_buckets)(Store *store, const DigestScope *scope, const char *device,
                               gint64 from, guint limit, gboolean *out_more, GError **error);
  BucketPage *(*bucket)(Store *store, const BucketQuery *query, gsize max_bytes, GError **error);
  gboolean (*mend)(Store *store, const BucketMend *mend, GError **error);
  gboolean (*maintain)(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                       GError **error);
  gboolean (*carry_out)(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                        GError **error);
  gboolean (*find_conflicts)(Store *store, guint64 now_ms, gsize budget, gboolean *out_more,
                             GError **error);
  ConflictPage *(*conflicts)(Store *store, const ConflictQuery *query, GError **error);
  gboolean (*checkpoint)(Store *store, const char *directory, GArray **out_progress,
                         GError **error);
  gboolean (*find_key)(Store *store, const guint8 hash[WRITE_KEY_HASH_SIZE], WriteKey *out_key);
  void (*stats)(Store *store, StoreStats *out_stats);
  guint64 (*unpersisted)(Store *store);
} StoreOps;

/* Common head of every implementation. */
struct Store {
  const StoreOps *ops;
};

enum { STORE_MIN_JOURNAL_SIZE = 1 << 20, STORE_OPEN_FILES = 512 };

typedef struct StoreOptions {
  const char *directory;      /* created if absent */
  guint64 partition_interval; /* units of time per partition; fixed when the store is created, a
                                 different value later is INVALID */
  gsize memtable_size;        /* bytes: the host calls persist when unpersisted_bytes exceeds this.
                                 At 32 times as much the store writes out by itself, synced logs
                                 or not: a guard against a host that does not. */
  gsize block_cache_size;     /* bytes */
  guint max_open_files;       /* kept open; 0: STORE_OPEN_FILES, which is also the most */
  guint reblock_blocks;       /* of one partition that are turned into chunks; 0: none ever are */
  guint64 reblock_delay_ms;   /* … when they are so much older than the horizon */
  gsize journal_size;         /* bytes of the journal of conflicts, STORE_MIN_JOURNAL_SIZE at least
                                 (less counts as that) */
  gboolean read_only;         /* the store must exist, and nothing of it is changed: no apply,
                                 persist, maintain or find_conflicts. For copies. */
  /* Called by store_digest() before each bucket; FALSE ends it (NOT_READY). May be NULL. Not in
   * the memory store. */
  gboolean (*digest_step)(gpointer ctx);
  gpointer digest_ctx;
} StoreOptions;

/* Opens or creates. Transfer full; NULL with an error. */
Store *store_rocks_new(const StoreOptions *options, GError **error);
Store *store_mem_new(const StoreOptions *options);

/* Persists nothing by itself; frees the store. */
static inline void store_close(Store *store)
{
  store->ops->close(store);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)

/*
 * Parses and validates the encoded TWrite data[0 .. size): structure, names, UTF-8, counts, packed
 * lengths (INVALID or TOO_LARGE, naming the part: «tablets[2].columns[0].values: …»). Pure. The
 * data is copied as far as needed; nothing of it is referenced afterwards. An accepted write can be
 * applied. partition_interval is that of the store it will be applied to.
 */
Decoded *store_decode(const guint8 *data, gsize size, guint64 partition_interval, GError **error);
/* What an entry that is left out is applied as: it changes nothing but the progress. */
Decoded *store_decode_nothing(void);
void store_decoded_free(Decoded *decoded);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Decoded, store_decoded_free)

/* Points (cells) and timestamps that the write sets. */
guint64 store_decoded_points(const Decoded *decoded);
guint64 store_decoded_rows(const Decoded *decoded);

/* The hash of the key that its client gave the write, or NULL. */
const guint8 *store_decoded_key(const Decoded *decoded);

/*
 * Before a write enters this node's own log: fixes the types of measurements that have none yet (in
 * memory, until the write is applied) and refuses a write whose type differs (TYPE_MISMATCH, naming
 * device, measurement and both types). Thread-safe; of two racing first writes one wins.
 */
static inline gboolean store_reserve(Store *store, const Decoded *decoded, GError **error)
{
  return store->ops->reserve(store, decoded, error);
}

/*
 * Applies `count` entries, of any logs, each log's in order without a hole: index = applied + 1 of
 * its log (asserted), except that entries at or below it are skipped as duplicates. All of them and
 * the progress become visible together.
 */
static inline gboolean store_apply(Store *store, const StoreEntry *entries, guint count,
                                   GError **error)
{
  return store->ops->apply(store, entries, count, error);
}

/* StoreProgress of every log, sorted by id; durable: what survives a crash. Transfer full. */
static inline GArray *store_progress(Store *store, gboolean durable, GError **error)
{
  return store->ops->progress(store, durable, error);
}

/*
 * Starts to make everything applied so far durable; with `wait`, returns when it is. The caller has
 * synced the logs up to what is applied before. Never called by the store itself.
 */
static inline gboolean store_persist(Store *store, gboolean wait, GError **error)
{
  return store->ops->persist(store, wait, error);
}

/* Reads see a consistent state. Unknown devices and measurements give empty answers. */
static inline Table *store_query(Store *store, const Query *query, GError **error)
{
  return store->ops->query(store, query, error);
}

/* LastValue* of each measurement (and type) that has one, sorted by name. measurements: NULL for
 * all. */
static inline GPtrArray *store_last(Store *store, const char *device,
                                    const char *const *measurements, GError **error)
{
  return store->ops->last(store, device, measurements, error);
}

static inline Aggregate *store_aggregate(Store *store, const AggregateQuery *query, GError **error)
{
  return store->ops->aggregate(store, query, error);
}

/* Device* sorted by name, at most `limit` or LIMIT_QUERY_BYTES, names beginning with `prefix` and
 * behind `after` (both may be NULL). Devices whose every cell was deleted are still listed. */
static inline GPtrArray *store_series(Store *store, const char *prefix, const char *after,
                                      guint limit, gboolean *out_more, GError **error)
{
  return store->ops->series(store, prefix, after, limit, out_more, error);
}

/* Digest of all visible cells and the progress (StoreProgress) of the state that it covers. */
static inline gboolean store_digest(Store *store, const DigestScope *scope, StateDigest *out_digest,
                                    GArray **out_progress, GError **error)
{
  return store->ops->digest(store, scope, out_digest, out_progress, error);
}

/*
 * The same in parts, DigestPart: by device in the order of names behind `after` (NULL: from the
 * first), or by bucket of one device in the order of time, from the bucket of time `from` on.
 * Parts without cells are left out. The sum over all parts is the whole, if nothing was applied
 * meanwhile.
 */
static inline GPtrArray *store_digest_devices(Store *store, const DigestScope *scope,
                                              const char *after, guint limit, gboolean *out_more,
                                              GError **error)
{
  return store->ops->digest_devices(store, scope, after, limit, out_more, error);
}

static inline GPtrArray *store_digest_buckets(Store *store, const DigestScope *scope,
                                              const char *device, gint64 from, guint limit,
                                              gboolean *out_more, GError **error)
{
  return store->ops->digest_buckets(store, scope, device, from, limit, out_more, error);
}

/*
 * One page of the visible cells of a bucket as of a cut, with their versions: about max_bytes, at
 * least one part. The same at every page as long as nothing beyond the cut is maintained (INVALID
 * then, as for digests). A bucket that is not there has no parts.
 */
static inline BucketPage *store_bucket(Store *store, const BucketQuery *query, gsize max_bytes,
                                       GError **error)
{
  return store->ops->bucket(store, query, max_bytes, error);
}

/* The digest of one bucket, as store_digest_buckets() has it; cells are 0 when it is not there. */
gboolean store_bucket_digest(Store *store, const DigestScope *scope, const char *device,
                             gint64 time, StateDigest *out_digest, GError **error);

/* Adds what a store that shows these parts (BucketPart, checked columns) would tell. */
void store_parts_digest(const char *device, const GPtrArray *parts, StateDigest *digest);

/*
 * Replaces what a bucket holds of entries at or below the cut by those parts, under their own
 * versions, in one step; what is newer stays. Only when no such entry can still come (the cut is
 * not above the horizon), so that all stores show the same afterwards (P3). The deletes up to the
 * cut must have been carried out and all conflicts found (NOT_READY otherwise), nothing beyond the
 * cut (INVALID). Counts as maintained up to the cut. Not durable before store_persist. By the
 * applying thread.
 */
static inline gboolean store_mend(Store *store, const BucketMend *mend, GError **error)
{
  return store->ops->mend(store, mend, error);
}

/*
 * Takes out what can never be seen again, now that no entry with a clock at or below `horizon` can
 * still come: the cells that a delete from below the horizon hides, and then the delete itself.
 * Turns what was written longer ago into chunks, column by column, which are smaller and faster to
 * read. One step of about `budget` bytes of blocks read; *out_more: there is more to do. Changes
 * nothing that a read or digest shows. A step is atomic, and like all else not durable before
 * store_persist. By the applying thread.
 */
static inline gboolean store_maintain(Store *store, guint64 horizon, gsize budget,
                                      gboolean *out_more, GError **error)
{
  return store->ops->maintain(store, horizon, budget, out_more, error);
}

/* The same without chunks: the deletes alone, which store_mend() asks for. */
static inline gboolean store_carry_out(Store *store, guint64 horizon, gsize budget,
                                       gboolean *out_more, GError **error)
{
  return store->ops->carry_out(store, horizon, budget, out_more, error);
}

/*
 * Conflicts between leaders: each value and each delete that was applied is compared with what its
 * cells showed before, and where that is of another origin, it is counted, and put into a journal
 * of bounded size, oldest entries dropped first. Applying only notes what may be one;
 * find_conflicts looks at what was noted, one step of about `budget` bytes of blocks read;
 * *out_more: there is more to do. A step is atomic, and like all else not durable before
 * store_persist; what a crash takes back is found again when the entries come again, and nothing is
 * told twice. When PENDING_CHECKS wait, further ones are not looked at, nor what would take too
 * much memory; both are counted (`overflowed`). By the applying thread, and not behind a
 * store_maintain of the same entries: what that took out can't be found.
 */
static inline gboolean store_find_conflicts(Store *store, guint64 now_ms, gsize budget,
                                            gboolean *out_more, GError **error)
{
  return store->ops->find_conflicts(store, now_ms, budget, out_more, error);
}

/* One page of the journal. Transfer full. */
static inline ConflictPage *store_conflicts(Store *store, const ConflictQuery *query,
                                            GError **error)
{
  return store->ops->conflicts(store, query, error);
}

/*
 * Makes a complete copy of all that is applied, durably, in `directory`, which must not exist yet
 * and be on the same file system: files are shared, so it costs little time and no room until the
 * store has rewritten its own. *out_progress (StoreProgress, transfer full): what the copy holds,
 * read from it. The caller has synced the logs, as for store_persist. By the applying thread. A
 * failure is one of persist, or leaves a part of a directory behind (store_remove). The memory
 * store has no files: INVALID.
 */
static inline gboolean store_checkpoint(Store *store, const char *directory, GArray **out_progress,
                                        GError **error)
{
  return store->ops->checkpoint(store, directory, out_progress, error);
}

/* Whether a copy of a store is of a format that is read here; INVALID says what to do. 0 is not
 * told by who made it: it is believed. */
gboolean store_check_format(guint64 format, GError **error);

/*
 * Puts a checkpoint (which was moved or copied to `copy`, beside the store) in the place of the
 * store in `directory`, if there is one; neither may be open. After a crash at any point there is
 * the old store or the new one, and the same call ends it: it may be repeated after it has
 * succeeded.
 */
gboolean store_install(const char *copy, const char *directory, GError **error);
/* Where a crash left neither there, and the copy can't be had any more: takes the old one back. */
gboolean store_take_back(const char *directory, GError **error);

/* Removes a store or a copy of one, if there is one. */
gboolean store_remove(const char *directory, GError **error);

/* The entry that was applied with this key of a write; FALSE when it is not, or not any more,
 * known. Thread-safe. */
static inline gboolean store_find_key(Store *store, const guint8 hash[WRITE_KEY_HASH_SIZE],
                                      WriteKey *out_key)
{
  return store->ops->find_key(store, hash, out_key);
}

static inline void store_stats(Store *store, StoreStats *out_stats)
{
  store->ops->stats(store, out_stats);
}

/* Its unpersisted_bytes alone, which cost little to ask for. */
static inline guint64 store_unpersisted(Store *store)
{
  return store->ops->unpersisted(store);
}
