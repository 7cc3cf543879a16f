#include "core/acks.h"

typedef struct Waiting Waiting;
struct Waiting {
  guint64 index;
  guint nodes;
  gint64 deadline_us;
  gpointer write;
  guint heap_at;          /* position in `heap` */
  Waiting *older, *newer; /* in the line of its `nodes` */
};

/* The writes that wait for the same number of nodes, in order of their indices. If the oldest is
 * not done, none is. */
typedef struct Line {
  guint nodes;
  Waiting *oldest, *newest;
} Line;

struct Acks {
  GArray *lines;   /* Line; one for each number of nodes that was ever asked for, so very few */
  GPtrArray *heap; /* Waiting, the earliest deadline first */
  guint64 last_index;
};

Acks *acks_new(void)
{
  Acks *acks = g_new0(Acks, 1);
  acks->lines = g_array_new(FALSE, TRUE, sizeof(Line));
  acks->heap = g_ptr_array_new();
  return acks;
}

void acks_free(Acks *acks)
{
  g_assert(acks->heap->len == 0);
  g_array_unref(acks->lines);
  g_ptr_array_unref(acks->heap);
  g_free(acks);
}

static gboolean is_earlier(const Waiting *a, const Waiting *b)
{
  if (a->deadline_us != b->deadline_us)
    return a->deadline_us < b->deadline_us;
  return a->index < b->index;
}

static void heap_set(GPtrArray *heap, guint at, Waiting *waiting)
{
  heap->pdata[at] = waiting;
  waiting->heap_at = at;
}

static void heap_up(GPtrArray *heap, guint at)
{
  Waiting *waiting = heap->pdata[at];
  while (at > 0 && is_earlier(waiting, heap->pdata[(at - 1) / 2])) {
    heap_set(heap, at, heap->pdata[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  heap_set(heap, at, waiting);
}

static void heap_down(GPtrArray *heap, guint at)
{
  Waiting *waiting = heap->pdata[at];
  for (;;) {
    guint child = 2 * at + 1;
    if (child >= heap->len)
      break;
    if (child + 1 < heap->len && is_earlier(heap->pdata[child + 1], heap->pdata[child]))
      child++;
    if (!is_earlier(heap->pdata[child], waiting))
      break;
    heap_set(heap, at, heap->pdata[child]);
    at = child;
  }
  heap_set(heap, at, waiting);
}

static void heap_remove(GPtrArray *heap, guint at)
{
  Waiting *last = g_ptr_array_remove_index(heap, heap->len - 1);
  if (at == heap->len)
    return;
  heap_set(heap, at, last);
  heap_up(heap, at);
  heap_down(heap, last->heap_at);
}

static Line *put_line(Acks *acks, guint nodes)
{
  for (guint i = 0; i < acks->lines->len; i++) {
    Line *line = &g_array_index(acks->lines, Line, i);
    if (line->nodes == nodes)
      return line;
  }
  Line fresh = {.nodes = nodes};
  g_array_append_val(acks->lines, fresh);
  return &g_array_index(acks->lines, Line, acks->lines->len - 1);
}

void acks_add(Acks *acks, guint64 index, guint nodes, gint64 deadline_us, gpointer write)
{
  g_assert(nodes >= 1 && write != NULL);
  g_assert(index > acks->last_index);
  acks->last_index = index;
  Line *line = put_line(acks, nodes);
  Waiting *waiting = g_new(Waiting, 1);
  *waiting = (Waiting){.index = index,
                       .nodes = nodes,
                       .deadline_us = deadline_us,
                       .write = write,
                       .older = line->newest};
  if (line->newest != NULL)
    line->newest->newer = waiting;
  else
    line->oldest = waiting;
  line->newest = waiting;
  g_ptr_array_add(acks->heap, waiting);
  heap_up(acks->heap, acks->heap->len - 1);
}

static gpointer take(Acks *acks, Waiting *waiting)
{
  Line *line = put_line(acks, waiting->nodes);
  if (waiting->older != NULL)
    waiting->older->newer = waiting->newer;
  else
    line->oldest = waiting->newer;
  if (waiting->newer != NULL)
    waiting->newer->older = waiting->older;
  else
    line->newest = waiting->older;
  heap_remove(acks->heap, waiting->heap_at);
  gpointer write = waiting->write;
  g_free(waiting);
  return write;
}

static guint count_reached(const guint64 *durable, guint count, guint64 index)
{
  guint reached = 0;
  for (guint i = 0; i < count; i++)
    reached += durable[i] >= index;
  return reached;
}

gpointer acks_take_done(Acks *acks, const guint64 *durable, guint count)
{
  Waiting *done = NULL;
  for (guint i = 0; i < acks->lines->len; i++) {
    const Line *line = &g_array_index(acks->lines, Line, i);
    Waiting *oldest = line->oldest;
    if (oldest == NULL || (done != NULL && done->index < oldest->index))
      continue;
    if (count_reached(durable, count, oldest->index) >= line->nodes)
      done = oldest;
  }
  if (done == NULL)
    return NULL;
  g_assert(acks_quorum_index(durable, count, done->nodes) >= done->index); /* INV-5 */
  return take(acks, done);
}

gpointer acks_take_late(Acks *acks, gint64 now_us)
{
  return acks->heap->len > 0 && acks_deadline_us(acks) <= now_us ? acks_take_any(acks) : NULL;
}

gpointer acks_take_any(Acks *acks)
{
  return acks->heap->len > 0 ? take(acks, acks->heap->pdata[0]) : NULL;
}

/* Puts a write into the line in order of its index. */
static void put_in_line(Line *line, Waiting *waiting)
{
  Waiting *newer = line->oldest;
  while (newer != NULL && newer->index < waiting->index)
    newer = newer->newer;
  waiting->newer = newer;
  waiting->older = newer != NULL ? newer->older : line->newest;
  if (waiting->older != NULL)
    waiting->older->newer = waiting;
  else
    line->oldest = waiting;
  if (newer != NULL)
    newer->older = waiting;
  else
    line->newest = waiting;
}

void acks_cap(Acks *acks, guint nodes)
{
  g_assert(nodes >= 1);
  put_line(acks, nodes); /* from here on the array does not move */
  for (guint i = 0; i < acks->lines->len; i++) {
    Line *line = &g_array_index(acks->lines, Line, i);
    if (line->nodes <= nodes)
      continue;
    Waiting *waiting = line->oldest;
    line->oldest = line->newest = NULL;
    while (waiting != NULL) {
      Waiting *next = waiting->newer;
      waiting->nodes = nodes;
      put_in_line(put_line(acks, nodes), waiting);
      waiting = next;
    }
  }
}

gint64 acks_deadline_us(const Acks *acks)
{
  return acks->heap->len > 0 ? ((const Waiting *)acks->heap->pdata[0])->deadline_us : G_MAXINT64;
}

guint acks_waiting(const Acks *acks)
{
  return acks->heap->len;
}

guint64 acks_quorum_index(const guint64 *durable, guint count, guint nodes)
{
  g_assert(nodes >= 1);
  guint64 quorum = 0;
  /* There are few nodes, and nothing to sort into. */
  for (guint i = 0; i < count; i++)
    if (durable[i] > quorum && count_reached(durable, count, durable[i]) >= nodes)
      quorum = durable[i];
  return quorum;
}
