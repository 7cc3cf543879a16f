/* The sections [group.N]. */
#include "base/group_rule.h"
#include "base/limits.h"
#include "node/config_private.h"

#include <string.h>

#define AT(field) G_STRUCT_OFFSET(ConfigGroup, field)

/* What a group has of its own. */
static const ConfigKey own_keys[] = {
    {"group.N", "devices", CONFIG_TEXT, NULL, 1, 65536, NULL, TRUE, AT(devices),
     "Devices of the group, separated by commas: names, or beginnings of names with a '*' behind.\n"
     "The whole name goes before a beginning, the longer beginning before the shorter one; the "
     "rest is\n"
     "group 0's. The same on all nodes."},
    {"group.N", "members", CONFIG_TEXT, "", 0, 1024, NULL, FALSE, AT(members),
     "Ids of the nodes that carry the group, separated by commas; empty: this one and all peers.\n"
     "Where this node is not among them, it sends nothing and keeps nothing of the group."},
};

/* Keys of the main sections that a group may have for itself. */
static const struct {
  const char *section, *key;
  gsize offset;
} inherited[] = {
    {"cluster", "join", AT(join)},
    {"replication", "max_pending_bytes", AT(max_pending_bytes)},
    {"replication", "snapshot_rate", AT(snapshot_rate)},
    {"wal", "throttle_threshold", AT(throttle_threshold)},
    {"wal", "disk_reserve", AT(disk_reserve)},
    {"wal", "wal_retention_limit", AT(wal_retention_limit)},
    {"wal", "max_queued_bytes", AT(max_queued_bytes)},
    {"store", "memtable_size", AT(memtable_size)},
    {"store", "block_cache_size", AT(block_cache_size)},
};

enum { OWN = G_N_ELEMENTS(own_keys), ALL = OWN + G_N_ELEMENTS(inherited) };

const ConfigKey *config_group_keys(guint *out_count)
{
  static ConfigKey keys[ALL];
  static gsize made;
  if (g_once_init_enter(&made)) {
    memcpy(keys, own_keys, sizeof own_keys);
    for (guint i = 0; i < G_N_ELEMENTS(inherited); i++) {
      ConfigKey *key = &keys[OWN + i];
      *key = *config_find_key(inherited[i].section, inherited[i].key);
      key->section = "group.N";
      key->offset = inherited[i].offset;
    }
    g_once_init_leave(&made, 1);
  }
  *out_count = ALL;
  return keys;
}

ConfigGroup config_group_values(const Config *config, const ConfigGroup *group)
{
  if (group != NULL)
    return *group;
  return (ConfigGroup){.join = config->join,
                       .max_pending_bytes = config->max_pending_bytes,
                       .snapshot_rate = config->snapshot_rate,
                       .throttle_threshold = config->throttle_threshold,
                       .disk_reserve = config->disk_reserve,
                       .wal_retention_limit = config->wal_retention_limit,
                       .max_queued_bytes = config->max_queued_bytes,
                       .memtable_size = config->memtable_size,
                       .block_cache_size = config->block_cache_size};
}

const ConfigKey *config_inherited(const ConfigKey *group_key)
{
  for (guint i = 0; i < G_N_ELEMENTS(inherited); i++)
    if (strcmp(inherited[i].key, group_key->key) == 0)
      return config_find_key(inherited[i].section, inherited[i].key);
  return NULL;
}

static const ConfigKey *find_group_key(const char *name)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  for (guint i = 0; i < count; i++)
    if (strcmp(keys[i].key, name) == 0)
      return &keys[i];
  return NULL;
}

static gboolean read_keys(ConfigGroup *group, GKeyFile *file, const Scan *scan, const char *section,
                          GError **error)
{
  g_auto(GStrv) names = g_key_file_get_keys(file, section, NULL, NULL);
  for (guint i = 0; names != NULL && names[i] != NULL; i++) {
    const ConfigKey *key = find_group_key(names[i]);
    if (key == NULL)
      return config_fail_at(error, scan, section, names[i], "unknown key of a group");
    if (!config_read_key(group, file, scan, section, key, error))
      return FALSE;
  }
  return group->devices != NULL ||
         config_fail_at(error, scan, section, NULL, "'devices' is missing");
}

gboolean config_read_group(Config *config, GKeyFile *file, const Scan *scan, const char *section,
                           GError **error)
{
  guint64 id;
  const char *number = section + strlen(GROUP_PREFIX);
  if (strcmp(number, "0") == 0)
    return config_fail_at(error, scan, section, NULL,
                          "group 0 is always there, its keys are those of the other sections");
  if (!g_ascii_string_to_unsigned(number, 10, 1, LIMIT_GROUP_ID, &id, NULL) || *number == '0')
    return config_fail_at(error, scan, section, NULL, "'%s' is not a group id (1 to %d)", number,
                          LIMIT_GROUP_ID);
  if (config_find_group(config, (guint)id) != NULL)
    return TRUE; /* that it is there twice is complained of later */
  if (config->groups->len >= LIMIT_GROUPS)
    return config_fail_at(error, scan, section, NULL, "more than %d groups beside group 0",
                          LIMIT_GROUPS);
  ConfigGroup group = {.id = (guint)id};
  gboolean good = read_keys(&group, file, scan, section, error);
  g_array_append_val(config->groups, group);
  return good;
}

static int compare_groups(gconstpointer one, gconstpointer other)
{
  return (int)((const ConfigGroup *)one)->id - (int)((const ConfigGroup *)other)->id;
}

void config_finish_groups(Config *config, GKeyFile *file)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  g_array_sort(config->groups, compare_groups);
  for (guint i = 0; i < config->groups->len; i++) {
    ConfigGroup *group = &g_array_index(config->groups, ConfigGroup, i);
    g_autofree char *section = g_strdup_printf(GROUP_PREFIX "%u", group->id);
    for (guint k = 0; k < count; k++) {
      const ConfigKey *main_key = config_inherited(&keys[k]);
      if (g_key_file_has_key(file, section, keys[k].key, NULL))
        continue;
      g_autofree char *text =
          main_key != NULL ? config_get(config, main_key) : g_strdup(keys[k].default_text);
      gboolean taken = config_set(group, &keys[k], text, NULL);
      g_assert(taken);
    }
  }
}

/* --- what must fit together ---------------------------------------------------------------------
 */

static gboolean is_node(const Config *config, guint id)
{
  gboolean known = id == config->node_id;
  for (guint i = 0; i < config->peers->len; i++)
    known |= g_array_index(config->peers, ConfigPeer, i).node_id == id;
  return known;
}

static gboolean check_members(const Config *config, const ConfigGroup *group, const Scan *scan,
                              const char *section, GError **error)
{
  if (group->members[0] == '\0')
    return TRUE;
  g_auto(GStrv) parts = config_split_addresses(group->members);
  for (guint i = 0; parts[i] != NULL; i++) {
    guint64 id;
    if (!g_ascii_string_to_unsigned(parts[i], 10, 1, LIMIT_NODE_ID, &id, NULL))
      return config_fail_at(error, scan, section, "members", "'%s' is not a node id", parts[i]);
    if (!is_node(config, (guint)id))
      return config_fail_at(error, scan, section, "members",
                            "node %s is neither this one nor is there a [" PEER_PREFIX "%s]",
                            parts[i], parts[i]);
    if (g_strv_contains((const char *const *)parts + i + 1, parts[i]))
      return config_fail_at(error, scan, section, "members", "node %s is there twice", parts[i]);
  }
  return TRUE;
}

/* Each group has its part of the memory for requests, which must hold a request. */
static gboolean check_shares(const Config *config, const Scan *scan, GError **error)
{
  guint groups = config->groups->len + 1;
  guint64 needed = (guint64)groups * LIMIT_LEAST_SHARE;
  return groups == 1 || config->max_memory_in_flight >= needed ||
         config_fail_at(error, scan, "limits", "max_memory_in_flight",
                        "must be %" G_GUINT64_FORMAT "MiB at least with %u groups (group 0 and "
                        "each [" GROUP_PREFIX "N]): %u MiB for each",
                        needed >> 20, groups, (guint)(LIMIT_LEAST_SHARE >> 20));
}

gboolean config_check_groups(const Config *config, const Scan *scan, GError **error)
{
  if (!check_shares(config, scan, error))
    return FALSE;
  g_autoptr(GroupRule) rule = group_rule_new();
  for (guint i = 0; i < config->groups->len; i++) {
    const ConfigGroup *group = &g_array_index(config->groups, ConfigGroup, i);
    g_autofree char *section = g_strdup_printf(GROUP_PREFIX "%u", group->id);
    g_autoptr(GError) reason = NULL;
    if (!group_rule_add(rule, group->id, group->devices, &reason))
      return config_fail_at(error, scan, section, "devices", "%s", reason->message);
    if (!check_members(config, group, scan, section, error))
      return FALSE;
    if (group->throttle_threshold < config->wal_segment_size)
      return config_fail_at(error, scan, section, "throttle_threshold",
                            "must not be less than wal_segment_size");
  }
  return TRUE;
}

const ConfigGroup *config_find_group(const Config *config, guint id)
{
  for (guint i = 0; i < config->groups->len; i++) {
    const ConfigGroup *group = &g_array_index(config->groups, ConfigGroup, i);
    if (group->id == id)
      return group;
  }
  return NULL;
}

gboolean config_group_has(const ConfigGroup *group, guint node)
{
  if (group->members[0] == '\0')
    return TRUE;
  g_auto(GStrv) parts = config_split_addresses(group->members);
  for (guint i = 0; parts[i] != NULL; i++)
    if (g_ascii_strtoull(parts[i], NULL, 10) == node)
      return TRUE;
  return FALSE;
}

/* --- lists and reload ---------------------------------------------------------------------------
 */

void config_add_groups(GPtrArray *entries, const Config *config)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  for (guint i = 0; i < config->groups->len; i++) {
    const ConfigGroup *group = &g_array_index(config->groups, ConfigGroup, i);
    g_autofree char *section = g_strdup_printf(GROUP_PREFIX "%u", group->id);
    for (guint k = 0; k < count; k++) {
      const ConfigKey *main_key = config_inherited(&keys[k]);
      char *text = config_get(group, &keys[k]);
      g_autofree char *fallback =
          main_key != NULL ? config_get(config, main_key) : g_strdup(keys[k].default_text);
      config_add_entry(entries, section, keys[k].key, text, g_strcmp0(text, fallback) == 0,
                       keys[k].reloadable);
    }
  }
}

void config_adopt_groups(Config *running, const Config *fresh)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  g_autoptr(GArray) before = running->groups;
  running->groups = g_array_new(FALSE, TRUE, sizeof(ConfigGroup));
  g_array_set_clear_func(running->groups, config_clear_group);
  for (guint i = 0; i < fresh->groups->len; i++) {
    const ConfigGroup *wanted = &g_array_index(fresh->groups, ConfigGroup, i);
    const ConfigGroup *old = NULL;
    for (guint k = 0; k < before->len; k++)
      if (g_array_index(before, ConfigGroup, k).id == wanted->id)
        old = &g_array_index(before, ConfigGroup, k);
    ConfigGroup group = {.id = wanted->id};
    for (guint k = 0; k < count; k++)
      config_copy(&group, old != NULL && !keys[k].reloadable ? old : wanted, &keys[k]);
    g_array_append_val(running->groups, group);
  }
}
