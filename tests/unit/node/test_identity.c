/* node.ini and its copy. */
#include "node/identity.h"

#include "base/limits.h"

#include "support/suite.h"

#include <glib/gstdio.h>
#include <string.h>

static char *directory;

static void make_directory(void)
{
  directory = g_dir_make_tmp("identity-XXXXXX", NULL);
  g_assert(directory != NULL);
}

static void remove_directory(void)
{
  static const char *const names[] = {"node.ini", "node.ini.copy", "lock"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_build_filename(directory, names[i], NULL);
    g_remove(path);
  }
  ck_assert_int_eq(g_rmdir(directory), 0); /* and nothing else is in it */
  g_clear_pointer(&directory, g_free);
}

static Identity *reopen(GError **error)
{
  return identity_open(directory, 7, "c1", "ms", error);
}

static Identity *begun(void)
{
  Identity *identity = reopen(NULL);
  ck_assert_ptr_nonnull(identity);
  ck_assert(identity_begin_incarnation(identity, 1000, NULL));
  return identity;
}

static void damage(const char *name, gsize at)
{
  g_autofree char *path = g_build_filename(directory, name, NULL);
  g_autofree char *text = NULL;
  gsize size;
  ck_assert(g_file_get_contents(path, &text, &size, NULL));
  text[at % size] ^= 1;
  ck_assert(g_file_set_contents(path, text, (gssize)size, NULL));
}

START_TEST(all_is_there_after_reopening)
{
  make_directory();
  Identity *identity = begun();
  ck_assert(identity_set_clock_bound(identity, 5000, NULL));
  ck_assert(identity_set_clock_bound(identity, 4000, NULL)); /* never goes back */
  g_autoptr(GPtrArray) members = member_list_new();
  member_list_add(members, 3, MEMBER_ACTIVE, "host-3:7671");
  member_list_add(members, 9, MEMBER_LOST, NULL);
  ck_assert(identity_set_members(identity, members, 5, NULL));
  g_autoptr(GPtrArray) older = member_list_new();
  ck_assert(identity_set_members(identity, older, 4, NULL)); /* not kept */
  ck_assert(identity_set_clean(identity, FALSE, NULL));
  Token first = {.log = {2, G_MAXINT64}, .index = 5}, second = {.log = {7, 1}, .index = G_MAXINT64};
  ck_assert(identity_skip(identity, &first, NULL));
  ck_assert(identity_skip(identity, &second, NULL));
  ck_assert(identity_skip(identity, &first, NULL));
  identity_free(identity);
  g_autoptr(Identity) again = reopen(NULL);
  ck_assert_uint_eq(again->incarnation, 1000);
  ck_assert_uint_eq(again->clock_bound, 5000);
  ck_assert(!again->clean);
  ck_assert(!again->copied);
  ck_assert_uint_eq(again->members->len, 2);
  const Member *there = member_list_find(again->members, 3);
  ck_assert_int_eq(there->state, MEMBER_ACTIVE);
  ck_assert_str_eq(there->address, "host-3:7671");
  const Member *lost = member_list_find(again->members, 9);
  ck_assert_int_eq(lost->state, MEMBER_LOST);
  ck_assert_ptr_null(lost->address);
  g_autoptr(GArray) skipped = identity_skipped(again);
  ck_assert_uint_eq(skipped->len, 2);
  ck_assert(identity_skips(again, first.log, 5) && identity_skips(again, second.log, G_MAXINT64));
  ck_assert(!identity_skips(again, first.log, 6) && !identity_skips(again, second.log, 5));
  ck_assert(identity_begin_incarnation(again, 10, NULL));
  ck_assert_uint_eq(again->incarnation, 1001); /* later than any before */
  remove_directory();
}
END_TEST

/* Each bit of one copy may flip: the other one is good, and mends it. */
START_TEST(one_bad_copy_is_mended)
{
  make_directory();
  identity_free(begun());
  g_autofree char *path = g_build_filename(directory, "node.ini", NULL);
  g_autofree char *text = NULL;
  gsize size;
  ck_assert(g_file_get_contents(path, &text, &size, NULL));
  for (gsize at = 0; at < size; at++) {
    damage(at % 2 == 0 ? "node.ini" : "node.ini.copy", at);
    g_autoptr(GError) error = NULL;
    g_autoptr(Identity) identity = reopen(&error);
    ck_assert_msg(identity != NULL, "byte %zu: %s", at, error != NULL ? error->message : "");
    ck_assert_uint_eq(identity->incarnation, 1000);
  }
  remove_directory();
}
END_TEST

START_TEST(what_is_left_out_is_bounded)
{
  make_directory();
  Identity *identity = begun();
  for (guint i = 1; i <= LIMIT_SKIPPED; i++)
    ck_assert(identity_skip(identity, &(Token){.log = {65535, G_MAXINT64}, .index = G_MAXINT64 - i},
                            NULL));
  g_autoptr(GError) error = NULL;
  ck_assert(!identity_skip(identity, &(Token){.log = {1, 1}, .index = 1}, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  ck_assert(!identity_skips(identity, (LogId){1, 1}, 1));
  identity_free(identity);
  g_autoptr(Identity) again = reopen(NULL); /* so much fits into the file */
  g_autoptr(GArray) skipped = identity_skipped(again);
  ck_assert_uint_eq(skipped->len, LIMIT_SKIPPED);
  remove_directory();
}
END_TEST

START_TEST(two_bad_copies_are_refused)
{
  make_directory();
  identity_free(begun());
  damage("node.ini", 60);
  damage("node.ini.copy", 60);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(reopen(&error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  ck_assert_ptr_nonnull(strstr(error->message, "node.ini"));
  remove_directory();
}
END_TEST

START_TEST(the_newer_copy_counts)
{
  make_directory();
  Identity *identity = begun();
  g_autofree char *path = g_build_filename(directory, "node.ini", NULL);
  g_autofree char *old = NULL;
  gsize size;
  ck_assert(g_file_get_contents(path, &old, &size, NULL));
  ck_assert(identity_begin_incarnation(identity, 2000, NULL));
  identity_free(identity);
  ck_assert(g_file_set_contents(path, old, (gssize)size, NULL));
  g_autoptr(Identity) again = reopen(NULL);
  ck_assert_uint_eq(again->incarnation, 2000);
  remove_directory();
}
END_TEST

START_TEST(a_copied_directory_is_noticed)
{
  make_directory();
  identity_free(begun());
  char *original = g_steal_pointer(&directory);
  make_directory();
  static const char *const names[] = {"node.ini", "node.ini.copy"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *from = g_build_filename(original, names[i], NULL);
    g_autofree char *to = g_build_filename(directory, names[i], NULL);
    g_autofree char *text = NULL;
    gsize size;
    ck_assert(g_file_get_contents(from, &text, &size, NULL));
    ck_assert(g_file_set_contents(to, text, (gssize)size, NULL));
  }
  Identity *copy = reopen(NULL);
  ck_assert(copy->copied);
  ck_assert(identity_begin_incarnation(copy, 3000, NULL));
  identity_free(copy);
  copy = reopen(NULL);
  ck_assert(!copy->copied);
  identity_free(copy);
  remove_directory();
  directory = original;
  remove_directory();
}
END_TEST

START_TEST(another_node_is_refused)
{
  make_directory();
  identity_free(begun());
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(identity_open(directory, 8, "c1", "ms", &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  remove_directory();
}
END_TEST

/* What is written can be read again. */
START_TEST(nothing_follows_the_last_incarnation)
{
  make_directory();
  Identity *identity = begun();
  ck_assert(identity_begin_incarnation(identity, G_MAXINT64, NULL));
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GError) error = NULL;
    ck_assert_uint_eq(identity->incarnation, G_MAXINT64);
    ck_assert(!identity_begin_incarnation(identity, 3000, &error));
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
    identity_free(identity);
    identity = reopen(NULL);
    ck_assert_ptr_nonnull(identity);
  }
  identity_free(identity);
  remove_directory();
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {all_is_there_after_reopening, what_is_left_out_is_bounded,
                                one_bad_copy_is_mended,       two_bad_copies_are_refused,
                                the_newer_copy_counts,        a_copied_directory_is_noticed,
                                another_node_is_refused,      nothing_follows_the_last_incarnation};
  return RUN_SUITE("identity", tests);
}
