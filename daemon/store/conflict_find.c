#include "store/conflict_find.h"

#include "base/bytes.h"

#include <string.h>

typedef struct SceneBlock {
  Version version;
  gint64 min_time, max_time;
  gint64 reach; /* the greatest max_time of this one and those before it */
  guint64 sequence;
  guint8 *bytes;
  Block block;
} SceneBlock;

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
  g_free(((SceneBlock *)data)->bytes);
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

gboolean scene_add_block(Scene *scene, const Version *version, gint64 min_time, gint64 max_time,
                         guint64 sequence, const guint8 *bytes, gsize size, GError **error)
{
  SceneBlock added = {*version, min_time, max_time, 0, sequence, g_memdup2(bytes, size), {0}};
  if (!block_open(added.bytes, size, &added.block, error)) {
    g_free(added.bytes);
    return FALSE;
  }
  scene->bytes += size;
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

/* Collects the blocks that were there before and touch the check's; returns its own, NULL: it is
 * not there any more. */
static const SceneBlock *choose(Scene *scene, const Check *check, gint64 *work)
{
  const SceneBlock *own = NULL;
  sort(scene);
  g_ptr_array_set_size(scene->others, 0);
  for (guint i = count_begun(scene, check->max_time); i > 0; i--) {
    SceneBlock *one = &g_array_index(scene->blocks, SceneBlock, i - 1);
    if (one->reach < check->min_time)
      break;
    (*work)--;
    if (version_compare(&one->version, &check->version) == 0)
      own = one;
    else if (one->max_time >= check->min_time && one->sequence <= check->sequence)
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

/* The last row of that time which has a value; G_MAXUINT: there is none. */
static guint find_row(const Block *block, const BlockColumn *column, gint64 time)
{
  guint low = 0, high = block->rows;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (block_time(block, middle) <= time)
      low = middle + 1;
    else
      high = middle;
  }
  while (low > 0 && block_time(block, low - 1) == time) {
    if (!block_is_null(column, low - 1))
      return low - 1;
    low--;
  }
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
    guint row = find_row(&one->block, column, time);
    if (row == G_MAXUINT)
      continue;
    *out = (FoundSide){.version = one->version, .type = column->type};
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

/* FALSE: it is to stop behind this row. */
static gboolean look_at_cell(Scene *scene, const Check *check, const SceneBlock *block,
                             const BlockColumn *column, guint row, Gathered *gathered, gint64 *work)
{
  gint64 time = block_time(&block->block, row);
  (*work)--;
  if (find_row(&block->block, column, time) != row)
    return *work > 0; /* missing, or overwritten by a later row of the same part */
  FoundSide own = {.version = block->version, .type = column->type}, holder;
  own.value = block_value(&block->block, column, row, &own.size);
  Found found = {
      .device = scene->device, .measurement = column->measurement, .time = time, .cells = 1};
  if (find_holder(scene, check, column, time, &holder, work) && compare(&own, &holder, &found) &&
      !gather(gathered, &found))
    return FALSE;
  return *work > 0;
}

gboolean scene_look(Scene *scene, Check *check, FoundFunc func, gpointer ctx, gint64 *work)
{
  const SceneBlock *own = choose(scene, check, work);
  Gathered gathered = {.func = func, .ctx = ctx};
  if (own == NULL || (scene->others->len == 0 && scene->deletes->len == 0))
    return TRUE;
  guint cursor = 0;
  gsize data_at = 0;
  BlockColumn column;
  for (guint i = 0; block_next_column(&own->block, &cursor, &data_at, &column); i++) {
    if (i < check->column)
      continue;
    choose_column(scene, &column, work);
    gboolean nothing = scene->having->len == 0 && scene->deletes->len == 0;
    while (!nothing && check->row < own->block.rows)
      if (!look_at_cell(scene, check, own, &column, check->row++, &gathered, work)) {
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
