/*
 * The content of an entry, an encoded TWrite (thrift/types.thrift), for people to look at. Bytes
 * are checked as they are read; nothing is believed. Pure functions.
 */
#pragma once

#include "ctl/json.h"

typedef struct WriteSummary {
  guint deletes, rows, tablets;
  guint64 tablet_rows,
      values; /* values: in rows, and rows × columns in tablets, missing ones too */
} WriteSummary;

/*
 * Reads the write. With `json` its content goes there as one member `key`: an object with deletes,
 * rows and tablets, and the write's key: as "key" when it is text that can be shown, else its bytes
 * as "keyHex". FALSE when the bytes are no TWrite; what was begun in `json` is ended all the
 * same.
 */
gboolean write_dump(const guint8 *data, gsize size, JsonWriter *json, const char *key,
                    WriteSummary *out_summary);

/* Whether the write has a delete, row or tablet of this device. FALSE when the bytes are no TWrite.
 */
gboolean write_touches(const guint8 *data, gsize size, const char *device);
