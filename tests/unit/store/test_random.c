/*
 * Random writes: the store in RocksDB answers as the reference does, and the result does not depend
 * on how the logs were interleaved, on batches, on restarts or on resends (P2, P3).
 */
#include "history.h"
#include "raw_blocks.h"

static void check_same_pages(GRand *random, Store *a, Store *b)
{
  gint64 from = random_time(random), to = random_time(random);
  const char *names[] = {measurements[g_rand_int_range(random, 0, MEASUREMENTS)], "b", NULL};
  Query query = {.device = devices[g_rand_int_range(random, 0, DEVICES)],
                 .measurements = g_rand_boolean(random) ? names : NULL,
                 .start_time = from,
                 .end_time = to, /* may be before it: then there is nothing */
                 .limit = (guint)g_rand_int_range(random, 1, 5),
                 .descending = g_rand_boolean(random)};
  g_autofree char *x = query_text(a, &query), *y = query_text(b, &query);
  check_same_text(x, y);
}

/* --- applying -----------------------------------------------------------------------------------
 */

/* Applies a random number of the next entries of random logs, some of them once more, to each of
 * the stores in one call. FALSE when all are applied. */
static gboolean apply_some(GRand *random, const History *history, guint64 next[LOGS],
                           Store *const *stores, guint store_count)
{
  StoreEntry entries[8];
  guint count = 0, left = 0;
  for (guint log = 0; log < LOGS; log++)
    left += ENTRIES - (guint)next[log];
  if (left == 0)
    return FALSE;
  guint wanted = (guint)g_rand_int_range(random, 1, G_N_ELEMENTS(entries) + 1);
  while (count < wanted) {
    guint log = (guint)g_rand_int_range(random, 0, LOGS);
    guint64 back = g_rand_int_range(random, 0, 6) == 0 ? 2 : 0; /* a resend */
    guint64 at = next[log] > back ? next[log] - back : 0;
    if (at == ENTRIES)
      break;
    entries[count++] =
        (StoreEntry){logs[log], at + 1, history->hlcs[log][at], decode(history->writes[log][at])};
    next[log] = MAX(next[log], at + 1);
  }
  for (guint i = 0; i < store_count; i++) {
    g_autoptr(GError) error = NULL;
    fast_assert_msg(store_apply(stores[i], entries, count, &error), "%s",
                    error != NULL ? error->message : "");
  }
  for (guint i = 0; i < count; i++)
    store_decoded_free(entries[i].decoded);
  return TRUE;
}

/* Some of what cannot be seen: blocks become chunks, deletes are carried out. */
static void maintain_some(GRand *random, Store *store, const History *history,
                          const guint64 next[LOGS])
{
  if (g_rand_int_range(random, 0, 3) != 0)
    return;
  gsize budget = (gsize)g_rand_int_range(random, 1, 2000);
  for (gint32 n = g_rand_int_range(random, 1, 8); n > 0; n--)
    if (!maintain(store, history_horizon(history, next), budget))
      return;
}

/* Both get the same calls and are compared on the way. */
static void run_side_by_side(GRand *random, const History *history, Store *mem, Store *rocks,
                             guint chunking)
{
  Store *stores[] = {mem, rocks};
  guint64 next[LOGS] = {0};
  for (guint step = 0; apply_some(random, history, next, stores, 2); step++) {
    if (chunking > 0)
      maintain_some(random, rocks, history, next);
    /* A read ends what gathers in one block. */
    if (g_rand_int_range(random, 0, 3) == 0)
      check_same_pages(random, mem, rocks);
    if (step % 10 == 0)
      check_same(mem, rocks);
    if (step % 40 == 39)
      persist(rocks);
  }
}

/* Stops now and then without persisting, and goes on from where the store says that it is. */
static Store *run_with_restarts(GRand *random, const History *history, const char *directory,
                                guint reblock_blocks)
{
  Store *store = open_rocks_chunking(directory, reblock_blocks);
  guint64 next[LOGS] = {0};
  guint restarts = 0;
  while (apply_some(random, history, next, &store, 1)) {
    if (reblock_blocks > 0)
      maintain_some(random, store, history, next);
    if (g_rand_int_range(random, 0, 8) == 0)
      persist(store);
    if (restarts >= 4 || g_rand_int_range(random, 0, 12) != 0)
      continue;
    restarts++;
    guint64 durable[LOGS];
    for (guint log = 0; log < LOGS; log++)
      durable[log] = applied_of(store, logs[log], TRUE);
    store_close(store);
    store = open_rocks_chunking(directory, reblock_blocks);
    for (guint log = 0; log < LOGS; log++) {
      next[log] = applied_of(store, logs[log], FALSE);
      ck_assert_uint_eq(next[log], durable[log]);
    }
  }
  return store;
}

START_TEST(p3_any_interleaving_gives_one_state)
{
  GRand *random = g_rand_new_with_seed(20260201 + (guint32)_i);
  History *history = history_new(random);
  g_autofree char *one = make_directory(), *other = make_directory();
  guint chunking = _i % 2 == 0 ? 2 : 0;
  Store *mem = open_mem(), *rocks = open_rocks_chunking(one, chunking);
  run_side_by_side(random, history, mem, rocks, chunking);
  check_same(mem, rocks);
  Store *restarted = run_with_restarts(random, history, other, chunking);
  persist(restarted);
  ck_assert((chunking > 0) == (stats_of(restarted).chunks.chunks > 0));
  store_close(restarted);
  RawBlocks counts = raw_blocks(other);
  ck_assert(chunking > 0 || (counts.many_leaders > 5 && counts.same_times > 5));
  restarted = open_rocks(other);
  check_same(mem, restarted);
  /* What comes from disk is what was in memory. */
  persist(rocks);
  store_close(rocks);
  rocks = open_rocks(one);
  check_same(mem, rocks);
  /* All of it once more changes nothing. */
  guint64 again[LOGS] = {0};
  while (apply_some(random, history, again, &rocks, 1))
    ;
  check_same(mem, rocks);
  store_close(mem);
  store_close(rocks);
  store_close(restarted);
  remove_tree(one);
  remove_tree(other);
  history_free(history);
  g_rand_free(random);
}
END_TEST

/* --- one write and its parts --------------------------------------------------------------------
 */

/* The parts of a write each alone, in the order in which they have effect. */
typedef struct Parts {
  TestWrite joined;
  GPtrArray *singles; /* GByteArray: a write of one delete or one row */
} Parts;

static void keep_single(Parts *parts, TestWrite *single)
{
  g_ptr_array_add(parts->singles, tw_end(single));
}

/* Both get the same part: the encoded list elements are copied over. */
static void add_part(Parts *parts, guint kind, TestWrite *single)
{
  const GByteArray *bytes = single->parts[kind].bytes;
  tw_raw(tw_part(&parts->joined, kind), bytes->data, bytes->len);
  keep_single(parts, single);
}

/* Row by row, what is missing left out. */
static void add_tablet(Parts *parts, GRand *random)
{
  RandomTablet tablet;
  random_tablet_fill(random, &tablet);
  tw_tablet(&parts->joined, "d", tablet.times, tablet.rows, tablet.columns, tablet.count);
  for (guint row = 0; row < tablet.rows; row++) {
    const char *names[MEASUREMENTS];
    Value values[MEASUREMENTS];
    guint count = 0;
    for (guint i = 0; i < tablet.count; i++) {
      names[count] = measurements[i];
      count += column_get(tablet.columns[i], row, &values[count]);
    }
    TestWrite single = {0};
    if (count > 0) {
      tw_row(&single, "d", tablet.times[row], count, names, values);
      keep_single(parts, &single);
    }
    for (guint i = 0; i < count; i++)
      value_clear(&values[i]);
  }
  random_tablet_clear(&tablet);
}

static Parts random_parts(GRand *random)
{
  Parts parts = {.singles = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref)};
  TestWrite single = {0};
  for (gint32 n = g_rand_int_range(random, 0, 3); n > 0; n--) {
    put_range(random, &single, "d");
    add_part(&parts, 0, &single);
  }
  for (gint32 n = g_rand_int_range(random, 1, 12); n > 0; n--) {
    const char *const names[] = {"a", "b"};
    DataType type = g_rand_int_range(random, 0, 3) == 0 ? random_type(random, 0) : DATA_DOUBLE;
    const Value values[] = {random_value(random, type), random_value(random, DATA_INT32)};
    if (g_rand_int_range(random, 0, 4) == 0)
      put_row(random, &single, "d");
    else /* with the columns of the row before, mostly */
      tw_row(&single, "d", random_time(random), 2, names, values);
    add_part(&parts, 1, &single);
  }
  for (gint32 n = g_rand_int_range(random, 0, 3); n > 0; n--)
    add_tablet(&parts, random);
  return parts;
}

/* So the joining of rows, the sorting and the splitting change nothing. */
START_TEST(a_write_is_its_parts_one_by_one)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(20260401);
  Store *joined = open_mem(), *split = open_mem();
  guint64 index = 0;
  for (guint64 i = 1; i <= HISTORIES(1200); i++) {
    Parts parts = random_parts(random);
    apply_write(joined, logs[0], i, i * 1000, &parts.joined);
    for (guint k = 0; k < parts.singles->len; k++)
      apply_bytes(split, logs[0], ++index, i * 1000 + k, parts.singles->pdata[k]);
    g_ptr_array_unref(parts.singles);
    fast_assert_msg(same_digest(digest_of(joined), digest_of(split)), "write %u", (guint)i);
  }
  store_close(joined);
  store_close(split);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("store random");
  TCase *cases = tcase_create("store random");
  tcase_set_timeout(cases, 120);
  tcase_add_test(cases, a_write_is_its_parts_one_by_one);
  tcase_add_loop_test(cases, p3_any_interleaving_gives_one_state, 0, HISTORIES(12));
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
