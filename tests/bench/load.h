/*
 * The load generator: connections on one epoll loop, one thread. Requests are templates with a few
 * bytes patched, replies are looked at only as far as needed, so that one core drives far more than
 * the servers under test take.
 *
 * Closed loop (rate 0): each connection keeps `depth` requests in flight; a latency is counted from
 * the moment a request is handed to its connection. Open loop: requests have fixed times, `rate` a
 * second, and a latency is counted from that time, also when no connection was free then; so a
 * server that stops for a second is charged for all that should have been sent meanwhile.
 */
#pragma once

#include "histogram.h"
#include "payload.h"

typedef struct LoadSpec {
  const Payload *payload;
  GPtrArray *addresses; /* "host:port" of all nodes */
  guint targets;        /* the first so many take the load, connections go around over them */
  guint connections, depth;
  double rate; /* requests a second, 0: as fast as they are answered */
  double warmup_s, measure_s;
  guint64 requests;   /* end after so many; 0: by time */
  gboolean probe_lag; /* every few milliseconds, ask the other nodes for what was acknowledged */
  void (*on_begin)(gpointer data); /* the measured part begins; may be NULL */
  gpointer data;
} LoadSpec;

typedef struct LoadResult {
  guint64 acked, acked_points;   /* while measured */
  guint64 acked_after_begin;     /* from the begin of the measured part on, to the last reply */
  guint64 all_acked, all_points; /* in all, until the last reply */
  guint64 refused, pending;      /* other statuses; PENDING among the acked */
  char *first_refusal;           /* text of one, or NULL */
  double seconds;                /* measured */
  double tail_s;                 /* from the end of the measured part to the last reply */
  double client_cpu;             /* cores */
  gint64 begin_ns, end_ns;       /* of the measured part, monotonic */
  Histogram *latency, *lag;
  guint64 lag_missed; /* samples not taken, because all probes were still waiting */
  GArray *tokens;     /* the last one of each address */
} LoadResult;

gint64 clock_ns(void);

/* Connects to "host:port", without delay of small packets, not blocking from then on; -1 on
 * failure. */
int load_connect(const char *address, GError **error);

/* NULL when a connection fails, is closed, or gets an answer that is none. */
LoadResult *load_run(const LoadSpec *spec, GError **error);
void load_result_free(LoadResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoadResult, load_result_free)
