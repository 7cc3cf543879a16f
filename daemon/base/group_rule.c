#include "base/group_rule.h"

#include "base/limits.h"

#include <string.h>

typedef struct Pattern {
  char *text; /* without the '*' */
  gsize size;
  gboolean whole; /* else the beginning of names */
  guint32 group;
} Pattern;

struct GroupRule {
  gint refs;        /* atomic */
  GArray *patterns; /* Pattern, in the order in which they are tried */
};

static void pattern_clear(gpointer data)
{
  g_free(((Pattern *)data)->text);
}

GroupRule *group_rule_new(void)
{
  GroupRule *rule = g_new0(GroupRule, 1);
  rule->refs = 1;
  rule->patterns = g_array_new(FALSE, FALSE, sizeof(Pattern));
  g_array_set_clear_func(rule->patterns, pattern_clear);
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
  g_array_unref(rule->patterns);
  g_free(rule);
}

/* Whole names first, then the longest beginning. */
static int compare(const Pattern *one, const Pattern *other)
{
  if (one->whole != other->whole)
    return one->whole ? -1 : 1;
  if (one->size != other->size)
    return one->size > other->size ? -1 : 1;
  return memcmp(one->text, other->text, one->size);
}

static gboolean insert(GroupRule *rule, const Pattern *pattern, const char *text, GError **error)
{
  guint at = 0;
  int order = -1;
  while (at < rule->patterns->len &&
         (order = compare(pattern, &g_array_index(rule->patterns, Pattern, at))) > 0)
    at++;
  if (at < rule->patterns->len && order == 0)
    return fail(error, SYNCLOG_INVALID, "the pattern '%s' is that of group %u already", text,
                g_array_index(rule->patterns, Pattern, at).group);
  if (rule->patterns->len >= LIMIT_PATTERNS)
    return fail(error, SYNCLOG_INVALID, "more than %d patterns", LIMIT_PATTERNS);
  g_array_insert_val(rule->patterns, at, *pattern);
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
  Pattern pattern = {g_strndup(text, size), size, star == NULL, group};
  if (insert(rule, &pattern, text, error))
    return TRUE;
  pattern_clear(&pattern);
  return FALSE;
}

gboolean group_rule_add(GroupRule *rule, guint32 group, const char *patterns, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(patterns, ",", -1);
  for (guint i = 0; parts[i] != NULL; i++)
    if (!add_one(rule, group, g_strstrip(parts[i]), error))
      return FALSE;
  return parts[0] != NULL || fail(error, SYNCLOG_INVALID, "an empty pattern");
}

guint32 group_rule_find(const GroupRule *rule, const char *device, gsize size)
{
  for (guint i = 0; i < rule->patterns->len; i++) {
    const Pattern *pattern = &g_array_index(rule->patterns, Pattern, i);
    if ((pattern->whole ? size == pattern->size : size >= pattern->size) &&
        memcmp(device, pattern->text, pattern->size) == 0)
      return pattern->group;
  }
  return 0;
}

gboolean group_rule_is_empty(const GroupRule *rule)
{
  return rule->patterns->len == 0;
}
