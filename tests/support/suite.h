/*
 * The main() of a test binary: runs a list of Check tests, returns 0 when all pass.
 */
#pragma once

#include <check.h>
#include <glib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* How many random histories, of so many in all. What a history finds by its dice is found by the
 * plain build: it plays a third of them, and all of them with TEST_HISTORIES=all, as `make
 * check-long` does. A sanitizer looks at each path of the code, and an eighth has them all. The
 * same for other things that are only done often. */
static inline guint histories_of(guint all)
{
  if (SANITIZED)
    return (all + 7) / 8;
  return g_strcmp0(g_getenv("TEST_HISTORIES"), "all") == 0 ? all : (all + 2) / 3;
}

#define HISTORIES(all) histories_of(all)

/* As ck_assert and ck_assert_msg, for inner loops: Check writes to a pipe for each of its own. */
#define fast_assert(condition)                                                                     \
  do {                                                                                             \
    if (G_UNLIKELY(!(condition)))                                                                  \
      ck_abort_msg("%s", #condition);                                                              \
  } while (0)

#define fast_assert_msg(condition, ...)                                                            \
  do {                                                                                             \
    if (G_UNLIKELY(!(condition)))                                                                  \
      ck_abort_msg(__VA_ARGS__);                                                                   \
  } while (0)

static inline int run_suite(const char *name, const TTest *const *tests, guint count)
{
  Suite *suite = suite_create(name);
  TCase *cases = tcase_create(name);
  tcase_set_timeout(cases, 120);
  for (guint i = 0; i < count; i++)
    tcase_add_test(cases, tests[i]);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}

#define RUN_SUITE(name, tests) run_suite(name, tests, G_N_ELEMENTS(tests))
