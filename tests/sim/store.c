/*
 * The store of a simulated node: it remembers the content of each entry that is applied, in order,
 * and how many of them a crash leaves. Data and progress become durable together, as in the real
 * one. What is applied is looked at by the checkers first.
 */
#include "sim/check.h"

#include "store/decoded.h"

#include <xxhash.h>

typedef struct SimStore {
  Store parent;
  SimNode *node;
  guint64 unpersisted; /* bytes, roughly */
} SimStore;

enum { BYTES_PER_ENTRY = 100 };

guint64 sim_content(const Decoded *decoded)
{
  guint64 hash = XXH3_64bits(decoded->values->data, decoded->values->len);
  for (guint i = 0; i < decoded->blocks->len; i++) {
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    hash = XXH3_64bits_withSeed(block->device.bytes, block->device.size, hash);
  }
  for (guint i = 0; i < decoded->deletes->len; i++) {
    const DecodedDelete *delete = &g_array_index(decoded->deletes, DecodedDelete, i);
    gint64 range[] = {delete->start_time, delete->end_time};
    hash = XXH3_64bits_withSeed(range, sizeof range, hash);
    hash = XXH3_64bits_withSeed(delete->device.bytes, delete->device.size, hash);
  }
  return hash;
}

void stored_log_free(gpointer data)
{
  StoredLog *stored = data;
  g_array_unref(stored->entries);
  g_free(stored);
}

StoredLog *sim_stored(const SimNode *node, LogId log)
{
  for (guint i = 0; i < node->stored->len; i++)
    if (log_id_equal(((StoredLog *)node->stored->pdata[i])->log, log))
      return node->stored->pdata[i];
  return NULL;
}

static StoredLog *put_stored(SimNode *node, LogId log)
{
  StoredLog *stored = sim_stored(node, log);
  if (stored != NULL)
    return stored;
  stored = g_new0(StoredLog, 1);
  stored->log = log;
  stored->entries = g_array_new(FALSE, FALSE, sizeof(StoredEntry));
  guint at = 0;
  while (at < node->stored->len &&
         log_id_compare(&((StoredLog *)node->stored->pdata[at])->log, &log) < 0)
    at++;
  g_ptr_array_insert(node->stored, (gint)at, stored);
  return stored;
}

static gboolean store_apply_all(Store *base, const StoreEntry *entries, guint count, GError **error)
{
  SimStore *store = (SimStore *)base;
  (void)error;
  for (guint i = 0; i < count; i++) {
    const StoreEntry *entry = &entries[i];
    StoredLog *stored = put_stored(store->node, entry->log);
    StoredEntry one = {sim_content(entry->decoded), entry->hlc, store->node->applied_count++};
    check_applied(store->node, entry, stored->entries->len, one.content);
    g_array_append_val(stored->entries, one);
    store->unpersisted += BYTES_PER_ENTRY;
  }
  return TRUE;
}

static GArray *store_get_progress(Store *base, gboolean durable, GError **error)
{
  SimStore *store = (SimStore *)base;
  GArray *progress = g_array_new(FALSE, TRUE, sizeof(StoreProgress));
  (void)error;
  for (guint i = 0; i < store->node->stored->len; i++) {
    const StoredLog *stored = store->node->stored->pdata[i];
    guint applied = durable ? stored->durable : stored->entries->len;
    if (applied == 0)
      continue;
    StoreProgress one = {stored->log, applied,
                         g_array_index(stored->entries, StoredEntry, applied - 1).hlc};
    g_array_append_val(progress, one);
  }
  return progress;
}

static gboolean store_persist_all(Store *base, gboolean wait, GError **error)
{
  SimStore *store = (SimStore *)base;
  (void)wait;
  (void)error;
  for (guint i = 0; i < store->node->stored->len; i++) {
    StoredLog *stored = store->node->stored->pdata[i];
    check_persisted(store->node, stored);
    stored->durable = stored->entries->len;
  }
  store->unpersisted = 0;
  return TRUE;
}

static gboolean store_reserve_any(Store *base, const Decoded *decoded, GError **error)
{
  (void)base;
  (void)decoded;
  (void)error;
  return TRUE;
}

static gboolean store_find_none(Store *base, guint64 now_ms, gsize budget, gboolean *out_more,
                                GError **error)
{
  (void)base, (void)now_ms, (void)budget, (void)error;
  *out_more = FALSE;
  return TRUE;
}

static void store_get_stats(Store *base, StoreStats *out_stats)
{
  *out_stats = (StoreStats){.unpersisted_bytes = ((SimStore *)base)->unpersisted};
}

static guint64 store_get_unpersisted(Store *base)
{
  return ((SimStore *)base)->unpersisted;
}

static void store_free(Store *base)
{
  g_free(base);
}

Store *sim_store_new(SimNode *node)
{
  /* Nothing reads from it but the checkers. */
  static const StoreOps ops = {.name = "simulated",
                               .close = store_free,
                               .reserve = store_reserve_any,
                               .apply = store_apply_all,
                               .progress = store_get_progress,
                               .persist = store_persist_all,
                               .find_conflicts = store_find_none,
                               .stats = store_get_stats,
                               .unpersisted = store_get_unpersisted};
  SimStore *store = g_new0(SimStore, 1);
  store->parent.ops = &ops;
  store->node = node;
  return &store->parent;
}

void sim_store_die(SimNode *node)
{
  for (guint i = 0; i < node->stored->len; i++) {
    StoredLog *stored = node->stored->pdata[i];
    g_array_set_size(stored->entries, stored->durable);
  }
}

void sim_store_wipe(SimNode *node)
{
  g_ptr_array_set_size(node->stored, 0);
}

void sim_store_keep_copy(SimNode *node)
{
  g_clear_pointer(&node->stored_copy, g_ptr_array_unref);
  node->stored_copy = g_ptr_array_new_with_free_func(stored_log_free);
  for (guint i = 0; i < node->stored->len; i++) {
    const StoredLog *stored = node->stored->pdata[i];
    StoredLog *copy = g_new0(StoredLog, 1);
    copy->log = stored->log;
    copy->durable = stored->durable;
    copy->entries = g_array_new(FALSE, FALSE, sizeof(StoredEntry));
    g_array_append_vals(copy->entries, stored->entries->data, stored->durable);
    g_ptr_array_add(node->stored_copy, copy);
  }
}

void sim_store_restore_copy(SimNode *node)
{
  g_ptr_array_unref(node->stored);
  node->stored = g_steal_pointer(&node->stored_copy);
}
