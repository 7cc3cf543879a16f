#include "store/fresh.h"

#include <string.h>

typedef struct FreshDevice {
  guint32 device;
  GPtrArray *blocks; /* FreshBlock, in the order in which they came */
  GList *place;      /* in Fresh.order */
} FreshDevice;

struct Fresh {
  GHashTable *devices; /* id → FreshDevice */
  GQueue order;        /* FreshDevice, by its first block */
  gsize bytes;
};

static void fresh_device_free(gpointer data)
{
  FreshDevice *device = data;
  g_ptr_array_unref(device->blocks);
  g_free(device);
}

FreshBlock *fresh_block_new(const guint8 key[BLOCK_KEY_SIZE], const guint8 *value, gsize size)
{
  g_assert(size <= FRESH_MAX_BLOCK_SIZE);
  FreshBlock *block = g_malloc(sizeof *block + size);
  block->size = (guint32)size;
  memcpy(block->key, key, BLOCK_KEY_SIZE);
  memcpy(block->value, value, size);
  return block;
}

Fresh *fresh_new(void)
{
  Fresh *fresh = g_new0(Fresh, 1);
  fresh->devices = g_hash_table_new_full(NULL, NULL, NULL, fresh_device_free);
  g_queue_init(&fresh->order);
  return fresh;
}

void fresh_free(Fresh *fresh)
{
  g_queue_clear(&fresh->order);
  g_hash_table_unref(fresh->devices);
  g_free(fresh);
}

static FreshDevice *find(const Fresh *fresh, guint32 device)
{
  return g_hash_table_lookup(fresh->devices, GUINT_TO_POINTER(device));
}

void fresh_add(Fresh *fresh, FreshBlock *block)
{
  guint32 id = load_be32(block->key + 1);
  FreshDevice *device = find(fresh, id);
  if (device == NULL) {
    device = g_new(FreshDevice, 1);
    *device = (FreshDevice){.device = id, .blocks = g_ptr_array_new_with_free_func(g_free)};
    g_queue_push_tail(&fresh->order, device);
    device->place = fresh->order.tail;
    g_hash_table_insert(fresh->devices, GUINT_TO_POINTER(id), device);
  }
  g_ptr_array_add(device->blocks, block);
  fresh->bytes += BLOCK_KEY_SIZE + block->size;
}

gsize fresh_bytes(const Fresh *fresh)
{
  return fresh->bytes;
}

gboolean fresh_holds(const Fresh *fresh, guint32 device)
{
  return find(fresh, device) != NULL;
}

static int compare_keys(gconstpointer a, gconstpointer b)
{
  const FreshBlock *x = *(FreshBlock *const *)a, *y = *(FreshBlock *const *)b;
  return memcmp(x->key, y->key, BLOCK_KEY_SIZE);
}

/* Blocks of one log mostly come in the order of their keys. */
static void sort(GPtrArray *blocks)
{
  for (guint i = 1; i < blocks->len; i++)
    if (compare_keys(&blocks->pdata[i - 1], &blocks->pdata[i]) > 0) {
      g_ptr_array_sort(blocks, compare_keys);
      return;
    }
}

static GPtrArray *take(Fresh *fresh, FreshDevice *device, guint limit)
{
  GPtrArray *taken;
  if (device->blocks->len <= limit) {
    taken = g_ptr_array_ref(device->blocks);
    g_queue_delete_link(&fresh->order, device->place);
    g_hash_table_remove(fresh->devices, GUINT_TO_POINTER(device->device));
  } else {
    taken = g_ptr_array_new_full(limit, g_free);
    for (guint i = 0; i < limit; i++)
      g_ptr_array_add(taken, g_steal_pointer(&device->blocks->pdata[i]));
    g_ptr_array_remove_range(device->blocks, 0, limit);
  }
  for (guint i = 0; i < taken->len; i++)
    fresh->bytes -= BLOCK_KEY_SIZE + ((const FreshBlock *)taken->pdata[i])->size;
  sort(taken);
  return taken;
}

GPtrArray *fresh_take_device(Fresh *fresh, guint32 device)
{
  FreshDevice *found = find(fresh, device);
  return found != NULL ? take(fresh, found, G_MAXUINT) : g_ptr_array_new();
}

GPtrArray *fresh_take_oldest(Fresh *fresh, guint limit)
{
  FreshDevice *first = g_queue_peek_head(&fresh->order);
  return first != NULL ? take(fresh, first, limit) : g_ptr_array_new();
}
