#include "ctl/top.h"

#include "base/latency.h"
#include "base/times.h"
#include "ctl/grid.h"

#include <string.h>

enum { CELL_SIZE = 64, LATE_MS = 10000 };

/* A server, and what it said at this look and at the one before. */
typedef struct Watched {
  const char *server; /* borrowed */
  RpcClient *client;
  guint32 group;
  NodeStatus *now, *before; /* NULL: no answer */
  gint64 now_us, before_us;
  char *error;
} Watched;

struct TopWatch {
  GArray *servers; /* Watched */
};

static void watched_clear(gpointer data)
{
  Watched *watched = data;
  rpc_client_free(watched->client);
  g_clear_pointer(&watched->now, node_status_free);
  g_clear_pointer(&watched->before, node_status_free);
  g_free(watched->error);
}

TopWatch *top_watch_new(char **servers, guint32 group, gint64 timeout_ms)
{
  TopWatch *watch = g_new0(TopWatch, 1);
  watch->servers = g_array_new(FALSE, TRUE, sizeof(Watched));
  g_array_set_clear_func(watch->servers, watched_clear);
  for (guint i = 0; servers[i] != NULL; i++) {
    Watched watched = {.server = servers[i], .group = group};
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

static gpointer ask(gpointer data)
{
  Watched *watched = data;
  g_autoptr(GError) error = NULL;
  g_clear_pointer(&watched->before, node_status_free);
  g_clear_pointer(&watched->error, g_free);
  watched->before = g_steal_pointer(&watched->now);
  watched->before_us = watched->now_us;
  watched->now = rpc_client_status(watched->client, watched->group, &error);
  watched->now_us = g_get_monotonic_time();
  if (watched->now == NULL)
    watched->error = g_strdup(error->message);
  /* Counts of another life of the node say nothing. */
  else if (watched->before != NULL && watched->before->uptime_ms > watched->now->uptime_ms)
    g_clear_pointer(&watched->before, node_status_free);
  return NULL;
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
  g_array_unref(look->nodes.cells);
  g_array_unref(look->links.cells);
  g_array_unref(look->trouble);
  g_free(look);
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

static void put_rate(GArray *cells, const Watched *watched, guint64 now, guint64 before,
                     TopMood mood)
{
  if (watched->before == NULL) {
    put_text(cells, NULL, MOOD_PLAIN);
    return;
  }
  double seconds = (double)(watched->now_us - watched->before_us) / G_USEC_PER_SEC;
  double rate = now > before ? (double)(now - before) / seconds : 0;
  put(cells, g_strdup_printf("%.0f", rate), rate, rate > 0 ? mood : MOOD_PLAIN);
}

static const StepStatus *find_step(const NodeStatus *status, const char *name)
{
  for (guint i = 0; status != NULL && i < status->steps->len; i++)
    if (strcmp(g_array_index(status->steps, StepStatus, i).name, name) == 0)
      return &g_array_index(status->steps, StepStatus, i);
  return NULL;
}

/* What 99 of 100 took since the last look. */
static void put_quantile(GArray *cells, const Watched *watched, const char *name)
{
  const StepStatus *now = find_step(watched->now, name);
  const StepStatus *before = find_step(watched->before, name);
  if (now == NULL) {
    put_text(cells, NULL, MOOD_PLAIN);
    return;
  }
  LatencyView view = now->times;
  for (guint i = 0; before != NULL && i < LATENCY_OCTAVES; i++) {
    view.octaves[i] -= MIN(before->times.octaves[i], view.octaves[i]);
    view.count -= MIN(before->times.octaves[i], view.count);
  }
  double ms = latency_quantile(&view, 0.99) / 1000;
  if (view.count == 0)
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

static const TopColumn link_columns[] = {
    {"LINK", FALSE, 0}, {"STATE", FALSE, 0},    {"LAG", TRUE, 1},    {"BYTES", TRUE, 4},
    {"TIME", TRUE, 2},  {"IN FLIGHT", TRUE, 6}, {"SILENT", TRUE, 5}, {"MESSAGE", FALSE, 3},
};

static gboolean is_serving(const NodeStatus *status)
{
  return strcmp(status->state, "serving") == 0;
}

static void put_node(GArray *cells, const Watched *watched)
{
  const NodeStatus *now = watched->now, *before = watched->before;
  guint64 wal = 0;
  for (guint i = 0; i < now->logs->len; i++)
    wal += g_array_index(now->logs, LogStatus, i).wal_bytes;
  put_count(cells, now->node_id, MOOD_PLAIN);
  put_text(cells, now->state, !is_serving(now) ? MOOD_BAD : now->message ? MOOD_WARN : MOOD_GOOD);
  put_rate(cells, watched, now->writes, before != NULL ? before->writes : 0, MOOD_PLAIN);
  put_rate(cells, watched, now->writes_refused, before != NULL ? before->writes_refused : 0,
           MOOD_WARN);
  put_rate(cells, watched, now->entries_applied, before != NULL ? before->entries_applied : 0,
           MOOD_PLAIN);
  put_quantile(cells, watched, "write");
  put_quantile(cells, watched, "sync");
  put_quantile(cells, watched, "apply");
  put_count(cells, now->connections, MOOD_PLAIN);
  put_size(cells, now->store_bytes);
  put_size(cells, wal);
  put_duration(cells, now->uptime_ms, MOOD_PLAIN);
}

static void put_link(GArray *cells, const NodeStatus *node, const PeerStatus *peer)
{
  char link[CELL_SIZE];
  /* A terminal that has no arrow gets one of two characters. */
  g_snprintf(link, sizeof link, g_get_charset(NULL) ? "%u → %u" : "%u -> %u", node->node_id,
             peer->node_id);
  TopMood late = peer->lag_ms > LATE_MS ? MOOD_WARN : MOOD_PLAIN;
  TopCell cell = {g_strdup(link), node->node_id * 65536.0 + peer->node_id, MOOD_PLAIN};
  g_array_append_val(cells, cell);
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

/* What needs a person: servers that do not answer, nodes, logs and peers that do not go on. */
static void find_trouble(GArray *trouble, const Watched *watched)
{
  const NodeStatus *now = watched->now;
  if (now == NULL) {
    put_trouble(trouble, MOOD_BAD, "%s does not answer: %s", watched->server, watched->error);
    return;
  }
  if (!is_serving(now) || now->message != NULL)
    put_trouble(trouble, is_serving(now) ? MOOD_WARN : MOOD_BAD, "node %u is %s: %s", now->node_id,
                now->state, now->message != NULL ? now->message : "");
  for (guint i = 0; i < now->logs->len; i++) {
    const LogStatus *log = &g_array_index(now->logs, LogStatus, i);
    if (log->message != NULL)
      put_trouble(trouble, MOOD_BAD, "node %u: the log of node %u is %s: %s", now->node_id,
                  log->progress.log.origin, log->state, log->message);
  }
  for (guint i = 0; i < now->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(now->peers, PeerStatus, i);
    if (peer->data_differs)
      put_trouble(trouble, MOOD_BAD, "nodes %u and %u hold different data", now->node_id,
                  peer->node_id);
  }
}

TopLook *top_watch_look(TopWatch *watch)
{
  g_autoptr(GPtrArray) threads = g_ptr_array_new();
  TopLook *look = g_new0(TopLook, 1);
  look->nodes = begin_table(node_columns, G_N_ELEMENTS(node_columns));
  look->links = begin_table(link_columns, G_N_ELEMENTS(link_columns));
  look->trouble = g_array_new(FALSE, TRUE, sizeof(TopCell));
  g_array_set_clear_func(look->trouble, cell_clear);
  look->servers = watch->servers->len;
  for (guint i = 0; i < watch->servers->len; i++)
    g_ptr_array_add(threads, g_thread_new("ask", ask, &g_array_index(watch->servers, Watched, i)));
  for (guint i = 0; i < threads->len; i++)
    g_thread_join(g_ptr_array_index(threads, i));
  for (guint i = 0; i < watch->servers->len; i++) {
    const Watched *watched = &g_array_index(watch->servers, Watched, i);
    find_trouble(look->trouble, watched);
    if (watched->now == NULL)
      continue;
    look->serving += is_serving(watched->now);
    put_node(look->nodes.cells, watched);
    for (guint k = 0; k < watched->now->peers->len; k++)
      put_link(look->links.cells, watched->now, &g_array_index(watched->now->peers, PeerStatus, k));
  }
  return look;
}
