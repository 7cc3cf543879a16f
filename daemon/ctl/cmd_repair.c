#include "base/limits.h"
#include "ctl/digest_diff.h"
#include "ctl/tries.h"

#include <string.h>

enum {
  MAX_BUCKETS = 10000, /* that are mended in one go */
  TRIES = 10,          /* of one bucket: its clock may be out of date by the time it is asked for */
  PAUSE_US = 300 * 1000,
};

typedef struct Repair {
  Ctl *ctl;
  guint32 from;
  char *device; /* NULL: all */
  gboolean has_time, dry_run;
  gint64 time;
  RpcClient *source; /* of `from`; NULL when the device and the time are given */
  Grid *grid;
  guint mended, failed;
} Repair;

/* The clock up to which both have everything; 0: none is known yet. */
static gboolean ask_cut(const Repair *repair, guint64 *out_cut, GError **error)
{
  Ctl *ctl = repair->ctl;
  g_autoptr(NodeStatus) here = rpc_client_status(ctl->client, ctl->group, error);
  if (here == NULL)
    return FALSE;
  *out_cut = here->horizon;
  for (guint i = 0; i < here->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(here->peers, PeerStatus, i);
    if (peer->node_id == repair->from && peer->progress != NULL)
      *out_cut = MIN(*out_cut, peer->progress->horizon);
  }
  if (repair->source != NULL) {
    g_autoptr(NodeStatus) there = rpc_client_status(repair->source, ctl->group, error);
    if (there == NULL)
      return FALSE;
    *out_cut = MIN(*out_cut, there->horizon);
  }
  return TRUE;
}

/* The same; a node that was just started does not know at once. */
static gboolean choose_cut(const Repair *repair, guint64 *out_cut, GError **error)
{
  gint64 deadline_us = g_get_monotonic_time() + repair->ctl->timeout_ms * 1000;
  while (ask_cut(repair, out_cut, error)) {
    if (*out_cut > 0)
      return TRUE;
    if (g_get_monotonic_time() > deadline_us)
      return fail(error, SYNCLOG_TIMEOUT,
                  "there is no clock up to which both nodes have everything: all members must be "
                  "heard, or declared lost");
    g_usleep(PAUSE_US);
  }
  return FALSE;
}

/* Whether a later clock may do. */
static gboolean is_passing(const GError *error)
{
  return g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID) ||
         g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY) ||
         g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_OVERLOADED);
}

/* The node mends one bucket, at a clock that suits both. */
static gboolean repair_one(const Repair *repair, const char *device, gint64 time,
                           RepairResult *result, GError **error)
{
  RepairQuery query = {repair->from, device, time, 0, repair->dry_run};
  for (guint try = 1;; try++) {
    if (!choose_cut(repair, &query.cut, error))
      return FALSE;
    g_autoptr(GError) local = NULL;
    if (rpc_client_repair(repair->ctl->client, repair->ctl->group, &query, result, &local))
      return TRUE;
    if (try == TRIES || !is_passing(local)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_usleep(PAUSE_US);
  }
}

/* FALSE when it makes no sense to go on. */
static gboolean repair_and_tell(Repair *repair, const char *device, gint64 time, GError **error)
{
  RepairResult result = {0};
  g_autoptr(GError) local = NULL;
  gboolean done = repair_one(repair, device, time, &result, &local);
  const char *state = !done              ? "failed"
                      : result.was_equal ? "equal"
                      : repair->dry_run  ? "differs"
                                         : "mended";
  grid_text(repair->grid, device);
  ctl_grid_time(repair->ctl, repair->grid, time, TIMES_AUTO);
  grid_uint(repair->grid, result.cells_before);
  grid_uint(repair->grid, result.cells_after);
  grid_text(repair->grid, state);
  grid_text(repair->grid, local != NULL ? local->message : NULL);
  repair->mended += done && !result.was_equal;
  repair->failed += !done;
  if (!ctl_is_unreachable(local) && !g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NOT_READY))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* What differs; at a later clock when the first one is out of date before both were asked. */
static GPtrArray *find_differences(const Repair *repair, gboolean *out_more, GError **error)
{
  gint64 deadline_us = g_get_monotonic_time() + repair->ctl->timeout_ms * 1000;
  for (;;) {
    guint64 cut;
    if (!choose_cut(repair, &cut, error))
      return NULL;
    GError *local = NULL;
    GPtrArray *differences = digest_diff(repair->ctl, repair->ctl->client, repair->source,
                                         repair->device, cut, MAX_BUCKETS, out_more, &local);
    if (differences != NULL)
      return differences;
    if (!is_passing(local) || g_get_monotonic_time() > deadline_us) {
      g_propagate_error(error, local);
      return NULL;
    }
    g_error_free(local);
    g_usleep(PAUSE_US);
  }
}

static gboolean repair_all(Repair *repair, GError **error)
{
  gboolean more = FALSE;
  if (repair->has_time)
    return repair_and_tell(repair, repair->device, repair->time, error);
  g_autoptr(GPtrArray) differences = find_differences(repair, &more, error);
  for (guint i = 0; differences != NULL && i < differences->len; i++) {
    const Difference *one = differences->pdata[i];
    if (!repair_and_tell(repair, one->device, one->start_time, error))
      return FALSE;
  }
  if (differences == NULL)
    return FALSE;
  return !more || fail(error, SYNCLOG_TOO_LARGE,
                       "more than %d buckets differ: run it again for the rest", MAX_BUCKETS);
}

/* The client of the server that is the node; NULL with an error. */
static RpcClient *find_source(const Ctl *ctl, guint32 node, GError **error)
{
  for (guint i = 0; ctl->servers[i] != NULL; i++) {
    g_autoptr(RpcClient) client = rpc_client_new(ctl->servers[i], ctl->timeout_ms);
    NodeInfo info = {0};
    g_autoptr(GError) local = NULL;
    if (!rpc_client_info(client, &info, &local)) {
      if (i == 0 || !tries_may_go_on(TRIES_READ, local)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
      }
      continue;
    }
    guint32 id = info.node_id;
    node_info_clear(&info);
    if (id == node && i == 0) {
      ctl_usage(error, "--from: node %u is the one to be mended, the first of --server", node);
      return NULL;
    }
    if (id == node)
      return g_steal_pointer(&client);
  }
  fail(error, SYNCLOG_NOT_READY,
       "node %u answers at none of the addresses of --server, which are needed to find what "
       "differs: --server MENDED,FROM",
       node);
  return NULL;
}

static gboolean finish(const Repair *repair, GError **error)
{
  if (repair->failed > 0)
    return fail(error, SYNCLOG_INTERNAL, "%u buckets could not be mended", repair->failed);
  if (repair->dry_run && repair->mended > 0)
    return fail(error, SYNCLOG_CORRUPT, "%u buckets differ; nothing was changed (--dry-run)",
                repair->mended);
  return TRUE;
}

static gboolean connect_both(Repair *repair, const char *time, GError **error)
{
  Ctl *ctl = repair->ctl;
  if (!repair->has_time) {
    repair->source = find_source(ctl, repair->from, error);
    if (repair->source == NULL)
      return FALSE;
  }
  /* Only the first one is meant. */
  for (guint i = 1; ctl->servers[i] != NULL; i++)
    g_clear_pointer(&ctl->servers[i], g_free);
  return ctl_connect(ctl, error) && ctl_one_group(ctl, error) &&
         ctl_time(ctl, "--time", time, &repair->time, error);
}

static gboolean check_options(Repair *repair, gint from, gboolean yes, GError **error)
{
  if (from < 1 || from > LIMIT_NODE_ID)
    return ctl_usage(error, "--from ID: which node holds the right data?");
  if (repair->has_time && repair->device == NULL)
    return ctl_usage(error, "--time needs --device");
  if (!yes && !repair->dry_run)
    return ctl_usage(error,
                     "what the first of --server holds is replaced by what node %d holds: say "
                     "--yes, or --dry-run to see the buckets",
                     from);
  repair->from = (guint32)from;
  return TRUE;
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  Repair repair = {.ctl = ctl};
  gint from = 0;
  gboolean yes = FALSE;
  g_autofree char *device = NULL, *time = NULL;
  const GOptionEntry entries[] = {
      {"from", 0, 0, G_OPTION_ARG_INT, &from, "The node that holds the right data", "ID"},
      {"device", 0, 0, G_OPTION_ARG_STRING, &device, "Only this device", "NAME"},
      {"time", 0, 0, G_OPTION_ARG_STRING, &time, "Only the bucket of this time", "TIME"},
      {"dry-run", 0, 0, G_OPTION_ARG_NONE, &repair.dry_run, "List what differs, change nothing",
       NULL},
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "Replace without a further question", NULL},
      G_OPTION_ENTRY_NULL,
  };
  if (!ctl_options(ctl, entries, 0, 0, &argc, &argv, error))
    return FALSE;
  repair.device = device;
  repair.has_time = time != NULL;
  if (!check_options(&repair, from, yes, error) || !connect_both(&repair, time, error)) {
    g_clear_pointer(&repair.source, rpc_client_free);
    return FALSE;
  }
  repair.grid = ctl_grid(ctl);
  grid_column(repair.grid, "DEVICE", "device", FALSE);
  grid_column(repair.grid, "BUCKET", "bucket", FALSE);
  grid_column(repair.grid, "CELLS", "cellsBefore", TRUE);
  grid_column(repair.grid, "THERE", "cellsAfter", TRUE);
  grid_column(repair.grid, "STATE", "state", FALSE);
  grid_column(repair.grid, "MESSAGE", "message", FALSE);
  gboolean done = repair_all(&repair, error);
  grid_free(repair.grid);
  g_clear_pointer(&repair.source, rpc_client_free);
  if (done && ctl->format == FORMAT_TEXT)
    ctl_say(ctl, "%u buckets %s\n", repair.mended, repair.dry_run ? "differ" : "mended");
  return done && finish(&repair, error);
}

const CtlCommand ctl_repair = {
    .name = "repair",
    .arguments = "",
    .summary = "Make buckets of a node like those of another one",
    .details =
        "For a node whose data differs although it has applied the same entries (\"digest "
        "--compare\").\nThe first of --server is mended, from the node --from, which must be "
        "among the others, unless\n--device and --time name the bucket. Both are compared at a "
        "clock that they have passed, so writes\nmay go on; what differs is replaced under the "
        "versions that it has there, one bucket at a time,\neach durably. Exit code 1 when a "
        "bucket could not be mended, or with --dry-run when any differs.",
    .run = run,
};
