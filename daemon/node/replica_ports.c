/* The engine's ports: each hands over to another thread and returns at once. */
#include "base/failpoint.h"
#include "base/logging.h"
#include "node/log_work.h"
#include "node/replica_private.h"

/* --- disk and store -----------------------------------------------------------------------------
 */

static void port_work(gpointer ctx)
{
  Replica *replica = ctx;
  replica->work_brought = TRUE;
}

static void port_apply(gpointer ctx, EntryRun *run)
{
  Replica *replica = ctx;
  g_mutex_lock(&replica->apply_mutex);
  g_queue_push_tail(&replica->apply_queue, run);
  if (replica->apply_waiting) {
    replica->apply_waiting = FALSE;
    replica->wake_apply = TRUE;
  }
  g_mutex_unlock(&replica->apply_mutex);
}

typedef struct ReadJob {
  Replica *replica;
  guint32 peer;
  LogId log;
  guint64 from;
  guint max_count;
  gsize max_bytes;
} ReadJob;

static void read_job(gpointer data)
{
  g_autofree ReadJob *job = data;
  Replica *replica = job->replica;
  g_autoptr(GError) error = NULL;
  EntryRun *run = NULL;
  guint64 behind = 0;
  gint64 begun_us = clock_mono_us(replica->clock);
  FAILPOINT("read_log");
  Wal *wal = log_set_find(replica->logs, job->log);
  if (wal == NULL)
    fail(&error, SYNCLOG_CORRUPT, "the log's directory is missing");
  else
    run = log_work_read(wal, job->from, job->max_count, job->max_bytes, &behind, &error);
  gint64 now_us = replica_note_step(replica, STEP_BATCH_READ, begun_us);
  replica_lock(replica);
  if (run == NULL && error == NULL) {
    /* Acknowledged without a sync (wal_sync): it can be read once it is synced. */
    replica->own_sync_wanted = TRUE;
    port_work(replica);
  }
  if (behind != 0)
    group_on_unreadable(replica->group, job->log, job->from, behind);
  group_on_read(replica->group, job->peer, job->log, job->from, run,
                error != NULL ? error->message : NULL, now_us);
  replica_unlock(replica);
  replica_job_end(replica);
}

static void port_read_log(gpointer ctx, guint32 peer, LogId log, guint64 from, guint max_count,
                          gsize max_bytes)
{
  Replica *replica = ctx;
  ReadJob *job = g_new(ReadJob, 1);
  *job = (ReadJob){replica, peer, log, from, max_count, max_bytes};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, read_job, job);
}

static gboolean port_digest_at_end(gpointer ctx, LogId log, guint64 *out_index, guint64 *out_digest)
{
  Replica *replica = ctx;
  Wal *wal = log_set_find(replica->logs, log);
  return wal != NULL && wal_end_chain(wal, out_index, out_digest);
}

typedef struct DigestJob {
  Replica *replica;
  guint32 peer;
  LogId log;
  guint64 index;
} DigestJob;

static void digest_job(gpointer data)
{
  g_autofree DigestJob *job = data;
  Replica *replica = job->replica;
  Wal *wal = log_set_find(replica->logs, job->log);
  g_autoptr(GError) error = NULL;
  guint64 digest = 0;
  DigestVerdict verdict = DIGEST_UNKNOWN;
  if (wal != NULL && wal_chain_at(wal, job->index, &digest, &error))
    verdict = DIGEST_KNOWN;
  if (g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_OVERLOADED))
    verdict = DIGEST_LATER;
  if (error != NULL)
    g_warning("the digest of a log, for node %u: %s", job->peer, error->message);
  replica_lock(replica);
  group_on_digest(replica->group, job->peer, job->log, job->index, verdict, digest,
                  clock_mono_us(replica->clock));
  replica_unlock(replica);
  replica_job_end(replica);
}

static void port_read_digest(gpointer ctx, guint32 peer, LogId log, guint64 index)
{
  Replica *replica = ctx;
  DigestJob *job = g_new(DigestJob, 1);
  *job = (DigestJob){replica, peer, log, index};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, digest_job, job);
}

/* --- beside the logs ----------------------------------------------------------------------------
 */

typedef struct KeepJob {
  Replica *replica;
  guint64 clock_bound; /* 0: the members */
  GPtrArray *members;
  guint64 changes;
} KeepJob;

static void keep_job(gpointer data)
{
  g_autofree KeepJob *job = data;
  Replica *replica = job->replica;
  g_autoptr(GError) error = NULL;
  FAILPOINT("keep_clock_bound");
  gboolean kept = job->clock_bound != 0
                      ? identity_set_clock_bound(replica->identity, job->clock_bound, &error)
                      : identity_set_members(replica->identity, job->members, job->changes, &error);
  /* The clock is tried again with each heartbeat; once a minute is enough to say so. */
  static LogLimit limit = {.interval_us = 60 * G_USEC_PER_SEC};
  guint64 left_out;
  if (!kept && log_limit_pass(&limit, clock_mono_us(replica->clock), &left_out))
    g_warning("%s", error->message);
  replica_lock(replica);
  if (job->clock_bound != 0)
    group_on_clock_bound(replica->group, job->clock_bound, kept);
  else
    group_on_members_kept(replica->group, kept);
  replica_tell_progress(replica);
  replica_unlock(replica);
  g_clear_pointer(&job->members, g_ptr_array_unref);
  replica_job_end(replica);
}

static void keep(Replica *replica, guint64 clock_bound, GPtrArray *members, guint64 changes)
{
  KeepJob *job = g_new(KeepJob, 1);
  *job =
      (KeepJob){replica, clock_bound, members != NULL ? g_ptr_array_ref(members) : NULL, changes};
  replica_job_begin(replica);
  rpc_loops_work(replica->loops, keep_job, job);
}

static void port_keep_clock_bound(gpointer ctx, guint64 hlc)
{
  keep(ctx, hlc, NULL, 0);
}

static void port_keep_members(gpointer ctx, GPtrArray *members, guint64 changes)
{
  keep(ctx, 0, members, changes);
}

static gboolean port_meet(gpointer ctx, guint32 peer, const char *address)
{
  Replica *replica = ctx;
  const char *known = replica_address_of(replica, peer, address);
  if (known == NULL)
    return FALSE;
  for (guint i = 0; i < replica->links->len; i++)
    if (((Link *)replica->links->pdata[i])->peer == peer)
      return TRUE;
  replica_open_link(replica, peer, known);
  return TRUE;
}

/* --- channels -----------------------------------------------------------------------------------
 */

static RpcChannel *channel_of(Replica *replica, guint32 peer)
{
  for (guint i = 0; i < replica->links->len; i++) {
    Link *link = replica->links->pdata[i];
    if (link->peer == peer)
      return link->channel;
  }
  g_assert_not_reached();
}

static void port_connect(gpointer ctx, guint32 peer)
{
  rpc_channel_connect(channel_of(ctx, peer));
}

static void port_disconnect(gpointer ctx, guint32 peer)
{
  rpc_channel_close(channel_of(ctx, peer));
}

static void port_send_handshake(gpointer ctx, guint32 peer, const Handshake *handshake)
{
  FAILPOINT("send_handshake");
  rpc_channel_handshake(channel_of(ctx, peer), handshake);
}

static void port_send_heartbeat(gpointer ctx, guint32 peer, const Heartbeat *heartbeat)
{
  FAILPOINT("send_heartbeat");
  rpc_channel_heartbeat(channel_of(ctx, peer), heartbeat);
}

static void port_send_sync(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch)
{
  FAILPOINT("send_sync");
  rpc_channel_sync(channel_of(ctx, peer), cookie, batch);
}

static void on_connected(gpointer ctx)
{
  Link *link = ctx;
  Replica *replica = link->replica;
  replica_lock(replica);
  group_on_connected(replica->group, link->peer, clock_mono_us(replica->clock));
  replica_unlock(replica);
}

static void on_closed(gpointer ctx, const GError *error)
{
  Link *link = ctx;
  Replica *replica = link->replica;
  replica_lock(replica);
  group_on_closed(replica->group, link->peer, error->message, clock_mono_us(replica->clock));
  replica_unlock(replica);
}

static void on_handshake(gpointer ctx, const HandshakeReply *reply)
{
  Link *link = ctx;
  Replica *replica = link->replica;
  replica_lock(replica);
  group_on_handshake_reply(replica->group, link->peer, reply, clock_mono_us(replica->clock));
  replica_unlock(replica);
}

static void on_sync(gpointer ctx, guint64 cookie, const SyncReply *reply)
{
  Link *link = ctx;
  Replica *replica = link->replica;
  FAILPOINT("take_sync_reply");
  replica_lock(replica);
  replica->answers_us = clock_mono_us(replica->clock);
  group_on_sync_reply(replica->group, link->peer, cookie, reply, replica->answers_us);
  if (replica->draining)
    replica_tell_progress(replica);
  replica_unlock(replica);
}

static void on_heartbeat(gpointer ctx, const HeartbeatReply *reply)
{
  Link *link = ctx;
  Replica *replica = link->replica;
  replica_lock(replica);
  replica->answers_us = clock_mono_us(replica->clock);
  group_on_heartbeat_reply(replica->group, link->peer, reply, replica->answers_us);
  replica_unlock(replica);
}

void replica_open_link(Replica *replica, guint32 peer, const char *address)
{
  static const RpcChannelCallbacks callbacks = {on_connected, on_closed, on_handshake, on_sync,
                                                on_heartbeat};
  guint at = replica->links->len;
  Link *link = g_new0(Link, 1);
  link->replica = replica;
  link->peer = peer;
  link->address = g_strdup(address);
  RpcChannelOptions options = {.address = link->address,
                               .max_frame_size = replica->options.group.max_frame_size,
                               .connect_timeout_ms = replica->options.request_timeout_ms,
                               .request_timeout_ms = replica->options.request_timeout_ms,
                               .steps = &replica->steps};
  RpcLoop *loop = rpc_loops_get(replica->loops, at % rpc_loops_count(replica->loops));
  link->channel = rpc_channel_new(loop, &options, &callbacks, link);
  g_ptr_array_add(replica->links, link);
}

void replica_free_links(Replica *replica)
{
  /* The group is stopped: no link is added any more. */
  for (guint i = 0; i < replica->links->len; i++) {
    Link *link = replica->links->pdata[i];
    rpc_channel_free(link->channel);
    g_free(link->address);
    g_free(link);
  }
  g_ptr_array_set_size(replica->links, 0);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void port_write_done(gpointer ctx, gpointer write, SynclogStatus status, const char *message,
                            const Token *engine_token)
{
  Replica *replica = ctx;
  ClientWrite *client_write = write;
  Token named = engine_token != NULL ? *engine_token : (Token){.index = 0};
  named.group = replica_group(replica); /* the engine knows of one group only */
  const Token *token = engine_token != NULL ? &named : NULL;
  /* By the time of the event that led here: no clock is read for each. */
  if (client_write->durable_us != 0) {
    latency_add_alone(&replica->steps.step[STEP_WRITE],
                      replica->answers_us - client_write->queued_us);
    if (client_write->base.ack > ACK_LOCAL)
      latency_add_alone(&replica->steps.step[STEP_REPLY],
                        replica->answers_us - client_write->durable_us);
  }
  FAILPOINT("reply_write");
  if (client_write->has_key)
    replica_key_answered(replica, client_write->key_hash, status, message, token);
  g_clear_pointer(&client_write->base.decoded, store_decoded_free);
  if (client_write->call != NULL) {
    if (status != SYNCLOG_OK)
      rpc_call_hint_retry(client_write->call, replica_retry_after_ms(replica, status));
    rpc_call_reply_write(client_write->call, status, message, token);
    return;
  }
  OtherWrite *other = write;
  other->done(other->done_data, status, message, token);
  g_bytes_unref(other->content);
  g_free(other);
}

static void port_sync_done(gpointer ctx, gpointer call, const SyncReply *reply)
{
  (void)ctx;
  FAILPOINT("reply_sync");
  rpc_call_reply_sync(call, reply);
}

static void port_read_done(gpointer ctx, gpointer read, SynclogStatus status, const char *message)
{
  replica_run_read(ctx, read, status, message);
}

static void port_note(gpointer ctx, GLogLevelFlags level, const char *text)
{
  Replica *replica = ctx;
  g_autofree char *group = g_strdup_printf("%u", replica->options.group.group);
  g_log_structured(G_LOG_DOMAIN, level, "SYNCLOG_GROUP", group, "MESSAGE", "%s", text);
}

GroupPorts replica_ports(Replica *replica)
{
  return (GroupPorts){.work = port_work,
                      .read_log = port_read_log,
                      .digest_at_end = port_digest_at_end,
                      .read_digest = port_read_digest,
                      .apply = port_apply,
                      .keep_clock_bound = port_keep_clock_bound,
                      .keep_members = port_keep_members,
                      .meet = port_meet,
                      .connect = port_connect,
                      .disconnect = port_disconnect,
                      .send_handshake = port_send_handshake,
                      .send_heartbeat = port_send_heartbeat,
                      .send_sync = port_send_sync,
                      .write_done = port_write_done,
                      .sync_done = port_sync_done,
                      .read_done = port_read_done,
                      .note = port_note,
                      .ctx = replica};
}
