/* The last incarnation that there can be: nothing is written that could not be read again. */
#include "node/identity.h"
#include "support/suite.h"

#include <glib/gstdio.h>

START_TEST(no_incarnation_follows_the_last)
{
  g_autofree char *directory = g_dir_make_tmp("test-identity-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(directory, "node.ini", NULL);
  g_autofree char *lock = g_build_filename(directory, "lock", NULL);
  g_autofree char *text = g_strdup_printf("[node]\nid=1\ncluster=c\ntime_precision=ms\n"
                                          "incarnation=%" G_GINT64_FORMAT "\nclean=true\n",
                                          G_MAXINT64);
  ck_assert(g_file_set_contents(path, text, -1, NULL));
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Identity) identity = identity_open(directory, 1, "c", "ms", &error);
    ck_assert_msg(identity != NULL, "%s", error != NULL ? error->message : "");
    ck_assert(!identity_begin_incarnation(identity, 1700000000000000, &error));
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
    ck_assert_uint_eq(identity->incarnation, G_MAXINT64);
  }
  ck_assert_int_eq(g_unlink(path) + g_unlink(lock) + g_rmdir(directory), 0);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {no_incarnation_follows_the_last};
  return RUN_SUITE("identity", tests);
}
