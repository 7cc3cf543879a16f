/* From what is on disk to a running state, on a disk that fails. */
#include "node/log_work.h"
#include "node/recovery.h"

#include "unit/wal/mem_io.c"

#include "support/suite.h"
#include "support/write_builder.h"

#include <errno.h>

enum { ENTRIES = 400, INTERVAL = 100, SEGMENT_SIZE = 8 * 1024 };

static const LogId own_log = {7, 1000};

typedef struct Fixture {
  MemDisk *disk;
  Identity *identity;
  LogSet *logs;
  Store *store; /* lacks all that is in the log */
} Fixture;

static void open_logs(Fixture *f)
{
  GError *error = NULL;
  f->logs = log_set_open("/data/wal", SEGMENT_SIZE, own_log.origin, mem_disk_io(f->disk), &error);
  g_assert_no_error(error);
}

static void write_log(Wal *own)
{
  for (guint64 i = 1; i <= ENTRIES; i++) {
    TestWrite build = {0};
    tw_cell(&build, "device", (gint64)i, "value", TW_INT64(1));
    g_autoptr(GByteArray) bytes = tw_end(&build);
    GroupWrite write = {.data = bytes->data, .size = bytes->len, .index = i, .hlc = 1000 + i};
    g_autoptr(GPtrArray) writes = g_ptr_array_new();
    g_ptr_array_add(writes, &write);
    g_autoptr(EntryRun) run = log_work_encode(own_log, writes);
    g_assert(log_work_append(own, run, TRUE, NULL));
  }
}

static void open_all(Fixture *f)
{
  GError *error = NULL;
  f->disk = mem_disk_new(1);
  mem_disk_set_directory(f->disk, "/data");
  f->identity =
      identity_open_on(mem_disk_io(f->disk), 1, "/data", own_log.origin, "c1", "ms", &error);
  g_assert_no_error(error);
  g_assert(identity_begin_incarnation(f->identity, own_log.incarnation, NULL));
  f->identity->clean = TRUE;
  open_logs(f);
  write_log(log_set_get(f->logs, own_log, NULL));
  log_set_close(f->logs);
  open_logs(f);
  StoreOptions options = {.partition_interval = INTERVAL};
  f->store = store_mem_new(&options);
}

static void close_all(Fixture *f)
{
  store_close(f->store);
  log_set_close(f->logs);
  identity_free(f->identity);
  mem_disk_free(f->disk);
}

static gboolean recover(Fixture *f, GArray **out_logs, LogId *out_own, GError **error)
{
  return recovery_run(f->identity, f->logs, f->store, INTERVAL, 2000, G_MAXUINT64, out_logs,
                      out_own, error);
}

/* What was acknowledged may be nowhere else. */
START_TEST(p1_what_the_disk_does_not_give_at_the_start_is_not_cut_off)
{
  static const MemCall calls[] = {MEM_PREAD, MEM_OPEN};
  Fixture f;
  open_all(&f);
  LogId own;
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    g_autoptr(GArray) none = NULL;
    g_autoptr(GError) error = NULL;
    mem_disk_keep_failing(f.disk, calls[i], EIO);
    ck_assert(!recover(&f, &none, &own, &error));
    mem_disk_keep_failing(f.disk, calls[i], 0);
    ck_assert_int_eq(error->code, SYNCLOG_INTERNAL);
    ck_assert_ptr_nonnull(strstr(error->message, "log 7-1000, of which nothing is cut off"));
    ck_assert_ptr_nonnull(strstr(error->message, g_strerror(EIO)));
    log_set_close(f.logs);
    open_logs(&f);
  }
  g_autoptr(GArray) logs = NULL;
  ck_assert(recover(&f, &logs, &own, NULL));
  ck_assert(log_id_equal(own, own_log)); /* no new incarnation either */
  ck_assert_uint_eq(logs->len, 1);
  const GroupLog *log = &g_array_index(logs, GroupLog, 0);
  ck_assert_uint_eq(log->applied, ENTRIES);
  ck_assert_uint_eq(log->last, ENTRIES);
  close_all(&f);
}
END_TEST

/* A mirror that was begun behind a store (wal_begin), and holds nothing. */
START_TEST(a_mirror_begins_no_further_than_its_store)
{
  static const LogId log = {8, 2000};
  Fixture f;
  open_all(&f);
  TestWrite build = {0};
  tw_cell(&build, "device", 1, "value", TW_INT64(1));
  g_autoptr(GByteArray) bytes = tw_end(&build);
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, NULL);
  for (guint has_store = 0; has_store < 2; has_store++) {
    ck_assert(wal_begin(log_set_get(f.logs, log, NULL), 20, 4711, NULL));
    log_set_close(f.logs);
    open_logs(&f);
    for (guint64 i = 1; has_store && i <= 20; i++) {
      StoreEntry entry = {log, i, 1000, decoded};
      ck_assert(store_apply(f.store, &entry, 1, NULL));
    }
    ck_assert(store_persist(f.store, TRUE, NULL));
    g_autoptr(GArray) logs = NULL;
    LogId own;
    ck_assert(recover(&f, &logs, &own, NULL));
    const GroupLog *mirror = &g_array_index(logs, GroupLog, logs->len - 1);
    ck_assert(log_id_equal(mirror->log, log));
    /* Where the store was lost all comes again: nothing is told to be held that is nowhere. */
    ck_assert_uint_eq(mirror->last, has_store ? 20 : 0);
    ck_assert_uint_eq(mirror->first_available, has_store ? 21 : 1);
    ck_assert_ptr_null(mirror->stopped);
    guint64 index, chain;
    ck_assert_int_eq(wal_end_chain(log_set_find(f.logs, log), &index, &chain), has_store);
  }
  close_all(&f);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {p1_what_the_disk_does_not_give_at_the_start_is_not_cut_off,
                                a_mirror_begins_no_further_than_its_store};
  return RUN_SUITE("recovery", tests);
}
