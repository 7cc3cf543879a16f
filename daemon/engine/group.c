#include "engine/group_private.h"

#include "core/hlc.h"

static void log_free(gpointer data)
{
  Log *log = data;
  g_clear_pointer(&log->tail, tail_free);
  g_clear_pointer(&log->reorder, reorder_free);
  g_clear_pointer(&log->to_write, g_ptr_array_unref);
  g_assert(g_queue_is_empty(&log->calls));
  feeder_forget(log);
  g_free(log->message);
  g_free(log);
}

static void peer_free(gpointer data)
{
  Peer *peer = data;
  g_ptr_array_unref(peer->senders);
  g_array_unref(peer->in_flight);
  progress_free(peer->progress);
  g_array_unref(peer->proofs);
  g_free(peer->message);
  g_free(peer);
}

static void mirror_work_clear(gpointer data)
{
  g_clear_pointer(&((MirrorWork *)data)->runs, g_ptr_array_unref);
}

void group_work_clear(GroupWork *work)
{
  g_clear_pointer(&work->writes, g_ptr_array_unref);
  g_clear_pointer(&work->mirrors, g_array_unref);
  g_clear_pointer(&work->trims, g_array_unref);
}

Peer *group_add_peer(Group *group, guint32 id)
{
  guint at = 0;
  while (at < group->peers->len && ((const Peer *)group->peers->pdata[at])->id < id)
    at++;
  Peer *peer = g_new0(Peer, 1);
  peer->id = id;
  peer->state = PEER_BACKOFF;
  peer->unreachable = TRUE;
  peer->answered_at_us = G_MININT64;
  backoff_init(&peer->backoff, group->options.basic_retry_wait_ms, group->options.max_retry_wait_ms,
               group->options.random_seed + id);
  dispatcher_init_peer(peer);
  g_ptr_array_insert(group->peers, (gint)at, peer);
  return peer;
}

static void add_members(Group *group)
{
  const Membership *membership = group->options.membership;
  group->self_state = membership_state(membership, group->self);
  group->evicted = group->self_state >= MEMBER_REMOVED;
  group->told = membership_record(membership);
  group->told_changes = membership->changes;
  for (guint i = 0; i < membership->members->len; i++) {
    guint32 node = ((const Member *)membership->members->pdata[i])->id;
    if (node == group->self)
      continue;
    Peer *peer = group_add_peer(group, node);
    peer->member_state = membership_state(membership, node);
    peer->forgotten = peer->member_state >= MEMBER_REMOVED;
  }
}

Log *group_insert_log(Group *group, LogId id)
{
  guint at = 0;
  while (at < group->logs->len && log_id_compare(&((Log *)group->logs->pdata[at])->id, &id) < 0)
    at++;
  Log *log = g_new0(Log, 1);
  log->id = id;
  log->first_available = 1;
  log->own = log_id_equal(id, group->options.own);
  log->sync_due_us = G_MAXINT64;
  g_queue_init(&log->calls);
  g_ptr_array_insert(group->logs, (gint)at, log);
  return log;
}

Group *group_new(const GroupOptions *options, const GroupPorts *ports)
{
  Group *group = g_new0(Group, 1);
  group->options = *options;
  group->options.cluster_id = g_strdup(options->cluster_id);
  group->options.time_precision = g_strdup(options->time_precision);
  group->ports = *ports;
  group->self = options->own.origin;
  group->wall_ms = options->wall_ms;
  group->window = options->max_pending_batch;
  group->logs = g_ptr_array_new_with_free_func(log_free);
  group->peers = g_ptr_array_new_with_free_func(peer_free);
  group->queued = g_ptr_array_new();
  group->acks = acks_new();
  group->reads = g_ptr_array_new();
  retain_init(group);
  group->next_index = 1;
  group->commit_size = options->max_commit_size;
  group->next_cookie = 1;
  group->refusal_noted_us = G_MININT64 / 2;
  group->feed_at_us = group->supply_at_us = group->members_at_us = G_MAXINT64;
  group->clock_bound = group->clock = options->clock_bound;
  group->join_hlc = MAX(group->clock, hlc_from_ms(group->wall_ms));
  add_members(group);
  group->own = group_insert_log(group, options->own);
  group->own->tail = tail_new(options->max_pending_requests, options->max_pending_bytes);
  return group;
}

void group_free(Group *group)
{
  g_assert(group->queued->len == 0 && group->reads->len == 0);
  g_ptr_array_unref(group->queued);
  g_ptr_array_unref(group->reads);
  g_ptr_array_unref(group->holds);
  acks_free(group->acks);
  g_ptr_array_unref(group->peers);
  g_ptr_array_unref(group->logs);
  g_free((char *)group->options.cluster_id);
  g_free((char *)group->options.time_precision);
  g_clear_pointer(&group->told, g_ptr_array_unref);
  g_clear_pointer(&group->keeping, g_ptr_array_unref);
  g_free(group->members_message);
  g_free(group->refuse_message);
  g_free(group);
}

Log *group_find_log(const Group *group, LogId id)
{
  guint low = 0, high = group->logs->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    Log *log = group->logs->pdata[middle];
    int order = log_id_compare(&log->id, &id);
    if (order == 0)
      return log;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

Log *group_put_log(Group *group, LogId id)
{
  Log *log = group_find_log(group, id);
  if (log != NULL)
    return log;
  if (!membership_has(group->options.membership, id.origin) || group->logs->len >= LIMIT_LOGS)
    return NULL;
  log = group_insert_log(group, id);
  follower_init_log(group, log);
  for (guint i = 0; i < group->logs->len; i++) {
    Log *before = group->logs->pdata[i];
    if (before->id.origin == id.origin && before->id.incarnation < id.incarnation)
      follower_close(group, before);
  }
  return log;
}

void group_add_log(Group *group, const GroupLog *found)
{
  Log *log = group_find_log(group, found->log);
  if (log == NULL)
    log = group_insert_log(group, found->log);
  log->written = log->durable = found->last;
  log->last_hlc = found->last_hlc;
  log->applied = log->given = found->applied;
  log->applied_hlc = found->applied_hlc;
  log->store_durable = found->store_durable;
  log->first_available = found->first_available;
  group_observe_log(group, log, MAX(found->last_hlc, found->applied_hlc));
  if (log->own)
    group->next_index = found->last + 1;
  else
    follower_init_log(group, log);
  log->lagging = log->applied < log->written; /* something was held back */
  if (found->stopped == NULL)
    return;
  log->blocked = TRUE;
  log->seed_from = found->first_available;
  log_set_state(group, log, log->own ? LOG_READ_ONLY : LOG_STOPPED, found->stopped);
}

void group_start(Group *group, gint64 now_us)
{
  group->started = TRUE;
  group->wall_at_us = group->bound_at_us = now_us;
  group->retention_at_us = now_us + group->options.retention_interval_ms * 1000;
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    peer->retry_at_us = now_us;
    members_meet(group, peer);
  }
  handover_start(group, now_us);
  group->members_at_us = now_us;
  group->feed_at_us = now_us;
  feeder_tick(group, now_us);
  dispatcher_tick(group, now_us);
}

void group_stop(Group *group)
{
  group->stopped = TRUE;
  dispatcher_stop(group);
  follower_stop(group);
  leader_stop(group);
  reads_stop(group);
}

void group_observe(Group *group, guint64 hlc)
{
  if (hlc <= clocks_limit_hlc(group))
    group->clock = hlc_observe(group->clock, hlc);
}

void group_observe_log(Group *group, const Log *log, guint64 hlc)
{
  /* Others can make up an entry in this node's name: it must leave clocks to stamp with, that
   * others take (RECORD_HLC_MAX), for ever. */
  if (log->id.origin == group->self)
    group->clock = MAX(group->clock, MIN(hlc, RECORD_HLC_MAX / 2));
  else
    group_observe(group, hlc);
}

Peer *group_find_peer(const Group *group, guint32 id)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (peer->id == id)
      return peer;
  }
  return NULL;
}

void group_note(Group *group, GLogLevelFlags level, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  group->ports.note(group->ports.ctx, level, text);
}

void log_set_state(Group *group, Log *log, LogState state, const char *message)
{
  static const char *const names[] = {"goes on", "is read-only", "is stopped", "is forked",
                                      "waits"};
  if (log->state != state || g_strcmp0(log->message, message) != 0) {
    char text[LOG_ID_TEXT_SIZE];
    group_note(group, state == LOG_OK ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_CRITICAL, "log %s %s%s%s",
               log_id_format(log->id, text), names[state], message != NULL ? ": " : "",
               message != NULL ? message : "");
  }
  if (state != LOG_STOPPED)
    log->stopped_at = 0;
  char *copy = g_strdup(message);
  g_free(log->message);
  log->message = copy;
  log->state = state;
}

gboolean group_is_congested(const Group *group)
{
  return group->apply_backlog > group->options.max_apply_backlog;
}

void group_apply(Group *group, Log *log, EntryRun *run)
{
  guint64 last = entry_run_last_index(run);
  if (log->blocked) {
    entry_run_unref(run); /* it is kept in the WAL, and nothing is applied behind a hole (P2) */
    return;
  }
  if (entry_run_first_index(run) > log->given + 1) {
    g_assert(log->lagging); /* P2 */
    feeder_keep(log, run);
    return;
  }
  if (last <= log->given) {
    /* Refetched for the WAL only: the store has it. */
    group->entries_duplicate += entry_run_count(run);
    entry_run_unref(run);
    return;
  }
  if (entry_run_first_index(run) <= log->given) {
    guint skip = (guint)(log->given + 1 - entry_run_first_index(run));
    group->entries_duplicate += skip;
    EntryRun *rest = entry_run_slice(run, skip, entry_run_count(run) - skip);
    entry_run_unref(run);
    run = rest;
  }
  feeder_give(group, log, run);
}

void group_on_applied(Group *group, LogId id, guint64 index, guint64 hlc, gsize bytes)
{
  Log *log = group_find_log(group, id);
  g_assert(log != NULL && index > log->applied && index <= log->given);
  g_assert(bytes <= group->apply_backlog);
  gboolean was_congested = group_is_congested(group);
  group->apply_backlog -= bytes;
  group->entries_applied += index - log->applied;
  log->applied = index;
  log->applied_hlc = hlc;
  reads_check(group);
  if (was_congested && !group_is_congested(group)) {
    follower_answer_all(group);
    group->ports.work(group->ports.ctx);
  }
}

void group_on_store_durable(Group *group, LogId id, guint64 index)
{
  Log *log = group_find_log(group, id);
  if (log != NULL)
    log->store_durable = MAX(log->store_durable, index);
}

gboolean group_take_work(Group *group, gint64 now_us, guint64 wall_ms, GroupPart part,
                         GroupWork *out_work)
{
  GroupWork work = {.writes = g_ptr_array_new(),
                    .mirrors = g_array_new(FALSE, FALSE, sizeof(MirrorWork)),
                    .trims = g_array_new(FALSE, FALSE, sizeof(TrimWork))};
  clocks_tell(group, now_us, wall_ms);
  g_array_set_clear_func(work.mirrors, mirror_work_clear);
  GroupPending pending;
  group_has_work(group, now_us, &pending);
  gboolean own = part != GROUP_MIRROR_WORK, mirrors = part != GROUP_OWN_WORK;
  gboolean has_work = (own && pending.bytes > 0) || (mirrors && pending.mirrors);
  if (mirrors)
    follower_take(group, now_us, work.mirrors);
  if (own)
    leader_take(group, now_us, wall_ms, work.writes);
  /* Whoever is told that there is none waits, and who is told that there is comes again. */
  gboolean taken = work.writes->len + work.mirrors->len > 0;
  g_assert(has_work ? taken || group->clock_wrong : !taken);
  if (part == GROUP_ALL_WORK)
    retain_take(group, now_us, work.trims);
  if (work.writes->len + work.mirrors->len + work.trims->len == 0) {
    group_work_clear(&work);
    return FALSE;
  }
  *out_work = work;
  return TRUE;
}

gboolean group_has_work(const Group *group, gint64 now_us, GroupPending *out_pending)
{
  *out_pending = (GroupPending){0};
  if (leader_has_work(group, now_us))
    out_pending->bytes = group->queued_bytes;
  follower_look(group, now_us, out_pending);
  return out_pending->bytes > 0 || out_pending->mirrors;
}

gint64 group_deadline_us(const Group *group)
{
  gint64 deadline_us = MIN(acks_deadline_us(group->acks), reads_deadline_us(group));
  deadline_us = MIN(deadline_us, dispatcher_deadline_us(group));
  deadline_us = MIN(deadline_us, feeder_deadline_us(group));
  deadline_us = MIN(deadline_us, leader_deadline_us(group));
  if (group->started)
    deadline_us = MIN(deadline_us,
                      MIN(MIN(group->retention_at_us, group->supply_at_us), group->members_at_us));
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (log->state != LOG_READ_ONLY)
      deadline_us = MIN(deadline_us, log->sync_due_us);
  }
  return deadline_us;
}

void group_tick(Group *group, gint64 now_us)
{
  reads_tick(group, now_us);
  if (group->stopped)
    return;
  leader_tick(group, now_us);
  feeder_tick(group, now_us);
  if (group->started) {
    handover_tick(group, now_us);
    members_tick(group, now_us);
  }
  dispatcher_tick(group, now_us);
}

/* --- what peers say ----------------------------------------------------------------------------
 */

static char *gone_text(const Group *group, guint32 node)
{
  gboolean lost = membership_state(group->options.membership, node) == MEMBER_LOST;
  return g_strdup_printf("node %u was %s: start it with a new node id and an empty directory", node,
                         lost ? "declared lost for good" : "removed");
}

static SynclogStatus judge(const Group *group, const Handshake *handshake, char **out_why)
{
  const GroupOptions *options = &group->options;
  if (handshake->protocol_version != PROTOCOL_VERSION) {
    *out_why = g_strdup_printf("protocol version %u, this node speaks %u",
                               handshake->protocol_version, PROTOCOL_VERSION);
    return SYNCLOG_WRONG_VERSION;
  }
  if (g_strcmp0(handshake->cluster_id, options->cluster_id) != 0) {
    *out_why = g_strdup_printf("cluster id \"%s\", this node belongs to \"%s\"",
                               handshake->cluster_id, options->cluster_id);
    return SYNCLOG_WRONG_CLUSTER;
  }
  if (g_strcmp0(handshake->time_precision, options->time_precision) != 0) {
    *out_why = g_strdup_printf("time precision \"%s\", this node has \"%s\"",
                               handshake->time_precision, options->time_precision);
    return SYNCLOG_WRONG_PRECISION;
  }
  if (handshake->node_id == group->self) {
    *out_why = g_strdup_printf("node id %u is this node's own", handshake->node_id);
    return SYNCLOG_DUPLICATE_NODE;
  }
  if (handshake->group != options->group) {
    *out_why = g_strdup_printf("group %u does not exist here", handshake->group);
    return SYNCLOG_UNKNOWN_GROUP;
  }
  if (handshake->target_node_id != group->self) {
    *out_why = g_strdup_printf("this is node %u, not node %u: check the address in [peer.%u]",
                               group->self, handshake->target_node_id, handshake->target_node_id);
    return SYNCLOG_NOT_MEMBER;
  }
  if (!membership_has(options->membership, handshake->node_id)) {
    *out_why = g_strdup_printf("node %u is not a member here: no [peer.%u] in the configuration, "
                               "and it was not added",
                               handshake->node_id, handshake->node_id);
    return SYNCLOG_NOT_MEMBER;
  }
  if (membership_is_gone(options->membership, handshake->node_id)) {
    *out_why = gone_text(group, handshake->node_id);
    return SYNCLOG_FORGOTTEN;
  }
  if (handshake->max_pending_batch > LIMIT_PENDING_BATCHES) {
    *out_why = g_strdup_printf("max_pending_batch %u, at most %u are taken",
                               handshake->max_pending_batch, LIMIT_PENDING_BATCHES);
    return SYNCLOG_INVALID;
  }
  return group->stopped ? SYNCLOG_NOT_READY : SYNCLOG_OK;
}

static gboolean rule_differs(const Group *group, const Peer *peer)
{
  return group->rule_hash != 0 && peer->rule_hash != 0 && peer->rule_hash != group->rule_hash;
}

#define RULE_DIFFERS_TEXT                                                                          \
  "its rule of devices (devices of each [group.N]) is another than this node's"

static void note_rule(Group *group, const Peer *peer, gboolean before)
{
  gboolean differs = rule_differs(group, peer);
  if (differs && !before)
    group_note(group, G_LOG_LEVEL_WARNING,
               "peer %u: " RULE_DIFFERS_TEXT ": the same device goes to another group there",
               peer->id);
  else if (!differs && before)
    group_note(group, G_LOG_LEVEL_MESSAGE, "peer %u: its rule of devices is this node's now",
               peer->id);
}

static void learn_rule(Group *group, Peer *peer, guint64 hash)
{
  gboolean before = rule_differs(group, peer);
  peer->rule_hash = hash;
  note_rule(group, peer, before);
}

void group_on_handshake(Group *group, const Handshake *handshake, HandshakeReply *out_reply,
                        gint64 now_us)
{
  *out_reply = (HandshakeReply){.node_id = group->self,
                                .incarnation = group->own->id.incarnation,
                                .max_frame_size = group->options.max_frame_size};
  out_reply->status = judge(group, handshake, &out_reply->message);
  if (out_reply->status != SYNCLOG_OK) {
    /* Who is about to add this node asks in its own name. */
    if (handshake->node_id == group->self && handshake->target_node_id == group->self)
      return;
    /* Any stranger can cause these: one a second is enough. */
    if (now_us < group->refusal_noted_us + G_USEC_PER_SEC)
      return;
    group->refusal_noted_us = now_us;
    group_note(group, G_LOG_LEVEL_WARNING, "handshake of node %u refused: %s", handshake->node_id,
               out_reply->message != NULL ? out_reply->message : GROUP_STOPPED_TEXT);
    return;
  }
  Peer *peer = group_find_peer(group, handshake->node_id);
  peer->heard_at_us = now_us;
  gboolean again =
      peer->introduced || (peer->incarnation != 0 && peer->incarnation != handshake->incarnation);
  peer->introduced = TRUE;
  peer->incarnation = handshake->incarnation;
  peer->window = handshake->max_pending_batch;
  group->window = MAX(group->window, peer->window);
  learn_rule(group, peer, handshake->rule_hash);
  group_observe(group, handshake->hlc);
  follower_realign(group, peer, handshake->progress);
  if (again)
    dispatcher_forget(peer);
  dispatcher_learn(group, peer, handshake->progress);
  dispatcher_hail(group, peer, now_us);
  out_reply->progress = handover_news(group, peer->id);
  out_reply->hlc = group->clock;
}

void group_on_heartbeat(Group *group, const Heartbeat *heartbeat, HeartbeatReply *out_reply,
                        gint64 now_us)
{
  *out_reply = (HeartbeatReply){.status = SYNCLOG_OK};
  if (group->stopped) { /* nobody new is met any more */
    out_reply->status = SYNCLOG_NOT_READY;
    out_reply->message = g_strdup(GROUP_STOPPED_TEXT);
    return;
  }
  Peer *peer = group_find_peer(group, heartbeat->node_id);
  if (heartbeat->group != group->options.group || peer == NULL) {
    out_reply->status = SYNCLOG_NOT_MEMBER;
    out_reply->message = g_strdup_printf("node %u is not a member here", heartbeat->node_id);
    return;
  }
  if (peer->forgotten) {
    out_reply->status = SYNCLOG_FORGOTTEN;
    out_reply->message = gone_text(group, peer->id);
    return;
  }
  peer->heard_at_us = now_us;
  learn_rule(group, peer, heartbeat->rule_hash);
  group_observe(group, heartbeat->hlc);
  follower_realign(group, peer, heartbeat->progress);
  dispatcher_learn(group, peer, heartbeat->progress);
  dispatcher_wake(group, peer, now_us);
  out_reply->progress = handover_news(group, peer->id);
  out_reply->hlc = group->own->last_hlc;
}

/* --- status ------------------------------------------------------------------------------------
 */

static LogProgress progress_of(const Log *log)
{
  return (LogProgress){.log = log->id,
                       .received = log->written,
                       .durable = log->durable,
                       .applied = log->applied,
                       .applied_hlc = log->applied_hlc,
                       .first_available = log->first_available};
}

Progress *group_progress(const Group *group)
{
  Progress *progress = progress_new();
  for (guint i = 0; i < group->logs->len; i++) {
    LogProgress one = progress_of(group->logs->pdata[i]);
    if (!group->ports.digest_at_end(group->ports.ctx, one.log, &one.digest_index, &one.digest))
      one.digest_index = one.digest = 0;
    *progress_put(progress, one.log) = one;
  }
  return progress;
}

static const char *peer_state_name(const Peer *peer)
{
  if (peer->forgotten)
    return peer->member_state == MEMBER_REMOVED ? "removed" : "forgotten";
  switch (peer->state) {
  case PEER_READY:
    return peer->paused ? "paused" : "connected";
  case PEER_CONNECTING:
  case PEER_HANDSHAKING:
    return peer->refused ? "refused" : "connecting";
  case PEER_BACKOFF:
    break;
  }
  return peer->refused ? "refused" : "backoff";
}

static void add_log_status(const Group *group, const Log *log, gint64 now_us, GArray *logs)
{
  gboolean closed = membership_is_gone(group->options.membership, log->id.origin);
  gboolean ahead = log->own && group->clock_ahead;
  const char *ok = closed                 ? "closed"
                   : log->stall_told      ? "stalled"
                   : log->unreadable != 0 ? "unreadable"
                   : ahead                ? "held"
                                          : "ok";
  g_autofree char *message = log->state != LOG_OK            ? g_strdup(log->message)
                             : log->stall_told               ? stall_text(group, log, now_us)
                             : ahead && log->unreadable == 0 ? g_strdup(CLOCK_AHEAD_TEXT)
                                                             : unreadable_text(log);
  static const char *const names[] = {"ok", "read-only", "stopped", "forked", "held"};
  LogStatus status = {
      .progress = progress_of(log),
      .own = log->own,
      .state = log->state == LOG_OK ? ok : names[log->state],
      .message = g_steal_pointer(&message),
      .stopped_at = log->stopped_at,
      .stalled_ms = log->stall_since_us != 0 ? (guint64)(now_us - log->stall_since_us) / 1000 : 0,
      .handed_on_by = log->supplier};
  g_array_append_val(logs, status);
}

static void add_peer_status(const Group *group, const Peer *peer, gint64 now_us, GArray *peers)
{
  gboolean answered = peer->answered_at_us != G_MININT64;
  gboolean differs = rule_differs(group, peer);
  const char *message = peer->message == NULL && differs ? RULE_DIFFERS_TEXT : peer->message;
  PeerStatus status = {.node_id = peer->id,
                       .state = peer_state_name(peer),
                       .message = g_strdup(message),
                       .silent_ms = answered ? (now_us - peer->answered_at_us) / 1000 : -1,
                       .progress = progress_copy(peer->progress),
                       .batches_in_flight = peer->in_flight->len,
                       .batches_sent = peer->batches_sent,
                       .batches_retried = peer->batches_retried,
                       .entries_from_tail = peer->entries_from_tail,
                       .entries_from_wal = peer->entries_from_wal,
                       .has_clock_offset = peer->has_clock_offset,
                       .clock_offset_ms = peer->clock_offset_ms,
                       .paused = peer->paused,
                       .compared_hlc = peer->compared_hlc,
                       .data_differs = peer->data_differs,
                       .needs_reseed = retain_needs_reseed(group, peer),
                       .rule_told = group->rule_hash != 0 && peer->rule_hash != 0,
                       .rule_differs = differs};
  g_array_append_val(peers, status);
}

static void put_memory(const Group *group, GArray *memory)
{
  guint64 kept = 0;
  for (guint i = 0; i < group->logs->len; i++)
    kept += ((const Log *)group->logs->pdata[i])->kept_bytes;
  named_count_add(memory, "tail", group->own->tail != NULL ? tail_bytes(group->own->tail) : 0);
  named_count_add(memory, "write_queue", group->queued_bytes);
  named_count_add(memory, "apply_queue", group->apply_backlog);
  named_count_add(memory, "held_entries", kept);
}

void group_status(const Group *group, NodeStatus *status, gint64 now_us)
{
  status->node_id = group->self;
  status->cluster_id = g_strdup(group->options.cluster_id);
  status->incarnation = group->own->id.incarnation;
  status->state = group->stopped ? "stopping" : "serving";
  status->members = membership_record(group->options.membership);
  status->members_version = membership_version(group->options.membership);
  SynclogStatus refusal;
  const char *why = NULL;
  if (!members_take_writes(group, &refusal, &why)) {
    status->state = group->evicted                         ? "read-only"
                    : group->self_state == MEMBER_REMOVING ? "removing"
                                                           : "joining";
    status->message = g_strdup(group->members_message != NULL ? group->members_message : why);
  } else if (group->clock_wrong) {
    status->state = "read-only";
    status->message = g_strdup(CLOCK_WRONG_TEXT);
  } else if (group->own->state == LOG_READ_ONLY || group->refuse != SYNCLOG_OK) {
    status->state = group->refuse == SYNCLOG_NOT_READY ? "stopping" : "read-only";
    status->message =
        g_strdup(group->refuse != SYNCLOG_OK ? group->refuse_message : group->own->message);
  }
  for (guint i = 0; i < group->logs->len; i++)
    add_log_status(group, group->logs->pdata[i], now_us, status->logs);
  for (guint i = 0; i < group->peers->len; i++)
    add_peer_status(group, group->peers->pdata[i], now_us, status->peers);
  for (guint i = 0; i < status->peers->len; i++)
    g_array_index(status->peers, PeerStatus, i).window = group->options.max_pending_batch;
  put_memory(group, status->memory);
  status->writes = group->writes;
  status->writes_refused = group->writes_refused;
  status->hlc = group->clock;
  status->horizon = group->horizon;
  status->entries_applied = group->entries_applied;
  status->entries_duplicate = group->entries_duplicate;
}

void group_set_retry_waits(Group *group, guint64 basic_wait_ms, guint64 max_wait_ms)
{
  group->options.basic_retry_wait_ms = basic_wait_ms;
  group->options.max_retry_wait_ms = max_wait_ms;
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    peer->backoff.basic_wait_ms = basic_wait_ms;
    peer->backoff.max_wait_ms = max_wait_ms;
    for (guint k = 0; k < peer->senders->len; k++) {
      Sender *sender = peer->senders->pdata[k];
      sender->backoff.basic_wait_ms = basic_wait_ms;
      sender->backoff.max_wait_ms = max_wait_ms;
    }
  }
}

void group_set_rule_hash(Group *group, guint64 hash)
{
  guint64 old = group->rule_hash;
  group->rule_hash = hash;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    note_rule(group, peer, old != 0 && peer->rule_hash != 0 && peer->rule_hash != old);
  }
}

void group_set_heartbeat_interval(Group *group, gint64 interval_ms)
{
  group->options.heartbeat_interval_ms = interval_ms;
}
