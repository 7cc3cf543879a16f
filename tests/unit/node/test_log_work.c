/* What the log thread does to the disk, on a disk that loses power and fails. */
#include "node/log_work.h"

#include "unit/wal/mem_io.c"

#include "support/suite.h"

#include <errno.h>

static const LogId own_log = {7, 1000};

typedef struct Fixture {
  MemDisk *disk;
  Identity *identity;
  LogSet *logs;
  Wal *own;
} Fixture;

static Identity *open_identity(MemDisk *disk)
{
  GError *error = NULL;
  Identity *identity = identity_open_on(mem_disk_io(disk), 1, "/data", 7, "c1", "ms", &error);
  g_assert_no_error(error);
  return identity;
}

static LogSet *open_logs(MemDisk *disk)
{
  GError *error = NULL;
  LogSet *logs = log_set_open("/data/wal", 64 * 1024, 7, mem_disk_io(disk), &error);
  g_assert_no_error(error);
  return logs;
}

static void open_all(Fixture *f)
{
  f->disk = mem_disk_new(1);
  mem_disk_set_directory(f->disk, "/data");
  f->identity = open_identity(f->disk);
  g_assert(identity_begin_incarnation(f->identity, own_log.incarnation, NULL));
  f->logs = open_logs(f->disk);
  f->own = log_set_get(f->logs, own_log, NULL);
  g_assert(f->own != NULL);
}

static void close_all(Fixture *f)
{
  g_clear_pointer(&f->logs, log_set_close);
  g_clear_pointer(&f->identity, identity_free);
  g_clear_pointer(&f->disk, mem_disk_free);
}

/* Entries first … last, as commits of one write each. */
static void append(Wal *own, guint64 first, guint64 last, gboolean sync)
{
  static const guint8 data[100] = "a write";
  for (guint64 i = first; i <= last; i++) {
    GroupWrite write = {.data = data, .size = sizeof data, .index = i, .hlc = 1000 + i};
    g_autoptr(GPtrArray) writes = g_ptr_array_new();
    g_ptr_array_add(writes, &write);
    g_autoptr(EntryRun) run = log_work_encode(wal_log(own), writes);
    g_assert(log_work_append(own, run, sync, NULL));
  }
}

/* With a weaker wal_sync entries are acknowledged, told and sent before they are synced. No later
 * sync of the own log would reach them once another log is that. */
START_TEST(p1_a_former_own_log_is_synced_before_another_begins)
{
  Fixture f;
  open_all(&f);
  append(f.own, 1, 10, FALSE);
  ck_assert_uint_eq(wal_durable_index(f.own), 0);
  Wal *next = log_work_begin_incarnation(f.identity, f.logs, f.own, 10, 2000, NULL);
  ck_assert_ptr_nonnull(next);
  ck_assert_uint_eq(wal_log(next).incarnation, 2000);
  ck_assert_uint_eq(wal_durable_index(f.own), 10);
  g_clear_pointer(&f.logs, log_set_close);
  mem_disk_crash(f.disk, MEM_LOSE_ALL);
  f.logs = open_logs(f.disk);
  Wal *before = log_set_find(f.logs, own_log);
  ck_assert_ptr_nonnull(before);
  ck_assert_uint_eq(wal_last_index(before), 10);
  close_all(&f);
}
END_TEST

/* What can't be synced is not given up silently: the node can't go on. */
START_TEST(p8_no_incarnation_begins_behind_a_failed_sync)
{
  Fixture f;
  open_all(&f);
  append(f.own, 1, 10, FALSE);
  mem_disk_fail(f.disk, MEM_FDATASYNC, 0, EIO, 0);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(log_work_begin_incarnation(f.identity, f.logs, f.own, 10, 2000, &error));
  ck_assert_int_eq(error->code, SYNCLOG_READ_ONLY);
  ck_assert_uint_eq(f.identity->incarnation, own_log.incarnation);
  close_all(&f);
}
END_TEST

/* A log that was cut and not given up would look sound at the next start, and take other entries at
 * indices that a peer has. */
START_TEST(p4_a_log_that_was_cut_is_given_up_whatever_fails)
{
  static const MemCall calls[] = {MEM_RENAME,    MEM_FSYNC,     MEM_OPEN,  MEM_PWRITE,
                                  MEM_FTRUNCATE, MEM_FDATASYNC, MEM_UNLINK};
  guint cut = 0;
  for (gsize c = 0; c < G_N_ELEMENTS(calls); c++)
    for (guint after = 0; after < 16; after++) {
      Fixture f;
      open_all(&f);
      append(f.own, 1, 10, TRUE);
      mem_disk_fail(f.disk, calls[c], after, EIO, 0);
      Wal *next = log_work_begin_incarnation(f.identity, f.logs, f.own, 5, 2000, NULL);
      ck_assert(next != NULL || mem_disk_failed(f.disk));
      mem_disk_fail(f.disk, calls[c], G_MAXUINT, 0, 0);
      g_clear_pointer(&f.logs, log_set_close);
      g_clear_pointer(&f.identity, identity_free);
      mem_disk_crash(f.disk, MEM_LOSE_ALL);
      f.logs = open_logs(f.disk);
      f.identity = open_identity(f.disk);
      Wal *own = log_set_find(f.logs, own_log);
      ck_assert_ptr_nonnull(own);
      gboolean given_up = f.identity->incarnation > own_log.incarnation;
      if (wal_last_index(own) < 10)
        ck_assert(given_up || !f.identity->clean);
      if (next != NULL)
        ck_assert(given_up && f.identity->clean);
      cut += wal_last_index(own) < 10 && !given_up;
      close_all(&f);
    }
  ck_assert_uint_gt(cut, 3);
}
END_TEST

/* Wherever descriptors are short: it is tried again, and until it is done no start goes on with the
 * log once that was cut. */
START_TEST(p4_an_incarnation_without_descriptors_is_begun_later)
{
  guint lacks = 0;
  for (guint crash = 0; crash < 2; crash++)
    for (guint after = 0; after < 24; after++) {
      Fixture f;
      open_all(&f);
      append(f.own, 1, 10, TRUE);
      mem_disk_fail(f.disk, MEM_OPEN, after, EMFILE, 0);
      g_autoptr(GError) error = NULL;
      Wal *next = log_work_begin_incarnation(f.identity, f.logs, f.own, 5, 2000, &error);
      ck_assert((next == NULL) == mem_disk_failed(f.disk));
      mem_disk_fail(f.disk, MEM_OPEN, G_MAXUINT, 0, 0);
      if (next == NULL) {
        lacks++;
        ck_assert(synclog_error_is_lack(error));
        ck_assert(!wal_is_broken(f.own));
      }
      if (next == NULL && !crash) {
        next = log_work_begin_incarnation(f.identity, f.logs, f.own, 5, 2001, NULL);
        ck_assert_ptr_nonnull(next);
        ck_assert_uint_ge(wal_log(next).incarnation, 2000);
        ck_assert_uint_eq(wal_log(next).incarnation, f.identity->incarnation);
        ck_assert_uint_eq(wal_last_index(f.own), 5);
        const WalIo *io = mem_disk_io(f.disk);
        g_autoptr(GPtrArray) folders = io->list(io->ctx, "/data/wal");
        ck_assert_uint_eq(folders->len, 2); /* none for each try */
      }
      g_clear_pointer(&f.logs, log_set_close);
      g_clear_pointer(&f.identity, identity_free);
      mem_disk_crash(f.disk, MEM_LOSE_ALL);
      f.logs = open_logs(f.disk);
      f.identity = open_identity(f.disk);
      Wal *own = log_set_find(f.logs, own_log);
      ck_assert_ptr_nonnull(own);
      if (wal_last_index(own) < 10)
        ck_assert(f.identity->incarnation > own_log.incarnation || !f.identity->clean);
      close_all(&f);
    }
  ck_assert_uint_ge(lacks, 20);
}
END_TEST

/* … and what could not be written down is tried again. */
START_TEST(p4_unclean_is_told_only_once_it_is_durable)
{
  Fixture f;
  open_all(&f);
  append(f.own, 1, 10, TRUE);
  mem_disk_keep_failing(f.disk, MEM_RENAME, EIO);
  for (int i = 0; i < 2; i++) {
    ck_assert_ptr_null(log_work_begin_incarnation(f.identity, f.logs, f.own, 5, 2000, NULL));
    ck_assert_uint_eq(wal_last_index(f.own), 10);
  }
  mem_disk_keep_failing(f.disk, MEM_RENAME, 0);
  ck_assert_ptr_nonnull(log_work_begin_incarnation(f.identity, f.logs, f.own, 5, 2000, NULL));
  ck_assert_uint_eq(wal_last_index(f.own), 5);
  close_all(&f);
}
END_TEST

/* A mirror that can't be made for want of descriptors can be made later. */
START_TEST(p8_a_new_mirror_without_descriptors_is_made_later)
{
  Fixture f;
  open_all(&f);
  static const guint8 data[10] = "a write";
  static const LogId log = {8, 1000};
  GroupWrite write = {.data = data, .size = sizeof data, .index = 1, .hlc = 1000};
  g_autoptr(GPtrArray) writes = g_ptr_array_new();
  g_ptr_array_add(writes, &write);
  g_autoptr(EntryRun) run = log_work_encode(log, writes);
  g_autoptr(GPtrArray) runs = g_ptr_array_new();
  g_ptr_array_add(runs, run);
  MirrorWork work = {.log = log, .runs = runs, .sync = TRUE};
  guint written;
  /* The directory above, that once more, then for a segment the directory and the file. */
  static const guint afters[] = {0, 0, 2, 0};
  for (guint i = 0; i < G_N_ELEMENTS(afters); i++) {
    mem_disk_fail(f.disk, MEM_OPEN, afters[i], EMFILE, 0);
    g_autoptr(GError) error = NULL;
    ck_assert(!log_work_mirror(f.logs, &work, &written, &error));
    ck_assert_int_eq(error->code, SYNCLOG_OVERLOADED);
    ck_assert_uint_eq(written, 0);
  }
  ck_assert(log_work_mirror(f.logs, &work, &written, NULL));
  ck_assert_uint_eq(written, 1);
  ck_assert_uint_eq(wal_durable_index(log_set_find(f.logs, log)), 1);
  close_all(&f);
}
END_TEST

/* Damaged or not given by the disk: in both cases whoever wants it is to ask others; a passing
 * failure is got over. */
START_TEST(p6_what_the_disk_does_not_give_is_told_as_damage)
{
  Fixture f;
  open_all(&f);
  append(f.own, 1, 3000, FALSE); /* several segments */
  ck_assert(wal_sync(f.own, NULL));
  guint64 behind = 1;
  mem_disk_fail(f.disk, MEM_PREAD, 0, EIO, 0);
  g_autoptr(EntryRun) run = log_work_read(f.own, 300, 10, 10000, &behind, NULL);
  ck_assert_ptr_nonnull(run);
  ck_assert_uint_eq(behind, 0);
  const MemCall calls[] = {MEM_PREAD, MEM_OPEN};
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    mem_disk_keep_failing(f.disk, calls[i], EIO);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(log_work_read(f.own, 300, 10, 10000, &behind, &error));
    ck_assert_int_eq(error->code, SYNCLOG_INTERNAL); /* the start goes by the code */
    ck_assert_uint_gt(behind, 300);
    ck_assert_uint_lt(behind, 3000);
    mem_disk_keep_failing(f.disk, calls[i], 0);
  }
  mem_disk_keep_failing(f.disk, MEM_OPEN, EMFILE); /* says nothing of the log */
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(log_work_read(f.own, 300, 10, 10000, &behind, &error));
  ck_assert_uint_eq(behind, 0);
  mem_disk_keep_failing(f.disk, MEM_OPEN, 0);
  close_all(&f);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {p1_a_former_own_log_is_synced_before_another_begins,
                                p8_no_incarnation_begins_behind_a_failed_sync,
                                p4_a_log_that_was_cut_is_given_up_whatever_fails,
                                p4_an_incarnation_without_descriptors_is_begun_later,
                                p4_unclean_is_told_only_once_it_is_durable,
                                p8_a_new_mirror_without_descriptors_is_made_later,
                                p6_what_the_disk_does_not_give_is_told_as_damage};
  return RUN_SUITE("log_work", tests);
}
