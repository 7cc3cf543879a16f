#include "base/token.h"

#include "base/error.h"

#include <string.h>

char *token_format(const Token *token, char text[TOKEN_TEXT_SIZE])
{
  char log[LOG_ID_TEXT_SIZE];
  g_snprintf(text, TOKEN_TEXT_SIZE, "%s:%" G_GUINT64_FORMAT, log_id_format(token->log, log),
             token->index);
  return text;
}

gboolean token_parse(const char *text, Token *out_token, GError **error)
{
  Token token;
  const char *colon = strchr(text, ':');
  g_autofree char *log = g_strndup(text, colon != NULL ? (gsize)(colon - text) : 0);
  if (colon == NULL || !log_id_parse(log, &token.log) ||
      !g_ascii_string_to_unsigned(colon + 1, 10, 0, G_MAXINT64, &token.index, NULL))
    return fail(error, SYNCLOG_INVALID,
                "\"%s\" is no token (as printed by insert: ORIGIN-INCARNATION:INDEX)", text);
  *out_token = token;
  return TRUE;
}
