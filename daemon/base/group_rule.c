#include "base/group_rule.h"

#include "base/limits.h"

#include <string.h>

/* Patterns are sorted by their bytes, so that the longest beginning of a name is found from the
 * greatest pattern that does not come behind the name: it, or one of those that it begins with. */
typedef struct Pattern {
  char *text; /* without the '*' */
  gsize size;
  guint32 group;
  gint shorter; /* of a beginning: the longest other one that it begins with; -1: none */
} Pattern;

struct GroupRule {
  gint refs;          /* atomic */
  GArray *names;      /* Pattern: whole names, sorted */
  GArray *beginnings; /* Pattern: of names, sorted */
};

static void pattern_clear(gpointer data)
{
  g_free(((Pattern *)data)->text);
}

GroupRule *group_rule_new(void)
{
  GroupRule *rule = g_new0(GroupRule, 1);
  rule->refs = 1;
  rule->names = g_array_new(FALSE, FALSE, sizeof(Pattern));
  rule->beginnings = g_array_new(FALSE, FALSE, sizeof(Pattern));
  g_array_set_clear_func(rule->names, pattern_clear);
  g_array_set_clear_func(rule->beginnings, pattern_clear);
  return rule;
}

GroupRule *group_rule_ref(GroupRule *rule)
{
  g_atomic_int_inc(&rule->refs);
  return rule;
}

void group_rule_unref(GroupRule *rule)
{
  if (!g_atomic_int_dec_and_test(&rule->refs))
    return;
  g_array_unref(rule->names);
  g_array_unref(rule->beginnings);
  g_free(rule);
}

static int compare(const Pattern *one, const char *text, gsize size)
{
  int order = memcmp(one->text, text, MIN(one->size, size));
  return order != 0 ? order : one->size < size ? -1 : one->size > size;
}

static gboolean begins_with(const char *text, gsize size, const Pattern *pattern)
{
  return size >= pattern->size && memcmp(text, pattern->text, pattern->size) == 0;
}

/* How many patterns come before `text`, or are it. */
static guint count_up_to(const GArray *patterns, const char *text, gsize size)
{
  guint low = 0, high = patterns->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (compare(&g_array_index(patterns, Pattern, middle), text, size) <= 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The longest of the beginnings before `count` that `text` begins with; -1: none. */
static gint find_beginning(const GArray *beginnings, guint count, const char *text, gsize size)
{
  gint at = (gint)count - 1;
  while (at >= 0 && !begins_with(text, size, &g_array_index(beginnings, Pattern, at)))
    at = g_array_index(beginnings, Pattern, at).shorter;
  return at;
}

static void link_beginnings(GArray *beginnings)
{
  for (guint i = 0; i < beginnings->len; i++) {
    Pattern *pattern = &g_array_index(beginnings, Pattern, i);
    pattern->shorter = find_beginning(beginnings, i, pattern->text, pattern->size);
  }
}

static gboolean insert(GroupRule *rule, GArray *patterns, const Pattern *pattern, const char *text,
                       GError **error)
{
  guint at = count_up_to(patterns, pattern->text, pattern->size);
  const Pattern *before = at > 0 ? &g_array_index(patterns, Pattern, at - 1) : NULL;
  if (before != NULL && compare(before, pattern->text, pattern->size) == 0)
    return fail(error, SYNCLOG_INVALID, "the pattern '%s' is that of group %u already", text,
                before->group);
  if (rule->names->len + rule->beginnings->len >= LIMIT_PATTERNS)
    return fail(error, SYNCLOG_INVALID, "more than %d patterns", LIMIT_PATTERNS);
  g_array_insert_val(patterns, at, *pattern);
  return TRUE;
}

static gboolean add_one(GroupRule *rule, guint32 group, const char *text, GError **error)
{
  const char *star = strchr(text, '*');
  gsize size = star != NULL ? (gsize)(star - text) : strlen(text);
  if (size == 0 && star != NULL)
    return fail(error, SYNCLOG_INVALID, "'%s' stands for all devices: those are group 0's", text);
  if (size == 0)
    return fail(error, SYNCLOG_INVALID, "an empty pattern");
  if (star != NULL && star[1] != '\0')
    return fail(error, SYNCLOG_INVALID, "'%s': a '*' may only be at the end", text);
  if (size > LIMIT_NAME_SIZE)
    return fail(error, SYNCLOG_INVALID, "a pattern of %zu bytes, names have at most %d", size,
                LIMIT_NAME_SIZE);
  Pattern pattern = {g_strndup(text, size), size, group, -1};
  if (insert(rule, star == NULL ? rule->names : rule->beginnings, &pattern, text, error))
    return TRUE;
  pattern_clear(&pattern);
  return FALSE;
}

gboolean group_rule_add(GroupRule *rule, guint32 group, const char *patterns, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(patterns, ",", -1);
  gboolean added = parts[0] != NULL || fail(error, SYNCLOG_INVALID, "an empty pattern");
  for (guint i = 0; added && parts[i] != NULL; i++)
    added = add_one(rule, group, g_strstrip(parts[i]), error);
  link_beginnings(rule->beginnings);
  return added;
}

guint32 group_rule_find(const GroupRule *rule, const char *device, gsize size)
{
  guint count = count_up_to(rule->names, device, size);
  const Pattern *name = count > 0 ? &g_array_index(rule->names, Pattern, count - 1) : NULL;
  if (name != NULL && compare(name, device, size) == 0)
    return name->group;
  gint at =
      find_beginning(rule->beginnings, count_up_to(rule->beginnings, device, size), device, size);
  return at >= 0 ? g_array_index(rule->beginnings, Pattern, at).group : 0;
}

gboolean group_rule_is_empty(const GroupRule *rule)
{
  return rule->names->len + rule->beginnings->len == 0;
}

static void add_to_checksum(GChecksum *checksum, const GArray *patterns, char kind)
{
  for (guint i = 0; i < patterns->len; i++) {
    const Pattern *pattern = &g_array_index(patterns, Pattern, i);
    g_autofree char *head =
        g_strdup_printf("%c%u:%" G_GSIZE_FORMAT ":", kind, pattern->group, pattern->size);
    g_checksum_update(checksum, (const guchar *)head, -1);
    g_checksum_update(checksum, (const guchar *)pattern->text, (gssize)pattern->size);
  }
}

guint64 group_rule_hash(const GroupRule *rule)
{
  guint8 digest[32];
  gsize size = sizeof digest;
  guint64 hash = 0;
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  add_to_checksum(checksum, rule->names, '=');
  add_to_checksum(checksum, rule->beginnings, '*');
  g_checksum_get_digest(checksum, digest, &size);
  for (guint i = 0; i < sizeof hash; i++)
    hash = hash << 8 | digest[i];
  return MAX(hash >> 1, 1); /* the wire has signed numbers */
}
