#include "node/config.h"

#include "base/limits.h"
#include "node/config_table.h"
#include "support/suite.h"

#include <glib/gstdio.h>
#include <string.h>

static Config *parse(const char *text, GError **error)
{
  return config_parse(text, strlen(text), "n.ini", error);
}

static Config *parse_good(const char *text)
{
  g_autoptr(GError) error = NULL;
  Config *config = parse(text, &error);
  ck_assert_msg(config != NULL, "%s", error == NULL ? "no error" : error->message);
  return config;
}

/* The text must be refused with exactly this message. */
static void refuse(const char *text, const char *message)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Config) config = parse(text, &error);
  ck_assert_msg(config == NULL, "taken: %s", text);
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  ck_assert_str_eq(error->message, message);
}

/* Section and line of one key, behind a valid id. */
static void refuse_value(const char *section, const char *line, const char *reason)
{
  g_autofree char *text = g_strdup_printf("[node]\nid = 1\n[%s]\n%s\n", section, line);
  const char *equals = strstr(line, " =");
  g_autofree char *key = g_strndup(line, (gsize)(equals - line));
  g_autofree char *message = g_strdup_printf("n.ini:4: [%s] %s: %s", section, key, reason);
  refuse(text, message);
}

static Config *with(const char *section, const char *line)
{
  g_autofree char *text = g_strdup_printf("[node]\nid = 1\n[%s]\n%s\n", section, line);
  return parse_good(text);
}

START_TEST(defaults_are_those_of_the_table)
{
  g_autoptr(Config) config = parse_good("[node]\nid = 7\n");
  ck_assert_uint_eq(config->node_id, 7);
  ck_assert_str_eq(config->data_dir, "/var/lib/synclogd");
  ck_assert_str_eq(config->cluster_id, "synclog");
  ck_assert_str_eq(config->client_listen, "127.0.0.1:7670");
  ck_assert_str_eq(config->replication_listen, "127.0.0.1:7671");
  ck_assert_uint_eq(config->max_pending_batch, 5);
  ck_assert_int_eq(config->basic_retry_wait_ms, 100);
  ck_assert_int_eq(config->max_retry_wait_ms, 20000);
  ck_assert_int_eq(config->idle_timeout_ms, 600000);
  ck_assert_uint_eq(config->wal_segment_size, 64 * 1024 * 1024);
  ck_assert_uint_eq(config->throttle_threshold, G_GUINT64_CONSTANT(50) << 30);
  ck_assert_int_eq(config->wal_sync, CONFIG_WAL_SYNC_GROUP);
  ck_assert_int_eq(config->time_precision, CONFIG_TIME_MS);
  ck_assert_int_eq(config->log_level, LOG_LEVEL_INFO);
  ck_assert_uint_eq(config->max_frame_size, LIMIT_FRAME_SIZE);
  ck_assert_uint_eq(config->peers->len, 0);
}
END_TEST

/* A default that is not written as config_get would write it could never be seen as one. */
START_TEST(every_default_is_valid_and_canonical)
{
  guint count;
  const ConfigKey *keys = config_keys(&count);
  g_autoptr(Config) config = config_defaults();
  for (guint i = 0; i < count; i++) {
    if (keys[i].default_text == NULL)
      continue;
    g_autofree char *text = config_get(config, &keys[i]);
    ck_assert_str_eq(text, keys[i].default_text);
    ck_assert(config_is_default(config, &keys[i]));
  }
}
END_TEST

START_TEST(every_bound_is_enforced)
{
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++) {
    const ConfigKey *key = &keys[i];
    if (key->type != CONFIG_COUNT && key->type != CONFIG_SIZE && key->type != CONFIG_DURATION)
      continue;
    g_autoptr(Config) config = config_defaults();
    g_autofree char *least = config_bound_text(key, key->minimum);
    g_autofree char *most = config_bound_text(key, key->maximum);
    g_autofree char *more = config_bound_text(key, key->maximum + 1);
    ck_assert_msg(config_set(config, key, least, NULL), "%s %s", key->key, least);
    ck_assert_msg(config_set(config, key, most, NULL), "%s %s", key->key, most);
    g_autofree char *kept = config_get(config, key);
    ck_assert_str_eq(kept, most);
    ck_assert_msg(!config_set(config, key, more, NULL), "%s %s", key->key, more);
    if (key->minimum == 0)
      continue;
    g_autofree char *less = config_bound_text(key, key->minimum - 1);
    ck_assert_msg(!config_set(config, key, less, NULL), "%s %s", key->key, less);
  }
}
END_TEST

START_TEST(sizes_have_units)
{
  const struct {
    const char *text;
    guint64 bytes;
  } cases[] = {{"65536", 65536},   {"65536B", 65536},  {"64KiB", 65536},
               {"3 MiB", 3 << 20}, {"1GiB", 1u << 30}, {"1025KiB", 1025 * 1024}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *line = g_strdup_printf("wal_segment_size = %s", cases[i].text);
    g_autoptr(Config) config = with("wal", line);
    ck_assert_uint_eq(config->wal_segment_size, cases[i].bytes);
  }
  refuse_value("wal", "wal_segment_size = 64MB",
               "'64MB' has no unit of bytes (B, KiB, MiB, GiB, TiB)");
  refuse_value("wal", "wal_segment_size = -1", "'-1' is not a number");
  refuse_value("wal", "wal_segment_size = ", "'' is not a number");
  refuse_value("wal", "wal_segment_size = 0x10000",
               "'0x10000' has no unit of bytes (B, KiB, MiB, GiB, TiB)");
  refuse_value("wal", "wal_segment_size = 1.5MiB",
               "'1.5MiB' has no unit of bytes (B, KiB, MiB, GiB, TiB)");
  refuse_value("wal", "wal_segment_size = 63KiB", "must be from 64KiB to 1GiB");
  refuse_value("wal", "wal_segment_size = 18446744073709551616", "the number is too large");
  refuse_value("wal", "wal_segment_size = 18014398509481985KiB", "the number is too large");
}
END_TEST

START_TEST(durations_have_units)
{
  const struct {
    const char *text;
    gint64 ms;
  } cases[] = {{"100ms", 100}, {"10s", 10000},  {"5min", 300000}, {"1h", 3600000},
               {"2 s", 2000},  {"25000us", 25}, {"3000000ns", 3}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *line = g_strdup_printf("write_timeout = %s", cases[i].text);
    g_autoptr(Config) config = with("client", line);
    ck_assert_int_eq(config->write_timeout_ms, cases[i].ms);
  }
  g_autoptr(Config) none = with("client", "idle_timeout = 0");
  ck_assert_int_eq(none->idle_timeout_ms, 0);
  refuse_value("client", "write_timeout = 10", "'10' has no unit of time (us, ms, s, min, h, d)");
  refuse_value("client", "write_timeout = 10sec",
               "'10sec' has no unit of time (us, ms, s, min, h, d)");
  refuse_value("client", "write_timeout = 250us", "'250us' is not a whole number of milliseconds");
  refuse_value("client", "write_timeout = 2h", "must be from 1ms to 1h");
  refuse_value("client", "write_timeout = 99999999999999999d", "the number is too large");
  refuse_value("client", "write_timeout = 10s # short",
               "'10s # short' has no unit of time (us, ms, s, min, h, d) "
               "(a comment needs a line of its own)");
}
END_TEST

START_TEST(partition_interval_follows_the_precision)
{
  g_autoptr(Config) ms = parse_good("[node]\nid=1\n[store]\npartition_interval=2h\n");
  ck_assert_uint_eq(config_partition_units(ms), 7200000);
  ck_assert_str_eq(config_time_precision_name(ms), "ms");
  g_autoptr(Config) ns = parse_good("[node]\nid=1\n[cluster]\ntime_precision=ns\n");
  ck_assert_uint_eq(config_partition_units(ns), G_GUINT64_CONSTANT(3600000000000));
  ck_assert_str_eq(config_time_precision_name(ns), "ns");
}
END_TEST

START_TEST(choices_and_texts_are_checked)
{
  g_autoptr(Config) config = with("wal", "wal_sync = none");
  ck_assert_int_eq(config->wal_sync, CONFIG_WAL_SYNC_NONE);
  refuse_value("wal", "wal_sync = always", "'always' is none of: group, interval, none");
  refuse_value("log", "level = INFO", "'INFO' is none of: error, warning, info, debug");
  refuse_value("cluster", "id = ", "must not be empty");
  g_autofree char *name = g_strnfill(LIMIT_CLUSTER_ID_SIZE + 1, 'x');
  g_autofree char *line = g_strdup_printf("id = %s", name);
  refuse_value("cluster", line, "is longer than 64 bytes");
  refuse_value("cluster", "id = a\\tb", "holds a control character");
  refuse("[node]\nid = 1\ndata_dir = data\n",
         "n.ini:3: [node] data_dir: 'data' is not an absolute path");
}
END_TEST

START_TEST(counts_are_plain_numbers)
{
  refuse_value("replication", "max_pending_batch = 5MiB", "'5MiB' is not a plain number");
  refuse_value("replication", "max_pending_batch = five", "'five' is not a number");
  refuse_value("replication", "max_pending_batch = 257", "must be from 1 to 256");
  refuse("[node]\nid = 0\n", "n.ini:2: [node] id: must be from 1 to 65535");
  refuse("[node]\nid = 65536\n", "n.ini:2: [node] id: must be from 1 to 65535");
}
END_TEST

START_TEST(unknown_names_are_refused_with_a_guess)
{
  refuse("[node]\nid = 1\n\n[relication]\n",
         "n.ini:4: [relication]: unknown section, did you mean [replication]?");
  refuse("[node]\nid = 1\n[zzzzzzzz]\n", "n.ini:3: [zzzzzzzz]: unknown section");
  refuse("[node]\nid = 1\n[wal]\n# c\nwal_segmentsize = 1MiB\n",
         "n.ini:5: [wal] wal_segmentsize: unknown key, did you mean 'wal_segment_size'?");
  refuse("[node]\nid = 1\n[wal]\nheartbeat_interval = 1s\n",
         "n.ini:4: [wal] heartbeat_interval: unknown key, it belongs into [replication]");
  refuse("[node]\nid = 1\nqqqqqqqqqqqq = 1\n", "n.ini:3: [node] qqqqqqqqqqqq: unknown key");
  refuse("[node]\nid = 1\n[log]\nlevel[de] = debug\n",
         "n.ini:4: [log] level[de]: unknown key, did you mean 'level'?");
}
END_TEST

START_TEST(what_is_there_twice_is_refused)
{
  refuse("[node]\nid = 1\nid = 2\n", "n.ini:3: [node] id is there twice, first in line 2");
  refuse("[node]\nid = 1\n[log]\n[node]\n", "n.ini:4: [node] is there twice, first in line 1");
  refuse("[node]\nid = 1\n[log]\n[log]\nlevle = info\n",
         "n.ini:5: [log] levle: unknown key, did you mean 'level'?");
  refuse("[node]\nid=1\n[peer.2]\naddress=a:1\n[peer.2]\naddress=b:1\n",
         "n.ini:5: [peer.2] is there twice, first in line 3");
}
END_TEST

START_TEST(malformed_files_are_refused)
{
  refuse("", "n.ini: [node] id: is missing; give every node a number of its own");
  refuse("[node]\n", "n.ini: [node] id: is missing; give every node a number of its own");
  refuse("id = 1\n", "n.ini:1: id stands before the first [section]");
  refuse("[node\nid = 1\n", "n.ini:1: '[node' is no [section]");
  refuse("[node]\nid\n", "n.ini:2: 'id' is neither [section], key = value nor # comment");
  refuse("[node]\n; id = 1\nid = 1\n[]\n", "n.ini:4: '[]' is no [section]");
  refuse("[node]\nid = 1\n\xff\n", "n.ini: byte 14 is not UTF-8 text");
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(config_parse("[node]\0id", 9, "n.ini", &error));
  ck_assert_str_eq(error->message, "n.ini: byte 6 is not UTF-8 text");
}
END_TEST

START_TEST(line_ends_and_blanks_do_not_matter)
{
  g_autoptr(Config) config = parse_good("\r\n# c\r\n  [node]  \r\n  id=  3  \r\n");
  ck_assert_uint_eq(config->node_id, 3);
}
END_TEST

START_TEST(peers_are_sorted_and_checked)
{
  g_autoptr(Config) config = parse_good("[node]\nid=2\n[peer.10]\naddress = [::1]:7671\n"
                                        "[peer.3]\naddress = n3.plant.example:7671\n");
  ck_assert_uint_eq(config->peers->len, 2);
  const ConfigPeer *first = &g_array_index(config->peers, ConfigPeer, 0);
  ck_assert_uint_eq(first->node_id, 3);
  ck_assert_str_eq(first->address, "n3.plant.example:7671");
  ck_assert_uint_eq(g_array_index(config->peers, ConfigPeer, 1).node_id, 10);

  refuse("[node]\nid=2\n[peer.2]\naddress=a:1\n",
         "n.ini:3: [peer.2]: own id in peers: [node] id is 2 as well");
  refuse("[node]\nid=2\n[peer.0]\naddress=a:1\n",
         "n.ini:3: [peer.0]: '0' is not a node id (1 to 65535)");
  refuse("[node]\nid=2\n[peer.03]\naddress=a:1\n",
         "n.ini:3: [peer.03]: '03' is not a node id (1 to 65535)");
  refuse("[node]\nid=2\n[peer.3]\n", "n.ini:3: [peer.3]: 'address' is missing");
  refuse("[node]\nid=2\n[peer.3]\nadress=a:1\n",
         "n.ini:4: [peer.3] adress: unknown key, a peer has only 'address'");
  refuse("[node]\nid=1\n[peer.2]\naddress=a:1\n[peer.3]\naddress=a:1\n",
         "n.ini:6: [peer.3] address: a:1 is the address of [peer.2] as well");
  refuse("[node]\nid=1\n[peer.2]\naddress=127.0.0.1:7671\n",
         "n.ini:4: [peer.2] address: 127.0.0.1:7671 is what this node itself listens on");
}
END_TEST

START_TEST(most_peers)
{
  GString *text = g_string_new("[node]\nid=1\n");
  for (guint i = 2; i <= LIMIT_MEMBERS; i++)
    g_string_append_printf(text, "[peer.%u]\naddress=h%u:1\n", i, i);
  g_autoptr(Config) config = parse_good(text->str);
  ck_assert_uint_eq(config->peers->len, LIMIT_MEMBERS - 1);
  g_string_append(text, "[peer.99]\naddress=h99:1\n");
  refuse(text->str, "n.ini: 64 peers, the most are 63");
  g_string_free(text, TRUE);
}
END_TEST

START_TEST(addresses)
{
  const char *good[] = {"127.0.0.1:7671", "n-1.example:1", "[::1]:65535", "[fe80::1:2]:80", NULL};
  for (guint i = 0; good[i] != NULL; i++)
    ck_assert_msg(config_check_address(good[i], FALSE, NULL), "%s", good[i]);
  const char *bad[] = {"",        "host",    ":1",     "host:",     "host:0",     "host:65536",
                       "host:+1", "ho st:1", "::1:80", "[::1:80",   "[]:80",      "[host]:1",
                       "host:1x", "h:1 ",    "*:1",    "[::1]x:80", "http://h:1", NULL};
  for (guint i = 0; bad[i] != NULL; i++)
    ck_assert_msg(!config_check_address(bad[i], FALSE, NULL), "%s", bad[i]);
  ck_assert(config_check_address("127.0.0.1:0", TRUE, NULL));
}
END_TEST

START_TEST(listen_takes_a_list)
{
  g_autoptr(Config) config = with("client", "listen = 127.0.0.1:1, [::1]:1");
  ck_assert_str_eq(config->client_listen, "127.0.0.1:1, [::1]:1");
  refuse_value("client", "listen = 127.0.0.1:1,", "'' is not host:port");
  refuse_value("client", "listen = a:1, a:1", "a:1 is there twice");
  refuse_value("replication", "listen = 127.0.0.1:7670",
               "127.0.0.1:7670 is in [client] listen as well");
  g_autoptr(Config) any = parse_good("[node]\nid=1\n[client]\nlisten=127.0.0.1:0\n"
                                     "[replication]\nlisten=127.0.0.1:0\n");
  ck_assert_str_eq(any->client_listen, any->replication_listen);
}
END_TEST

START_TEST(values_must_fit_together)
{
  refuse_value("client", "max_page_rows = 9999", "must not be less than page_rows");
  refuse_value("replication", "max_retry_wait = 99ms", "must not be less than basic_retry_wait");
  refuse_value("replication", "request_timeout = 499ms",
               "must not be less than heartbeat_interval");
  refuse_value("wal", "throttle_threshold = 63MiB", "must not be less than wal_segment_size");
}
END_TEST

static const char every_kind[] =
    "[node]\nid = 2\ndata_dir = /srv/a b\\\\c\n[cluster]\nid = k\\\\ü\ntime_precision = us\n"
    "[peer.1]\naddress = [::1]:9\n[peer.3]\naddress = h:9\n[client]\nlisten = a:1, b:2\n"
    "idle_timeout = 0\n[wal]\nwal_segment_size = 1025KiB\n[log]\nformat = json\n";

START_TEST(print_reads_back_to_the_same)
{
  g_autoptr(Config) config = parse_good(every_kind);
  ck_assert_str_eq(config->data_dir, "/srv/a b\\c");
  g_autofree char *printed = config_print(config);
  g_autoptr(Config) again = parse_good(printed);
  g_autoptr(GPtrArray) changes = config_diff(config, again);
  ck_assert_uint_eq(changes->len, 0);
  ck_assert_str_eq(again->cluster_id, "k\\ü");
  ck_assert_uint_eq(again->peers->len, 2);
}
END_TEST

START_TEST(entries_tell_value_default_and_reload)
{
  g_autoptr(Config) config = parse_good(every_kind);
  g_autoptr(GPtrArray) entries = config_entries(config);
  guint count;
  config_keys(&count);
  ck_assert_uint_eq(entries->len, count + 2);
  guint seen = 0;
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    if (strcmp(entry->section, "peer.3") == 0) {
      ck_assert_str_eq(entry->key, "address");
      ck_assert_str_eq(entry->value, "h:9");
      ck_assert(!entry->is_default && !entry->reloadable);
      seen++;
    } else if (strcmp(entry->key, "wal_segment_size") == 0) {
      ck_assert_str_eq(entry->value, "1025KiB");
      ck_assert(!entry->is_default && !entry->reloadable);
      seen++;
    } else if (strcmp(entry->key, "level") == 0) {
      ck_assert_str_eq(entry->value, "info");
      ck_assert(entry->is_default && entry->reloadable);
      seen++;
    }
  }
  ck_assert_uint_eq(seen, 3);
}
END_TEST

static const ConfigChange *find_change(const GPtrArray *changes, const char *section,
                                       const char *key)
{
  for (guint i = 0; i < changes->len; i++) {
    const ConfigChange *change = changes->pdata[i];
    if (strcmp(change->section, section) == 0 && strcmp(change->key, key) == 0)
      return change;
  }
  ck_abort_msg("no change of [%s] %s", section, key);
}

START_TEST(reload_takes_what_can_change)
{
  g_autoptr(Config) running = parse_good("[node]\nid=1\n[peer.2]\naddress=a:1\n"
                                         "[peer.3]\naddress=c:1\n");
  g_autoptr(Config) fresh =
      parse_good("[node]\nid=1\n[peer.2]\naddress=b:1\n[peer.4]\naddress=d:1\n"
                 "[log]\nlevel=debug\n[wal]\nwal_segment_size=1MiB\n");
  g_autoptr(GPtrArray) changes = config_diff(running, fresh);
  ck_assert_uint_eq(changes->len, 5);
  const ConfigChange *level = find_change(changes, "log", "level");
  ck_assert(level->reloadable);
  ck_assert_str_eq(level->old_value, "info");
  ck_assert_str_eq(level->new_value, "debug");
  ck_assert(!find_change(changes, "wal", "wal_segment_size")->reloadable);
  ck_assert(!find_change(changes, "peer.2", "address")->reloadable);
  ck_assert_ptr_null(find_change(changes, "peer.3", "address")->new_value);
  ck_assert_ptr_null(find_change(changes, "peer.4", "address")->old_value);

  config_adopt(running, fresh);
  ck_assert_int_eq(running->log_level, LOG_LEVEL_DEBUG);
  ck_assert_uint_eq(running->wal_segment_size, 64 * 1024 * 1024);
  ck_assert_str_eq(g_array_index(running->peers, ConfigPeer, 0).address, "a:1");
}
END_TEST

START_TEST(load_names_the_file)
{
  g_autofree char *folder = g_dir_make_tmp("config-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(folder, "s.ini", NULL);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(config_load(path, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  ck_assert_ptr_nonnull(strstr(error->message, path));
  g_clear_error(&error);
  ck_assert(g_file_set_contents(path, "[node]\nid = x\n", -1, NULL));
  ck_assert_ptr_null(config_load(path, &error));
  g_autofree char *expected = g_strdup_printf("%s:2: [node] id: 'x' is not a number", path);
  ck_assert_str_eq(error->message, expected);
  ck_assert(g_file_set_contents(path, "[node]\nid = 5\n", -1, NULL));
  g_autoptr(Config) config = config_load(path, NULL);
  ck_assert_uint_eq(config->node_id, 5);
  g_remove(path);
  g_rmdir(folder);
}
END_TEST

START_TEST(template_is_valid_and_all_defaults)
{
  g_autofree char *template = config_template();
  g_autoptr(Config) config = parse_good(template);
  ck_assert_uint_eq(config->node_id, 1);
  /* With every "#key" line taken in, nothing changes but the examples of a peer and a group. */
  g_autoptr(GRegex) commented = g_regex_new("^#(?=[a-z\\[])", G_REGEX_MULTILINE, 0, NULL);
  g_autofree char *opened = g_regex_replace(commented, template, -1, 0, "", 0, NULL);
  g_autoptr(Config) full = parse_good(opened);
  g_autoptr(GPtrArray) changes = config_diff(config, full);
  find_change(changes, "peer.2", "address");
  find_change(changes, "group.1", "devices");
  guint of_group = 0;
  for (guint i = 0; i < changes->len; i++)
    of_group += strcmp(((const ConfigChange *)changes->pdata[i])->section, "group.1") == 0;
  ck_assert_uint_eq(changes->len, of_group + 1);
  g_autoptr(GPtrArray) entries = config_entries(full);
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    if (strcmp(entry->section, "group.1") == 0 && strcmp(entry->key, "devices") != 0)
      ck_assert_msg(entry->is_default, "%s = %s", entry->key, entry->value);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {defaults_are_those_of_the_table,
                                every_default_is_valid_and_canonical,
                                every_bound_is_enforced,
                                sizes_have_units,
                                durations_have_units,
                                partition_interval_follows_the_precision,
                                choices_and_texts_are_checked,
                                counts_are_plain_numbers,
                                addresses,
                                unknown_names_are_refused_with_a_guess,
                                what_is_there_twice_is_refused,
                                malformed_files_are_refused,
                                line_ends_and_blanks_do_not_matter,
                                peers_are_sorted_and_checked,
                                most_peers,
                                listen_takes_a_list,
                                values_must_fit_together,
                                load_names_the_file,
                                print_reads_back_to_the_same,
                                entries_tell_value_default_and_reload,
                                reload_takes_what_can_change,
                                template_is_valid_and_all_defaults};
  return RUN_SUITE("config", tests);
}
