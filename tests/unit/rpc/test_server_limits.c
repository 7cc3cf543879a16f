/* What slow and greedy clients can do to a server. */
#include "unit/rpc/rig.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>

/* --- time ----------------------------------------------------------------------------------------
 */

START_TEST(a_frame_must_be_completed_in_time)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.header_timeout_ms = 200;
  Rig *rig = rig_new(&options, 1);
  Message m = message_call("write", 1);
  put_write_args(&m.w, 0, 1, 1000);
  message_end(&m);
  /* One byte of the length, the length alone, half a frame; and one that never stops. */
  const gsize begins[] = {1, 4, 500};
  for (guint i = 0; i < G_N_ELEMENTS(begins); i++) {
    int fd = client_connect(rig);
    ck_assert(client_send(fd, m.bytes, begins[i]));
    ck_assert(client_is_closed(fd));
    close(fd);
  }
  int fd = client_connect(rig);
  gint64 begin = g_get_monotonic_time();
  gsize at = 0;
  while (at < m.w.at && client_send(fd, m.bytes + at, 1)) {
    at++;
    g_usleep(10000); /* the slow client: 1000 bytes would take 10 s */
  }
  ck_assert_uint_lt(at, m.w.at);
  ck_assert_int_lt(g_get_monotonic_time() - begin, 5 * G_USEC_PER_SEC);
  close(fd);
  /* A connection without a frame under way is not late. */
  check_serves(rig);
  message_free(&m);
  rig_free(rig);
}
END_TEST

START_TEST(idle_connections_are_closed)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.idle_timeout_ms = 200;
  Rig *rig = rig_new(&options, 1);
  int silent = client_connect(rig);
  ck_assert(client_is_closed(silent));
  int fd = client_connect(rig);
  client_send_write(fd, 1, 10);
  g_auto(Answer) answer = client_answer(fd);
  ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
  ck_assert(client_is_closed(fd));
  close(fd);
  close(silent);
  rig_free(rig);
}
END_TEST

START_TEST(who_waits_for_an_answer_is_not_idle)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.idle_timeout_ms = 100;
  options.header_timeout_ms = 100;
  Rig *rig = rig_new(&options, 1);
  rig_set_mode(rig, RIG_HOLD);
  int waiting = client_connect(rig);
  client_send_write(waiting, 1, 10);
  rig_wait_held(rig, 1);
  /* By then others that came later have been closed twice over. */
  for (guint i = 0; i < 2; i++) {
    int idle = client_connect(rig);
    ck_assert(client_is_closed(idle));
    close(idle);
  }
  rig_answer_all_writes(rig);
  g_auto(Answer) answer = client_answer(waiting);
  ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
  close(waiting);
  rig_free(rig);
}
END_TEST

/* --- numbers -------------------------------------------------------------------------------------
 */

START_TEST(connections_are_limited)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_connections = 5;
  Rig *rig = rig_new(&options, 2);
  int fds[5];
  for (guint i = 0; i < 5; i++) {
    fds[i] = client_connect(rig);
    client_send_write(fds[i], 1, 10);
    g_auto(Answer) answer = client_answer(fds[i]);
    ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
  }
  ck_assert_uint_eq(rpc_server_connections(rig->server), 5);
  for (guint i = 0; i < 20; i++) {
    int more = client_connect(rig);
    ck_assert(client_is_closed(more));
    close(more);
  }
  client_send_write(fds[4], 2, 10);
  g_auto(Answer) still = client_answer(fds[4]);
  ck_assert_int_eq(still.seqid, 2);
  /* With one gone there is room again, as soon as the server has seen it. */
  shutdown(fds[0], SHUT_WR);
  ck_assert(client_is_closed(fds[0]));
  close(fds[0]);
  while (rpc_server_connections(rig->server) == 5)
    g_thread_yield();
  check_serves(rig);
  for (guint i = 1; i < 5; i++)
    close(fds[i]);
  rig_free(rig);
}
END_TEST

static gboolean is_info_served(int fd)
{
  client_send_plain(fd, "info", 1);
  g_auto(Answer) answer = client_answer(fd);
  return answer.seqid == 1;
}

/* Of 40 connections four are for operators: whoever fills the others does not lock them out. */
START_TEST(p7_operators_get_in)
{
  enum { ALL = 40, KEPT = 4 };
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_connections = ALL;
  Rig *rig = rig_new(&options, 2);
  int fds[ALL];
  for (guint i = 0; i < ALL - KEPT; i++) {
    fds[i] = client_connect(rig);
    ck_assert(is_info_served(fds[i]));
  }
  int writer = client_connect(rig);
  client_send_write(writer, 1, 10);
  ck_assert(client_is_closed(writer));
  close(writer);
  int operator= client_connect(rig);
  ck_assert(is_info_served(operator));
  ck_assert(is_info_served(operator));
  client_send_write(operator, 1, 10);
  ck_assert(client_is_closed(operator));
  close(operator);
  while (rpc_server_connections(rig->server) > ALL - KEPT)
    g_thread_yield();
  /* Silent ones that take the places of operators give way after a moment. */
  for (guint i = ALL - KEPT; i < ALL; i++)
    fds[i] = client_connect(rig);
  gint64 until_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
  for (gboolean served = FALSE; !served;) {
    ck_assert_int_lt(g_get_monotonic_time(), until_us);
    operator= client_connect(rig);
    client_send_plain(operator, "info", 1);
    g_auto(Answer) answer = client_answer(operator);
    served = answer.seqid == 1;
    close(operator);
  }
  /* The others were left in peace. */
  for (guint i = 0; i < ALL - KEPT; i++)
    ck_assert(is_info_served(fds[i]));
  for (guint i = 0; i < ALL; i++)
    close(fds[i]);
  rig_free(rig);
}
END_TEST

START_TEST(without_descriptors_the_server_waits_quietly)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int held = client_connect(rig);
  client_send_write(held, 1, 10);
  g_auto(Answer) first = client_answer(held);
  ck_assert_int_eq(first.seqid, 1);
  int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval timeout = {30, 0};
  setsockopt(waiting, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  /* Fill all descriptors, so that the next connection cannot be taken. */
  struct rlimit old, low;
  getrlimit(RLIMIT_NOFILE, &old);
  low = old;
  low.rlim_cur = 64;
  setrlimit(RLIMIT_NOFILE, &low);
  int spare[64];
  guint count = 0;
  while (count < 64 && (spare[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    count++;
  ck_assert_uint_gt(count, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(rpc_server_port(rig->server))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ck_assert_int_eq(connect(waiting, (struct sockaddr *)&address, sizeof address), 0);
  client_send_write(waiting, 5, 10);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  /* The loop goes on serving, and does not spin on the listening socket. */
  gint64 begin = g_get_monotonic_time();
  gint32 rounds = 0;
  while (g_get_monotonic_time() - begin < 400000) {
    client_send_write(held, ++rounds, 10);
    g_auto(Answer) answer = client_answer(held);
    fast_assert(answer.seqid == rounds);
    g_usleep(20000);
  }
  getrusage(RUSAGE_SELF, &after);
  gint64 cpu_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * G_USEC_PER_SEC +
                  after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                  (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * G_USEC_PER_SEC +
                  after.ru_stime.tv_usec - before.ru_stime.tv_usec;
  ck_assert_int_lt(cpu_us, 200000);
  for (guint i = 0; i < count; i++)
    close(spare[i]);
  setrlimit(RLIMIT_NOFILE, &old);
  g_auto(Answer) late = client_answer(waiting);
  ck_assert_int_eq(late.seqid, 5);
  close(waiting);
  close(held);
  rig_free(rig);
}
END_TEST

/* --- back-pressure -------------------------------------------------------------------------------
 */

/* Sends as much as the other side takes without blocking; the bytes taken. */
static gsize send_until_full(int fd, const guint8 *bytes, gsize size, guint repeat)
{
  gsize total = 0;
  guint quiet = 0;
  guint i = 0;
  gsize at = 0;
  while (i < repeat && quiet < 50) {
    gssize n = send(fd, bytes + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      g_usleep(2000); /* 50 times in a row: the server has stopped reading */
      quiet++;
      continue;
    }
    quiet = 0;
    total += (gsize)n;
    at += (gsize)n;
    if (at == size) {
      at = 0;
      i++;
    }
  }
  return total;
}

START_TEST(unanswered_requests_are_limited)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_requests_in_flight = 10;
  Rig *rig = rig_new(&options, 1);
  rig_set_mode(rig, RIG_HOLD);
  int fd = client_connect(rig);
  for (gint32 i = 0; i < 100; i++)
    client_send_write(fd, i, 10);
  for (gint32 i = 0; i < 100; i += 10) {
    rig_wait_held(rig, 10);
    rig_answer_all_writes(rig);
    for (gint32 k = i; k < i + 10; k++) {
      g_auto(Answer) answer = client_answer(fd);
      ck_assert_int_eq(answer.seqid, k);
    }
  }
  ck_assert_uint_eq(rig_count(rig, &rig->most_held), 10);
  ck_assert_uint_eq(rig_count(rig, &rig->writes), 100);
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(a_client_that_never_reads_is_bounded)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  g_mutex_lock(&rig->lock);
  rig->large_rows = 60000; /* a reply of about 1 MB */
  g_mutex_unlock(&rig->lock);
  int fd = client_connect(rig);
  Message m = message_call("query", 7);
  wire_put_field(&m.w, WIRE_STRUCT, 1);
  byte_writer_put(&m.w, GOOD_QUERY, sizeof GOOD_QUERY - 1);
  put_stop(&m.w);
  put_stop(&m.w);
  message_end(&m);
  const guint asked = 400000;
  gsize sent = send_until_full(fd, m.bytes, m.w.at, asked);
  /* What the kernel buffers, and no more: the server has stopped reading. */
  ck_assert_uint_lt(sent, m.w.at * asked);
  /* 400000 replies would be 400 GB. Others are served. */
  check_serves(rig);
  struct mallinfo2 info = mallinfo2();
  ck_assert_uint_lt(info.uordblks + info.hblkhd, 64u << 20);
  /* It begins to read, and everything comes. */
  for (guint i = 0; i < sent / m.w.at && i < 30; i++) {
    g_auto(Answer) answer = client_answer(fd);
    ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
    ck_assert_uint_gt(g_bytes_get_size(answer.frame), 900000);
  }
  close(fd);
  message_free(&m);
  rig_free(rig);
}
END_TEST

START_TEST(a_client_that_never_reads_is_closed_in_time)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.header_timeout_ms = 300;
  Rig *rig = rig_new(&options, 1);
  g_mutex_lock(&rig->lock);
  rig->large_rows = 600000;
  g_mutex_unlock(&rig->lock);
  int fd = client_connect(rig);
  for (guint i = 0; i < 10; i++) {
    Message m = message_call("query", 7);
    wire_put_field(&m.w, WIRE_STRUCT, 1);
    byte_writer_put(&m.w, GOOD_QUERY, sizeof GOOD_QUERY - 1);
    put_stop(&m.w);
    put_stop(&m.w);
    message_end(&m);
    ck_assert(client_send(fd, m.bytes, m.w.at));
    message_free(&m);
  }
  /* Whether it was closed shows at the server: we do not read. */
  gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
  while (rpc_server_connections(rig->server) != 1 && g_get_monotonic_time() < end)
    g_thread_yield();
  while (rpc_server_connections(rig->server) != 0 && g_get_monotonic_time() < end)
    g_usleep(1000);
  ck_assert_uint_eq(rpc_server_connections(rig->server), 0);
  close(fd);
  rig_free(rig);
}
END_TEST

START_TEST(memory_of_all_requests_is_limited)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_memory_in_flight = 4 * 1024 * 1024;
  Rig *rig = rig_new(&options, 2);
  rig_set_mode(rig, RIG_HOLD);
  enum { CLIENTS = 8, SIZE = 200000, EACH = 40 };
  int fds[CLIENTS];
  Message m = message_call("write", 1);
  put_write_args(&m.w, 0, 1, SIZE);
  message_end(&m);
  gsize sent[CLIENTS];
  for (guint c = 0; c < CLIENTS; c++) {
    fds[c] = client_connect(rig);
    sent[c] = send_until_full(fds[c], m.bytes, m.w.at, EACH);
  }
  /* 8 × 40 × 200 kB were offered; what is held stays near the limit: a frame and a read on top of
   * it for each connection that was being read. */
  guint64 held = rig_count(rig, &rig->bytes);
  ck_assert_uint_ge(held, 2u << 20);
  ck_assert_uint_le(held, (4u << 20) + CLIENTS * (SIZE + 256 * 1024));
  /* All goes on as answers free memory. */
  rig_set_mode(rig, RIG_ANSWER);
  rig_answer_all_writes(rig);
  for (guint c = 0; c < CLIENTS; c++) {
    gsize at = sent[c] % m.w.at;
    if (at > 0)
      ck_assert(client_send(fds[c], m.bytes + at, m.w.at - at));
    guint frames = (guint)((sent[c] + m.w.at - 1) / m.w.at);
    for (guint i = 0; i < frames; i++) {
      g_auto(Answer) answer = client_answer(fds[c]);
      fast_assert_msg(answer.frame != NULL, "client %u: closed at %u of %u", c, i, frames);
    }
    close(fds[c]);
  }
  message_free(&m);
  rig_free(rig);
}
END_TEST

START_TEST(unfinished_frames_cannot_use_up_the_memory_for_ever)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_memory_in_flight = 2 * 1024 * 1024;
  Rig *rig = rig_new(&options, 2);
  enum { CLIENTS = 10 };
  int fds[CLIENTS];
  g_autofree guint8 *bytes = g_malloc0(600 * 1024);
  store_be32(bytes, 1000 * 1024);
  for (guint c = 0; c < CLIENTS; c++) {
    fds[c] = client_connect(rig);
    send_until_full(fds[c], bytes, 600 * 1024, 1);
  }
  check_serves(rig); /* some of them had to go */
  for (guint c = 0; c < CLIENTS; c++)
    close(fds[c]);
  rig_free(rig);
}
END_TEST

START_TEST(a_request_that_waits_does_not_keep_unfinished_frames)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_memory_in_flight = 2 * 1024 * 1024;
  Rig *rig = rig_new(&options, 2);
  /* Its answer would free next to nothing, and may be long in coming. */
  rig_set_mode(rig, RIG_HOLD);
  int waiting = client_connect(rig);
  client_send_write(waiting, 1, 30);
  rig_wait_held(rig, 1);
  rig_set_mode(rig, RIG_ANSWER);
  enum { CLIENTS = 10 };
  int fds[CLIENTS];
  g_autofree guint8 *bytes = g_malloc0(600 * 1024);
  store_be32(bytes, 1000 * 1024);
  for (guint c = 0; c < CLIENTS; c++) {
    fds[c] = client_connect(rig);
    send_until_full(fds[c], bytes, 600 * 1024, 1);
  }
  check_serves(rig); /* some of them had to go, and not it */
  rig_answer_all_writes(rig);
  g_auto(Answer) answer = client_answer(waiting);
  ck_assert_int_eq(answer_status(&answer), SYNCLOG_OK);
  close(waiting);
  for (guint c = 0; c < CLIENTS; c++)
    close(fds[c]);
  rig_free(rig);
}
END_TEST

/* --- leaks ---------------------------------------------------------------------------------------
 */

static gsize heap_in_use(void)
{
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

/* `count` requests of several kinds, pipelined. */
static void ask_many(int fd, guint count)
{
  Message query = message_call("query", 7);
  wire_put_field(&query.w, WIRE_STRUCT, 1);
  byte_writer_put(&query.w, GOOD_QUERY, sizeof GOOD_QUERY - 1);
  put_stop(&query.w);
  put_stop(&query.w);
  message_end(&query);
  for (guint i = 0; i < count; i += 50) {
    for (guint k = 0; k < 50; k++) {
      if (k % 10 == 0)
        ck_assert(client_send(fd, query.bytes, query.w.at));
      else if (k % 10 == 1)
        client_send_plain(fd, "nothing", 1);
      else if (k % 10 == 2)
        client_send_plain(fd, "info", 1);
      else
        client_send_write(fd, 1, 30);
    }
    for (guint k = 0; k < 50; k++) {
      g_auto(Answer) answer = client_answer(fd);
      fast_assert(answer.frame != NULL);
    }
  }
  message_free(&query);
}

START_TEST(a_hundred_thousand_requests_leave_nothing_behind)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 1);
  int fd = client_connect(rig);
  ask_many(fd, 5000);
  gsize before = heap_in_use();
  ask_many(fd, HISTORIES(100000));
  gsize after = heap_in_use();
  /* 68 bytes a request, as the library leaks them, would be 6.8 MB, or 850 KB. */
  ck_assert_uint_lt(after, before + 256 * 1024);
  close(fd);
  rig_free(rig);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      a_frame_must_be_completed_in_time,
      idle_connections_are_closed,
      who_waits_for_an_answer_is_not_idle,
      connections_are_limited,
      p7_operators_get_in,
      without_descriptors_the_server_waits_quietly,
      unanswered_requests_are_limited,
      a_client_that_never_reads_is_bounded,
      a_client_that_never_reads_is_closed_in_time,
      memory_of_all_requests_is_limited,
      unfinished_frames_cannot_use_up_the_memory_for_ever,
      a_request_that_waits_does_not_keep_unfinished_frames,
      a_hundred_thousand_requests_leave_nothing_behind,
  };
  return RUN_SUITE("server_limits", tests);
}
