#include "base/times.h"
#include "ctl/ctl.h"

#include <string.h>

/* What one server says; `status` is NULL when it does not answer. */
typedef struct View {
  const char *server; /* borrowed */
  NodeStatus *status;
  GPtrArray *groups; /* GroupInfo; NULL: it does not know of groups */
  GError *error;
} View;

static void view_clear(gpointer data)
{
  View *view = data;
  g_clear_pointer(&view->status, node_status_free);
  g_clear_pointer(&view->groups, g_ptr_array_unref);
  g_clear_error(&view->error);
}

static const View *view_at(const GArray *views, guint i)
{
  return &g_array_index(views, View, i);
}

/* The status of each server, NULL where a server gave none. */
static GArray *ask_all(Ctl *ctl)
{
  GArray *views = g_array_new(FALSE, TRUE, sizeof(View));
  g_array_set_clear_func(views, view_clear);
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    g_autoptr(RpcClient) client = rpc_client_new(ctl->servers[i], ctl->timeout_ms);
    View view = {.server = ctl->servers[i]};
    view.status = rpc_client_status(client, ctl->group, &view.error);
    view.groups = view.status != NULL ? rpc_client_groups(client, NULL) : NULL;
    g_array_append_val(views, view);
  }
  return views;
}

/* The farthest that anyone is known to be with each log. */
static Progress *farthest(const GArray *views)
{
  Progress *all = progress_new();
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (status == NULL)
      continue;
    g_autoptr(Progress) own = progress_new();
    for (guint k = 0; k < status->logs->len; k++) {
      const LogProgress *log = &g_array_index(status->logs, LogStatus, k).progress;
      *progress_put(own, log->log) = *log;
    }
    progress_merge(all, own);
    for (guint k = 0; k < status->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      if (peer->progress != NULL)
        progress_merge(all, peer->progress);
    }
  }
  return all;
}

/* The state of a node that told no status. */
static const char *state_of_silent(const GError *error)
{
  if (ctl_is_unreachable(error))
    return "unreachable";
  return g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY) ? "not ready" : "refused";
}

static void print_nodes(Grid *grid, const GArray *views)
{
  grid_column(grid, "SERVER", "server", FALSE);
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "CLUSTER", "clusterId", FALSE);
  grid_column(grid, "VERSION", "version", FALSE);
  grid_column(grid, "UPTIME", "uptimeMs", TRUE);
  grid_column(grid, "WRITES", "writes", TRUE);
  grid_column(grid, "REFUSED", "writesRefused", TRUE);
  grid_column(grid, "APPLIED", "entriesApplied", TRUE);
  grid_column(grid, "DUPLICATE", "entriesDuplicate", TRUE);
  grid_column(grid, "CONNECTIONS", "connections", TRUE);
  grid_column(grid, "STORE MB", "storeBytes", TRUE);
  grid_column(grid, "MENDED", "bucketsMended", TRUE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < views->len; i++) {
    const View *view = view_at(views, i);
    const NodeStatus *status = view->status;
    char uptime[TIME_TEXT_SIZE], store[TIME_TEXT_SIZE];
    grid_text(grid, view->server);
    if (status == NULL) {
      grid_missing(grid);
      grid_text(grid, state_of_silent(view->error));
      for (guint k = 0; k < 10; k++)
        grid_missing(grid);
      grid_text(grid, view->error->message);
      continue;
    }
    g_snprintf(store, sizeof store, "%.1f", (double)status->store_bytes / 1e6);
    grid_uint(grid, status->node_id);
    grid_text(grid, status->state);
    grid_text(grid, status->cluster_id);
    grid_text(grid, status->version);
    grid_int_as(grid, duration_format_ms(status->uptime_ms, uptime), status->uptime_ms);
    grid_uint(grid, status->writes);
    grid_uint(grid, status->writes_refused);
    grid_uint(grid, status->entries_applied);
    grid_uint(grid, status->entries_duplicate);
    grid_uint(grid, status->connections);
    grid_int_as(grid, store, (gint64)status->store_bytes);
    grid_uint(grid, status->buckets_mended);
    grid_text(grid, status->message);
  }
  grid_flush(grid);
}

/*
 * One row: how far `node` is with a log. `now_hlc` is a clock of now, by which the age of what it
 * applied last is told when nobody is known to be farther.
 */
static void print_log(Grid *grid, guint32 node, const LogProgress *log, const LogStatus *status,
                      const Progress *all, guint64 now_hlc)
{
  char id[LOG_ID_TEXT_SIZE], age[TIME_TEXT_SIZE];
  const LogProgress *best = progress_find(all, log->log);
  guint64 target = best != NULL ? MAX(best->received, best->applied) : log->received;
  guint64 lag = target > log->applied ? target - log->applied : 0;
  guint64 newest_hlc = now_hlc;
  if (best != NULL && best->applied_hlc > log->applied_hlc)
    newest_hlc = best->applied_hlc;
  gint64 lag_ms = 0;
  if (lag > 0 && newest_hlc > log->applied_hlc && log->applied_hlc > 0)
    lag_ms = (gint64)((newest_hlc >> 16) - (log->applied_hlc >> 16));
  grid_uint(grid, node);
  grid_text(grid, log_id_format(log->log, id));
  if (status != NULL)
    grid_bool(grid, status->own);
  else
    grid_missing(grid);
  grid_uint(grid, log->received);
  grid_uint(grid, log->durable);
  grid_uint(grid, log->applied);
  grid_uint(grid, log->first_available);
  grid_uint(grid, lag);
  grid_int_as(grid, lag > 0 ? duration_format_ms(lag_ms, age) : "0", lag_ms);
  grid_text(grid, status != NULL ? status->state : NULL);
  if (status != NULL && status->handed_on_by != 0)
    grid_uint(grid, status->handed_on_by);
  else
    grid_missing(grid);
  if (status != NULL)
    grid_uint(grid, status->wal_bytes);
  else
    grid_missing(grid);
  grid_text(grid, status != NULL ? status->message : NULL);
}

static gboolean is_asked(const GArray *views, guint32 node)
{
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (status != NULL && status->node_id == node)
      return TRUE;
  }
  return FALSE;
}

/* What the node last heard of those peers that were not asked themselves. */
static void print_peer_logs(Grid *grid, const GArray *views, const NodeStatus *status,
                            const Progress *all)
{
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    if (peer->progress == NULL || is_asked(views, peer->node_id))
      continue;
    for (guint k = 0; k < peer->progress->logs->len; k++)
      print_log(grid, peer->node_id, &g_array_index(peer->progress->logs, LogProgress, k), NULL,
                all, status->hlc);
  }
}

static void print_logs(Grid *grid, const GArray *views)
{
  g_autoptr(Progress) all = farthest(views);
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "LOG", "log", FALSE);
  grid_column(grid, "OWN", "own", FALSE);
  grid_column(grid, "RECEIVED", "received", TRUE);
  grid_column(grid, "DURABLE", "durable", TRUE);
  grid_column(grid, "APPLIED", "applied", TRUE);
  grid_column(grid, "FIRST", "firstAvailable", TRUE);
  grid_column(grid, "LAG", "lagEntries", TRUE);
  grid_column(grid, "LAG TIME", "lagMs", TRUE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "FROM", "handedOnBy", TRUE);
  grid_column(grid, "WAL BYTES", "walBytes", TRUE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  gboolean peers_shown = FALSE;
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (status == NULL)
      continue;
    for (guint k = 0; k < status->logs->len; k++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, k);
      print_log(grid, status->node_id, &log->progress, log, all, status->hlc);
    }
    /* One node's word on the others is enough. */
    if (!peers_shown)
      print_peer_logs(grid, views, status, all);
    peers_shown = TRUE;
  }
  grid_flush(grid);
}

static void print_offset(Grid *grid, gint64 offset_ms)
{
  char size[TIME_TEXT_SIZE], text[TIME_TEXT_SIZE + 1];
  g_snprintf(text, sizeof text, "%s%s", offset_ms < 0 ? "-" : "+",
             duration_format_ms(ABS(offset_ms), size));
  grid_int_as(grid, text, offset_ms);
}

static const char *data_state(const PeerStatus *peer)
{
  if (peer->needs_reseed)
    return "needs reseed";
  if (peer->compared_hlc == 0)
    return NULL;
  return peer->data_differs ? "differs" : "equal";
}

static void print_peers(Grid *grid, const GArray *views)
{
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "PEER", "peerId", TRUE);
  grid_column(grid, "ADDRESS", "address", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "SILENT", "silentMs", TRUE);
  grid_column(grid, "IN FLIGHT", "batchesInFlight", TRUE);
  grid_column(grid, "SENT", "batchesSent", TRUE);
  grid_column(grid, "RETRIED", "batchesRetried", TRUE);
  grid_column(grid, "FROM TAIL", "entriesFromTail", TRUE);
  grid_column(grid, "FROM WAL", "entriesFromWal", TRUE);
  grid_column(grid, "CLOCK", "clockOffsetMs", TRUE);
  grid_column(grid, "DATA", "data", FALSE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    for (guint k = 0; status != NULL && k < status->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      char silent[TIME_TEXT_SIZE];
      grid_uint(grid, status->node_id);
      grid_uint(grid, peer->node_id);
      grid_text(grid, peer->address);
      grid_text(grid, peer->state);
      if (peer->silent_ms >= 0)
        grid_int_as(grid, duration_format_ms(peer->silent_ms, silent), peer->silent_ms);
      else
        grid_missing(grid);
      grid_uint(grid, peer->batches_in_flight);
      grid_uint(grid, peer->batches_sent);
      grid_uint(grid, peer->batches_retried);
      grid_uint(grid, peer->entries_from_tail);
      grid_uint(grid, peer->entries_from_wal);
      if (peer->has_clock_offset)
        print_offset(grid, peer->clock_offset_ms);
      else
        grid_missing(grid);
      grid_text(grid, data_state(peer));
      grid_text(grid, peer->message);
    }
  }
  grid_flush(grid);
}

/* What leaders overwrote of each other's, as each node found it. */
static void print_conflicts(Grid *grid, const GArray *views)
{
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "OVERWRITTEN", "overwrites", TRUE);
  grid_column(grid, "SAME VALUE", "sameValues", TRUE);
  grid_column(grid, "DELETED", "deletes", TRUE);
  grid_column(grid, "TYPES", "types", TRUE);
  grid_column(grid, "WAITING", "pending", TRUE);
  grid_column(grid, "OVERFLOWED", "overflowed", TRUE);
  grid_column(grid, "FIRST", "firstSequence", TRUE);
  grid_column(grid, "LAST", "lastSequence", TRUE);
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (status == NULL)
      continue;
    const ConflictCounts *counts = &status->conflicts;
    grid_uint(grid, status->node_id);
    for (guint kind = 1; kind <= CONFLICT_KINDS; kind++)
      grid_uint(grid, counts->by_kind[kind]);
    grid_uint(grid, counts->pending);
    grid_uint(grid, counts->overflowed);
    grid_uint(grid, counts->first_sequence);
    grid_uint(grid, counts->last_sequence);
  }
  grid_flush(grid);
}

static void print_groups(Grid *grid, const GArray *views)
{
  grid_column(grid, "NODE", "node", TRUE);
  grid_column(grid, "GROUP", "group", TRUE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "DEVICES", "devices", FALSE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < views->len; i++) {
    const View *view = view_at(views, i);
    for (guint k = 0; view->groups != NULL && k < view->groups->len; k++) {
      const GroupInfo *group = view->groups->pdata[k];
      grid_uint(grid, view->status->node_id);
      grid_uint(grid, group->id);
      grid_text(grid, group->state);
      grid_text(grid, group->devices != NULL ? group->devices : group->id == 0 ? "the rest" : NULL);
      grid_text(grid, group->message);
    }
  }
  grid_flush(grid);
}

static gboolean has_groups(const GArray *views)
{
  for (guint i = 0; i < views->len; i++)
    if (view_at(views, i)->groups != NULL && view_at(views, i)->groups->len > 1)
      return TRUE;
  return FALSE;
}

static const struct {
  const char *name;
  void (*print)(Grid *grid, const GArray *views);
} tables[] = {{"nodes", print_nodes},
              {"logs", print_logs},
              {"channels", print_peers},
              {"conflicts", print_conflicts},
              {"groups", print_groups}};

static gboolean wants(const char *only, guint i)
{
  return only == NULL || strcmp(only, tables[i].name) == 0;
}

/* Whether there is anything to show: a head without rows only puzzles. */
static gboolean has_rows(const char *table, const GArray *views)
{
  if (strcmp(table, "groups") == 0)
    return has_groups(views);
  gboolean nodes = strcmp(table, "nodes") == 0, logs = strcmp(table, "logs") == 0;
  gboolean conflicts = strcmp(table, "conflicts") == 0;
  for (guint i = 0; i < views->len && !nodes; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (status != NULL && conflicts) {
      if (conflict_counts_total(&status->conflicts) + status->conflicts.overflowed > 0)
        return TRUE;
      continue;
    }
    if (status != NULL && (logs ? status->logs->len : status->peers->len) > 0)
      return TRUE;
  }
  return nodes;
}

static void print(Ctl *ctl, const char *only, const GArray *views)
{
  if (ctl->format == FORMAT_JSON) {
    g_autoptr(JsonWriter) json = json_writer_new(stdout);
    json_begin_object(json, NULL, FALSE);
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
      if (wants(only, i) &&
          (only != NULL || tables[i].print != print_groups || has_groups(views))) {
        g_autoptr(Grid) grid = grid_new_json(json, tables[i].name);
        tables[i].print(grid, views);
      }
    json_end_object(json);
    return;
  }
  if (ctl->format == FORMAT_CSV && only == NULL)
    only = "logs";
  gboolean first = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS(tables); i++) {
    if (!wants(only, i) || (only == NULL && !has_rows(tables[i].name, views)))
      continue;
    if (!first)
      putchar('\n');
    first = FALSE;
    g_autoptr(Grid) grid = ctl_grid(ctl);
    tables[i].print(grid, views);
  }
}

/* The first server that gave no answer. */
static gboolean check_answers(const GArray *views, GError **error)
{
  for (guint i = 0; i < views->len; i++) {
    const View *view = view_at(views, i);
    if (view->error == NULL)
      continue;
    g_propagate_error(error, g_error_copy(view->error));
    return synclog_error_is_answer(view->error) ? fail_prefix(error, "%s: ", view->server) : FALSE;
  }
  return TRUE;
}

static gboolean check_health(const GArray *views, GError **error)
{
  for (guint i = 0; i < views->len; i++) {
    const NodeStatus *status = view_at(views, i)->status;
    if (strcmp(status->state, "serving") != 0)
      return fail(error, SYNCLOG_INVALID, "node %u is %s", status->node_id, status->state);
    for (guint k = 0; k < status->logs->len; k++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, k);
      char id[LOG_ID_TEXT_SIZE];
      if (strcmp(log->state, "ok") != 0 && strcmp(log->state, "closed") != 0)
        return fail(error, SYNCLOG_INVALID, "node %u: log %s is %s", status->node_id,
                    log_id_format(log->progress.log, id), log->state);
    }
    for (guint k = 0; k < status->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      if (strcmp(peer->state, "connected") != 0 && strcmp(peer->state, "forgotten") != 0)
        return fail(error, SYNCLOG_INVALID, "node %u: the channel to node %u is %s",
                    status->node_id, peer->node_id, peer->state);
      if (peer->data_differs)
        return fail(error, SYNCLOG_INVALID, "node %u holds other data than node %u",
                    status->node_id, peer->node_id);
      if (peer->rule_differs)
        return fail(
            error, SYNCLOG_INVALID,
            "nodes %u and %u have different rules of devices: \"devices\" of each [group.N] "
            "must be the same",
            status->node_id, peer->node_id);
      if (peer->needs_reseed)
        return fail(error, SYNCLOG_INVALID, "node %u needs a snapshot", peer->node_id);
    }
  }
  return TRUE;
}

static const GroupInfo *find_group(const View *view, guint32 id)
{
  for (guint i = 0; view->groups != NULL && i < view->groups->len; i++) {
    const GroupInfo *group = view->groups->pdata[i];
    if (group->id == id)
      return group;
  }
  return NULL;
}

/* With another rule a device is written to another group. */
static gboolean check_rule(const GArray *views, GError **error)
{
  const View *first = view_at(views, 0);
  for (guint i = 1; i < views->len; i++) {
    const View *view = view_at(views, i);
    for (guint k = 0; view->groups != NULL && k < view->groups->len; k++) {
      const GroupInfo *group = view->groups->pdata[k], *other = find_group(first, group->id);
      if (group->devices != NULL && first->groups != NULL &&
          (other == NULL || g_strcmp0(other->devices, group->devices) != 0))
        return fail(error, SYNCLOG_INVALID,
                    "group %u has devices %s at node %u, and %s at node %u: the rule must be the "
                    "same everywhere",
                    group->id, group->devices, view->status->node_id,
                    other != NULL && other->devices != NULL ? other->devices : "none",
                    first->status->node_id);
    }
  }
  return TRUE;
}

/* Every further group that one of the nodes is to carry. */
static gboolean check_groups(Ctl *ctl, const GArray *views, GError **error)
{
  for (guint i = 0; i < views->len; i++) {
    const View *view = view_at(views, i);
    g_autoptr(RpcClient) client = rpc_client_new(view->server, ctl->timeout_ms);
    for (guint k = 0; view->groups != NULL && k < view->groups->len; k++) {
      const GroupInfo *group = view->groups->pdata[k];
      if (group->id == 0 || strcmp(group->state, "elsewhere") == 0 ||
          strcmp(group->state, "files") == 0)
        continue;
      g_autoptr(GArray) one = g_array_new(FALSE, TRUE, sizeof(View));
      g_array_set_clear_func(one, view_clear);
      View its = {.server = view->server, .status = rpc_client_status(client, group->id, error)};
      g_array_append_val(one, its);
      if (its.status == NULL || !check_health(one, error))
        return fail_prefix(error, "group %u: ", group->id);
    }
  }
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autofree char *only = NULL;
  gboolean check = FALSE;
  const GOptionEntry entries[] = {
      {"only", 0, 0, G_OPTION_ARG_STRING, &only,
       "One table: nodes, logs, channels, conflicts or groups", "TABLE"},
      {"check", 0, 0, G_OPTION_ARG_NONE, &check,
       "Fail unless every node serves, every log is ok, every channel connected, in each group",
       NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  gboolean known = FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
    known = known || wants(only, i);
  if (!known)
    return ctl_usage(error, "--only: \"%s\" is none of nodes, logs, channels, conflicts, groups",
                     only);
  g_autoptr(GArray) views = ask_all(ctl);
  print(ctl, only, views);
  return check_answers(views, error) &&
         (!check ||
          ((ctl->given.group >= 0 || check_rule(views, error)) && check_health(views, error) &&
           (ctl->given.group >= 0 || check_groups(ctl, views, error))));
}

const CtlCommand ctl_status = {
    .name = "status",
    .arguments = "",
    .summary = "Show nodes, how far each is with each log, and the channels between them",
    .details = "Every server of --server is asked; of nodes that are not asked, what the first "
               "answering one "
               "last heard\nis shown. LAG counts the entries that some node is known to have and "
               "this one has "
               "not applied; LAG\nTIME is how old the last applied entry then is. CSV prints the "
               "table \"logs\" "
               "unless --only says which.",
    .run = run,
};
