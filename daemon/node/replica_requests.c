/* Requests of clients and peers on their way into the engine. */
#include "node/recovery.h"
#include "node/replica_private.h"

#include "base/failpoint.h"

#include <stdatomic.h>
#include <string.h>

enum {
  /* Requests up to this size are decoded on the network thread: handing them over costs more. */
  INLINE_DECODE_SIZE = 32 * 1024,
};

/* --- writes -------------------------------------------------------------------------------------
 */

G_STATIC_ASSERT(sizeof(ClientWrite) <= RPC_CALL_ROOM);

typedef struct WriteJob {
  Replica *replica;
  RpcCall *call;
  WriteRequest request;
  gint64 timeout_ms;
} WriteJob;

static void answer_error(Replica *replica, RpcCall *call, const GError *error)
{
  SynclogStatus status =
      error->domain == SYNCLOG_ERROR ? (SynclogStatus)error->code : SYNCLOG_INTERNAL;
  rpc_call_hint_retry(call, replica_retry_after_ms(replica, status));
  rpc_call_reply_write(call, status, error->message, NULL);
}

static Decoded *decode_and_reserve(Replica *replica, const guint8 *content, gsize size,
                                   GError **error)
{
  g_autoptr(Decoded) decoded =
      store_decode(content, size, replica->options.partition_interval, error);
  if (decoded == NULL)
    return NULL;
  Store *store = replica_begin_view(replica, error);
  if (store == NULL)
    return NULL;
  gboolean reserved = store_reserve(store, decoded, error);
  replica_end_view(replica);
  return reserved ? g_steal_pointer(&decoded) : NULL;
}

/* Validates; NULL when the call was answered, or will be with another write of the same key. */
static ClientWrite *prepare_write(Replica *replica, RpcCall *call, const WriteRequest *request,
                                  gint64 timeout_ms)
{
  g_autoptr(GError) error = NULL;
  if (request->group != replica->options.group.group) {
    fail(&error, SYNCLOG_UNKNOWN_GROUP, "group %u does not exist here", request->group);
    answer_error(replica, call, error);
    return NULL;
  }
  g_autoptr(Decoded) decoded = decode_and_reserve(replica, request->data, request->size, &error);
  if (decoded == NULL) {
    answer_error(replica, call, error);
    return NULL;
  }
  ClientWrite *write = rpc_call_room(call);
  write->base = (GroupWrite){.data = request->data,
                             .size = request->size,
                             .decoded = g_steal_pointer(&decoded),
                             .ack = request->ack};
  write->durable_us = 0;
  if (request->ack != ACK_LOCAL)
    write->base.deadline_us = clock_mono_us(replica->clock) + timeout_ms * 1000;
  write->call = call;
  const guint8 *key = store_decoded_key(write->base.decoded);
  write->has_key = key != NULL;
  if (key == NULL)
    return write;
  memcpy(write->key_hash, key, sizeof write->key_hash);
  /* When it is not the first, the call and with it the write may be gone afterwards. */
  Decoded *unused = write->base.decoded;
  if (replica_claim_key(replica, write))
    return write;
  store_decoded_free(unused);
  return NULL;
}

/* Caller holds `mutex`. */
static void submit_locked(Replica *replica, ClientWrite *write)
{
  g_autoptr(GError) error = NULL;
  FAILPOINT("take_write");
  if (group_write(replica->group, &write->base, &error))
    return;
  if (write->has_key)
    replica_key_answered(replica, write->key_hash, (SynclogStatus)error->code, error->message,
                         NULL);
  store_decoded_free(write->base.decoded);
  answer_error(replica, write->call, error);
}

static void write_job(gpointer data)
{
  g_autofree WriteJob *job = data;
  Replica *replica = job->replica;
  gint64 begun_us = clock_mono_us(replica->clock);
  ClientWrite *write = prepare_write(replica, job->call, &job->request, job->timeout_ms);
  if (write != NULL) {
    write->queued_us = replica_note_step(replica, STEP_DECODE, begun_us);
    replica_lock(replica);
    submit_locked(replica, write);
    replica_unlock(replica);
  }
  replica_job_end(replica);
}

static LoopWrites *writes_of(Replica *replica, RpcLoop *loop)
{
  for (guint i = 0; i < replica->loop_writes->len; i++) {
    LoopWrites *writes = &g_array_index(replica->loop_writes, LoopWrites, i);
    if (writes->loop == loop)
      return writes;
  }
  g_assert_not_reached();
}

static gboolean has_room(Replica *replica, gsize size, gsize own, guint64 share)
{
  guint64 held = replica->in_flight;
  guint64 others = held - MIN(held, (guint64)own); /* parts may be answered at this moment */
  return others == 0 || others + size <= share;
}

gboolean replica_admit(Replica *replica, RpcCall *call, gsize size, guint64 share)
{
  if (!has_room(replica, size, 0, share))
    return FALSE;
  rpc_call_charge(call, &replica->in_flight, size);
  return TRUE;
}

gboolean replica_admit_bytes(Replica *replica, gsize size, gsize own, guint64 share)
{
  if (!has_room(replica, size, own, share))
    return FALSE;
  atomic_fetch_add_explicit(&replica->in_flight, size, memory_order_relaxed);
  return TRUE;
}

void replica_discharge(Replica *replica, gsize size)
{
  atomic_fetch_sub_explicit(&replica->in_flight, size, memory_order_relaxed);
}

void replica_write(Replica *replica, RpcCall *call, const WriteRequest *request, gint64 timeout_ms)
{
  if (request->size > INLINE_DECODE_SIZE) {
    WriteJob *job = g_new(WriteJob, 1);
    *job = (WriteJob){replica, call, *request, timeout_ms};
    replica_job_begin(replica);
    rpc_loops_work(replica->loops, write_job, job);
    return;
  }
  LoopWrites *writes = writes_of(replica, rpc_call_loop(call));
  if (writes->writes->len == 0)
    writes->begun_us = clock_mono_us(replica->clock);
  ClientWrite *write = prepare_write(replica, call, request, timeout_ms);
  if (write != NULL)
    g_ptr_array_add(writes->writes, write);
}

void replica_flush_writes(Replica *replica, RpcLoop *loop)
{
  const LoopWrites *of_loop = writes_of(replica, loop);
  GPtrArray *writes = of_loop->writes;
  if (writes->len == 0)
    return;
  gint64 now_us = replica_note_step(replica, STEP_DECODE, of_loop->begun_us);
  for (guint i = 0; i < writes->len; i++)
    ((ClientWrite *)writes->pdata[i])->queued_us = now_us;
  replica_lock(replica);
  for (guint i = 0; i < writes->len; i++)
    submit_locked(replica, writes->pdata[i]);
  replica_unlock(replica);
  g_ptr_array_set_size(writes, 0);
}

gboolean replica_check_write(Replica *replica, const guint8 *content, gsize size, GError **error)
{
  g_autoptr(Decoded) decoded = decode_and_reserve(replica, content, size, error);
  return decoded != NULL;
}

gboolean replica_write_bytes(Replica *replica, GBytes *content, AckLevel ack, gint64 timeout_ms,
                             ReplicaWritten done, gpointer data, GError **error)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data(content, &size);
  g_autoptr(Decoded) decoded = decode_and_reserve(replica, bytes, size, error);
  if (decoded == NULL)
    return FALSE;
  OtherWrite *write = g_new0(OtherWrite, 1);
  write->base.base = (GroupWrite){.data = bytes,
                                  .size = size,
                                  .decoded = decoded,
                                  .ack = ack,
                                  .deadline_us = clock_mono_us(replica->clock) + timeout_ms * 1000};
  write->content = g_bytes_ref(content);
  write->done = done;
  write->done_data = data;
  const guint8 *key = store_decoded_key(decoded);
  write->base.has_key = key != NULL;
  if (key != NULL)
    memcpy(write->base.key_hash, key, sizeof write->base.key_hash);
  if (key != NULL && !replica_claim_key(replica, &write->base)) {
    g_bytes_unref(write->content);
    g_free(write);
    return TRUE; /* what became of the first one is told to `done` */
  }
  GError *local = NULL;
  replica_lock(replica);
  FAILPOINT("take_write");
  gboolean taken = group_write(replica->group, &write->base.base, &local);
  if (!taken && key != NULL)
    replica_key_answered(replica, write->base.key_hash, (SynclogStatus)local->code, local->message,
                         NULL);
  replica_unlock(replica);
  if (taken) {
    g_steal_pointer(&decoded); /* the engine's now */
    return TRUE;
  }
  g_propagate_error(error, local);
  g_bytes_unref(write->content);
  g_free(write);
  return FALSE;
}

/* --- syncLog ------------------------------------------------------------------------------------
 */

typedef struct SyncJob {
  Replica *replica;
  RpcCall *call;
  guint32 sender; /* as the network thread knows it */
  guint64 serial; /* of its channel */
  SyncLogRequest request;
  gint64 queued_us;
} SyncJob;

static void refuse_sync(RpcCall *call, SynclogStatus status, const char *message)
{
  SyncReply reply = {.status = status, .message = (char *)message};
  rpc_call_reply_sync(call, &reply);
}

/*
 * Decodes the entries and hangs the decoded forms on the run. Gives the run, cut before the first
 * entry that does not decode: NULL if that is the very first.
 */
static EntryRun *decode_run(Replica *replica, EntryRun *run, GError **error)
{
  guint count = entry_run_count(run);
  gpointer *decoded = g_new0(gpointer, count);
  guint done = 0;
  for (; done < count; done++) {
    Record record = entry_run_record(run, done);
    decoded[done] = recovery_decode(replica->identity, entry_run_log(run), &record,
                                    replica->options.partition_interval, error);
    if (decoded[done] == NULL)
      break;
  }
  entry_run_set_decoded(run, decoded, (GDestroyNotify)store_decoded_free);
  if (done == count)
    return run;
  EntryRun *good = done > 0 ? entry_run_slice(run, 0, done) : NULL;
  entry_run_unref(run);
  return good;
}

static const char stale_text[] = "no handshake of this node counts on this connection";

static void take_sync(Replica *replica, RpcCall *call, guint32 sender, guint64 serial,
                      const SyncLogRequest *request)
{
  g_autoptr(GError) error = NULL;
  gint64 begun_us = clock_mono_us(replica->clock);
  gpointer frame = rpc_call_ref_frame(call);
  EntryRun *run =
      entry_run_parse(request->log, request->bytes, request->size, frame, rpc_frame_unref, &error);
  if (run == NULL) {
    rpc_frame_unref(frame);
    refuse_sync(call, SYNCLOG_CORRUPT, error->message);
    return;
  }
  if (entry_run_first_index(run) != request->first_index ||
      entry_run_last_index(run) != request->last_index) {
    entry_run_unref(run);
    refuse_sync(call, SYNCLOG_INVALID, "startSyncIndex or endSyncIndex is not that of the entries");
    return;
  }
  entry_run_set_chain_before(run, request->chain_before);
  FAILPOINT("take_sync");
  run = decode_run(replica, run, &error);
  gint64 now_us = replica_note_step(replica, STEP_RECEIVE_DECODE, begun_us);
  replica_lock(replica);
  /* The sender may have opened another channel meanwhile. */
  if (!replica_channel_counts(replica, sender, serial)) {
    replica_unlock(replica);
    g_clear_pointer(&run, entry_run_unref);
    refuse_sync(call, SYNCLOG_NOT_MEMBER, stale_text);
    return;
  }
  group_on_sync(replica->group, call, sender, request->log, request->first_index, run,
                error != NULL ? error->message : NULL, request->sync_now, now_us);
  replica_unlock(replica);
}

static void sync_job(gpointer data)
{
  g_autofree SyncJob *job = data;
  replica_note_step(job->replica, STEP_RECEIVE, job->queued_us);
  take_sync(job->replica, job->call, job->sender, job->serial, &job->request);
  replica_job_end(job->replica);
}

void replica_sync_log(Replica *replica, RpcCall *call, const SyncLogRequest *request)
{
  if (request->group != replica->options.group.group) {
    refuse_sync(call, SYNCLOG_UNKNOWN_GROUP, "the group does not exist here");
    return;
  }
  guint64 serial;
  guint32 sender = replica_channel_peer(replica, call, &serial);
  if (sender == 0) {
    refuse_sync(call, SYNCLOG_NOT_MEMBER, stale_text);
    return;
  }
  if (request->size <= INLINE_DECODE_SIZE) {
    take_sync(replica, call, sender, serial, request);
    return;
  }
  SyncJob *job = g_new(SyncJob, 1);
  *job = (SyncJob){replica, call, sender, serial, *request, clock_mono_us(replica->clock)};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, sync_job, job);
}

/* --- handshake and heartbeat --------------------------------------------------------------------
 */

void replica_handshake(Replica *replica, RpcCall *call, const Handshake *handshake)
{
  HandshakeReply reply;
  FAILPOINT("take_handshake");
  replica_lock(replica);
  group_on_handshake(replica->group, handshake, &reply, clock_mono_us(replica->clock));
  gboolean accepted = reply.status == SYNCLOG_OK;
  guint64 serial = accepted ? replica_accept_channel(replica, handshake->node_id) : 0;
  replica_unlock(replica);
  rpc_call_set_peer(call, accepted ? handshake->node_id : 0, serial);
  rpc_call_reply_handshake(call, &reply);
  handshake_reply_clear(&reply);
}

void replica_heartbeat(Replica *replica, RpcCall *call, const Heartbeat *heartbeat)
{
  HeartbeatReply reply;
  guint64 serial;
  guint32 sender = replica_channel_peer(replica, call, &serial);
  replica_lock(replica);
  if (sender != heartbeat->node_id || !replica_channel_counts(replica, sender, serial)) {
    replica_unlock(replica);
    reply = (HeartbeatReply){.status = SYNCLOG_NOT_MEMBER, .message = (char *)stale_text};
    rpc_call_reply_heartbeat(call, &reply);
    return;
  }
  group_on_heartbeat(replica->group, heartbeat, &reply, clock_mono_us(replica->clock));
  replica_unlock(replica);
  rpc_call_reply_heartbeat(call, &reply);
  heartbeat_reply_clear(&reply);
}

/* --- reads --------------------------------------------------------------------------------------
 */

typedef struct PendingRead {
  Replica *replica;
  ReplicaRead read;
  gpointer data;
  GError *error;
} PendingRead;

static void run_read(gpointer data)
{
  PendingRead *pending = data;
  Replica *replica = pending->replica;
  Store *store = pending->error == NULL ? replica_begin_view(replica, &pending->error) : NULL;
  FAILPOINT("run_read");
  pending->read(pending->data, store, pending->error);
  if (store != NULL)
    replica_end_view(replica);
  g_clear_error(&pending->error);
  g_free(pending);
  replica_job_end(replica);
}

void replica_run_read(Replica *replica, gpointer read, SynclogStatus status, const char *message)
{
  PendingRead *pending = read;
  if (status != SYNCLOG_OK)
    fail(&pending->error, status, "%s", message != NULL ? message : synclog_status_text(status));
  rpc_loops_work(replica->loops, run_read, pending);
}

void replica_read(Replica *replica, const GArray *tokens, gint64 timeout_ms, ReplicaRead read,
                  gpointer data)
{
  PendingRead *pending = g_new0(PendingRead, 1);
  *pending = (PendingRead){replica, read, data, NULL};
  replica_job_begin(replica);
  replica_lock(replica);
  if (replica->stopped)
    fail(&pending->error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  else if (replica->seed.lacking && group_needs_seed(replica->group)) /* the former is told late */
    fail(&pending->error, SYNCLOG_NOT_READY, SEED_LACKING_TEXT);
  gboolean ready = pending->error != NULL ||
                   group_wait_applied(replica->group, pending, tokens,
                                      clock_mono_us(replica->clock) + timeout_ms * 1000);
  replica_unlock(replica);
  if (ready)
    run_read(pending);
}

Store *replica_begin_view(Replica *replica, GError **error)
{
  /* The lock lets readers in before whoever takes the store away, for as long as they overlap. */
  if (!g_atomic_int_get(&replica->store_leaves)) {
    g_rw_lock_reader_lock(&replica->store_lock);
    if (replica->store != NULL)
      return replica->store;
    g_rw_lock_reader_unlock(&replica->store_lock);
  }
  fail(error, SYNCLOG_NOT_READY, "the store waits for room on its disk");
  return NULL;
}

void replica_end_view(Replica *replica)
{
  g_rw_lock_reader_unlock(&replica->store_lock);
}

static void fail_deleted(guint64 from, GError **error)
{
  fail(error, SYNCLOG_OUT_OF_WINDOW,
       "the entries from %" G_GUINT64_FORMAT " on are not held here any more", from);
}

EntryRun *replica_read_log(Replica *replica, LogId log, guint64 from, guint max_count,
                           gsize max_bytes, guint64 *out_first, GError **error)
{
  Wal *wal = log_set_find(replica->logs, log);
  g_autoptr(Progress) progress = replica_progress(replica);
  const LogProgress *known = progress_find(progress, log);
  *out_first = wal != NULL ? wal_first_index(wal) : 0;
  if (wal == NULL || from < *out_first) {
    fail_deleted(from, error);
    return NULL;
  }
  /* What is applied is in the WAL, but may have been cut there since as damaged. */
  guint64 last = MIN(known != NULL ? known->applied : 0, wal_last_index(wal));
  if (from > last) {
    fail(error, SYNCLOG_NOT_READY, "entry %" G_GUINT64_FORMAT " is not in the log", from);
    return NULL;
  }
  guint count = (guint)MIN((guint64)max_count, last - from + 1);
  g_autoptr(GError) failure = NULL;
  EntryRun *run = wal_read(wal, from, count, max_bytes, &failure);
  if (run != NULL)
    return run;
  /* It may have been deleted since it was looked at above. */
  *out_first = wal_first_index(wal);
  if (from < *out_first)
    fail_deleted(from, error);
  else if (failure != NULL)
    g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}
