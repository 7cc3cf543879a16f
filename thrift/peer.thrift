/**
 * The service by which nodes replicate. A node opens a channel to each peer, begins it with
 * `handshake`, and then sends its batches on it, several in flight; replies carry the request's
 * sequence id and may come in any order.
 */
include "types.thrift"

namespace c_glib Sl
namespace py synclog.peer
namespace java org.synclog.peer
namespace go synclog.peer

struct THandshakeReq {
  1: required i32 protocolVersion
  2: required string clusterId
  3: required i32 nodeId
  /** The node that the sender means to reach. */
  4: required i32 targetNodeId
  5: required i64 incarnation
  6: required string timePrecision
  /** Batches that the sender keeps in flight per log; the receiver bounds its reorder queue by it. */
  7: required i32 maxPendingBatch
  8: required types.TGroupProgress progress
  /** The sender's clock (hlc). */
  9: required i64 hlc
  /** Of the sender's rule that gives devices to groups: nodes with equal rules tell the same. In group 0 only. */
  10: optional i64 ruleHash
}

struct THandshakeReply {
  1: required types.TStatus status
  2: optional i32 nodeId
  3: optional i64 incarnation
  /** Progress of all logs at the receiver: the sender goes on at received + 1. */
  4: optional types.TGroupProgress progress
  /** Largest frame that the receiver takes, in bytes. */
  5: optional i32 maxFrameSize
  /** The receiver's clock (hlc). */
  6: optional i64 hlc
}

/**
 * One entry as it stands in the WAL and on the wire, byte for byte. Field order and presence are
 * fixed (daemon/wal/FORMAT.md).
 */
struct TLogBatch {
  1: required i64 searchIndex
  /** Hybrid logical clock: milliseconds since 1970 in the upper 48 bits, a counter below. */
  2: required i64 hlc
  /** An encoded TWrite. */
  3: required binary data
  /** CRC-32C over the log id and all bytes of this struct before this field. */
  4: required i32 checksum
}

struct TSyncLogReq {
  1: required i32 consensusGroupId
  2: required types.TLogId log
  /** Index of the first and of the last entry. */
  3: required i64 startSyncIndex
  4: required i64 endSyncIndex
  /** Reply only when the entries are durable at the receiver. */
  5: required bool syncNow
  /** The batch was read back from the sender's WAL. */
  6: required bool fromWal
  /** Consecutive entries. */
  7: required list<TLogBatch> batches
  /**
   * Running digest of the log before the first of them, never 0 (daemon/wal/FORMAT.md). A mirror that begins with
   * these entries in the middle of the log begins with it, so that later its digest can be compared with others; any
   * other one leaves it aside. Absent: the sender does not know it, or the receiver has one.
   */
  8: optional i64 digestBefore
}

struct TSyncLogReply {
  1: required types.TStatus status
  /** The receiver's progress in this log after the request. */
  2: required i64 received
  3: required i64 durable
  4: required i64 applied
  /** With OUT_OF_WINDOW: the index to go on from. */
  5: optional i64 expectedIndex
}

struct THeartbeatReq {
  1: required i32 nodeId
  2: required types.TGroupProgress progress
  /** The sender will stamp no entry at or below this clock (hlc) from now on. */
  3: required i64 hlc
  /** As in the handshake. */
  4: optional i64 ruleHash
}

struct THeartbeatReply {
  1: required types.TStatus status
  2: optional types.TGroupProgress progress
  3: optional i64 hlc
}

/** The version of a cell: of two values the greater one, compared in this order, is seen. */
struct TCellVersion {
  1: required i64 hlc
  2: required i32 origin
  /** Of the part in its write. */
  3: required i32 ordinal
}

/** Asks for the cells of one bucket, to mend a bucket that differs. The peer must be a member. */
struct TBucketReq {
  1: required string clusterId
  /** The sender. */
  2: required i32 nodeId
  3: required i32 consensusGroupId
  4: required string device
  /** Any time in the bucket. */
  5: required i64 time
  /** Only of entries with a clock (hlc) at or below this, which must not be above the horizon. */
  6: required i64 atHlc
  /** Parts behind this version. */
  7: optional TCellVersion after
}

/** The visible cells of one version, packed as in TTablet; ascending times. */
struct TBucketPart {
  1: required TCellVersion version
  2: required i32 rowCount
  3: required binary timestamps
  4: required list<types.TColumn> columns
}

struct TBucketReply {
  1: required types.TStatus status
  2: optional list<TBucketPart> parts
  /** Whether there are more behind the last part. */
  3: optional bool more
}

service TPeerService {
  /**
   * Who is about to add a node asks it in the node's own name (nodeId = targetNodeId): DUPLICATE_NODE says that it is that
   * node, of this cluster; nothing else comes of it.
   */
  THandshakeReply handshake(1: THandshakeReq req)
  TSyncLogReply syncLog(1: TSyncLogReq req)
  THeartbeatReply heartbeat(1: THeartbeatReq req)
  /** Needs no handshake, but the cluster's id and that of a member. */
  TBucketReply bucket(1: TBucketReq req)
  /** A copy of the node's store, to be fetched file by file, fragment by fragment. */
  types.TSnapshotReply snapshot(1: types.TSnapshotReq req)
  types.TFragmentReply fragment(1: types.TFragmentReq req)
  types.TSnapshotEndReply snapshotEnd(1: types.TSnapshotEndReq req)
  /** Passes on what an operator asked of another node. */
  types.TReseedReply reseed(1: types.TReseedReq req)
}
