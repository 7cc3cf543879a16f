/* Listening sockets from a list of addresses. Any thread. */
#pragma once

#include <glib.h>

/*
 * Opens a listening, non-blocking socket for every address of `listen`: "host:port", several
 * separated by commas, IPv6 in brackets, an empty host for all addresses, port 0 for any. A name is
 * looked up, and all its addresses are used. Returns the sockets (int; the caller closes them) or
 * NULL with NOT_READY or INVALID, naming the address.
 */
GArray *rpc_listen(const char *listen, GError **error);

void rpc_listen_close(GArray *sockets);

/* The port of a socket; 0 if it has none. */
guint16 rpc_listen_port(int fd);

/* Takes a connection: a non-blocking socket and its address as text (free by g_free), or -1 with
 * errno. */
int rpc_listen_accept(int fd, char **out_address);
