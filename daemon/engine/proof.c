/*
 * Whether a peer has the same entries of a log as this node, when none of it is sent to the peer
 * from here, so that no sender has compared it (P4): the peer has it from its origin, or from
 * another node. It is compared when somebody asks, by the running digest that the peer told last.
 */
#include "engine/group_private.h"

typedef struct Proof {
  LogId log;
  guint64 equal_to;                  /* the same up to here; 0: not known */
  guint64 asked_index, asked_digest; /* read_digest is under way; index 0: it is not */
} Proof;

static Proof *find(const Peer *peer, LogId log)
{
  for (guint i = 0; i < peer->proofs->len; i++) {
    Proof *proof = &g_array_index(peer->proofs, Proof, i);
    if (log_id_equal(proof->log, log))
      return proof;
  }
  return NULL;
}

static Proof *put(Peer *peer, LogId log)
{
  Proof *found = find(peer, log);
  if (found != NULL)
    return found;
  Proof fresh = {.log = log};
  g_array_append_val(peer->proofs, fresh);
  return &g_array_index(peer->proofs, Proof, peer->proofs->len - 1);
}

void proof_init_peer(Peer *peer)
{
  peer->proofs = g_array_new(FALSE, FALSE, sizeof(Proof));
}

void proof_forget(Peer *peer)
{
  g_array_set_size(peer->proofs, 0);
}

gboolean proof_holds(Group *group, Peer *peer, const Log *log, guint64 index)
{
  const LogProgress *theirs = progress_find(peer->progress, log->id);
  if (theirs == NULL || theirs->durable < index)
    return FALSE;
  /* Without a digest there is nothing to compare, here as in is_no_fork of the dispatcher. */
  if (theirs->digest_index == 0)
    return TRUE;
  Proof *proof = put(peer, log->id);
  guint64 end, digest;
  /* While nothing is written it is known at once. */
  if (group->ports.digest_at_end(group->ports.ctx, log->id, &end, &digest) &&
      end == theirs->digest_index && digest == theirs->digest)
    proof->equal_to = MAX(proof->equal_to, end);
  if (proof->equal_to >= index)
    return TRUE;
  if (proof->asked_index == 0 && theirs->digest_index >= index &&
      theirs->digest_index <= log->durable) {
    proof->asked_index = theirs->digest_index;
    proof->asked_digest = theirs->digest;
    group->ports.read_digest(group->ports.ctx, peer->id, log->id, theirs->digest_index);
  }
  return FALSE;
}

void proof_on_digest(Peer *peer, LogId log, guint64 index, DigestVerdict verdict, guint64 digest)
{
  Proof *proof = find(peer, log);
  if (proof == NULL || proof->asked_index != index)
    return;
  proof->asked_index = 0;
  gboolean equal = verdict == DIGEST_KNOWN && digest == proof->asked_digest;
  if (equal || verdict == DIGEST_UNKNOWN)
    proof->equal_to = MAX(proof->equal_to, index);
}
