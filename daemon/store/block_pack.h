/*
 * A raw block in fewer bytes, as it is kept under an R key: the times and each column by the codecs
 * of chunks, as far as that is quick. What is written to the memtable and from there into files is
 * a copy of all that arrives, so its bytes are most of what a tablet costs. README.md has the
 * bytes. Pure functions.
 */
#pragma once

#include "store/block.h"

enum {
  BLOCK_VERSION_PACKED = 3,
  BLOCK_PACK_ROWS = 16,      /* fewer are not worth it */
  BLOCK_PACK_SIZE = 4 << 20, /* larger ones stay as they are, so that reading one is bounded */
};

/*
 * Puts the packed form of a sound block into `out` (emptied before) when it is smaller. FALSE: it
 * is to be kept as it is.
 */
gboolean block_pack(const guint8 *bytes, gsize size, GByteArray *out);

/*
 * A copy of the block as block_open() reads it, packed or not; to be freed by g_free. NULL with
 * CORRUPT when it can't be unpacked. What comes out is not checked.
 */
guint8 *block_unpack(const guint8 *bytes, gsize size, gsize *out_size, GError **error);

/* How many bytes it has then, as its head says. */
gsize block_unpacked_size(const guint8 *bytes, gsize size);

/* Whether its rows have versions of their own. */
gboolean block_is_mixed(const guint8 *bytes, gsize size);
