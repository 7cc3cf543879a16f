/*
 * A peer that lies: handshakes, heartbeats, replies and batches with any values that fit their
 * fields, in any order, to one node of a cluster that otherwise works. Whatever a peer says,
 * nothing aborts, the own log goes on, and what the cluster checks at every step
 * (support/fake_cluster.h) holds.
 *
 * What only honest peers can guarantee is not asked for: writes wait for this node alone.
 */
#include "base/error.h"
#include "fuzz/fuzz.h"
#include "support/suite.h"

/* What a peer can break that promises what it does not keep: the horizon, and that the clock grows
 * along a log, which its origin sees to. Nodes apply the entries in their order all the same. */
static gboolean is_for_honest_peers(const char *condition)
{
  return strstr(condition, "horizon") != NULL || strstr(condition, "applied_hlc") != NULL;
}

/* No test runs here: what does not hold ends the program. */
#undef fast_assert
#undef fast_assert_msg
#undef ck_abort_msg
#undef fail
#define fast_assert(condition) g_assert((condition) || is_for_honest_peers(#condition))
#define fast_assert_msg(condition, ...) fast_assert(condition)
#define ck_abort_msg(...) g_assert_not_reached()
#include "support/fake_cluster.c"

enum { VICTIM = 1, NODES = 3, STEPS_MOST = 64, LOGS = 7, RUN_MOST = 6 };

/* Numbers as a peer may say them: around what is true, around the ends, or any. */
static guint64 some_index(FuzzInput *in, guint64 truth)
{
  guint kind = fuzz_u8(in);
  switch (kind % 8) {
  case 0:
    return truth;
  case 1:
    return truth + kind / 8 % 8;
  case 2:
    return truth - MIN(truth, kind / 8 % 8);
  case 3:
    return G_MAXINT64 - kind / 8 % 4;
  case 4:
    return fuzz_u64(in) & G_MAXINT64;
  default:
    return kind / 8;
  }
}

static guint64 some_clock(FuzzInput *in, FakeCluster *cluster)
{
  guint kind = fuzz_u8(in);
  guint64 now = fake_wall_ms(&cluster->nodes[VICTIM]) << 16;
  return kind % 4 == 0 ? fuzz_u64(in) : kind % 4 == 1 ? G_MAXUINT64 - kind / 4 : now + kind;
}

/* Logs that there are, that there were, and that never were. */
static LogId some_log(FuzzInput *in, FakeCluster *cluster)
{
  guint kind = fuzz_u8(in);
  LogId own = fake_own_log(cluster, VICTIM);
  const LogId logs[LOGS] = {own,
                            fake_own_log(cluster, 2),
                            fake_own_log(cluster, 3),
                            {own.origin, own.incarnation - 1},
                            {own.origin, own.incarnation + 1 + kind / LOGS},
                            {2, 1 + kind / LOGS},
                            {9, G_MAXINT64}};
  return logs[kind % LOGS];
}

static void fill_progress(FuzzInput *in, FakeCluster *cluster, Progress *progress)
{
  guint count = fuzz_u8(in) % 4;
  for (guint i = 0; i < count; i++) {
    LogId id = some_log(in, cluster);
    guint64 truth = fake_written(cluster, VICTIM, id);
    LogProgress *log = progress_put(progress, id);
    log->received = some_index(in, truth);
    log->durable = some_index(in, truth);
    log->applied = some_index(in, truth);
    log->first_available = some_index(in, truth);
    log->applied_hlc = some_clock(in, cluster);
    log->digest_index = some_index(in, truth);
    log->digest = fuzz_u8(in);
  }
  guint more = fuzz_u8(in);
  if (more & 1) {
    progress->promised_hlc = some_clock(in, cluster);
    progress->horizon = some_clock(in, cluster);
    progress->wall_ms = some_clock(in, cluster) >> 16;
  }
  if (more & 2) {
    LogId wanted = some_log(in, cluster);
    g_clear_pointer(&progress->wanted, g_array_unref);
    progress->wanted = g_array_new(FALSE, FALSE, sizeof wanted);
    g_array_append_val(progress->wanted, wanted);
  }
  if ((more & 96) == 96) {
    g_clear_pointer(&progress->members, g_ptr_array_unref);
    progress->members = member_list_new();
    for (guint32 node = 1 + more % 2; node <= 3; node++)
      member_list_add(progress->members, node,
                      (MemberState)(MEMBER_JOINING + fuzz_u8(in) % MEMBER_LOST), NULL);
  }
  if ((more & 28) == 28) {
    guint32 node = more >> 5;
    g_clear_pointer(&progress->forgotten, g_array_unref);
    progress->forgotten = g_array_new(FALSE, FALSE, sizeof node);
    g_array_append_val(progress->forgotten, node);
  }
}

static void say_handshake(FuzzInput *in, FakeCluster *cluster)
{
  g_autoptr(Progress) progress = progress_new();
  guint kind = fuzz_u8(in);
  Handshake handshake = {.protocol_version = PROTOCOL_VERSION,
                         .cluster_id = (char *)"test",
                         .node_id = 1 + kind % 4,
                         .target_node_id = kind & 128 ? 2 : VICTIM,
                         .incarnation = some_log(in, cluster).incarnation,
                         .time_precision = (char *)"ms",
                         .max_pending_batch = 1 + fuzz_u16(in),
                         .progress = progress,
                         .hlc = some_clock(in, cluster)};
  fill_progress(in, cluster, progress);
  HandshakeReply reply = {0};
  group_on_handshake(cluster->nodes[VICTIM].group, &handshake, &reply, cluster->now_us);
  g_assert((reply.progress != NULL) == (reply.status == SYNCLOG_OK));
  handshake_reply_clear(&reply);
}

static void say_heartbeat(FuzzInput *in, FakeCluster *cluster)
{
  g_autoptr(Progress) progress = progress_new();
  Heartbeat heartbeat = {
      .node_id = 1 + fuzz_u8(in) % 4, .progress = progress, .hlc = some_clock(in, cluster)};
  fill_progress(in, cluster, progress);
  HeartbeatReply reply = {0};
  group_on_heartbeat(cluster->nodes[VICTIM].group, &heartbeat, &reply, cluster->now_us);
  heartbeat_reply_clear(&reply);
}

static guint64 last_clock(const FakeLog *truth)
{
  gsize size;
  Record record;
  if (truth->records->len == 0)
    return 0;
  const guint8 *bytes = g_bytes_get_data(record_of(truth, last_of(truth)), &size);
  g_assert(record_parse_trusted(bytes, size, &record) == RECORD_VALID);
  return record.hlc;
}

/* Makes up entries of a log: the first ones of it begin anywhere. Clocks grow along a log, which is
 * its origin's to see to. */
static void forge(FuzzInput *in, FakeCluster *cluster, FakeLog *truth)
{
  if (truth->records->len == 0 && truth->base == 0) {
    guint64 base = some_index(in, 0);
    truth->base = MIN(base, (guint64)G_MAXINT64 - RUN_MOST);
  }
  guint count = 1 + fuzz_u8(in) % RUN_MOST;
  for (guint i = 0; i < count && last_of(truth) < G_MAXINT64; i++) {
    guint8 record[64];
    guint64 before = last_clock(truth), clock = some_clock(in, cluster);
    if (before >= RECORD_HLC_MAX)
      return; /* what is above is refused before the engine sees it */
    gsize size = record_write(record_seed(truth->id), last_of(truth) + 1,
                              CLAMP(clock, before + 1, RECORD_HLC_MAX), "forged", 6, record);
    g_ptr_array_add(truth->records, g_bytes_new(record, size));
  }
}

/* A batch of entries that there are, or that are made up, from anywhere to anywhere. */
static void say_sync(FuzzInput *in, FakeCluster *cluster)
{
  LogId id = some_log(in, cluster);
  gboolean of_others = id.origin == 2 && id.incarnation != cluster->nodes[2].incarnation;
  FakeLog *truth = put_log(cluster->truth, id);
  guint options = fuzz_u8(in);
  /* What living nodes write is theirs to say; entries of other logs nobody else makes. */
  if (of_others || id.origin == 9)
    forge(in, cluster, truth);
  const char *why = options & 1 ? "it does not decode" : NULL;
  gboolean sync_now = (options & 2) != 0;
  if (truth->records->len == 0) {
    guint64 first = some_index(in, 1);
    fake_inject(cluster, VICTIM, id, MAX(first, 1), NULL, "it does not decode", sync_now);
    return;
  }
  guint64 first = truth->base + 1 + fuzz_u8(in) % truth->records->len;
  guint64 last = first + fuzz_u8(in) % RUN_MOST;
  last = MIN(last, last_of(truth));
  gboolean none = why != NULL && options & 4;
  fake_inject(cluster, VICTIM, id, first, none ? NULL : run_of_records(truth, first, last), why,
              sync_now);
}

static void spoil_sync_reply(FuzzInput *in, FakeCluster *cluster, SyncReply *reply)
{
  guint64 truth = fake_written(cluster, VICTIM, fake_own_log(cluster, VICTIM));
  guint status = fuzz_u8(in);
  reply->status = status & 1 ? SYNCLOG_OK : (SynclogStatus)(status / 2 % (SYNCLOG_FORGOTTEN + 1));
  reply->received = some_index(in, truth);
  reply->durable = some_index(in, truth);
  reply->applied = some_index(in, truth);
  reply->expected_index = some_index(in, truth);
}

/* Replies on their way to the victim become others. */
static void spoil_replies(FuzzInput *in, FakeCluster *cluster)
{
  for (guint i = 0; i < cluster->events->len; i++) {
    Event *event = cluster->events->pdata[i];
    if (event->node != VICTIM)
      continue;
    if (event->run == on_sync_reply) {
      spoil_sync_reply(in, cluster, event->message);
    } else if (event->run == on_handshake_reply) {
      HandshakeReply *reply = event->message;
      if (reply->progress == NULL)
        continue;
      reply->incarnation = some_log(in, cluster).incarnation;
      reply->node_id = 1 + fuzz_u8(in) % 4;
      reply->max_frame_size = 1 + (gsize)(some_index(in, 1) & 0xFFFFFF);
      reply->hlc = some_clock(in, cluster);
      fill_progress(in, cluster, reply->progress);
    } else if (event->run == on_heartbeat_reply) {
      HeartbeatReply *reply = event->message;
      if (reply->progress == NULL)
        continue;
      reply->hlc = some_clock(in, cluster);
      fill_progress(in, cluster, reply->progress);
    }
  }
}

static void ask_read(FuzzInput *in, FakeCluster *cluster)
{
  static int answer;
  Token token = {.log = some_log(in, cluster), .index = 0};
  token.index = some_index(in, fake_applied(cluster, VICTIM, token.log));
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof token);
  g_array_append_val(tokens, token);
  group_wait_applied(cluster->nodes[VICTIM].group, &answer, tokens, cluster->now_us + 5000);
}

static void restart(FakeCluster *cluster, guint node, gboolean power_off)
{
  if (power_off)
    fake_power_off(cluster, node);
  else
    fake_kill(cluster, node);
  fake_start(cluster, node, power_off);
}

static void take_step(FuzzInput *in, FakeCluster *cluster)
{
  switch (fuzz_u8(in) % 11) {
  case 0:
    fake_run_for(cluster, 500 * (1 + fuzz_u8(in)));
    break;
  case 1:
    fake_write(cluster, 1 + fuzz_u8(in) % NODES, ACK_LOCAL, 0);
    break;
  case 2:
    say_handshake(in, cluster);
    break;
  case 3:
    say_heartbeat(in, cluster);
    break;
  case 4:
  case 5:
    say_sync(in, cluster);
    break;
  case 6:
  case 7:
    spoil_replies(in, cluster);
    break;
  case 8:
    fake_reset_channel(cluster, VICTIM, 2 + fuzz_u8(in) % 2);
    break;
  case 9:
    ask_read(in, cluster);
    break;
  default:
    restart(cluster, 2 + fuzz_u8(in) % 2, fuzz_u8(in) & 1);
  }
}

/* A write here is answered: it may be refused, by then for a reason that the status tells. */
static void check_still_alive(FakeCluster *cluster)
{
  FakeWrite *write = fake_write(cluster, VICTIM, ACK_LOCAL, 0);
  fake_run_for(cluster, 200 * 1000);
  g_assert(!write->taken || write->answered);
  g_autoptr(NodeStatus) status = fake_status(cluster, VICTIM);
  g_assert(status->logs->len <= LIMIT_LOGS && status->peers->len == NODES - 1);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  g_autoptr(FakeCluster) cluster = fake_cluster_new(NODES, 1);
  fake_start_all(cluster);
  fake_run_for(cluster, 20 * 1000);
  for (guint i = 0; i < STEPS_MOST && in.left > 0; i++)
    take_step(&in, cluster);
  check_still_alive(cluster);
}

void fuzz_seeds(void)
{
  static const guint8 story[] = {1, 0, 1, 0, 0, 3,  2, 1, 1, 1, 5, 0, 1, 1, 8,  16, 8, 8, 2,
                                 0, 4, 5, 0, 0, 4,  1, 2, 3, 4, 5, 6, 7, 0, 1,  2,  1, 1, 1,
                                 0, 1, 6, 1, 3, 11, 3, 3, 0, 9, 1, 5, 0, 9, 10, 1,  1, 0, 20};
  static const guint8 batches[] = {5, 5, 0, 0, 0, 3, 2, 2, 2, 0, 3, 0,
                                   9, 5, 5, 1, 0, 2, 1, 2, 1, 5, 0, 9};
  static const guint8 replies[] = {1, 0, 0, 1, 1, 0, 6, 1, 3, 3, 3, 3, 0,
                                   5, 8, 0, 0, 0, 6, 0, 1, 1, 3, 3, 3, 3};
  fuzz_seed("story", story, sizeof story);
  fuzz_seed("batches", batches, sizeof batches);
  fuzz_seed("replies", replies, sizeof replies);
}
