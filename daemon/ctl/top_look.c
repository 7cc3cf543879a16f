#include "ctl/top.h"

#include "base/latency.h"
#include "base/times.h"
#include "ctl/grid.h"

#include <string.h>

enum { CELL_SIZE = 64, LATE_MS = 10000 };

/* What a server said of its groups. */
typedef struct Answer {
  GPtrArray *statuses; /* NodeStatus, by group */
  GPtrArray *groups;   /* GroupInfo; NULL: group 0 only */
  gint64 at_us;
} Answer;

/* A server, and what it said at this look and at the one before. */
typedef struct Watched {
  const char *server; /* borrowed */
  RpcClient *client;
  Answer *now, *before; /* NULL: no answer, or none that tells a status */
  char *error;
  gboolean refused; /* it is the server's word */
} Watched;

struct TopWatch {
  GArray *servers; /* Watched */
  gint group;      /* atomic */
};

static void answer_free(Answer *answer)
{
  g_ptr_array_unref(answer->statuses);
  g_clear_pointer(&answer->groups, g_ptr_array_unref);
  g_free(answer);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Answer, answer_free)

static void watched_clear(gpointer data)
{
  Watched *watched = data;
  rpc_client_free(watched->client);
  g_clear_pointer(&watched->now, answer_free);
  g_clear_pointer(&watched->before, answer_free);
  g_free(watched->error);
}

TopWatch *top_watch_new(char **servers, gint group, gint64 timeout_ms)
{
  TopWatch *watch = g_new0(TopWatch, 1);
  watch->group = group;
  watch->servers = g_array_new(FALSE, TRUE, sizeof(Watched));
  g_array_set_clear_func(watch->servers, watched_clear);
  for (guint i = 0; servers[i] != NULL; i++) {
    Watched watched = {.server = servers[i]};
    watched.client = rpc_client_new(servers[i], timeout_ms);
    g_array_append_val(watch->servers, watched);
  }
  return watch;
}

void top_watch_free(TopWatch *watch)
{
  g_array_unref(watch->servers);
  g_free(watch);
}

void top_watch_set_group(TopWatch *watch, gint group)
{
  g_atomic_int_set(&watch->group, group);
}

gint top_watch_group(const TopWatch *watch)
{
  return g_atomic_int_get(&watch->group);
}

/* --- asking -------------------------------------------------------------------------------------
 */

/* A group that is closed at this very moment is left out; a server that is lost meanwhile is an
 * error. */
static gboolean ask_groups(RpcClient *client, const NodeInfo *info, Answer *answer, GError **error)
{
  if (info->configured != NULL && info->configured->len > 1) {
    answer->groups = rpc_client_groups(client, error);
    if (answer->groups == NULL)
      return FALSE;
  }
  g_autoptr(GError) why = NULL; /* the last group tells nothing */
  for (guint i = 0; i < info->groups->len; i++) {
    g_autoptr(GError) local = NULL;
    guint32 group = g_array_index(info->groups, guint32, i);
    NodeStatus *status = rpc_client_status(client, group, &local);
    if (status != NULL) {
      status->group = group;
      g_ptr_array_add(answer->statuses, status);
    } else if (info->groups->len == 1 || g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_TIMEOUT)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    } else {
      g_clear_error(&why);
      why = g_steal_pointer(&local);
    }
  }
  if (answer->statuses->len > 0)
    return TRUE;
  if (why == NULL)
    return fail(error, SYNCLOG_NOT_READY, "none of its groups is open");
  g_propagate_error(error, g_steal_pointer(&why));
  return FALSE;
}

static Answer *ask_server(RpcClient *client, GError **error)
{
  g_autoptr(Answer) answer = g_new0(Answer, 1);
  answer->statuses = g_ptr_array_new_with_free_func((GDestroyNotify)node_status_free);
  NodeInfo info = {0};
  if (!rpc_client_info(client, &info, error))
    return NULL;
  gboolean told = ask_groups(client, &info, answer, error);
  node_info_clear(&info);
  answer->at_us = g_get_monotonic_time();
  return told ? g_steal_pointer(&answer) : NULL;
}

static gpointer ask(gpointer data)
{
  Watched *watched = data;
  g_autoptr(GError) error = NULL;
  g_clear_pointer(&watched->before, answer_free);
  g_clear_pointer(&watched->error, g_free);
  watched->before = g_steal_pointer(&watched->now);
  watched->now = ask_server(watched->client, &error);
  if (watched->now != NULL)
    return NULL;
  watched->error = g_strdup(error->message);
  watched->refused = synclog_error_is_answer(error);
  return NULL;
}

static const NodeStatus *status_of(const Answer *answer, guint32 group)
{
  for (guint i = 0; answer != NULL && i < answer->statuses->len; i++) {
    const NodeStatus *status = answer->statuses->pdata[i];
    if (status->group == group)
      return status;
  }
  return NULL;
}

/* The same group at the look before; counts of another life of it say nothing. */
static const NodeStatus *status_before(const Watched *watched, const NodeStatus *now)
{
  const NodeStatus *before = status_of(watched->before, now->group);
  return before != NULL && before->uptime_ms <= now->uptime_ms ? before : NULL;
}

/* --- sums ---------------------------------------------------------------------------------------
 */

static const char *const step_names[] = {"write", "sync", "apply"};
enum { WRITE, SYNC, APPLY, STEPS };

/* Of some groups of some servers: what happened since the look before, and what there is. */
typedef struct Sum {
  double writes, refused, applied; /* per second */
  gboolean has_rates;
  guint64 store, wal;
  LatencyView steps[STEPS];
} Sum;

static double rate_of(guint64 now, guint64 before, double seconds)
{
  return now > before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

static const StepStatus *find_step(const NodeStatus *status, const char *name)
{
  for (guint i = 0; status != NULL && i < status->steps->len; i++)
    if (strcmp(g_array_index(status->steps, StepStatus, i).name, name) == 0)
      return &g_array_index(status->steps, StepStatus, i);
  return NULL;
}

static void add_steps(Sum *sum, const NodeStatus *now, const NodeStatus *before)
{
  for (guint k = 0; k < STEPS; k++) {
    const StepStatus *step = find_step(now, step_names[k]), *old = find_step(before, step_names[k]);
    for (guint i = 0; step != NULL && i < LATENCY_OCTAVES; i++) {
      guint64 count = step->times.octaves[i];
      count -= old != NULL ? MIN(old->times.octaves[i], count) : 0;
      sum->steps[k].octaves[i] += count;
      sum->steps[k].count += count;
    }
  }
}

static void add_status(Sum *sum, const Watched *watched, const NodeStatus *now)
{
  const NodeStatus *before = status_before(watched, now);
  if (before != NULL) {
    double seconds = (double)(watched->now->at_us - watched->before->at_us) / G_USEC_PER_SEC;
    sum->has_rates = TRUE;
    sum->writes += rate_of(now->writes, before->writes, seconds);
    sum->refused += rate_of(now->writes_refused, before->writes_refused, seconds);
    sum->applied += rate_of(now->entries_applied, before->entries_applied, seconds);
  }
  add_steps(sum, now, before);
  sum->store += now->store_bytes;
  for (guint i = 0; i < now->logs->len; i++)
    sum->wal += g_array_index(now->logs, LogStatus, i).wal_bytes;
}

/* --- tables -------------------------------------------------------------------------------------
 */

static void cell_clear(gpointer data)
{
  g_free(((TopCell *)data)->text);
}

static TopTable begin_table(const TopColumn *columns, guint n_columns)
{
  TopTable table = {columns, n_columns, g_array_new(FALSE, TRUE, sizeof(TopCell))};
  g_array_set_clear_func(table.cells, cell_clear);
  return table;
}

guint top_table_rows(const TopTable *table)
{
  return table->cells->len / table->n_columns;
}

const TopCell *top_table_cell(const TopTable *table, guint row, guint column)
{
  return &g_array_index(table->cells, TopCell, row * table->n_columns + column);
}

void top_look_free(TopLook *look)
{
  g_array_unref(look->group_ids);
  g_array_unref(look->groups.cells);
  g_array_unref(look->nodes.cells);
  g_array_unref(look->links.cells);
  g_array_unref(look->trouble);
  g_free(look);
}

char *top_look_groups(const TopLook *look)
{
  if (look->group != TOP_ALL_GROUPS)
    return g_strdup_printf("  group %d", look->group);
  return look->group_ids->len > 1 ? g_strdup_printf("  all %u groups", look->group_ids->len)
                                  : g_strdup("");
}

/* NULL or empty: not known. */
static void put_text(GArray *cells, const char *text, TopMood mood)
{
  TopCell cell = {.text = text != NULL && *text != '\0' ? text_printable(text, -1) : NULL,
                  .mood = mood};
  g_array_append_val(cells, cell);
}

/* Takes `text`. */
static void put(GArray *cells, char *text, double number, TopMood mood)
{
  TopCell cell = {text, number, mood};
  g_array_append_val(cells, cell);
}

static void put_count(GArray *cells, guint64 count, TopMood mood)
{
  put(cells, g_strdup_printf("%" G_GUINT64_FORMAT, count), (double)count, mood);
}

static void put_size(GArray *cells, guint64 bytes)
{
  put(cells, g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS), (double)bytes, MOOD_PLAIN);
}

static void put_duration(GArray *cells, gint64 ms, TopMood mood)
{
  char text[TIME_TEXT_SIZE];
  put(cells, g_strdup(duration_format_ms(ms, text)), (double)ms, mood);
}

static void put_rate(GArray *cells, const Sum *sum, double rate, TopMood mood)
{
  if (sum->has_rates)
    put(cells, g_strdup_printf("%.0f", rate), rate, rate > 0 ? mood : MOOD_PLAIN);
  else
    put_text(cells, NULL, MOOD_PLAIN);
}

static void put_rates(GArray *cells, const Sum *sum)
{
  put_rate(cells, sum, sum->writes, MOOD_PLAIN);
  put_rate(cells, sum, sum->refused, MOOD_WARN);
  put_rate(cells, sum, sum->applied, MOOD_PLAIN);
}

/* What 99 of 100 took since the last look. */
static void put_quantile(GArray *cells, const LatencyView *view)
{
  double ms = latency_quantile(view, 0.99) / 1000;
  if (view->count == 0)
    put_text(cells, NULL, MOOD_PLAIN);
  else
    put(cells, g_strdup_printf(ms < 10 ? "%.2f" : "%.0f", ms), ms, MOOD_PLAIN);
}

/* --- nodes, links, trouble ----------------------------------------------------------------------
 */

static const TopColumn node_columns[] = {
    {"NODE", TRUE, 0},      {"STATE", FALSE, 0},   {"WRITES/s", TRUE, 1}, {"REFUSED/s", TRUE, 5},
    {"APPLIED/s", TRUE, 2}, {"WRITE ms", TRUE, 3}, {"SYNC ms", TRUE, 7},  {"APPLY ms", TRUE, 8},
    {"CONN", TRUE, 9},      {"STORE", TRUE, 6},    {"WAL", TRUE, 4},      {"UPTIME", TRUE, 10},
};

static const TopColumn group_columns[] = {
    {"GROUP", TRUE, 0},     {"SERVING", TRUE, 0}, {"WRITES/s", TRUE, 1}, {"REFUSED/s", TRUE, 5},
    {"APPLIED/s", TRUE, 2}, {"LAG", TRUE, 3},     {"STORE", TRUE, 6},    {"WAL", TRUE, 4},
};

static const TopColumn link_columns[] = {
    {"LINK", FALSE, 0}, {"STATE", FALSE, 0},    {"LAG", TRUE, 1},    {"BYTES", TRUE, 4},
    {"TIME", TRUE, 2},  {"IN FLIGHT", TRUE, 6}, {"SILENT", TRUE, 5}, {"MESSAGE", FALSE, 3},
};
static const TopColumn group_link_columns[] = {
    {"LINK", FALSE, 0},     {"GROUP", TRUE, 0},  {"STATE", FALSE, 0},
    {"LAG", TRUE, 1},       {"BYTES", TRUE, 4},  {"TIME", TRUE, 2},
    {"IN FLIGHT", TRUE, 6}, {"SILENT", TRUE, 5}, {"MESSAGE", FALSE, 3},
};

static gboolean is_serving(const NodeStatus *status)
{
  return strcmp(status->state, "serving") == 0;
}

/* It should be here, and is not. */
static gboolean is_missing(const GroupInfo *group)
{
  return strcmp(group->state, "failed") == 0 || strcmp(group->state, "opening") == 0;
}

static gboolean is_shown(const TopLook *look, guint32 group)
{
  return look->group == TOP_ALL_GROUPS || (guint32)look->group == group;
}

/* The groups of the server that are shown, one of which is `worst`: what the worst of them is. */
static void put_state(GArray *cells, const TopLook *look, const Answer *answer,
                      const NodeStatus *worst)
{
  for (guint i = 0; i < answer->statuses->len; i++) {
    const NodeStatus *status = answer->statuses->pdata[i];
    if (is_shown(look, status->group) && is_serving(worst) &&
        (!is_serving(status) || worst->message == NULL))
      worst = status;
  }
  put_text(cells, worst->state,
           !is_serving(worst)       ? MOOD_BAD
           : worst->message != NULL ? MOOD_WARN
                                    : MOOD_GOOD);
}

static void put_node(TopLook *look, const Watched *watched)
{
  GArray *cells = look->nodes.cells;
  const NodeStatus *first = NULL;
  Sum sum = {0};
  for (guint i = 0; i < watched->now->statuses->len; i++) {
    const NodeStatus *status = watched->now->statuses->pdata[i];
    if (!is_shown(look, status->group))
      continue;
    first = first != NULL ? first : status;
    add_status(&sum, watched, status);
  }
  if (first == NULL)
    return;
  put_count(cells, first->node_id, MOOD_PLAIN);
  put_state(cells, look, watched->now, first);
  put_rates(cells, &sum);
  for (guint i = 0; i < STEPS; i++)
    put_quantile(cells, &sum.steps[i]);
  put_count(cells, first->connections, MOOD_PLAIN);
  put_size(cells, sum.store);
  put_size(cells, sum.wal);
  put_duration(cells, first->uptime_ms, MOOD_PLAIN);
}

static gboolean lacks(const Answer *answer, guint32 group)
{
  for (guint i = 0; answer != NULL && answer->groups != NULL && i < answer->groups->len; i++) {
    const GroupInfo *info = answer->groups->pdata[i];
    if (info->id == group && is_missing(info))
      return TRUE;
  }
  return FALSE;
}

/* A group on all servers that were asked. */
static void put_group(TopLook *look, const TopWatch *watch, guint32 group)
{
  GArray *cells = look->groups.cells;
  Sum sum = {0};
  guint serving = 0, there = 0;
  guint64 lag = 0;
  for (guint i = 0; i < watch->servers->len; i++) {
    const Watched *watched = &g_array_index(watch->servers, Watched, i);
    const NodeStatus *status = status_of(watched->now, group);
    there += status != NULL || lacks(watched->now, group);
    if (status == NULL)
      continue;
    serving += is_serving(status);
    add_status(&sum, watched, status);
    for (guint k = 0; k < status->peers->len; k++)
      lag = MAX(lag, g_array_index(status->peers, PeerStatus, k).lag_entries);
  }
  put_count(cells, group, MOOD_PLAIN);
  put(cells, g_strdup_printf("%u of %u", serving, there), serving,
      serving == there ? MOOD_GOOD : MOOD_BAD);
  put_rates(cells, &sum);
  put_count(cells, lag, MOOD_PLAIN);
  put_size(cells, sum.store);
  put_size(cells, sum.wal);
}

static void put_link(TopLook *look, const NodeStatus *node, const PeerStatus *peer)
{
  GArray *cells = look->links.cells;
  char link[CELL_SIZE];
  /* A terminal that has no arrow gets one of two characters. */
  g_snprintf(link, sizeof link, g_get_charset(NULL) ? "%u → %u" : "%u -> %u", node->node_id,
             peer->node_id);
  TopMood late = peer->lag_ms > LATE_MS ? MOOD_WARN : MOOD_PLAIN;
  TopCell cell = {g_strdup(link), node->node_id * 65536.0 + peer->node_id, MOOD_PLAIN};
  g_array_append_val(cells, cell);
  if (look->links.columns == group_link_columns)
    put_count(cells, node->group, MOOD_PLAIN);
  put_text(cells, peer->needs_reseed ? "needs reseed" : peer->state,
           strcmp(peer->state, "connected") == 0 ? MOOD_GOOD : MOOD_BAD);
  put_count(cells, peer->lag_entries, late);
  put_size(cells, peer->lag_bytes);
  if (peer->lag_ms > 0)
    put_duration(cells, peer->lag_ms, late);
  else
    put_text(cells, NULL, MOOD_PLAIN);
  put_count(cells, peer->batches_in_flight, MOOD_PLAIN);
  if (peer->silent_ms >= 0)
    put_duration(cells, peer->silent_ms, MOOD_PLAIN);
  else
    put_text(cells, NULL, MOOD_PLAIN);
  put_text(cells, peer->message, MOOD_PLAIN);
}

static void put_trouble(GArray *trouble, TopMood mood, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void put_trouble(GArray *trouble, TopMood mood, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *text = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  put_text(trouble, text, mood);
}

/* Nodes, logs and peers that do not go on, in one group. `where`: "node 1" or "node 1, group 2". */
static void find_group_trouble(GArray *trouble, const NodeStatus *now, const char *where)
{
  if (!is_serving(now) || now->message != NULL)
    put_trouble(trouble, is_serving(now) ? MOOD_WARN : MOOD_BAD, "%s is %s: %s", where, now->state,
                now->message != NULL ? now->message : "");
  for (guint i = 0; i < now->logs->len; i++) {
    const LogStatus *log = &g_array_index(now->logs, LogStatus, i);
    if (log->message != NULL)
      put_trouble(trouble, MOOD_BAD, "%s: the log of node %u is %s: %s", where,
                  log->progress.log.origin, log->state, log->message);
  }
  for (guint i = 0; i < now->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(now->peers, PeerStatus, i);
    if (peer->rule_differs)
      put_trouble(trouble, MOOD_BAD, "%s and node %u have different rules of devices", where,
                  peer->node_id);
    if (peer->data_differs)
      put_trouble(trouble, MOOD_BAD, "%s and node %u hold different data", where, peer->node_id);
  }
}

static void find_closed_groups(const TopLook *look, const Answer *answer)
{
  const NodeStatus *first = answer->statuses->pdata[0];
  for (guint i = 0; answer->groups != NULL && i < answer->groups->len; i++) {
    const GroupInfo *group = answer->groups->pdata[i];
    if (is_shown(look, group->id) && is_missing(group))
      put_trouble(look->trouble, MOOD_BAD, "node %u, group %u is %s: %s", first->node_id, group->id,
                  group->state, group->message != NULL ? group->message : "");
  }
}

/* What needs a person. */
static void find_trouble(const TopLook *look, const Watched *watched)
{
  if (watched->now == NULL) {
    put_trouble(look->trouble, MOOD_BAD, "%s %s: %s", watched->server,
                watched->refused ? "answers, but is not ready" : "does not answer", watched->error);
    return;
  }
  for (guint i = 0; i < watched->now->statuses->len; i++) {
    const NodeStatus *status = watched->now->statuses->pdata[i];
    g_autofree char *where =
        look->group_ids->len > 1
            ? g_strdup_printf("node %u, group %u", status->node_id, status->group)
            : g_strdup_printf("node %u", status->node_id);
    if (is_shown(look, status->group))
      find_group_trouble(look->trouble, status, where);
  }
  find_closed_groups(look, watched->now);
  if (look->group != TOP_ALL_GROUPS && status_of(watched->now, (guint32)look->group) == NULL &&
      !lacks(watched->now, (guint32)look->group))
    put_trouble(look->trouble, MOOD_WARN, "%s does not have group %d", watched->server,
                look->group);
}

/* --- the look -----------------------------------------------------------------------------------
 */

static gint compare_ids(gconstpointer a, gconstpointer b)
{
  guint32 one = *(const guint32 *)a, other = *(const guint32 *)b;
  return one < other ? -1 : one > other;
}

static void add_id(GArray *ids, guint32 id)
{
  for (guint i = 0; i < ids->len; i++)
    if (g_array_index(ids, guint32, i) == id)
      return;
  g_array_append_val(ids, id);
}

/* Of all servers, also those groups that are open nowhere. */
static GArray *collect_ids(const TopWatch *watch)
{
  GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < watch->servers->len; i++) {
    const Answer *answer = g_array_index(watch->servers, Watched, i).now;
    for (guint k = 0; answer != NULL && k < answer->statuses->len; k++)
      add_id(ids, ((const NodeStatus *)answer->statuses->pdata[k])->group);
    for (guint k = 0; answer != NULL && answer->groups != NULL && k < answer->groups->len; k++) {
      const GroupInfo *group = answer->groups->pdata[k];
      if (is_missing(group))
        add_id(ids, group->id);
    }
  }
  g_array_sort(ids, compare_ids);
  return ids;
}

static TopLook *begin_look(const TopWatch *watch)
{
  TopLook *look = g_new0(TopLook, 1);
  look->group = g_atomic_int_get(&watch->group);
  look->group_ids = collect_ids(watch);
  gboolean several = look->group == TOP_ALL_GROUPS && look->group_ids->len > 1;
  look->nodes = begin_table(node_columns, G_N_ELEMENTS(node_columns));
  look->groups = begin_table(group_columns, G_N_ELEMENTS(group_columns));
  look->links = several ? begin_table(group_link_columns, G_N_ELEMENTS(group_link_columns))
                        : begin_table(link_columns, G_N_ELEMENTS(link_columns));
  look->trouble = g_array_new(FALSE, TRUE, sizeof(TopCell));
  g_array_set_clear_func(look->trouble, cell_clear);
  look->servers = watch->servers->len;
  for (guint i = 0; several && i < look->group_ids->len; i++)
    put_group(look, watch, g_array_index(look->group_ids, guint32, i));
  return look;
}

static void put_server(TopLook *look, const Watched *watched)
{
  gboolean serves = FALSE;
  find_trouble(look, watched);
  if (watched->now == NULL)
    return;
  put_node(look, watched);
  for (guint i = 0; i < watched->now->statuses->len; i++) {
    const NodeStatus *status = watched->now->statuses->pdata[i];
    if (!is_shown(look, status->group))
      continue;
    serves |= is_serving(status);
    for (guint k = 0; k < status->peers->len; k++)
      put_link(look, status, &g_array_index(status->peers, PeerStatus, k));
  }
  look->serving += serves;
}

TopLook *top_watch_look(TopWatch *watch)
{
  g_autoptr(GPtrArray) threads = g_ptr_array_new();
  for (guint i = 0; i < watch->servers->len; i++)
    g_ptr_array_add(threads, g_thread_new("ask", ask, &g_array_index(watch->servers, Watched, i)));
  for (guint i = 0; i < threads->len; i++)
    g_thread_join(g_ptr_array_index(threads, i));
  TopLook *look = begin_look(watch);
  for (guint i = 0; i < watch->servers->len; i++)
    put_server(look, &g_array_index(watch->servers, Watched, i));
  return look;
}
