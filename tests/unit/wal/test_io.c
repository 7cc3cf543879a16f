/* The same log over the kernel's files. */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"

#include "wal/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>

static char *make_dir(void)
{
  g_autoptr(GError) error = NULL;
  char *dir = g_dir_make_tmp("synclog-wal-XXXXXX", &error);
  ck_assert_no_error(error);
  return dir;
}

static void remove_tree(const char *path)
{
  GDir *dir = g_dir_open(path, 0, NULL);
  if (dir != NULL) {
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
      g_autofree char *inner = g_build_filename(path, name, NULL);
      remove_tree(inner);
    }
    g_dir_close(dir);
  }
  ck_assert_int_eq(g_remove(path), 0);
}

START_TEST(test_log_on_disk)
{
  g_autofree char *root = make_dir();
  g_autofree char *directory = g_build_filename(root, "a", "b", "7-1", NULL);
  WalOptions options = {directory, test_log, 100000, NULL, FALSE, FALSE};
  WalRecovery recovery;
  for (guint64 round = 0; round < 4; round++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Wal) wal = wal_open(&options, &recovery, &error);
    ck_assert_no_error(error);
    ck_assert_int_eq(recovery.verdict, WAL_CLEAN);
    wal_recovery_clear(&recovery);
    for (guint64 i = 0; i < 100; i += 10) {
      test_append(wal, round * 100 + i + 1, 10, 3000);
      test_sync(wal);
    }
    test_check_log(wal, 1, round * 100 + 100, 3000);
  }
  g_autoptr(Wal) wal = wal_open(&options, &recovery, NULL);
  wal_recovery_clear(&recovery);
  ck_assert(wal_trim(wal, 200, NULL));
  ck_assert(wal_cut(wal, 350, NULL));
  guint64 first = wal_first_index(wal);
  wal_close(g_steal_pointer(&wal));
  wal = wal_open(&options, &recovery, NULL);
  wal_recovery_clear(&recovery);
  test_check_log(wal, first, 349, 3000);
  ck_assert(wal_reset(wal, NULL));
  wal_close(g_steal_pointer(&wal));
  remove_tree(root);
}
END_TEST

START_TEST(test_failures_carry_errno)
{
  g_autofree char *root = make_dir();
  g_autofree char *missing = g_build_filename(root, "missing", NULL);
  g_autofree char *file = g_build_filename(root, "file", NULL);
  ck_assert(g_file_set_contents(file, "x", 1, NULL));
  const WalIo *io = wal_io_system();
  ck_assert_int_eq(io->open(io->ctx, missing, O_RDONLY, 0), -1);
  ck_assert_int_eq(errno, ENOENT);
  ck_assert_ptr_null(io->list(io->ctx, missing));
  ck_assert_int_eq(errno, ENOENT);
  ck_assert_ptr_null(io->list(io->ctx, file));
  ck_assert_int_eq(errno, ENOTDIR);
  ck_assert_int_eq(io->mkdir(io->ctx, root, 0700), -1);
  ck_assert_int_eq(errno, EEXIST);
  ck_assert_int_eq((int)io->size(io->ctx, -1), -1);
  ck_assert_int_eq(errno, EBADF);
  ck_assert_int_eq(io->fdatasync(io->ctx, -1), -1);
  ck_assert_int_eq(errno, EBADF);

  WalOptions options = {file, test_log, 100000, NULL, FALSE, FALSE};
  WalRecovery recovery;
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(wal_open(&options, &recovery, &error));
  ck_assert_error(error, SYNCLOG_INTERNAL);
  remove_tree(root);
}
END_TEST

START_TEST(test_file_helpers)
{
  g_autofree char *root = make_dir();
  g_autofree char *path = g_build_filename(root, "x", NULL);
  const WalIo *io = wal_io_system();
  g_auto(WalFile) file = WAL_FILE_NONE;
  g_autoptr(GError) error = NULL;
  ck_assert(!wal_file_open(io, path, O_RDONLY, &file, &error));
  ck_assert_error(error, SYNCLOG_INVALID);
  ck_assert(wal_file_open(io, path, O_RDWR | O_CREAT, &file, NULL));
  ck_assert_uint_eq(wal_file_write_zeros(&file, 3000000, 10), 3000000);
  ck_assert_int_eq((int)io->size(io->ctx, file.fd), 3000010);
  ck_assert_uint_eq(wal_file_write(&file, "abc", 3, 3000009), 3);
  char buffer[10];
  ck_assert_int_eq((int)wal_file_read(&file, buffer, 10, 3000008), 4);
  ck_assert_mem_eq(buffer, "\0abc", 4);
  wal_file_close(&file);
  ck_assert_int_eq(file.fd, -1);
  remove_tree(root);
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal io");
  const TTest *tests[] = {test_log_on_disk, test_failures_carry_errno, test_file_helpers};
  test_add(suite, "kernel", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
