/* Who the members are: configured, kept, and changed at run time. */
#include "base/failpoint.h"
#include "base/limits.h"
#include "node/replica_private.h"
#include "rpc/client.h"

enum { NEWCOMER_MS = 2000 /* to answer who it is, when it is there */ };

static const char *configured_address(const Replica *replica, guint32 node)
{
  for (guint i = 0; i < replica->options.peers->len; i++) {
    const ReplicaPeer *peer = &g_array_index(replica->options.peers, ReplicaPeer, i);
    if (peer->id == node)
      return peer->address;
  }
  return NULL;
}

const char *replica_address_of(const Replica *replica, guint32 node, const char *told)
{
  const char *configured = configured_address(replica, node);
  return configured != NULL ? configured : told;
}

static GArray *configured_members(const Replica *replica)
{
  GArray *members = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < replica->options.peers->len; i++)
    g_array_append_val(members, g_array_index(replica->options.peers, ReplicaPeer, i).id);
  return members;
}

static void warn_of_differences(const Replica *replica)
{
  for (guint i = 0; i < replica->options.peers->len; i++) {
    guint32 node = g_array_index(replica->options.peers, ReplicaPeer, i).id;
    g_autofree char *complaint = identity_complain_of_peer(replica->identity->members, node);
    if (complaint != NULL)
      g_warning("%s", complaint);
  }
}

void replica_link_members(Replica *replica)
{
  Identity *identity = replica->identity;
  guint32 self = identity->node_id;
  g_autoptr(GArray) configured = configured_members(replica);
  if (identity->members != NULL) {
    replica->membership = membership_new_kept(self, identity->members);
    warn_of_differences(replica);
  } else if (replica->options.join) {
    replica->membership = membership_new_joining(self, configured);
  } else {
    replica->membership = membership_new(self, configured);
  }
  for (guint i = 0; i < identity->forgotten->len; i++) {
    guint32 node = g_array_index(identity->forgotten, guint32, i);
    if (node != self && membership_has(replica->membership, node))
      membership_raise(replica->membership, node, MEMBER_LOST, NULL);
  }
  for (guint i = 0; i < replica->options.peers->len; i++) {
    const ReplicaPeer *peer = &g_array_index(replica->options.peers, ReplicaPeer, i);
    membership_set_address(replica->membership, peer->id, peer->address);
  }
}

gboolean replica_check_join(Replica *replica, const GArray *logs, GError **error)
{
  if (replica->membership->begun || !replica->options.join)
    return TRUE;
  for (guint i = 0; i < logs->len; i++) {
    const GroupLog *log = &g_array_index(logs, GroupLog, i);
    if (log->log.origin == replica->identity->node_id && (log->last > 0 || log->applied > 0))
      return fail(error, SYNCLOG_INVALID,
                  "[cluster] join = yes wants an empty data_dir: %s holds writes of this node",
                  replica->options.directory);
  }
  return TRUE;
}

void replica_fill_addresses(Replica *replica, NodeStatus *status)
{
  for (guint i = 0; i < status->peers->len; i++) {
    PeerStatus *peer = &g_array_index(status->peers, PeerStatus, i);
    const char *address = "";
    for (guint k = 0; !replica->stopped && k < replica->links->len; k++) {
      const Link *link = replica->links->pdata[k];
      if (link->peer == peer->node_id)
        address = link->address;
    }
    peer->address = g_strdup(address);
  }
}

/* --- changes ------------------------------------------------------------------------------------
 */

/*
 * Keeps what was changed. It counts already, and the group has it kept as well; but the answer is
 * to say that it is on disk. Caller holds `mutex`, which is released.
 */
static gboolean finish_change(Replica *replica, gboolean done, GError **error)
{
  g_autoptr(GPtrArray) record = done ? membership_record(replica->membership) : NULL;
  guint64 changes = replica->membership->changes;
  replica_unlock(replica);
  if (!done || !identity_set_members(replica->identity, record, changes, error))
    return FALSE;
  FAILPOINT("member_change_kept");
  return TRUE;
}

gboolean replica_forget(Replica *replica, guint32 node, GError **error)
{
  replica_lock(replica);
  gboolean done = group_forget(replica->group, node, clock_mono_us(replica->clock), error);
  return finish_change(replica, done, error);
}

/*
 * An id is used up by adding it, so what can be seen to be wrong is refused before: a name that has
 * no address, and somebody else who answers there. Who does not answer may still be started.
 */
static gboolean check_newcomer(const Replica *replica, guint32 node, const char *address,
                               GError **error)
{
  g_autoptr(GError) local = NULL;
  if (!rpc_client_resolves(address, &local))
    return fail(error, SYNCLOG_INVALID, "node %u was not added: %s", node, local->message);
  g_autoptr(Progress) progress = progress_new();
  Handshake question = {.protocol_version = PROTOCOL_VERSION,
                        .cluster_id = replica->identity->cluster_id,
                        .node_id = node, /* so it is never taken for a peer's */
                        .target_node_id = node,
                        .incarnation = 1,
                        .time_precision = replica->identity->time_precision,
                        .max_pending_batch = 1,
                        .group = replica->options.group.group,
                        .progress = progress};
  g_autoptr(RpcClient) client = rpc_client_new(address, NEWCOMER_MS);
  HandshakeReply reply = {0};
  if (!rpc_client_handshake(client, &question, &reply, &local))
    return g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_NOT_READY) ||
           g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_TIMEOUT) ||
           fail(error, SYNCLOG_INVALID,
                "node %u was not added: %s; is this where it listens for replication?", node,
                local->message);
  gboolean wrong = reply.status == SYNCLOG_WRONG_CLUSTER || reply.status == SYNCLOG_WRONG_VERSION ||
                   reply.status == SYNCLOG_WRONG_PRECISION || reply.status == SYNCLOG_NOT_MEMBER;
  if (wrong)
    fail(error, SYNCLOG_INVALID, "node %u was not added: who answers at %s says: %s: %s", node,
         address, synclog_status_text((int)reply.status),
         reply.message != NULL ? reply.message : "no reason given");
  handshake_reply_clear(&reply);
  return !wrong;
}

static gboolean may_add(Replica *replica, guint32 node, const char *address, GError **error)
{
  replica_lock(replica);
  gboolean may = group_may_add_member(replica->group, node, address, error);
  replica_unlock(replica);
  return may;
}

gboolean replica_add_member(Replica *replica, guint32 node, const char *address, GError **error)
{
  FAILPOINT("member_add_begin");
  if (!may_add(replica, node, address, error) || !check_newcomer(replica, node, address, error))
    return FALSE;
  replica_lock(replica);
  gboolean done = group_add_member(replica->group, node, address, error);
  return finish_change(replica, done, error);
}

gboolean replica_remove_member(Replica *replica, guint32 node, GError **error)
{
  FAILPOINT("member_remove_begin");
  replica_lock(replica);
  gboolean done = group_remove_member(replica->group, node, error);
  return finish_change(replica, done, error);
}
