/*
 * The identity of a log: who wrote it, and during which incarnation. Plain values, any thread.
 */
#pragma once

#include <glib.h>

typedef struct LogId {
  guint32 origin;      /* node id of the writer, 1 .. LIMIT_NODE_ID */
  guint64 incarnation; /* creation time of the incarnation in µs since 1970, below 2^63 */
} LogId;

/* Total order: by origin, then by incarnation. Negative, zero or positive. */
int log_id_compare(const LogId *a, const LogId *b);

static inline gboolean log_id_equal(LogId a, LogId b)
{
  return a.origin == b.origin && a.incarnation == b.incarnation;
}

enum { LOG_ID_TEXT_SIZE = 32 };

/* "<origin>-<incarnation>", as in directory names; returns `text`. */
char *log_id_format(LogId id, char text[LOG_ID_TEXT_SIZE]);

/* Parses exactly what log_id_format writes. FALSE and *out_id untouched otherwise. */
gboolean log_id_parse(const char *text, LogId *out_id);
