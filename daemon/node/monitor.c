#include "node/monitor.h"

#include <jansson.h>
#include <string.h>

/* --- metrics ------------------------------------------------------------------------------------
 */

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
  *out = strcmp(peer->state, "connected") == 0;
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

static gboolean peer_needs_reseed(const PeerStatus *peer, double *out)
{
  *out = peer->needs_reseed;
  return TRUE;
}

static const PeerMetric peer_metrics[] = {
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
    {"peer_needs_reseed", "gauge", "1 when entries that the peer lacks are deleted.",
     peer_needs_reseed},
};

static void put_value(GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf(out, "} %s\n", g_ascii_dtostr(text, sizeof text, value));
}

static void put_log_metrics(const NodeStatus *status, GString *out)
{
  for (guint m = 0; m < G_N_ELEMENTS(log_metrics); m++) {
    const LogMetric *metric = &log_metrics[m];
    family(out, metric->name, metric->type, metric->help);
    for (guint i = 0; i < status->logs->len; i++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, i);
      g_string_append_printf(out, "synclogd_%s{origin=\"%u\",incarnation=\"%" G_GUINT64_FORMAT "\"",
                             metric->name, log->progress.log.origin, log->progress.log.incarnation);
      put_value(out, metric->value(log));
    }
  }
}

/* Entries of this node's own log that the peer does not have durably. */
static double lag_of(const NodeStatus *status, const PeerStatus *peer)
{
  for (guint i = 0; i < status->logs->len; i++) {
    const LogStatus *log = &g_array_index(status->logs, LogStatus, i);
    if (!log->own)
      continue;
    const LogProgress *theirs =
        peer->progress != NULL ? progress_find(peer->progress, log->progress.log) : NULL;
    guint64 durable = theirs != NULL ? theirs->durable : 0;
    return durable < log->progress.durable ? (double)(log->progress.durable - durable) : 0;
  }
  return 0;
}

static void put_peer_metrics(const NodeStatus *status, GString *out)
{
  for (guint m = 0; m < G_N_ELEMENTS(peer_metrics); m++) {
    const PeerMetric *metric = &peer_metrics[m];
    family(out, metric->name, metric->type, metric->help);
    for (guint i = 0; i < status->peers->len; i++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
      double value;
      if (!metric->value(peer, &value))
        continue;
      g_string_append_printf(out, "synclogd_%s{peer=\"%u\"", metric->name, peer->node_id);
      put_value(out, value);
    }
  }
  family(out, "peer_lag_entries", "gauge",
         "Entries of this node's log that the peer has not durably.");
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    g_string_append_printf(out, "synclogd_peer_lag_entries{peer=\"%u\"", peer->node_id);
    put_value(out, lag_of(status, peer));
  }
}

static gboolean is_serving(const NodeStatus *status)
{
  return strcmp(status->state, "serving") == 0;
}

void monitor_put_metrics(const NodeStatus *status, gboolean alive, GString *out)
{
  family(out, "build_info", "gauge", "1; the labels tell what runs.");
  g_string_append(out, "synclogd_build_info{");
  put_label(out, "version", status->version);
  g_string_append_printf(out, ",node=\"%u\",", status->node_id);
  put_label(out, "cluster", status->cluster_id);
  put_value(out, 1);
  single(out, "alive", "gauge", "1 while the daemon's threads turn.", alive);
  single(out, "ready", "gauge", "1 while the node takes writes.", is_serving(status));
  single(out, "uptime_seconds", "gauge", "Time since the start.", (double)status->uptime_ms / 1000);
  single(out, "writes_total", "counter", "Writes that were taken.", (double)status->writes);
  single(out, "writes_refused_total", "counter", "Writes that were refused.",
         (double)status->writes_refused);
  single(out, "connections", "gauge", "Open connections of clients and peers.",
         (double)status->connections);
  single(out, "entries_applied_total", "counter", "Entries applied to the store.",
         (double)status->entries_applied);
  single(out, "entries_duplicate_total", "counter", "Entries that came again and changed nothing.",
         (double)status->entries_duplicate);
  single(out, "store_bytes", "gauge", "Bytes of the store's files.", (double)status->store_bytes);
  family(out, "conflicts_total", "counter", "Conflicts between leaders, by kind.");
  for (int kind = 1; kind <= CONFLICT_KINDS; kind++) {
    g_string_append_printf(out, "synclogd_conflicts_total{kind=\"%s\"", conflict_kind_name(kind));
    put_value(out, (double)status->conflicts.by_kind[kind]);
  }
  single(out, "conflicts_unchecked_total", "counter",
         "Parts of writes never looked at for conflicts.", (double)status->conflicts.overflowed);
  single(out, "buckets_mended_total", "counter", "Buckets made like a peer's by repair.",
         (double)status->buckets_mended);
  put_log_metrics(status, out);
  put_peer_metrics(status, out);
}

/* --- status -------------------------------------------------------------------------------------
 */

static void set_number(json_t *object, const char *name, guint64 value)
{
  json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void set_text(json_t *object, const char *name, const char *text)
{
  if (text != NULL)
    json_object_set_new(object, name, json_string(text));
}

static json_t *log_json(const LogStatus *log)
{
  json_t *object = json_object();
  set_number(object, "origin", log->progress.log.origin);
  set_number(object, "incarnation", log->progress.log.incarnation);
  json_object_set_new(object, "own", json_boolean(log->own));
  set_text(object, "state", log->state);
  set_text(object, "message", log->message);
  set_number(object, "received", log->progress.received);
  set_number(object, "durable", log->progress.durable);
  set_number(object, "applied", log->progress.applied);
  set_number(object, "firstAvailable", log->progress.first_available);
  set_number(object, "walBytes", log->wal_bytes);
  set_number(object, "walSegments", log->wal_segments);
  if (log->handed_on_by != 0)
    set_number(object, "handedOnBy", log->handed_on_by);
  return object;
}

static json_t *peer_json(const NodeStatus *status, const PeerStatus *peer)
{
  json_t *object = json_object();
  set_number(object, "nodeId", peer->node_id);
  set_text(object, "address", peer->address);
  set_text(object, "state", peer->state);
  set_text(object, "message", peer->message);
  json_object_set_new(object, "silentMs", json_integer(peer->silent_ms));
  set_number(object, "lagEntries", (guint64)lag_of(status, peer));
  set_number(object, "batchesInFlight", peer->batches_in_flight);
  set_number(object, "batchesSent", peer->batches_sent);
  set_number(object, "batchesRetried", peer->batches_retried);
  set_number(object, "entriesFromTail", peer->entries_from_tail);
  set_number(object, "entriesFromWal", peer->entries_from_wal);
  if (peer->has_clock_offset)
    json_object_set_new(object, "clockOffsetMs", json_integer(peer->clock_offset_ms));
  if (peer->compared_hlc > 0)
    json_object_set_new(object, "dataDiffers", json_boolean(peer->data_differs));
  json_object_set_new(object, "needsReseed", json_boolean(peer->needs_reseed));
  return object;
}

void monitor_put_json(const NodeStatus *status, GString *out)
{
  json_t *root = json_object();
  json_t *logs = json_array(), *peers = json_array(), *conflicts = json_object();
  set_number(root, "nodeId", status->node_id);
  set_text(root, "clusterId", status->cluster_id);
  set_text(root, "version", status->version);
  set_number(root, "incarnation", status->incarnation);
  set_number(root, "uptimeMs", (guint64)status->uptime_ms);
  set_text(root, "state", status->state);
  set_text(root, "message", status->message);
  set_number(root, "writes", status->writes);
  set_number(root, "writesRefused", status->writes_refused);
  set_number(root, "connections", status->connections);
  set_number(root, "entriesApplied", status->entries_applied);
  set_number(root, "entriesDuplicate", status->entries_duplicate);
  set_number(root, "storeBytes", status->store_bytes);
  set_number(root, "hlc", status->hlc);
  set_number(root, "horizon", status->horizon);
  for (int kind = 1; kind <= CONFLICT_KINDS; kind++)
    set_number(conflicts, conflict_kind_name(kind), status->conflicts.by_kind[kind]);
  json_object_set_new(root, "conflicts", conflicts);
  for (guint i = 0; i < status->logs->len; i++)
    json_array_append_new(logs, log_json(&g_array_index(status->logs, LogStatus, i)));
  for (guint i = 0; i < status->peers->len; i++)
    json_array_append_new(peers, peer_json(status, &g_array_index(status->peers, PeerStatus, i)));
  json_object_set_new(root, "logs", logs);
  json_object_set_new(root, "peers", peers);
  char *text = json_dumps(root, JSON_INDENT(2));
  g_string_append(out, text);
  g_string_append_c(out, '\n');
  free(text);
  json_decref(root);
}

/* --- paths --------------------------------------------------------------------------------------
 */

static void answer_metrics(gpointer ctx, HttpRequest *request)
{
  g_autoptr(NodeStatus) status = service_status(ctx);
  GString *text = g_string_new(NULL);
  monitor_put_metrics(status, service_is_alive(ctx), text);
  http_reply(request, &(HttpAnswer){200, "text/plain; version=0.0.4; charset=utf-8", .body = text});
}

static void answer_health(gpointer ctx, HttpRequest *request)
{
  gboolean alive = service_is_alive(ctx);
  http_reply_text(request, alive ? 200 : 503, "%s",
                  alive ? "alive" : "a thread of the daemon stands still");
}

static void answer_ready(gpointer ctx, HttpRequest *request)
{
  g_autoptr(NodeStatus) status = service_status(ctx);
  http_reply_text(request, is_serving(status) ? 200 : 503, "%s%s%s", status->state,
                  status->message != NULL ? ": " : "",
                  status->message != NULL ? status->message : "");
}

static void answer_status(gpointer ctx, HttpRequest *request)
{
  g_autoptr(NodeStatus) status = service_status(ctx);
  GString *text = g_string_new(NULL);
  monitor_put_json(status, text);
  http_reply(request, &(HttpAnswer){200, "application/json", .body = text});
}

const HttpRoute *monitor_routes(void)
{
  static const HttpRoute routes[] = {{"/metrics", HTTP_GET, 0, answer_metrics},
                                     {"/healthz", HTTP_GET, 0, answer_health},
                                     {"/readyz", HTTP_GET, 0, answer_ready},
                                     {"/status.json", HTTP_GET, 0, answer_status},
                                     {NULL, 0, 0, NULL}};
  return routes;
}
