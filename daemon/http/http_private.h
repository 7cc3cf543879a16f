/* The inside of the server, shared by http_server.c and http_conn.c. All of it belongs to the
 * server's thread but the inbox and the counters. */
#pragma once

#include "http/http_parse.h"
#include "http/http_server.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

typedef struct HttpConn HttpConn;

typedef struct HttpTask {
  void (*func)(gpointer data);
  gpointer data;
} HttpTask;

struct HttpServer {
  const HttpRoute *routes;
  gpointer ctx;
  guint max_connections;
  GThread *thread;
  struct event_base *base;
  struct event *wake_event, *tick_event, *accept_event;
  int wake_fd;
  GPtrArray *listeners; /* struct evconnlistener */
  GQueue conns;         /* HttpConn */
  gsize body_bytes;     /* of all requests */
  guint requests;       /* not answered yet */
  gboolean draining, ending;

  gint connections; /* atomic; the length of conns */
  gsize refused;    /* atomic */

  GMutex lock;
  GArray *inbox; /* HttpTask; under lock */
};

struct HttpRequest {
  HttpServer *server;
  HttpConn *conn; /* NULL: the other side is gone */
  HttpHead head;
  HttpMethods method;
  gboolean is_head;
  guint8 *body;
  gsize body_size;
  GHashTable *params, *form; /* may be NULL */
  HttpMore more;             /* of a stream */
  gpointer more_data;
  gboolean chunked; /* as the stream is sent */
};

/* Runs func(data) on the server's thread: at once when it is called there. */
void http_server_run(HttpServer *server, void (*func)(gpointer data), gpointer data);

/* To be called when a connection or request is gone. */
void http_server_check_end(HttpServer *server);

/* Serves a connection; `fd` is taken over. */
void http_conn_new(HttpServer *server, int fd);

/* Closes the connection whose head is waited for longest; FALSE: there is none. */
gboolean http_conn_evict(HttpServer *server);

/* Cuts off what is too late. */
void http_conns_check_time(HttpServer *server);

/* Closes what waits for a request, the others once they are answered. */
void http_conns_drain(HttpServer *server);
