/* What is written about the configuration, made from its table. */
#include "node/config_table.h"

#include <string.h>

static void append_comment(GString *out, const char *prefix, const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    g_string_append_printf(out, "%s%s\n", prefix, lines[i]);
}

/* What may stand there, for people. */
static char *range_text(const ConfigKey *key)
{
  if (key->type == CONFIG_CHOICE)
    return g_strjoinv(", ", (char **)key->choices);
  if (key->type == CONFIG_TEXT)
    return g_strdup_printf("%u to %u bytes", (guint)key->minimum, (guint)key->maximum);
  if (key->type == CONFIG_PATH)
    return g_strdup("absolute path");
  if (key->type == CONFIG_ADDRESSES)
    return g_strdup("host:port, …");
  g_autofree char *minimum = config_bound_text(key, key->minimum);
  g_autofree char *maximum = config_bound_text(key, key->maximum);
  return g_strdup_printf("%s to %s", minimum, maximum);
}

static void append_template_key(GString *out, const ConfigKey *key)
{
  g_autofree char *range = range_text(key);
  append_comment(out, "# ", key->comment);
  g_string_append_printf(out, "# (%s%s)\n", range, key->reloadable ? "; read again on SIGHUP" : "");
  if (key->default_text == NULL)
    g_string_append_printf(out, "%s = 1\n\n", key->key);
  else
    g_string_append_printf(out, "#%s =%s%s\n\n", key->key, key->default_text[0] != '\0' ? " " : "",
                           key->default_text);
}

static const char template_head[] =
    "# Configuration of synclogd. Lines that begin with #key show the defaults.\n"
    "#\n"
    "# Sizes: B, KiB, MiB, GiB, TiB; a plain number is bytes. Times: us, ms, s, min, h, d.\n"
    "# A comment needs a line of its own. An unknown key or a bad value keeps the daemon from\n"
    "# starting; try a changed file with: synclogd --check-config -c FILE\n"
    "# What can be read again is read again on SIGHUP (systemctl reload synclogd); the rest needs\n"
    "# a restart.\n"
    "\n";

static const char template_peers[] =
    "# The other nodes: a section for each, named by its id. All nodes list all others.\n"
    "#[peer.2]\n"
    "# Where that node's [replication] listen can be reached.\n"
    "#address = 192.0.2.2:7671\n"
    "\n";

static const char template_group[] =
    "# A further group: a set of devices with logs, store and members of its own; a section for\n"
    "# each, named by its id (1 to 65535). Group 0 has all other devices. May come and go while "
    "the\n"
    "# daemon runs (SIGHUP). The limits are those of the sections above, for each group again, "
    "unless\n"
    "# they stand here too.\n"
    "#[group.1]\n"
    "#\n";

/* Everything is a comment: there are no further groups by default. */
static void append_template_groups(GString *out)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  g_string_append(out, template_group);
  for (guint i = 0; i < count; i++) {
    const ConfigKey *key = &keys[i];
    if (config_inherited(key) != NULL) {
      g_string_append_printf(out, "#%s = %s\n", key->key, key->default_text);
      continue;
    }
    append_comment(out, "# ", key->comment);
    g_string_append_printf(out, "#%s =%s\n#\n", key->key,
                           key->default_text == NULL ? " plant1.*, boiler7" : "");
  }
  g_string_append_c(out, '\n');
}

static void append_template_section(GString *out, const ConfigSection *section)
{
  append_comment(out, "# ", section->comment);
  g_string_append_printf(out, "[%s]\n\n", section->name);
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++)
    if (strcmp(keys[i].section, section->name) == 0)
      append_template_key(out, &keys[i]);
  if (strcmp(section->name, "cluster") == 0)
    g_string_append(out, template_peers);
  if (strcmp(section->name, "store") == 0)
    append_template_groups(out);
}

char *config_template(void)
{
  GString *out = g_string_new(template_head);
  guint count;
  const ConfigSection *sections = config_sections(&count);
  for (guint i = 0; i < count; i++)
    append_template_section(out, &sections[i]);
  g_string_truncate(out, out->len - 1);
  return g_string_free(out, FALSE);
}

static void append_markdown_groups(GString *out)
{
  guint count;
  const ConfigKey *keys = config_group_keys(&count);
  for (guint i = 0; i < count; i++) {
    const ConfigKey *key = &keys[i], *main_key = config_inherited(key);
    g_autofree char *range = range_text(key);
    g_auto(GStrv) comment = g_strsplit(key->comment, "\n", -1);
    g_autofree char *meaning =
        main_key == NULL ? g_strjoinv(" ", comment)
                         : g_strdup_printf("Of this group; as in [%s].", main_key->section);
    g_autofree char *fallback = main_key == NULL ? g_strdup(key->default_text)
                                                 : g_strdup_printf("as in %s", main_key->section);
    g_string_append_printf(out, "| group.N | `%s` | %s | %s | %s | %s |\n", key->key,
                           fallback == NULL ? "required" : fallback, range,
                           key->reloadable ? "yes" : "", meaning);
  }
}

char *config_markdown(void)
{
  GString *out = g_string_new("| section | key | default | values | SIGHUP | meaning |\n"
                              "|---|---|---|---|---|---|\n");
  guint count;
  const ConfigKey *keys = config_keys(&count);
  for (guint i = 0; i < count; i++) {
    const ConfigKey *key = &keys[i];
    g_autofree char *range = range_text(key);
    g_auto(GStrv) comment = g_strsplit(key->comment, "\n", -1);
    g_autofree char *meaning = g_strjoinv(" ", comment);
    g_string_append_printf(out, "| %s | `%s` | %s | %s | %s | %s |\n", key->section, key->key,
                           key->default_text == NULL ? "required" : key->default_text, range,
                           key->reloadable ? "yes" : "", meaning);
    if (strcmp(key->key, "time_precision") == 0)
      g_string_append(out, "| peer.N | `address` | required | host:port |  | "
                           "Where node N's replication service is reached; a section for each "
                           "other node. |\n");
    if (strcmp(key->section, "store") == 0 && strcmp(keys[i + 1].section, "store") != 0)
      append_markdown_groups(out);
  }
  return g_string_free(out, FALSE);
}
