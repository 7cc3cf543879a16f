/* The sections [group.N]. */
#include "base/limits.h"
#include "node/config.h"
#include "support/suite.h"

#include <string.h>

#define HEAD "[node]\nid = 1\n[peer.2]\naddress = b:1\n[peer.3]\naddress = c:1\n"

static Config *parse_good(const char *text)
{
  g_autoptr(GError) error = NULL;
  Config *config = config_parse(text, strlen(text), "n.ini", &error);
  ck_assert_msg(config != NULL, "%s", error == NULL ? "no error" : error->message);
  return config;
}

static void refuse(const char *groups, const char *message)
{
  g_autofree char *text = g_strconcat(HEAD, groups, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(Config) config = config_parse(text, strlen(text), "n.ini", &error);
  ck_assert_msg(config == NULL, "taken: %s", groups);
  ck_assert_str_eq(error->message, message);
}

START_TEST(limits_are_those_of_the_other_sections)
{
  g_autoptr(Config) config =
      parse_good(HEAD "[group.7]\ndevices = b*\nthrottle_threshold = 64MiB\n"
                      "[wal]\nthrottle_threshold = 1GiB\nmax_queued_bytes = 1MiB\n"
                      "[group.3]\ndevices = a*, c\nmembers = 1, 3\n");
  ck_assert_uint_eq(config->groups->len, 2);
  const ConfigGroup *three = &g_array_index(config->groups, ConfigGroup, 0);
  const ConfigGroup *seven = &g_array_index(config->groups, ConfigGroup, 1);
  ck_assert_uint_eq(three->id, 3);
  ck_assert_uint_eq(seven->id, 7);
  ck_assert_uint_eq(three->throttle_threshold, G_GUINT64_CONSTANT(1) << 30);
  ck_assert_uint_eq(seven->throttle_threshold, 64 << 20);
  ck_assert_uint_eq(three->max_queued_bytes, 1 << 20);
  ck_assert_uint_eq(three->memtable_size, config->memtable_size);
  ck_assert_str_eq(three->devices, "a*, c");
  ck_assert(config_group_has(three, 1) && !config_group_has(three, 2) &&
            config_group_has(three, 3));
  ck_assert(config_group_has(seven, 2));
  ck_assert(config_find_group(config, 7) == seven && config_find_group(config, 1) == NULL);
}
END_TEST

START_TEST(print_reads_back_to_the_same)
{
  g_autoptr(Config) config =
      parse_good(HEAD "[group.2]\ndevices = a*,b\nmembers = 1\njoin = yes\n");
  g_autofree char *text = config_print(config);
  g_autoptr(Config) again = parse_good(text);
  g_autoptr(GPtrArray) changes = config_diff(config, again);
  ck_assert_uint_eq(changes->len, 0);
}
END_TEST

START_TEST(bad_ones_are_refused)
{
  refuse("[group.0]\ndevices = a\n", "n.ini:7: [group.0]: group 0 is always there, its keys are "
                                     "those of the other sections");
  refuse("[group.x]\ndevices = a\n", "n.ini:7: [group.x]: 'x' is not a group id (1 to 65535)");
  refuse("[group.65536]\ndevices = a\n",
         "n.ini:7: [group.65536]: '65536' is not a group id (1 to 65535)");
  refuse("[group.1]\n", "n.ini:7: [group.1]: 'devices' is missing");
  refuse("[group.1]\ndevices = a\nlimit = 3\n", "n.ini:9: [group.1] limit: unknown key of a group");
  refuse("[group.1]\ndevices = a\n[group.1]\ndevices = b\n",
         "n.ini:9: [group.1] is there twice, first in line 7");
  refuse("[group.1]\ndevices = a*\n[group.2]\ndevices = b, a*\n",
         "n.ini:10: [group.2] devices: the pattern 'a*' is that of group 1 already");
  refuse("[group.1]\ndevices = *\n",
         "n.ini:8: [group.1] devices: '*' stands for all devices: those are group 0's");
  refuse("[group.1]\ndevices = a*b\n",
         "n.ini:8: [group.1] devices: 'a*b': a '*' may only be at the end");
  refuse("[group.1]\ndevices = a,,b\n", "n.ini:8: [group.1] devices: an empty pattern");
  refuse("[group.1]\ndevices = a\nmembers = 1,4\n",
         "n.ini:9: [group.1] members: node 4 is neither this one nor is there a [peer.4]");
  refuse("[group.1]\ndevices = a\nmembers = 1,1\n",
         "n.ini:9: [group.1] members: node 1 is there twice");
  refuse("[group.1]\ndevices = a\nmembers = x\n",
         "n.ini:9: [group.1] members: 'x' is not a node id");
  refuse("[group.1]\ndevices = a\nthrottle_threshold = 1MiB\n",
         "n.ini:9: [group.1] throttle_threshold: must not be less than wal_segment_size");
}
END_TEST

START_TEST(most_groups)
{
  g_autoptr(GString) text = g_string_new(HEAD "[limits]\nmax_memory_in_flight = 2GiB\n");
  for (guint i = 1; i <= LIMIT_GROUPS; i++)
    g_string_append_printf(text, "[group.%u]\ndevices = d%u.*\n", i, i);
  g_autoptr(Config) config = parse_good(text->str);
  ck_assert_uint_eq(config->groups->len, LIMIT_GROUPS);
  g_string_append(text, "[group.999]\ndevices = x\n");
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(config_parse(text->str, text->len, "n.ini", &error));
  ck_assert_str_eq(error->message, "n.ini:137: [group.999]: more than 64 groups beside group 0");
}
END_TEST

START_TEST(each_group_has_room_for_a_request)
{
  g_autoptr(GString) text = g_string_new(HEAD);
  for (guint i = 1; i <= 15; i++)
    g_string_append_printf(text, "[group.%u]\ndevices = d%u.*\n", i, i);
  g_autoptr(Config) config = parse_good(text->str);
  g_string_append(text, "[group.16]\ndevices = x\n");
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(config_parse(text->str, text->len, "n.ini", &error));
  ck_assert_str_eq(error->message, "n.ini: [limits] max_memory_in_flight: must be 272MiB at least "
                                   "with 17 groups (group 0 and each [group.N]): 16 MiB for each");
  g_string_append(text, "[limits]\nmax_memory_in_flight = 272MiB\n");
  g_autoptr(Config) more = parse_good(text->str);
}
END_TEST

START_TEST(reload_takes_new_ones_and_what_can_change)
{
  g_autoptr(Config) running = parse_good(HEAD "[group.1]\ndevices = a\nmemtable_size = 1MiB\n"
                                              "[group.2]\ndevices = b\n");
  g_autoptr(Config) fresh = parse_good(
      HEAD "[group.1]\ndevices = c\nmemtable_size = 2MiB\nmembers = 1\nthrottle_threshold = 1GiB\n"
           "[group.3]\ndevices = b\nmemtable_size = 3MiB\n");
  config_adopt(running, fresh);
  ck_assert_uint_eq(running->groups->len, 2);
  const ConfigGroup *one = config_find_group(running, 1), *three = config_find_group(running, 3);
  ck_assert_str_eq(one->devices, "c");
  ck_assert_uint_eq(one->throttle_threshold, 1 << 30);
  ck_assert_uint_eq(one->memtable_size, 1 << 20);
  ck_assert_str_eq(one->members, "");
  ck_assert_uint_eq(three->memtable_size, 3 << 20);
}
END_TEST

static gboolean fits_after_reload(const char *before, const char *after, GError **error)
{
  g_autoptr(Config) running = parse_good(before);
  g_autoptr(Config) fresh = parse_good(after);
  g_autoptr(Config) mixture = config_dup(running);
  config_adopt(mixture, fresh);
  g_autoptr(Config) copy = config_dup(mixture); /* of one that does not fit together as well */
  g_autofree char *text = config_print(mixture), *copied = config_print(copy);
  ck_assert_str_eq(copied, text);
  return config_check(mixture, "n.ini", error);
}

START_TEST(what_a_reload_mixes_is_checked)
{
  ck_assert(fits_after_reload(HEAD, HEAD "[group.1]\ndevices = a\nmembers = 1,2\n", NULL));
  g_autoptr(GError) error = NULL;
  ck_assert(!fits_after_reload(
      HEAD, HEAD "[peer.7]\naddress = n7:6669\n[group.1]\ndevices = a\nmembers = 1,7\n", &error));
  ck_assert_str_eq(error->message,
                   "n.ini: [group.1] members: node 7 is neither this one nor is there a [peer.7]");
  g_clear_error(&error);
  ck_assert(!fits_after_reload(
      HEAD, HEAD "[wal]\nwal_segment_size = 8MiB\nthrottle_threshold = 32MiB\n", &error));
  ck_assert_str_eq(error->message,
                   "n.ini: [wal] throttle_threshold: must not be less than wal_segment_size");
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {limits_are_those_of_the_other_sections,
                                print_reads_back_to_the_same,
                                bad_ones_are_refused,
                                most_groups,
                                each_group_has_room_for_a_request,
                                reload_takes_new_ones_and_what_can_change,
                                what_a_reload_mixes_is_checked};
  return RUN_SUITE("config_groups", tests);
}
