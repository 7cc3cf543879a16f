/*
 * Looking up the addresses of a name without blocking a loop: on a thread of its own that ends with
 * the lookup, because the system's resolver can take many seconds when no name server answers, and
 * cannot be interrupted. For the loop's thread only.
 */
#pragma once

#include "rpc/loops.h"

#include <netdb.h>

typedef struct Lookup Lookup;

/* What was found, which the callee frees by freeaddrinfo; or NULL, and the reason for people. */
typedef void (*LookupDone)(gpointer data, struct addrinfo *found, const char *why);

/* Calls done(data) once, later, on the loop's thread; then the Lookup is gone. */
Lookup *lookup_start(RpcLoop *loop, const char *host, const char *port, LookupDone done,
                     gpointer data);

/* Frees it: done is not called any more. The thread ends when the resolver lets it. To be called
 * before the loop ends, if done has not been. */
void lookup_abandon(Lookup *lookup);

/* The addresses when `host` is one itself, else NULL. At once, any thread. */
struct addrinfo *lookup_numeric(const char *host, const char *port);
