#include "store/conflict_find.h"

#include "base/bytes.h"
#include "store/block_pack.h"

#include <string.h>

typedef struct SceneBlock {
  Version version; /* of the key: the greatest one */
  gint64 min_time, max_time;
  gint64 reach;     /* the greatest max_time of this one and those before it */
  guint64 sequence; /* of all rows; of a block with versions: the smallest one */
  /* Of a block with versions: */
  Version *versions; /* by row; NULL: all have that of the key */
  guint64 *sequences;
  guint *by_version; /* the rows, sorted by version and place; NULL until it is asked for */
  guint8 *bytes;
  Block block;
} SceneBlock;

/* The rows of one version in a block: `count` of them, in `rows`, or the first ones (NULL). */
typedef struct OwnRows {
  const SceneBlock *block; /* NULL: there are none */
  const guint *rows;
  guint count;
} OwnRows;

typedef struct SceneDelete {
  const Tombstone *tombstone;
  guint64 sequence;
} SceneDelete;

struct Scene {
  guint32 device;
  GArray *blocks; /* SceneBlock; in order of min_time once `sorted` */
  gboolean sorted;
  GArray *deletes; /* SceneDelete */
  gsize bytes;
  GPtrArray *others; /* SceneBlock that touch the block looked at */
  GArray *columns;   /* BlockColumn of these: of the column looked at */
  GPtrArray *having; /* those of them that have the column */
};

static void block_clear(gpointer data)
{
  SceneBlock *block = data;
  g_free(block->versions);
  g_free(block->sequences);
  g_free(block->by_version);
  g_free(block->bytes);
}

Scene *scene_new(guint32 device)
{
  Scene *scene = g_new0(Scene, 1);
  scene->device = device;
  scene->blocks = g_array_new(FALSE, FALSE, sizeof(SceneBlock));
  g_array_set_clear_func(scene->blocks, block_clear);
  scene->deletes = g_array_new(FALSE, FALSE, sizeof(SceneDelete));
  scene->others = g_ptr_array_new();
  scene->columns = g_array_new(FALSE, FALSE, sizeof(BlockColumn));
  scene->having = g_ptr_array_new();
  return scene;
}

void scene_free(Scene *scene)
{
  g_array_unref(scene->blocks);
  g_array_unref(scene->deletes);
  g_ptr_array_unref(scene->others);
  g_array_unref(scene->columns);
  g_ptr_array_unref(scene->having);
  g_free(scene);
}

gsize scene_bytes(const Scene *scene)
{
  return scene->bytes;
}

/* Each row's version and the sequence of its check. */
static void note_versions(SceneBlock *added, SequenceOf sequence_of, gpointer ctx)
{
  if (added->block.versions == NULL) {
    added->sequence = sequence_of(ctx, &added->version);
    return;
  }
  added->versions = block_versions(&added->block);
  added->sequences = g_new(guint64, added->block.rows);
  added->sequence = G_MAXUINT64;
  VersionRuns runs = block_version_runs(&added->block);
  guint row = 0;
  for (guint rows; (rows = version_runs_next(&runs)) > 0;) {
    guint64 sequence = sequence_of(ctx, &runs.last);
    added->sequence = MIN(added->sequence, sequence);
    for (; rows > 0; rows--)
      added->sequences[row++] = sequence;
  }
}

gboolean scene_add_block(Scene *scene, const Version *version, gint64 min_time, gint64 max_time,
                         SequenceOf sequence_of, gpointer ctx, const guint8 *bytes, gsize size,
                         GError **error)
{
  gsize unpacked_size;
  SceneBlock added = {.version = *version,
                      .min_time = min_time,
                      .max_time = max_time,
                      .bytes = block_unpack(bytes, size, &unpacked_size, error)};
  if (added.bytes == NULL || !block_open(added.bytes, unpacked_size, &added.block, error)) {
    block_clear(&added);
    return FALSE;
  }
  note_versions(&added, sequence_of, ctx);
  scene->bytes += unpacked_size;
  if (added.versions != NULL)
    scene->bytes += added.block.rows * (sizeof(Version) + sizeof(guint64) + sizeof(guint));
  scene->sorted = FALSE;
  g_array_append_val(scene->blocks, added);
  return TRUE;
}

void scene_add_delete(Scene *scene, const Tombstone *tombstone, guint64 sequence)
{
  SceneDelete added = {tombstone, sequence};
  g_array_append_val(scene->deletes, added);
}

static int compare_starts(gconstpointer a, gconstpointer b)
{
  const SceneBlock *x = a, *y = b;
  return x->min_time < y->min_time ? -1 : x->min_time > y->min_time;
}

static void sort(Scene *scene)
{
  if (scene->sorted)
    return;
  g_array_sort(scene->blocks, compare_starts);
  gint64 reach = G_MININT64;
  for (guint i = 0; i < scene->blocks->len; i++) {
    SceneBlock *one = &g_array_index(scene->blocks, SceneBlock, i);
    one->reach = reach = MAX(reach, one->max_time);
  }
  scene->sorted = TRUE;
}

/* How many of the blocks begin at or before the time. */
static guint count_begun(const Scene *scene, gint64 time)
{
  guint low = 0, high = scene->blocks->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (g_array_index(scene->blocks, SceneBlock, middle).min_time <= time)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int compare_places(gconstpointer a, gconstpointer b, gpointer ctx)
{
  guint x = *(const guint *)a, y = *(const guint *)b;
  const Version *versions = ctx;
  int order = version_compare(&versions[x], &versions[y]);
  return order != 0 ? order : x < y ? -1 : x > y;
}

static void sort_by_version(SceneBlock *block)
{
  block->by_version = g_new(guint, block->block.rows);
  for (guint row = 0; row < block->block.rows; row++)
    block->by_version[row] = row;
  g_qsort_with_data(block->by_version, (gint)block->block.rows, sizeof(guint), compare_places,
                    block->versions);
}

/* The rows of the version, if the block has any. */
static gboolean find_own(SceneBlock *block, const Version *version, OwnRows *out)
{
  int order = version_compare(&block->version, version);
  if (block->versions == NULL) {
    if (order == 0)
      *out = (OwnRows){block, NULL, block->block.rows};
    return order == 0;
  }
  if (order < 0)
    return FALSE;
  if (block->by_version == NULL)
    sort_by_version(block);
  guint low = 0, high = block->block.rows;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (version_compare(&block->versions[block->by_version[middle]], version) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  guint end = low;
  while (end < block->block.rows &&
         version_compare(&block->versions[block->by_version[end]], version) == 0)
    end++;
  if (end > low)
    *out = (OwnRows){block, block->by_version + low, end - low};
  return end > low;
}

/* Collects the blocks that touch the check's and have something from before it; finds its own. */
static OwnRows choose(Scene *scene, const Check *check, gint64 *work)
{
  OwnRows own = {0};
  sort(scene);
  g_ptr_array_set_size(scene->others, 0);
  for (guint i = count_begun(scene, check->max_time); i > 0; i--) {
    SceneBlock *one = &g_array_index(scene->blocks, SceneBlock, i - 1);
    if (one->reach < check->min_time)
      break;
    (*work)--;
    if (one->max_time < check->min_time)
      continue;
    gboolean has_own = find_own(one, &check->version, &own);
    if ((!has_own || one->versions != NULL) && one->sequence <= check->sequence)
      g_ptr_array_add(scene->others, one);
  }
  return own;
}

static void choose_column(Scene *scene, const BlockColumn *wanted, gint64 *work)
{
  g_array_set_size(scene->columns, 0);
  g_ptr_array_set_size(scene->having, 0);
  for (guint i = 0; i < scene->others->len; i++) {
    SceneBlock *one = scene->others->pdata[i];
    guint cursor = 0;
    gsize data_at = 0;
    BlockColumn column;
    (*work)--;
    while (block_next_column(&one->block, &cursor, &data_at, &column)) {
      if (column.measurement != wanted->measurement || column.type != wanted->type)
        continue;
      g_array_append_val(scene->columns, column);
      g_ptr_array_add(scene->having, one);
      break;
    }
  }
}

static gboolean was_before(const SceneBlock *one, guint row, const Check *check)
{
  return one->versions == NULL || (one->sequences[row] <= check->sequence &&
                                   version_compare(&one->versions[row], &check->version) != 0);
}

/* The last row of that time which has a value and was there before; G_MAXUINT: there is none. */
static guint find_row(const SceneBlock *one, const BlockColumn *column, gint64 time,
                      const Check *check)
{
  const Block *block = &one->block;
  guint low = 0, high = block->rows;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (block_time(block, middle) <= time)
      low = middle + 1;
    else
      high = middle;
  }
  for (; low > 0 && block_time(block, low - 1) == time; low--)
    if (!block_is_null(column, low - 1) && was_before(one, low - 1, check))
      return low - 1;
  return G_MAXUINT;
}

/* What the cell showed before the check; FALSE: nothing. */
static gboolean find_holder(const Scene *scene, const Check *check, const BlockColumn *wanted,
                            gint64 time, FoundSide *out, gint64 *work)
{
  gboolean any = FALSE;
  for (guint i = 0; i < scene->having->len; i++) {
    const SceneBlock *one = scene->having->pdata[i];
    (*work)--;
    if (one->min_time > time || one->max_time < time ||
        (any && version_compare(&one->version, &out->version) < 0))
      continue;
    const BlockColumn *column = &g_array_index(scene->columns, BlockColumn, i);
    guint row = find_row(one, column, time, check);
    if (row == G_MAXUINT)
      continue;
    const Version *version = one->versions != NULL ? &one->versions[row] : &one->version;
    if (any && version_compare(version, &out->version) < 0)
      continue;
    *out = (FoundSide){.version = *version, .type = column->type};
    out->value = block_value(&one->block, column, row, &out->size);
    any = TRUE;
  }
  for (guint i = 0; i < scene->deletes->len; i++) {
    const SceneDelete *one = &g_array_index(scene->deletes, SceneDelete, i);
    const Tombstone *tombstone = one->tombstone;
    (*work)--;
    if (one->sequence > check->sequence || tombstone->start_time > time ||
        tombstone->end_time < time || !tombstone_names(tombstone, wanted->measurement) ||
        (any && version_compare(&tombstone->version, &out->version) < 0))
      continue;
    *out = (FoundSide){.version = tombstone->version, .is_delete = TRUE};
    any = TRUE;
  }
  return any;
}

/* What was found and not given yet: cells of a column that one delete hides. */
typedef struct Gathered {
  Found found; /* cells 0: nothing */
  FoundFunc func;
  gpointer ctx;
} Gathered;

static gboolean give(Gathered *gathered)
{
  if (gathered->found.cells == 0)
    return TRUE;
  gboolean go_on = gathered->func(gathered->ctx, &gathered->found);
  gathered->found.cells = 0;
  return go_on;
}

static gboolean gather(Gathered *gathered, const Found *found)
{
  Found *last = &gathered->found;
  if (found->kind == CONFLICT_DELETE && last->cells > 0 && last->kind == CONFLICT_DELETE &&
      version_compare(&last->winner.version, &found->winner.version) == 0) {
    last->cells++;
    return TRUE;
  }
  gboolean go_on = give(gathered);
  *last = *found;
  /* A conflict of values waits for nothing. */
  return found->kind == CONFLICT_DELETE ? go_on : give(gathered) && go_on;
}

/* FALSE: there is no conflict. */
static gboolean compare(const FoundSide *own, const FoundSide *holder, Found *found)
{
  gboolean wins = version_compare(&own->version, &holder->version) > 0;
  if (own->version.origin == holder->version.origin || (holder->is_delete && wins))
    return FALSE;
  found->kind = CONFLICT_OVERWRITE;
  if (holder->is_delete)
    found->kind = CONFLICT_DELETE;
  else if (own->size == holder->size && memcmp(own->value, holder->value, own->size) == 0)
    found->kind = CONFLICT_SAME_VALUE;
  found->winner = wins ? *own : *holder;
  found->loser = wins ? *holder : *own;
  return TRUE;
}

static guint own_row(const OwnRows *own, guint place)
{
  return own->rows != NULL ? own->rows[place] : place;
}

/* Whether it is missing, or overwritten by a later row of the same part. */
static gboolean is_nothing(const OwnRows *own, const BlockColumn *column, guint place)
{
  const Block *block = &own->block->block;
  guint row = own_row(own, place);
  if (block_is_null(column, row))
    return TRUE;
  for (guint next = place + 1; next < own->count; next++) {
    guint later = own_row(own, next);
    if (block_time(block, later) != block_time(block, row))
      return FALSE;
    if (!block_is_null(column, later))
      return TRUE;
  }
  return FALSE;
}

/* FALSE: it is to stop behind this row. */
static gboolean look_at_cell(Scene *scene, const Check *check, const OwnRows *own,
                             const BlockColumn *column, guint place, Gathered *gathered,
                             gint64 *work)
{
  const Block *block = &own->block->block;
  guint row = own_row(own, place);
  gint64 time = block_time(block, row);
  (*work)--;
  if (is_nothing(own, column, place))
    return *work > 0;
  FoundSide mine = {.version = check->version, .type = column->type}, holder;
  mine.value = block_value(block, column, row, &mine.size);
  Found found = {
      .device = scene->device, .measurement = column->measurement, .time = time, .cells = 1};
  if (find_holder(scene, check, column, time, &holder, work) && compare(&mine, &holder, &found) &&
      !gather(gathered, &found))
    return FALSE;
  return *work > 0;
}

gboolean scene_look(Scene *scene, Check *check, FoundFunc func, gpointer ctx, gint64 *work)
{
  OwnRows own = choose(scene, check, work);
  Gathered gathered = {.func = func, .ctx = ctx};
  if (own.block == NULL || (scene->others->len == 0 && scene->deletes->len == 0))
    return TRUE;
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn column;
  for (guint i = 0; block_next_column(&own.block->block, &cursor, &data_at, &column); i++) {
    if (i < check->column)
      continue;
    choose_column(scene, &column, work);
    gboolean nothing = scene->having->len == 0 && scene->deletes->len == 0;
    while (!nothing && check->row < own.count)
      if (!look_at_cell(scene, check, &own, &column, check->row++, &gathered, work)) {
        give(&gathered);
        return FALSE;
      }
    gboolean go_on = give(&gathered);
    check->column = i + 1;
    check->row = 0;
    if (!go_on)
      return FALSE;
  }
  return TRUE;
}
