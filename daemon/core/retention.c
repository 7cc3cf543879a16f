#include "core/retention.h"

guint64 retention_safe_index(const Membership *membership, LogId log, guint64 store_durable,
                             const Progress *const *peer_progress)
{
  guint64 safe = store_durable;
  for (guint i = 0; i < membership->members->len; i++) {
    guint32 node = ((const Member *)membership->members->pdata[i])->id;
    if (node == membership->self || !membership_retains(membership, node))
      continue;
    const LogProgress *theirs =
        peer_progress[i] != NULL ? progress_find(peer_progress[i], log) : NULL;
    safe = MIN(safe, theirs != NULL ? theirs->durable : 0);
  }
  g_assert(safe <= store_durable); /* INV-6 */
  return safe;
}

static int descending(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

guint64 retention_limit_index(const Membership *membership, LogId log, guint64 store_durable,
                              const Progress *const *peer_progress)
{
  g_autoptr(GArray) held = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint i = 0; i < membership->members->len; i++) {
    guint32 node = ((const Member *)membership->members->pdata[i])->id;
    if (!membership_counts(membership, node))
      continue;
    const LogProgress *theirs =
        peer_progress[i] != NULL ? progress_find(peer_progress[i], log) : NULL;
    guint64 index = node == membership->self ? store_durable : theirs != NULL ? theirs->durable : 0;
    g_array_append_val(held, index);
  }
  if (held->len == 0)
    return retention_safe_index(membership, log, store_durable, peer_progress);
  g_array_sort(held, descending);
  guint64 majority = g_array_index(held, guint64, membership_majority(membership) - 1);
  guint64 index = MIN(majority, store_durable);
  g_assert(index >= retention_safe_index(membership, log, store_durable, peer_progress));
  return index;
}
