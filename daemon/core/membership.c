#include "core/membership.h"

static gint compare_nodes(gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *)a, y = *(const guint32 *)b;
  return (x > y) - (x < y);
}

Membership *membership_new(guint32 self, const GArray *peers)
{
  Membership *membership = g_new0(Membership, 1);
  membership->self = self;
  membership->members = g_array_new(FALSE, FALSE, sizeof(guint32));
  membership->lost = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_val(membership->members, self);
  g_array_append_vals(membership->members, peers->data, peers->len);
  g_array_sort(membership->members, compare_nodes);
  for (guint i = 1; i < membership->members->len; i++)
    g_assert(g_array_index(membership->members, guint32, i - 1) !=
             g_array_index(membership->members, guint32, i));
  return membership;
}

void membership_free(Membership *membership)
{
  g_array_unref(membership->members);
  g_array_unref(membership->lost);
  g_free(membership);
}

gboolean membership_has(const Membership *membership, guint32 node)
{
  return g_array_binary_search(membership->members, &node, compare_nodes, NULL);
}

gboolean membership_forget(Membership *membership, guint32 node)
{
  g_assert(node != membership->self && membership_has(membership, node));
  if (membership_is_lost(membership, node))
    return FALSE;
  g_array_append_val(membership->lost, node);
  g_array_sort(membership->lost, compare_nodes);
  return TRUE;
}

gboolean membership_is_lost(const Membership *membership, guint32 node)
{
  return g_array_binary_search(membership->lost, &node, compare_nodes, NULL);
}

guint membership_count(const Membership *membership)
{
  return membership->members->len - membership->lost->len;
}

guint membership_majority(const Membership *membership)
{
  return membership_count(membership) / 2 + 1;
}
