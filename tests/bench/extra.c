/* The workloads that are more than one load: read, catchup, idle. */
#include "bench.h"

#include "base/error.h"
#include "rpc/client.h"

#include <string.h>
#include <unistd.h>

enum {
  DRAIN_TIMEOUT_MS = 300 * 1000,
  PRELOAD_ROWS = 1000, /* of a tablet */
  CHUNKS_TIMEOUT_MS = 120 * 1000,
  CHUNKS_POLL_US = 50 * 1000,
};

static void set_number(json_t *object, const char *key, double value)
{
  json_object_set_new(object, key, json_real(value));
}

/* --- read ---------------------------------------------------------------------------------------
 */

/* Writes `points` values of one measurement of one device; the spec of the payload is kept for the
 * reads. */
static gboolean preload(Bench *bench, PayloadSpec *spec, GError **error)
{
  g_autoptr(Payload) payload = payload_new(spec);
  spec->first_time = payload->first_time;
  LoadSpec load_spec = {.payload = payload,
                        .addresses = bench->addresses,
                        .targets = 1,
                        .connections = 4,
                        .depth = 1,
                        .requests = spec->total_rows / PRELOAD_ROWS};
  g_autoptr(LoadResult) load = load_run(&load_spec, error);
  g_autofree char *device = payload_device(payload, 0);
  return load != NULL &&
         (load->refused == 0 ||
          fail(error, SYNCLOG_OVERLOADED, "a write before the reads was refused: %s",
               load->first_refusal)) &&
         verify_drained(bench->addresses, load->tokens, device, DRAIN_TIMEOUT_MS, error);
}

static gboolean read_by(Bench *bench, const PayloadSpec *writes, PayloadOp op, const char *name,
                        json_t *out, GError **error)
{
  const Options *options = bench->options;
  PayloadSpec spec = *writes;
  spec.op = op;
  spec.rows = 0;
  spec.range_rows = (guint)MIN((guint64)options->rows, spec.total_rows);
  g_autoptr(Payload) payload = payload_new(&spec);
  if (op == OP_AGGREGATE)
    payload->points = spec.total_rows;
  LoadSpec load_spec = {.payload = payload,
                        .addresses = bench->addresses,
                        .targets = 1,
                        .connections = (guint)options->connections,
                        .depth = 1,
                        .warmup_s = options->warmup_s,
                        .measure_s = options->measure_s};
  ProcUsage begin = proc_usage(bench->pids);
  g_autoptr(LoadResult) load = load_run(&load_spec, error);
  if (load == NULL)
    return fail_prefix(error, "%s: ", name);
  if (load->all_acked == 0 || load->refused > 0)
    return fail(error, SYNCLOG_INTERNAL, "%s: %s", name,
                load->first_refusal != NULL ? load->first_refusal : "no answer in time");
  ProcUsage end = proc_usage(bench->pids);
  json_t *figures = json_object();
  /* A read may take longer than the measured time: from the first request to the last answer. */
  double seconds = options->warmup_s + load->seconds + load->tail_s;
  set_number(figures, "requests_per_s", (double)load->all_acked / seconds);
  set_number(figures, "points_per_s", (double)load->all_points / seconds);
  set_number(figures, "p50_ms", histogram_ms(load->latency, 0.5));
  set_number(figures, "p99_ms", histogram_ms(load->latency, 0.99));
  set_number(figures, "client_cpu", load->client_cpu);
  if (bench->pids->len > 0)
    set_number(figures, "server_cpu_s_per_mpoint",
               (end.cpu_s - begin.cpu_s) / (double)load->all_points * 1e6);
  json_object_set_new(out, name, figures);
  return TRUE;
}

static gboolean read_all(Bench *bench, const PayloadSpec *spec, json_t *out, GError **error)
{
  return read_by(bench, spec, OP_RANGE, "range", out, error) &&
         read_by(bench, spec, OP_LAST, "last", out, error) &&
         read_by(bench, spec, OP_AGGREGATE, "aggregate", out, error);
}

/* Until the node that is read has joined all to chunks. */
static gboolean wait_for_chunks(Bench *bench, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)CHUNKS_TIMEOUT_MS * 1000;
  const char *address = g_ptr_array_index(bench->addresses, 0);
  g_autoptr(RpcClient) client = rpc_client_new(address, CHUNKS_TIMEOUT_MS);
  for (;;) {
    g_autoptr(NodeStatus) status = rpc_client_status(client, 0, error);
    if (status == NULL)
      return FALSE;
    if (status->raw_blocks == 0 && status->chunks > 0)
      return TRUE;
    if (g_get_monotonic_time() > deadline)
      return fail(error, SYNCLOG_TIMEOUT,
                  "%" G_GUINT64_FORMAT " blocks still wait for becoming chunks: a long "
                  "store.compact_after? --raw does without",
                  status->raw_blocks);
    g_usleep(CHUNKS_POLL_US);
  }
}

/* The same reads of what is as it was written, and of chunks. */
json_t *bench_read(Bench *bench, GError **error)
{
  const Options *options = bench->options;
  PayloadSpec spec = {.target = TARGET_SYNCLOG,
                      .rows = PRELOAD_ROWS,
                      .columns = 1,
                      .ack = ACK_LOCAL,
                      .devices = 1,
                      .total_rows = (guint64)options->points / PRELOAD_ROWS * PRELOAD_ROWS,
                      .run = g_random_int()};
  if (!preload(bench, &spec, error))
    return NULL;
  g_usleep((gulong)(options->settle_s * G_USEC_PER_SEC));
  json_t *out = bench_describe(options), *raw = json_object();
  json_object_set_new(out, "raw", raw);
  gboolean good = read_all(bench, &spec, raw, error);
  if (good && !options->raw)
    good = wait_for_chunks(bench, error) && read_all(bench, &spec, out, error);
  if (good)
    return out;
  json_decref(out);
  return NULL;
}

/* --- catchup ------------------------------------------------------------------------------------
 */

static gboolean catch_up(Bench *bench, guint node, const GArray *tokens, const char *device,
                         json_t *out, guint64 *out_ns, GError **error)
{
  g_autoptr(GPtrArray) behind = g_ptr_array_new();
  g_ptr_array_add(behind, g_ptr_array_index(bench->addresses, node));
  gint64 begin = clock_ns();
  if (!cluster_start_node(bench->cluster, node, error) ||
      !cluster_wait_node(bench->cluster, node, error))
    return FALSE;
  gint64 started = clock_ns();
  if (!verify_drained(behind, tokens, device, DRAIN_TIMEOUT_MS, error))
    return FALSE;
  *out_ns = (guint64)(clock_ns() - begin);
  set_number(out, "start_ms", (double)(started - begin) / 1e6);
  set_number(out, "catchup_ms", (double)*out_ns / 1e6);
  return TRUE;
}

json_t *bench_catchup(Bench *bench, GError **error)
{
  const Options *options = bench->options;
  if (bench->cluster == NULL || bench->cluster->count < 2) {
    fail(error, SYNCLOG_INVALID,
         "catchup starts and stops nodes: it needs --start, and --nodes 2 at least");
    return NULL;
  }
  guint node = bench->cluster->count - 1;
  if (!cluster_stop_node(bench->cluster, node, error))
    return NULL;
  PayloadSpec spec = {.target = TARGET_SYNCLOG,
                      .rows = (guint)options->rows,
                      .columns = (guint)options->columns,
                      .ack = ACK_LOCAL,
                      .devices = (guint)options->devices,
                      .run = g_random_int()};
  g_autoptr(Payload) payload = payload_new(&spec);
  LoadSpec load_spec = {.payload = payload,
                        .addresses = bench->addresses,
                        .targets = 1,
                        .connections = (guint)options->connections,
                        .depth = (guint)options->depth,
                        .requests = (guint64)options->entries,
                        .measure_s = options->measure_s};
  g_autoptr(LoadResult) load = load_run(&load_spec, error);
  if (load == NULL)
    return NULL;
  g_autofree char *device = payload_device(payload, 0);
  json_t *out = bench_describe(options);
  guint64 ns = 0;
  if (!catch_up(bench, node, load->tokens, device, out, &ns, error) ||
      !verify_equal(bench->addresses, NULL, load->all_points, NULL, error)) {
    json_decref(out);
    return NULL;
  }
  set_number(out, "live_requests_per_s", (double)load->acked / load->seconds);
  set_number(out, "catchup_requests_per_s", (double)load->all_acked * 1e9 / (double)ns);
  json_object_set_new(out, "acked", json_integer((json_int_t)load->all_acked));
  json_object_set_new(out, "refused", json_integer((json_int_t)load->refused));
  json_object_set_new(out, "verified", json_true());
  return out;
}

/* --- idle ---------------------------------------------------------------------------------------
 */

json_t *bench_idle(Bench *bench, GError **error)
{
  const Options *options = bench->options;
  g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
  gboolean good = TRUE;
  for (int i = 0; good && i < options->connections; i++) {
    int fd =
        load_connect(g_ptr_array_index(bench->addresses, (guint)i % bench->addresses->len), error);
    good = fd >= 0;
    if (good)
      g_array_append_val(fds, fd);
  }
  ProcUsage begin = proc_usage(bench->pids);
  if (good)
    g_usleep((gulong)(options->measure_s * G_USEC_PER_SEC));
  ProcUsage end = proc_usage(bench->pids);
  for (guint i = 0; i < fds->len; i++)
    close(g_array_index(fds, int, i));
  if (!good)
    return NULL;
  json_t *out = bench_describe(options);
  set_number(out, "server_cpu", (end.cpu_s - begin.cpu_s) / options->measure_s);
  set_number(out, "rss_mib", (double)end.rss_bytes / (1024.0 * 1024.0));
  set_number(out, "peak_rss_mib", (double)end.peak_rss_bytes / (1024.0 * 1024.0));
  return out;
}
