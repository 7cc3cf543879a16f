/*
 * A point in a log that a client was given: returned by a write, brought by reads. Plain values,
 * any thread.
 */
#pragma once

#include "base/log_id.h"

typedef struct Token {
  LogId log;
  guint64 index;
  guint32 group; /* that the log is of; 0: group 0, or nobody said */
} Token;

/* "<origin>-<incarnation>:<index>", and "@<group>" behind it unless that is 0; returns `text`. */
enum { TOKEN_TEXT_SIZE = 68 };
char *token_format(const Token *token, char text[TOKEN_TEXT_SIZE]);

/* Parses what token_format writes. INVALID otherwise, *out_token untouched. */
gboolean token_parse(const char *text, Token *out_token, GError **error);
