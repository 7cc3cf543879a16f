/* P7: every queue has a limit. */
#include "sim/check.h"

#include "engine/group_private.h"

enum {
  FILES_PER_LOG = 1,
  OTHER_FILES = 2,
  LARGEST_RECORD = 4096, /* of what clients.c makes */
};

static void check_follower(SimNode *node)
{
  Sim *sim = node->sim;
  guint window = sim->config.group.max_pending_batch;
  for (guint i = 0; i < node->group->logs->len; i++) {
    const Log *log = node->group->logs->pdata[i];
    if (log->reorder != NULL && reorder_waiting(log->reorder) > 2 * window)
      sim_fail(sim, "P7", "node %u keeps %u batches of %s in the reorder queue, the window is %u",
               node->id, reorder_waiting(log->reorder), sim_log_name(log->id), window);
  }
}

static void check_dispatcher(SimNode *node)
{
  Sim *sim = node->sim;
  for (guint i = 0; i < node->group->peers->len; i++) {
    const Peer *peer = node->group->peers->pdata[i];
    for (guint k = 0; k < peer->senders->len; k++) {
      const Sender *sender = peer->senders->pdata[k];
      if (sync_window_in_flight(sender->window) > sim->config.group.max_pending_batch)
        sim_fail(sim, "P7", "node %u has %u batches of a log on their way to node %u", node->id,
                 sync_window_in_flight(sender->window), peer->id);
    }
    guint most = sim->config.group.max_pending_batch * peer->senders->len;
    if (peer->in_flight->len > most)
      sim_fail(sim, "P7", "node %u waits for %u answers of node %u, at most %u are asked for",
               node->id, peer->in_flight->len, peer->id, most);
  }
}

/* What was given to the store and is not applied: above the limit nothing is taken from clients,
 * and peers are not answered, so at most what was on its way then comes in addition. */
static void check_backlog(SimNode *node)
{
  const GroupOptions *options = &node->sim->config.group;
  gsize batch = MAX(options->max_size_per_batch, LARGEST_RECORD);
  gsize on_the_way = (gsize)2 * options->max_pending_batch * batch * node->group->logs->len;
  gsize most = options->max_apply_backlog + options->max_commit_size + LARGEST_RECORD + on_the_way;
  for (guint i = 0; i < node->group->logs->len; i++)
    if (((const Log *)node->group->logs->pdata[i])->lagging)
      return; /* fed from the WAL in pieces of a size of its own */
  if (node->apply_bytes > most)
    sim_fail(node->sim, "P7", "%zu bytes wait for the store of node %u, %zu are the most",
             node->apply_bytes, node->id, most);
}

void check_bounds(SimNode *node)
{
  Sim *sim = node->sim;
  const GroupOptions *options = &sim->config.group;
  if (node->group->queued_bytes > options->max_queued_bytes + LARGEST_RECORD)
    sim_fail(sim, "P7", "%zu bytes of writes wait at node %u", node->group->queued_bytes, node->id);
  guint files = node->group->logs->len * FILES_PER_LOG + OTHER_FILES;
  if (disk_open_files(node->disk) > files)
    sim_fail(sim, "P7", "node %u has %u files open, it has %u logs", node->id,
             disk_open_files(node->disk), node->group->logs->len);
  check_backlog(node);
  check_follower(node);
  check_dispatcher(node);
}
