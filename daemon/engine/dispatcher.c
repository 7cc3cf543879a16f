/* The log dispatcher: the channels to the peers, and the logs on their way to them. */
#include "engine/group_private.h"

#include "core/routing.h"

enum {
  READ_AGAIN_US = 20 * 1000,
  GATHER_BYTES = 64 * 1024, /* smaller batches wait for the one before */
  HANGING_US = 200 * 1000,  /* a connection that takes longer is tried again when the peer calls */
};

static void close_channel(Group *group, Peer *peer, const char *why);

static void pump(Group *group, Peer *peer, gint64 now_us);

static void set_message(Peer *peer, const char *message)
{
  char *copy = g_strdup(message);
  g_free(peer->message);
  peer->message = copy;
}

static void sender_free(gpointer data)
{
  Sender *sender = data;
  sync_window_free(sender->window);
  g_free(sender);
}

static Sender *find_sender(const Peer *peer, LogId id)
{
  for (guint i = 0; i < peer->senders->len; i++) {
    Sender *sender = peer->senders->pdata[i];
    if (log_id_equal(sender->log->id, id))
      return sender;
  }
  return NULL;
}

gboolean dispatcher_compared(const Peer *peer, const Log *log)
{
  const Sender *sender = find_sender(peer, log->id);
  return sender != NULL && sender->digest == DIGEST_CHECKED;
}

/* Whether this node is to send the log to the peer: unasked, or since the peer asked for it. */
static gboolean is_for(const Group *group, const Peer *peer, LogId log)
{
  if (routing_sends(group->self, peer->id, log, peer->incarnation))
    return TRUE;
  return log.origin != peer->id && handover_is_wanted(peer, log);
}

/* Senders for all logs that this peer is to get; the own log comes first, it is the busy one. */
static void make_senders(Group *group, Peer *peer)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (find_sender(peer, log->id) != NULL || !is_for(group, peer, log->id))
      continue;
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    Sender *sender = g_new0(Sender, 1);
    sender->log = log;
    guint64 begin = 0;
    /* Of a closed log it may have told what was on its way to a disk that was full then. */
    if (theirs != NULL)
      begin = handover_is_newest(group, i) ? theirs->received : theirs->durable;
    sender->window = sync_window_new(group->options.max_pending_batch, begin);
    backoff_init(&sender->backoff, group->options.basic_retry_wait_ms,
                 group->options.max_retry_wait_ms,
                 group->options.random_seed ^ peer->id ^ log->id.incarnation);
    g_ptr_array_insert(peer->senders, log->own ? 0 : -1, sender);
  }
}

/* Senders of logs that the peer asks for no more go as soon as nothing is under way. */
static void drop_senders(const Group *group, Peer *peer)
{
  for (guint i = peer->senders->len; i > 0; i--) {
    const Sender *sender = peer->senders->pdata[i - 1];
    if (!sender->reading && sender->digest != DIGEST_CHECKING && sender->begin != BEGIN_READING &&
        sync_window_in_flight(sender->window) == 0 && !is_for(group, peer, sender->log->id))
      g_ptr_array_remove_index(peer->senders, i - 1);
  }
}

static void forget_in_flight(Peer *peer)
{
  g_array_set_size(peer->in_flight, 0);
  g_ptr_array_set_size(peer->senders, 0);
}

/* Forgets the batches of one log that are on the channel: their answers will be ignored. */
static void forget_in_flight_of(Peer *peer, LogId id)
{
  for (guint i = 0; i < peer->in_flight->len;) {
    if (log_id_equal(g_array_index(peer->in_flight, InFlight, i).log, id))
      g_array_remove_index(peer->in_flight, i);
    else
      i++;
  }
}

/* Nothing is sent for a while, longer with every failure. */
static void pause_sender(Group *group, Sender *sender, gint64 now_us)
{
  sender->paused_until_us = now_us + (gint64)backoff_next_ms(&sender->backoff) * 1000;
  group->ports.work(group->ports.ctx);
}

static void back_off(Group *group, Peer *peer, gint64 now_us)
{
  peer->state = PEER_BACKOFF;
  peer->retry_at_us = now_us + (gint64)backoff_next_ms(&peer->backoff) * 1000;
  forget_in_flight(peer);
  group->ports.work(group->ports.ctx);
}

static void start_connecting(Group *group, Peer *peer, gint64 now_us)
{
  peer->state = PEER_CONNECTING;
  peer->connecting_since_us = now_us;
  group->ports.connect(group->ports.ctx, peer->id);
}

void dispatcher_wake(Group *group, Peer *peer, gint64 now_us)
{
  if (peer->state != PEER_BACKOFF || peer->closing || peer->forgotten || peer->unreachable ||
      !group->started || group->stopped)
    return;
  peer->retry_at_us = now_us;
  peer->hailed = FALSE;
  start_connecting(group, peer, now_us);
}

/*
 * The peer introduced itself anew: it was restarted, or its channel was lost. Ours may be a
 * leftover that nobody answers, so it is tried at once, and if it turns out dead there is no wait
 * before the next.
 */
void dispatcher_hail(Group *group, Peer *peer, gint64 now_us)
{
  peer->hailed = TRUE;
  if (peer->state == PEER_READY)
    peer->heartbeat_at_us = now_us;
  else if (peer->state == PEER_CONNECTING && now_us - peer->connecting_since_us > HANGING_US)
    close_channel(group, peer, "connecting again: the peer is there");
  else
    dispatcher_wake(group, peer, now_us);
  group->ports.work(group->ports.ctx);
}

void group_on_connected(Group *group, guint32 id, gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  if (peer == NULL || peer->state != PEER_CONNECTING || peer->closing)
    return;
  peer->state = PEER_HANDSHAKING;
  peer->heartbeat_sent_us = now_us;
  peer->heartbeats_out = peer->answers_stale = 0;
  g_autoptr(Progress) progress = handover_news(group, id);
  Handshake handshake = {.protocol_version = PROTOCOL_VERSION,
                         .cluster_id = (char *)group->options.cluster_id,
                         .node_id = group->self,
                         .target_node_id = id,
                         .incarnation = group->own->id.incarnation,
                         .time_precision = (char *)group->options.time_precision,
                         .max_pending_batch = group->options.max_pending_batch,
                         .group = group->options.group,
                         .progress = progress,
                         .hlc = group->clock,
                         .rule_hash = group->rule_hash};
  group->ports.send_handshake(group->ports.ctx, id, &handshake);
}

void group_on_closed(Group *group, guint32 id, const char *why, gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  if (peer == NULL || group->stopped)
    return;
  /* A closing that was asked for keeps the message of its reason. */
  if (!peer->closing) {
    if (peer->state == PEER_READY)
      group_note(group, G_LOG_LEVEL_WARNING, "peer %u: channel closed: %s", id, why);
    peer->refused = FALSE;
    set_message(peer, why);
  }
  peer->closing = FALSE;
  back_off(group, peer, now_us);
  if (peer->hailed)
    dispatcher_wake(group, peer, now_us);
}

static void close_channel(Group *group, Peer *peer, const char *why)
{
  if (peer->closing)
    return;
  if (g_strcmp0(peer->message, why) != 0)
    group_note(group, G_LOG_LEVEL_WARNING, "peer %u: %s", peer->id, why);
  set_message(peer, why);
  peer->closing = TRUE;
  forget_in_flight(peer);
  peer->state = PEER_CONNECTING; /* until group_on_closed */
  group->ports.disconnect(group->ports.ctx, peer->id);
}

/* A peer says that this node belongs to the cluster no more. */
static void evict(Group *group, const Peer *peer, SynclogStatus status, const char *why)
{
  if (status != SYNCLOG_FORGOTTEN || group->evicted)
    return;
  group->evicted = TRUE;
  group_note(group, G_LOG_LEVEL_CRITICAL, "peer %u: %s; writes are refused", peer->id, why);
}

void group_on_handshake_reply(Group *group, guint32 id, const HandshakeReply *reply, gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  if (peer == NULL || peer->state != PEER_HANDSHAKING || peer->closing)
    return;
  peer->answered_at_us = now_us;
  if (reply->status != SYNCLOG_OK) {
    peer->refused = TRUE;
    g_autofree char *why =
        g_strdup_printf("handshake refused: %s: %s", synclog_status_text(reply->status),
                        reply->message != NULL ? reply->message : "no reason given");
    evict(group, peer, reply->status, why);
    close_channel(group, peer, why);
    return;
  }
  if (reply->node_id != id) {
    peer->refused = TRUE;
    g_autofree char *why =
        g_strdup_printf("node %u answers at the address of node %u", reply->node_id, id);
    close_channel(group, peer, why);
    return;
  }
  peer->refused = FALSE;
  peer->state = PEER_READY;
  clocks_measure(group, peer, reply->progress, peer->heartbeat_sent_us, now_us);
  peer->heartbeat_sent_us = 0;
  peer->incarnation = reply->incarnation;
  peer->heartbeat_at_us = now_us + group->options.heartbeat_interval_ms * 1000;
  set_message(peer, NULL);
  backoff_reset(&peer->backoff);
  group_observe(group, reply->hlc);
  /* What it says now counts, also when it is less than before: it may have lost a part of its disk.
   */
  if (peer->answers_stale == 0) {
    g_clear_pointer(&peer->progress, progress_free);
    peer->progress = progress_copy(reply->progress);
    proof_forget(peer);
    dispatcher_learn(group, peer, reply->progress);
  } else {
    peer->answers_stale = 0;
    peer->heartbeat_at_us = now_us;
  }
  forget_in_flight(peer);
  group_note(group, G_LOG_LEVEL_INFO, "peer %u: channel is ready", id);
  pump(group, peer, now_us);
}

/* A peer that holds more of this node's own log than the node itself: indices would be used twice.
 */
static void check_own_log(Group *group, const Peer *peer)
{
  const LogProgress *theirs = progress_find(peer->progress, group->own->id);
  if (theirs == NULL || theirs->received < group->next_index || group->own->state != LOG_OK)
    return;
  g_autofree char *why =
      g_strdup_printf("peer %u holds this log up to %" G_GUINT64_FORMAT
                      ", this node only up to %" G_GUINT64_FORMAT ": its end was lost here",
                      peer->id, theirs->received, group->next_index - 1);
  log_set_state(group, group->own, LOG_READ_ONLY, why);
  group->incarnation_wanted = TRUE;
  group->ports.work(group->ports.ctx);
}

void dispatcher_learn(Group *group, Peer *peer, const Progress *progress)
{
  group_observe(group, progress->promised_hlc);
  members_learn(group, peer, progress);
  if (peer->forgotten)
    return;
  progress_merge(peer->progress, progress);
  horizon_learn(peer, progress);
  check_compare(group, peer);
  for (guint i = 0; i < progress->logs->len; i++)
    group_put_log(group, g_array_index(progress->logs, LogProgress, i).log);
  check_own_log(group, peer);
  leader_check_acks(group);
}

/*
 * A peer that introduces itself again may be another process than the one that our channel leads
 * to, and may have lost a part of its disk in between: what that one had said before, or had
 * answered and is still to be read, is true no more (P5). Batches whose answers are not taken are
 * sent again, on a channel that lives.
 */
void dispatcher_forget(Peer *peer)
{
  forget_in_flight(peer);
  peer->answers_stale = peer->state == PEER_HANDSHAKING ? 1 : peer->heartbeats_out;
  g_clear_pointer(&peer->progress, progress_free);
  peer->progress = progress_new();
  proof_forget(peer);
}

static gboolean fill_from_tail(Group *group, Sender *sender, SyncBatch *batch)
{
  const Log *log = sender->log;
  return log->tail != NULL &&
         tail_fill(log->tail, sync_window_next(sender->window),
                   group->options.max_requests_per_batch, group->options.max_size_per_batch, batch);
}

/*
 * Whether a small batch waits for the answer to the one before, as a small segment does in Nagle's
 * algorithm (RFC 896). Under load, when answers take their time, the entries of several commits go
 * together and cost both sides less; a lone one goes at once, and so does what somebody waits for.
 */
static gboolean should_gather(const Group *group, const Sender *sender, const SyncBatch *batch)
{
  return batch->bytes < GATHER_BYTES &&
         batch->last_index - batch->first_index + 1 < group->options.max_requests_per_batch &&
         sync_window_in_flight(sender->window) > 0 && batch->first_index > group->sync_now_index;
}

static void send_batch(Group *group, Peer *peer, Sender *sender, SyncBatch *batch)
{
  g_assert(batch->first_index == sync_window_next(sender->window)); /* P2 */
  g_assert(batch->last_index <= sender->log->durable); /* nothing is sent before it is durable */
  InFlight in_flight = {group->next_cookie++, sender->log->id, batch->first_index};
  g_array_append_val(peer->in_flight, in_flight);
  batch->sync_now = sender->log->own && batch->first_index <= group->sync_now_index;
  if (batch->first_index == sender->begin_index + 1)
    batch->chain_before = sender->begin_digest;
  sync_window_push(sender->window, batch->last_index);
  peer->batches_sent++;
  group->ports.send_sync(group->ports.ctx, peer->id, in_flight.cookie, batch);
}

/*
 * Before anything is sent the logs are compared at the end of what the peer has: nothing is put on
 * top of other entries (P4). FALSE: not yet, or never.
 */
static gboolean is_no_fork(Group *group, Peer *peer, Sender *sender)
{
  if (sender->digest != DIGEST_UNCHECKED)
    return sender->digest == DIGEST_CHECKED;
  const LogProgress *theirs = progress_find(peer->progress, sender->log->id);
  if (theirs == NULL || theirs->digest_index == 0) {
    sender->digest = DIGEST_CHECKED;
    peer->own_is_ours = peer->own_is_ours || sender->log->own;
    return TRUE;
  }
  if (theirs->digest_index > sender->log->durable)
    return FALSE; /* and there is nothing to send */
  sender->digest = DIGEST_CHECKING;
  sender->digest_index = theirs->digest_index;
  sender->digest_value = theirs->digest;
  group->ports.read_digest(group->ports.ctx, peer->id, sender->log->id, theirs->digest_index);
  return FALSE;
}

/* Sends from behind `acked` on, as nothing is under way: what the peer has there is to be seen. */
static void begin_behind(Sender *sender, guint64 acked)
{
  sync_window_reset(sender->window, acked);
  sender->begin = BEGIN_UNSURE;
}

/*
 * A mirror that has no digest up to where it stands may begin with what is sent next, in the middle
 * of the log: it is told the one before, or no fork in it would ever be found (P4). FALSE: not yet.
 */
static gboolean is_begin_sure(Group *group, Peer *peer, Sender *sender)
{
  if (sender->begin != BEGIN_UNSURE)
    return sender->begin == BEGIN_SURE;
  const LogProgress *theirs = progress_find(peer->progress, sender->log->id);
  sender->begin_index = sync_window_next(sender->window) - 1;
  sender->begin_digest = 0;
  if (sender->begin_index >= sender->log->durable)
    return TRUE; /* nothing is sent yet */
  if (theirs == NULL || theirs->digest_index >= sender->begin_index) {
    sender->begin = BEGIN_SURE;
    return TRUE;
  }
  sender->begin = BEGIN_READING;
  group->ports.read_digest(group->ports.ctx, peer->id, sender->log->id, sender->begin_index);
  return FALSE;
}

static void pump_sender(Group *group, Peer *peer, Sender *sender, gint64 now_us)
{
  Log *log = sender->log;
  if (sender->paused_until_us > now_us)
    return;
  sender->paused_until_us = 0;
  if (!is_no_fork(group, peer, sender))
    return;
  /* What the peer told meanwhile counts: it may be deleted here already. */
  const LogProgress *theirs = progress_find(peer->progress, log->id);
  if (theirs != NULL && !sender->reading && sync_window_in_flight(sender->window) == 0 &&
      theirs->durable > sync_window_acked(sender->window))
    begin_behind(sender, theirs->durable);
  if (!is_for(group, peer, log->id) || !is_begin_sure(group, peer, sender))
    return;
  while (!sender->reading && sync_window_has_room(sender->window)) {
    guint64 next = sync_window_next(sender->window);
    if (next > log->durable)
      return;
    if (next < log->first_available) {
      g_autofree char *why =
          g_strdup_printf("needs entry %" G_GUINT64_FORMAT " of log %u-%" G_GUINT64_FORMAT
                          ", the first kept here is %" G_GUINT64_FORMAT,
                          next, log->id.origin, log->id.incarnation, log->first_available);
      set_message(peer, why);
      return;
    }
    g_autoptr(SyncBatch) batch = sync_batch_new(group->options.group, log->id);
    if (fill_from_tail(group, sender, batch)) {
      if (should_gather(group, sender, batch))
        return;
      peer->entries_from_tail += batch->last_index - batch->first_index + 1;
      send_batch(group, peer, sender, g_steal_pointer(&batch));
      continue;
    }
    sender->reading = TRUE;
    group->ports.read_log(group->ports.ctx, peer->id, log->id, next,
                          group->options.max_requests_per_batch, group->options.max_size_per_batch);
  }
}

static void pump(Group *group, Peer *peer, gint64 now_us)
{
  if (peer->state != PEER_READY || group->stopped || peer->paused)
    return;
  drop_senders(group, peer);
  make_senders(group, peer);
  for (guint i = 0; i < peer->senders->len; i++)
    pump_sender(group, peer, peer->senders->pdata[i], now_us);
}

void dispatcher_pump_all(Group *group, gint64 now_us)
{
  for (guint i = 0; i < group->peers->len; i++)
    pump(group, group->peers->pdata[i], now_us);
}

gboolean group_pause(Group *group, guint32 id, gboolean paused, gint64 now_us, GError **error)
{
  Peer *peer = group_find_peer(group, id);
  if (peer == NULL)
    return fail(error, SYNCLOG_INVALID, "node %u is no other member", id);
  if (peer->paused == paused)
    return TRUE;
  peer->paused = paused;
  group_note(group, G_LOG_LEVEL_MESSAGE, "peer %u: %s", id,
             paused ? "paused: no logs are sent to it" : "logs are sent to it again");
  pump(group, peer, now_us);
  return TRUE;
}

void group_on_read(Group *group, guint32 id, LogId log, guint64 from, EntryRun *run,
                   const char *error, gint64 now_us)
{
  if (id == group->self) {
    if (unreadable_on_read(group, log, from, error == NULL)) {
      g_clear_pointer(&run, entry_run_unref);
      return;
    }
    feeder_on_read(group, log, run, error);
    return;
  }
  g_autoptr(EntryRun) read = run;
  Peer *peer = group_find_peer(group, id);
  Sender *sender = peer != NULL && peer->state == PEER_READY ? find_sender(peer, log) : NULL;
  if (sender == NULL || !sender->reading)
    return; /* the channel was lost meanwhile */
  sender->reading = FALSE;
  if (error != NULL) {
    set_message(peer, error);
    group_note(group, G_LOG_LEVEL_CRITICAL, "peer %u: reading the WAL for it: %s", id, error);
    pause_sender(group, sender, now_us);
    return;
  }
  /* The WAL may be ahead: what was synced just now is not published yet, and not to be sent. */
  guint64 durable = sender->log->durable;
  guint count = read == NULL || entry_run_first_index(read) > durable
                    ? 0
                    : (guint)MIN(entry_run_count(read), durable - entry_run_first_index(read) + 1);
  if (count == 0) {
    /* Or it is behind: acknowledged, but not yet synced (wal_sync). It can be read in a moment. */
    sender->paused_until_us = now_us + READ_AGAIN_US;
    group->ports.work(group->ports.ctx);
    return;
  }
  if (from == sync_window_next(sender->window) && sync_window_has_room(sender->window)) {
    g_autoptr(SyncBatch) batch = sync_batch_new(group->options.group, log);
    batch->from_wal = TRUE;
    sync_batch_add(batch, read, 0, count);
    peer->entries_from_wal += count;
    send_batch(group, peer, sender, g_steal_pointer(&batch));
  }
  pump(group, peer, now_us);
}

static void on_fork(Group *group, Peer *peer, Sender *sender)
{
  sender->digest = DIGEST_FORKED;
  g_autofree char *why =
      g_strdup_printf("a fork: peer %u has other entries up to %" G_GUINT64_FORMAT
                      " of this log than this node; neither takes the other's",
                      peer->id, sender->digest_index);
  set_message(peer, why);
  log_set_state(group, sender->log, LOG_FORKED, why);
  if (!sender->log->own)
    return;
  group->incarnation_wanted = TRUE;
  group->ports.work(group->ports.ctx);
}

static void on_compared(Group *group, Peer *peer, Sender *sender, DigestVerdict verdict,
                        guint64 digest)
{
  if (verdict == DIGEST_KNOWN && digest != sender->digest_value) {
    on_fork(group, peer, sender);
    return;
  }
  sender->digest = verdict == DIGEST_LATER ? DIGEST_UNCHECKED : DIGEST_CHECKED;
  if (verdict == DIGEST_LATER || !sender->log->own)
    return;
  peer->own_is_ours = TRUE;
  leader_check_acks(group);
}

void group_on_digest(Group *group, guint32 id, LogId log, guint64 index, DigestVerdict verdict,
                     guint64 digest, gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  if (peer != NULL)
    proof_on_digest(peer, log, index, verdict, digest);
  Sender *sender = peer != NULL && peer->state == PEER_READY ? find_sender(peer, log) : NULL;
  if (sender == NULL)
    return;
  /* Another one was read for a channel that was lost meanwhile. */
  if (sender->digest == DIGEST_CHECKING && sender->digest_index == index) {
    on_compared(group, peer, sender, verdict, digest);
  } else if (sender->begin == BEGIN_READING && sender->begin_index == index) {
    sender->begin = verdict == DIGEST_LATER ? BEGIN_UNSURE : BEGIN_SURE;
    sender->begin_digest = verdict == DIGEST_KNOWN ? digest : 0;
  } else {
    return;
  }
  if (verdict == DIGEST_LATER)
    pause_sender(group, sender, now_us);
  else
    pump_sender(group, peer, sender, now_us);
}

/* Takes the batch of `cookie` off the list; FALSE when it was forgotten. */
static gboolean take_in_flight(Peer *peer, guint64 cookie, InFlight *out)
{
  for (guint i = 0; i < peer->in_flight->len; i++) {
    const InFlight *in_flight = &g_array_index(peer->in_flight, InFlight, i);
    if (in_flight->cookie != cookie)
      continue;
    *out = *in_flight;
    g_array_remove_index(peer->in_flight, i);
    return TRUE;
  }
  return FALSE;
}

/* The batch was not accepted: everything behind what is acknowledged is sent again after a while.
 */
static void retry_later(Group *group, Peer *peer, Sender *sender, const SyncReply *reply,
                        gint64 now_us)
{
  peer->batches_retried += sync_window_in_flight(sender->window);
  forget_in_flight_of(peer, sender->log->id);
  sender->trouble_until = MAX(sender->trouble_until, sync_window_next(sender->window) - 1);
  guint64 acked = sync_window_acked(sender->window);
  if (reply->status == SYNCLOG_OUT_OF_WINDOW && reply->expected_index > 0)
    acked = reply->expected_index - 1;
  begin_behind(sender, acked);
  sender->reading = FALSE;
  pause_sender(group, sender, now_us);
  g_autofree char *why =
      g_strdup_printf("log %u-%" G_GUINT64_FORMAT ": %s: %s", sender->log->id.origin,
                      sender->log->id.incarnation, synclog_status_text(reply->status),
                      reply->message != NULL ? reply->message : "no reason given");
  if (g_strcmp0(why, peer->message) != 0)
    group_note(group, G_LOG_LEVEL_WARNING, "peer %u: %s", peer->id, why);
  set_message(peer, why);
}

void group_on_sync_reply(Group *group, guint32 id, guint64 cookie, const SyncReply *reply,
                         gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  InFlight in_flight;
  if (peer == NULL || peer->state != PEER_READY || !take_in_flight(peer, cookie, &in_flight))
    return;
  peer->answered_at_us = now_us;
  Sender *sender = find_sender(peer, in_flight.log);
  g_assert(sender != NULL);
  if (reply->status != SYNCLOG_OK) {
    retry_later(group, peer, sender, reply, now_us);
    return;
  }
  sync_window_ack(sender->window, in_flight.first_index);
  if (sender->backoff.failures > 0 && sync_window_acked(sender->window) >= sender->trouble_until) {
    set_message(peer, NULL);
    backoff_reset(&sender->backoff);
  }
  LogProgress *theirs = progress_put(peer->progress, in_flight.log);
  theirs->received = MAX(theirs->received, reply->received);
  theirs->durable = MAX(theirs->durable, reply->durable);
  theirs->applied = MAX(theirs->applied, reply->applied);
  if (sender->log->own)
    leader_check_acks(group);
  pump(group, peer, now_us);
}

void group_on_heartbeat_reply(Group *group, guint32 id, const HeartbeatReply *reply, gint64 now_us)
{
  Peer *peer = group_find_peer(group, id);
  if (peer == NULL || peer->state != PEER_READY)
    return;
  peer->answered_at_us = now_us;
  if (reply->status != SYNCLOG_OK) {
    g_autofree char *why =
        g_strdup_printf("heartbeat refused: %s", synclog_status_text(reply->status));
    evict(group, peer, reply->status, why);
    close_channel(group, peer, why);
    return;
  }
  clocks_measure(group, peer, reply->progress, peer->heartbeat_sent_us, now_us);
  peer->heartbeat_sent_us = 0;
  if (peer->heartbeats_out > 0)
    peer->heartbeats_out--;
  if (peer->answers_stale > 0) {
    peer->answers_stale--;
    return;
  }
  group_observe(group, reply->hlc);
  dispatcher_learn(group, peer, reply->progress);
}

static void send_heartbeat(Group *group, Peer *peer, gint64 now_us)
{
  peer->heartbeat_at_us = now_us + group->options.heartbeat_interval_ms * 1000;
  g_autoptr(Progress) progress = handover_news(group, peer->id);
  Heartbeat heartbeat = {group->options.group, group->self, progress, group->own->last_hlc,
                         group->rule_hash};
  peer->heartbeat_sent_us = peer->heartbeat_sent_us == 0 ? now_us : G_MININT64;
  peer->heartbeats_out++;
  group->ports.send_heartbeat(group->ports.ctx, peer->id, &heartbeat);
}

void dispatcher_tick(Group *group, gint64 now_us)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (peer->state == PEER_BACKOFF && peer->retry_at_us <= now_us && group->started &&
        !peer->forgotten && !peer->unreachable)
      start_connecting(group, peer, now_us);
    if (peer->state != PEER_READY)
      continue;
    if (peer->heartbeat_at_us <= now_us)
      send_heartbeat(group, peer, now_us);
    pump(group, peer, now_us); /* senders whose pause is over */
  }
}

gint64 dispatcher_deadline_us(const Group *group)
{
  gint64 deadline_us = G_MAXINT64;
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    if (peer->state == PEER_BACKOFF && group->started && !peer->forgotten && !peer->unreachable)
      deadline_us = MIN(deadline_us, peer->retry_at_us);
    if (peer->state != PEER_READY)
      continue;
    deadline_us = MIN(deadline_us, peer->heartbeat_at_us);
    for (guint k = 0; k < peer->senders->len; k++) {
      const Sender *sender = peer->senders->pdata[k];
      if (sender->paused_until_us != 0)
        deadline_us = MIN(deadline_us, sender->paused_until_us);
    }
  }
  return deadline_us;
}

/* All peers are to learn the new incarnation: the channels are opened again. */
void dispatcher_reconnect(Group *group, const char *why)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    if (peer->state != PEER_BACKOFF)
      close_channel(group, peer, why);
  }
}

void dispatcher_drop(Group *group, Peer *peer)
{
  const char *why = membership_state(group->options.membership, peer->id) == MEMBER_LOST
                        ? "declared lost for good"
                        : "removed from the cluster";
  if (peer->state != PEER_BACKOFF)
    close_channel(group, peer, why);
  else
    set_message(peer, why);
}

void dispatcher_stop(Group *group)
{
  for (guint i = 0; i < group->peers->len; i++) {
    Peer *peer = group->peers->pdata[i];
    forget_in_flight(peer);
    if (peer->state != PEER_BACKOFF)
      group->ports.disconnect(group->ports.ctx, peer->id);
    peer->state = PEER_BACKOFF;
  }
}

void dispatcher_init_peer(Peer *peer)
{
  proof_init_peer(peer);
  peer->senders = g_ptr_array_new_with_free_func(sender_free);
  peer->in_flight = g_array_new(FALSE, FALSE, sizeof(InFlight));
  peer->progress = progress_new();
}
