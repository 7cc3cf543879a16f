#include "unit/rpc/rig.h"

#include "rpc/hot_codec.h"

static void check_write_answer(int fd, gint32 seqid)
{
  g_auto(Answer) answer = client_answer(fd);
  fast_assert_msg(answer.frame != NULL, "closed before answer %d", seqid);
  fast_assert_msg(answer.seqid == seqid, "%d instead of %d", answer.seqid, seqid);
  fast_assert(g_str_equal(answer.name, "write") && answer_status(&answer) == SYNCLOG_OK);
}

START_TEST(requests_arrive_byte_by_byte)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  Message m = message_call("write", 1);
  put_write_args(&m.w, 0, 5, 40);
  message_end(&m);
  for (guint round = 0; round < 3; round++) {
    for (gsize i = 0; i < m.w.at; i++)
      ck_assert(client_send(fd, m.bytes + i, 1));
    check_write_answer(fd, 1);
  }
  message_free(&m);
  client_send_plain(fd, "info", 9);
  g_auto(Answer) info = client_answer(fd);
  ck_assert_str_eq(info.name, "info");
  ck_assert_int_eq(info.seqid, 9);
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(requests_of_all_sizes_arrive_whole)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 2);
  int fd = client_connect(rig);
  static const gsize sizes[] = {0, 1, 1000, 65000, 65400, 65500, 65536, 70000, 130000, 200000, 3};
  for (guint i = 0; i < 200; i++) {
    client_send_write(fd, (gint32)i, sizes[i % G_N_ELEMENTS(sizes)]);
    check_write_answer(fd, (gint32)i);
  }
  ck_assert_uint_eq(rig_count(rig, &rig->writes), 200);
  close(fd);
  rig_free(rig);
}
END_TEST

/* --- order ---------------------------------------------------------------------------------------
 */

typedef struct Answerer {
  GPtrArray *calls;
  guint begin, end;
} Answerer;

static gpointer answer_some(gpointer data)
{
  Answerer *answerer = data;
  for (guint i = answerer->begin; i < answerer->end; i++)
    rig_answer_write(answerer->calls->pdata[i]);
  return NULL;
}

/* Answers in random order by four threads. */
static void answer_shuffled(GPtrArray *calls, GRand *rand)
{
  for (guint i = calls->len; i > 1; i--) {
    guint k = (guint)g_rand_int_range(rand, 0, (gint32)i);
    gpointer other = calls->pdata[k];
    calls->pdata[k] = calls->pdata[i - 1];
    calls->pdata[i - 1] = other;
  }
  GThread *threads[4];
  Answerer parts[4];
  for (guint t = 0; t < 4; t++) {
    parts[t] = (Answerer){calls, calls->len * t / 4, calls->len * (t + 1) / 4};
    threads[t] = g_thread_new("answer", answer_some, &parts[t]);
  }
  for (guint t = 0; t < 4; t++)
    g_thread_join(threads[t]);
}

START_TEST(replies_come_in_the_order_of_the_requests)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 2);
  g_autoptr(GRand) rand = g_rand_new_with_seed(3);
  rig_set_mode(rig, RIG_HOLD);
  int fds[3];
  for (guint c = 0; c < 3; c++)
    fds[c] = client_connect(rig);
  for (guint round = 0; round < 3; round++) {
    for (gint32 i = 0; i < 1000; i++)
      client_send_write(fds[i % 3], i, 10);
    rig_wait_held(rig, 1000);
    g_autoptr(GPtrArray) calls = rig_take(rig);
    answer_shuffled(calls, rand);
    for (gint32 i = 0; i < 1000; i++)
      check_write_answer(fds[i % 3], i);
  }
  for (guint c = 0; c < 3; c++)
    close(fds[c]);
  rig_free(rig);
}
END_TEST

START_TEST(reads_and_writes_keep_their_order_too)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  static const char *const methods[] = {"config", "write", "info", "nothing", "config"};
  for (gint32 i = 0; i < 500; i++) {
    const char *method = methods[i % 5];
    if (i % 5 == 1)
      client_send_write(fd, i, 10);
    else
      client_send_plain(fd, method, i);
  }
  for (gint32 i = 0; i < 500; i++) {
    g_auto(Answer) answer = client_answer(fd);
    fast_assert(answer.frame != NULL && answer.seqid == i);
    fast_assert(g_str_equal(answer.name, methods[i % 5]));
    fast_assert(answer.type == (i % 5 == 3 ? THRIFT_EXCEPTION : THRIFT_REPLY));
  }
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(replies_to_peers_come_as_they_are_given)
{
  RpcServerOptions options = rig_options(RPC_PEER_SERVICE);
  Rig *rig = rig_new(&options, 1);
  rig_set_mode(rig, RIG_HOLD);
  int fd = client_connect(rig);
  const LogId log = {2, 5000};
  for (gint32 i = 0; i < 1000; i++) {
    Message m = message_call("syncLog", i);
    put_sync_args(&m.w, log, 1 + 3 * (guint64)i, 3, 16);
    message_end(&m);
    ck_assert(client_send(fd, m.bytes, m.w.at));
    message_free(&m);
  }
  rig_wait_held(rig, 1000);
  g_autoptr(GPtrArray) calls = rig_take(rig);
  for (guint i = calls->len; i > 0; i--)
    rig_answer_sync(calls->pdata[i - 1]);
  for (gint32 i = 999; i >= 0; i--) {
    g_auto(Answer) answer = client_answer(fd);
    gsize size;
    const guint8 *frame = g_bytes_get_data(answer.frame, &size);
    SyncReply reply;
    gint32 seqid;
    fast_assert(hot_sync_reply_parse(frame, size, &seqid, &reply, NULL));
    fast_assert(seqid == i && reply.received == 9 && reply.durable == 8 && reply.applied == 7);
  }
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(batch_end_follows_all_that_was_read)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_requests_in_flight = 64; /* so that requests are also cut without a read */
  Rig *rig = rig_new(&options, 2);
  rig_set_mode(rig, RIG_AT_BATCH_END);
  int fd = client_connect(rig);
  GByteArray *stream = g_byte_array_new();
  for (gint32 i = 0; i < 1000; i++) {
    Message m = message_call("write", i);
    put_write_args(&m.w, 0, i, 1);
    message_end(&m);
    g_byte_array_append(stream, m.bytes, (guint)m.w.at);
    message_free(&m);
  }
  ck_assert(client_send(fd, stream->data, stream->len));
  for (gint32 i = 0; i < 1000; i++)
    check_write_answer(fd, i);
  ck_assert_uint_eq(rig_count(rig, &rig->most_held), 64);
  /* 1000 requests of ~110 bytes in chunks of at least 16 KiB, or groups of 64. */
  ck_assert_uint_lt(rig_count(rig, &rig->batch_ends), 100);
  guint64 before = rig_count(rig, &rig->batch_ends);
  client_send_plain(fd, "info", 1);
  g_auto(Answer) info = client_answer(fd);
  ck_assert_uint_eq(rig_count(rig, &rig->batch_ends), before);
  g_byte_array_unref(stream);
  close(fd);
  rig_free(rig);
}
END_TEST

/* --- methods -------------------------------------------------------------------------------------
 */

static Answer exchange(int fd, Message *m)
{
  message_end(m);
  ck_assert(client_send(fd, m->bytes, m->w.at));
  message_free(m);
  return client_answer(fd);
}

static void put_tokens(ByteWriter *w, guint16 id, guint count)
{
  wire_put_field(w, WIRE_LIST, id);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, count);
  for (guint i = 0; i < count; i++) {
    put_log(w, 1, (LogId){1 + i, 100});
    wire_put_i64(w, 2, 5);
    put_stop(w);
  }
}

static void put_names(ByteWriter *w, guint16 id, const char *a, const char *b)
{
  wire_put_field(w, WIRE_LIST, id);
  byte_writer_u8(w, WIRE_STRING);
  byte_writer_be32(w, 2);
  byte_writer_be32(w, (guint32)strlen(a));
  byte_writer_put(w, a, strlen(a));
  byte_writer_be32(w, (guint32)strlen(b));
  byte_writer_put(w, b, strlen(b));
}

static void check_text(Rig *rig, const char *expected)
{
  g_autofree char *text = rig_text(rig);
  ck_assert_str_eq(text, expected);
}

START_TEST(a_query_is_carried_both_ways)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  Message m = message_call("query", 1);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  put_text(&m.w, 2, "boiler.7");
  put_names(&m.w, 3, "t", "p");
  wire_put_i64(&m.w, 4, (guint64)-10);
  wire_put_i64(&m.w, 5, 99);
  wire_put_i32(&m.w, 6, 12);
  wire_put_string(&m.w, 7, "\0\xFFx", 3);
  wire_put_bool(&m.w, 8, TRUE);
  put_tokens(&m.w, 9, 2);
  wire_put_i32(&m.w, 10, 500);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) full = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&full), SYNCLOG_OK);
  check_text(rig, "query boiler.7 t+p [-10,99] limit 12 down page 3 tokens 2");

  m = message_call("query", 2);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  put_text(&m.w, 2, "d");
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) least = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&least), SYNCLOG_OK);
  check_text(rig, "query d all [-9223372036854775808,9223372036854775807] limit 0 up page 0 "
                  "tokens 0");
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(the_other_client_methods)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);

  Message m = message_call("last", 1);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 4);
  put_text(&m.w, 2, "d");
  put_names(&m.w, 3, "x", "y");
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) last = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&last), SYNCLOG_OK);
  check_text(rig, "last d x+y group 4 timeout -1");

  m = message_call("aggregate", 2);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  put_text(&m.w, 2, "d");
  put_text(&m.w, 3, "m");
  wire_put_i64(&m.w, 4, 0);
  wire_put_i64(&m.w, 5, 100);
  wire_put_i64(&m.w, 6, 60);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) aggregate = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&aggregate), SYNCLOG_TIMEOUT);
  check_text(rig, "aggregate d m window 60");

  m = message_call("series", 3);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  put_text(&m.w, 2, "plant.");
  wire_put_i32(&m.w, 3, 7);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) series = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&series), SYNCLOG_OK);
  check_text(rig, "series 0 plant. - 7");

  m = message_call("status", 4);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 8);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) status = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&status), SYNCLOG_UNKNOWN_GROUP);
  check_text(rig, "status 8");

  m = message_call("digest", 5);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  put_tokens(&m.w, 2, 3);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) digest = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&digest), SYNCLOG_OK);
  check_text(rig, "digest tokens 3");

  m = message_call("conflicts", 6);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  wire_put_i64(&m.w, 2, 41);
  wire_put_i32(&m.w, 3, 9);
  put_text(&m.w, 4, "d");
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) conflicts = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&conflicts), SYNCLOG_OK);
  check_text(rig, "conflicts 0 d 41 9");

  m = message_call("conflicts", 7);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  wire_put_i32(&m.w, 1, 0);
  wire_put_i64(&m.w, 2, -1);
  put_stop(&m.w);
  put_stop(&m.w);
  g_auto(Answer) negative = exchange(fd, &m);
  ck_assert_int_eq(answer_status(&negative), SYNCLOG_INVALID);

  client_send_plain(fd, "config", 8);
  g_auto(Answer) config = client_answer(fd);
  ck_assert_int_eq(answer_status(&config), SYNCLOG_OK);
  check_text(rig, "config");
  close(fd);
  rig_free(rig);
}
END_TEST

static void put_progress(ByteWriter *w, guint16 id, guint logs)
{
  wire_put_field(w, WIRE_STRUCT, id);
  wire_put_i32(w, 1, 6);
  wire_put_field(w, WIRE_LIST, 2);
  byte_writer_u8(w, WIRE_STRUCT);
  byte_writer_be32(w, logs);
  for (guint i = 0; i < logs; i++) {
    put_log(w, 1, (LogId){i + 1, 50});
    wire_put_i64(w, 2, 30);
    wire_put_i64(w, 3, 20);
    wire_put_i64(w, 4, 10);
    wire_put_i64(w, 5, 1);
    wire_put_i64(w, 6, 99);
    put_stop(w);
  }
  put_stop(w);
}

START_TEST(the_peer_methods)
{
  RpcServerOptions options = rig_options(RPC_PEER_SERVICE);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  for (guint bad = 0; bad <= 1; bad++) {
    Message m = message_call("handshake", 1);
    wire_put_field(&m.w, WIRE_STRUCT, 1);
    wire_put_i32(&m.w, 1, 1);
    put_text(&m.w, 2, "cluster");
    wire_put_i32(&m.w, 3, bad ? 70000 : 2);
    wire_put_i32(&m.w, 4, 3);
    wire_put_i64(&m.w, 5, 1000);
    put_text(&m.w, 6, "ms");
    wire_put_i32(&m.w, 7, 5);
    put_progress(&m.w, 8, 2);
    wire_put_i64(&m.w, 9, 12345);
    put_stop(&m.w);
    put_stop(&m.w);
    g_auto(Answer) answer = exchange(fd, &m);
    ck_assert_int_eq(answer_status(&answer), bad ? SYNCLOG_INVALID : SYNCLOG_OK);
    check_text(rig, "handshake cluster 2→3 logs 2");
  }
  for (guint bad = 0; bad <= 1; bad++) {
    Message m = message_call("heartbeat", 2);
    wire_put_field(&m.w, WIRE_STRUCT, 1);
    wire_put_i32(&m.w, 1, bad ? 0 : 2);
    put_progress(&m.w, 2, 1);
    wire_put_i64(&m.w, 3, 12345);
    put_stop(&m.w);
    put_stop(&m.w);
    g_auto(Answer) answer = exchange(fd, &m);
    ck_assert_int_eq(answer_status(&answer), bad ? SYNCLOG_INVALID : SYNCLOG_OK);
    check_text(rig, "heartbeat 2 group 6");
  }
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(unknown_methods_keep_the_connection)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  /* Those of peers are not known to clients. */
  static const char *const methods[] = {"nothing", "", "syncLog", "handshake", "writ", "writes"};
  for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
    client_send_plain(fd, methods[i], (gint32)i);
    g_auto(Answer) answer = client_answer(fd);
    ck_assert_int_eq(answer_exception(&answer), EXCEPTION_UNKNOWN_METHOD);
    ck_assert_str_eq(answer.name, methods[i]);
    ck_assert_int_eq(answer.seqid, (gint32)i);
  }
  client_send_write(fd, 77, 5);
  check_write_answer(fd, 77);
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(oneway_calls_have_no_output)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  for (gint32 i = 0; i < 50; i++) {
    Message m = message_call("write", i);
    put_write_args(&m.w, 0, i, 10);
    message_end(&m);
    m.bytes[7] = THRIFT_ONEWAY;
    ck_assert(client_send(fd, m.bytes, m.w.at));
    message_free(&m);
    m = message_call(i % 2 == 0 ? "config" : "nothing", i);
    put_stop(&m.w);
    message_end(&m);
    m.bytes[7] = THRIFT_ONEWAY;
    ck_assert(client_send(fd, m.bytes, m.w.at));
    message_free(&m);
  }
  client_send_write(fd, 1000, 5);
  check_write_answer(fd, 1000);
  ck_assert_uint_eq(rig_count(rig, &rig->writes), 51);
  check_text(rig, "config");
  close(fd);
  rig_free(rig);
}
END_TEST

/* --- life ----------------------------------------------------------------------------------------
 */

START_TEST(calls_outlive_their_connection)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 2);
  rig_set_mode(rig, RIG_HOLD);
  for (guint round = 0; round < 20; round++) {
    int fd = client_connect(rig);
    for (gint32 i = 0; i < 20; i++)
      client_send_write(fd, i, 100);
    rig_wait_held(rig, 20);
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd); /* with a reset */
    g_autoptr(GPtrArray) calls = rig_take(rig);
    GPtrArray *frames = g_ptr_array_new_with_free_func(rpc_frame_unref);
    for (guint i = 0; i < calls->len; i++) {
      ck_assert(g_str_has_prefix(rpc_call_peer_address(calls->pdata[i]), "127.0.0.1:"));
      g_ptr_array_add(frames, rpc_call_ref_frame(calls->pdata[i]));
      rig_answer_write(calls->pdata[i]);
    }
    g_ptr_array_unref(frames);
  }
  rig_free(rig);
}
END_TEST

START_TEST(what_was_asked_before_the_end_is_answered)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  rig_set_mode(rig, RIG_HOLD);
  int fd = client_connect(rig);
  for (gint32 i = 0; i < 10; i++)
    client_send_write(fd, i, 10);
  shutdown(fd, SHUT_WR);
  rig_wait_held(rig, 10);
  rig_answer_all_writes(rig);
  for (gint32 i = 0; i < 10; i++)
    check_write_answer(fd, i);
  ck_assert(client_is_closed(fd));
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(drain_answers_what_is_in_flight)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 2);
  rig_set_mode(rig, RIG_HOLD);
  int busy = client_connect(rig), idle = client_connect(rig);
  for (gint32 i = 0; i < 5; i++)
    client_send_write(busy, i, 10);
  client_send_plain(idle, "info", 1);
  g_auto(Answer) info = client_answer(idle);
  rig_wait_held(rig, 5);
  guint16 port = rpc_server_port(rig->server);
  rpc_server_drain(rig->server);
  ck_assert(client_is_closed(idle));
  client_send_write(busy, 99, 10); /* never looked at */
  rig_answer_all_writes(rig);
  for (gint32 i = 0; i < 5; i++)
    check_write_answer(busy, i);
  ck_assert(client_is_closed(busy));
  ck_assert_uint_eq(rig_count(rig, &rig->writes), 5);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ck_assert_int_ne(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
  close(fd);
  close(busy);
  close(idle);
  rig_free(rig);
}
END_TEST

START_TEST(the_last_replies_are_written_before_the_end)
{
  for (guint round = 0; round < 20; round++) {
    RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
    Rig *rig = rig_new(&options, 2);
    rig_set_mode(rig, RIG_HOLD);
    int fd = client_connect(rig);
    for (gint32 i = 0; i < 20; i++)
      client_send_write(fd, i, 10);
    rig_wait_held(rig, 20);
    rig_answer_all_writes(rig);
    rig_free(rig);
    for (gint32 i = 0; i < 20; i++)
      check_write_answer(fd, i);
    ck_assert(client_is_closed(fd));
    close(fd);
  }
}
END_TEST

START_TEST(addresses)
{
  static const RpcHandlers handlers = {0};
  RpcLoops *loops = rpc_loops_new(1, 1);
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  g_autoptr(GError) error = NULL;
  options.listen = "127.0.0.1:0, 127.0.0.2:0";
  RpcServer *several = rpc_server_new(loops, &options, &handlers, NULL, &error);
  ck_assert_ptr_nonnull(several);
  guint16 port = rpc_server_port(several);
  close(client_connect_port(port));

  g_autofree char *taken = g_strdup_printf("127.0.0.1:%u", port);
  options.listen = taken;
  ck_assert_ptr_null(rpc_server_new(loops, &options, &handlers, NULL, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY));
  ck_assert_ptr_nonnull(strstr(error->message, taken));
  g_clear_error(&error);

  static const char *const wrong[] = {
      "", "127.0.0.1", "127.0.0.1:", "::1:80", "127.0.0.1:x", "no such host:1", "127.0.0.1:0,,"};
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    options.listen = wrong[i];
    ck_assert_ptr_null(rpc_server_new(loops, &options, &handlers, NULL, &error));
    ck_assert_ptr_nonnull(error);
    g_clear_error(&error);
  }
  rpc_server_free(several);

  int probe = socket(AF_INET6, SOCK_STREAM, 0);
  struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  gboolean has_v6 = probe >= 0 && bind(probe, (struct sockaddr *)&loopback, sizeof loopback) == 0;
  if (probe >= 0)
    close(probe);
  options.listen = "[::1]:0";
  RpcServer *v6 = rpc_server_new(loops, &options, &handlers, NULL, NULL);
  ck_assert_int_eq(v6 != NULL, has_v6);
  if (v6 != NULL) {
    ck_assert_uint_ne(rpc_server_port(v6), 0);
    rpc_server_free(v6);
  }
  rpc_loops_free(loops);
}
END_TEST

/* --- loops ---------------------------------------------------------------------------------------
 */

typedef struct Posts {
  guint next[4];
  guint out_of_order;
  guint workers_done;
  GMutex lock;
  GCond cond;
  guint done;
} Posts;

typedef struct Post {
  Posts *posts;
  RpcLoop *loop;
  guint thread, number;
} Post;

static void run_post(gpointer data)
{
  g_autofree Post *post = data;
  Posts *posts = post->posts;
  if (posts->next[post->thread]++ != post->number)
    posts->out_of_order++;
  g_mutex_lock(&posts->lock);
  posts->done++;
  g_cond_signal(&posts->cond);
  g_mutex_unlock(&posts->lock);
}

static gpointer post_many(gpointer data)
{
  Post *from = data;
  for (guint i = 0; i < 20000; i++) {
    Post *post = g_memdup2(from, sizeof *from);
    post->number = i;
    rpc_loop_post(from->loop, run_post, post);
  }
  return NULL;
}

START_TEST(posts_of_a_thread_run_in_order)
{
  RpcLoops *loops = rpc_loops_new(2, 2);
  Posts posts = {0};
  Post from[4];
  GThread *threads[4];
  for (guint t = 0; t < 4; t++) {
    from[t] = (Post){&posts, rpc_loops_get(loops, 1), t, 0};
    threads[t] = g_thread_new("post", post_many, &from[t]);
  }
  for (guint t = 0; t < 4; t++)
    g_thread_join(threads[t]);
  g_mutex_lock(&posts.lock);
  while (posts.done < 80000)
    g_cond_wait(&posts.cond, &posts.lock);
  g_mutex_unlock(&posts.lock);
  ck_assert_uint_eq(posts.out_of_order, 0);
  rpc_loops_free(loops);
}
END_TEST

static void count_work(gpointer data)
{
  Posts *posts = data;
  g_mutex_lock(&posts->lock);
  posts->workers_done++;
  g_mutex_unlock(&posts->lock);
}

START_TEST(work_that_was_given_is_done_before_the_end)
{
  RpcLoops *loops = rpc_loops_new(1, 3);
  Posts posts = {0};
  for (guint i = 0; i < 5000; i++)
    rpc_loops_work(loops, count_work, &posts);
  rpc_loops_free(loops);
  ck_assert_uint_eq(posts.workers_done, 5000);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      requests_arrive_byte_by_byte,
      requests_of_all_sizes_arrive_whole,
      replies_come_in_the_order_of_the_requests,
      reads_and_writes_keep_their_order_too,
      replies_to_peers_come_as_they_are_given,
      batch_end_follows_all_that_was_read,
      a_query_is_carried_both_ways,
      the_other_client_methods,
      the_peer_methods,
      unknown_methods_keep_the_connection,
      oneway_calls_have_no_output,
      calls_outlive_their_connection,
      what_was_asked_before_the_end_is_answered,
      drain_answers_what_is_in_flight,
      the_last_replies_are_written_before_the_end,
      addresses,
      posts_of_a_thread_run_in_order,
      work_that_was_given_is_done_before_the_end,
  };
  return RUN_SUITE("server", tests);
}
