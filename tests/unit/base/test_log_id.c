#include "base/limits.h"
#include "base/log_id.h"

#include <check.h>

START_TEST(test_order)
{
  const LogId ids[] = {{1, 5}, {1, 6}, {2, 1}, {2, G_MAXINT64}, {65535, 1}};
  for (gsize i = 0; i < G_N_ELEMENTS(ids); i++)
    for (gsize j = 0; j < G_N_ELEMENTS(ids); j++) {
      int order = log_id_compare(&ids[i], &ids[j]);
      ck_assert_int_eq(order < 0, i < j);
      ck_assert_int_eq(order > 0, i > j);
      ck_assert_int_eq(log_id_equal(ids[i], ids[j]), i == j);
    }
}
END_TEST

START_TEST(test_text)
{
  const LogId ids[] = {{1, 1}, {7, 1700000000000000}, {LIMIT_NODE_ID, G_MAXINT64}};
  for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
    char text[LOG_ID_TEXT_SIZE];
    LogId parsed = {0, 0};
    ck_assert(log_id_parse(log_id_format(ids[i], text), &parsed));
    ck_assert(log_id_equal(parsed, ids[i]));
  }
  char text[LOG_ID_TEXT_SIZE];
  ck_assert_str_eq(log_id_format(ids[1], text), "7-1700000000000000");
}
END_TEST

START_TEST(test_wrong_text)
{
  static const char *const texts[] = {"",
                                      "-",
                                      "7",
                                      "7-",
                                      "-7",
                                      "0-1",
                                      "1-0",
                                      "65536-1",
                                      "1-9223372036854775808",
                                      "1-2-3",
                                      "1--2",
                                      "01-2",
                                      "1-02",
                                      "+1-2",
                                      "1-+2",
                                      " 1-2",
                                      "1-2 ",
                                      "1 -2",
                                      "a-1",
                                      "1-a",
                                      "0x1-1",
                                      "1-1e3",
                                      "1.-1",
                                      "1_2",
                                      "4294967297-1"};
  for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
    LogId id = {42, 42};
    ck_assert_msg(!log_id_parse(texts[i], &id), "%s", texts[i]);
    ck_assert(log_id_equal(id, (LogId){42, 42}));
  }
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("log_id");
  TCase *cases = tcase_create("log_id");
  tcase_add_test(cases, test_order);
  tcase_add_test(cases, test_text);
  tcase_add_test(cases, test_wrong_text);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
