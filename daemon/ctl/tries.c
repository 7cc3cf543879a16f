#include "ctl/tries.h"

void tries_clear(Tries *tries)
{
  g_clear_pointer(&tries->cluster, g_free);
  g_clear_error(&tries->first);
}

/* A refusal; every one but READ_ONLY and INTERNAL says that nothing was changed. */
static gboolean may_go_on_from_answer(TriesKind kind, int code)
{
  switch (code) {
  case SYNCLOG_NOT_READY:
  case SYNCLOG_OVERLOADED:
  case SYNCLOG_NO_SPACE:
  case SYNCLOG_CLOCK_WRONG:
  case SYNCLOG_UNKNOWN_GROUP:
  case SYNCLOG_FORGOTTEN:
    return TRUE;
  case SYNCLOG_READ_ONLY:
  case SYNCLOG_TIMEOUT:
  case SYNCLOG_INTERNAL:
    return kind != TRIES_WRITE;
  /* What this node lacks, or can't read. */
  case SYNCLOG_UNKNOWN_LOG:
  case SYNCLOG_CORRUPT:
    return kind == TRIES_READ;
  default:
    return FALSE;
  }
}

gboolean tries_may_go_on(TriesKind kind, const GError *error)
{
  if (error->domain != SYNCLOG_ERROR)
    return FALSE;
  if (synclog_error_is_answer(error))
    return may_go_on_from_answer(kind, error->code);
  return kind != TRIES_WRITE && ctl_is_unreachable(error);
}

/* A refusal does not say whose it is, as an error of the connection does. */
static void name_server(const Ctl *ctl, GError **error)
{
  if (synclog_error_is_answer(*error))
    g_prefix_error(error, "%s: %s: ", ctl->servers[ctl->server],
                   synclog_status_text((*error)->code));
}

/* The next server that answers. */
static gboolean connect_next(Tries *tries, Ctl *ctl)
{
  guint count = g_strv_length(ctl->servers);
  while (++tries->asked < count) {
    ctl->server = (ctl->server + 1) % count;
    tries->again_here = FALSE;
    if (ctl_connect_here(ctl, NULL) &&
        (tries->cluster == NULL || g_strcmp0(ctl->info.cluster_id, tries->cluster) == 0))
      return TRUE;
  }
  return FALSE;
}

gboolean tries_next(Tries *tries, Ctl *ctl, GError **error)
{
  if (!tries_may_go_on(tries->kind, *error))
    return FALSE;
  if (tries->cluster == NULL)
    tries->cluster = g_strdup(ctl->info.cluster_id);
  gboolean here = tries->kind == TRIES_KEYED_WRITE && !tries->again_here &&
                  !synclog_error_is_answer(*error) &&
                  !g_error_matches(*error, SYNCLOG_ERROR, SYNCLOG_TIMEOUT);
  name_server(ctl, error);
  if (tries->first == NULL)
    tries->first = g_steal_pointer(error);
  g_clear_error(error);
  if (here) {
    tries->again_here = TRUE;
    if (ctl_connect_here(ctl, NULL))
      return TRUE;
  }
  if (connect_next(tries, ctl))
    return TRUE;
  if (g_strv_length(ctl->servers) > 1)
    g_prefix_error(&tries->first,
                   "none of %u servers serves; the first: ", g_strv_length(ctl->servers));
  g_propagate_error(error, g_steal_pointer(&tries->first));
  return FALSE;
}
