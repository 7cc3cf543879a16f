/*
 * Follows logs: a thread with a connection of its own asks for each, waiting at the server, and
 * prints a line for each entry. Lines of one log come in its order.
 */
#include "base/times.h"
#include "ctl/ctl.h"
#include "ctl/write_dump.h"

#include <string.h>

enum {
  WAIT_MS = 2000,       /* how long one request waits at the server */
  SETTLE_MS = 1000,     /* pause of the thread that looks for new logs */
  SYNC_PAUSE_US = 5000, /* after an answer without entries */
  MAX_LOGS = 256,       /* followed at once */
};

typedef struct Tail {
  Ctl *ctl;
  char *device, *for_text;
  gint64 from, lines; /* from: index, 0 not given; lines: of the entries there are, -1 all */
  gboolean follow;
  gint64 until_us;
  GPtrArray *threads; /* GThread */
  GArray *followed;   /* LogId */
  GMutex mutex;       /* guards what follows, and stdout */
  GError *error;      /* the first failure ends all */
} Tail;

typedef struct Follower {
  Tail *tail;
  LogId log;
  guint64 next; /* index to ask for */
  guint64 last; /* that the node had applied at the begin */
} Follower;

static void tail_clear(Tail *tail)
{
  g_free(tail->device);
  g_free(tail->for_text);
  g_clear_pointer(&tail->threads, g_ptr_array_unref);
  g_clear_pointer(&tail->followed, g_array_unref);
  g_clear_error(&tail->error);
  g_mutex_clear(&tail->mutex);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tail, tail_clear)

static gboolean is_over(Tail *tail)
{
  g_mutex_lock(&tail->mutex);
  gboolean over = tail->error != NULL || ferror(stdout) != 0;
  g_mutex_unlock(&tail->mutex);
  return over || g_get_monotonic_time() >= tail->until_us;
}

/* Takes the error. */
static void end_by(Tail *tail, GError *error)
{
  g_mutex_lock(&tail->mutex);
  if (tail->error == NULL)
    tail->error = error;
  else
    g_error_free(error);
  g_mutex_unlock(&tail->mutex);
}

/* A line of JSON; with --device only what it writes there. */
static void print_entry(Tail *tail, LogId log, const TailEntry *entry)
{
  gsize size;
  const guint8 *data = g_bytes_get_data(entry->data, &size);
  if (tail->device != NULL && !write_touches(data, size, tail->device))
    return;
  char name[LOG_ID_TEXT_SIZE], time[TIME_TEXT_SIZE];
  g_mutex_lock(&tail->mutex);
  g_autoptr(JsonWriter) json = json_writer_new(stdout);
  json_begin_object(json, NULL, TRUE);
  json_put_string(json, "log", log_id_format(log, name));
  json_put_uint(json, "searchIndex", entry->index);
  json_put_uint(json, "hlc", entry->hlc);
  json_put_string(json, "time", time_format((gint64)(entry->hlc >> 16), 1000, time));
  WriteSummary summary;
  write_dump(data, size, json, "data", &summary);
  json_end_object(json);
  g_clear_pointer(&json, json_writer_free);
  fflush(stdout);
  g_mutex_unlock(&tail->mutex);
}

/* Asks once and prints. FALSE with an error. *out_count: entries that came. */
static gboolean step(Follower *follower, RpcClient *client, gint wait_ms, guint *out_count,
                     GError **error)
{
  Tail *tail = follower->tail;
  guint64 first = 0;
  g_autoptr(GArray) entries = rpc_client_tail(client, tail->ctl->group, follower->log,
                                              follower->next, 0, wait_ms, &first, error);
  if (entries == NULL)
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    print_entry(tail, follower->log, &g_array_index(entries, TailEntry, i));
  follower->next += entries->len;
  *out_count = entries->len;
  return TRUE;
}

static gpointer follow(gpointer data)
{
  g_autofree Follower *follower = data;
  Tail *tail = follower->tail;
  const char *server = tail->ctl->servers[tail->ctl->server];
  g_autoptr(RpcClient) client = rpc_client_new(server, tail->ctl->timeout_ms + WAIT_MS);
  while (!is_over(tail) && (tail->follow || follower->next <= follower->last)) {
    GError *error = NULL;
    guint count = 0;
    gint64 left_ms = (tail->until_us - g_get_monotonic_time()) / 1000;
    gint wait_ms = tail->follow ? (gint)CLAMP(left_ms, 0, WAIT_MS) : 0;
    if (!step(follower, client, wait_ms, &count, &error)) {
      end_by(tail, error);
      break;
    }
    /* Another node's log may be applied a moment before it is synced and can be read. */
    if (count == 0)
      g_usleep(SYNC_PAUSE_US);
  }
  return NULL;
}

static gboolean is_followed(const Tail *tail, LogId log)
{
  for (guint i = 0; i < tail->followed->len; i++)
    if (log_id_equal(g_array_index(tail->followed, LogId, i), log))
      return TRUE;
  return FALSE;
}

/* Begins to follow a log that is at `progress` now. */
static gboolean add_log(Tail *tail, const LogProgress *progress, gboolean is_new, GError **error)
{
  if (is_followed(tail, progress->log))
    return TRUE;
  if (tail->followed->len >= MAX_LOGS)
    return fail(error, SYNCLOG_TOO_LARGE, "more than %d logs; name those to follow", MAX_LOGS);
  guint64 first = MAX(progress->first_available, 1), next = progress->applied + 1;
  if (tail->from > 0)
    next = (guint64)tail->from;
  else if (is_new || tail->lines < 0)
    next = first;
  else
    next -= MIN((guint64)tail->lines, next - MIN(first, next));
  Follower *follower = g_new(Follower, 1);
  *follower = (Follower){tail, progress->log, next, progress->applied};
  g_array_append_val(tail->followed, progress->log);
  g_ptr_array_add(tail->threads, g_thread_new("tail", follow, follower));
  return TRUE;
}

/* All logs of the node, or the one that was named. */
static gboolean add_logs(Tail *tail, const LogId *only, gboolean are_new, GError **error)
{
  Ctl *ctl = tail->ctl;
  g_autoptr(NodeStatus) status = rpc_client_status(ctl->client, ctl->group, error);
  if (status == NULL)
    return FALSE;
  gboolean found = FALSE;
  for (guint i = 0; i < status->logs->len; i++) {
    const LogProgress *progress = &g_array_index(status->logs, LogStatus, i).progress;
    if (only != NULL && !log_id_equal(*only, progress->log))
      continue;
    found = TRUE;
    if (!add_log(tail, progress, are_new, error))
      return FALSE;
  }
  char text[LOG_ID_TEXT_SIZE];
  return found || only == NULL ||
         fail(error, SYNCLOG_UNKNOWN_LOG, "node %u has no log %s", status->node_id,
              log_id_format(*only, text));
}

static gboolean watch(Tail *tail, const LogId *only, GError **error)
{
  gboolean good = add_logs(tail, only, FALSE, error);
  while (good && tail->follow && only == NULL && !is_over(tail)) {
    gint64 left_us = tail->until_us - g_get_monotonic_time();
    g_usleep((gulong)CLAMP(left_us, 0, SETTLE_MS * 1000));
    good = is_over(tail) || add_logs(tail, NULL, TRUE, error);
  }
  if (!good)
    tail->until_us = 0;
  for (guint i = 0; i < tail->threads->len; i++)
    g_thread_join(tail->threads->pdata[i]);
  if (!good || tail->error == NULL)
    return good;
  g_propagate_error(error, g_steal_pointer(&tail->error));
  return FALSE;
}

static gboolean set_end(Tail *tail, GError **error)
{
  gint64 for_ms = G_MAXINT64 / 2000;
  if (tail->for_text != NULL && !ctl_real_duration_ms("--for", tail->for_text, &for_ms, error))
    return FALSE;
  tail->until_us = g_get_monotonic_time() + for_ms * 1000;
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean no_follow = FALSE, all = FALSE;
  g_auto(Tail) tail = {.ctl = ctl};
  g_mutex_init(&tail.mutex);
  tail.threads = g_ptr_array_new();
  tail.followed = g_array_new(FALSE, FALSE, sizeof(LogId));
  const GOptionEntry entries[] = {
      {"device", 'd', 0, G_OPTION_ARG_STRING, &tail.device, "Only entries that touch this device",
       "DEVICE"},
      {"from", 0, 0, G_OPTION_ARG_INT64, &tail.from, "Begin at this entry; LOG must be named",
       "INDEX"},
      {"lines", 'n', 0, G_OPTION_ARG_INT64, &tail.lines,
       "Begin with so many of the last entries of each log (0)", "N"},
      {"all", 0, 0, G_OPTION_ARG_NONE, &all, "Begin with the oldest entries that the node holds",
       NULL},
      {"no-follow", 0, 0, G_OPTION_ARG_NONE, &no_follow, "End after what there is", NULL},
      {"for", 0, 0, G_OPTION_ARG_STRING, &tail.for_text,
       "End after this time, and not only when interrupted", "DURATION"},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 1, &argc, &argv, error))
    return FALSE;
  LogId log;
  if (argc > 1 && !log_id_parse(argv[1], &log))
    return ctl_usage(error, "\"%s\" is no log; \"synclogctl status\" shows them", argv[1]);
  if (tail.from < 0 || tail.lines < 0)
    return ctl_usage(error, "--from and --lines must not be negative");
  if (tail.from > 0 && argc < 2)
    return ctl_usage(error, "--from goes with a log");
  if ((tail.from > 0) + (tail.lines > 0) + all > 1)
    return ctl_usage(error, "--from, --lines and --all exclude each other");
  if (all)
    tail.lines = -1;
  tail.follow = !no_follow;
  return set_end(&tail, error) && ctl_connect(ctl, error) &&
         watch(&tail, argc > 1 ? &log : NULL, error);
}

const CtlCommand ctl_tail = {
    .name = "tail",
    .arguments = "[LOG]",
    .summary = "Follow what is written, as lines of JSON",
    .details =
        "One node is asked for the entries of one log, or of all logs that it has, as it applies "
        "them: each\nentry once, those of a log in their order. Without --from, --lines or --all "
        "only what is written from\nnow on is told. To go on later without a gap, remember "
        "searchIndex and pass the next one as --from.\n"
        "A write's key is told as key, or as keyHex when it is not text.",
    .run = run,
};
