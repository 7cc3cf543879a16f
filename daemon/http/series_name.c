#include "http/series_name.h"

#include <string.h>

static gboolean is_special(char c)
{
  return c == ',' || c == '=' || c == '\\';
}

static void put_part(GString *out, const char *part)
{
  for (const char *c = part; *c != '\0'; c++) {
    gboolean escape = *c == ',' || *c == '=';
    if (*c == '\\')
      escape = c[1] == '\0' || is_special(c[1]);
    if (escape)
      g_string_append_c(out, '\\');
    g_string_append_c(out, *c);
  }
}

static int compare_tags(gconstpointer a, gconstpointer b)
{
  return strcmp(((const SeriesTag *)a)->key, ((const SeriesTag *)b)->key);
}

gboolean series_name_put(GString *out, const char *head, SeriesTag *tags, guint count)
{
  if (count > 1)
    qsort(tags, count, sizeof *tags, compare_tags);
  for (guint i = 1; i < count; i++)
    if (strcmp(tags[i - 1].key, tags[i].key) == 0)
      return FALSE;
  put_part(out, head);
  for (guint i = 0; i < count; i++) {
    g_string_append_c(out, ',');
    put_part(out, tags[i].key);
    g_string_append_c(out, '=');
    put_part(out, tags[i].value);
  }
  return TRUE;
}

/* The part up to an unescaped byte of `stops`, or to the end; *at moves onto that byte. */
static char *take_part(const char **at, const char *stops)
{
  GString *part = g_string_new(NULL);
  const char *c = *at;
  for (; *c != '\0' && strchr(stops, *c) == NULL; c++) {
    if (*c == '\\' && is_special(c[1]))
      c++;
    g_string_append_c(part, *c);
  }
  *at = c;
  return g_string_free(part, FALSE);
}

char *series_name_split(const char *name, GPtrArray *tags)
{
  guint before = tags->len;
  const char *at = name;
  char *head = take_part(&at, ",=");
  while (*at == ',') {
    at++;
    char *key = take_part(&at, ",=");
    g_ptr_array_add(tags, key);
    char *value = NULL;
    if (*at == '=' && *key != '\0') {
      at++;
      value = take_part(&at, ",=");
    }
    g_ptr_array_add(tags, value);
    if (value == NULL || *value == '\0')
      break;
  }
  guint added = tags->len - before;
  gboolean sound = *at == '\0' && *head != '\0';
  for (guint i = before; i < tags->len; i++)
    sound = sound && tags->pdata[i] != NULL && *(char *)tags->pdata[i] != '\0';
  if (sound)
    return head;
  if (added > 0)
    g_ptr_array_remove_range(tags, before, added);
  g_free(head);
  return g_strdup(name);
}
