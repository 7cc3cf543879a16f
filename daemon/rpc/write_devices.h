/* The devices of an encoded write, found without decoding its values. */
#pragma once

#include <glib.h>

/*
 * Calls found(ctx, device, size) for each part of the encoded TWrite data[0 .. size), in their
 * order, until it returns FALSE; returns whether it never did. Names are as they stand there,
 * unchecked. Of what the store takes all devices are found; other bytes end it early. Pure.
 */
gboolean write_devices(const guint8 *data, gsize size,
                       gboolean (*found)(gpointer ctx, const char *device, gsize size),
                       gpointer ctx);
