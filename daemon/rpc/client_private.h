/* What the client needs of the builder, and what the files of the client share. */
#pragma once

#include "rpc/client.h"

/* A call with a generated struct as its only argument, or without any (NULL). */
gboolean client_call(RpcClient *client, const char *method, gpointer request, gpointer reply,
                     GError **error);

/* Appends the TWrite as it stands on the wire. */
void write_builder_encode(const WriteBuilder *builder, GByteArray *out);

/* Makes it empty. */
void write_builder_clear(WriteBuilder *builder);
