/*
 * What config.c and config_groups.c share: reading a file whose errors name the place.
 */
#pragma once

#include "node/config_table.h"

#define PEER_PREFIX "peer."
#define GROUP_PREFIX "group."

/*
 * Where each key stands, found by a pass of our own over the text: GKeyFile reads the values, but
 * it gives no line numbers and joins what is there twice without a word.
 */
typedef struct Scan {
  const char *name;        /* of the file, for errors */
  GHashTable *line_of;     /* "section" or "section\nkey" → line number */
  GPtrArray *section_list; /* char*, in the order of the file */
  char *twice;             /* the first name that is there again, as an error message */
} Scan;

/* config.c. key: may be NULL. Returns FALSE. */
gboolean config_fail_at(GError **error, const Scan *scan, const char *section, const char *key,
                        const char *format, ...) G_GNUC_PRINTF(5, 6);
/* The value without what stands around it; transfer full. */
char *config_read_value(GKeyFile *file, const Scan *scan, const char *section, const char *key,
                        GError **error);
gboolean config_read_key(gpointer config, GKeyFile *file, const Scan *scan, const char *section,
                         const ConfigKey *key, GError **error);
void config_clear_group(gpointer group);
/* Takes the value. */
void config_add_entry(GPtrArray *entries, const char *section, const char *key, char *value,
                      gboolean is_default, gboolean reloadable);

/* config_groups.c */
gboolean config_read_group(Config *config, GKeyFile *file, const Scan *scan, const char *section,
                           GError **error);
/* Fills in what the sections of groups leave to the others, and sorts them. */
void config_finish_groups(Config *config, GKeyFile *file);
gboolean config_check_groups(const Config *config, const Scan *scan, GError **error);
void config_add_groups(GPtrArray *entries, const Config *config);
void config_adopt_groups(Config *running, const Config *fresh);
