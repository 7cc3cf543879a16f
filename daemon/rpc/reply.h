/*
 * A message on its way out: one piece of memory, made on any thread, given to a connection, written
 * as one frame and freed there.
 */
#pragma once

#include <glib.h>

typedef struct RpcReply {
  gsize size; /* of the frame, its length included */
  guint8 bytes[];
} RpcReply;

/* With room for `size` bytes; free by g_free. */
static inline RpcReply *rpc_reply_new(gsize size)
{
  RpcReply *reply = g_malloc(sizeof(RpcReply) + size);
  reply->size = size;
  return reply;
}
