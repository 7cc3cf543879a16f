#include "bench.h"

#include <stdio.h>

typedef struct Figure {
  const char *key, *label, *format;
  double factor;
} Figure;

static const Figure figures[] = {
    {"requests_per_s", "requests/s", "%.0f", 1},
    {"points_per_s", "points/s", "%.0f", 1},
    {"sustained_requests_per_s", "requests/s, drain counted in", "%.0f", 1},
    {"sustained_points_per_s", "points/s, drain counted in", "%.0f", 1},
    {"drain_ms", "drain ms", "%.1f", 1},
    {"p50_ms", "latency p50 ms", "%.3f", 1},
    {"p99_ms", "latency p99 ms", "%.3f", 1},
    {"p999_ms", "latency p99.9 ms", "%.3f", 1},
    {"max_ms", "latency max ms", "%.3f", 1},
    {"lag_p50_ms", "lag p50 ms", "%.3f", 1},
    {"lag_p99_ms", "lag p99 ms", "%.3f", 1},
    {"lag_max_ms", "lag max ms", "%.3f", 1},
    {"live_requests_per_s", "live requests/s", "%.0f", 1},
    {"catchup_requests_per_s", "catch-up requests/s", "%.0f", 1},
    {"catchup_ms", "catch-up ms", "%.0f", 1},
    {"start_ms", "of these, start of the node ms", "%.0f", 1},
    {"client_cpu", "client CPU %", "%.0f", 100},
    {"server_cpu", "server CPU %", "%.0f", 100},
    {"server_cpu_s_per_mrow", "server CPU s per million rows", "%.2f", 1},
    {"server_cpu_s_per_mpoint", "server CPU s per million points", "%.2f", 1},
    {"written_per_byte", "bytes written per payload byte", "%.2f", 1},
    {"peak_rss_mib", "peak memory MiB (largest process)", "%.0f", 1},
    {"rss_mib", "memory MiB (largest process)", "%.1f", 1},
    {"acked", "acknowledged, warm-up included", "%.0f", 1},
    {"refused", "refused", "%.0f", 1},
    {"pending", "not on enough nodes in time", "%.0f", 1},
};

static const char *text_of(const json_t *result, const char *key)
{
  const char *text = json_string_value(json_object_get(result, key));
  return text != NULL ? text : "";
}

static void print_figures(const json_t *result, const char *indent)
{
  for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
    const json_t *value = json_object_get(result, figures[i].key);
    if (!json_is_number(value))
      continue;
    printf("%s%-36s ", indent, figures[i].label);
    printf(figures[i].format, json_number_value(value) * figures[i].factor);
    printf("\n");
  }
}

static void print_parts(const json_t *result, const char *title)
{
  static const char *const parts[] = {"range", "last", "aggregate"};
  for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
    const json_t *part = json_object_get(result, parts[i]);
    if (part == NULL)
      continue;
    printf("  %s%s\n", parts[i], title);
    print_figures(part, "    ");
  }
}

static double number_of(const json_t *object, const char *key)
{
  return json_number_value(json_object_get(object, key));
}

/* The table of `layout`. */
static void print_shapes(const json_t *shapes)
{
  size_t i;
  json_t *shape;
  printf("%-16s %10s  %-24s %s\n", "", "points", "bytes per point on disk",
         "read, million points per CPU second");
  json_array_foreach(shapes, i, shape)
  {
    printf("%-16s %10.0f  %5.2f, in chunks %5.2f    %6.1f, in chunks %6.1f\n",
           text_of(shape, "name"), number_of(shape, "points"),
           number_of(shape, "raw_bytes_per_point"), number_of(shape, "chunk_bytes_per_point"),
           number_of(shape, "raw_points_per_cpu_s") / 1e6,
           number_of(shape, "chunk_points_per_cpu_s") / 1e6);
  }
}

void bench_print(const json_t *result)
{
  const json_t *shapes = json_object_get(result, "shapes");
  if (shapes != NULL) {
    print_shapes(shapes);
    return;
  }
  printf("%s %s, %.0f connections, %.0f in flight on each, ack=%s\n", text_of(result, "target"),
         text_of(result, "workload"), json_number_value(json_object_get(result, "connections")),
         json_number_value(json_object_get(result, "depth")), text_of(result, "ack"));
  print_figures(result, "  ");
  print_parts(json_object_get(result, "raw"), ", as it was written");
  print_parts(result, ", joined to chunks");
  if (json_is_true(json_object_get(result, "verified")))
    printf("  all nodes have equal digests and hold all that was acknowledged\n");
}
