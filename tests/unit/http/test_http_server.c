#include "http/http_server.h"
#include "support/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 8, PIECES = 50, PIECE_SIZE = 100 * 1000, WAIT_MS = 20000 };

typedef struct Rig {
  HttpServer *server;
  struct sockaddr_in address;
  GThread *workers[2];
  GMutex lock;
  GCond cond;
  GQueue work;       /* under lock: HttpRequest */
  gboolean ending;   /* under lock: the workers end */
  HttpRequest *held; /* under lock */
  guint gone;        /* under lock: streams whose reader went away */
} Rig;

static Rig rig;

/* --- handlers -----------------------------------------------------------------------------------
 */

static void say_hello(gpointer ctx, HttpRequest *request)
{
  ck_assert_ptr_eq(ctx, &rig);
  const char *name = http_request_param(request, "name");
  http_reply_text(request, 200, "hello %s", name != NULL ? name : "you");
}

static void echo(HttpRequest *request)
{
  gsize size;
  const guint8 *body = http_request_body(request, &size);
  const char *form = http_request_form(request, "f");
  GString *text = g_string_new_len((const char *)body, (gssize)size);
  if (form != NULL)
    g_string_assign(text, form);
  http_reply(request, &(HttpAnswer){200, "text/plain", text, g_string_new("X-More: yes\r\n")});
}

/* Not GLib's pool: the thread sanitizer does not see it hand over. */
static gpointer worker(gpointer data)
{
  g_mutex_lock(&rig.lock);
  for (;;) {
    while (rig.work.length == 0 && !rig.ending)
      g_cond_wait(&rig.cond, &rig.lock);
    if (rig.work.length == 0)
      break;
    HttpRequest *request = g_queue_pop_head(&rig.work);
    g_mutex_unlock(&rig.lock);
    echo(request);
    g_mutex_lock(&rig.lock);
  }
  g_mutex_unlock(&rig.lock);
  return data;
}

static void work_echo(gpointer ctx, HttpRequest *request)
{
  (void)ctx;
  g_mutex_lock(&rig.lock);
  g_queue_push_tail(&rig.work, request);
  g_cond_broadcast(&rig.cond);
  g_mutex_unlock(&rig.lock);
}

static void hold(gpointer ctx, HttpRequest *request)
{
  (void)ctx;
  g_mutex_lock(&rig.lock);
  rig.held = request;
  g_cond_broadcast(&rig.cond);
  g_mutex_unlock(&rig.lock);
}

static void more(HttpRequest *request, gpointer data, gboolean gone)
{
  guint *left = data;
  if (!gone && *left > 0) {
    GString *piece = g_string_new(NULL);
    g_string_set_size(piece, PIECE_SIZE);
    memset(piece->str, 'a' + (int)(*left % 26), PIECE_SIZE);
    (*left)--;
    http_stream_send(request, piece);
    return;
  }
  g_mutex_lock(&rig.lock);
  rig.gone += gone;
  g_cond_broadcast(&rig.cond);
  g_mutex_unlock(&rig.lock);
  gboolean whole = http_request_param(request, "break") == NULL;
  g_free(left);
  http_stream_end(request, whole);
}

static void stream(gpointer ctx, HttpRequest *request)
{
  (void)ctx;
  guint *left = g_new(guint, 1);
  *left = PIECES;
  http_stream_begin(request, &(HttpAnswer){200, "text/plain", NULL, NULL}, more, left);
}

static void rig_begin(void)
{
  static const HttpRoute routes[] = {{"/hello", HTTP_GET, 0, say_hello},
                                     {"/echo", HTTP_POST, 1000000, work_echo},
                                     {"/form", HTTP_GET | HTTP_POST, 1000, work_echo},
                                     {"/hold", HTTP_GET, 0, hold},
                                     {"/stream", HTTP_GET, 0, stream},
                                     {"/all/*", HTTP_GET, 0, say_hello},
                                     {NULL, 0, 0, NULL}};
  rig = (Rig){.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
  g_mutex_init(&rig.lock);
  g_cond_init(&rig.cond);
  for (guint i = 0; i < G_N_ELEMENTS(rig.workers); i++)
    rig.workers[i] = g_thread_new("worker", worker, NULL);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  socklen_t size = sizeof rig.address;
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&rig.address, size), 0);
  ck_assert_int_eq(listen(fd, 100), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&rig.address, &size), 0);
  g_autoptr(GArray) sockets = g_array_new(FALSE, FALSE, sizeof(int));
  g_array_append_val(sockets, fd);
  rig.server = http_server_new(sockets, routes, CONNECTIONS, &rig);
}

static void rig_end(void)
{
  http_server_free(rig.server);
  g_mutex_lock(&rig.lock);
  rig.ending = TRUE;
  g_cond_broadcast(&rig.cond);
  g_mutex_unlock(&rig.lock);
  for (guint i = 0; i < G_N_ELEMENTS(rig.workers); i++)
    g_thread_join(rig.workers[i]);
}

static HttpRequest *take_held(void)
{
  g_mutex_lock(&rig.lock);
  while (rig.held == NULL)
    g_cond_wait(&rig.cond, &rig.lock);
  HttpRequest *request = g_steal_pointer(&rig.held);
  g_mutex_unlock(&rig.lock);
  return request;
}

/* --- a client -----------------------------------------------------------------------------------
 */

static int dial(void)
{
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&rig.address, sizeof rig.address), 0);
  return fd;
}

static void put(int fd, const char *text)
{
  gsize size = strlen(text), at = 0;
  while (at < size) {
    gssize sent = send(fd, text + at, size - at, MSG_NOSIGNAL);
    if (sent < 0) /* cut off by the server: what it said is looked at */
      return;
    at += (gsize)sent;
  }
}

/* All up to the other side's close. */
static GString *get_all(int fd)
{
  GString *text = g_string_new(NULL);
  char bytes[65536];
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ck_assert_msg(poll(&ready, 1, WAIT_MS) == 1, "nothing comes; so far: %s", text->str);
    gssize got = recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0)
      break;
    g_string_append_len(text, bytes, got);
  }
  close(fd);
  return text;
}

static char *ask(const char *text)
{
  int fd = dial();
  put(fd, text);
  return g_string_free(get_all(fd), FALSE);
}

static void check(const char *text, const char *begins, const char *ends)
{
  g_autofree char *got = ask(text);
  ck_assert_msg(g_str_has_prefix(got, begins) && g_str_has_suffix(got, ends), "%.200s\n→\n%s", text,
                got);
}

#define LAST "Host: h\r\nConnection: close\r\n"

START_TEST(requests_are_answered)
{
  rig_begin();
  check("GET /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n",
        "\r\n\r\nhello you\n");
  check("GET /hello?name=a%2Fb HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "hello a/b\n");
  check("HEAD /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n",
        "\r\n\r\n");
  check("GET /all/x/y HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200", "hello you\n");
  check("POST /echo HTTP/1.1\r\n" LAST "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 200",
        "\r\n\r\nabc");
  check("POST /echo HTTP/1.1\r\n" LAST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"
        "0\r\n\r\n",
        "HTTP/1.1 200", "\r\n\r\nabc");
  check("POST /echo HTTP/1.1\r\n" LAST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", "\r\n\r\nabc");
  check("POST /form HTTP/1.1\r\n" LAST "Content-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 7\r\n\r\nf=%41+b",
        "HTTP/1.1 200", "\r\n\r\nA b");
  rig_end();
}
END_TEST

START_TEST(a_connection_serves_one_request_after_the_other)
{
  rig_begin();
  g_autoptr(GString) many = g_string_new(NULL);
  for (guint i = 0; i < 2000; i++)
    g_string_append_printf(many, "%s /%s?name=%u HTTP/1.1\r\nHost: h\r\n%s", i % 2 ? "GET" : "POST",
                           i % 2 ? "hello" : "echo", i,
                           i % 2 ? "\r\n" : "Content-Length: 5\r\n\r\n12345");
  g_string_append(many, "GET /hello HTTP/1.1\r\n" LAST "\r\n");
  g_autofree char *got = ask(many->str);
  g_auto(GStrv) answers = g_strsplit(got, "HTTP/1.1 200", -1);
  ck_assert_uint_eq(g_strv_length(answers), 2002);
  ck_assert(g_str_has_suffix(answers[1000], "hello 999\n"));
  rig_end();
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
  rig_begin();
  static const char *const cases[][2] = {
      {"GET / HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 404"},
      {"GET /hello/ HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 404"},
      {"GET //hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 404"},
      {"GET /%68ello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 404"},
      {"GET /../etc/passwd HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 404"},
      {"POST /hello HTTP/1.1\r\n" LAST "Content-Length: 0\r\n\r\n", "HTTP/1.1 405"},
      {"GET /echo HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 405"},
      {"DELETE /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 405"},
      {"get /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 405"},
      {"GET /hello HTTP/1.1\r\n" LAST "Content-Length: 1\r\n\r\nx", "HTTP/1.1 413"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\nxxxx", "HTTP/1.1 413"},
      {"POST /form HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
       "HTTP/1.1 413"},
      {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400"},
      {"\r\n\r\n", "HTTP/1.1 400"},
      {"\x16\x03\x01 a TLS hello\r\n\r\n", "HTTP/1.1 400"},
  };
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    check(cases[i][0], cases[i][1], "\n");
  g_autofree char *header = g_strnfill(1000000, 'x');
  g_autofree char *text = g_strconcat("GET /hello HTTP/1.1\r\nX: ", header, NULL);
  check(text, "HTTP/1.1 431", "\n");
  g_autofree char *endless =
      g_strconcat("POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n"
                  "\r\n",
                  header, NULL);
  check(endless, "HTTP/1.1 413", "\n");
  check("GET /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200", "hello you\n");
  rig_end();
}
END_TEST

/* The sum of the chunks; *out_whole: the last one was there. */
static gsize sum_chunks(const char *text, gboolean *out_whole)
{
  gsize sum = 0;
  const char *at = strstr(text, "\r\n\r\n") + 4;
  for (;;) {
    char *end;
    gsize size = g_ascii_strtoull(at, &end, 16);
    *out_whole = end > at && size == 0;
    if (size == 0 || strlen(end) < size + 4)
      return sum;
    sum += size;
    at = end + 2 + size + 2;
  }
}

START_TEST(streams_end_or_break)
{
  rig_begin();
  gboolean whole;
  g_autofree char *got = ask("GET /stream HTTP/1.1\r\n" LAST "\r\n");
  ck_assert_uint_eq(sum_chunks(got, &whole), (gsize)PIECES * PIECE_SIZE);
  ck_assert(whole);
  g_autofree char *broken = ask("GET /stream?break=1 HTTP/1.1\r\nHost: h\r\n\r\n");
  ck_assert_uint_le(sum_chunks(broken, &whole), (gsize)PIECES * PIECE_SIZE);
  ck_assert(!whole);
  g_autofree char *old = ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ck_assert_uint_eq(strlen(strstr(old, "\r\n\r\n") + 4), (gsize)PIECES * PIECE_SIZE);
  check("HEAD /stream HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200", "\r\n\r\n");
  rig_end();
}
END_TEST

START_TEST(a_stream_hears_that_its_reader_went)
{
  rig_begin();
  int fd = dial();
  put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  char byte;
  ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
  close(fd);
  g_mutex_lock(&rig.lock);
  while (rig.gone == 0)
    g_cond_wait(&rig.cond, &rig.lock);
  g_mutex_unlock(&rig.lock);
  rig_end();
}
END_TEST

START_TEST(p7_at_the_limit_who_waits_longest_goes)
{
  rig_begin();
  int idle[CONNECTIONS * 3];
  for (guint i = 0; i < G_N_ELEMENTS(idle); i++) {
    idle[i] = dial();
    put(idle[i], "GET /he");
    ck_assert_uint_le(http_server_connections(rig.server), CONNECTIONS);
  }
  check("GET /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200", "hello you\n");
  ck_assert_uint_ge(http_server_refused(rig.server), CONNECTIONS * 2);
  for (guint i = 0; i < G_N_ELEMENTS(idle); i++)
    close(idle[i]);
  rig_end();
}
END_TEST

START_TEST(p7_no_request_with_a_handler_gives_way)
{
  rig_begin();
  HttpRequest *requests[CONNECTIONS];
  int fds[CONNECTIONS];
  for (guint i = 0; i < CONNECTIONS; i++) {
    fds[i] = dial();
    put(fds[i], "GET /hold HTTP/1.1\r\n" LAST "\r\n");
    requests[i] = take_held();
  }
  check("", "HTTP/1.1 503", "\r\n\r\n");
  for (guint i = 0; i < CONNECTIONS; i++)
    http_reply_text(requests[i], 200, "late %u", i);
  for (guint i = 0; i < CONNECTIONS; i++) {
    g_autofree char *end = g_strdup_printf("late %u\n", i);
    g_autofree char *got = g_string_free(get_all(fds[i]), FALSE);
    ck_assert(g_str_has_suffix(got, end));
  }
  rig_end();
}
END_TEST

START_TEST(an_answer_may_come_after_its_reader_went)
{
  rig_begin();
  int fd = dial();
  put(fd, "GET /hold HTTP/1.1\r\n" LAST "\r\n");
  HttpRequest *request = take_held();
  close(fd);
  http_reply_text(request, 200, "nobody hears it");
  check("GET /hello HTTP/1.1\r\n" LAST "\r\n", "HTTP/1.1 200", "hello you\n");
  rig_end();
}
END_TEST

static gpointer answer_late(gpointer data)
{
  http_server_drain(rig.server);
  /* From now on nobody else gets in, but this one is answered. */
  int fd = -1;
  for (guint i = 0; i < 1000; i++) {
    fd = socket(AF_INET, SOCK_STREAM, 0);
    int failed = connect(fd, (struct sockaddr *)&rig.address, sizeof rig.address);
    close(fd);
    if (failed != 0)
      break;
    g_thread_yield();
  }
  http_reply_text(data, 200, "the last one");
  return NULL;
}

START_TEST(the_end_waits_for_the_last_answer)
{
  rig_begin();
  int fd = dial();
  put(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  GThread *thread = g_thread_new("late", answer_late, take_held());
  rig_end();
  g_thread_join(thread);
  g_autofree char *got = g_string_free(get_all(fd), FALSE);
  ck_assert(g_str_has_prefix(got, "HTTP/1.1 200") && g_str_has_suffix(got, "the last one\n"));
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {requests_are_answered,
                                a_connection_serves_one_request_after_the_other,
                                what_is_wrong_is_refused,
                                streams_end_or_break,
                                a_stream_hears_that_its_reader_went,
                                p7_at_the_limit_who_waits_longest_goes,
                                p7_no_request_with_a_handler_gives_way,
                                an_answer_may_come_after_its_reader_went,
                                the_end_waits_for_the_last_answer};
  return RUN_SUITE("http_server", tests);
}
