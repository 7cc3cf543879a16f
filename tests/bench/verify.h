/*
 * What comes after a load: waiting until all nodes hold it, and looking whether they really do.
 */
#pragma once

#include "core/messages.h"

/* Waits until every node has applied all tokens (those with index 0 are left out). */
gboolean verify_drained(const GPtrArray *addresses, const GArray *tokens, const char *device,
                        gint64 timeout_ms, GError **error);

/*
 * Fails unless the digests of all nodes are equal, and there are at least `cells` cells more than
 * *before (NULL: than none).
 */
gboolean verify_equal(const GPtrArray *addresses, const StateDigest *before, guint64 cells,
                      StateDigest *out_digest, GError **error);

/* The same for redis: a write of this moment has reached `replicas` replicas. */
gboolean verify_redis_drained(const char *address, guint replicas, gint64 timeout_ms,
                              GError **error);
