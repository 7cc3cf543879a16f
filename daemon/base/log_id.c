#include "base/log_id.h"

#include "base/limits.h"

#include <string.h>

int log_id_compare(const LogId *a, const LogId *b)
{
  if (a->origin != b->origin)
    return a->origin < b->origin ? -1 : 1;
  if (a->incarnation != b->incarnation)
    return a->incarnation < b->incarnation ? -1 : 1;
  return 0;
}

char *log_id_format(LogId id, char text[LOG_ID_TEXT_SIZE])
{
  g_snprintf(text, LOG_ID_TEXT_SIZE, "%u-%" G_GUINT64_FORMAT, id.origin, id.incarnation);
  return text;
}

gboolean log_id_parse(const char *text, LogId *out_id)
{
  g_auto(GStrv) parts = g_strsplit(text, "-", 3);
  if (g_strv_length(parts) != 2)
    return FALSE;
  guint64 origin, incarnation;
  if (!g_ascii_string_to_unsigned(parts[0], 10, 1, LIMIT_NODE_ID, &origin, NULL) ||
      !g_ascii_string_to_unsigned(parts[1], 10, 1, G_MAXINT64, &incarnation, NULL))
    return FALSE;
  LogId id = {(guint32)origin, incarnation};
  char canonical[LOG_ID_TEXT_SIZE];
  if (strcmp(log_id_format(id, canonical), text) != 0)
    return FALSE;
  *out_id = id;
  return TRUE;
}
