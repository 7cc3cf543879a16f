#include "store/tombstones.h"

struct Tombstones {
  GHashTable *by_device; /* device id → GPtrArray of Tombstone in atomic boxes */
};

static void tombstone_clear(gpointer data)
{
  g_free(((Tombstone *)data)->measurements);
}

static void unref(gpointer data)
{
  g_atomic_rc_box_release_full(data, tombstone_clear);
}

Tombstones *tombstones_new(void)
{
  Tombstones *tombstones = g_new0(Tombstones, 1);
  tombstones->by_device =
      g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
  return tombstones;
}

void tombstones_free(Tombstones *tombstones)
{
  g_hash_table_unref(tombstones->by_device);
  g_free(tombstones);
}

void tombstones_add(Tombstones *tombstones, guint32 device, const Tombstone *tombstone)
{
  GPtrArray *list = g_hash_table_lookup(tombstones->by_device, GUINT_TO_POINTER(device));
  if (list == NULL) {
    list = g_ptr_array_new_with_free_func(unref);
    g_hash_table_insert(tombstones->by_device, GUINT_TO_POINTER(device), list);
  }
  Tombstone *boxed = g_atomic_rc_box_new(Tombstone);
  *boxed = *tombstone;
  g_ptr_array_add(list, boxed);
}

GPtrArray *tombstones_of(Tombstones *tombstones, guint32 device, gint64 start_time, gint64 end_time)
{
  GPtrArray *all = g_hash_table_lookup(tombstones->by_device, GUINT_TO_POINTER(device));
  GPtrArray *list = NULL;
  for (guint i = 0; all != NULL && i < all->len; i++) {
    Tombstone *one = all->pdata[i];
    if (one->end_time < start_time || one->start_time > end_time)
      continue;
    if (list == NULL)
      list = g_ptr_array_new_with_free_func(unref);
    g_ptr_array_add(list, g_atomic_rc_box_acquire(one));
  }
  return list;
}

guint tombstones_count(const Tombstones *tombstones)
{
  GHashTableIter iter;
  gpointer list;
  guint count = 0;
  g_hash_table_iter_init(&iter, tombstones->by_device);
  while (g_hash_table_iter_next(&iter, NULL, &list))
    count += ((GPtrArray *)list)->len;
  return count;
}

guint32 tombstones_device_below(const Tombstones *tombstones, guint64 horizon,
                                TombstoneWanted wanted, gconstpointer ctx)
{
  GHashTableIter iter;
  gpointer device, list;
  g_hash_table_iter_init(&iter, tombstones->by_device);
  while (g_hash_table_iter_next(&iter, &device, &list)) {
    const GPtrArray *all = list;
    for (guint i = 0; i < all->len; i++)
      if (((Tombstone *)all->pdata[i])->version.hlc <= horizon &&
          wanted(ctx, GPOINTER_TO_UINT(device), all->pdata[i]))
        return GPOINTER_TO_UINT(device);
  }
  return 0;
}

GPtrArray *tombstones_below(const Tombstones *tombstones, guint32 device, guint64 horizon)
{
  const GPtrArray *all = g_hash_table_lookup(tombstones->by_device, GUINT_TO_POINTER(device));
  GPtrArray *below = g_ptr_array_new_with_free_func(unref);
  for (guint i = 0; all != NULL && i < all->len; i++) {
    Tombstone *one = all->pdata[i];
    if (one->version.hlc <= horizon)
      g_ptr_array_add(below, g_atomic_rc_box_acquire(one));
  }
  return below;
}

void tombstones_remove(Tombstones *tombstones, guint32 device, const GPtrArray *removed)
{
  GPtrArray *all = g_hash_table_lookup(tombstones->by_device, GUINT_TO_POINTER(device));
  for (guint i = 0; all != NULL && i < removed->len; i++)
    g_ptr_array_remove_fast(all, removed->pdata[i]);
  if (all != NULL && all->len == 0)
    g_hash_table_remove(tombstones->by_device, GUINT_TO_POINTER(device));
}

struct TombstoneSet {
  GHashTable *by_device; /* device id → GPtrArray of Tombstone */
};

TombstoneSet *tombstones_snapshot(Tombstones *tombstones)
{
  TombstoneSet *set = g_new0(TombstoneSet, 1);
  set->by_device =
      g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
  GHashTableIter iter;
  gpointer device, list;
  g_hash_table_iter_init(&iter, tombstones->by_device);
  while (g_hash_table_iter_next(&iter, &device, &list))
    g_hash_table_insert(
        set->by_device, device,
        tombstones_of(tombstones, GPOINTER_TO_UINT(device), G_MININT64, G_MAXINT64));
  return set;
}

void tombstone_set_free(TombstoneSet *set)
{
  g_hash_table_unref(set->by_device);
  g_free(set);
}

const GPtrArray *tombstone_set_of(const TombstoneSet *set, guint32 device)
{
  return g_hash_table_lookup(set->by_device, GUINT_TO_POINTER(device));
}

gboolean tombstones_hide(const Tombstones *tombstones, guint32 device, guint32 measurement,
                         gint64 time, const Version *version)
{
  const GPtrArray *all = g_hash_table_lookup(tombstones->by_device, GUINT_TO_POINTER(device));
  for (guint i = 0; all != NULL && i < all->len; i++) {
    const Tombstone *one = all->pdata[i];
    if (one->start_time <= time && time <= one->end_time &&
        version_compare(&one->version, version) > 0 && tombstone_names(one, measurement))
      return TRUE;
  }
  return FALSE;
}

gboolean tombstone_names(const Tombstone *tombstone, guint32 measurement)
{
  if (tombstone->measurements == NULL)
    return TRUE;
  guint low = 0, high = tombstone->measurement_count;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (tombstone->measurements[middle] < measurement)
      low = middle + 1;
    else
      high = middle;
  }
  return low < tombstone->measurement_count && tombstone->measurements[low] == measurement;
}
