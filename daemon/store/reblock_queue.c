#include "store/reblock_queue.h"

typedef struct Place {
  guint32 device;
  gint64 partition;
} Place;

typedef struct Waiting {
  Place place; /* the key */
  Backlog backlog;
  guint64 not_before; /* this clock is stable */
  gboolean left_out;
} Waiting;

struct ReblockQueue {
  guint enough;
  GHashTable *places; /* Waiting by its place */
  GArray *due;        /* Place, found by the last search */
  guint64 searched;   /* … with this clock */
  gboolean added;     /* anything since then */
  guint64 blocks;
  guint left_out;
  gboolean lost;
};

static guint place_hash(gconstpointer key)
{
  const Place *place = key;
  guint64 mixed =
      (guint64)place->device << 32 ^ (guint64)place->partition ^ (guint64)place->partition >> 32;
  return (guint)(mixed * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) >> 32);
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;
  return x->device == y->device && x->partition == y->partition;
}

ReblockQueue *reblock_queue_new(guint enough)
{
  ReblockQueue *queue = g_new0(ReblockQueue, 1);
  queue->enough = enough;
  queue->places = g_hash_table_new_full(place_hash, place_equal, NULL, g_free);
  queue->due = g_array_new(FALSE, FALSE, sizeof(Place));
  return queue;
}

void reblock_queue_free(ReblockQueue *queue)
{
  g_hash_table_unref(queue->places);
  g_array_unref(queue->due);
  g_free(queue);
}

static Waiting *find(const ReblockQueue *queue, guint32 device, gint64 partition)
{
  return g_hash_table_lookup(queue->places, &(Place){device, partition});
}

void reblock_queue_add(ReblockQueue *queue, guint32 device, gint64 partition, const Backlog *more)
{
  Waiting *waiting = find(queue, device, partition);
  if (waiting == NULL) {
    if (g_hash_table_size(queue->places) >= REBLOCK_PLACES) {
      queue->lost = queue->added = TRUE;
      return;
    }
    waiting = g_new0(Waiting, 1);
    waiting->place = (Place){device, partition};
    g_hash_table_insert(queue->places, &waiting->place, waiting);
  }
  guint64 before = waiting->backlog.blocks, half = queue->enough / 2;
  waiting->backlog.blocks += more->blocks;
  waiting->backlog.rows += more->rows;
  waiting->backlog.newest = MAX(waiting->backlog.newest, more->newest);
  /* Half of what is enough is stable then; looking earlier finds nothing, and reads all of them. */
  if (before < half && waiting->backlog.blocks >= half)
    waiting->not_before = MAX(waiting->not_before, waiting->backlog.newest);
  queue->blocks += more->blocks;
  queue->added = TRUE;
}

/* Small partitions would take all places in the end, and leave none for others. */
static gboolean is_crowded(const ReblockQueue *queue)
{
  return g_hash_table_size(queue->places) >= REBLOCK_PLACES / 2;
}

static gboolean is_due(const ReblockQueue *queue, const Waiting *waiting, guint64 stable)
{
  const Backlog *backlog = &waiting->backlog;
  if (waiting->left_out)
    return FALSE;
  if (backlog->newest <= stable)
    return backlog->rows >= queue->enough / 2 || is_crowded(queue);
  return backlog->blocks >= queue->enough && waiting->not_before <= stable;
}

static void search(ReblockQueue *queue, guint64 stable)
{
  GHashTableIter iter;
  gpointer waiting;
  queue->searched = stable;
  queue->added = FALSE;
  g_hash_table_iter_init(&iter, queue->places);
  while (g_hash_table_iter_next(&iter, NULL, &waiting))
    if (is_due(queue, waiting, stable))
      g_array_append_val(queue->due, ((Waiting *)waiting)->place);
}

gboolean reblock_queue_next(ReblockQueue *queue, guint64 stable, guint32 *out_device,
                            gint64 *out_partition)
{
  if (queue->due->len == 0 && (stable > queue->searched || queue->added))
    search(queue, stable);
  if (queue->due->len == 0)
    return FALSE;
  const Place *place = &g_array_index(queue->due, Place, queue->due->len - 1);
  *out_device = place->device;
  *out_partition = place->partition;
  g_array_set_size(queue->due, queue->due->len - 1);
  return TRUE;
}

static void forget(ReblockQueue *queue, Waiting *waiting)
{
  Place place = waiting->place;
  queue->blocks -= waiting->backlog.blocks;
  queue->left_out -= waiting->left_out ? 1 : 0;
  g_hash_table_remove(queue->places, &place);
}

void reblock_queue_left(ReblockQueue *queue, guint32 device, gint64 partition, const Backlog *left,
                        gboolean more)
{
  Waiting *waiting = find(queue, device, partition);
  if (waiting == NULL)
    return;
  if (left->blocks == 0) {
    forget(queue, waiting);
    return;
  }
  queue->blocks -= waiting->backlog.blocks;
  waiting->backlog = *left;
  waiting->not_before = more ? 0 : left->newest;
  queue->blocks += left->blocks;
  if (more && is_due(queue, waiting, queue->searched))
    g_array_append_val(queue->due, waiting->place);
}

void reblock_queue_leave_out(ReblockQueue *queue, guint32 device, gint64 partition)
{
  Waiting *waiting = find(queue, device, partition);
  if (waiting == NULL || waiting->left_out)
    return;
  if (queue->left_out == REBLOCK_LEFT_OUT) {
    forget(queue, waiting);
    return;
  }
  waiting->left_out = TRUE;
  queue->left_out++;
}

void reblock_queue_take_back(ReblockQueue *queue, guint32 device, gint64 partition)
{
  Waiting *waiting = find(queue, device, partition);
  if (waiting == NULL || !waiting->left_out)
    return;
  waiting->left_out = FALSE;
  queue->left_out--;
  queue->added = TRUE;
}

guint64 reblock_queue_blocks(const ReblockQueue *queue)
{
  return queue->blocks;
}

gboolean reblock_queue_take_lost(ReblockQueue *queue)
{
  gboolean lost = queue->lost && !is_crowded(queue);
  queue->lost = queue->lost && !lost;
  return lost;
}
