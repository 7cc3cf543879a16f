#include "base/limits.h"
#include "node/file_shares.h"
#include "support/suite.h"

#include <sys/resource.h>

/* Whatever the limit: both servers serve somebody, and half of a small limit is not theirs. */
START_TEST(p7_connections_leave_files_to_the_node)
{
  static const guint wanted[] = {1, 2, 20, 10000, 1000000};
  for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
    for (guint64 limit = 8; limit < 5000000; limit += 1 + limit / 7) {
      FileShares shares = file_shares(limit, wanted[i], limit % 2 == 0, 0);
      guint64 own = MIN(limit / 2, LIMIT_OWN_FILES);
      ck_assert_uint_ge(shares.clients, 1);
      ck_assert_uint_ge(shares.peers, 1);
      ck_assert_uint_le(shares.clients, wanted[i]);
      ck_assert_uint_le(shares.peers, wanted[i]);
      ck_assert_uint_eq(shares.http > 0, limit % 2 == 0);
      ck_assert_uint_le(shares.http, LIMIT_HTTP_CONNECTIONS);
      ck_assert_uint_le((guint64)shares.clients + shares.peers + shares.http + own, limit);
      ck_assert_uint_ge(shares.store, 1);
      ck_assert_uint_le(shares.store, own / 2);
    }
}
END_TEST

START_TEST(a_large_limit_gives_all_that_is_wanted)
{
  FileShares shares = file_shares(65536, 10000, TRUE, 0);
  ck_assert_uint_eq(shares.clients, 10000);
  ck_assert_uint_eq(shares.peers, 10000);
  ck_assert_uint_eq(shares.http, LIMIT_HTTP_CONNECTIONS);
  ck_assert_uint_eq(shares.store, LIMIT_OWN_FILES / 2);
}
END_TEST

START_TEST(the_soft_limit_is_raised_up_to_the_hard_one)
{
  struct rlimit files = {.rlim_cur = 128, .rlim_max = 512};
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
  ck_assert_uint_eq(file_limit_raise(10000, TRUE, 0), 512);
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
  ck_assert_uint_eq(files.rlim_cur, 512);
  ck_assert_uint_eq(file_limit_raise(1, FALSE, 0), 512);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {p7_connections_leave_files_to_the_node,
                                a_large_limit_gives_all_that_is_wanted,
                                the_soft_limit_is_raised_up_to_the_hard_one};
  return RUN_SUITE("file_shares", tests);
}
