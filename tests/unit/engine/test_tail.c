#include "engine/tail.h"

#include "support/suite.h"

static const LogId LOG = {1, 7};

/* Entry i has i % 5 + 1 bytes of data. */
static gsize size_of(guint64 index)
{
  return RECORD_OVERHEAD_SIZE + index % 5 + 1;
}

static EntryRun *run_of(guint64 first, guint count)
{
  GByteArray *bytes = g_byte_array_new();
  for (guint64 i = first; i < first + count; i++) {
    guint8 record[64];
    record_write(record_seed(LOG), i, i << 16, "12345", size_of(i) - RECORD_OVERHEAD_SIZE, record);
    g_byte_array_append(bytes, record, (guint)size_of(i));
  }
  return entry_run_new(LOG, first, count, bytes->data, bytes->len, bytes,
                       (GDestroyNotify)g_byte_array_unref);
}

static void push(Tail *tail, guint64 first, guint count)
{
  g_autoptr(EntryRun) run = run_of(first, count);
  tail_push(tail, run);
}

/* Last index of a batch from `from`, 0 when there is none. */
static guint64 fill(const Tail *tail, guint64 from, guint max_entries, gsize max_bytes)
{
  g_autoptr(SyncBatch) batch = sync_batch_new(0, LOG);
  if (!tail_fill(tail, from, max_entries, max_bytes, batch))
    return 0;
  fast_assert(batch->first_index == from);
  gsize bytes = 0;
  for (guint64 i = from; i <= batch->last_index; i++)
    bytes += size_of(i);
  fast_assert(batch->bytes == bytes);
  return batch->last_index;
}

START_TEST(empty_tail_has_nothing)
{
  g_autoptr(Tail) tail = tail_new(10, 1000);
  ck_assert_uint_eq(tail_first_index(tail), 0);
  ck_assert_uint_eq(fill(tail, 1, 10, 1000), 0);
}
END_TEST

START_TEST(fills_across_runs)
{
  g_autoptr(Tail) tail = tail_new(100, 100000);
  push(tail, 41, 3);
  push(tail, 44, 1);
  push(tail, 45, 6);
  ck_assert_uint_eq(tail_first_index(tail), 41);
  ck_assert_uint_eq(fill(tail, 41, 100, 100000), 50);
  ck_assert_uint_eq(fill(tail, 43, 100, 100000), 50);
  ck_assert_uint_eq(fill(tail, 43, 3, 100000), 45);
  ck_assert_uint_eq(fill(tail, 50, 100, 100000), 50);
  ck_assert_uint_eq(fill(tail, 40, 100, 100000), 0); /* fell out */
  ck_assert_uint_eq(fill(tail, 51, 100, 100000), 0); /* not there yet */
}
END_TEST

START_TEST(a_batch_has_one_entry_at_least)
{
  g_autoptr(Tail) tail = tail_new(100, 100000);
  push(tail, 1, 5);
  ck_assert_uint_eq(fill(tail, 1, 100, 1), 1);
  ck_assert_uint_eq(fill(tail, 1, 100, size_of(1)), 1);
  ck_assert_uint_eq(fill(tail, 1, 100, size_of(1) + size_of(2) - 1), 1);
  ck_assert_uint_eq(fill(tail, 1, 100, size_of(1) + size_of(2)), 2);
}
END_TEST

START_TEST(old_runs_fall_out)
{
  g_autoptr(Tail) tail = tail_new(10, 100000);
  push(tail, 1, 4);
  push(tail, 5, 4);
  ck_assert_uint_eq(tail_first_index(tail), 1);
  push(tail, 9, 4);
  ck_assert_uint_eq(tail_first_index(tail), 5);
  push(tail, 13, 1000); /* the newest stays, however large */
  ck_assert_uint_eq(tail_first_index(tail), 13);
  ck_assert_uint_eq(fill(tail, 13, 5, 100000), 17);
}
END_TEST

/* The bounds, found by counting one by one. */
static guint64 model_fill(guint64 from, guint64 last, guint max_entries, gsize max_bytes)
{
  guint64 to = from;
  gsize bytes = size_of(from);
  while (to < last && to - from + 1 < max_entries && bytes + size_of(to + 1) <= max_bytes)
    bytes += size_of(++to);
  return to;
}

START_TEST(random_fills_agree_with_counting)
{
  for (guint32 seed = 0; seed < 20; seed++) {
    GRand *rand = g_rand_new_with_seed(seed);
    guint max_entries = (guint)g_rand_int_range(rand, 1, 300);
    gsize max_bytes = (gsize)g_rand_int_range(rand, 50, 8000);
    g_autoptr(Tail) tail = tail_new(max_entries, max_bytes);
    guint64 next = 1, kept[2000], first = 0;
    guint runs = 0;
    for (guint step = 0; step < 500; step++) {
      guint count = (guint)g_rand_int_range(rand, 1, 12);
      push(tail, next, count);
      kept[runs++] = next;
      next += count;
      /* Drops whole runs from the oldest on until the rest is within the bounds, but for the last.
       */
      for (guint i = (guint)first; i < runs; i++) {
        gsize bytes = 0;
        for (guint64 k = kept[i]; k < next; k++)
          bytes += size_of(k);
        first = i;
        if (next - kept[i] <= max_entries && bytes <= max_bytes)
          break;
      }
      fast_assert(tail_first_index(tail) == kept[first]);
      guint64 from = kept[first] + (guint64)g_rand_int_range(rand, 0, (gint32)(next - kept[first]));
      guint entries = (guint)g_rand_int_range(rand, 1, 40);
      gsize bytes = (gsize)g_rand_int_range(rand, 1, 1500);
      fast_assert(fill(tail, from, entries, bytes) == model_fill(from, next - 1, entries, bytes));
    }
    g_rand_free(rand);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {empty_tail_has_nothing, fills_across_runs,
                                a_batch_has_one_entry_at_least, old_runs_fall_out,
                                random_fills_agree_with_counting};
  return RUN_SUITE("tail", tests);
}
