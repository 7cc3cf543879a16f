/*
 * Texts as configuration files. What is taken can be printed and read back to the same; a refusal
 * names the file.
 */
#include "fuzz/fuzz.h"
#include "node/config.h"

static void check_ranges(const Config *config)
{
  g_assert(config->node_id >= 1 && config->node_id <= 65535);
  g_assert(g_path_is_absolute(config->data_dir));
  g_assert(config->max_pending_batch >= 1 && config->page_rows <= config->max_page_rows);
  g_assert(config->wal_segment_size >= 1 && config->partition_interval_ms >= 1);
  g_assert(config_partition_units(config) >= 1);
  for (guint i = 0; i < config->peers->len; i++) {
    const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
    g_assert(peer->node_id >= 1 && peer->node_id != config->node_id);
    g_assert(strrchr(peer->address, ':') != NULL);
    if (i > 0)
      g_assert(peer[-1].node_id < peer->node_id);
  }
}

static Config *parse(const char *text, GError **error)
{
  return config_parse(text, strlen(text), "FILE", error);
}

static void check_round_trip(const Config *config)
{
  g_autofree char *text = config_print(config);
  g_autoptr(GError) error = NULL;
  g_autoptr(Config) again = parse(text, &error);
  g_assert_no_error(error);
  g_autofree char *second = config_print(again);
  g_assert_cmpstr(text, ==, second);
  g_autoptr(GPtrArray) changes = config_diff(config, again);
  g_assert(changes->len == 0);
  g_autoptr(GPtrArray) entries = config_entries(config);
  g_assert(entries->len > 20);
}

/* After a reload only what needs a restart still differs. */
static void check_adoption(const Config *config)
{
  g_autoptr(Config) running = config_defaults();
  running->node_id = 1;
  config_adopt(running, config);
  g_autoptr(GPtrArray) changes = config_diff(running, config);
  for (guint i = 0; i < changes->len; i++)
    g_assert(!((const ConfigChange *)changes->pdata[i])->reloadable);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  g_autofree char *text = g_malloc(size + 1);
  memcpy(text, bytes, size);
  text[size] = '\0';
  g_autoptr(GError) error = NULL;
  g_autoptr(Config) config = config_parse(text, size, "FILE", &error);
  g_assert((config == NULL) == (error != NULL));
  if (config == NULL) {
    g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
    g_assert(g_str_has_prefix(error->message, "FILE"));
    return;
  }
  check_ranges(config);
  check_round_trip(config);
  check_adoption(config);
}

void fuzz_seeds(void)
{
  g_autoptr(Config) config = config_defaults();
  config->node_id = 1;
  g_autofree char *all = config_print(config);
  fuzz_seed("defaults", all, strlen(all));
  static const char peers[] = "[node]\nid = 3\n[peer.1]\naddress = 127.0.0.1:7671\n"
                              "[peer.2]\naddress = [::1]:1\n[log]\nlevel=debug\n";
  fuzz_seed("peers", peers, sizeof peers - 1);
}
