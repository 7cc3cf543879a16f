#include "support/fake_cluster.h"

/* The parts are one unit: a test includes this file and nothing else. */
#include "support/fake_disk.c"
#include "support/fake_network.c"

enum { SAME_TIME_STEPS_MAX = 100000 };

/* --- time ---------------------------------------------------------------------------------------
 */

static void event_free(gpointer data)
{
  Event *event = data;
  if (event->free_message != NULL)
    event->free_message(event->message);
  g_free(event);
}

static gboolean is_before(const Event *a, const Event *b)
{
  return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

/* The list is sorted, the next event at the end. */
void fake_add_event(FakeCluster *cluster, gint64 delay_us, Event event)
{
  Event *added = g_new(Event, 1);
  *added = event;
  added->at_us = cluster->now_us + delay_us;
  added->seq = cluster->next_seq++;
  guint low = 0, high = cluster->events->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (is_before(added, cluster->events->pdata[middle]))
      low = middle + 1;
    else
      high = middle;
  }
  g_ptr_array_insert(cluster->events, (gint)low, added);
}

gint64 fake_delay_us(FakeCluster *cluster)
{
  return g_rand_int_range(cluster->rand, (gint32)cluster->delay_min_us,
                          (gint32)cluster->delay_max_us + 1);
}

gboolean fake_percent(FakeCluster *cluster, guint chance)
{
  return chance > 0 && (guint)g_rand_int_range(cluster->rand, 0, 100) < chance;
}

static void run_event(FakeCluster *cluster)
{
  Event *event = g_ptr_array_remove_index(cluster->events, cluster->events->len - 1);
  FakeNode *node = &cluster->nodes[event->node];
  if (event->life == 0 || (event->life == node->life && node->group != NULL))
    event->run(cluster, event);
  event_free(event);
}

/* The node whose log thread wakes first by itself; NULL when none does before *until_us. */
static FakeNode *next_to_wake(FakeCluster *cluster, gint64 *until_us)
{
  FakeNode *next = NULL;
  for (guint i = 1; i <= cluster->count; i++) {
    FakeNode *node = &cluster->nodes[i];
    if (node->group == NULL || node->log_busy)
      continue;
    gint64 deadline_us = group_deadline_us(node->group);
    if (deadline_us < *until_us) {
      *until_us = MAX(deadline_us, cluster->now_us);
      next = node;
    }
  }
  return next;
}

/* The next thing that happens, not after until_us; FALSE when there is none. */
static gboolean step(FakeCluster *cluster, gint64 until_us)
{
  gint64 at_us = until_us + 1;
  if (cluster->events->len > 0)
    at_us = MIN(at_us, ((Event *)cluster->events->pdata[cluster->events->len - 1])->at_us);
  gint64 wake_us = at_us;
  FakeNode *node = next_to_wake(cluster, &wake_us);
  if (node == NULL && at_us > until_us)
    return FALSE;
  gint64 now_us = node != NULL ? wake_us : at_us;
  cluster->same_time_steps = now_us == cluster->now_us ? cluster->same_time_steps + 1 : 0;
  fast_assert_msg(cluster->same_time_steps < SAME_TIME_STEPS_MAX, "time stands still");
  cluster->now_us = now_us;
  if (node != NULL)
    fake_turn_log_thread(node);
  else
    run_event(cluster);
  return TRUE;
}

void fake_run_for(FakeCluster *cluster, gint64 us)
{
  gint64 until_us = cluster->now_us + us;
  while (step(cluster, until_us))
    continue;
  cluster->now_us = until_us;
}

/* For the reader of a failed test. */
static void print_state(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++) {
    const FakeNode *node = &cluster->nodes[i];
    g_printerr("node %u, incarnation %lu, %s\n", i, (gulong)node->incarnation,
               node->group != NULL ? "up" : "down");
    if (node->group == NULL)
      continue;
    g_autoptr(NodeStatus) status = fake_status(cluster, i);
    for (guint k = 0; k < status->logs->len; k++) {
      const LogStatus *log = &g_array_index(status->logs, LogStatus, k);
      g_printerr("  log %u-%lu: first %lu received %lu durable %lu applied %lu, %s: %s\n",
                 log->progress.log.origin, (gulong)log->progress.log.incarnation,
                 (gulong)log->progress.first_available, (gulong)log->progress.received,
                 (gulong)log->progress.durable, (gulong)log->progress.applied, log->state,
                 log->message != NULL ? log->message : "-");
    }
    for (guint k = 0; k < status->peers->len; k++) {
      const PeerStatus *peer = &g_array_index(status->peers, PeerStatus, k);
      g_printerr("  peer %u: %s, %lu in flight, %lu retried: %s\n", peer->node_id, peer->state,
                 (gulong)peer->batches_in_flight, (gulong)peer->batches_retried,
                 peer->message != NULL ? peer->message : "-");
    }
  }
}

gint64 fake_run_until(FakeCluster *cluster, gboolean (*condition)(FakeCluster *, gpointer),
                      gpointer data, gint64 limit_us)
{
  gint64 begun_us = cluster->now_us;
  while (!condition(cluster, data)) {
    if (step(cluster, begun_us + limit_us))
      continue;
    print_state(cluster);
    ck_abort_msg("not reached within %ld us", (glong)limit_us);
  }
  return cluster->now_us - begun_us;
}

gboolean fake_is_equal(FakeCluster *cluster, gpointer unused)
{
  (void)unused;
  for (guint i = 1; i <= cluster->count; i++) {
    const FakeNode *node = &cluster->nodes[i];
    if (node->group == NULL)
      continue;
    if (node->log_busy || node->applies.length > 0)
      return FALSE;
    for (guint k = 0; k < node->logs->len; k++) {
      LogId log = ((FakeLog *)node->logs->pdata[k])->id;
      guint64 last = fake_written(cluster, i, log);
      for (guint other = 1; other <= cluster->count; other++)
        if (cluster->nodes[other].group != NULL && (fake_written(cluster, other, log) != last ||
                                                    fake_durable(cluster, other, log) != last ||
                                                    fake_applied(cluster, other, log) != last))
          return FALSE;
    }
  }
  return TRUE;
}

gint64 fake_run_until_equal(FakeCluster *cluster, gint64 limit_us)
{
  gint64 begun_us = cluster->now_us;
  fake_run_for(cluster, 2 * cluster->disk_us); /* what was written just now counts too */
  fake_run_until(cluster, fake_is_equal, NULL, limit_us);
  /* What the groups tell is what is there. */
  for (guint i = 1; i <= cluster->count; i++) {
    FakeNode *node = &cluster->nodes[i];
    if (node->group == NULL)
      continue;
    g_autoptr(Progress) progress = group_progress(node->group);
    for (guint k = 0; k < progress->logs->len; k++) {
      const LogProgress *one = &g_array_index(progress->logs, LogProgress, k);
      fast_assert(one->received == fake_written(cluster, i, one->log));
      fast_assert(one->durable == fake_durable(cluster, i, one->log));
      fast_assert(one->applied == fake_applied(cluster, i, one->log));
    }
  }
  return cluster->now_us - begun_us;
}

/* --- answers and notes --------------------------------------------------------------------------
 */

static guint count_durable(FakeCluster *cluster, LogId log, guint64 index)
{
  guint durable = 0;
  for (guint i = 1; i <= cluster->count; i++)
    durable += fake_kept(cluster, i, log) >= index;
  return durable;
}

static void port_write_done(gpointer ctx, gpointer data, SynclogStatus status, const char *message,
                            const Token *token)
{
  FakeNode *node = ctx;
  FakeWrite *write = (FakeWrite *)data; /* its first member is the GroupWrite */
  (void)message;
  if (node->dying)
    return; /* the client never hears of it */
  fast_assert(write->taken && !write->answered);
  write->answered = TRUE;
  write->status = status;
  write->answered_at_us = node->cluster->now_us;
  fast_assert((token != NULL) == (status == SYNCLOG_OK || status == SYNCLOG_PENDING));
  if (token == NULL)
    return;
  write->token = *token;
  /* Who came after the write was made need not have it. */
  guint wanted = 1, members = MIN(write->members, membership_count(node->membership));
  if (status == SYNCLOG_OK && write->write.ack == ACK_MAJORITY)
    wanted = members / 2 + 1;
  if (status == SYNCLOG_OK && write->write.ack == ACK_ALL)
    wanted = members;
  fast_assert(count_durable(node->cluster, token->log, token->index) >= wanted); /* P1 */
}

static void port_read_done(gpointer ctx, gpointer read, SynclogStatus status, const char *message)
{
  (void)ctx;
  (void)message;
  *(int *)read = (int)status;
}

static void port_note(gpointer ctx, GLogLevelFlags level, const char *text)
{
  FakeNode *node = ctx;
  if (level <= G_LOG_LEVEL_WARNING && !node->dying)
    g_string_append_printf(node->notes, "%s\n", text);
}

/* --- nodes --------------------------------------------------------------------------------------
 */

FakeNode *fake_node(FakeCluster *cluster, guint node)
{
  g_assert(node >= 1 && node <= cluster->count);
  return &cluster->nodes[node];
}

LogId fake_own_log(FakeCluster *cluster, guint node)
{
  return (LogId){node, fake_node(cluster, node)->incarnation};
}

static Membership *members_of(const FakeCluster *cluster, const FakeNode *node)
{
  if (node->members != NULL)
    return membership_new_kept(node->id, node->members);
  g_autoptr(GArray) peers = g_array_new(FALSE, FALSE, sizeof(guint32));
  guint32 count = node->joins ? 1 : cluster->founders;
  for (guint32 i = 1; i <= count; i++)
    if (i != node->id)
      g_array_append_val(peers, i);
  if (node->joins && node->also_lists != 0)
    g_array_append_val(peers, node->also_lists);
  return node->joins ? membership_new_joining(node->id, peers) : membership_new(node->id, peers);
}

void fake_start(FakeCluster *cluster, guint id, gboolean new_incarnation)
{
  FakeNode *node = fake_node(cluster, id);
  g_assert(node->group == NULL);
  node->life++;
  if (node->incarnation == 0 || new_incarnation)
    node->incarnation = 1000 * node->life;
  node->membership = members_of(cluster, node);
  GroupOptions options = cluster->options;
  options.own = fake_own_log(cluster, id);
  options.random_seed = g_rand_int(cluster->rand);
  options.wall_ms = fake_wall_ms(node);
  options.membership = node->membership;
  options.clock_bound = node->clock_bound;
  const GroupPorts ports = {.work = fake_port_work,
                            .read_log = fake_port_read_log,
                            .digest_at_end = fake_port_digest_at_end,
                            .read_digest = fake_port_read_digest,
                            .keep_clock_bound = fake_port_keep_clock_bound,
                            .keep_members = fake_port_keep_members,
                            .meet = fake_port_meet,
                            .apply = fake_port_apply,
                            .connect = fake_port_connect,
                            .disconnect = fake_port_disconnect,
                            .send_handshake = fake_port_send_handshake,
                            .send_heartbeat = fake_port_send_heartbeat,
                            .send_sync = fake_port_send_sync,
                            .write_done = port_write_done,
                            .sync_done = fake_port_sync_done,
                            .read_done = port_read_done,
                            .note = port_note,
                            .ctx = node};
  node->group = group_new(&options, &ports);
  fake_disk_add_logs(node);
  group_start(node->group, cluster->now_us);
  fake_turn_log_thread(node);
}

void fake_start_all(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++)
    fake_start(cluster, i, FALSE);
}

static void die(FakeCluster *cluster, guint id, gboolean power_off)
{
  FakeNode *node = fake_node(cluster, id);
  g_assert(node->group != NULL);
  node->dying = TRUE;
  fake_disk_die(node, power_off);
  group_stop(node->group);
  group_free(node->group);
  node->group = NULL;
  node->dying = FALSE;
  node->life++;
  g_clear_pointer(&node->membership, membership_free);
  fake_network_die(node);
}

void fake_kill(FakeCluster *cluster, guint id)
{
  die(cluster, id, FALSE);
}

void fake_power_off(FakeCluster *cluster, guint id)
{
  die(cluster, id, TRUE);
}

static void write_free(gpointer data)
{
  FakeWrite *write = data;
  g_bytes_unref(write->data);
  g_free(write);
}

FakeWrite *fake_write(FakeCluster *cluster, guint id, AckLevel ack, gint64 timeout_us)
{
  FakeNode *node = fake_node(cluster, id);
  FakeWrite *write = g_new0(FakeWrite, 1);
  char *text = g_strdup_printf("write %u at node %u%*s", cluster->writes->len, id,
                               g_rand_int_range(cluster->rand, 0, 60), "");
  write->data = g_bytes_new_take(text, strlen(text));
  write->node = id;
  write->members = membership_count(node->membership);
  write->write.data = g_bytes_get_data(write->data, &write->write.size);
  write->write.ack = ack;
  write->write.deadline_us = cluster->now_us + timeout_us;
  g_ptr_array_add(cluster->writes, write);
  g_autoptr(GError) error = NULL;
  write->taken = group_write(node->group, &write->write, &error);
  if (!write->taken)
    write->status = (SynclogStatus)error->code;
  return write;
}

FakeWriteCounts fake_count_writes(const FakeCluster *cluster)
{
  FakeWriteCounts counts = {0};
  for (guint i = 0; i < cluster->writes->len; i++) {
    const FakeWrite *write = cluster->writes->pdata[i];
    if (!write->taken)
      counts.refused++;
    else if (!write->answered)
      counts.open++;
    else if (write->status == SYNCLOG_OK)
      counts.ok++;
    else if (write->status == SYNCLOG_PENDING)
      counts.pending++;
    else
      counts.refused++;
  }
  return counts;
}

NodeStatus *fake_status(FakeCluster *cluster, guint node)
{
  NodeStatus *status = node_status_new();
  group_status(fake_node(cluster, node)->group, status, cluster->now_us);
  return status;
}

const PeerStatus *fake_peer_status(const NodeStatus *status, guint32 peer)
{
  for (guint i = 0; i < status->peers->len; i++)
    if (g_array_index(status->peers, PeerStatus, i).node_id == peer)
      return &g_array_index(status->peers, PeerStatus, i);
  g_assert_not_reached();
}

const LogStatus *fake_log_status(const NodeStatus *status, LogId log)
{
  for (guint i = 0; i < status->logs->len; i++)
    if (log_id_equal(g_array_index(status->logs, LogStatus, i).progress.log, log))
      return &g_array_index(status->logs, LogStatus, i);
  g_assert_not_reached();
}

gboolean fake_says(const char *message, const char *part)
{
  return message != NULL && strstr(message, part) != NULL;
}

/* --- the cluster --------------------------------------------------------------------------------
 */

FakeCluster *fake_cluster_new(guint count, guint32 seed)
{
  g_assert(count >= 1 && count <= FAKE_NODES_MAX);
  FakeCluster *cluster = g_new0(FakeCluster, 1);
  cluster->rand = g_rand_new_with_seed(seed);
  cluster->count = cluster->founders = count;
  cluster->now_us = 1000000;
  cluster->delay_min_us = 100;
  cluster->delay_max_us = 500;
  cluster->request_timeout_us = 5 * G_USEC_PER_SEC;
  cluster->disk_us = 1000;
  cluster->apply_us = 50;
  cluster->events = g_ptr_array_new();
  cluster->writes = g_ptr_array_new_with_free_func(write_free);
  cluster->truth = g_ptr_array_new_with_free_func(fake_log_free);
  cluster->options = (GroupOptions){.cluster_id = "test",
                                    .time_precision = "ms",
                                    .max_pending_batch = 5,
                                    .max_requests_per_batch = 30,
                                    .max_size_per_batch = 16 * 1024,
                                    .max_pending_requests = 600,
                                    .max_pending_bytes = 1024 * 1024,
                                    .max_queued_bytes = 1024 * 1024,
                                    .max_commit_size = 64 * 1024,
                                    .max_apply_backlog = 1024 * 1024,
                                    .basic_retry_wait_ms = 100,
                                    .max_retry_wait_ms = 20000,
                                    .heartbeat_interval_ms = 1000,
                                    .max_clock_skew_ms = 60 * 1000,
                                    .mirror_sync_interval_ms = 100,
                                    .retention_interval_ms = 10000,
                                    .max_frame_size = LIMIT_FRAME_SIZE};
  for (guint i = 1; i <= count; i++) {
    FakeNode *node = &cluster->nodes[i];
    node->cluster = cluster;
    node->id = i;
    node->calls = g_ptr_array_new();
    node->notes = g_string_new(NULL);
    fake_disk_init(node);
  }
  return cluster;
}

void fake_cluster_free(FakeCluster *cluster)
{
  for (guint i = 1; i <= cluster->count; i++) {
    FakeNode *node = &cluster->nodes[i];
    if (node->group != NULL)
      fake_kill(cluster, i);
    g_ptr_array_unref(node->calls);
    g_string_free(node->notes, TRUE);
    fake_disk_clear(node);
  }
  for (guint i = 0; i < cluster->events->len; i++)
    event_free(cluster->events->pdata[i]);
  g_ptr_array_unref(cluster->events);
  g_ptr_array_unref(cluster->writes);
  g_ptr_array_unref(cluster->truth);
  g_rand_free(cluster->rand);
  g_free(cluster);
}
