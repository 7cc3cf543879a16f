#include "node/config.h"

#include "base/limits.h"
#include "node/config_private.h"

#include <string.h>

/* --- making and freeing --- */

static void clear_peer(gpointer peer)
{
  g_free(((ConfigPeer *)peer)->address);
}

void config_clear_group(gpointer data)
{
  ConfigGroup *group = data;
  g_free(group->devices);
  g_free(group->members);
}

static Config *config_new(void)
{
  Config *config = g_new0(Config, 1);
  config->peers = g_array_new(FALSE, TRUE, sizeof(ConfigPeer));
  g_array_set_clear_func(config->peers, clear_peer);
  config->groups = g_array_new(FALSE, TRUE, sizeof(ConfigGroup));
  g_array_set_clear_func(config->groups, config_clear_group);
  return config;
}

Config *config_defaults(void)
{
  Config *config = config_new();
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++) {
    if (keys[i].default_text == NULL)
      continue;
    gboolean taken = config_set(config, &keys[i], keys[i].default_text, NULL);
    g_assert(taken);
  }
  return config;
}

void config_free(Config *config)
{
  g_array_unref(config->peers);
  g_array_unref(config->groups);
  g_free(config->data_dir);
  g_free(config->cluster_id);
  g_free(config->client_listen);
  g_free(config->replication_listen);
  g_free(config->http_listen);
  g_free(config);
}

/* --- errors with a place --- */

static char *place_of(const Scan *scan, const char *section, const char *key)
{
  g_autofree char *id = key == NULL ? g_strdup(section) : g_strdup_printf("%s\n%s", section, key);
  guint line = GPOINTER_TO_UINT(g_hash_table_lookup(scan->line_of, id));
  GString *place = g_string_new(scan->name);
  if (line > 0)
    g_string_append_printf(place, ":%u", line);
  g_string_append_printf(place, ": [%s]", section);
  if (key != NULL)
    g_string_append_printf(place, " %s", key);
  return g_string_free(place, FALSE);
}

gboolean config_fail_at(GError **error, const Scan *scan, const char *section, const char *key,
                        const char *format, ...)
{
  g_autofree char *place = place_of(scan, section, key);
  va_list args;
  va_start(args, format);
  g_autofree char *reason = g_strdup_vprintf(format, args);
  va_end(args);
  return fail(error, SYNCLOG_INVALID, "%s: %s", place, reason);
}

/* --- the pass for line numbers and duplicates --- */

/* Takes `id`. What is there twice is complained of only after unknown names and bad values. */
static void remember(Scan *scan, char *id, const char *what, guint line)
{
  guint before = GPOINTER_TO_UINT(g_hash_table_lookup(scan->line_of, id));
  if (before > 0 && scan->twice == NULL)
    scan->twice = g_strdup_printf("%s:%u: %s is there twice, first in line %u", scan->name, line,
                                  what, before);
  g_hash_table_replace(scan->line_of, id, GUINT_TO_POINTER(line));
}

static gboolean scan_section(Scan *scan, char *text, guint line, GError **error)
{
  gsize length = strlen(text);
  if (text[length - 1] != ']' || length < 3)
    return fail(error, SYNCLOG_INVALID, "%s:%u: '%s' is no [section]", scan->name, line, text);
  char *section = g_strndup(text + 1, length - 2);
  g_ptr_array_add(scan->section_list, section);
  remember(scan, g_strdup(section), text, line);
  return TRUE;
}

static gboolean scan_key(Scan *scan, char *text, guint line, GError **error)
{
  char *equals = strchr(text, '=');
  if (equals == NULL || equals == text)
    return fail(error, SYNCLOG_INVALID,
                "%s:%u: '%s' is neither [section], key = value nor # comment", scan->name, line,
                text);
  g_autofree char *key = g_strndup(text, (gsize)(equals - text));
  g_strchomp(key);
  if (scan->section_list->len == 0)
    return fail(error, SYNCLOG_INVALID, "%s:%u: %s stands before the first [section]", scan->name,
                line, key);
  const char *section = scan->section_list->pdata[scan->section_list->len - 1];
  g_autofree char *what = g_strdup_printf("[%s] %s", section, key);
  remember(scan, g_strdup_printf("%s\n%s", section, key), what, line);
  return TRUE;
}

static gboolean scan_text(Scan *scan, const char *text, GError **error)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++) {
    char *line = g_strstrip(lines[i]);
    if (*line == '\0' || *line == '#')
      continue;
    gboolean good =
        *line == '[' ? scan_section(scan, line, i + 1, error) : scan_key(scan, line, i + 1, error);
    if (!good)
      return FALSE;
  }
  return TRUE;
}

/* --- near misses --- */

/* Letters to change, add or drop to make one of the other. */
static guint distance(const char *one, const char *other)
{
  gsize width = strlen(other) + 1;
  g_autofree guint *row = g_new(guint, width);
  for (gsize j = 0; j < width; j++)
    row[j] = (guint)j;
  for (gsize i = 1; one[i - 1] != '\0'; i++) {
    guint diagonal = row[0];
    row[0] = (guint)i;
    for (gsize j = 1; j < width; j++) {
      guint change = diagonal + (one[i - 1] != other[j - 1]);
      diagonal = row[j];
      row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
    }
  }
  return row[width - 1];
}

static void consider(const char *word, const char *candidate, const char **best,
                     guint *best_distance)
{
  guint found = distance(word, candidate);
  if (found < *best_distance) {
    *best = candidate;
    *best_distance = found;
  }
}

/* Above this a word is no misspelling of another. */
static guint most_distance(const char *word)
{
  return MIN((guint)strlen(word) / 3 + 2, 5);
}

static gboolean fail_section(GError **error, const Scan *scan, const char *section)
{
  guint count;
  const ConfigSection *sections = config_sections(&count);
  const char *best = NULL;
  guint best_distance = strlen(section) > 64 ? 0 : most_distance(section);
  for (guint i = 0; i < count; i++)
    consider(section, sections[i].name, &best, &best_distance);
  if (best != NULL)
    return config_fail_at(error, scan, section, NULL, "unknown section, did you mean [%s]?", best);
  return config_fail_at(error, scan, section, NULL, "unknown section");
}

static gboolean fail_key(GError **error, const Scan *scan, const char *section, const char *word)
{
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++)
    if (strcmp(keys[i].key, word) == 0)
      return config_fail_at(error, scan, section, word, "unknown key, it belongs into [%s]",
                            keys[i].section);
  const char *best = NULL;
  guint best_distance = strlen(word) > 64 ? 0 : most_distance(word);
  for (guint i = 0; i < count; i++)
    if (strcmp(keys[i].section, section) == 0)
      consider(word, keys[i].key, &best, &best_distance);
  if (best != NULL)
    return config_fail_at(error, scan, section, word, "unknown key, did you mean '%s'?", best);
  return config_fail_at(error, scan, section, word, "unknown key");
}

/* --- reading --- */

/* The value without what stands around it; transfer full. */
char *config_read_value(GKeyFile *file, const Scan *scan, const char *section, const char *key,
                        GError **error)
{
  g_autoptr(GError) problem = NULL;
  char *value = g_key_file_get_string(file, section, key, &problem);
  if (value == NULL) {
    config_fail_at(error, scan, section, key, "%s", problem->message);
    return NULL;
  }
  return g_strstrip(value);
}

gboolean config_read_key(gpointer config, GKeyFile *file, const Scan *scan, const char *section,
                         const ConfigKey *key, GError **error)
{
  g_autofree char *value = config_read_value(file, scan, section, key->key, error);
  if (value == NULL)
    return FALSE;
  g_autoptr(GError) reason = NULL;
  if (config_set(config, key, value, &reason))
    return TRUE;
  const char *hint = strchr(value, '#') != NULL ? " (a comment needs a line of its own)" : "";
  return config_fail_at(error, scan, section, key->key, "%s%s", reason->message, hint);
}

static gboolean read_section(Config *config, GKeyFile *file, const Scan *scan, const char *section,
                             GError **error)
{
  g_auto(GStrv) names = g_key_file_get_keys(file, section, NULL, NULL);
  for (guint i = 0; names != NULL && names[i] != NULL; i++) {
    const ConfigKey *key = config_find_key(section, names[i]);
    if (key == NULL)
      return fail_key(error, scan, section, names[i]);
    if (!config_read_key(config, file, scan, section, key, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean read_peer(Config *config, GKeyFile *file, const Scan *scan, const char *section,
                          GError **error)
{
  guint64 id;
  const char *number = section + strlen(PEER_PREFIX);
  if (!g_ascii_string_to_unsigned(number, 10, 1, LIMIT_NODE_ID, &id, NULL) || *number == '0')
    return config_fail_at(error, scan, section, NULL, "'%s' is not a node id (1 to %d)", number,
                          LIMIT_NODE_ID);
  g_auto(GStrv) names = g_key_file_get_keys(file, section, NULL, NULL);
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (strcmp(names[i], "address") != 0)
      return config_fail_at(error, scan, section, names[i],
                            "unknown key, a peer has only 'address'");
  if (!g_key_file_has_key(file, section, "address", NULL))
    return config_fail_at(error, scan, section, NULL, "'address' is missing");
  g_autofree char *address = config_read_value(file, scan, section, "address", error);
  if (address == NULL)
    return FALSE;
  g_autoptr(GError) reason = NULL;
  if (!config_check_address(address, FALSE, &reason))
    return config_fail_at(error, scan, section, "address", "%s", reason->message);
  ConfigPeer peer = {(guint)id, g_steal_pointer(&address)};
  g_array_append_val(config->peers, peer);
  return TRUE;
}

static gboolean is_section(const char *name)
{
  guint count;
  const ConfigSection *sections = config_sections(&count);
  for (guint i = 0; i < count; i++)
    if (strcmp(sections[i].name, name) == 0)
      return TRUE;
  return FALSE;
}

static gboolean read_sections(Config *config, GKeyFile *file, const Scan *scan, GError **error)
{
  for (guint i = 0; i < scan->section_list->len; i++) {
    const char *section = scan->section_list->pdata[i];
    gboolean good;
    if (g_str_has_prefix(section, PEER_PREFIX))
      good = read_peer(config, file, scan, section, error);
    else if (g_str_has_prefix(section, GROUP_PREFIX))
      good = config_read_group(config, file, scan, section, error);
    else if (is_section(section))
      good = read_section(config, file, scan, section, error);
    else
      good = fail_section(error, scan, section);
    if (!good)
      return FALSE;
  }
  return TRUE;
}

/* --- what must fit together --- */

static int compare_peers(gconstpointer one, gconstpointer other)
{
  return (int)((const ConfigPeer *)one)->node_id - (int)((const ConfigPeer *)other)->node_id;
}

static gboolean check_peers(const Config *config, const Scan *scan, GError **error)
{
  if (config->peers->len > LIMIT_MEMBERS - 1)
    return fail(error, SYNCLOG_INVALID, "%s: %u peers, the most are %d", scan->name,
                config->peers->len, LIMIT_MEMBERS - 1);
  g_auto(GStrv) own = config_split_addresses(config->replication_listen);
  for (guint i = 0; i < config->peers->len; i++) {
    const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
    g_autofree char *section = g_strdup_printf(PEER_PREFIX "%u", peer->node_id);
    if (peer->node_id == config->node_id)
      return config_fail_at(error, scan, section, NULL, "own id in peers: [node] id is %u as well",
                            config->node_id);
    if (g_strv_contains((const char *const *)own, peer->address))
      return config_fail_at(error, scan, section, "address",
                            "%s is what this node itself listens on", peer->address);
    for (guint j = 0; j < i; j++) {
      const ConfigPeer *before = &g_array_index(config->peers, ConfigPeer, j);
      if (strcmp(before->address, peer->address) == 0)
        return config_fail_at(error, scan, section, "address",
                              "%s is the address of [" PEER_PREFIX "%u] as well", peer->address,
                              before->node_id);
    }
  }
  return TRUE;
}

/* `key` must be at least as large as `least`. */
static gboolean check_order(const Scan *scan, const char *section, const char *key, guint64 value,
                            const char *least_name, guint64 least, GError **error)
{
  if (value >= least)
    return TRUE;
  return config_fail_at(error, scan, section, key, "must not be less than %s", least_name);
}

/* No address of `listen` stands in `other` as well. */
static gboolean check_distinct(const Scan *scan, const char *section, const char *listen,
                               const char *other_section, const char *other, GError **error)
{
  g_auto(GStrv) ours = config_split_addresses(listen);
  g_auto(GStrv) theirs = config_split_addresses(other);
  for (guint i = 0; ours[i] != NULL; i++) {
    if (!g_str_has_suffix(ours[i], ":0") && g_strv_contains((const char *const *)theirs, ours[i]))
      return config_fail_at(error, scan, section, "listen", "%s is in [%s] listen as well", ours[i],
                            other_section);
  }
  return TRUE;
}

static gboolean check_listen(const Config *config, const Scan *scan, GError **error)
{
  return check_distinct(scan, "replication", config->replication_listen, "client",
                        config->client_listen, error) &&
         check_distinct(scan, "http", config->http_listen, "client", config->client_listen,
                        error) &&
         check_distinct(scan, "http", config->http_listen, "replication",
                        config->replication_listen, error);
}

static gboolean check_all(const Config *config, const Scan *scan, GError **error)
{
  if (config->node_id == 0)
    return config_fail_at(error, scan, "node", "id",
                          "is missing; give every node a number of its own");
  if (config->join == CONFIG_JOIN_YES && config->peers->len == 0)
    return config_fail_at(error, scan, "cluster", "join",
                          "there is no [peer.N]: at least one node of the cluster must be named");
  return check_peers(config, scan, error) && check_listen(config, scan, error) &&
         config_check_groups(config, scan, error) &&
         check_order(scan, "client", "max_page_rows", config->max_page_rows, "page_rows",
                     config->page_rows, error) &&
         check_order(scan, "replication", "max_retry_wait", (guint64)config->max_retry_wait_ms,
                     "basic_retry_wait", (guint64)config->basic_retry_wait_ms, error) &&
         check_order(scan, "replication", "request_timeout", (guint64)config->request_timeout_ms,
                     "heartbeat_interval", (guint64)config->heartbeat_interval_ms, error) &&
         check_order(scan, "wal", "throttle_threshold", config->throttle_threshold,
                     "wal_segment_size", config->wal_segment_size, error);
}

static Config *parse_scanned(const char *text, gsize size, const Scan *scan, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) problem = NULL;
  if (!g_key_file_load_from_data(file, text, size, G_KEY_FILE_KEEP_TRANSLATIONS, &problem)) {
    fail(error, SYNCLOG_INVALID, "%s: %s", scan->name, problem->message);
    return NULL;
  }
  g_autoptr(Config) config = config_defaults();
  if (!read_sections(config, file, scan, error))
    return NULL;
  if (scan->twice != NULL) {
    fail(error, SYNCLOG_INVALID, "%s", scan->twice);
    return NULL;
  }
  g_array_sort(config->peers, compare_peers);
  config_finish_groups(config, file);
  return check_all(config, scan, error) ? g_steal_pointer(&config) : NULL;
}

Config *config_parse(const char *text, gsize size, const char *name, GError **error)
{
  const char *bad;
  if (!g_utf8_validate(text, (gssize)size, &bad)) {
    fail(error, SYNCLOG_INVALID, "%s: byte %zu is not UTF-8 text", name, (gsize)(bad - text));
    return NULL;
  }
  g_autofree char *copy = g_strndup(text, size);
  g_autoptr(GHashTable) line_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GPtrArray) section_list = g_ptr_array_new_with_free_func(g_free);
  Scan scan = {name, line_of, section_list, NULL};
  Config *config = scan_text(&scan, copy, error) ? parse_scanned(text, size, &scan, error) : NULL;
  g_free(scan.twice);
  return config;
}

Config *config_load(const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize size;
  g_autoptr(GError) problem = NULL;
  if (!g_file_get_contents(path, &text, &size, &problem)) {
    fail(error, SYNCLOG_INVALID, "%s", problem->message);
    return NULL;
  }
  return config_parse(text, size, path, error);
}

/* --- derived values --- */

static const char *const precision_names[] = {"ms", "us", "ns"};

const char *config_time_precision_name(const Config *config)
{
  return precision_names[config->time_precision];
}

guint64 config_partition_units(const Config *config)
{
  static const guint64 units_per_ms[] = {1, 1000, 1000000};
  return (guint64)config->partition_interval_ms * units_per_ms[config->time_precision];
}

/* --- lists of all keys --- */

void config_add_entry(GPtrArray *entries, const char *section, const char *key, char *value,
                      gboolean is_default, gboolean reloadable)
{
  ConfigEntry *entry = g_new(ConfigEntry, 1);
  *entry = (ConfigEntry){g_strdup(section), g_strdup(key), value, is_default, reloadable};
  g_ptr_array_add(entries, entry);
}

static void add_peers(GPtrArray *entries, const Config *config)
{
  for (guint i = 0; i < config->peers->len; i++) {
    const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
    g_autofree char *section = g_strdup_printf(PEER_PREFIX "%u", peer->node_id);
    config_add_entry(entries, section, "address", g_strdup(peer->address), FALSE, FALSE);
  }
}

GPtrArray *config_entries(const Config *config)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++) {
    const ConfigKey *key = &keys[i];
    if (strcmp(key->section, "client") == 0 && strcmp(keys[i - 1].section, "client") != 0)
      add_peers(entries, config);
    if (strcmp(key->section, "threads") == 0 && strcmp(keys[i - 1].section, "threads") != 0)
      config_add_groups(entries, config);
    config_add_entry(entries, key->section, key->key, config_get(config, key),
                     config_is_default(config, key), key->reloadable);
  }
  return entries;
}

char *config_print(const Config *config)
{
  /* Only for the way in which GKeyFile escapes values. */
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GPtrArray) entries = config_entries(config);
  GString *text = g_string_new(NULL);
  const char *section = "";
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    if (strcmp(section, entry->section) != 0) {
      section = entry->section;
      g_string_append_printf(text, "%s[%s]\n", i == 0 ? "" : "\n", section);
    }
    g_key_file_set_string(file, section, entry->key, entry->value);
    g_autofree char *escaped = g_key_file_get_value(file, section, entry->key, NULL);
    g_string_append_printf(text, "%s = %s\n", entry->key, escaped);
  }
  return g_string_free(text, FALSE);
}

/* --- copies and reload --- */

Config *config_dup(const Config *config)
{
  Config *copy = config_new();
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++)
    config_copy(copy, config, &keys[i]);
  for (guint i = 0; i < config->peers->len; i++) {
    const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
    ConfigPeer one = {peer->node_id, g_strdup(peer->address)};
    g_array_append_val(copy->peers, one);
  }
  config_adopt_groups(copy, config);
  return copy;
}

gboolean config_check(const Config *config, const char *name, GError **error)
{
  g_autoptr(GHashTable) no_lines = g_hash_table_new(g_str_hash, g_str_equal);
  Scan scan = {.name = name, .line_of = no_lines};
  return check_all(config, &scan, error);
}

static void free_change(gpointer data)
{
  ConfigChange *change = data;
  g_free(change->section);
  g_free(change->key);
  g_free(change->old_value);
  g_free(change->new_value);
  g_free(change);
}

static const ConfigEntry *find_entry(const GPtrArray *entries, const ConfigEntry *wanted)
{
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    if (strcmp(entry->section, wanted->section) == 0 && strcmp(entry->key, wanted->key) == 0)
      return entry;
  }
  return NULL;
}

static void add_change(GPtrArray *changes, const ConfigEntry *entry, const char *old_value,
                       const char *new_value)
{
  ConfigChange *change = g_new(ConfigChange, 1);
  *change = (ConfigChange){g_strdup(entry->section), g_strdup(entry->key), g_strdup(old_value),
                           g_strdup(new_value), entry->reloadable};
  g_ptr_array_add(changes, change);
}

/* Of a group that comes or goes only its devices are told: all its keys come and go with it. */
static gboolean is_told(const Config *config, const ConfigEntry *entry)
{
  if (!g_str_has_prefix(entry->section, GROUP_PREFIX) || strcmp(entry->key, "devices") == 0)
    return TRUE;
  guint64 id = g_ascii_strtoull(entry->section + strlen(GROUP_PREFIX), NULL, 10);
  return config_find_group(config, (guint)id) != NULL;
}

GPtrArray *config_diff(const Config *running, const Config *fresh)
{
  GPtrArray *changes = g_ptr_array_new_with_free_func(free_change);
  g_autoptr(GPtrArray) before = config_entries(running);
  g_autoptr(GPtrArray) after = config_entries(fresh);
  for (guint i = 0; i < before->len; i++) {
    const ConfigEntry *old = before->pdata[i];
    const ConfigEntry *new = find_entry(after, old);
    if ((new == NULL || strcmp(old->value, new->value) != 0) && is_told(fresh, old))
      add_change(changes, old, old->value, new == NULL ? NULL : new->value);
  }
  for (guint i = 0; i < after->len; i++) {
    const ConfigEntry *new = after->pdata[i];
    if (find_entry(before, new) == NULL && is_told(running, new))
      add_change(changes, new, NULL, new->value);
  }
  return changes;
}

void config_adopt(Config *running, const Config *fresh)
{
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++)
    if (keys[i].reloadable)
      config_copy(running, fresh, &keys[i]);
  config_adopt_groups(running, fresh);
}
