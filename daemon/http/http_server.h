/*
 * A small HTTP/1.1 server for operators and for tools that speak no Thrift.
 *
 * A table of routes says what there is: a path, the methods, how large a body may be, and the
 * handler. Handlers run on the server's one thread and wait only for short locks; what takes longer
 * they hand to other threads. Each request is answered once, by any thread, now or later:
 *
 *     static void answer_page(gpointer ctx, HttpRequest *request)
 *     {
 *       http_reply(request, &(HttpAnswer){200, "text/html; charset=utf-8", .body =
 * make_page(ctx)});
 *     }
 *
 *     static void take_write(gpointer ctx, HttpRequest *request) // HTTP_POST, max_body 16 MiB
 *     {
 *       rpc_loops_work(loops, parse_and_write, request); // ends in http_reply on a worker
 *     }
 *
 * An answer of unknown size is streamed piece by piece: http_stream_begin, then `more` is called
 * whenever the reader has taken what was sent; it, or a thread to which it hands the work, calls
 * http_stream_send for the next piece or http_stream_end, one of them once per call. So a slow
 * reader holds one piece, and no thread.
 *
 * Bounds (P7): so many connections; at the limit a new one takes the place of the one that has
 * waited longest without a complete head, and is answered 503 when there is none. A head of
 * HTTP_HEAD_SIZE, sent within HTTP_HEAD_S; a body within the route's bound and HTTP_BODY_S, and all
 * bodies together within HTTP_BODIES_SIZE; an answer is read within HTTP_SEND_S (a piece of a
 * stream likewise). Who is slower is cut off. A path is compared as it was sent, nothing of it is
 * decoded, and it never names a file.
 */
#pragma once

#include <glib.h>

enum {
  HTTP_HEAD_SIZE = 8 * 1024,
  HTTP_BODIES_SIZE = 64 * 1024 * 1024,
  HTTP_HEAD_S = 5,
  HTTP_BODY_S = 30,
  HTTP_SEND_S = 30,
  HTTP_IDLE_S = 60, /* between the requests of a connection */
};

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

typedef enum { HTTP_GET = 1, HTTP_POST = 2 } HttpMethods; /* HEAD goes with GET */

typedef struct HttpRoute {
  const char *path; /* "/metrics"; with '*' at its end all that begin so */
  guint methods;    /* HttpMethods */
  gsize max_body;   /* bytes; 0: takes none */
  void (*handle)(gpointer ctx, HttpRequest *request);
} HttpRoute;

typedef struct HttpAnswer {
  guint status;
  const char *type; /* of the content, e.g. "text/plain; charset=utf-8"; NULL without a body */
  GString *body;    /* taken over; may be NULL */
  GString *headers; /* more of them, "Name: value\r\n" each; taken over; may be NULL */
} HttpAnswer;

/*
 * Serves on listening sockets (int), which are the server's from now on; the array stays the
 * caller's. `routes` ends with a NULL path and must outlive the server; the first that fits counts.
 */
HttpServer *http_server_new(const GArray *sockets, const HttpRoute *routes, guint max_connections,
                            gpointer ctx);

guint http_server_connections(HttpServer *server);
/* Connections turned away or cut off at a bound, since the start. */
guint64 http_server_refused(HttpServer *server);

/* Takes no more connections and requests. Those that are with a handler are still answered. */
void http_server_drain(HttpServer *server);

/* Drains, waits until every request is answered, and ends the thread. */
void http_server_free(HttpServer *server);

/* --- requests: any thread, until they are answered ----------------------------------------------
 */

HttpMethods http_request_method(const HttpRequest *request);
const char *http_request_path(const HttpRequest *request); /* as sent, without the query */
/* A parameter of the query, decoded (may be empty); NULL: not there, or not UTF-8. The first
 * counts. */
const char *http_request_param(const HttpRequest *request, const char *name);
/* As http_request_param, of a body of type application/x-www-form-urlencoded. Of one thread at a
 * time. */
const char *http_request_form(HttpRequest *request, const char *name);
/* By its name in any case; NULL: not there. */
const char *http_request_header(const HttpRequest *request, const char *name);
const guint8 *http_request_body(const HttpRequest *request, gsize *out_size);

/* Answers; the request is gone afterwards. */
void http_reply(HttpRequest *request, const HttpAnswer *answer);
/* A line of text. */
void http_reply_text(HttpRequest *request, guint status, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* On the server's thread. `gone`: the reader went away or the server ends; only http_stream_end is
 * right then. */
typedef void (*HttpMore)(HttpRequest *request, gpointer data, gboolean gone);

/* Begins the answer (its body must be NULL); `more` is called soon. */
void http_stream_begin(HttpRequest *request, const HttpAnswer *answer, HttpMore more,
                       gpointer data);
/* Takes the piece over, which must not be empty. */
void http_stream_send(HttpRequest *request, GString *piece);
/* The request is gone afterwards. With `complete` FALSE the connection is broken off, so that the
 * reader knows that something is missing. */
void http_stream_end(HttpRequest *request, gboolean complete);
