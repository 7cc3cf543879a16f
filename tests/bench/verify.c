#include "verify.h"

#include "base/error.h"
#include "load.h"
#include "rpc/client.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  CALL_TIMEOUT_MS = 60 * 1000,
  TOKEN_WAIT_MS = 5000, /* of one read; it is repeated */
};

static GArray *known_tokens(const GArray *tokens)
{
  GArray *known = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; i < tokens->len; i++) {
    if (g_array_index(tokens, Token, i).index > 0)
      g_array_append_val(known, g_array_index(tokens, Token, i));
  }
  return known;
}

gboolean verify_drained(const GPtrArray *addresses, const GArray *tokens, const char *device,
                        gint64 timeout_ms, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + timeout_ms * 1000;
  g_autoptr(GArray) known = known_tokens(tokens);
  for (guint i = 0; i < addresses->len; i++) {
    g_autoptr(RpcClient) client = rpc_client_new(g_ptr_array_index(addresses, i), CALL_TIMEOUT_MS);
    for (;;) {
      g_autoptr(GError) local = NULL;
      g_autoptr(GPtrArray) values = rpc_client_last(client, 0, device, NULL, known, &local);
      if (values != NULL)
        break;
      gboolean again = g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_TIMEOUT) ||
                       g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_UNKNOWN_LOG);
      if (!again || g_get_monotonic_time() > deadline) {
        g_propagate_error(error, g_steal_pointer(&local));
        return fail_prefix(error,
                           "%s does not get all: ", (const char *)g_ptr_array_index(addresses, i));
      }
    }
  }
  return TRUE;
}

gboolean verify_equal(const GPtrArray *addresses, const StateDigest *before, guint64 cells,
                      StateDigest *out_digest, GError **error)
{
  StateDigest first = {0};
  for (guint i = 0; i < addresses->len; i++) {
    const char *address = g_ptr_array_index(addresses, i);
    g_autoptr(RpcClient) client = rpc_client_new(address, CALL_TIMEOUT_MS);
    StateDigest digest = {0};
    Progress *progress = NULL;
    gboolean good = rpc_client_digest(client, 0, NULL, &digest, &progress, error);
    g_clear_pointer(&progress, progress_free);
    if (!good)
      return fail_prefix(error, "digest of %s: ", address);
    if (i == 0)
      first = digest;
    if (digest.low != first.low || digest.high != first.high || digest.cells != first.cells)
      return fail(error, SYNCLOG_INTERNAL, "the digest of %s is not that of %s", address,
                  (const char *)g_ptr_array_index(addresses, 0));
  }
  if (out_digest != NULL)
    *out_digest = first;
  guint64 had = before != NULL ? before->cells : 0;
  if (first.cells < had + cells)
    return fail(error, SYNCLOG_INTERNAL,
                "%" G_GUINT64_FORMAT " values were acknowledged, the nodes hold %" G_GUINT64_FORMAT,
                cells, first.cells - had);
  return TRUE;
}

gboolean verify_redis_drained(const char *address, guint replicas, gint64 timeout_ms,
                              GError **error)
{
  int fd = load_connect(address, error);
  if (fd < 0)
    return FALSE;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  struct timeval limit = {.tv_sec = timeout_ms / 1000 + 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  g_autofree char *request =
      g_strdup_printf("SET drained 1\r\nWAIT %u %" G_GINT64_FORMAT "\r\n", replicas, timeout_ms);
  gboolean good = send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request);
  char answer[128];
  gsize have = 0;
  while (good && (have == 0 || g_strrstr_len(answer, (gssize)have, "\n:") == NULL ||
                  answer[have - 1] != '\n')) {
    ssize_t n = recv(fd, answer + have, sizeof answer - 1 - have, 0);
    good = n > 0;
    have += good ? (gsize)n : 0;
  }
  close(fd);
  if (!good)
    return fail(error, SYNCLOG_TIMEOUT, "redis does not say that its replicas have all");
  answer[have] = '\0';
  guint64 reached = g_ascii_strtoull(strstr(answer, "\n:") + 2, NULL, 10);
  return reached >= replicas ||
         fail(error, SYNCLOG_TIMEOUT, "only %" G_GUINT64_FORMAT " of %u replicas have all", reached,
              replicas);
}
