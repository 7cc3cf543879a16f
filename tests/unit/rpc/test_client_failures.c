#include "unit/rpc/client_rig.h"

static gboolean answer_info(const Request *request)
{
  ck_assert(is_method(request, "info"));
  NodeInfo info = sample_info();
  info.groups = g_array_new(FALSE, FALSE, sizeof(guint32));
  SlTInfoReply *reply = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  convert_info_to_thrift(&info, reply);
  convert_error_to_thrift(NULL, reply->status);
  g_array_unref(info.groups);
  return answer(request, reply);
}

static gboolean call_info(RpcClient *client, GError **error)
{
  NodeInfo info = {0};
  gboolean done = rpc_client_info(client, &info, error);
  if (done)
    ck_assert_str_eq(info.version, "9.9");
  node_info_clear(&info);
  return done;
}

/*
 * Plays `step`, which must make the call fail with `code`, and then a sound answer on the same or
 * on a new connection, as `reconnects` says.
 */
static void check_failure(Step step, SynclogStatus code, const char *text, gboolean reconnects)
{
  const Step steps[] = {step, answer_info};
  Fake fake;
  fake_begin(&fake, steps, 2);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(GError) error = NULL;
  ck_assert(!call_info(client, &error));
  ck_assert_msg(g_error_matches(error, SYNCLOG_ERROR, code), "%d: %s", error->code, error->message);
  ck_assert_msg(strstr(error->message, text) != NULL, "%s", error->message);
  /* Of these only a status is the node's word; a copy says so as well. */
  g_autoptr(GError) copy = g_error_copy(error);
  ck_assert_int_eq(synclog_error_is_answer(error), code == SYNCLOG_OVERLOADED);
  ck_assert_int_eq(synclog_error_is_answer(copy), code == SYNCLOG_OVERLOADED);
  g_clear_error(&error);
  ck_assert_msg(call_info(client, &error), "%s", error != NULL ? error->message : "");
  rpc_client_free(client);
  fake_end(&fake);
  ck_assert_int_eq(fake.connections, reconnects ? 2 : 1);
}

static gboolean wrong_seqid(const Request *request)
{
  send_message(request, THRIFT_REPLY, "info", request->header.seqid + 1, "", 1);
  return TRUE;
}

START_TEST(answer_to_another_request)
{
  check_failure(wrong_seqid, SYNCLOG_CORRUPT, "another request", TRUE);
}
END_TEST

static gboolean wrong_method(const Request *request)
{
  send_message(request, THRIFT_REPLY, "infos", request->header.seqid, "", 1);
  return TRUE;
}

static gboolean wrong_type(const Request *request)
{
  send_message(request, THRIFT_CALL, "info", request->header.seqid, "", 1);
  return TRUE;
}

START_TEST(answer_of_another_method)
{
  check_failure(wrong_method, SYNCLOG_CORRUPT, "another method", TRUE);
  check_failure(wrong_type, SYNCLOG_CORRUPT, "another method", TRUE);
}
END_TEST

static gboolean send_exception(const Request *request, const char *message, guint32 type)
{
  guint8 body[256];
  ByteWriter w = byte_writer(body, sizeof body);
  wire_put_string(&w, 1, message, strlen(message));
  wire_put_i32(&w, 2, type);
  byte_writer_u8(&w, WIRE_STOP);
  send_message(request, THRIFT_EXCEPTION, "info", request->header.seqid, body, w.at);
  return TRUE;
}

static gboolean protocol_exception(const Request *request)
{
  return send_exception(request, "malformed: \xff", 7);
}

static gboolean unknown_method(const Request *request)
{
  return send_exception(request, "", 1);
}

static gboolean broken_exception(const Request *request)
{
  send_message(request, THRIFT_EXCEPTION, "info", request->header.seqid, "\x0b\x00\x01\x00", 4);
  return TRUE;
}

START_TEST(exceptions)
{
  check_failure(protocol_exception, SYNCLOG_INVALID, "malformed: \xef\xbf\xbd", FALSE);
  check_failure(unknown_method, SYNCLOG_WRONG_VERSION, "no reason given", FALSE);
  check_failure(broken_exception, SYNCLOG_CORRUPT, "can't be read", TRUE);
}
END_TEST

static gboolean truncated_frame(const Request *request)
{
  send_bytes(request->fd, "\x00\x00\x00\x40\x80\x01", 6);
  return FALSE;
}

static gboolean closed_at_once(const Request *request)
{
  (void)request;
  return FALSE;
}

START_TEST(closed_before_the_end)
{
  check_failure(truncated_frame, SYNCLOG_NOT_READY, "closed the connection", TRUE);
  check_failure(closed_at_once, SYNCLOG_NOT_READY, "closed the connection", TRUE);
}
END_TEST

static gboolean oversize_frame(const Request *request)
{
  guint8 head[4];
  store_be32(head, LIMIT_FRAME_SIZE + 1);
  send_bytes(request->fd, head, sizeof head);
  return TRUE;
}

static gboolean http_answer(const Request *request)
{
  send_bytes(request->fd, "HTTP/1.1 400 Bad Request\r\n", 26);
  return TRUE;
}

static gboolean empty_frame(const Request *request)
{
  send_bytes(request->fd, "\0\0\0\0", 4);
  return TRUE;
}

START_TEST(no_frames)
{
  check_failure(oversize_frame, SYNCLOG_CORRUPT, "no Thrift frame", TRUE);
  check_failure(http_answer, SYNCLOG_CORRUPT, "no Thrift frame", TRUE);
  check_failure(empty_frame, SYNCLOG_CORRUPT, "no Thrift frame", TRUE);
}
END_TEST

static gboolean short_message(const Request *request)
{
  send_bytes(request->fd, "\0\0\0\x05\x80\x01\x00\x02\x00", 9);
  return TRUE;
}

static gboolean old_style_message(const Request *request)
{
  send_bytes(request->fd, "\0\0\0\x0d\0\0\0\x04info\x02\0\0\0\x01", 17);
  return TRUE;
}

static gboolean endless_name(const Request *request)
{
  send_bytes(request->fd, "\0\0\0\x0c\x80\x01\0\x02\xff\xff\xff\xff\0\0\0\x01", 16);
  return TRUE;
}

START_TEST(no_messages)
{
  check_failure(short_message, SYNCLOG_CORRUPT, "no Thrift message", TRUE);
  check_failure(old_style_message, SYNCLOG_CORRUPT, "no Thrift message", TRUE);
  check_failure(endless_name, SYNCLOG_CORRUPT, "no Thrift message", TRUE);
}
END_TEST

static gboolean no_result(const Request *request)
{
  send_body(request, "", 1);
  return TRUE;
}

static gboolean empty_result(const Request *request)
{
  send_body(request, "\x0c\x00\x00\x00", 5);
  return TRUE;
}

static gboolean huge_string(const Request *request)
{
  send_body(request, "\x0c\x00\x00\x0b\x00\x03\x7f\xff\xff\xff", 10);
  return TRUE;
}

static gboolean trailing_bytes(const Request *request)
{
  SlTInfoReply *reply = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  convert_error_to_thrift(NULL, reply->status);
  g_autoptr(GByteArray) body = encode(reply);
  g_byte_array_append(body, (const guint8 *)"", 1);
  send_body(request, body->data, body->len);
  g_object_unref(reply);
  return TRUE;
}

START_TEST(malformed_results)
{
  check_failure(no_result, SYNCLOG_CORRUPT, "no result", TRUE);
  check_failure(empty_result, SYNCLOG_CORRUPT, "", TRUE);
  check_failure(huge_string, SYNCLOG_CORRUPT, "", TRUE);
  check_failure(trailing_bytes, SYNCLOG_CORRUPT, "does not end", TRUE);
}
END_TEST

static gboolean refuse(const Request *request)
{
  SlTInfoReply *reply = g_object_new(SL_TYPE_T_INFO_REPLY, NULL);
  convert_status_to_thrift(SYNCLOG_OVERLOADED, "queue full", reply->status);
  return answer(request, reply);
}

START_TEST(a_status_becomes_the_error)
{
  check_failure(refuse, SYNCLOG_OVERLOADED, "queue full", FALSE);
}
END_TEST

static gboolean hold(const Request *request)
{
  /* Until the client gives up. */
  guint8 byte;
  ck_assert_int_eq(recv(request->fd, &byte, 1, 0), 0);
  return FALSE;
}

static gboolean hold_midway(const Request *request)
{
  send_bytes(request->fd, "\x00\x00\x00\x40\x80\x01", 6);
  return hold(request);
}

START_TEST(no_answer_in_time)
{
  const Step steps[] = {hold, hold_midway, answer_info};
  Fake fake;
  fake_begin(&fake, steps, 3);
  RpcClient *client = client_of(&fake, 150);
  for (guint i = 0; i < 2; i++) {
    g_autoptr(GError) error = NULL;
    gint64 began_us = g_get_monotonic_time();
    ck_assert(!call_info(client, &error));
    ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TIMEOUT));
    ck_assert_int_ge(g_get_monotonic_time() - began_us, 150 * 1000);
  }
  rpc_client_free(client);
  client = client_of(&fake, 20000);
  ck_assert(call_info(client, NULL));
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

static gboolean answer_and_close(const Request *request)
{
  answer_info(request);
  return FALSE;
}

START_TEST(a_connection_closed_while_idle)
{
  const Step steps[] = {answer_and_close, answer_and_close, answer_info};
  Fake fake;
  fake_begin(&fake, steps, 3);
  RpcClient *client = client_of(&fake, 20000);
  for (guint i = 0; i < 3; i++) {
    g_autoptr(GError) error = NULL;
    /* The close may not have arrived yet; then this call fails and the next one connects. */
    gboolean done = call_info(client, &error);
    if (!done) {
      ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY));
      ck_assert(call_info(client, NULL));
    }
  }
  rpc_client_free(client);
  fake_end(&fake);
  ck_assert_int_eq(fake.connections, 3);
}
END_TEST

START_TEST(nobody_listens)
{
  Fake fake;
  fake_begin(&fake, NULL, 0);
  RpcClient *client = client_of(&fake, 20000);
  fake_end(&fake);
  g_autoptr(GError) error = NULL;
  ck_assert(!call_info(client, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY));
  rpc_client_free(client);
}
END_TEST

START_TEST(addresses)
{
  static const char *const wrong[] = {"",
                                      "host",
                                      ":1",
                                      "host:",
                                      "::1:5",
                                      "[::1]",
                                      "a:b:c",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:99999",
                                      "127.0.0.1:0",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:http"};
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(RpcClient) client = rpc_client_new(wrong[i], 1000);
    g_autoptr(GError) error = NULL;
    ck_assert(!call_info(client, &error));
    ck_assert_msg(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID), "%s: %s", wrong[i],
                  error->message);
  }
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {answer_to_another_request,
                                answer_of_another_method,
                                exceptions,
                                closed_before_the_end,
                                no_frames,
                                no_messages,
                                malformed_results,
                                a_status_becomes_the_error,
                                no_answer_in_time,
                                a_connection_closed_while_idle,
                                nobody_listens,
                                addresses};
  return RUN_SUITE("client_failures", tests);
}
