#include "ctl/digest_diff.h"

#include <string.h>

enum { PAGE = 1000 };

static void difference_free(gpointer data)
{
  Difference *difference = data;
  g_free(difference->device);
  g_free(difference);
}

/* The parts of one server, page by page. */
typedef struct Parts {
  RpcClient *client;
  guint32 group;
  DigestQuery query;
  GPtrArray *page; /* DigestPart; NULL: none was asked for yet */
  guint at;
  gboolean more;
} Parts;

static void parts_clear(Parts *parts)
{
  g_clear_pointer(&parts->page, g_ptr_array_unref);
}

/* The part under the cursor; NULL at the end, or with an error. */
static const DigestPart *parts_peek(Parts *parts, GError **error)
{
  while (parts->page == NULL || (parts->at == parts->page->len && parts->more)) {
    g_autoptr(GPtrArray) before = g_steal_pointer(&parts->page);
    const DigestPart *last =
        before != NULL && before->len > 0 ? before->pdata[before->len - 1] : NULL;
    if (last != NULL && parts->query.device == NULL)
      parts->query.after = last->device;
    else if (last != NULL)
      parts->query.from = last->start_time + 1;
    parts->page =
        rpc_client_digest_parts(parts->client, parts->group, &parts->query, &parts->more, error);
    parts->at = 0;
    parts->query.after = NULL;
    if (parts->page == NULL)
      return NULL;
    if (parts->page->len == 0)
      parts->more = FALSE;
    /* Behind the last bucket told: that one itself comes again. */
    if (parts->page->len > 0 && last != NULL && parts->query.device != NULL &&
        ((const DigestPart *)parts->page->pdata[0])->start_time == last->start_time)
      parts->at = 1;
  }
  return parts->at < parts->page->len ? parts->page->pdata[parts->at] : NULL;
}

static int compare_parts(const DigestPart *a, const DigestPart *b)
{
  int order = strcmp(a->device, b->device);
  if (order != 0)
    return order;
  return a->start_time < b->start_time ? -1 : a->start_time > b->start_time;
}

static gboolean equal_parts(const DigestPart *a, const DigestPart *b)
{
  return a->digest.low == b->digest.low && a->digest.high == b->digest.high &&
         a->digest.cells == b->digest.cells;
}

/*
 * Walks both in order and calls found() for each part that differs or that one of them lacks.
 * found() returns FALSE to end it, with or without an error.
 */
static gboolean walk(Parts *left, Parts *right,
                     gboolean (*found)(gpointer ctx, const DigestPart *part, guint64 left_cells,
                                       guint64 right_cells, GError **error),
                     gpointer ctx, GError **error)
{
  for (;;) {
    GError *local = NULL;
    const DigestPart *a = parts_peek(left, &local);
    const DigestPart *b = local == NULL ? parts_peek(right, &local) : NULL;
    if (local != NULL) {
      g_propagate_error(error, local);
      return FALSE;
    }
    if (a == NULL && b == NULL)
      return TRUE;
    int order = a == NULL ? 1 : b == NULL ? -1 : compare_parts(a, b);
    left->at += order <= 0;
    right->at += order >= 0;
    if (order == 0 && equal_parts(a, b))
      continue;
    if (!found(ctx, order <= 0 ? a : b, order <= 0 ? a->digest.cells : 0,
               order >= 0 ? b->digest.cells : 0, error))
      return FALSE;
  }
}

typedef struct Search {
  RpcClient *left, *right;
  guint32 group;
  guint64 cut;
  guint limit;
  GPtrArray *found;
  gboolean more;
} Search;

static Parts parts_of(const Search *search, RpcClient *client, const char *device)
{
  return (Parts){
      .client = client,
      .group = search->group,
      .query = {.cut = search->cut, .device = device, .from = G_MININT64, .limit = PAGE}};
}

static gboolean found_bucket(gpointer ctx, const DigestPart *part, guint64 left_cells,
                             guint64 right_cells, GError **error)
{
  (void)error;
  Search *search = ctx;
  if (search->found->len == search->limit) {
    search->more = TRUE;
    return FALSE;
  }
  Difference *difference = g_new(Difference, 1);
  *difference = (Difference){g_strdup(part->device), part->start_time, left_cells, right_cells};
  g_ptr_array_add(search->found, difference);
  return TRUE;
}

static gboolean found_device(gpointer ctx, const DigestPart *part, guint64 left_cells,
                             guint64 right_cells, GError **error)
{
  (void)left_cells;
  (void)right_cells;
  Search *search = ctx;
  g_autofree char *device = g_strdup(part->device);
  Parts left = parts_of(search, search->left, device);
  Parts right = parts_of(search, search->right, device);
  gboolean go_on = walk(&left, &right, found_bucket, search, error);
  parts_clear(&left);
  parts_clear(&right);
  return go_on;
}

GPtrArray *digest_diff(const Ctl *ctl, RpcClient *left_client, RpcClient *right_client,
                       const char *device, guint64 cut, guint limit, gboolean *out_more,
                       GError **error)
{
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(difference_free);
  Search search = {left_client, right_client, ctl->group, cut, limit, found, FALSE};
  Parts left = parts_of(&search, left_client, device);
  Parts right = parts_of(&search, right_client, device);
  gboolean ended =
      walk(&left, &right, device != NULL ? found_bucket : found_device, &search, error);
  parts_clear(&left);
  parts_clear(&right);
  *out_more = search.more;
  return ended || search.more ? g_steal_pointer(&found) : NULL;
}
