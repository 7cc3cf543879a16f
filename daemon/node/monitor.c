#include "node/monitor.h"

#include "node/http_data.h"
#include "node/page.h"

#include <jansson.h>
#include <string.h>

/* --- status -------------------------------------------------------------------------------------
 */

static gboolean is_serving(const NodeStatus *status)
{
  return strcmp(status->state, "serving") == 0;
}

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

static json_t *peer_json(const PeerStatus *peer)
{
  json_t *object = json_object();
  set_number(object, "nodeId", peer->node_id);
  set_text(object, "address", peer->address);
  set_text(object, "state", peer->state);
  set_text(object, "message", peer->message);
  json_object_set_new(object, "silentMs", json_integer(peer->silent_ms));
  set_number(object, "lagEntries", peer->lag_entries);
  set_number(object, "lagBytes", peer->lag_bytes);
  set_number(object, "lagMs", (guint64)peer->lag_ms);
  set_number(object, "stuckMs", (guint64)peer->stuck_ms);
  set_number(object, "window", peer->window);
  set_number(object, "batchesInFlight", peer->batches_in_flight);
  set_number(object, "batchesSent", peer->batches_sent);
  set_number(object, "batchesRetried", peer->batches_retried);
  set_number(object, "entriesFromTail", peer->entries_from_tail);
  set_number(object, "entriesFromWal", peer->entries_from_wal);
  if (peer->has_clock_offset)
    json_object_set_new(object, "clockOffsetMs", json_integer(peer->clock_offset_ms));
  if (peer->compared_hlc > 0)
    json_object_set_new(object, "dataDiffers", json_boolean(peer->data_differs));
  if (peer->rule_told)
    json_object_set_new(object, "ruleDiffers", json_boolean(peer->rule_differs));
  json_object_set_new(object, "needsReseed", json_boolean(peer->needs_reseed));
  json_t *logs = json_array();
  for (guint i = 0; peer->progress != NULL && i < peer->progress->logs->len; i++) {
    const LogProgress *log = &g_array_index(peer->progress->logs, LogProgress, i);
    json_t *one = json_object();
    set_number(one, "origin", log->log.origin);
    set_number(one, "incarnation", log->log.incarnation);
    set_number(one, "received", log->received);
    set_number(one, "durable", log->durable);
    set_number(one, "applied", log->applied);
    json_array_append_new(logs, one);
  }
  json_object_set_new(object, "logs", logs);
  return object;
}

static json_t *step_json(const StepStatus *step)
{
  json_t *object = json_object(), *octaves = json_array();
  set_text(object, "name", step->name);
  for (guint i = 0; i < LATENCY_OCTAVES; i++)
    json_array_append_new(octaves, json_integer((json_int_t)step->times.octaves[i]));
  json_object_set_new(object, "octaves", octaves);
  set_number(object, "sumUs", step->times.sum_us);
  return object;
}

static json_t *counts_json(const GArray *counts)
{
  json_t *object = json_object();
  for (guint i = 0; i < counts->len; i++)
    set_number(object, g_array_index(counts, NamedCount, i).name,
               g_array_index(counts, NamedCount, i).count);
  return object;
}

static json_t *status_json(const NodeStatus *status)
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
  set_number(root, "tombstones", status->tombstones);
  json_object_set_new(root, "throttled", json_boolean(status->throttled));
  set_number(root, "throttledMs", (guint64)status->throttled_ms);
  set_number(root, "slowedPermille", status->slowed_permille);
  set_number(root, "httpRefused", status->http_refused);
  set_number(root, "rawBlocks", status->raw_blocks);
  set_number(root, "damagedBuckets", status->damaged_buckets);
  set_number(root, "chunks", status->chunks);
  set_number(root, "chunkCells", status->chunk_cells);
  set_number(root, "chunkBytes", status->chunk_bytes);
  set_number(root, "hlc", status->hlc);
  set_number(root, "horizon", status->horizon);
  for (int kind = 1; kind <= CONFLICT_KINDS; kind++)
    set_number(conflicts, conflict_kind_name(kind), status->conflicts.by_kind[kind]);
  json_object_set_new(root, "conflicts", conflicts);
  for (guint i = 0; i < status->logs->len; i++)
    json_array_append_new(logs, log_json(&g_array_index(status->logs, LogStatus, i)));
  for (guint i = 0; i < status->peers->len; i++)
    json_array_append_new(peers, peer_json(&g_array_index(status->peers, PeerStatus, i)));
  json_object_set_new(root, "logs", logs);
  json_object_set_new(root, "peers", peers);
  json_t *steps = json_array();
  for (guint i = 0; i < status->steps->len; i++)
    json_array_append_new(steps, step_json(&g_array_index(status->steps, StepStatus, i)));
  json_object_set_new(root, "steps", steps);
  json_object_set_new(root, "errors", counts_json(status->errors));
  json_object_set_new(root, "memory", counts_json(status->memory));
  return root;
}

static json_t *closed_json(const GroupInfo *group)
{
  json_t *object = json_object();
  set_number(object, "group", group->id);
  set_text(object, "state", group->state);
  set_text(object, "message", group->message);
  return object;
}

void monitor_put_json(const MonitorView *view, GString *out)
{
  json_t *root = status_json(view->statuses->pdata[0]), *groups = json_array();
  for (guint i = 1; i < view->statuses->len; i++) {
    const NodeStatus *status = view->statuses->pdata[i];
    json_t *one = status_json(status);
    set_number(one, "group", status->group);
    json_array_append_new(groups, one);
  }
  for (guint i = 0; i < view->closed->len; i++)
    json_array_append_new(groups, closed_json(view->closed->pdata[i]));
  if (view->labelled)
    json_object_set(root, "groups", groups);
  json_decref(groups);
  char *text = json_dumps(root, JSON_INDENT(1));
  g_string_append(out, text);
  g_string_append_c(out, '\n');
  free(text);
  json_decref(root);
}

static void view_clear(MonitorView *view)
{
  g_ptr_array_unref(view->statuses);
  g_ptr_array_unref(view->closed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MonitorView, view_clear)

static MonitorView look(Service *service)
{
  Groups *groups = service_groups(service);
  return (MonitorView){service_statuses(service), groups_closed(groups), !groups_are_one(groups)};
}

/* --- paths --------------------------------------------------------------------------------------
 */

static void answer_metrics(gpointer ctx, HttpRequest *request)
{
  g_auto(MonitorView) view = look(ctx);
  GString *text = g_string_new(NULL);
  monitor_put_metrics(&view, groups_are_alive(service_groups(ctx)), text);
  http_reply(request, &(HttpAnswer){200, "text/plain; version=0.0.4; charset=utf-8", .body = text});
}

static void answer_health(gpointer ctx, HttpRequest *request)
{
  gboolean alive = groups_is_one_alive(service_groups(ctx));
  http_reply_text(request, alive ? 200 : 503, "%s",
                  alive ? "alive" : "a thread of the daemon stands still");
}

static void add_line(GString *text, guint32 group, const char *state, const char *message)
{
  g_string_append_printf(text, "%sgroup %u: %s%s%s", text->len > 0 ? "\n" : "", group, state,
                         message != NULL ? ": " : "", message != NULL ? message : "");
}

/* Ready while one of them takes writes: a group that is stuck is no reason to leave the others
 * without clients. */
static void answer_groups_ready(HttpRequest *request, const MonitorView *view)
{
  gboolean some = FALSE;
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < view->statuses->len; i++) {
    const NodeStatus *status = view->statuses->pdata[i];
    some |= is_serving(status);
    add_line(text, status->group, status->state, status->message);
  }
  for (guint i = 0; i < view->closed->len; i++) {
    const GroupInfo *group = view->closed->pdata[i];
    add_line(text, group->id, group->state, group->message);
  }
  http_reply_text(request, some ? 200 : 503, "%s", text->str);
}

/* group=N: whether that one is. */
static void answer_ready(gpointer ctx, HttpRequest *request)
{
  guint32 group;
  g_autoptr(GError) error = NULL;
  if (!http_group(request, &group, &error)) {
    http_reply_text(request, 400, "%s", error->message);
    return;
  }
  if (group == GROUP_BY_RULE && !groups_are_one(service_groups(ctx))) {
    g_auto(MonitorView) view = look(ctx);
    answer_groups_ready(request, &view);
    return;
  }
  g_autoptr(NodeStatus) status = service_status(ctx, group == GROUP_BY_RULE ? 0 : group, &error);
  if (status == NULL)
    http_reply_text(request, 503, "%s", error->message);
  else
    http_reply_text(request, is_serving(status) ? 200 : 503, "%s%s%s", status->state,
                    status->message != NULL ? ": " : "",
                    status->message != NULL ? status->message : "");
}

static void answer_status(gpointer ctx, HttpRequest *request)
{
  g_auto(MonitorView) view = look(ctx);
  GString *text = g_string_new(NULL);
  monitor_put_json(&view, text);
  http_reply(request, &(HttpAnswer){200, "application/json", .body = text});
}

const HttpRoute *monitor_routes(void)
{
  static const HttpRoute routes[] = {{"/", HTTP_GET, 0, page_answer},
                                     {"/metrics", HTTP_GET, 0, answer_metrics},
                                     {"/healthz", HTTP_GET, 0, answer_health},
                                     {"/readyz", HTTP_GET, 0, answer_ready},
                                     {"/status.json", HTTP_GET, 0, answer_status},
                                     {NULL, 0, 0, NULL}};
  return routes;
}
