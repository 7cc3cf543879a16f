#include "rpc/listen.h"

#include "base/error.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* "host:port" or "[host]:port" into its parts; INVALID otherwise. */
static gboolean split_address(const char *address, char **out_host, char **out_port, GError **error)
{
  const char *colon = strrchr(address, ':');
  if (colon == NULL || colon[1] == '\0')
    return fail(error, SYNCLOG_INVALID, "%s: no port", address);
  gsize size = (gsize)(colon - address);
  if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
    *out_host = g_strndup(address + 1, size - 2);
  } else {
    if (memchr(address, ':', size) != NULL)
      return fail(error, SYNCLOG_INVALID, "%s: an IPv6 address needs brackets", address);
    *out_host = g_strndup(address, size);
  }
  *out_port = g_strdup(colon + 1);
  return TRUE;
}

/* A socket, or -1 with errno. */
static int listen_on(const struct addrinfo *info)
{
  int fd =
      socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, info->ai_protocol);
  if (fd < 0)
    return -1;
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (info->ai_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
    return fd;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

static void set_port(struct sockaddr *address, guint16 port)
{
  if (address->sa_family == AF_INET)
    ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
  else if (address->sa_family == AF_INET6)
    ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

/* A host may have an address that this machine does not: then the others count. */
static gboolean is_absent(int errno_value)
{
  return errno_value == EADDRNOTAVAIL || errno_value == EAFNOSUPPORT;
}

static gboolean listen_address(const char *address, GArray *sockets, GError **error)
{
  g_autofree char *host = NULL;
  g_autofree char *port = NULL;
  if (!split_address(address, &host, &port, error))
    return FALSE;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  int code = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
  if (code != 0)
    return fail(error, SYNCLOG_INVALID, "%s: %s", address, gai_strerror(code));
  guint before = sockets->len;
  guint16 any_port = 0;
  int failure = 0;
  for (struct addrinfo *info = found; info != NULL && failure == 0; info = info->ai_next) {
    if (any_port != 0)
      set_port(info->ai_addr, any_port);
    int fd = listen_on(info);
    if (fd >= 0) {
      g_array_append_val(sockets, fd);
      any_port = rpc_listen_port(fd);
    } else if (!is_absent(errno) || (info->ai_next == NULL && sockets->len == before)) {
      failure = errno;
    }
  }
  freeaddrinfo(found);
  return failure == 0 || fail_errno(error, SYNCLOG_NOT_READY, failure, "%s", address);
}

GArray *rpc_listen(const char *listen, GError **error)
{
  GArray *sockets = g_array_new(FALSE, FALSE, sizeof(int));
  g_auto(GStrv) addresses = g_strsplit(listen, ",", -1);
  gboolean ok = TRUE;
  for (guint i = 0; addresses[i] != NULL && ok; i++)
    ok = listen_address(g_strstrip(addresses[i]), sockets, error);
  if (ok && sockets->len > 0)
    return sockets;
  if (ok)
    fail(error, SYNCLOG_INVALID, "no address to listen on");
  rpc_listen_close(sockets);
  return NULL;
}

void rpc_listen_close(GArray *sockets)
{
  for (guint i = 0; i < sockets->len; i++)
    close(g_array_index(sockets, int, i));
  g_array_unref(sockets);
}

guint16 rpc_listen_port(int fd)
{
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
    return 0;
  if (address.ss_family == AF_INET)
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return 0;
}

int rpc_listen_accept(int fd, char **out_address)
{
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  int conn = accept4(fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (conn < 0)
    return -1;
  int one = 1;
  setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(conn, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    *out_address = g_strdup("unknown");
  else
    *out_address = g_strdup_printf(strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
  return conn;
}
