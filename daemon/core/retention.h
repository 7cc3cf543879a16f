/*
 * Which entries of a log this node may delete (P5). Pure functions.
 */
#pragma once

#include "core/membership.h"
#include "core/progress.h"

/*
 * The highest index of `log` that nobody needs from this node any more: this node's store has it
 * durably, and every other member for which something is kept has it durably in its WAL.
 * peer_progress[i] belongs to the i-th member of `membership` (NULL: nothing known of it yet; the
 * entry of self is ignored): nothing known means nothing may go.
 */
guint64 retention_safe_index(const Membership *membership, LogId log, guint64 store_durable,
                             const Progress *const *peer_progress);

/*
 * The highest index that may go when the WAL is over its limit, whoever lacks it: a majority of the
 * members that count for acknowledgements holds it durably, this node in its store. So of two sides
 * that do not reach each other one at most deletes what the other lacks, and what is deleted is
 * never held by its writer alone. Never below retention_safe_index.
 */
guint64 retention_limit_index(const Membership *membership, LogId log, guint64 store_durable,
                              const Progress *const *peer_progress);
