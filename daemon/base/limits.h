/*
 * Every fixed bound of the daemon, in one place. What an operator may change is in the table of
 * node/config.c instead, and is bounded there by the values of this file.
 */
#pragma once

#include <glib.h>

enum {
  LIMIT_NAME_SIZE = 255,                /* bytes of a device or measurement name */
  LIMIT_CLUSTER_ID_SIZE = 64,           /* bytes of a cluster id */
  LIMIT_NODE_ID = 65535,                /* node ids are 1 .. this; 16 bits in store keys */
  LIMIT_MEMBERS = 64,                   /* nodes in a group */
  LIMIT_GROUP_ID = 65535,               /* groups are 0 .. this */
  LIMIT_GROUPS = 64,                    /* [group.N] of a node, beside group 0 */
  LIMIT_LEAST_SHARE = 16 << 20,         /* bytes of requests in flight for each group: a frame */
  LIMIT_PATTERNS = 1024,                /* of devices, of all groups together */
  LIMIT_KNOWN_MEMBERS = 1024,           /* … with those that were removed */
  LIMIT_ADDRESS_SIZE = 261,             /* bytes of "host:port" */
  LIMIT_LOGS = 4096,                    /* logs known to one group */
  LIMIT_TABLET_ROWS = 1000000,          /* rows of one tablet */
  LIMIT_TABLET_COLUMNS = 4096,          /* columns of one tablet, values of one row */
  LIMIT_WRITE_PARTS = 100000,           /* deletes + rows + tablets of one write */
  LIMIT_TEXT_SIZE = 1024 * 1024,        /* bytes of one TEXT value */
  LIMIT_ENTRY_SIZE = 8 * 1024 * 1024,   /* bytes of one entry's data */
  LIMIT_FRAME_SIZE = 16 * 1024 * 1024,  /* bytes of one Thrift frame */
  LIMIT_THRIFT_DEPTH = 32,              /* nesting of structs and containers */
  LIMIT_METHOD_NAME_SIZE = 64,          /* bytes of a Thrift method name */
  LIMIT_BATCHES_PER_REQUEST = 65536,    /* entries of one syncLog */
  LIMIT_PENDING_BATCHES = 256,          /* batches in flight per log and peer */
  LIMIT_QUERY_ROWS = 1000000,           /* rows of one page */
  LIMIT_QUERY_BYTES = 12 * 1024 * 1024, /* bytes of one page */
  LIMIT_SKIPPED = 256,                  /* entries that a node leaves out by an operator's word */
  LIMIT_TOKENS = 256,                   /* tokens of one read */
  LIMIT_KEY_SIZE = 64,                  /* bytes of a write's key */
  LIMIT_WRITE_KEYS = 256 * 1024,        /* keys of writes that a group remembers */
  LIMIT_MESSAGE_SIZE = 4096,            /* bytes of a reply's message; the rest is cut off */
  LIMIT_CONFLICT_TEXT = 256,            /* bytes of a TEXT that the journal of conflicts keeps */
  LIMIT_HTTP_CONNECTIONS = 256,         /* of the HTTP server */
  LIMIT_OWN_FILES = 1024, /* open files that connections leave to logs, store and channels */
};

/* A frame holds one entry and what stands around it. */
G_STATIC_ASSERT(LIMIT_ENTRY_SIZE + 64 * 1024 <= LIMIT_FRAME_SIZE);
G_STATIC_ASSERT(LIMIT_QUERY_BYTES + 1024 * 1024 <= LIMIT_FRAME_SIZE);
