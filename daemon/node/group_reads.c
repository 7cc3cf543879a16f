#include "node/group_reads.h"

#include <string.h>

/* --- all groups as one store --------------------------------------------------------------------
 */

typedef struct View {
  Store base;
  const GroupRule *rule;
  GPtrArray *replicas;  /* Replica, by id */
  GPtrArray *stores;    /* Store, of each; NULL where it is left out */
  const char *left_out; /* which groups are, and why; NULL: none */
  const GArray *left_out_ids;
} View;

static Store *store_of(View *view, const char *device, GError **error)
{
  guint32 id = group_rule_find(view->rule, device, strlen(device));
  for (guint i = 0; i < view->replicas->len; i++)
    if (replica_group(view->replicas->pdata[i]) == id && view->stores->pdata[i] != NULL)
      return view->stores->pdata[i];
  fail(error, SYNCLOG_UNKNOWN_GROUP, "device \"%s\" belongs to group %u, which can't be read here",
       device, id);
  return NULL;
}

static Table *view_query(Store *store, const Query *query, GError **error)
{
  Store *one = store_of((View *)store, query->device, error);
  return one != NULL ? store_query(one, query, error) : NULL;
}

static GPtrArray *view_last(Store *store, const char *device, const char *const *measurements,
                            GError **error)
{
  Store *one = store_of((View *)store, device, error);
  return one != NULL ? store_last(one, device, measurements, error) : NULL;
}

static Aggregate *view_aggregate(Store *store, const AggregateQuery *query, GError **error)
{
  Store *one = store_of((View *)store, query->device, error);
  return one != NULL ? store_aggregate(one, query, error) : NULL;
}

static int compare_devices(gconstpointer one, gconstpointer other)
{
  return strcmp((*(const Device *const *)one)->name, (*(const Device *const *)other)->name);
}

/*
 * One page of every group, as far as all of them reach. What a group holds of devices that are
 * another's by now is left out.
 */
static GPtrArray *merge_pages(View *view, const char *prefix, const char *after, guint limit,
                              char **out_until, GError **error)
{
  g_autoptr(GPtrArray) merged = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  *out_until = NULL;
  for (guint i = 0; i < view->stores->len; i++) {
    guint32 id = replica_group(view->replicas->pdata[i]);
    gboolean more = FALSE;
    if (view->stores->pdata[i] == NULL)
      continue;
    g_autoptr(GPtrArray) page =
        store_series(view->stores->pdata[i], prefix, after, limit, &more, error);
    if (page == NULL)
      return NULL;
    const Device *last = more ? g_ptr_array_index(page, page->len - 1) : NULL;
    if (last != NULL && (*out_until == NULL || strcmp(last->name, *out_until) < 0)) {
      g_free(*out_until);
      *out_until = g_strdup(last->name);
    }
    for (guint k = page->len; k-- > 0;) {
      const Device *device = page->pdata[k];
      if (group_rule_find(view->rule, device->name, strlen(device->name)) == id)
        g_ptr_array_add(merged, g_ptr_array_steal_index_fast(page, k));
    }
  }
  g_ptr_array_sort(merged, compare_devices);
  while (*out_until != NULL && merged->len > 0 &&
         strcmp(((const Device *)merged->pdata[merged->len - 1])->name, *out_until) > 0)
    g_ptr_array_remove_index(merged, merged->len - 1);
  return g_steal_pointer(&merged);
}

static GPtrArray *view_series(Store *store, const char *prefix, const char *after, guint limit,
                              gboolean *out_more, GError **error)
{
  g_autofree char *from = g_strdup(after);
  for (;;) {
    g_autofree char *until = NULL;
    GPtrArray *merged = merge_pages((View *)store, prefix, from, limit, &until, error);
    if (merged == NULL)
      return NULL;
    *out_more = until != NULL || merged->len > limit;
    if (merged->len > limit)
      g_ptr_array_set_size(merged, (gint)limit);
    if (merged->len > 0 || until == NULL)
      return merged;
    g_ptr_array_unref(merged); /* nothing but what is another group's by now */
    g_free(from);
    from = g_steal_pointer(&until);
  }
}

static const StoreOps view_ops = {.name = "groups",
                                  .query = view_query,
                                  .last = view_last,
                                  .aggregate = view_aggregate,
                                  .series = view_series};

const char *group_reads_left_out(const Store *store)
{
  return store->ops == &view_ops ? ((const View *)store)->left_out : NULL;
}

const GArray *group_reads_left_out_ids(const Store *store)
{
  return store->ops == &view_ops ? ((const View *)store)->left_out_ids : NULL;
}

/* --- reading all of them ------------------------------------------------------------------------
 */

typedef struct ReadAll {
  GPtrArray *replicas; /* all that are open, held */
  gboolean *skipped;   /* of each: it can't be read, and is left out */
  gboolean partial;    /* else one that can't be read is an error */
  GString *left_out;   /* as text … */
  GArray *left_ids;    /* … and guint32 */
  guint next;          /* the one that is waited for */
  GroupRule *rule;
  GArray *tokens;
  gint64 until_us;
  ReplicaRead read;
  gpointer data;
} ReadAll;

static void read_all_free(ReadAll *all)
{
  g_ptr_array_unref(all->replicas);
  g_clear_pointer(&all->rule, group_rule_unref);
  g_clear_pointer(&all->tokens, g_array_unref);
  g_string_free(all->left_out, TRUE);
  g_array_unref(all->left_ids);
  g_free(all->skipped);
  g_free(all);
}

static gboolean is_known(const GPtrArray *replicas, LogId log)
{
  for (guint i = 0; i < replicas->len; i++)
    if (replica_knows_log(replicas->pdata[i], log))
      return TRUE;
  return FALSE;
}

/*
 * Whether a read of this replica is to wait for a token. One that doesn't tell its group may be of
 * any: it is where its log is known, and when nobody knows it, everywhere, and is refused.
 */
static gboolean is_for(const GPtrArray *replicas, Replica *replica, const Token *token)
{
  if (token->group != 0)
    return token->group == replica_group(replica);
  return replica_knows_log(replica, token->log) || !is_known(replicas, token->log);
}

static GArray *tokens_for(const GPtrArray *replicas, Replica *replica, const GArray *tokens)
{
  GArray *own = g_array_new(FALSE, FALSE, sizeof(Token));
  for (guint i = 0; tokens != NULL && i < tokens->len; i++) {
    Token token = g_array_index(tokens, Token, i);
    if (is_for(replicas, replica, &token))
      g_array_append_val(own, token);
  }
  return own;
}

static gboolean has_id(const GArray *ids, guint32 id)
{
  for (guint i = 0; ids != NULL && i < ids->len; i++)
    if (g_array_index(ids, guint32, i) == id)
      return TRUE;
  return FALSE;
}

/* The text may quote a file, and becomes a header of HTTP or a line of a terminal. */
static void leave_out(ReadAll *all, guint32 group, const char *why)
{
  g_autofree char *line = g_strdup(why != NULL ? why : "it is not open");
  for (char *c = line; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c))
      *c = ' ';
  g_string_append_printf(all->left_out, "%sgroup %u (%s)",
                         all->left_out->len > 0 ? ", " : "left out: ", group, line);
  g_array_append_val(all->left_ids, group);
}

/* A group that is not ready is left out where that is allowed and no token asks for it. */
static gboolean may_skip(ReadAll *all, guint at, const GError *error)
{
  Replica *replica = all->replicas->pdata[at];
  g_autoptr(GArray) tokens = tokens_for(all->replicas, replica, all->tokens);
  if (!all->partial || tokens->len > 0 || !g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NOT_READY))
    return FALSE;
  leave_out(all, replica_group(replica), error->message);
  all->skipped[at] = TRUE;
  return TRUE;
}

static gboolean begin_views(ReadAll *all, GPtrArray *stores, GError **error)
{
  gboolean some = FALSE;
  for (guint i = 0; i < all->replicas->len; i++) {
    g_autoptr(GError) local = NULL;
    Store *store = all->skipped[i] ? NULL : replica_begin_view(all->replicas->pdata[i], &local);
    some |= store != NULL;
    if (local != NULL && !may_skip(all, i, local)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_ptr_array_add(stores, store);
  }
  return some || fail(error, SYNCLOG_NOT_READY, "no group can be read: %s", all->left_out->str);
}

/* All groups have applied what they must. */
static void read_view(gpointer data)
{
  ReadAll *all = data;
  g_autoptr(GPtrArray) stores = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  gboolean good = begin_views(all, stores, &error);
  View view = {{&view_ops},
               all->rule,
               all->replicas,
               stores,
               all->left_out->len > 0 ? all->left_out->str : NULL,
               all->left_ids};
  all->read(all->data, good ? &view.base : NULL, error);
  for (guint i = 0; i < stores->len; i++)
    if (stores->pdata[i] != NULL)
      replica_end_view(all->replicas->pdata[i]);
  read_all_free(all);
}

static void wait_for_next(gpointer data);

/* To the next one that is not left out already. */
static void step(ReadAll *all)
{
  while (all->next < all->replicas->len && all->skipped[all->next])
    all->next++;
}

static void on_waited(gpointer data, Store *store, const GError *error)
{
  ReadAll *all = data;
  Replica *replica = all->replicas->pdata[all->next];
  if (store == NULL && !may_skip(all, all->next, error)) {
    g_autoptr(GError) named = g_error_copy(error);
    g_prefix_error(&named, "group %u: ", replica_group(replica));
    all->read(all->data, NULL, named);
    read_all_free(all);
    return;
  }
  all->next++;
  step(all);
  /* Not from here, where the store is held. */
  replica_work(replica, all->next < all->replicas->len ? wait_for_next : read_view, all);
}

static void wait_for_next(gpointer data)
{
  ReadAll *all = data;
  Replica *replica = all->replicas->pdata[all->next];
  /* A token that nobody knows is refused by the first. */
  g_autoptr(GArray) tokens = tokens_for(all->replicas, replica, all->tokens);
  gint64 left_ms = MAX(0, (all->until_us - g_get_monotonic_time()) / 1000);
  replica_read(replica, tokens, left_ms, on_waited, all);
}

static gboolean has_token_of(const GArray *tokens, guint32 group)
{
  for (guint i = 0; tokens != NULL && i < tokens->len; i++)
    if (g_array_index(tokens, Token, i).group == group)
      return TRUE;
  return FALSE;
}

/* What a group that should be here would add must not be left out without a word. One that has no
 * number in its token is group 0, which is always open, or is looked for by its log. */
static gboolean check_closed(ReadAll *all, const GPtrArray *closed, const GArray *without,
                             GError **error)
{
  for (guint i = 0; i < closed->len; i++) {
    const GroupInfo *group = closed->pdata[i];
    if (has_id(without, group->id) || (all->partial && !has_token_of(all->tokens, group->id)))
      leave_out(all, group->id, group->message);
    else
      return fail(error, SYNCLOG_NOT_READY,
                  "group %u is not open here%s%s; what another one holds can be read by its number",
                  group->id, group->message != NULL ? ": " : "",
                  group->message != NULL ? group->message : "");
  }
  return TRUE;
}

static void skip_those(ReadAll *all, const GArray *without)
{
  for (guint i = 0; i < all->replicas->len; i++) {
    guint32 id = replica_group(all->replicas->pdata[i]);
    if (!has_id(without, id))
      continue;
    leave_out(all, id, "it could not be read at first");
    all->skipped[i] = TRUE;
  }
}

static void begin_all(Groups *groups, const GroupRead *what, ReplicaRead read, gpointer data)
{
  g_autoptr(GPtrArray) closed = NULL;
  g_autoptr(GError) error = NULL;
  ReadAll *all = g_new0(ReadAll, 1);
  all->replicas = groups_hold_view(groups, &closed, &all->rule);
  all->skipped = g_new0(gboolean, all->replicas->len);
  all->partial = what->partial;
  all->left_out = g_string_new(NULL);
  all->left_ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  all->tokens = what->tokens != NULL ? g_array_copy((GArray *)what->tokens) : NULL;
  all->until_us = g_get_monotonic_time() + what->timeout_ms * 1000;
  all->read = read;
  all->data = data;
  skip_those(all, what->without);
  step(all);
  if (!check_closed(all, closed, what->without, &error)) {
    read(data, NULL, error);
    read_all_free(all);
  } else if (all->next < all->replicas->len) {
    wait_for_next(all);
  } else {
    read_view(all);
  }
}

/* --- all reads ----------------------------------------------------------------------------------
 */

void group_reads_begin(Groups *groups, const GroupRead *what, ReplicaRead read, gpointer data)
{
  gboolean by_rule = what->group == GROUP_BY_RULE && !groups_are_one(groups);
  g_autoptr(GError) error = NULL;
  if (by_rule && what->device == NULL) {
    begin_all(groups, what, read, data);
    return;
  }
  guint32 id = by_rule ? groups_of_device(groups, what->device, strlen(what->device))
               : what->group == GROUP_BY_RULE ? 0
                                              : what->group;
  Replica *replica = groups_hold(groups, id, &error);
  if (replica == NULL) {
    read(data, NULL, error);
    return;
  }
  g_autoptr(GPtrArray) all = by_rule ? groups_hold_all(groups) : NULL;
  g_autoptr(GArray) own = by_rule ? tokens_for(all, replica, what->tokens) : NULL;
  replica_read(replica, by_rule ? own : what->tokens, what->timeout_ms, read, data);
  replica_release(replica);
}
