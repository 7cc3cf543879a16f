#include "rpc/write_devices.h"

#include "rpc/wire.h"

enum { DELETES = 1, PARTS = 3 }; /* rows, tablets: 2 and 3; the device is field 1 of each */

/* FALSE when `found` says so, or the bytes are no struct; the latter shows in r->failed. */
static gboolean read_part(ByteReader *r, gboolean deletes, WriteDeviceFound found, gpointer ctx)
{
  WireFields fields = {0};
  gboolean go_on = TRUE;
  while (wire_next_field(r, &fields)) {
    if (fields.id != 1 || fields.type != WIRE_STRING) {
      wire_skip(r, fields.type, 2);
      continue;
    }
    guint32 size = byte_reader_be32(r);
    const guint8 *device = byte_reader_take(r, size);
    go_on = go_on && (device == NULL || found(ctx, deletes, (const char *)device, size));
  }
  return go_on && !r->failed;
}

static gboolean read_parts(ByteReader *r, gboolean deletes, WriteDeviceFound found, gpointer ctx)
{
  guint8 type = byte_reader_u8(r);
  guint32 count = byte_reader_be32(r);
  if (type != WIRE_STRUCT || count > byte_reader_left(r))
    r->failed = TRUE;
  for (guint32 i = 0; i < count && !r->failed; i++)
    if (!read_part(r, deletes, found, ctx))
      return FALSE;
  return TRUE;
}

gboolean write_devices(const guint8 *data, gsize size, WriteDeviceFound found, gpointer ctx)
{
  ByteReader r = byte_reader(data, size);
  WireFields fields = {0};
  while (wire_next_field(&r, &fields)) {
    if (fields.id < 1 || fields.id > PARTS || fields.type != WIRE_LIST)
      wire_skip(&r, fields.type, 1);
    else if (!read_parts(&r, fields.id == DELETES, found, ctx))
      return r.failed;
  }
  return TRUE;
}
