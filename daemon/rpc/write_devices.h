/* The devices of an encoded write, found without decoding its values. */
#pragma once

#include <glib.h>

typedef gboolean (*WriteDeviceFound)(gpointer ctx, gboolean deletes, const char *device,
                                     gsize size);

/*
 * Calls found(ctx, deletes, device, size) for each part of the encoded TWrite data[0 .. size), in
 * their order, until it returns FALSE; returns whether it never did. `deletes`: the part is one.
 * Names are as they stand there, unchecked. Of what the store takes all devices are found; other
 * bytes end it early. Pure.
 */
gboolean write_devices(const guint8 *data, gsize size, WriteDeviceFound found, gpointer ctx);
