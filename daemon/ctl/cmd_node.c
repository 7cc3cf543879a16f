#include "base/limits.h"
#include "ctl/tries.h"

#include <string.h>
#include <unistd.h>

enum { LOOK_AGAIN_US = 300 * 1000 };

typedef struct Options {
  gboolean yes, wait;
  char *give_up;
  gint64 give_up_us; /* G_MAXINT64: never */
} Options;

static gboolean parse_node(const char *text, guint32 *out_node, GError **error)
{
  guint64 node;
  if (!g_ascii_string_to_unsigned(text, 10, 1, LIMIT_NODE_ID, &node, NULL))
    return ctl_usage(error, "\"%s\" is no node id", text);
  *out_node = (guint32)node;
  return TRUE;
}

/* --- what is there ------------------------------------------------------------------------------
 */

/* Without a record all that are configured are active. */
static MemberState member_state(const NodeStatus *status, guint32 node)
{
  if (status->members == NULL)
    return MEMBER_ACTIVE;
  const Member *member = member_list_find(status->members, node);
  return member != NULL ? member->state : MEMBER_UNKNOWN;
}

static const PeerStatus *find_peer(const NodeStatus *status, guint32 node)
{
  for (guint i = 0; i < status->peers->len; i++)
    if (g_array_index(status->peers, PeerStatus, i).node_id == node)
      return &g_array_index(status->peers, PeerStatus, i);
  return NULL;
}

/* Entries that the node has and the peer does not. */
static guint64 entries_behind(const NodeStatus *status, const PeerStatus *peer)
{
  guint64 behind = 0;
  for (guint i = 0; i < status->logs->len; i++) {
    const LogProgress *own = &g_array_index(status->logs, LogStatus, i).progress;
    const LogProgress *theirs =
        peer->progress != NULL ? progress_find(peer->progress, own->log) : NULL;
    guint64 has = theirs != NULL ? theirs->durable : 0;
    behind += own->durable > has ? own->durable - has : 0;
  }
  return behind;
}

static void print_members(Grid *grid, const NodeStatus *status)
{
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "ADDRESS", "address", FALSE);
  grid_column(grid, "MEMBER", "member", FALSE);
  grid_column(grid, "STATE", "state", FALSE);
  grid_column(grid, "BEHIND", "entriesBehind", TRUE);
  grid_column(grid, "MESSAGE", "message", FALSE);
  grid_uint(grid, status->node_id);
  grid_missing(grid);
  grid_text(grid, member_state_name(member_state(status, status->node_id)));
  grid_text(grid, status->state);
  grid_missing(grid);
  grid_text(grid, status->message);
  for (guint i = 0; i < status->peers->len; i++) {
    const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    MemberState state = member_state(status, peer->node_id);
    grid_uint(grid, peer->node_id);
    grid_text(grid, peer->address);
    grid_text(grid, member_state_name(state));
    grid_text(grid, peer->state);
    if (state < MEMBER_REMOVED)
      grid_uint(grid, entries_behind(status, peer));
    else
      grid_missing(grid);
    grid_text(grid, peer->message);
  }
}

static gboolean list(Ctl *ctl, GError **error)
{
  g_autoptr(NodeStatus) status = NULL;
  g_auto(Tries) tries = {.kind = TRIES_READ};
  do
    status = rpc_client_status(ctl->client, ctl->group, error);
  while (status == NULL && tries_next(&tries, ctl, error));
  if (status == NULL)
    return FALSE;
  g_autoptr(Grid) grid = ctl_grid(ctl);
  print_members(grid, status);
  return TRUE;
}

/* --- waiting ------------------------------------------------------------------------------------
 */

/* What will not get better by waiting. */
static gboolean is_hopeless(const PeerStatus *peer)
{
  static const SynclogStatus reasons[] = {SYNCLOG_WRONG_CLUSTER, SYNCLOG_WRONG_VERSION,
                                          SYNCLOG_WRONG_PRECISION, SYNCLOG_DUPLICATE_NODE,
                                          SYNCLOG_FORGOTTEN};
  if (peer == NULL || strcmp(peer->state, "refused") != 0 || peer->message == NULL)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(reasons); i++)
    if (strstr(peer->message, synclog_status_text(reasons[i])) != NULL)
      return TRUE;
  return FALSE;
}

static void draw(const Ctl *ctl, const NodeStatus *status, guint32 node, const PeerStatus *peer)
{
  if (ctl->quiet || !isatty(STDERR_FILENO))
    return;
  g_printerr("\r\033[Knode %u: %s", node, member_state_name(member_state(status, node)));
  if (peer != NULL)
    g_printerr(", %s, %" G_GUINT64_FORMAT " entries behind", peer->state,
               entries_behind(status, peer));
}

static void draw_end(const Ctl *ctl)
{
  if (!ctl->quiet && isatty(STDERR_FILENO))
    g_printerr("\r\033[K");
}

/* Until the member is in the state or a later one. */
static gboolean wait_for(Ctl *ctl, guint32 node, MemberState wanted, const Options *options,
                         GError **error)
{
  g_autoptr(NodeStatus) status = NULL;
  for (;;) {
    g_clear_pointer(&status, node_status_free);
    status = rpc_client_status(ctl->client, ctl->group, error);
    if (status == NULL)
      return FALSE;
    MemberState state = member_state(status, node);
    const PeerStatus *peer = find_peer(status, node);
    if (state >= wanted)
      break;
    draw(ctl, status, node, peer);
    gboolean late = g_get_monotonic_time() > options->give_up_us;
    if (late || is_hopeless(peer)) {
      draw_end(ctl);
      return fail(error, SYNCLOG_NOT_MEMBER, "node %u is still %s: %s", node,
                  member_state_name(state),
                  peer != NULL && peer->message != NULL ? peer->message : "not done in time");
    }
    g_usleep(LOOK_AGAIN_US);
  }
  draw_end(ctl);
  MemberState state = member_state(status, node);
  return state == wanted || wanted != MEMBER_ACTIVE ||
         fail(error, SYNCLOG_INVALID, "node %u was removed while it joined", node);
}

static void print_outcome(const Ctl *ctl, guint32 node, const char *state, const char *text)
{
  if (ctl->format == FORMAT_TEXT) {
    ctl_say(ctl, "node %u %s\n", node, text);
    return;
  }
  g_autoptr(Grid) grid = ctl_grid(ctl);
  grid_column(grid, "NODE", "nodeId", TRUE);
  grid_column(grid, "MEMBER", "member", FALSE);
  grid_uint(grid, node);
  grid_text(grid, state);
}

/* --- changes ------------------------------------------------------------------------------------
 */

/* Any active member can be told; one that is not says so, and has changed nothing. */
static gboolean change(Ctl *ctl, guint32 node,
                       gboolean (*tell)(RpcClient *client, guint32 group, guint32 node,
                                        GError **error),
                       GError **error)
{
  g_auto(Tries) tries = {.kind = TRIES_WRITE};
  gboolean done = FALSE;
  do
    done = tell(ctl->client, ctl->group, node, error);
  while (!done && tries_next(&tries, ctl, error));
  return done;
}

static gboolean add_member(Ctl *ctl, guint32 node, const char *address, GError **error)
{
  g_auto(Tries) tries = {.kind = TRIES_WRITE};
  gboolean done = FALSE;
  do
    done = rpc_client_add_member(ctl->client, ctl->group, node, address, error);
  while (!done && tries_next(&tries, ctl, error));
  return done;
}

/* The newcomer did not become a member: all is to be as it was before. */
static gboolean put_back(Ctl *ctl, guint32 node, GError **error)
{
  g_autoptr(GError) problem = NULL;
  if (rpc_client_remove_member(ctl->client, ctl->group, node, &problem))
    g_prefix_error(error, "it was taken out again, and its id is used up: ");
  else
    g_prefix_error(error, "it could not be taken out again (%s), use \"node remove %u\": ",
                   problem->message, node);
  return FALSE;
}

/* Whether this very node was added before: then one can go on waiting for it. */
static gboolean is_joining_already(Ctl *ctl, guint32 node, const char *address)
{
  g_autoptr(NodeStatus) status = rpc_client_status(ctl->client, ctl->group, NULL);
  const Member *member =
      status != NULL && status->members != NULL ? member_list_find(status->members, node) : NULL;
  return member != NULL && g_strcmp0(member->address, address) == 0 &&
         (member->state == MEMBER_JOINING || member->state == MEMBER_ENTERING);
}

static gboolean add(Ctl *ctl, guint32 node, const char *address, const Options *options,
                    GError **error)
{
  gboolean again = options->wait && is_joining_already(ctl, node, address);
  if (!again && !add_member(ctl, node, address, error))
    return FALSE;
  if (!options->wait) {
    print_outcome(ctl, node, "joining", "joins the cluster; node list tells how far it is");
    return TRUE;
  }
  g_autoptr(GError) problem = NULL;
  if (wait_for(ctl, node, MEMBER_ACTIVE, options, &problem)) {
    print_outcome(ctl, node, "active", "is a member");
    return TRUE;
  }
  gboolean given_up = g_error_matches(problem, SYNCLOG_ERROR, SYNCLOG_NOT_MEMBER);
  g_propagate_error(error, g_steal_pointer(&problem));
  return given_up ? put_back(ctl, node, error) : FALSE;
}

static gboolean remove_member(Ctl *ctl, guint32 node, const Options *options, GError **error)
{
  if (!options->yes)
    return ctl_usage(error, "node %u can't be let back in under this id; say --yes to remove it",
                     node);
  if (!change(ctl, node, rpc_client_remove_member, error))
    return FALSE;
  if (!options->wait) {
    print_outcome(ctl, node, "removing", "is being removed; node list tells how far it is");
    return TRUE;
  }
  if (!wait_for(ctl, node, MEMBER_REMOVED, options, error)) {
    g_prefix_error(error, "if it will not come back, use \"node forget %u\": ", node);
    return FALSE;
  }
  print_outcome(ctl, node, "removed", "is removed");
  return TRUE;
}

static gboolean forget(Ctl *ctl, guint32 node, const Options *options, GError **error)
{
  if (!options->yes)
    return ctl_usage(
        error, "node %u will never be let back into the cluster; say --yes to declare it lost",
        node);
  if (!change(ctl, node, rpc_client_forget, error))
    return FALSE;
  print_outcome(ctl, node, "lost", "is declared lost for good");
  return TRUE;
}

static gboolean parse_give_up(Options *options, GError **error)
{
  options->give_up_us = G_MAXINT64;
  if (options->give_up == NULL)
    return TRUE;
  gint64 give_up_ms;
  options->wait = TRUE;
  if (!ctl_real_duration_ms("--give-up", options->give_up, &give_up_ms, error))
    return FALSE;
  options->give_up_us = g_get_monotonic_time() + give_up_ms * 1000;
  return TRUE;
}

static gboolean dispatch(Ctl *ctl, int argc, char **argv, Options *options, GError **error)
{
  static const struct {
    const char *name;
    int arguments;
    const char *usage;
  } verbs[] = {{"list", 0, "list takes no argument"},
               {"add", 2, "which node is to be added, and where does it listen for replication?"},
               {"remove", 1, "which node is to be removed?"},
               {"forget", 1, "which node is to be forgotten?"}};
  guint verb = 0;
  while (verb < G_N_ELEMENTS(verbs) && strcmp(argv[1], verbs[verb].name) != 0)
    verb++;
  if (verb == G_N_ELEMENTS(verbs))
    return ctl_usage(error, "\"%s\" is none of list, add, remove, forget", argv[1]);
  if (argc != 2 + verbs[verb].arguments)
    return ctl_usage(error, "%s", verbs[verb].usage);
  guint32 node = 0;
  if ((argc > 2 && !parse_node(argv[2], &node, error)) || !parse_give_up(options, error) ||
      !ctl_connect(ctl, error))
    return FALSE;
  switch (verb) {
  case 0:
    return list(ctl, error);
  case 1:
    return add(ctl, node, argv[3], options, error);
  case 2:
    return remove_member(ctl, node, options, error);
  default:
    return forget(ctl, node, options, error);
  }
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  Options options = {0};
  const GOptionEntry entries[] = {
      {"yes", 0, 0, G_OPTION_ARG_NONE, &options.yes,
       "Remove the node, or declare it lost, without a further question", NULL},
      {"wait", 0, 0, G_OPTION_ARG_NONE, &options.wait, "Wait until it is a member, or removed",
       NULL},
      {"give-up", 0, 0, G_OPTION_ARG_STRING, &options.give_up,
       "Wait no longer than this; a node that was to be added is taken out again", "DURATION"},
      G_OPTION_ENTRY_NULL,
  };
  gboolean done = ctl_options(ctl, entries, 1, 3, &argc, &argv, error) &&
                  dispatch(ctl, argc, argv, &options, error);
  g_free(options.give_up);
  return done;
}

const CtlCommand ctl_node = {
    .name = "node",
    .arguments = "list | add ID HOST:PORT | remove ID | forget ID",
    .summary = "List the members, let one in, remove one, or declare one lost for good",
    .details =
        "add lets a new node in, whose daemon has [cluster] join = yes and listens for replication "
        "at HOST:PORT. It\nfetches the logs, is compared with a member, and takes writes once it "
        "is active. A name without an\naddress, or another node that answers there, is refused; "
        "one "
        "that does not answer is waited for.\n"
        "remove is for a node that is there: it takes no more writes, and goes when the others "
        "have what it holds.\n"
        "forget is for a node that will not come back. From then on nothing waits for it: "
        "neither --ack all nor\nthe deletion of old segments; and what the others hold of "
        "its writes spreads among them.\n"
        "One node is told, the others learn it. An id that was removed or declared lost is never "
        "used again.",
    .run = run,
};
