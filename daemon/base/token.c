#include "base/token.h"

#include "base/error.h"
#include "base/limits.h"

#include <string.h>

char *token_format(const Token *token, char text[TOKEN_TEXT_SIZE])
{
  char log[LOG_ID_TEXT_SIZE];
  int used = g_snprintf(text, TOKEN_TEXT_SIZE, "%s:%" G_GUINT64_FORMAT,
                        log_id_format(token->log, log), token->index);
  if (token->group != 0)
    g_snprintf(text + used, TOKEN_TEXT_SIZE - (gulong)used, "@%u", token->group);
  return text;
}

gboolean token_parse(const char *text, Token *out_token, GError **error)
{
  Token token = {.group = 0};
  guint64 group = 0;
  const char *colon = strchr(text, ':'), *at = colon != NULL ? strchr(colon, '@') : NULL;
  g_autofree char *log = g_strndup(text, colon != NULL ? (gsize)(colon - text) : 0);
  g_autofree char *index = colon == NULL ? NULL
                           : at != NULL  ? g_strndup(colon + 1, (gsize)(at - colon - 1))
                                         : g_strdup(colon + 1);
  if (colon == NULL || !log_id_parse(log, &token.log) ||
      !g_ascii_string_to_unsigned(index, 10, 0, G_MAXINT64, &token.index, NULL) ||
      (at != NULL && !g_ascii_string_to_unsigned(at + 1, 10, 1, LIMIT_GROUP_ID, &group, NULL)))
    return fail(error, SYNCLOG_INVALID,
                "\"%s\" is no token (as printed by insert: ORIGIN-INCARNATION:INDEX[@GROUP])",
                text);
  token.group = (guint32)group;
  *out_token = token;
  return TRUE;
}
