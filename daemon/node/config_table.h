/*
 * The table of configuration keys, and the conversion of one value between its text and its field.
 * Private to node/config*.c and their tests. Thread-safe but for writes to one Config.
 */
#pragma once

#include "node/config.h"

typedef enum {
  CONFIG_COUNT,    /* guint */
  CONFIG_SIZE,     /* guint64 bytes: 64MiB, 512KiB, 4096 */
  CONFIG_DURATION, /* gint64 milliseconds: 10s, 100ms, 1h; smaller units where they come out even */
  CONFIG_CHOICE,   /* int, position in `choices` */
  CONFIG_TEXT,     /* char*, minimum .. maximum bytes */
  CONFIG_PATH,     /* char*, absolute */
  CONFIG_ADDRESSES, /* char*, host:port[,host:port…] to listen on */
} ConfigType;

typedef struct ConfigKey {
  const char *section, *key;
  ConfigType type;
  const char *default_text; /* as in the file; NULL: must be given */
  guint64 minimum, maximum; /* in the unit of the field */
  const char *const *choices;
  gboolean reloadable;
  gsize offset; /* in Config */
  const char *comment;
} ConfigKey;

typedef struct ConfigSection {
  const char *name;
  const char *comment;
} ConfigSection;

const ConfigKey *config_keys(guint *out_count);
const ConfigSection *config_sections(guint *out_count);

/* NULL when there is none. */
const ConfigKey *config_find_key(const char *section, const char *key);

/*
 * The keys of a [group.N]: offsets are those in ConfigGroup. The limits are main keys over again;
 * config_inherited gives the main one, NULL for the group's own keys.
 */
const ConfigKey *config_group_keys(guint *out_count);
const ConfigKey *config_inherited(const ConfigKey *group_key);

/* Checks the text and sets the field. The error's message is the reason alone. `config`: what the
 * key's offset is in, a Config or a ConfigGroup. */
gboolean config_set(gpointer config, const ConfigKey *key, const char *text, GError **error);

/* The field as text; config_set takes it back to the same value. */
char *config_get(gconstpointer config, const ConfigKey *key);

/* A number in the unit of the field as the file would have it. */
char *config_bound_text(const ConfigKey *key, guint64 value);

/* Copies the field. */
void config_copy(gpointer to, gconstpointer from, const ConfigKey *key);

gboolean config_is_default(const Config *config, const ConfigKey *key);

/* Whether `address` is host:port or [v6]:port; the error's message is the reason alone. */
gboolean config_check_address(const char *address, gboolean port_may_be_zero, GError **error);

/* The addresses of a list; transfer full. */
GStrv config_split_addresses(const char *text);
