/*
 * How the files that the process may have open are shared out, so that connections never take those
 * which the logs and the store need: a log that can't open its next segment is read-only, and a
 * store that can't open a file ends the node (P7).
 */
#pragma once

#include <glib.h>

typedef struct FileShares {
  guint clients, peers; /* connections that each server accepts at a time */
  guint http;           /* those of the HTTP server; 0 without one */
  guint store;          /* files that the stores of all groups keep open together */
} FileShares;

/* The shares of a process that may have `limit` files, with so many groups beside group 0. Neither
 * server gets more than max_connections, that for HTTP (if there is one) LIMIT_HTTP_CONNECTIONS,
 * and each gets one at least. Pure. */
FileShares file_shares(guint64 limit, guint max_connections, gboolean with_http, guint groups);

/* Raises the process's soft limit as far as max_connections wants it and the hard one allows.
 * Returns what it may have now. To be called before there are threads. */
guint64 file_limit_raise(guint max_connections, gboolean with_http, guint groups);
