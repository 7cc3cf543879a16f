/*
 * Members that come and go. The rules are those of core/membership.h; here is who takes which step:
 *
 *   - an operator's word at any active member: joining, removing, lost;
 *   - the node itself, when it has found that it may: joining → entering → active, removing →
 *     removed. So a step needs no coordinator, and whoever took it knows that it holds.
 *
 * A change counts here at once, and is told to others when it is kept: who told that it knows a
 * member does not forget it by a crash.
 */
#include "engine/group_private.h"

#include "core/hlc.h"

static void note_state(Group *group, guint32 node, MemberState state)
{
  static const char *const texts[] = {
      [MEMBER_UNKNOWN] = "",
      [MEMBER_JOINING] = "joins the cluster: it is sent all logs, and what it needs is kept",
      [MEMBER_ENTERING] = "holds the data and counts from now on",
      [MEMBER_ACTIVE] = "is a full member",
      [MEMBER_REMOVING] = "is being removed: it takes no more writes",
      [MEMBER_REMOVED] = "was removed: nothing waits for it any more",
      [MEMBER_LOST] = "is declared lost for good: nothing waits for it any more",
  };
  group_note(group, G_LOG_LEVEL_MESSAGE, "node %u%s %s", node,
             node == group->self ? ", this one," : "", texts[state]);
}

static void close_logs_of(Group *group, guint32 node)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (log->id.origin == node && !log->own)
      follower_close(group, log);
  }
}

static void apply_to_self(Group *group, MemberState state)
{
  if (state == group->self_state)
    return;
  note_state(group, group->self, state);
  /* Writes are taken once the step that allows it is kept. */
  group->unkept_step = state == MEMBER_ACTIVE && group->self_state < MEMBER_ACTIVE;
  group->self_state = state;
  if (state >= MEMBER_REMOVED)
    group->evicted = TRUE;
}

/* Once the group is stopped its channels are gone, also for a change that was still under way. */
void members_meet(Group *group, Peer *peer)
{
  if (peer->unreachable && !group->stopped &&
      membership_state(group->options.membership, peer->id) < MEMBER_REMOVED)
    peer->unreachable = !group->ports.meet(group->ports.ctx, peer->id,
                                           membership_address(group->options.membership, peer->id));
}

static void apply_to_peer(Group *group, guint32 node, MemberState state)
{
  Peer *peer = group_find_peer(group, node);
  if (peer == NULL && state >= MEMBER_REMOVED && group->peers->len >= LIMIT_KNOWN_MEMBERS)
    return;
  if (peer == NULL) {
    peer = group_add_peer(group, node);
    peer->heard_at_us = peer->retry_at_us = group->wall_at_us;
    peer->member_state = MEMBER_UNKNOWN;
  }
  members_meet(group, peer);
  if (state == peer->member_state)
    return;
  note_state(group, node, state);
  peer->member_state = state;
  if (state < MEMBER_REMOVED || peer->forgotten)
    return;
  peer->forgotten = TRUE;
  close_logs_of(group, node);
  dispatcher_drop(group, peer);
}

/* All are to know soon. */
static void tell_all(Group *group)
{
  for (guint i = 0; i < group->peers->len; i++)
    ((Peer *)group->peers->pdata[i])->heartbeat_at_us = group->wall_at_us;
  group->ports.work(group->ports.ctx);
}

static gboolean is_kept(const Group *group)
{
  const Membership *membership = group->options.membership;
  return !membership->begun || group->told_changes == membership->changes;
}

static void keep(Group *group)
{
  if (group->keeping != NULL || is_kept(group))
    return;
  group->keeping = membership_record(group->options.membership);
  group->keeping_changes = group->options.membership->changes;
  group->ports.keep_members(group->ports.ctx, group->keeping, group->keeping_changes);
}

/* The record has changed. */
static void apply(Group *group)
{
  const Membership *membership = group->options.membership;
  apply_to_self(group, membership_state(membership, group->self));
  for (guint i = 0; i < membership->members->len; i++) {
    guint32 node = ((const Member *)membership->members->pdata[i])->id;
    if (node != group->self)
      apply_to_peer(group, node, membership_state(membership, node));
  }
  if (acks_waiting(group->acks) > 0)
    acks_cap(group->acks, MAX(membership_count(membership), 1));
  leader_check_acks(group);
  keep(group);
  group->members_at_us = group->wall_at_us;
  group->ports.work(group->ports.ctx);
}

void group_on_members_kept(Group *group, gboolean ok)
{
  g_assert(group->keeping != NULL);
  g_autoptr(GPtrArray) record = g_steal_pointer(&group->keeping);
  if (!ok)
    return; /* again with the next tick */
  g_clear_pointer(&group->told, g_ptr_array_unref);
  group->told = g_steal_pointer(&record);
  group->told_changes = group->keeping_changes;
  const Member *own = member_list_find(group->told, group->self);
  if (own != NULL && own->state >= MEMBER_ACTIVE)
    group->unkept_step = FALSE;
  keep(group);
  tell_all(group);
}

gboolean members_join_is_on(const Group *group)
{
  if (group->self_state == MEMBER_JOINING)
    return TRUE;
  /* Who was added and never came can't be compared with anybody. */
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->member_state == MEMBER_JOINING && peer->progress->horizon > 0)
      return TRUE;
  }
  return FALSE;
}

/*
 * A peer that says of the log which it writes that it has less than this node has lost the end of
 * it, and may not know that yet (P4). Who has only written on meanwhile says more than before, at
 * the latest the next time.
 */
static void note_lost_end(const Group *group, Peer *peer, const Progress *news)
{
  LogId id = {peer->id, peer->incarnation};
  const Log *log = group_find_log(group, id);
  const LogProgress *now = progress_find(news, id), *before = progress_find(peer->progress, id);
  guint64 has = now != NULL ? now->durable : 0;
  if (log != NULL && has < log->written && (before == NULL || before->durable >= has))
    peer->lost_end = (Token){.log = id, .index = log->written};
}

gboolean members_origin_has(const Group *group, const Log *log, guint64 index)
{
  const Peer *origin = group_find_peer(group, log->id.origin);
  if (origin == NULL)
    return FALSE;
  const LogProgress *told = progress_find(origin->progress, log->id);
  guint64 durable = told != NULL ? told->durable : 0;
  if (durable >= index)
    return TRUE;
  return origin->incarnation == log->id.incarnation &&
         (!log_id_equal(origin->lost_end.log, log->id) || durable >= origin->lost_end.index);
}

void members_learn(Group *group, Peer *peer, const Progress *news)
{
  note_lost_end(group, peer, news);
  Membership *membership = group->options.membership;
  gboolean changed = FALSE;
  if (news->members != NULL) {
    const Member *own = member_list_find(news->members, group->self);
    if (own != NULL)
      peer->knows_self = MAX(peer->knows_self, own->state);
    gboolean first = !membership->begun;
    changed = membership_merge(membership, news->members);
    if (first)
      group->join_hlc = MAX(group->clock, hlc_from_ms(group->wall_ms));
  } else {
    /* A node of a version that has no record. */
    for (guint i = 0; news->forgotten != NULL && i < news->forgotten->len; i++) {
      guint32 node = g_array_index(news->forgotten, guint32, i);
      if (node != group->self && membership_has(membership, node) &&
          !membership_is_gone(membership, node))
        changed |= membership_raise(membership, node, MEMBER_LOST, NULL);
    }
  }
  if (changed)
    apply(group);
}

/* --- what an operator asks for ------------------------------------------------------------------
 */

static gboolean may_coordinate(const Group *group, GError **error)
{
  if (group->self_state == MEMBER_ACTIVE && !group->evicted)
    return TRUE;
  return fail(error, SYNCLOG_NOT_READY, "this node is %s: ask an active member",
              member_state_name(group->self_state));
}

gboolean group_may_add_member(const Group *group, guint32 node, const char *address, GError **error)
{
  const Membership *membership = group->options.membership;
  if (!may_coordinate(group, error))
    return FALSE;
  MemberState state = membership_state(membership, node);
  if (state >= MEMBER_REMOVED)
    return fail(error, SYNCLOG_INVALID, "node %u was %s: its id is never used again", node,
                state == MEMBER_LOST ? "declared lost for good" : "removed");
  if (membership_has(membership, node))
    return fail(error, SYNCLOG_INVALID, "node %u is a member already (%s)", node,
                member_state_name(state));
  guint present = 0;
  for (guint i = 0; i < membership->members->len; i++) {
    const Member *member = membership->members->pdata[i];
    if (!membership_has(membership, member->id))
      continue;
    present += !membership_is_gone(membership, member->id);
    if (g_strcmp0(member->address, address) == 0)
      return fail(error, SYNCLOG_INVALID, "%s is the address of node %u", address, member->id);
  }
  if (present >= LIMIT_MEMBERS || membership->members->len >= LIMIT_KNOWN_MEMBERS)
    return fail(error, SYNCLOG_INVALID, "there are %u members, %u with those that were removed",
                present, membership->members->len);
  return TRUE;
}

gboolean group_add_member(Group *group, guint32 node, const char *address, GError **error)
{
  if (!group_may_add_member(group, node, address, error))
    return FALSE;
  membership_raise(group->options.membership, node, MEMBER_JOINING, address);
  apply(group);
  return TRUE;
}

static gboolean other_is_active(const Group *group, guint32 node)
{
  const Membership *membership = group->options.membership;
  for (guint i = 0; i < membership->members->len; i++) {
    guint32 other = ((const Member *)membership->members->pdata[i])->id;
    if (other != node && membership_state(membership, other) == MEMBER_ACTIVE)
      return TRUE;
  }
  return FALSE;
}

gboolean group_remove_member(Group *group, guint32 node, GError **error)
{
  Membership *membership = group->options.membership;
  if (!may_coordinate(group, error))
    return FALSE;
  if (!membership_has(membership, node))
    return fail(error, SYNCLOG_INVALID, "node %u is no member", node);
  MemberState state = membership_state(membership, node);
  if (state >= MEMBER_REMOVED)
    return fail(error, SYNCLOG_INVALID, "node %u is gone already (%s)", node,
                member_state_name(state));
  if (!other_is_active(group, node))
    return fail(error, SYNCLOG_INVALID, "node %u is the last active member", node);
  /* What joins has written nothing, and can't begin to without this node's word. */
  membership_raise(membership, node, state == MEMBER_JOINING ? MEMBER_REMOVED : MEMBER_REMOVING,
                   NULL);
  apply(group);
  return TRUE;
}

gboolean group_forget(Group *group, guint32 node, gint64 now_us, GError **error)
{
  const Peer *peer = group_find_peer(group, node);
  if (peer == NULL)
    return fail(error, SYNCLOG_INVALID, "node %u is no other member", node);
  if (peer->forgotten)
    return TRUE;
  if (peer->state == PEER_READY || handover_hears(group, peer, now_us))
    return fail(error, SYNCLOG_INVALID,
                "node %u is there: only a node that is gone can be declared lost", node);
  membership_raise(group->options.membership, node, MEMBER_LOST, NULL);
  apply(group);
  tell_all(group);
  return TRUE;
}

/* --- the steps that a node takes itself ---------------------------------------------------------
 */

static gboolean is_reached(const Group *group, const Peer *peer, gint64 now_us)
{
  return peer->progress->logs->len > 0 &&
         (peer->state == PEER_READY || handover_hears(group, peer, now_us));
}

static char *missing_log(const Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    char text[LOG_ID_TEXT_SIZE];
    if (!log->own && log->state != LOG_OK)
      return g_strdup_printf("log %s: %s", log_id_format(log->id, text), log->message);
  }
  return NULL;
}

/* Whether an active member was found to hold the same data, and none to hold other. */
static char *missing_comparison(const Group *group, gint64 now_us)
{
  gboolean equal = FALSE;
  guint32 away = 0;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->member_state == MEMBER_JOINING && !is_reached(group, peer, now_us))
      away = peer->id;
    if (peer->compared_hlc < group->join_hlc || peer->compared_hlc == 0 ||
        !membership_counts(group->options.membership, peer->id))
      continue;
    if (peer->data_differs)
      return g_strdup_printf("node %u holds other data than this node", peer->id);
    equal = TRUE;
  }
  if (equal)
    return NULL;
  /* The members' horizons may wait for what it holds (horizon.c). */
  return away == 0 ? g_strdup("fetching the logs; then the data is compared")
                   : g_strdup_printf("fetching the logs; then the data is compared, which may wait "
                                     "for node %u: it joins, too, and is not reached",
                                     away);
}

/* What a joining node still waits for; NULL: nothing. */
static char *missing_to_enter(const Group *group, gint64 now_us)
{
  if (!group->options.membership->begun)
    return g_strdup("no member has told who the members are: was this node added?");
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (membership_counts(group->options.membership, peer->id) && !is_reached(group, peer, now_us))
      return g_strdup_printf("node %u is not reached", peer->id);
  }
  char *missing = missing_log(group);
  return missing != NULL ? missing : missing_comparison(group, now_us);
}

/*
 * Before a node stamps its first entry every other one has told that it counts this node for the
 * horizon, and the clock here is above all that they took for the horizon before: durably, or it
 * would stamp below that after a crash (P3).
 */
static char *missing_to_write(Group *group)
{
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (!membership_counts(group->options.membership, peer->id))
      continue;
    if (peer->knows_self < MEMBER_ENTERING)
      return g_strdup_printf("node %u does not count this node yet", peer->id);
    group_observe(group, peer->progress->horizon);
    if (group->clock < peer->progress->horizon)
      return g_strdup_printf("the clock here is far behind that of node %u", peer->id);
    if (!horizon_remembers(group, peer->progress->horizon))
      return g_strdup("its clock is being written down");
  }
  return NULL;
}

/*
 * Whether the others have all that they may need from this node, and know that it goes: of two that
 * go at once one learns of the other in time, and the last one stays.
 */
static char *missing_to_go(const Group *group, gint64 now_us)
{
  if (group->queued->len > 0 || group->committing)
    return g_strdup("writes are under way");
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (!membership_counts(group->options.membership, peer->id))
      continue;
    if (peer->knows_self < MEMBER_REMOVING)
      return g_strdup_printf("node %u does not know yet that this node goes", peer->id);
    for (guint k = 0; k < group->logs->len; k++) {
      const Log *log = group->logs->pdata[k];
      const Peer *origin = group_find_peer(group, log->id.origin);
      /* Who is there and stays serves its own log, as far as it has it. */
      if (origin != NULL && membership_counts(group->options.membership, origin->id) &&
          is_reached(group, origin, now_us) && members_origin_has(group, log, log->written))
        continue;
      const LogProgress *theirs = progress_find(peer->progress, log->id);
      if (log->written > (theirs != NULL ? theirs->durable : 0))
        return g_strdup_printf("node %u lacks entries that this node holds", peer->id);
    }
  }
  return NULL;
}

static MemberState next_step(Group *group, gint64 now_us, char **out_missing)
{
  switch (group->self_state) {
  case MEMBER_JOINING:
    *out_missing = missing_to_enter(group, now_us);
    return MEMBER_ENTERING;
  case MEMBER_ENTERING:
    *out_missing = missing_to_write(group);
    return MEMBER_ACTIVE;
  case MEMBER_REMOVING:
    *out_missing = missing_to_go(group, now_us);
    return MEMBER_REMOVED;
  case MEMBER_UNKNOWN:
  case MEMBER_ACTIVE:
  case MEMBER_REMOVED:
  case MEMBER_LOST:
    break;
  }
  return MEMBER_UNKNOWN;
}

void members_tick(Group *group, gint64 now_us)
{
  const Membership *membership = group->options.membership;
  if (now_us < group->members_at_us)
    return;
  g_autofree char *missing = NULL;
  MemberState next = next_step(group, now_us, &missing);
  if (next != MEMBER_UNKNOWN && missing == NULL) {
    membership_raise(group->options.membership, group->self, next, NULL);
    apply(group);
  }
  g_free(group->members_message);
  group->members_message = g_steal_pointer(&missing);
  if (membership->begun)
    keep(group);
  gboolean settled = next_step(group, now_us, &missing) == MEMBER_UNKNOWN &&
                     group->keeping == NULL && is_kept(group);
  group->members_at_us =
      settled ? G_MAXINT64 : now_us + group->options.heartbeat_interval_ms * 1000;
}

gboolean members_take_writes(const Group *group, SynclogStatus *out_status, const char **out_why)
{
  if (group->evicted) {
    *out_status = SYNCLOG_FORGOTTEN;
    *out_why = EVICTED_TEXT;
    return FALSE;
  }
  if (group->self_state == MEMBER_ACTIVE && !group->unkept_step)
    return TRUE;
  *out_status = SYNCLOG_NOT_READY;
  *out_why = group->self_state == MEMBER_REMOVING ? "this node is being removed from the cluster"
                                                  : "this node joins the cluster";
  return FALSE;
}
