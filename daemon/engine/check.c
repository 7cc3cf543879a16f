/* Comparing what the nodes hold: each tells the digest of its data as of the same clocks. */
#include "engine/group_private.h"

void check_compare(Group *group, Peer *peer)
{
  const Progress *theirs = peer->progress;
  guint at = 0;
  if (theirs->checked_hlc == 0 || theirs->checked_hlc == peer->compared_hlc)
    return;
  while (at < CHECKS_KEPT && group->checks[at].hlc != theirs->checked_hlc)
    at++;
  if (at == CHECKS_KEPT)
    return;
  gboolean differed = peer->data_differs;
  peer->compared_hlc = theirs->checked_hlc;
  peer->data_differs = theirs->checked_digest != group->checks[at].digest;
  if (peer->data_differs)
    group_note(
        group, G_LOG_LEVEL_CRITICAL,
        "peer %u holds other data than this node, of the entries up to clock %" G_GUINT64_FORMAT
        ": synclogctl digest --compare tells where",
        peer->id, peer->compared_hlc);
  else if (differed)
    group_note(group, G_LOG_LEVEL_MESSAGE, "peer %u holds the same data as this node again",
               peer->id);
}

void group_set_check(Group *group, guint64 hlc, guint64 digest)
{
  group->checked_hlc = hlc;
  group->checked_digest = digest;
  group->checks[group->next_check].hlc = hlc;
  group->checks[group->next_check].digest = digest;
  group->next_check = (group->next_check + 1) % CHECKS_KEPT;
  for (guint i = 0; i < group->peers->len; i++)
    check_compare(group, group->peers->pdata[i]);
}
