#include "http/series_name.h"
#include "support/suite.h"

static char *put(const char *head, SeriesTag *tags, guint count)
{
  GString *out = g_string_new(NULL);
  ck_assert(series_name_put(out, head, tags, count));
  return g_string_free(out, FALSE);
}

static void check_round(const char *head, const char *key, const char *value)
{
  SeriesTag tags[] = {{"z", "1"}, {key, value}};
  g_autofree char *name = put(head, tags, 2);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *back = series_name_split(name, found);
  ck_assert_str_eq(back, head);
  ck_assert_uint_eq(found->len, 4);
  for (guint i = 0; i < 2; i++) {
    ck_assert_str_eq(found->pdata[2 * i], tags[i].key);
    ck_assert_str_eq(found->pdata[2 * i + 1], tags[i].value);
  }
}

START_TEST(a_name_is_taken_apart_as_it_was_made)
{
  static const char *const parts[] = {"a",   "a b", "a,b",  "a=b",   "\\",
                                      "a\\", "\\,", "\\\\", "C:\\d", "=,\\="};
  for (guint h = 0; h < G_N_ELEMENTS(parts); h++)
    for (guint k = 0; k < G_N_ELEMENTS(parts); k++)
      for (guint v = 0; v < G_N_ELEMENTS(parts); v++)
        check_round(parts[h], parts[k], parts[v]);
}
END_TEST

START_TEST(tags_have_one_order)
{
  SeriesTag tags[] = {{"b", "2"}, {"a", "1"}};
  g_autofree char *name = put("m", tags, 2);
  ck_assert_str_eq(name, "m,a=1,b=2");
  SeriesTag twice[] = {{"b", "2"}, {"a", "1"}, {"b", "3"}};
  g_autoptr(GString) out = g_string_new("x");
  ck_assert(!series_name_put(out, "m", twice, 3));
  ck_assert_str_eq(out->str, "x");
}
END_TEST

START_TEST(other_names_are_all_head)
{
  static const char *const names[] = {"plant1.boiler", "a,b",     "a,=1", "a,b=",  "a=b",
                                      "a,b=c,",        "a,b=c=d", ",b=c", "a,,b=c"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(GPtrArray) tags = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *head = series_name_split(names[i], tags);
    ck_assert_str_eq(head, names[i]);
    ck_assert_uint_eq(tags->len, 0);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_name_is_taken_apart_as_it_was_made, tags_have_one_order,
                                other_names_are_all_head};
  return RUN_SUITE("series_name", tests);
}
