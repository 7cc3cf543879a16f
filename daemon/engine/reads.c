/* Reads that wait until this node has applied what they must see. */
#include "engine/group_private.h"

static void wait_free(gpointer data)
{
  ReadWait *wait = data;
  g_clear_pointer(&wait->tokens, g_array_unref);
  g_free(wait);
}

static gboolean is_applied(const Group *group, guint64 own_index, const GArray *tokens)
{
  if (group->own->applied < own_index)
    return FALSE;
  for (guint i = 0; tokens != NULL && i < tokens->len; i++) {
    const Token *token = &g_array_index(tokens, Token, i);
    const Log *log = group_find_log(group, token->log);
    if (log == NULL || log->applied < token->index)
      return FALSE;
  }
  return TRUE;
}

/* A log that can never come to this node: its origin is no member, or it would be this node's own.
 */
static const Token *find_hopeless(const Group *group, const GArray *tokens)
{
  for (guint i = 0; tokens != NULL && i < tokens->len; i++) {
    const Token *token = &g_array_index(tokens, Token, i);
    if (group_find_log(group, token->log) != NULL)
      continue;
    if (token->log.origin == group->self ||
        !membership_has(group->options.membership, token->log.origin))
      return token;
  }
  return NULL;
}

static char *describe_unknown(const Token *token)
{
  char text[LOG_ID_TEXT_SIZE];
  return g_strdup_printf("token: no log %s is known here", log_id_format(token->log, text));
}

gboolean group_wait_applied(Group *group, gpointer read, const GArray *tokens, gint64 deadline_us)
{
  guint64 own_index = group->store_stuck ? 0 : group->own->durable;
  if (is_applied(group, own_index, tokens))
    return TRUE;
  ReadWait *wait = g_new0(ReadWait, 1);
  *wait = (ReadWait){.read = read, .own_index = own_index, .deadline_us = deadline_us};
  if (tokens != NULL)
    wait->tokens = g_array_copy((GArray *)tokens);
  /* Nothing to wait for: the next tick tells so. */
  if (group->stopped || find_hopeless(group, tokens) != NULL)
    wait->deadline_us = G_MININT64;
  g_ptr_array_add(group->reads, wait);
  group->ports.work(group->ports.ctx);
  return FALSE;
}

void reads_check(Group *group)
{
  for (guint i = 0; i < group->reads->len;) {
    ReadWait *wait = group->reads->pdata[i];
    if (!is_applied(group, wait->own_index, wait->tokens)) {
      i++;
      continue;
    }
    group->ports.read_done(group->ports.ctx, wait->read, SYNCLOG_OK, NULL);
    wait_free(g_ptr_array_remove_index_fast(group->reads, i));
  }
}

void group_set_store_stuck(Group *group, gboolean stuck)
{
  group->store_stuck = stuck;
  if (!stuck)
    return;
  for (guint i = 0; i < group->reads->len; i++)
    ((ReadWait *)group->reads->pdata[i])->own_index = 0;
  reads_check(group);
}

/* Why the read could not wait longer. */
static SynclogStatus explain(const Group *group, const ReadWait *wait, char **out_message)
{
  for (guint i = 0; wait->tokens != NULL && i < wait->tokens->len; i++) {
    const Token *token = &g_array_index(wait->tokens, Token, i);
    const Log *log = group_find_log(group, token->log);
    if (log == NULL) {
      *out_message = describe_unknown(token);
      return SYNCLOG_UNKNOWN_LOG;
    }
    if (log->applied < token->index) {
      char text[LOG_ID_TEXT_SIZE];
      *out_message = g_strdup_printf("log %s is applied up to %" G_GUINT64_FORMAT
                                     " here, the token asks for %" G_GUINT64_FORMAT,
                                     log_id_format(log->id, text), log->applied, token->index);
      return SYNCLOG_TIMEOUT;
    }
  }
  *out_message = g_strdup_printf("this node's own writes are applied up to %" G_GUINT64_FORMAT
                                 " of %" G_GUINT64_FORMAT,
                                 group->own->applied, wait->own_index);
  return SYNCLOG_TIMEOUT;
}

static void give_up(Group *group, guint i)
{
  ReadWait *wait = g_ptr_array_remove_index_fast(group->reads, i);
  g_autofree char *message = NULL;
  SynclogStatus status = SYNCLOG_NOT_READY;
  if (!group->stopped)
    status = explain(group, wait, &message);
  group->ports.read_done(group->ports.ctx, wait->read, status, message);
  wait_free(wait);
}

void reads_tick(Group *group, gint64 now_us)
{
  for (guint i = 0; i < group->reads->len;) {
    if (((ReadWait *)group->reads->pdata[i])->deadline_us <= now_us)
      give_up(group, i);
    else
      i++;
  }
}

gint64 reads_deadline_us(const Group *group)
{
  gint64 deadline_us = G_MAXINT64;
  for (guint i = 0; i < group->reads->len; i++)
    deadline_us = MIN(deadline_us, ((ReadWait *)group->reads->pdata[i])->deadline_us);
  return deadline_us;
}

void reads_stop(Group *group)
{
  while (group->reads->len > 0)
    give_up(group, 0);
}
