#include "ctl/http_get.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024 };

static gboolean wait_for(int fd, short events, gint64 until_us, GError **error)
{
  for (;;) {
    gint64 left_ms = (until_us - g_get_monotonic_time() + 999) / 1000;
    struct pollfd ready = {.fd = fd, .events = events};
    int count = poll(&ready, 1, (int)CLAMP(left_ms, 0, G_MAXINT));
    if (count > 0)
      return TRUE;
    if (count == 0)
      return fail(error, SYNCLOG_TIMEOUT, "no answer in time");
    if (errno != EINTR)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "poll");
  }
}

static int connect_to(const struct addrinfo *where, gint64 until_us, GError **error)
{
  int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    fail_errno(error, SYNCLOG_INTERNAL, errno, "socket");
    return -1;
  }
  int problem = connect(fd, where->ai_addr, where->ai_addrlen) == 0 ? 0 : errno;
  if (problem == EINPROGRESS) {
    socklen_t size = sizeof problem;
    if (!wait_for(fd, POLLOUT, until_us, error)) {
      close(fd);
      return -1;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
  }
  if (problem == 0)
    return fd;
  close(fd);
  fail_errno(error, SYNCLOG_NOT_READY, problem, "connect");
  return -1;
}

static int open_connection(const char *address, gint64 until_us, GError **error)
{
  const char *colon = strrchr(address, ':');
  if (colon == NULL) {
    fail(error, SYNCLOG_INVALID, "no port in %s", address);
    return -1;
  }
  gsize size = (gsize)(colon - address);
  gboolean bracketed = size > 2 && *address == '[' && colon[-1] == ']';
  g_autofree char *host = bracketed ? g_strndup(address + 1, size - 2) : g_strndup(address, size);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  int code = getaddrinfo(host, colon + 1, &hints, &found);
  if (code != 0) {
    fail(error, SYNCLOG_NOT_READY, "%s", gai_strerror(code));
    return -1;
  }
  int fd = connect_to(found, until_us, error);
  freeaddrinfo(found);
  return fd;
}

static gboolean send_all(int fd, const char *text, gint64 until_us, GError **error)
{
  gsize left = strlen(text);
  while (left > 0) {
    ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
    if (sent > 0) {
      text += sent;
      left -= (gsize)sent;
    } else if (errno != EAGAIN) {
      return fail_errno(error, SYNCLOG_NOT_READY, errno, "send");
    } else if (!wait_for(fd, POLLOUT, until_us, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean read_all(int fd, GString *answer, gsize limit, gint64 until_us, GError **error)
{
  g_autofree char *buffer = g_malloc(READ_SIZE);
  for (;;) {
    ssize_t got = recv(fd, buffer, READ_SIZE, 0);
    if (got == 0)
      return TRUE;
    if (got > 0)
      g_string_append_len(answer, buffer, got);
    else if (errno != EAGAIN)
      return fail_errno(error, SYNCLOG_NOT_READY, errno, "recv");
    else if (!wait_for(fd, POLLIN, until_us, error))
      return FALSE;
    if (answer->len > limit)
      return fail(error, SYNCLOG_TOO_LARGE, "the answer has more than %" G_GSIZE_FORMAT " bytes",
                  limit);
  }
}

/* HTTP/1.0: the server closes behind the answer, which comes in one piece. */
GString *http_get(const char *address, const char *path, gint64 timeout_ms, gsize limit,
                  GError **error)
{
  gint64 until_us = g_get_monotonic_time() + timeout_ms * 1000;
  g_autofree char *request =
      g_strdup_printf("GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address);
  GString *answer = g_string_new(NULL);
  int fd = open_connection(address, until_us, error);
  gboolean done = fd >= 0 && send_all(fd, request, until_us, error) &&
                  read_all(fd, answer, limit, until_us, error);
  if (fd >= 0)
    close(fd);
  const char *body = strstr(answer->str, "\r\n\r\n");
  if (done && body == NULL)
    done = fail(error, SYNCLOG_NOT_READY, "no whole answer");
  if (!done) {
    g_string_free(answer, TRUE);
    return NULL;
  }
  /* The status's line stays where it says something. */
  gboolean good = strstr(answer->str, " 200 ") != NULL &&
                  strstr(answer->str, " 200 ") < strstr(answer->str, "\r\n");
  gssize from = good ? 0 : strstr(answer->str, "\r\n") + 1 - answer->str;
  g_string_erase(answer, from, body + 4 - answer->str - from);
  if (!good)
    g_string_insert_c(answer, from, '\n');
  return answer;
}
