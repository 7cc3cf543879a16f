/* A chunk as a block of one column, for whoever merges blocks. Pure functions. */
#pragma once

#include "store/chunk.h"
#include "store/version.h"

enum { CHUNK_ORDINAL = G_MAXINT32 }; /* of all cells of chunks: behind all parts of writes */

/*
 * Decodes the chunk into a block of the version out_version. with_versions: each cell is told by
 * its leader, and by the clock that is kept of it (of a chunk of one leader: that of the newest
 * cell); else all count as written at the horizon by nobody: newer than all deletes that were
 * applied to it, older than all that came later. Freed by g_free; NULL with CORRUPT when it is
 * damaged.
 */
guint8 *chunk_to_block(const Chunk *chunk, guint32 measurement, gboolean with_versions,
                       Version *out_version, gsize *out_size, GError **error);
