#include "base/limits.h"
#include "ctl/ctl.h"
#include "ctl/digest_diff.h"
#include "ctl/values.h"

#include <string.h>

enum { UNKNOWN_LOG_PAUSE_US = 50 * 1000, MAX_DIFFERENCES = 1000 };

typedef struct Answer {
  const char *server; /* borrowed */
  RpcClient *client;
  StateDigest digest;
  Progress *progress;
} Answer;

static void answer_clear(gpointer data)
{
  Answer *answer = data;
  g_clear_pointer(&answer->client, rpc_client_free);
  g_clear_pointer(&answer->progress, progress_free);
}

static Answer *answer_at(const GArray *answers, guint i)
{
  return &g_array_index(answers, Answer, i);
}

static guint64 applied_of(const Progress *progress, LogId log)
{
  const LogProgress *found = progress_find(progress, log);
  return found != NULL ? found->applied : 0;
}

static gboolean ask(Ctl *ctl, Answer *answer, const GArray *tokens, GError **error)
{
  Progress *progress = NULL;
  if (!rpc_client_digest(answer->client, ctl->group, tokens, &answer->digest, &progress, error))
    return fail_prefix(error, "%s: ", answer->server);
  g_clear_pointer(&answer->progress, progress_free);
  answer->progress = progress;
  return TRUE;
}

/* The highest applied index of every log, as tokens, of those logs that some server is behind with.
 */
static GArray *points_to_reach(const GArray *answers)
{
  g_autoptr(Progress) highest = progress_new();
  GArray *tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; i < answers->len; i++)
    progress_merge(highest, answer_at(answers, i)->progress);
  for (guint k = 0; k < highest->logs->len && tokens->len < LIMIT_TOKENS; k++) {
    const LogProgress *log = &g_array_index(highest->logs, LogProgress, k);
    gboolean behind = FALSE;
    for (guint i = 0; i < answers->len; i++)
      behind = behind || applied_of(answer_at(answers, i)->progress, log->log) < log->applied;
    if (behind)
      g_array_append_val(tokens, ((Token){.log = log->log, .index = log->applied}));
  }
  return tokens;
}

/* Asks all again until all have applied the same, or the time is up. */
static gboolean reach_same_point(Ctl *ctl, GArray *answers, GError **error)
{
  gint64 deadline_us = g_get_monotonic_time() + ctl->timeout_ms * 1000;
  for (;;) {
    g_autoptr(GArray) tokens = points_to_reach(answers);
    if (tokens->len == 0)
      return TRUE;
    if (g_get_monotonic_time() > deadline_us)
      return fail(error, SYNCLOG_TIMEOUT, "the servers did not reach the same point of all logs");
    for (guint i = 0; i < answers->len; i++) {
      g_autoptr(GError) local = NULL;
      if (ask(ctl, answer_at(answers, i), tokens, &local))
        continue;
      if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_UNKNOWN_LOG)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
      }
      /* It has not heard of a log yet, so there is nothing to wait for at it. */
      g_usleep(UNKNOWN_LOG_PAUSE_US);
      if (!ask(ctl, answer_at(answers, i), NULL, error))
        return FALSE;
    }
  }
}

static void print(const Ctl *ctl, const GArray *answers)
{
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "SERVER", "server", FALSE);
  grid_column(grid, "DIGEST", "digest", FALSE);
  grid_column(grid, "CELLS", "cells", TRUE);
  grid_column(grid, "DEVICES", "devices", TRUE);
  grid_column(grid, "APPLIED", "applied", FALSE);
  for (guint i = 0; i < answers->len; i++) {
    const Answer *answer = answer_at(answers, i);
    g_autofree char *digest =
        g_strdup_printf("%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", answer->digest.high,
                        answer->digest.low);
    g_autoptr(GString) applied = g_string_new(NULL);
    for (guint k = 0; k < answer->progress->logs->len; k++) {
      const LogProgress *log = &g_array_index(answer->progress->logs, LogProgress, k);
      char text[TOKEN_TEXT_SIZE];
      g_string_append_printf(applied, "%s%s", k > 0 ? "," : "",
                             token_format(&(Token){.log = log->log, .index = log->applied}, text));
    }
    grid_text(grid, answer->server);
    grid_text(grid, digest);
    grid_uint(grid, answer->digest.cells);
    grid_uint(grid, answer->digest.devices);
    grid_text(grid, applied->str);
  }
}

/* The clock up to which all servers have everything: the smallest of their horizons. */
static gboolean common_horizon(Ctl *ctl, const GArray *answers, guint64 *out_cut, GError **error)
{
  *out_cut = G_MAXUINT64;
  for (guint i = 0; i < answers->len; i++) {
    g_autoptr(NodeStatus) status =
        rpc_client_status(answer_at(answers, i)->client, ctl->group, error);
    if (status == NULL)
      return FALSE;
    *out_cut = MIN(*out_cut, status->horizon);
  }
  return *out_cut > 0 || fail(error, SYNCLOG_TIMEOUT,
                              "the servers did not reach the same point of all logs, and no common "
                              "clock is known at which to compare them");
}

static void print_differences(const Ctl *ctl, const Answer *left, const Answer *right,
                              const GPtrArray *differences)
{
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "DEVICE", "device", FALSE);
  grid_column(grid, "BUCKET", "bucket", FALSE);
  grid_column(grid, left->server, "leftCells", TRUE);
  grid_column(grid, right->server, "rightCells", TRUE);
  for (guint i = 0; i < differences->len; i++) {
    const Difference *one = differences->pdata[i];
    grid_text(grid, one->device);
    ctl_grid_time(ctl, grid, one->start_time, TIMES_AUTO);
    grid_uint(grid, one->left_cells);
    grid_uint(grid, one->right_cells);
  }
}

/* Entries that some server leaves out by an operator's word explain a difference. */
static void tell_skipped(Ctl *ctl, const GArray *answers)
{
  for (guint i = 0; i < answers->len; i++) {
    const Answer *answer = answer_at(answers, i);
    g_autoptr(NodeStatus) status = rpc_client_status(answer->client, ctl->group, NULL);
    guint skipped = 0;
    for (guint k = 0; status != NULL && k < status->logs->len; k++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, k);
      skipped += log->skipped != NULL ? log->skipped->len : 0;
    }
    if (skipped > 0)
      g_printerr("%s leaves out %u entries by an operator's word: see \"synclogctl log list\"\n",
                 answer->server, skipped);
  }
}

/* Compares the first server with each other one, down to device and bucket. */
static gboolean compare_parts(Ctl *ctl, const GArray *answers, guint64 cut, GError **error)
{
  const Answer *first = answer_at(answers, 0);
  for (guint i = 1; i < answers->len; i++) {
    const Answer *other = answer_at(answers, i);
    gboolean more;
    g_autoptr(GPtrArray) differences =
        digest_diff(ctl, first->client, other->client, NULL, cut, MAX_DIFFERENCES, &more, error);
    if (differences == NULL)
      return FALSE;
    if (differences->len == 0)
      continue;
    if (!ctl_connect(ctl, error)) /* the precision of times is to be known */
      return FALSE;
    print_differences(ctl, first, other, differences);
    return fail(error, SYNCLOG_CORRUPT,
                "%s and %s have applied the same entries and hold different data, in %s%u buckets",
                first->server, other->server, more ? "more than " : "", differences->len);
  }
  if (ctl->format == FORMAT_TEXT && cut == G_MAXUINT64)
    ctl_say(ctl, "equal\n");
  else if (ctl->format == FORMAT_TEXT)
    ctl_say(ctl, "equal up to clock %" G_GUINT64_FORMAT ", while writes go on\n", cut);
  return TRUE;
}

static gboolean are_equal(const GArray *answers)
{
  const StateDigest *first = &answer_at(answers, 0)->digest;
  for (guint i = 1; i < answers->len; i++) {
    const StateDigest *digest = &answer_at(answers, i)->digest;
    if (digest->low != first->low || digest->high != first->high || digest->cells != first->cells)
      return FALSE;
  }
  return TRUE;
}

static gboolean check_equal(Ctl *ctl, const GArray *answers, GError **error)
{
  if (!are_equal(answers))
    return compare_parts(ctl, answers, G_MAXUINT64, error);
  if (ctl->format == FORMAT_TEXT)
    ctl_say(ctl, "equal\n");
  return TRUE;
}

/* While writes go on the servers are not at the same point for long: the states at a clock are
 * compared that all of them have passed. */
static gboolean compare_at_horizon(Ctl *ctl, const GArray *answers, GError **error)
{
  guint64 cut;
  return common_horizon(ctl, answers, &cut, error) && compare_parts(ctl, answers, cut, error);
}

/* A group, and of each server whether it is one of its members. */
typedef struct GroupPlaces {
  guint32 id;
  guint64 elsewhere; /* a bit per server */
} GroupPlaces;

G_STATIC_ASSERT(LIMIT_MEMBERS <= 64);

static gboolean is_elsewhere(const GroupPlaces *places, guint server)
{
  return (places->elsewhere >> server & 1) != 0;
}

static gboolean ask_all(Ctl *ctl, const GroupPlaces *places, GArray *answers, GError **error)
{
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    if (is_elsewhere(places, i))
      continue;
    g_array_set_size(answers, answers->len + 1);
    Answer *answer = answer_at(answers, answers->len - 1);
    answer->server = ctl->servers[i];
    answer->client = rpc_client_new(answer->server, ctl->timeout_ms);
    if (!ask(ctl, answer, NULL, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean digest_group(Ctl *ctl, const GroupPlaces *places, gboolean compare, GError **error)
{
  g_autoptr(GArray) answers = g_array_new(FALSE, TRUE, sizeof(Answer));
  g_array_set_clear_func(answers, answer_clear);
  ctl->group = places->id;
  if (!ask_all(ctl, places, answers, error))
    return FALSE;
  if (compare && answers->len < 2) {
    ctl_say(ctl, "on %s of the servers: nothing to compare\n", answers->len == 0 ? "none" : "one");
    compare = FALSE;
  }
  g_autoptr(GError) local = NULL;
  if (compare)
    tell_skipped(ctl, answers);
  if (!compare || reach_same_point(ctl, answers, &local)) {
    /* One document for programs: where the data differs, or else the digests. */
    if (!compare || ctl->format == FORMAT_TEXT || are_equal(answers))
      print(ctl, answers);
    return !compare || check_equal(ctl, answers, error);
  }
  if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_TIMEOUT))
    return compare_at_horizon(ctl, answers, error);
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

static GroupPlaces *find_places(GArray *all, guint32 id)
{
  guint at = 0;
  while (at < all->len && g_array_index(all, GroupPlaces, at).id < id)
    at++;
  if (at == all->len || g_array_index(all, GroupPlaces, at).id != id) {
    GroupPlaces fresh = {.id = id};
    g_array_insert_val(all, at, fresh);
  }
  return &g_array_index(all, GroupPlaces, at);
}

/* What one server has in its configuration: another server may have more, and not be asked. */
static gboolean add_groups(Ctl *ctl, guint server, GArray *all, GError **error)
{
  g_autoptr(RpcClient) client = rpc_client_new(ctl->servers[server], ctl->timeout_ms);
  NodeInfo info = {0};
  if (!rpc_client_info(client, &info, error))
    return FALSE;
  guint count = info.configured->len;
  node_info_clear(&info);
  if (count < 2)
    return TRUE;
  g_autoptr(GPtrArray) groups = rpc_client_groups(client, error);
  for (guint i = 0; groups != NULL && i < groups->len; i++) {
    const GroupInfo *group = groups->pdata[i];
    if (strcmp(group->state, "files") == 0)
      continue;
    GroupPlaces *places = find_places(all, group->id);
    if (strcmp(group->state, "elsewhere") == 0)
      places->elsewhere |= (guint64)1 << server;
  }
  return groups != NULL;
}

/* Of all servers together: GroupPlaces, by id. */
static GArray *list_groups(Ctl *ctl, GError **error)
{
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(GroupPlaces));
  find_places(all, 0);
  for (guint i = 0; ctl->servers[i] != NULL; i++)
    if (!add_groups(ctl, i, all, error)) {
      fail_prefix(error, "%s: ", ctl->servers[i]);
      return NULL;
    }
  return g_steal_pointer(&all);
}

/* One after the other. Programs name the group that they want: theirs is one document. */
static gboolean digest_groups(Ctl *ctl, gboolean compare, GError **error)
{
  g_autoptr(GArray) groups = list_groups(ctl, error);
  if (groups == NULL)
    return FALSE;
  if (groups->len > 1 && ctl->format != FORMAT_TEXT)
    return ctl_usage(error, "the servers have %u groups, and this is of one: say --group N",
                     groups->len);
  gboolean good = TRUE;
  for (guint i = 0; good && i < groups->len; i++) {
    const GroupPlaces *places = &g_array_index(groups, GroupPlaces, i);
    if (groups->len > 1)
      ctl_say(ctl, "%sgroup %u\n", i > 0 ? "\n" : "", places->id);
    good = digest_group(ctl, places, compare, error) ||
           (groups->len > 1 && fail_prefix(error, "group %u: ", places->id));
  }
  return good;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  gboolean compare = FALSE;
  const GOptionEntry entries[] = {
      {"compare", 0, 0, G_OPTION_ARG_NONE, &compare,
       "Wait until all servers have applied the same and compare", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  if (compare && g_strv_length(ctl->servers) < 2)
    return ctl_usage(error, "--compare needs several servers: --server A,B,C");
  if (ctl->given.group < 0)
    return digest_groups(ctl, compare, error);
  return digest_group(ctl, &(GroupPlaces){.id = ctl->group}, compare, error);
}

const CtlCommand ctl_digest = {
    .name = "digest",
    .arguments = "",
    .summary = "Print, and compare, the digests of the servers' data",
    .details =
        "Every server of --server is asked, for each group unless --group says which. With "
        "--compare it waits, up to --timeout, until all "
        "have applied\nthe same entries, or, when writes go on, compares them at a clock that all "
        "have passed. Where they\ndiffer, the devices and the buckets of time are listed. Exit "
        "code "
        "1 when data differs, 3 when there is\nno common point or clock.",
    .run = run,
};
