/*
 * Conflicts between leaders in the RocksDB store. While entries are applied, what may have met
 * another leader's writes is only noted (store/pending.h), in the same batch as the data; later,
 * step by step, the blocks are read and what lost is written to the journal, in the same batch as
 * the note is taken out. So a crash leaves neither anything twice nor anything out.
 */
#include "store/conflict_find.h"
#include "store/decoded.h"
#include "store/rocks_private.h"

#include <string.h>

enum {
  STEP_FOUND_BYTES = 512 * 1024, /* of the journal, written by one step at most */
  STEP_CHECKS = 1024,            /* taken out by one step at most */
  STEP_COMPARISONS = 400 * 1000,
  LIST_RECORDS = 20000, /* read for one page at most */
};

G_STATIC_ASSERT(STEP_FOUND_BYTES * 2 <= STORE_MIN_JOURNAL_SIZE);

/* --- opening ------------------------------------------------------------------------------------
 */

gboolean rocks_load_check(RocksStore *store, const guint8 *key, gsize key_size, const guint8 *value,
                          gsize size)
{
  Check check;
  return key_size == SEQUENCE_KEY_SIZE && check_decode(load_be64(key + 1), value, size, &check) &&
         pending_load_check(store->checks, &check);
}

static gboolean read_counts(RocksStore *store, rocksdb_readoptions_t *options,
                            ConflictCounts *out_counts, GError **error)
{
  static const char key[] = {KEY_META, KEY_META_CONFLICTS};
  char *message = NULL;
  size_t size;
  char *found = rocksdb_get(store->db, options, key, sizeof key, &size, &message);
  if (message != NULL)
    return rocks_fail(error, message, "reading");
  gboolean sound = found == NULL || counts_decode((const guint8 *)found, size, out_counts);
  if (found == NULL)
    *out_counts = (ConflictCounts){.first_sequence = 1};
  rocksdb_free(found);
  return sound || fail(error, SYNCLOG_CORRUPT, "%s: the record of conflicts is damaged",
                       store->options.directory);
}

gboolean rocks_load_counts(RocksStore *store, GError **error)
{
  rocksdb_readoptions_t *options = rocksdb_readoptions_create();
  gboolean loaded = read_counts(store, options, &store->conflicts, error);
  rocksdb_readoptions_destroy(options);
  store->conflicts.pending = pending_count(store->checks);
  return loaded;
}

/* --- writing ------------------------------------------------------------------------------------
 */

static gsize put_check(rocksdb_writebatch_t *writes, const Check *check)
{
  guint8 key[SEQUENCE_KEY_SIZE], value[CHECK_RECORD_SIZE];
  key_sequence(key, KEY_CHECK, check->sequence);
  check_encode(check, value);
  rocksdb_writebatch_put(writes, (const char *)key, sizeof key, (const char *)value, sizeof value);
  return sizeof key + sizeof value;
}

gsize rocks_put_noted(rocksdb_writebatch_t *writes, const Noted *noted, guint32 device,
                      guint32 origin)
{
  gsize bytes = 0;
  if (noted->new_origin) {
    guint8 key[WRITER_KEY_SIZE];
    key_writer(key, device, origin);
    rocksdb_writebatch_put(writes, (const char *)key, sizeof key, "", 0);
    bytes += sizeof key;
  }
  if (noted->check != NULL)
    bytes += put_check(writes, noted->check);
  return bytes;
}

gsize rocks_put_counts(rocksdb_writebatch_t *writes, const ConflictCounts *counts)
{
  static const char key[] = {KEY_META, KEY_META_CONFLICTS};
  guint8 value[COUNTS_RECORD_SIZE];
  counts_encode(counts, value);
  rocksdb_writebatch_put(writes, key, sizeof key, (const char *)value, sizeof value);
  return sizeof key + sizeof value;
}

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

static guint64 sequence_of(GHashTable *waiting, const Version *version)
{
  const Check *check = g_hash_table_lookup(waiting, version);
  return check != NULL ? check->sequence : 0;
}

/* The key of the block under the iterator. FALSE: none of that device and partition. */
static gboolean block_here(const Step *step, guint32 device, gint64 partition,
                           const guint8 **out_key)
{
  if (!rocksdb_iter_valid(step->iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(step->iterator, &size);
  guint8 prefix[BLOCK_PREFIX_SIZE];
  key_block_prefix(prefix, device, partition);
  *out_key = key;
  return size == BLOCK_KEY_SIZE && memcmp(key, prefix, sizeof prefix) == 0;
}

static void seek(Step *step, guint32 device, gint64 partition)
{
  guint8 key[BLOCK_PREFIX_SIZE];
  key_block_prefix(key, device, partition);
  rocksdb_iter_seek(step->iterator, (const char *)key, sizeof key);
}

/* The checks of a partition's blocks that can be looked at together: from the first one on, and
 * before the device's next delete. */
typedef struct Group {
  GPtrArray *checks; /* Check */
  gint64 min_time, max_time;
} Group;

static Group choose_group(Step *step, const Check *first)
{
  Pending *pending = step->store->checks;
  Group group = {g_ptr_array_new(), G_MAXINT64, G_MININT64};
  const GQueue *deletes = pending_deletes(pending, first->device);
  guint64 end = deletes != NULL ? ((Check *)deletes->head->data)->sequence : G_MAXUINT64;
  const GQueue *blocks = pending_blocks(pending, first->device, first->partition);
  for (const GList *link = blocks->head; link != NULL; link = link->next) {
    Check *check = link->data;
    if (check->sequence > end || group.checks->len + step->checks >= STEP_CHECKS)
      break;
    g_ptr_array_add(group.checks, check);
    group.min_time = MIN(group.min_time, check->min_time);
    group.max_time = MAX(group.max_time, check->max_time);
  }
  return group;
}

/* Reads the partition; on the way it learns who wrote when in it. */
static gboolean load_scene(Step *step, const Check *first, const Group *group, Scene *scene,
                           GError **error)
{
  Pending *pending = step->store->checks;
  g_autoptr(GHashTable) waiting =
      waiting_versions(pending_blocks(pending, first->device, first->partition));
  const guint8 *key;
  for (seek(step, first->device, first->partition);
       block_here(step, first->device, first->partition, &key); rocksdb_iter_next(step->iterator)) {
    Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
    gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
    gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
    step->read += BLOCK_KEY_SIZE;
    pending_know_block(pending, first->device, first->partition, version.origin, min_time,
                       max_time);
    if (max_time < group->min_time || min_time > group->max_time)
      continue;
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(step->iterator, &size);
    if (!scene_add_block(scene, &version, min_time, max_time, sequence_of(waiting, &version), value,
                         size, error))
      return FALSE;
  }
  if (!rocks_iterator_ok(step->iterator, error))
    return FALSE;
  step->read += scene_bytes(scene);
  pending_know_partition(pending, first->device, first->partition);
  return TRUE;
}

/* The device's deletes that touch the range; NULL: none. By the applying thread, which alone
 * changes them. */
static GPtrArray *deletes_of(Step *step, guint32 device, gint64 start_time, gint64 end_time)
{
  return tombstones_of(step->store->tombstones, device, start_time, end_time);
}

static gboolean look_at_blocks(Step *step, Check *first, GError **error)
{
  Group group = choose_group(step, first);
  g_autoptr(GPtrArray) checks = group.checks;
  g_autoptr(Scene) scene = scene_new(first->device);
  g_autoptr(GPtrArray) deletes = deletes_of(step, first->device, group.min_time, group.max_time);
  g_autoptr(GHashTable) waiting =
      waiting_versions(pending_deletes(step->store->checks, first->device));
  for (guint i = 0; deletes != NULL && i < deletes->len; i++) {
    const Tombstone *one = deletes->pdata[i];
    scene_add_delete(scene, one, sequence_of(waiting, &one->version));
  }
  if (!load_scene(step, first, &group, scene, error))
    return FALSE;
  for (guint i = 0; i < checks->len; i++) {
    Check *check = checks->pdata[i];
    if (!scene_look(scene, check, note_found, step, &step->work)) {
      step->written += put_check(step->writes, check);
      break;
    }
    take_out(step, check);
    if (step->work <= 0 || step->found_bytes >= STEP_FOUND_BYTES)
      break;
  }
  return TRUE;
}

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

/* Loads what was in the partition under the iterator before the delete. */
static gboolean load_before(Step *step, const Check *check, gint64 place, Partition *partition,
                            GError **error)
{
  g_autoptr(GHashTable) waiting =
      waiting_versions(pending_blocks(step->store->checks, check->device, place));
  const guint8 *key;
  partition_clear(partition);
  for (; block_here(step, check->device, place, &key); rocksdb_iter_next(step->iterator)) {
    Version version = key_read_version(key + BLOCK_PREFIX_SIZE);
    gint64 min_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 16));
    gint64 max_time = key_unflip(load_be64(key + BLOCK_PREFIX_SIZE + 24));
    step->read += BLOCK_KEY_SIZE;
    if (max_time < check->min_time || min_time > check->max_time ||
        sequence_of(waiting, &version) > 0)
      continue;
    size_t size;
    const guint8 *value = (const guint8 *)rocksdb_iter_value(step->iterator, &size);
    step->read += size;
    if (!partition_add(partition, &version, value, size, error))
      return FALSE;
  }
  return rocks_iterator_ok(step->iterator, error);
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

/* The next partition of the check's device that has blocks. FALSE: none up to the delete's last. */
static gboolean next_partition(Step *step, const Check *check, gint64 *out_partition)
{
  seek(step, check->device, check->partition);
  if (!rocksdb_iter_valid(step->iterator))
    return FALSE;
  size_t size;
  const guint8 *key = (const guint8 *)rocksdb_iter_key(step->iterator, &size);
  if (size != BLOCK_KEY_SIZE || key[0] != KEY_BLOCK || load_be32(key + 1) != check->device)
    return FALSE;
  *out_partition = key_unflip(load_be64(key + 5));
  return *out_partition <= partition_of(check->max_time, step->store->options.partition_interval);
}

/* Partition by partition, as far as the step's budget goes. */
static gboolean look_at_delete(Step *step, Check *check, GError **error)
{
  DeleteScene scene;
  g_autoptr(Partition) partition = partition_new();
  gint64 place;
  gboolean ok = TRUE, any = open_delete(step, check, &scene);
  while (ok && any && has_time(step)) {
    any = next_partition(step, check, &place);
    if (!any)
      break;
    ok = load_before(step, check, place, partition, error);
    if (ok)
      look_at_partition(step, check, &scene, partition);
    any = place < G_MAXINT64;
    check->partition = any ? place + 1 : place;
  }
  ok = ok && rocks_iterator_ok(step->iterator, error);
  close_delete(&scene);
  if (ok && any)
    step->written += put_check(step->writes, check);
  else if (ok)
    take_out(step, check);
  return ok;
}

static gboolean look(Step *step, GError **error)
{
  Check *check;
  while (has_time(step) && (check = pending_first(step->store->checks)) != NULL) {
    gboolean ok = TRUE;
    switch (check->kind) {
    case CHECK_BLOCK:
      ok = look_at_blocks(step, check, error);
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
  g_rw_lock_writer_lock(&store->publish_lock);
  rocksdb_write(store->db, store->write_options, step->writes, &message);
  if (message == NULL)
    store->conflicts = step->counts;
  g_rw_lock_writer_unlock(&store->publish_lock);
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

/* --- the journal --------------------------------------------------------------------------------
 */

static const char *name_of(gpointer ctx, guint32 id)
{
  return schema_name(ctx, id);
}

static void add_record(RocksStore *store, guint64 sequence, const guint8 *bytes, gsize size,
                       ConflictPage *page)
{
  Conflict *conflict = conflict_decode(sequence, bytes, size, name_of, store->schema);
  if (conflict != NULL)
    g_ptr_array_add(page->conflicts, conflict);
  else
    page->unreadable++;
}

static gboolean read_page(RocksStore *store, const ConflictQuery *query,
                          rocksdb_iterator_t *iterator, ConflictPage *page, GError **error)
{
  guint32 device = query->device != NULL ? schema_find(store->schema, query->device) : 0;
  guint8 key[SEQUENCE_KEY_SIZE];
  guint read = 0;
  page->next_after = MIN(query->after, page->counts.last_sequence);
  page->next_after = MAX(page->next_after, page->counts.first_sequence - 1);
  key_sequence(key, KEY_JOURNAL, page->next_after + 1);
  for (rocksdb_iter_seek(iterator, (const char *)key, sizeof key); rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t key_size, size;
    const char *found = rocksdb_iter_key(iterator, &key_size);
    if (key_size != SEQUENCE_KEY_SIZE || found[0] != KEY_JOURNAL)
      break;
    if (page->conflicts->len >= query->limit || read++ >= LIST_RECORDS) {
      page->more = TRUE;
      break;
    }
    const guint8 *value = (const guint8 *)rocksdb_iter_value(iterator, &size);
    page->next_after = load_be64(found + 1);
    guint32 of = conflict_device(value, size);
    if (query->device == NULL || of == 0 || of == device)
      add_record(store, page->next_after, value, size, page);
  }
  return rocks_iterator_ok(iterator, error);
}

ConflictPage *rocks_conflicts(Store *parent, const ConflictQuery *query, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  g_autoptr(ConflictPage) page = conflict_page_new();
  RocksView view;
  rocks_view_open(store, 0, 0, 0, &view, NULL);
  rocksdb_readoptions_set_fill_cache(view.read_options, 0);
  gboolean ok = read_counts(store, view.read_options, &page->counts, error);
  if (ok) {
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, view.read_options);
    ok = read_page(store, query, iterator, page, error);
    rocksdb_iter_destroy(iterator);
  }
  rocks_view_close(&view);
  StoreStats stats;
  store_stats(parent, &stats);
  page->counts.pending = stats.conflicts.pending;
  return ok ? g_steal_pointer(&page) : NULL;
}
