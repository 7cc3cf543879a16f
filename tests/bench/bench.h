/*
 * The options of a run, and what came out of it.
 */
#pragma once

#include "cluster.h"
#include "floor.h"
#include "load.h"
#include "proc.h"
#include "verify.h"

#include <jansson.h>

typedef struct Options {
  const char *workload;
  TargetKind target;
  char *start;     /* build folder; NULL: drive `connect` */
  char **connect;  /* "host:port" */
  char **settings; /* "section.key=value" for the daemons */
  char **pids;     /* of the servers that are driven */
  char *dir;       /* where temporary folders go */
  char *data;      /* layout: a folder with measurements */
  char *ack_text;
  int nodes;   /* started */
  int targets; /* nodes that take the load; 0: all */
  int connections, depth, rows, columns, devices, redis_wait, redis_replicas;
  double rate, warmup_s, measure_s;
  int entries;     /* catchup: written while the peer is down; 0: for measure_s */
  int points;      /* read: written before */
  double settle_s; /* read: pause between writing and reading */
  gboolean json, lag, no_verify, keep;
  gboolean raw; /* read: only what is as it was written */
  AckLevel ack;
} Options;

/* The servers of a run: started for it, or given. */
typedef struct Bench {
  const Options *options;
  char *dir; /* NULL when nothing was started */
  Cluster *cluster;
  Floor *floor;
  GPtrArray *addresses;
  GArray *pids;
} Bench;

gboolean bench_open(Bench *bench, const Options *options, GError **error);
/* Ends what was started; fails when a daemon did not end well. */
gboolean bench_close(Bench *bench, GError **error);

/* What describes the run, to begin a result with. */
json_t *bench_describe(const Options *options);

/* One load and all that is measured around it. */
json_t *bench_load(Bench *bench, GError **error);
json_t *bench_read(Bench *bench, GError **error);
json_t *bench_catchup(Bench *bench, GError **error);
json_t *bench_idle(Bench *bench, GError **error);
json_t *bench_layout(Bench *bench, GError **error);

/* Prints a result as lines for people. */
void bench_print(const json_t *result);
