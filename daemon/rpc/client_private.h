/* What the files of the client share. */
#pragma once

#include "rpc/client.h"

/* A call with a generated struct as its only argument, or without any (NULL). */
gboolean client_call(RpcClient *client, const char *method, gpointer request, gpointer reply,
                     GError **error);
