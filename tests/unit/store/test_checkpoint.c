/* Copies of a store that is at work, and putting one in the place of another. */
#include "support/tsan_rocksdb.h"
#include "tools.h"

static const LogId log_a = {1, 1000}, log_b = {2, 77};

static void apply_some(Store *store, LogId log, guint64 from, guint64 to)
{
  static const char *const gone[] = {"gone", NULL};
  for (guint64 i = from; i <= to; i++) {
    g_autofree char *device = g_strdup_printf("d%u", (guint)(i % 7));
    TestWrite write = {0};
    tw_cell(&write, device, (gint64)i * 30, "value", TW_INT64((gint64)(i * log.origin)));
    tw_cell(&write, device, (gint64)i, "gone", TW_BOOLEAN(TRUE));
    if (i % 5 == 0)
      tw_delete(&write, device, gone, 0, (gint64)i / 2);
    apply_write(store, log, i, 100 * i + log.origin, &write);
  }
}

static Store *open_copy(const char *directory)
{
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 1 << 20,
                          .block_cache_size = 1 << 20,
                          .read_only = TRUE};
  g_autoptr(GError) error = NULL;
  Store *store = store_rocks_new(&options, &error);
  ck_assert_msg(store != NULL, "%s", error != NULL ? error->message : "");
  return store;
}

static void make_copy(Store *store, const char *directory)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) progress = NULL;
  g_autoptr(GArray) expected = store_progress(store, FALSE, NULL);
  ck_assert_msg(store_checkpoint(store, directory, &progress, &error), "%s",
                error != NULL ? error->message : "");
  ck_assert_uint_eq(progress->len, expected->len);
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *got = &g_array_index(progress, StoreProgress, i);
    const StoreProgress *wanted = &g_array_index(expected, StoreProgress, i);
    ck_assert(log_id_equal(got->log, wanted->log));
    ck_assert_uint_eq(got->applied, wanted->applied);
    ck_assert_uint_eq(got->hlc, wanted->hlc);
  }
}

typedef struct Readers {
  Store *store;
  gint stop;
} Readers;

static gpointer read_on(gpointer data)
{
  Readers *readers = data;
  while (!g_atomic_int_get(&readers->stop)) {
    digest_of(readers->store);
    g_free(device_text(readers->store, "d3"));
  }
  return NULL;
}

START_TEST(copies_under_load_hold_what_was_applied)
{
  enum { COPIES = 5 };
  g_autofree char *directory = make_directory();
  g_autofree char *live = g_build_filename(directory, "store", NULL);
  Store *store = open_rocks(live);
  Readers readers = {.store = store};
  GThread *thread = g_thread_new("reader", read_on, &readers);
  StateDigest digests[COPIES];
  for (guint i = 0; i < COPIES; i++) {
    apply_some(store, log_a, i * 100 + 1, i * 100 + 100);
    apply_some(store, log_b, i * 40 + 1, i * 40 + 40);
    g_autofree char *path = g_strdup_printf("%s/copy-%u", directory, i);
    make_copy(store, path);
    digests[i] = digest_of(store);
  }
  apply_some(store, log_a, COPIES * 100 + 1, COPIES * 100 + 50);
  persist(store);
  for (guint i = 0; i < COPIES; i++) {
    g_autofree char *path = g_strdup_printf("%s/copy-%u", directory, i);
    Store *copy = open_copy(path);
    ck_assert_uint_eq(applied_of(copy, log_a, FALSE), i * 100 + 100);
    ck_assert_uint_eq(applied_of(copy, log_b, FALSE), i * 40 + 40);
    ck_assert_msg(same_digest(digest_of(copy), digests[i]), "copy %u has other data", i);
    store_close(copy);
  }
  g_atomic_int_set(&readers.stop, 1);
  g_thread_join(thread);
  store_close(store);
  remove_tree(directory);
}
END_TEST

/* A store with log_a in `store`, a copy of another one with log_b in `copy`. */
static StateDigest prepare(const char *live, const char *copy_path)
{
  Store *store = open_rocks(live);
  apply_some(store, log_b, 1, 60);
  make_copy(store, copy_path);
  StateDigest digest = digest_of(store);
  store_close(store);
  remove_tree(live);
  store = open_rocks(live);
  apply_some(store, log_a, 1, 20);
  persist(store);
  store_close(store);
  return digest;
}

static void check_installed(const char *live, StateDigest digest)
{
  Store *store = open_rocks(live);
  ck_assert_uint_eq(applied_of(store, log_a, FALSE), 0);
  ck_assert_uint_eq(applied_of(store, log_b, TRUE), 60);
  ck_assert(same_digest(digest_of(store), digest));
  apply_some(store, log_b, 61, 70); /* and it goes on */
  persist(store);
  store_close(store);
}

/* The states that a crash in the middle leaves; each is brought to its end by the same call. */
START_TEST(a_copy_is_installed_from_any_step)
{
  enum { FROM_START, OLD_MOVED, OLD_OF_BEFORE, NO_STORE, STEPS };
  for (guint step = FROM_START; step < STEPS; step++) {
    g_autofree char *directory = make_directory();
    g_autofree char *live = g_build_filename(directory, "store", NULL);
    g_autofree char *old = g_build_filename(directory, "store.old", NULL);
    g_autofree char *copy = g_build_filename(directory, "store.new", NULL);
    StateDigest digest = prepare(live, copy);
    if (step == OLD_MOVED)
      ck_assert_int_eq(g_rename(live, old), 0);
    if (step == OLD_OF_BEFORE)
      store_close(open_rocks(old));
    if (step == NO_STORE)
      remove_tree(live);
    g_autoptr(GError) error = NULL;
    ck_assert_msg(store_install(copy, live, &error), "%s", error != NULL ? error->message : "");
    ck_assert(!g_file_test(old, G_FILE_TEST_EXISTS));
    ck_assert(!g_file_test(copy, G_FILE_TEST_EXISTS));
    check_installed(live, digest);
    /* Once more changes nothing. */
    ck_assert(store_install(copy, live, &error));
    Store *store = open_rocks(live);
    ck_assert_uint_eq(applied_of(store, log_b, TRUE), 70);
    store_close(store);
    remove_tree(directory);
  }
}
END_TEST

START_TEST(a_copy_that_cannot_be_made)
{
  g_autofree char *directory = make_directory();
  g_autofree char *live = g_build_filename(directory, "store", NULL);
  Store *store = open_rocks(live);
  apply_some(store, log_a, 1, 3);
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) progress = NULL;
  ck_assert(!store_checkpoint(store, live, &progress, &error)); /* the directory is there */
  ck_assert_int_eq(error->code, SYNCLOG_INTERNAL);
  apply_some(store, log_a, 4, 6); /* it costs the store nothing */
  store_close(store);
  g_clear_error(&error);
  Store *mem = open_mem();
  ck_assert(!store_checkpoint(mem, directory, &progress, &error));
  ck_assert_int_eq(error->code, SYNCLOG_INVALID);
  store_close(mem);
  g_clear_error(&error);
  g_autofree char *nothing = g_build_filename(directory, "nothing", NULL);
  StoreOptions options = {.directory = nothing,
                          .partition_interval = INTERVAL,
                          .memtable_size = 1 << 20,
                          .block_cache_size = 1 << 20,
                          .read_only = TRUE};
  ck_assert_ptr_null(store_rocks_new(&options, &error));
  ck_assert_ptr_nonnull(error);
  remove_tree(directory);
}
END_TEST

static gboolean count_down(gpointer ctx)
{
  guint *left = ctx;
  return (*left)-- > 0;
}

/* Of a large store a node that stops need not wait for it. */
START_TEST(a_digest_is_ended_between_buckets)
{
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  apply_some(store, log_a, 1, 40);
  StateDigest whole = digest_of(store);
  store_close(store);
  guint left = G_MAXINT;
  StoreOptions options = {.directory = directory,
                          .partition_interval = INTERVAL,
                          .memtable_size = 1 << 20,
                          .block_cache_size = 1 << 20,
                          .digest_step = count_down,
                          .digest_ctx = &left};
  g_autoptr(GError) error = NULL;
  store = store_rocks_new(&options, &error);
  ck_assert_ptr_nonnull(store);
  apply_some(store, log_a, 1, 40); /* those of before that were not durable */
  ck_assert(same_digest(digest_of(store), whole));
  guint steps = G_MAXINT - left;
  ck_assert_uint_ge(steps, 7); /* devices */
  StateDigest digest;
  g_autoptr(GArray) progress = NULL;
  for (guint allowed = 0; allowed < steps; allowed++) {
    left = allowed;
    ck_assert(!store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &progress, &error));
    ck_assert_int_eq(error->code, SYNCLOG_NOT_READY);
    ck_assert_ptr_null(progress);
    g_clear_error(&error);
  }
  left = steps;
  ck_assert(same_digest(digest_of(store), whole));
  store_close(store);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {copies_under_load_hold_what_was_applied,
                                a_copy_is_installed_from_any_step, a_copy_that_cannot_be_made,
                                a_digest_is_ended_between_buckets};
  return RUN_SUITE("store checkpoint", tests);
}
