/*
 * Conflicts between leaders on disk: what waits for being looked at, the counters, the journal. See
 * rocks_conflicts.c for what is found.
 */
#include "store/conflict_record.h"
#include "store/rocks_private.h"

enum { LIST_RECORDS = 20000 }; /* read for one page at most */

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
  char *found;
  gsize size;
  if (!rocks_get(store, options, key, sizeof key, &found, &size, error))
    return FALSE;
  gboolean sound = found == NULL || counts_decode((const guint8 *)found, size, out_counts);
  if (found == NULL)
    *out_counts = (ConflictCounts){.first_sequence = 1};
  rocksdb_free(found);
  return sound || fail(error, SYNCLOG_CORRUPT, "%s: the record of conflicts is damaged",
                       store->options.directory);
}

gboolean rocks_load_counts(RocksStore *store, GError **error)
{
  gboolean loaded = read_counts(store, NULL, &store->conflicts, error);
  store->conflicts.pending = pending_count(store->checks);
  return loaded;
}

/* --- writing ------------------------------------------------------------------------------------
 */

gsize rocks_put_check(rocksdb_writebatch_t *writes, const Check *check)
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
    bytes += rocks_put_check(writes, noted->check);
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
  rocks_view_open(store, 0, 0, 0, &view, NULL, NULL); /* of blocks nothing is read */
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
