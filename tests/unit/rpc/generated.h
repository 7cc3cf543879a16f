/* Structs of the generated code, and their bytes, for tests that compare with them. */
#pragma once

#include "rpc/flat.h"
#include "rpc/wire.h"
#include "support/suite.h"

#include "sl_client_types.h"
#include "sl_peer_types.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTWriteReq, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTWrite, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTWriteReply, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTQueryReply, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTSyncLogReq, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SlTSyncLogReply, g_object_unref)

static inline SlTWriteReq *generated_write(gint32 group, gint rows)
{
  SlTWriteReq *req = g_object_new(SL_TYPE_T_WRITE_REQ, NULL);
  req->consensusGroupId = group;
  for (gint i = 0; i < rows; i++) {
    SlTRow *row = g_object_new(SL_TYPE_T_ROW, NULL);
    row->device = g_strdup_printf("device.%d", i);
    row->timestamp = i * 1000 - 5;
    for (gint k = 0; k < 3; k++) {
      SlTValue *value = g_object_new(SL_TYPE_T_VALUE, NULL);
      value->doubleValue = 0.5 * k;
      value->__isset_doubleValue = TRUE;
      g_ptr_array_add(row->measurements, g_strdup_printf("m%d", k));
      g_ptr_array_add(row->values, value);
    }
    g_ptr_array_add(req->content->rows, row);
  }
  req->content->__isset_rows = TRUE;
  return req;
}

/* The struct's bytes in memory of their own. */
static inline GBytes *generated_bytes(gpointer object)
{
  g_autoptr(GError) error = NULL;
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_write(flat);
  fast_assert(thrift_struct_write(object, (ThriftProtocol *)flat, &error) >= 0);
  gsize size;
  const guint8 *bytes = flat_written(flat, &size);
  return g_bytes_new(bytes, size);
}

/* Puts the bytes of a struct as field `id`. */
static inline void put_struct(ByteWriter *w, guint16 id, gpointer object)
{
  g_autoptr(GBytes) bytes = generated_bytes(object);
  wire_put_field(w, WIRE_STRUCT, id);
  byte_writer_put(w, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}
