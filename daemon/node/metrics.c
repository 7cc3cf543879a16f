/* /metrics: the status in the text format of Prometheus. */
#include "node/monitor.h"

#include "base/steps.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void family(GString *out, const char *name, const char *type, const char *help)
{
  g_string_append_printf(out, "# HELP synclogd_%s %s\n# TYPE synclogd_%s %s\n", name, help, name,
                         type);
}

static void single(GString *out, const char *name, const char *type, const char *help, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  family(out, name, type, help);
  g_string_append_printf(out, "synclogd_%s %s\n", name, g_ascii_dtostr(text, sizeof text, value));
}

/* "{group="N"" where there are several groups, else "{": a label or put_value() must follow. */
static void begin_labels(const MonitorView *view, const NodeStatus *status, const char *name,
                         GString *out)
{
  g_string_append_printf(out, "synclogd_%s{", name);
  if (view->labelled)
    g_string_append_printf(out, "group=\"%u\"", status->group);
}

/* Between two labels, of which the first may be missing. */
static void next_label(GString *out)
{
  if (out->str[out->len - 1] != '{')
    g_string_append_c(out, ',');
}

/* A label's value: backslash, quote and line end are escaped. */
static void put_label(GString *out, const char *name, const char *value)
{
  g_string_append_printf(out, "%s=\"", name);
  for (const char *c = value; *c != '\0'; c++) {
    if (*c == '\\' || *c == '"')
      g_string_append_c(out, '\\');
    if (*c == '\n')
      g_string_append(out, "\\n");
    else
      g_string_append_c(out, *c);
  }
  g_string_append_c(out, '"');
}

static void put_value(GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf(out, "} %s\n", g_ascii_dtostr(text, sizeof text, value));
}

typedef struct LogMetric {
  const char *name, *type, *help;
  double (*value)(const LogStatus *log);
} LogMetric;

static double log_received(const LogStatus *log)
{
  return (double)log->progress.received;
}
static double log_durable(const LogStatus *log)
{
  return (double)log->progress.durable;
}
static double log_applied(const LogStatus *log)
{
  return (double)log->progress.applied;
}
static double log_wal_bytes(const LogStatus *log)
{
  return (double)log->wal_bytes;
}
static double log_wal_segments(const LogStatus *log)
{
  return log->wal_segments;
}
static double log_is_in_trouble(const LogStatus *log)
{
  return log->message != NULL;
}

static double log_stalled(const LogStatus *log)
{
  return (double)log->stalled_ms / 1000;
}
static double log_skipped(const LogStatus *log)
{
  return log->skipped != NULL ? log->skipped->len : 0;
}

static const LogMetric log_metrics[] = {
    {"log_received_index", "gauge", "Highest index of the log that is here without a hole.",
     log_received},
    {"log_durable_index", "gauge", "Highest index of the log that is synced here.", log_durable},
    {"log_applied_index", "gauge", "Highest index of the log that is applied here.", log_applied},
    {"log_wal_bytes", "gauge", "Bytes of the log on disk.", log_wal_bytes},
    {"log_wal_segments", "gauge", "Files of the log.", log_wal_segments},
    {"log_in_trouble", "gauge", "1 when the log can not go on here; its status says why.",
     log_is_in_trouble},
    {"log_stalled_seconds", "gauge",
     "For so long nothing came of the log, though a peer has more of it; 0: it goes on.",
     log_stalled},
    {"log_skipped_entries", "gauge", "Entries that are left out by an operator's word.",
     log_skipped},
};

typedef struct PeerMetric {
  const char *name, *type, *help;
  gboolean (*value)(const PeerStatus *peer, double *out); /* FALSE: not known */
} PeerMetric;

static gboolean peer_connected(const PeerStatus *peer, double *out)
{
  static const char *const open[] = {"connected", "paused", "stalled", NULL};
  *out = g_strv_contains(open, peer->state);
  return TRUE;
}
static gboolean peer_silent(const PeerStatus *peer, double *out)
{
  *out = (double)peer->silent_ms / 1000;
  return peer->silent_ms >= 0;
}
static gboolean peer_in_flight(const PeerStatus *peer, double *out)
{
  *out = (double)peer->batches_in_flight;
  return TRUE;
}
static gboolean peer_sent(const PeerStatus *peer, double *out)
{
  *out = (double)peer->batches_sent;
  return TRUE;
}
static gboolean peer_retried(const PeerStatus *peer, double *out)
{
  *out = (double)peer->batches_retried;
  return TRUE;
}
static gboolean peer_from_tail(const PeerStatus *peer, double *out)
{
  *out = (double)peer->entries_from_tail;
  return TRUE;
}
static gboolean peer_from_wal(const PeerStatus *peer, double *out)
{
  *out = (double)peer->entries_from_wal;
  return TRUE;
}
static gboolean peer_clock_offset(const PeerStatus *peer, double *out)
{
  *out = (double)peer->clock_offset_ms / 1000;
  return peer->has_clock_offset;
}
static gboolean peer_differs(const PeerStatus *peer, double *out)
{
  *out = peer->data_differs;
  return peer->compared_hlc > 0;
}

static gboolean peer_rule_differs(const PeerStatus *peer, double *out)
{
  *out = peer->rule_differs;
  return peer->rule_told;
}

static gboolean peer_needs_reseed(const PeerStatus *peer, double *out)
{
  *out = peer->needs_reseed;
  return TRUE;
}
static gboolean peer_paused(const PeerStatus *peer, double *out)
{
  *out = peer->paused;
  return TRUE;
}
static gboolean peer_stalled(const PeerStatus *peer, double *out)
{
  *out = strcmp(peer->state, "stalled") == 0;
  return TRUE;
}
static gboolean peer_stuck(const PeerStatus *peer, double *out)
{
  *out = (double)peer->stuck_ms / 1000;
  return TRUE;
}
static gboolean peer_lag_entries(const PeerStatus *peer, double *out)
{
  *out = (double)peer->lag_entries;
  return TRUE;
}
static gboolean peer_lag_bytes(const PeerStatus *peer, double *out)
{
  *out = (double)peer->lag_bytes;
  return TRUE;
}
static gboolean peer_lag(const PeerStatus *peer, double *out)
{
  *out = (double)peer->lag_ms / 1000;
  return TRUE;
}
static gboolean peer_window(const PeerStatus *peer, double *out)
{
  *out = peer->window;
  return TRUE;
}

static const PeerMetric peer_metrics[] = {
    {"peer_needs_reseed", "gauge", "1 when entries that the peer lacks are deleted.",
     peer_needs_reseed},
    {"peer_paused", "gauge", "1 while an operator has paused the sending of logs.", peer_paused},
    {"peer_stalled", "gauge",
     "1 while the peer answers, but confirms nothing although entries wait.", peer_stalled},
    {"peer_unconfirmed_seconds", "gauge",
     "For how long the peer has confirmed nothing although entries wait.", peer_stuck},
    {"peer_lag_entries", "gauge", "Entries of this node's log that the peer has not durably.",
     peer_lag_entries},
    {"peer_lag_bytes", "gauge", "The same in bytes, by the size of the entries at present.",
     peer_lag_bytes},
    {"peer_lag_seconds", "gauge", "The time by which the peer is behind this node's log.",
     peer_lag},
    {"peer_window_batches", "gauge", "Batches of one log that may be in flight to the peer.",
     peer_window},
    {"peer_connected", "gauge", "1 while the channel to the peer is open.", peer_connected},
    {"peer_silent_seconds", "gauge", "Time since the peer's last answer.", peer_silent},
    {"peer_batches_in_flight", "gauge", "Batches that the peer has not answered.", peer_in_flight},
    {"peer_batches_sent_total", "counter", "Batches sent to the peer.", peer_sent},
    {"peer_batches_retried_total", "counter", "Batches that were sent again.", peer_retried},
    {"peer_entries_from_tail_total", "counter", "Entries sent from memory.", peer_from_tail},
    {"peer_entries_from_wal_total", "counter", "Entries read from disk for sending.",
     peer_from_wal},
    {"peer_clock_offset_seconds", "gauge", "The peer's clock less this node's.", peer_clock_offset},
    {"peer_data_differs", "gauge", "1 when the last comparison of data found a difference.",
     peer_differs},
    {"peer_rule_differs", "gauge",
     "1 while the peer's rule of devices and groups is not this node's.", peer_rule_differs},
};

static const NodeStatus *status_at(const MonitorView *view, guint i)
{
  return view->statuses->pdata[i];
}

static void put_log_samples(const MonitorView *view, const NodeStatus *status,
                            const LogMetric *metric, GString *out)
{
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *log = &g_array_index(status->logs, LogStatus, i);
    begin_labels(view, status, metric->name, out);
    next_label(out);
    g_string_append_printf(out, "origin=\"%u\",incarnation=\"%" G_GUINT64_FORMAT "\"",
                           log->progress.log.origin, log->progress.log.incarnation);
    put_value(out, metric->value(log));
  }
}

static void put_log_metrics(const MonitorView *view, GString *out)
{
  for (guint m = 0; m < G_N_ELEMENTS(log_metrics); m++) {
    const LogMetric *metric = &log_metrics[m];
    family(out, metric->name, metric->type, metric->help);
    for (guint i = 0; i < view->statuses->len; i++)
      put_log_samples(view, status_at(view, i), metric, out);
  }
}

static void put_peer_samples(const MonitorView *view, const NodeStatus *status,
                             const PeerMetric *metric, GString *out)
{
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    double value;
    if (!metric->value(peer, &value))
      continue;
    begin_labels(view, status, metric->name, out);
    next_label(out);
    g_string_append_printf(out, "peer=\"%u\"", peer->node_id);
    put_value(out, value);
  }
}

static void put_peer_metrics(const MonitorView *view, GString *out)
{
  for (guint m = 0; m < G_N_ELEMENTS(peer_metrics); m++) {
    const PeerMetric *metric = &peer_metrics[m];
    family(out, metric->name, metric->type, metric->help);
    for (guint i = 0; i < view->statuses->len; i++)
      put_peer_samples(view, status_at(view, i), metric, out);
  }
}

static void put_progress_samples(const MonitorView *view, const NodeStatus *status,
                                 const char *name, gsize offset, GString *out)
{
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    for (guint k = 0; peer->progress != NULL && k < peer->progress->logs->len; k++) {
      const LogProgress *log = &g_array_index(peer->progress->logs, LogProgress, k);
      begin_labels(view, status, name, out);
      next_label(out);
      g_string_append_printf(out, "peer=\"%u\",origin=\"%u\",incarnation=\"%" G_GUINT64_FORMAT "\"",
                             peer->node_id, log->log.origin, log->log.incarnation);
      put_value(out, (double)G_STRUCT_MEMBER(guint64, log, offset));
    }
  }
}

/* What each peer said of each log last. */
static void put_progress_metrics(const MonitorView *view, GString *out)
{
  static const struct {
    const char *name, *help;
    gsize offset;
  } metrics[] = {{"peer_log_received_index", "Highest index of the log that the peer has.",
                  G_STRUCT_OFFSET(LogProgress, received)},
                 {"peer_log_durable_index", "Highest index of the log that the peer has synced.",
                  G_STRUCT_OFFSET(LogProgress, durable)},
                 {"peer_log_applied_index", "Highest index of the log that the peer has applied.",
                  G_STRUCT_OFFSET(LogProgress, applied)}};
  for (guint m = 0; m < G_N_ELEMENTS(metrics); m++) {
    family(out, metrics[m].name, "gauge", metrics[m].help);
    for (guint i = 0; i < view->statuses->len; i++)
      put_progress_samples(view, status_at(view, i), metrics[m].name, metrics[m].offset, out);
  }
}

/* Octaves below 8 µs and above a minute say nothing to anybody. */
enum { FIRST_OCTAVE = 3, LAST_OCTAVE = 26 };

static void put_step(const MonitorView *view, const NodeStatus *status, const StepStatus *step,
                     GString *out)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_autofree char *label =
      view->labelled ? g_strdup_printf("group=\"%u\",", status->group) : g_strdup("");
  guint64 below = 0;
  for (guint k = 0; k < LATENCY_OCTAVES; k++) {
    below += step->times.octaves[k];
    if (k >= FIRST_OCTAVE && k <= LAST_OCTAVE)
      g_string_append_printf(
          out,
          "synclogd_step_duration_seconds_bucket{%sstep=\"%s\",le=\"%s\"} %" G_GUINT64_FORMAT "\n",
          label, step->name, g_ascii_formatd(text, sizeof text, "%.9g", (double)(1ULL << k) / 1e6),
          below);
  }
  g_string_append_printf(out,
                         "synclogd_step_duration_seconds_bucket{%sstep=\"%s\",le=\"+Inf\"} "
                         "%" G_GUINT64_FORMAT "\n"
                         "synclogd_step_duration_seconds_sum{%sstep=\"%s\"} %s\n"
                         "synclogd_step_duration_seconds_count{%sstep=\"%s\"} %" G_GUINT64_FORMAT
                         "\n",
                         label, step->name, below, label, step->name,
                         g_ascii_dtostr(text, sizeof text, (double)step->times.sum_us / 1e6), label,
                         step->name, below);
}

static void put_steps(const MonitorView *view, GString *out)
{
  family(out, "step_duration_seconds", "histogram",
         "Time that a step of a write's or batch's way takes.");
  for (guint i = 0; i < view->statuses->len; i++) {
    const NodeStatus *status = status_at(view, i);
    for (guint k = 0; k < status->steps->len; k++)
      put_step(view, status, &g_array_index(status->steps, StepStatus, k), out);
  }
}

static void put_memory(const MonitorView *view, GString *out)
{
  family(out, "memory_bytes", "gauge", "Memory by what holds it.");
  for (guint i = 0; i < view->statuses->len; i++) {
    const NodeStatus *status = status_at(view, i);
    for (guint k = 0; k < status->memory->len; k++) {
      const NamedCount *one = &g_array_index(status->memory, NamedCount, k);
      begin_labels(view, status, "memory_bytes", out);
      next_label(out);
      put_label(out, "owner", one->name);
      put_value(out, (double)one->count);
    }
  }
}

static void put_counts(const GArray *counts, const char *name, const char *type, const char *label,
                       const char *help, GString *out)
{
  family(out, name, type, help);
  for (guint i = 0; i < counts->len; i++) {
    const NamedCount *one = &g_array_index(counts, NamedCount, i);
    g_string_append_printf(out, "synclogd_%s{", name);
    put_label(out, label, one->name);
    put_value(out, (double)one->count);
  }
}

/* --- the process: names that all daemons share --------------------------------------------------
 */

static void process(GString *out, const char *name, const char *type, const char *help,
                    double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %s\n", name,
                         help, name, type, name, g_ascii_dtostr(text, sizeof text, value));
}

static double count_open_files(void)
{
  g_autoptr(GDir) folder = g_dir_open("/proc/self/fd", 0, NULL);
  guint count = 0;
  while (folder != NULL && g_dir_read_name(folder) != NULL)
    count++;
  return count > 0 ? count - 1 : 0; /* its own */
}

static double seconds_of(struct timeval time)
{
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void put_process(const NodeStatus *status, GString *out)
{
  struct rusage usage = {0};
  struct rlimit files = {0};
  g_autofree char *statm = NULL;
  unsigned long long size = 0, resident = 0;
  getrusage(RUSAGE_SELF, &usage);
  getrlimit(RLIMIT_NOFILE, &files);
  if (g_file_get_contents("/proc/self/statm", &statm, NULL, NULL))
    sscanf(statm, "%llu %llu", &size, &resident);
  double page = (double)sysconf(_SC_PAGESIZE);
  process(out, "cpu_seconds_total", "counter", "Processor time, of user and system.",
          seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  process(out, "resident_memory_bytes", "gauge", "Resident memory.", (double)resident * page);
  process(out, "virtual_memory_bytes", "gauge", "Virtual memory.", (double)size * page);
  process(out, "open_fds", "gauge", "Open file descriptors.", count_open_files());
  process(out, "max_fds", "gauge", "File descriptors that may be open.", (double)files.rlim_cur);
  process(out, "start_time_seconds", "gauge", "When the process began, since 1970.",
          (double)g_get_real_time() / 1e6 - (double)status->uptime_ms / 1000);
}

/* --- all ----------------------------------------------------------------------------------------
 */

typedef enum { WHOLE, YES_OR_NO, MILLISECONDS, PERMILLE } Unit;

/* What each group has one of. */
static const struct {
  const char *name, *type, *help;
  Unit unit;
  gsize offset; /* in NodeStatus */
} group_metrics[] = {
#define AT(field) G_STRUCT_OFFSET(NodeStatus, field)
    {"writes_total", "counter", "Writes that were taken.", WHOLE, AT(writes)},
    {"writes_refused_total", "counter", "Writes that were refused.", WHOLE, AT(writes_refused)},
    {"throttled", "gauge", "1 while writes are refused until the WAL is smaller.", YES_OR_NO,
     AT(throttled)},
    {"throttled_seconds_total", "counter", "Time for which writes were throttled.", MILLISECONDS,
     AT(throttled_ms)},
    {"slowed_ratio", "gauge",
     "How much writes are slowed as the WAL or the disk fills up: from 0 to 1, the limit.",
     PERMILLE, AT(slowed_permille)},
    {"buckets_mended_total", "counter", "Buckets made like a peer's by repair.", WHOLE,
     AT(buckets_mended)},
    {"entries_applied_total", "counter", "Entries applied to the store.", WHOLE,
     AT(entries_applied)},
    {"entries_duplicate_total", "counter", "Entries that came again and changed nothing.", WHOLE,
     AT(entries_duplicate)},
    {"store_bytes", "gauge", "Bytes of the store's files.", WHOLE, AT(store_bytes)},
    {"store_raw_blocks", "gauge",
     "Parts of writes that wait for being joined to compressed columns.", WHOLE, AT(raw_blocks)},
    {"store_damaged_buckets", "gauge",
     "Buckets with a part that can't be read, as far as maintenance has met them.", WHOLE,
     AT(damaged_buckets)},
    {"store_chunks", "gauge", "Compressed pieces of columns.", WHOLE, AT(chunks)},
    {"store_chunk_cells", "gauge", "Values in them.", WHOLE, AT(chunk_cells)},
    {"store_chunk_bytes", "gauge", "Their bytes.", WHOLE, AT(chunk_bytes)},
    {"store_tombstones", "gauge", "Deletes that are not carried out for good yet.", WHOLE,
     AT(tombstones)},
#undef AT
};

static double group_value(const NodeStatus *status, Unit unit, gsize offset)
{
  switch (unit) {
  case WHOLE:
    return (double)G_STRUCT_MEMBER(guint64, status, offset);
  case YES_OR_NO:
    return G_STRUCT_MEMBER(gboolean, status, offset);
  case MILLISECONDS:
    return (double)G_STRUCT_MEMBER(gint64, status, offset) / 1000;
  case PERMILLE:
    return (double)G_STRUCT_MEMBER(guint, status, offset) / 1000;
  }
  g_assert_not_reached();
}

/* A sample without further labels. */
static void put_sample(const MonitorView *view, const NodeStatus *status, const char *name,
                       double value, GString *out)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_dtostr(text, sizeof text, value);
  if (view->labelled)
    g_string_append_printf(out, "synclogd_%s{group=\"%u\"} %s\n", name, status->group, text);
  else
    g_string_append_printf(out, "synclogd_%s %s\n", name, text);
}

static void put_group_metrics(const MonitorView *view, GString *out)
{
  for (guint m = 0; m < G_N_ELEMENTS(group_metrics); m++) {
    family(out, group_metrics[m].name, group_metrics[m].type, group_metrics[m].help);
    for (guint i = 0; i < view->statuses->len; i++)
      put_sample(view, status_at(view, i), group_metrics[m].name,
                 group_value(status_at(view, i), group_metrics[m].unit, group_metrics[m].offset),
                 out);
  }
  family(out, "ready", "gauge", "1 while the node takes writes.");
  for (guint i = 0; i < view->statuses->len; i++)
    put_sample(view, status_at(view, i), "ready", strcmp(status_at(view, i)->state, "serving") == 0,
               out);
}

static void put_log_counts(const MonitorView *view, GString *out)
{
  family(out, "logs", "gauge", "Logs that are known here, former incarnations' included.");
  for (guint i = 0; i < view->statuses->len; i++)
    put_sample(view, status_at(view, i), "logs", status_at(view, i)->logs->len, out);
}

static void put_conflicts(const MonitorView *view, GString *out)
{
  family(out, "conflicts_total", "counter", "Conflicts between leaders, by kind.");
  for (guint i = 0; i < view->statuses->len; i++)
    for (int kind = 1; kind <= CONFLICT_KINDS; kind++) {
      begin_labels(view, status_at(view, i), "conflicts_total", out);
      next_label(out);
      put_label(out, "kind", conflict_kind_name(kind));
      put_value(out, (double)status_at(view, i)->conflicts.by_kind[kind]);
    }
  family(out, "conflicts_unchecked_total", "counter",
         "Parts of writes never looked at for conflicts.");
  for (guint i = 0; i < view->statuses->len; i++)
    put_sample(view, status_at(view, i), "conflicts_unchecked_total",
               (double)status_at(view, i)->conflicts.overflowed, out);
}

/* Of the groups of the configuration that are to be here. */
static void put_open_groups(const MonitorView *view, GString *out)
{
  family(out, "group_open", "gauge", "0 while the group can't be opened or is about to be.");
  for (guint i = 0; i < view->statuses->len; i++)
    put_sample(view, status_at(view, i), "group_open", 1, out);
  for (guint i = 0; i < view->closed->len; i++)
    put_sample(view, &(NodeStatus){.group = ((GroupInfo *)view->closed->pdata[i])->id},
               "group_open", 0, out);
}

void monitor_put_metrics(const MonitorView *view, gboolean alive, GString *out)
{
  const NodeStatus *first = status_at(view, 0);
  family(out, "build_info", "gauge", "1; the labels tell what runs.");
  g_string_append(out, "synclogd_build_info{");
  put_label(out, "version", first->version);
  g_string_append_printf(out, ",node=\"%u\",", first->node_id);
  put_label(out, "cluster", first->cluster_id);
  put_value(out, 1);
  single(out, "alive", "gauge", "1 while the daemon's threads turn.", alive);
  single(out, "uptime_seconds", "gauge", "Time since the start.", (double)first->uptime_ms / 1000);
  single(out, "connections", "gauge", "Open connections of clients, peers and HTTP.",
         (double)first->connections);
  single(out, "http_connections_refused_total", "counter",
         "Connections of HTTP that were turned away or cut off at a limit.",
         (double)first->http_refused);
  put_open_groups(view, out);
  put_group_metrics(view, out);
  put_log_counts(view, out);
  put_conflicts(view, out);
  put_counts(first->errors, "answers_refused_total", "counter", "code",
             "Requests of clients that were answered with an error, by its code.", out);
  put_memory(view, out);
  put_steps(view, out);
  put_log_metrics(view, out);
  put_peer_metrics(view, out);
  put_progress_metrics(view, out);
  put_process(first, out);
}
