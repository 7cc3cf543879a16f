/*
 * Conflicts between leaders in the RocksDB store. While entries are applied, what may have met
 * another leader's writes is only noted (store/pending.h), in the same batch as the data; later,
 * step by step, the blocks are read and what lost is written to the journal, in the same batch as
 * the note is taken out. So a crash leaves neither anything twice nor anything out.
 */
#include "store/chunk_block.h"
#include "store/conflict_find.h"
#include "store/decoded.h"
#include "store/rocks_buckets.h"

#include <string.h>

enum {
  STEP_FOUND_BYTES = 512 * 1024, /* of the journal, written by one step at most */
  STEP_CHECKS = 1024,            /* taken out by one step at most */
  STEP_COMPARISONS = 400 * 1000,
  SCENE_BYTES = 64 << 20, /* of blocks that are compared with each other at most */
};

G_STATIC_ASSERT(STEP_FOUND_BYTES * 2 <= STORE_MIN_JOURNAL_SIZE);

/* --- one step -----------------------------------------------------------------------------------
 */

typedef struct Step {
  RocksStore *store;
  rocksdb_writebatch_t *writes;
  rocksdb_iterator_t *iterator; /* over the state before the step */
  guint64 now_ms;
  gsize budget, read; /* bytes of blocks */
  gint64 work;        /* comparisons left */
  guint checks;       /* that were taken out */
  gsize found_bytes, written;
  ConflictCounts counts;
  GByteArray *record;
} Step;

static gboolean has_time(const Step *step)
{
  return step->read < step->budget && step->work > 0 && step->checks < STEP_CHECKS &&
         step->found_bytes < STEP_FOUND_BYTES;
}

/* Counts it and puts it into the journal. FALSE: the step has written enough. */
static gboolean note_found(gpointer ctx, const Found *found)
{
  Step *step = ctx;
  step->counts.by_kind[found->kind] += found->cells;
  if (found->kind == CONFLICT_SAME_VALUE)
    return TRUE;
  guint8 key[SEQUENCE_KEY_SIZE];
  key_sequence(key, KEY_JOURNAL, ++step->counts.last_sequence);
  g_byte_array_set_size(step->record, 0);
  found_encode(found, step->now_ms, step->record);
  rocksdb_writebatch_put(step->writes, (const char *)key, sizeof key,
                         (const char *)step->record->data, step->record->len);
  gsize bytes = sizeof key + step->record->len;
  step->counts.bytes += bytes;
  step->found_bytes += bytes;
  step->written += bytes;
  return step->found_bytes < STEP_FOUND_BYTES;
}

static void take_out(Step *step, Check *check)
{
  guint8 key[SEQUENCE_KEY_SIZE];
  key_sequence(key, KEY_CHECK, check->sequence);
  rocksdb_writebatch_delete(step->writes, (const char *)key, sizeof key);
  step->written += sizeof key;
  step->checks++;
  pending_done(step->store->checks, check);
}

/* Something that can't be read was met: what waits there is not compared. FALSE: it is no damage.
 */
static gboolean leave_damaged(Step *step, guint32 device, gint64 partition, GError *damage,
                              GError **error)
{
  if (!rocks_is_damage(step->store, damage)) {
    g_propagate_error(error, damage);
    return FALSE;
  }
  rocks_damage_note(step->store, device, partition, damage);
  g_error_free(damage);
  return TRUE;
}

static void look_at_type(Step *step, Check *check)
{
  Version oldest[DATA_TEXT + 1];
  guint applied = schema_oldest(step->store->schema, check->device, check->measurement, oldest);
  int other = 0;
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++)
    if (applied & (1u << type) && type != (int)check->type &&
        (other == 0 || version_compare(&oldest[type], &oldest[other]) < 0))
      other = type;
  if (other != 0 && oldest[other].origin != oldest[check->type].origin) {
    Found found = {.kind = CONFLICT_TYPE,
                   .device = check->device,
                   .measurement = check->measurement,
                   .cells = 1,
                   .winner = {.version = oldest[other], .type = (DataType)other},
                   .loser = {.version = oldest[check->type], .type = check->type}};
    if (version_compare(&oldest[check->type], &oldest[other]) < 0) {
      FoundSide later = found.winner;
      found.winner = found.loser;
      found.loser = later;
    }
    note_found(step, &found);
  }
  take_out(step, check);
}

static guint version_hash(gconstpointer key)
{
  const Version *version = key;
  guint64 mixed = version->hlc ^ (guint64)version->origin << 40 ^ (guint64)version->ordinal << 20;
  return (guint)(mixed * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) >> 32);
}

static gboolean version_equal(gconstpointer a, gconstpointer b)
{
  return version_compare(a, b) == 0;
}

/* Which versions still wait: Version → Check. */
static GHashTable *waiting_versions(const GQueue *checks)
{
  GHashTable *waiting = g_hash_table_new(version_hash, version_equal);
  for (const GList *link = checks != NULL ? checks->head : NULL; link != NULL; link = link->next) {
    Check *check = link->data;
    g_hash_table_insert(waiting, &check->version, check);
  }
  return waiting;
}

/* In a table of waiting_versions(). */
static guint64 sequence_of(gpointer waiting, const Version *version)
{
  const Check *check = g_hash_table_lookup(waiting, version);
  return check != NULL ? check->sequence : 0;
}

/* The key of the block under the iterator. FALSE: none of that device and partition. */
static gboolean block_here(rocksdb_iterator_t *iterator, guint32 device, gint64 partition,
                           const guint8 **out_key)
{
  if (!rocksdb_iter_valid(iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
  guint8 prefix[BLOCK_PREFIX_SIZE];
  key_block_prefix(prefix, device, partition);
  *out_key = key;
  return size == BLOCK_KEY_SIZE && memcmp(key, prefix, sizeof prefix) == 0;
}

/* The device's deletes that touch the range; NULL: none. By the applying thread, which alone
 * changes them. */
static GPtrArray *deletes_of(Step *step, guint32 device, gint64 start_time, gint64 end_time)
{
  return tombstones_of(step->store->tombstones, device, start_time, end_time);
}

/* --- blocks -------------------------------------------------------------------------------------
 */

/*
 * The checks of a partition's blocks that are looked at together, over as many steps as it takes:
 * from the oldest one on, and before the device's next delete. What is applied meanwhile is behind
 * all of them and not in the view.
 */
struct Look {
  guint32 device;
  gint64 partition;
  GPtrArray *checks;         /* Check */
  guint next;                /* of `checks` */
  gint64 min_time, max_time; /* of all of them */
  RocksView view;
  Buckets buckets;
  gboolean loaded;     /* all is; the view is closed then */
  guint turns;         /* see pending_turns() */
  GHashTable *waiting; /* Version → Check; until all is loaded */
  GPtrArray *deletes;  /* that the scene refers to; NULL: none */
  Scene *scene;
};

static void end_loading(Look *look)
{
  if (look->loaded)
    return;
  look->loaded = TRUE;
  buckets_close(&look->buckets);
  rocks_view_close(&look->view);
  g_clear_pointer(&look->waiting, g_hash_table_unref);
}

void rocks_look_free(Look *look)
{
  end_loading(look);
  g_ptr_array_unref(look->checks);
  g_clear_pointer(&look->deletes, g_ptr_array_unref);
  scene_free(look->scene);
  g_free(look);
}

static void choose_checks(Pending *pending, Look *look)
{
  const GQueue *deletes = pending_deletes(pending, look->device);
  guint64 end = deletes != NULL ? ((Check *)deletes->head->data)->sequence : G_MAXUINT64;
  const GQueue *blocks = pending_blocks(pending, look->device, look->partition);
  for (const GList *link = blocks->head; link != NULL; link = link->next) {
    Check *check = link->data;
    if (check->sequence > end)
      break;
    g_ptr_array_add(look->checks, check);
    look->min_time = MIN(look->min_time, check->min_time);
    look->max_time = MAX(look->max_time, check->max_time);
  }
}

/* The checks' own blocks are where they can be read. */
static gboolean settle(Step *step, guint32 device, GError **error)
{
  RocksStore *store = step->store;
  fair_lock_write(&store->publish_lock);
  gboolean settled = rocks_settle_device(store, device, &store->failure);
  fair_lock_release(&store->publish_lock);
  return settled || rocks_check_usable(store, error);
}

/* NULL with an error. */
static Look *begin_look(Step *step, const Check *first, GError **error)
{
  RocksStore *store = step->store;
  RocksView view;
  if (!settle(step, first->device, error) ||
      !rocks_view_open(store, first->device, 0, 0, &view, NULL, error))
    return NULL;
  Look *look = g_new(Look, 1);
  *look = (Look){.device = first->device,
                 .partition = first->partition,
                 .checks = g_ptr_array_new(),
                 .min_time = G_MAXINT64,
                 .max_time = G_MININT64,
                 .turns = pending_turns(store->checks),
                 .scene = scene_new(first->device)};
  choose_checks(store->checks, look);
  look->waiting = waiting_versions(pending_blocks(store->checks, look->device, look->partition));
  look->deletes = deletes_of(step, look->device, look->min_time, look->max_time);
  g_autoptr(GHashTable) waiting = waiting_versions(pending_deletes(store->checks, look->device));
  for (guint i = 0; look->deletes != NULL && i < look->deletes->len; i++) {
    const Tombstone *one = look->deletes->pdata[i];
    scene_add_delete(look->scene, one, sequence_of(waiting, &one->version));
  }
  look->view = view;
  buckets_open(store, view.snapshot, look->device, FALSE, &look->buckets);
  buckets_seek(&look->buckets, look->device, look->partition);
  return look;
}

/* Of a block with versions, each leader's rows for themselves. */
static gboolean know_rows(Step *step, const Look *look, const guint8 *bytes, gsize size,
                          GError **error)
{
  Block block;
  gsize unpacked_size;
  g_autofree guint8 *unpacked = block_unpack(bytes, size, &unpacked_size, error);
  if (unpacked == NULL || !block_open(unpacked, unpacked_size, &block, error))
    return FALSE;
  VersionRuns runs = block_version_runs(&block);
  guint32 origin = 0;
  guint first = 0, next = 0; /* of the rows of `origin` */
  for (guint rows; (rows = version_runs_next(&runs)) > 0; next += rows) {
    if (runs.last.origin == origin)
      continue;
    if (next > first)
      pending_know_block(step->store->checks, look->device, look->partition, origin,
                         block_time(&block, first), block_time(&block, next - 1));
    origin = runs.last.origin;
    first = next;
  }
  pending_know_block(step->store->checks, look->device, look->partition, origin,
                     block_time(&block, first), block_time(&block, next - 1));
  return TRUE;
}

/* Takes the block under the iterator; on the way it learns who wrote when in the partition. */
static gboolean load_block(Step *step, Look *look, const guint8 *key, GError **error)
{
  Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
  gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
  gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
  size_t size;
  const guint8 *value = (const guint8 *)rocksdb_iter_value(look->buckets.blocks, &size);
  gboolean mixed = block_is_mixed(value, size);
  gboolean touches = max_time >= look->min_time && min_time <= look->max_time;
  step->read += BLOCK_KEY_SIZE + (mixed || touches ? block_unpacked_size(value, size) : 0);
  if (!mixed)
    pending_know_block(step->store->checks, look->device, look->partition, version.origin, min_time,
                       max_time);
  else if (!know_rows(step, look, value, size, error))
    return FALSE;
  return !touches || scene_add_block(look->scene, &version, min_time, max_time, sequence_of,
                                     look->waiting, value, size, error);
}

/* Takes a chunk of the partition, the same way. */
static gboolean load_chunk(Step *step, Look *look, const Chunk *chunk, guint32 measurement,
                           gsize chunk_size, GError **error)
{
  gboolean touches = chunk->max_time >= look->min_time && chunk->min_time <= look->max_time;
  step->read += CHUNK_KEY_SIZE + chunk_size;
  if (!chunk->has_versions)
    pending_know_block(step->store->checks, look->device, look->partition, chunk->origin,
                       chunk->min_time, chunk->max_time);
  if (!chunk->has_versions && !touches)
    return TRUE;
  Version version;
  gsize size;
  g_autofree guint8 *bytes = chunk_to_block(chunk, measurement, TRUE, &version, &size, error);
  if (bytes == NULL || (chunk->has_versions && !know_rows(step, look, bytes, size, error)))
    return FALSE;
  return !touches || scene_add_block(look->scene, &version, chunk->min_time, chunk->max_time,
                                     sequence_of, look->waiting, bytes, size, error);
}

/* The next chunk of the partition. *out_any FALSE: there is none any more. */
static gboolean load_next_chunk(Step *step, Look *look, gboolean *out_any, GError **error)
{
  Chunk chunk;
  const guint8 *key;
  gsize size;
  GError *local = NULL;
  *out_any = buckets_any_chunk_here(&look->buckets, look->device, look->partition, &chunk, &key,
                                    &size, &local);
  if (*out_any &&
      load_chunk(step, look, &chunk, load_be32(key + CHUNK_KEY_MEASUREMENT), size, &local))
    rocksdb_iter_next(look->buckets.chunks);
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

/* Reads on in the partition, as far as the step's budget goes. */
static gboolean load_scene(Step *step, Look *look, GError **error)
{
  const guint8 *key;
  while (has_time(step) && scene_bytes(look->scene) <= SCENE_BYTES) {
    gboolean any;
    if (!load_next_chunk(step, look, &any, error))
      return FALSE;
    if (any)
      continue;
    if (!block_here(look->buckets.blocks, look->device, look->partition, &key)) {
      gboolean ok = buckets_ok(&look->buckets, error);
      /* Otherwise the ranges may have been forgotten in between, and begun anew. */
      if (ok && pending_turns(step->store->checks) - look->turns <= 1)
        pending_know_partition(step->store->checks, look->device, look->partition);
      end_loading(look);
      return ok;
    }
    if (!load_block(step, look, key, error))
      return FALSE;
    rocksdb_iter_next(look->buckets.blocks);
  }
  return TRUE;
}

/* More blocks touch than memory is given to: nothing is told of them. */
static void give_up(Step *step, Look *look)
{
  for (; look->next < look->checks->len; look->next++) {
    step->counts.overflowed++;
    take_out(step, look->checks->pdata[look->next]);
  }
}

static void compare_blocks(Step *step, Look *look)
{
  while (has_time(step) && look->next < look->checks->len) {
    Check *check = look->checks->pdata[look->next];
    if (!scene_look(look->scene, check, note_found, step, &step->work)) {
      step->written += rocks_put_check(step->writes, check);
      return;
    }
    take_out(step, check);
    look->next++;
  }
}

/* Goes on with the look under way. */
static gboolean go_on_looking(Step *step, GError **error)
{
  Look *look = step->store->look;
  GError *damage = NULL;
  gboolean readable = look->loaded || load_scene(step, look, &damage);
  if (!readable && !leave_damaged(step, look->device, look->partition, damage, error))
    return FALSE;
  if (!readable || scene_bytes(look->scene) > SCENE_BYTES)
    give_up(step, look);
  else if (look->loaded)
    compare_blocks(step, look);
  if (look->next == look->checks->len)
    g_clear_pointer(&step->store->look, rocks_look_free);
  return TRUE;
}

/* --- deletes ------------------------------------------------------------------------------------
 */

/* What one delete hides in one column, by the leader who wrote it. */
static void gather_hidden(const Check *check, guint32 measurement, DataType type,
                          const GArray *cells, GArray *losers)
{
  g_array_set_size(losers, 0);
  for (guint i = 0; i < cells->len; i++) {
    const Cell *cell = &g_array_index(cells, Cell, i);
    if (cell->version->origin == check->version.origin ||
        version_compare(cell->version, &check->version) > 0)
      continue;
    Found *same = NULL;
    for (guint k = 0; same == NULL && k < losers->len; k++)
      if (g_array_index(losers, Found, k).loser.version.origin == cell->version->origin)
        same = &g_array_index(losers, Found, k);
    if (same != NULL) {
      same->cells++;
      continue;
    }
    Found found = {
        .kind = CONFLICT_DELETE,
        .device = check->device,
        .measurement = measurement,
        .time = cell->time,
        .cells = 1,
        .winner = {.version = check->version, .is_delete = TRUE},
        .loser = {
            .version = *cell->version, .type = type, .value = cell->value, .size = cell->size}};
    g_array_append_val(losers, found);
  }
}

/* What a delete met. */
typedef struct DeleteScene {
  const Tombstone *own;
  GPtrArray *all;    /* Tombstone: the device's */
  GPtrArray *before; /* … those applied before, borrowed */
} DeleteScene;

/* FALSE: it is not there any more. */
static gboolean open_delete(Step *step, const Check *check, DeleteScene *out)
{
  *out = (DeleteScene){NULL, deletes_of(step, check->device, check->min_time, check->max_time),
                       g_ptr_array_new()};
  g_autoptr(GHashTable) waiting =
      waiting_versions(pending_deletes(step->store->checks, check->device));
  for (guint i = 0; out->all != NULL && i < out->all->len; i++) {
    Tombstone *one = out->all->pdata[i];
    if (version_compare(&one->version, &check->version) == 0)
      out->own = one;
    else if (sequence_of(waiting, &one->version) == 0)
      g_ptr_array_add(out->before, one);
  }
  return out->own != NULL;
}

static void close_delete(DeleteScene *scene)
{
  g_clear_pointer(&scene->all, g_ptr_array_unref);
  g_ptr_array_unref(scene->before);
}

static gboolean waits_not(gconstpointer waiting, const Version *version)
{
  return sequence_of((gpointer)waiting, version) == 0;
}

/* Chunks wait for nothing: all that is in them was there before. */
static gboolean load_chunks_before(Step *step, Buckets *buckets, const Check *check, gint64 place,
                                   Partition *partition, gboolean *out_fits, GError **error)
{
  BucketScope scope = {.cut = G_MAXUINT64, .with_versions = TRUE};
  Chunk chunk;
  const guint8 *key;
  gsize size, bytes = 0;
  GError *local = NULL;
  for (; *out_fits &&
         buckets_any_chunk_here(buckets, check->device, place, &chunk, &key, &size, &local);
       rocksdb_iter_next(buckets->chunks)) {
    step->read += CHUNK_KEY_SIZE + size;
    if (chunk.max_time < check->min_time || chunk.min_time > check->max_time)
      continue;
    bytes += chunk.rows * sizeof(gint64) + chunk.values_size;
    *out_fits = bytes <= SCENE_BYTES;
    if (!buckets_add_chunk(&chunk, load_be32(key + CHUNK_KEY_MEASUREMENT), &scope, partition,
                           &local))
      break;
  }
  if (local != NULL)
    g_propagate_error(error, local);
  return local == NULL;
}

/* Loads what was in the partition under the iterator before the delete, unless it is too much. */
static gboolean load_before(Step *step, Buckets *buckets, const Check *check, gint64 place,
                            Partition *partition, gboolean *out_fits, GError **error)
{
  rocksdb_iterator_t *iterator = buckets->blocks;
  g_autoptr(GHashTable) waiting =
      waiting_versions(pending_blocks(step->store->checks, check->device, place));
  const guint8 *key;
  gsize begin = step->read;
  partition_clear(partition);
  *out_fits = TRUE;
  if (!load_chunks_before(step, buckets, check, place, partition, out_fits, error))
    return FALSE;
  if (!*out_fits)
    return TRUE;
  for (; block_here(iterator, check->device, place, &key); rocksdb_iter_next(iterator)) {
    Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
    gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
    gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
    step->read += BLOCK_KEY_SIZE;
    *out_fits = step->read - begin <= SCENE_BYTES;
    if (!*out_fits)
      return TRUE;
    if (max_time < check->min_time || min_time > check->max_time)
      continue;
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
    step->read += block_unpacked_size(value, size);
    if (!partition_add(partition, &version, value, size, waits_not, waiting, error))
      return FALSE;
  }
  return rocks_iterator_ok(iterator, error);
}

static void look_at_partition(Step *step, const Check *check, const DeleteScene *scene,
                              Partition *partition)
{
  g_autoptr(GArray) columns = partition_columns(partition);
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  g_autoptr(GArray) losers = g_array_new(FALSE, FALSE, sizeof(Found));
  for (guint i = 0; i < columns->len; i++) {
    guint64 id = g_array_index(columns, guint64, i);
    guint32 measurement = (guint32)(id >> 8);
    if (!tombstone_names(scene->own, measurement))
      continue;
    DataType type = (DataType)(id & 0xFF);
    partition_cells(partition, measurement, type, check->min_time, check->max_time, scene->before,
                    cells);
    step->work -= cells->len;
    gather_hidden(check, measurement, type, cells, losers);
    for (guint k = 0; k < losers->len; k++)
      note_found(step, &g_array_index(losers, Found, k));
  }
}

/* The next partition of the check's device that has anything. FALSE: none up to the delete's last.
 */
static gboolean next_partition(const Step *step, Buckets *buckets, const Check *check,
                               gint64 *out_partition)
{
  guint32 device;
  buckets_seek(buckets, check->device, check->partition);
  return buckets_here(buckets, &device, out_partition) &&
         *out_partition <= partition_of(check->max_time, step->store->options.partition_interval);
}

/* Partition by partition, as far as the step's budget goes; *out_any: there may be more. */
static gboolean look_at_partitions(Step *step, Buckets *buckets, Check *check, gboolean *out_any,
                                   GError **error)
{
  DeleteScene scene;
  g_autoptr(Partition) partition = partition_new();
  gint64 place;
  gboolean fits, ok = TRUE, any = open_delete(step, check, &scene);
  while (ok && any && has_time(step)) {
    any = next_partition(step, buckets, check, &place);
    if (!any)
      break;
    GError *damage = NULL;
    if (!load_before(step, buckets, check, place, partition, &fits, &damage)) {
      ok = leave_damaged(step, check->device, place, damage, error);
      fits = FALSE;
    }
    step->counts.overflowed += ok && !fits ? 1 : 0;
    if (ok && fits)
      look_at_partition(step, check, &scene, partition);
    any = place < G_MAXINT64;
    check->partition = any ? place + 1 : place;
  }
  close_delete(&scene);
  *out_any = any;
  return ok && buckets_ok(buckets, error);
}

static gboolean look_at_delete(Step *step, Check *check, GError **error)
{
  RocksView view;
  gboolean any;
  if (!settle(step, check->device, error) ||
      !rocks_view_open(step->store, check->device, 0, 0, &view, NULL, error))
    return FALSE;
  Buckets buckets;
  buckets_open(step->store, view.snapshot, check->device, FALSE, &buckets);
  GError *damage = NULL;
  gboolean ok = look_at_partitions(step, &buckets, check, &any, &damage);
  buckets_close(&buckets);
  rocks_view_close(&view);
  if (!ok && leave_damaged(step, check->device, check->partition, damage, error)) {
    step->counts.overflowed++; /* a file of the database: no way leads past it */
    any = FALSE;
    ok = TRUE;
  }
  if (ok && any)
    step->written += rocks_put_check(step->writes, check);
  else if (ok)
    take_out(step, check);
  return ok;
}

static gboolean look(Step *step, GError **error)
{
  RocksStore *store = step->store;
  Check *check;
  while (has_time(step) && (check = pending_first(store->checks)) != NULL) {
    gboolean ok = TRUE;
    switch (check->kind) {
    case CHECK_BLOCK:
      if (store->look == NULL)
        store->look = begin_look(step, check, error);
      ok = store->look != NULL && go_on_looking(step, error);
      break;
    case CHECK_DELETE:
      ok = look_at_delete(step, check, error);
      break;
    case CHECK_TYPE:
      look_at_type(step, check);
      break;
    }
    if (!ok)
      return FALSE;
  }
  return TRUE;
}

/* The oldest entries go when the journal is too large. What this step wrote fits in it. */
static gboolean trim(Step *step, GError **error)
{
  ConflictCounts *counts = &step->counts;
  guint8 key[SEQUENCE_KEY_SIZE];
  if (counts->bytes <= step->store->options.journal_size)
    return TRUE;
  key_sequence(key, KEY_JOURNAL, counts->first_sequence);
  for (rocksdb_iter_seek(step->iterator, (const char *)key, sizeof key);
       counts->bytes > step->store->options.journal_size && rocksdb_iter_valid(step->iterator);
       rocksdb_iter_next(step->iterator)) {
    size_t key_size, size;
    const char *found = rocksdb_iter_key(step->iterator, &key_size);
    if (key_size != SEQUENCE_KEY_SIZE || found[0] != KEY_JOURNAL)
      break;
    rocksdb_iter_value(step->iterator, &size);
    rocksdb_writebatch_delete(step->writes, found, key_size);
    counts->first_sequence = load_be64(found + 1) + 1;
    counts->bytes -= MIN(counts->bytes, key_size + size);
  }
  return rocks_iterator_ok(step->iterator, error);
}

static gboolean publish(Step *step, GError **error)
{
  RocksStore *store = step->store;
  char *message = NULL;
  step->written += rocks_put_counts(step->writes, &step->counts);
  step->counts.pending = pending_count(store->checks);
  fair_lock_write(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, step->writes, &message);
  if (message == NULL)
    store->conflicts = step->counts;
  fair_lock_release(&store->publish_lock);
  g_atomic_int_add(&store->unpersisted_kib, (gint)(step->written / 1024) + 1);
  return message == NULL || rocks_lose(store, message, error);
}

gboolean rocks_find_conflicts(Store *parent, guint64 now_ms, gsize budget, gboolean *out_more,
                              GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  *out_more = FALSE;
  if (!rocks_check_usable(store, error))
    return FALSE;
  if (pending_first(store->checks) == NULL)
    return TRUE;
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_fill_cache(options, 0);
  Step step = {.store = store,
               .writes = rocksdb_writebatch_create(),
               .iterator = rocksdb_create_iterator(store->db, options),
               .now_ms = now_ms,
               .budget = budget,
               .work = STEP_COMPARISONS,
               .counts = store->conflicts,
               .record = g_byte_array_new()};
  gboolean ok = look(&step, error) && trim(&step, error) && publish(&step, error);
  g_byte_array_unref(step.record);
  rocksdb_iter_destroy(step.iterator);
  rocksdb_readoptions_destroy(options);
  rocksdb_writebatch_destroy(step.writes);
  *out_more = ok && pending_first(store->checks) != NULL;
  return ok;
}
