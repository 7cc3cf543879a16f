/*
 * What is asked about snapshots, as plain values; see TSnapshotReq and its neighbours in
 * thrift/types.thrift.
 */
#pragma once

#include "base/snapshot.h"

typedef struct SnapshotRequest {
  guint32 group;
  guint64 requester;
  guint64 id;             /* 0: a new one */
  const char *cluster_id; /* NULL: not told */
  guint32 node_id;        /* 0: not told */
  gboolean of_peer;       /* it came to the port for peers */
} SnapshotRequest;

typedef struct FragmentRequest {
  guint32 group;
  guint64 id;
  guint32 file;
  guint64 offset;
  gsize size; /* 1 .. SNAPSHOT_FRAGMENT_SIZE */
} FragmentRequest;

typedef struct ReseedRequest {
  guint32 group;
  guint32 node_id;
  guint32 from_node_id;   /* 0: any */
  const char *cluster_id; /* NULL: not told */
  gboolean of_peer;
} ReseedRequest;
