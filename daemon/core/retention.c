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
