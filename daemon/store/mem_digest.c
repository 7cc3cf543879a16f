/* Digests of the reference store. */
#include "store/mem_private.h"

#include "store/decoded.h"

/* It keeps no older versions: give another one only the entries up to the cut. */
static gboolean check_cut(const DigestScope *scope, GError **error)
{
  return scope->cut == G_MAXUINT64 ||
         fail(error, SYNCLOG_INVALID, "the memory store knows its newest state only");
}

/* The visible cells (Cell) of one column in a range. */
static GArray *cells_of(MemStore *store, const MemColumn *column, gint64 start_time,
                        gint64 end_time)
{
  g_autoptr(GPtrArray) visible = mem_visible_cells(store, column, start_time, end_time);
  GArray *cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  for (guint i = 0; i < visible->len; i++) {
    const MemCell *from = visible->pdata[i];
    Cell cell = {.time = from->time};
    cell.value = g_bytes_get_data(from->value, &cell.size);
    g_array_append_val(cells, cell);
  }
  return cells;
}

/* The digest of one device in a range of time. */
static StateDigest digest_range(MemStore *store, const char *device, gint64 start_time,
                                gint64 end_time)
{
  StateDigest digest = {0};
  g_autoptr(GPtrArray) columns = mem_columns_of(store, device, NULL);
  for (guint i = 0; i < columns->len; i++) {
    const MemColumn *column = columns->pdata[i];
    g_autoptr(GArray) cells = cells_of(store, column, start_time, end_time);
    answer_digest(column->device, column->measurement, column->type, cells, &digest);
  }
  digest.devices = digest.cells > 0;
  return digest;
}

static void add_part(GPtrArray *parts, const char *device, gint64 start_time, StateDigest digest)
{
  DigestPart *part = g_new(DigestPart, 1);
  *part = (DigestPart){g_strdup(device), start_time, digest};
  g_ptr_array_add(parts, part);
}

GPtrArray *mem_digest_devices(Store *parent, const DigestScope *scope, const char *after,
                              guint limit, gboolean *out_more, GError **error)
{
  MemStore *store = (MemStore *)parent;
  if (!check_cut(scope, error))
    return NULL;
  GPtrArray *parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  g_autoptr(GPtrArray) devices = mem_series(parent, NULL, after, limit, out_more, error);
  g_mutex_lock(&store->mutex);
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    StateDigest digest = digest_range(store, device->name, G_MININT64, G_MAXINT64);
    if (digest.cells > 0 || (*out_more && i + 1 == devices->len))
      add_part(parts, device->name, 0, digest);
  }
  g_mutex_unlock(&store->mutex);
  return parts;
}

/* The first time at or after `from` at which the device has a visible cell. FALSE: none. */
static gboolean first_time(MemStore *store, const char *device, gint64 from, gint64 *out_time)
{
  gboolean found = FALSE;
  g_autoptr(GPtrArray) columns = mem_columns_of(store, device, NULL);
  for (guint i = 0; i < columns->len; i++) {
    g_autoptr(GArray) cells = cells_of(store, columns->pdata[i], from, G_MAXINT64);
    gint64 time = cells->len > 0 ? g_array_index(cells, Cell, 0).time : 0;
    if (cells->len > 0 && (!found || time < *out_time))
      *out_time = time;
    found = found || cells->len > 0;
  }
  return found;
}

GPtrArray *mem_digest_buckets(Store *parent, const DigestScope *scope, const char *device,
                              gint64 from, guint limit, gboolean *out_more, GError **error)
{
  MemStore *store = (MemStore *)parent;
  *out_more = FALSE;
  if (!check_cut(scope, error))
    return NULL;
  GPtrArray *parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  g_mutex_lock(&store->mutex);
  gint64 time =
      partition_start(partition_of(from, store->partition_interval), store->partition_interval);
  while (first_time(store, device, time, &time)) {
    if (parts->len == limit) {
      *out_more = TRUE;
      break;
    }
    gint64 partition = partition_of(time, store->partition_interval);
    gint64 start = partition_start(partition, store->partition_interval);
    gint64 next = partition_start(partition + 1, store->partition_interval);
    gboolean last = next <= time;
    gint64 end = last ? G_MAXINT64 : next - 1;
    add_part(parts, device, start, digest_range(store, device, time, end));
    if (last)
      break;
    time = next;
  }
  g_mutex_unlock(&store->mutex);
  return parts;
}

/* What can't be seen is not kept anyway, and deletes may stay. */
gboolean mem_maintain(Store *store, guint64 horizon, gsize budget, gboolean *out_more,
                      GError **error)
{
  (void)store;
  (void)horizon;
  (void)budget;
  (void)error;
  *out_more = FALSE;
  return TRUE;
}

gboolean mem_digest(Store *parent, const DigestScope *scope, StateDigest *out_digest,
                    GArray **out_progress, GError **error)
{
  MemStore *store = (MemStore *)parent;
  *out_digest = (StateDigest){0};
  if (!check_cut(scope, error))
    return FALSE;
  g_mutex_lock(&store->mutex);
  const char *counted = NULL;
  for (GTreeNode *node = g_tree_node_first(store->columns); node != NULL;
       node = g_tree_node_next(node)) {
    const MemColumn *column = g_tree_node_value(node);
    g_autoptr(GArray) cells = cells_of(store, column, G_MININT64, G_MAXINT64);
    answer_digest(column->device, column->measurement, column->type, cells, out_digest);
    if (cells->len > 0 && g_strcmp0(counted, column->device) != 0) {
      counted = column->device;
      out_digest->devices++;
    }
  }
  *out_progress = g_array_copy(store->progress);
  g_mutex_unlock(&store->mutex);
  return TRUE;
}
