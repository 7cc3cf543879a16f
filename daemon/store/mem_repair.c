/* Giving out and replacing a bucket of the reference store. */
#include "store/bucket.h"
#include "store/mem_private.h"

#include "store/block.h"

#include <string.h>

/* It keeps no older versions, as for digests. */
static gboolean check_cut(guint64 cut, GError **error)
{
  return cut == G_MAXUINT64 ||
         fail(error, SYNCLOG_INVALID, "the memory store knows its newest state only");
}

static gboolean is_inside(const MemStore *store, gint64 time, gint64 bucket_time)
{
  return partition_of(time, store->partition_interval) ==
         partition_of(bucket_time, store->partition_interval);
}

BucketPage *mem_bucket(Store *parent, const BucketQuery *query, gsize max_bytes, GError **error)
{
  MemStore *store = (MemStore *)parent;
  if (!check_cut(query->cut, error))
    return NULL;
  g_autoptr(BucketCells) collected = bucket_cells_new();
  g_mutex_lock(&store->mutex);
  g_autoptr(GPtrArray) columns = mem_columns_of(store, query->device, NULL);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    g_autoptr(GPtrArray) visible = mem_visible_cells(store, column, G_MININT64, G_MAXINT64);
    g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(Cell));
    for (guint k = 0; k < visible->len; k++) {
      const MemCell *from = visible->pdata[k];
      Cell cell = {.time = from->time, .version = &from->version};
      cell.value = g_bytes_get_data(from->value, &cell.size);
      if (is_inside(store, from->time, query->start_time))
        g_array_append_val(cells, cell);
    }
    bucket_cells_add(collected, column->measurement, column->type, cells);
  }
  BucketPage *page = bucket_cells_page(collected, &query->after, max_bytes);
  g_mutex_unlock(&store->mutex);
  return page;
}

/* Takes out all cells of the bucket. */
static void empty(MemStore *store, const BucketMend *mend)
{
  g_autoptr(GPtrArray) columns = mem_columns_of(store, mend->device, NULL);
  for (guint i = 0; i < columns->len; i++) {
    MemColumn *column = columns->pdata[i];
    g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (GTreeNode *node = g_tree_node_first(column->cells); node != NULL;
         node = g_tree_node_next(node))
      if (is_inside(store, *(const gint64 *)g_tree_node_key(node), mend->start_time))
        g_array_append_vals(times, g_tree_node_key(node), 1);
    for (guint k = 0; k < times->len; k++)
      g_tree_remove(column->cells, &g_array_index(times, gint64, k));
  }
}

static void put_part(MemStore *store, const BucketMend *mend, const BucketPart *part,
                     const Decoded *decoded)
{
  Version version = {part->version.hlc, part->version.origin, part->version.ordinal};
  for (guint i = 0; i < decoded->blocks->len; i++) {
    const DecodedBlock *from = &g_array_index(decoded->blocks, DecodedBlock, i);
    Block block;
    gboolean opened =
        block_open(decoded->values->data + from->value_at, from->value_size, &block, NULL);
    g_assert(opened);
    guint cursor = 0;
    gsize data_at = 0;
    BlockColumn packed;
    for (guint k = 0; block_next_column(&block, &cursor, &data_at, &packed); k++) {
      const Column *named = part->table->columns->pdata[k];
      MemColumn *column =
          mem_put_column(store, mend->device, named->measurement, packed.type, &version);
      for (guint row = 0; row < block.rows; row++) {
        gsize size;
        if (block_is_null(&packed, row))
          continue;
        const guint8 *value = block_value(&block, &packed, row, &size);
        MemCell *cell = mem_cell_new(block_time(&block, row), &version, value, size);
        g_tree_replace(column->cells, &cell->time, cell);
      }
    }
  }
}

gboolean mem_mend(Store *parent, const BucketMend *mend, GError **error)
{
  MemStore *store = (MemStore *)parent;
  if (!check_cut(mend->cut, error))
    return FALSE;
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)store_decoded_free);
  gint64 partition = partition_of(mend->start_time, store->partition_interval);
  for (guint i = 0; i < mend->parts->len; i++) {
    Decoded *decoded = bucket_part_decode(mend->parts->pdata[i], mend->device, partition,
                                          store->partition_interval, error);
    if (decoded == NULL)
      return FALSE;
    g_ptr_array_add(all, decoded);
  }
  g_mutex_lock(&store->mutex);
  empty(store, mend);
  for (guint i = 0; i < mend->parts->len; i++)
    put_part(store, mend, mend->parts->pdata[i], all->pdata[i]);
  g_mutex_unlock(&store->mutex);
  return TRUE;
}
