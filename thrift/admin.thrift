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
  /**
   * "ok"; "closed": its origin was declared lost; or, with the reason in `message`: "read-only",
   * "stopped", "stalled" (nothing comes, though a peer has more), "forked" (a peer has other entries at the same indices), "held" (the next entry is
   * stamped too far ahead and waits).
   */
  3: required string state
  4: optional string message
  /** Bytes and segments of this log in the node's WAL. */
  5: optional i64 walBytes
  6: optional i32 walSegments
  /** The peer that hands the log on to this node, as its origin does not reach it. */
  7: optional i32 handedOnBy
  /** The entry that does not decode here; the log is "stopped" at it. */
  8: optional i64 stoppedAt
  /** For so many milliseconds nothing came of the log, though a peer has more of it. */
  9: optional i64 stalledMs
  /** Entries that this node leaves out by an operator's word (`skip`). */
  10: optional list<i64> skipped
}

/** The channel from the answering node to one peer. */
struct TPeerStatus {
  1: required i32 nodeId
  2: required string address
  /**
   * "connected", "connecting", "backoff", "refused", "paused" (by an operator), "stalled" (it
   * answers, but confirms nothing although entries wait), "removed" or "forgotten" (declared lost).
   */
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
  /** The peer's wall clock minus this node's, in milliseconds; absent while not measured. */
  12: optional i64 clockOffsetMs
  /** The clock (hlc) at which the peer's data was last compared with the node's, and the outcome. */
  13: optional i64 comparedHlc
  14: optional bool dataDiffers
  /** Batches of one log that may be in flight to it. */
  15: optional i32 window
  /**
   * Of this node's own log, what the peer has not confirmed to be durable there: entries, bytes (by
   * the size of the entries at present), and the time by which it is behind.
   */
  16: optional i64 lagEntries
  17: optional i64 lagBytes
  18: optional i64 lagMs
  /** For so long the peer has confirmed nothing although entries wait; 0: none do. */
  19: optional i64 stuckMs
  /** Entries that the peer lacks are deleted: it needs a snapshot when it comes back. */
  20: optional bool needsReseed
  /** Its rule of devices and groups is another than this node's; absent while it has told none. In group 0 only. */
  21: optional bool ruleDiffers
}

/** Conflicts between leaders that a node has seen since its store was created. */
struct TConflictCounts {
  /** Cells to which two leaders wrote different values. */
  1: required i64 overwrites
  /** Cells to which two leaders wrote the same value. */
  2: required i64 sameValues
  /** Cells whose value a delete of another leader hides. */
  3: required i64 deletes
  /** Measurements of which two leaders fixed different types. */
  4: required i64 types
  /** Parts of writes that were never looked at, because too many were waiting. */
  5: required i64 overflowed
  /** Parts of writes that wait for being looked at. */
  6: required i64 pending
  /** The oldest and the newest entry of the journal; it is empty when last is less than first. */
  7: required i64 firstSequence
  8: required i64 lastSequence
  /** Of the journal. */
  9: required i64 bytes
}

struct TNamedCount {
  1: required string name
  2: required i64 count
}

/** How long a step of the way of writes and batches took, since the start. */
struct TStepStatus {
  1: required string name
  /** octaves[i]: so many took less than 2^i µs and not less than 2^(i-1); the last: as long or longer. */
  2: required list<i64> octaves
  3: required i64 sumUs
}

struct TNodeStatus {
  1: required i32 nodeId
  2: required string clusterId
  3: required string version
  4: required i64 incarnation
  5: required i64 uptimeMs
  /** "serving", "read-only", "stopping", "joining" or "removing". */
  /**
   * "serving", "read-only", "stopping", or "seeding": it lacks entries that are deleted elsewhere, and
   * serves nobody until it got a snapshot.
   */
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
  /** No entry with a clock (hlc) at or below this can still come to the node. */
  17: optional i64 horizon
  18: optional TConflictCounts conflicts
  /** Buckets that were made like a peer's by `repair` since the node was started. */
  19: optional i64 bucketsMended
  /** The record of members; absent: the members are those of the configuration. */
  20: optional list<types.TMember> members
  /** Grows with every change of it. */
  21: optional i64 membersVersion
  /** Writes' parts, about, that wait for being joined to compressed columns. */
  22: optional i64 rawBlocks
  /** Compressed pieces of columns, the values in them, and their bytes. */
  23: optional i64 chunks
  24: optional i64 chunkCells
  25: optional i64 chunkBytes
  /** Buckets with a part that can't be read, as far as maintenance has met them since the start. */
  26: optional i64 damagedBuckets
  30: optional i64 tombstones
  /** Whether writes are refused until the WAL is smaller, and how long that was so in all. */
  31: optional bool throttled
  32: optional i64 throttledMs
  /** Connections of HTTP that were turned away or cut off at a limit. */
  33: optional i64 httpRefused
  34: optional list<TStepStatus> steps
  /** Answers to clients by their code ("OVERLOADED"), without OK and PENDING. */
  35: optional list<TNamedCount> errors
  /** Bytes of memory by what holds them. */
  36: optional list<TNamedCount> memory
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

/** Asks for the digests of parts of the data: of the devices, or of the buckets of one device. */
struct TDigestPartsReq {
  1: required i32 consensusGroupId
  /**
   * Only of entries with a clock (hlc) at or below this, which must not be above the node's horizon
   * (see TNodeStatus): nodes can be compared at the same clock while writes go on. Absent: of all.
   */
  2: optional i64 atHlc
  /** Tell the buckets of this device; absent: tell the devices. */
  3: optional string device
  /** Devices behind this one, in the order of names. */
  4: optional string after
  /** Buckets from this time on. */
  5: optional i64 fromTime
  6: optional i32 limit
}

struct TDigestPart {
  1: required string device
  /** Of a bucket: its first time. */
  2: required i64 startTime
  /** 16 bytes, as in TDigestReply. */
  3: required binary digest
  4: required i64 cells
}

struct TDigestPartsReply {
  1: required types.TStatus status
  /** Devices or buckets without a visible cell are left out, but for the last device of a page. */
  2: optional list<TDigestPart> parts
  3: optional bool more
}

/** One of the two that met in a conflict. */
struct TConflictSide {
  /** Node id of the leader. */
  1: required i32 origin
  2: required i64 hlc
  /** It is a delete, which has no type and no value. */
  3: required bool isDelete
  4: optional types.TDataType type
  /** Of a TEXT, at most its first 256 bytes. */
  5: optional types.TValue value
  /** Bytes of the whole TEXT, when only a part of it is told. */
  6: optional i64 textSize
}

/** An entry of a node's journal of conflicts. */
struct TConflict {
  /** In this node's journal: 1, 2, 3, … */
  1: required i64 sequence
  /** Wall clock of this node, in milliseconds. */
  2: required i64 foundMs
  /** "overwrite", "delete" or "type". */
  3: required string kind
  4: required string device
  5: required string measurement
  /** Of the cell; of the first one, where a delete hides several. Absent for "type". */
  6: optional i64 time
  /** How many cells one delete hides; absent: one. */
  7: optional i64 cells
  8: required TConflictSide winner
  9: required TConflictSide loser
}

struct TConflictsReq {
  1: required i32 consensusGroupId
  /** Entries behind this one; absent: from the oldest. */
  2: optional i64 afterSequence
  3: optional i32 limit
  /** Only of this device. */
  4: optional string device
}

struct TConflictsReply {
  1: required types.TStatus status
  2: optional TConflictCounts counts
  3: optional list<TConflict> conflicts
  /** Whether there are more behind `nextAfter` now. */
  4: optional bool more
  /** The `afterSequence` of the next page, or of a later look. */
  5: optional i64 nextAfter
  /** Entries of this page that are damaged and left out. */
  6: optional i64 unreadable
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

struct TForgetReq {
  1: required i32 consensusGroupId
  2: required i32 nodeId
}

struct TForgetReply {
  1: required types.TStatus status
}

struct TSkipReq {
  1: required i32 consensusGroupId
  /** The log, and the entry at which it is stopped. */
  2: required types.TToken entry
}

struct TSkipReply {
  1: required types.TStatus status
}

/** Makes a bucket of this node like that of a peer, as of a clock that both have passed. */
struct TRepairReq {
  1: required i32 consensusGroupId
  2: required i32 fromNode
  3: required string device
  /** Any time in the bucket. */
  4: required i64 time
  /** Only what is at or below this clock (hlc), which must not be above either node's horizon. */
  5: required i64 atHlc
  /** Change nothing. */
  6: optional bool dryRun
}

struct TRepairReply {
  1: required types.TStatus status
  /** Visible cells as of that clock. */
  2: optional i64 cellsBefore
  3: optional i64 cellsAfter
  /** The bucket did not differ, and nothing was changed. */
  4: optional bool wasEqual
}

struct TAddMemberReq {
  1: required i32 consensusGroupId
  2: required i32 nodeId
  /** Where the new node listens for replication, "host:port", as the members reach it. */
  3: required string address
}

struct TAddMemberReply {
  1: required types.TStatus status
}

struct TRemoveMemberReq {
  1: required i32 consensusGroupId
  2: required i32 nodeId
}

struct TRemoveMemberReply {
  1: required types.TStatus status
}

/** Stops or goes on to send logs to a peer. */
struct TPauseReq {
  1: required i32 consensusGroupId
  2: required i32 nodeId
  3: required bool paused
}

struct TPauseReply {
  1: required types.TStatus status
}

/** One group of a node. */
struct TGroup {
  1: required i32 consensusGroupId
  /** As TNodeStatus.state; "opening", "failed", "elsewhere" (no member), "files" (not configured). */
  2: required string state
  3: optional string message
  /** Of the configuration: which devices, and which nodes; absent for group 0. */
  4: optional string devices
  5: optional string members
  6: required i64 walBytes
  7: required i64 storeBytes
}

struct TGroupsReply {
  1: required types.TStatus status
  2: optional list<TGroup> groups
}

struct TDeleteGroupReq {
  1: required i32 consensusGroupId
}

struct TDeleteGroupReply {
  1: required types.TStatus status
}

service TAdminService {
  TStatusReply status(1: TStatusReq req)
  TDigestReply digest(1: TDigestReq req)
  TDigestPartsReply digestParts(1: TDigestPartsReq req)
  /** The journal of conflicts between leaders, as this node found them; oldest entries first. */
  TConflictsReply conflicts(1: TConflictsReq req)
  TConfigReply config()
  /**
   * Declares a member lost for good: nothing waits for it any more, it may not come back, and what
   * the others hold of its logs spreads among them. Refused (INVALID) while the member is there.
   */
  TForgetReply forget(1: TForgetReq req)
  /**
   * This node leaves out an entry that does not decode here, for good: the log goes on behind it.
   * INVALID unless the log is stopped at that entry. The node then lacks what the others have of it.
   */
  TSkipReply skip(1: TSkipReq req)
  /**
   * Answered when the bucket is mended durably. One at a time (OVERLOADED). NOT_READY: the clock is
   * above a horizon; INVALID: what was deleted since then is gone already, try a later clock.
   */
  TRepairReply repair(1: TRepairReq req)
  /**
   * A new node joins. It answers when the word is on disk at the node that was asked; the others
   * learn it, and TNodeStatus.members tells how far it is.
   */
  TAddMemberReply addMember(1: TAddMemberReq req)
  /**
   * A member leaves: it takes no more writes, and is removed once the others have what it holds.
   * One that is still joining is removed at once.
   */
  TRemoveMemberReply removeMember(1: TRemoveMemberReq req)
  /** A copy of the node's store, to be fetched file by file, fragment by fragment. */
  types.TSnapshotReply snapshot(1: types.TSnapshotReq req)
  types.TFragmentReply fragment(1: types.TFragmentReq req)
  types.TSnapshotEndReply snapshotEnd(1: types.TSnapshotEndReq req)
  /**
   * Has a member replace its store by a snapshot of another member. This node, or, passed on to it,
   * another one.
   */
  types.TReseedReply reseed(1: types.TReseedReq req)
  /** The answering node sends its logs to a peer no more, or again. A restart forgets the pause. */
  TPauseReply pause(1: TPauseReq req)
  /** The groups of the node's configuration, and those of which only files are left. */
  TGroupsReply groups()
  /**
   * Deletes the files of a group at this node. INVALID as long as it is in the configuration,
   * UNKNOWN_GROUP when there are none.
   */
  TDeleteGroupReply deleteGroup(1: TDeleteGroupReq req)
}
