#include "ctl/ctl.h"

#include "base/times.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { CELL_SIZE = 64 };

/* A server, and what it said at this look and at the one before. */
typedef struct Watched {
  const char *server; /* borrowed */
  RpcClient *client;
  NodeStatus *now, *before; /* NULL: no answer */
  gint64 now_us, before_us;
  char *error;
} Watched;

typedef struct Top {
  Ctl *ctl;
  GArray *servers; /* Watched */
  gboolean batch;
  gint64 interval_ms;
  gint rounds; /* 0: until it is ended */
  struct termios terminal;
} Top;

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
  (void)number;
  ended = 1;
}

static void watched_clear(gpointer data)
{
  Watched *watched = data;
  rpc_client_free(watched->client);
  g_clear_pointer(&watched->now, node_status_free);
  g_clear_pointer(&watched->before, node_status_free);
  g_free(watched->error);
}

static void look(Top *top)
{
  for (guint i = 0; i < top->servers->len; i++) {
    Watched *watched = &g_array_index(top->servers, Watched, i);
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&watched->before, node_status_free);
    g_clear_pointer(&watched->error, g_free);
    watched->before = g_steal_pointer(&watched->now);
    watched->before_us = watched->now_us;
    watched->now = rpc_client_status(watched->client, top->ctl->group, &error);
    watched->now_us = g_get_monotonic_time();
    if (watched->now == NULL)
      watched->error = g_strdup(error->message);
    /* Counts of another life of the node say nothing. */
    else if (watched->before != NULL && watched->before->uptime_ms > watched->now->uptime_ms)
      g_clear_pointer(&watched->before, node_status_free);
  }
}

/* --- the tables ---------------------------------------------------------------------------------
 */

static void put_rate(Grid *grid, const Watched *watched, guint64 now, guint64 before)
{
  if (watched->before == NULL) {
    grid_missing(grid);
    return;
  }
  double seconds = (double)(watched->now_us - watched->before_us) / G_USEC_PER_SEC;
  char text[CELL_SIZE];
  g_snprintf(text, sizeof text, "%.0f", now > before ? (double)(now - before) / seconds : 0.0);
  grid_text(grid, text);
}

static void put_size(Grid *grid, guint64 bytes)
{
  g_autofree char *text = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
  grid_text(grid, text);
}

static const StepStatus *find_step(const NodeStatus *status, const char *name)
{
  for (guint i = 0; status != NULL && i < status->steps->len; i++)
    if (strcmp(g_array_index(status->steps, StepStatus, i).name, name) == 0)
      return &g_array_index(status->steps, StepStatus, i);
  return NULL;
}

/* What 99 of 100 took since the last look. */
static void put_quantile(Grid *grid, const Watched *watched, const char *name)
{
  const StepStatus *now = find_step(watched->now, name);
  const StepStatus *before = find_step(watched->before, name);
  if (now == NULL) {
    grid_missing(grid);
    return;
  }
  LatencyView view = now->times;
  for (guint i = 0; before != NULL && i < LATENCY_OCTAVES; i++) {
    view.octaves[i] -= MIN(before->times.octaves[i], view.octaves[i]);
    view.count -= MIN(before->times.octaves[i], view.count);
  }
  double ms = latency_quantile(&view, 0.99) / 1000;
  char text[CELL_SIZE];
  g_snprintf(text, sizeof text, ms < 10 ? "%.2f" : "%.0f", ms);
  grid_text(grid, view.count > 0 ? text : NULL);
}

static void print_nodes(const Top *top, FILE *out)
{
  g_autoptr(Grid) grid = grid_new(FORMAT_TEXT, out);
  static const char *const titles[] = {"WRITES/s", "REFUSED/s", "APPLIED/s", "WRITE ms", "SYNC ms",
                                       "APPLY ms", "CONN",      "STORE",     "WAL",      "UPTIME"};
  grid_column(grid, "NODE", "node", TRUE);
  grid_column(grid, "STATE", "state", FALSE);
  for (guint i = 0; i < G_N_ELEMENTS(titles); i++)
    grid_column(grid, titles[i], titles[i], TRUE);
  for (guint i = 0; i < top->servers->len; i++) {
    const Watched *watched = &g_array_index(top->servers, Watched, i);
    const NodeStatus *now = watched->now, *before = watched->before;
    if (now == NULL)
      continue;
    char uptime[TIME_TEXT_SIZE];
    guint64 wal = 0;
    for (guint k = 0; k < now->logs->len; k++)
      wal += g_array_index(now->logs, LogStatus, k).wal_bytes;
    grid_uint(grid, now->node_id);
    grid_text(grid, now->state);
    put_rate(grid, watched, now->writes, before != NULL ? before->writes : 0);
    put_rate(grid, watched, now->writes_refused, before != NULL ? before->writes_refused : 0);
    put_rate(grid, watched, now->entries_applied, before != NULL ? before->entries_applied : 0);
    put_quantile(grid, watched, "write");
    put_quantile(grid, watched, "sync");
    put_quantile(grid, watched, "apply");
    grid_uint(grid, now->connections);
    put_size(grid, now->store_bytes);
    put_size(grid, wal);
    grid_text(grid, duration_format_ms(now->uptime_ms, uptime));
  }
}

static void print_links(const Top *top, FILE *out)
{
  g_autoptr(Grid) grid = grid_new(FORMAT_TEXT, out);
  grid_column(grid, "LINK", "link", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "LAG", "lag", TRUE);
  grid_column(grid, "BYTES", "bytes", TRUE);
  grid_column(grid, "TIME", "time", TRUE);
  grid_column(grid, "IN FLIGHT", "flight", TRUE);
  grid_column(grid, "SILENT", "silent", TRUE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  for (guint i = 0; i < top->servers->len; i++) {
    const NodeStatus *now = g_array_index(top->servers, Watched, i).now;
    for (guint k = 0; now != NULL && k < now->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(now->peers, PeerStatus, k);
      char text[TIME_TEXT_SIZE], link[CELL_SIZE];
      g_snprintf(link, sizeof link, "%u → %u", now->node_id, peer->node_id);
      grid_text(grid, link);
      grid_text(grid, peer->state);
      grid_uint(grid, peer->lag_entries);
      put_size(grid, peer->lag_bytes);
      grid_text(grid, peer->lag_ms > 0 ? duration_format_ms(peer->lag_ms, text) : NULL);
      grid_uint(grid, peer->batches_in_flight);
      grid_text(grid, peer->silent_ms >= 0 ? duration_format_ms(peer->silent_ms, text) : NULL);
      grid_text(grid, peer->message);
    }
  }
}

/* What needs a person: servers that do not answer, nodes and logs that do not go on. */
static void print_trouble(const Top *top, FILE *out)
{
  for (guint i = 0; i < top->servers->len; i++) {
    const Watched *watched = &g_array_index(top->servers, Watched, i);
    const NodeStatus *now = watched->now;
    g_autofree char *message = text_printable(now == NULL            ? watched->error
                                              : now->message != NULL ? now->message
                                                                     : "",
                                              -1);
    if (now == NULL)
      fprintf(out, "! %s does not answer: %s\n", watched->server, message);
    else if (strcmp(now->state, "serving") != 0)
      fprintf(out, "! node %u is %s: %s\n", now->node_id, now->state, message);
    for (guint k = 0; now != NULL && k < now->logs->len; k++) {
      const LogStatus *log = &g_array_index(now->logs, LogStatus, k);
      if (log->message == NULL)
        continue;
      g_autofree char *why = text_printable(log->message, -1);
      fprintf(out, "! node %u: the log of node %u is %s: %s\n", now->node_id,
              log->progress.log.origin, log->state, why);
    }
  }
}

/* --- the screen ---------------------------------------------------------------------------------
 */

/* As many lines and columns of the text as the terminal has. */
static void put_on_screen(const char *text)
{
  struct winsize size = {.ws_row = 24, .ws_col = 80};
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  fputs("\x1b[H", stdout);
  for (guint row = 0; lines[row] != NULL && row + 1 < size.ws_row; row++) {
    glong length = g_utf8_strlen(lines[row], -1);
    g_autofree char *cut = g_utf8_substring(lines[row], 0, MIN(length, size.ws_col));
    printf("%s\x1b[K\n", cut);
  }
  fputs("\x1b[J", stdout);
  fflush(stdout);
}

static gboolean show(const Top *top, GError **error)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (out == NULL)
    return fail(error, SYNCLOG_INTERNAL, "no memory");
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *clock = g_date_time_format(now, "%H:%M:%S");
  fprintf(out, "synclogctl top  %s%s\n\n", clock, top->batch ? "" : "  q: end");
  print_trouble(top, out);
  print_nodes(top, out);
  fputc('\n', out);
  print_links(top, out);
  fputc('\n', out);
  fclose(out);
  if (top->batch)
    fputs(text, stdout);
  else
    put_on_screen(text);
  fflush(stdout);
  free(text);
  return TRUE;
}

/* Waits for the next look; FALSE when it is to end. */
static gboolean wait_for_next(const Top *top)
{
  struct pollfd input = {.fd = top->batch ? -1 : STDIN_FILENO, .events = POLLIN};
  gint64 until_us = g_get_monotonic_time() + top->interval_ms * 1000;
  for (;;) {
    gint64 left_ms = (until_us - g_get_monotonic_time()) / 1000;
    if (ended || left_ms <= 0)
      return !ended;
    char key;
    if (poll(&input, 1, (int)left_ms) > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q'))
      return FALSE;
  }
}

static void begin_screen(Top *top)
{
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  tcgetattr(STDIN_FILENO, &top->terminal);
  struct termios raw = top->terminal;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  fputs("\x1b[?1049h\x1b[?25l", stdout);
}

static void end_screen(const Top *top)
{
  fputs("\x1b[?25h\x1b[?1049l", stdout);
  fflush(stdout);
  tcsetattr(STDIN_FILENO, TCSANOW, &top->terminal);
}

static gboolean watch(Top *top, GError **error)
{
  if (!top->batch)
    begin_screen(top);
  gboolean good = TRUE;
  for (gint round = 0; good && (top->rounds == 0 || round < top->rounds); round++) {
    if (round > 0 && !wait_for_next(top))
      break;
    look(top);
    good = show(top, error);
  }
  if (!top->batch)
    end_screen(top);
  return good;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  Top top = {.ctl = ctl, .interval_ms = 2000};
  g_autofree char *interval = NULL;
  const GOptionEntry entries[] = {
      {"batch", 'b', 0, G_OPTION_ARG_NONE, &top.batch, "Print one look below the other", NULL},
      {"rounds", 'n', 0, G_OPTION_ARG_INT, &top.rounds, "Look so many times, then end", "N"},
      {"interval", 'i', 0, G_OPTION_ARG_STRING, &interval, "Time between looks (2s)", "DURATION"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  if (interval != NULL && !ctl_real_duration_ms("--interval", interval, &top.interval_ms, error))
    return FALSE;
  if (top.interval_ms < 100 || top.interval_ms > 3600 * 1000 || top.rounds < 0)
    return ctl_usage(error, "--interval is 100ms to 1h, --rounds is not negative");
  if (ctl->format != FORMAT_TEXT)
    return ctl_usage(error, "top has no --json and --csv; \"status\" has");
  if (!top.batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
    return ctl_usage(error, "top wants a terminal; without one: --batch");
  top.servers = g_array_new(FALSE, TRUE, sizeof(Watched));
  g_array_set_clear_func(top.servers, watched_clear);
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    Watched watched = {.server = ctl->servers[i]};
    watched.client = rpc_client_new(ctl->servers[i], MIN(ctl->timeout_ms, top.interval_ms));
    g_array_append_val(top.servers, watched);
  }
  gboolean done = watch(&top, error);
  g_array_unref(top.servers);
  return done;
}

const CtlCommand ctl_top = {
    .name = "top",
    .arguments = "",
    .summary = "Watch the servers live in a terminal",
    .details = "Of each server (--server A,B,C): writes, what 99 of 100 writes, syncs and applied "
               "batches took, sizes; and its\nlinks with what the peer lacks. q ends it.",
    .run = run,
};
