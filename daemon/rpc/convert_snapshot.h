/* Snapshots between the generated structs and the plain ones; the rules of convert.h. */
#pragma once

#include "base/snapshot.h"
#include "rpc/server.h"

#include "sl_types_types.h"

void convert_snapshot_to_thrift(const Snapshot *snapshot, SlTSnapshot *out);
/* Checked by snapshot_check too. Transfer full. */
Snapshot *convert_snapshot_from_thrift(const SlTSnapshot *in, GError **error);

void convert_fragment_to_thrift(const SnapshotFragment *fragment, SlTFragmentReply *out);
/* *out_bytes (transfer full) backs the data. */
gboolean convert_fragment_from_thrift(const SlTFragmentReply *in, SnapshotFragment *out,
                                      GBytes **out_bytes, GError **error);

/* The texts borrow from `in`. */
gboolean convert_snapshot_req_from_thrift(const SlTSnapshotReq *in, SnapshotRequest *out,
                                          GError **error);
gboolean convert_fragment_req_from_thrift(const SlTFragmentReq *in, FragmentRequest *out,
                                          GError **error);
gboolean convert_reseed_req_from_thrift(const SlTReseedReq *in, ReseedRequest *out, GError **error);
