#include "base/group_rule.h"
#include "base/limits.h"
#include "rpc/write_builder.h"
#include "rpc/write_devices.h"
#include "support/suite.h"

#include <string.h>

static guint32 find(const GroupRule *rule, const char *device)
{
  return group_rule_find(rule, device, strlen(device));
}

static char *random_name(GRand *random, gint least)
{
  char *name = g_new0(char, 9);
  gint size = g_rand_int_range(random, least, 9);
  for (gint i = 0; i < size; i++)
    name[i] = (char)('a' + g_rand_int_range(random, 0, 2));
  return name;
}

START_TEST(the_closest_pattern_holds)
{
  g_autoptr(GroupRule) rule = group_rule_new();
  ck_assert(group_rule_is_empty(rule));
  ck_assert_uint_eq(find(rule, "plant"), 0);
  ck_assert(group_rule_add(rule, 1, "plant*, boiler", NULL));
  ck_assert(group_rule_add(rule, 2, "plant1.*,plant1.a.*", NULL));
  ck_assert(group_rule_add(rule, 3, " plant1.a , p* ", NULL));
  ck_assert(!group_rule_is_empty(rule));
  const struct {
    const char *device;
    guint32 group;
  } wanted[] = {{"plant", 1},    {"plant2", 1},    {"plant1.", 2}, {"plant1.b", 2},
                {"plant1.a", 3}, {"plant1.ab", 2}, {"pump", 3},    {"boiler", 1},
                {"boiler2", 0},  {"boile", 0},     {"", 0},        {"plant1.a.x", 2},
                {"Plant1.a", 0}};
  for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
    ck_assert_msg(find(rule, wanted[i].device) == wanted[i].group, "%s: %u", wanted[i].device,
                  find(rule, wanted[i].device));
  ck_assert_uint_eq(group_rule_find(rule, "boiler2", 6), 1); /* the size counts, not a zero */
}
END_TEST

START_TEST(the_number_of_patterns_is_bounded)
{
  g_autoptr(GroupRule) rule = group_rule_new();
  g_autoptr(GError) error = NULL;
  for (guint i = 0; i < LIMIT_PATTERNS; i++) {
    g_autofree char *text = g_strdup_printf("d%u*", i);
    ck_assert(group_rule_add(rule, 1 + i % 5, text, NULL));
  }
  ck_assert(!group_rule_add(rule, 1, "x", &error));
  ck_assert_str_eq(error->message, "more than 1024 patterns");
  ck_assert_uint_eq(find(rule, "d1023.a"), 1 + 1023 % 5);
  ck_assert_uint_eq(find(rule, "d102.a"), 1 + 102 % 5);
}
END_TEST

/* Against the plain way of finding it, with names and patterns that begin with each other. */
START_TEST(any_rule_gives_what_its_words_say)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  for (guint round = 0; round < 200; round++) {
    g_autoptr(GroupRule) rule = group_rule_new();
    g_autoptr(GPtrArray) patterns = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(guint32));
    guint count = (guint)g_rand_int_range(random, 0, 30);
    for (guint i = 0; i < count; i++) {
      g_autofree char *text = random_name(random, 1);
      g_autofree char *pattern = g_strconcat(text, g_rand_boolean(random) ? "*" : "", NULL);
      guint32 group = (guint32)g_rand_int_range(random, 1, 5);
      if (!group_rule_add(rule, group, pattern, NULL))
        continue;
      g_ptr_array_add(patterns, g_steal_pointer(&pattern));
      g_array_append_val(groups, group);
    }
    for (guint i = 0; i < 100; i++) {
      g_autofree char *device = random_name(random, 0);
      gsize best = 0;
      guint32 wanted = 0;
      for (guint k = 0; k < patterns->len; k++) {
        const char *pattern = patterns->pdata[k];
        gsize size = strlen(pattern);
        gboolean whole = pattern[size - 1] != '*';
        gsize value = whole ? G_MAXSIZE : size;
        if ((whole ? strcmp(pattern, device) : strncmp(pattern, device, size - 1)) == 0 &&
            value > best) {
          best = value;
          wanted = g_array_index(groups, guint32, k);
        }
      }
      ck_assert_msg(find(rule, device) == wanted, "%s: %u, not %u", device, find(rule, device),
                    wanted);
    }
  }
}
END_TEST

START_TEST(equal_rules_have_the_same_hash)
{
  g_autoptr(GroupRule) none = group_rule_new(), one = group_rule_new(), same = group_rule_new();
  g_autoptr(GroupRule) name = group_rule_new(), group = group_rule_new();
  group_rule_add(one, 1, "plant1.*, a", NULL);
  group_rule_add(one, 2, "plant2.*", NULL);
  group_rule_add(same, 2, " plant2.* ", NULL);
  group_rule_add(same, 1, "a,plant1.*", NULL);
  group_rule_add(name, 1, "plant1.*, a*", NULL);
  group_rule_add(name, 2, "plant2.*", NULL);
  group_rule_add(group, 3, "plant1.*, a", NULL);
  group_rule_add(group, 2, "plant2.*", NULL);
  ck_assert_uint_eq(group_rule_hash(one), group_rule_hash(same));
  ck_assert_uint_ne(group_rule_hash(one), group_rule_hash(name));
  ck_assert_uint_ne(group_rule_hash(one), group_rule_hash(group));
  ck_assert_uint_ne(group_rule_hash(one), group_rule_hash(none));
  /* Nodes of other versions say the same. */
  ck_assert_uint_eq(group_rule_hash(none), G_GUINT64_CONSTANT(0x71d862214c7e0e0a));
}
END_TEST

/* --- the devices of a write --- */

static gboolean note(gpointer ctx, gboolean deletes, const char *device, gsize size)
{
  GString *names = ctx;
  g_string_append(names, deletes ? "-" : "");
  g_string_append_len(names, device, (gssize)size);
  g_string_append_c(names, ' ');
  return strstr(names->str, "stop") == NULL;
}

static GByteArray *sample(void)
{
  g_autoptr(WriteBuilder) builder = write_builder_new();
  const char *measurements[] = {"m", "n", NULL};
  write_builder_delete(builder, "gone", measurements, 1, 2);
  write_builder_delete(builder, "all", NULL, 1, 2);
  Value values[] = {{.type = DATA_INT64, .int64 = 7}, {.type = DATA_DOUBLE, .float64 = 1.5}};
  write_builder_row(builder, "row1", 1, measurements, values, 2);
  write_builder_row(builder, "row2", 1, measurements, values, 1);
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
  g_autoptr(GPtrArray) columns = g_ptr_array_new();
  write_builder_tablet(builder, "tablet", times, columns);
  write_builder_key(builder, "key");
  GByteArray *bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  return bytes;
}

START_TEST(every_part_of_a_write_tells_its_device)
{
  g_autoptr(GByteArray) bytes = sample();
  g_autoptr(GString) names = g_string_new(NULL);
  ck_assert(write_devices(bytes->data, bytes->len, note, names));
  ck_assert_str_eq(names->str, "-gone -all row1 row2 tablet ");
  g_autoptr(WriteBuilder) builder = write_builder_new();
  write_builder_delete(builder, "stop", NULL, 1, 2);
  write_builder_delete(builder, "behind", NULL, 1, 2);
  g_autoptr(GByteArray) more = g_byte_array_new();
  write_builder_encode(builder, more);
  g_string_set_size(names, 0);
  ck_assert(!write_devices(more->data, more->len, note, names));
  ck_assert_str_eq(names->str, "-stop ");
}
END_TEST

START_TEST(bytes_that_are_no_write_end_it)
{
  g_autoptr(GByteArray) bytes = sample();
  for (guint size = 0; size < bytes->len; size++) {
    g_autofree guint8 *cut = g_memdup2(bytes->data, size);
    g_autoptr(GString) names = g_string_new(NULL);
    ck_assert(write_devices(cut, size, note, names));
  }
  for (guint i = 0; i < bytes->len; i++) {
    g_autofree guint8 *other = g_memdup2(bytes->data, bytes->len);
    other[i] ^= 0xff;
    g_autoptr(GString) names = g_string_new(NULL);
    write_devices(other, bytes->len, note, names);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {the_closest_pattern_holds,
                                the_number_of_patterns_is_bounded,
                                any_rule_gives_what_its_words_say,
                                equal_rules_have_the_same_hash,
                                every_part_of_a_write_tells_its_device,
                                bytes_that_are_no_write_end_it};
  return RUN_SUITE("group_rule", tests);
}
