/**
 * Types shared by the three services of synclogd.
 *
 * Wire: framed transport, strict binary protocol. Field ids are never reused; a new field is
 * always optional. Times are int64 counts of the cluster's time precision (ms, us or ns, told by
 * `info`), since 1970-01-01 UTC, over the whole range of int64.
 */
namespace c_glib Sl
namespace py synclog.types
namespace java org.synclog.types
namespace go synclog.types

/** Data types of a measurement. */
enum TDataType {
  BOOLEAN = 1,
  INT32 = 2,
  INT64 = 3,
  FLOAT = 4,
  DOUBLE = 5,
  TEXT = 6
}

/**
 * How the outcome of a request is to be read. 0 and 1 are success; all others changed nothing, but
 * for READ_ONLY on a write: its entry may have reached the disk, and be found there after a restart.
 */
enum TStatusCode {
  /** Done as asked. */
  OK = 0,
  /** The write is durable on this node and still spreading: `ack` was not reached in time. */
  PENDING = 1,
  /** The request can never succeed as it stands; `message` names the part. */
  INVALID = 2,
  /** The group does not exist on this node. */
  UNKNOWN_GROUP = 3,
  /** A token names a log that this node has never heard of. */
  UNKNOWN_LOG = 4,
  /** The measurement already has another type. */
  TYPE_MISMATCH = 5,
  /** A name, request or result is over a limit; `message` names the limit. */
  TOO_LARGE = 6,
  /** A queue, the memory or the WAL is at its limit. Retry after `retryAfterMs`. */
  OVERLOADED = 7,
  /** The log failed to write or sync and takes no writes until the node is restarted. */
  READ_ONLY = 8,
  /** The disk has no room. Retry when there is. */
  NO_SPACE = 9,
  /** The node did not reach the point of the token in time, or the read took too long. */
  TIMEOUT = 10,
  /** The node starts or stops; another node can serve. */
  NOT_READY = 11,
  /** The peer belongs to another cluster. */
  WRONG_CLUSTER = 12,
  /** The peer speaks another protocol version. */
  WRONG_VERSION = 13,
  /** The peer has another time precision. */
  WRONG_PRECISION = 14,
  /** The peer claims this node's own id. */
  DUPLICATE_NODE = 15,
  /** The peer is not a member according to this node's configuration. */
  NOT_MEMBER = 16,
  /** syncLog: the batch is beyond the window; send from `expectedIndex`. tail: deleted; see there. */
  OUT_OF_WINDOW = 17,
  /** Stored or received bytes fail their checksum or do not decode. */
  CORRUPT = 18,
  /** A defect of the server; the log has more. */
  INTERNAL = 19,
  /** The node's clock is too far ahead of the other members' to stamp writes; another node can serve. */
  CLOCK_WRONG = 20,
  /** An operator declared the node lost for good (`synclogctl node forget`); it takes no writes. */
  FORGOTTEN = 21
}

/** Outcome of every request. */
struct TStatus {
  1: required TStatusCode code
  /** For people: what and where. Absent on success. */
  2: optional string message
  /** Whether the same request can succeed later, here or on another node. */
  3: required bool retryable
  /** A hint for how long to wait before a retry; it follows the state that a write is refused for. */
  4: optional i32 retryAfterMs
}

/** One log: the entries that one node wrote during one incarnation. */
struct TLogId {
  /** Node id of the writer. */
  1: required i32 origin
  /** Creation time of the writer's incarnation, in microseconds since 1970. */
  2: required i64 incarnation
}

/** A point in a log, returned by a write. A read given it waits until its node has applied it. */
struct TToken {
  1: required TLogId log
  /** Search index of the entry. */
  2: required i64 index
  /** The log's group; absent: group 0, or not told. A read by the rule leaves tokens of other groups aside. */
  3: optional i32 consensusGroupId
}

/** How far one node is with one log; each is the highest index without a hole below it. */
struct TLogProgress {
  1: required TLogId log
  /** Held in memory or on disk. */
  2: required i64 received
  /** Synced in the node's WAL. */
  3: required i64 durable
  /** Visible in the node's store. */
  4: required i64 applied
  /** First index that the node's WAL still holds (received + 1 where it holds none). */
  5: required i64 firstAvailable
  /** Clock (hlc) of the last applied entry. */
  6: required i64 appliedHlc
  /** Running digest of the log up to `digestIndex`, where known. */
  7: optional i64 digest
  8: optional i64 digestIndex
}

/** What a member of a group is; it only ever goes forward. */
enum TMemberState {
  /** Added: it is sent all logs, and what it needs is kept. It takes no writes. */
  JOINING = 1
  /** It holds the data and counts; it takes no writes until all others know it. */
  ENTERING = 2
  ACTIVE = 3
  /** It takes no writes any more; the others fetch what it has. */
  REMOVING = 4
  /** Nothing waits for it; its id is never used again. */
  REMOVED = 5
  /** The same, by an operator's word that it will not come back. */
  LOST = 6
}

struct TMember {
  1: required i32 nodeId
  2: required TMemberState state
  /** "host:port" for replication; absent when not known, or gone. */
  3: optional string address
}

/** What one node tells of one group: how far it is with all logs that it knows, and its clock. */
struct TGroupProgress {
  1: required i32 consensusGroupId
  2: required list<TLogProgress> logs
  /** The node stamps no entry of its own log behind `durable` with a clock (hlc) at or below this. */
  3: optional i64 promisedHlc
  /** The node's wall clock, milliseconds since 1970. */
  4: optional i64 wallMs
  /** Logs which the receiver of this message is asked to hand on to the sender. */
  5: optional list<TLogId> wanted
  /** Members that are gone, and whose logs are closed at the node. */
  6: optional list<i32> forgotten
  /** No entry with a clock (hlc) at or below this can still come to the node. */
  7: optional i64 horizon
  /** The low 8 bytes of the digest of the node's data as of this clock (hlc), to be compared. */
  8: optional i64 checkedHlc
  9: optional i64 checkedDigest
  /**
   * The record of members, sorted by id, as the node keeps it; absent as long as the members are
   * those of the configuration. The receiver takes the later state of each.
   */
  10: optional list<TMember> members
}

/**
 * One value. Set exactly one field.
 */
union TValue {
  1: bool booleanValue
  2: i32 int32Value
  3: i64 int64Value
  /** FLOAT: rounded to 32 bits by the server. */
  4: double floatValue
  5: double doubleValue
  /** Valid UTF-8 without NUL. */
  6: string textValue
}

/** One timestamp of one device. A measurement without a value is left out. */
struct TRow {
  1: required string device
  2: required i64 timestamp
  3: required list<string> measurements
  /** values[i] belongs to measurements[i]. */
  4: required list<TValue> values
}

/** One column of a tablet. */
struct TColumn {
  1: required string measurement
  2: required TDataType type
  /**
   * rowCount values, packed little-endian: BOOLEAN 1 byte (0 or 1), INT32 and FLOAT 4, INT64 and
   * DOUBLE 8. TEXT: rowCount + 1 offsets of 4 bytes (the first 0), then the UTF-8 bytes.
   */
  3: required binary values
  /** Bit i (lowest bit of a byte first) set: row i has no value; its place in `values` is skipped. */
  4: optional binary nulls
}

/** Many timestamps of one device. */
struct TTablet {
  1: required string device
  2: required i32 rowCount
  /** rowCount int64, packed little-endian, in any order; of equal ones the last holds. */
  3: required binary timestamps
  4: required list<TColumn> columns
}

/** Removes a range of time, both ends included, of a device's measurements. */
struct TDelete {
  1: required string device
  /** Absent: all measurements, also those written later with an older clock. */
  2: optional list<string> measurements
  3: required i64 startTime
  4: required i64 endTime
}

/**
 * The content of one entry, applied as a whole: deletes first, then rows, then tablets, each in
 * order; of two values for one point the later one holds. These bytes go unchanged from the
 * client into the WAL and to every peer, so a field that a node does not know is refused.
 */
struct TWrite {
  1: optional list<TDelete> deletes
  2: optional list<TRow> rows
  3: optional list<TTablet> tablets
  /**
   * Chosen by the client, 1 to 64 bytes, for instance a random UUID: a write that comes again with the
   * same key is not applied again but answered with the token of the first, on every node that has
   * applied it, as long as it is among the newest 262,144 writes with a key.
   */
  4: optional binary key
}

/** One file of a snapshot. */
struct TSnapshotFile {
  /** Letters, digits, '_', '-' and '.', not beginning with '.'; at most 64. */
  1: required string name
  2: required i64 size
  /** CRC-32C of its bytes. */
  3: required i32 checksum
}

/** A copy of a node's store, and what it holds. */
struct TSnapshot {
  /** At the node that made it. */
  1: required i64 id
  2: required string clusterId
  3: required i32 nodeId
  4: required string timePrecision
  /** Of the program that made it. */
  5: required string version
  /** Of the store, in units of the time precision. */
  6: required i64 partitionInterval
  /** Wall clock, milliseconds since 1970. */
  7: required i64 createdMs
  /** What of each log is applied in it, with the log's digest there where the node has it. */
  8: required list<TLogProgress> logs
  /** As in TDigestReply, of all that it holds. */
  9: required binary digest
  10: required i64 cells
  11: required i64 devices
  12: required list<TSnapshotFile> files
  /** Of the store's files. A node that does not know it can't use them. Absent: not told. */
  13: optional i32 storeFormat
}

/**
 * Asks a node to make a snapshot, or for one that it has. NOT_READY while it is being prepared: ask
 * again. It is given up when nothing of it is asked for a while; until then the node keeps all
 * entries behind it in its logs.
 */
struct TSnapshotReq {
  1: required i32 consensusGroupId
  /** Chosen by the caller, not 0: the same one gets the same snapshot until it was told once. */
  2: required i64 requester
  /** Go on with this one; INVALID when it is gone. Absent: a new one. */
  3: optional i64 snapshotId
  /** Of a node that asks another one. */
  4: optional string clusterId
  5: optional i32 nodeId
}

struct TSnapshotReply {
  1: required TStatus status
  2: optional TSnapshot snapshot
}

/** Asks for a part of one file. OVERLOADED: the rate limit wants a pause. */
struct TFragmentReq {
  1: required i32 consensusGroupId
  2: required i64 snapshotId
  /** Position in TSnapshot.files. */
  3: required i32 file
  4: required i64 offset
  /** 1 .. 1048576, and inside of the file. */
  5: required i32 size
}

struct TFragmentReply {
  1: required TStatus status
  2: optional i64 snapshotId
  3: optional i32 file
  4: optional i64 offset
  5: optional binary data
  /** CRC-32C of snapshotId, file and offset (8, 4 and 8 bytes, big-endian) and data. */
  6: optional i32 checksum
}

/** A snapshot is not needed any more: its files go. */
struct TSnapshotEndReq {
  1: required i32 consensusGroupId
  2: required i64 snapshotId
}

struct TSnapshotEndReply {
  1: required TStatus status
}

/** Asks a node to fetch a snapshot from another one, and to go on from it. */
struct TReseedReq {
  1: required i32 consensusGroupId
  /** The node whose store is replaced. */
  2: required i32 nodeId
  /** The node that gives the snapshot; absent: whichever has most. */
  3: optional i32 fromNodeId
  /** Of a node that passes an operator's word on. */
  4: optional string clusterId
}

struct TReseedReply {
  1: required TStatus status
}
