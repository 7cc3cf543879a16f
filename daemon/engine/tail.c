#include "engine/tail.h"

struct Tail {
  guint max_entries;
  gsize max_bytes;
  GPtrArray *runs; /* EntryRun in order; the first `head` places are empty */
  guint head;
  guint entries;
  gsize bytes;
};

Tail *tail_new(guint max_entries, gsize max_bytes)
{
  Tail *tail = g_new0(Tail, 1);
  tail->max_entries = max_entries;
  tail->max_bytes = max_bytes;
  tail->runs = g_ptr_array_new();
  return tail;
}

void tail_free(Tail *tail)
{
  for (guint i = tail->head; i < tail->runs->len; i++)
    entry_run_unref(tail->runs->pdata[i]);
  g_ptr_array_unref(tail->runs);
  g_free(tail);
}

static void drop_oldest(Tail *tail)
{
  EntryRun *run = tail->runs->pdata[tail->head];
  gsize size;
  entry_run_bytes(run, &size);
  tail->entries -= entry_run_count(run);
  tail->bytes -= size;
  entry_run_unref(run);
  tail->runs->pdata[tail->head++] = NULL;
  /* Closing the gap now and then keeps both the array small and each drop cheap. */
  if (tail->head >= 64 && tail->head * 2 >= tail->runs->len) {
    g_ptr_array_remove_range(tail->runs, 0, tail->head);
    tail->head = 0;
  }
}

void tail_push(Tail *tail, EntryRun *run)
{
  guint length = tail->runs->len;
  if (length > tail->head)
    g_assert(entry_run_first_index(run) == entry_run_last_index(tail->runs->pdata[length - 1]) + 1);
  gsize size;
  entry_run_bytes(run, &size);
  g_ptr_array_add(tail->runs, entry_run_ref(run));
  tail->entries += entry_run_count(run);
  tail->bytes += size;
  while (tail->runs->len - tail->head > 1 &&
         (tail->entries > tail->max_entries || tail->bytes > tail->max_bytes))
    drop_oldest(tail);
}

guint64 tail_first_index(const Tail *tail)
{
  return tail->runs->len == tail->head ? 0 : entry_run_first_index(tail->runs->pdata[tail->head]);
}

/* Position of the run that holds `index`, which is not below the first. runs->len when beyond. */
static guint find_run(const Tail *tail, guint64 index)
{
  guint low = tail->head, high = tail->runs->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (entry_run_last_index(tail->runs->pdata[middle]) < index)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

gsize tail_bytes(const Tail *tail)
{
  return tail->bytes;
}

/* How many records of `run` from position `first` on fit into the bounds. */
static guint fitting(EntryRun *run, guint first, guint max_entries, gsize max_bytes)
{
  guint count = MIN(entry_run_count(run) - first, max_entries);
  gsize begin = entry_run_offset(run, first);
  if (entry_run_offset(run, first + count) - begin <= max_bytes)
    return count;
  guint low = 0, high = count;
  while (low < high) { /* the greatest count that fits */
    guint middle = low + (high - low + 1) / 2;
    if (entry_run_offset(run, first + middle) - begin <= max_bytes)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

gboolean tail_fill(const Tail *tail, guint64 from, guint max_entries, gsize max_bytes,
                   SyncBatch *batch)
{
  guint64 tail_first = tail_first_index(tail);
  if (tail_first == 0 || from < tail_first)
    return FALSE;
  guint entries = 0;
  for (guint i = find_run(tail, from); i < tail->runs->len && entries < max_entries; i++) {
    EntryRun *run = tail->runs->pdata[i];
    guint first = entries == 0 ? (guint)(from - entry_run_first_index(run)) : 0;
    gsize room = max_bytes > batch->bytes ? max_bytes - batch->bytes : 0;
    guint count = fitting(run, first, max_entries - entries, room);
    if (count == 0 && entries == 0)
      count = 1; /* a single record may be larger than the bound */
    if (count == 0)
      break;
    sync_batch_add(batch, run, first, count);
    entries += count;
    if (first + count < entry_run_count(run))
      break;
  }
  return entries > 0;
}
