/* What hostile clients can do to a server: the table of malformed frames, and mutated ones. */
#include "unit/rpc/rig.h"

#include "base/limits.h"
#include "rpc/hot_codec.h"

/* --- malformed frames ----------------------------------------------------------------------------
 */

typedef enum {
  CLOSES,    /* without a word */
  EXCEPTION, /* a protocol error with the sequence id, then the end */
  STAYS,     /* is answered otherwise and the connection stays */
} Outcome;

typedef struct Hostile {
  const char *name;
  Outcome outcome;
  void (*build)(ByteWriter *w); /* the whole stream */
} Hostile;

/* Frames around what `content` writes. */
static void put_frame(ByteWriter *w, const void *bytes, gsize size)
{
  byte_writer_be32(w, (guint32)size);
  byte_writer_put(w, bytes, size);
}

static void put_header(ByteWriter *w, gsize body_size, const char *method)
{
  byte_writer_be32(w, (guint32)(12 + strlen(method) + body_size));
  wire_put_message(w, THRIFT_CALL, method, strlen(method), 7);
}

static void empty_frame(ByteWriter *w)
{
  byte_writer_be32(w, 0);
}

static void one_byte(ByteWriter *w)
{
  put_frame(w, "\x80", 1);
}

static void cut_header(ByteWriter *w)
{
  put_frame(w, "\x80\x01\x00\x01\x00\x00\x00\x05wri", 11);
}

static void oversize(ByteWriter *w)
{
  byte_writer_be32(w, 1024 * 1024 + 1);
  byte_writer_put(w, "some", 4);
}

static void huge_length(ByteWriter *w)
{
  byte_writer_be32(w, 0x7FFFFFFF);
}

static void negative_length(ByteWriter *w)
{
  byte_writer_be32(w, 0xFFFFFFFF);
}

static void http_request(ByteWriter *w)
{
  byte_writer_put(w, "GET / HTTP/1.1\r\n\r\n", 18);
}

static void wrong_version(ByteWriter *w)
{
  put_frame(w, "\x80\x02\x00\x01\x00\x00\x00\x04info\x00\x00\x00\x07\x00", 17);
}

static void old_header(ByteWriter *w)
{
  put_frame(w, "\x00\x00\x00\x04info\x01\x00\x00\x00\x07\x00", 14);
}

static void name_size_huge(ByteWriter *w)
{
  put_frame(w, "\x80\x01\x00\x01\x7F\xFF\xFF\xFFinfo", 12);
}

static void long_name(ByteWriter *w)
{
  g_autofree char *name = g_strnfill(60000, 'n');
  put_header(w, 1, name);
  put_stop(w);
}

static void reply_type(ByteWriter *w)
{
  put_frame(w, "\x80\x01\x00\x02\x00\x00\x00\x04info\x00\x00\x00\x07\x00", 17);
}

static void no_type(ByteWriter *w)
{
  put_frame(w, "\x80\x01\x00\x99\x00\x00\x00\x04info\x00\x00\x00\x07\x00", 17);
}

static void no_args(ByteWriter *w)
{
  put_header(w, 0, "info");
}

static void no_args_write(ByteWriter *w)
{
  put_header(w, 0, "write");
}

static void empty_args_write(ByteWriter *w)
{
  put_header(w, 1, "write");
  put_stop(w);
}

static void empty_args_query(ByteWriter *w)
{
  put_header(w, 1, "query");
  put_stop(w);
}

/* A query whose request is the given bytes. */
static void put_query(ByteWriter *w, const void *request, gsize size)
{
  put_header(w, 3 + size + 1, "query");
  wire_put_field(w, WIRE_STRUCT, 1);
  byte_writer_put(w, request, size);
  put_stop(w);
}

static void missing_required(ByteWriter *w)
{
  put_query(w, "\x08\x00\x01\x00\x00\x00\x00\x00", 8);
}

static void wrong_field_type(ByteWriter *w)
{
  put_query(w,
            "\x0A\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x0B\x00\x02\x00\x00\x00\x01"
            "d\x00",
            20);
}

/* A good query with further fields. */
static void put_extended(ByteWriter *w, const void *fields, gsize size)
{
  guint8 request[512];
  gsize n = sizeof GOOD_QUERY - 1;
  memcpy(request, GOOD_QUERY, n);
  memcpy(request + n, fields, size);
  request[n + size] = WIRE_STOP;
  put_query(w, request, n + size + 1);
}

static void repeated_binary(ByteWriter *w)
{
  put_extended(w, "\x0B\x00\x07\x00\x00\x00\x02xy\x0B\x00\x07\x00\x00\x00\x02xy", 18);
}

static void repeated_list(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x03\x0B\x00\x00\x00\x00\x0F\x00\x03\x0B\x00\x00\x00\x00", 16);
}

static void binary_huge(ByteWriter *w)
{
  put_extended(w, "\x0B\x00\x07\x7F\xFF\xFF\xFF", 7);
}

static void binary_negative(ByteWriter *w)
{
  put_extended(w, "\x0B\x00\x07\xFF\xFF\xFF\xFF", 7);
}

static void unknown_binary_negative(ByteWriter *w)
{
  put_extended(w, "\x0B\x00\x63\xFF\xFF\xFF\xFF", 7);
}

static void list_huge(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x09\x0C\x7F\xFF\xFF\xFF", 8);
}

static void list_overflowing(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x63\x0A\x20\x00\x00\x01", 8);
}

static void list_negative(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x03\x0B\xFF\xFF\xFF\xFF", 8);
}

static void list_of_no_type(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x63\x7F\x00\x00\x00\x01", 8);
}

static void map_huge(ByteWriter *w)
{
  put_extended(w, "\x0D\x00\x63\x0C\x0C\x7F\xFF\xFF\xFF", 9);
}

static void field_of_no_type(ByteWriter *w)
{
  put_extended(w, "\x7F\x00\x63\x00", 4);
}

static void text_not_utf8(ByteWriter *w)
{
  put_extended(w, "\x0F\x00\x03\x0B\x00\x00\x00\x01\x00\x00\x00\x02\xC3\x28", 14);
}

static void text_with_nul(ByteWriter *w)
{
  put_extended(w,
               "\x0F\x00\x03\x0B\x00\x00\x00\x01\x00\x00\x00\x03"
               "a\x00"
               "b",
               15);
}

static void deep_structs(ByteWriter *w)
{
  guint depth = 60000;
  put_header(w, 3 + 3 * depth + depth + 2, "query");
  wire_put_field(w, WIRE_STRUCT, 1);
  for (guint i = 0; i < depth; i++)
    wire_put_field(w, WIRE_STRUCT, 99);
  for (guint i = 0; i < depth + 2; i++)
    put_stop(w);
}

static void deep_lists_in_write(ByteWriter *w)
{
  guint depth = 40000;
  put_header(w, 6 + 3 + 5 * depth, "write");
  wire_put_field(w, WIRE_STRUCT, 1);
  wire_put_field(w, WIRE_STRUCT, 2);
  wire_put_field(w, WIRE_LIST, 1);
  for (guint i = 0; i < depth; i++) {
    byte_writer_u8(w, WIRE_LIST);
    byte_writer_be32(w, 1);
  }
}

static void trailing_bytes(ByteWriter *w)
{
  put_header(w, 2, "info");
  put_stop(w);
  put_stop(w);
}

static void trailing_bytes_write(ByteWriter *w)
{
  guint8 args[512];
  ByteWriter inner = byte_writer(args, sizeof args);
  put_write_args(&inner, 0, 1, 10);
  put_stop(&inner);
  put_header(w, inner.at, "write");
  byte_writer_put(w, args, inner.at);
}

static void other_unknown_field(ByteWriter *w)
{
  put_extended(w, "\x0D\x01\x00\x0B\x08\x00\x00\x00\x01\x00\x00\x00\x01k\x00\x00\x00\x05", 18);
}

static void negative_group(ByteWriter *w)
{
  put_query(w,
            "\x08\x00\x01\xFF\xFF\xFF\xFF\x0B\x00\x02\x00\x00\x00\x01"
            "d\x00",
            16);
}

static void too_many_tokens(ByteWriter *w)
{
  g_autofree guint8 *bytes = g_malloc(64 * 1024);
  ByteWriter inner = byte_writer(bytes, 64 * 1024);
  byte_writer_put(&inner, GOOD_QUERY, sizeof GOOD_QUERY - 1);
  wire_put_field(&inner, WIRE_LIST, 9);
  byte_writer_u8(&inner, WIRE_STRUCT);
  byte_writer_be32(&inner, LIMIT_TOKENS + 1);
  for (guint i = 0; i < LIMIT_TOKENS + 1; i++) {
    put_log(&inner, 1, (LogId){1, 1});
    wire_put_i64(&inner, 2, 1);
    put_stop(&inner);
  }
  put_stop(&inner);
  put_query(w, bytes, inner.at);
}

/* A query with so many names of measurements. */
static void put_names(ByteWriter *w, guint count)
{
  gsize size = sizeof GOOD_QUERY - 1 + 8 + count * 4 + 1;
  put_header(w, 3 + size + 1, "query");
  wire_put_field(w, WIRE_STRUCT, 1);
  byte_writer_put(w, GOOD_QUERY, sizeof GOOD_QUERY - 1);
  wire_put_field(w, WIRE_LIST, 3);
  byte_writer_u8(w, WIRE_STRING);
  byte_writer_be32(w, count);
  for (guint i = 0; i < count; i++)
    byte_writer_be32(w, 0);
  put_stop(w);
  put_stop(w);
}

static void most_names(ByteWriter *w)
{
  put_names(w, 65536);
}

static void too_many_names(ByteWriter *w)
{
  put_names(w, 65537);
}

static const Hostile hostiles[] = {
    {"empty frame", CLOSES, empty_frame},
    {"one byte", CLOSES, one_byte},
    {"cut in the header", CLOSES, cut_header},
    {"over max_frame_size", CLOSES, oversize},
    {"length 2^31-1", CLOSES, huge_length},
    {"length -1", CLOSES, negative_length},
    {"HTTP", CLOSES, http_request},
    {"wrong version", CLOSES, wrong_version},
    {"old header", CLOSES, old_header},
    {"name of 2^31-1 bytes", CLOSES, name_size_huge},
    {"name of 60000 bytes", EXCEPTION, long_name},
    {"type REPLY", EXCEPTION, reply_type},
    {"type 0x99", EXCEPTION, no_type},
    {"no arguments", EXCEPTION, no_args},
    {"no arguments, write", EXCEPTION, no_args_write},
    {"empty arguments, write", EXCEPTION, empty_args_write},
    {"empty arguments, query", EXCEPTION, empty_args_query},
    {"missing required field", EXCEPTION, missing_required},
    {"wrong type of a required field", EXCEPTION, wrong_field_type},
    {"repeated binary", EXCEPTION, repeated_binary},
    {"repeated list", EXCEPTION, repeated_list},
    {"binary of 2^31-1 bytes", EXCEPTION, binary_huge},
    {"binary of -1 bytes", EXCEPTION, binary_negative},
    {"unknown binary of -1 bytes", EXCEPTION, unknown_binary_negative},
    {"list of 2^31-1", EXCEPTION, list_huge},
    {"list whose size overflows", EXCEPTION, list_overflowing},
    {"list of -1", EXCEPTION, list_negative},
    {"list of no type", EXCEPTION, list_of_no_type},
    {"map of 2^31-1", EXCEPTION, map_huge},
    {"field of no type", EXCEPTION, field_of_no_type},
    {"text that is no UTF-8", EXCEPTION, text_not_utf8},
    {"text with a NUL", EXCEPTION, text_with_nul},
    {"60000 nested structs", EXCEPTION, deep_structs},
    {"40000 nested lists in a write", EXCEPTION, deep_lists_in_write},
    {"bytes behind", EXCEPTION, trailing_bytes},
    {"bytes behind, write", EXCEPTION, trailing_bytes_write},
    {"unknown field", STAYS, other_unknown_field},
    {"negative group", STAYS, negative_group},
    {"too many tokens", STAYS, too_many_tokens},
    {"as many names as there may be", STAYS, most_names},
    {"too many names", EXCEPTION, too_many_names},
};

/* Sends the frame, `step` bytes at a time, behind a good request and before another. */
static void try_hostile(Rig *rig, const Hostile *hostile, gsize step)
{
  g_autofree guint8 *bytes = g_malloc(512 * 1024);
  ByteWriter w = byte_writer(bytes, 512 * 1024);
  hostile->build(&w);
  ck_assert(!w.failed);
  int fd = client_connect(rig);
  client_send_write(fd, 1, 10);
  for (gsize at = 0; at < w.at; at += step) {
    if (!client_send(fd, bytes + at, MIN(step, w.at - at)))
      break; /* closed by the first piece */
  }
  g_auto(Answer) first = client_answer(fd);
  ck_assert_int_eq(answer_status(&first), SYNCLOG_OK);
  if (hostile->outcome != CLOSES) {
    g_auto(Answer) second = client_answer(fd);
    ck_assert_msg(second.frame != NULL, "%s: no answer", hostile->name);
    ck_assert_int_eq(second.seqid, 7);
    if (hostile->outcome == EXCEPTION)
      ck_assert_msg(second.type == THRIFT_EXCEPTION &&
                        answer_exception(&second) == EXCEPTION_PROTOCOL_ERROR,
                    "%s: type %u", hostile->name, second.type);
    else
      ck_assert_msg(second.type == THRIFT_REPLY, "%s: type %u", hostile->name, second.type);
  }
  if (hostile->outcome == STAYS) {
    client_send_write(fd, 9, 10);
    g_auto(Answer) third = client_answer(fd);
    ck_assert_int_eq(third.seqid, 9);
  } else {
    ck_assert_msg(client_is_closed(fd), "%s: stays open", hostile->name);
  }
  close(fd);
}

START_TEST(malformed_frames_cost_their_connection)
{
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  Rig *rig = rig_new(&options, 2);
  for (guint i = 0; i < G_N_ELEMENTS(hostiles); i++) {
    try_hostile(rig, &hostiles[i], G_MAXSIZE);
    try_hostile(rig, &hostiles[i], 7000);
    try_hostile(rig, &hostiles[i], 5 + 3000 * (i % 2));
  }
  check_serves(rig);
  rig_free(rig);
}
END_TEST

/* --- mutated frames ------------------------------------------------------------------------------
 */

START_TEST(mutated_frames_do_no_harm)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(11);
  RpcServerOptions options = rig_options(RPC_CLIENT_SERVICES);
  options.max_connections = 1000;
  Rig *rig = rig_new(&options, 2);
  for (guint round = 0; round < 3000; round++) {
    Message m = message_call(round % 2 == 0 ? "query" : "write", (gint32)round);
    if (round % 2 == 0) {
      wire_put_field(&m.w, WIRE_STRUCT, 1);
      byte_writer_put(&m.w, GOOD_QUERY, sizeof GOOD_QUERY - 1);
      put_stop(&m.w);
      put_stop(&m.w);
    } else {
      put_write_args(&m.w, 0, 1, 10);
    }
    message_end(&m);
    for (guint i = 0; i < 3; i++) {
      gsize at = (gsize)g_rand_int_range(rand, 4, (gint32)m.w.at);
      guint8 any = (guint8)g_rand_int(rand);
      m.bytes[at] = g_rand_boolean(rand) ? any : any % 16;
    }
    int fd = client_connect(rig);
    client_send(fd, m.bytes, m.w.at);
    shutdown(fd, SHUT_WR);
    guint8 rest[4096];
    while (recv(fd, rest, sizeof rest, 0) > 0)
      ;
    close(fd);
    message_free(&m);
  }
  check_serves(rig);
  rig_free(rig);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      malformed_frames_cost_their_connection,
      mutated_frames_do_no_harm,
  };
  return RUN_SUITE("server_hostile", tests);
}
