/** The service that applications call. Any node answers every call. */
include "types.thrift"

namespace c_glib Sl
namespace py synclog.client
namespace java org.synclog.client
namespace go synclog.client

/** Where a write must be durable before it is acknowledged. */
enum TAck {
  /** On the node that takes it. */
  LOCAL = 1,
  /** On more than half of the members, this node included. */
  MAJORITY = 2,
  /** On all members. */
  ALL = 3
}

/**
 * `consensusGroupId` of a write, and of query, last, aggregate and series, may be −1: the group that
 * the rule of the node's configuration gives the device; series: all groups. A write belongs to one
 * group as a whole; one that names another group than the rule's is INVALID.
 */
struct TWriteReq {
  1: required i32 consensusGroupId
  2: required types.TWrite content
  /** Default LOCAL. */
  3: optional TAck ack
  /** How long to wait for `ack`; default and limit are the server's configuration. */
  4: optional i32 timeoutMs
}

struct TWriteReply {
  1: required types.TStatus status
  /** Set when the write is durable here (OK and PENDING). */
  2: optional types.TToken token
}

/** Which values of one device to read. */
struct TQueryReq {
  1: required i32 consensusGroupId
  2: required string device
  /** Absent: all of the device. */
  3: optional list<string> measurements
  /** Both ends are included. Absent: from the first, to the last. */
  4: optional i64 startTime
  5: optional i64 endTime
  /** Rows per page; default and limit are the server's configuration. */
  6: optional i32 limit
  /** `nextPage` of the reply before. */
  7: optional binary page
  /** Newest first. */
  8: optional bool descending
  /** Wait until this node has applied these points. */
  9: optional list<types.TToken> tokens
  /** How long to wait for them, default and limit are the server's configuration. */
  10: optional i32 timeoutMs
}

/** Rows in order of time, columns packed as in a tablet. */
struct TQueryReply {
  1: required types.TStatus status
  2: optional i32 rowCount
  3: optional binary timestamps
  /**
   * One column per measurement and type. When two nodes fixed different types of one measurement
   * at the same time, the older write's type is the measurement's; values of the other type come
   * as a second column of the same name.
   */
  4: optional list<types.TColumn> columns
  /** Set when there is more: pass it as `page` of an otherwise equal request. */
  5: optional binary nextPage
}

struct TLastReq {
  1: required i32 consensusGroupId
  2: required string device
  3: optional list<string> measurements
  4: optional list<types.TToken> tokens
  5: optional i32 timeoutMs
}

struct TLastValue {
  1: required string measurement
  2: required types.TDataType type
  3: required i64 timestamp
  4: required types.TValue value
}

struct TLastReply {
  1: required types.TStatus status
  2: optional list<TLastValue> values
}

/** Aggregates of one measurement over consecutive windows. */
struct TAggregateReq {
  1: required i32 consensusGroupId
  2: required string device
  3: required string measurement
  /** First window starts here. */
  4: required i64 startTime
  /** Included. */
  5: required i64 endTime
  /** Length of a window in units of time. Absent: one window over all. */
  6: optional i64 window
  /** Windows per reply; default and limit are the server's configuration. */
  7: optional i32 limit
  8: optional list<types.TToken> tokens
  9: optional i32 timeoutMs
}

/** A window with at least one value; empty windows are left out. */
struct TWindow {
  /** Start of the window. */
  1: required i64 startTime
  2: required i64 count
  /** Absent for TEXT: sum, avg, min, max. BOOLEAN counts as 0 and 1. */
  3: optional double sum
  4: optional double avg
  5: optional types.TValue min
  6: optional types.TValue max
  7: required types.TValue first
  8: required i64 firstTime
  9: required types.TValue last
  10: required i64 lastTime
}

struct TAggregateReply {
  1: required types.TStatus status
  2: optional types.TDataType type
  3: optional list<TWindow> windows
  /** Set when the limit cut the list: start the next request here. */
  4: optional i64 nextStartTime
}

struct TSeriesReq {
  1: required i32 consensusGroupId
  /** Only devices whose name begins so. */
  2: optional string prefix
  /** Devices per page; default and limit are the server's configuration. */
  3: optional i32 limit
  /** Only devices after this one. */
  4: optional string after
  /**
   * Of all groups (consensusGroupId −1): those that can't be read are left out, and the reply says so;
   * without it they are an error.
   */
  5: optional bool partial
}

struct TMeasurement {
  1: required string measurement
  2: required types.TDataType type
  /** Two nodes fixed different types at once and this is the one that lost; see TQueryReply. */
  3: required bool conflicting
}

struct TDevice {
  1: required string device
  2: required list<TMeasurement> measurements
}

struct TSeriesReply {
  1: required types.TStatus status
  2: optional list<TDevice> devices
  /** Set when there is more: pass it as `after`. */
  3: optional string nextAfter
  /** With `partial`: which groups are left out, and why, for people. Absent: none. */
  4: optional string leftOut
}

struct TInfoReply {
  1: required types.TStatus status
  2: optional i32 nodeId
  3: optional string clusterId
  4: optional string version
  /** "ms", "us" or "ns". */
  5: optional string timePrecision
  /** Those that are open here. */
  6: optional list<i32> groups
  /** All of the node's configuration, also those that are elsewhere or can't be opened. */
  7: optional list<i32> configuredGroups
}

/**
 * Follows one log: its entries from an index on, once this node has applied them. Other systems are
 * fed so: read what is there, then ask again from `nextIndex`. Every entry comes once, in order.
 */
struct TTailReq {
  1: required i32 consensusGroupId
  2: required types.TLogId log
  /** 1 or more. */
  3: required i64 fromIndex
  /** Entries per reply; default and limit are the server's. */
  4: optional i32 limit
  /** How long to wait when there is none yet; default 0, the limit is the server's read_timeout. */
  5: optional i32 waitMs
}

struct TTailEntry {
  1: required i64 index
  /** Hybrid logical clock: milliseconds since 1970 in the upper 48 bits, a counter below. */
  2: required i64 hlc
  /** A types.TWrite, encoded by the strict binary protocol, as it was accepted. */
  3: required binary data
}

/** OUT_OF_WINDOW: entries from `fromIndex` on were deleted; the log begins at `firstAvailable`. */
struct TTailReply {
  1: required types.TStatus status
  /** Empty when none came in time. */
  2: optional list<TTailEntry> entries
  /** Where to go on. */
  3: optional i64 nextIndex
  /** The first index that this node still holds. */
  4: optional i64 firstAvailable
}

service TClientService {
  TWriteReply write(1: TWriteReq req)
  TQueryReply query(1: TQueryReq req)
  TLastReply last(1: TLastReq req)
  TAggregateReply aggregate(1: TAggregateReq req)
  TSeriesReply series(1: TSeriesReq req)
  TTailReply tail(1: TTailReq req)
  TInfoReply info()
}
