/*
 * Devices that are series of tags: "cpu,core=0,host=a". What line protocol calls a measurement and
 * its tags becomes the name of a device, with the tags in the order of their keys, so that it does
 * not matter in which order they were sent; and for readers the name is taken apart into labels
 * again.
 *
 * A comma or an equals sign inside a part stands behind a backslash, and so does a backslash that
 * would be taken for such a one. So each name has one meaning, and each series one name. Pure.
 */
#pragma once

#include <glib.h>

typedef struct SeriesTag {
  const char *key, *value;
} SeriesTag;

/* Appends the name; sorts the tags. FALSE, and nothing appended, when two have the same key. */
gboolean series_name_put(GString *out, const char *head, SeriesTag *tags, guint count);

/*
 * Takes a name apart: the head comes back, transfer full; each tag is appended to `tags` (char *
 * pairs, key and value, owned by it; free function g_free). A name of which a part is no tag is all
 * head, so every name has a meaning.
 */
char *series_name_split(const char *name, GPtrArray *tags);
