#include "rpc/lookup.h"

#include <errno.h>
#include <sys/socket.h>

struct Lookup {
  gatomicrefcount refs; /* of the one who asked, and of the thread */
  RpcLoop *loop;
  char *host, *port;
  LookupDone done;
  gpointer data;
  struct addrinfo *found;
  char *why; /* when nothing was found */

  GMutex lock;
  gboolean abandoned; /* under lock; the loop may be gone then */
};

static void lookup_unref(Lookup *lookup)
{
  if (!g_atomic_ref_count_dec(&lookup->refs))
    return;
  if (lookup->found != NULL)
    freeaddrinfo(lookup->found);
  g_free(lookup->why);
  g_free(lookup->host);
  g_free(lookup->port);
  g_mutex_clear(&lookup->lock);
  g_free(lookup);
}

/* On the loop; with the thread's reference. */
static void deliver(gpointer data)
{
  Lookup *lookup = data;
  g_mutex_lock(&lookup->lock);
  gboolean abandoned = lookup->abandoned;
  g_mutex_unlock(&lookup->lock);
  if (!abandoned) {
    lookup->done(lookup->data, g_steal_pointer(&lookup->found), lookup->why);
    lookup_unref(lookup);
  }
  lookup_unref(lookup);
}

/* Posting under the lock keeps the loop alive: who wants to end it must abandon first. */
static void hand_over(Lookup *lookup)
{
  g_mutex_lock(&lookup->lock);
  gboolean abandoned = lookup->abandoned;
  if (!abandoned)
    rpc_loop_post(lookup->loop, deliver, lookup);
  g_mutex_unlock(&lookup->lock);
  if (abandoned)
    lookup_unref(lookup);
}

static gpointer lookup_main(gpointer data)
{
  Lookup *lookup = data;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  int code = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
  if (code != 0)
    lookup->why = g_strdup(code == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(code));
  hand_over(lookup);
  return NULL;
}

Lookup *lookup_start(RpcLoop *loop, const char *host, const char *port, LookupDone done,
                     gpointer data)
{
  Lookup *lookup = g_new0(Lookup, 1);
  g_atomic_ref_count_init(&lookup->refs);
  g_atomic_ref_count_inc(&lookup->refs);
  lookup->loop = loop;
  lookup->host = g_strdup(host);
  lookup->port = g_strdup(port);
  lookup->done = done;
  lookup->data = data;
  g_mutex_init(&lookup->lock);
  g_autoptr(GError) error = NULL;
  GThread *thread = g_thread_try_new("lookup", lookup_main, lookup, &error);
  if (thread != NULL) {
    g_thread_unref(thread);
  } else {
    lookup->why = g_strdup(error->message);
    hand_over(lookup);
  }
  return lookup;
}

void lookup_abandon(Lookup *lookup)
{
  g_mutex_lock(&lookup->lock);
  lookup->abandoned = TRUE;
  g_mutex_unlock(&lookup->lock);
  lookup_unref(lookup);
}

struct addrinfo *lookup_numeric(const char *host, const char *port)
{
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}
