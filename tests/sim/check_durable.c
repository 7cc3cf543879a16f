/* P1: what was acknowledged, or told to be durable, survives. */
#include "sim/check.h"

#include <string.h>

static guint holders(Sim *sim, LogId log, guint64 index)
{
  guint count = 0;
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *node = &sim->nodes[i];
    guint64 held = node_is_up(node) ? node_kept(node, log) : 0;
    for (guint k = 0; k < node->claims->len; k++) {
      const Claim *claim = &g_array_index(node->claims, Claim, k);
      if (log_id_equal(claim->log, log)) /* it had it, even if its disk is lost by now */
        held = MAX(held, claim->durable);
    }
    count += held >= index;
  }
  return count;
}

void check_answered(SimNode *node, const SimWrite *write, SynclogStatus status, const Token *token)
{
  Sim *sim = node->sim;
  if ((token != NULL) != (status == SYNCLOG_OK || status == SYNCLOG_PENDING))
    sim_fail(sim, "P1", "node %u answered %s %s a token", node->id, synclog_status_name(status),
             token != NULL ? "with" : "without");
  if (token == NULL)
    return;
  const TrueEntry *entry = truth_entry(sim->truth, token->log, token->index);
  if (entry == NULL)
    sim_fail(sim, "P1", "node %u acknowledged %s/%lu, which is not durable there", node->id,
             sim_log_name(token->log), (gulong)token->index);
  gsize size;
  const void *data = g_bytes_get_data(entry->data, &size);
  if (size != write->write.size || memcmp(data, write->data, size) != 0)
    sim_fail(sim, "P1", "node %u acknowledged a write as %s/%lu, which is another", node->id,
             sim_log_name(token->log), (gulong)token->index);
  guint wanted = 1, members = membership_count(node->membership);
  if (status == SYNCLOG_OK && write->write.ack != ACK_LOCAL)
    wanted = write->write.ack == ACK_ALL ? members : members / 2 + 1;
  guint held = holders(sim, token->log, token->index);
  if (held < wanted)
    sim_fail(sim, "P1", "node %u acknowledged %s/%lu for %u nodes, %u have it", node->id,
             sim_log_name(token->log), (gulong)token->index, wanted, held);
  node_claim(node, token->log, token->index);
  SimAck ack = {.token = *token, .number = write->number};
  g_array_append_val(sim->acks, ack);
}

void check_replied(SimNode *node, const SyncReply *reply)
{
  if (reply->durable > reply->received)
    sim_fail(node->sim, "P1", "node %u tells %lu durable and %lu received", node->id,
             (gulong)reply->durable, (gulong)reply->received);
}

void check_recovered(SimNode *node)
{
  if (node->damaged)
    return;
  for (guint i = 0; i < node->claims->len; i++) {
    const Claim *claim = &g_array_index(node->claims, Claim, i);
    guint64 kept = node_kept(node, claim->log);
    if (kept < claim->durable)
      sim_fail(node->sim, "P1", "node %u told %s/%lu to be durable, after a restart it has %lu",
               node->id, sim_log_name(claim->log), (gulong)claim->durable, (gulong)kept);
  }
}

void check_persisted(SimNode *node, const StoredLog *stored)
{
  guint64 applied = stored->entries->len;
  Wal *wal = log_set_find(node->logs, stored->log);
  if (applied == stored->durable || (wal != NULL && wal_durable_index(wal) >= applied))
    return;
  sim_fail(node->sim, "P1", "the store of node %u persists %s up to %lu, its log is durable to %lu",
           node->id, sim_log_name(stored->log), (gulong)applied,
           wal != NULL ? (gulong)wal_durable_index(wal) : 0);
}

static gboolean others_keep(Sim *sim, const SimNode *lost, const Token *token)
{
  for (guint i = 1; i <= sim->config.nodes; i++) {
    const SimNode *node = &sim->nodes[i];
    if (node == lost || node->gone)
      continue;
    if (node_is_up(node) && node_kept(node, token->log) >= token->index)
      return TRUE;
    for (guint k = 0; !node_is_up(node) && k < node->claims->len; k++) {
      const Claim *claim = &g_array_index(node->claims, Claim, k);
      if (log_id_equal(claim->log, token->log) && claim->durable >= token->index)
        return TRUE;
    }
  }
  return FALSE;
}

void check_disk_lost(SimNode *node)
{
  Sim *sim = node->sim;
  for (guint i = 0; i < sim->acks->len; i++) {
    SimAck *ack = &g_array_index(sim->acks, SimAck, i);
    if (!ack->excused && !others_keep(sim, node, &ack->token))
      ack->excused = TRUE;
  }
}

void check_acks_survived(Sim *sim)
{
  for (guint i = 0; i < sim->acks->len; i++) {
    const SimAck *ack = &g_array_index(sim->acks, SimAck, i);
    if (ack->excused)
      continue;
    for (guint k = 1; k <= sim->config.nodes; k++)
      if (node_is_up(&sim->nodes[k]) &&
          node_applied(&sim->nodes[k], ack->token.log) < ack->token.index &&
          !check_is_excused(&sim->nodes[k], ack->token.log))
        sim_fail(sim, "P1", "%s/%lu was acknowledged, and node %u has no more than %lu",
                 sim_log_name(ack->token.log), (gulong)ack->token.index, k,
                 (gulong)node_applied(&sim->nodes[k], ack->token.log));
  }
}
