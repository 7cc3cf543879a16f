/*
 * Finds where the data of two servers differs: by their digests of devices, then of the buckets of
 * those that differ. One thread.
 */
#pragma once

#include "ctl/ctl.h"

/* A bucket that differs. */
typedef struct Difference {
  char *device;
  gint64 start_time;
  guint64 left_cells, right_cells;
} Difference;

/*
 * Difference, in the order of device and time, at most `limit` (then *out_more), as of clock `cut`
 * (G_MAXUINT64: as they are now), of one device or of all (NULL). Transfer full; NULL with an
 * error.
 */
GPtrArray *digest_diff(const Ctl *ctl, RpcClient *left, RpcClient *right, const char *device,
                       guint64 cut, guint limit, gboolean *out_more, GError **error);
