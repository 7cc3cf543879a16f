/* The own log: from a client's write to its answer. */
#include "engine/group_private.h"

#include "core/hlc.h"
#include "core/throttle.h"

static void answer(Group *group, GroupWrite *write, SynclogStatus status, const char *message)
{
  Token token = {.log = group->own->id, .index = write->index};
  gboolean durable = status == SYNCLOG_OK || status == SYNCLOG_PENDING;
  group->ports.write_done(group->ports.ctx, write, status, message, durable ? &token : NULL);
}

gboolean group_write(Group *group, GroupWrite *write, GError **error)
{
  g_assert(write->size > 0 && write->size <= LIMIT_ENTRY_SIZE);
  if (group->stopped)
    return fail(error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  if (group->refuse != SYNCLOG_OK) {
    group->writes_refused++;
    return fail(error, group->refuse, "%s", group->refuse_message);
  }
  SynclogStatus refusal;
  const char *why;
  if (!members_take_writes(group, &refusal, &why)) {
    group->writes_refused++;
    return fail(error, refusal, "%s", why);
  }
  if (group->clock_wrong) {
    group->writes_refused++;
    return fail(error, SYNCLOG_CLOCK_WRONG, CLOCK_WRONG_TEXT);
  }
  if (group->own->state != LOG_OK) {
    group->writes_refused++;
    return fail(error, SYNCLOG_READ_ONLY, "%s", group->own->message);
  }
  if (group->queued_bytes + write->size > group->options.max_queued_bytes &&
      group->queued->len > 0) {
    group->writes_refused++;
    return fail(error, SYNCLOG_OVERLOADED, "%zu bytes of writes wait for the log already",
                group->queued_bytes);
  }
  g_ptr_array_add(group->queued, write);
  group->queued_bytes += write->size;
  if (group->queued->len == 1)
    group->ports.work(group->ports.ctx);
  return TRUE;
}

static void refuse_queued(Group *group, SynclogStatus status, const char *why)
{
  while (group->queued->len > 0) {
    group->writes_refused++;
    answer(group, g_ptr_array_remove_index(group->queued, group->queued->len - 1), status, why);
  }
  group->queued_bytes = 0;
}

gint64 leader_deadline_us(const Group *group)
{
  gboolean waits = group->commit_pause_us > 0 && group->queued->len > 0 && !group->committing &&
                   !group_is_congested(group) && group->own->state == LOG_OK;
  return waits ? group->commit_at_us : G_MAXINT64;
}

void group_slow_writes(Group *group, guint permille)
{
  group->commit_pause_us = throttle_pause_us(permille);
  group->commit_size = throttle_commit_size(permille, group->options.max_commit_size);
  if (group->commit_pause_us == 0 && group->queued->len > 0)
    group->ports.work(group->ports.ctx);
}

gboolean leader_has_work(const Group *group, gint64 now_us)
{
  if (group->committing || group->queued->len == 0 || group_is_congested(group) ||
      group->own->state != LOG_OK)
    return FALSE;
  return group->clock_wrong || group->commit_pause_us == 0 || now_us >= group->commit_at_us;
}

void leader_take(Group *group, gint64 now_us, guint64 wall_ms, GPtrArray *writes)
{
  if (!leader_has_work(group, now_us))
    return;
  if (group->clock_wrong) {
    refuse_queued(group, SYNCLOG_CLOCK_WRONG, CLOCK_WRONG_TEXT);
    return;
  }
  group->commit_at_us = now_us + group->commit_pause_us;
  guint count = 0;
  gsize bytes = 0;
  group->clock_at_commit = group->clock;
  while (count < group->queued->len) {
    GroupWrite *write = group->queued->pdata[count];
    if (count > 0 && bytes + write->size > group->commit_size)
      break;
    group->clock = hlc_tick(group->clock, wall_ms);
    write->index = group->next_index++;
    write->hlc = group->clock;
    bytes += write->size;
    g_ptr_array_add(writes, write);
    count++;
  }
  g_ptr_array_remove_range(group->queued, 0, count);
  group->queued_bytes -= bytes;
  group->committing = TRUE;
}

static guint nodes_wanted(const Group *group, AckLevel ack)
{
  const Membership *members = group->options.membership;
  switch (ack) {
  case ACK_MAJORITY:
    return membership_majority(members);
  case ACK_ALL:
    return membership_count(members);
  case ACK_LOCAL:
    break;
  }
  return 1;
}

void group_on_own_durable(Group *group, GPtrArray *writes, EntryRun *run, gint64 now_us)
{
  Log *own = group->own;
  g_assert(group->committing && entry_run_count(run) == writes->len);
  g_assert(entry_run_first_index(run) == own->durable + 1); /* P2: no hole in the own log */
  group->committing = FALSE;
  if (group->incarnation_wanted) {
    /* Found out meanwhile: a peer has other entries at these indices (P4). They are cut off. */
    for (guint i = 0; i < writes->len; i++)
      answer(group, writes->pdata[i], SYNCLOG_READ_ONLY, own->message);
    group->next_index -= writes->len;
    return;
  }
  own->written = own->durable = entry_run_last_index(run);
  own->last_hlc = ((GroupWrite *)writes->pdata[writes->len - 1])->hlc;
  tail_push(own->tail, run);
  group_apply(group, own, entry_run_ref(run));
  group->writes += writes->len;
  for (guint i = 0; i < writes->len; i++) {
    GroupWrite *write = writes->pdata[i];
    guint nodes = nodes_wanted(group, write->ack);
    if (nodes <= 1) {
      answer(group, write, SYNCLOG_OK, NULL);
      continue;
    }
    acks_add(group->acks, write->index, nodes, write->deadline_us, write);
    group->sync_now_index = write->index;
  }
  dispatcher_pump_all(group, now_us);
}

void group_on_own_failed(Group *group, GPtrArray *writes, const GError *error)
{
  g_assert(group->committing);
  group->committing = FALSE;
  /* No index of these was seen by anybody: they are free again only if nothing was written (P4). */
  if (synclog_error_is_lack(error))
    group->next_index -= writes->len;
  else
    log_set_state(group, group->own, LOG_READ_ONLY, error->message);
  group->writes_refused += writes->len;
  SynclogStatus status =
      error->domain == SYNCLOG_ERROR ? (SynclogStatus)error->code : SYNCLOG_INTERNAL;
  for (guint i = 0; i < writes->len; i++)
    answer(group, writes->pdata[i], status, error->message);
  if (group->own->state != LOG_READ_ONLY)
    return;
  refuse_queued(group, SYNCLOG_READ_ONLY, error->message);
}

/* The durable index of the own log on each node that counts; how many. */
static guint own_durable(const Group *group, guint64 durable[LIMIT_MEMBERS])
{
  guint count = 0;
  durable[count++] = group->own->durable;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (count == LIMIT_MEMBERS || !membership_counts(group->options.membership, peer->id))
      continue;
    const LogProgress *p = progress_find(peer->progress, group->own->id);
    /* What was not compared yet may be a fork (P4), and durable entries of that are not these. */
    durable[count++] = p != NULL && peer->own_is_ours ? p->durable : 0;
  }
  return count;
}

/* How many nodes are known to have an entry durable that is not of the own log. */
static guint holders(Group *group, const Log *log, guint64 index)
{
  guint count = 1;
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (!membership_counts(group->options.membership, peer->id))
      continue;
    const LogProgress *p = progress_find(peer->progress, log->id);
    /* An origin that writes the log still had it durably before it sent it. Another one tells, of
     * the same entries (P4), and so does an origin that began a new log: it may have lost the end
     * of this one. What a peer got from others than this node was compared with nobody yet. */
    gboolean origin = peer->id == log->id.origin && peer->incarnation == log->id.incarnation;
    gboolean compared = dispatcher_compared(peer, log);
    count += origin     ? log->state != LOG_FORKED && members_origin_has(group, log, index)
             : compared ? p != NULL && p->durable >= index
                        : proof_holds(group, peer, log, index);
  }
  return count;
}

/* To a peer that this node does not reach, but is heard of, nothing of the own log was sent. */
static void compare_own(Group *group, guint64 index)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (!peer->own_is_ours && membership_counts(group->options.membership, peer->id))
      peer->own_is_ours = proof_holds(group, peer, group->own, index);
  }
}

gboolean group_is_acked(Group *group, const Token *token, AckLevel ack)
{
  guint nodes = nodes_wanted(group, ack);
  const Log *log = group_find_log(group, token->log);
  if (nodes <= 1 || log == NULL || log->durable < token->index)
    return nodes <= 1;
  if (log != group->own)
    return nodes <= holders(group, log, token->index);
  compare_own(group, token->index);
  guint64 durable[LIMIT_MEMBERS];
  guint count = own_durable(group, durable);
  return !group->incarnation_wanted && acks_quorum_index(durable, count, nodes) >= token->index;
}

void leader_check_acks(Group *group)
{
  if (acks_waiting(group->acks) == 0 || group->incarnation_wanted)
    return;
  guint64 durable[LIMIT_MEMBERS];
  guint count = own_durable(group, durable);
  GroupWrite *write;
  while ((write = acks_take_done(group->acks, durable, count)) != NULL)
    answer(group, write, SYNCLOG_OK, NULL);
}

void leader_tick(Group *group, gint64 now_us)
{
  GroupWrite *write;
  while ((write = acks_take_late(group->acks, now_us)) != NULL)
    answer(group, write, SYNCLOG_PENDING, "durable on this node and still spreading");
}

void leader_stop(Group *group)
{
  g_assert(!group->committing);
  while (group->queued->len > 0)
    answer(group, g_ptr_array_remove_index(group->queued, group->queued->len - 1),
           SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  group->queued_bytes = 0;
  GroupWrite *write;
  while ((write = acks_take_any(group->acks)) != NULL)
    answer(group, write, SYNCLOG_PENDING, "durable on this node, which stops");
}

void group_refuse_writes(Group *group, SynclogStatus status, const char *why)
{
  g_assert(status != SYNCLOG_OK);
  char *message = g_strdup(why);
  g_free(group->refuse_message);
  group->refuse_message = message;
  group->refuse = status;
}

void group_accept_writes(Group *group)
{
  group->refuse = SYNCLOG_OK;
  g_clear_pointer(&group->refuse_message, g_free);
}

gboolean group_is_drained(const Group *group)
{
  if (group->queued->len > 0 || group->committing)
    return FALSE;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    const LogProgress *theirs = progress_find(peer->progress, group->own->id);
    if (peer->state == PEER_READY && (theirs == NULL ? 0 : theirs->received) < group->own->durable)
      return FALSE;
  }
  return TRUE;
}

gboolean group_wants_incarnation(const Group *group)
{
  return group->incarnation_wanted && !group->committing && !group->stopped;
}

void group_begin_incarnation(Group *group, LogId own)
{
  g_assert(own.origin == group->self && own.incarnation > group->own->id.incarnation); /* P4 */
  g_assert(group_find_log(group, own) == NULL);
  Log *before = group->own;
  before->own = FALSE;
  follower_init_log(group, before);
  if (before->state != LOG_FORKED)
    log_set_state(group, before, LOG_OK, NULL);
  GroupWrite *write;
  while ((write = acks_take_any(group->acks)) != NULL)
    answer(group, write, SYNCLOG_PENDING, "durable on this node; a new incarnation began");
  acks_free(group->acks);
  group->acks = acks_new(); /* indices begin again */
  for (guint i = 0; i < group->peers->len; i++)
    ((Peer *)group->peers->pdata[i])->own_is_ours = FALSE;
  group->options.own = own;
  group->own = group_insert_log(group, own);
  group->own->tail =
      tail_new(group->options.max_pending_requests, group->options.max_pending_bytes);
  group->next_index = 1;
  group->sync_now_index = 0;
  group->incarnation_wanted = FALSE;
  dispatcher_reconnect(group, "a new incarnation of this node began");
}
