/* The network between fake nodes. */
#include "support/fake_private.h"

/* A syncLog that a node has to answer. */
typedef struct FakeCall {
  guint from, to;
  guint64 channel, from_life;
  guint64 cookie;
} FakeCall;

static gboolean is_reachable(FakeCluster *cluster, guint from, guint to)
{
  return !cluster->cut[from][to] && !cluster->cut[to][from] && cluster->nodes[to].group != NULL;
}

static void on_closed(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  group_on_closed(node->group, event->peer, "the channel was reset", cluster->now_us);
}

/* The end of a channel, told to its owner a moment later. */
void fake_close_channel(FakeNode *node, guint peer)
{
  if (node->channel[peer] == 0)
    return;
  node->channel[peer] = 0;
  fake_add_event(node->cluster, fake_delay_us(node->cluster),
                 (Event){.run = on_closed, .node = node->id, .life = node->life, .peer = peer});
}

static void on_connect(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  if (node->channel[event->peer] != event->channel)
    return; /* closed meanwhile */
  if (is_reachable(cluster, node->id, event->peer))
    group_on_connected(node->group, event->peer, cluster->now_us);
  else
    fake_close_channel(node, event->peer);
}

void fake_port_connect(gpointer ctx, guint32 peer)
{
  FakeNode *node = ctx;
  FakeCluster *cluster = node->cluster;
  fast_assert_msg(node->channel[peer] == 0, "node %u has a channel to %u already", node->id, peer);
  node->channel[peer] = ++cluster->next_channel;
  fake_add_event(cluster, fake_delay_us(cluster),
                 (Event){.run = on_connect,
                         .node = node->id,
                         .life = node->life,
                         .peer = peer,
                         .channel = node->channel[peer]});
}

void fake_port_disconnect(gpointer ctx, guint32 peer)
{
  fake_close_channel(ctx, peer);
}

static void on_timeout(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  if (node->channel[event->peer] == event->channel)
    fake_close_channel(node, event->peer);
}

/* A request is on its way, or lost: then it is missed after a while. Transfer full of the message.
 */
static void send_request(FakeNode *node, guint peer, void (*deliver)(FakeCluster *, Event *),
                         guint64 cookie, gpointer message, GDestroyNotify free_message)
{
  FakeCluster *cluster = node->cluster;
  Event event = {.run = deliver,
                 .node = node->id,
                 .peer = peer,
                 .channel = node->channel[peer],
                 .cookie = cookie,
                 .message = message,
                 .free_message = free_message};
  if (event.channel == 0) { /* closed, and the group will hear of it in a moment */
    if (free_message != NULL)
      free_message(message);
    return;
  }
  if (!fake_percent(cluster, cluster->lose_percent) && !cluster->cut[node->id][peer]) {
    fake_add_event(cluster, fake_delay_us(cluster), event);
    return;
  }
  event.run = on_timeout;
  event.life = node->life;
  fake_add_event(cluster, cluster->request_timeout_us, event);
}

/* The answer finds the channel that the question came from, or nobody. */
static void send_reply(FakeCluster *cluster, const Event *request,
                       void (*deliver)(FakeCluster *, Event *), gpointer message,
                       GDestroyNotify free_message)
{
  Event event = {.run = deliver,
                 .node = request->node,
                 .life = cluster->nodes[request->node].life,
                 .peer = request->peer,
                 .channel = request->channel,
                 .cookie = request->cookie,
                 .message = message,
                 .free_message = free_message};
  if (cluster->cut[request->peer][request->node]) {
    event.run = on_timeout;
    fake_add_event(cluster, cluster->request_timeout_us, event);
    return;
  }
  fake_add_event(cluster, fake_delay_us(cluster), event);
}

static gboolean is_current(FakeCluster *cluster, const Event *event)
{
  return cluster->nodes[event->node].channel[event->peer] == event->channel;
}

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

static void on_handshake_reply(FakeCluster *cluster, Event *event)
{
  if (is_current(cluster, event))
    group_on_handshake_reply(cluster->nodes[event->node].group, event->peer, event->message,
                             cluster->now_us);
}

static void on_handshake(FakeCluster *cluster, Event *event)
{
  FakeNode *receiver = fake_node(cluster, event->peer);
  if (receiver->group == NULL || !is_current(cluster, event))
    return;
  HandshakeReply *reply = g_new0(HandshakeReply, 1);
  group_on_handshake(receiver->group, event->message, reply, cluster->now_us);
  send_reply(cluster, event, on_handshake_reply, reply, handshake_reply_free);
}

void fake_port_send_handshake(gpointer ctx, guint32 peer, const Handshake *handshake)
{
  Handshake *copy = g_new(Handshake, 1);
  *copy = *handshake;
  copy->cluster_id = g_strdup(handshake->cluster_id);
  copy->time_precision = g_strdup(handshake->time_precision);
  copy->progress = progress_copy(handshake->progress);
  send_request(ctx, peer, on_handshake, 0, copy, handshake_free);
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

static void on_heartbeat_reply(FakeCluster *cluster, Event *event)
{
  if (is_current(cluster, event))
    group_on_heartbeat_reply(cluster->nodes[event->node].group, event->peer, event->message,
                             cluster->now_us);
}

static void on_heartbeat(FakeCluster *cluster, Event *event)
{
  FakeNode *receiver = fake_node(cluster, event->peer);
  if (receiver->group == NULL)
    return;
  HeartbeatReply *reply = g_new0(HeartbeatReply, 1);
  group_on_heartbeat(receiver->group, event->message, reply, cluster->now_us);
  send_reply(cluster, event, on_heartbeat_reply, reply, heartbeat_reply_free);
}

void fake_port_send_heartbeat(gpointer ctx, guint32 peer, const Heartbeat *heartbeat)
{
  FakeNode *node = ctx;
  /* A node that joins only tells how far it can be compared. */
  if (membership_state(node->membership, node->id) >= MEMBER_ACTIVE) {
    fast_assert(heartbeat->progress->horizon >= node->horizon);
    node->horizon = heartbeat->progress->horizon;
  }
  Heartbeat *copy = g_new(Heartbeat, 1);
  *copy = *heartbeat;
  copy->progress = progress_copy(heartbeat->progress);
  send_request(ctx, peer, on_heartbeat, 0, copy, heartbeat_free);
}

/* --- syncLog ------------------------------------------------------------------------------------
 */

static void sync_reply_free(gpointer message)
{
  sync_reply_clear(message);
  g_free(message);
}

static void on_sync_reply(FakeCluster *cluster, Event *event)
{
  if (is_current(cluster, event))
    group_on_sync_reply(cluster->nodes[event->node].group, event->peer, event->cookie,
                        event->message, cluster->now_us);
}

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
  fast_assert(run != NULL);
  fast_assert(entry_run_first_index(run) == batch->first_index);
  fast_assert(entry_run_last_index(run) == batch->last_index);
  fast_assert(bytes->len == batch->bytes);
  entry_run_set_chain_before(run, batch->chain_before);
  return run;
}

/* A batch reaches the decoders of the other node. Its channel may be gone: it is decoded all the
 * same. */
static void on_sync(FakeCluster *cluster, Event *event)
{
  FakeNode *receiver = fake_node(cluster, event->peer);
  const SyncBatch *batch = event->message;
  SyncReply *made = g_new0(SyncReply, 1);
  FakeVerdict verdict = FAKE_DELIVER;
  if (cluster->filter != NULL)
    verdict = cluster->filter(cluster->filter_ctx, event->node, event->peer, batch, made);
  if (verdict == FAKE_ANSWER) {
    send_reply(cluster, event, on_sync_reply, made, sync_reply_free);
    return;
  }
  sync_reply_free(made);
  if (verdict == FAKE_LOSE) {
    fake_add_event(cluster, cluster->request_timeout_us,
                   (Event){.run = on_timeout,
                           .node = event->node,
                           .life = cluster->nodes[event->node].life,
                           .peer = event->peer,
                           .channel = event->channel});
    return;
  }
  if (receiver->group == NULL)
    return;
  FakeCall *call = g_new(FakeCall, 1);
  *call = (FakeCall){event->node, event->peer, event->channel, cluster->nodes[event->node].life,
                     event->cookie};
  g_ptr_array_add(receiver->calls, call);
  group_on_sync(receiver->group, call, event->node, batch->log, batch->first_index, decode(batch),
                NULL, batch->sync_now, cluster->now_us);
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

void fake_port_send_sync(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch)
{
  FakeNode *node = ctx;
  FakeCluster *cluster = node->cluster;
  const FakeLog *log = find_log(node->logs, batch->log);
  fast_assert(log != NULL &&
              batch->last_index <= log->durable); /* nothing leaves before it is durable */
  fast_assert(batch->last_index - batch->first_index + 1 <=
              cluster->options.max_requests_per_batch);
  if (node->tells_no_digest)
    batch->chain_before = 0;
  if (fake_percent(cluster, cluster->duplicate_percent)) {
    node->duplicates_sent++;
    send_request(node, peer, on_sync, 0, copy_batch(batch), (GDestroyNotify)sync_batch_free);
  }
  send_request(node, peer, on_sync, cookie, batch, (GDestroyNotify)sync_batch_free);
}

void fake_port_sync_done(gpointer ctx, gpointer data, const SyncReply *reply)
{
  FakeNode *node = ctx;
  FakeCluster *cluster = node->cluster;
  FakeCall *call = data;
  fast_assert(g_ptr_array_remove_fast(node->calls, call)); /* answered once */
  if (node->dying) {
    g_free(call);
    return;
  }
  SyncReply *copy = g_new(SyncReply, 1);
  *copy = *reply;
  copy->message = g_strdup(reply->message);
  node->last_reply = reply->status;
  node->last_expected = reply->expected_index;
  if (reply->status == SYNCLOG_OUT_OF_WINDOW)
    node->out_of_window++;
  Event request = {
      .node = call->from, .peer = call->to, .channel = call->channel, .cookie = call->cookie};
  if (cluster->nodes[call->from].life == call->from_life)
    send_reply(cluster, &request, on_sync_reply, copy, sync_reply_free);
  else
    sync_reply_free(copy);
  g_free(call);
}

void fake_inject(FakeCluster *cluster, guint node, LogId log, guint64 first_index, EntryRun *run,
                 const char *undecodable, gboolean sync_now)
{
  FakeNode *receiver = fake_node(cluster, node);
  FakeCall *call = g_new(FakeCall, 1);
  *call = (FakeCall){.from = node, .to = node, .from_life = G_MAXUINT64};
  g_ptr_array_add(receiver->calls, call);
  group_on_sync(receiver->group, call, 0, log, first_index, run, undecodable, sync_now,
                cluster->now_us);
}

void fake_network_die(FakeNode *node)
{
  FakeCluster *cluster = node->cluster;
  fast_assert(node->calls->len == 0); /* all were answered */
  for (guint i = 1; i <= cluster->count; i++) {
    node->channel[i] = 0;
    if (cluster->nodes[i].group != NULL)
      fake_close_channel(&cluster->nodes[i], node->id);
  }
}

void fake_cut(FakeCluster *cluster, guint from, guint to, gboolean cut)
{
  cluster->cut[from][to] = cut;
}

void fake_reset_channel(FakeCluster *cluster, guint from, guint to)
{
  fake_close_channel(fake_node(cluster, from), to);
}

void fake_partition(FakeCluster *cluster, guint set_a, guint set_b)
{
  for (guint a = 1; a <= cluster->count; a++)
    for (guint b = 1; b <= cluster->count; b++)
      if ((set_a >> a & 1) != 0 && (set_b >> b & 1) != 0) {
        cluster->cut[a][b] = cluster->cut[b][a] = TRUE;
        fake_reset_channel(cluster, a, b);
        fake_reset_channel(cluster, b, a);
      }
}

void fake_heal(FakeCluster *cluster)
{
  memset(cluster->cut, 0, sizeof cluster->cut);
}
