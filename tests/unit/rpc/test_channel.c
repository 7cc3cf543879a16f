/* The channel to a peer, against a real server and against peers that say what they like. */
#include "unit/rpc/channel_rig.h"

#include "base/limits.h"

enum { LONG_MS = 60 * 1000 };

START_TEST(all_requests_reach_a_server)
{
  RpcServerOptions options = rig_options(RPC_PEER_SERVICE);
  Rig *rig = rig_new(&options, 1);
  Line line = {.loops = rpc_loops_new(1, 1), .seen = seen_new(), .listener = -1};
  line.port = rpc_server_port(rig->server);
  line_open(&line, "127.0.0.1", LONG_MS, LONG_MS);
  rpc_channel_connect(line.channel);
  seen_wait(line.seen, &line.seen->connected, 1);

  send_handshake(&line);
  seen_wait(line.seen, &line.seen->handshakes, 1);
  g_autofree char *text = rig_text(rig);
  ck_assert_str_eq(text, "handshake c 2→3 logs 1");
  ck_assert_int_eq(line.seen->handshake.status, SYNCLOG_OK);
  ck_assert_uint_eq(line.seen->handshake.node_id, 3);
  ck_assert_uint_eq(line.seen->handshake.incarnation, 77);
  ck_assert_uint_eq(line.seen->handshake.max_frame_size, 1000);
  ck_assert_uint_eq(line.seen->handshake.hlc, 99);

  gint released = 0;
  send_heartbeat(&line);
  for (guint64 i = 1; i <= 300; i++)
    send_small_sync(&line, i, &released);
  seen_wait(line.seen, &line.seen->syncs, 300);
  seen_wait(line.seen, &line.seen->heartbeats, 1);
  ck_assert_uint_eq(rig_count(rig, &rig->syncs), 300);
  ck_assert_uint_eq(rig_count(rig, &rig->bytes), 300 * (50 + RECORD_OVERHEAD_SIZE));
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->closed), 0);
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), 300);
  rig_free(rig);
}
END_TEST

/* What lies between the prefix and the suffix of a syncLog. */
static void check_records(const Answer *request, const guint8 *expected, gsize size)
{
  gsize all;
  const guint8 *bytes = g_bytes_get_data(request->frame, &all);
  SyncLogRequest parsed;
  g_autoptr(GError) error = NULL;
  fast_assert(hot_sync_parse(bytes + request->body.at, all - request->body.at, &parsed, &error) ==
              HOT_VALID);
  fast_assert(parsed.size == size && memcmp(parsed.bytes, expected, size) == 0);
}

START_TEST(records_are_sent_as_they_are)
{
  static const gsize sizes[] = {1, 100, 1990, 2100, 70000};
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  gint released = 0;
  for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
    /* The middle of one run, and the begin of the next: copied and by reference. */
    EntryRun *first = run_new(1, 4, sizes[i], &released);
    EntryRun *second = run_new(5, 3, 80, &released);
    SyncBatch *batch = batch_of(first, 1, 3);
    sync_batch_add(batch, second, 0, 2);
    g_autoptr(GByteArray) expected = g_byte_array_new();
    gsize size;
    const guint8 *bytes = entry_run_bytes(first, &size);
    gsize skip = entry_run_offset(first, 1);
    g_byte_array_append(expected, bytes + skip, (guint)(size - skip));
    g_byte_array_append(expected, entry_run_bytes(second, &size),
                        (guint)entry_run_offset(second, 2));
    entry_run_unref(first);
    entry_run_unref(second);
    rpc_channel_sync(line.channel, i, batch);
    g_auto(Answer) request = client_answer(fd);
    ck_assert_uint_eq(request.type, THRIFT_CALL);
    ck_assert_str_eq(request.name, "syncLog");
    check_records(&request, expected->data, expected->len);
    peer_send_sync(fd, request.seqid, 6);
    seen_wait(line.seen, &line.seen->syncs, i + 1);
    /* What was written is not kept. */
    ck_assert_int_eq(g_atomic_int_get(&released), 2 * ((gint)i + 1));
  }
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(replies_may_come_in_any_order)
{
  enum { COUNT = 500 };
  g_autoptr(GRand) rand = g_rand_new_with_seed(3);
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  gint released = 0;
  gint32 seqids[COUNT];
  for (guint i = 0; i < COUNT; i++)
    send_small_sync(&line, i + 1, &released);
  for (guint i = 0; i < COUNT; i++) {
    g_auto(Answer) request = client_answer(fd);
    seqids[i] = request.seqid;
    fast_assert(i == 0 || seqids[i] > seqids[i - 1]);
  }
  guint order[COUNT];
  for (guint i = 0; i < COUNT; i++) {
    guint other = (guint)g_rand_int_range(rand, 0, (gint32)i + 1);
    order[i] = order[other];
    order[other] = i;
  }
  for (guint i = 0; i < COUNT; i++)
    peer_send_sync(fd, seqids[order[i]], 1000 + order[i]);
  seen_wait(line.seen, &line.seen->syncs, COUNT);
  for (guint i = 0; i < COUNT; i++)
    fast_assert(GPOINTER_TO_SIZE(
                    g_hash_table_lookup(line.seen->received, GSIZE_TO_POINTER(i + 1))) == 1000 + i);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(a_slow_peer_gets_all_of_it)
{
  enum { COUNT = 200, RECORDS = 8, SIZE = 20000 };
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  gint released = 0;
  EntryRun *run = run_new(1, RECORDS, SIZE, &released);
  for (guint i = 0; i < COUNT; i++)
    rpc_channel_sync(line.channel, i + 1, batch_of(run, 0, RECORDS));
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  for (guint i = 0; i < COUNT; i++) {
    g_auto(Answer) request = client_answer(fd);
    check_records(&request, bytes, size);
    peer_send_sync(fd, request.seqid, i);
  }
  seen_wait(line.seen, &line.seen->syncs, COUNT);
  entry_run_unref(run);
  ck_assert_int_eq(g_atomic_int_get(&released), 1);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(replies_arrive_byte_by_byte)
{
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  send_handshake(&line);
  g_auto(Answer) request = client_answer(fd);
  ck_assert_str_eq(request.name, "handshake");
  Message m = handshake_reply(request.seqid, SYNCLOG_OK, TRUE);
  message_end(&m);
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  for (gsize i = 0; i < m.w.at; i++)
    fast_assert(client_send(fd, m.bytes + i, 1));
  message_free(&m);
  seen_wait(line.seen, &line.seen->handshakes, 1);
  ck_assert_uint_eq(line.seen->handshake.node_id, 3);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(refusals_are_replies)
{
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  send_handshake(&line);
  g_auto(Answer) request = client_answer(fd);
  Message m = handshake_reply(request.seqid, SYNCLOG_WRONG_CLUSTER, FALSE);
  ck_assert(reply_send(fd, &m));
  seen_wait(line.seen, &line.seen->handshakes, 1);
  ck_assert_int_eq(line.seen->handshake.status, SYNCLOG_WRONG_CLUSTER);
  ck_assert_str_eq(line.seen->handshake.message, "other cluster");
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->closed), 0);
  close(fd);
  line_free(&line);
}
END_TEST

/* It is shown to operators, and goes into replies to clients. */
START_TEST(p7_what_a_refusal_says_is_bounded)
{
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line);
  send_handshake(&line);
  g_auto(Answer) request = client_answer(fd);
  g_autofree char *long_text = g_strnfill(100000, 'x');
  HandshakeReply reply = {.status = SYNCLOG_WRONG_CLUSTER, .message = long_text};
  g_autoptr(GObject) object = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_reply_to_thrift(&reply, 0, SL_T_HANDSHAKE_REPLY(object));
  Message m = reply_begin(THRIFT_REPLY, "handshake", request.seqid);
  put_struct(&m.w, 0, object);
  put_stop(&m.w);
  ck_assert(reply_send(fd, &m));
  seen_wait(line.seen, &line.seen->handshakes, 1);
  ck_assert_uint_eq(strlen(line.seen->handshake.message), LIMIT_MESSAGE_SIZE);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(a_connection_ends_once)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  rpc_channel_close(line.channel); /* nothing to close: no callback */
  send_small_sync(&line, 1, &released);
  send_handshake(&line);
  for (guint round = 1; round <= 20; round++) {
    int fd = line_connect(&line);
    rpc_channel_connect(line.channel); /* ignored */
    send_small_sync(&line, round, &released);
    if (round % 2 == 0) {
      rpc_channel_close(line.channel);
    } else {
      /* What came before it was dealt with too: else the end could overtake the call to connect. */
      g_auto(Answer) request = client_answer(fd);
      close(fd);
    }
    seen_wait_closed(line.seen, round, SYNCLOG_NOT_READY);
    rpc_channel_close(line.channel);
    send_small_sync(&line, round, &released);
    if (round % 2 == 0)
      close(fd);
  }
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->connected), 20);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 0);
  RpcChannel *channel = line.channel;
  rpc_channel_free(channel);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->closed), 20);
  ck_assert_int_eq(g_atomic_int_get(&released), 41);
  line_open(&line, "127.0.0.1", LONG_MS, LONG_MS);
  line_free(&line);
}
END_TEST

START_TEST(a_peer_that_goes_away_while_it_is_sent_to)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  EntryRun *run = run_new(1, 8, 100000, &released);
  for (guint round = 1; round <= 10; round++) {
    int fd = line_connect(&line);
    for (guint i = 0; i < 30; i++)
      rpc_channel_sync(line.channel, i, batch_of(run, 0, 8));
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    guint8 some[100];
    ck_assert(client_read(fd, some, sizeof some));
    close(fd);
    seen_wait_closed(line.seen, round, SYNCLOG_NOT_READY);
  }
  entry_run_unref(run);
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), 1);
}
END_TEST

/* Holds a loop until the test lets it go on. */
typedef struct Gate {
  GMutex lock;
  GCond cond;
  gboolean entered, open;
} Gate;

static void gate_task(gpointer data)
{
  Gate *gate = data;
  g_mutex_lock(&gate->lock);
  gate->entered = TRUE;
  g_cond_broadcast(&gate->cond);
  while (!gate->open)
    g_cond_wait(&gate->cond, &gate->lock);
  g_mutex_unlock(&gate->lock);
}

static void gate_wait_entered(Gate *gate)
{
  g_mutex_lock(&gate->lock);
  while (!gate->entered)
    g_cond_wait(&gate->cond, &gate->lock);
  g_mutex_unlock(&gate->lock);
}

static void gate_open(Gate *gate)
{
  g_mutex_lock(&gate->lock);
  gate->open = TRUE;
  g_cond_broadcast(&gate->cond);
  g_mutex_unlock(&gate->lock);
}

START_TEST(writing_to_a_peer_that_is_gone)
{
  Line line = line_new(LONG_MS);
  RpcLoop *loop = rpc_loops_get(line.loops, 0);
  Gate first = {0}, second = {0};
  gint released = 0;
  int fd = line_connect(&line);
  rpc_loop_post(loop, gate_task, &first);
  gate_wait_entered(&first);
  /* These two run together, with no look at the socket between them. */
  rpc_loop_post(loop, gate_task, &second);
  send_small_sync(&line, 1, &released);
  gate_open(&first);
  gate_wait_entered(&second);
  /* The end of the stream, then a reset: the next write is the one that would raise a signal. */
  shutdown(fd, SHUT_WR);
  struct linger hard = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(fd);
  gate_open(&second);
  seen_wait_closed(line.seen, 1, SYNCLOG_NOT_READY);
  ck_assert_ptr_nonnull(strstr(line.seen->closed_why, g_strerror(EPIPE)));
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), 1);
}
END_TEST

START_TEST(closed_in_the_middle_of_a_reply)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  SyncReply reply = {.status = SYNCLOG_OK, .received = 1};
  g_autofree RpcReply *bytes = hot_sync_reply(1, &reply);
  for (guint cut = 1; cut < bytes->size; cut += 5) {
    int fd = line_connect(&line);
    send_small_sync(&line, 1, &released);
    g_auto(Answer) request = client_answer(fd);
    ck_assert(client_send(fd, bytes->bytes, cut));
    close(fd);
    seen_wait_closed(line.seen, 1 + cut / 5, SYNCLOG_NOT_READY);
  }
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 0);
  line_free(&line);
}
END_TEST

START_TEST(no_answer_in_time)
{
  Line line = line_new(200);
  gint released = 0;
  int fd = line_connect(&line);
  gint64 begin = g_get_monotonic_time();
  send_small_sync(&line, 1, &released);
  send_small_sync(&line, 2, &released);
  g_auto(Answer) first = client_answer(fd);
  g_auto(Answer) second = client_answer(fd);
  /* The later one is answered: the deadline is that of the oldest. */
  peer_send_sync(fd, second.seqid, 2);
  seen_wait_closed(line.seen, 1, SYNCLOG_TIMEOUT);
  ck_assert_int_ge(g_get_monotonic_time() - begin, 200 * 1000);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 1);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(an_idle_connection_stays)
{
  Line line = line_new(50);
  gint released = 0;
  int fd = line_connect(&line);
  struct timeval quiet = {0, 300 * 1000}; /* six times the limit of a request */
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
  guint8 byte;
  ck_assert(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
  struct timeval patient = {30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof patient);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->closed), 0);
  send_small_sync(&line, 1, &released);
  g_auto(Answer) request = client_answer(fd);
  ck_assert_str_eq(request.name, "syncLog");
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(what_waits_to_be_sent_is_bounded)
{
  Line line = line_new(LONG_MS);
  int fd = line_connect(&line); /* and never reads */
  gint released = 0;
  EntryRun *run = run_new(1, 1, LIMIT_ENTRY_SIZE, &released);
  for (guint i = 0; i < LIMIT_PENDING_BATCHES + 8; i++)
    rpc_channel_sync(line.channel, i, batch_of(run, 0, 1));
  seen_wait_closed(line.seen, 1, SYNCLOG_OVERLOADED);
  entry_run_unref(run);
  close(fd);
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), 1);
}
END_TEST

START_TEST(freed_in_the_middle_of_anything)
{
  gint released = 0, sent = 0;
  Line line = line_new(LONG_MS);
  for (guint round = 0; round < 60; round++) {
    if (round % 3 > 0)
      rpc_channel_connect(line.channel);
    if (round % 3 == 2) {
      seen_wait(line.seen, &line.seen->connected, 1);
      for (guint i = 0; i < 20; i++, sent++)
        send_small_sync(&line, i, &released);
    }
    rpc_channel_free(line.channel);
    line.seen->connected = 0; /* no callback runs any more */
    line_open(&line, "127.0.0.1", LONG_MS, LONG_MS);
  }
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->closed), 0);
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), sent);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      all_requests_reach_a_server,
      records_are_sent_as_they_are,
      replies_may_come_in_any_order,
      a_slow_peer_gets_all_of_it,
      replies_arrive_byte_by_byte,
      refusals_are_replies,
      p7_what_a_refusal_says_is_bounded,
      a_connection_ends_once,
      a_peer_that_goes_away_while_it_is_sent_to,
      closed_in_the_middle_of_a_reply,
      writing_to_a_peer_that_is_gone,
      no_answer_in_time,
      an_idle_connection_stays,
      what_waits_to_be_sent_is_bounded,
      freed_in_the_middle_of_anything,
  };
  return RUN_SUITE("channel", tests);
}
