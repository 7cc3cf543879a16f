/* One GET over HTTP, for what nodes show there. Blocks. */
#pragma once

#include <glib.h>

/*
 * The body that `path` of "host:port" has, with a line of its status before it when that is not
 * 200. NULL with an error when there is no whole answer in timeout_ms, or it has more than `limit`
 * bytes.
 */
GString *http_get(const char *address, const char *path, gint64 timeout_ms, gsize limit,
                  GError **error);
