/*
 * How a channel finds its peer. getaddrinfo() and connect() are replaced here, to have names with
 * the addresses that a test needs, a resolver that hangs, and a connection of a socket to itself.
 */
#include "unit/rpc/channel_rig.h"

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>

enum { LONG_MS = 60 * 1000 };

static struct {
  GMutex lock;
  GCond cond;
  guint16 ports[3]; /* what the name "peer" stands for, in this order; 0: none */
  guint lookups;    /* of it */
  gboolean hanging; /* the resolver gives no answer now */
} names;

static guint16 own_port; /* a connection to it comes from it */

typedef int (*GetAddresses)(const char *host, const char *port, const struct addrinfo *hints,
                            struct addrinfo **out);

static GetAddresses real_getaddrinfo(void)
{
  GetAddresses real;
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  return real;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
  if (g_strcmp0(host, "peer") != 0 || (hints->ai_flags & AI_NUMERICHOST))
    return real_getaddrinfo()(host, port, hints, out);
  g_mutex_lock(&names.lock);
  names.lookups++;
  g_cond_broadcast(&names.cond);
  while (names.hanging)
    g_cond_wait(&names.cond, &names.lock);
  struct addrinfo **end = out;
  int code = EAI_NONAME;
  *end = NULL;
  for (guint i = 0; i < G_N_ELEMENTS(names.ports) && names.ports[i] != 0; i++) {
    g_autofree char *text = g_strdup_printf("%u", names.ports[i]);
    struct addrinfo numeric = {.ai_socktype = SOCK_STREAM,
                               .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    code = real_getaddrinfo()("127.0.0.1", text, &numeric, end);
    end = &(*end)->ai_next;
  }
  g_mutex_unlock(&names.lock);
  return code;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
  int (*real)(int fd, const struct sockaddr *address, socklen_t size);
  *(void **)&real = dlsym(RTLD_NEXT, "connect");
  const struct sockaddr_in *to = (const struct sockaddr_in *)(const void *)address;
  if (address->sa_family == AF_INET && own_port != 0 && ntohs(to->sin_port) == own_port)
    fast_assert(bind(fd, address, size) == 0);
  return real(fd, address, size);
}

static void set_hanging(gboolean hanging)
{
  g_mutex_lock(&names.lock);
  names.hanging = hanging;
  g_cond_broadcast(&names.cond);
  g_mutex_unlock(&names.lock);
}

static void set_port(guint i, guint16 port)
{
  g_mutex_lock(&names.lock);
  names.ports[i] = port;
  g_mutex_unlock(&names.lock);
}

static guint lookups(void)
{
  g_mutex_lock(&names.lock);
  guint count = names.lookups;
  g_mutex_unlock(&names.lock);
  return count;
}

static void wait_lookups(guint count)
{
  g_mutex_lock(&names.lock);
  while (names.lookups < count)
    g_cond_wait(&names.cond, &names.lock);
  g_mutex_unlock(&names.lock);
}

/* A port that nobody listens on. */
static guint16 closed_port(void)
{
  guint16 port;
  close(peer_listen(1, &port));
  return port;
}

/* A channel to "peer", with the test's listener as the peer. */
static Line named_line(gint64 connect_ms)
{
  Line line = {.loops = rpc_loops_new(1, 1), .seen = seen_new()};
  line.listener = peer_listen(16, &line.port);
  line_open(&line, "peer", connect_ms, LONG_MS);
  return line;
}

START_TEST(nobody_listens)
{
  Line line = {.loops = rpc_loops_new(1, 1), .seen = seen_new(), .listener = -1};
  line.port = closed_port();
  line_open(&line, "127.0.0.1", LONG_MS, LONG_MS);
  for (guint i = 1; i <= 5; i++) {
    rpc_channel_connect(line.channel);
    seen_wait_closed(line.seen, i, SYNCLOG_NOT_READY);
  }
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->connected), 0);
  ck_assert_ptr_nonnull(strstr(line.seen->closed_why, "127.0.0.1:"));
  line_free(&line);
}
END_TEST

START_TEST(a_name_is_looked_up_each_time)
{
  Line line = named_line(LONG_MS);
  set_port(0, line.port);
  for (guint i = 1; i <= 3; i++) {
    int fd = line_connect(&line);
    ck_assert_uint_eq(lookups(), i);
    close(fd);
    seen_wait(line.seen, &line.seen->closed, i);
  }
  line_free(&line);
}
END_TEST

START_TEST(a_name_without_addresses)
{
  Line line = named_line(LONG_MS);
  rpc_channel_connect(line.channel);
  seen_wait_closed(line.seen, 1, SYNCLOG_NOT_READY);
  ck_assert_ptr_nonnull(strstr(line.seen->closed_why, gai_strerror(EAI_NONAME)));
  set_port(0, line.port);
  close(line_connect(&line));
  line_free(&line);
}
END_TEST

START_TEST(all_addresses_are_tried)
{
  Line line = named_line(LONG_MS);
  set_port(0, closed_port());
  set_port(1, closed_port());
  set_port(2, line.port);
  close(line_connect(&line));
  seen_wait(line.seen, &line.seen->closed, 1);
  set_port(2, closed_port());
  rpc_channel_connect(line.channel);
  seen_wait_closed(line.seen, 2, SYNCLOG_NOT_READY);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->connected), 1);
  line_free(&line);
}
END_TEST

/* A listener whose queue is full, so that the system answers no further connection. */
typedef struct BlackHole {
  int fd, fillers[8];
  guint16 port;
} BlackHole;

static BlackHole black_hole_open(void)
{
  BlackHole hole;
  hole.fd = peer_listen(0, &hole.port);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(hole.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (guint i = 0; i < G_N_ELEMENTS(hole.fillers); i++) {
    hole.fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect(hole.fillers[i], (struct sockaddr *)&to, sizeof to);
  }
  return hole;
}

static void black_hole_close(BlackHole *hole)
{
  for (guint i = 0; i < G_N_ELEMENTS(hole->fillers); i++)
    close(hole->fillers[i]);
  close(hole->fd);
}

START_TEST(an_address_that_is_silent)
{
  BlackHole hole = black_hole_open();
  Line line = named_line(400);
  set_port(0, hole.port);
  gint64 begin = g_get_monotonic_time();
  rpc_channel_connect(line.channel);
  seen_wait_closed(line.seen, 1, SYNCLOG_TIMEOUT);
  ck_assert_int_ge(g_get_monotonic_time() - begin, 400 * 1000);
  /* It does not use up the time of the next. */
  set_port(1, line.port);
  close(line_connect(&line));
  line_free(&line);
  black_hole_close(&hole);
}
END_TEST

START_TEST(a_resolver_that_hangs)
{
  Line line = named_line(200);
  set_port(0, line.port);
  set_hanging(TRUE);
  for (guint i = 1; i <= 3; i++) {
    rpc_channel_connect(line.channel);
    seen_wait_closed(line.seen, i, SYNCLOG_TIMEOUT);
  }
  /* One lookup at a time, and its late answer serves the next attempt. */
  ck_assert_uint_eq(lookups(), 1);
  rpc_channel_connect(line.channel);
  set_hanging(FALSE);
  int fd = peer_accept(&line);
  seen_wait(line.seen, &line.seen->connected, 1);
  ck_assert_uint_eq(lookups(), 1);
  close(fd);
  line_free(&line);
}
END_TEST

START_TEST(an_answer_that_nobody_waits_for)
{
  Line line = named_line(100);
  set_port(0, line.port);
  set_hanging(TRUE);
  rpc_channel_connect(line.channel);
  seen_wait_closed(line.seen, 1, SYNCLOG_TIMEOUT);
  set_hanging(FALSE);
  /* It begins no connection by itself. */
  struct pollfd coming = {.fd = line.listener, .events = POLLIN};
  ck_assert_int_eq(poll(&coming, 1, 200), 0);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->connected), 0);
  close(line_connect(&line));
  line_free(&line);
}
END_TEST

START_TEST(freed_while_the_resolver_hangs)
{
  set_hanging(TRUE);
  for (guint i = 0; i < 8; i++) {
    Line line = named_line(LONG_MS);
    rpc_channel_connect(line.channel);
    if (i % 2 == 0) {
      wait_lookups(i + 1);
      rpc_channel_close(line.channel);
      seen_wait_closed(line.seen, 1, SYNCLOG_NOT_READY);
    } else {
      wait_lookups(i + 1);
    }
    /* Does not wait for the answer; the loops may end before it. */
    line_free(&line);
  }
  set_hanging(FALSE);
}
END_TEST

START_TEST(freed_while_the_answer_is_on_its_way)
{
  for (guint i = 0; i < 50; i++) {
    Line line = named_line(LONG_MS);
    set_port(0, line.port);
    guint before = lookups();
    rpc_channel_connect(line.channel);
    if (i % 2 == 0)
      wait_lookups(before + 1);
    line_free(&line);
  }
}
END_TEST

START_TEST(not_connected_to_itself)
{
  own_port = closed_port();
  Line line = {.loops = rpc_loops_new(1, 1), .seen = seen_new(), .listener = -1};
  line.port = own_port;
  line_open(&line, "127.0.0.1", LONG_MS, LONG_MS);
  rpc_channel_connect(line.channel);
  seen_wait_closed(line.seen, 1, SYNCLOG_NOT_READY);
  ck_assert_uint_eq(seen_count(line.seen, &line.seen->connected), 0);
  line_free(&line);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      nobody_listens,
      a_name_is_looked_up_each_time,
      a_name_without_addresses,
      all_addresses_are_tried,
      an_address_that_is_silent,
      a_resolver_that_hangs,
      an_answer_that_nobody_waits_for,
      freed_while_the_resolver_hangs,
      freed_while_the_answer_is_on_its_way,
      not_connected_to_itself,
  };
  return RUN_SUITE("channel_connect", tests);
}
