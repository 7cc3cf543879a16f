/*
 * A small HTTP server for what operators look at: GET and HEAD of a few fixed paths, each made anew
 * for each request. One thread of its own; slow or idle clients are cut off in HTTP_TIMEOUT_S, and
 * a lack of file descriptors makes it wait, so it can't hurt the rest of the daemon.
 */
#pragma once

#include <glib.h>

typedef struct HttpServer HttpServer;

typedef struct HttpAnswer {
  guint status;     /* 200 */
  const char *type; /* of the content, a static string */
  GString *body;
} HttpAnswer;

typedef struct HttpPath {
  const char *path; /* "/metrics" */
  /* Fills the answer, which begins as 200 without a body. On the server's thread; may wait only for
   * short locks. */
  void (*answer)(gpointer ctx, HttpAnswer *answer);
} HttpPath;

/*
 * Serves on listening sockets (int), which are the server's from now on; the array stays the
 * caller's. `paths` ends with a NULL path and must outlive the server.
 */
HttpServer *http_server_new(const GArray *sockets, const HttpPath *paths, gpointer ctx);

/* Answers no more, and waits for the thread. */
void http_server_free(HttpServer *server);
