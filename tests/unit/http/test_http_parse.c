#include "http/http_parse.h"
#include "support/suite.h"

#include <string.h>

static guint status_of(const char *text)
{
  HttpHead head;
  guint status = http_head_parse(text, strlen(text), &head);
  http_head_clear(&head);
  return status;
}

START_TEST(a_head_is_read)
{
  static const char text[] =
      "POST /write?db=a%20b&p HTTP/1.1\r\nHost: h\r\ncontent-length:  12 \r\n"
      "Expect: 100-Continue\r\nX-Empty:\r\n\r\nrest";
  gsize size = http_head_size(text, sizeof text - 1);
  ck_assert_uint_eq(size, sizeof text - 1 - 4);
  ck_assert_uint_eq(http_head_size(text, size - 1), 0);
  HttpHead head;
  ck_assert_uint_eq(http_head_parse(text, size, &head), 0);
  ck_assert_str_eq(head.method, "POST");
  ck_assert_str_eq(head.path, "/write");
  ck_assert_str_eq(head.query, "db=a%20b&p");
  ck_assert_uint_eq(head.length, 12);
  ck_assert(head.keep_alive && head.expects_continue && !head.chunked && !head.is_1_0);
  ck_assert_str_eq(http_head_find(&head, "x-EMPTY"), "");
  ck_assert_ptr_null(http_head_find(&head, "x"));
  http_head_clear(&head);
}
END_TEST

START_TEST(a_connection_is_kept_as_the_version_says)
{
  static const struct {
    const char *text;
    gboolean kept;
  } cases[] = {{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", TRUE},
               {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", FALSE},
               {"GET / HTTP/1.0\r\n\r\n", FALSE},
               {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", TRUE}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    HttpHead head;
    ck_assert_uint_eq(http_head_parse(cases[i].text, strlen(cases[i].text), &head), 0);
    ck_assert_int_eq(head.keep_alive, cases[i].kept);
    http_head_clear(&head);
  }
}
END_TEST

START_TEST(what_is_not_understood_is_refused)
{
#define HOST "Host: h\r\n"
  static const struct {
    const char *text;
    guint status;
  } cases[] = {
      {"\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET / x HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET http://h/ HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
      {"G\tT / HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
      {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
      {"GET / HTTP/1.10\r\n" HOST "\r\n", 505},
      {"GET / http/1.1\r\n" HOST "\r\n", 400},
      {"GET / HTTP/1.1\n" HOST "\r\n", 505},
      {"GET / HTTP/1.1\r\n\r\n", 400}, /* no host */
      {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "Name : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" HOST "X: \x7f\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\n" HOST "Expect: miracles\r\n\r\n", 417},
  };
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    ck_assert_msg(status_of(cases[i].text) == cases[i].status, "%s: %u", cases[i].text,
                  status_of(cases[i].text));
  HttpHead head;
  ck_assert_uint_eq(http_head_parse("GET /\0 HTTP/1.0\r\n\r\n", 20, &head), 400);
  g_autoptr(GString) many = g_string_new("GET / HTTP/1.1\r\n" HOST);
  for (guint i = 1; i < HTTP_MAX_HEADERS; i++)
    g_string_append(many, "X: y\r\n");
  g_autofree char *fits = g_strconcat(many->str, "\r\n", NULL);
  g_autofree char *too_many = g_strconcat(many->str, "X: y\r\n\r\n", NULL);
  ck_assert_uint_eq(status_of(fits), 0);
  ck_assert_uint_eq(status_of(too_many), 431);
}
END_TEST

START_TEST(parameters_are_decoded)
{
  static const char text[] = "a=1&b=x%20y+z%2B&c&=n&a=2&bad=%zz&cut=%4&nul=%00&no=%ff&d=%c3%a4&&";
  g_autoptr(GHashTable) params = http_params(text, sizeof text - 1);
  ck_assert_str_eq(g_hash_table_lookup(params, "a"), "1");
  ck_assert_str_eq(g_hash_table_lookup(params, "b"), "x y z+");
  ck_assert_str_eq(g_hash_table_lookup(params, "c"), "");
  ck_assert_str_eq(g_hash_table_lookup(params, "d"), "ä");
  static const char *const left_out[] = {"bad", "cut", "nul", "no"};
  for (guint i = 0; i < G_N_ELEMENTS(left_out); i++)
    ck_assert_ptr_null(g_hash_table_lookup(params, left_out[i]));
}
END_TEST

/* Moves the text in steps of so many bytes; frees *out_body by g_free. */
static ChunksVerdict move(const char *text, gsize step, gsize max, char **out_body)
{
  struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
  HttpChunks chunks = {0};
  ChunksVerdict verdict = CHUNKS_MORE;
  gsize size = strlen(text);
  for (gsize at = 0; at < size && verdict == CHUNKS_MORE; at += step) {
    evbuffer_add(in, text + at, MIN(step, size - at));
    verdict = http_chunks_move(&chunks, in, out, max);
    ck_assert_uint_le(evbuffer_get_length(out), max);
  }
  gsize held = evbuffer_get_length(out);
  *out_body = g_malloc0(held + 1);
  evbuffer_remove(out, *out_body, held);
  evbuffer_free(in);
  evbuffer_free(out);
  return verdict;
}

START_TEST(chunks_make_a_body)
{
  static const struct {
    const char *text;
    ChunksVerdict verdict;
    const char *body;
  } cases[] = {
      {"3\r\nabc\r\n0\r\n\r\n", CHUNKS_DONE, "abc"},
      {"1\r\na\r\n0A;x=y\r\n0123456789\r\n000\r\nTrailer: x\r\n\r\n", CHUNKS_DONE, "a0123456789"},
      {"0\r\n\r\n", CHUNKS_DONE, ""},
      {"3\r\nabc\r\n", CHUNKS_MORE, "abc"},
      {"3\r\nabcd\r\n", CHUNKS_BAD, "abc"},
      {"\r\n", CHUNKS_BAD, ""},
      {"g\r\n", CHUNKS_BAD, ""},
      {"-1\r\n", CHUNKS_BAD, ""},
      {"0x3\r\nabc", CHUNKS_BAD, ""},
      {" 3\r\nabc", CHUNKS_BAD, ""},
      {"123456789\r\n", CHUNKS_BAD, ""},
      {"ffffffff\r\n", CHUNKS_TOO_LARGE, ""},
      {"10\r\n0123456789abcdef\r\n1\r\nx", CHUNKS_TOO_LARGE, "0123456789abcdef"},
  };
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    for (gsize step = 1; step < 20; step += 3) {
      g_autofree char *body = NULL;
      ck_assert_msg(move(cases[i].text, step, 16, &body) == cases[i].verdict, "%s in steps of %zu",
                    cases[i].text, step);
      ck_assert_str_eq(body, cases[i].body);
    }
}
END_TEST

START_TEST(chunks_do_not_go_on_for_ever)
{
  g_autofree char *body = NULL, *other = NULL;
  g_autofree char *digits = g_strnfill(1000, '0');
  ck_assert_int_eq(move(digits, 100, 16, &body), CHUNKS_BAD);
  g_autoptr(GString) trailers = g_string_new("0\r\n");
  for (guint i = 0; i < 100; i++)
    g_string_append(trailers, "X: y\r\n");
  ck_assert_int_eq(move(trailers->str, 7, 16, &other), CHUNKS_BAD);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_head_is_read,
                                a_connection_is_kept_as_the_version_says,
                                what_is_not_understood_is_refused,
                                parameters_are_decoded,
                                chunks_make_a_body,
                                chunks_do_not_go_on_for_ever};
  return RUN_SUITE("http_parse", tests);
}
