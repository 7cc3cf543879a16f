/* Replies as a node sends them, for seeds of the targets that read replies. */
#pragma once

#include "fuzz/fuzz.h"
#include "fuzz/rpc_values.h"
#include "rpc/convert.h"
#include "rpc/flat.h"

/* A reply with the struct as its result, without the frame's length; takes the struct. */
static inline GByteArray *reply_message(const char *method, gint32 seqid, gpointer reply)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  ThriftProtocol *protocol = (ThriftProtocol *)flat;
  flat_begin_write(flat);
  thrift_protocol_write_message_begin(protocol, method, T_REPLY, seqid, NULL);
  thrift_protocol_write_field_begin(protocol, "success", T_STRUCT, 0, NULL);
  g_assert(thrift_struct_write(reply, protocol, NULL) >= 0);
  thrift_protocol_write_field_stop(protocol, NULL);
  g_object_unref(reply);
  gsize size;
  const guint8 *bytes = flat_written(flat, &size);
  return g_byte_array_append(g_byte_array_new(), bytes, (guint)size);
}
