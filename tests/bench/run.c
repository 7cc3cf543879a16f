#include "bench.h"

#include "base/error.h"

#include <string.h>

enum { DRAIN_TIMEOUT_MS = 120 * 1000 };

/* --- servers ------------------------------------------------------------------------------------
 */

/* Those of the workload, and behind them, so that they count, the user's. */
static char **settings_of(const Options *options)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  if (strcmp(options->workload, "read") == 0)
    g_strv_builder_add(builder, "store.compact_after=1s"); /* it waits for chunks */
  for (guint i = 0; options->settings != NULL && options->settings[i] != NULL; i++)
    g_strv_builder_add(builder, options->settings[i]);
  return g_strv_builder_end(builder);
}

static gboolean start_servers(Bench *bench, GError **error)
{
  const Options *options = bench->options;
  g_auto(GStrv) settings = settings_of(options);
  bench->dir = scratch_dir(options->dir, error);
  if (bench->dir == NULL)
    return FALSE;
  if (options->target == TARGET_FLOOR) {
    bench->floor = floor_start(bench->dir, error);
    if (bench->floor == NULL)
      return FALSE;
    g_ptr_array_add(bench->addresses, g_strdup(floor_address(bench->floor)));
    const GArray *pids = floor_pids(bench->floor);
    g_array_append_vals(bench->pids, pids->data, pids->len);
    return TRUE;
  }
  bench->cluster =
      cluster_start(options->start, bench->dir, (guint)options->nodes, settings, error);
  if (bench->cluster == NULL)
    return FALSE;
  for (guint i = 0; i < bench->cluster->count; i++)
    g_ptr_array_add(bench->addresses, g_strdup(g_ptr_array_index(bench->cluster->addresses, i)));
  g_array_append_vals(bench->pids, bench->cluster->pids->data, bench->cluster->pids->len);
  return TRUE;
}

gboolean bench_open(Bench *bench, const Options *options, GError **error)
{
  *bench = (Bench){.options = options,
                   .addresses = g_ptr_array_new_with_free_func(g_free),
                   .pids = g_array_new(FALSE, TRUE, sizeof(pid_t))};
  if (strcmp(options->workload, "layout") == 0)
    return TRUE; /* without servers */
  if (options->target == TARGET_FLOOR || options->start != NULL)
    return start_servers(bench, error);
  for (guint i = 0; options->connect != NULL && options->connect[i] != NULL; i++)
    g_ptr_array_add(bench->addresses, g_strdup(options->connect[i]));
  for (guint i = 0; options->pids != NULL && options->pids[i] != NULL; i++) {
    pid_t pid = (pid_t)g_ascii_strtoll(options->pids[i], NULL, 10);
    g_array_append_val(bench->pids, pid);
  }
  return bench->addresses->len > 0 ||
         fail(error, SYNCLOG_INVALID, "say --start BUILD or --connect HOST:PORT");
}

gboolean bench_close(Bench *bench, GError **error)
{
  gboolean good = bench->cluster == NULL || cluster_stop(bench->cluster, error);
  g_clear_pointer(&bench->cluster, cluster_free);
  g_clear_pointer(&bench->floor, floor_stop);
  g_clear_pointer(&bench->addresses, g_ptr_array_unref);
  if (bench->pids != NULL)
    g_array_free(g_steal_pointer(&bench->pids), TRUE);
  if (bench->dir != NULL && !bench->options->keep)
    remove_dir(bench->dir);
  g_clear_pointer(&bench->dir, g_free);
  return good;
}

/* --- a load -------------------------------------------------------------------------------------
 */

typedef struct Marks {
  Bench *bench;
  ProcUsage begin;
} Marks;

static void on_begin(gpointer data)
{
  Marks *marks = data;
  marks->begin = proc_usage(marks->bench->pids);
}

static gboolean drain(Bench *bench, const Payload *payload, const LoadResult *load, GError **error)
{
  const Options *options = bench->options;
  const char *first = g_ptr_array_index(bench->addresses, 0);
  g_autofree char *device = payload_device(payload, 0);
  switch (options->target) {
  case TARGET_FLOOR:
    return floor_drain(bench->floor, DRAIN_TIMEOUT_MS) ||
           fail(error, SYNCLOG_TIMEOUT, "the copies do not get all");
  case TARGET_REDIS:
    return verify_redis_drained(first, (guint)options->redis_replicas, DRAIN_TIMEOUT_MS, error);
  case TARGET_SYNCLOG:
    return verify_drained(bench->addresses, load->tokens, device, DRAIN_TIMEOUT_MS, error);
  }
  g_assert_not_reached();
}

static void set_number(json_t *object, const char *key, double value)
{
  json_object_set_new(object, key, json_real(value));
}

json_t *bench_describe(const Options *options)
{
  static const char *const targets[] = {"synclog", "floor", "redis"};
  const char *ack = options->target == TARGET_SYNCLOG ? options->ack_text : "local";
  return json_pack("{s:s, s:s, s:i, s:i, s:i, s:s, s:f, s:i, s:i}", "workload", options->workload,
                   "target", targets[options->target], "connections", options->connections, "depth",
                   options->depth, "targets", options->targets, "ack", ack, "rate", options->rate,
                   "rows_per_request", MAX(options->rows, 1), "columns", options->columns);
}

static void add_rates(json_t *out, const Payload *payload, const LoadResult *load, double drain_s)
{
  double seconds = load->seconds, all = seconds + drain_s;
  double requests = (double)load->acked, points = (double)load->acked_points;
  set_number(out, "seconds", seconds);
  set_number(out, "requests_per_s", requests / seconds);
  set_number(out, "points_per_s", points / seconds);
  set_number(out, "drain_ms", drain_s * 1e3);
  set_number(out, "sustained_requests_per_s", requests / all);
  set_number(out, "sustained_points_per_s", points / all);
  set_number(out, "p50_ms", histogram_ms(load->latency, 0.5));
  set_number(out, "p99_ms", histogram_ms(load->latency, 0.99));
  set_number(out, "p999_ms", histogram_ms(load->latency, 0.999));
  set_number(out, "max_ms", (double)load->latency->max_ns / 1e6);
  if (load->lag->count > 0) {
    set_number(out, "lag_p50_ms", histogram_ms(load->lag, 0.5));
    set_number(out, "lag_p99_ms", histogram_ms(load->lag, 0.99));
    set_number(out, "lag_max_ms", (double)load->lag->max_ns / 1e6);
    json_object_set_new(out, "lag_samples", json_integer((json_int_t)load->lag->count));
    json_object_set_new(out, "lag_missed", json_integer((json_int_t)load->lag_missed));
  }
  json_object_set_new(out, "acked", json_integer((json_int_t)load->all_acked));
  json_object_set_new(out, "request_bytes", json_integer((json_int_t)payload->content_size));
  json_object_set_new(out, "refused", json_integer((json_int_t)load->refused));
  json_object_set_new(out, "pending", json_integer((json_int_t)load->pending));
  if (load->first_refusal != NULL)
    json_object_set_new(out, "first_refusal", json_string(load->first_refusal));
}

/* CPU and bytes from the begin of the measured part until all is drained, over what was
 * acknowledged then. */
static void add_usage(json_t *out, const Bench *bench, const Payload *payload,
                      const LoadResult *load, const ProcUsage *begin, const ProcUsage *end,
                      double all_s)
{
  set_number(out, "client_cpu", load->client_cpu);
  if (bench->pids->len == 0 || load->acked_after_begin == 0)
    return;
  double requests = (double)load->acked_after_begin, cpu = end->cpu_s - begin->cpu_s;
  double rows = requests * MAX(payload->spec.rows, 1);
  set_number(out, "server_cpu", cpu / all_s);
  set_number(out, "server_cpu_s_per_mrow", cpu / rows * 1e6);
  set_number(out, "server_cpu_s_per_mpoint", cpu / (requests * (double)payload->points) * 1e6);
  set_number(out, "written_per_byte",
             (double)(end->written_bytes - begin->written_bytes) /
                 (requests * (double)payload->content_size));
  set_number(out, "peak_rss_mib", (double)end->peak_rss_bytes / (1024.0 * 1024.0));
}

static Payload *make_payload(const Options *options)
{
  PayloadSpec spec = {.target = options->target,
                      .rows = (guint)options->rows,
                      .columns = (guint)options->columns,
                      .ack = options->ack,
                      .redis_wait = options->redis_wait,
                      .devices = (guint)options->devices,
                      .run = g_random_int()};
  return payload_new(&spec);
}

json_t *bench_load(Bench *bench, GError **error)
{
  const Options *options = bench->options;
  gboolean verify = options->target == TARGET_SYNCLOG && !options->no_verify;
  g_autoptr(Payload) payload = make_payload(options);
  Marks marks = {.bench = bench};
  guint targets = options->targets > 0 ? (guint)options->targets : bench->addresses->len;
  LoadSpec spec = {.payload = payload,
                   .addresses = bench->addresses,
                   .targets = MIN(targets, bench->addresses->len),
                   .connections = (guint)options->connections,
                   .depth = (guint)options->depth,
                   .rate = options->rate,
                   .warmup_s = options->warmup_s,
                   .measure_s = options->measure_s,
                   .probe_lag = options->lag && options->target == TARGET_SYNCLOG,
                   .on_begin = on_begin,
                   .data = &marks};
  StateDigest before = {0}, after = {0};
  if (verify && options->start == NULL && !verify_equal(bench->addresses, NULL, 0, &before, error))
    return NULL;
  g_autoptr(LoadResult) load = load_run(&spec, error);
  if (load == NULL || !drain(bench, payload, load, error))
    return NULL;
  gint64 drained_ns = clock_ns();
  ProcUsage end = proc_usage(bench->pids);
  if (verify && !verify_equal(bench->addresses, &before, load->all_points, &after, error))
    return NULL;
  json_t *out = bench_describe(options);
  add_rates(out, payload, load, (double)(drained_ns - load->end_ns) / 1e9);
  add_usage(out, bench, payload, load, &marks.begin, &end,
            (double)(drained_ns - load->begin_ns) / 1e9);
  if (verify)
    json_object_set_new(out, "verified", json_true());
  return out;
}
