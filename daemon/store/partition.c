#include "store/partition.h"

#include <stdlib.h>
#include <string.h>

typedef struct PartitionBlock {
  Version version;
  guint8 *bytes;
  Block block;
} PartitionBlock;

/* A candidate for a cell. */
typedef struct Candidate {
  gint64 time;
  guint block; /* blocks are in order of versions */
  guint row;
} Candidate;

struct Partition {
  GArray *blocks;     /* PartitionBlock */
  GArray *columns;    /* BlockColumn of the wanted column, by block; used while merging */
  GArray *candidates; /* Candidate */
};

static void block_clear(gpointer data)
{
  g_free(((PartitionBlock *)data)->bytes);
}

Partition *partition_new(void)
{
  Partition *partition = g_new0(Partition, 1);
  partition->blocks = g_array_new(FALSE, FALSE, sizeof(PartitionBlock));
  g_array_set_clear_func(partition->blocks, block_clear);
  partition->columns = g_array_new(FALSE, TRUE, sizeof(BlockColumn));
  partition->candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
  return partition;
}

void partition_free(Partition *partition)
{
  g_array_unref(partition->blocks);
  g_array_unref(partition->columns);
  g_array_unref(partition->candidates);
  g_free(partition);
}

void partition_clear(Partition *partition)
{
  g_array_set_size(partition->blocks, 0);
}

gboolean partition_add(Partition *partition, const Version *version, const guint8 *bytes,
                       gsize size, GError **error)
{
  PartitionBlock added = {.version = *version, .bytes = g_memdup2(bytes, size)};
  if (!block_open(added.bytes, size, &added.block, error)) {
    g_free(added.bytes);
    return FALSE;
  }
  g_array_append_val(partition->blocks, added);
  return TRUE;
}

static gboolean find_column(const Block *block, guint32 measurement, DataType type,
                            BlockColumn *out)
{
  guint cursor = 0;
  gsize data_at = 0;
  while (block_next_column(block, &cursor, &data_at, out))
    if (out->measurement == measurement && out->type == type)
      return TRUE;
  return FALSE;
}

static int compare_candidates(const void *a, const void *b)
{
  const Candidate *x = a, *y = b;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  if (x->block != y->block)
    return x->block < y->block ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

/* Collects the rows that have a value; TRUE when they came in order. */
static gboolean collect(Partition *partition, guint32 measurement, DataType type, gint64 start_time,
                        gint64 end_time)
{
  gboolean sorted = TRUE;
  gint64 before = G_MININT64;
  g_array_set_size(partition->candidates, 0);
  g_array_set_size(partition->columns, partition->blocks->len);
  for (guint i = 0; i < partition->blocks->len; i++) {
    const Block *block = &g_array_index(partition->blocks, PartitionBlock, i).block;
    BlockColumn *column = &g_array_index(partition->columns, BlockColumn, i);
    if (!find_column(block, measurement, type, column))
      continue;
    for (guint row = 0; row < block->rows; row++) {
      Candidate candidate = {block_time(block, row), i, row};
      if (candidate.time < start_time || candidate.time > end_time || block_is_null(column, row))
        continue;
      sorted = sorted && before <= candidate.time;
      before = candidate.time;
      g_array_append_val(partition->candidates, candidate);
    }
  }
  return sorted;
}

/*
 * Those of the list that can hide any of the sorted candidates. Of the ones that cover them all
 * only the newest is kept: a device that is cleared from time to time has many of these. Borrowed.
 */
static GPtrArray *relevant_tombstones(const GPtrArray *list, guint32 measurement,
                                      const GArray *candidates)
{
  if (list == NULL || candidates->len == 0)
    return NULL;
  gint64 first = g_array_index(candidates, Candidate, 0).time;
  gint64 last = g_array_index(candidates, Candidate, candidates->len - 1).time;
  GPtrArray *relevant = g_ptr_array_new();
  const Tombstone *newest = NULL;
  for (guint i = 0; i < list->len; i++) {
    const Tombstone *one = list->pdata[i];
    if (one->end_time < first || one->start_time > last || !tombstone_names(one, measurement))
      continue;
    if (one->start_time > first || one->end_time < last)
      g_ptr_array_add(relevant, (gpointer)one);
    else if (newest == NULL || version_compare(&newest->version, &one->version) < 0)
      newest = one;
  }
  if (newest != NULL)
    g_ptr_array_add(relevant, (gpointer)newest);
  return relevant;
}

static gboolean is_hidden(const GPtrArray *relevant, gint64 time, const Version *version)
{
  for (guint i = 0; relevant != NULL && i < relevant->len; i++) {
    const Tombstone *one = relevant->pdata[i];
    if (one->start_time <= time && time <= one->end_time &&
        version_compare(&one->version, version) > 0)
      return TRUE;
  }
  return FALSE;
}

void partition_cells(Partition *partition, guint32 measurement, DataType type, gint64 start_time,
                     gint64 end_time, const GPtrArray *tombstones, GArray *cells)
{
  g_array_set_size(cells, 0);
  gboolean sorted = collect(partition, measurement, type, start_time, end_time);
  Candidate *candidates = (Candidate *)(void *)partition->candidates->data;
  guint count = partition->candidates->len;
  if (!sorted)
    qsort(candidates, count, sizeof *candidates, compare_candidates);
  g_autoptr(GPtrArray) relevant =
      relevant_tombstones(tombstones, measurement, partition->candidates);
  for (guint i = 0; i < count; i++) {
    const Candidate *candidate = &candidates[i];
    if (i + 1 < count && candidates[i + 1].time == candidate->time)
      continue; /* a later version follows */
    const PartitionBlock *from =
        &g_array_index(partition->blocks, PartitionBlock, candidate->block);
    if (is_hidden(relevant, candidate->time, &from->version))
      continue;
    Cell cell = {.time = candidate->time, .version = &from->version};
    cell.value =
        block_value(&from->block, &g_array_index(partition->columns, BlockColumn, candidate->block),
                    candidate->row, &cell.size);
    g_array_append_val(cells, cell);
  }
}

static int compare_ids(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? -1 : x > y;
}

GArray *partition_columns(Partition *partition)
{
  GArray *all = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint i = 0; i < partition->blocks->len; i++) {
    const Block *block = &g_array_index(partition->blocks, PartitionBlock, i).block;
    guint cursor = 0;
    gsize data_at = 0;
    BlockColumn column;
    while (block_next_column(block, &cursor, &data_at, &column)) {
      guint64 id = (guint64)column.measurement << 8 | (guint64)column.type;
      g_array_append_val(all, id);
    }
  }
  g_array_sort(all, compare_ids);
  guint kept = 0;
  for (guint i = 0; i < all->len; i++) {
    guint64 id = g_array_index(all, guint64, i);
    if (kept == 0 || g_array_index(all, guint64, kept - 1) != id)
      g_array_index(all, guint64, kept++) = id;
  }
  g_array_set_size(all, kept);
  return all;
}
