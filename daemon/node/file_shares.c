#include "node/file_shares.h"

#include "base/limits.h"

#include <sys/resource.h>

FileShares file_shares(guint64 limit, guint max_connections, gboolean with_http, guint groups)
{
  guint64 own = MIN(limit / 2, (guint64)LIMIT_OWN_FILES * (groups + 1));
  guint64 rest = limit - own;
  guint64 http = with_http ? CLAMP(rest / 8, 1, LIMIT_HTTP_CONNECTIONS) : 0;
  rest -= MIN(rest, http);
  guint64 peers = CLAMP(rest / 4, 1, max_connections);
  guint64 clients = CLAMP(rest - MIN(rest, peers), 1, max_connections);
  return (FileShares){.clients = (guint)clients,
                      .peers = (guint)peers,
                      .http = (guint)http,
                      .store = (guint)MAX(own / 2, 1)};
}

guint64 file_limit_raise(guint max_connections, gboolean with_http, guint groups)
{
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0)
    return LIMIT_OWN_FILES;
  /* A quarter of what is left is for peers: so much gives all servers all that they may have. */
  rlim_t http = with_http ? LIMIT_HTTP_CONNECTIONS * 8 : 0;
  rlim_t wanted = MIN((rlim_t)LIMIT_OWN_FILES * (groups + 1) +
                          MAX((rlim_t)max_connections * 4 + LIMIT_HTTP_CONNECTIONS, http),
                      files.rlim_max);
  if (files.rlim_cur >= wanted)
    return files.rlim_cur;
  struct rlimit raised = {.rlim_cur = wanted, .rlim_max = files.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : files.rlim_cur;
}
