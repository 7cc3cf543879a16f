/*
 * Turns raw blocks that nothing older can join any more into chunks, partition by partition.
 *
 * Of a partition the oldest blocks are taken, so that every value that stays in a block is newer
 * than all that are in chunks: reads need not compare. Only chunks between whose times something
 * came are made anew.
 */
#include "base/failpoint.h"
#include "store/block_filter.h"
#include "store/chunk_builder.h"
#include "store/reblock_queue.h"
#include "store/rocks_buckets.h"

#include <string.h>

enum {
  HLC_MS = 16, /* a millisecond is so many bits up in a clock */
  TAKEN_FACTOR =
      8, /* times the budget at most is taken where blocks can't be told apart by clock */
};

struct Reblock {
  ReblockQueue *queue;
  gboolean swept;                  /* all blocks of the store are in the queue */
  guint8 next_key[BLOCK_KEY_SIZE]; /* … if not: the next to look at */
  gint blocks;                     /* atomic: that wait */
};

Reblock *rocks_reblock_new(guint enough)
{
  Reblock *reblock = g_new0(Reblock, 1);
  reblock->queue = reblock_queue_new(enough);
  reblock->next_key[0] = KEY_BLOCK;
  return reblock;
}

void rocks_reblock_free(Reblock *reblock)
{
  reblock_queue_free(reblock->queue);
  g_free(reblock);
}

static void count_blocks(Reblock *reblock)
{
  g_atomic_int_set(&reblock->blocks,
                   (gint)MIN(reblock_queue_blocks(reblock->queue), (guint64)G_MAXINT));
}

guint64 rocks_reblock_waiting(Reblock *reblock)
{
  return reblock != NULL ? (guint64)g_atomic_int_get(&reblock->blocks) : 0;
}

void rocks_reblock_note(Reblock *reblock, const FreshNote *note)
{
  if (reblock == NULL)
    return;
  reblock_queue_add(reblock->queue, note->device, note->partition,
                    &(Backlog){note->blocks, note->rows, note->newest});
  count_blocks(reblock);
}

void rocks_reblock_note_all(Reblock *reblock, GArray *notes)
{
  for (guint i = 0; notes != NULL && i < notes->len; i++)
    rocks_reblock_note(reblock, &g_array_index(notes, FreshNote, i));
  g_clear_pointer(&notes, g_array_unref);
}

/* Of what is fresh, too. */
static void take_notes(RocksStore *store)
{
  fair_lock_write(&store->publish_lock);
  GArray *notes = fresh_take_notes(store->fresh, TRUE);
  fair_lock_release(&store->publish_lock);
  rocks_reblock_note_all(store->reblock, notes);
}

void rocks_reblock_mended(Reblock *reblock, guint32 device, gint64 partition)
{
  reblock_queue_take_back(reblock->queue, device, partition);
}

/* --- choosing blocks ----------------------------------------------------------------------------
 */

/* A raw block of the partition. */
typedef struct RawBlock {
  guint8 key[BLOCK_KEY_SIZE];
  guint64 newest, oldest; /* clocks of its rows */
  guint rows;
  gsize size;
} RawBlock;

static gboolean read_raw(rocksdb_iterator_t *iterator, RawBlock *out, GError **error)
{
  size_t size;
  const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
  Block block;
  /* All of it is looked at: a bucket with damage is to be found, and left alone. */
  g_autofree guint8 *unpacked = block_unpack(value, size, &out->size, error);
  if (unpacked == NULL || !block_open(unpacked, out->size, &block, error))
    return FALSE;
  memcpy(out->key, rocksdb_iter_key(iterator, &size), sizeof out->key);
  out->newest = out->oldest = key_read_version(out->key + BLOCK_PREFIX_SIZE).hlc;
  VersionRuns runs = block_version_runs(&block);
  while (block.versions != NULL && version_runs_next(&runs) > 0)
    out->oldest = MIN(out->oldest, runs.last.hlc);
  out->rows = block.rows;
  return TRUE;
}

/* All blocks of the partition, in the order of their newest rows. NULL with an error. */
static GArray *list_raw(Buckets *buckets, guint32 device, gint64 partition, GError **error)
{
  g_autoptr(GArray) raw = g_array_new(FALSE, FALSE, sizeof(RawBlock));
  guint8 prefix[BLOCK_PREFIX_SIZE];
  key_block_prefix(prefix, device, partition);
  rocksdb_iterator_t *iterator = buckets->blocks;
  for (buckets_seek_blocks(buckets, device, partition); rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    if (size != BLOCK_KEY_SIZE || memcmp(key, prefix, sizeof prefix) != 0)
      break;
    RawBlock one;
    if (!read_raw(iterator, &one, error))
      return NULL;
    g_array_append_val(raw, one);
  }
  return rocks_iterator_ok(iterator, error) ? g_steal_pointer(&raw) : NULL;
}

static int compare_oldest(gconstpointer a, gconstpointer b)
{
  guint64 x = ((const RawBlock *)a)->oldest, y = ((const RawBlock *)b)->oldest;
  return x < y ? -1 : x > y;
}

/* A clock up to which rows are taken where blocks can't be told apart by clock: those of blocks
 * that have such rows fit into `most` bytes, or there is one clock with more. */
static guint64 choose_between(const GArray *raw, guint64 stable, gsize most)
{
  g_autoptr(GArray) sorted = g_array_copy((GArray *)raw);
  g_array_sort(sorted, compare_oldest);
  guint64 first = g_array_index(sorted, RawBlock, 0).oldest;
  gsize bytes = 0;
  for (guint i = 0; i < sorted->len; i++) {
    const RawBlock *one = &g_array_index(sorted, RawBlock, i);
    bytes += one->size;
    if (bytes > most && one->oldest > first)
      return MIN(one->oldest - 1, stable);
  }
  return stable;
}

/*
 * The clock up to which rows are taken; 0: none are. It is stable. As a rule no block has rows on
 * both sides of it, and so much is taken as fits into the budget, or the least that can be told
 * apart so. Should that be too much, blocks are split by clock.
 */
static guint64 choose_clock(const GArray *raw, guint64 stable, gsize budget)
{
  g_autofree guint64 *oldest_behind = g_new(guint64, raw->len + 1);
  oldest_behind[raw->len] = G_MAXUINT64;
  for (guint i = raw->len; i-- > 0;)
    oldest_behind[i] = MIN(oldest_behind[i + 1], g_array_index(raw, RawBlock, i).oldest);
  guint64 chosen = 0;
  gsize bytes = 0;
  for (guint i = 0; i < raw->len; i++) {
    const RawBlock *one = &g_array_index(raw, RawBlock, i);
    bytes += one->size;
    if (one->newest > stable || (bytes > budget && chosen > 0))
      break;
    if (one->newest < oldest_behind[i + 1])
      chosen = one->newest;
    else if (bytes / TAKEN_FACTOR > budget)
      return choose_between(raw, stable, budget * TAKEN_FACTOR);
  }
  return chosen;
}

/* What stays behind that clock. */
static Backlog backlog_of(const GArray *raw, guint64 clock)
{
  Backlog backlog = {0};
  for (guint i = 0; i < raw->len; i++) {
    const RawBlock *one = &g_array_index(raw, RawBlock, i);
    if (one->newest <= clock)
      continue;
    backlog.blocks++;
    backlog.rows += one->rows;
    backlog.newest = MAX(backlog.newest, one->newest);
  }
  return backlog;
}

/* Whether there is more to take: blocks behind the clock that are stable. */
static gboolean has_stable(const GArray *raw, guint64 clock, guint64 stable)
{
  for (guint i = 0; i < raw->len; i++) {
    guint64 newest = g_array_index(raw, RawBlock, i).newest;
    if (newest > clock && newest <= stable)
      return TRUE;
  }
  return FALSE;
}

/* --- one partition ------------------------------------------------------------------------------
 */

typedef struct Job {
  RocksStore *store;
  Buckets buckets;
  guint32 device;
  gint64 place;
  guint64 horizon; /* clock up to which rows are taken; 0: none are */
  Partition *partition;
  GPtrArray *tombstones; /* of the device, up to the horizon */
  gboolean with_versions;
  rocksdb_writebatch_t *writes;
  ChunkCounts counts;
  gsize written;
} Job;

/* A column of it. */
typedef struct ColumnJob {
  Job *job;
  guint32 measurement;
  DataType type;
  const GArray *cells; /* Cell, of the blocks that are taken */
  guint at;            /* the next one */
} ColumnJob;

static void put_chunk(gpointer ctx, gint64 min_time, guint rows, const GByteArray *bytes)
{
  ColumnJob *column = ctx;
  Job *job = column->job;
  guint8 key[CHUNK_KEY_SIZE];
  key_chunk(key, job->device, job->place, column->measurement, column->type, min_time);
  rocksdb_writebatch_put(job->writes, (const char *)key, sizeof key, (const char *)bytes->data,
                         bytes->len);
  job->written += sizeof key + bytes->len;
  job->counts.chunks++;
  job->counts.cells += rows;
  job->counts.bytes += bytes->len;
}

/* Takes out the chunk under the iterator, which is `chunk`. */
static void delete_chunk(Job *job, const Chunk *chunk)
{
  size_t size;
  const char *key = rocksdb_iter_key(job->buckets.chunks, &size);
  rocksdb_writebatch_delete(job->writes, key, size);
  job->written += size;
  rocksdb_iter_value(job->buckets.chunks, &size);
  job->counts.chunks--;
  job->counts.cells -= chunk->rows;
  job->counts.bytes -= size;
}

static gboolean is_hidden(const Job *job, const ColumnJob *column, guint64 horizon, gint64 time)
{
  for (guint i = 0; i < job->tombstones->len; i++) {
    const Tombstone *one = job->tombstones->pdata[i];
    if (one->version.hlc > horizon && one->start_time <= time && time <= one->end_time &&
        tombstone_names(one, column->measurement))
      return TRUE;
  }
  return FALSE;
}

static ChunkCell cell_of(const Cell *cell)
{
  return (ChunkCell){cell->time, cell->value, cell->size, cell->version->origin,
                     cell->version->hlc};
}

/* Builds the cells before `end` (all, when there is no end), and those of the old chunk. */
static void merge(ColumnJob *column, const OpenChunk *old, gboolean has_end, gint64 end)
{
  Job *job = column->job;
  g_autoptr(ChunkBuilder) builder =
      chunk_builder_new(column->type, job->horizon, job->with_versions, put_chunk, column);
  guint row = 0, rows = old != NULL ? old->chunk.rows : 0;
  for (;;) {
    const Cell *cell =
        column->at < column->cells->len ? &g_array_index(column->cells, Cell, column->at) : NULL;
    if (cell != NULL && has_end && cell->time >= end)
      cell = NULL;
    if (cell == NULL && row == rows)
      break;
    ChunkCell next;
    if (row == rows || (cell != NULL && cell->time <= old->times[row])) {
      next = cell_of(cell);
      row += row < rows && old->times[row] == cell->time; /* the value of the block is newer */
      column->at++;
    } else {
      next = open_chunk_cell(old, row++);
      if (is_hidden(job, column, old->chunk.horizon, next.time))
        continue;
    }
    chunk_builder_add(builder, &next);
  }
  chunk_builder_end(builder);
}

static gboolean is_full(const Chunk *chunk)
{
  return chunk->rows == CHUNK_ROWS || chunk->values_size >= CHUNK_VALUE_BYTES;
}

/*
 * Merges the next cells: those up to where the chunk behind begins. With the chunk before them,
 * unless they all lie behind it and it is full; with none before, alone.
 */
static gboolean merge_next(ColumnJob *column, GError **error)
{
  Job *job = column->job;
  gint64 time = g_array_index(column->cells, Cell, column->at).time;
  GError *local = NULL;
  Chunk chunk, behind;
  OpenChunk old = {0};
  gboolean found = buckets_find_chunk_back(&job->buckets, job->device, job->place,
                                           column->measurement, column->type, time, &chunk, &local);
  gboolean replaced = found && (time <= chunk.max_time || !is_full(&chunk));
  gboolean ok = local == NULL && (!replaced || open_chunk_decode(&chunk, &old, &local));
  gboolean has_end = FALSE;
  if (ok) {
    if (replaced)
      delete_chunk(job, &chunk);
    if (found)
      rocksdb_iter_next(job->buckets.chunks);
    has_end = found ? buckets_chunk_here(&job->buckets, job->device, job->place,
                                         column->measurement, column->type, &behind, &local)
                    : buckets_find_chunk(&job->buckets, job->device, job->place,
                                         column->measurement, column->type, time, &behind, &local);
  }
  if (local == NULL)
    merge(column, replaced ? &old : NULL, has_end, has_end ? behind.min_time : 0);
  open_chunk_clear(&old);
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

static gboolean merge_columns(Job *job, GError **error)
{
  g_autoptr(GArray) columns = partition_columns(job->partition);
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  for (guint i = 0; i < columns->len; i++) {
    guint64 id = g_array_index(columns, guint64, i);
    ColumnJob column = {job, (guint32)(id >> 8), (DataType)(id & 0xFF), cells, 0};
    partition_cells(job->partition, column.measurement, column.type, G_MININT64, G_MAXINT64,
                    job->tombstones, cells);
    while (column.at < cells->len)
      if (!merge_next(&column, error))
        return FALSE;
  }
  return TRUE;
}

static gboolean is_behind(gconstpointer ctx, guint32 measurement, gint64 time,
                          const Version *version)
{
  (void)measurement, (void)time;
  return version->hlc > *(const guint64 *)ctx;
}

static gboolean is_taken(gconstpointer ctx, guint32 measurement, gint64 time,
                         const Version *version)
{
  return !is_behind(ctx, measurement, time, version);
}

/* Loads the rows up to the horizon, and puts a block with the others in the place of this one. */
static gboolean split_raw(Job *job, RawBlock *one, const guint8 *value, gsize size, GError **error)
{
  Block block;
  FilteredBlock old, rest;
  Version version = key_read_version(one->key + BLOCK_PREFIX_SIZE);
  gsize unpacked_size;
  g_autofree guint8 *unpacked = block_unpack(value, size, &unpacked_size, error);
  if (unpacked == NULL || !block_open(unpacked, unpacked_size, &block, error))
    return FALSE;
  block_filter(&block, &version, is_behind, &job->horizon, &old);
  block_filter(&block, &version, is_taken, &job->horizon, &rest);
  gboolean ok = old.bytes == NULL || partition_add(job->partition, &old.version, old.bytes->data,
                                                   old.bytes->len, NULL, NULL, error);
  if (rest.bytes != NULL) {
    guint8 key[BLOCK_KEY_SIZE];
    key_block(key, job->device, job->place, &rest.version, rest.min_time, rest.max_time);
    job->written +=
        rocks_put_block(job->store, job->writes, key, rest.bytes->data, rest.bytes->len, NULL);
    one->rows = load_le32(rest.bytes->data + 4);
  }
  filtered_block_clear(&old);
  filtered_block_clear(&rest);
  return ok;
}

/* Loads what is taken, and has it deleted. */
static gboolean take_raw(Job *job, GArray *raw, GError **error)
{
  rocksdb_iterator_t *iterator = job->buckets.blocks;
  for (guint i = 0; i < raw->len; i++) {
    RawBlock *one = &g_array_index(raw, RawBlock, i);
    if (one->oldest > job->horizon)
      continue;
    rocksdb_iter_seek(iterator, (const char *)one->key, sizeof one->key);
    if (!rocksdb_iter_valid(iterator))
      return rocks_iterator_ok(iterator, error) &&
             fail(error, SYNCLOG_CORRUPT, "store: a block is gone that was there");
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
    Version version = key_read_version(one->key + BLOCK_PREFIX_SIZE);
    rocksdb_writebatch_delete(job->writes, (const char *)one->key, sizeof one->key);
    job->written += sizeof one->key;
    if (one->newest > job->horizon
            ? !split_raw(job, one, value, size, error)
            : !partition_add(job->partition, &version, value, size, NULL, NULL, error))
      return FALSE;
  }
  return TRUE;
}

/* The newest delete of which the partition has no cells any more. What was overwritten is known to
 * be gone by the horizon of the chunk; where all was deleted there is none. */
static guint64 newest_delete(const Job *job)
{
  guint64 hlc = 0;
  for (guint i = 0; i < job->tombstones->len; i++)
    hlc = MAX(hlc, ((const Tombstone *)job->tombstones->pdata[i])->version.hlc);
  return hlc;
}

static gboolean publish(Job *job, GError **error)
{
  RocksStore *store = job->store;
  guint64 maintained = MAX(store->maintained_hlc, newest_delete(job));
  char *message = NULL;
  if (maintained > store->maintained_hlc)
    rocks_put_maintained(job->writes, maintained);
  guint64 reblocked = MAX(store->reblocked_hlc, job->horizon);
  if (store->reblocked_known && reblocked > store->reblocked_hlc)
    rocks_put_reblocked(job->writes, reblocked);
  rocks_put_chunk_counts(job->writes, &job->counts, store->reblocked_known);
  FAILPOINT("store_before_reblock");
  fair_lock_write(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, job->writes, &message);
  if (message == NULL) {
    store->maintained_hlc = maintained;
    store->reblocked_hlc = reblocked;
    store->chunks = job->counts;
  }
  fair_lock_release(&store->publish_lock);
  FAILPOINT("store_after_reblock");
  g_atomic_int_add(&store->unpersisted_kib, (gint)(job->written / 1024) + 1);
  return message == NULL || rocks_lose(store, message, error);
}

/* Takes what can be taken of a partition. *out_read: bytes of blocks. */
static gboolean reblock(RocksStore *store, guint32 device, gint64 place, guint64 stable,
                        gsize budget, gsize *out_read, GError **error)
{
  Job job = {.store = store,
             .device = device,
             .place = place,
             .partition = partition_new(),
             .with_versions = pending_is_shared(store->checks, device),
             .writes = rocksdb_writebatch_create(),
             .counts = store->chunks};
  buckets_open(store, NULL, device, FALSE, &job.buckets);
  g_autoptr(GArray) raw = list_raw(&job.buckets, device, place, error);
  job.horizon = raw != NULL ? choose_clock(raw, stable, budget) : 0;
  gboolean ok = raw != NULL && take_raw(&job, raw, error);
  if (ok && job.horizon > 0) {
    job.tombstones = tombstones_below(store->tombstones, device, job.horizon);
    ok = merge_columns(&job, error) && publish(&job, error);
  }
  for (guint i = 0; ok && i < raw->len; i++)
    *out_read += g_array_index(raw, RawBlock, i).size + BLOCK_KEY_SIZE;
  if (ok) {
    Backlog left = backlog_of(raw, job.horizon);
    gboolean more = job.horizon > 0 && has_stable(raw, job.horizon, stable);
    reblock_queue_left(store->reblock->queue, device, place, &left, more);
  }
  buckets_close(&job.buckets);
  rocksdb_writebatch_destroy(job.writes);
  partition_free(job.partition);
  g_clear_pointer(&job.tombstones, g_ptr_array_unref);
  return ok;
}

/* --- steps --------------------------------------------------------------------------------------
 */

/* Puts the block under the iterator into the queue. One that is damaged is left out. */
static gboolean sweep_block(RocksStore *store, rocksdb_iterator_t *iterator, gsize *read,
                            GError **error)
{
  Reblock *reblock = store->reblock;
  g_autoptr(GError) local = NULL;
  RawBlock one;
  gsize size;
  rocksdb_iter_key(iterator, &size);
  if (size != BLOCK_KEY_SIZE)
    fail(&local, SYNCLOG_CORRUPT, "store: a block's key is damaged");
  else if (read_raw(iterator, &one, &local))
    reblock_queue_add(reblock->queue, load_be32(one.key + 1), key_unflip(load_be64(one.key + 5)),
                      &(Backlog){1, one.rows, one.newest});
  rocksdb_iter_value(iterator, &size);
  *read += size + BLOCK_KEY_SIZE;
  if (local == NULL)
    return TRUE;
  if (!rocks_is_damage(store, local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  gsize key_size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &key_size);
  if (key_size == BLOCK_KEY_SIZE)
    rocks_damage_note(store, load_be32(key + 1), key_unflip(load_be64(key + 5)), local);
  else
    rocks_damage_tell(store, local->message);
  return TRUE;
}

/* Looks for blocks that were there when the store was opened. */
static gboolean sweep(RocksStore *store, gsize budget, GError **error)
{
  Reblock *reblock = store->reblock;
  Buckets buckets;
  gsize read = 0, size;
  buckets_open(store, NULL, 0, FALSE, &buckets);
  rocksdb_iterator_t *iterator = buckets.blocks;
  gboolean ok = TRUE;
  for (rocksdb_iter_seek(iterator, (const char *)reblock->next_key, sizeof reblock->next_key);
       ok && read <= budget && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator))
    ok = sweep_block(store, iterator, &read, error);
  if (ok && rocksdb_iter_valid(iterator)) {
    const char *key = rocksdb_iter_key(iterator, &size);
    memset(reblock->next_key, 0, BLOCK_KEY_SIZE);
    memcpy(reblock->next_key, key, MIN(size, (gsize)BLOCK_KEY_SIZE));
  } else {
    reblock->swept = ok;
  }
  g_autoptr(GError) local = NULL;
  if (ok && !rocks_iterator_ok(iterator, &local)) {
    /* A file of the database: what lies behind it is not found this time. */
    ok = rocks_is_damage(store, local);
    if (ok)
      rocks_damage_tell(store, local->message);
    else
      g_propagate_error(error, g_steal_pointer(&local));
  }
  buckets_close(&buckets);
  return ok;
}

/* One partition, or leaves it out when it is damaged (*out_damaged). */
static gboolean reblock_or_leave(RocksStore *store, guint32 device, gint64 partition,
                                 guint64 stable, gsize budget, gsize *out_read,
                                 gboolean *out_damaged, GError **error)
{
  g_autoptr(GError) local = NULL;
  if (reblock(store, device, partition, stable, budget, out_read, &local))
    return TRUE;
  if (!rocks_is_damage(store, local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  rocks_damage_note(store, device, partition, local);
  reblock_queue_leave_out(store->reblock->queue, device, partition);
  *out_damaged = TRUE;
  return TRUE;
}

/* The clock up to which blocks are taken: not the newest ones, so that digests can be compared as
 * of a moment ago. */
static guint64 stable_clock(const RocksStore *store, guint64 horizon)
{
  guint64 delay = store->options.reblock_delay_ms << HLC_MS;
  return horizon > delay ? horizon - delay : 0;
}

gboolean rocks_reblock(RocksStore *store, guint64 horizon, gsize budget, gboolean *out_more,
                       GError **error)
{
  Reblock *reblock_state = store->reblock;
  gsize read = 0;
  guint32 device;
  gint64 partition;
  guint64 stable = stable_clock(store, horizon);
  *out_more = FALSE;
  if (reblock_state == NULL || pending_first(store->checks) != NULL)
    return TRUE;
  take_notes(store);
  if (reblock_queue_take_lost(reblock_state->queue)) {
    reblock_state->swept = FALSE;
    memset(reblock_state->next_key, 0, sizeof reblock_state->next_key);
    reblock_state->next_key[0] = KEY_BLOCK;
  }
  gboolean ok = TRUE, settled = FALSE, damaged = FALSE;
  if (!reblock_state->swept) {
    ok = sweep(store, budget, error);
    *out_more = ok;
  }
  while (ok && !damaged && read <= budget &&
         reblock_queue_next(reblock_state->queue, stable, &device, &partition)) {
    if (!settled)
      ok = rocks_settle(store, &store->failure) ? rocks_write_progress(store, error)
                                                : rocks_check_usable(store, error);
    settled = TRUE;
    ok = ok && reblock_or_leave(store, device, partition, stable, budget, &read, &damaged, error);
    *out_more = ok;
  }
  count_blocks(reblock_state);
  return ok;
}
