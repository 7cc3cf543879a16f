/* Conflicts in the reference store: each value and delete is compared at once with what is there,
 * and nothing is ever dropped. */
#include "store/mem_private.h"

static ConflictSide side_of(const MemColumn *column, const MemCell *cell)
{
  gsize size;
  const guint8 *packed = g_bytes_get_data(cell->value, &size);
  ConflictSide side = {.origin = cell->version.origin,
                       .hlc = cell->version.hlc,
                       .type = column->type,
                       .has_value = TRUE,
                       .value_size = size};
  value_unpack(column->type, packed, size, &side.value);
  return side;
}

static ConflictSide side_of_version(const Version *version, DataType type)
{
  return (ConflictSide){.origin = version->origin, .hlc = version->hlc, .type = type};
}

static ConflictSide side_of_delete(const Version *version)
{
  return (ConflictSide){.origin = version->origin, .hlc = version->hlc, .is_delete = TRUE};
}

static void add(MemStore *store, const MemColumn *column, ConflictKind kind, gint64 time,
                ConflictSide winner, ConflictSide loser)
{
  Conflict *conflict = g_new0(Conflict, 1);
  *conflict = (Conflict){.sequence = store->conflicts->len + 1,
                         .kind = kind,
                         .device = g_strdup(column->device),
                         .measurement = g_strdup(column->measurement),
                         .time = time,
                         .cells = 1,
                         .winner = winner,
                         .loser = loser};
  store->conflict_counts.by_kind[kind]++;
  g_ptr_array_add(store->conflicts, conflict);
}

void mem_note_cell(MemStore *store, const MemColumn *column, const MemCell *cell)
{
  const MemCell *old = g_tree_lookup(column->cells, &cell->time);
  const Version *hiding = mem_newest_delete(store, column, cell->time);
  if (hiding != NULL && (old == NULL || version_compare(hiding, &old->version) > 0)) {
    if (hiding->origin != cell->version.origin && version_compare(hiding, &cell->version) > 0)
      add(store, column, CONFLICT_DELETE, cell->time, side_of_delete(hiding),
          side_of(column, cell));
    return;
  }
  if (old == NULL || old->version.origin == cell->version.origin)
    return;
  if (g_bytes_equal(old->value, cell->value)) {
    store->conflict_counts.by_kind[CONFLICT_SAME_VALUE]++;
    return;
  }
  gboolean wins = version_compare(&cell->version, &old->version) > 0;
  add(store, column, CONFLICT_OVERWRITE, cell->time, side_of(column, wins ? cell : old),
      side_of(column, wins ? old : cell));
}

void mem_note_delete(MemStore *store, const MemDelete *delete)
{
  g_autoptr(GPtrArray) columns = mem_columns_of(store, delete->device, NULL);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    if (!mem_deletes_measurement(delete, column->measurement))
      continue;
    g_autoptr(GPtrArray) cells =
        mem_visible_cells(store, column, delete->start_time, delete->end_time);
    for (guint k = 0; k < cells->len; k++) {
      const MemCell *cell = cells->pdata[k];
      if (cell->version.origin != delete->version.origin &&
          version_compare(&delete->version, &cell->version) > 0)
        add(store, column, CONFLICT_DELETE, cell->time, side_of_delete(&delete->version),
            side_of(column, cell));
    }
  }
}

void mem_note_type(MemStore *store, const MemColumn *column)
{
  g_autofree char *measurement = g_strdup(column->measurement);
  const char *const only[] = {measurement, NULL};
  g_autoptr(GPtrArray) columns = mem_columns_of(store, column->device, only);
  const MemColumn *other = NULL;
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *one = columns->pdata[i];
    if (one != column && (other == NULL || version_compare(&one->oldest, &other->oldest) < 0))
      other = one;
  }
  if (other == NULL || other->oldest.origin == column->oldest.origin)
    return;
  gboolean wins = version_compare(&column->oldest, &other->oldest) < 0;
  const MemColumn *winner = wins ? column : other, *loser = wins ? other : column;
  add(store, column, CONFLICT_TYPE, 0, side_of_version(&winner->oldest, winner->type),
      side_of_version(&loser->oldest, loser->type));
}

gboolean mem_find_conflicts(Store *parent, guint64 now_ms, gsize budget, gboolean *out_more,
                            GError **error)
{
  (void)budget, (void)error;
  MemStore *store = (MemStore *)parent;
  *out_more = FALSE;
  g_mutex_lock(&store->mutex);
  for (guint i = store->conflicts->len; i > 0; i--) {
    Conflict *conflict = store->conflicts->pdata[i - 1];
    if (conflict->found_ms != 0)
      break;
    conflict->found_ms = now_ms;
  }
  g_mutex_unlock(&store->mutex);
  return TRUE;
}

static ConflictSide side_copy(const ConflictSide *from)
{
  ConflictSide copy = *from;
  if (from->has_value)
    value_copy(&from->value, &copy.value);
  return copy;
}

static Conflict *conflict_copy(const Conflict *from)
{
  Conflict *copy = g_memdup2(from, sizeof *from);
  copy->device = g_strdup(from->device);
  copy->measurement = g_strdup(from->measurement);
  copy->winner = side_copy(&from->winner);
  copy->loser = side_copy(&from->loser);
  return copy;
}

void mem_conflict_counts(const MemStore *store, ConflictCounts *out_counts)
{
  *out_counts = store->conflict_counts;
  out_counts->first_sequence = 1;
  out_counts->last_sequence = store->conflicts->len;
}

ConflictPage *mem_conflicts(Store *parent, const ConflictQuery *query, GError **error)
{
  (void)error;
  MemStore *store = (MemStore *)parent;
  ConflictPage *page = conflict_page_new();
  g_mutex_lock(&store->mutex);
  mem_conflict_counts(store, &page->counts);
  page->next_after = MIN(query->after, page->counts.last_sequence);
  while (page->next_after < store->conflicts->len && !page->more) {
    const Conflict *conflict = store->conflicts->pdata[page->next_after];
    page->more = page->conflicts->len >= query->limit;
    if (page->more)
      break;
    if (query->device == NULL || g_str_equal(conflict->device, query->device))
      g_ptr_array_add(page->conflicts, conflict_copy(conflict));
    page->next_after++;
  }
  g_mutex_unlock(&store->mutex);
  return page;
}
