/*
 * Random writes: the store in RocksDB answers as the reference does, and the result does not depend
 * on how the logs were interleaved, on batches, on restarts or on resends (P2, P3).
 */
#include "history.h"

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

/* Both get the same calls and are compared on the way. */
static void run_side_by_side(GRand *random, const History *history, Store *mem, Store *rocks)
{
  Store *stores[] = {mem, rocks};
  guint64 next[LOGS] = {0};
  for (guint step = 0; apply_some(random, history, next, stores, 2); step++) {
    check_same_pages(random, mem, rocks);
    if (step % 10 == 0)
      check_same(mem, rocks);
    if (step % 40 == 39)
      persist(rocks);
  }
}

/* Stops now and then without persisting, and goes on from where the store says that it is. */
static Store *run_with_restarts(GRand *random, const History *history, const char *directory)
{
  Store *store = open_rocks(directory);
  guint64 next[LOGS] = {0};
  guint restarts = 0;
  while (apply_some(random, history, next, &store, 1)) {
    if (g_rand_int_range(random, 0, 8) == 0)
      persist(store);
    if (restarts >= 4 || g_rand_int_range(random, 0, 12) != 0)
      continue;
    restarts++;
    guint64 durable[LOGS];
    for (guint log = 0; log < LOGS; log++)
      durable[log] = applied_of(store, logs[log], TRUE);
    store_close(store);
    store = open_rocks(directory);
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
  Store *mem = open_mem(), *rocks = open_rocks(one);
  run_side_by_side(random, history, mem, rocks);
  check_same(mem, rocks);
  Store *restarted = run_with_restarts(random, history, other);
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

int main(void)
{
  Suite *suite = suite_create("store random");
  TCase *cases = tcase_create("store random");
  tcase_set_timeout(cases, 120);
  tcase_add_loop_test(cases, p3_any_interleaving_gives_one_state, 0, 12);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
