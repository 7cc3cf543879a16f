/*
 * Going on to the next of --server when one refuses what another may serve: it is not ready, is
 * overloaded, has no room, does not have the group, and the like; what is wrong with the request
 * itself is wrong everywhere. One object per request, on the stack:
 *
 *   g_auto(Tries) tries = {.kind = TRIES_READ};
 *   do
 *     answer = rpc_client_…(ctl->client, …, error);
 *   while (answer == NULL && tries_next(&tries, ctl, error));
 *
 * Each server is asked once. `error` must not be NULL.
 */
#pragma once

#include "ctl/ctl.h"

typedef enum {
  TRIES_READ,
  /* Changes something: goes on only after a refusal which says that nothing was changed. */
  TRIES_WRITE,
  /* A write with a key, which is not applied again: goes on as a read does. When the connection
   * broke the same server is tried once more first, since it may have taken the write. */
  TRIES_KEYED_WRITE,
} TriesKind;

typedef struct Tries {
  TriesKind kind;
  /* Of tries_next(). */
  guint asked;
  gboolean again_here;
  char *cluster; /* that of the first server; another one is passed over */
  GError *first; /* why the first one refused */
} Tries;

void tries_clear(Tries *tries);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tries, tries_clear)

/*
 * After a failure. TRUE when the request is to be sent again: ctl->client is then connected to
 * another server, and *error is NULL. FALSE with *error saying why no server served: the first
 * refusal, or what is wrong with the request.
 */
gboolean tries_next(Tries *tries, Ctl *ctl, GError **error);

/* Whether an error is the matter of the server that was asked, so that another one may do better.
 */
gboolean tries_may_go_on(TriesKind kind, const GError *error);
