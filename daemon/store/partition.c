#include "store/partition.h"

#include "store/block_pack.h"

#include <string.h>

typedef struct PartitionBlock {
  Version version;   /* of all rows, when there is no … */
  Version *versions; /* … for each of them */
  guint8 *unwanted;  /* by row; NULL: none is */
  guint8 *bytes;
  Block block;
} PartitionBlock;

/* A candidate for a cell. */
typedef struct Candidate {
  gint64 time;
  guint block, row;
} Candidate;

struct Partition {
  GArray *blocks;     /* PartitionBlock */
  GArray *columns;    /* BlockColumn of the wanted column, by block; used while merging */
  GArray *candidates; /* Candidate */
};

static void block_clear(gpointer data)
{
  PartitionBlock *block = data;
  g_free(block->versions);
  g_free(block->unwanted);
  g_free(block->bytes);
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

/* Marks the rows that are not wanted. FALSE: none is wanted. */
static gboolean mark_unwanted(PartitionBlock *added, VersionWanted wanted, gconstpointer ctx)
{
  if (wanted == NULL)
    return TRUE;
  if (added->block.versions == NULL)
    return wanted(ctx, &added->version);
  guint8 *unwanted = g_new0(guint8, added->block.rows);
  VersionRuns runs = block_version_runs(&added->block);
  guint row = 0, left_out = 0;
  for (guint rows; (rows = version_runs_next(&runs)) > 0; row += rows) {
    if (wanted(ctx, &runs.last))
      continue;
    memset(unwanted + row, 1, rows);
    left_out += rows;
  }
  if (left_out > 0)
    added->unwanted = unwanted;
  else
    g_free(unwanted);
  return left_out < added->block.rows;
}

/* Takes over the bytes; NULL: they could not be had. */
static gboolean add(Partition *partition, const Version *version, guint8 *bytes, gsize size,
                    VersionWanted wanted, gconstpointer ctx, GError **error)
{
  if (bytes == NULL)
    return FALSE;
  PartitionBlock added = {.version = *version, .bytes = bytes};
  gboolean opened = block_open(added.bytes, size, &added.block, error);
  if (!opened || !mark_unwanted(&added, wanted, ctx)) {
    block_clear(&added);
    return opened;
  }
  added.versions = block_versions(&added.block);
  g_array_append_val(partition->blocks, added);
  return TRUE;
}

gboolean partition_take(Partition *partition, const Version *version, guint8 *bytes, gsize size,
                        GError **error)
{
  return add(partition, version, bytes, size, NULL, NULL, error);
}

gboolean partition_add(Partition *partition, const Version *version, const guint8 *bytes,
                       gsize size, VersionWanted wanted, gconstpointer ctx, GError **error)
{
  gsize unpacked_size;
  guint8 *unpacked = block_unpack(bytes, size, &unpacked_size, error);
  return add(partition, version, unpacked, unpacked_size, wanted, ctx, error);
}

static const Version *version_of(const PartitionBlock *block, guint row)
{
  return block->versions != NULL ? &block->versions[row] : &block->version;
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

/* By time, then by version; of one part, the later row is behind. */
static int compare_candidates(gconstpointer a, gconstpointer b, gpointer ctx)
{
  const Candidate *x = a, *y = b;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  const PartitionBlock *blocks = ctx;
  int order =
      version_compare(version_of(&blocks[x->block], x->row), version_of(&blocks[y->block], y->row));
  if (order != 0)
    return order;
  if (x->block != y->block)
    return x->block < y->block ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

/* Collects the rows that have a value; TRUE when they came in order. */
static gboolean collect(Partition *partition, guint32 measurement, DataType type, gint64 start_time,
                        gint64 end_time)
{
  PartitionBlock *blocks = (PartitionBlock *)(void *)partition->blocks->data;
  gboolean sorted = TRUE;
  Candidate before = {.time = G_MININT64};
  g_array_set_size(partition->candidates, 0);
  g_array_set_size(partition->columns, partition->blocks->len);
  for (guint i = 0; i < partition->blocks->len; i++) {
    const Block *block = &blocks[i].block;
    BlockColumn *column = &g_array_index(partition->columns, BlockColumn, i);
    if (!find_column(block, measurement, type, column))
      continue;
    for (guint row = 0; row < block->rows; row++) {
      Candidate candidate = {block_time(block, row), i, row};
      if (candidate.time < start_time || candidate.time > end_time || block_is_null(column, row) ||
          (blocks[i].unwanted != NULL && blocks[i].unwanted[row]))
        continue;
      sorted = sorted && (before.time < candidate.time || partition->candidates->len == 0 ||
                          compare_candidates(&before, &candidate, blocks) <= 0);
      before = candidate;
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
    g_qsort_with_data(candidates, (gint)count, sizeof *candidates, compare_candidates,
                      partition->blocks->data);
  g_autoptr(GPtrArray) relevant =
      relevant_tombstones(tombstones, measurement, partition->candidates);
  for (guint i = 0; i < count; i++) {
    const Candidate *candidate = &candidates[i];
    if (i + 1 < count && candidates[i + 1].time == candidate->time)
      continue; /* a later version follows */
    const PartitionBlock *from =
        &g_array_index(partition->blocks, PartitionBlock, candidate->block);
    const Version *version = version_of(from, candidate->row);
    if (is_hidden(relevant, candidate->time, version))
      continue;
    Cell cell = {.time = candidate->time, .version = version};
    cell.value =
        block_value(&from->block, &g_array_index(partition->columns, BlockColumn, candidate->block),
                    candidate->row, &cell.size);
    g_array_append_val(cells, cell);
  }
}

/* The only block that has the column. NULL: there is none, or there are several. */
static const PartitionBlock *only_block(const Partition *partition, const SchemaColumn *column,
                                        BlockColumn *out)
{
  const PartitionBlock *only = NULL;
  BlockColumn found;
  for (guint i = 0; i < partition->blocks->len; i++) {
    const PartitionBlock *one = &g_array_index(partition->blocks, PartitionBlock, i);
    if (!find_column(&one->block, column->measurement, column->type, &found))
      continue;
    if (only != NULL)
      return NULL;
    only = one;
    *out = found;
  }
  return only;
}

/* The first row at or behind the time. */
static guint find_time(const Block *block, gint64 time)
{
  guint low = 0, high = block->rows;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (block_time(block, middle) < time)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Whether a delete may hide any of its rows. */
static gboolean may_be_hidden(const PartitionBlock *block, const GPtrArray *tombstones)
{
  if (block->versions != NULL)
    return tombstones != NULL;
  for (guint i = 0; tombstones != NULL && i < tombstones->len; i++)
    if (version_compare(&((const Tombstone *)tombstones->pdata[i])->version, &block->version) > 0)
      return TRUE;
  return FALSE;
}

/* The times of the rows [first, end), when no time is there twice; else NULL. */
static const guint8 *distinct_times(const Block *block, guint first, guint end)
{
  for (guint row = first + 1; row < end; row++)
    if (block_time(block, row - 1) == block_time(block, row))
      return NULL;
  return block->timestamps + (gsize)first * 8;
}

gboolean partition_plain(Partition *partition, const GArray *columns, gint64 start_time,
                         gint64 end_time, const GPtrArray *tombstones, PlainRows *out)
{
  out->rows = 0;
  out->times = NULL;
  g_array_set_size(out->values, 0);
  for (guint i = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    BlockColumn found = {0};
    const PartitionBlock *block = only_block(partition, column, &found);
    if (block == NULL || column->type == DATA_TEXT || found.nulls != NULL ||
        block->unwanted != NULL || may_be_hidden(block, tombstones))
      return FALSE;
    guint first = find_time(&block->block, start_time), end = block->block.rows;
    if (end_time < G_MAXINT64)
      end = find_time(&block->block, end_time + 1);
    guint rows = end > first ? end - first : 0;
    const guint8 *times = block->block.timestamps + (gsize)first * 8;
    if (i == 0) {
      out->times = distinct_times(&block->block, first, end);
      out->rows = rows;
      if (out->times == NULL)
        return FALSE;
    } else if (rows != out->rows || memcmp(times, out->times, (gsize)rows * 8) != 0) {
      return FALSE;
    }
    const guint8 *values = found.values + first * data_type_size(column->type);
    g_array_append_val(out->values, values);
  }
  return out->times != NULL;
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
