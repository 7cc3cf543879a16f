/** The service of operators and of synclogctl. */
include "types.thrift"

namespace c_glib Sl
namespace py synclog.admin
namespace java org.synclog.admin
namespace go synclog.admin

/** One log at one node. */
struct TLogStatus {
  1: required types.TLogProgress progress
  /** Whether this is the log that the node itself writes now. */
  2: required bool own
  /** "ok", "read-only" or "stopped"; the latter two with the reason in `message`. */
  3: required string state
  4: optional string message
  /** Bytes and segments of this log in the node's WAL. */
  5: optional i64 walBytes
  6: optional i32 walSegments
}

/** The channel from the answering node to one peer. */
struct TPeerStatus {
  1: required i32 nodeId
  2: required string address
  /** "connected", "connecting", "backoff" or "refused". */
  3: required string state
  /** Why the last try failed. */
  4: optional string message
  /** Milliseconds since the peer last answered; absent when it never did. */
  5: optional i64 silentMs
  /** The peer's progress as last told by itself. */
  6: optional types.TGroupProgress progress
  7: required i64 batchesInFlight
  8: required i64 batchesSent
  9: required i64 batchesRetried
  10: required i64 entriesFromTail
  11: required i64 entriesFromWal
}

struct TNodeStatus {
  1: required i32 nodeId
  2: required string clusterId
  3: required string version
  4: required i64 incarnation
  5: required i64 uptimeMs
  /** "serving", "read-only" or "stopping". */
  6: required string state
  7: optional string message
  8: required list<TLogStatus> logs
  9: required list<TPeerStatus> peers
  10: required i64 writes
  11: required i64 writesRefused
  12: required i64 connections
  /** Clock (hlc) of the node now. */
  13: required i64 hlc
  14: required i64 entriesApplied
  15: required i64 entriesDuplicate
  16: required i64 storeBytes
}

struct TStatusReq {
  1: required i32 consensusGroupId
}

struct TStatusReply {
  1: required types.TStatus status
  2: optional TNodeStatus node
}

struct TDigestReq {
  1: required i32 consensusGroupId
  /** Wait until this node has applied these points. */
  2: optional list<types.TToken> tokens
  3: optional i32 timeoutMs
}

struct TDigestReply {
  1: required types.TStatus status
  /** 16 bytes: sum over all visible cells; independent of order and layout. */
  2: optional binary digest
  /** Number of visible cells. */
  3: optional i64 cells
  4: optional i64 devices
  /** What of each log the digest covers. */
  5: optional types.TGroupProgress progress
}

struct TConfigEntry {
  1: required string section
  2: required string key
  3: required string value
  4: required bool isDefault
  /** Whether SIGHUP changes it. */
  5: required bool reloadable
}

struct TConfigReply {
  1: required types.TStatus status
  2: optional list<TConfigEntry> entries
}

service TAdminService {
  TStatusReply status(1: TStatusReq req)
  TDigestReply digest(1: TDigestReq req)
  TConfigReply config()
}
