/* Bodies that come compressed: Content-Encoding gzip or deflate. Pure. */
#pragma once

#include "base/error.h"

/*
 * Unpacks all members of a gzip or zlib stream. INVALID when it is damaged, ends too early, or
 * something else follows it; TOO_LARGE when it would give more than `most` bytes, found without
 * having unpacked more than that. Transfer full.
 */
GString *gunzip(const guint8 *bytes, gsize size, gsize most, GError **error);
