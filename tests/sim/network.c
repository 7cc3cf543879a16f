/*
 * Channels between nodes. As in the daemon, requests on a channel may overtake each other on their
 * way to the other node's decoders, a request that gets lost makes the sender close the channel
 * after request_timeout_us, and nothing but a handshake is taken before one was accepted.
 */
#include "sim/check.h"

enum { DECODE_PARTITION = 1000 };

/* A syncLog that a node has to answer. */
typedef struct SimCall {
  guint from, to;
  guint64 channel, from_life;
  guint64 cookie;
  LogId log;
} SimCall;

static gint64 delay_us(Sim *sim, guint from, guint to)
{
  gint32 min = (gint32)sim->config.delay_min_us, max = (gint32)sim->config.delay_max_us;
  return g_rand_int_range(sim->rand, min, max + 1) + sim->extra_delay_us[from][to];
}

static gboolean is_reachable(Sim *sim, guint from, guint to)
{
  return !sim->cut[from][to] && !sim->cut[to][from] && node_is_up(&sim->nodes[to]);
}

static void on_closed(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  sim_trace(sim, "n%u channel to n%u closed", node->id, event->peer);
  group_on_closed(node->group, event->peer, "the channel was reset", sim->now_us);
}

/* The end of a channel, told to its owner a moment later. */
void network_reset(SimNode *node, guint peer)
{
  if (node->channel[peer] == 0)
    return;
  node->channel[peer] = 0;
  sim_add_event(node->sim, delay_us(node->sim, node->id, node->id),
                (Event){.run = on_closed, .node = node->id, .life = node->life, .peer = peer});
}

static void on_connect(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  if (node->channel[event->peer] != event->channel)
    return; /* closed meanwhile */
  if (is_reachable(sim, node->id, event->peer))
    group_on_connected(node->group, event->peer, sim->now_us);
  else
    network_reset(node, event->peer);
}

void port_connect(gpointer ctx, guint32 peer)
{
  SimNode *node = ctx;
  Sim *sim = node->sim;
  g_assert(node->channel[peer] == 0);
  node->channel[peer] = ++sim->next_channel;
  sim_add_event(sim, 2 * delay_us(sim, node->id, peer),
                (Event){.run = on_connect,
                        .node = node->id,
                        .life = node->life,
                        .peer = peer,
                        .channel = node->channel[peer]});
}

void port_disconnect(gpointer ctx, guint32 peer)
{
  network_reset(ctx, peer);
}

static void on_timeout(Sim *sim, Event *event)
{
  SimNode *node = &sim->nodes[event->node];
  if (node->channel[event->peer] == event->channel)
    network_reset(node, event->peer);
}

/* A request is on its way, or lost: then it is missed after a while. Transfer full of the message.
 */
static void send_request(SimNode *node, guint peer, void (*deliver)(Sim *, Event *), guint64 cookie,
                         gpointer message, GDestroyNotify free_message)
{
  Sim *sim = node->sim;
  Event event = {.run = deliver,
                 .node = node->id,
                 .peer = peer,
                 .channel = node->channel[peer],
                 .cookie = cookie,
                 .message = message,
                 .free_message = free_message};
  if (event.channel == 0) { /* closed, and the group will hear of it in a moment */
    free_message(message);
    return;
  }
  gboolean lost = sim->lossy && sim_percent(sim, sim->config.lose_percent);
  if (!lost && !sim->cut[node->id][peer]) {
    sim_add_event(sim, delay_us(sim, node->id, peer), event);
    return;
  }
  event.run = on_timeout;
  event.life = node->life;
  sim_add_event(sim, sim->config.request_timeout_us, event);
}

/* The answer finds the channel that the question came from, or nobody. */
static void send_reply(Sim *sim, const Event *request, void (*deliver)(Sim *, Event *),
                       gpointer message, GDestroyNotify free_message)
{
  Event event = {.run = deliver,
                 .node = request->node,
                 .life = sim->nodes[request->node].life,
                 .peer = request->peer,
                 .channel = request->channel,
                 .cookie = request->cookie,
                 .message = message,
                 .free_message = free_message};
  gboolean lost = sim->lossy && sim_percent(sim, sim->config.lose_percent);
  if (lost || sim->cut[request->peer][request->node]) {
    event.run = on_timeout;
    sim_add_event(sim, sim->config.request_timeout_us, event);
    return;
  }
  sim_add_event(sim, delay_us(sim, request->peer, request->node), event);
}

static gboolean is_current(Sim *sim, const Event *event)
{
  return sim->nodes[event->node].channel[event->peer] == event->channel;
}

/* Whatever a node tells others to be durable it must keep. */
static void claim_all(SimNode *node, const Progress *progress)
{
  if (progress == NULL)
    return;
  check_clocks(node, progress);
  for (guint i = 0; i < progress->logs->len; i++) {
    const LogProgress *one = &g_array_index(progress->logs, LogProgress, i);
    node_claim(node, one->log, one->durable);
  }
}

/* --- handshakes and heartbeats ------------------------------------------------------------------
 */

static void handshake_free(gpointer message)
{
  handshake_clear(message);
  g_free(message);
}

static void handshake_reply_free(gpointer message)
{
  handshake_reply_clear(message);
  g_free(message);
}

static void on_handshake_reply(Sim *sim, Event *event)
{
  const HandshakeReply *reply = event->message;
  if (!is_current(sim, event))
    return;
  sim_trace(sim, "n%u <- n%u handshake %s", event->node, event->peer,
            synclog_status_text(reply->status));
  group_on_handshake_reply(sim->nodes[event->node].group, event->peer, reply, sim->now_us);
}

static void on_handshake(Sim *sim, Event *event)
{
  SimNode *receiver = &sim->nodes[event->peer];
  if (!node_is_up(receiver) || !is_current(sim, event))
    return;
  HandshakeReply *reply = g_new0(HandshakeReply, 1);
  group_on_handshake(receiver->group, event->message, reply, sim->now_us);
  receiver->accepted[event->node] = reply->status == SYNCLOG_OK ? event->channel : 0;
  claim_all(receiver, reply->progress);
  send_reply(sim, event, on_handshake_reply, reply, handshake_reply_free);
}

void port_send_handshake(gpointer ctx, guint32 peer, const Handshake *handshake)
{
  SimNode *node = ctx;
  claim_all(node, handshake->progress);
  sim_trace(node->sim, "n%u -> n%u handshake", node->id, peer);
  Handshake *copy = g_new(Handshake, 1);
  *copy = *handshake;
  copy->cluster_id = g_strdup(handshake->cluster_id);
  copy->time_precision = g_strdup(handshake->time_precision);
  copy->progress = progress_copy(handshake->progress);
  send_request(node, peer, on_handshake, 0, copy, handshake_free);
}

static void heartbeat_free(gpointer message)
{
  heartbeat_clear(message);
  g_free(message);
}

static void heartbeat_reply_free(gpointer message)
{
  heartbeat_reply_clear(message);
  g_free(message);
}

static void on_heartbeat_reply(Sim *sim, Event *event)
{
  if (is_current(sim, event))
    group_on_heartbeat_reply(sim->nodes[event->node].group, event->peer, event->message,
                             sim->now_us);
}

static void on_heartbeat(Sim *sim, Event *event)
{
  SimNode *receiver = &sim->nodes[event->peer];
  if (!node_is_up(receiver))
    return;
  HeartbeatReply *reply = g_new0(HeartbeatReply, 1);
  if (receiver->accepted[event->node] == event->channel) {
    group_on_heartbeat(receiver->group, event->message, reply, sim->now_us);
    claim_all(receiver, reply->progress);
  } else {
    reply->status = SYNCLOG_NOT_MEMBER;
  }
  send_reply(sim, event, on_heartbeat_reply, reply, heartbeat_reply_free);
}

void port_send_heartbeat(gpointer ctx, guint32 peer, const Heartbeat *heartbeat)
{
  SimNode *node = ctx;
  claim_all(node, heartbeat->progress);
  Heartbeat *copy = g_new(Heartbeat, 1);
  *copy = *heartbeat;
  copy->progress = progress_copy(heartbeat->progress);
  send_request(node, peer, on_heartbeat, 0, copy, heartbeat_free);
}

/* --- syncLog ------------------------------------------------------------------------------------
 */

static void sync_reply_free(gpointer message)
{
  sync_reply_clear(message);
  g_free(message);
}

static void on_sync_reply(Sim *sim, Event *event)
{
  const SyncReply *reply = event->message;
  if (!is_current(sim, event))
    return;
  sim_trace(sim, "n%u <- n%u %s, received %lu durable %lu", event->node, event->peer,
            synclog_status_text(reply->status), (gulong)reply->received, (gulong)reply->durable);
  group_on_sync_reply(sim->nodes[event->node].group, event->peer, event->cookie, reply,
                      sim->now_us);
}

/* As the daemon's decoders do. */
static EntryRun *decode(const SyncBatch *batch)
{
  GByteArray *bytes = g_byte_array_new();
  for (guint i = 0; i < batch->slices->len; i++) {
    const RunSlice *slice = batch->slices->pdata[i];
    gsize size;
    const guint8 *all = entry_run_bytes(slice->run, &size);
    gsize begin = entry_run_offset(slice->run, slice->first);
    g_byte_array_append(bytes, all + begin,
                        (guint)(entry_run_offset(slice->run, slice->first + slice->count) - begin));
  }
  g_autoptr(GError) error = NULL;
  EntryRun *run = entry_run_parse(batch->log, bytes->data, bytes->len, bytes,
                                  (GDestroyNotify)g_byte_array_unref, &error);
  g_assert_no_error(error);
  guint count = entry_run_count(run);
  gpointer *decoded = g_new0(gpointer, count);
  for (guint i = 0; i < count; i++) {
    Record record = entry_run_record(run, i);
    decoded[i] = store_decode(record.data, record.data_size, DECODE_PARTITION, &error);
    g_assert_no_error(error);
  }
  entry_run_set_decoded(run, decoded, (GDestroyNotify)store_decoded_free);
  entry_run_set_chain_before(run, batch->chain_before);
  return run;
}

/* A batch reaches the decoders of the other node. Its channel may be gone: it is decoded all the
 * same, if the handshake was accepted on it. */
static void on_sync(Sim *sim, Event *event)
{
  SimNode *receiver = &sim->nodes[event->peer];
  const SyncBatch *batch = event->message;
  if (!node_is_up(receiver))
    return;
  if (receiver->accepted[event->node] != event->channel) {
    SyncReply *reply = g_new0(SyncReply, 1);
    reply->status = SYNCLOG_NOT_MEMBER;
    send_reply(sim, event, on_sync_reply, reply, sync_reply_free);
    return;
  }
  SimCall *call = g_new(SimCall, 1);
  *call = (SimCall){event->node,   event->peer, event->channel, sim->nodes[event->node].life,
                    event->cookie, batch->log};
  g_ptr_array_add(receiver->calls, call);
  group_on_sync(receiver->group, call, event->node, batch->log, batch->first_index, decode(batch),
                NULL, batch->sync_now, sim->now_us);
}

/* A second copy of a batch, with an answer that nobody waits for. */
static SyncBatch *copy_batch(const SyncBatch *batch)
{
  SyncBatch *copy = sync_batch_new(batch->group, batch->log);
  for (guint i = 0; i < batch->slices->len; i++) {
    const RunSlice *slice = batch->slices->pdata[i];
    sync_batch_add(copy, slice->run, slice->first, slice->count);
  }
  copy->sync_now = batch->sync_now;
  copy->chain_before = batch->chain_before;
  return copy;
}

void port_send_sync(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch)
{
  SimNode *node = ctx;
  Sim *sim = node->sim;
  sim_trace(sim, "n%u -> n%u %s [%lu..%lu]%s%s", node->id, peer, sim_log_name(batch->log),
            (gulong)batch->first_index, (gulong)batch->last_index,
            batch->from_wal ? " from the WAL" : "", batch->sync_now ? ", to be synced" : "");
  check_sent(node, peer, batch);
  if (sim->lossy && sim_percent(sim, sim->config.duplicate_percent)) {
    sim_trace(sim, "   … which is doubled on its way");
    send_request(node, peer, on_sync, 0, copy_batch(batch), (GDestroyNotify)sync_batch_free);
  }
  send_request(node, peer, on_sync, cookie, batch, (GDestroyNotify)sync_batch_free);
}

void port_sync_done(gpointer ctx, gpointer data, const SyncReply *reply)
{
  SimNode *node = ctx;
  Sim *sim = node->sim;
  SimCall *call = data;
  if (!g_ptr_array_remove_fast(node->calls, call))
    sim_fail(sim, "P2", "node %u answered a syncLog twice", node->id);
  Event request = {
      .node = call->from, .peer = call->to, .channel = call->channel, .cookie = call->cookie};
  if (!node->dying && sim->nodes[call->from].life == call->from_life) {
    SyncReply *copy = g_new(SyncReply, 1);
    *copy = *reply;
    copy->message = g_strdup(reply->message);
    check_replied(node, reply);
    node_claim(node, call->log, reply->durable);
    send_reply(sim, &request, on_sync_reply, copy, sync_reply_free);
  }
  g_free(call);
}

/* --- faults -------------------------------------------------------------------------------------
 */

void network_die(SimNode *node)
{
  Sim *sim = node->sim;
  if (node->calls->len != 0)
    sim_fail(sim, "P2", "node %u left %u syncLogs without an answer", node->id, node->calls->len);
  for (guint i = 1; i <= sim->config.nodes; i++) {
    node->channel[i] = node->accepted[i] = 0;
    if (node_is_up(&sim->nodes[i]))
      network_reset(&sim->nodes[i], node->id);
  }
}

void network_heal(Sim *sim)
{
  for (guint a = 1; a <= SIM_NODES_MAX; a++)
    for (guint b = 1; b <= SIM_NODES_MAX; b++) {
      sim->cut[a][b] = FALSE;
      sim->extra_delay_us[a][b] = 0;
    }
  sim->lossy = FALSE;
  const guint *pair = sim->config.cut_for_good;
  sim->cut[pair[0]][pair[1]] = sim->cut[pair[1]][pair[0]] = pair[0] != 0;
}
