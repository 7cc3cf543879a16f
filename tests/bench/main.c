/*
 * synclog-bench: load on a cluster, or on the floor, or on redis, and what it takes. See README.md.
 */
#include "bench.h"

#include "base/error.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  EXIT_USAGE = 2,
  CONNECTIONS_MAX = 4000,
  DEPTH_MAX = 4096,
  ROWS_MAX = 100000,
  COLUMNS_MAX = 1000,
};

typedef json_t *Run(Bench *bench, GError **error);

typedef struct Workload {
  const char *name;
  int rows, columns, connections, depth;
  Run *run;
} Workload;

static const Workload workloads[] = {
    {"row", 0, 5, 64, 1, bench_load},      {"tablet", 100, 5, 64, 1, bench_load},
    {"wide", 1000, 10, 16, 1, bench_load}, {"bulk", 0, 5, 16, 64, bench_load},
    {"read", 100000, 1, 1, 1, bench_read}, {"catchup", 0, 5, 64, 1, bench_catchup},
    {"idle", 0, 5, 64, 1, bench_idle},     {"layout", 0, 5, 1, 1, bench_layout},
};

static const char SUMMARY[] =
    "WORKLOAD: row (1 row of 5 DOUBLE), tablet (100 rows of 5), wide (1000 of 10), bulk (rows, 64 "
    "in\n"
    "flight on each connection), read (a range of one measurement, last values, an aggregate), "
    "catchup\n"
    "(a node was down while rows were written), idle, layout (the store alone, without daemons: "
    "bytes on\n"
    "disk and how fast all is read).\n"
    "With --start three daemons are started in a temporary folder and stopped at the end; else\n"
    "--connect says where they are. \"floor\" instead of a cluster: the least that any such daemon "
    "must\n"
    "do. \"redis\": drives a redis-server that runs already.";

static Options options = {.nodes = 3,
                          .targets = 1,
                          .devices = 1000,
                          .points = 2000000,
                          .rows = -1,
                          .redis_replicas = 2,
                          .warmup_s = 0.5,
                          .measure_s = 3.0};

static const GOptionEntry entries[] = {
    {"start", 's', 0, G_OPTION_ARG_FILENAME, &options.start, "start daemons of this build",
     "BUILD"},
    {"connect", 'a', 0, G_OPTION_ARG_STRING_ARRAY, &options.connect, "a server; repeat for each",
     "HOST:PORT"},
    {"pid", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &options.pids,
     "process id of a server, for its CPU and memory; repeat", "PID"},
    {"nodes", 'n', 0, G_OPTION_ARG_INT, &options.nodes, "nodes to start (3)", "COUNT"},
    {"targets", 't', 0, G_OPTION_ARG_INT, &options.targets, "nodes that take the load (1), 0: all",
     "COUNT"},
    {"connections", 'c', 0, G_OPTION_ARG_INT, &options.connections, "connections", "COUNT"},
    {"depth", 'q', 0, G_OPTION_ARG_INT, &options.depth, "requests in flight on each", "COUNT"},
    {"ack", 0, 0, G_OPTION_ARG_STRING, &options.ack_text, "local, majority or all", "ACK"},
    {"rate", 'r', 0, G_OPTION_ARG_DOUBLE, &options.rate,
     "requests a second at fixed times; 0: as fast as they are answered", "RATE"},
    {"lag", 'l', 0, G_OPTION_ARG_NONE, &options.lag, "measure the lag of the other nodes", NULL},
    {"seconds", 'd', 0, G_OPTION_ARG_DOUBLE, &options.measure_s, "how long to measure (3)", "S"},
    {"warmup", 'w', 0, G_OPTION_ARG_DOUBLE, &options.warmup_s, "how long before (0.5)", "S"},
    {"rows", 0, 0, G_OPTION_ARG_INT, &options.rows,
     "rows of a tablet, 0: a single row; of a range that is read", "COUNT"},
    {"columns", 0, 0, G_OPTION_ARG_INT, &options.columns, "measurements of a device", "COUNT"},
    {"devices", 0, 0, G_OPTION_ARG_INT, &options.devices, "devices (1000)", "COUNT"},
    {"entries", 0, 0, G_OPTION_ARG_INT, &options.entries,
     "catchup: writes while the node is down; 0: for --seconds", "COUNT"},
    {"points", 0, 0, G_OPTION_ARG_INT, &options.points, "read: written before (2000000)", "COUNT"},
    {"settle", 0, 0, G_OPTION_ARG_DOUBLE, &options.settle_s, "read: pause after writing (0)", "S"},
    {"raw", 0, 0, G_OPTION_ARG_NONE, &options.raw, "read: do not wait for chunks", NULL},
    {"wait", 0, 0, G_OPTION_ARG_INT, &options.redis_wait, "redis: a WAIT behind each SET", "COUNT"},
    {"replicas", 0, 0, G_OPTION_ARG_INT, &options.redis_replicas, "redis: replicas it has (2)",
     "COUNT"},
    {"config", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.settings,
     "setting of the daemons that are started; repeat", "SECTION.KEY=VALUE"},
    {"data", 0, 0, G_OPTION_ARG_FILENAME, &options.data,
     "layout: a folder with files of time,value", "DIR"},
    {"dir", 0, 0, G_OPTION_ARG_FILENAME, &options.dir, "where temporary folders go", "DIR"},
    {"keep", 0, 0, G_OPTION_ARG_NONE, &options.keep, "leave the temporary folder", NULL},
    {"no-verify", 0, 0, G_OPTION_ARG_NONE, &options.no_verify, "do not compare digests", NULL},
    {"json", 'j', 0, G_OPTION_ARG_NONE, &options.json, "print one line of JSON", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const Workload *find_workload(const char *name)
{
  for (guint i = 0; name != NULL && i < G_N_ELEMENTS(workloads); i++) {
    if (strcmp(workloads[i].name, name) == 0)
      return &workloads[i];
  }
  return NULL;
}

static gboolean parse_ack(GError **error)
{
  static const char *const names[] = {"local", "majority", "all"};
  if (options.ack_text == NULL)
    options.ack_text = g_strdup("local");
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    if (strcmp(options.ack_text, names[i]) == 0)
      options.ack = (AckLevel)(ACK_LOCAL + i);
  }
  return options.ack != 0 || fail(error, SYNCLOG_INVALID, "--ack %s?", options.ack_text);
}

static gboolean in_range(const char *name, double value, double least, double most, GError **error)
{
  return (value >= least && value <= most) ||
         fail(error, SYNCLOG_INVALID, "--%s must be from %g to %g", name, least, most);
}

static gboolean check_options(const Workload *workload, GError **error)
{
  options.workload = workload->name;
  if (options.rows < 0)
    options.rows = workload->rows;
  if (options.columns == 0)
    options.columns = workload->columns;
  if (options.connections == 0)
    options.connections = workload->connections;
  if (options.depth == 0)
    options.depth = workload->depth;
  return parse_ack(error) && in_range("rows", options.rows, 0, ROWS_MAX, error) &&
         in_range("columns", options.columns, 1, COLUMNS_MAX, error) &&
         in_range("connections", options.connections, 1, CONNECTIONS_MAX, error) &&
         in_range("depth", options.depth, 1, DEPTH_MAX, error) &&
         in_range("devices", options.devices, 1, 99999, error) &&
         in_range("entries", options.entries, 0, 1e9, error) &&
         in_range("points", options.points, 1000, 1e9, error) &&
         in_range("settle", options.settle_s, 0, 3600, error) &&
         in_range("nodes", options.nodes, 1, 64, error) &&
         in_range("targets", options.targets, 0, 64, error) &&
         in_range("wait", options.redis_wait, 0, 9, error) &&
         in_range("replicas", options.redis_replicas, 0, 9, error) &&
         in_range("rate", options.rate, 0, 1e8, error) &&
         in_range("seconds", options.measure_s, 0.01, 86400, error) &&
         in_range("warmup", options.warmup_s, 0, 86400, error);
}

/* [floor | redis] WORKLOAD */
static const Workload *parse(int argc, char **argv, GError **error)
{
  g_autoptr(GOptionContext) context = g_option_context_new("[floor | redis] WORKLOAD");
  g_option_context_add_main_entries(context, entries, NULL);
  g_option_context_set_summary(context, SUMMARY);
  if (!g_option_context_parse(context, &argc, &argv, error))
    return NULL;
  int at = 1;
  if (argc > at && strcmp(argv[at], "floor") == 0)
    options.target = TARGET_FLOOR, at++;
  else if (argc > at && strcmp(argv[at], "redis") == 0)
    options.target = TARGET_REDIS, at++;
  const Workload *workload = find_workload(argc == at + 1 ? argv[at] : NULL);
  if (workload == NULL) {
    fail(error, SYNCLOG_INVALID, "say one workload; --help has them");
    return NULL;
  }
  if (options.target != TARGET_SYNCLOG && workload->run != bench_load) {
    fail(error, SYNCLOG_INVALID, "%s is for synclogd only", workload->name);
    return NULL;
  }
  return check_options(workload, error) ? workload : NULL;
}

int main(int argc, char **argv)
{
  signal(SIGPIPE, SIG_IGN);
  g_autoptr(GError) error = NULL;
  const Workload *workload = parse(argc, argv, &error);
  if (workload == NULL) {
    g_printerr("synclog-bench: %s\n", error->message);
    return EXIT_USAGE;
  }
  Bench bench = {0};
  json_t *result = bench_open(&bench, &options, &error) ? workload->run(&bench, &error) : NULL;
  gboolean good = bench_close(&bench, error == NULL ? &error : NULL) && result != NULL;
  if (good && options.json) {
    g_autofree char *line = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(9));
    printf("%s\n", line);
  } else if (good) {
    bench_print(result);
  } else {
    g_printerr("synclog-bench: %s\n", error->message);
  }
  json_decref(result);
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
