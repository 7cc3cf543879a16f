/* What a broken or hostile peer can answer: each costs the connection and nothing else. */
#include "unit/rpc/channel_rig.h"

enum { LONG_MS = 60 * 1000 };

/* --- malformed replies ---------------------------------------------------------------------------
 */

typedef struct Hostile {
  const char *name;
  int code;                                    /* of on_closed */
  Message (*build)(gint32 seqid, gint32 sync); /* to a handshake of `seqid`, a syncLog of `sync` */
} Hostile;

static Message raw(const void *bytes, gsize size)
{
  Message m = message_new();
  byte_writer_be32(&m.w, 0);
  byte_writer_put(&m.w, bytes, size);
  return m;
}

static Message no_message(gint32 seqid, gint32 sync)
{
  (void)seqid, (void)sync;
  return raw("HTTP/1.1 400 Bad Request", 24);
}

static Message one_byte(gint32 seqid, gint32 sync)
{
  (void)seqid, (void)sync;
  return raw("\x80", 1);
}

static Message name_too_large(gint32 seqid, gint32 sync)
{
  (void)seqid, (void)sync;
  return raw("\x80\x01\x00\x02\x7F\xFF\xFF\xFFhandshake", 17);
}

static Message other_seqid(gint32 seqid, gint32 sync)
{
  return handshake_reply(seqid + sync + 1000, SYNCLOG_OK, TRUE);
}

static Message negative_seqid(gint32 seqid, gint32 sync)
{
  (void)sync;
  return handshake_reply(-seqid, SYNCLOG_OK, TRUE);
}

static Message reply_to_the_other(gint32 seqid, gint32 sync)
{
  (void)seqid;
  return handshake_reply(sync, SYNCLOG_OK, TRUE);
}

static Message other_method(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = handshake_reply(seqid, SYNCLOG_OK, TRUE);
  memcpy(m.bytes + FRAME_LENGTH_SIZE + 8, "heartbeat", strlen("heartbeat"));
  return m;
}

static Message a_call(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = handshake_reply(seqid, SYNCLOG_OK, TRUE);
  m.bytes[FRAME_LENGTH_SIZE + 3] = THRIFT_CALL;
  return m;
}

static void put_exception(ByteWriter *w)
{
  put_text(w, 1, "unknown method");
  wire_put_i32(w, 2, EXCEPTION_UNKNOWN_METHOD);
  put_stop(w);
}

static Message an_exception(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = reply_begin(THRIFT_EXCEPTION, "handshake", seqid);
  put_exception(&m.w);
  return m;
}

static Message an_exception_to_sync(gint32 seqid, gint32 sync)
{
  (void)seqid;
  Message m = reply_begin(THRIFT_EXCEPTION, "syncLog", sync);
  put_exception(&m.w);
  return m;
}

static Message no_result(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = reply_begin(THRIFT_REPLY, "handshake", seqid);
  put_stop(&m.w);
  return m;
}

static Message no_result_of_sync(gint32 seqid, gint32 sync)
{
  (void)seqid;
  Message m = reply_begin(THRIFT_REPLY, "syncLog", sync);
  put_stop(&m.w);
  return m;
}

static Message cut_result(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = handshake_reply(seqid, SYNCLOG_OK, TRUE);
  m.w.at -= 9;
  return m;
}

static Message bytes_behind(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = handshake_reply(seqid, SYNCLOG_OK, TRUE);
  put_stop(&m.w);
  return m;
}

static Message no_progress(gint32 seqid, gint32 sync)
{
  (void)sync;
  return handshake_reply(seqid, SYNCLOG_OK, FALSE);
}

static Message unknown_status(gint32 seqid, gint32 sync)
{
  (void)sync;
  return handshake_reply(seqid, (SynclogStatus)99, TRUE);
}

static Message unknown_status_of_sync(gint32 seqid, gint32 sync)
{
  (void)seqid;
  SyncReply reply = {.status = (SynclogStatus)99, .message = (char *)"?"};
  g_autofree RpcReply *bytes = hot_sync_reply(sync, &reply);
  return raw(bytes->bytes + FRAME_LENGTH_SIZE, bytes->size - FRAME_LENGTH_SIZE);
}

static Message negative_received(gint32 seqid, gint32 sync)
{
  (void)seqid;
  SyncReply reply = {.status = SYNCLOG_OK, .received = G_MAXUINT64};
  g_autofree RpcReply *bytes = hot_sync_reply(sync, &reply);
  return raw(bytes->bytes + FRAME_LENGTH_SIZE, bytes->size - FRAME_LENGTH_SIZE);
}

static Message deep(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = reply_begin(THRIFT_REPLY, "handshake", seqid);
  for (guint i = 0; i < 40000; i++)
    wire_put_field(&m.w, WIRE_STRUCT, 99);
  for (guint i = 0; i < 40001; i++)
    put_stop(&m.w);
  return m;
}

static Message huge_list(gint32 seqid, gint32 sync)
{
  (void)sync;
  Message m = reply_begin(THRIFT_REPLY, "handshake", seqid);
  wire_put_field(&m.w, WIRE_STRUCT, 0);
  wire_put_field(&m.w, WIRE_STRUCT, 4); /* progress */
  wire_put_i32(&m.w, 1, 0);
  wire_put_field(&m.w, WIRE_LIST, 2);
  byte_writer_u8(&m.w, WIRE_STRUCT);
  byte_writer_be32(&m.w, G_MAXINT32);
  return m;
}

static const Hostile hostiles[] = {
    {"no message", SYNCLOG_INVALID, no_message},
    {"one byte", SYNCLOG_INVALID, one_byte},
    {"name of 2^31-1 bytes", SYNCLOG_INVALID, name_too_large},
    {"a sequence id that was not given", SYNCLOG_INVALID, other_seqid},
    {"a negative sequence id", SYNCLOG_INVALID, negative_seqid},
    {"the sequence id of another method", SYNCLOG_INVALID, reply_to_the_other},
    {"another method", SYNCLOG_INVALID, other_method},
    {"a call", SYNCLOG_INVALID, a_call},
    {"an exception", SYNCLOG_INVALID, an_exception},
    {"an exception to syncLog", SYNCLOG_INTERNAL, an_exception_to_sync},
    {"no result", SYNCLOG_INVALID, no_result},
    {"no result of syncLog", SYNCLOG_INVALID, no_result_of_sync},
    {"cut", SYNCLOG_INVALID, cut_result},
    {"bytes behind", SYNCLOG_INVALID, bytes_behind},
    {"OK without progress", SYNCLOG_INVALID, no_progress},
    {"a status that is none", SYNCLOG_INVALID, unknown_status},
    {"a status that is none, syncLog", SYNCLOG_INVALID, unknown_status_of_sync},
    {"a negative index", SYNCLOG_INVALID, negative_received},
    {"40000 nested structs", SYNCLOG_INVALID, deep},
    {"a list of 2^31-1", SYNCLOG_INVALID, huge_list},
};

/* A handshake and a syncLog have been asked; their sequence ids. */
static void ask(Line *line, int fd, gint *released, gint32 *out_handshake, gint32 *out_sync)
{
  send_handshake(line);
  send_small_sync(line, 1, released);
  g_auto(Answer) first = client_answer(fd);
  g_auto(Answer) second = client_answer(fd);
  *out_handshake = first.seqid;
  *out_sync = second.seqid;
}

START_TEST(malformed_replies_cost_the_connection)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  for (guint i = 0; i < G_N_ELEMENTS(hostiles); i++) {
    int fd = line_connect(&line);
    gint32 handshake, sync;
    ask(&line, fd, &released, &handshake, &sync);
    Message m = hostiles[i].build(handshake, sync);
    ck_assert(reply_send(fd, &m));
    seen_wait(line.seen, &line.seen->closed, i + 1);
    ck_assert_msg(line.seen->closed_code == hostiles[i].code, "%s: %s", hostiles[i].name,
                  line.seen->closed_why);
    ck_assert_msg(client_is_closed(fd), "%s", hostiles[i].name);
    close(fd);
  }
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->handshakes), 0);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 0);
  line_free(&line);
}
END_TEST

START_TEST(lengths_that_cannot_be)
{
  static const guint32 lengths[] = {0, 0xFFFFFFFF, 0x7FFFFFFF, 1024 * 1024 + 1};
  Line line = line_new(LONG_MS);
  for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
    int fd = line_connect(&line);
    guint8 bytes[4];
    store_be32(bytes, lengths[i]);
    ck_assert(client_send(fd, bytes, sizeof bytes));
    seen_wait_closed(line.seen, i + 1, SYNCLOG_INVALID);
    close(fd);
  }
  line_free(&line);
}
END_TEST

START_TEST(no_reply_is_taken_twice)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  int fd = line_connect(&line);
  gint32 handshake, sync;
  ask(&line, fd, &released, &handshake, &sync);
  peer_send_sync(fd, sync, 1);
  peer_send_sync(fd, sync, 2);
  seen_wait_closed(line.seen, 1, SYNCLOG_INVALID);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 1);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(a_reply_to_the_connection_before)
{
  Line line = line_new(LONG_MS);
  gint released = 0;
  int fd = line_connect(&line);
  gint32 handshake, sync;
  ask(&line, fd, &released, &handshake, &sync);
  close(fd);
  seen_wait(line.seen, &line.seen->closed, 1);
  fd = line_connect(&line);
  gint32 handshake_now, sync_now;
  ask(&line, fd, &released, &handshake_now, &sync_now);
  ck_assert_int_gt(handshake_now, sync);
  peer_send_sync(fd, sync, 1);
  seen_wait_closed(line.seen, 2, SYNCLOG_INVALID);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->syncs), 0);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(mutated_replies_do_no_harm)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(5);
  Line line = line_new(LONG_MS);
  gint released = 0;
  for (guint round = 1; round <= 1000; round++) {
    int fd = line_connect(&line);
    gint32 handshake, sync;
    ask(&line, fd, &released, &handshake, &sync);
    send_heartbeat(&line);
    g_auto(Answer) third = client_answer(fd);
    Message m = round % 2 == 0 ? handshake_reply(handshake, SYNCLOG_OK, TRUE)
                               : heartbeat_reply(third.seqid);
    message_end(&m);
    for (guint i = 0; i < 3; i++) {
      gsize at = (gsize)g_rand_int_range(rand, FRAME_LENGTH_SIZE, (gint32)m.w.at);
      guint8 any = (guint8)g_rand_int(rand);
      m.bytes[at] = g_rand_boolean(rand) ? any : any % 16;
    }
    ck_assert(client_send(fd, m.bytes, m.w.at));
    message_free(&m);
    close(fd);
    seen_wait(line.seen, &line.seen->closed, round);
  }
  line_free(&line);
  ck_assert_int_eq(g_atomic_int_get(&released), 1000);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      malformed_replies_cost_the_connection, lengths_that_cannot_be,     no_reply_is_taken_twice,
      a_reply_to_the_connection_before,      mutated_replies_do_no_harm,
  };
  return RUN_SUITE("channel_hostile", tests);
}
